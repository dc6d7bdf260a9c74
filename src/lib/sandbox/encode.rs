//! A Lua table as a message.
//!
//! Walks the table through the C API and appends the protobuf to the host's buffer; nothing is built in between.
//! Whoever calls these functions truncates the buffer when a Lua error ends one of them half-way.

use std::ffi::c_int;

use mlua::ffi;

use super::host::{Host, Identity};
use super::native;
use super::raw::{self, State};
use super::record;
use super::sorted::Piece;
use super::write::whole_ns;
use crate::message::wire::{FIELD, FIELD_NAME, Reader, close_length, put_bytes, put_varint};
use crate::message::{Headers, MessageBuilder, TextHeader, ValueType, uuid};
use crate::pipeline::report_once;

/// Tables within `value=` of tables.
const MAX_DEPTH: usize = 16;

/// Where headers come from that are not the table's.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    Nobody,
    /// From the message at hand, where the table lacks them.
    Inherit(Headers<'a>),
    /// Whatever the table says: the filter's name and host; and its Type shows that a sandbox made it.
    Filter(&'a Identity),
}

/// What a filter's types begin with.
pub const TYPE_PREFIX: &[u8] = b"heka.sandbox.";

/// Encodes the table at `table`.
///
/// # Safety
/// `state` is the running state, `table` an absolute index of a table on its stack.
pub unsafe fn message(state: State, table: c_int, host: &mut Host, origin: Origin<'_>) -> Result<(), &'static str> {
    // SAFETY: every access is to slots that are pushed and popped here.
    unsafe {
        if ffi::lua_checkstack(state, 20) == 0 {
            return Err("stack overflow");
        }
        if record::is_record(state, table) {
            record::fill(state, table, host);
        }
        if host.looked_at < LOOK_AT {
            host.looked_at += 1;
            look(state, table);
        }
        let inherit = match origin {
            Origin::Inherit(headers) => Some(headers),
            _ => None,
        };
        let from = |header: TextHeader| inherit.and_then(|headers| headers.text(header));

        header(state, table, host, Key::Uuid);
        match raw::string(state, -1).and_then(|text| <[u8; 16]>::try_from(text).ok().or_else(|| uuid::parse(text))) {
            Some(id) => put_bytes(&mut host.out, 0x0a, &id),
            // Of a message that is decoded again the same comes out.
            None => {
                let original = host.at_hand.view().filter(|_| matches!(origin, Origin::Inherit(_)));
                let id = original.map_or_else(uuid::new_v4, |view| uuid::derived(view.uuid(), host.ends.len()));
                put_bytes(&mut host.out, 0x0a, &id);
            }
        }
        ffi::lua_pop(state, 1);

        header(state, table, host, Key::Timestamp);
        let timestamp = match raw::number(state, -1) {
            Some(number) => whole_ns(number),
            // As Heka: now, in whole seconds.
            None => host.now() / 1_000_000_000 * 1_000_000_000,
        };
        ffi::lua_pop(state, 1);
        let timestamp = host.in_zone(timestamp);
        host.out.push(0x10);
        put_varint(&mut host.out, timestamp as u64);

        match origin {
            Origin::Filter(identity) => {
                header(state, table, host, Key::Type);
                let of_table = raw::string_or_number(state, -1).unwrap_or_default();
                host.out.push(0x1a);
                put_varint(&mut host.out, (TYPE_PREFIX.len() + of_table.len()) as u64);
                host.out.extend_from_slice(TYPE_PREFIX);
                host.out.extend_from_slice(of_table);
                ffi::lua_pop(state, 1);
                put_bytes(&mut host.out, 0x22, &identity.name);
            }
            _ => {
                text(state, table, Key::Type, 0x1a, host, from(TextHeader::Type));
                text(state, table, Key::Logger, 0x22, host, from(TextHeader::Logger));
            }
        }
        integer(state, table, Key::Severity, 0x28, host, inherit.and_then(|headers| headers.severity));
        text(state, table, Key::Payload, 0x32, host, None);
        text(state, table, Key::EnvVersion, 0x3a, host, None);
        integer(state, table, Key::Pid, 0x40, host, inherit.and_then(|headers| headers.pid));
        match origin {
            Origin::Filter(identity) => put_bytes(&mut host.out, 0x4a, &identity.hostname),
            _ => text(state, table, Key::Hostname, 0x4a, host, from(TextHeader::Hostname)),
        }

        header(state, table, host, Key::Fields);
        if ffi::lua_type(state, -1) == ffi::LUA_TTABLE {
            fields(state, host)?;
        }
        ffi::lua_pop(state, 1);
    }
    Ok(())
}

/// Tables of a script in which what is left out is looked for: the first ones say it.
const LOOK_AT: u32 = 100;

/// Says what of a message's table is no header, or has another type than the header, and so is left out.
unsafe fn look(state: State, table: c_int) {
    let headers = &KEYS[..=Key::Fields as usize];
    // SAFETY: reads slots; `lua_next` is given the key that it left, and nothing is converted in place.
    unsafe {
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, table) != 0 {
            let (key, kind) = (raw::string(state, -2), ffi::lua_type(state, -1));
            let is_number = raw::number(state, -1).is_some();
            let fits = |key: &str| match key {
                "Fields" => kind == ffi::LUA_TTABLE,
                "Timestamp" | "Severity" | "Pid" => is_number,
                _ => kind == ffi::LUA_TSTRING || kind == ffi::LUA_TNUMBER,
            };
            if let Some(key) = key.map(String::from_utf8_lossy) {
                match headers.iter().find(|header| **header == key) {
                    Some(header) if fits(header) => {}
                    Some(header) => {
                        let (kind, wanted) = match *header {
                            "Timestamp" => ("messages whose Timestamp is left out", "nanoseconds"),
                            "Severity" => ("messages whose Severity is left out", "a number"),
                            "Pid" => ("messages whose Pid is left out", "a number"),
                            "Fields" => ("messages whose Fields are left out", "a table"),
                            _ => ("messages with a header that is left out", "a text"),
                        };
                        report_once(kind, || {
                            format!("inject_message: {header} is {wanted}, not what the script gives; it is left out")
                        });
                    }
                    None => report_once("keys of messages that are no headers", || {
                        let meant = headers.iter().find(|header| header.eq_ignore_ascii_case(&key));
                        let meant = meant.map_or(String::new(), |header| format!(" ({header} is)"));
                        format!(
                            "inject_message: {key} is no header{meant} and is left out; other data goes into Fields"
                        )
                    }),
                }
            }
            ffi::lua_settop(state, -2);
        }
    }
}

/// The keys of tables that are encoded. Their strings are made once and kept in the registry: making them anew costs as much
/// as the rest of a small message (nine of them some 0.2 µs).
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Key {
    Uuid,
    Timestamp,
    Type,
    Logger,
    Severity,
    Payload,
    EnvVersion,
    Pid,
    Hostname,
    Fields,
    Name,
    Value,
    ValueType,
    Representation,
}

const KEYS: [&str; 14] = [
    "Uuid",
    "Timestamp",
    "Type",
    "Logger",
    "Severity",
    "Payload",
    "EnvVersion",
    "Pid",
    "Hostname",
    "Fields",
    "name",
    "value",
    "value_type",
    "representation",
];

/// Where the registry has each key.
pub type Keys = [c_int; KEYS.len()];

/// Makes the keys.
///
/// # Safety
/// Runs in a protected call.
pub unsafe fn make_keys(state: State) -> Keys {
    // SAFETY: one push, taken by the registry.
    KEYS.map(|key| unsafe {
        raw::push_bytes(state, key.as_bytes());
        ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX)
    })
}

