//! Batches on their way: sent by threads, acknowledged later, committed in order.
//!
//! ```text
//! (spool) → ready → sending → (acks off) delivered
//!                      └→ waiting for its ack → delivered
//! ```
//!
//! All threads share one [`State`]. A batch that fails goes back to ready, to be sent after its backoff.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::acks::{FIRST_ASK, Questions, Waiting};
use super::batch::{Part, Spare};
use super::client::{Client, Reply};
use super::event::EventOptions;
use super::sender::SenderOptions;
use super::session::Session;
use crate::pipeline::{Checkpoint, Failure, Signals, Stats, report, report_once};
use crate::sink::circuit::Circuit;
use crate::sink::dead_letter::DeadLetters;
use crate::sink::window::save;
use crate::sink::{Spool, Ticket, Window};
use crate::stream::Frames;

/// How often the checkpoint is written while batches keep being delivered.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// Attempts for events that can't be read again, unless told otherwise.
const DEFAULT_ATTEMPTS: u32 = 5;

#[derive(Default)]
pub struct Counts {
    pub delivered: u64,
    pub sent_again: u64,
    pub possible_duplicates: u64,
    pub dead_lettered: u64,
    pub lost: u64,
    pub requests: u64,
}

pub struct State {
    pub ready: VecDeque<Part>,
    pub sending: usize,
    pub waiting: Vec<Waiting>,
    pub window: Window,
    pub checkpoint: Option<Checkpoint>,
    saved: Instant,
    dead_letters: DeadLetters,
    /// One for each server.
    circuits: Vec<Circuit>,
    /// Bytes of frames from ready to delivered.
    pub bytes: usize,
    pub counts: Counts,
    pub fatal: Option<Failure>,
    pub spare_frames: Spare,
    pub spare_bodies: Spare,
}

pub struct Shared {
    state: Mutex<State>,
    /// Something is ready, or ends.
    pub work: Condvar,
    /// Something was delivered.
    pub room: Condvar,
    /// The servers.
    clients: Vec<Client>,
    pub spool: Option<Spool>,
    pub event: EventOptions,
    pub in_flight: usize,
    pub max_in_flight_bytes: usize,
    max_attempts: Option<u32>,
    rotate_after: u64,
    verbose: bool,
    pub ack: bool,
    pub ack_interval: Duration,
    pub ack_timeout: Duration,
}

/// What a thread does.
enum Work {
    /// Sends a batch to that server.
    Send(Part, usize),
    /// Asks for acks.
    Ask,
}

impl State {
    pub fn add_stats(&self, stats: &mut Stats) {
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

    /// While the program waits here for the server, nobody else answers SIGUSR1.
    pub fn print_if_asked(&self) {
        if Signals::get().is_some_and(Signals::take_statistics_request) {
            let mut stats = Stats::default();
            self.add_stats(&mut stats);
            stats.print();
        }
    }
}

impl Shared {
    pub fn new(clients: Vec<Client>, options: SenderOptions) -> Result<Shared, Failure> {
        let state = State {
            ready: VecDeque::new(),
            sending: 0,
            waiting: Vec::new(),
            window: Window::default(),
            checkpoint: options.checkpoint,
            saved: Instant::now(),
            dead_letters: DeadLetters::open(options.backup.as_deref(), "hec")?,
            circuits: clients.iter().map(|_| Circuit::default()).collect(),
            bytes: 0,
            counts: Counts::default(),
            fatal: None,
            spare_frames: Spare::default(),
            spare_bodies: Spare::default(),
        };
        Ok(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            clients,
            spool: options.spool.map(|directory| Spool::open(&directory, "hec-", "--spool")).transpose()?,
            event: options.event,
            in_flight: options.in_flight.max(1),
            max_in_flight_bytes: options.max_in_flight_bytes,
            max_attempts: options.max_attempts,
            rotate_after: options.rotate_after,
            verbose: options.verbose,
            ack: options.ack,
            ack_interval: options.ack_interval.max(FIRST_ASK),
            ack_timeout: options.ack_timeout,
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked is a defect of ours; the state is still the best there is to save.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn wait<'a>(&self, state: MutexGuard<'a, State>, on: &Condvar, at_most: Duration) -> MutexGuard<'a, State> {
        on.wait_timeout(state, at_most).map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
    }

