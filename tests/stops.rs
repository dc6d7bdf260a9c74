//! SIGTERM is heard, whatever a program is at: each gets the worst input that is known for it, from a file, where nothing is
//! left to drain, and ends within a second.

mod common;

use std::time::{Duration, Instant};

use common::{Workdir, eventually};
use heka::message::MessageBuilder;
use heka::stream::put_frame;

/// Processor time that shows that it is at work, in the kernel's ticks (10 ms); and when it is waiting.
const AT_WORK: u64 = 5;

fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Starts a command, sends SIGTERM when it has worked for a while (`waits`: when it has begun to wait), and wants it to end.
#[track_caller]
fn ends(dir: &Workdir, command: &str, waits: bool) {
    let mut program = dir.start(&format!("exec {command} > out"));
    let pid = program.child.id();
    let sleeps = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") S "));
    let started = || std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("heka-"));
    eventually("it is at work", || {
        assert_eq!(program.child.try_wait().unwrap(), None, "{command} has ended before");
        started() && if waits { sleeps() } else { ticks(pid) >= AT_WORK }
    });
    let sent = Instant::now();
    program.signal("-TERM");
    program.wait(Duration::from_secs(30));
    let took = sent.elapsed();
    println!("{} ms: {command:.80}", took.as_millis());
    // A second, and one for the tests beside it; programs built for tests are ten times slower.
    let built_for_tests = cfg!(debug_assertions) && std::env::var_os("HEKA_PROGRAMS").is_none();
    let limit = Duration::from_secs(if built_for_tests { 5 } else { 2 });
    assert!(took < limit, "{command:.200} took {took:?}");
}

/// `number` messages with a payload and a time.
fn stream(number: usize, payload: &[u8], time: impl Fn(usize) -> i64) -> Vec<u8> {
    let (mut frames, mut message) = (Vec::new(), Vec::new());
    for place in 0..number {
        message.clear();
        let mut builder = MessageBuilder::new(&mut message, &[place as u8; 16], time(place));
        builder.text(heka::message::TextHeader::Payload, payload);
        put_frame(&mut frames, None, &message);
    }
    frames
}

/// A script that takes nearly what a call may.
const SLOW: &str = "local function work()
  local n = 0
  for i = 1, 230000 do n = n + i % 7 end
end
function process_message() work() return 0 end
function timer_event(ns) work() end
";

fn prepared() -> Workdir {
    let dir = Workdir::new();
    dir.write("long.hpb", stream(4_000, &[b'a'; 3_000], |_| 0));
    dir.write("short.hpb", stream(20, &[b'a'; 3_000], |_| 0));
    // Many in a small space.
    dir.write("small.hpb", stream(20_000, b"x", |_| 0));
    dir.write("slow.lua", SLOW);
    dir
}

/// An expression of many patterns, each of which takes as long as it may.
fn costly() -> String {
    (0..1_500).map(|n| format!("Payload =~ '.-.-.-.-x{n}'")).collect::<Vec<_>>().join(" || ")
}

#[test]
fn matchers() {
    let dir = prepared();
    let costly = costly();
    dir.write("expression", &costly);
    for program in ["heka-match \"$(cat expression)\"", "heka-cat --match \"$(cat expression)\""] {
        ends(&dir, &format!("{program} long.hpb"), false);
    }
    // Patterns that must not match, one that is long, regexes by the hundred: each has its end, and says so or is quick.
    let negated = costly.replace("=~", "!~").replace("||", "&&");
    let long = format!("Payload =~ '{}x'", ".-".repeat(400));
    let regexes = (0..300).map(|n| format!("Payload =~ /(a|aa)+b{n}|[^b]*c$/")).collect::<Vec<_>>().join(" || ");
    let balanced = (0..200).map(|n| format!("Payload =~ '%ba{n}.-.-%ba{n}'")).collect::<Vec<_>>().join(" || ");
    for expression in [&negated, &long, &regexes, &balanced] {
        dir.write("other", expression);
        let began = Instant::now();
        let ran = dir.sh("timeout -s KILL 60 heka-match \"$(cat other)\" --max-count 1 short.hpb > out");
        assert_eq!(ran.code(), 1, "{expression:.100}\n{}", ran.stderr);
        assert!(began.elapsed() < Duration::from_secs(20), "{expression:.100} took {:?}", began.elapsed());
    }
    ends(&dir, "heka-http --url http://127.0.0.1:9 --match \"$(cat expression)\" long.hpb", false);
    // Regexes whose automata grow with what they read.
    let mut random = common::Random(1);
    let text: Vec<u8> = (0..60_000).map(|_| b"ab"[(random.next() % 2) as usize]).collect();
    dir.write("random.hpb", stream(200, &text, |_| 0));
    let counted = |from: usize| {
        (0..300).map(move |n| format!("Payload =~ /(a|b)*a(a|b){{{}}}c/", from + n)).collect::<Vec<_>>().join(" || ")
    };
    for expression in [counted(20), counted(700)] {
        dir.write("regexes", expression);
        ends(&dir, "heka-match \"$(cat regexes)\" random.hpb", false);
    }
}

