//! The machine that runs programs.
//!
//! It matches and takes notes; what the captures are worth is worked out afterwards, by whoever runs it. It never
//! calls a script: at a match-time function it stops, and is resumed with the answer. Steps, stack and captures are
//! counted, so it ends whatever the pattern and the subject are.

use super::program::{Instr, ProgramRef};
use super::set::ByteSet;
use super::tree::Kind;

/// A note of what was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    pub start: u32,
    pub extent: Extent,
    pub kind: Kind,
    pub value: u32,
}

/// How far a capture goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Up to this position; no captures are in it.
    Until(u32),
    /// Up to the [`Extent::Close`] that belongs to it.
    Open,
    /// `start` is where the capture ends. Kind and value say nothing.
    Close,
}

/// Where to go on after a failure, or after a call.
#[derive(Clone, Copy, Debug)]
struct Entry {
    target: u32,
    /// [`CALL`] for a call.
    pos: u32,
    captures: u32,
}

const CALL: u32 = u32::MAX;
/// A place outside of every program: going there is failing.
const NOWHERE: usize = u32::MAX as usize;
/// Subjects may not be longer: positions hold 32 bits.
pub const MAX_SUBJECT: usize = u32::MAX as usize - 2;
/// So many bytes of a run count as one step.
pub const BYTES_A_STEP: usize = 8;

/// What a match may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries of the stack of calls and choices.
    pub stack: usize,
    /// Captures at one time.
    pub captures: usize,
    /// Steps, counted down.
    pub steps: u64,
}

/// Why the machine stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Up to here.
    Matched(usize),
    Failed,
    /// The function of the last open capture has to be called, for what was matched up to here; then
    /// [`Machine::resume`].
    RunTime(usize),
    StackOverflow,
    TooManyCaptures,
    OutOfSteps,
}

/// Grammars that are not programs.
pub trait Natives {
    /// Where the text that a grammar reads from `at` on ends.
    fn matches(&mut self, grammar: u32, subject: &[u8], at: usize) -> Option<usize>;
}

/// A match in progress. One is used again and again, so matching allocates nothing.
#[derive(Default, Debug)]
pub struct Machine {
    pub captures: Vec<Capture>,
    stack: Vec<Entry>,
    /// Which captures are [`Kind::Dynamic`].
    pub dynamics: Vec<u32>,
    pc: usize,
    pos: usize,
}

impl Machine {
    /// Begins a match.
    pub fn begin(&mut self, at: usize) {
        self.captures.clear();
        self.stack.clear();
        self.dynamics.clear();
        self.pc = 0;
        self.pos = at;
    }

    /// Bytes that are held.
    pub fn size(&self) -> usize {
        self.captures.capacity() * size_of::<Capture>() + self.stack.capacity() * size_of::<Entry>()
    }

    /// Gives back the memory of an unusually large match.
    pub fn shrink(&mut self) {
        const KEEP: usize = 4096;
        if self.captures.capacity() > KEEP || self.stack.capacity() > KEEP {
            self.captures.clear();
            self.stack.clear();
            self.captures.shrink_to(KEEP);
            self.stack.shrink_to(KEEP);
        }
    }

    /// Place of the open capture whose function is to be called.
    pub fn last_open(&self) -> Option<usize> {
        let mut depth = 0usize;
        self.captures.iter().rposition(|capture| match capture.extent {
            Extent::Close => {
                depth += 1;
                false
            }
            Extent::Open => {
                let found = depth == 0;
                depth = depth.saturating_sub(1);
                found
            }
            Extent::Until(_) => false,
        })
    }

    /// After [`Stop::RunTime`]: the function said no.
    pub fn reject(&mut self) {
        self.pc = NOWHERE;
    }

    /// After [`Stop::RunTime`]: the function, of the capture at `open`, said yes. The match goes on at `at`, with so many
    /// values for the capture, the first of them numbered `first`.
    pub fn resume(&mut self, open: usize, at: usize, first: u32, count: u32) {
        let Some(opened) = self.captures.get(open).copied() else { return };
        forget(&mut self.captures, &mut self.dynamics, open as u32);
        if count > 0 {
            self.captures.push(Capture { kind: Kind::Group, value: 0, ..opened });
            for value in first..first + count {
                self.dynamics.push(self.captures.len() as u32);
                self.captures.push(captured(at, at, Kind::Dynamic, value));
            }
            self.captures.push(closed(at));
        }
        self.pos = at;
    }

