//! What all connections share: addresses, certificates, TLS of clients, proxies, and the HTTP agent of the sinks.
//!
//! Rooms above (sources, sinks, control) use it; it knows nothing of messages.

pub mod http;
pub mod pem;
mod proxy;
pub mod tls;
mod url;

pub use url::Url;