/// Pushes what a table has under a key. Without metamethods, so no script runs while the host is borrowed.
#[inline]
unsafe fn header(state: State, table: c_int, host: &Host, key: Key) {
    // SAFETY: one push, which the value replaces.
    unsafe {
        ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, host.keys[key as usize] as i64);
        ffi::lua_rawget(state, table);
    }
}

#[inline]
unsafe fn text(state: State, table: c_int, name: Key, tag: u8, host: &mut Host, inherited: Option<&[u8]>) {
    // SAFETY: reads the value that was just pushed, then pops it.
    unsafe {
        header(state, table, host, name);
        if let Some(value) = raw::string_or_number(state, -1) {
            put_bytes(&mut host.out, tag, value);
        } else if let Some(value) = inherited {
            put_bytes(&mut host.out, tag, value);
        }
        ffi::lua_pop(state, 1);
    }
}

unsafe fn integer(state: State, table: c_int, name: Key, tag: u8, host: &mut Host, inherited: Option<i32>) {
    // SAFETY: reads the value that was just pushed, then pops it.
    unsafe {
        header(state, table, host, name);
        let value = raw::number(state, -1).map(|number| number as i64).or(inherited.map(i64::from));
        if let Some(value) = value {
            host.out.push(tag);
            put_varint(&mut host.out, value as u64);
        }
        ffi::lua_pop(state, 1);
    }
}

