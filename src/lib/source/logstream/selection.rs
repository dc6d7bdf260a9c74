//! Which files belong to which log stream, and in which order: the options of Heka's LogstreamerInput.

use std::collections::BTreeMap;

use regex::bytes::{Captures, Regex};

use crate::matcher::re2;

/// What a user says about log streams.
#[derive(Clone, Debug, Default)]
pub struct SelectionOptions {
    /// A regex for the path below the directory.
    pub file_match: String,
    /// Names of groups, the most important one first; `^Name` is descending.
    pub priority: Vec<String>,
    /// What tells streams apart: each part the name of a group, or text.
    pub differentiator: Vec<String>,
    /// For a group, the numbers of its values; `missing` is the number where the group matched nothing.
    pub translation: BTreeMap<String, BTreeMap<String, i64>>,
    /// The stream's name when there is no differentiator.
    pub name: String,
}

/// Selects files by their paths.
#[derive(Debug)]
pub struct Selection {
    regex: Regex,
    parts: Vec<Part>,
    differentiator: Vec<String>,
    name: String,
}

#[derive(Debug)]
struct Part {
    group: String,
    descending: bool,
    translation: BTreeMap<String, i64>,
}

/// A file's place: its stream, and what orders it there, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub stream: String,
    pub rank: Vec<i64>,
}

const MISSING: &str = "missing";

impl Selection {
    /// # Errors
    /// A sentence for the user.
    pub fn new(options: &SelectionOptions) -> Result<Selection, String> {
        // Heka puts the directory before it and a `$` behind it. The group keeps alternatives together.
        let text = options.file_match.strip_prefix('^').unwrap_or(&options.file_match);
        let text = text.strip_prefix('/').unwrap_or(text);
        if text.is_empty() {
            return Err("the regex for the files is empty".into());
        }
        let regex = re2::compile_whole(text)?;
        let groups: Vec<&str> = regex.capture_names().flatten().collect();
        let mut parts = Vec::new();
        for priority in &options.priority {
            let (group, descending) = match priority.strip_prefix('^') {
                Some(group) => (group, true),
                None => (priority.as_str(), false),
            };
            if !groups.contains(&group) {
                return Err(format!("priority {group:?} is no group of the regex; it has: {}", groups.join(", ")));
            }
            parts.push(Part { group: group.to_string(), descending, translation: BTreeMap::new() });
        }
        for (group, values) in &options.translation {
            let values: BTreeMap<String, i64> =
                values.iter().map(|(value, number)| (value.to_lowercase(), *number)).collect();
            if values.len() == 1 && !values.contains_key(MISSING) {
                let only = values.keys().next().map_or("", String::as_str);
                return Err(format!(
                    "the translation of {group} has one entry ({only}), which must be {MISSING:?} then"
                ));
            }
            for part in parts.iter_mut().filter(|part| part.group == *group) {
                part.translation = values.clone();
            }
        }
        Ok(Selection { regex, parts, differentiator: options.differentiator.clone(), name: options.name.clone() })
    }

    /// Whether there is an order among several files of a stream.
    pub fn has_order(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The place of a file by its path below the directory; `None` when it doesn't match.
    ///
    /// # Errors
    /// A sentence that names the value that has no number.
    pub fn member(&self, path: &[u8]) -> Option<Result<Member, String>> {
        let captures = self.regex.captures(path)?;
        let group = |name: &str| captures.name(name).map(|found| String::from_utf8_lossy(found.as_bytes()));
        let mut stream = String::new();
        for part in &self.differentiator {
            match self.regex.capture_names().flatten().any(|name| name == part) {
                true => stream += &group(part).unwrap_or_default(),
                false => stream += part,
            }
        }
        if self.differentiator.is_empty() {
            stream.clone_from(&self.name);
        }
        let rank: Result<Vec<i64>, String> = self.parts.iter().map(|part| part.rank(&captures)).collect();
        Some(rank.map(|rank| Member { stream, rank }))
    }
}

impl Part {
    fn rank(&self, captures: &Captures<'_>) -> Result<i64, String> {
        let value = captures.name(&self.group).map(|found| found.as_bytes()).filter(|value| !value.is_empty());
        let number = match value {
            None => self.translation.get(MISSING).copied().unwrap_or(-1),
            Some(value) => self.number(&String::from_utf8_lossy(value))?,
        };
        // The complement turns the order around and can't overflow.
        Ok(if self.descending { !number } else { number })
    }

