//! How long to wait before the next attempt.

use std::time::{Duration, Instant};

use crate::message::uuid::random_u64;
use crate::pipeline::{Signals, WaitOn};

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// A server's Retry-After is honoured up to here.
const LONGEST_TOLD: Duration = Duration::from_secs(300);

/// Exponential backoff with full jitter: many clients of a server that comes back must not return at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After one more failure. A server may ask for more time, never for less: some say 0, or a date that has passed.
    pub fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        let own = ceiling.mul_f64((random_u64() >> 11) as f64 / (1u64 << 53) as f64);
        retry_after.map_or(own, |told| told.min(LONGEST_TOLD).max(own))
    }
}

/// Sleeps; false when a signal asks to stop.
pub fn sleep(time: Duration) -> bool {
    let Some(signals) = Signals::get() else {
        std::thread::sleep(time);
        return true;
    };
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if signals.stop_requested() {
            return false;
        }
        if left.is_zero() {
            return true;
        }
        signals.wait(WaitOn { timeout: Some(left), ..WaitOn::default() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_ceiling_and_the_server_wins() {
        let mut backoff = Backoff::default();
        for failures in 0..20u32 {
            let ceiling = Duration::from_millis(250 << failures.min(10)).min(LONGEST);
            assert!(backoff.next(None) <= ceiling);
        }
        assert!(backoff.next(Some(Duration::from_secs(37))) == Duration::from_secs(37));
        assert_eq!(backoff.next(Some(Duration::from_secs(7_000))), LONGEST_TOLD);
        // A server that says 0 is not hammered.
        let waits: Duration = (0..20).map(|_| backoff.next(Some(Duration::ZERO))).sum();
        assert!(waits > Duration::from_secs(20), "{waits:?}");
    }
}
