//! The times of syslog's senders.

use jiff::tz::TimeZone;

use super::{Syslog, blanks, is_blank, tag, token};
use crate::grammar::date_time::{self, SECOND};

/// Offsets, hours, of zones whose names senders write; names that mean several are left out, but for those of the United
/// States (RFC 5322, 4.3).
const ZONES: [(&[u8], i64); 18] = [
    (b"WET", 0),
    (b"WEST", 1),
    (b"CET", 1),
    (b"CEST", 2),
    (b"EET", 2),
    (b"EEST", 3),
    (b"MSK", 3),
    (b"JST", 9),
    (b"AEST", 10),
    (b"AEDT", 11),
    (b"EST", -5),
    (b"EDT", -4),
    (b"CST", -6),
    (b"CDT", -5),
    (b"MST", -7),
    (b"MDT", -6),
    (b"PST", -8),
    (b"PDT", -7),
];

/// A time that a text begins with.
pub struct Time {
    /// ns; nothing where there is no such date.
    pub ns: Option<i64>,
    pub len: usize,
    /// `05/12/2023:10:00:00`, as NetScaler writes it.
    pub slashed: bool,
}

/// A time of a clock, in a year or in the one that fits best.
struct Clock {
    year: Option<i64>,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    /// Of a second, ns.
    part: i64,
    /// Seconds east of UTC, where it is said.
    offset: Option<i64>,
}

impl Syslog {
    /// The time that a text begins with; a blank or nothing follows.
    pub fn time(&mut self, text: &[u8]) -> Option<Time> {
        let mut time = match text.first()? {
            b'0'..=b'9' => self.numeric_time(text)?,
            _ => self.named_time(text, None, 0)?,
        };
        time.len += (text.get(time.len) == Some(&b':')) as usize;
        text.get(time.len).is_none_or(|byte| is_blank(*byte)).then_some(time)
    }

    fn numeric_time(&mut self, text: &[u8]) -> Option<Time> {
        if let Some(year) = four_digits(text, 0)
            && text.get(4) == Some(&b' ')
        {
            return self.named_time(text, Some(year), 5);
        }
        if text.get(2) == Some(&b'/') && text.get(5) == Some(&b'/') && text.get(10) == Some(&b':') {
            let (month, day, year) =
                (date_time::digits(text, 2)?, date_time::digits(&text[3..], 2)?, date_time::digits(&text[6..], 4)?);
            let ((hour, minute, second), len) = clock(&text[11..])?;
            let at = 11 + len;
            let (offset, len) = zone(&text[at..]).unwrap_or((None, 0));
            let clock = Clock { year: Some(year), month, day, hour, minute, second, part: 0, offset };
            return Some(Time { ns: self.resolve(&clock), len: at + len, slashed: true });
        }
        let (ns, offset, len) = iso(text)?;
        let (offset, width) = match offset {
            Some(_) => (offset, 0),
            None => zone(&text[len..]).unwrap_or((None, 0)),
        };
        let said = width > 0 && offset.is_some();
        let ns = ns.map(|ns| match offset {
            Some(offset) if said => ns.saturating_sub(offset * SECOND),
            Some(_) => ns,
            None => self.in_zone(ns),
        });
        Some(Time { ns, len: len + width, slashed: false })
    }

    /// What RFC 5424 takes, or a count of seconds since 1970: the time, and whether it was such a count.
    pub fn strict_time(&mut self, text: &[u8]) -> Option<(Option<i64>, bool)> {
        if let Some(ns) =
            std::str::from_utf8(text).ok().filter(|text| text.len() >= 9).and_then(date_time::unix_seconds)
        {
            return Some((Some(ns), true));
        }
        let (ns, offset, _) = iso(text).filter(|&(.., len)| len == text.len())?;
        let ns = ns.map(|ns| if offset.is_some() { ns } else { self.in_zone(ns) });
        Some((ns, false))
    }

    /// `Oct 11 22:14:15`, with a weekday or a year before it, a year before or after the time, a fraction, and a zone.
    fn named_time(&mut self, text: &[u8], year: Option<i64>, from: usize) -> Option<Time> {
        const MONTHS: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";
        const DAYS: &[u8; 21] = b"montuewedthufrisatsun";
        let place = |names: &[u8], at: usize| {
            let name = text.get(at..at + 3)?.to_ascii_lowercase();
            names.chunks(3).position(|known| known == name)
        };
        let mut at = from;
        if place(DAYS, at).is_some() {
            at += 3 + blanks(text, at + 3)?;
        }
        let month = place(MONTHS, at)? as i64 + 1;
        at += 3 + blanks(text, at + 3)?;
        let width = text[at..].iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        let day = date_time::digits(&text[at..], width).filter(|_| width == 1 || width == 2)?;
        at += width;
        at += blanks(text, at)?;
        let mut year = year;
        if year.is_none() {
            year = four_digits(text, at);
            at += if year.is_some() { 4 + blanks(text, at + 4)? } else { 0 };
        }
        let ((hour, minute, second), len) = clock(&text[at..])?;
        at += len;
        let mut part = 0;
        if matches!(text.get(at), Some(b'.' | b',')) {
            let (ns, len) = date_time::part_of_a_second(&text[at + 1..])?;
            (part, at) = (ns, at + len);
        }
        if year.is_none() && text.get(at) == Some(&b' ') {
            year = four_digits(text, at + 1);
            at += if year.is_some() { 5 } else { 0 };
        }
        let (offset, len) = zone(&text[at..]).unwrap_or((None, 0));
        at += len;
        // As date(1) has it: `05:34:00 CST 1987`.
        if year.is_none() && len > 0 && text.get(at) == Some(&b' ') {
            year = four_digits(text, at + 1);
            at += if year.is_some() { 5 } else { 0 };
        }
        let clock = Clock { year, month, day, hour, minute, second, part, offset };
        Some(Time { ns: self.resolve(&clock), len: at, slashed: false })
    }

