//! A filter in a pipe: messages in, a script that counts, messages of its own out.
//!
//! Cursors. What a filter injects may stand for many messages. Without kept state the newest cursor goes with the last
//! message of each call. With kept state a cursor goes out only once a state that has its message in it is saved, so
//! that a source never goes past what the state has; and a message whose cursor is in the state already is not counted
//! again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::clock::{Clock, Ticker};
use super::profile::Timings;
use super::state_file::{Cursors, StateFile};
use super::{Outcome, Sandbox, Settings, Terminated};
use crate::matcher::Matcher;
use crate::message::{MessageBuilder, TextHeader, now_ns, uuid};
use crate::pipeline::{Failure, Flow, Output, Signals, Stage, Stats, report, report_once};
use crate::stream::{CursorRef, Frame, Frames, put_frame, put_frame_like};

/// How a filter is run.
pub struct FilterOptions {
    /// Only these messages are given to the script.
    pub matcher: Option<Matcher>,
    /// … if this signer has signed them, as their frames say.
    pub signer: Option<Vec<u8>>,
    /// Between two calls of `timer_event`; zero for none.
    pub ticker: Duration,
    pub clock: Clock,
    /// Call `timer_event` once more at the end of the input.
    pub final_timer: bool,
    /// … and when a signal stopped it.
    pub timer_on_shutdown: bool,
    /// Go on, without the script, when it is terminated.
    pub can_exit: bool,
    /// The input goes through too.
    pub pass: bool,
    pub profile: bool,
    pub preserve: Option<PathBuf>,
    pub save_every: Duration,
    /// Messages that one call may inject; 0 is no limit.
    pub max_process_inject: usize,
    pub max_timer_inject: usize,
}

/// Messages between two looks at whether the state should be saved.
const LOOK_EVERY: u32 = 256;

/// A script with its timer and its state.
pub struct FilterStage {
    /// None once it was terminated.
    sandbox: Option<Sandbox>,
    name: Vec<u8>,
    options: FilterOptions,
    ticker: Ticker,
    state: Option<StateFile>,
    /// The newest cursors that went into the script's state.
    taken: Cursors,
    /// Cursors that the next injected messages carry.
    released: Cursors,
    /// What the restored state has in it.
    restored: Cursors,
    /// Streams of which a message has come since the restart, where a state was restored.
    resumed: Vec<Vec<u8>>,
    saved: Instant,
    changed: bool,
    until_look: u32,
    /// Frames injected since the last save, without cursors.
    unsaved: Vec<u8>,
    /// Injected frames wait here until the state is saved, at the end.
    held: Option<Vec<u8>>,
    messages: u64,
    failures: u64,
    injected: u64,
    process_timings: Timings,
    timer_timings: Timings,
    usage: super::Usage,
}

impl FilterStage {
    /// # Errors
    /// When the script can't be loaded, lacks a timer that it is to have, or its state can't be restored.
    pub fn new(settings: &Settings, options: FilterOptions) -> Result<FilterStage, Failure> {
        let mut sandbox = Sandbox::new(settings).map_err(Failure::usage)?;
        if !options.ticker.is_zero() && !sandbox.has_timer() {
            let name = &settings.script.name;
            return Err(Failure::usage(format!("{name}: timer_event() function was not found, and --ticker needs it")));
        }
        let mut ticker = Ticker::new(options.clock, options.ticker);
        let mut restored = Cursors::default();
        let state = match &options.preserve {
            None => None,
            Some(path) => {
                let (file, state) = StateFile::open(path, &mut sandbox)?;
                ticker.resume(state.clock);
                restored = state.cursors;
                Some(file)
            }
        };
        Ok(FilterStage {
            sandbox: Some(sandbox),
            name: settings.identity.name.clone(),
            ticker,
            state,
            taken: restored.clone(),
            released: restored.clone(),
            restored,
            resumed: Vec::new(),
            saved: Instant::now(),
            changed: false,
            until_look: LOOK_EVERY,
            unsaved: Vec::new(),
            held: None,
            messages: 0,
            failures: 0,
            injected: 0,
            process_timings: Timings::default(),
            timer_timings: Timings::default(),
            usage: super::Usage::default(),
            options,
        })
    }

