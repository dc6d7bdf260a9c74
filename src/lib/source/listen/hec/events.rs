//! Messages of a body, which comes in pieces.
//!
//! Each event becomes a frame as soon as it is whole, so that a body takes no memory for its length. As with Splunk, the
//! events before a bad one are taken.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use memchr::memchr2;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::answers::{Answer, EVENT_BLANK, EVENT_REQUIRED, INVALID_FIELDS, INVALID_FORMAT, NO_DATA, TOO_LARGE};
use super::query_parameter;
use crate::grammar::date_time::unix_time;
use crate::message::{MessageBuilder, TextHeader, ValueType, now_ns, uuid};
use crate::source::listen::framing::{Framing, Splitter};
use crate::source::listen::json::{self, Scalar};
use crate::stream::{DEFAULT_READ_MESSAGE, put_frame};

/// What an event's JSON may take besides its payload, which escapes may make twice as long.
const METADATA: usize = 64 << 10;

/// Makes frames of a body.
pub struct Events {
    form: Form,
    made: Made,
}

enum Form {
    Json(Objects),
    /// Lines; metadata of the query hold for all.
    Raw(Splitter, Metadata<'static>),
}

/// What has been made of a body.
pub struct Made {
    pub frames: Vec<u8>,
    /// Of `frames`.
    pub messages: u64,
    /// Payloads that were cut.
    pub truncated: u64,
    /// What is wrong with the first bad event, and its number.
    pub refused: Option<(Answer, Option<u64>)>,
    /// Of all frames so far.
    events: u64,
    /// Longest payload.
    limit: usize,
    peer: String,
    message: Vec<u8>,
}

#[derive(Default)]
struct Metadata<'a> {
    time: Option<i64>,
    host: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    sourcetype: Option<Cow<'a, str>>,
    index: Option<Cow<'a, str>>,
}

impl Events {
    fn new(form: Form, limit: usize, peer: SocketAddr) -> Events {
        let made = Made {
            frames: Vec::new(),
            messages: 0,
            truncated: 0,
            refused: None,
            events: 0,
            limit,
            peer: peer.ip().to_canonical().to_string(),
            message: Vec::new(),
        };
        Events { form, made }
    }

    /// Of JSON objects, one after the other or in one list; payloads get no longer than `limit` bytes.
    pub fn json(limit: usize, peer: SocketAddr) -> Events {
        Events::new(Form::Json(Objects { longest: 2 * limit + METADATA, ..Objects::default() }), limit, peer)
    }

    /// Of lines.
    pub fn raw(limit: usize, query: Option<&str>, peer: SocketAddr) -> Events {
        let text = |name| query_parameter(query, name).map(Cow::Owned);
        let metadata = Metadata {
            time: query_parameter(query, "time").as_deref().and_then(unix_time),
            host: text("host"),
            source: text("source"),
            sourcetype: text("sourcetype"),
            index: text("index"),
        };
        Events::new(Form::Raw(Splitter::new(Framing::Line, limit), metadata), limit, peer)
    }

    /// Takes the next piece in; nothing more once an event has been refused.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Events { form, made } = self;
        if made.refused.is_some() {
            return;
        }
        match form {
            Form::Json(objects) => objects.feed(bytes, made),
            Form::Raw(splitter, metadata) => splitter.feed(bytes, |line| made.put_line(line, metadata)),
        }
    }

    /// The body has ended.
    pub fn finish(&mut self) {
        let Events { form, made } = self;
        if made.refused.is_some() {
            return;
        }
        match form {
            Form::Json(objects) => objects.finish(made),
            Form::Raw(splitter, metadata) => {
                splitter.finish(false, |line| made.put_line(line, metadata));
                if made.events == 0 {
                    made.refused = Some((NO_DATA, None));
                }
            }
        }
    }

    pub fn made(&mut self) -> &mut Made {
        &mut self.made
    }

    /// What it takes.
    pub fn kept(&self) -> usize {
        let pending = match &self.form {
            Form::Json(objects) => objects.pending.capacity(),
            Form::Raw(splitter, _) => splitter.kept(),
        };
        pending + self.made.frames.capacity() + self.made.message.capacity()
    }
}

/// The objects in a text that comes in pieces.
#[derive(Default)]
struct Objects {
    /// The beginning of an object that isn't whole.
    pending: Vec<u8>,
    longest: usize,
    /// How deep in brackets and braces the text is; 0 between objects.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Something but blanks has come.
    begun: bool,
    list: List,
}

