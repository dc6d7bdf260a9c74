//! From text to values.

use std::ffi::c_int;

use mlua::ffi;

use super::super::super::host::{Host, check_bytes};
use super::super::super::raw::{self, State};
use super::check_one_argument;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// See [`Lexer::text_of`].
    Text,
    Number(f64),
    Bool(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    pub fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Text => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Bool(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(message) => message,
        }
    }
}

/// Takes a text apart.
pub struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    /// Where the last token began.
    start: usize,
    /// The last text, if it stands in the text as it is meant.
    plain: Option<&'t [u8]>,
    invalid_numbers: bool,
}

const INVALID_TOKEN: Token = Token::Error("invalid token");

impl<'t> Lexer<'t> {
    /// `invalid_numbers`: whether infinities, hexadecimal numbers and the like are taken.
    pub fn new(text: &'t [u8], invalid_numbers: bool) -> Lexer<'t> {
        Lexer { text, at: 0, start: 0, plain: None, invalid_numbers }
    }

    /// The text of the last token, which was given this buffer.
    #[inline]
    pub fn text_of<'a>(&'a self, buffer: &'a [u8]) -> &'a [u8] {
        self.plain.unwrap_or(buffer)
    }

    /// The last token as it stands in the text.
    #[inline]
    pub fn source(&self) -> &'t [u8] {
        &self.text[self.start..self.at]
    }

    /// Where the last token began, or what is wrong in it.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The next token.
    pub fn next(&mut self, buffer: &mut Vec<u8>) -> Token {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
        self.start = self.at;
        let Some(&byte) = self.text.get(self.at) else { return Token::End };
        let simple = match byte {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.string(buffer),
            b't' => return self.word(b"true", Token::Bool(true)),
            b'f' => return self.word(b"false", Token::Bool(false)),
            b'n' if self.text[self.at..].starts_with(b"null") => return self.word(b"null", Token::Null),
            b'+' | b'-' | b'0'..=b'9' | b'i' | b'I' | b'n' | b'N' => return self.number(),
            _ => return INVALID_TOKEN,
        };
        self.at += 1;
        simple
    }

    fn word(&mut self, word: &[u8], token: Token) -> Token {
        if !self.text[self.at..].starts_with(word) {
            return INVALID_TOKEN;
        }
        self.at += word.len();
        token
    }

