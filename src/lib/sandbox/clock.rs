//! What time it is for a filter, and when its timer is due.
//!
//! Timers are due at multiples of their interval, by the machine's clock or by the messages' own Timestamps. A replay
//! then sees the same ticks between the same messages as the live run did.

use std::time::{Duration, Instant};

use crate::message::now_ns;
use crate::pipeline::report_once;

/// By what the timer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    Wall,
    /// The newest Timestamp of a message so far.
    Message,
    /// The messages' Timestamps, until none has come for [`SILENCE`]: then somebody follows a log, and the machine's
    /// clock goes on.
    Auto,
}

/// A pipe that is silent for so long is not a replay.
const SILENCE: Duration = Duration::from_secs(5);
/// So many ticks in a row come without a message between them. Of a longer gap, two change something: the one that ends the
/// interval of the last message, and the one before the next message. A wrong clock makes gaps of decades.
const MAX_TICKS: i64 = 1_440;
/// Looking at the machine's clock costs as much as a small message.
const LOOK_EVERY: u32 = 32;

/// Says when the timer is due.
pub struct Ticker {
    clock: Clock,
    /// Nanoseconds; 0 is no timer.
    interval: i64,
    /// The newest Timestamp so far.
    newest: Option<i64>,
    next: Option<i64>,
    /// The machine's clock when it was last looked at.
    wall: i64,
    until_look: u32,
    silent_since: Option<Instant>,
}

/// What of it is kept with a script's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TickerState {
    pub newest: Option<i64>,
    pub next: Option<i64>,
}

impl Ticker {
    pub fn new(clock: Clock, interval: Duration) -> Ticker {
        let interval = interval.as_nanos().min(i64::MAX as u128) as i64;
        let wall = now_ns();
        let next = (clock == Clock::Wall).then(|| after(wall, interval));
        Ticker { clock, interval, newest: None, next, wall, until_look: LOOK_EVERY, silent_since: None }
    }

    pub fn state(&self) -> TickerState {
        TickerState { newest: self.newest, next: self.next }
    }

    /// Goes on where another run ended; the machine's clock needs no memory.
    pub fn resume(&mut self, state: TickerState) {
        self.newest = state.newest;
        if self.clock != Clock::Wall {
            self.next = state.next;
        }
    }

    /// Whether messages say what time it is.
    pub fn by_messages(&self) -> bool {
        self.clock != Clock::Wall
    }

    /// What time it is for a script, where messages say it.
    pub fn now(&self) -> Option<i64> {
        self.newest.filter(|_| self.by_messages())
    }

    /// A message with that Timestamp comes. True when the timer may be due.
    #[inline]
    pub fn message(&mut self, timestamp: i64) -> bool {
        self.silent_since = None;
        if self.clock == Clock::Wall {
            self.until_look -= 1;
            // A message of the next interval belongs behind the tick.
            if self.until_look > 0 && self.next.is_some_and(|next| timestamp < next) {
                return false;
            }
            self.until_look = LOOK_EVERY;
            return self.interval > 0;
        }
        if self.newest.is_some_and(|newest| timestamp <= newest) {
            return false;
        }
        // One message from the future must not stop the clock until then.
        if timestamp > self.wall {
            self.wall = now_ns();
        }
        let timestamp = timestamp.min(self.wall);
        self.newest = Some(self.newest.map_or(timestamp, |newest| newest.max(timestamp)));
        if self.interval == 0 {
            return false;
        }
        let next = *self.next.get_or_insert_with(|| after(timestamp, self.interval));
        timestamp >= next
    }

    /// No message is there. True when the timer may be due.
    pub fn silence(&mut self) -> bool {
        if self.interval == 0 {
            return false;
        }
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        if self.clock == Clock::Auto && since.elapsed() >= SILENCE {
            self.wall = now_ns();
            self.newest = Some(self.newest.map_or(self.wall, |newest| newest.max(self.wall)));
            self.next.get_or_insert_with(|| after(self.wall, self.interval));
            return true;
        }
        self.clock == Clock::Wall
    }

