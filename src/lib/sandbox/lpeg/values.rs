//! What captures are worth: the machine's notes, turned into Lua values from the left.
//!
//! Nothing here needs a destructor: scripts are called from here, and their errors unwind through it.

use std::ffi::c_int;

use mlua::ffi;

use super::super::budget::Budget;
use super::super::host::Host;
use super::super::raw::{self, State, raise};
use super::Slot;
use crate::lpeg::tree::Kind;
use crate::lpeg::{BYTES_A_STEP, Capture, Extent};

/// Captures within captures: LPeg's bound.
const MAX_DEPTH: u32 = 200;
/// Captures that `%1` to `%9` can name, and the whole text.
const MAX_TEXT_CAPTURES: usize = 10;
/// Values for which the stack gets room at a time, and what handling one of them takes on top.
const RESERVED: c_int = 32;
const SPARE: c_int = 12;

/// A match whose captures are looked at.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    pub state: State,
    pub host: *mut Host,
    pub budget: *const Budget,
    pub slot: *mut Slot,
    pub subject: &'a [u8],
    /// Stack index of the table of the pattern's values.
    pub table: c_int,
    /// Stack index of the first extra argument, and how many there are.
    pub arguments: (c_int, c_int),
    /// Stack index below the values that match-time functions left.
    pub dynamics: c_int,
    /// The captures; they stay where they are until the match goes on.
    pub captures: *const Capture,
    pub count: usize,
    /// Where the match is, for a capture that is still open.
    pub pos: usize,
    /// The next capture.
    pub at: usize,
    pub depth: u32,
    pub steps: u64,
}

/// What `%n` stands for.
#[derive(Clone, Copy)]
enum TextCapture {
    Text(usize, usize),
    /// Any other capture.
    At(usize),
}

impl<'a> Values<'a> {
    /// The capture at hand; `None` at the end of those that are around it.
    #[inline]
    unsafe fn peek(&self) -> Option<Capture> {
        // SAFETY: `count` captures are there.
        (self.at < self.count)
            .then(|| unsafe { *self.captures.add(self.at) })
            .filter(|capture| capture.extent != Extent::Close)
    }

    /// Where the text of the captures around ends.
    unsafe fn close(&self) -> usize {
        // SAFETY: as `peek`.
        if self.at < self.count { unsafe { (*self.captures.add(self.at)).start as usize } } else { self.pos }
    }

    /// Passes over the capture at hand and all in it.
    unsafe fn skip(&mut self) {
        let mut depth = 0usize;
        // SAFETY: as `peek`.
        while self.at < self.count {
            match unsafe { (*self.captures.add(self.at)).extent } {
                Extent::Open => depth += 1,
                Extent::Close => depth = depth.saturating_sub(1),
                Extent::Until(_) => {}
            }
            self.at += 1;
            unsafe { self.step(1) };
            if depth == 0 {
                return;
            }
        }
    }

    #[inline]
    unsafe fn step(&mut self, count: usize) {
        match self.steps.checked_sub(count as u64) {
            Some(left) => self.steps = left,
            // SAFETY: raises.
            None => unsafe { (*self.budget).exceed(self.state) },
        }
    }

    /// Calls the function below so many arguments.
    pub unsafe fn call(&mut self, arguments: c_int, results: c_int) {
        // SAFETY: a script may run: the host is not borrowed here, and the captures stay where they are.
        unsafe {
            (*self.budget).set_steps(self.steps);
            (*self.budget).check_stack(self.state);
            ffi::lua_call(self.state, arguments, results);
            self.steps = (*self.budget).steps();
        }
    }

    unsafe fn push_text(&self, start: usize, end: usize) {
        // SAFETY: one push; there is room, see `push`.
        unsafe { raw::push_bytes(self.state, self.subject.get(start..end).unwrap_or_default()) };
    }

    #[inline]
    unsafe fn push_value(&self, value: u32) {
        // SAFETY: as `push_text`.
        unsafe { ffi::lua_rawgeti(self.state, self.table, value as i64) };
    }

    /// Pushes what all captures give; the position when they give nothing. Answers how many values that are.
    #[inline]
    pub unsafe fn push_all(&mut self) -> c_int {
        // SAFETY: see `push`.
        unsafe {
            let (mut pushed, mut room) = (0, 0);
            while self.peek().is_some() {
                self.reserve(pushed, &mut room);
                pushed += self.push(pushed > 0);
            }
            if pushed == 0 {
                ffi::lua_pushinteger(self.state, self.pos as ffi::lua_Integer + 1);
                pushed = 1;
            }
            pushed
        }
    }

