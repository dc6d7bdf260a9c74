//! What went wrong with senders that people have reported, kind by kind.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::common::http::{Incoming, listen, listen_at};
use crate::common::{Workdir, eventually, field, free_port, have, messages, payloads, stats};
use crate::firehose;
use crate::write_answer;

const TAKEN: &str = r#"{"text":"Success","code":0}"#;

type Told = (u16, String, String);

fn told(status: u16, headers: &str, body: &str) -> Option<Told> {
    Some((status, headers.into(), body.into()))
}

/// A server; `answer` gets the request and its number, and gives status, header lines and body, or ends the connection.
fn serve(answer: impl FnMut(&Incoming, usize) -> Option<Told> + Send + 'static) -> (u16, Arc<Mutex<Vec<Incoming>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (requests, answer) = (seen.clone(), Mutex::new(answer));
    let port = listen(move |stream| {
        let request = Incoming::read(stream)?;
        let number = requests.lock().unwrap().len();
        let told = (answer.lock().unwrap())(&request, number);
        requests.lock().unwrap().push(request);
        let (status, headers, body) = told?;
        write_answer(stream, status, &headers, &body)
    });
    (port, seen)
}

/// The events of a HEC request.
fn events(request: &Incoming) -> Vec<String> {
    let events = serde_json::Deserializer::from_slice(&request.body).into_iter::<Json>();
    events.map(|event| event.unwrap()["event"].as_str().unwrap().to_string()).collect()
}

fn workdir(lines: usize) -> Workdir {
    let dir = Workdir::new();
    dir.write("token", "s3cret\n");
    dir.write("in.log", (1..=lines).map(|line| format!("{line}\n")).collect::<String>());
    dir
}

fn hec(port: u16, options: &str) -> String {
    format!("heka-hec --url http://127.0.0.1:{port} --token-file token {options}")
}

/// A source that can read again, and the sink.
fn pipe(sink: &str) -> String {
    format!("heka-tail --checkpoint ck --commit sink in.log | {sink} --checkpoint ck")
}