/// The table on top of the stack: a hash of names, or an array of `{name=, value=, …}`.
unsafe fn fields(state: State, host: &mut Host) -> Result<(), &'static str> {
    // SAFETY: `lua_next` is given the key that it left; keys are not converted in place. Pops balance pushes on the
    // way that goes on; an error ends the call, and with it the stack frame.
    unsafe {
        let table = ffi::lua_gettop(state);
        if record::is_record(state, table) {
            record::put_fields(state, table, host);
        }
        ffi::lua_rawgeti(state, table, 1);
        let array = ffi::lua_type(state, -1) == ffi::LUA_TTABLE;
        ffi::lua_pop(state, 1);
        if array {
            for place in 1.. {
                ffi::lua_rawgeti(state, table, place);
                let entry = ffi::lua_gettop(state);
                if ffi::lua_type(state, entry) != ffi::LUA_TTABLE {
                    ffi::lua_pop(state, 1);
                    break;
                }
                header(state, entry, host, Key::Name);
                let name = raw::string_or_number(state, -1).ok_or("field name must be a string")?;
                field(state, entry, name, host)?;
                ffi::lua_settop(state, table);
            }
            return Ok(());
        }
        let begun = host.pieces.begin(0);
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, table) != 0 {
            let value = ffi::lua_gettop(state);
            let start = host.out.len();
            match ffi::lua_type(state, value - 1) {
                ffi::LUA_TSTRING => {
                    let name = raw::string(state, value - 1).unwrap_or_default();
                    field(state, value, name, host)?;
                }
                ffi::LUA_TNUMBER => {
                    // A copy of the key becomes text; the key itself has to stay what it is.
                    ffi::lua_pushvalue(state, value - 1);
                    let name = raw::string_or_number(state, -1).unwrap_or_default();
                    field(state, value, name, host)?;
                }
                // What a record keeps for itself.
                ffi::LUA_TLIGHTUSERDATA => {}
                _ => return Err("field name must be a string"),
            }
            ffi::lua_settop(state, value - 1);
            let end = host.out.len();
            if let Some(key) = name_of(&host.out, start) {
                host.pieces.push(Piece { start, key, end });
            }
        }
        host.pieces.end(begun, &mut host.out, b"");
    }
    Ok(())
}

/// Where the name is of the field that begins there.
fn name_of(out: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut reader = Reader::at(out, start);
    let body = reader.element(FIELD)?;
    let name = Reader::new(body).element(FIELD_NAME)?;
    let from = name.as_ptr() as usize - out.as_ptr() as usize;
    Some((from, from + name.len()))
}

/// What a field says beside its values.
#[derive(Clone, Copy)]
struct Described<'a> {
    name: &'a [u8],
    representation: &'a [u8],
    value_type: Option<i64>,
}

unsafe fn field(state: State, value: c_int, name: &[u8], host: &mut Host) -> Result<(), &'static str> {
    let described = Described { name, representation: b"", value_type: None };
    // SAFETY: `value` is an absolute index of the caller's.
    unsafe { values(state, value, described, host, 0) }
}

/// A scalar, an array of them, or a table that describes one of these. Leaves what it pushes to its caller.
unsafe fn values(
    state: State,
    value: c_int,
    described: Described<'_>,
    host: &mut Host,
    depth: usize,
) -> Result<(), &'static str> {
    // SAFETY: `value` is an absolute index; every other slot that is read was pushed here. Pushes are few a level and
    // levels are limited; room is asked for.
    unsafe {
        match ffi::lua_type(state, value) {
            ffi::LUA_TSTRING | ffi::LUA_TNUMBER | ffi::LUA_TBOOLEAN => {
                let start = open(state, value, described, host)?;
                scalar(state, value, described, host);
                close_length(&mut host.out, start);
                Ok(())
            }
            ffi::LUA_TTABLE => {
                if depth == MAX_DEPTH || ffi::lua_checkstack(state, 8) == 0 {
                    return Err("excessive nesting");
                }
                ffi::lua_rawgeti(state, value, 1);
                let first = ffi::lua_gettop(state);
                match ffi::lua_type(state, first) {
                    ffi::LUA_TSTRING | ffi::LUA_TNUMBER | ffi::LUA_TBOOLEAN => array(state, value, described, host),
                    ffi::LUA_TNIL => {
                        header(state, value, host, Key::Representation);
                        let representation = raw::string_or_number(state, -1).unwrap_or(described.representation);
                        header(state, value, host, Key::ValueType);
                        let value_type = raw::number(state, -1).map(|number| number as i64).or(described.value_type);
                        header(state, value, host, Key::Value);
                        let inner = ffi::lua_gettop(state);
                        let described = Described { representation, value_type, ..described };
                        values(state, inner, described, host, depth + 1)
                    }
                    ffi::LUA_TTABLE => Err("unsupported array type: table"),
                    _ => Err("unsupported array type"),
                }
            }
            // A table without a value: nested data, or what has none.
            ffi::LUA_TNIL => Err("unsupported type: nil"),
            ffi::LUA_TUSERDATA => {
                let Some(output) = native::class_of(state, value).and_then(|class| class.output) else {
                    return Err("user data object does not implement lsb_output");
                };
                host.scratch.clear();
                output(state, value, &mut host.scratch);
                let Host { out, scratch, .. } = host;
                MessageBuilder::more(out)
                    .field(described.name, ValueType::Bytes, described.representation, |values| values.bytes(scratch));
                Ok(())
            }
            ffi::LUA_TFUNCTION => Err("unsupported type: function"),
            ffi::LUA_TTHREAD => Err("unsupported type: thread"),
            _ => Err("unsupported type: userdata"),
        }
    }
}

