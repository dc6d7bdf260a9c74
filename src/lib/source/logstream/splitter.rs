//! From bytes to records.
//!
//! [`Records`] holds what has been read and not yet been cut; it never keeps more of a record than the limit.

use std::io::Read;

use encoding_rs::Encoding;
use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::text::{Text, Wide, is_wide, units};
use crate::matcher::re2;

const BLOCK: usize = 256 * 1024;

/// Where a record ends.
#[derive(Clone, Debug)]
pub enum Splitter {
    /// At every `count`-th occurrence of a text.
    Token { delimiter: Vec<u8>, count: usize, keep: bool },
    /// At a match. The text of its one group, if it has one, stays: at the end of the record, or, with `at_start`,
    /// at the beginning of the next. Without a group the match is dropped, and so are empty records.
    Regex { regex: Regex, at_start: bool },
    /// Lines that belong together: at most `max_lines` in all. Line ends within the record stay.
    Group { delimiter: LineEnd, grouping: Regex, lines: Lines, max_lines: usize, keep: bool },
    /// Each read is a record.
    Null,
}

/// Which lines the regex of a group joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Lines that match belong to the line before them.
    Continuing,
    /// Lines that match belong together; one that doesn't is a record of its own (Heka's PatternGroupingSplitter).
    Matching,
}

/// What ends a line.
#[derive(Clone, Debug)]
pub enum LineEnd {
    Byte(u8),
    Regex(Regex),
}

impl LineEnd {
    fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        match self {
            LineEnd::Byte(byte) => memchr::memchr(*byte, &text[from..]).map(|at| (from + at, from + at + 1)),
            LineEnd::Regex(regex) => regex.find_at(text, from).map(|found| (found.start(), found.end())),
        }
    }
}

impl Splitter {
    /// # Errors
    /// A sentence for the user.
    pub fn token(delimiter: &[u8], count: usize, keep: bool) -> Result<Splitter, String> {
        if delimiter.is_empty() {
            return Err("the delimiter is empty".into());
        }
        Ok(Splitter::Token { delimiter: delimiter.to_vec(), count: count.max(1), keep })
    }

    /// # Errors
    /// A sentence for the user.
    pub fn regex(delimiter: &str, at_start: bool) -> Result<Splitter, String> {
        let regex = delimiter_regex(delimiter)?;
        if regex.captures_len() > 2 {
            return Err(format!("regex must not contain more than one capture group: {delimiter}"));
        }
        Ok(Splitter::Regex { regex, at_start })
    }

    /// `delimiter` is a regex.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn group(
        delimiter: &str,
        grouping: &str,
        lines: Lines,
        max_lines: usize,
        keep: bool,
    ) -> Result<Splitter, String> {
        let delimiter = match delimiter {
            "\n" | "\\n" => LineEnd::Byte(b'\n'),
            delimiter => LineEnd::Regex(delimiter_regex(delimiter)?),
        };
        if grouping.is_empty() {
            return Err("which lines belong together is missing".into());
        }
        Ok(Splitter::Group { delimiter, grouping: re2::compile(grouping)?, lines, max_lines: max_lines.max(1), keep })
    }

    /// Whether the last record stays open until the next begins, however long that takes.
    pub fn waits_for_the_next(&self) -> bool {
        matches!(self, Splitter::Regex { .. } | Splitter::Group { .. })
    }
}

fn delimiter_regex(delimiter: &str) -> Result<Regex, String> {
    let regex = re2::compile(delimiter)?;
    // Somewhere: `\b` doesn't match in an empty text, and is never more than a place.
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(regex.as_str());
    if parsed.is_ok_and(|parsed| parsed.properties().minimum_len() == Some(0)) {
        return Err(format!("this regex can match an empty text, so it would split everywhere: {delimiter}"));
    }
    Ok(regex)
}

/// What is known about bytes that haven't been read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// More can be read at once.
    More,
    /// None right now.
    Idle,
    /// None, ever: what is left is a record.
    End,
}

/// The next piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// `end` is the offset of the content after the record and its delimiter.
    Record { payload: &'a [u8], end: u64 },
    /// A record over the limit was left out.
    Dropped { bytes: u64, end: u64 },
    /// Nothing more without further bytes.
    Incomplete,
}

