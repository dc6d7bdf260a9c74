//! What a sandbox is given: its script, its limits, its configuration.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::host::ConfigValue;
use super::scripts::{ModulePath, Script};
use crate::pipeline::{Failure, read_toml};

/// 0 is no limit, everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that the state may hold.
    pub memory: usize,
    /// Lua instructions of one call.
    pub instructions: u64,
    /// Bytes of a payload or of a message that is injected.
    pub output: usize,
}

impl Default for Limits {
    /// Heka's.
    fn default() -> Limits {
        Limits { memory: 8 * 1024 * 1024, instructions: 1_000_000, output: 63 * 1024 }
    }
}

/// Everything that a sandbox is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    pub script: Script,
    pub limits: Limits,
    pub config: HashMap<String, ConfigValue>,
    pub modules: ModulePath,
    /// Absent headers read as nil, as in later lua_sandbox, instead of as empty strings.
    pub strict_nil: bool,
}

impl Settings {
    /// The zone of the script's timestamps (`tz` in its configuration).
    pub(super) fn zone(&self) -> Result<Option<jiff::tz::TimeZone>, String> {
        match self.config.get("tz") {
            None => Ok(None),
            Some(ConfigValue::Text(name)) if name == "UTC" || name.is_empty() => Ok(None),
            Some(ConfigValue::Text(name)) if name == "Local" => Ok(Some(jiff::tz::TimeZone::system())),
            Some(ConfigValue::Text(name)) => {
                jiff::tz::TimeZone::get(name).map(Some).map_err(|_| format!("tz: unknown time zone {name:?}"))
            }
            Some(_) => Err("tz: expected the name of a time zone".into()),
        }
    }
}

/// A `[NAME] type = "SandboxDecoder"` section of a hekad.toml, as far as it matters here.
#[derive(Clone, Debug, Default)]
pub struct Section {
    pub filename: Option<PathBuf>,
    pub memory: Option<usize>,
    pub instructions: Option<u64>,
    pub output: Option<usize>,
    pub module_directory: Option<String>,
    pub config: HashMap<String, ConfigValue>,
}

impl Section {
    /// Reads `FILE` or `FILE:SECTION`; without a section's name the only one of that type.
    ///
    /// # Errors
    /// When the file, or the section, is not there or is of another type.
    pub fn load(argument: &str, section_type: &str) -> Result<Section, Failure> {
        let (path, name) = match argument.split_once(':') {
            Some((path, name)) if !Path::new(argument).exists() => (path, Some(name)),
            _ => (argument, None),
        };
        let table = read_toml(Path::new(path))?;
        let is_type = |section: &toml::Value| section.get("type").and_then(toml::Value::as_str) == Some(section_type);
        let (name, section) = match name {
            Some(name) => {
                let section = table.get(name).ok_or_else(|| Failure::usage(format!("{path}: no section [{name}]")))?;
                if section.get("type").is_some() && !is_type(section) && name != section_type {
                    return Err(Failure::usage(format!("{path}: [{name}] is no {section_type}")));
                }
                (name, section)
            }
            None => {
                let mut sections = table.iter().filter(|(name, section)| is_type(section) || *name == section_type);
                match (sections.next(), sections.next()) {
                    (Some((name, section)), None) => (name.as_str(), section),
                    (None, _) => return Err(Failure::usage(format!("{path}: no section of type {section_type}"))),
                    _ => {
                        let message = format!("{path}: several sections of type {section_type}; name one: {path}:NAME");
                        return Err(Failure::usage(message));
                    }
                }
            }
        };
        Section::from_toml(section).map_err(|message| Failure::usage(format!("{path}: [{name}] {message}")))
    }

    fn from_toml(value: &toml::Value) -> Result<Section, String> {
        let number = |key: &str| match value.get(key) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
                number.map(Some).ok_or(format!("{key}: expected a whole number"))
            }
        };
        let text = |key: &str| match value.get(key) {
            None => Ok(None),
            Some(value) => value.as_str().map(|text| Some(text.to_string())).ok_or(format!("{key}: expected a string")),
        };
        if let Some(kind) = text("script_type")?.filter(|kind| kind != "lua") {
            return Err(format!("unsupported script type: {kind}"));
        }
        let config = value.get("config").and_then(toml::Value::as_table);
        Ok(Section {
            filename: text("filename")?.map(PathBuf::from),
            memory: number("memory_limit")?.map(|number| number as usize),
            instructions: number("instruction_limit")?,
            output: number("output_limit")?.map(|number| number as usize),
            module_directory: text("module_directory")?,
            config: config
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), ConfigValue::from_toml(value)?)))
                .collect(),
        })
    }
}

impl ConfigValue {
    /// As Heka: strings, booleans and numbers; arrays, tables and dates read as nil.
    pub fn from_toml(value: &toml::Value) -> Option<ConfigValue> {
        Some(match value {
            toml::Value::String(text) => ConfigValue::Text(text.clone()),
            toml::Value::Integer(number) => ConfigValue::Number(*number as f64),
            toml::Value::Float(number) => ConfigValue::Number(*number),
            toml::Value::Boolean(flag) => ConfigValue::Bool(*flag),
            _ => return None,
        })
    }

    /// Reads `key=value` from the command line: a TOML value, or, where it is none, the text as it stands.
    pub fn from_argument(argument: &str) -> Result<(String, ConfigValue), String> {
        let (key, text) = argument.split_once('=').ok_or("expected KEY=VALUE".to_string())?;
        if key.is_empty() {
            return Err("expected KEY=VALUE".into());
        }
        let parsed = format!("v = {text}").parse::<toml::Table>().ok();
        let value = parsed.and_then(|table| ConfigValue::from_toml(table.get("v")?));
        Ok((key.to_string(), value.unwrap_or_else(|| ConfigValue::Text(text.to_string()))))
    }
}
