//! What the host keeps for a script, and the functions that scripts call.
//!
//! Each function gets the [`Host`] as a pointer in its closure. None of them lets a script run while it holds the
//! host (tables are read without metamethods), so there is one reference at a time. Errors are raised when nothing
//! is left that needs a destructor (see [`super::raw`]).

use std::collections::{HashMap, HashSet};
use std::ffi::{c_int, c_void};
use std::io::Write as _;
use std::rc::Rc;

use super::at_hand::AtHand;
use super::budget::Budget;
use super::encode::{self, Origin};
use super::inject;
use super::raw::{self, State, raise};
use super::write;
use crate::grammar::{Captures, Grammar};
use crate::message::{MessageView, TextHeader, Value, now_ns, uuid};
use crate::stream::put_frame;
use mlua::ffi;

/// A value that `read_config` gives.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigValue {
    Text(String),
    Number(f64),
    Bool(bool),
}

/// What a script is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Makes messages out of one, which stand for it.
    #[default]
    Decoder,
    /// Makes messages of its own.
    Filter,
    /// Makes the bytes that leave.
    Encoder,
}

/// Who injects.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub kind: Kind,
    /// The Logger of what a filter injects.
    pub name: Vec<u8>,
    pub hostname: Vec<u8>,
    pub pid: i32,
}

/// The state behind one script.
pub struct Host {
    pub config: HashMap<String, ConfigValue>,
    pub output_limit: usize,
    /// Messages of the script's that were looked at for what is wrong with them.
    pub looked_at: u32,
    /// Of an encoder's last payload: `txt`, `json`; empty before the first.
    pub payload_kind: Vec<u8>,
    pub strict_nil: bool,
    pub zone: Option<jiff::tz::TimeZone>,
    /// None between messages.
    pub at_hand: AtHand,
    next_field: usize,
    /// The payload buffer; it lives across calls.
    pub payload: Vec<u8>,
    /// Injected messages, one after the other, and where each ends.
    pub out: Vec<u8>,
    pub ends: Vec<usize>,
    pub grammars: Vec<Rc<dyn Grammar>>,
    pub captures: Captures,
    pub lpeg: super::lpeg::Workshop,
    /// Outlives the host.
    pub budget: *const Budget,
    /// Bytes; 0 is no limit.
    pub memory_limit: usize,
    pub max_output: usize,
    pub identity: Identity,
    /// Messages that one call may inject; 0 is no limit.
    pub inject_limit: usize,
    /// What time it is for what is injected; the machine's clock when there is none.
    pub clock: Option<i64>,
    pub json: super::native::JsonConfig,
    pub json_messages: super::native::JsonMessages,
    pub keys: encode::Keys,
    /// Tables that are being written, so that none is written within itself.
    pub tables: HashSet<*const c_void>,
    /// For native functions, within one call.
    pub scratch: Vec<u8>,
    pub pieces: super::sorted::Pieces,
    pub numbers: Vec<(f64, bool)>,
    pub error: String,
    pub modules: super::scripts::ModulePath,
    /// The text of the module that is being loaded.
    pub module_code: Vec<u8>,
}

impl Host {
    pub fn new(output_limit: usize, strict_nil: bool, modules: super::scripts::ModulePath) -> Host {
        Host {
            config: HashMap::new(),
            output_limit,
            payload_kind: Vec::new(),
            looked_at: 0,
            strict_nil,
            zone: None,
            at_hand: AtHand::default(),
            next_field: 0,
            payload: Vec::new(),
            out: Vec::new(),
            ends: Vec::new(),
            grammars: Vec::new(),
            captures: Captures::default(),
            lpeg: Default::default(),
            budget: std::ptr::null(),
            memory_limit: 0,
            max_output: 0,
            identity: Identity::default(),
            inject_limit: 0,
            clock: None,
            json: Default::default(),
            json_messages: Default::default(),
            keys: Default::default(),
            tables: HashSet::new(),
            scratch: Vec::new(),
            pieces: Default::default(),
            numbers: Vec::new(),
            error: String::new(),
            modules,
            module_code: Vec::new(),
        }
    }

    /// Reads a module; where it is, or what was tried, becomes the last error.
    pub fn find_module(&mut self, name: &[u8]) -> bool {
        let found = self.modules.find(&String::from_utf8_lossy(name));
        let there = found.is_ok();
        match found {
            Ok((code, file)) => (self.module_code, self.error) = (code, file),
            Err(tried) => self.error = tried,
        }
        there
    }

    pub fn library_error(&mut self, message: String) {
        self.error = message;
    }

    pub fn last_error(&self) -> &str {
        &self.error
    }

    /// Forgets what the last call injected.
    #[inline]
    pub fn begin_call(&mut self) {
        self.out.clear();
        self.ends.clear();
    }

