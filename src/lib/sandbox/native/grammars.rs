//! `native_grammars`: what the modules in Lua take their grammars from.

use std::ffi::c_int;
use std::rc::Rc;

use mlua::ffi;

use super::super::host::{Host, check_bytes};
use super::super::lpeg;
use super::super::raw::{self, State, raise};
use super::super::record;
use crate::grammar::timestamp::Timestamp;
use crate::grammar::{Capture, Captured, Grammar, Many, Plain, access_log, ip_address, misfit_at, rsyslog, user_agent};
use crate::message::{MessageBuilder, TextHeader, ValueType, now_ns, uuid};

/// A script that makes grammars without end must not fill the memory: they live as long as it does.
const MAX_GRAMMARS: usize = 256;

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut std::ffi::c_void) {
    let functions: [(&std::ffi::CStr, raw::Function); 6] = [
        (c"build_nginx_grammar", build_nginx_grammar),
        (c"build_apache_grammar", build_apache_grammar),
        (c"build_rsyslog_grammar", build_rsyslog_grammar),
        (c"normalize_user_agent", normalize_user_agent),
        (c"decoder", decoder),
        (c"misfit", misfit),
    ];
    // SAFETY: pushes, each taken by the table below it.
    unsafe {
        ffi::lua_createtable(state, 0, 16);
        for (name, function) in functions {
            lpeg::push_function(state, function, host);
            ffi::lua_setfield(state, -2, name.as_ptr());
        }
        lpeg::push_function(state, add_patterns, host);
        ffi::lua_pushvalue(state, -2);
        ffi::lua_call(state, 1, 0);
    }
}

/// Puts the patterns that need no format into the table that it gets.
unsafe extern "C-unwind" fn add_patterns(state: State) -> c_int {
    type Make = fn() -> Rc<dyn Grammar>;
    let patterns: [(&std::ffi::CStr, Make); 4] = [
        (c"ipv4", || Rc::new(Plain(ip_address::v4))),
        (c"ipv6", || Rc::new(Plain(ip_address::v6))),
        (c"rfc3339", || Rc::new(Timestamp::rfc3339())),
        (c"clf_timestamp", || Rc::new(Timestamp::clf())),
    ];
    // SAFETY: each pattern is taken by the table.
    unsafe {
        for (name, make) in patterns {
            Host::of(state).grammars.push(make());
            push_grammar(state);
            ffi::lua_setfield(state, 1, name.as_ptr());
        }
        0
    }
}

unsafe extern "C-unwind" fn build_nginx_grammar(state: State) -> c_int {
    // SAFETY: see `build`.
    unsafe { build(state, |text| Ok(Rc::new(access_log::nginx(text)?))) }
}

unsafe extern "C-unwind" fn build_apache_grammar(state: State) -> c_int {
    // SAFETY: see `build`.
    unsafe { build(state, |text| Ok(Rc::new(access_log::apache(text)?))) }
}

unsafe extern "C-unwind" fn build_rsyslog_grammar(state: State) -> c_int {
    // SAFETY: see `build`.
    unsafe { build(state, |text| Ok(Rc::new(rsyslog::rsyslog(text, None)?))) }
}

/// Compiles the format in the first argument and pushes its grammar, a pattern.
unsafe fn build(state: State, compile: fn(&str) -> Result<Rc<dyn Grammar>, String>) -> c_int {
    // SAFETY: what compiling makes is moved into the host before anything can raise.
    unsafe {
        let text = check_bytes(state, 1);
        let host = Host::of(state);
        if let Err(message) = host.add_grammar(text, compile) {
            host.library_error(message);
            raise(state, host.last_error());
        }
        push_grammar(state);
        1
    }
}

/// Pushes the pattern of the grammar that was added last. Its values: the grammar's number, the names of its captures,
/// the [`WORDS`] that describe them, and the metatable of its records.
unsafe fn push_grammar(state: State) {
    // SAFETY: each value that is pushed is taken by the table. The list of grammars only grows, and names are in it.
    unsafe {
        let grammars = &raw const Host::of(state).grammars;
        let number = (*grammars).len() as u32 - 1;
        let Some(grammar) = (*grammars).last() else { return };
        let names = grammar.names();
        if names.is_empty() {
            return lpeg::push_native(state, number, grammar.nullable(), 0, 0);
        }
        ffi::luaL_checkstack(state, 10, c"grammar".as_ptr());
        ffi::lua_createtable(state, (names.len() + WORDS.len()) as c_int + 1, 0);
        let values = ffi::lua_gettop(state);
        ffi::lua_pushinteger(state, number as ffi::lua_Integer);
        ffi::lua_rawseti(state, values, 1);
        let texts = names.iter().map(String::as_str).chain(WORDS);
        for (place, text) in texts.enumerate() {
            raw::push_bytes(state, text.as_bytes());
            ffi::lua_rawseti(state, values, place as i64 + 2);
        }
        let count = names.len() + WORDS.len() + 1;
        if names.len() <= record::MAX_NAMES {
            record::push_metatable(state, raw::upvalue(state), values, number);
            ffi::lua_rawseti(state, values, count as i64 + 1);
        }
        lpeg::push_native(state, number, grammar.nullable(), values, count as u32 + 1);
    }
}

