//! heka-sandbox manage: filters that come and go by signed messages, within limits, across crashes and attacks.
//!
//! HEKA_KILL_ROUNDS makes the kill test longer than CI's; HEKA_SEED repeats one.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{Background, Ran, Random, Workdir, eventually, field, frames, messages, setting};
use crate::tutorial::{KEY, LOAD, UNLOAD, sbmgr, tutorial};
use heka::message::schema::Message;
use serde_json::Value as Json;

const OLD_KEY: &str = "hmac_key = \"Old Platform devs signing key\"";
const MANAGE: &str = "heka-sandbox manage --config-file hekad.toml:PlatformDevs --keys hekad.toml";

fn text(bytes: &Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
}

fn kind(message: &Message) -> String {
    text(&message.r#type)
}

/// What `heka-sandbox list --json` says.
fn list(dir: &Workdir) -> Vec<Json> {
    let listed = dir.sh("heka-sandbox list --dir sandbox --json").ok();
    listed.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `(name, state)` of each filter.
fn states(dir: &Workdir) -> Vec<(String, String)> {
    let text = |filter: &Json, key: &str| filter[key].as_str().unwrap().to_string();
    list(dir).iter().map(|filter| (text(filter, "name"), text(filter, "state"))).collect()
}

fn one(name: &str, state: &str) -> Vec<(String, String)> {
    vec![(name.to_string(), state.to_string())]
}

/// Names of the files of a manager's directory, without those that are always there.
fn files(dir: &Workdir) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir.path("sandbox")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains('-')).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_string).into()
}

/// Writes a filter's script and configuration, and answers the command that makes its load message.
fn filter(dir: &Workdir, name: &str, settings: &str, script: &str) -> String {
    dir.write(&format!("{name}.lua"), script);
    dir.write(&format!("{name}.toml"), format!("[{name}]\ntype = 'SandboxFilter'\n{settings}\n"));
    format!("heka-sbmgr --stdout -config=PlatformDevs.toml -script={name}.lua -scriptconfig={name}.toml")
}

/// Counts, and says so at the end.
const COUNTER: &str = "n = 0
function process_message() n = n + 1 return 0 end
function timer_event(ns) inject_payload('txt', 'count', n) end";

/// A folder with the tutorial's files and the newer key.
fn group() -> Workdir {
    let dir = tutorial();
    sbmgr(&dir, 1, 1, KEY, "");
    dir
}

/// Runs a manager over what some commands print; its output is in the file `out`.
fn run(dir: &Workdir, commands: &[&str], options: &str) -> Ran {
    dir.sh(&format!("({}) | {MANAGE} {options} > out", commands.join("; ")))
}

/// Starts the listener and the manager of the tutorial, and answers the port.
fn start(dir: &Workdir, listener: &str) -> (Background, Background, u16) {
    dir.sh("rm -f pipe; mkfifo pipe").ok();
    let manager = dir.start(&format!("exec {MANAGE} < pipe > out 2> said"));
    let mut server =
        dir.start(&format!("exec heka-listen --address 127.0.0.1 --heka {listener} --signers hekad.toml > pipe"));
    let line = server.stderr_line();
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
    (server, manager, port.unwrap_or_else(|| panic!("no port in {line:?}")))
}

/// Ends the listener, and the manager with its input.
fn stop((mut server, mut manager): (Background, Background)) {
    server.signal("-TERM");
    assert!(server.wait(Duration::from_secs(20)).success());
    assert!(manager.wait(Duration::from_secs(20)).success());
}

