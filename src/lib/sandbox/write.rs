//! `write_message`: changing one header or field of a message. No Lua in here.

use crate::grammar::date_time;
use crate::message::schema::{Field, Message};
use crate::message::{ValueType, uuid};

/// What a script wants to write.
#[derive(Clone, Copy)]
pub enum NewValue<'a> {
    Text(&'a [u8]),
    Number(f64),
    Bool(bool),
    Delete,
}

/// Which instance of a field, and which element of its array.
#[derive(Clone, Copy)]
pub struct Place {
    pub instance: usize,
    pub element: usize,
    pub element_given: bool,
}

/// False when the message can't take it.
pub fn write(message: &mut Message, name: &[u8], value: NewValue<'_>, representation: &[u8], place: Place) -> bool {
    if let Some(field) = name.strip_prefix(b"Fields[").and_then(|rest| rest.strip_suffix(b"]")) {
        return write_field(message, field, value, representation, place);
    }
    match (name, value) {
        (b"Type", NewValue::Text(text)) => message.r#type = Some(text.to_vec()),
        (b"Logger", NewValue::Text(text)) => message.logger = Some(text.to_vec()),
        (b"Payload", NewValue::Text(text)) => message.payload = Some(text.to_vec()),
        (b"EnvVersion", NewValue::Text(text)) => message.env_version = Some(text.to_vec()),
        (b"Hostname", NewValue::Text(text)) => message.hostname = Some(text.to_vec()),
        (b"Uuid", NewValue::Text(text)) => match <[u8; 16]>::try_from(text).ok().or_else(|| uuid::parse(text)) {
            Some(id) => message.uuid = id.to_vec(),
            None => return false,
        },
        (b"Timestamp", NewValue::Number(number)) => message.timestamp = number as i64,
        (b"Timestamp", NewValue::Text(text)) => match timestamp(text) {
            Some(ns) => message.timestamp = ns,
            None => return false,
        },
        (b"Severity", value) => match integer(value) {
            Some(number) => message.severity = Some(number),
            None => return false,
        },
        (b"Pid", value) => match integer(value) {
            Some(number) => message.pid = Some(number),
            None => return false,
        },
        _ => return false,
    }
    true
}

fn integer(value: NewValue<'_>) -> Option<i32> {
    match value {
        NewValue::Number(number) => Some(number as i64 as i32),
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

fn write_field(message: &mut Message, name: &[u8], value: NewValue<'_>, representation: &[u8], place: Place) -> bool {
    let positions: Vec<usize> =
        message.fields.iter().enumerate().filter(|(_, field)| field.name == name).map(|(at, _)| at).collect();
    let at = positions.get(place.instance).copied();
    if let NewValue::Delete = value {
        return match at {
            _ if positions.is_empty() => true,
            None => false,
            Some(at) if place.element_given => remove_element(&mut message.fields[at], place.element),
            Some(at) => {
                message.fields.remove(at);
                true
            }
        };
    }
    match at {
        Some(at) => {
            let field = &mut message.fields[at];
            if !set_element(field, place.element, value) {
                return false;
            }
            field.representation = (!representation.is_empty()).then(|| representation.to_vec());
            true
        }
        None if place.instance == positions.len() && place.element == 0 => {
            let value_type = match value {
                NewValue::Text(_) => ValueType::String,
                NewValue::Number(_) => ValueType::Double,
                _ => ValueType::Bool,
            };
            let mut field = Field {
                name: name.to_vec(),
                value_type: (value_type != ValueType::String).then_some(value_type as i32),
                representation: (!representation.is_empty()).then(|| representation.to_vec()),
                ..Field::default()
            };
            let set = set_element(&mut field, 0, value);
            message.fields.push(field);
            set
        }
        None => false,
    }
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
