//! The payload buffer, and what a script injects.
//!
//! What becomes of it depends on what the script is there for: a decoder's messages stand for the one at hand, a
//! filter's are its own, an encoder makes bytes.

use std::ffi::c_int;

use mlua::ffi;
use prost::Message as _;

use super::at_hand::AtHand;
use super::encode::{self, Origin, TYPE_PREFIX};
use super::host::{Host, Identity, Kind, check_bytes};
use super::native;
use super::number;
use super::raw::{self, State, raise};
use super::record;
use super::sorted::Piece;
use crate::message::{MessageBuilder, MessageView, TextHeader, schema, uuid};

/// Bytes of all messages that one call may inject, where there is a limit for each.
const MOST_OUTPUT: usize = 64 * 1024 * 1024;

/// Tables within tables that `output` writes.
const MAX_DEPTH: usize = 100;

/// Appends arguments from `first` on to the payload buffer; raises for what has no text.
unsafe fn append_arguments(state: State, first: c_int, function: &'static str, tables: bool) {
    // SAFETY: no script runs while the host is borrowed.
    unsafe {
        let host: *mut Host = Host::of(state);
        for argument in first..=ffi::lua_gettop(state) {
            let before = (*host).payload.len();
            let appended = match ffi::lua_type(state, argument) {
                ffi::LUA_TTABLE if tables => {
                    (*host).tables.clear();
                    put_table(state, argument, host, 0);
                    (*host).payload.push(b'\n');
                    Ok(())
                }
                _ => put_scalar(state, argument, &mut (*host).payload),
            };
            if let Err(reason) = appended {
                (*host).raise(state, format!("bad argument #{argument} to '{function}' ({reason})"));
            }
            let limit = (*host).output_limit;
            // One byte is the closing NUL's, as in Heka.
            if limit > 0 && (*host).payload.len() >= limit {
                (*host).payload.truncate(before);
                raise(state, "output_limit exceeded");
            }
        }
        let host = &mut *host;
        host.max_output = host.max_output.max(host.payload.len());
    }
}

/// Appends a value other than a table.
unsafe fn put_scalar(state: State, index: c_int, out: &mut Vec<u8>) -> Result<(), &'static str> {
    // SAFETY: reads a slot.
    unsafe {
        match ffi::lua_type(state, index) {
            ffi::LUA_TSTRING => out.extend_from_slice(raw::string(state, index).unwrap_or_default()),
            ffi::LUA_TNUMBER => number::put_payload(ffi::lua_tonumber(state, index), out),
            ffi::LUA_TBOOLEAN => {
                let text: &[u8] = if ffi::lua_toboolean(state, index) != 0 { b"true" } else { b"false" };
                out.extend_from_slice(text);
            }
            ffi::LUA_TNIL => out.extend_from_slice(b"nil"),
            ffi::LUA_TUSERDATA => match native::class_of(state, index).and_then(|class| class.output) {
                Some(output) => output(state, index, out),
                None => return Err("unknown userdata type"),
            },
            _ => return Err("unsupported type"),
        }
    }
    Ok(())
}