#[test]
fn the_tutorial_from_start_to_end() {
    let dir = tutorial();
    let (server, manager, port) = start(&dir, "--tcp 0");
    // Load the filter.
    sbmgr(&dir, port, 1, KEY, "");
    dir.sh(LOAD).ok();
    eventually("it runs", || states(&dir) == one("PlatformDevs-Example", "running"));
    // Data flows; what is not for it does too.
    let inject = format!("heka-inject --address 127.0.0.1:{port}");
    dir.sh(&format!("for i in 1 2 3; do {inject} --type Widget; done; {inject} --type Gadget")).ok();
    eventually("it has counted", || list(&dir)[0]["messages"] == 3);
    let table = dir.sh("heka-sandbox list --dir sandbox").ok();
    assert!(table.text().contains("Type == 'Widget'") && table.text().contains(" of 8.0M"), "{}", table.text());
    // A running filter can't be loaded again, with either key.
    sbmgr(&dir, port, 0, OLD_KEY, "");
    dir.sh(LOAD).ok();
    let refused = "loadSandbox failed: PlatformDevs-Example is already running";
    eventually("it is told", || String::from_utf8(dir.read("said")).unwrap().contains(refused));
    stop((server, manager));
    // A minute of the clock that ends meanwhile is a timer event more: the last output has all that was counted.
    let found = messages(&dir.read("out"));
    let last =
        |wanted: &str| found.iter().rfind(|message| kind(message) == wanted).unwrap_or_else(|| panic!("{wanted}"));
    let (terminated, output) = (last("heka.sandbox-terminated"), last("heka.sandbox-output"));
    assert_eq!((text(&terminated.payload).as_str(), text(&terminated.logger).as_str()), (refused, "hekad"));
    assert_eq!(field(terminated, "plugin").as_deref(), Some("PlatformDevs"));
    assert_eq!(text(&output.logger), "PlatformDevs-Example");
    assert_eq!(field(output, "payload_type").as_deref(), Some("cbuf file-extension"));
    let counts: f64 =
        text(&output.payload).lines().skip(1).filter_map(|line| line.parse().ok()).filter(|n: &f64| !n.is_nan()).sum();
    assert_eq!(counts, 3.0);
    // It is still there after a restart, until it is unloaded; the older key does as well.
    let (server, manager, port) = start(&dir, "--tcp 0");
    eventually("it runs again", || states(&dir) == one("PlatformDevs-Example", "running"));
    sbmgr(&dir, port, 0, OLD_KEY, "");
    dir.sh(UNLOAD).ok();
    eventually("it is gone with its files", || states(&dir).is_empty() && files(&dir).is_empty());
    stop((server, manager));
    let found = messages(&dir.read("out"));
    let terminated: Vec<_> = found.iter().filter(|message| kind(message) == "heka.terminated").collect();
    let words = "PlatformDevs-Example (type SandboxFilter) terminated. Error: Filter unloaded.";
    assert_eq!((text(&terminated[0].payload).as_str(), terminated.len()), (words, 1));
}

#[test]
fn the_tutorial_over_tls_with_client_certificates() {
    let dir = tutorial();
    if !dir.certificates() {
        return;
    }
    let (server, manager, port) = start(&dir, "--tls 0 --cert cert.pem --key key.pem --client-ca ca.pem");
    let settings = |own: &str| {
        sbmgr(&dir, port, 1, KEY, "use_tls = true");
        dir.append("PlatformDevs.toml", format!("[tls]\nroot_cafile = 'ca.pem'\n{own}\n"));
    };
    settings("");
    dir.sh(LOAD).fails(3, "ertificate");
    settings("cert_file = 'client.pem'\nkey_file = 'client.key'");
    dir.sh(LOAD).ok();
    eventually("it runs", || states(&dir) == one("PlatformDevs-Example", "running"));
    dir.sh(UNLOAD).ok();
    eventually("it is gone", || states(&dir).is_empty());
    stop((server, manager));
}

#[test]
fn a_thousand_filters_come_run_and_go() {
    let dir = group();
    for jobs in [1, 3] {
        let options = format!("--max-filters 1000 --max-age 0 --stats -j {jobs}");
        let load = "heka-sbmgrload -config=PlatformDevs.toml -num 1000 --stdout";
        let data = "for i in 1 2 3 4 5; do heka-inject --type hekabench; heka-inject; done";
        let ran = run(&dir, &[load, data], &options);
        assert!(ran.stderr.contains("\"filters\":1000,\"filters_loaded\":1000"), "{}", ran.stderr);
        assert_eq!(files(&dir).len(), 3000);
        let ran = run(&dir, &[data], &options);
        assert!(ran.stderr.contains("\"filters_restored\":1000"), "{}", ran.stderr);
        let filters = list(&dir);
        assert_eq!(filters.len(), 1000);
        assert!(filters.iter().all(|filter| filter["messages"] == 5 && filter["state"] == "stopped"));
        assert!(filters.iter().all(|filter| (5_000..50_000).contains(&filter["memory"].as_u64().unwrap())));
        let ran = run(&dir, &[&format!("{load} -action unload")], &options);
        assert!(
            ran.stderr.contains("\"filters\":0") && ran.stderr.contains("\"filters_unloaded\":1000"),
            "{}",
            ran.stderr
        );
        assert_eq!(files(&dir), set([]));
    }
}

