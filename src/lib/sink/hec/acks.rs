//! Batches that the server has taken, and whether the indexers have them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Part;
use super::delivery::{Shared, State};
use super::session::Session;
use crate::pipeline::{Failure, report_once};

/// Acks are asked for that soon, then at growing intervals while nothing is acknowledged.
pub const FIRST_ASK: Duration = Duration::from_millis(100);
/// Ids in one question.
const MAX_ASKED: usize = 1000;

/// A batch that waits for its ack.
pub struct Waiting {
    pub session: Arc<Session>,
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
    pub fn due(&self, thread: usize, waiting: &[Waiting]) -> Option<Instant> {
        let oldest = waiting.iter().filter(|waiting| waiting.thread == thread).map(|waiting| waiting.since).min()?;
        Some(self.next.max(oldest + FIRST_ASK))
    }
}

impl Shared {
    /// The server has taken a batch.
    pub fn await_ack(&self, state: &mut State, mut part: Part, thread: usize, session: &Arc<Session>, id: u64) {
        // The body can be made again; only the messages are kept.
        state.spare_bodies.keep(std::mem::take(&mut part.body), self.in_flight);
        if !session.goes_on(id) {
            // Ids begin anew: the server has forgotten what it took, or there is another one behind the address.
            self.send_again(state, session, "the server has forgotten a channel: what waits there is sent again");
        }
        state.waiting.push(Waiting { session: session.clone(), thread, id, since: Instant::now(), part });
    }

    /// Asks for the acks of a thread's batches.
    pub fn ask(&self, thread: usize, questions: &mut Questions) {
        let mut progress = false;
        for (session, ids) in self.questions(thread) {
            let answer = session.client.ask(&session.channel, &ids);
            let mut state = self.lock();
            match answer {
                Ok(Ok(done)) => progress |= self.acknowledged(&mut state, &session, &ids, &done),
                Ok(Err(reason)) => report_once("questions for acks that failed", || reason),
                Err(reason) => {
                    state.fatal.get_or_insert(Failure::failed(reason));
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
    fn questions(&self, thread: usize) -> Vec<(Arc<Session>, Vec<u64>)> {
        let state = self.lock();
        let mut questions: BTreeMap<&str, (Arc<Session>, Vec<u64>)> = BTreeMap::new();
        for waiting in state.waiting.iter().filter(|waiting| waiting.thread == thread) {
            let session = || (waiting.session.clone(), Vec::new());
            let (_, ids) = questions.entry(&waiting.session.channel).or_insert_with(session);
            if ids.len() < MAX_ASKED {
                ids.push(waiting.id);
            }
        }
        questions.into_values().collect()
    }

    fn acknowledged(&self, state: &mut State, session: &Arc<Session>, asked: &[u64], done: &[u64]) -> bool {
        let mut any = false;
        for id in asked.iter().filter(|id| done.contains(id)) {
            let same = |waiting: &Waiting| waiting.id == *id && Arc::ptr_eq(&waiting.session, session);
            if let Some(place) = state.waiting.iter().position(same) {
                let waiting = state.waiting.swap_remove(place);
                self.delivered(state, waiting.part);
                any = true;
            }
        }
        any
    }

    /// What waits on a channel is sent once more, on others.
    pub fn send_again(&self, state: &mut State, session: &Arc<Session>, words: &str) {
        self.take_back(state, |waiting| Arc::ptr_eq(&waiting.session, session), words);
        session.wear();
    }

    /// What was not acknowledged in time is sent once more, on a new channel: the old one may have been forgotten.
    fn send_overdue_again(&self, state: &mut State, thread: usize) {
        let overdue = |waiting: &Waiting| waiting.thread == thread && waiting.since.elapsed() >= self.ack_timeout;
        self.take_back(state, overdue, "a batch was not acknowledged in time and is sent again");
    }

    fn take_back(&self, state: &mut State, which: impl Fn(&Waiting) -> bool, words: &str) {
        let (mut taken, kept) = std::mem::take(&mut state.waiting).into_iter().partition::<Vec<_>, _>(which);
        state.waiting = kept;
        // The oldest comes first again.
        taken.sort_by_key(|waiting| std::cmp::Reverse(waiting.part.ticket));
        for Waiting { session, mut part, .. } in taken {
            session.wear();
            state.counts.sent_again += part.events as u64;
            state.counts.possible_duplicates += part.events as u64;
            part.not_before = None;
            state.ready.push_front(part);
            report_once("batches that are sent again without an ack", || words.to_string());
        }
    }
}
