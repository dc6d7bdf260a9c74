//! Access logs of nginx (`log_format`) and Apache httpd (`LogFormat`).
//!
//! A format is a list of white-space runs, literals and variables. A run matches one or more white-space characters.
//! A variable without a type of its own takes everything up to the first character of what follows it; inside
//! double quotes a backslash keeps the next character from ending it. Text after the format's end is ignored.

use super::date_time::{SECOND, clf, digits, rfc3339};
use super::{Captured, Captures, Grammar, MAX_LINE, Many, Range, ip_address};

/// A compiled format. `time` among the names is nanoseconds since 1970.
pub struct AccessLog {
    names: Vec<String>,
    /// The place of `time` among them.
    time: usize,
    parts: Vec<Part>,
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
            _ if is_space(character) => self.pieces.push(Piece::Space),
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

    /// What ends a text before it.
    fn terminator(&self) -> Terminator {
        match self.pieces.first() {
            Some(Piece::Literal(text)) => Terminator::Byte(text[0]),
            _ => Terminator::WhiteSpace,
        }
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

#[derive(Debug, Clone)]
enum Kind {
    /// Up to a byte, or to the end of the line.
    Text(Terminator),
    /// Digits; a dash is 0 when it stands for a number of bytes, otherwise no value.
    Integer(&'static str),
    ThreeDigits,
    /// `digits` or `digits.digits`.
    Seconds,
    /// The same, as a time.
    EpochSeconds,
    Clf {
        bracketed: bool,
    },
    Rfc3339,
    Host,
    /// One of several words; an empty one last makes it optional.
    Word(&'static [&'static str]),
    Protocol,
    DottedVersion,
    FourBytes,
    /// Values joined by `, ` and ` : `.
    Upstream(Upstream),
    HttpDate,
    Hexadecimal,
    Strftime(String),
    /// Thousandths or millionths, as a fraction of a second.
    SubSecond(u32),
    /// Milliseconds or microseconds since 1970.
    Epoch {
        per_second: i64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Upstream {
    Address,
    Status,
    Time,
    Length,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Terminator {
    WhiteSpace,
    Byte(u8),
}

impl Grammar for AccessLog {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn time(&self) -> usize {
        self.time
    }

    fn nullable(&self) -> bool {
        let empty = |part: &Part| matches!(part, Part::Variable(_, Kind::Text(_) | Kind::Word(_)));
        self.parts.iter().all(empty)
    }

    fn matches(&self, line: &[u8], captures: &mut Captures) -> Option<usize> {
        captures.clear();
        if line.len() > MAX_LINE {
            return None;
        }
        let mut at = 0;
        for part in &self.parts {
            at = match part {
                Part::Between(between) => between.end(line, at)?,
                Part::Variable(name, kind) => kind.read(line, at, *name, captures)?,
            };
        }
        Some(at)
    }
}

impl Kind {
    /// Reads a value at `at`, puts its capture, and answers where it ends.
    #[inline]
    fn read(&self, line: &[u8], at: usize, name: usize, captures: &mut Captures) -> Option<usize> {
        let rest = &line[at..];
        let number = |captures: &mut Captures, value: f64, representation| {
            captures.put(name, Captured::Number(value), representation);
        };
        let text = |captures: &mut Captures, len: usize, representation| {
            captures.put(name, Captured::Text(Range::new(at, at + len)), representation);
            Some(at + len)
        };
        match self {
            Kind::Text(terminator) => {
                let len = match *terminator {
                    Terminator::WhiteSpace => rest.iter().position(|&byte| is_space(byte)),
                    Terminator::Byte(b'"') => quoted_len(rest),
                    Terminator::Byte(byte) => memchr::memchr(byte, rest),
                };
                text(captures, len.unwrap_or(rest.len()), "")
            }
            Kind::Integer(representation) => {
                if let Some(len) = dash(rest) {
                    if *representation == "B" {
                        number(captures, 0.0, representation);
                    }
                    return Some(at + len);
                }
                let (value, len) = integer(rest)?;
                number(captures, value, representation);
                Some(at + len)
            }
            Kind::ThreeDigits => {
                number(captures, digits(rest, 3)? as f64, "");
                Some(at + 3)
            }
            Kind::Seconds => {
                if let Some(len) = dash(rest) {
                    return Some(at + len);
                }
                let len = decimal_len(rest)?;
                number(captures, parse(&rest[..len])?, "s");
                Some(at + len)
            }
            Kind::EpochSeconds => {
                let len = decimal_len(rest)?;
                number(captures, epoch_ns(&rest[..len])? as f64, "");
                Some(at + len)
            }
            Kind::Epoch { per_second } => {
                let len = digit_count(rest);
                let count: i64 = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
                number(captures, count.checked_mul(SECOND / per_second)? as f64, "");
                Some(at + len)
            }
            Kind::SubSecond(divisor) => {
                let (value, len) = integer(rest)?;
                number(captures, value / *divisor as f64, "");
                Some(at + len)
            }
            Kind::Clf { bracketed } => {
                let skip = *bracketed as usize;
                if *bracketed && (rest.first() != Some(&b'[') || rest.get(27) != Some(&b']')) {
                    return None;
                }
                let ns = clf(rest.get(skip..)?, &mut captures.clock)?;
                number(captures, ns as f64, "");
                Some(at + 26 + 2 * skip)
            }
            Kind::Rfc3339 => {
                let (ns, len) = rfc3339(rest)?;
                number(captures, ns as f64, "");
                Some(at + len)
            }
            Kind::Strftime(format) => {
                // The value ends where the shortest prefix that fits the format does; formats are fixed in width
                // but for names, so few prefixes are tried.
                let text_of = |len: usize| std::str::from_utf8(rest.get(..len)?).ok();
                let longest = rest.len().min(80);
                let (len, ns) = (1..=longest).rev().find_map(|len| Some((len, strftime(text_of(len)?, format)?)))?;
                number(captures, ns as f64, "");
                Some(at + len)
            }
            Kind::Host => {
                let (len, representation) = ip_address::host(rest)?;
                text(captures, len, representation)
            }
            Kind::Word(words) => {
                let word = words.iter().find(|word| rest.starts_with(word.as_bytes()))?;
                text(captures, word.len(), "")
            }
            Kind::Protocol => {
                let version = rest.strip_prefix(b"HTTP/")?;
                let fits =
                    matches!(version, [major, b'.', minor, ..] if major.is_ascii_digit() && minor.is_ascii_digit());
                if fits { text(captures, 8, "") } else { None }
            }
            Kind::DottedVersion => {
                let mut len = 0;
                for part in 0..3 {
                    let dot = (part > 0) as usize;
                    if dot == 1 && rest.get(len) != Some(&b'.') {
                        return None;
                    }
                    let digits = digit_count(rest.get(len + dot..)?);
                    if digits == 0 {
                        return None;
                    }
                    len += dot + digits;
                }
                text(captures, len, "")
            }
            Kind::FourBytes => rest.get(..4).and_then(|_| text(captures, 4, "")),
            Kind::HttpDate => {
                if let Some(len) = dash(rest) {
                    return text(captures, len, "");
                }
                // Sun, 09 Feb 2014 16:46:36 GMT
                let date = std::str::from_utf8(rest.get(..29)?).ok()?;
                let time = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", date).ok()?.to_datetime().ok()?;
                let ns = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_nanosecond();
                number(captures, ns as f64, "");
                Some(at + 29)
            }
            Kind::Hexadecimal => {
                let len = rest.iter().take(13).take_while(|byte| byte.is_ascii_hexdigit()).count();
                let value = u64::from_str_radix(std::str::from_utf8(&rest[..len]).ok()?, 16).ok()?;
                number(captures, value as f64, "");
                Some(at + len)
            }
            Kind::Upstream(what) => what.read(line, at, name, captures),
        }
    }
}

impl Upstream {
    fn read(self, line: &[u8], at: usize, name: usize, captures: &mut Captures) -> Option<usize> {
        let rest = &line[at..];
        if matches!(self, Upstream::Length) && rest.first() == Some(&b'-') && !rest[1..].starts_with(b", ") {
            captures.put(name, Captured::Text(Range::new(at, at + 1)), "");
            return Some(at + 1);
        }
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        let mut len = 0;
        loop {
            let item = &rest[len..];
            let used = match self {
                Upstream::Address => {
                    let used = item.iter().position(|byte| matches!(byte, b',' | b' ')).unwrap_or(item.len());
                    texts.push(Range::new(at + len, at + len + used));
                    used
                }
                _ if item.first() == Some(&b'-') => {
                    numbers.push(0.0);
                    1
                }
                Upstream::Status => {
                    let (value, used) = integer(item).filter(|(_, used)| *used == 3)?;
                    numbers.push(value);
                    used
                }
                Upstream::Time => {
                    let used = decimal_len(item)?;
                    numbers.push(parse(&item[..used])?);
                    used
                }
                Upstream::Length => {
                    let (value, used) = integer(item)?;
                    numbers.push(value);
                    used
                }
            };
            if used == 0 {
                return None;
            }
            len += used;
            let separator = [&b", "[..], b" : "].into_iter().find(|separator| rest[len..].starts_with(separator));
            match separator {
                Some(separator) => len += separator.len(),
                None => break,
            }
        }
        let representation = match self {
            Upstream::Time => "s",
            Upstream::Length => "B",
            _ => "",
        };
        let value = if texts.is_empty() { Many::Numbers(numbers) } else { Many::Texts(texts) };
        captures.put(name, Captured::Many(Box::new(value)), representation);
        Some(at + len)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

fn dash(rest: &[u8]) -> Option<usize> {
    (rest.first() == Some(&b'-')).then_some(1)
}

/// Up to the quote that ends the value; a backslash takes the next byte with it.
#[inline]
fn quoted_len(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', &rest[at..])?;
        if rest[found] == b'"' {
            return Some(found);
        }
        at = found + 2;
        if at > rest.len() {
            return None;
        }
    }
}

fn digit_count(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn decimal_len(text: &[u8]) -> Option<usize> {
    let whole = digit_count(text);
    if whole == 0 {
        return None;
    }
    let fraction = if text.get(whole) == Some(&b'.') { digit_count(&text[whole + 1..]) } else { 0 };
    Some(if fraction > 0 { whole + 1 + fraction } else { whole })
}

/// The digits that a text begins with: their value and how many there are. Short numbers, which most are, without the
/// general parser.
#[inline]
fn integer(text: &[u8]) -> Option<(f64, usize)> {
    let (mut value, mut len) = (0, 0);
    while let Some(byte @ b'0'..=b'9') = text.get(len) {
        if len == 15 {
            let len = digit_count(text);
            return Some((parse(&text[..len])?, len));
        }
        value = value * 10 + (byte - b'0') as u64;
        len += 1;
    }
    (len > 0).then_some((value as f64, len))
}

/// Digits, or digits with a fraction.
fn parse(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `seconds.fraction` as nanoseconds, exactly.
fn epoch_ns(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = &fraction[..fraction.len().min(9)];
    let scale = 10i64.pow(9 - fraction.len() as u32);
    let ns = if fraction.is_empty() { 0 } else { fraction.parse::<i64>().ok()? * scale };
    whole.parse::<i64>().ok()?.checked_mul(SECOND)?.checked_add(ns)
}

fn strftime(text: &str, format: &str) -> Option<i64> {
    let parsed = jiff::fmt::strtime::parse(format, text).ok()?;
    let time = match parsed.offset() {
        Some(_) => parsed.to_timestamp().ok()?,
        None => {
            let date = parsed.to_date().ok()?;
            // As Lua's os.time: a missing hour is noon.
            let time = parsed.to_time().unwrap_or(jiff::civil::time(12, 0, 0, 0));
            date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
        }
    };
    i64::try_from(time.as_nanosecond()).ok()
}

/// Collects parts while a format is read.
#[derive(Default)]
struct Compiler {
    names: Vec<String>,
    parts: Vec<Part>,
}

impl Compiler {
    fn text(&mut self, character: u8) {
        if !matches!(self.parts.last(), Some(Part::Between(_))) {
            self.parts.push(Part::Between(Between::default()));
        }
        if let Some(Part::Between(between)) = self.parts.last_mut() {
            between.push(character);
        }
    }

    fn variable(&mut self, name: &str, kind: Kind) {
        let place = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_string());
            self.names.len() - 1
        });
        self.parts.push(Part::Variable(place, kind));
    }

    /// Sets the terminators, which depend on what follows.
    fn finish(mut self) -> Result<AccessLog, String> {
        if self.parts.is_empty() {
            return Err("could not parse the log_format configuration".into());
        }
        let mut terminator = Terminator::WhiteSpace;
        for part in self.parts.iter_mut().rev() {
            match part {
                Part::Between(between) => {
                    between.finish();
                    terminator = between.terminator();
                }
                Part::Variable(_, kind) => {
                    if let Kind::Text(before) = kind {
                        *before = terminator;
                    }
                    terminator = Terminator::WhiteSpace;
                }
            }
        }
        let time = self.names.iter().position(|name| name == "time").unwrap_or(usize::MAX);
        Ok(AccessLog { names: self.names, time, parts: self.parts })
    }
}

const TEXT: Kind = Kind::Text(Terminator::WhiteSpace);

/// Compiles the text of an nginx `log_format`.
///
/// # Errors
/// Heka's sentence, with what is wrong.
pub fn nginx(format: &str) -> Result<AccessLog, String> {
    let mut compiler = Compiler::default();
    let bytes = format.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'$' {
            compiler.text(byte);
            continue;
        }
        let braced = bytes.get(at) == Some(&b'{');
        at += braced as usize;
        let len = bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let name = &format[at..at + len];
        at += len;
        if name.is_empty() || (braced && bytes.get(at) != Some(&b'}')) {
            return Err("could not parse the log_format configuration: a $ without a variable's name".into());
        }
        at += braced as usize;
        let (name, kind) = nginx_variable(name);
        compiler.variable(name, kind);
    }
    compiler.finish()
}

fn nginx_variable(name: &str) -> (&str, Kind) {
    let kind = match name {
        "body_bytes_sent" | "bytes_sent" | "content_length" | "request_length" => Kind::Integer("B"),
        "connection"
        | "connection_requests"
        | "pid"
        | "remote_port"
        | "server_port"
        | "tcpinfo_rtt"
        | "tcpinfo_rttvar"
        | "tcpinfo_snd_cwnd"
        | "tcpinfo_rcv_space" => Kind::Integer(""),
        "status" => Kind::ThreeDigits,
        "request_time" => Kind::Seconds,
        "msec" => return ("time", Kind::EpochSeconds),
        "time_iso8601" => return ("time", Kind::Rfc3339),
        "time_local" => return ("time", Kind::Clf { bracketed: false }),
        "host" | "hostname" | "remote_addr" | "server_addr" | "server_name" | "proxy_protocol_addr" => Kind::Host,
        "https" => Kind::Word(&["on", ""]),
        "is_args" => Kind::Word(&["?", ""]),
        "request_completion" => Kind::Word(&["OK", ""]),
        "pipe" => Kind::Word(&["p", "."]),
        "scheme" => Kind::Word(&["https", "http"]),
        "request_method" => {
            Kind::Word(&["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"])
        }
        "server_protocol" => Kind::Protocol,
        "nginx_version" => Kind::DottedVersion,
        "binary_remote_addr" => Kind::FourBytes,
        "upstream_addr" => Kind::Upstream(Upstream::Address),
        "upstream_status" => Kind::Upstream(Upstream::Status),
        "upstream_response_time" => Kind::Upstream(Upstream::Time),
        "upstream_response_length" => Kind::Upstream(Upstream::Length),
        "upstream_cache_status" => {
            Kind::Word(&["HIT", "MISS", "EXPIRED", "BYPASS", "STALE", "UPDATING", "REVALIDATED", "-"])
        }
        "upstream_cache_last_modified" => Kind::HttpDate,
        _ => TEXT,
    };
    (name, kind)
}

/// Compiles the text of an Apache `LogFormat`.
///
/// # Errors
/// Heka's sentence, with what is wrong.
pub fn apache(format: &str) -> Result<AccessLog, String> {
    let mut compiler = Compiler::default();
    let bytes = format.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => {
                let (character, len) = escape(&bytes[at..]);
                compiler.text(character);
                at += len;
            }
            b'%' => at += directive(&format[at..], &mut compiler)?,
            byte => compiler.text(byte),
        }
    }
    compiler.finish()
}

/// `\" \\ \t \n \ddd`; any other backslash stands for itself.
fn escape(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b'"', ..] => (b'"', 1),
        [b'\\', ..] => (b'\\', 1),
        [b't', ..] => (b'\t', 1),
        [b'n', ..] => (b'\n', 1),
        [a, b, c, ..] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()) => {
            let value = (a - b'0') as u32 * 100 + (b - b'0') as u32 * 10 + (c - b'0') as u32;
            if value < 256 { (value as u8, 3) } else { (b'\\', 0) }
        }
        _ => (b'\\', 0),
    }
}