    fn number(&mut self) -> Token {
        let text = &self.text[self.at..];
        if let Some((value, length)) = short_number(text) {
            self.at += length;
            return Token::Number(value);
        }
        let signed = matches!(text[0], b'+' | b'-') as usize;
        let negative = text[0] == b'-';
        let body = &text[signed..];
        let starts = |word: &str| body.len() >= word.len() && body[..word.len()].eq_ignore_ascii_case(word.as_bytes());
        let hex = starts("0x") && body.get(2).is_some_and(u8::is_ascii_hexdigit);
        let odd = text[0] == b'+'
            || hex
            || starts("inf")
            || starts("nan")
            || body.first() == Some(&b'0') && body.get(1).is_some_and(u8::is_ascii_digit);
        if odd && !self.invalid_numbers {
            return Token::Error("invalid number");
        }
        let (length, value) = if hex {
            let digits = body[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let value = body[2..2 + digits]
                .iter()
                .fold(0.0, |value, byte| value * 16.0 + f64::from((*byte as char).to_digit(16).unwrap_or(0)));
            (2 + digits, value)
        } else if starts("infinity") {
            (8, f64::INFINITY)
        } else if starts("inf") {
            (3, f64::INFINITY)
        } else if starts("nan") {
            (3, f64::NAN)
        } else {
            let digits = |from: usize| body[from.min(body.len())..].iter().take_while(|b| b.is_ascii_digit()).count();
            let mut length = digits(0);
            let mut any = length > 0;
            if body.get(length) == Some(&b'.') {
                let fraction = digits(length + 1);
                any |= fraction > 0;
                length += 1 + fraction;
            }
            if !any {
                return if text[0].is_ascii_alphabetic() { INVALID_TOKEN } else { Token::Error("invalid number") };
            }
            if let Some(b'e' | b'E') = body.get(length) {
                let sign = matches!(body.get(length + 1), Some(b'+' | b'-')) as usize;
                let exponent = digits(length + 1 + sign);
                if exponent > 0 {
                    length += 1 + sign + exponent;
                }
            }
            let value = std::str::from_utf8(&body[..length]).ok().and_then(|text| text.parse().ok());
            (length, value.unwrap_or(f64::NAN))
        };
        self.at += signed + length;
        Token::Number(if negative { -value } else { value })
    }

    fn string(&mut self, buffer: &mut Vec<u8>) -> Token {
        self.at += 1;
        let rest = &self.text[self.at..];
        if let Some(len) = memchr::memchr2(b'"', b'\\', rest)
            && rest[len] == b'"'
        {
            self.plain = Some(&rest[..len]);
            self.at += len + 1;
            return Token::Text;
        }
        self.plain = None;
        buffer.clear();
        loop {
            let rest = &self.text[self.at..];
            let Some(plain) = memchr::memchr2(b'"', b'\\', rest) else {
                self.start = self.text.len();
                return Token::Error("unexpected end of string");
            };
            buffer.extend_from_slice(&rest[..plain]);
            self.at += plain;
            if rest[plain] == b'"' {
                self.at += 1;
                return Token::Text;
            }
            if let Err(message) = self.escape(buffer) {
                self.start = self.at;
                return Token::Error(message);
            }
        }
    }

    fn escape(&mut self, buffer: &mut Vec<u8>) -> Result<(), &'static str> {
        let plain = match self.text.get(self.at + 1) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => 10,
            Some(b'r') => 13,
            Some(b't') => 9,
            Some(b'u') => return self.unicode(buffer),
            _ => return Err("invalid escape code"),
        };
        buffer.push(plain);
        self.at += 2;
        Ok(())
    }

    fn unicode(&mut self, buffer: &mut Vec<u8>) -> Result<(), &'static str> {
        const INVALID: &str = "invalid unicode escape code";
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
            let valid = digits.iter().all(u8::is_ascii_hexdigit);
            valid.then(|| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()).flatten()
        };
        let first = unit(self.at).ok_or(INVALID)?;
        let second = || unit(self.at + 6).filter(|unit| (0xdc00..=0xdfff).contains(unit));
        let (code, length) = match (first, second()) {
            (0xd800..=0xdbff, Some(second)) => (0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), 12),
            _ => (first, 6),
        };
        // Half of a pair is left where a text was cut in the middle of it; lua-cjson gives such a text up.
        let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
        buffer.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += length;
        Ok(())
    }
}

/// A whole number of at most 15 digits without sign or leading zero, as most are.
#[inline]
fn short_number(text: &[u8]) -> Option<(f64, usize)> {
    let (mut value, mut length) = (0u64, 0);
    while let Some(digit @ b'0'..=b'9') = text.get(length) {
        value = value * 10 + (digit - b'0') as u64;
        length += 1;
        if length > 15 {
            return None;
        }
    }
    let goes_on = matches!(text.get(length), Some(b'.' | b'e' | b'E' | b'x' | b'X'));
    let padded = length > 1 && text[0] == b'0';
    (length > 0 && !goes_on && !padded).then_some((value as f64, length))
}

/// `decode(text)`
pub unsafe extern "C-unwind" fn decode(state: State) -> c_int {
    // SAFETY: the text stays on the stack, as argument 1.
    unsafe {
        check_one_argument(state);
        let text = check_bytes(state, 1);
        let host: *mut Host = Host::of(state);
        if let Some(budget) = (*host).budget.as_ref() {
            budget.charge(state, text.len() / 8);
        }
        let mut lexer = Lexer::new(text, (*host).json.decode_invalid);
        let token = lexer.next(&mut (*host).scratch);
        push_value(state, host, &mut lexer, token, 0);
        match lexer.next(&mut (*host).scratch) {
            Token::End => 1,
            token => fail(state, host, &lexer, "the end", token),
        }
    }
}

unsafe fn fail(state: State, host: *mut Host, lexer: &Lexer<'_>, expected: &str, found: Token) -> ! {
    // SAFETY: the text is kept in the host.
    unsafe {
        let place = lexer.start + 1;
        (*host).raise(state, format!("Expected {expected} but found {} at character {place}", found.name()))
    }
}

