//! Scripts that mean harm, or are just wrong: each ends with its message, soon, and within its memory.

mod common;

use common::{Workdir, messages, setting};

const INSTRUCTIONS: &str = "instruction_limit exceeded";
const MEMORY: &str = "not enough memory";

/// Runs the body as a filter's process_message: it is terminated with these words.
fn ends(body: &str, words: &str) {
    let work = Workdir::new();
    work.sh("echo x > one.log; heka-tail one.log > one.hpb").ok();
    work.write(
        "script.lua",
        format!("require 'string' require 'table' require 'math'\nfunction process_message()\n{body}\nreturn 0\nend\n"),
    );
    // The processor's time, as the shell measures it: machines are noisy.
    let run =
        work.sh("TIMEFORMAT='took %U %S'; time timeout -s KILL 30 heka-sandbox --lua script.lua --stats one.hpb > out");
    assert_eq!(run.code(), 3, "{body}\n{}", run.stderr);
    assert!(run.stderr.contains(words), "{body}\n{words:?} not in {}", run.stderr);
    let sent = messages(&work.read("out"));
    assert_eq!(sent.len(), 1, "{body}");
    assert_eq!(sent[0].r#type.as_deref(), Some(&b"heka.sandbox-terminated"[..]));
    let took = run.stderr.lines().find_map(|line| line.strip_prefix("took ")).unwrap();
    let seconds: f64 = took.split(' ').map(|text| text.parse::<f64>().unwrap()).sum();
    let limit = if cfg!(debug_assertions) { 5.0 } else { 1.0 };
    assert!(seconds < limit, "{body}\ntook {seconds} s");
    let used = run.stderr.split("\"max_memory\":").nth(1).unwrap().split([',', '}']).next().unwrap();
    assert!(used.parse::<u64>().unwrap() <= 8 << 20, "{body}\nused {used}");
}

/// Runs the body: it can't do what it wants, and says so with these words.
fn refused(body: &str, words: &str) {
    let work = Workdir::new();
    work.write("script.lua", format!("require 'string' require 'table'\n{body}\n"));
    let run = work.sh("heka-lua script.lua");
    assert_eq!(run.code(), 1, "{body}\n{}", run.stderr);
    assert!(run.stderr.contains(words), "{body}\n{words:?} not in {}", run.stderr);
}

#[test]
fn loops_without_end() {
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do pcall(error, 'x') end",
        "local t = setmetatable({}, { __index = function(t, k) while true do end end }) local x = t.x",
        "local t = setmetatable({}, { __add = function(a, b) return a end }) while true do t = t + t end",
        "local function loop(n) local s = 0 for i = 1, n do s = s + i % 7 end return s end while true do loop(1e6) end",
        "xpcall(function() while true do end end, function() while true do end end)",
        "local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function(a, b) while true do end end)",
        "local t = {} for i = 1, 1000 do t[i] = i % 3 end while true do table.sort(t, function(a, b) return a < b end) end",
        "for word in string.gmatch(string.rep('a', 100000), 'a') do while true do end end",
        "string.gsub('x', 'x', function() while true do end end)",
        "local f f = function() return f() end f()",
        "while true do tostring(setmetatable({}, { __tostring = function() while true do end end })) end",
        "while true do inject_payload('txt', '', 'x') end",
    ] {
        ends(body, INSTRUCTIONS);
    }
}

