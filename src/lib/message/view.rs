//! Reading a message in place. One scan of the top level notes where the headers are;
//! a field is decoded when it is asked for. Nothing is copied.

use super::wire::{FIXED64, LEN, Reader, VARINT};

/// A byte range in the message, or absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    const ABSENT: Span = Span { start: u32::MAX, len: 0 };

    fn get<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        if self.start == u32::MAX {
            return None;
        }
        bytes.get(self.start as usize..self.start as usize + self.len as usize)
    }
}

/// The tag of a field.
const FIELD: u8 = 10 << 3 | LEN;

/// A header that holds text. The discriminants are places in [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextHeader {
    Type,
    Logger,
    Payload,
    EnvVersion,
    Hostname,
}

/// Where the headers of a message are: what one scan finds. It has no lifetime, so it can be kept beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    timestamp: i64,
    severity: Option<i32>,
    pid: Option<i32>,
    uuid: Span,
    text: [Span; 5],
    /// Offset of the first field's tag.
    fields: u32,
}

impl Index {
    /// Scans the top level. `None` when the bytes are no message: malformed, a known field with a wrong wire
    /// type, or without the two required fields. Unknown fields are skipped. Field bodies are not looked into.
    #[inline]
    pub fn scan(bytes: &[u8]) -> Option<Index> {
        let mut index = Index {
            timestamp: 0,
            severity: None,
            pid: None,
            uuid: Span::ABSENT,
            text: [Span::ABSENT; 5],
            fields: u32::MAX,
        };
        let mut has_timestamp = false;
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let at = reader.pos();
            let (field, wire) = reader.tag()?;
            match (field, wire) {
                (10, LEN) => {
                    reader.bytes()?;
                    if index.fields == u32::MAX {
                        index.fields = u32::try_from(at).ok()?;
                    }
                    // Fields come one after the other.
                    reader.skip_run(FIELD)?;
                }
                (1 | 3 | 4 | 6 | 7 | 9, LEN) => {
                    let part = reader.bytes()?;
                    let span = Span {
                        start: u32::try_from(reader.pos() - part.len()).ok()?,
                        len: u32::try_from(part.len()).ok()?,
                    };
                    match field {
                        1 => index.uuid = span,
                        3 => index.text[TextHeader::Type as usize] = span,
                        4 => index.text[TextHeader::Logger as usize] = span,
                        6 => index.text[TextHeader::Payload as usize] = span,
                        7 => index.text[TextHeader::EnvVersion as usize] = span,
                        _ => index.text[TextHeader::Hostname as usize] = span,
                    }
                }
                (2, VARINT) => {
                    index.timestamp = reader.varint()? as i64;
                    has_timestamp = true;
                }
                // Go writes a negative int32 in 5 bytes, others in 10: the low 32 bits are the value in both.
                (5, VARINT) => index.severity = Some(reader.varint()? as i32),
                (8, VARINT) => index.pid = Some(reader.varint()? as i32),
                (1..=10, _) => return None,
                _ => reader.skip(wire)?,
            }
        }
        (has_timestamp && index.uuid != Span::ABSENT).then_some(index)
    }

    pub fn has_fields(&self) -> bool {
        self.fields != u32::MAX
    }
}

/// A message read in place.
#[derive(Clone, Copy)]
pub struct MessageView<'a> {
    bytes: &'a [u8],
    index: Index,
}

impl<'a> MessageView<'a> {
    /// `None` when the bytes are no message (see [`Index::scan`]).
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        Some(MessageView { bytes, index: Index::scan(bytes)? })
    }

    /// For an index that was made of these same bytes. With others, reads give other parts of them or nothing.
    pub fn with_index(bytes: &'a [u8], index: Index) -> Self {
        MessageView { bytes, index }
    }

    /// The encoded message.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn index(&self) -> Index {
        self.index
    }

    /// 16 bytes in a well-formed message.
    pub fn uuid(&self) -> &'a [u8] {
        self.index.uuid.get(self.bytes).unwrap_or_default()
    }

    /// Nanoseconds since 1970-01-01 UTC.
    pub fn timestamp(&self) -> i64 {
        self.index.timestamp
    }

    pub fn severity(&self) -> Option<i32> {
        self.index.severity
    }

    pub fn pid(&self) -> Option<i32> {
        self.index.pid
    }

    #[inline]
    pub fn text(&self, header: TextHeader) -> Option<&'a [u8]> {
        self.index.text[header as usize].get(self.bytes)
    }

    pub fn payload(&self) -> &'a [u8] {
        self.text(TextHeader::Payload).unwrap_or_default()
    }

    /// The fields in message order. A malformed field is passed over.
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        Fields { reader: Reader::at(self.bytes, self.index.fields as usize) }
    }

    /// The fields whose names are wanted, in message order. Others are passed over without being read.
    #[inline]
    pub fn fields_called(self, mut wanted: impl FnMut(&[u8]) -> bool) -> impl Iterator<Item = FieldView<'a>> {
        let mut fields = self.fields();
        std::iter::from_fn(move || {
            loop {
                let body = fields.next_body()?;
                // Every writer puts the name first. (One that is written twice, which none does, is known by the first.)
                let mut reader = Reader::new(body);
                let name = reader.take(1 << 3 | LEN).then(|| reader.bytes()).flatten();
                if name.is_some_and(|name| !wanted(name)) {
                    continue;
                }
                if let Some(field) = FieldView::new(body)
                    && (name.is_some() || wanted(field.name))
                {
                    return Some(field);
                }
            }
        })
    }

    /// The `instance`-th field of that name, counted from 0.
    #[inline]
    pub fn field(&self, name: &[u8], instance: usize) -> Option<FieldView<'a>> {
        self.fields_called(move |other| other == name).nth(instance)
    }

    /// The first value of the first field of that name.
    pub fn value(&self, name: &[u8]) -> Option<Value<'a>> {
        self.field(name, 0)?.values().next()
    }
}

