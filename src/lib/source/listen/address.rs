//! What to listen at: `[PROTOCOL@][ADDRESS:]PORT`, and `[PROTOCOL@]PATH`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// What senders speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Syslog,
    Gelf,
    /// Framed Heka messages.
    Heka,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Syslog => "syslog",
            Protocol::Gelf => "gelf",
            Protocol::Heka => "heka",
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Protocol, String> {
        let all = [Protocol::Syslog, Protocol::Gelf, Protocol::Heka];
        let found = all.into_iter().find(|protocol| protocol.name() == text);
        found.ok_or_else(|| format!("{text:?} is no protocol: expected syslog, gelf or heka"))
    }
}

/// A port, of one address or of all that are given by other means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    pub protocol: Option<Protocol>,
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Port {
    /// The addresses that are meant, `all` unless it names one.
    pub fn addresses(&self, all: &[IpAddr]) -> Vec<SocketAddr> {
        match self.address {
            Some(address) => vec![SocketAddr::new(address, self.port)],
            None => all.iter().map(|address| SocketAddr::new(*address, self.port)).collect(),
        }
    }
}

/// A Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    pub protocol: Option<Protocol>,
    pub path: PathBuf,
}

fn protocol(text: &str) -> Result<(Option<Protocol>, &str), String> {
    match text.split_once('@') {
        Some((name, rest)) => Ok((Some(name.parse()?), rest)),
        None => Ok((None, text)),
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Port, String> {
        let (protocol, place) = protocol(text)?;
        if let Ok(port) = place.parse() {
            return Ok(Port { protocol, address: None, port });
        }
        let wanted = "expected [PROTOCOL@][ADDRESS:]PORT, such as 514, gelf@12201 or heka@[::1]:5565";
        let address: SocketAddr = place.parse().map_err(|_| wanted)?;
        Ok(Port { protocol, address: Some(address.ip()), port: address.port() })
    }
}

impl FromStr for Socket {
    type Err = String;

    fn from_str(text: &str) -> Result<Socket, String> {
        // A path may have an "@" of its own.
        let (protocol, path) = protocol(text).unwrap_or((None, text));
        if path.is_empty() {
            return Err("expected [PROTOCOL@]PATH, such as /dev/log".into());
        }
        Ok(Socket { protocol, path: path.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_an_address_or_all() {
        let port: Port = "gelf@[::1]:12201".parse().unwrap();
        assert_eq!((port.protocol, port.port), (Some(Protocol::Gelf), 12201));
        assert_eq!(port.addresses(&[]), ["[::1]:12201".parse().unwrap()]);
        let all = ["0.0.0.0".parse().unwrap(), "::".parse().unwrap()];
        assert_eq!("514".parse::<Port>().unwrap().addresses(&all).len(), 2);
        for wrong in ["x", "", "65536", "heka@", "udp@1", "::1:2:3", "host:1"] {
            assert!(wrong.parse::<Port>().is_err(), "{wrong}");
        }
        let socket: Socket = "heka@/run/a@b".parse().unwrap();
        assert_eq!((socket.protocol, socket.path), (Some(Protocol::Heka), "/run/a@b".into()));
        assert_eq!("/run/a@b".parse::<Socket>().unwrap().path, PathBuf::from("/run/a@b"));
    }
}
