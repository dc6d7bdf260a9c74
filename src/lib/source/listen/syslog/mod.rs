//! Syslog messages: RFC 5424, and RFC 3164 as senders really write it.
//!
//! Nothing is refused. What was read before a part that is wrong is kept, the rest is the payload, and a field
//! `syslog_error` says which part it was.

mod time;

use jiff::tz::TimeZone;

use super::origin::Origin;
use crate::grammar::date_time::{self, SECOND};
use crate::message::{MessageBuilder, TextHeader, ValueType, uuid};
use crate::stream::put_frame;

/// Parameters of an element that may stand between two of the same name to be values of one field.
const NEAR: usize = 64;
/// What a PRI that is missing means: user.notice (RFC 3164, 4.3.3).
const NOTICE: u8 = 13;

/// Settings of the messages that are made.
pub struct SyslogOptions {
    /// Of times that don't say it.
    pub zone: TimeZone,
    /// Keep the original text in a field `raw`.
    pub raw: bool,
    /// A field `programname` beside `app`, as Heka's rsyslog decoder calls it.
    pub rsyslog_names: bool,
}

/// Makes Heka messages of syslog messages.
pub struct Syslog {
    options: SyslogOptions,
    /// When the messages at hand were received, ns, and the year that was in the zone.
    received: i64,
    year: i64,
    year_ends: i64,
    offset: Option<(i64, i64)>,
    message: Vec<u8>,
    parameters: Vec<Parameter>,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Of structured data, by places in the text.
#[derive(Clone, Copy)]
struct Parameter {
    /// Which element it is of.
    element: usize,
    id: (usize, usize),
    /// Nothing for an element without parameters.
    name: (usize, usize),
    value: (usize, usize),
    escaped: bool,
    done: bool,
}

/// What was found in a message.
#[derive(Default)]
struct Parsed<'a> {
    time: Option<i64>,
    host: Option<&'a [u8]>,
    app: Option<&'a [u8]>,
    procid: Option<&'a [u8]>,
    msgid: Option<&'a [u8]>,
    sequence: Option<i64>,
    /// What the places of parameters are in.
    data: &'a [u8],
    payload: &'a [u8],
}

