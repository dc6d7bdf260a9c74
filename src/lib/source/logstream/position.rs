//! What a file source writes into its cursors: which file, and how far.

use sha1::{Digest, Sha1};
use xxhash_rust::xxh64::xxh64;

use crate::message::wire::{Reader, put_varint};

/// How many bytes of a file's beginning identify it.
pub const HEAD: usize = 1024;
/// How many bytes before the anchor.
pub const TAIL: usize = 256;

/// Where to resume: a file and an offset of its content. The file is known by its inode, by what it begins with, and
/// by what it has before an anchor near the offset, so that files that begin alike are told apart.
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
    /// When the file was last changed, as seen when the record was read; ns, 0 when unknown.
    pub modified: u64,
    /// An offset, and the hash of the [`TAIL`] bytes before it (fewer at the beginning of the file).
    pub anchor: u64,
    pub anchor_hash: u64,
}

impl Position {
    /// Appends everything but the offset, which comes first and changes with each record.
    pub fn encode_rest(&self, buf: &mut Vec<u8>) {
        for number in [self.inode, self.head, self.fingerprint, self.base, self.modified, self.anchor, self.anchor_hash]
        {
            put_varint(buf, number);
        }
    }

    pub fn decode(bytes: &[u8]) -> Option<Position> {
        let mut reader = Reader::new(bytes);
        let mut position = Position {
            offset: reader.varint()?,
            inode: reader.varint()?,
            head: reader.varint()?,
            fingerprint: reader.varint()?,
            base: reader.varint()?,
            ..Position::default()
        };
        // Written since 0.1 was first tried: checkpoints from before that end here.
        if reader.is_empty() {
            position.anchor_hash = hash_tail(b"");
        } else {
            position.modified = reader.varint()?;
            position.anchor = reader.varint()?;
            position.anchor_hash = reader.varint()?;
        }
        let whole = reader.is_empty() && position.head <= HEAD as u64;
        whole.then_some(position)
    }

    /// Whether content that begins so can be this file's.
    pub fn fits(&self, head: &[u8]) -> bool {
        head.get(..self.head as usize).is_some_and(|head| fingerprint(head) == self.fingerprint)
    }

    /// Whether nothing of the content is known: any file would fit.
    pub fn is_blank(&self) -> bool {
        self.head == 0 && self.anchor == 0
    }
}

/// The first eight bytes of the SHA-1.
pub fn fingerprint(head: &[u8]) -> u64 {
    Sha1::digest(head).iter().take(8).fold(0, |sum, &byte| sum << 8 | byte as u64)
}

/// 32 bits: a cursor has little room.
pub fn hash_tail(tail: &[u8]) -> u64 {
    xxh64(tail, 0) & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_come_back(numbers in any::<[u32; 8]>(), head in 0u64..=HEAD as u64) {
            let [offset, inode, fingerprint, base, modified, anchor, anchor_hash, _] = numbers.map(u64::from);
            let position = Position { offset, inode, head, fingerprint, base, modified, anchor, anchor_hash };
            let mut bytes = Vec::new();
            put_varint(&mut bytes, offset);
            position.encode_rest(&mut bytes);
            prop_assert_eq!(Position::decode(&bytes), Some(position));
        }

        #[test]
        fn other_bytes_are_none(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Position::decode(&bytes);
        }
    }
}
