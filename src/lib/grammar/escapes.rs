//! How texts are written in a format that they would break.

/// How a server writes what would break its format.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Escapes {
    /// It isn't known, or it doesn't: texts stay as the line has them.
    #[default]
    None,
    /// nginx's `escape=default`: `\xHH`.
    Hexadecimal,
    /// nginx's `escape=json`: RFC 8259, section 7.
    Json,
}

impl Escapes {
    /// The text without them, if it has any.
    #[inline]
    pub fn undo(self, text: &[u8]) -> Option<Vec<u8>> {
        if self == Escapes::None || memchr::memchr(b'\\', text).is_none() {
            return None;
        }
        Some(self.plain(text))
    }

    #[cold]
    fn plain(self, text: &[u8]) -> Vec<u8> {
        let mut plain = Vec::with_capacity(text.len());
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            let (escaped, len) = match (self, after) {
                _ if *byte != b'\\' => (Ok(*byte), 1),
                (Escapes::Hexadecimal, [b'x', digits @ ..]) => match hexadecimal(digits, 2) {
                    Some(value) => (Ok(value as u8), 4),
                    None => (Ok(b'\\'), 1),
                },
                (Escapes::Json, [b'u', digits @ ..]) => match hexadecimal(digits, 4) {
                    Some(value) => (Err(value), 6),
                    None => (Ok(b'\\'), 1),
                },
                (Escapes::Json, [b'n', ..]) => (Ok(b'\n'), 2),
                (Escapes::Json, [b'r', ..]) => (Ok(b'\r'), 2),
                (Escapes::Json, [b't', ..]) => (Ok(b'\t'), 2),
                (Escapes::Json, [b'b', ..]) => (Ok(8), 2),
                (Escapes::Json, [b'f', ..]) => (Ok(12), 2),
                (Escapes::Json, [other @ (b'"' | b'\\' | b'/'), ..]) => (Ok(*other), 2),
                _ => (Ok(b'\\'), 1),
            };
            rest = &rest[len..];
            match escaped {
                Ok(byte) => plain.push(byte),
                Err(number) => {
                    let character = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
                    plain.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        plain
    }
}

fn hexadecimal(digits: &[u8], count: usize) -> Option<u32> {
    let digits = digits.get(..count).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Up to the quote that ends the value; a backslash takes the next byte with it.
#[inline]
pub fn quoted_len(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', &rest[at..])?;
        if rest[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
        if at > rest.len() {
            return None;
        }
    }
}