impl Syslog {
    pub fn new(options: SyslogOptions) -> Syslog {
        Syslog {
            options,
            received: 0,
            year: 1970,
            year_ends: i64::MIN,
            offset: None,
            message: Vec::new(),
            parameters: Vec::new(),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// The messages that follow were received at this time, ns.
    pub fn at(&mut self, received: i64) {
        self.received = received;
        if received >= self.year_ends {
            let now = jiff::Timestamp::from_nanosecond(received as i128).unwrap_or_default();
            self.year = now.to_zoned(self.options.zone.clone()).year() as i64;
            // Asked again every minute: a year's end is missed by a minute at most, and the two days ahead cover that.
            self.year_ends = received.saturating_add(60 * SECOND);
        }
    }

    /// Appends a frame of a message that isn't empty. Answers whether it could be parsed.
    pub fn put(&mut self, text: &[u8], truncated: bool, origin: &Origin, frames: &mut Vec<u8>) -> bool {
        self.parameters.clear();
        let start = text.iter().take_while(|&&byte| byte == b' ').count();
        let (pri, (parsed, error)) = match pri(&text[start..]) {
            Pri::Good(pri, len) => (pri, self.parse(text, start + len, true)),
            Pri::Odd(pri, len) => {
                let (parsed, _) = self.parse(text, start + len, true);
                (pri, (parsed, Some("pri")))
            }
            Pri::Missing => (NOTICE, self.parse(text, start, false)),
            Pri::Bad => (NOTICE, (Parsed { payload: text, ..Parsed::default() }, Some("pri"))),
        };
        self.write(text, truncated, pri, &parsed, error, origin);
        put_frame(frames, None, &self.message);
        error.is_none()
    }

    /// What follows the PRI, which ends at a place; and which part of it is wrong.
    fn parse<'a>(&mut self, text: &'a [u8], at: usize, has_pri: bool) -> (Parsed<'a>, Option<&'static str>) {
        match text[at..].strip_prefix(b"1 ") {
            Some(rest) if has_pri => self.rfc5424(text, rest),
            _ => self.rfc3164(&text[at..], has_pri),
        }
    }

    fn write(
        &mut self,
        text: &[u8],
        truncated: bool,
        pri: u8,
        parsed: &Parsed<'_>,
        error: Option<&str>,
        origin: &Origin,
    ) {
        self.message.clear();
        let time = parsed.time.unwrap_or(self.received);
        let mut builder = MessageBuilder::new(&mut self.message, &uuid::new_v4(), time);
        builder.text(TextHeader::Type, b"syslog").text(TextHeader::Logger, parsed.app.unwrap_or(b"syslog"));
        builder.severity((pri & 7) as i32).text(TextHeader::Payload, parsed.payload);
        builder.text(TextHeader::EnvVersion, b"1");
        if let Some(pid) = parsed.procid.and_then(pid) {
            builder.pid(pid);
        }
        builder.text(TextHeader::Hostname, parsed.host.unwrap_or(origin.host()));
        builder.integer_field(b"syslogfacility", (pri >> 3) as i64, b"");
        let app = parsed.app.filter(|_| self.options.rsyslog_names);
        let names: [(&[u8], Option<&[u8]>); 4] =
            [(b"app", parsed.app), (b"programname", app), (b"procid", parsed.procid), (b"msgid", parsed.msgid)];
        for (name, value) in names {
            if let Some(value) = value {
                builder.string_field(name, value, b"");
            }
        }
        if let Some(sequence) = parsed.sequence {
            builder.integer_field(b"sequence", sequence, b"");
        }
        for place in 0..self.parameters.len() {
            put_parameter(&mut builder, &mut self.parameters[place..], parsed.data, &mut self.name, &mut self.value);
        }
        if self.options.raw {
            put_text(&mut builder, b"raw", text);
        }
        if truncated {
            builder.bool_field(b"truncated", true, b"");
        }
        if let Some(error) = error {
            builder.string_field(b"syslog_error", error.as_bytes(), b"");
        }
        self.message.extend_from_slice(origin.fields());
    }

    /// What follows the version (RFC 5424, 6). `text` is all of the message.
    fn rfc5424<'a>(&mut self, text: &'a [u8], after: &'a [u8]) -> (Parsed<'a>, Option<&'static str>) {
        let mut rest = after.trim_ascii_start();
        let mut parsed = Parsed { payload: text, ..Parsed::default() };
        let mut error = None;
        let Some(time) = token(&mut rest) else { return (parsed, Some("header")) };
        if time != b"-" {
            match self.strict_time(time) {
                None => return (parsed, Some("timestamp")),
                // Cisco Meraki's: version, seconds, host, kind of event, and its text.
                Some((time, true)) => {
                    parsed.time = time;
                    (parsed.host, parsed.app) = (token(&mut rest), token(&mut rest));
                    parsed.payload = rest;
                    return (parsed, None);
                }
                Some((time, false)) => {
                    parsed.time = time;
                    error = time.is_none().then_some("timestamp");
                }
            }
        }
        let mut ends = false;
        for part in [&mut parsed.host, &mut parsed.app, &mut parsed.procid, &mut parsed.msgid] {
            let value = token(&mut rest);
            ends |= value.is_none();
            let value = value.unwrap_or_else(|| std::mem::take(&mut rest));
            *part = Some(value).filter(|value| *value != b"-" && !value.is_empty());
        }
        if ends {
            parsed.payload = b"";
            return (parsed, Some("header"));
        }
        let Some(len) = self.structured_data(rest) else {
            self.parameters.clear();
            parsed.payload = rest;
            return (parsed, Some(if rest.is_empty() { "header" } else { "structured-data" }));
        };
        parsed.data = rest;
        parsed.payload = match rest.get(len) {
            None => b"",
            Some(b' ') => {
                let message = &rest[len + 1..];
                // The mark of UTF-8 in front of it is none of the message (RFC 5424, 6.4).
                message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message)
            }
            Some(_) => {
                error = Some("structured-data");
                &rest[len..]
            }
        };
        (parsed, error)
    }

    /// Notes the parameters of structured data; answers how long it is, or nothing when it is none.
    fn structured_data(&mut self, text: &[u8]) -> Option<usize> {
        if text.first() == Some(&b'-') {
            return Some(1);
        }
        let until = |at: usize, stop: &[u8]| {
            let len = text[at..].iter().position(|byte| stop.contains(byte))?;
            Some(at + len).filter(|&end| end > at)
        };
        let mut at = 0;
        let mut element = 0;
        while text.get(at) == Some(&b'[') {
            let id = (at + 1, until(at + 1, b" ]=\"")?);
            at = id.1;
            let nothing = Parameter { element, id, name: (0, 0), value: (0, 0), escaped: false, done: false };
            if text[at] == b']' {
                self.parameters.push(nothing);
            }
            while text[at] == b' ' {
                let blanks = text[at..].iter().take_while(|&&byte| byte == b' ').count();
                at += blanks;
                // A blank before the end of the element.
                if text.get(at) == Some(&b']') {
                    break;
                }
                let name = (at, until(at, b" ]=\"")?);
                if text.get(name.1..name.1 + 2) != Some(b"=\"") {
                    return None;
                }
                let value = name.1 + 2;
                let mut end = value;
                let mut escaped = false;
                loop {
                    end += memchr::memchr2(b'"', b'\\', text.get(end..)?)?;
                    if text[end] == b'"' {
                        break;
                    }
                    escaped = true;
                    // A quoted character, or a backslash and what happens to follow it.
                    end += 2;
                }
                self.parameters.push(Parameter { name, value: (value, end), escaped, ..nothing });
                at = end + 1;
                text.get(at)?;
            }
            if text[at] != b']' {
                return None;
            }
            at += 1;
            element += 1;
        }
        (element > 0).then_some(at)
    }

    /// What follows the PRI, or a line without one.
    fn rfc3164<'a>(&mut self, text: &'a [u8], has_pri: bool) -> (Parsed<'a>, Option<&'static str>) {
        let mut rest = text.trim_ascii_start();
        let mut parsed = Parsed { payload: text, ..Parsed::default() };
        let mut error = None;
        let mut goes_on = |after: &&[u8]| {
            after.first() == Some(&b'%') || self.time(unset(after)).is_some() || self.named_before_time(after).is_some()
        };
        // A counter of messages may stand before the sequence number.
        let numbered = sequence(rest).and_then(|first| {
            let second = sequence(first.1).filter(|(_, after)| goes_on(after));
            second.or(Some(first).filter(|(_, after)| goes_on(after)))
        });
        if let Some((number, after)) = numbered {
            (parsed.sequence, rest) = (Some(number), after);
        }
        let mut slashed = false;
        // Devices of Cisco's may name themselves before the time, too.
        let named = self.named_before_time(rest).filter(|_| has_pri || parsed.sequence.is_some());
        if let Some((host, after)) = named {
            (parsed.host, rest) = (Some(host), after);
        }
        match self.time(unset(rest)) {
            Some(time) => {
                (parsed.time, slashed) = (time.ns, time.slashed);
                error = time.ns.is_none().then_some("timestamp");
                rest = unset(rest)[time.len..].trim_ascii_start();
                if parsed.host.is_none()
                    && let Some((host, after)) = self.host(rest)
                {
                    (parsed.host, rest) = (Some(host), after.trim_ascii_start());
                    // `host : %TAG: …`
                    if let Some(after) = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start)
                        && after.first() == Some(&b'%')
                    {
                        rest = after;
                    }
                }
                // With a domain, Cisco's times come after the name.
                if let Some(time) = self.time(rest) {
                    (parsed.time, rest) = (time.ns, rest[time.len..].trim_ascii_start());
                }
            }
            // A line of free text is not searched for a tag.
            None if !has_pri && parsed.sequence.is_none() => return (parsed, None),
            None => {}
        }
        // The mark may stand there, too.
        if rest.starts_with(b"*%") {
            rest = &rest[1..];
        }
        if let Some(tag) = tag(rest) {
            (parsed.app, parsed.procid, rest) = (Some(tag.app), tag.procid, tag.rest);
        } else if slashed
            && let mut after = rest
            && let Some(app) = token(&mut after)
            && let Some(text) = after.strip_prefix(b": ")
        {
            (parsed.app, rest) = (Some(app), text);
        }
        parsed.payload = rest;
        (parsed, error)
    }

    /// `name: Jan 10 10:00:00…`: the name, and what follows it.
    fn named_before_time<'a>(&mut self, text: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let mut rest = text;
        let name = token(&mut rest)?.strip_suffix(b":").filter(|name| !name.is_empty())?;
        self.time(unset(rest)).is_some().then_some((name, rest))
    }

    /// The host that a text begins with, and what follows it.
    fn host<'a>(&mut self, text: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let mut rest = text;
        let host = token(&mut rest).filter(|host| !b"%{\"<[(".contains(&host[0]))?;
        let is_address = std::str::from_utf8(host).is_ok_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        let Some(name) = host.strip_suffix(b":").filter(|_| !is_address) else { return Some((host, rest)) };
        // A tag ends so, too: a host is followed by a time or a tag of Cisco's.
        (!name.is_empty() && (rest.first() == Some(&b'%') || self.time(rest).is_some())).then_some((name, rest))
    }
}

