//! Case files: what a script does with given input, as text that people write and a program checks.
//!
//! ```text
//! # Anything up to the first section is a comment.
//! --- script http_status filter
//! --- config
//! rows = 3
//! --- input messages
//! {"Timestamp":60e9,"Fields":{"status":200}}
//! --- tick 180e9
//! --- expect payload cbuf HTTP Status
//! {"time":0,…}
//! ```
//!
//! Sections are run in order.
//!
//! - `script NAME [decoder|filter|encoder]`: a file beside the case file, or a script that ships. First of all sections.
//! - `config`: TOML.
//! - `input lines`: a message for each line, its Payload without the line's end; `input text`: one message with the whole
//!   text as its Payload; `input messages`: a message in JSON for each line, `{"Type":…,"Fields":{"name":value}}`, where a
//!   field's value may be an array, or `{"value":…,"representation":"…","value_type":2}`. An expected number without
//!   `value_type` may be an integer or a double.
//! - `tick NS`: the timer is called. `restart`: the state is saved, and restored into a new sandbox.
//! - `expect`: messages in that JSON, in order. Fields have to be the same; a Timestamp, Logger, Hostname, Severity, Pid or
//!   Uuid only where it is given. `expect payload TYPE NAME`: a message with that text. `expect text`: an encoder's bytes.
//!   `expect rejected WORDS`, `expect nothing`, `expect terminated WORDS`, `expect error WORDS` (the script isn't loaded).
//!
//! A missing or an additional newline at the very end of a text makes no difference, nor does the order of keys in a line
//! that is JSON. At the end of the file nothing may be
//! left that was not expected.

use std::collections::VecDeque;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::host::{ConfigValue, Kind};
use super::settings::Section;
use super::{Outcome, Sandbox, ScriptArgs, Settings, Terminated};
use crate::message::{MessageBuilder, MessageView, TextHeader, Value, ValueType, now_ns, uuid};
use crate::pipeline::Failure;

/// What came out, not yet looked at.
#[derive(Debug)]
enum Came {
    Message(Vec<u8>),
    Bytes(Vec<u8>),
    /// Status -2 of an encoder.
    Silence,
    Rejected(String),
    Terminated(String),
    /// The script could not be loaded.
    Error(String),
}

struct Part<'t> {
    line: usize,
    head: &'t str,
    body: &'t str,
}

/// Runs a case file.
///
/// # Errors
/// Its line, and what was different.
pub fn run(file: &Path, args: &ScriptArgs) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut case = Case {
        args,
        directory,
        settings: None,
        section: Section::default(),
        sandbox: None,
        results: VecDeque::new(),
        refused: false,
    };
    for section in sections(&text) {
        case.run(&section).map_err(|message| format!("line {}: {message}", section.line))?;
    }
    if case.settings.is_none() {
        return Err("no section \"--- script NAME\"".into());
    }
    case.ready().map_err(|message| format!("at the end: {message}"))?;
    match case.results.front() {
        None => Ok(()),
        Some(result) => Err(format!("at the end: not expected: {}", show(result))),
    }
}

fn sections(text: &str) -> Vec<Part<'_>> {
    let mut sections: Vec<Part<'_>> = Vec::new();
    let mut starts = Vec::new();
    let mut at = 0;
    for (line, content) in text.split_inclusive('\n').enumerate() {
        if let Some(head) = content.strip_prefix("--- ") {
            starts.push((line + 1, head.trim_end(), at, at + content.len()));
        }
        at += content.len();
    }
    for (place, (line, head, _, body)) in starts.iter().enumerate() {
        let end = starts.get(place + 1).map_or(text.len(), |next| next.2);
        sections.push(Part { line: *line, head, body: &text[*body..end] });
    }
    sections
}

struct Case<'a> {
    args: &'a ScriptArgs,
    directory: &'a Path,
    settings: Option<Settings>,
    section: Section,
    sandbox: Option<Sandbox>,
    results: VecDeque<Came>,
    /// The script could not be loaded.
    refused: bool,
}

