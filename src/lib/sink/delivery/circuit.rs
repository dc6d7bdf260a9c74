//! A server that fails is left alone for a while, by all threads that talk to it.

use std::time::{Duration, Instant};

use crate::sink::Backoff;

/// Whether a server may be asked for something now. After a failure nobody may for a time that grows; then one request
/// goes ahead, and only if it succeeds the others follow.
#[derive(Debug, Default)]
pub struct Circuit {
    backoff: Backoff,
    /// None while all is well.
    until: Option<Instant>,
    /// One request has gone ahead.
    probing: bool,
}

impl Circuit {
    pub fn allows(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now && !self.probing)
    }

    /// Whether the last request succeeded, as far as is known.
    pub fn is_well(&self) -> bool {
        self.until.is_none()
    }

    /// When it may be asked again; none while all is well, or while one request has gone ahead.
    pub fn until(&self) -> Option<Instant> {
        self.until.filter(|_| !self.probing)
    }

    /// A request is made.
    pub fn begin(&mut self) {
        self.probing = self.until.is_some();
    }

    /// The server answered as it should.
    pub fn success(&mut self) {
        *self = Circuit::default();
    }

    /// The server couldn't be reached, or can't take anything now; what it said of when wins.
    pub fn failure(&mut self, retry_after: Option<Duration>) {
        // Of requests that were under way together the first to fail counts.
        if self.until.is_none() || self.probing {
            self.until = Some(Instant::now() + self.backoff.next(retry_after));
            self.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_one_request_goes_ahead() {
        let mut circuit = Circuit::default();
        let now = Instant::now();
        assert!(circuit.allows(now) && circuit.until().is_none());
        circuit.begin();
        circuit.failure(Some(Duration::from_secs(5)));
        circuit.failure(Some(Duration::from_secs(50)));
        let later = now + Duration::from_secs(6);
        assert!(!circuit.allows(now) && circuit.allows(later) && circuit.until() < Some(later));
        circuit.begin();
        assert!(!circuit.allows(later));
        circuit.failure(Some(Duration::from_secs(50)));
        assert!(!circuit.allows(later) && circuit.until() > Some(later));
        circuit.begin();
        circuit.success();
        assert!(circuit.allows(now));
    }
}
