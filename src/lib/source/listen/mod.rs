//! Messages from the network.
//!
//! Each protocol has a module; what they make goes through one [`Writer`] to standard output.

mod address;
mod admission;
mod chunks;
mod counters;
mod datagrams;
mod framing;
pub mod gelf;
pub mod hec;
mod json;
mod listeners;
mod memory;
mod origin;
mod proxy;
mod service;
mod sockets;
mod streams;
pub mod syslog;
mod tls;
mod writer;

pub use address::{Port, Protocol, Socket};
pub use framing::{Framing, Piece, Splitter};
pub use listeners::Listeners;
pub use memory::{LEAST as LEAST_MEMORY, Shares};
pub use origin::Origin;
pub use proxy::{Proxy, parse as parse_proxy_header};
pub use service::{Limits, Service};
pub use tls::{Tls, TlsFiles};
pub use writer::{Counts, Writer};

/// Ends when a stop was asked for.
pub(crate) async fn told(stop: &mut tokio::sync::watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Ends so long after a stop was asked for.
pub(crate) async fn told_for(stop: &mut tokio::sync::watch::Receiver<bool>, time: std::time::Duration) {
    told(stop).await;
    tokio::time::sleep(time).await;
}