    /// The next tick that is due; call it until it says no.
    pub fn due(&mut self) -> Option<i64> {
        let next = self.next.filter(|_| self.interval > 0)?;
        let now = match self.clock {
            Clock::Wall => now_ns(),
            _ => self.newest?,
        };
        if now < next {
            // The ticks until now are made up for: from here on the machine's clock counts.
            if self.clock == Clock::Auto && self.silent_since.is_some_and(|since| since.elapsed() >= SILENCE) {
                self.clock = Clock::Wall;
            }
            return None;
        }
        let missed = now.saturating_sub(next) / self.interval;
        let tick = |number: i64| next.saturating_add(number.saturating_mul(self.interval));
        let (due, following) = match self.clock {
            // A machine that was too busy is not made busier.
            Clock::Wall => (tick(missed), tick(missed + 1)),
            _ if missed >= MAX_TICKS => {
                report_once("gaps without messages", || {
                    format!("no messages for {missed} ticks: the timer is called for the first and the last of them")
                });
                (next, tick(missed))
            }
            _ => (next, tick(1)),
        };
        self.next = Some(following);
        Some(due)
    }

    /// When the timer is due though no message comes.
    pub fn wake_at(&self) -> Option<Instant> {
        if self.interval == 0 {
            return None;
        }
        match self.clock {
            Clock::Message => None,
            Clock::Auto => Some(self.silent_since? + SILENCE),
            Clock::Wall => {
                let wait = self.next?.saturating_sub(now_ns()).max(0);
                Some(Instant::now() + Duration::from_nanos(wait as u64))
            }
        }
    }

    /// The time of the call after the last message: when the interval in progress would have ended, if messages say what
    /// time it is.
    pub fn last(&self) -> i64 {
        match (self.clock, self.next) {
            (Clock::Wall, _) => now_ns(),
            (_, Some(next)) if self.interval > 0 => next,
            _ => self.newest.unwrap_or_else(now_ns),
        }
    }

    /// The last call was made.
    pub fn ended(&mut self) {
        if self.by_messages()
            && let Some(next) = &mut self.next
        {
            *next = next.saturating_add(self.interval);
        }
    }
}

/// The first multiple of the interval after a time.
fn after(ns: i64, interval: i64) -> i64 {
    match interval {
        0 => ns,
        _ => ns.saturating_sub(ns.rem_euclid(interval)).saturating_add(interval),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn ticks(ticker: &mut Ticker, second: i64) -> Vec<i64> {
        let due = ticker.message(second.saturating_mul(SECOND));
        let ticks: Vec<i64> = std::iter::from_fn(|| ticker.due().map(|ns| ns / SECOND)).collect();
        assert!(due || ticks.is_empty());
        ticks
    }

    #[test]
    fn messages_move_the_clock_and_every_tick_between_them_is_due() {
        let mut ticker = Ticker::new(Clock::Message, Duration::from_secs(60));
        assert!(ticks(&mut ticker, 1000).is_empty());
        assert!(ticks(&mut ticker, 1019).is_empty());
        assert_eq!(ticks(&mut ticker, 1020), [1020]);
        assert!(ticks(&mut ticker, 990).is_empty());
        assert_eq!(ticks(&mut ticker, 1200), [1080, 1140, 1200]);
        assert_eq!(ticker.last(), 1260 * SECOND);
        let mut later = Ticker::new(Clock::Message, Duration::from_secs(60));
        later.resume(ticker.state());
        assert_eq!(ticks(&mut later, 1321), [1260, 1320]);
    }

    #[test]
    fn the_future_does_not_stop_the_clock() {
        let mut ticker = Ticker::new(Clock::Message, Duration::from_secs(60));
        let now = now_ns() / SECOND;
        ticks(&mut ticker, now - 120);
        assert_eq!(ticks(&mut ticker, now + 1_000_000).len(), 2);
        assert!(ticker.last() <= now_ns() + 60 * SECOND);
        assert!(ticks(&mut ticker, i64::MAX).is_empty());
    }

    #[test]
    fn a_gap_of_years_takes_no_time() {
        let mut ticker = Ticker::new(Clock::Message, Duration::from_secs(1));
        assert!(ticks(&mut ticker, 10).is_empty());
        assert_eq!(ticks(&mut ticker, 1_000_000_000), [11, 1_000_000_000]);
        // A day of minutes is no such gap.
        let mut ticker = Ticker::new(Clock::Message, Duration::from_secs(60));
        assert!(ticks(&mut ticker, 0).is_empty());
        assert_eq!(ticks(&mut ticker, 86_400).len(), 1_440);
        assert_eq!(ticks(&mut ticker, 3 * 86_400), [86_460, 3 * 86_400]);
    }
}
