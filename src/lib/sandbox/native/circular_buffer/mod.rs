//! `circular_buffer`: a window over time, rows by columns of numbers.
//!
//! The userdata holds a [`ring::Head`], a [`ring::Column`] for each column and the values, row by row of the ring; a value that was
//! never set is NaN. Its environment, a table that scripts can't reach, keeps pending deltas (a block of numbers under
//! each row's time) and annotations (an array under [`notes::ANNOTATIONS`]).

mod notes;
mod ring;
mod statistics;
mod text;

use std::ffi::{CStr, c_int, c_void};
use std::io::Write as _;
use std::mem::size_of;

use mlua::ffi;

use super::super::host::{Host, check_bytes};
use super::super::raw::{self, State, raise};
use super::class::{Class, check_integer, check_object, new_object};
use super::push_maker;
use notes::{ANNOTATIONS, clear_deltas, note_delta, pending_delta};
use ring::{Aggregation, Buffer, Column, Head, NAME, NS, UNIT, put_text, text_of, values_offset};
use statistics::{Function, rank_sum_test};

static CLASS: Class = Class {
    name: c"circular_buffer",
    methods: &[
        (c"add", add),
        (c"set", set),
        (c"get", get),
        (c"get_configuration", get_configuration),
        (c"current_time", current_time),
        (c"set_header", set_header),
        (c"get_header", get_header),
        (c"format", format),
        (c"compute", compute),
        (c"mannwhitneyu", mann_whitney_u),
        (c"get_range", get_range),
        (c"get_delta", get_delta),
        (c"get_range_delta", get_range_delta),
        (c"annotate", annotate),
        (c"reset_delta", reset_delta),
        (c"fromstring", text::from_string),
    ],
    meta: &[],
    output: Some(text::output),
    save: Some(text::save),
};

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut c_void) -> &'static CStr {
    // SAFETY: leaves one value.
    unsafe {
        push_maker(state, host, &CLASS, new);
        raw::push_bytes(state, b"1.0.0");
        ffi::lua_setfield(state, -2, c"_VERSION".as_ptr());
    }
    c"circular_buffer"
}

/// `new(rows, columns, seconds_per_row [, enable_delta])`
unsafe extern "C-unwind" fn new(state: State) -> c_int {
    // SAFETY: what is written is what was allocated.
    unsafe {
        let count = ffi::lua_gettop(state);
        if !(3..=4).contains(&count) {
            ffi::luaL_argerror(state, 0, c"incorrect number of arguments".as_ptr());
        }
        let (rows, columns) = (check_integer(state, 1), check_integer(state, 2));
        let seconds = check_integer(state, 3);
        if rows <= 1 {
            ffi::luaL_argerror(state, 1, c"rows must be > 1".as_ptr());
        }
        if columns <= 0 {
            ffi::luaL_argerror(state, 2, c"columns must be > 0".as_ptr());
        }
        if !(1..=86400).contains(&seconds) {
            ffi::luaL_argerror(state, 3, c"seconds_per_row is out of range".as_ptr());
        }
        if count == 4 {
            ffi::luaL_checktype(state, 4, ffi::LUA_TBOOLEAN);
        }
        let delta = ffi::lua_toboolean(state, 4) != 0;
        let (rows, columns) = (rows as usize, columns as usize);
        let cells = rows.checked_mul(columns).filter(|cells| *cells < 1 << 31 && columns < 1 << 24);
        let Some(cells) = cells else { raise(state, "not enough memory") };
        let size = values_offset(columns) + cells * size_of::<f64>();
        let head = new_object(state, size).cast::<Head>();
        head.write(Head {
            rows,
            columns,
            seconds,
            newest: seconds * (rows as i64 - 1),
            newest_row: rows - 1,
            delta,
            as_delta: false,
        });
        let base = head.cast::<u8>();
        let described = base.add(size_of::<Head>()).cast::<Column>();
        for place in 0..columns {
            let mut column = Column { name: [0; NAME + 1], unit: [0; UNIT + 1], aggregation: Aggregation::Sum };
            let _ = write!(&mut column.name[..NAME], "Column_{}", place + 1);
            put_text(&mut column.unit, b"count", |_| true);
            described.add(place).write(column);
        }
        let values = base.add(values_offset(columns)).cast::<f64>();
        (0..cells).for_each(|place| values.add(place).write(f64::NAN));
        ffi::lua_createtable(state, 0, 0);
        ffi::lua_setfenv(state, -2);
        1
    }
}

