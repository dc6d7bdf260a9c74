//! A decoder in a pipe: frames in, frames out, in order, with one thread or several.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::budget::THREAD_STACK;
use super::{Decoded, Decoder, Settings, Terminated, Usage};
use crate::pipeline::{
    Exit, Failure, Flow, Operand, Output, Stage, Stats, refuse_input_as_output, report_once, report_total,
    spawn_with_stack,
};
use crate::stream::{Frame, Frames, put_frame, put_frame_from};

/// Bytes of frames that a worker gets at a time.
const JOB: usize = 128 * 1024;
/// The first job. Those that follow get larger while one is done soon, and smaller where it takes long: what is under way
/// has to be done before a program can stop.
const FIRST_JOB: usize = 1024;
const SOON: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_millis(50);
/// How rejections are counted on stderr.
const REJECTED: &str = "messages that a decoder rejected";
/// Threads that are started unless a number is given: what one thread reads and writes, so many can decode.
pub const MOST_JOBS: usize = 4;

/// What becomes of a message that a decoder rejects.
pub enum OnFailure {
    Drop,
    /// It goes out as it came, with two fields that say why.
    Keep,
    Stop,
    /// It goes to a file in that form.
    File(File),
}

/// … as far as those who decode have to know it.
#[derive(Clone, Copy, PartialEq)]
enum Rejected {
    /// It goes out in its place.
    Keep,
    /// Nothing after it is decoded.
    Stop,
    SetAside,
}

impl OnFailure {
    fn rejected(&self) -> Rejected {
        match self {
            OnFailure::Keep => Rejected::Keep,
            OnFailure::Stop => Rejected::Stop,
            OnFailure::Drop | OnFailure::File(_) => Rejected::SetAside,
        }
    }

    /// `drop`, `keep`, `stop` or `file=PATH`; the file is appended to.
    pub fn open(text: &str, operands: &[Result<Operand, String>]) -> Result<OnFailure, Failure> {
        match text.split_once('=') {
            None if text == "drop" => Ok(OnFailure::Drop),
            None if text == "keep" => Ok(OnFailure::Keep),
            None if text == "stop" => Ok(OnFailure::Stop),
            Some(("file", path)) => {
                refuse_input_as_output(operands, Path::new(path), "--on-failure file=")?;
                let opened = File::options().create(true).append(true).open(Path::new(path));
                opened.map(OnFailure::File).map_err(|error| Failure::failed(format!("{path}: {error}")))
            }
            _ => Err(Failure::usage(format!("--on-failure takes drop, keep, stop or file=PATH, not {text:?}"))),
        }
    }
}

/// What was made of some frames.
#[derive(Default)]
struct Batch {
    /// The frames, when they were a worker's job.
    job: Vec<u8>,
    /// What was made of each of them: for scripts that come after.
    parts: Vec<Part>,
    out: Vec<u8>,
    failures: Vec<u8>,
    messages: u64,
    failed: u64,
    first_error: Option<String>,
    usage: Vec<(String, Usage)>,
    terminated: Option<String>,
    /// How long a worker was at it.
    took: Duration,
}

/// What was made of a frame of a job.
struct Part {
    /// Where the frame ends in the job, and what was made of it in the output.
    job_end: usize,
    out_end: usize,
    failed: bool,
}

impl Batch {
    #[inline]
    fn decode(&mut self, decoder: &mut Decoder, frame: &Frame<'_>, rejected: Rejected) -> Result<(), Terminated> {
        if let Some(error) = self.run(decoder, frame)? {
            self.fail(frame, error, rejected);
        }
        Ok(())
    }

    /// Answers why the message is rejected, if it is.
    #[inline]
    fn run(&mut self, decoder: &mut Decoder, frame: &Frame<'_>) -> Result<Option<String>, Terminated> {
        let out = &mut self.out;
        let mut emit = |message: &[u8], last: bool| match last {
            // One message in, several out: the last one carries the cursor.
            true => put_frame_from(out, frame, message),
            false => put_frame(out, None, message),
        };
        match decoder.decode(frame.view(), &mut emit)? {
            Decoded::Unchanged => {
                self.out.extend_from_slice(frame.raw());
                self.messages += 1;
            }
            Decoded::Messages(count) => self.messages += count as u64,
            Decoded::Failed(error) => return Ok(Some(error)),
        }
        Ok(None)
    }

