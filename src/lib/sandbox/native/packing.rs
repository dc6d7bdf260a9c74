//! `struct`: binary records, in the formats of Roberto Ierusalimschy's library of that name (version 0.2).
//!
//! `<` `>` `=` byte order, `!n` alignment, `x` padding, `b B h H l L T i[n] I[n]` integers, `f d` floats, `s` a text with a
//! closing zero, `c[n]` bytes (`c0`: when packing the whole text, when unpacking as many as the number before says).

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

use super::super::host::{Host, check_bytes};
use super::super::raw::{self, State, raise};
use super::push_library;

/// Integers of more bytes lose nothing that a Lua number could hold.
const MAX_INTEGER: usize = 32;
/// What padding and fixed texts may add up to.
const MAX_SIZE: usize = 1 << 24;

#[derive(Clone, Copy, PartialEq)]
enum Item {
    Padding,
    Integer {
        size: usize,
        signed: bool,
    },
    Float,
    Double,
    /// With a closing zero.
    Text,
    Bytes(usize),
}

impl Item {
    fn size(self) -> usize {
        match self {
            Item::Padding => 1,
            Item::Integer { size, .. } => size,
            Item::Float => 4,
            Item::Double => 8,
            Item::Text => 0,
            Item::Bytes(size) => size,
        }
    }

    fn aligned(self) -> bool {
        matches!(self, Item::Integer { .. } | Item::Float | Item::Double)
    }
}

/// Walks a format.
struct Format<'a> {
    text: &'a [u8],
    little: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Format<'a> {
        Format { text, little: cfg!(target_endian = "little"), align: 1 }
    }

    fn number(&mut self) -> Option<usize> {
        let digits = self.text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.text.split_at(digits);
        self.text = rest;
        if digits == 0 { None } else { std::str::from_utf8(number).ok()?.parse().ok().or(Some(usize::MAX)) }
    }

    /// The next item, with its byte order and how many bytes go before it when `offset` bytes are there.
    fn next(&mut self, offset: usize) -> Option<Result<(Item, usize), &'static str>> {
        loop {
            let (&letter, rest) = self.text.split_first()?;
            self.text = rest;
            let long = size_of::<std::ffi::c_long>();
            let item = match letter {
                b' ' => continue,
                b'<' => {
                    self.little = true;
                    continue;
                }
                b'>' => {
                    self.little = false;
                    continue;
                }
                b'=' => {
                    self.little = cfg!(target_endian = "little");
                    continue;
                }
                b'!' => {
                    self.align = self.number().unwrap_or(8);
                    if !self.align.is_power_of_two() {
                        return Some(Err("alignment is not a power of 2"));
                    }
                    continue;
                }
                b'x' => Item::Padding,
                b'b' | b'B' => Item::Integer { size: 1, signed: letter == b'b' },
                b'h' | b'H' => Item::Integer { size: 2, signed: letter == b'h' },
                b'l' | b'L' => Item::Integer { size: long, signed: letter == b'l' },
                b'T' => Item::Integer { size: size_of::<usize>(), signed: false },
                b'i' | b'I' => match self.number().unwrap_or(4) {
                    size @ 1..=MAX_INTEGER => Item::Integer { size, signed: letter == b'i' },
                    _ => return Some(Err("integral size is larger than the limit of 32")),
                },
                b'f' => Item::Float,
                b'd' => Item::Double,
                b's' => Item::Text,
                b'c' => Item::Bytes(self.number().unwrap_or(1)),
                _ => return Some(Err("invalid format option")),
            };
            let align = if item.aligned() { item.size().min(self.align) } else { 1 };
            let before = if align > 1 { (align - offset % align) % align } else { 0 };
            if item.size().saturating_add(offset) > MAX_SIZE {
                return Some(Err("the format is too large"));
            }
            return Some(Ok((item, before)));
        }
    }
}

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut c_void) -> &'static CStr {
    // SAFETY: leaves one value.
    unsafe { push_library(state, host, &[(c"pack", pack), (c"unpack", unpack), (c"size", size)]) };
    c"struct"
}

/// The format in the first argument; what it will take is counted.
unsafe fn checked_format<'a>(state: State) -> Format<'a> {
    // SAFETY: called by functions with a host; the argument stays on the stack while they run.
    unsafe {
        let text = check_bytes(state, 1);
        (*Host::of(state).budget).charge(state, text.len());
        Format::new(text)
    }
}

