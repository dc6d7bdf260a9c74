//! The stage of heka-hec: messages become batches, which threads deliver.
//!
//! With a spool each batch goes to disk first, and the input's cursors are committed when it is there; without, when it is
//! delivered.

use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::Part;
use super::client::Client;
use super::delivery::{Counts, Shared, State};
use super::event::{EventOptions, MADE};
use crate::message::{MessageBuilder, ValueType};
use crate::pipeline::{Checkpoint, Exit, Failure, Flow, Output, Signals, Stage, Stats, describe, report};
use crate::sandbox::{Encoded, Encoder, Terminated};
use crate::sink::Spool;
use crate::sink::watermark::Marks;
use crate::sink::window::save;
use crate::stream::{Frame, put_frame};

/// After a stop was asked for, what is under way gets so long.
const DRAIN: Duration = Duration::from_secs(30);
/// … and after a failure that ends the run.
const PARTING: Duration = Duration::from_secs(5);

/// How batches are made and delivered.
pub struct SenderOptions {
    pub event: EventOptions,
    pub max_batch_events: usize,
    pub max_batch_bytes: usize,
    pub batch_age: Duration,
    pub in_flight: usize,
    pub max_in_flight_bytes: usize,
    /// 0 is for ever; `None` is for ever when the source can read again, and five times otherwise.
    pub max_attempts: Option<u32>,
    pub ack: bool,
    pub ack_interval: Duration,
    pub ack_timeout: Duration,
    /// Requests that a thread makes through one channel, by connections of its own, before the next server has its turn; 0
    /// is any number.
    pub rotate_after: u64,
    /// Each request is reported.
    pub verbose: bool,
    /// Where batches lie until they are delivered, and how many bytes of them.
    pub spool: Option<PathBuf>,
    pub spool_max: u64,
    /// File or directory for events that are given up.
    pub backup: Option<PathBuf>,
    pub checkpoint: Option<Checkpoint>,
}

/// The stage that collects messages into batches and sees them delivered.
pub struct Sender {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// The script that makes the events.
    encoder: Option<Encoder>,
    made: Vec<u8>,
    max_batch_events: usize,
    max_batch_bytes: usize,
    batch_age: Duration,
    spool_max: u64,
    open: Open,
}

/// The batch that is being filled.
#[derive(Default)]
struct Open {
    frames: Vec<u8>,
    body: Vec<u8>,
    events: usize,
    query: String,
    since: Option<Instant>,
    marks: Marks,
}

impl Sender {
    /// `clients`: one for each server; `encoder`: what makes the events, where their form is [`super::EventForm::Made`].
    ///
    /// # Errors
    /// When the backup or the spool can't be opened, or no thread can be started.
    pub fn new(clients: Vec<Client>, encoder: Option<Encoder>, options: SenderOptions) -> Result<Sender, Failure> {
        let mut sender = Sender {
            threads: Vec::new(),
            encoder,
            made: Vec::new(),
            max_batch_events: options.max_batch_events.max(1),
            max_batch_bytes: options.max_batch_bytes,
            batch_age: options.batch_age,
            spool_max: options.spool_max,
            open: Open::default(),
            shared: Arc::new(Shared::new(clients, options)?),
        };
        for number in 0..sender.shared.in_flight {
            let shared = sender.shared.clone();
            let started = std::thread::Builder::new().name("hec".into()).spawn(move || shared.send_batches(number));
            let failed = |error| Failure::failed(format!("no thread could be started: {error}"));
            sender.threads.push(started.map_err(failed)?);
        }
        Ok(sender)
    }

    /// The status to exit with after a run without an error.
    pub fn exit(&self) -> Exit {
        let counts = &self.shared.lock().counts;
        let left = self.shared.spool.as_ref().is_some_and(|spool| !spool.is_empty());
        if counts.dead_lettered + counts.lost > 0 || left { Exit::Negative } else { Exit::Success }
    }