    fn fail(&mut self, frame: &Frame<'_>, error: String, rejected: Rejected) {
        self.failed += 1;
        let mut message = Vec::new();
        Decoder::put_failure(frame.message(), &error, &mut message);
        let place = if rejected == Rejected::Keep { &mut self.out } else { &mut self.failures };
        put_frame_from(place, frame, &message);
        self.first_error.get_or_insert(error);
    }

    /// Gives a decoder what workers made of their job with the scripts before its own. A message that it rejects fails as a
    /// whole, as in one chain.
    fn decode_rest(&mut self, decoder: &mut Decoder, first: &Batch, rejected: Rejected) -> Result<(), Terminated> {
        let (mut job_at, mut out_at) = (0, 0);
        for part in &first.parts {
            let original = first.job.get(job_at..part.job_end).unwrap_or_default();
            let made = first.out.get(out_at..part.out_end).unwrap_or_default();
            (job_at, out_at) = (part.job_end, part.out_end);
            if part.failed {
                self.out.extend_from_slice(made);
                continue;
            }
            let (begun, messages) = (self.out.len(), self.messages);
            for frame in Frames(made) {
                if let Some(error) = self.run(decoder, &frame)? {
                    self.out.truncate(begun);
                    self.messages = messages;
                    self.fail(&Frame::parse(original).unwrap_or(frame), error, rejected);
                    break;
                }
            }
            if rejected == Rejected::Stop && self.failed > 0 {
                break;
            }
        }
        Ok(())
    }
}

/// Runs a decoder, or several of the same kind.
pub struct DecodeStage {
    /// Without a pool, all scripts; with one, those that come after the pool's.
    decoder: Option<Decoder>,
    batch: Batch,
    pool: Option<Pool>,
    on_failure: OnFailure,
    read: u64,
    messages: u64,
    failed: u64,
    usage: Vec<(String, Usage)>,
}

