//! A message as a HEC event.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::message::json::{put_string, put_value};
use crate::message::number::{put_fraction, put_integer};
use crate::message::{FieldView, Interpolation, MessageView, TextHeader, Value, uuid};

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// JSON objects, each with its own metadata.
    Event,
    /// Lines of text; one set of metadata a request.
    Raw,
}

/// What the event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventForm {
    /// The payload; the fields when there is none.
    #[default]
    Payload,
    /// An object of the fields; the headers when there are none.
    Fields,
    /// An object of headers and fields.
    Message,
    /// What a script has made of the message, which is in its last field [`MADE`].
    Made,
}

/// The field that has the event which a script made: JSON, or else a text.
pub const MADE: &[u8] = b"hec_event";

/// Which fields Splunk is to index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IndexedFields {
    #[default]
    None,
    All,
    Named(Vec<String>),
}

impl IndexedFields {
    /// Names with commas between them; `*` is all.
    pub fn parse(text: &str) -> IndexedFields {
        match text {
            "" => IndexedFields::None,
            "*" => IndexedFields::All,
            names => IndexedFields::Named(names.split(',').map(|name| name.trim().to_string()).collect()),
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        match self {
            IndexedFields::None => false,
            IndexedFields::All => true,
            IndexedFields::Named(names) => names.iter().any(|wanted| wanted.as_bytes() == name),
        }
    }
}

/// How events are made. What of the metadata isn't given comes from the message's headers, or, the index, from the token.
#[derive(Clone, Debug)]
pub struct EventOptions {
    pub endpoint: Endpoint,
    pub form: EventForm,
    pub fields: IndexedFields,
    pub host: Option<Interpolation>,
    pub source: Option<Interpolation>,
    pub sourcetype: Option<Interpolation>,
    pub index: Option<Interpolation>,
}

/// Name, what the options say, and the header that it comes from otherwise.
type Metadata<'o> = (&'static str, &'o Option<Interpolation>, Option<TextHeader>);

impl EventOptions {
    fn metadata(&self) -> [Metadata<'_>; 4] {
        [
            ("host", &self.host, Some(TextHeader::Hostname)),
            ("source", &self.source, Some(TextHeader::Logger)),
            ("sourcetype", &self.sourcetype, Some(TextHeader::Type)),
            ("index", &self.index, None),
        ]
    }

    /// Calls with the name and text of each part of the metadata that isn't empty.
    fn each_metadata(&self, view: &MessageView<'_>, mut put: impl FnMut(&str, &[u8])) {
        thread_local! {
            static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        for (name, template, header) in self.metadata() {
            match template {
                None => {
                    if let Some(text) = header.and_then(|header| view.text(header)).filter(|text| !text.is_empty()) {
                        put(name, text);
                    }
                }
                Some(template) => match template.constant() {
                    Some("") => {}
                    Some(text) => put(name, text.as_bytes()),
                    None => TEXT.with_borrow_mut(|text| {
                        text.clear();
                        template.put(text, view);
                        if !text.is_empty() {
                            put(name, text);
                        }
                    }),
                },
            }
        }
    }

    /// Appends one event and a newline.
    pub fn put(&self, view: &MessageView<'_>, buf: &mut Vec<u8>) {
        match self.endpoint {
            Endpoint::Event => self.put_envelope(view, buf),
            Endpoint::Raw if self.form == EventForm::Made => buf.extend_from_slice(made(view)),
            Endpoint::Raw if self.is_payload(view) => {
                buf.extend_from_slice(view.payload().strip_suffix(b"\n").unwrap_or(view.payload()));
            }
            Endpoint::Raw => self.put_object(view, buf),
        }
        buf.push(b'\n');
    }

    fn put_envelope(&self, view: &MessageView<'_>, buf: &mut Vec<u8>) {
        buf.extend_from_slice(b"{\"time\":");
        put_seconds(view.timestamp(), buf);
        self.each_metadata(view, |name, text| put_member(buf, name, text));
        buf.extend_from_slice(b",\"event\":");
        if self.form == EventForm::Made {
            put_made(made(view), buf);
        } else if self.is_payload(view) {
            put_string(buf, view.payload())
        } else {
            self.put_object(view, buf)
        }
        if self.fields != IndexedFields::None {
            let before = buf.len();
            buf.extend_from_slice(b",\"fields\":{");
            if put_fields(view, buf, |name| self.fields.has(name), put_flat) {
                buf.push(b'}');
            } else {
                buf.truncate(before);
            }
        }
        buf.push(b'}');
    }

    fn is_payload(&self, view: &MessageView<'_>) -> bool {
        self.form == EventForm::Payload && !view.payload().is_empty()
    }

    fn put_object(&self, view: &MessageView<'_>, buf: &mut Vec<u8>) {
        match self.form {
            EventForm::Payload | EventForm::Fields => put_object(view, buf),
            EventForm::Message | EventForm::Made => put_message(view, buf),
        }
    }

    /// The index that an event is for, as far as the options say.
    pub fn index_of(&self, view: &MessageView<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(template) = &self.index {
            template.put(&mut text, view);
        }
        text
    }

    /// The query of a raw request: metadata hold for all of it, so a batch has one set.
    pub fn query(&self, view: &MessageView<'_>) -> String {
        if self.endpoint == Endpoint::Event {
            return String::new();
        }
        let mut query = String::new();
        let put = |key: &str, value: &[u8]| {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(key);
            query.push('=');
            percent_encode(value, &mut query);
        };
        self.each_metadata(view, put);
        query
    }
}

/// What a script made. (A message that comes from a backup has an earlier one too.)
fn made<'a>(view: &MessageView<'a>) -> &'a [u8] {
    match view.fields_called(|name| name == MADE).last().and_then(|field| field.values().next()) {
        Some(Value::Bytes(bytes) | Value::String(bytes)) => bytes.strip_suffix(b"\n").unwrap_or(bytes),
        _ => b"",
    }
}

