//! Scripts and configurations as users of Heka wrote them: what they rely on without saying so.

mod common;

use common::{Ran, Workdir, field, messages, payloads};

/// Runs a decoder on one line.
fn decode(dir: &Workdir, code: &str) -> Ran {
    dir.write("s.lua", code);
    dir.sh("echo x | heka-tail | heka-decode --lua ./s.lua")
}

/// What an expression of Lua is in a decoder.
fn value(dir: &Workdir, before: &str, expression: &str) -> String {
    let code =
        format!("{before}\nfunction process_message() inject_payload('txt', '', tostring({expression})) return 0 end");
    payloads(&decode(dir, &code).ok().stdout).concat()
}

#[test]
fn every_message_has_a_severity_and_a_pid() {
    let dir = Workdir::new();
    assert_eq!(value(&dir, "", "read_message('Severity')"), "7");
    assert_eq!(value(&dir, "", "read_message('Pid')"), "0");
    assert_eq!(value(&dir, "", "read_message('Severity') > 3"), "true");
    assert_eq!(value(&dir, "", "decode_message(read_message('raw')).Severity"), "nil");
    assert_eq!(
        value(&dir, "require 'string'", "string.format('<%d>1', 8 + tonumber(read_message('Severity')))"),
        "<15>1"
    );
    assert_eq!(value(&dir, "local names = {[7] = 'debug'}", "names[read_message('Severity')]"), "debug");
    assert_eq!(
        value(&dir, "require 'table'", "table.concat({read_message('Severity'), read_message('Pid')}, ' ')"),
        "7 0"
    );
    dir.write("e.lua", "function process_message() add_to_payload(read_message('Severity'), read_message('Pid'), '\\n') inject_payload() return 0 end");
    assert_eq!(dir.sh("echo x | heka-tail | heka-cat --encoder ./e.lua").ok().text(), "70\n");
    assert_eq!(dir.sh("heka-inject --severity 3 --pid 9 | heka-cat --encoder ./e.lua").ok().text(), "39\n");
}

#[test]
fn what_can_t_be_encoded_is_an_error() {
    let dir = Workdir::new();
    for fields in ["{a = {b = 1}, c = 2}", "{a = {}}", "{a = {representation = 'B'}}", "{{name = 'a', value = {}}}"] {
        let ran = decode(&dir, &format!("function process_message() inject_message{{Fields = {fields}}} return 0 end"));
        assert_eq!(ran.code(), 1, "{fields}");
        ran.says(&["inject_message() could not encode protobuf - unsupported type: nil"]);
    }
}

#[test]
fn a_message_that_a_script_means_to_send_does_not_vanish() {
    let dir = Workdir::new();
    for (call, words) in [
        ("inject_message()", "inject_message() takes a single string or table argument"),
        ("inject_message('x')", "inject_message() protobuf unmarshal failed"),
        ("inject_message('\\10\\3abc')", "inject_message() protobuf unmarshal failed"),
    ] {
        let ran = decode(&dir, &format!("function process_message() {call} return 0 end"));
        assert_eq!(ran.code(), 1, "{call}");
        ran.says(&[words]);
    }
    // The forms of the first sandboxes send what was added to the payload.
    for call in ["inject_message()", "inject_message('txt')", "inject_message('txt', 'name')"] {
        let sent = decode(&dir, &format!("function process_message() add_to_payload('p') {call} return 0 end")).ok();
        assert_eq!(payloads(&sent.stdout), ["p"], "{call}");
    }
    // An empty text is nothing to send: the line itself goes on.
    let sent = decode(&dir, "function process_message() inject_message('') return 0 end").ok();
    assert_eq!(payloads(&sent.stdout), ["x"]);
}

#[test]
fn modules_leave_what_heka_s_left() {
    let dir = Workdir::new();
    for module in ["date_time", "ip_address", "syslog", "common_log_format", "mysql", "cbufd"] {
        let seen =
            value(&dir, &format!("require '{module}'"), "lpeg.match(lpeg.alpha * lpeg.digit * lpeg.space, 'a1 ')");
        assert_eq!(seen, "4", "{module}");
    }
    let before = "local dt, l = require 'date_time', require 'lpeg' local sp = l.space l.locale(l)";
    assert_eq!(value(&dir, before, "dt.rfc3339 and (sp * l.xdigit):match(' f')"), "3");
    for (module, globals) in [
        ("common_log_format", &["string.sub", "os.time", "lpeg.P"][..]),
        ("ip_address", &["lpeg.P"]),
        ("syslog", &["math.floor", "os.time"]),
        ("bind", &["math.floor"]),
    ] {
        for global in globals {
            assert!(value(&dir, &format!("require '{module}'"), global).contains("function"), "{module} {global}");
        }
    }
    assert_eq!(value(&dir, "local s = require 'string'", "package.loaded.string == s"), "true");
    assert_eq!(value(&dir, "", "package.loadlib or package.path or package.loaders"), "nil");
    assert_eq!(value(&dir, "", "require 'mysql'.percona_slow_query_grammar ~= nil"), "true");
}