    fn number(&self, value: &str) -> Result<i64, String> {
        let lower = value.to_lowercase();
        if self.translation.len() > 1 {
            let number = self.translation.get(&lower).copied();
            return number.ok_or(format!("value {value:?} of {} is not in its translation", self.group));
        }
        let name = |names: &[&str], first: i64| {
            let at = names.iter().position(|name| lower == *name || lower == name[..3]);
            at.map(|at| at as i64 + first).ok_or(format!("{value:?} is no {}", self.group))
        };
        match self.group.as_str() {
            "MonthName" => name(&MONTHS, 1),
            "DayName" => name(&DAYS, 0),
            _ if value.bytes().all(|byte| byte.is_ascii_digit()) => Ok(value.parse().unwrap_or(i64::MAX)),
            _ => Ok(tai64n(value).unwrap_or(-1)),
        }
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// The label of multilog and svlogd, `@` and 24 hexadecimal digits, in nanoseconds
/// (<https://cr.yp.to/libtai/tai64.html>).
fn tai64n(label: &str) -> Option<i64> {
    let digits = label.strip_prefix('@').filter(|digits| digits.len() == 24 && digits.is_ascii())?;
    let (seconds, nanoseconds) = digits.split_at(16);
    let seconds = i64::from_str_radix(seconds, 16).ok()?.checked_sub(1 << 62)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(i64::from_str_radix(nanoseconds, 16).ok()?)
}

/// Whether a name is what rotation makes of another: `.1`, `.2.gz`, `-20140210`, `-2014-02-10.zst` behind it, a date
/// before its extension (`app-20140210.log`), or what multilog and svlogd make of `current`. The answer orders those
/// that were last changed in the same moment, oldest first.
pub fn rotated(file: &[u8], name: &[u8]) -> Option<i64> {
    let file = uncompressed_name(file).unwrap_or(file);
    let text = std::str::from_utf8(file).ok()?;
    if name == b"current"
        && let Some(label) = text.strip_suffix(".s").or(text.strip_suffix(".u"))
    {
        return tai64n(label);
    }
    let between = match file.strip_prefix(name) {
        Some(suffix) => suffix,
        None => {
            let dot = name.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0)?;
            file.strip_prefix(&name[..dot])?.strip_suffix(&name[dot..])?
        }
    };
    let [b'.' | b'-' | b'_', digits @ ..] = between else { return None };
    let separators = |byte: &u8| matches!(byte, b'-' | b'.' | b'_' | b'T' | b':');
    let valid = digits.first().is_some_and(u8::is_ascii_digit)
        && digits.iter().all(|byte| byte.is_ascii_digit() || separators(byte));
    if !valid {
        return None;
    }
    let number = digits
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .fold(0i64, |number, byte| number.saturating_mul(10).saturating_add((byte - b'0') as i64));
    // A small number counts back, a date forward.
    Some(if digits.len() <= 5 { -number } else { number })
}

/// The names of which rotation may have made this one, itself among them.
pub fn unrotated(file: &[u8]) -> Vec<&[u8]> {
    let plain = uncompressed_name(file).unwrap_or(file);
    let ends = plain.iter().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b'-' | b'_')).map(|(at, _)| at);
    let names = ends.map(|end| &plain[..end]).filter(|name| rotated(file, name).is_some());
    names.chain([plain]).collect()
}

