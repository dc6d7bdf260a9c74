//! What stands right of `=~` and `!~`: Heka's `/regex/` and lua_sandbox's quoted patterns.

use super::bounded::BoundedRegex;
use super::eval::Effort;
use super::lua_pattern::LuaPattern;
use super::re2;
use memchr::memmem::Finder;

/// Bytes that a search for a text passes in one step.
const TEXT_BYTES: usize = 32;

/// Compiled once. Most patterns are plain text, for which a search needs no automaton.
#[derive(Debug)]
pub(super) enum Pattern {
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Contains(Box<Finder<'static>>),
    Regex(Box<BoundedRegex>),
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
        Ok(Pattern::Regex(Box::new(BoundedRegex::new(re2::compile(text)?))))
    }

    /// Whether a value matches; false, too, when there are no steps left for that.
    #[inline]
    pub fn is_match(&self, value: &[u8], effort: &Effort) -> bool {
        match self {
            Pattern::Prefix(text) => value.starts_with(text),
            Pattern::Suffix(text) => value.ends_with(text),
            Pattern::Contains(finder) => effort.take(value.len() / TEXT_BYTES) && finder.find(value).is_some(),
            Pattern::Regex(regex) => regex.is_match(value, effort) || matches_lossy(regex, value, effort),
            Pattern::Lua(pattern) => pattern.is_match(value, effort),
        }
    }
}

/// In Go each byte that is not UTF-8 counts as one U+FFFD, which `.` matches.
fn matches_lossy(regex: &BoundedRegex, value: &[u8], effort: &Effort) -> bool {
    if std::str::from_utf8(value).is_ok() {
        return false;
    }
    let mut text = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    regex.is_match(text.as_bytes(), effort)
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
