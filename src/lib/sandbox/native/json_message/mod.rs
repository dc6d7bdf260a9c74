//! `native_json`: the decoder of JSON objects, without tables in between.
//!
//! An object is read in one go where it is simple, as most are ([`fast`]), else as a tree ([`tree`]); so fields have the
//! object's order, and numbers their digits.

mod fast;
mod tree;

use std::borrow::Cow;
use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;

use mlua::ffi;

use super::super::host::{Host, in_zone};
use super::super::raw::{self, State};
use super::super::write::whole_ns;
use super::cjson::{Lexer, Token};
use crate::message::{MessageBuilder, TextHeader, uuid};

/// What begins a text in UTF-8, now and then.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How a script wants its messages.
struct Options {
    message_type: Vec<u8>,
    payload_keep: bool,
    separator: Vec<u8>,
    maximum_depth: usize,
    /// Every number is a double, as Heka had them.
    doubles: bool,
    /// Every time is for the script to read, not only texts.
    time_format: bool,
    /// Keys, and what their values become.
    headers: Vec<(Vec<u8>, Target)>,
}

/// The header that a value becomes.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// Nanoseconds.
    Timestamp,
    Uuid,
    Severity,
    Pid,
    Text(TextHeader),
}

/// What is kept between messages.
#[derive(Default)]
pub struct Workshop {
    options: Vec<Options>,
    parts: Parts,
}