/// The name without the ending that a compressor adds; `None` when there is none.
pub fn uncompressed_name(name: &[u8]) -> Option<&[u8]> {
    [&b".gz"[..], b".zst", b".bz2", b".xz"].iter().find_map(|ending| name.strip_suffix(*ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(file_match: &str, priority: &[&str], differentiator: &[&str]) -> SelectionOptions {
        let own = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect();
        SelectionOptions {
            file_match: file_match.into(),
            priority: own(priority),
            differentiator: own(differentiator),
            name: "name".into(),
            ..SelectionOptions::default()
        }
    }

    fn order(options: &SelectionOptions, files: &[&str]) -> Vec<String> {
        let selection = Selection::new(options).unwrap();
        let mut members: Vec<(Member, String)> = files
            .iter()
            .filter_map(|file| Some((selection.member(file.as_bytes())?.unwrap(), file.to_string())))
            .collect();
        members.sort_by(|a, b| (&a.0.stream, &a.0.rank).cmp(&(&b.0.stream, &b.0.rank)));
        members.into_iter().map(|(member, file)| format!("{}:{file}", member.stream)).collect()
    }

    #[test]
    fn parts_of_the_priority_order_files() {
        let numbered = selection(r"x\.log\.?(?P<Seq>\d+)?", &["^Seq"], &[]);
        assert_eq!(
            order(&numbered, &["x.log", "x.log.1", "x.log.10", "x.log.2", "y.log"]),
            ["name:x.log.10", "name:x.log.2", "name:x.log.1", "name:x.log"]
        );
        // Without the `^` a missing number comes first.
        let ascending = selection(r"x\.log\.?(?P<Seq>\d+)?", &["Seq"], &[]);
        assert_eq!(order(&ascending, &["x.log.2", "x.log.1", "x.log"]), ["name:x.log", "name:x.log.1", "name:x.log.2"]);
        let months = selection(r"(?P<Year>\d+)/(?P<MonthName>\w+)\.log", &["Year", "MonthName"], &[]);
        assert_eq!(
            order(&months, &["2013/Dec.log", "2014/feb.log", "2014/January.log", "2013/JUN.log"]),
            ["name:2013/JUN.log", "name:2013/Dec.log", "name:2014/January.log", "name:2014/feb.log"]
        );
        let days = selection(r"(?P<DayName>\w+)\.log", &["DayName"], &[]);
        assert_eq!(
            order(&days, &["Tuesday.log", "sat.log", "Sun.log"]),
            ["name:Sun.log", "name:Tuesday.log", "name:sat.log"]
        );
        let error = Selection::new(&days).unwrap().member(b"Sept.log").unwrap().unwrap_err();
        assert_eq!(error, "\"Sept\" is no DayName");
    }

    #[test]
    fn differentiators_name_streams() {
        let hosts = selection(
            r"(?P<Host>[^/]+)/(?P<Kind>\w+)\.log\.?(?P<Seq>\d+)?",
            &["^Seq"],
            &["nginx-", "Host", "-", "Kind", "NoGroup"],
        );
        assert_eq!(
            order(&hosts, &["a/access.log", "b/error.log.1", "a/access.log.1"]),
            [
                "nginx-a-accessNoGroup:a/access.log.1",
                "nginx-a-accessNoGroup:a/access.log",
                "nginx-b-errorNoGroup:b/error.log.1"
            ]
        );
    }

    #[test]
    fn translations_give_numbers() {
        let mut options = selection(r"x(?P<Part>-\w+)?\.log", &["Part"], &[]);
        options.translation.insert("Part".into(), [("-OLD".into(), 1), ("-new".into(), 2)].into());
        assert_eq!(
            order(&options, &["x-new.log", "x-Old.log", "x.log"]),
            ["name:x.log", "name:x-Old.log", "name:x-new.log"]
        );
        let error = Selection::new(&options).unwrap().member(b"x-other.log").unwrap().unwrap_err();
        assert_eq!(error, "value \"-other\" of Part is not in its translation");
        options.translation.insert("Part".into(), [("-old".into(), 1)].into());
        assert!(Selection::new(&options).unwrap_err().contains("must be \"missing\""));
        let mut options = selection(r"x\.?(?P<Seq>\d+)?\.log", &["Seq"], &[]);
        options.translation.insert("Seq".into(), [("missing".into(), 100)].into());
        assert_eq!(
            order(&options, &["x.log", "x.3.log", "x.200.log"]),
            ["name:x.3.log", "name:x.log", "name:x.200.log"]
        );
    }

    #[test]
    fn alternatives_and_anchors_hold_for_the_whole_path() {
        for file_match in [r"a\.log|b\.log", r"^a\.log|b\.log", r"/a\.log|b\.log", r"(a|b)\.log$"] {
            let found = order(&selection(file_match, &[], &[]), &["a.log", "b.log", "a.log.1", "sub/b.log"]);
            assert_eq!(found, ["name:a.log", "name:b.log"], "{file_match}");
        }
        assert!(Selection::new(&selection("(", &[], &[])).unwrap_err().starts_with("bad regex"));
        assert!(Selection::new(&selection("", &[], &[])).is_err());
        let error = Selection::new(&selection(r"(?P<A>x)", &["B"], &[])).unwrap_err();
        assert_eq!(error, "priority \"B\" is no group of the regex; it has: A");
    }

    #[test]
    fn names_that_rotation_makes_are_known() {
        let older_first = |name: &str, files: &[&str]| {
            let numbers: Vec<i64> = files.iter().filter_map(|file| rotated(file.as_bytes(), name.as_bytes())).collect();
            assert_eq!(numbers.len(), files.len(), "{files:?}");
            assert!(numbers.is_sorted(), "{files:?} {numbers:?}");
        };
        older_first("x.log", &["x.log.10.gz", "x.log.2", "x.log.1"]);
        older_first("x.log", &["x.log-20140209.gz", "x.log-2014-02-10.xz", "x-20140211.log"]);
        older_first("current", &["@4000000052f88ea61d2a5b0c.s", "@4000000052f88ea62d2a5b0c.u"]);
        assert_eq!(unrotated(b"x.log.20240101-10.gz"), [&b"x.log"[..], b"x.log.20240101", b"x.log.20240101-10"]);
        assert_eq!(unrotated(b"x.log"), [b"x.log"]);
        for other in ["x.log", "x.log.bak", "x.log.", "y.log.1", "x.logs", "x.log.1.tmp"] {
            assert_eq!(rotated(other.as_bytes(), b"x.log"), None, "{other}");
        }
    }
}