/// What follows a `%`: its variable is added, its length answered.
fn directive(rest: &str, compiler: &mut Compiler) -> Result<usize, String> {
    let bytes = rest.as_bytes();
    // Conditions (`!200,304`) and `<` `>` change which requests are logged, or of which; not how.
    let mut at =
        bytes.iter().take_while(|byte| matches!(byte, b'!' | b',' | b'<' | b'>') || byte.is_ascii_digit()).count();
    let mut argument = None;
    if bytes.get(at) == Some(&b'{') {
        let end = rest[at..].find('}').ok_or("could not parse the log_format configuration: a { without its }")?;
        argument = Some(&rest[at + 1..at + end]);
        at += end + 1;
        at += bytes[at..].iter().take_while(|byte| matches!(byte, b'<' | b'>')).count();
    }
    let letter = rest[at..].chars().next().ok_or("could not parse the log_format configuration: it ends in %")?;
    at += letter.len_utf8();
    if letter == '%' {
        compiler.text(b'%');
        return Ok(at);
    }
    let (name, kind) = match argument {
        Some(argument) => apache_with_argument(letter, argument)?,
        None => {
            let (name, kind) = apache_variable(letter).ok_or(format!("unknown variable: {letter}"))?;
            (name.to_string(), kind)
        }
    };
    compiler.variable(&name, kind);
    Ok(at)
}