    /// Gives the script a message that it is to see.
    #[inline]
    fn process(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let view = frame.view();
        let Some(sandbox) = &mut self.sandbox else { return Ok(()) };
        let now = self.ticker.by_messages().then(|| view.timestamp());
        sandbox.set_injection(now, self.options.max_process_inject);
        let begun = self.options.profile.then(Instant::now);
        let outcome = sandbox.process(frame.message(), view.index());
        if let Some(begun) = begun {
            self.process_timings.add(begun.elapsed());
        }
        self.messages += 1;
        self.changed = true;
        match outcome {
            Ok(Outcome::Done) => self.emit(out),
            Ok(Outcome::Rejected { words, .. }) => {
                self.failures += 1;
                let name = String::from_utf8_lossy(&self.name);
                report_once("messages that the filter rejected", || match words.filter(|words| !words.is_empty()) {
                    Some(words) => format!("{name}: {words}"),
                    None => format!("{name}: process_message() answered with a failure"),
                });
                self.emit(out)
            }
            Err(Terminated(reason)) => self.terminate(reason, out),
        }
    }

    /// Calls the timer for every tick that is due.
    fn tick(&mut self, out: &mut Output) -> Result<(), Failure> {
        while let Some(ns) = self.ticker.due() {
            self.timer_event(ns, false, out)?;
        }
        Ok(())
    }

    fn timer_event(&mut self, ns: i64, shutdown: bool, out: &mut Output) -> Result<(), Failure> {
        let Some(sandbox) = &mut self.sandbox else { return Ok(()) };
        let now = self.ticker.by_messages().then_some(ns);
        sandbox.set_injection(now, self.options.max_timer_inject);
        let begun = Instant::now();
        let called = sandbox.timer_event(ns, shutdown);
        if self.options.profile && sandbox.has_timer() {
            self.timer_timings.add(begun.elapsed());
        }
        self.changed = true;
        match called {
            Ok(()) => self.emit(out),
            Err(Terminated(reason)) => self.terminate(reason, out),
        }
    }

    /// Writes what the last call injected.
    #[inline]
    fn emit(&mut self, out: &mut Output) -> Result<(), Failure> {
        let Some(sandbox) = &self.sandbox else { return Ok(()) };
        let count = sandbox.injected().count();
        if count == 0 {
            return Ok(());
        }
        self.injected += count as u64;
        if let Some(held) = &mut self.held {
            sandbox.injected().for_each(|message| put_frame(held, None, message));
            return Ok(());
        }
        for (place, message) in sandbox.injected().enumerate() {
            // The last one stands for the call.
            let cursor = if place + 1 == count { self.released.pop() } else { None };
            let cursor = cursor.as_ref().map(|(stream, mark)| mark.cursor(stream));
            put_frame(out.buf(), cursor, message);
            if self.state.is_some() {
                put_frame(&mut self.unsaved, None, message);
            }
        }
        out.filled()
    }

    /// Writes frames that were kept without cursors, the last of them with the released ones.
    fn write_kept(&mut self, frames: &[u8], out: &mut Output) -> Result<(), Failure> {
        let count = Frames(frames).count();
        for (place, frame) in Frames(frames).enumerate() {
            let from_end = count - place;
            let cursor = if from_end <= self.released.streams().count() { self.released.pop() } else { None };
            let cursor = cursor.as_ref().map(|(stream, mark)| mark.cursor(stream));
            put_frame(out.buf(), cursor, frame.message());
        }
        out.filled()
    }

