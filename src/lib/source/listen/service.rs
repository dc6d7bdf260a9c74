//! What all listeners share: limits, counts, and the makers of messages.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::address::Protocol;
use super::admission::{Admission, CONNECTION, Connection, TLS};
use super::chunks::{Chunks, MAGIC};
use super::counters::{Counters, add, count};
use super::framing::{Framing, Piece, trimmed};
use super::gelf::{Gelf, is_compressed};
use super::memory::Shares;
use super::origin::Origin;
use super::sockets;
use super::syslog::Syslog;
use super::tls::Tls;
use super::writer::{Counts, Writer};
use crate::message::now_ns;
use crate::pipeline::{Stats, report};
use crate::source::Signed;
use crate::stream::{Effort, Frame, Scanned, put_frame_like, scan};
use ipnet::IpNet;

/// What senders are held to.
#[derive(Clone, Debug)]
pub struct Limits {
    pub max_message: usize,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    /// A connection that sends nothing for so long is closed; zero for never.
    pub idle: Duration,
    pub memory: Shares,
    /// A message has to be whole so long after its first byte.
    pub whole_within: Duration,
    /// GELF over connections may end with a line's end, too.
    pub gelf_line: bool,
    /// Who may send headers of the PROXY protocol.
    pub proxy_from: Vec<IpNet>,
}

/// What all listeners share.
pub struct Service {
    pub limits: Limits,
    pub counters: Counters,
    written: Arc<Counts>,
    syslog: Mutex<Syslog>,
    gelf: Mutex<Gelf>,
    signed: Mutex<Signed>,
    chunks: Mutex<Chunks>,
    admission: Arc<Admission>,
    udp: Mutex<Vec<UdpSocket>>,
}

/// One place where senders connect or send to.
pub struct Listener {
    pub service: Arc<Service>,
    pub writer: Writer,
    pub protocol: Protocol,
    /// Transport and port or path, such as `tls:6514`.
    pub name: Arc<str>,
    pub tls: Option<Tls>,
    /// Connections begin with a header of the PROXY protocol.
    pub proxied: bool,
}

/// A socket whose drops are looked at.
struct UdpSocket {
    inode: u64,
    name: Arc<str>,
    dropped: u64,
    reported: u64,
}