impl DecodeStage {
    /// `jobs`: threads that run the whole chain. `None` is as many as the machine has processors (at most [`MOST_JOBS`]) for
    /// scripts that ship, and none for those that come after the first of the user's: these may keep something between
    /// messages.
    ///
    /// # Errors
    /// When a script can't be loaded.
    pub fn new(chain: Vec<Settings>, jobs: Option<usize>, on_failure: OnFailure) -> Result<DecodeStage, Failure> {
        // Loaded here even if workers load their own: a script's error is told before any input is taken.
        let decoder = Decoder::new(&chain).map_err(Failure::usage)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_JOBS);
        let shipping = chain.iter().take_while(|settings| settings.script.ships).count();
        let (jobs, pooled) = match jobs {
            Some(jobs) => (jobs, chain.len()),
            None if processors == 1 || shipping == 0 => (1, chain.len()),
            None if shipping == chain.len() => (processors, shipping),
            // One is enough: what comes after takes longer.
            None => (1, shipping),
        };
        let rejected = on_failure.rejected();
        let (decoder, pool) = match chain.split_at(pooled) {
            (_, []) if jobs == 1 => (Some(decoder), None),
            (first, []) => (None, Some(Pool::new(first, jobs, rejected, false)?)),
            (first, rest) => {
                (Some(Decoder::new(rest).map_err(Failure::usage)?), Some(Pool::new(first, jobs, rejected, true)?))
            }
        };
        let usage = Vec::new();
        Ok(DecodeStage { decoder, batch: Batch::default(), pool, on_failure, read: 0, messages: 0, failed: 0, usage })
    }

    /// How many messages were rejected.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Whether there were messages, and none of them was decoded.
    pub fn all_failed(&self) -> bool {
        self.failed > 0 && self.failed == self.read
    }

    fn deliver(&mut self, batch: &mut Batch, out: &mut Output) -> Result<(), Failure> {
        if let (Some(decoder), true) = (&mut self.decoder, self.pool.is_some()) {
            let mut rest = std::mem::take(&mut self.batch);
            std::mem::swap(&mut rest.out, out.buf());
            let decoded = rest.decode_rest(decoder, batch, self.on_failure.rejected());
            std::mem::swap(&mut rest.out, out.buf());
            batch.out.clear();
            batch.messages = std::mem::take(&mut rest.messages);
            batch.failed += std::mem::take(&mut rest.failed);
            batch.failures.append(&mut rest.failures);
            batch.first_error = batch.first_error.take().or(rest.first_error.take());
            batch.terminated = batch.terminated.take().or(decoded.err().map(|Terminated(reason)| reason));
            self.batch = rest;
            out.filled()?;
        } else if out.buf().is_empty() {
            std::mem::swap(out.buf(), &mut batch.out);
            out.filled()?;
        } else {
            out.push(&batch.out)?;
        }
        batch.out.clear();
        self.messages += std::mem::take(&mut batch.messages);
        for (place, (name, usage)) in batch.usage.drain(..).enumerate() {
            if self.usage.len() <= place {
                self.usage.push((name, Usage::default()));
            }
            let sum = &mut self.usage[place].1;
            sum.max_memory = sum.max_memory.max(usage.max_memory);
            sum.max_instructions = sum.max_instructions.max(usage.max_instructions);
            sum.max_output = sum.max_output.max(usage.max_output);
        }
        if batch.failed > 0 {
            self.failures(batch)?;
        }
        match batch.terminated.take() {
            Some(reason) => Err(Failure::failed(reason)),
            None => Ok(()),
        }
    }

    fn failures(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        let error = batch.first_error.take().unwrap_or_default();
        self.failed += batch.failed;
        match &mut self.on_failure {
            OnFailure::Stop => return Err(Failure::Message(Exit::Failed, error)),
            // What is kept is in the output already.
            OnFailure::Drop | OnFailure::Keep => {}
            OnFailure::File(file) => {
                file.write_all(&batch.failures)
                    .map_err(|error| Failure::failed(format!("--on-failure file: {error}")))?;
            }
        }
        report_once(REJECTED, || error);
        // The first was reported; the others of this batch count too.
        for _ in 1..batch.failed {
            report_once(REJECTED, String::new);
        }
        batch.failed = 0;
        batch.failures.clear();
        Ok(())
    }

    fn drain(&mut self, keep: usize, out: &mut Output) -> Result<(), Failure> {
        while let Some(mut batch) = self.pool.as_mut().and_then(|pool| pool.receive(keep)) {
            self.deliver(&mut batch, out)?;
            if let Some(pool) = &mut self.pool {
                batch.job.clear();
                batch.parts.clear();
                pool.spare.push(Batch { job: batch.job, parts: batch.parts, out: batch.out, ..Batch::default() });
            }
        }
        Ok(())
    }
}

impl Stage for DecodeStage {
    #[inline]
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        self.read += 1;
        if let (Some(decoder), None) = (&mut self.decoder, &self.pool) {
            // Straight into the output; failures wait in the batch.
            std::mem::swap(&mut self.batch.out, out.buf());
            let decoded = self.batch.decode(decoder, frame, self.on_failure.rejected());
            std::mem::swap(&mut self.batch.out, out.buf());
            if self.batch.failed > 0 {
                let mut batch = std::mem::take(&mut self.batch);
                self.deliver(&mut batch, out)?;
            }
            out.filled()?;
            return match decoded {
                Ok(()) => Ok(Flow::Continue),
                Err(Terminated(reason)) => Err(Failure::failed(reason)),
            };
        }
        let full = self.pool.as_mut().is_some_and(|pool| pool.add(frame.raw()));
        if full {
            self.drain(2, out)?;
        }
        Ok(Flow::Continue)
    }

    fn idle(&mut self, out: &mut Output) -> Result<(), Failure> {
        if let Some(pool) = &mut self.pool {
            pool.dispatch();
        }
        self.drain(0, out)
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        self.idle(out)?;
        if self.failed > 1 {
            report_total(REJECTED, &format!("{} of {} messages were not decoded", self.failed, self.read));
        }
        Ok(())
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_out", self.messages + self.batch.messages).set("messages_rejected", self.failed);
        let single: Vec<(String, Usage)> =
            self.decoder.iter().flat_map(Decoder::usage).map(|(name, usage)| (name.to_string(), usage)).collect();
        for (name, usage) in self.usage.iter().chain(&single) {
            stats.set(&format!("{name} max_memory"), usage.max_memory as u64);
            stats.set(&format!("{name} max_instructions"), usage.max_instructions);
            stats.set(&format!("{name} max_output"), usage.max_output as u64);
        }
    }
}

