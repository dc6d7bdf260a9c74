//! What the sending threads share, and what each of them does: takes what is ready, sends it, asks for acks.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::acks::{FIRST_ASK, Questions, Waiting};
use super::batch::{Batch, Part, Spare};
use super::circuit::Circuit;
use super::session::Session;
use super::window::{Ticket, Window, save};
use super::{Form, Reply, Server};
use crate::pipeline::{Checkpoint, Failure, Signals, Stats, report};
use crate::sink::Spool;
use crate::sink::dead_letter::DeadLetters;
use crate::stream::Frames;

/// How often the checkpoint is written while batches keep being delivered.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// How long events that nothing else keeps are tried, unless told otherwise.
const DEFAULT_RETRY_FOR: Duration = Duration::from_secs(300);
/// Buffers of bodies that are kept for batches to come.
pub const SPARE_BODIES: usize = 2;
/// A server that takes nothing from us is asked again so often, while there are others: it may be starting.
const REOPEN: Duration = Duration::from_secs(60);

/// How long a batch is tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Requests for a batch; 0 is any number.
    pub attempts: Option<u32>,
    /// How long a batch may fail; 0 is for ever.
    pub time: Option<Duration>,
}

impl Limits {
    /// When neither is given: what the source or the spool keeps is tried for ever, everything else for five minutes.
    fn of(&self, part: &Part) -> (u32, Duration) {
        match (self.attempts, self.time) {
            (None, None) if part.rereadable => (0, Duration::ZERO),
            (None, None) => (0, DEFAULT_RETRY_FOR),
            (attempts, time) => (attempts.unwrap_or_default(), time.unwrap_or_default()),
        }
    }

    /// When a part that fails has failed for too long.
    pub fn until(&self, part: &Part) -> Option<Instant> {
        let (_, time) = self.of(part);
        part.failing_since.filter(|_| !time.is_zero()).map(|since| since + time)
    }

    /// Whether a part that has failed is given up.
    pub fn reached(&self, part: &Part, now: Instant) -> bool {
        let (attempts, _) = self.of(part);
        attempts > 0 && part.attempts >= attempts || self.until(part).is_some_and(|until| until <= now)
    }

    /// Whether the user has set one: then what is given up is not the source's any more.
    pub fn are_set(&self) -> bool {
        self.attempts.is_some() || self.time.is_some()
    }
}

/// How batches are delivered.
pub struct DeliveryOptions {
    /// The sink's name in fields of dead letters and in the spool.
    pub name: &'static str,
    pub in_flight: usize,
    /// Bytes of messages from ready to delivered.
    pub max_in_flight_bytes: usize,
    pub limits: Limits,
    /// After a stop, and at the end with a spool while nothing succeeds: how long to go on.
    pub drain: Duration,
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
    pub dead_letters: DeadLetters,
    pub checkpoint: Option<Checkpoint>,
}

#[derive(Default)]
pub struct Counts {
    pub delivered: u64,
    pub sent_again: u64,
    pub possible_duplicates: u64,
    pub dead_lettered: u64,
    /// Not delivered, and in no file of ours.
    pub lost: u64,
    /// Of those: what the source can read again.
    pub at_source: u64,
    pub requests: u64,
}

/// Events that the server refused before it had taken anything from us: they may be good, and the server bad.
pub struct Held {
    pub ticket: Ticket,
    pub frames: Arc<Vec<u8>>,
    pub events: usize,
    pub attempts: u32,
    pub rereadable: bool,
    pub reason: String,
}

pub struct State<S> {
    pub ready: VecDeque<Part>,
    /// What is being sent, each by a thread of that number, and how long its body is while there is one.
    pub sending: Vec<(usize, usize, Part)>,
    pub waiting: Vec<Waiting<S>>,
    pub held: Vec<Held>,
    /// A server has taken something.
    pub taken: bool,
    /// When a server last answered as it should.
    pub alive: Instant,
    pub window: Window,
    pub checkpoint: Option<Checkpoint>,
    saved: Instant,
    pub dead_letters: DeadLetters,
    /// One for each server, as the next two are.
    pub circuits: Vec<Circuit>,
    /// Until when it is taken for one that takes nothing from us.
    pub closed: Vec<Option<Instant>>,
    /// How often an ack id came twice in a row.
    pub same_ids: Vec<u32>,
    /// Bytes of frames from ready to delivered.
    pub bytes: usize,
    pub counts: Counts,
    pub fatal: Option<Failure>,
    pub spare_frames: Spare,
    pub spare_bodies: Spare,
}

