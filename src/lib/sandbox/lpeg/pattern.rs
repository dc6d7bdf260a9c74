//! Patterns in the memory of the Lua state.

use std::ffi::c_int;
use std::mem::size_of;

use mlua::ffi;

use super::super::host::Host;
use super::super::raw::{self, State};
use super::raise_build_error;
use crate::lpeg::tree::{BuildError, Builder, Kind, Node, Op, Tree};
use crate::lpeg::{ByteSet, Instr, Program, ProgramRef, compile};

/// What a userdata begins with; nodes and pool follow.
#[repr(C)]
pub struct Pattern {
    nodes: u32,
    pool: u32,
    /// Values in the environment; without any the userdata has none of its own.
    pub values: u32,
    depth: u16,
    /// In another userdata, kept by the table of programs; null until it is needed.
    program: *const Compiled,
}

/// What the userdata of a program begins with; sets, code, targets and pool follow.
#[repr(C)]
struct Compiled {
    sets: u32,
    code: u32,
    targets: u32,
    pool: u32,
}

// What follows a head stands right behind it, and must be aligned there.
const _: () = assert!(size_of::<Pattern>().is_multiple_of(align_of::<Node>()));
const _: () = assert!(size_of::<Compiled>().is_multiple_of(align_of::<ByteSet>()));
const _: () = assert!(align_of::<Instr>() <= 8 && align_of::<ByteSet>() <= 8);

impl Pattern {
    /// The tree, as long as the pattern is on the stack.
    ///
    /// # Safety
    /// The pattern must be one that [`new_pattern`] wrote, and stay reachable.
    pub unsafe fn tree<'a>(this: *const Pattern) -> Tree<'a> {
        // SAFETY: written so by `new_pattern`, and never changed.
        unsafe {
            let nodes = this.add(1).cast::<Node>();
            let pool = nodes.add((*this).nodes as usize).cast::<u8>();
            Tree {
                nodes: std::slice::from_raw_parts(nodes, (*this).nodes as usize),
                pool: std::slice::from_raw_parts(pool, (*this).pool as usize),
                depth: (*this).depth,
            }
        }
    }
}

/// The pattern at an index; `None` when it is something else.
///
/// # Safety
/// In a function of the module, whose second upvalue is the metatable.
#[inline]
pub unsafe fn get(state: State, index: c_int) -> Option<*mut Pattern> {
    // SAFETY: only userdata that `new_pattern` made have the metatable: scripts can't give it to others.
    unsafe {
        let pattern = ffi::lua_touserdata(state, index).cast::<Pattern>();
        if pattern.is_null() || ffi::lua_getmetatable(state, index) == 0 {
            return None;
        }
        let ours = ffi::lua_rawequal(state, -1, ffi::lua_upvalueindex(2)) != 0;
        ffi::lua_settop(state, -2);
        ours.then_some(pattern)
    }
}

/// `type(value)`: "pattern", or nil.
pub unsafe extern "C-unwind" fn type_of(state: State) -> c_int {
    // SAFETY: see `get`.
    unsafe {
        match get(state, 1) {
            Some(_) => raw::push_bytes(state, b"pattern"),
            None => ffi::lua_pushnil(state),
        }
        1
    }
}

