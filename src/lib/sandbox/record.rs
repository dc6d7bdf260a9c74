//! Tables that a grammar's match gives, filled when a script looks at them.
//!
//! Most scripts hand such a table on to `inject_message`, after a look at one or two of its values. So a record holds
//! the line only; its metatable reads a value out of it when it is asked for, and `inject_message` writes all of them
//! without a table in between. Where Lua would see the difference (`pairs`, `next`, `rawget` and the like) the record
//! becomes an ordinary table first: see [`push_guarded`].
//!
//! In the table itself, under keys that no script can have: the line, and a bit for each name that is not to be read
//! from it any more, because the script has set it.

use std::ffi::{c_int, c_void};

use mlua::ffi;

use super::host::Host;
use super::native::grammars;
use super::raw::{self, State};
use crate::grammar::{Capture, Captures, Grammar};
use crate::message::MessageBuilder;

static LINE: u8 = 0;
static SET: u8 = 0;
/// Names of a record: as many as a number has exact bits.
pub const MAX_NAMES: usize = 52;

/// Pushes a key of our own.
unsafe fn push_key(state: State, key: &'static u8) {
    // SAFETY: one push; the address is all that counts.
    unsafe { ffi::lua_pushlightuserdata(state, (&raw const *key).cast_mut().cast()) };
}

/// Whether the value at an index is a record.
#[inline]
pub unsafe fn is_record(state: State, index: c_int) -> bool {
    // SAFETY: pops what it pushes. A metatable of ours has one of our keys.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TTABLE || ffi::lua_getmetatable(state, index) == 0 {
            return false;
        }
        push_key(state, &LINE);
        ffi::lua_rawget(state, -2);
        let ours = ffi::lua_type(state, -1) != ffi::LUA_TNIL;
        ffi::lua_settop(state, -3);
        ours
    }
}

/// Pushes the metatable of a grammar's records. `values`: the stack index of the values that describe the grammar, see
/// [`grammars::push_captures`].
///
/// # Safety
/// `host` is that of the running function.
pub unsafe fn push_metatable(state: State, host: *mut c_void, values: c_int, grammar: u32) {
    // SAFETY: what is pushed is taken by the table, which stays.
    unsafe {
        ffi::lua_createtable(state, 0, 3);
        let metatable = ffi::lua_gettop(state);
        push_key(state, &LINE);
        ffi::lua_pushinteger(state, grammar as ffi::lua_Integer);
        ffi::lua_rawset(state, metatable);
        let functions: [(&std::ffi::CStr, raw::Function); 2] = [(c"__index", index), (c"__newindex", new_index)];
        for (name, function) in functions {
            ffi::lua_pushlightuserdata(state, host);
            ffi::lua_pushvalue(state, values);
            ffi::lua_pushinteger(state, grammar as ffi::lua_Integer);
            ffi::lua_pushcclosure(state, function, 3);
            ffi::lua_setfield(state, metatable, name.as_ptr());
        }
    }
}

/// Pushes a record of the line at a stack index, with the metatable at another.
#[inline]
pub unsafe fn push(state: State, line: c_int, metatable: c_int) {
    // SAFETY: leaves one value.
    unsafe {
        ffi::lua_createtable(state, 0, 2);
        push_key(state, &LINE);
        ffi::lua_pushvalue(state, line);
        ffi::lua_rawset(state, -3);
        ffi::lua_pushvalue(state, metatable);
        ffi::lua_setmetatable(state, -2);
    }
}

/// What is in a record: the line, and the names that the script has set.
unsafe fn parts<'a>(state: State, record: c_int) -> (&'a [u8], u64) {
    // SAFETY: pops what it pushes; the record holds the line.
    unsafe {
        push_key(state, &LINE);
        ffi::lua_rawget(state, record);
        let line = raw::string(state, -1).unwrap_or_default();
        push_key(state, &SET);
        ffi::lua_rawget(state, record);
        let set = raw::integer(state, -1) as u64;
        ffi::lua_settop(state, -3);
        (line, set)
    }
}

/// Takes note that a name has been set.
unsafe fn mark(state: State, record: c_int, set: u64) {
    // SAFETY: what is pushed is taken.
    unsafe {
        push_key(state, &SET);
        ffi::lua_pushnumber(state, set as f64);
        ffi::lua_rawset(state, record);
    }
}

/// The place of the name at a stack index among a grammar's names.
unsafe fn place_of(state: State, key: c_int, grammar: &dyn Grammar) -> Option<usize> {
    // SAFETY: reads the stack.
    let key = unsafe { raw::string(state, key) }?;
    grammar.names().iter().position(|name| name.as_bytes() == key)
}

/// The last capture of each name that is still to be read from the line.
fn unset(captures: &Captures, set: u64) -> impl Iterator<Item = &Capture> {
    captures.last_of_each_name().filter(move |capture| set >> capture.name & 1 == 0)
}

/// The upvalues of a metamethod: the stack index of the values, and the grammar's number.
unsafe fn described(state: State) -> (c_int, u32) {
    // SAFETY: see `push_metatable`.
    (ffi::lua_upvalueindex(2), unsafe { ffi::lua_tointeger(state, ffi::lua_upvalueindex(3)) } as u32)
}

