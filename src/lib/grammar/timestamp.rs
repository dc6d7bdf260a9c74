//! Timestamps taken apart, as Heka's `date_time` module gives them: digits as they stand in the text, numbers for the
//! fraction of a second and the zone.

use super::date_time::month_abbreviation;
use super::{Captured, Captures, Grammar, Range};

const NAMES: [&str; 10] =
    ["year", "month", "day", "hour", "min", "sec", "sec_frac", "offset_sign", "offset_hour", "offset_min"];
const MONTHS: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];

/// A timestamp's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// `1999-05-05T23:23:59.217-07:00`; RFC 3339, with capital T and Z only.
    Rfc3339,
    /// `10/Feb/2014:08:46:41 -0800`.
    Clf,
}

/// The grammar of one layout.
pub struct Timestamp {
    names: Vec<String>,
    layout: Layout,
}

impl Timestamp {
    pub fn rfc3339() -> Timestamp {
        Timestamp { names: NAMES.map(String::from).to_vec(), layout: Layout::Rfc3339 }
    }

    pub fn clf() -> Timestamp {
        Timestamp { layout: Layout::Clf, ..Timestamp::rfc3339() }
    }
}

impl Grammar for Timestamp {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn nullable(&self) -> bool {
        false
    }

    fn matches(&self, line: &[u8], captures: &mut Captures) -> Option<usize> {
        captures.clear();
        let mut reader = Reader { line, at: 0, captures };
        match self.layout {
            Layout::Rfc3339 => reader.rfc3339()?,
            Layout::Clf => reader.clf()?,
        }
        Some(reader.at)
    }
}

struct Reader<'a> {
    line: &'a [u8],
    at: usize,
    captures: &'a mut Captures,
}

impl Reader<'_> {
    fn rfc3339(&mut self) -> Option<()> {
        self.digits(0, 4, 0..=9999)?;
        self.byte(b'-')?;
        self.digits(1, 2, 1..=12)?;
        self.byte(b'-')?;
        self.digits(2, 2, 1..=31)?;
        self.byte(b'T')?;
        self.clock()?;
        let fraction = &self.line[self.at..];
        if fraction.first() == Some(&b'.') {
            let len = fraction[1..].iter().take_while(|byte| byte.is_ascii_digit()).count() + 1;
            // Without digits it is not a fraction, and then the zone is missing.
            if len > 1 {
                let value = std::str::from_utf8(&fraction[..len]).ok()?.parse().ok()?;
                self.captures.put(6, Captured::Number(value), "");
                self.at += len;
            }
        }
        if self.byte(b'Z').is_some() {
            return Some(());
        }
        self.offset(true)
    }

    fn clf(&mut self) -> Option<()> {
        self.digits(2, 2, 1..=31)?;
        self.byte(b'/')?;
        let month = month_abbreviation(&self.line[self.at..])?;
        self.captures.put(1, Captured::Word(MONTHS.get(month as usize - 1)?), "");
        self.at += 3;
        self.byte(b'/')?;
        self.digits(0, 4, 0..=9999)?;
        self.byte(b':')?;
        self.clock()?;
        self.byte(b' ')?;
        self.offset(false)
    }

    fn clock(&mut self) -> Option<()> {
        self.digits(3, 2, 0..=23)?;
        self.byte(b':')?;
        self.digits(4, 2, 0..=59)?;
        self.byte(b':')?;
        self.digits(5, 2, 0..=60)
    }

    fn offset(&mut self, colon: bool) -> Option<()> {
        let sign = self.line.get(self.at).filter(|byte| matches!(byte, b'+' | b'-'))?;
        let sign = if *sign == b'+' { "+" } else { "-" };
        self.captures.put(7, Captured::Word(sign), "");
        self.at += 1;
        let hours = self.number(2, 0..=99)?;
        if colon {
            self.byte(b':')?;
        }
        let minutes = self.number(2, 0..=99)?;
        self.captures.put(8, Captured::Number(hours as f64), "");
        self.captures.put(9, Captured::Number(minutes as f64), "");
        Some(())
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.line.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    /// So many digits, as a text of that name.
    fn digits(&mut self, name: usize, len: usize, bounds: std::ops::RangeInclusive<u32>) -> Option<()> {
        let start = self.at;
        self.number(len, bounds)?;
        self.captures.put(name, Captured::Text(Range::new(start, self.at)), "");
        Some(())
    }

    fn number(&mut self, len: usize, bounds: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let text = self.line.get(self.at..self.at + len)?;
        let value = text
            .iter()
            .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + (byte - b'0') as u32))
            .filter(|value| bounds.contains(value))?;
        self.at += len;
        Some(value)
    }
}