#[test]
fn several_threads_make_what_one_makes() {
    let dir = group();
    let mut loads = Vec::new();
    for number in 0..20 {
        let matcher = match number % 4 {
            0 => format!("Type == 'T{number}'"),
            1 => format!("Payload =~ /^p{number}/ || Severity == 3"),
            2 => format!("Fields[n] == {number}"),
            _ => "TRUE".to_string(),
        };
        let script = "require 'string'
n = 0
function process_message() n = n + 1 inject_payload('txt', 'each', read_message('Payload')) return 0 end
function timer_event(ns) inject_payload('txt', 'count', n) end";
        let settings = format!("message_matcher = \"{matcher}\"\npreserve_data = {}", number % 3 == 0);
        loads.push(filter(&dir, &format!("F{number}"), &settings, script));
    }
    let data: String = (0..200)
        .map(|i| {
            format!(
                "heka-inject --type T{} --payload p{} --severity {} --field n:integer={}\n",
                i % 30,
                i % 25,
                i % 7,
                i % 40
            )
        })
        .collect();
    dir.write("inject.sh", data);
    dir.sh(&format!("({}) > load.hpb; sh inject.sh > data.hpb", loads.join("; "))).ok();
    let made = |jobs: u32| {
        dir.sh("rm -rf sandbox").ok();
        let ran = run(&dir, &["cat load.hpb data.hpb"], &format!("-j {jobs} --max-age 0"));
        assert_eq!(ran.stderr.matches(": loaded").count(), 20, "{}", ran.stderr);
        let found = messages(&dir.read("out"));
        let mut lines: Vec<String> = found.iter().map(|m| text(&m.logger) + " " + &text(&m.payload)).collect();
        // Filters in one thread come in their own order; each one's messages in the stream's.
        lines.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
        lines
    };
    let alone = made(1);
    assert!(alone.iter().any(|line| line == "PlatformDevs-F3 216") && alone.len() > 1000, "{}", alone.len());
    assert_eq!(made(3), alone);
}

/// A signed message with any fields, from heka-inject.
fn control(config: &str, rest: &str) -> String {
    format!("heka-inject --config {config} --type heka.control.sandbox {rest}")
}

#[test]
fn who_must_not_load_or_unload_does_not() {
    let dir = group();
    dir.append("hekad.toml", "    [TCP:5565.signer.ops_0]\n    hmac_key = 'theirs'\n");
    let load = filter(&dir, "F", "message_matcher = 'TRUE'", COUNTER);
    let unload = "heka-sbmgr --stdout -action=unload -config=PlatformDevs.toml -filtername=F";
    dir.write("ops.toml", "[signer]\nname = 'ops'\nhmac_key = 'theirs'\n");
    dir.write("guess.toml", "[signer]\nname = 'PlatformDevs'\nhmac_key = 'guess'\nversion = 1\n");
    dir.write("future.toml", "[signer]\nname = 'PlatformDevs'\nhmac_key = 'Platform devs signing key'\nversion = 2\n");
    dir.write("nobody.toml", "");
    let own = "--field action=unload --field name=F";
    let refused = |commands: &[&str], words: &str| {
        let ran = run(&dir, commands, "--stats");
        assert!(ran.stderr.contains(words), "{words:?} not in {}", ran.stderr);
        let number = format!("\"messages_refused\":{}", commands.len());
        assert!(ran.stderr.contains(&number) && ran.stderr.contains("\"filters\":1,"), "{}", ran.stderr);
        assert_eq!(states(&dir), one("PlatformDevs-F", "stopped"), "{words}");
    };
    dir.sh(&format!("{load} > load.hpb; {unload} > unload.hpb")).ok();
    run(&dir, &["cat load.hpb"], "");
    // Forged: no signature, a wrong key, a key that is not known, another's name.
    refused(&[&control("nobody.toml", own)], "it is not signed");
    refused(&[&control("guess.toml", own)], "the signature is wrong");
    refused(&[&control("future.toml", own)], "this signer or its key version is not known");
    refused(&[&control("ops.toml", own)], "signed by \"ops\", not by \"PlatformDevs\"");
    // A signature without its digest, and one that was moved to another message.
    let stolen =
        heka::stream::Frame::parse(&dir.read("unload.hpb")).map(|frame| frame.header_bytes().to_vec()).unwrap();
    let (frame, _) = frames(&dir.sh(&control("nobody.toml", own)).ok().stdout);
    let message = heka::stream::Frame::parse(&frame[0]).unwrap().message().to_vec();
    let mut moved = vec![0x1e, stolen.len() as u8];
    let fits = message.len() == dir.read("unload.hpb").len() - stolen.len() - 3;
    moved.extend_from_slice(&stolen);
    moved.push(0x1f);
    moved.extend_from_slice(&message);
    dir.write("moved.hpb", &moved);
    if fits {
        refused(&["cat moved.hpb"], "the signature is wrong");
    }
    // Aimed at another filter: a byte of the name is another.
    let mut aimed = dir.read("unload.hpb");
    let at = aimed.windows(8).position(|bytes| bytes == b"\x22\x01F\x52\x12\x0a\x06a").map(|at| at + 2);
    let at = at.or_else(|| aimed.iter().rposition(|byte| *byte == b'F')).unwrap();
    aimed[at] = b'G';
    dir.write("aimed.hpb", &aimed);
    refused(&["cat aimed.hpb"], "the signature is wrong");
    // Cut short: the stream goes on behind it.
    let whole = dir.read("unload.hpb");
    dir.write("cut.hpb", &whole[..whole.len() - 5]);
    let ran = run(&dir, &["cat cut.hpb; heka-inject"], "--stats");
    assert!(ran.stderr.contains("\"messages_in\":1,") && ran.stderr.contains("\"filters\":1,"), "{}", ran.stderr);
    // Old, or from the future.
    for time in ["1700000000", "2100-01-01T00:00:00Z"] {
        refused(&[&control("PlatformDevs.toml", &format!("{own} --timestamp {time}"))], "seconds skew");
    }
    // Once more, before and after a restart: the filter that the first one unloaded was loaded again meanwhile.
    let ran = run(&dir, &["cat unload.hpb", &load, "cat unload.hpb"], "--stats --max-age 60");
    assert!(ran.stderr.contains("obeyed already") && ran.stderr.contains("\"filters_unloaded\":1"), "{}", ran.stderr);
    let ran = run(&dir, &["cat unload.hpb", "cat load.hpb"], "--stats --max-age 60");
    assert!(ran.stderr.contains("obeyed already") && ran.stderr.contains("\"messages_refused\":2,"), "{}", ran.stderr);
    assert_eq!(states(&dir), one("PlatformDevs-F", "stopped"));
    // An older key is good until it is taken out.
    sbmgr(&dir, 1, 0, OLD_KEY, "");
    let ran = run(&dir, &[unload], "--stats");
    assert!(ran.stderr.contains("\"filters_unloaded\":1"), "{}", ran.stderr);
    dir.write("only_new.toml", "PlatformDevs_1 = 'Platform devs signing key'\n");
    let ran = dir.sh(&format!("{load} | heka-sandbox manage --name PlatformDevs --dir sandbox --signer PlatformDevs --max-filters 1 --keys only_new.toml | cat"));
    ran.fails(0, "key version 0: this signer or its key version is not known");
    // Without keys the stream is believed, which is said.
    let ran = dir.sh(&format!("{load} | heka-sandbox manage --config-file hekad.toml > out"));
    ran.fails_with(&["signatures are not checked here", "PlatformDevs-F: loaded"]);
    // Anybody, when that is asked for.
    let ran = dir.sh(&format!(
        "{} | heka-sandbox manage --config-file hekad.toml --any-signer > out",
        control("nobody.toml", own)
    ));
    ran.fails(0, "PlatformDevs-F: unloaded");
}

