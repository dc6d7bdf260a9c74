//! What a script sees: the base library without what leads out of the sandbox, `require` and `module`.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

use super::host::Host;
use super::native;
use super::raw::{self, State, raise};
use super::record;

/// Of the base library.
const REMOVED: [&CStr; 8] =
    [c"collectgarbage", c"coroutine", c"dofile", c"load", c"loadfile", c"loadstring", c"newproxy", c"print"];

/// Where a table of a grammar's captures would show that it is filled only when it is looked at. Whether the first argument
/// has to be a table.
const GUARDED: [(&CStr, bool); 6] = [
    (c"getmetatable", false),
    (c"next", true),
    (c"pairs", true),
    (c"rawget", true),
    (c"rawset", true),
    (c"setmetatable", true),
];

/// Where the registry keeps what was required, by name.
const LOADED: &CStr = c"heka.loaded";
/// What stands there for a module that is being loaded.
static LOADING: u8 = 0;

/// Opens the base library.
///
/// # Safety
/// `host` as in [`super::host::register`]; runs in a protected call.
pub unsafe fn open(state: State, host: *mut c_void) {
    // SAFETY: what is pushed is taken or popped.
    unsafe {
        open_standard(state, ffi::luaopen_base, c"");
        for name in REMOVED {
            ffi::lua_pushnil(state);
            ffi::lua_setglobal(state, name.as_ptr());
        }
        for (name, table) in GUARDED {
            ffi::lua_getglobal(state, name.as_ptr());
            record::push_guarded(state, host, table);
            ffi::lua_setglobal(state, name.as_ptr());
        }
        ffi::lua_getglobal(state, c"tonumber".as_ptr());
        ffi::lua_pushcclosure(state, to_number, 1);
        ffi::lua_setglobal(state, c"tonumber".as_ptr());
        ffi::lua_createtable(state, 0, 4);
        ffi::lua_pushvalue(state, -1);
        ffi::lua_setfield(state, ffi::LUA_REGISTRYINDEX, LOADED.as_ptr());
        // Of Lua's package library no more than what was loaded: the rest leads out of the sandbox.
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_insert(state, -2);
        ffi::lua_setfield(state, -2, c"loaded".as_ptr());
        ffi::lua_createtable(state, 0, 0);
        ffi::lua_setmetatable(state, -2);
        ffi::lua_setglobal(state, c"package".as_ptr());
        for (name, function) in [(c"require", require as raw::Function), (c"module", module), (c"xpcall", xpcall)] {
            raw::push_function(state, function, host);
            ffi::lua_setglobal(state, name.as_ptr());
        }
        ffi::lua_settop(state, 0);
    }
}

/// `tonumber(value [, base])`, for which `0b101` is no number, as in Lua 5.1.
unsafe extern "C-unwind" fn to_number(state: State) -> c_int {
    // SAFETY: reads arguments; one push, or a call of the function in the upvalue.
    unsafe {
        if ffi::lua_gettop(state) != 1 {
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
            ffi::lua_insert(state, 1);
            ffi::lua_call(state, ffi::lua_gettop(state) - 1, 1);
            return 1;
        }
        let binary = raw::string(state, 1).is_some_and(|text| {
            let digits = text.trim_ascii_start();
            let digits = digits.strip_prefix(b"-").or(digits.strip_prefix(b"+")).unwrap_or(digits);
            matches!(digits, [b'0', b'b' | b'B', ..])
        });
        if binary || ffi::lua_isnumber(state, 1) == 0 {
            ffi::lua_pushnil(state);
        } else {
            ffi::lua_pushnumber(state, ffi::lua_tonumber(state, 1));
        }
        1
    }
}

unsafe fn open_standard(state: State, open: raw::Function, name: &CStr) {
    // SAFETY: as Lua's own opening of libraries; leaves nothing.
    unsafe {
        ffi::lua_pushcfunction(state, open);
        ffi::lua_pushstring(state, name.as_ptr());
        ffi::lua_call(state, 1, 0);
    }
}

