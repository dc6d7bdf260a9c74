//! Filters that one thread runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::plan::Plan;
use crate::matcher::{Matcher, MatcherSet};
use crate::message::now_ns;
use crate::pipeline::Failure;
use crate::sandbox::clock::TickerState;
use crate::sandbox::runner::{Runner, put_report};
use crate::sandbox::state_file::{Cursors, StateFile};
use crate::sandbox::{Terminated, Usage};
use crate::stream::{Frame, Frames, put_frame};

/// Of so many calls one is timed: looking at the clock costs as much as a small call.
const TIME_ONE_OF: u64 = 16;
/// Calls that have to be timed before a filter counts as slow.
const MIN_SAMPLES: u64 = 100;

/// Why a filter is ended that takes too long while messages wait: Heka's words.
const SLOW: &str = "sandbox is running slowly and blocking the router";

/// What holds for all filters of a manager.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Messages that one call may inject; 0 is no limit.
    pub max_process_inject: usize,
    pub max_timer_inject: usize,
    /// Messages say what time it is.
    pub by_messages: bool,
    /// A filter that takes longer for a message, on average, is ended while messages wait; zero: none is.
    pub max_process_duration: Duration,
}

/// What a crew is told to do.
pub enum Command {
    /// Whole frames.
    Messages(Arc<Vec<u8>>),
    Load(Box<Plan>),
    Unload(String),
    /// The timers of that interval are due.
    Tick(Duration, i64),
    /// `blocking`: messages have been waiting since the last time.
    Look {
        blocking: bool,
    },
    /// The cursors of what has been given to the filters.
    Save(Arc<Cursors>),
    /// The end: `timers` says whose are called once more.
    Finish(Timers, Arc<Moments>, Arc<Cursors>),
}

/// For each interval the moment that a call of its timers at the end is for; the machine's clock says others.
pub type Moments = BTreeMap<Duration, i64>;

/// Whose timers are called at the end.
#[derive(Clone, Copy, PartialEq)]
pub enum Timers {
    All,
    /// Of those that ask for it.
    Asked,
    None,
}

/// What came of a command.
#[derive(Default)]
pub struct Reply {
    /// Injected messages, framed, without cursors.
    pub out: Vec<u8>,
    /// Filters that ended for an error, and why.
    pub ended: Vec<(String, String)>,
    /// How many messages filters injected.
    pub injected: u64,
    pub loaded: Option<Result<(), String>>,
    pub statuses: Vec<Status>,
    pub failure: Option<Failure>,
}

impl Reply {
    pub fn is_empty(&self) -> bool {
        self.out.is_empty() && self.ended.is_empty() && self.failure.is_none()
    }

    /// Appends what came of a command elsewhere, or later.
    pub fn add(&mut self, other: Reply) {
        self.out.extend_from_slice(&other.out);
        self.ended.extend(other.ended);
        self.injected += other.injected;
        self.statuses.extend(other.statuses);
        self.loaded = other.loaded.or(self.loaded.take());
        self.failure = self.failure.take().or(other.failure);
    }
}

/// How a filter does.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub name: String,
    pub messages: u64,
    pub failures: u64,
    pub injected: u64,
    pub usage: Usage,
    /// Nanoseconds a message.
    pub mean: u64,
}

struct Managed {
    name: String,
    runner: Runner,
    signer: Option<Vec<u8>>,
    ticker: Duration,
    timer_on_shutdown: bool,
    profile: bool,
    state: Option<StateFile>,
    changed: bool,
    /// How many calls had been timed, and what they took, when messages began to wait.
    waiting_since: (u64, Duration),
}

impl Managed {
    /// # Errors
    /// When the script can't be loaded, or its state not restored.
    fn new(plan: Plan) -> Result<(Managed, Matcher), String> {
        let time_one_of = if plan.profile { 1 } else { TIME_ONE_OF };
        let mut runner = Runner::new(&plan.settings, plan.ticker, time_one_of)?;
        let state = match (&plan.state, runner.sandbox()) {
            (Some(path), Some(sandbox)) => match StateFile::open(path, sandbox) {
                Ok((file, _)) => Some(file),
                Err(Failure::Message(_, message)) => return Err(message),
                Err(Failure::ClosedPipe) => None,
            },
            _ => None,
        };
        let filter = Managed {
            name: plan.name,
            runner,
            signer: plan.signer.map(String::into_bytes),
            ticker: plan.ticker,
            timer_on_shutdown: plan.timer_on_shutdown,
            profile: plan.profile,
            state,
            changed: false,
            waiting_since: (0, Duration::ZERO),
        };
        Ok((filter, plan.matcher))
    }