#[test]
fn what_cannot_be_loaded_leaves_nothing() {
    let dir = group();
    let kept = "message_matcher = 'TRUE'";
    let load = |name: &str, settings: &str, script: &str| filter(&dir, name, settings, script);
    let asked = |config: &str| {
        control("PlatformDevs.toml", &format!("--payload x --field action=load --field config=\"{config}\""))
    };
    let cases: Vec<(String, &str)> = vec![
        (load("A", "", COUNTER), "'PlatformDevs-A' missing message matcher"),
        (load("B", "message_matcher = 'TRU'", COUNTER), "column 1: unknown variable"),
        (load("C", &format!("{kept}\nfoo = 1"), COUNTER), "unknown config setting for 'PlatformDevs-C': foo"),
        (load("D", &format!("{kept}\nticker_interval = 'x'"), COUNTER), "ticker_interval: expected a whole number"),
        (load("E", kept, "function process_message("), "E.lua:1:"),
        (load("F", kept, "error('no')"), "F.lua:1: no"),
        (load("G", kept, "while true do end"), "instruction_limit"),
        (load("H", kept, "x = string"), "process_message() function was not found"),
        (
            load("I", &format!("{kept}\nticker_interval = 1"), "function process_message() return 0 end"),
            "timer_event() function was not found",
        ),
        (load("J", &format!("{kept}\nscript_type = 'x/../../y'"), COUNTER), "unsupported script type"),
        (load("K", &format!("{kept}\n[K.config]\ntz = 'Mars/Olympus'"), COUNTER), "unknown time zone"),
        (asked("[L]\ntype = 'SandboxDecoder'"), "Plugin must be a SandboxFilter, received SandboxDecoder"),
        (asked("[L]"), "Plugin must be a SandboxFilter, received L"),
        (asked("x = 1"), "its configuration has no section"),
        (asked("[L]\nx ="), "its configuration, line 2"),
        (asked(&format!("[{}]\ntype='SandboxFilter'", "n".repeat(300))), "200 bytes at most"),
    ];
    for (command, words) in &cases {
        let ran = run(&dir, &[command], "--stats");
        assert!(
            ran.stderr.contains(words) && ran.stderr.contains("\"requests_failed\":1"),
            "{words:?} not in {}",
            ran.stderr
        );
        let found = messages(&dir.read("out"));
        assert_eq!(found.iter().map(kind).collect::<Vec<_>>(), ["heka.sandbox-terminated"], "{words}");
        assert!(text(&found[0].payload).starts_with("loadSandbox failed: ") && text(&found[0].payload).contains(words));
        assert_eq!(field(&found[0], "plugin").as_deref(), Some("PlatformDevs"));
        assert_eq!(files(&dir), set([]), "{words}");
    }
    for (rest, words) in [
        ("--payload x", "it has no Fields[action]"),
        ("--field action:integer=1", "its Fields[action] is no string"),
        ("--field action=reload", "neither load nor unload"),
        ("--field action=unload", "it has no Fields[name]"),
    ] {
        let ran = run(&dir, &[&control("PlatformDevs.toml", rest)], "--stats");
        assert!(ran.stderr.contains(words) && ran.stderr.contains("\"messages_refused\":1"), "{}", ran.stderr);
    }
    // No room for another; none to unload.
    let (a, b) = (load("A", kept, COUNTER), load("B", kept, COUNTER));
    let ran = run(&dir, &[&a, &b, &a], "--max-filters 1 --stats");
    assert!(ran.stderr.contains("PlatformDevs attempted to load more than 1 filters"), "{}", ran.stderr);
    assert_eq!(files(&dir), set(["PlatformDevs-A.lua", "PlatformDevs-A.toml"]));
    let ran = run(&dir, &["heka-sbmgr --stdout -action=unload -config=PlatformDevs.toml -filtername=B"], "");
    assert!(ran.stderr.contains("unload: PlatformDevs-B is not running"), "{}", ran.stderr);
}

