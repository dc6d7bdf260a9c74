//! What patterns are compiled to.

use super::set::ByteSet;
use super::tree::Kind;

/// One step of the machine. Targets are places in the code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instr {
    /// So many bytes.
    Any(u32),
    Byte(u8),
    /// A text of two to eight bytes; what is behind it is zero.
    Short {
        text: [u8; 8],
        len: u8,
    },
    /// A text of the pool.
    Bytes {
        at: u32,
        len: u32,
    },
    /// A byte of a set.
    Set(u32),
    Utf8 {
        from: u32,
        to: u32,
    },
    /// `min` bytes of a set, and as many more as there are.
    Span {
        set: u32,
        min: u32,
    },
    /// Between `min` and `max` bytes of a set.
    SpanTo {
        set: u32,
        min: u32,
        max: u32,
    },
    /// At least `min` bytes up to the first of one, two or three (a number of them may be the same), or to the end.
    Until {
        bytes: [u8; 3],
        min: u32,
    },
    /// Up to a text of the pool, or to the end.
    Search {
        at: u32,
        len: u32,
    },
    /// [`Span`](Instr::Span), captured.
    SpanCapture {
        set: u16,
        min: u16,
        kind: Kind,
        value: u32,
    },
    /// [`Until`](Instr::Until), captured.
    UntilCapture {
        bytes: [u8; 3],
        min: u8,
        kind: Kind,
        value: u32,
    },
    /// As without the test, but goes on elsewhere instead of failing.
    TakeByte {
        byte: u8,
        otherwise: u32,
    },
    TakeSet {
        set: u32,
        otherwise: u32,
    },
    TakeBytes {
        at: u32,
        len: u32,
        otherwise: u32,
    },
    /// Goes on if the next byte is this one, or else elsewhere.
    TestByte {
        byte: u8,
        otherwise: u32,
    },
    TestSet {
        set: u32,
        otherwise: u32,
    },
    /// Goes on if so many bytes are left.
    TestAny {
        count: u32,
        otherwise: u32,
    },
    /// Fails if the next byte is in the set.
    NotSet(u32),
    /// Fails unless the next byte is in the set.
    AndSet(u32),
    /// Fails if so many bytes are left.
    NotAny(u32),
    /// Jumps by the next byte: `table` is the first of 257 targets, the last one for the end of the subject.
    Switch {
        table: u32,
    },
    Jump(u32),
    /// Where to go on if what follows fails.
    Choice {
        otherwise: u32,
    },
    /// Forgets the last choice.
    Commit(u32),
    /// Moves the last choice to here.
    PartialCommit(u32),
    /// Forgets the last choice, and goes back to where it was made.
    BackCommit(u32),
    Fail,
    /// Forgets the last choice, and fails.
    FailTwice,
    Call(u32),
    Return,
    /// Goes back so many bytes.
    Behind(u32),
    Open {
        kind: Kind,
        value: u32,
    },
    Close,
    /// A capture of the last `len` bytes.
    Full {
        kind: Kind,
        value: u32,
        len: u32,
    },
    /// Calls the function of the last open capture.
    CloseRunTime,
    Native {
        grammar: u32,
        value: u32,
    },
    End,
}

/// A compiled pattern.
#[derive(Clone, Default, Debug)]
pub struct Program {
    pub sets: Vec<ByteSet>,
    pub code: Vec<Instr>,
    /// Tables of [`Instr::Switch`].
    pub targets: Vec<u32>,
    pub pool: Vec<u8>,
}

/// The same, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct ProgramRef<'a> {
    pub sets: &'a [ByteSet],
    pub code: &'a [Instr],
    pub targets: &'a [u32],
    pub pool: &'a [u8],
}

impl Program {
    pub fn borrow(&self) -> ProgramRef<'_> {
        ProgramRef { sets: &self.sets, code: &self.code, targets: &self.targets, pool: &self.pool }
    }
}
