//! `hyperloglog`: how many different keys there were, from 12 KB.
//!
//! Registers, hash and saved form are those of Redis' dense representation, which upstream took over: 2^14 registers of
//! 6 bits, the first at the lowest bits; the hash is MurmurHash64A.

use std::ffi::{CStr, c_int, c_void};
use std::mem::size_of;

use mlua::ffi;

use super::super::host::{Host, check_bytes};
use super::super::raw::{State, raise};
use super::class::{Class, check_object, new_object, put_quoted};
use super::{Key, check_count, push_maker};

static CLASS: Class = Class {
    name: c"hyperloglog",
    methods: &[(c"add", add), (c"count", count), (c"clear", clear), (c"merge", merge), (c"fromstring", from_string)],
    meta: &[],
    output: Some(output),
    save: Some(save),
};

const REGISTERS: usize = 1 << PRECISION;
const PRECISION: u32 = 14;
const BITS: usize = 6;
const REGISTER_BYTES: usize = REGISTERS * BITS / 8;
const SEED: u64 = 0xadc8_3b19;
const MAGIC: &[u8; 4] = b"HYLL";
/// The cached count is out of date.
const STALE: u64 = 1 << 63;

/// The saved form, byte for byte.
#[repr(C)]
struct Sketch {
    magic: [u8; 4],
    encoding: u8,
    unused: [u8; 3],
    /// Little endian.
    cached: [u8; 8],
    registers: [u8; REGISTER_BYTES],
}

const SIZE: usize = size_of::<Sketch>();

impl Sketch {
    fn reset(&mut self) {
        *self = Sketch { magic: *MAGIC, encoding: 0, unused: [0; 3], cached: [0; 8], registers: [0; REGISTER_BYTES] };
    }

    fn register(&self, place: usize) -> u8 {
        let bit = place * BITS;
        let pair = u16::from(self.registers[bit / 8]) | u16::from(*self.registers.get(bit / 8 + 1).unwrap_or(&0)) << 8;
        (pair >> (bit % 8)) as u8 & 63
    }

    fn set_register(&mut self, place: usize, value: u8) {
        let (byte, shift) = (place * BITS / 8, place * BITS % 8);
        let (mask, value) = (63u16 << shift, u16::from(value) << shift);
        self.registers[byte] = self.registers[byte] & !(mask as u8) | value as u8;
        if let Some(next) = self.registers.get_mut(byte + 1) {
            *next = *next & !((mask >> 8) as u8) | (value >> 8) as u8;
        }
    }

    /// Whether the estimate may have changed.
    fn add(&mut self, key: &[u8]) -> bool {
        let hash = murmur64a(key, SEED);
        let place = hash as usize & (REGISTERS - 1);
        let rank = ((hash | 1 << 63) >> PRECISION).trailing_zeros() as u8 + 1;
        let changed = rank > self.register(place);
        if changed {
            self.set_register(place, rank);
            self.cached = STALE.to_le_bytes();
        }
        changed
    }

    fn count(&mut self) -> u64 {
        let cached = u64::from_le_bytes(self.cached);
        if cached & STALE == 0 {
            return cached;
        }
        let estimate = estimate((0..REGISTERS).map(|place| self.register(place)));
        self.cached = estimate.to_le_bytes();
        estimate
    }
}

/// The figures of the correction are Redis'.
fn estimate(registers: impl Iterator<Item = u8>) -> u64 {
    let m = REGISTERS as f64;
    let (mut sum, mut zeros) = (0.0, 0u32);
    for register in registers {
        sum += (-f64::from(register)).exp2();
        zeros += (register == 0) as u32;
    }
    let alpha = 0.7213 / (1.0 + 1.079 / m);
    let mut estimate = alpha * m * m / sum;
    if estimate < 2.5 * m && zeros > 0 {
        estimate = m * (m / f64::from(zeros)).ln();
    } else if estimate < 72000.0 {
        let bias = 5.9119e-18 * estimate.powi(4) - 1.4253e-12 * estimate.powi(3) + 1.2940e-7 * estimate.powi(2)
            - 5.2921e-3 * estimate
            + 83.3216;
        estimate -= estimate * bias / 100.0;
    }
    estimate as u64
}

/// MurmurHash64A, by Austin Appleby (public domain).
fn murmur64a(key: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = seed ^ (key.len() as u64).wrapping_mul(M);
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 47;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 47).wrapping_mul(M);
    hash ^ hash >> 47
}

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut c_void) -> &'static CStr {
    // SAFETY: leaves one value.
    unsafe {
        push_maker(state, host, &CLASS, new);
        CLASS.push_function(state, count, host);
        ffi::lua_setfield(state, -2, c"count".as_ptr());
    }
    c"hyperloglog"
}

