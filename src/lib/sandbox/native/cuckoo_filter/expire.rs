//! `cuckoo_filter_expire`: whether a key was added within the last 256 intervals, and how many of them ago.
//!
//! Fingerprints have 32 bits. From 80 % of its room on, a filter gives up the oldest interval that it holds.

use std::ffi::{CStr, c_int, c_void};
use std::io::Write as _;
use std::mem::size_of;

use mlua::ffi;

use super::super::class::{Class, check_integer, check_object, head_and_block, new_object, put_quoted};
use super::super::{Key, check_count, push_maker};
use super::table::{self, BUCKET, Entry, find, hash_bytes, insert, place_of};
use crate::sandbox::host::{Host, check_bytes};
use crate::sandbox::raw::{State, raise};

static CLASS: Class = Class {
    name: c"cuckoo_filter_expire",
    methods: &[
        (c"add", add),
        (c"query", query),
        (c"delete", delete),
        (c"count", count),
        (c"clear", clear),
        (c"current_interval", current_interval),
        (c"fromstring", from_string),
    ],
    meta: &[],
    output: None,
    save: Some(save),
};

/// How many intervals are kept.
const WINDOW: i64 = 256;

/// What the userdata begins with; the buckets follow.
#[repr(C)]
struct Filter {
    buckets: usize,
    count: usize,
    minutes: i64,
    /// The newest interval: a number since 1970.
    newest: i64,
}

/// A fingerprint and the low 8 bits of its interval.
#[derive(Clone, Copy, PartialEq)]
#[repr(C)]
struct Dated {
    print: u32,
    interval: u32,
}

type Bucket = table::Bucket<Dated>;

const FREE: Dated = Dated { print: 0, interval: 0 };

impl Entry for Dated {
    fn of(hash: u64) -> Dated {
        Dated { print: ((hash >> 32) as u32).max(1), interval: 0 }
    }

    fn is_free(self) -> bool {
        self.print == 0
    }

    fn has_print_of(self, other: Dated) -> bool {
        self.print == other.print
    }

    fn rehash(self) -> u64 {
        hash_bytes(&self.print.to_le_bytes())
    }
}

impl Filter {
    fn slots(&self) -> usize {
        self.buckets * BUCKET
    }

    /// How many intervals before the newest one an entry was added.
    fn age(&self, entry: Dated) -> i64 {
        (self.newest - i64::from(entry.interval)).rem_euclid(WINDOW)
    }

    /// Removes what is older than so many intervals.
    fn expire(&mut self, buckets: &mut [Bucket], oldest: i64) {
        for entry in buckets.as_flattened_mut() {
            if !entry.is_free() && self.age(*entry) > oldest {
                *entry = FREE;
                self.count -= 1;
            }
        }
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
/// See [`super::super::open`].
pub unsafe fn open(state: State, host: *mut c_void) -> &'static CStr {
    // SAFETY: leaves one value.
    unsafe { push_maker(state, host, &CLASS, new) };
    c"cuckoo_filter_expire"
}

/// `new(items [, minutes])`
unsafe extern "C-unwind" fn new(state: State) -> c_int {
    // SAFETY: what is written is what was allocated; the entries begin as zeros.
    unsafe {
        if ffi::lua_gettop(state) == 1 {
            ffi::lua_pushinteger(state, 1);
        }
        check_count(state, 2);
        let items = check_integer(state, 1);
        if items <= WINDOW {
            ffi::luaL_argerror(state, 1, c"items must be > 256".as_ptr());
        }
        if items > 1 << 32 {
            ffi::luaL_argerror(state, 1, c"the filter would be too large".as_ptr());
        }
        let minutes = if ffi::lua_isnil(state, 2) != 0 { 1 } else { check_integer(state, 2) };
        if !(1..=1440).contains(&minutes) {
            ffi::luaL_argerror(state, 2, c"0 < interval size <= 1440".as_ptr());
        }
        let buckets = (items as usize / BUCKET).next_power_of_two();
        let filter = Filter { buckets, count: 0, minutes, newest: WINDOW - 1 };
        new_object(state, size_of::<Filter>() + buckets * size_of::<Bucket>()).cast::<Filter>().write(filter);
        1
    }
}

/// `add(key, ns)`: true and 0 for a new key; false and how many intervals lie between this time and the one that is known;
/// false alone for a time before the window.
unsafe extern "C-unwind" fn add(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 3);
        let (filter, buckets) = parts(check_object(state, 1));
        let key = Key::check(state, 2);
        let interval = (ffi::luaL_checknumber(state, 3) / (filter.minutes as f64 * 60e9)).floor();
        if interval.is_nan() || interval <= (filter.newest - WINDOW) as f64 {
            ffi::lua_pushboolean(state, 0);
            return 1;
        }
        let interval = interval as i64;
        let later = interval.saturating_sub(filter.newest);
        if later > 0 {
            walk(state, filter);
            filter.expire(buckets, WINDOW - 1 - later);
            filter.newest = interval;
        }
        let mut place = place_of::<Dated>(filter.buckets, key.bytes());
        if let Some(known) = find(buckets, &place) {
            let between = filter.age(*known) - (filter.newest - interval);
            if between > 0 {
                known.interval = (interval % WINDOW) as u32;
            }
            ffi::lua_pushboolean(state, 0);
            ffi::lua_pushnumber(state, between.abs() as f64);
            return 2;
        }
        if filter.count * 10 >= filter.slots() * 8 {
            walk(state, filter);
            let ages = buckets.as_flattened().iter().filter(|entry| !entry.is_free()).map(|entry| filter.age(*entry));
            let oldest = ages.max().unwrap_or(0);
            filter.expire(buckets, oldest - 1);
        }
        place.entry.interval = (interval % WINDOW) as u32;
        if !insert(buckets, &place) {
            raise(state, "the cuckoo filter is full");
        }
        filter.count += 1;
        ffi::lua_pushboolean(state, 1);
        ffi::lua_pushnumber(state, 0.0);
        2
    }
}

