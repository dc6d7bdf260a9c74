//! What the same file is: what heka-tail reads when files are renamed, replaced, truncated, linked, while it follows
//! them and between two runs.
//!
//! [`EVENTS`] is the table of it; src/lib/source/logstream/mod.rs says it in words.

mod common;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::Workdir;

/// Something that happens to the file `d/x.log`, of which a1, a2 and a3 have been read.
struct Event {
    name: &'static str,
    /// What is there besides, before the first look.
    before: &'static str,
    script: &'static str,
    /// What is read then, in order, when it happens while the file is followed …
    running: &'static str,
    /// … and when it happens between two runs.
    restart: &'static str,
    /// What is said of it between two runs.
    said: &'static str,
    /// Other files that are given by name.
    operands: &'static str,
}

const EVENT: Event =
    Event { name: "", before: "", script: "", running: "", restart: "", said: "", operands: "d/x.log" };

const EVENTS: &[Event] = &[
    Event { name: "appended to", script: "echo a4 >> x.log", running: "a4", restart: "a4", ..EVENT },
    Event {
        name: "renamed, and another one made",
        script: "echo a4 >> x.log; mv x.log x.log.1; echo b1 > x.log",
        running: "a4 b1",
        restart: "a4 b1",
        ..EVENT
    },
    Event {
        name: "renamed twice",
        script: "echo a4 >> x.log; mv x.log x.log.1; echo b1 > x.log; sleep .02; mv x.log.1 x.log.2; mv x.log x.log.1; echo c1 > x.log",
        running: "a4 b1 c1",
        restart: "a4 b1 c1",
        ..EVENT
    },
    Event {
        name: "renamed, where others were renamed before",
        before: "echo z1 > x.log.1; touch -d '1 hour ago' x.log.1",
        script: "mv x.log.1 x.log.2; echo a4 >> x.log; mv x.log x.log.1; echo b1 > x.log",
        running: "a4 b1",
        restart: "a4 b1",
        ..EVENT
    },
    Event {
        name: "renamed and compressed (gzip)",
        script: "echo a4 >> x.log; mv x.log x.log.1; gzip x.log.1; echo b1 > x.log",
        running: "a4 b1",
        restart: "a4 b1",
        ..EVENT
    },
    Event {
        name: "renamed and compressed (xz)",
        script: "echo a4 >> x.log; mv x.log x.log.1; xz x.log.1; echo b1 > x.log",
        running: "a4 b1",
        restart: "a4 b1",
        ..EVENT
    },
    Event {
        name: "copied and truncated",
        script: "echo a4 >> x.log; cp x.log x.log.1; : > x.log; echo b1 >> x.log",
        running: "a4 b1",
        restart: "a4 b1",
        ..EVENT
    },
    Event {
        name: "replaced by an equal copy",
        script: "cp x.log t; mv t x.log; sleep .3; echo a4 >> x.log",
        running: "a4",
        restart: "a4",
        ..EVENT
    },
    Event {
        name: "replaced by a longer copy",
        script: "cp x.log t; echo a4 >> t; mv t x.log",
        running: "a4",
        restart: "a4",
        ..EVENT
    },
    Event {
        name: "replaced by longer copies again and again",
        script: "for i in 4 5 6; do cp x.log t; echo a$i >> t; mv t x.log; sleep .2; done",
        running: "a4 a5 a6",
        restart: "a4 a5 a6",
        ..EVENT
    },
    Event {
        name: "edited in place (sed -i), the last line only",
        script: "sed -i '$s/$/\\na4/' x.log",
        running: "a4",
        restart: "a4",
        ..EVENT
    },
    Event {
        name: "replaced by another file",
        script: "echo b1 > t; mv t x.log",
        running: "b1",
        restart: "b1",
        said: "gone or was overwritten",
        ..EVENT
    },
    Event {
        name: "replaced by one that begins alike",
        script: "printf 'a1\\na2\\nb1\\nb2\\n' > t; mv t x.log",
        running: "a1 a2 b1 b2",
        restart: "a1 a2 b1 b2",
        said: "gone or was overwritten",
        ..EVENT
    },
    Event {
        name: "truncated to nothing",
        script: ": > x.log; sleep .2; echo b1 >> x.log",
        running: "b1",
        restart: "b1",
        said: "gone or was overwritten",
        ..EVENT
    },
    // What is left of it can't be told from what was written anew: better twice than never.
    Event {
        name: "truncated to a part",
        script: "truncate -s 6 x.log; echo b1 >> x.log",
        running: "a1 a2 b1",
        restart: "a1 a2 b1",
        said: "gone or was overwritten",
        ..EVENT
    },
    Event {
        name: "removed, and made anew",
        script: "echo a4 >> x.log; sleep .3; rm x.log; sleep .2; echo b1 > x.log",
        running: "a4 b1",
        restart: "b1",
        said: "gone or was overwritten",
        ..EVENT
    },
    Event {
        name: "given a second name",
        script: "ln x.log x.log.1; sleep .2; echo a4 >> x.log",
        running: "a4",
        restart: "a4",
        ..EVENT
    },
    Event {
        name: "given a second name that was given, too",
        before: "ln x.log y.log",
        script: "echo a4 >> y.log",
        running: "a4",
        restart: "a4",
        operands: "d/x.log d/y.log ./d/x.log",
        ..EVENT
    },
    Event {
        name: "swapped with another",
        before: "printf 'y1\\ny2\\ny3\\ny4\\n' > y.log",
        script: "mv x.log t; mv y.log x.log; mv t y.log; sleep .2; echo a4 >> y.log; sleep .5; echo y5 >> x.log",
        running: "a4 y5",
        restart: "y5 a4",
        operands: "d/x.log d/y.log",
        ..EVENT
    },
    Event {
        name: "in a directory that is replaced",
        script: "echo a4 >> x.log; sleep .3; cd ..; mv d e; mkdir d; echo b1 > d/x.log",
        running: "a4 b1",
        restart: "b1",
        said: "gone or was overwritten",
        ..EVENT
    },
    // d/x.log is a link from here on.
    Event {
        name: "renamed behind a link",
        before: "mkdir p; mv x.log p/0.log; ln -s p/0.log x.log",
        script: "echo a4 >> p/0.log; mv p/0.log p/0.log.20240101-101010; echo b1 > p/0.log",
        running: "a4 b1",
        restart: "a4 b1",
        ..EVENT
    },
    Event {
        name: "renamed twice behind two links, and compressed",
        before: "mkdir p q; mv x.log q/0.log; ln -s ../q/0.log p/c.log; ln -s p/c.log x.log",
        script: "echo a4 >> q/0.log; mv q/0.log q/0.log.20240101-101010; echo b1 > q/0.log; sleep .02; gzip q/0.log.20240101-101010; mv q/0.log q/0.log.20240101-101011; echo c1 > q/0.log",
        running: "a4 b1 c1",
        restart: "a4 b1 c1",
        ..EVENT
    },
    Event {
        name: "renamed behind three links",
        before: "mkdir p q; mv x.log q/0.log; ln -s 0.log q/l.log; ln -s ../q/l.log p/c.log; ln -s p/c.log x.log",
        script: "echo a4 >> q/0.log; mv q/0.log q/0.log.1; echo b1 > q/0.log",
        running: "a4 b1",
        restart: "a4 b1",
        ..EVENT
    },
    Event {
        name: "left by a link that points elsewhere",
        before: "mkdir p; mv x.log p/0.log; ln -s p/0.log x.log",
        script: "echo a4 >> p/0.log; echo b1 > p/1.log; ln -sfn p/1.log x.log; sleep .3; echo b2 >> p/1.log",
        running: "a4 b1 b2",
        restart: "a4 b1 b2",
        ..EVENT
    },
    Event {
        name: "left by a link that points elsewhere twice",
        before: "mkdir p; mv x.log p/0.log; ln -s p/0.log x.log",
        script: "echo a4 >> p/0.log; echo b1 > p/1.log; ln -sfn p/1.log x.log; sleep .02; echo c1 > p/2.log; ln -sfn p/2.log x.log",
        running: "a4 b1 c1",
        restart: "a4 b1 c1",
        ..EVENT
    },
    Event {
        name: "rotated, compressed, and left by its link",
        before: "mkdir p; mv x.log p/0.log; ln -s p/0.log x.log",
        script: "echo a4 >> p/0.log; mv p/0.log p/0.log.20240101-000000; echo b1 > p/0.log; gzip p/0.log.20240101-000000; echo c1 > p/1.log; ln -sfn p/1.log x.log",
        running: "a4 b1 c1",
        restart: "a4 b1 c1",
        ..EVENT
    },
    Event {
        name: "a dated file, left by the link of the day",
        before: "mv x.log app-2024-01-30.log; ln -s app-2024-01-30.log x.log",
        script: "echo a4 >> app-2024-01-30.log; echo b1 > app-2024-01-31.log; sleep .02; echo c1 > app-2024-02-01.log; ln -sfn app-2024-02-01.log x.log",
        running: "a4 b1 c1",
        restart: "a4 b1 c1",
        ..EVENT
    },
];

