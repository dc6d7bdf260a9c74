//! heka-http: any endpoint, through an encoder; servers that are slow, down, or say no.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::{Workdir, eventually, field, messages, payloads};

/// What a request was.
#[derive(Debug)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A server that answers with these, then with the last of them: a status, and headers and a body behind a blank.
fn server(answers: &'static [&'static str]) -> (u16, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        let mut count = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                let mut headers = Vec::new();
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    let Some((name, value)) = header.trim().split_once(':') else { break };
                    headers.push((name.to_string(), value.trim().to_string()));
                }
                let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
                let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
                reader.read_exact(&mut body).unwrap();
                let body = String::from_utf8_lossy(&body).into_owned();
                let answer = answers[count.min(answers.len() - 1)];
                count += 1;
                let (status, rest) = answer.split_once(' ').unwrap_or((answer, ""));
                let (extra, text) = rest.split_once('|').unwrap_or((rest, ""));
                let extra = if extra.is_empty() { String::new() } else { format!("{extra}\r\n") };
                if sender.send(Request { line: line.trim().to_string(), headers, body }).is_err() {
                    return;
                }
                let _ = write!(stream, "HTTP/1.1 {status} X\r\n{extra}Content-Length: {}\r\n\r\n{text}", text.len());
            }
        }
    });
    (port, requests)
}

fn workdir() -> Workdir {
    let work = Workdir::new();
    work.write("app.log", "one\ntwo\nthree\n");
    work
}

#[test]
fn the_slack_article_works_as_written() {
    let work = workdir();
    let (port, requests) = server(&["200"]);
    work.write("log_aggregator.lua", include_str!("scripts/tutorial/log_aggregator.lua"));
    work.write("slack_encoder.lua", include_str!("scripts/tutorial/slack.lua"));
    work.write(
        "hekad.toml",
        format!(
            "[ExampleLogAggregator]\ntype = \"SandboxFilter\"\nmessage_matcher = \"Logger =~ /app.log$/\"\n\
             filename = \"log_aggregator.lua\"\nticker_interval = 15\ncan_exit = false\n\n\
             [SlackEncoder]\ntype = \"SandboxEncoder\"\nfilename = \"slack_encoder.lua\"\n\n\
             [HttpOutput]\nmessage_matcher = \"Logger == 'ExampleLogAggregator'\"\n\
             address = \"http://127.0.0.1:{port}/services/T00/B00/XXX\"\nencoder = \"SlackEncoder\"\n"
        ),
    );
    work.sh("heka-tail --keep-delimiter app.log | heka-sandbox --config-file hekad.toml:ExampleLogAggregator | \
         heka-http --config-file hekad.toml:HttpOutput")
        .ok();
    let request = requests.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(request.line, "POST /services/T00/B00/XXX HTTP/1.1");
    let json: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(json["text"], "one\ntwo\nthree\n");
    assert_eq!(json["username"], "something you like");
    assert!(requests.try_recv().is_err());
}

