//! What every program shares: how it starts and ends, reads and writes, reports, and stops.

mod args;
mod checkpoint;
mod config;
mod dialect;
mod durable;
mod input;
mod lock;
mod memory;
mod output;
mod progress;
mod report;
mod run;
mod signals;
mod thread;

pub use args::{
    InputArgs, StatsArgs, main, main_with_single_dashes, parse_duration, parse_seconds, parse_size, parse_time,
};
pub use checkpoint::{COMMIT_EVERY, Checkpoint, Committer, Mark};
pub use config::{
    add_signers, find_section, find_sections, hostname, load_keys, parse_toml, raise_file_limit, read_config,
    read_secret, read_secrets, read_text, read_toml,
};
pub use durable::{sync_directory, write_whole};
pub use input::{Operand, await_readable, is_socket, open_operands, open_to_read, refuse_input_as_output};
pub use lock::{Lock, target_of};
pub use memory::return_large_buffers;
pub use output::{Output, describe, stdout_fd};
pub use progress::Progress;
pub use report::{Stats, report, report_gap, report_once, report_total, set_label, set_program, summarize};
pub use run::{Flow, Ran, RunOptions, Stage, run};
pub use signals::{Signals, WaitOn, Wake};
pub use thread::{spawn, spawn_with_stack};

/// How a program ends; the meanings hold for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All well.
    Success = 0,
    /// A negative answer: nothing matched, some events not delivered, or not decoded under `--strict`.
    Negative = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// It could not go on: I/O, a terminated sandbox.
    Failed = 3,
}

/// Why a program ends before its work is done.
#[derive(Clone, Debug)]
pub enum Failure {
    /// One line for the user, and the status to exit with.
    Message(Exit, String),
    /// Whoever read our output has gone: nothing to say.
    ClosedPipe,
}

impl Failure {
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::Message(Exit::Usage, message.into())
    }

    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::Message(Exit::Failed, message.into())
    }
}
