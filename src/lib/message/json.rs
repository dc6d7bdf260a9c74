//! The JSON form: one object a line, with the keys of Heka's own heka-cat.
//!
//! Lossless: integers keep their 64 bits, byte arrays are base64, and two keys are added where the other ones
//! don't say everything: `raw` (base64 of the encoded message) when its encoding is not the one that this project
//! writes or a string is not UTF-8, and `header` (base64) when the frame's header holds more than a length.
//! Programs that read numbers as doubles (jq up to 1.6) round those beyond 2^53. So `time` says the timestamp as a text, which
//! counts on the way back where the number is that one, rounded; and such integers of fields are texts.
//! On the way back `raw` counts only while it agrees with the other keys, so an object that was edited wins.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::Value as Json;

use super::number::{put_integer, whole};
use super::schema::{Field, Header, Message};
use super::view::{FieldView, MessageView, TextHeader, Value, ValueType};
use super::{encode_canonical, uuid};
use crate::stream::{Frame, put_frame};

/// 2^53: up to there doubles have all whole numbers.
const EXACT: u64 = 1 << 53;

/// Appends the JSON form of a frame and a newline.
pub fn write_json(frame: &Frame<'_>, buf: &mut Vec<u8>) {
    let view = frame.view();
    buf.push(b'{');
    write_message(&view, buf);
    // The same message in canonical form shows whether the keys above say everything.
    let at = buf.len();
    encode_canonical(&view, buf);
    let canonical = &buf[at..] == view.bytes() && every_string_is_utf8(&view);
    buf.truncate(at);
    if !canonical {
        put_key(buf, "raw");
        put_base64(buf, view.bytes());
    }
    let plain = prost::encoding::encoded_len_varint(view.bytes().len() as u64) + 1;
    if frame.header_bytes().len() != plain {
        put_key(buf, "header");
        put_base64(buf, frame.header_bytes());
    }
    buf.extend_from_slice(b"}\n");
}

fn write_message(view: &MessageView<'_>, buf: &mut Vec<u8>) {
    buf.extend_from_slice(b"\"uuid\":");
    put_base64(buf, view.uuid());
    put_key(buf, "timestamp");
    put_integer(buf, view.timestamp());
    // Within the years that have a text: 1 to 9999.
    if let Ok(time) = jiff::Timestamp::from_nanosecond(view.timestamp() as i128)
        && view.timestamp().unsigned_abs() > EXACT
    {
        put_key(buf, "time");
        // Writing into a Vec can't fail.
        let _ = write!(buf, "\"{time:.9}\"");
    }
    let text = |buf: &mut Vec<u8>, key, header| {
        if let Some(value) = view.text(header) {
            put_key(buf, key);
            put_string(buf, value);
        }
    };
    let number = |buf: &mut Vec<u8>, key, value: Option<i32>| {
        if let Some(value) = value {
            put_key(buf, key);
            put_integer(buf, value);
        }
    };
    text(buf, "type", TextHeader::Type);
    text(buf, "logger", TextHeader::Logger);
    number(buf, "severity", view.severity());
    text(buf, "payload", TextHeader::Payload);
    text(buf, "env_version", TextHeader::EnvVersion);
    number(buf, "pid", view.pid());
    text(buf, "hostname", TextHeader::Hostname);
    let mut separator: &[u8] = b",\"fields\":[";
    for field in view.fields() {
        buf.extend_from_slice(separator);
        write_field(&field, buf);
        separator = b",";
    }
    if separator == b"," {
        buf.push(b']');
    }
}

fn write_field(field: &FieldView<'_>, buf: &mut Vec<u8>) {
    buf.extend_from_slice(b"{\"name\":");
    put_string(buf, field.name);
    if field.typed {
        put_key(buf, "value_type");
        buf.push(b'0' + field.value_type as u8);
    }
    if let Some(representation) = field.representation {
        put_key(buf, "representation");
        put_string(buf, representation);
    }
    put_key(buf, value_key(field.value_type));
    buf.push(b'[');
    for (place, value) in field.values().enumerate() {
        if place > 0 {
            buf.push(b',');
        }
        put_value(buf, value);
    }
    buf.extend_from_slice(b"]}");
}

