//! Lines that rsyslog wrote with a string template.
//!
//! A template is a list of single white-space characters, literals (with backslash escapes, `\ddd` decimal) and
//! `%property:from:to:options%`. Positions and regular expressions in a property are read and passed over.
//! A line end that closes the template is optional in the line.

use super::date_time::{self, SECOND};
use super::{Captured, Captures, Grammar, MAX_LINE, Many, Range, ip_address, misfit_at};

/// A compiled template.
pub struct Rsyslog {
    names: Vec<String>,
    parts: Vec<Part>,
    year: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Space,
    Literal(Vec<u8>),
    /// `sp-if-no-1st-sp`: the spaces between the tag and the message.
    Spaces,
    Property(usize, Kind),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Up to the literal that follows, or to the end.
    Message,
    /// Printable characters but the blank, at most so many.
    Word(usize),
    Address,
    Tag,
    Program,
    Number,
    Priority,
    PriorityText,
    FacilityText,
    SeverityText,
    StructuredData,
    Time(TimeFormat),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TimeFormat {
    Rfc3164,
    Rfc3339,
    Mysql,
    Pgsql,
    Unix,
    SubSeconds,
}

const SEVERITIES: [(&str, u8); 11] = [
    ("debug", 7),
    ("info", 6),
    ("notice", 5),
    ("warning", 4),
    ("warn", 4),
    ("error", 3),
    ("err", 3),
    ("crit", 2),
    ("alert", 1),
    ("emerg", 0),
    ("panic", 0),
];

const FACILITIES: [(&str, u8); 25] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("authpriv", 10),
    ("auth", 4),
    ("security", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("ftp", 11),
    ("ntp", 12),
    ("audit", 13),
    ("alert", 14),
    ("clock", 15),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// The number of a severity's name, all lower or all upper case, and its length.
pub fn severity(text: &[u8]) -> Option<(u8, usize)> {
    named(&SEVERITIES, text)
}

fn named(table: &[(&str, u8)], text: &[u8]) -> Option<(u8, usize)> {
    table.iter().find_map(|(name, number)| {
        let part = text.get(..name.len())?;
        let same = part == name.as_bytes() || part == name.to_ascii_uppercase().as_bytes();
        same.then_some((*number, name.len()))
    })
}

impl Grammar for Rsyslog {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn nullable(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Property(_, Kind::Message)))
    }

    fn matches(&self, line: &[u8], captures: &mut Captures) -> Option<usize> {
        captures.clear();
        if line.len() > MAX_LINE {
            return None;
        }
        self.read(line, captures).ok()
    }

    fn misfit(&self, line: &[u8]) -> Option<String> {
        let (at, part) = self.read(line, &mut Captures::default()).err()?;
        let expected = match self.parts.get(part)? {
            Part::Space | Part::Spaces => "a blank".to_string(),
            Part::Literal(text) => format!("{:?}", String::from_utf8_lossy(text)),
            Part::Property(name, _) => format!("%{}%", self.names.get(*name)?),
        };
        Some(misfit_at(line, at, &expected))
    }
}

impl Rsyslog {
    /// Where what was read ends; or where it doesn't go on, and which part is missing there.
    fn read(&self, line: &[u8], captures: &mut Captures) -> Result<usize, (usize, usize)> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut at = 0;
        for (place, part) in self.parts.iter().enumerate() {
            let rest = &line[at..];
            let next = match part {
                Part::Space => rest.first().filter(|byte| byte.is_ascii_whitespace()).map(|_| at + 1),
                Part::Literal(text) => rest.starts_with(text).then_some(at + text.len()),
                Part::Spaces => {
                    let count = rest.iter().take_while(|&&byte| byte == b' ').count();
                    (count > 0).then_some(at + count)
                }
                Part::Property(name, kind) => {
                    let following = &self.parts[place + 1..];
                    kind.read(line, at, *name, following, self.year, captures)
                }
            };
            at = next.ok_or((at, place))?;
        }
        Ok(at)
    }
}

