//! The run loop of filters and sinks: frames in, a stage decides, frames or text out.

use std::time::{Duration, Instant};

use super::input::Operand;
use super::{Exit, Failure, InputArgs, Output, Progress, Signals, Stats, StatsArgs, WaitOn, Wake, report, report_gap};
use crate::compression::{self, Format};
use crate::source::Watch;
use crate::stream::{Deframer, Frame, Step};

/// Whether the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// No further message is wanted: the run ends as if the input had.
    Stop,
}

/// What a program does with messages. The run loop calls:
///
/// - [`Stage::message`] for each frame, in order;
/// - [`Stage::idle`] when nothing more can be read right now: whatever was held back for efficiency goes into `out`
///   (the loop flushes `out` after it, then sleeps);
/// - [`Stage::finish`] once, after the last message, also when a signal ended the input; not after an error.
///
/// Any error ends the run at once.
pub trait Stage {
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure>;

    fn idle(&mut self, _out: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    /// When `idle` wants to be called again although no message has come.
    fn wake_at(&self) -> Option<Instant> {
        None
    }

    fn finish(&mut self, _out: &mut Output) -> Result<(), Failure> {
        Ok(())
    }

    /// Adds the stage's own counters.
    fn stats(&self, _stats: &mut Stats) {}
}

/// How a run went.
#[derive(Default)]
pub struct Ran {
    /// An operand could not be opened or read to its end.
    pub unreadable: bool,
    /// A signal came before the end of the input.
    pub stopped: bool,
}

/// What the loop counts for every program.
#[derive(Default)]
struct Counters {
    messages: u64,
    bytes: u64,
    skipped: u64,
}

/// Settings of a run.
#[derive(Clone, Copy)]
pub struct RunOptions {
    pub max_message: usize,
    pub stats: bool,
    /// Go on waiting at the end of the last file.
    pub follow: bool,
    /// Begin at that byte of each file.
    pub offset: u64,
}

impl RunOptions {
    /// What the common arguments say.
    pub fn new(input: &InputArgs, stats: StatsArgs) -> RunOptions {
        RunOptions { max_message: input.max_message_size, stats: stats.stats, follow: false, offset: 0 }
    }
}

/// After a stop was asked for, what is already on its way is still taken, for so long.
const DRAIN: Duration = Duration::from_secs(2);
/// … and a pipe that stays empty for so long counts as drained.
const DRAIN_GAP: Duration = Duration::from_millis(100);

/// Runs a stage over all operands. Unreadable ones are reported and passed over.
pub fn run(
    operands: Vec<Result<Operand, String>>,
    options: RunOptions,
    out: &mut Output,
    stage: &mut impl Stage,
) -> Result<Ran, Failure> {
    let mut ran = Ran::default();
    let mut counters = Counters::default();
    let total = operands.iter().map(|operand| operand.as_ref().ok()?.size()).sum();
    let mut reader = Reader {
        deframer: Deframer::new(options.max_message),
        progress: Progress::new(total),
        options,
        drain_until: None,
        counters: &mut counters,
    };
    let last = operands.len().saturating_sub(1);
    let result = operands.into_iter().enumerate().try_for_each(|(place, operand)| {
        match operand {
            Ok(operand) => match reader.read(&operand, place == last, out, stage) {
                Ok(Flow::Continue) => return Ok(()),
                Ok(Flow::Stop) => return Err(None),
                Err(End::Stopped(left)) => {
                    report(&stopped(&operand.name(), left, last - place));
                    ran.stopped = true;
                    return Err(None);
                }
                // Reading failed: the other operands may still be good. Writing failed: nothing is.
                Err(End::Reading(message)) => report(&message),
                Err(End::Failure(failure)) => return Err(Some(failure)),
            },
            Err(message) => report(&message),
        }
        ran.unreadable = true;
        Ok(())
    });
    drop(reader);
    let finished = match result {
        Ok(()) | Err(None) => stage.finish(out).and_then(|()| out.flush()),
        Err(Some(failure)) => Err(failure),
    };
    if matches!(finished, Err(Failure::Message(..))) {
        // What was done before the failure is good.
        let _ = out.flush();
    }
    if options.stats {
        print_stats(&counters, out, stage);
    }
    finished.map(|()| ran)
}

impl Ran {
    /// The status of a program that did what it was asked to, or some of it (`negative`).
    pub fn exit(&self, negative: bool) -> Exit {
        match (self.unreadable, self.stopped || negative) {
            (true, _) => Exit::Failed,
            (false, true) => Exit::Negative,
            (false, false) => Exit::Success,
        }
    }
}

fn stopped(name: &str, left: u64, files: usize) -> String {
    let files = match files {
        0 => String::new(),
        1 => ", nor was the file after it".into(),
        files => format!(", nor were the {files} files after it"),
    };
    format!("{name}: stopped by a signal: its last {left} bytes were not handled{files}")
}

fn print_stats(counters: &Counters, out: &Output, stage: &impl Stage) {
    let mut stats = Stats::default();
    stats.set("messages_in", counters.messages).set("bytes_in", counters.bytes);
    stats.set("bytes_skipped", counters.skipped).set("bytes_out", out.bytes_written());
    stage.stats(&mut stats);
    stats.print();
}

enum End {
    Reading(String),
    /// By a signal, with so many bytes left.
    Stopped(u64),
    Failure(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> End {
        End::Failure(failure)
    }
}

/// What content is that begins so and is no stream of Heka's records: text, or compressed.
fn no_stream(block: &[u8]) -> Option<&'static str> {
    if Format::of(block.get(..compression::HEAD).unwrap_or(block)).is_some() {
        return Some("it is compressed: name it as a FILE, or decompress it first (zcat, zstdcat)");
    }
    let control = |byte: &u8| *byte < b' ' && !b"\t\r\n\x1b".contains(byte);
    if block.is_empty() || block.iter().any(control) {
        return None;
    }
    // A character may be cut at the end.
    let is_text = std::str::from_utf8(block).map_or_else(|error| error.error_len().is_none(), |_| true);
    is_text.then_some("it is text, no stream of Heka messages: heka-tail makes one of it (heka-tail FILE | ...)")
}

struct Reader<'c> {
    deframer: Deframer,
    progress: Progress,
    options: RunOptions,
    drain_until: Option<Instant>,
    counters: &'c mut Counters,
}

