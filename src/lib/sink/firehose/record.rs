//! Records: what Firehose stores. By default a gzip JSON document as CloudWatch Logs subscriptions send it, and as
//! kinesyslog made it.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::message::json::{put_string, write_json};
use crate::message::{MessageView, TextHeader, put_value_text, uuid};
use crate::stream::Frame;

/// The longest record that Firehose takes, before base64: 1000 KiB.
pub const MAX_RECORD: usize = 1_024_000;

/// What records hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A document of the messages of one group and stream: `owner`, `logGroup`, `logStream`, `logEvents` …
    CloudWatch,
    /// Messages as JSON, a line each.
    Json,
    /// Payloads, a line each.
    Payload,
}

/// How records are made.
#[derive(Clone, Copy, Debug)]
pub struct RecordOptions {
    pub format: Format,
    /// gzip's level; `None` is no compression.
    pub level: Option<u32>,
}

/// Messages of one group and stream, each in its record's form, ready to be cut between any two.
#[derive(Default)]
pub struct Events {
    text: Vec<u8>,
    /// Where each ends in the text.
    ends: Vec<usize>,
}

impl Events {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Adds a message.
    pub fn push(&mut self, frame: &Frame<'_>, format: Format) {
        let view = frame.view();
        match format {
            Format::CloudWatch => put_event(&mut self.text, &view),
            Format::Json => write_json(frame, &mut self.text),
            Format::Payload => {
                self.text.extend_from_slice(view.payload());
                if self.text.last() != Some(&b'\n') {
                    self.text.push(b'\n');
                }
            }
        }
        self.ends.push(self.text.len());
    }

    /// Nothing more is added: buffers grow by doubling, and half of this one may be air.
    pub fn close(&mut self) {
        self.text.shrink_to_fit();
    }

    fn start(&self, place: usize) -> usize {
        place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default()
    }
}

/// Makes records of groups, none of them longer than [`MAX_RECORD`].
pub struct RecordMaker {
    options: RecordOptions,
    owner: String,
    /// How much shorter compression makes texts, from those before: saves compressing what is too long anyway.
    ratio: f64,
}

impl RecordMaker {
    /// `owner`: the AWS account, 12 digits.
    pub fn new(options: RecordOptions, owner: &str) -> RecordMaker {
        RecordMaker { options, owner: owner.to_string(), ratio: if options.level.is_some() { 0.1 } else { 1.0 } }
    }

    /// The records of a group. A single event that is too long for one (see [`RecordMaker::fits`]) is left out.
    pub fn make(&mut self, events: &Events, group: &[u8], stream: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut head = Vec::new();
        if self.options.format == Format::CloudWatch {
            put_head(&mut head, &self.owner, group, stream);
        }
        let mut records = Vec::new();
        // Stretches of events that are still to be made records of, the next one last.
        let mut stretches = vec![(0, events.len())];
        while let Some((from, to)) = stretches.pop() {
            let len = events.start(to) - events.start(from);
            let expected = len as f64 * self.ratio + head.len() as f64;
            let record = match expected > 1.1 * MAX_RECORD as f64 && to - from > 1 {
                true => None,
                false => Some(self.encode(&head, events, from, to)?),
            };
            match record {
                Some(record) if record.len() <= MAX_RECORD => {
                    // Short ones say little about how well long ones are compressed.
                    if self.options.level.is_some() && len > 64 * 1024 {
                        self.ratio = record.len() as f64 / len as f64;
                    }
                    records.push(record);
                }
                _ if to - from <= 1 => {}
                record => {
                    if let Some(record) = record.filter(|_| len > 0) {
                        self.ratio = record.len() as f64 / len as f64;
                    }
                    // By bytes: halves by number may differ much.
                    let middle = (events.start(from) + events.start(to)) / 2;
                    let half = events.ends[from..to - 1].partition_point(|&end| end < middle).min(to - from - 2) + 1;
                    stretches.push((from + half, to));
                    stretches.push((from, from + half));
                }
            }
        }
        Ok(records)
    }

    /// Whether a message makes a record that is short enough.
    pub fn fits(&mut self, event: &Events, group: &[u8], stream: &[u8]) -> bool {
        // Six letters for a byte is the most that escapes make.
        let most = event.bytes() + 1024 + 12 * (group.len() + stream.len());
        most <= MAX_RECORD || self.make(event, group, stream).is_ok_and(|records| !records.is_empty())
    }

