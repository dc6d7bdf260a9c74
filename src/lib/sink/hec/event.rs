//! A message as a HEC event.

use crate::message::json::{put_string, put_value};
use crate::message::{MessageView, TextHeader, uuid};

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// JSON objects, each with its own metadata.
    Event,
    /// Lines of text; one set of metadata a request.
    Raw,
}

/// How events are made.
#[derive(Clone, Debug)]
pub struct EventOptions {
    pub endpoint: Endpoint,
    /// Splunk's index; the token's own when empty.
    pub index: String,
}

impl EventOptions {
    /// Appends one event and a newline.
    pub fn put(&self, view: &MessageView<'_>, buf: &mut Vec<u8>) {
        match self.endpoint {
            Endpoint::Event => self.put_envelope(view, buf),
            Endpoint::Raw if view.payload().is_empty() => put_object(view, buf),
            Endpoint::Raw => buf.extend_from_slice(view.payload().strip_suffix(b"\n").unwrap_or(view.payload())),
        }
        buf.push(b'\n');
    }

    fn put_envelope(&self, view: &MessageView<'_>, buf: &mut Vec<u8>) {
        buf.extend_from_slice(b"{\"time\":");
        put_seconds(view.timestamp(), buf);
        for (key, header) in
            [("host", TextHeader::Hostname), ("source", TextHeader::Logger), ("sourcetype", TextHeader::Type)]
        {
            if let Some(text) = view.text(header).filter(|text| !text.is_empty()) {
                put_member(buf, key, text);
            }
        }
        if !self.index.is_empty() {
            put_member(buf, "index", self.index.as_bytes());
        }
        buf.extend_from_slice(b",\"event\":");
        if view.payload().is_empty() {
            put_object(view, buf)
        } else {
            put_string(buf, view.payload())
        }
        buf.push(b'}');
    }

    /// The query of a raw request: metadata hold for all of it, so a batch has one set.
    pub fn query(&self, view: &MessageView<'_>) -> String {
        if self.endpoint == Endpoint::Event {
            return String::new();
        }
        let mut query = String::new();
        let mut put = |key: &str, value: &[u8]| {
            if !value.is_empty() {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str(key);
                query.push('=');
                percent_encode(value, &mut query);
            }
        };
        put("host", view.text(TextHeader::Hostname).unwrap_or_default());
        put("source", view.text(TextHeader::Logger).unwrap_or_default());
        put("sourcetype", view.text(TextHeader::Type).unwrap_or_default());
        put("index", self.index.as_bytes());
        query
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
    let (sign, ns) = if ns < 0 { ("-", ns.unsigned_abs()) } else { ("", ns as u64) };
    let text = format!("{sign}{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    buf.extend_from_slice(text.trim_end_matches('0').trim_end_matches('.').as_bytes());
}

/// The fields as an object; a name that comes several times has all its values in one array. Without fields the headers
/// stand in: an event must not be blank.
fn put_object(view: &MessageView<'_>, buf: &mut Vec<u8>) {
    buf.push(b'{');
    let mut first = true;
    for (place, field) in view.fields().enumerate() {
        if view.fields().take(place).any(|earlier| earlier.name == field.name) {
            continue;
        }
        let values = || view.fields().filter(|other| other.name == field.name).flat_map(|other| other.values());
        let several = values().take(2).count() != 1;
        if !first {
            buf.push(b',');
        }
        first = false;
        put_string(buf, field.name);
        buf.extend_from_slice(if several { b":[" } else { b":" });
        for (place, value) in values().enumerate() {
            if place > 0 {
                buf.push(b',');
            }
            put_value(buf, value);
        }
        if several {
            buf.push(b']');
        }
    }
    if first {
        buf.extend_from_slice(b"\"uuid\":");
        put_string(buf, uuid::format(view.uuid()).as_ref().map_or(&b""[..], |text| &text[..]));
        if let Some(text) = view.text(TextHeader::Type) {
            put_member(buf, "type", text);
        }
        buf.extend_from_slice(format!(",\"severity\":{}", view.severity().unwrap_or(7)).as_bytes());
    }
    buf.push(b'}');
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
        let options = EventOptions { endpoint, index: "main".into() };
        let mut buf = Vec::new();
        options.put(&MessageView::new(&bytes).unwrap(), &mut buf);
        String::from_utf8(buf).unwrap()
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
