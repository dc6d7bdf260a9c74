//! heka-hec against servers that misbehave at random: nothing is lost, nothing good is given up, nothing is sent again that
//! the server has confirmed.
//!
//! HEKA_HEC_ROUNDS makes it longer than CI's; HEKA_SEED repeats a round: it is the first round's seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::http::{Incoming, listen};
use crate::common::{Random, Workdir, payloads, setting};

/// A channel of the server: what waits there to be acknowledged, and after how many questions it will be (none: never).
#[derive(Default)]
struct Channel {
    next: u64,
    pending: BTreeMap<u64, (Option<u32>, Vec<String>)>,
}

struct Server {
    random: Random,
    ack: bool,
    /// How often it may still misbehave.
    faults: u32,
    channels: BTreeMap<String, Channel>,
    /// Events that the client knows to be taken.
    confirmed: BTreeSet<String>,
    /// Events that came again though they were confirmed.
    repeated: Vec<String>,
    requests: u32,
}

/// What becomes of a request.
enum Deed {
    /// Status line's version and status, headers, body.
    Answer(&'static str, u16, &'static str, String),
    /// The connection ends, after some bytes of an answer.
    Cut(&'static str),
    /// No answer for longer than the client waits.
    Hang,
}

fn answer(status: u16, body: &str) -> Deed {
    Deed::Answer("1.1", status, "", body.to_string())
}

impl Server {
    fn chance(&mut self, one_of: u64) -> bool {
        self.random.next().is_multiple_of(one_of)
    }

    fn misbehaves(&mut self) -> bool {
        let now = self.faults > 0 && self.chance(2);
        self.faults -= now as u32;
        now
    }