/// 1. Good events in the backup after a wrong token; the checkpoint behind them.
#[test]
fn a_wrong_token_gives_nothing_up_however_often_it_is_tried() {
    for (status, body) in [
        (403, r#"{"text":"Invalid token","code":4}"#),
        (403, r#"{"text":"Token disabled","code":1}"#),
        (401, "<html>Authorization Required</html>"),
        (403, "Request blocked by WAF"),
    ] {
        let dir = workdir(100);
        let good = Arc::new(Mutex::new(false));
        let (well, arrived) = (good.clone(), Arc::new(Mutex::new(Vec::new())));
        let seen = arrived.clone();
        let (port, _) = serve(move |request, _| {
            if !*well.lock().unwrap() {
                return told(status, "", body);
            }
            seen.lock().unwrap().extend(events(request));
            told(200, "", TAKEN)
        });
        let run = pipe(&hec(port, "--max-batch-events 10 --backup dead.hpb"));
        let with_spool =
            format!("heka-tail in.log | {}", hec(port, "--max-batch-events 10 --backup dead.hpb --spool spool"));
        for _ in 0..3 {
            assert_eq!(dir.sh(&run).code(), 3);
            assert_eq!(dir.sh(&with_spool).code(), 3);
        }
        assert_eq!(payloads(&dir.read("dead.hpb")), [""; 0], "{body}");
        *good.lock().unwrap() = true;
        assert_eq!(dir.sh(&run).code(), 0);
        assert_eq!(arrived.lock().unwrap().len(), 100);
        arrived.lock().unwrap().clear();
        assert_eq!(dir.sh(&format!("true | {}", hec(port, "--spool spool"))).code(), 0);
        assert!(arrived.lock().unwrap().len() >= 30, "what was in the spool stayed there");
    }
}

/// 1. SIGTERM while an ack is awaited.
#[test]
fn a_stop_while_an_ack_is_awaited_leaves_events_to_their_source() {
    let dir = workdir(20);
    let (port, seen) = serve(|request, _| match request.path.contains("/ack") {
        true => told(200, "", r#"{"acks":{"0":false}}"#),
        false => told(200, "", r#"{"text":"Success","code":0,"ackId":0}"#),
    });
    let sink = hec(port, "--ack --backup dead.hpb --drain 0.5 --in-flight 1 2> said");
    let mut running = dir.start(&pipe(&sink));
    eventually("it asks for the ack", || seen.lock().unwrap().iter().any(|request| request.path.contains("/ack")));
    running.signal("-TERM");
    running.wait(Duration::from_secs(10));
    assert_eq!(payloads(&dir.read("dead.hpb")), [""; 0]);
    let said = String::from_utf8(dir.read("said")).unwrap();
    assert!(said.contains("20 not delivered (their source has them)"), "{said}");
    assert_eq!(dir.read("ck"), b"{\"streams\":{}}\n");
}

/// 2. A server that refuses each event alone, whatever the reason, and has never taken one.
#[test]
fn a_server_that_refuses_everything_is_no_judge_of_an_event() {
    for (status, body) in [
        (400, r#"{"text":"No data","code":5}"#),
        (400, r#"{"text":"Invalid data format","code":6}"#),
        (400, r#"{"text":"Error in handling indexed fields","code":15}"#),
        (413, ""),
    ] {
        let dir = workdir(9);
        let (port, _) = serve(move |_, _| told(status, "", body));
        let ran = dir.sh(&pipe(&hec(port, "--backup dead.hpb")));
        assert!(ran.stderr.contains("the server refused each of 9 events and took none"), "{}", ran.stderr);
        assert_eq!(ran.code(), 3);
        assert_eq!((dir.read("ck"), dir.read("dead.hpb").len()), (b"{\"streams\":{}}\n".to_vec(), 0));
    }
    // A bad event at the head of a run doesn't stay for ever: another one is taken, and it goes aside.
    let dir = workdir(3);
    let (port, _) = serve(|request, _| match events(request).iter().position(|event| event == "1") {
        Some(place) => told(400, "", &json!({"text": "bad", "code": 6, "invalid-event-number": place}).to_string()),
        None => told(200, "", TAKEN),
    });
    let ran = dir.sh(&pipe(&hec(port, "--max-batch-events 1 --in-flight 1 --backup dead.hpb")));
    assert_eq!((ran.code(), payloads(&dir.read("dead.hpb"))), (1, vec!["1".to_string()]), "{}", ran.stderr);
    let ran = dir.sh(&pipe(&hec(port, "--backup dead.hpb")));
    assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""), "all is committed");
}

/// 3. Refusals that shrink a batch used up its attempts; then one 503 ended it.
#[test]
fn a_batch_that_was_shrunk_has_all_its_attempts() {
    for refusal in ["413", "6", "12", "413 and 6"] {
        let dir = workdir(10);
        let mut busy = 0;
        let (port, _) = serve(move |request, _| {
            let events = events(request);
            if events.len() > 1 && refusal.contains("413") {
                return told(413, "", "");
            }
            if let Some(place) = events.iter().position(|event| event.len() == 1 && event.as_str() > "5") {
                let code = if refusal == "12" { 12 } else { 6 };
                let body = json!({"text": "bad", "code": code, "invalid-event-number": place}).to_string();
                if refusal != "413" {
                    return told(400, "", &body);
                }
            }
            busy += 1;
            if busy < 4 { told(503, "", r#"{"text":"Server is busy","code":9}"#) } else { told(200, "", TAKEN) }
        });
        let no_cursors = "for p in $(cat in.log); do heka-inject --payload $p; done";
        let ran = dir
            .sh(&format!("({no_cursors}) | {}", hec(port, "--max-attempts 4 --in-flight 1 --backup dead.hpb --stats")));
        let refused = if refusal == "413" { 0 } else { 4 };
        let stats = stats(&ran.stderr);
        assert_eq!(
            (stats["events_delivered"].clone(), stats["events_dead_lettered"].clone()),
            (json!(10 - refused), json!(refused)),
            "{refusal}: {}",
            ran.stderr
        );
    }
}

/// 4. Success is what says so.
#[test]
fn a_login_page_is_no_success() {
    for body in ["<html>Please log in</html>", r#"{"code":9}"#, r#"{"text":"Server is busy","code":9}"#, "OK"] {
        let dir = workdir(5);
        let (port, _) = serve(move |_, number| if number < 2 { told(200, "", body) } else { told(200, "", TAKEN) });
        let ran = dir.sh(&pipe(&hec(port, "--in-flight 1 --stats")));
        let waits = body.contains("code");
        assert_eq!(ran.code(), if waits { 0 } else { 3 }, "{body}: {}", ran.stderr);
        assert_eq!(stats(&ran.stderr)["events_delivered"], if waits { json!(5) } else { json!(0) });
    }
}

/// 5. Files of the spool that are cut, or can't be read.
#[test]
fn of_a_damaged_spool_what_is_whole_is_sent() {
    let dir = workdir(0);
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let seen = arrived.clone();
    let (port, _) = serve(move |request, _| {
        seen.lock().unwrap().extend(events(request));
        told(200, "", TAKEN)
    });
    dir.sh("seq 1 5 | heka-tail > five.hpb; mkdir spool").ok();
    let five = dir.read("five.hpb");
    let record = five.len() / 5;
    // Cut by 7 bytes; torn at its beginning; with zeros of a crash behind; nothing but garbage.
    dir.write("spool/hec-00000000000000000001-1", &five[..five.len() - 7]);
    dir.write("spool/hec-00000000000000000002-1", &five[3..]);
    dir.write("spool/hec-00000000000000000003-1", [&five[..2 * record], &[0; 512]].concat());
    dir.write("spool/hec-00000000000000000004-1", "garbage");
    let ran = dir.sh(&format!("true | {}", hec(port, "--spool spool --in-flight 1")));
    assert_eq!(*arrived.lock().unwrap(), ["1", "2", "3", "4", "2", "3", "4", "5", "1", "2"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.contains("4 files in spool are set aside as bad-…"), "{}", ran.stderr);
    // Each run says so, until somebody has looked at them.
    let ran = dir.sh(&format!("true | {}", hec(port, "--spool spool")));
    assert!(ran.code() == 1 && ran.stderr.contains("4 files in spool are set aside"), "{}", ran.stderr);
    dir.sh("rm spool/bad-*").ok();
    // A file that can't be read is not damaged: it stays (a directory can't be read by anybody).
    dir.sh("mkdir spool/hec-00000000000000000005-1").ok();
    let ran = dir.sh(&format!("true | {}", hec(port, "--spool spool --drain 0.5")));
    assert!(ran.stderr.contains("Is a directory; tried again later"), "{}", ran.stderr);
    assert!(ran.code() == 1 && dir.path("spool/hec-00000000000000000005-1").exists(), "{}", ran.stderr);
    assert!(!ran.stderr.contains("set aside"), "{}", ran.stderr);
}

/// 6. A stream that takes no records from us.
#[test]
fn a_wrong_firehose_stream_sets_nothing_aside() {
    let wrong = Arc::new(Mutex::new(true));
    let (shared, arrived) = (wrong.clone(), Arc::new(Mutex::new(Vec::new())));
    let seen = arrived.clone();
    let sink = firehose::Firehose;
    let (port, _) = serve(move |request, _| {
        let Some(events) = crate::Sink::events(&sink, request) else {
            return told(200, "", &crate::Sink::success(&sink, request));
        };
        if *shared.lock().unwrap() {
            let words = "PutRecord(s) operations are not permitted on KinesisStreamAsSource delivery stream type.";
            return told(
                400,
                "Content-Type: application/x-amz-json-1.1\r\n",
                &json!({"__type": "InvalidArgumentException", "message": words}).to_string(),
            );
        }
        seen.lock().unwrap().extend(events);
        told(200, "", &crate::Sink::success(&sink, request))
    });
    let dir = workdir(3);
    dir.sh("heka-tail in.log > in.hpb").ok();
    for run in 1..=2 {
        let ran = dir.sh(&firehose::command(port, if run == 1 { "in.hpb" } else { "/dev/null" }));
        assert!(ran.code() == 3 && ran.stderr.contains("KinesisStreamAsSource"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("set aside as"), "{}", ran.stderr);
    }
    *wrong.lock().unwrap() = false;
    dir.sh(&firehose::command(port, "/dev/null")).ok();
    assert_eq!(*arrived.lock().unwrap(), ["1", "2", "3"]);
}

/// 7. Two runs with one file of marks or of state.
#[test]
fn one_run_at_a_time_has_a_file_of_marks_or_of_state() {
    let dir = workdir(3);
    dir.sh("heka-tail in.log > in.hpb").ok();
    dir.write("count.lua", "n = 0\nfunction process_message() n = n + 1 return 0 end\nfunction timer_event(ns) inject_payload('txt', 'n', n) end\n");
    let dead = free_port();
    for (holder, other, file) in [
        (hec(dead, "--checkpoint ck in.hpb"), "heka-cat --checkpoint ck in.hpb".to_string(), "ck"),
        (hec(dead, "--spool spool in.hpb"), hec(dead, "--spool spool in.hpb"), "spool"),
        (
            "heka-sandbox --lua count.lua --preserve st <(cat in.hpb; sleep 60)".into(),
            "heka-sandbox --lua count.lua --preserve st in.hpb | cat".into(),
            "st",
        ),
    ] {
        let holder = dir.start(&format!("{holder} | cat"));
        let lock = if file == "spool" { "spool/.lock".into() } else { format!(".{file}.lock") };
        eventually("it is locked", || dir.path(&lock).exists());
        eventually("the other one is refused", || {
            let ran = dir.sh(&other);
            ran.code() == 2 && ran.stderr.contains("another process uses it")
        });
        drop(holder);
    }
    // A run that was killed leaves no lock.
    dir.sh("heka-cat --checkpoint ck --format payload in.hpb").ok();
}

/// 8. A bulk request that succeeds in part, and what else a body may have to say.
#[test]
fn items_of_a_bulk_reply_are_judged_by_themselves() {
    let dir = workdir(6);
    let indexed = Arc::new(Mutex::new(Vec::new()));
    let seen = indexed.clone();
    let mut busy = true;
    let (port, requests) = serve(move |request, _| {
        let items: Vec<Json> = request.text().lines().map(|line| match line {
            "2" => json!({"index": {"status": 400, "error": {"type": "mapper_parsing_exception", "reason": "failed to parse"}}}),
            "4" if busy => {
                busy = false;
                json!({"index": {"status": 429, "error": {"type": "es_rejected_execution_exception"}}})
            }
            line => {
                seen.lock().unwrap().push(line.to_string());
                json!({"index": {"status": 201}})
            }
        }).collect();
        let errors = items.iter().any(|item| item["index"]["status"] != 201);
        told(200, "", &json!({"took": 1, "errors": errors, "items": items}).to_string())
    });
    let ran = dir.sh(&pipe(&format!(
        "heka-http --url http://127.0.0.1:{port}/logs/_bulk?refresh=true --batch 6 --backup dead.hpb"
    )));
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    assert_eq!(*indexed.lock().unwrap(), ["1", "3", "5", "6", "4"]);
    let dead = messages(&dir.read("dead.hpb"));
    assert_eq!(dead.len(), 1);
    assert!(field(&dead[0], "http_error").unwrap().contains("mapper_parsing_exception"));
    assert_eq!(requests.lock().unwrap().len(), 2);

    let dir = workdir(2);
    let (port, _) = serve(|request, _| match request.text().as_str() {
        "1\n" => told(200, "", r#"{"ok":false,"error":"channel_not_found"}"#),
        _ => told(200, "", r#"{"ok":true}"#),
    });
    let sink = format!("heka-http --url http://127.0.0.1:{port} --success-if /ok=true --backup dead.hpb");
    let ran = dir.sh(&pipe(&sink));
    assert_eq!((ran.code(), payloads(&dir.read("dead.hpb"))), (1, vec!["1".to_string()]), "{}", ran.stderr);
    let dir = workdir(1);
    let ran = dir.sh(&pipe(&sink));
    assert!(ran.code() == 3 && ran.stderr.contains("channel_not_found"), "{}", ran.stderr);
}

/// 9. A server that asks to come again at once.
#[test]
fn retry_after_nothing_hammers_nobody() {
    for after in ["0", "Wed, 21 Oct 2015 07:28:00 GMT", "-1", "0.0"] {
        for sink in ["heka-hec --token-file token", "heka-http"] {
            let dir = workdir(3);
            let headers = format!("Retry-After: {after}\r\n");
            let (port, seen) = serve(move |_, _| told(503, &headers, ""));
            let mut running = dir.start(&format!("heka-tail in.log | {sink} --drain 0 --url http://127.0.0.1:{port}"));
            eventually("two requests", || seen.lock().unwrap().len() >= 2);
            std::thread::sleep(Duration::from_secs(1));
            running.signal("-TERM");
            running.wait(Duration::from_secs(10));
            let count = seen.lock().unwrap().len();
            assert!(count < 20, "{sink} {after}: {count} requests");
        }
    }
}

/// 10. Acks that never come, and attempts.
#[test]
fn attempts_count_missing_acks_too() {
    for (status, body) in [(200, r#"{"acks":{"0":false}}"#), (503, ""), (200, "{}"), (200, "<html>")] {
        let dir = workdir(2);
        let (port, _) = serve(move |request, _| match request.path.contains("/ack") {
            true => told(status, "", body),
            false => told(200, "", r#"{"text":"Success","code":0,"ackId":0}"#),
        });
        let options = "--ack --ack-timeout 0.3 --ack-interval 0.1 --max-attempts 2 --backup dead.hpb --stats";
        let ran = dir.sh(&format!("heka-tail in.log | timeout 30 {}", hec(port, options)));
        let expected = if body == "<html>" { 3 } else { 1 };
        assert_eq!(ran.code(), expected, "{body}: {}", ran.stderr);
        if expected == 1 {
            assert_eq!(payloads(&dir.read("dead.hpb")), ["1", "2"]);
            assert_eq!(stats(&ran.stderr)["requests"], 2, "{}", ran.stderr);
        }
    }
}

/// 11. Addresses that are none.
#[test]
fn an_address_that_is_none_is_told_at_the_start() {
    let dir = workdir(1);
    dir.sh("heka-tail in.log > in.hpb").ok();
    for (url, words) in [
        ("http://127.0.0.1:99999", "a port is a number"),
        ("http://127.0.0.1:0", "a port is a number"),
        ("http://:8088", "no host"),
        ("http://", "no host"),
        ("splunk:8088", "begins with http"),
        ("http://a b", "no valid address"),
        ("http://[::1", "no valid address"),
        ("", "begins with http"),
    ] {
        for sink in ["heka-hec --token-file token", "heka-http"] {
            dir.sh(&format!("timeout 10 {sink} --url '{url}' in.hpb")).fails(2, words);
        }
    }
}

/// 12. A backup that is what is read.
#[test]
fn a_file_is_not_appended_to_what_is_read_of_it() {
    let dir = workdir(2);
    dir.sh("heka-tail in.log > in.hpb; ln in.hpb hard; ln -s in.hpb soft").ok();
    let size = dir.read("in.hpb").len();
    for (backup, input) in [("in.hpb", "in.hpb"), ("hard", "in.hpb"), ("soft", "- < in.hpb"), ("./in.hpb", "- < hard")]
    {
        for sink in [
            hec(free_port(), &format!("--backup {backup} {input}")),
            format!("heka-http --url http://127.0.0.1:1 --backup {backup} {input}"),
            firehose::command(free_port(), &format!("--backup {backup} {input}")),
            format!("heka-decode --lua json --on-failure file={backup} {input} | cat"),
        ] {
            dir.sh(&sink).fails(2, "it is what is read");
            assert_eq!(dir.read("in.hpb").len(), size);
        }
    }
}

/// 13. A stop, and servers that are silent, or busy.
#[test]
fn a_stop_has_one_budget_for_everything() {
    // Answers never come, or nothing is read, or everything is refused for now.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (busy, _) = serve(|_, _| told(503, "", ""));
    let (slow, _) = serve(|_, _| {
        std::thread::sleep(Duration::from_secs(30));
        None
    });
    let silent = silent.local_addr().map(|address| (address.port(), silent)).unwrap();
    for port in [silent.0, busy, slow] {
        for sink in ["heka-hec --token-file token", "heka-http", "heka-hec --spool spool --token-file token"] {
            let dir = workdir(200);
            let mut running = dir.start(&format!(
                "heka-tail in.log > in.hpb; exec {sink} --drain 1 --url http://127.0.0.1:{port} in.hpb"
            ));
            std::thread::sleep(Duration::from_millis(700));
            let stopped = Instant::now();
            running.signal("-TERM");
            let status = running.wait(Duration::from_secs(20));
            assert_eq!(status.code(), Some(1), "{sink}");
            assert!(stopped.elapsed() < Duration::from_secs(4), "{sink}: {:?}", stopped.elapsed());
        }
    }
}

/// 14. The end of the input, a spool, and nobody there.
#[test]
fn a_run_ends_where_no_server_takes_the_spool() {
    let dir = workdir(5);
    for options in ["--max-attempts 1", "", "--retry-for 200ms"] {
        let started = Instant::now();
        let sink = hec(free_port(), &format!("--spool spool --drain 1 {options}"));
        let ran = dir.sh(&format!("heka-tail in.log | {sink}"));
        assert_eq!(ran.code(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("left in the spool"), "{}", ran.stderr);
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    let (port, seen) = serve(|_, _| told(200, "", TAKEN));
    dir.sh(&format!("true | {}", hec(port, "--spool spool"))).ok();
    assert_eq!(seen.lock().unwrap().iter().map(|request| events(request).len()).sum::<usize>(), 15);
}

/// 15. A reply that is cut.
#[test]
fn a_reply_that_is_cut_is_unclear() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{\"text\":\"Success\",\"co",
        "HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"text\":",
        "HTTP/1.1 200 O",
    ] {
        let dir = workdir(3);
        let first = Mutex::new(true);
        let port = listen(move |mut stream| {
            let request = Incoming::read(stream)?;
            if std::mem::take(&mut *first.lock().unwrap()) {
                let _ = stream.write_all(cut.as_bytes());
                return None;
            }
            match request.path.contains("/ack") {
                true => write_answer(stream, 200, "", r#"{"acks":{"0":true,"1":true}}"#),
                false => write_answer(stream, 200, "", r#"{"text":"Success","code":0,"ackId":0}"#),
            }
        });
        let ran = dir.sh(&pipe(&hec(port, "--ack --ack-interval 0.1 --in-flight 1 --stats")));
        assert_eq!(ran.code(), 0, "{cut}: {}", ran.stderr);
        assert_eq!(stats(&ran.stderr)["possible_duplicates"], 3, "{}", ran.stderr);
    }
}

/// 16. A checkpoint that can't be written.
#[test]
fn a_checkpoint_that_cannot_be_written_is_told_before_anything_is_delivered() {
    let dir = workdir(2);
    dir.sh("heka-tail in.log > in.hpb; mkdir directory; echo x > file").ok();
    let (port, seen) = serve(|_, _| told(200, "", TAKEN));
    for (path, words) in [
        ("none/ck", "No such file or directory"),
        ("directory", "Is a directory"),
        ("file/ck", "Not a directory"),
        ("/proc/ck", "No such file or directory"),
    ] {
        for sink in [hec(port, ""), format!("heka-http --url http://127.0.0.1:{port}"), "heka-cat".into()] {
            dir.sh(&format!("{sink} --checkpoint {path} in.hpb")).fails(3, words);
        }
    }
    assert!(seen.lock().unwrap().is_empty());
}

/// 17. One ack id for all.
#[test]
fn a_server_that_gives_one_ack_id_gets_a_channel_for_each_batch() {
    for id in [0, 7] {
        let dir = workdir(60);
        let taken = Arc::new(Mutex::new(0));
        let count = taken.clone();
        let (port, _) = serve(move |request, _| match request.path.contains("/ack") {
            true => told(200, "", &json!({"acks": {id.to_string(): true}}).to_string()),
            false => {
                *count.lock().unwrap() += events(request).len();
                told(200, "", &json!({"text": "Success", "code": 0, "ackId": id}).to_string())
            }
        });
        let options = "--ack --ack-interval 0.1 --max-batch-events 1 --in-flight 1 --stats";
        let ran = dir.sh(&pipe(&hec(port, options)));
        assert_eq!(ran.code(), 0, "{}", ran.stderr);
        let duplicates = stats(&ran.stderr)["possible_duplicates"].as_u64().unwrap();
        assert!(duplicates <= 4 && *taken.lock().unwrap() <= 64, "{}", ran.stderr);
    }
}

/// 18. What may have been taken is counted.
#[test]
fn what_may_come_twice_is_counted() {
    for (answer, may) in [
        (told(503, "", r#"{"text":"Server is busy","code":9,"invalid-event-number":7}"#), 7),
        (told(500, "", r#"{"text":"Internal server error","code":8}"#), 10),
        (told(504, "", ""), 10),
        (told(503, "", r#"{"text":"Server is busy","code":9}"#), 0),
        (None, 10),
    ] {
        let dir = workdir(10);
        let answer = Mutex::new(Some(answer));
        let (port, _) = serve(move |_, _| match answer.lock().unwrap().take() {
            Some(answer) => answer,
            None => told(200, "", TAKEN),
        });
        let ran = dir.sh(&pipe(&hec(port, "--stats")));
        assert_eq!((ran.code(), &stats(&ran.stderr)["possible_duplicates"]), (0, &json!(may)), "{}", ran.stderr);
    }
    // No answer in time.
    let dir = workdir(10);
    let first = Mutex::new(true);
    let port = listen(move |stream| {
        Incoming::read(stream)?;
        if std::mem::take(&mut *first.lock().unwrap()) {
            std::thread::sleep(Duration::from_secs(3));
            return None;
        }
        write_answer(stream, 200, "", TAKEN)
    });
    let ran = dir.sh(&pipe(&hec(port, "--timeout 1 --stats")));
    assert_eq!((ran.code(), &stats(&ran.stderr)["possible_duplicates"]), (0, &json!(10)), "{}", ran.stderr);
}

/// 19. Several servers, and one that takes nothing from us.
#[test]
fn one_bad_server_of_several_ends_nothing() {
    for (status, body) in
        [(403, r#"{"text":"Invalid token","code":4}"#), (404, "<html>"), (302, ""), (200, "<html>Please log in</html>")]
    {
        let dir = workdir(100);
        let (bad, _) = serve(move |_, _| told(status, "", body));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let seen = arrived.clone();
        let (good, _) = serve(move |request, _| {
            seen.lock().unwrap().extend(events(request));
            told(200, "", TAKEN)
        });
        for health in ["", "--health-check"] {
            let options = format!("--url http://127.0.0.1:{good} --max-batch-events 5 --backup dead.hpb {health}");
            let ran = dir.sh(&format!("heka-tail in.log | {}", hec(bad, &options)));
            assert_eq!(ran.code(), 0, "{}", ran.stderr);
            assert!(ran.stderr.contains("the other servers go on"), "{}", ran.stderr);
            assert_eq!(std::mem::take(&mut *arrived.lock().unwrap()).len(), 100);
        }
        // Both: the run ends.
        let ran = dir.sh(&format!("heka-tail in.log | {}", hec(bad, &format!("--url http://localhost:{bad}"))));
        assert_eq!(ran.code(), 3, "{}", ran.stderr);
    }
}

/// 20. Five attempts were over in 2.5 seconds.
#[test]
fn what_cannot_be_read_again_is_tried_for_a_time() {
    let dir = workdir(3);
    let inject = "for p in 1 2 3; do heka-inject --payload $p; done";
    for sink in ["heka-hec --token-file token", "heka-http"] {
        let port = free_port();
        let command = format!("({inject}) | {sink} --stats --url http://127.0.0.1:{port}");
        // A restart takes longer than some attempts do.
        let mut running = dir.start(&format!("{command} 2> said"));
        std::thread::sleep(Duration::from_secs(4));
        listen_at(port, |stream| {
            Incoming::read(stream)?;
            write_answer(stream, 200, "", TAKEN)
        });
        assert!(running.wait(Duration::from_secs(60)).success(), "{}", String::from_utf8_lossy(&dir.read("said")));
    }
    // A limit of one's own, in time; what nothing else keeps goes to the backup.
    for sink in ["heka-hec --token-file token", "heka-http"] {
        let port = free_port();
        let ran =
            dir.sh(&format!("({inject}) | {sink} --retry-for 500ms --backup dead.hpb --url http://127.0.0.1:{port}"));
        assert_eq!(ran.code(), 1, "{}", ran.stderr);
        let mut kept = payloads(&dir.read("dead.hpb"));
        kept.sort();
        assert_eq!(kept, ["1", "2", "3"], "{}", ran.stderr);
        std::fs::remove_file(dir.path("dead.hpb")).unwrap();
    }
}

/// 21. A spool that can't be written waits.
#[test]
fn a_spool_that_cannot_be_written_waits() {
    let dir = workdir(3);
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let seen = arrived.clone();
    let (port, _) = serve(move |request, _| {
        seen.lock().unwrap().extend(events(request));
        told(200, "", TAKEN)
    });
    dir.sh("mkfifo fifo").ok();
    let mut running = dir.start(&format!("{} < fifo 2> said", hec(port, "--spool spool")));
    let mut input = std::fs::File::create(dir.path("fifo")).unwrap();
    eventually("the spool is there", || dir.path("spool/.lock").exists());
    // No file can be made in it, as on a full disk.
    dir.sh("mv spool away").ok();
    input.write_all(&dir.sh("heka-tail in.log").ok().stdout).unwrap();
    drop(input);
    eventually("it says so", || {
        String::from_utf8_lossy(&dir.read("said")).contains("tried again until it can be written")
    });
    dir.sh("mv away spool").ok();
    assert!(running.wait(Duration::from_secs(30)).success());
    assert_eq!(*arrived.lock().unwrap(), ["1", "2", "3"]);
    // A stop ends the wait within its time; what was not written is told.
    dir.sh("rm -r spool").ok();
    let mut running = dir.start(&format!("exec {} < fifo 2> said", hec(port, "--spool spool --drain 0.5")));
    let mut input = std::fs::File::create(dir.path("fifo")).unwrap();
    eventually("the spool is there", || dir.path("spool/.lock").exists());
    dir.sh("mv spool away").ok();
    input.write_all(&dir.sh("heka-tail in.log").ok().stdout).unwrap();
    eventually("it says so", || {
        String::from_utf8_lossy(&dir.read("said")).contains("tried again until it can be written")
    });
    running.signal("-TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code(), Some(1));
    let said = String::from_utf8(dir.read("said")).unwrap();
    assert!(said.contains("3 not delivered (their source has them)"), "{said}");
}

/// 22. Secrets.
#[test]
fn addresses_are_shown_without_secrets() {
    let dir = workdir(1);
    dir.sh("heka-tail in.log > in.hpb").ok();
    let (refusing, _) = serve(|_, _| told(403, "", "no"));
    let (redirecting, _) = serve(|_, _| told(302, "Location: http://h/SECRET?SECRET\r\n", ""));
    for (sink, url) in [
        ("heka-http", format!("http://127.0.0.1:{refusing}?token=SECRET")),
        ("heka-http", format!("http://127.0.0.1:{refusing}/SECRET/x")),
        ("heka-http", format!("http://SECRET:SECRET@127.0.0.1:{refusing}/#SECRET")),
        ("heka-http", format!("http://127.0.0.1:{redirecting}/")),
        ("heka-http --max-attempts 1", format!("http://u:SECRET@127.0.0.1:{}/SECRET", free_port())),
        ("heka-hec --token-file token", format!("http://u:SECRET@127.0.0.1:{refusing}")),
        ("heka-hec --token-file token -v", format!("http://127.0.0.1:{refusing}/SECRET?token=SECRET")),
        ("heka-hec --token-file token", "http://u:SECRET@h:99999/SECRET".into()),
    ] {
        let ran = dir.sh(&format!("{sink} --url '{url}' in.hpb"));
        assert!(ran.code() != 0 && !ran.stderr.is_empty() && !ran.stderr.contains("SECRET"), "{url}: {}", ran.stderr);
    }
    // What stood before the host is sent as what it is.
    let (port, seen) = serve(|_, _| told(200, "", ""));
    dir.sh(&format!("heka-http --url http://me:p%40ss@127.0.0.1:{port}/ in.hpb")).ok();
    assert_eq!(seen.lock().unwrap()[0].header("authorization"), "basic bwu6cebzcw==");
}

/// 23. TLS.
#[test]
fn certificates_and_what_a_handshake_fails_for() {
    if !have("openssl") {
        return;
    }
    let dir = workdir(1);
    assert!(dir.certificates());
    dir.sh("heka-tail in.log > in.hpb").ok();
    // A server's own certificate, which no authority has signed.
    dir.sh("openssl req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.pem -days 2 -subj /CN=x -addext subjectAltName=DNS:other 2>/dev/null").ok();
    let (own, port) = dir.listen("--cert own.pem --key own.key", "out");
    dir.sh(&format!("heka-hec --url https://127.0.0.1:{port} --token-file token --ca own.pem in.hpb")).ok();
    dir.sh(&format!("heka-http --url https://127.0.0.1:{port}/services/collector/raw --header 'Authorization: Splunk s3cret' --ca own.pem in.hpb")).ok();
    let ran = dir.sh(&format!("heka-hec --url https://127.0.0.1:{port} --token-file token --ca ca.pem in.hpb"));
    assert!(ran.code() == 3 && ran.stderr.contains("--ca FILE names the authority"), "{}", ran.stderr);
    drop(own);
    // Another name, and one that has expired.
    let server = |options: &str| {
        let port = free_port();
        let server = dir.start(&format!("exec openssl s_server -quiet -accept {port} {options} > server.log 2>&1"));
        eventually("it listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        (server, port)
    };
    let said = |url: &str, options: &str, words: &str| {
        for sink in ["heka-hec --token-file token", "heka-http"] {
            let ran = dir.sh(&format!("timeout 20 {sink} --url {url} {options} in.hpb"));
            assert!(
                ran.code() == 3 && ran.stderr.contains(words),
                "{sink} {url} {options}: {} {}",
                ran.code(),
                ran.stderr
            );
        }
    };
    let (_server, port) = server("-cert cert.pem -key key.pem");
    said(&format!("https://127.0.0.2:{port}"), "--ca ca.pem", "for another name");
    dir.sh("openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days -1 -extfile names -out expired.pem 2>/dev/null; true").ok();
    let (_expired, port) = server("-cert expired.pem -key client.key");
    said(&format!("https://127.0.0.1:{port}"), "--ca ca.pem", "has expired");
    // It asks for a certificate: both versions of TLS.
    for version in ["-tls1_3", "-tls1_2"] {
        let (_asking, port) =
            server(&format!("-cert cert.pem -key key.pem -Verify 1 -verify_return_error -CAfile ca.pem {version}"));
        said(&format!("https://127.0.0.1:{port}"), "--ca ca.pem", "--cert");
    }
    // Only what is too old; and no TLS at all.
    let (_old, port) = server("-cert cert.pem -key key.pem -tls1_1 -cipher DEFAULT@SECLEVEL=0");
    said(&format!("https://127.0.0.1:{port}"), "--ca ca.pem", "no version of TLS");
    let plain = listen(|mut stream| {
        stream.read_exact(&mut [0; 5]).ok()?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").ok()?;
        None
    });
    said(&format!("https://127.0.0.1:{plain}"), "--ca ca.pem", "it does not speak TLS");
    // A name with a word in it is no certificate.
    let ran = dir.sh(&format!(
        "heka-hec --max-attempts 1 --token-file token --url https://certificate.localhost:{} in.hpb",
        free_port()
    ));
    assert!(ran.code() == 1 && ran.stderr.contains("given up"), "{}", ran.stderr);
    // A certificate of ours.
    let (listen, port) = dir.listen("--cert cert.pem --key key.pem --client-ca ca.pem", "got");
    dir.sh(&format!("heka-hec --url https://127.0.0.1:{port} --token-file token --ca ca.pem --cert client.pem --key client.key in.hpb")).ok();
    drop(listen);
}

/// 24. Links, empty files, and statuses that are no redirect.
#[test]
fn files_are_written_where_links_lead() {
    let dir = workdir(3);
    dir.sh("heka-tail in.log > in.hpb; mkdir real; ln -s real/ck link; ln -s real/st state; ln -s link twice").ok();
    for link in ["link", "twice"] {
        dir.sh(&format!("heka-cat --checkpoint {link} --format payload in.hpb")).ok();
        assert!(std::fs::symlink_metadata(dir.path(link)).unwrap().is_symlink());
    }
    assert!(String::from_utf8(dir.read("real/ck")).unwrap().contains("\"sequence\":6"));
    // It keeps its mode, and nothing is left beside it.
    dir.sh("chmod 600 real/ck; echo four >> in.log; touch real/ck.0123456789abcdef.tmp; heka-tail in.log | heka-cat --checkpoint link > out").ok();
    let ran = dir.sh("stat -c %a real/ck; ls real").ok();
    assert_eq!(ran.text(), "600\nck\n");
    dir.write("count.lua", "n = 0\nfunction process_message() n = n + 1 return 0 end\n");
    dir.sh("heka-sandbox --lua count.lua --preserve state in.hpb > out").ok();
    assert!(std::fs::symlink_metadata(dir.path("state")).unwrap().is_symlink());
    assert!(String::from_utf8(dir.read("real/st")).unwrap().contains("[\"n\"] = 3"));
    dir.write("empty", "");
    let ran = dir.sh("heka-sandbox --lua count.lua --preserve empty in.hpb > out");
    assert!(ran.status.success() && ran.stderr.contains("empty: it is empty, the state begins anew"), "{}", ran.stderr);
    for status in [304, 300, 305] {
        let (port, _) = serve(move |_, _| told(status, "", ""));
        for sink in ["heka-hec --token-file token", "heka-http"] {
            let ran = dir.sh(&format!("{sink} --url http://127.0.0.1:{port} in.hpb"));
            assert!(ran.code() == 3 && !ran.stderr.contains("redirect"), "{}", ran.stderr);
        }
    }
}

/// A backup that can't be written commits nothing; one that was cut goes on behind its last whole record.
#[test]
fn what_is_not_on_disk_is_not_settled() {
    let refuse = |request: &Incoming, _: usize| match events(request).iter().position(|event| event != "1") {
        Some(place) => told(400, "", &json!({"text": "bad", "code": 6, "invalid-event-number": place}).to_string()),
        None => told(200, "", TAKEN),
    };
    let dir = workdir(50);
    let (port, _) = serve(refuse);
    for spool in ["", "--spool spool"] {
        let ran = dir.sh(&pipe(&hec(port, &format!("--backup /dev/full --in-flight 1 --max-batch-events 5 {spool}"))));
        assert!(
            ran.code() == 3 && ran.stderr.contains("--backup /dev/full: No space left on device"),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("went to the backup"), "{}", ran.stderr);
    }
    // Nothing is lost: it is at its source, or in the spool.
    let ran = dir.sh(&pipe(&hec(port, "--backup dead.hpb --spool spool")));
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    let mut dead: Vec<u32> = payloads(&dir.read("dead.hpb")).iter().map(|text| text.parse().unwrap()).collect();
    dead.sort();
    dead.dedup();
    assert_eq!(dead, (2..=50).collect::<Vec<_>>());

    let dir = workdir(3);
    let (port, _) = serve(refuse);
    assert_eq!(dir.sh(&pipe(&hec(port, "--backup dead.hpb"))).code(), 1);
    let whole = dir.read("dead.hpb");
    dir.write("dead.hpb", &whole[..whole.len() - 5]);
    dir.append("in.log", "four\n");
    let ran = dir.sh(&pipe(&hec(port, "--max-batch-events 1 --backup dead.hpb --url http://127.0.0.1:1")));
    assert!(ran.stderr.contains("its last record was cut short"), "{}", ran.stderr);
    dir.write("text", "no stream\n");
    dir.sh(&hec(port, "--backup text in.log")).fails(2, "it is no stream of Heka messages");
    assert_eq!(dir.read("text"), b"no stream\n");
}

/// A limit of file sizes is told as what it is, and a question for statistics ends nobody who has just begun.
#[test]
fn signals_that_say_something_end_nothing() {
    let dir = workdir(50);
    let (port, _) = serve(|request, _| match events(request).iter().position(|event| event != "1") {
        Some(place) => told(400, "", &json!({"text": "bad", "code": 6, "invalid-event-number": place}).to_string()),
        None => told(200, "", TAKEN),
    });
    let sink = hec(port, "--backup dead.hpb --in-flight 1 --max-batch-events 5 --checkpoint ck");
    let ran = dir.sh(&format!("heka-tail --checkpoint ck --commit sink in.log | (ulimit -f 1; exec {sink})"));
    assert!(
        ran.code() == 3 && ran.stderr.contains("--backup dead.hpb: File too large"),
        "{} {}",
        ran.code(),
        ran.stderr
    );
    // What had been appended is whole.
    let kept = payloads(&dir.read("dead.hpb"));
    assert!(!kept.is_empty() && kept.len() < 49, "{kept:?}");
    for _ in 0..20 {
        let ran = dir.sh("sleep 0.2 | heka-cat > out & pid=$!; sleep 0.01; kill -USR1 $pid 2>/dev/null; wait $pid");
        assert!(ran.status.success(), "{:?} {}", ran.status, ran.stderr);
    }
}

/// Ctrl-C is heard by all programs of a pipe: what is on its way arrives.
#[test]
fn an_interrupt_lets_a_listener_drain_into_its_sink() {
    let dir = workdir(0);
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let seen = arrived.clone();
    let (port, _) = serve(move |request, _| {
        seen.lock().unwrap().extend(events(request));
        std::thread::sleep(Duration::from_millis(50));
        told(200, "", TAKEN)
    });
    // A filter stands between: it has to go on, too.
    let sink = hec(port, "--max-batch-events 500");
    let mut pipe = dir.start(&format!("heka-listen --address 127.0.0.1 --tcp 0 | heka-match TRUE | {sink}"));
    let line = pipe.stderr_line();
    let listener: u16 = line.rsplit(':').next().unwrap().trim().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", listener)).unwrap();
    for number in 0..20_000 {
        writeln!(stream, "<13>line {number}").unwrap();
    }
    pipe.signal("-INT");
    drop(stream);
    assert!(pipe.wait(Duration::from_secs(30)).success());
    let said = {
        let mut said = String::new();
        pipe.child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        said
    };
    assert_eq!(arrived.lock().unwrap().len(), 20_000, "{said}");
    // The second one ends it at once.
    let asked = Arc::new(AtomicBool::new(false));
    let sending = asked.clone();
    let (silent, _) = serve(move |_, _| {
        asked.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(60));
        None
    });
    dir.write("in.log", "1\n");
    let sink = hec(silent, "");
    let running =
        dir.start(&format!("(trap '' INT; heka-tail in.log; sleep 60) | (trap : INT; {sink}; echo $? > gone)"));
    eventually("it sends", || sending.load(Ordering::Relaxed));
    running.signal("-INT");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!dir.path("gone").exists(), "the input has not ended");
    running.signal("-INT");
    eventually("the sink is gone", || dir.read("gone") == b"130\n");
}

/// Requests at a time, and the order of each stream.
#[test]
fn several_requests_at_a_time_keep_the_order_of_a_stream() {
    let dir = Workdir::new();
    for stream in 0..8 {
        dir.write(&format!("s{stream}.log"), (0..40).map(|line| format!("{stream} {line}\n")).collect::<String>());
    }
    let (at_once, most) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let (count, peak, seen) = (at_once.clone(), most.clone(), arrived.clone());
    let failing = Mutex::new(0u32);
    let port = listen(move |stream| {
        let request = Incoming::read(stream)?;
        let now = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        let mut peak = peak.lock().unwrap();
        *peak = (*peak).max(now);
        drop(peak);
        std::thread::sleep(Duration::from_millis(5));
        *count.lock().unwrap() -= 1;
        let mut failing = failing.lock().unwrap();
        *failing += 1;
        if (*failing).is_multiple_of(17) {
            return write_answer(stream, 503, "", "");
        }
        drop(failing);
        seen.lock().unwrap().extend(request.text().lines().map(str::to_string));
        write_answer(stream, 200, "", "")
    });
    let ran = dir.sh(&format!(
        "heka-tail --checkpoint ck --commit sink s*.log | heka-http --url http://127.0.0.1:{port} --in-flight 4 --batch 3 --checkpoint ck"
    ));
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    let arrived = arrived.lock().unwrap();
    for stream in 0..8 {
        let mine: Vec<&String> = arrived.iter().filter(|line| line.starts_with(&format!("{stream} "))).collect();
        assert_eq!(mine, (0..40).map(|line| format!("{stream} {line}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    }
    assert!(*most.lock().unwrap() > 1, "one at a time");
    let again = dir.sh("heka-tail --checkpoint ck --commit sink s*.log | heka-cat -c");
    assert_eq!(again.text().trim(), "0");
}
