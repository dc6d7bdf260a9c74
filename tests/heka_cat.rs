//! heka-cat, as a user runs it.

mod common;

use std::io::BufRead;
use std::time::Duration;

use common::{Workdir, eventually, messages, payloads};

#[test]
fn text_is_heka_s_own_layout() {
    let dir = Workdir::new();
    // Worked example of the wire format: every header, every field type.
    let hex = "1e0308b4011f0a10a0a1a2a3a4a54ba788a9aaabacadaeaf10959a97ece39fe7cb171a0864656d6f2e616c6c2204737065632804\
        320970c3a9206c696e650a3a03312e3240feffffffffffffffff014a02683152060a017322016152110a0273731000\
        1a046c69737422017822005209\
        0a016210012a0200ff52170a016910021a0142320d00ffffffffffffffffff01ac02521b0a016410031a026d733a10000000000000f83f\
        000000000000008052090a017410044202 0100";
    let hex: String = hex.split_whitespace().collect();
    dir.sh(&format!("echo {hex} | xxd -r -p > b.hpb")).ok();
    let expected = "
:Timestamp: 2023-11-14 22:13:20.123456789 +0000 UTC
:Type: demo.all
:Hostname: h1
:Pid: -2
:Uuid: a0a1a2a3-a4a5-4ba7-88a9-aaabacadaeaf
:Logger: spec
:Payload: pé line

:EnvVersion: 1.2
:Severity: 4
:Fields:
    | name:\"s\" type:string value:\"a\"
    | name:\"ss\" type:string value:[\"x\",\"\"] representation:\"list\"
    | name:\"b\" type:bytes value:AP8=
    | name:\"i\" type:integer value:[0,-1,300] representation:\"B\"
    | name:\"d\" type:double value:[1.5,-0] representation:\"ms\"
    | name:\"t\" type:bool value:[true,false]

";
    assert_eq!(dir.sh("heka-cat b.hpb").ok().text(), expected);
    assert!(dir.sh("heka-cat --color always b.hpb").ok().text().contains("\x1b[36m:Type:\x1b[0m demo.all"));
    let json = dir.sh("heka-cat --format json b.hpb").ok();
    assert!(json.text().contains("\"value_integer\":[0,-1,300]"), "{}", json.text());
    dir.sh("heka-cat --format json b.hpb | heka-cat --from-json | cmp - b.hpb").ok();
}

#[test]
fn a_stream_of_hindsight_s_survives_json_byte_for_byte() {
    let dir = Workdir::new();
    assert_eq!(dir.sh("heka-cat -c $DATA/hindsight_nginx_1000.hpb").ok().text(), "1000\n");
    dir.sh("heka-cat --format json $DATA/hindsight_nginx_1000.hpb | heka-cat --from-json | cmp - $DATA/hindsight_nginx_1000.hpb")
        .ok();
    dir.sh("heka-tail $DATA/nginx_1000.log > t.hpb; heka-cat --format json t.hpb | heka-cat --from-json | cmp - t.hpb")
        .ok();
    dir.sh("heka-cat --format heka t.hpb | cmp - t.hpb").ok();
    dir.sh("heka-cat --format payload t.hpb | cmp - $DATA/nginx_1000.log").ok();
}

#[test]
fn json_lines_that_are_no_message_are_said() {
    let dir = Workdir::new();
    dir.write("in.json", "{\"payload\":\"made by hand\",\"fields\":[{\"name\":\"n\",\"value_double\":[1.5]}]}\n\nnonsense\n{\"pid\":\"x\"}\n");
    let ran = dir.sh("heka-cat --from-json in.json");
    assert_eq!(payloads(&ran.stdout), ["made by hand"]);
    assert_eq!(messages(&ran.stdout)[0].fields[0].value_double, [1.5]);
    assert!(ran.stderr.starts_with("heka-cat: in.json: line 3: expected"), "{}", ran.stderr);
    assert_eq!(ran.code(), 1);
}

#[test]
fn last_ones_matches_and_offsets() {
    let dir = Workdir::new();
    dir.sh("seq 1 50 | heka-tail > n.hpb").ok();
    let cat = |options: &str| dir.sh(&format!("heka-cat --format payload {options} n.hpb")).ok().text().to_string();
    assert_eq!(cat("-n 2"), "49\n50\n");
    assert_eq!(cat("-n 0"), "");
    assert_eq!(cat("--match 'Payload =~ /7$/' -n 3"), "27\n37\n47\n");
    let size = dir.read("n.hpb").len();
    assert_eq!(cat(&format!("--offset {}", size - 1 - common::frames(&dir.read("n.hpb")).0[49].len() + 1)), "50\n");
    assert_eq!(dir.sh("cat n.hpb | heka-cat -n 1 --format payload").ok().text(), "50\n");
    dir.sh("heka-cat --match 'Severity >' n.hpb").fails(2, "--match Severity >: column 11: expected a number");
    let mut cat = dir.start("heka-cat -f -n 1 --format payload n.hpb");
    let mut lines = cat.stdout();
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "50\n");
    let more = dir.sh("echo 51 | heka-tail").ok().stdout;
    dir.append("n.hpb", &more[..20]);
    std::thread::sleep(Duration::from_millis(50));
    dir.append("n.hpb", &more[20..]);
    line.clear();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "51\n");
}

