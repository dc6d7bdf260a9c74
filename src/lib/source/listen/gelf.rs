//! GELF 1.1 messages (Graylog Extended Log Format): JSON objects, compressed or not.
//!
//! Nothing is refused unless it is asked for: what is missing or wrong is said in a field `gelf_error`, and what can't
//! be read at all is a message with everything as its payload.

use std::io::Read;

use flate2::read::ZlibDecoder;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{self, Scalar};
use super::origin::Origin;
use super::syslog::put_text;
use crate::compression::Gzip;
use crate::grammar::date_time::{SECOND, unix_time};
use crate::message::{MessageBuilder, TextHeader, uuid};
use crate::stream::put_frame;

/// The specification's: alert.
const DEFAULT_LEVEL: i64 = 1;
/// The latest time that is believed, seconds.
const LATEST: i64 = 1 << 33;

/// Settings of the messages that are made.
pub struct GelfOptions {
    /// What breaks the specification makes a message of its text alone.
    pub strict: bool,
    /// Keep the original text, decompressed, in a field `raw`.
    pub raw: bool,
    /// Longest message, after decompression.
    pub max_message: usize,
}

/// Makes Heka messages of GELF messages.
pub struct Gelf {
    options: GelfOptions,
    /// When the messages at hand were received, ns.
    received: i64,
    message: Vec<u8>,
    inflated: Vec<u8>,
}

/// The members of an object, in order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// What was found in a message.
#[derive(Default)]
struct Parsed<'a> {
    time: Option<i64>,
    level: Option<i64>,
    host: Option<String>,
    short: Option<String>,
    full: Option<String>,
    fields: Vec<(&'a str, &'a RawValue)>,
    error: Option<&'static str>,
}

impl Gelf {
    pub fn new(options: GelfOptions) -> Gelf {
        Gelf { options, received: 0, message: Vec::new(), inflated: Vec::new() }
    }

    /// The messages that follow were received at this time, ns.
    pub fn at(&mut self, received: i64) {
        self.received = received;
    }

    /// Appends a frame of what may be compressed. Answers whether it is as the specification wants it.
    pub fn put_compressed(&mut self, bytes: &[u8], origin: &Origin, frames: &mut Vec<u8>) -> bool {
        let mut inflated = std::mem::take(&mut self.inflated);
        inflated.clear();
        let most = self.options.max_message as u64 + 1;
        let result = match compression(bytes) {
            Compression::None => {
                let (text, truncated) = self.at_most(bytes);
                return self.put(text, truncated, origin, frames);
            }
            Compression::Gzip => Gzip::new(bytes).take(most).read_to_end(&mut inflated),
            Compression::Zlib => ZlibDecoder::new(bytes).take(most).read_to_end(&mut inflated),
        };
        let good = match result {
            Ok(_) => {
                let (text, truncated) = self.at_most(&inflated);
                self.put(text, truncated, origin, frames)
            }
            Err(_) => {
                let (bytes, truncated) = self.at_most(bytes);
                self.put_unread(bytes, truncated, "compression", origin, frames);
                false
            }
        };
        inflated.shrink_to(256 * 1024);
        self.inflated = inflated;
        good
    }

