//! One LuaJIT state: its memory, counted and limited, and calls that can't raise past it.
//!
//! The state is bare, without what a wrapper for general use keeps in each: that halves what a small sandbox takes.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::{CString, c_int, c_void};

use mlua::ffi;

use super::raw::{self, State};

/// LuaJIT's strictest.
const ALIGN: usize = 16;

/// What the state's allocator counts.
struct Memory {
    used: usize,
    /// Bytes; 0 is no limit.
    limit: usize,
}

/// Owns a state.
pub struct Lua {
    pub state: State,
    memory: *mut Memory,
}

// SAFETY: a state belongs to whoever has the owner; nothing in it belongs to a thread.
unsafe impl Send for Lua {}

unsafe extern "C" fn allocate(memory: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: Lua tells the size that it asked for before; the counter outlives the state.
    unsafe {
        let memory = &mut *memory.cast::<Memory>();
        // For a new block the old size is a type.
        let old = if block.is_null() { 0 } else { old };
        let layout = |size| Layout::from_size_align_unchecked(size, ALIGN);
        if new == 0 {
            if old > 0 {
                dealloc(block.cast(), layout(old));
            }
            memory.used -= old;
            return std::ptr::null_mut();
        }
        let used = memory.used - old + new;
        let too_much = memory.limit > 0 && used > memory.limit && new > old;
        if too_much || new > isize::MAX as usize - ALIGN {
            return std::ptr::null_mut();
        }
        let moved = if old == 0 { alloc(layout(new)) } else { realloc(block.cast(), layout(old), new) };
        if !moved.is_null() {
            memory.used = used;
        }
        moved.cast()
    }
}

unsafe extern "C-unwind" {
    /// Switches the compiler (luajit.h); `mode` 0 is the engine, off.
    fn luaJIT_setmode(state: *mut ffi::lua_State, index: c_int, mode: c_int) -> c_int;
}
const MODE_ENGINE_OFF: c_int = 0;