#[derive(Default, PartialEq)]
enum List {
    #[default]
    None,
    /// Before an object, or the end of an empty list.
    Begun,
    /// Behind a comma.
    Comma,
    /// Behind an object.
    Behind,
    Ended,
}

impl Objects {
    fn feed(&mut self, bytes: &[u8], made: &mut Made) {
        let mut rest = bytes;
        loop {
            if self.depth == 0 {
                let Some(at) = self.begin(rest) else {
                    return made.refuse(INVALID_FORMAT);
                };
                rest = &rest[at..];
                if rest.is_empty() {
                    return;
                }
            }
            let end = self.end(rest);
            let (part, tail) = rest.split_at(end.unwrap_or(rest.len()));
            if self.pending.len() + part.len() > self.longest {
                return made.refuse(TOO_LARGE);
            }
            rest = tail;
            let put = match (end, self.pending.is_empty()) {
                (Some(_), true) => made.put_object(part),
                (Some(_), false) => {
                    self.pending.extend_from_slice(part);
                    let put = made.put_object(&self.pending);
                    self.pending.clear();
                    put
                }
                (None, _) => return self.pending.extend_from_slice(part),
            };
            if let Err(refused) = put {
                return made.refuse(refused);
            }
        }
    }

    /// Where the next object begins, or the piece ends; nothing where something else comes.
    fn begin(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => continue,
                // A byte order mark.
                0xef | 0xbb | 0xbf if !self.begun => continue,
                b'{' if matches!(self.list, List::None | List::Begun | List::Comma) => {
                    if self.list != List::None {
                        self.list = List::Behind;
                    }
                    self.begun = true;
                    return Some(at);
                }
                b'[' if !self.begun => self.list = List::Begun,
                b',' if self.list == List::Behind => self.list = List::Comma,
                b']' if matches!(self.list, List::Begun | List::Behind) => self.list = List::Ended,
                _ => return None,
            }
            self.begun = true;
        }
        Some(bytes.len())
    }

    /// How many bytes it takes to the object's end.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.escaped) {
                at += 1;
                continue;
            }
            if self.in_string {
                let found = memchr2(b'"', b'\\', rest)?;
                self.escaped = rest[found] == b'\\';
                self.in_string = self.escaped;
                at += found + 1;
                continue;
            }
            at += rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))? + 1;
            match bytes[at - 1] {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                _ => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at);
                    }
                }
            }
        }
        None
    }

    fn finish(&mut self, made: &mut Made) {
        if !self.begun {
            made.refused = Some((NO_DATA, None));
        } else if self.depth > 0 || !matches!(self.list, List::None | List::Ended) {
            made.refuse(INVALID_FORMAT);
        }
    }
}

impl Made {
    /// Whether there was any good event.
    pub fn has_any(&self) -> bool {
        self.events > 0
    }

    fn refuse(&mut self, answer: Answer) {
        self.refused = Some((answer, Some(self.events)));
    }

    /// Begins a message; the payload is cut if need be.
    fn begin(&mut self, metadata: &Metadata<'_>, payload: &[u8], truncated: bool) {
        self.message.clear();
        let time = metadata.time.unwrap_or_else(now_ns);
        let mut builder = MessageBuilder::new(&mut self.message, &uuid::new_v4(), time);
        builder.text(TextHeader::Type, metadata.sourcetype.as_deref().unwrap_or("httpevent").as_bytes());
        builder.text(TextHeader::Logger, metadata.source.as_deref().unwrap_or_default().as_bytes());
        builder.text(TextHeader::Payload, payload);
        builder.text(TextHeader::Hostname, metadata.host.as_deref().unwrap_or(&self.peer).as_bytes());
        if let Some(index) = &metadata.index {
            builder.string_field(b"index", index.as_bytes(), b"");
        }
        if truncated {
            builder.bool_field(b"truncated", true, b"");
            self.truncated += 1;
        }
    }

    /// What a program that reads the stream would pass over is refused before it is acknowledged.
    fn end(&mut self) -> Result<(), Answer> {
        if self.message.len() > DEFAULT_READ_MESSAGE {
            return Err(TOO_LARGE);
        }
        put_frame(&mut self.frames, None, &self.message);
        self.messages += 1;
        self.events += 1;
        Ok(())
    }

