//! The stage's side: hands batches over, waits for room, and sees that all is delivered at the end.

use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::{Batch, Part};
use super::state::{Counts, DeliveryOptions, Shared, State};
use super::window::save;
use super::{Form, Server};
use crate::pipeline::{self, Exit, Failure, Signals, Stats, report};
use crate::sink::watermark::Marks;

/// Requests that are on their way get so long after a failure that ends the run.
const FAILURE_GRACE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);

/// Batches on their way to servers.
pub struct Delivery<S: Server, F: Form> {
    shared: Arc<Shared<S, F>>,
    threads: Vec<JoinHandle<()>>,
    drain: Duration,
    spool_max: u64,
    ended: bool,
}

impl<S: Server, F: Form> Delivery<S, F> {
    /// # Errors
    /// When the spool can't be opened, or no thread can be started.
    pub fn start(servers: Vec<S>, form: F, options: DeliveryOptions) -> Result<Delivery<S, F>, Failure> {
        let (name, drain, spool_max) = (options.name, options.drain, options.spool_max);
        let shared = Arc::new(Shared::new(servers, form, options)?);
        let mut delivery = Delivery { shared: shared.clone(), threads: Vec::new(), drain, spool_max, ended: false };
        for number in 0..shared.in_flight {
            let shared = shared.clone();
            delivery.threads.push(pipeline::spawn(name, move || shared.send_batches(number))?);
        }
        Ok(delivery)
    }

    pub fn form(&self) -> &F {
        &self.shared.form
    }

    /// Whether batches are kept until they are acknowledged.
    pub fn has_acks(&self) -> bool {
        self.shared.ack
    }

    /// A failure that ends the run.
    pub fn failure(&self) -> Option<Failure> {
        self.shared.lock().fatal.clone()
    }

    /// Whether a thread is free for another batch.
    pub fn has_free_thread(&self) -> bool {
        let state = self.shared.lock();
        state.sending.len() + state.ready.len() < self.shared.in_flight
    }

