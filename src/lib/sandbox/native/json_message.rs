//! `native_json`: what the decoder of JSON objects does with most of them, without tables in between.
//!
//! It takes only what is simple: an object, no key that comes again, no name that two values would have, nothing to be
//! converted. Everything else, errors included, is left to the script's own function; so what a message becomes is said there.

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;

use mlua::ffi;
use xxhash_rust::xxh64::xxh64;

use super::super::host::{Host, in_zone};
use super::super::raw::{self, State};
use super::super::write::whole_ns;
use super::cjson::{Lexer, Token};
use crate::message::{MessageBuilder, TextHeader, now_ns, uuid};

/// Objects within objects.
const MAX_DEPTH: usize = 64;
/// Names in a message: each is compared with all before it.
const MAX_NAMES: usize = 256;

/// How a script wants its messages.
struct Options {
    message_type: Vec<u8>,
    payload_keep: bool,
    separator: Vec<u8>,
    maximum_depth: usize,
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
    timestamp: Option<f64>,
    uuid: Option<[u8; 16]>,
    severity: Option<i32>,
    pid: Option<i32>,
    /// Texts of headers, one after the other, and whose they are.
    texts: Vec<u8>,
    headers: Vec<(TextHeader, Range<usize>)>,
}

/// What is left to the script.
struct NotSimple;

/// Pushes the library.
///
/// # Safety
/// See [`super::open`].
pub unsafe fn open(state: State, host: *mut c_void) {
    // SAFETY: leaves one value.
    unsafe { super::push_library(state, host, &[(c"decoder", decoder)]) };
}

/// `decoder(options, otherwise)`: a `process_message` that calls `otherwise` for what isn't simple. `options` has `type`,
/// `separator`, `payload_keep`, `maximum_depth`, and `headers`: the key of each header that is to be taken from the object.
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
        for name in [c"type", c"separator", c"payload_keep", c"maximum_depth"] {
            ffi::lua_getfield(state, 1, name.as_ptr());
        }
        let bytes = |index| raw::string(state, index).map(<[u8]>::to_vec);
        let keys = targets.iter().zip(4..).filter_map(|((_, target), index)| Some((bytes(index)?, *target)));
        let options = Options {
            headers: keys.collect(),
            message_type: bytes(13).unwrap_or_default(),
            separator: bytes(14).unwrap_or_default(),
            payload_keep: ffi::lua_toboolean(state, 15) != 0,
            maximum_depth: raw::number(state, 16).map_or(MAX_DEPTH, |depth| depth as usize),
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
        match (*host).inject_json(place) {
            Ok(()) => {
                ffi::lua_pushinteger(state, 0);
                1
            }
            Err(NotSimple) => {
                ffi::lua_settop(state, 0);
                ffi::lua_pushvalue(state, ffi::lua_upvalueindex(3));
                ffi::lua_call(state, 0, 2);
                2
            }
        }
    }
}

impl Host {
    fn inject_json(&mut self, place: usize) -> Result<(), NotSimple> {
        let Host { at_hand, json_messages: Workshop { options, parts }, json, zone, clock, out, .. } = self;
        let options = options.get(place).ok_or(NotSimple)?;
        let original = at_hand.view().ok_or(NotSimple)?.headers();
        let line = original.text(TextHeader::Payload).unwrap_or_default();
        parts.clear();
        if json.decode_null {
            return Err(NotSimple);
        }
        let mut lexer = Lexer::new(line, json.decode_invalid);
        if lexer.next(&mut parts.text) != Token::ObjectBegin {
            return Err(NotSimple);
        }
        parts.object(&mut lexer, options, 1)?;
        if lexer.next(&mut parts.text) != Token::End {
            return Err(NotSimple);
        }

        // As an injected table: now, in whole seconds.
        let time =
            parts.timestamp.map_or_else(|| clock.unwrap_or_else(now_ns) / 1_000_000_000 * 1_000_000_000, whole_ns);
        let id = parts.uuid.unwrap_or_else(uuid::new_v4);
        let mut builder = MessageBuilder::new(out, &id, in_zone(zone.as_ref(), time));
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
            builder.text(TextHeader::Payload, line);
        } else {
            text(&mut builder, TextHeader::Payload, None);
        }
        text(&mut builder, TextHeader::EnvVersion, None);
        if let Some(pid) = parts.pid.or(original.pid) {
            builder.pid(pid);
        }
        text(&mut builder, TextHeader::Hostname, original.text(TextHeader::Hostname));
        out.extend_from_slice(&parts.fields);
        if self.close_message() { Ok(()) } else { Err(NotSimple) }
    }
}

