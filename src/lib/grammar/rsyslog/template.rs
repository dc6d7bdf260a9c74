//! From the text of a template to its parts.

use super::pieces::Piece;
use super::{Kind, Part, Rsyslog, TimeFormat, Wrap};

/// Compiles a template. `year` is the one of timestamps that have none; without it, the last one in which they
/// aren't far ahead of the clock.
///
/// # Errors
/// Heka's sentences.
pub fn rsyslog(template: &str, year: Option<i64>) -> Result<Rsyslog, String> {
    let mut names: Vec<String> = Vec::new();
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = template;
    while let Some(first) = rest.chars().next() {
        match first {
            '%' => {
                let end = rest[1..].find('%').ok_or("could not parse the rsyslog template: a % without its partner")?;
                let property = &rest[1..=end];
                rest = &rest[end + 2..];
                let Some((name, kind)) = property_kind(property)? else {
                    parts.push(Part::Spaces);
                    continue;
                };
                let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                    names.push(name.clone());
                    names.len() - 1
                });
                parts.push(Part::Property(place, kind));
                continue;
            }
            '\\' => {
                let (byte, len) = escape(&rest.as_bytes()[1..]);
                push_byte(&mut parts, byte);
                rest = &rest[1 + len..];
                continue;
            }
            c => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_byte(&mut parts, byte)),
        }
        rest = &rest[first.len_utf8()..];
    }
    if parts.is_empty() {
        return Err("could not parse the rsyslog template".into());
    }
    // The reader of the file has usually taken the line end away.
    let whole_line = parts.last() == Some(&Part::Literal(b"\n".to_vec()));
    if whole_line {
        parts.pop();
    }
    Ok(Rsyslog { names, parts, whole_line, year })
}

fn push_byte(parts: &mut Vec<Part>, byte: u8) {
    match (byte, parts.last_mut()) {
        (b' ' | b'\t', _) => parts.push(Part::Space),
        // A line end stays apart, so that the one that closes the template can be optional.
        (b'\n', _) => parts.push(Part::Literal(vec![byte])),
        (byte, Some(Part::Literal(text))) if text != b"\n" => text.push(byte),
        (byte, _) => parts.push(Part::Literal(vec![byte])),
    }
}

/// The byte that a backslash stands for with what follows it, and how much that is.
fn escape(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'n', ..] => (b'\n', 1),
        [b't', ..] => (b'\t', 1),
        [b'r', ..] => (b'\r', 1),
        [b'a', ..] => (7, 1),
        [b'b', ..] => (8, 1),
        [b'f', ..] => (12, 1),
        [b'v', ..] => (11, 1),
        [byte @ (b'"' | b'\'' | b'\\' | b'%'), ..] => (*byte, 1),
        _ => {
            let len = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
            let value = rest[..len].iter().fold(0u32, |sum, byte| sum * 10 + (byte - b'0') as u32);
            if len > 0 && value < 256 { (value as u8, len) } else { (b'\\', 0) }
        }
    }
}

/// `None` for a property that only stands for blanks.
fn property_kind(property: &str) -> Result<Option<(String, Kind)>, String> {
    let mut parts = property.split(':');
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    // Everything behind the third colon is options.
    let options = property.splitn(4, ':').nth(3).unwrap_or_default().to_ascii_lowercase();
    if options == "sp-if-no-1st-sp" {
        return Ok(None);
    }
    let mut options = options.split(',').map(str::trim);
    // `jsonf:name` names the field.
    let wrap = options.clone().find_map(|option| match option.split(':').next().unwrap_or_default() {
        "json" | "jsonr" => Some(Wrap::Json),
        "jsonf" | "jsonfr" => Some(Wrap::JsonField),
        "csv" => Some(Wrap::Csv),
        _ => None,
    });
    let kind = match name.as_str() {
        "msg" | "rawmsg" => Kind::Message,
        "hostname" | "source" | "fromhost" => Kind::Word(255),
        "fromhost-ip" => Kind::Address,
        "syslogtag" => Kind::Tag,
        "programname" => Kind::Program,
        "app-name" => Kind::Word(48),
        "procid" => Kind::Word(128),
        "msgid" => Kind::Word(32),
        "inputname" => Kind::Word(255),
        "protocol-version" | "iut" => Kind::Word(8),
        "pri" => Kind::Priority,
        "pri-text" => Kind::PriorityText,
        "syslogfacility" | "syslogseverity" | "syslogpriority" => Kind::Number,
        "syslogfacility-text" => Kind::FacilityText,
        "syslogseverity-text" | "syslogpriority-text" => Kind::SeverityText,
        "structured-data" => Kind::StructuredData,
        "timestamp" | "timereported" | "timegenerated" => {
            time_kind(options.find_map(|option| option.strip_prefix("date-").filter(|date| *date != "utc")))?
        }
        "$now" | "$year" | "$month" | "$day" | "$hour" | "$hhour" | "$qhour" | "$minute" | "$bom" => Kind::Word(16),
        _ => return Err(format!("invalid rsyslog property: '{name}'")),
    };
    let kind = match (kind, wrap) {
        (Kind::Message | Kind::Word(_) | Kind::Program, Some(wrap)) => Kind::Wrapped(wrap),
        (kind, _) => kind,
    };
    let name = if name == "timereported" { "timestamp".to_string() } else { name };
    Ok(Some((name, kind)))
}

/// How a time is written; `option` without `date-`.
fn time_kind(option: Option<&str>) -> Result<Kind, String> {
    Ok(Kind::Time(match option.unwrap_or("rfc3164") {
        "rfc3164" | "rfc3164-buggyday" => TimeFormat::Rfc3164,
        "rfc3339" => TimeFormat::Rfc3339,
        "mysql" => TimeFormat::Mysql,
        "pgsql" => TimeFormat::Pgsql,
        option => match Piece::named(option) {
            Some(piece) => return Ok(Kind::Piece(piece)),
            None => return Err(format!("invalid option of an rsyslog property: 'date-{option}'")),
        },
    }))
}
