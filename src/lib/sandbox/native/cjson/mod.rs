//! `cjson`: JSON with the choices, limits and error texts of lua-cjson 2.1, which scripts rely on.
//!
//! Tables are read raw and in their own order. A text is read token by token onto the Lua stack; nothing is built in
//! between.

mod decode;
mod encode;

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

pub(super) use decode::{Lexer, Token};
pub(super) use encode::put_string;
pub use encode::short_escape;

use super::super::host::Host;
use super::super::raw::{self, State};
use super::push_library;

/// What a script can set; see the functions of these names.
pub struct Config {
    sparse_convert: bool,
    sparse_ratio: f64,
    sparse_safe: f64,
    encode_max_depth: usize,
    decode_max_depth: usize,
    precision: usize,
    encode_invalid: Invalid,
    pub(super) decode_invalid: bool,
    decode_null: bool,
}

/// What becomes of NaN and infinities.
#[derive(Clone, Copy, PartialEq)]
enum Invalid {
    Refuse,
    Write,
    Null,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            sparse_convert: false,
            sparse_ratio: 2.0,
            sparse_safe: 10.0,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            precision: 14,
            encode_invalid: Invalid::Refuse,
            decode_invalid: true,
            decode_null: false,
        }
    }
}

/// Deepest nesting that can be asked for: levels take native stack.
const DEEPEST: usize = 2000;

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut c_void) -> &'static CStr {
    // SAFETY: leaves one value.
    unsafe {
        let functions: [(&CStr, raw::Function); 9] = [
            (c"encode", encode::encode),
            (c"decode", decode::decode),
            (c"encode_sparse_array", encode_sparse_array),
            (c"encode_max_depth", encode_max_depth),
            (c"decode_max_depth", decode_max_depth),
            (c"encode_number_precision", encode_number_precision),
            (c"encode_invalid_numbers", encode_invalid_numbers),
            (c"decode_invalid_numbers", decode_invalid_numbers),
            (c"decode_null", decode_null),
        ];
        push_library(state, host, &functions);
        ffi::lua_pushlightuserdata(state, std::ptr::null_mut());
        ffi::lua_setfield(state, -2, c"null".as_ptr());
        for (name, text) in [(c"_NAME", "cjson"), (c"_VERSION", "2.1.0")] {
            raw::push_bytes(state, text.as_bytes());
            ffi::lua_setfield(state, -2, name.as_ptr());
        }
    }
    c"cjson"
}

unsafe fn check_one_argument(state: State) {
    // SAFETY: reads the stack, or raises.
    unsafe {
        if ffi::lua_gettop(state) != 1 {
            ffi::luaL_argerror(state, 1, c"expected 1 argument".as_ptr());
        }
    }
}

/// An optional whole number from 1 (or 0) up to a limit.
unsafe fn option_number(state: State, argument: c_int, least: usize, most: usize, or: usize) -> usize {
    // SAFETY: reads an argument, or raises.
    unsafe {
        if ffi::lua_type(state, argument) <= ffi::LUA_TNIL {
            return or;
        }
        let number = ffi::luaL_checknumber(state, argument);
        if !(least as f64..=most as f64).contains(&number) {
            let message = c"expected integer between %d and %d";
            ffi::lua_pushfstring(state, message.as_ptr(), least as c_int, most as c_int);
            ffi::luaL_argerror(state, argument, ffi::lua_tolstring(state, -1, std::ptr::null_mut()));
        }
        number as usize
    }
}

unsafe fn option_bool(state: State, argument: c_int, or: bool) -> bool {
    // SAFETY: reads an argument, or raises.
    unsafe {
        if ffi::lua_type(state, argument) <= ffi::LUA_TNIL {
            return or;
        }
        ffi::luaL_checktype(state, argument, ffi::LUA_TBOOLEAN);
        ffi::lua_toboolean(state, argument) != 0
    }
}

/// `encode_sparse_array([convert [, ratio [, safe]]])`
unsafe extern "C-unwind" fn encode_sparse_array(state: State) -> c_int {
    // SAFETY: nothing raises while the host is borrowed.
    unsafe {
        let Config { sparse_convert, sparse_ratio, sparse_safe, .. } = Host::of(state).json;
        let convert = option_bool(state, 1, sparse_convert);
        let ratio = option_number(state, 2, 0, c_int::MAX as usize, sparse_ratio as usize) as f64;
        let safe = option_number(state, 3, 0, c_int::MAX as usize, sparse_safe as usize) as f64;
        let json = &mut Host::of(state).json;
        (json.sparse_convert, json.sparse_ratio, json.sparse_safe) = (convert, ratio, safe);
        ffi::lua_pushboolean(state, convert as c_int);
        ffi::lua_pushnumber(state, ratio);
        ffi::lua_pushnumber(state, safe);
        3
    }
}

unsafe fn number_setting(state: State, most: usize, setting: fn(&mut Config) -> &mut usize) -> c_int {
    // SAFETY: as above.
    unsafe {
        let now = *setting(&mut Host::of(state).json);
        let value = option_number(state, 1, 1, most, now);
        *setting(&mut Host::of(state).json) = value;
        ffi::lua_pushnumber(state, value as f64);
        1
    }
}

unsafe extern "C-unwind" fn encode_max_depth(state: State) -> c_int {
    // SAFETY: see `number_setting`.
    unsafe { number_setting(state, DEEPEST, |json| &mut json.encode_max_depth) }
}

unsafe extern "C-unwind" fn decode_max_depth(state: State) -> c_int {
    // SAFETY: see `number_setting`.
    unsafe { number_setting(state, DEEPEST, |json| &mut json.decode_max_depth) }
}

unsafe extern "C-unwind" fn encode_number_precision(state: State) -> c_int {
    // SAFETY: see `number_setting`.
    unsafe { number_setting(state, 17, |json| &mut json.precision) }
}

/// `encode_invalid_numbers([true | false | "null"])`
unsafe extern "C-unwind" fn encode_invalid_numbers(state: State) -> c_int {
    // SAFETY: as above.
    unsafe {
        let now = Host::of(state).json.encode_invalid;
        let value = match raw::string(state, 1) {
            Some(b"null") => Invalid::Null,
            _ if option_bool(state, 1, now != Invalid::Refuse) => match now {
                Invalid::Null if ffi::lua_type(state, 1) <= ffi::LUA_TNIL => Invalid::Null,
                _ => Invalid::Write,
            },
            _ => Invalid::Refuse,
        };
        Host::of(state).json.encode_invalid = value;
        match value {
            Invalid::Null => raw::push_bytes(state, b"null"),
            value => ffi::lua_pushboolean(state, (value == Invalid::Write) as c_int),
        }
        1
    }
}

unsafe fn bool_setting(state: State, setting: fn(&mut Config) -> &mut bool) -> c_int {
    // SAFETY: as above.
    unsafe {
        let now = *setting(&mut Host::of(state).json);
        let value = option_bool(state, 1, now);
        *setting(&mut Host::of(state).json) = value;
        ffi::lua_pushboolean(state, value as c_int);
        1
    }
}

unsafe extern "C-unwind" fn decode_invalid_numbers(state: State) -> c_int {
    // SAFETY: see `bool_setting`.
    unsafe { bool_setting(state, |json| &mut json.decode_invalid) }
}

unsafe extern "C-unwind" fn decode_null(state: State) -> c_int {
    // SAFETY: see `bool_setting`.
    unsafe { bool_setting(state, |json| &mut json.decode_null) }
}
