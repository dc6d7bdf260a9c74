//! From values to text.

use std::ffi::c_int;
use std::io::Write as _;

use mlua::ffi;

use super::super::super::host::Host;
use super::super::super::number;
use super::super::super::raw::{self, State, raise};
use super::super::super::record;
use super::super::super::sorted::Piece;
use super::{Config, Invalid, check_one_argument};

/// `encode(value)`
pub unsafe extern "C-unwind" fn encode(state: State) -> c_int {
    // SAFETY: the buffer is in the host.
    unsafe {
        check_one_argument(state);
        let host: *mut Host = Host::of(state);
        (*host).scratch.clear();
        put_value(state, 1, host, 0);
        check_limit(state, host);
        if let Some(budget) = (*host).budget.as_ref() {
            budget.charge(state, (*host).scratch.len() / 8);
        }
        raw::push_bytes(state, &(*host).scratch);
        1
    }
}

unsafe fn refuse(state: State, host: *mut Host, index: c_int, reason: &str) -> ! {
    // SAFETY: the text is kept in the host.
    unsafe {
        let kind = raw::type_name(state, index);
        (*host).raise(state, format!("Cannot serialise {kind}: {reason}"))
    }
}

unsafe fn check_limit(state: State, host: *mut Host) {
    // SAFETY: only raises.
    unsafe {
        let limit = (*host).output_limit;
        if limit > 0 && (*host).scratch.len() > limit {
            raise(state, "strbuf output_limit exceeded");
        }
    }
}

/// Appends the value at an absolute index. Pushes are balanced.
unsafe fn put_value(state: State, index: c_int, host: *mut Host, depth: usize) {
    // SAFETY: the host is borrowed only where nothing raises or runs.
    unsafe {
        check_limit(state, host);
        match ffi::lua_type(state, index) {
            ffi::LUA_TSTRING => put_string(raw::string(state, index).unwrap_or_default(), &mut (*host).scratch),
            ffi::LUA_TNUMBER => put_number(state, index, host),
            ffi::LUA_TBOOLEAN => {
                let text: &[u8] = if ffi::lua_toboolean(state, index) != 0 { b"true" } else { b"false" };
                (*host).scratch.extend_from_slice(text);
            }
            ffi::LUA_TNIL => (*host).scratch.extend_from_slice(b"null"),
            ffi::LUA_TLIGHTUSERDATA if ffi::lua_touserdata(state, index).is_null() => {
                (*host).scratch.extend_from_slice(b"null");
            }
            ffi::LUA_TTABLE => put_table(state, index, host, depth + 1),
            _ => refuse(state, host, index, "type not supported"),
        }
    }
}

unsafe fn put_table(state: State, table: c_int, host: *mut Host, depth: usize) {
    // SAFETY: as `put_value`; `lua_next` is given the key that it left.
    unsafe {
        if depth > (*host).json.encode_max_depth || ffi::lua_checkstack(state, 6) == 0 {
            (*host).raise(state, format!("Cannot serialise, excessive nesting ({depth})"));
        }
        if record::is_record(state, table) {
            record::fill(state, table, host);
        }
        let length = array_length(state, table, host);
        let array = length > 0;
        (*host).scratch.push(if array { b'[' } else { b'{' });
        if array {
            for place in 1..=length {
                if place > 1 {
                    (*host).scratch.push(b',');
                }
                ffi::lua_rawgeti(state, table, place);
                put_value(state, ffi::lua_gettop(state), host, depth);
                ffi::lua_settop(state, -2);
            }
            return (*host).scratch.push(b']');
        }
        let mut first = true;
        let begun = (*host).pieces.begin(depth - 1);
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, table) != 0 {
            let value = ffi::lua_gettop(state);
            if !std::mem::take(&mut first) {
                (*host).scratch.push(b',');
            }
            let start = (*host).scratch.len();
            match ffi::lua_type(state, value - 1) {
                ffi::LUA_TSTRING => put_string(raw::string(state, value - 1).unwrap_or_default(), &mut (*host).scratch),
                ffi::LUA_TNUMBER => {
                    (*host).scratch.push(b'"');
                    put_number(state, value - 1, host);
                    (*host).scratch.push(b'"');
                }
                _ => refuse(state, host, value - 1, "table key must be a number or string"),
            }
            let key = (start, (*host).scratch.len());
            (*host).scratch.push(b':');
            put_value(state, value, host, depth);
            ffi::lua_settop(state, value - 1);
            (*host).pieces.push(Piece { start, key, end: (*host).scratch.len() });
        }
        let Host { pieces, scratch, .. } = &mut *host;
        let moved = pieces.end(begun, scratch, b",");
        if let Some(budget) = (*host).budget.as_ref() {
            budget.charge(state, moved / 64);
        }
        (*host).scratch.push(b'}');
    }
}

/// The largest index of a table with nothing but positive whole ones; 0 for an object.
unsafe fn array_length(state: State, table: c_int, host: *mut Host) -> i64 {
    // SAFETY: as `put_table`.
    unsafe {
        let (mut largest, mut items) = (0.0f64, 0.0);
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, table) != 0 {
            let index = match ffi::lua_type(state, -2) {
                ffi::LUA_TNUMBER => ffi::lua_tonumber(state, -2),
                _ => 0.0,
            };
            if index < 1.0 || index.fract() != 0.0 {
                ffi::lua_settop(state, -3);
                return 0;
            }
            largest = largest.max(index);
            items += 1.0;
            ffi::lua_settop(state, -2);
        }
        let Config { sparse_convert, sparse_ratio, sparse_safe, .. } = (*host).json;
        if sparse_ratio > 0.0 && largest > items * sparse_ratio && largest > sparse_safe {
            if !sparse_convert {
                refuse(state, host, table, "excessively sparse array");
            }
            return 0;
        }
        largest as i64
    }
}

unsafe fn put_number(state: State, index: c_int, host: *mut Host) {
    // SAFETY: as `put_value`.
    unsafe {
        let number = ffi::lua_tonumber(state, index);
        let config = &(*host).json;
        if !number.is_finite() {
            match config.encode_invalid {
                Invalid::Refuse => refuse(state, host, index, "must not be NaN or Inf"),
                Invalid::Null => return (*host).scratch.extend_from_slice(b"null"),
                Invalid::Write => {}
            }
        }
        let precision = config.precision;
        let out = &mut (*host).scratch;
        // Writing into memory can't fail.
        let _ = match number.fract() == 0.0 && number.abs() < 10f64.powi(precision.min(15) as i32) && number != 0.0 {
            true => write!(out, "{}", number as i64),
            false => write!(out, "{}", number::general(number, precision)),
        };
    }
}

/// The letter behind the backslash, of a byte that JSON has one for.
pub fn short_escape(byte: u8) -> Option<u8> {
    Some(match byte {
        b'"' | b'\\' | b'/' => byte,
        8 => b'b',
        9 => b't',
        10 => b'n',
        12 => b'f',
        13 => b'r',
        _ => return None,
    })
}

pub fn put_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (place, &byte) in text.iter().enumerate() {
        if byte >= b' ' && !matches!(byte, b'"' | b'\\' | b'/' | 0x7f) {
            continue;
        }
        out.extend_from_slice(&text[plain..place]);
        plain = place + 1;
        match short_escape(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => drop(write!(out, "\\u{byte:04x}")),
        }
    }
    out.extend_from_slice(&text[plain..]);
    out.push(b'"');
}
