//! `require "lpeg"`: what patterns give, what they may use, and what scripts can do to them.

use std::process::Command;

use common::Workdir;

mod common;
#[path = "lpeg/naive.rs"]
mod naive;

const SHOW: &str = include_str!("lpeg/show.lua");
const NAMES: &str = include_str!("lpeg/names.lua");
const RANDOM: &str = include_str!("lpeg/random.lua");
const CORPUS: &str = include_str!("lpeg/corpus.txt");
const CASES: &str = include_str!("lpeg/cases.txt");
/// Where the cases begin that LPeg 1.0.2 doesn't know.
const NEWER: &str = "# LPeg 1.1";

/// Runs a script that reports cases in a sandbox without limits, and gives its lines.
fn in_sandbox(work: &Workdir, script: &str, options: &str) -> Vec<String> {
    work.write("script.lua", script);
    let run = format!(
        "echo x > one.log; heka-tail one.log | heka-decode --lua script.lua --instruction-limit 0 --memory-limit 0 \
         --output-limit 1000000000 {options} | heka-cat --max-message-size 1000000000 --format payload"
    );
    lines(&work.sh(&run).ok().stdout)
}

/// The same with LPeg in C; `None` where that is not installed.
fn in_original(work: &Workdir, script: &str, arguments: &[&str]) -> Option<Vec<String>> {
    let check = Command::new("lua5.1").args(["-e", "require 'lpeg'"]).output();
    if !check.is_ok_and(|output| output.status.success()) {
        println!("skipped: lua5.1 with lua-lpeg is not installed");
        return None;
    }
    let file = work.write("original.lua", script);
    let output = Command::new("lua5.1").arg(file).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(lines(&output.stdout))
}

fn lines(bytes: &[u8]) -> Vec<String> {
    bytes.split(|&byte| byte == b'\n').map(|line| line.escape_ascii().to_string()).collect()
}

/// A script that reports each expression under its own text.
fn case_script(cases: &[(&str, &str)]) -> String {
    let reports: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(place, (expression, _))| format!("report({place}, pcall(function() return {expression} end))"))
        .collect();
    // A function holds no more than so many constants.
    let parts: Vec<String> = reports.chunks(50).map(|part| format!("(function() {} end)()", part.join("\n"))).collect();
    let body = parts.join(";\n");
    format!(
        "{SHOW}{NAMES}function process_message()\n{body}\nreturn finish()\nend\n\
         if not inject_payload then process_message() end\n"
    )
}

fn read_cases(text: &'static str) -> Vec<(&'static str, &'static str)> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(" => ")).collect()
}

fn compare(cases: &[(&str, &str)], results: &[String]) {
    let mut wrong = 0;
    for (place, (expression, expected)) in cases.iter().enumerate() {
        let line = format!("{place} => {}", expected.as_bytes().escape_ascii());
        if results.get(place) != Some(&line) {
            println!("{expression}\n  wanted {line}\n  found  {:?}", results.get(place));
            wrong += 1;
        }
    }
    assert_eq!(wrong, 0, "of {} cases", cases.len());
}

#[test]
fn written_cases_give_what_they_say() {
    let work = Workdir::new();
    let cases = read_cases(CASES);
    assert!(cases.len() > 1000);
    compare(&cases, &in_sandbox(&work, &case_script(&cases), ""));
}

#[test]
fn written_cases_are_what_the_original_gives() {
    let work = Workdir::new();
    let cases = read_cases(CASES.split(NEWER).next().unwrap());
    let Some(results) = in_original(&work, &case_script(&cases), &[]) else { return };
    compare(&cases, &results);
}

/// Two subjects for each pattern.
fn random_cases_agree(seed: u32, patterns: u32) {
    let work = Workdir::new();
    let script = format!("{SHOW}{RANDOM}");
    let Some(expected) = in_original(&work, &script, &[&seed.to_string(), &patterns.to_string()]) else { return };
    let found = in_sandbox(&work, &script, &format!("--config seed={seed} --config count={patterns}"));
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.len(), 2 * patterns as usize + 1);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "seed {seed}");
    }
}

#[test]
fn a_hundred_thousand_random_cases_agree_with_the_original() {
    random_cases_agree(1, 50_000);
}

#[test]
fn fresh_random_cases_agree_with_the_original() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = now.subsec_micros() + now.as_secs() as u32 % 1000 * 1_000_000;
    println!("seed {seed}");
    random_cases_agree(seed, 5_000);
}

