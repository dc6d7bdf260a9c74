//! Events that are sent together.

use std::time::Instant;

use crate::sink::{Backoff, Ticket};

/// A batch, or a part of one that was split.
pub struct Part {
    pub ticket: Ticket,
    /// The messages as they were read.
    pub frames: Vec<u8>,
    pub events: usize,
    /// What is sent; empty when it has to be made again.
    pub body: Vec<u8>,
    pub query: String,
    pub attempts: u32,
    pub backoff: Backoff,
    pub not_before: Option<Instant>,
    /// It is not gone when this process is.
    pub rereadable: bool,
}

/// Buffers of batches that are done, for others: new ones would be new pages each time, a third of the CPU time.
#[derive(Default)]
pub struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// An empty buffer: one that was in use, or one for a little more than the batch before has had.
    pub fn take(&mut self, before: usize) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(before + before / 8))
    }

    /// Keeps a buffer, unless there are enough of them.
    pub fn keep(&mut self, mut buffer: Vec<u8>, enough: usize) {
        if self.0.len() < enough {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

impl Part {
    pub fn new(ticket: Ticket, frames: Vec<u8>, events: usize, body: Vec<u8>, query: String, rereadable: bool) -> Part {
        let backoff = Backoff::default();
        Part { ticket, frames, events, body, query, attempts: 0, backoff, not_before: None, rereadable }
    }

    /// Some of its events, to be sent anew.
    pub fn piece(&self, frames: Vec<u8>, events: usize) -> Part {
        Part { frames, events, body: Vec::new(), query: self.query.clone(), not_before: None, ..*self }
    }
}
