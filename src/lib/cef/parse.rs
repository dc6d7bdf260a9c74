//! Reading a record: where its parts are, without copying them.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem;

/// How many fields a header has: version, device vendor, product and version, event class, name, severity.
pub const HEADER_FIELDS: usize = 7;

/// Why a text is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// `CEF:` is nowhere, at the beginning or after white space.
    NoMark,
    /// The header has so many separators, of at least six.
    Header(usize),
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ParseError::NoMark => write!(f, "no CEF: in it"),
            ParseError::Header(found) => write!(f, "the header has {found} separators, six at least are needed"),
        }
    }
}

/// One `key=value` of the extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub key: Range<usize>,
    /// Escaped.
    pub value: Range<usize>,
}

/// Where the parts of a record are in its text. Used again and again, it allocates once.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// Where `CEF:` begins: before it is what a syslog sender put there.
    pub mark: usize,
    /// Escaped.
    pub header: [Range<usize>; HEADER_FIELDS],
    /// What stands before the first key.
    pub extra: Range<usize>,
    pub pairs: Vec<Pair>,
}

impl Parsed {
    /// Takes a text apart; white space at its end is left out.
    pub fn parse(&mut self, text: &[u8]) -> Result<(), ParseError> {
        self.pairs.clear();
        self.mark = find_mark(text).ok_or(ParseError::NoMark)?;
        let end = text.trim_ascii_end().len();
        let mut from = self.mark + 4;
        for place in 0..HEADER_FIELDS {
            match find_separator(&text[from..end]) {
                Some(len) => {
                    self.header[place] = from..from + len;
                    from += len + 1;
                }
                // Senders leave out the last separator when nothing follows.
                None if place == HEADER_FIELDS - 1 => {
                    self.header[place] = from..end;
                    from = end;
                }
                None => return Err(ParseError::Header(place)),
            }
        }
        self.parse_extension(text, from, end);
        Ok(())
    }

    fn parse_extension(&mut self, text: &[u8], from: usize, end: usize) {
        self.extra = from..end;
        let mut at = from;
        // A value ends where the white space before the next key is.
        let mut floor = from;
        while let Some(found) = memchr::memchr2(b'=', b'\\', &text[at..end]) {
            let place = at + found;
            if text[place] == b'\\' {
                at = (place + 2).min(end);
                continue;
            }
            at = place + 1;
            let key_len = text[floor..place].iter().rev().take_while(|&&byte| is_key(byte)).count();
            let key = place - key_len..place;
            let separated = key.start == from || key.start > floor && text[key.start - 1].is_ascii_whitespace();
            if key_len == 0 || !separated {
                continue;
            }
            match self.pairs.last_mut() {
                Some(last) => last.value.end = key.start - 1,
                None => self.extra.end = key.start,
            }
            self.pairs.push(Pair { key, value: at..end });
            floor = at;
        }
    }
}

fn find_mark(text: &[u8]) -> Option<usize> {
    static MARK: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"CEF:"));
    MARK.find_iter(text).find(|&at| at == 0 || text[at - 1].is_ascii_whitespace())
}

/// The length of a header field.
fn find_separator(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let place = at + memchr::memchr2(b'|', b'\\', text.get(at..)?)?;
        if text[place] == b'|' {
            return Some(place);
        }
        at = place + 2;
    }
}

/// What keys consist of, the brackets and dots that senders use among it.
#[inline]
pub fn is_key(byte: u8) -> bool {
    const KEYS: [bool; 256] = {
        let mut keys = [false; 256];
        let mut byte = 0;
        while byte < 128u8 {
            keys[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']');
            byte += 1;
        }
        keys
    };
    KEYS[byte as usize]
}

/// A header field's text. A backslash before a real line end is how Mozilla's library escapes that.
pub fn unescape_header(text: &[u8]) -> Cow<'_, [u8]> {
    unescape(text, |byte| matches!(byte, b'|' | b'\\' | b'\n' | b'\r').then_some(byte))
}

/// A value's text.
pub fn unescape_value(text: &[u8]) -> Cow<'_, [u8]> {
    unescape(text, |byte| match byte {
        b'=' | b'\\' | b'|' => Some(byte),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        _ => None,
    })
}

fn unescape(text: &[u8], escaped: impl Fn(u8) -> Option<u8>) -> Cow<'_, [u8]> {
    let Some(mut place) = memchr::memchr(b'\\', text) else { return Cow::Borrowed(text) };
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        result.extend_from_slice(&rest[..place]);
        rest = &rest[place + 1..];
        match rest.split_first().and_then(|(&next, after)| Some((escaped(next)?, after))) {
            Some((meant, after)) => {
                result.push(meant);
                rest = after;
            }
            None => result.push(b'\\'),
        }
        match memchr::memchr(b'\\', rest) {
            Some(next) => place = next,
            None => {
                result.extend_from_slice(rest);
                return Cow::Owned(result);
            }
        }
    }
}