enum Pri {
    Good(u8, usize),
    /// With leading zeros, or over 191.
    Odd(u8, usize),
    Missing,
    Bad,
}

/// `<0>` to `<191>`, without leading zeros.
fn pri(text: &[u8]) -> Pri {
    if text.first() != Some(&b'<') {
        return Pri::Missing;
    }
    let len = text[1..].iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let digits = &text[1..1 + len];
    if !(1..=3).contains(&len) || text.get(1 + len) != Some(&b'>') {
        return Pri::Bad;
    }
    match date_time::digits(digits, len).filter(|&value| value < 192) {
        Some(value) if len == 1 || digits[0] != b'0' => Pri::Good(value as u8, len + 2),
        value => Pri::Odd(value.map_or(NOTICE, |value| value as u8), len + 2),
    }
}

/// A time without the mark of a clock that isn't set, or not synchronised.
fn unset(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"*").or(text.strip_prefix(b".")).unwrap_or(text)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Takes what stands before the next blank, and the blank.
fn token<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let at = memchr::memchr2(b' ', b'\t', rest).filter(|&at| at > 0)?;
    let (token, after) = rest.split_at(at);
    *rest = &after[1..];
    Some(token)
}

fn blanks(text: &[u8], at: usize) -> Option<usize> {
    let count = text.get(at..)?.iter().take_while(|&&byte| is_blank(byte)).count();
    (count > 0).then_some(count)
}

