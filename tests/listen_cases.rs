//! What becomes of syslog and GELF messages, by the tables in tests/data/listen.

mod common;

use std::fmt::Write as _;

use heka::message::schema::Message;
use heka::source::listen::Origin;
use heka::source::listen::gelf::{Gelf, GelfOptions};
use heka::source::listen::syslog::{Syslog, SyslogOptions};
use jiff::tz::TimeZone;

use common::{data_dir, field, messages};

/// 2026-11-21T06:00:00Z
const RECEIVED: i64 = 1_795_240_800_000_000_000;

struct Case {
    input: Vec<u8>,
    /// As it stands in the table, blanks between what is in it.
    wanted: String,
}

/// `\n`, `\\` and `\xff`.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, len) = match rest.as_bytes()[at + 1] {
            b'n' => (b'\n', 2),
            b'x' => (u8::from_str_radix(&rest[at + 2..at + 4], 16).unwrap(), 4),
            other => (other, 2),
        };
        bytes.push(byte);
        rest = &rest[at + len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\n' => text.push_str("\\n"),
            b'\\' => text.push_str("\\\\"),
            0x20..0x7f => text.push(*byte as char),
            _ => write!(text, "\\x{byte:02x}").unwrap(),
        }
    }
    text
}

fn cases(file: &str) -> Vec<Case> {
    let table = std::fs::read_to_string(data_dir().join("listen").join(file)).unwrap();
    let blocks = table.split("\n\n").map(|block| {
        let lines: Vec<&str> = block.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        lines.join("\n")
    });
    let cases = blocks.filter(|block| !block.is_empty()).map(|block| {
        let (input, wanted) = block.strip_prefix("> ").unwrap().split_once('\n').unwrap();
        Case { input: bytes(input), wanted: wanted.to_string() }
    });
    cases.collect()
}

/// A message in the form of the tables.
fn describe(message: &Message) -> String {
    let header = |value: &Option<Vec<u8>>| text(value.as_deref().unwrap_or_default());
    let mut line = format!("Severity={}", message.severity.unwrap());
    let mut put = |name: &str, value: String| write!(line, " {name}={value}").unwrap();
    let facility = field(message, "syslogfacility");
    if let Some(facility) = &facility {
        put("syslogfacility", facility.replace("int ", ""));
    }
    let time = jiff::Timestamp::from_nanosecond(message.timestamp as i128).unwrap();
    put("Timestamp", time.to_string());
    put("Hostname", header(&message.hostname));
    put("Logger", header(&message.logger));
    let mut pid = message.pid.map(|pid| pid.to_string());
    for field in &message.fields {
        let name = String::from_utf8(field.name.clone()).unwrap();
        if ["syslogfacility", "sender", "listener", "raw"].contains(&name.as_str()) {
            continue;
        }
        let strings = field.value_string.iter().map(|value| text(value));
        let numbers = field.value_integer.iter().map(i64::to_string);
        let doubles = field.value_double.iter().map(f64::to_string);
        let values: Vec<String> = strings.chain(numbers).chain(doubles).collect();
        put(&name, values.join("|"));
        if let Some(pid) = pid.take_if(|_| name == "procid") {
            put("Pid", pid);
        }
    }
    assert_eq!(pid, None);
    line + "\nPayload=" + &header(&message.payload)
}

fn origin() -> Origin {
    Origin::new(&"udp:514".into(), Some([192, 0, 2, 9].into()), None)
}

