//! heka-firehose against moto's server, which keeps what a delivery stream is sent in S3's form, and against a proxy
//! before it that holds to Firehose's limits and refuses what the test says.
//!
//! HEKA_KILL_ROUNDS and HEKA_FIREHOSE_ROUNDS make long tests of short ones; HEKA_SEED repeats one.

mod common;

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Background, Ran, Random, Workdir, eventually, field, free_port, messages, setting, stats};
use heka::message::uuid::random_u64;
use serde_json::{Value as Json, json};

fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    if python.with_file_name("moto_server").exists() {
        return Some(python);
    }
    println!("skipped: tests/run.sh installs moto");
    None
}

/// moto's server with one delivery stream.
struct Aws {
    dir: Workdir,
    python: PathBuf,
    port: u16,
    _server: Background,
}

const ACCESS: &str = "env AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_REGION=us-east-1 HOME=$PWD";

impl Aws {
    fn start() -> Option<Aws> {
        let python = python()?;
        let (dir, port) = (Workdir::new(), free_port());
        let moto = python.with_file_name("moto_server");
        let server = dir.start(&format!("exec {} -H 127.0.0.1 -p {port} > moto.log 2>&1", moto.display()));
        eventually("moto answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let aws = Aws { dir, python, port, _server: server };
        aws.script("create").ok();
        Some(aws)
    }

    fn script(&self, what: &str) -> Ran {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firehose.py");
        let python = self.python.display();
        self.dir.sh(&format!("{python} {} http://127.0.0.1:{} {what} logs", script.display(), self.port))
    }

    /// The command, which sends to that port.
    fn command(&self, port: u16, options: &str) -> String {
        format!(
            "{ACCESS} AWS_ENDPOINT_URL=http://127.0.0.1:{port} heka-firehose --stream logs --spool-dir spool {options}"
        )
    }

    fn stored(&self) -> String {
        self.script("read").ok().text().to_string()
    }

    fn documents(&self) -> Vec<Json> {
        serde_json::Deserializer::from_str(&self.stored()).into_iter().map(Result::unwrap).collect()
    }

    /// The texts of all events, sorted.
    fn events(&self) -> Vec<String> {
        let documents = self.documents();
        let events = documents.iter().flat_map(|document| document["logEvents"].as_array().unwrap());
        let mut events: Vec<String> = events.map(|event| event["message"].as_str().unwrap().into()).collect();
        events.sort();
        events
    }

    /// How many records lie in the spool.
    fn spooled(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.dir.path("spool")) else { return 0 };
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("firehose_")).count()
    }
}

fn sorted_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.sort();
    lines
}

/// What the proxy does with a call.
enum Act {
    Pass,
    /// Only the records at other places are passed on; these are answered with that code.
    Fail(Vec<usize>, &'static str),
    Answer(u16, &'static str),
    /// The call is passed on, and the connection cut before the answer.
    Cut,
    Slow(Duration),
}

/// A proxy before moto; `decide` is told how many records a call has. It notes what breaks Firehose's limits.
struct Proxy {
    port: u16,
    violations: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(moto: u16, decide: impl FnMut(usize) -> Act + Send + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let violations = Arc::new(Mutex::new(Vec::new()));
        let noted = violations.clone();
        let decide = Arc::new(Mutex::new(decide));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (decide, noted) = (decide.clone(), noted.clone());
                // A client that was killed leaves its connection: that is no failure of the test.
                std::thread::spawn(move || serve(stream, moto, &decide, &noted));
            }
        });
        Proxy { port, violations }
    }
}

fn read_head(reader: &mut impl std::io::BufRead) -> Option<(String, usize)> {
    let (mut head, mut len) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&count| count > 0)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().ok()?;
        }
        // Each exchange has its own connection to moto.
        if !line.to_ascii_lowercase().starts_with("connection:") {
            head.push_str(line.trim_end());
            head.push_str("\r\n");
        }
        if line.trim().is_empty() {
            return Some((head, len));
        }
    }
}