    /// One line for people, where there is more to say than that all is well.
    pub fn summary(&self) -> Option<String> {
        let Counts { delivered, sent_again, possible_duplicates, dead_lettered, lost, .. } = self.shared.lock().counts;
        let spool = self.shared.spool.as_ref().filter(|spool| !spool.is_empty());
        (sent_again + possible_duplicates + dead_lettered + lost > 0 || spool.is_some()).then(|| {
            let spool = spool.map_or(String::new(), |spool| {
                format!("; {} batches of {} bytes are left in the spool", spool.len(), spool.bytes())
            });
            format!(
                "{delivered} delivered, {sent_again} sent again, {possible_duplicates} possible duplicates, \
                 {dead_lettered} dead-lettered, {lost} not delivered{spool}"
            )
        })
    }

    /// Nothing more is sent: what is left stays in the spool, goes to the backup, or is counted as not delivered.
    fn end(&mut self) -> Result<(), Failure> {
        let mut state = self.shared.lock();
        state.fatal.get_or_insert(Failure::ClosedPipe);
        self.shared.work.notify_all();
        // Requests that are on their way may still succeed.
        let until = Instant::now() + PARTING;
        while state.sending > 0 && Instant::now() < until {
            state = self.shared.wait(state, &self.shared.room, Duration::from_millis(200));
        }
        let mut left: Vec<Part> = state.ready.drain(..).collect();
        left.extend(std::mem::take(&mut state.waiting).into_iter().map(|waiting| waiting.part));
        let open = std::mem::take(&mut self.open);
        let spooled = |spool: &Spool| spool.put(std::slice::from_ref(&open.frames)).is_ok();
        if open.events > 0 && self.shared.spool.as_ref().is_some_and(spooled) {
            self.safe(&mut state, open.marks);
        } else if open.events > 0 {
            let ticket = state.window.open(open.marks.into_vec());
            left.push(Part::new(ticket, open.frames, open.events, open.body, open.query, true));
        }
        for part in left {
            self.shared.give_up(&mut state, part, "the run ended before they were delivered");
        }
        save(&mut state.checkpoint)
    }