fn value_key(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::String => "value_string",
        ValueType::Bytes => "value_bytes",
        ValueType::Integer => "value_integer",
        ValueType::Double => "value_double",
        ValueType::Bool => "value_bool",
    }
}

/// Appends a value as JSON; numbers that JSON has no word for become strings.
pub fn put_value(buf: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::String(text) => put_string(buf, text),
        Value::Bytes(bytes) => put_base64(buf, bytes),
        Value::Integer(number) if number.unsigned_abs() > EXACT => {
            buf.push(b'"');
            put_integer(buf, number);
            buf.push(b'"');
        }
        Value::Integer(number) => put_integer(buf, number),
        Value::Bool(flag) => buf.extend_from_slice(if flag { b"true" } else { b"false" }),
        Value::Double(number) if number.is_finite() => {
            // Whole numbers without ".0", as people and Heka write them.
            if number == 0.0 && number.is_sign_negative() {
                buf.extend_from_slice(b"-0");
            } else if let Some(integer) = whole(number) {
                put_integer(buf, integer);
            } else {
                // Writing into a Vec can't fail.
                let _ = serde_json::to_writer(buf, &number);
            }
        }
        Value::Double(number) => {
            let text = if number.is_nan() {
                "\"NaN\""
            } else if number > 0.0 {
                "\"Infinity\""
            } else {
                "\"-Infinity\""
            };
            buf.extend_from_slice(text.as_bytes());
        }
    }
}

/// Appends a JSON string; bytes that are not UTF-8 show as U+FFFD.
pub fn put_string(buf: &mut Vec<u8>, text: &[u8]) {
    // Nearly all texts are ASCII without anything to escape, which vector instructions see at once. To look for UTF-8 and
    // escapes byte by byte was a ninth of heka-hec's CPU time.
    let plain = |byte: u8| (byte as i8 >= 0x20) & (byte != b'"') & (byte != b'\\');
    if text.iter().fold(true, |all, &byte| all & plain(byte)) {
        buf.reserve(text.len() + 2);
        buf.push(b'"');
        buf.extend_from_slice(text);
        buf.push(b'"');
        return;
    }
    // Writing into a Vec can't fail.
    let _ = serde_json::to_writer(buf, &String::from_utf8_lossy(text));
}

fn put_key(buf: &mut Vec<u8>, key: &str) {
    buf.extend_from_slice(b",\"");
    buf.extend_from_slice(key.as_bytes());
    buf.extend_from_slice(b"\":");
}

fn put_base64(buf: &mut Vec<u8>, bytes: &[u8]) {
    buf.push(b'"');
    let at = buf.len();
    buf.resize(at + bytes.len().div_ceil(3) * 4, 0);
    // It has just as much room as it needs.
    let _ = STANDARD.encode_slice(bytes, &mut buf[at..]);
    buf.push(b'"');
}

fn every_string_is_utf8(view: &MessageView<'_>) -> bool {
    let headers =
        [TextHeader::Type, TextHeader::Logger, TextHeader::Payload, TextHeader::EnvVersion, TextHeader::Hostname];
    let utf8 = |text: &[u8]| std::str::from_utf8(text).is_ok();
    headers.iter().filter_map(|&header| view.text(header)).all(utf8)
        && view.fields().all(|field| {
            utf8(field.name)
                && field.representation.is_none_or(utf8)
                && field.values().all(|value| !matches!(value, Value::String(text) if !utf8(text)))
        })
}