/// The pattern at an index, made of what is there if that is a text, a number, a boolean, a grammar or a function.
/// Raises for anything else.
pub unsafe fn coerce(state: State, index: c_int) -> *mut Pattern {
    // SAFETY: the builder is not held while a script could run (tables are read raw) nor while anything raises.
    unsafe {
        if let Some(pattern) = get(state, index) {
            return pattern;
        }
        let builder = &mut Host::of(state).lpeg.builder;
        let mut built = Ok(());
        match ffi::lua_type(state, index) {
            ffi::LUA_TSTRING => built = builder.literal(raw::string(state, index).unwrap_or_default()),
            ffi::LUA_TNUMBER => {
                builder.any(raw::integer(state, index).clamp(-i32::MAX as i64, i32::MAX as i64) as i32);
            }
            ffi::LUA_TBOOLEAN => builder.leaf(if ffi::lua_toboolean(state, index) != 0 { Op::True } else { Op::False }),
            ffi::LUA_TTABLE => return super::build::grammar(state, index),
            ffi::LUA_TFUNCTION => {
                let leaf = [Node { op: Op::True, size: 1 }];
                let body = Tree { nodes: &leaf, pool: &[], depth: 1 };
                built = builder.wrap(Op::RunTime { value: 1 }, body);
            }
            _ => {
                ffi::luaL_typerror(state, index, c"lpeg-pattern".as_ptr());
            }
        }
        let function = ffi::lua_type(state, index) == ffi::LUA_TFUNCTION;
        let pattern = finish(state, built, function as u32);
        if function {
            ffi::lua_createtable(state, 1, 0);
            ffi::lua_pushvalue(state, index);
            ffi::lua_rawseti(state, -2, 1);
            ffi::lua_setfenv(state, -2);
        }
        ffi::lua_replace(state, index);
        pattern
    }
}

/// Pushes the pattern that was built, or raises.
pub unsafe fn finish(state: State, built: Result<(), BuildError>, values: u32) -> *mut Pattern {
    // SAFETY: the error is plain data.
    unsafe {
        if let Err(error) = built {
            raise_build_error(state, error, 0);
        }
        new_pattern(state, values)
    }
}

/// Pushes a pattern with the tree that is in the builder, and no environment yet.
unsafe fn new_pattern(state: State, values: u32) -> *mut Pattern {
    // SAFETY: the memory is as large as what is written to it, and aligned to 8 as all of Lua's. The builder stays in
    // the host if this raises.
    unsafe {
        let host = Host::of(state);
        let budget = &*host.budget;
        let Builder { nodes, pool, depth } = &host.lpeg.builder;
        budget.charge(state, nodes.len() + pool.len() / 8 + values as usize);
        let size = size_of::<Pattern>() + size_of_val(&nodes[..]) + pool.len();
        let pattern = ffi::lua_newuserdata(state, size).cast::<Pattern>();
        pattern.write(Pattern {
            nodes: nodes.len() as u32,
            pool: pool.len() as u32,
            values,
            depth: *depth,
            program: std::ptr::null(),
        });
        let to = pattern.add(1).cast::<Node>();
        to.copy_from_nonoverlapping(nodes.as_ptr(), nodes.len());
        to.add(nodes.len()).cast::<u8>().copy_from_nonoverlapping(pool.as_ptr(), pool.len());
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_setmetatable(state, -2);
        pattern
    }
}

/// The program of the pattern at an index, compiled if it has not been yet.
#[inline]
pub unsafe fn program<'a>(state: State, index: c_int, pattern: *mut Pattern) -> ProgramRef<'a> {
    // SAFETY: the table of programs keeps it as long as the pattern, which is on the stack.
    unsafe {
        if (*pattern).program.is_null() {
            compile_pattern(state, index, pattern);
        }
        let head = (*pattern).program;
        let sets = head.add(1).cast::<ByteSet>();
        let code = sets.add((*head).sets as usize).cast::<Instr>();
        let targets = code.add((*head).code as usize).cast::<u32>();
        let pool = targets.add((*head).targets as usize).cast::<u8>();
        ProgramRef {
            sets: std::slice::from_raw_parts(sets, (*head).sets as usize),
            code: std::slice::from_raw_parts(code, (*head).code as usize),
            targets: std::slice::from_raw_parts(targets, (*head).targets as usize),
            pool: std::slice::from_raw_parts(pool, (*head).pool as usize),
        }
    }
}

