//! What listeners count.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::pipeline::Stats;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counts of all listeners of a process.
        #[derive(Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        impl Counters {
            pub fn put(&self, stats: &mut Stats) {
                $(stats.set(stringify!($name), self.$name.load(Ordering::Relaxed));)*
            }
        }
    };
}

counters! {
    /// Bytes that were received.
    bytes_in,
    datagrams,
    /// Datagrams without a byte of a message.
    datagrams_empty,
    /// What the kernel dropped because it was not read in time.
    udp_dropped,
    connections,
    /// Closed to make room for others.
    connections_evicted,
    /// For silence, or for a message that did not end in time.
    connections_timed_out,
    /// TLS that did not come about.
    handshakes_failed,
    /// No header of the PROXY protocol, a wrong one, or from a stranger.
    proxy_refused,
    /// Messages that were longer than the limit, or did not come whole.
    truncated,
    /// Messages that could not be parsed; they are written, too.
    unparsed,
    gelf_chunks_invalid,
    gelf_chunks_repeated,
    /// Sets of chunks that did not get whole in time.
    gelf_sets_late,
    /// Sets of chunks for which there was no room.
    gelf_sets_crowded,
    /// Bytes between Heka's records.
    heka_garbage_bytes,
    /// Heka messages with a signature that is not right, or without the one that is asked for.
    heka_refused,
}

/// One more.
pub fn count(counter: &AtomicU64) {
    add(counter, 1);
}

pub fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}