/// Whoever panicked with it left nothing half done.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    pub fn new(
        limits: Limits,
        written: Arc<Counts>,
        syslog: Syslog,
        gelf: Gelf,
        signed: Signed,
        max_sets: usize,
    ) -> Arc<Service> {
        let admission =
            Admission::new(limits.max_connections, limits.max_connections_per_address, limits.memory.connections);
        let chunks = Chunks::new(max_sets, limits.memory.chunks);
        Arc::new(Service {
            limits,
            counters: Counters::default(),
            written,
            syslog: Mutex::new(syslog),
            gelf: Mutex::new(gelf),
            signed: Mutex::new(signed),
            chunks: Mutex::new(chunks),
            admission,
            udp: Mutex::default(),
        })
    }

    /// Other keys, for messages to come.
    pub fn set_keys(&self, keys: crate::stream::Keys) {
        lock(&self.signed).set_keys(keys);
    }

    /// Looks at what the kernel drops of a UDP socket.
    pub fn watch_drops(&self, inode: u64, name: &Arc<str>) {
        lock(&self.udp).push(UdpSocket { inode, name: name.clone(), dropped: 0, reported: 0 });
    }

    /// Says which UDP sockets have lost datagrams since it was said last.
    pub fn report_drops(&self) {
        self.look_at_drops();
        for socket in lock(&self.udp).iter_mut().filter(|socket| socket.dropped > socket.reported) {
            let new = socket.dropped - socket.reported;
            report(&format!("{}: the kernel dropped {new} datagrams that were not read in time", socket.name));
            socket.reported = socket.dropped;
        }
    }

    fn look_at_drops(&self) {
        let mut sockets = lock(&self.udp);
        for socket in sockets.iter_mut() {
            // A socket that is closed is not in the table any more.
            socket.dropped = socket.dropped.max(sockets::dropped(socket.inode));
        }
        self.counters.udp_dropped.store(sockets.iter().map(|socket| socket.dropped).sum(), Ordering::Relaxed);
    }

    pub fn stats(&self) -> Stats {
        self.look_at_drops();
        let open = {
            let mut chunks = lock(&self.chunks);
            chunks.expire(Instant::now());
            let counts = [
                (&self.counters.gelf_chunks_invalid, chunks.dropped.invalid),
                (&self.counters.gelf_chunks_repeated, chunks.dropped.repeated),
                (&self.counters.gelf_sets_late, chunks.dropped.late),
                (&self.counters.gelf_sets_crowded, chunks.dropped.crowded),
            ];
            counts.iter().for_each(|(counter, value)| counter.store(*value, Ordering::Relaxed));
            chunks.open()
        };
        let mut stats = self.written.stats();
        self.counters.put(&mut stats);
        // Still waiting for chunks; lost, when this is the end.
        stats.set("gelf_sets_open", open as u64);
        stats.set("connections_closed_for_memory", self.admission.closed_for_memory());
        stats
    }

    /// Room for one more connection.
    pub fn admit(&self, sender: Option<IpAddr>, tls: bool) -> Connection {
        let (mut connection, evicted) = self.admission.admit(sender);
        connection.takes(CONNECTION + if tls { TLS } else { 0 });
        count(&self.counters.connections);
        if evicted {
            count(&self.counters.connections_evicted);
        }
        connection
    }

    /// Makes frames of the messages that `run` hands out.
    fn convert(
        &self,
        protocol: Protocol,
        is_datagram: bool,
        frames: &mut Vec<u8>,
        run: impl FnOnce(&mut dyn FnMut(Piece<'_>, &Origin)),
    ) -> u64 {
        let (mut messages, mut truncated, mut unparsed, mut refused) = (0, 0, 0, 0);
        match protocol {
            Protocol::Syslog => {
                let mut syslog = lock(&self.syslog);
                syslog.at(now_ns());
                run(&mut |piece, origin| {
                    messages += 1;
                    truncated += piece.truncated as u64;
                    unparsed += !syslog.put(piece.bytes, piece.truncated, origin, frames) as u64;
                });
            }
            Protocol::Gelf => {
                let mut gelf = lock(&self.gelf);
                gelf.at(now_ns());
                run(&mut |piece, origin| {
                    messages += 1;
                    truncated += piece.truncated as u64;
                    let good = match is_datagram {
                        true => gelf.put_compressed(piece.bytes, origin, frames),
                        false => gelf.put(piece.bytes, piece.truncated, origin, frames),
                    };
                    unparsed += !good as u64;
                });
            }
            Protocol::Heka => {
                let signed = lock(&self.signed);
                run(&mut |piece, _| {
                    let passes = put(&signed, piece, frames);
                    messages += passes as u64;
                    refused += !passes as u64;
                });
            }
        }
        add(&self.counters.truncated, truncated);
        add(&self.counters.unparsed, unparsed);
        add(&self.counters.heka_refused, refused);
        messages
    }

    /// Messages of a connection.
    pub fn convert_pieces(
        &self,
        protocol: Protocol,
        origin: &Origin,
        frames: &mut Vec<u8>,
        run: impl FnOnce(&mut dyn FnMut(Piece<'_>)),
    ) -> u64 {
        self.convert(protocol, false, frames, |take| run(&mut |piece| take(piece, origin)))
    }

    /// Datagrams, each with its sender and whether it was longer than the buffer; `origin` makes an origin of one.
    pub fn convert_datagrams<'d>(
        &self,
        protocol: Protocol,
        datagrams: impl Iterator<Item = (Option<IpAddr>, &'d [u8], bool)>,
        origin: &mut CachedOrigin,
        frames: &mut Vec<u8>,
    ) -> u64 {
        let mut chunks = (protocol == Protocol::Gelf).then(|| (lock(&self.chunks), Instant::now()));
        let (mut number, mut empty, mut garbage) = (0, 0, 0);
        let messages = self.convert(protocol, true, frames, |take| {
            for (sender, datagram, cut) in datagrams {
                number += 1;
                add(&self.counters.bytes_in, datagram.len() as u64);
                let origin = origin.of(sender);
                match (&mut chunks, protocol) {
                    (Some((chunks, now)), _) if datagram.starts_with(&MAGIC) => {
                        if let Some(message) = chunks.take(sender, datagram, *now) {
                            take(Piece { bytes: &message, truncated: false }, origin);
                        }
                    }
                    (_, Protocol::Heka) => {
                        let mut rest = datagram;
                        let mut effort = Effort::new(datagram.len());
                        loop {
                            let (skipped, found) = scan(rest, self.limits.max_message, &mut effort);
                            garbage += skipped as u64;
                            let Scanned::Frame(frame) = found else {
                                garbage += (rest.len() - skipped) as u64;
                                break;
                            };
                            take(Piece { bytes: frame.raw(), truncated: false }, origin);
                            rest = &rest[skipped + frame.raw().len()..];
                        }
                    }
                    _ => {
                        let text = if protocol == Protocol::Gelf && is_compressed(datagram) {
                            datagram
                        } else {
                            trimmed(datagram)
                        };
                        if text.is_empty() {
                            empty += 1;
                            continue;
                        }
                        let bytes = text.get(..self.limits.max_message).filter(|_| protocol == Protocol::Syslog);
                        let truncated = cut || bytes.is_some_and(|bytes| bytes.len() < text.len());
                        take(Piece { bytes: bytes.unwrap_or(text), truncated }, origin);
                    }
                }
            }
        });
        add(&self.counters.datagrams, number);
        add(&self.counters.datagrams_empty, empty);
        add(&self.counters.heka_garbage_bytes, garbage);
        messages
    }
}

impl Listener {
    /// How messages of a connection are told apart.
    pub fn framing(&self) -> Framing {
        match self.protocol {
            Protocol::Syslog => Framing::Syslog,
            Protocol::Gelf if self.service.limits.gelf_line => Framing::NulOrLine,
            Protocol::Gelf => Framing::Nul,
            Protocol::Heka => Framing::Heka,
        }
    }
}

/// The origin of the sender that was heard last: most datagrams come from the same few.
pub struct CachedOrigin {
    sender: Option<IpAddr>,
    origin: Origin,
}

impl CachedOrigin {
    pub fn new(listener: &Arc<str>) -> CachedOrigin {
        CachedOrigin { sender: None, origin: Origin::new(listener, None, None) }
    }

    fn of(&mut self, sender: Option<IpAddr>) -> &Origin {
        if self.sender != sender {
            self.sender = sender;
            self.origin = self.origin.from(sender);
        }
        &self.origin
    }
}

/// Appends the frame of a message that may come in.
fn put(signed: &Signed, piece: Piece<'_>, frames: &mut Vec<u8>) -> bool {
    let Some(frame) = Frame::parse(piece.bytes).filter(|frame| signed.passes(frame)) else { return false };
    // A cursor speaks for a source on this machine. One from the network could move the checkpoint of a file here, or
    // count as read what another host has read of a file of that name. A signature doesn't cover it.
    match frame.header().has_cursor() {
        true => put_frame_like(frames, &frame, None),
        false => frames.extend_from_slice(piece.bytes),
    }
    true
}
