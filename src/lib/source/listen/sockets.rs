//! Opening sockets: bound here, or handed over by systemd.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Whoever may write to the log may send to its socket, as with /dev/log.
const MODE: u32 = 0o666;

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // So that "::" and "0.0.0.0" can be listened at side by side.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

pub fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Asks for a receive buffer; answers how many bytes the kernel allows.
pub fn enlarge(socket: &impl AsFd, bytes: usize) -> usize {
    // Beyond net.core.rmem_max only for those who may.
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &bytes);
    }
    // The kernel counts its own overhead in: it says twice what it was asked for.
    nix::sys::socket::getsockopt(socket, sockopt::RcvBuf).unwrap_or_default() / 2
}

/// Takes away what an earlier process has left; a socket that somebody listens at stays.
fn make_room(path: &Path, is_served: impl Fn(&Path) -> bool) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() && !is_served(path) => fs::remove_file(path),
        _ => Ok(()),
    }
}

pub fn unix(path: &Path) -> io::Result<(UnixListener, UnixFile)> {
    make_room(path, |path| UnixStream::connect(path).is_ok())?;
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok((listener, UnixFile::new(path)?))
}

pub fn unixgram(path: &Path) -> io::Result<(UnixDatagram, UnixFile)> {
    make_room(path, |path| UnixDatagram::unbound().and_then(|socket| socket.connect(path)).is_ok())?;
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok((socket, UnixFile::new(path)?))
}

/// A socket's file, which goes when the listener does.
pub struct UnixFile {
    path: PathBuf,
    inode: u64,
}

impl UnixFile {
    fn new(path: &Path) -> io::Result<UnixFile> {
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        Ok(UnixFile { path: path.to_path_buf(), inode: fs::symlink_metadata(path)?.ino() })
    }
}

impl Drop for UnixFile {
    fn drop(&mut self) {
        // Another process may have taken the path meanwhile.
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket that systemd has opened, with the name of its FileDescriptorName=.
pub enum Inherited {
    Tcp(TcpListener),
    Udp(UdpSocket),
    Unix(UnixListener),
    Unixgram(UnixDatagram),
}

/// The sockets of LISTEN_FDS, by name (sd_listen_fds(3)).
///
/// # Errors
/// Naming a descriptor that is no socket of a kind that is listened at.
pub fn inherited() -> Result<Vec<(String, Inherited)>, String> {
    // Read before the next line takes them out of the environment.
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut fds = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for place in 0..fds.len() {
        let name = names.next().unwrap_or_default().to_string();
        let socket = if let Ok(Some(listener)) = fds.take_tcp_listener(place) {
            listener.set_nonblocking(true).map(|()| Inherited::Tcp(listener))
        } else if let Ok(Some(socket)) = fds.take_udp_socket(place) {
            socket.set_nonblocking(true).map(|()| Inherited::Udp(socket))
        } else if let Ok(Some(listener)) = fds.take_unix_listener(place) {
            listener.set_nonblocking(true).map(|()| Inherited::Unix(listener))
        } else if let Ok(Some(socket)) = fds.take_unix_datagram(place) {
            socket.set_nonblocking(true).map(|()| Inherited::Unixgram(socket))
        } else {
            return Err(format!("descriptor {} of LISTEN_FDS is no socket that can be listened at", 3 + place));
        };
        sockets.push((name, socket.map_err(|error| format!("descriptor {}: {error}", 3 + place))?));
    }
    Ok(sockets)
}

/// How many datagrams the kernel has dropped for want of room, of a UDP socket by its inode (proc(5): /proc/net/udp).
pub fn dropped(inode: u64) -> u64 {
    let tables = ["/proc/net/udp", "/proc/net/udp6"];
    let lines: Vec<String> = tables.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let inode = inode.to_string();
    let found = lines.iter().flat_map(|table| table.lines()).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words.get(9) == Some(&inode.as_str())).then(|| words.last()?.parse().ok()).flatten()
    });
    found.unwrap_or(0)
}
