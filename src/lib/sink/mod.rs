//! Where messages go: batches on their way to a server, and what is told back to the source.

mod agent;
mod circuit;
mod dead_letter;
pub mod firehose;
pub mod hec;
pub mod http;
mod retry;
mod spool;
pub mod syslog;
mod watermark;
mod window;

pub use agent::AgentOptions;
pub use retry::Backoff;
pub use spool::Spool;
pub use window::{Ticket, Window};
