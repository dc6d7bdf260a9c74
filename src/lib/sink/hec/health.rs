//! Waiting for a server that takes events.

use super::client::{Client, Reply};
use crate::pipeline::{Exit, Failure, report_once};
use crate::sink::retry::{Backoff, sleep};

/// Waits until one of the servers says that it is healthy.
///
/// # Errors
/// When one never will be for us, or when the program is asked to stop.
pub fn await_health(clients: &[Client]) -> Result<(), Failure> {
    let mut backoff = Backoff::default();
    loop {
        let mut told = None;
        for client in clients {
            match client.health() {
                Reply::Fatal { reason } => return Err(Failure::failed(reason)),
                Reply::Retry { reason, after, .. } => {
                    report_once("looks at a server that isn't healthy", || format!("waiting: {reason}"));
                    told = told.min(after).or(after);
                }
                _ => return Ok(()),
            }
        }
        if !sleep(backoff.next(told)) {
            let words = "stopped before the server was healthy";
            return Err(Failure::Message(Exit::Negative, words.into()));
        }
    }
}
