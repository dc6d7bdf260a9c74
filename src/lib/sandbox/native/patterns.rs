//! `string.find`, `match`, `gmatch` and `gsub`: Lua 5.1's patterns, with every step counted.
//!
//! A pattern such as `.-.-.-.-x` backtracks without end, and LuaJIT's own functions can't be stopped while they do.

use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;

use mlua::ffi;

use super::super::host::{Host, check_bytes};
use super::super::raw::{self, State, raise};

const MAX_CAPTURES: usize = 32;
/// Levels of recursion: LuaJIT's.
const MAX_DEPTH: u32 = 200;

/// Sets the functions in the library on top of the stack.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn set(state: State, host: *mut c_void) {
    let functions: [(&CStr, raw::Function); 4] =
        [(c"find", find), (c"match", match_), (c"gmatch", gmatch), (c"gsub", gsub)];
    for (name, function) in functions {
        // SAFETY: one push, taken by the library.
        unsafe {
            raw::push_function(state, function, host);
            ffi::lua_setfield(state, -2, name.as_ptr());
        }
    }
}

/// What a capture holds.
#[derive(Clone, Copy)]
enum Length {
    Open,
    Position,
    Bytes(usize),
}

/// Why a match was given up.
#[derive(Clone, Copy)]
enum Stop {
    Error(&'static str),
    /// The steps are used up.
    Exhausted,
}

type Matched = Result<Option<usize>, Stop>;

struct Run<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    captures: [(usize, Length); MAX_CAPTURES],
    level: usize,
    depth: u32,
    steps: u64,
}