/// A value that holds no other.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Null,
    Bool(bool),
    Text(&'a [u8]),
    /// What it is worth, and its digits.
    Number(f64, &'a [u8]),
}

impl<'a> Scalar<'a> {
    /// What a token is; `buffer` was given to the lexer. Nothing for brackets and the like.
    #[inline]
    fn of(token: Token, lexer: &'a Lexer<'_>, buffer: &'a [u8]) -> Option<Scalar<'a>> {
        match token {
            Token::Null => Some(Scalar::Null),
            Token::Bool(flag) => Some(Scalar::Bool(flag)),
            Token::Text => Some(Scalar::Text(lexer.text_of(buffer))),
            Token::Number(number) => Some(Scalar::Number(number, lexer.source())),
            _ => None,
        }
    }
}

/// What a number becomes in a field.
enum Number<'a> {
    Integer(i64),
    Double(f64),
    /// A whole number that neither holds.
    Digits(&'a [u8]),
}

impl<'a> Number<'a> {
    #[inline]
    fn of(number: f64, digits: &'a [u8], options: &Options) -> Number<'a> {
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        if options.doubles || !unsigned.iter().all(u8::is_ascii_digit) {
            return Number::Double(number);
        }
        // A double holds so many digits.
        if unsigned.len() <= 15 {
            return Number::Integer(number as i64);
        }
        let integer = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        integer.map_or(Number::Digits(digits), Number::Integer)
    }
}

/// What has been read of an object.
#[derive(Default)]
struct Parts {
    /// The name of the value at hand: keys joined.
    name: Vec<u8>,
    /// A hash of each name.
    names: Vec<u64>,
    /// A text that is not in the line as it is meant.
    text: Vec<u8>,
    fields: Vec<u8>,
    timestamp: Option<i64>,
    /// A time that the script has to read: where it is in `texts`.
    time: Option<Range<usize>>,
    uuid: Option<[u8; 16]>,
    severity: Option<i32>,
    pid: Option<i32>,
    /// Texts of headers, one after the other, and whose they are.
    texts: Vec<u8>,
    headers: Vec<(TextHeader, Range<usize>)>,
}

impl Parts {
    fn clear(&mut self) {
        self.name.clear();
        self.names.clear();
        self.fields.clear();
        self.texts.clear();
        self.headers.clear();
        (self.timestamp, self.uuid, self.severity, self.pid) = (None, None, None, None);
        self.time = None;
    }

    fn keep(&mut self, text: &[u8]) -> Range<usize> {
        let start = self.texts.len();
        self.texts.extend_from_slice(text);
        start..self.texts.len()
    }

    fn header(&self, header: TextHeader) -> Option<&[u8]> {
        let (_, range) = self.headers.iter().find(|(of, _)| *of == header)?;
        self.texts.get(range.clone())
    }

    /// A value for a header. False when it is of another type, and so stays a field.
    fn take(&mut self, target: Target, value: Scalar<'_>, options: &Options) -> Result<bool, &'static str> {
        let whole = |number: f64| (f64::from(number as i32) == number).then_some(number as i32);
        match (target, value) {
            (_, Scalar::Null) => {}
            (Target::Timestamp, Scalar::Number(number, digits)) if !options.time_format => {
                self.timestamp = Some(match Number::of(number, digits, options) {
                    Number::Integer(ns) => ns,
                    _ => whole_ns(number),
                });
            }
            (Target::Timestamp, Scalar::Text(text) | Scalar::Number(_, text)) => self.time = Some(self.keep(text)),
            (Target::Timestamp, Scalar::Bool(_)) => return Err(BAD_TIME),
            (Target::Severity, Scalar::Number(number, _)) => {
                self.severity = whole(number);
                return Ok(self.severity.is_some());
            }
            (Target::Pid, Scalar::Number(number, _)) => {
                self.pid = whole(number);
                return Ok(self.pid.is_some());
            }
            (Target::Uuid, Scalar::Text(text)) => {
                self.uuid = text.try_into().ok();
                return Ok(self.uuid.is_some());
            }
            (Target::Text(header), Scalar::Text(text))
            | (Target::Text(header @ TextHeader::EnvVersion), Scalar::Number(_, text)) => {
                let range = self.keep(text);
                self.headers.push((header, range));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

const BAD_TIME: &str = "Failed to decode timestamp.";

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut c_void) {
    // SAFETY: leaves one value.
    unsafe { super::push_library(state, host, &[(c"decoder", decoder)]) };
}

/// `decoder(options, read_time)`: a `process_message`. `options` has `type`, `separator`, `payload_keep`, `maximum_depth`,
/// `doubles`, and `headers`: the key of each header that is to be taken from the object. `read_time` makes nanoseconds of
/// the text of a time, or nil; with `time_format` of a number's text, too.
unsafe extern "C-unwind" fn decoder(state: State) -> c_int {
    // SAFETY: pushes a few values, of which the closure takes three. What needs a destructor is made where nothing raises.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        ffi::lua_settop(state, 2);
        let targets: [(&CStr, Target); 9] = [
            (c"Timestamp", Target::Timestamp),
            (c"Uuid", Target::Uuid),
            (c"Severity", Target::Severity),
            (c"Pid", Target::Pid),
            (c"Type", Target::Text(TextHeader::Type)),
            (c"Logger", Target::Text(TextHeader::Logger)),
            (c"Payload", Target::Text(TextHeader::Payload)),
            (c"EnvVersion", Target::Text(TextHeader::EnvVersion)),
            (c"Hostname", Target::Text(TextHeader::Hostname)),
        ];
        ffi::lua_getfield(state, 1, c"headers".as_ptr());
        ffi::luaL_checktype(state, 3, ffi::LUA_TTABLE);
        for (name, _) in targets {
            ffi::lua_getfield(state, 3, name.as_ptr());
        }
        for name in [c"type", c"separator", c"payload_keep", c"maximum_depth", c"doubles", c"time_format"] {
            ffi::lua_getfield(state, 1, name.as_ptr());
        }
        let bytes = |index| raw::string(state, index).map(<[u8]>::to_vec);
        let keys = targets.iter().zip(4..).filter_map(|((_, target), index)| Some((bytes(index)?, *target)));
        let options = Options {
            headers: keys.collect(),
            message_type: bytes(13).unwrap_or_default(),
            separator: bytes(14).unwrap_or_default(),
            payload_keep: ffi::lua_toboolean(state, 15) != 0,
            maximum_depth: raw::number(state, 16).map_or(usize::MAX, |depth| depth as usize),
            doubles: ffi::lua_toboolean(state, 17) != 0,
            time_format: ffi::lua_toboolean(state, 18) != 0,
        };
        let all = &mut Host::of(state).json_messages.options;
        all.push(options);
        let place = all.len() - 1;
        ffi::lua_pushlightuserdata(state, raw::upvalue(state));
        ffi::lua_pushinteger(state, place as ffi::lua_Integer);
        ffi::lua_pushvalue(state, 2);
        ffi::lua_pushcclosure(state, decode, 3);
        1
    }
}

unsafe extern "C-unwind" fn decode(state: State) -> c_int {
    // SAFETY: see `decoder`; nothing raises while the host is borrowed.
    unsafe {
        let host: *mut Host = Host::of(state);
        let place = ffi::lua_tointeger(state, ffi::lua_upvalueindex(2)) as usize;
        let size = (*host).at_hand.view().map_or(0, |view| view.payload().len());
        if let Some(budget) = (*host).budget.as_ref() {
            budget.charge(state, size / 8);
        }
        if let Err(words) = (*host).read_json(place) {
            (*host).push_rejection(state, words);
            return 2;
        }
        let parts = &mut (*host).json_messages.parts;
        if let Some(text) = parts.time.clone() {
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(3));
            raw::push_bytes(state, parts.texts.get(text).unwrap_or_default());
            ffi::lua_call(state, 1, 1);
            let Some(ns) = raw::number(state, -1) else {
                (*host).push_rejection(state, BAD_TIME.into());
                return 2;
            };
            (*host).json_messages.parts.timestamp = Some(whole_ns(ns));
        }
        if !(*host).inject_json(place) {
            raw::raise(state, "inject_message() output_limit exceeded");
        }
        ffi::lua_pushinteger(state, 0);
        1
    }
}

impl Host {
    /// What `process_message` answers where a message is rejected.
    unsafe fn push_rejection(&mut self, state: State, words: Cow<'static, str>) {
        self.error = words.into();
        // SAFETY: two pushes; the text is kept in the host, since what is local would leak where a push raises.
        unsafe {
            ffi::lua_pushinteger(state, -1);
            raw::push_bytes(state, self.error.as_bytes());
        }
    }

    /// Reads the object into the parts of a message.
    fn read_json(&mut self, place: usize) -> Result<(), Cow<'static, str>> {
        let Host { at_hand, json_messages: Workshop { options, parts }, json, output_limit, .. } = self;
        let Some(options) = options.get(place) else { return Ok(()) };
        let line = at_hand.view().map(|view| view.headers().text(TextHeader::Payload).unwrap_or_default());
        let line = line.unwrap_or_default();
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        // Long names come again with each value of an array: no more than can leave.
        let limit = if *output_limit > 0 { *output_limit } else { usize::MAX };
        match fast::read(parts, Lexer::new(line, json.decode_invalid), options, limit) {
            Ok(()) => Ok(()),
            Err(fast::NotSimple) => tree::read(parts, Lexer::new(line, json.decode_invalid), options, limit),
        }
    }

    /// Makes the message. False where it is longer than it may be.
    fn inject_json(&mut self, place: usize) -> bool {
        let Host { at_hand, json_messages: Workshop { options, parts }, zone, out, .. } = self;
        let (Some(options), Some(view)) = (options.get(place), at_hand.view()) else { return true };
        let original = view.headers();
        // An object without a time keeps the message's.
        let time = parts.timestamp.map_or_else(|| view.timestamp(), |ns| in_zone(zone.as_ref(), ns));
        let id = parts.uuid.unwrap_or_else(|| uuid::derived(view.uuid(), 0));
        let mut builder = MessageBuilder::new(out, &id, time);
        let text = |builder: &mut MessageBuilder<'_>, header, otherwise: Option<&[u8]>| {
            if let Some(text) = parts.header(header).or(otherwise) {
                builder.text(header, text);
            }
        };
        text(&mut builder, TextHeader::Type, Some(&options.message_type));
        text(&mut builder, TextHeader::Logger, original.text(TextHeader::Logger));
        if let Some(severity) = parts.severity.or(original.severity) {
            builder.severity(severity);
        }
        if options.payload_keep {
            let line = original.text(TextHeader::Payload).unwrap_or_default();
            builder.text(TextHeader::Payload, line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line));
        } else {
            text(&mut builder, TextHeader::Payload, None);
        }
        text(&mut builder, TextHeader::EnvVersion, None);
        if let Some(pid) = parts.pid.or(original.pid) {
            builder.pid(pid);
        }
        text(&mut builder, TextHeader::Hostname, original.text(TextHeader::Hostname));
        out.extend_from_slice(&parts.fields);
        self.close_message()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "-?[0-9]{1,17}(\\.[0-9]{1,3})?(e[0-9])?",
            "\"[a-z.\\\\u0041é ]{0,6}\"",
            Just("true".to_string()),
            Just("null".to_string()),
            Just("0x1F".to_string()),
            Just("\"16 bytes are here\"".to_string()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let member = ("(a|b|c|d|a\\.b|t|h|é|)", inner.clone());
            prop_oneof![
                proptest::collection::vec(member, 0..5).prop_map(|members| {
                    let members: Vec<String> =
                        members.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                    format!("{{{}}}", members.join(", "))
                }),
                proptest::collection::vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(","))),
            ]
        })
    }

    fn options(mapped: bool) -> Options {
        let text = |header| Target::Text(header);
        let headers = [
            ("t", Target::Timestamp),
            ("h", text(TextHeader::Hostname)),
            ("a", Target::Severity),
            ("b", text(TextHeader::EnvVersion)),
            ("c", Target::Uuid),
        ];
        Options {
            message_type: b"json".into(),
            payload_keep: false,
            separator: b".".into(),
            maximum_depth: if mapped { 3 } else { usize::MAX },
            doubles: mapped,
            time_format: false,
            headers: headers.into_iter().filter(|_| mapped).map(|(key, of)| (key.into(), of)).collect(),
        }
    }

    /// What is read, but for room to work in.
    fn read(parts: &Parts) -> impl PartialEq + std::fmt::Debug {
        let headers = (parts.timestamp, parts.time.clone(), parts.uuid, parts.severity, parts.pid);
        let texts: Vec<_> = parts.headers.iter().map(|(of, range)| (format!("{of:?}"), range.clone())).collect();
        (parts.fields.clone(), headers, texts, parts.texts.clone())
    }

    proptest! {
        #[test]
        fn what_is_simple_is_read_as_a_tree_would_be(line in value(), mapped in any::<bool>()) {
            let options = options(mapped);
            let (mut simple, mut whole) = (Parts::default(), Parts::default());
            let lexer = || Lexer::new(line.as_bytes(), true);
            if fast::read(&mut simple, lexer(), &options, usize::MAX).is_ok() {
                tree::read(&mut whole, lexer(), &options, usize::MAX).unwrap();
                prop_assert_eq!(read(&simple), read(&whole), "{}", line);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(line in ".{0,60}") {
            let _ = tree::read(&mut Parts::default(), Lexer::new(line.as_bytes(), true), &options(true), 1000);
        }
    }

    /// A long name and many values: the fields would be 500 MB.
    #[test]
    fn no_more_fields_are_made_than_can_leave() {
        let line = format!("{{\"{}\": [{}1]}}", "k".repeat(32_000), "1,".repeat(16_000));
        let mut parts = Parts::default();
        let lexer = Lexer::new(line.as_bytes(), true);
        assert!(fast::read(&mut parts, lexer, &options(false), 1 << 20).is_err());
        tree::read(&mut parts, Lexer::new(line.as_bytes(), true), &options(false), 1 << 20).unwrap();
        assert!((1 << 20..1 << 21).contains(&parts.fields.len()), "{}", parts.fields.len());
    }
}
