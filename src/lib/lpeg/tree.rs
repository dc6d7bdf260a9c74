//! Patterns as trees, and the constructors that put them together.
//!
//! A tree is an array of nodes in preorder: a node is followed by its children, and knows how many nodes it heads. So
//! trees are joined by copying, hold no pointers, and can live in memory that a garbage collector owns. Sequences and
//! choices have any number of children: a pattern built up in a loop stays flat.
//!
//! Values of the script that builds a pattern (constants, functions, names) are numbers here, from 1; whoever joins
//! two patterns says by how much those of the second are shifted.

use std::num::NonZeroU16;

use super::set::ByteSet;

/// Nodes of one pattern. A pattern doubled again and again ends here.
pub const MAX_NODES: usize = 1 << 18;
/// Nesting of one pattern. What walks over a tree recurses, so this bounds its stack.
pub const MAX_DEPTH: u16 = 1000;
/// Rules of one grammar.
pub const MAX_RULES: usize = 1000;
/// Bytes that a look-behind may go back.
pub const MAX_BEHIND: usize = 255;
/// No upper bound.
pub const UNBOUNDED: u32 = u32::MAX;

/// What a capture makes of the text that its pattern matched and of the captures in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The position.
    Position,
    /// A value.
    Constant,
    /// An extra argument of the match: `value` is its number.
    Argument,
    /// What the last group of that name holds.
    Backreference,
    /// The text.
    Simple,
    /// A table.
    Table,
    /// The results of a function.
    Function,
    /// The results of the function that reads a number in decimal or hexadecimal, which needs no call.
    Numeral,
    /// What a table has for the first capture.
    Query,
    /// A text with `%n` replaced.
    Text,
    /// The capture number `value`; none for 0.
    Number,
    /// The text, with what was captured in it replaced.
    Substitution,
    /// A function over the captures, from the left.
    Fold,
    /// A function that changes the value before.
    Accumulator,
    /// Captures that belong together; named when `value` is not 0.
    Group,
    /// A value that a match-time function left; `value` is its place among those.
    Dynamic,
    /// What a native grammar reads; it is described by values from `value` on.
    Native,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    True,
    False,
    /// So many bytes, whatever they are.
    Any(u32),
    /// Text in the pool.
    Literal {
        at: u32,
        len: u32,
    },
    /// A byte of the set in the pool (32 bytes, bit n%8 of byte n/8).
    Set {
        at: u32,
    },
    /// A UTF-8 sequence for a code point in this range; surrogates count as such.
    Utf8 {
        from: u32,
        to: u32,
    },
    Seq,
    Choice,
    /// As often as it goes, within bounds.
    Repeat {
        min: u32,
        max: u32,
    },
    And,
    Not,
    /// Matches so many bytes back.
    Behind(u32),
    Capture {
        kind: Kind,
        value: u32,
    },
    /// A function called while matching.
    RunTime {
        value: u32,
    },
    /// A rule, by its name; not in a grammar yet.
    OpenCall {
        name: u32,
    },
    /// A rule of the innermost grammar around, by its place.
    Call {
        rule: u32,
    },
    /// Its children are rules; the first one is where it starts.
    Grammar {
        nullable: bool,
        no_fail: bool,
        captures: bool,
        fixed_len: Option<NonZeroU16>,
    },
    Rule {
        name: u32,
        nullable: bool,
        no_fail: bool,
        captures: bool,
        /// The length and one; `None` when it has none or doesn't fit.
        fixed_len: Option<NonZeroU16>,
    },
    /// A native grammar that reads a prefix, by its number. It captures if it has a value.
    Native {
        grammar: u32,
        value: u32,
        nullable: bool,
    },
}

/// A node and the number of nodes that it heads, itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    pub op: Op,
    pub size: u32,
}

/// A pattern, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    pub nodes: &'a [Node],
    /// Texts and sets.
    pub pool: &'a [u8],
    /// How deep it is nested.
    pub depth: u16,
}

