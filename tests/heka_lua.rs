//! heka-lua: what the authors of scripts use.

mod common;

use std::path::Path;

use common::Workdir;

#[test]
fn every_script_that_ships_has_cases_and_they_pass() {
    let work = Workdir::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let run = work.sh(&format!("heka-lua test {}/tests/scripts", root.display())).ok();
    assert!(run.text().ends_with(" passed, 0 failed\n"), "{}", run.text());
    let cases: String = std::fs::read_dir(root.join("tests/scripts"))
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .collect();
    for kind in ["decoder", "filter", "encoder"] {
        for entry in std::fs::read_dir(root.join(format!("lua/{kind}s"))).unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            let head =
                if kind == "decoder" { format!("--- script {name}\n") } else { format!("--- script {name} {kind}\n") };
            assert!(cases.contains(&head), "{name} has no case");
        }
    }
}

#[test]
fn every_script_begins_with_what_it_can_be_told_and_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for kind in ["decoders", "filters", "encoders"] {
        for entry in std::fs::read_dir(root.join("lua").join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let head = text.split("--]]").next().unwrap();
            assert!(head.starts_with("--[[\n"), "{}", path.display());
            assert!(head.contains("\nConfiguration\n- ") && head.contains("\nExample\n"), "{}", path.display());
            // Every option that the script itself reads is in its head, and the other way round for those it names.
            for option in text.split("read_config(\"").skip(1) {
                let option = option.split('"').next().unwrap();
                assert!(head.contains(option), "{}: {option}", path.display());
            }
        }
    }
}

#[test]
fn scripts_run_without_a_stream() {
    let work = Workdir::new();
    let run = work.sh("heka-lua -e 'print(1, nil, true) output(\"x\", 1/3, \"\\n\") inject_payload()'").ok();
    assert!(
        run.text().starts_with("1\tnil\ttrue\n:Timestamp:") || run.text().starts_with("1\tnil\ttrue\n\n"),
        "{}",
        run.text()
    );
    assert!(run.text().contains("x0.33333333"));
    work.write("module/mine.lua".replace('/', "_").as_str(), "");
    work.sh("mkdir m; echo 'return { answer = 42 }' > m/mine.lua").ok();
    let run = work.sh("heka-lua --module-directory m -e 'print(require(\"mine\").answer)'").ok();
    assert_eq!(run.text(), "42\n");
    let line = r#"127.0.0.1 - - [10/Feb/2014:08:46:41 -0800] "GET / HTTP/1.1" 304 0 "-" "curl""#;
    work.write("line", line);
    let run = work.sh("heka-lua nginx_access --line \"$(cat line)\"").ok();
    assert!(run.text().contains("name:\"status\" type:double value:304"), "{}", run.text());
    let run = work.sh("heka-lua payload --kind encoder --line x").ok();
    assert_eq!(run.text(), "x\n");
    let run = work.sh("heka-lua log_aggregator --kind filter --line one --line two").ok();
    assert!(run.text().contains("one\ntwo"), "{}", run.text());
}

#[test]
fn errors_show_the_line_and_the_input() {
    let work = Workdir::new();
    work.write("bad.lua", "function process_message()\n    local t = nil\n    return t.x\nend\n");
    let run = work.sh("heka-lua bad.lua --line 'the input'");
    assert_eq!(run.code(), 1);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{}", run.stderr);
    assert!(lines[0].contains("bad.lua:3: attempt to index local 't' (a nil value)"), "{}", lines[0]);
    assert!(lines[1].ends_with("3 |     return t.x"), "{}", lines[1]);
    assert!(lines[2].ends_with("input: the input"), "{}", lines[2]);

    work.sh("heka-lua -e 'error(\"x\")'; echo $? >&2").fails_with(&["-e:1: x", "1 | error(\"x\")", "1"]);
    let run = work.sh("heka-lua nginx_access --line nonsense");
    assert!(run.code() == 1 && run.stderr.contains("rejected"), "{}", run.stderr);
    // The limits hold, and can be taken away.
    let run = work.sh("heka-lua -e 'while true do end'");
    assert!(run.code() == 1 && run.stderr.contains("instruction_limit exceeded"), "{}", run.stderr);
    work.sh("heka-lua --instruction-limit 0 -e 'for i = 1, 3000000 do end'").ok();
    work.sh("heka-lua").fails(2, "which script?");
    work.sh("heka-lua no_such_script").fails(2, "no script of that name ships");
}

