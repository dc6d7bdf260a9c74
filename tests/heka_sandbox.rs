//! heka-sandbox: filters in pipes, with timers, kept state, limits.

mod common;

use std::time::Duration;

use common::{Workdir, eventually, field, frames, messages, payloads};
use heka::stream::Frame;

/// The tutorial's counter.
const COUNTER: &str = include_str!("scripts/tutorial/counter.lua");

fn workdir() -> Workdir {
    let work = Workdir::new();
    work.write("counter.lua", COUNTER);
    work
}

/// A stream of so many messages, one a second from that time on, with cursors of a source's.
fn stream(work: &Workdir, name: &str, first: usize, count: usize) {
    let lines: String = (first..first + count)
        .map(|n| format!("{{\"timestamp\":{},\"type\":\"demo\",\"payload\":\"line {n}\"}}\n", 1_000_000_000 * n as u64))
        .collect();
    work.write("lines.json", lines);
    work.sh(&format!("heka-cat --from-json lines.json > {name}")).ok();
}

#[test]
fn the_tutorial_counts() {
    let work = workdir();
    stream(&work, "day.hpb", 3600, 150);
    let run = work.sh("heka-sandbox --lua counter.lua --match \"Type == 'demo'\" --ticker 60 day.hpb").ok();
    let expected: Vec<String> = [(60, 60), (60, 120), (30, 150)]
        .iter()
        .map(|(count, total)| format!("{count} messages in the last minute; total={total}"))
        .collect();
    assert_eq!(payloads(&run.stdout), expected);
    let first = &messages(&run.stdout)[0];
    assert_eq!(first.timestamp, 3660 * 1_000_000_000);
    assert_eq!(first.r#type.as_deref(), Some(&b"heka.sandbox-output"[..]));
    assert_eq!(first.logger.as_deref(), Some(&b"counter"[..]));
    assert_eq!(field(first, "payload_type").as_deref(), Some("txt file-extension"));
    assert_eq!(field(first, "payload_name").as_deref(), Some(""));

    work.sh("heka-sandbox --lua counter.lua --ticker 60 --no-final-timer day.hpb | heka-cat -c > n").ok();
    assert_eq!(work.read("n"), b"2\n");
    // Without a ticker the one call at the end remains.
    let run = work.sh("heka-sandbox --lua counter.lua --name other day.hpb | heka-cat").ok();
    assert!(run.text().contains("150 messages") && run.text().contains(":Logger: other"), "{}", run.text());
    assert!(
        work.sh("heka-sandbox --lua counter.lua --match 'Type == \"x\"' --no-final-timer day.hpb")
            .ok()
            .stdout
            .is_empty()
    );
}

#[test]
fn a_section_of_a_hekad_toml_runs_as_it_stands() {
    let work = workdir();
    stream(&work, "day.hpb", 0, 90);
    work.write(
        "hekad.toml",
        "[demo_counter]\ntype = \"SandboxFilter\"\nmessage_matcher = \"Type == 'demo'\"\nticker_interval = 60\n\
         script_type = \"lua\"\nfilename = \"counter.lua\"\npreserve_data = true\n\n\
         [FxaAuthServerFrequentIP]\ntype = \"SandboxFilter\"\nscript_type = \"lua\"\n\
         filename = \"lua_filters/frequent_items.lua\"\nticker_interval = 60\npreserve_data = true\n\
         message_matcher = \"Type == 'demo'\"\n[FxaAuthServerFrequentIP.config]\n\
         message_variable = \"Payload\"\nmax_items = 10000\nmin_output_weight = 0\nreset_days = 1\n",
    );
    let config = "heka-sandbox --config-file hekad.toml:demo_counter";
    work.sh(&format!("{config} day.hpb > out")).fails(2, "--preserve FILE");
    let run = work.sh(&format!("{config} --preserve state day.hpb")).ok();
    assert_eq!(payloads(&run.stdout).len(), 2);
    assert_eq!(messages(&run.stdout)[0].logger.as_deref(), Some(&b"demo_counter"[..]));
    assert!(String::from_utf8_lossy(&work.read("state")).contains("_G[\"total\"] = 90\n"));
    let run =
        work.sh("heka-sandbox --config-file hekad.toml:FxaAuthServerFrequentIP --preserve s2 --no-final-timer day.hpb");
    assert!(payloads(&run.ok().stdout)[0].starts_with("Payload\tWeight\nline 0\t1\nline 1\t1\n"));
    work.sh("heka-sandbox --config-file hekad.toml day.hpb > out").fails(2, "several sections of type SandboxFilter");
    work.sh("heka-sandbox day.hpb > out").fails(2, "which script?");
}

#[test]
fn a_signer_is_looked_for_and_its_signature_left_to_others() {
    let work = workdir();
    stream(&work, "plain.hpb", 0, 3);
    work.write(
        "hekad.toml",
        "[demo]\ntype = \"SandboxFilter\"\nfilename = \"counter.lua\"\nmessage_signer = \"ops\"\n",
    );
    let run = work.sh("heka-sandbox --config-file hekad.toml plain.hpb");
    assert_eq!(payloads(&run.stdout), ["0 messages in the last minute; total=0"]);
    assert!(run.stderr.contains("message_signer: frames are taken at their word"), "{}", run.stderr);
}

/// Everything that a filter wrote, without what is made up for each message.
fn aggregates(stream: &[u8]) -> Vec<(i64, String)> {
    messages(stream)
        .into_iter()
        .map(|message| (message.timestamp, String::from_utf8(message.payload.unwrap_or_default()).unwrap()))
        .collect()
}

#[test]
fn a_replay_gives_what_the_live_run_gave() {
    let work = workdir();
    work.write(
        "total.lua",
        "total = 0\nfunction process_message() total = total + 1 return 0 end\n\
         function timer_event(ns) inject_payload('txt', '', ns, ' ', total) end\n",
    );
    // A live run: the machine's clock, messages as they come.
    let mut live = work.start(
        "for n in 1 2 3 4 5 6 7 8; do echo line $n; sleep 0.4; done | tee -a app.log | \
         (while read l; do echo \"$l\" > one; heka-tail one; done) | tee day.hpb | \
         heka-sandbox --lua total.lua --ticker 1 --clock wall > live.hpb",
    );
    assert!(live.wait(Duration::from_secs(30)).success());
    work.sh("heka-sandbox --lua total.lua --ticker 1 --clock message day.hpb > replay.hpb").ok();
    // When the timer was called, and what had been counted.
    let told = |stream: &[u8]| -> Vec<(f64, u32)> {
        let told = payloads(stream);
        let pairs = told.iter().map(|text| text.split_once(' ').unwrap());
        pairs.map(|(ns, total)| (ns.parse().unwrap(), total.parse().unwrap())).collect()
    };
    let (live, replay) = (told(&work.read("live.hpb")), told(&work.read("replay.hpb")));
    assert!(live.len() >= 3 && replay.len() >= 3, "{live:?} {replay:?}");
    // Both at whole seconds; the last call of the live run is when its input ended.
    assert!(live[..live.len() - 1].iter().chain(&replay).all(|(ns, _)| ns % 1e9 == 0.0), "{live:?} {replay:?}");
    assert_eq!((live.last().unwrap().1, replay.last().unwrap().1), (8, 8));
    // A message that arrives while the timer fires may count in the next second of the live run, never in an earlier one.
    for (ns, total) in &live {
        if let Some((_, counted)) = replay.iter().find(|(other, _)| other == ns) {
            assert!(total <= counted, "{live:?} {replay:?}");
        }
    }
    // The same replay again, from a pipe.
    work.sh("cat day.hpb | heka-sandbox --lua total.lua --ticker 1 > pipe.hpb").ok();
    assert_eq!(told(&work.read("pipe.hpb")), replay);
}

#[test]
fn a_day_in_parts_gives_what_the_whole_day_gives() {
    let work = Workdir::new();
    stream(&work, "day.hpb", 0, 7200);
    stream(&work, "am.hpb", 0, 3000);
    stream(&work, "pm.hpb", 3000, 4200);
    work.write(
        "total.lua",
        "total = 0\nfunction process_message() total = total + 1 return 0 end\n\
                             function timer_event(ns) inject_payload('txt', '', ns / 1e9, ' ', total) end\n",
    );
    let whole = work.sh("heka-sandbox --lua total.lua --ticker 300 day.hpb").ok();
    let parts = work
        .sh("heka-sandbox --lua total.lua --ticker 300 --preserve s --no-final-timer am.hpb; \
             heka-sandbox --lua total.lua --ticker 300 --preserve s pm.hpb")
        .ok();
    assert_eq!(aggregates(&parts.stdout), aggregates(&whole.stdout));
    assert_eq!(aggregates(&whole.stdout).len(), 24);
}

#[test]
fn the_wall_clock_ticks_without_messages_and_stops_in_order() {
    let work = workdir();
    let mut live = work.start("sleep 60 | heka-sandbox --lua counter.lua --ticker 1 --clock wall --preserve s > out");
    eventually("two ticks", || payloads(&work.read("out")).len() >= 2);
    live.signal("-TERM");
    live.wait(Duration::from_secs(5));
    assert!(String::from_utf8_lossy(&work.read("s")).contains("_G[\"total\"] = 0\n"));
    let ticks = payloads(&work.read("out")).len();

    assert!(ticks >= 2);

    // A signal asks for no last tick, unless the filter wants one.
    work.write("one.log", "x\n");
    let mut live = work.start(
        "(heka-tail one.log; sleep 60) | \
         heka-sandbox --lua counter.lua --ticker 3600 --clock wall --pass --timer-event-on-shutdown > last",
    );
    eventually("the message", || !work.read("last").is_empty());
    live.signal("-TERM");
    live.wait(Duration::from_secs(5));
    assert_eq!(payloads(&work.read("last")), ["x", "1 messages in the last minute; total=1"]);
}

#[test]
fn a_pipe_that_is_silent_is_followed() {
    let work = workdir();
    work.write("old.log", "one\ntwo\n");
    let mut live = work.start("heka-tail -f old.log | heka-sandbox --lua counter.lua --ticker 1 > out");
    // After five seconds of silence the machine's clock goes on, and ticks come.
    eventually("ticks", || payloads(&work.read("out")).len() >= 2);
    assert!(payloads(&work.read("out")).concat().contains("total=2"));
    live.signal("-TERM");
    live.wait(Duration::from_secs(10));
}

#[test]
fn the_input_goes_through_byte_for_byte() {
    let work = workdir();
    stream(&work, "day.hpb", 0, 100);
    let run = work.sh("heka-sandbox --lua counter.lua --pass day.hpb").ok();
    let day = work.read("day.hpb");
    assert!(run.stdout.starts_with(&day));
    assert_eq!(messages(&run.stdout).len(), 101);
}

#[test]
fn a_terminated_script_is_reported_and_its_state_kept_aside() {
    let work = Workdir::new();
    stream(&work, "day.hpb", 0, 10);
    work.write(
        "bad.lua",
        "count = 0\nfunction process_message()\n    count = count + 1\n    if count == 5 then local x = nil + 1 end\n    return 0\nend\n",
    );
    let run = work.sh("heka-sandbox --lua bad.lua --preserve state day.hpb");
    let reason = "process_message() bad.lua:4: attempt to perform arithmetic on a nil value";
    run.fails(3, &format!("bad: terminated: {reason}"));
    let sent = messages(&run.stdout);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].r#type.as_deref(), Some(&b"heka.sandbox-terminated"[..]));
    assert_eq!(sent[0].logger.as_deref(), Some(&b"hekad"[..]));
    assert_eq!(sent[0].payload.as_deref(), Some(reason.as_bytes()));
    assert_eq!(field(&sent[0], "plugin").as_deref(), Some("bad"));
    let run = work.sh("heka-sandbox --lua bad.lua --can-exit --pass day.hpb");
    assert_eq!((run.code(), messages(&run.stdout).len()), (0, 11), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1);

    for (script, words) in [
        ("function process_message() return 1, 'enough' end", "process_message() FATAL: enough"),
        ("function process_message() return end", "must return a numeric status code"),
        ("function process_message() return 0 end function timer_event(ns) error('late') end", "timer_event() "),
        (
            "function process_message() write_message('Type', 'x') return 0 end",
            "attempt to call global 'write_message'",
        ),
        ("function process_message() inject_payload('a', 'b', {}) return 0 end", "bad argument #3 to 'inject_payload'"),
    ] {
        work.write("x.lua", script);
        work.sh("heka-sandbox --lua x.lua day.hpb > out").fails(3, words);
    }
    for (script, words) in [
        ("x = ", "x.lua:1:"),
        ("y = 1", "process_message() function was not found"),
        ("function process_message() return 0 end", "timer_event() function was not found"),
    ] {
        work.write("x.lua", script);
        work.sh("heka-sandbox --lua x.lua --ticker 1 day.hpb > out").fails(2, words);
    }
    work.write("many.lua", "function process_message() inject_message{} inject_message{} return 0 end");
    work.sh("heka-sandbox --lua many.lua --max-process-inject 1 day.hpb > out")
        .fails(3, "inject_message() exceeded InjectMessage count");
}