    /// Hands a batch over; waits while too much is under way. When it returns, the batch is empty and has buffers for the
    /// next one; after an error it is as it was.
    ///
    /// # Errors
    /// What ends the run.
    pub fn submit(&self, batch: &mut Batch) -> Result<(), Failure> {
        if batch.events == 0 {
            return Ok(());
        }
        let mut state = self.shared.lock();
        let (size, body) = (batch.frames.len(), batch.body.len());
        while state.fatal.is_none() && !self.has_room(&state, size, body) {
            self.check_stop("stopped while events were still to be delivered")?;
            if state.is_quiet() && !state.held.is_empty() && self.shared.spool.is_none() {
                state.fatal = Some(self.shared.refuses_all(&state));
            }
            state = self.shared.wait(state, &self.shared.room, LOOK);
            state.print_if_asked();
        }
        if let Some(failure) = &state.fatal {
            return Err(failure.clone());
        }
        let Some(spool) = &self.shared.spool else {
            let mut taken = std::mem::take(batch);
            // Buffers grow by doubling. Where they are kept until the ack, half of a window would be air; else another batch has
            // them soon.
            if self.shared.ack {
                taken.frames.shrink_to_fit();
                taken.body.shrink_to_fit();
            }
            let marks = std::mem::take(&mut taken.marks);
            let rereadable = !marks.is_empty();
            let ticket = state.window.open(marks.into_vec());
            state.bytes += size;
            state.push(Part::new(ticket, taken, rereadable));
            batch.frames = state.spare_frames.take(size);
            batch.body = state.spare_bodies.take(body);
            drop(state);
            self.shared.work.notify_one();
            return Ok(());
        };
        drop(state);
        // While it is written and synced, the threads go on.
        spool.put_when_possible(std::slice::from_ref(&batch.frames), || {
            self.check_stop("stopped before everything was in the spool")?;
            self.failure().map_or(Ok(()), Err)
        })?;
        let mut state = self.shared.lock();
        self.safe(&mut state, std::mem::take(&mut batch.marks));
        batch.frames.clear();
        batch.body.clear();
        batch.ends.clear();
        (batch.events, batch.query) = (0, String::new());
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// An error when a stop was asked for longer ago than it may take.
    fn check_stop(&self, words: &str) -> Result<(), Failure> {
        match Signals::stop_since().is_some_and(|since| since.elapsed() > self.drain) {
            true => Err(Failure::Message(Exit::Negative, words.into())),
            false => Ok(()),
        }
    }

    fn has_room(&self, state: &MutexGuard<'_, State<S>>, size: usize, body: usize) -> bool {
        match &self.shared.spool {
            Some(spool) => spool.is_empty() || spool.bytes() + size as u64 <= self.spool_max,
            None => {
                // Where messages are kept for their acks, the bodies beside them count, too.
                let bodies = if self.shared.ack { state.body_bytes() + body } else { 0 };
                // One waits for the next free thread; more would only take memory.
                state.ready.len() < self.shared.in_flight.div_ceil(4)
                    && (state.bytes == 0 || state.bytes + size + bodies <= self.shared.max_in_flight_bytes)
            }
        }
    }

    /// The messages up to these cursors are as good as delivered: with a spool now, else when those before them are.
    fn safe(&self, state: &mut State<S>, marks: Marks) {
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

    /// Messages that made no event have been read up to these cursors.
    pub fn pass(&self, marks: Marks) {
        if !marks.is_empty() {
            self.safe(&mut self.shared.lock(), marks);
        }
    }

    /// Messages that can't become events go to the backup at once.
    ///
    /// # Errors
    /// When the backup can't be written: then the messages' cursors must not be committed.
    pub fn bury(&self, frames: &[u8], reason: &str) -> Result<(), Failure> {
        let mut state = self.shared.lock();
        state.counts.dead_lettered += state.dead_letters.bury(frames, 0, reason)?;
        Ok(())
    }

    /// Hands over what is open, and waits until everything is delivered or given up.
    ///
    /// # Errors
    /// What ended the run before that.
    pub fn finish(&mut self, open: &mut [Batch]) -> Result<(), Failure> {
        let result = open.iter_mut().try_for_each(|batch| {
            self.submit(batch)?;
            self.pass(std::mem::take(&mut batch.marks));
            Ok(())
        });
        let result = result.and_then(|()| self.await_delivery());
        let saved = self.end(open);
        if result.is_ok() {
            // After an error a thread may hang in a request for as long as its time-out; nothing depends on it.
            for thread in self.threads.drain(..) {
                let _ = thread.join();
            }
        }
        result.and(saved)
    }

    fn await_delivery(&self) -> Result<(), Failure> {
        let ended = Instant::now();
        let mut state = self.shared.lock();
        self.shared.work.notify_all();
        while state.fatal.is_none() && !self.shared.is_done(&state) {
            self.check_stop("stopped before everything was delivered")?;
            // The next run goes on with the spool; this one doesn't keep it for itself while nothing of it can be sent.
            let stuck = !state.any_is_well() || state.is_quiet();
            if self.shared.spool.is_some() && stuck && state.alive.max(ended).elapsed() > self.drain {
                let words = "nothing more of the spool could be sent: the next run goes on with it";
                return Err(Failure::Message(Exit::Negative, words.into()));
            }
            state = self.shared.wait(state, &self.shared.room, LOOK);
            state.print_if_asked();
        }
        match &state.fatal {
            Some(failure) => Err(failure.clone()),
            None if !state.held.is_empty() => Err(self.shared.refuses_all(&state)),
            None => Ok(()),
        }
    }

    /// Nothing more is sent: what is left stays at its source or in the spool, or goes to the backup. Also called when the
    /// run ends by an error; a second call does nothing.
    ///
    /// # Errors
    /// When the checkpoint can't be written.
    pub fn end(&mut self, open: &mut [Batch]) -> Result<(), Failure> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let mut state = self.shared.lock();
        let fatal = state.fatal.get_or_insert(Failure::ClosedPipe).clone();
        self.shared.work.notify_all();
        // Requests that are on their way may still succeed; after a stop the time is used up.
        let stopped = Signals::stop_since().map(|since| since + self.drain);
        let until = (Instant::now() + FAILURE_GRACE).min(stopped.unwrap_or(Instant::now() + FAILURE_GRACE));
        while !state.sending.is_empty() && Instant::now() < until {
            state = self.shared.wait(state, &self.shared.room, LOOK);
        }
        let words = match fatal {
            Failure::Message(_, reason) => format!("the run ended: {reason}"),
            Failure::ClosedPipe => "the run ended before they were delivered".to_string(),
        };
        let mut left: Vec<Part> = state.ready.drain(..).collect();
        left.extend(std::mem::take(&mut state.waiting).into_iter().map(|waiting| waiting.part));
        // Whether they arrive nobody will know.
        let sending = std::mem::take(&mut state.sending);
        state.counts.possible_duplicates += sending.iter().map(|(.., part)| part.events as u64).sum::<u64>();
        left.extend(sending.into_iter().map(|(.., part)| part));
        for held in std::mem::take(&mut state.held) {
            let batch = Batch { events: held.events, ..Batch::default() };
            let part = Part::new(held.ticket, batch, held.rereadable);
            // The server may be the wrong one: what something else keeps is no dead letter yet.
            left.push(Part { attempts: held.attempts, frames: held.frames, ..part });
        }
        for batch in open.iter_mut().map(std::mem::take).filter(|batch| batch.events > 0) {
            let spooled =
                self.shared.spool.as_ref().is_some_and(|spool| spool.put(std::slice::from_ref(&batch.frames)).is_ok());
            if spooled {
                self.safe(&mut state, batch.marks);
                continue;
            }
            let rereadable = !batch.marks.is_empty();
            let ticket = state.window.open(batch.marks.clone().into_vec());
            left.push(Part::new(ticket, batch, rereadable));
        }
        for part in left {
            self.shared.leave(&mut state, part, &words, false);
        }
        save(&mut state.checkpoint)
    }

    /// The status to exit with after a run without an error.
    pub fn exit(&self) -> Exit {
        let counts = &self.shared.lock().counts;
        let left = self.shared.spool.as_ref().is_some_and(|spool| !spool.is_empty() || spool.set_aside_count() > 0);
        if counts.dead_lettered + counts.lost > 0 || left { Exit::Negative } else { Exit::Success }
    }

    /// One line for people, where there is more to say than that all is well.
    pub fn summary(&self) -> Option<String> {
        let Counts { delivered, sent_again, possible_duplicates, dead_lettered, lost, at_source, .. } =
            self.shared.lock().counts;
        let spool = self.shared.spool.as_ref().and_then(crate::sink::Spool::summary);
        (sent_again + possible_duplicates + dead_lettered + lost > 0 || spool.is_some()).then(|| {
            let at_source = match at_source {
                0 => String::new(),
                all if all == lost => " (their source has them)".into(),
                some => format!(" (the source has {some} of them)"),
            };
            format!(
                "{delivered} delivered, {sent_again} sent again, {possible_duplicates} possible duplicates, \
                 {dead_lettered} dead-lettered, {lost} not delivered{at_source}{}",
                spool.map_or(String::new(), |spool| format!("; {spool}"))
            )
        })
    }

    pub fn add_stats(&self, stats: &mut Stats) {
        self.shared.lock().add_stats(stats);
    }
}

impl<S: Server, F: Form> Drop for Delivery<S, F> {
    fn drop(&mut self) {
        // The stage has ended it, with what it still had; an error on the way out changes nothing.
        let _ = self.end(&mut []);
        if let Some(summary) = self.summary() {
            report(&summary);
        }
    }
}