/// Appends a table as JSON, in the form of Heka's first generation: keys that begin with `_`, functions, objects and
/// tables with a metatable are left out.
unsafe fn put_table(state: State, table: c_int, host: *mut Host, depth: usize) {
    // SAFETY: the host is borrowed only where nothing raises; `lua_next` is given the key that it left.
    unsafe {
        let address = ffi::lua_topointer(state, table);
        if depth == MAX_DEPTH || !(*host).tables.insert(address) || ffi::lua_checkstack(state, 6) == 0 {
            raise(state, "table contains an internal or circular reference");
        }
        if record::is_record(state, table) {
            record::fill(state, table, host);
        }
        ffi::lua_rawgeti(state, table, 1);
        let array = ffi::lua_type(state, -1) != ffi::LUA_TNIL;
        ffi::lua_settop(state, -2);
        (*host).payload.push(if array { b'[' } else { b'{' });
        let mut first = true;
        if array {
            for place in 1..=ffi::lua_objlen(state, table) as i64 {
                ffi::lua_rawgeti(state, table, place);
                let value = ffi::lua_gettop(state);
                if is_data(state, value) {
                    separate(&mut first, &mut (*host).payload);
                    put_json(state, value, host, depth);
                }
                ffi::lua_settop(state, value - 1);
            }
        } else {
            let begun = (*host).pieces.begin(depth);
            ffi::lua_pushnil(state);
            while ffi::lua_next(state, table) != 0 {
                let value = ffi::lua_gettop(state);
                // A copy of the key becomes text.
                ffi::lua_pushvalue(state, value - 1);
                let key = raw::string_or_number(state, -1);
                if let Some(key) = key.filter(|key| !key.starts_with(b"_") && is_data(state, value)) {
                    separate(&mut first, &mut (*host).payload);
                    let start = (*host).payload.len();
                    put_string(key, &mut (*host).payload);
                    let key = (start, (*host).payload.len());
                    (*host).payload.push(b':');
                    put_json(state, value, host, depth);
                    (*host).pieces.push(Piece { start, key, end: (*host).payload.len() });
                }
                ffi::lua_settop(state, value - 1);
            }
            let Host { pieces, payload, .. } = &mut *host;
            pieces.end(begun, payload, b",");
        }
        (*host).payload.push(if array { b']' } else { b'}' });
        // Between tables, so that a large one can't fill the memory.
        if (*host).output_limit > 0 && (*host).payload.len() >= 2 * (*host).output_limit {
            (*host).payload.clear();
            raise(state, "output_limit exceeded");
        }
    }
}

fn separate(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.push(b',');
    }
}

unsafe fn is_data(state: State, index: c_int) -> bool {
    // SAFETY: pops what it pushes.
    unsafe {
        match ffi::lua_type(state, index) {
            ffi::LUA_TSTRING | ffi::LUA_TNUMBER | ffi::LUA_TBOOLEAN => true,
            ffi::LUA_TTABLE => {
                let plain = record::is_record(state, index) || ffi::lua_getmetatable(state, index) == 0;
                if !plain {
                    ffi::lua_settop(state, -2);
                }
                plain
            }
            _ => false,
        }
    }
}

unsafe fn put_json(state: State, value: c_int, host: *mut Host, depth: usize) {
    // SAFETY: see `put_table`.
    unsafe {
        match ffi::lua_type(state, value) {
            ffi::LUA_TSTRING => put_string(raw::string(state, value).unwrap_or_default(), &mut (*host).payload),
            ffi::LUA_TTABLE => put_table(state, value, host, depth + 1),
            _ => drop(put_scalar(state, value, &mut (*host).payload)),
        }
    }
}

fn put_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match native::short_escape(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => out.push(byte),
        }
    }
    out.push(b'"');
}

unsafe fn append(state: State, function: &'static str, tables: bool) -> c_int {
    // SAFETY: see `append_arguments`.
    unsafe {
        if ffi::lua_gettop(state) == 0 {
            Host::of(state).raise(state, format!("bad argument #0 to '{function}' (must have at least one argument)"));
        }
        append_arguments(state, 1, function, tables);
        0
    }
}

pub unsafe extern "C-unwind" fn add_to_payload(state: State) -> c_int {
    // SAFETY: see `append`.
    unsafe { append(state, "add_to_payload", false) }
}

/// The first generation's name, and its tables.
pub unsafe extern "C-unwind" fn output(state: State) -> c_int {
    // SAFETY: see `append`.
    unsafe { append(state, "output", true) }
}

/// Raises when the call has injected as much as it may.
unsafe fn check_limit(state: State, function: &'static str) {
    // SAFETY: the text is kept in the host.
    unsafe {
        let host = Host::of(state);
        if host.inject_limit > 0 && host.ends.len() >= host.inject_limit {
            host.raise(state, format!("{function}() exceeded InjectMessage count"));
        }
    }
}

pub unsafe extern "C-unwind" fn inject_payload(state: State) -> c_int {
    // SAFETY: no script runs while the host is borrowed.
    unsafe {
        let count = ffi::lua_gettop(state);
        let kind = if count >= 1 { check_bytes(state, 1) } else { b"" };
        let name = if count >= 2 { check_bytes(state, 2) } else { b"" };
        append_arguments(state, 3, "inject_payload", false);
        finish_payload(state, "inject_payload", kind, name)
    }
}

