//! `bloom_filter`: whether a key was added, with a chance of saying yes to one that was not.

use std::ffi::{CStr, c_int, c_void};
use std::io::Write as _;
use std::mem::size_of;

use mlua::ffi;
use xxhash_rust::xxh32::xxh32;

use super::super::host::{Host, check_bytes};
use super::super::number;
use super::super::raw::State;
use super::class::{Class, check_integer, check_object, head_and_block, new_object, put_quoted};
use super::{Key, check_count, push_maker};

static CLASS: Class = Class {
    name: c"bloom_filter",
    methods: &[(c"add", add), (c"query", query), (c"count", count), (c"clear", clear), (c"fromstring", from_string)],
    meta: &[],
    output: None,
    save: Some(save),
};

/// What the userdata begins with; the bits follow.
#[repr(C)]
struct Filter {
    items: usize,
    probability: f64,
    bits: usize,
    hashes: u32,
    count: usize,
}

impl Filter {
    fn bytes(&self) -> usize {
        self.bits.div_ceil(8)
    }
}

/// The filter and its bits.
unsafe fn parts<'a>(filter: *mut Filter) -> (&'a mut Filter, &'a mut [u8]) {
    // SAFETY: laid out so by `new`; the object stays on the stack.
    unsafe { head_and_block(filter, Filter::bytes) }
}

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut c_void) -> &'static CStr {
    // SAFETY: leaves one value.
    unsafe { push_maker(state, host, &CLASS, new) };
    c"bloom_filter"
}

/// `new(items, probability)`
unsafe extern "C-unwind" fn new(state: State) -> c_int {
    // SAFETY: what is written is what was allocated.
    unsafe {
        check_count(state, 2);
        let items = check_integer(state, 1);
        let probability = ffi::luaL_checknumber(state, 2);
        if items <= 1 {
            ffi::luaL_argerror(state, 1, c"items must be > 1".as_ptr());
        }
        if !(probability > 0.0 && probability < 1.0) {
            ffi::luaL_argerror(state, 2, c"probability must be between 0 and 1".as_ptr());
        }
        let ln2 = std::f64::consts::LN_2;
        let bits = (items as f64 * probability.ln() / (1.0 / 2f64.powf(ln2)).ln()).ceil();
        if bits > 1e12 {
            ffi::luaL_argerror(state, 1, c"the filter would be too large".as_ptr());
        }
        let hashes = (ln2 * bits / items as f64).round() as u32;
        let filter = Filter { items: items as usize, probability, bits: bits as usize, hashes, count: 0 };
        new_object(state, size_of::<Filter>() + filter.bytes()).cast::<Filter>().write(filter);
        1
    }
}

/// The places of a key's bits.
fn places(filter: &Filter, key: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    (0..filter.hashes).map(move |seed| {
        let bit = xxh32(key, seed) as usize % filter.bits;
        (bit / 8, 1 << (bit % 8))
    })
}

/// Whether any bit was new.
unsafe extern "C-unwind" fn add(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 2);
        let (filter, bits) = parts(check_object(state, 1));
        let key = Key::check(state, 2);
        let mut added = false;
        for (byte, bit) in places(filter, key.bytes()) {
            added |= bits[byte] & bit == 0;
            bits[byte] |= bit;
        }
        filter.count += added as usize;
        ffi::lua_pushboolean(state, added as c_int);
        1
    }
}

unsafe extern "C-unwind" fn query(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 2);
        let (filter, bits) = parts(check_object(state, 1));
        let key = Key::check(state, 2);
        let found = places(filter, key.bytes()).all(|(byte, bit)| bits[byte] & bit != 0);
        ffi::lua_pushboolean(state, found as c_int);
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
        let (filter, bits) = parts(check_object(state, 1));
        bits.fill(0);
        filter.count = 0;
        0
    }
}

unsafe fn save(state: State, index: c_int, path: &[u8], out: &mut Vec<u8>) {
    // SAFETY: see the class.
    unsafe {
        let (filter, bits) = parts(ffi::lua_touserdata(state, index).cast());
        out.extend_from_slice(&[b"if ", path, b" == nil then ", path].concat());
        let probability = number::general(filter.probability, 6);
        let _ = writeln!(out, " = bloom_filter.new({}, {probability}) end", filter.items);
        out.extend_from_slice(path);
        let _ = write!(out, ":fromstring({}, ", filter.count);
        put_quoted(out, bits);
        out.extend_from_slice(b")\n");
    }
}

/// `fromstring([count,] bytes)`
unsafe extern "C-unwind" fn from_string(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        let arguments = ffi::lua_gettop(state).clamp(2, 3);
        check_count(state, arguments);
        let (filter, bits) = parts(check_object(state, 1));
        let count = if arguments == 3 { check_integer(state, 2) } else { 0 };
        let text = check_bytes(state, arguments);
        if text.len() != bits.len() {
            let message = format!("fromstring() bytes found: {}, expected {}", text.len(), bits.len());
            Host::of(state).raise(state, message);
        }
        bits.copy_from_slice(text);
        filter.count = count.max(0) as usize;
        0
    }
}