#[test]
fn failures_are_counted_and_told_once() {
    let work = Workdir::new();
    stream(&work, "day.hpb", 0, 10);
    work.write("no.lua", "function process_message() return -1, 'not this' end");
    let run = work.sh("heka-sandbox --lua no.lua --stats day.hpb");
    assert_eq!(run.code(), 0);
    assert!(run.stderr.contains("no: not this") && run.stderr.contains("9 more"), "{}", run.stderr);
    assert!(run.stderr.contains("\"messages_rejected\":10"), "{}", run.stderr);
}

#[test]
fn the_profile_has_hekas_fields() {
    let work = workdir();
    stream(&work, "day.hpb", 0, 1000);
    let run = work.sh("heka-sandbox --lua counter.lua --ticker 60 --profile day.hpb > out");
    let value = |name: &str| {
        let line = run.stderr.lines().find(|line| line.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name}: {}", run.stderr));
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(value("ProcessMessageSamples"), 1000);
    assert_eq!(value("TimerEventSamples"), 17);
    assert_eq!(value("InjectMessageCount"), 17);
    assert!(value("MaxMemory") > 10_000 && value("MaxOutput") > 30);
    assert!(value("ProcessMessageP50Duration") <= value("ProcessMessageP99Duration"));
    assert!(value("ProcessMessageP99Duration") <= value("ProcessMessageMaxDuration"));
    assert!(value("TimerEventAvgDuration") > 0);
}

#[test]
fn heka_tail_to_slack_as_the_article_has_it() {
    let work = Workdir::new();
    work.write("log_aggregator.lua", include_str!("scripts/tutorial/log_aggregator.lua"));
    work.write("slack.lua", include_str!("scripts/tutorial/slack.lua"));
    work.write("app.log", "one\ntwo \"quoted\"\n");
    let run = work
        .sh("heka-tail --keep-delimiter app.log | heka-sandbox --lua log_aggregator.lua --ticker 15 | \
             heka-cat --encoder slack.lua")
        .ok();
    let json: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(json["text"], "one\ntwo \"quoted\"\n");
    assert_eq!(json["channel"], "#something");
    assert_eq!(json["icon_emoji"], ":heavy_exclamation_mark:");

    // The scripts that ship do the same, with heka-tail's lines without their ends.
    let run = work
        .sh("rm *.lua; heka-tail app.log | heka-sandbox --lua log_aggregator.lua --ticker 15 | \
             heka-cat --encoder slack.lua --config channel='#ops'")
        .ok();
    let json: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&json["text"], &json["channel"]), (&"one\ntwo \"quoted\"\n".into(), &"#ops".into()));
}

