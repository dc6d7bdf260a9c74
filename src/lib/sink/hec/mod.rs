//! Splunk's HTTP Event Collector: messages as events, sent in batches, acknowledged by the indexer.
//!
//! Format and codes: Splunk's HEC documentation. The way of a message: [`event`] makes its JSON, [`Sender`] collects
//! batches and hands them to threads, [`client`] talks HTTP and judges the replies.

pub mod client;
pub mod event;
mod health;
mod sender;

pub use client::{Client, ClientOptions, Reply};
pub use event::{Endpoint, EventForm, EventOptions, IndexedFields};
pub use health::await_health;
pub use sender::{Sender, SenderOptions};
