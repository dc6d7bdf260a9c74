//! What a program says on stderr: one line an error, repeated ones counted, and the statistics line.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::stream::Gap;

static PROGRAM: OnceLock<String> = OnceLock::new();
/// What tells this run from others of the same program.
static LABEL: OnceLock<String> = OnceLock::new();
static SEEN: Mutex<Option<HashMap<&'static str, Seen>>> = Mutex::new(None);

/// What comes again and again is told again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// How often a kind came.
struct Seen {
    count: u64,
    /// Of these, so many were told or counted in a line.
    told: u64,
    at: Instant,
}

/// Sets the name that begins every line.
pub fn set_program(name: &str) {
    let _ = PROGRAM.set(name.to_string());
}

/// Sets what stands in brackets behind the name.
pub fn set_label(label: &str) {
    let _ = LABEL.set(label.to_string());
}

fn program() -> &'static str {
    PROGRAM.get().map_or("heka", String::as_str)
}

/// One line on stderr. Control characters that came from outside are shown, not obeyed.
pub fn report(message: &str) {
    let mut line = program().to_string();
    if let Some(label) = LABEL.get() {
        line.push_str(&format!("[{label}]"));
    }
    line.push_str(": ");
    for c in message.chars() {
        match c {
            '\n' | '\r' => line.push(' '),
            '\t' => line.push('\t'),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line.push('\n');
    // Nobody to tell if stderr is gone.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The first of its kind is reported, and then one a minute, with how many came since; the last ones are counted at the end
/// (see [`summarize`]).
pub fn report_once(kind: &'static str, message: impl FnOnce() -> String) {
    report_some(kind, 1, message);
}

/// A gap in a stream: each is reported, unless there are so many that nobody would read them.
pub fn report_gap(source: &str, gap: &Gap) {
    report_some("gaps in a stream", 10, || format!("{source}: {gap}"));
}

fn report_some(kind: &'static str, limit: u64, message: impl FnOnce() -> String) {
    let more = {
        let Ok(mut seen) = SEEN.lock() else { return };
        let now = Instant::now();
        let seen = seen.get_or_insert_default().entry(kind).or_insert(Seen { count: 0, told: 0, at: now });
        seen.count += 1;
        if seen.count > limit && now < seen.at + AGAIN {
            return;
        }
        let more = seen.count - seen.told - 1;
        (seen.told, seen.at) = (seen.count, now);
        more
    };
    match more {
        0 => report(&message()),
        more => report(&format!("{}; {kind}: {more} more since the last line", message())),
    }
}

/// Says in other words how many of a kind came.
pub fn report_total(kind: &'static str, message: &str) {
    if let Some(seen) = SEEN.lock().ok().as_mut().and_then(|seen| seen.as_mut()) {
        seen.remove(kind);
    }
    report(message);
}

/// At the end: how many of each kind were not reported.
pub fn summarize() {
    let Some(seen) = SEEN.lock().ok().and_then(|mut seen| seen.take()) else { return };
    let mut kinds: Vec<_> = seen.into_iter().filter(|(_, seen)| seen.count > seen.told).collect();
    kinds.sort_by_key(|(kind, _)| *kind);
    for (kind, seen) in kinds {
        report(&format!("{kind}: {} more", seen.count - seen.told));
    }
}

/// Counters for `--stats` and SIGUSR1: one JSON object on a line.
#[derive(Clone, Default)]
pub struct Stats(serde_json::Map<String, serde_json::Value>);

impl Stats {
    pub fn set(&mut self, name: &str, value: u64) -> &mut Self {
        self.0.insert(name.to_string(), value.into());
        self
    }

    pub fn print(&self) {
        let mut object = serde_json::Map::new();
        object.insert("program".into(), program().into());
        object.extend(LABEL.get().map(|label| ("label".to_string(), label.as_str().into())));
        object.extend(self.0.clone());
        let line = format!("{}\n", serde_json::Value::Object(object));
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