    fn put_line(&mut self, line: crate::source::listen::Piece<'_>, metadata: &Metadata<'_>) {
        if self.refused.is_none() {
            self.begin(metadata, line.bytes, line.truncated);
            if let Err(refused) = self.end() {
                self.refuse(refused);
            }
        }
    }

    fn put_object(&mut self, object: &[u8]) -> Result<(), Answer> {
        let object = json::readable(object);
        let members: Members<'_> = serde_json::from_str(&object).map_err(|_| INVALID_FORMAT)?;
        fn text(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
            json::string(value?.get())
        }
        let content = members.event.ok_or(EVENT_REQUIRED)?.get();
        let payload = match json::string(content) {
            Some(text) => text,
            None if content == "null" => return Err(EVENT_REQUIRED),
            None => content.into(),
        };
        if payload.is_empty() {
            return Err(EVENT_BLANK);
        }
        let time = match members.time.map(|time| time.get().trim_matches('"')) {
            None | Some("null") => None,
            // A number, or a string that holds one; read as text, since a double has not enough digits.
            Some(time) => Some(unix_time(time).ok_or(INVALID_FORMAT)?),
        };
        let metadata = Metadata {
            time,
            host: text(members.host),
            source: text(members.source),
            sourcetype: text(members.sourcetype),
            index: text(members.index),
        };
        let kept = &payload[..payload.floor_char_boundary(self.limit)];
        self.begin(&metadata, kept.as_bytes(), kept.len() < payload.len());
        if let Some(fields) = members.fields {
            put_fields(fields.get(), &mut MessageBuilder::more(&mut self.message)).map_err(|_| INVALID_FIELDS)?;
        }
        self.end()
    }
}