fn forward(moto: u16, head: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", moto)).ok()?;
    let lines =
        head.lines().filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("content-length"));
    let head: String = lines.map(|line| format!("{line}\r\n")).collect();
    write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()).ok()?;
    stream.write_all(body).ok()?;
    let mut reader = BufReader::new(stream);
    let (head, len) = read_head(&mut reader)?;
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body))
}

fn serve(
    mut stream: TcpStream,
    moto: u16,
    decide: &Mutex<impl FnMut(usize) -> Act>,
    violations: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (head, len) = read_head(&mut reader)?;
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    let mut answer = |status: u16, body: &[u8]| {
        let kind = "Content-Type: application/x-amz-json-1.1";
        let head =
            format!("HTTP/1.1 {status} X\r\n{kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok()
    };
    if !head.contains("PutRecordBatch") {
        let (status, body) = forward(moto, &head, &body)?;
        return answer(status, &body);
    }
    let mut call: Json = serde_json::from_slice(&body).unwrap();
    let records = call["Records"].as_array().unwrap().clone();
    let too_long = |record: &&Json| STANDARD.decode(record["Data"].as_str().unwrap()).unwrap().len() > 1_024_000;
    if records.len() > 500 || body.len() > 4_194_304 || records.iter().any(|record| too_long(&record)) {
        violations.lock().unwrap().push(format!("{} records, {} bytes", records.len(), body.len()));
    }
    let act = (decide.lock().unwrap())(records.len());
    match act {
        Act::Pass => {}
        Act::Slow(time) => std::thread::sleep(time),
        Act::Answer(status, kind) => {
            let words = json!({"__type": kind, "message": "Slow down."}).to_string();
            return answer(status, words.as_bytes());
        }
        Act::Cut => {
            forward(moto, &head, &body)?;
            return None;
        }
        Act::Fail(places, code) => {
            let good = records.iter().enumerate().filter(|(place, _)| !places.contains(place));
            call["Records"] = good.map(|(_, record)| record.clone()).collect();
            let mut ids = Vec::new();
            if call["Records"].as_array().is_some_and(|records| !records.is_empty()) {
                let reply: Json =
                    serde_json::from_slice(&forward(moto, &head, call.to_string().as_bytes())?.1).unwrap();
                ids = reply["RequestResponses"].as_array().unwrap().clone();
            }
            let mut ids = ids.into_iter();
            let failed = json!({"ErrorCode": code, "ErrorMessage": "Slow down."});
            let entries: Vec<Json> = (0..records.len())
                .map(|place| if places.contains(&place) { failed.clone() } else { ids.next().unwrap() })
                .collect();
            let reply = json!({"FailedPutCount": places.len(), "Encrypted": false, "RequestResponses": entries});
            return answer(200, reply.to_string().as_bytes());
        }
    }
    let (status, body) = forward(moto, &head, &body)?;
    answer(status, &body)
}

/// The two messages of kinesyslog's sample, and what it makes of them.
#[test]
fn records_have_the_shape_that_cloudwatch_and_kinesyslog_give_them() {
    let Some(aws) = Aws::start() else { return };
    let texts = [
        r#"<13>1 2018-02-21T21:07:50.239881+00:00 host.example.com user 4326 - [timeQuality tzKnown="1" isSynced="0"] Hello, World!"#,
        r#"<13>1 2018-02-21T21:07:51.712636+00:00 host.example.com user 4327 - [timeQuality tzKnown="1" isSynced="0"] I, for one, welcome our new insect overlords"#,
    ];
    let ids = ["363f3136-9356-443b-9eee-ce72d32d2307", "fae5ea37-972a-4bc5-a259-0d5404680758"];
    let times = [1_519_247_270_239_881_000i64, 1_519_247_271_712_636_000];
    let sender = |address| json!({"name": "sender", "value_string": [address]});
    let mut lines = String::new();
    for place in 0..2 {
        let uuid: Vec<u8> = hex(ids[place]);
        let message = json!({"uuid": STANDARD.encode(uuid), "timestamp": times[place], "type": "syslog_message",
            "payload": texts[place], "hostname": "host.example.com", "fields": [sender("127.0.0.1")]});
        lines += &format!("{message}\n");
    }
    // Another stream of the same group, by the host's name; and one that keeps its text in a field.
    for (kind, payload, fields) in [
        ("syslog_message", "without an address", json!([])),
        (
            "gelf_message",
            "short",
            json!([{"name": "raw", "value_string": ["{\"short_message\":\"\u{e9}\"}"]}, sender("::1")]),
        ),
    ] {
        let message = json!({"uuid": STANDARD.encode([9; 16]), "timestamp": times[0], "type": kind, "payload": payload,
            "hostname": "h2", "fields": fields});
        lines += &format!("{message}\n");
    }
    aws.dir.write("in.json", lines);
    let ran =
        aws.dir.sh(&format!("heka-cat --from-json in.json > in.hpb; {} --stats in.hpb", aws.command(aws.port, "")));
    let stats: Json = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(
        (ran.code(), &stats["records_delivered"], &stats["requests"]),
        (0, &json!(3), &json!(1)),
        "{}",
        ran.stderr
    );
    let document = |kind: &str, stream: &str, events: Json| {
        json!({"owner": "123456789012", "logGroup": kind, "logStream": stream, "subscriptionFilters": [kind],
            "messageType": "DATA_MESSAGE", "logEvents": events})
    };
    let event = |place: usize, rounded: i64| json!({"id": ids[place], "timestamp": rounded, "message": texts[place]});
    let other = |text: &str| json!([{"id": "09090909-0909-0909-0909-090909090909", "timestamp": 1_519_247_270_240i64, "message": text}]);
    let expected = [
        document("syslog_message", "127.0.0.1", json!([event(0, 1_519_247_270_240), event(1, 1_519_247_271_713)])),
        document("syslog_message", "h2", other("without an address")),
        document("gelf_message", "::1", other("{\"short_message\":\"\u{e9}\"}")),
    ];
    assert_eq!(aws.documents(), expected);
    // Names of groups by template, and an owner that nobody is asked for.
    let options = "--log-group '%{Type}/%{Hostname}' --owner 1 in.hpb";
    aws.dir.sh(&aws.command(aws.port, options)).ok();
    let groups: Vec<_> =
        aws.documents().iter().filter(|one| one["owner"] == "1").map(|one| one["logGroup"].clone()).collect();
    assert_eq!(groups, ["syslog_message/host.example.com", "syslog_message/h2", "gelf_message/h2"]);
}

#[test]
fn behind_heka_listen_it_does_what_kinesyslog_does() {
    let Some(aws) = Aws::start() else { return };
    let texts = [
        r#"<13>1 2018-02-21T21:07:50.239881+00:00 host.example.com user 4326 - [timeQuality tzKnown="1" isSynced="0"] Hello, World!"#,
        r#"<13>1 2018-02-21T21:07:51.712636+00:00 host.example.com user 4327 - [timeQuality tzKnown="1" isSynced="0"] I, for one, welcome our new insect overlords"#,
    ];
    let sent = |text: &str, kind: &str| match kind {
        "gelf_message" => format!(r#"{{"host":"h","short_message":{text:?},"timestamp":1519247270.239881}}"#),
        _ => text.to_string(),
    };
    for (options, kind) in [("", "syslog_message"), ("--gelf", "gelf_message")] {
        let listen = format!("sh -c 'echo $$ > pid; exec heka-listen --address 127.0.0.1 --tcp 0 {options}'");
        let mut pipe = aws.dir.start(&format!("{listen} | {}", aws.command(aws.port, "")));
        let line = pipe.stderr_line();
        let port: u16 = line.rsplit(':').next().unwrap().trim().parse().unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        for text in texts {
            stream.write_all(format!("{}\0", sent(text, kind)).as_bytes()).unwrap();
        }
        drop(stream);
        // A stop drains: what was sent before it is delivered.
        aws.dir.sh("kill $(cat pid)").ok();
        assert!(pipe.wait(Duration::from_secs(30)).success());
        let documents: Vec<Json> =
            aws.documents().into_iter().filter(|document| document["logGroup"] == kind).collect();
        assert_eq!(documents.len(), 1, "{documents:?}");
        let mut document = documents[0].clone();
        for (place, event) in document["logEvents"].as_array_mut().unwrap().iter_mut().enumerate() {
            let id = event["id"].take();
            assert_eq!(id.as_str().unwrap().len(), 36);
            let time = if place == 0 || kind == "gelf_message" { 1_519_247_270_240i64 } else { 1_519_247_271_713 };
            assert_eq!(*event, json!({"id": null, "timestamp": time, "message": sent(texts[place], kind)}));
        }
        document["logEvents"].take();
        let wanted = json!({"owner": "123456789012", "logGroup": kind, "logStream": "127.0.0.1",
            "subscriptionFilters": [kind], "messageType": "DATA_MESSAGE", "logEvents": null});
        assert_eq!(document, wanted);
    }
}

fn hex(uuid: &str) -> Vec<u8> {
    let digits: String = uuid.chars().filter(|c| *c != '-').collect();
    (0..16).map(|place| u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).unwrap()).collect()
}

/// Random letters, so that a buffer makes several records, and one that is too long for any.
#[test]
fn no_limit_is_broken_and_what_is_too_long_is_kept_aside() {
    let Some(aws) = Aws::start() else { return };
    let mut random = Random(7);
    let mut noise = |len: usize| -> String { (0..len).map(|_| (b'!' + (random.next() % 90) as u8) as char).collect() };
    let mut lines: Vec<String> = (0..3000).map(|number| format!("{number} {}", noise(1500))).collect();
    lines.push(noise(400_000));
    lines.push("a".repeat(2_000_000));
    let too_long = noise(1_600_000);
    aws.dir.write("log", lines.join("\n") + "\n" + &too_long + "\n");
    let proxy = Proxy::start(aws.port, |_| Act::Pass);
    let tail = "heka-tail --max-record 4M log";
    let options = "--max-message-size 4M --backup backup --stats";
    let ran = aws.dir.sh(&format!("{tail} > in.hpb; {} in.hpb", aws.command(proxy.port, options)));
    // A group for each of many messages: more records than a call may have.
    let many = aws.command(proxy.port, "--log-group 'group %{Payload}' --owner 1 <(seq 1200 | heka-tail)");
    aws.dir.sh(&many).ok();
    lines.extend((1..=1200).map(|number| number.to_string()));
    assert_eq!(ran.code(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("longer than a record may be; the message went to the backup"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 messages dead-lettered"), "{}", ran.stderr);
    assert_eq!(*proxy.violations.lock().unwrap(), [""; 0]);
    lines.sort();
    assert_eq!(aws.events(), lines);
    let backup = messages(&aws.dir.read("backup"));
    assert_eq!(backup.len(), 1);
    assert_eq!(backup[0].payload.as_deref(), Some(too_long.as_bytes()));
    assert_eq!(field(&backup[0], "firehose_error").as_deref(), Some("the message is longer than a record may be"));
    assert_eq!(aws.spooled(), 0);
}

#[test]
fn lines_of_text_and_of_json_are_records_too() {
    let Some(aws) = Aws::start() else { return };
    aws.dir.write("log", "one\ntwo \u{e9}\nthree\n");
    let payload = aws.command(aws.port, "--format payload --compression none");
    aws.dir.sh(&format!("{payload} <(heka-tail log)")).ok();
    assert_eq!(aws.stored(), "one\ntwo \u{e9}\nthree\n");
    let json = aws.command(aws.port, "--format json --compression-level 9");
    aws.dir.sh(&format!("heka-tail log > in.hpb; {json} in.hpb")).ok();
    let stored = aws.stored();
    let found: Vec<&str> = stored.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(found.join("\n") + "\n", aws.dir.sh("heka-cat --format json in.hpb").ok().text());
}

/// Seeded mixtures of all that Firehose answers: nothing is lost, nothing is set aside, and twice comes only what was in
/// a call that was cut.
#[test]
fn whatever_is_refused_is_sent_again() {
    let Some(aws) = Aws::start() else { return };
    let rounds = setting("HEKA_FIREHOSE_ROUNDS", 4);
    let seed = setting("HEKA_SEED", 1);
    println!("HEKA_SEED={seed}");
    let mut expected = Vec::new();
    let cuts = Arc::new(Mutex::new(0));
    for round in 0..rounds {
        let mut random = Random(seed.wrapping_add(round));
        let cut = cuts.clone();
        // After so much trouble all is well, so that a round ends.
        let mut troubles = 12;
        let proxy = Proxy::start(aws.port, move |records| {
            troubles -= 1;
            match if troubles < 0 { 9 } else { random.next() % 9 } {
                0 => Act::Answer(503, "ServiceUnavailableException"),
                1 => Act::Answer(400, "ThrottlingException"),
                2 => Act::Answer(500, "InternalFailure"),
                3 => Act::Answer(400, "LimitExceededException"),
                4 | 5 => {
                    let places = (0..records).filter(|_| random.next().is_multiple_of(2)).collect();
                    Act::Fail(
                        places,
                        if random.next().is_multiple_of(2) { "ServiceUnavailableException" } else { "InternalFailure" },
                    )
                }
                6 => {
                    *cut.lock().unwrap() += 1;
                    Act::Cut
                }
                7 => Act::Slow(Duration::from_millis(50)),
                _ => Act::Pass,
            }
        });
        let lines: String = (0..2000).map(|line| format!("{round} {line}\n")).collect();
        aws.dir.write("log", &lines);
        expected.extend(sorted_lines(&lines));
        // Twelve troubles in a row are more than the ten seconds that the end waits for a success.
        let options = "--buffer-bytes 8k --flush-interval 0.01 --stats --drain 300";
        let ran = aws.dir.sh(&format!("heka-tail log > in.hpb; {} in.hpb", aws.command(proxy.port, options)));
        assert_eq!((ran.code(), aws.spooled()), (0, 0), "round {round}: {}", ran.stderr);
        let stats = stats(&ran.stderr);
        let gone = ["records_set_aside", "messages_dead_lettered", "records_in_spool"].map(|name| stats[name].clone());
        assert_eq!(gone, [0, 0, 0], "{}", ran.stderr);
        assert_eq!(*proxy.violations.lock().unwrap(), [""; 0]);
    }
    let mut events = aws.events();
    if *cuts.lock().unwrap() == 0 {
        expected.sort();
        assert_eq!(events, expected);
    }
    events.dedup();
    expected.sort();
    assert_eq!(events, expected);
}

#[test]
fn credentials_that_fail_for_a_while_end_nothing() {
    let Some(aws) = Aws::start() else { return };
    // They live for two seconds, and are fetched anew all the time.
    aws.dir.write(
        "fetch.sh",
        "[ -e broken ] && exit 1
printf '{\"Version\":1,\"AccessKeyId\":\"x\",\"SecretAccessKey\":\"x\",\"Expiration\":\"%s\"}' $(date -u -d '+2 seconds' +%FT%TZ)
",
    );
    aws.dir.sh("mkdir .aws").ok();
    let script = aws.dir.path("fetch.sh");
    aws.dir
        .write(".aws/config", format!("[default]\nregion = us-east-1\ncredential_process = sh {}\n", script.display()));
    let sender =
        aws.command(aws.port, "--owner 1 --flush-interval 0.1 --buffer-age 0.2").replace(ACCESS, "env HOME=$PWD");
    aws.dir.write("log", "one\n");
    let _running = aws.dir.start(&format!("heka-tail -f log | {sender} 2> said"));
    eventually("the first is there", || aws.events() == ["one"]);
    aws.dir.write("broken", "");
    // The last good ones are over then.
    std::thread::sleep(Duration::from_secs(3));
    aws.dir.append("log", "two\n");
    eventually("it misses them", || String::from_utf8_lossy(&aws.dir.read("said")).contains("no AWS credentials"));
    std::fs::remove_file(aws.dir.path("broken")).unwrap();
    eventually("the second is there", || aws.events() == ["one", "two"]);
}

#[test]
fn what_cannot_be_sent_stays_until_it_can() {
    let Some(aws) = Aws::start() else { return };
    aws.dir.write("log", "one\ntwo\n");
    aws.dir.sh("heka-tail log > in.hpb").ok();
    // Nobody there: the run ends after --drain, its records stay.
    let ran = aws.dir.sh(&aws.command(free_port(), "--owner 1 --drain 0.5 in.hpb"));
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.contains("1 left in spool"), "{}", ran.stderr);
    assert_eq!(aws.spooled(), 1);
    let refused = |command: &str, code, words: &str| {
        let ran = aws.dir.sh(command);
        assert!(ran.code() == code && ran.stderr.contains(words), "{} {}", ran.code(), ran.stderr);
    };
    // A stream that isn't there, credentials that nobody has: nothing is lost either.
    let wrong = aws.command(aws.port, "in.hpb").replace("--stream logs", "--stream nolog");
    refused(&wrong, 3, "stream nolog is not in us-east-1: ResourceNotFoundException");
    let none = aws.command(aws.port, "in.hpb").replace("AWS_ACCESS_KEY_ID=x", "AWS_EC2_METADATA_DISABLED=true");
    refused(&none, 3, "no AWS credentials");
    assert_eq!(aws.spooled(), 3);
    let region = aws.command(aws.port, "in.hpb").replace("AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true");
    refused(&region, 2, "no region");
    aws.dir.sh(&aws.command(aws.port, "--stream 'no name' in.hpb")).fails(2, "--stream");
    // Credentials that have expired are read again once.
    for expired in [1, 9] {
        let mut left = expired;
        let proxy = Proxy::start(aws.port, move |_| {
            left -= 1;
            if left >= 0 { Act::Answer(400, "ExpiredTokenException") } else { Act::Pass }
        });
        let ran = aws.dir.sh(&aws.command(proxy.port, "/dev/null"));
        if expired == 1 {
            assert_eq!((ran.code(), aws.spooled()), (0, 0), "{}", ran.stderr);
            assert_eq!(aws.events(), ["one", "one", "one", "two", "two", "two"]);
            aws.dir.sh(&aws.command(free_port(), "--owner 1 --drain 0.1 in.hpb"));
        } else {
            assert!(ran.code() == 3 && ran.stderr.contains("ExpiredTokenException"), "{}", ran.stderr);
            assert_eq!(aws.spooled(), 1);
        }
    }
    // A record that Firehose finds bad doesn't hold up others: calls are halved until it is alone.
    aws.dir.sh(&aws.command(free_port(), "--owner 1 --drain 0.1 --buffer-bytes 1 in.hpb"));
    assert_eq!(aws.spooled(), 3);
    let mut bad = true;
    let proxy = Proxy::start(aws.port, move |records| {
        let act = if records > 1 || bad { Act::Answer(400, "InvalidArgumentException") } else { Act::Pass };
        bad &= records > 1;
        act
    });
    refused(
        &aws.command(proxy.port, "/dev/null"),
        1,
        "2 delivered, 3 sent again, 0 possible duplicates, 0 left in spool, 1 set aside",
    );
    // One process at a time.
    std::fs::remove_file(aws.dir.path("spool/.lock")).unwrap();
    let mut first = aws.dir.start(&format!("sleep 60 | {}", aws.command(aws.port, "")));
    eventually("the spool is used", || aws.dir.path("spool/.lock").exists());
    refused(&aws.command(aws.port, "/dev/null"), 2, "spool: another process uses it");
    first.signal("-TERM");
    first.wait(Duration::from_secs(20));
}

/// A server that is away for long, and a spool that is small: reading waits, and nothing is lost.
#[test]
fn a_full_spool_stops_reading() {
    let Some(aws) = Aws::start() else { return };
    let lines: String = (0..20_000).map(|line| format!("{line} {:x}\n", random_u64())).collect();
    aws.dir.write("log", &lines);
    let away = Arc::new(Mutex::new(true));
    let is_away = away.clone();
    let proxy = Proxy::start(aws.port, move |_| match *is_away.lock().unwrap() {
        true => Act::Answer(503, "ServiceUnavailableException"),
        false => Act::Pass,
    });
    let options = "--buffer-bytes 20k --spool-max 50k --flush-interval 0.1 --checkpoint ck";
    let mut run = aws.dir.start(&format!(
        "heka-tail --checkpoint ck --commit sink log | {} 2> stderr",
        aws.command(proxy.port, options)
    ));
    eventually("the spool is full", || String::from_utf8_lossy(&aws.dir.read("stderr")).contains("the spool is full"));
    let size = |aws: &Aws| {
        std::fs::read_dir(aws.dir.path("spool")).unwrap().map(|one| one.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let full = size(&aws);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(size(&aws), full);
    assert!(full < 70_000, "{full}");
    *away.lock().unwrap() = false;
    assert_eq!(run.wait(Duration::from_secs(60)).code(), Some(0));
    assert_eq!(aws.events(), sorted_lines(&lines));
    // All of it is committed.
    assert_eq!(aws.dir.sh("heka-tail --checkpoint ck log | heka-cat --format count").ok().text().trim(), "0");
}

/// kill -9 at any moment: every line is in S3 at least once, and those that came twice were in a record that was sent.
#[test]
fn killed_at_any_moment_nothing_is_lost() {
    let Some(aws) = Aws::start() else { return };
    let rounds = setting("HEKA_KILL_ROUNDS", 8);
    let seed = setting("HEKA_SEED", 1);
    println!("HEKA_SEED={seed}");
    let mut random = Random(seed);
    let mut lines = String::new();
    let options = "--buffer-bytes 10k --buffer-age 0.05 --flush-interval 0.02 --checkpoint ck";
    let pipe = format!("heka-tail --checkpoint ck --commit sink log | {}", aws.command(aws.port, options));
    for round in 0..rounds {
        let more: String = (0..3000).map(|line| format!("{round} {line} {:x}\n", random.next())).collect();
        aws.dir.append("log", &more);
        lines += &more;
        let run = aws.dir.start(&format!("{pipe} 2>> stderr"));
        std::thread::sleep(Duration::from_millis(random.next() % 400));
        drop(run);
    }
    aws.dir.sh(&pipe);
    assert_eq!(aws.spooled(), 0, "{}", String::from_utf8_lossy(&aws.dir.read("stderr")));
    let mut counts = BTreeMap::new();
    aws.events().into_iter().for_each(|event| *counts.entry(event).or_insert(0u32) += 1);
    let mut found: Vec<String> = counts.keys().cloned().collect();
    found.sort();
    let missing = sorted_lines(&lines).iter().filter(|line| !counts.contains_key(*line)).count();
    assert_eq!((missing, found.len()), (0, lines.lines().count()));
    println!("{} lines, {} twice", found.len(), counts.values().filter(|&&count| count > 1).count());
}
