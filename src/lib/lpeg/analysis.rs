//! What can be said of a pattern before it runs.
//!
//! A tree is walked with recursion, so to [`MAX_DEPTH`](super::tree::MAX_DEPTH) levels. Rules that are called are not
//! entered; what is known of them is in their nodes.

use super::set::ByteSet;
use super::tree::{Kind, Op, Tree, UNBOUNDED};

impl Tree<'_> {
    /// Whether it may match without consuming. In a grammar that is still being made, calls count as "no".
    pub fn nullable(self, at: usize) -> bool {
        self.nullable_with(at, &|_| false)
    }

    /// Whether it always matches.
    pub fn no_fail(self, at: usize) -> bool {
        self.no_fail_with(at, &|_| false)
    }

    /// The same, for a node inside of a grammar: `rule` knows about its rules.
    pub fn nullable_with(self, at: usize, rule: &impl Fn(u32) -> bool) -> bool {
        match self.op(at) {
            Op::True | Op::Not | Op::And | Op::Behind(_) | Op::Repeat { min: 0, .. } => true,
            Op::False | Op::Any(_) | Op::Literal { .. } | Op::Set { .. } | Op::Utf8 { .. } => false,
            Op::OpenCall { .. } => false,
            Op::Call { rule: place } => rule(place),
            Op::Seq => self.children(at).all(|child| self.nullable_with(child, rule)),
            Op::Choice => self.children(at).any(|child| self.nullable_with(child, rule)),
            Op::Repeat { .. } | Op::Capture { .. } | Op::RunTime { .. } => self.nullable_with(at + 1, rule),
            Op::Grammar { nullable, .. } | Op::Rule { nullable, .. } | Op::Native { nullable, .. } => nullable,
        }
    }

    pub fn no_fail_with(self, at: usize, rule: &impl Fn(u32) -> bool) -> bool {
        match self.op(at) {
            Op::True | Op::Repeat { min: 0, .. } => true,
            Op::False | Op::Any(_) | Op::Literal { .. } | Op::Set { .. } | Op::Utf8 { .. } => false,
            Op::Not | Op::Behind(_) | Op::RunTime { .. } | Op::OpenCall { .. } | Op::Native { .. } => false,
            Op::Call { rule: place } => rule(place),
            Op::Seq => self.children(at).all(|child| self.no_fail_with(child, rule)),
            Op::Choice => self.children(at).any(|child| self.no_fail_with(child, rule)),
            Op::And | Op::Repeat { .. } | Op::Capture { .. } => self.no_fail_with(at + 1, rule),
            Op::Grammar { no_fail, .. } | Op::Rule { no_fail, .. } => no_fail,
        }
    }

    /// How many bytes it consumes when it matches, if that is always the same.
    pub fn fixed_len(self, at: usize) -> Option<usize> {
        self.fixed_len_with(at, &|_| None)
    }

    pub fn fixed_len_with(self, at: usize, rule: &impl Fn(u32) -> Option<usize>) -> Option<usize> {
        match self.op(at) {
            Op::True | Op::False | Op::Not | Op::And | Op::Behind(_) => Some(0),
            Op::Any(count) => Some(count as usize),
            Op::Literal { len, .. } => Some(len as usize),
            Op::Set { .. } => Some(1),
            Op::Utf8 { from, to } => (utf8_len(from) == utf8_len(to)).then(|| utf8_len(from)),
            Op::Call { rule: place } => rule(place),
            Op::Seq => self.children(at).try_fold(0usize, |sum, child| Some(sum + self.fixed_len_with(child, rule)?)),
            Op::Choice => {
                let mut lens = self.children(at).map(|child| self.fixed_len_with(child, rule));
                let first = lens.next()??;
                lens.all(|len| len == Some(first)).then_some(first)
            }
            Op::Capture { .. } => self.fixed_len_with(at + 1, rule),
            // "At most n" of nothing is nothing.
            Op::Repeat { max, .. } if max != UNBOUNDED => self.fixed_len_with(at + 1, rule).filter(|&len| len == 0),
            Op::Grammar { fixed_len, .. } | Op::Rule { fixed_len, .. } => Some(fixed_len?.get() as usize - 1),
            Op::Repeat { .. } | Op::RunTime { .. } | Op::OpenCall { .. } | Op::Native { .. } => None,
        }
    }

    /// Whether captures, or functions called while matching, are in what it may come to. In a grammar that is still
    /// being made, calls count as "no".
    pub fn has_captures(self, at: usize) -> bool {
        self.has_captures_with(at, &|_| false)
    }

    pub fn has_captures_with(self, at: usize, rule: &impl Fn(u32) -> bool) -> bool {
        match self.op(at) {
            Op::Capture { .. } | Op::RunTime { .. } => true,
            Op::Grammar { captures, .. } | Op::Rule { captures, .. } => captures,
            Op::Native { value, .. } => value > 0,
            Op::Call { rule: place } => rule(place),
            _ => self.children(at).any(|child| self.has_captures_with(child, rule)),
        }
    }

    /// How many captures of each sort a table that holds them will surely have: (positional, named), as a hint.
    pub fn table_size(self, at: usize) -> (u32, u32) {
        match self.op(at) {
            Op::Capture { kind: Kind::Group, value } if value != 0 => (0, 1),
            Op::Capture { kind: Kind::Group, .. } => self.table_size(at + 1),
            Op::Capture { kind: Kind::Backreference | Kind::Function | Kind::Accumulator, .. } => (0, 0),
            Op::Capture { kind: Kind::Simple, .. } => {
                let (positional, named) = self.table_size(at + 1);
                (positional + 1, named)
            }
            Op::Capture { .. } => (1, 0),
            Op::Seq => self.children(at).fold((0, 0), |(positional, named), child| {
                let more = self.table_size(child);
                (positional + more.0, named + more.1)
            }),
            // Either: what the larger one has.
            Op::Choice => self.children(at).fold((0, 0), |(positional, named), child| {
                let more = self.table_size(child);
                (positional.max(more.0), named.max(more.1))
            }),
            Op::Repeat { min, .. } => {
                let (positional, named) = self.table_size(at + 1);
                (positional.saturating_mul(min.max(1)), named)
            }
            _ => (0, 0),
        }
    }
}

