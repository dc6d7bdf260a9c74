//! Signals and waiting: one place where a program sleeps, and everything that wakes it.
//!
//! SIGINT and SIGTERM ask for an orderly stop, a second one ends at once. SIGUSR1 asks for the statistics.
//!
//! Ctrl-C sends SIGINT to every program of a pipe. Only the first of them has something to stop; the others go on until
//! their input ends, so that nothing is lost between them: see [`Signals::expect_end`].

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};

/// Why [`Signals::wait`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The descriptor at that place of the list can be read, or has ended.
    Readable(usize),
    /// A stop was asked for.
    Stop,
    /// Statistics were asked for, or another signal came.
    Signal,
    /// Whoever read our output has gone.
    OutputClosed,
    Timeout,
}

/// What to wait for besides signals.
#[derive(Clone, Copy, Default)]
pub struct WaitOn<'a> {
    pub readable: &'a [BorrowedFd<'a>],
    /// An output whose reader may go away.
    pub output: Option<BorrowedFd<'a>>,
    pub timeout: Option<Duration>,
    /// Also wait on when a stop has been asked for (to drain what is on its way).
    pub ignore_stop: bool,
}

/// Whether statistics were asked for.
fn statistics_flag() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(Arc::default)
}

/// Signals that would end a program that has only begun, or that has a better way to say what is wrong: SIGUSR1, which asks
/// for statistics, and SIGXFSZ, of which a write that fails says the same with the file's name.
pub fn outlive_signals() {
    // Where the system refuses it, the signals do what they always did.
    let _ = signal_hook::flag::register(SIGUSR1, statistics_flag().clone());
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}

/// The process's signal state.
pub struct Signals {
    /// One of the two that follow: looked at for each message.
    any: Arc<AtomicBool>,
    /// SIGTERM.
    stop: Arc<AtomicBool>,
    /// SIGINT.
    interrupt: Arc<AtomicBool>,
    /// The input is a pipe that ends when its writer has stopped: an interrupt waits for that.
    end_expected: AtomicBool,
    /// When a stop was first noticed.
    since: OnceLock<Instant>,
    statistics: Arc<AtomicBool>,
    /// Written to by the handlers, so that a signal between a check and a sleep isn't lost.
    wakeup: OwnedFd,
}

impl Signals {
    /// The one instance; handlers are installed at the first call. `None` when the system refuses them.
    pub fn get() -> Option<&'static Signals> {
        static SIGNALS: OnceLock<Option<Signals>> = OnceLock::new();
        SIGNALS.get_or_init(|| Signals::install().ok()).as_ref()
    }

    fn install() -> std::io::Result<Signals> {
        let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
        let (wakeup, writer) = rustix::pipe::pipe_with(flags)?;
        let stop = Arc::new(AtomicBool::new(false));
        let interrupt = Arc::new(AtomicBool::new(false));
        let any = Arc::new(AtomicBool::new(false));
        let statistics = statistics_flag().clone();
        for (signal, flag) in [(SIGINT, &interrupt), (SIGTERM, &stop)] {
            // Looks at the flag before the next line sets it: so only a second signal ends the process.
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, any.clone())?;
            signal_hook::flag::register(signal, any.clone())?;
            signal_hook::flag::register(signal, flag.clone())?;
            signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        signal_hook::flag::register(SIGUSR1, statistics.clone())?;
        signal_hook::low_level::pipe::register(SIGUSR1, writer)?;
        let (end_expected, since) = (AtomicBool::new(false), OnceLock::new());
        Ok(Signals { any, stop, interrupt, end_expected, since, statistics, wakeup })
    }

    #[inline]
    pub fn stop_requested(&self) -> bool {
        self.any.load(Ordering::Relaxed) && self.stop_now()
    }

    #[cold]
    fn stop_now(&self) -> bool {
        let interrupted = || self.interrupt.load(Ordering::Relaxed) && !self.end_expected.load(Ordering::Relaxed);
        let stop = self.stop.load(Ordering::Relaxed) || interrupted();
        if stop {
            self.since.get_or_init(Instant::now);
        }
        stop
    }

    /// Whether an interrupt is to wait for the end of the input, which its writer brings about.
    pub fn expect_end(&self, expected: bool) {
        self.end_expected.store(expected, Ordering::Relaxed);
    }

    /// When a stop was asked for, as far as this program has noticed.
    pub fn stop_since() -> Option<Instant> {
        let signals = Signals::get().filter(|signals| signals.stop_requested())?;
        signals.since.get().copied()
    }

    /// The same of the one instance.
    pub fn stop_asked() -> bool {
        Signals::get().is_some_and(Signals::stop_requested)
    }

    /// Whether statistics were asked for since the last call.
    pub fn take_statistics_request(&self) -> bool {
        self.statistics.load(Ordering::Relaxed) && self.statistics.swap(false, Ordering::Relaxed)
    }

    /// Sleeps until something of `on` happens or a signal comes.
    pub fn wait(&self, on: WaitOn<'_>) -> Wake {
        use std::os::fd::AsFd;
        if self.stop_requested() && !on.ignore_stop {
            return Wake::Stop;
        }
        let mut fds = Vec::with_capacity(on.readable.len() + 2);
        fds.push(PollFd::from_borrowed_fd(self.wakeup.as_fd(), PollFlags::IN));
        fds.extend(on.readable.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)));
        if let Some(output) = on.output {
            // No events asked for: only that the other end was closed is told.
            fds.push(PollFd::from_borrowed_fd(output, PollFlags::empty()));
        }
        let timeout = on
            .timeout
            .map(|timeout| Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos() as i64 });
        let polled = poll(&mut fds, timeout.as_ref());
        let events: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        if events[0].contains(PollFlags::IN) {
            let _ = rustix::io::read(&self.wakeup, &mut [0u8; 64]);
        }
        if self.stop_requested() && !on.ignore_stop {
            return Wake::Stop;
        }
        match polled {
            Ok(0) => return Wake::Timeout,
            Ok(_) => {}
            Err(_) => return Wake::Signal,
        }
        let closed = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        if on.output.is_some() && events.last().is_some_and(|events| events.intersects(closed)) {
            return Wake::OutputClosed;
        }
        let readable = &events[1..=on.readable.len()];
        match readable.iter().position(|events| events.intersects(PollFlags::IN | closed)) {
            Some(place) => Wake::Readable(place),
            None => Wake::Signal,
        }
    }
}
