//! Opening everything that is listened at, and serving it until the end.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket, UnixDatagram, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::address::{Port, Protocol, Socket};
use super::hec::Hec;
use super::service::{Listener, Service};
use super::sockets::{self, Inherited, UnixFile};
use super::tls::Tls;
use super::told;
use super::writer::Writer;
use crate::pipeline::{Failure, describe, load_keys, report};

/// How often it is looked at what the kernel drops.
const DROPS_EVERY: Duration = Duration::from_secs(60);

/// All listeners of a process. To be used inside of an event loop.
pub struct Listeners<'s> {
    service: &'s Arc<Service>,
    writer: Writer,
    tls: Option<&'s Tls>,
    default: Protocol,
    stop: watch::Receiver<bool>,
    serving: JoinSet<()>,
    files: Vec<UnixFile>,
}

impl<'s> Listeners<'s> {
    /// `default`: what is spoken where no protocol is named.
    pub fn new(
        service: &'s Arc<Service>,
        writer: &Writer,
        tls: Option<&'s Tls>,
        default: Protocol,
        stop: watch::Receiver<bool>,
    ) -> Listeners<'s> {
        let writer = writer.clone();
        Listeners { service, writer, tls, default, stop, serving: JoinSet::new(), files: Vec::new() }
    }

    /// Whether there is nothing to serve.
    pub fn is_empty(&self) -> bool {
        self.serving.is_empty()
    }

    fn listener(&self, protocol: Option<Protocol>, name: String, tls: Option<&Tls>, proxied: bool) -> Arc<Listener> {
        Arc::new(Listener {
            service: self.service.clone(),
            writer: self.writer.clone(),
            protocol: protocol.unwrap_or(self.default),
            name: name.into(),
            tls: tls.cloned(),
            proxied,
        })
    }

    /// # Errors
    /// When an address can't be bound.
    pub fn udp(&mut self, port: Port, all: &[IpAddr], buffer: usize) -> Result<(), Failure> {
        for address in port.addresses(all) {
            let explain = |error: std::io::Error| Failure::failed(format!("--udp {address}: {}", describe(&error)));
            self.serve_udp(port.protocol, sockets::udp(address).map_err(explain)?, buffer).map_err(explain)?;
        }
        Ok(())
    }

    fn serve_udp(
        &mut self,
        protocol: Option<Protocol>,
        socket: std::net::UdpSocket,
        buffer: usize,
    ) -> std::io::Result<()> {
        let granted = sockets::enlarge(&socket, buffer);
        let local = socket.local_addr()?;
        let listener = self.listener(protocol, format!("udp:{}", local.port()), None, false);
        let inode = std::fs::File::from(socket.as_fd().try_clone_to_owned()?).metadata()?.ino();
        self.service.watch_drops(inode, &listener.name);
        let name = listener.protocol.name();
        let less =
            if granted < buffer { format!(" ({buffer} were asked for: see net.core.rmem_max)") } else { String::new() };
        report(&format!("{name}, udp, with a receive buffer of {granted} bytes{less}, at {local}"));
        self.serving.spawn(listener.serve_udp(UdpSocket::from_std(socket)?, self.stop.clone()));
        Ok(())
    }

    /// # Errors
    /// When an address can't be bound.
    pub fn tcp(&mut self, port: Port, all: &[IpAddr], secure: bool, proxied: bool) -> Result<(), Failure> {
        let kind = if secure { "tls" } else { "tcp" };
        for address in port.addresses(all) {
            let explain = |error: std::io::Error| Failure::failed(format!("--{kind} {address}: {}", describe(&error)));
            let socket = sockets::tcp(address).map_err(explain)?;
            self.serve_tcp(port.protocol, socket, secure, proxied).map_err(explain)?;
        }
        Ok(())
    }

    fn serve_tcp(
        &mut self,
        protocol: Option<Protocol>,
        socket: std::net::TcpListener,
        secure: bool,
        proxied: bool,
    ) -> std::io::Result<()> {
        let local = socket.local_addr()?;
        let kind = if secure { "tls" } else { "tcp" };
        let tls = self.tls.filter(|_| secure);
        let listener = self.listener(protocol, format!("{kind}:{}", local.port()), tls, proxied);
        report(&format!("{}, {kind}, at {local}", listener.protocol.name()));
        self.serving.spawn(listener.serve_tcp(TcpListener::from_std(socket)?, self.stop.clone()));
        Ok(())
    }

    /// # Errors
    /// When the path can't be taken.
    pub fn unix(&mut self, socket: &Socket) -> Result<(), Failure> {
        let path = socket.path.display();
        let explain = |error: std::io::Error| Failure::failed(format!("--unix {path}: {}", describe(&error)));
        let (listener, file) = sockets::unix(&socket.path).map_err(explain)?;
        self.files.push(file);
        self.serve_unix(socket.protocol, format!("unix:{path}"), listener).map_err(explain)
    }

    fn serve_unix(
        &mut self,
        protocol: Option<Protocol>,
        name: String,
        socket: std::os::unix::net::UnixListener,
    ) -> std::io::Result<()> {
        let listener = self.listener(protocol, name, None, false);
        report(&format!("{}, {}", listener.protocol.name(), listener.name));
        self.serving.spawn(listener.serve_unix(UnixListener::from_std(socket)?, self.stop.clone()));
        Ok(())
    }

    /// # Errors
    /// When the path can't be taken.
    pub fn unixgram(&mut self, socket: &Socket) -> Result<(), Failure> {
        let path = socket.path.display();
        let explain = |error: std::io::Error| Failure::failed(format!("--unixgram {path}: {}", describe(&error)));
        let (datagrams, file) = sockets::unixgram(&socket.path).map_err(explain)?;
        self.files.push(file);
        self.serve_unixgram(socket.protocol, format!("unixgram:{path}"), datagrams).map_err(explain)
    }

    fn serve_unixgram(
        &mut self,
        protocol: Option<Protocol>,
        name: String,
        socket: std::os::unix::net::UnixDatagram,
    ) -> std::io::Result<()> {
        let listener = self.listener(protocol, name, None, false);
        report(&format!("{}, {}", listener.protocol.name(), listener.name));
        self.serving.spawn(listener.serve_unixgram(UnixDatagram::from_std(socket)?, self.stop.clone()));
        Ok(())
    }

    /// Takes what systemd hands over. A socket's name says what is spoken there: `syslog`, `gelf`, `heka`, with `-tls`
    /// behind it where it is TLS; any other name is the default.
    ///
    /// # Errors
    /// When a descriptor is no socket, or TLS is wanted and there is no certificate.
    pub fn inherited(&mut self, buffer: usize) -> Result<(), Failure> {
        for (name, socket) in sockets::inherited().map_err(Failure::usage)? {
            let secure = name.ends_with("-tls");
            let protocol = name.strip_suffix("-tls").unwrap_or(&name).parse().ok();
            if secure && self.tls.is_none() {
                return Err(Failure::usage(format!("socket {name} of systemd: TLS needs --cert and --key")));
            }
            match socket {
                Inherited::Tcp(listener) => self.serve_tcp(protocol, listener, secure, false),
                Inherited::Udp(socket) => self.serve_udp(protocol, socket, buffer),
                Inherited::Unix(listener) => {
                    let path = path_of(listener.local_addr().ok());
                    self.serve_unix(protocol, format!("unix:{path}"), listener)
                }
                Inherited::Unixgram(socket) => {
                    let path = path_of(socket.local_addr().ok());
                    self.serve_unixgram(protocol, format!("unixgram:{path}"), socket)
                }
            }
            .map_err(|error| Failure::failed(format!("socket {name:?} of systemd: {}", describe(&error))))?;
        }
        Ok(())
    }

    /// # Errors
    /// When the address can't be bound.
    pub fn hec(&mut self, address: SocketAddr, server: &Arc<Hec>) -> Result<(), Failure> {
        let explain = |error: std::io::Error| Failure::failed(format!("--hec {address}: {}", describe(&error)));
        let socket = sockets::tcp(address).map_err(explain)?;
        let local = socket.local_addr().map_err(explain)?;
        let listener = TcpListener::from_std(socket).map_err(explain)?;
        report(&format!("HEC at {local}"));
        self.serving.spawn(server.clone().serve(listener, self.stop.clone()));
        Ok(())
    }

    /// Reads certificates and signers again at each SIGHUP.
    ///
    /// # Errors
    /// When the signal can't be caught.
    pub fn reload_on_hangup(&mut self, signers: Option<PathBuf>) -> Result<(), Failure> {
        let mut hangups = signal(SignalKind::hangup()).map_err(|error| Failure::failed(format!("SIGHUP: {error}")))?;
        let (service, tls, mut stop) = (self.service.clone(), self.tls.cloned(), self.stop.clone());
        self.serving.spawn(async move {
            loop {
                tokio::select! {
                    _ = hangups.recv() => {}
                    () = told(&mut stop) => return,
                }
                let reloaded = tls
                    .as_ref()
                    .map_or(Ok(()), Tls::reload)
                    .and_then(|()| signers.as_deref().map(load_keys).transpose());
                match reloaded {
                    Ok(keys) => {
                        keys.into_iter().for_each(|keys| service.set_keys(keys));
                        report("certificates and signers were read again");
                    }
                    Err(Failure::Message(_, message)) => report(&format!("{message}; what was read before stays")),
                    Err(Failure::ClosedPipe) => {}
                }
            }
        });
        Ok(())
    }

    /// Serves until the end.
    pub async fn serve(mut self) {
        let service = self.service.clone();
        let mut stop = self.stop.clone();
        self.serving.spawn(async move {
            let mut look = tokio::time::interval(DROPS_EVERY);
            loop {
                tokio::select! {
                    _ = look.tick() => service.report_drops(),
                    // While the sockets are open yet.
                    () = told(&mut stop) => return service.report_drops(),
                }
            }
        });
        while self.serving.join_next().await.is_some() {}
    }
}

fn path_of(address: Option<std::os::unix::net::SocketAddr>) -> String {
    address.and_then(|address| Some(address.as_pathname()?.display().to_string())).unwrap_or_default()
}