/// What tables of captures are made of, besides the names of the captures. Two keys, then representations.
const WORDS: [&str; 8] = ["value", "representation", "B", "s", "us", "ipv4", "ipv6", "hostname"];

impl Host {
    fn add_grammar(&mut self, text: &[u8], compile: fn(&str) -> Result<Rc<dyn Grammar>, String>) -> Result<(), String> {
        if self.grammars.len() == MAX_GRAMMARS {
            return Err(format!("more than {MAX_GRAMMARS} grammars"));
        }
        let text = std::str::from_utf8(text).map_err(|_| "the format is not UTF-8".to_string())?;
        self.grammars.push(compile(text)?);
        Ok(())
    }
}

/// Pushes a table of what a grammar reads in a line that it is known to match. The grammar is described by the values
/// from `first` on in the table at a stack index; see [`push_grammar`].
///
/// # Safety
/// `host` is that of the running function, and not borrowed. Its list of captures stays there while the table is built,
/// which may raise but runs no script.
pub unsafe fn push_captures(state: State, host: *mut Host, values: c_int, first: u32, line: &[u8]) {
    // SAFETY: see above. Texts that the pattern has are taken from its table: that spares hashing them (0.15 µs a line).
    unsafe {
        let Host { grammars, captures, .. } = &mut *host;
        ffi::luaL_checkstack(state, 10, c"too many captures".as_ptr());
        ffi::lua_rawgeti(state, values, first as i64);
        let grammar = ffi::lua_tointeger(state, -1) as u32;
        ffi::lua_settop(state, -2);
        captures.read_again(grammars, grammar, line);
        let names = grammars.get(grammar as usize).map_or(0, |grammar| grammar.names().len());
        ffi::lua_createtable(state, 0, names as c_int);
        for capture in &captures.list {
            ffi::lua_rawgeti(state, values, first as i64 + 1 + capture.name as i64);
            push_capture(state, values, first, names, capture, line);
            ffi::lua_rawset(state, -3);
        }
    }
}

/// Pushes what one capture is in Lua. The rest as [`push_captures`]; `names`: how many names the grammar has.
#[inline]
pub unsafe fn push_capture(state: State, values: c_int, first: u32, names: usize, capture: &Capture, line: &[u8]) {
    // SAFETY: leaves one value.
    unsafe {
        if capture.representation.is_empty() {
            return push(state, &capture.value, line);
        }
        let words = first as i64 + 1 + names as i64;
        ffi::lua_createtable(state, 0, 2);
        ffi::lua_rawgeti(state, values, words);
        push(state, &capture.value, line);
        ffi::lua_rawset(state, -3);
        ffi::lua_rawgeti(state, values, words + 1);
        match WORDS.iter().position(|word| *word == capture.representation) {
            Some(place) => drop(ffi::lua_rawgeti(state, values, words + place as i64)),
            None => raw::push_bytes(state, capture.representation.as_bytes()),
        }
        ffi::lua_rawset(state, -3);
    }
}

/// `decoder(grammar, type, payload_keep, remainder, format)`: a `process_message` that matches the Payload and injects a message of the
/// captures, without a table in between (a combined line takes 0.5 µs instead of 2.6). `time` is the Timestamp, every other
/// capture a field. It rejects what doesn't match, and says where; what goes on behind the format is rejected, too, or, with
/// `remainder`, a field of that name. `format` is what users call it.
unsafe extern "C-unwind" fn decoder(state: State) -> c_int {
    // SAFETY: six pushes, which the closure takes.
    unsafe {
        let Some(grammar) = lpeg::native_of(state, 1) else {
            ffi::luaL_argerror(state, 1, c"a grammar that was built from a format expected".as_ptr());
            return 0;
        };
        ffi::lua_settop(state, 5);
        ffi::lua_pushlightuserdata(state, raw::upvalue(state));
        ffi::lua_pushinteger(state, grammar as ffi::lua_Integer);
        for argument in 2..=5 {
            ffi::lua_pushvalue(state, argument);
        }
        ffi::lua_pushcclosure(state, decode_line, 6);
        1
    }
}

