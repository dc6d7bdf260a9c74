//! What a record's maker is told in files: who reports, and what was asked for.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use crate::pipeline::{Failure, describe, read_text};

/// `key = value` lines: the settings of a `[heka_plugin_…]` section (or `[metlog_plugin_…]`), and whatever begins with
/// `cef.`, by their names.
///
/// # Errors
/// Naming the file and the line.
pub fn read_ini(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    const SETTINGS: [&str; 5] = ["provider", "override", "syslog_facility", "syslog_ident", "syslog_priority"];
    let mut settings = BTreeMap::new();
    let mut in_plugin = false;
    for (place, line) in read_text(path)?.lines().enumerate() {
        let line = line.trim();
        let wrong = |message: String| Failure::usage(format!("{}:{}: {message}", path.display(), place + 1));
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            in_plugin = ["heka_plugin_", "metlog_plugin_"].iter().any(|prefix| section.starts_with(prefix));
            continue;
        }
        let (key, value) = line.split_once(['=', ':']).ok_or_else(|| wrong("expected key = value".into()))?;
        let (key, value) = (key.trim(), value.trim());
        if key.starts_with("cef.") || in_plugin && SETTINGS.contains(&key) {
            settings.insert(key.to_string(), value.to_string());
        } else if in_plugin {
            return Err(wrong(format!("Unexpected arguments: [{key}]")));
        }
    }
    Ok(settings)
}

/// A request's CGI variables: a JSON object, or lines `KEY=VALUE`; `-` is standard input.
///
/// # Errors
/// Naming the file.
pub fn read_environ(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let wrong = |error: String| Failure::usage(format!("{}: {error}", path.display()));
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| wrong(describe(&error)))?;
        text
    } else {
        read_text(path)?
    };
    if !text.trim_start().starts_with(['{', '[']) {
        let pair = |line: &str| line.split_once('=').map(|(key, value)| (key.to_string(), value.to_string()));
        return Ok(text.lines().filter_map(pair).collect());
    }
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| wrong(format!("no JSON object: {error}")))?;
    Ok(object.into_iter().map(|(key, value)| (key, as_python_writes(&value))).collect())
}

/// The text that the library makes of a value.
fn as_python_writes(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "None".into(),
        serde_json::Value::Bool(true) => "True".into(),
        serde_json::Value::Bool(false) => "False".into(),
        other => other.to_string(),
    }
}