fn apache_variable(letter: char) -> Option<(&'static str, Kind)> {
    Some(match letter {
        'a' | 'h' => ("remote_addr", Kind::Host),
        'A' => ("server_addr", Kind::Host),
        'b' | 'B' => ("body_bytes_sent", Kind::Integer("B")),
        'D' => ("request_time", Kind::Integer("us")),
        'T' => ("request_time", Kind::Integer("s")),
        'I' => ("request_length", Kind::Integer("B")),
        'O' => ("response_length", Kind::Integer("B")),
        'S' => ("total_length", Kind::Integer("B")),
        's' => ("status", Kind::Integer("")),
        'k' => ("connection_requests", Kind::Integer("")),
        'p' => ("server_port", Kind::Integer("")),
        'P' => ("pid", Kind::Integer("")),
        't' => ("time", Kind::Clf { bracketed: true }),
        'v' | 'V' => ("server_name", Kind::Host),
        'H' => ("server_protocol", Kind::Protocol),
        'm' => ("request_method", TEXT),
        'X' => ("connection_status", Kind::Word(&["X", "+", "-"])),
        'l' | 'u' => ("remote_user", TEXT),
        'r' => ("request", TEXT),
        'q' => ("query_string", TEXT),
        'U' => ("uri", TEXT),
        'f' => ("request_filename", TEXT),
        'L' => ("request_log_id", TEXT),
        'R' => ("request_handler", TEXT),
        _ => return None,
    })
}

