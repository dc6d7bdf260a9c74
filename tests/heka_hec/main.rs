//! heka-hec and heka-listen --hec, against each other, against curl, and against a server that misbehaves by script.

#[path = "../common/mod.rs"]
mod common;
mod rounds;
mod spool;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::http::{Incoming, listen};
use common::{Workdir, eventually, field, messages, payloads};

/// A HEC server that gives scripted answers and remembers what it was asked: (path, headers, body).
struct Scripted {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone)]
struct Request {
    path: String,
    headers: String,
    body: String,
}

impl Scripted {
    /// `answer` gets the number of the request and the request; it answers status line and body.
    fn new(answer: impl Fn(usize, &Request) -> (u16, String) + Send + 'static) -> Scripted {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (requests.clone(), Mutex::new(answer));
        let port = listen(move |stream| serve(stream, &seen, &answer));
        Scripted { port, requests }
    }

    fn bodies(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|request| request.body.clone()).collect()
    }
}

fn serve<A: Fn(usize, &Request) -> (u16, String)>(
    mut stream: &TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &Mutex<A>,
) -> Option<()> {
    let incoming = Incoming::read(stream)?;
    let body = incoming.text();
    let request = Request { path: incoming.path, headers: incoming.head, body };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    let (status, text) = answer.lock().unwrap()(number, &request);
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len()).ok()
}

fn send(dir: &Workdir, lines: &str, server: &Scripted, options: &str) -> common::Ran {
    dir.write("token", "s3cret\n");
    dir.write("in.log", lines);
    dir.sh(&format!("heka-tail in.log | heka-hec --url http://127.0.0.1:{} --token-file token {options}", server.port))
}

