//! Batches on their way: sent by threads, acknowledged later, committed in order.
//!
//! ```text
//! Delivery::submit → (spool) → ready → sending → (no acks) delivered
//!                                         └→ waiting for its ack → delivered
//! ```
//!
//! All threads share one [`State`](state::State). A batch that fails goes back to ready, to be sent after its backoff.
//! What a reply means for events is in `settle`; [`super::answer`] has the table behind it.
//!
//! Where events are after any end: delivered; at their source, if it can read again; in the spool, if there is one; in the
//! backup, if the server refused them (or the limit for attempts was reached, or nothing else keeps them). The checkpoint
//! never passes an event that is none of this.

mod acks;
mod batch;
mod circuit;
mod queue;
mod session;
mod settle;
mod state;
mod window;

use std::time::Duration;

use crate::message::MessageView;

pub use batch::{Batch, Part};
pub use queue::Delivery;
pub use state::{DeliveryOptions, Limits};
pub use window::{Ticket, Window, save};

/// What a server's reply means for the batch that it was sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Taken; to be acknowledged under that id where there is one.
    Accepted { ack_id: Option<u64> },
    /// Not now.
    Retry {
        reason: String,
        after: Option<Duration>,
        /// So many of the first events may have been taken.
        perhaps: usize,
        /// There was no whole answer: an ack id may have been lost with it.
        cut: bool,
    },
    /// That event is bad. The ones before it were taken if there is an id to ask for.
    BadEvent { number: usize, reason: String, ack_id: Option<u64> },
    /// The group of that event is refused, and with it all events of it (Splunk's indexes).
    BadGroup { number: usize, reason: String },
    /// Each event has its own answer, in order.
    Items(Vec<Item>),
    /// Too large, or something in it is bad: try with halves.
    Split { reason: String },
    /// This server takes nothing from us: wrong token, wrong address.
    Closed { reason: String },
}

/// What became of one event of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Taken,
    /// Not now.
    Wait(String),
    Refused(String),
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reply::Accepted { ack_id: Some(id) } => write!(f, "taken, ack id {id}"),
            Reply::Accepted { ack_id: None } => write!(f, "taken"),
            Reply::Retry { reason, after: Some(after), .. } => {
                write!(f, "not now, again in {} s: {reason}", after.as_secs())
            }
            Reply::Retry { reason, .. } => write!(f, "not now: {reason}"),
            Reply::BadGroup { number, reason } | Reply::BadEvent { number, reason, .. } => {
                write!(f, "event {number} is refused: {reason}")
            }
            Reply::Items(items) => {
                let taken = items.iter().filter(|item| **item == Item::Taken).count();
                write!(f, "{taken} of {} events taken", items.len())
            }
            Reply::Split { reason } => write!(f, "batch refused, sent in parts: {reason}"),
            Reply::Closed { reason } => write!(f, "permanent failure: {reason}"),
        }
    }
}

/// A server that batches are sent to. Each sending thread has one of its own (see [`Server::anew`]).
pub trait Server: Clone + Send + Sync + 'static {
    /// The same server by connections and cookies of their own.
    fn anew(&self) -> Self;

    /// Where it is, without secrets.
    fn name(&self) -> &str;

    /// Compresses a body, if bodies are sent so.
    fn pack(&self, _body: &[u8]) -> Option<Vec<u8>> {
        None
    }

    /// Sends a part, `packed` if it is there, else its body; `channel` names what acks will be asked by.
    fn send(&self, part: &Part, channel: &str) -> Reply;

    /// Which of these batches are safe. `Err`: this server never tells; `Ok(Err)`: it may tell later.
    fn ask(&self, _channel: &str, _ids: &[u64]) -> Result<Result<Vec<u64>, String>, String> {
        Ok(Ok(Vec::new()))
    }
}

/// How messages of a batch are turned into its body again, after it was split or lay in the spool.
pub trait Form: Send + Sync + 'static {
    /// Appends an event.
    fn put(&self, view: &MessageView<'_>, body: &mut Vec<u8>);

    /// What is the same for all events of a batch and stands in the address.
    fn query(&self, _view: &MessageView<'_>) -> String {
        String::new()
    }

    /// The group that a server may refuse as a whole.
    fn group(&self, _view: &MessageView<'_>) -> Option<Vec<u8>> {
        None
    }
}
