//! The project itself: generated files are fresh, installing works, every program explains itself.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Workdir, binaries};

const PROGRAMS: [&str; 14] = [
    "heka-tail",
    "heka-listen",
    "heka-inject",
    "heka-decode",
    "heka-sandbox",
    "heka-match",
    "heka-cef",
    "heka-cat",
    "heka-hec",
    "heka-firehose",
    "heka-http",
    "heka-lua",
    "heka-sbmgr",
    "heka-sbmgrload",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn man_pages_and_completions_are_what_the_programs_say() {
    let dir = Workdir::new();
    let mut stale = Vec::new();
    for program in PROGRAMS {
        let kinds = [
            ("man", format!("man/{program}.1")),
            ("bash", format!("completions/{program}.bash")),
            ("zsh", format!("completions/_{program}")),
            ("fish", format!("completions/{program}.fish")),
        ];
        for (kind, file) in kinds {
            let generated = dir.sh(&format!("{program} --generate {kind}")).ok().stdout;
            if std::fs::read(root().join(&file)).unwrap_or_default() != generated {
                stale.push(file);
            }
        }
    }
    assert!(stale.is_empty(), "stale, run `make docs`: {stale:?}");
}

#[test]
fn every_program_explains_itself() {
    let dir = Workdir::new();
    for program in PROGRAMS {
        let help = dir.sh(&format!("{program} --help")).ok();
        assert!(help.text().contains("Examples:"), "{program}");
        assert!(dir.sh(&format!("{program} -h")).ok().text().contains("Usage:"), "{program}");
        assert_eq!(
            dir.sh(&format!("{program} --version")).ok().text(),
            format!("{program} {}\n", env!("CARGO_PKG_VERSION"))
        );
        dir.sh(&format!("{program} --no-such-option x")).fails(2, "unexpected argument '--no-such-option'");
    }
    dir.sh("heka-cat --generate rtf").fails(2, "--generate takes man, bash, zsh or fish");
}

#[test]
fn every_program_is_in_the_readme_the_makefile_and_this_test() {
    let programs: Vec<String> = std::fs::read_dir(root().join("src/bin"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let (readme, makefile) = (read("README.md"), read("Makefile"));
    for program in &programs {
        assert!(PROGRAMS.contains(&program.as_str()), "{program}");
        assert!(readme.contains(program) && makefile.contains(program), "{program}");
        assert!(binaries().join(program).exists());
    }
    assert_eq!(programs.len(), PROGRAMS.len());
}

/// Distributions' packaging sets CFLAGS, which the project's own don't override: LuaJIT then has its compiler. Scripts have
/// to be stopped all the same.
#[test]
fn scripts_are_stopped_in_a_build_with_other_cflags() {
    let dir = Workdir::new();
    let build = "CFLAGS='-g -O2' cargo build --quiet --target-dir target/foreign --bin heka-lua";
    let built = dir.sh(&format!("cd {} && {build}", root().display()));
    assert!(built.status.success(), "{}", built.stderr);
    let program = root().join("target/foreign/debug/heka-lua");
    let loops = [
        "while true do end",
        "local n = 0 for i = 1, 1e12 do n = n + i % 3 end",
        "local function f(n) return f(n + 1) end f(1)",
        "repeat local ok = pcall(function() while true do end end) until false",
        "local t = {} for i = 1, 1e9 do t[i % 10] = i end",
        "require 'string' while true do local s = string.rep('x', 10) end",
    ];
    for code in loops {
        let began = Instant::now();
        let ran = dir.sh(&format!("timeout -s KILL 20 {} -e \"{code}\"", program.display()));
        assert!(ran.stderr.contains("instruction_limit exceeded"), "{code}: {}", ran.stderr);
        assert!(began.elapsed() < Duration::from_secs(10), "{code}");
    }
}

#[test]
fn the_demo_delivers_every_line() {
    let dir = Workdir::new();
    let ran = dir.sh(&format!("sh {}/examples/demo.sh", root().display()));
    assert!(ran.text().contains("200 lines sent, 200 events received"), "{}{}", ran.text(), ran.stderr);
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", ran.stderr);
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

#[test]
fn the_commands_of_the_readme_work() {
    let dir = Workdir::new();
    std::fs::copy(root().join("examples/access.log"), dir.path("access.log")).unwrap();
    let readme = read("README.md");
    let mut count = 0;
    for block in readme.split("```sh\n").skip(1) {
        let script = block.split("```").next().unwrap();
        // Blocks that build, install or need a server of the reader's are for the reader.
        let serves = script.contains(" -f") || script.contains("heka-listen");
        if !script.starts_with("heka-") || script.contains("splunk.example.com") || serves {
            continue;
        }
        let ran = dir.sh(script);
        assert!(ran.status.success() && ran.stderr.is_empty(), "{script}\n{}", ran.stderr);
        assert!(!ran.stdout.is_empty(), "{script}");
        count += 1;
    }
    assert!(count >= 3, "{count} commands only");
}