unsafe extern "C-unwind" fn decode_line(state: State) -> c_int {
    // SAFETY: see `decoder`; nothing raises while the host is borrowed.
    unsafe {
        let grammar = ffi::lua_tointeger(state, ffi::lua_upvalueindex(2)) as u32;
        let message_type = raw::string(state, ffi::lua_upvalueindex(3));
        let payload_keep = ffi::lua_toboolean(state, ffi::lua_upvalueindex(4)) != 0;
        let remainder = ffi::lua_toboolean(state, ffi::lua_upvalueindex(5)) != 0;
        match Host::of(state).inject_match(grammar, message_type, payload_keep, remainder) {
            Some(true) => {
                ffi::lua_pushinteger(state, 0);
                1
            }
            Some(false) => {
                let format = raw::string(state, ffi::lua_upvalueindex(6)).unwrap_or(b"the format");
                ffi::lua_pushinteger(state, -1);
                push_misfit(state, grammar, None, format);
                2
            }
            None => raise(state, "inject_message() output_limit exceeded"),
        }
    }
}

/// `misfit(grammar, line, format)`: a sentence that says where a line doesn't have a format, or goes on behind it; nothing
/// when it has it. The second value is what goes on behind it.
unsafe extern "C-unwind" fn misfit(state: State) -> c_int {
    // SAFETY: two pushes; the line stays on the stack.
    unsafe {
        let Some(grammar) = lpeg::native_of(state, 1) else {
            ffi::luaL_argerror(state, 1, c"a grammar that was built from a format expected".as_ptr());
            return 0;
        };
        let (line, format) = (check_bytes(state, 2), check_bytes(state, 3));
        push_misfit(state, grammar, Some(line), format);
        let host = Host::of(state);
        host.captures.read_again(&host.grammars, grammar, line);
        raw::push_bytes(state, line.get(host.captures.end..).unwrap_or_default().trim_ascii());
        2
    }
}

/// Pushes where a line, or the Payload, doesn't have a format; nil when it has it.
#[cold]
unsafe fn push_misfit(state: State, grammar: u32, line: Option<&[u8]>, format: &[u8]) {
    // SAFETY: one push, and the text is dropped before it: pushing may raise.
    unsafe {
        let host = Host::of(state);
        host.explain_misfit(grammar, line, format);
        match host.last_error() {
            "" => ffi::lua_pushnil(state),
            text => raw::push_bytes(state, text.as_bytes()),
        }
    }
}

impl Host {
    /// Puts the sentence where errors are.
    fn explain_misfit(&mut self, number: u32, line: Option<&[u8]>, format: &[u8]) {
        let view = self.at_hand.view().map(|view| view.headers());
        let payload = view.as_ref().and_then(|original| original.text(TextHeader::Payload)).unwrap_or_default();
        let line = line.unwrap_or(payload);
        let Some(grammar) = self.grammars.get(number as usize) else { return };
        let format = String::from_utf8_lossy(format);
        let text = match grammar.misfit(line) {
            Some(place) => format!("line does not fit {format} at {place}"),
            None => match self.captures.read(&self.grammars, number, line) {
                Some(end) if !line[end..].trim_ascii().is_empty() => {
                    let end = line.len() - line[end..].trim_ascii_start().len();
                    let place = misfit_at(line, end, "the end of the line");
                    format!("line goes on behind {format} at {place} (keep it with --config remainder=true)")
                }
                _ => String::new(),
            },
        };
        self.library_error(text);
    }

    /// `None` when the message would pass the output limit.
    #[inline]
    fn inject_match(
        &mut self,
        grammar: u32,
        message_type: Option<&[u8]>,
        payload_keep: bool,
        remainder: bool,
    ) -> Option<bool> {
        let Some(original) = self.at_hand.view().map(|view| view.headers()) else { return Some(false) };
        let line = original.text(TextHeader::Payload).unwrap_or_default();
        let Some(end) = self.captures.read(&self.grammars, grammar, line) else { return Some(false) };
        let rest = line.get(end..).unwrap_or_default().trim_ascii();
        if !rest.is_empty() && !remainder {
            return Some(false);
        }
        let Some(grammar) = self.grammars.get(grammar as usize) else { return Some(false) };
        let (names, time_name) = (grammar.names(), grammar.time());
        let time = self.captures.last(time_name).and_then(|capture| match capture.value {
            Captured::Time(ns) => Some(ns),
            Captured::Number(ns) => Some(ns as i64),
            _ => None,
        });
        let timestamp = self.in_zone(time.unwrap_or_else(|| now_ns() / 1_000_000_000 * 1_000_000_000));
        let id = self.at_hand.view().map_or_else(uuid::new_v4, |view| uuid::derived(view.uuid(), self.ends.len()));
        let mut builder = MessageBuilder::new(&mut self.out, &id, timestamp);
        if let Some(text) = message_type.or(original.text(TextHeader::Type)) {
            builder.text(TextHeader::Type, text);
        }
        if let Some(text) = original.text(TextHeader::Logger) {
            builder.text(TextHeader::Logger, text);
        }
        if let Some(severity) = original.severity {
            builder.severity(severity);
        }
        if payload_keep {
            builder.text(TextHeader::Payload, line);
        }
        if let Some(pid) = original.pid {
            builder.pid(pid);
        }
        if let Some(text) = original.text(TextHeader::Hostname) {
            builder.text(TextHeader::Hostname, text);
        }
        for capture in self.captures.last_of_each_name() {
            if capture.name != time_name
                && let Some(name) = names.get(capture.name)
            {
                put_field(&mut builder, name.as_bytes(), capture, line);
            }
        }
        if !rest.is_empty() {
            builder.string_field(b"remainder", rest, b"");
        }
        self.close_message().then_some(true)
    }
}