/// The buffer that a method was called on.
unsafe fn this<'a>(state: State) -> Buffer<'a> {
    // SAFETY: a method's first argument; it stays on the stack.
    unsafe { Buffer::of(check_object(state, 1)) }
}

/// A column argument as an index from 0.
unsafe fn check_column(state: State, argument: c_int, buffer: &Buffer<'_>) -> usize {
    // SAFETY: reads an argument, or raises.
    unsafe {
        let column = check_integer(state, argument);
        if column < 1 || column as usize > buffer.head.columns {
            ffi::luaL_argerror(state, argument, c"column out of range".as_ptr());
        }
        column as usize - 1
    }
}

/// Raises unless there are arguments from 1 to so many.
unsafe fn check_arguments(state: State, least: c_int, most: c_int) {
    // SAFETY: reads the stack, or raises.
    unsafe {
        if !(least..=most).contains(&ffi::lua_gettop(state)) {
            ffi::luaL_argerror(state, 0, c"incorrect number of arguments".as_ptr());
        }
    }
}

/// What `add` and `set` are given.
struct Change<'a> {
    buffer: Buffer<'a>,
    time: i64,
    column: usize,
    value: f64,
}

unsafe fn check_change<'a>(state: State) -> Change<'a> {
    // SAFETY: see `this`; reads arguments, or raises.
    unsafe {
        check_arguments(state, 4, 4);
        let buffer = this(state);
        let time = buffer.row_time(ffi::luaL_checknumber(state, 2));
        let column = check_column(state, 3, &buffer);
        Change { buffer, time, column, value: ffi::luaL_checknumber(state, 4) }
    }
}

/// `add(ns, column, value)`
unsafe extern "C-unwind" fn add(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        let Change { mut buffer, time, column, value } = check_change(state);
        let Some(row) = buffer.row_or_advance(time) else {
            ffi::lua_pushnil(state);
            return 1;
        };
        let cell = buffer.cell(row, column);
        *cell = if cell.is_nan() { value } else { *cell + value };
        let now = *cell;
        if value != 0.0 && !value.is_nan() {
            match buffer.columns[column].aggregation {
                Aggregation::Sum => note_delta(state, &buffer, time, column, value, false),
                _ => note_delta(state, &buffer, time, column, now, true),
            }
        }
        ffi::lua_pushnumber(state, now);
        1
    }
}

/// `set(ns, column, value)`
unsafe extern "C-unwind" fn set(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        let Change { mut buffer, time, column, value } = check_change(state);
        let Some(row) = buffer.row_or_advance(time) else {
            ffi::lua_pushnil(state);
            return 1;
        };
        let aggregation = buffer.columns[column].aggregation;
        let cell = buffer.cell(row, column);
        let old = *cell;
        let stored = match aggregation {
            Aggregation::Min => old.is_nan() || value < old,
            Aggregation::Max => old.is_nan() || value > old,
            Aggregation::Sum | Aggregation::None => true,
        };
        if stored {
            *cell = value;
        }
        let now = *cell;
        match aggregation {
            Aggregation::Min | Aggregation::Max if stored => note_delta(state, &buffer, time, column, value, true),
            Aggregation::Min | Aggregation::Max => {}
            _ => {
                let change = if old.is_nan() { value } else { value - old };
                note_delta(state, &buffer, time, column, change, false);
            }
        }
        ffi::lua_pushnumber(state, now);
        1
    }
}

/// `get(ns, column)`
unsafe extern "C-unwind" fn get(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 3, 3);
        let mut buffer = this(state);
        let time = buffer.row_time(ffi::luaL_checknumber(state, 2));
        let column = check_column(state, 3, &buffer);
        match buffer.row(time) {
            Some(row) => ffi::lua_pushnumber(state, *buffer.cell(row, column)),
            None => ffi::lua_pushnil(state),
        }
        1
    }
}

