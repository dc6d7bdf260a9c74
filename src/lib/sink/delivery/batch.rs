//! Events that are sent together.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::Ticket;
use crate::sink::Backoff;
use crate::sink::watermark::Marks;
use crate::stream::Frames;

/// A batch that is being filled, or has just been.
#[derive(Default)]
pub struct Batch {
    /// The messages as they were read.
    pub frames: Vec<u8>,
    pub events: usize,
    /// What is sent.
    pub body: Vec<u8>,
    /// Where each event's part of the body ends, if it can't be made again from the frames.
    pub ends: Vec<usize>,
    pub query: String,
    /// Batches of one lane are sent one after the other, in order. `None`: in any order.
    pub lane: Option<u64>,
    /// The newest cursor of each stream.
    pub marks: Marks,
}

/// A batch on its way, or a part of one that was split.
pub struct Part {
    pub ticket: Ticket,
    /// Shared with what is known of it while it is being sent.
    pub frames: Arc<Vec<u8>>,
    pub events: usize,
    /// Empty when it has to be made again.
    pub body: Vec<u8>,
    /// The body as it is sent, where it is compressed.
    pub packed: Option<Vec<u8>>,
    pub ends: Vec<usize>,
    pub query: String,
    pub lane: Option<u64>,
    pub attempts: u32,
    /// Since when it, or the servers before it was sent, have failed.
    pub failing_since: Option<Instant>,
    pub backoff: Backoff,
    pub not_before: Option<Instant>,
    /// It is not gone when this process is.
    pub rereadable: bool,
}

impl Part {
    pub fn new(ticket: Ticket, batch: Batch, rereadable: bool) -> Part {
        let Batch { frames, events, body, ends, query, lane, .. } = batch;
        Part {
            ticket,
            frames: Arc::new(frames),
            events,
            body,
            packed: None,
            ends,
            query,
            lane,
            attempts: 0,
            failing_since: None,
            backoff: Backoff::default(),
            not_before: None,
            rereadable,
        }
    }

    /// Some of its events, as a part of its own: it has had no attempt yet.
    pub fn pick(&self, wanted: impl Fn(usize) -> bool) -> Part {
        let (mut frames, mut body, mut ends, mut events) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (number, frame) in Frames(&self.frames).enumerate().filter(|(number, _)| wanted(*number)) {
            frames.extend_from_slice(frame.raw());
            events += 1;
            if let Some(part) = self.span(number).and_then(|span| self.body.get(span)) {
                body.extend_from_slice(part);
                ends.push(body.len());
            }
        }
        let query = self.query.clone();
        Part {
            frames: Arc::new(frames),
            events,
            body,
            packed: None,
            ends,
            query,
            attempts: 0,
            failing_since: None,
            backoff: Backoff::default(),
            not_before: None,
            ..*self
        }
    }

    /// The same events without a body: what is known of a part while a thread sends it.
    pub fn shadow(&self) -> Part {
        let (body, ends, query) = (Vec::new(), Vec::new(), String::new());
        Part { frames: self.frames.clone(), body, packed: None, ends, query, ..*self }
    }

    /// What is sent.
    pub fn sent(&self) -> &[u8] {
        self.packed.as_deref().unwrap_or(&self.body)
    }

    /// Where an event's bytes are in the body.
    fn span(&self, number: usize) -> Option<Range<usize>> {
        let end = *self.ends.get(number)?;
        Some(number.checked_sub(1).and_then(|before| self.ends.get(before).copied()).unwrap_or(0)..end)
    }
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