impl Parts {
    fn clear(&mut self) {
        self.name.clear();
        self.names.clear();
        self.fields.clear();
        self.texts.clear();
        self.headers.clear();
        (self.timestamp, self.uuid, self.severity, self.pid) = (None, None, None, None);
    }

    fn header(&self, header: TextHeader) -> Option<&[u8]> {
        let (_, range) = self.headers.iter().find(|(of, _)| *of == header)?;
        self.texts.get(range.clone())
    }

    /// What follows an object's beginning, up to its end.
    fn object(&mut self, lexer: &mut Lexer<'_>, options: &Options, depth: usize) -> Result<(), NotSimple> {
        let mut token = lexer.next(&mut self.text);
        if token == Token::ObjectEnd {
            return Ok(());
        }
        let end = self.name.len();
        loop {
            if token != Token::Text {
                return Err(NotSimple);
            }
            if depth > 1 {
                self.name.extend_from_slice(&options.separator);
            }
            self.name.extend_from_slice(lexer.text_of(&self.text));
            if lexer.next(&mut self.text) != Token::Colon {
                return Err(NotSimple);
            }
            token = lexer.next(&mut self.text);
            self.value(lexer, token, options, depth)?;
            self.name.truncate(end);
            match lexer.next(&mut self.text) {
                Token::ObjectEnd => return Ok(()),
                Token::Comma => token = lexer.next(&mut self.text),
                _ => return Err(NotSimple),
            }
        }
    }

    /// What follows an array's beginning, up to its end.
    fn array(&mut self, lexer: &mut Lexer<'_>, options: &Options, depth: usize) -> Result<(), NotSimple> {
        let mut token = lexer.next(&mut self.text);
        if token == Token::ArrayEnd {
            return Ok(());
        }
        let end = self.name.len();
        for place in 1.. {
            self.name.extend_from_slice(&options.separator);
            self.name.extend_from_slice(itoa::Buffer::new().format(place).as_bytes());
            self.value(lexer, token, options, depth)?;
            self.name.truncate(end);
            match lexer.next(&mut self.text) {
                Token::ArrayEnd => break,
                Token::Comma => token = lexer.next(&mut self.text),
                _ => return Err(NotSimple),
            }
        }
        Ok(())
    }

    /// The value that a token begins, whose name is in the buffer.
    #[inline]
    fn value(&mut self, lexer: &mut Lexer<'_>, token: Token, options: &Options, depth: usize) -> Result<(), NotSimple> {
        let hash = xxh64(&self.name, 0);
        if self.names.len() == MAX_NAMES || self.names.contains(&hash) {
            return Err(NotSimple);
        }
        self.names.push(hash);
        let target = options.headers.iter().find(|(key, _)| depth == 1 && *key == self.name);
        if let Some((_, target)) = target
            && self.take(*target, token, lexer)?
        {
            return Ok(());
        }
        match token {
            Token::ObjectBegin | Token::ArrayBegin if depth >= options.maximum_depth.min(MAX_DEPTH) => Err(NotSimple),
            Token::ObjectBegin => self.object(lexer, options, depth + 1),
            Token::ArrayBegin => self.array(lexer, options, depth + 1),
            Token::Text => {
                MessageBuilder::more(&mut self.fields).string_field(&self.name, lexer.text_of(&self.text), b"");
                Ok(())
            }
            Token::Number(number) => {
                MessageBuilder::more(&mut self.fields).double_field(&self.name, number, b"");
                Ok(())
            }
            Token::Bool(flag) => {
                MessageBuilder::more(&mut self.fields).bool_field(&self.name, flag, b"");
                Ok(())
            }
            Token::Null => Ok(()),
            _ => Err(NotSimple),
        }
    }

