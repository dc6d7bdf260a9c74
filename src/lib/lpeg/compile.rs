//! Trees to programs.
//!
//! What makes the programs fast: the first bytes of alternatives decide which of them are tried at all, so most
//! choices need no entry on the stack; runs of bytes become one instruction; a loop begins with the bytes that its
//! body surely takes one by one.

use std::collections::HashMap;

use super::analysis::First;
use super::program::{Instr, Program};
use super::set::ByteSet;
use super::tree::{BuildError, Kind, MAX_BEHIND, MAX_NODES, Op, Tree, UNBOUNDED};

/// Rules and levels that the search for a first byte enters; beyond it any byte will do.
const MAX_LOOK: u32 = 500;
/// Bytes of switch tables in one program.
const MAX_TARGETS: usize = 257 * 1024;

/// Compiles a pattern.
///
/// # Errors
/// A rule is used outside of a grammar, or the program gets too large.
pub fn compile(tree: Tree<'_>) -> Result<Program, BuildError> {
    if let Some(name) = tree.nodes.iter().find_map(|node| match node.op {
        Op::OpenCall { name } => Some(name),
        _ => None,
    }) {
        return Err(BuildError::OutsideGrammar(name));
    }
    let mut compiler = Compiler {
        tree,
        program: Program::default(),
        first: HashMap::new(),
        head_fail: HashMap::new(),
        test: None,
        rules: Vec::new(),
    };
    compiler.node(0, ByteSet::FULL)?;
    compiler.emit(Instr::End)?;
    compiler.shorten_jumps();
    Ok(compiler.program)
}

/// A label whose place isn't known yet.
const LATER: u32 = u32::MAX;

struct Compiler<'a> {
    tree: Tree<'a>,
    program: Program,
    /// What is known of nodes by now.
    first: HashMap<usize, First>,
    head_fail: HashMap<usize, bool>,
    /// The test that was just emitted.
    test: Option<usize>,
    /// The rules of the grammar at hand: where each stands in the tree.
    rules: Vec<usize>,
}

