//! heka-listen with senders that are not ours, and with hostile ones.

mod attacks;
#[path = "../common/mod.rs"]
mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Background, Workdir, eventually, field, frames, free_port, have, messages, payloads};
use heka::message::schema::Message;
use heka::stream::{CursorRef, Frame, Hash, Signer, put_frame, put_frame_like};
use serde_json::Value as Json;

/// A listener that writes to the file `out`.
struct Listen {
    dir: Workdir,
    process: Background,
    /// Ports, in the order: UDP, TCP, TLS.
    ports: Vec<u16>,
}

impl Listen {
    /// `listeners`: how many of them it has.
    fn start(dir: Workdir, options: &str, listeners: usize) -> Listen {
        let mut process = dir.start(&format!("exec heka-listen --address 127.0.0.1 {options} --stats >> out"));
        let lines: Vec<String> = (0..listeners).map(|_| process.stderr_line()).collect();
        let ports = lines.iter().filter_map(|line| line.rsplit(':').next()?.trim().parse().ok()).collect();
        Listen { dir, process, ports }
    }

    fn new(options: &str, listeners: usize) -> Listen {
        Listen::start(Workdir::new(), options, listeners)
    }

    fn messages(&self) -> Vec<Message> {
        messages(&self.dir.read("out"))
    }

    fn payloads(&self) -> Vec<String> {
        payloads(&self.dir.read("out"))
    }

    /// Waits for so many messages.
    #[track_caller]
    fn wait(&self, number: usize) -> Vec<Message> {
        let until = Instant::now() + Duration::from_secs(30);
        while self.messages().len() < number && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let found = self.messages();
        assert_eq!(found.len(), number, "{:?}", self.payloads().iter().take(20).collect::<Vec<_>>());
        found
    }

    /// Ends it; answers what it counted, and the lines before that.
    fn stop(mut self) -> (Json, Vec<String>, Workdir) {
        self.process.signal("-TERM");
        assert!(self.process.wait(Duration::from_secs(20)).success());
        let mut rest = String::new();
        self.process.child.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
        let (stats, lines): (Vec<String>, _) = rest.lines().map(str::to_string).partition(|line| line.starts_with('{'));
        let stats = serde_json::from_str(&stats[0]).unwrap();
        (stats, lines, self.dir)
    }

    /// Peak of its memory, MiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    fn tcp(&self, place: usize) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.ports[place])).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    fn send(&self, place: usize, bytes: impl AsRef<[u8]>) {
        self.tcp(place).write_all(bytes.as_ref()).unwrap();
    }

    fn send_udp(&self, place: usize, datagram: impl AsRef<[u8]>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(datagram.as_ref(), ("127.0.0.1", self.ports[place])).unwrap();
    }
}

fn payload(message: &Message) -> String {
    String::from_utf8_lossy(message.payload.as_deref().unwrap_or_default()).into_owned()
}

fn header(value: &Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
}

fn python(module: &str) -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    let there = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if there.is_ok_and(|ran| ran.status.success()) {
        return Some(python);
    }
    println!("skipped: tests/run.sh installs {module}");
    None
}

fn script() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/listen.py").display().to_string()
}

const TLS: &str = "--cert cert.pem --key key.pem";

