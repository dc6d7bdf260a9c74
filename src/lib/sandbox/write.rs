//! `write_message`: changing one header or field of a message. No Lua in here.

use prost::Message as _;

use crate::grammar::date_time;
use crate::message::schema::Field;
use crate::message::wire::{FIELD, FIELD_NAME, Reader, put_bytes, put_varint};
use crate::message::{MessageBuilder, MessageView, TextHeader, uuid};

/// What a script wants to write.
#[derive(Clone, Copy)]
pub enum NewValue<'a> {
    Text(&'a [u8]),
    Number(f64),
    Bool(bool),
    Delete,
}

/// A change of one header or field.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// `Payload`, `Fields[status]` and so on.
    pub name: &'a [u8],
    pub value: NewValue<'a>,
    /// Of a field; none where it is empty.
    pub representation: &'a [u8],
    pub place: Place,
}

/// Which instance of a field, and which element of its array.
#[derive(Clone, Copy)]
pub struct Place {
    pub instance: usize,
    pub element: usize,
    pub element_given: bool,
}

/// Whether a message has each header once and in order, then its fields, and a field's name first: as nearly all
/// writers write it.
pub fn is_orderly(message: &MessageView<'_>) -> bool {
    let mut fields = Reader::at(message.bytes(), message.shape().fields());
    message.shape().is_ascending()
        && std::iter::from_fn(|| fields.element(FIELD)).all(|body| body.first() == Some(&FIELD_NAME))
}

/// Changes a message that is orderly, in place: what isn't changed is not looked into. False when the message can't take
/// it; then it stays what it was. `fields`: where its fields begin; `scratch` is room to work in.
pub fn write(message: &mut Vec<u8>, fields: usize, what: &Write<'_>, scratch: &mut Vec<u8>) -> bool {
    scratch.clear();
    if let Some(name) = what.name.strip_prefix(b"Fields[").and_then(|rest| rest.strip_suffix(b"]")) {
        return write_field(message, fields, &Write { name, ..*what }, scratch);
    }
    if put_header(what.name, what.value, scratch).is_none() {
        return false;
    }
    let mut headers = Reader::new(message);
    // Tags of headers take one byte.
    while headers.peek().is_some_and(|tag| tag < scratch[0]) && headers.skip_element().is_some() {}
    let start = headers.pos();
    if headers.next_is(scratch[0]) && headers.skip_element().is_none() {
        return false;
    }
    let there = start..headers.pos();
    message.splice(there, scratch.iter().copied());
    true
}

/// Appends a header as it stands in a message. `None` when the value isn't one for it.
fn put_header(name: &[u8], value: NewValue<'_>, buf: &mut Vec<u8>) -> Option<()> {
    let mut builder = MessageBuilder::more(buf);
    match (name, value) {
        (b"Type", NewValue::Text(text)) => drop(builder.text(TextHeader::Type, text)),
        (b"Logger", NewValue::Text(text)) => drop(builder.text(TextHeader::Logger, text)),
        (b"Payload", NewValue::Text(text)) => drop(builder.text(TextHeader::Payload, text)),
        (b"EnvVersion", NewValue::Text(text)) => drop(builder.text(TextHeader::EnvVersion, text)),
        (b"Hostname", NewValue::Text(text)) => drop(builder.text(TextHeader::Hostname, text)),
        (b"Uuid", NewValue::Text(text)) => {
            put_bytes(buf, 0x0a, &<[u8; 16]>::try_from(text).ok().or_else(|| uuid::parse(text))?)
        }
        (b"Timestamp", value) => {
            let ns = match value {
                NewValue::Number(number) => whole_ns(number),
                NewValue::Text(text) => timestamp(text)?,
                _ => return None,
            };
            buf.push(0x10);
            put_varint(buf, ns as u64);
        }
        (b"Severity", value) => drop(builder.severity(integer(value)?)),
        (b"Pid", value) => drop(builder.pid(integer(value)?)),
        _ => return None,
    }
    Some(())
}

/// A script's nanoseconds. A double holds those of today to 256 of them: what is so near to whole microseconds was meant so,
/// since finer ones can't be said in it.
pub fn whole_ns(number: f64) -> i64 {
    const EXACT: f64 = (1u64 << 53) as f64;
    let ns = number as i64;
    let whole = ns.saturating_add(500).div_euclid(1_000).saturating_mul(1_000);
    if number.abs() > EXACT && whole.abs_diff(ns) <= 128 { whole } else { ns }
}