    /// Runs until it stops. Steps are taken off the limits.
    pub fn run(
        &mut self,
        program: ProgramRef<'_>,
        subject: &[u8],
        limits: &mut Limits,
        natives: &mut impl Natives,
    ) -> Stop {
        let ProgramRef { sets, code, targets, pool } = program;
        let Machine { captures, stack, dynamics, pc: saved_pc, pos: saved_pos } = self;
        let (mut pc, mut pos) = (*saved_pc, *saved_pos);
        let mut steps = limits.steps;
        let stop = loop {
            let Some(left) = steps.checked_sub(1) else { break Stop::OutOfSteps };
            steps = left;
            // A program's jumps stay in it; a place that is not in it is how `reject` says "fail".
            let instr = code.get(pc).copied().unwrap_or(Instr::Fail);
            pc += 1;
            // Each arm goes on with the next step, or falls through to failing.
            match instr {
                Instr::Byte(byte) => {
                    if subject.get(pos) == Some(&byte) {
                        pos += 1;
                        continue;
                    }
                }
                Instr::Set(set) => {
                    if subject.get(pos).is_some_and(|&byte| contains(sets, set, byte)) {
                        pos += 1;
                        continue;
                    }
                }
                Instr::Short { text, len } => {
                    if starts_with_short(rest(subject, pos), text, len) {
                        pos += len as usize;
                        continue;
                    }
                }
                Instr::Bytes { at, len } => {
                    let text = &pool[at as usize..][..len as usize];
                    if rest(subject, pos).starts_with(text) {
                        pos += text.len();
                        continue;
                    }
                }
                Instr::TakeByte { byte, otherwise } => {
                    if subject.get(pos) == Some(&byte) {
                        pos += 1;
                    } else {
                        pc = otherwise as usize;
                    }
                    continue;
                }
                Instr::TakeSet { set, otherwise } => {
                    if subject.get(pos).is_some_and(|&byte| contains(sets, set, byte)) {
                        pos += 1;
                    } else {
                        pc = otherwise as usize;
                    }
                    continue;
                }
                Instr::TakeBytes { at, len, otherwise } => {
                    if rest(subject, pos).starts_with(&pool[at as usize..][..len as usize]) {
                        pos += len as usize;
                    } else {
                        pc = otherwise as usize;
                    }
                    continue;
                }
                Instr::Any(count) => {
                    if subject.len() - pos >= count as usize {
                        pos += count as usize;
                        continue;
                    }
                }
                Instr::Span { set, min } => {
                    let len = span(sets, set, rest(subject, pos), &mut steps);
                    if len >= min as usize {
                        pos += len;
                        continue;
                    }
                }
                Instr::SpanTo { set, min, max } => {
                    let rest = rest(subject, pos);
                    let len = span(sets, set, &rest[..rest.len().min(max as usize)], &mut steps);
                    if len >= min as usize {
                        pos += len;
                        continue;
                    }
                }
                Instr::Until { bytes, min } => {
                    let len = until(bytes, rest(subject, pos), &mut steps);
                    if len >= min as usize {
                        pos += len;
                        continue;
                    }
                }
                Instr::SpanCapture { set, min, kind, value } => {
                    let len = span(sets, set as u32, rest(subject, pos), &mut steps);
                    if len >= min as usize {
                        if captures.len() >= limits.captures {
                            break Stop::TooManyCaptures;
                        }
                        captures.push(captured(pos, pos + len, kind, value));
                        pos += len;
                        continue;
                    }
                }
                Instr::UntilCapture { bytes, min, kind, value } => {
                    let len = until(bytes, rest(subject, pos), &mut steps);
                    if len >= min as usize {
                        if captures.len() >= limits.captures {
                            break Stop::TooManyCaptures;
                        }
                        captures.push(captured(pos, pos + len, kind, value));
                        pos += len;
                        continue;
                    }
                }
                Instr::Search { at, len } => {
                    let text = &pool[at as usize..][..len as usize];
                    let rest = rest(subject, pos);
                    let len = memchr::memmem::find(rest, text).unwrap_or(rest.len());
                    steps = steps.saturating_sub((len / BYTES_A_STEP) as u64);
                    pos += len;
                    continue;
                }
                Instr::Utf8 { from, to } => {
                    if let Some((code, len)) = decode_utf8(rest(subject, pos))
                        && (from..=to).contains(&code)
                    {
                        pos += len;
                        continue;
                    }
                }
                Instr::TestByte { byte, otherwise } => {
                    if subject.get(pos) != Some(&byte) {
                        pc = otherwise as usize;
                    }
                    continue;
                }
                Instr::TestSet { set, otherwise } => {
                    if !subject.get(pos).is_some_and(|&byte| contains(sets, set, byte)) {
                        pc = otherwise as usize;
                    }
                    continue;
                }
                Instr::TestAny { count, otherwise } => {
                    if subject.len() - pos < count as usize {
                        pc = otherwise as usize;
                    }
                    continue;
                }
                Instr::NotSet(set) => {
                    if !subject.get(pos).is_some_and(|&byte| contains(sets, set, byte)) {
                        continue;
                    }
                }
                Instr::AndSet(set) => {
                    if subject.get(pos).is_some_and(|&byte| contains(sets, set, byte)) {
                        continue;
                    }
                }
                Instr::NotAny(count) => {
                    if subject.len() - pos < count as usize {
                        continue;
                    }
                }
                Instr::Switch { table } => {
                    let place = subject.get(pos).map_or(256, |&byte| byte as usize);
                    pc = targets.get(table as usize + place).map_or(NOWHERE, |&target| target as usize);
                    continue;
                }
                Instr::Jump(target) => {
                    pc = target as usize;
                    continue;
                }
                Instr::Choice { otherwise } => {
                    if stack.len() >= limits.stack {
                        break Stop::StackOverflow;
                    }
                    stack.push(Entry { target: otherwise, pos: pos as u32, captures: captures.len() as u32 });
                    continue;
                }
                Instr::Commit(target) => {
                    stack.pop();
                    pc = target as usize;
                    continue;
                }
                Instr::PartialCommit(target) => {
                    if let Some(top) = stack.last_mut() {
                        top.pos = pos as u32;
                        top.captures = captures.len() as u32;
                    }
                    pc = target as usize;
                    continue;
                }
                Instr::BackCommit(target) => {
                    if let Some(top) = stack.pop() {
                        pos = top.pos as usize;
                        forget(captures, dynamics, top.captures);
                    }
                    pc = target as usize;
                    continue;
                }
                Instr::Fail => {}
                Instr::FailTwice => {
                    stack.pop();
                }
                Instr::Call(target) => {
                    if stack.len() >= limits.stack {
                        break Stop::StackOverflow;
                    }
                    stack.push(Entry { target: pc as u32, pos: CALL, captures: 0 });
                    pc = target as usize;
                    continue;
                }
                Instr::Return => {
                    pc = stack.pop().map_or(NOWHERE, |entry| entry.target as usize);
                    continue;
                }
                Instr::Behind(count) => {
                    if pos >= count as usize {
                        pos -= count as usize;
                        continue;
                    }
                }
                Instr::Open { kind, value } => {
                    if captures.len() >= limits.captures {
                        break Stop::TooManyCaptures;
                    }
                    captures.push(Capture { start: pos as u32, extent: Extent::Open, kind, value });
                    continue;
                }
                Instr::Close => {
                    let full = captures.len() >= limits.captures;
                    match captures.last_mut() {
                        Some(Capture { extent: extent @ Extent::Open, .. }) => *extent = Extent::Until(pos as u32),
                        _ if full => break Stop::TooManyCaptures,
                        _ => captures.push(closed(pos)),
                    }
                    continue;
                }
                Instr::Full { kind, value, len } => {
                    if captures.len() >= limits.captures {
                        break Stop::TooManyCaptures;
                    }
                    captures.push(captured(pos - len as usize, pos, kind, value));
                    continue;
                }
                Instr::CloseRunTime => break Stop::RunTime(pos),
                Instr::Native { grammar, value } => {
                    steps = steps.saturating_sub(((subject.len() - pos) / BYTES_A_STEP) as u64);
                    if value > 0 && captures.len() >= limits.captures {
                        break Stop::TooManyCaptures;
                    }
                    if let Some(end) = natives.matches(grammar, subject, pos) {
                        if value > 0 {
                            captures.push(captured(pos, end, Kind::Native, value));
                        }
                        pos = end;
                        continue;
                    }
                }
                Instr::End => break Stop::Matched(pos),
            }
            // Failed: back to the last choice, past calls.
            let entry = loop {
                match stack.pop() {
                    Some(Entry { pos: CALL, .. }) => {}
                    entry => break entry,
                }
            };
            let Some(entry) = entry else { break Stop::Failed };
            pc = entry.target as usize;
            pos = entry.pos as usize;
            forget(captures, dynamics, entry.captures);
        };
        (*saved_pc, *saved_pos) = (pc, pos);
        limits.steps = steps;
        stop
    }
}