#[test]
fn syslog_messages_become_what_the_table_says() {
    let cases = cases("syslog.txt");
    assert!(cases.len() > 60);
    for Case { input, wanted } in cases {
        let mut syslog = Syslog::new(SyslogOptions { zone: TimeZone::UTC, raw: true, rsyslog_names: false });
        syslog.at(RECEIVED);
        let mut frames = Vec::new();
        let good = syslog.put(&input, false, &origin(), &mut frames);
        let message = messages(&frames).remove(0);
        assert_eq!(describe(&message), wanted, "{}", text(&input));
        assert_eq!(good, !wanted.contains("syslog_error="), "{}", text(&input));
        assert_eq!(message.r#type.as_deref(), Some(&b"syslog"[..]));
        assert_eq!(field(&message, "sender").as_deref(), Some("192.0.2.9 ipv4"));
        assert_eq!(field(&message, "listener").as_deref(), Some("udp:514"));
        let raw = message.fields.iter().find(|field| field.name == b"raw").unwrap();
        let original = raw.value_string.iter().chain(&raw.value_bytes).next().unwrap();
        assert_eq!(*original, input);
        assert_eq!(raw.value_bytes.len() == 1, std::str::from_utf8(&input).is_err());
    }
}

#[test]
fn gelf_messages_become_what_the_table_says() {
    for Case { input, wanted } in cases("gelf.txt") {
        let mut gelf = Gelf::new(GelfOptions { strict: false, raw: true, max_message: 65_536 });
        gelf.at(RECEIVED);
        let mut frames = Vec::new();
        let good = gelf.put(&input, false, &origin(), &mut frames);
        let message = messages(&frames).remove(0);
        assert_eq!(describe(&message), wanted, "{}", text(&input));
        assert_eq!(good, !wanted.contains("gelf_error="), "{}", text(&input));
        assert_eq!(message.r#type.as_deref(), Some(&b"gelf"[..]));
        // A text that can't be read is the payload.
        let original = field(&message, "raw").map_or(message.payload.clone().unwrap(), String::into_bytes);
        assert_eq!(original, input);
    }
}

#[test]
fn strict_gelf_takes_what_the_specification_takes() {
    let good = r#"{"version":"1.1","host":"h","short_message":"m","_a":1}"#;
    let wrong = [
        r#"{"host":"h","short_message":"m"}"#,
        r#"{"version":"1.0","host":"h","short_message":"m"}"#,
        r#"{"version":"1.1","short_message":"m"}"#,
        r#"{"version":"1.1","host":"h","full_message":"m"}"#,
        r#"{"version":"1.1","host":"h","short_message":"m","other":1}"#,
        r#"{"version":"1.1","host":"h","short_message":"m","level":9}"#,
    ];
    let mut gelf = Gelf::new(GelfOptions { strict: true, raw: true, max_message: 65_536 });
    let mut frames = Vec::new();
    assert!(gelf.put(good.as_bytes(), false, &origin(), &mut frames));
    for text in wrong {
        frames.clear();
        assert!(!gelf.put(text.as_bytes(), false, &origin(), &mut frames), "{text}");
        assert_eq!(messages(&frames)[0].payload.as_deref(), Some(text.as_bytes()));
    }
}

#[test]
fn compressed_gelf_is_inflated_to_the_limit_and_no_further() {
    use std::io::Write as _;
    let json = format!(r#"{{"host":"h","short_message":"{}"}}"#, "m".repeat(5000));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(json.as_bytes()).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(json.as_bytes()).unwrap();
    for compressed in [gzip.finish().unwrap(), zlib.finish().unwrap(), json.clone().into_bytes()] {
        let mut frames = Vec::new();
        let mut gelf = Gelf::new(GelfOptions { strict: false, raw: true, max_message: 6000 });
        assert!(gelf.put_compressed(&compressed, &origin(), &mut frames));
        assert_eq!(messages(&frames)[0].payload.as_ref().unwrap().len(), 5000);
        frames.clear();
        let mut gelf = Gelf::new(GelfOptions { strict: false, raw: true, max_message: 100 });
        assert!(!gelf.put_compressed(&compressed, &origin(), &mut frames));
        let message = &messages(&frames)[0];
        assert_eq!(message.payload.as_ref().unwrap().len(), 100);
        assert_eq!(field(message, "truncated").as_deref(), Some("true"));
    }
    // 64 MiB of nothing in 64 KiB.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
    let mut frames = Vec::new();
    let mut gelf = Gelf::new(GelfOptions { strict: false, raw: true, max_message: 65_536 });
    assert!(!gelf.put_compressed(&bomb.finish().unwrap(), &origin(), &mut frames));
    assert!(frames.len() < 70_000);
}

#[test]
fn times_without_a_zone_are_of_the_zone_that_is_given() {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let mut syslog = Syslog::new(SyslogOptions { zone, raw: false, rsyslog_names: true });
    // New year's eve in Berlin, an hour before it is in UTC.
    let received: jiff::Timestamp = "2026-12-31T23:30:00Z".parse().unwrap();
    syslog.at(received.as_nanosecond() as i64);
    let cases = [
        ("<13>Jan  1 00:29:59 h a: m", "2026-12-31T23:29:59Z"),
        ("<13>Dec 31 23:29:59 h a: m", "2026-12-31T22:29:59Z"),
        ("<13>Jan  2 00:29:59 h a: m", "2027-01-01T23:29:59Z"),
        ("<13>Jan  4 00:29:59 h a: m", "2026-01-03T23:29:59Z"),
        ("<13>Jul  1 12:00:00 h a: m", "2026-07-01T10:00:00Z"),
        ("<13>Jul  1 12:00:00 UTC: %A-1-B: m", "2026-07-01T12:00:00Z"),
    ];
    for (input, wanted) in cases {
        let mut frames = Vec::new();
        syslog.put(input.as_bytes(), true, &origin(), &mut frames);
        let message = &messages(&frames)[0];
        let time = jiff::Timestamp::from_nanosecond(message.timestamp as i128).unwrap();
        assert_eq!(time.to_string(), wanted, "{input}");
        assert_eq!(field(message, "raw"), None);
        assert_eq!(field(message, "programname"), field(message, "app"));
        assert_eq!(field(message, "truncated").as_deref(), Some("true"));
    }
}