#[test]
fn a_filter_stays_within_its_own() {
    let dir = group();
    // A name that would lead elsewhere is a word.
    dir.write(
        "up.toml",
        "[\"../../up/and away\"]\ntype = 'SandboxFilter'\nmessage_matcher = 'TRUE'\npreserve_data = true\n",
    );
    dir.write("up.lua", COUNTER);
    let up = "heka-sbmgr --stdout -config=PlatformDevs.toml -script=up.lua -scriptconfig=up.toml";
    let ran = run(&dir, &[up, "heka-inject"], "");
    assert!(ran.stderr.contains("PlatformDevs-______up_and_away: loaded"), "{}", ran.stderr);
    let stem = "PlatformDevs-______up_and_away";
    assert_eq!(files(&dir), [".toml", ".lua", ".data"].map(|part| format!("{stem}{part}")).into());
    // Neither this filter's script nor any other file is in reach, with a module directory or without.
    let script = "require 'string'
function process_message()
    local said = {}
    for _, name in ipairs({'PlatformDevs-______up_and_away', '../sandbox/x', '/etc/passwd', '..sandbox.x', NAME}) do
        local ok, why = pcall(require, name)
        if ok then said[#said + 1] = name end
    end
    for _, name in ipairs({'io', 'debug', 'ffi', 'jit', 'dofile', 'loadfile', 'load', 'loadstring'}) do
        if _G[name] then said[#said + 1] = name end
    end
    for _, name in ipairs({'execute', 'remove', 'rename', 'tmpname', 'getenv', 'exit'}) do
        if os and os[name] then said[#said + 1] = 'os.' .. name end
    end
    inject_payload('txt', 'reached', '>', table.concat(said, ' '))
    return 0
end";
    // A dot would be a slash, and the folder's own name has one.
    let away = format!("'/proc/self/cwd/sandbox/{stem}'");
    let script = script.replace("NAME", &away).replace("table.concat", "(require 'table').concat");
    let reach = filter(&dir, "Reach", "message_matcher = 'TRUE'\nmodule_directory = '/'", &script);
    dir.sh("mkdir modules").ok();
    for options in ["", "--module-directory modules"] {
        let ran = run(&dir, &[&reach, "heka-inject"], options);
        assert!(!ran.stderr.contains("terminated"), "{}", ran.stderr);
        let found = messages(&dir.read("out"));
        let reached: Vec<String> =
            found.iter().filter(|message| text(&message.logger).ends_with("Reach")).map(|m| text(&m.payload)).collect();
        assert!(!reached.is_empty() && reached.iter().all(|text| text == ">"), "{reached:?} {}", ran.stderr);
        run(&dir, &["heka-sbmgr --stdout -action=unload -config=PlatformDevs.toml -filtername=Reach"], "");
    }
    // More than the manager allows is not given, less is.
    let greedy = filter(
        &dir,
        "Greedy",
        "message_matcher = 'TRUE'\nmemory_limit = 100000000\ninstruction_limit = 0\noutput_limit = 64",
        "t = {} function process_message() for i = 1, 1e7 do t[i] = {} end return 0 end",
    );
    let ran = run(&dir, &[&greedy, "heka-inject"], "--memory-limit 1M --instruction-limit 1000000000");
    for words in [
        "PlatformDevs-Greedy: memory_limit 100000000: the manager allows 1048576, which holds",
        "PlatformDevs-Greedy: instruction_limit none: the manager allows 1000000000, which holds",
        "PlatformDevs-Greedy: terminated: process_message() not enough memory",
    ] {
        assert!(ran.stderr.contains(words), "{words:?} not in {}", ran.stderr);
    }
    let wordy = filter(
        &dir,
        "Wordy",
        "message_matcher = 'TRUE'\noutput_limit = 64",
        "require 'string'
function process_message() inject_payload('txt', '', string.rep('x', 65)) return 0 end",
    );
    let ran = run(&dir, &[&wordy, "heka-inject"], "");
    assert!(
        ran.stderr.contains("Wordy: terminated: process_message()") && ran.stderr.contains("output_limit exceeded"),
        "{}",
        ran.stderr
    );
    // One message a call, ten a timer, as Heka has it; other numbers on demand.
    let twice = filter(
        &dir,
        "Twice",
        "message_matcher = 'TRUE'",
        "function process_message()
    inject_payload('txt', '', 'a') inject_payload('txt', '', 'b') return 0 end",
    );
    let ran = run(&dir, &[&twice, "heka-inject"], "");
    assert!(ran.stderr.contains("exceeded InjectMessage count"), "{}", ran.stderr);
    let ran = run(&dir, &[&twice, "heka-inject"], "--max-process-inject 2");
    assert!(!ran.stderr.contains("terminated") && dir.read("out").len() > 200, "{}", ran.stderr);
}

#[test]
fn a_filter_that_errs_ends_alone() {
    let dir = group();
    let bad = filter(
        &dir,
        "Bad",
        "message_matcher = \"Payload == 'x'\"\npreserve_data = true",
        "n = 0\nfunction process_message() n = n + 1 if n == 3 then error('three is too many') end return 0 end",
    );
    let good = filter(&dir, "Good", "message_matcher = 'TRUE'", COUNTER);
    let data = "for i in 1 2 3 4 5; do heka-inject --payload x; done";
    let ran = run(&dir, &[&bad, &good, data], "--stats");
    assert!(ran.stderr.contains("\"filters\":1,") && ran.stderr.contains("\"filters_terminated\":1"), "{}", ran.stderr);
    let reason = "process_message() PlatformDevs-Bad.lua:2: three is too many";
    let found = messages(&dir.read("out"));
    assert_eq!(found.iter().map(kind).collect::<Vec<_>>(), ["heka.sandbox-terminated", "heka.sandbox-output"]);
    assert_eq!((text(&found[0].payload).as_str(), text(&found[1].payload).as_str()), (reason, "5"));
    assert_eq!(field(&found[0], "plugin").as_deref(), Some("PlatformDevs-Bad"));
    let listed = list(&dir);
    assert_eq!((&listed[0]["state"], listed[0]["error"].as_str()), (&Json::from("failed"), Some(reason)));
    let table = dir.sh("heka-sandbox list --dir sandbox").ok();
    assert!(
        table
            .text()
            .contains(&format!("failed  -         -         -              -             -           {reason}"))
            || table.text().contains(reason),
        "{}",
        table.text()
    );
    // It is not started again, and makes room for a better one.
    let ran = run(&dir, &[data], "--stats");
    assert!(
        ran.stderr.contains("\"filters_restored\":1") && ran.stderr.contains("\"filters_terminated\":0"),
        "{}",
        ran.stderr
    );
    let better = filter(&dir, "Bad", "message_matcher = 'TRUE'", COUNTER);
    let ran = run(&dir, &[&better], "");
    assert!(ran.stderr.contains("PlatformDevs-Bad: loaded"), "{}", ran.stderr);
    let kept =
        set(["PlatformDevs-Bad.lua", "PlatformDevs-Bad.toml", "PlatformDevs-Good.lua", "PlatformDevs-Good.toml"]);
    assert_eq!(files(&dir), kept);
    // Files that somebody has spoilt are put aside at the start; the rest runs.
    dir.write("sandbox/PlatformDevs-Bad.lua", "function");
    std::fs::remove_file(dir.path("sandbox/PlatformDevs-Good.lua")).unwrap();
    dir.write("sandbox/PlatformDevs-Orphan.lua", COUNTER);
    dir.write("sandbox/Other-Orphan.lua", COUNTER);
    let ran = run(&dir, &["heka-inject"], "--stats");
    assert!(
        ran.stderr.contains("can't be loaded again") && ran.stderr.contains("\"requests_failed\":2"),
        "{}",
        ran.stderr
    );
    assert_eq!(messages(&dir.read("out")).len(), 2);
    let failed = |name: &str, parts: &[&str]| {
        parts.iter().map(|part| format!("PlatformDevs-{name}.failed{part}")).collect::<Vec<_>>()
    };
    let mut expected = BTreeSet::from(["Other-Orphan.lua".to_string()]);
    expected.extend(failed("Bad", &["", ".lua", ".toml"]));
    expected.extend(failed("Good", &["", ".toml"]));
    assert_eq!(files(&dir), expected);
    run(&dir, &["heka-sbmgr --stdout -action=unload -config=PlatformDevs.toml -filtername=Bad"], "");
    assert_eq!(states(&dir), one("PlatformDevs-Good", "failed"));
}

#[test]
fn a_slow_filter_is_ended_while_messages_wait() {
    let dir = group();
    let slow = filter(
        &dir,
        "Slow",
        "message_matcher = 'TRUE'",
        "function process_message() for i = 1, 60000 do local x = i * 2 end return 0 end",
    );
    let quick = filter(&dir, "Quick", "message_matcher = 'TRUE'", COUNTER);
    dir.sh("for i in 1 2 3 4 5 6 7 8 9 0; do heka-inject; done > ten.hpb; for i in $(seq 1500); do cat ten.hpb; done > data.hpb").ok();
    let ran = run(&dir, &[&slow, &quick, "cat data.hpb"], "--stats");
    assert!(
        ran.stderr.contains("Slow: terminated: sandbox is running slowly and blocking the router"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("\"filters\":1,"), "{}", ran.stderr);
    let found = messages(&dir.read("out"));
    assert_eq!((kind(&found[0]).as_str(), text(&found[1].payload).as_str()), ("heka.sandbox-terminated", "15000"));
    let number = |name: &str| field(&found[0], name).unwrap().split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    assert!(number("ProcessMessageSamples") >= 100 && number("ProcessMessageAvgDuration") > 100_000);
    assert!(number("ProcessMessageCount") < 15_000);
    // Patience, where that is wanted; a replay has no hurry.
    for (commands, options) in
        [(vec![slow.as_str(), "cat data.hpb"], "--max-process-duration 0"), (vec!["cat data.hpb"], "--clock message")]
    {
        let ran = run(&dir, &commands, &format!("{options} --stats"));
        assert!(ran.stderr.contains("\"filters\":2,"), "{}", ran.stderr);
    }
}

#[test]
fn state_and_signers_are_kept_apart_and_survive() {
    let dir = group();
    let total = filter(
        &dir,
        "Total",
        "message_matcher = \"Type == 'logfile'\"\npreserve_data = true\nticker_interval = 60",
        COUNTER,
    );
    let signed = filter(&dir, "Signed", "message_matcher = \"Type == 'x'\"\nmessage_signer = 'PlatformDevs'", COUNTER);
    dir.write("guess.toml", "[signer]\nname = 'PlatformDevs'\nhmac_key = 'guess'\nversion = 1\n");
    dir.write("log", "line\n".repeat(1000));
    dir.sh("heka-tail log > lines.hpb").ok();
    let three = "heka-inject --type x; heka-inject --type x --config PlatformDevs.toml; heka-inject --type x --config guess.toml";
    let counts = || {
        let found = messages(&dir.read("out"));
        let counts = found.iter().map(|m| text(&m.logger).replace("PlatformDevs-", "") + " " + &text(&m.payload));
        // Filters come in any order.
        counts.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let ran = run(&dir, &[&total, &signed, "cat lines.hpb", three], "");
    assert!(ran.stderr.contains("the signature is wrong"), "{}", ran.stderr);
    assert_eq!(counts(), ["Signed 1", "Total 1000"]);
    // The same lines once more are in the state already; others are not. What was made of them is sent again: whoever
    // sends them once more has not seen it delivered.
    run(&dir, &["cat lines.hpb"], "-j 2");
    assert_eq!(counts(), ["Signed 0", "Total 1000"]);
    dir.append("log", "line\n".repeat(10));
    run(&dir, &["heka-tail log"], "");
    assert_eq!(counts(), ["Signed 0", "Total 1000", "Total 1010"]);
    // The input goes through, and takes no cursor before the state has its message.
    let ran = dir.sh(&format!("heka-tail log | {MANAGE} --pass | heka-cat -c --match \"Type == 'logfile'\""));
    assert_eq!(ran.text(), "1010\n", "{}", ran.stderr);
    // An unloaded filter's state is gone.
    run(
        &dir,
        &["heka-sbmgr --stdout -action=unload -config=PlatformDevs.toml -filtername=Total", &total, "cat lines.hpb"],
        "",
    );
    assert!(counts().contains(&"Total 1000".to_string()), "{:?}", counts());
}

#[test]
fn live_timers_come_and_one_manager_is_enough() {
    let dir = group();
    let load = filter(&dir, "F", "message_matcher = 'TRUE'\nticker_interval = 1", COUNTER);
    let live = dir.start(&format!("({load}; heka-inject; sleep 60) | {MANAGE} > out"));
    eventually("the timer has come twice", || messages(&dir.read("out")).len() >= 2);
    assert_eq!(text(&messages(&dir.read("out"))[0].payload), "1");
    run(&dir, &["heka-inject"], "").fails(2, "a manager PlatformDevs is at work here");
    dir.sh("heka-inject | heka-sandbox manage --name Other --any-signer --dir sandbox --max-filters 1 > other").ok();
    // It ends at a signal, and says so to nobody.
    live.signal("-TERM");
    let mut live = live;
    live.wait(Duration::from_secs(10));
    assert_eq!(states(&dir), one("PlatformDevs-F", "stopped"));
    for (arguments, words) in [
        ("", "what is the manager called"),
        ("--name A", "where are its filters kept"),
        ("--name A --dir d", "whom does it obey"),
        ("--name A --dir d --signer s", "how many filters"),
        ("--name A --dir d --signer s --max-filters 1 --match x", "unknown variable"),
        ("--name A --dir d --signer s --max-filters 1 --keys none", "none: "),
        ("--any-signer --keys none", "cannot be used with"),
    ] {
        dir.sh(&format!("heka-sandbox manage {arguments} < /dev/null | cat")).fails(2, words);
    }
    dir.sh("heka-sandbox list --dir nowhere").fails(3, "nowhere: No such file");
}

#[test]
fn kill_9_leaves_one_of_the_valid_sets_and_whole_files() {
    let rounds = setting("HEKA_KILL_ROUNDS", 12);
    let seed = setting("HEKA_SEED", 1);
    println!("HEKA_SEED={seed} HEKA_KILL_ROUNDS={rounds}");
    let mut random = Random(seed);
    let dir = group();
    let padding = format!("--{}\n", "x".repeat(30_000));
    let names = ["A", "B", "C", "D", "E", "F"];
    let loads = names.map(|name| {
        filter(&dir, name, "message_matcher = 'TRUE'\npreserve_data = true", &format!("{COUNTER}\n{padding}"))
    });
    for round in 0..rounds {
        dir.sh("rm -rf sandbox").ok();
        // A walk through the sets: each message loads or unloads one.
        let (mut loaded, mut sets, mut commands) = (BTreeSet::new(), vec![BTreeSet::new()], Vec::new());
        for _ in 0..40 {
            let place = random.next() as usize % names.len();
            match loaded.remove(names[place]) {
                true => commands.push(format!(
                    "heka-sbmgr --stdout -action=unload -config=PlatformDevs.toml -filtername={}",
                    names[place]
                )),
                false => {
                    loaded.insert(names[place]);
                    commands.push(loads[place].clone());
                }
            }
            commands.push("heka-inject".into());
            sets.push(loaded.clone());
        }
        dir.sh(&format!("({}) > control.hpb", commands.join("; "))).ok();
        let mut manager =
            dir.start(&format!("exec {MANAGE} --max-age 0 --preserve-interval 0 control.hpb > out 2> said"));
        std::thread::sleep(Duration::from_micros(random.next() % 400_000));
        manager.signal("-KILL");
        let _ = manager.child.wait();
        if !dir.path("sandbox").exists() {
            continue;
        }
        let ran = run(&dir, &["true"], "--stats");
        let words = format!("seed {seed} round {round}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("\"requests_failed\":0") && ran.stderr.contains("\"filters_terminated\":0"),
            "{words}"
        );
        let found = states(&dir);
        let found: BTreeSet<&str> = found.iter().map(|(name, _)| name.trim_start_matches("PlatformDevs-")).collect();
        assert!(sets.contains(&found), "{found:?} {words}");
        for name in found {
            for part in ["toml", "lua"] {
                let (kept, sent) =
                    (dir.read(&format!("sandbox/PlatformDevs-{name}.{part}")), dir.read(&format!("{name}.{part}")));
                assert!(kept == sent, "{name}.{part} {words}");
            }
        }
        assert!(files(&dir).iter().all(|name| !name.contains("tmp")), "{:?}", files(&dir));
    }
}
