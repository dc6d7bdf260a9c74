//! Access logs of nginx (`log_format`) and Apache httpd (`LogFormat`).
//!
//! A format is a list of white-space runs, literals and variables. A run matches one or more white-space characters.
//! A variable without a type of its own takes everything up to what stands behind it; inside double quotes a backslash
//! keeps the next character from ending it. A variable that is a number or a time, and is empty, has no value.

mod apache;
mod nginx;
mod value;

pub use apache::apache;
pub use nginx::nginx;

use super::escapes::{Escapes, quoted_len};
use super::{Captured, Captures, Grammar, MAX_LINE, Many, Range, misfit_at};
use value::Kind;

/// A compiled format. `time` among the names is nanoseconds since 1970.
pub struct AccessLog {
    names: Vec<String>,
    /// The place of `time` among them.
    time: usize,
    parts: Vec<Part>,
    /// What the format calls each part that is a variable.
    labels: Vec<String>,
    escapes: Escapes,
}

#[derive(Debug, Clone)]
enum Part {
    Between(Between),
    /// Name and how it is read.
    Variable(usize, Kind),
}

/// What stands between variables. Most lines have just the bytes that the format has, so these are compared first, all at
/// once.
#[derive(Debug, Clone, Default)]
struct Between {
    pieces: Vec<Piece>,
    /// The format's own bytes, if they are at most eight, which part of the number counts, and how many they are.
    bytes: u64,
    mask: u64,
    len: usize,
}

#[derive(Debug, Clone)]
enum Piece {
    Space,
    Literal(Vec<u8>),
}

impl Between {
    fn push(&mut self, character: u8) {
        match self.pieces.last_mut() {
            Some(Piece::Space) if is_space(character) => {}
            // A tab parts values that have blanks.
            _ if is_space(character) && character != b'\t' => self.pieces.push(Piece::Space),
            Some(Piece::Literal(text)) => text.push(character),
            _ => self.pieces.push(Piece::Literal(vec![character])),
        }
    }

    /// Notes the bytes.
    fn finish(&mut self) {
        let text: Vec<u8> = self.pieces.iter().flat_map(Piece::bytes).copied().collect();
        if text.len() <= 8 {
            let mut bytes = [0; 8];
            bytes[..text.len()].copy_from_slice(&text);
            self.bytes = u64::from_le_bytes(bytes);
            self.mask = u64::MAX >> (64 - 8 * text.len());
            self.len = text.len();
        }
    }

    /// Where a text before it ends: at the first place that has all of it; where no place has, at the first that has its
    /// first character. And where itself ends.
    #[inline]
    fn text_len(&self, line: &[u8], at: usize) -> (usize, Option<usize>) {
        let rest = &line[at..];
        let mut from = 0;
        let mut first = None;
        while let Some(found) = self.begin(&rest[from..]) {
            let found = from + found;
            if let Some(end) = self.end(line, at + found) {
                return (found, Some(end));
            }
            first = first.or(Some(found));
            from = found + 1;
        }
        (first.unwrap_or(rest.len()), None)
    }

    #[inline]
    fn begin(&self, rest: &[u8]) -> Option<usize> {
        match self.pieces.first() {
            Some(Piece::Literal(text)) if text[0] == b'"' => quoted_len(rest),
            Some(Piece::Literal(text)) => memchr::memchr(text[0], rest),
            _ => rest.iter().position(|&byte| is_space(byte)),
        }
    }

    /// For errors: what it is.
    fn describe(&self) -> String {
        format!(
            "{:?}",
            String::from_utf8_lossy(&self.pieces.iter().flat_map(Piece::bytes).copied().collect::<Vec<u8>>())
        )
    }

