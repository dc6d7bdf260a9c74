//! Dates and times of log formats, as prefixes of a text. Times are nanoseconds since 1970-01-01 UTC.
//!
//! Whoever reads a number here as a Lua number gets the nearest double: `999…064` for a fraction, as in Heka.

/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;

/// Reads exactly `len` digits, at most 18.
pub fn digits(text: &[u8], len: usize) -> Option<i64> {
    let part = text.get(..len)?;
    part.iter().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + (byte - b'0') as i64))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
pub fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let date = jiff::civil::Date::new(year as i16, month as i8, day as i8).ok()?;
    let epoch = jiff::civil::date(1970, 1, 1);
    Some(date.since(epoch).ok()?.get_days() as i64)
}

/// Seconds since 1970-01-01 00:00 of a day's time; the 60th second of a minute may be a leap second.
pub fn seconds(days: i64, hour: i64, minute: i64, second: i64) -> Option<i64> {
    let fits = hour < 24 && minute < 60 && second <= 60;
    fits.then(|| days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Nanoseconds of a time in seconds and a part of a second; nothing for years that 64 bits don't hold (after 2262).
pub fn nanoseconds(seconds: i64, part: i64) -> Option<i64> {
    seconds.checked_mul(SECOND)?.checked_add(part)
}

/// 1–12 for an English name of three letters.
pub fn month_abbreviation(text: &[u8]) -> Option<i64> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let name = text.get(..3)?;
    NAMES.chunks(3).position(|month| month == name).map(|place| place as i64 + 1)
}

/// `hh:mm:ss`: hours, minutes, seconds.
pub fn clock(text: &[u8]) -> Option<(i64, i64, i64)> {
    if text.get(2) != Some(&b':') || text.get(5) != Some(&b':') {
        return None;
    }
    Some((digits(text, 2)?, digits(&text[3..], 2)?, digits(&text[6..], 2)?))
}

/// `.digits` behind a second: (nanoseconds, length). Digits after the ninth are passed over.
fn fraction(text: &[u8]) -> Option<(i64, usize)> {
    if text.first() != Some(&b'.') { Some((0, 0)) } else { part_of_a_second(&text[1..]) }
}

/// The digits of a fraction: (nanoseconds, length with the point before them).
pub fn part_of_a_second(text: &[u8]) -> Option<(i64, usize)> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let used = len.min(9);
    Some((digits(text, used)? * 10i64.pow(9 - used as u32), len + 1))
}

/// Seconds since 1970 with a fraction, in decimal: read as text, since a double has not enough digits.
pub fn unix_seconds(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if unsigned.contains(['e', 'E']) {
        return Some((text.parse::<f64>().ok()? * 1e9) as i64);
    }
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !decimal(whole) || !decimal(fraction) {
        return None;
    }
    let nanos: i64 = format!("{:0<9}", &fraction[..fraction.len().min(9)]).parse().ok()?;
    let ns = nanoseconds(whole.parse().ok()?, nanos)?;
    Some(if negative { -ns } else { ns })
}

/// The same where senders count in other units than their protocol's seconds: milliseconds, microseconds or nanoseconds, told
/// by the number's size. In seconds, the number would be beyond the year 5000.
pub fn unix_time(text: &str) -> Option<i64> {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = whole.trim_start_matches('0');
    let per_second = match whole.len() {
        ..12 => return unix_seconds(text),
        12..15 => 3,
        15..18 => 6,
        _ => 9,
    };
    let (seconds, rest) = whole.split_at_checked(whole.len() - per_second)?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    unix_seconds(&format!("{sign}{seconds}.{rest}{fraction}"))
}

/// The last timestamp of a log and its value: consecutive lines mostly have the same one.
#[derive(Default, Debug)]
pub struct ClfCache {
    text: [u8; 26],
    ns: i64,
}

/// `10/Feb/2014:08:46:41 -0800`: its time; it is 26 bytes long.
pub fn clf(text: &[u8], cache: &mut ClfCache) -> Option<i64> {
    let text: &[u8; 26] = text.get(..26)?.try_into().ok()?;
    if text == &cache.text {
        return Some(cache.ns);
    }
    let separators = [(2, b'/'), (6, b'/'), (11, b':'), (20, b' ')];
    if separators.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let (hour, minute, second) = clock(&text[12..])?;
    let date = days(digits(&text[7..], 4)?, month_abbreviation(&text[3..])?, digits(text, 2)?)?;
    let offset = numeric_offset(&text[21..], false)?.0;
    let ns = nanoseconds(seconds(date, hour, minute, second)? - offset, 0)?;
    *cache = ClfCache { text: *text, ns };
    Some(ns)
}

