//! Every answer that a server can give, to each sink that has a server, in each way of keeping messages, while it runs
//! and when it is stopped: where each event is afterwards.
//!
//! The invariant: after any end an event is delivered, or at its source, or in the spool, or was refused by itself and is
//! in the backup (or nothing but the backup keeps it); and the exit status is 0 only if all are delivered.

#[path = "../common/mod.rs"]
mod common;
mod firehose;
mod hec;
mod http;
mod kinds;
mod proxies;
mod rounds;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use common::http::{Incoming, listen};
use common::{Workdir, eventually, payloads};
use heka::sink::answer::Meaning;

/// What keeps messages that are not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// A source that can read again, and a backup.
    Cursors,
    /// A spool, and a backup.
    Spool,
    /// A backup alone.
    Backup,
    Nothing,
}

/// What a server says.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
    pub means: Meaning,
}

/// How a sink is run and its server understood.
pub trait Sink: Sync {
    fn name(&self) -> &'static str;
    fn keeps(&self) -> &'static [Keeps];
    /// The command that sends `in.hpb` to that port.
    fn command(&self, port: u16, keeps: Keeps, drain: f32) -> String;
    /// The events of a request; `None` for requests that have none and are answered by the test's server itself.
    fn events(&self, request: &Incoming) -> Option<Vec<String>>;
    /// What the server says when all is well.
    fn success(&self, request: &Incoming) -> String;
    /// The answer, where it depends on the place of the bad event.
    fn at(&self, answer: &Answer, place: usize) -> Answer;
}

pub const BAD: &str = "bad";
const EVENTS: [&str; 6] = ["one", "two", BAD, "three", "four", "five"];

/// What a server has seen and taken.
#[derive(Default)]
pub struct Seen {
    pub requests: usize,
    pub delivered: BTreeSet<String>,
    /// Answers that were not success.
    pub told: usize,
}

pub fn write_answer(mut stream: &TcpStream, status: u16, headers: &str, body: &str) -> Option<()> {
    let length = if status == 204 || status == 304 { 0 } else { body.len() };
    let body = &body[..length];
    write!(stream, "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}").ok()
}

/// A server that gives `answer` to requests for which `wrong` says so, and takes the others.
fn server(
    sink: &'static dyn Sink,
    answer: Answer,
    wrong: impl Fn(&[String], usize) -> bool + Send + Sync + 'static,
) -> (u16, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = seen.clone();
    let port = listen(move |stream| {
        let request = Incoming::read(stream)?;
        let Some(events) = sink.events(&request) else {
            return write_answer(stream, 200, "", &sink.success(&request));
        };
        let mut seen = shared.lock().unwrap();
        seen.requests += 1;
        if wrong(&events, seen.told) {
            seen.told += 1;
            let place = events.iter().position(|event| event == BAD).unwrap_or(0);
            let answer = sink.at(&answer, place);
            if answer.means == Meaning::Taken {
                seen.delivered.extend(events);
            }
            return write_answer(stream, answer.status, &answer.headers, &answer.body);
        }
        seen.delivered.extend(events);
        write_answer(stream, 200, "", &sink.success(&request))
    });
    (port, seen)
}

/// Where events are.
#[derive(Debug)]
struct Places {
    delivered: BTreeSet<String>,
    backup: BTreeSet<String>,
    spool: BTreeSet<String>,
    /// Not committed.
    source: BTreeSet<String>,
    /// So many were read from the file.
    read: usize,
    exit: i32,
    said: String,
}

fn set<'a>(events: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    events.into_iter().map(str::to_string).collect()
}

/// The input: framed messages, with cursors if a source can read again.
fn prepare(dir: &Workdir, keeps: Keeps) {
    static INPUTS: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (with_cursors, without) = INPUTS.get_or_init(|| {
        let dir = Workdir::new();
        dir.write("in.log", EVENTS.map(|event| format!("{event}\n")).concat());
        // Messages of a network have no cursors.
        let inject = format!("for p in {}; do heka-inject --payload $p; done", EVENTS.join(" "));
        (dir.sh("heka-tail in.log").ok().stdout, dir.sh(&inject).ok().stdout)
    });
    dir.write("token", "s3cret\n");
    let rereadable = matches!(keeps, Keeps::Cursors | Keeps::Spool);
    dir.write("in.hpb", if rereadable { with_cursors } else { without });
}

