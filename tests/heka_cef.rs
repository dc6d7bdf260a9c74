//! heka-cef, as a user runs it.

mod common;

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use common::{Workdir, eventually, field, free_port, have, messages};

const DEVICE: &str = "--vendor mozilla --product weave --device-version 3 --date 'Sep 03 02:05:09' --host h1";

fn text(dir: &Workdir, command: &str) -> String {
    let ran = dir.sh(&format!("{command} | heka-cat --format payload")).ok();
    ran.text().trim_end_matches('\n').to_string()
}

#[test]
fn a_record_becomes_a_message_of_the_client_s_layout() {
    let dir = Workdir::new();
    let environ = r#"{"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1", "PATH_INFO": "/", "REQUEST_METHOD": "GET",
        "HTTP_USER_AGENT": "MySuperBrowser"}"#;
    dir.write("env.json", environ);
    let ran = dir
        .sh(&format!("heka-cef 'Authentication attempted without username' --severity 5 --signature AUTH_FAILURE {DEVICE} --environ env.json"))
        .ok();
    let [message] = &messages(&ran.stdout)[..] else { panic!() };
    let own = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    assert_eq!(
        own(&message.payload),
        "Sep 03 02:05:09 h1 CEF:0|mozilla|weave|3|AuthFail|Authentication attempted without username|5|cs1Label=requestClientApplication cs1=MySuperBrowser requestMethod=GET request=/ src=127.0.0.1 dhost=127.0.0.1 suser=none"
    );
    assert_eq!((own(&message.r#type), own(&message.logger)), ("cef".into(), String::new()));
    assert_eq!((message.severity, own(&message.env_version)), (Some(6), "0.8".into()));
    let names: Vec<_> = message.fields.iter().map(|field| String::from_utf8(field.name.clone()).unwrap()).collect();
    assert_eq!(names, ["cef_meta.syslog_priority", "cef_meta.syslog_ident", "cef_meta.syslog_facility"]);
    assert_eq!(field(message, "cef_meta.syslog_facility").as_deref(), Some("LOCAL4"));
    // The same from standard input, and by the command's name.
    let again = text(&dir, &format!("heka-cef log n {DEVICE} --environ - < env.json"));
    assert!(again.contains("|n|n|5|cs1Label=requestClientApplication cs1=MySuperBrowser"), "{again}");
    let cgi = text(&dir, &format!("REMOTE_ADDR=10.1.2.3 REQUEST_METHOD=POST env | heka-cef n {DEVICE} --environ -"));
    assert!(cgi.contains(" requestMethod=POST request= src=10.1.2.3 "), "{cgi}");
    // Without a date it is now, without a host this machine.
    let now = text(&dir, "heka-cef n --vendor v --product p --device-version 1");
    let host = String::from_utf8(heka::pipeline::hostname()).unwrap();
    assert!(now.contains(&format!(" {host} CEF:0|v|p|1|n|n|5|")), "{now}");
    assert_eq!(now.as_bytes()[3], b' ');
}

#[test]
fn an_ini_file_says_who_reports_and_what_syslog_is_told() {
    let dir = Workdir::new();
    dir.write(
        "cef.ini",
        "[heka]\nlogger = x\n\n[heka_plugin_cef]\nprovider=heka_cef.cef_plugin:config_plugin\nsyslog_facility=KERN\nsyslog_ident=my_funny_app\nsyslog_priority=EMERG\n
         # who reports\ncef.version = 0\ncef.vendor = mozilla\ncef.device_version = 3\ncef.product = weave\n",
    );
    let ran = dir.sh("heka-cef n --config cef.ini --product other --syslog-priority ERR").ok();
    let message = &messages(&ran.stdout)[0];
    assert!(String::from_utf8_lossy(message.payload.as_ref().unwrap()).contains("CEF:0|mozilla|other|3|n|n|5|"));
    let meta = |name: &str| field(message, &format!("cef_meta.syslog_{name}")).unwrap();
    assert_eq!(
        (meta("facility"), meta("ident"), meta("priority")),
        ("KERN".into(), "my_funny_app".into(), "ERR".into())
    );
    dir.write("wrong.ini", "[heka_plugin_cef]\nsyslog_level=1\n");
    dir.sh("heka-cef n --config wrong.ini").fails(2, "wrong.ini:2: Unexpected arguments: [syslog_level]");
    dir.sh("heka-cef n --config cef.ini --syslog-facility local4").fails(2, "Facility should be one of: KERN USER");
    dir.sh("heka-cef n --config cef.ini --syslog-priority LOUD").fails(2, "Priority should be one of: EMERG");
    dir.sh("heka-cef n --vendor v --product p").fails(2, "--device-version is missing");
    dir.sh("heka-cef n --config cef.ini --severity 11").fails(2, "severity \"11\"");
    dir.sh("heka-cef n --config cef.ini --ext x").fails(2, "--ext x: expected KEY=VALUE");
    dir.write("env.json", "[1]");
    dir.sh("heka-cef n --config cef.ini --environ env.json").fails(2, "env.json: no JSON object");
    dir.sh("heka-cef").fails(2, "what happened is missing");
    // What the library writes and no reader understands, when it is asked for.
    let compat =
        text(&dir, &format!("heka-cef 'a=b|c' {DEVICE} --compat --severity 11 --username 'u=v' --ext 'k=x=y'"));
    assert!(compat.contains(r"|a=b\|c|a=b\|c|11|") && compat.ends_with(r"suser=u=v k=x\=y"), "{compat}");
    let ran = dir.sh(&format!("heka-cef n {DEVICE} --max-length 200 --ext a=1 --ext b={}", "x".repeat(200)));
    ran.fails_with(&["the record would be too long; left out: b"]);
}

#[test]
fn keys_that_every_record_has_may_be_given() {
    let dir = Workdir::new();
    let run = |options: &str| text(&dir, &format!("heka-cef n {DEVICE} {options}"));
    let own =
        run("--ext src=10.0.0.1 --ext request=/login --ext cs1Label=app --ext cs1=x --ext suser=me --ext dhost=d");
    assert!(own.ends_with("|cs1Label=app cs1=x requestMethod= request=/login src=10.0.0.1 dhost=d suser=me"), "{own}");
    // Mozilla's library has other names for them, and drops these.
    let compat = run("--compat --ext src=10.0.0.1 --ext source=10.0.0.2");
    assert!(compat.contains(" src=10.0.0.2 ") && !compat.contains("10.0.0.1"), "{compat}");
}

#[test]
fn records_become_fields_and_records_again() {
    let dir = Workdir::new();
    let lines = [
        r"Sep 19 08:26:10 host CEF:0|security|threat\|manager|1.0|100|detected a \\ in packet|10|src=10.0.0.1 act=blocked a \= dst=1.1.1.1",
        r"CEF:1|v|p|1|s|n|High|msg=a b c  cs1Label=Rule Name cs1=x=y z a=1 b=2 a=3 ",
        "CEF:0|v|p|1|s|n|3|noequals here k=v",
        "CEF:0|v|p|1|s|n|3",
        "CEF: 0|v|p|1|s|n|3|dst=1.1.1.1 ",
    ];
    dir.write("cef.log", lines.join("\n") + "\nhello\nCEF:0|v|p|1|s|n\n");
    let ran = dir.sh("heka-tail cef.log | heka-cef parse");
    ran.fails_with(&["a payload is no CEF: no CEF: in it", "payloads that are no CEF: 1 more"]);
    let found = messages(&ran.stdout);
    let first = |name| field(&found[0], name).unwrap();
    assert_eq!(first("cef.prefix"), "Sep 19 08:26:10 host ");
    assert_eq!((first("cef.version"), first("cef.device_product")), ("int 0".into(), "threat|manager".into()));
    assert_eq!((first("cef.name"), first("cef.severity")), (r"detected a \ in packet".into(), "10".into()));
    assert_eq!((first("src"), first("act"), first("dst")), ("10.0.0.1".into(), "blocked a =".into(), "1.1.1.1".into()));
    let second = |name| field(&found[1], name);
    assert_eq!((second("a"), second("cs1"), second("Rule Name")), (Some("1,3".into()), Some("x=y z".into()), None));
    assert_eq!(field(&found[2], "cef.extra").as_deref(), Some("noequals here "));
    assert_eq!(field(&found[4], "cef.version").as_deref(), Some("int 0"));
    assert_eq!(field(&found[4], "dst").as_deref(), Some("1.1.1.1"));
    assert_eq!(field(&found[5], "cef_error").as_deref(), Some("no CEF: in it"));
    assert_eq!(found[5].payload.as_deref(), Some(&b"hello"[..]));
    assert_eq!(field(&found[6], "cef_error").as_deref(), Some("the header has 5 separators, six at least are needed"));
    // Nothing changed: the same bytes, what is no record too.
    let back = dir.sh("heka-tail cef.log | heka-cef parse 2>/dev/null | heka-match 'Fields[cef_error] == NIL' | heka-cef format | heka-cat --format payload");
    assert_eq!(back.ok().text(), lines.join("\n") + "\n");
    let whole = "heka-tail cef.log | heka-cef parse 2>/dev/null | heka-match 'Fields[cef_error] == NIL' > read.hpb; heka-cef format < read.hpb";
    assert_eq!(dir.sh(&format!("{whole} | cmp - read.hpb")).ok().text(), "");
    assert_eq!(
        dir.sh(&format!("{} | cmp - read.hpb", whole.replace("parse", "parse --typed --severity"))).ok().text(),
        ""
    );
    // Nor is a record that came without fields.
    let made = format!("heka-cef n {DEVICE} > made.hpb; heka-cef format < made.hpb | cmp - made.hpb");
    assert_eq!(dir.sh(&made).ok().text(), "");
    // A field that was changed is in the new record, and nothing else is.
    let changed = text(
        &dir,
        r#"head -n 1 cef.log | heka-tail | heka-cef parse | heka-cat --format json | sed 's/10\.0\.0\.1/10.0.0.2/2' | heka-cat --from-json | heka-cef format"#,
    );
    assert_eq!(changed, lines[0].replace("10.0.0.1", "10.0.0.2"));
    // By labels, with syslog's severity, and a status for scripts.
    let ran = dir.sh("sed -n 2p cef.log | heka-tail | heka-cef parse --labels --severity").ok();
    let message = &messages(&ran.stdout)[0];
    assert_eq!((field(message, "Rule Name").as_deref(), field(message, "cs1Label")), (Some("x=y z"), None));
    assert_eq!(message.severity, Some(3));
    let strict = dir.sh("heka-tail cef.log | heka-cef parse --strict > /dev/null");
    assert_eq!(strict.status.code(), Some(1));
}

#[test]
fn decoded_messages_become_records() {
    let dir = Workdir::new();
    dir.write(
        "in.json",
        r#"{"type":"auth","timestamp":1378173909000000000,"hostname":"web1","severity":3,"uuid":"nB2YZmGsSbqirN+hGJ39Jw==","fields":[{"name":"user","value_string":["a=b"]},{"name":"tries","value_type":2,"value_integer":[3]},{"name":"no key","value_string":["x"]}]}"#,
    );
    let decoded = "heka-cat --from-json in.json";
    let ran = dir.sh(&format!(
        "{decoded} | TZ=UTC heka-cef format --vendor v --product p --device-version 1 | heka-cat --format payload"
    ));
    assert_eq!(ran.text(), "Sep 03 02:05:09 web1 CEF:0|v|p|1|auth|auth|7|user=a\\=b tries=3\n");
    ran.fails_with(&["a field was left out: its name can't be a key"]);
    let mapped = text(
        &dir,
        &format!(
            "{decoded} | TZ=UTC heka-cef format --vendor v --product p --device-version 1 --map suser=Fields[user] --map rt=Timestamp --map dvchost=Hostname"
        ),
    );
    assert_eq!(mapped, "Sep 03 02:05:09 web1 CEF:0|v|p|1|auth|auth|7|suser=a\\=b rt=1378173909000 dvchost=web1");
    // Without a word about the device it is Heka's; a message that has no type makes no record.
    let usual = text(&dir, &format!("{decoded} | TZ=UTC heka-cef --from-fields 2>/dev/null"));
    assert_eq!(usual, "Sep 03 02:05:09 web1 CEF:0|Mozilla|Heka|1|auth|auth|7|user=a\\=b tries=3");
    let untyped = decoded.replace("in.json", "<(sed 's/\"type\":\"auth\",//' in.json)");
    let ran = dir.sh(&format!("{untyped} | heka-cef format --strict > out"));
    ran.fails(1, "a message makes no record: the name is missing");
    assert_eq!(field(&messages(&dir.read("out"))[0], "cef_error").as_deref(), Some("the name is missing"));
    // CEF's own keys only, with values of their types.
    for (map, words) in [
        ("user=Fields[user]", "user is no key of CEF's"),
        ("spt=Fields[user]", "spt: expected a whole number from 0 to 65535"),
    ] {
        dir.sh(&format!("{decoded} | heka-cef format --strict --map {map} > out")).fails(1, words);
    }
    dir.sh(&format!("{decoded} | heka-cef format --strict --map suser=Fields[user] --map cnt=Fields[tries] > out"))
        .ok();
    let typed =
        "printf 'CEF:0|v|p|1|s|n|3|spt=80 rt=Sep 03 2013 02:05:09 cfp1=1.5 cnt=x' | heka-tail | heka-cef parse --typed";
    let message = &messages(&dir.sh(typed).ok().stdout)[0];
    let found = ["spt", "rt", "cfp1", "cnt"].map(|name| field(message, name).unwrap());
    assert_eq!(found, ["int 80", "int 1378173909000", "1.5", "x"]);
    dir.sh("heka-cef format --map x=y < in.json").fails(2, "--map: \"y\" is no variable");
}

/// rsyslog listens by every transport; what it receives goes into out.log, a line each: facility, severity, host, tag,
/// pid, text.
#[test]
fn rsyslog_receives_what_is_sent() {
    let dir = Workdir::new();
    if !have("rsyslogd") || !dir.certificates() {
        return;
    }
    let (udp, tcp, tls) = (free_port(), free_port(), free_port());
    let root = dir.path("").display().to_string();
    let root = root.trim_end_matches('/');
    let driver = dir.sh("ls /usr/lib/*/rsyslog/lmnsd_ossl.so").status.success();
    let secure = if driver {
        format!(
            "global(DefaultNetstreamDriver=\"ossl\" DefaultNetstreamDriverCAFile=\"{root}/ca.pem\" DefaultNetstreamDriverCertFile=\"{root}/cert.pem\" DefaultNetstreamDriverKeyFile=\"{root}/key.pem\")
             input(type=\"imtcp\" port=\"{tls}\" address=\"127.0.0.1\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n"
        )
    } else {
        String::new()
    };
    dir.write(
        "rsyslog.conf",
        format!(
            "global(workDirectory=\"{root}\")
             module(load=\"imuxsock\" SysSock.Use=\"off\")\nmodule(load=\"imudp\")\nmodule(load=\"imtcp\")
             input(type=\"imuxsock\" Socket=\"{root}/log.sock\")
             input(type=\"imudp\" port=\"{udp}\" address=\"127.0.0.1\")\ninput(type=\"imtcp\" port=\"{tcp}\" address=\"127.0.0.1\")\n{secure}
             template(name=\"t\" type=\"string\" string=\"%syslogfacility-text% %syslogseverity-text% %HOSTNAME% %programname% %procid%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\\n\")
             action(type=\"omfile\" file=\"{root}/out.log\" template=\"t\")\n"
        ),
    );
    let _server = dir.start("exec rsyslogd -n -i $PWD/pid -f $PWD/rsyslog.conf 2>server.err");
    eventually("rsyslog listens", || {
        dir.path("log.sock").exists() && std::net::TcpStream::connect(("127.0.0.1", tcp)).is_ok()
    });
    let record = format!(
        "heka-cef 'Login failed' {DEVICE} --syslog-facility LOCAL3 --syslog-priority ERR --syslog-ident my_app"
    );
    let host = String::from_utf8(heka::pipeline::hostname()).unwrap();
    let mut addresses =
        vec![format!("unix:{root}/log.sock"), format!("udp://127.0.0.1:{udp}"), format!("tcp://127.0.0.1:{tcp}")];
    if driver {
        addresses.push(format!("tls://localhost:{tls} --ca ca.pem"));
    } else {
        println!("no TLS: rsyslog-openssl is not installed");
    }
    let lines = || {
        String::from_utf8(dir.read("out.log"))
            .unwrap()
            .lines()
            .filter(|line| line.contains("CEF:"))
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    let mut count = 0;
    for address in &addresses {
        for (options, expected) in [
            ("", "local3 err HOST my_app PID Sep 03 02:05:09 h1 CEF:0|mozilla|weave|3|Login failed|"),
            ("--strip --rfc5424", "local3 err HOST my_app PID CEF:0|mozilla|weave|3|Login failed|"),
            ("--facility KERN --priority EMERG --ident other", "kern emerg HOST other PID Sep 03 02:05:09 h1 CEF:0|"),
        ] {
            // What comes in by a socket of this machine is in the short form.
            if address.starts_with("unix") && options.contains("rfc5424") {
                continue;
            }
            dir.sh(&format!("{record} | heka-cef syslog --address {address} {options}")).ok();
            count += 1;
            eventually(&format!("{address} {options} has come"), || lines().len() == count);
            let line = lines().pop().unwrap();
            let words: Vec<&str> = line.splitn(6, ' ').collect();
            assert!(words[4].parse::<u32>().is_ok(), "{line}");
            let own_host = if address.starts_with("unix") { words[2] } else { &host };
            let expected = expected.replace("HOST", own_host).replace("PID", words[4]);
            assert!(line.starts_with(&expected), "{address} {options}: {line}");
        }
    }
    // Many, in order, by a stream; a payload of several lines is one message.
    let messages = "for number in $(seq 2000); do echo \"CEF:0|v|p|1|s|number $number|3|\"; done | heka-tail";
    dir.sh(&format!("{messages} | heka-cef syslog --address tcp://127.0.0.1:{tcp}")).ok();
    eventually("all have come", || lines().len() == count + 2000);
    assert!(lines()[count..].iter().enumerate().all(|(place, line)| line.contains(&format!("|number {}|", place + 1))));
    dir.sh(&format!("printf 'CEF:0|v|p|1|s|one\\ntwo|3|' | heka-tail --splitter null | heka-cef syslog --address tcp://127.0.0.1:{tcp}")).ok();
    eventually("it has come", || lines().len() == count + 2001);
    assert!(lines().pop().unwrap().contains("|one#012two|3|"), "{:?}", lines().pop());
    // Another authority than the server's is refused, by name.
    if driver {
        let ran = dir.sh(&format!("{record} | heka-cef syslog --address tls://localhost:{tls}"));
        assert_eq!(ran.status.code(), Some(3));
        assert!(ran.stderr.contains("certificate"), "{}", ran.stderr);
    }
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let dir = Workdir::new();
    let record = format!("heka-cef n {DEVICE}");
    let port = free_port();
    let ran = dir.sh(&format!("{record} | heka-cef syslog --address tcp://127.0.0.1:{port} --give-up-after 300ms"));
    assert_eq!(ran.status.code(), Some(3));
    assert!(ran.stderr.contains("Connection refused; trying again\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Connection refused; given up\n"), "{}", ran.stderr);
    dir.sh(&format!("{record} | heka-cef syslog --address unix:$PWD/none --give-up-after 0")).fails(3, "syslog: ");
    dir.sh("heka-cef syslog --address ftp://x < /dev/null").fails(2, "--address: ftp://x: expected unix:PATH");
    dir.sh("heka-cef syslog --facility local4 < /dev/null").fails(2, "Facility should be one of");
    // It comes back: nothing is lost, and the checkpoint says how far it came.
    dir.write("cef.log", "CEF:0|v|p|1|s|one|3|\nCEF:0|v|p|1|s|two|3|\n");
    let mut pipe = dir.start(&format!(
        "heka-tail --checkpoint ck --commit sink cef.log | heka-cef syslog --address tcp://127.0.0.1:{port} --checkpoint ck"
    ));
    assert!(pipe.stderr_line().contains("trying again"));
    assert_eq!(dir.read("ck"), b"{\"streams\":{}}\n", "nothing is delivered");
    let server = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (mut stream, _) = server.accept().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(pipe.wait(Duration::from_secs(10)).success());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("<166>20") && lines[0].contains(" heka_no_ident["), "{text}");
    assert!(lines[1].ends_with("]: CEF:0|v|p|1|s|two|3|"), "{text}");
    assert_eq!(dir.sh("heka-tail --checkpoint ck --commit sink cef.log | heka-cat -c").text(), "0\n");
    // A datagram that is too long is said, what follows is sent.
    let receiver = std::os::unix::net::UnixDatagram::bind(dir.path("sock")).unwrap();
    let ran = dir.sh("{ head -c 1000000 /dev/zero | tr '\\0' x; echo; echo short; } | heka-tail --max-record 2M | heka-cef syslog --address unix:$PWD/sock");
    assert_eq!(ran.status.code(), Some(1));
    ran.fails_with(&["too long for a datagram"]);
    let mut buf = [0; 4096];
    let count = receiver.recv(&mut buf).unwrap();
    assert!(buf[..count].ends_with(b"]: short"));
}
