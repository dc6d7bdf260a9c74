//! A manager in a pipe: data and control messages in, what its filters inject out.
//!
//! Cursors. What the filters inject stands for messages that none of them has to see again only when all have seen them
//! and every state that is kept has them in it. Until then cursors are held back, the input's own too where it goes
//! through.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::crew::{Command, Moments, Reply, Rules, Timers};
use super::directory::Directory;
use super::plan::{Allowed, Plan, full_name, parse_config};
use super::pool::Pool;
use super::request::{Authority, Request};
use super::status::{Described, write_status};
use crate::matcher::Matcher;
use crate::pipeline::{Failure, Flow, Output, Signals, Stage, Stats, report, report_once};
use crate::sandbox::clock::{Clock, Ticker};
use crate::sandbox::runner::put_terminated;
use crate::sandbox::state_file::Cursors;
use crate::stream::{Frame, Frames, Keys, put_frame};

/// How a manager is run.
pub struct ManagerOptions {
    pub name: String,
    /// Where configurations, scripts and data of its filters are kept.
    pub directory: PathBuf,
    /// Which messages are for it.
    pub control: Matcher,
    /// Whom it obeys; None: anybody.
    pub signer: Option<String>,
    /// Without them the stream is believed.
    pub keys: Option<Keys>,
    /// Control messages that are as old are refused; zero: none are.
    pub max_age: Duration,
    pub max_filters: usize,
    pub allowed: Allowed,
    pub max_process_inject: usize,
    pub max_timer_inject: usize,
    /// A filter that takes longer for a message is ended while messages wait; zero: none is.
    pub max_process_duration: Duration,
    pub jobs: usize,
    pub clock: Clock,
    /// Call all timers once more at the end of the input.
    pub final_timer: bool,
    /// The input goes through too.
    pub pass: bool,
    pub save_every: Duration,
}

/// Messages between two looks at the clock.
const LOOK_EVERY: u32 = 256;
/// Between two looks at how the filters do.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// What the manager did.
#[derive(Default)]
struct Counters {
    loaded: u64,
    restored: u64,
    unloaded: u64,
    failed: u64,
    ended: u64,
    refused: u64,
    injected: u64,
}

/// A filter that runs.
struct Running {
    crew: usize,
    ticker: Duration,
    preserves: bool,
    signer: bool,
    described: Described,
}

/// Loads filters, and gives them messages.
pub struct ManagerStage {
    options: ManagerOptions,
    directory: Directory,
    authority: Authority,
    pool: Pool,
    running: BTreeMap<String, Running>,
    /// How many of them keep data.
    preserving: usize,
    /// How many of them want signed messages.
    choosy: usize,
    /// One for each interval: timers are due at its multiples.
    tickers: Vec<(Duration, Ticker)>,
    /// The newest Timestamp, where messages say what time it is.
    newest: Option<i64>,
    /// The newest cursors of what was given to the filters.
    taken: Cursors,
    /// Cursors that the next messages carry.
    released: Cursors,
    /// There are cursors that are not released.
    holding: bool,
    /// Messages came since the last save.
    changed: bool,
    saved: Instant,
    checked: Instant,
    /// Something is to be told that the status file doesn't have.
    news: bool,
    /// No message was waiting at some moment since the last look.
    idled: bool,
    until_look: u32,
    reply: Reply,
    counters: Counters,
}

