//! Batches on their way: collected here, sent by threads, acknowledged later, committed in order.
//!
//! ```text
//! open → ready → sending → (acks off) delivered
//!                   └→ waiting for its ack → delivered
//! ```
//!
//! The thread that reads input fills the open batch. Sending threads take ready ones; one more thread asks for acks.
//! All share one [`State`]. A batch that fails goes back to ready, to be sent after its backoff.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{Client, Reply, new_channel};
use super::event::EventOptions;
use crate::pipeline::{Checkpoint, Exit, Failure, Flow, Output, Signals, Stage, Stats, report, report_once};
use crate::sink::dead_letter::{open_backup, put_dead_letter};
use crate::sink::watermark::Marks;
use crate::sink::window::save;
use crate::sink::{Backoff, Ticket, Window};
use crate::stream::{Frame, Frames};

/// How often the checkpoint is written while batches keep being delivered.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// Acks are asked for that soon, then at growing intervals while nothing is acknowledged.
const FIRST_ASK: Duration = Duration::from_millis(250);
/// Ids in one question.
const MAX_ASKED: usize = 1000;
/// Attempts for events that can't be read again, unless told otherwise.
const DEFAULT_ATTEMPTS: u32 = 5;
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
    /// Where events go that are given up.
    pub backup: Option<PathBuf>,
    pub checkpoint: Option<Checkpoint>,
}

/// Events that are sent together: a batch, or a part of one that was split.
struct Part {
    ticket: Ticket,
    /// The messages as they were read.
    frames: Vec<u8>,
    events: usize,
    /// What is sent; empty when it has to be made again.
    body: Vec<u8>,
    query: String,
    attempts: u32,
    backoff: Backoff,
    not_before: Option<Instant>,
    rereadable: bool,
}

impl Part {
    fn new(ticket: Ticket, frames: Vec<u8>, events: usize, body: Vec<u8>, query: String, rereadable: bool) -> Part {
        let backoff = Backoff::default();
        Part { ticket, frames, events, body, query, attempts: 0, backoff, not_before: None, rereadable }
    }

    /// Some of its events, to be sent anew.
    fn piece(&self, frames: Vec<u8>, events: usize) -> Part {
        Part { frames, events, body: Vec::new(), query: self.query.clone(), not_before: None, ..*self }
    }
}

struct Waiting {
    channel: String,
    id: u64,
    since: Instant,
    part: Part,
}

#[derive(Default)]
struct Counts {
    delivered: u64,
    sent_again: u64,
    possible_duplicates: u64,
    dead_lettered: u64,
    lost: u64,
    requests: u64,
}

struct State {
    ready: VecDeque<Part>,
    sending: usize,
    waiting: Vec<Waiting>,
    channel: String,
    window: Window,
    checkpoint: Option<Checkpoint>,
    saved: Instant,
    backup: Option<File>,
    /// Bytes of frames from ready to delivered.
    bytes: usize,
    counts: Counts,
    fatal: Option<Failure>,
    closing: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Something is ready, or ends.
    work: Condvar,
    /// Something was delivered.
    room: Condvar,
    client: Client,
    event: EventOptions,
    max_attempts: Option<u32>,
    ack: bool,
    ack_interval: Duration,
    ack_timeout: Duration,
}