    /// A value for a header. False when it is of another type, and so stays a field.
    fn take(&mut self, target: Target, token: Token, lexer: &Lexer<'_>) -> Result<bool, NotSimple> {
        let whole =
            |number: f64| if f64::from(number as i32) == number { Ok(Some(number as i32)) } else { Err(NotSimple) };
        match (target, token) {
            (_, Token::Null) => return Ok(true),
            (Target::Timestamp, Token::Number(number)) => self.timestamp = Some(number),
            (Target::Severity, Token::Number(number)) => self.severity = whole(number)?,
            (Target::Pid, Token::Number(number)) => self.pid = whole(number)?,
            (Target::Uuid, Token::Text) => match lexer.text_of(&self.text).try_into() {
                Ok(id) => self.uuid = Some(id),
                Err(_) => return Ok(false),
            },
            (Target::Text(header), Token::Text) => {
                let start = self.texts.len();
                self.texts.extend_from_slice(lexer.text_of(&self.text));
                self.headers.push((header, start..self.texts.len()));
            }
            // To be converted, or refused.
            (Target::Timestamp, _) | (Target::Text(TextHeader::EnvVersion), Token::Number(_)) => return Err(NotSimple),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{ConfigValue, Settings};
    use super::super::super::{Decoded, Decoder, Kind, Script, ScriptArgs, Section, prepare_process};
    use crate::message::json::write_json;
    use crate::message::{MessageBuilder, TextHeader};
    use crate::stream::{Frame, put_frame};
    use proptest::prelude::*;

    /// The decoder that ships, and the same without what is native.
    fn decoders(config: &[(&str, ConfigValue)]) -> [Decoder; 2] {
        prepare_process();
        let code = include_str!("../../../../lua/decoders/json.lua");
        let plain =
            format!("{code}\nprocess_message = decode\n").replace("local function decode()", "function decode()");
        [code.to_string(), plain].map(|code| {
            let script = Script::new("json.lua", code);
            let mut settings: Settings = ScriptArgs::default().settings_of(script, &Section::default(), Kind::Decoder);
            settings.config.extend(config.iter().map(|(key, value)| (key.to_string(), value.clone())));
            Decoder::new(&[settings]).unwrap()
        })
    }

    /// What becomes of a line: headers and fields in order of their names, or why it is rejected.
    fn decode(decoder: &mut Decoder, line: &str) -> String {
        let mut message = Vec::new();
        MessageBuilder::new(&mut message, &[7; 16], 1)
            .text(TextHeader::Logger, b"l")
            .severity(3)
            .text(TextHeader::Payload, line.as_bytes());
        let mut frame = Vec::new();
        put_frame(&mut frame, None, &message);
        let mut made = Vec::new();
        let view = Frame::parse(&frame).unwrap().view();
        match decoder.decode(view, &mut |message, _| put_frame(&mut made, None, message)).unwrap() {
            Decoded::Failed(words) => words,
            _ => {
                let mut text = Vec::new();
                write_json(&Frame::parse(&made).unwrap(), &mut text);
                let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
                for random in ["uuid", "raw"] {
                    json[random].take();
                }
                if json["timestamp"].as_i64() > Some(1_000_000_000_000_000_000) {
                    json["timestamp"].take();
                }
                if let Some(fields) = json["fields"].as_array_mut() {
                    fields.sort_by_key(|field| field.to_string());
                }
                json.to_string()
            }
        }
    }

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

    proptest! {
        #[test]
        fn messages_are_those_of_the_script(lines in proptest::collection::vec(value(), 1..20), mapped in any::<bool>()) {
            let text = |text: &str| ConfigValue::Text(text.into());
            let config = [
                ("map_fields", ConfigValue::Bool(true)),
                ("Timestamp", text("t")),
                ("Hostname", text("h")),
                ("Severity", text("a")),
                ("EnvVersion", text("b")),
                ("Uuid", text("c")),
                ("payload_keep", ConfigValue::Bool(true)),
                ("maximum_depth", ConfigValue::Number(3.0)),
            ];
            let [mut native, mut plain] = decoders(if mapped { &config } else { &[] });
            for line in lines {
                prop_assert_eq!(decode(&mut native, &line), decode(&mut plain, &line), "{}", line);
            }
        }
    }
}