impl ManagerStage {
    /// Takes the directory over and loads what was loaded when the manager last ran. What it has to say of that goes to
    /// `out`.
    ///
    /// # Errors
    /// When the directory can't be used.
    pub fn new(options: ManagerOptions, out: &mut Output) -> Result<ManagerStage, Failure> {
        let directory = Directory::open(&options.directory, &options.name)?;
        let memory = directory.file("recent");
        let authority = Authority::new(options.signer.clone(), options.keys.clone(), options.max_age, &memory)?;
        let rules = Rules {
            max_process_inject: options.max_process_inject,
            max_timer_inject: options.max_timer_inject,
            by_messages: options.clock != Clock::Wall,
            max_process_duration: options.max_process_duration,
        };
        let mut stage = ManagerStage {
            pool: Pool::new(options.jobs, rules)?,
            options,
            directory,
            authority,
            running: BTreeMap::new(),
            preserving: 0,
            choosy: 0,
            tickers: Vec::new(),
            newest: None,
            taken: Cursors::default(),
            released: Cursors::default(),
            holding: false,
            changed: false,
            saved: Instant::now(),
            checked: Instant::now(),
            news: true,
            idled: true,
            until_look: LOOK_EVERY,
            reply: Reply::default(),
            counters: Counters::default(),
        };
        for kept in stage.directory.kept()? {
            let config = String::from_utf8_lossy(&kept.config);
            let loaded = parse_config(&config)
                .and_then(|(section_name, section)| {
                    stage.plan(kept.name.clone(), &section_name, &section, &kept.script)
                })
                .and_then(|plan| stage.start(plan));
            match loaded {
                Ok(()) => stage.counters.restored += 1,
                Err(reason) => {
                    stage.directory.set_aside(&kept.name, &reason);
                    stage.failed(
                        &format!("{} can't be loaded again: {reason} (its files are put aside)", kept.name),
                        out,
                    )?;
                }
            }
        }
        Ok(stage)
    }

    fn plan(&self, name: String, section_name: &str, section: &toml::Value, script: &[u8]) -> Result<Plan, String> {
        let state = self.directory.state_path(&name);
        let mut plan = self.options.allowed.plan(name, section_name, section, script, state)?;
        plan.settings.clock = self.newest;
        Ok(plan)
    }

    /// Has a crew load a filter.
    fn start(&mut self, plan: Plan) -> Result<(), String> {
        let crews = self.pool.len();
        let filters_of = |crew: usize| self.running.values().filter(|running| running.crew == crew).count();
        let crew = (0..crews).min_by_key(|crew| filters_of(*crew)).unwrap_or(0);
        let running = Running {
            crew,
            ticker: plan.ticker,
            preserves: plan.state.is_some(),
            signer: plan.signer.is_some(),
            described: Described::new(&plan),
        };
        let name = plan.name.clone();
        self.pool.one(crew, Command::Load(Box::new(plan)), &mut self.reply);
        self.reply.loaded.take().unwrap_or_else(|| Err("its worker has ended".into()))?;
        if !running.ticker.is_zero() && !self.tickers.iter().any(|(interval, _)| *interval == running.ticker) {
            self.tickers.push((running.ticker, Ticker::new(self.options.clock, running.ticker)));
        }
        self.preserving += running.preserves as usize;
        self.choosy += running.signer as usize;
        self.running.insert(name, running);
        self.news = true;
        Ok(())
    }

    /// Forgets a filter that doesn't run any more.
    fn forget(&mut self, name: &str) -> Option<Running> {
        let running = self.running.remove(name)?;
        self.preserving -= running.preserves as usize;
        self.choosy -= running.signer as usize;
        if !self.running.values().any(|other| other.ticker == running.ticker) {
            self.tickers.retain(|(interval, _)| *interval != running.ticker);
        }
        self.news = true;
        Some(running)
    }

    fn load(&mut self, config: &str, script: &[u8]) -> Result<(), String> {
        let (manager, most) = (&self.options.name, self.options.max_filters);
        if self.running.len() >= most {
            return Err(format!("{manager} attempted to load more than {most} filters"));
        }
        let failed = |reason: String| format!("loadSandbox failed: {reason}");
        let (section_name, section) = parse_config(config).map_err(failed)?;
        let name = full_name(manager, &section_name);
        if self.running.contains_key(&name) {
            return Err(failed(format!("{name} is already running")));
        }
        let plan = self.plan(name.clone(), &section_name, &section, script).map_err(failed)?;
        self.start(plan).map_err(failed)?;
        if let Err(reason) = self.directory.keep(&name, config.as_bytes(), script) {
            self.stop(&name);
            return Err(failed(reason));
        }
        report(&format!("{name}: loaded"));
        Ok(())
    }

    fn stop(&mut self, name: &str) -> bool {
        let Some(running) = self.forget(name) else { return false };
        self.pool.one(running.crew, Command::Unload(name.to_string()), &mut self.reply);
        true
    }