    /// Takes what the last call injected.
    #[inline]
    fn emit(&mut self, reply: &mut Reply) {
        self.changed = true;
        let mut count = 0;
        for message in self.runner.injected() {
            put_frame(&mut reply.out, None, message);
            if let Some(state) = &mut self.state {
                state.add(message);
            }
            count += 1;
        }
        self.runner.injected += count;
        reply.injected += count;
    }

    fn timer(&mut self, ns: i64, shutdown: bool, rules: &Rules, reply: &mut Reply) -> Result<(), Terminated> {
        let now = rules.by_messages.then_some(ns);
        self.runner.timer_event(ns, shutdown, now, rules.max_timer_inject)?;
        self.emit(reply);
        Ok(())
    }

    /// What a message has taken since messages began to wait, on average; zero while too few were timed.
    fn mean_while_waiting(&self) -> Duration {
        let (count, sum) = self.runner.process.sum();
        let timed = count - self.waiting_since.0;
        if timed < MIN_SAMPLES {
            return Duration::ZERO;
        }
        (sum - self.waiting_since.1).div_f64(timed as f64)
    }

    fn status(&self) -> Status {
        let runner = &self.runner;
        Status {
            name: self.name.clone(),
            messages: runner.messages,
            failures: runner.failures,
            injected: runner.injected,
            usage: runner.usage(),
            mean: runner.process.mean(),
        }
    }

    /// The filter is over: a message says so.
    fn end(mut self, reason: &str, reply: &mut Reply) {
        let mut message = Vec::new();
        let (messages, failures, process) = (self.runner.messages, self.runner.failures, &self.runner.process);
        let (samples, mean) = (process.count(), process.mean());
        let mut report = self.runner.terminate(reason, &mut message);
        if reason == SLOW {
            for (name, value, unit) in [
                ("ProcessMessageCount", messages, "count"),
                ("ProcessMessageFailures", failures, "count"),
                ("ProcessMessageSamples", samples, "count"),
                ("ProcessMessageAvgDuration", mean, "ns"),
            ] {
                report.integer_field(name.as_bytes(), value as i64, unit.as_bytes());
            }
        }
        put_frame(&mut reply.out, None, &message);
        reply.ended.push((self.name, reason.to_string()));
    }
}

/// Filters that one thread runs, by place.
pub struct Crew {
    filters: Vec<Option<Managed>>,
    matchers: MatcherSet,
    hits: Vec<usize>,
    rules: Rules,
    /// A restored state is among them: messages that are in it already may come again.
    resuming: bool,
    /// Streams of which a message has come since then.
    resumed: Vec<Vec<u8>>,
}

impl Crew {
    pub fn new(rules: Rules) -> Crew {
        Crew {
            filters: Vec::new(),
            matchers: MatcherSet::default(),
            hits: Vec::new(),
            rules,
            resuming: false,
            resumed: Vec::new(),
        }
    }

    pub fn run(&mut self, command: Command, reply: &mut Reply) {
        match command {
            Command::Messages(frames) => Frames(&frames).for_each(|frame| self.message(&frame, reply)),
            Command::Load(plan) => reply.loaded = Some(self.load(*plan)),
            Command::Unload(name) => self.unload(&name, reply),
            Command::Tick(interval, ns) => {
                let timers = |filter: &Managed| filter.ticker == interval;
                self.timers(timers, |_| ns, false, reply);
            }
            Command::Look { blocking } => self.look(blocking, reply),
            Command::Save(cursors) => self.save(&cursors, reply),
            Command::Finish(whose, moments, cursors) => {
                // The same messages once more have no tail of their own.
                let nothing_new =
                    |filter: &Managed| !filter.changed && filter.state.as_ref().is_some_and(StateFile::is_restored);
                let wanted = |filter: &Managed| match whose {
                    Timers::All => true,
                    Timers::Asked => filter.timer_on_shutdown,
                    Timers::None => false,
                };
                let last = |interval| moments.get(&interval).copied().unwrap_or_else(now_ns);
                self.timers(|filter| wanted(filter) && !nothing_new(filter), last, true, reply);
                self.save(&cursors, reply);
                for filter in self.filters.iter().flatten().filter(|filter| filter.profile) {
                    filter.runner.print_profile();
                }
            }
        }
    }

    /// Gives a message to the filters that are to see it.
    #[inline]
    pub fn message(&mut self, frame: &Frame<'_>, reply: &mut Reply) {
        let view = frame.view();
        let mut hits = std::mem::take(&mut self.hits);
        self.matchers.matches(&view, &mut hits);
        // It keeps all others waiting.
        for place in self.matchers.take_given_up() {
            self.end(place, "message_matcher takes too long", reply);
        }
        if self.resuming {
            self.pass_over_counted(frame, &mut hits, reply);
        }
        for &place in &hits {
            let Some(Some(filter)) = self.filters.get_mut(place) else { continue };
            if filter.signer.as_ref().is_some_and(|name| frame.header().signer != Some(name)) {
                continue;
            }
            let now = self.rules.by_messages.then(|| view.timestamp());
            match filter.runner.process(&view, now, self.rules.max_process_inject) {
                Ok(()) => filter.emit(reply),
                Err(Terminated(reason)) => self.end(place, &reason, reply),
            }
        }
        self.hits = hits;
    }