impl Case<'_> {
    fn run(&mut self, section: &Part<'_>) -> Result<(), String> {
        let (verb, rest) = section.head.split_once(' ').unwrap_or((section.head, ""));
        match (verb, rest) {
            ("script", _) => self.script(rest),
            ("config", "") => self.config(section.body),
            ("input", "lines") => section.body.lines().try_for_each(|line| self.give(&json!({"Payload": line}))),
            ("input", "text") => self.give(&json!({"Payload": section.body})),
            ("input", "messages") => {
                let lines = section.body.lines().filter(|line| !line.is_empty());
                lines.into_iter().try_for_each(|line| self.give(&parse(line)?))
            }
            ("tick", ns) => {
                let ns: f64 = ns.parse().map_err(|_| "tick needs nanoseconds")?;
                self.tick(ns as i64)
            }
            ("restart", "") => self.restart(),
            ("expect", _) => self.expect(rest, section.body),
            _ => Err(format!("no such section: --- {}", section.head)),
        }
    }

    fn script(&mut self, rest: &str) -> Result<(), String> {
        let (name, kind) = rest.split_once(' ').unwrap_or((rest, "decoder"));
        let kind = match kind {
            "decoder" => Kind::Decoder,
            "filter" => Kind::Filter,
            "encoder" => Kind::Encoder,
            _ => return Err(format!("a script is a decoder, filter or encoder, not {kind:?}")),
        };
        let beside = self.directory.join(name);
        let path = if beside.is_file() { &beside } else { Path::new(name) };
        let mut settings = self.args.settings(path, &self.section, kind).map_err(|failure| match failure {
            Failure::Message(_, message) => message,
            Failure::ClosedPipe => String::new(),
        })?;
        settings.modules.directories.push(self.directory.to_path_buf());
        self.settings = Some(settings);
        Ok(())
    }

    fn config(&mut self, body: &str) -> Result<(), String> {
        let table: toml::Table = body.parse().map_err(|error: toml::de::Error| error.message().to_string())?;
        let settings = self.settings.as_mut().ok_or("the script comes first")?;
        for (key, value) in &table {
            let value = ConfigValue::from_toml(value).ok_or(format!("{key}: a text, number or boolean is needed"))?;
            settings.config.insert(key.clone(), value);
        }
        Ok(())
    }

    /// The sandbox, loaded when it is first needed.
    fn ready(&mut self) -> Result<Option<&mut Sandbox>, String> {
        if self.sandbox.is_none() {
            let settings = self.settings.as_ref().ok_or("the script comes first")?;
            match Sandbox::new(settings) {
                Ok(sandbox) => self.sandbox = Some(sandbox),
                Err(error) if !self.refused => {
                    self.refused = true;
                    self.results.push_back(Came::Error(error));
                }
                Err(_) => {}
            }
        }
        Ok(self.sandbox.as_mut())
    }

    fn give(&mut self, message: &Json) -> Result<(), String> {
        let mut bytes = Vec::new();
        put_message(message, &mut bytes)?;
        let view = MessageView::new(&bytes).ok_or("the message can't be read back")?;
        let kind = self.settings.as_ref().map_or(Kind::Decoder, |settings| settings.identity.kind);
        let Some(sandbox) = self.ready()? else { return Ok(()) };
        let outcome = sandbox.process(view);
        let made: Vec<Vec<u8>> = sandbox.injected().map(<[u8]>::to_vec).collect();
        let unchanged = sandbox.edited().map_or(bytes, <[u8]>::to_vec);
        match outcome {
            Err(Terminated(reason)) => self.results.push_back(Came::Terminated(reason)),
            Ok(Outcome::Rejected { status: -2, .. }) if kind == Kind::Encoder => self.results.push_back(Came::Silence),
            Ok(Outcome::Rejected { words, .. }) => self.results.push_back(Came::Rejected(words.unwrap_or_default())),
            Ok(Outcome::Done) => match kind {
                Kind::Encoder => {
                    let bytes = made.into_iter().last().unwrap_or(unchanged);
                    self.results.push_back(Came::Bytes(bytes));
                }
                Kind::Decoder if made.is_empty() => self.results.push_back(Came::Message(unchanged)),
                _ => self.results.extend(made.into_iter().map(Came::Message)),
            },
        }
        Ok(())
    }

    fn tick(&mut self, ns: i64) -> Result<(), String> {
        let Some(sandbox) = self.ready()? else { return Ok(()) };
        sandbox.set_injection(Some(ns), 0);
        let called = sandbox.timer_event(ns, false);
        let made: Vec<Vec<u8>> = sandbox.injected().map(<[u8]>::to_vec).collect();
        match called {
            Ok(()) => self.results.extend(made.into_iter().map(Came::Message)),
            Err(Terminated(reason)) => self.results.push_back(Came::Terminated(reason)),
        }
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        let Some(sandbox) = self.ready()? else { return Ok(()) };
        let state = sandbox.save_state()?;
        self.sandbox = None;
        match self.ready()? {
            Some(sandbox) => sandbox.restore_state("state", &state),
            None => Ok(()),
        }
    }

    fn expect(&mut self, what: &str, body: &str) -> Result<(), String> {
        self.ready()?;
        let (kind, rest) = what.split_once(' ').unwrap_or((what, ""));
        match kind {
            "" => body.lines().filter(|line| !line.is_empty()).try_for_each(|line| {
                let expected = parse(line)?;
                match self.results.pop_front() {
                    Some(Came::Message(message)) => compare(&expected, &describe(&message)),
                    other => {
                        Err(format!("expected a message, but {}", other.as_ref().map_or("nothing came".into(), show)))
                    }
                }
            }),
            "payload" => {
                let (message_type, name) = rest.split_once(' ').unwrap_or((rest, ""));
                match self.results.pop_front() {
                    Some(Came::Message(message)) => {
                        let described = describe(&message);
                        let field = |name: &str| {
                            described["Fields"][name]
                                .as_str()
                                .or(described["Fields"][name]["value"].as_str())
                                .unwrap_or_default()
                                .to_string()
                        };
                        same("payload_type", message_type, &field("payload_type"))?;
                        same("payload_name", name, &field("payload_name"))?;
                        same_text(body, described["Payload"].as_str().unwrap_or_default())
                    }
                    other => {
                        Err(format!("expected a message, but {}", other.as_ref().map_or("nothing came".into(), show)))
                    }
                }
            }
            "text" => match self.results.pop_front() {
                Some(Came::Bytes(bytes)) => same_text(body, &String::from_utf8_lossy(&bytes)),
                other => Err(format!("expected a text, but {}", other.as_ref().map_or("nothing came".into(), show))),
            },
            "nothing" => match self.results.front() {
                None => Ok(()),
                Some(Came::Silence) => {
                    self.results.pop_front();
                    Ok(())
                }
                Some(result) => Err(format!("expected nothing, but {}", show(result))),
            },
            "rejected" | "terminated" | "error" => {
                let result = self.results.pop_front();
                let words = match (&result, kind) {
                    (Some(Came::Rejected(words)), "rejected") => words,
                    (Some(Came::Terminated(words)), "terminated") => words,
                    (Some(Came::Error(words)), "error") => words,
                    (other, _) => {
                        let shown = other.as_ref().map_or("nothing came".into(), show);
                        return Err(format!("expected it to be {kind}, but {shown}"));
                    }
                };
                if words.contains(rest) { Ok(()) } else { Err(format!("expected {rest:?}, but it says {words:?}")) }
            }
            _ => Err(format!("no such section: --- expect {what}")),
        }
    }
}