/// Length of a code point's UTF-8 sequence.
fn utf8_len(code: u32) -> usize {
    match code {
        0..0x80 => 1,
        0x80..0x800 => 2,
        0x800..0x10000 => 3,
        _ => 4,
    }
}

/// What a pattern wants of the next byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct First {
    /// Bytes on which it may match and consume.
    pub consume: ByteSet,
    /// Bytes on which it may match without consuming; what follows has to accept them.
    pub pass: ByteSet,
    /// Whether it may match at the end of the subject.
    pub at_end: bool,
    /// A function may be called before a byte is looked at, so it has to be tried whatever follows: `at_end` is true.
    pub opaque: bool,
}

impl First {
    pub const UNKNOWN: First = First { consume: ByteSet::FULL, pass: ByteSet::FULL, at_end: true, opaque: true };
    pub const NEVER: First = First { consume: ByteSet::EMPTY, pass: ByteSet::EMPTY, at_end: false, opaque: false };

    pub fn consuming(set: ByteSet) -> First {
        First { consume: set, ..First::NEVER }
    }

    /// Every byte on which it may match.
    pub fn any(&self) -> ByteSet {
        self.consume.union(self.pass)
    }

    /// Every byte on which it and what follows may match.
    pub fn before(&self, follow: ByteSet) -> ByteSet {
        self.consume.union(self.pass.intersection(follow))
    }

    pub fn then(self, next: First) -> First {
        let opaque = self.opaque || next.opaque;
        First {
            consume: self.before(next.consume),
            pass: self.pass.intersection(next.pass),
            at_end: opaque || self.at_end && next.at_end,
            opaque,
        }
    }

    pub fn or(self, other: First) -> First {
        First {
            consume: self.consume.union(other.consume),
            pass: self.pass.union(other.pass),
            at_end: self.at_end || other.at_end,
            opaque: self.opaque || other.opaque,
        }
    }
}
