//! Native libraries: what `require` opens besides Lua's own and the modules in Lua.
//!
//! Their objects are userdata in plain memory of the Lua state: counted by its limit, freed by its collector, without
//! finalizers. Their metatables are out of scripts' reach.

mod bloom_filter;
mod circular_buffer;
mod cjson;
mod class;
mod cuckoo_filter;
pub mod grammars;
mod hyperloglog;
mod json_message;
mod packing;
mod patterns;
mod sax;
mod standard;

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

pub use circular_buffer::format_name as circular_buffer_format;
pub use cjson::{Config as JsonConfig, short_escape};
pub use class::{class_of, put_quoted};
pub use json_message::Workshop as JsonMessages;
pub use patterns::set as set_patterns;
pub use standard::{guard_os, guard_table};

use super::lpeg;
use super::raw::{self, Function, State};

/// Pushes the library of that name, as `require` gives it, and makes it a global; false when there is none.
///
/// # Safety
/// `host` as in [`super::host::register`]; runs in a protected call.
pub unsafe fn open(state: State, name: &[u8], host: *mut c_void) -> bool {
    // SAFETY: each leaves one value.
    unsafe {
        let global = match name {
            b"lpeg" => {
                lpeg::open(state, host);
                return true;
            }
            b"native_grammars" => {
                grammars::open(state, host);
                return true;
            }
            b"native_json" => {
                json_message::open(state, host);
                return true;
            }
            b"bloom_filter" => bloom_filter::open(state, host),
            b"circular_buffer" => circular_buffer::open(state, host),
            b"cjson" => cjson::open(state, host),
            b"cuckoo_filter" => cuckoo_filter::open(state, host),
            b"cuckoo_filter_expire" => cuckoo_filter::expire::open(state, host),
            b"hyperloglog" => hyperloglog::open(state, host),
            b"sax" => sax::open(state, host),
            b"struct" => packing::open(state, host),
            _ => return false,
        };
        ffi::lua_pushvalue(state, -1);
        ffi::lua_setglobal(state, global.as_ptr());
    }
    true
}

/// Pushes a table of functions that have the host as their upvalue.
unsafe fn push_library(state: State, host: *mut c_void, functions: &[(&CStr, Function)]) {
    // SAFETY: leaves one value.
    unsafe {
        ffi::lua_createtable(state, 0, functions.len() as c_int + 1);
        for (name, function) in functions {
            raw::push_function(state, *function, host);
            ffi::lua_setfield(state, -2, name.as_ptr());
        }
    }
}

/// Pushes a library that makes objects of a class: a table with `new`.
unsafe fn push_maker(state: State, host: *mut c_void, class: &'static class::Class, new: Function) {
    // SAFETY: leaves one value.
    unsafe {
        ffi::lua_createtable(state, 0, 2);
        class.push_function(state, new, host);
        ffi::lua_setfield(state, -2, c"new".as_ptr());
    }
}

/// A key of a filter or a counter: a string's bytes, or those of a number.
enum Key<'a> {
    Text(&'a [u8]),
    Number([u8; 8]),
}

impl Key<'_> {
    /// # Safety
    /// As any function that may raise; the key is valid while the argument is on the stack.
    unsafe fn check<'a>(state: State, argument: c_int) -> Key<'a> {
        // SAFETY: reads an argument, or raises.
        unsafe {
            match ffi::lua_type(state, argument) {
                ffi::LUA_TSTRING => Key::Text(raw::string(state, argument).unwrap_or_default()),
                ffi::LUA_TNUMBER => Key::Number(ffi::lua_tonumber(state, argument).to_le_bytes()),
                _ => {
                    ffi::luaL_argerror(state, argument, c"must be a string or number".as_ptr());
                    Key::Text(b"")
                }
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Key::Text(text) => text,
            Key::Number(bytes) => bytes,
        }
    }
}

/// Raises unless the function got exactly so many arguments, the object included.
unsafe fn check_count(state: State, count: c_int) {
    // SAFETY: reads the stack, or raises.
    unsafe {
        if ffi::lua_gettop(state) != count {
            ffi::luaL_argerror(state, 0, c"incorrect number of arguments".as_ptr());
        }
    }
}