/// The stage that collects messages into batches and sees them delivered.
pub struct Sender {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    max_batch_events: usize,
    max_batch_bytes: usize,
    batch_age: Duration,
    in_flight: usize,
    max_in_flight_bytes: usize,
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
    /// # Errors
    /// When the backup can't be opened or no thread can be started.
    pub fn new(client: Client, options: SenderOptions) -> Result<Sender, Failure> {
        let backup = open_backup(options.backup.as_deref())?;
        let state = State {
            ready: VecDeque::new(),
            sending: 0,
            waiting: Vec::new(),
            channel: new_channel(),
            window: Window::default(),
            checkpoint: options.checkpoint,
            saved: Instant::now(),
            backup,
            bytes: 0,
            counts: Counts::default(),
            fatal: None,
            closing: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            client,
            event: options.event,
            max_attempts: options.max_attempts,
            ack: options.ack,
            ack_interval: options.ack_interval.max(FIRST_ASK),
            ack_timeout: options.ack_timeout,
        });
        let mut threads = Vec::new();
        for number in 0..options.in_flight.max(1) + options.ack as usize {
            let shared = shared.clone();
            let asks = number == options.in_flight.max(1);
            let run = move || if asks { shared.ask_for_acks() } else { shared.send_batches() };
            let started = std::thread::Builder::new().name("hec".into()).spawn(run);
            threads.push(started.map_err(|error| Failure::failed(format!("no thread could be started: {error}")))?);
        }
        Ok(Sender {
            shared,
            threads,
            max_batch_events: options.max_batch_events.max(1),
            max_batch_bytes: options.max_batch_bytes,
            batch_age: options.batch_age,
            in_flight: options.in_flight.max(1),
            max_in_flight_bytes: options.max_in_flight_bytes,
            open: Open::default(),
        })
    }

    /// The status to exit with after a run without an error.
    pub fn exit(&self) -> Exit {
        let state = self.shared.lock();
        if state.counts.dead_lettered + state.counts.lost > 0 { Exit::Negative } else { Exit::Success }
    }

    /// One line for people, where there is more to say than that all is well.
    pub fn summary(&self) -> Option<String> {
        let state = self.shared.lock();
        let Counts { delivered, sent_again, possible_duplicates, dead_lettered, lost, .. } = state.counts;
        (sent_again + possible_duplicates + dead_lettered + lost > 0).then(|| {
            format!(
                "{delivered} delivered, {sent_again} sent again, {possible_duplicates} possible duplicates, \
                 {dead_lettered} dead-lettered, {lost} not delivered"
            )
        })
    }

    /// Nothing more is sent: what is left goes to the backup, or is counted as not delivered.
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
        if open.events > 0 {
            let ticket = state.window.open(open.marks.into_vec());
            left.push(Part::new(ticket, open.frames, open.events, open.body, open.query, true));
        }
        for part in left {
            self.shared.give_up(&mut state, part, "the run ended before they were delivered");
        }
        save(&mut state.checkpoint)
    }

    /// The open batch becomes ready; waits while too much is under way.
    fn close_batch(&mut self) -> Result<(), Failure> {
        if self.open.events == 0 {
            return Ok(());
        }
        let mut open = std::mem::take(&mut self.open);
        // Buffers grow by doubling, and these are kept until the ack: half of a window would be air.
        open.frames.shrink_to_fit();
        open.body.shrink_to_fit();
        let mut state = self.shared.lock();
        let size = open.frames.len();
        let mut drain_until = None;
        while state.fatal.is_none()
            && (state.ready.len() >= self.in_flight
                || (state.bytes > 0 && state.bytes + size > self.max_in_flight_bytes))
        {
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
        let rereadable = !open.marks.is_empty();
        let ticket = state.window.open(open.marks.into_vec());
        state.bytes += size;
        state.ready.push_back(Part::new(ticket, open.frames, open.events, open.body, open.query, rereadable));
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }
}

