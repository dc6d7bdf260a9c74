//! Buckets of four entries, each with the fingerprint of a key. A fingerprint is in its key's bucket or in the alternative one,
//! which is found from the fingerprint and either bucket.

use xxhash_rust::xxh64::xxh64;

pub const BUCKET: usize = 4;
const SEED: u64 = 1;
const MAX_MOVES: usize = 512;

pub type Bucket<E> = [E; BUCKET];

/// What a bucket holds; an entry of zeros is a free one.
pub trait Entry: Copy {
    /// The entry of a key with this hash.
    fn of(hash: u64) -> Self;
    fn is_free(self) -> bool;
    fn has_print_of(self, other: Self) -> bool;
    /// The hash of the fingerprint.
    fn rehash(self) -> u64;
}

pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxh64(bytes, SEED)
}

/// Where a key may be.
pub struct Place<E> {
    pub entry: E,
    first: usize,
    second: usize,
}

/// `buckets`: a power of two.
pub fn place_of<E: Entry>(buckets: usize, key: &[u8]) -> Place<E> {
    let hash = hash_bytes(key);
    let entry = E::of(hash);
    let first = hash as usize & (buckets - 1);
    Place { entry, first, second: other_bucket(buckets, first, entry) }
}

fn other_bucket<E: Entry>(buckets: usize, bucket: usize, entry: E) -> usize {
    let shift = 32 + (buckets as u32).leading_zeros() + 1;
    let moved = if shift < 64 { entry.rehash() >> shift } else { 0 };
    (bucket ^ moved as usize) & (buckets - 1)
}

/// The entry with a key's fingerprint.
pub fn find<'a, E: Entry>(buckets: &'a mut [Bucket<E>], place: &Place<E>) -> Option<&'a mut E> {
    let holds = |bucket: &Bucket<E>| bucket.iter().position(|entry| entry.has_print_of(place.entry));
    let (bucket, at) =
        [place.first, place.second].iter().find_map(|&bucket| Some((bucket, holds(&buckets[bucket])?)))?;
    Some(&mut buckets[bucket][at])
}

fn put<E: Entry>(bucket: &mut Bucket<E>, entry: E) -> bool {
    match bucket.iter_mut().find(|slot| slot.is_free()) {
        Some(slot) => {
            *slot = entry;
            true
        }
        None => false,
    }
}

/// Adds an entry that isn't there; false, and nothing has changed, when there is no room.
pub fn insert<E: Entry>(buckets: &mut [Bucket<E>], place: &Place<E>) -> bool {
    let mut entry = place.entry;
    if put(&mut buckets[place.first], entry) || put(&mut buckets[place.second], entry) {
        return true;
    }
    // Others are moved to where they may be too, until one finds room.
    let mut bucket = place.second;
    let mut moved = [0; MAX_MOVES];
    for (step, from) in moved.iter_mut().enumerate() {
        *from = bucket;
        std::mem::swap(&mut entry, &mut buckets[bucket][step % BUCKET]);
        bucket = other_bucket(buckets.len(), bucket, entry);
        if put(&mut buckets[bucket], entry) {
            return true;
        }
    }
    // None did: everything back to its place, so that no key is lost.
    for (step, from) in moved.iter().enumerate().rev() {
        std::mem::swap(&mut entry, &mut buckets[*from][step % BUCKET]);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_says_so_and_keeps_its_keys() {
        let mut buckets = [[0u16; BUCKET]; 16];
        let mut added = Vec::new();
        for number in 0..1000 {
            let key = format!("key {number}");
            let place = place_of(16, key.as_bytes());
            if find(&mut buckets, &place).is_some() {
                continue;
            }
            if !insert(&mut buckets, &place) {
                break;
            }
            added.push(key);
        }
        assert!(added.len() > 50, "{}", added.len());
        for key in added {
            assert!(find(&mut buckets, &place_of(16, key.as_bytes())).is_some(), "{key}");
        }
    }
}
