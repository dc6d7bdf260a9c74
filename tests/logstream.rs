//! heka-tail reads log streams: which files, in which order, under which name, and where it resumes.

mod common;

use std::fs;
use std::io::BufRead;
use std::time::{Duration, Instant};

use common::{Background, Workdir, eventually, have, messages, payloads};
use heka::stream::Frame;

/// Writes files whose content is their own name, each in a line.
fn named_files(dir: &Workdir, names: &[&str]) {
    for name in names {
        fs::create_dir_all(dir.path(name).parent().unwrap()).unwrap();
        dir.write(name, format!("{name}\n"));
    }
}

fn read(dir: &Workdir, options: &str) -> Vec<String> {
    payloads(&dir.sh(&format!("heka-tail {options}")).ok().stdout)
}

/// The same where something is said too: a line each, of which these words are part.
#[track_caller]
fn read_and_said(dir: &Workdir, options: &str, said: &[&str]) -> Vec<String> {
    let ran = dir.sh(&format!("heka-tail {options}"));
    assert!(ran.status.success(), "{}", ran.stderr);
    ran.fails_with(said);
    payloads(&ran.stdout)
}

/// Payloads of a following pipeline, a line each.
struct Following {
    pipe: Background,
    lines: Box<dyn BufRead>,
}