fn success() -> (u16, String) {
    (200, r#"{"text":"Success","code":0}"#.into())
}

#[test]
fn events_arrive_with_and_without_acks_compression_and_tls() {
    let dir = Workdir::new();
    dir.sh("seq 1 3000 | heka-tail --logger app --type numbers --hostname web1 > in.hpb").ok();
    let variants = [
        ("", "http", ""),
        ("", "http", "--ack"),
        ("", "http", "--gzip --ack --max-batch-events 100"),
        ("", "http", "--endpoint raw --ack --index main"),
        ("--cert $DATA/cert.pem --key $DATA/key.pem", "https", "--ca $DATA/cert.pem --ack"),
        ("--cert $DATA/cert.pem --key $DATA/key.pem", "https", "--insecure"),
    ];
    for (number, (server, scheme, client)) in variants.iter().enumerate() {
        let out = format!("out{number}.hpb");
        let (mut listen, port) = dir.listen(server, &out);
        let url = format!("{scheme}://127.0.0.1:{port}");
        dir.sh(&format!("heka-hec {client} --url {url} --token-file token in.hpb")).ok();
        listen.signal("-TERM");
        assert!(listen.wait(Duration::from_secs(10)).success());
        let made = messages(&dir.read(&out));
        let mut numbers: Vec<u32> = payloads(&dir.read(&out)).iter().map(|text| text.parse().unwrap()).collect();
        numbers.sort();
        assert_eq!(numbers, (1..=3000).collect::<Vec<_>>(), "{client}");
        assert_eq!(made[0].r#type.as_deref(), Some(&b"numbers"[..]));
        assert_eq!(made[0].logger.as_deref(), Some(&b"app"[..]));
        assert_eq!(made[0].hostname.as_deref(), Some(&b"web1"[..]));
    }
    let (_listen, port) = dir.listen("--cert $DATA/cert.pem --key $DATA/key.pem", "x");
    let refused = dir.sh(&format!("heka-hec --url https://127.0.0.1:{port} --token-file token in.hpb"));
    assert!(refused.stderr.contains("--ca FILE names the authority"), "{}", refused.stderr);
    assert_eq!(refused.code(), 3);
}

#[test]
fn the_server_speaks_the_protocol() {
    let dir = Workdir::new();
    let (_listen, port) = dir.listen("--max-content-length 1000", "out.hpb");
    let curl = |path: &str, options: &str| {
        let script = format!("curl -s -w ' %{{http_code}}' http://127.0.0.1:{port}/services/collector{path} {options}");
        dir.sh(&script).ok().text().to_string()
    };
    let auth = "-H 'Authorization: Splunk s3cret'";
    let channel = "-H 'X-Splunk-Request-Channel: 0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba'";
    let cases = [
        ("/health", "", r#"{"text":"HEC is healthy","code":17} 200"#),
        ("/event", "-d '{}'", r#"{"text":"Token is required","code":2} 401"#),
        ("/event", "-H 'Authorization: s3cret' -d '{}'", r#"{"text":"Invalid authorization","code":3} 401"#),
        ("/event", "-H 'Authorization: Splunk x' -d '{}'", r#"{"text":"Invalid token","code":4} 403"#),
        ("/event", &format!("{auth} -d ''"), r#"{"text":"No data","code":5} 400"#),
        ("", &format!("{auth} -d '{{\"event\":\"1\"}}'"), r#"{"text":"Success","code":0} 200"#),
        ("/event/1.0", "-u x:s3cret -d '{\"event\":\"2\"}'", r#"{"text":"Success","code":0} 200"#),
        ("/raw", &format!("{auth} --data-binary $'3\\n4\\n'"), r#"{"text":"Success","code":0} 200"#),
        (
            "/event",
            &format!("{auth} -d '{{\"event\":\"5\"}} {{\"event\":\"\"}} {{\"event\":\"lost\"}}'"),
            r#"{"text":"Event field cannot be blank","code":13,"invalid-event-number":1} 400"#,
        ),
        (
            "/event",
            &format!("{auth} -H 'X-Splunk-Request-Channel: x' -d '{{\"event\":\"no\"}}'"),
            r#"{"text":"Invalid data channel","code":11} 400"#,
        ),
        (
            "/event",
            &format!("{auth} {channel} -d '{{\"event\":\"6\"}}'"),
            r#"{"ackId":0,"text":"Success","code":0} 200"#,
        ),
        (
            "/event",
            &format!("{auth} {channel} -d '{{\"event\":\"7\"}}'"),
            r#"{"ackId":1,"text":"Success","code":0} 200"#,
        ),
        ("/ack", &format!("{auth} -d '{{\"acks\":[0]}}'"), r#"{"text":"Data channel is missing","code":10} 400"#),
        ("/event", &format!("{auth} -d @big"), r#"{"text":"Content too large","code":413} 413"#),
        (
            "/event",
            &format!("{auth} -H 'Content-Encoding: deflate' -d x"),
            r#"{"text":"Unsupported content encoding","code":415} 415"#,
        ),
        ("/nothing", auth, r#"{"text":"The requested URL was not found on this server.","code":404} 404"#),
        ("/event", auth, r#"{"text":"The requested URL was not found on this server.","code":405} 405"#),
    ];
    dir.write("big", "x".repeat(2000));
    for (path, options, expected) in cases {
        assert_eq!(curl(path, options), expected, "{path} {options}");
    }
    // An ack turns true once, and only for what was written.
    let ask = format!("{auth} {channel} -d '{{\"acks\":[0,1,2]}}'");
    let mut told = String::new();
    eventually("both acks are true", || {
        told += &curl("/ack", &ask);
        told.contains("\"0\":true") && told.contains("\"1\":true")
    });
    assert_eq!(curl("/ack", &ask), r#"{"acks":{"0":false,"1":false,"2":false}} 200"#);
    assert_eq!(payloads(&dir.read("out.hpb")), ["1", "2", "3", "4", "5", "6", "7"]);
}

#[test]
fn listening_refuses_what_it_cannot_do() {
    let dir = Workdir::new();
    dir.write("token", "");
    dir.sh("heka-listen --hec 127.0.0.1:0 --token-file token | cat").fails(2, "token: no token in it");
    dir.sh("heka-listen --hec 127.0.0.1:0 | cat").fails(2, "name its file with --token-file, or set HEKA_HEC_TOKEN");
    let (_listen, port) = dir.listen("", "x");
    dir.sh(&format!("heka-listen --hec 127.0.0.1:{port} --token-file token | cat")).fails(3, "Address already in use");
    dir.write("not.pem", "x");
    dir.sh("heka-listen --hec 127.0.0.1:0 --cert not.pem --key not.pem --token-file token | cat").fails(2, "not.pem: ");
}

#[test]
fn a_full_disk_refuses_events_and_ends_the_server() {
    let dir = Workdir::new();
    let (mut listen, port) = dir.listen("", "/dev/full");
    let event = format!("curl -s http://127.0.0.1:{port}/services/collector -u x:s3cret -d '{{\"event\":\"1\"}}'");
    assert_eq!(dir.sh(&event).ok().text(), r#"{"text":"Server is busy","code":9}"#);
    assert!(listen.stderr_line().contains("standard output: No space left on device"));
    assert_eq!(listen.wait(Duration::from_secs(10)).code(), Some(3));
}

#[test]
fn a_busy_server_is_tried_again_and_nothing_is_lost() {
    let dir = Workdir::new();
    let server = Scripted::new(|number, _| match number {
        0 | 2 => (503, r#"{"text":"Server is busy","code":9}"#.into()),
        1 => (502, "<html>bad gateway</html>".into()),
        _ => success(),
    });
    let ran = send(&dir, "1\n2\n3\n", &server, "--in-flight 1 --max-batch-events 2");
    assert_eq!(ran.code(), 0);
    assert!(ran.stderr.contains("Server is busy (code 9, HTTP 503)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("heka-hec: 3 delivered, "), "{}", ran.stderr);
    let bodies = server.bodies();
    assert_eq!(bodies.len(), 5);
    assert_eq!(bodies[0].matches("\"event\":").count(), 2);
    // The last try of each batch is the one that was taken.
    for line in 1..=3 {
        assert!(bodies[3..].iter().any(|body| body.contains(&format!("\"event\":\"{line}\""))));
    }
    let request = server.requests.lock().unwrap()[0].clone();
    assert_eq!(request.path, "/services/collector/event");
    assert!(
        request.headers.contains("authorization: splunk s3cret") && request.headers.contains("user-agent: heka-hec/")
    );
    assert!(request.headers.contains("x-splunk-request-channel: "));
}

#[test]
fn a_bad_event_is_taken_out_and_the_others_arrive() {
    let dir = Workdir::new();
    let server =
        Scripted::new(|_, request| match request.body.lines().position(|line| line.contains("\"event\":\"bad")) {
            Some(number) => {
                (400, format!(r#"{{"text":"Invalid data format","code":6,"invalid-event-number":{number}}}"#))
            }
            None => success(),
        });
    let ran = send(&dir, "1\nbad 2\n3\nbad 4\n", &server, "--backup dead.hpb");
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.contains("2 delivered, 0 sent again, 3 possible duplicates, 2 dead-lettered"), "{}", ran.stderr);
    let last = server.bodies().pop().unwrap();
    assert!(last.contains("\"event\":\"1\"") && last.contains("\"event\":\"3\"") && !last.contains("bad"));
    assert_eq!(payloads(&dir.read("dead.hpb")), ["bad 2", "bad 4"]);
    let dead = &messages(&dir.read("dead.hpb"))[0];
    assert!(field(dead, "hec_error").unwrap().contains("Invalid data format (code 6"));
    assert_eq!(field(dead, "hec_attempts").as_deref(), Some("int 1"));
    // A batch that is too large is halved until it fits.
    let server = Scripted::new(|_, request| if request.body.len() > 400 { (413, String::new()) } else { success() });
    assert_eq!(send(&dir, "1\n2\n3\n4\n5\n6\n7\n8\n", &server, "").code(), 0);
}

#[test]
fn what_can_never_work_ends_at_once_with_the_server_s_words() {
    let dir = Workdir::new();
    let cases = [
        (403, r#"{"text":"Invalid token","code":4}"#, "", "the server says: Invalid token (code 4, HTTP 403)"),
        (404, "<html>", "", "the server answers HTTP 404"),
        (200, r#"{"text":"Success","code":0}"#, "--ack", "it has no indexer acknowledgement"),
        (302, "", "", "redirects"),
    ];
    for (status, body, options, words) in cases {
        let server = Scripted::new(move |_, _| (status, body.into()));
        let ran = send(&dir, "1\n2\n", &server, &format!("{options} --checkpoint ck"));
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        assert_eq!(ran.code(), 3);
        assert_eq!(dir.read("ck"), b"{\"streams\":{}}\n", "nothing was delivered");
        assert!(!ran.stderr.contains("s3cret"));
    }
    dir.sh("heka-hec --url splunk:8088 --token-file token").fails(2, "begins with http:// or https://");
}

#[test]
fn what_is_given_up_goes_to_the_backup_and_can_be_sent_later() {
    let dir = Workdir::new();
    let down = Scripted::new(|_, _| (503, String::new()));
    let ran = send(&dir, "1\n2\n", &down, "--max-attempts 2 --backup later.hpb --checkpoint ck");
    assert_eq!(ran.code(), 1);
    assert_eq!(down.bodies().len(), 2);
    assert_eq!(payloads(&dir.read("later.hpb")), ["1", "2"]);
    let up = Scripted::new(|_, _| success());
    dir.sh(&format!("heka-hec --url http://127.0.0.1:{} --token-file token later.hpb", up.port)).ok();
    assert!(up.bodies()[0].contains("\"event\":\"1\""));
    // Without a backup the checkpoint stays where it was.
    let ran = send(&dir, "1\n2\n", &down, "--max-attempts 1 --checkpoint ck2");
    assert_eq!(ran.code(), 1);
    assert_eq!(dir.read("ck2"), b"{\"streams\":{}}\n");
}

#[test]
fn acks_are_waited_for_and_batches_sent_again_when_they_do_not_come() {
    let dir = Workdir::new();
    // The first batch is forgotten: its ack never comes. The second try's does, at the second question.
    let asked = Mutex::new(0);
    let server = Scripted::new(move |_, request| {
        if !request.path.contains("/ack") {
            return (200, r#"{"text":"Success","code":0,"ackId":0}"#.into());
        }
        *asked.lock().unwrap() += 1;
        let done = *asked.lock().unwrap() > 8;
        (200, format!(r#"{{"acks":{{"0":{done}}}}}"#))
    });
    let ran = send(&dir, "1\n", &server, "--ack --ack-timeout 1 --ack-interval 0.25 --checkpoint ck");
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("not acknowledged in time"), "{}", ran.stderr);
    let requests = server.requests.lock().unwrap();
    let channels: std::collections::HashSet<&str> = requests
        .iter()
        .filter_map(|request| request.headers.lines().find(|line| line.starts_with("x-splunk-request-channel")))
        .collect();
    assert!(channels.len() >= 2, "a new channel for the second try");
    assert!(dir.path("ck").exists());
}

#[test]
fn statistics_come_on_request_while_the_server_is_down() {
    let dir = Workdir::new();
    let down = Scripted::new(|_, _| (503, String::new()));
    dir.write("token", "s3cret\n");
    dir.write("in.log", "1\n2\n");
    let mut pipe = dir.start(&format!(
        "heka-tail in.log | heka-hec --url http://127.0.0.1:{} --token-file token > /dev/null",
        down.port
    ));
    assert!(pipe.stderr_line().contains("the server answers HTTP 503"));
    pipe.signal("-USR1");
    assert!(pipe.stderr_line().contains("\"events_delivered\":0"));
}

#[test]
fn options_say_what_an_event_is_and_where_it_goes() {
    let dir = Workdir::new();
    let server = Scripted::new(|_, _| success());
    let message = r#"{"type":"nginx","timestamp":1433188255253000001,"hostname":"web1","logger":"access","payload":"GET /","fields":[{"name":"app","value_string":["shop"]},{"name":"status","value_type":2,"value_integer":[200]},{"name":"up","value_type":4,"value_bool":[true]}]}"#;
    dir.write("in.json", format!("{message}\n{}\n", message.replace("shop", "blog")));
    let sent = |options: &str| -> Vec<(String, String)> {
        let before = server.bodies().len();
        dir.write("token", "s3cret\n");
        let url = format!("--url http://127.0.0.1:{} --token-file token", server.port);
        dir.sh(&format!("heka-cat --from-json in.json > in.hpb; heka-hec {url} {options} in.hpb")).ok();
        let requests = server.requests.lock().unwrap();
        requests[before..].iter().map(|request| (request.path.clone(), request.body.clone())).collect()
    };
    let event = |index: &str, rest: &str| {
        format!(
            "{{\"time\":1433188255.253000001,\"host\":\"web1\",\"source\":\"access\",\"sourcetype\":\"nginx\"{index},{rest}}}\n"
        )
    };
    let path = "/services/collector/event".to_string();
    let both = |rest: &str| event(",\"index\":\"shop\"", rest) + &event(",\"index\":\"blog\"", rest);
    let indexed = both(r#""event":"GET /","fields":{"status":200,"up":"true"}"#);
    assert_eq!(sent("--index '%{Fields[app]}' --fields status,up"), [(path.clone(), indexed)]);
    let fields = r#""event":{"app":"APP","status":200,"up":true}"#;
    let objects = event("", &fields.replace("APP", "shop")) + &event("", &fields.replace("APP", "blog"));
    assert_eq!(sent("--event fields"), [(path, objects)]);
    // One set of metadata a request of text; those with other ones go in another.
    let raw = sent("--endpoint raw --source '/%{Fields[app]}' --sourcetype x --host '' --in-flight 1");
    let raw_path = |app: &str| format!("/services/collector/raw?source=%2F{app}&sourcetype=x");
    assert_eq!(raw, [(raw_path("shop"), "GET /\n".into()), (raw_path("blog"), "GET /\n".into())]);
    let usage = |options: &str, words: &str| {
        dir.sh(&format!("heka-hec --url http://h --token-file token {options} in.hpb")).fails(2, words);
    };
    usage("--endpoint raw --fields '*'", "--fields: --endpoint raw has none");
    usage("--index '%{App}'", "\"App\" is no variable");
}

#[test]
fn nothing_is_read_before_the_server_is_healthy() {
    let dir = Workdir::new();
    let server = Scripted::new(|number, request| match (number, request.path.as_str()) {
        (0, _) => (503, r#"{"text":"HEC is unhealthy, queues are full","code":18}"#.into()),
        (_, "/services/collector/health/1.0") => (200, r#"{"text":"HEC is healthy","code":17}"#.into()),
        _ => success(),
    });
    let ran = send(&dir, "one\n", &server, "--health-check");
    assert_eq!(ran.code(), 0);
    assert!(
        ran.stderr.contains("waiting: the server says: HEC is unhealthy, queues are full (code 18"),
        "{}",
        ran.stderr
    );
    assert_eq!(server.requests.lock().unwrap().len(), 3);
    let server = Scripted::new(|_, _| (400, r#"{"text":"Invalid token","code":21}"#.into()));
    send(&dir, "one\n", &server, "--health-check").fails(3, "the server says: Invalid token (code 21");
    // One that can't be asked may take events all the same.
    let server = Scripted::new(|_, request| match request.path.as_str() {
        "/services/collector/health/1.0" => (404, String::new()),
        _ => success(),
    });
    send(&dir, "one\n", &server, "--health-check").ok();
}

#[test]
fn a_quiet_log_is_shipped_at_once() {
    let dir = Workdir::new();
    let (_listen, port) = dir.listen("", "out.hpb");
    dir.write("app.log", "");
    let _pipe = dir.start(&format!(
        "heka-tail -f --checkpoint ck --commit sink app.log | heka-hec --ack --checkpoint ck --url http://127.0.0.1:{port} --token-file token"
    ));
    std::thread::sleep(Duration::from_millis(200));
    for number in 1..=3 {
        dir.append("app.log", format!("{number}\n"));
        eventually("the line has arrived", || payloads(&dir.read("out.hpb")).len() == number);
    }
    eventually("its cursor is committed", || String::from_utf8_lossy(&dir.read("ck")).contains("\"sequence\":6"));
}

/// Reads what a connection is answered until it ends, or until nothing comes for so long.
fn answer_of(mut stream: &TcpStream, within: Duration) -> Option<String> {
    stream.set_read_timeout(Some(within)).unwrap();
    let (mut text, mut block) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut block) {
            Ok(0) => return Some(String::from_utf8_lossy(&text).into_owned()),
            Ok(count) => text.extend_from_slice(&block[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Some(String::new()),
            Err(_) => return None,
        }
    }
}

fn event(port: u16) -> String {
    format!("curl -sm 5 http://127.0.0.1:{port}/services/collector -u x:s3cret -d '{{\"event\":\"1\"}}'")
}

#[test]
fn slow_clients_shut_nobody_out() {
    let dir = Workdir::new();
    let (_listen, port) =
        dir.listen("--complete-within 1 --max-connections 50 --max-connections-per-address 50", "out.hpb");
    let good = || assert_eq!(dir.sh(&event(port)).ok().text(), r#"{"text":"Success","code":0}"#);
    let head = "POST /services/collector HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk s3cret\r\n";
    let connect = |text: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    // Half headers, more than there is room for: each goes after its time, or for another one.
    let half: Vec<TcpStream> = (0..200).map(|_| connect(&head[..60])).collect();
    good();
    for stream in &half {
        assert!(answer_of(stream, Duration::from_secs(10)).is_some(), "it stays open");
    }
    // Bodies that stop, and that drip.
    let stops = connect(&format!("{head}Content-Length: 60000000\r\n\r\n{{\"event\":"));
    let drips = connect(&format!("{head}Content-Length: 60000000\r\n\r\n"));
    let dripping = drips.try_clone().unwrap();
    std::thread::spawn(move || {
        while (&dripping).write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    for stream in [stops, drips] {
        let answer = answer_of(&stream, Duration::from_secs(10)).expect("it stays open");
        assert!(answer.is_empty() || answer.contains("408"), "{answer}");
        good();
    }
}

#[test]
fn requests_that_never_end_keep_nobody_from_the_end() {
    let dir = Workdir::new();
    let (mut listen, port) = dir.listen("", "out.hpb");
    let head = "POST /services/collector HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk s3cret\r\n";
    let texts = [head[..60].to_string(), format!("{head}Content-Length: 100\r\n\r\n{{"), String::new()];
    let open: Vec<TcpStream> = texts
        .iter()
        .map(|text| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            stream
        })
        .collect();
    dir.sh(&event(port)).ok();
    listen.signal("-TERM");
    assert!(listen.wait(Duration::from_secs(14)).success());
    drop(open);
    assert_eq!(payloads(&dir.read("out.hpb")), ["1"]);
}

#[test]
fn questions_for_acks_have_limits() {
    let dir = Workdir::new();
    let (_listen, port) = dir.listen("", "out.hpb");
    let ask = |ids: &str| {
        dir.sh(&format!("printf '{{\"acks\":[' > q; {ids} >> q; printf '1]}}' >> q; gzip -kf q")).ok();
        let options = "-H 'X-Splunk-Request-Channel: 0aeeac95-ac74-4aa9-b30d-6c4c0ac581ba' -H 'Content-Encoding: gzip'";
        let url = format!("http://127.0.0.1:{port}/services/collector/ack");
        dir.sh(&format!("curl -sm 5 -w ' %{{http_code}}' {url} -u x:s3cret {options} --data-binary @q.gz"))
            .ok()
            .text()
            .to_string()
    };
    let refused = r#"{"text":"Content too large","code":413} 413"#;
    assert_eq!(ask("yes 1, | head -n 10000000 | tr -d '\\n'"), refused);
    assert_eq!(ask("yes 1, | head -n 20000 | tr -d '\\n'"), refused);
    assert_eq!(ask("seq -s, 2 9000 | tr '\\n' ,").matches(":false").count(), 9000);
}

#[test]
fn connections_are_fewer_than_open_files() {
    let dir = Workdir::new();
    dir.write("token", "s3cret\n");
    let listen = "exec heka-listen --address 127.0.0.1 --hec 127.0.0.1:0 --tcp 0 --token-file token >> out.hpb";
    let mut server = dir.start(&format!("ulimit -n 64; {listen}"));
    let (mut hec, mut tcp, mut allows) = (0, 0, false);
    while hec == 0 || tcp == 0 {
        let line = server.stderr_line();
        let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).unwrap_or(0);
        allows |= line.contains("allows 32 connections at a time");
        if line.contains("HEC at") { hec = port } else { tcp = port }
    }
    assert!(allows, "the limit is not told");
    // Silent ones of both kinds, many more than files.
    let silent: Vec<TcpStream> = (0..200)
        .map(|number| TcpStream::connect(("127.0.0.1", if number % 2 == 0 { hec } else { tcp })).unwrap())
        .collect();
    assert_eq!(dir.sh(&event(hec)).ok().text(), r#"{"text":"Success","code":0}"#);
    drop(silent);
}