#[test]
fn library_calls_that_take_long() {
    for body in [
        "local s = string.rep('a', 30000) string.find(s, string.rep('.-', 30) .. 'b')",
        "local s = string.rep('a', 5000) string.match(s, '(.*)(.*)(.*)(.*)(.*)b')",
        "string.gsub(string.rep('a', 50), string.rep('a?', 50) .. string.rep('a', 50), 'x')",
        "string.find(('a'):rep(1e4), '.-.-.-.-b$')",
        "tostring(setmetatable({}, {__tostring = function() while true do end end}))",
        "local s = 'abcd' while true do s = s:rep(1000) end",
        "while true do local s = string.rep('x', 3000000) end",
        "local s = string.rep('x', 1000000) while true do local t = s .. 'y' end",
        "local s = string.rep('x', 1000000) while true do string.gsub(s, 'x', 'y') end",
        "local s = string.rep('x', 1000000) while true do string.upper(s) string.reverse(s) end",
        "while true do string.format('%99.99f%s', 1/3, string.rep('x', 1000000)) end",
        "local t = {} for i = 1, 90000 do t[i] = i end while true do table.concat(t, ',') end",
        "local t = {} for i = 1, 100000 do t[i] = i * 7919 % 100003 end while true do table.sort(t) table.sort(t, function(a, b) return a > b end) end",
        "require 'lpeg' local p = lpeg.P{ (lpeg.P'a' * lpeg.V(1))^0 * lpeg.P'a'^0 * 'b' } while true do p:match(string.rep('a', 100)) end",
        "require 'cjson' local t = {} for i = 1, 4000 do t[i] = i end while true do cjson.encode(t) end",
        "require 'cjson' local s = '[' .. string.rep('1,', 100000) .. '1]' while true do cjson.decode(s) end",
        "require 'circular_buffer' local b = circular_buffer.new(100000, 1, 1) while true do b:compute('sd', 1) end",
        "require 'circular_buffer' local b = circular_buffer.new(10000, 1, 1) while true do output(b) end",
        "while true do table.insert({}, -16000000, 1) end",
        "require 'os' while true do os.date(string.rep('%c', 30000)) end",
        "require 'os' while true do os.date(string.rep('%c%x%X%p', 9000), 1e9) end",
        "require 'struct' while true do struct.pack(string.rep('x', 1000000)) end",
        "require 'struct' while true do struct.size(string.rep('b', 1000000)) end",
        "require 'struct' while true do struct.unpack(string.rep(' ', 1000000), 'a') end",
        "require 'struct' local s = string.rep('x', 9000000) while true do pcall(struct.pack, 'sss', s, s, s) end",
        "require 'hyperloglog' local h = hyperloglog.new() while true do h:add(1) h:clear() hyperloglog.count(h, h) end",
    ] {
        let work = Workdir::new();
        work.write(
            "script.lua",
            format!("require 'string' require 'table' function process_message() {body} return 0 end"),
        );
        work.sh("echo x > one.log; heka-tail one.log > one.hpb").ok();
        let run =
            work.sh("TIMEFORMAT='took %U %S'; time timeout -s KILL 30 heka-sandbox --lua script.lua one.hpb > out");
        assert_eq!(run.code(), 3, "{body}\n{}", run.stderr);
        let ended = [INSTRUCTIONS, MEMORY, "output_limit exceeded", "pattern too complex"];
        assert!(ended.iter().any(|words| run.stderr.contains(words)), "{body}\n{}", run.stderr);
        let took = run.stderr.lines().find_map(|line| line.strip_prefix("took ")).unwrap();
        let seconds: f64 = took.split(' ').map(|text| text.parse::<f64>().unwrap()).sum();
        let limit = if cfg!(debug_assertions) { 5.0 } else { 1.0 };
        assert!(seconds < limit, "{body}\ntook {seconds} s");
    }
}

#[test]
fn memory_without_end() {
    for body in [
        "local s = 'x' while true do s = s .. s end",
        "local s = string.rep('x', 1e9)",
        "local s = string.rep(string.rep('x', 1e6), 1e6)",
        "local t = {} while true do t[#t + 1] = {} end",
        "local t = {} while true do t[#t + 1] = function() return t end end",
        "require 'circular_buffer' local t = {} while true do t[#t + 1] = circular_buffer.new(1000, 10, 1) end",
        "require 'circular_buffer' circular_buffer.new(1000000, 100, 1)",
        "require 'hyperloglog' local t = {} while true do t[#t + 1] = hyperloglog.new() end",
        "require 'bloom_filter' bloom_filter.new(1e9, 0.001)",
        "require 'cuckoo_filter' cuckoo_filter.new(1e7)",
        "local t = { 'x' } while true do t[1] = table.concat({ t[1], t[1] }) end",
        "local s = string.gsub(string.rep('x', 10000), 'x', string.rep('y', 10000))",
    ] {
        ends(body, MEMORY);
    }
}

