//! The `lpeg` module that scripts get: patterns as Lua values, and what captures are worth.
//!
//! A pattern is a userdata that holds its tree, and a program once it has been matched; both are plain memory of the
//! Lua state: counted by its limit, freed by its collector, without finalizers. The Lua values that a pattern refers
//! to are in a table that is the userdata's environment, which scripts can't reach.
//!
//! Functions get three upvalues: the host, the metatable of patterns, and a table with weak keys that keeps programs
//! as long as their patterns.

mod build;
mod matching;
mod pattern;
mod values;

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi;

use super::host::Host;
use super::raw::{self, Function, State};
use crate::lpeg::tree::{BuildError, Builder, Op};
use crate::lpeg::{Machine, Program};

/// The version whose interface this is.
const VERSION: &[u8] = b"1.0.2";
/// Entries of the stack of calls and choices, unless `setmaxstack` asks for more: LPeg's, which takes no less either.
const MAX_STACK: usize = 400;

/// What the module keeps between calls.
pub struct Workshop {
    /// The pattern that is being made.
    builder: Builder,
    program: Program,
    max_stack: usize,
    /// Matches in progress, the outermost first, and behind them those to be used again. Each stays where it is.
    #[expect(clippy::vec_box, reason = "a match keeps its slot while the list grows")]
    slots: Vec<Box<Slot>>,
    /// How many are in progress.
    depth: usize,
}

impl Default for Workshop {
    fn default() -> Workshop {
        let (builder, program) = (Builder::default(), Program::default());
        Workshop { builder, program, max_stack: MAX_STACK, slots: Vec::new(), depth: 0 }
    }
}

/// One match.
#[derive(Default)]
struct Slot {
    machine: Machine,
    /// Texts that are being put together.
    buffer: Vec<u8>,
    /// Where the native stack stood when the match began. The match has been left, by an error, once a match begins
    /// from a place that is not deeper.
    stack: usize,
}

/// Where the module, the metatable of patterns and the table of programs are in the registry.
const MODULE: &CStr = c"heka.lpeg";
const METATABLE: &CStr = c"heka.lpeg.pattern";
const PROGRAMS: &CStr = c"heka.lpeg.programs";

/// Where the base library's `tonumber` is in the registry, whatever a script makes of the global.
const TONUMBER: &CStr = c"heka.tonumber";

/// Takes note of the base library, before a script can change it.
///
/// # Safety
/// Runs in a protected call.
pub unsafe fn register(state: State) {
    // SAFETY: one push, taken by the registry.
    unsafe {
        ffi::lua_getglobal(state, c"tonumber".as_ptr());
        ffi::lua_setfield(state, ffi::LUA_REGISTRYINDEX, TONUMBER.as_ptr());
    }
}

/// Pushes the module, and makes it a global.
///
/// # Safety
/// `host` as in [`super::host::register`]; runs in a protected call.
pub unsafe fn open(state: State, host: *mut c_void) {
    // SAFETY: leaves one value.
    unsafe {
        prepare(state, host);
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, MODULE.as_ptr());
        ffi::lua_pushvalue(state, -1);
        ffi::lua_setglobal(state, c"lpeg".as_ptr());
    }
}

/// Pushes a function that may make patterns.
///
/// # Safety
/// As [`open`].
pub unsafe fn push_function(state: State, function: Function, host: *mut c_void) {
    // SAFETY: leaves one value.
    unsafe {
        prepare(state, host);
        ffi::lua_pushlightuserdata(state, host);
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, METATABLE.as_ptr());
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, PROGRAMS.as_ptr());
        ffi::lua_pushcclosure(state, function, 3);
    }
}

/// Pushes a pattern that is a native grammar. `values`: the stack index of a table of so many values that describe what
/// it captures; none if it captures nothing.
///
/// # Safety
/// In a function that [`push_function`] pushed; the host is not borrowed.
pub unsafe fn push_native(state: State, grammar: u32, nullable: bool, values: c_int, count: u32) {
    // SAFETY: leaves one value.
    unsafe {
        let value = (count > 0) as u32;
        Host::of(state).lpeg.builder.leaf(Op::Native { grammar, value, nullable });
        pattern::finish(state, Ok(()), count);
        if count > 0 {
            ffi::lua_pushvalue(state, values);
            ffi::lua_setfenv(state, -2);
        }
    }
}

/// The native grammar that the pattern at an index is, by itself.
///
/// # Safety
/// As [`push_native`].
pub unsafe fn native_of(state: State, index: c_int) -> Option<u32> {
    // SAFETY: the pattern is on the stack.
    match unsafe { pattern::Pattern::tree(pattern::get(state, index)?).op(0) } {
        Op::Native { grammar, .. } => Some(grammar),
        _ => None,
    }
}

