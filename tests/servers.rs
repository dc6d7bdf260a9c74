//! Real servers write the log: nginx, Apache httpd and rsyslog from Debian's packages, each started by its test with a
//! configuration of its own on a free port of the loopback.

mod common;

use common::{Workdir, eventually, field, free_port, have, messages};
use heka::message::schema::Message;

/// Requests that a web server gets: path, user agent, referer.
const REQUESTS: [(&str, &str, &str); 4] = [
    ("/", "curl/test", "http://example.org/start?a=b"),
    ("/missing?q=1%202", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", "-"),
    ("/quote", "say \"hi\" \\ bye", "-"),
    ("/%c3%a9", "ünïcode", "-"),
];

fn request(dir: &Workdir, port: u16) {
    for (path, agent, referer) in REQUESTS {
        dir.write("agent", agent);
        let referer = if referer == "-" { String::new() } else { format!("-e {referer}") };
        dir.sh(&format!("curl -s -o /dev/null -A \"$(cat agent)\" {referer} 'http://127.0.0.1:{port}{path}'")).ok();
    }
}

/// What a server escapes in a value comes back.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'\\', [b'x', a, b, more @ ..]) => {
                bytes.push(u8::from_str_radix(&format!("{}{}", *a as char, *b as char), 16).unwrap());
                rest = more;
            }
            (b'\\', [other, more @ ..]) => {
                bytes.push(*other);
                rest = more;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn check(made: &[Message], server: &str) {
    assert_eq!(made.len(), REQUESTS.len(), "{server}");
    for (message, (path, agent, referer)) in made.iter().zip(REQUESTS) {
        let get = |name: &str| unescape(&field(message, name).unwrap_or_else(|| panic!("{server}: no {name}")));
        assert_eq!(get("remote_addr"), "127.0.0.1 ipv4", "{server}");
        assert_eq!(get("request"), format!("GET {path} HTTP/1.1"), "{server}");
        assert_eq!(get("http_user_agent"), agent, "{server}");
        assert_eq!(get("http_referer"), referer, "{server}");
        assert_eq!(get("status"), if path == "/" { "200" } else { "404" }, "{server}");
        assert!(
            (heka::message::now_ns() - message.timestamp).abs() < 60_000_000_000,
            "{server}: {}",
            message.timestamp
        );
    }
}

#[test]
fn nginx() {
    if !have("nginx") {
        return;
    }
    let dir = Workdir::new();
    let port = free_port();
    let formats = [
        ("combined", heka::grammar::access_log::NGINX_COMBINED),
        (
            "timed",
            r#"$remote_addr "$request" $status $msec $request_time $bytes_sent $connection $pipe "$http_referer" "$http_user_agent""#,
        ),
        (
            "iso",
            r#"[$time_iso8601] $server_name:$server_port|$scheme|$request_method|$server_protocol|$status|$request_length|$remote_addr|"$request" "$http_referer" "$http_user_agent""#,
        ),
    ];
    let logs: String = formats.iter().map(|(name, _)| format!("access_log {name}.log {name}_;\n")).collect();
    let defined: String = formats.iter().map(|(name, text)| format!("log_format {name}_ '{text}';\n")).collect();
    dir.write(
        "nginx.conf",
        format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;
             events {{}}
             http {{ {defined} client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
               server {{ listen 127.0.0.1:{port}; server_name example.test; {logs}
                 location = / {{ return 200 'hello'; }} location / {{ return 404; }} }} }}"
        ),
    );
    let _server = dir.start("exec nginx -p $PWD -c $PWD/nginx.conf 2>server.err");
    eventually("nginx answers", || {
        dir.sh(&format!("curl -s -o /dev/null http://127.0.0.1:{port}/ready")).status.success()
    });
    formats.iter().for_each(|(name, _)| {
        dir.write(&format!("{name}.log"), "");
    });
    request(&dir, port);
    for (name, text) in formats {
        eventually("nginx has logged", || {
            dir.read(&format!("{name}.log")).iter().filter(|&&byte| byte == b'\n').count() == REQUESTS.len()
        });
        dir.write("c.toml", format!("[d]\ntype = \"SandboxDecoder\"\n[d.config]\nlog_format = '''{text}'''\n"));
        let pipe = format!("heka-tail {name}.log | heka-decode --lua nginx_access --config-file c.toml --strict");
        let made = messages(&dir.sh(&pipe).ok().stdout);
        check(&made, &format!("nginx {name}"));
        if name == "iso" {
            assert_eq!(field(&made[0], "server_name").as_deref(), Some("example.test hostname"));
            assert_eq!(field(&made[0], "server_port").as_deref(), Some(port.to_string().as_str()));
            assert_eq!(field(&made[0], "request_method").as_deref(), Some("GET"));
        }
        if name == "timed" {
            assert!(field(&made[0], "request_time").unwrap().ends_with(" s"));
            assert!(field(&made[0], "bytes_sent").unwrap().ends_with(" B"));
        }
    }
    // The shortest command, and its answer.
    let pipe = "heka-tail combined.log | heka-decode --lua nginx_access | heka-match 'Fields[status] == 404' -c";
    assert_eq!(dir.sh(pipe).ok().text(), "3\n");
}

