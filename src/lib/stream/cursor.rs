//! Cursors: header field 15, by which a sink can tell its source how far delivery has come.
//!
//! Who may speak for a stream: the source that reads it on this machine, and nobody else. Filters hand its cursors on,
//! sinks and kept states believe them. So what comes from a socket loses its cursors where it is received (a signature
//! doesn't cover them): another host may read a file of the same name, and a forger could move a checkpoint. The position
//! in a cursor is its source's own note; a source that can't read one says so instead of beginning anew.

use crate::message::wire::{LEN, Reader, VARINT, put_bytes, put_varint, varint_len};

/// Longest encoded cursor; the header has 255 bytes in all and a signature must still fit.
pub const MAX_CURSOR_SIZE: usize = 160;

/// A cursor read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorRef<'a> {
    /// Names the stream within the source.
    pub stream: &'a [u8],
    /// Only grows within a stream.
    pub sequence: u64,
    /// Where the source resumes after the record that carries this cursor; opaque to everyone else.
    pub position: &'a [u8],
}

impl<'a> CursorRef<'a> {
    /// From the content of header field 15. `None` when malformed.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = CursorRef { stream: b"", sequence: 0, position: b"" };
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            match reader.tag()? {
                (1, LEN) => cursor.stream = reader.bytes()?,
                (2, VARINT) => cursor.sequence = reader.varint()?,
                (3, LEN) => cursor.position = reader.bytes()?,
                (_, wire) => reader.skip(wire)?,
            }
        }
        Some(cursor)
    }

    /// Appends the content of header field 15.
    #[inline]
    pub fn encode(&self, buf: &mut Vec<u8>) {
        put_bytes(buf, 0x0a, self.stream);
        buf.push(0x10);
        put_varint(buf, self.sequence);
        put_bytes(buf, 0x1a, self.position);
    }

    /// Bytes that `encode` appends.
    pub fn encoded_len(&self) -> usize {
        let text = |bytes: &[u8]| 1 + varint_len(bytes.len() as u64) + bytes.len();
        text(self.stream) + 1 + varint_len(self.sequence) + text(self.position)
    }
}