    fn resolve(&mut self, clock: &Clock) -> Option<i64> {
        // A leap second is the one after it.
        let leap = (clock.second == 60) as i64;
        let (received, this) = (self.received, self.year);
        let mut in_year = |year: i64| {
            let days = date_time::days(year, clock.month, clock.day)?;
            let seconds = date_time::seconds(days, clock.hour, clock.minute, clock.second - leap)? + leap;
            let time = date_time::nanoseconds(seconds, clock.part)?;
            Some(match clock.offset {
                Some(offset) => time.saturating_sub(offset * SECOND),
                None => self.in_zone(time),
            })
        };
        match clock.year {
            Some(year) => in_year(year),
            None => date_time::in_likely_year(received, this, in_year),
        }
    }

    /// A time of the zone's clocks as one of UTC.
    fn in_zone(&mut self, time: i64) -> i64 {
        if self.options.zone == TimeZone::UTC {
            return time;
        }
        // Clocks are changed at quarters of an hour: asking the zone for each message costs more than all the rest.
        let quarter = time.div_euclid(900 * SECOND);
        let offset = match self.offset {
            Some((known, offset)) if known == quarter => offset,
            _ => {
                let civil = jiff::Timestamp::from_nanosecond(time as i128).unwrap_or_default();
                let civil = civil.to_zoned(TimeZone::UTC).datetime();
                let zoned = self.options.zone.to_zoned(civil).map_or(0, |zoned| zoned.offset().seconds() as i64);
                self.offset = Some((quarter, zoned));
                zoned
            }
        };
        time.saturating_sub(offset * SECOND)
    }
}

/// [`date_time::iso`], where a date that doesn't exist has a length but no time, and a leap second is the one after it.
fn iso(text: &[u8]) -> Option<(Option<i64>, Option<i64>, usize)> {
    if let Some((ns, offset, len)) = date_time::iso(text) {
        return Some((Some(ns), offset, len));
    }
    let mut patched = [0; 40];
    let len = text.len().min(patched.len());
    patched[..len].copy_from_slice(&text[..len]);
    let is_digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    if ![0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18].into_iter().all(is_digit) {
        return None;
    }
    if text[17..19] == *b"60" {
        patched[17..19].copy_from_slice(b"59");
        if let Some((ns, offset, len)) = date_time::iso(&patched[..len]) {
            return Some((Some(ns.saturating_add(SECOND)), offset, len));
        }
    }
    patched[..4].copy_from_slice(b"2000");
    patched[5..7].copy_from_slice(b"01");
    patched[8..10].copy_from_slice(b"01");
    for at in [11, 14, 17] {
        patched[at..at + 2].copy_from_slice(b"00");
    }
    let (_, offset, len) = date_time::iso(&patched[..len])?;
    Some((None, offset, len))
}

/// `22:14:15`, or `2:14:15`, and its length. A second may be the 60th.
fn clock(text: &[u8]) -> Option<((i64, i64, i64), usize)> {
    let short = text.get(1) == Some(&b':');
    let mut padded = [b'0'; 8];
    let from = short as usize;
    padded[from..].copy_from_slice(text.get(..8 - from)?);
    Some((date_time::clock(&padded)?, 8 - from))
}

/// The zone behind a time: seconds east of UTC, nothing for names that say none; and its length.
fn zone(text: &[u8]) -> Option<(Option<i64>, usize)> {
    let ends = |len: usize| match text.get(len) {
        None => true,
        Some(b':') => text.get(len + 1).is_none_or(|byte| is_blank(*byte)),
        Some(byte) => is_blank(*byte),
    };
    let blank = text.first().copied().is_some_and(is_blank) as usize;
    let name = &text[blank..];
    if let Some(b'+' | b'-') = name.first() {
        let (offset, len) = date_time::numeric_offset(name, name.get(3) == Some(&b':'))?;
        return ends(blank + len).then_some((Some(offset), blank + len));
    }
    let len = blank + name.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count();
    let name = &text[blank..len];
    if name.is_empty() || !ends(len) {
        return None;
    }
    if matches!(name, b"UTC" | b"GMT" | b"Z") {
        return Some((Some(0), len));
    }
    if blank == 0 {
        return None;
    }
    let known = ZONES.iter().find(|(known, _)| *known == name).map(|(_, hours)| hours * 3600);
    if text.get(len) == Some(&b':') {
        return Some((known, len));
    }
    // A host may be called so: then a tag follows at once.
    let after = text[len..].trim_ascii_start();
    let mut rest = after;
    (known.is_some() && tag(after).is_none() && token(&mut rest).is_some()).then_some((known, len))
}

/// A year: four digits, then a blank, a colon with a blank, or the end.
fn four_digits(text: &[u8], at: usize) -> Option<i64> {
    let year = date_time::digits(text.get(at..)?, 4)?;
    let ends = match text.get(at + 4) {
        Some(b':') => text.get(at + 5).is_none_or(|byte| is_blank(*byte)),
        other => other.is_none_or(|byte| is_blank(*byte)),
    };
    ends.then_some(year)
}
