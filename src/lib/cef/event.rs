//! What happened, and the record of it that Mozilla's `cef` library (0.5) for Python makes.

use std::collections::BTreeMap;

use super::format::{put_header, put_value};
use super::parse::is_key;

/// Names of signatures.
pub const CONSTANTS: [(&str, &str); 5] = [
    ("AUTH_FAILURE", "AuthFail"),
    ("CAPTCHA_FAILURE", "CaptchaFail"),
    ("OVERRIDE_FAILURE", "InvalidAdmin"),
    ("ACCOUNT_LOCKED", "AccountLockout"),
    ("PASSWD_RESET_CLR", "PasswordResetCleared"),
];

/// The library leaves out what would pass this, counted before values are escaped.
const COMPAT_LENGTH: usize = 1024;

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Everything is escaped, so that a record is one line and comes back as it was; what no reader would understand
    /// is refused.
    Safe {
        /// Most bytes of a record; keys that would pass that are left out.
        max_length: Option<usize>,
    },
    /// As the library, byte for byte: parts of it go unescaped, line ends stay.
    Compat,
}

/// Who reports: the same in every record of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub version: String,
    pub vendor: String,
    pub product: String,
    pub device_version: String,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub name: String,
    /// 0 to 10, or a name.
    pub severity: String,
    /// The name, when there is none.
    pub signature: Option<String>,
    pub username: String,
    pub config: Config,
    /// Variables of a CGI request.
    pub environ: BTreeMap<String, String>,
    /// More keys of the extension. The library's names for fields (`source`, `dest` …) replace these too.
    pub extension: Vec<(String, String)>,
    /// The record begins with these two.
    pub date: String,
    pub host: String,
}

/// A record, and the keys that were left out of it for its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub text: Vec<u8>,
    pub left_out: Vec<String>,
}

/// Keys that every record has.
const STANDARD: [&str; 7] = ["cs1Label", "cs1", "requestMethod", "request", "src", "dhost", "suser"];

impl Event {
    /// # Errors
    /// What the safe form refuses: a severity or a key that is none.
    pub fn record(&self, form: Form) -> Result<Made, String> {
        if let Form::Safe { .. } = form {
            self.check()?;
        }
        let header = |text: &str| escaped(text, form, compat_header, put_header);
        let value = |text: &str| escaped(text, form, compat_value, put_value);
        // What the library takes as it is.
        let plain = |text: &str, put: fn(&mut Vec<u8>, &[u8])| escaped(text, form, |buf, text| buf.extend(text), put);
        let environ = |name: &str| self.environ.get(name).map(String::as_str);
        let source = match environ("HTTP_X_FORWARDED_FOR") {
            Some(addresses) => addresses.split(',').next().unwrap_or_default().trim(),
            None => environ("REMOTE_ADDR").unwrap_or("None"),
        };
        let name = header(&self.name);
        let signature = self.signature.as_deref().map_or_else(|| name.clone(), header);
        let severity = header(&self.severity);
        let replaced =
            |key: &str| self.extension.iter().rev().find(|(own, _)| own == key).map(|(_, text)| text.as_str());
        let head = |key: &str, text: &str| plain(replaced(key).unwrap_or(text), put_header);
        // The library drops the record's own keys where they are given; here they are used.
        let own = |key: &str| replaced(key).filter(|_| form != Form::Compat);
        let field = |key: &str, name: &str, text: Vec<u8>| match own(key).or_else(|| replaced(name)) {
            Some(text) => plain(text, put_value),
            None => text,
        };
        let mut text = head("date", &self.date);
        text.push(b' ');
        text.extend(head("host", &self.host));
        text.extend_from_slice(b" CEF:");
        for (key, part) in [
            ("version", &self.config.version),
            ("vendor", &self.config.vendor),
            ("product", &self.config.product),
            ("device_version", &self.config.device_version),
        ] {
            text.extend(head(key, part));
            text.push(b'|');
        }
        for part in [&signature, &name, &severity] {
            text.extend_from_slice(part);
            text.push(b'|');
        }
        text.extend_from_slice(b"cs1Label=");
        text.extend(own("cs1Label").map_or(b"requestClientApplication".to_vec(), |text| plain(text, put_value)));
        for (key, name, part) in [
            ("cs1", "user_agent", value(environ("HTTP_USER_AGENT").unwrap_or("none"))),
            ("requestMethod", "method", value(environ("REQUEST_METHOD").unwrap_or_default())),
            ("request", "url", value(environ("PATH_INFO").unwrap_or_default())),
            ("src", "source", plain(source, put_value)),
            ("dhost", "dest", value(environ("HTTP_HOST").unwrap_or("none"))),
            ("suser", "suser", plain(&self.username, put_value)),
        ] {
            text.extend_from_slice(format!(" {key}=").as_bytes());
            text.extend(field(key, name, part));
        }
        let left_out = self.append(&mut text, form, value);
        Ok(Made { text, left_out })
    }

    /// The other keys, short ones first, as long as there is room.
    fn append(&self, text: &mut Vec<u8>, form: Form, value: impl Fn(&str) -> Vec<u8>) -> Vec<String> {
        let more = self.extension.iter().filter(|(key, _)| !STANDARD.contains(&key.as_str()));
        let mut more: Vec<&(String, String)> = more.collect();
        more.sort_by(|(a, x), (b, y)| (x.len(), a.len(), a, x).cmp(&(y.len(), b.len(), b, y)));
        let mut counted = text.len();
        for (place, (key, own)) in more.iter().enumerate() {
            let escaped = value(own);
            // The library counts what it had before escaping; a length that was asked for is meant.
            let (len, limit) = match form {
                Form::Compat => (own.len() + key.len() + 2, Some(COMPAT_LENGTH)),
                Form::Safe { max_length } => (escaped.len() + key.len() + 2, max_length),
            };
            counted += len;
            if limit.is_some_and(|limit| counted > limit) {
                return more[place..].iter().map(|(key, _)| key.clone()).collect();
            }
            text.push(b' ');
            text.extend_from_slice(key.as_bytes());
            text.push(b'=');
            text.extend(escaped);
        }
        Vec::new()
    }

    fn check(&self) -> Result<(), String> {
        let names = ["Unknown", "Low", "Medium", "High", "Very-High"];
        let number = self.severity.parse::<u8>().is_ok_and(|number| number <= 10);
        if !number && !names.contains(&self.severity.as_str()) {
            return Err(format!("severity {:?}: expected 0 to 10, or one of {}", self.severity, names.join(", ")));
        }
        match self.extension.iter().find(|(key, _)| key.is_empty() || !key.bytes().all(is_key)) {
            Some((key, _)) => Err(format!("key {key:?}: expected letters, digits, and _ . - [ ]")),
            None => Ok(()),
        }
    }
}

fn escaped(text: &str, form: Form, compat: impl Fn(&mut Vec<u8>, &[u8]), safe: fn(&mut Vec<u8>, &[u8])) -> Vec<u8> {
    let mut buf = Vec::with_capacity(text.len() + 8);
    match form {
        Form::Compat => compat(&mut buf, text.as_bytes()),
        Form::Safe { .. } => safe(&mut buf, text.as_bytes()),
    }
    buf
}

/// A backslash in front; line ends stay.
fn compat_header(buf: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if matches!(byte, b'|' | b'\\' | b'\n' | b'\r') {
            buf.push(b'\\');
        }
        buf.push(byte);
    }
}

fn compat_value(buf: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if matches!(byte, b'=' | b'\\') {
            buf.push(b'\\');
        }
        buf.push(byte);
    }
}
