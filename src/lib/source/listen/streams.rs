//! Connections: TCP, TLS and Unix.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::admission::Connection;
use super::counters::{add, count};
use super::framing::Splitter;
use super::origin::Origin;
use super::proxy::{self, Proxy};
use super::service::Listener;
use super::tls::peer_name;
use super::writer::Writer;
use super::{told, told_for};
use crate::pipeline::report_once;

/// What a connection gives at a time, so that none keeps others waiting.
const BLOCK: usize = 64 * 1024;
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const PROXY_WITHIN: Duration = Duration::from_secs(5);
/// When a stop is asked for, what has arrived is read for so long at most, or until nothing comes for a moment.
const DRAIN: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(50);

thread_local! {
    /// All connections read into the same block: an idle one holds none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; BLOCK]);
}

impl Listener {
    /// Takes TCP connections until `stop` is told; then those that are open are read to the end of what has arrived.
    pub async fn serve_tcp(self: Arc<Listener>, listener: TcpListener, stop: watch::Receiver<bool>) {
        let admit = |connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr| {
            let peer = peer.ip().to_canonical();
            let connection = self.service.admit(Some(peer), self.tls.is_some());
            connections.spawn(self.clone().tcp(stream, peer, connection, stop.clone()));
        };
        serve(&self.writer, |context| listener.poll_accept(context), admit, stop.clone()).await;
    }

    /// Takes connections of a Unix socket, like [`Listener::serve_tcp`].
    pub async fn serve_unix(self: Arc<Listener>, listener: UnixListener, stop: watch::Receiver<bool>) {
        let admit = |connections: &mut JoinSet<()>, stream: UnixStream, _| {
            let connection = self.service.admit(None, false);
            let origin = Origin::new(&self.name, None, None);
            connections.spawn(self.clone().stream(stream, origin, connection, stop.clone()));
        };
        serve(&self.writer, |context| listener.poll_accept(context), admit, stop.clone()).await;
    }

    async fn tcp(
        self: Arc<Listener>,
        mut stream: TcpStream,
        peer: IpAddr,
        connection: Connection,
        stop: watch::Receiver<bool>,
    ) {
        let mut sender = peer;
        if self.proxied {
            let trusted = self.service.limits.proxy_from.iter().any(|network| network.contains(&peer));
            let header = match trusted {
                true => tokio::select! {
                    header = timeout(PROXY_WITHIN, proxy_header(&mut stream)) => header.ok().flatten(),
                    () = connection.evicted() => return,
                },
                false => None,
            };
            let Some(announced) = header else {
                return count(&self.service.counters.proxy_refused);
            };
            sender = announced.unwrap_or(peer);
        }
        let Some(tls) = &self.tls else {
            let origin = Origin::new(&self.name, Some(sender), None);
            return self.stream(stream, origin, connection, stop).await;
        };
        let accepted = {
            let handshake = tls.acceptor().accept(stream);
            let mut stopped = stop.clone();
            tokio::select! {
                accepted = timeout(HANDSHAKE_WITHIN, handshake) => accepted,
                () = connection.evicted() => return,
                () = told_for(&mut stopped, DRAIN) => return,
            }
        };
        let Ok(Ok(stream)) = accepted else {
            return count(&self.service.counters.handshakes_failed);
        };
        let origin = Origin::new(&self.name, Some(sender), peer_name(stream.get_ref().1).as_deref());
        self.stream(stream, origin, connection, stop).await;
    }