#[test]
fn apache() {
    if !have("apache2") {
        return;
    }
    let dir = Workdir::new();
    let port = free_port();
    let formats = [
        ("combined", heka::grammar::access_log::APACHE_COMBINED),
        ("timed", r#"%a %{sec}t %D %T %I %O %k %X \"%r\" %>s \"%{Referer}i\" \"%{User-Agent}i\""#),
        ("vhost", r#"%v:%p %h [%{%d/%b/%Y:%H:%M:%S %z}t] %m %H %B \"%r\" %>s \"%{Referer}i\" \"%{User-Agent}i\""#),
    ];
    let logs: String = formats
        .iter()
        .map(|(name, text)| format!("LogFormat \"{text}\" {name}_\nCustomLog {name}.log {name}_\n"))
        .collect();
    std::fs::create_dir(dir.path("www")).unwrap();
    dir.write("www/index.html", "hello");
    dir.write(
        "apache.conf",
        format!(
            "ServerRoot {root}\nListen 127.0.0.1:{port}\nServerName example.test\nPidFile apache.pid\nErrorLog error.log\nMutex file:{root}\n
             Define MODS /usr/lib/apache2/modules\nLoadModule mpm_event_module ${{MODS}}/mod_mpm_event.so
             LoadModule authz_core_module ${{MODS}}/mod_authz_core.so\nLoadModule dir_module ${{MODS}}/mod_dir.so\nUser www-data\nGroup www-data\nDocumentRoot {root}/www\n{logs}",
            root = dir.path("").display()
        ),
    );
    // Its children run as another user.
    dir.sh("chmod 755 . www").ok();
    let _server = dir.start("exec apache2 -X -f $PWD/apache.conf 2>server.err");
    eventually("apache answers", || {
        dir.sh(&format!("curl -s -o /dev/null http://127.0.0.1:{port}/ready")).status.success()
    });
    dir.sh("for log in combined timed vhost; do : > $log.log; done").ok();
    request(&dir, port);
    for (name, text) in formats {
        eventually("apache has logged", || {
            dir.read(&format!("{name}.log")).iter().filter(|&&byte| byte == b'\n').count() == REQUESTS.len()
        });
        dir.write("c.toml", format!("[d]\ntype = \"SandboxDecoder\"\n[d.config]\nlog_format = '''{text}'''\n"));
        let pipe = format!("heka-tail {name}.log | heka-decode --lua apache_access --config-file c.toml --strict");
        let made = messages(&dir.sh(&pipe).ok().stdout);
        check(&made, &format!("apache {name}"));
        if name == "vhost" {
            assert_eq!(field(&made[0], "server_name").as_deref(), Some("example.test hostname"));
            assert_eq!(field(&made[0], "body_bytes_sent").as_deref(), Some("5 B"));
        }
    }
}

#[test]
fn rsyslog() {
    if !have("rsyslogd") || !have("logger") {
        return;
    }
    let dir = Workdir::new();
    let template =
        r"%PRI% %TIMESTAMP:::date-rfc3339% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\n";
    let root = dir.path("");
    let root = root.display();
    dir.write(
        "rsyslog.conf",
        format!(
            "global(workDirectory=\"{root}\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\" Socket=\"{root}/log.sock\")
             template(name=\"t\" type=\"string\" string=\"{template}\")\naction(type=\"omfile\" file=\"{root}/out.log\" template=\"t\")\n"
        ),
    );
    let _server = dir.start("exec rsyslogd -n -i $PWD/pid -f $PWD/rsyslog.conf 2>server.err");
    eventually("the socket is there", || dir.path("log.sock").exists());
    let send = "logger -u log.sock --id=4321 -p local4.warning -t widget";
    dir.sh(&format!("{send} 'it works: 100%' && {send} 'say \"hi\"'")).ok();
    eventually("rsyslog has written", || dir.read("out.log").iter().filter(|&&byte| byte == b'\n').count() >= 2);
    dir.write("c.toml", format!("[d]\ntype = \"SandboxDecoder\"\n[d.config]\ntemplate = '{template}'\n"));
    let pipe = "grep widget out.log | heka-tail | heka-decode --lua rsyslog --config-file c.toml --strict";
    let made = messages(&dir.sh(pipe).ok().stdout);
    let payload = |message: &Message| String::from_utf8_lossy(message.payload.as_deref().unwrap()).into_owned();
    assert_eq!(made.iter().map(payload).collect::<Vec<_>>(), ["it works: 100%", "say \"hi\""]);
    assert_eq!((made[0].severity, made[0].pid), (Some(4), Some(4321)));
    assert_eq!(field(&made[0], "syslogfacility").as_deref(), Some("20"));
    assert_eq!(field(&made[0], "programname").as_deref(), Some("widget"));
    assert!((heka::message::now_ns() - made[0].timestamp).abs() < 60_000_000_000);
}
