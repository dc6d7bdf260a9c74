//! From a message to a record.

use std::io::Write as _;

use super::format::{put_header, put_pair};
use super::parse::is_key;
use super::{Config, HEADER_FIELDS, dictionary};
use crate::message::{MessageView, TextHeader, Value, Variable, put_value_text};

/// A key of the extension, and what of a message its value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    key: String,
    variable: Variable,
}

impl Mapping {
    /// Reads `KEY=VARIABLE`, the variable as in matchers: `Hostname`, `Fields[name]`.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse(text: &str) -> Result<Mapping, String> {
        let (key, variable) = text.split_once('=').ok_or("expected KEY=VARIABLE, such as src=Fields[remote_addr]")?;
        if key.is_empty() || !key.bytes().all(is_key) {
            return Err(format!("key {key:?}: expected letters, digits, and _ . - [ ]"));
        }
        let variable = Variable::parse(variable)?;
        Ok(Mapping { key: key.to_string(), variable })
    }

    fn put(&self, extension: &mut Extension<'_>, view: &MessageView<'_>) {
        let key = self.key.as_bytes();
        match &self.variable {
            Variable::Field(name) => {
                for value in view.field(name.as_bytes(), 0).iter().flat_map(|field| field.values()) {
                    extension.put(key, value);
                }
            }
            Variable::Text(header) => {
                if let Some(text) = view.text(*header) {
                    extension.put(key, Value::String(text));
                }
            }
            Variable::Uuid => {
                let hex: String = view.uuid().iter().map(|byte| format!("{byte:02x}")).collect();
                extension.put(key, Value::String(hex.as_bytes()));
            }
            // CEF counts milliseconds.
            Variable::Timestamp => extension.put(key, Value::Integer(view.timestamp().div_euclid(1_000_000))),
            Variable::Severity => extension.put(key, Value::Integer(view.severity().unwrap_or(7) as i64)),
            Variable::Pid => extension.put(key, Value::Integer(view.pid().unwrap_or(0) as i64)),
        }
    }
}

struct Extension<'b> {
    buf: &'b mut Vec<u8>,
    first: bool,
    text: Vec<u8>,
    /// The format's version, when keys and values have to be those of its dictionary.
    strict: Option<Vec<u8>>,
    /// The first that isn't.
    error: Option<String>,
}

impl Extension<'_> {
    fn put(&mut self, key: &[u8], value: Value<'_>) {
        let text = match value {
            Value::String(text) | Value::Bytes(text) => text,
            other => {
                self.text.clear();
                put_value_text(&mut self.text, other);
                &self.text
            }
        };
        if let Some(version) = self.strict.as_ref().filter(|_| self.error.is_none()) {
            let (name, text) = (String::from_utf8_lossy(key), String::from_utf8_lossy(text));
            let check = if version == b"0" { dictionary::check } else { dictionary::check_version_1 };
            self.error = match dictionary::kind(&name).map(|kind| check(kind, &text)) {
                None => Some(format!("{name} is no key of CEF's")),
                Some(Err(expected)) => Some(format!("{name}: expected {expected}")),
                Some(Ok(())) => None,
            };
        }
        put_pair(self.buf, self.first, key, text);
        self.first = false;
    }
}

/// How messages become records.
#[derive(Clone, Debug, Default)]
pub struct RecordOptions {
    /// For messages that don't say it themselves.
    pub config: Config,
    /// The extension; when empty, every field whose name can be a key.
    pub map: Vec<Mapping>,
    /// Keys and values have to be those of CEF's dictionary.
    pub strict: bool,
}

