//! Sinks that are killed, terminated and started again, before a server that answers out of the whole table, closes,
//! resets, sleeps and forgets acks: each event is where the invariant says.
//!
//! HEKA_SINK_ROUNDS makes it longer than CI's; HEKA_SEED repeats a round: it is the first round's seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use heka::sink::answer::Meaning;
use serde_json::{Value as Json, json};

use crate::common::http::{Incoming, listen};
use crate::common::{Random, Workdir, payloads, setting};
use crate::{Answer, Keeps, Sink, firehose, hec, http, spooled, write_answer};

/// A sink, and the options of a round.
struct Variant {
    sink: &'static dyn Sink,
    command: fn(u16) -> String,
    answers: fn() -> Vec<Answer>,
    keeps: Keeps,
    ack: bool,
}

const HEC: &str = "--token-file token --index '%{Payload}' --max-batch-events 4 --timeout 1 --backup dead.hpb --drain 0.3 --checkpoint ck";
const HTTP: &str = "--batch 3 --timeout 1 --backup dead.hpb --drain 0.3 --checkpoint ck";

fn variants() -> [Variant; 6] {
    let hec = |command, keeps, ack| Variant { sink: &hec::Hec, command, answers: hec::answers, keeps, ack };
    let http =
        |command| Variant { sink: &http::Http, command, answers: http::answers, keeps: Keeps::Cursors, ack: false };
    [
        hec(|port| format!("heka-hec --url http://127.0.0.1:{port} {HEC}"), Keeps::Cursors, false),
        hec(
            |port| {
                format!(
                    "heka-hec --url http://127.0.0.1:{port} --url http://localhost:{port} --spool spool --gzip {HEC}"
                )
            },
            Keeps::Spool,
            false,
        ),
        hec(
            |port| format!("heka-hec --ack --ack-interval 0.1 --ack-timeout 0.5 --url http://127.0.0.1:{port} {HEC}"),
            Keeps::Cursors,
            true,
        ),
        http(|port| format!("heka-http --url http://127.0.0.1:{port} {HTTP}")),
        http(|port| format!("heka-http --in-flight 3 --gzip --url http://127.0.0.1:{port} {HTTP}")),
        Variant {
            sink: &firehose::Firehose,
            command: |port| firehose::command(port, "--checkpoint ck --backup dead.hpb --drain 2"),
            answers: firehose::answers,
            keeps: Keeps::Spool,
            ack: false,
        },
    ]
}

struct Server {
    random: Random,
    answers: Vec<Answer>,
    ack: bool,
    /// How often it may still misbehave.
    faults: u32,
    /// What waits for its ack, by channel and id.
    pending: BTreeMap<(String, u64), Vec<String>>,
    ids: BTreeMap<String, u64>,
    delivered: BTreeSet<String>,
    refused: BTreeSet<String>,
    repeated: u64,
    requests: u64,
}

enum Deed {
    Answer(Answer),
    /// The connection ends after so many bytes of an answer.
    Cut(&'static str),
    /// It is reset.
    Reset,
    /// No answer in time.
    Sleep,
}

fn is_bad(event: &str) -> bool {
    event.ends_with("bad")
}

impl Server {
    fn faulty(&mut self) -> bool {
        let now = self.faults > 0 && self.random.next().is_multiple_of(2);
        self.faults -= now as u32;
        now
    }

    fn take(&mut self, events: Vec<String>) {
        for event in events {
            self.repeated += !self.delivered.insert(event) as u64;
        }
    }

    fn request(&mut self, sink: &dyn Sink, request: &Incoming, events: Vec<String>) -> Deed {
        self.requests += 1;
        let ok =
            |body: String| Deed::Answer(Answer { status: 200, headers: String::new(), body, means: Meaning::Taken });
        if self.faulty() {
            match self.random.next() % 8 {
                0 => return Deed::Cut("HTTP/1.1 200 OK\r\nContent-Le"),
                // It has taken them, and nobody learns of it.
                1 => {
                    self.take(events);
                    return Deed::Cut("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"text\":");
                }
                2 => return Deed::Reset,
                3 => return Deed::Sleep,
                _ => {
                    let place = events.iter().position(|event| is_bad(event)).unwrap_or(0);
                    let number = self.random.next() as usize % self.answers.len();
                    let answer = sink.at(&self.answers[number], place);
                    // An answer that takes events is given below.
                    if answer.means != Meaning::Taken {
                        if matches!(answer.means, Meaning::Refused | Meaning::TooLarge) {
                            let named = answer.body.contains("invalid-event-number");
                            let named = named.then(|| events.get(place).cloned()).flatten();
                            let alone = (events.len() == 1).then(|| events[0].clone());
                            self.refused.extend(named.or(alone));
                        }
                        return Deed::Answer(answer);
                    }
                }
            }
        }
        // What is bad is refused, whenever it comes: by its number, or alone.
        if let Some(place) = events.iter().position(|event| is_bad(event)) {
            let (status, headers, body) = match sink.name() {
                "heka-hec" => (400, "", json!({"text": "bad", "code": 6, "invalid-event-number": place})),
                "heka-http" => (422, "", Json::Null),
                _ => {
                    (400, "Content-Type: application/x-amz-json-1.1\r\n", json!({"__type": "InvalidArgumentException"}))
                }
            };
            self.refused.insert(events[place].clone());
            let answer = Answer { status, headers: headers.into(), body: body.to_string(), means: Meaning::Refused };
            return Deed::Answer(answer);
        }
        if !self.ack {
            self.take(events);
            return ok(sink.success(request));
        }
        let channel = request.header("x-splunk-request-channel");
        let id = self.ids.entry(channel.clone()).or_default();
        self.pending.insert((channel, *id), events);
        *id += 1;
        ok(json!({"text": "Success", "code": 0, "ackId": *id - 1}).to_string())
    }