    /// Where it ends that stands at `at`.
    #[inline]
    fn end(&self, line: &[u8], at: usize) -> Option<usize> {
        let rest = line.get(at..)?;
        if self.len > 0
            && let Some(first) = rest.first_chunk()
            && u64::from_le_bytes(*first) & self.mask == self.bytes
        {
            // White space of several characters counts as one.
            let more = rest.get(self.len).copied().is_some_and(is_space);
            if !more || !matches!(self.pieces.last(), Some(Piece::Space)) {
                return Some(at + self.len);
            }
        }
        self.pieces.iter().try_fold(at, |at, piece| {
            let rest = line.get(at..)?;
            match piece {
                Piece::Space => {
                    let len = rest.iter().take_while(|byte| is_space(**byte)).count();
                    (len > 0).then_some(at + len)
                }
                Piece::Literal(text) => rest.starts_with(text).then_some(at + text.len()),
            }
        })
    }
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Space => b" ",
            Piece::Literal(text) => text,
        }
    }
}

impl Grammar for AccessLog {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn time(&self) -> usize {
        self.time
    }

    fn nullable(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Variable(..)))
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
            Part::Between(between) => between.describe(),
            Part::Variable(_, kind) => format!("{} ({})", self.labels.get(part)?, kind.describe()),
        };
        Some(misfit_at(line, at, &expected))
    }
}

impl AccessLog {
    /// Where what was read ends; or where it doesn't go on, and which part is missing there.
    #[inline]
    fn read(&self, line: &[u8], captures: &mut Captures) -> Result<usize, (usize, usize)> {
        let mut at = 0;
        // Parts of the time that stand by themselves.
        let mut adjust = 0;
        let mut place = 0;
        while let Some(part) = self.parts.get(place) {
            let next = match part {
                Part::Between(between) => between.end(line, at),
                Part::Variable(name, Kind::Text) => {
                    let (len, after) = self.text_len(place, line, at);
                    match self.escapes.undo(&line[at..at + len]) {
                        None => captures.put(*name, Captured::Text(Range::new(at, at + len)), ""),
                        Some(text) => captures.put(*name, Captured::Many(Box::new(Many::Unescaped(text))), ""),
                    }
                    // What stands behind it was just read, too.
                    place += after.is_some() as usize;
                    Some(after.unwrap_or(at + len))
                }
                Part::Variable(name, kind) => {
                    let read = kind.read(line, at, *name, captures, &mut adjust);
                    // Without a value.
                    read.or_else(|| self.has_no_value(place, line, at).then_some(at))
                }
            };
            at = next.ok_or((at, place))?;
            place += 1;
        }
        if adjust != 0
            && let Some(capture) = captures.list.iter_mut().rev().find(|capture| capture.name == self.time)
            && let Captured::Time(ns) = &mut capture.value
        {
            *ns = ns.saturating_add(adjust);
        }
        Ok(at)
    }

    /// Whether what stands behind a part begins at once.
    fn has_no_value(&self, place: usize, line: &[u8], at: usize) -> bool {
        match self.parts.get(place + 1) {
            Some(Part::Between(between)) => between.end(line, at).is_some(),
            Some(Part::Variable(..)) => false,
            None => line[at..].trim_ascii_end().is_empty(),
        }
    }

    /// How long a text is that ends at what stands behind a part; and where that ends.
    #[inline]
    fn text_len(&self, place: usize, line: &[u8], at: usize) -> (usize, Option<usize>) {
        match self.parts.get(place + 1) {
            Some(Part::Between(between)) => between.text_len(line, at),
            // The last one takes all, but what ends the line.
            None => (line[at..].trim_ascii_end().len(), None),
            _ => (line[at..].iter().position(|&byte| is_space(byte)).unwrap_or(line.len() - at), None),
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

/// Collects parts while a format is read.
#[derive(Default)]
struct Compiler {
    names: Vec<String>,
    parts: Vec<Part>,
    labels: Vec<String>,
    escapes: Escapes,
}

impl Compiler {
    fn text(&mut self, character: u8) {
        if !matches!(self.parts.last(), Some(Part::Between(_))) {
            self.parts.push(Part::Between(Between::default()));
            self.labels.push(String::new());
        }
        if let Some(Part::Between(between)) = self.parts.last_mut() {
            between.push(character);
        }
    }

    /// `label`: as the format has it.
    fn variable(&mut self, label: &str, name: &str, kind: Kind) {
        let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_string());
            self.names.len() - 1
        });
        self.parts.push(Part::Variable(place, kind));
        self.labels.push(label.to_string());
    }