    /// A sending thread: takes what is ready, and asks for acks, until there is nothing more to come.
    pub fn send_batches(&self, number: usize) {
        let mut current: Option<Arc<Session>> = None;
        let mut questions = Questions::default();
        while let Some(work) = self.next_work(number, current.as_deref(), &questions) {
            let Work::Send(mut part, place) = work else {
                self.ask(number, &mut questions);
                continue;
            };
            let session = match current.take() {
                Some(session) if session.place == place && self.is_good(&session) => session,
                _ => Session::new(&self.clients[place], place),
            };
            if part.body.is_empty() {
                part.body = self.make_body(&part.frames);
            }
            part.attempts += 1;
            session.count();
            let reply = session.client.send(&part.body, &part.query, &session.channel);
            if self.verbose {
                let (events, bytes) = (part.events, part.body.len());
                report(&format!("{events} events, {bytes} bytes to {}: {reply}", session.client.base()));
            }
            let mut state = self.lock();
            state.sending -= 1;
            state.counts.requests += 1;
            match &reply {
                Reply::Retry { after, .. } => state.circuits[place].failure(*after),
                _ => state.circuits[place].success(),
            }
            self.settle(&mut state, part, reply, number, &session);
            self.commit(&mut state);
            drop(state);
            current = Some(session);
            self.room.notify_all();
            self.work.notify_all();
        }
    }

    fn is_good(&self, session: &Session) -> bool {
        !session.is_worn() && !session.is_spent(self.rotate_after)
    }

