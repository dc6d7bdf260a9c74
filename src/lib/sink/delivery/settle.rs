//! What a reply does with the events of its batch.

use std::sync::Arc;
use std::time::Instant;

use super::batch::Part;
use super::session::Session;
use super::state::{Held, SPARE_BODIES, Shared, State};
use super::{Form, Item, Reply, Server};
use crate::pipeline::{Failure, report_once};
use crate::stream::Frames;

/// So many events may be refused before the server has taken any.
const MAX_HELD: usize = 10_000;

impl<S: Server, F: Form> Shared<S, F> {
    /// Does what a reply asks for.
    pub fn settle(&self, state: &mut State<S>, part: Part, reply: Reply, thread: usize, session: &Arc<Session<S>>) {
        match reply {
            Reply::Accepted { ack_id: None } if self.ack => {
                let reason = "the server took a batch without an ack id: it has no indexer acknowledgement; \
                              drop --ack, or turn it on for the token";
                state.counts.possible_duplicates += part.events as u64;
                state.ready.push_front(part);
                self.close(state, session.place, reason.into());
            }
            Reply::Accepted { ack_id } => {
                self.note_taken(state);
                match ack_id.filter(|_| self.ack) {
                    Some(id) => self.await_ack(state, part, thread, session, id),
                    None => self.delivered(state, part),
                }
            }
            Reply::Retry { reason, after, perhaps, cut } => {
                state.counts.possible_duplicates += perhaps.min(part.events) as u64;
                self.try_again(state, part, reason, after);
                if cut {
                    // It may have got an ack id that stands for an earlier batch, from a server that has begun anew.
                    let words = "a request got no answer: what waits for an ack on its channel is sent again too";
                    self.send_again(state, session, words);
                }
            }
            Reply::BadGroup { number, reason } if number < part.events => {
                self.take_group_out(state, part, number, reason)
            }
            Reply::BadEvent { number, reason, ack_id } if number < part.events => {
                self.take_out(state, part, number, reason, ack_id.map(|id| (thread, session, id)));
            }
            Reply::Items(items) if items.len() == part.events => self.settle_items(state, part, &items),
            Reply::Items(_) => self.split(state, part, "the server's answer has not an item for each event".into()),
            Reply::BadEvent { reason, .. } | Reply::BadGroup { reason, .. } | Reply::Split { reason } => {
                self.split(state, part, reason);
            }
            Reply::Closed { reason } => {
                state.ready.push_front(part);
                self.close(state, session.place, reason);
                self.send_again(
                    state,
                    session,
                    "a server takes nothing more from us: what it has not confirmed is sent again",
                );
            }
        }
    }

    /// Sends a part again after a while, unless it has been tried long enough.
    fn try_again(&self, state: &mut State<S>, mut part: Part, reason: String, after: Option<std::time::Duration>) {
        part.failing_since.get_or_insert_with(Instant::now);
        if self.limits.reached(&part, Instant::now()) {
            return self.give_up(state, part, &reason);
        }
        report_once("requests that failed and are tried again", || reason);
        state.counts.sent_again += part.events as u64;
        // Another server may have room now.
        let after = after.filter(|_| state.circuits.len() == 1);
        part.not_before = Some(Instant::now() + part.backoff.next(after));
        state.ready.push_front(part);
    }

    /// The server has taken something: what it refused before was refused for what it is.
    fn note_taken(&self, state: &mut State<S>) {
        if !std::mem::replace(&mut state.taken, true) {
            for held in std::mem::take(&mut state.held) {
                self.bury(state, held);
            }
        }
    }

    pub fn delivered(&self, state: &mut State<S>, part: Part) {
        state.counts.delivered += part.events as u64;
        state.bytes -= part.frames.len().min(state.bytes);
        self.settled(state, part.ticket);
        if let Ok(frames) = Arc::try_unwrap(part.frames) {
            state.spare_frames.keep(frames, self.in_flight);
        }
        state.spare_bodies.keep(part.body, SPARE_BODIES);
    }

    /// Each event has its own answer.
    fn settle_items(&self, state: &mut State<S>, part: Part, items: &[Item]) {
        let is = |wanted: fn(&Item) -> bool| move |number: usize| items.get(number).is_some_and(wanted);
        let taken = part.pick(is(|item| *item == Item::Taken));
        let again = part.pick(is(|item| matches!(item, Item::Wait(_))));
        if taken.events > 0 {
            self.note_taken(state);
            state.window.split(part.ticket);
            self.delivered(state, taken);
        }
        for (number, item) in items.iter().enumerate() {
            if let Item::Refused(reason) = item {
                state.window.split(part.ticket);
                self.refuse(state, part.pick(|other| other == number), part.attempts, reason.clone());
            }
        }
        let reason = items.iter().find_map(|item| if let Item::Wait(reason) = item { Some(reason) } else { None });
        if let Some(reason) = reason {
            // The same wait as for a whole batch: the items that are left keep its attempts.
            let again =
                Part { attempts: part.attempts, failing_since: part.failing_since, backoff: part.backoff, ..again };
            state.window.split(part.ticket);
            self.try_again(state, again, reason.clone(), None);
        }
        self.settled(state, part.ticket);
    }