    /// Takes events; answers what the client is told.
    fn take(&mut self, channel: &str, events: &[String], never: bool) -> String {
        if !self.ack {
            return r#"{"text":"Success","code":0}"#.into();
        }
        let after = (self.random.next() % 3) as u32;
        let channel = self.channels.entry(channel.to_string()).or_default();
        channel.pending.insert(channel.next, ((!never).then_some(after), events.to_vec()));
        channel.next += 1;
        format!(r#"{{"text":"Success","code":0,"ackId":{}}}"#, channel.next - 1)
    }

    fn events(&mut self, channel: &str, events: Vec<String>) -> Deed {
        self.requests += 1;
        let again = events.iter().filter(|event| self.confirmed.contains(*event)).cloned();
        self.repeated.extend(again.collect::<Vec<_>>());
        if self.misbehaves() {
            match self.random.next() % 12 {
                0 => return answer(503, r#"{"text":"Server is busy","code":9}"#),
                1 => return Deed::Answer("1.1", 429, "Retry-After: 0\r\n", String::new()),
                2 => return answer(500, r#"{"text":"Internal server error","code":8}"#),
                3 => return answer(502, "<html>"),
                // It takes them, but nobody learns of it.
                4 => {
                    self.take(channel, &events, false);
                    return Deed::Cut("");
                }
                5 => {
                    self.take(channel, &events, false);
                    return Deed::Cut("HTTP/1.1 200 OK\r\nContent-Le");
                }
                6 => return Deed::Cut(""),
                7 => {
                    self.take(channel, &events, false);
                    return Deed::Hang;
                }
                8 if events.len() > 1 => return answer(413, ""),
                // It begins anew and has forgotten all.
                9 => self.channels.clear(),
                10 if self.ack => {
                    let taken = self.take(channel, &events, true);
                    return answer(200, &taken);
                }
                11 => return answer(504, "<html>"),
                _ => {}
            }
        }
        if let Some(number) = events.iter().position(|event| event.starts_with("bad")) {
            let text = format!(r#"{{"text":"Invalid data format","code":6,"invalid-event-number":{number}}}"#);
            return answer(400, &text);
        }
        let taken = self.take(channel, &events, false);
        if !self.ack {
            self.confirmed.extend(events);
        }
        let version = if self.chance(4) { "1.0" } else { "1.1" };
        Deed::Answer(version, 200, "Set-Cookie: node=a1; Path=/\r\n", taken)
    }

    fn acks(&mut self, channel: &str, ids: &[u64]) -> Deed {
        if self.misbehaves() {
            match self.random.next() % 3 {
                0 => return answer(503, ""),
                1 => return Deed::Cut(""),
                // What it would have told is forgotten.
                _ => {
                    self.channels.entry(channel.to_string()).or_default().pending.retain(|id, _| !ids.contains(id));
                    return Deed::Cut("HTTP/1.1 200 OK\r\n");
                }
            }
        }
        let known = self.channels.entry(channel.to_string()).or_default();
        let mut told = serde_json::Map::new();
        for id in ids {
            let done = match known.pending.get_mut(id) {
                Some((Some(0), _)) => true,
                Some((Some(after), _)) => {
                    *after -= 1;
                    false
                }
                _ => false,
            };
            if let Some((_, events)) = done.then(|| known.pending.remove(id)).flatten() {
                self.confirmed.extend(events);
            }
            told.insert(id.to_string(), done.into());
            // What was not asked for must not count.
            told.insert((id + 1).to_string(), told.get(&(id + 1).to_string()).cloned().unwrap_or(false.into()));
        }
        told.insert("99999".into(), true.into());
        answer(200, &serde_json::json!({ "acks": told }).to_string())
    }
}

fn serve(mut stream: &TcpStream, server: &Mutex<Server>) -> Option<()> {
    let mut request = Incoming::read(stream)?;
    request.decompress();
    let text = request.text();
    let channel = request.header("x-splunk-request-channel");
    let mut locked = server.lock().unwrap();
    let deed = if request.path.contains("/collector/ack") {
        let asked: serde_json::Value = serde_json::from_str(&text).ok()?;
        let ids: Vec<u64> = asked["acks"].as_array()?.iter().filter_map(serde_json::Value::as_u64).collect();
        locked.acks(&channel, &ids)
    } else {
        let events = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
        let events = events.map(|event| event.unwrap()["event"].as_str().unwrap().to_string()).collect();
        locked.events(&channel, events)
    };
    match deed {
        Deed::Answer(version, status, headers, body) => {
            // Told while it is locked: what is confirmed must not come again afterwards.
            let length = if version == "1.0" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
            write!(stream, "HTTP/{version} {status} X\r\n{length}{headers}\r\n{body}").ok()?;
            (version == "1.1").then_some(())
        }
        Deed::Cut(bytes) => {
            let _ = stream.write_all(bytes.as_bytes());
            None
        }
        Deed::Hang => {
            drop(locked);
            std::thread::sleep(Duration::from_millis(1500));
            None
        }
    }
}

fn round(seed: u64) {
    let mut random = Random(seed);
    let (ack, lines) = (random.next().is_multiple_of(2), 20 + random.next() % 60);
    let server = Server {
        random: Random(random.next()),
        ack,
        faults: 15,
        channels: BTreeMap::new(),
        confirmed: BTreeSet::new(),
        repeated: Vec::new(),
        requests: 0,
    };
    let server = Arc::new(Mutex::new(server));
    let dir = Workdir::new();
    dir.write("token", "s3cret\n");
    let event = |n: u64| if n % 29 == 7 { format!("bad {n}") } else { format!("n {n}") };
    dir.write("in.log", (0..lines).map(|n| event(n) + "\n").collect::<String>());
    let mut options =
        vec!["--max-batch-events 5 --timeout 1 --drain 100 --backup dead.hpb --max-attempts 0".to_string()];
    // One server by two names, or one.
    let served = server.clone();
    let port = listen(move |stream| serve(stream, &served));
    options.push(format!("--url http://127.0.0.1:{port}"));
    for (wanted, option) in [
        (ack, "--ack --ack-timeout 1 --ack-interval 0.25".to_string()),
        (random.next().is_multiple_of(2), format!("--url http://localhost:{port}")),
        (random.next().is_multiple_of(2), "--gzip".into()),
        (random.next().is_multiple_of(2), "--spool spool".into()),
        (random.next().is_multiple_of(2), "--rotate-after 3".into()),
        (random.next().is_multiple_of(2), "--in-flight 1".into()),
    ] {
        if wanted {
            options.push(option);
        }
    }
    let options = options.join(" ");
    let ran = dir.sh(&format!(
        "heka-tail in.log | timeout -s KILL 120 heka-hec --token-file token --checkpoint ck --stats {options}"
    ));
    let words = format!("HEKA_SEED={seed} {options}\n{}", ran.stderr);
    let server = server.lock().unwrap();
    let (bad, good): (Vec<String>, Vec<String>) = (0..lines).map(event).partition(|event| event.starts_with("bad"));
    assert_eq!(server.confirmed, good.iter().cloned().collect(), "{words}");
    assert_eq!(server.repeated, Vec::<String>::new(), "{words}");
    let mut dead = payloads(&dir.read("dead.hpb"));
    dead.sort_by_key(|text| text[4..].parse::<u64>().unwrap());
    assert_eq!(dead, bad, "{words}");
    assert_eq!(ran.code(), !bad.is_empty() as i32, "{words}");
    let delivered = format!("\"events_delivered\":{},", good.len());
    assert!(ran.stderr.contains(&delivered) && ran.stderr.contains("\"events_not_delivered\":0"), "{words}");
    let size = dir.read("in.log").len();
    assert!(String::from_utf8(dir.read("ck")).unwrap().contains(&format!("\"sequence\":{size}")), "{words}");
    let left = std::fs::read_dir(dir.path("spool"))
        .map_or(0, |files| files.flatten().filter(|file| file.file_name() != ".lock").count());
    assert_eq!(left, 0, "{words}");
}

#[test]
fn random_misbehaviour_loses_nothing_and_repeats_nothing_that_was_confirmed() {
    let rounds = setting("HEKA_HEC_ROUNDS", 24);
    let seed = setting("HEKA_SEED", 1_000_000);
    println!("HEKA_SEED={seed} HEKA_HEC_ROUNDS={rounds}");
    let next = AtomicU64::new(0);
    // They wait most of the time.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= rounds {
                        return;
                    }
                    round(seed + number);
                }
            });
        }
    });
}