fn apache_with_argument(letter: char, argument: &str) -> Result<(String, Kind), String> {
    let lower = argument.to_ascii_lowercase().replace('-', "_");
    Ok(match letter {
        'i' => (format!("http_{lower}"), TEXT),
        'o' => (format!("sent_http_{lower}"), TEXT),
        'C' => (format!("cookie_{argument}"), TEXT),
        'e' => (format!("env_{argument}"), TEXT),
        'n' => (format!("module_{argument}"), TEXT),
        'a' => ("remote_addr".into(), Kind::Host),
        'p' => match argument {
            "canonical" | "local" => ("server_port".into(), Kind::Integer("")),
            "remote" => ("remote_port".into(), Kind::Integer("")),
            _ => return Err(format!("unknown port format: {argument}")),
        },
        'P' => match argument {
            "pid" | "tid" => (argument.into(), Kind::Integer("")),
            "hextid" => ("tid".into(), Kind::Hexadecimal),
            _ => return Err(format!("unknown pid format: {argument}")),
        },
        'T' => match argument {
            "s" => ("request_time".into(), Kind::Integer("s")),
            "ms" => ("request_time".into(), Kind::Integer("ms")),
            "us" => ("request_time".into(), Kind::Integer("us")),
            _ => return Err(format!("unknown time unit: {argument}")),
        },
        't' => {
            let format = argument.strip_prefix("begin:").or(argument.strip_prefix("end:")).unwrap_or(argument);
            match format {
                "sec" => ("time".into(), Kind::Epoch { per_second: 1 }),
                "msec" => ("time".into(), Kind::Epoch { per_second: 1_000 }),
                "usec" => ("time".into(), Kind::Epoch { per_second: 1_000_000 }),
                "msec_frac" => ("sec_frac".into(), Kind::SubSecond(1_000)),
                "usec_frac" => ("sec_frac".into(), Kind::SubSecond(1_000_000)),
                _ => {
                    date_time_format(format)?;
                    ("time".into(), Kind::Strftime(format.to_string()))
                }
            }
        }
        _ => return Err(format!("unknown variable: {letter}")),
    })
}