// Kept state.

/// Counts every message and every payload; at ticks it tells.
const EXACT: &str = "total = 0
sum = 0
function process_message()
    total = total + 1
    sum = sum + tonumber(read_message('Payload'))
    return 0
end
function timer_event(ns)
    inject_payload('txt', 'totals', total, ' ', sum)
end
";

#[test]
fn state_and_cursors_are_saved_together() {
    let work = Workdir::new();
    work.write("exact.lua", EXACT);
    let lines: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    work.write("app.log", &lines);
    let pipeline = "heka-tail app.log | heka-sandbox --lua exact.lua --preserve state";
    assert_eq!(payloads(&work.sh(pipeline).ok().stdout), ["1000 500500"]);
    // The source sends everything again: nothing counts twice. What nobody is known to have got goes out again.
    let again = work.sh(pipeline);
    assert_eq!(payloads(&again.stdout), ["1000 500500"]);
    assert!(again.stderr.contains("are sent again"), "{}", again.stderr);
    work.append("app.log", "1001\n");
    assert_eq!(payloads(&work.sh(pipeline).stdout).last().unwrap(), "1001 501501");
    // What is injected after the save carries the cursor of what was saved.
    let sent = work.sh(pipeline).stdout;
    let cursors: Vec<u64> = frames(&sent)
        .0
        .iter()
        .filter_map(|raw| Frame::parse(raw).unwrap().header().cursor().map(|cursor| cursor.sequence))
        .collect();
    let size = work.read("app.log").len() as u64;
    assert_eq!(cursors.last(), Some(&size), "{cursors:?}");
}