pub struct Shared<S, F> {
    state: Mutex<State<S>>,
    /// Something is ready, or ends.
    pub work: Condvar,
    /// Something was delivered, or is being sent.
    pub room: Condvar,
    servers: Vec<S>,
    pub spool: Option<Spool>,
    pub form: F,
    pub in_flight: usize,
    pub max_in_flight_bytes: usize,
    pub limits: Limits,
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

impl<S> State<S> {
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

    /// Bytes of bodies that are ready or being sent.
    pub fn body_bytes(&self) -> usize {
        let ready: usize = self.ready.iter().map(|part| part.body.len()).sum();
        ready + self.sending.iter().map(|(_, body, _)| body).sum::<usize>()
    }

    /// Whether nothing is ready, sent, or waits for its ack.
    pub fn is_quiet(&self) -> bool {
        self.ready.is_empty() && self.sending.is_empty() && self.waiting.is_empty()
    }

    fn is_closed(&self, place: usize, now: Instant) -> bool {
        self.closed.get(place).is_none_or(|until| until.is_some_and(|until| until > now))
    }

    /// Whether a server answers as it should, as far as is known.
    pub fn any_is_well(&self) -> bool {
        let now = Instant::now();
        self.circuits.iter().enumerate().any(|(place, circuit)| circuit.is_well() && !self.is_closed(place, now))
    }