/// `+hhmm`, or `+hh:mm` with a colon: seconds east of UTC, and its length.
pub fn numeric_offset(text: &[u8], colon: bool) -> Option<(i64, usize)> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if colon && text.get(3) != Some(&b':') {
        return None;
    }
    let skip = colon as usize;
    let (hours, minutes) = (digits(&text[1..], 2)?, digits(text.get(3 + skip..)?, 2)?);
    (hours < 24 && minutes < 60).then_some((sign * (hours * 3_600 + minutes * 60), 5 + skip))
}

/// RFC 3339, with capital T and Z only: (time, length).
pub fn rfc3339(text: &[u8]) -> Option<(i64, usize)> {
    if text.get(4) != Some(&b'-') || text.get(7) != Some(&b'-') || text.get(10) != Some(&b'T') {
        return None;
    }
    let date = days(digits(text, 4)?, digits(&text[5..], 2)?, digits(&text[8..], 2)?)?;
    let (hour, minute, second) = clock(text.get(11..)?)?;
    let (ns, len) = fraction(text.get(19..)?)?;
    let at = 19 + len;
    let (offset, len) = match text.get(at)? {
        b'Z' => (0, 1),
        _ => numeric_offset(&text[at..], true)?,
    };
    Some((nanoseconds(seconds(date, hour, minute, second)? - offset, ns)?, at + len))
}

/// A time as syslog's senders write RFC 3339: (time, seconds east of UTC where it says so, length).
///
/// `t` and `z` may be small, a blank may stand for `T`, a comma for the point, the offset may lack its colon or be
/// missing. Leap seconds are none (RFC 5424, 6.2.3). Digits after the ninth of a fraction are passed over.
pub fn iso(text: &[u8]) -> Option<(i64, Option<i64>, usize)> {
    if text.get(4) != Some(&b'-') || text.get(7) != Some(&b'-') || !matches!(text.get(10)?, b'T' | b't' | b' ') {
        return None;
    }
    let date = days(digits(text, 4)?, digits(&text[5..], 2)?, digits(&text[8..], 2)?)?;
    let (hour, minute, second) = clock(text.get(11..)?).filter(|&(.., second)| second < 60)?;
    let rest = text.get(19..)?;
    let (ns, len) = match rest.first() {
        Some(b'.' | b',') => part_of_a_second(&rest[1..])?,
        _ => (0, 0),
    };
    let rest = &rest[len..];
    let (offset, width) = match rest.first() {
        Some(b'Z' | b'z') => (Some(0), 1),
        Some(b'+' | b'-') => {
            let (offset, width) = numeric_offset(rest, rest.get(3) == Some(&b':'))?;
            (Some(offset), width)
        }
        _ => (None, 0),
    };
    let time = nanoseconds(seconds(date, hour, minute, second)? - offset.unwrap_or(0), ns)?;
    Some((time, offset, 19 + len + width))
}

/// `Feb  9 16:46:36` in a given year: (time, length).
pub fn rfc3164(text: &[u8], year: i64) -> Option<(i64, usize)> {
    let month = month_abbreviation(text)?;
    let mut at = 3;
    let spaces = text[at..].iter().take_while(|&&byte| byte == b' ').count();
    if spaces == 0 {
        return None;
    }
    at += spaces;
    let width = text[at..].iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
    let day = digits(&text[at..], width)?;
    at += width;
    if text.get(at) != Some(&b' ') {
        return None;
    }
    let (hour, minute, second) = clock(text.get(at + 1..)?)?;
    let date = days(year, month, day)?;
    Some((nanoseconds(seconds(date, hour, minute, second)?, 0)?, at + 9))
}

/// `20140210125858`: (time, length).
pub fn mysql(text: &[u8]) -> Option<(i64, usize)> {
    let date = days(digits(text, 4)?, digits(text.get(4..)?, 2)?, digits(text.get(6..)?, 2)?)?;
    let part = |at: usize| digits(text.get(at..)?, 2);
    Some((nanoseconds(seconds(date, part(8)?, part(10)?, part(12)?)?, 0)?, 14))
}

/// `2014-02-10 16:46:36`: (time, length).
pub fn pgsql(text: &[u8]) -> Option<(i64, usize)> {
    if text.get(4) != Some(&b'-') || text.get(7) != Some(&b'-') || text.get(10) != Some(&b' ') {
        return None;
    }
    let date = days(digits(text, 4)?, digits(&text[5..], 2)?, digits(&text[8..], 2)?)?;
    let (hour, minute, second) = clock(text.get(11..)?)?;
    Some((nanoseconds(seconds(date, hour, minute, second)?, 0)?, 19))
}