/// How a user says what is read.
fn ways(event: &Event) -> [(&'static str, String); 3] {
    let stream = r"--logstream d --match '(?P<Name>[xy])\.log\.?(?P<Seq>\d+)?(\.gz|\.xz)?' --priority ^Seq --differentiator Name";
    [("by name", event.operands.into()), ("by a pattern", "'d/[xy].log*'".into()), ("as a log stream", stream.into())]
}

fn set_up(event: &Event) -> Workdir {
    let dir = Workdir::new();
    dir.sh(&format!("mkdir d; cd d; seq -f a%g 1 3 > x.log; {}", event.before)).ok();
    dir
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_string).collect()
}

/// Streams side by side come in any order.
fn same(found: &[String], expected: &str, event: &Event) -> bool {
    let (mut found, mut expected): (Vec<_>, Vec<_>) =
        (found.iter().map(String::as_str).collect(), expected.split_whitespace().collect());
    if event.operands != EVENT.operands {
        found.sort_unstable();
        expected.sort_unstable();
    }
    found == expected
}

/// Nothing, or what came instead.
fn while_following(event: &Event, options: &str) -> Option<String> {
    let dir = set_up(event);
    let pipe = dir.start(&format!(
        "heka-tail -f --rotate-wait 300ms --checkpoint ck {options} 2>said | heka-cat --format payload > out"
    ));
    let until = |done: &dyn Fn(&[String]) -> bool| {
        let start = Instant::now();
        while !done(&lines(&dir.read("out"))) && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let first = |found: &[String]| {
        found.iter().any(|line| line == "a3") && !event.before.contains("y4") || found.iter().any(|line| line == "y4")
    };
    until(&first);
    std::thread::sleep(Duration::from_millis(200));
    let before = lines(&dir.read("out")).len();
    dir.sh(&format!("cd d; {}", event.script)).ok();
    let expected = event.running.split_whitespace().count();
    until(&|found| found.len() >= before + expected);
    // Nothing comes twice, either.
    std::thread::sleep(Duration::from_millis(1500));
    let found = lines(&dir.read("out"));
    let said = String::from_utf8_lossy(&dir.read("said")).into_owned();
    drop(pipe);
    let new = found.get(before..).unwrap_or_default();
    (!same(new, event.running, event)).then(|| format!("{new:?}; before that {:?}; said: {said}", &found[..before]))
}

fn over_a_restart(event: &Event, options: &str) -> Option<String> {
    let dir = set_up(event);
    let run = format!("heka-tail --checkpoint ck {options} | heka-cat --format payload");
    dir.sh(&run);
    dir.sh(&format!("cd d; {}", event.script)).ok();
    let ran = dir.sh(&run);
    let (found, said) = (lines(&ran.stdout), ran.stderr.replace("the same file as", ""));
    let fine = same(&found, event.restart, event) && said.contains(event.said);
    let third = lines(&dir.sh(&run).stdout);
    (!fine || !third.is_empty()).then(|| format!("{found:?}, then {third:?}; said: {}", ran.stderr))
}

#[test]
fn every_event_of_the_table_gives_what_it_says() {
    let wrong = Mutex::new(Vec::new());
    let next = Mutex::new(EVENTS.iter().flat_map(|event| ways(event).map(|way| (event, way))));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some((event, (way, options))) = next.lock().unwrap().next() else { return };
                    let found = [
                        (while_following(event, &options), event.running, "followed"),
                        (over_a_restart(event, &options), event.restart, "restarted"),
                    ];
                    for (found, expected, how) in found {
                        if let Some(found) = found {
                            let line = format!("{} {way}, {how}: {found}, not {expected}", event.name);
                            wrong.lock().unwrap().push(line);
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
