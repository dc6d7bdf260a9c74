//! The values of variables: how each kind is read.

use super::super::date_time::{SECOND, clf, digits, rfc3339};
use super::super::{Captured, Captures, Many, Range, ip_address};
use super::is_space;

#[derive(Debug, Clone)]
pub enum Kind {
    /// Up to what stands behind it.
    Text,
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
    /// A zone that stands by itself, `+hhmm`.
    Zone,
    /// Thousandths or millionths, as a fraction of a second.
    SubSecond(u32),
    /// Milliseconds or microseconds since 1970.
    Epoch {
        per_second: i64,
    },
}

#[derive(Debug, Clone, Copy)]
pub enum Upstream {
    Address,
    Status,
    Time,
    Length,
}

impl Kind {
    /// Reads a value at `at`, puts its capture, and answers where it ends. What is to be added to the time, ns, is added to
    /// `adjust`.
    #[inline]
    pub fn read(
        &self,
        line: &[u8],
        at: usize,
        name: usize,
        captures: &mut Captures,
        adjust: &mut i64,
    ) -> Option<usize> {
        let rest = &line[at..];
        let number = |captures: &mut Captures, value: f64, representation| {
            captures.put(name, Captured::Number(value), representation);
        };
        let time = |captures: &mut Captures, ns| captures.put(name, Captured::Time(ns), "");
        let text = |captures: &mut Captures, len: usize, representation| {
            captures.put(name, Captured::Text(Range::new(at, at + len)), representation);
            Some(at + len)
        };
        match self {
            // Only what stands behind it says where it ends.
            Kind::Text => None,
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
                time(captures, epoch_ns(&rest[..len])?);
                Some(at + len)
            }
            Kind::Epoch { per_second } => {
                let len = digit_count(rest);
                let count: i64 = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
                time(captures, count.checked_mul(SECOND / per_second)?);
                Some(at + len)
            }
            Kind::SubSecond(divisor) => {
                let (value, len) = integer(rest)?;
                number(captures, value / *divisor as f64, "");
                *adjust += value as i64 * (SECOND / *divisor as i64);
                Some(at + len)
            }
            Kind::Clf { bracketed } => {
                let skip = *bracketed as usize;
                if *bracketed && (rest.first() != Some(&b'[') || rest.get(27) != Some(&b']')) {
                    return None;
                }
                let ns = clf(rest.get(skip..)?, &mut captures.clock)?;
                time(captures, ns);
                Some(at + 26 + 2 * skip)
            }
            Kind::Rfc3339 => {
                let (ns, len) = rfc3339(rest)?;
                time(captures, ns);
                Some(at + len)
            }
            Kind::Strftime(format) => {
                // The value ends where the shortest prefix that fits the format does; formats are fixed in width
                // but for names, so few prefixes are tried.
                let text_of = |len: usize| std::str::from_utf8(rest.get(..len)?).ok();
                let longest = rest.len().min(80);
                let (len, ns) = (1..=longest).rev().find_map(|len| Some((len, strftime(text_of(len)?, format)?)))?;
                time(captures, ns);
                Some(at + len)
            }
            Kind::Zone => {
                let [sign @ (b'+' | b'-'), digits @ ..] = rest.get(..5)? else { return None };
                let part = |part: &[u8]| integer(part).filter(|(_, len)| *len == 2).map(|(value, _)| value as i64);
                let seconds = part(&digits[..2])? * 3600 + part(&digits[2..])? * 60;
                *adjust -= if *sign == b'-' { -seconds } else { seconds } * SECOND;
                Some(at + 5)
            }
            Kind::Host => {
                // A client of a Unix socket.
                if rest.starts_with(b"unix:") {
                    return text(captures, rest.iter().position(|&byte| is_space(byte)).unwrap_or(rest.len()), "");
                }
                let (len, representation) = ip_address::host(rest)?;
                // The zone of an address of one link (RFC 4007).
                let zone = match rest.get(len) {
                    Some(b'%') if representation == "ipv6" => {
                        let of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
                        1 + rest[len + 1..].iter().take_while(of_name).count()
                    }
                    _ => 0,
                };
                text(captures, len + zone, representation)
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

impl Kind {
    /// For errors.
    pub fn describe(&self) -> &'static str {
        match self {
            Kind::Text | Kind::FourBytes | Kind::Word(_) => "a text",
            Kind::Integer(_) | Kind::Seconds | Kind::SubSecond(_) => "a number",
            Kind::ThreeDigits => "a number of three digits",
            Kind::EpochSeconds | Kind::Epoch { .. } => "a time since 1970",
            Kind::Clf { .. } => "a time such as 10/Oct/2000:13:55:36 -0700",
            Kind::Rfc3339 => "a time such as 2000-10-10T13:55:36-07:00",
            Kind::Strftime(_) => "a time",
            Kind::Zone => "a zone such as +0200",
            Kind::HttpDate => "a time such as Sun, 09 Feb 2014 16:46:36 GMT",
            Kind::Host => "an address or a host's name",
            Kind::Protocol => "HTTP/ and a version",
            Kind::DottedVersion => "a version",
            Kind::Upstream(_) => "a list of values",
            Kind::Hexadecimal => "a hexadecimal number",
        }
    }
}

impl Upstream {
    fn read(self, line: &[u8], at: usize, name: usize, captures: &mut Captures) -> Option<usize> {
        let rest = &line[at..];
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        let mut len = 0;
        loop {
            let item = &rest[len..];
            let used = match self {
                Upstream::Address => {
                    let used = item.iter().position(|byte| matches!(byte, b',' | b' ' | b'"')).unwrap_or(item.len());
                    texts.push(Range::new(at + len, at + len + used));
                    used
                }
                // Nothing was measured there.
                _ if item.first() == Some(&b'-') => 1,
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
        if texts.is_empty() && numbers.is_empty() {
            return Some(at + len);
        }
        let value = if texts.is_empty() { Many::Numbers(numbers) } else { Many::Texts(texts) };
        captures.put(name, Captured::Many(Box::new(value)), representation);
        Some(at + len)
    }
}

fn dash(rest: &[u8]) -> Option<usize> {
    (rest.first() == Some(&b'-')).then_some(1)
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

pub fn strftime(text: &str, format: &str) -> Option<i64> {
    let parsed = jiff::fmt::strtime::parse(format, text).ok()?;
    let time = match parsed.offset() {
        Some(_) => parsed.to_timestamp().ok()?,
        None => {
            let date = parsed.to_date().ok()?;
            let time = parsed.to_time().unwrap_or(jiff::civil::Time::midnight());
            date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
        }
    };
    i64::try_from(time.as_nanosecond()).ok()
}