    /// What a thread does next; waits for it.
    fn next_work(&self, number: usize, current: Option<&Session>, questions: &Questions) -> Option<Work> {
        let servers = self.clients.len();
        let mut state = self.lock();
        loop {
            if state.fatal.is_some() {
                return None;
            }
            self.take_up(&mut state);
            let now = Instant::now();
            let ask_at = questions.due(number, &state.waiting);
            if ask_at.is_some_and(|at| at <= now) {
                return Some(Work::Ask);
            }
            // A channel stays with its server; after so many requests the next one has its turn.
            let first = match current {
                Some(session) => session.place + session.is_spent(self.rotate_after) as usize,
                None => number,
            };
            let places = || (0..servers).map(|step| (first + step) % servers);
            let place = places().find(|place| state.circuits[*place].allows(now));
            let well = places().find(|place| state.circuits[*place].is_well());
            let is_due = |part: &Part| part.not_before.is_none_or(|at| at <= now);
            // One request at a time keeps the order: then nothing overtakes a batch that waits.
            let due = match self.in_flight {
                1 => state.ready.front().filter(|part| is_due(part)).map(|_| 0),
                _ => state.ready.iter().position(is_due),
            };
            if let (Some(place), Some(due)) = (place, due)
                && let Some(part) = state.ready.remove(due)
            {
                // Whether a server is there again is tried with a batch that has not failed yet: else one batch may have all its
                // attempts where nobody is.
                let place = if part.attempts > 0 { well.unwrap_or(place) } else { place };
                state.circuits[place].begin();
                state.sending += 1;
                return Some(Work::Send(part, place));
            }
            let parts = state.ready.iter().filter_map(|part| part.not_before);
            let servers = state.circuits.iter().filter_map(Circuit::until);
            let soonest = parts.chain(servers).chain(ask_at).filter(|at| *at > now).min();
            let at_most = soonest.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now));
            state = self.wait(state, &self.work, at_most.max(Duration::from_millis(1)));
        }
    }

    /// Batches of the spool become ready, the oldest first, as far as there is room.
    fn take_up(&self, state: &mut State) {
        let Some(spool) = &self.spool else { return };
        while state.ready.len() < self.in_flight {
            let (room, mut taken) = (self.max_in_flight_bytes.saturating_sub(state.bytes), 0);
            let alone = state.bytes == 0;
            let fits = |size: u64| {
                taken += 1;
                taken == 1 && (alone || size <= room as u64)
            };
            let Some((file, frames)) = spool.take(fits).pop() else { return };
            let (events, bytes) =
                Frames(&frames).fold((0, 0), |(events, bytes), frame| (events + 1, bytes + frame.raw().len()));
            let query = Frames(&frames).next().map(|frame| self.event.query(&frame.view()));
            let Some(query) = query.filter(|_| bytes == frames.len()) else {
                spool.set_aside(&file, "it is no stream of messages");
                continue;
            };
            let ticket = state.window.open_file(file);
            state.bytes += frames.len();
            state.ready.push_back(Part::new(ticket, frames, events, Vec::new(), query, true));
        }
    }

    /// A part is delivered or buried: what it held back may be committed, its file removed.
    pub fn settled(&self, state: &mut State, ticket: Ticket) {
        let file = state.window.delivered(ticket, state.checkpoint.as_mut());
        if let (Some(spool), Some(file)) = (&self.spool, file) {
            spool.remove(&file);
        }
    }

    /// Whether nothing is under way any more.
    pub fn is_done(&self, state: &State) -> bool {
        state.window.is_idle() && state.sending == 0 && self.spool.as_ref().is_none_or(|spool| spool.waiting().0 == 0)
    }

    fn make_body(&self, frames: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(frames.len());
        Frames(frames).for_each(|frame| self.event.put(&frame.view(), &mut body));
        body
    }

    /// Does what a reply asks for.
    fn settle(&self, state: &mut State, mut part: Part, reply: Reply, thread: usize, session: &Arc<Session>) {
        match reply {
            Reply::Accepted { ack_id: Some(id) } if self.ack => self.await_ack(state, part, thread, session, id),
            Reply::Accepted { ack_id: None } if self.ack => {
                let message = "the server took a batch without an ack id: it has no indexer acknowledgement; \
                               drop --ack, or turn it on for the token";
                state.ready.push_front(part);
                state.fatal = Some(Failure::failed(message));
            }
            Reply::Accepted { .. } => self.delivered(state, part),
            Reply::Retry { reason, after, unclear } => {
                let limit = match self.max_attempts {
                    Some(limit) => limit,
                    None if part.rereadable => 0,
                    None => DEFAULT_ATTEMPTS,
                };
                if limit > 0 && part.attempts >= limit {
                    self.give_up(state, part, &reason);
                } else {
                    report_once("requests that failed and are tried again", || reason);
                    state.counts.sent_again += part.events as u64;
                    // Another server may have room now.
                    let after = after.filter(|_| self.clients.len() == 1);
                    part.not_before = Some(Instant::now() + part.backoff.next(after));
                    state.ready.push_front(part);
                }
                if unclear {
                    // It may have got an ack id that stands for an earlier batch, from a server that has begun anew.
                    let words = "a request got no answer: what waits for an ack on its channel is sent again too";
                    self.send_again(state, session, words);
                }
            }
            Reply::BadIndex { number, reason } if number < part.events => {
                self.take_index_out(state, part, number, &reason)
            }
            Reply::BadEvent { number, reason, ack_id } if number < part.events => {
                self.take_out(state, part, number, &reason, ack_id.map(|id| (thread, session, id)));
            }
            Reply::BadEvent { reason, .. } | Reply::BadIndex { reason, .. } | Reply::Split { reason } => {
                self.split(state, part, &reason)
            }
            Reply::Fatal { reason } => {
                state.ready.push_front(part);
                state.fatal.get_or_insert(Failure::failed(reason));
            }
        }
    }

    pub fn delivered(&self, state: &mut State, part: Part) {
        state.counts.delivered += part.events as u64;
        state.bytes -= part.frames.len().min(state.bytes);
        self.settled(state, part.ticket);
        state.spare_frames.keep(part.frames, self.in_flight);
        state.spare_bodies.keep(part.body, self.in_flight);
    }

    /// Writes the checkpoint now and then, and whenever nothing is under way.
    pub fn commit(&self, state: &mut State) {
        if state.saved.elapsed() < COMMIT_EVERY && !state.window.is_idle() {
            return;
        }
        state.saved = Instant::now();
        if let Err(failure) = save(&mut state.checkpoint) {
            state.fatal.get_or_insert(failure);
        }
    }

    /// One event is bad: it goes to the dead letters, the others on.
    fn take_out(
        &self,
        state: &mut State,
        part: Part,
        number: usize,
        reason: &str,
        taken: Option<(usize, &Arc<Session>, u64)>,
    ) {
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
            Some((thread, session, id)) if self.ack && number > 0 => {
                let first = part.piece(before.to_vec(), number);
                if behind > 0 {
                    state.window.split(part.ticket);
                    state.ready.push_front(part.piece(after.to_vec(), behind));
                }
                self.await_ack(state, first, thread, session, id);
            }
            // It may have taken them or not: twice is better than never.
            _ => {
                state.counts.possible_duplicates += number as u64;
                if number + behind > 0 {
                    state.ready.push_front(part.piece([before, after].concat(), number + behind));
                } else {
                    self.settled(state, part.ticket);
                }
            }
        }
    }

    /// An index is refused: all events for it are bad.
    fn take_index_out(&self, state: &mut State, part: Part, number: usize, reason: &str) {
        let Some(refused) = Frames(&part.frames).nth(number).map(|frame| self.event.index_of(&frame.view())) else {
            return self.split(state, part, reason);
        };
        let (mut good, mut bad, mut events) = (Vec::new(), Vec::new(), 0);
        for frame in Frames(&part.frames) {
            if self.event.index_of(&frame.view()) == refused {
                bad.extend_from_slice(frame.raw());
            } else {
                good.extend_from_slice(frame.raw());
                events += 1;
            }
        }
        self.bury(state, &bad, part.attempts, reason);
        state.bytes -= bad.len().min(state.bytes);
        match events {
            0 => self.settled(state, part.ticket),
            _ => state.ready.push_front(part.piece(good, events)),
        }
    }

    /// Tries again with halves; a single event that is refused is bad.
    fn split(&self, state: &mut State, part: Part, reason: &str) {
        if part.events <= 1 {
            self.bury(state, &part.frames, part.attempts, reason);
            state.bytes -= part.frames.len().min(state.bytes);
            return self.settled(state, part.ticket);
        }
        let half = part.events / 2;
        let place: usize = Frames(&part.frames).take(half).map(|frame| frame.raw().len()).sum();
        state.window.split(part.ticket);
        state.ready.push_front(part.piece(part.frames[place..].to_vec(), part.events - half));
        state.ready.push_front(part.piece(part.frames[..place].to_vec(), half));
    }

    /// After the last attempt: into the backup, or lost, which keeps the checkpoint where it is.
    pub fn give_up(&self, state: &mut State, part: Part, reason: &str) {
        state.bytes -= part.frames.len().min(state.bytes);
        if state.dead_letters.are_kept() {
            self.bury(state, &part.frames, part.attempts, reason);
            self.settled(state, part.ticket);
        } else if state.window.file(part.ticket).is_some() {
            state.window.lost(part.ticket);
            report_once("batches that stay in the spool", || {
                format!("{} events stay in the spool: {reason}", part.events)
            });
        } else {
            state.counts.lost += part.events as u64;
            state.window.lost(part.ticket);
            report_once("batches that were given up", || format!("{} events not delivered: {reason}", part.events));
        }
    }

    /// Writes messages to the backup, with the reason in them, and syncs it.
    pub fn bury(&self, state: &mut State, frames: &[u8], attempts: u32, reason: &str) {
        match state.dead_letters.bury(frames, attempts, reason) {
            Ok(count) => state.counts.dead_lettered += count,
            Err(failure) => {
                state.fatal.get_or_insert(failure);
            }
        }
    }
}
