//! `sax`: symbolic aggregate approximation of series (Lin, Keogh, Lonardi and Chiu, 2003).
//!
//! A series is normalised (mean 0, deviation 1), cut into frames, and each frame's mean becomes a letter: one of as many
//! equally likely ranges of the normal distribution as the cardinality says. `#` is a frame without values.

use std::ffi::{CStr, c_int, c_void};
use std::mem::size_of;

use mlua::ffi;

use super::super::host::{Host, check_bytes};
use super::super::raw::{self, State, raise};
use super::class::{Class, check_integer, check_object, class_of, new_object};
use super::{check_count, push_library};

static WINDOW: Class = Class {
    name: c"sax.window",
    methods: &[(c"add", add), (c"get_word", get_word), (c"clear", clear)],
    meta: &[(c"__eq", equal), (c"__tostring", to_string)],
    output: Some(output),
    save: None,
};

static WORD: Class = Class {
    name: c"sax.word",
    methods: &[],
    meta: &[(c"__eq", equal), (c"__tostring", to_string)],
    output: Some(output),
    save: None,
};

const MAX_VALUES: usize = 4096;
const MAX_CARDINALITY: usize = 16;
/// A frame without values.
const UNKNOWN: u8 = u8::MAX;

/// What both begin with. The letters of a word follow; of a window the values, the oldest at `next`, and the letters.
#[repr(C)]
struct Series {
    /// Values that it stands for, frames, letters to choose from.
    values: usize,
    frames: usize,
    cardinality: usize,
    window: bool,
    next: usize,
    /// Values since the window was empty.
    added: usize,
}

impl Series {
    fn stored(&self) -> usize {
        if self.window { self.values } else { 0 }
    }

    fn size(&self) -> usize {
        size_of::<Series>() + self.stored() * size_of::<f64>() + self.frames
    }
}

unsafe fn parts<'a>(series: *mut Series) -> (&'a mut Series, &'a mut [f64], &'a mut [u8]) {
    // SAFETY: laid out so by `new_series`; the object stays on the stack.
    unsafe {
        let stored = (*series).stored();
        let values = series.add(1).cast::<f64>();
        let letters = values.add(stored).cast::<u8>();
        (
            &mut *series,
            std::slice::from_raw_parts_mut(values, stored),
            std::slice::from_raw_parts_mut(letters, (*series).frames),
        )
    }
}

/// Where the range of the letter ends: that part of the normal distribution lies below.
fn breakpoint(letter: usize, cardinality: usize) -> f64 {
    let wanted = (letter + 1) as f64 / cardinality as f64;
    let below = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if below(middle) < wanted { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Values that are not numbers don't count; infinite ones decide their frame.
fn write_word(values: impl Iterator<Item = f64> + Clone, cardinality: usize, letters: &mut [u8]) {
    let finite = values.clone().filter(|value| value.is_finite());
    let count = finite.clone().count() as f64;
    let mean = if count > 0.0 { finite.clone().sum::<f64>() / count } else { 0.0 };
    // The sum of no numbers is written -0 by Rust.
    let deviation = (finite.map(|value| (value - mean).powi(2)).sum::<f64>() / count.max(1.0) + 0.0).sqrt();
    let per_frame = values.clone().count() / letters.len();
    for (frame, letter) in letters.iter_mut().enumerate() {
        let there = values.clone().skip(frame * per_frame).take(per_frame).filter(|value| !value.is_nan());
        let average = there.clone().sum::<f64>() / there.count() as f64;
        let normal =
            if deviation > 0.0 || average.is_infinite() { (average - mean) / deviation } else { average * 0.0 };
        *letter = match normal.is_nan() {
            true => UNKNOWN,
            false => (0..cardinality - 1).filter(|letter| breakpoint(*letter, cardinality) <= normal).count() as u8,
        };
    }
}

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut c_void) -> &'static CStr {
    // SAFETY: leaves one value.
    unsafe {
        push_library(state, host, &[(c"mindist", min_dist)]);
        for (class, name, new) in
            [(&WINDOW, c"window", new_window as raw::Function), (&WORD, c"word", new_word as raw::Function)]
        {
            ffi::lua_createtable(state, 0, 1);
            class.push_function(state, new, host);
            ffi::lua_setfield(state, -2, c"new".as_ptr());
            ffi::lua_setfield(state, -2, name.as_ptr());
        }
        // A window's words need their metatable.
        WORD.push_function(state, new_word, host);
        ffi::lua_setfield(state, ffi::LUA_REGISTRYINDEX, NEW_WORD.as_ptr());
    }
    c"sax"
}

/// Where the registry keeps the function that makes words.
const NEW_WORD: &CStr = c"heka.sax.word";

