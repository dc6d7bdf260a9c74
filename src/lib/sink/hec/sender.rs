//! The stage of heka-hec: messages become batches, which are delivered.
//!
//! With a spool each batch goes to disk first, and the input's cursors are committed when it is there; without, when it is
//! delivered.

use std::time::{Duration, Instant};

use super::client::Client;
use super::event::{EventOptions, MADE};
use crate::message::{MessageBuilder, MessageView, ValueType};
use crate::pipeline::{Exit, Failure, Flow, Output, Stage, Stats};
use crate::sandbox::{Encoded, Encoder, Terminated};
use crate::sink::delivery::{Batch, Delivery, DeliveryOptions, Form};
use crate::stream::{Frame, put_frame};

/// How batches are made and delivered.
pub struct SenderOptions {
    pub event: EventOptions,
    pub max_batch_events: usize,
    pub max_batch_bytes: usize,
    pub batch_age: Duration,
    pub delivery: DeliveryOptions,
}

impl Form for EventOptions {
    fn put(&self, view: &MessageView<'_>, body: &mut Vec<u8>) {
        EventOptions::put(self, view, body);
    }

    fn query(&self, view: &MessageView<'_>) -> String {
        EventOptions::query(self, view)
    }

    fn group(&self, view: &MessageView<'_>) -> Option<Vec<u8>> {
        Some(self.index_of(view))
    }
}

/// The stage that collects messages into batches and sees them delivered.
pub struct Sender {
    delivery: Delivery<Client, EventOptions>,
    /// The script that makes the events.
    encoder: Option<Encoder>,
    made: Vec<u8>,
    max_batch_events: usize,
    max_batch_bytes: usize,
    batch_age: Duration,
    open: Batch,
    since: Option<Instant>,
}

impl Sender {
    /// `clients`: one for each server; `encoder`: what makes the events, where their form is [`super::EventForm::Made`].
    ///
    /// # Errors
    /// When the spool can't be opened, or no thread can be started.
    pub fn new(clients: Vec<Client>, encoder: Option<Encoder>, options: SenderOptions) -> Result<Sender, Failure> {
        Ok(Sender {
            delivery: Delivery::start(clients, options.event, options.delivery)?,
            encoder,
            made: Vec::new(),
            max_batch_events: options.max_batch_events.max(1),
            max_batch_bytes: options.max_batch_bytes,
            batch_age: options.batch_age,
            open: Batch::default(),
            since: None,
        })
    }

    /// The status to exit with after a run without an error.
    pub fn exit(&self) -> Exit {
        self.delivery.exit()
    }

    fn submit(&mut self) -> Result<(), Failure> {
        self.since = None;
        self.delivery.submit(&mut self.open)
    }

    /// Has the script make the event of a message. False when there is none.
    fn make(&mut self, frame: &Frame<'_>) -> Result<bool, Failure> {
        let Some(encoder) = &mut self.encoder else { return Ok(false) };
        let encoded = encoder.encode(frame.view());
        self.made.clear();
        match encoded.map_err(|Terminated(reason)| Failure::failed(reason))? {
            Ok(Encoded::Bytes(bytes)) if !bytes.is_empty() => {
                let mut message = frame.message().to_vec();
                MessageBuilder::more(&mut message).field(MADE, ValueType::Bytes, b"", |values| values.bytes(bytes));
                put_frame(&mut self.made, None, &message);
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(reason) => {
                self.delivery.bury(frame.raw(), &reason)?;
                Ok(false)
            }
        }
    }

    /// Puts a message into the open batch.
    fn add(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let view = frame.view();
        let query = self.delivery.form().query(&view);
        let mut submitted = Ok(());
        if self.open.events > 0 && query != self.open.query {
            submitted = self.submit();
        }
        let before = self.open.body.len();
        self.delivery.form().put(&view, &mut self.open.body);
        // An event larger than the limit goes alone.
        if before > 0 && self.open.body.len() > self.max_batch_bytes {
            let event = self.open.body.split_off(before);
            submitted = submitted.and_then(|()| self.submit());
            self.open.body.extend_from_slice(&event);
        }
        // After an error, too: what has been read is the run's to keep.
        self.open.query = query;
        self.open.frames.extend_from_slice(frame.raw());
        self.open.events += 1;
        self.since.get_or_insert_with(Instant::now);
        submitted
    }
}

impl Stage for Sender {
    fn message(&mut self, frame: &Frame<'_>, _out: &mut Output) -> Result<Flow, Failure> {
        if self.encoder.is_none() {
            self.add(frame)?;
        } else if self.make(frame)? {
            let made = std::mem::take(&mut self.made);
            if let Some(frame) = Frame::parse(&made) {
                self.add(&frame)?;
            }
            self.made = made;
        }
        if let Some(cursor) = frame.header().cursor() {
            self.open.marks.note(&cursor);
        }
        if self.open.events >= self.max_batch_events || self.open.body.len() >= self.max_batch_bytes {
            self.submit()?;
        }
        Ok(Flow::Continue)
    }

    /// Nothing comes right now: the open batch goes off if a thread is free, or if it has waited long enough.
    fn idle(&mut self, _out: &mut Output) -> Result<(), Failure> {
        if let Some(failure) = self.delivery.failure() {
            return Err(failure);
        }
        let old = self.since.is_some_and(|since| since.elapsed() >= self.batch_age);
        if old || self.delivery.has_free_thread() { self.submit() } else { Ok(()) }
    }

    fn wake_at(&self) -> Option<Instant> {
        // A fatal reply must be noticed although no message comes.
        let look = Instant::now() + Duration::from_secs(1);
        Some(self.since.map_or(look, |since| (since + self.batch_age).min(look)))
    }

    /// Waits until everything is delivered or given up.
    fn finish(&mut self, _out: &mut Output) -> Result<(), Failure> {
        self.delivery.finish(std::slice::from_mut(&mut self.open))
    }

    fn stats(&self, stats: &mut Stats) {
        self.delivery.add_stats(stats);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // The checkpoint was saved as far as it could be; an error on the way out changes nothing.
        let _ = self.delivery.end(std::slice::from_mut(&mut self.open));
    }
}