fn same(what: &str, expected: &str, found: &str) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

/// Compares texts but for a newline at the end; shows the first line that differs.
fn same_text(expected: &str, found: &str) -> Result<(), String> {
    let (expected, found) =
        (expected.strip_suffix('\n').unwrap_or(expected), found.strip_suffix('\n').unwrap_or(found));
    let (mut left, mut right) = (expected.split('\n'), found.split('\n'));
    for line in 1.. {
        match (left.next(), right.next()) {
            (None, None) => break,
            (Some(a), Some(b)) if a == b || same_json(a, b) => {}
            (a, b) => {
                let shown = |text: Option<&str>| text.map_or("the end".to_string(), |text| format!("{text:?}"));
                return Err(format!("line {line} of the text: expected {}, found {}", shown(a), shown(b)));
            }
        }
    }
    Ok(())
}

fn same_json(a: &str, b: &str) -> bool {
    let object =
        |text: &str| serde_json::from_str::<Json>(text).ok().filter(|json| json.is_object() || json.is_array());
    matches!((object(a), object(b)), (Some(a), Some(b)) if equal(&a, &b))
}

fn show(result: &Came) -> String {
    match result {
        Came::Message(message) => format!("a message came: {}", describe(message)),
        Came::Bytes(bytes) => format!("bytes came: {:?}", String::from_utf8_lossy(bytes)),
        Came::Silence => "there is nothing to send".into(),
        Came::Rejected(words) => format!("it was rejected: {words}"),
        Came::Terminated(words) => format!("it was terminated: {words}"),
        Came::Error(words) => format!("it can't be loaded: {words}"),
    }
}

