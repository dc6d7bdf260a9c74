//! Lines that rsyslog wrote with a string template.
//!
//! A template is a list of single white-space characters, literals (with backslash escapes, `\ddd` decimal) and
//! `%property:from:to:options%`. Positions and regular expressions in a property are read and passed over; of the options
//! those of times, `json`, `jsonf` and `csv` count.
//! A line end that closes the template is optional in the line.

mod pieces;
mod template;

use super::date_time;
use super::escapes::{Escapes, quoted_len};
use super::{Captured, Captures, Grammar, MAX_LINE, Many, Range, ip_address, misfit_at};

use pieces::{Piece, Pieces};
pub use template::rsyslog;

/// A compiled template.
pub struct Rsyslog {
    names: Vec<String>,
    parts: Vec<Part>,
    /// The template ends with the line's end.
    whole_line: bool,
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
    /// A text in quotes or with escapes.
    Wrapped(Wrap),
    Time(TimeFormat),
    /// A part of a time.
    Piece(Piece),
}

/// How an option writes a text (rsyslog's property replacer).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrap {
    /// With JSON's escapes, the quotes are the template's.
    Json,
    /// `"name":"value"`.
    JsonField,
    /// In quotes; one within is doubled.
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TimeFormat {
    Rfc3164,
    Rfc3339,
    Mysql,
    Pgsql,
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
        let line = line.strip_suffix(b"\n").filter(|_| self.whole_line).unwrap_or(line);
        let mut at = 0;
        let mut times: Vec<(usize, Pieces)> = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            let rest = &line[at..];
            let next = match part {
                Part::Space => rest.first().filter(|byte| byte.is_ascii_whitespace()).map(|_| at + 1),
                Part::Literal(text) => rest.starts_with(text).then_some(at + text.len()),
                Part::Spaces => {
                    let count = rest.iter().take_while(|&&byte| byte == b' ').count();
                    (count > 0).then_some(at + count)
                }
                Part::Property(name, Kind::Piece(piece)) => {
                    let known = times.iter().position(|(of, _)| of == name);
                    let index = known.unwrap_or_else(|| {
                        times.push((*name, Pieces::default()));
                        times.len() - 1
                    });
                    times[index].1.read(*piece, rest).map(|len| at + len)
                }
                Part::Property(name, kind) => {
                    let following = &self.parts[place + 1..];
                    kind.read(line, at, *name, following, self.year, captures)
                }
            };
            at = next.ok_or((at, place))?;
        }
        for (name, pieces) in times {
            let whole = captures.last(name).and_then(|capture| match capture.value {
                Captured::Time(ns) => Some(ns),
                _ => None,
            });
            if let Some(ns) = pieces.time(whole, self.year) {
                captures.put(name, Captured::Time(ns), "");
            }
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
            Kind::Message => text(at, message_len(rest, following)?),
            Kind::Wrapped(wrap) => wrap.read(rest, following)?,
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
                };
                (Captured::Time(ns), len)
            }
            // They make one value together.
            Kind::Piece(_) => return None,
        };
        captures.put(name, value, "");
        Some(at + len)
    }
}

impl Wrap {
    /// The text that is meant, and the length that was read.
    fn read(self, rest: &[u8], following: &[Part]) -> Option<(Captured, usize)> {
        let unescaped = |text: &[u8]| Escapes::Json.undo(text).unwrap_or_else(|| text.to_vec());
        let (text, len) = match self {
            Wrap::Json => {
                let quoted = matches!(following, [Part::Literal(text), ..] if text.starts_with(b"\""));
                let len = if quoted { quoted_len(rest) } else { message_len(rest, following) }?;
                (unescaped(&rest[..len]), len)
            }
            Wrap::JsonField => {
                let name = quoted_len(rest.strip_prefix(b"\"")?)? + 1;
                let value = rest[name..].strip_prefix(b"\":\"")?;
                let len = quoted_len(value)?;
                (unescaped(&value[..len]), name + 3 + len + 1)
            }
            Wrap::Csv => {
                let (mut text, mut at) = (Vec::new(), 1);
                rest.first().filter(|byte| **byte == b'"')?;
                loop {
                    let len = memchr::memchr(b'"', &rest[at..])?;
                    text.extend_from_slice(&rest[at..at + len]);
                    at += len + 1;
                    if rest.get(at) != Some(&b'"') {
                        break (text, at);
                    }
                    text.push(b'"');
                    at += 1;
                }
            }
        };
        Some((Captured::Many(Box::new(Many::Unescaped(text))), len))
    }
}