#[test]
fn scripts() {
    let dir = prepared();
    ends(&dir, "heka-decode -j 1 --lua slow.lua long.hpb", false);
    ends(&dir, "heka-decode -j 4 --lua slow.lua long.hpb", false);
    ends(&dir, "heka-decode -j 4 --lua slow.lua small.hpb", false);
    ends(&dir, "heka-sandbox --lua slow.lua long.hpb", false);
    ends(&dir, "heka-cat --encoder slow.lua long.hpb", false);
    // Times that jump: each message is due for timers.
    dir.write("jumps.hpb", stream(50_000, b"x", |place| place as i64 * 120_000_000_000_000));
    ends(&dir, "heka-sandbox --lua slow.lua --ticker 60 jumps.hpb", false);
}

/// What a stop leaves is told: `heka-hec in.hpb && rm in.hpb` must not remove what was not sent.
#[test]
fn a_stop_before_the_end_says_what_is_left() {
    let dir = prepared();
    for (command, name) in [
        ("heka-sandbox --lua slow.lua small.hpb long.hpb", "small.hpb"),
        ("heka-decode -j 2 --lua slow.lua --on-failure keep small.hpb long.hpb", "small.hpb"),
        ("heka-sandbox --lua slow.lua < long.hpb", "standard input"),
        // A pipe has two seconds, and its writer goes on.
        ("heka-sandbox --lua slow.lua < <(trap '' TERM; cat long.hpb)", "standard input"),
    ] {
        let mut program = dir.start(&format!("exec {command} > out 2> said"));
        eventually("it is at work", || ticks(program.child.id()) >= AT_WORK);
        program.signal("-TERM");
        let status = program.wait(Duration::from_secs(30));
        let said = String::from_utf8(dir.read("said")).unwrap();
        assert_eq!(status.code(), Some(1), "{command}: {said}");
        assert!(said.contains(&format!("{name}: stopped by a signal: its last ")), "{command}: {said}");
        assert_eq!(said.contains("nor was the file after it"), command.contains("small.hpb"), "{command}: {said}");
    }
}

#[test]
fn a_manager() {
    let dir = prepared();
    dir.write("slow.toml", "[slow]\ntype = 'SandboxFilter'\nmessage_matcher = 'TRUE'\n");
    dir.write("m.toml", "[signer]\nname = 'm'\nhmac_key = 'k'\nversion = 0\n");
    dir.sh("heka-sbmgr --stdout -config=m.toml -script=slow.lua -scriptconfig=slow.toml > load.hpb").ok();
    ends(&dir, "heka-sandbox manage --name M --any-signer --max-filters 9 --dir filters load.hpb long.hpb", false);
    let listed = dir.sh("heka-sandbox list --dir filters").ok();
    assert!(listed.text().contains("slow"), "{}", listed.text());
}

/// A filter whose matcher takes too long keeps all others waiting.
#[test]
fn a_costly_matcher_ends_its_filter() {
    let dir = prepared();
    let costly = costly();
    dir.write("quick.lua", "function process_message() return 0 end");
    dir.write("costly.toml", format!("[costly]\ntype = 'SandboxFilter'\nmessage_matcher = \"{costly}\"\n"));
    dir.write("cheap.toml", "[cheap]\ntype = 'SandboxFilter'\nmessage_matcher = 'TRUE'\n");
    dir.write("m.toml", "[signer]\nname = 'm'\nhmac_key = 'k'\nversion = 0\n");
    for name in ["costly", "cheap"] {
        let load =
            format!("heka-sbmgr --stdout -config=m.toml -script=quick.lua -scriptconfig={name}.toml > {name}.hpb");
        dir.sh(&load).ok();
    }
    let manage =
        "heka-sandbox manage --name M --any-signer --max-filters 9 --dir filters costly.hpb cheap.hpb long.hpb";
    let ran = dir.sh(&format!("timeout -s KILL 60 {manage} | heka-cat --format text"));
    assert!(ran.text().contains("message_matcher takes too long"), "{}\n{}", ran.text(), ran.stderr);
    assert!(ran.stderr.contains("costly") && !ran.stderr.contains("cheap: terminated"), "{}", ran.stderr);
}

