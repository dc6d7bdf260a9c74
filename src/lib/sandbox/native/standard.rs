//! Functions of Lua's own libraries that work for as long as an argument says: their work is counted before it is done.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

use super::super::host::{Host, check_bytes};
use super::super::raw::{self, State};

/// Further below the beginning of a table nothing is inserted; each place is moved in one library call.
const MOST_BELOW: f64 = (1 << 24) as f64;
/// Steps of a conversion of `os.date`: it takes about a microsecond.
const DATE_STEPS: usize = 500;

/// Puts `check` before a function of the library on top of the stack.
///
/// # Safety
/// `host` as in [`super::open`]; runs in a protected call.
unsafe fn check_first(state: State, host: *mut c_void, name: &CStr, check: raw::Function) {
    // SAFETY: a closure of two upvalues takes the place of the function, which is there.
    unsafe {
        ffi::lua_pushlightuserdata(state, host);
        ffi::lua_getfield(state, -2, name.as_ptr());
        ffi::lua_pushcclosure(state, check, 2);
        ffi::lua_setfield(state, -2, name.as_ptr());
    }
}

/// Calls the function behind a check with what the script gave.
unsafe fn go_on(state: State) -> c_int {
    // SAFETY: the second upvalue is the function.
    unsafe {
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}

/// `table`, which is on top of the stack.
///
/// # Safety
/// As [`check_first`].
pub unsafe fn guard_table(state: State, host: *mut c_void) {
    // SAFETY: see above.
    unsafe { check_first(state, host, c"insert", insert) };
}

/// `os`, which is on top of the stack.
///
/// # Safety
/// As [`check_first`].
pub unsafe fn guard_os(state: State, host: *mut c_void) {
    // SAFETY: see above.
    unsafe {
        check_first(state, host, c"date", date);
        check_first(state, host, c"time", time);
        check_first(state, host, c"clock", clock);
    }
}

/// Seconds since 1970 by the clock that timers follow, where that is not the machine's.
unsafe fn seconds(state: State) -> Option<f64> {
    // SAFETY: the host outlives the call.
    unsafe { Host::of(state).clock.map(|ns| ns as f64 / 1e9) }
}

/// `time([table])`
unsafe extern "C-unwind" fn time(state: State) -> c_int {
    // SAFETY: one push.
    unsafe {
        match seconds(state).filter(|_| ffi::lua_type(state, 1) <= ffi::LUA_TNIL) {
            Some(seconds) => {
                ffi::lua_pushnumber(state, seconds.floor());
                1
            }
            None => go_on(state),
        }
    }
}

/// `clock()`: only differences of it mean something.
unsafe extern "C-unwind" fn clock(state: State) -> c_int {
    // SAFETY: one push.
    unsafe {
        match seconds(state) {
            Some(seconds) => {
                ffi::lua_pushnumber(state, seconds);
                1
            }
            None => go_on(state),
        }
    }
}

/// `insert(table, [position,] value)`
unsafe extern "C-unwind" fn insert(state: State) -> c_int {
    // SAFETY: reads arguments; the function checks them again.
    unsafe {
        if ffi::lua_gettop(state) == 3 && ffi::lua_type(state, 1) == ffi::LUA_TTABLE {
            // How the function converts what is beyond 32 bits depends on the machine.
            let position = ffi::luaL_checknumber(state, 2);
            if !(-MOST_BELOW..=i32::MAX.into()).contains(&position) {
                ffi::luaL_argerror(state, 2, c"position out of bounds".as_ptr());
                return 0;
            }
            let moved = (ffi::lua_objlen(state, 1) as i64 + 1).saturating_sub(position as i64);
            (*Host::of(state).budget).charge(state, moved.max(0) as usize);
        }
        go_on(state)
    }
}

/// `date([format [, time]])`
unsafe extern "C-unwind" fn date(state: State) -> c_int {
    // SAFETY: reads an argument, which stays on the stack.
    unsafe {
        if ffi::lua_gettop(state) > 0 && ffi::lua_type(state, 1) != ffi::LUA_TNIL {
            let format = check_bytes(state, 1);
            let conversions = memchr::memchr_iter(b'%', format).count();
            (*Host::of(state).budget).charge(state, format.len() / 8 + conversions * DATE_STEPS);
        }
        if ffi::lua_type(state, 2) <= ffi::LUA_TNIL
            && let Some(seconds) = seconds(state)
        {
            if ffi::lua_type(state, 1) <= ffi::LUA_TNIL {
                ffi::lua_settop(state, 0);
                raw::push_bytes(state, b"%c");
            }
            ffi::lua_settop(state, 1);
            ffi::lua_pushnumber(state, seconds.floor());
        }
        go_on(state)
    }
}