/// Reads one object and appends its frame.
///
/// # Errors
/// A sentence naming the key that is missing or has the wrong type.
pub fn read_json(line: &[u8], buf: &mut Vec<u8>) -> Result<(), String> {
    let json: Json = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let object = json.as_object().ok_or("expected a JSON object")?;
    let mut message = Vec::new();
    message_from_json(object)?.encode_into(&mut message);
    if let Some(raw) = object.get("raw") {
        let raw = base64_of(raw, "raw")?;
        if MessageView::new(&raw).is_some_and(|view| agrees(&view, object)) {
            message = raw;
        }
    }
    match object.get("header") {
        None => put_frame(buf, None, &message),
        Some(header) => put_with_header(buf, &base64_of(header, "header")?, &message)?,
    }
    Ok(())
}

/// Whether these keys are what the message would be shown as.
fn agrees(view: &MessageView<'_>, object: &serde_json::Map<String, Json>) -> bool {
    let mut shown = vec![b'{'];
    write_message(view, &mut shown);
    shown.push(b'}');
    let Ok(Json::Object(mut shown)) = serde_json::from_slice(&shown) else { return false };
    if timestamp_of(object) == Ok(Some(view.timestamp()))
        && let Some(timestamp) = object.get("timestamp")
    {
        // It may have been rounded.
        shown.insert("timestamp".into(), timestamp.clone());
    }
    object.iter().filter(|(key, _)| *key != "raw" && *key != "header").all(|(key, value)| shown.get(key) == Some(value))
        && shown.keys().all(|key| object.contains_key(key))
}

/// A header that belongs to another message keeps its cursor and loses its signature.
fn put_with_header(buf: &mut Vec<u8>, header: &[u8], message: &[u8]) -> Result<(), String> {
    let mut decoded = Header::decode(header).map_err(|error| format!("header: {error}"))?;
    let mut bytes = header.to_vec();
    if decoded.message_length as usize != message.len() {
        decoded = Header { message_length: message.len() as u32, cursor: decoded.cursor, ..Header::default() };
        bytes = decoded.encode_to_vec();
    }
    let len = u8::try_from(bytes.len()).map_err(|_| "header: longer than 255 bytes".to_string())?;
    buf.extend_from_slice(&[0x1e, len]);
    buf.extend_from_slice(&bytes);
    buf.push(0x1f);
    buf.extend_from_slice(message);
    Ok(())
}

fn message_from_json(object: &serde_json::Map<String, Json>) -> Result<Message, String> {
    let mut message = Message { uuid: uuid::new_v4().to_vec(), timestamp: super::now_ns(), ..Message::default() };
    for (key, value) in object {
        match key.as_str() {
            "uuid" => {
                let text = value.as_str().ok_or("uuid: expected a string")?;
                message.uuid = match uuid::parse(text.as_bytes()) {
                    Some(uuid) => uuid.to_vec(),
                    None => base64_of(value, "uuid")?,
                };
            }
            "timestamp" | "time" => message.timestamp = timestamp_of(object)?.unwrap_or(message.timestamp),
            "type" => message.r#type = Some(text_of(value, key)?),
            "logger" => message.logger = Some(text_of(value, key)?),
            "severity" => message.severity = Some(i32_of(value, key)?),
            "payload" => message.payload = Some(text_of(value, key)?),
            "env_version" => message.env_version = Some(text_of(value, key)?),
            "pid" => message.pid = Some(i32_of(value, key)?),
            "hostname" => message.hostname = Some(text_of(value, key)?),
            "fields" => {
                let list = value.as_array().ok_or("fields: expected a list")?;
                message.fields = list.iter().map(field_from_json).collect::<Result<_, _>>()?;
            }
            "raw" | "header" => {}
            _ => return Err(format!("unknown key {key:?}")),
        }
    }
    Ok(message)
}