/// `get_delta(ns, column)`: what has changed in a cell since the deltas were printed, NaN when nothing has; nil outside of the
/// window.
unsafe extern "C-unwind" fn get_delta(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 3, 3);
        let buffer = with_deltas(state);
        let time = buffer.row_time(ffi::luaL_checknumber(state, 2));
        let column = check_column(state, 3, &buffer);
        match buffer.row(time) {
            Some(_) => ffi::lua_pushnumber(state, pending_delta(state, time, column)),
            None => ffi::lua_pushnil(state),
        }
        1
    }
}

/// The buffer, which must keep deltas.
unsafe fn with_deltas<'a>(state: State) -> Buffer<'a> {
    // SAFETY: see `this`.
    unsafe {
        let buffer = this(state);
        if !buffer.head.delta {
            ffi::luaL_argerror(state, 1, c"the buffer keeps no deltas (the fourth argument of new)".as_ptr());
        }
        buffer
    }
}

unsafe extern "C-unwind" fn get_configuration(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 1, 1);
        let buffer = this(state);
        ffi::lua_pushnumber(state, buffer.head.rows as f64);
        ffi::lua_pushnumber(state, buffer.head.columns as f64);
        ffi::lua_pushnumber(state, buffer.head.seconds as f64);
        3
    }
}

unsafe extern "C-unwind" fn current_time(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 1, 1);
        ffi::lua_pushnumber(state, this(state).head.newest as f64 * NS);
        1
    }
}

/// The name at an argument among several; raises Lua's own words for others.
unsafe fn check_option<T: Copy>(state: State, argument: c_int, options: &[(&str, T)]) -> Option<T> {
    // SAFETY: the text of the error is kept in the host.
    unsafe {
        let text = check_bytes(state, argument);
        if let Some((_, value)) = options.iter().find(|(name, _)| name.as_bytes() == text) {
            return Some(*value);
        }
        ffi::lua_pushfstring(
            state,
            c"invalid option '%s'".as_ptr(),
            ffi::lua_tolstring(state, argument, std::ptr::null_mut()),
        );
        let message = ffi::lua_tolstring(state, -1, std::ptr::null_mut());
        ffi::luaL_argerror(state, argument, message);
        None
    }
}

/// `set_header(column, name [, unit [, aggregation]])`
unsafe extern "C-unwind" fn set_header(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 3, 5);
        let buffer = this(state);
        let column = check_column(state, 2, &buffer);
        let name = check_bytes(state, 3);
        let unit = if ffi::lua_gettop(state) >= 4 { check_bytes(state, 4) } else { b"count" };
        let aggregation = match ffi::lua_gettop(state) {
            5 => check_option(state, 5, &Aggregation::ALL).unwrap_or(Aggregation::Sum),
            _ => Aggregation::Sum,
        };
        let header = &mut buffer.columns[column];
        put_text(&mut header.name, name, |byte| byte.is_ascii_alphanumeric());
        put_text(&mut header.unit, unit, |byte| byte.is_ascii_alphanumeric() || byte == b'/' || byte == b'*');
        header.aggregation = aggregation;
        ffi::lua_pushnumber(state, column as f64 + 1.0);
        1
    }
}

unsafe extern "C-unwind" fn get_header(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 2, 2);
        let buffer = this(state);
        let column = &buffer.columns[check_column(state, 2, &buffer)];
        raw::push_bytes(state, text_of(&column.name));
        raw::push_bytes(state, text_of(&column.unit));
        raw::push_bytes(state, column.aggregation.name().as_bytes());
        3
    }
}

/// `format("cbuf" | "cbufd")`
unsafe extern "C-unwind" fn format(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 2, 2);
        let buffer = this(state);
        buffer.head.as_delta = check_option(state, 2, &[("cbuf", false), ("cbufd", true)]).unwrap_or(false);
        ffi::lua_settop(state, 1);
        1
    }
}