#[test]
fn output_without_end() {
    for body in [
        "while true do add_to_payload(string.rep('x', 1000)) end",
        "add_to_payload(string.rep('x', 1000000))",
        "local t = {} for i = 1, 30000 do t[i] = i end output(t)",
        "inject_message { Payload = string.rep('x', 1e6) }",
        "inject_message { Fields = { big = string.rep('x', 2e6) } }",
        "require 'cjson' cjson.encode(string.rep('x', 100000))",
    ] {
        ends(body, "output_limit exceeded");
    }
    ends("inject_message { Fields = { big = string.rep('x', 10e6) } }", MEMORY);
    // Caught, the buffer does not grow.
    ends("local s = string.rep('x', 50000) while true do pcall(add_to_payload, s) end", INSTRUCTIONS);
    ends("local t = {} t.t = t output(t)", "circular reference");
    ends("local t = {} t.value = t inject_message { Fields = { f = t } }", "excessive nesting");
    ends("local t = {} for i = 1, 2000 do t = { t } end require('cjson').encode(t)", "excessive nesting");
    ends("require('cjson').decode(string.rep('[', 100000))", "too many nested data structures");
}

#[test]
fn recursion_without_end() {
    ends("local function f() return 1 + f() end f()", "stack overflow");
    ends("local f f = function(s) return (string.gsub(s, '.', f)) end f('x')", "stack overflow");
    ends(
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k .. 'x'] end local x = t.x",
        "",
    );
    ends("error(setmetatable({}, { __tostring = function() error('again') end }))", "error object is a table");
    ends("error({})", "error object is a table");
    ends("error()", "error object is a nil");
    ends("error(nil)", "error object is a nil");
    ends("error(function() end)", "error object is a function");
}

#[test]
fn there_is_no_way_out() {
    for name in [
        "io",
        "os.execute",
        "os.exit",
        "os.remove",
        "os.getenv",
        "debug",
        "package",
        "jit",
        "ffi",
        "bit",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "collectgarbage",
        "newproxy",
        "coroutine",
        "string.dump",
    ] {
        let path = name.split('.').next().unwrap();
        let open = if matches!(path, "os" | "string") { format!("require '{path}' ") } else { String::new() };
        refused(&format!("{open}assert({name} == nil, 'there') error('not there')"), "not there");
    }
    for name in ["../x", "/etc/passwd", "a/../../b", "..", "x\\0y", ""] {
        refused(&format!("require '{name}'"), "invalid module name");
    }
    refused("require 'io'", "module 'io' disabled");
    for name in ["ffi", "jit", "debug", "package", "coroutine"] {
        refused(&format!("require '{name}'"), "not found");
    }
    refused("require 'nothing_of_the_kind'", "module 'nothing_of_the_kind' not found:");
    // Metatables of what the host made are out of reach.
    refused("require 'circular_buffer' local b = circular_buffer.new(2, 1, 1) setmetatable(b, {})", "table expected");
    refused(
        "require 'circular_buffer' assert(getmetatable(circular_buffer.new(2, 1, 1)) == false) error('safe')",
        "safe",
    );
    // Strings have a metatable: what is put there changes nothing for the host.
    refused("getmetatable('').__index = function() return 'x' end error(('y').z)", "x");
    refused("string.find = nil require '../x'", "invalid module name");
    refused("setfenv(0, {})  read_config('x')  error('still there')", "still there");
    refused("setfenv(1, {}) read_config('x')", "attempt to call global 'read_config'");
    refused("error(tostring(getfenv(require)['io']))", "nil");
    let work = Workdir::new();
    work.write("code.lua", b"\x1bLJ\x02\x00");
    work.sh("heka-lua code.lua").fails(1, "compiled scripts are not loaded");
    work.sh("mkdir m; printf '\\033LJ\\002\\000' > m/code.lua").ok();
    let run = work.sh("heka-lua --module-directory m -e 'require \"code\"'");
    assert!(run.code() == 1 && run.stderr.contains("error loading module 'code'"), "{}", run.stderr);
}

