//! Where messages go: batches on their way to a server, and what is told back to the source.

mod agent;
mod dead_letter;
pub mod hec;
pub mod http;
mod retry;
pub mod syslog;
mod window;

pub use agent::AgentOptions;
pub use retry::Backoff;
pub use window::{Ticket, Window};