fn parse(line: &str) -> Result<Json, String> {
    serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))
}

const TEXTS: [(&str, TextHeader); 5] = [
    ("Type", TextHeader::Type),
    ("Logger", TextHeader::Logger),
    ("Payload", TextHeader::Payload),
    ("EnvVersion", TextHeader::EnvVersion),
    ("Hostname", TextHeader::Hostname),
];

/// A message as it is written in case files.
fn describe(message: &[u8]) -> Json {
    let mut described = Map::new();
    let Some(view) = MessageView::new(message) else { return Json::Null };
    if let Some(id) = uuid::format(view.uuid()) {
        described.insert("Uuid".into(), String::from_utf8_lossy(&id).into());
    }
    described.insert("Timestamp".into(), view.timestamp().into());
    for (name, header) in TEXTS {
        if let Some(text) = view.text(header) {
            described.insert(name.into(), String::from_utf8_lossy(text).into());
        }
    }
    for (name, number) in [("Severity", view.severity()), ("Pid", view.pid())] {
        if let Some(number) = number {
            described.insert(name.into(), number.into());
        }
    }
    let mut fields = Map::new();
    for field in view.fields() {
        let mut values: Vec<Json> = field.values().map(plain).collect();
        let value = if values.len() == 1 { values.remove(0) } else { Json::Array(values) };
        let mut object = Map::from_iter([("value".to_string(), value)]);
        if let Some(representation) = field.representation.filter(|text| !text.is_empty()) {
            object.insert("representation".into(), String::from_utf8_lossy(representation).into());
        }
        if matches!(field.value_type, ValueType::Integer | ValueType::Bytes) {
            object.insert("value_type".into(), (field.value_type as u8).into());
        }
        let only_value = object.len() == 1;
        let shown = if only_value { object.remove("value").unwrap_or_default() } else { Json::Object(object) };
        let name = String::from_utf8_lossy(field.name).into_owned();
        // Further fields of a name stand beside the first.
        let place = (1..).map(|n| if n == 1 { name.clone() } else { format!("{name} #{n}") });
        let free = place.into_iter().find(|name| !fields.contains_key(name)).unwrap_or_default();
        fields.insert(free, shown);
    }
    described.insert("Fields".into(), Json::Object(fields));
    Json::Object(described)
}

fn plain(value: Value<'_>) -> Json {
    match value {
        Value::String(text) | Value::Bytes(text) => String::from_utf8_lossy(text).into(),
        Value::Integer(number) => number.into(),
        Value::Double(number) => json!(number),
        Value::Bool(flag) => flag.into(),
    }
}

/// Numbers are the same whatever they look like.
fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// The values of a field that has no more than a type, which is this one: a case that doesn't name the type means any.
fn only(value_type: ValueType, field: &Json) -> Option<&Json> {
    let object = field.as_object().filter(|object| object.len() == 2)?;
    (object.get("value_type") == Some(&Json::from(value_type as u8))).then(|| object.get("value")).flatten()
}

/// Headers that are only looked at where they are given: they are inherited, or made up.
const OPTIONAL: [&str; 6] = ["Uuid", "Timestamp", "Logger", "Hostname", "Severity", "Pid"];

fn compare(expected: &Json, found: &Json) -> Result<(), String> {
    let (Some(expected), Some(found)) = (expected.as_object(), found.as_object()) else {
        return Err("a message is a JSON object".into());
    };
    let empty = Json::Object(Map::new());
    for (key, value) in expected.iter().filter(|(key, _)| *key != "Fields") {
        let other = found.get(key).unwrap_or(&Json::Null);
        if !equal(value, other) {
            return Err(format!("{key}: expected {value}, found {other}"));
        }
    }
    let extra =
        found.keys().find(|key| !expected.contains_key(*key) && *key != "Fields" && !OPTIONAL.contains(&key.as_str()));
    if let Some(key) = extra {
        return Err(format!("{key}: not expected, found {}", found[key]));
    }
    let fields =
        |message: &Map<String, Json>| message.get("Fields").unwrap_or(&empty).as_object().cloned().unwrap_or_default();
    let (expected, found) = (fields(expected), fields(found));
    for (name, value) in &expected {
        let other = found.get(name).unwrap_or(&Json::Null);
        let integers = only(ValueType::Integer, other).is_some_and(|numbers| equal(value, numbers));
        // Doubles are found bare.
        let doubles = only(ValueType::Double, value).is_some_and(|numbers| equal(numbers, other));
        if !equal(value, other) && !integers && !doubles {
            return Err(format!("Fields[{name}]: expected {value}, found {other}"));
        }
    }
    match found.keys().find(|name| !expected.contains_key(*name)) {
        Some(name) => Err(format!("Fields[{name}]: not expected, found {}", found[name])),
        None => Ok(()),
    }
}