/// A time may be so far ahead of the receiver's clock; a later one was a year ago.
pub const AHEAD: i64 = 2 * 86_400 * SECOND;

/// A time whose year isn't said, received at a time, ns, in the year `this`: the last one that isn't far ahead of that. Only
/// some years have a 29th of February.
pub fn in_likely_year(received: i64, this: i64, mut in_year: impl FnMut(i64) -> Option<i64>) -> Option<i64> {
    let latest = received.saturating_add(AHEAD);
    // 1896 to 1904 is the longest time without one.
    (this - 8..=this + 1).rev().find_map(|year| in_year(year).filter(|&time| time <= latest))
}

/// The same, received now by this machine's clock.
pub fn in_likely_year_now(in_year: impl FnMut(i64) -> Option<i64>) -> Option<i64> {
    let now = jiff::Timestamp::now();
    let this = now.to_zoned(jiff::tz::TimeZone::UTC).year() as i64;
    in_likely_year(i64::try_from(now.as_nanosecond()).ok()?, this, in_year)
}

/// [`rfc3164`] in the last year in which it isn't far ahead of this machine's clock.
pub fn rfc3164_now(text: &[u8]) -> Option<(i64, usize)> {
    let mut len = 0;
    let ns = in_likely_year_now(|year| {
        rfc3164(text, year).map(|(ns, found)| {
            len = found;
            ns
        })
    })?;
    Some((ns, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_tell_their_unit_by_their_size() {
        let cases = [
            ("1433188255.253", Some(1_433_188_255_253_000_000)),
            ("1433188255253", Some(1_433_188_255_253_000_000)),
            ("1664879965123456", Some(1_664_879_965_123_456_000)),
            ("1433188255253000001", Some(1_433_188_255_253_000_001)),
            ("1433188255253.5", Some(1_433_188_255_253_500_000)),
            ("-1433188255253", Some(-1_433_188_255_253_000_000)),
            ("99999999999", unix_seconds("99999999999")),
            ("0", Some(0)),
            ("noon", None),
            ("", None),
            ("1433188255253x", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(unix_time(text), wanted, "{text}");
        }
    }

    #[test]
    fn known_times_are_read() {
        let mut cache = ClfCache::default();
        assert_eq!(clf(b"10/Feb/2014:08:46:41 -0800]", &mut cache), Some(1_392_050_801_000_000_000));
        assert_eq!(clf(b"10/Feb/2014:08:46:41 -0800]", &mut cache), Some(1_392_050_801_000_000_000));
        assert_eq!(clf(b"10/Jan/2014:07:04:56 -0800", &mut cache), Some(1_389_366_296_000_000_000));
        assert_eq!(clf(b"10/Jax/2014:07:04:56 -0800", &mut cache), None);
        assert_eq!(clf(b"31/Feb/2014:07:04:56 -0800", &mut cache), None);
        assert_eq!(rfc3339(b"1999-05-05T23:23:59.217-07:00"), Some((925_971_839_217_000_000, 29)));
        assert_eq!(rfc3339(b"2014-02-10T12:58:59-08:00 x"), Some((1_392_065_939_000_000_000, 25)));
        assert_eq!(rfc3339(b"2014-02-10t12:58:59Z"), None);
        let iso = |text: &str| iso(text.as_bytes());
        assert_eq!(iso("2018-02-21t21:07:50,5z"), Some((1_519_247_270_500_000_000, Some(0), 22)));
        assert_eq!(iso("2018-02-21 21:07:50 x"), Some((1_519_247_270_000_000_000, None, 19)));
        assert_eq!(iso("2018-02-21T21:07:50+0100"), Some((1_519_243_670_000_000_000, Some(3600), 24)));
        assert_eq!(iso("2018-02-21T23:59:60Z"), None);
        assert_eq!(iso("9999-02-21T23:59:59Z"), None);
        assert_eq!(rfc3339(b"9999-02-21T23:59:59Z"), None);
        assert_eq!(rfc3164(b"Feb  9 16:46:36 host", 2014), Some((1_391_964_396_000_000_000, 15)));
        assert_eq!(mysql(b"20140210125858"), Some((1_392_037_138_000_000_000, 14)));
        assert_eq!(pgsql(b"2014-02-10 16:46:36"), Some((1_392_050_796_000_000_000, 19)));
    }
}
