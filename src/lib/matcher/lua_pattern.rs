//! Lua 5.1 patterns as lua_sandbox's matcher understands them: without captures, so parentheses and `%1` are
//! ordinary characters. A malformed pattern is refused when it is parsed (there it just never matches).

use super::eval::Effort;

/// Each item may cost one level of recursion.
const MAX_ITEMS: usize = 1_000;

#[derive(Debug)]
pub(super) struct LuaPattern {
    anchored: bool,
    items: Vec<Item>,
}

#[derive(Debug)]
enum Item {
    One(Set),
    Optional(Set),
    Longest(Set),
    Shortest(Set),
    Balanced(u8, u8),
    Frontier(Set),
    End,
}

/// Which bytes match: a bit each.
#[derive(Clone, Debug)]
struct Set([u64; 4]);

impl Set {
    fn of(test: impl Fn(u8) -> bool) -> Set {
        let mut bits = [0u64; 4];
        for byte in 0..=255u8 {
            if test(byte) {
                bits[(byte >> 6) as usize] |= 1 << (byte & 63);
            }
        }
        Set(bits)
    }

    #[inline]
    fn has(&self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] >> (byte & 63) & 1 == 1
    }

    /// `%a` and the like; an upper-case letter is the complement, anything else itself.
    fn class(letter: u8) -> Set {
        let test: fn(u8) -> bool = match letter.to_ascii_lowercase() {
            b'a' => |b| b.is_ascii_alphabetic(),
            b'c' => |b| b.is_ascii_control(),
            b'd' => |b| b.is_ascii_digit(),
            b'l' => |b| b.is_ascii_lowercase(),
            b'p' => |b| b.is_ascii_punctuation(),
            b's' => |b| matches!(b, b' ' | 9..=13),
            b'u' => |b| b.is_ascii_uppercase(),
            b'w' => |b| b.is_ascii_alphanumeric(),
            b'x' => |b| b.is_ascii_hexdigit(),
            b'z' => |b| b == 0,
            _ => return Set::of(|b| b == letter),
        };
        if letter.is_ascii_uppercase() { Set::of(|b| !test(b)) } else { Set::of(test) }
    }
}

impl LuaPattern {
    pub fn parse(text: &[u8]) -> Result<LuaPattern, &'static str> {
        let anchored = text.first() == Some(&b'^');
        let mut rest = if anchored { &text[1..] } else { text };
        let mut items = Vec::new();
        while let Some(&first) = rest.first() {
            if items.len() == MAX_ITEMS {
                return Err("a Lua pattern may have 1000 items at most");
            }
            match (first, rest) {
                (b'$', [_]) => {
                    items.push(Item::End);
                    break;
                }
                (b'%', [_, b'b', open, close, tail @ ..]) => {
                    items.push(Item::Balanced(*open, *close));
                    rest = tail;
                    continue;
                }
                (b'%', [_, b'b', ..]) => return Err("missing arguments to %b"),
                (b'%', [_, b'f', tail @ ..]) => {
                    if tail.first() != Some(&b'[') {
                        return Err("missing [ after %f");
                    }
                    let (set, tail) = parse_set(tail)?;
                    items.push(Item::Frontier(set));
                    rest = tail;
                    continue;
                }
                _ => {}
            }
            let (set, tail) = parse_single(rest)?;
            let (item, tail) = match tail {
                [b'?', tail @ ..] => (Item::Optional(set), tail),
                [b'*', tail @ ..] => (Item::Longest(set), tail),
                [b'-', tail @ ..] => (Item::Shortest(set), tail),
                [b'+', tail @ ..] => {
                    items.push(Item::One(set.clone()));
                    (Item::Longest(set), tail)
                }
                tail => (Item::One(set), tail),
            };
            items.push(item);
            rest = tail;
        }
        Ok(LuaPattern { anchored, items })
    }

    /// False, too, when the steps did not suffice.
    pub fn is_match(&self, subject: &[u8], effort: &Effort) -> bool {
        let mut run = Run { subject, steps: effort.left() };
        let last = if self.anchored { 0 } else { subject.len() };
        for start in 0..=last {
            let found = run.matches(&self.items, start);
            if found || run.steps == 0 {
                effort.set_left(run.steps);
                return found && run.steps > 0;
            }
        }
        effort.set_left(run.steps);
        false
    }
}

fn parse_single(text: &[u8]) -> Result<(Set, &[u8]), &'static str> {
    match text {
        [b'%', class, tail @ ..] => Ok((Set::class(*class), tail)),
        [b'%'] => Err("malformed Lua pattern (ends with %)"),
        [b'[', ..] => parse_set(text),
        [b'.', tail @ ..] => Ok((Set::of(|_| true), tail)),
        [byte, tail @ ..] => Ok((Set::of(|b| b == *byte), tail)),
        [] => Err("malformed Lua pattern"),
    }
}