/// Payloads of a spool's files: streams, or lines.
fn spooled(dir: &Workdir) -> BTreeSet<String> {
    let files = std::fs::read_dir(dir.path("spool")).into_iter().flatten().flatten();
    let mut found = BTreeSet::new();
    for file in files.filter(|file| file.file_name() != ".lock") {
        let bytes = std::fs::read(file.path()).unwrap();
        if bytes.first() == Some(&0x1e) {
            found.extend(payloads(&bytes));
        } else {
            found.extend(String::from_utf8(bytes).unwrap().lines().map(str::to_string));
        }
    }
    found
}

fn places(dir: &Workdir, seen: &Mutex<Seen>, exit: i32, said: String) -> Places {
    // A cursor's sequence is where the next record begins.
    let checkpoint: Option<serde_json::Value> = serde_json::from_slice(&dir.read("ck")).ok();
    let committed = checkpoint
        .as_ref()
        .and_then(|checkpoint| checkpoint["streams"].as_object()?.values().next()?["sequence"].as_u64());
    let mut end = 0;
    let mut source = BTreeSet::new();
    for event in EVENTS {
        end += event.len() as u64 + 1;
        if end > committed.unwrap_or(0) {
            source.insert(event.to_string());
        }
    }
    let stats = said.lines().find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let read = stats.and_then(|stats| stats["messages_in"].as_u64()).unwrap_or(0) as usize;
    let delivered = seen.lock().unwrap().delivered.clone();
    let backup = payloads(&dir.read("dead.hpb")).into_iter().collect();
    Places { delivered, backup, spool: spooled(dir), source, read, exit, said }
}

/// One cell: an answer while the sink runs. The bad event's requests get it; what may pass passes after two times.
fn running(sink: &'static dyn Sink, answer: &Answer, keeps: Keeps) -> Result<(), String> {
    let passes = matches!(answer.means, Meaning::Wait | Meaning::Unclear | Meaning::Taken);
    // Credentials that have expired are read anew once.
    let times = match answer.means {
        Meaning::Expired => 1,
        _ if passes => 2,
        _ => usize::MAX,
    };
    let wrong = move |events: &[String], told: usize| told < times && events.iter().any(|event| event == BAD);
    let (port, seen) = server(sink, answer.clone(), wrong);
    let dir = Workdir::new();
    prepare(&dir, keeps);
    let ran = dir.sh(&format!("timeout -s KILL 60 {}", sink.command(port, keeps, 8.0)));
    let places = places(&dir, &seen, ran.code(), ran.stderr);
    let all = set(EVENTS);
    let good = set(EVENTS.into_iter().filter(|event| *event != BAD));
    let expected = match answer.means {
        Meaning::Taken | Meaning::Wait | Meaning::Unclear | Meaning::Expired => {
            places.exit == 0 && places.delivered == all && places.backup.is_empty() && places.spool.is_empty()
        }
        Meaning::Refused | Meaning::TooLarge => {
            let kept = match keeps {
                Keeps::Nothing => places.backup.is_empty(),
                // What a stream has refused is set aside in its spool.
                _ if sink.name() == "heka-firehose" => places.spool == set([BAD]),
                _ => places.backup == set([BAD]) && places.spool.is_empty(),
            };
            places.exit == 1 && places.delivered == good && kept
        }
        Meaning::Closed => places.exit == 3 && !places.delivered.contains(BAD),
    };
    check(sink, answer, keeps, "running", &places, expected)
}

