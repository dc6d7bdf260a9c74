//! Waiting for a server that takes events.

use super::client::{Client, Reply};
use crate::pipeline::{Exit, Failure, report_once};
use crate::sink::retry::{Backoff, sleep};

/// Waits until the server says that it is healthy.
///
/// # Errors
/// When it never will be for us, or when the program is asked to stop.
pub fn await_health(client: &Client) -> Result<(), Failure> {
    let mut backoff = Backoff::default();
    loop {
        match client.health() {
            Reply::Fatal { reason } => return Err(Failure::failed(reason)),
            Reply::Retry { reason, after } => {
                report_once("looks at a server that isn't healthy", || format!("waiting: {reason}"));
                if !sleep(backoff.next(after)) {
                    let words = "stopped before the server was healthy";
                    return Err(Failure::Message(Exit::Negative, words.into()));
                }
            }
            Reply::Accepted { .. } | Reply::BadEvent { .. } | Reply::Split { .. } => return Ok(()),
        }
    }
}
