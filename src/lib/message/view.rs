//! Reading a message in place. One look at the top level tells whether the bytes are a message and where its fields
//! begin; headers and fields are read when they are asked for. Nothing is copied.

use super::wire::{FIELD, FIELD_NAME, FIXED64, LEN, Reader, VARINT};

// Tags of elements that hold no text.
const UUID: u8 = 1 << 3 | LEN;
const TIMESTAMP: u8 = 2 << 3 | VARINT;
const SEVERITY: u8 = 5 << 3 | VARINT;
const PID: u8 = 8 << 3 | VARINT;
// Of elements of a field.
const VALUE_TYPE: u8 = 2 << 3 | VARINT;
const REPRESENTATION: u8 = 3 << 3 | LEN;
const VALUE_STRING: u8 = 4 << 3 | LEN;
const VALUE_DOUBLE: u8 = 7 << 3 | FIXED64;

/// A header that holds text. The discriminants are places in [`Headers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextHeader {
    Type,
    Logger,
    Payload,
    EnvVersion,
    Hostname,
}

impl TextHeader {
    /// The tag of the element.
    pub(super) const fn tag(self) -> u8 {
        match self {
            TextHeader::Type => 3 << 3 | LEN,
            TextHeader::Logger => 4 << 3 | LEN,
            TextHeader::Payload => 6 << 3 | LEN,
            TextHeader::EnvVersion => 7 << 3 | LEN,
            TextHeader::Hostname => 9 << 3 | LEN,
        }
    }
}

/// What a look at the top level of a message finds. It has no lifetime, so it can be kept beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What every known writer makes.
    ascending: bool,
    fields: u32,
}

impl Shape {
    /// `None` when the bytes are no message: malformed, a known field with a wrong wire type, or without the two required
    /// fields. Unknown fields are skipped. Field bodies are not looked into.
    ///
    /// A comparison an element, no jump that can't be foreseen, and nothing noted but where the fields begin: heka-match
    /// by one field took 0.7 of the time that it took with an index of the headers.
    #[inline(always)]
    pub fn of(bytes: &[u8]) -> Option<Shape> {
        Shape::try_of(bytes).ok()
    }

    /// The same. Where the bytes are no message: how many elements were looked at to know it.
    ///
    /// # Errors
    /// That number.
    #[inline(always)]
    pub fn try_of(bytes: &[u8]) -> Result<Shape, usize> {
        let mut reader = Reader::new(bytes);
        let required = reader.element(UUID).is_some() && reader.take(TIMESTAMP) && reader.skip(VARINT).is_some();
        // What is malformed is left for the second look.
        reader.element(TextHeader::Type.tag());
        reader.element(TextHeader::Logger.tag());
        if reader.next_is(SEVERITY) {
            reader.skip_element();
        }
        reader.element(TextHeader::Payload.tag());
        reader.element(TextHeader::EnvVersion.tag());
        if reader.next_is(PID) {
            reader.skip_element();
        }
        reader.element(TextHeader::Hostname.tag());
        let fields = reader.pos();
        reader.skip_run(FIELD);
        if !required || !reader.is_empty() {
            return Shape::of_any_order(bytes);
        }
        Ok(Shape { ascending: true, fields: u32::try_from(fields).map_err(|_| 1usize)? })
    }

    /// Headers in ascending order, each at most once, then the fields and nothing else.
    pub fn is_ascending(&self) -> bool {
        self.ascending
    }

    /// Offset of the first field's tag; without fields, of the message's end.
    pub fn fields(&self) -> usize {
        self.fields as usize
    }

    #[cold]
    #[inline(never)]
    fn of_any_order(bytes: &[u8]) -> Result<Shape, usize> {
        let mut reader = Reader::new(bytes);
        let (mut has_uuid, mut has_timestamp, mut fields) = (false, false, None);
        let mut elements = 0;
        while !reader.is_empty() {
            elements += 1;
            let at = reader.pos();
            let (number, wire) = reader.tag().ok_or(elements)?;
            match (number, wire) {
                (1, LEN) => has_uuid = true,
                (2, VARINT) => has_timestamp = true,
                (10, LEN) => fields = fields.or(Some(at)),
                (3 | 4 | 6 | 7 | 9, LEN) | (5 | 8, VARINT) => {}
                (1..=10, _) => return Err(elements),
                _ => {}
            }
            reader.skip(wire).ok_or(elements)?;
        }
        let fields = u32::try_from(fields.unwrap_or(bytes.len())).map_err(|_| elements)?;
        (has_uuid && has_timestamp).then_some(Shape { ascending: false, fields }).ok_or(elements)
    }
}

