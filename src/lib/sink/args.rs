//! Arguments that sinks share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{DeadLetters, Limits};
use crate::net::tls::TlsOptions;
use crate::pipeline::{Checkpoint, Failure, Operand, parse_duration, parse_seconds, refuse_input_as_output};

/// How long delivery is tried, and where messages are kept that the server refuses.
#[derive(Args, Clone, Debug)]
pub struct DeliveryArgs {
    /// Attempts for a batch, refusals and missing acks alike; 0 is any number [default: any number]
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<u32>,

    /// How long a batch may fail, such as 30s, 5m or 2h; 0 is for ever [default: for ever where the source or a spool keeps
    /// the messages, else 5m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub retry_for: Option<Duration>,

    #[command(flatten)]
    pub keep: KeepArgs,
}

/// Where messages and cursors are kept, and how the end is made.
#[derive(Args, Clone, Debug)]
pub struct KeepArgs {
    /// After a stop was asked for, go on so long at most with what was read
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub drain: Duration,

    /// Append messages that are refused for what they are, or are too long, to this file, or to a file of the run's own in
    /// this directory, as a stream that can be sent later; also those that are given up by a limit that was set, or that
    /// nothing else keeps
    #[arg(long, value_name = "FILE|DIR")]
    pub backup: Option<PathBuf>,

    /// Commit the cursors of what is delivered to this file, for a source that resumes from it
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
}

impl std::ops::Deref for DeliveryArgs {
    type Target = KeepArgs;

    fn deref(&self) -> &KeepArgs {
        &self.keep
    }
}

/// What the arguments name, opened.
pub struct Kept {
    pub dead_letters: DeadLetters,
    pub checkpoint: Option<Checkpoint>,
}

impl KeepArgs {
    /// Opens them. `sink`: what fields of dead letters begin with.
    ///
    /// # Errors
    /// When the backup is what is read, or one of them can't be used.
    pub fn open(&self, sink: &'static str, operands: &[Result<Operand, String>]) -> Result<Kept, Failure> {
        if let Some(path) = &self.backup {
            refuse_input_as_output(operands, path, "--backup")?;
        }
        Ok(Kept {
            dead_letters: DeadLetters::open(self.backup.as_deref(), sink)?,
            checkpoint: self.checkpoint.as_deref().map(Checkpoint::open).transpose()?,
        })
    }
}

impl DeliveryArgs {
    pub fn limits(&self) -> Limits {
        Limits { attempts: self.max_attempts, time: self.retry_for }
    }
}

/// Whom to believe, and who we are.
#[derive(Args, Clone, Debug)]
pub struct TlsArgs {
    /// PEM file of the authorities that may have signed the server's certificate, or of that certificate itself
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Don't verify the server's certificate
    #[arg(long)]
    pub insecure: bool,

    /// PEM file of a certificate of our own, for servers that ask for one
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// PEM file of its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
}

impl TlsArgs {
    pub fn options(&self) -> TlsOptions {
        let identity = self.cert.clone().zip(self.key.clone());
        TlsOptions { insecure: self.insecure, ca: self.ca.clone(), identity }
    }
}