/// Bytes on their way to being records.
pub struct Records {
    splitter: Splitter,
    text: Text,
    /// Of UTF-16: `buf` has what it says in UTF-8.
    wide: Option<Wide>,
    /// Of payloads, where it isn't UTF-8.
    encoding: Option<&'static Encoding>,
    encoding_known: bool,
    /// What was read last and is not in `buf` yet.
    raw: Vec<u8>,
    raw_len: usize,
    /// At the beginning of content: no text has come yet, and so many NULs.
    beginning: bool,
    nuls: u64,
    finder: Option<Finder<'static>>,
    max: usize,
    keep_truncated: bool,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// Up to here the buffer has been searched, and how many delimiters of the current record were found.
    scanned: usize,
    found: usize,
    /// Length of the last of them.
    last_delimiter: usize,
    /// Offset of the content of `buf[start]`.
    offset: u64,
    /// The beginning of a record over the limit, and its length so far, while its end is searched.
    over: Option<(Vec<u8>, u64)>,
    held: Vec<u8>,
}

impl Records {
    /// Records longer than `max` bytes are dropped, or cut to that with `keep_truncated`.
    pub fn new(splitter: Splitter, max: usize, keep_truncated: bool) -> Records {
        let finder = match &splitter {
            Splitter::Token { delimiter, .. } if delimiter.len() > 1 => Some(Finder::new(delimiter).into_owned()),
            _ => None,
        };
        Records {
            splitter,
            text: Text::default(),
            wide: None,
            encoding: None,
            encoding_known: true,
            raw: Vec::new(),
            raw_len: 0,
            beginning: false,
            nuls: 0,
            finder,
            max,
            keep_truncated,
            buf: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            found: 0,
            last_delimiter: 0,
            offset: 0,
            over: None,
            held: Vec::new(),
        }
    }

    /// The same with something done to the text.
    pub fn with_text(mut self, text: Text) -> Records {
        self.text = text;
        self.restart(0, b"");
        self
    }

    /// Begins content at an offset; what was left of other content is forgotten. `head`: what it begins with, where that
    /// is known.
    pub fn restart(&mut self, offset: u64, head: &[u8]) {
        (self.start, self.end, self.scanned, self.found, self.offset) = (0, 0, 0, 0, offset);
        (self.last_delimiter, self.raw_len, self.nuls) = (0, 0, 0);
        self.over = None;
        (self.wide, self.encoding) = (None, None);
        self.beginning = offset == 0 && self.text.tidy;
        self.encoding_known = offset > 0 || !self.text.tidy && self.text.encoding.is_none();
        if offset > 0 {
            self.set_encoding(self.text.encoding_of(head));
        }
    }

    /// Whether what is no text is left out.
    pub fn is_tidy(&self) -> bool {
        self.text.tidy
    }

    /// Begins content whose first bytes are a hole in the file, as long as that.
    pub fn begin_after_hole(&mut self, len: u64) {
        self.restart(len, b"");
        (self.beginning, self.nuls) = (true, len);
    }

    /// How many NULs at the beginning of the content were left out, once it is known.
    pub fn take_nuls(&mut self) -> Option<u64> {
        let nuls = if self.beginning { 0 } else { std::mem::take(&mut self.nuls) };
        (nuls > 0).then_some(nuls)
    }

    fn set_encoding(&mut self, encoding: Option<&'static Encoding>) {
        self.wide = encoding.filter(|encoding| is_wide(encoding)).map(Wide::new);
        self.encoding = encoding.filter(|encoding| !is_wide(encoding));
        self.encoding_known = true;
    }

    /// Offset of the content up to which it has been read.
    pub fn read_offset(&self) -> u64 {
        let pending = self.bytes_of(self.start, self.end);
        self.offset + pending + self.wide.as_ref().map_or(0, Wide::odd)
    }

    /// How many bytes of the content some of the buffer is.
    fn bytes_of(&self, from: usize, to: usize) -> u64 {
        match self.wide {
            None => (to - from) as u64,
            Some(_) => units(&self.buf[from..to]) * 2,
        }
    }

    /// Reads a block and takes it; no bytes are the end, at least until the content grows.
    pub fn fill(&mut self, reader: &mut impl Read) -> std::io::Result<usize> {
        let count = self.read(reader)?.len();
        self.accept();
        Ok(count)
    }

