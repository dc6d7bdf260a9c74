//! What stands right of `=~` and `!~`: Heka's `/regex/` and lua_sandbox's quoted patterns.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use super::eval::Effort;
use super::lua_pattern::LuaPattern;

/// Bytes that a regex and a search for a text pass in one step.
const REGEX_BYTES: usize = 4;
const TEXT_BYTES: usize = 32;

/// Compiled once. Most patterns are plain text, for which a search needs no automaton.
#[derive(Debug)]
pub(super) enum Pattern {
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Contains(Box<Finder<'static>>),
    Regex(Regex),
    Lua(LuaPattern),
}

impl Pattern {
    pub fn contains(text: &[u8]) -> Pattern {
        Pattern::Contains(Box::new(Finder::new(text).into_owned()))
    }

    pub fn lua(text: &[u8]) -> Result<Pattern, &'static str> {
        if text.iter().any(|byte| b"^$*+?.[%-".contains(byte)) {
            return Ok(Pattern::Lua(LuaPattern::parse(text)?));
        }
        Ok(Pattern::contains(text))
    }

    /// RE2 syntax, as in Go's regexp.
    pub fn regex(text: &str) -> Result<Pattern, String> {
        if let Some(literal) = literal(text) {
            return Ok(Pattern::contains(literal.as_bytes()));
        }
        if let Some(literal) = text.strip_prefix('^').and_then(literal) {
            return Ok(Pattern::Prefix(literal.into_bytes()));
        }
        if let Some(literal) = text.strip_suffix('$').and_then(literal) {
            return Ok(Pattern::Suffix(literal.into_bytes()));
        }
        let compiled = RegexBuilder::new(&ascii_classes(text)).size_limit(1 << 20).nest_limit(100).build();
        compiled.map(Pattern::Regex).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => format!("bad regex: it needs more than {limit} bytes"),
            error => {
                // The crate's message spans lines; its last one says what is wrong.
                let text = error.to_string();
                let last = text.lines().next_back().unwrap_or_default().trim();
                format!("bad regex: {}", last.strip_prefix("error: ").unwrap_or(last))
            }
        })
    }

    /// Whether a value matches; false, too, when there are no steps left for that.
    #[inline]
    pub fn is_match(&self, value: &[u8], effort: &Effort) -> bool {
        match self {
            Pattern::Prefix(text) => value.starts_with(text),
            Pattern::Suffix(text) => value.ends_with(text),
            Pattern::Contains(finder) => effort.take(value.len() / TEXT_BYTES) && finder.find(value).is_some(),
            Pattern::Regex(regex) => {
                effort.take(value.len() / REGEX_BYTES) && (regex.is_match(value) || matches_lossy(regex, value))
            }
            Pattern::Lua(pattern) => pattern.is_match(value, effort),
        }
    }
}

/// In Go each byte that is not UTF-8 counts as one U+FFFD, which `.` matches.
fn matches_lossy(regex: &Regex, value: &[u8]) -> bool {
    if std::str::from_utf8(value).is_ok() {
        return false;
    }
    let mut text = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    regex.is_match(text.as_bytes())
}

/// The text that a regex without operators stands for.
fn literal(regex: &str) -> Option<String> {
    let mut text = String::with_capacity(regex.len());
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().filter(char::is_ascii_punctuation)?),
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            c => text.push(c),
        }
    }
    Some(text)
}

/// In RE2 `\d \s \w \b` mean ASCII; the regex crate's mean Unicode.
fn ascii_classes(regex: &str) -> String {
    let mut text = String::with_capacity(regex.len() + 16);
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        text.push(c);
        if c != '\\' {
            continue;
        }
        let Some(class) = chars.next() else { break };
        let replacement = match class {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => "[\\t\\n\\f\\r ]",
            'S' => "[^\\t\\n\\f\\r ]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            'b' => "(?-u:\\b)",
            'B' => "(?-u:\\B)",
            other => {
                text.push(other);
                continue;
            }
        };
        text.pop();
        text.push_str(replacement);
    }
    text
}