    /// Passes an input frame on. With kept state its cursor waits until the state is saved.
    fn pass(&mut self, frame: &Frame<'_>, has_cursor: bool, out: &mut Output) -> Result<(), Failure> {
        if self.state.is_none() || !has_cursor {
            return out.push(frame.raw());
        }
        let cursor = self.released.pop();
        put_frame_like(out.buf(), frame, cursor.as_ref().map(|(stream, mark)| mark.cursor(stream)));
        out.filled()
    }

    /// The script is over: a message says so, and unless the run goes on without it an error does too.
    fn terminate(&mut self, reason: String, out: &mut Output) -> Result<(), Failure> {
        if let Some(sandbox) = self.sandbox.take() {
            self.usage = sandbox.usage();
        }
        let mut message = Vec::new();
        MessageBuilder::new(&mut message, &uuid::new_v4(), now_ns())
            .text(TextHeader::Type, b"heka.sandbox-terminated")
            .text(TextHeader::Logger, b"hekad")
            .severity(7)
            .text(TextHeader::Payload, reason.as_bytes())
            .pid(std::process::id() as i32)
            .text(TextHeader::Hostname, &crate::pipeline::hostname())
            .string_field(b"plugin", &self.name, b"");
        put_frame(out.buf(), None, &message);
        out.filled()?;
        let name = String::from_utf8_lossy(&self.name).into_owned();
        let mut words = format!("{name}: terminated: {reason}");
        if let Some(state) = self.state.take() {
            state.move_aside();
            words.push_str(" (its state file was moved to one that ends in .terminated)");
        }
        if self.options.can_exit {
            report(&words);
            return Ok(());
        }
        Err(Failure::failed(words))
    }

    /// Saves the state with the cursors of what is in it. From then on these may go out.
    fn save(&mut self, out: &mut Output) -> Result<(), Failure> {
        if let Some(refused) = self.try_save(out)? {
            return self.terminate(refused, out);
        }
        Ok(())
    }

    fn try_save(&mut self, out: &mut Output) -> Result<Option<String>, Failure> {
        let (Some(state), Some(sandbox)) = (&mut self.state, &mut self.sandbox) else { return Ok(None) };
        // What the state no longer has must be on its way.
        if self.held.is_none() {
            out.flush()?;
        }
        let frames = [&self.unsaved[..], self.held.as_deref().unwrap_or_default()].concat();
        match state.save(sandbox, &self.taken, self.ticker.state(), &frames) {
            Err(refused) => return Ok(Some(refused)),
            Ok(written) => written?,
        }
        self.unsaved.clear();
        self.released = self.taken.clone();
        self.saved = Instant::now();
        self.changed = false;
        Ok(None)
    }

    fn save_is_due(&self) -> bool {
        self.state.is_some() && self.changed && self.saved.elapsed() >= self.options.save_every
    }

    /// Whether a message is in the restored state already. The first one of a stream tells how far delivery had come.
    fn is_counted(&mut self, cursor: &CursorRef<'_>, out: &mut Output) -> Result<bool, Failure> {
        let Some(sequence) = self.restored.sequence(cursor.stream) else { return Ok(false) };
        if !self.resumed.iter().any(|stream| stream == cursor.stream) {
            self.resumed.push(cursor.stream.to_vec());
            let mut frames = Vec::new();
            if let Some(state) = &mut self.state {
                state.send_again(cursor.stream, cursor.sequence, &mut frames);
            }
            if !frames.is_empty() {
                report("messages that were injected before the restart, but not delivered, are sent again");
                self.write_kept(&frames, out)?;
            }
        }
        Ok(cursor.sequence <= sequence)
    }

