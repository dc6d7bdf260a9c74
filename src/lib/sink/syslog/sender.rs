//! Lines to a syslog server: by Unix sockets, UDP, TCP and TLS.
//!
//! Syslog has no acknowledgement. What a stream takes is written in blocks; before each, it is asked whether the server
//! has closed the connection, so that what it would lose is as little as can be known.

use std::io::{self, Read as _, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::net::pem::SYSTEM_AUTHORITIES;
use crate::net::tls::{TlsOptions, client_config};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is collected for a stream before it is written.
const BLOCK: usize = 64 * 1024;
/// Where systems listen, datagrams first.
const LOCAL: [&str; 2] = ["/dev/log", "/var/run/syslog"];

/// Where lines go.
#[derive(Clone)]
pub enum Address {
    /// The system's own socket.
    Local,
    Unix(PathBuf),
    /// Host and port.
    Udp(String),
    Tcp(String),
    Tls {
        address: String,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
    },
}

impl Address {
    /// Reads `unix:PATH`, `udp://HOST[:PORT]`, `tcp://…`, `tls://…`; the ports are 514, and 6514 for TLS. `ca` is a
    /// PEM file of authorities for TLS instead of the system's.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str, ca: Option<&Path>) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Address::Unix(path.into()));
        }
        let wrong = || format!("{text}: expected unix:PATH, udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT");
        let (scheme, host) = text.split_once("://").ok_or_else(wrong)?;
        let host = host.trim_end_matches('/');
        if host.is_empty() {
            return Err(wrong());
        }
        let (name, port) = match host.rsplit_once(':') {
            // An IPv6 address has colons of its own, in brackets when a port follows.
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        let number = |usual: u16| port.map_or(Ok(usual), |port| port.parse().map_err(|_| wrong()));
        Ok(match scheme {
            "udp" => Address::Udp(format!("{name}:{}", number(514)?)),
            "tcp" => Address::Tcp(format!("{name}:{}", number(514)?)),
            "tls" => Address::Tls {
                address: format!("{name}:{}", number(6514)?),
                name: ServerName::try_from(name.trim_matches(['[', ']']).to_string())
                    .map_err(|error| format!("{name}: {error}"))?,
                config: client_config(&TlsOptions {
                    ca: Some(ca.unwrap_or(Path::new(SYSTEM_AUTHORITIES)).into()),
                    ..TlsOptions::default()
                })?,
            },
            _ => return Err(wrong()),
        })
    }

    fn connect(&self) -> io::Result<Connection> {
        match self {
            Address::Local => {
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                for path in LOCAL {
                    match connect_unix(Path::new(path)) {
                        Ok(connection) => return Ok(connection),
                        Err(error) => last = error,
                    }
                }
                Err(io::Error::new(last.kind(), format!("Unix syslog delivery error: {last}")))
            }
            Address::Unix(path) => connect_unix(path),
            Address::Udp(address) => each_address(address, |address| {
                let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Ok(Connection::Udp(socket))
            }),
            Address::Tcp(address) => connect_tcp(address).map(Connection::Tcp),
            Address::Tls { address, name, config } => {
                let tcp = connect_tcp(address)?;
                let session = ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(session, tcp);
                // Certificates are looked at now, not with the first line.
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Ok(Connection::Tls(Box::new(stream)))
            }
        }
    }
}

fn each_address<T>(text: &str, connect: impl Fn(std::net::SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in text.to_socket_addrs()? {
        match connect(address) {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_tcp(address: &str) -> io::Result<TcpStream> {
    each_address(address, |address| {
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        Ok(stream)
    })
}

/// A datagram socket, or a stream where that is what listens.
fn connect_unix(path: &Path) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    match socket.connect(path) {
        Ok(()) => Ok(Connection::Datagram(socket)),
        // It is of the other kind.
        Err(error) if is(&error, Errno::PROTOTYPE) => UnixStream::connect(path).map(Connection::Stream),
        Err(error) => Err(error),
    }
}

enum Connection {
    Datagram(UnixDatagram),
    Stream(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    fn is_stream(&self) -> bool {
        matches!(self, Connection::Stream(_) | Connection::Tcp(_) | Connection::Tls(_))
    }

    /// Whether the server has closed it: it sends nothing else.
    fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let closed = |result: io::Result<usize>| match result {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        };
        match self {
            Connection::Stream(stream) => {
                if stream.set_nonblocking(true).is_err() {
                    return true;
                }
                let closed = closed(stream.read(&mut byte));
                closed || stream.set_nonblocking(false).is_err()
            }
            Connection::Tcp(stream) => {
                if stream.set_nonblocking(true).is_err() {
                    return true;
                }
                let closed = closed(stream.peek(&mut byte));
                closed || stream.set_nonblocking(false).is_err()
            }
            Connection::Tls(stream) => {
                if stream.sock.set_nonblocking(true).is_err() {
                    return true;
                }
                let closed = closed(stream.read(&mut byte));
                closed || stream.sock.set_nonblocking(false).is_err()
            }
            Connection::Datagram(_) | Connection::Udp(_) => false,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Connection::Datagram(socket) => socket.send(bytes).map(drop),
            Connection::Udp(socket) => socket.send(bytes).map(drop),
            Connection::Stream(stream) => stream.write_all(bytes),
            Connection::Tcp(stream) => stream.write_all(bytes),
            Connection::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// Whether a datagram was longer than the receiver's socket takes: it never will.
pub fn is_too_long(error: &io::Error) -> bool {
    is(error, Errno::MSGSIZE)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Sends lines to one place.
pub struct Sender {
    address: Address,
    connection: Option<Connection>,
    /// For a stream: lines on their way.
    block: Vec<u8>,
    /// A line that has not been put into the block, or sent.
    waiting: Vec<u8>,
}

impl Sender {
    pub fn new(address: Address) -> Sender {
        Sender { address, connection: None, block: Vec::new(), waiting: Vec::new() }
    }

    /// Whether the receiver is on this machine, by a path.
    pub fn is_unix(&self) -> bool {
        matches!(self.address, Address::Local | Address::Unix(_))
    }

    /// Gives up on what could not be sent.
    pub fn forget(&mut self) {
        self.block.clear();
        self.waiting.clear();
    }

    /// Takes a line, without its end. After an error [`Sender::flush`] sends it.
    pub fn send(&mut self, line: &[u8]) -> io::Result<()> {
        self.waiting.clear();
        self.waiting.extend_from_slice(line);
        if self.connection.as_ref().is_some_and(Connection::is_stream) {
            self.put_into_block();
            if self.block.len() < BLOCK {
                return Ok(());
            }
        }
        self.flush()
    }

    /// For a stream: the line with what tells its end.
    fn put_into_block(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if memchr::memchr2(b'\n', b'\r', &self.waiting).is_some() {
            // RFC 6587: the length instead of a line end.
            self.block.extend_from_slice(format!("{} ", self.waiting.len()).as_bytes());
            self.block.append(&mut self.waiting);
        } else {
            self.block.append(&mut self.waiting);
            self.block.push(b'\n');
        }
    }

    /// Everything that was taken goes out now. After an error it is tried again with a new connection.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() && self.waiting.is_empty() {
            return Ok(());
        }
        if self.connection.as_mut().is_some_and(Connection::is_closed) {
            self.connection = None;
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.address.connect()?,
        };
        // On an error the connection is dropped.
        if connection.is_stream() {
            self.put_into_block();
            connection.write(&self.block)?;
        } else {
            connection.write(&self.waiting)?;
        }
        self.forget();
        self.connection = Some(connection);
        Ok(())
    }
}
