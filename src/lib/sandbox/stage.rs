//! A decoder in a pipe: frames in, frames out, in order, with one thread or several.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::budget::THREAD_STACK;
use super::{Decoded, Decoder, Settings, Terminated, Usage};
use crate::pipeline::{Exit, Failure, Flow, Output, Stage, Stats, report_once};
use crate::stream::{Frame, Frames, put_frame, put_frame_from};

/// Bytes of frames that a worker gets at a time.
const JOB: usize = 128 * 1024;

/// What becomes of a message that a decoder rejects.
pub enum OnFailure {
    Drop,
    /// It goes out as it came, with two fields that say why.
    Keep,
    Stop,
    /// It goes to a file in that form.
    File(File),
}

impl OnFailure {
    /// `drop`, `keep`, `stop` or `file=PATH`; the file is appended to.
    pub fn open(text: &str) -> Result<OnFailure, Failure> {
        match text.split_once('=') {
            None if text == "drop" => Ok(OnFailure::Drop),
            None if text == "keep" => Ok(OnFailure::Keep),
            None if text == "stop" => Ok(OnFailure::Stop),
            Some(("file", path)) => {
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
    out: Vec<u8>,
    failures: Vec<u8>,
    messages: u64,
    failed: u64,
    first_error: Option<String>,
    usage: Vec<(String, Usage)>,
    terminated: Option<String>,
}

impl Batch {
    #[inline]
    fn decode(&mut self, decoder: &mut Decoder, frame: &Frame<'_>) -> Result<(), Terminated> {
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
            Decoded::Failed(error) => {
                self.failed += 1;
                let mut message = Vec::new();
                Decoder::put_failure(frame.message(), &error, &mut message);
                put_frame_from(&mut self.failures, frame, &message);
                self.first_error.get_or_insert(error);
            }
        }
        Ok(())
    }
}

/// Runs a decoder, or several of the same kind.
pub struct DecodeStage {
    decoder: Option<Decoder>,
    batch: Batch,
    pool: Option<Pool>,
    on_failure: OnFailure,
    messages: u64,
    failed: u64,
    usage: Vec<(String, Usage)>,
}

impl DecodeStage {
    /// # Errors
    /// When a script can't be loaded.
    pub fn new(chain: Vec<Settings>, jobs: usize, on_failure: OnFailure) -> Result<DecodeStage, Failure> {
        // Loaded here even if workers load their own: a script's error is told before any input is taken.
        let decoder = Decoder::new(&chain).map_err(Failure::usage)?;
        let (decoder, pool) = if jobs > 1 { (None, Some(Pool::new(&chain, jobs))) } else { (Some(decoder), None) };
        let usage = Vec::new();
        Ok(DecodeStage { decoder, batch: Batch::default(), pool, on_failure, messages: 0, failed: 0, usage })
    }

    /// How many messages were rejected.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    fn deliver(&mut self, batch: &mut Batch, out: &mut Output) -> Result<(), Failure> {
        if out.buf().is_empty() {
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
            self.failures(batch, out)?;
        }
        match batch.terminated.take() {
            Some(reason) => Err(Failure::failed(reason)),
            None => Ok(()),
        }
    }

    fn failures(&mut self, batch: &mut Batch, out: &mut Output) -> Result<(), Failure> {
        let error = batch.first_error.take().unwrap_or_default();
        self.failed += batch.failed;
        match &mut self.on_failure {
            OnFailure::Stop => return Err(Failure::Message(Exit::Failed, error)),
            OnFailure::Drop => {}
            OnFailure::Keep => out.push(&batch.failures)?,
            OnFailure::File(file) => {
                file.write_all(&batch.failures)
                    .map_err(|error| Failure::failed(format!("--on-failure file: {error}")))?;
            }
        }
        report_once("messages that a decoder rejected", || error);
        // The first was reported; the others of this batch count too.
        for _ in 1..batch.failed {
            report_once("messages that a decoder rejected", String::new);
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
                pool.spare.push(Batch { job: batch.job, out: batch.out, ..Batch::default() });
            }
        }
        Ok(())
    }
}

impl Stage for DecodeStage {
    #[inline]
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        if let Some(decoder) = &mut self.decoder {
            // Straight into the output; failures wait in the batch.
            std::mem::swap(&mut self.batch.out, out.buf());
            let decoded = self.batch.decode(decoder, frame);
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
        self.idle(out)
    }

    fn stats(&self, stats: &mut Stats) {
        stats.set("messages_out", self.messages + self.batch.messages).set("messages_rejected", self.failed);
        let single: Vec<(String, Usage)> =
            self.decoder.iter().flat_map(Decoder::usage).map(|(name, usage)| (name.to_string(), usage)).collect();
        for (name, usage) in single.iter().chain(&self.usage) {
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
    next: usize,
    pending: VecDeque<usize>,
    /// Buffers of jobs that are done: new ones would be new pages.
    spare: Vec<Batch>,
}

impl Pool {
    fn new(chain: &[Settings], jobs: usize) -> Pool {
        let worker = || {
            let (jobs, job_receiver) = channel();
            let (batch_sender, batches) = channel();
            let chain = chain.to_vec();
            let thread = std::thread::Builder::new().stack_size(THREAD_STACK);
            // As `std::thread::spawn` does.
            thread.spawn(move || work(&chain, &job_receiver, &batch_sender)).expect("a thread");
            Worker { jobs, batches }
        };
        let workers = (0..jobs).map(|_| worker()).collect();
        Pool { workers, job: Batch::default(), next: 0, pending: VecDeque::new(), spare: Vec::new() }
    }

    /// True when a job went off and results should be taken.
    fn add(&mut self, frame: &[u8]) -> bool {
        self.job.job.extend_from_slice(frame);
        self.job.job.len() >= JOB && {
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
        Some(worker.batches.recv().unwrap_or_else(|_| Batch {
            terminated: Some("a worker has ended unexpectedly".into()),
            ..Batch::default()
        }))
    }
}

fn work(chain: &[Settings], jobs: &Receiver<Batch>, batches: &Sender<Batch>) {
    let mut decoder = match Decoder::new(chain) {
        Ok(decoder) => decoder,
        Err(error) => {
            let _ = batches.send(Batch { terminated: Some(error), ..Batch::default() });
            return;
        }
    };
    while let Ok(mut batch) = jobs.recv() {
        let job = std::mem::take(&mut batch.job);
        for frame in Frames(&job) {
            if let Err(Terminated(reason)) = batch.decode(&mut decoder, &frame) {
                batch.terminated = Some(reason);
                break;
            }
        }
        batch.job = job;
        batch.usage = decoder.usage().map(|(name, usage)| (name.to_string(), usage)).collect();
        if batches.send(batch).is_err() {
            return;
        }
    }
}
