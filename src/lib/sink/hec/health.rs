//! Waiting for a server that takes events.

use super::client::Client;
use crate::pipeline::{Exit, Failure, report_once};
use crate::sink::backoff::{Backoff, sleep};
use crate::sink::delivery::Reply;

/// Waits until one of the servers says that it is healthy.
///
/// # Errors
/// When none ever will be for us, or when the program is asked to stop.
pub fn await_health(clients: &[Client]) -> Result<(), Failure> {
    let mut backoff = Backoff::default();
    loop {
        let (mut told, mut closed, mut fatal) = (None, 0, None);
        for client in clients {
            match client.health() {
                Reply::Closed { reason } => {
                    closed += 1;
                    fatal = Some(Failure::failed(reason));
                }
                Reply::Retry { reason, after, .. } => {
                    report_once("looks at a server that isn't healthy", || format!("waiting: {reason}"));
                    told = told.min(after).or(after);
                }
                _ => return Ok(()),
            }
        }
        if let Some(failure) = fatal.filter(|_| closed == clients.len()) {
            return Err(failure);
        }
        if !sleep(backoff.next(told)) {
            let words = "stopped before the server was healthy";
            return Err(Failure::Message(Exit::Negative, words.into()));
        }
    }
}