/// The payload buffer becomes a message; an empty one does nothing.
unsafe fn finish_payload(state: State, function: &'static str, kind: &[u8], name: &[u8]) -> c_int {
    // SAFETY: as above.
    unsafe {
        if !Host::of(state).payload.is_empty() {
            check_limit(state, function);
            Host::of(state).inject_payload(if kind.is_empty() { b"txt" } else { kind }, name);
        }
        0
    }
}

impl Host {
    fn inject_payload(&mut self, kind: &[u8], name: &[u8]) {
        let start = self.ends.last().copied().unwrap_or(0);
        self.out.truncate(start);
        match self.identity.kind {
            Kind::Encoder => {
                // Only the last injection leaves.
                self.out.clear();
                self.ends.clear();
                self.out.extend_from_slice(&self.payload);
                if self.payload_kind != kind {
                    self.payload_kind = kind.to_vec();
                }
            }
            Kind::Filter => self.put_own_payload(kind, name),
            Kind::Decoder => self.put_decoded_payload(kind, name),
        }
        self.payload.clear();
        // The text has kept the limit; headers and fields are not counted against it.
        let size = self.out.len() - self.ends.last().copied().unwrap_or(0);
        self.max_output = self.max_output.max(size);
        self.ends.push(self.out.len());
    }

    /// A message of the filter's.
    fn put_own_payload(&mut self, kind: &[u8], name: &[u8]) {
        let now = self.now();
        let identity = &self.identity;
        MessageBuilder::new(&mut self.out, &uuid::new_v4(), now)
            .text(TextHeader::Type, b"heka.sandbox-output")
            .text(TextHeader::Logger, &identity.name)
            .severity(7)
            .text(TextHeader::Payload, &self.payload)
            .pid(identity.pid)
            .text(TextHeader::Hostname, &identity.hostname)
            .string_field(b"payload_type", kind, b"file-extension")
            .string_field(b"payload_name", name, b"");
    }

    /// The first injection changes the message at hand; later ones begin anew with its main headers.
    fn put_decoded_payload(&mut self, kind: &[u8], name: &[u8]) {
        let first = self.ends.is_empty();
        let original = self.at_hand.view().and_then(|view| {
            let mut message = schema::Message::decode(view.bytes()).ok()?;
            if !first {
                message.uuid = uuid::derived(view.uuid(), self.ends.len()).to_vec();
                message.env_version = None;
                message.fields.clear();
            }
            Some(message)
        });
        let mut message = original.unwrap_or_else(|| schema::Message {
            uuid: uuid::new_v4().to_vec(),
            timestamp: self.now(),
            ..schema::Message::default()
        });
        message.payload = Some(self.payload.clone());
        message.encode_into(&mut self.out);
        MessageBuilder::more(&mut self.out).string_field(b"payload_type", kind, b"file-extension").string_field(
            b"payload_name",
            name,
            b"",
        );
    }