/// Drops the captures from a place on.
#[inline(always)]
fn forget(captures: &mut Vec<Capture>, dynamics: &mut Vec<u32>, from: u32) {
    captures.truncate(from as usize);
    while dynamics.last().is_some_and(|&place| place >= from) {
        dynamics.pop();
    }
}

/// A capture with none in it.
#[inline(always)]
fn captured(start: usize, end: usize, kind: Kind, value: u32) -> Capture {
    Capture { start: start as u32, extent: Extent::Until(end as u32), kind, value }
}

/// The end of an open capture.
fn closed(pos: usize) -> Capture {
    Capture { start: pos as u32, extent: Extent::Close, kind: Kind::Group, value: 0 }
}

#[inline(always)]
fn rest(subject: &[u8], pos: usize) -> &[u8] {
    subject.get(pos..).unwrap_or_default()
}

/// How many bytes of a set a text begins with.
#[inline(always)]
fn span(sets: &[ByteSet], set: u32, text: &[u8], steps: &mut u64) -> usize {
    let Some(set) = sets.get(set as usize) else { return 0 };
    let mut len = 0;
    while text.get(len).is_some_and(|&byte| set.contains(byte)) {
        len += 1;
    }
    *steps = steps.saturating_sub((len / BYTES_A_STEP) as u64);
    len
}