/// `91: `, or `91 : `: a sequence number as Cisco's devices write them, and what follows.
fn sequence(text: &[u8]) -> Option<(i64, &[u8])> {
    // As many digits as an integer holds for sure.
    let len = text.iter().take(18).take_while(|byte| byte.is_ascii_digit()).count();
    let number = date_time::digits(text, len).filter(|_| len > 0)?;
    let rest = &text[len..];
    let rest = rest.strip_prefix(b": ").or(rest.strip_prefix(b" : "))?;
    Some((number, rest.trim_ascii_start()))
}

struct Tag<'a> {
    app: &'a [u8],
    procid: Option<&'a [u8]>,
    /// What follows it.
    rest: &'a [u8],
}

/// `app[procid]: `: the tag that a text begins with.
fn tag(text: &[u8]) -> Option<Tag<'_>> {
    let len = text.iter().take(49).take_while(|byte| !b" \t:[]".contains(byte)).count();
    if len == 0 || len > 48 || b"{\"<".contains(&text[0]) {
        return None;
    }
    let (app, mut rest) = text.split_at(len);
    let mut procid = None;
    if let Some(inside) = rest.strip_prefix(b"[") {
        let end = inside.iter().take(129).position(|&byte| byte == b']')?;
        (procid, rest) = (Some(&inside[..end]).filter(|id| !id.is_empty()), &inside[end + 1..]);
        // macOS: `launchd[1] (com.example.job): …`
        if rest.starts_with(b" (") && memchr::memmem::find(rest, b"): ").is_some() {
            return Some(Tag { app, procid, rest: &rest[1..] });
        }
    }
    let rest = rest.strip_prefix(b":")?;
    match rest.split_first() {
        None => Some(Tag { app, procid, rest }),
        Some((b' ' | b'\t', rest)) => Some(Tag { app, procid, rest }),
        Some(_) => None,
    }
}