/// Pushes one of Lua's own libraries without what leads out of the sandbox, and makes it a global; false when the name is
/// none of them.
unsafe fn push_standard(state: State, name: &[u8], host: *mut c_void) -> bool {
    // SAFETY: leaves one value. Functions are set in the library's table.
    unsafe {
        let (global, open): (&CStr, raw::Function) = match name {
            b"string" => (c"string", ffi::luaopen_string),
            b"table" => (c"table", ffi::luaopen_table),
            b"math" => (c"math", ffi::luaopen_math),
            b"os" => (c"os", ffi::luaopen_os),
            _ => return false,
        };
        open_standard(state, open, global);
        ffi::lua_getglobal(state, global.as_ptr());
        let library = ffi::lua_gettop(state);
        let alias = |from: &CStr, to: &CStr| {
            ffi::lua_getfield(state, library, from.as_ptr());
            ffi::lua_setfield(state, library, to.as_ptr());
        };
        match name {
            b"string" => {
                // Searches whose steps are counted.
                native::set_patterns(state, host);
                alias(c"gmatch", c"gfind");
                ffi::lua_pushnil(state);
                ffi::lua_setfield(state, library, c"dump".as_ptr());
            }
            b"table" => {
                ffi::lua_getfield(state, library, c"foreach".as_ptr());
                record::push_guarded(state, host, true);
                ffi::lua_setfield(state, library, c"foreach".as_ptr());
                native::guard_table(state, host);
            }
            b"math" => alias(c"fmod", c"mod"),
            _ => {
                ffi::lua_createtable(state, 0, 4);
                for name in [c"clock", c"date", c"difftime", c"time"] {
                    ffi::lua_getfield(state, library, name.as_ptr());
                    ffi::lua_setfield(state, -2, name.as_ptr());
                }
                native::guard_os(state, host);
                ffi::lua_pushvalue(state, -1);
                ffi::lua_setglobal(state, global.as_ptr());
                ffi::lua_replace(state, library);
            }
        }
    }
    true
}

/// Notes what a name was loaded to: the value on top of the stack, which stays. A library's metatable marks it as no data of
/// the script's own.
unsafe fn remember(state: State, name: c_int, loaded: c_int) {
    // SAFETY: the table on top of the stack, if it is one, gets an empty metatable.
    unsafe {
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            if ffi::lua_getmetatable(state, -1) == 0 {
                ffi::lua_createtable(state, 0, 0);
                ffi::lua_setmetatable(state, -2);
            } else {
                ffi::lua_settop(state, -2);
            }
        }
        ffi::lua_pushvalue(state, name);
        ffi::lua_pushvalue(state, -2);
        ffi::lua_rawset(state, loaded);
    }
}

/// Letters, digits and `_`, in parts between dots: no way out of the directories.
fn is_module_name(name: &[u8]) -> bool {
    let word = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    name.split(|byte| *byte == b'.').all(word)
}

unsafe extern "C-unwind" fn require(state: State) -> c_int {
    // SAFETY: texts of errors are kept in the host; the name and what is loaded stay on the stack.
    unsafe {
        let name = super::host::check_bytes(state, 1);
        ffi::lua_settop(state, 1);
        let host = raw::upvalue(state);
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, LOADED.as_ptr());
        ffi::lua_pushvalue(state, 1);
        ffi::lua_rawget(state, 2);
        if ffi::lua_touserdata(state, 3) == (&raw const LOADING).cast_mut().cast() {
            fail(state, name, |name| format!("loop or previous error loading module '{name}'"));
        }
        if ffi::lua_type(state, 3) != ffi::LUA_TNIL {
            return 1;
        }
        ffi::lua_settop(state, 2);
        if name == b"io" {
            raise(state, "module 'io' disabled");
        }
        if !is_module_name(name) {
            fail(state, name, |name| format!("invalid module name '{name}'"));
        }
        if push_standard(state, name, host) {
            remember(state, 1, 2);
            return 1;
        }
        if Host::of(state).find_module(name) {
            load_module(state, name);
            return 1;
        }
        if native::open(state, name, host) {
            remember(state, 1, 2);
            return 1;
        }
        let host = Host::of(state);
        let tried = host.last_error().to_string();
        fail(state, name, move |name| format!("module '{name}' not found:{tried}"))
    }
}