/// Kills the pipeline at a random moment, again and again, until everything has been counted. `rounds`: how often at least.
fn kill_rounds(rounds: u32, seed: u64) {
    let work = Workdir::new();
    work.write("exact.lua", EXACT);
    let count = 200_000u64;
    let lines: String = (1..=count).map(|n| format!("{n}\n")).collect();
    work.write("app.log", &lines);
    let expected = format!("{count} {}", count * (count + 1) / 2);
    let pipeline = "heka-tail --checkpoint c --commit sink app.log | \
                    heka-sandbox --lua exact.lua --ticker 0.05 --clock wall --preserve state --preserve-interval 0.02 | \
                    heka-cat --format payload --checkpoint c >> told";
    let mut random = seed;
    for _ in 0..rounds {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let run = work.start(pipeline);
        std::thread::sleep(Duration::from_millis(5 + (random >> 33) % 120));
        run.signal("-KILL");
        drop(run);
    }
    work.sh(pipeline);
    let told = String::from_utf8(work.read("told")).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.last(), Some(&expected.as_str()), "{} lines", lines.len());
    // Never more than there is, and every total has its sum.
    for line in lines {
        let Some((total, sum)) = line.split_once(' ') else { continue };
        let (Ok(total), Ok(sum)) = (total.parse::<u64>(), sum.parse::<u64>()) else { continue };
        assert_eq!(sum, total * (total + 1) / 2, "{line}");
    }
}

