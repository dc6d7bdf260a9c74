//! A filter in a pipe: messages in, a script that counts, messages of its own out.
//!
//! Cursors. What a filter injects may stand for many messages. Without kept state the newest cursor goes with the last
//! message of each call. With kept state a cursor goes out only once a state that has its message in it is saved, so
//! that a source never goes past what the state has; and a message whose cursor is in the state already is not counted
//! again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::clock::{Clock, Ticker};
use super::runner::Runner;
use super::state_file::{Cursors, StateFile};
use super::{Settings, Terminated};
use crate::matcher::Matcher;
use crate::pipeline::{Failure, Flow, Lock, Output, Signals, Stage, Stats, report, target_of};
use crate::stream::{CursorRef, Frame, Frames, put_frame};

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
    runner: Runner,
    options: FilterOptions,
    ticker: Ticker,
    state: Option<StateFile>,
    /// The newest cursors that went into the script's state.
    taken: Cursors,
    /// Cursors that the next injected messages carry.
    released: Cursors,
    /// The state was read from a file.
    restored: bool,
    saved: Instant,
    changed: bool,
    until_look: u32,
    /// Injected frames wait here until the state is saved, at the end.
    held: Option<Vec<u8>>,
    /// A script that has seen no message, where messages say what time it is: it is loaded again when the first one says it.
    fresh: Option<Settings>,
    _lock: Option<Lock>,
}

impl FilterStage {
    /// # Errors
    /// When the script can't be loaded, lacks a timer that it is to have, or its state can't be restored.
    pub fn new(settings: &Settings, options: FilterOptions) -> Result<FilterStage, Failure> {
        let load =
            |settings: &Settings| Runner::new(settings, options.ticker, options.profile as u64).map_err(Failure::usage);
        let mut runner = load(settings)?;
        let mut ticker = Ticker::new(options.clock, options.ticker);
        let mut restored = Cursors::default();
        // Another run with the same state would overwrite what this one counts.
        let lock = options.preserve.as_deref().map(|path| Lock::beside(&target_of(path))).transpose()?;
        let kept = options.preserve.as_deref().is_some_and(|path| path.exists());
        let mut state = None;
        if let (Some(path), Some(sandbox)) = (&options.preserve, runner.sandbox()) {
            let (mut file, clock) = StateFile::open(path, sandbox)?;
            ticker.resume(clock);
            if ticker.now().is_some() {
                runner = load(&Settings { clock: ticker.now(), ..settings.clone() })?;
                if let Some(sandbox) = runner.sandbox() {
                    file = StateFile::open(path, sandbox)?.0;
                }
            }
            restored = file.restored().clone();
            state = Some(file);
        }
        let fresh = (ticker.by_messages() && !kept).then(|| settings.clone());
        Ok(FilterStage {
            runner,
            ticker,
            state,
            restored: !restored.is_empty(),
            taken: restored.clone(),
            released: restored,
            saved: Instant::now(),
            changed: false,
            until_look: LOOK_EVERY,
            held: None,
            fresh,
            _lock: lock,
            options,
        })
    }

    /// The first message says what time it is: the script is loaded as if it were then.
    #[cold]
    fn begin(&mut self, settings: Settings) -> Result<(), Failure> {
        let settings = Settings { clock: self.ticker.now(), ..settings };
        self.runner =
            Runner::new(&settings, self.options.ticker, self.options.profile as u64).map_err(Failure::usage)?;
        Ok(())
    }