impl<'a> Run<'a> {
    fn new(subject: &'a [u8], pattern: &'a [u8], steps: u64) -> Run<'a> {
        Run { subject, pattern, captures: [(0, Length::Open); MAX_CAPTURES], level: 0, depth: 0, steps }
    }

    #[inline]
    fn step(&mut self) -> Result<(), Stop> {
        self.steps = self.steps.saturating_sub(1);
        if self.steps == 0 { Err(Stop::Exhausted) } else { Ok(()) }
    }

    /// The first match from a place on, with its ends.
    fn search(&mut self, from: usize) -> Result<Option<(usize, usize)>, Stop> {
        let anchored = self.pattern.first() == Some(&b'^');
        for start in from..=self.subject.len() {
            self.level = 0;
            if let Some(end) = self.matches(start, anchored as usize)? {
                return Ok(Some((start, end)));
            }
            if anchored {
                break;
            }
        }
        Ok(None)
    }

    /// Where a match of the pattern from `p` on ends, that begins at `s`.
    fn matches(&mut self, s: usize, p: usize) -> Matched {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::Error("pattern too complex"));
        }
        let matched = self.matches_here(s, p);
        self.depth -= 1;
        matched
    }

    fn matches_here(&mut self, mut s: usize, mut p: usize) -> Matched {
        loop {
            self.step()?;
            let Some(&byte) = self.pattern.get(p) else { return Ok(Some(s)) };
            let next = self.pattern.get(p + 1).copied();
            match (byte, next) {
                (b'(', Some(b')')) => return self.open(s, p + 2, Length::Position),
                (b'(', _) => return self.open(s, p + 1, Length::Open),
                (b')', _) => return self.close(s, p + 1),
                (b'%', Some(b'b')) => match self.balanced(s, p + 2)? {
                    Some(end) => {
                        s = end;
                        p += 4;
                        continue;
                    }
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => {
                    p += 2;
                    if self.pattern.get(p) != Some(&b'[') {
                        return Err(Stop::Error("missing '[' after '%f' in pattern"));
                    }
                    let end = self.class_end(p)?;
                    let before = s.checked_sub(1).and_then(|at| self.subject.get(at)).copied().unwrap_or(0);
                    let here = self.subject.get(s).copied().unwrap_or(0);
                    if self.in_set(before, p, end - 1) || !self.in_set(here, p, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                    continue;
                }
                (b'%', Some(digit @ b'0'..=b'9')) => match self.back_reference(s, digit)? {
                    Some(end) => {
                        s = end;
                        p += 2;
                        continue;
                    }
                    None => return Ok(None),
                },
                (b'$', None) => return Ok((s == self.subject.len()).then_some(s)),
                _ => {}
            }
            let end = self.class_end(p)?;
            let here = self.single(s, p, end);
            match self.pattern.get(end) {
                Some(b'?') => {
                    if here && let Some(found) = self.matches(s + 1, end + 1)? {
                        return Ok(Some(found));
                    }
                    p = end + 1;
                }
                Some(b'*') => return self.longest(s, p, end),
                Some(b'+') => return if here { self.longest(s + 1, p, end) } else { Ok(None) },
                Some(b'-') => return self.shortest(s, p, end),
                _ if here => {
                    s += 1;
                    p = end;
                }
                _ => return Ok(None),
            }
        }
    }

    fn longest(&mut self, s: usize, p: usize, end: usize) -> Matched {
        let mut count = 0;
        while self.single(s + count, p, end) {
            count += 1;
            self.step()?;
        }
        loop {
            if let Some(found) = self.matches(s + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Matched {
        loop {
            if let Some(found) = self.matches(s, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(s, p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, length: Length) -> Matched {
        let Some(capture) = self.captures.get_mut(self.level) else { return Err(Stop::Error("too many captures")) };
        *capture = (s, length);
        self.level += 1;
        let matched = self.matches(s, p)?;
        if matched.is_none() {
            self.level -= 1;
        }
        Ok(matched)
    }

    fn close(&mut self, s: usize, p: usize) -> Matched {
        let open = self.captures[..self.level].iter().rposition(|(_, length)| matches!(length, Length::Open));
        let Some(place) = open else { return Err(Stop::Error("invalid pattern capture")) };
        self.captures[place].1 = Length::Bytes(s - self.captures[place].0);
        let matched = self.matches(s, p)?;
        if matched.is_none() {
            self.captures[place].1 = Length::Open;
        }
        Ok(matched)
    }

    fn balanced(&mut self, s: usize, p: usize) -> Matched {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Err(Stop::Error("unbalanced pattern"));
        };
        if self.subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for at in s + 1..self.subject.len() {
            self.step()?;
            let byte = self.subject[at];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    fn back_reference(&mut self, s: usize, digit: u8) -> Matched {
        let capture = digit.checked_sub(b'1').and_then(|place| self.captures[..self.level].get(place as usize));
        let Some(&(start, Length::Bytes(length))) = capture else { return Err(Stop::Error("invalid capture index")) };
        self.steps = self.steps.saturating_sub(length as u64);
        let text = &self.subject[start..start + length];
        Ok(self.subject[s..].starts_with(text).then_some(s + length))
    }

    /// Behind the single-byte class that begins at `p`.
    fn class_end(&self, p: usize) -> Result<usize, Stop> {
        match self.pattern.get(p) {
            Some(b'%') if p + 1 >= self.pattern.len() => Err(Stop::Error("malformed pattern (ends with '%')")),
            Some(b'%') => Ok(p + 2),
            Some(b'[') => {
                let mut at = p + 1;
                if self.pattern.get(at) == Some(&b'^') {
                    at += 1;
                }
                // The first is itself, whatever it is.
                loop {
                    match self.pattern.get(at) {
                        None => return Err(Stop::Error("malformed pattern (missing ']')")),
                        Some(b'%') => at += 2,
                        Some(_) => at += 1,
                    }
                    if self.pattern.get(at) == Some(&b']') {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(p + 1),
        }
    }

    #[inline]
    fn single(&self, s: usize, p: usize, end: usize) -> bool {
        let Some(&byte) = self.subject.get(s) else { return false };
        match self.pattern[p] {
            b'.' => true,
            b'%' => is_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            literal => literal == byte,
        }
    }

    /// `[…]` from `p` to the closing bracket.
    fn in_set(&self, byte: u8, p: usize, close: usize) -> bool {
        let mut at = p + 1;
        let negated = self.pattern.get(at) == Some(&b'^');
        if negated {
            at += 1;
        }
        while at < close {
            let here = self.pattern[at];
            if here == b'%' && at + 1 < close {
                if is_class(byte, self.pattern[at + 1]) {
                    return !negated;
                }
                at += 2;
            } else if self.pattern.get(at + 1) == Some(&b'-') && at + 2 < close {
                if (here..=self.pattern[at + 2]).contains(&byte) {
                    return !negated;
                }
                at += 3;
            } else {
                if here == byte {
                    return !negated;
                }
                at += 1;
            }
        }
        negated
    }
}

/// `%a` and the like; an upper-case letter is the complement, anything else itself.
#[inline]
fn is_class(byte: u8, class: u8) -> bool {
    let found = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | 9..=13),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return byte == class,
    };
    found != class.is_ascii_uppercase()
}

/// Takes note of the steps that are left, and raises what ended a match.
unsafe fn settle<T>(state: State, left: u64, result: Result<T, Stop>) -> T {
    // SAFETY: the budget outlives the host; nothing here needs a destructor.
    unsafe {
        let budget = &*Host::of(state).budget;
        budget.set_steps(left);
        match result {
            Ok(value) => value,
            Err(Stop::Exhausted) => budget.exceed(state),
            Err(Stop::Error(message)) => raise(state, message),
        }
    }
}

unsafe fn steps(state: State) -> u64 {
    // SAFETY: the budget outlives the host.
    unsafe { (*Host::of(state).budget).steps() }
}

/// Pushes a capture; without any, the whole match is the first.
unsafe fn push_capture(state: State, run: &Run<'_>, place: usize, start: usize, end: usize) {
    // SAFETY: one push, or an error.
    unsafe {
        if place >= run.level {
            if place != 0 {
                raise(state, "invalid capture index");
            }
            return raw::push_bytes(state, &run.subject[start..end]);
        }
        match run.captures[place] {
            (at, Length::Bytes(length)) => raw::push_bytes(state, &run.subject[at..at + length]),
            (at, Length::Position) => ffi::lua_pushnumber(state, at as f64 + 1.0),
            (_, Length::Open) => raise(state, "unfinished capture"),
        }
    }
}

/// Pushes all captures, or the whole match; answers how many.
unsafe fn push_captures(state: State, run: &Run<'_>, start: usize, end: usize, whole: bool) -> c_int {
    // SAFETY: asks for room.
    unsafe {
        let count = if run.level == 0 && whole { 1 } else { run.level };
        ffi::luaL_checkstack(state, count as c_int, c"too many captures".as_ptr());
        (0..count).for_each(|place| push_capture(state, run, place, start, end));
        count as c_int
    }
}

/// An optional position as an index from 0, counted from the end if it is negative.
unsafe fn check_start(state: State, argument: c_int, length: usize) -> usize {
    // SAFETY: reads an argument, or raises.
    let init = unsafe { ffi::luaL_optnumber(state, argument, 1.0) } as i64;
    match init {
        init if init > 0 => (init as usize - 1).min(length),
        0 => 0,
        init => length.saturating_sub(init.unsigned_abs() as usize),
    }
}

unsafe extern "C-unwind" fn find(state: State) -> c_int {
    // SAFETY: see `search`.
    unsafe { search(state, true) }
}

unsafe extern "C-unwind" fn match_(state: State) -> c_int {
    // SAFETY: see `search`.
    unsafe { search(state, false) }
}

unsafe fn search(state: State, places: bool) -> c_int {
    // SAFETY: both texts stay on the stack.
    unsafe {
        let (subject, pattern) = (check_bytes(state, 1), check_bytes(state, 2));
        let from = check_start(state, 3, subject.len());
        let special = |byte: &u8| b"^$*+?.([%-".contains(byte);
        if places && (ffi::lua_toboolean(state, 4) != 0 || !pattern.iter().any(special)) {
            (*Host::of(state).budget).charge(state, (subject.len() - from) / 64);
            let Some(at) = memchr::memmem::find(&subject[from..], pattern) else {
                ffi::lua_pushnil(state);
                return 1;
            };
            ffi::lua_pushnumber(state, (from + at + 1) as f64);
            ffi::lua_pushnumber(state, (from + at + pattern.len()) as f64);
            return 2;
        }
        let mut run = Run::new(subject, pattern, steps(state));
        let result = run.search(from);
        let Some((start, end)) = settle(state, run.steps, result) else {
            ffi::lua_pushnil(state);
            return 1;
        };
        if !places {
            return push_captures(state, &run, start, end, true);
        }
        ffi::lua_pushnumber(state, start as f64 + 1.0);
        ffi::lua_pushnumber(state, end as f64);
        push_captures(state, &run, start, end, false) + 2
    }
}

/// `gmatch(subject, pattern)`: an iterator, which keeps both and its place as upvalues.
unsafe extern "C-unwind" fn gmatch(state: State) -> c_int {
    // SAFETY: what is pushed is taken by the closure.
    unsafe {
        check_bytes(state, 1);
        check_bytes(state, 2);
        ffi::lua_settop(state, 2);
        ffi::lua_pushlightuserdata(state, raw::upvalue(state));
        ffi::lua_insert(state, 1);
        ffi::lua_pushnumber(state, 0.0);
        ffi::lua_pushcclosure(state, gmatch_next, 4);
        1
    }
}

unsafe extern "C-unwind" fn gmatch_next(state: State) -> c_int {
    // SAFETY: the upvalues are those of `gmatch`.
    unsafe {
        let subject = raw::string(state, ffi::lua_upvalueindex(2)).unwrap_or_default();
        let pattern = raw::string(state, ffi::lua_upvalueindex(3)).unwrap_or_default();
        let from = ffi::lua_tonumber(state, ffi::lua_upvalueindex(4)) as usize;
        let mut run = Run::new(subject, pattern, steps(state));
        let mut found = Ok(None);
        for start in from..=subject.len() {
            run.level = 0;
            // Not `search`: here `^` is itself.
            found = run.matches(start, 0).map(|end| end.map(|end| (start, end)));
            if !matches!(found, Ok(None)) {
                break;
            }
        }
        let Some((start, end)) = settle(state, run.steps, found) else { return 0 };
        ffi::lua_pushnumber(state, if end == start { end + 1 } else { end } as f64);
        ffi::lua_replace(state, ffi::lua_upvalueindex(4));
        push_captures(state, &run, start, end, true)
    }
}

/// `gsub(subject, pattern, replacement [, most])`
unsafe extern "C-unwind" fn gsub(state: State) -> c_int {
    // SAFETY: Lua's own buffer keeps what it holds on the stack, so a script that is called may use the stack above it,
    // and an error leaves nothing behind.
    unsafe {
        let (subject, pattern) = (check_bytes(state, 1), check_bytes(state, 2));
        let kind = ffi::lua_type(state, 3);
        if !matches!(kind, ffi::LUA_TNUMBER | ffi::LUA_TSTRING | ffi::LUA_TFUNCTION | ffi::LUA_TTABLE) {
            ffi::luaL_typerror(state, 3, c"string/function/table".as_ptr());
        }
        let most = match ffi::lua_type(state, 4) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => usize::MAX,
            _ => ffi::luaL_checknumber(state, 4).max(0.0) as usize,
        };
        let anchored = pattern.first() == Some(&b'^');
        let mut buffer = MaybeUninit::<ffi::luaL_Buffer>::uninit();
        let buffer = buffer.as_mut_ptr();
        (*Host::of(state).budget).check_stack(state);
        ffi::luaL_buffinit(state, buffer);
        let (mut at, mut count) = (0, 0);
        let mut run = Run::new(subject, pattern, 0);
        while count < most {
            run.steps = steps(state);
            (run.level, run.depth) = (0, 0);
            let result = run.matches(at, anchored as usize);
            let end = settle(state, run.steps, result);
            if let Some(end) = end {
                count += 1;
                add_value(state, buffer, &run, at, end, kind);
                if end > at {
                    at = end;
                    if anchored {
                        break;
                    }
                    continue;
                }
            }
            let Some(byte) = subject.get(at..at + 1) else { break };
            ffi::luaL_addlstring(buffer, byte.as_ptr().cast(), 1);
            at += 1;
            if anchored {
                break;
            }
        }
        let rest = &subject[at.min(subject.len())..];
        ffi::luaL_addlstring(buffer, rest.as_ptr().cast(), rest.len());
        ffi::luaL_pushresult(buffer);
        ffi::lua_pushnumber(state, count as f64);
        2
    }
}

/// Adds what stands for a match.
unsafe fn add_value(state: State, buffer: *mut ffi::luaL_Buffer, run: &Run<'_>, start: usize, end: usize, kind: c_int) {
    // SAFETY: see `gsub`.
    unsafe {
        match kind {
            ffi::LUA_TFUNCTION => {
                ffi::lua_pushvalue(state, 3);
                let count = push_captures(state, run, start, end, true);
                ffi::lua_call(state, count, 1);
            }
            ffi::LUA_TTABLE => {
                push_capture(state, run, 0, start, end);
                ffi::lua_gettable(state, 3);
            }
            _ => return add_text(state, buffer, run, start, end),
        }
        if ffi::lua_toboolean(state, -1) == 0 {
            ffi::lua_settop(state, -2);
            raw::push_bytes(state, &run.subject[start..end]);
        } else if ffi::lua_isstring(state, -1) == 0 {
            ffi::lua_pushfstring(
                state,
                c"invalid replacement value (a %s)".as_ptr(),
                ffi::lua_typename(state, ffi::lua_type(state, -1)),
            );
            ffi::luaL_error(state, c"%s".as_ptr(), ffi::lua_tolstring(state, -1, std::ptr::null_mut()));
        }
        ffi::luaL_addvalue(buffer);
    }
}

/// A replacement text, with `%0` to `%9`.
unsafe fn add_text(state: State, buffer: *mut ffi::luaL_Buffer, run: &Run<'_>, start: usize, end: usize) {
    // SAFETY: see `gsub`.
    unsafe {
        let text = check_bytes(state, 3);
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'%', rest) {
            ffi::luaL_addlstring(buffer, rest.as_ptr().cast(), at);
            match rest.get(at + 1) {
                Some(b'0') => {
                    let whole = &run.subject[start..end];
                    ffi::luaL_addlstring(buffer, whole.as_ptr().cast(), whole.len());
                }
                Some(&digit @ b'1'..=b'9') => {
                    push_capture(state, run, (digit - b'1') as usize, start, end);
                    ffi::luaL_addvalue(buffer);
                }
                Some(byte) => ffi::luaL_addlstring(buffer, std::ptr::from_ref(byte).cast(), 1),
                None => {}
            }
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        ffi::luaL_addlstring(buffer, rest.as_ptr().cast(), rest.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_without_end_is_given_up() {
        let subject = "a".repeat(3000);
        let pattern = ".-".repeat(20) + "b";
        let mut run = Run::new(subject.as_bytes(), pattern.as_bytes(), 100_000);
        assert!(matches!(run.search(0), Err(Stop::Exhausted)));
    }

    proptest! {
        #[test]
        fn any_pattern_is_taken(pattern in "[]\\[%a-z0-9(){}.^$*+?-]{0,20}", subject in "[a-c0-2]{0,20}") {
            let mut run = Run::new(subject.as_bytes(), pattern.as_bytes(), 100_000);
            if let Ok(Some((start, end))) = run.search(0) {
                prop_assert!(start <= end && end <= subject.len());
            }
        }
    }
}