    fn unload(&mut self, filter: &str) -> Result<(), String> {
        let name = full_name(&self.options.name, filter);
        if self.stop(&name) {
            self.directory.remove(&name);
            report(&format!("{name}: unloaded"));
        } else if self.directory.remove_failed(&name) {
            report(&format!("{name}: it had failed; its files are removed"));
        } else {
            return Err(format!("unload: {name} is not running"));
        }
        Ok(())
    }

    /// Does what a control message asks for, or says why not.
    fn obey(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<(), Failure> {
        let done = match self.authority.admit(frame) {
            Ok(Request::Load { config, script }) => {
                let loaded = self.load(config, script);
                self.counters.loaded += loaded.is_ok() as u64;
                loaded
            }
            Ok(Request::Unload { name }) => {
                let unloaded = self.unload(name);
                self.counters.unloaded += unloaded.is_ok() as u64;
                unloaded
            }
            Err(reason) => {
                self.refuse(&reason);
                return Ok(());
            }
        };
        self.deliver(out)?;
        match done {
            Ok(()) => Ok(()),
            Err(reason) => self.failed(&reason, out),
        }
    }

    fn refuse(&mut self, reason: &str) {
        self.counters.refused += 1;
        report_once("messages that the manager refuses", || {
            format!("{}: a message is refused: {reason}", self.options.name)
        });
    }

    /// What was asked for was not possible: stderr and a message say so.
    fn failed(&mut self, reason: &str, out: &mut Output) -> Result<(), Failure> {
        self.counters.failed += 1;
        report(&format!("{}: {reason}", self.options.name));
        let mut message = Vec::new();
        put_terminated(&mut message, self.options.name.as_bytes(), reason);
        put_frame(out.buf(), None, &message);
        out.filled()
    }

    /// Takes what came of the last commands.
    fn deliver(&mut self, out: &mut Output) -> Result<(), Failure> {
        if self.reply.is_empty() {
            return Ok(());
        }
        let mut reply = std::mem::take(&mut self.reply);
        for (name, reason) in reply.ended.drain(..) {
            self.counters.ended += 1;
            self.forget(&name);
            self.directory.set_aside(&name, &reason);
            report(&format!("{name}: terminated: {reason} (its files are put aside as {name}.failed)"));
        }
        if self.released.is_empty() {
            out.push(&reply.out)?;
        } else {
            for frame in Frames(&reply.out) {
                self.released.put_frame(out.buf(), frame.message());
            }
            out.filled()?;
        }
        reply.out.clear();
        self.counters.injected += std::mem::take(&mut reply.injected);
        let failure = reply.failure.take();
        // Its allocation is used again.
        self.reply = reply;
        failure.map_or(Ok(()), Err)
    }

    /// Has all filters finish what they were given.
    fn settle(&mut self, out: &mut Output) -> Result<(), Failure> {
        self.pool.settle(&mut self.reply);
        self.deliver(out)
    }

    /// Saves what filters keep. From then on the cursors may go out.
    fn save(&mut self, out: &mut Output) -> Result<(), Failure> {
        self.settle(out)?;
        if self.preserving > 0 {
            // What the states no longer have must be on its way.
            out.flush()?;
            let cursors = Arc::new(self.taken.clone());
            self.pool.all(|| Command::Save(cursors.clone()), &mut self.reply);
            self.deliver(out)?;
        }
        self.release();
        self.saved = Instant::now();
        self.changed = false;
        Ok(())
    }

    fn release(&mut self) {
        if std::mem::take(&mut self.holding) {
            self.released = self.taken.clone();
        }
    }

    fn tick(&mut self, out: &mut Output, due: impl Fn(&mut Ticker) -> bool) -> Result<(), Failure> {
        for place in 0..self.tickers.len() {
            let Some((_, ticker)) = self.tickers.get_mut(place) else { break };
            if !due(ticker) {
                continue;
            }
            // A filter that its timer ends may take the ticker with it.
            while let Some((interval, ticker)) = self.tickers.get_mut(place)
                && let Some(ns) = ticker.due()
            {
                let interval = *interval;
                self.pool.all(|| Command::Tick(interval, ns), &mut self.reply);
                self.changed = true;
                self.deliver(out)?;
            }
        }
        Ok(())
    }

    /// Once in a while: how do the filters do?
    fn look(&mut self, out: &mut Output) -> Result<(), Failure> {
        if self.checked.elapsed() >= CHECK_EVERY {
            self.check(out)?;
        }
        if self.save_is_due() { self.save(out) } else { Ok(()) }
    }

    fn check(&mut self, out: &mut Output) -> Result<(), Failure> {
        let blocking = !std::mem::take(&mut self.idled) && self.options.clock == Clock::Wall;
        self.pool.all(|| Command::Look { blocking }, &mut self.reply);
        let statuses = std::mem::take(&mut self.reply.statuses);
        self.deliver(out)?;
        self.checked = Instant::now();
        if self.preserving == 0 {
            self.release();
        }
        if std::mem::take(&mut self.news) {
            let described = |name: &str| self.running.get(name).map(|running| &running.described);
            write_status(
                &self.directory.file("status"),
                &self.options.name,
                self.options.max_filters,
                &statuses,
                described,
            )?;
        }
        Ok(())
    }

    fn save_is_due(&self) -> bool {
        self.changed && self.saved.elapsed() >= self.options.save_every && self.preserving > 0
    }
}

impl Stage for ManagerStage {
    #[inline]
    fn message(&mut self, frame: &Frame<'_>, out: &mut Output) -> Result<Flow, Failure> {
        let view = frame.view();
        let timestamp = view.timestamp();
        if self.options.clock != Clock::Wall {
            self.newest = self.newest.max(Some(timestamp));
        }
        self.tick(out, |ticker| ticker.message(timestamp))?;
        let cursor = frame.header().cursor();
        if let Some(cursor) = &cursor {
            self.taken.advance(cursor);
            self.holding = true;
        }
        (self.changed, self.news) = (true, true);
        let control = self.options.control.matches(&view);
        let matters = control || self.choosy > 0;
        match if matters { self.authority.check(frame) } else { Ok(()) } {
            Ok(()) => {
                self.pool.message(frame, &mut self.reply);
                self.deliver(out)?;
                if control {
                    self.obey(frame, out)?;
                }
            }
            Err(reason) => self.refuse(&reason),
        }
        if self.options.pass {
            match cursor {
                None => out.push(frame.raw())?,
                Some(_) => {
                    self.released.put_frame_like(out.buf(), frame);
                    out.filled()?;
                }
            }
        }
        self.until_look -= 1;
        if self.until_look == 0 {
            self.until_look = LOOK_EVERY;
            self.look(out)?;
        }
        Ok(Flow::Continue)
    }