#[test]
fn requests_are_what_the_options_say() {
    let work = workdir();
    let (port, requests) = server(&["202"]);
    work.write("headers", "X-Secret: s3cret\n");
    work.write("password", "pass\n");
    work.write("url", format!("http://127.0.0.1:{port}/a?b=c\n"));
    work.sh(
        "heka-tail app.log | heka-http --url-file url --method PUT --header 'Content-Type: text/x' --header-file headers \
         --user me --password-file password --match 'Payload != \"two\"' --success 202",
    )
    .ok();
    let request = requests.recv().unwrap();
    assert_eq!(request.line, "PUT /a?b=c HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("text/x"));
    assert_eq!(request.header("x-secret"), Some("s3cret"));
    assert_eq!(request.header("authorization"), Some("Basic bWU6cGFzcw=="));
    assert!(request.header("user-agent").unwrap().starts_with("heka-http/"));
    assert_eq!((request.body.as_str(), requests.recv().unwrap().body.as_str()), ("one\n", "three\n"));

    // Without a header of the user's, what the encoder makes says what it is.
    let (port, requests) = server(&["200"]);
    for (encoder, path, expected) in [
        ("payload", "", "text/plain; charset=utf-8"),
        ("slack", "", "application/json"),
        ("schema_influx", "", "application/json"),
        ("es_payload", "/x/_bulk", "application/x-ndjson"),
    ] {
        let url = format!("http://127.0.0.1:{port}{path}");
        let option = if encoder == "es_payload" { "--config type_name=" } else { "" };
        work.sh(&format!("heka-inject --payload '{{}}' | heka-http --encoder {encoder} {option} --url {url}")).ok();
        let request = requests.recv().unwrap();
        assert_eq!(request.header("content-type"), Some(expected), "{encoder}");
        assert!(!request.body.contains("_type"), "{}", request.body);
    }
    work.sh(&format!(
        "heka-inject --payload '{{}}' --field payload_type=json | heka-http --url http://127.0.0.1:{port}"
    ))
    .ok();
    assert_eq!(requests.recv().unwrap().header("content-type"), Some("application/json"));

    // Several in a request, from the environment's address.
    work.sh(&format!("heka-tail app.log | HEKA_HTTP_URL=http://127.0.0.1:{port}/ heka-http --batch 10")).ok();
    assert_eq!(requests.recv().unwrap().body, "one\ntwo\nthree\n");
    work.sh("heka-tail app.log | heka-http").fails(2, "where to?");
    work.sh("heka-tail app.log | heka-http --url ftp://x").fails(2, "expected an address");
    work.sh("heka-tail app.log | heka-http --url http://x --header nonsense").fails(2, "expected NAME: VALUE");
    work.sh("heka-tail app.log | heka-http --url http://x --success 42").fails(2, "expected statuses");
    work.sh("heka-tail app.log | heka-http --url http://x --encoder none").fails(2, "no script of that name ships");
}

#[test]
fn a_batch_that_is_not_full_goes_out_after_its_age() {
    let work = workdir();
    let (port, requests) = server(&["200"]);
    let _run = work
        .start(&format!("heka-tail -f app.log | heka-http --batch 100 --batch-age 0.2 --url http://127.0.0.1:{port}/"));
    assert_eq!(requests.recv_timeout(Duration::from_secs(20)).unwrap().body, "one\ntwo\nthree\n");
    work.append("app.log", "four\n");
    assert_eq!(requests.recv_timeout(Duration::from_secs(20)).unwrap().body, "four\n");
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let work = workdir();
    let (port, requests) = server(&["503", "429 Retry-After: 1", "200"]);
    let run = work.sh(&format!("heka-tail app.log | heka-http --stats --url http://127.0.0.1:{port}/secret/path"));
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let bodies: Vec<String> = requests.try_iter().map(|request| request.body).collect();
    assert_eq!(bodies, ["one\n", "one\n", "one\n", "two\n", "three\n"]);
    assert!(
        run.stderr.contains("\"events_sent_again\":2") && run.stderr.contains("answers HTTP 503"),
        "{}",
        run.stderr
    );
    // The path may be a secret.
    assert!(!run.stderr.contains("secret"), "{}", run.stderr);
}

#[test]
fn what_is_refused_goes_to_the_backup_and_can_be_sent_later() {
    let work = workdir();
    let (port, requests) = server(&["200", "400 |invalid_payload", "200"]);
    let url = format!("http://127.0.0.1:{port}/");
    let run = work.sh(&format!("heka-tail app.log | heka-http --backup bad.hpb --url {url}"));
    assert_eq!(run.code(), 1);
    assert!(run.stderr.contains("answers HTTP 400: invalid_payload; the message went to the backup"), "{}", run.stderr);
    assert!(run.stderr.contains("2 delivered, 0 sent again, 0 possible duplicates, 1 dead-lettered"), "{}", run.stderr);
    let kept = messages(&work.read("bad.hpb"));
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].payload.as_deref(), Some(&b"two"[..]));
    assert!(field(&kept[0], "http_error").unwrap().contains("HTTP 400"));
    assert_eq!(field(&kept[0], "http_attempts").as_deref(), Some("int 1"));
    assert_eq!(requests.try_iter().count(), 3);
    work.sh(&format!("heka-http --url {url} bad.hpb")).ok();
    assert_eq!(requests.recv().unwrap().body, "two\n");

    // Of a batch only the bad one.
    let (port, requests) = server(&["413", "200", "422", "422", "200"]);
    let run = work.sh(&format!("heka-tail app.log | heka-http --batch 3 --url http://127.0.0.1:{port}/"));
    assert_eq!(run.code(), 1, "{}", run.stderr);
    let bodies: Vec<String> = requests.try_iter().map(|request| request.body).collect();
    assert_eq!(bodies, ["one\ntwo\nthree\n", "one\n", "two\nthree\n", "two\n", "three\n"]);
}

#[test]
fn a_server_that_takes_nothing_ends_the_run() {
    let work = workdir();
    for (answer, words) in [("403 |no_service", "HTTP 403: no_service"), ("301", "it redirects"), ("404", "HTTP 404")] {
        let (port, requests) = server(Box::leak(Box::new([answer])));
        let run = work.sh(&format!("heka-tail app.log | heka-http --checkpoint c --url http://127.0.0.1:{port}/"));
        run.fails_with(&["0 delivered, 0 sent again, 0 possible duplicates, 0 dead-lettered, ", words]);
        assert_eq!(run.code(), 3);
        assert_eq!(requests.try_iter().count(), 1);
        assert_eq!(work.read("c"), b"{\"streams\":{}}\n");
    }
    // Nobody listens: five attempts, then the messages are lost, and that is said.
    let run = work.sh("heka-tail app.log | heka-http --max-attempts 1 --url http://127.0.0.1:1/");
    assert_eq!(run.code(), 1);
    assert!(
        run.stderr.contains("0 delivered, 0 sent again, 0 possible duplicates, 0 dead-lettered, 3 not delivered"),
        "{}",
        run.stderr
    );
}