    pub fn push(&mut self, mut part: Part) {
        if !self.any_is_well() {
            part.failing_since.get_or_insert_with(Instant::now);
        }
        self.ready.push_back(part);
    }
}

impl<S: Server, F: Form> Shared<S, F> {
    /// # Errors
    /// When the spool can't be used.
    pub fn new(servers: Vec<S>, form: F, options: DeliveryOptions) -> Result<Shared<S, F>, Failure> {
        let prefix: &'static str = match options.name {
            "hec" => "hec-",
            _ => "http-",
        };
        let state = State {
            ready: VecDeque::new(),
            sending: Vec::new(),
            waiting: Vec::new(),
            held: Vec::new(),
            taken: false,
            alive: Instant::now(),
            window: Window::default(),
            checkpoint: options.checkpoint,
            saved: Instant::now(),
            dead_letters: options.dead_letters,
            circuits: servers.iter().map(|_| Circuit::default()).collect(),
            closed: vec![None; servers.len()],
            same_ids: vec![0; servers.len()],
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
            servers,
            spool: options.spool.map(|directory| Spool::open_streams(&directory, prefix, "--spool")).transpose()?,
            form,
            in_flight: options.in_flight.max(1),
            max_in_flight_bytes: options.max_in_flight_bytes,
            limits: options.limits,
            rotate_after: options.rotate_after,
            verbose: options.verbose,
            ack: options.ack,
            ack_interval: options.ack_interval.max(FIRST_ASK),
            ack_timeout: options.ack_timeout,
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn wait<'a>(
        &self,
        state: MutexGuard<'a, State<S>>,
        on: &Condvar,
        at_most: Duration,
    ) -> MutexGuard<'a, State<S>> {
        on.wait_timeout(state, at_most).map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state)
    }

    /// A sending thread: takes what is ready, and asks for acks, until there is nothing more to come.
    pub fn send_batches(&self, number: usize) {
        let mut current: Option<Arc<Session<S>>> = None;
        let mut questions = Questions::default();
        while let Some(work) = self.next_work(number, current.as_deref(), &questions) {
            let Work::Send(mut part, place) = work else {
                self.ask(number, &mut questions);
                continue;
            };
            let session = match (current.take(), self.servers.get(place)) {
                (Some(session), _) if session.place == place && self.is_good(&session) => session,
                (_, Some(server)) => Session::new(server, place),
                // A place comes from the list of servers.
                (_, None) => return,
            };
            if part.packed.is_none() {
                if part.body.is_empty() {
                    part.body = self.make_body(&part.frames);
                }
                self.pack(&mut part, number, &session.server);
            }
            part.attempts = part.attempts.saturating_add(1);
            session.count();
            let reply = session.server.send(&part, &session.channel);
            if self.verbose {
                let (events, bytes) = (part.events, part.sent().len());
                report(&format!("{events} events, {bytes} bytes to {}: {reply}", session.server.name()));
            }
            let mut state = self.lock();
            let Some(place) = state.sending.iter().position(|(thread, ..)| *thread == number) else {
                // The run has ended meanwhile, and what was known of the part with it.
                return;
            };
            state.sending.swap_remove(place);
            let place = session.place;
            state.counts.requests += 1;
            self.note_health(&mut state, place, &reply);
            self.settle(&mut state, part, reply, number, &session);
            self.commit(&mut state);
            drop(state);
            current = Some(session);
            self.room.notify_all();
            self.work.notify_all();
        }
    }

    /// Compresses a part's body. One that can be made again has no use beside it: the next batch is filled in its buffer.
    fn pack(&self, part: &mut Part, number: usize, server: &S) {
        part.packed = server.pack(&part.body);
        if part.packed.is_some() && part.ends.is_empty() {
            let mut state = self.lock();
            state.spare_bodies.keep(std::mem::take(&mut part.body), SPARE_BODIES);
            state.sending.iter_mut().filter(|(thread, ..)| *thread == number).for_each(|(_, body, _)| *body = 0);
        }
    }

    /// What a reply says of its server.
    fn note_health(&self, state: &mut State<S>, place: usize, reply: &Reply) {
        let now = Instant::now();
        match (reply, state.circuits.get_mut(place)) {
            (_, None) => {}
            // It answers; what it says is another matter.
            (Reply::Closed { .. }, Some(circuit)) => circuit.success(),
            (Reply::Retry { after, .. }, Some(circuit)) => {
                circuit.failure(*after);
                if !state.any_is_well() {
                    for part in &mut state.ready {
                        part.failing_since.get_or_insert(now);
                    }
                }
            }
            (_, Some(circuit)) => {
                circuit.success();
                state.alive = now;
                state.closed[place] = None;
                for part in state.ready.iter_mut().filter(|part| part.attempts == 0) {
                    part.failing_since = None;
                }
            }
        }
    }

    /// A server takes nothing from us. The run ends when that holds for all of them.
    pub fn close(&self, state: &mut State<S>, place: usize, reason: String) {
        let now = Instant::now();
        if let Some(closed) = state.closed.get_mut(place) {
            *closed = Some(now + REOPEN);
        }
        if (0..self.servers.len()).all(|place| state.is_closed(place, now)) {
            state.fatal.get_or_insert(Failure::failed(reason));
        } else {
            let name = self.servers.get(place).map_or("", Server::name);
            let words = || format!("{name}: {reason}; the other servers go on");
            crate::pipeline::report_once("permanent failures of one server of several", words);
        }
    }

    fn is_good(&self, session: &Session<S>) -> bool {
        let rotate_after = match Shared::<S, F>::gives_one_id(&self.lock(), session.place) {
            true => 1,
            false => self.rotate_after,
        };
        !session.is_worn() && !session.is_spent(rotate_after)
    }

    /// What a thread does next; waits for it.
    fn next_work(&self, number: usize, current: Option<&Session<S>>, questions: &Questions) -> Option<Work> {
        let servers = self.servers.len();
        let mut state = self.lock();
        loop {
            if state.fatal.is_some() {
                return None;
            }
            self.take_up(&mut state);
            let now = Instant::now();
            self.give_up_late(&mut state, now);
            let ask_at = questions.due(number, &state.waiting);
            if ask_at.is_some_and(|at| at <= now) {
                return Some(Work::Ask);
            }
            // A channel stays with its server; after so many requests the next one has its turn.
            let first = match current {
                Some(session) => session.place + session.is_spent(self.rotate_after) as usize,
                None => number,
            };
            let places =
                || (0..servers).map(|step| (first + step) % servers).filter(|&place| !state.is_closed(place, now));
            let circuit = |place: &usize| state.circuits.get(*place);
            let place = places().find(|place| circuit(place).is_some_and(|circuit| circuit.allows(now)));
            let well = places().find(|place| circuit(place).is_some_and(Circuit::is_well));
            let due = self.due(&state, now);
            if let (Some(place), Some(due)) = (place, due)
                && let Some(part) = state.ready.remove(due)
            {
                // Whether a server is there again is tried with a batch that has not failed yet: else one batch may have all its
                // attempts where nobody is.
                let place = if part.attempts > 0 { well.unwrap_or(place) } else { place };
                if let Some(circuit) = state.circuits.get_mut(place) {
                    circuit.begin();
                }
                state.sending.push((number, part.body.len(), part.shadow()));
                // The next one may get ready while this one is sent.
                self.room.notify_all();
                return Some(Work::Send(part, place));
            }
            let parts = state.ready.iter().filter_map(|part| part.not_before);
            let limits = state.ready.iter().filter_map(|part| self.limits.until(part));
            let servers = state.circuits.iter().filter_map(Circuit::until);
            let closed = state.closed.iter().flatten().copied();
            let soonest = parts.chain(limits).chain(servers).chain(closed).chain(ask_at).filter(|at| *at > now).min();
            let at_most = soonest.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now));
            state = self.wait(state, &self.work, at_most.max(Duration::from_millis(1)));
        }
    }

    /// The first batch that may be sent now.
    fn due(&self, state: &State<S>, now: Instant) -> Option<usize> {
        let is_due = |part: &Part| part.not_before.is_none_or(|at| at <= now);
        // One request at a time keeps the order: then nothing overtakes a batch that waits. Neither does it in a lane.
        if self.in_flight == 1 {
            return state.ready.front().filter(|part| is_due(part)).map(|_| 0);
        }
        let overtakes = |place: usize, lane: u64| {
            let before = state.ready.iter().take(place).filter_map(|part| part.lane);
            let sending = state.sending.iter().filter_map(|(.., part)| part.lane);
            sending.chain(before).any(|other| other == lane)
        };
        let may_go = |place: usize, part: &Part| is_due(part) && part.lane.is_none_or(|lane| !overtakes(place, lane));
        state.ready.iter().enumerate().find(|(place, part)| may_go(*place, part)).map(|(place, _)| place)
    }

    /// Batches that have failed for too long are given up.
    fn give_up_late(&self, state: &mut State<S>, now: Instant) {
        while let Some(place) =
            state.ready.iter().position(|part| self.limits.until(part).is_some_and(|until| until <= now))
            && let Some(part) = state.ready.remove(place)
        {
            self.give_up(state, part, "no server took it in time");
            self.commit(state);
            self.room.notify_all();
        }
    }

    /// Batches of the spool become ready, the oldest first, as far as there is room.
    fn take_up(&self, state: &mut State<S>) {
        let Some(spool) = &self.spool else { return };
        while state.ready.len() < self.in_flight {
            let (room, mut taken) = (self.max_in_flight_bytes.saturating_sub(state.bytes), 0);
            let alone = state.bytes == 0;
            let fits = |size: u64| {
                taken += 1;
                taken == 1 && (alone || size <= room as u64)
            };
            let Some((file, frames)) = spool.take(fits).pop() else { return };
            let events = Frames(&frames).count();
            let query = Frames(&frames).next().map(|frame| self.form.query(&frame.view()));
            let ticket = state.window.open_file(file);
            state.bytes += frames.len();
            let batch = Batch { frames, events, query: query.unwrap_or_default(), ..Batch::default() };
            state.push(Part::new(ticket, batch, true));
        }
    }

    /// A part is delivered or buried: what it held back may be committed, its file removed.
    pub fn settled(&self, state: &mut State<S>, ticket: Ticket) {
        let file = state.window.delivered(ticket, state.checkpoint.as_mut());
        if let (Some(spool), Some(file)) = (&self.spool, file) {
            spool.remove(&file);
        }
    }

    /// Whether nothing is under way any more.
    pub fn is_done(&self, state: &State<S>) -> bool {
        state.is_quiet() && self.spool.as_ref().is_none_or(|spool| spool.waiting().0 == 0)
    }

    fn make_body(&self, frames: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(frames.len());
        Frames(frames).for_each(|frame| self.form.put(&frame.view(), &mut body));
        body
    }

    /// Writes the checkpoint now and then, and whenever nothing is under way.
    pub fn commit(&self, state: &mut State<S>) {
        if state.saved.elapsed() < COMMIT_EVERY && !state.window.is_idle() {
            return;
        }
        state.saved = Instant::now();
        if let Err(failure) = save(&mut state.checkpoint) {
            state.fatal.get_or_insert(failure);
        }
    }
}
