//! Message identifiers: random (version 4) UUIDs of RFC 9562, made without a system call each, and those that are made of what
//! they stand for (version 8): the same again for a record that is read again.

use std::cell::RefCell;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

thread_local! {
    /// Seeded with 256 bits from the system, so no two threads or processes share a sequence.
    static GENERATOR: RefCell<Xoshiro256PlusPlus> = RefCell::new(seeded());
}

fn seeded() -> Xoshiro256PlusPlus {
    let mut seed = [0u8; 32];
    if getrandom::fill(&mut seed).is_err() {
        // No entropy source at all (a bare chroot): time, process and address space still differ.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        seed[..16].copy_from_slice(&now.as_nanos().to_le_bytes());
        seed[16..20].copy_from_slice(&std::process::id().to_le_bytes());
        let address = (&raw const seed).addr() as u64;
        seed[24..].copy_from_slice(&address.to_le_bytes());
    }
    Xoshiro256PlusPlus::from_seed(seed)
}

/// 64 random bits, for uuids and for the jitter of retries.
pub fn random_u64() -> u64 {
    GENERATOR.with_borrow_mut(|generator| generator.next_u64())
}

/// A new version 4 UUID.
#[inline]
pub fn new_v4() -> [u8; 16] {
    let (high, low) = GENERATOR.with_borrow_mut(|generator| (generator.next_u64(), generator.next_u64()));
    let mut uuid = [0u8; 16];
    uuid[..8].copy_from_slice(&high.to_le_bytes());
    uuid[8..].copy_from_slice(&low.to_le_bytes());
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// The UUID of a content at a place.
#[inline]
pub fn of(place: u128, content: &[u8]) -> [u8; 16] {
    let place = xxh3_128(&place.to_le_bytes());
    // Two contents at one place differ by all bits, and so does one content at two places.
    let hash = xxh3_128_with_seed(content, place as u64) ^ (place >> 64 << 64);
    let mut uuid = hash.to_le_bytes();
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// The UUID of the n-th message that is made of another one; a new one where that has none.
pub fn derived(original: &[u8], n: usize) -> [u8; 16] {
    if original.is_empty() { new_v4() } else { of(n as u128, original) }
}

/// The 8-4-4-4-12 lower-case form; `None` unless there are 16 bytes.
pub fn format(uuid: &[u8]) -> Option<[u8; 36]> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let uuid: &[u8; 16] = uuid.try_into().ok()?;
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (place, byte) in uuid.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[(byte >> 4) as usize];
        text[at + 1] = HEX[(byte & 15) as usize];
        at += 2;
    }
    Some(text)
}

/// Reads the 36-character form, in either case, with or without `urn:uuid:`.
pub fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let text = text.strip_prefix(b"urn:uuid:").unwrap_or(text);
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|&place| text[place] != b'-') {
        return None;
    }
    let mut uuid = [0u8; 16];
    let mut digits = text.iter().filter(|&&byte| byte != b'-').map(|&byte| (byte as char).to_digit(16));
    for slot in &mut uuid {
        *slot = (digits.next()?? << 4 | digits.next()??) as u8;
    }
    Some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ones_are_version_4_and_differ() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let uuid = new_v4();
            assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (4, 2));
            assert!(seen.insert(uuid));
        }
        let other = std::thread::spawn(new_v4).join().unwrap();
        assert!(seen.insert(other));
    }

    #[test]
    fn text_form_round_trips() {
        let uuid = new_v4();
        assert_eq!(parse(&format(&uuid).unwrap()), Some(uuid));
        assert_eq!(parse(b"A0A1A2A3-A4A5-4BA7-88A9-AAABACADAEAF").map(|uuid| uuid[0]), Some(0xa0));
        assert_eq!(parse(b"a0a1a2a3-a4a5-4ba7-88a9-aaabacadaea"), None);
        assert_eq!(format(b"short"), None);
    }
}