    /// Makes a message the one at hand.
    ///
    /// # Safety
    /// [`AtHand::end`] must be called before the message's bytes go.
    #[inline]
    pub unsafe fn begin(&mut self, message: MessageView<'_>) {
        // SAFETY: see above.
        unsafe { self.at_hand.begin(message) };
        self.next_field = 0;
        self.begin_call();
    }

    /// Reads a time's digits as wall-clock time of the script's zone.
    pub fn in_zone(&self, ns: i64) -> i64 {
        in_zone(self.zone.as_ref(), ns)
    }

    /// Nanoseconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.unwrap_or_else(now_ns)
    }

    /// The host of the running function.
    ///
    /// # Safety
    /// Only in functions that were pushed with a host, of a sandbox that is alive; the reference must end before a
    /// script can run again.
    pub unsafe fn of<'a>(state: State) -> &'a mut Host {
        // SAFETY: see above; the sandbox frees the host after the state.
        unsafe { &mut *raw::upvalue(state).cast::<Host>() }
    }

    /// Raises a message that was made for this occasion.
    pub unsafe fn raise(&mut self, state: State, message: String) -> ! {
        // The text is kept in the host, since what is local would leak.
        self.error = message;
        // SAFETY: the host outlives the call.
        unsafe { raise(state, &self.error) }
    }
}

/// See [`Host::in_zone`].
#[inline]
pub fn in_zone(zone: Option<&jiff::tz::TimeZone>, ns: i64) -> i64 {
    let Some(zone) = zone else { return ns };
    let shifted = || {
        let utc = jiff::Timestamp::from_nanosecond(ns as i128).ok()?.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        i64::try_from(zone.to_timestamp(utc).ok()?.as_nanosecond()).ok()
    };
    shifted().unwrap_or(ns)
}

/// Sets the functions as globals.
///
/// # Safety
/// `host` must stay where it is as long as the state lives; runs in a protected call.
pub unsafe fn register(state: State, host: *mut c_void, kind: Kind) {
    let functions: [(&std::ffi::CStr, raw::Function); 10] = [
        (c"read_config", read_config),
        (c"read_message", read_message),
        (c"read_next_field", read_next_field),
        (c"decode_message", decode_message),
        (c"encode_message", encode_message),
        (c"add_to_payload", inject::add_to_payload),
        (c"output", inject::output),
        (c"inject_payload", inject::inject_payload),
        (c"inject_message", inject::inject_message),
        (c"write_message", write_message),
    ];
    // A filter sees messages that others see too.
    let count = functions.len() - (kind == Kind::Filter) as usize;
    for (name, function) in functions.into_iter().take(count) {
        // SAFETY: one push, taken by the global.
        unsafe {
            raw::push_function(state, function, host);
            ffi::lua_setglobal(state, name.as_ptr());
        }
    }
}

/// A string argument; numbers count as their text. Raises Lua's own words otherwise.
pub unsafe fn check_bytes<'a>(state: State, argument: c_int) -> &'a [u8] {
    // SAFETY: the pointer is valid while the argument is on the stack.
    unsafe {
        let mut len = 0;
        let text = ffi::luaL_checklstring(state, argument, &mut len);
        std::slice::from_raw_parts(text.cast(), len)
    }
}

/// An optional index, counted from 0.
unsafe fn check_index(state: State, argument: c_int, what: &'static std::ffi::CStr) -> usize {
    // SAFETY: reads an argument, or raises.
    unsafe {
        let number = ffi::luaL_optnumber(state, argument, 0.0);
        if number < 0.0 {
            ffi::luaL_argerror(state, argument, what.as_ptr());
        }
        number as usize
    }
}

/// `print(…)`, for the authors of scripts: filters and decoders have none.
pub unsafe extern "C-unwind" fn print(state: State) -> c_int {
    // SAFETY: each text is written while it is on the stack.
    unsafe {
        let count = ffi::lua_gettop(state);
        let mut out = std::io::stdout();
        for argument in 1..=count {
            ffi::lua_getglobal(state, c"tostring".as_ptr());
            ffi::lua_pushvalue(state, argument);
            ffi::lua_call(state, 1, 1);
            // Nobody to tell if the reader has gone.
            let _ = out.write_all(if argument > 1 { b"\t" } else { b"" });
            let _ = out.write_all(raw::string(state, -1).unwrap_or_default());
            ffi::lua_settop(state, count);
        }
        let _ = out.write_all(b"\n");
        0
    }
}