    /// Makes sure, now and then, that the stack has room for what the next captures push.
    #[inline(always)]
    unsafe fn reserve(&self, pushed: c_int, room: &mut c_int) {
        if pushed >= *room {
            *room = pushed + RESERVED;
            // SAFETY: raises if there is none.
            unsafe { ffi::luaL_checkstack(self.state, RESERVED + SPARE, c"too many captures".as_ptr()) };
        }
    }

    /// Pushes what the capture at hand gives, and passes over it; the stack has [`SPARE`] places. `previous`: a value to be changed is on top of the
    /// stack.
    #[inline]
    unsafe fn push(&mut self, previous: bool) -> c_int {
        // SAFETY: the stack has room for what is pushed; what a script may replace is not held.
        unsafe {
            self.step(1);
            let Some(capture) = self.peek() else { return 0 };
            if let (Kind::Simple, Extent::Until(end)) = (capture.kind, capture.extent) {
                self.at += 1;
                self.push_text(capture.start as usize, end as usize);
                return 1;
            }
            if self.depth >= MAX_DEPTH {
                raise(self.state, "subcapture nesting too deep");
            }
            (*self.budget).check_stack(self.state);
            self.depth += 1;
            let pushed = self.push_other(capture, previous);
            self.depth -= 1;
            pushed
        }
    }

    unsafe fn push_other(&mut self, capture: Capture, previous: bool) -> c_int {
        let state = self.state;
        // SAFETY: see `push`.
        unsafe {
            match capture.kind {
                Kind::Position => {
                    self.skip();
                    ffi::lua_pushinteger(state, capture.start as ffi::lua_Integer + 1);
                    1
                }
                Kind::Constant => {
                    self.skip();
                    self.push_value(capture.value);
                    1
                }
                Kind::Argument => {
                    self.skip();
                    let (first, count) = self.arguments;
                    if capture.value as c_int > count {
                        self.raise_about("reference to absent extra argument #", capture.value, "");
                    }
                    ffi::lua_pushvalue(state, first + capture.value as c_int - 1);
                    1
                }
                Kind::Dynamic => {
                    self.skip();
                    ffi::lua_pushvalue(state, self.dynamics + 1 + capture.value as c_int);
                    1
                }
                Kind::Simple => {
                    let pushed = self.push_nested(true, false);
                    if pushed > 1 {
                        ffi::lua_insert(state, -pushed);
                    }
                    pushed
                }
                Kind::Group if capture.value == 0 => self.push_nested(false, previous),
                Kind::Group => {
                    self.skip();
                    0
                }
                Kind::Backreference => self.push_backreference(capture),
                Kind::Table => self.push_table(capture),
                Kind::Numeral if let Some(text) = self.only_text() => {
                    self.skip();
                    push_numeral(state, text);
                    1
                }
                Kind::Function | Kind::Numeral => {
                    let top = ffi::lua_gettop(state);
                    self.push_value(capture.value);
                    let pushed = self.push_nested(false, false);
                    self.call(pushed, ffi::LUA_MULTRET);
                    ffi::lua_gettop(state) - top
                }
                Kind::Accumulator => {
                    if !previous {
                        raise(state, "no previous value for accumulator capture");
                    }
                    self.push_value(capture.value);
                    ffi::lua_insert(state, -2);
                    let pushed = self.push_nested(false, false);
                    self.call(pushed + 1, 1);
                    0
                }
                Kind::Query => {
                    self.push_one_nested();
                    self.push_value(capture.value);
                    ffi::lua_insert(state, -2);
                    (*self.budget).set_steps(self.steps);
                    ffi::lua_gettable(state, -2);
                    self.steps = (*self.budget).steps();
                    ffi::lua_remove(state, -2);
                    if ffi::lua_type(state, -1) == ffi::LUA_TNIL {
                        ffi::lua_settop(state, -2);
                        return 0;
                    }
                    1
                }
                Kind::Number if capture.value == 0 => {
                    self.skip();
                    0
                }
                Kind::Number => {
                    let pushed = self.push_nested(false, false);
                    let wanted = capture.value as c_int;
                    if pushed < wanted {
                        self.raise_about("no capture '", capture.value, "'");
                    }
                    ffi::lua_settop(state, wanted - pushed - 1);
                    if wanted > 1 {
                        ffi::lua_replace(state, -wanted);
                        ffi::lua_settop(state, 1 - wanted);
                    }
                    1
                }
                Kind::Fold => self.push_fold(capture),
                Kind::Text | Kind::Substitution => {
                    let start = (*self.slot).buffer.len();
                    if capture.kind == Kind::Text {
                        self.text(capture)
                    } else {
                        self.substitute(capture)
                    }
                    let buffer = &raw mut (*self.slot).buffer;
                    let made = &(&*buffer)[start.min((*buffer).len())..];
                    raw::push_bytes(state, made);
                    (*buffer).truncate(start);
                    1
                }
                Kind::Native => {
                    self.skip();
                    // As the machine gave it: what follows may have a say in where it ends.
                    let line = self.subject.get(capture.start as usize..).unwrap_or_default();
                    super::super::native::grammars::push_captures(state, self.host, self.table, capture.value, line);
                    1
                }
            }
        }
    }