#[test]
fn objects_of_one_kind_are_not_taken_for_another() {
    for body in [
        "require 'circular_buffer' require 'hyperloglog' circular_buffer.new(2, 1, 1).add(hyperloglog.new(), 1, 1, 1)",
        "require 'circular_buffer' require 'bloom_filter' bloom_filter.new(9, .1).add(circular_buffer.new(2, 1, 1), 1)",
        "require 'hyperloglog' require 'cuckoo_filter' cuckoo_filter.new(9).count(hyperloglog.new())",
        "require 'sax' require 'hyperloglog' hyperloglog.new().count(sax.word.new('AB', 3))",
        "require 'lpeg' require 'circular_buffer' circular_buffer.new(2, 1, 1).get(lpeg.P'x', 1, 1)",
        "require 'lpeg' require 'hyperloglog' lpeg.match(hyperloglog.new(), 'x')",
    ] {
        refused(body, "expected, got userdata");
    }
    for body in [
        "require 'circular_buffer' local b = circular_buffer.new(2, 1, 1) b:add(1e300, 1, 1) b:add(-1e300, 1, 1) b:add(0/0, 1, 1) b:get(1/0, 1)",
        "require 'circular_buffer' local b = circular_buffer.new(2, 1, 1) pcall(b.fromstring, b, '1e30 1 1 1') output(b) b:add(1, 1, 1)",
        "require 'circular_buffer' local b = circular_buffer.new(2, 1, 1, true) pcall(b.fromstring, b, '-5 1 1 1 9e99 1') output(b:format('cbufd'))",
        "require 'circular_buffer' local b = circular_buffer.new(2, 1, 86400) pcall(b.fromstring, b, '-1e30 1 1 1') b:add(1e300, 1, 1) b:compute('sum', 1, -1e300, 1e300) output(b)",
        "require 'struct' pcall(struct.unpack, 'b', 'x', -1e300) pcall(struct.unpack, 'c0', 'x') pcall(struct.unpack, 'i32', 'x', 1e300) pcall(struct.pack, 'i99', 1) pcall(struct.size, string.rep('c99999999', 99))",
        "require 'sax' pcall(sax.window.new, 1e300, 2, 2) pcall(sax.word.new, {}, 1, 2)",
        "decode_message(read_message and string.rep('\\0', 30) or '')",
    ] {
        refused(&format!("pcall(function() {body} end) error('survived')"), "survived");
    }
}

/// Bytes in which a record seems to begin at every tenth, each as long as all that follows: they took 45 s, deaf to
/// signals, where these are read in no time.
#[test]
fn false_records_hold_nobody_up() {
    let work = Workdir::new();
    let mut bytes = Vec::new();
    let len: usize = 4 << 20;
    while bytes.len() < len {
        let left = (len - bytes.len() + 3).min((4 << 20) - 1);
        let size = [left as u8 | 0x80, (left >> 7) as u8 | 0x80, (left >> 14) as u8 | 0x80, (left >> 21) as u8 & 0x7f];
        bytes.extend([0x5a, 8, 0x1e, 5, 8]);
        bytes.extend(size);
        bytes.push(0x1f);
    }
    work.write("in.log", "honest\n");
    bytes.extend(work.sh("heka-tail in.log").ok().stdout);
    work.write("hostile.hpb", &bytes);
    for program in ["heka-cat --format payload", "heka-match --max-message-size 8M TRUE"] {
        let started = std::time::Instant::now();
        let run = work.sh(&format!("timeout 30 {program} hostile.hpb"));
        assert!(String::from_utf8_lossy(&run.stdout).contains("honest"), "{}", run.stderr);
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{program}: {:?}", started.elapsed());
    }
}