#[test]
fn logger_is_heard_in_every_form() {
    let listen = Listen::new("--udp 0 --tcp 0 --unix ./stream --unixgram ./log", 4);
    let (udp, tcp) = (listen.ports[0], listen.ports[1]);
    let host = String::from_utf8(heka::pipeline::hostname()).unwrap();
    let forms = [
        format!("-n 127.0.0.1 -P {udp} -d --rfc5424"),
        format!("-n 127.0.0.1 -P {udp} -d --rfc3164"),
        format!("-n 127.0.0.1 -P {tcp} -T --rfc5424"),
        format!("-n 127.0.0.1 -P {tcp} -T --rfc3164"),
        format!("-n 127.0.0.1 -P {tcp} -T --octet-count --rfc5424"),
        format!("-n 127.0.0.1 -P {tcp} -T --octet-count --rfc3164"),
        "-u ./log".into(),
        "-u ./stream --octet-count".into(),
    ];
    for (place, form) in forms.iter().enumerate() {
        let sd = if form.contains("5424") { "--msgid ID7 --sd-id zoo@123 --sd-param 'tiger=\"hungry\"'" } else { "" };
        listen
            .dir
            .sh(&format!("logger {form} {sd} -t tag --id=4242 -p local3.err 'form number {place}, 100 % \"quoted\"'"))
            .ok();
        let message = listen.wait(place + 1).pop().unwrap();
        assert_eq!(payload(&message), format!("form number {place}, 100 % \"quoted\""), "{form}");
        let seen = (header(&message.logger), header(&message.hostname), message.severity, message.pid);
        assert_eq!(seen, ("tag".into(), host.clone(), Some(3), Some(4242)), "{form}");
        assert_eq!(field(&message, "syslogfacility").as_deref(), Some("int 19"), "{form}");
        let age = heka::message::now_ns() - message.timestamp;
        assert!((0..60_000_000_000).contains(&age), "{form}: {age} ns ago");
        if form.contains("5424") {
            assert_eq!(field(&message, "msgid").as_deref(), Some("ID7"), "{form}");
            assert_eq!(field(&message, "sd.zoo@123.tiger").as_deref(), Some("hungry"), "{form}");
        }
        let listener = field(&message, "listener").unwrap();
        let wanted = match place {
            0 | 1 => format!("udp:{udp}"),
            2..=5 => format!("tcp:{tcp}"),
            6 => "unixgram:./log".into(),
            _ => "unix:./stream".into(),
        };
        assert_eq!(listener, wanted);
    }
    let (stats, lines, dir) = listen.stop();
    assert_eq!((&stats["messages_out"], &stats["unparsed"], lines.len()), (&8.into(), &0.into(), 0));
    assert!(!dir.path("log").exists() && !dir.path("stream").exists(), "the sockets' files stay");
}