/// Iterates over the fields of a message.
#[derive(Clone)]
pub struct Fields<'a> {
    reader: Reader<'a>,
}

impl<'a> Fields<'a> {
    #[inline]
    fn next_body(&mut self) -> Option<&'a [u8]> {
        while !self.reader.is_empty() {
            if self.reader.take(FIELD) {
                return self.reader.bytes();
            }
            let (field, wire) = self.reader.tag()?;
            if field == 10 && wire == LEN {
                return self.reader.bytes();
            }
            self.reader.skip(wire)?;
        }
        None
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = FieldView<'a>;

    #[inline]
    fn next(&mut self) -> Option<FieldView<'a>> {
        loop {
            if let Some(field) = FieldView::new(self.next_body()?) {
                return Some(field);
            }
        }
    }
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    String = 0,
    Bytes = 1,
    Integer = 2,
    Double = 3,
    Bool = 4,
}

impl ValueType {
    pub fn from_number(number: u64) -> Option<ValueType> {
        Some(match number {
            0 => ValueType::String,
            1 => ValueType::Bytes,
            2 => ValueType::Integer,
            3 => ValueType::Double,
            4 => ValueType::Bool,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            ValueType::String => "string",
            ValueType::Bytes => "bytes",
            ValueType::Integer => "integer",
            ValueType::Double => "double",
            ValueType::Bool => "bool",
        }
    }
}

/// One element of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    String(&'a [u8]),
    Bytes(&'a [u8]),
    Integer(i64),
    Double(f64),
    Bool(bool),
}

/// A field read in place.
#[derive(Clone, Copy)]
pub struct FieldView<'a> {
    pub name: &'a [u8],
    pub value_type: ValueType,
    /// Whether the type stands in the bytes; a STRING field may leave it out.
    pub typed: bool,
    pub representation: Option<&'a [u8]>,
    bytes: &'a [u8],
    /// Where the first value begins.
    values: usize,
}

impl<'a> FieldView<'a> {
    #[inline]
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let mut field = FieldView {
            name: b"",
            value_type: ValueType::String,
            typed: false,
            representation: None,
            bytes,
            values: bytes.len(),
        };
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let at = reader.pos();
            match reader.tag()? {
                (1, LEN) => field.name = reader.bytes()?,
                (2, VARINT) => {
                    field.value_type = ValueType::from_number(reader.varint()?)?;
                    field.typed = true;
                }
                (3, LEN) => field.representation = Some(reader.bytes()?),
                (number, wire) => {
                    if (4..=8).contains(&number) && field.values == bytes.len() {
                        field.values = at;
                    }
                    reader.skip(wire)?;
                }
            }
        }
        Some(field)
    }

    /// The value of a STRING field that has one and nothing after it, without the steps of [`FieldView::values`].
    #[inline]
    pub fn only_text(&self) -> Option<&'a [u8]> {
        let mut reader = Reader::at(self.bytes, self.values);
        let is_text = self.value_type == ValueType::String && reader.tag() == Some((4, LEN));
        let text = is_text.then(|| reader.bytes()).flatten()?;
        reader.is_empty().then_some(text)
    }

    /// The values of the array that `value_type` selects; packed and unpacked numbers alike.
    #[inline]
    pub fn values(&self) -> Values<'a> {
        Values { reader: Reader::at(self.bytes, self.values), packed: Reader::new(&[]), value_type: self.value_type }
    }
}

/// Iterates over the values of a field.
#[derive(Clone)]
pub struct Values<'a> {
    reader: Reader<'a>,
    packed: Reader<'a>,
    value_type: ValueType,
}

impl<'a> Values<'a> {
    fn number(value_type: ValueType, reader: &mut Reader<'a>) -> Option<Value<'a>> {
        Some(match value_type {
            ValueType::Integer => Value::Integer(reader.varint()? as i64),
            ValueType::Double => Value::Double(f64::from_bits(reader.fixed64()?)),
            _ => Value::Bool(reader.varint()? != 0),
        })
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        loop {
            if !self.packed.is_empty() {
                return Self::number(self.value_type, &mut self.packed);
            }
            if self.reader.is_empty() {
                return None;
            }
            let (field, wire) = self.reader.tag()?;
            if field != self.value_type as u32 + 4 {
                self.reader.skip(wire)?;
                continue;
            }
            match (self.value_type, wire) {
                (ValueType::String, LEN) => return self.reader.bytes().map(Value::String),
                (ValueType::Bytes, LEN) => return self.reader.bytes().map(Value::Bytes),
                (_, LEN) => self.packed = Reader::new(self.reader.bytes()?),
                (ValueType::Integer | ValueType::Bool, VARINT) | (ValueType::Double, FIXED64) => {
                    return Self::number(self.value_type, &mut self.reader);
                }
                _ => self.reader.skip(wire)?,
            }
        }
    }
}