/// In LuaJIT each place is moved in one call, for minutes.
#[test]
fn insertions_far_below_a_table() {
    for position in ["-2147483648", "4294967297 - 2^33", "-1e9", "2^32 + 2^31"] {
        ends(&format!("table.insert({{}}, {position}, 1)"), "position out of bounds");
    }
    let work = Workdir::new();
    work.write(
        "script.lua",
        "require 'table'
        local t = { 'a', 'c' }
        table.insert(t, 2, 'b') table.insert(t, 'd') table.insert(t, 9, 'y')
        assert(table.concat(t, '', 1, 4) == 'abcd' and t[9] == 'y')
        table.insert(t, -1, 'z')
        assert(t[-1] == 'z' and t[2] == 'a')
        assert(not pcall(table.insert, t, 1, 2, 3) and not pcall(table.insert, nil, 1, 2))",
    );
    work.sh("heka-lua script.lua").ok();
}

/// Who can write to the directory of a state file gets no more than the script.
#[test]
fn state_files_have_limits() {
    let work = Workdir::new();
    work.write("count.lua", "n = 0 function process_message() n = n + 1 return 0 end");
    work.sh("echo x > one.log; heka-tail one.log > one.hpb").ok();
    let run = "timeout -s KILL 30 heka-sandbox --lua count.lua --preserve state one.hpb > out";
    for (state, words) in [
        ("while true do end", INSTRUCTIONS),
        ("n = 1\nlocal function f() return f() end f()", INSTRUCTIONS),
        ("n = {} for i = 1, 1e9 do n[i] = {} end", MEMORY),
        ("n = 'x' while true do n = n .. n end", MEMORY),
        ("repeat pcall(error) until false", INSTRUCTIONS),
    ] {
        work.write("state", format!("{state}\n-- heka cursors {{}}\n"));
        work.sh(run).fails(2, words);
        let ran = work.sh(run);
        assert!(ran.stderr.contains("state") && ran.stderr.contains("move the file away"), "{}", ran.stderr);
    }
    // A large state of a small script is no attack.
    let lines: String = (0..200_000).map(|n| format!("_G[\"t\"][{n}] = \"a text of some length {n}\"\n")).collect();
    work.write("state", format!("if t == nil then t = {{}} end\n{lines}-- heka cursors {{}}\n"));
    work.sh(&format!("{run} --memory-limit 64M")).ok();
}

/// Some 60,000 calls a seed, in a decoder and in a filter whose state is written and read again. `HEKA_FUZZ_SEEDS` gives their
/// number, `HEKA_FUZZ_FIRST` the first.
#[test]
fn calls_that_make_no_sense() {
    let work = Workdir::new();
    work.write("fuzz.lua", include_str!("library_fuzz.lua"));
    work.sh("seq 5 | heka-tail > five.hpb").ok();
    let limits = "--instruction-limit 30000000 --memory-limit 64M --lua fuzz.lua --config";
    let first = setting("HEKA_FUZZ_FIRST", 1);
    for seed in first..first + setting("HEKA_FUZZ_SEEDS", 4) {
        let mut commands = vec![format!("heka-decode {limits} seed={seed} five.hpb")];
        let filter = "heka-sandbox --output-limit 1M --ticker 1 --preserve state";
        commands.extend((1..=3).map(|run| format!("{filter} {limits} seed={} five.hpb", seed * 7 + run)));
        work.sh("rm -f state");
        for command in commands {
            let ran = work.sh(&format!("timeout -s KILL 60 {command} > out"));
            // Its errors are the script's; 2 would be a state that can't be read.
            assert!([0, 1, 3].contains(&ran.code()), "{command}: {}\n{}", ran.code(), ran.stderr);
            assert!(!ran.stderr.contains("panicked"), "{command}: {}", ran.stderr);
            // What was sent is whole.
            work.sh("heka-cat --format count out").ok();
        }
    }
}

#[test]
fn a_closed_output_is_an_error() {
    let work = Workdir::new();
    work.sh("echo x > one.log; heka-tail one.log > one.hpb").ok();
    for program in ["heka-tail one.log", "heka-cat one.hpb", "heka-match TRUE one.hpb", "heka-inject"] {
        work.sh(&format!("{program} >&-")).fails(3, "standard output is closed");
        work.sh(&format!("{program} > /dev/null 2> err && [ ! -s err ]")).ok();
    }
}