fn integer(value: NewValue<'_>) -> Option<i32> {
    match value {
        // As in Heka, a fraction is cut off; what has no place in 32 bits is no such number.
        NewValue::Number(number) => i32::try_from(number as i64).ok().filter(|_| !number.is_nan()),
        NewValue::Text(text) => i32::try_from(go_integer(text)?).ok(),
        _ => None,
    }
}

/// Decimal, `0x…`, or octal with a leading 0, as Go reads integers.
fn go_integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(hex) => i64::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(&digits[1..], 8),
        None => digits.parse(),
    };
    let number = number.ok().filter(|_| !digits.starts_with(['+', '-']))?;
    Some(if negative { -number } else { number })
}

/// An integer, or one of the time layouts that Heka reads.
fn timestamp(text: &[u8]) -> Option<i64> {
    const LAYOUTS: [&str; 10] = [
        "%a %b %e %H:%M:%S %Y",
        "%a %b %e %H:%M:%S UTC %Y",
        "%a %b %d %H:%M:%S %z %Y",
        "%d %b %y %H:%M UTC",
        "%d %b %y %H:%M %z",
        "%A, %d-%b-%y %H:%M:%S UTC",
        "%a, %d %b %Y %H:%M:%S UTC",
        "%a, %d %b %Y %H:%M:%S GMT",
        "%a, %d %b %Y %H:%M:%S %z",
        "%Y-%m-%d %H:%M:%S",
    ];
    if let Some(number) = go_integer(text) {
        return Some(number);
    }
    if let Some((ns, len)) = date_time::rfc3339(text) {
        return (len == text.len()).then_some(ns);
    }
    let text = std::str::from_utf8(text).ok()?;
    let time = LAYOUTS.iter().find_map(|layout| {
        let parsed = jiff::fmt::strtime::parse(layout, text).ok()?;
        match parsed.offset() {
            Some(_) => parsed.to_timestamp().ok(),
            None => Some(parsed.to_datetime().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()),
        }
    })?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// `what.name` is the field's own.
fn write_field(message: &mut Vec<u8>, fields: usize, what: &Write<'_>, scratch: &mut Vec<u8>) -> bool {
    let &Write { name, value, representation, place } = what;
    let mut reader = Reader::at(message, fields);
    let mut start = fields;
    let mut count = 0;
    let found = loop {
        let Some(body) = reader.element(FIELD) else { break None };
        if Reader::new(body).element(FIELD_NAME) == Some(name) {
            if count == place.instance {
                break Some(body);
            }
            count += 1;
        }
        start = reader.pos();
    };
    let range = start..reader.pos();
    let Some(body) = found else {
        return match value {
            NewValue::Delete => count == 0,
            _ if place.instance != count || place.element != 0 => false,
            // A new one comes last.
            _ => {
                let mut builder = MessageBuilder::more(message);
                match value {
                    NewValue::Text(text) => drop(builder.string_field(name, text, representation)),
                    NewValue::Number(number) => drop(builder.double_field(name, number, representation)),
                    NewValue::Bool(flag) => drop(builder.bool_field(name, flag, representation)),
                    NewValue::Delete => {}
                }
                true
            }
        };
    };
    if !matches!(value, NewValue::Delete) || place.element_given {
        let Ok(mut field) = Field::decode(body) else { return false };
        let changed = match value {
            NewValue::Delete => remove_element(&mut field, place.element),
            _ => set_element(&mut field, place.element, value),
        };
        if !changed {
            return false;
        }
        if !matches!(value, NewValue::Delete) {
            field.representation = (!representation.is_empty()).then(|| representation.to_vec());
        }
        field.encode_into(scratch);
    }
    message.splice(range, scratch.iter().copied());
    true
}

/// Overwrites an element, or appends one; the value must be of the field's type (a number fits both kinds).
fn set_element(field: &mut Field, element: usize, value: NewValue<'_>) -> bool {
    fn put<T>(list: &mut Vec<T>, element: usize, value: T) -> bool {
        if element > list.len() {
            return false;
        }
        match list.get_mut(element) {
            Some(slot) => *slot = value,
            None => list.push(value),
        }
        true
    }
    match (field.value_type.unwrap_or(0), value) {
        (0, NewValue::Text(text)) => put(&mut field.value_string, element, text.to_vec()),
        (1, NewValue::Text(text)) => put(&mut field.value_bytes, element, text.to_vec()),
        // Nothing is cut off without a word.
        (2, NewValue::Number(number)) if number as i64 as f64 != number => false,
        (2, NewValue::Number(number)) => put(&mut field.value_integer, element, number as i64),
        (3, NewValue::Number(number)) => put(&mut field.value_double, element, number),
        (4, NewValue::Bool(flag)) => put(&mut field.value_bool, element, flag),
        _ => false,
    }
}

fn remove_element(field: &mut Field, element: usize) -> bool {
    fn take<T>(list: &mut Vec<T>, element: usize) -> bool {
        let there = element < list.len();
        if there {
            list.remove(element);
        }
        there
    }
    match field.value_type.unwrap_or(0) {
        0 => take(&mut field.value_string, element),
        1 => take(&mut field.value_bytes, element),
        2 => take(&mut field.value_integer, element),
        3 => take(&mut field.value_double, element),
        _ => take(&mut field.value_bool, element),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Shape;
    use crate::message::schema::Message;
    use proptest::prelude::*;

    /// The same on a decoded message.
    fn write_decoded(message: &mut Message, name: &str, value: NewValue<'_>, place: Place) -> bool {
        let Some(name) = name.strip_prefix("Fields[").and_then(|name| name.strip_suffix(']')) else {
            match value {
                NewValue::Text(text) => message.payload = Some(text.to_vec()),
                _ => return false,
            }
            return true;
        };
        let same = |(_, field): &(usize, &Field)| field.name == name.as_bytes();
        let places: Vec<usize> = message.fields.iter().enumerate().filter(same).map(|(at, _)| at).collect();
        match (places.get(place.instance), value) {
            (None, NewValue::Delete) => places.is_empty(),
            (None, value) => {
                let value_type = match value {
                    NewValue::Text(_) => None,
                    NewValue::Number(_) => Some(3),
                    _ => Some(4),
                };
                let mut field = Field { name: name.into(), value_type, ..Field::default() };
                let fits = place.instance == places.len() && set_element(&mut field, place.element, value);
                if fits {
                    message.fields.push(field);
                }
                fits
            }
            (Some(&at), NewValue::Delete) if place.element_given => {
                remove_element(&mut message.fields[at], place.element)
            }
            (Some(&at), NewValue::Delete) => message.fields.remove(at).name == name.as_bytes(),
            (Some(&at), value) => set_element(&mut message.fields[at], place.element, value),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_in_place_is_what_is_written_to_a_decoded_message(
            writes in proptest::collection::vec((0usize..4, 0usize..7, 0usize..3, 0usize..3, any::<bool>()), 1..30),
        ) {
            let mut decoded = Message { uuid: vec![7; 16], timestamp: 1, pid: Some(3), ..Message::default() };
            let mut bytes = Vec::new();
            decoded.encode_into(&mut bytes);
            for (name, value, instance, element, element_given) in writes {
                let name = ["Fields[a]", "Fields[b]", "Fields[longer]", "Payload"][name];
                let long = [b'x'; 300];
                let value = [
                    NewValue::Text(b"text"), NewValue::Text(b""), NewValue::Text(&long), NewValue::Number(1.5),
                    NewValue::Number(-3.0), NewValue::Bool(true), NewValue::Delete,
                ][value];
                let place = Place { instance, element, element_given };
                let expected = write_decoded(&mut decoded, name, value, place);
                let what = Write { name: name.as_bytes(), value, representation: b"", place };
                let fields = Shape::of(&bytes).unwrap().fields();
                prop_assert_eq!(write(&mut bytes, fields, &what, &mut Vec::new()), expected);
                let mut again = Vec::new();
                decoded.encode_into(&mut again);
                prop_assert_eq!(&bytes, &again);
            }
        }
    }

    #[test]
    fn timestamps_are_read_in_heka_s_layouts() {
        let cases = [
            ("1391794831755000000", 1_391_794_831_755_000_000),
            ("0x10", 16),
            ("010", 8),
            ("1999-05-05T23:23:59.217-07:00", 925_971_839_217_000_000),
            ("Mon, 10 Feb 2014 12:58:58 GMT", 1_392_037_138_000_000_000),
            ("Mon, 10 Feb 2014 12:58:58 -0800", 1_392_065_938_000_000_000),
            ("Mon Feb 10 12:58:58 2014", 1_392_037_138_000_000_000),
        ];
        for (text, ns) in cases {
            assert_eq!(timestamp(text.as_bytes()), Some(ns), "{text}");
        }
        assert_eq!(timestamp(b""), None);
        assert_eq!(timestamp(b"yesterday"), None);
    }
}