    fn encode(&self, head: &[u8], events: &Events, from: usize, to: usize) -> io::Result<Vec<u8>> {
        let text = &events.text[events.start(from)..events.start(to)];
        let (text, tail) = match self.options.format {
            Format::CloudWatch => (text.strip_suffix(b",").unwrap_or(text), &b"]}"[..]),
            _ => (text, &b""[..]),
        };
        match self.options.level {
            None => Ok([head, text, tail].concat()),
            Some(level) => {
                let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 6), Compression::new(level));
                encoder.write_all(head)?;
                encoder.write_all(text)?;
                encoder.write_all(tail)?;
                encoder.finish()
            }
        }
    }
}

fn put_head(buf: &mut Vec<u8>, owner: &str, group: &[u8], stream: &[u8]) {
    buf.extend_from_slice(b"{\"owner\":");
    put_ascii_string(buf, owner.as_bytes());
    buf.extend_from_slice(b",\"logGroup\":");
    put_ascii_string(buf, group);
    buf.extend_from_slice(b",\"logStream\":");
    put_ascii_string(buf, stream);
    buf.extend_from_slice(b",\"subscriptionFilters\":[");
    put_ascii_string(buf, group);
    buf.extend_from_slice(b"],\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[");
}

/// Appends `{"id":…,"timestamp":…,"message":…},`: the text as it was received, if the source kept it.
fn put_event(buf: &mut Vec<u8>, view: &MessageView<'_>) {
    buf.extend_from_slice(b"{\"id\":\"");
    match uuid::format(view.uuid()) {
        Some(text) => buf.extend_from_slice(&text),
        // No writer makes such a one.
        None => view.uuid().iter().for_each(|byte| buf.extend_from_slice(format!("{byte:02x}").as_bytes())),
    }
    buf.extend_from_slice(b"\",\"timestamp\":");
    let mut number = [0; 20];
    buf.extend_from_slice(decimal(&mut number, milliseconds(view.timestamp())));
    buf.extend_from_slice(b",\"message\":");
    let raw = view.field(b"raw", 0).and_then(|field| field.values().next());
    match raw {
        Some(value) => {
            let mut text = Vec::new();
            put_value_text(&mut text, value);
            put_ascii_string(buf, &text);
        }
        None => put_ascii_string(buf, view.text(TextHeader::Payload).unwrap_or_default()),
    }
    buf.extend_from_slice(b"},");
}

/// Rounded, half to even.
fn milliseconds(nanoseconds: i64) -> i64 {
    let (whole, rest) = (nanoseconds.div_euclid(1_000_000), nanoseconds.rem_euclid(1_000_000));
    if rest > 500_000 || rest == 500_000 && whole % 2 != 0 { whole + 1 } else { whole }
}

fn decimal(buf: &mut [u8; 20], number: i64) -> &[u8] {
    let mut rest = &mut buf[..];
    let _ = write!(rest, "{number}");
    let left = rest.len();
    &buf[..20 - left]
}