impl Stage for Sender {
    fn message(&mut self, frame: &Frame<'_>, _out: &mut Output) -> Result<Flow, Failure> {
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
        let free = state.sending + state.ready.len() < self.in_flight;
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
        state.closing = true;
        self.shared.work.notify_all();
        let mut drain_until = None;
        while closed.is_ok() && state.fatal.is_none() && !(state.window.is_idle() && state.sending == 0) {
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

impl State {
    fn add_stats(&self, stats: &mut Stats) {
        let counts = &self.counts;
        stats
            .set("events_delivered", counts.delivered)
            .set("events_sent_again", counts.sent_again)
            .set("possible_duplicates", counts.possible_duplicates)
            .set("events_dead_lettered", counts.dead_lettered)
            .set("events_not_delivered", counts.lost)
            .set("requests", counts.requests)
            .set("bytes_under_way", self.bytes as u64);
    }

    /// A part is delivered or buried: what it held back may be committed.
    fn settled(&mut self, ticket: Ticket) {
        self.window.delivered(ticket, self.checkpoint.as_mut());
    }

    /// While the program waits here for the server, nobody else answers SIGUSR1.
    fn print_if_asked(&self) {
        if Signals::get().is_some_and(Signals::take_statistics_request) {
            let mut stats = Stats::default();
            self.add_stats(&mut stats);
            stats.print();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked is a defect of ours; the state is still the best there is to save.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, on: &Condvar, at_most: Duration) -> MutexGuard<'a, State> {
        on.wait_timeout(state, at_most).map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
    }

    /// A sending thread: takes what is ready until there is nothing more to come.
    fn send_batches(&self) {
        while let Some((mut part, channel)) = self.take_ready() {
            if part.body.is_empty() {
                part.body = self.make_body(&part.frames);
            }
            part.attempts += 1;
            let reply = self.client.send(&part.body, &part.query, &channel);
            let mut state = self.lock();
            state.sending -= 1;
            state.counts.requests += 1;
            self.settle(&mut state, part, reply, channel);
            self.commit(&mut state);
            drop(state);
            self.room.notify_all();
            self.work.notify_all();
        }
    }

    fn take_ready(&self) -> Option<(Part, String)> {
        let mut state = self.lock();
        loop {
            if state.fatal.is_some() {
                return None;
            }
            let now = Instant::now();
            let due = state.ready.iter().position(|part| part.not_before.is_none_or(|at| at <= now));
            if let Some(part) = due.and_then(|place| state.ready.remove(place)) {
                state.sending += 1;
                let channel = state.channel.clone();
                return Some((part, channel));
            }
            let soonest = state.ready.iter().filter_map(|part| part.not_before).min();
            let at_most = soonest.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now));
            state = self.wait(state, &self.work, at_most.max(Duration::from_millis(1)));
        }
    }

    fn make_body(&self, frames: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(frames.len());
        Frames(frames).for_each(|frame| self.event.put(&frame.view(), &mut body));
        body
    }

    /// Does what a reply asks for.
    fn settle(&self, state: &mut State, mut part: Part, reply: Reply, channel: String) {
        match reply {
            Reply::Accepted { ack_id: Some(id) } if self.ack => self.await_ack(state, part, channel, id),
            Reply::Accepted { ack_id: None } if self.ack => {
                let message = "the server took a batch without an ack id: it has no indexer acknowledgement; \
                               drop --ack, or turn it on for the token";
                state.ready.push_front(part);
                state.fatal = Some(Failure::failed(message));
            }
            Reply::Accepted { .. } => self.delivered(state, &part),
            Reply::Retry { reason, after } => {
                let limit = match self.max_attempts {
                    Some(limit) => limit,
                    None if part.rereadable => 0,
                    None => DEFAULT_ATTEMPTS,
                };
                if limit > 0 && part.attempts >= limit {
                    return self.give_up(state, part, &reason);
                }
                report_once("requests that failed and are tried again", || reason);
                state.counts.sent_again += part.events as u64;
                part.not_before = Some(Instant::now() + part.backoff.next(after));
                state.ready.push_front(part);
            }
            Reply::BadEvent { number, reason, ack_id } if number < part.events => {
                self.take_out(state, part, number, &reason, ack_id.map(|id| (channel, id)));
            }
            Reply::BadEvent { reason, .. } | Reply::Split { reason } => self.split(state, part, &reason),
            Reply::Fatal { reason } => {
                state.ready.push_front(part);
                state.fatal.get_or_insert(Failure::failed(reason));
            }
        }
    }

    fn await_ack(&self, state: &mut State, mut part: Part, channel: String, id: u64) {
        // The body can be made again; only the messages are kept.
        part.body = Vec::new();
        let known = state.waiting.iter().position(|waiting| waiting.id == id && waiting.channel == channel);
        if let Some(place) = known {
            // The same id twice: the server has begun anew, or there is another one behind the address.
            let mut earlier = state.waiting.swap_remove(place).part;
            state.counts.possible_duplicates += earlier.events as u64;
            earlier.not_before = None;
            state.ready.push_front(earlier);
            state.channel = new_channel();
        }
        state.waiting.push(Waiting { channel, id, since: Instant::now(), part });
    }

    fn delivered(&self, state: &mut State, part: &Part) {
        state.counts.delivered += part.events as u64;
        state.bytes -= part.frames.len().min(state.bytes);
        state.settled(part.ticket);
    }

    /// Writes the checkpoint now and then, and whenever nothing is under way.
    fn commit(&self, state: &mut State) {
        if state.saved.elapsed() < COMMIT_EVERY && !state.window.is_idle() {
            return;
        }
        state.saved = Instant::now();
        if let Err(failure) = save(&mut state.checkpoint) {
            state.fatal.get_or_insert(failure);
        }
    }

    /// One event is bad: it goes to the dead letters, the others on.
    fn take_out(&self, state: &mut State, part: Part, number: usize, reason: &str, taken: Option<(String, u64)>) {
        let mut places = Vec::with_capacity(part.events + 1);
        places.push(0);
        for frame in Frames(&part.frames) {
            places.push(places.last().unwrap_or(&0) + frame.raw().len());
        }
        let (Some(&from), Some(&to)) = (places.get(number), places.get(number + 1)) else {
            return self.split(state, part, reason);
        };
        let (before, bad, after) = (&part.frames[..from], &part.frames[from..to], &part.frames[to..]);
        self.bury(state, bad, part.attempts, reason);
        state.bytes -= bad.len().min(state.bytes);
        let behind = part.events - number - 1;
        match taken {
            // The server took the events before it, and will acknowledge them.
            Some((channel, id)) if self.ack && number > 0 => {
                let first = part.piece(before.to_vec(), number);
                if behind > 0 {
                    state.window.split(part.ticket);
                    state.ready.push_front(part.piece(after.to_vec(), behind));
                }
                self.await_ack(state, first, channel, id);
            }
            // It may have taken them or not: twice is better than never.
            _ => {
                state.counts.possible_duplicates += number as u64;
                if number + behind > 0 {
                    state.ready.push_front(part.piece([before, after].concat(), number + behind));
                } else {
                    state.settled(part.ticket);
                }
            }
        }
    }

    /// Tries again with halves; a single event that is refused is bad.
    fn split(&self, state: &mut State, part: Part, reason: &str) {
        if part.events <= 1 {
            self.bury(state, &part.frames, part.attempts, reason);
            state.bytes -= part.frames.len().min(state.bytes);
            return state.settled(part.ticket);
        }
        let half = part.events / 2;
        let place: usize = Frames(&part.frames).take(half).map(|frame| frame.raw().len()).sum();
        state.window.split(part.ticket);
        state.ready.push_front(part.piece(part.frames[place..].to_vec(), part.events - half));
        state.ready.push_front(part.piece(part.frames[..place].to_vec(), half));
    }

    /// After the last attempt: into the backup, or lost, which keeps the checkpoint where it is.
    fn give_up(&self, state: &mut State, part: Part, reason: &str) {
        state.bytes -= part.frames.len().min(state.bytes);
        if state.backup.is_some() {
            self.bury(state, &part.frames, part.attempts, reason);
            state.settled(part.ticket);
        } else {
            state.counts.lost += part.events as u64;
            state.window.lost(part.ticket);
            report_once("batches that were given up", || format!("{} events not delivered: {reason}", part.events));
        }
    }

    /// Writes messages to the backup, with the reason in them, and syncs it.
    fn bury(&self, state: &mut State, frames: &[u8], attempts: u32, reason: &str) {
        let mut out = Vec::with_capacity(frames.len() + 256);
        for frame in Frames(frames) {
            state.counts.dead_lettered += 1;
            put_dead_letter(&frame, "hec", attempts, reason, &mut out);
        }
        report_once("events that the server will not take", || match &state.backup {
            Some(_) => format!("{reason}; the event went to the backup"),
            None => format!("{reason}; the event was left out (--backup FILE would keep it)"),
        });
        let Some(backup) = &mut state.backup else { return };
        if let Err(error) = backup.write_all(&out).and_then(|()| backup.sync_data()) {
            state.fatal.get_or_insert(Failure::failed(format!("--backup: {error}")));
        }
    }

    /// The thread that asks which batches the indexers have.
    fn ask_for_acks(&self) {
        let mut interval = FIRST_ASK;
        let mut state = self.lock();
        while state.fatal.is_none() {
            state = self.pause(state, interval);
            if state.waiting.is_empty() {
                interval = FIRST_ASK;
                continue;
            }
            let mut questions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            for waiting in &state.waiting {
                let ids = questions.entry(waiting.channel.clone()).or_default();
                if ids.len() < MAX_ASKED {
                    ids.push(waiting.id);
                }
            }
            drop(state);
            let answers: Vec<_> =
                questions.into_iter().map(|(channel, ids)| (self.client.ask(&channel, &ids), channel)).collect();
            state = self.lock();
            let mut progress = false;
            for (answer, channel) in answers {
                match answer {
                    Ok(Ok(done)) => progress |= self.acknowledged(&mut state, &channel, &done),
                    Ok(Err(reason)) => report_once("questions for acks that failed", || reason),
                    Err(reason) => {
                        state.fatal.get_or_insert(Failure::failed(reason));
                    }
                }
            }
            self.send_overdue_again(&mut state);
            self.commit(&mut state);
            interval = if progress { FIRST_ASK } else { interval.mul_f64(1.5).min(self.ack_interval) };
            self.room.notify_all();
            self.work.notify_all();
        }
    }

    /// Sleeps, however often something becomes ready meanwhile.
    fn pause<'a>(&self, mut state: MutexGuard<'a, State>, interval: Duration) -> MutexGuard<'a, State> {
        let until = Instant::now() + interval;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.fatal.is_some() {
                return state;
            }
            state = self.wait(state, &self.work, left);
        }
    }

    fn acknowledged(&self, state: &mut State, channel: &str, ids: &[u64]) -> bool {
        let mut any = false;
        let mut place = 0;
        while place < state.waiting.len() {
            let waiting = &state.waiting[place];
            if waiting.channel == channel && ids.contains(&waiting.id) {
                let waiting = state.waiting.swap_remove(place);
                self.delivered(state, &waiting.part);
                any = true;
            } else {
                place += 1;
            }
        }
        any
    }

    /// What was not acknowledged in time is sent once more, on a new channel: the old one may have been forgotten.
    fn send_overdue_again(&self, state: &mut State) {
        let mut place = 0;
        let mut any = false;
        while place < state.waiting.len() {
            if state.waiting[place].since.elapsed() < self.ack_timeout {
                place += 1;
                continue;
            }
            let mut part = state.waiting.swap_remove(place).part;
            state.counts.sent_again += part.events as u64;
            state.counts.possible_duplicates += part.events as u64;
            part.not_before = None;
            state.ready.push_front(part);
            any = true;
        }
        if any {
            state.channel = new_channel();
            report_once("batches that were not acknowledged in time", || {
                "a batch was not acknowledged in time and is sent again".to_string()
            });
        }
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
