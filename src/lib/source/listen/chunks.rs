//! GELF messages that come in several datagrams.
//!
//! A set of chunks is known by its sender and its id, so that nobody can spoil another's. Sets that don't get whole
//! within five seconds are dropped, and so are the oldest when there are too many: hostile senders can begin as many
//! as they like.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What a chunk begins with.
pub const MAGIC: [u8; 2] = [0x1e, 0x0f];
const HEADER: usize = 12;
/// Of a message (GELF: UDP).
const MOST_CHUNKS: u8 = 128;
const COMPLETE_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of one message before decompression.
const MAX_MESSAGE: usize = 1 << 20;
/// What a set, and a chunk of it, take besides their data.
const OVERHEAD: usize = 256;
const CHUNK_OVERHEAD: usize = 48;

type Key = (Option<IpAddr>, [u8; 8]);

struct Set {
    number: u64,
    count: u8,
    bytes: usize,
    chunks: Vec<(u8, Box<[u8]>)>,
}

/// The sets that are not whole.
pub struct Chunks {
    max_sets: usize,
    /// Bytes of all sets.
    max_bytes: usize,
    sets: HashMap<Key, Set>,
    /// When each was begun, oldest first; those that got whole meanwhile are still among them.
    begun: VecDeque<(Instant, Key, u64)>,
    bytes: usize,
    next: u64,
    pub dropped: Dropped,
}

/// What was dropped.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Chunks with a header that can't be: number, count or length.
    pub invalid: u64,
    /// Chunks that came twice.
    pub repeated: u64,
    /// Sets that did not get whole in time.
    pub late: u64,
    /// Sets for which there was no room.
    pub crowded: u64,
}

impl Chunks {
    pub fn new(max_sets: usize, max_bytes: usize) -> Chunks {
        Chunks {
            max_sets: max_sets.max(1),
            max_bytes,
            sets: HashMap::new(),
            begun: VecDeque::new(),
            bytes: 0,
            next: 0,
            dropped: Dropped::default(),
        }
    }

    /// Takes a datagram that begins with [`MAGIC`]; answers the message that it completes.
    pub fn take(&mut self, sender: Option<IpAddr>, datagram: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.expire(now);
        let Some((header, data)) = datagram.split_first_chunk::<HEADER>() else {
            self.dropped.invalid += 1;
            return None;
        };
        let [_, _, id @ .., number, count] = *header;
        if count == 0 || count > MOST_CHUNKS || number >= count {
            self.dropped.invalid += 1;
            return None;
        }
        if count == 1 {
            return Some(data.to_vec());
        }
        let key = (sender, id);
        if !self.sets.contains_key(&key) {
            self.next += 1;
            self.bytes += OVERHEAD;
            self.begun.push_back((now, key, self.next));
            self.sets.insert(key, Set { number: self.next, count, bytes: OVERHEAD, chunks: Vec::new() });
        }
        let set = self.sets.get_mut(&key)?;
        if set.count != count {
            self.dropped.invalid += 1;
            return None;
        }
        if set.chunks.iter().any(|(known, _)| *known == number) {
            self.dropped.repeated += 1;
            return None;
        }
        set.chunks.push((number, data.into()));
        let taken = data.len() + CHUNK_OVERHEAD;
        set.bytes += taken;
        self.bytes += taken;
        if set.bytes > MAX_MESSAGE + OVERHEAD + MOST_CHUNKS as usize * CHUNK_OVERHEAD {
            self.dropped.crowded += 1;
            self.remove(&key);
            return None;
        }
        if set.chunks.len() < count as usize {
            while self.bytes > self.max_bytes || self.sets.len() > self.max_sets {
                self.drop_oldest();
                self.dropped.crowded += 1;
            }
            return None;
        }
        let mut set = self.remove(&key)?;
        set.chunks.sort_unstable_by_key(|(number, _)| *number);
        Some(set.chunks.iter().flat_map(|(_, data)| data.iter().copied()).collect())
    }

    /// Sets that are not whole yet.
    pub fn open(&self) -> usize {
        self.sets.len()
    }