impl Following {
    fn start(dir: &Workdir, options: &str) -> Following {
        let mut pipe = dir.start(&format!("heka-tail -f {options} | heka-cat --format payload"));
        let lines = Box::new(pipe.stdout());
        Following { pipe, lines }
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    fn stop(mut self) -> Vec<String> {
        self.pipe.signal("-TERM");
        assert!(self.pipe.wait(Duration::from_secs(20)).success());
        self.lines.lines().map(Result::unwrap).collect()
    }
}

/// Lets some time pass in which something wrong would happen.
fn a_while() {
    std::thread::sleep(Duration::from_millis(300));
}

const NUMBERED: &str = r"--logstream logs --match 'x\.log\.?(?P<Seq>\d+)?(\.gz)?' --priority ^Seq";

#[test]
fn files_come_oldest_first_and_all_streams() {
    let dir = Workdir::new();
    named_files(&dir, &["logs/x.log", "logs/x.log.1", "logs/x.log.2", "logs/x.log.10", "logs/y.log", "logs/old/x.log"]);
    dir.sh("gzip logs/x.log.10").ok();
    assert_eq!(read(&dir, NUMBERED), ["logs/x.log.10", "logs/x.log.2", "logs/x.log.1", "logs/x.log"]);
    // Years, and months by name; a missing part is older than any other.
    named_files(&dir, &["d/2013/December.log", "d/2014/feb.log", "d/2014/Jan.log", "d/2013/nov.log"]);
    let months = r"--logstream d --match '(?P<Year>\d+)/(?P<MonthName>\w+)\.log' --priority Year,MonthName";
    assert_eq!(read(&dir, months), ["d/2013/nov.log", "d/2013/December.log", "d/2014/Jan.log", "d/2014/feb.log"]);
    let reverse = months.replace("Year,Month", "^Year,^Month");
    assert_eq!(read(&dir, &reverse), ["d/2014/feb.log", "d/2014/Jan.log", "d/2013/December.log", "d/2013/nov.log"]);
    // Files of a translation.
    named_files(&dir, &["t/first.log", "t/second.log", "t/log"]);
    dir.write("translate.toml", "[Which]\nFIRST = 1\nsecond = 2\nmissing = 3\n");
    let which = r"--logstream t --match '((?P<Which>\w+)\.)?log' --priority Which --translate translate.toml";
    assert_eq!(read(&dir, which), ["t/first.log", "t/second.log", "t/log"]);
    named_files(&dir, &["t/other.log"]);
    dir.sh(&format!("heka-tail {which}")).fails(2, "t/other.log: value \"other\" of Which is not in its translation");
}

#[test]
fn compressed_files_are_known_by_their_content() {
    let dir = Workdir::new();
    named_files(&dir, &["logs/x.log", "logs/x.log.1", "logs/x.log.2", "logs/x.log.3", "logs/x.log.4"]);
    dir.sh("cd logs && gzip x.log.4 && mv x.log.4.gz x.log.4 && zstd -q --rm x.log.3 && bzip2 x.log.2").ok();
    let all = r"--logstream logs --match 'x\.log\.?(?P<Seq>\d+)?(\.(zst|bz2))?' --priority ^Seq";
    assert_eq!(read(&dir, all), ["logs/x.log.4", "logs/x.log.3", "logs/x.log.2", "logs/x.log.1", "logs/x.log"]);
    // A file that is being compressed is there twice; it is read once.
    dir.sh("gzip -k logs/x.log.1").ok();
    assert_eq!(read(&dir, NUMBERED), ["logs/x.log.4", "logs/x.log.1", "logs/x.log"]);
    // So is one that has two names.
    dir.sh("cd logs && ln -s x.log x.log.5").ok();
    assert_eq!(read(&dir, NUMBERED), ["logs/x.log.4", "logs/x.log.1", "logs/x.log"]);
    // What of a damaged one can be read is read, it is said, and the others come too.
    dir.sh("cd logs && head -c 30 x.log.1.gz > x.log.7").ok();
    let ran = dir.sh(&format!("heka-tail {NUMBERED}"));
    ran.fails(3, "x.log.7: ");
    assert!(payloads(&ran.stdout).ends_with(&["logs/x.log.4".into(), "logs/x.log.1".into(), "logs/x.log".into()]));
}

#[test]
fn differentiators_name_streams_and_their_loggers() {
    let dir = Workdir::new();
    named_files(
        &dir,
        &["logs/a.com/access.log", "logs/a.com/access.log.1", "logs/b.org/access.log", "logs/b.org/error.log"],
    );
    let hosts = r"--logstream logs --match '(?P<Host>[^/]+)/(?P<Kind>\w+)\.log\.?(?P<Seq>\d+)?' --priority ^Seq --differentiator nginx-,Host,-,Kind";
    let found: Vec<(String, String)> = messages(&dir.sh(&format!("heka-tail {hosts}")).ok().stdout)
        .into_iter()
        .map(|message| {
            let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
            assert_eq!(message.r#type.as_deref(), Some(&b"logfile"[..]));
            (text(message.logger), text(message.payload))
        })
        .collect();
    let expected = [
        ("nginx-a.com-access", "logs/a.com/access.log.1"),
        ("nginx-a.com-access", "logs/a.com/access.log"),
        ("nginx-b.org-access", "logs/b.org/access.log"),
        ("nginx-b.org-error", "logs/b.org/error.log"),
    ];
    assert_eq!(found, expected.map(|(logger, payload)| (logger.to_string(), payload.to_string())));
    // Several files, and nothing that orders them.
    dir.sh(&format!("heka-tail {}", hosts.replace("--priority ^Seq", "")))
        .fails(2, "stream \"nginx-a.com-access\" has 2 files, and no priority that orders them");
    dir.sh(&format!("heka-tail {}", hosts.replace("^Seq", "^Sqe")))
        .fails(2, "priority \"Sqe\" is no group of the regex");
}

#[test]
fn old_files_are_left_out_and_that_is_said() {
    let dir = Workdir::new();
    named_files(&dir, &["logs/x.log", "logs/x.log.1", "logs/x.log.2"]);
    dir.sh("touch -d '3 days ago' logs/x.log.2; touch -d '2 hours ago' logs/x.log.1").ok();
    let said = ["heka-tail: logs: 1 files are left out for their age (see --oldest)"];
    let found = read_and_said(&dir, &format!("{NUMBERED} --oldest 48h"), &said);
    assert_eq!(found, ["logs/x.log.1", "logs/x.log"]);
    assert_eq!(read(&dir, NUMBERED).len(), 3);
    dir.sh(&format!("heka-tail {NUMBERED} --oldest 48")).fails(2, "expected a number with a unit");
}

#[test]
fn a_section_of_heka_s_configuration_is_read_as_it_stands() {
    let dir = Workdir::new();
    named_files(&dir, &["logs/some_filename.log", "logs/data.log"]);
    let here = dir.path("").display().to_string();
    dir.write(
        "hekad.toml",
        format!(
            "[hekad]\nmaxprocs = 2\n
             [ExampleLog]\ntype = \"LogstreamerInput\"\nlog_directory = \"{here}/logs\"\nfile_match = 'some_filename.log'\n
             [LogstreamerInput]\nlog_directory = \".\"\nfile_match = 'logs/data\\.log'\ndecoder = \"SandboxDecoder\"\nhostname = \"h\"\n
             [SandboxDecoder]\nscript_type = \"lua\"\nfilename = \"decoder.lua\"\n"
        ),
    );
    let ran = dir.sh("heka-tail --config hekad.toml:ExampleLog").ok();
    let [message] = &messages(&ran.stdout)[..] else { panic!() };
    assert_eq!(message.logger.as_deref(), Some(&b"ExampleLog"[..]));
    assert_eq!(message.payload.as_deref(), Some(&b"logs/some_filename.log\n"[..]));
    // Without a name, all of them; the decoder is another program's work.
    let ran = dir.sh("heka-tail --config hekad.toml");
    assert_eq!(payloads(&ran.stdout), ["logs/some_filename.log\n", "logs/data.log\n"]);
    assert_eq!(messages(&ran.stdout)[1].hostname.as_deref(), Some(&b"h"[..]));
    ran.fails_with(&["[LogstreamerInput] decoder SandboxDecoder is not run here: pipe the messages into heka-decode"]);
    // Splitters have sections too.
    dir.write("logs/data.log", "# User 1\nselect\n# User 2\nupdate\n");
    dir.write(
        "slow.toml",
        "[slow]\ntype = \"LogstreamerInput\"\nlog_directory = \"logs\"\nfile_match = 'data\\.log'\nsplitter = \"split\"\n
         [split]\ntype = \"RegexSplitter\"\ndelimiter = '\\n(# User)'\ndelimiter_eol = false\n",
    );
    assert_eq!(read(&dir, "--config slow.toml"), ["# User 1\nselect", "# User 2\nupdate\n"]);
    assert_eq!(read(&dir, "--config slow.toml --splitter token").len(), 4);
    // The age that Heka leaves out, unless told otherwise.
    dir.sh("touch -d '31 days ago' logs/data.log").ok();
    let said = ["logs: 1 files are left out for their age"];
    assert_eq!(read_and_said(&dir, "--config slow.toml", &said), [""; 0]);
    assert_eq!(read(&dir, "--config slow.toml --oldest 1000h").len(), 2);
    dir.sh("heka-tail --config hekad.toml:hekad").fails(2, "[hekad] `file_match` setting is required");
    dir.sh("heka-tail --config hekad.toml:None").fails(2, "hekad.toml: no section [None]");
}

#[test]
fn a_list_shows_files_in_order_and_where_reading_would_resume() {
    let dir = Workdir::new();
    named_files(&dir, &["logs/a/x.log", "logs/a/x.log.1", "logs/b/x.log"]);
    let options = r"--logstream logs --match '(?P<Host>\w)/x\.log\.?(?P<Seq>\d+)?' --priority ^Seq --differentiator x-,Host --checkpoint ck";
    let list = || dir.sh(&format!("heka-tail {options} --list")).ok().text().to_string();
    let expected = "Found 2 Logstream(s)\n
Logstream name: [x-a]\nResume: logs/a/x.log.1 at its beginning\nFiles: 2 (printing oldest to newest)\n\tlogs/a/x.log.1\n\tlogs/a/x.log\n
Logstream name: [x-b]\nResume: logs/b/x.log at its beginning\nFiles: 1 (printing oldest to newest)\n\tlogs/b/x.log\n\n";
    assert_eq!(list(), expected);
    assert!(!dir.path("ck").exists());
    assert_eq!(read(&dir, options).len(), 3);
    let text = list();
    assert!(text.contains("[x-a]\nResume: logs/a/x.log at byte 13\n"), "{text}");
    assert!(text.contains("[x-b]\nResume: logs/b/x.log at byte 13\n"), "{text}");
    assert_eq!(read(&dir, options), [""; 0]);
    // Nothing there is a negative answer; no such directory is an error.
    let none = dir.sh("heka-tail --logstream logs --match none --list");
    assert_eq!((none.status.code(), none.text()), (Some(1), "Found 0 Logstream(s)\n\n"));
    dir.sh("heka-tail --logstream nowhere --match x").fails(3, "nowhere: No such file or directory");
    dir.sh("heka-tail --logstream logs").fails(2, "--match");
}

#[test]
fn the_last_line_of_a_file_is_not_joined_with_the_next_file() {
    let dir = Workdir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    dir.write("logs/x.log.2", "a\npart");
    dir.write("logs/x.log.1", "\n\nafter empty lines\n");
    dir.write("logs/x.log", "");
    assert_eq!(read(&dir, NUMBERED), ["a", "part", "", "", "after empty lines"]);
    let mut tail = Following::start(&dir, NUMBERED);
    for expected in ["a", "part", "", "", "after empty lines"] {
        assert_eq!(tail.next(), expected);
    }
    dir.append("logs/x.log", "live\n");
    assert_eq!(tail.next(), "live");
    assert_eq!(tail.stop(), [""; 0]);
}

#[test]
fn records_larger_than_any_buffer_come_whole_or_are_said() {
    let dir = Workdir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    dir.write("logs/x.log.1", format!("{}\nshort\n", "x".repeat(1_000_000)));
    dir.write("logs/x.log", "last\n");
    assert_eq!(
        read(&dir, &format!("{NUMBERED} --max-record 2M")).iter().map(String::len).collect::<Vec<_>>(),
        [1_000_000, 5, 4]
    );
    let said = ["logs/x.log.1: a record of 1000000 bytes, over --max-record, was dropped"];
    assert_eq!(read_and_said(&dir, NUMBERED, &said), ["short", "last"]);
}

#[test]
fn files_and_directories_that_appear_later_are_taken_up_at_once() {
    let dir = Workdir::new();
    let options = r"--logstream logs --match '(?P<Host>\w+)/x\.(?P<Date>\d+)\.log' --priority Date --differentiator Host --rescan 1h";
    let mut tail = Following::start(&dir, options);
    assert!(tail.pipe.stderr_line().ends_with("logs: No such file or directory"));
    fs::create_dir_all(dir.path("logs/a")).unwrap();
    dir.write("logs/a/x.20140210.log", "1\n");
    assert_eq!(tail.next(), "1");
    let started = Instant::now();
    dir.write("logs/a/x.20140211.log", "2\n");
    assert_eq!(tail.next(), "2");
    fs::create_dir(dir.path("logs/b")).unwrap();
    dir.write("logs/b/x.20140211.log", "3\n");
    assert_eq!(tail.next(), "3");
    // The old one is waited for (1 s), the rest is prompt: nothing waits for the hour.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(tail.stop(), [""; 0]);
}

#[test]
fn an_empty_file_that_is_replaced_by_another_is_noticed() {
    let dir = Workdir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    for options in [NUMBERED, "logs/x.log"] {
        dir.write("logs/x.log", "");
        let mut tail = Following::start(&dir, options);
        a_while();
        // Again and again, the inode used again or not.
        for _ in 0..3 {
            fs::remove_file(dir.path("logs/x.log")).unwrap();
            dir.write("logs/x.log", "");
        }
        a_while();
        dir.append("logs/x.log", "first\n");
        assert_eq!(tail.next(), "first");
        assert_eq!(tail.stop(), [""; 0], "{options}");
    }
}

#[test]
fn a_file_that_vanishes_and_comes_back_with_other_content_is_another() {
    let dir = Workdir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    for options in [NUMBERED, "logs/x.log"] {
        dir.write("logs/x.log", "1\n");
        let mut tail = Following::start(&dir, options);
        assert_eq!(tail.next(), "1");
        fs::remove_file(dir.path("logs/x.log")).unwrap();
        a_while();
        dir.write("logs/x.log", "2\n");
        assert_eq!(tail.next(), "2");
        // Truncated, and longer than before when it is looked at again.
        dir.write("logs/x.log", "3\nand more than there was\n");
        assert_eq!(tail.next(), "3");
        assert_eq!(tail.next(), "and more than there was");
        // The same with a beginning that all have.
        let header = "#".repeat(5000) + "\n";
        dir.write("logs/x.log", format!("{header}4\n"));
        assert_eq!((tail.next() + "\n", tail.next()), (header.clone(), "4".to_string()));
        dir.write("logs/x.log", format!("{header}5\nand more than there was\n"));
        assert_eq!((tail.next() + "\n", tail.next()), (header.clone(), "5".to_string()));
        assert_eq!(tail.next(), "and more than there was");
        assert_eq!(tail.stop(), [""; 0], "{options}");
    }
}

#[test]
fn what_happened_to_files_while_nobody_looked_is_told_apart() {
    let header = "#".repeat(2000) + "\n";
    let begin = |dir: &Workdir, options: &str| {
        fs::create_dir(dir.path("logs")).unwrap();
        dir.write("logs/x.log", format!("{header}a1\na2\n"));
        assert_eq!(read(dir, options).len(), 3);
        dir.append("logs/x.log", "a3\n");
    };
    // Each file begins with the same long header.
    let new = format!("{header}b1\n");
    let gone = "the file of its checkpoint is gone or was overwritten; ";
    let checks: [(&str, &[&str]); 6] = [
        ("mv x.log x.log.1; cp ../new x.log", &["a3", "H", "b1"]),
        ("mv x.log x.log.1; gzip x.log.1; cp ../new x.log", &["a3", "H", "b1"]),
        ("cp x.log x.log.1; cat ../new > x.log", &["a3", "H", "b1"]),
        (
            "cp x.log x.log.1; cat ../new > x.log; gzip x.log.1; mv x.log.1.gz x.log.2.gz; cp x.log x.log.1; cat ../newer > x.log",
            &["a3", "H", "b1", "H", "c1"],
        ),
        // Gone without a trace: what came after it.
        ("rm x.log; cp ../new x.log", &["H", "b1"]),
        // Removed, and its inode used again (where the file system does that).
        (
            "rm x.log; cat ../new > x.log; cat ../newer > x.log.1; mv x.log.1 z; mv x.log x.log.1; mv z x.log",
            &["H", "b1", "H", "c1"],
        ),
    ];
    for options in [format!("{NUMBERED} --checkpoint ../ck"), "logs/x.log --checkpoint ../ck".to_string()] {
        for (commands, expected) in checks {
            let dir = Workdir::new();
            let options = options.replace("../ck", "ck");
            begin(&dir, &options);
            dir.write("new", &new);
            dir.write("newer", new.replace("b1", "c1"));
            // Times of files tell what came after what.
            let spaced = commands.replace("; ", "; sleep 0.02; ");
            dir.sh(&format!("cd logs; sleep 0.02; {spaced}")).ok();
            let said: &[&str] = if expected[0] == "H" { &[gone] } else { &[] };
            let found: Vec<String> = read_and_said(&dir, &options, said)
                .into_iter()
                .map(|line| line.replace(header.trim_end(), "H"))
                .collect();
            assert_eq!(found, expected, "{options}: {commands}");
            assert_eq!(read(&dir, &options), [""; 0], "{options}: {commands}");
        }
    }
}

#[test]
fn a_file_that_can_t_be_opened_yet_is_waited_for() {
    if !have("setpriv") {
        return;
    }
    let dir = Workdir::new();
    named_files(&dir, &["logs/x.log.2", "logs/x.log.1", "logs/x.log"]);
    dir.sh("chmod 755 . logs; cp $(which heka-tail) heka-tail; chmod 755 heka-tail; chmod 000 logs/x.log.1").ok();
    // Root may read everything.
    let nobody = "$(if [ $(id -u) = 0 ]; then echo setpriv --reuid 65534 --clear-groups; fi)";
    let ran = dir.sh(&format!("{nobody} ./heka-tail {NUMBERED}"));
    ran.fails(3, "logs/x.log.1: Permission denied");
    assert_eq!(payloads(&ran.stdout), ["logs/x.log.2", "logs/x.log"]);
    // With a checkpoint what comes after it waits, so that it isn't left behind.
    dir.sh("mkdir -m 777 ck").ok();
    let ran = dir.sh(&format!("{nobody} ./heka-tail {NUMBERED} --checkpoint ck/ck"));
    ran.fails(3, "logs/x.log.1: Permission denied");
    assert_eq!(payloads(&ran.stdout), ["logs/x.log.2"]);
    let mut pipe =
        dir.start(&format!("{nobody} ./heka-tail -f {NUMBERED} --checkpoint ck/ck | heka-cat --format payload"));
    assert!(pipe.stderr_line().ends_with("logs/x.log.1: Permission denied; waiting for it"));
    let mut lines = pipe.stdout();
    dir.sh("chmod 644 logs/x.log.1").ok();
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "logs/x.log.1\n");
}

#[test]
fn heka_s_journals_are_gone_on_from() {
    let dir = Workdir::new();
    fs::create_dir_all(dir.path("logs")).unwrap();
    fs::create_dir(dir.path("journals")).unwrap();
    dir.write("logs/x.log.1", "older\n");
    dir.write("logs/x.log", "line 1\nline 2\nline 3\n");
    // The hash of "line 1\nline 2\n" behind 486 zero bytes.
    let journal = |file: &str, seek: u32| {
        format!(r#"{{"seek":{seek},"file_name":"{file}","last_hash":"dd8fc88e1d331424844537eb6fa8e24f970cc2c6"}}"#)
    };
    let options = format!("{NUMBERED} --logger web --heka-journal journals");
    dir.write("journals/web", journal("logs/x.log", 14));
    assert_eq!(read(&dir, &options), ["line 3"]);
    // Renamed and compressed since.
    dir.sh("cd logs && mv x.log.1 x.log.2 && mv x.log x.log.1 && gzip x.log.1 && echo line 4 > x.log").ok();
    assert_eq!(read(&dir, &options), ["line 3", "line 4"]);
    assert_eq!(read(&dir, &options.replace("journals", "journals/web")), ["line 3", "line 4"]);
    // No file has these bytes: it is said, and nothing is left out.
    dir.write("journals/web", journal("logs/x.log", 7));
    let said = ["web: the file of Heka's journal, logs/x.log, is not among the stream's"];
    assert_eq!(read_and_said(&dir, &options, &said).len(), 5);
    // Seek 0 is the beginning of the file that is named.
    dir.write("journals/web", journal("logs/x.log.2", 0));
    assert_eq!(read(&dir, &options).len(), 5);
    // An empty journal is none; another text is an error; a checkpoint comes first.
    dir.write("journals/web", " \n");
    assert_eq!(read(&dir, &options).len(), 5);
    dir.write("journals/web", "{");
    dir.sh(&format!("heka-tail {options}")).fails(3, "journals/web: not a journal of Heka's");
    dir.write("journals/web", journal("logs/x.log.1.gz", 14));
    let options = format!("{options} --checkpoint ck");
    assert_eq!(read(&dir, &options), ["line 3", "line 4"]);
    assert_eq!(read(&dir, &options), [""; 0]);
}

#[test]
fn stack_traces_are_one_record() {
    let dir = Workdir::new();
    dir.write("app.log", "start\nError: x\n  at a\n  at b\nCaused by: y\n  at c\nend\n");
    let group = r"--splitter group --grouping '^(\s|Caused by)'";
    let expected = ["start", "Error: x\n  at a\n  at b\nCaused by: y\n  at c", "end"];
    assert_eq!(read(&dir, &format!("{group} app.log")), expected);
    assert_eq!(read(&dir, &format!("{group} --max-lines 3 app.log"))[1], "Error: x\n  at a\n  at b");
    dir.sh("heka-tail --splitter group app.log").fails(2, "--grouping");
    dir.sh("heka-tail --splitter group --grouping '(' app.log").fails(2, "--grouping: bad regex");
    // A trace that is still growing goes out when nothing has come for a while, a line that is not whole doesn't.
    let mut pipe = dir.start(&format!("heka-tail -f {group} --flush-timeout 300ms app.log > out"));
    let out = || payloads(&dir.read("out"));
    eventually("the last record is out", || out().len() == 3);
    dir.append("app.log", "Error: z\n  at");
    a_while();
    a_while();
    assert_eq!(out().len(), 3);
    dir.append("app.log", " d\n");
    eventually("the trace is out", || out().len() == 4);
    assert_eq!(out()[3], "Error: z\n  at d");
    pipe.signal("-TERM");
    pipe.wait(Duration::from_secs(10));
}

#[test]
fn lines_that_come_late_into_the_old_file_are_heard() {
    let dir = Workdir::new();
    dir.write("app.log", "1\n");
    let mut tail = Following::start(&dir, "--rotate-wait 100ms app.log");
    assert_eq!(tail.next(), "1");
    fs::rename(dir.path("app.log"), dir.path("app.log.1")).unwrap();
    dir.write("app.log", "2\n");
    assert_eq!(tail.next(), "2");
    dir.append("app.log.1", "late\n");
    assert_eq!(tail.next(), "late");
    assert!(tail.pipe.stderr_line().contains("lines came into the file before it"));
    dir.append("app.log", "3\n");
    assert_eq!(tail.next(), "3");
    assert_eq!(tail.stop(), [""; 0]);
}

#[test]
fn a_compressed_file_on_its_way_is_waited_for() {
    let dir = Workdir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    let text: String = (0..20_000).map(|number| format!("line {number} {}\n", number * 7919 % 1000)).collect();
    dir.write("whole", &text);
    dir.sh("gzip whole && head -c 20000 whole.gz > logs/x.log.1 && echo live > logs/x.log").ok();
    let mut tail = Following::start(&dir, NUMBERED);
    assert!(tail.pipe.stderr_line().ends_with("waiting for the rest of it"));
    dir.sh("tail -c +20001 whole.gz >> logs/x.log.1").ok();
    for line in text.lines() {
        assert_eq!(tail.next(), line);
    }
    assert_eq!(tail.next(), "live");
    assert_eq!(tail.stop(), [""; 0]);
}

#[test]
fn reading_is_fair_among_streams() {
    let dir = Workdir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    dir.write("logs/big.log", "a line of a log that has much to tell\n".repeat(1_000_000));
    for number in 0..20 {
        dir.write(&format!("logs/small{number:02}.log"), format!("small {number}\n"));
    }
    let options = r"--logstream logs --match '(?P<Name>\w+)\.log' --differentiator Name";
    // A directory that has just changed is looked at once more before its files are begun.
    a_while();
    let pipe = dir.start(&format!("heka-tail -f {options} > out"));
    eventually("the small ones are read", || {
        let out = dir.read("out");
        (0..20).all(|number| memchr::memmem::find(&out, format!("small {number}").as_bytes()).is_some())
    });
    let out = dir.read("out");
    let last = memchr::memmem::rfind(&out, b"small 19").unwrap();
    assert!(last < 4 << 20, "the last small one came after {last} bytes");
    // What is written to a quiet one while the big one is read doesn't wait either.
    drop(pipe);
    let mut pipe = dir.start(&format!("heka-tail -f {options} | (head -c 1000000; sleep 0.5; cat) > out2"));
    eventually("it is at work", || dir.read("out2").len() >= 1_000_000);
    dir.append("logs/small07.log", "news\n");
    eventually("the news are read", || memchr::memmem::find(&dir.read("out2"), b"news").is_some());
    let out = dir.read("out2");
    let at = memchr::memmem::find(&out, b"news").unwrap();
    println!("news at byte {at} of {}", out.len());
    pipe.signal("-TERM");
    pipe.wait(Duration::from_secs(20));
    assert!(at < 100_000_000, "the news came after {at} bytes");
}

#[test]
fn cursors_of_a_stream_grow_over_its_files() {
    let dir = Workdir::new();
    named_files(&dir, &["logs/x.log", "logs/x.log.1", "logs/x.log.2"]);
    let ran = dir.sh(&format!("heka-tail {NUMBERED}")).ok();
    let (frames, _) = common::frames(&ran.stdout);
    let cursors: Vec<(Vec<u8>, u64)> = frames
        .iter()
        .map(|raw| {
            Frame::parse(raw)
                .unwrap()
                .header()
                .cursor()
                .map(|cursor| (cursor.stream.to_vec(), cursor.sequence))
                .unwrap()
        })
        .collect();
    let stream = format!("{}#", dir.path("logs").canonicalize().unwrap().display()).into_bytes();
    assert_eq!(cursors, [(stream.clone(), 13), (stream.clone(), 26), (stream, 37)]);
}

#[test]
fn a_stream_may_begin_at_its_end() {
    let dir = Workdir::new();
    named_files(&dir, &["logs/x.log", "logs/x.log.1"]);
    let mut tail = Following::start(&dir, &format!("{NUMBERED} --from end"));
    a_while();
    a_while();
    dir.append("logs/x.log", "new\n");
    assert_eq!(tail.next(), "new");
    assert_eq!(tail.stop(), [""; 0]);
}

#[test]
fn a_stop_between_two_files_repeats_nothing() {
    let dir = Workdir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    for options in [format!("{NUMBERED} --checkpoint a"), "logs/x.log --checkpoint b".into()] {
        dir.write("logs/x.log", "1\n2\n");
        let mut tail = Following::start(&dir, &format!("--rotate-wait 10ms {options}"));
        assert_eq!((tail.next(), tail.next()), ("1".into(), "2".into()));
        // The new file has no whole line when the program ends.
        fs::rename(dir.path("logs/x.log"), dir.path("logs/x.log.1")).unwrap();
        dir.append("logs/x.log", "pa");
        a_while();
        a_while();
        // What is unfinished waits for the next run.
        assert_eq!(tail.stop(), [""; 0]);
        dir.append("logs/x.log", "rt\n");
        assert_eq!(read(&dir, &options), ["part"], "{options}");
        dir.sh("rm logs/*").ok();
    }
    dir.sh("heka-tail logs/x.log --checkpoint b").fails(3, "logs/x.log: No such file or directory");
}

#[test]
fn links_are_followed_at_the_root_and_to_files_only() {
    let dir = Workdir::new();
    named_files(&dir, &["logs/x.log", "other/x.log.1", "elsewhere/x.log.2"]);
    dir.sh("ln -s logs link; ln -s ../other logs/below; ln -s ../elsewhere/x.log.2 logs/x.log.2; ln -s nowhere logs/x.log.3").ok();
    let linked = r"--logstream link --match '([^/]+/)?x\.log\.?(?P<Seq>\d+)?' --priority ^Seq";
    assert_eq!(read(&dir, linked), ["elsewhere/x.log.2", "logs/x.log"]);
    // A name that is a link to the file of the day.
    dir.write("app-1.log", "1\n");
    dir.sh("ln -s app-1.log current.log").ok();
    let mut tail = Following::start(&dir, "current.log");
    assert_eq!(tail.next(), "1");
    dir.write("app-2.log", "2\n");
    dir.sh("ln -s app-2.log new && mv new current.log").ok();
    assert_eq!(tail.next(), "2");
    assert_eq!(tail.stop(), [""; 0]);
}

#[test]
fn a_compressed_newest_file_is_read_once() {
    let dir = Workdir::new();
    named_files(&dir, &["logs/x.log.2", "logs/x.log.1"]);
    dir.sh("gzip logs/x.log.2 logs/x.log.1").ok();
    let mut tail = Following::start(&dir, &format!("{NUMBERED} --checkpoint ck"));
    assert_eq!((tail.next(), tail.next()), ("logs/x.log.2".into(), "logs/x.log.1".into()));
    a_while();
    // Nothing follows it for some time, then something does.
    std::thread::sleep(Duration::from_millis(1500));
    dir.write("logs/x.log", "live\n");
    assert_eq!(tail.next(), "live");
    assert_eq!(tail.stop(), [""; 0]);
    assert_eq!(read(&dir, &format!("{NUMBERED} --checkpoint ck")), [""; 0]);
}

/// What hekad 0.11 made of the same files. (It joined an unfinished last line to the record before it, and its
/// RegexSplitter gave nothing at all with `delimiter_eol = false` where a file begins with the delimiter: faults.)
#[test]
fn splitters_of_heka_s_configuration_cut_as_hekad_did() {
    let dir = Workdir::new();
    fs::create_dir(dir.path("logs")).unwrap();
    dir.write("logs/text.log", "a|b|c\nd e f\n\ng\r\nlast without end");
    dir.write("logs/regex.log", "start one end start two end start three");
    dir.write("logs/group.log", "2014 first\n  more\n  and more\n2015 second\n2016 third\n  tail\n2017 end\n");
    let trace =
        "2014 [main] FATAL boom\njava.lang.IllegalStateException: bad\n at a.b.C(D.java:1)\n at a.b.E(F.java:2)\n";
    let second = "2014 [main] FATAL second\nCaused by: x\n ... 12 more\n";
    dir.write("logs/java.log", format!("2014 INFO start\n{trace}2014 INFO going on\n{second}2014 INFO end\n"));
    let cases: [(&str, &str, &[&str]); 9] = [
        ("text", "type = 'TokenSplitter'", &["a|b|c\n", "d e f\n", "\n", "g\r\n"]),
        ("text", "type = 'TokenSplitter'\ndelimiter = '|'", &["a|", "b|"]),
        ("text", "type = 'TokenSplitter'\ncount = 2", &["a|b|c\nd e f\n", "\ng\r\n"]),
        (
            "text",
            "type = 'TokenSplitter'\ndeliver_incomplete_final = true",
            &["a|b|c\n", "d e f\n", "\n", "g\r\n", "last without end"],
        ),
        ("regex", "type = 'RegexSplitter'\ndelimiter = '(end ?)'", &["start one end ", "start two end "]),
        ("regex", "type = 'RegexSplitter'\ndelimiter = ' end ?'", &["start one", "start two"]),
        (
            "group",
            "type = 'PatternGroupingSplitter'\ngrouping = '^  '",
            &["2014 first\n", "  more\n  and more\n", "2015 second\n", "2016 third\n", "  tail\n", "2017 end\n"],
        ),
        (
            "group",
            "type = 'PatternGroupingSplitter'\ngrouping = '^  '\nmax_lines = 1",
            &["2014 first\n", "  more\n", "  and more\n", "2015 second\n", "2016 third\n", "  tail\n", "2017 end\n"],
        ),
        (
            "java",
            r"type = 'PatternGroupingSplitter'
            delimiter = '\n'
            grouping = '(\] FATAL )|(\A\s*.+Exception: .)|(at \S+\(\S+\))|(\A\s+... \d+ more)|(\A\s*Caused by:.)|(\A\s*Grave:)'",
            &["2014 INFO start\n", trace, "2014 INFO going on\n", second, "2014 INFO end\n"],
        ),
    ];
    for (file, splitter, expected) in cases {
        let input =
            format!("type = 'LogstreamerInput'\nlog_directory = 'logs'\nfile_match = '{file}\\.log'\nsplitter = 's'");
        dir.write("hekad.toml", format!("[in]\n{input}\n[s]\n{splitter}\n"));
        let ran = dir.sh("heka-tail --config hekad.toml:in");
        assert_eq!(payloads(&ran.stdout), expected, "{splitter}: {}", ran.stderr);
    }
    // The same without a hekad.toml.
    let heka = "heka-tail --splitter pattern-group --grouping '^  ' logs/group.log";
    assert_eq!(payloads(&dir.sh(heka).ok().stdout)[1], "  more\n  and more");
}

#[test]
fn more_files_are_followed_than_may_be_open() {
    let dir = Workdir::new();
    let names: Vec<String> = (0..1000).map(|number| format!("logs/x{number}.log")).collect();
    named_files(&dir, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let all = r"--logstream logs --match '(?P<Name>\w+)\.log' --differentiator Name";
    for (way, options) in [("pattern", "'logs/*.log'"), ("streams", all)] {
        let options = format!("--checkpoint {way} {options}");
        let script = format!("ulimit -n 128; heka-tail -f {options} 2>err | heka-cat --format payload > {way}.out");
        let mut pipe = dir.start(&script);
        let lines = || dir.read(&format!("{way}.out")).iter().filter(|&&byte| byte == b'\n').count();
        eventually("all are read", || lines() == 1000);
        // More comes into each, where one is renamed first and another replaced.
        dir.sh("mv logs/x5.log logs/x5.log.1; echo $((0)) > logs/x5.log; for i in $(seq 0 999); do echo more >> logs/x$i.log; done").ok();
        eventually("all of that is read", || lines() == 2001);
        a_while();
        assert_eq!((lines(), dir.read("err").len()), (2001, 0), "{way}");
        pipe.signal("-TERM");
        assert!(pipe.wait(Duration::from_secs(20)).success());
        // Nothing is open too long, and nothing comes again.
        let again = dir.sh(&format!("ulimit -n 128; heka-tail {options}"));
        assert_eq!(payloads(&again.ok().stdout).len(), 0, "{way}");
        dir.sh("rm logs/x5.log.1; for i in $(seq 0 999); do echo logs/x$i.log > logs/x$i.log; done").ok();
    }
    // A limit that leaves hardly anything.
    assert_eq!(payloads(&dir.sh(&format!("ulimit -n 40; heka-tail {all}")).ok().stdout).len(), 1000);
}
