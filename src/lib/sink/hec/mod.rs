//! Splunk's HTTP Event Collector: messages as events, sent in batches, acknowledged by the indexer.
//!
//! Format and codes: Splunk's HEC documentation. The way of a message: [`event`] makes its JSON, [`Sender`] collects
//! batches, [`super::delivery`] sees them delivered, each request through a [`Client`], which reads the replies.

mod client;
pub mod event;
mod health;
mod sender;

pub use client::{Client, ClientOptions};
pub use event::{Endpoint, EventForm, EventOptions, IndexedFields};
pub use health::await_health;
pub use sender::{Sender, SenderOptions};
