//! What a file source writes into its cursors: which file, and how far.

use sha1::{Digest, Sha1};

use crate::message::wire::{Reader, put_varint};

/// How many bytes of a file's beginning identify it, together with its inode.
pub const HEAD: usize = 256;

/// Where to resume: a file, identified by inode and by what it begins with, and an offset of its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Bytes of the content that are done.
    pub offset: u64,
    pub inode: u64,
    /// How many bytes the fingerprint covers, at most [`HEAD`].
    pub head: u64,
    pub fingerprint: u64,
    /// Bytes of the stream in earlier files: with the offset, the sequence of the cursor.
    pub base: u64,
}

impl Position {
    /// Appends everything but the offset, which comes first and changes with each record.
    pub fn encode_rest(&self, buf: &mut Vec<u8>) {
        put_varint(buf, self.inode);
        put_varint(buf, self.head);
        put_varint(buf, self.fingerprint);
        put_varint(buf, self.base);
    }

    pub fn decode(bytes: &[u8]) -> Option<Position> {
        let mut reader = Reader::new(bytes);
        let position = Position {
            offset: reader.varint()?,
            inode: reader.varint()?,
            head: reader.varint()?,
            fingerprint: reader.varint()?,
            base: reader.varint()?,
        };
        (reader.is_empty() && position.head <= HEAD as u64).then_some(position)
    }

    /// Whether content that begins so can be this file's.
    pub fn fits(&self, head: &[u8]) -> bool {
        head.get(..self.head as usize).is_some_and(|head| fingerprint(head) == self.fingerprint)
    }
}

/// The first eight bytes of the SHA-1.
pub fn fingerprint(head: &[u8]) -> u64 {
    Sha1::digest(head).iter().take(8).fold(0, |sum, &byte| sum << 8 | byte as u64)
}
