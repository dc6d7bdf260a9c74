//! What a buffer notes beside its values, in its environment: pending deltas and annotations.

use std::ffi::{CStr, c_int};
use std::mem::size_of;

use mlua::ffi;

use super::super::super::raw::{self, State};
use super::ring::Buffer;

/// The key of the annotations in the environment; rows have numbers.
pub const ANNOTATIONS: &CStr = c"annotations";

/// Notes what has changed in a cell since the deltas were printed: added to what is noted, or instead of it.
pub unsafe fn note_delta(state: State, buffer: &Buffer<'_>, time: i64, column: usize, value: f64, replace: bool) {
    // SAFETY: the environment of a buffer with deltas is a table of ours; what is pushed is popped.
    unsafe {
        if !buffer.head.delta {
            return;
        }
        ffi::lua_getfenv(state, 1);
        ffi::lua_pushnumber(state, time as f64);
        ffi::lua_rawget(state, -2);
        let mut row = ffi::lua_touserdata(state, -1).cast::<f64>();
        if row.is_null() {
            ffi::lua_settop(state, -2);
            row = ffi::lua_newuserdata(state, buffer.head.columns * size_of::<f64>()).cast();
            (0..buffer.head.columns).for_each(|place| row.add(place).write(f64::NAN));
            ffi::lua_pushnumber(state, time as f64);
            ffi::lua_pushvalue(state, -2);
            ffi::lua_rawset(state, -4);
        }
        let cell = row.add(column);
        *cell = if replace || (*cell).is_nan() { value } else { *cell + value };
        ffi::lua_settop(state, -3);
    }
}

/// What is noted for a cell; NaN where nothing is.
pub unsafe fn pending_delta(state: State, time: i64, column: usize) -> f64 {
    // SAFETY: as above; a row has all columns.
    unsafe {
        ffi::lua_getfenv(state, 1);
        ffi::lua_pushnumber(state, time as f64);
        ffi::lua_rawget(state, -2);
        let row = ffi::lua_touserdata(state, -1).cast::<f64>();
        let value = if row.is_null() { f64::NAN } else { *row.add(column) };
        ffi::lua_settop(state, -3);
        value
    }
}

/// Empties the environment of the buffer at an index, except for its annotations.
pub unsafe fn clear_deltas(state: State, index: c_int) {
    // SAFETY: the environment is a table of ours.
    unsafe {
        ffi::lua_getfenv(state, index);
        ffi::lua_createtable(state, 0, 0);
        ffi::lua_getfield(state, -2, ANNOTATIONS.as_ptr());
        ffi::lua_setfield(state, -2, ANNOTATIONS.as_ptr());
        ffi::lua_setfenv(state, index);
        ffi::lua_settop(state, -2);
    }
}

/// Calls `each` with the time and the values of every pending row, in the table's order.
pub unsafe fn each_delta(state: State, index: c_int, columns: usize, mut each: impl FnMut(i64, &[f64])) {
    // SAFETY: keys are not converted; the environment holds blocks of so many numbers under numbers.
    unsafe {
        ffi::lua_getfenv(state, index);
        let environment = ffi::lua_gettop(state);
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, environment) != 0 {
            let row = ffi::lua_touserdata(state, -1).cast::<f64>();
            if ffi::lua_type(state, -2) == ffi::LUA_TNUMBER && !row.is_null() {
                each(ffi::lua_tonumber(state, -2) as i64, std::slice::from_raw_parts(row, columns));
            }
            ffi::lua_settop(state, -2);
        }
        ffi::lua_settop(state, environment - 1);
    }
}

/// Calls `each` with the time, column, whether it is an alert, and the text of every annotation.
pub unsafe fn each_annotation(state: State, index: c_int, mut each: impl FnMut(i64, i64, bool, &[u8])) {
    // SAFETY: pops what it pushes; texts stay in their table.
    unsafe {
        let top = ffi::lua_gettop(state);
        ffi::lua_getfenv(state, index);
        ffi::lua_getfield(state, -1, ANNOTATIONS.as_ptr());
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            let list = ffi::lua_gettop(state);
            for place in 1..=ffi::lua_objlen(state, list) as i64 {
                ffi::lua_rawgeti(state, list, place);
                for part in 1..=4 {
                    ffi::lua_rawgeti(state, list + 1, part);
                }
                let number = |part: c_int| raw::number(state, list + 1 + part).unwrap_or(0.0) as i64;
                each(number(1), number(2), number(3) != 0, raw::string(state, list + 5).unwrap_or_default());
                ffi::lua_settop(state, list);
            }
        }
        ffi::lua_settop(state, top);
    }
}