/// Makes the module, once.
unsafe fn prepare(state: State, host: *mut c_void) {
    let functions: [(&CStr, Function); 21] = [
        (c"P", build::p),
        (c"S", build::s),
        (c"R", build::r),
        (c"utfR", build::utf_range),
        (c"B", build::b),
        (c"V", build::v),
        (c"C", build::c),
        (c"Carg", build::c_arg),
        (c"Cb", build::c_b),
        (c"Cc", build::c_c),
        (c"Cf", build::c_f),
        (c"Cg", build::c_g),
        (c"Cmt", build::c_mt),
        (c"Cp", build::c_p),
        (c"Cs", build::c_s),
        (c"Ct", build::c_t),
        (c"match", matching::lpeg_match),
        (c"type", pattern::type_of),
        (c"version", version),
        (c"locale", build::locale),
        (c"setmaxstack", set_max_stack),
    ];
    let operators: [(&CStr, Function); 8] = [
        (c"__mul", build::seq),
        (c"__add", build::choice),
        (c"__sub", build::minus),
        (c"__pow", build::repeat),
        (c"__div", build::divide),
        (c"__mod", build::accumulate),
        (c"__len", build::and),
        (c"__unm", build::not),
    ];
    // SAFETY: each value that is pushed is taken by the table below it, but the module.
    unsafe {
        let top = ffi::lua_gettop(state);
        ffi::luaL_checkstack(state, 10, c"lpeg".as_ptr());
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, MODULE.as_ptr());
        let made = ffi::lua_type(state, -1) == ffi::LUA_TTABLE;
        ffi::lua_settop(state, top);
        if made {
            return;
        }
        ffi::lua_createtable(state, 0, functions.len() as c_int);
        let module = ffi::lua_gettop(state);
        ffi::lua_createtable(state, 0, operators.len() as c_int + 2);
        let metatable = ffi::lua_gettop(state);
        ffi::lua_createtable(state, 0, 0);
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_pushstring(state, c"k".as_ptr());
        ffi::lua_setfield(state, -2, c"__mode".as_ptr());
        ffi::lua_setmetatable(state, -2);
        let programs = ffi::lua_gettop(state);
        let sets = [(module, &functions[..]), (metatable, &operators[..])];
        for (table, (name, function)) in sets.iter().flat_map(|&(table, set)| set.iter().map(move |f| (table, f))) {
            ffi::lua_pushlightuserdata(state, host);
            ffi::lua_pushvalue(state, metatable);
            ffi::lua_pushvalue(state, programs);
            ffi::lua_pushcclosure(state, *function, 3);
            ffi::lua_setfield(state, table, name.as_ptr());
        }
        ffi::lua_pushvalue(state, module);
        ffi::lua_setfield(state, metatable, c"__index".as_ptr());
        // A script that could change it could give patterns finalizers.
        ffi::lua_pushboolean(state, 0);
        ffi::lua_setfield(state, metatable, c"__metatable".as_ptr());
        for (value, key) in [(module, MODULE), (metatable, METATABLE), (programs, PROGRAMS)] {
            ffi::lua_pushvalue(state, value);
            ffi::lua_setfield(state, ffi::LUA_REGISTRYINDEX, key.as_ptr());
        }
        ffi::lua_settop(state, top);
    }
}

unsafe extern "C-unwind" fn version(state: State) -> c_int {
    // SAFETY: one push.
    unsafe { raw::push_bytes(state, VERSION) };
    1
}

/// `setmaxstack(n)`.
unsafe extern "C-unwind" fn set_max_stack(state: State) -> c_int {
    // SAFETY: reads an argument, or raises.
    unsafe {
        let count = ffi::luaL_checkinteger(state, 1);
        if count <= 0 {
            ffi::luaL_argerror(state, 1, c"out of range".as_ptr());
        }
        Host::of(state).lpeg.max_stack = count as usize;
        0
    }
}

/// Raises what kept a pattern from being made. `values`: the index of the table that has the names of its rules.
unsafe fn raise_build_error(state: State, error: BuildError, values: c_int) -> ! {
    // SAFETY: pushes the text's parts and raises; the error is plain data.
    unsafe {
        let (before, name, after): (&str, _, &str) = match error {
            BuildError::TooLarge => raw::raise(state, "pattern is too large"),
            BuildError::TooDeep => raw::raise(state, "pattern is nested too deeply"),
            BuildError::EmptyLoop => raw::raise(state, "loop body may accept empty string"),
            BuildError::NotFixedLength => argument_error(state, c"pattern may not have fixed length"),
            BuildError::HasCaptures => argument_error(state, c"pattern have captures"),
            BuildError::BehindTooLong => argument_error(state, c"pattern too long to look behind"),
            BuildError::TooManyRules => argument_error(state, c"grammar has too many rules"),
            BuildError::UndefinedRule(name) => ("rule '", name, "' undefined in given grammar"),
            BuildError::LeftRecursive(name) => ("rule '", name, "' may be left recursive"),
            BuildError::EmptyLoopInRule(name) => ("empty loop in rule '", name, "'"),
            BuildError::OutsideGrammar(name) => ("rule '", name, "' used outside a grammar"),
        };
        ffi::luaL_checkstack(state, 6, c"".as_ptr());
        if name == 0 {
            ffi::lua_pushnil(state);
        } else {
            ffi::lua_rawgeti(state, values, name as i64);
        }
        let name = ffi::lua_gettop(state);
        ffi::luaL_where(state, 1);
        raw::push_bytes(state, before.as_bytes());
        push_name(state, name);
        raw::push_bytes(state, after.as_bytes());
        ffi::lua_concat(state, 4);
        ffi::lua_error(state)
    }
}

unsafe fn argument_error(state: State, text: &'static CStr) -> ! {
    // SAFETY: raises.
    unsafe {
        ffi::luaL_argerror(state, 1, text.as_ptr());
    }
    unreachable!()
}

/// Pushes a value as it is named in errors: a text or a number as it is, anything else by its type.
unsafe fn push_name(state: State, index: c_int) {
    // SAFETY: leaves one value.
    unsafe {
        ffi::lua_pushvalue(state, index);
        if raw::string_or_number(state, -1).is_none() {
            ffi::lua_settop(state, -2);
            raw::push_bytes(state, b"(a ");
            raw::push_bytes(state, raw::type_name(state, index).as_bytes());
            raw::push_bytes(state, b")");
            ffi::lua_concat(state, 3);
        }
    }
}