/// Counts a walk over all buckets as so many instructions.
unsafe fn walk(state: State, filter: &Filter) {
    // SAFETY: the host's budget outlives the call.
    unsafe { (*Host::of(state).budget).charge(state, filter.buckets) }
}

/// The filter, and its entry for the key that is asked for.
unsafe fn asked<'a>(state: State) -> (&'a mut Filter, Option<&'a mut Dated>) {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 2);
        let (filter, buckets) = parts(check_object(state, 1));
        let place = place_of(filter.buckets, Key::check(state, 2).bytes());
        (filter, find(buckets, &place))
    }
}

/// `query(key)`: true and the index of its interval, or false.
unsafe extern "C-unwind" fn query(state: State) -> c_int {
    // SAFETY: see `asked`.
    unsafe {
        let (_, known) = asked(state);
        ffi::lua_pushboolean(state, known.is_some() as c_int);
        let Some(known) = known else { return 1 };
        ffi::lua_pushnumber(state, f64::from(known.interval));
        2
    }
}

unsafe extern "C-unwind" fn delete(state: State) -> c_int {
    // SAFETY: see `asked`.
    unsafe {
        let (filter, known) = asked(state);
        ffi::lua_pushboolean(state, known.is_some() as c_int);
        if let Some(known) = known {
            *known = FREE;
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
        buckets.fill([FREE; BUCKET]);
        filter.count = 0;
        filter.newest = WINDOW - 1;
        0
    }
}

/// `current_interval()`: the newest interval's time (ns) and index.
unsafe extern "C-unwind" fn current_interval(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 1);
        let (filter, _) = parts(check_object(state, 1));
        ffi::lua_pushnumber(state, filter.newest as f64 * filter.minutes as f64 * 60e9);
        ffi::lua_pushnumber(state, (filter.newest % WINDOW) as f64);
        2
    }
}

unsafe fn save(state: State, index: c_int, path: &[u8], out: &mut Vec<u8>) {
    // SAFETY: see the class.
    unsafe {
        let (filter, buckets) = parts(ffi::lua_touserdata(state, index).cast());
        out.extend_from_slice(&[b"if ", path, b" == nil then ", path].concat());
        let _ = writeln!(out, " = cuckoo_filter_expire.new({}, {}) end", filter.slots(), filter.minutes);
        out.extend_from_slice(path);
        let _ = write!(out, ":fromstring({}, ", filter.newest);
        let mut bytes = Vec::with_capacity(filter.slots() * 5);
        for entry in buckets.as_flattened() {
            bytes.extend_from_slice(&entry.print.to_le_bytes());
            bytes.push(entry.interval as u8);
        }
        put_quoted(out, &bytes);
        out.extend_from_slice(b")\n");
    }
}

/// `fromstring(newest, bytes)`: as a state file has it.
unsafe extern "C-unwind" fn from_string(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 3);
        let (filter, buckets) = parts(check_object(state, 1));
        let newest = check_integer(state, 2);
        let text = check_bytes(state, 3);
        let expected = filter.slots() * 5;
        if text.len() != expected {
            let message = format!("fromstring() bytes found: {}, expected {expected}", text.len());
            Host::of(state).raise(state, message);
        }
        for (entry, &[a, b, c, d, interval]) in buckets.as_flattened_mut().iter_mut().zip(text.as_chunks::<5>().0) {
            let print = u32::from_le_bytes([a, b, c, d]);
            *entry = if print == 0 { FREE } else { Dated { print, interval: u32::from(interval) } };
        }
        filter.count = buckets.as_flattened().iter().filter(|entry| !entry.is_free()).count();
        filter.newest = newest.max(WINDOW - 1);
        0
    }
}
