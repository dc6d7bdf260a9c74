//! `lpeg.match`.

use std::ffi::c_int;

use mlua::ffi;

use super::super::budget::stack_pointer;
use super::super::host::{Host, check_bytes};
use super::super::raw::{self, State, raise};
use super::super::record;
use super::pattern::{Pattern, coerce, get, program, push_values};
use super::values::Values;
use super::{MAX_STACK, Slot, Workshop};
use crate::grammar::{Captures, Grammar};
use crate::lpeg::tree::Op;
use crate::lpeg::{BYTES_A_STEP, Capture, Limits, MAX_SUBJECT, Natives, Stop};

/// Bytes that all matches in progress may take where the script's memory is not limited.
const MAX_MEMORY: usize = 1 << 30;
/// About what an entry of the stack takes.
const STACK_ENTRY: usize = 12;
/// Bytes of a buffer that is kept for the next match.
const KEPT_BUFFER: usize = 64 * 1024;
/// Where the pattern, the subject and the extra arguments are on the stack.
const PATTERN: c_int = 1;
const SUBJECT: c_int = 2;
const FIRST_EXTRA: c_int = 4;

/// `match(pattern, subject [, init [, extra…]])`.
pub unsafe extern "C-unwind" fn lpeg_match(state: State) -> c_int {
    // SAFETY: the host is not borrowed while a script runs; the machine belongs to this match alone until it ends.
    unsafe {
        let pattern = match get(state, PATTERN) {
            Some(pattern) => pattern,
            None => coerce(state, PATTERN),
        };
        let subject = check_bytes(state, SUBJECT);
        if subject.len() > MAX_SUBJECT {
            ffi::luaL_argerror(state, SUBJECT, c"subject is too long".as_ptr());
        }
        let start = start(state, subject.len());
        if let Op::Native { grammar, value, .. } = Pattern::tree(pattern).op(0) {
            return match_native(state, pattern, grammar, value, subject, start);
        }
        let program = program(state, PATTERN, pattern);
        let extra = (ffi::lua_gettop(state) - FIRST_EXTRA + 1).max(0);
        push_values(state, PATTERN, pattern);
        let table = ffi::lua_gettop(state);
        let host: *mut Host = Host::of(state);
        let budget = (*host).budget;
        (*budget).check_stack(state);
        let (place, slot) = (*host).lpeg.enter();
        let memory = match (*host).memory_limit {
            0 => MAX_MEMORY,
            limit => limit,
        };
        let memory = memory.saturating_sub((*host).lpeg.held());
        let named_stack = (*host).lpeg.max_stack;
        let max_stack = named_stack.max(MAX_STACK);
        let mut limits = Limits {
            stack: max_stack.min(memory / 2 / STACK_ENTRY),
            captures: memory / 2 / size_of::<Capture>(),
            steps: (*budget).steps(),
        };
        (*slot).machine.begin(start);
        (*host).captures.forget();
        let machine = &raw mut (*slot).machine;
        let values = Values {
            state,
            host,
            budget,
            slot,
            subject,
            table,
            arguments: (FIRST_EXTRA, extra),
            dynamics: table,
            captures: std::ptr::null(),
            count: 0,
            pos: start,
            at: 0,
            depth: 0,
            steps: 0,
        };
        let end = loop {
            let natives = &mut Native { grammars: &(*host).grammars, captures: &mut (*host).captures };
            match (*machine).run(program, subject, &mut limits, natives) {
                Stop::Matched(end) => break end,
                Stop::Failed => {
                    (*budget).set_steps(limits.steps);
                    (*host).lpeg.leave(place);
                    ffi::lua_pushnil(state);
                    return 1;
                }
                Stop::OutOfSteps => (*budget).exceed(state),
                Stop::TooManyCaptures => raise(state, "not enough memory for captures"),
                Stop::StackOverflow if limits.stack < max_stack => raise(state, "not enough memory to backtrack"),
                Stop::StackOverflow => raise_stack_overflow(state, named_stack),
                Stop::RunTime(pos) => {
                    let Some(open) = (*machine).last_open() else { break pos };
                    ffi::lua_settop(state, table + (*machine).dynamics.len() as c_int);
                    let captures = &(*machine).captures;
                    let (captures, count) = (captures.as_ptr(), captures.len());
                    let mut values = Values { captures, count, pos, at: open, steps: limits.steps, ..values };
                    run_time(&mut values, open);
                    limits.steps = values.steps;
                }
            }
        };
        let captures = &(*machine).captures;
        let (captures, count) = (captures.as_ptr(), captures.len());
        let mut values = Values { captures, count, pos: end, steps: limits.steps, ..values };
        let pushed = values.push_all();
        (*budget).set_steps(values.steps);
        (*host).lpeg.leave(place);
        pushed
    }
}