/// All headers of a message, for those who want most of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Headers<'a> {
    /// 16 bytes in a well-formed message.
    pub uuid: &'a [u8],
    /// Nanoseconds since 1970-01-01 UTC.
    pub timestamp: i64,
    pub severity: Option<i32>,
    pub pid: Option<i32>,
    text: [Option<&'a [u8]>; 5],
}

impl<'a> Headers<'a> {
    #[inline]
    pub fn text(&self, header: TextHeader) -> Option<&'a [u8]> {
        self.text[header as usize]
    }

    /// Of a message that is ascending.
    #[inline]
    fn ascending(bytes: &'a [u8]) -> Headers<'a> {
        let mut reader = Reader::new(bytes);
        let mut headers = Headers { uuid: reader.element(UUID).unwrap_or_default(), ..Headers::default() };
        let number = |reader: &mut Reader<'a>, tag| reader.take(tag).then(|| reader.varint()).flatten();
        headers.timestamp = number(&mut reader, TIMESTAMP).unwrap_or_default() as i64;
        headers.text[TextHeader::Type as usize] = reader.element(TextHeader::Type.tag());
        headers.text[TextHeader::Logger as usize] = reader.element(TextHeader::Logger.tag());
        headers.severity = number(&mut reader, SEVERITY).map(|severity| severity as i32);
        headers.text[TextHeader::Payload as usize] = reader.element(TextHeader::Payload.tag());
        headers.text[TextHeader::EnvVersion as usize] = reader.element(TextHeader::EnvVersion.tag());
        headers.pid = number(&mut reader, PID).map(|pid| pid as i32);
        headers.text[TextHeader::Hostname as usize] = reader.element(TextHeader::Hostname.tag());
        headers
    }

    /// Of any message: of elements that come again, the last one counts.
    fn any_order(bytes: &'a [u8]) -> Headers<'a> {
        let mut reader = Reader::new(bytes);
        let mut headers = Headers::default();
        while let Some((number, wire)) = reader.tag() {
            let header = match number {
                3 => Some(TextHeader::Type),
                4 => Some(TextHeader::Logger),
                6 => Some(TextHeader::Payload),
                7 => Some(TextHeader::EnvVersion),
                9 => Some(TextHeader::Hostname),
                _ => None,
            };
            // Go writes a negative int32 in 5 bytes, others in 10: the low 32 bits are the value in both.
            let known = match (number, wire, header) {
                (_, LEN, Some(header)) => reader.bytes().map(|text| headers.text[header as usize] = Some(text)),
                (1, LEN, _) => reader.bytes().map(|uuid| headers.uuid = uuid),
                (2, VARINT, _) => reader.varint().map(|timestamp| headers.timestamp = timestamp as i64),
                (5, VARINT, _) => reader.varint().map(|severity| headers.severity = Some(severity as i32)),
                (8, VARINT, _) => reader.varint().map(|pid| headers.pid = Some(pid as i32)),
                _ => reader.skip(wire),
            };
            if known.is_none() {
                break;
            }
        }
        headers
    }
}

/// A message read in place.
#[derive(Clone, Copy)]
pub struct MessageView<'a> {
    bytes: &'a [u8],
    shape: Shape,
}

