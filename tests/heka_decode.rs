//! heka-decode, as a user runs it: the scripts that ship, scripts of one's own, and scripts that misbehave.

mod common;

use common::{Workdir, field, frames, messages, payloads};
use heka::message::schema::Message;

/// Decodes lines with a script and options; answers the messages.
fn decode(dir: &Workdir, options: &str, lines: &str) -> Vec<Message> {
    dir.write("lines.log", lines);
    messages(&dir.sh(&format!("heka-tail --logger L --hostname H lines.log | heka-decode {options}")).ok().stdout)
}

fn text(bytes: &Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned()
}

fn assert_fields(message: &Message, expected: &[(&str, &str)]) {
    let mut found: Vec<(String, String)> = message
        .fields
        .iter()
        .map(|f| {
            let name = String::from_utf8_lossy(&f.name).into_owned();
            let value = field(message, &name).unwrap();
            (name, value)
        })
        .collect();
    found.sort();
    let mut expected: Vec<(String, String)> = expected.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn nginx_access_makes_the_fields_of_heka_s_example() {
    let dir = Workdir::new();
    dir.write(
        "hekad.toml",
        r#"
[FxaNginxAccessDecoder]
type = "SandboxDecoder"
script_type = "lua"
filename = "lua_decoders/nginx_access.lua"

[FxaNginxAccessDecoder.config]
log_format = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for"'
user_agent_transform = true
"#,
    );
    let line = r#"62.195.113.219 - - [10/Jan/2014:07:04:56 -0800] "GET /v1/recovery_email/status HTTP/1.1" 200 82 "-" "Mozilla/5.0 (Mobile; rv:29.0) Gecko/29.0 Firefox/29.0" "-""#;
    let expected = [
        ("remote_user", "-"),
        ("http_x_forwarded_for", "-"),
        ("http_referer", "-"),
        ("body_bytes_sent", "82 B"),
        ("remote_addr", "62.195.113.219 ipv4"),
        ("status", "200"),
        ("request", "GET /v1/recovery_email/status HTTP/1.1"),
        ("user_agent_os", "FirefoxOS"),
        ("user_agent_browser", "Firefox"),
        ("user_agent_version", "29"),
    ];
    for options in ["--config-file hekad.toml", "--config-file hekad.toml:FxaNginxAccessDecoder -j 2"] {
        let made = decode(&dir, options, line);
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].timestamp, 1_389_366_296_000_000_000);
        assert_eq!(text(&made[0].r#type), "logfile");
        assert_eq!((text(&made[0].logger), text(&made[0].hostname)), ("L".into(), "H".into()));
        assert_eq!(made[0].payload, None);
        assert_fields(&made[0], &expected);
    }
    let agent = ("http_user_agent", "Mozilla/5.0 (Mobile; rv:29.0) Gecko/29.0 Firefox/29.0");
    let made = decode(&dir, "--config-file hekad.toml --config user_agent_keep=true --config type=nginx", line);
    assert_fields(&made[0], &[&expected[..], &[agent]].concat());
    assert_eq!(text(&made[0].r#type), "nginx");
    let made = decode(
        &dir,
        "--config-file hekad.toml --config user_agent_conditional=true",
        &line.replace("Mozilla", "curl").replace("Firefox", "x"),
    );
    assert!(field(&made[0], "http_user_agent").is_some() && field(&made[0], "user_agent_browser").is_none());
}

#[test]
fn nginx_access_agrees_with_hindsight_on_a_thousand_lines() {
    let dir = Workdir::new();
    let theirs = messages(&std::fs::read(common::data_dir().join("hindsight_nginx_1000.hpb")).unwrap());
    // The way through a table, which a script of one's own takes, and the way without one.
    let options =
        ["--config type=nginx", "--config type=nginx --config user_agent_transform=true --config user_agent_keep=true"];
    for options in options {
        let pipe = format!("heka-tail $DATA/nginx_1000.log | heka-decode --lua nginx_access {options}");
        let ours = messages(&dir.sh(&pipe).ok().stdout);
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!((ours.timestamp, text(&ours.r#type)), (theirs.timestamp, "nginx".into()));
            for wanted in &theirs.fields {
                let name = String::from_utf8_lossy(&wanted.name);
                let value =
                    |message: &Message| field(message, &name).map(|v| v.split(" ipv").next().unwrap().to_string());
                let (a, b) = (value(ours), value(theirs));
                assert_eq!(
                    a.map(|v| v.trim_end_matches(" B").to_string()),
                    b.map(|v| v.trim_end_matches(" B").to_string()),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn both_ways_of_the_web_decoders_make_the_same_messages() {
    let dir = Workdir::new();
    // The same grammar by hand, through a table: what Heka's own script does.
    dir.write(
        "by_table.lua",
        r#"
local clf = require "common_log_format"
local grammar = clf.build_nginx_grammar(read_config("log_format"))
local msg = {Type = read_config("type")}
function process_message()
    local fields = grammar:match(read_message("Payload"))
    if not fields then return -1 end
    msg.Timestamp = fields.time
    fields.time = nil
    msg.Fields = fields
    inject_message(msg)
    return 0
end
"#,
    );
    let format = r#"--config log_format='$remote_addr $upstream_addr $upstream_response_time [$time_iso8601] $status $host $body_bytes_sent'"#;
    let lines = "::1 10.0.0.1:80, unix:/x 0.010, - [2014-02-10T12:58:59.5-08:00] 404 example.com -\n1.2.3.4 - - [2014-02-10T12:58:59Z] 200 example.org 5\n";
    let sorted = |script: &str| {
        let mut made = decode(&dir, &format!("--lua {script} {format}"), lines);
        for message in &mut made {
            message.uuid.clear();
            message.fields.sort_by(|a, b| a.name.cmp(&b.name));
        }
        made
    };
    let (a, b) = (sorted("nginx_access"), sorted("./by_table.lua"));
    assert_eq!(a, b);
    assert_eq!(field(&a[0], "upstream_response_time").as_deref(), Some("0.01 s"));
    assert_eq!(a[0].timestamp, 1_392_065_939_500_000_000);
}

#[test]
fn apache_access_makes_the_fields_of_heka_s_example() {
    let dir = Workdir::new();
    let line = r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)""#;
    let format = r#"--config log_format='%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"'"#;
    let made = decode(&dir, &format!("--lua apache_access {format}"), line);
    assert_eq!(made[0].timestamp, 971_211_336_000_000_000);
    let mut expected = vec![
        ("remote_addr", "127.0.0.1 ipv4"),
        ("remote_user", "frank"),
        ("request", "GET /apache_pb.gif HTTP/1.0"),
        ("status", "200"),
        ("response_length", "2326 B"),
        ("http_referer", "http://www.example.com/start.html"),
        ("http_user_agent", "Mozilla/4.08 [en] (Win98; I ;Nav)"),
    ];
    assert_fields(&made[0], &expected);
    // The combined format is the default.
    expected[4] = ("body_bytes_sent", "2326 B");
    assert_fields(&decode(&dir, "--lua apache_access.lua", line)[0], &expected);
    let kept = decode(&dir, "--lua apache_access --config payload_keep=true", line);
    assert_eq!(text(&kept[0].payload), line);
}

#[test]
fn rsyslog_makes_the_fields_of_heka_s_example() {
    let dir = Workdir::new();
    let template =
        r"--config template='%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\n'";
    let line = "Feb 10 12:58:58 trink-x230 kernel: imklog 5.8.6, log source = /proc/kmsg started.";
    for options in [template, ""] {
        let made = decode(&dir, &format!("--lua rsyslog {options} --config tz=America/Los_Angeles"), line);
        assert_eq!(text(&made[0].hostname), "trink-x230");
        assert_eq!(text(&made[0].payload), "imklog 5.8.6, log source = /proc/kmsg started.");
        assert_fields(&made[0], &[("programname", "kernel")]);
        let utc = decode(&dir, &format!("--lua rsyslog {options}"), line);
        assert_eq!(made[0].timestamp - utc[0].timestamp, 8 * 3600 * 1_000_000_000);
    }
    let template = r"--config template='%pri% %TIMESTAMP% %TIMEGENERATED:::date-rfc3339% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg%\n'";
    let line = "28 Feb 10 12:58:58 2014-02-10T12:58:59-08:00 testhost widget[4322]: test message.";
    let made = decode(&dir, &format!("--lua rsyslog {template} --config hostname_keep=true"), line);
    assert_eq!((made[0].severity, made[0].pid, text(&made[0].hostname)), (Some(4), Some(4322), "H".into()));
    let expected = [
        ("syslogfacility", "3"),
        ("timegenerated", "1392065939000000000"),
        ("hostname", "testhost"),
        ("programname", "widget"),
    ];
    assert_fields(&made[0], &expected);
}

#[test]
fn what_is_not_decoded_is_dropped_kept_stopped_at_or_set_aside() {
    let dir = Workdir::new();
    let good = r#"1.2.3.4 - - [10/Jan/2014:07:04:56 -0800] "GET / HTTP/1.1" 200 82 "-" "-""#;
    dir.write("lines.log", format!("bad 1\n{good}\nbad 2\n"));
    let run = |options: &str| dir.sh(&format!("heka-tail lines.log | heka-decode --lua nginx_access {options}"));
    let words = "heka-decode: nginx_access.lua: Failed parsing: line does not fit log_format at column 4: expected \" - \", found \" 1\" payload: bad 1\nheka-decode: 2 of 3 messages were not decoded\n";
    let dropped = run("");
    assert_eq!((messages(&dropped.stdout).len(), dropped.code(), dropped.stderr.as_str()), (1, 0, words));
    assert_eq!(run("--strict").code(), 1);
    let kept = run("--on-failure keep");
    assert_eq!(payloads(&kept.stdout), ["bad 1", "", "bad 2"]);
    let made = messages(&kept.stdout);
    assert_eq!(field(&made[0], "decode_failure").as_deref(), Some("true"));
    assert!(field(&made[0], "decode_error").unwrap().ends_with("payload: bad 1"));
    // Their cursors are kept too.
    assert!(heka::stream::Frame::parse(&frames(&kept.stdout).0[2]).unwrap().header().cursor().is_some());
    run("--on-failure stop").fails(3, "payload: bad 1");
    // Nothing after it, with workers too.
    dir.write("more.log", format!("{good}\nbad\n{good}\n"));
    for jobs in ["-j 1", "-j 2"] {
        let stopped = dir.sh(&format!("heka-tail more.log | heka-decode --lua nginx_access --on-failure stop {jobs}"));
        assert_eq!((messages(&stopped.stdout).len(), stopped.code()), (1, 3), "{jobs}");
    }
    assert_eq!(run("--on-failure file=bad.hpb -j 2").code(), 0);
    assert_eq!(payloads(&dir.read("bad.hpb")), ["bad 1", "bad 2"]);
    run("--on-failure maybe").fails(2, "--on-failure takes drop, keep, stop or file=PATH");
}

#[test]
fn a_log_format_is_taken_as_nginx_s_configuration_has_it() {
    let dir = Workdir::new();
    let directive =
        r#"log_format main escape=json '{"u":"$upstream_response_time",' "\n"? '"r":"$request","s":$status}';"#;
    let directive = directive.replace(r#" "\n"?"#, "\n   ");
    dir.write("hekad.toml", format!("[d]\ntype = 'SandboxDecoder'\nfilename = 'nginx_access'\n[d.config]\nlog_format = \"\"\"{directive}\"\"\"\n").replace('\\', "\\\\"));
    let lines = concat!(
        r#"{"u":"","r":"GET / HTTP/1.1","s":200}"#,
        "\n",
        r#"{"u":"0.133","r":"GET /\"q HTTP/1.1","s":200}"#,
        "\n"
    );
    let made = decode(&dir, "--config-file hekad.toml:d --lua nginx_access", lines);
    assert_eq!(made.len(), 2);
    assert_eq!(field(&made[0], "upstream_response_time"), None);
    assert_eq!(field(&made[1], "upstream_response_time").as_deref(), Some("0.133 s"));
    assert_eq!(field(&made[1], "request").as_deref(), Some(r#"GET /"q HTTP/1.1"#));
}

#[test]
fn what_goes_on_behind_a_format_is_said_or_kept() {
    let dir = Workdir::new();
    // nginx's "main" has one more text than its default.
    dir.write(
        "main.log",
        "1.2.3.4 - - [10/Jan/2014:07:04:56 -0800] \"GET / HTTP/1.1\" 200 82 \"-\" \"curl/8\" \"9.9.9.9\"\n",
    );
    for transform in ["", "--config user_agent_transform=true"] {
        let run = |options: &str| {
            dir.sh(&format!("heka-tail main.log | heka-decode --lua nginx_access {transform} {options}"))
        };
        let words = "line goes on behind log_format at column 79: expected the end of the line, found \"\\\"9.9.9.9\\\"\" (keep it with --config remainder=true)";
        run("").says(&[words]);
        let kept = run("--config remainder=true").ok();
        assert_eq!(field(&messages(&kept.stdout)[0], "remainder").as_deref(), Some("\"9.9.9.9\""));
        let apache = dir.sh("heka-tail main.log | heka-decode --lua apache_access --on-failure keep");
        assert!(field(&messages(&apache.stdout)[0], "decode_error").unwrap().contains("at column 79"));
    }
}

#[test]
fn slow_query_logs_are_read_by_the_command_that_the_decoder_shows() {
    let dir = Workdir::new();
    dir.write(
        "slow.log",
        "/usr/sbin/mysqld, Version: 8.0.36 (MySQL Community Server - GPL). started with:
Tcp port: 3306  Unix socket: /var/run/mysqld/mysqld.sock
Time                 Id Command    Argument
# Time: 2024-05-06T20:40:05.123456Z
# User@Host: root[root] @ localhost []  Id:     8
# Query_time: 1.000000  Lock_time: 0.000002 Rows_sent: 1  Rows_examined: 0 Thread_id: 8 Bytes_sent: 57 End: 2024-05-06T20:40:05Z
SET timestamp=1715028005;
SELECT 1;
# Time: 2024-05-06T20:41:05.123456Z
# User@Host: u[u] @ web [10.0.0.1]  Id:     9
# Schema: shop  Last_errno: 0  Killed: 0
# Query_time: 0.500000  Lock_time: 0.000000  Rows_sent: 1  Rows_examined: 2  Rows_affected: 0
# Bytes_sent: 66
use shop;
SET timestamp=1715028065;
SELECT '
# Time: not one' FROM t;
# User@Host: u[u] @ web [10.0.0.1]  Id:     9
# Query_time: 2  Lock_time: 0 Rows_sent: 0  Rows_examined: 0
SET timestamp=1715028066;
COMMIT;
",
    );
    let code = include_str!("../lua/decoders/mysql_slow_query.lua");
    let example = code.split("Example\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert!(example.trim_start().starts_with("heka-tail") && example.ends_with("| heka-cat"), "{example}");
    let ran = dir.sh(&example.replace("| heka-cat", "| heka-cat --format heka")).ok();
    let made = messages(&ran.stdout);
    let shown: Vec<_> = made.iter().filter(|message| message.r#type.as_deref() == Some(b"mysql.slow-query")).collect();
    let texts: Vec<_> =
        shown.iter().map(|message| String::from_utf8(message.payload.clone().unwrap()).unwrap()).collect();
    assert_eq!(texts, ["SELECT 1;", "SELECT '\n# Time: not one' FROM t;", "COMMIT;"]);
    assert_eq!(field(shown[0], "Bytes_sent").as_deref(), Some("57"));
    assert_eq!(field(shown[0], "End").as_deref(), Some("2024-05-06T20:40:05Z"));
    assert_eq!(field(shown[1], "Schema").as_deref(), Some("shop"));
    assert_eq!(field(shown[1], "Query_time").as_deref(), Some("0.5 s"));
}

/// Runs a script of one's own over three lines.
fn script(dir: &Workdir, code: &str, options: &str) -> common::Ran {
    dir.write("s.lua", code);
    dir.sh(&format!("printf 'a\\nb\\nc\\n' | heka-tail --logger L --severity 3 | heka-decode --lua s.lua {options}"))
}

#[test]
fn a_script_that_misbehaves_loses_one_message_with_one_clear_line() {
    let dir = Workdir::new();
    let cases = [
        ("function process_message() while true do end end", "s.lua: process_message() instruction_limit exceeded"),
        (
            "function process_message() while true do pcall(function() while true do end end) end end",
            "instruction_limit exceeded",
        ),
        (
            "function process_message() local f f = function() return pcall(f) end while true do f() end end",
            "instruction_limit exceeded",
        ),
        (
            "function process_message() local t = {} for i = 1, 1e9 do t[i] = tostring(i) .. 'x' end end",
            "process_message() not enough memory",
        ),
        (
            "require 'string' function process_message() return #string.rep('x', 1e9) end",
            "process_message() not enough memory",
        ),
        ("function process_message() local function f() return 1 + f() end return f() end", "stack overflow"),
        (
            "function process_message()\n  return 1 + nil\nend",
            "process_message() s.lua:2: attempt to perform arithmetic on a nil value",
        ),
        ("function process_message() error({}) end", "process_message() error object is a table"),
        ("function process_message() end", "process_message() must return a numeric status code"),
        ("function process_message() return 0, 7 end", "process_message() must return a nil or string error message"),
        ("function process_message() return 1, 'enough' end", "process_message() FATAL: enough"),
        (
            "require 'string' function process_message() add_to_payload(string.rep('x', 70000)) return 0 end",
            "output_limit exceeded",
        ),
        (
            "require 'string' function process_message() inject_message({Payload = string.rep('x', 70000)}) return 0 end",
            "inject_message() output_limit exceeded",
        ),
        (
            "function process_message() inject_message({Fields = {f = print}}) inject_message({Fields = {f = error}}) end",
            "unsupported type: function",
        ),
        ("function process_message() inject_message({Fields = {f = {1, 'x'}}}) end", "array has mixed types"),
        (
            "function process_message() local t = {} t.value = t inject_message({Fields = {f = t}}) end",
            "excessive nesting",
        ),
        ("function process_message() write_message('Severity', 'x') end", "failed: Severity can't take this value"),
        ("function process_message() write_message('Pid', 2^40) end", "failed: Pid can't take this value"),
        ("function process_message() write_message('Severity', 0/0) end", "failed: Severity can't take this value"),
        ("function process_message() read_message() end", "read_message() incorrect number of arguments"),
    ];
    for (code, words) in cases {
        for jobs in ["", "-j 2"] {
            let ran = script(&dir, code, &format!("--output-limit 63K {jobs}"));
            assert!(ran.stderr.starts_with("heka-decode: s.lua: process_message() "), "{}", ran.stderr);
            assert!(ran.stdout.is_empty());
            // What a script says itself ends it.
            if words.contains("FATAL") {
                ran.fails(3, words);
                continue;
            }
            ran.says(&[words, "3 of 3 messages were not decoded"]);
            assert!(ran.stderr.lines().count() == 2 && ran.stderr.contains("at payload: a\n"), "{}", ran.stderr);
            assert_eq!(ran.code(), 1);
        }
    }
}

#[test]
fn a_library_call_without_end_is_ended_too() {
    let dir = Workdir::new();
    let code = "require 'string' function process_message() return #string.find(string.rep('a', 40), string.rep('a?', 40) .. string.rep('a', 40) .. 'b') end";
    let ran = script(&dir, code, "");
    ran.says(&["s.lua: process_message() instruction_limit exceeded (see --instruction-limit), at payload: a"]);
    assert_eq!(ran.code(), 1);
}

/// One record, whatever a script makes of it, keeps no other from being decoded.
#[test]
fn the_messages_after_a_bad_one_are_decoded() {
    let dir = Workdir::new();
    let code = "require 'string' require 'table'
local kept = {}
function process_message()
    local text = read_message('Payload')
    local n = string.match(text, 'user=(%d+)')
    if text == 'loop' then while true do end end
    if text == 'grow' then for i = 1, 1e9 do kept[i] = tostring(i) .. text end end
    if text == 'hold' then pcall(function() for i = 1, 1e9 do kept[i] = tostring(i) .. text end end) error('held') end
    if text == 'out' then inject_payload('txt', '', string.rep('x', 3e6)) inject_payload('txt', '', string.rep('x', 2e6)) end
    if text == 'half' then inject_message({Payload = 'half'}) error('half') end
    if text == 'deep' then local function f() return 1 + f() end return f() end
    write_message('Fields[user]', n + 1)
    write_message('Payload', text .. ' ' .. #kept)
    return 0
end";
    dir.write("s.lua", code);
    let bad = ["none", "loop", "grow", "hold", "out", "half", "deep"];
    let lines: String = bad.iter().map(|bad| format!("user=1\n{bad}\n")).collect();
    dir.write("in.log", lines + "user=1\n");
    for jobs in ["", "-j 3"] {
        let ran = dir.sh(&format!("heka-tail in.log | heka-decode --lua s.lua --on-failure file=bad.hpb {jobs}"));
        assert_eq!(ran.code(), 0, "{}", ran.stderr);
        assert_eq!(payloads(&ran.stdout), ["user=1 0"; 8]);
        assert!(ran.stderr.contains("7 of 15 messages were not decoded"), "{}", ran.stderr);
        assert_eq!(payloads(&dir.read("bad.hpb")), bad);
        let errors: Vec<String> =
            messages(&dir.read("bad.hpb")).iter().map(|bad| field(bad, "decode_error").unwrap()).collect();
        for (error, words) in errors.iter().zip([
            "s.lua:12: attempt to perform arithmetic on local 'n' (a nil value), at payload: none",
            "instruction_limit exceeded (see --instruction-limit), at payload: loop",
            "not enough memory (see --memory-limit), at payload: grow",
            ", at payload: hold",
            "at payload: out",
            "s.lua:10: half, at payload: half",
            "stack overflow",
        ]) {
            assert!(error.contains(words), "{error}");
        }
        dir.write("bad.hpb", "");
    }
    // An error leaves the script's state as it is, also where there is no limit of memory.
    dir.write("count.lua", "n = 0 function process_message() n = n + 1 if n == 2 then error('two') end write_message('Payload', 'n' .. n) return 0 end");
    for limit in ["", "--memory-limit 0"] {
        let ran = dir.sh(&format!("printf 'a\\nb\\nc\\n' | heka-tail | heka-decode --lua count.lua {limit}"));
        assert_eq!(payloads(&ran.stdout), ["n1", "n3"], "{}", ran.stderr);
    }
    // Eight in a row, then one that is good, then two.
    dir.write("in.log", format!("{}user=1\nnone\nnone\nuser=1\n", "none\n".repeat(8)));
    let run = |options: &str| dir.sh(&format!("heka-tail in.log | heka-decode --lua s.lua {options}"));
    assert_eq!(run("--max-failures 9").code(), 0);
    let ended = run("--max-failures 8");
    ended.says(&["it has failed 8 times in a row (--max-failures)"]);
    assert_eq!((ended.code(), ended.stdout.len()), (3, 0));
}

/// A line of nginx that a decoder doubles, and one of 70 KB.
#[test]
fn limits_that_ship_fit_one_another() {
    let dir = Workdir::new();
    let line = |request: &str| format!("1.2.3.4 - - [10/Oct/2024:13:55:36 +0000] \"{request}\" 400 1 \"-\" \"-\"\n");
    dir.write(
        "in.log",
        [line("GET /"), line(&"\\x16".repeat(8500)), line(&"\\x16".repeat(16000)), line("GET /")].concat(),
    );
    let ran = dir.sh("heka-tail in.log | heka-decode --lua nginx_access --config payload_keep=true").ok();
    assert_eq!(messages(&ran.stdout).len(), 4);
    let document = format!("{{\"a\": \"{}\"}}\n", "x".repeat(70_000));
    dir.write("in.log", &document);
    let ran = dir.sh("heka-tail --max-record 1M in.log | heka-decode --lua json --config payload_keep=true").ok();
    assert_eq!(messages(&ran.stdout).len(), 1);
    // An error quotes the beginning.
    dir.write("in.log", document.replace('}', ""));
    let ran = dir.sh("heka-tail --max-record 1M in.log | heka-decode --lua json");
    assert_eq!(ran.code(), 1);
    assert!(ran.stderr.len() < 400 && ran.stderr.contains("payload of 70008 bytes: {\"a\": \"xxx"), "{}", ran.stderr);
}

#[test]
fn options_of_scripts_that_ship_are_known() {
    let dir = Workdir::new();
    let help = dir.sh("heka-decode --help-script nginx_access").ok();
    assert!(help.text().starts_with("Reads nginx access logs") && help.text().contains("- log_format (string"));
    dir.sh("heka-decode --help-script nothing").fails(2, "no script or module nothing ships");
    let run = |options: &str| dir.sh(&format!("heka-decode --lua nginx_access {options} < /dev/null"));
    run("--config logformat=x").fails(2, "nginx_access has no option logformat (did you mean log_format?)");
    run("--config payload_keep=yes").fails(2, "nginx_access wants true or false for payload_keep");
    // A number is a text where one is wanted; one of two scripts may know what the other doesn't.
    run("--config type=404").ok();
    run("--lua json --config separator=_ --config log_format='$status'").ok();
    dir.write("mine.lua", "function process_message() return 0 end");
    run("--lua ./mine.lua --config anything=1").ok();
    dir.write("c.toml", "[a]\ntype='SandboxDecoder'\nfilename='nginx_access.lua'\n[a.config]\nlogformat='x'\n");
    let warned = dir.sh("heka-decode --config-file c.toml < /dev/null");
    warned.fails_with(&["[a.config] nginx_access has no option logformat (did you mean log_format?)"]);
    assert_eq!(warned.code(), 0);
    dir.sh("heka-sandbox --lua http_status --config rows=-1 < /dev/null")
        .fails(2, "a whole number of 0 or more for rows");
    dir.sh("heka-http --encoder slack --config icon=x --url http://h < /dev/null").fails(2, "slack has no option icon");
}

#[test]
fn a_script_that_cannot_be_loaded_is_a_usage_error() {
    let dir = Workdir::new();
    let cases = [
        ("function process_message( return 0 end", "heka-decode: s.lua:1: "),
        ("x = 1", "heka-decode: s.lua: process_message() function was not found"),
        ("while true do end", "heka-decode: instruction_limit exceeded"),
        ("require 'nothing'", "module 'nothing' not found:"),
        ("require 'io'", "module 'io' disabled"),
        ("require '../x'", "invalid module name '../x'"),
        ("local clf = require 'common_log_format' clf.build_apache_grammar('%z')", "unknown variable: z"),
        (
            "local clf = require 'common_log_format' while true do clf.build_nginx_grammar('$x') end",
            "more than 256 grammars",
        ),
        ("\x1bLJ", "compiled scripts are not loaded"),
    ];
    for (code, words) in cases {
        script(&dir, code, "").fails(2, words);
    }
    dir.sh("heka-decode --lua no_such < /dev/null").fails(
        2,
        "no_such: no such file, and no script of that name ships (those that do: apache_access, bind_query_log,",
    );
    dir.sh("heka-decode < /dev/null").fails(2, "which script?");
    dir.sh("heka-decode --lua rsyslog --config tz=Nowhere/Town < /dev/null").fails(2, "unknown time zone");
    dir.write("c.toml", "[A]\ntype = \"SandboxFilter\"\n");
    dir.sh("heka-decode --config-file c.toml < /dev/null").fails(2, "no section of type SandboxDecoder");
}

#[test]
fn nothing_leads_out_of_the_sandbox() {
    let dir = Workdir::new();
    let names = "collectgarbage coroutine dofile load loadfile loadstring newproxy print io debug jit ffi bit";
    let code = format!(
        r#"
require "string" require "os" require "math" require "table"
local bad = {{}}
for name in string.gmatch("{names}", "%a+") do if _G[name] ~= nil then bad[#bad + 1] = name end end
for _, name in ipairs {{"execute", "exit", "getenv", "remove", "rename", "setlocale", "tmpname"}} do
    if os[name] then bad[#bad + 1] = "os." .. name end
end
for name in pairs(package) do if name ~= "loaded" then bad[#bad + 1] = "package." .. name end end
if string.dump then bad[#bad + 1] = "string.dump" end
local clf = require "common_log_format"
local grammar = clf.build_nginx_grammar("$x")
if getmetatable(grammar) ~= false then bad[#bad + 1] = "metatable" end
if pcall(grammar.match, grammar) or pcall(setmetatable, grammar, {{}}) then bad[#bad + 1] = "match" end
function process_message()
    inject_message({{Payload = table.concat(bad, " ") .. math.mod(7, 4) .. tostring(gcinfo() > 0) .. _VERSION}})
    return 0
end
"#
    );
    assert_eq!(payloads(&script(&dir, &code, "").ok().stdout), ["3trueLua 5.1"; 3]);
}

#[test]
fn host_functions_read_and_write_messages() {
    let dir = Workdir::new();
    let code = r#"
require "string"
function process_message()
    local p = read_message("Payload")
    if p == "a" then
        -- Changed in place; nothing injected.
        write_message("Type", "changed")
        write_message("Severity", "0x5")
        write_message("Timestamp", "2014-02-10T12:58:59-08:00")
        write_message("Fields[n]", 1)
        write_message("Fields[n]", 2, "B", 0, 1)
        write_message("Fields[gone]", "x")
        write_message("Fields[gone]", nil)
        write_message("Fields[t]", true)
        assert(read_message("Fields[n]", 0, 1) == 2 and read_message("Fields[n]", 1) == nil)
        assert(read_message("Type") == "changed" and #read_message("Uuid") == 36 and read_message("Pid") == 0)
        local kind, name, value, representation, count = read_next_field()
        assert(kind == 3 and name == "n" and value == 1 and representation == "B" and count == 2)
        return 0
    elseif p == "b" then
        -- Several from one; the first generation's forms too.
        output("one ", 1 / 3, " ", true)
        inject_message("txt", "first")
        inject_payload("csv", "second", "two")
        inject_message({Type = "third", Timestamp = 5, Pid = "12", EnvVersion = 2, Fields = {
            plain = "s", int = {value = 7.9, value_type = 2, representation = "count"}, list = {1, 2, 3}, flags = {true, false},
            bytes = {value = "\0\1", value_type = 1}, [5] = "five"}})
        return 0
    end
    local m = decode_message(read_message("raw"))
    inject_message(encode_message({Type = m.Type .. read_message("size") - #read_message("raw"), Payload = m.Payload,
        Fields = {{name = "twice", value = 1}, {name = "twice", value = "2"}}}))
    return 0
end
"#;
    let made = messages(&script(&dir, code, "").ok().stdout);
    assert_eq!(made.len(), 5);
    assert_eq!(
        (text(&made[0].r#type), made[0].severity, made[0].timestamp),
        ("changed".into(), Some(5), 1_392_065_939_000_000_000)
    );
    assert_fields(&made[0], &[("n", "1,2 B"), ("t", "true")]);
    assert_eq!(text(&made[0].payload), "a");
    assert_eq!((text(&made[1].payload), text(&made[1].logger)), ("one 0.33333333 true".into(), "L".into()));
    assert_fields(&made[1], &[("payload_type", "txt file-extension"), ("payload_name", "first")]);
    assert_eq!((text(&made[2].payload), made[2].severity), ("two".into(), Some(3)));
    assert_eq!((made[3].timestamp, made[3].pid, text(&made[3].env_version)), (5, Some(12), "2".into()));
    assert_eq!((text(&made[3].logger), made[3].payload.is_none()), ("L".into(), true));
    let expected = [
        ("plain", "s"),
        ("int", "int 7 count"),
        ("list", "1,2,3"),
        ("flags", "true,false"),
        ("bytes", "\0\u{1}"),
        ("5", "five"),
    ];
    assert_fields(&made[3], &expected);
    assert_eq!(
        (text(&made[4].r#type), text(&made[4].payload), made[4].fields.len()),
        ("logfile0".into(), "c".into(), 2)
    );
    let uuids: std::collections::HashSet<_> = made.iter().map(|message| &message.uuid).collect();
    assert_eq!(uuids.len(), 5);
}

#[test]
fn only_the_last_of_several_messages_carries_the_cursor() {
    let dir = Workdir::new();
    dir.write(
        "s.lua",
        "function process_message() inject_message({Payload='1'}) inject_message({Payload='2'}) return 0 end",
    );
    dir.write("in.log", "x\n");
    let ran = dir.sh("heka-tail in.log | heka-decode --lua s.lua").ok();
    let (frames, _) = frames(&ran.stdout);
    let cursors: Vec<bool> =
        frames.iter().map(|raw| heka::stream::Frame::parse(raw).unwrap().header().cursor().is_some()).collect();
    assert_eq!(cursors, [false, true]);
}

#[test]
fn chains_modules_and_workers() {
    let dir = Workdir::new();
    std::fs::create_dir(dir.path("mods")).unwrap();
    dir.write("mods/shout.lua", "require 'string' local M = {} local string = string setfenv(1, M) function up(s) return string.upper(s) end return M");
    dir.write("mods/old.lua", "module('old') function twice(s) return s .. s end");
    let code = "local shout = require 'shout' require 'old' function process_message() write_message('Payload', old.twice(shout.up(read_message('Payload')))) return 0 end";
    dir.write("double.lua", "function process_message() local p = read_message('Payload') inject_message({Payload=p..'1'}) inject_message({Payload=p..'2'}) return 0 end");
    let made = script(&dir, code, "--lua double.lua --module-directory mods").ok();
    assert_eq!(payloads(&made.stdout), ["AA1", "AA2", "BB1", "BB2", "CC1", "CC2"]);
    // Workers keep the order, and give the same bytes but for the uuids.
    dir.sh("seq 1 200000 | heka-tail > n.hpb").ok();
    let payloads = |jobs: u32| {
        dir.sh(&format!("heka-decode --lua double.lua -j {jobs} n.hpb | heka-cat --format payload | md5sum"))
            .ok()
            .stdout
    };
    assert_eq!(payloads(1), payloads(3));
}

#[test]
fn scripts_of_ones_own_after_one_that_ships_see_all_messages_in_order() {
    let dir = Workdir::new();
    // Numbers the lines, makes two of some, rejects some.
    dir.write(
        "number.lua",
        "require 'string' local n = 0
         function process_message()
             n = n + 1
             if n % 1000 == 7 then return -1, 'no luck' end
             if n % 1000 == 9 then inject_message({ Payload = 'twice ' .. n }) end
             inject_message({ Payload = string.format('%d %s', n, read_message('Fields[remote_addr]')) })
             return 0
         end",
    );
    let line = |n: u32| {
        format!("10.0.{}.{} - - [10/Jan/2014:07:04:56 -0800] \"GET / HTTP/1.1\" 200 82 \"-\" \"-\"\n", n / 250, n % 250)
    };
    dir.write("a.log", (1..=20_000).map(line).collect::<String>().replace("10.0.0.50 ", "not an address "));
    for options in ["", "-j 1"] {
        let run =
            format!("heka-tail a.log | heka-decode --lua nginx_access --lua number.lua --on-failure keep {options}");
        let ran = dir.sh(&run);
        assert_eq!(ran.code(), 0);
        let (frames, _) = frames(&ran.stdout);
        // In the lines' own order, and so the cursors.
        let cursors: Vec<u64> = frames
            .iter()
            .filter_map(|raw| Some(heka::stream::Frame::parse(raw).unwrap().header().cursor()?.sequence))
            .collect();
        assert!(cursors.is_sorted());
        assert_eq!((frames.len(), cursors.len()), (20_020, 20_000), "{options}");
        let made = messages(&ran.stdout);
        // The script has not seen what the first one rejected.
        assert_eq!(field(&made[50], "decode_failure").as_deref(), Some("true"));
        assert!(field(&made[50], "decode_error").unwrap().starts_with("nginx_access.lua: Failed parsing"));
        assert_eq!(text(&made[51].payload), "50 10.0.0.51");
        // What it rejects is kept as it was before both.
        assert!(text(&made[6].payload).starts_with("10.0.0.7 - - ["));
        assert!(field(&made[6], "decode_error").unwrap().starts_with("number.lua: Failed parsing: no luck"));
        assert_eq!((text(&made[8].payload), text(&made[9].payload)), ("twice 9".into(), "9 10.0.0.9".into()));
        assert_eq!(text(&made.last().unwrap().payload), "19999 10.0.80.0");
        let stats = dir.sh(&format!("{run} --stats > decoded.hpb"));
        assert!(stats.stderr.contains("\"messages_out\":19999,\"messages_rejected\":21"), "{}", stats.stderr);
    }
}

#[test]
fn messages_that_a_script_leaves_alone_pass_byte_for_byte() {
    let dir = Workdir::new();
    dir.write("noop.lua", "function process_message() return 0 end");
    dir.sh("heka-tail $DATA/nginx_1000.log > t.hpb && heka-decode --lua noop.lua t.hpb | cmp - t.hpb").ok();
    dir.sh("heka-decode --lua noop.lua $DATA/hindsight_nginx_1000.hpb | cmp - $DATA/hindsight_nginx_1000.hpb").ok();
}

/// What has no place in a field of integers isn't cut to fit, and a payload may hold any byte.
#[test]
fn what_is_written_is_what_was_given() {
    let dir = Workdir::new();
    let code = "require 'string' function process_message()
        assert(read_message('Fields[e]') == '', 'an empty value is no missing one')
        write_message('Fields[n]', 9)
        write_message('Payload', 'a\\0b')
        write_message('Severity', 6.5)
        for _, number in ipairs({9.5, 1e30, -1e19, 0/0, 1/0}) do
            local ok, words = pcall(write_message, 'Fields[n]', number)
            assert(not ok and words:find(\"Fields[n] can't take this value\", 1, true), words)
        end
        return 0 end";
    dir.write("s.lua", code);
    let made = dir.sh("heka-inject --field n:integer=1 --field e:bytes= | heka-decode --lua s.lua").ok().stdout;
    let made = &messages(&made)[0];
    assert_fields(made, &[("n", "int 9"), ("e", "")]);
    assert_eq!((made.payload.as_deref(), made.severity), (Some(&b"a\0b"[..]), Some(6)));
}