/// JSON stays what it is; what is none is a text.
fn put_made(made: &[u8], buf: &mut Vec<u8>) {
    let json = std::str::from_utf8(made).ok().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    match json {
        // An event must not be blank.
        Some(json) if !matches!(json.get(), "null" | "\"\"") => buf.extend_from_slice(json.get().as_bytes()),
        _ => put_string(buf, made),
    }
}

fn put_member(buf: &mut Vec<u8>, key: &str, value: &[u8]) {
    buf.extend_from_slice(b",\"");
    buf.extend_from_slice(key.as_bytes());
    buf.extend_from_slice(b"\":");
    put_string(buf, value);
}

/// Seconds with all nine digits that a double would lose; trailing zeros dropped.
fn put_seconds(ns: i64, buf: &mut Vec<u8>) {
    if ns < 0 {
        buf.push(b'-');
    }
    let ns = ns.unsigned_abs();
    put_integer(buf, ns / 1_000_000_000);
    put_fraction(buf, (ns % 1_000_000_000) as u32);
}

/// The fields as an object. Without fields the headers stand in: an event must not be blank.
fn put_object(view: &MessageView<'_>, buf: &mut Vec<u8>) {
    buf.push(b'{');
    if !put_fields(view, buf, |_| true, put_value) {
        put_headers(view, buf);
    }
    buf.push(b'}');
}

/// Headers, and the fields in an object of their own, as nothing keeps their names apart.
fn put_message(view: &MessageView<'_>, buf: &mut Vec<u8>) {
    buf.push(b'{');
    put_headers(view, buf);
    buf.extend_from_slice(b",\"timestamp\":");
    put_integer(buf, view.timestamp());
    for (name, header) in [
        ("logger", TextHeader::Logger),
        ("hostname", TextHeader::Hostname),
        ("env_version", TextHeader::EnvVersion),
        ("payload", TextHeader::Payload),
    ] {
        if let Some(text) = view.text(header) {
            put_member(buf, name, text);
        }
    }
    if let Some(pid) = view.pid() {
        buf.extend_from_slice(b",\"pid\":");
        put_integer(buf, pid);
    }
    buf.extend_from_slice(b",\"fields\":{");
    put_fields(view, buf, |_| true, put_value);
    buf.extend_from_slice(b"}}");
}

fn put_headers(view: &MessageView<'_>, buf: &mut Vec<u8>) {
    buf.extend_from_slice(b"\"uuid\":");
    put_string(buf, uuid::format(view.uuid()).as_ref().map_or(&b""[..], |text| &text[..]));
    if let Some(text) = view.text(TextHeader::Type) {
        put_member(buf, "type", text);
    }
    buf.extend_from_slice(b",\"severity\":");
    put_integer(buf, view.severity().unwrap_or(7));
}