impl Kind {
    fn read(
        self,
        line: &[u8],
        at: usize,
        name: usize,
        following: &[Part],
        year: Option<i64>,
        captures: &mut Captures,
    ) -> Option<usize> {
        let rest = &line[at..];
        let (value, len) = match self {
            Kind::Message => {
                let len = match (fixed_width(following), following) {
                    // Only fixed text follows: the message is all but that.
                    (Some(width), _) => rest.len().checked_sub(width),
                    (None, [Part::Literal(text), ..]) => memchr::memmem::find(rest, text),
                    (None, [Part::Space, ..]) => rest.iter().position(u8::is_ascii_whitespace),
                    _ => Some(rest.len()),
                };
                text(at, len?)
            }
            Kind::Word(longest) => {
                let len = rest.iter().take(longest).take_while(|byte| byte.is_ascii_graphic()).count();
                let len = limit(rest, len, following);
                if len == 0 {
                    return None;
                }
                text(at, len)
            }
            Kind::Address => text(at, ip_address::v4(rest).or_else(|| ip_address::v6(rest))?),
            Kind::Program => text(at, program_len(rest)?),
            Kind::Tag => {
                let program = program_len(rest)?;
                let mut record = vec![("programname".to_string(), text(at, program).0)];
                let mut len = program;
                if let Some((pid, used)) = bracketed_number(&rest[len..]) {
                    record.push(("pid".into(), Captured::Number(pid)));
                    len += used;
                }
                len += (rest.get(len) == Some(&b':')) as usize;
                (Captured::Many(Box::new(Many::Record(record))), len)
            }
            Kind::Number => number(rest, 15)?,
            Kind::Priority => {
                let count = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
                let value = rest[..count].iter().fold(0u32, |sum, byte| sum * 10 + (byte - b'0') as u32);
                let part = |number: u32| Captured::Number(number as f64);
                let record = vec![("facility".into(), part(value / 8)), ("severity".into(), part(value % 8))];
                (Captured::Many(Box::new(Many::Record(record))), count)
            }
            Kind::PriorityText => {
                let (facility, len) = named(&FACILITIES, rest)?;
                let after = rest[len..].strip_prefix(b".")?;
                let (_, severity_len) = severity(after)?;
                let after = after[severity_len..].strip_prefix(b"<")?;
                let digits = after.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
                if after.get(digits) != Some(&b'>') {
                    return None;
                }
                (Captured::Number(facility as f64), len + 1 + severity_len + 1 + digits + 1)
            }
            Kind::FacilityText => {
                let (facility, len) = named(&FACILITIES, rest)?;
                (Captured::Number(facility as f64), len)
            }
            Kind::SeverityText => {
                let (severity, len) = severity(rest)?;
                (Captured::Number(severity as f64), len)
            }
            Kind::StructuredData => {
                let len = structured_data_len(rest)?;
                // "-" stands for none.
                if rest[0] == b'-' {
                    return Some(at + len);
                }
                text(at, len)
            }
            Kind::Time(format) => {
                let (ns, len) = match format {
                    TimeFormat::Rfc3164 => match year {
                        Some(year) => date_time::rfc3164(rest, year)?,
                        None => date_time::rfc3164_now(rest)?,
                    },
                    TimeFormat::Rfc3339 => date_time::rfc3339(rest)?,
                    TimeFormat::Mysql => date_time::mysql(rest)?,
                    TimeFormat::Pgsql => date_time::pgsql(rest)?,
                    TimeFormat::Unix => {
                        let (Captured::Number(seconds), len) = number(rest, 10)? else { return None };
                        (seconds as i64 * SECOND, len)
                    }
                    TimeFormat::SubSeconds => {
                        let (value, len) = number(rest, 9)?;
                        captures.put(name, value, "");
                        return Some(at + len);
                    }
                };
                (Captured::Time(ns), len)
            }
        };
        captures.put(name, value, "");
        Some(at + len)
    }
}

/// Bytes that parts without a property take.
fn fixed_width(parts: &[Part]) -> Option<usize> {
    parts.iter().try_fold(0, |sum, part| match part {
        Part::Space => Some(sum + 1),
        Part::Literal(text) => Some(sum + text.len()),
        _ => None,
    })
}

fn text(at: usize, len: usize) -> (Captured, usize) {
    (Captured::Text(Range::new(at, at + len)), len)
}

/// A run of printable characters gives back what the literal behind it needs.
fn limit(rest: &[u8], len: usize, following: &[Part]) -> usize {
    match following.first() {
        Some(Part::Literal(literal)) => {
            memchr::memmem::find(&rest[..(len + literal.len()).min(rest.len())], literal).unwrap_or(len)
        }
        _ => len,
    }
}

fn number(rest: &[u8], longest: usize) -> Option<(Captured, usize)> {
    let len = rest.iter().take(longest).take_while(|byte| byte.is_ascii_digit()).count();
    let value = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
    Some((Captured::Number(value), len))
}

fn program_len(rest: &[u8]) -> Option<usize> {
    let len = rest.iter().take_while(|byte| byte.is_ascii_graphic() && !matches!(byte, b':' | b'[')).count();
    (len > 0).then_some(len)
}

fn bracketed_number(rest: &[u8]) -> Option<(f64, usize)> {
    let inner = rest.strip_prefix(b"[")?;
    let (Captured::Number(value), len) = number(inner, 10)? else { return None };
    (inner.get(len) == Some(&b']')).then_some((value, len + 2))
}