#[cold]
unsafe fn compile_pattern(state: State, index: c_int, pattern: *mut Pattern) {
    // SAFETY: what is compiled is moved into the host before anything raises. See `new_pattern` for the memory.
    unsafe {
        let host = Host::of(state);
        match compile(Pattern::tree(pattern)) {
            Ok(program) => host.lpeg.program = program,
            Err(error) => {
                ffi::lua_getfenv(state, index);
                raise_build_error(state, error, ffi::lua_gettop(state));
            }
        }
        let budget = &*host.budget;
        let Program { sets, code, targets, pool } = &host.lpeg.program;
        budget.charge(state, code.len() + Pattern::tree(pattern).nodes.len());
        let size = size_of_val(&sets[..]) + size_of_val(&code[..]) + size_of_val(&targets[..]) + pool.len();
        ffi::lua_pushvalue(state, index);
        let head = ffi::lua_newuserdata(state, size_of::<Compiled>() + size).cast::<Compiled>();
        head.write(Compiled {
            sets: sets.len() as u32,
            code: code.len() as u32,
            targets: targets.len() as u32,
            pool: pool.len() as u32,
        });
        let to = head.add(1).cast::<ByteSet>();
        to.copy_from_nonoverlapping(sets.as_ptr(), sets.len());
        let to = to.add(sets.len()).cast::<Instr>();
        to.copy_from_nonoverlapping(code.as_ptr(), code.len());
        let to = to.add(code.len()).cast::<u32>();
        to.copy_from_nonoverlapping(targets.as_ptr(), targets.len());
        to.add(targets.len()).cast::<u8>().copy_from_nonoverlapping(pool.as_ptr(), pool.len());
        ffi::lua_rawset(state, ffi::lua_upvalueindex(3));
        (*pattern).program = head;
        host.lpeg.program = Program::default();
    }
}

/// Pushes the values of the pattern at an index; nil when it has none.
pub unsafe fn push_values(state: State, index: c_int, pattern: *const Pattern) {
    // SAFETY: one push.
    unsafe {
        if (*pattern).values == 0 {
            ffi::lua_pushnil(state);
        } else {
            ffi::lua_getfenv(state, index);
        }
    }
}

/// Pushes a table of a pattern's values and, behind them, the value at another index.
pub unsafe fn push_values_and(state: State, index: c_int, pattern: *const Pattern, value: c_int) {
    // SAFETY: what is pushed is taken, but the table.
    unsafe {
        let count = (*pattern).values;
        ffi::lua_createtable(state, count as c_int + 1, 0);
        copy_values(state, index, pattern, 0);
        ffi::lua_pushvalue(state, value);
        ffi::lua_rawseti(state, -2, count as i64 + 1);
    }
}

/// Copies the values of the pattern at an index to the table on top of the stack, behind `shift` others.
pub unsafe fn copy_values(state: State, index: c_int, pattern: *const Pattern, shift: u32) {
    // SAFETY: what is pushed is taken. The index is not relative to the top.
    unsafe {
        if (*pattern).values == 0 {
            return;
        }
        let table = ffi::lua_gettop(state);
        ffi::lua_getfenv(state, index);
        for value in 1..=(*pattern).values {
            ffi::lua_rawgeti(state, -1, value as i64);
            ffi::lua_rawseti(state, table, (value + shift) as i64);
        }
        ffi::lua_settop(state, table);
    }
}

/// Makes a capture of the pattern at 1 around it, with the value at 2 if there is to be one; pushes it.
pub unsafe fn capture(state: State, kind: Kind, with_value: bool) -> c_int {
    // SAFETY: see `coerce`.
    unsafe {
        let body = coerce(state, 1);
        let value = if with_value { (*body).values + 1 } else { 0 };
        wrap(state, body, Op::Capture { kind, value }, with_value)
    }
}

/// Pushes the pattern at 1 with a node around it. `with_value`: the node refers to the value at 2, behind all others.
pub unsafe fn wrap(state: State, body: *mut Pattern, op: Op, with_value: bool) -> c_int {
    // SAFETY: the builder copies the tree; nothing raises while both are held.
    unsafe {
        let built = Host::of(state).lpeg.builder.wrap(op, Pattern::tree(body));
        finish(state, built, (*body).values + with_value as u32);
        if with_value {
            push_values_and(state, 1, body, 2);
            ffi::lua_setfenv(state, -2);
        } else if (*body).values > 0 {
            ffi::lua_getfenv(state, 1);
            ffi::lua_setfenv(state, -2);
        }
        1
    }
}