/// Members for the fields that are wanted; a name that comes several times has all its values in one array. Answers
/// whether there are any.
fn put_fields(
    view: &MessageView<'_>,
    buf: &mut Vec<u8>,
    wanted: impl Fn(&[u8]) -> bool,
    put: impl Fn(&mut Vec<u8>, Value<'_>),
) -> bool {
    let wanted = || view.fields().filter(|field| wanted(field.name));
    // Messages in which each name comes once, nearly all of them, are written as they are read.
    let before = buf.len();
    let mut names: SmallVec<[&[u8]; SEVERAL]> = SmallVec::new();
    for field in wanted() {
        if names.len() == SEVERAL || names.contains(&field.name) {
            buf.truncate(before);
            return put_gathered(&members(wanted()), buf, put);
        }
        if !names.is_empty() {
            buf.push(b',');
        }
        names.push(field.name);
        put_string(buf, field.name);
        buf.push(b':');
        match field.only_text() {
            Some(text) => put(buf, Value::String(text)),
            None => put_values(buf, field.values(), field.values().take(2).count() != 1, &put),
        }
    }
    !names.is_empty()
}

fn put_values<'a>(
    buf: &mut Vec<u8>,
    values: impl Iterator<Item = Value<'a>>,
    several: bool,
    put: impl Fn(&mut Vec<u8>, Value<'_>),
) {
    if several {
        buf.push(b'[');
    }
    for (place, value) in values.enumerate() {
        if place > 0 {
            buf.push(b',');
        }
        put(buf, value);
    }
    if several {
        buf.push(b']');
    }
}

fn put_gathered(members: &Members<'_>, buf: &mut Vec<u8>, put: impl Fn(&mut Vec<u8>, Value<'_>)) -> bool {
    for (place, member) in members.iter().enumerate().filter(|(_, member)| member.first) {
        let fields = || std::iter::successors(Some(member), |member| members.get(member.next?));
        let several = member.next.is_some() || member.field.values().take(2).count() != 1;
        if place > 0 {
            buf.push(b',');
        }
        put_string(buf, member.field.name);
        buf.push(b':');
        put_values(buf, fields().flat_map(|member| member.field.values()), several, &put);
    }
    !members.is_empty()
}

/// As many names are quickly compared.
const SEVERAL: usize = 16;

/// A field among those of its name.
struct Member<'a> {
    field: FieldView<'a>,
    /// No earlier one has the name.
    first: bool,
    /// The next one that has it.
    next: Option<usize>,
}

type Members<'a> = Vec<Member<'a>>;

fn members<'a>(fields: impl Iterator<Item = FieldView<'a>>) -> Members<'a> {
    let mut members = Members::new();
    // The last field of each name, when there are more names than are quickly compared.
    let mut last: HashMap<&[u8], usize> = HashMap::new();
    for (place, field) in fields.enumerate() {
        let earlier = match place < SEVERAL {
            true => members.iter().rposition(|member| member.field.name == field.name),
            false => {
                if last.is_empty() {
                    last = members.iter().enumerate().map(|(place, member)| (member.field.name, place)).collect();
                }
                last.insert(field.name, place)
            }
        };
        if let Some(earlier) = earlier {
            members[earlier].next = Some(place);
        }
        members.push(Member { field, first: earlier.is_none(), next: None });
    }
    members
}

/// Indexed fields are strings and numbers.
fn put_flat(buf: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Bool(flag) => put_string(buf, if flag { b"true" } else { b"false" }),
        other => put_value(buf, other),
    }
}

