//! Reads a simple object in one go: no key comes again, no two values get one name, nothing is too deep.

use xxhash_rust::xxh64::xxh64;

use super::{Lexer, MessageBuilder, Number, Options, Parts, Scalar, Token};

/// Objects within objects.
const MAX_DEPTH: usize = 64;
/// Names in a message: each is compared with all before it.
const MAX_NAMES: usize = 256;

/// What is left to the tree: errors, too.
pub struct NotSimple;

/// `limit`: bytes that the fields may take.
pub fn read(parts: &mut Parts, mut lexer: Lexer<'_>, options: &Options, limit: usize) -> Result<(), NotSimple> {
    parts.clear();
    if lexer.next(&mut parts.text) != Token::ObjectBegin {
        return Err(NotSimple);
    }
    let mut reader = Reader { parts, lexer, options, limit };
    reader.object(1)?;
    match reader.next() {
        Token::End => Ok(()),
        _ => Err(NotSimple),
    }
}

struct Reader<'r, 't> {
    parts: &'r mut Parts,
    lexer: Lexer<'t>,
    options: &'r Options,
    limit: usize,
}

impl Reader<'_, '_> {
    #[inline]
    fn next(&mut self) -> Token {
        self.lexer.next(&mut self.parts.text)
    }

    /// What follows an object's beginning, up to its end.
    fn object(&mut self, depth: usize) -> Result<(), NotSimple> {
        let mut token = self.next();
        if token == Token::ObjectEnd {
            return Ok(());
        }
        let end = self.parts.name.len();
        loop {
            if token != Token::Text {
                return Err(NotSimple);
            }
            if depth > 1 {
                self.parts.name.extend_from_slice(&self.options.separator);
            }
            self.parts.name.extend_from_slice(self.lexer.text_of(&self.parts.text));
            if self.next() != Token::Colon {
                return Err(NotSimple);
            }
            token = self.next();
            self.value(token, depth)?;
            self.parts.name.truncate(end);
            match self.next() {
                Token::ObjectEnd => return Ok(()),
                Token::Comma => token = self.next(),
                _ => return Err(NotSimple),
            }
        }
    }

    /// What follows an array's beginning, up to its end.
    fn array(&mut self, depth: usize) -> Result<(), NotSimple> {
        let mut token = self.next();
        if token == Token::ArrayEnd {
            return Ok(());
        }
        let end = self.parts.name.len();
        for place in 1.. {
            self.parts.name.extend_from_slice(&self.options.separator);
            self.parts.name.extend_from_slice(itoa::Buffer::new().format(place).as_bytes());
            self.value(token, depth)?;
            self.parts.name.truncate(end);
            match self.next() {
                Token::ArrayEnd => break,
                Token::Comma => token = self.next(),
                _ => return Err(NotSimple),
            }
        }
        Ok(())
    }

    /// The value that a token begins, whose name is in the buffer.
    #[inline]
    fn value(&mut self, token: Token, depth: usize) -> Result<(), NotSimple> {
        let Reader { parts, lexer, options, limit } = self;
        let hash = xxh64(&parts.name, 0);
        if parts.names.len() == MAX_NAMES || parts.names.contains(&hash) || parts.fields.len() > *limit {
            return Err(NotSimple);
        }
        parts.names.push(hash);
        // The text may be in the buffer, which is one of the parts.
        let text = std::mem::take(&mut parts.text);
        let result = match Scalar::of(token, lexer, &text) {
            Some(Scalar::Number(number, _)) if !number.is_finite() => Err(NotSimple),
            Some(value) => parts.scalar(value, depth, options).map_err(|_| NotSimple),
            None if depth >= options.maximum_depth.min(MAX_DEPTH) => Err(NotSimple),
            None if depth == 1 && options.headers.iter().any(|(key, _)| *key == parts.name) => Err(NotSimple),
            None => Ok(()),
        };
        parts.text = text;
        match token {
            Token::ObjectBegin if result.is_ok() => self.object(depth + 1),
            Token::ArrayBegin if result.is_ok() => self.array(depth + 1),
            Token::ObjectBegin | Token::ArrayBegin => Err(NotSimple),
            Token::Text | Token::Number(_) | Token::Bool(_) | Token::Null => result,
            _ => Err(NotSimple),
        }
    }
}

impl Parts {
    /// A value whose name is in the buffer, for a header or a field.
    #[inline]
    fn scalar(&mut self, value: Scalar<'_>, depth: usize, options: &Options) -> Result<(), &'static str> {
        if let Some((_, target)) = options.headers.iter().find(|(key, _)| depth == 1 && *key == self.name)
            && self.take(*target, value, options)?
        {
            return Ok(());
        }
        let mut fields = MessageBuilder::more(&mut self.fields);
        match value {
            Scalar::Null => {}
            Scalar::Bool(flag) => drop(fields.bool_field(&self.name, flag, b"")),
            Scalar::Text(text) => drop(fields.string_field(&self.name, text, b"")),
            Scalar::Number(number, digits) => match Number::of(number, digits, options) {
                Number::Integer(integer) => drop(fields.integer_field(&self.name, integer, b"")),
                Number::Double(number) => drop(fields.double_field(&self.name, number, b"")),
                Number::Digits(digits) => drop(fields.string_field(&self.name, digits, b"")),
            },
        }
        Ok(())
    }
}