unsafe extern "C-unwind" fn read_config(state: State) -> c_int {
    // SAFETY: see the module.
    unsafe {
        if ffi::lua_gettop(state) != 1 {
            raise(state, "read_config() must have a single argument");
        }
        let name = check_bytes(state, 1);
        let host = Host::of(state);
        match std::str::from_utf8(name).ok().and_then(|name| host.config.get(name)) {
            Some(ConfigValue::Text(text)) => raw::push_bytes(state, text.as_bytes()),
            Some(ConfigValue::Number(number)) => ffi::lua_pushnumber(state, *number),
            Some(ConfigValue::Bool(flag)) => ffi::lua_pushboolean(state, *flag as c_int),
            None => ffi::lua_pushnil(state),
        }
        1
    }
}

unsafe extern "C-unwind" fn read_message(state: State) -> c_int {
    // SAFETY: see the module.
    unsafe {
        let count = ffi::lua_gettop(state);
        if !(1..=3).contains(&count) {
            raise(state, "read_message() incorrect number of arguments");
        }
        let name = check_bytes(state, 1);
        let instance = check_index(state, 2, c"field index must be >= 0");
        let element = check_index(state, 3, c"array index must be >= 0");
        let host = Host::of(state);
        let Some(view) = host.at_hand.view() else {
            ffi::lua_pushnil(state);
            return 1;
        };
        let text = |value: Option<&[u8]>| match value {
            None if host.strict_nil => ffi::lua_pushnil(state),
            value => raw::push_bytes(state, value.unwrap_or_default()),
        };
        let number = |value: Option<i64>| match value {
            Some(value) => ffi::lua_pushnumber(state, value as f64),
            None => ffi::lua_pushnil(state),
        };
        match name {
            b"Payload" => text(view.text(TextHeader::Payload)),
            b"Type" => text(view.text(TextHeader::Type)),
            b"Logger" => text(view.text(TextHeader::Logger)),
            b"EnvVersion" => text(view.text(TextHeader::EnvVersion)),
            b"Hostname" => text(view.text(TextHeader::Hostname)),
            b"Uuid" => text(uuid::format(view.uuid()).as_ref().map(|id| &id[..])),
            b"Timestamp" => number(Some(view.timestamp())),
            // As in Heka, where every message has them.
            b"Severity" => number(view.severity().map(i64::from).or((!host.strict_nil).then_some(7))),
            b"Pid" => number(view.pid().map(i64::from).or((!host.strict_nil).then_some(0))),
            b"raw" => raw::push_bytes(state, host.at_hand.original().map_or(b"", |original| original.bytes())),
            b"framed" => {
                let end = host.ends.last().copied().unwrap_or(0);
                host.out.truncate(end);
                put_frame(&mut host.out, None, view.bytes());
                raw::push_bytes(state, &host.out[end..]);
                host.out.truncate(end);
            }
            b"size" => number(Some(view.bytes().len() as i64)),
            _ => {
                let field = name.strip_prefix(b"Fields[").and_then(|rest| rest.strip_suffix(b"]"));
                let value = field.and_then(|name| view.field(name, instance)).and_then(|field| field.value(element));
                push_value(state, value);
            }
        }
        1
    }
}

unsafe fn push_value(state: State, value: Option<Value<'_>>) {
    // SAFETY: one push.
    unsafe {
        match value {
            None => ffi::lua_pushnil(state),
            Some(Value::String(bytes) | Value::Bytes(bytes)) => raw::push_bytes(state, bytes),
            Some(Value::Integer(number)) => ffi::lua_pushnumber(state, number as f64),
            Some(Value::Double(number)) => ffi::lua_pushnumber(state, number),
            Some(Value::Bool(flag)) => ffi::lua_pushboolean(state, flag as c_int),
        }
    }
}

unsafe extern "C-unwind" fn read_next_field(state: State) -> c_int {
    // SAFETY: see the module.
    unsafe {
        if ffi::lua_gettop(state) != 0 {
            raise(state, "read_next_field() takes no arguments");
        }
        let host = Host::of(state);
        let place = host.next_field;
        let field = host.at_hand.view().and_then(|view| view.fields().nth(place));
        let Some(field) = field else {
            (0..5).for_each(|_| ffi::lua_pushnil(state));
            return 5;
        };
        ffi::lua_pushnumber(state, field.value_type as u8 as f64);
        raw::push_bytes(state, field.name);
        // As in Heka: nil where the first value has no bytes.
        push_value(state, field.values().next().filter(|value| *value != Value::Bytes(b"")));
        raw::push_bytes(state, field.representation.unwrap_or_default());
        ffi::lua_pushnumber(state, field.values().count() as f64);
        host.next_field = place + 1;
        5
    }
}

