//! The last resort against a library call that never returns, which no instruction count sees.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use crate::pipeline::{Exit, report};

/// A call may take so long; with the default limits an ordinary one ends within some 10 ms.
const PATIENCE: u32 = 10;

static HEARTBEATS: Mutex<Vec<Arc<AtomicU64>>> = Mutex::new(Vec::new());

/// Counts the beginnings and ends of a sandbox's calls: odd means inside.
pub struct Heartbeat(Option<Arc<AtomicU64>>);

impl Heartbeat {
    /// `watched` is false for a script without an instruction limit.
    pub fn new(watched: bool) -> Heartbeat {
        if !watched {
            return Heartbeat(None);
        }
        let beats = Arc::new(AtomicU64::new(0));
        if let Ok(mut all) = HEARTBEATS.lock() {
            all.push(beats.clone());
        }
        static WATCH: Once = Once::new();
        WATCH.call_once(|| {
            let _ = std::thread::Builder::new().name("watchdog".into()).stack_size(64 * 1024).spawn(watch);
        });
        Heartbeat(Some(beats))
    }

    #[inline]
    pub fn enter(&self) {
        self.beat();
    }

    #[inline]
    pub fn leave(&self) {
        self.beat();
    }

    #[inline]
    fn beat(&self) {
        if let Some(beats) = &self.0 {
            // Only this thread writes, so no read-modify-write is needed.
            beats.store(beats.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        if let (Some(beats), Ok(mut all)) = (&self.0, HEARTBEATS.lock()) {
            all.retain(|other| !Arc::ptr_eq(other, beats));
        }
    }
}

fn watch() {
    let mut seen: Vec<(usize, u64, u32)> = Vec::new();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let Ok(all) = HEARTBEATS.lock() else { return };
        let mut now = Vec::with_capacity(all.len());
        for beats in all.iter() {
            let (id, count) = (Arc::as_ptr(beats) as usize, beats.load(Ordering::Relaxed));
            let before = seen.iter().find(|(other, last, _)| *other == id && *last == count);
            let seconds = if count % 2 == 1 { before.map_or(0, |(_, _, seconds)| seconds + 1) } else { 0 };
            if seconds >= PATIENCE {
                report(&format!(
                    "a sandbox was terminated: instruction_limit exceeded (one library call took over {PATIENCE} seconds)"
                ));
                std::process::exit(Exit::Failed as i32);
            }
            now.push((id, count, seconds));
        }
        seen = now;
    }
}