/// Appends the record of a message: its `cef.` fields, or the options' where it has none, and its extension. Answers how
/// many names of fields can't be keys.
///
/// # Errors
/// What is missing for a header, or not as the dictionary says.
pub fn put_record(buf: &mut Vec<u8>, view: &MessageView<'_>, options: &RecordOptions) -> Result<u64, String> {
    let RecordOptions { config, map, strict } = options;
    let start = buf.len();
    let strict = strict.then(|| {
        let version = view.value(b"cef.version").unwrap_or(Value::String(config.version.as_bytes()));
        let mut text = Vec::new();
        put_value_text(&mut text, version);
        text
    });
    let mut extension = Extension { buf, first: true, text: Vec::new(), strict, error: None };
    let mut own: [Option<Value<'_>>; OWN_PLACES] = [None; OWN_PLACES];
    let mut of_the_header = [false; OWN_PLACES];
    let mut no_keys = 0;
    // One pass, the extension first, the header behind it, then both change places: to read the fields twice takes longer.
    for field in view.fields() {
        if let Some(place) = own_place(field.name)
            // A sender may have a key of the same name, which comes after it.
            && !std::mem::replace(&mut of_the_header[place], true)
        {
            own[place] = field.only_text().map(Value::String).or_else(|| field.values().next());
            continue;
        }
        if !map.is_empty() || is_about_the_record(field.name) {
            continue;
        }
        if field.name.is_empty() || !field.name.iter().all(|&byte| is_key(byte)) {
            no_keys += 1;
            continue;
        }
        match field.only_text() {
            Some(text) => extension.put(field.name, Value::String(text)),
            None => field.values().for_each(|value| extension.put(field.name, value)),
        }
    }
    map.iter().for_each(|mapping| mapping.put(&mut extension, view));
    let error = extension.error;
    let header = buf.len();
    let [version, vendor, product, device_version, signature, name, severity, prefix, extra] = own;
    match prefix {
        Some(prefix) => put_value_text(buf, prefix),
        // A record that was read had none.
        None if version.is_some() => {}
        None => {
            let time = jiff::Timestamp::from_nanosecond(view.timestamp() as i128).unwrap_or_default();
            let time = time.to_zoned(jiff::tz::TimeZone::system());
            let _ = write!(buf, "{} ", time.strftime("%b %d %H:%M:%S"));
            buf.extend_from_slice(view.text(TextHeader::Hostname).unwrap_or_default());
            buf.push(b' ');
        }
    }
    buf.extend_from_slice(b"CEF:");
    fn given(text: &str) -> Option<Value<'_>> {
        (!text.is_empty()).then_some(Value::String(text.as_bytes()))
    }
    let of_type = view.text(TextHeader::Type).filter(|name| !name.is_empty()).map(Value::String);
    let name = name.or(of_type);
    let version = version.or(given(&config.version));
    let severity = severity.or(given(cef_severity(view.severity())));
    for (part, missing) in [
        (version, "the format's version"),
        (vendor.or(given(&config.vendor)), "the vendor"),
        (product.or(given(&config.product)), "the product"),
        (device_version.or(given(&config.device_version)), "the device's version"),
        (signature.or(name), "the name"),
        (name, "the name"),
        (severity, "the severity"),
    ] {
        match part.ok_or_else(|| format!("{missing} is missing"))? {
            Value::String(text) | Value::Bytes(text) => put_header(buf, text),
            other => put_value_text(buf, other),
        }
        buf.push(b'|');
    }
    if let Some(extra) = extra {
        let from = buf.len();
        put_value_text(buf, extra);
        if buf[from..].last().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            buf.push(b' ');
        }
    }
    buf[start..].rotate_left(header - start);
    error.map_or(Ok(no_keys), Err)
}

/// What a record has besides its extension: the header ([`super::HEADER_NAMES`]), what stands before it, and what follows.
const OWN_PLACES: usize = HEADER_FIELDS + 2;

fn own_place(name: &[u8]) -> Option<usize> {
    let rest = name.strip_prefix(b"cef.")?;
    Some(match rest {
        b"version" => 0,
        b"device_vendor" => 1,
        b"device_product" => 2,
        b"device_version" => 3,
        b"signature_id" => 4,
        b"name" => 5,
        b"severity" => 6,
        b"prefix" => 7,
        b"extra" => 8,
        _ => return None,
    })
}

/// Fields that say how to send a record, or why there is none.
pub(super) fn is_about_the_record(name: &[u8]) -> bool {
    name.starts_with(b"cef_meta.") || name == b"cef_error"
}

/// Syslog's severities on CEF's scale, which goes the other way.
fn cef_severity(severity: Option<i32>) -> &'static str {
    match severity.unwrap_or(7) {
        ..=2 => "9",
        3 => "7",
        4 => "5",
        _ => "3",
    }
}