#[test]
fn case_files_tell_what_is_different() {
    let work = Workdir::new();
    work.write("up.lua", "require 'string' function process_message() inject_message { Type = 't', Payload = string.upper(read_message('Payload')) } return 0 end");
    let check = |case: &str, words: &str| {
        work.write("one.case", case);
        let run = work.sh("heka-lua test one.case");
        if words.is_empty() {
            assert_eq!((run.code(), run.text()), (0, "1 passed, 0 failed\n"), "{case}\n{}", run.stderr);
        } else {
            assert_eq!((run.code(), run.text()), (1, "0 passed, 1 failed\n"), "{case}");
            assert!(run.stderr.contains(words), "{words:?} not in {}", run.stderr);
        }
    };
    let head = "--- script up.lua\n--- input lines\na\n";
    check(&format!("{head}--- expect\n{{\"Type\":\"t\",\"Payload\":\"A\"}}\n"), "");
    check(
        &format!("{head}--- expect\n{{\"Type\":\"t\",\"Payload\":\"B\"}}\n"),
        "line 4: Payload: expected \"B\", found \"A\"",
    );
    check(&format!("{head}--- expect\n{{\"Payload\":\"A\"}}\n"), "Type: not expected");
    check(
        &format!("{head}--- expect\n{{\"Type\":\"t\",\"Payload\":\"A\",\"Fields\":{{\"x\":1}}}}\n"),
        "Fields[x]: expected 1, found null",
    );
    check(head, "at the end: not expected: a message came");
    check(&format!("{head}--- expect nothing\n"), "expected nothing, but a message came");
    check(&format!("{head}--- expect rejected\n"), "expected it to be rejected");
    check("--- script up.lua\n--- expect\n{}\n", "expected a message, but nothing came");
    check("--- script none.lua\n", "no such file");
    check("--- script up.lua\n--- inputs\n", "no such section: --- inputs");
    check("", "no section");
    let help = work.sh("heka-lua --help-cases").ok();
    assert!(help.text().contains("expect payload TYPE NAME"));
    work.sh("heka-lua test").fails(2, "which cases?");
    work.sh("mkdir empty; heka-lua test empty > out").fails(2, "no .case files");
}

/// A workbench says what a script does without effect.
#[test]
fn what_has_no_effect_is_said() {
    let dir = Workdir::new();
    dir.write("a.lua", "function process_mesage() return 0 end");
    dir.sh("heka-lua ./a.lua --line x").says(&["a.lua: there is no function process_message(), but process_mesage()"]);
    dir.write(
        "b.lua",
        "function process_message() inject_message{Timestamp = '2026-01-01', Severity = 'error', payload = 'x',
            Fields = 1} return 0 end",
    );
    for command in ["heka-lua ./b.lua --line x", "echo x | heka-tail | heka-decode --lua ./b.lua"] {
        dir.sh(command).says(&[
            "inject_message: Timestamp is nanoseconds, not what the script gives; it is left out",
            "inject_message: Severity is a number, not what",
            "inject_message: Fields is a table, not what",
            "inject_message: payload is no header (Payload is) and is left out; other data goes into Fields",
        ]);
    }
    dir.write(
        "c.lua",
        "function process_message() inject_message{Timestamp = '1000000000', Type = 5, Pid = 1} return 0 end",
    );
    dir.sh("heka-lua ./c.lua --line x").ok();
    dir.sh("heka-lua -e 'error(\"a\\tb\")'").says(&["a\tb"]);
}