    fn finish(mut self) -> Result<AccessLog, String> {
        if self.parts.is_empty() {
            return Err("could not parse the log_format configuration".into());
        }
        for part in &mut self.parts {
            if let Part::Between(between) = part {
                between.finish();
            }
        }
        let time = self.names.iter().position(|name| name == "time").unwrap_or(usize::MAX);
        Ok(AccessLog { names: self.names, time, parts: self.parts, labels: self.labels, escapes: self.escapes })
    }
}

/// The combined format, which both servers ship with.
pub const NGINX_COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
pub const APACHE_COMBINED: &str = r#"%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""#;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(grammar: &AccessLog, line: &str) -> Option<Vec<String>> {
        let mut captures = Captures::default();
        grammar.matches(line.as_bytes(), &mut captures)?;
        let text = |range: &Range| String::from_utf8_lossy(range.of(line.as_bytes())).into_owned();
        let show = |capture: &Capture| {
            let value = match &capture.value {
                Captured::Text(range) => text(range),
                Captured::Word(word) => word.to_string(),
                Captured::Number(number) => number.to_string(),
                Captured::Time(ns) => ns.to_string(),
                Captured::Many(many) => match &**many {
                    Many::Unescaped(text) => String::from_utf8_lossy(text).into_owned(),
                    Many::Texts(ranges) => ranges.iter().map(text).collect::<Vec<_>>().join(";"),
                    Many::Numbers(numbers) => format!("{numbers:?}"),
                    Many::Record(parts) => format!("{parts:?}"),
                },
            };
            format!("{}={value}{}", grammar.names[capture.name], capture.representation)
        };
        Some(captures.list.iter().map(show).collect())
    }
    use super::super::Capture;

    #[test]
    fn the_combined_formats_are_taken_apart() {
        let line = r#"62.195.113.219 - - [10/Jan/2014:07:04:56 -0800] "GET /v1/recovery_email/status HTTP/1.1" 200 82 "-" "Mozilla/5.0 \"x\" y" and more"#;
        let expected = [
            "remote_addr=62.195.113.219ipv4",
            "remote_user=-",
            "time=1389366296000000000",
            "request=GET /v1/recovery_email/status HTTP/1.1",
            "status=200",
            "body_bytes_sent=82B",
            "http_referer=-",
            r#"http_user_agent=Mozilla/5.0 \"x\" y"#,
        ];
        assert_eq!(read(&nginx(NGINX_COMBINED).unwrap(), line).unwrap(), expected);
        let apache = apache(APACHE_COMBINED).unwrap();
        let expected: Vec<_> = [&expected[..2], &["remote_user=-"], &expected[2..]].concat();
        assert_eq!(read(&apache, line).unwrap(), expected);
    }

    #[test]
    fn odd_lines_and_formats() {
        let combined = nginx(NGINX_COMBINED).unwrap();
        let line =
            |addr: &str, bytes: &str| format!(r#"{addr} - - [10/Jan/2014:07:04:56 -0800] "" 400 {bytes} "-" "-""#);
        assert!(read(&combined, &line("::1", "0")).unwrap().contains(&"remote_addr=::1ipv6".to_string()));
        assert!(read(&combined, &line("host.example", "-")).unwrap().contains(&"body_bytes_sent=0B".to_string()));
        assert_eq!(read(&combined, &line("a b", "0")), None);
        assert_eq!(read(&combined, ""), None);
        let cases = [
            ("[$custom]|$a|$b", "[x y]|1|2", "custom=x y a=1 b=2"),
            ("$request_time $msec", "0.005 1391794831.755", "request_time=0.005s time=1391794831755000000"),
            (
                "\"$request_time\" \"$http_x_forwarded_for\" \"$upstream_response_time\"",
                "\"1.394\" \"-\" \"-, 1.394\"",
                "request_time=1.394s http_x_forwarded_for=- upstream_response_time=[1.394]s",
            ),
            (
                "$request_length $request_time $upstream_response_time \"$http_referer\"",
                "261 0.002 0.000, 0.004 \"-\"",
                "request_length=261B request_time=0.002s upstream_response_time=[0.0, 0.004]s http_referer=-",
            ),
            (
                "urt=$upstream_response_time uct=$upstream_connect_time",
                "urt=0.004, 0.012 : 0.001 uct=0.004, 0.004 : -",
                "upstream_response_time=[0.004, 0.012, 0.001]s upstream_connect_time=[0.004, 0.004]s",
            ),
            ("{\"t\":\"$upstream_response_time\",\"s\":$status}", "{\"t\":\"\",\"s\":200}", "status=200"),
            ("$request_time $upstream_cache_status", "3 HIT", "request_time=3s upstream_cache_status=HIT"),
            (
                "$upstream_addr $status",
                "10.0.0.1:80, 10.0.0.2:80 : unix:/x 200",
                "upstream_addr=10.0.0.1:80;10.0.0.2:80;unix:/x status=200",
            ),
            (
                "$upstream_response_time|$upstream_status",
                "0.010, -|502, 200",
                "upstream_response_time=[0.01]s upstream_status=[502.0, 200.0]",
            ),
            ("${host}:$server_port", "example.com:443", "host=example.com server_port=443"),
            ("$scheme$https;", "https;", "scheme=https https="),
            (
                "$http_x_forwarded_for - $remote_addr",
                "1.1.1.1, 10.0.0.1 - 172.31.0.100",
                "http_x_forwarded_for=1.1.1.1, 10.0.0.1 remote_addr=172.31.0.100ipv4",
            ),
            (r"req:$request\tstatus:$status", "req:GET / HTTP/1.1\tstatus:200", "request=GET / HTTP/1.1 status=200"),
            (r"$request\t$status", "GET / HTTP/1.1\t200", "request=GET / HTTP/1.1 status=200"),
            (
                "$status uct=$upstream_connect_time urt=$upstream_response_time",
                "200 uct=0.000, 0.001 urt=0.000, 0.010",
                "status=200 upstream_connect_time=[0.0, 0.001]s upstream_response_time=[0.0, 0.01]s",
            ),
            ("$upstream_header_time $upstream_bytes_received", "- 10, -", "upstream_bytes_received=[10.0]B"),
            (
                "$remote_addr - $remote_user [$status]",
                "fe80::1%eth0 - user name [200]",
                "remote_addr=fe80::1%eth0ipv6 remote_user=user name status=200",
            ),
            ("$remote_addr $status", "unix: 200", "remote_addr=unix: status=200"),
            (
                "log_format  main escape=json\n  '{\"u\":\"$upstream_response_time\",'\n  '\"r\":\"$request\",\"s\":$status}';",
                r#"{"u":"","r":"GET /\"q \u00e4\n","s":200}"#,
                "request=GET /\"q \u{e4}\n status=200",
            ),
            (
                r#"log_format main '"$request" $status';"#,
                r#""GET /\x22\xc3\xa4 \x" 200"#,
                "request=GET /\"\u{e4} \\x status=200",
            ),
            ("log_format a escape=none '$uri|$status'", r"/\x22|200", r"uri=/\x22 status=200"),
            ("$msec $uri", "1700000000.001 /a b c\r", "time=1700000000001000000 uri=/a b c"),
            ("$time_iso8601 $pipe", "2014-02-10T12:58:59-08:00 .", "time=1392065939000000000 pipe=."),
        ];
        for (format, line, expected) in cases {
            let found = read(&nginx(format).unwrap(), line).map(|found| found.join(" ").replace("hostname ", " "));
            assert_eq!(nginx(format).unwrap().misfit(line.as_bytes()), None);
            assert_eq!(found.as_deref().map(|f| f.to_string()), Some(expected.to_string()), "{format}");
        }
    }

    #[test]
    fn where_a_line_does_not_fit_is_said() {
        let cases = [
            (
                r#""$request" $status"#,
                r#""GET" -"#,
                r#"column 7: expected $status (a number of three digits), found "-""#,
            ),
            (
                "$remote_addr [$time_local]",
                "1.2.3.4 [",
                "column 10: expected $time_local (a time such as 10/Oct/2000:13:55:36 -0700), found the end of the line",
            ),
            ("$remote_addr - $uri", "1.2.3.4 + x", "column 8: expected \" - \", found \" + x\""),
        ];
        for (format, line, expected) in cases {
            assert_eq!(nginx(format).unwrap().misfit(line.as_bytes()).as_deref(), Some(expected));
        }
        for (format, error) in [
            ("log_format main 'x", "a quote has no end"),
            ("log_format main escape=xml 'x'", "escape=xml is none of"),
            ("log_format main", "no text in quotes"),
            ("log_format main '$a' off;", "there is \"off;\""),
        ] {
            let found = nginx(format).err().unwrap();
            assert!(found.contains(error), "{found}");
        }
    }

    #[test]
    fn apache_directives() {
        let cases = [
            (
                r#"%D %T %k %p %P %X"#,
                "1500 2 0 80 4242 +",
                "request_time=1500us request_time=2s connection_requests=0 server_port=80 pid=4242 connection_status=+",
            ),
            (
                r#"%{X-Forwarded-For}i|%{Set-Cookie}o|%{sid}C"#,
                "a b|c|d",
                "http_x_forwarded_for=a b sent_http_set_cookie=c cookie_sid=d",
            ),
            (r#"%!200,304{Referer}i %{hextid}P"#, "- ff", "http_referer=- tid=255"),
            (r#"%{%d/%b/%Y %T}t %{msec_frac}t"#, "10/Feb/2014 12:58:59 250", "time=1392037139250000000 sec_frac=0.25"),
            (
                r#"[%{%d/%b/%Y:%H:%M:%S}t.%{usec_frac}t %{%z}t] %{SSL_PROTOCOL}x"#,
                "[10/Feb/2014:12:58:59.000250 +0130] TLSv1.3",
                "time=1392031739000250000 sec_frac=0.00025 ssl_protocol=TLSv1.3",
            ),
            (r#"%{sec}t.%{usec_frac}t"#, "1391794831.755001", "time=1391794831755001000 sec_frac=0.755001"),
            (r#"%{msec}t 100%%"#, "1391794831755 100%", "time=1391794831755000000"),
            (r#"%b\t%H"#, "-\tHTTP/1.1", "body_bytes_sent=0B server_protocol=HTTP/1.1"),
        ];
        for (format, line, expected) in cases {
            assert_eq!(
                read(&apache(format).unwrap(), line).map(|f| f.join(" ")).as_deref(),
                Some(expected),
                "{format}"
            );
        }
        for (format, error) in
            [("%z", "unknown variable: z"), ("%{x}p", "unknown port format: x"), ("%{x}P", "unknown pid format: x")]
        {
            assert_eq!(apache(format).err().as_deref(), Some(error));
        }
        assert!(apache("").is_err() && apache("%").is_err() && apache("%{x").is_err() && nginx("$").is_err());
    }

    proptest! {
        #[test]
        fn no_line_makes_a_grammar_panic(
            format in "(log_format a escape=json '|log_format b \"|)(\\$(remote_addr|status|time_local|request|msec|upstream_addr|x)|[ \"\\[\\]|-]|%[a-zA-Z>]|%\\{[a-z%H]{0,4}\\}[a-zA-Z]|\\\\.){0,8}",
            line in "([0-9]{1,3}\\.|[ \"\\\\:,a-z-]|10/Feb/2014:08:46:41 -0800|\\PC){0,20}",
        ) {
            let mut captures = Captures::default();
            for grammar in [nginx(&format), apache(&format)].into_iter().flatten() {
                let end = grammar.matches(line.as_bytes(), &mut captures);
                prop_assert_eq!(end.is_none(), grammar.misfit(line.as_bytes()).is_some());
            }
        }
    }
}