#[test]
fn a_filter_that_is_killed_counts_exactly() {
    // HEKA_KILL_ROUNDS=200 is the long run.
    let rounds = std::env::var("HEKA_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    kill_rounds(rounds, 7);
}

/// Runs a script that checks a restored state: what it injects after the restart.
fn restored(work: &Workdir, make: &str, check: &str) -> String {
    stream(work, "one.hpb", 0, 1);
    work.write("state.lua", format!("{make}\nfunction process_message() {check}\nreturn 0 end"));
    work.write("make.lua", format!("{make}\nfunction process_message() fill() return 0 end"));
    work.sh("rm -f s; heka-sandbox --lua make.lua --preserve s one.hpb").ok();
    let run = work.sh("heka-sandbox --lua state.lua --preserve s one.hpb").ok();
    payloads(&run.stdout).concat()
}

#[test]
fn every_kind_of_value_comes_back() {
    let work = Workdir::new();
    let make = r#"
        require "circular_buffer" require "hyperloglog" require "bloom_filter" require "cuckoo_filter" require "string" require "cjson"
        data = nil
        function fill()
            data = {
                text = "plain", empty = "", binary = "a\0b\1\r\n\t\"\\]]\255", number = -1.5, whole = 2^53, tiny = 1e-300,
                third = 1/3, large = 1e300, yes = true, no = false, nan = 0/0, inf = 1/0, ninf = -1/0,
                [1] = "one", [2.5] = "two and a half", [true] = "key", [-7] = "minus", ["k k"] = { 1, 2, { deep = "x" } },
                f = print, lib = cjson, ["line\nbreak"] = 1,
            }
            data.self = data
            data.again = data["k k"]
            cb = circular_buffer.new(3, 2, 60, true)
            cb:set_header(1, "a", "s", "max")
            cb:add(60e9, 1, 5) cb:add(180e9, 2, 0.1)
            other = cb
            hll = hyperloglog.new() for i = 1, 5000 do hll:add(i) end
            bf = bloom_filter.new(100, 0.01) for i = 1, 50 do bf:add("k" .. i) end
            cf = cuckoo_filter.new(100) for i = 1, 50 do cf:add("k" .. i) end
        end"#;
    let check = r#"
        local d = data
        local same = {
            d.text == "plain", d.empty == "", d.binary == "a\0b\1\r\n\t\"\\]]\255", d.number == -1.5, d.whole == 2^53,
            d.tiny == 1e-300, d.third == 1/3, d.large == 1e300, d.yes == true, d.no == false, d.nan ~= d.nan, d.inf == 1/0,
            d.ninf == -1/0, d[1] == "one", d[2.5] == "two and a half", d[true] == "key", d[-7] == "minus",
            d["k k"][3].deep == "x", d.f == nil, d.lib == nil, d["line\nbreak"] == 1, d.self == d, d.again == d["k k"],
            other == cb, cb:get(60e9, 1) == 5, cb:get(180e9, 2) == 0.1, cb:get(120e9, 1) ~= cb:get(120e9, 1),
            select(3, cb:get_header(1)) == "max", hll:count() == 4985 or hll:count(), bf:query("k7"), bf:count() == 50,
            cf:query("k50"), cf:count() == 50, not cf:query("nobody"),
        }
        for place, flag in ipairs(same) do if flag ~= true then add_to_payload(place, "=", flag, " ") end end
        add_to_payload(#same, " ", cb:format("cbufd"))
        inject_payload()"#;
    let told = restored(&work, make, check);
    let expected_hll = told.split("=").nth(1).map(|rest| rest.split(' ').next().unwrap().to_string());
    assert!(told.contains("34 {\"time\":60"), "{told}");
    assert!(told.ends_with("180\tnan\t0.1\n60\t5\tnan\n"), "{told}");
    // Only the estimate is not known beforehand; it is close.
    if let Some(estimate) = expected_hll {
        assert!((estimate.parse::<f64>().unwrap() / 5000.0 - 1.0).abs() < 0.02, "{told}");
        assert_eq!(told.matches('=').count(), 1, "{told}");
    }
}

#[test]
fn a_hundred_thousand_keys_come_back() {
    let work = Workdir::new();
    let make = "data = {} function fill() for i = 1, 100000 do data['key ' .. i] = i end end";
    let check =
        "local n, s = 0, 0 for k, v in pairs(data) do n = n + 1 s = s + v end inject_payload('txt', '', n, ' ', s)";
    work.write("limits", "");
    stream(&work, "one.hpb", 0, 1);
    work.write("make.lua", format!("{make}\nfunction process_message() fill() return 0 end"));
    work.write("check.lua", format!("{make}\nfunction process_message() {check} return 0 end"));
    let limits = "--memory-limit 64M --instruction-limit 0";
    work.sh(&format!("heka-sandbox --lua make.lua {limits} --preserve s one.hpb")).ok();
    let run = work.sh(&format!("heka-sandbox --lua check.lua {limits} --preserve s one.hpb")).ok();
    assert_eq!(payloads(&run.stdout), ["100000 5000050000"]);
}

#[test]
fn files_of_lua_sandbox_are_read_and_ours_are_read_there() {
    let work = Workdir::new();
    stream(&work, "one.hpb", 0, 1);
    work.sh("cp $DATA/preserved_state_lua_sandbox_0.7.lua.data s").ok();
    let names = r#"require "circular_buffer" require "string" require "table"
        _PRESERVATION_VERSION = 0"#;
    work.write(
        "show.lua",
        format!(
            "{names}
            function process_message()
                local seen = {{}}
                local function show(path, v)
                    if type(v) == 'table' and getmetatable(v) == nil then
                        if seen[v] then return add_to_payload(path, ' again\\n') end
                        seen[v] = true
                        local keys = {{}}
                        for k in pairs(v) do keys[#keys + 1] = k end
                        table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
                        for _, k in ipairs(keys) do
                            if v ~= _G or type(v[k]) ~= 'function' and k ~= '_G' then show(path .. '.' .. tostring(k), v[k]) end
                        end
                    elseif type(v) == 'userdata' then add_to_payload(path, ' ', v)
                    elseif type(v) ~= 'function' and type(v) ~= 'table' then add_to_payload(path, '=', v, '\\n') end
                end
                show('G', _G)
                inject_payload()
                return 0
            end"
        ),
    );
    let run = work.sh("heka-sandbox --lua show.lua --preserve s one.hpb").ok();
    let shown = payloads(&run.stdout).concat();
    // What the original wrote, with its cycles, shared tables and buffers.
    let file = String::from_utf8_lossy(&work.read("s")).into_owned();
    assert!(shown.lines().count() > 20, "{shown}");
    assert!(shown.contains("again"), "{shown}");
    // Saved and restored once more, it is the same.
    let again = work.sh("heka-sandbox --lua show.lua --preserve s one.hpb").ok();
    assert_eq!(payloads(&again.stdout).concat(), shown);
    // Plain Lua reads the file, as lua_sandbox would: a circular buffer only needs to exist.
    work.write("buffer.lua", "circular_buffer = { new = function() return setmetatable({}, { __index = function() return function() end end }) end }\n\
                              dofile 's'\nfor k in pairs(_G) do print(k) end");
    let lua = work.sh("lua5.1 buffer.lua");
    assert!(lua.status.success(), "{}\n{file}", lua.stderr);
}

#[test]
fn another_version_begins_anew_and_bad_files_are_told() {
    let work = Workdir::new();
    stream(&work, "one.hpb", 0, 1);
    let script = |version: u32| {
        format!(
            "_PRESERVATION_VERSION = {version}\ntotal = 0\nfunction process_message() total = total + 1 \
                 inject_payload('txt', '', total) return 0 end"
        )
    };
    work.write("a.lua", script(1));
    work.write("b.lua", script(2));
    let total = |name: &str| {
        payloads(&work.sh(&format!("heka-sandbox --lua {name} --preserve s one.hpb")).ok().stdout).concat()
    };
    assert_eq!(total("a.lua"), "1");
    assert_eq!(total("a.lua"), "2");
    assert_eq!(total("b.lua"), "1");
    work.write("s", "_G[\"total\"] = 5\n_G[\"x\"]:no()\n");
    let run = work.sh("heka-sandbox --lua b.lua --preserve s one.hpb > out");
    run.fails(2, "s:2: attempt to index field 'x'");
    work.write("s", "-- heka cursors {\"x\":5}\n");
    work.sh("heka-sandbox --lua b.lua --preserve s one.hpb > out").fails(3, "its cursors can't be read");
    work.write(
        "t.lua",
        "require 'circular_buffer' data = circular_buffer.new(3, 1, 60) function process_message() return 0 end",
    );
    work.write("s", "_G[\"data\"]:fromstring(\"120 2 1 2\")\n");
    work.sh("heka-sandbox --lua t.lua --preserve s one.hpb > out")
        .fails(2, "fromstring() too few values: 2, expected 3");
}

#[test]
fn what_cannot_be_kept_ends_the_script() {
    let work = Workdir::new();
    stream(&work, "one.hpb", 0, 1);
    work.write("key.lua", "data = {} function process_message() data[{}] = 1 return 0 end");
    work.sh("heka-sandbox --lua key.lua --preserve s one.hpb > out")
        .fails(3, "serialize_data cannot preserve type 'table'");
    assert_eq!(messages(&work.read("out")).len(), 1);
    work.write(
        "deep.lua",
        "data = {} local t = data for i = 1, 1000 do t.x = {} t = t.x end function process_message() return 0 end",
    );
    work.sh("heka-sandbox --lua deep.lua --preserve s one.hpb > out").fails(3, "nested deeper than");
    // A disk that is full: the old file stays.
    work.write("ok.lua", "total = 1 function process_message() return 0 end");
    work.sh("heka-sandbox --lua ok.lua --preserve s one.hpb").ok();
    let before = work.read("s");
    work.write("big.lua", "total = 'x' total = total .. total function process_message() data = {} for i = 1, 2000 do data[i] = 'some text ' .. i end return 0 end");
    let run = work.sh("ulimit -f 8; trap '' XFSZ; heka-sandbox --lua big.lua --preserve s one.hpb > out");
    assert_eq!(run.code(), 3, "{}", run.stderr);
    assert_eq!(work.read("s"), before);
}

#[test]
fn a_kill_during_a_save_leaves_a_whole_file() {
    let work = Workdir::new();
    stream(&work, "day.hpb", 0, 20_000);
    work.write("big.lua", "data = {} total = 0 function process_message() total = total + 1 data[total % 5000] = 'value ' .. total return 0 end");
    let rounds = 15;
    for round in 0..rounds {
        let run =
            work.start("(cat day.hpb; sleep 9) | heka-sandbox --lua big.lua --preserve s --preserve-interval 0 > out");
        if round == 0 {
            eventually("a first save", || !work.read("s").is_empty());
        }
        std::thread::sleep(Duration::from_millis(20 + 7 * round));
        run.signal("-KILL");
        drop(run);
        let state = String::from_utf8(work.read("s")).unwrap();
        let last = state.lines().last().unwrap_or_default();
        assert!(last.starts_with("-- heka cursors {") && last.ends_with('}'), "round {round}: {last}");
    }
    work.sh("heka-sandbox --lua big.lua --preserve s day.hpb").ok();
}