unsafe extern "C-unwind" fn new(state: State) -> c_int {
    // SAFETY: the object has the size of a sketch.
    unsafe {
        check_count(state, 0);
        (*new_object(state, SIZE).cast::<Sketch>()).reset();
        1
    }
}

unsafe extern "C-unwind" fn add(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 2);
        let sketch = check_object::<Sketch>(state, 1);
        let key = Key::check(state, 2);
        ffi::lua_pushboolean(state, (*sketch).add(key.bytes()) as c_int);
        1
    }
}

/// `sketch:count()`, and `hyperloglog.count(sketch, …)`: of the keys that are in any of them.
unsafe extern "C-unwind" fn count(state: State) -> c_int {
    // SAFETY: every argument is checked before any is read.
    unsafe {
        let arguments = ffi::lua_gettop(state).max(1);
        for argument in 1..=arguments {
            check_object::<Sketch>(state, argument);
        }
        let total = match arguments {
            1 => (*check_object::<Sketch>(state, 1)).count(),
            _ => estimate((0..REGISTERS).map(|place| {
                let register = |argument| (*ffi::lua_touserdata(state, argument).cast::<Sketch>()).register(place);
                (1..=arguments).map(register).max().unwrap_or(0)
            })),
        };
        ffi::lua_pushnumber(state, total as f64);
        1
    }
}

unsafe extern "C-unwind" fn clear(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 1);
        (*check_object::<Sketch>(state, 1)).reset();
        0
    }
}

/// `sketch:merge(other)`: its keys count here too.
unsafe extern "C-unwind" fn merge(state: State) -> c_int {
    // SAFETY: both objects were checked; they may be the same one, so values are read one by one.
    unsafe {
        check_count(state, 2);
        let (sketch, other) = (check_object::<Sketch>(state, 1), check_object::<Sketch>(state, 2));
        for place in 0..REGISTERS {
            let register = (*other).register(place);
            if register > (*sketch).register(place) {
                (*sketch).set_register(place, register);
                (*sketch).cached = STALE.to_le_bytes();
            }
        }
        ffi::lua_settop(state, 1);
        1
    }
}

unsafe fn bytes<'a>(state: State, index: c_int) -> &'a [u8] {
    // SAFETY: an object of the class, which stays on the stack.
    unsafe { std::slice::from_raw_parts(ffi::lua_touserdata(state, index).cast(), SIZE) }
}

unsafe fn output(state: State, index: c_int, out: &mut Vec<u8>) {
    // SAFETY: see the class.
    unsafe { out.extend_from_slice(bytes(state, index)) }
}

unsafe fn save(state: State, index: c_int, path: &[u8], out: &mut Vec<u8>) {
    // SAFETY: see the class.
    unsafe {
        out.extend_from_slice(&[b"if ", path, b" == nil then ", path, b" = hyperloglog.new() end\n"].concat());
        out.extend_from_slice(&[path, b":fromstring("].concat());
        put_quoted(out, bytes(state, index));
        out.extend_from_slice(b")\n");
    }
}

unsafe extern "C-unwind" fn from_string(state: State) -> c_int {
    // SAFETY: the object was checked, and has the size of a sketch.
    unsafe {
        check_count(state, 2);
        let sketch = check_object::<Sketch>(state, 1);
        let text = check_bytes(state, 2);
        if text.len() != SIZE {
            let found = text.len();
            Host::of(state).raise(state, format!("fromstring() bytes found: {found}, expected {SIZE}"));
        }
        if !text.starts_with(MAGIC) {
            raise(state, "fromstring() HYLL header not found");
        }
        std::slice::from_raw_parts_mut(sketch.cast::<u8>(), SIZE).copy_from_slice(text);
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_close() {
        assert_eq!(SIZE, 12304);
        let mut sketch = Box::new(Sketch {
            magic: *MAGIC,
            encoding: 0,
            unused: [0; 3],
            cached: [0; 8],
            registers: [0; REGISTER_BYTES],
        });
        for number in 1..=1000 {
            sketch.add(&f64::from(number).to_le_bytes());
        }
        assert_eq!(sketch.count(), 998);
        sketch.reset();
        for number in 1..=1000 {
            sketch.add(format!("key{number}").as_bytes());
        }
        assert_eq!(sketch.count(), 1010);
        for number in 1..=100_000 {
            sketch.add(format!("k{number}").as_bytes());
        }
        assert_eq!(sketch.count(), 101_091);
    }
}
