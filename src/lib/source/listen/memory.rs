//! One limit of memory for a whole listener, and what each kind of thing that senders make it keep may take of it.

/// What the program takes by itself: its code, buffers for datagrams, blocks on their way to standard output.
const OWN: usize = 20 << 20;
/// Less is not worth listening with.
pub const LEAST: usize = 32 << 20;

/// Bytes that each kind may take. Apart, so that none leaves nothing for the others.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Frames that wait to be written.
    pub queue: usize,
    /// Connections, with messages and request bodies that aren't whole.
    pub connections: usize,
    /// GELF's chunks.
    pub chunks: usize,
    /// HEC's channels and their ack ids.
    pub acks: usize,
}

impl Shares {
    /// Of a limit in bytes; at least [`LEAST`].
    pub fn of(limit: usize) -> Shares {
        let part = (limit.max(LEAST) - OWN) / 16;
        Shares { queue: 2 * part, connections: 10 * part, chunks: 3 * part, acks: part }
    }
}