fn field_from_json(json: &Json) -> Result<Field, String> {
    let object = json.as_object().ok_or("fields: expected objects")?;
    let mut field = Field::default();
    let mut named = false;
    for (key, value) in object {
        let list = || value.as_array().ok_or(format!("{key}: expected a list"));
        match key.as_str() {
            "name" => {
                field.name = text_of(value, key)?;
                named = true;
            }
            "value_type" => {
                let number = value.as_u64().filter(|&number| ValueType::from_number(number).is_some());
                field.value_type = Some(number.ok_or("value_type: expected a number from 0 to 4")? as i32);
            }
            "representation" => field.representation = Some(text_of(value, key)?),
            "value_string" => field.value_string = list()?.iter().map(|v| text_of(v, key)).collect::<Result<_, _>>()?,
            "value_bytes" => field.value_bytes = list()?.iter().map(|v| base64_of(v, key)).collect::<Result<_, _>>()?,
            "value_integer" => {
                let integer = |v: &Json| {
                    let number = v.as_i64().or_else(|| v.as_str()?.parse().ok());
                    number.ok_or("value_integer: expected 64-bit integers")
                };
                field.value_integer = list()?.iter().map(integer).collect::<Result<_, _>>()?;
            }
            "value_double" => field.value_double = list()?.iter().map(double_of).collect::<Result<_, _>>()?,
            "value_bool" => {
                let flag = |v: &Json| v.as_bool().ok_or("value_bool: expected true or false");
                field.value_bool = list()?.iter().map(flag).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("unknown key {key:?} in a field")),
        }
    }
    if field.value_type.is_none() {
        // A person who writes only the values means their type.
        let kinds = [
            !field.value_string.is_empty(),
            !field.value_bytes.is_empty(),
            !field.value_integer.is_empty(),
            !field.value_double.is_empty(),
            !field.value_bool.is_empty(),
        ];
        field.value_type = kinds.iter().position(|&used| used).filter(|&kind| kind > 0).map(|kind| kind as i32);
    }
    if named { Ok(field) } else { Err("a field has no name".into()) }
}

/// Nanoseconds, by `timestamp` and `time`: the number counts, unless it is what a double makes of the text.
fn timestamp_of(object: &serde_json::Map<String, Json>) -> Result<Option<i64>, String> {
    /// Doubles of today's nanoseconds are 256 apart; the digits that are printed may be fewer.
    const ROUNDED: u64 = 1024;
    let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 9.2e18).then_some(number as i64);
    let number = match object.get("timestamp") {
        None => None,
        Some(value) => {
            let ns = value.as_i64().or_else(|| whole(value.as_f64()?));
            Some(ns.ok_or("timestamp: expected whole nanoseconds that fit into 64 bits")?)
        }
    };
    let text = match object.get("time") {
        None => None,
        Some(value) => {
            let time = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            let ns = time.and_then(|time| i64::try_from(time.as_nanosecond()).ok());
            Some(ns.ok_or("time: expected a time as RFC 3339 has it")?)
        }
    };
    Ok(match (number, text) {
        (Some(number), Some(text)) if number.abs_diff(text) <= ROUNDED => Some(text),
        (number, text) => number.or(text),
    })
}

fn text_of(value: &Json, key: &str) -> Result<Vec<u8>, String> {
    value.as_str().map(|text| text.as_bytes().to_vec()).ok_or(format!("{key}: expected a string"))
}

fn i32_of(value: &Json, key: &str) -> Result<i32, String> {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).ok_or(format!("{key}: expected a 32-bit integer"))
}

fn double_of(value: &Json) -> Result<f64, String> {
    match value.as_str() {
        Some("NaN") => Ok(f64::NAN),
        Some("Infinity") => Ok(f64::INFINITY),
        Some("-Infinity") => Ok(f64::NEG_INFINITY),
        _ => value.as_f64().ok_or("value_double: expected numbers".into()),
    }
}