#[test]
fn the_machine_agrees_with_a_plain_matcher() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let mut compared = 0;
    let mut compare = |bytes: &[u8], subject: Option<&[u8]>| {
        let Some((pattern, text, rest)) = naive::read(bytes) else { return };
        let subject = subject.unwrap_or(rest);
        let found = naive::run_machine(pattern.tree(), subject);
        if let (Some(expected), Ok(found)) = (naive::run_naive(pattern.tree(), subject), found) {
            assert_eq!(found, expected, "{text} on {subject:?}");
            compared += 1;
        }
    };
    for _ in 0..300_000 {
        let bytes: Vec<u8> = (0..random() % 120).map(|_| random() as u8).collect();
        let subject: Vec<u8> = (0..random() % 16).map(|_| b'a' + (random() % 3) as u8).collect();
        compare(&bytes, Some(&subject));
    }
    for line in CORPUS.lines().filter(|line| !line.starts_with('#')) {
        let bytes: Option<Vec<u8>> =
            (0..line.len() / 2).map(|at| u8::from_str_radix(line.get(2 * at..2 * at + 2)?, 16).ok()).collect();
        compare(&bytes.unwrap(), None);
    }
    assert!(compared > 50_000, "only {compared} patterns were compared");
}

/// Runs the body of `process_message` under Heka's limits.
fn run(body: &str) -> common::Ran {
    let work = Workdir::new();
    work.write("script.lua", format!("require 'string' require 'table'\n{NAMES_LOADED}{body}"));
    work.sh("echo x > one.log; heka-tail one.log | heka-decode --lua script.lua | heka-cat --format payload")
}

const NAMES_LOADED: &str = "local lpeg = require 'lpeg'\nlocal P, S, R, V, C, Cb, Cc, Cf, Cg, Cmt, Cp, Cs, Ct = lpeg.P, lpeg.S, lpeg.R, lpeg.V, \
     lpeg.C, lpeg.Cb, lpeg.Cc, lpeg.Cf, lpeg.Cg, lpeg.Cmt, lpeg.Cp, lpeg.Cs, lpeg.Ct\n";

#[test]
fn what_would_take_hours_is_ended_by_a_limit() {
    let cases = [
        // Every split of the subject is tried.
        ("P{ 'a' * V(1) * V(1) + 'a' * V(1) + 'a' + P(false) }", "('a'):rep(40) .. 'b'", "instruction_limit exceeded"),
        // From each place to the end and back again.
        ("(#(S'ab'^0 * 'x') * 1 + 1)^0 * 'x'", "('a'):rep(60000)", "instruction_limit exceeded"),
        ("P{ 'a' * V(1) * 'b' + 'c' }", "('a'):rep(100000)", "backtrack stack overflow (current limit is 400)"),
        ("(lpeg.setmaxstack(100000000) or 1) * P{ 'a' * V(1) * 'b' + 'c' }", "('a'):rep(2000000)", "not enough memory"),
        ("C(1)^0", "('a'):rep(400000)", "not enough memory for captures"),
        ("C(1)^0", "('a'):rep(40000)", "too many captures"),
        ("P{ Ct('a' * V(1)) + Cp() }", "('a'):rep(300)", "subcapture nesting too deep"),
    ];
    for (pattern, subject, words) in cases {
        let body = format!("local p = {pattern}\nfunction process_message() p:match({subject}) return 0 end\n");
        let run = run(&body);
        assert!(run.stderr.contains(words), "{pattern}: {}", run.stderr);
        assert!(run.stderr.lines().count() < 4, "{}", run.stderr);
    }
}

#[test]
fn patterns_that_would_not_end_are_not_made() {
    let cases = [
        ("(P'a'^0)^0", "loop body may accept empty string"),
        ("P{ 'x', x = V'x' * 'a' }", "rule 'x' may be left recursive"),
        ("P{ 'x', x = V'y'^0, y = P'' }", "empty loop in rule 'x'"),
        ("(function() local p = P'ab' + 'c' for _ = 1, 60 do p = p * p end return p end)()", "pattern is too large"),
        ("(function() local p = P'a' for _ = 1, 5000 do p = -p end return p end)()", "pattern is nested too deeply"),
        ("P'ab'^100000000", "pattern is too large"),
        (
            "(function() local p = P'a' for _ = 1, 1e9 do p = C(p + 'b') end return p end)()",
            "pattern is nested too deeply",
        ),
        ("(function() local p = P'a' while true do p = p * 'bc' end end)()", "instruction_limit exceeded"),
    ];
    for (pattern, words) in cases {
        let run = run(&format!("local p = {pattern}\nfunction process_message() return 0 end\n"));
        run.fails(2, words);
    }
}