/// A pattern that is a native grammar and nothing else needs no machine: most lines of logs are read this way, in four
/// fifths of the time.
unsafe fn match_native(
    state: State,
    pattern: *mut Pattern,
    grammar: u32,
    value: u32,
    subject: &[u8],
    start: usize,
) -> c_int {
    // SAFETY: as `lpeg_match`.
    unsafe {
        let host: *mut Host = Host::of(state);
        let line = subject.get(start..).unwrap_or_default();
        (*(*host).budget).charge(state, line.len() / BYTES_A_STEP);
        let end = (*host).captures.read(&(*host).grammars, grammar, line);
        match end {
            None => ffi::lua_pushnil(state),
            Some(end) if value == 0 => ffi::lua_pushinteger(state, (start + end) as ffi::lua_Integer + 1),
            Some(_) => {
                push_values(state, PATTERN, pattern);
                let table = ffi::lua_gettop(state);
                ffi::lua_rawgeti(state, table, (*pattern).values as i64);
                // A record holds the whole line.
                if start == 0 && ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
                    record::push(state, SUBJECT, table + 1);
                } else {
                    super::super::native::grammars::push_captures(state, host, table, value, line);
                }
            }
        }
        1
    }
}

/// Where to begin: the third argument counts from 1, or from the end if it is negative.
#[inline]
unsafe fn start(state: State, len: usize) -> usize {
    // SAFETY: reads an argument, or raises.
    let init = unsafe { ffi::luaL_optinteger(state, 3, 1) } as i64;
    if init > 0 { len.min(init as usize - 1) } else { len.saturating_sub(init.unsigned_abs() as usize) }
}

/// Calls the match-time function of the open capture, and tells the machine what it says.
unsafe fn run_time(values: &mut Values<'_>, open: usize) {
    let state = values.state;
    // SAFETY: as `lpeg_match`.
    unsafe {
        let machine = &raw mut (*values.slot).machine;
        let live = (*machine).dynamics.len();
        let inner = (*machine).dynamics.iter().rev().take_while(|&&place| place as usize > open).count();
        ffi::luaL_checkstack(state, 8, c"too many runtime captures".as_ptr());
        let function = (*values.captures.add(open)).value;
        ffi::lua_rawgeti(state, values.table, function as i64);
        ffi::lua_pushvalue(state, SUBJECT);
        ffi::lua_pushinteger(state, values.pos as ffi::lua_Integer + 1);
        let arguments = values.push_nested(false, false);
        values.call(arguments + 2, ffi::LUA_MULTRET);
        // Values of functions in this one have been its arguments; now they go.
        let kept = (live - inner) as c_int;
        let first = values.table + live as c_int + 1;
        if ffi::lua_toboolean(state, first) == 0 {
            (*machine).reject();
            return;
        }
        let at = match ffi::lua_type(state, first) {
            ffi::LUA_TBOOLEAN => Some(values.pos),
            _ => usize::try_from(raw::integer(state, first).saturating_sub(1)).ok(),
        };
        let Some(at) = at.filter(|at| (values.pos..=values.subject.len()).contains(at)) else {
            raise(state, "invalid position returned by match-time capture");
        };
        let count = ffi::lua_gettop(state) - first;
        for place in 1..=count {
            ffi::lua_pushvalue(state, first + place);
            ffi::lua_replace(state, values.table + kept + place);
        }
        ffi::lua_settop(state, values.table + kept + count);
        (*machine).resume(open, at, kept as u32, count as u32);
    }
}

unsafe fn raise_stack_overflow(state: State, limit: usize) -> ! {
    // SAFETY: pushes the text's parts and raises.
    unsafe {
        ffi::luaL_where(state, 1);
        raw::push_bytes(state, b"backtrack stack overflow (current limit is ");
        ffi::lua_pushinteger(state, limit as ffi::lua_Integer);
        raw::push_bytes(state, b")");
        ffi::lua_concat(state, 4);
        ffi::lua_error(state)
    }
}

impl Workshop {
    /// A machine for a match that begins. What errors have left of others is dropped: the native stack tells which
    /// matches are still going on.
    #[inline]
    unsafe fn enter(&mut self) -> (usize, *mut Slot) {
        let stack = stack_pointer();
        while self.depth > 0 && self.slots[self.depth - 1].stack <= stack {
            self.depth -= 1;
        }
        let place = self.depth;
        if place == self.slots.len() {
            self.slots.push(Box::default());
        }
        self.depth += 1;
        let slot = &mut *self.slots[place];
        slot.stack = stack;
        slot.machine.shrink();
        slot.buffer.clear();
        slot.buffer.shrink_to(KEPT_BUFFER);
        (place, slot)
    }

    /// The match at a place has ended, and all that began within it.
    #[inline]
    fn leave(&mut self, place: usize) {
        self.depth = place;
    }

    fn held(&self) -> usize {
        self.slots.iter().map(|slot| slot.machine.size()).sum()
    }
}

/// The native grammars of a host.
struct Native<'a> {
    grammars: &'a [std::rc::Rc<dyn Grammar>],
    captures: &'a mut Captures,
}

impl Natives for Native<'_> {
    fn matches(&mut self, grammar: u32, subject: &[u8], at: usize) -> Option<usize> {
        Some(at + self.captures.read(self.grammars, grammar, subject.get(at..)?)?)
    }
}