/// Pushes the value that a token begins.
unsafe fn push_value(state: State, host: *mut Host, lexer: &mut Lexer<'_>, token: Token, depth: usize) {
    // SAFETY: leaves one value; the host is borrowed only where nothing raises.
    unsafe {
        match token {
            Token::Text => raw::push_bytes(state, lexer.text_of(&(*host).scratch)),
            Token::Number(number) => ffi::lua_pushnumber(state, number),
            Token::Bool(flag) => ffi::lua_pushboolean(state, flag as c_int),
            Token::Null if (*host).json.decode_null => ffi::lua_pushlightuserdata(state, std::ptr::null_mut()),
            Token::Null => ffi::lua_pushnil(state),
            Token::ObjectBegin | Token::ArrayBegin => {
                let depth = depth + 1;
                if depth > (*host).json.decode_max_depth || ffi::lua_checkstack(state, 6) == 0 {
                    let place = lexer.start + 1;
                    (*host)
                        .raise(state, format!("Found too many nested data structures ({depth}) at character {place}"));
                }
                ffi::lua_createtable(state, 0, 0);
                match token {
                    Token::ObjectBegin => push_object(state, host, lexer, depth),
                    _ => push_array(state, host, lexer, depth),
                }
            }
            token => fail(state, host, lexer, "value", token),
        }
    }
}

/// Fills the table on top of the stack.
unsafe fn push_object(state: State, host: *mut Host, lexer: &mut Lexer<'_>, depth: usize) {
    // SAFETY: as `push_value`.
    unsafe {
        let mut token = lexer.next(&mut (*host).scratch);
        if token == Token::ObjectEnd {
            return;
        }
        loop {
            if token != Token::Text {
                fail(state, host, lexer, "object key string", token);
            }
            raw::push_bytes(state, lexer.text_of(&(*host).scratch));
            token = lexer.next(&mut (*host).scratch);
            if token != Token::Colon {
                fail(state, host, lexer, "colon", token);
            }
            token = lexer.next(&mut (*host).scratch);
            push_value(state, host, lexer, token, depth);
            ffi::lua_rawset(state, -3);
            match lexer.next(&mut (*host).scratch) {
                Token::ObjectEnd => return,
                Token::Comma => token = lexer.next(&mut (*host).scratch),
                token => fail(state, host, lexer, "comma or object end", token),
            }
        }
    }
}

/// Fills the table on top of the stack.
unsafe fn push_array(state: State, host: *mut Host, lexer: &mut Lexer<'_>, depth: usize) {
    // SAFETY: as `push_value`.
    unsafe {
        let mut token = lexer.next(&mut (*host).scratch);
        if token == Token::ArrayEnd {
            return;
        }
        for place in 1.. {
            push_value(state, host, lexer, token, depth);
            ffi::lua_rawseti(state, -2, place);
            match lexer.next(&mut (*host).scratch) {
                Token::ArrayEnd => return,
                Token::Comma => token = lexer.next(&mut (*host).scratch),
                token => fail(state, host, lexer, "comma or array end", token),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::put_string;
    use super::*;
    use proptest::prelude::*;

    /// Every token of a text; ends at the first error.
    fn tokens(text: &[u8]) -> Vec<Token> {
        let mut lexer = Lexer::new(text, true);
        let mut tokens = Vec::new();
        let mut buffer = Vec::new();
        loop {
            let token = lexer.next(&mut buffer);
            tokens.push(token);
            if matches!(token, Token::End | Token::Error(_)) {
                return tokens;
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            tokens(&text);
        }

        #[test]
        fn any_words_are_taken_apart(words in proptest::collection::vec("[-+.eE0-9xnNiIaAfF\"\\\\u]{0,12}", 0..8)) {
            tokens(words.concat().as_bytes());
        }

        #[test]
        fn what_is_written_is_read(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut written = Vec::new();
            put_string(&text, &mut written);
            let mut lexer = Lexer::new(&written, true);
            let mut buffer = Vec::new();
            prop_assert_eq!(lexer.next(&mut buffer), Token::Text);
            prop_assert_eq!(lexer.text_of(&buffer), text);
        }
    }
}
