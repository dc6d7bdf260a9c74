//! Frames to a Heka server, by TCP or TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::settings::TlsClient;
use crate::pipeline::{Failure, describe};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Connects, sends, and waits until the server has read it all and closed the connection.
///
/// # Errors
/// Naming the address; what was sent before that may have been received.
pub fn deliver(address: &str, tls: Option<&TlsClient>, frames: &[u8]) -> Result<(), Failure> {
    let explain = |error: io::Error| Failure::failed(format!("{address}: {}", describe(&error)));
    let stream = TcpStream::connect(address).map_err(explain)?;
    stream.set_nodelay(true).map_err(explain)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(explain)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(explain)?;
    match tls {
        None => {
            (&stream).write_all(frames).and_then(|()| stream.shutdown(Shutdown::Write)).map_err(explain)?;
            until_closed(&mut (&stream)).map_err(explain)
        }
        Some(tls) => {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
            let name = tls.server_name.as_deref().unwrap_or(host).to_string();
            let name = ServerName::try_from(name).map_err(|error| Failure::usage(format!("{address}: {error}")))?;
            let session =
                ClientConnection::new(tls.config.clone(), name).map_err(|error| explain(io::Error::other(error)))?;
            let mut stream = StreamOwned::new(session, stream);
            let sent = stream.write_all(frames).and_then(|()| {
                stream.conn.send_close_notify();
                stream.flush()
            });
            sent.and_then(|()| until_closed(&mut stream)).map_err(|error| {
                // What it said before that may be lost with the connection.
                let closed = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
                let why =
                    if closed { "; the server may want another certificate than this one, or one at all" } else { "" };
                Failure::failed(format!("{address}: {}{why}", describe(&error)))
            })
        }
    }
}

/// A server that stays silent for long has read it, or never will.
fn until_closed(stream: &mut impl Read) -> io::Result<()> {
    let mut block = [0; 1024];
    loop {
        match stream.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It closed TLS without a word, as many do.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