fn percent_encode(bytes: &[u8], text: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte as char);
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::MessageBuilder;

    fn event(endpoint: Endpoint, build: impl FnOnce(&mut MessageBuilder<'_>)) -> String {
        let mut bytes = Vec::new();
        build(&mut MessageBuilder::new(&mut bytes, &[1; 16], 1_433_188_255_253_000_001));
        let index = Some(Interpolation::parse("main").unwrap());
        put(&EventOptions { index, ..options(endpoint) }, &bytes)
    }

    fn options(endpoint: Endpoint) -> EventOptions {
        EventOptions {
            endpoint,
            form: EventForm::Payload,
            fields: IndexedFields::None,
            host: None,
            source: None,
            sourcetype: None,
            index: None,
        }
    }

    fn put(options: &EventOptions, message: &[u8]) -> String {
        let mut buf = Vec::new();
        options.put(&MessageView::new(message).unwrap(), &mut buf);
        String::from_utf8(buf).unwrap()
    }

    #[test]
    fn metadata_and_what_is_indexed_are_options() {
        let mut message = Vec::new();
        let mut builder = MessageBuilder::new(&mut message, &[1; 16], 2_000_000_000);
        builder
            .text(TextHeader::Type, b"nginx")
            .text(TextHeader::Logger, b"log")
            .text(TextHeader::Payload, b"p")
            .pid(3)
            .text(TextHeader::Hostname, b"h1")
            .string_field(b"app", b"a&b", b"")
            .integer_field(b"n", 1, b"")
            .bool_field(b"ok", true, b"")
            .integer_field(b"n", 2, b"");
        let template = |text: &str| Some(Interpolation::parse(text).unwrap());
        let wanted = EventOptions {
            host: template(""),
            source: template("%{Fields[none]}"),
            sourcetype: template("%{Type}:%{Fields[n]}"),
            index: template("%{Fields[app]}"),
            fields: IndexedFields::parse("n,ok,none"),
            ..options(Endpoint::Event)
        };
        let head = r#"{"time":2,"sourcetype":"nginx:1","index":"a&b","event":"#;
        assert_eq!(put(&wanted, &message), format!("{head}\"p\",\"fields\":{{\"n\":[1,2],\"ok\":\"true\"}}}}\n"));
        let none = EventOptions { fields: IndexedFields::parse("x"), form: EventForm::Fields, ..wanted.clone() };
        assert_eq!(put(&none, &message), format!("{head}{{\"app\":\"a&b\",\"n\":[1,2],\"ok\":true}}}}\n"));
        let whole = EventOptions { form: EventForm::Message, endpoint: Endpoint::Raw, ..wanted };
        let fields = r#""fields":{"app":"a&b","n":[1,2],"ok":true}"#;
        let uuid = "01010101-0101-0101-0101-010101010101";
        let expected = format!(
            "{{\"uuid\":\"{uuid}\",\"type\":\"nginx\",\"severity\":7,\"timestamp\":2000000000,\"logger\":\"log\",\"hostname\":\"h1\",\"payload\":\"p\",\"pid\":3,{fields}}}\n"
        );
        assert_eq!(put(&whole, &message), expected);
        assert_eq!(whole.query(&MessageView::new(&message).unwrap()), "?sourcetype=nginx%3A1&index=a%26b");
    }

    #[test]
    fn many_fields_of_some_names_are_gathered() {
        let mut message = Vec::new();
        let mut builder = MessageBuilder::new(&mut message, &[1; 16], 0);
        for number in 0..100 {
            builder.integer_field(format!("f{}", number % 40).as_bytes(), number, b"");
        }
        let text = put(&EventOptions { form: EventForm::Fields, ..options(Endpoint::Raw) }, &message);
        let made: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(made.as_object().unwrap().len(), 40);
        assert_eq!(made["f3"], serde_json::json!([3, 43, 83]));
        assert_eq!(made["f39"], serde_json::json!([39, 79]));
        assert!(text.starts_with(r#"{"f0":[0,40,80],"f1":"#) && text.ends_with("\"f39\":[39,79]}\n"), "{text}");
    }

    #[test]
    fn the_payload_is_the_event_or_the_fields_are() {
        let text = event(Endpoint::Event, |message| {
            message
                .text(TextHeader::Type, b"nginx")
                .text(TextHeader::Payload, b"say \"x\"")
                .text(TextHeader::Hostname, b"h");
        });
        let expected = "{\"time\":1433188255.253000001,\"host\":\"h\",\"sourcetype\":\"nginx\",\"index\":\"main\",\"event\":\"say \\\"x\\\"\"}\n";
        assert_eq!(text, expected);
        let text = event(Endpoint::Event, |message| {
            message.double_field(b"status", 200.0, b"").string_field(b"a", b"1", b"").string_field(b"a", b"2", b"");
        });
        assert!(text.ends_with("\"event\":{\"status\":200,\"a\":[\"1\",\"2\"]}}\n"), "{text}");
        let text = event(Endpoint::Event, |_| {});
        assert!(text.contains("\"event\":{\"uuid\":\"01010101-"), "{text}");
        let text = event(Endpoint::Raw, |message| {
            message.text(TextHeader::Payload, b"a line\n");
        });
        assert_eq!(text, "a line\n");
    }
}
