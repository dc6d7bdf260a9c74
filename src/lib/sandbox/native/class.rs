//! What the native types of objects have in common: a metatable, methods, a text, and statements that restore them.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

use super::super::raw::{Function, State};

/// A type of userdata.
pub struct Class {
    pub name: &'static CStr,
    /// Each is called with the object first.
    pub methods: &'static [(&'static CStr, Function)],
    /// Metamethods.
    pub meta: &'static [(&'static CStr, Function)],
    /// Appends what payloads and fields get of the object at a stack index. May raise.
    pub output: Option<Output>,
    /// Appends the statements that make the object at a stack index again, under that path. May raise.
    pub save: Option<Save>,
}

type Output = unsafe fn(State, c_int, &mut Vec<u8>);
type Save = unsafe fn(State, c_int, &[u8], &mut Vec<u8>);

/// The key under which a metatable names its class; no script has it.
static CLASS: u8 = 0;

unsafe fn push_key(state: State) {
    // SAFETY: one push; the address is all that counts.
    unsafe { ffi::lua_pushlightuserdata(state, (&raw const CLASS).cast_mut().cast()) };
}

impl Class {
    fn address(&'static self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// Pushes the metatable; it is made when it is first asked for.
    unsafe fn push_metatable(&'static self, state: State, host: *mut c_void) {
        // SAFETY: leaves one value; the registry keeps it.
        unsafe {
            ffi::lua_pushlightuserdata(state, self.address());
            ffi::lua_rawget(state, ffi::LUA_REGISTRYINDEX);
            if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
                return;
            }
            ffi::lua_settop(state, -2);
            ffi::lua_createtable(state, 0, 3 + self.meta.len() as c_int);
            let metatable = ffi::lua_gettop(state);
            ffi::lua_pushlightuserdata(state, self.address());
            ffi::lua_pushvalue(state, metatable);
            ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX);
            push_key(state);
            ffi::lua_pushlightuserdata(state, self.address());
            ffi::lua_rawset(state, metatable);
            // Scripts must not get at it: a finalizer of theirs would run outside of their limits.
            ffi::lua_pushboolean(state, 0);
            ffi::lua_setfield(state, metatable, c"__metatable".as_ptr());
            ffi::lua_createtable(state, 0, self.methods.len() as c_int);
            for (name, function) in self.methods {
                push_bound(state, *function, host, metatable);
                ffi::lua_setfield(state, -2, name.as_ptr());
            }
            ffi::lua_setfield(state, metatable, c"__index".as_ptr());
            for (name, function) in self.meta {
                push_bound(state, *function, host, metatable);
                ffi::lua_setfield(state, metatable, name.as_ptr());
            }
        }
    }

    /// Pushes a function that may make and check objects of the class.
    ///
    /// # Safety
    /// `host` as in [`super::open`]; runs in a protected call.
    pub unsafe fn push_function(&'static self, state: State, function: Function, host: *mut c_void) {
        // SAFETY: leaves one value.
        unsafe {
            self.push_metatable(state, host);
            let metatable = ffi::lua_gettop(state);
            push_bound(state, function, host, metatable);
            ffi::lua_remove(state, metatable);
        }
    }
}

unsafe fn push_bound(state: State, function: Function, host: *mut c_void, metatable: c_int) {
    // SAFETY: leaves one value. The upvalues are the host and the metatable.
    unsafe {
        ffi::lua_pushlightuserdata(state, host);
        ffi::lua_pushvalue(state, metatable);
        ffi::lua_pushcclosure(state, function, 2);
    }
}

/// Pushes a new object of so many zero bytes, of the class of the running function.
///
/// # Safety
/// In a function that a class pushed.
pub unsafe fn new_object(state: State, size: usize) -> *mut c_void {
    // SAFETY: Lua's memory is aligned for doubles; leaves one value.
    unsafe {
        let object = ffi::lua_newuserdata(state, size);
        object.cast::<u8>().write_bytes(0, size);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_setmetatable(state, -2);
        object
    }
}

/// An object that has a block of values behind its head, as many as that says.
///
/// # Safety
/// It was allocated so, with memory that is aligned for the values; it stays reachable, and there is one view of it at a time.
pub unsafe fn head_and_block<'a, H, T>(object: *mut H, len: impl FnOnce(&H) -> usize) -> (&'a mut H, &'a mut [T]) {
    // SAFETY: the block begins where the head ends.
    unsafe {
        let block = std::slice::from_raw_parts_mut(object.add(1).cast::<T>(), len(&*object));
        (&mut *object, block)
    }
}

/// The object at an index, which is of the class of the running function; raises otherwise.
///
/// # Safety
/// In a function that a class pushed; `T` is what the class's objects begin with.
#[inline]
pub unsafe fn check_object<T>(state: State, index: c_int) -> *mut T {
    // SAFETY: only objects of the class have its metatable.
    unsafe {
        let object = ffi::lua_touserdata(state, index).cast::<T>();
        if !object.is_null() && ffi::lua_getmetatable(state, index) != 0 {
            let ours = ffi::lua_rawequal(state, -1, ffi::lua_upvalueindex(2)) != 0;
            ffi::lua_settop(state, -2);
            if ours {
                return object;
            }
        }
        let class = class_of_metatable(state, ffi::lua_upvalueindex(2));
        ffi::luaL_typerror(state, index, class.map_or(c"userdata", |class| class.name).as_ptr());
        std::ptr::null_mut()
    }
}

unsafe fn class_of_metatable(state: State, metatable: c_int) -> Option<&'static Class> {
    // SAFETY: pops what it pushes. Only our metatables have the key, and its value is the address of a static.
    unsafe {
        push_key(state);
        ffi::lua_rawget(state, metatable);
        let class = ffi::lua_touserdata(state, -1).cast::<Class>().as_ref();
        ffi::lua_settop(state, -2);
        class
    }
}

/// The class of the value at an index; `None` for what is none of our objects.
///
/// # Safety
/// `index` is an index of the stack of `state`.
pub unsafe fn class_of(state: State, index: c_int) -> Option<&'static Class> {
    // SAFETY: pops what it pushes.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TUSERDATA || ffi::lua_getmetatable(state, index) == 0 {
            return None;
        }
        let class = class_of_metatable(state, ffi::lua_gettop(state));
        ffi::lua_settop(state, -2);
        class
    }
}

/// A number argument without its fraction, where it fits.
pub unsafe fn check_integer(state: State, argument: c_int) -> i64 {
    // SAFETY: reads an argument, or raises.
    unsafe { ffi::luaL_checknumber(state, argument) as i64 }
}

/// Appends a text as a Lua string literal, on one line and whatever its bytes are.
pub fn put_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0 => out.extend_from_slice(b"\\000"),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