#[test]
fn sources() {
    let dir = prepared();
    dir.write("line", vec![b'a'; 64 << 20]);
    ends(&dir, "heka-tail --splitter regex --delimiter '(a|b)*c' --max-record 100M line", false);
    dir.sh("mkfifo fifo").ok();
    ends(&dir, "heka-tail fifo", true);
    ends(&dir, "heka-tail -f slow.lua", true);
    ends(&dir, "heka-listen --tcp 127.0.0.1:0", true);
}

/// A server that takes connections and says nothing.
fn silent_server() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            kept.push(stream);
        }
    });
    port
}

/// Programs that talk to somebody, where nobody answers and nothing is left to be sent.
#[test]
fn silent_servers() {
    let dir = prepared();
    if !dir.certificates() {
        return;
    }
    let port = silent_server();
    dir.write("none.hpb", "");
    let aws = "env AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b AWS_REGION=eu-west-1";
    let tls = format!(
        "ip_address = '127.0.0.1:{port}'\nuse_tls = true\n[tls]\nroot_cafile = 'cert.pem'\n[signer]\nname = 'm'\nhmac_key = 'k'\n"
    );
    dir.write("m.toml", tls);
    dir.write("slow.toml", "[slow]\ntype = 'SandboxFilter'\nmessage_matcher = 'TRUE'\n");
    for program in [
        format!("{aws} heka-firehose --stream s --spool-dir spool --endpoint-url http://127.0.0.1:{port} none.hpb"),
        "heka-sbmgr -config=m.toml -script=slow.lua -scriptconfig=slow.toml".into(),
        "heka-sbmgrload -config=m.toml -num 10".into(),
    ] {
        ends(&dir, &program, true);
    }
    dir.write("loop.lua", "while true do end");
    ends(&dir, "heka-lua --instruction-limit 0 loop.lua", false);
}

#[test]
fn garbage() {
    let dir = Workdir::new();
    // Headers that fail at their record's end only, everywhere.
    dir.write("garbage", [0x5a, 0x08, 0x1e, 0x05, 0x08, 0xff, 0xff, 0x01, 0x1f].repeat(24 << 20));
    dir.write("token", "t\n");
    for program in [
        "heka-cat",
        "heka-match TRUE",
        "heka-decode --lua json",
        "heka-sandbox --lua http_status",
        "heka-cef parse",
        "heka-hec --token-file token --url http://127.0.0.1:9",
        "heka-http --url http://127.0.0.1:9",
        "heka-tail --splitter heka",
    ] {
        ends(&dir, &format!("{program} garbage"), false);
    }
}

/// Times that jump make no ticks by the thousand.
#[test]
fn gaps_in_time_are_no_work() {
    let dir = Workdir::new();
    let (now, day) = (heka::message::now_ns(), 86_400_000_000_000);
    dir.write(
        "tick.lua",
        "function process_message() return 0 end function timer_event(ns) inject_payload('txt', 'tick', ns) end",
    );
    let jumps: [(&str, Vec<i64>); 5] = [
        ("from nothing to today", vec![0, now]),
        ("and back", vec![now, 0, now, 0, now]),
        ("all of time", vec![i64::MIN, i64::MAX]),
        ("before 1970", vec![-now, now]),
        ("a year a message", (0..40).map(|year| now - 40 * 365 * day + year * 365 * day).collect()),
    ];
    for (what, times) in jumps {
        dir.write("in.hpb", stream(times.len(), b"x", |place| times[place]));
        let began = Instant::now();
        let ran = dir.sh("timeout -s KILL 60 heka-sandbox --lua tick.lua --ticker 60 in.hpb > out");
        assert_eq!(ran.code(), 0, "{what}\n{}", ran.stderr);
        let ticks = common::messages(&dir.read("out")).len();
        println!("{what}: {ticks} ticks, {:?}", began.elapsed());
        assert!(ticks <= 3 * times.len() + 2, "{what}: {ticks} ticks\n{}", ran.stderr);
        assert!(began.elapsed() < Duration::from_secs(5), "{what}: {:?}", began.elapsed());
    }
}