    fn idle(&mut self, out: &mut Output) -> Result<(), Failure> {
        self.settle(out)?;
        self.idled = true;
        self.tick(out, Ticker::silence)?;
        if self.preserving == 0 {
            self.release();
        }
        self.look(out)
    }

    fn wake_at(&self) -> Option<Instant> {
        let save = (self.changed && self.preserving > 0).then(|| self.saved + self.options.save_every);
        let check = self.news.then(|| self.checked + CHECK_EVERY);
        let ticks = self.tickers.iter().filter_map(|(_, ticker)| ticker.wake_at());
        [save, check].into_iter().flatten().chain(ticks).min()
    }

    fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
        self.settle(out)?;
        let timers = match Signals::stop_asked() {
            true => Timers::Asked,
            false if self.options.final_timer => Timers::All,
            false => Timers::None,
        };
        out.flush()?;
        let by_messages = self.tickers.iter().filter(|(_, ticker)| ticker.by_messages());
        let moments: Arc<Moments> =
            Arc::new(by_messages.map(|(interval, ticker)| (*interval, ticker.last())).collect());
        let cursors = Arc::new(self.taken.clone());
        self.pool.all(|| Command::Finish(timers, moments.clone(), cursors.clone()), &mut self.reply);
        self.release();
        self.deliver(out)?;
        self.news = true;
        self.check(out)
    }

    fn stats(&self, stats: &mut Stats) {
        let counters = &self.counters;
        stats.set("filters", self.running.len() as u64).set("filters_loaded", counters.loaded);
        stats.set("filters_restored", counters.restored).set("filters_unloaded", counters.unloaded);
        stats.set("filters_terminated", counters.ended).set("requests_failed", counters.failed);
        stats.set("messages_refused", counters.refused).set("messages_out", counters.injected);
    }
}