/// How far it is to the first of these bytes, or to the end.
#[inline(always)]
fn until([one, two, three]: [u8; 3], text: &[u8], steps: &mut u64) -> usize {
    let found = if one == two {
        memchr::memchr(one, text)
    } else if two == three {
        memchr::memchr2(one, two, text)
    } else {
        memchr::memchr3(one, two, three, text)
    };
    let len = found.unwrap_or(text.len());
    *steps = steps.saturating_sub((len / BYTES_A_STEP) as u64);
    len
}

/// Compares as one number where eight bytes are left.
#[inline(always)]
fn starts_with_short(text: &[u8], short: [u8; 8], len: u8) -> bool {
    match text.first_chunk::<8>() {
        Some(chunk) => {
            let unused = 64 - 8 * (len as u32 & 15);
            (u64::from_le_bytes(*chunk) ^ u64::from_le_bytes(short)) << (unused & 63) == 0
        }
        None => text.starts_with(&short[..len as usize]),
    }
}

#[inline(always)]
fn contains(sets: &[ByteSet], set: u32, byte: u8) -> bool {
    sets.get(set as usize).is_some_and(|set| set.contains(byte))
}

/// The code point that a text begins with, surrogates included, and its length. RFC 3629: nothing longer than needed,
/// nothing above U+10FFFF.
fn decode_utf8(text: &[u8]) -> Option<(u32, usize)> {
    let head = *text.first()?;
    let (len, bits, least) = match head {
        0..0x80 => return Some((head as u32, 1)),
        0xc0..0xe0 => (2, head & 0x1f, 0x80),
        0xe0..0xf0 => (3, head & 0x0f, 0x800),
        0xf0..0xf8 => (4, head & 0x07, 0x10000),
        _ => return None,
    };
    let tail = text.get(1..len)?;
    let code = tail
        .iter()
        .try_fold(bits as u32, |code, &byte| (byte & 0xc0 == 0x80).then_some(code << 6 | (byte & 0x3f) as u32))?;
    (least..=0x10ffff).contains(&code).then_some((code, len))
}
