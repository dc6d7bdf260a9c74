//! heka-cef, as a user runs it.

mod common;

use common::{Workdir, field, messages};

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
fn records_become_fields_and_records_again() {
    let dir = Workdir::new();
    let lines = [
        r"Sep 19 08:26:10 host CEF:0|security|threat\|manager|1.0|100|detected a \\ in packet|10|src=10.0.0.1 act=blocked a \= dst=1.1.1.1",
        r"CEF:1|v|p|1|s|n|High|msg=a b c  cs1Label=Rule Name cs1=x=y z a=1 b=2 a=3 ",
        "CEF:0|v|p|1|s|n|3|noequals here k=v",
        "CEF:0|v|p|1|s|n|3",
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
    assert_eq!((second("a"), second("cs1"), second("Rule Name")), (Some("1,3 ".into()), Some("x=y z".into()), None));
    assert_eq!(field(&found[2], "cef.extra").as_deref(), Some("noequals here "));
    assert_eq!(field(&found[4], "cef_error").as_deref(), Some("no CEF: in it"));
    assert_eq!(found[4].payload.as_deref(), Some(&b"hello"[..]));
    assert_eq!(field(&found[5], "cef_error").as_deref(), Some("the header has 5 separators, six at least are needed"));
    // Nothing changed: the same bytes, what is no record too.
    let back = dir.sh("heka-tail cef.log | heka-cef parse 2>/dev/null | heka-match 'Fields[cef_error] == NIL' | heka-cef format | heka-cat --format payload");
    assert_eq!(back.ok().text(), lines.join("\n") + "\n");
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
    let ran = dir.sh(&format!("{decoded} | heka-cef format --strict > out"));
    ran.fails(1, "a message has not the vendor");
    dir.sh("heka-cef format --map x=y < in.json").fails(2, "--map: \"y\" is no variable");
}