struct Worker {
    jobs: Sender<Batch>,
    batches: Receiver<Batch>,
}

/// Threads with a decoder each. Jobs go round; their results are taken in the same order.
struct Pool {
    workers: Vec<Worker>,
    job: Batch,
    /// Bytes of frames that make a job.
    size: usize,
    next: usize,
    pending: VecDeque<usize>,
    /// Buffers of jobs that are done: new ones would be new pages.
    spare: Vec<Batch>,
}

impl Pool {
    /// `parts`: note what was made of which frame.
    fn new(chain: &[Settings], jobs: usize, rejected: Rejected, parts: bool) -> Result<Pool, Failure> {
        let worker = || {
            let (jobs, job_receiver) = channel();
            let (batch_sender, batches) = channel();
            let chain = chain.to_vec();
            let run = move || work(&chain, rejected, parts, &job_receiver, &batch_sender);
            spawn_with_stack("decoder", Some(THREAD_STACK), run)?;
            Ok(Worker { jobs, batches })
        };
        let workers = (0..jobs).map(|_| worker()).collect::<Result<_, Failure>>()?;
        let (job, pending, spare) = Default::default();
        Ok(Pool { workers, job, size: FIRST_JOB, next: 0, pending, spare })
    }

    /// True when a job went off and results should be taken.
    fn add(&mut self, frame: &[u8]) -> bool {
        self.job.job.extend_from_slice(frame);
        self.job.job.len() >= self.size && {
            self.dispatch();
            true
        }
    }

    fn dispatch(&mut self) {
        if self.job.job.is_empty() {
            return;
        }
        let job = std::mem::replace(&mut self.job, self.spare.pop().unwrap_or_default());
        // A worker that is gone is noticed when its result is asked for.
        let _ = self.workers[self.next].jobs.send(job);
        self.pending.push_back(self.next);
        self.next = (self.next + 1) % self.workers.len();
    }

    /// The oldest result, while more than `keep` jobs a worker are under way.
    fn receive(&mut self, keep: usize) -> Option<Batch> {
        if self.pending.len() <= keep * self.workers.len() {
            return None;
        }
        let worker = &self.workers[self.pending.pop_front()?];
        let batch = worker.batches.recv().unwrap_or_else(|_| Batch {
            terminated: Some("a worker has ended unexpectedly".into()),
            ..Batch::default()
        });
        if batch.took < SOON {
            self.size = (self.size * 2).min(JOB);
        } else if batch.took > LONG {
            self.size = (self.size / 2).max(1);
        }
        Some(batch)
    }
}

fn work(chain: &[Settings], rejected: Rejected, parts: bool, jobs: &Receiver<Batch>, batches: &Sender<Batch>) {
    let mut decoder = match Decoder::new(chain) {
        Ok(decoder) => decoder,
        Err(error) => {
            let _ = batches.send(Batch { terminated: Some(error), ..Batch::default() });
            return;
        }
    };
    while let Ok(mut batch) = jobs.recv() {
        let job = std::mem::take(&mut batch.job);
        let began = Instant::now();
        let mut at = 0;
        for frame in Frames(&job) {
            let failed = batch.failed;
            if let Err(Terminated(reason)) = batch.decode(&mut decoder, &frame, rejected) {
                batch.terminated = Some(reason);
                break;
            }
            if rejected == Rejected::Stop && batch.failed > 0 {
                break;
            }
            at += frame.raw().len();
            if parts {
                batch.parts.push(Part { job_end: at, out_end: batch.out.len(), failed: batch.failed > failed });
            }
        }
        batch.job = job;
        batch.took = began.elapsed();
        batch.usage = decoder.usage().map(|(name, usage)| (name.to_string(), usage)).collect();
        if batches.send(batch).is_err() {
            return;
        }
    }
}