unsafe fn new_series(state: State, series: Series) -> *mut Series {
    // SAFETY: what is written is what was allocated.
    unsafe {
        let object = new_object(state, series.size()).cast::<Series>();
        object.write(series);
        let (_, values, letters) = parts(object);
        values.fill(f64::NAN);
        letters.fill(UNKNOWN);
        object
    }
}

/// Raises unless they fit together.
unsafe fn check_sizes(state: State, values: i64, frames: i64, cardinality: i64) -> (usize, usize, usize) {
    // SAFETY: only raises.
    unsafe {
        if !(2..=MAX_VALUES as i64).contains(&values) {
            raise(state, "the number of values is out of range");
        }
        if frames < 2 || values % frames != 0 {
            raise(state, "the number of frames must be > 1 and divide the number of values");
        }
        if !(2..=MAX_CARDINALITY as i64).contains(&cardinality) {
            raise(state, "the cardinality is out of range");
        }
        (values as usize, frames as usize, cardinality as usize)
    }
}

/// `window.new(values, frames, cardinality)`
unsafe extern "C-unwind" fn new_window(state: State) -> c_int {
    // SAFETY: leaves one value.
    unsafe {
        check_count(state, 3);
        let sizes = (check_integer(state, 1), check_integer(state, 2), check_integer(state, 3));
        let (values, frames, cardinality) = check_sizes(state, sizes.0, sizes.1, sizes.2);
        new_series(state, Series { values, frames, cardinality, window: true, next: 0, added: 0 });
        1
    }
}

/// The numbers of the array at an index, in the host's scratch. Raises for anything else.
unsafe fn check_numbers(state: State, index: c_int) {
    // SAFETY: pops what it pushes.
    unsafe {
        let numbers = &mut Host::of(state).numbers;
        numbers.clear();
        for place in 1..=ffi::lua_objlen(state, index) as i64 {
            ffi::lua_rawgeti(state, index, place);
            let number = (ffi::lua_type(state, -1) == ffi::LUA_TNUMBER).then(|| ffi::lua_tonumber(state, -1));
            ffi::lua_settop(state, -2);
            let Some(number) = number else { raise(state, "an array of numbers expected") };
            numbers.push((number, true));
        }
    }
}

/// `word.new(array, frames, cardinality)` or `word.new(text, cardinality)`
unsafe extern "C-unwind" fn new_word(state: State) -> c_int {
    // SAFETY: the scratch is not changed while the word is made.
    unsafe {
        let series =
            |values, frames, cardinality| Series { values, frames, cardinality, window: false, next: 0, added: 0 };
        if ffi::lua_type(state, 1) == ffi::LUA_TTABLE {
            check_count(state, 3);
            check_numbers(state, 1);
            let count = Host::of(state).numbers.len() as i64;
            let (values, frames, cardinality) =
                check_sizes(state, count, check_integer(state, 2), check_integer(state, 3));
            let word = new_series(state, series(values, frames, cardinality));
            let numbers = Host::of(state).numbers.iter().map(|(number, _)| *number);
            write_word(numbers, cardinality, parts(word).2);
            return 1;
        }
        check_count(state, 2);
        let text = check_bytes(state, 1);
        let frames = text.len() as i64;
        let (_, frames, cardinality) = check_sizes(state, frames, frames, check_integer(state, 2));
        let known = |byte: u8| byte == b'#' || (byte.wrapping_sub(b'A') as usize) < cardinality;
        if !text.iter().all(|byte| known(*byte)) {
            raise(state, "the word has letters beyond its cardinality");
        }
        let word = new_series(state, series(frames, frames, cardinality));
        for (letter, byte) in parts(word).2.iter_mut().zip(text) {
            *letter = if *byte == b'#' { UNKNOWN } else { byte - b'A' };
        }
        1
    }
}

/// `window:add(number or array)`: whether the window is full.
unsafe extern "C-unwind" fn add(state: State) -> c_int {
    // SAFETY: the object was checked; nothing raises while its parts are borrowed.
    unsafe {
        check_count(state, 2);
        let object = check_object::<Series>(state, 1);
        match ffi::lua_type(state, 2) {
            ffi::LUA_TTABLE => check_numbers(state, 2),
            ffi::LUA_TNUMBER => {
                let numbers = &mut Host::of(state).numbers;
                numbers.clear();
                numbers.push((ffi::lua_tonumber(state, 2), true));
            }
            _ => {
                ffi::luaL_typerror(state, 2, c"number or array".as_ptr());
            }
        }
        let (series, values, letters) = parts(object);
        for (number, _) in &Host::of(state).numbers {
            values[series.next] = *number;
            series.next = (series.next + 1) % series.values;
            series.added += 1;
        }
        let (newer, older) = values.split_at(series.next);
        write_word(older.iter().chain(newer).copied(), series.cardinality, letters);
        ffi::lua_pushboolean(state, (series.added >= series.values) as c_int);
        1
    }
}