/// A message that is described so in JSON; its Timestamp is now where none is given.
///
/// # Errors
/// What is wrong with it.
pub fn encode_message(json: &str) -> Result<Vec<u8>, String> {
    let mut described: Json = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if let Some(object) = described.as_object_mut() {
        object.entry("Timestamp").or_insert_with(|| now_ns().into());
    }
    let mut bytes = Vec::new();
    put_message(&described, &mut bytes)?;
    Ok(bytes)
}

/// Appends a message that is described so.
fn put_message(described: &Json, out: &mut Vec<u8>) -> Result<(), String> {
    let described = described.as_object().ok_or("a message is a JSON object")?;
    let is_known = |key: &&String| {
        key.as_str() == "Fields" || OPTIONAL.contains(&key.as_str()) || TEXTS.iter().any(|(name, _)| key == name)
    };
    if let Some(unknown) = described.keys().find(|key| !is_known(key)) {
        return Err(format!("{unknown}: no header of a message; others go into Fields"));
    }
    let id = described.get("Uuid").and_then(Json::as_str).and_then(|text| uuid::parse(text.as_bytes()));
    let timestamp =
        described.get("Timestamp").map_or(Some(0), |time| time.as_i64().or(time.as_f64().map(|ns| ns as i64)));
    let timestamp = timestamp.ok_or("Timestamp: nanoseconds are needed")?;
    let mut builder = MessageBuilder::new(out, &id.unwrap_or_else(uuid::new_v4), timestamp);
    let text = |name: &str| described.get(name).and_then(Json::as_str).map(str::as_bytes);
    let number = |name: &str| described.get(name).and_then(Json::as_f64).map(|number| number as i32);
    let put = |builder: &mut MessageBuilder<'_>, place: usize| {
        if let Some(value) = text(TEXTS[place].0) {
            builder.text(TEXTS[place].1, value);
        }
    };
    put(&mut builder, 0);
    put(&mut builder, 1);
    if let Some(severity) = number("Severity") {
        builder.severity(severity);
    }
    put(&mut builder, 2);
    put(&mut builder, 3);
    if let Some(pid) = number("Pid") {
        builder.pid(pid);
    }
    put(&mut builder, 4);
    for (name, value) in described.get("Fields").and_then(Json::as_object).into_iter().flatten() {
        let name = name.split(" #").next().unwrap_or(name);
        put_field(&mut builder, name, value)?;
    }
    Ok(())
}

fn put_field(builder: &mut MessageBuilder<'_>, name: &str, value: &Json) -> Result<(), String> {
    let (value, representation, wanted) = match value.as_object() {
        Some(object) => (
            object.get("value").unwrap_or(&Json::Null),
            object.get("representation").and_then(Json::as_str).unwrap_or_default(),
            object.get("value_type").and_then(Json::as_u64).and_then(ValueType::from_number),
        ),
        None => (value, "", None),
    };
    let values = match value {
        Json::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    };
    let default = match values.first() {
        Some(Json::Number(_)) => ValueType::Double,
        Some(Json::Bool(_)) => ValueType::Bool,
        Some(Json::String(_)) | None => ValueType::String,
        Some(_) => return Err(format!("Fields[{name}]: a text, number or boolean is needed")),
    };
    let kind = wanted.unwrap_or(default);
    let numbers = || values.iter().filter_map(Json::as_f64);
    builder.field(name.as_bytes(), kind, representation.as_bytes(), |field| match kind {
        ValueType::String => values.iter().filter_map(Json::as_str).for_each(|text| field.string(text.as_bytes())),
        ValueType::Bytes => values.iter().filter_map(Json::as_str).for_each(|text| field.bytes(text.as_bytes())),
        ValueType::Integer => field.integers(numbers().map(|number| number as i64)),
        ValueType::Double => field.doubles(numbers()),
        ValueType::Bool => field.bools(values.iter().filter_map(Json::as_bool)),
    });
    Ok(())
}