impl<'a> Tree<'a> {
    pub fn op(&self, at: usize) -> Op {
        self.nodes[at].op
    }

    /// The first node behind the one at `at` and all that it heads.
    pub fn end(&self, at: usize) -> usize {
        at + self.nodes[at].size as usize
    }

    /// The children of a node.
    pub fn children(self, at: usize) -> Children<'a> {
        Children { tree: self, at: at + 1, end: self.end(at) }
    }

    pub fn text(&self, at: u32, len: u32) -> &'a [u8] {
        &self.pool[at as usize..][..len as usize]
    }

    pub fn set(&self, at: u32) -> ByteSet {
        let bits = &self.pool[at as usize..][..32];
        let mut set = ByteSet::EMPTY;
        (0..=255u8).filter(|&byte| bits[byte as usize / 8] >> (byte % 8) & 1 != 0).for_each(|byte| set.insert(byte));
        set
    }

    /// The set of bytes that the node matches, if it always matches one byte and does nothing else.
    pub fn charset(&self, at: usize) -> Option<ByteSet> {
        match self.op(at) {
            Op::Any(1) => Some(ByteSet::FULL),
            Op::Literal { at, len: 1 } => Some(ByteSet::of(self.text(at, 1))),
            Op::Set { at } => Some(self.set(at)),
            _ => None,
        }
    }
}

/// See [`Tree::children`]: the places of the nodes.
pub struct Children<'a> {
    tree: Tree<'a>,
    at: usize,
    end: usize,
}

impl Iterator for Children<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.at;
        (at < self.end).then(|| {
            self.at = self.tree.end(at);
            at
        })
    }
}

/// Why a pattern can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    TooLarge,
    TooDeep,
    /// A repeated pattern may match nothing.
    EmptyLoop,
    NotFixedLength,
    HasCaptures,
    BehindTooLong,
    TooManyRules,
    /// The rule's name, by number.
    UndefinedRule(u32),
    LeftRecursive(u32),
    EmptyLoopInRule(u32),
    OutsideGrammar(u32),
}

/// A pattern that is being made. One is used again and again, so making a pattern allocates nothing.
#[derive(Clone, Default, Debug)]
pub struct Builder {
    pub nodes: Vec<Node>,
    pub pool: Vec<u8>,
    pub depth: u16,
}