#[test]
fn rsyslog_forwards_to_it() {
    let dir = Workdir::new();
    if !have("rsyslogd") || !dir.certificates() {
        return;
    }
    let driver = dir.sh("ls /usr/lib/*/rsyslog/lmnsd_ossl.so").status.success();
    let listen = Listen::start(dir, &format!("--udp 0 --tcp 0 --tls 0 {TLS}"), 3);
    let root = listen.dir.path("").display().to_string();
    let root = root.trim_end_matches('/');
    let omfwd =
        |port: u16, options: &str| format!("action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" {options})\n");
    let mut actions = omfwd(listen.ports[0], "protocol=\"udp\" template=\"RSYSLOG_SyslogProtocol23Format\"")
        + &omfwd(listen.ports[1], "protocol=\"tcp\"")
        + &omfwd(
            listen.ports[1],
            "protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\"",
        );
    if driver {
        actions += &omfwd(
            listen.ports[2],
            "protocol=\"tcp\" StreamDriver=\"ossl\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\" StreamDriverPermittedPeers=\"localhost\" template=\"RSYSLOG_SyslogProtocol23Format\"",
        );
    } else {
        println!("no TLS: rsyslog-openssl is not installed");
    }
    listen.dir.write(
        "rsyslog.conf",
        format!(
            "global(workDirectory=\"{root}\" DefaultNetstreamDriverCAFile=\"{root}/ca.pem\" DefaultNetstreamDriverCertFile=\"{root}/client.pem\" DefaultNetstreamDriverKeyFile=\"{root}/client.key\")
             module(load=\"imuxsock\" SysSock.Use=\"off\")
             input(type=\"imuxsock\" Socket=\"{root}/in.sock\")\n{actions}"
        ),
    );
    let _rsyslog = listen.dir.start("exec rsyslogd -n -i $PWD/pid -f $PWD/rsyslog.conf 2>rsyslog.err");
    eventually("rsyslog listens", || listen.dir.path("in.sock").exists());
    listen.dir.sh("logger -u in.sock -t app --id=77 -p local0.warning 'through rsyslog'").ok();
    let wanted = if driver { 4 } else { 3 };
    // It says of itself that it has started, too.
    let own = |message: &Message| payload(message).trim_start() == "through rsyslog";
    eventually("all ways have come", || listen.messages().iter().filter(|message| own(message)).count() >= wanted);
    let found: Vec<Message> = listen.messages().into_iter().filter(own).collect();
    let mut listeners: Vec<String> = found.iter().map(|message| field(message, "listener").unwrap()).collect();
    listeners.sort();
    listeners.dedup();
    assert_eq!(listeners.len(), if driver { 3 } else { 2 });
    for message in found {
        let seen = (header(&message.logger), message.severity, message.pid, field(&message, "syslogfacility"));
        assert_eq!(seen, ("app".into(), Some(4), Some(77), Some("int 16".into())));
        assert!(field(&message, "syslog_error").is_none());
    }
}

#[test]
fn syslog_ng_forwards_to_it() {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/syslog-ng");
    let dir = Workdir::new();
    if !unpacked.join("usr/sbin/syslog-ng").exists() || !dir.certificates() {
        println!("skipped: tests/run.sh unpacks syslog-ng");
        return;
    }
    let listen = Listen::start(dir, &format!("--udp 0 --tcp 0 --tls 0 {TLS}"), 3);
    let (udp, tcp, tls) = (listen.ports[0], listen.ports[1], listen.ports[2]);
    listen.dir.write(
        "syslog-ng.conf",
        format!(
            "@version: 3.35
             source s {{ unix-dgram(\"in.sock\"); }};
             destination d {{
               network(\"127.0.0.1\" port({udp}) transport(udp) persist-name(\"a\"));
               network(\"127.0.0.1\" port({tcp}) transport(tcp) persist-name(\"b\"));
               syslog(\"127.0.0.1\" port({tcp}) transport(tcp));
               syslog(\"127.0.0.1\" port({udp}) transport(udp));
               syslog(\"127.0.0.1\" port({tls}) transport(tls) tls(ca-file(\"ca.pem\") peer-verify(required-trusted)));
             }};
             log {{ source(s); destination(d); }};"
        ),
    );
    let root = unpacked.display();
    let _server = listen.dir.start(&format!(
        "export LD_LIBRARY_PATH=$(echo {root}/usr/lib/syslog-ng)
         exec {root}/usr/sbin/syslog-ng -F -f syslog-ng.conf --module-path=$(echo {root}/usr/lib/syslog-ng/[0-9]*) \
            --persist-file=persist --pidfile=pid --control=control --no-caps > syslog-ng.out 2>&1"
    ));
    eventually("syslog-ng listens", || listen.dir.path("in.sock").exists());
    listen.dir.sh("logger -u in.sock -t app --id=77 -p local0.warning 'through syslog-ng'").ok();
    let own = |message: &Message| payload(message) == "through syslog-ng";
    eventually("all ways have come", || listen.messages().iter().filter(|message| own(message)).count() >= 5);
    for message in listen.messages().iter().filter(|message| own(message)) {
        let seen = (header(&message.logger), message.severity, message.pid, field(message, "syslogfacility"));
        assert_eq!(seen, ("app".into(), Some(4), Some(77), Some("int 16".into())));
        assert!(field(message, "syslog_error").is_none());
    }
    assert!(listen.messages().iter().any(|message| field(message, "listener") == Some(format!("tls:{tls}"))));
}

#[test]
fn libraries_of_python_are_heard() {
    let dir = Workdir::new();
    let Some(python) = python("pygelf, graypy").filter(|_| dir.certificates()) else { return };
    let options = format!("--udp 0 --udp gelf@0 --tcp 0 --tcp gelf@0 --tls gelf@0 {TLS}");
    let listen = Listen::start(dir, &options, 5);
    let (udp, gelf_udp, tcp, gelf_tcp, gelf_tls) =
        (listen.ports[0], listen.ports[1], listen.ports[2], listen.ports[3], listen.ports[4]);
    let senders = [
        format!("sysloghandler {udp} udp"),
        format!("sysloghandler {tcp} tcp"),
        format!("pygelf {gelf_udp} udp"),
        format!("pygelf {gelf_udp} udpz"),
        format!("pygelf {gelf_tcp} tcp"),
        format!("pygelf {gelf_tls} tls"),
        format!("graypy {gelf_udp} udp"),
        format!("graypy {gelf_tcp} tcp"),
    ];
    for (place, sender) in senders.iter().enumerate() {
        let ran = listen.dir.sh(&format!("{} {} {sender}", python.display(), script()));
        assert!(ran.status.success(), "{sender}: {}", ran.stderr);
        let mut found = listen.wait(2 * place + 2).split_off(2 * place);
        // Datagrams of one sender come in order; so do a connection's messages.
        let texts: Vec<String> = found.iter().map(payload).collect();
        assert_eq!(texts, [format!("a warning, {}", "w".repeat(300)), "an error".into()], "{sender}");
        let warning = found.remove(0);
        assert_eq!((warning.severity, found[0].severity), (Some(4), Some(3)), "{sender}");
        if sender.starts_with("sysloghandler") {
            assert_eq!(header(&warning.logger), "app");
            assert_eq!(field(&warning, "syslogfacility").as_deref(), Some("int 19"));
            assert!(warning.pid.is_some());
        } else {
            assert_eq!(header(&warning.r#type), "gelf");
            assert_eq!(field(&warning, "request").as_deref(), Some("int 7"), "{sender}");
            assert_eq!(field(&warning, "user").as_deref(), Some("u\u{e9}"), "{sender}");
            assert!(field(&warning, "gelf_error").is_none(), "{sender}: {warning:?}");
        }
    }
}

#[test]
fn haproxy_says_whose_connection_it_is() {
    let dir = Workdir::new();
    if !have("haproxy") || !dir.certificates() {
        return;
    }
    let (tcp, tls) = (free_port(), free_port());
    let marked = format!("--proxy-protocol {tcp} --proxy-protocol {tls} --proxy-from 127.0.0.0/8");
    let listen = Listen::start(
        dir,
        &format!("--tcp {tcp} --tls {tls} {marked} {TLS} --client-ca ca.pem --client-cert-optional"),
        2,
    );
    let ports: Vec<u16> = (0..4).map(|_| free_port()).collect();
    let servers = [
        (tcp, "send-proxy"),
        (tcp, "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
        (tls, "send-proxy"),
        (tls, "send-proxy-v2 proxy-v2-options ssl"),
    ];
    let mut config = "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n".to_string();
    for (place, (port, options)) in servers.iter().enumerate() {
        config += &format!(
            "listen l{place}\n bind 127.0.0.1:{}\n unique-id-format %pid\n server s 127.0.0.1:{port} {options}\n",
            ports[place]
        );
    }
    listen.dir.write("haproxy.cfg", config);
    let _haproxy = listen.dir.start("exec haproxy -db -f haproxy.cfg > haproxy.out 2>&1");
    eventually("haproxy listens", || TcpStream::connect(("127.0.0.1", ports[3])).is_ok());
    for (place, port) in ports.iter().enumerate() {
        // From another address of the loopback, which only the header can tell.
        let text = format!("<13>Feb  5 17:32:18 h app: by way {place}");
        let client = match place {
            0 | 1 => format!("curl -s --interface 127.0.0.7 --max-time 5 telnet://127.0.0.1:{port}"),
            _ => format!("openssl s_client -quiet -bind 127.0.0.7 -connect 127.0.0.1:{port} 2>/dev/null"),
        };
        listen.dir.sh(&format!("(echo '{text}'; sleep 0.2) | timeout 2 {client} > /dev/null"));
    }
    eventually("all have come", || listen.payloads().iter().filter(|text| text.starts_with("by way")).count() == 4);
    for message in listen.messages() {
        assert_eq!(field(&message, "sender").as_deref(), Some("127.0.0.7 ipv4"), "{}", payload(&message));
    }
    // Without a header, with a wrong one, and with one that does not end.
    for bad in ["<13>a\n".to_string(), "\x01\x02\x03".repeat(4), format!("PROXY TCP4 {}", "1".repeat(120))] {
        let mut stream = listen.tcp(0);
        stream.write_all(bad.as_bytes()).unwrap();
        let end = stream.read(&mut [0; 16]);
        assert!(matches!(end, Ok(0)) || end.is_err(), "it answered");
    }
    // A balancer that asks whether there is somebody, and an unknown sender: the peer counts.
    listen.send(0, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0<13>local\n");
    listen.send(0, b"PROXY UNKNOWN\r\n<13>unknown\n");
    eventually("both have come", || listen.payloads().len() == 6);
    for message in listen.messages().split_off(4) {
        assert_eq!(field(&message, "sender").as_deref(), Some("127.0.0.1 ipv4"));
    }
    let (stats, _, _) = listen.stop();
    // haproxy's own check connects, too: it was the test's first.
    assert!(stats["proxy_refused"].as_u64().unwrap() >= 3, "{stats}");

    // Strangers may not send headers.
    let port = free_port();
    let listen = Listen::new(&format!("--tcp {port} --proxy-protocol {port} --proxy-from 10.0.0.0/8"), 1);
    let mut stream = listen.tcp(0);
    let _ = stream.write_all(b"PROXY TCP4 198.51.100.7 203.0.113.1 1 514\r\n<13>forged\n");
    assert!(!matches!(stream.read(&mut [0; 16]), Ok(1..)));
    let (stats, _, _) = listen.stop();
    assert_eq!((&stats["messages_out"], &stats["proxy_refused"]), (&0.into(), &1.into()));
}

#[test]
fn clients_show_certificates_and_files_are_read_again() {
    let dir = Workdir::new();
    if !dir.certificates() {
        return;
    }
    let s_client = |port: u16, options: &str, text: &str| {
        format!(
            "(echo '<13>{text}'; sleep 0.3) | timeout 5 openssl s_client -quiet -connect 127.0.0.1:{port} -CAfile ca.pem {options}"
        )
    };
    let shown = "-cert client.pem -key client.key";
    let mut listen = Listen::start(dir, &format!("--tls 0 {TLS} --client-ca ca.pem"), 1);
    let port = listen.ports[0];
    listen.dir.sh(&s_client(port, "", "nobody"));
    listen.dir.sh(&s_client(port, shown, "web1 speaks"));
    // Noise instead of TLS.
    listen.send(0, "GET / HTTP/1.0\r\n\r\n");
    let message = listen.wait(1).pop().unwrap();
    assert_eq!(payload(&message), "web1 speaks");
    assert_eq!(field(&message, "tls_peer").as_deref(), Some("CN=web1,O=Example"));
    // Another certificate of the server's, and then one that can't be read.
    for command in [
        "req -newkey rsa:2048 -nodes -keyout key.pem -out new.csr -subj /CN=renewed",
        "x509 -req -in new.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert.pem",
    ] {
        listen.dir.sh(&format!("openssl {command} 2>/dev/null")).ok();
    }
    listen.process.signal("-HUP");
    assert!(listen.process.stderr_line().contains("were read again"));
    let subject = |listen: &Listen| {
        let connect = format!("openssl s_client -connect 127.0.0.1:{port} {shown} </dev/null 2>/dev/null");
        listen.dir.sh(&format!("{connect} | openssl x509 -noout -subject")).text().to_string()
    };
    assert!(subject(&listen).contains("renewed"));
    listen.dir.write("cert.pem", "nonsense");
    listen.process.signal("-HUP");
    let line = listen.process.stderr_line();
    assert!(line.contains("cert.pem") && line.contains("what was read before stays"), "{line}");
    assert!(subject(&listen).contains("renewed"));
    let (stats, _, dir) = listen.stop();
    assert!(stats["handshakes_failed"].as_u64().unwrap() >= 2, "{stats}");

    dir.certificates();
    let listen = Listen::start(dir, &format!("--tls 0 {TLS} --client-ca ca.pem --client-cert-optional"), 1);
    listen.dir.sh(&s_client(listen.ports[0], "", "nobody"));
    eventually("it has come", || listen.payloads().contains(&"nobody".to_string()));
    assert_eq!(field(&listen.messages().pop().unwrap(), "tls_peer"), None);
}

#[test]
fn heka_streams_are_checked_and_passed_on_as_they_are() {
    let signer = |name: &str, version: u32, hash: Hash, key: &str| Signer {
        name: name.into(),
        key_version: version,
        hash,
        key: key.into(),
    };
    let message = |payload: &str| {
        let mut message = Vec::new();
        heka::message::MessageBuilder::new(&mut message, &[7; 16], 1)
            .text(heka::message::TextHeader::Payload, payload.as_bytes());
        message
    };
    let signed = |signer: &Signer, payload: &str| {
        let mut frame = Vec::new();
        signer.put_frame(&mut frame, &message(payload));
        frame
    };
    let unsigned = |payload: &str| {
        let mut frame = Vec::new();
        put_frame(&mut frame, None, &message(payload));
        frame
    };
    let first = signed(&signer("ops", 1, Hash::Md5, "sekrit"), "version 1");
    let second = signed(&signer("ops", 12, Hash::Sha1, "newer"), "version 12");
    let other = signed(&signer("dev", 1, Hash::Sha1, "dev"), "another signer");
    let unknown = signed(&signer("ops", 13, Hash::Sha1, "newer"), "an unknown version");
    let forged = signed(&signer("ops", 1, Hash::Md5, "guess"), "forged");
    let mut altered = first.clone();
    *altered.last_mut().unwrap() ^= 1;
    let all =
        [&first[..], b"garbage \x1e\x02\x08", &unsigned("unsigned"), &unknown, &forged, &altered, &second, &other]
            .concat();

    let dir = Workdir::new();
    dir.write(
        "hekad.toml",
        "[TcpInput.signer.ops_1]\nhmac_key = 'sekrit'\n[TcpInput.signer.ops_12]\nhmac_key = 'newer'\n[TcpInput.signer.dev_1]\nhmac_key = 'dev'\n",
    );
    let listen = Listen::start(dir, "--heka --udp 0 --tcp 0 --signers hekad.toml", 2);
    // In pieces, so that records are cut anywhere.
    let mut stream = listen.tcp(1);
    for part in all.chunks(11) {
        stream.write_all(part).unwrap();
        stream.flush().unwrap();
    }
    drop(stream);
    listen.wait(4);
    assert_eq!(listen.payloads(), ["version 1", "unsigned", "version 12", "another signer"]);
    let kept = [&first[..], &unsigned("unsigned"), &second, &other].concat();
    assert_eq!(listen.dir.read("out"), kept, "not byte for byte");
    // Several records in a datagram.
    listen.send_udp(0, [&first[..], &forged, &second].concat());
    listen.wait(6);
    let (stats, lines, dir) = listen.stop();
    assert_eq!((&stats["heka_refused"], &stats["heka_garbage_bytes"]), (&4.into(), &11.into()), "{stats}");
    assert!(lines[0].contains("signed by \"ops\", key version 13: this signer or its key version is not known"));

    std::fs::remove_file(dir.path("out")).unwrap();
    let listen = Listen::start(dir, "--tcp heka@0 --signers hekad.toml --require-signer ops", 1);
    listen.send(0, &all);
    listen.wait(2);
    let (stats, _, _) = listen.stop();
    assert_eq!((&stats["messages_out"], &stats["heka_refused"]), (&2.into(), &5.into()), "{stats}");
}

#[test]
fn what_has_arrived_is_written_before_it_ends() {
    let listen = Listen::new("--tcp 0 --udp 0 --no-raw", 2);
    let lines: String = (0..200_000).map(|number| format!("<13>line {number}\n")).collect();
    let mut stream = listen.tcp(1);
    let sender = std::thread::spawn(move || stream.write_all(lines.as_bytes()).unwrap());
    for number in 0..1000 {
        listen.send_udp(0, format!("<13>datagram {number}"));
    }
    sender.join().unwrap();
    // All of it is in the kernel's buffers or further: nothing of it may be lost.
    let (stats, _, dir) = listen.stop();
    let found = payloads(&dir.read("out"));
    let lines: Vec<&String> = found.iter().filter(|text| text.starts_with("line")).collect();
    assert!(lines.iter().enumerate().all(|(place, text)| **text == format!("line {place}")));
    assert_eq!((lines.len(), found.len()), (200_000, 201_000), "{stats}");
    assert_eq!(stats["udp_dropped"], 0);
}

#[test]
fn a_slow_reader_holds_senders_up_and_drops_of_udp_are_counted() {
    let dir = Workdir::new();
    let options = "--tcp 0 --udp 0 --no-raw --receive-buffer 64K --max-queue-bytes 1M --stats";
    let mut process = dir.start(&format!(
        "(exec heka-listen --address 127.0.0.1 {options} 2>err & echo $! > pid; wait $!) | (while [ ! -e go ]; do sleep 0.01; done; exec cat > out)"
    ));
    eventually("it listens", || dir.read("err").split(|&byte| byte == b'\n').count() > 2);
    let text = String::from_utf8(dir.read("err")).unwrap();
    let ports: Vec<u16> = text.lines().filter_map(|line| line.rsplit(':').next()?.parse().ok()).collect();
    let mut stream = TcpStream::connect(("127.0.0.1", ports[1])).unwrap();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = sent.clone();
    let lines = 400_000;
    let sender = std::thread::spawn(move || {
        for number in 0..lines {
            stream.write_all(format!("<13>line {number}\n").as_bytes()).unwrap();
            count.store(number, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let mut last = u64::MAX;
    eventually("the sender is held up", || {
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(300));
        std::mem::replace(&mut last, now) == now && now > 0
    });
    assert!(last < lines - 1, "nothing held the sender up");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = format!("<13>{}", "x".repeat(1000));
    let datagrams = 50_000;
    for _ in 0..datagrams {
        socket.send_to(datagram.as_bytes(), ("127.0.0.1", ports[0])).unwrap();
    }
    dir.write("go", "");
    sender.join().unwrap();
    eventually("all lines are written", || {
        let tail = dir.read("out");
        tail.windows(11).rev().take(200_000).any(|part| part == b"line 399999")
    });
    dir.sh("kill $(cat pid)").ok();
    assert!(process.wait(Duration::from_secs(20)).success());
    let found = payloads(&dir.read("out"));
    assert_eq!(found.iter().filter(|text| text.starts_with("line")).count() as u64, lines);
    let heard = found.len() as u64 - lines;
    let text = String::from_utf8(dir.read("err")).unwrap();
    let stats: Json = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(stats["udp_dropped"].as_u64().unwrap() > 0, "{text}");
    assert_eq!(stats["udp_dropped"].as_u64().unwrap() + heard, datagrams, "{text}");
    assert!(text.contains("the kernel dropped"), "{text}");
}

#[test]
fn systemd_hands_sockets_over() {
    let Some(python) = python("logging") else { return };
    let dir = Workdir::new();
    let activate = format!("{} {} activate syslog:gelf:unknown", python.display(), script());
    let mut process = dir.start(&format!("exec {activate} heka-listen >> out"));
    let lines: Vec<String> = (0..3).map(|_| process.stderr_line()).collect();
    assert!(lines[0].contains("syslog, tcp") && lines[1].contains("gelf, udp") && lines[2].contains("syslog, unix"));
    let ports: Vec<u16> = lines.iter().filter_map(|line| line.rsplit(':').next()?.trim().parse().ok()).collect();
    TcpStream::connect(("127.0.0.1", ports[0])).unwrap().write_all(b"<13>by tcp\n").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(br#"{"host":"h","short_message":"by udp"}"#, ("127.0.0.1", ports[1])).unwrap();
    UnixStream::connect(dir.path("activated")).unwrap().write_all(b"<13>by a path\n").unwrap();
    eventually("all have come", || payloads(&dir.read("out")).len() == 3);
    let mut texts = payloads(&dir.read("out"));
    texts.sort();
    assert_eq!(texts, ["by a path", "by tcp", "by udp"]);
}

#[test]
fn wrong_usage_is_said_in_one_line() {
    let dir = Workdir::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    dir.write("file", "not a socket");
    let _served = UnixDatagram::bind(dir.path("served")).unwrap();
    dir.write("cert.pem", "nonsense");
    dir.write("bad.toml", "[ops_1]\n");
    for (options, code, words) in [
        ("", 2, "nothing to listen at"),
        ("--udp x", 2, "PROTOCOL@"),
        ("--udp nothing@1", 2, "is no protocol"),
        ("--tls 0", 2, "--cert"),
        ("--tcp 0 --proxy-protocol 5", 2, "--proxy-from"),
        ("--tcp 0 --proxy-protocol 5 --proxy-from 127.0.0.1", 2, "listens at this port"),
        ("--tcp 0 --proxy-from somewhere", 2, "expected a network"),
        ("--udp 0 --tz Nowhere/Land", 2, "Nowhere/Land"),
        ("--tls 0 --cert cert.pem --key cert.pem", 2, "cert.pem"),
        ("--heka --tcp 0 --signers bad.toml", 2, "ops_1 has no key"),
        ("--gelf --heka --tcp 0", 2, "cannot be used with"),
        (&format!("--tcp 127.0.0.1:{port}"), 3, "Address already in use"),
        ("--unix ./file", 3, "Address already in use"),
        ("--unixgram ./served", 3, "Address already in use"),
        ("--udp 203.0.113.1:1", 3, "Cannot assign requested address"),
    ] {
        dir.sh(&format!("heka-listen {options} | cat")).fails(code, words);
    }
    // A socket that somebody has left is no obstacle.
    drop(UnixDatagram::bind(dir.path("left")).unwrap());
    let listen = Listen::start(dir, "--unixgram ./left", 1);
    UnixDatagram::unbound().unwrap().send_to(b"<13>heard", listen.dir.path("left")).unwrap();
    listen.wait(1);
}

#[test]
fn datagrams_are_messages_whole() {
    use flate2::write::GzEncoder;
    let listen = Listen::new("--udp 0 --udp gelf@0 --unixgram ./log", 3);
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(br#"{"host":"h","short_message":"gzip"}"#).unwrap();
    let compressed = gzip.finish().unwrap();
    // The last bytes of gzip are a length: zeros, which are no end of a line.
    assert!(compressed.ends_with(&[0, 0]));
    for datagram in [&b"<13>a\nb\r\n\0"[..], b"2019 is a year\n", b"\n", b"", b"<13>c"] {
        listen.send_udp(0, datagram);
    }
    listen.send_udp(1, &compressed);
    listen.send_udp(1, b"{\"host\":\"h\",\"short_message\":\"plain\"}\0");
    listen.send_udp(1, [&[0x1e, 0x0f][..], &[1; 8], &[1, 2], &compressed[20..]].concat());
    listen.send_udp(1, [&[0x1e, 0x0f][..], &[1; 8], &[0, 2], &compressed[..20]].concat());
    // Half a set of chunks is said at the end; zeros behind gzip are padding.
    listen.send_udp(1, [&[0x1e, 0x0f][..], &[2; 8], &[0, 2], &compressed[..20]].concat());
    listen.send_udp(1, [&compressed[..], &[0; 9]].concat());
    let unix = UnixDatagram::unbound().unwrap();
    unix.send_to(b"<13>d\n", listen.dir.path("log")).unwrap();
    listen.wait(8);
    let mut texts = listen.payloads();
    texts.sort();
    assert_eq!(texts, ["2019 is a year", "a\nb", "c", "d", "gzip", "gzip", "gzip", "plain"]);
    let (stats, _, _) = listen.stop();
    assert_eq!((&stats["datagrams"], &stats["datagrams_empty"]), (&12.into(), &2.into()));
    assert_eq!(stats["gelf_sets_open"], 1);
}

#[test]
fn silent_connections_are_closed() {
    let listen = Listen::new("--tcp 0 --idle 0.2", 1);
    let mut silent = listen.tcp(0);
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0);
    // What it had begun to say is a message.
    let mut broken = listen.tcp(0);
    broken.write_all(b"<13>half a li").unwrap();
    assert_eq!(broken.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(payload(&listen.wait(1)[0]), "half a li");
    let (stats, _, _) = listen.stop();
    assert_eq!(stats["connections_timed_out"], 2);
}

#[test]
fn a_message_has_its_time_from_its_first_byte() {
    let listen = Listen::new("--tcp 0 --complete-within 1", 1);
    let mut slow = listen.tcp(0);
    // However long it was silent before.
    std::thread::sleep(Duration::from_millis(1500));
    slow.write_all(b"<13>in two ").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    slow.write_all(b"parts\n").unwrap();
    assert_eq!(payload(&listen.wait(1)[0]), "in two parts");
    // One byte now and then is not enough.
    let begun = Instant::now();
    while slow.write_all(b"x").is_ok() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!((1..10).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    listen.wait(2);
    let (stats, _, _) = listen.stop();
    assert_eq!(stats["connections_timed_out"], 1);
}

#[test]
fn a_thousand_connections_are_served_at_once() {
    let dir = Workdir::new();
    let mut process = dir.start(
        "ulimit -Sn 100; exec heka-listen --address 127.0.0.1 --tcp 0 --max-connections-per-address 2000 >> out",
    );
    let port: u16 = process.stderr_line().rsplit(':').next().unwrap().trim().parse().unwrap();
    let mut streams: Vec<TcpStream> = (0..1000).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    for round in 0..3 {
        for (number, stream) in streams.iter_mut().enumerate() {
            stream.write_all(format!("<13>{round} of {number}\n").as_bytes()).unwrap();
        }
    }
    eventually("all have come", || payloads(&dir.read("out")).len() == 3000);
}

#[test]
fn ipv6_and_ipv4_side_by_side() {
    if UdpSocket::bind("[::1]:0").is_err() {
        println!("skipped: no IPv6");
        return;
    }
    let port = free_port();
    let listen = Listen::new(&format!("--address ::1 --tcp {port} --udp {port}"), 4);
    TcpStream::connect(("::1", port)).unwrap().write_all(b"<13>six\n").unwrap();
    listen.wait(1);
    TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"<13>four\n").unwrap();
    let senders: Vec<_> = listen.wait(2).iter().map(|message| field(message, "sender").unwrap()).collect();
    assert_eq!(senders, ["::1 ipv6", "127.0.0.1 ipv4"]);
}

/// What comes from the network speaks for no file of this machine.
#[test]
fn cursors_from_the_network_reach_no_checkpoint_and_no_state() {
    let dir = Workdir::new();
    dir.write("app.log", "one\ntwo\nthree\n");
    // Another host follows a file of the same name, and is further; and a forger names a place that is never reached.
    dir.sh("mkdir other; seq 1 100 > other/app.log; heka-tail app.log > ours.hpb").ok();
    let cursor = |sequence: u64| {
        let theirs = frames(&dir.read("ours.hpb")).0;
        let frame = Frame::parse(&theirs[0]).unwrap();
        let known = frame.header().cursor().unwrap();
        let mut out = Vec::new();
        put_frame_like(&mut out, &frame, Some(CursorRef { sequence, ..known }));
        out
    };
    let sent = [cursor(1 << 63), cursor(8), cursor(u64::MAX)].concat();
    let listen = Listen::start(dir, "--tcp heka@0 --udp heka@0", 2);
    listen.send(1, &sent);
    listen.send_udp(0, &sent);
    listen.wait(6);
    let (_, _, dir) = listen.stop();
    let (found, _) = frames(&dir.read("out"));
    assert!(found.iter().all(|raw| !Frame::parse(raw).unwrap().header().has_cursor()));
    assert_eq!(payloads(&dir.read("out")), ["one"; 6]);
    // The checkpoint of the pipe that they join is that of the file here.
    dir.sh("cat out ours.hpb | heka-cat --checkpoint ck > /dev/null").ok();
    assert!(String::from_utf8(dir.read("ck")).unwrap().contains("\"sequence\":14"));
}