    /// One event is bad: it goes aside, the others on.
    fn take_out(
        &self,
        state: &mut State<S>,
        part: Part,
        number: usize,
        reason: String,
        taken: Option<(usize, &Arc<Session<S>>, u64)>,
    ) {
        let bad = part.pick(|other| other == number);
        state.window.split(part.ticket);
        match taken {
            // The server took the events before it, and will acknowledge them.
            Some((thread, session, id)) if self.ack && number > 0 => {
                self.note_taken(state);
                self.refuse(state, bad, part.attempts, reason);
                let behind = part.pick(|other| other > number);
                if behind.events > 0 {
                    state.window.split(part.ticket);
                    state.ready.push_front(behind);
                }
                self.await_ack(state, part.pick(|other| other < number), thread, session, id);
            }
            // It may have taken them or not: twice is better than never.
            _ => {
                self.refuse(state, bad, part.attempts, reason);
                state.counts.possible_duplicates += number as u64;
                self.send_rest(state, &part, part.pick(|other| other != number));
            }
        }
    }

    /// A group is refused: all events of it are bad.
    fn take_group_out(&self, state: &mut State<S>, part: Part, number: usize, reason: String) {
        let groups: Vec<_> = Frames(&part.frames).map(|frame| self.form.group(&frame.view())).collect();
        let refused = groups.get(number).cloned().unwrap_or_default();
        let is_refused = |number: usize| groups.get(number).is_some_and(|group| *group == refused);
        state.window.split(part.ticket);
        self.refuse(state, part.pick(is_refused), part.attempts, reason);
        self.send_rest(state, &part, part.pick(|number| !is_refused(number)));
    }

    fn send_rest(&self, state: &mut State<S>, part: &Part, rest: Part) {
        if rest.events > 0 {
            state.ready.push_front(rest);
        } else {
            self.settled(state, part.ticket);
        }
    }

    /// Tries again with halves; a single event that is refused is bad.
    fn split(&self, state: &mut State<S>, part: Part, reason: String) {
        if part.events <= 1 {
            let attempts = part.attempts;
            return self.refuse(state, part, attempts, reason);
        }
        let half = part.events / 2;
        state.window.split(part.ticket);
        state.ready.push_front(part.pick(|number| number >= half));
        state.ready.push_front(part.pick(|number| number < half));
    }

    /// Events that the server refused by themselves: to the backup. Not before it has taken anything: a server that refuses
    /// everything may be the wrong one.
    fn refuse(&self, state: &mut State<S>, part: Part, attempts: u32, reason: String) {
        let Part { ticket, frames, events, rereadable, .. } = part;
        let held = Held { ticket, frames, events, attempts, rereadable, reason };
        if state.taken {
            return self.bury(state, held);
        }
        report_once("events that were refused before any was taken", || {
            format!("{}; the event is kept until the server has taken another one", held.reason)
        });
        state.held.push(held);
        let bytes: usize = state.held.iter().map(|held| held.frames.len()).sum();
        if state.held.len() >= MAX_HELD || bytes > self.max_in_flight_bytes / 2 {
            state.fatal.get_or_insert(self.refuses_all(state));
        }
    }

    /// The failure of a run in which the server refused each event.
    pub fn refuses_all(&self, state: &State<S>) -> Failure {
        let events: usize = state.held.iter().map(|held| held.events).sum();
        let reason = state.held.last().map_or("", |held| held.reason.as_str());
        Failure::failed(format!(
            "the server refused each of {events} events and took none, nothing is committed: {reason}"
        ))
    }

    fn bury(&self, state: &mut State<S>, held: Held) {
        let Held { ticket, frames, attempts, reason, .. } = held;
        match state.dead_letters.bury(&frames, attempts, &reason) {
            Ok(count) => {
                state.counts.dead_lettered += count;
                state.bytes -= frames.len().min(state.bytes);
                self.settled(state, ticket);
            }
            // What isn't on disk isn't settled.
            Err(failure) => {
                state.window.lost(ticket);
                state.fatal.get_or_insert(failure);
            }
        }
    }

    /// After the last attempt.
    pub fn give_up(&self, state: &mut State<S>, part: Part, reason: &str) {
        report_once("batches that were given up", || format!("{} events are given up: {reason}", part.events));
        self.leave(state, part, reason, self.limits.are_set());
    }

    /// Not delivered: it stays in the spool or at its source; what nothing else keeps, or what the user's own limit has
    /// ended, goes to the backup.
    pub fn leave(&self, state: &mut State<S>, part: Part, reason: &str, may_bury: bool) {
        let Part { ticket, frames, events, attempts, rereadable, .. } = part;
        if state.window.file(ticket).is_some() {
            state.bytes -= frames.len().min(state.bytes);
            state.window.lost(ticket);
        } else if state.dead_letters.are_kept() && (may_bury || !rereadable) {
            self.bury(state, Held { ticket, frames, events, attempts, rereadable, reason: reason.to_string() });
        } else {
            state.bytes -= frames.len().min(state.bytes);
            state.counts.lost += events as u64;
            state.counts.at_source += if rereadable { events as u64 } else { 0 };
            state.window.lost(ticket);
        }
    }
}
