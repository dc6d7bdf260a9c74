//! A channel, and the server that it belongs to.
//!
//! Behind a load balancer only the indexer that took a batch can acknowledge it: a channel keeps to connections and cookies
//! of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::client::{Client, new_channel};

/// What a sending thread sends through, and what is asked for the acks of what it sent.
pub struct Session {
    pub client: Client,
    pub channel: String,
    /// Which of the servers it is.
    pub place: usize,
    requests: AtomicU64,
    worn: AtomicBool,
    /// The newest ack id, plus one. One request at a time uses a channel, so they grow.
    ids: AtomicU64,
}

impl Session {
    /// A new channel to a server.
    pub fn new(client: &Client, place: usize) -> Arc<Session> {
        Arc::new(Session {
            client: client.anew(),
            channel: new_channel(),
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

    /// Takes note of an ack id. False when the server has begun to count anew.
    pub fn goes_on(&self, id: u64) -> bool {
        self.ids.swap(id.saturating_add(1), Ordering::Relaxed) <= id
    }

    /// Whether it has made so many requests (0: any number).
    pub fn is_spent(&self, rotate_after: u64) -> bool {
        rotate_after > 0 && self.requests.load(Ordering::Relaxed) >= rotate_after
    }
}