/// The name of the format that the buffer at an index prints itself in; `None` for other values.
///
/// # Safety
/// `index` is an index of the stack of `state`.
pub unsafe fn format_name(state: State, index: c_int) -> Option<&'static str> {
    // SAFETY: an object of the class begins with a head.
    unsafe {
        let class = super::class_of(state, index)?;
        if !std::ptr::eq(class, &raw const CLASS) {
            return None;
        }
        let head = ffi::lua_touserdata(state, index).cast::<Head>();
        Some(if (*head).as_delta { "cbufd" } else { "cbuf" })
    }
}

/// The times of optional arguments: the start and the end of a range, by default the whole window.
unsafe fn check_range(state: State, first: c_int, buffer: &Buffer<'_>) -> (i64, i64) {
    // SAFETY: reads arguments, or raises.
    unsafe {
        let count = ffi::lua_gettop(state);
        let time = |argument: c_int, or: i64| match count >= argument && ffi::lua_type(state, argument) != ffi::LUA_TNIL
        {
            true => buffer.row_time(ffi::luaL_checknumber(state, argument)),
            false => or,
        };
        let start = time(first, buffer.oldest());
        let end = time(first + 1, buffer.head.newest);
        if end < start {
            ffi::luaL_argerror(state, first + 1, c"end must be >= start".as_ptr());
        }
        (start, end)
    }
}

/// `compute(function, column [, start_ns [, end_ns]])`: the value, and how many rows have one.
unsafe extern "C-unwind" fn compute(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 3, 5);
        let buffer = this(state);
        let Some(function) = check_option(state, 2, &Function::ALL) else { return 0 };
        let column = check_column(state, 3, &buffer);
        let (start, end) = check_range(state, 4, &buffer);
        let computed = buffer.range(column, start, end).map(|values| function.compute(values));
        let rows = ((end - start) / buffer.head.seconds).max(0) as usize;
        charge(state, rows.min(buffer.head.rows) * 2);
        match computed {
            Some((value, count)) => {
                ffi::lua_pushnumber(state, value);
                ffi::lua_pushnumber(state, count as f64);
            }
            None => {
                ffi::lua_pushnil(state);
                ffi::lua_pushnumber(state, 0.0);
            }
        }
        2
    }
}

/// Counts work on so many values.
unsafe fn charge(state: State, values: usize) {
    // SAFETY: the budget outlives the host.
    unsafe {
        if let Some(budget) = Host::of(state).budget.as_ref() {
            budget.charge(state, values);
        }
    }
}

/// `get_range(column [, start_ns [, end_ns]])`: an array of values; nil outside of the window.
unsafe extern "C-unwind" fn get_range(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 2, 4);
        push_range(state, &this(state), |_, _, value| value)
    }
}

/// `get_range_delta(column [, start_ns [, end_ns]])`: an array of deltas, as `get_delta` gives them; nil outside of the window.
unsafe extern "C-unwind" fn get_range_delta(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 2, 4);
        push_range(state, &with_deltas(state), |time, column, _| pending_delta(state, time, column))
    }
}

/// Pushes what `cell` makes of the time, column and value of each row that the arguments name.
unsafe fn push_range(state: State, buffer: &Buffer<'_>, cell: impl Fn(i64, usize, f64) -> f64) -> c_int {
    // SAFETY: the buffer is on the stack while the table is filled.
    unsafe {
        let column = check_column(state, 2, buffer);
        let (start, end) = check_range(state, 3, buffer);
        let Some(values) = buffer.range(column, start, end) else {
            ffi::lua_pushnil(state);
            return 1;
        };
        let seconds = buffer.head.seconds;
        ffi::lua_createtable(state, ((end - start) / seconds + 1) as c_int, 0);
        for (place, value) in values.enumerate() {
            let place = place as i64;
            ffi::lua_pushnumber(state, cell(start + place * seconds, column, value));
            ffi::lua_rawseti(state, -2, place + 1);
        }
        1
    }
}