    /// Heka's report of the script, with percentiles, a line a field.
    fn print_profile(&self) {
        let usage = self.sandbox.as_ref().map_or(self.usage, Sandbox::usage);
        let (process, timer) = (&self.process_timings, &self.timer_timings);
        let fields: [(&str, u64, &str); 17] = [
            ("Memory", usage.memory as u64, "B"),
            ("MaxMemory", usage.max_memory as u64, "B"),
            ("MaxInstructions", usage.max_instructions, "count"),
            ("MaxOutput", usage.max_output as u64, "B"),
            ("ProcessMessageCount", self.messages, "count"),
            ("ProcessMessageFailures", self.failures, "count"),
            ("InjectMessageCount", self.injected, "count"),
            ("ProcessMessageSamples", process.count(), "count"),
            ("TimerEventSamples", timer.count(), "count"),
            ("ProcessMessageAvgDuration", process.mean(), "ns"),
            ("ProcessMessageP50Duration", process.percentile(0.5), "ns"),
            ("ProcessMessageP99Duration", process.percentile(0.99), "ns"),
            ("ProcessMessageMaxDuration", process.max(), "ns"),
            ("TimerEventAvgDuration", timer.mean(), "ns"),
            ("TimerEventP50Duration", timer.percentile(0.5), "ns"),
            ("TimerEventP99Duration", timer.percentile(0.99), "ns"),
            ("TimerEventMaxDuration", timer.max(), "ns"),
        ];
        let mut text = format!("{}:\n", String::from_utf8_lossy(&self.name));
        for (name, value, unit) in fields {
            text.push_str(&format!("    {name:<26} {value:>12} {unit}\n"));
        }
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    }
}

impl Stage for FilterStage {
    #[inline]
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        let header = frame.header();
        let cursor = header.cursor();
        let counted = match &cursor {
            Some(cursor) if !self.restored.is_empty() => self.is_counted(cursor, out)?,
            _ => false,
        };
        if !counted {
            let view = frame.view();
            if self.ticker.message(view.timestamp()) {
                self.tick(out)?;
            }
            match &cursor {
                Some(cursor) if self.state.is_some() => self.taken.advance(cursor),
                // A message that goes through carries its own, once it is out.
                Some(cursor) if !self.options.pass => self.released.advance(cursor),
                _ => {}
            }
            let signed = self.options.signer.as_ref().is_none_or(|name| header.signer == Some(name));
            if signed && self.options.matcher.as_ref().is_none_or(|matcher| matcher.matches(&view)) {
                self.process(frame, out)?;
            }
        }
        if self.options.pass {
            self.pass(frame, cursor.is_some(), out)?;
        }
        if self.state.is_some() {
            self.until_look -= 1;
            if self.until_look == 0 {
                self.until_look = LOOK_EVERY;
                if self.save_is_due() {
                    self.save(out)?;
                }
            }
        }
        Ok(Flow::Continue)
    }

    fn idle(&mut self, out: &mut Output) -> Result<(), Failure> {
        if self.ticker.silence() {
            self.tick(out)?;
        }
        if self.save_is_due() { self.save(out) } else { Ok(()) }
    }

    fn wake_at(&self) -> Option<Instant> {
        let save = (self.state.is_some() && self.changed).then(|| self.saved + self.options.save_every);
        let tick = self.sandbox.as_ref().and_then(|_| self.ticker.wake_at());
        [save, tick].into_iter().flatten().min()
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        let stopped = Signals::stop_asked();
        if self.state.is_some() {
            self.held = Some(Vec::new());
        }
        let wanted = if stopped { self.options.timer_on_shutdown } else { self.options.final_timer };
        // The same messages once more have no tail of their own.
        let nothing_new = !self.restored.is_empty() && !self.changed;
        if wanted && !nothing_new {
            let ns = self.ticker.last();
            self.timer_event(ns, true, out)?;
            self.ticker.ended();
        }
        self.save(out)?;
        if let Some(held) = self.held.take() {
            self.write_kept(&held, out)?;
        }
        if self.options.profile {
            self.print_profile();
        }
        Ok(())
    }

    fn stats(&self, stats: &mut Stats) {
        let usage = self.sandbox.as_ref().map_or(self.usage, Sandbox::usage);
        stats.set("messages_processed", self.messages).set("messages_rejected", self.failures);
        stats.set("messages_out", self.injected).set("max_memory", usage.max_memory as u64);
        stats.set("max_instructions", usage.max_instructions).set("max_output", usage.max_output as u64);
    }
}