    /// The open batch becomes ready, or goes to the spool; waits while too much is under way.
    fn close_batch(&mut self) -> Result<(), Failure> {
        if self.open.events == 0 {
            return Ok(());
        }
        let mut open = std::mem::take(&mut self.open);
        // Buffers grow by doubling. Where they are kept until the ack, half of a window would be air; else another batch has
        // them soon.
        if self.shared.ack {
            open.frames.shrink_to_fit();
            open.body.shrink_to_fit();
        }
        let mut state = self.shared.lock();
        let (size, body) = (open.frames.len(), open.body.len());
        let mut drain_until = None;
        while state.fatal.is_none() && !self.has_room(&state, size) {
            if Signals::stop_asked() && *drain_until.get_or_insert_with(|| Instant::now() + DRAIN) < Instant::now() {
                self.open = open;
                return Err(Failure::Message(Exit::Negative, "stopped while events were still to be delivered".into()));
            }
            state = self.shared.wait(state, &self.shared.room, Duration::from_millis(200));
            state.print_if_asked();
        }
        if let Some(failure) = &state.fatal {
            self.open = open;
            return Err(failure.clone());
        }
        let Some(spool) = &self.shared.spool else {
            let rereadable = !open.marks.is_empty();
            let ticket = state.window.open(open.marks.into_vec());
            state.bytes += size;
            state.ready.push_back(Part::new(ticket, open.frames, open.events, open.body, open.query, rereadable));
            self.open.frames = state.spare_frames.take(size);
            self.open.body = state.spare_bodies.take(body);
            drop(state);
            self.shared.work.notify_one();
            return Ok(());
        };
        drop(state);
        // While it is written and synced, the threads go on.
        if let Err(error) = spool.put(std::slice::from_ref(&open.frames)) {
            self.open = open;
            return Err(Failure::failed(format!("--spool {}: {}", spool.directory().display(), describe(&error))));
        }
        let mut state = self.shared.lock();
        self.safe(&mut state, open.marks);
        (self.open.frames, self.open.body) = (open.frames, open.body);
        self.open.frames.clear();
        self.open.body.clear();
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    fn has_room(&self, state: &MutexGuard<'_, State>, size: usize) -> bool {
        match &self.shared.spool {
            Some(spool) => spool.is_empty() || spool.bytes() + size as u64 <= self.spool_max,
            None => {
                // One waits for the next free thread; more would only take memory.
                state.ready.len() < self.shared.in_flight.div_ceil(4)
                    && (state.bytes == 0 || state.bytes + size <= self.shared.max_in_flight_bytes)
            }
        }
    }

    /// The messages up to these cursors are as good as delivered: with a spool now, else when those before them are.
    fn safe(&self, state: &mut State, marks: Marks) {
        match (&self.shared.spool, &mut state.checkpoint) {
            (Some(_), Some(checkpoint)) => marks.commit(checkpoint),
            (Some(_), None) => {}
            (None, _) => {
                let ticket = state.window.open(marks.into_vec());
                self.shared.settled(state, ticket);
            }
        }
        self.shared.commit(state);
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
                let mut state = self.shared.lock();
                self.shared.bury(&mut state, frame.raw(), 0, &reason);
                Ok(false)
            }
        }
    }

    /// Puts a message into the open batch.
    fn add(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let view = frame.view();
        let query = self.shared.event.query(&view);
        if self.open.events > 0 && query != self.open.query {
            self.close_batch()?;
        }
        let before = self.open.body.len();
        self.shared.event.put(&view, &mut self.open.body);
        // An event larger than the limit goes alone.
        if before > 0 && self.open.body.len() > self.max_batch_bytes {
            let event = self.open.body.split_off(before);
            self.close_batch()?;
            self.open.body = event;
        }
        self.open.query = query;
        self.open.frames.extend_from_slice(frame.raw());
        self.open.events += 1;
        self.open.since.get_or_insert_with(Instant::now);
        Ok(())
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
            self.close_batch()?;
        }
        Ok(Flow::Continue)
    }

    /// Nothing comes right now: the open batch goes off if a thread is free, or if it has waited long enough.
    fn idle(&mut self, _out: &mut Output) -> Result<(), Failure> {
        let state = self.shared.lock();
        if let Some(failure) = &state.fatal {
            return Err(failure.clone());
        }
        let free = state.sending + state.ready.len() < self.shared.in_flight;
        drop(state);
        let old = self.open.since.is_some_and(|since| since.elapsed() >= self.batch_age);
        if free || old { self.close_batch() } else { Ok(()) }
    }

    fn wake_at(&self) -> Option<Instant> {
        // A fatal reply must be noticed although no message comes.
        let look = Instant::now() + Duration::from_secs(1);
        Some(self.open.since.map_or(look, |since| (since + self.batch_age).min(look)))
    }

    /// Waits until everything is delivered or given up.
    fn finish(&mut self, _out: &mut Output) -> Result<(), Failure> {
        let closed = self.close_batch();
        let mut state = self.shared.lock();
        if closed.is_ok() {
            // Of messages that made no event there may be cursors left.
            let marks = std::mem::take(&mut self.open.marks);
            self.safe(&mut state, marks);
        }
        self.shared.work.notify_all();
        let mut drain_until = None;
        while closed.is_ok() && state.fatal.is_none() && !self.shared.is_done(&state) {
            if Signals::stop_asked() && *drain_until.get_or_insert_with(|| Instant::now() + DRAIN) < Instant::now() {
                state.fatal = Some(Failure::Message(Exit::Negative, "stopped before everything was delivered".into()));
            }
            state = self.shared.wait(state, &self.shared.room, Duration::from_millis(200));
            state.print_if_asked();
        }
        let result = match (closed, state.fatal.clone()) {
            (Err(failure), _) | (Ok(()), Some(failure)) => Err(failure),
            (Ok(()), None) => Ok(()),
        };
        drop(state);
        let saved = self.end();
        if result.is_ok() {
            // After an error a thread may hang in a request for as long as its time-out; nothing depends on it.
            for thread in self.threads.drain(..) {
                let _ = thread.join();
            }
        }
        result.and(saved)
    }

    fn stats(&self, stats: &mut Stats) {
        self.shared.lock().add_stats(stats);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // The checkpoint was saved as far as it could be; an error on the way out changes nothing.
        let _ = self.end();
        if let Some(summary) = self.summary() {
            report(&summary);
        }
    }
}