    /// Drops what did not get whole in time.
    pub fn expire(&mut self, now: Instant) {
        while let Some(&(begun, key, number)) = self.begun.front() {
            let is_open = self.sets.get(&key).is_some_and(|set| set.number == number);
            if is_open && now.duration_since(begun) < COMPLETE_WITHIN {
                return;
            }
            self.begun.pop_front();
            if is_open {
                self.remove(&key);
                self.dropped.late += 1;
            }
        }
    }

    fn drop_oldest(&mut self) {
        while let Some((_, key, number)) = self.begun.pop_front() {
            if self.sets.get(&key).is_some_and(|set| set.number == number) {
                self.remove(&key);
                return;
            }
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Set> {
        let set = self.sets.remove(key)?;
        self.bytes -= set.bytes;
        Some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX_BYTES: usize = 64 << 20;

    fn chunk(id: u64, number: u8, count: u8, data: &[u8]) -> Vec<u8> {
        [&MAGIC[..], &id.to_be_bytes(), &[number, count], data].concat()
    }

    #[test]
    fn sets_are_joined_by_number_and_belong_to_their_senders() {
        let mut chunks = Chunks::new(10, MAX_BYTES);
        let now = Instant::now();
        let (a, b) = (Some("192.0.2.1".parse().unwrap()), Some("192.0.2.2".parse().unwrap()));
        assert_eq!(chunks.take(a, &chunk(1, 1, 2, b"world"), now), None);
        assert_eq!(chunks.take(b, &chunk(1, 0, 2, b"evil "), now), None);
        assert_eq!(chunks.take(a, &chunk(1, 1, 2, b"again"), now), None);
        assert_eq!(chunks.take(a, &chunk(1, 0, 3, b"count"), now), None);
        assert_eq!(chunks.take(a, &chunk(1, 0, 2, b"hello "), now), Some(b"hello world".to_vec()));
        assert_eq!(chunks.dropped, Dropped { invalid: 1, repeated: 1, ..Dropped::default() });
        assert_eq!(chunks.take(a, &chunk(2, 0, 1, b"alone"), now), Some(b"alone".to_vec()));
        for bad in [chunk(3, 0, 0, b""), chunk(3, 0, 129, b""), chunk(3, 2, 2, b""), chunk(3, 0, 2, b"")[..11].to_vec()]
        {
            assert_eq!(chunks.take(a, &bad, now), None);
        }
        assert_eq!(chunks.dropped.invalid, 5);
    }

    #[test]
    fn sets_end_by_time_and_by_number() {
        let mut chunks = Chunks::new(10, MAX_BYTES);
        let begun = Instant::now();
        for id in 0..100_000 {
            chunks.take(None, &chunk(id, 0, 2, b"x"), begun);
        }
        assert_eq!((chunks.sets.len(), chunks.dropped.crowded, chunks.begun.len()), (10, 99_990, 10));
        chunks.expire(begun + COMPLETE_WITHIN);
        assert_eq!((chunks.sets.len(), chunks.dropped.late, chunks.bytes), (0, 10, 0));
        // By the bytes of all of them.
        let mut chunks = Chunks::new(10_000, MAX_BYTES);
        let large = vec![b'x'; 60_000];
        for id in 0..2_000 {
            chunks.take(None, &chunk(id, 0, 2, &large), begun);
            assert!(chunks.bytes <= MAX_BYTES);
        }
        assert!(chunks.sets.len() > 1_000);
        // And of one.
        let mut chunks = Chunks::new(10, MAX_BYTES);
        for number in 0..20 {
            chunks.take(None, &chunk(1, number, 128, &large), begun);
        }
        assert_eq!(chunks.dropped.crowded, 1);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_message(message in proptest::collection::vec(any::<u8>(), 2..500), order in any::<u64>(), size in 1usize..100) {
            let parts: Vec<&[u8]> = message.chunks(size.max(message.len().div_ceil(128))).collect();
            let mut places: Vec<usize> = (0..parts.len()).collect();
            places.sort_by_key(|place| (*place as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut chunks = Chunks::new(10, MAX_BYTES);
            let mut joined = None;
            for place in places {
                let datagram = chunk(7, place as u8, parts.len() as u8, parts[place]);
                let answer = chunks.take(None, &datagram, Instant::now());
                prop_assert!(joined.is_none());
                joined = answer;
            }
            prop_assert_eq!(joined, Some(message));
            prop_assert_eq!((chunks.bytes, chunks.sets.len()), (0, 0));
        }
    }
}
