//! Times that a template writes piece by piece: `%timestamp:::date-year%-%timestamp:::date-month%`.

use super::super::date_time::{self, SECOND};

/// What one property writes of a time (rsyslog's property replacer).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Piece {
    Unix,
    Fraction,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    ZoneSign,
    ZoneHour,
    ZoneMinute,
    /// Digits that follow from the date: of the week, of the year.
    Derived,
    WeekdayName,
}

impl Piece {
    /// The piece of an option, without `date-`.
    pub fn named(option: &str) -> Option<Piece> {
        Some(match option {
            "unixtimestamp" => Piece::Unix,
            "subseconds" => Piece::Fraction,
            "year" => Piece::Year,
            "month" => Piece::Month,
            "day" => Piece::Day,
            "hour" => Piece::Hour,
            "minute" => Piece::Minute,
            "second" => Piece::Second,
            "tzoffsdirection" => Piece::ZoneSign,
            "tzoffshour" => Piece::ZoneHour,
            "tzoffsmin" => Piece::ZoneMinute,
            "wday" | "ordinal" | "week" | "iso-week" | "iso-week-year" => Piece::Derived,
            "wdayname" => Piece::WeekdayName,
            _ => return None,
        })
    }
}

/// The pieces of one time.
#[derive(Default)]
pub struct Pieces {
    unix: Option<i64>,
    fraction: i64,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    /// Minutes east of Greenwich, and whether it is west.
    zone: i64,
    west: bool,
}

impl Pieces {
    /// Reads a piece at the beginning of a text, and answers its length.
    pub fn read(&mut self, piece: Piece, text: &[u8]) -> Option<usize> {
        let two = || date_time::digits(text, 2);
        let digits = text.iter().take(18).take_while(|byte| byte.is_ascii_digit()).count();
        match piece {
            Piece::Unix => {
                self.unix = Some(date_time::digits(text, digits).filter(|_| digits > 0)?);
                return Some(digits);
            }
            Piece::Fraction => {
                let (ns, len) = date_time::part_of_a_second(text)?;
                self.fraction = ns;
                // That counts a point before them.
                return Some(len - 1);
            }
            Piece::Year => {
                self.year = Some(date_time::digits(text, 4)?);
                return Some(4);
            }
            Piece::ZoneSign => {
                self.west = *text.first().filter(|sign| matches!(sign, b'+' | b'-'))? == b'-';
                return Some(1);
            }
            Piece::Derived => return (digits > 0).then_some(digits.min(4)),
            Piece::WeekdayName => return text.get(..3).filter(|name| name.is_ascii()).map(<[u8]>::len),
            Piece::Month => self.month = Some(two()?),
            Piece::Day => self.day = Some(two()?),
            Piece::Hour => self.hour = two()?,
            Piece::Minute => self.minute = two()?,
            Piece::Second => self.second = two()?,
            Piece::ZoneHour => self.zone += two()? * 60,
            Piece::ZoneMinute => self.zone += two()?,
        }
        Some(2)
    }

    /// The time, ns; `whole` is one that another property wrote in one piece. Nothing without a date. `year`: where none is
    /// written; without it the last one that fits.
    pub fn time(&self, whole: Option<i64>, year: Option<i64>) -> Option<i64> {
        let since = self.unix.map(|seconds| seconds.checked_mul(SECOND));
        if let Some(ns) = whole.or(since.flatten()) {
            return ns.checked_add(self.fraction);
        }
        let (month, day) = (self.month?, self.day?);
        let zone = if self.west { -self.zone } else { self.zone };
        let in_year = |year| {
            let days = date_time::days(year, month, day)?;
            let seconds = date_time::seconds(days, self.hour, self.minute, self.second)? - zone * 60;
            date_time::nanoseconds(seconds, self.fraction)
        };
        match self.year.or(year) {
            Some(year) => in_year(year),
            None => date_time::in_likely_year_now(in_year),
        }
    }
}