unsafe extern "C-unwind" fn clear(state: State) -> c_int {
    // SAFETY: the object was checked.
    unsafe {
        check_count(state, 1);
        let (series, values, letters) = parts(check_object(state, 1));
        values.fill(f64::NAN);
        letters.fill(UNKNOWN);
        (series.next, series.added) = (0, 0);
        0
    }
}

/// The window as a word.
unsafe extern "C-unwind" fn get_word(state: State) -> c_int {
    // SAFETY: the object was checked; the word is as the library makes them.
    unsafe {
        check_count(state, 1);
        let object = check_object::<Series>(state, 1);
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, NEW_WORD.as_ptr());
        push_letters(state, 1);
        ffi::lua_pushnumber(state, (*object).cardinality as f64);
        ffi::lua_call(state, 2, 1);
        let word = ffi::lua_touserdata(state, -1).cast::<Series>();
        (*word).values = (*object).values;
        1
    }
}

/// A series of either class; raises for anything else.
unsafe fn check_series(state: State, index: c_int) -> *mut Series {
    // SAFETY: objects of both classes begin with a series.
    unsafe {
        if !is_series(state, index) {
            ffi::luaL_typerror(state, index, c"sax.word or sax.window".as_ptr());
        }
        ffi::lua_touserdata(state, index).cast()
    }
}

unsafe fn is_series(state: State, index: c_int) -> bool {
    // SAFETY: reads the stack.
    let class = unsafe { class_of(state, index) };
    class.is_some_and(|class| std::ptr::eq(class, &raw const WINDOW) || std::ptr::eq(class, &raw const WORD))
}

unsafe extern "C-unwind" fn equal(state: State) -> c_int {
    // SAFETY: both are checked.
    unsafe {
        let same = is_series(state, 1) && is_series(state, 2) && {
            let (first, _, letters) = parts(check_series(state, 1));
            let cardinality = first.cardinality;
            let (second, _, others) = parts(check_series(state, 2));
            cardinality == second.cardinality && letters == others
        };
        ffi::lua_pushboolean(state, same as c_int);
        1
    }
}

unsafe fn output(state: State, index: c_int, out: &mut Vec<u8>) {
    // SAFETY: see the classes.
    unsafe {
        let (_, _, letters) = parts(ffi::lua_touserdata(state, index).cast());
        out.extend(letters.iter().map(|letter| if *letter == UNKNOWN { b'#' } else { b'A' + letter }));
    }
}

/// Pushes the letters of the series at an index.
unsafe fn push_letters(state: State, index: c_int) {
    // SAFETY: one push; at most 4096 letters.
    unsafe {
        let mut text = [0u8; MAX_VALUES];
        let (_, _, letters) = parts(ffi::lua_touserdata(state, index).cast());
        for (to, letter) in text.iter_mut().zip(letters.iter()) {
            *to = if *letter == UNKNOWN { b'#' } else { b'A' + letter };
        }
        raw::push_bytes(state, &text[..letters.len()]);
    }
}

unsafe extern "C-unwind" fn to_string(state: State) -> c_int {
    // SAFETY: checked.
    unsafe {
        check_series(state, 1);
        push_letters(state, 1);
        1
    }
}

/// `mindist(a, b)`: a lower bound of the distance of the two series, and its parts where a is above and below b.
unsafe extern "C-unwind" fn min_dist(state: State) -> c_int {
    // SAFETY: both are checked.
    unsafe {
        check_count(state, 2);
        let (first, _, letters) = parts(check_series(state, 1));
        let (values, cardinality) = (first.values, first.cardinality);
        let (second, _, others) = parts(check_series(state, 2));
        if letters.len() != others.len() || cardinality != second.cardinality {
            raise(state, "words of different size or cardinality have no distance");
        }
        let scale = values.max(second.values) as f64 / letters.len() as f64;
        let (mut above, mut below) = (0.0, 0.0);
        let last = cardinality as u8 - 1;
        // Against an unknown letter the one that is farthest away counts.
        let farthest = |letter: u8| if letter >= last - letter { 0 } else { last };
        for pair in letters.iter().zip(others.iter()) {
            let (a, b) = match pair {
                (&UNKNOWN, &UNKNOWN) => continue,
                (&UNKNOWN, &b) => (farthest(b), b),
                (&a, &UNKNOWN) => (a, farthest(a)),
                (&a, &b) => (a, b),
            };
            let (low, high) = (a.min(b) as usize, a.max(b) as usize);
            if high - low > 1 {
                let distance = breakpoint(high - 1, cardinality) - breakpoint(low, cardinality);
                if a > b { above += distance * distance } else { below += distance * distance }
            }
        }
        for square in [above + below, above, below] {
            ffi::lua_pushnumber(state, (scale * square).sqrt());
        }
        3
    }
}
