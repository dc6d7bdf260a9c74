//! heka-inject, heka-sbmgr and heka-sbmgrload: what they make, and what a listener that checks signatures takes of it.

#[path = "../common/mod.rs"]
mod common;
mod manage;
mod tutorial;

use std::time::Duration;

use common::{Background, Workdir, eventually, field, frames, messages};
use heka::message::schema::Message;
use heka::stream::Frame;
use tutorial::{KEY, LOAD, UNLOAD, sbmgr, tutorial};

fn listen(dir: &Workdir, options: &str) -> (Background, u16) {
    let mut server =
        dir.start(&format!("exec heka-listen --address 127.0.0.1 --heka {options} --signers hekad.toml --stats > out"));
    let line = server.stderr_line();
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
    (server, port.unwrap_or_else(|| panic!("no port in {line:?}")))
}

fn text(bytes: &Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.clone().unwrap_or_default()).unwrap()
}

fn check_load(dir: &Workdir, message: &Message) {
    assert_eq!((text(&message.r#type).as_str(), text(&message.logger).as_str()), ("heka.control.sandbox", "hekad"));
    assert_eq!(message.payload, Some(dir.read("example.lua")));
    let config = String::from_utf8(dir.read("example.toml")).unwrap();
    assert_eq!(field(message, "config"), Some(config + " toml"));
    assert_eq!(field(message, "action").as_deref(), Some("load"));
    assert_eq!((message.severity, message.pid, &message.env_version), (None, None, &None));
    let age = heka::message::now_ns() - message.timestamp;
    assert!((0..5_000_000_000).contains(&age));
}

#[test]
fn a_manager_s_messages_come_signed_with_either_key() {
    let dir = tutorial();
    let (server, port) = listen(&dir, "--tcp 0 --require-signer PlatformDevs");
    sbmgr(&dir, port, 1, KEY, "");
    dir.sh(LOAD).ok();
    dir.sh(UNLOAD).ok();
    // The older key, from the environment and from a file.
    sbmgr(&dir, port, 0, "", "");
    dir.write("key", "Old Platform devs signing key\n");
    dir.sh(&format!("HEKA_SIGNER_KEY='Old Platform devs signing key' {UNLOAD}")).ok();
    dir.sh(&format!("{UNLOAD} --key-file key")).ok();
    dir.sh(UNLOAD).fails(2, "HEKA_SIGNER_KEY");
    // A wrong one, one of a version that is not there, and none: they are refused.
    sbmgr(&dir, port, 1, "hmac_key = \"guess\"", "");
    dir.sh(UNLOAD).ok();
    sbmgr(&dir, port, 2, KEY, "");
    dir.sh(UNLOAD).ok();
    dir.write("PlatformDevs.toml", format!("ip_address = '127.0.0.1:{port}'\n"));
    dir.sh(UNLOAD).ok();
    server.signal("-TERM");
    let mut server = server;
    assert!(server.wait(Duration::from_secs(10)).success());
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut server.child.stderr.take().unwrap(), &mut rest).unwrap();
    assert!(rest.contains("\"heka_refused\":3"), "{rest}");
    let found = messages(&dir.read("out"));
    assert_eq!(found.len(), 4);
    check_load(&dir, &found[0]);
    for message in &found[1..] {
        assert_eq!(field(message, "name").as_deref(), Some("Example"));
        assert_eq!(field(message, "action").as_deref(), Some("unload"));
        assert_eq!(message.payload, None);
    }
    let (raw, _) = frames(&dir.read("out"));
    assert_eq!(Frame::parse(&raw[0]).unwrap().header().signer, Some(&b"PlatformDevs"[..]));
    // The filter that was loaded is one: it counts.
    let script = "heka-inject --type Widget | heka-sandbox --lua example.lua | heka-cat --format payload";
    assert!(dir.sh(script).ok().text().contains("\"name\":\"Messages\""));
}

#[test]
fn tls_with_certificates_on_both_sides() {
    let dir = tutorial();
    if !dir.certificates() {
        return;
    }
    let (_server, port) = listen(&dir, "--tls 0 --cert cert.pem --key key.pem --client-ca ca.pem");
    let own = "cert_file = 'cert.pem'\nkey_file = 'key.pem'";
    let settings = |tls: &str| {
        sbmgr(&dir, port, 1, KEY, "use_tls = true");
        dir.append("PlatformDevs.toml", format!("[tls]\n{tls}\n"));
    };
    settings(&format!("root_cafile = 'ca.pem'\n{own}"));
    dir.sh(LOAD).ok();
    settings(&format!("root_cafile = 'ca.pem'\nserver_name = 'localhost'\nmax_version = 'TLS12'\n{own}"));
    dir.sh(LOAD).ok();
    settings(&format!("insecure_skip_verify = true\nmin_version = 'TLS11'\n{own}"));
    let ran = dir.sh(LOAD);
    assert!(ran.status.success());
    ran.fails_with(&["min_version is raised to TLS12", "whoever answers is believed"]);
    eventually("all have come", || messages(&dir.read("out")).len() == 3);
    messages(&dir.read("out")).iter().for_each(|message| check_load(&dir, message));
    for (tls, code, words) in [
        (own.to_string(), 3, "certificate"),
        (format!("root_cafile = 'ca.pem'\nserver_name = 'other'\n{own}"), 3, "certificate"),
        ("root_cafile = 'ca.pem'".into(), 3, "ertificate"),
        ("root_cafile = 'none.pem'".into(), 2, "none.pem"),
        ("max_version = 'TLS11'".into(), 2, "TLS12 is the oldest"),
        ("min_version = 'TLS9'".into(), 2, "is none of"),
        ("ciphers = ['NONE']".into(), 2, "invalid cipher \"NONE\""),
    ] {
        settings(&tls);
        dir.sh(LOAD).fails(code, words);
    }
    assert_eq!(messages(&dir.read("out")).len(), 3);
}

#[test]
fn sbmgrload_makes_as_many_filters_as_it_is_asked_for() {
    let dir = tutorial();
    let (_server, port) = listen(&dir, "--tcp 0");
    sbmgr(&dir, port, 1, KEY, "");
    dir.sh("heka-sbmgrload -config=PlatformDevs.toml -num=1000").ok();
    dir.sh("heka-sbmgrload -config=PlatformDevs.toml -num 1000 -action unload").ok();
    eventually("all have come", || messages(&dir.read("out")).len() == 2000);
    let found = messages(&dir.read("out"));
    for (number, message) in found.iter().enumerate() {
        let name = format!("CounterSandbox{}", number % 1000);
        match number < 1000 {
            true => assert!(field(message, "config").unwrap().starts_with(&format!("[{name}]\n"))),
            false => assert_eq!(field(message, "name"), Some(name)),
        }
    }
    // The filter itself: a second of ten messages each, by the messages' clock.
    dir.write("counter.lua", text(&found[0].payload));
    let inject: String = (0..12)
        .flat_map(|second| (0..10).map(move |_| second))
        .map(|second| format!("heka-inject --type hekabench --timestamp {}\n", 1_700_000_000 + second))
        .collect();
    dir.write("inject.sh", inject);
    let run = "sh inject.sh | heka-sandbox --lua counter.lua --ticker 1 --clock message | heka-cat --format payload";
    let said = dir.sh(run).ok().text().to_string();
    assert!(said.contains("Got 10 messages. 10.00 msg/sec"), "{said}");
    assert!(said.contains("AGG Sum. Min: 10.00 Max: 10.00 Mean: 10.00"), "{said}");
}

#[test]
fn inject_makes_what_its_arguments_say() {
    let dir = Workdir::new();
    let made = |arguments: &str| messages(&dir.sh(&format!("heka-inject {arguments}")).ok().stdout).remove(0);
    let message = made("");
    let own = String::from_utf8(heka::pipeline::hostname()).unwrap();
    let headers = (text(&message.r#type), text(&message.logger), text(&message.hostname), message.severity);
    assert_eq!(headers, ("inject.message".into(), "Inject Client".into(), own, Some(7)));
    assert!(message.pid.is_some() && message.payload == Some(Vec::new()));
    // One dash or two.
    let message = made(
        "-type=t -logger l -severity=crit -payload 'p \u{e9}' -pid=-2 -hostname h --env-version 1.2 --timestamp 1.5 \
         --field a:integer:B=82 --field b=x=y --field a:integer:B=-1 --field a:double=1.5 --field d:bytes=AP8= \
         --field e:bool=true --field f:g=1 --field h:string:date-time=now",
    );
    let headers = (text(&message.r#type), text(&message.logger), text(&message.hostname), message.severity);
    assert_eq!(headers, ("t".into(), "l".into(), "h".into(), Some(2)));
    assert_eq!((message.pid, message.timestamp, text(&message.env_version)), (Some(-2), 1_500_000_000, "1.2".into()));
    assert_eq!(text(&message.payload), "p \u{e9}");
    assert_eq!(message.fields.len(), 7);
    assert_eq!(field(&message, "a").as_deref(), Some("int 82,int -1 B"));
    assert_eq!(message.fields[2].value_double, [1.5]);
    assert_eq!(message.fields[3].value_bytes, [[0, 255]]);
    let rest = ["b", "e", "f:g", "h"].map(|name| field(&message, name).unwrap());
    assert_eq!(rest, ["x=y", "true", "1", "now date-time"]);
    let piped = dir.sh("printf 'from a pipe' | heka-inject --payload - --timestamp 2026-11-21T06:00:00Z").ok().stdout;
    assert_eq!(text(&messages(&piped)[0].payload), "from a pipe");
    assert_eq!(messages(&piped)[0].timestamp, 1_795_240_800_000_000_000);
    dir.write("bad.toml", "ip_adress = 'x'\n");
    dir.write("sign.toml", "[signer]\nname = 'x'\nhmac_hash = 'sha256'\nhmac_key = 'k'\n");
    dir.write("nowhere.toml", "[signer]\nname = 'x'\nhmac_key = 'k'\n");
    for (arguments, code, words) in [
        ("--field x", 2, "expected NAME=VALUE"),
        ("--field x:integer=a", 2, "\"a\" is no value of type integer"),
        ("--severity 8", 2, "expected 0 to 7"),
        ("--timestamp noon", 2, "expected a time"),
        ("--config bad.toml", 2, "unknown setting ip_adress"),
        ("--config sign.toml", 2, "neither md5 nor sha1"),
        ("--config nowhere.toml --send", 2, "no ip_address"),
        ("--config missing.toml", 2, "missing.toml"),
        ("--address 127.0.0.1:1", 3, "Connection refused"),
    ] {
        dir.sh(&format!("heka-inject {arguments} | cat")).fails(code, words);
    }
}