/// Refuses a format that could never be read.
fn date_time_format(format: &str) -> Result<(), String> {
    let sample = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    let broken = || format!("could not parse the strftime format: {format}");
    let text = jiff::fmt::strtime::format(format, &sample).map_err(|_| broken())?;
    if format.is_empty() || strftime(&text, format).is_none() {
        return Err(broken());
    }
    Ok(())
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
                Captured::Many(many) => match &**many {
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
            ("$request_time $upstream_cache_status", "3 HIT", "request_time=3s upstream_cache_status=HIT"),
            (
                "$upstream_addr $status",
                "10.0.0.1:80, 10.0.0.2:80 : unix:/x 200",
                "upstream_addr=10.0.0.1:80;10.0.0.2:80;unix:/x status=200",
            ),
            (
                "$upstream_response_time|$upstream_status",
                "0.010, -|502, 200",
                "upstream_response_time=[0.01, 0.0]s upstream_status=[502.0, 200.0]",
            ),
            ("${host}:$server_port", "example.com:443", "host=example.com server_port=443"),
            ("$scheme$https;", "https;", "scheme=https https="),
            ("$time_iso8601 $pipe", "2014-02-10T12:58:59-08:00 .", "time=1392065939000000000 pipe=."),
        ];
        for (format, line, expected) in cases {
            let found = read(&nginx(format).unwrap(), line).map(|found| found.join(" ").replace("hostname ", " "));
            assert_eq!(found.as_deref().map(|f| f.to_string()), Some(expected.to_string()), "{format}");
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
            (r#"%{%d/%b/%Y %T}t %{msec_frac}t"#, "10/Feb/2014 12:58:59 250", "time=1392037139000000000 sec_frac=0.25"),
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
            format in "(\\$(remote_addr|status|time_local|request|msec|upstream_addr|x)|[ \"\\[\\]|-]|%[a-zA-Z>]|%\\{[a-z%H]{0,4}\\}[a-zA-Z]|\\\\.){0,8}",
            line in "([0-9]{1,3}\\.|[ \"\\\\:,a-z-]|10/Feb/2014:08:46:41 -0800|\\PC){0,20}",
        ) {
            let mut captures = Captures::default();
            for grammar in [nginx(&format), apache(&format)].into_iter().flatten() {
                grammar.matches(line.as_bytes(), &mut captures);
            }
        }
    }
}
