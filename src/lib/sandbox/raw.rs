//! A thin layer over Lua's C API, for the functions that scripts call in hot loops.
//!
//! A Lua error leaves a function by unwinding through it. So nothing here, and no host function, holds a value that
//! needs its destructor while it calls something that may raise: what must live longer is kept in the host.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

pub type State = *mut ffi::lua_State;
pub type Function = unsafe extern "C-unwind" fn(State) -> c_int;

/// Pushes a string. May raise "not enough memory".
#[inline]
pub unsafe fn push_bytes(state: State, bytes: &[u8]) {
    // SAFETY: Lua copies `len` bytes from a pointer that is valid for so many.
    unsafe { ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len()) };
}

/// The string at an index; `None` for any other type, numbers included. Valid while it stays on the stack.
#[inline]
pub unsafe fn string<'a>(state: State, index: c_int) -> Option<&'a [u8]> {
    // SAFETY: for a string `lua_tolstring` converts nothing, and answers a pointer to `len` bytes that the value
    // keeps alive; the caller holds it on the stack.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TSTRING {
            return None;
        }
        let mut len = 0;
        let text = ffi::lua_tolstring(state, index, &mut len);
        Some(std::slice::from_raw_parts(text.cast(), len))
    }
}

/// A string, or a number as its text (converted in place). May raise.
pub unsafe fn string_or_number<'a>(state: State, index: c_int) -> Option<&'a [u8]> {
    // SAFETY: as `string`; a number in that place becomes a string first.
    unsafe {
        if ffi::lua_type(state, index) == ffi::LUA_TNUMBER {
            ffi::lua_tolstring(state, index, std::ptr::null_mut());
        }
        string(state, index)
    }
}

/// A number, or a text that is one.
pub unsafe fn number(state: State, index: c_int) -> Option<f64> {
    // SAFETY: reads a stack slot; converts nothing in place.
    unsafe { (ffi::lua_isnumber(state, index) != 0).then(|| ffi::lua_tonumber(state, index)) }
}

/// A number, or a text that is one, without its fraction; 0 for anything else.
pub unsafe fn integer(state: State, index: c_int) -> i64 {
    // SAFETY: as `number`.
    unsafe { number(state, index) }.unwrap_or(0.0) as i64
}

/// The name of the type at an index, `no value` included.
pub unsafe fn type_name(state: State, index: c_int) -> &'static str {
    // SAFETY: Lua's type names are static C strings.
    let name = unsafe { CStr::from_ptr(ffi::lua_typename(state, ffi::lua_type(state, index))) };
    name.to_str().unwrap_or("unknown")
}

/// Raises an error with the calling script's position in front.
pub unsafe fn raise(state: State, message: &str) -> ! {
    // SAFETY: three pushes, for which a C function always has room; `message` is borrowed, so nothing here needs a
    // destructor when `lua_error` unwinds.
    unsafe {
        ffi::luaL_where(state, 1);
        push_bytes(state, message.as_bytes());
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

/// Pushes a function that finds `pointer` with [`upvalue`].
pub unsafe fn push_function(state: State, function: Function, pointer: *mut c_void) {
    // SAFETY: two pushes.
    unsafe {
        ffi::lua_pushlightuserdata(state, pointer);
        ffi::lua_pushcclosure(state, function, 1);
    }
}

/// The pointer that a function was made with.
#[inline]
pub unsafe fn upvalue(state: State) -> *mut c_void {
    // SAFETY: the first upvalue of every function that `push_function` made.
    unsafe { ffi::lua_touserdata(state, ffi::lua_upvalueindex(1)) }
}