/// Appends a JSON string of ASCII alone, as the original does: other characters as `\uXXXX`, bytes that are no UTF-8 as
/// the text `\xff`.
pub fn put_ascii_string(buf: &mut Vec<u8>, text: &[u8]) {
    if text.is_ascii() {
        return put_string(buf, text);
    }
    let mut readable = String::with_capacity(text.len() + 16);
    for chunk in text.utf8_chunks() {
        readable.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| readable.push_str(&format!("\\x{byte:02x}")));
    }
    let mut quoted = Vec::with_capacity(readable.len() + 2);
    put_string(&mut quoted, readable.as_bytes());
    for c in String::from_utf8_lossy(&quoted).chars() {
        match c {
            c if c.is_ascii() => buf.push(c as u8),
            c => c
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| buf.extend_from_slice(format!("\\u{unit:04x}").as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::message::MessageBuilder;
    use crate::stream::{Frames, put_frame};

    fn events(payloads: &[&[u8]], format: Format) -> Events {
        let mut frames = Vec::new();
        for payload in payloads {
            let mut message = Vec::new();
            let mut builder = MessageBuilder::new(&mut message, &[0x36; 16], 1_519_247_270_239_881_000);
            builder.text(TextHeader::Payload, payload);
            put_frame(&mut frames, None, &message);
        }
        let mut events = Events::default();
        Frames(&frames).for_each(|frame| events.push(&frame, format));
        events
    }

    fn unzip(record: &[u8]) -> String {
        let mut text = String::new();
        flate2::read::GzDecoder::new(record).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_record_is_a_document_as_cloudwatch_sends_it() {
        let options = RecordOptions { format: Format::CloudWatch, level: Some(6) };
        let mut maker = RecordMaker::new(options, "123456789012");
        let events =
            events(&[b"<13>1 \"x\"", "h\u{e9}\u{1f600}/\n\x01".as_bytes(), b"\xff\xfe bad"], Format::CloudWatch);
        let records = maker.make(&events, b"syslog_message", b"127.0.0.1").unwrap();
        let id = "36363636-3636-3636-3636-363636363636";
        let event =
            |message: &str| format!("{{\"id\":\"{id}\",\"timestamp\":1519247270240,\"message\":\"{message}\"}}");
        let expected = format!(
            "{{\"owner\":\"123456789012\",\"logGroup\":\"syslog_message\",\"logStream\":\"127.0.0.1\",\"subscriptionFilters\":[\"syslog_message\"],\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[{},{},{}]}}",
            event("<13>1 \\\"x\\\""),
            event("h\\u00e9\\ud83d\\ude00/\\n\\u0001"),
            event("\\\\xff\\\\xfe bad"),
        );
        assert_eq!(records.iter().map(|record| unzip(record)).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn times_are_rounded_half_to_even() {
        let rounded = [1_500_000, 2_500_000, 2_500_001, 2_499_999, -1, -500_000, -1_500_000].map(milliseconds);
        assert_eq!(rounded, [2, 2, 3, 2, 0, 0, -2]);
    }

    /// Random letters can't be compressed, so pieces have to be made of what compresses worse than before.
    #[test]
    fn no_record_is_too_long_and_no_message_is_left_out() {
        let mut random = 7u64;
        let mut noise = |len: usize| -> Vec<u8> {
            (0..len)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    b' ' + (random >> 58) as u8
                })
                .collect()
        };
        for level in [Some(6), None] {
            for format in [Format::CloudWatch, Format::Payload] {
                let mut payloads: Vec<Vec<u8>> = (0..20_000).map(|_| b"the same again ".repeat(7).to_vec()).collect();
                payloads.extend((0..40).map(|_| noise(70_000)));
                payloads.push(noise(900_000));
                let texts: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                let mut maker = RecordMaker::new(RecordOptions { format, level }, "1");
                let records = maker.make(&events(&texts, format), b"g", b"s").unwrap();
                assert!(records.iter().all(|record| record.len() <= MAX_RECORD), "{level:?}");
                let whole: String = match level {
                    Some(_) => records.iter().map(|record| unzip(record)).collect(),
                    None => records.iter().map(|record| String::from_utf8(record.clone()).unwrap()).collect(),
                };
                let found: Vec<String> = match format {
                    Format::CloudWatch => serde_json::Deserializer::from_str(&whole)
                        .into_iter::<serde_json::Value>()
                        .flat_map(|document| document.unwrap()["logEvents"].as_array().unwrap().clone())
                        .map(|event| event["message"].as_str().unwrap().to_string())
                        .collect(),
                    _ => whole.lines().map(str::to_string).collect(),
                };
                assert!(found.iter().map(String::as_bytes).eq(texts.iter().copied()), "{level:?} {format:?}");
                // At most twice as many as there have to be.
                let least = records.iter().map(Vec::len).sum::<usize>().div_ceil(MAX_RECORD);
                assert!(records.len() <= 2 * least + 1, "{} {least}", records.len());
            }
        }
        let mut maker = RecordMaker::new(RecordOptions { format: Format::Payload, level: Some(6) }, "1");
        let long = events(&[&noise(1_500_000)], Format::Payload);
        assert!(!maker.fits(&long, b"", b""));
        assert!(maker.fits(&events(&[&b"x".repeat(3_000_000)], Format::Payload), b"", b""));
    }
}
