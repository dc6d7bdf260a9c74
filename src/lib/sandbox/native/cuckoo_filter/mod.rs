//! `cuckoo_filter`: whether a key was added, with deletion and a count.
//!
//! Fingerprints have 16 bits.

pub mod expire;
mod table;

use std::ffi::{CStr, c_int, c_void};
use std::io::Write as _;
use std::mem::size_of;

use mlua::ffi;

use super::super::host::{Host, check_bytes};
use super::super::raw::{State, raise};
use super::class::{Class, check_integer, check_object, head_and_block, new_object, put_quoted};
use super::{Key, check_count, push_maker};
use table::{BUCKET, Entry, find, hash_bytes, insert, place_of};

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

/// What the userdata begins with; the buckets follow.
#[repr(C)]
struct Filter {
    items: usize,
    buckets: usize,
    count: usize,
}

type Bucket = table::Bucket<u16>;

impl Entry for u16 {
    fn of(hash: u64) -> u16 {
        ((hash >> 48) as u16).max(1)
    }

    fn is_free(self) -> bool {
        self == 0
    }

    fn has_print_of(self, other: u16) -> bool {
        self == other
    }

    fn rehash(self) -> u64 {
        hash_bytes(&self.to_le_bytes())
    }
}

/// The filter and its buckets.
unsafe fn parts<'a>(filter: *mut Filter) -> (&'a mut Filter, &'a mut [Bucket]) {
    // SAFETY: laid out so by `new`; the object stays on the stack.
    unsafe { head_and_block(filter, |filter| filter.buckets) }
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

/// False when the fingerprint is there already.
unsafe extern "C-unwind" fn add(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 2);
        let (filter, buckets) = parts(check_object(state, 1));
        let key = Key::check(state, 2);
        let place = place_of(filter.buckets, key.bytes());
        let is_new = find(buckets, &place).is_none();
        if is_new {
            if !insert(buckets, &place) {
                raise(state, "the cuckoo filter is full");
            }
            filter.count += 1;
        }
        ffi::lua_pushboolean(state, is_new as c_int);
        1
    }
}

/// The filter, and its entry for the key that is asked for.
unsafe fn asked<'a>(state: State) -> (&'a mut Filter, Option<&'a mut u16>) {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 2);
        let (filter, buckets) = parts(check_object(state, 1));
        let place = place_of(filter.buckets, Key::check(state, 2).bytes());
        (filter, find(buckets, &place))
    }
}

unsafe extern "C-unwind" fn query(state: State) -> c_int {
    // SAFETY: see `asked`.
    unsafe {
        ffi::lua_pushboolean(state, asked(state).1.is_some() as c_int);
        1
    }
}

unsafe extern "C-unwind" fn delete(state: State) -> c_int {
    // SAFETY: see `asked`.
    unsafe {
        let (filter, entry) = asked(state);
        ffi::lua_pushboolean(state, entry.is_some() as c_int);
        if let Some(entry) = entry {
            *entry = 0;
            filter.count -= 1;
        }
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