/// Raises a message about a module.
unsafe fn fail(state: State, name: &[u8], message: impl FnOnce(std::borrow::Cow<'_, str>) -> String) -> ! {
    // SAFETY: the text is kept in the host.
    unsafe { Host::of(state).raise(state, message(String::from_utf8_lossy(name))) }
}

/// Runs the module whose text the host has found; leaves what it gives.
unsafe fn load_module(state: State, name: &[u8]) {
    // SAFETY: the text and its name stay in the host until they are loaded.
    unsafe {
        let host = Host::of(state);
        host.scratch.clear();
        host.scratch.push(b'@');
        let file = host.last_error().to_string();
        host.scratch.extend_from_slice(file.as_bytes());
        host.scratch.push(0);
        if let std::borrow::Cow::Owned(code) = super::lua51::translate(&host.module_code) {
            host.module_code = code;
        }
        let (text, chunk) = (&host.module_code, &host.scratch);
        let status =
            ffi::luaL_loadbufferx(state, text.as_ptr().cast(), text.len(), chunk.as_ptr().cast(), c"t".as_ptr());
        if status != 0 {
            let words = String::from_utf8_lossy(raw::string(state, -1).unwrap_or_default()).into_owned();
            fail(state, name, move |name| format!("error loading module '{name}' from file '{file}':\n\t{words}"));
        }
        drop(file);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushlightuserdata(state, (&raw const LOADING).cast_mut().cast());
        ffi::lua_rawset(state, 2);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_call(state, 1, 1);
        if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
            // What `module` has set, or that it was loaded.
            ffi::lua_settop(state, 2);
            ffi::lua_pushvalue(state, 1);
            ffi::lua_rawget(state, 2);
            if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
                return;
            }
            ffi::lua_settop(state, 2);
            ffi::lua_pushboolean(state, 1);
        }
        remember(state, 1, 2);
    }
}

/// `xpcall(function, handler, …)`. LuaJIT's own calls the handler where the error is raised, and when that is in the hook that
/// counts instructions the handler's are not counted: it could run for ever. Here it is called afterwards; without the debug
/// library nobody sees the difference.
unsafe extern "C-unwind" fn xpcall(state: State) -> c_int {
    // SAFETY: the stack is the function, the handler and the arguments; the first two change places.
    unsafe {
        ffi::luaL_checkany(state, 2);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushvalue(state, 2);
        ffi::lua_replace(state, 1);
        ffi::lua_replace(state, 2);
        if ffi::lua_pcall(state, ffi::lua_gettop(state) - 2, ffi::LUA_MULTRET, 0) == 0 {
            ffi::lua_pushboolean(state, 1);
            ffi::lua_replace(state, 1);
            return ffi::lua_gettop(state);
        }
        ffi::lua_pushvalue(state, 1);
        ffi::lua_insert(state, 2);
        ffi::lua_pcall(state, 1, 1, 0);
        ffi::lua_pushboolean(state, 0);
        ffi::lua_replace(state, 1);
        2
    }
}

/// Lua 5.1's, without the `package` library that it lives in.
unsafe extern "C-unwind" fn module(state: State) -> c_int {
    // SAFETY: every slot that is read was pushed here or is an argument.
    unsafe {
        let name = super::host::check_bytes(state, 1);
        let options = ffi::lua_gettop(state);
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, LOADED.as_ptr());
        let loaded = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_rawget(state, loaded);
        if ffi::lua_type(state, -1) != ffi::LUA_TTABLE {
            ffi::lua_settop(state, loaded);
            ffi::lua_pushvalue(state, 1);
            ffi::lua_rawget(state, ffi::LUA_GLOBALSINDEX);
            match ffi::lua_type(state, -1) {
                ffi::LUA_TTABLE => {}
                ffi::LUA_TNIL => {
                    ffi::lua_settop(state, loaded);
                    ffi::lua_createtable(state, 0, 4);
                    ffi::lua_pushvalue(state, 1);
                    ffi::lua_pushvalue(state, -2);
                    ffi::lua_rawset(state, ffi::LUA_GLOBALSINDEX);
                }
                _ => fail(state, name, |name| format!("name conflict for module '{name}'")),
            }
            ffi::lua_pushvalue(state, 1);
            ffi::lua_pushvalue(state, -2);
            ffi::lua_rawset(state, loaded);
        }
        let library = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, library);
        ffi::lua_setfield(state, library, c"_M".as_ptr());
        ffi::lua_pushvalue(state, 1);
        ffi::lua_setfield(state, library, c"_NAME".as_ptr());
        let package = name.iter().rposition(|byte| *byte == b'.').map_or(&[][..], |at| &name[..=at]);
        raw::push_bytes(state, package);
        ffi::lua_setfield(state, library, c"_PACKAGE".as_ptr());
        // The function that called us gets the library as its globals.
        let mut caller = std::mem::MaybeUninit::<ffi::lua_Debug>::zeroed();
        if ffi::lua_getstack(state, 1, caller.as_mut_ptr()) == 0
            || ffi::lua_getinfo(state, c"f".as_ptr(), caller.as_mut_ptr()) == 0
            || ffi::lua_iscfunction(state, -1) != 0
        {
            raise(state, "'module' not called from a Lua function");
        }
        ffi::lua_pushvalue(state, library);
        ffi::lua_setfenv(state, -2);
        for option in 2..=options {
            ffi::lua_pushvalue(state, option);
            ffi::lua_pushvalue(state, library);
            ffi::lua_call(state, 1, 0);
        }
        0
    }
}