/// A process id as Heka's header takes it.
fn pid(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|&pid: &i32| pid >= 0 && text[0] != b'+')
}

/// Text as a string, bytes that are none as bytes.
pub fn put_text(builder: &mut MessageBuilder<'_>, name: &[u8], text: &[u8]) {
    match std::str::from_utf8(text) {
        Ok(_) => builder.string_field(name, text, b""),
        Err(_) => builder.field(name, ValueType::Bytes, b"", |values| values.bytes(text)),
    };
}

/// The first of the parameters as a field, with the values of others of its name.
fn put_parameter(
    builder: &mut MessageBuilder<'_>,
    parameters: &mut [Parameter],
    data: &[u8],
    name: &mut Vec<u8>,
    value: &mut Vec<u8>,
) {
    let Some((first, others)) = parameters.split_first_mut().filter(|(first, _)| !first.done) else { return };
    let of = |place: (usize, usize)| data.get(place.0..place.1).unwrap_or_default();
    name.clear();
    name.extend_from_slice(b"sd.");
    name.extend_from_slice(of(first.id));
    let own = of(first.name);
    if own.is_empty() {
        builder.string_field(name, b"", b"");
        return;
    }
    name.push(b'.');
    name.extend_from_slice(own);
    builder.field(name, ValueType::String, b"", |values| {
        let mut put = |parameter: &Parameter| {
            let text = of(parameter.value);
            if !parameter.escaped {
                return values.string(text);
            }
            value.clear();
            unescape(text, value);
            values.string(value);
        };
        put(first);
        for other in others.iter_mut().take(NEAR).take_while(|other| other.element == first.element) {
            if !other.done && of(other.name) == own {
                put(other);
                other.done = true;
            }
        }
    });
}

/// A backslash quotes `"`, `\` and `]`; before anything else it stands for itself (RFC 5424, 6.3.3).
fn unescape(text: &[u8], value: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        value.extend_from_slice(&rest[..at]);
        let quoted = rest.get(at + 1).filter(|byte| b"\"\\]".contains(byte));
        value.push(*quoted.unwrap_or(&b'\\'));
        rest = &rest[at + 1 + quoted.is_some() as usize..];
    }
    value.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_a_message_with_all_of_its_end(
            parts in proptest::collection::vec(prop_oneof![
                Just("<13>".to_string()), Just("<030>1 ".into()), Just("1 ".into()), Just("2018-02-30T21:07:50Z ".into()),
                Just("2016-12-31 23:59:60".into()), Just("1563249630.77 ".into()), Just("05/12/2023:1:00:00".into()),
                Just("Feb 29 2:14:15".into()), Just("Mon Jan  1 00:00:00 2024".into()), Just("2024 Oct 11 ".into()),
                Just(" CEST".into()), Just(" +0530".into()), Just(" UTC".into()), Just(" h".into()), Just(" a[1]: ".into()),
                Just(" : %A-1-B: ".into()), Just("12: ".into()), Just("[a b=\"c\"]".into()), Just("-".into()), Just("\t".into()),
                "[ -~]{0,6}", "\\PC{0,3}",
            ], 0..8),
            cut in 0usize..12,
        ) {
            let text = parts.concat();
            let mut text = text.as_bytes();
            text = &text[..text.len() - cut.min(text.len())];
            let zone = TimeZone::fixed(jiff::tz::offset(2));
            let mut syslog = Syslog::new(SyslogOptions { zone, raw: false, rsyslog_names: false });
            syslog.at(1_700_000_000_000_000_000);
            let (parsed, _) = syslog.parse(text, 0, true);
            prop_assert!(text.ends_with(parsed.payload));
        }
    }
}