impl Builder {
    pub fn tree(&self) -> Tree<'_> {
        Tree { nodes: &self.nodes, pool: &self.pool, depth: self.depth }
    }

    pub fn clear(&mut self) {
        self.nodes.clear();
        self.pool.clear();
        self.depth = 0;
    }

    /// A pattern of one node.
    pub fn leaf(&mut self, op: Op) {
        self.clear();
        self.push(op);
        self.depth = 1;
    }

    /// A text; the empty one always matches.
    ///
    /// # Errors
    /// It is longer than a pattern may be.
    pub fn literal(&mut self, text: &[u8]) -> Result<(), BuildError> {
        match text.len() {
            0 => self.leaf(Op::True),
            len if len > MAX_NODES * 16 => return Err(BuildError::TooLarge),
            len => {
                self.leaf(Op::Literal { at: 0, len: len as u32 });
                self.pool.extend_from_slice(text);
            }
        }
        Ok(())
    }

    /// `n` bytes; for a negative number, not so many.
    pub fn any(&mut self, n: i32) {
        match n {
            0 => self.leaf(Op::True),
            1.. => self.leaf(Op::Any(n as u32)),
            _ => {
                self.clear();
                self.push(Op::Not);
                self.push(Op::Any(n.unsigned_abs()));
                self.nodes[0].size = 2;
                self.depth = 2;
            }
        }
    }

    pub fn set(&mut self, set: ByteSet) {
        self.leaf(Op::Set { at: 0 });
        let mut bits = [0u8; 32];
        set.iter().for_each(|byte| bits[byte as usize / 8] |= 1 << (byte % 8));
        self.pool.extend_from_slice(&bits);
    }

    /// One after the other.
    ///
    /// # Errors
    /// The pattern gets too large or too deep.
    pub fn seq(&mut self, first: Tree<'_>, second: Tree<'_>, shift: u32) -> Result<(), BuildError> {
        match (first.op(0), second.op(0)) {
            (Op::False, _) | (_, Op::True) => self.copy(first),
            (Op::True, _) => self.copy_shifted(second, shift),
            _ => self.join(Op::Seq, first, second, shift),
        }
    }

    /// The first, or if it fails the second.
    ///
    /// # Errors
    /// As [`seq`](Self::seq).
    pub fn choice(&mut self, first: Tree<'_>, second: Tree<'_>, shift: u32) -> Result<(), BuildError> {
        if let (Some(one), Some(other)) = (first.charset(0), second.charset(0)) {
            self.set(one.union(other));
            return Ok(());
        }
        if first.no_fail(0) || second.op(0) == Op::False {
            self.copy(first)
        } else if first.op(0) == Op::False {
            self.copy_shifted(second, shift)
        } else {
            self.join(Op::Choice, first, second, shift)
        }
    }

    /// The first, where the second doesn't match.
    ///
    /// # Errors
    /// As [`seq`](Self::seq).
    pub fn minus(&mut self, first: Tree<'_>, second: Tree<'_>, shift: u32) -> Result<(), BuildError> {
        if let (Some(one), Some(other)) = (first.charset(0), second.charset(0)) {
            self.set(one.minus(other));
            return Ok(());
        }
        self.clear();
        self.push(Op::Seq);
        self.push(Op::Not);
        self.append(second, shift);
        self.nodes[1].size = self.nodes.len() as u32 - 1;
        self.append_flat(Op::Seq, first, 0);
        self.close((second.depth + 1).max(first.depth))
    }

    /// `n` times or more; for a negative number, at most so many times.
    ///
    /// # Errors
    /// [`BuildError::EmptyLoop`], or as [`seq`](Self::seq).
    pub fn repeat(&mut self, body: Tree<'_>, n: i32) -> Result<(), BuildError> {
        if n >= 0 && body.nullable(0) {
            return Err(BuildError::EmptyLoop);
        }
        let (min, max) = if n >= 0 { (n as u32, UNBOUNDED) } else { (0, n.unsigned_abs()) };
        // Copies are made when the pattern is compiled; one that could never be is refused now.
        let copies = if max == UNBOUNDED { min } else { max };
        if body.nodes.len().saturating_mul(copies as usize) > MAX_NODES {
            return Err(BuildError::TooLarge);
        }
        self.wrap(Op::Repeat { min, max }, body)
    }

    /// What matches where the pattern does, up to here.
    ///
    /// # Errors
    /// The pattern has captures, no fixed length, or is too long.
    pub fn behind(&mut self, body: Tree<'_>) -> Result<(), BuildError> {
        let len = body.fixed_len(0).ok_or(BuildError::NotFixedLength)?;
        if body.has_captures(0) {
            return Err(BuildError::HasCaptures);
        }
        if len > MAX_BEHIND {
            return Err(BuildError::BehindTooLong);
        }
        self.wrap(Op::Behind(len as u32), body)
    }

    /// A node around a pattern.
    ///
    /// # Errors
    /// As [`seq`](Self::seq).
    pub fn wrap(&mut self, op: Op, body: Tree<'_>) -> Result<(), BuildError> {
        self.clear();
        self.push(op);
        self.append(body, 0);
        self.close(body.depth)
    }

    /// A capture of nothing but a value.
    pub fn empty_capture(&mut self, kind: Kind, value: u32) {
        self.leaf(Op::Capture { kind, value });
        self.nodes[0].size = 2;
        self.push(Op::True);
        self.depth = 2;
    }

    /// A capture that has captures of values in it, each a number of its own: the first is `first`.
    pub fn constants(&mut self, first: u32, count: u32) {
        match count {
            0 => self.leaf(Op::True),
            1 => self.empty_capture(Kind::Constant, first),
            _ => {
                self.clear();
                self.push(Op::Capture { kind: Kind::Group, value: 0 });
                self.push(Op::Seq);
                for value in first..first + count {
                    self.nodes.push(Node { op: Op::Capture { kind: Kind::Constant, value }, size: 2 });
                    self.push(Op::True);
                }
                self.nodes[0].size = self.nodes.len() as u32;
                self.nodes[1].size = self.nodes.len() as u32 - 1;
                self.depth = 4;
            }
        }
    }

    /// A pattern as it is.
    fn copy(&mut self, tree: Tree<'_>) -> Result<(), BuildError> {
        self.copy_shifted(tree, 0)
    }

    fn copy_shifted(&mut self, tree: Tree<'_>, shift: u32) -> Result<(), BuildError> {
        self.clear();
        self.append(tree, shift);
        self.depth = tree.depth;
        Ok(())
    }

    fn join(&mut self, op: Op, first: Tree<'_>, second: Tree<'_>, shift: u32) -> Result<(), BuildError> {
        self.clear();
        self.push(op);
        self.append_flat(op, first, 0);
        self.append_flat(op, second, shift);
        let depth = |tree: Tree<'_>| if tree.op(0) == op { tree.depth - 1 } else { tree.depth };
        self.close(depth(first).max(depth(second)))
    }

    pub(super) fn push(&mut self, op: Op) {
        self.nodes.push(Node { op, size: 1 });
    }

    /// Sets the size of the first node, which heads all.
    pub(super) fn close(&mut self, depth: u16) -> Result<(), BuildError> {
        if self.nodes.len() > MAX_NODES || self.pool.len() > MAX_NODES * 16 {
            return Err(BuildError::TooLarge);
        }
        if depth >= MAX_DEPTH {
            return Err(BuildError::TooDeep);
        }
        self.nodes[0].size = self.nodes.len() as u32;
        self.depth = depth + 1;
        Ok(())
    }

    /// Appends a pattern's children if it is a sequence in a sequence (a choice in a choice), otherwise itself.
    fn append_flat(&mut self, op: Op, tree: Tree<'_>, shift: u32) {
        let skip = (tree.op(0) == op) as usize;
        self.append_nodes(&tree.nodes[skip..], tree.pool, shift);
    }

    pub(super) fn append(&mut self, tree: Tree<'_>, shift: u32) {
        self.append_nodes(tree.nodes, tree.pool, shift);
    }

    fn append_nodes(&mut self, nodes: &[Node], pool: &[u8], shift: u32) {
        let base = self.pool.len() as u32;
        self.pool.extend_from_slice(pool);
        let moved = |value: u32| if value == 0 { 0 } else { value + shift };
        self.nodes.extend(nodes.iter().map(|node| {
            let op = match node.op {
                Op::Literal { at, len } => Op::Literal { at: at + base, len },
                Op::Set { at } => Op::Set { at: at + base },
                Op::Capture { kind, value } if kind.has_value() => Op::Capture { kind, value: moved(value) },
                Op::RunTime { value } => Op::RunTime { value: moved(value) },
                Op::OpenCall { name } => Op::OpenCall { name: moved(name) },
                Op::Native { grammar, value, nullable } => Op::Native { grammar, value: moved(value), nullable },
                Op::Rule { name, nullable, no_fail, captures, fixed_len } => {
                    Op::Rule { name: moved(name), nullable, no_fail, captures, fixed_len }
                }
                op => op,
            };
            Node { op, size: node.size }
        }));
    }
}

impl Kind {
    /// Whether the number of a capture of this kind is that of a script's value.
    pub fn has_value(self) -> bool {
        match self {
            Kind::Constant | Kind::Backreference | Kind::Function | Kind::Numeral | Kind::Query => true,
            Kind::Text | Kind::Fold | Kind::Accumulator | Kind::Group | Kind::Native => true,
            Kind::Position | Kind::Argument | Kind::Simple | Kind::Table | Kind::Number => false,
            Kind::Substitution | Kind::Dynamic => false,
        }
    }
}
