//! Reads any object: as a tree first, so that of a key that comes again the last value counts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::cjson::put_string;
use super::{BAD_TIME, Lexer, MessageBuilder, Number, Options, Parts, Scalar, Token};
use crate::message::ValueType;

/// Objects within objects, as in lua-cjson.
const MAX_DEPTH: usize = 1000;

/// NaN, Infinity and the like.
fn is_word(number: f64, digits: &[u8]) -> bool {
    !number.is_finite() && !digits.iter().any(u8::is_ascii_digit)
}

enum Node<'t> {
    Null,
    Bool(bool),
    Text(Vec<u8>),
    Number(f64, &'t [u8]),
    Array(Vec<Node<'t>>),
    /// No key twice.
    Object(Vec<(Vec<u8>, Node<'t>)>),
}

/// See [`super::fast::read`].
///
/// # Errors
/// What is wrong with the text, and at which column.
pub fn read(parts: &mut Parts, lexer: Lexer<'_>, options: &Options, limit: usize) -> Result<(), Cow<'static, str>> {
    parts.clear();
    let mut reader = Reader { lexer, text: Vec::new() };
    let root = reader
        .document()
        .map_err(|Fault { words, column }| Cow::Owned(format!("Failed to decode JSON at column {column}: {words}")))?;
    let mut fields = Fields { options, limit, size: 0, places: HashMap::new(), all: Vec::new() };
    match root {
        Node::Object(members) => {
            for (key, value) in &members {
                let target = options.headers.iter().find(|(of, _)| of == key);
                if let Some((_, target)) = target {
                    match value.scalar() {
                        Some(value) if parts.take(*target, value, options)? => continue,
                        None if *target == super::Target::Timestamp => return Err(BAD_TIME.into()),
                        _ => {}
                    }
                }
                fields.add(key.clone(), value, 1);
            }
        }
        Node::Array(values) => fields.add_all(b"", &values, 0),
        _ => return Err("Failed to flatten message.".into()),
    }
    fields.write(&mut parts.fields);
    Ok(())
}

struct Fault {
    words: String,
    column: usize,
}

struct Reader<'t> {
    lexer: Lexer<'t>,
    text: Vec<u8>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Token {
        self.lexer.next(&mut self.text)
    }

    fn fault(&self, expected: &str, found: Token) -> Fault {
        Fault { words: format!("Expected {expected} but found {}", found.name()), column: self.lexer.start() + 1 }
    }

    fn document(&mut self) -> Result<Node<'t>, Fault> {
        let token = self.next();
        let root = self.value(token, 0)?;
        match self.next() {
            Token::End => Ok(root),
            token => Err(self.fault("the end", token)),
        }
    }

    fn value(&mut self, token: Token, depth: usize) -> Result<Node<'t>, Fault> {
        Ok(match token {
            Token::Null => Node::Null,
            Token::Bool(flag) => Node::Bool(flag),
            Token::Text => Node::Text(self.lexer.text_of(&self.text).to_vec()),
            Token::Number(number) if is_word(number, self.lexer.source()) => {
                return Err(self.fault("value", Token::Error("invalid number")));
            }
            Token::Number(number) => Node::Number(number, self.lexer.source()),
            Token::ObjectBegin | Token::ArrayBegin if depth == MAX_DEPTH => {
                let words = format!("Found too many nested data structures ({})", depth + 1);
                return Err(Fault { words, column: self.lexer.start() + 1 });
            }
            Token::ObjectBegin => self.object(depth + 1)?,
            Token::ArrayBegin => self.array(depth + 1)?,
            token => return Err(self.fault("value", token)),
        })
    }

    fn object(&mut self, depth: usize) -> Result<Node<'t>, Fault> {
        let mut members = Vec::new();
        let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut token = self.next();
        while token != Token::ObjectEnd {
            if token != Token::Text {
                return Err(self.fault("object key string", token));
            }
            let key = self.lexer.text_of(&self.text).to_vec();
            match self.next() {
                Token::Colon => {}
                token => return Err(self.fault("colon", token)),
            }
            token = self.next();
            let value = self.value(token, depth)?;
            match places.entry(key) {
                Entry::Occupied(place) => {
                    if let Some((_, slot)) = members.get_mut(*place.get()) {
                        *slot = value;
                    }
                }
                Entry::Vacant(place) => {
                    members.push((place.key().clone(), value));
                    place.insert(members.len() - 1);
                }
            }
            token = match self.next() {
                Token::Comma => self.next(),
                Token::ObjectEnd => break,
                token => return Err(self.fault("comma or object end", token)),
            };
            if token == Token::ObjectEnd {
                return Err(self.fault("object key string", token));
            }
        }
        Ok(Node::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Node<'t>, Fault> {
        let mut values = Vec::new();
        let mut token = self.next();
        if token == Token::ArrayEnd {
            return Ok(Node::Array(values));
        }
        loop {
            values.push(self.value(token, depth)?);
            match self.next() {
                Token::Comma => token = self.next(),
                Token::ArrayEnd => return Ok(Node::Array(values)),
                token => return Err(self.fault("comma or array end", token)),
            }
        }
    }
}

impl Node<'_> {
    fn scalar(&self) -> Option<Scalar<'_>> {
        Some(match self {
            Node::Null => Scalar::Null,
            Node::Bool(flag) => Scalar::Bool(*flag),
            Node::Text(text) => Scalar::Text(text),
            Node::Number(number, digits) => Scalar::Number(*number, digits),
            Node::Array(_) | Node::Object(_) => return None,
        })
    }

    fn put_json(&self, out: &mut Vec<u8>) {
        match self {
            Node::Null => out.extend_from_slice(b"null"),
            Node::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Node::Text(text) => put_string(text, out),
            Node::Number(_, digits) => out.extend_from_slice(digits),
            Node::Array(values) => {
                out.push(b'[');
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    value.put_json(out);
                }
                out.push(b']');
            }
            Node::Object(members) => {
                out.push(b'{');
                for (place, (key, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    put_string(key, out);
                    out.push(b':');
                    value.put_json(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// A field's value.
#[derive(Clone)]
enum Value {
    Bool(bool),
    Integer(i64),
    Double(f64),
    Text(Vec<u8>),
}

impl Value {
    fn value_type(&self) -> ValueType {
        match self {
            Value::Bool(_) => ValueType::Bool,
            Value::Integer(_) => ValueType::Integer,
            Value::Double(_) => ValueType::Double,
            Value::Text(_) => ValueType::String,
        }
    }

    fn text(&self) -> Vec<u8> {
        match self {
            Value::Bool(flag) => flag.to_string().into(),
            Value::Integer(number) => number.to_string().into(),
            Value::Double(number) => number.to_string().into(),
            Value::Text(text) => text.clone(),
        }
    }
}

/// The fields in the object's order. Values that get one name, of `{"a.b": 1, "a": {"b": 2}}`, are values of one field.
struct Fields<'o> {
    options: &'o Options,
    limit: usize,
    size: usize,
    places: HashMap<Vec<u8>, usize>,
    all: Vec<(Vec<u8>, Vec<Value>)>,
}

impl Fields<'_> {
    /// `depth`: of the object or array that the value is in.
    fn add(&mut self, name: Vec<u8>, node: &Node<'_>, depth: usize) {
        let value = match node {
            Node::Null => return,
            Node::Array(_) | Node::Object(_) if depth >= self.options.maximum_depth => {
                let mut text = Vec::new();
                node.put_json(&mut text);
                Value::Text(text)
            }
            Node::Array(values) => return self.add_all(&name, values, depth),
            Node::Object(members) => {
                for (key, value) in members {
                    let name = [&name, &self.options.separator, key.as_slice()].concat();
                    self.add(name, value, depth + 1);
                }
                return;
            }
            Node::Bool(flag) => Value::Bool(*flag),
            Node::Text(text) => Value::Text(text.clone()),
            Node::Number(number, digits) => match Number::of(*number, digits, self.options) {
                Number::Integer(integer) => Value::Integer(integer),
                Number::Double(number) => Value::Double(number),
                Number::Digits(digits) => Value::Text(digits.to_vec()),
            },
        };
        // What goes over the limit stays, so that the message is refused.
        if self.size > self.limit {
            return;
        }
        self.size += name.len();
        match self.places.entry(name) {
            Entry::Occupied(place) => {
                if let Some((_, values)) = self.all.get_mut(*place.get()) {
                    values.push(value);
                }
            }
            Entry::Vacant(place) => {
                self.all.push((place.key().clone(), vec![value]));
                place.insert(self.all.len() - 1);
            }
        }
    }

    fn add_all(&mut self, parent: &[u8], values: &[Node<'_>], depth: usize) {
        let separator: &[u8] = if depth == 0 { b"" } else { &self.options.separator };
        for (place, value) in values.iter().enumerate() {
            if self.size > self.limit {
                return;
            }
            let name = [parent, separator, (place + 1).to_string().as_bytes()].concat();
            self.add(name, value, depth + 1);
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        for (name, values) in &self.all {
            let first = values.first().map_or(ValueType::String, Value::value_type);
            let same = values.iter().all(|value| value.value_type() == first);
            // The values of a field have one type.
            let value_type = if same { first } else { ValueType::String };
            MessageBuilder::more(out).field(name, value_type, b"", |to| match value_type {
                ValueType::Integer => to.integers(values.iter().filter_map(|value| match value {
                    Value::Integer(number) => Some(*number),
                    _ => None,
                })),
                ValueType::Double => to.doubles(values.iter().filter_map(|value| match value {
                    Value::Double(number) => Some(*number),
                    _ => None,
                })),
                ValueType::Bool => to.bools(values.iter().filter_map(|value| match value {
                    Value::Bool(flag) => Some(*flag),
                    _ => None,
                })),
                ValueType::String | ValueType::Bytes => values.iter().for_each(|value| to.string(&value.text())),
            });
        }
    }
}