/// The members of an event that mean something; of two with one name the last.
#[derive(Default)]
struct Members<'a> {
    time: Option<&'a RawValue>,
    host: Option<&'a RawValue>,
    source: Option<&'a RawValue>,
    sourcetype: Option<&'a RawValue>,
    index: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    fields: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                while let Some(name) = map.next_key::<&RawValue>()? {
                    let place = match json::string(name.get()).as_deref() {
                        Some("time") => &mut members.time,
                        Some("host") => &mut members.host,
                        Some("source") => &mut members.source,
                        Some("sourcetype") => &mut members.sourcetype,
                        Some("index") => &mut members.index,
                        Some("event") => &mut members.event,
                        Some("fields") => &mut members.fields,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *place = Some(map.next_value()?);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Appends a field for each member of an object, in its order: strings, numbers, and lists of these.
fn put_fields(fields: &str, builder: &mut MessageBuilder<'_>) -> Result<(), serde_json::Error> {
    struct Fields<'b, 'm>(&'b mut MessageBuilder<'m>);
    impl<'de> Visitor<'de> for Fields<'_, '_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(name) = map.next_key::<&RawValue>()? {
                let name = json::string(name.get()).ok_or_else(|| A::Error::custom("a name"))?;
                let value: &RawValue = map.next_value()?;
                put_field(name.as_bytes(), value.get(), self.0).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(fields).deserialize_map(Fields(builder))
}

fn put_field(name: &[u8], value: &str, builder: &mut MessageBuilder<'_>) -> Result<(), serde_json::Error> {
    match json::scalar(value) {
        Some(Scalar::Null) => {}
        Some(Scalar::Integer(number)) => {
            builder.integer_field(name, number, b"");
        }
        Some(Scalar::Double(number)) => {
            builder.double_field(name, number, b"");
        }
        Some(Scalar::Text(text)) => {
            builder.field(name, ValueType::String, b"", |values| values.string(text.as_bytes()));
        }
        None => return put_list(name, value, builder),
    }
    Ok(())
}

/// A list of integers, of numbers, or, where anything else is in it, of texts; without what is null.
fn put_list(name: &[u8], list: &str, builder: &mut MessageBuilder<'_>) -> Result<(), serde_json::Error> {
    let (mut integers, mut numbers, mut values) = (true, true, 0);
    for_each(list, &mut |value| {
        values += (*value != Scalar::Null) as usize;
        integers &= matches!(value, Scalar::Null | Scalar::Integer(_));
        numbers &= matches!(value, Scalar::Null | Scalar::Integer(_) | Scalar::Double(_));
    })?;
    if values == 0 {
        return Ok(());
    }
    let mut result = Ok(());
    if integers {
        let mut all = Vec::with_capacity(values);
        result = for_each(list, &mut |value| {
            if let Scalar::Integer(number) = value {
                all.push(*number);
            }
        });
        builder.field(name, ValueType::Integer, b"", |values| values.integers(all.into_iter()));
    } else if numbers {
        let mut all = Vec::with_capacity(values);
        result = for_each(list, &mut |value| match value {
            Scalar::Integer(number) => all.push(*number as f64),
            Scalar::Double(number) => all.push(*number),
            _ => {}
        });
        builder.field(name, ValueType::Double, b"", |values| values.doubles(all.into_iter()));
    } else {
        builder.field(name, ValueType::String, b"", |values| {
            result = for_each(list, &mut |value| match value {
                Scalar::Null => {}
                Scalar::Text(text) => values.string(text.as_bytes()),
                Scalar::Integer(number) => values.string(number.to_string().as_bytes()),
                Scalar::Double(number) => values.string(number.to_string().as_bytes()),
            });
        });
    }
    result
}

/// Goes through a list of scalars.
fn for_each(list: &str, take: &mut dyn FnMut(&Scalar<'_>)) -> Result<(), serde_json::Error> {
    struct Each<'t>(&'t mut dyn FnMut(&Scalar<'_>));
    impl<'de> Visitor<'de> for Each<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            while let Some(value) = list.next_element::<&RawValue>()? {
                (self.0)(&json::scalar(value.get()).ok_or_else(|| A::Error::custom("a list or an object"))?);
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(list).deserialize_seq(Each(take))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Frame, Frames};
    use proptest::prelude::*;

    fn peer() -> SocketAddr {
        "127.0.0.1:1".parse().unwrap()
    }

    fn parse(mut events: Events, body: &[u8], size: usize) -> Made {
        body.chunks(size).for_each(|piece| events.feed(piece));
        events.finish();
        events.made
    }

    fn payloads(made: &Made) -> Vec<String> {
        Frames(&made.frames).map(|frame| String::from_utf8_lossy(frame.view().payload()).into_owned()).collect()
    }

    #[test]
    fn events_before_a_bad_one_are_taken() {
        let good = r#"{"event":"a"} {"event":{"b":1}}"#;
        let cases = [
            (good.to_string(), None),
            (format!("[{}]", good.replace("} {", "},{")), None),
            (format!("{good} {{}}"), Some((EVENT_REQUIRED, Some(2)))),
            (format!("{good} {{\"event\":\"\"}}"), Some((EVENT_BLANK, Some(2)))),
            (format!("{good} {{\"event\":\"x\",\"fields\":{{\"a\":{{}}}}}}"), Some((INVALID_FIELDS, Some(2)))),
            (format!("{good} {{\"event\":\"x\",\"fields\":{{\"a\":[[]]}}}}"), Some((INVALID_FIELDS, Some(2)))),
            (format!("{good} {{\"event\":\"x\",\"time\":\"noon\"}}"), Some((INVALID_FORMAT, Some(2)))),
            (format!("{good} {{\"event\":\"x\"]"), Some((INVALID_FORMAT, Some(2)))),
            (format!("{good} {{\"event\":\"x"), Some((INVALID_FORMAT, Some(2)))),
            (format!("{good} nonsense"), Some((INVALID_FORMAT, Some(2)))),
            (format!("[{}", good.replace("} {", "},{")), Some((INVALID_FORMAT, Some(2)))),
            (format!("[{}] {{\"event\":\"x\"}}", good.replace("} {", "},{")), Some((INVALID_FORMAT, Some(2)))),
            (format!("[{},]", good.replace("} {", "},{")), Some((INVALID_FORMAT, Some(2)))),
        ];
        for (body, refused) in cases {
            for size in [1, 3, 1000] {
                let made = parse(Events::json(1000, peer()), body.as_bytes(), size);
                assert_eq!(payloads(&made), ["a", r#"{"b":1}"#], "{body} by {size}");
                assert_eq!(made.refused, refused, "{body} by {size}");
            }
        }
        assert_eq!(parse(Events::json(1000, peer()), b" \n", 9).refused, Some((NO_DATA, None)));
        assert_eq!(parse(Events::json(1000, peer()), b"[]", 9).refused, None);
    }

    #[test]
    fn metadata_become_headers() {
        let body = br#"{"time":"1433188255.253000001","host":"h","source":"s","sourcetype":"t","event":"e","fields":{"n":[1,2.5],"i":[1,2],"k":"v","none":null,"big":1234567890123456789,"mixed":["a",1,null,true]}}"#;
        let made = parse(Events::json(1000, peer()), body, 1000);
        assert_eq!(made.refused, None);
        let frame = Frame::parse(&made.frames).unwrap();
        let view = frame.view();
        assert_eq!(view.timestamp(), 1_433_188_255_253_000_001);
        assert_eq!(view.text(TextHeader::Hostname), Some(&b"h"[..]));
        assert_eq!(view.text(TextHeader::Logger), Some(&b"s"[..]));
        assert_eq!(view.text(TextHeader::Type), Some(&b"t"[..]));
        let values = |name: &str| {
            let field = view.field(name.as_bytes(), 0)?;
            Some(field.values().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(values("n").as_deref(), Some("Double(1.0) Double(2.5)"));
        assert_eq!(values("i").as_deref(), Some("Integer(1) Integer(2)"));
        assert_eq!(values("big").as_deref(), Some("Integer(1234567890123456789)"));
        assert_eq!(view.field(b"mixed", 0).unwrap().values().count(), 3);
        assert_eq!(values("none"), None);
    }

    #[test]
    fn times_tell_their_unit_by_their_size() {
        for (time, ns) in [
            ("1732604863", 1_732_604_863_000_000_000),
            ("1732604863241", 1_732_604_863_241_000_000),
            ("1732604863241000", 1_732_604_863_241_000_000),
            ("1589124000123456789", 1_589_124_000_123_456_789),
            ("\"1611182565.123\"", 1_611_182_565_123_000_000),
        ] {
            let body = format!("{{\"time\":{time},\"event\":\"data\"}}");
            let made = parse(Events::json(1000, peer()), body.as_bytes(), 1000);
            assert_eq!(Frame::parse(&made.frames).unwrap().view().timestamp(), ns, "{time}");
        }
    }

    #[test]
    fn texts_may_be_broken_and_long() {
        let body = b"\xef\xbb\xbf{\"event\":\"a\xe9b\"}{\"event\":\"\\ud83d x\"}{\"event\":\"0123456789\xc3\xa9\"}";
        let made = parse(Events::json(11, peer()), body, 1000);
        assert_eq!(payloads(&made), ["a\u{fffd}b", "\u{fffd} x", "0123456789"]);
        assert_eq!((made.refused, made.truncated), (None, 1));
        let long = format!("{{\"event\":\"a\"}}{{\"event\":\"{}\"}}", "x".repeat(100_000));
        assert_eq!(parse(Events::json(11, peer()), long.as_bytes(), 777).refused, Some((TOO_LARGE, Some(1))));
        // More than the next program of the pipe takes.
        let fields = format!("{{\"event\":\"a\",\"fields\":{{\"f\":\"{}\"}}}}", "x".repeat(5 << 20));
        assert_eq!(parse(Events::json(4 << 20, peer()), fields.as_bytes(), 77_777).refused, Some((TOO_LARGE, Some(0))));
    }

    #[test]
    fn raw_bodies_are_lines() {
        let made = parse(Events::raw(5, Some("host=a%20b&source=s"), peer()), b"one\r\n\ntwo\nthree\nfour and", 4);
        assert_eq!(payloads(&made), ["one", "two", "three", "four "]);
        assert_eq!((made.refused, made.truncated), (None, 1));
        assert_eq!(parse(Events::raw(5, None, peer()), b"\n", 1).refused, Some((NO_DATA, None)));
    }

    proptest! {
        #[test]
        fn pieces_don_t_matter_and_nothing_panics(
            body in "([{}\\[\\]:,\" ]|event|time|fields|[0-9.e-]{1,3}|null|\\\\u00|\\\\|\\PC|\\{\"event\":\"x\"\\}){0,40}",
            size in 1usize..9,
        ) {
            for make in [Events::json, |limit, peer| Events::raw(limit, Some("time=x"), peer)] {
                let whole = parse(make(50, peer()), body.as_bytes(), usize::MAX);
                let pieces = parse(make(50, peer()), body.as_bytes(), size);
                prop_assert_eq!(payloads(&whole), payloads(&pieces));
                prop_assert_eq!(whole.refused, pieces.refused);
            }
            unix_time(&body);
        }
    }
}
