//! A part of a message by its name, as people write it in options: `Hostname`, `Fields[name]`; and texts made of such parts.

use std::io::Write as _;

use super::{MessageView, TextHeader, Value, uuid};

/// A header, or the first field of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    Field(String),
    Text(TextHeader),
    Uuid,
    Timestamp,
    Severity,
    Pid,
}

impl Variable {
    /// Reads a name as matchers have it.
    ///
    /// # Errors
    /// A sentence for the user when there is no such variable.
    pub fn parse(name: &str) -> Result<Variable, String> {
        Ok(match name {
            "Type" => Variable::Text(TextHeader::Type),
            "Logger" => Variable::Text(TextHeader::Logger),
            "Payload" => Variable::Text(TextHeader::Payload),
            "EnvVersion" => Variable::Text(TextHeader::EnvVersion),
            "Hostname" => Variable::Text(TextHeader::Hostname),
            "Uuid" => Variable::Uuid,
            "Timestamp" => Variable::Timestamp,
            "Severity" => Variable::Severity,
            "Pid" => Variable::Pid,
            other => match other.strip_prefix("Fields[").and_then(|name| name.strip_suffix(']')) {
                Some(name) => Variable::Field(name.to_string()),
                None => return Err(format!("{other:?} is no variable; there are Type, Hostname … and Fields[name]")),
            },
        })
    }

    /// Appends the first value as text, the uuid in its 36 letters, the timestamp in nanoseconds. Nothing for what the
    /// message doesn't have.
    pub fn put_text(&self, buf: &mut Vec<u8>, view: &MessageView<'_>) {
        match self {
            Variable::Field(name) => {
                if let Some(value) = view.value(name.as_bytes()) {
                    put_value_text(buf, value);
                }
            }
            Variable::Text(header) => buf.extend_from_slice(view.text(*header).unwrap_or_default()),
            Variable::Uuid => {
                buf.extend_from_slice(uuid::format(view.uuid()).as_ref().map_or(&b""[..], |text| &text[..]));
            }
            Variable::Timestamp => put_value_text(buf, Value::Integer(view.timestamp())),
            Variable::Severity => put_value_text(buf, Value::Integer(view.severity().unwrap_or(7).into())),
            Variable::Pid => put_value_text(buf, Value::Integer(view.pid().unwrap_or(0).into())),
        }
    }
}

/// Appends a value as text.
pub fn put_value_text(buf: &mut Vec<u8>, value: Value<'_>) {
    // Writing to memory can't fail.
    let _ = match value {
        Value::String(text) | Value::Bytes(text) => buf.write_all(text),
        Value::Integer(number) => write!(buf, "{number}"),
        Value::Double(number) => write!(buf, "{number}"),
        Value::Bool(flag) => write!(buf, "{flag}"),
    };
}

/// A text with variables in it: `web/%{Hostname}/%{Fields[app]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interpolation(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

impl Interpolation {
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Interpolation, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("%{") {
            let (name, after) = after.split_once('}').ok_or("a %{ without its }")?;
            let variable = Variable::parse(name)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_string()));
            }
            parts.push(Part::Variable(variable));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_string()));
        }
        Ok(Interpolation(parts))
    }

    /// The text, if it is the same for every message.
    pub fn constant(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text for a message.
    pub fn put(&self, buf: &mut Vec<u8>, view: &MessageView<'_>) {
        for part in &self.0 {
            match part {
                Part::Text(text) => buf.extend_from_slice(text.as_bytes()),
                Part::Variable(variable) => variable.put_text(buf, view),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageBuilder;

    #[test]
    fn variables_are_put_into_texts() {
        let mut bytes = Vec::new();
        let mut builder = MessageBuilder::new(&mut bytes, &[1; 16], 5);
        builder.severity(3).text(TextHeader::Hostname, b"web1").integer_field(b"n", 7, b"");
        let view = MessageView::new(&bytes).unwrap();
        let text = |template: &str| {
            let mut buf = Vec::new();
            Interpolation::parse(template).unwrap().put(&mut buf, &view);
            String::from_utf8(buf).unwrap()
        };
        assert_eq!(text("a/%{Hostname}-%{Fields[n]}%"), "a/web1-7%");
        assert_eq!(text("%{Severity}%{Pid}%{Timestamp}%{Fields[no]}%{Type}."), "305.");
        assert_eq!(text("%{Uuid}"), "01010101-0101-0101-0101-010101010101");
        for wrong in ["%{", "%{Host}", "%{Fields[x}"] {
            assert!(Interpolation::parse(wrong).is_err(), "{wrong}");
        }
    }
}