#[test]
fn a_limit_is_not_caught() {
    let body = "local slow = P{ 'a' * V(1) * V(1) + 'a' * V(1) + 'a' + P(false) }\n\
        function process_message()\n\
            while true do pcall(lpeg.match, slow, ('a'):rep(40) .. 'b') end\n\
        end\n";
    assert!(run(body).stderr.contains("process_message() instruction_limit exceeded"));
}

#[test]
fn scripts_can_do_what_they_like_while_matching() {
    let body = "local out = {}
        local function churn() local t = {} for i = 1, 200 do t[i] = ('x'):rep(i) end end
        -- Nothing but the match holds the pattern.
        local function forgotten(f) return (Cg(C(1)^1 * Cmt('', f), 'n') * Cb'n' / function(...) churn() return ... end) end
        function process_message()
            out[#out + 1] = table.concat({ lpeg.match(forgotten(function() churn() return true, 'end' end), 'abc') }, ',')
            -- A match in a match, that fails, errs, and is used again.
            local p
            p = Cmt(C(1) * C(1)^0, function(s, i, first)
                local inner = #s > 1 and p:match(s:sub(2)) or ''
                pcall(lpeg.match, Cmt(1, function() error 'inside' end), s)
                return true, first .. inner
            end)
            out[#out + 1] = p:match('abcdef')
            local ok, message = pcall(lpeg.match, Ct((C(1) / function(c) if c == 'c' then error('bad ' .. c, 0) end end)^0), 'abcd')
            out[#out + 1] = tostring(ok) .. ' ' .. message
            out[#out + 1] = tostring(p:match('xy'))
            -- Matches within matches are bounded.
            local function dive(s) return true, lpeg.match(Cmt(1, dive), s) end
            ok, message = pcall(dive, 'a')
            out[#out + 1] = tostring(message):match('stack overflow')
            local function deep() return (('a'):gsub('a', deep)) end
            ok, message = pcall(deep)
            out[#out + 1] = tostring(message):match('stack overflow')
            inject_payload('txt', 'out', table.concat(out, '\\n') .. '\\n')
            return 0
        end\n";
    let expected = "a,b,c,end\nabcdef\nfalse bad c\nxy\nstack overflow\nstack overflow\n";
    assert_eq!(String::from_utf8_lossy(&run(body).ok().stdout), expected);
}

#[test]
fn grammars_are_written_as_for_heka() {
    let body = "lpeg.locale(lpeg)
        local date_month = lpeg.P'0' * lpeg.R'19'
                         + '1' * lpeg.R'02'
        local severity = lpeg.Cg(lpeg.P'info' + 'warn', 'severity')
        local pair = lpeg.Cg(lpeg.C((lpeg.alnum + '_')^1) * '=' * lpeg.C((1 - lpeg.space)^1))
        local grammar = lpeg.Cf(lpeg.Ct'' * (pair * lpeg.space^0)^1, rawset) * -1
        function process_message()
            local found = grammar:match'timestamp=1391794831 key1=data1 key2=data2'
            local month = lpeg.Ct(lpeg.Cg(date_month, 'month') * '-' * lpeg.digit^1 * lpeg.space * severity):match'12-31 warn'
            inject_payload('txt', 'out', found.timestamp .. ' ' .. found.key2 .. ' ' .. month.month .. ' ' .. month.severity)
            return 0
        end\n";
    assert_eq!(String::from_utf8_lossy(&run(body).ok().stdout).trim_end(), "1391794831 data2 12 warn");
}

#[test]
fn the_grammar_of_the_readme_works() {
    let work = Workdir::new();
    let block = include_str!("../README.md").split("```lua\n").nth(2).and_then(|rest| rest.split("```").next());
    work.write("app.lua", block.unwrap());
    work.write("app.log", "2026-11-21T10:23:02.125Z WARN disk=sda free=12\nanything else\n");
    let run = work.sh("heka-tail app.log | heka-decode --lua ./app.lua");
    let messages = common::messages(&run.stdout);
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].timestamp / 1_000_000, messages[0].severity), (1_795_256_582_125, Some(4)));
    assert_eq!(common::field(&messages[0], "free").as_deref(), Some("12"));
    assert!(run.stderr.contains("not a line of ours"), "{}", run.stderr);
}