#[test]
fn the_source_resumes_behind_what_was_delivered() {
    let work = workdir();
    let (port, requests) = server(&["200"]);
    let pipeline = format!(
        "heka-tail --checkpoint c --commit sink app.log | heka-http --checkpoint c --url http://127.0.0.1:{port}/"
    );
    work.sh(&pipeline).ok();
    assert_eq!(requests.try_iter().count(), 3);
    work.sh(&pipeline).ok();
    assert_eq!(requests.try_iter().count(), 0);
    work.append("app.log", "four\n");
    work.sh(&pipeline).ok();
    assert_eq!(requests.try_iter().map(|request| request.body).collect::<Vec<_>>(), ["four\n"]);

    // Stopped while the server is down: what it has is committed, the rest comes again.
    let (busy, tried) = server(&["200", "503"]);
    work.append("app.log", "five\nsix\n");
    let mut run = work.start(&format!(
        "heka-tail --checkpoint c --commit sink app.log | heka-http --drain 1 --checkpoint c --url http://127.0.0.1:{busy}/ 2> err"
    ));
    eventually("a retry", || tried.try_iter().any(|request| request.body == "six\n"));
    run.signal("-TERM");
    run.wait(Duration::from_secs(10));
    assert!(String::from_utf8_lossy(&work.read("err")).contains("stopped before everything was delivered"));
    work.sh(&pipeline).ok();
    assert_eq!(requests.try_iter().map(|request| request.body).collect::<Vec<_>>(), ["six\n"]);
}

#[test]
fn encoders_may_have_nothing_to_send_or_refuse() {
    let work = workdir();
    let (port, requests) = server(&["200"]);
    work.write(
        "some.lua",
        "function process_message()\n    local p = read_message('Payload')\n    if p == 'one' then return -2 end\n    \
         if p == 'two' then return -1, 'not this one' end\n    inject_payload('txt', '', p)\n    return 0\nend\n",
    );
    let run = work.sh(&format!("heka-tail app.log | heka-http --encoder some.lua --url http://127.0.0.1:{port}/"));
    assert_eq!(run.code(), 1);
    assert!(run.stderr.contains("some.lua: Failed serializing: not this one"), "{}", run.stderr);
    assert_eq!(requests.try_iter().map(|request| request.body).collect::<Vec<_>>(), ["three"]);
    let run = work.sh("heka-tail app.log | heka-cat --encoder some.lua");
    assert_eq!((run.code(), run.text()), (1, "three"));
    work.write("stop.lua", "function process_message() error('stop') end");
    let url = format!("--url http://127.0.0.1:{port}/ --backup bad.hpb");
    let run = work.sh(&format!("heka-tail app.log | heka-http --encoder stop.lua {url}"));
    run.says(&["stop.lua: process_message() stop.lua:1: stop, at payload: one; the message went to the backup"]);
    assert_eq!((run.code(), payloads(&work.read("bad.hpb")).join(" ").as_str()), (1, "one two three"));
    let run = work.sh(&format!("heka-tail app.log | heka-http --encoder stop.lua --max-failures 2 {url}"));
    run.says(&["at payload: two; it has failed 2 times in a row (--max-failures)"]);
    assert_eq!(run.code(), 3);
    // Nothing injected: the message itself, with what the script has changed.
    work.write("edit.lua", "function process_message() write_message('Type', 'edited') return 0 end");
    let run = work.sh("heka-tail app.log | heka-cat --encoder edit.lua > raw");
    assert!(run.status.success());
    assert!(String::from_utf8_lossy(&work.read("raw")).contains("edited"));
}

#[test]
fn tls_is_verified() {
    let work = workdir();
    let (mut server, port) = work.listen("--cert $DATA/cert.pem --key $DATA/key.pem", "got");
    let url = format!("https://127.0.0.1:{port}/services/collector/raw");
    let sink = format!("heka-http --header 'Authorization: Splunk s3cret' --url {url}");
    let refused = work.sh(&format!("heka-tail app.log | {sink}"));
    refused.fails_with(&["not delivered (their source has them)", "--ca FILE names the authority"]);
    assert_eq!(refused.code(), 3);
    work.sh(&format!("heka-tail app.log | {sink} --ca $DATA/cert.pem")).ok();
    work.sh(&format!("heka-tail app.log | {sink} --insecure")).ok();
    eventually("six events", || messages(&work.read("got")).len() == 6);
    server.signal("-TERM");
    server.wait(Duration::from_secs(10));
}