    /// Takes filters whose restored state has the message in it already from the list.
    fn pass_over_counted(&mut self, frame: &Frame<'_>, hits: &mut Vec<usize>, reply: &mut Reply) {
        let Some(cursor) = frame.header().cursor() else { return };
        let first = !self.resumed.iter().any(|stream| stream == cursor.stream);
        if first {
            self.resumed.push(cursor.stream.to_vec());
            for state in self.filters.iter_mut().flatten().filter_map(|filter| filter.state.as_mut()) {
                state.is_counted(&cursor, &mut reply.out);
            }
        }
        hits.retain(|&place| {
            let state = self.filters.get_mut(place).and_then(|filter| filter.as_mut()?.state.as_mut());
            !state.is_some_and(|state| state.is_counted(&cursor, &mut reply.out))
        });
    }

    fn load(&mut self, plan: Plan) -> Result<(), String> {
        let (filter, matcher) = Managed::new(plan)?;
        self.resuming |= filter.state.as_ref().is_some_and(StateFile::is_restored);
        let free = self.filters.iter().position(Option::is_none).unwrap_or(self.filters.len());
        if free == self.filters.len() {
            self.filters.push(None);
        }
        self.filters[free] = Some(filter);
        self.matchers.insert(free, matcher);
        Ok(())
    }

    fn take(&mut self, place: usize) -> Option<Managed> {
        self.matchers.remove(place);
        self.filters.get_mut(place)?.take()
    }

    fn unload(&mut self, name: &str, reply: &mut Reply) {
        let named = |filter: &Option<Managed>| filter.as_ref().is_some_and(|filter| filter.name == name);
        let Some(mut filter) = self.filters.iter().position(named).and_then(|place| self.take(place)) else { return };
        if filter.timer_on_shutdown
            && let Err(Terminated(reason)) = filter.timer(now_ns(), true, &self.rules, reply)
        {
            filter.end(&reason, reply);
            return;
        }
        let text = format!("{name} (type SandboxFilter) terminated. Error: Filter unloaded.");
        let mut message = Vec::new();
        put_report(&mut message, b"heka.terminated", name.as_bytes(), &text);
        put_frame(&mut reply.out, None, &message);
    }

    /// A filter is over.
    fn end(&mut self, place: usize, reason: &str, reply: &mut Reply) {
        if let Some(filter) = self.take(place) {
            filter.end(reason, reply);
        }
    }

    /// Calls the timers of some filters; `moment` says for when, by interval.
    fn timers(
        &mut self,
        whose: impl Fn(&Managed) -> bool,
        moment: impl Fn(Duration) -> i64,
        shutdown: bool,
        reply: &mut Reply,
    ) {
        for place in 0..self.filters.len() {
            let Some(Some(filter)) = self.filters.get_mut(place) else { continue };
            if whose(filter)
                && let Err(Terminated(reason)) = filter.timer(moment(filter.ticker), shutdown, &self.rules, reply)
            {
                self.end(place, &reason, reply);
            }
        }
    }

    /// Saves the state of filters that have changed.
    fn save(&mut self, cursors: &Cursors, reply: &mut Reply) {
        for place in 0..self.filters.len() {
            let Some(Some(filter)) = self.filters.get_mut(place) else { continue };
            let (true, Some(state), Some(sandbox)) = (filter.changed, &mut filter.state, filter.runner.sandbox())
            else {
                continue;
            };
            match state.save(sandbox, cursors, TickerState::default(), b"") {
                Ok(Ok(())) => filter.changed = false,
                Ok(Err(failure)) => reply.failure = Some(failure),
                Err(reason) => self.end(place, &reason, reply),
            }
        }
    }

    /// Says how the filters do, and ends those that hold up the others.
    fn look(&mut self, blocking: bool, reply: &mut Reply) {
        for place in 0..self.filters.len() {
            let Some(Some(filter)) = self.filters.get_mut(place) else { continue };
            let most = self.rules.max_process_duration;
            if !blocking {
                filter.waiting_since = filter.runner.process.sum();
            } else if !most.is_zero() && filter.mean_while_waiting() > most {
                self.end(place, SLOW, reply);
                continue;
            }
            reply.statuses.push(filter.status());
        }
    }
}
