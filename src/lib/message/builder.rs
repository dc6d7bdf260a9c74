//! Writing a message straight into a buffer, without a value in between.
//!
//! Callers add headers and fields in ascending order of their numbers (uuid, timestamp, type, logger, severity,
//! payload, env_version, pid, hostname, fields): that is the form that every known reader accepts. Within a field:
//! name, type, representation, values; a number array is packed when it has more than one element.

use super::schema;
use super::view::{FieldView, MessageView, TextHeader, Value, ValueType};
use super::wire::{close_length, put_bytes, put_varint};

/// Appends one message to a buffer.
pub struct MessageBuilder<'b> {
    buf: &'b mut Vec<u8>,
}

impl<'b> MessageBuilder<'b> {
    #[inline]
    pub fn new(buf: &'b mut Vec<u8>, uuid: &[u8], timestamp: i64) -> Self {
        put_bytes(buf, 0x0a, uuid);
        buf.push(0x10);
        put_varint(buf, timestamp as u64);
        MessageBuilder { buf }
    }

    /// Goes on with a message that was begun elsewhere.
    pub fn more(buf: &'b mut Vec<u8>) -> Self {
        MessageBuilder { buf }
    }

    #[inline]
    pub fn text(&mut self, header: TextHeader, value: &[u8]) -> &mut Self {
        put_bytes(self.buf, header.tag(), value);
        self
    }

    pub fn severity(&mut self, severity: i32) -> &mut Self {
        self.buf.push(0x28);
        put_varint(self.buf, severity as i64 as u64);
        self
    }

    pub fn pid(&mut self, pid: i32) -> &mut Self {
        self.buf.push(0x40);
        put_varint(self.buf, pid as i64 as u64);
        self
    }

    /// A field whose values `write` adds. An empty representation is left out.
    #[inline]
    pub fn field(
        &mut self,
        name: &[u8],
        value_type: ValueType,
        representation: &[u8],
        write: impl FnOnce(&mut FieldValues<'_>),
    ) -> &mut Self {
        self.buf.extend_from_slice(&[0x52, 0]);
        let start = self.buf.len() - 1;
        put_bytes(self.buf, 0x0a, name);
        if value_type != ValueType::String {
            self.buf.extend_from_slice(&[0x10, value_type as u8]);
        }
        if !representation.is_empty() {
            put_bytes(self.buf, 0x1a, representation);
        }
        write(&mut FieldValues { buf: self.buf });
        close_length(self.buf, start);
        self
    }

    pub fn string_field(&mut self, name: &[u8], value: &[u8], representation: &[u8]) -> &mut Self {
        if self.begin_short_field(name, 0, representation, value.len() + 2) {
            self.buf.extend_from_slice(&[0x22, value.len() as u8]);
            self.buf.extend_from_slice(value);
            return self;
        }
        self.field(name, ValueType::String, representation, |values| values.string(value))
    }

    /// Begins a field whose lengths are known and take one byte each, as nearly all do: then it is written in one go.
    /// `value_type`: 0 is left out; `values`: bytes that come after. False, and nothing appended, for a longer one.
    #[inline(always)]
    fn begin_short_field(&mut self, name: &[u8], value_type: u8, representation: &[u8], values: usize) -> bool {
        let type_len = if value_type == 0 { 0 } else { 2 };
        let representation_len = if representation.is_empty() { 0 } else { representation.len() + 2 };
        let len = name.len() + 2 + type_len + representation_len + values;
        if len >= 0x80 {
            return false;
        }
        self.buf.extend_from_slice(&[0x52, len as u8, 0x0a, name.len() as u8]);
        self.buf.extend_from_slice(name);
        if value_type != 0 {
            self.buf.extend_from_slice(&[0x10, value_type]);
        }
        if !representation.is_empty() {
            self.buf.extend_from_slice(&[0x1a, representation.len() as u8]);
            self.buf.extend_from_slice(representation);
        }
        true
    }

    pub fn integer_field(&mut self, name: &[u8], value: i64, representation: &[u8]) -> &mut Self {
        self.field(name, ValueType::Integer, representation, |values| values.integers(std::iter::once(value)))
    }

    pub fn double_field(&mut self, name: &[u8], value: f64, representation: &[u8]) -> &mut Self {
        if self.begin_short_field(name, ValueType::Double as u8, representation, 9) {
            let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
            self.buf.extend_from_slice(&[0x39, a, b, c, d, e, f, g, h]);
            return self;
        }
        self.field(name, ValueType::Double, representation, |values| values.doubles(std::iter::once(value)))
    }

    pub fn bool_field(&mut self, name: &[u8], value: bool, representation: &[u8]) -> &mut Self {
        self.field(name, ValueType::Bool, representation, |values| values.bools(std::iter::once(value)))
    }

    /// The same field in the form that this builder writes.
    pub fn copy_field(&mut self, field: &FieldView<'_>) {
        self.field(field.name, field.value_type, field.representation.unwrap_or_default(), |values| {
            match field.value_type {
                ValueType::String | ValueType::Bytes => {
                    for value in field.values() {
                        match value {
                            Value::String(text) => values.string(text),
                            Value::Bytes(bytes) => values.bytes(bytes),
                            _ => {}
                        }
                    }
                }
                ValueType::Integer => values.integers(field.values().filter_map(|value| match value {
                    Value::Integer(number) => Some(number),
                    _ => None,
                })),
                ValueType::Double => values.doubles(field.values().filter_map(|value| match value {
                    Value::Double(number) => Some(number),
                    _ => None,
                })),
                ValueType::Bool => values.bools(field.values().filter_map(|value| match value {
                    Value::Bool(flag) => Some(flag),
                    _ => None,
                })),
            }
        });
    }
}

/// Adds the values of one field.
pub struct FieldValues<'b> {
    buf: &'b mut Vec<u8>,
}