#[test]
fn lua_5_1_s_own_ways() {
    let dir = Workdir::new();
    assert_eq!(value(&dir, "local function f(...) return arg.n end", "f(1, nil, 3)"), "3");
    assert_eq!(value(&dir, "local function f(...) return arg[2] end", "f(1, 'two')"), "two");
    assert_eq!(
        value(&dir, "function f(...) local t = {} for i, v in ipairs(arg) do t[i] = v end return #t end", "f(1, 2)"),
        "2"
    );
    assert_eq!(value(&dir, "require 'string'", r#"string.match("1.25", "%d\.(%d+)")"#), "25");
    assert_eq!(value(&dir, "", "tonumber('0b101')"), "nil");
    // An error's line is the script's.
    dir.write(
        "s.lua",
        "local p = \"\\.\"\nfunction f(...)\n return arg.n + nothing end\nfunction process_message()\n f() end",
    );
    dir.sh("echo x | heka-tail | heka-decode --lua ./s.lua").says(&["s.lua:3: "]);
    // In modules, too.
    dir.write("m.lua", "local M = {}\nfunction M.count(...) return arg.n end\nreturn M");
    dir.write(
        "s.lua",
        "local m = require 'm' function process_message() inject_payload('txt', '', m.count(1, 2)) return 0 end",
    );
    let ran = dir.sh("echo x | heka-tail | heka-decode --lua ./s.lua --module-directory .").ok();
    assert_eq!(payloads(&ran.stdout), ["2"]);
}

#[test]
fn a_filter_may_be_there_for_its_timer_alone() {
    let dir = Workdir::new();
    dir.write("w.lua", "function timer_event(ns) inject_payload('txt', 'alive', ns) end");
    let watch = "heka-sandbox --lua ./w.lua --ticker 60 --match FALSE";
    let ran = dir.sh(&format!("heka-inject --timestamp 2014-01-01T00:00:01Z | {watch}")).ok();
    assert_eq!(payloads(&ran.stdout), ["1.38853446e+18"]);
    dir.write(
        "hekad.toml",
        "[W]\ntype = 'SandboxFilter'\nfilename = './w.lua'\nmessage_matcher = 'FALSE'\nticker_interval = 60\n",
    );
    assert_eq!(dir.sh("heka-inject | heka-sandbox --config-file hekad.toml:W | heka-cat -c").ok().text(), "1\n");
    dir.write("n.lua", "x = 1");
    dir.sh("heka-sandbox --lua ./n.lua < /dev/null").fails(2, "process_message() function was not found");
}

#[test]
fn a_replay_s_scripts_live_in_its_time() {
    let dir = Workdir::new();
    dir.write(
        "age.lua",
        "require 'os' require 'string'
        local start, started = os.time(), os.clock()
        seen = 0
        function process_message()
            seen = seen + 1
            inject_payload('txt', '', os.time() - start, ' ', os.date('%Y-%m-%d %H:%M:%S'), ' ', os.date('*t').year, ' ',
                os.clock() - started, ' ', os.time{year = 2000, month = 1, day = 1, hour = 0}, ' ', seen)
            return 0
        end
        function timer_event(ns) inject_payload('txt', '', os.time() - ns / 1e9) end",
    );
    dir.sh("for m in 00:10 01:40; do heka-inject --timestamp 2014-01-01T00:${m}Z; done > day.hpb").ok();
    let run = "heka-sandbox --lua ./age.lua --ticker 60 --clock message";
    let expected = ["0 2014-01-01 00:00:10 2014 0 946684800 1", "0", "90 2014-01-01 00:01:40 2014 90 946684800 2", "0"];
    assert_eq!(payloads(&dir.sh(&format!("{run} day.hpb")).ok().stdout), expected);
    // What is too old is left out, by the messages' time.
    dir.write(
        "old.lua",
        "require 'os' function process_message()
            if read_message('Timestamp') / 1e9 < os.time() - 3 * 86400 then return -1, 'too old' end
            inject_payload('txt', '', 'young') return 0 end",
    );
    let young = dir.sh("heka-sandbox --lua ./old.lua --clock message day.hpb").ok();
    assert_eq!(payloads(&young.stdout), ["young"; 2]);
    // A pipe is taken as a replay, and a state goes on in its own time.
    assert_eq!(payloads(&dir.sh("cat day.hpb | heka-sandbox --lua ./age.lua --ticker 60").ok().stdout), expected);
    dir.sh(&format!("{run} --preserve s day.hpb")).ok();
    let later = dir.sh(&format!("heka-inject --timestamp 2014-01-01T00:05:00Z | {run} --preserve s")).ok();
    assert!(payloads(&later.stdout).iter().any(|text| text == "200 2014-01-01 00:05:00 2014 200 946684800 3"));
    // In a manager's filters, too.
    let live = dir.sh("heka-inject | heka-sandbox --lua ./age.lua --clock wall --ticker 60").ok();
    assert!(!payloads(&live.stdout)[0].contains("2014"));
}

#[test]
fn hekad_toml_is_read_as_hekad_read_it() {
    let dir = Workdir::new();
    dir.sh("mkdir -p share/lua_decoders share/lua_modules share/lua_encoders").ok();
    dir.write("share/lua_modules/mine.lua", "return { name = 'of the share' }");
    dir.write(
        "share/lua_decoders/my.lua",
        "local name = require 'mine'.name function process_message() inject_payload('txt', '', name) return 0 end",
    );
    dir.write(
        "share/lua_encoders/e.lua",
        "function process_message() inject_payload('txt', '', 'encoded') return 0 end",
    );
    dir.write(
        "hekad.toml",
        r#"[hekad]
maxprocs = %ENV[PROCS]
share_dir = "%ENV[HERE]\/share"

[TcpInput]
address = ":5565"
[TcpInput.signer.ops:x_0]
hmac_key = "k"

[my]
type = "SandboxDecoder"
filename = "lua_decoders/my.lua"

[re]
type = "PayloadRegexDecoder"
match_regex = '(?P<Size>\d+)'
[re.message_fields]
Size|B = "%Size%"
details.m = "%M%"

[DNT Usage]
type = "SandboxFilter"
filename = "nowhere.lua"
[DNT Usage.config]
hostname = "%ENV[HERE]"

[E]
type = "SandboxEncoder"
filename = "lua_encoders/e.lua"

[logs]
type = "LogstreamerInput"
log_directory = "%ENV[HERE]"
file_match = 'in\.log'
"#,
    );
    dir.write("in.log", "x\n");
    let set = "export PROCS=2 HERE=$PWD;";
    let ran = dir.sh(&format!("{set} heka-tail in.log | heka-decode --config-file hekad.toml:my")).ok();
    assert_eq!(payloads(&ran.stdout), ["of the share"]);
    let read = dir.sh(&format!("{set} heka-tail --config hekad.toml | heka-cat -c")).ok();
    assert_eq!(read.text(), "1\n");
    let ran = dir.sh("PROCS=2 heka-tail in.log | HERE= heka-decode --config-file hekad.toml:my");
    assert_eq!(ran.code(), 2);
    ran.says(&["%ENV[PROCS] is not set in the environment", "hekad.toml:2: "]);
}

#[test]
fn a_message_with_headers_for_the_workbench() {
    let dir = Workdir::new();
    dir.write("s.lua", "function process_message() inject_message{Type = read_message('Logger'), Payload = read_message('Fields[n]')} return 0 end");
    let ran = dir
        .sh(r#"heka-lua ./s.lua --message '{"Logger":"disk","Fields":{"n":{"value":"seven","representation":"x"}}}'"#)
        .ok();
    assert!(ran.text().contains(":Type: disk") && ran.text().contains(":Payload: seven"), "{}", ran.text());
    dir.sh(r#"heka-lua ./s.lua --message '{"logger":"disk"}'"#).fails(2, "--message: logger: no header of a message");
    dir.sh("heka-lua ./s.lua --message '{'").fails(2, "--message: EOF");
    let grammar = r#"local g = require "syslog".build_rsyslog_grammar("<%PRI%>%programname%: %msg%")
        function process_message() inject_message{Payload = g:match("<27>a: b\n").msg} return 0 end"#;
    let made = messages(&decode(&dir, grammar).ok().stdout);
    assert_eq!((made[0].payload.as_deref(), field(&made[0], "x")), (Some(&b"b\n"[..]), None));
}

/// hekad took what stands behind a newline for no part of a matcher.
#[test]
fn a_matcher_of_more_lines_counts_whole_and_says_so() {
    let dir = Workdir::new();
    dir.write("f.lua", "n = 0 function process_message() n = n + 1 return 0 end function timer_event() inject_payload('txt', '', n) end");
    dir.write(
        "hekad.toml",
        "[F]\ntype = 'SandboxFilter'\nfilename = './f.lua'\ntimer_event_on_shutdown = true\nmessage_matcher = '''\nType == 'a'\n && Severity == 3\n'''\n",
    );
    let ran = dir.sh("for severity in 3 5; do heka-inject --type a --severity $severity; done |
         heka-sandbox --config-file hekad.toml:F | heka-cat --format payload");
    assert_eq!((ran.code(), ran.text()), (0, "1\n"), "{}", ran.stderr);
    ran.says(&["heka-sandbox: [F] message_matcher: all of its lines count here; hekad read only the first one"]);
}