/// Begins a field for values of the type at `value`; answers where its length belongs.
unsafe fn open(state: State, value: c_int, described: Described<'_>, host: &mut Host) -> Result<usize, &'static str> {
    // SAFETY: reads the type of a slot.
    let value_type = match (unsafe { ffi::lua_type(state, value) }, described.value_type) {
        (ffi::LUA_TSTRING, None | Some(0)) => ValueType::String,
        (ffi::LUA_TSTRING, Some(1)) => ValueType::Bytes,
        (ffi::LUA_TSTRING, Some(_)) => return Err("invalid string value_type"),
        (ffi::LUA_TNUMBER, None | Some(3)) => ValueType::Double,
        (ffi::LUA_TNUMBER, Some(2)) => ValueType::Integer,
        (ffi::LUA_TNUMBER, Some(_)) => return Err("invalid numeric value_type"),
        (_, None | Some(4)) => ValueType::Bool,
        _ => return Err("invalid boolean value_type"),
    };
    let out = &mut host.out;
    out.extend_from_slice(&[0x52, 0]);
    let start = out.len() - 1;
    put_bytes(out, 0x0a, described.name);
    if value_type != ValueType::String {
        out.extend_from_slice(&[0x10, value_type as u8]);
    }
    if !described.representation.is_empty() {
        put_bytes(out, 0x1a, described.representation);
    }
    Ok(start)
}

/// One value with its tag.
unsafe fn scalar(state: State, value: c_int, described: Described<'_>, host: &mut Host) {
    let out = &mut host.out;
    // SAFETY: reads a slot of a type that was just looked at.
    unsafe {
        match ffi::lua_type(state, value) {
            ffi::LUA_TSTRING => {
                let tag = if described.value_type == Some(1) { 0x2a } else { 0x22 };
                put_bytes(out, tag, raw::string(state, value).unwrap_or_default());
            }
            ffi::LUA_TNUMBER if described.value_type == Some(2) => {
                out.push(0x30);
                put_varint(out, ffi::lua_tonumber(state, value) as i64 as u64);
            }
            ffi::LUA_TNUMBER => {
                out.push(0x39);
                out.extend_from_slice(&ffi::lua_tonumber(state, value).to_le_bytes());
            }
            _ => out.extend_from_slice(&[0x40, ffi::lua_toboolean(state, value) as u8]),
        }
    }
}

/// The elements 1 to n of the table at `table`, whose first is on top of the stack.
unsafe fn array(state: State, table: c_int, described: Described<'_>, host: &mut Host) -> Result<(), &'static str> {
    // SAFETY: one push and one pop for each element.
    unsafe {
        let first = ffi::lua_gettop(state);
        let kind = ffi::lua_type(state, first);
        let count = ffi::lua_objlen(state, table) as i64;
        let start = open(state, first, described, host)?;
        if count <= 1 {
            scalar(state, first, described, host);
            close_length(&mut host.out, start);
            return Ok(());
        }
        // Strings have a tag each; numbers and booleans share one (packed).
        let packed = match (kind, described.value_type) {
            (ffi::LUA_TSTRING, _) => None,
            (ffi::LUA_TNUMBER, Some(2)) => Some(0x32),
            (ffi::LUA_TNUMBER, _) => Some(0x3a),
            _ => Some(0x42),
        };
        let inner = packed.map(|tag| {
            host.out.extend_from_slice(&[tag, 0]);
            host.out.len() - 1
        });
        for place in 1..=count {
            ffi::lua_rawgeti(state, table, place);
            let element = ffi::lua_gettop(state);
            if ffi::lua_type(state, element) != kind {
                return Err("array has mixed types");
            }
            let at = host.out.len();
            scalar(state, element, described, host);
            if packed.is_some() {
                host.out.remove(at);
            }
            ffi::lua_pop(state, 1);
        }
        if let Some(inner) = inner {
            close_length(&mut host.out, inner);
        }
        close_length(&mut host.out, start);
    }
    Ok(())
}