impl FieldValues<'_> {
    #[inline]
    pub fn string(&mut self, value: &[u8]) {
        put_bytes(self.buf, 0x22, value);
    }

    pub fn bytes(&mut self, value: &[u8]) {
        put_bytes(self.buf, 0x2a, value);
    }

    pub fn integers(&mut self, values: impl Iterator<Item = i64>) {
        self.numbers(values, 0x30, 0x32, |buf, value| put_varint(buf, value as u64));
    }

    pub fn doubles(&mut self, values: impl Iterator<Item = f64>) {
        self.numbers(values, 0x39, 0x3a, |buf, value| buf.extend_from_slice(&value.to_le_bytes()));
    }

    pub fn bools(&mut self, values: impl Iterator<Item = bool>) {
        self.numbers(values, 0x40, 0x42, |buf, value| buf.push(value as u8));
    }

    /// One value has its own tag, several are packed, as lua_sandbox writes them.
    #[inline]
    fn numbers<T>(
        &mut self,
        mut values: impl Iterator<Item = T>,
        single: u8,
        packed: u8,
        put: impl Fn(&mut Vec<u8>, T),
    ) {
        let Some(first) = values.next() else { return };
        let Some(second) = values.next() else {
            self.buf.push(single);
            return put(self.buf, first);
        };
        self.buf.extend_from_slice(&[packed, 0]);
        let start = self.buf.len() - 1;
        put(self.buf, first);
        put(self.buf, second);
        for value in values {
            put(self.buf, value);
        }
        close_length(self.buf, start);
    }
}

/// Appends the message in the form that [`MessageBuilder`] writes, whoever encoded it.
pub fn encode_canonical(view: &MessageView<'_>, buf: &mut Vec<u8>) {
    let mut builder = MessageBuilder::new(buf, view.uuid(), view.timestamp());
    let text = |builder: &mut MessageBuilder<'_>, header| {
        if let Some(value) = view.text(header) {
            builder.text(header, value);
        }
    };
    text(&mut builder, TextHeader::Type);
    text(&mut builder, TextHeader::Logger);
    if let Some(severity) = view.severity() {
        builder.severity(severity);
    }
    text(&mut builder, TextHeader::Payload);
    text(&mut builder, TextHeader::EnvVersion);
    if let Some(pid) = view.pid() {
        builder.pid(pid);
    }
    text(&mut builder, TextHeader::Hostname);
    for field in view.fields() {
        builder.copy_field(&field);
    }
}

impl schema::Field {
    /// Appends the field of a message in the form that [`MessageBuilder`] writes.
    pub fn encode_into(&self, buf: &mut Vec<u8>) {
        let value_type = ValueType::from_number(self.value_type.unwrap_or(0) as u64).unwrap_or(ValueType::String);
        let representation = self.representation.as_deref().unwrap_or_default();
        MessageBuilder::more(buf).field(&self.name, value_type, representation, |values| match value_type {
            ValueType::String => self.value_string.iter().for_each(|text| values.string(text)),
            ValueType::Bytes => self.value_bytes.iter().for_each(|bytes| values.bytes(bytes)),
            ValueType::Integer => values.integers(self.value_integer.iter().copied()),
            ValueType::Double => values.doubles(self.value_double.iter().copied()),
            ValueType::Bool => values.bools(self.value_bool.iter().copied()),
        });
    }
}

impl schema::Message {
    /// Appends the message in the form that [`MessageBuilder`] writes.
    pub fn encode_into(&self, buf: &mut Vec<u8>) {
        let bytes = prost::Message::encode_to_vec(self);
        match MessageView::new(&bytes) {
            Some(view) => encode_canonical(&view, buf),
            None => buf.extend_from_slice(&bytes),
        }
    }
}
