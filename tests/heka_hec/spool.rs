//! heka-hec: several servers, channels, the spool, scripts that make events, and the library that many send with.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::http::{Incoming, listen};
use crate::common::{Background, Random, Workdir, eventually, field, messages, payloads, setting};

/// A server that gets each request, and answers with more headers and a body; or closes the connection.
fn serve(answer: impl FnMut(&Incoming) -> Option<(String, String)> + Send + 'static) -> u16 {
    let answer = Mutex::new(answer);
    listen(move |mut stream| {
        let request = Incoming::read(stream)?;
        let (status, text) = (answer.lock().unwrap())(&request)?;
        write!(stream, "HTTP/1.1 {status}Content-Length: {}\r\n\r\n{text}", text.len()).ok()
    })
}

const OK: &str = "200 OK\r\n";
const TAKEN: &str = r#"{"text":"Success","code":0}"#;

fn taken() -> Option<(String, String)> {
    Some((OK.into(), TAKEN.into()))
}

/// Numbers of the events in a body.
fn numbers(request: &Incoming) -> Vec<u64> {
    let events = serde_json::Deserializer::from_slice(&request.body).into_iter::<serde_json::Value>();
    events.map(|event| event.unwrap()["event"].as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_channel_keeps_to_its_server_and_its_cookies() {
    let dir = Workdir::new();
    dir.write("token", "s3cret\n");
    // Each of two servers answers for a node behind it, by a cookie; acks are known where the batch was taken.
    let wrong = Arc::new(Mutex::new(Vec::new()));
    let server = |name: &'static str, wrong: Arc<Mutex<Vec<String>>>| {
        let (mut nodes, mut known) = (0, BTreeSet::<(String, String, u64)>::new());
        serve(move |request| {
            let (channel, cookie) = (request.header("x-splunk-request-channel"), request.header("cookie"));
            if request.path.contains("/ack?") {
                let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                let mut acks = serde_json::Map::new();
                for id in asked["acks"].as_array().unwrap() {
                    let here = known.contains(&(channel.clone(), cookie.clone(), id.as_u64().unwrap()));
                    if !here {
                        wrong.lock().unwrap().push(format!("{name}: {channel} {cookie} {id}"));
                    }
                    acks.insert(id.to_string(), here.into());
                }
                return Some((OK.into(), serde_json::json!({ "acks": acks }).to_string()));
            }
            let (set, cookie) = match cookie.as_str() {
                "" => {
                    nodes += 1;
                    (format!("Set-Cookie: node={name}{nodes}; Path=/; HttpOnly\r\n"), format!("node={name}{nodes}"))
                }
                cookie => (String::new(), cookie.to_string()),
            };
            let id = known.iter().filter(|(known, ..)| *known == channel).count() as u64;
            known.insert((channel, cookie, id));
            Some((format!("{OK}{set}"), format!(r#"{{"text":"Success","code":0,"ackId":{id}}}"#)))
        })
    };
    let (a, b) = (server("a", wrong.clone()), server("b", wrong.clone()));
    let options =
        format!("--url http://127.0.0.1:{a} --url http://127.0.0.1:{b} --ack --rotate-after 3 --max-batch-events 10");
    let ran = dir.sh(&format!("seq 1 1000 | heka-tail | heka-hec {options} --token-file token --label left -v"));
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert_eq!(*wrong.lock().unwrap(), Vec::<String>::new());
    let lines =
        |port: u16| ran.stderr.lines().filter(|line| line.contains(&format!("http://127.0.0.1:{port}: taken"))).count();
    assert_eq!(lines(a) + lines(b), 100, "{}", ran.stderr);
    assert!(lines(a) > 20 && lines(b) > 20, "{} and {}", lines(a), lines(b));
    assert!(ran.stderr.starts_with("heka-hec[left]: 10 events, "), "{}", ran.stderr);
}

#[test]
fn a_server_that_is_down_is_left_alone_while_another_takes_all() {
    let dir = Workdir::new();
    dir.write("token", "s3cret\n");
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let seen = arrived.clone();
    let up = serve(move |request| {
        seen.lock().unwrap().extend(numbers(request));
        taken()
    });
    let failures = Arc::new(Mutex::new(0));
    let count = failures.clone();
    let busy = serve(move |_| {
        *count.lock().unwrap() += 1;
        Some(("503 Busy\r\n".into(), String::new()))
    });
    let urls = format!("--url http://127.0.0.1:{busy} --url http://127.0.0.1:1 --url http://127.0.0.1:{up}");
    let ran = dir.sh(&format!("seq 1 5000 | heka-tail | heka-hec {urls} --token-file token --max-batch-events 10"));
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    let mut arrived = arrived.lock().unwrap().clone();
    arrived.sort();
    assert_eq!(arrived, (1..=5000).collect::<Vec<_>>());
    // 500 batches went by meanwhile.
    assert!(*failures.lock().unwrap() < 50, "{}", failures.lock().unwrap());
}

#[test]
fn one_request_at_a_time_keeps_the_order_whatever_fails() {
    let dir = Workdir::new();
    dir.write("token", "s3cret\n");
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut count) = (arrived.clone(), 0);
    let port = serve(move |request| {
        count += 1;
        if count % 3 == 2 {
            return Some(("500 X\r\n".into(), String::new()));
        }
        seen.lock().unwrap().extend(numbers(request));
        taken()
    });
    let options = format!("--url http://127.0.0.1:{port} --token-file token --in-flight 1 --max-batch-events 10");
    for spool in ["", "--spool spool"] {
        let ran = dir.sh(&format!("seq 1 200 | heka-tail | heka-hec {options} {spool}"));
        assert_eq!(ran.code(), 0, "{}", ran.stderr);
        assert_eq!(std::mem::take(&mut *arrived.lock().unwrap()), (1..=200).collect::<Vec<_>>());
    }
}

/// Ends a pipeline by kill -9, and waits until the last of it has let go of the spool.
fn kill(dir: &Workdir, running: Background) {
    drop(running);
    let free = "[ ! -e spool/.lock ] || flock -n spool/.lock true";
    eventually("the spool is free", || dir.sh(free).status.success());
}

/// Files of the spool.
fn spooled(dir: &Workdir) -> usize {
    let files = std::fs::read_dir(dir.path("spool")).unwrap().flatten();
    files.filter(|file| file.file_name().to_string_lossy().starts_with("hec-")).count()
}

#[test]
fn what_comes_while_the_server_is_down_is_sent_when_it_is_back() {
    let dir = Workdir::new();
    dir.write("token", "s3cret\n");
    let arrived = Arc::new(Mutex::new(None::<Vec<u64>>));
    let seen = arrived.clone();
    // None: it is down.
    let port = serve(move |request| {
        let mut seen = seen.lock().unwrap();
        seen.as_mut()?.extend(numbers(request));
        taken()
    });
    let sender = format!(
        "heka-hec --url http://127.0.0.1:{port} --token-file token --spool spool --max-batch-events 10 --checkpoint ck"
    );
    // Down: it reads on, into the spool. Its cursors are committed: what lies there is safe.
    dir.write("log", (1..=500).map(|n| format!("{n}\n")).collect::<String>());
    let first = dir.start(&format!("heka-tail log | {sender}"));
    eventually("all is on disk", || {
        dir.path("ck").exists() && String::from_utf8(dir.read("ck")).unwrap().contains("1892")
    });
    assert!(spooled(&dir) == 50);
    kill(&dir, first);
    // A second process can't use it; a full spool stops the reading.
    let mut waiting = dir.start(&format!("sleep 60 | {sender} -v"));
    assert!(waiting.stderr_line().contains("not now"));
    dir.sh(&format!("true | {sender}")).fails(2, "another process uses it");
    kill(&dir, waiting);
    let full = dir.start(&format!("heka-tail --checkpoint ck --commit sink log more | {sender} --spool-max 100000"));
    dir.write("more", (501..=3000).map(|n| format!("{n}\n")).collect::<String>());
    std::thread::sleep(Duration::from_secs(1));
    assert!(spooled(&dir) < 150, "{}", spooled(&dir));
    kill(&dir, full);
    // Back: all arrives, the oldest first.
    *arrived.lock().unwrap() = Some(Vec::new());
    let ran = dir.sh(&format!("true | {sender} --in-flight 1 --stats"));
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    let numbers = arrived.lock().unwrap().clone().unwrap();
    assert_eq!(numbers[..500], (1..=500).collect::<Vec<_>>()[..]);
    assert_eq!(spooled(&dir), 0);
    // Stopped while it is down again: what is left is told.
    *arrived.lock().unwrap() = None;
    let mut left = dir.start(&format!("(seq 1 25 | heka-tail; sleep 60) | exec {sender} --max-attempts 1 2> said"));
    eventually("it has failed", || !dir.read("said").is_empty());
    left.signal("-TERM");
    left.wait(Duration::from_secs(60));
    let said = String::from_utf8(dir.read("said")).unwrap();
    assert!(said.contains("are given up") && said.contains("left in the spool"), "{said}");
    // A file of it is a stream.
    let kept = dir.sh("heka-cat --format payload spool/hec-*").ok();
    assert_eq!(kept.text().lines().count(), 25);
}

#[test]
fn kill_9_loses_nothing_of_what_is_in_the_spool() {
    let rounds = setting("HEKA_KILL_ROUNDS", 6);
    let seed = setting("HEKA_SEED", 1);
    println!("HEKA_SEED={seed} HEKA_KILL_ROUNDS={rounds}");
    let mut random = Random(seed);
    for round in 0..rounds {
        let dir = Workdir::new();
        dir.write("token", "s3cret\n");
        let arrived = Arc::new(Mutex::new(BTreeSet::new()));
        let (seen, mut busy) = (arrived.clone(), Random(random.next()));
        let port = serve(move |request| {
            if busy.next().is_multiple_of(10) {
                return Some(("503 X\r\n".into(), String::new()));
            }
            seen.lock().unwrap().extend(numbers(request));
            taken()
        });
        let lines = 10_000;
        dir.write("log", (1..=lines).map(|n| format!("{n}\n")).collect::<String>());
        let pipe = format!(
            "heka-tail --checkpoint ck --commit sink log | heka-hec --url http://127.0.0.1:{port} --token-file token --spool spool --max-batch-events 100 --checkpoint ck"
        );
        for _ in 0..4 {
            let running = dir.start(&format!("{pipe} 2> said"));
            std::thread::sleep(Duration::from_micros(random.next() % 500_000));
            kill(&dir, running);
        }
        let ran = dir.sh(&pipe);
        assert_eq!(ran.code(), 0, "seed {seed} round {round}: {}", ran.stderr);
        let arrived = arrived.lock().unwrap();
        assert_eq!(arrived.len(), lines, "seed {seed} round {round}: {}", ran.stderr);
    }
}

#[test]
fn scripts_make_events_and_what_is_refused_goes_aside() {
    let dir = Workdir::new();
    dir.write("token", "s3cret\n");
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = bodies.clone();
    // It has no index "none": that event, and the one before which Splunk names, are refused.
    let port = serve(move |request| {
        let body = request.text();
        let bad = body.lines().position(|line| line.contains("\"index\":\"none\""));
        if let Some(place) = bad {
            let text = format!(r#"{{"text":"Incorrect index","code":7,"invalid-event-number":{}}}"#, place + 1);
            return Some(("400 X\r\n".into(), text));
        }
        seen.lock().unwrap().push(body);
        taken()
    });
    dir.write(
        "event.lua",
        "require 'string'
function process_message()
    local text = read_message('Payload')
    if text == 'skip' then return -2 end
    if text == 'fail' then return -1, 'no event' end
    if text == 'text' then inject_payload('txt', '', 'plain \"text\"') return 0 end
    inject_payload('txt', '', string.format('{\"n\": \"%s\",\\n \"by\": \"%s\"}', text, read_config('by')))
    return 0
end",
    );
    let options = format!(
        "--url http://127.0.0.1:{port} --token-file token --in-flight 1 --event lua=event.lua --config by=me --host '' --source '' --sourcetype ''"
    );
    let script = "for p in 1 skip text fail 2; do heka-inject --timestamp 1.5 --payload $p; done";
    dir.sh("mkdir dead").ok();
    for spool in ["", "--spool spool"] {
        let ran = dir.sh(&format!("({script}) | heka-hec {options} {spool} --backup dead"));
        assert_eq!(ran.code(), 1, "{}", ran.stderr);
        assert!(
            ran.stderr.contains("event.lua: Failed serializing: no event; the message went to the backup"),
            "{}",
            ran.stderr
        );
        let event = |event: &str| format!("{{\"time\":1.5,\"event\":{event}}}\n");
        let expected = [
            event("{\"n\": \"1\",\n \"by\": \"me\"}"),
            event("\"plain \\\"text\\\"\""),
            event("{\"n\": \"2\",\n \"by\": \"me\"}"),
        ];
        assert_eq!(std::mem::take(&mut *bodies.lock().unwrap()).concat(), expected.concat());
    }
    let dead = dir.sh("cat dead/hec-*.hpb").ok().stdout;
    assert_eq!(payloads(&dead), ["fail", "fail"]);
    assert!(field(&messages(&dead)[0], "hec_error").unwrap().contains("no event"));
    let script = "for i in a none b none none c; do heka-inject --payload $i --field app=$i; done";
    let plain = format!("--url http://127.0.0.1:{port} --token-file token --index '%{{Fields[app]}}'");
    let ran = dir.sh(&format!("({script}) > six.hpb; heka-hec {plain} --backup refused.hpb --stats six.hpb"));
    assert!(ran.stderr.contains("\"events_delivered\":3,") && ran.stderr.contains("\"requests\":2,"), "{}", ran.stderr);
    assert_eq!(payloads(&dir.read("refused.hpb")), ["none", "none", "none"]);
    dir.sh("heka-hec --url http://h --token-file token --event lua= x")
        .fails(2, "expected payload, fields, message or lua=SCRIPT");
    dir.sh("heka-hec --url http://h --token-file token --event lua=none.lua x").fails(2, "none.lua: no such file");
}

#[test]
fn the_library_that_many_send_with_is_understood() {
    let dir = Workdir::new();
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ftf.py");
    let available = dir.sh(&format!("{python} -c 'import splunk_hec'")).status.success();
    if !available {
        return;
    }
    for (number, (kind, ack, threads)) in
        [("json", "ack", 3), ("json", "no", 0), ("raw", "ack", 0), ("raw", "no", 4)].into_iter().enumerate()
    {
        let out = format!("out{number}");
        let (_server, port) = dir.listen("", &out);
        let ran = dir.sh(&format!(
            "{python} {script} {port} {kind} {ack} {threads} 2000 max_events_per_batch=500 ack_interval=1"
        ));
        // Its threads may still log behind the number of what it gave up.
        assert!(ran.text().lines().any(|line| line == "0") && ran.status.success(), "{}{}", ran.text(), ran.stderr);
        eventually("all have arrived", || {
            let all: Vec<String> =
                payloads(&dir.read(&out)).iter().flat_map(|text| text.lines()).map(str::to_string).collect();
            let numbers = all.iter().filter_map(|text| text.split(' ').nth(1)?.parse::<u32>().ok());
            all.len() == 2000 && numbers.collect::<BTreeSet<_>>().len() == 2000
        });
    }
}
