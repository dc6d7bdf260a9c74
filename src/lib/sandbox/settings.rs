//! What a sandbox is given: its script, its limits, its configuration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::host::{ConfigValue, Identity, Kind};
use super::scripts::{ModulePath, Script};
use crate::pipeline::{Failure, find_section, read_config, report};
use crate::stream::DEFAULT_READ_MESSAGE;

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

impl Limits {
    /// Heka's, but for what decoders and encoders make of a message: any that other programs read can come, and it may
    /// become longer.
    pub fn of(kind: Kind) -> Limits {
        match kind {
            Kind::Filter => Limits::default(),
            Kind::Decoder | Kind::Encoder => Limits { output: DEFAULT_READ_MESSAGE, ..Limits::default() },
        }
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
    pub identity: Identity,
    /// A decoder or encoder that has failed so often in a row ends; 0 is never.
    pub max_failures: u64,
    /// What time it is while the script is loaded, ns; the machine's clock without.
    pub clock: Option<i64>,
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

/// A `[NAME] type = "SandboxDecoder"` section of a hekad.toml (or SandboxFilter, SandboxEncoder), as far as it matters
/// here.
#[derive(Clone, Debug, Default)]
pub struct Section {
    pub name: Option<String>,
    pub filename: Option<PathBuf>,
    pub memory: Option<usize>,
    pub instructions: Option<u64>,
    pub output: Option<usize>,
    pub module_directory: Option<String>,
    /// Where hekad looked for scripts and, below lua_modules, for modules; of the section [hekad].
    pub share_dir: Option<PathBuf>,
    pub config: HashMap<String, ConfigValue>,
    pub message_matcher: Option<String>,
    pub message_signer: Option<String>,
    /// Seconds.
    pub ticker_interval: Option<u64>,
    pub preserve_data: bool,
    pub timer_event_on_shutdown: bool,
    pub can_exit: Option<bool>,
    pub profile: bool,
    /// Of a SandboxManagerFilter.
    pub working_directory: Option<PathBuf>,
    pub max_filters: Option<u64>,
}

/// An `[X] type = "HttpOutput"` section of a hekad.toml, with the section of its encoder.
#[derive(Clone, Debug, Default)]
pub struct OutputSection {
    pub address: Option<String>,
    pub method: Option<String>,
    pub headers: Vec<(String, String)>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub timeout: Option<Duration>,
    pub message_matcher: Option<String>,
    pub encoder: Option<Section>,
}

impl OutputSection {
    /// Reads `FILE` or `FILE:SECTION`, as [`Section::load`].
    ///
    /// # Errors
    /// When the file, or a section, is not there or is of another type.
    pub fn load(argument: &str) -> Result<OutputSection, Failure> {
        let (path, table) = read_config(argument)?;
        let (name, section) = find_section(&path, &table, argument, "HttpOutput")?;
        let wrong = |message: String| Failure::usage(format!("{path}: [{name}] {message}"));
        let text = |key: &str| section.get(key).and_then(toml::Value::as_str).map(str::to_string);
        let mut headers = Vec::new();
        for (header, value) in section.get("headers").and_then(toml::Value::as_table).into_iter().flatten() {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for value in values {
                let value = value.as_str().ok_or_else(|| wrong(format!("headers.{header}: expected a string")))?;
                headers.push((header.clone(), value.to_string()));
            }
        }
        let encoder = match text("encoder") {
            None => None,
            // Heka's encoder of plain payloads needs no section.
            Some(encoder) if encoder == "PayloadEncoder" && !table.contains_key(&encoder) => None,
            Some(encoder) => {
                let described = table.get(&encoder).ok_or_else(|| wrong(format!("encoder: no section [{encoder}]")))?;
                let kind = described.get("type").and_then(toml::Value::as_str).unwrap_or(&encoder);
                match kind {
                    "PayloadEncoder" => None,
                    "SandboxEncoder" => {
                        let section = Section::from_toml(&encoder, described).map_err(wrong)?;
                        Some(Section { share_dir: share_dir(&table), ..section })
                    }
                    kind => return Err(wrong(format!("encoder: {kind} is not supported, a SandboxEncoder is"))),
                }
            }
        };
        Ok(OutputSection {
            address: text("address"),
            method: text("method"),
            headers,
            username: text("username").filter(|name| !name.is_empty()),
            password: text("password"),
            timeout: section
                .get("http_timeout")
                .and_then(toml::Value::as_integer)
                .and_then(|milliseconds| u64::try_from(milliseconds).ok())
                .filter(|milliseconds| *milliseconds > 0)
                .map(Duration::from_millis),
            message_matcher: text("message_matcher").inspect(|matcher| look_for_lines(&name, matcher)),
            encoder,
        })
    }
}

/// Says that a matcher selects less here than it did: hekad took what stands behind a newline for no part of it.
fn look_for_lines(section: &str, matcher: &str) {
    if matcher.trim().contains('\n') {
        report(&format!("[{section}] message_matcher: all of its lines count here; hekad read only the first one"));
    }
}

impl Section {
    /// Reads `FILE` or `FILE:SECTION`; without a section's name the only one of that type.
    ///
    /// # Errors
    /// When the file, or the section, is not there or is of another type.
    pub fn load(argument: &str, section_type: &str) -> Result<Section, Failure> {
        let (path, table) = read_config(argument)?;
        let (name, section) = find_section(&path, &table, argument, section_type)?;
        let section = Section::from_toml(&name, section)
            .map_err(|message| Failure::usage(format!("{path}: [{name}] {message}")))?;
        Ok(Section { share_dir: share_dir(&table), ..section })
    }

    pub(super) fn from_toml(name: &str, value: &toml::Value) -> Result<Section, String> {
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
        let flag = |key: &str| match value.get(key) {
            None => Ok(None),
            Some(value) => value.as_bool().map(Some).ok_or(format!("{key}: expected true or false")),
        };
        if let Some(kind) = text("script_type")?.filter(|kind| kind != "lua") {
            return Err(format!("unsupported script type: {kind}"));
        }
        let config = value.get("config").and_then(toml::Value::as_table);
        Ok(Section {
            name: Some(name.to_string()),
            message_matcher: text("message_matcher")?.inspect(|matcher| look_for_lines(name, matcher)),
            message_signer: text("message_signer")?.filter(|name| !name.is_empty()),
            ticker_interval: number("ticker_interval")?,
            preserve_data: flag("preserve_data")?.unwrap_or(false),
            timer_event_on_shutdown: flag("timer_event_on_shutdown")?.unwrap_or(false),
            can_exit: flag("can_exit")?,
            profile: flag("profile")?.unwrap_or(false),
            filename: text("filename")?.filter(|name| !name.is_empty()).map(PathBuf::from),
            memory: number("memory_limit")?.map(|number| number as usize),
            instructions: number("instruction_limit")?,
            output: number("output_limit")?.map(|number| number as usize),
            module_directory: text("module_directory")?,
            share_dir: None,
            working_directory: text("working_directory")?.map(PathBuf::from),
            max_filters: number("max_filters")?,
            config: config
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.clone(), ConfigValue::from_toml(value)?)))
                .collect(),
        })
    }
}

fn share_dir(table: &toml::Table) -> Option<PathBuf> {
    table.get("hekad")?.get("share_dir")?.as_str().map(PathBuf::from)
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
}