    /// Reads a block and answers its bytes, which are part of the content once they are accepted.
    pub fn read(&mut self, reader: &mut impl Read) -> std::io::Result<&[u8]> {
        if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            self.scanned -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.buf.len() < self.end + BLOCK / 4 {
            self.buf.resize((self.end + BLOCK / 4).max(BLOCK), 0);
        }
        if self.wide.is_some() {
            self.raw.resize(BLOCK / 4, 0);
        }
        let space = if self.wide.is_some() { &mut self.raw[..] } else { &mut self.buf[self.end..] };
        loop {
            match reader.read(space) {
                Ok(count) => {
                    self.raw_len = count;
                    return Ok(&space[..count]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what was read last.
    pub fn accept(&mut self) {
        let count = std::mem::take(&mut self.raw_len);
        if let Some(wide) = &mut self.wide {
            self.buf.truncate(self.end);
            wide.decode(&self.raw[..count], &mut self.buf);
            self.end = self.buf.len();
            return;
        }
        self.end += count;
        if !self.encoding_known && count > 0 {
            self.find_encoding();
        }
    }

    /// By what the content begins with.
    fn find_encoding(&mut self) {
        let bytes = &self.buf[self.start..self.end];
        if matches!(bytes, [0xff] | [0xfe]) {
            return;
        }
        let (encoding, mark) = (self.text.encoding_of(bytes), Encoding::for_bom(bytes).map_or(0, |(_, len)| len));
        self.set_encoding(encoding);
        if let Some(wide) = &mut self.wide {
            let mut text = Vec::new();
            wide.decode(&self.buf[self.start + mark..self.end], &mut text);
            self.offset += mark as u64;
            (self.start, self.scanned, self.end) = (0, 0, text.len());
            self.buf = text;
        }
    }

    /// Leaves out what is no text at the beginning of content; false when that goes on.
    fn skip_beginning(&mut self, tail: Tail) -> bool {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let bytes = &self.buf[self.start..self.end];
        let known = self.encoding_known || tail == Tail::End;
        if !known || bytes.is_empty() || tail != Tail::End && bytes.len() < MARK.len() && MARK.starts_with(bytes) {
            return false;
        }
        if bytes.starts_with(MARK) {
            self.consume(self.start + MARK.len());
        }
        let nuls = match &self.splitter {
            Splitter::Null => 0,
            Splitter::Token { delimiter, .. } if delimiter.contains(&0) => 0,
            _ => self.buf[self.start..self.end].iter().take_while(|byte| **byte == 0).count(),
        };
        self.nuls += nuls as u64;
        self.consume(self.start + nuls);
        self.beginning = nuls > 0 && self.start == self.end;
        !self.beginning
    }

    /// Where the text of a line ends whose `\n` is at a place.
    #[inline]
    fn before_return(&self, at: usize) -> usize {
        let returns = self.text.tidy && at > self.start && self.buf[at - 1] == b'\r';
        at - returns as usize
    }

    /// Takes a block to read into, which other streams use too: a thousand idle ones then need none of their own.
    pub fn borrow_block(&mut self, block: &mut Vec<u8>) {
        if self.buf.len() < BLOCK && block.len() >= BLOCK {
            block[..self.end].copy_from_slice(&self.buf[..self.end]);
            self.buf = std::mem::take(block);
        }
    }

    /// Gives the block back; what has not been cut yet stays here.
    pub fn give_back(&mut self, block: &mut Vec<u8>) {
        if self.buf.len() >= BLOCK && block.is_empty() && self.end - self.start < BLOCK / 4 {
            let rest = self.buf[self.start..self.end].to_vec();
            *block = std::mem::replace(&mut self.buf, rest);
            self.scanned -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// What has been read and is not a record yet.
    pub fn pending(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// The next record.
    #[inline]
    pub fn next(&mut self, tail: Tail) -> Cut<'_> {
        if self.beginning && !self.skip_beginning(tail) {
            return Cut::Incomplete;
        }
        loop {
            let Some(found) = self.find(tail) else {
                // A group's last line may be the next record's first.
                let group = self.found > 0 && matches!(self.splitter, Splitter::Group { .. });
                let whole_lines = if group { self.scanned - self.start } else { 0 };
                let from = if whole_lines <= self.max { self.start + whole_lines } else { self.start };
                if self.end - from > self.max {
                    self.begin_over();
                }
                if tail != Tail::End || (self.start == self.end && self.over.is_none()) {
                    return Cut::Incomplete;
                }
                // The rest of finished content is a record, with or without its delimiter.
                let rest = self.rest();
                self.found = 0;
                return self.take(rest);
            };
            self.found = 0;
            let swallow = matches!(self.splitter, Splitter::Regex { .. })
                && found.payload_end == self.start
                && self.over.is_none();
            if swallow {
                self.consume(found.consumed);
                continue;
            }
            return self.take(found);
        }
    }

    /// The end of a group is at the end of its last line, or after what follows that and belongs to it. Of other text the last
    /// line's end is none of it, as it is none of the records before.
    fn rest(&mut self) -> Found {
        let ends_in_line = self.text.tidy && matches!(self.splitter, Splitter::Regex { .. });
        let payload_end = match self.buf[self.start..self.end].last() {
            Some(b'\n') if ends_in_line => self.before_return(self.end - 1),
            _ => self.end,
        };
        let whole = Found { payload_end, consumed: self.end };
        if let Splitter::Group { grouping, keep, .. } = &self.splitter
            && self.found > 0
        {
            let unfinished = &self.buf[self.scanned..self.end];
            if unfinished.is_empty() || !grouping.is_match(unfinished) {
                let payload_end = if *keep { self.scanned } else { self.scanned.saturating_sub(self.last_delimiter) };
                return Found { payload_end, consumed: self.scanned };
            }
        }
        whole
    }

    fn consume(&mut self, to: usize) {
        self.offset += self.bytes_of(self.start, to);
        self.start = to;
        self.scanned = self.scanned.max(to);
    }

    #[inline]
    fn take(&mut self, found: Found) -> Cut<'_> {
        let from = self.start;
        // Of a group that is over the limit, its last line's beginning may be gone already.
        let found = Found { payload_end: found.payload_end.max(from), ..found };
        self.consume(found.consumed);
        let end = self.offset;
        let len = found.payload_end - from;
        if self.over.is_none() && len <= self.max {
            let payload = &self.buf[from..found.payload_end];
            let Some(encoding) = self.encoding else { return Cut::Record { payload, end } };
            self.held = encoding.decode_without_bom_handling(payload).0.into_owned().into_bytes();
            return Cut::Record { payload: &self.held, end };
        }
        let (mut head, mut bytes) = self.over.take().unwrap_or_default();
        bytes += len as u64;
        if !self.keep_truncated {
            return Cut::Dropped { bytes, end };
        }
        let missing = self.max.saturating_sub(head.len()).min(len);
        head.extend_from_slice(&self.buf[from..from + missing]);
        self.held = head;
        Cut::Record { payload: &self.held, end }
    }

    /// The record at hand has passed the limit: only its beginning is kept from here on.
    fn begin_over(&mut self) {
        // A delimiter may have begun in the last bytes.
        let keep = match &self.splitter {
            Splitter::Token { delimiter, .. } => delimiter.len() - 1,
            Splitter::Regex { .. } | Splitter::Group { .. } => 1024.min(self.max),
            Splitter::Null => 0,
        };
        let upto = self.end - keep.min(self.end - self.start);
        let (head, bytes) = self.over.get_or_insert_with(|| (Vec::new(), 0));
        if self.keep_truncated && head.len() < self.max {
            let part = (self.max - head.len()).min(upto - self.start);
            head.extend_from_slice(&self.buf[self.start..self.start + part]);
        }
        *bytes += (upto - self.start) as u64;
        self.consume(upto);
    }

    /// Where the record at `start` ends, if that is known.
    #[inline]
    fn find(&mut self, tail: Tail) -> Option<Found> {
        match &self.splitter {
            Splitter::Token { delimiter, count, keep } => loop {
                let window = &self.buf[self.scanned..self.end];
                let at = match &self.finder {
                    None => memchr::memchr(delimiter[0], window),
                    Some(finder) => finder.find(window),
                };
                let Some(at) = at else {
                    self.scanned = self.end.saturating_sub(delimiter.len() - 1).max(self.scanned);
                    return None;
                };
                let consumed = self.scanned + at + delimiter.len();
                self.scanned = consumed;
                self.found += 1;
                if self.found >= *count {
                    let payload_end = match delimiter.len() {
                        _ if *keep => consumed,
                        1 if delimiter[0] == b'\n' => self.before_return(consumed - 1),
                        len => consumed - len,
                    };
                    return Some(Found { payload_end, consumed });
                }
            },
            Splitter::Regex { regex, at_start } => {
                let from = self.scanned.max(self.start);
                let mut locations = regex.capture_locations();
                let whole = regex.captures_read_at(&mut locations, &self.buf[..self.end], from)?;
                // A match that touches the end might go on with what comes next.
                if whole.end() == self.end && tail == Tail::More {
                    return None;
                }
                let (mut whole_start, whole_end) = (whole.start(), whole.end());
                // A match may be empty, and at the end of the buffer.
                if self.buf.get(whole_start) == Some(&b'\n') {
                    whole_start = self.before_return(whole_start);
                }
                Some(match locations.get(1) {
                    None => {
                        self.scanned = whole_end;
                        Found { payload_end: whole_start, consumed: whole_end }
                    }
                    Some((_, group_end)) if !at_start => {
                        self.scanned = whole_end;
                        Found { payload_end: group_end, consumed: whole_end }
                    }
                    Some((group_start, _)) => {
                        // The next record begins with the group: don't find it again.
                        self.scanned = whole_end;
                        Found { payload_end: whole_start, consumed: group_start }
                    }
                })
            }
            Splitter::Group { delimiter, grouping, lines, max_lines, keep } => loop {
                let from = self.scanned.max(self.start);
                let (line_end, next) = delimiter.find(&self.buf[..self.end], from)?;
                if next == self.end && tail == Tail::More && matches!(delimiter, LineEnd::Regex(_)) {
                    return None;
                }
                let done = |payload_end, consumed| Some(Found { payload_end, consumed });
                let line_end = match delimiter {
                    LineEnd::Byte(_) => self.before_return(line_end).max(from),
                    LineEnd::Regex(_) => line_end,
                };
                let alone = self.found == 0 && *lines == Lines::Continuing;
                let matches = alone || grouping.is_match(&self.buf[from..line_end]);
                if self.found > 0 && !matches {
                    return done(if *keep { from } else { from.saturating_sub(self.last_delimiter) }, from);
                }
                (self.scanned, self.last_delimiter) = (next, next - line_end);
                self.found += 1;
                if self.found >= *max_lines || !matches {
                    return done(if *keep { next } else { line_end }, next);
                }
            },
            Splitter::Null => {
                let end = self.end.min(self.start + self.max);
                (end > self.start).then_some(Found { payload_end: end, consumed: end })
            }
        }
    }
}

struct Found {
    payload_end: usize,
    consumed: usize,
}

/// Reads `\n \r \t \0 \\ \xHH` in an option's value.
///
/// # Errors
/// A sentence for the user.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next() {
            Some('n') => bytes.push(b'\n'),
            Some('r') => bytes.push(b'\r'),
            Some('t') => bytes.push(b'\t'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = chars.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                bytes.push(byte.ok_or(format!("\\x takes two hexadecimal digits, not {digits:?}"))?);
            }
            other => return Err(format!("unknown escape \\{}", other.map_or(String::new(), String::from))),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cuts `input`, given in chunks; `D<n>` stands for a dropped record.
    fn cut(splitter: Splitter, max: usize, keep_truncated: bool, input: &[u8], chunk: usize) -> Vec<String> {
        cut_text(Text::default(), splitter, max, keep_truncated, input, chunk)
    }

    fn cut_text(
        text: Text,
        splitter: Splitter,
        max: usize,
        keep_truncated: bool,
        input: &[u8],
        chunk: usize,
    ) -> Vec<String> {
        let mut records = Records::new(splitter, max, keep_truncated).with_text(text);
        let mut result = Vec::new();
        let mut chunks = input.chunks(chunk);
        let mut last_end = 0;
        loop {
            let next = chunks.next();
            let tail = if next.is_some() { Tail::More } else { Tail::End };
            if let Some(mut chunk) = next {
                records.fill(&mut chunk).unwrap();
            }
            loop {
                let end = match records.next(tail) {
                    Cut::Record { payload, end } => {
                        result.push(String::from_utf8_lossy(payload).into_owned());
                        end
                    }
                    Cut::Dropped { bytes, end } => {
                        result.push(format!("D{bytes}"));
                        end
                    }
                    Cut::Incomplete => break,
                };
                assert!(end > last_end && end <= input.len() as u64);
                last_end = end;
            }
            if tail == Tail::End {
                assert_eq!(records.read_offset(), input.len() as u64);
                return result;
            }
        }
    }

    fn lines() -> Splitter {
        Splitter::token(b"\n", 1, false).unwrap()
    }

    #[test]
    fn each_splitter_cuts_as_its_options_say() {
        let regex = |text, at_start| Splitter::regex(text, at_start).unwrap();
        let group = |grouping, max_lines| Splitter::group("\n", grouping, Lines::Continuing, max_lines, false).unwrap();
        let matching = |grouping, max_lines| Splitter::group("\n", grouping, Lines::Matching, max_lines, true).unwrap();
        let cases: [(Splitter, &str, &[&str]); 19] = [
            (
                matching("^  ", 99),
                "one\n  a\n  b\ntwo\nthree\n  c\nend",
                &["one\n", "  a\n  b\n", "two\n", "three\n", "  c\n", "end"],
            ),
            (matching("^  ", 2), "  a\n  b\n  c\n", &["  a\n  b\n", "  c\n"]),
            (matching("^  ", 99), "one\n  a\n  unfinished", &["one\n", "  a\n  unfinished"]),
            (lines(), "a\n\nb\nrest", &["a", "", "b", "rest"]),
            (Splitter::token(b"\n", 1, true).unwrap(), "a\nb", &["a\n", "b"]),
            (Splitter::token(b"\n", 2, false).unwrap(), "a\nb\nc\nd\ne", &["a\nb", "c\nd", "e"]),
            (Splitter::token(b"\r\n", 1, false).unwrap(), "a\rb\r\nc\r\n", &["a\rb", "c"]),
            (Splitter::token(b"\0", 1, false).unwrap(), "a\0b\0", &["a", "b"]),
            (regex("\n+", false), "a\n\n\nb\n", &["a", "b"]),
            (regex("([.!]) ", false), "One. Two! Three", &["One.", "Two!", "Three"]),
            (regex("\n(# User)", true), "# User 1\nx\n# User 2\ny", &["# User 1\nx", "# User 2\ny"]),
            (regex("x(\n)", false), "ax\nb", &["ax\n", "b"]),
            (group(r"^\s", 99), "head\n at 1\n at 2\nnext\n", &["head\n at 1\n at 2", "next"]),
            (group(r"^\s", 99), " first\nnext\n x\n", &[" first", "next\n x"]),
            (group(r"^\s", 2), "head\n at 1\n at 2\nnext", &["head\n at 1", " at 2", "next"]),
            (group(r"^\s", 99), "head\n at 1\n unfinished", &["head\n at 1\n unfinished"]),
            (group(r"^\s", 99), "head\n at 1\nunfinished", &["head\n at 1", "unfinished"]),
            (
                Splitter::group("\n", r"\ACaused by", Lines::Continuing, 99, true).unwrap(),
                "x\nCaused by: y\nnormal\nnext\n",
                &["x\nCaused by: y\n", "normal\n", "next\n"],
            ),
            (
                Splitter::group(r"\r?\n", r"^\s", Lines::Continuing, 99, false).unwrap(),
                "head\r\n at 1\r\nnext\r\n",
                &["head\r\n at 1", "next"],
            ),
        ];
        for (splitter, input, expected) in cases {
            for chunk in [1, 2, 3, 1000] {
                assert_eq!(
                    cut(splitter.clone(), 100, false, input.as_bytes(), chunk),
                    expected,
                    "{splitter:?} by {chunk}"
                );
            }
        }
    }

    #[test]
    fn text_is_what_a_reader_sees() {
        let group = Splitter::group("\n", r"^\s", Lines::Continuing, 99, false).unwrap();
        let keep = Splitter::token(b"\n", 1, true).unwrap();
        let wide = |text: &str, mark: &[u8]| {
            [mark, &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()].concat()
        };
        let big = |text: &str| {
            [&b"\xfe\xff"[..], &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()].concat()
        };
        let labelled = |label| Some(Text::labelled(label).unwrap());
        let marked = b"\xff\xfe";
        type Case<'a> = (Splitter, Option<&'static Encoding>, Vec<u8>, &'a [&'a str]);
        let cases: [Case<'_>; 14] = [
            (lines(), None, b"a\r\nb\nc\r\r\n\r\nrest\r".into(), &["a", "b", "c\r", "", "rest\r"]),
            (keep, None, b"a\r\nb\n".into(), &["a\r\n", "b\n"]),
            (group.clone(), None, b"a\r\n b\r\nc\r\n".into(), &["a\r\n b", "c"]),
            (group.clone(), None, b"a\r\n\r\nc\r\n".into(), &["a", "", "c"]),
            (lines(), None, b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n".into(), &["a", "\u{feff}b"]),
            (lines(), None, b"\xef\xbb\xbf".into(), &[]),
            (lines(), None, [&[0; 700][..], b"a\nb\0\n"].concat(), &["a", "b\0"]),
            (lines(), None, wide("h\u{f6}\r\n\u{10348}\n\u{fffd}x", marked), &["h\u{f6}", "\u{10348}", "\u{fffd}x"]),
            (lines(), None, big("ab\r\n\u{10a}\n"), &["ab", "\u{10a}"]),
            (group.clone(), None, wide("a\r\n b\r\nc\r\n", marked), &["a\r\n b", "c"]),
            (lines(), labelled("utf-16le"), wide("a\nb", b""), &["a", "b"]),
            (lines(), labelled("windows-1252"), b"\x80 5\r\n\xe4\n".into(), &["\u{20ac} 5", "\u{e4}"]),
            (lines(), labelled("shift_jis"), b"\x83\x5c\n".into(), &["\u{30bd}"]),
            (lines(), labelled("utf-8"), b"\xff\n".into(), &["\u{fffd}"]),
        ];
        for (splitter, encoding, input, expected) in cases {
            for chunk in [1, 2, 3, 1000] {
                let text = Text { tidy: true, encoding };
                assert_eq!(
                    cut_text(text, splitter.clone(), 100, false, &input, chunk),
                    expected,
                    "{input:?} by {chunk}"
                );
            }
        }
        // Without it bytes stay what they are.
        assert_eq!(cut(lines(), 100, false, b"\xef\xbb\xbfa\r\n\0b\n", 3), ["\u{feff}a\r", "\0b"]);
    }

    #[test]
    fn a_record_over_the_limit_is_dropped_or_cut_whole() {
        let input = [&b"ok\n"[..], &[b'x'; 1000], b"\nok\n", &[b'y'; 11]].concat();
        for chunk in [1, 7, 64, 5000] {
            assert_eq!(cut(lines(), 10, false, &input, chunk), ["ok", "D1000", "ok", "D11"], "by {chunk}");
            assert_eq!(cut(lines(), 10, true, &input, chunk), ["ok", "xxxxxxxxxx", "ok", "yyyyyyyyyy"], "by {chunk}");
        }
        assert_eq!(cut(lines(), 10, false, b"0123456789\n", 4), ["0123456789"]);
    }

    #[test]
    fn a_delimiter_that_could_split_everywhere_is_refused() {
        for regex in ["x*", r"\b", r"(a*)", r"\n|\b", "(?m)$", r"x*\b", "()"] {
            assert!(Splitter::regex(regex, false).is_err_and(|words| words.ends_with(regex)), "{regex}");
        }
        assert!(Splitter::regex("(a)(b)", false).is_err());
        assert!(Splitter::token(b"", 1, false).is_err());
        assert_eq!(unescape(r"\t\x1e\\"), Ok(vec![9, 0x1e, b'\\']));
        assert!(unescape(r"\x1").is_err());
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(input in "[ab\n]{0,80}", chunk in 1usize..20, max in 1usize..12, keep in any::<bool>()) {
            for splitter in [lines(), Splitter::regex("b+\n", false).unwrap(), Splitter::regex("\n(b)", true).unwrap(), Splitter::group("\n", "^b", Lines::Continuing, 3, keep).unwrap(), Splitter::group("\n", "^b", Lines::Matching, 3, keep).unwrap()] {
                let whole = cut(splitter.clone(), max, keep, input.as_bytes(), 1000);
                let within = whole.iter().all(|record| record.len() < max && !record.starts_with('D'));
                if matches!(splitter, Splitter::Token { .. }) || within && matches!(splitter, Splitter::Group { .. }) {
                    prop_assert_eq!(cut(splitter, max, keep, input.as_bytes(), chunk), whole);
                } else {
                    cut(splitter, max, keep, input.as_bytes(), chunk);
                }
            }
        }
    }
}