/// `[set]`; a `]` right after the opening is itself.
fn parse_set(text: &[u8]) -> Result<(Set, &[u8]), &'static str> {
    const UNCLOSED: &str = "malformed Lua pattern (missing ])";
    let mut rest = &text[1..];
    let negated = rest.first() == Some(&b'^');
    if negated {
        rest = &rest[1..];
    }
    let mut bits = [0u64; 4];
    let mut first = true;
    loop {
        let part = match rest {
            [] => return Err(UNCLOSED),
            [b']', tail @ ..] if !first => {
                rest = tail;
                break;
            }
            [b'%', class, tail @ ..] => {
                rest = tail;
                Set::class(*class)
            }
            [from, b'-', to, tail @ ..] if *to != b']' => {
                rest = tail;
                Set::of(|b| (*from..=*to).contains(&b))
            }
            [byte, tail @ ..] => {
                rest = tail;
                Set::of(|b| b == *byte)
            }
        };
        for (sum, part) in bits.iter_mut().zip(part.0) {
            *sum |= part;
        }
        first = false;
    }
    if negated {
        bits = bits.map(|part| !part);
    }
    Ok((Set(bits), rest))
}

struct Run<'a> {
    subject: &'a [u8],
    /// 0 ends the search.
    steps: u32,
}

impl Run<'_> {
    fn has(&mut self, set: &Set, at: usize) -> bool {
        self.steps = self.steps.saturating_sub(1);
        self.steps > 0 && self.subject.get(at).is_some_and(|&byte| set.has(byte))
    }

    /// Recursion goes one level deeper per item at most.
    fn matches(&mut self, mut items: &[Item], mut at: usize) -> bool {
        while let Some((item, tail)) = items.split_first() {
            match item {
                Item::One(set) => {
                    if !self.has(set, at) {
                        return false;
                    }
                    at += 1;
                }
                Item::Optional(set) => {
                    if self.has(set, at) && self.matches(tail, at + 1) {
                        return true;
                    }
                }
                Item::Longest(set) => {
                    let mut end = at;
                    while self.has(set, end) {
                        end += 1;
                    }
                    while end > at {
                        if self.matches(tail, end) {
                            return true;
                        }
                        end -= 1;
                    }
                }
                Item::Shortest(set) => loop {
                    if self.matches(tail, at) {
                        return true;
                    }
                    if !self.has(set, at) {
                        return false;
                    }
                    at += 1;
                },
                Item::Balanced(open, close) => match self.balanced(*open, *close, at) {
                    Some(end) => at = end,
                    None => return false,
                },
                Item::Frontier(set) => {
                    let before = at.checked_sub(1).and_then(|place| self.subject.get(place)).copied().unwrap_or(0);
                    let here = self.subject.get(at).copied().unwrap_or(0);
                    if set.has(before) || !set.has(here) {
                        return false;
                    }
                }
                Item::End => return at == self.subject.len(),
            }
            if self.steps == 0 {
                return false;
            }
            items = tail;
        }
        true
    }

    fn balanced(&mut self, open: u8, close: u8, at: usize) -> Option<usize> {
        if *self.subject.get(at)? != open {
            return None;
        }
        let mut depth = 1usize;
        for (place, &byte) in self.subject.iter().enumerate().skip(at + 1) {
            self.steps = self.steps.saturating_sub(1);
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Some(place + 1);
                }
            } else if byte == open {
                depth += 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_costly_pattern_is_given_up() {
        let pattern = LuaPattern::parse(b".-.-.-.-.-x").unwrap();
        let effort = Effort::new();
        assert!(pattern.is_match(b"aax", &effort) && effort.left() > 0);
        assert!(!pattern.is_match(&[b'a'; 5_000], &effort) && effort.left() == 0);
    }

    #[test]
    fn sets_and_ends() {
        let is_match = |pattern: &str, text: &str| {
            LuaPattern::parse(pattern.as_bytes()).unwrap().is_match(text.as_bytes(), &Effort::new())
        };
        assert!(is_match("^[%d%.]+$", "10.2"));
        assert!(!is_match("^[^a-c]+$", "xbz"));
        assert!(is_match("[]]", "a]"));
        assert!(is_match("a-b", "aab"));
        assert!(is_match("a$b", "a$b"));
        assert!(is_match("%b()x", "f(a(b))x"));
        assert!(LuaPattern::parse(b"[a").is_err());
    }
}