impl Lua {
    /// An empty state without a limit.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new() -> Result<Lua, String> {
        let memory = Box::into_raw(Box::new(Memory { used: 0, limit: 0 }));
        // SAFETY: the allocator fulfils Lua's contract.
        let state = unsafe { ffi::lua_newstate(allocate, memory.cast()) };
        if state.is_null() {
            // SAFETY: made above, and nobody else has it.
            drop(unsafe { Box::from_raw(memory) });
            return Err("not enough memory".into());
        }
        // SAFETY: a state that nothing runs in. Compiled code doesn't call the hook that counts instructions: it must not
        // be made, however LuaJIT was built.
        unsafe { luaJIT_setmode(state, 0, MODE_ENGINE_OFF) };
        Ok(Lua { state, memory })
    }

    /// Bytes that the state holds.
    pub fn used(&self) -> usize {
        // SAFETY: freed after the state only.
        unsafe { (*self.memory).used }
    }

    /// Bytes that the state may hold; 0 is no limit.
    pub fn set_limit(&self, limit: usize) {
        // SAFETY: as above.
        unsafe { (*self.memory).limit = limit };
    }

    /// Collects all garbage. Runs no script: there are no finalizers of scripts.
    pub fn collect(&self) {
        // LuaJIT may make its table of strings smaller meanwhile, which takes memory first; refused, that would raise. So the
        // limit waits, and what raises in spite of that ends at the protected call.
        // SAFETY: freed after the state only.
        let limit = unsafe { std::mem::take(&mut (*self.memory).limit) };
        let _ = self.protect(|state| {
            // SAFETY: in a protected call.
            unsafe { ffi::lua_gc(state, ffi::LUA_GCCOLLECT, 0) };
        });
        self.set_limit(limit);
    }

    /// Runs a closure in a protected call, on a stack of its own.
    ///
    /// # Errors
    /// What was raised. Nothing that needs a destructor may be alive in the closure where something is.
    pub fn protect<F: FnOnce(State)>(&self, run: F) -> Result<(), String> {
        unsafe extern "C-unwind" fn call<F: FnOnce(State)>(state: State) -> c_int {
            // SAFETY: called once, with the closure that waits below.
            unsafe {
                let run = ffi::lua_touserdata(state, 1).cast::<Option<F>>();
                ffi::lua_settop(state, 0);
                if let Some(run) = (*run).take() {
                    run(state);
                }
            }
            0
        }
        let mut run = Some(run);
        // SAFETY: the closure outlives the call.
        let status = unsafe { ffi::lua_cpcall(self.state, call::<F>, (&raw mut run).cast()) };
        if status == 0 { Ok(()) } else { Err(self.take_error(status)) }
    }

    /// Loads a text, never bytecode, and keeps the function; `name` is shown in errors.
    ///
    /// # Errors
    /// Lua's words, with the line.
    pub fn load(&self, name: &str, text: &[u8]) -> Result<c_int, String> {
        let name = CString::new(format!("@{}", name.replace('\0', "?"))).unwrap_or_default();
        // SAFETY: loading is protected; the text is valid for so many bytes.
        let status = unsafe {
            ffi::luaL_loadbufferx(self.state, text.as_ptr().cast(), text.len(), name.as_ptr(), c"t".as_ptr())
        };
        if status != 0 {
            return Err(self.take_error(status));
        }
        self.keep()
    }

    /// Keeps the function on top of the stack in the registry, as long as the state lives.
    fn keep(&self) -> Result<c_int, String> {
        unsafe extern "C-unwind" fn refer(state: State) -> c_int {
            // SAFETY: the function is the argument.
            unsafe {
                let reference = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
                ffi::lua_pushnumber(state, reference as f64);
                1
            }
        }
        // SAFETY: what may raise is in the protected call, but for the push of a function without upvalues: memory for
        // more than that was just there.
        unsafe {
            ffi::lua_pushcfunction(self.state, refer);
            ffi::lua_insert(self.state, -2);
            let status = ffi::lua_pcall(self.state, 1, 1, 0);
            if status != 0 {
                return Err(self.take_error(status));
            }
            let reference = ffi::lua_tonumber(self.state, -1) as c_int;
            ffi::lua_settop(self.state, 0);
            Ok(reference)
        }
    }

    /// Keeps a global function, if there is one of that name.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn global_function(&self, name: &str) -> Result<Option<c_int>, String> {
        let mut reference = None;
        self.protect(|state| {
            // SAFETY: read without metamethods; what is pushed is taken.
            unsafe {
                raw::push_bytes(state, name.as_bytes());
                ffi::lua_rawget(state, ffi::LUA_GLOBALSINDEX);
                if ffi::lua_type(state, -1) == ffi::LUA_TFUNCTION {
                    reference = Some(ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX));
                }
            }
        })?;
        Ok(reference)
    }

    /// A global number; `None` for anything else.
    pub fn global_number(&self, name: &str) -> Option<f64> {
        let mut number = None;
        let read = self.protect(|state| {
            // SAFETY: read without metamethods.
            unsafe {
                raw::push_bytes(state, name.as_bytes());
                ffi::lua_rawget(state, ffi::LUA_GLOBALSINDEX);
                number = raw::number(state, -1);
            }
        });
        read.ok().and(number)
    }

    /// The error on top of the stack, which is cleared.
    pub fn take_error(&self, status: c_int) -> String {
        // SAFETY: reads the error, then clears the stack.
        unsafe {
            let message = raw::string(self.state, -1).map(|text| String::from_utf8_lossy(text).into_owned());
            let kind = raw::type_name(self.state, -1);
            ffi::lua_settop(self.state, 0);
            match message {
                _ if status == ffi::LUA_ERRMEM => "not enough memory".into(),
                Some(message) => message,
                None => format!("error object is a {kind}"),
            }
        }
    }
}

impl Drop for Lua {
    fn drop(&mut self) {
        // SAFETY: made by `new`; the counter is freed after the last block.
        unsafe {
            ffi::lua_close(self.state);
            drop(Box::from_raw(self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Garbage of many texts makes LuaJIT's table of strings grow, and a collection shrink it: at the limit, where each
    /// allocation is refused, that must neither raise nor change the limit.
    #[test]
    fn collecting_at_the_limit_raises_nothing() {
        let lua = Lua::new().unwrap();
        for texts in [2_000, 40_000, 200_000] {
            lua.set_limit(0);
            lua.protect(|state| {
                for number in 0..texts {
                    // SAFETY: one push, taken off at once.
                    unsafe {
                        raw::push_bytes(state, format!("text {number}").as_bytes());
                        ffi::lua_settop(state, 0);
                    }
                }
            })
            .unwrap();
            let used = lua.used();
            lua.set_limit(used);
            lua.collect();
            lua.collect();
            assert!(lua.used() <= used, "{} {used}", lua.used());
            let refused = lua.protect(|state| {
                // SAFETY: raises, in a protected call.
                unsafe { ffi::lua_newuserdata(state, used + 1) };
            });
            assert_eq!(refused.unwrap_err(), "not enough memory");
        }
    }

    #[test]
    fn instructions_are_counted_here() {
        super::super::budget::check_that_instructions_are_counted().unwrap();
    }
}