    fn at_most<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        match bytes.get(..self.options.max_message) {
            Some(part) if part.len() < bytes.len() => (part, true),
            _ => (bytes, false),
        }
    }

    /// Appends a frame of a JSON text. Answers whether it is as the specification wants it.
    pub fn put(&mut self, text: &[u8], truncated: bool, origin: &Origin, frames: &mut Vec<u8>) -> bool {
        if is_compressed(text) {
            // Where a zero byte ends a message, none can be compressed.
            self.put_unread(text, truncated, "compression", origin, frames);
            return false;
        }
        let readable = json::readable(text);
        let Ok(Members(members)) = serde_json::from_str(&readable) else {
            self.put_unread(text, truncated, "json", origin, frames);
            return false;
        };
        let parsed = self.parse(&members);
        let has_text = parsed.short.is_some() || parsed.full.is_some();
        if let Some(error) = parsed.error.filter(|_| self.options.strict || !has_text) {
            self.put_unread(text, truncated, error, origin, frames);
            return false;
        }
        self.message.clear();
        let mut builder = MessageBuilder::new(&mut self.message, &uuid::new_v4(), parsed.time.unwrap_or(self.received));
        let level = parsed.level.unwrap_or(DEFAULT_LEVEL);
        builder.text(TextHeader::Type, b"gelf").text(TextHeader::Logger, b"gelf").severity(level as i32);
        let (payload, short) = match (&parsed.full, &parsed.short) {
            (Some(full), short) => (full.as_str(), short.as_deref()),
            (None, short) => (short.as_deref().unwrap_or_default(), None),
        };
        builder.text(TextHeader::Payload, payload.as_bytes()).text(TextHeader::EnvVersion, b"1");
        builder.text(TextHeader::Hostname, parsed.host.as_deref().map_or(origin.host(), str::as_bytes));
        if let Some(short) = short {
            builder.string_field(b"short_message", short.as_bytes(), b"");
        }
        for (name, value) in &parsed.fields {
            put_value(&mut builder, name.as_bytes(), value.get());
        }
        if self.options.raw {
            put_text(&mut builder, b"raw", text);
        }
        if let Some(error) = parsed.error {
            builder.string_field(b"gelf_error", error.as_bytes(), b"");
        }
        self.message.extend_from_slice(origin.fields());
        put_frame(frames, None, &self.message);
        parsed.error.is_none()
    }

    fn parse<'a>(&self, members: &'a [(String, &'a RawValue)]) -> Parsed<'a> {
        let mut parsed = Parsed::default();
        let mut errors = Vec::new();
        let mut version = None;
        for (name, value) in members {
            let text = || json::string(value.get()).unwrap_or(value.get().into()).into_owned();
            match name.as_str() {
                "version" => version = Some(text()),
                "host" => parsed.host = Some(text()),
                "short_message" => parsed.short = Some(text()),
                "full_message" => parsed.full = Some(text()).filter(|full| !full.is_empty()),
                "timestamp" => {
                    let time = unix_time(text().trim());
                    parsed.time = time.filter(|time| (0..LATEST * SECOND).contains(time));
                    if parsed.time.is_none() {
                        errors.push("timestamp");
                    }
                }
                "level" => {
                    // Some write 3.0.
                    let level = text().trim().parse().ok().filter(|level: &f64| level.fract() == 0.0);
                    parsed.level = level.map(|level| level as i64).filter(|level| (0..8).contains(level));
                    if parsed.level.is_none() {
                        errors.push("level");
                        parsed.fields.push(("level", value));
                    }
                }
                // It is the storage's own (specification: must not be sent).
                "_id" => {}
                other => match other.strip_prefix('_') {
                    Some(name) => parsed.fields.push((name, value)),
                    None => {
                        if !matches!(other, "facility" | "line" | "file") && self.options.strict {
                            errors.push("unknown field");
                        }
                        parsed.fields.push((other, value));
                    }
                },
            }
        }
        let is_known = |version: &String| version == "1.1" || version == "1.0" && !self.options.strict;
        if version.as_ref().is_some_and(|version| !is_known(version)) || version.is_none() && self.options.strict {
            errors.push("version");
        }
        if parsed.host.as_ref().is_none_or(String::is_empty) {
            parsed.host = None;
            errors.push("missing host");
        }
        if parsed.short.is_none() && (self.options.strict || parsed.full.is_none()) {
            errors.push("missing short_message");
        }
        parsed.error = errors.first().copied();
        parsed
    }

    /// A message of bytes that can't be read.
    fn put_unread(&mut self, bytes: &[u8], truncated: bool, error: &str, origin: &Origin, frames: &mut Vec<u8>) {
        self.message.clear();
        let mut builder = MessageBuilder::new(&mut self.message, &uuid::new_v4(), self.received);
        builder.text(TextHeader::Type, b"gelf").text(TextHeader::Logger, b"gelf").severity(DEFAULT_LEVEL as i32);
        builder.text(TextHeader::Payload, bytes).text(TextHeader::EnvVersion, b"1");
        builder.text(TextHeader::Hostname, origin.host());
        if truncated {
            builder.bool_field(b"truncated", true, b"");
        }
        builder.string_field(b"gelf_error", error.as_bytes(), b"");
        self.message.extend_from_slice(origin.fields());
        put_frame(frames, None, &self.message);
    }
}

enum Compression {
    None,
    Gzip,
    Zlib,
}

/// By the first bytes: gzip's (RFC 1952), or zlib's, whose first 16 bits are a multiple of 31 (RFC 1950).
fn compression(bytes: &[u8]) -> Compression {
    match bytes {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x78, flags, ..] if (0x7800 | *flags as u16).is_multiple_of(31) => Compression::Zlib,
        _ => Compression::None,
    }
}

/// Whether a datagram is compressed: then no byte of it may be trimmed.
pub fn is_compressed(bytes: &[u8]) -> bool {
    !matches!(compression(bytes), Compression::None)
}

/// Strings and numbers as they are, everything else as its JSON text; nothing for null.
fn put_value(builder: &mut MessageBuilder<'_>, name: &[u8], json: &str) {
    match json::scalar(json) {
        Some(Scalar::Null) => {}
        Some(Scalar::Text(text)) => put_text(builder, name, text.as_bytes()),
        Some(Scalar::Integer(integer)) => {
            builder.integer_field(name, integer, b"");
        }
        // Up to 2^53, a double without a fraction is exactly that integer.
        Some(Scalar::Double(number)) if number.fract() == 0.0 && number.abs() <= 9.007_199_254_740_992e15 => {
            builder.integer_field(name, number as i64, b"");
        }
        Some(Scalar::Double(number)) => {
            builder.double_field(name, number, b"");
        }
        None => {
            builder.string_field(name, json.as_bytes(), b"");
        }
    }
}
