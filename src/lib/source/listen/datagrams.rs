//! Reading datagrams, many with one system call.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrLike, SockaddrStorage, recvmmsg};
use tokio::io::Interest;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::watch;
use tokio::time::Instant;

use super::service::{CachedOrigin, Listener};
use super::told;

/// Datagrams of one system call.
const BATCH: usize = 64;
/// Frames that are handed over at once.
const BLOCK: usize = 256 * 1024;
/// Datagrams at once that say that there is much to come, and how long to let it gather. The kernel's buffer holds
/// many times what comes meanwhile. With it, 440,000 datagrams took a second of the processor, without it 410,000.
const FEW: usize = 8;
const MOMENT: Duration = Duration::from_millis(1);
/// No datagram of UDP is longer.
const LONGEST: usize = 65_535;
/// When a stop is asked for, what has arrived is read for so long at most.
const DRAIN: Duration = Duration::from_secs(1);

thread_local! {
    /// Pages that no datagram has reached take no memory.
    static BUFFERS: RefCell<Vec<u8>> = RefCell::new(vec![0; BATCH * LONGEST]);
}

/// A kind of datagram socket.
trait Datagrams: AsRawFd + Sync {
    /// Addresses of senders, as it gives them.
    type Address: SockaddrLike + Copy;

    fn sender(address: &Self::Address) -> Option<IpAddr>;

    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    fn try_io<R>(&self, read: impl FnOnce() -> io::Result<R>) -> io::Result<R>;
}

impl Datagrams for UdpSocket {
    type Address = SockaddrStorage;

    fn sender(address: &SockaddrStorage) -> Option<IpAddr> {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()).to_canonical()))
    }

    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        UdpSocket::readable(self)
    }

    fn try_io<R>(&self, read: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        UdpSocket::try_io(self, Interest::READABLE, read)
    }
}

impl Datagrams for UnixDatagram {
    /// Senders have no names.
    type Address = ();

    fn sender((): &()) -> Option<IpAddr> {
        None
    }

    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        UnixDatagram::readable(self)
    }

    fn try_io<R>(&self, read: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        UnixDatagram::try_io(self, Interest::READABLE, read)
    }
}

impl Listener {
    /// Reads a UDP socket until `stop` is told.
    pub async fn serve_udp(self: Arc<Listener>, socket: UdpSocket, stop: watch::Receiver<bool>) {
        self.serve_datagrams(socket, stop).await;
    }

    /// Reads a Unix datagram socket until `stop` is told.
    pub async fn serve_unixgram(self: Arc<Listener>, socket: UnixDatagram, stop: watch::Receiver<bool>) {
        self.serve_datagrams(socket, stop).await;
    }

    async fn serve_datagrams<D: Datagrams>(&self, socket: D, mut stop: watch::Receiver<bool>) {
        let mut origin = CachedOrigin::new(&self.name);
        let mut frames = Vec::new();
        let mut until = None;
        loop {
            match until {
                None => tokio::select! {
                    _ = socket.readable() => {}
                    () = told(&mut stop) => {
                        until = Some(Instant::now() + DRAIN);
                        continue;
                    }
                },
                // What has arrived is there at once.
                Some(until) => {
                    let ready = tokio::time::timeout(Duration::ZERO, socket.readable()).await;
                    if ready.is_err() || until < Instant::now() {
                        return;
                    }
                }
            }
            let (mut messages, mut datagrams, mut drained) = (0, 0, false);
            // An error is nothing that was received, or an earlier sender's, which is told once.
            while let Ok((made, received)) = socket.try_io(|| self.receive(&socket, &mut origin, &mut frames)) {
                messages += made;
                datagrams += received;
                drained = received < BATCH;
                if drained || frames.len() > BLOCK {
                    break;
                }
            }
            if messages > 0 {
                let size = frames.len();
                let full = std::mem::replace(&mut frames, Vec::with_capacity(size));
                if !self.writer.submit(full, messages, || {}).await {
                    return;
                }
            }
            if drained && datagrams >= FEW && until.is_none() {
                // More will come in a moment: being woken for each costs more than reading it.
                tokio::time::sleep(MOMENT).await;
            } else {
                // One block a turn, as connections have.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Makes frames of datagrams that are there; answers how many messages, and how many datagrams.
    fn receive<D: Datagrams>(
        &self,
        socket: &D,
        origin: &mut CachedOrigin,
        frames: &mut Vec<u8>,
    ) -> io::Result<(u64, usize)> {
        BUFFERS.with_borrow_mut(|buffers| {
            let mut headers = MultiHeaders::<D::Address>::preallocate(BATCH, None);
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                buffers.chunks_mut(LONGEST).map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?;
            let mut number = 0;
            let datagrams = received.map(|message| {
                number += 1;
                let bytes = message.iovs().next().unwrap_or_default();
                let cut = message.flags.contains(MsgFlags::MSG_TRUNC);
                (message.address.as_ref().and_then(D::sender), bytes, cut)
            });
            let messages = self.service.convert_datagrams(self.protocol, datagrams, origin, frames);
            Ok((messages, number))
        })
    }
}
