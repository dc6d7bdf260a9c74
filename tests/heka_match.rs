//! heka-match, as a user runs it.

mod common;

use common::{Workdir, frames, payloads};
use heka::stream::{Hash, Signer};

fn numbered(dir: &Workdir) {
    dir.sh("seq 1 100 | heka-tail > n.hpb").ok();
}

#[test]
fn selected_frames_pass_byte_for_byte() {
    let dir = Workdir::new();
    numbered(&dir);
    let (all, _) = frames(&dir.read("n.hpb"));
    let ran = dir.sh("heka-match 'Payload =~ /^1/' n.hpb").ok();
    let (selected, _) = frames(&ran.stdout);
    assert_eq!(selected.len(), 12);
    assert!(selected.iter().all(|raw| all.contains(raw)));
    assert_eq!(frames(&dir.sh("heka-match TRUE < n.hpb").ok().stdout).0, all);
    assert_eq!(payloads(&dir.sh("cat n.hpb | heka-match -v 'Payload =~ /./' - n.hpb; true").ok().stdout), [""; 0]);
}

#[test]
fn options_and_exit_statuses_are_grep_s() {
    let dir = Workdir::new();
    numbered(&dir);
    assert_eq!(dir.sh("heka-match -c 'Payload =~ /9/' n.hpb").ok().text(), "19\n");
    assert_eq!(dir.sh("heka-match -c -v 'Payload =~ /9/' n.hpb").ok().text(), "81\n");
    assert_eq!(payloads(&dir.sh("heka-match -m 2 'Payload > \"5\"' n.hpb").ok().stdout), ["6", "7"]);
    let none = dir.sh("heka-match \"Type == 'x'\" n.hpb");
    assert_eq!((none.code(), none.stdout.len()), (1, 0));
    let quiet = dir.sh("heka-match -q \"Payload == '7'\" n.hpb missing").ok();
    assert!(quiet.stdout.is_empty());
    let missing = dir.sh("heka-match TRUE missing n.hpb");
    missing.fails(2, "heka-match: missing: No such file or directory");
    assert_eq!(payloads(&missing.stdout).len(), 100);
    dir.sh("heka-match 'Type = x' n.hpb").fails(2, "heka-match: Type = x: column 6: expected ==");
    dir.sh("heka-match").fails(2, "<EXPRESSION>");
}

#[test]
fn garbage_in_a_stream_is_skipped_and_said_once_per_gap() {
    let dir = Workdir::new();
    numbered(&dir);
    dir.sh("(cat n.hpb; echo garbage; cat n.hpb; head -c 3000 /dev/urandom; cat n.hpb; head -c 50 n.hpb) > bad.hpb")
        .ok();
    let ran = dir.sh("heka-match TRUE bad.hpb");
    assert_eq!(payloads(&ran.stdout).len(), 300);
    assert_eq!(ran.code(), 0);
    assert!(ran.stderr.starts_with("heka-match: bad.hpb: skipped 8 bytes at offset "), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("are incomplete\n") && ran.stderr.lines().count() == 3, "{}", ran.stderr);
    // A stream of gaps doesn't flood the terminal.
    dir.sh("for i in $(seq 20); do head -c 300 n.hpb; done > holes.hpb").ok();
    let ran = dir.sh("heka-match -c TRUE holes.hpb");
    assert_eq!(ran.stderr.lines().count(), 11, "{}", ran.stderr);
    assert!(ran.stderr.ends_with(" more\n"), "{}", ran.stderr);
    let cut = dir.sh("head -c 5000 n.hpb | heka-match TRUE");
    cut.fails(0, "standard input: the input ends inside a record");
    let small = dir.sh("heka-match --max-message-size 10 TRUE n.hpb");
    assert!(small.stderr.contains("over --max-message-size"), "{}", small.stderr);
    assert_eq!(small.code(), 1);
}

#[test]
fn only_a_verified_signer_counts() {
    let dir = Workdir::new();
    let signer = |key: &str| Signer { name: "ops".into(), key_version: 1, hash: Hash::Sha1, key: key.into() };
    numbered(&dir);
    let (all, _) = frames(&dir.read("n.hpb"));
    let mut stream = all[0].clone();
    let message = heka::stream::Frame::parse(&all[1]).unwrap().message().to_vec();
    signer("right").put_frame(&mut stream, &message);
    signer("wrong").put_frame(&mut stream, &message);
    dir.write("signed.hpb", &stream);
    dir.write("keys.toml", "ops_1 = \"right\"\n");
    let ran = dir.sh("heka-match --signer ops --keys keys.toml TRUE signed.hpb");
    let (found, _) = frames(&ran.stdout);
    assert_eq!(found.len(), 1);
    assert!(stream.windows(found[0].len()).any(|window| window == found[0]));
    assert!(ran.stderr.contains("1 messages left out"), "{}", ran.stderr);
    dir.write("broken.toml", "a = 1\nops_1 =\n");
    dir.sh("heka-match --signer ops --keys broken.toml TRUE signed.hpb").fails(2, "broken.toml:2: ");
}

#[test]
fn what_is_probably_wrong_is_said() {
    let dir = Workdir::new();
    dir.sh("for n in 200 404; do heka-inject --field status:integer=$n; done > n.hpb").ok();
    let none = dir.sh("heka-match -c \"Fields[status] == '404'\" n.hpb");
    assert_eq!((none.code(), none.text()), (1, "0\n"));
    none.says(&["Fields[status] is a number: compare it with 404, without quotes"]);
    assert_eq!(dir.sh("heka-match -c \"Fields[status] == 404 || Fields[status] == '1'\" n.hpb").ok().text(), "1\n");
    dir.sh("heka-match 'Payload =~ /post/i' n.hpb").fails(2, "stands in it: /(?i)");
    // Of a long expression the place is quoted.
    let long = format!("Type == '{}' && Foo == 1 && Type == '{}'", "x".repeat(50_000), "y".repeat(3000));
    let ran = dir.sh(&format!("heka-match \"{long}\" n.hpb"));
    assert!(ran.stderr.len() < 300 && ran.stderr.contains("x' && Foo == 1 && Type == 'y"), "{}", ran.stderr);
    ran.says(&["column 50015: unknown variable \"Foo\""]);
}
