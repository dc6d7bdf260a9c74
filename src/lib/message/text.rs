//! The text form: what Heka's RstEncoder writes, for people to read.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::number::{put_fraction, put_integer, whole};
use super::uuid;
use super::view::{FieldView, MessageView, TextHeader, Value};

/// Colours for a terminal, or none.
#[derive(Clone, Copy, Default)]
pub struct Style {
    pub colour: bool,
}

impl Style {
    fn label(self, buf: &mut Vec<u8>, label: &str) {
        if self.colour {
            buf.extend_from_slice(b"\x1b[36m:");
            buf.extend_from_slice(label.as_bytes());
            buf.extend_from_slice(b":\x1b[0m ");
        } else {
            buf.push(b':');
            buf.extend_from_slice(label.as_bytes());
            buf.extend_from_slice(b": ");
        }
    }

    fn name(self, buf: &mut Vec<u8>, name: &[u8]) {
        let (on, off): (&[u8], &[u8]) = if self.colour { (b"\x1b[32m", b"\x1b[0m") } else { (b"", b"") };
        buf.extend_from_slice(b"    | name:\"");
        buf.extend_from_slice(on);
        self.put(buf, name);
        buf.extend_from_slice(off);
        buf.push(b'"');
    }

    /// Text from a message. On a terminal, control characters would be obeyed: they are shown instead.
    fn put(self, buf: &mut Vec<u8>, text: &[u8]) {
        if !self.colour {
            return buf.extend_from_slice(text);
        }
        for &byte in text {
            match byte {
                b'\n' | b'\t' => buf.push(byte),
                0..0x20 | 0x7f => buf.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                _ => buf.push(byte),
            }
        }
    }
}

/// Appends the text form of a message, with an empty line before and after it.
pub fn write_text(view: &MessageView<'_>, style: Style, buf: &mut Vec<u8>) {
    buf.push(b'\n');
    let text = |header| view.text(header).unwrap_or_default();
    style.label(buf, "Timestamp");
    put_timestamp(buf, view.timestamp());
    buf.push(b'\n');
    let mut line = |label: &str, value: &[u8]| {
        style.label(buf, label);
        style.put(buf, value);
        buf.push(b'\n');
    };
    line("Type", text(TextHeader::Type));
    line("Hostname", text(TextHeader::Hostname));
    line("Pid", itoa::Buffer::new().format(view.pid().unwrap_or(0)).as_bytes());
    line("Uuid", uuid::format(view.uuid()).as_ref().map_or(&b""[..], |text| &text[..]));
    line("Logger", text(TextHeader::Logger));
    line("Payload", text(TextHeader::Payload));
    line("EnvVersion", text(TextHeader::EnvVersion));
    line("Severity", itoa::Buffer::new().format(view.severity().unwrap_or(7)).as_bytes());
    let mut fields = view.fields().peekable();
    if fields.peek().is_some() {
        style.label(buf, "Fields");
        buf.pop();
        buf.push(b'\n');
    }
    for field in fields {
        write_field(&field, style, buf);
    }
    buf.push(b'\n');
}

fn write_field(field: &FieldView<'_>, style: Style, buf: &mut Vec<u8>) {
    style.name(buf, field.name);
    buf.extend_from_slice(b" type:");
    buf.extend_from_slice(field.value_type.name().as_bytes());
    buf.extend_from_slice(b" value:");
    let single = field.values().take(2).count() == 1;
    if !single {
        buf.push(b'[');
    }
    for (place, value) in field.values().enumerate() {
        if place > 0 {
            buf.push(b',');
        }
        match value {
            Value::String(text) => {
                buf.push(b'"');
                style.put(buf, text);
                buf.push(b'"');
            }
            Value::Bytes(bytes) => buf.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
            Value::Integer(number) => put_integer(buf, number),
            Value::Double(number) => match whole(number).filter(|integer| integer.unsigned_abs() < 1_000_000) {
                Some(integer) => put_integer(buf, integer),
                None => buf.extend_from_slice(format_double(number).as_bytes()),
            },
            Value::Bool(flag) => buf.extend_from_slice(if flag { b"true" } else { b"false" }),
        }
    }
    if !single {
        buf.push(b']');
    }
    if let Some(representation) = field.representation.filter(|text| !text.is_empty()) {
        buf.extend_from_slice(b" representation:\"");
        style.put(buf, representation);
        buf.push(b'"');
    }
    buf.push(b'\n');
}

/// `2023-11-14 22:13:20.123456789 +0000 UTC`; trailing zeros of the fraction are dropped.
pub fn format_timestamp(ns: i64) -> String {
    match jiff::Timestamp::from_nanosecond(ns as i128) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string(),
        Err(_) => ns.to_string(),
    }
}

/// Appends the same; most messages are of the second that the one before was.
fn put_timestamp(buf: &mut Vec<u8>, ns: i64) {
    thread_local! {
        static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let (second, fraction) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let Some(whole) = second.checked_mul(1_000_000_000) else {
        return buf.extend_from_slice(format_timestamp(ns).as_bytes());
    };
    LAST.with_borrow_mut(|(last, text)| {
        if *last != second {
            (*last, *text) = (second, format_timestamp(whole));
        }
        let (time, zone) = text.split_at(text.len().saturating_sub(" +0000 UTC".len()));
        buf.extend_from_slice(time.as_bytes());
        put_fraction(buf, fraction as u32);
        buf.extend_from_slice(zone.as_bytes());
    });
}

/// Go's shortest form: an exponent below −4 or from 6 on.
fn format_double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) || number == 0.0 {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_look_as_go_prints_them() {
        let cases = [
            (82.0, "82"),
            (123456.0, "123456"),
            (1e6, "1e+06"),
            (1234567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (f64::INFINITY, "+Inf"),
        ];
        for (number, text) in cases {
            assert_eq!(format_double(number), text);
        }
    }

    #[test]
    fn timestamps_are_utc_without_trailing_zeros() {
        for ns in [1_700_000_000_123_456_789, 1_700_000_000_500_000_000, 0, -1, 1_000, i64::MIN, i64::MAX] {
            let mut text = Vec::new();
            put_timestamp(&mut text, ns);
            assert_eq!(String::from_utf8(text).unwrap(), format_timestamp(ns));
        }
        assert_eq!(format_timestamp(1_700_000_000_123_456_789), "2023-11-14 22:13:20.123456789 +0000 UTC");
        assert_eq!(format_timestamp(1_700_000_000_500_000_000), "2023-11-14 22:13:20.5 +0000 UTC");
        assert_eq!(format_timestamp(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(format_timestamp(-1), "1969-12-31 23:59:59.999999999 +0000 UTC");
    }
}