#[test]
fn a_checkpoint_holds_what_was_written() {
    let dir = Workdir::new();
    dir.write("app.log", "1\n2\n");
    let pipe = "heka-tail --checkpoint ck --commit sink app.log | heka-cat --checkpoint ck --format payload";
    assert_eq!(dir.sh(pipe).ok().text(), "1\n2\n");
    assert_eq!(dir.sh(pipe).ok().text(), "");
    dir.append("app.log", "3\n");
    assert_eq!(dir.sh(pipe).ok().text(), "3\n");
    // Two sinks: the source resumes at the oldest.
    let tee = "heka-tail --checkpoint ck --checkpoint other --commit sink app.log | heka-cat --format payload";
    assert_eq!(dir.sh(tee).ok().text(), "1\n2\n3\n");
}

/// Text, streams, and what is compressed are told apart by their first bytes.
#[test]
fn what_is_no_stream_is_named() {
    let dir = Workdir::new();
    dir.write("app.log", "one\ntwo\n");
    dir.sh("gzip -k app.log; heka-tail app.log > c.hpb").ok();
    for program in ["gzip", "zstd", "bzip2", "xz"] {
        dir.sh(&format!("{program} -c c.hpb > c.hpb.{program}")).ok();
        assert_eq!(dir.sh(&format!("heka-cat -c c.hpb.{program} c.hpb")).ok().text(), "4\n", "{program}");
    }
    let text = "it is text, no stream of Heka messages: heka-tail makes one of it";
    for command in [
        "heka-cat app.log",
        "heka-cat app.log.gz",
        "heka-cat < app.log",
        "heka-match TRUE app.log",
        "heka-decode --lua json app.log",
        "heka-sandbox --lua unique_items --config message_variable=Payload app.log",
        "echo t > t; heka-hec --url http://127.0.0.1:1 --token-file t app.log",
    ] {
        dir.sh(command).fails(2, text);
    }
    let piped = dir.sh("cat app.log | heka-cat");
    piped.says(&[text]);
    assert_eq!(piped.code(), 2);
    dir.sh("heka-cat < c.hpb.gzip").fails(2, "it is compressed: name it as a FILE");
    // What comes before a stream's first record is passed over.
    assert_eq!(dir.sh("(echo Welcome; cat c.hpb) | heka-cat -c 2> /dev/null").text(), "2\n");
    assert_eq!(dir.sh("heka-cat -c < /dev/null").text(), "0\n");
    // The other way round.
    let stream = "it is a stream of Heka messages, no log: heka-cat reads it, or --splitter heka";
    dir.sh("heka-tail c.hpb").fails(2, stream);
    dir.sh("heka-tail app.log c.hpb.zstd").fails(2, stream);
    assert_eq!(dir.sh("heka-tail --splitter heka c.hpb | heka-cat -c").ok().text(), "2\n");
}

/// jq reads numbers as doubles.
#[test]
fn a_stream_that_jq_rounded_comes_back_as_it_was() {
    let dir = Workdir::new();
    dir.write("in.log", b"one\ntwo\n\xff\n");
    dir.sh("heka-tail in.log > a.hpb").ok();
    let big =
        "--field big:integer=1234567890123456789 --field small:integer=7 --field neg:integer=-9223372036854775808";
    dir.sh(&format!("heka-inject --timestamp 2024-05-06T07:08:09.123456789Z {big} >> a.hpb")).ok();
    // What the oldest of them prints, by the help's own example.
    dir.sh("heka-cat --format json a.hpb | jq -c . | heka-cat --from-json | cmp - a.hpb").ok();
    let rounded = "sed -E 's/\"timestamp\":([0-9]{17})[0-9]{2}/\"timestamp\":\\100/'";
    dir.sh(&format!("heka-cat --format json a.hpb | {rounded} | heka-cat --from-json | cmp - a.hpb")).ok();
    let shown = dir.sh("tail -c 200 a.hpb | heka-cat --format json 2> /dev/null").text().to_string();
    assert!(shown.contains("\"time\":\"2024-05-06T07:08:09.123456789Z\""), "{shown}");
    assert!(shown.contains("[\"1234567890123456789\"]") && shown.contains("[7]"), "{shown}");
    // An edited time counts, in either key.
    let edited = |script: &str| {
        let command = format!(
            "tail -c 200 a.hpb | heka-cat --format json 2> /dev/null | jq -c '{script}' | heka-cat --from-json"
        );
        messages(&dir.sh(&command).ok().stdout)[0].timestamp
    };
    assert_eq!(edited(".timestamp = 5"), 5);
    assert_eq!(edited("del(.timestamp) | .time = \"1970-01-01T00:00:01Z\""), 1_000_000_000);
    dir.sh("echo '{\"time\":\"soon\"}' | heka-cat --from-json > /dev/null")
        .says(&["time: expected a time as RFC 3339"]);
}

#[test]
fn a_followed_file_that_is_renamed_is_said() {
    let dir = Workdir::new();
    dir.sh("heka-inject --payload first > day.hpb").ok();
    let mut followed = dir.start("heka-cat -f --format payload day.hpb > out");
    eventually("the first", || dir.read("out") == b"first\n");
    dir.sh("mv day.hpb old.hpb; heka-inject --payload last >> old.hpb; heka-inject --payload other > day.hpb").ok();
    assert!(followed.stderr_line().contains("day.hpb: the file was renamed or removed, and is still read"));
    eventually("the last", || dir.read("out") == b"first\nlast\n");
}
