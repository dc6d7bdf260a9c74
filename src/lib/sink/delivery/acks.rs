//! Batches that the server has taken, and whether the indexers have them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Part;
use super::session::{IdOrder, Session};
use super::state::{SPARE_BODIES, Shared, State};
use super::{Form, Server};
use crate::pipeline::{report, report_once};

/// Acks are asked for that soon, then at growing intervals while nothing is acknowledged.
pub const FIRST_ASK: Duration = Duration::from_millis(100);
/// Ids in one question.
const MAX_ASKED: usize = 1000;

/// So often an id has to come twice before it is believed that the server gives no others.
const SAME_IDS: u32 = 2;

/// A batch that waits for its ack.
pub struct Waiting<S> {
    pub session: Arc<Session<S>>,
    /// The thread whose session it is. It asks for the ack itself, between requests: an answer then never belongs to
    /// a batch that got the same id, from a server that began anew, while the question was on its way.
    pub thread: usize,
    pub id: u64,
    pub since: Instant,
    pub part: Part,
}

/// When a thread asks for acks.
pub struct Questions {
    interval: Duration,
    next: Instant,
}

impl Default for Questions {
    fn default() -> Questions {
        Questions { interval: FIRST_ASK, next: Instant::now() }
    }
}

impl Questions {
    /// When the thread has to ask for something.
    pub fn due<S>(&self, thread: usize, waiting: &[Waiting<S>]) -> Option<Instant> {
        let oldest = waiting.iter().filter(|waiting| waiting.thread == thread).map(|waiting| waiting.since).min()?;
        Some(self.next.max(oldest + FIRST_ASK))
    }
}

impl<S: Server, F: Form> Shared<S, F> {
    /// The server has taken a batch.
    pub fn await_ack(&self, state: &mut State<S>, mut part: Part, thread: usize, session: &Arc<Session<S>>, id: u64) {
        // The body can be made again; only the messages are kept.
        part.packed = None;
        state.spare_bodies.keep(std::mem::take(&mut part.body), SPARE_BODIES);
        let order = session.note(id);
        if order != IdOrder::Next {
            // The server has forgotten what it took, or there is another one behind the address.
            self.send_again(state, session, "the server has forgotten a channel: what waits there is sent again");
        }
        if order == IdOrder::Same
            && let Some(count) = state.same_ids.get_mut(session.place)
        {
            *count += 1;
            if *count == SAME_IDS {
                report(&format!(
                    "{} gives each batch the ack id {id}: each batch gets a channel of its own",
                    session.server.name()
                ));
            }
        }
        state.waiting.push(Waiting { session: session.clone(), thread, id, since: Instant::now(), part });
    }

    /// Asks for the acks of a thread's batches.
    pub fn ask(&self, thread: usize, questions: &mut Questions) {
        let mut progress = false;
        for (session, ids) in self.questions(thread) {
            let answer = session.server.ask(&session.channel, &ids);
            let mut state = self.lock();
            match answer {
                Ok(Ok(done)) => {
                    state.alive = Instant::now();
                    progress |= self.acknowledged(&mut state, &session, &ids, &done);
                }
                Ok(Err(reason)) => report_once("questions for acks that failed", || reason),
                Err(reason) => {
                    self.close(&mut state, session.place, reason);
                    self.send_again(&mut state, &session, "a server no longer tells what it has: it is sent again");
                }
            }
        }
        let mut state = self.lock();
        self.send_overdue_again(&mut state, thread);
        self.commit(&mut state);
        questions.interval = if progress { FIRST_ASK } else { questions.interval.mul_f64(1.5).min(self.ack_interval) };
        questions.next = Instant::now() + questions.interval;
        self.room.notify_all();
        self.work.notify_all();
    }

    /// For each channel of a thread the ids that wait.
    fn questions(&self, thread: usize) -> Vec<(Arc<Session<S>>, Vec<u64>)> {
        let state = self.lock();
        let mut questions: BTreeMap<&str, (Arc<Session<S>>, Vec<u64>)> = BTreeMap::new();
        for waiting in state.waiting.iter().filter(|waiting| waiting.thread == thread) {
            let session = || (waiting.session.clone(), Vec::new());
            let (_, ids) = questions.entry(&waiting.session.channel).or_insert_with(session);
            if ids.len() < MAX_ASKED {
                ids.push(waiting.id);
            }
        }
        questions.into_values().collect()
    }

    fn acknowledged(&self, state: &mut State<S>, session: &Arc<Session<S>>, asked: &[u64], done: &[u64]) -> bool {
        let mut any = false;
        for id in asked.iter().filter(|id| done.contains(id)) {
            let same = |waiting: &Waiting<S>| waiting.id == *id && Arc::ptr_eq(&waiting.session, session);
            if let Some(place) = state.waiting.iter().position(same) {
                let waiting = state.waiting.swap_remove(place);
                self.delivered(state, waiting.part);
                any = true;
            }
        }
        any
    }

    /// What waits on a channel is sent once more, on others.
    pub fn send_again(&self, state: &mut State<S>, session: &Arc<Session<S>>, words: &str) {
        self.take_back(state, |waiting| Arc::ptr_eq(&waiting.session, session), false, words);
        session.wear();
    }

    /// Whether the server has so far given one id to all batches of a channel: then a channel is for one batch.
    pub fn gives_one_id(state: &State<S>, place: usize) -> bool {
        state.same_ids.get(place).is_some_and(|count| *count >= SAME_IDS)
    }

    /// What was not acknowledged in time is sent once more, on a new channel: the old one may have been forgotten.
    fn send_overdue_again(&self, state: &mut State<S>, thread: usize) {
        let overdue = |waiting: &Waiting<S>| waiting.thread == thread && waiting.since.elapsed() >= self.ack_timeout;
        self.take_back(state, overdue, true, "a batch was not acknowledged in time and is sent again");
    }

    /// `failed`: it was a failed attempt of the batch's own.
    fn take_back(&self, state: &mut State<S>, which: impl Fn(&Waiting<S>) -> bool, failed: bool, words: &str) {
        let (mut taken, kept) = std::mem::take(&mut state.waiting).into_iter().partition::<Vec<_>, _>(which);
        state.waiting = kept;
        // The oldest comes first again.
        taken.sort_by_key(|waiting| std::cmp::Reverse(waiting.part.ticket));
        for Waiting { session, mut part, .. } in taken {
            session.wear();
            state.counts.sent_again += part.events as u64;
            state.counts.possible_duplicates += part.events as u64;
            part.not_before = None;
            report_once("batches that are sent again without an ack", || words.to_string());
            if failed {
                part.failing_since.get_or_insert(Instant::now());
            }
            if failed && self.limits.reached(&part, Instant::now()) {
                self.give_up(state, part, "the server took it and did not acknowledge it");
            } else {
                state.ready.push_front(part);
            }
        }
    }
}