unsafe extern "C-unwind" fn index(state: State) -> c_int {
    // SAFETY: called by Lua with a record and a key. The captures stay in the host while values are pushed, which may
    // raise but runs no script.
    unsafe {
        let (values, number) = described(state);
        let Host { grammars, captures, .. } = Host::of(state);
        let (line, set) = parts(state, 1);
        captures.read_again(grammars, number, line);
        let grammar = grammars.get(number as usize);
        let place = grammar.and_then(|grammar| place_of(state, 2, &**grammar));
        let found = place.and_then(|place| unset(captures, set).find(|capture| capture.name == place));
        let Some(capture) = found else {
            ffi::lua_pushnil(state);
            return 1;
        };
        grammars::push_capture(state, values, 1, grammar.map_or(0, |grammar| grammar.names().len()), capture, line);
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            // The same table every time.
            mark(state, 1, set | 1 << capture.name);
            ffi::lua_pushvalue(state, 2);
            ffi::lua_pushvalue(state, -2);
            ffi::lua_rawset(state, 1);
        }
        1
    }
}

unsafe extern "C-unwind" fn new_index(state: State) -> c_int {
    // SAFETY: called by Lua with a record, a key and a value.
    unsafe {
        let (_, number) = described(state);
        let place = match Host::of(state).grammars.get(number as usize) {
            Some(grammar) => place_of(state, 2, &**grammar),
            None => None,
        };
        if let Some(place) = place {
            let (_, set) = parts(state, 1);
            mark(state, 1, set | 1 << place);
        }
        // As Lua says it, with the script's line.
        if ffi::lua_type(state, 2) == ffi::LUA_TNIL {
            raw::raise(state, "table index is nil");
        }
        if raw::number(state, 2).is_some_and(f64::is_nan) {
            raw::raise(state, "table index is NaN");
        }
        ffi::lua_settop(state, 3);
        ffi::lua_rawset(state, 1);
        0
    }
}

/// Makes a record an ordinary table.
///
/// # Safety
/// `record` is the absolute stack index of a record; `host` is that of the running function, and not borrowed.
pub unsafe fn fill(state: State, record: c_int, host: *mut Host) {
    // SAFETY: as `index`; the metatable's functions have the values as their upvalue.
    unsafe {
        ffi::luaL_checkstack(state, 16, c"record".as_ptr());
        let top = ffi::lua_gettop(state);
        ffi::lua_getmetatable(state, record);
        ffi::lua_getfield(state, -1, c"__index".as_ptr());
        ffi::lua_getupvalue(state, -1, 2);
        let values = ffi::lua_gettop(state);
        let number = record_grammar(state, record);
        let (line, set) = parts(state, record);
        let Host { grammars, captures, .. } = &mut *host;
        captures.read_again(grammars, number, line);
        let names = grammars.get(number as usize).map_or(0, |grammar| grammar.names().len());
        for capture in unset(captures, set) {
            ffi::lua_rawgeti(state, values, 2 + capture.name as i64);
            grammars::push_capture(state, values, 1, names, capture, line);
            ffi::lua_rawset(state, record);
        }
        for key in [&SET, &LINE] {
            push_key(state, key);
            ffi::lua_pushnil(state);
            ffi::lua_rawset(state, record);
        }
        ffi::lua_pushnil(state);
        ffi::lua_setmetatable(state, record);
        ffi::lua_settop(state, top);
    }
}

unsafe fn record_grammar(state: State, record: c_int) -> u32 {
    // SAFETY: pops what it pushes.
    unsafe {
        ffi::lua_getmetatable(state, record);
        push_key(state, &LINE);
        ffi::lua_rawget(state, -2);
        let number = ffi::lua_tointeger(state, -1) as u32;
        ffi::lua_settop(state, -3);
        number
    }
}

/// Writes the fields of a record that the script has not set. The others are in the table, beside keys of ours.
///
/// # Safety
/// `record` is the absolute stack index of a record.
pub unsafe fn put_fields(state: State, record: c_int, host: &mut Host) {
    // SAFETY: nothing below raises.
    unsafe {
        let number = record_grammar(state, record);
        let (line, set) = parts(state, record);
        let Host { grammars, captures, out, .. } = host;
        captures.read_again(grammars, number, line);
        let names = grammars.get(number as usize).map_or(&[][..], |grammar| grammar.names());
        let mut builder = MessageBuilder::more(out);
        for capture in unset(captures, set) {
            let Some(name) = names.get(capture.name) else { continue };
            grammars::put_field(&mut builder, name.as_bytes(), capture, line);
        }
    }
}

/// Replaces the function on top of the stack by one that fills a record in its first argument before it calls it. `table`:
/// whether that argument has to be a table; the error then has the name that the script knows.
///
/// # Safety
/// `host` as in [`super::host::register`]; runs in a protected call.
pub unsafe fn push_guarded(state: State, host: *mut c_void, table: bool) {
    // SAFETY: a closure of three upvalues takes the place of the function.
    unsafe {
        ffi::lua_pushlightuserdata(state, host);
        ffi::lua_insert(state, -2);
        ffi::lua_pushboolean(state, table as c_int);
        ffi::lua_pushcclosure(state, guarded, 3);
    }
}

unsafe extern "C-unwind" fn guarded(state: State) -> c_int {
    // SAFETY: the second upvalue is the function of the base library.
    unsafe {
        if ffi::lua_toboolean(state, ffi::lua_upvalueindex(3)) != 0 {
            ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        }
        if is_record(state, 1) {
            fill(state, 1, raw::upvalue(state).cast());
        }
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}
