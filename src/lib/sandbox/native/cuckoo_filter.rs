//! `cuckoo_filter`: whether a key was added, with deletion and a count.
//!
//! Buckets of four 16-bit fingerprints. A fingerprint is in its key's bucket or in the alternative one, which is found
//! from the fingerprint and either bucket.

use std::ffi::{CStr, c_int, c_void};
use std::io::Write as _;
use std::mem::size_of;

use mlua::ffi;
use xxhash_rust::xxh64::xxh64;

use super::super::host::{Host, check_bytes};
use super::super::raw::{State, raise};
use super::class::{Class, check_integer, check_object, new_object, put_quoted};
use super::{Key, check_count, push_maker};

static CLASS: Class = Class {
    name: c"cuckoo_filter",
    methods: &[
        (c"add", add),
        (c"query", query),
        (c"delete", delete),
        (c"count", count),
        (c"clear", clear),
        (c"fromstring", from_string),
    ],
    meta: &[],
    output: None,
    save: Some(save),
};

const BUCKET: usize = 4;
const SEED: u64 = 1;
const MAX_MOVES: usize = 512;

/// What the userdata begins with; the buckets follow.
#[repr(C)]
struct Filter {
    items: usize,
    buckets: usize,
    count: usize,
}

type Bucket = [u16; BUCKET];

/// The filter and its buckets.
unsafe fn parts<'a>(filter: *mut Filter) -> (&'a mut Filter, &'a mut [Bucket]) {
    // SAFETY: laid out so by `new`; the object stays on the stack.
    unsafe {
        let buckets = std::slice::from_raw_parts_mut(filter.add(1).cast::<Bucket>(), (*filter).buckets);
        (&mut *filter, buckets)
    }
}

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut c_void) -> &'static CStr {
    // SAFETY: leaves one value.
    unsafe { push_maker(state, host, &CLASS, new) };
    c"cuckoo_filter"
}

/// `new(items)`
unsafe extern "C-unwind" fn new(state: State) -> c_int {
    // SAFETY: what is written is what was allocated; the fingerprints begin as zeros.
    unsafe {
        check_count(state, 1);
        let items = check_integer(state, 1);
        if items <= BUCKET as i64 {
            ffi::luaL_argerror(state, 1, c"items must be > 4".as_ptr());
        }
        if items > 1 << 32 {
            ffi::luaL_argerror(state, 1, c"the filter would be too large".as_ptr());
        }
        let items = items as usize;
        let filter = Filter { items, buckets: (items / BUCKET).next_power_of_two(), count: 0 };
        new_object(state, size_of::<Filter>() + filter.buckets * size_of::<Bucket>()).cast::<Filter>().write(filter);
        1
    }
}

/// Where a key may be.
struct Place {
    fingerprint: u16,
    first: usize,
    second: usize,
}

fn place_of(buckets: usize, key: &[u8]) -> Place {
    let hash = xxh64(key, SEED);
    let fingerprint = ((hash >> 48) as u16).max(1);
    let first = hash as usize & (buckets - 1);
    Place { fingerprint, first, second: other_bucket(buckets, first, fingerprint) }
}

fn other_bucket(buckets: usize, bucket: usize, fingerprint: u16) -> usize {
    let shift = 32 + (buckets as u32).leading_zeros() + 1;
    let moved = if shift < 64 { xxh64(&fingerprint.to_le_bytes(), SEED) >> shift } else { 0 };
    (bucket ^ moved as usize) & (buckets - 1)
}

fn put(bucket: &mut Bucket, fingerprint: u16) -> bool {
    match bucket.iter_mut().find(|slot| **slot == 0) {
        Some(slot) => {
            *slot = fingerprint;
            true
        }
        None => false,
    }
}

/// False when it was there, `None` when there is no room.
fn insert(filter: &mut Filter, buckets: &mut [Bucket], key: &[u8]) -> Option<bool> {
    let Place { mut fingerprint, first, second } = place_of(filter.buckets, key);
    if buckets[first].contains(&fingerprint) || buckets[second].contains(&fingerprint) {
        return Some(false);
    }
    filter.count += 1;
    if put(&mut buckets[first], fingerprint) || put(&mut buckets[second], fingerprint) {
        return Some(true);
    }
    // Others are moved to where they may be too, until one finds room.
    let mut bucket = second;
    let mut moved = [0; MAX_MOVES];
    for (step, from) in moved.iter_mut().enumerate() {
        *from = bucket;
        std::mem::swap(&mut fingerprint, &mut buckets[bucket][step % BUCKET]);
        bucket = other_bucket(filter.buckets, bucket, fingerprint);
        if put(&mut buckets[bucket], fingerprint) {
            return Some(true);
        }
    }
    // None did: everything back to its place, so that no key is lost.
    for (step, from) in moved.iter().enumerate().rev() {
        std::mem::swap(&mut fingerprint, &mut buckets[*from][step % BUCKET]);
    }
    filter.count -= 1;
    None
}

