//! A field as an argument of a command: `NAME[:TYPE[:REPRESENTATION]]=VALUE`.

use std::str::FromStr;

use base64::Engine as _;

use super::builder::MessageBuilder;
use super::view::ValueType;

/// One value of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldArgument {
    name: String,
    representation: String,
    value: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    String(String),
    Bytes(Vec<u8>),
    Integer(i64),
    Double(f64),
    Bool(bool),
}

impl Value {
    fn value_type(&self) -> ValueType {
        match self {
            Value::String(_) => ValueType::String,
            Value::Bytes(_) => ValueType::Bytes,
            Value::Integer(_) => ValueType::Integer,
            Value::Double(_) => ValueType::Double,
            Value::Bool(_) => ValueType::Bool,
        }
    }
}

impl FromStr for FieldArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<FieldArgument, String> {
        let wrong = || "expected NAME=VALUE, NAME:TYPE=VALUE or NAME:TYPE:REPRESENTATION=VALUE".to_string();
        let (left, value) = text.split_once('=').ok_or_else(wrong)?;
        let types = ["string", "bytes", "integer", "double", "bool"];
        // A colon that no type follows is one of the name.
        let found = types.iter().find_map(|kind| {
            let at = left.find(&format!(":{kind}"))?;
            let rest = &left[at + 1 + kind.len()..];
            (rest.is_empty() || rest.starts_with(':')).then(|| (&left[..at], *kind, rest.trim_start_matches(':')))
        });
        let (name, kind, representation) = found.unwrap_or((left, "string", ""));
        if name.is_empty() {
            return Err(wrong());
        }
        let not = || format!("{value:?} is no value of type {kind}");
        let value = match kind {
            "bytes" => Value::Bytes(base64::engine::general_purpose::STANDARD.decode(value).map_err(|_| not())?),
            "integer" => Value::Integer(value.parse().map_err(|_| not())?),
            "double" => Value::Double(value.parse().map_err(|_| not())?),
            "bool" => Value::Bool(value.parse().map_err(|_| not())?),
            _ => Value::String(value.to_string()),
        };
        Ok(FieldArgument { name: name.into(), representation: representation.into(), value })
    }
}

/// Writes fields; those of the same name, type and representation are one field with several values.
pub fn put_field_arguments(builder: &mut MessageBuilder<'_>, arguments: &[FieldArgument]) {
    let same = |a: &FieldArgument, b: &FieldArgument| {
        a.name == b.name && a.representation == b.representation && a.value.value_type() == b.value.value_type()
    };
    for (place, first) in arguments.iter().enumerate() {
        if arguments[..place].iter().any(|earlier| same(earlier, first)) {
            continue;
        }
        let all = || arguments[place..].iter().filter(|other| same(other, first)).map(|argument| &argument.value);
        let (name, representation) = (first.name.as_bytes(), first.representation.as_bytes());
        builder.field(name, first.value.value_type(), representation, |values| match first.value {
            Value::String(_) | Value::Bytes(_) => all().for_each(|value| match value {
                Value::String(text) => values.string(text.as_bytes()),
                Value::Bytes(bytes) => values.bytes(bytes),
                _ => {}
            }),
            Value::Integer(_) => values.integers(all().filter_map(|value| match value {
                Value::Integer(number) => Some(*number),
                _ => None,
            })),
            Value::Double(_) => values.doubles(all().filter_map(|value| match value {
                Value::Double(number) => Some(*number),
                _ => None,
            })),
            Value::Bool(_) => values.bools(all().filter_map(|value| match value {
                Value::Bool(flag) => Some(*flag),
                _ => None,
            })),
        });
    }
}
