//! A channel, and the server that it belongs to.
//!
//! Behind a load balancer only the indexer that took a batch can acknowledge it: a channel keeps to connections and cookies
//! of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Server;
use crate::message::uuid;

/// What a sending thread sends through, and what is asked for the acks of what it sent.
pub struct Session<S> {
    pub server: S,
    pub channel: String,
    /// Which of the servers it is.
    pub place: usize,
    requests: AtomicU64,
    worn: AtomicBool,
    /// The newest ack id, plus one. One request at a time uses a channel, so they grow.
    ids: AtomicU64,
}

/// How an ack id stands to the one before it on its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdOrder {
    Next,
    /// The same again.
    Same,
    /// Counted from the beginning.
    Anew,
}

impl<S: Server> Session<S> {
    /// A new channel to a server.
    pub fn new(server: &S, place: usize) -> Arc<Session<S>> {
        let channel = uuid::format(&uuid::new_v4());
        Arc::new(Session {
            server: server.anew(),
            channel: channel.map_or_else(String::new, |text| String::from_utf8_lossy(&text).into_owned()),
            place,
            requests: AtomicU64::new(0),
            worn: AtomicBool::new(false),
            ids: AtomicU64::new(0),
        })
    }

    /// A request is made.
    pub fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The server may have forgotten the channel: nothing more is sent through it.
    pub fn wear(&self) {
        self.worn.store(true, Ordering::Relaxed);
    }

    pub fn is_worn(&self) -> bool {
        self.worn.load(Ordering::Relaxed)
    }

    /// Takes note of an ack id.
    pub fn note(&self, id: u64) -> IdOrder {
        match self.ids.swap(id.saturating_add(1), Ordering::Relaxed) {
            next if next <= id => IdOrder::Next,
            next if next == id.saturating_add(1) => IdOrder::Same,
            _ => IdOrder::Anew,
        }
    }

    /// Whether it has made so many requests (0: any number).
    pub fn is_spent(&self, rotate_after: u64) -> bool {
        rotate_after > 0 && self.requests.load(Ordering::Relaxed) >= rotate_after
    }
}