/// `-`, or `[id name="value" …]…`, in whose values a backslash takes the next character with it.
fn structured_data_len(rest: &[u8]) -> Option<usize> {
    if rest.first() == Some(&b'-') {
        return Some(1);
    }
    let (mut at, mut quoted) = (0, false);
    while rest.get(at) == Some(&b'[') {
        loop {
            at += 1;
            match rest.get(at)? {
                b'"' => quoted = !quoted,
                b'\\' if quoted => at += 1,
                b']' if !quoted => break,
                _ => {}
            }
        }
        at += 1;
    }
    (at > 0).then_some(at)
}

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
    if parts.last() == Some(&Part::Literal(b"\n".to_vec())) {
        parts.pop();
    }
    Ok(Rsyslog { names, parts, year })
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
    let options = property.splitn(4, ':').nth(3).unwrap_or_default();
    if options == "sp-if-no-1st-sp" {
        return Ok(None);
    }
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
        "timestamp" | "timereported" | "timegenerated" => Kind::Time(match options.to_ascii_lowercase().as_str() {
            "date-rfc3339" => TimeFormat::Rfc3339,
            "date-mysql" => TimeFormat::Mysql,
            "date-pgsql" => TimeFormat::Pgsql,
            "date-unixtimestamp" => TimeFormat::Unix,
            "date-subseconds" => TimeFormat::SubSeconds,
            _ => TimeFormat::Rfc3164,
        }),
        "$now" | "$year" | "$month" | "$day" | "$hour" | "$hhour" | "$qhour" | "$minute" | "$bom" => Kind::Word(16),
        _ => return Err(format!("invalid rsyslog property: '{name}'")),
    };
    let name = if name == "timereported" { "timestamp".to_string() } else { name };
    Ok(Some((name, kind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRADITIONAL: &str = r"%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\n";

    fn read(template: &str, line: &str) -> Option<String> {
        let grammar = rsyslog(template, Some(2014)).unwrap();
        let mut captures = Captures::default();
        fn show(value: &Captured, line: &str) -> String {
            match value {
                Captured::Text(range) => String::from_utf8_lossy(range.of(line.as_bytes())).into_owned(),
                Captured::Number(number) => number.to_string(),
                Captured::Time(ns) => ns.to_string(),
                Captured::Many(many) if let Many::Record(parts) = &**many => parts
                    .iter()
                    .map(|(name, value)| format!("{name}:{}", show(value, line)))
                    .collect::<Vec<_>>()
                    .join(","),
                other => format!("{other:?}"),
            }
        }
        grammar.matches(line.as_bytes(), &mut captures).map(|_| {
            let parts = captures.list.iter().map(|c| format!("{}={}", grammar.names[c.name], show(&c.value, line)));
            parts.collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn templates_take_their_lines_apart() {
        let expected = "timestamp=1392037138000000000 hostname=trink-x230 syslogtag=programname:kernel msg=imklog 5.8.6, log source = /proc/kmsg started.";
        let line = "Feb 10 12:58:58 trink-x230 kernel: imklog 5.8.6, log source = /proc/kmsg started.";
        assert_eq!(read(TRADITIONAL, line).as_deref(), Some(expected));
        assert_eq!(read(TRADITIONAL, &format!("{line}\n")).as_deref(), Some(expected));
        let cases = [
            (
                "%pri% %TIMEGENERATED:::date-rfc3339% x",
                "28 2014-02-10T12:58:59-08:00 x",
                "pri=facility:3,severity:4 timegenerated=1392065939000000000",
            ),
            (
                "<%pri%>%syslogtag% %msg% end",
                "<13>sshd[123]: hello end end",
                "pri=facility:1,severity:5 syslogtag=programname:sshd,pid:123 msg=hello end",
            ),
            ("%pri-text% %syslogseverity-text%", "authpriv.info<86> WARNING", "pri-text=10 syslogseverity-text=4"),
            ("%structured-data%|%msg%", r#"[a b="]\""]|m"#, r#"structured-data=[a b="]\""] msg=m"#),
            ("%structured-data% %msg%", "- m", "msg=m"),
            (
                "%timestamp:::date-unixtimestamp%,%fromhost-ip%",
                "1391794831,::1",
                "timestamp=1391794831000000000 fromhost-ip=::1",
            ),
            (r"%app-name%\042%procid%", "a*b", "app-name=a procid=b"),
        ];
        for (template, line, expected) in cases {
            assert_eq!(read(template, line).as_deref(), Some(expected), "{template}");
        }
        assert_eq!(read(TRADITIONAL, "no syslog line"), None);
        assert_eq!(rsyslog("%bogus%", None).err().as_deref(), Some("invalid rsyslog property: 'bogus'"));
        assert!(rsyslog("", None).is_err() && rsyslog("%msg", None).is_err());
    }

    proptest! {
        #[test]
        fn no_line_makes_a_template_panic(
            template in "(%(msg|pri|syslogtag|timestamp|hostname|structured-data|pri-text|msg:::sp-if-no-1st-sp)%|[ a:\\[]|\\\\.){0,8}",
            line in "(Feb  9 16:46:36|[ a:<>0-9\\[\\]\"=\\\\-]|\\PC){0,30}",
        ) {
            if let Ok(grammar) = rsyslog(&template, Some(2014)) {
                grammar.matches(line.as_bytes(), &mut Captures::default());
            }
        }
    }
}