/// `mannwhitneyu(column, start_1, end_1, start_2, end_2 [, use_continuity])`: U of the first range, and the one-sided p;
/// nothing when a range reaches outside of the window, or when all values tie.
unsafe extern "C-unwind" fn mann_whitney_u(state: State) -> c_int {
    // SAFETY: see `this`. The scratch is in the host; nothing raises while it is borrowed.
    unsafe {
        if ffi::lua_gettop(state) > 7 {
            ffi::luaL_argerror(state, 0, c"too many arguments".as_ptr());
        }
        check_arguments(state, 6, 7);
        let buffer = this(state);
        let column = check_column(state, 2, &buffer);
        let time = |argument| buffer.row_time(ffi::luaL_checknumber(state, argument));
        let (start_1, end_1, start_2, end_2) = (time(3), time(4), time(5), time(6));
        if end_1 < start_1 {
            ffi::luaL_argerror(state, 4, c"end_1 must be >= start_1".as_ptr());
        }
        if end_2 < start_2 {
            ffi::luaL_argerror(state, 6, c"end_2 must be >= start_2".as_ptr());
        }
        if end_1 >= start_2 && start_1 <= end_2 {
            ffi::luaL_argerror(state, 0, c"ranges must not overlap".as_ptr());
        }
        if ffi::lua_gettop(state) == 7 && ffi::lua_type(state, 7) != ffi::LUA_TBOOLEAN {
            ffi::luaL_argerror(state, 7, c"use_continuity must be a boolean".as_ptr());
        }
        let continuity = ffi::lua_gettop(state) < 7 || ffi::lua_toboolean(state, 7) != 0;
        let (Some(first), Some(second)) = (buffer.range(column, start_1, end_1), buffer.range(column, start_2, end_2))
        else {
            return 0;
        };
        let ranked = &mut Host::of(state).numbers;
        ranked.clear();
        ranked.extend(first.map(|value| (value, true)).chain(second.map(|value| (value, false))));
        let count = ranked.len();
        let result = rank_sum_test(ranked, continuity);
        charge(state, count * 10);
        let Some((u, p)) = result else { return 0 };
        ffi::lua_pushnumber(state, u);
        ffi::lua_pushnumber(state, p);
        2
    }
}

/// `annotate(ns, column, "info" | "alert", text [, delta])`: printed with the window, as long as its row is in it.
unsafe extern "C-unwind" fn annotate(state: State) -> c_int {
    // SAFETY: see `this`; what is pushed is taken.
    unsafe {
        check_arguments(state, 5, 6);
        let buffer = this(state);
        let time = buffer.row_time(ffi::luaL_checknumber(state, 2));
        let column = check_column(state, 3, &buffer);
        let alert = check_option(state, 4, &[("info", false), ("alert", true)]).unwrap_or(false);
        check_bytes(state, 5);
        ffi::lua_getfenv(state, 1);
        let environment = ffi::lua_gettop(state);
        ffi::lua_getfield(state, environment, ANNOTATIONS.as_ptr());
        if ffi::lua_type(state, -1) != ffi::LUA_TTABLE {
            ffi::lua_settop(state, -2);
            ffi::lua_createtable(state, 1, 0);
            ffi::lua_pushvalue(state, -1);
            ffi::lua_setfield(state, environment, ANNOTATIONS.as_ptr());
        }
        let list = ffi::lua_gettop(state);
        ffi::lua_createtable(state, 4, 0);
        for (place, number) in [time as f64, column as f64 + 1.0, alert as u8 as f64].into_iter().enumerate() {
            ffi::lua_pushnumber(state, number);
            ffi::lua_rawseti(state, -2, place as i64 + 1);
        }
        ffi::lua_pushvalue(state, 5);
        ffi::lua_rawseti(state, -2, 4);
        ffi::lua_rawseti(state, list, ffi::lua_objlen(state, list) as i64 + 1);
        0
    }
}

unsafe extern "C-unwind" fn reset_delta(state: State) -> c_int {
    // SAFETY: see `this`.
    unsafe {
        check_arguments(state, 1, 1);
        let buffer = this(state);
        if buffer.head.delta {
            clear_deltas(state, 1);
        }
        0
    }
}