    /// What it says of the ids that it is asked for; some it forgets.
    fn acks(&mut self, request: &Incoming) -> Deed {
        if self.faulty() {
            return if self.random.next().is_multiple_of(2) { Deed::Cut("") } else { Deed::Sleep };
        }
        let channel = request.header("x-splunk-request-channel");
        let asked: Json = serde_json::from_slice(&request.body).unwrap();
        let mut acks = serde_json::Map::new();
        for id in asked["acks"].as_array().unwrap().iter().filter_map(Json::as_u64) {
            let known = self.pending.remove(&(channel.clone(), id));
            let forgets = self.faulty();
            acks.insert(id.to_string(), (known.is_some() && !forgets).into());
            if let Some(events) = known.filter(|_| !forgets) {
                self.take(events);
            }
        }
        let body = json!({ "acks": acks }).to_string();
        Deed::Answer(Answer { status: 200, headers: String::new(), body, means: Meaning::Taken })
    }
}

fn exchange(mut stream: &TcpStream, sink: &dyn Sink, server: &Mutex<Server>) -> Option<()> {
    let mut request = Incoming::read(stream)?;
    request.decompress();
    let deed = {
        let mut server = server.lock().unwrap();
        let asks = request.path.contains("/collector/ack");
        match (!asks).then(|| sink.events(&request)).flatten() {
            None if asks => server.acks(&request),
            Some(events) => server.request(sink, &request, events),
            None => Deed::Answer(Answer {
                status: 200,
                headers: String::new(),
                body: sink.success(&request),
                means: Meaning::Taken,
            }),
        }
    };
    match deed {
        Deed::Answer(answer) => write_answer(stream, answer.status, &answer.headers, &answer.body),
        Deed::Cut(bytes) => {
            let _ = stream.write_all(bytes.as_bytes());
            None
        }
        Deed::Reset => {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(std::net::Shutdown::Read);
            None
        }
        Deed::Sleep => {
            std::thread::sleep(Duration::from_millis(1300));
            None
        }
    }
}

/// What happened in all rounds.
#[derive(Default)]
struct Totals {
    events: AtomicU64,
    requests: AtomicU64,
    refused: AtomicU64,
    repeated: AtomicU64,
    kills: AtomicU64,
    stops: AtomicU64,
}

fn round(seed: u64, totals: &Totals) {
    let mut random = Random(seed);
    let variants = variants();
    let variant = &variants[random.next() as usize % variants.len()];
    let server = Arc::new(Mutex::new(Server {
        random: Random(random.next()),
        answers: (variant.answers)(),
        ack: variant.ack,
        faults: 10 + (random.next() % 10) as u32,
        pending: BTreeMap::new(),
        ids: BTreeMap::new(),
        delivered: BTreeSet::new(),
        refused: BTreeSet::new(),
        repeated: 0,
        requests: 0,
    }));
    let (shared, sink) = (server.clone(), variant.sink);
    let port = listen(move |stream| exchange(stream, sink, &shared));
    let command = (variant.command)(port);
    let dir = Workdir::new();
    dir.write("token", "s3cret\n");
    let count = 20 + random.next() % 30;
    let event = |n: u64| if n % 13 == 7 { format!("{n} bad") } else { n.to_string() };
    let all: Vec<String> = (0..count).map(event).collect();
    let mut ends = Vec::new();
    let mut said = String::new();
    let mut written = 0;
    let mut done = false;
    for run in 0..16 {
        // The log grows between runs.
        let upto = if run == 0 { count / 2 } else { count };
        dir.append("in.log", (written..upto).map(|n| event(n) + "\n").collect::<String>());
        written = upto;
        let mut running = dir.start(&format!(
            "heka-tail --checkpoint ck --commit sink in.log 2>> said | (echo $BASHPID > pid; exec {command}) 2>> said"
        ));
        let how = random.next() % 4;
        let time = Duration::from_millis(random.next() % 700);
        // In the end all is well.
        let calm = run >= 4;
        if calm {
            server.lock().unwrap().faults = 0;
        }
        let code = if how < 2 && !calm {
            std::thread::sleep(time);
            let signal = if how == 0 { "KILL" } else { "TERM" };
            let counter = if how == 0 { &totals.kills } else { &totals.stops };
            counter.fetch_add(1, Ordering::Relaxed);
            // The sink alone, or the whole pipe.
            if random.next().is_multiple_of(2) {
                running.signal(&format!("-{signal}"));
            } else {
                dir.sh(&format!("[ -e pid ] && kill -{signal} $(cat pid) 2> /dev/null; true"));
            }
            running.wait(Duration::from_secs(30)).code()
        } else {
            let until = Instant::now() + Duration::from_secs(40);
            while running.child.try_wait().unwrap().is_none() {
                let said = String::from_utf8_lossy(&dir.read("said")).into_owned();
                assert!(Instant::now() < until, "it doesn't end: HEKA_SEED={seed} {command}\nends {ends:?}\n{said}");
                std::thread::sleep(Duration::from_millis(10));
            }
            running.wait(Duration::ZERO).code()
        };
        ends.push((how, code));
        drop(running);
        said = String::from_utf8_lossy(&dir.read("said")).into_owned();
        let words = format!("HEKA_SEED={seed} {command}\nends {ends:?}\n{said}");
        check(&dir, variant, &server.lock().unwrap(), &all[..written as usize], &words);
        // What is refused makes the status 1; set aside it makes each later one 1.
        // Whatever its status is: a bad one that is alone waits for another one to be taken, and a busy machine may take
        // more than one run.
        let is_settled = || {
            let server = server.lock().unwrap();
            all.iter().all(|event| server.delivered.contains(event) || server.refused.contains(event))
        };
        if calm && is_settled() {
            done = true;
            break;
        }
    }
    let words = format!("HEKA_SEED={seed} {command}\nends {ends:?}\n{said}");
    assert!(done, "it never ended well: {words}");
    let server = server.lock().unwrap();
    for event in &all {
        let known = server.delivered.contains(event) || server.refused.contains(event);
        assert!(known, "{event} is missing: {words}");
    }
    assert!(!said.contains("internal error"), "{words}");
    totals.events.fetch_add(count, Ordering::Relaxed);
    totals.requests.fetch_add(server.requests, Ordering::Relaxed);
    totals.refused.fetch_add(server.refused.len() as u64, Ordering::Relaxed);
    totals.repeated.fetch_add(server.repeated, Ordering::Relaxed);
}

/// The invariant, after any end.
fn check(dir: &Workdir, variant: &Variant, server: &Server, events: &[String], words: &str) {
    let checkpoint: Option<Json> = serde_json::from_slice(&dir.read("ck")).ok();
    let committed = checkpoint
        .as_ref()
        .and_then(|checkpoint| checkpoint["streams"].as_object()?.values().next()?["sequence"].as_u64())
        .unwrap_or(0);
    let backup: BTreeSet<String> = payloads(&dir.read("dead.hpb")).into_iter().collect();
    let spool = match variant.keeps {
        Keeps::Spool => spooled(dir),
        _ => BTreeSet::new(),
    };
    let mut end = 0;
    for event in events {
        end += event.len() as u64 + 1;
        let safe =
            server.delivered.contains(event) || backup.contains(event) || spool.contains(event) || end > committed;
        assert!(safe, "{event} is nowhere: {words}");
    }
    for event in &backup {
        assert!(server.refused.contains(event), "{event} was never refused: {words}");
    }
}

#[test]
fn whatever_happens_each_event_is_where_it_should_be() {
    let rounds = setting("HEKA_SINK_ROUNDS", 24);
    let seed = setting("HEKA_SEED", 1_000_000);
    println!("HEKA_SEED={seed} HEKA_SINK_ROUNDS={rounds}");
    let (next, totals) = (AtomicU64::new(0), Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= rounds {
                        return;
                    }
                    round(seed + number, &totals);
                }
            });
        }
    });
    let Totals { events, requests, refused, repeated, kills, stops } = totals;
    println!(
        "{rounds} rounds: {events:?} events, {requests:?} requests, {refused:?} refused, {repeated:?} repeated, {kills:?} \
         killed, {stops:?} terminated"
    );
}
