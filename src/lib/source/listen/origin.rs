//! Where a message came from: the fields that every message of a connection has.

use std::net::IpAddr;
use std::sync::Arc;

use crate::message::MessageBuilder;
use crate::pipeline::hostname;

/// A peer, by the listener that it came to.
#[derive(Clone, Debug)]
pub struct Origin {
    listener: Arc<str>,
    /// Its address without a port; this machine's name where senders have none, at Unix sockets.
    host: Vec<u8>,
    /// Fields sender, listener and tls_peer, encoded.
    fields: Vec<u8>,
}

impl Origin {
    /// `listener`: transport and port or path, such as `tls:6514`. `tls_peer`: subject of a verified client certificate.
    pub fn new(listener: &Arc<str>, sender: Option<IpAddr>, tls_peer: Option<&str>) -> Origin {
        let (sender, representation) = match sender.map(|sender| sender.to_canonical()) {
            Some(IpAddr::V4(address)) => (address.to_string(), "ipv4"),
            Some(IpAddr::V6(address)) => (address.to_string(), "ipv6"),
            None => (String::new(), ""),
        };
        let mut fields = Vec::new();
        let mut builder = MessageBuilder::more(&mut fields);
        builder.string_field(b"sender", sender.as_bytes(), representation.as_bytes());
        builder.string_field(b"listener", listener.as_bytes(), b"");
        if let Some(peer) = tls_peer {
            builder.string_field(b"tls_peer", peer.as_bytes(), b"");
        }
        let host = if sender.is_empty() { hostname() } else { sender.into_bytes() };
        Origin { listener: listener.clone(), host, fields }
    }

    /// The same listener's origin of another sender.
    pub fn from(&self, sender: Option<IpAddr>) -> Origin {
        Origin::new(&self.listener, sender, None)
    }

    /// What header Hostname is of a message that names no host.
    pub fn host(&self) -> &[u8] {
        &self.host
    }

    /// Fields sender, listener and tls_peer, to be appended to an encoded message.
    pub fn fields(&self) -> &[u8] {
        &self.fields
    }
}