unsafe extern "C-unwind" fn write_message(state: State) -> c_int {
    // SAFETY: see the module. The decoded message lives inside a function that raises nothing.
    unsafe {
        let count = ffi::lua_gettop(state);
        if !(2..=5).contains(&count) {
            raise(state, "write_message() incorrect number of arguments");
        }
        let name = check_bytes(state, 1);
        let value = match ffi::lua_type(state, 2) {
            ffi::LUA_TSTRING => write::NewValue::Text(raw::string(state, 2).unwrap_or_default()),
            ffi::LUA_TNUMBER => write::NewValue::Number(ffi::lua_tonumber(state, 2)),
            ffi::LUA_TBOOLEAN => write::NewValue::Bool(ffi::lua_toboolean(state, 2) != 0),
            ffi::LUA_TNIL => write::NewValue::Delete,
            _ => {
                raise(state, "write_message() only accepts numeric, string, or boolean field values, or nil to delete")
            }
        };
        let representation =
            if count >= 3 && ffi::lua_type(state, 3) != ffi::LUA_TNIL { check_bytes(state, 3) } else { b"" };
        let place = write::Place {
            instance: check_index(state, 4, c"field index must be >= 0"),
            element: check_index(state, 5, c"array index must be >= 0"),
            element_given: count == 5,
        };
        let host = Host::of(state);
        if !host.at_hand.write(&write::Write { name, value, representation, place }) {
            host.raise(state, format!("write_message() failed: {} can't take this value", name.escape_ascii()));
        }
        0
    }
}

unsafe extern "C-unwind" fn decode_message(state: State) -> c_int {
    // SAFETY: see the module; each push has its place in a table.
    unsafe {
        if ffi::lua_gettop(state) != 1 || ffi::lua_type(state, 1) != ffi::LUA_TSTRING {
            raise(state, "bad argument #0 to 'decode_message' (must have one string argument)");
        }
        let bytes = raw::string(state, 1).unwrap_or_default();
        if bytes.len() < 20 {
            raise(state, "invalid message, too short");
        }
        let Some(view) = MessageView::new(bytes) else { raise(state, "invalid message") };
        ffi::lua_createtable(state, 0, 10);
        let set = |name: &std::ffi::CStr| ffi::lua_setfield(state, -2, name.as_ptr());
        raw::push_bytes(state, view.uuid());
        set(c"Uuid");
        ffi::lua_pushnumber(state, view.timestamp() as f64);
        set(c"Timestamp");
        let texts = [
            (TextHeader::Type, c"Type"),
            (TextHeader::Logger, c"Logger"),
            (TextHeader::Payload, c"Payload"),
            (TextHeader::EnvVersion, c"EnvVersion"),
            (TextHeader::Hostname, c"Hostname"),
        ];
        for (header, name) in texts {
            if let Some(text) = view.text(header) {
                raw::push_bytes(state, text);
                set(name);
            }
        }
        for (number, name) in [(view.severity(), c"Severity"), (view.pid(), c"Pid")] {
            if let Some(number) = number {
                ffi::lua_pushnumber(state, number as f64);
                set(name);
            }
        }
        let mut count = 0;
        for field in view.fields() {
            if count == 0 {
                ffi::lua_createtable(state, 4, 0);
            }
            count += 1;
            ffi::lua_createtable(state, 0, 4);
            raw::push_bytes(state, field.name);
            set(c"name");
            if field.typed {
                ffi::lua_pushnumber(state, field.value_type as u8 as f64);
                set(c"value_type");
            }
            if let Some(representation) = field.representation {
                raw::push_bytes(state, representation);
                set(c"representation");
            }
            ffi::lua_createtable(state, 1, 0);
            for (place, value) in field.values().enumerate() {
                push_value(state, Some(value));
                ffi::lua_rawseti(state, -2, place as i64 + 1);
            }
            set(c"value");
            ffi::lua_rawseti(state, -2, count);
        }
        if count > 0 {
            set(c"Fields");
        }
        1
    }
}

unsafe extern "C-unwind" fn encode_message(state: State) -> c_int {
    // SAFETY: see the module.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE {
            raise(state, "encode_message() takes a table argument");
        }
        let framed = ffi::lua_toboolean(state, 2) != 0;
        let host = Host::of(state);
        let start = host.ends.last().copied().unwrap_or(0);
        host.out.truncate(start);
        if let Err(reason) = encode::message(state, 1, host, Origin::Nobody) {
            host.raise(state, format!("encode_message() could not encode protobuf - {reason}"));
        }
        if framed {
            let end = host.out.len();
            host.frame_tail(start);
            raw::push_bytes(state, &host.out[end..]);
        } else {
            raw::push_bytes(state, &host.out[start..]);
        }
        host.out.truncate(start);
        1
    }
}

impl Host {
    /// Appends a frame around what the buffer holds from `start` on.
    fn frame_tail(&mut self, start: usize) {
        let message = self.out[start..].to_vec();
        put_frame(&mut self.out, None, &message);
    }
}
