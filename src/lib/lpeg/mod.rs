//! Parsing expression grammars after LPeg (Ierusalimschy, "A Text Pattern-Matching Tool based on Parsing Expression
//! Grammars", 2009; the interface of LPeg 1.0.2, and the accumulator and `utfR` of 1.1).
//!
//! [`tree`] puts patterns together, [`rules`](tree::Builder::finish_grammar) makes grammars of them, [`compile`]
//! turns them into programs, [`Machine`] runs those. Nothing here knows of Lua: the sandbox keeps the values that
//! captures refer to, and works out what they give.

mod analysis;
mod compile;
mod machine;
mod program;
mod rules;
mod set;
pub mod tree;

pub use compile::compile;
pub use machine::{BYTES_A_STEP, Capture, Extent, Limits, MAX_SUBJECT, Machine, Natives, Stop};
pub use program::{Instr, Program, ProgramRef};
pub use set::ByteSet;