/// `pack(format, …)`
unsafe extern "C-unwind" fn pack(state: State) -> c_int {
    // SAFETY: the buffer is in the host; arguments stay on the stack.
    unsafe {
        let mut format = checked_format(state);
        Host::of(state).scratch.clear();
        let mut argument = 1;
        loop {
            let out = &mut Host::of(state).scratch;
            let Some(item) = format.next(out.len()) else { break };
            let (item, before) = item.unwrap_or_else(|message| raise(state, message));
            out.resize(out.len() + before, 0);
            if item != Item::Padding {
                argument += 1;
            }
            match item {
                Item::Padding => out.push(0),
                Item::Integer { size, .. } => {
                    let number = ffi::luaL_checknumber(state, argument);
                    // Beyond the signed range numbers stand for unsigned ones.
                    let bits = if number < 0.0 { number as i64 as u64 } else { number as u64 };
                    let fill = if number < 0.0 { 0xff } else { 0 };
                    let mut bytes = [fill; MAX_INTEGER];
                    bytes[..8].copy_from_slice(&bits.to_le_bytes());
                    let bytes = &mut bytes[..size];
                    if !format.little {
                        bytes.reverse();
                    }
                    out.extend_from_slice(bytes);
                }
                Item::Float => {
                    let number = ffi::luaL_checknumber(state, argument) as f32;
                    out.extend_from_slice(&if format.little { number.to_le_bytes() } else { number.to_be_bytes() });
                }
                Item::Double => {
                    let number = ffi::luaL_checknumber(state, argument);
                    out.extend_from_slice(&if format.little { number.to_le_bytes() } else { number.to_be_bytes() });
                }
                Item::Text => {
                    out.extend_from_slice(check_bytes(state, argument));
                    out.push(0);
                }
                Item::Bytes(size) => {
                    let text = check_bytes(state, argument);
                    let size = if size == 0 { text.len() } else { size };
                    let Some(text) = text.get(..size) else {
                        ffi::luaL_argerror(state, argument, c"string too short".as_ptr());
                        return 0;
                    };
                    out.extend_from_slice(text);
                }
            }
        }
        let host = Host::of(state);
        (*host.budget).charge(state, host.scratch.len() / 8);
        raw::push_bytes(state, &host.scratch);
        1
    }
}

/// `unpack(format, text [, position])`: the values, and the position behind them.
unsafe extern "C-unwind" fn unpack(state: State) -> c_int {
    // SAFETY: the text stays on the stack; room for what is pushed is asked for.
    unsafe {
        let mut format = checked_format(state);
        let text = check_bytes(state, 2);
        let start = ffi::luaL_optnumber(state, 3, 1.0) as i64;
        let mut at = usize::try_from(start.saturating_sub(1)).unwrap_or(usize::MAX);
        ffi::lua_settop(state, 2);
        while let Some(item) = format.next(at.min(MAX_SIZE)) {
            let (item, before) = item.unwrap_or_else(|message| raise(state, message));
            at = at.saturating_add(before);
            let size = match item {
                // As many as the number before says.
                Item::Bytes(0) => {
                    if ffi::lua_gettop(state) < 3 || ffi::lua_type(state, -1) != ffi::LUA_TNUMBER {
                        raise(state, "format 'c0' needs a previous size");
                    }
                    let size = ffi::lua_tonumber(state, -1) as usize;
                    ffi::lua_settop(state, -2);
                    size
                }
                item => item.size(),
            };
            let Some(bytes) = text.get(at..).and_then(|rest| rest.get(..size)) else {
                ffi::luaL_argerror(state, 2, c"data string too short".as_ptr());
                return 0;
            };
            at += size;
            ffi::luaL_checkstack(state, 4, c"too many results".as_ptr());
            match item {
                Item::Padding => {}
                Item::Integer { size, signed } => {
                    let mut little = [0; MAX_INTEGER];
                    for (place, byte) in bytes.iter().enumerate() {
                        little[if format.little { place } else { size - 1 - place }] = *byte;
                    }
                    let negative = signed && little[size - 1] & 0x80 != 0;
                    if negative {
                        little[size..].fill(0xff);
                    }
                    let low = u64::from_le_bytes(little[..8].try_into().unwrap_or_default());
                    ffi::lua_pushnumber(state, if signed { low as i64 as f64 } else { low as f64 });
                }
                Item::Float => {
                    let bytes = bytes.try_into().unwrap_or_default();
                    let number = if format.little { f32::from_le_bytes(bytes) } else { f32::from_be_bytes(bytes) };
                    ffi::lua_pushnumber(state, number.into());
                }
                Item::Double => {
                    let bytes = bytes.try_into().unwrap_or_default();
                    let number = if format.little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) };
                    ffi::lua_pushnumber(state, number);
                }
                Item::Text => {
                    let rest = text.get(at..).unwrap_or_default();
                    let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                        raise(state, "unfinished string in data");
                    };
                    raw::push_bytes(state, &rest[..end]);
                    at += end + 1;
                }
                Item::Bytes(_) => raw::push_bytes(state, bytes),
            }
        }
        ffi::lua_pushnumber(state, at as f64 + 1.0);
        ffi::lua_gettop(state) - 2
    }
}

/// `size(format)`: bytes of a record, where texts have a fixed length.
unsafe extern "C-unwind" fn size(state: State) -> c_int {
    // SAFETY: reads an argument, or raises.
    unsafe {
        let mut format = checked_format(state);
        let mut total = 0;
        while let Some(item) = format.next(total) {
            let (item, before) = item.unwrap_or_else(|message| raise(state, message));
            match item {
                Item::Text => raise(state, "variable-size format for option 's'"),
                Item::Bytes(0) => raise(state, "variable-length format for option 'c0'"),
                item => total += before + item.size(),
            }
        }
        ffi::lua_pushnumber(state, total as f64);
        1
    }
}