/// Up to the literal that follows, or to the end.
fn message_len(rest: &[u8], following: &[Part]) -> Option<usize> {
    match (fixed_width(following), following) {
        // Only fixed text follows: the message is all but that.
        (Some(width), _) => rest.len().checked_sub(width),
        (None, [Part::Literal(text), ..]) => memchr::memmem::find(rest, text),
        (None, [Part::Space, ..]) => rest.iter().position(u8::is_ascii_whitespace),
        _ => Some(rest.len()),
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
                Captured::Many(many) if let Many::Unescaped(text) = &**many => {
                    String::from_utf8_lossy(text).into_owned()
                }
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
                "fromhost-ip=::1 timestamp=1391794831000000000",
            ),
            (
                "%timestamp:::date-unixtimestamp%.%timestamp:::date-subseconds% %msg%",
                "1433188255.253 m",
                "msg=m timestamp=1433188255253000000",
            ),
            (
                "%timestamp:::date-year%-%timestamp:::date-month%-%timestamp:::date-day% %timestamp:::date-hour%:%timestamp:::date-minute%:%timestamp:::date-second%.%timestamp:::date-subseconds%%timestamp:::date-tzoffsdirection%%timestamp:::date-tzoffshour%:%timestamp:::date-tzoffsmin% %msg%",
                "2015-06-01 21:50:55.253001-08:30 m",
                "msg=m timestamp=1433226055253001000",
            ),
            (
                "%timegenerated:::date-wdayname% %timegenerated:::date-day%.%timegenerated:::date-month%. %timegenerated:::date-week% %msg%",
                "Mon 01.06. 23 m",
                "msg=m timegenerated=1401580800000000000",
            ),
            (
                "%timestamp:::date-rfc3164%.%timestamp:::date-subseconds% %timegenerated:::date-year,date-utc%",
                "Feb 10 12:58:58.25 2014",
                "timestamp=1392037138000000000 timestamp=1392037138250000000",
            ),
            (
                r#"{"m":"%msg:::json%","h":"%hostname:::JSON%"}"#,
                r#"{"m":"a\"}b\\\u0041\n","h":"x"}"#,
                "msg=a\"}b\\A\n hostname=x",
            ),
            (r#"{%hostname:::jsonf%,%msg:::jsonf:text%}"#, r#"{"hostname":"x","text":"a\"b"}"#, "hostname=x msg=a\"b"),
            ("%msg:::csv,drop-last-lf%,%hostname:::csv%", r#""say ""a"", b","x""#, r#"msg=say "a", b hostname=x"#),
            ("<%PRI%>%programname%: %msg%", "<27>a: b\n", "pri=facility:3,severity:3 programname=a msg=b\n"),
            (r"<%PRI%>%programname%: %msg%\n", "<27>a: b\n", "pri=facility:3,severity:3 programname=a msg=b"),
            (r"%app-name%\042%procid%", "a*b", "app-name=a procid=b"),
        ];
        for (template, line, expected) in cases {
            assert_eq!(read(template, line).as_deref(), Some(expected), "{template}");
        }
        assert_eq!(read(TRADITIONAL, "no syslog line"), None);
        assert_eq!(rsyslog("%bogus%", None).err().as_deref(), Some("invalid rsyslog property: 'bogus'"));
        let unknown = rsyslog("%timestamp:::date-iso%", None).err();
        assert_eq!(unknown.as_deref(), Some("invalid option of an rsyslog property: 'date-iso'"));
        assert_eq!(read("%timestamp:::date-hour%:%timestamp:::date-minute%", "25:61"), Some(String::new()));
        assert_eq!(read("%msg:::csv%", "\"a"), None);
        assert_eq!(read("%msg:::jsonf%", "\"a\":1"), None);
        assert!(rsyslog("", None).is_err() && rsyslog("%msg", None).is_err());
    }

    proptest! {
        #[test]
        fn no_line_makes_a_template_panic(
            template in "(%(msg|pri|syslogtag|timestamp|hostname|structured-data|pri-text|msg:::sp-if-no-1st-sp|msg:::json|msg:::jsonf|hostname:::csv|timestamp:::date-(unixtimestamp|subseconds|month|day|tzoffshour|wdayname|ordinal))%|[ a:\\[]|\\\\.){0,8}",
            line in "(Feb  9 16:46:36|[ a:<>0-9\\[\\]\"=\\\\-]|\\PC){0,30}",
        ) {
            if let Ok(grammar) = rsyslog(&template, Some(2014)) {
                grammar.matches(line.as_bytes(), &mut Captures::default());
            }
        }
    }
}