/// One cell: the only answer there is, and SIGTERM after the first.
fn stopped(sink: &'static dyn Sink, answer: &Answer, keeps: Keeps) -> Result<(), String> {
    let (port, seen) = server(sink, answer.clone(), |_, _| true);
    let dir = Workdir::new();
    prepare(&dir, keeps);
    let mut running = dir.start(&format!("exec {} 2> said", sink.command(port, keeps, 0.2)));
    eventually("a request has been answered", || {
        seen.lock().unwrap().told > 0 || running.child.try_wait().unwrap().is_some()
    });
    running.signal("-TERM");
    let status = running.wait(Duration::from_secs(20));
    let said = String::from_utf8_lossy(&dir.read("said")).into_owned();
    let places = places(&dir, &seen, status.code().unwrap_or(-1), said);
    let expected = match answer.means {
        Meaning::Taken => places.exit == 0 || places.exit == 1,
        Meaning::Wait | Meaning::Unclear => places.exit == 1 && places.delivered.is_empty(),
        // Whatever it refuses it has taken nothing: it may be the wrong server. If the signal came first, it was not all.
        Meaning::Refused | Meaning::TooLarge => {
            let fair = keeps != Keeps::Cursors || places.backup.is_empty();
            [1, 3].contains(&places.exit) && places.delivered.is_empty() && fair
        }
        Meaning::Closed | Meaning::Expired => [1, 3].contains(&places.exit) && places.delivered.is_empty(),
    };
    check(sink, answer, keeps, "SIGTERM", &places, expected)
}

/// What holds in every cell, whatever the answer is.
fn check(
    sink: &dyn Sink,
    answer: &Answer,
    keeps: Keeps,
    when: &str,
    places: &Places,
    expected: bool,
) -> Result<(), String> {
    let safe = |(place, event): (usize, &str)| {
        let there = |set: &BTreeSet<String>| set.contains(event);
        let kept = match keeps {
            Keeps::Cursors => there(&places.source),
            Keeps::Spool => there(&places.spool) || there(&places.source),
            // The run ended before it was read.
            Keeps::Backup => place >= places.read,
            // Nothing keeps it: the exit status has to say so.
            Keeps::Nothing => places.exit != 0,
        };
        there(&places.delivered) || there(&places.backup) || kept
    };
    let lost: Vec<&str> = EVENTS.into_iter().enumerate().filter(|cell| !safe(*cell)).map(|(_, event)| event).collect();
    let refused = matches!(answer.means, Meaning::Refused | Meaning::TooLarge);
    let fair = keeps == Keeps::Backup || refused || places.backup.is_empty();
    let honest = places.exit != 0 || EVENTS.into_iter().all(|event| places.delivered.contains(event));
    if expected && lost.is_empty() && fair && honest && !places.said.contains("internal error") {
        return Ok(());
    }
    Err(format!("{} {keeps:?} {when} {answer:?}: lost {lost:?}, {places:?}", sink.name()))
}

/// All cells of a table, some at a time: they wait most of the time. Answers how many there are.
fn all_cells(sink: &'static dyn Sink, answers: &[Answer]) -> usize {
    type Cell<'a> = (&'a Answer, Keeps, fn(&'static dyn Sink, &Answer, Keeps) -> Result<(), String>);
    let mut cells: Vec<Cell<'_>> = Vec::new();
    for answer in answers {
        for &keeps in sink.keeps() {
            cells.push((answer, keeps, running));
            cells.push((answer, keeps, stopped));
        }
    }
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some((answer, keeps, cell)) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(words) = cell(sink, answer, *keeps) {
                        failed.lock().unwrap().push(words);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} cells:\n{}", failed.len(), cells.len(), failed.join("\n"));
    println!("{}: {} answers, {} cells", sink.name(), answers.len(), cells.len());
    cells.len()
}

/// Statuses that are seen in the wild, with a page that says nothing of its own.
pub fn pages() -> Vec<(u16, &'static str)> {
    let statuses = (200..207)
        .chain(300..309)
        .chain(400..419)
        .chain([421, 422, 423, 424, 425, 426, 428, 429, 431, 440, 444, 451, 460, 494, 495, 497, 498, 499])
        .chain(500..512)
        .chain([520, 521, 522, 523, 524, 525, 526, 527, 530, 561, 598, 599]);
    statuses.map(|status| (status, "<html><h1>A page of a proxy</h1></html>")).collect()
}

#[test]
fn the_guide_has_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/answers.md");
    let guide = std::fs::read_to_string(&path).unwrap();
    let (text, table) = guide.split_once("<!-- the table -->\n").unwrap();
    let made = heka::sink::answer::guide();
    if std::env::var_os("HEKA_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{text}<!-- the table -->\n{made}")).unwrap();
        return;
    }
    assert_eq!(table, made, "docs/answers.md is stale: make docs");
}