pub fn put_field(builder: &mut MessageBuilder<'_>, name: &[u8], capture: &Capture, line: &[u8]) {
    let representation = capture.representation.as_bytes();
    match &capture.value {
        Captured::Text(range) => {
            builder.string_field(name, range.of(line), representation);
        }
        Captured::Word(word) => {
            builder.string_field(name, word.as_bytes(), representation);
        }
        Captured::Number(number) => {
            builder.double_field(name, *number, representation);
        }
        Captured::Time(ns) => {
            builder.double_field(name, *ns as f64, representation);
        }
        Captured::Many(many) => put_many(builder, name, many, representation, line),
    }
}

#[cold]
fn put_many(builder: &mut MessageBuilder<'_>, name: &[u8], many: &Many, representation: &[u8], line: &[u8]) {
    match many {
        Many::Unescaped(text) => {
            builder.string_field(name, text, representation);
        }
        Many::Texts(ranges) => {
            builder.field(name, ValueType::String, representation, |values| {
                ranges.iter().for_each(|range| values.string(range.of(line)));
            });
        }
        Many::Numbers(numbers) => {
            builder.field(name, ValueType::Double, representation, |values| values.doubles(numbers.iter().copied()));
        }
        Many::Record(parts) => {
            for (part, value) in parts {
                let name = [name, b".", part.as_bytes()].concat();
                put_field(builder, &name, &Capture { name: 0, value: value.clone(), representation: "" }, line);
            }
        }
    }
}

unsafe fn push(state: State, value: &Captured, line: &[u8]) {
    // SAFETY: leaves one value; records are one level deep.
    unsafe {
        match value {
            Captured::Text(range) => raw::push_bytes(state, range.of(line)),
            Captured::Word(word) => raw::push_bytes(state, word.as_bytes()),
            Captured::Number(number) => ffi::lua_pushnumber(state, *number),
            Captured::Time(ns) => ffi::lua_pushnumber(state, *ns as f64),
            Captured::Many(many) => match &**many {
                Many::Unescaped(text) => raw::push_bytes(state, text),
                Many::Texts(ranges) => {
                    ffi::lua_createtable(state, ranges.len() as c_int, 0);
                    for (place, range) in ranges.iter().enumerate() {
                        raw::push_bytes(state, range.of(line));
                        ffi::lua_rawseti(state, -2, place as i64 + 1);
                    }
                }
                Many::Numbers(numbers) => {
                    ffi::lua_createtable(state, numbers.len() as c_int, 0);
                    for (place, number) in numbers.iter().enumerate() {
                        ffi::lua_pushnumber(state, *number);
                        ffi::lua_rawseti(state, -2, place as i64 + 1);
                    }
                }
                Many::Record(parts) => {
                    ffi::lua_createtable(state, 0, parts.len() as c_int);
                    for (name, part) in parts {
                        raw::push_bytes(state, name.as_bytes());
                        push(state, part, line);
                        ffi::lua_rawset(state, -3);
                    }
                }
            },
        }
    }
}

/// `normalize_user_agent(text)`: browser, version, system; each may be nil.
unsafe extern "C-unwind" fn normalize_user_agent(state: State) -> c_int {
    // SAFETY: three pushes.
    unsafe {
        let Some(text) = raw::string(state, 1) else { return 0 };
        let agent = user_agent::normalize(text);
        match agent.browser {
            Some(browser) => raw::push_bytes(state, browser.as_bytes()),
            None => ffi::lua_pushnil(state),
        }
        match agent.version {
            Some(version) => ffi::lua_pushnumber(state, version),
            None => ffi::lua_pushnil(state),
        }
        match agent.system {
            Some(system) => raw::push_bytes(state, system.as_bytes()),
            None => ffi::lua_pushnil(state),
        }
        3
    }
}
