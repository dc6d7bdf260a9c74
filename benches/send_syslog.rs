//! A sender for benches/listen.sh: RFC 5424 messages, as fast as they go or at a rate.
//!
//!     cargo bench --bench send_syslog -- tcp 127.0.0.1:514 1000000
//!     cargo bench --bench send_syslog -- udp 127.0.0.1:514 1000000 400000

use std::io::{IoSlice, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};

/// Datagrams of one system call.
const BATCH: usize = 64;
/// Messages that are made beforehand and sent in turn: what is measured is the receiver.
const DIFFERENT: u64 = 64 * 500;

fn message(number: u64) -> String {
    format!(
        "<{}>1 2026-11-21T06:{:02}:{:02}.{:06}Z host{}.example.com app{} {} ID{} [timeQuality tzKnown=\"1\" isSynced=\"1\"] request {number} handled in {} ms by worker {}\n",
        number % 192,
        number / 60 % 60,
        number % 60,
        number % 1_000_000,
        number % 7,
        number % 5,
        number % 30_000,
        number % 50,
        number % 977,
        number % 16
    )
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [kind, address, count, rest @ ..] = &arguments[..] else {
        // Run with all the others, it has nothing to do.
        return;
    };
    let count: u64 = count.parse().expect("a number of messages");
    let rate: u64 = rest.first().map_or(u64::MAX, |rate| rate.parse().expect("messages a second"));
    let begun = Instant::now();
    if kind == "tcp" {
        let mut stream = TcpStream::connect(address).expect("connect");
        let mut block = Vec::new();
        for number in 0..count {
            block.extend_from_slice(message(number).as_bytes());
            if block.len() > 64 * 1024 || number + 1 == count {
                stream.write_all(&block).expect("send");
                block.clear();
            }
        }
    } else {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.connect(address).expect("connect");
        let mut headers = MultiHeaders::<()>::preallocate(BATCH, None);
        let texts: Vec<String> = (0..DIFFERENT).map(message).collect();
        let mut next = 0;
        while next < count {
            let place = (next % DIFFERENT) as usize;
            let texts = &texts[place..place + BATCH.min((count - next) as usize)];
            let slices: Vec<[IoSlice<'_>; 1]> = texts.iter().map(|text| [IoSlice::new(text.as_bytes())]).collect();
            let addresses = vec![None; slices.len()];
            let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, &addresses, [], MsgFlags::empty());
            next += sent.expect("send").count() as u64;
            let due = begun + Duration::from_secs_f64(next as f64 / rate as f64);
            if let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| wait.as_micros() > 100) {
                std::thread::sleep(wait);
            }
        }
    }
    println!("{:.0} messages a second", count as f64 / begun.elapsed().as_secs_f64());
}
