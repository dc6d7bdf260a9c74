//! Rotation as it happens on servers, while a writer appends numbered lines as fast as it can: each number has to arrive
//! once, in order.
//!
//! HEKA_ROTATIONS and HEKA_KILL_ROUNDS make the tests longer than CI's; HEKA_SEED repeats a kill test.

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Random, Workdir, binaries, eventually, frames, free_port, have, setting};
use heka::stream::Frame;

fn rotations() -> u32 {
    setting("HEKA_ROTATIONS", 12) as u32
}

/// Fixed in length and closed, so that a torn one is no other number.
fn line(number: u64) -> String {
    format!("n{number:010} some text that makes the line as long as a short log line is\n")
}

fn number(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"n").filter(|_| line.ends_with(b"log line is"))?.get(..10)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn numbers(text: &[u8]) -> Vec<u64> {
    text.split(|&byte| byte == b'\n').filter_map(number).collect()
}

/// Appends lines until it is stopped; opens the file anew when its name has gone to another, as services do. While it
/// has looked and writes, it holds the file `lock` beside the directory of logs.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `creates`: also when nothing has the name, which logrotate's `create` would take for an obstacle.
    fn start(path: PathBuf, creates: bool) -> Writer {
        Writer::start_slow(path, creates, Duration::ZERO)
    }

    /// Pauses after each 50 lines.
    fn start_slow(path: PathBuf, creates: bool, pause: Duration) -> Writer {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), written.clone());
        let thread = std::thread::spawn(move || {
            let open = || File::options().append(true).create(true).open(&path).unwrap();
            let mut file = open();
            let lock = File::create(path.parent().unwrap().with_file_name("lock")).unwrap();
            for number in 0.. {
                if number % 50 == 0 {
                    lock.unlock().unwrap();
                    std::thread::sleep(pause.max(Duration::from_micros(1)));
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    lock.lock().unwrap();
                    let inode = fs::metadata(&path).map(|metadata| metadata.ino());
                    let own = file.metadata().unwrap().ino();
                    if inode.map_or(creates, |inode| inode != own) {
                        file = open();
                    }
                }
                file.write_all(line(number).as_bytes()).unwrap();
                count.store(number + 1, Ordering::Relaxed);
            }
        });
        Writer { stop, written, thread: Some(thread) }
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn stop(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.written()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What a pipeline has written, once it has been quiet.
fn received(dir: &Workdir, out: &str, last: u64) -> Vec<u64> {
    let wanted = line(last);
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let text = dir.read(out);
        if text.ends_with(wanted.as_bytes()) || Instant::now() > until {
            return numbers(&text);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn assert_all_in_order(found: &[u64], written: u64, how: &str) {
    for (place, &number) in found.iter().enumerate() {
        assert_eq!(number, place as u64, "{how}: after {:?}", &found[place.saturating_sub(3)..place]);
    }
    assert_eq!(found.len() as u64, written, "{how}: the end is missing");
}

/// How the same files are followed: by name, and as a log stream. Numbers count back unless they are dates; the file
/// that has none is the newest.
fn ways(dir: &Workdir, files: &str, dates: bool) -> [(&'static str, String); 2] {
    dir.write("dates.toml", format!("[Seq]\nmissing = {}\n", i64::MAX));
    let priority = if dates { "Seq --translate dates.toml" } else { "^Seq" };
    [
        ("by name", "heka-tail -f logs/app.log".into()),
        ("as a log stream", format!("heka-tail -f --logstream logs --match '{files}' --priority {priority}")),
    ]
}

/// logrotate's configuration. It compresses a file when the writer is known to have left it.
fn configure(dir: &Workdir, options: &str) {
    let (logs, lock) = (dir.path("logs"), dir.path("lock"));
    let (logs, lock) = (logs.display(), lock.display());
    let script = format!("postrotate\nflock {lock} true\nendscript");
    dir.write("conf", format!("{logs}/app.log {{\nrotate 10000\nmissingok\n{options}\n{script}\n}}\n"));
    dir.sh("chmod 755 . logs; chmod 644 conf").ok();
}

const NUMBERED: &str = r"app\.log\.?(?P<Seq>\d+)?(\.gz)?";

/// Runs logrotate as often as asked for, with a writer beside it.
fn with_logrotate(
    options: &str,
    files: &str,
    pause: Duration,
    rotations: u32,
    check: impl Fn(&Workdir, &[u64], u64, &str),
) {
    if !have("logrotate") {
        return;
    }
    for way in 0..2 {
        let dir = Workdir::new();
        let (way, tail) = &ways(&dir, files, options.contains("dateext"))[way];
        let how = format!("{}, {way}", options.replace('\n', " "));
        fs::create_dir(dir.path("logs")).unwrap();
        configure(&dir, options);
        // Long pauses between rotations would make long files.
        let slow = if pause > PAUSE { Duration::from_millis(1) } else { Duration::ZERO };
        let mut writer = Writer::start_slow(dir.path("logs/app.log"), false, slow);
        eventually("it writes", || writer.written() > 0);
        let mut pipe = dir.start(&format!("{tail} | heka-cat --format payload > out"));
        eventually("it is read", || !dir.read("out").is_empty());
        let mut rotated = 0;
        for rotation in 0..rotations {
            // Every other time, the reader sleeps over two rotations.
            match rotation % 4 {
                1 => pipe.signal("-STOP"),
                3 => pipe.signal("-CONT"),
                _ => {}
            }
            std::thread::sleep(pause);
            let ran = dir.sh("/usr/sbin/logrotate -f -s state conf");
            rotated += ran.status.success() as u32;
        }
        pipe.signal("-CONT");
        let written = writer.stop();
        let found = received(&dir, "out", written - 1);
        pipe.signal("-TERM");
        assert!(pipe.wait(Duration::from_secs(20)).success(), "{how}");
        println!("{how}: {written} lines over {rotated} rotations");
        assert!(rotated > rotations / 2, "{how}: logrotate did not rotate");
        check(&dir, &found, written, &how);
    }
}

fn all_in_order(_: &Workdir, found: &[u64], written: u64, how: &str) {
    assert_all_in_order(found, written, how);
}

const PAUSE: Duration = Duration::from_millis(30);

#[test]
fn logrotate_create() {
    with_logrotate("create", NUMBERED, PAUSE, rotations(), all_in_order);
}

#[test]
fn logrotate_compress() {
    with_logrotate("create\ncompress", NUMBERED, PAUSE, rotations(), all_in_order);
}

#[test]
fn logrotate_delaycompress() {
    with_logrotate("create\ncompress\ndelaycompress", NUMBERED, PAUSE, rotations(), all_in_order);
}

#[test]
fn logrotate_dateext() {
    // Its dates count seconds: not more than one rotation in each.
    let rotations = rotations().div_ceil(3).min(30);
    let dated = r"app\.log(-(?P<Seq>\d+))?(\.gz)?";
    for options in ["create\ndateext\ndateformat -%Y%m%d%H%M%S", "create\ndateext\ndateformat -%Y%m%d%H%M%S\ncompress"]
    {
        with_logrotate(options, dated, Duration::from_millis(1100), rotations, all_in_order);
    }
}

/// Lines that come between logrotate's copy and its truncation are lost by logrotate; a reader may have seen them.
fn all_that_reached_the_files(dir: &Workdir, found: &[u64], written: u64, how: &str) {
    let mut kept: Vec<u64> = Vec::new();
    for file in fs::read_dir(dir.path("logs")).unwrap() {
        let path = file.unwrap().path();
        let text = match path.extension().is_some_and(|extension| extension == "gz") {
            true => dir.sh(&format!("zcat {}", path.display())).ok().stdout,
            false => fs::read(&path).unwrap(),
        };
        kept.extend(numbers(&text));
    }
    kept.sort();
    println!(
        "{how}: {} lines were lost by logrotate, of them {} were read in time",
        written - kept.len() as u64,
        found.len() as i64 - kept.len() as i64
    );
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{how}: twice, or out of order");
    let missing: Vec<u64> = kept.iter().copied().filter(|number| found.binary_search(number).is_err()).collect();
    assert!(
        missing.is_empty(),
        "{how}: {} lines are missing, from {} to {}",
        missing.len(),
        missing[0],
        missing[missing.len() - 1]
    );
}

#[test]
fn logrotate_copytruncate() {
    with_logrotate("copytruncate", NUMBERED, PAUSE, rotations(), all_that_reached_the_files);
}

#[test]
fn logrotate_copytruncate_compress() {
    with_logrotate("copytruncate\ncompress", NUMBERED, PAUSE, rotations(), all_that_reached_the_files);
}

/// A file with nothing in it, or that isn't there yet, may be filled, copied and truncated before it is looked at again.
#[test]
fn what_comes_into_an_empty_file_is_looked_for_in_copies() {
    for (beginning, then) in [("true", "true"), (": > app.log", "true"), ("cp 0 app.log", ": > app.log")] {
        let dir = Workdir::new();
        fs::create_dir(dir.path("logs")).unwrap();
        for number in 0..5 {
            dir.write(&format!("logs/{number}"), line(number));
        }
        // What was rotated before the reader began is not asked for.
        dir.sh(&format!("cd logs; cp 4 app.log.1; cp 4 app.log.2.gz; cp 4 other; {beginning}")).ok();
        let mut pipe = dir.start("heka-tail -f logs/app.log logs/other | heka-cat --format payload > out");
        // The files are taken up in this order.
        eventually("it is read", || dir.read("out").ends_with(line(4).as_bytes()));
        let before = numbers(&dir.read("out"));
        dir.sh(&format!("cd logs; {then}")).ok();
        std::thread::sleep(PAUSE * 10);
        pipe.signal("-STOP");
        for number in 1..4 {
            let rotate = "mv app.log.1 app.log.2; cp app.log app.log.1; : > app.log";
            let rotate = if number == 3 { "true" } else { rotate };
            dir.sh(&format!("cd logs; cat {number} >> app.log; {rotate}")).ok();
        }
        pipe.signal("-CONT");
        let found = received(&dir, "out", 3);
        pipe.signal("-TERM");
        assert!(pipe.wait(Duration::from_secs(20)).success());
        assert_eq!(found[before.len()..], [1, 2, 3], "{beginning}; {then}: {found:?}");
    }
}

#[test]
fn a_nightly_rename_by_cron() {
    for way in 0..2 {
        let dir = Workdir::new();
        let (way, tail) = &ways(&dir, r"app\.((?P<Seq>\d+)\.)?log", true)[way];
        fs::create_dir(dir.path("logs")).unwrap();
        let mut writer = Writer::start(dir.path("logs/app.log"), true);
        eventually("it writes", || writer.written() > 0);
        let pipe = dir.start(&format!("{tail} | heka-cat --format payload > out"));
        eventually("it is read", || !dir.read("out").is_empty());
        for night in 0..rotations() {
            std::thread::sleep(PAUSE);
            fs::rename(dir.path("logs/app.log"), dir.path(&format!("logs/app.{}.log", 20140210 + night))).unwrap();
            eventually("the writer has opened it anew", || Path::new(&dir.path("logs/app.log")).exists());
        }
        let written = writer.stop();
        let found = received(&dir, "out", written - 1);
        pipe.signal("-TERM");
        println!("rename, {way}: {written} lines");
        assert_all_in_order(&found, written, way);
    }
}

#[test]
fn svlogd_and_multilog() {
    let label = r"((?P<Label>@[0-9a-f]{24})\.[su]|current)";
    for (program, command) in [
        ("svlogd", "mkdir logs && printf 's20000\\nn0\\n' > logs/config && exec svlogd -b 65536 logs"),
        ("multilog", "exec multilog s20000 n10000 ./logs"),
    ] {
        if !have(program) {
            continue;
        }
        for (way, tail) in [
            ("by name", "heka-tail -f logs/current".to_string()),
            (
                "as a log stream",
                format!("heka-tail -f --logstream logs --match '{label}' --priority Label --translate missing.toml"),
            ),
        ] {
            let dir = Workdir::new();
            dir.write("missing.toml", format!("[Label]\nmissing = {}\n", i64::MAX));
            dir.sh("mkfifo lines").ok();
            let mut logger = dir.start(&format!("({command}) < lines"));
            let mut fifo = File::options().write(true).open(dir.path("lines")).unwrap();
            fifo.write_all(line(0).as_bytes()).unwrap();
            eventually("there is a log", || fs::metadata(dir.path("logs/current")).is_ok_and(|file| file.len() > 0));
            let pipe = dir.start(&format!("{tail} | heka-cat --format payload > out"));
            eventually("it is read", || !dir.read("out").is_empty());
            let written = rotations() as u64 * 1000;
            for number in 1..written {
                fifo.write_all(line(number).as_bytes()).unwrap();
            }
            drop(fifo);
            logger.wait(Duration::from_secs(30));
            let found = received(&dir, "out", written - 1);
            pipe.signal("-TERM");
            let files = fs::read_dir(dir.path("logs")).unwrap().count();
            println!("{program}, {way}: {written} lines in {files} files");
            assert!(files > 10, "{program} did not rotate");
            assert_all_in_order(&found, written, &format!("{program}, {way}"));
        }
    }
}

/// How many lines are committed: a cursor's sequence counts the bytes of the stream.
fn committed(dir: &Workdir) -> u64 {
    let json: serde_json::Value = serde_json::from_slice(&dir.read("ck")).unwrap_or_default();
    let streams = json["streams"].as_object().cloned().unwrap_or_default();
    streams.values().filter_map(|mark| mark["sequence"].as_u64()).next().unwrap_or(0) / line(0).len() as u64
}

/// heka-tail and heka-cat as two processes, so that each can be killed.
fn start_two(dir: &Workdir, tail: &str) -> [Child; 2] {
    let stderr = || File::options().append(true).create(true).open(dir.path("stderr")).unwrap();
    let words = tail.split(' ').chain(["--checkpoint", "ck", "--commit", "sink"]).skip(1);
    let mut first = Command::new(binaries().join("heka-tail"));
    let words: Vec<String> = words.map(|word| word.trim_matches('\'').to_string()).collect();
    first.args(words).current_dir(dir.path("")).stdout(Stdio::piped()).stderr(stderr());
    let mut first = first.spawn().unwrap();
    let out = File::options().append(true).create(true).open(dir.path("out")).unwrap();
    let mut second = Command::new(binaries().join("heka-cat"));
    second.args(["--format", "heka", "--checkpoint", "ck"]).current_dir(dir.path("")).stderr(stderr());
    let second = second.stdin(first.stdout.take().unwrap()).stdout(out).spawn().unwrap();
    [first, second]
}

fn numbers_of_frames(stream: &[u8]) -> Vec<u64> {
    let payload = |raw: &Vec<u8>| number(Frame::parse(raw).unwrap().view().payload());
    frames(stream).0.iter().filter_map(payload).collect()
}

#[test]
fn kill_9_during_rotation_and_compression_loses_nothing() {
    if !have("logrotate") {
        return;
    }
    for way in 0..2 {
        let dir = Workdir::new();
        fs::create_dir(dir.path("logs")).unwrap();
        let (way, tail) = &ways(&dir, NUMBERED, false)[way];
        configure(&dir, "create\ncompress");
        let writer = Writer::start_slow(dir.path("logs/app.log"), false, Duration::from_micros(500));
        let place = dir.path("");
        let rotate = move |_| {
            let mut command = Command::new("/usr/sbin/logrotate");
            let ran = command.args(["-f", "-s", "state", "conf"]).current_dir(&place).output().unwrap();
            std::thread::sleep(Duration::from_millis(100));
            ran.status.success()
        };
        nothing_is_lost_by_kills(&dir, way, tail, writer, rotate);
    }
}

/// The layout of Kubernetes: a link for each container, to a link of its pod, to a file that the kubelet renames and,
/// when it has done so twice, compresses; a container that starts again has another file.
#[test]
fn kill_9_during_rotation_behind_links_loses_nothing() {
    let ways = [
        ("containers by a pattern", "heka-tail -f containers/*.log"),
        (
            "containers as log streams",
            r"heka-tail -f --logstream containers --match (?P<C>\w+)\.log --differentiator C",
        ),
    ];
    for (way, tail) in ways {
        let dir = Workdir::new();
        dir.sh("mkdir -p containers pods/web_0/app lib; ln -s ../pods/web_0/app/0.log containers/app.log; ln -s ../../../lib/0.log pods/web_0/app/0.log").ok();
        let writer = Writer::start_slow(dir.path("containers/app.log"), true, Duration::from_micros(500));
        let lib = dir.path("lib");
        let (mut random, mut container, mut last) = (Random(setting("HEKA_SEED", 1) + 1), 0, None::<String>);
        let rotate = move |number: u32| {
            let file = format!("{container}.log");
            let name = format!("{file}.20240101-{number:06}");
            let renamed = fs::rename(lib.join(&file), lib.join(&name)).is_ok();
            if random.next() % 5 == 0 {
                container += 1;
                let script = format!(
                    "ln -s ../../../lib/{container}.log pods/web_0/app/ && ln -s ../pods/web_0/app/{container}.log l && mv -T l containers/app.log"
                );
                let ran = Command::new("sh").args(["-c", &script]).current_dir(lib.join("..")).status().unwrap();
                assert!(ran.success());
            }
            std::thread::sleep(Duration::from_millis(20 + random.next() % 80));
            if renamed && let Some(before) = last.replace(name) {
                assert!(Command::new("gzip").arg(before).current_dir(&lib).status().unwrap().success());
            }
            renamed
        };
        nothing_is_lost_by_kills(&dir, way, tail, writer, rotate);
    }
}

/// Kills heka-tail, heka-cat, or both while a writer writes and its files are rotated: each line comes, and none again
/// that was committed.
fn nothing_is_lost_by_kills(
    dir: &Workdir,
    way: &str,
    tail: &str,
    mut writer: Writer,
    mut rotate: impl FnMut(u32) -> bool + Send + 'static,
) {
    let rounds = setting("HEKA_KILL_ROUNDS", 10);
    let seed = setting("HEKA_SEED", 1);
    println!("HEKA_SEED={seed} HEKA_KILL_ROUNDS={rounds}");
    let mut random = Random(seed);
    eventually("it writes", || writer.written() > 0);
    let rotating = Arc::new(AtomicBool::new(true));
    let rotator = {
        let (rotating, out) = (rotating.clone(), dir.path("out"));
        std::thread::spawn(move || {
            let mut rotated = 0;
            // What was rotated before the first look is nobody's.
            eventually("it is read", || fs::metadata(&out).is_ok_and(|out| out.len() > 0));
            while rotating.load(Ordering::Relaxed) {
                rotated += rotate(rotated) as u32;
            }
            rotated
        })
    };
    // How much of the output, and of the stream, each round's end found committed.
    let mut marks = Vec::new();
    for round in 0..rounds {
        let mut children = start_two(dir, tail);
        std::thread::sleep(Duration::from_millis(50 + random.next() % 400));
        let victim = (round % 3) as usize;
        match victim {
            2 => children.iter_mut().for_each(|child| child.kill().unwrap()),
            victim => children[victim].kill().unwrap(),
        }
        // The other one comes to its end by itself: its pipe is closed.
        for child in &mut children {
            child.wait().unwrap();
        }
        marks.push((fs::metadata(dir.path("out")).unwrap().len() as usize, committed(dir)));
    }
    rotating.store(false, Ordering::Relaxed);
    let rotated = rotator.join().unwrap();
    let written = writer.stop();
    let mut children = start_two(dir, tail);
    let until = Instant::now() + Duration::from_secs(30);
    while committed(dir) < written && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let behind = || format!("seed {seed}, {way}: {} of {written} lines are committed", committed(dir));
    assert_eq!(committed(dir), written, "{}", behind());
    Command::new("kill").arg(children[0].id().to_string()).status().unwrap();
    children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));

    let out = dir.read("out");
    let mut seen = vec![0u32; written as usize];
    let mut repeated = 0;
    let ends = marks.iter().map(|(len, _)| *len).chain([out.len()]);
    let mut from = 0;
    for (round, to) in ends.enumerate() {
        let was_committed = if round == 0 { 0 } else { marks[round - 1].1 };
        for number in numbers_of_frames(&out[from..to]) {
            assert!(
                number >= was_committed,
                "seed {seed}, {way}, round {round}: line {number} came again, but {was_committed} lines were committed"
            );
            seen[number as usize] += 1;
            repeated += (seen[number as usize] > 1) as u64;
        }
        from = to;
    }
    let missing: Vec<usize> = (0..seen.len()).filter(|&number| seen[number] == 0).collect();
    let first = missing.first().copied().unwrap_or_default();
    assert!(missing.is_empty(), "seed {seed}, {way}: {} lines are missing, the first is {first}", missing.len());
    println!("{way}: {written} lines, {rotated} rotations, {rounds} kills, {repeated} lines came again");
}

#[test]
fn nginx_under_load_reopens_its_logs() {
    if !have("logrotate") || !have("nginx") {
        return;
    }
    let dir = Workdir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    let port = free_port();
    dir.write(
        "nginx.conf",
        format!(
            "user root; worker_processes 2; daemon off; pid nginx.pid; error_log stderr;
             events {{}}
             http {{ client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
               keepalive_requests 1000000;
               server {{ listen 127.0.0.1:{port}; access_log logs/app.log; location / {{ return 204; }} }} }}"
        ),
    );
    let here = dir.path("").display().to_string();
    let conf = format!(
        "{here}/logs/app.log {{\nrotate 10000\ncreate\ncompress\ndelaycompress\npostrotate\nkill -USR1 $(cat {here}/nginx.pid)\nendscript\n}}\n"
    );
    dir.write("conf", conf);
    dir.sh("chmod 755 . logs; chmod 644 conf").ok();
    let _server = dir.start("exec nginx -p $PWD -c $PWD/nginx.conf 2>server.err");
    eventually("nginx answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let pipe = dir.start("heka-tail -f --logstream logs --match 'app\\.log\\.?(?P<Seq>\\d+)?(\\.gz)?' --priority ^Seq | heka-cat --format payload > out");
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<JoinHandle<u64>> = (0..3)
        .map(|client| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
                let mut sent = 0;
                while !stop.load(Ordering::Relaxed) {
                    stream.write_all(format!("GET /{client}/{sent} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
                    let (mut answer, mut buf) = (Vec::new(), [0; 1024]);
                    while !answer.ends_with(b"\r\n\r\n") {
                        let count = stream.read(&mut buf).unwrap();
                        assert!(count > 0);
                        answer.extend_from_slice(&buf[..count]);
                    }
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    for _ in 0..rotations() {
        std::thread::sleep(Duration::from_millis(100));
        dir.sh("/usr/sbin/logrotate -f -s state conf").ok();
    }
    stop.store(true, Ordering::Relaxed);
    let sent: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    // The files have it in the order in which it has to come.
    let files = "cd logs; for file in $(ls -v -r | grep -v '^app.log$') app.log; do zcat -f $file; done";
    eventually("nginx has logged", || {
        dir.sh(files).stdout.iter().filter(|&&byte| byte == b'\n').count() as u64 == sent
    });
    let wanted = dir.sh(files).ok().stdout;
    let until = Instant::now() + Duration::from_secs(30);
    while dir.read("out").len() < wanted.len() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    pipe.signal("-TERM");
    println!("nginx: {sent} requests over {} rotations", rotations());
    assert!(dir.read("out") == wanted, "{} bytes came, {} were logged", dir.read("out").len(), wanted.len());
}
