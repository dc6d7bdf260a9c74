//! Splunk's HTTP Event Collector: messages as events, sent in batches, acknowledged by the indexer.
//!
//! Format and codes: Splunk's HEC documentation. The way of a message: [`event`] makes its JSON, [`Sender`] collects
//! batches, threads deliver them (`delivery`, `acks`), each through a `session`; [`client`] talks HTTP and judges the
//! replies.

mod acks;
mod batch;
pub mod client;
mod delivery;
pub mod event;
mod health;
mod sender;
mod session;

pub use client::{Client, ClientOptions, Reply};
pub use event::{Endpoint, EventForm, EventOptions, IndexedFields};
pub use health::await_health;
pub use sender::{Sender, SenderOptions};