fn base64_of(value: &Json, key: &str) -> Result<Vec<u8>, String> {
    let text = value.as_str().ok_or(format!("{key}: expected base64 text"))?;
    STANDARD.decode(text).map_err(|error| format!("{key}: not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(frame: &[u8]) -> (String, Vec<u8>) {
        let mut line = Vec::new();
        write_json(&Frame::parse(frame).unwrap(), &mut line);
        let mut back = Vec::new();
        read_json(&line, &mut back).unwrap();
        (String::from_utf8(line).unwrap(), back)
    }

    fn arbitrary_message() -> impl Strategy<Value = Message> {
        let text = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20));
        let field = (
            proptest::collection::vec(any::<u8>(), 0..8),
            proptest::option::of(0..5i32),
            text(),
            proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..3),
            proptest::collection::vec(any::<i64>(), 0..3),
            proptest::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..3),
            proptest::collection::vec(any::<bool>(), 0..3),
        )
            .prop_map(|(name, value_type, representation, texts, value_integer, value_double, value_bool)| Field {
                name,
                value_type,
                representation,
                value_string: texts.clone(),
                value_bytes: texts,
                value_integer,
                value_double,
                value_bool,
            });
        (
            proptest::collection::vec(any::<u8>(), 0..18),
            any::<i64>(),
            (text(), text(), text(), text(), text()),
            (any::<Option<i32>>(), any::<Option<i32>>()),
            proptest::collection::vec(field, 0..4),
        )
            .prop_map(|(uuid, timestamp, (a, b, c, d, e), (severity, pid), fields)| Message {
                uuid,
                timestamp,
                r#type: a,
                logger: b,
                severity,
                payload: c,
                env_version: d,
                pid,
                hostname: e,
                fields,
            })
    }

    proptest! {
        #[test]
        fn any_message_comes_back_byte_for_byte(message in arbitrary_message()) {
            let mut frame = Vec::new();
            put_frame(&mut frame, None, &message.encode_to_vec());
            let (_, back) = there_and_back(&frame);
            prop_assert_eq!(back, frame);
        }
    }

    #[test]
    fn an_edited_object_wins_over_raw() {
        let message = Message { uuid: vec![1; 16], timestamp: 5, pid: Some(-2), ..Message::default() };
        let mut frame = Vec::new();
        // An absent representation that is present but empty is another encoding.
        let mut bytes = message.encode_to_vec();
        bytes.extend([0x52, 5, 0x0a, 1, b'n', 0x1a, 0]);
        put_frame(&mut frame, None, &bytes);
        let (line, back) = there_and_back(&frame);
        assert!(line.contains("\"raw\""), "{line}");
        assert_eq!(back, frame);
        let mut edited = Vec::new();
        read_json(line.replace("\"timestamp\":5", "\"timestamp\":6").as_bytes(), &mut edited).unwrap();
        assert_eq!(Frame::parse(&edited).unwrap().view().timestamp(), 6);
    }

    #[test]
    fn what_our_builder_writes_needs_no_raw() {
        let mut bytes = Vec::new();
        super::super::MessageBuilder::new(&mut bytes, &[7; 16], 1_700_000_000_123_456_789)
            .severity(-1)
            .text(TextHeader::Payload, b"a line")
            .double_field(b"bytes", 82.0, b"B")
            .string_field(b"s", b"x", b"");
        let mut frame = Vec::new();
        put_frame(&mut frame, None, &bytes);
        let (line, back) = there_and_back(&frame);
        assert_eq!(
            line,
            "{\"uuid\":\"BwcHBwcHBwcHBwcHBwcHBw==\",\"timestamp\":1700000000123456789,\
             \"time\":\"2023-11-14T22:13:20.123456789Z\",\"severity\":-1,\
             \"payload\":\"a line\",\"fields\":[{\"name\":\"bytes\",\"value_type\":3,\"representation\":\"B\",\
             \"value_double\":[82]},{\"name\":\"s\",\"value_string\":[\"x\"]}]}\n"
        );
        assert_eq!(back, frame);
    }
}