    /// Gives the script a message that it is to see.
    #[inline]
    fn process(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        if !self.runner.runs() {
            return Ok(());
        }
        let now = self.ticker.now();
        let called = self.runner.process(&frame.view(), now, self.options.max_process_inject);
        self.changed = true;
        match called {
            Ok(()) => self.emit(out),
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
        if !self.runner.runs() {
            return Ok(());
        }
        let now = self.ticker.by_messages().then_some(ns);
        let called = self.runner.timer_event(ns, shutdown, now, self.options.max_timer_inject);
        self.changed = true;
        match called {
            Ok(()) => self.emit(out),
            Err(Terminated(reason)) => self.terminate(reason, out),
        }
    }

    /// Writes what the last call injected.
    #[inline]
    fn emit(&mut self, out: &mut Output) -> Result<(), Failure> {
        let count = self.runner.injected().count();
        if count == 0 {
            return Ok(());
        }
        self.runner.injected += count as u64;
        if let Some(held) = &mut self.held {
            self.runner.injected().for_each(|message| put_frame(held, None, message));
            return Ok(());
        }
        for (place, message) in self.runner.injected().enumerate() {
            // The last one stands for the call.
            match place + 1 == count {
                true => self.released.put_frame(out.buf(), message),
                false => put_frame(out.buf(), None, message),
            }
            if let Some(state) = &mut self.state {
                state.add(message);
            }
        }
        out.filled()
    }

    /// Writes frames that were kept without cursors, the last of them with the released ones.
    fn write_kept(&mut self, frames: &[u8], out: &mut Output) -> Result<(), Failure> {
        let count = Frames(frames).count();
        for (place, frame) in Frames(frames).enumerate() {
            let from_end = count - place;
            match from_end <= self.released.streams().count() {
                true => self.released.put_frame(out.buf(), frame.message()),
                false => put_frame(out.buf(), None, frame.message()),
            }
        }
        out.filled()
    }

    /// Passes an input frame on. With kept state its cursor waits until the state is saved.
    fn pass(&mut self, frame: &Frame<'_>, has_cursor: bool, out: &mut Output) -> Result<(), Failure> {
        if self.state.is_none() || !has_cursor {
            return out.push(frame.raw());
        }
        self.released.put_frame_like(out.buf(), frame);
        out.filled()
    }

    /// The script is over: a message says so, and unless the run goes on without it an error does too.
    fn terminate(&mut self, reason: String, out: &mut Output) -> Result<(), Failure> {
        let mut message = Vec::new();
        self.runner.terminate(&reason, &mut message);
        put_frame(out.buf(), None, &message);
        out.filled()?;
        let mut words = format!("{}: terminated: {reason}", String::from_utf8_lossy(self.runner.name()));
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
        let (Some(state), Some(sandbox)) = (&mut self.state, self.runner.sandbox()) else { return Ok(None) };
        // What the state no longer has must be on its way.
        if self.held.is_none() {
            out.flush()?;
        }
        match state.save(sandbox, &self.taken, self.ticker.state(), self.held.as_deref().unwrap_or_default()) {
            Err(refused) => return Ok(Some(refused)),
            Ok(written) => written?,
        }
        self.released = self.taken.clone();
        self.saved = Instant::now();
        self.changed = false;
        Ok(None)
    }

    fn save_is_due(&self) -> bool {
        self.state.is_some() && self.changed && self.saved.elapsed() >= self.options.save_every
    }

    /// Whether a message is in the restored state already; writes what has to be sent again.
    fn is_counted(&mut self, cursor: &CursorRef<'_>, out: &mut Output) -> Result<bool, Failure> {
        let Some(state) = &mut self.state else { return Ok(false) };
        let mut again = Vec::new();
        let counted = state.is_counted(cursor, &mut again);
        if !again.is_empty() {
            self.write_kept(&again, out)?;
        }
        Ok(counted)
    }
}

impl Stage for FilterStage {
    #[inline]
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        let header = frame.header();
        let cursor = header.cursor();
        let counted = match &cursor {
            Some(cursor) if self.restored => self.is_counted(cursor, out)?,
            _ => false,
        };
        if !counted {
            let view = frame.view();
            let due = self.ticker.message(view.timestamp());
            if let Some(settings) = self.fresh.take() {
                self.begin(settings)?;
            }
            if due {
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
            // The machine's clock goes on.
            self.fresh = None;
            self.tick(out)?;
        }
        if self.save_is_due() { self.save(out) } else { Ok(()) }
    }

    fn wake_at(&self) -> Option<Instant> {
        let save = (self.state.is_some() && self.changed).then(|| self.saved + self.options.save_every);
        let tick = self.runner.runs().then(|| self.ticker.wake_at()).flatten();
        [save, tick].into_iter().flatten().min()
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        let stopped = Signals::stop_asked();
        if self.state.is_some() {
            self.held = Some(Vec::new());
        }
        let wanted = if stopped { self.options.timer_on_shutdown } else { self.options.final_timer };
        // The same messages once more have no tail of their own.
        let nothing_new = self.restored && !self.changed;
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
            self.runner.print_profile();
        }
        Ok(())
    }

    fn stats(&self, stats: &mut Stats) {
        let (runner, usage) = (&self.runner, self.runner.usage());
        stats.set("messages_processed", runner.messages).set("messages_rejected", runner.failures);
        stats.set("messages_out", runner.injected).set("max_memory", usage.max_memory as u64);
        stats.set("max_instructions", usage.max_instructions).set("max_output", usage.max_output as u64);
    }
}