    async fn stream(
        self: Arc<Listener>,
        mut stream: impl AsyncRead + Unpin,
        origin: Origin,
        mut connection: Connection,
        mut stop: watch::Receiver<bool>,
    ) {
        let service = &self.service;
        let mut splitter = Splitter::new(self.framing(), service.limits.max_message);
        let mut frames = Vec::new();
        // Since when a message isn't whole.
        let mut since: Option<Instant> = None;
        let mut until = None;
        let mut size = 0;
        loop {
            let now = Instant::now();
            let idle = Some(service.limits.idle).filter(|idle| !idle.is_zero()).map(|idle| now + idle);
            let patience = match until {
                None => [idle, since.map(|since| since + service.limits.whole_within)].into_iter().flatten().min(),
                Some(until) => Some(until).map(|until: Instant| until.min(now + MOMENT)),
            };
            // Years from now is never.
            let patience = patience.unwrap_or(now + Duration::from_secs(1 << 30));
            let mut messages = 0;
            let is_full = || self.writer.is_full();
            let reading = read_block(&mut stream, is_full, |bytes| {
                add(&service.counters.bytes_in, bytes.len() as u64);
                frames.reserve(size);
                messages =
                    service.convert_pieces(self.protocol, &origin, &mut frames, |take| splitter.feed(bytes, take));
            });
            let mut cut = true;
            let read = tokio::select! {
                read = timeout_at(patience, reading) => read,
                // What has arrived of it is a message, as when it ends by itself.
                () = connection.evicted() => Ok(Err(ErrorKind::ConnectionAborted.into())),
                () = told(&mut stop), if until.is_none() => {
                    until = Some(Instant::now() + DRAIN);
                    continue;
                }
            };
            let mut ended = true;
            match read {
                Ok(Ok(Some(1..))) => {
                    connection.touch();
                    let now = Instant::now();
                    ended = until.is_some_and(|until| until < now);
                    since = if splitter.pending() == 0 { None } else { since.filter(|_| messages == 0).or(Some(now)) };
                }
                Ok(Ok(None)) => {
                    // What it has to say waits where it is; nothing can get whole meanwhile.
                    self.writer.room().await;
                    since = since.map(|_| Instant::now());
                    continue;
                }
                Ok(Ok(Some(0))) => cut = false,
                Ok(Err(error)) => cut = error.kind() == ErrorKind::ConnectionAborted,
                Err(_) if until.is_some() => {}
                Err(_) => count(&service.counters.connections_timed_out),
            }
            ended |= !connection.keep(splitter.kept());
            if ended {
                messages +=
                    service.convert_pieces(self.protocol, &origin, &mut frames, |take| splitter.finish(cut, take));
            }
            add(&service.counters.heka_garbage_bytes, std::mem::take(&mut splitter.garbage));
            if std::mem::take(&mut splitter.miscounted) > 0 {
                report_once("counts of octets that are wrong (RFC 6587)", || {
                    let sender = String::from_utf8_lossy(origin.host());
                    format!(
                        "{}: the octet counts of {sender} don't fit its messages; what is left of one is cut at the next",
                        self.name
                    )
                });
            }
            if messages > 0 {
                size = frames.len();
                if !self.writer.submit(std::mem::take(&mut frames), messages, || {}).await {
                    return;
                }
                // While what was read is handed over, no message can get whole.
                since = since.map(|_| Instant::now());
            }
            if ended {
                return;
            }
            // One block a turn: a sender that never pauses keeps nobody waiting.
            tokio::task::yield_now().await;
        }
    }
}

/// Accepts until `stop` is told, and then who has connected already; waits for all that `admit` has begun.
async fn serve<S, A>(
    writer: &Writer,
    accept: impl Fn(&mut Context<'_>) -> Poll<io::Result<(S, A)>>,
    admit: impl Fn(&mut JoinSet<()>, S, A),
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        // While nothing can be written nobody takes another one's place: whose messages wait could not give it up.
        let accepted = tokio::select! {
            accepted = async { writer.room().await; poll_fn(&accept).await } => accepted,
            () = told(&mut stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => admit(&mut connections, stream, peer),
            // Out of descriptors, for one: pause instead of spinning.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    // Whoever has connected and not been accepted yet believes that it is heard.
    while let Ok(Ok((stream, peer))) = timeout(Duration::ZERO, poll_fn(&accept)).await {
        admit(&mut connections, stream, peer);
    }
    while connections.join_next().await.is_some() {}
}

/// Reads once, into the block that all share; nothing when something has arrived, or may have, and `is_full`.
async fn read_block(
    stream: &mut (impl AsyncRead + Unpin),
    is_full: impl Fn() -> bool,
    take: impl FnOnce(&[u8]),
) -> io::Result<Option<usize>> {
    let mut take = Some(take);
    poll_fn(|context| {
        if is_full() {
            return Poll::Ready(Ok(None));
        }
        SCRATCH.with_borrow_mut(|block| {
            let mut buf = ReadBuf::new(block);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut buf))?;
            let bytes = buf.filled();
            if let Some(take) = take.take().filter(|_| !bytes.is_empty()) {
                take(bytes);
            }
            Poll::Ready(Ok(Some(bytes.len())))
        })
    })
    .await
}

/// Reads a header of the PROXY protocol, and not a byte more; nothing when it is none.
async fn proxy_header(stream: &mut TcpStream) -> Option<Option<IpAddr>> {
    let mut bytes = Vec::new();
    loop {
        match proxy::parse(&bytes) {
            Proxy::Header { sender, .. } => return Some(sender),
            Proxy::Invalid => return None,
            Proxy::Incomplete(wanted) => {
                let read = bytes.len();
                bytes.resize(wanted, 0);
                stream.read_exact(&mut bytes[read..]).await.ok()?;
            }
        }
    }
}
