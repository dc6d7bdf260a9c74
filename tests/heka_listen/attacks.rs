//! Hostile senders: they cost little, and honest ones are heard beside them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::common::{Workdir, eventually, setting};
use super::{Listen, TLS};

/// A connection from 127.0.0.`last`.
fn connect(last: u8, port: u16) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket.into()
}

/// What a HEC request with a body of that length begins with; `more` are lines of the header.
fn head(path: &str, channel: u32, length: usize, more: &str) -> String {
    format!(
        "POST /services/collector{path} HTTP/1.1\r\nHost: h\r\nAuthorization: Splunk t\r\nContent-Length: {length}\r\n\
         X-Splunk-Request-Channel: 00000000-0000-0000-0000-{channel:012x}\r\n{more}\r\n"
    )
}

/// Sends a message as an honest sender does, and waits until it is written.
#[track_caller]
fn honest(listen: &Listen, number: &mut u32) {
    *number += 1;
    let (line, datagram) = (format!("line {number}"), format!("datagram {number}"));
    // From another address than the attackers'.
    connect(9, listen.ports[2]).write_all(format!("<13>{line}\n").as_bytes()).unwrap();
    listen.send_udp(0, format!("<13>{datagram}"));
    let is_there = |text: &str| listen.dir.sh(&format!("grep -qaw '{text}' out")).status.success();
    eventually("an honest sender is heard", || is_there(&line));
    eventually("an honest datagram is heard", || is_there(&datagram));
}

