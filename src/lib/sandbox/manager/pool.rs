//! Crews, in this thread or each in its own, that all see the same messages.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::crew::{Command, Crew, Reply, Rules};
use crate::pipeline::{Failure, spawn_with_stack};
use crate::sandbox::budget::THREAD_STACK;
use crate::stream::Frame;

/// Bytes of frames that threads get at a time.
const JOB: usize = 128 * 1024;
/// Jobs that may be under way: each is held once, however many threads there are.
const MAX_JOBS: usize = 4;

struct Worker {
    commands: Sender<Command>,
    replies: Receiver<Reply>,
}

/// Crews that share filters between them.
pub struct Pool {
    /// None when there are threads.
    crew: Option<Crew>,
    workers: Vec<Worker>,
    job: Vec<u8>,
    under_way: usize,
}

impl Pool {
    /// # Errors
    /// When no thread can be had.
    pub fn new(jobs: usize, rules: Rules) -> Result<Pool, Failure> {
        let worker = || {
            let (commands, command_receiver) = channel();
            let (reply_sender, replies) = channel();
            let run = move || work(rules, &command_receiver, &reply_sender);
            spawn_with_stack("filters", Some(THREAD_STACK), run)?;
            Ok(Worker { commands, replies })
        };
        let (crew, workers) = match jobs {
            0 | 1 => (Some(Crew::new(rules)), Vec::new()),
            _ => (None, (0..jobs).map(|_| worker()).collect::<Result<_, Failure>>()?),
        };
        Ok(Pool { crew, workers, job: Vec::new(), under_way: 0 })
    }

    /// How many crews there are.
    pub fn len(&self) -> usize {
        self.workers.len().max(1)
    }

    /// Gives all crews a message; what came of it, or of earlier ones, is appended.
    #[inline]
    pub fn message(&mut self, frame: &Frame<'_>, reply: &mut Reply) {
        if let Some(crew) = &mut self.crew {
            return crew.message(frame, reply);
        }
        self.job.extend_from_slice(frame.raw());
        if self.job.len() >= JOB {
            self.dispatch();
            self.drain(MAX_JOBS, reply);
        }
    }

    /// Has all crews do the same when they are done with what they have got.
    pub fn all(&mut self, command: impl Fn() -> Command, reply: &mut Reply) {
        if let Some(crew) = &mut self.crew {
            return crew.run(command(), reply);
        }
        self.dispatch();
        self.workers.iter().for_each(|worker| worker.give(command()));
        self.under_way += 1;
        self.drain(0, reply);
    }

    /// Has one crew do something when all are done with what they have got.
    pub fn one(&mut self, place: usize, command: Command, reply: &mut Reply) {
        if let Some(crew) = &mut self.crew {
            return crew.run(command, reply);
        }
        self.settle(reply);
        if let Some(worker) = self.workers.get(place) {
            worker.give(command);
            worker.take(reply);
        }
    }

    /// Waits until all crews are done with what they have got.
    pub fn settle(&mut self, reply: &mut Reply) {
        self.dispatch();
        self.drain(0, reply);
    }

    fn dispatch(&mut self) {
        if self.job.is_empty() {
            return;
        }
        let job = Arc::new(std::mem::replace(&mut self.job, Vec::with_capacity(JOB + 64 * 1024)));
        self.workers.iter().for_each(|worker| worker.give(Command::Messages(job.clone())));
        self.under_way += 1;
    }

    /// Takes replies until no more than so many jobs are under way.
    fn drain(&mut self, keep: usize, reply: &mut Reply) {
        while self.under_way > keep {
            self.under_way -= 1;
            self.workers.iter().for_each(|worker| worker.take(reply));
        }
    }
}

impl Worker {
    fn give(&self, command: Command) {
        // A worker that is gone is noticed when its reply is asked for.
        let _ = self.commands.send(command);
    }

    fn take(&self, reply: &mut Reply) {
        match self.replies.recv() {
            Ok(other) => reply.add(other),
            Err(_) => reply.failure = Some(Failure::failed("a worker has ended unexpectedly")),
        }
    }
}

fn work(rules: Rules, commands: &Receiver<Command>, replies: &Sender<Reply>) {
    let mut crew = Crew::new(rules);
    while let Ok(command) = commands.recv() {
        let mut reply = Reply::default();
        crew.run(command, &mut reply);
        if replies.send(reply).is_err() {
            return;
        }
    }
}
