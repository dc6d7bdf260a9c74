//! Messages from the network.
//!
//! Each protocol has a module; what they make goes through one [`Writer`] to standard output.

pub mod hec;
mod tls;
mod writer;

pub use tls::acceptor;
pub use writer::{Counts, Writer};