impl Compiler<'_> {
    fn emit(&mut self, instr: Instr) -> Result<usize, BuildError> {
        if self.program.code.len() >= MAX_NODES {
            return Err(BuildError::TooLarge);
        }
        // A test and the step that takes what was tested are one, if nothing jumps between them.
        if let Some(test) = self.test.take() {
            let fused = match (self.program.code[test], instr) {
                (Instr::TestByte { byte, otherwise }, Instr::Byte(taken)) if byte == taken => {
                    Some(Instr::TakeByte { byte, otherwise })
                }
                (Instr::TestSet { set, otherwise }, Instr::Set(taken)) if set == taken => {
                    Some(Instr::TakeSet { set, otherwise })
                }
                _ => None,
            };
            if let Some(fused) = fused {
                self.program.code[test] = fused;
                return Ok(test);
            }
        }
        self.program.code.push(instr);
        Ok(self.program.code.len() - 1)
    }

    /// The place of the next instruction: something may jump there.
    fn here(&mut self) -> u32 {
        self.test = None;
        self.program.code.len() as u32
    }

    /// Sets the target of the instruction at `at` to the place that is reached now.
    fn land(&mut self, at: usize) {
        let here = self.here();
        self.aim(at, here);
    }

    fn aim(&mut self, at: usize, place: u32) {
        match &mut self.program.code[at] {
            Instr::TestByte { otherwise, .. }
            | Instr::TestSet { otherwise, .. }
            | Instr::TestAny { otherwise, .. }
            | Instr::TakeByte { otherwise, .. }
            | Instr::TakeSet { otherwise, .. }
            | Instr::TakeBytes { otherwise, .. }
            | Instr::Choice { otherwise } => *otherwise = place,
            Instr::Jump(target)
            | Instr::Commit(target)
            | Instr::PartialCommit(target)
            | Instr::BackCommit(target)
            | Instr::Call(target) => *target = place,
            _ => {}
        }
    }

    fn set(&mut self, set: ByteSet) -> u32 {
        let known = self.program.sets.iter().rev().take(64).position(|&known| known == set);
        let count = self.program.sets.len();
        if let Some(back) = known {
            return (count - 1 - back) as u32;
        }
        self.program.sets.push(set);
        count as u32
    }

    fn pool(&mut self, text: &[u8]) -> u32 {
        let at = self.program.pool.len() as u32;
        self.program.pool.extend_from_slice(text);
        at
    }

    /// Code for a node. `follow`: on which bytes what comes behind it may match.
    fn node(&mut self, at: usize, follow: ByteSet) -> Result<(), BuildError> {
        if let Some(set) = self.tree.charset(at) {
            return self.charset(set, 1);
        }
        match self.tree.op(at) {
            Op::True => {}
            Op::False => {
                self.emit(Instr::Fail)?;
            }
            Op::Any(count) => {
                self.emit(Instr::Any(count))?;
            }
            Op::Literal { at, len } => self.literal(self.tree.text(at, len))?,
            Op::Set { .. } => {}
            Op::Utf8 { from, to } => {
                self.emit(Instr::Utf8 { from, to })?;
            }
            Op::Seq => self.seq(at, follow)?,
            Op::Choice => self.choice(at, follow)?,
            Op::Repeat { min, max } => self.repeat(at + 1, min, max, follow)?,
            Op::And => self.and(at + 1)?,
            Op::Not => self.not(at + 1)?,
            Op::Behind(len) => {
                if len > 0 {
                    self.emit(Instr::Behind(len))?;
                }
                self.node(at + 1, ByteSet::FULL)?;
            }
            Op::Capture { kind, value } => self.capture(at, kind, value, follow)?,
            Op::RunTime { value } => {
                self.emit(Instr::Open { kind: Kind::Group, value })?;
                self.node(at + 1, ByteSet::FULL)?;
                self.emit(Instr::CloseRunTime)?;
            }
            Op::Call { rule } => {
                // The number of the rule; `grammar` puts its place in the code once that is known.
                self.emit(Instr::Call(rule))?;
            }
            Op::Grammar { .. } => self.grammar(at)?,
            Op::Rule { .. } => self.node(at + 1, follow)?,
            Op::Native { grammar, value, .. } => {
                self.emit(Instr::Native { grammar, value })?;
            }
            // Refused before.
            Op::OpenCall { name } => return Err(BuildError::OutsideGrammar(name)),
        }
        Ok(())
    }

    /// So many bytes of a set.
    fn charset(&mut self, set: ByteSet, count: u32) -> Result<(), BuildError> {
        let mut bytes = set.iter();
        let instr = match (bytes.next(), set.len()) {
            (None, _) => Instr::Fail,
            (_, 256) => Instr::Any(count),
            _ if count > 1 => Instr::SpanTo { set: self.set(set), min: count, max: count },
            (Some(byte), 1) => Instr::Byte(byte),
            _ => Instr::Set(self.set(set)),
        };
        self.emit(instr)?;
        Ok(())
    }

    fn literal(&mut self, text: &[u8]) -> Result<(), BuildError> {
        let instr = match text {
            [byte] => Instr::Byte(*byte),
            _ if text.len() <= 8 => {
                let mut short = [0; 8];
                short[..text.len()].copy_from_slice(text);
                Instr::Short { text: short, len: text.len() as u8 }
            }
            _ => Instr::Bytes { at: self.pool(text), len: text.len() as u32 },
        };
        self.emit(instr)?;
        Ok(())
    }

    fn seq(&mut self, at: usize, follow: ByteSet) -> Result<(), BuildError> {
        let children: Vec<usize> = self.tree.children(at).collect();
        let mut follows = vec![follow; children.len()];
        for place in (1..children.len()).rev() {
            follows[place - 1] = self.first(children[place], 0).before(follows[place]);
        }
        let mut place = 0;
        while place < children.len() {
            let run = &children[place..];
            // Texts that stand side by side are one; bytes of the same set are counted.
            let texts = run.iter().take_while(|&&child| matches!(self.tree.op(child), Op::Literal { .. })).count();
            if texts > 1 {
                let text: Vec<u8> = run[..texts].iter().flat_map(|&child| self.literal_text(child)).copied().collect();
                self.literal(&text)?;
                place += texts;
                continue;
            }
            if let Some(set) = self.tree.charset(run[0]) {
                let same = run.iter().take_while(|&&child| self.tree.charset(child) == Some(set)).count();
                self.charset(set, same as u32)?;
                place += same;
                continue;
            }
            self.node(run[0], follows[place])?;
            place += 1;
        }
        Ok(())
    }

    fn literal_text(&self, at: usize) -> &[u8] {
        match self.tree.op(at) {
            Op::Literal { at, len } => self.tree.text(at, len),
            _ => &[],
        }
    }

    fn choice(&mut self, at: usize, follow: ByteSet) -> Result<(), BuildError> {
        let children: Vec<usize> = self.tree.children(at).collect();
        let firsts: Vec<First> = children.iter().map(|&child| self.first(child, 0)).collect();
        let last = children.len() - 1;
        // On which bytes each alternative, and any of those behind it, may match.
        let mut later = vec![ByteSet::EMPTY; children.len()];
        for place in (0..last).rev() {
            let next = firsts[place + 1];
            let matches = if place + 1 == last { next.before(follow) } else { next.any() };
            later[place] = later[place + 1].union(matches);
        }
        let selective = |first: &&First| !first.at_end && first.any() != ByteSet::FULL;
        let switch = children.len() > 2 && firsts.iter().filter(selective).count() > 1;
        let switch = switch && self.program.targets.len() < MAX_TARGETS;
        let table = self.program.targets.len();
        if switch {
            self.emit(Instr::Switch { table: table as u32 })?;
            self.program.targets.resize(table + 257, LATER);
        }
        let mut ends = Vec::new();
        for (place, (&child, first)) in children.iter().zip(&firsts).enumerate() {
            if place == last {
                if switch {
                    self.enter(table, &First::UNKNOWN);
                }
                self.node(child, follow)?;
                break;
            }
            // A text is taken as a whole or not at all: nothing to go back to.
            if let Op::Literal { at, len } = self.tree.op(child)
                && len > 1
            {
                if switch {
                    self.enter(table, first);
                }
                let at = self.pool(self.tree.text(at, len));
                let take = self.emit(Instr::TakeBytes { at, len, otherwise: LATER })?;
                ends.push(self.emit(Instr::Jump(LATER))?);
                self.land(take);
                continue;
            }
            let test = if first.at_end { None } else { Some(self.test(first.any())?) };
            if switch {
                self.enter(table, first);
            }
            let alone = test.is_some() && (self.head_fail(child, 0) || first.any().is_disjoint(later[place]));
            if alone {
                self.node(child, follow)?;
                ends.push(self.emit(Instr::Jump(LATER))?);
            } else {
                let choice = self.emit(Instr::Choice { otherwise: LATER })?;
                self.node(child, ByteSet::FULL)?;
                ends.push(self.emit(Instr::Commit(LATER))?);
                self.land(choice);
            }
            if let Some(test) = test {
                self.land(test);
            }
        }
        ends.into_iter().for_each(|end| self.land(end));
        Ok(())
    }

    /// Lets a switch come here for what an alternative may match and none before it does.
    fn enter(&mut self, table: usize, first: &First) {
        let here = self.here();
        let any = if first.opaque { ByteSet::FULL } else { first.any() };
        for byte in 0..=255u8 {
            let target = &mut self.program.targets[table + byte as usize];
            if *target == LATER && any.contains(byte) {
                *target = here;
            }
        }
        let end = &mut self.program.targets[table + 256];
        if *end == LATER && first.at_end {
            *end = here;
        }
    }

    fn test(&mut self, set: ByteSet) -> Result<usize, BuildError> {
        let instr = match (set.iter().next(), set.len()) {
            (_, 256) => Instr::TestAny { count: 1, otherwise: LATER },
            (Some(byte), 1) => Instr::TestByte { byte, otherwise: LATER },
            _ => Instr::TestSet { set: self.set(set), otherwise: LATER },
        };
        let test = self.emit(instr)?;
        self.test = Some(test);
        Ok(test)
    }

    fn repeat(&mut self, body: usize, min: u32, max: u32, follow: ByteSet) -> Result<(), BuildError> {
        if let Some(set) = self.tree.charset(body) {
            return self.span(set, min, max);
        }
        let first = self.first(body, 0);
        let again = first.any().union(follow);
        for _ in 0..min {
            self.node(body, again)?;
        }
        if max == UNBOUNDED { self.star(body, first, follow) } else { self.at_most(body, first, max - min, follow) }
    }

    fn span(&mut self, set: ByteSet, min: u32, max: u32) -> Result<(), BuildError> {
        let others: Vec<u8> = set.complement().iter().take(4).collect();
        let instr = match others[..] {
            _ if max != UNBOUNDED => Instr::SpanTo { set: self.set(set), min, max },
            [byte] => Instr::Until { bytes: [byte; 3], min },
            [one, two] => Instr::Until { bytes: [one, two, two], min },
            [one, two, three] => Instr::Until { bytes: [one, two, three], min },
            _ => Instr::Span { set: self.set(set), min },
        };
        self.emit(instr)?;
        Ok(())
    }

    fn star(&mut self, body: usize, first: First, follow: ByteSet) -> Result<(), BuildError> {
        if let Some(text) = self.searched(body) {
            let text = text.to_vec();
            let (at, len) = (self.pool(&text), text.len() as u32);
            self.emit(Instr::Search { at, len })?;
            return Ok(());
        }
        let fast = self.fast(body);
        let skip = |compiler: &mut Self| {
            if fast.is_empty() { Ok(()) } else { compiler.span(fast, 0, UNBOUNDED) }
        };
        let bounded = !first.at_end;
        let again = first.any().union(follow);
        if bounded && (self.head_fail(body, 0) || first.any().is_disjoint(follow)) {
            let start = self.here();
            skip(self)?;
            let test = self.test(first.any())?;
            self.node(body, again)?;
            self.emit(Instr::Jump(start))?;
            self.land(test);
        } else {
            skip(self)?;
            let test = if bounded { Some(self.test(first.any())?) } else { None };
            let choice = self.emit(Instr::Choice { otherwise: LATER })?;
            let start = self.here();
            self.node(body, ByteSet::FULL)?;
            skip(self)?;
            self.emit(Instr::PartialCommit(start))?;
            self.land(choice);
            if let Some(test) = test {
                self.land(test);
            }
        }
        Ok(())
    }

    fn at_most(&mut self, body: usize, first: First, max: u32, follow: ByteSet) -> Result<(), BuildError> {
        let bounded = !first.at_end;
        let again = first.any().union(follow);
        let alone = bounded && (self.head_fail(body, 0) || first.any().is_disjoint(follow));
        let mut tests = Vec::new();
        let mut choice = None;
        for time in 0..max {
            if alone || (bounded && time == 0) {
                tests.push(self.test(first.any())?);
            }
            if !alone {
                let here = self.here();
                match choice {
                    None => choice = Some(self.emit(Instr::Choice { otherwise: LATER })?),
                    Some(_) => drop(self.emit(Instr::PartialCommit(here + 1))?),
                }
            }
            self.node(body, if alone { again } else { ByteSet::FULL })?;
        }
        if let Some(choice) = choice {
            let end = self.here() + 1;
            self.emit(Instr::Commit(end))?;
            self.land(choice);
        }
        tests.into_iter().for_each(|test| self.land(test));
        Ok(())
    }

    /// The text in `(1 - text)^0`.
    fn searched(&self, body: usize) -> Option<&[u8]> {
        let mut children = self.tree.children(body);
        let (not, any, rest) = (children.next()?, children.next()?, children.next());
        let fits = self.tree.op(body) == Op::Seq && rest.is_none() && self.tree.op(any) == Op::Any(1);
        match self.tree.op(not) {
            Op::Not if fits && matches!(self.tree.op(not + 1), Op::Literal { .. }) => Some(self.literal_text(not + 1)),
            _ => None,
        }
    }

    /// Bytes on which a node surely consumes just that byte and does nothing else.
    fn fast(&mut self, at: usize) -> ByteSet {
        if let Some(set) = self.tree.charset(at) {
            return set;
        }
        let children: Vec<usize> = self.tree.children(at).collect();
        match self.tree.op(at) {
            Op::Choice => {
                let mut before = ByteSet::EMPTY;
                let mut fast = ByteSet::EMPTY;
                for child in children {
                    fast = fast.union(self.fast(child).minus(before));
                    before = before.union(self.first(child, 0).any());
                }
                fast
            }
            Op::Seq => match children[..] {
                [not, set] if self.tree.op(not) == Op::Not => {
                    let Some(set) = self.tree.charset(set) else { return ByteSet::EMPTY };
                    set.minus(self.first(not + 1, 0).any())
                }
                _ => ByteSet::EMPTY,
            },
            _ => ByteSet::EMPTY,
        }
    }

    fn and(&mut self, body: usize) -> Result<(), BuildError> {
        if let Some(set) = self.tree.charset(body) {
            let set = self.set(set);
            self.emit(Instr::AndSet(set))?;
        } else if let Some(len) = self.plain_len(body).filter(|&len| len <= MAX_BEHIND) {
            self.node(body, ByteSet::FULL)?;
            if len > 0 {
                self.emit(Instr::Behind(len as u32))?;
            }
        } else {
            let choice = self.emit(Instr::Choice { otherwise: LATER })?;
            self.node(body, ByteSet::FULL)?;
            let commit = self.emit(Instr::BackCommit(LATER))?;
            self.land(choice);
            self.emit(Instr::Fail)?;
            self.land(commit);
        }
        Ok(())
    }

    fn not(&mut self, body: usize) -> Result<(), BuildError> {
        if let Op::Any(count) = self.tree.op(body) {
            self.emit(Instr::NotAny(count))?;
        } else if let Some(set) = self.tree.charset(body) {
            let set = self.set(set);
            self.emit(Instr::NotSet(set))?;
        } else {
            let first = self.first(body, 0);
            if !first.at_end && self.head_fail(body, 0) {
                let set = self.set(first.any());
                self.emit(Instr::NotSet(set))?;
                return Ok(());
            }
            let test = if first.at_end { None } else { Some(self.test(first.any())?) };
            let choice = self.emit(Instr::Choice { otherwise: LATER })?;
            self.node(body, ByteSet::FULL)?;
            self.emit(Instr::FailTwice)?;
            self.land(choice);
            if let Some(test) = test {
                self.land(test);
            }
        }
        Ok(())
    }

    /// The length of what captures nothing and has a length.
    fn plain_len(&self, at: usize) -> Option<usize> {
        let calls = self.tree.nodes[at..self.tree.end(at)].iter().any(|node| matches!(node.op, Op::Call { .. }));
        (!calls && !self.tree.has_captures(at)).then(|| self.tree.fixed_len(at))?
    }

    fn capture(&mut self, at: usize, kind: Kind, value: u32, follow: ByteSet) -> Result<(), BuildError> {
        let value = match kind {
            // How large the table will be: 16 bits each.
            Kind::Table => {
                let (positional, named) = self.tree.table_size(at + 1);
                positional.min(0xffff) | named.min(0xffff) << 16
            }
            _ => value,
        };
        match self.plain_len(at + 1) {
            Some(len) if len < u32::MAX as usize => {
                self.node(at + 1, follow)?;
                self.emit(Instr::Full { kind, value, len: len as u32 })?;
            }
            _ => {
                let open = self.emit(Instr::Open { kind, value })?;
                self.node(at + 1, follow)?;
                self.emit(Instr::Close)?;
                self.fuse_capture(open, kind, value);
            }
        }
        Ok(())
    }

    /// A captured run of bytes is one instruction.
    fn fuse_capture(&mut self, open: usize, kind: Kind, value: u32) {
        let fused = match self.program.code[open + 1..] {
            [Instr::Span { set, min }, Instr::Close] => match (set.try_into(), min.try_into()) {
                (Ok(set), Ok(min)) => Instr::SpanCapture { set, min, kind, value },
                _ => return,
            },
            [Instr::Until { bytes, min }, Instr::Close] if min < 256 => {
                Instr::UntilCapture { bytes, min: min as u8, kind, value }
            }
            _ => return,
        };
        self.program.code.truncate(open);
        self.program.code.push(fused);
    }

    fn grammar(&mut self, at: usize) -> Result<(), BuildError> {
        let outer = std::mem::replace(&mut self.rules, self.tree.children(at).collect());
        let entry = self.here() as usize;
        self.emit(Instr::Call(LATER))?;
        let end = self.emit(Instr::Jump(LATER))?;
        let mut places = Vec::with_capacity(self.rules.len());
        let mut inner = Vec::new();
        for place in 0..self.rules.len() {
            let start = self.here();
            places.push(start);
            self.node(self.rules[place] + 1, ByteSet::FULL)?;
            self.emit(Instr::Return)?;
            inner.push(start..self.here());
        }
        // Calls of grammars inside of this one have been resolved: they are marked by a target beyond all rules.
        for at in inner.into_iter().flatten() {
            if let Instr::Call(target) = &mut self.program.code[at as usize]
                && let Some(&place) = places.get(*target as usize)
            {
                *target = place | RESOLVED;
            }
        }
        self.aim(entry, places[0] | RESOLVED);
        self.land(end);
        self.rules = outer;
        Ok(())
    }

    fn first(&mut self, at: usize, level: u32) -> First {
        if let Some(&known) = self.first.get(&at) {
            return known;
        }
        if level > MAX_LOOK {
            return First::UNKNOWN;
        }
        let first = self.first_of(at, level + 1);
        self.first.insert(at, first);
        first
    }

    fn first_of(&mut self, at: usize, level: u32) -> First {
        let passing = |pass: ByteSet, at_end: bool| First { pass, at_end, ..First::NEVER };
        let anything = passing(ByteSet::FULL, true);
        match self.tree.op(at) {
            Op::True | Op::Behind(_) => anything,
            Op::False => First::NEVER,
            Op::Any(_) => First::consuming(ByteSet::FULL),
            Op::Literal { .. } => First::consuming(ByteSet::of(&self.literal_text(at)[..1])),
            Op::Set { at } => First::consuming(self.tree.set(at)),
            Op::Utf8 { from, to } => First::consuming(utf8_heads(from, to)),
            Op::Seq => {
                let mut first = anything;
                for child in self.tree.children(at) {
                    if first.pass.is_empty() && !first.at_end {
                        break;
                    }
                    first = first.then(self.first(child, level));
                }
                first
            }
            Op::Choice => {
                let mut first = First::NEVER;
                for child in self.tree.children(at) {
                    first = first.or(self.first(child, level));
                }
                first
            }
            Op::Repeat { min: 0, .. } => self.first(at + 1, level).or(anything),
            Op::Repeat { .. } | Op::Capture { .. } => self.first(at + 1, level),
            Op::And => {
                let first = self.first(at + 1, level);
                First { opaque: first.opaque, ..passing(first.any(), first.at_end) }
            }
            Op::Not => match self.tree.charset(at + 1) {
                Some(set) => passing(set.complement(), true),
                None => First { opaque: self.first(at + 1, level).opaque, ..anything },
            },
            Op::RunTime { .. } => {
                let first = self.first(at + 1, level);
                // The function may go on from anywhere, if it is called at all.
                if first.pass.is_empty() && !first.at_end { first } else { First::UNKNOWN }
            }
            Op::Call { rule } => match self.rules.get(rule as usize) {
                Some(&rule) => self.first(rule + 1, level),
                None => First::UNKNOWN,
            },
            Op::Grammar { .. } => {
                let outer = std::mem::replace(&mut self.rules, self.tree.children(at).collect());
                let first = self.first(at + 2, level);
                self.rules = outer;
                first
            }
            Op::Rule { .. } => self.first(at + 1, level),
            Op::Native { nullable: false, .. } => First::consuming(ByteSet::FULL),
            Op::Native { .. } | Op::OpenCall { .. } => First::UNKNOWN,
        }
    }

    /// Whether it can't fail any more once its first byte fits.
    fn head_fail(&mut self, at: usize, level: u32) -> bool {
        if let Some(&known) = self.head_fail.get(&at) {
            return known;
        }
        if level > MAX_LOOK {
            return false;
        }
        let mut children = self.tree.children(at);
        let answer = match self.tree.op(at) {
            Op::False => true,
            Op::Any(_) | Op::Literal { .. } | Op::Set { .. } => self.tree.charset(at).is_some(),
            Op::Seq => {
                children.next().is_some_and(|child| self.head_fail(child, level + 1))
                    && children.all(|child| self.no_fail(child))
            }
            Op::Choice => children.all(|child| self.head_fail(child, level + 1)),
            Op::Capture { .. } | Op::And | Op::Repeat { min: 1, max: UNBOUNDED } => self.head_fail(at + 1, level + 1),
            Op::Call { rule } => match self.rules.get(rule as usize) {
                Some(&rule) => self.head_fail(rule + 1, level + 1),
                None => false,
            },
            _ => false,
        };
        self.head_fail.insert(at, answer);
        answer
    }

    fn no_fail(&self, at: usize) -> bool {
        self.tree.no_fail_with(at, &|rule| match self.rules.get(rule as usize).map(|&at| self.tree.op(at)) {
            Some(Op::Rule { no_fail, .. }) => no_fail,
            _ => false,
        })
    }

    /// Lets jumps to jumps go to where those end, and makes calls before a return jumps.
    fn shorten_jumps(&mut self) {
        let code = &mut self.program.code;
        for at in 0..code.len() {
            let end = |code: &[Instr], mut target: u32| {
                for _ in 0..16 {
                    match code[target as usize] {
                        Instr::Jump(next) => target = next,
                        _ => break,
                    }
                }
                target
            };
            let instr = match code[at] {
                Instr::Call(target) => {
                    let target = target & !RESOLVED;
                    match code[end(code, at as u32 + 1) as usize] {
                        Instr::Return => Instr::Jump(end(code, target)),
                        _ => Instr::Call(target),
                    }
                }
                Instr::Jump(target) => match code[end(code, target) as usize] {
                    instr @ (Instr::Return | Instr::Fail | Instr::End) => instr,
                    _ => Instr::Jump(end(code, target)),
                },
                Instr::Commit(target) => Instr::Commit(end(code, target)),
                Instr::BackCommit(target) => Instr::BackCommit(end(code, target)),
                Instr::Choice { otherwise } => Instr::Choice { otherwise: end(code, otherwise) },
                Instr::TakeByte { byte, otherwise } => Instr::TakeByte { byte, otherwise: end(code, otherwise) },
                Instr::TakeSet { set, otherwise } => Instr::TakeSet { set, otherwise: end(code, otherwise) },
                Instr::TakeBytes { at, len, otherwise } => {
                    Instr::TakeBytes { at, len, otherwise: end(code, otherwise) }
                }
                Instr::TestByte { byte, otherwise } => Instr::TestByte { byte, otherwise: end(code, otherwise) },
                Instr::TestSet { set, otherwise } => Instr::TestSet { set, otherwise: end(code, otherwise) },
                Instr::TestAny { count, otherwise } => Instr::TestAny { count, otherwise: end(code, otherwise) },
                instr => instr,
            };
            code[at] = instr;
        }
    }
}

/// Marks the target of a call as a place in the code.
const RESOLVED: u32 = 1 << 31;

/// The bytes that sequences of these code points begin with.
fn utf8_heads(from: u32, to: u32) -> ByteSet {
    let head = |code: u32| match code {
        0..0x80 => code as u8,
        0x80..0x800 => 0xc0 | (code >> 6) as u8,
        0x800..0x10000 => 0xe0 | (code >> 12) as u8,
        _ => 0xf0 | (code >> 18) as u8,
    };
    ByteSet::range(head(from), head(to))
}