    /// A complete message.
    fn inject_encoded(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        const UNREADABLE: &str = "inject_message() protobuf unmarshal failed";
        MessageView::new(bytes).ok_or(UNREADABLE)?;
        let mut message = schema::Message::decode(bytes).map_err(|_| UNREADABLE)?;
        match self.identity.kind {
            Kind::Encoder => {}
            Kind::Filter => {
                let identity = &self.identity;
                message.r#type = Some([TYPE_PREFIX, &message.r#type.unwrap_or_default()].concat());
                message.logger = Some(identity.name.clone());
                message.hostname = Some(identity.hostname.clone());
            }
            Kind::Decoder => {
                if let Some(original) = self.at_hand.view() {
                    let text = |slot: &mut Option<Vec<u8>>, header| {
                        if slot.is_none() {
                            *slot = original.text(header).map(<[u8]>::to_vec);
                        }
                    };
                    text(&mut message.r#type, TextHeader::Type);
                    text(&mut message.logger, TextHeader::Logger);
                    text(&mut message.hostname, TextHeader::Hostname);
                    message.severity = message.severity.or(original.severity());
                    message.pid = message.pid.or(original.pid());
                }
            }
        }
        message.timestamp = self.in_zone(message.timestamp);
        message.encode_into(&mut self.out);
        if self.close_message() { Ok(()) } else { Err("inject_message() output_limit exceeded") }
    }

    /// Of an encoder's injections only the last one leaves.
    fn begin_message(&mut self) {
        if self.identity.kind == Kind::Encoder {
            self.out.clear();
            self.ends.clear();
        }
        // An earlier call may have been ended by an error half-way.
        let start = self.ends.last().copied().unwrap_or(0);
        self.out.truncate(start);
    }

    /// What was appended behind the last injected message becomes one, if it keeps the limit.
    pub fn close_message(&mut self) -> bool {
        let start = self.ends.last().copied().unwrap_or(0);
        let size = self.out.len() - start;
        if self.output_limit > 0 && (size > self.output_limit || self.out.len() > MOST_OUTPUT) {
            self.out.truncate(start);
            return false;
        }
        self.max_output = self.max_output.max(size);
        self.ends.push(self.out.len());
        true
    }

    unsafe fn inject_table(&mut self, state: State) -> Result<(), &'static str> {
        let (at_hand, identity): (*const AtHand, *const Identity) = (&self.at_hand, &self.identity);
        // SAFETY: encoding writes into the host, but neither to the message at hand nor to the identity; the table is
        // argument 1.
        unsafe {
            let origin = match ((*identity).kind, (*at_hand).view()) {
                (Kind::Filter, _) => Origin::Filter(&*identity),
                (Kind::Decoder, Some(view)) => Origin::Inherit(view.headers()),
                _ => Origin::Nobody,
            };
            encode::message(state, 1, self, origin)
        }
    }
}

pub unsafe extern "C-unwind" fn inject_message(state: State) -> c_int {
    // SAFETY: no script runs while the host is borrowed.
    unsafe {
        let count = ffi::lua_gettop(state);
        if count > 2 {
            raise(state, "inject_message() takes a maximum of 2 arguments");
        }
        let host: *mut Host = Host::of(state);
        match ffi::lua_type(state, 1) {
            ffi::LUA_TTABLE => {
                check_limit(state, "inject_message");
                (*host).begin_message();
                (*host).payload.clear();
                if let Err(reason) = (*host).inject_table(state) {
                    (*host).raise(state, format!("inject_message() could not encode protobuf - {reason}"));
                }
                if !(*host).close_message() {
                    raise(state, "inject_message() output_limit exceeded");
                }
                0
            }
            // The first generation's form: the payload buffer, its type and name. A message begins with its uuid.
            ffi::LUA_TNONE if (*host).payload.is_empty() => {
                raise(state, "inject_message() takes a single string or table argument");
            }
            ffi::LUA_TNONE => finish_payload(state, "inject_message", b"", b""),
            ffi::LUA_TSTRING => {
                let text = raw::string(state, 1).unwrap_or_default();
                let encoded = text.len() >= 20 && text.contains(&0x0a);
                if text.is_empty() && count == 1 {
                    return 0;
                }
                if encoded || count == 1 && (text.len() > 64 || (*host).payload.is_empty()) {
                    check_limit(state, "inject_message");
                    (*host).begin_message();
                    (*host).payload.clear();
                    if let Err(message) = (*host).inject_encoded(text) {
                        raise(state, message);
                    }
                    return 0;
                }
                let name = if count == 2 { check_bytes(state, 2) } else { b"" };
                finish_payload(state, "inject_message", text, name)
            }
            // A circular buffer, which replaces what was in the payload.
            _ => {
                let Some(format) = native::circular_buffer_format(state, 1) else {
                    raise(state, "inject_message() takes a single string or table argument");
                };
                let name = if count == 2 { check_bytes(state, 2) } else { b"" };
                (*host).payload.clear();
                ffi::lua_settop(state, 2);
                ffi::lua_pushvalue(state, 1);
                append_arguments(state, 3, "inject_message", false);
                finish_payload(state, "inject_message", format.as_bytes(), name)
            }
        }
    }
}