    /// The text of the capture at hand, or of the only one in it, if that is all that it has.
    unsafe fn only_text(&self) -> Option<&'a [u8]> {
        // SAFETY: as `peek`; what is looked at is below `count`.
        unsafe {
            let capture = |at: usize| (at < self.count).then(|| *self.captures.add(at));
            let first = capture(self.at)?;
            let (start, end) = match (first.extent, capture(self.at + 1), capture(self.at + 2)) {
                (Extent::Until(end), ..) => (first.start, end),
                (Extent::Open, Some(inner), Some(close)) => match (inner.kind, inner.extent, close.extent) {
                    (Kind::Simple, Extent::Until(end), Extent::Close) => (inner.start, end),
                    _ => return None,
                },
                _ => return None,
            };
            self.subject.get(start as usize..end as usize)
        }
    }

    unsafe fn raise_about(&self, before: &str, number: u32, after: &str) -> ! {
        // SAFETY: pushes the text's parts and raises.
        unsafe {
            ffi::luaL_where(self.state, 1);
            raw::push_bytes(self.state, before.as_bytes());
            ffi::lua_pushinteger(self.state, number as ffi::lua_Integer);
            raw::push_bytes(self.state, after.as_bytes());
            ffi::lua_concat(self.state, 4);
            ffi::lua_error(self.state)
        }
    }

    /// Pushes what the captures in the one at hand give. The whole text: if they give nothing, or behind the others if
    /// it is wanted in any case. One that is still open gives what a match-time function is called with.
    #[inline]
    pub unsafe fn push_nested(&mut self, whole: bool, previous: bool) -> c_int {
        // SAFETY: see `push`.
        unsafe {
            let Some(capture) = self.peek() else { return 0 };
            self.at += 1;
            if let Extent::Until(end) = capture.extent {
                self.push_text(capture.start as usize, end as usize);
                return 1;
            }
            let (mut pushed, mut room) = (0, 0);
            while self.peek().is_some() {
                self.reserve(pushed, &mut room);
                pushed += self.push(previous || pushed > 0);
            }
            if whole || pushed == 0 {
                self.push_text(capture.start as usize, self.close());
                pushed += 1;
            }
            self.at += 1;
            pushed
        }
    }

    /// The first of those values only.
    #[inline]
    unsafe fn push_one_nested(&mut self) {
        // SAFETY: drops values that were pushed.
        unsafe {
            let pushed = self.push_nested(false, false);
            if pushed > 1 {
                ffi::lua_settop(self.state, -pushed);
            }
        }
    }

    /// Pushes what the last group of that name gives.
    unsafe fn push_backreference(&mut self, capture: Capture) -> c_int {
        let state = self.state;
        // SAFETY: see `push`.
        unsafe {
            let here = self.at;
            self.skip();
            let after = self.at;
            self.push_value(capture.value);
            self.at = here;
            while self.at > 0 {
                self.at -= 1;
                self.step(1);
                let found = *self.captures.add(self.at);
                let group = match found.extent {
                    Extent::Close => {
                        self.back_to_open();
                        *self.captures.add(self.at)
                    }
                    Extent::Until(_) => found,
                    // It is around this one.
                    Extent::Open => continue,
                };
                if group.kind == Kind::Group && group.value > 0 {
                    self.push_value(group.value);
                    let same = ffi::lua_equal(state, -1, -2) != 0;
                    ffi::lua_settop(state, -2);
                    if same {
                        ffi::lua_settop(state, -2);
                        let pushed = self.push_nested(false, false);
                        self.at = after;
                        return pushed;
                    }
                }
            }
            let name = raw::string_or_number(state, -1).unwrap_or(b"(null)");
            ffi::luaL_where(state, 1);
            raw::push_bytes(state, b"back reference '");
            raw::push_bytes(state, name);
            raw::push_bytes(state, b"' not found");
            ffi::lua_concat(state, 4);
            ffi::lua_error(state)
        }
    }

    /// From the end of a capture to its beginning.
    unsafe fn back_to_open(&mut self) {
        let mut depth = 0usize;
        // SAFETY: as `peek`.
        loop {
            match unsafe { (*self.captures.add(self.at)).extent } {
                Extent::Close => depth += 1,
                Extent::Open => depth = depth.saturating_sub(1),
                Extent::Until(_) => {}
            }
            if depth == 0 || self.at == 0 {
                return;
            }
            self.at -= 1;
            unsafe { self.step(1) };
        }
    }

    unsafe fn push_table(&mut self, capture: Capture) -> c_int {
        let state = self.state;
        // SAFETY: see `push`.
        unsafe {
            self.at += 1;
            self.reserve(0, &mut 0);
            if let Extent::Until(_) = capture.extent {
                ffi::lua_createtable(state, 0, 0);
                return 1;
            }
            // What the compiler could see of its size.
            ffi::lua_createtable(state, (capture.value & 0xffff) as c_int, (capture.value >> 16) as c_int);
            let mut count: i64 = 0;
            while let Some(inner) = self.peek() {
                match inner.kind {
                    Kind::Group if inner.value > 0 => {
                        self.step(1);
                        self.push_value(inner.value);
                        self.push_one_nested();
                        ffi::lua_rawset(state, -3);
                    }
                    Kind::Accumulator => {
                        if count > 0 {
                            ffi::lua_rawgeti(state, -1, count);
                        }
                        self.push(count > 0);
                        ffi::lua_rawseti(state, -2, count);
                    }
                    _ => {
                        let pushed = self.push(false);
                        for place in (1..=pushed as i64).rev() {
                            ffi::lua_rawseti(state, -1 - place as c_int, count + place);
                        }
                        count += pushed as i64;
                    }
                }
            }
            self.at += 1;
            1
        }
    }

    unsafe fn push_fold(&mut self, capture: Capture) -> c_int {
        let state = self.state;
        // SAFETY: see `push`.
        unsafe {
            self.at += 1;
            self.reserve(0, &mut 0);
            let empty = matches!(capture.extent, Extent::Until(_)) || self.peek().is_none();
            let pushed = if empty { 0 } else { self.push(false) };
            if pushed == 0 {
                raise(state, "no initial value for fold capture");
            }
            ffi::lua_settop(state, -pushed);
            while self.peek().is_some() {
                self.push_value(capture.value);
                ffi::lua_insert(state, -2);
                let pushed = self.push(false);
                self.call(pushed + 1, 1);
            }
            self.at += 1;
            1
        }
    }

    /// Puts bytes of the subject or of the script at the end of the text that is being put together.
    unsafe fn append(&mut self, bytes: &[u8]) {
        // SAFETY: the buffer is borrowed for this one call.
        unsafe {
            self.step(bytes.len() / BYTES_A_STEP);
            let buffer = &mut (*self.slot).buffer;
            let limit = (*self.host).memory_limit;
            if limit > 0 && buffer.len() + bytes.len() > limit {
                raise(self.state, "not enough memory");
            }
            buffer.extend_from_slice(bytes);
        }
    }

    unsafe fn append_text(&mut self, start: usize, end: usize) {
        // SAFETY: see `append`.
        unsafe { self.append(self.subject.get(start..end).unwrap_or_default()) };
    }

    /// `Cs`: appends the text of the capture with what was captured in it replaced.
    unsafe fn substitute(&mut self, capture: Capture) {
        // SAFETY: see `push`.
        unsafe {
            self.at += 1;
            self.reserve(0, &mut 0);
            let mut from = capture.start as usize;
            if let Extent::Until(end) = capture.extent {
                return self.append_text(from, end as usize);
            }
            while let Some(inner) = self.peek() {
                let start = inner.start as usize;
                self.append_text(from, start);
                from = if self.append_one(inner, "replacement") { self.last_end() } else { start };
            }
            let end = self.close();
            self.append_text(from, end);
            self.at += 1;
        }
    }

    /// Where the capture that was just passed over ends.
    unsafe fn last_end(&self) -> usize {
        // SAFETY: as `peek`.
        let last = unsafe { *self.captures.add(self.at.saturating_sub(1)) };
        match last.extent {
            Extent::Until(end) => end as usize,
            _ => last.start as usize,
        }
    }

    /// Appends what one capture gives; false if that is nothing.
    unsafe fn append_one(&mut self, capture: Capture, what: &str) -> bool {
        let state = self.state;
        // SAFETY: see `push`.
        unsafe {
            if matches!(capture.kind, Kind::Text | Kind::Substitution) {
                if self.depth >= MAX_DEPTH {
                    raise(state, "subcapture nesting too deep");
                }
                self.step(1);
                (*self.budget).check_stack(state);
                self.depth += 1;
                if capture.kind == Kind::Text {
                    self.text(capture)
                } else {
                    self.substitute(capture)
                }
                self.depth -= 1;
                return true;
            }
            let pushed = self.push(false);
            if pushed == 0 {
                return false;
            }
            ffi::lua_settop(state, -pushed);
            let Some(text) = raw::string_or_number(state, -1) else {
                let kind = raw::type_name(state, -1);
                ffi::luaL_where(state, 1);
                for part in ["invalid ", what, " value (a ", kind, ")"] {
                    raw::push_bytes(state, part.as_bytes());
                }
                ffi::lua_concat(state, 6);
                ffi::lua_error(state)
            };
            self.append(text);
            ffi::lua_settop(state, -2);
            true
        }
    }

    /// `pattern / "text"`: appends the text with its `%n` replaced.
    unsafe fn text(&mut self, capture: Capture) {
        let state = self.state;
        // SAFETY: see `push`. The format stays alive in the table of values, which nobody else can reach.
        unsafe {
            self.reserve(0, &mut 0);
            self.push_value(capture.value);
            let format = raw::string(state, -1).unwrap_or_default();
            ffi::lua_settop(state, -2);
            let mut captures = [TextCapture::Text(0, 0); MAX_TEXT_CAPTURES];
            let count = self.collect(&mut captures, 0, 0) - 1;
            let after = self.at;
            let mut rest = format;
            while let Some(percent) = memchr::memchr(b'%', rest) {
                self.append(&rest[..percent]);
                // A percent sign at the end is followed by the zero that ends every text of Lua's.
                let next = rest.get(percent + 1).copied().unwrap_or(0);
                rest = rest.get(percent + 2..).unwrap_or_default();
                if !next.is_ascii_digit() {
                    self.append(&[next]);
                    continue;
                }
                let place = (next - b'0') as usize;
                if place > count {
                    self.raise_about("invalid capture index (", place as u32, ")");
                }
                match captures[place] {
                    TextCapture::Text(start, end) => self.append_text(start, end),
                    TextCapture::At(at) => {
                        self.at = at;
                        let Some(inner) = self.peek() else { continue };
                        if !self.append_one(inner, "capture") {
                            self.raise_about("no values in capture index ", place as u32, "");
                        }
                    }
                }
            }
            self.append(rest);
            self.at = after;
        }
    }

    /// Collects the capture at hand and those in it, and passes over them. Answers how many there are now.
    unsafe fn collect(&mut self, found: &mut [TextCapture; MAX_TEXT_CAPTURES], count: usize, level: u32) -> usize {
        // SAFETY: see `push`.
        unsafe {
            let Some(capture) = self.peek() else { return count };
            self.step(1);
            self.at += 1;
            let start = capture.start as usize;
            let mut next = count + 1;
            let end = match capture.extent {
                Extent::Until(end) => end as usize,
                _ => {
                    while let Some(inner) = self.peek() {
                        if next >= MAX_TEXT_CAPTURES || level > MAX_DEPTH {
                            self.skip();
                        } else if inner.kind == Kind::Simple {
                            next = self.collect(found, next, level + 1);
                        } else {
                            found[next] = TextCapture::At(self.at);
                            self.skip();
                            next += 1;
                        }
                    }
                    let end = self.close();
                    self.at += 1;
                    end
                }
            };
            if let Some(place) = found.get_mut(count) {
                *place = TextCapture::Text(start, end);
            }
            next
        }
    }
}

/// Pushes the number that a text is, or nil, as `tonumber` does.
unsafe fn push_numeral(state: State, text: &[u8]) {
    // SAFETY: leaves one value; there is room, see `push`.
    unsafe {
        if matches!(text.len(), 1..=15) && text.iter().all(u8::is_ascii_digit) {
            let number = text.iter().fold(0u64, |sum, digit| sum * 10 + (digit - b'0') as u64);
            return ffi::lua_pushnumber(state, number as f64);
        }
        // A decimal fraction is read twice as fast as by Lua; both round correctly.
        let plain = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
        if plain
            && text.last().is_some_and(u8::is_ascii_digit)
            && text.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
            && let Some(number) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok())
        {
            return ffi::lua_pushnumber(state, number);
        }
        raw::push_bytes(state, text);
        let number = raw::number(state, -1);
        ffi::lua_settop(state, -2);
        match number {
            Some(number) => ffi::lua_pushnumber(state, number),
            None => ffi::lua_pushnil(state),
        }
    }
}
