//! How long calls take.

use std::time::Duration;

/// Sixteen buckets for each doubling: a percentile is right to some 4 %.
const PER_DOUBLING: f64 = 16.0;

/// Durations, counted by size.
#[derive(Default)]
pub struct Timings {
    buckets: Vec<u64>,
    count: u64,
    sum: Duration,
    longest: Duration,
}

impl Timings {
    pub fn add(&mut self, duration: Duration) {
        let bucket = ((duration.as_nanos().max(1) as f64).log2() * PER_DOUBLING) as usize;
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.sum += duration;
        self.longest = self.longest.max(duration);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many there are, and what they took together.
    pub fn sum(&self) -> (u64, Duration) {
        (self.count, self.sum)
    }

    /// Nanoseconds.
    pub fn mean(&self) -> u64 {
        (self.sum.as_nanos() / u128::from(self.count.max(1))) as u64
    }

    /// Nanoseconds that this part of the calls did not exceed.
    pub fn percentile(&self, part: f64) -> u64 {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                let upper = 2f64.powf((bucket + 1) as f64 / PER_DOUBLING);
                return (upper as u64).min(self.max());
            }
        }
        0
    }

    /// Nanoseconds of the longest call.
    pub fn max(&self) -> u64 {
        self.longest.as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_close() {
        let mut timings = Timings::default();
        (1..=1000).for_each(|micros| timings.add(Duration::from_micros(micros)));
        assert_eq!((timings.count(), timings.mean(), timings.max()), (1000, 500_500, 1_000_000));
        for (part, expected) in [(0.5, 500_000.0), (0.99, 990_000.0)] {
            let found = timings.percentile(part) as f64;
            assert!((found / expected - 1.0).abs() < 0.05, "{part}: {found}");
        }
        assert_eq!(Timings::default().percentile(0.5), 0);
    }
}
