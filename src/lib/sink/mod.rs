//! Where messages go: batches on their way to a server, and what is told back to the source.

pub mod hec;
mod retry;
mod window;

pub use retry::Backoff;
pub use window::{Ticket, Window};