impl<'a> MessageView<'a> {
    /// `None` when the bytes are no message (see [`Shape::of`]).
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        Some(MessageView { bytes, shape: Shape::of(bytes)? })
    }

    /// For the shape of these same bytes. With another's, reads give other parts of them or nothing.
    #[inline]
    pub fn with_shape(bytes: &'a [u8], shape: Shape) -> Self {
        MessageView { bytes, shape }
    }

    /// The encoded message.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All headers, in one go.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        if self.shape.ascending { Headers::ascending(self.bytes) } else { Headers::any_order(self.bytes) }
    }

    /// Where the body of the header with that tag begins, if it is there.
    #[inline]
    fn header(&self, tag: u8) -> Option<Reader<'a>> {
        let mut reader = Reader::new(self.bytes);
        loop {
            let next = reader.peek()?;
            if next >= tag {
                return reader.take(tag).then_some(reader);
            }
            reader.skip_element()?;
        }
    }

    /// 16 bytes in a well-formed message.
    #[inline]
    pub fn uuid(&self) -> &'a [u8] {
        if !self.shape.ascending {
            return self.headers().uuid;
        }
        self.header(UUID).and_then(|mut body| body.bytes()).unwrap_or_default()
    }

    /// Nanoseconds since 1970-01-01 UTC.
    #[inline]
    pub fn timestamp(&self) -> i64 {
        if !self.shape.ascending {
            return self.headers().timestamp;
        }
        self.header(TIMESTAMP).and_then(|mut body| body.varint()).unwrap_or_default() as i64
    }

    #[inline]
    pub fn severity(&self) -> Option<i32> {
        if !self.shape.ascending {
            return self.headers().severity;
        }
        Some(self.header(SEVERITY)?.varint()? as i32)
    }

    #[inline]
    pub fn pid(&self) -> Option<i32> {
        if !self.shape.ascending {
            return self.headers().pid;
        }
        Some(self.header(PID)?.varint()? as i32)
    }

    #[inline]
    pub fn text(&self, header: TextHeader) -> Option<&'a [u8]> {
        if !self.shape.ascending {
            return self.headers().text(header);
        }
        self.header(header.tag())?.bytes()
    }

    pub fn payload(&self) -> &'a [u8] {
        self.text(TextHeader::Payload).unwrap_or_default()
    }

    /// The fields in message order. A malformed field is passed over.
    #[inline]
    pub fn fields(&self) -> Fields<'a> {
        Fields { reader: Reader::at(self.bytes, self.shape.fields as usize) }
    }

    /// The fields whose names are wanted, in message order. Others are passed over without being read.
    #[inline]
    pub fn fields_called(self, mut wanted: impl FnMut(&[u8]) -> bool) -> impl Iterator<Item = FieldView<'a>> {
        let mut fields = self.fields();
        std::iter::from_fn(move || {
            loop {
                let body = fields.next_body()?;
                // Every writer puts the name first. (One that is written twice, which none does, is known by the first.)
                let name = Reader::new(body).element(FIELD_NAME);
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
    pub fn field(&self, name: &[u8], mut instance: usize) -> Option<FieldView<'a>> {
        // Not by `fields_called`: its state would be kept in memory (45 instructions more a message).
        let mut reader = self.fields().reader;
        loop {
            let (body, rest) = next_body(reader)?;
            reader = rest;
            if Reader::new(body).element(FIELD_NAME).is_some_and(|first| first != name) {
                continue;
            }
            if let Some(field) = FieldView::new(body).filter(|field| field.name == name) {
                if instance == 0 {
                    return Some(field);
                }
                instance -= 1;
            }
        }
    }

    /// The first value of the first field of that name.
    pub fn value(&self, name: &[u8]) -> Option<Value<'a>> {
        self.field(name, 0)?.first()
    }
}

/// Iterates over the fields of a message.
#[derive(Clone)]
pub struct Fields<'a> {
    reader: Reader<'a>,
}

/// The body of the next field, and what comes after it.
#[inline(always)]
fn next_body(mut reader: Reader<'_>) -> Option<(&[u8], Reader<'_>)> {
    match reader.element(FIELD) {
        Some(body) => Some((body, reader)),
        None => next_body_among_others(reader),
    }
}

#[cold]
#[inline(never)]
fn next_body_among_others(mut reader: Reader<'_>) -> Option<(&[u8], Reader<'_>)> {
    loop {
        let (field, wire) = reader.tag()?;
        if field == 10 && wire == LEN {
            return Some((reader.bytes()?, reader));
        }
        reader.skip(wire)?;
    }
}

impl<'a> Fields<'a> {
    #[inline]
    fn next_body(&mut self) -> Option<&'a [u8]> {
        let (body, rest) = next_body(self.reader)?;
        self.reader = rest;
        Some(body)
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
        // In ascending order, as writers write it, and with one value: what most are.
        if let Some(name) = reader.element(FIELD_NAME) {
            field.name = name;
            if reader.take(VALUE_TYPE) {
                field.value_type = ValueType::from_number(reader.varint()?)?;
                field.typed = true;
            }
            field.representation = reader.element(REPRESENTATION);
            let at = reader.pos();
            if reader.element(VALUE_STRING).is_some() || reader.take(VALUE_DOUBLE) && reader.fixed64().is_some() {
                field.values = at;
            }
        }
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

    /// The first value.
    #[inline]
    pub fn first(&self) -> Option<Value<'a>> {
        let mut reader = Reader::at(self.bytes, self.values);
        let single = match self.value_type {
            ValueType::String => reader.element(VALUE_STRING).map(Value::String),
            ValueType::Double if reader.take(VALUE_DOUBLE) => {
                reader.fixed64().map(|bits| Value::Double(f64::from_bits(bits)))
            }
            _ => None,
        };
        single.or_else(|| self.values().next())
    }

    /// The value at a place, counted from 0.
    #[inline]
    pub fn value(&self, place: usize) -> Option<Value<'a>> {
        if place == 0 { self.first() } else { self.values().nth(place) }
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