impl Reader<'_> {
    fn read(&mut self, operand: &Operand, last: bool, out: &mut Output, stage: &mut impl Stage) -> Result<Flow, End> {
        // Ctrl-C stops whoever writes into a pipe; what it still writes is read.
        let expect_end = |expected| Signals::get().into_iter().for_each(|signals| signals.expect_end(expected));
        expect_end(matches!(operand, Operand::Stdin) && operand.is_piped());
        let flow = self.read_to_end(operand, last, out, stage);
        expect_end(false);
        flow
    }

    fn read_to_end(
        &mut self,
        operand: &Operand,
        last: bool,
        out: &mut Output,
        stage: &mut impl Stage,
    ) -> Result<Flow, End> {
        self.deframer.restart();
        if self.options.offset > 0 && operand.is_compressed() {
            return Err(End::Reading(format!("{}: --offset: it is compressed", operand.name())));
        }
        if self.options.offset > 0 {
            let from = rustix::fs::SeekFrom::Start(self.options.offset);
            if let Err(error) = rustix::fs::seek(operand.fd(), from) {
                return Err(End::Reading(format!("{}: --offset: {error}", operand.name())));
            }
        }
        let follow = self.options.follow && last && operand.is_regular() && !operand.is_compressed();
        let (mut first, before) = (true, self.counters.messages);
        // What is no stream at all, and what to do with it.
        let mut other = None;
        let mut watch = match operand {
            Operand::File { path, .. } if follow => Some(Watch::new(path)),
            _ => None,
        };
        let (mut finished, mut renamed) = (false, false);
        let signals = Signals::get();
        loop {
            loop {
                // However long a stage takes for a message.
                if signals.is_some_and(Signals::stop_requested) && !self.drains(operand) {
                    self.end_early(operand, last)?;
                    return Ok(Flow::Continue);
                }
                match self.deframer.step() {
                    Step::Frame(frame) => {
                        self.counters.messages += 1;
                        if stage.message(&frame, out)? == Flow::Stop {
                            return Ok(Flow::Stop);
                        }
                    }
                    Step::Gap(gap) => {
                        self.counters.skipped += gap.bytes;
                        report_gap(&operand.name(), &gap);
                    }
                    Step::Incomplete => break,
                }
            }
            if finished {
                return match other.filter(|_| self.counters.messages == before) {
                    Some(what) => Err(End::Failure(Failure::usage(format!("{}: {what}", operand.name())))),
                    None => Ok(Flow::Continue),
                };
            }
            if !self.wait(operand, out, stage)? {
                self.end_early(operand, last)?;
                self.deframer.finish();
                finished = true;
                continue;
            }
            let count = operand.read(self.deframer.space()).map_err(|failure| match failure {
                Failure::Message(_, message) => End::Reading(message),
                failure => End::Failure(failure),
            })?;
            if std::mem::take(&mut first) {
                other = no_stream(self.deframer.space().get(..count).unwrap_or_default());
                // Of a pipe more may come, which is one.
                if let Some(what) = other.filter(|_| operand.is_regular()) {
                    return Err(End::Failure(Failure::usage(format!("{}: {what}", operand.name()))));
                }
            }
            self.deframer.filled(count);
            self.counters.bytes += count as u64;
            self.progress.advance(count as u64);
            if count == 0 {
                if let Some(watch) = &mut watch {
                    if !renamed && !operand.has_its_name() {
                        renamed = true;
                        report(&format!(
                            "{}: the file was renamed or removed, and is still read; heka-tail -f --splitter heka goes on with \
                             what has the name",
                            operand.name()
                        ));
                    }
                    stage.idle(out)?;
                    out.flush()?;
                    if watch.wait(out.fd(), stage.wake_at())? {
                        continue;
                    }
                }
                self.deframer.finish();
                finished = true;
            }
        }
    }

    /// When a stop was asked for: whether what is on its way is still taken. What is in a file stays there.
    fn drains(&mut self, operand: &Operand) -> bool {
        let until = *self.drain_until.get_or_insert_with(|| Instant::now() + DRAIN);
        !operand.is_regular() && Instant::now() < until
    }

    /// Whether a stop comes before all has been read: an error if so.
    fn end_early(&self, operand: &Operand, last: bool) -> Result<(), End> {
        let left = operand.unread() + self.deframer.buffered() as u64;
        if left > 0 || !last { Err(End::Stopped(left)) } else { Ok(()) }
    }

    /// Before a read: if it would block, what has been collected goes out first. False when no more is to be read.
    fn wait(&mut self, operand: &Operand, out: &mut Output, stage: &mut impl Stage) -> Result<bool, End> {
        let Some(signals) = Signals::get() else { return Ok(true) };
        loop {
            if signals.take_statistics_request() {
                print_stats(self.counters, out, stage);
            }
            let stopping = signals.stop_requested();
            if stopping && !self.drains(operand) {
                return Ok(false);
            }
            let fd = [operand.fd()];
            let now =
                WaitOn { readable: &fd, timeout: Some(Duration::ZERO), ignore_stop: stopping, ..WaitOn::default() };
            if signals.wait(now) == Wake::Readable(0) {
                return Ok(true);
            }
            if stage.wake_at().is_some_and(|at| at <= Instant::now()) || !out.buf().is_empty() || !stopping {
                stage.idle(out)?;
                out.flush()?;
            }
            let timer = stage.wake_at().map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = if stopping { Some(DRAIN_GAP) } else { timer };
            let on = WaitOn { readable: &fd, output: Some(out.fd()), timeout, ignore_stop: stopping };
            match signals.wait(on) {
                Wake::Readable(_) => return Ok(true),
                Wake::OutputClosed => return Err(End::Failure(Failure::ClosedPipe)),
                Wake::Timeout if stopping => return Ok(false),
                Wake::Timeout | Wake::Signal | Wake::Stop => {}
            }
        }
    }
}