/// False when the fingerprint is there already.
unsafe extern "C-unwind" fn add(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 2);
        let (filter, buckets) = parts(check_object(state, 1));
        let key = Key::check(state, 2);
        match insert(filter, buckets, key.bytes()) {
            Some(added) => ffi::lua_pushboolean(state, added as c_int),
            None => raise(state, "the cuckoo filter is full"),
        }
        1
    }
}

unsafe extern "C-unwind" fn query(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 2);
        let (filter, buckets) = parts(check_object(state, 1));
        let key = Key::check(state, 2);
        let Place { fingerprint, first, second } = place_of(filter.buckets, key.bytes());
        let found = buckets[first].contains(&fingerprint) || buckets[second].contains(&fingerprint);
        ffi::lua_pushboolean(state, found as c_int);
        1
    }
}

unsafe extern "C-unwind" fn delete(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 2);
        let (filter, buckets) = parts(check_object(state, 1));
        let key = Key::check(state, 2);
        let Place { fingerprint, first, second } = place_of(filter.buckets, key.bytes());
        let mut deleted = false;
        for bucket in [first, second] {
            if let Some(slot) = buckets[bucket].iter_mut().find(|slot| **slot == fingerprint)
                && !deleted
            {
                *slot = 0;
                filter.count -= 1;
                deleted = true;
            }
        }
        ffi::lua_pushboolean(state, deleted as c_int);
        1
    }
}

unsafe extern "C-unwind" fn count(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 1);
        ffi::lua_pushnumber(state, parts(check_object(state, 1)).0.count as f64);
        1
    }
}

unsafe extern "C-unwind" fn clear(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 1);
        let (filter, buckets) = parts(check_object(state, 1));
        buckets.fill([0; BUCKET]);
        filter.count = 0;
        0
    }
}

unsafe fn save(state: State, index: c_int, path: &[u8], out: &mut Vec<u8>) {
    // SAFETY: see the class.
    unsafe {
        let (filter, buckets) = parts(ffi::lua_touserdata(state, index).cast());
        out.extend_from_slice(&[b"if ", path, b" == nil then ", path].concat());
        let _ = writeln!(out, " = cuckoo_filter.new({}) end", filter.items);
        out.extend_from_slice(path);
        let _ = write!(out, ":fromstring({}, ", filter.count);
        let bytes: Vec<u8> = buckets.as_flattened().iter().flat_map(|print| print.to_le_bytes()).collect();
        put_quoted(out, &bytes);
        out.extend_from_slice(b")\n");
    }
}

/// `fromstring(count, bytes [, 1])`
unsafe extern "C-unwind" fn from_string(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        let arguments = ffi::lua_gettop(state).clamp(3, 4);
        check_count(state, arguments);
        let (filter, buckets) = parts(check_object(state, 1));
        let count = check_integer(state, 2).max(0) as usize;
        let text = check_bytes(state, 3);
        let expected = size_of_val(buckets);
        if text.len() != expected {
            let message = format!("fromstring() bytes found: {}, expected {expected}", text.len());
            Host::of(state).raise(state, message);
        }
        for (slot, bytes) in buckets.as_flattened_mut().iter_mut().zip(text.as_chunks::<2>().0) {
            *slot = u16::from_le_bytes(*bytes);
        }
        filter.count = count;
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_filter_says_so_and_keeps_its_keys() {
        let mut filter = Filter { items: 64, buckets: 16, count: 0 };
        let mut buckets = [[0; BUCKET]; 16];
        let mut added = Vec::new();
        for number in 0..1000 {
            let key = format!("key {number}");
            match insert(&mut filter, &mut buckets, key.as_bytes()) {
                Some(true) => added.push(key),
                Some(false) => {}
                None => break,
            }
        }
        assert!(added.len() > 50 && filter.count == added.len(), "{}", added.len());
        for key in added {
            let Place { fingerprint, first, second } = place_of(16, key.as_bytes());
            assert!(buckets[first].contains(&fingerprint) || buckets[second].contains(&fingerprint), "{key}");
        }
    }
}