#[test]
fn attacks_cost_little_and_honest_senders_are_heard() {
    let dir = Workdir::new();
    if !dir.certificates() {
        return;
    }
    let listen = Listen::start(
        dir,
        &format!("--udp 0 --udp gelf@0 --tcp 0 --tls 0 {TLS} --no-raw --max-connections-per-address 1300"),
        4,
    );
    let mut number = 0;
    honest(&listen, &mut number);
    // Half-open sets of chunks.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sets = setting("HEKA_ATTACKS", 20_000);
    for id in 0..sets {
        let chunk = [&[0x1e, 0x0f][..], &id.to_be_bytes(), &[0, 2], &[b'x'; 1000]].concat();
        socket.send_to(&chunk, ("127.0.0.1", listen.ports[1])).unwrap();
        if id % 100 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    honest(&listen, &mut number);
    // Octet counts and lines that promise much; NUL and bytes that are no text.
    for bad in [
        b"1000000000000000000 <13>".to_vec(),
        [&b"9999999999 <13>"[..], &[b'x'; 200_000]].concat(),
        [&b"<13>"[..], &[b'y'; 300_000], b"\n"].concat(),
        [&b"<13>"[..], &[0; 10_000], b"\n"].concat(),
        vec![0xff; 100_000],
    ] {
        let _ = listen.tcp(2).write_all(&bad);
        let _ = listen.tcp(3).write_all(&bad);
    }
    honest(&listen, &mut number);
    // Slow ones: each holds the beginning of a long message.
    let mut slow = Vec::new();
    for _ in 0..1200 {
        let mut stream = listen.tcp(2);
        let _ = stream.write_all(&[b'z'; 60_000]);
        slow.push(stream);
    }
    honest(&listen, &mut number);
    // Handshakes that never end, and connections beyond what is allowed.
    let hanging: Vec<TcpStream> = (0..300).map(|_| listen.tcp(3)).collect();
    let flood: Vec<TcpStream> = (0..600).map(|_| listen.tcp(2)).collect();
    honest(&listen, &mut number);
    drop((slow, hanging, flood));
    honest(&listen, &mut number);
    let peak = listen.peak();
    let (stats, _, _) = listen.stop();
    println!("peak {peak} MiB, {stats}");
    assert!(peak < 128, "{peak} MiB");
    assert!(stats["connections_closed_for_memory"].as_u64().unwrap() > 0, "{stats}");
    assert!(stats["connections_evicted"].as_u64().unwrap() > 0, "{stats}");
    assert!(stats["truncated"].as_u64().unwrap() >= 3, "{stats}");
    let sets_lost = stats["gelf_sets_late"].as_u64().unwrap() + stats["gelf_sets_crowded"].as_u64().unwrap();
    assert!(sets_lost >= sets - 10_000, "{stats}");
}

/// Everything that senders can make it keep, while nothing is read of what it writes.
#[test]
fn all_attacks_at_once_stay_within_its_memory() {
    let dir = Workdir::new();
    if !dir.certificates() {
        return;
    }
    dir.write("token", "t\n");
    dir.sh("mkfifo out").ok();
    // Both ends, so that nobody waits for the other.
    let mut reader = std::fs::File::options().read(true).write(true).open(dir.path("out")).unwrap();
    let options = format!(
        "--udp gelf@0 --tcp 0 --tls 0 {TLS} --hec 127.0.0.1:0 --token-file token --max-connections-per-address 4000"
    );
    let listen = Listen::start(dir, &options, 4);
    let hec = *listen.ports.last().unwrap();
    let lines: Vec<u8> = b"<13>a\n".repeat(20_000);
    let bomb = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        (0..40_000).for_each(|_| gzip.write_all(&br#"{"event":1}"#.repeat(100)).unwrap());
        gzip.finish().unwrap()
    };
    let plain = |place: usize| -> Option<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", listen.ports[place])).ok()?;
        stream.set_nonblocking(true).ok()?;
        Some(stream)
    };
    let mut open = Vec::new();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    // As long as it reads: as many lines that don't end as it keeps.
    for _ in 0..1_200 {
        let Some(mut stream) = plain(1) else { continue };
        let _ = stream.write_all(&[b'z'; 60_000]);
        open.push(stream);
    }
    std::thread::sleep(Duration::from_secs(1));
    for round in 0..setting("HEKA_ATTACK_ROUNDS", 300) as u32 {
        for id in 0..60u64 {
            let id = (round as u64) << 32 | id;
            let size = if id.is_multiple_of(7) { 60_000 } else { 10 };
            let chunk = [&[0x1e, 0x0f][..], &id.to_be_bytes(), &[0, 128], &vec![b'x'; size]].concat();
            let _ = udp.send_to(&chunk, ("127.0.0.1", listen.ports[0]));
        }
        // Whole lines that wait to be read, lines that don't end, TLS that doesn't begin.
        for bytes in [&lines[..], &[b'z'; 60_000], &[b'z'; 30_000]] {
            let Some(mut stream) = plain(1) else { continue };
            let _ = stream.write_all(bytes);
            open.push(stream);
        }
        if let Some(mut stream) = plain(2) {
            let _ = stream.write_all(&[0x16]);
            open.push(stream);
        }
        // Bombs, bodies that don't end, events that don't.
        let gzip = head("", round, bomb.len(), "Content-Encoding: gzip\r\n").into_bytes();
        let half = [head("", round, 60_000_000, "").as_bytes(), br#"{"event":""#, &[b'x'; 200_000]].concat();
        for bytes in [[&gzip[..], &bomb].concat(), half] {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", hec)) else { continue };
            stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
            let _ = stream.write_all(&bytes);
            open.push(stream);
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    let peak = listen.peak();
    println!("peak {peak} MiB");
    assert!(peak < 128, "{peak} MiB");
    // Somebody reads again: honest senders are heard beside what waits.
    drop(open);
    let mut all = Vec::new();
    let mut block = vec![0; 1 << 20];
    let mut honest = TcpStream::connect(("127.0.0.1", listen.ports[1])).unwrap();
    honest.write_all(b"<13>an honest line\n").unwrap();
    let heard = |all: &[u8]| memchr::memmem::find(all, b"an honest line").is_some();
    while !heard(&all) {
        let from = all.len().saturating_sub(100);
        all.drain(..from);
        let read = reader.read(&mut block).unwrap();
        all.extend_from_slice(&block[..read]);
    }
    let ends = std::thread::spawn(move || while reader.read(&mut block).is_ok_and(|read| read > 0) {});
    let peak = listen.peak();
    let (stats, ..) = listen.stop();
    println!("peak {peak} MiB, {stats}");
    assert!(peak < 128, "{peak} MiB, {stats}");
    assert!(stats["gelf_sets_crowded"].as_u64().unwrap() > 0, "{stats}");
    drop(ends);
}

/// A request of an honest HEC client; the answer.
fn post(last: u8, port: u16, path: &str, channel: u32, body: &str) -> String {
    let mut stream = connect(last, port);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all((head(path, channel, body.len(), "Connection: close\r\n") + body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_good_client_is_served_beside_any_number_of_silent_ones() {
    let dir = Workdir::new();
    dir.write("token", "t\n");
    let limits = "--max-connections 300 --max-connections-per-address 64";
    let listen =
        Listen::start(dir, &format!("--tcp 0 --unix ./local --hec 127.0.0.1:0 --token-file token {limits}"), 3);
    let hec = *listen.ports.last().unwrap();
    let mut silent = Vec::new();
    let mut local = Vec::new();
    let mut sent = 0;
    // Silent, from the first byte, in a line, in a header, and of a local user; more than there is room for.
    for begin in [&b""[..], b"<13>half", b"POST /serv"] {
        for place in 0..480u32 {
            let port = if begin.starts_with(b"POST") { hec } else { listen.ports[0] };
            let mut stream = connect(20 + (place % 8) as u8, port);
            let _ = stream.write_all(begin);
            silent.push(stream);
            if place % 4 == 0 {
                local.push(UnixStream::connect(listen.dir.path("local")).unwrap());
            }
        }
        let began = Instant::now();
        sent += 3;
        connect(9, listen.ports[0]).write_all(b"<13>by TCP\n").unwrap();
        UnixStream::connect(listen.dir.path("local")).unwrap().write_all(b"<13>by Unix\n").unwrap();
        let answer = post(9, hec, "/event", 1, r#"{"event":"by HEC"}"#);
        assert!(answer.contains("\"code\":0"), "{answer:?}");
        let good = |listen: &Listen| listen.payloads().iter().filter(|text| text.starts_with("by ")).count();
        eventually("good clients are heard", || good(&listen) >= sent);
        let took = began.elapsed();
        println!("{took:?} beside {begin:?}");
        assert!(took < Duration::from_secs(2), "{took:?} beside {begin:?}");
    }
    let (stats, ..) = listen.stop();
    assert!(stats["connections_evicted"].as_u64().unwrap() > 1000, "{stats}");
}

#[test]
fn a_good_handshake_comes_about_beside_any_number_of_silent_ones() {
    let dir = Workdir::new();
    if !dir.certificates() {
        return;
    }
    let options = format!("--tls 0 {TLS} --max-connections 300 --max-connections-per-address 64");
    let listen = Listen::start(dir, &options, 1);
    let mut silent = Vec::new();
    for begin in [&b""[..], &[0x16], &[0x16, 3, 1, 2, 0, 1]] {
        for place in 0..480u32 {
            let mut stream = connect(20 + (place % 8) as u8, listen.ports[0]);
            let _ = stream.write_all(begin);
            silent.push(stream);
        }
    }
    let began = Instant::now();
    let client = format!("timeout 10 openssl s_client -quiet -connect 127.0.0.1:{} 2> /dev/null", listen.ports[0]);
    let _client = listen.dir.start(&format!("printf '<13>by TLS\\n' | {client}"));
    eventually("by TLS", || listen.payloads().iter().any(|text| text == "by TLS"));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    listen.stop();
}

#[test]
fn few_descriptors_are_enough() {
    let dir = Workdir::new();
    dir.write("token", "t\n");
    let listen = Listen::start(dir, "--tcp 0 --hec 127.0.0.1:0 --token-file token --max-connections 40", 2);
    let silent: Vec<TcpStream> = (0..500).map(|place| connect(20 + (place % 16) as u8, listen.ports[0])).collect();
    listen.dir.sh("true").ok();
    connect(9, listen.ports[0]).write_all(b"<13>a good line\n").unwrap();
    eventually("a good client is heard", || listen.payloads().iter().any(|text| text == "a good line"));
    let open = std::fs::read_dir(format!("/proc/{}/fd", listen.process.child.id())).unwrap().count();
    assert!(open < 80, "{open}");
    drop(silent);
    listen.stop();
}

#[test]
fn new_channels_push_nobody_out() {
    let dir = Workdir::new();
    dir.write("token", "t\n");
    let listen = Listen::start(dir, "--hec 127.0.0.1:0 --token-file token --max-memory 32M", 1);
    let hec = listen.ports[0];
    let event = r#"{"event":"x"}"#;
    let answer = post(9, hec, "/event", 1, event);
    assert!(answer.contains("\"ackId\":0"), "{answer}");
    // More than there is room for.
    let mut many = connect(20, hec);
    let mut answers = many.try_clone().unwrap();
    let reading = std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
    for channel in 2..3_000 {
        many.write_all((head("/event", channel, event.len(), "") + event).as_bytes()).unwrap();
    }
    many.shutdown(std::net::Shutdown::Write).unwrap();
    reading.join().unwrap().unwrap();
    let answer = post(9, hec, "/ack", 1, r#"{"acks":[0,1]}"#);
    assert!(answer.contains(r#""0":true"#) && answer.contains(r#""1":false"#), "{answer}");
    // A question of millions, and one that decompresses to it.
    let asked = format!(r#"{{"acks":[{}1]}}"#, "1,".repeat(200_000));
    assert!(post(9, hec, "/ack", 1, &asked).contains("413"));
    assert!(listen.peak() < 64, "{} MiB", listen.peak());
    listen.stop();
}

#[test]
fn what_is_cut_because_we_close_says_so() {
    let listen = Listen::new("--tcp 0 --max-memory 32M --complete-within 2", 1);
    let mut late = listen.tcp(0);
    late.write_all(b"<13>late").unwrap();
    // Twelve of the 32 MiB are for connections; one address keeps most of it.
    let slow: Vec<TcpStream> = (0..250)
        .map(|_| {
            let mut stream = listen.tcp(0);
            let _ = stream.write_all(&[b'z'; 60_000]);
            stream
        })
        .collect();
    // All are messages in the end: those of who was closed for memory, and those that did not get whole in time.
    let messages = listen.wait(251);
    let cut = messages.iter().filter(|message| super::common::field(message, "truncated").is_some()).count();
    assert_eq!(cut, 251);
    drop(slow);
    let (stats, ..) = listen.stop();
    assert!(stats["connections_closed_for_memory"].as_u64().unwrap() > 0, "{stats}");
    assert_eq!(stats["truncated"], 251, "{stats}");
}
