//! `[X] type = "LogstreamerInput"` sections of a hekad.toml, and the splitters that they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::selection::SelectionOptions;
use crate::pipeline::{Failure, add_signers, find_sections, parse_duration, read_config, read_toml};

/// A section, as far as it matters here.
#[derive(Clone, Debug)]
pub struct LogstreamSection {
    pub name: String,
    pub log_directory: PathBuf,
    pub selection: SelectionOptions,
    pub hostname: Option<String>,
    /// Zero is no limit.
    pub oldest_duration: Duration,
    pub rescan_interval: Option<Duration>,
    pub initial_tail: bool,
    pub splitter: SplitterSection,
    /// Not run here.
    pub decoder: Option<String>,
}

/// What a splitter's section says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitterSection {
    pub kind: SplitterKind,
    pub keep_truncated: bool,
    pub deliver_incomplete_final: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitterKind {
    Token {
        delimiter: String,
        count: usize,
    },
    Regex {
        delimiter: String,
        at_start: bool,
    },
    Group {
        delimiter: String,
        grouping: String,
        max_lines: usize,
    },
    Null,
    /// The keys of the signers; without any, signatures aren't looked at.
    Heka {
        signers: Option<crate::stream::Keys>,
    },
}

/// Heka's, for sections.
const OLDEST: Duration = Duration::from_secs(720 * 3600);
const INPUT: &str = "LogstreamerInput";
/// What other parts of Heka's input did; nothing here depends on it.
const ELSEWHERE: [&str; 8] = [
    "type",
    "journal_directory",
    "check_data_interval",
    "synchronous_decode",
    "send_decode_failures",
    "log_decode_failures",
    "can_exit",
    "retries",
];

impl LogstreamSection {
    /// Reads `FILE` or `FILE:SECTION`; without a section's name all of that type.
    ///
    /// # Errors
    /// When the file, or a section, is not there, or says what can't be.
    pub fn load(argument: &str) -> Result<Vec<LogstreamSection>, Failure> {
        let (path, table) = read_config(argument)?;
        let sections = find_sections(&path, &table, argument, INPUT)?;
        let read = |(name, section): (String, &Value)| {
            LogstreamSection::from_toml(&name, section, &table)
                .map_err(|message| Failure::usage(format!("{path}: [{name}] {message}")))
        };
        sections.into_iter().map(read).collect()
    }

    fn from_toml(name: &str, value: &Value, table: &toml::Table) -> Result<LogstreamSection, String> {
        let mut keys = Keys::new(value)?;
        for key in ["parser_type", "delimiter", "delimiter_location"] {
            if keys.take(key).is_some() {
                return Err(format!("{key}: gone since Heka 0.9; name a splitter instead"));
            }
        }
        let splitter = keys.text("splitter")?.unwrap_or_else(|| "TokenSplitter".into());
        let section = LogstreamSection {
            name: name.to_string(),
            log_directory: keys.text("log_directory")?.unwrap_or_else(|| "/var/log".into()).into(),
            selection: SelectionOptions {
                file_match: keys.text("file_match")?.ok_or("`file_match` setting is required")?,
                priority: keys.texts("priority")?,
                differentiator: keys.texts("differentiator")?,
                translation: keys.take("translation").map_or(Ok(BTreeMap::new()), translation)?,
                name: name.to_string(),
            },
            hostname: keys.text("hostname")?.filter(|name| !name.is_empty()),
            oldest_duration: keys.duration("oldest_duration")?.unwrap_or(OLDEST),
            rescan_interval: keys.duration("rescan_interval")?,
            initial_tail: keys.flag("initial_tail")?,
            splitter: SplitterSection::from_toml(&splitter, table).map_err(|message| format!("splitter: {message}"))?,
            decoder: keys.text("decoder")?.filter(|decoder| !decoder.is_empty()),
        };
        keys.end(&ELSEWHERE)?;
        Ok(section)
    }
}

impl SplitterSection {
    fn from_toml(name: &str, table: &toml::Table) -> Result<SplitterSection, String> {
        let empty = Value::Table(toml::Table::new());
        let value = table.get(name);
        let kind = value.and_then(|value| value.get("type")).and_then(Value::as_str).unwrap_or(name);
        let wrong = |message: String| if value.is_some() { format!("[{name}] {message}") } else { message };
        let mut keys = Keys::new(value.unwrap_or(&empty)).map_err(wrong)?;
        let kind = match kind {
            "TokenSplitter" => SplitterKind::Token {
                delimiter: keys.text("delimiter").map_err(wrong)?.unwrap_or_else(|| "\n".into()),
                count: keys.count("count").map_err(wrong)?.unwrap_or(1),
            },
            "RegexSplitter" => SplitterKind::Regex {
                delimiter: keys.text("delimiter").map_err(wrong)?.unwrap_or_else(|| "\n".into()),
                at_start: keys.take("delimiter_eol").and_then(Value::as_bool) == Some(false),
            },
            "PatternGroupingSplitter" => SplitterKind::Group {
                delimiter: keys.text("delimiter").map_err(wrong)?.unwrap_or_else(|| "\n".into()),
                grouping: keys.text("grouping").map_err(wrong)?.unwrap_or_default(),
                max_lines: keys.count("max_lines").map_err(wrong)?.unwrap_or(99),
            },
            "NullSplitter" => SplitterKind::Null,
            "HekaFramingSplitter" => {
                let mut signers = crate::stream::Keys::default();
                if let Some(table) = keys.take("signer").and_then(Value::as_table) {
                    add_signers(&mut signers, table).map_err(wrong)?;
                }
                let skips = keys.flag("skip_authentication").map_err(wrong)?;
                SplitterKind::Heka { signers: (!skips).then_some(signers) }
            }
            other => return Err(format!("{other} is none of Heka's splitters, and no section is called so")),
        };
        let keep_truncated = keys.flag("keep_truncated").map_err(wrong)?;
        let deliver_incomplete_final = keys.flag("deliver_incomplete_final").map_err(wrong)?;
        let elsewhere = ["type", "use_message_bytes", "min_buffer_size"];
        keys.end(&elsewhere).map_err(wrong)?;
        Ok(SplitterSection { kind, keep_truncated, deliver_incomplete_final })
    }
}

/// Reads a TOML file of translations: `[GROUP] value = number`, or `[X.translation.GROUP]` as in a hekad.toml.
///
/// # Errors
/// When it isn't one.
pub fn load_translation(path: &Path) -> Result<BTreeMap<String, BTreeMap<String, i64>>, Failure> {
    let table = read_toml(path)?;
    let inner = table.get("translation").or_else(|| table.values().find_map(|value| value.get("translation")));
    let value = inner.cloned().unwrap_or(Value::Table(table));
    translation(&value).map_err(|message| Failure::usage(format!("{}: {message}", path.display())))
}

fn translation(value: &Value) -> Result<BTreeMap<String, BTreeMap<String, i64>>, String> {
    let wrong = || "translation: expected numbers: [translation.GROUP] value = 1".to_string();
    let groups = value.as_table().ok_or_else(wrong)?;
    let numbers = |(group, values): (&String, &Value)| {
        let values = values.as_table().ok_or_else(wrong)?;
        let number = |(value, number): (&String, &Value)| Ok((value.clone(), number.as_integer().ok_or_else(wrong)?));
        Ok((group.clone(), values.iter().map(number).collect::<Result<_, String>>()?))
    };
    groups.iter().map(numbers).collect()
}

/// A section's keys, each taken once: what is left is unknown.
struct Keys<'t> {
    table: &'t toml::Table,
    taken: Vec<&'static str>,
}

impl<'t> Keys<'t> {
    fn new(value: &'t Value) -> Result<Keys<'t>, String> {
        Ok(Keys { table: value.as_table().ok_or("is no section")?, taken: Vec::new() })
    }

    fn take(&mut self, key: &'static str) -> Option<&'t Value> {
        self.taken.push(key);
        self.table.get(key)
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, String> {
        let text = |value: &Value| value.as_str().map(str::to_string).ok_or(format!("{key}: expected a string"));
        self.take(key).map(text).transpose()
    }

    fn texts(&mut self, key: &'static str) -> Result<Vec<String>, String> {
        let wrong = || format!("{key}: expected a list of strings");
        let Some(value) = self.take(key) else { return Ok(Vec::new()) };
        let values = value.as_array().ok_or_else(wrong)?;
        values.iter().map(|value| value.as_str().map(str::to_string).ok_or_else(wrong)).collect()
    }

    fn flag(&mut self, key: &'static str) -> Result<bool, String> {
        let flag = |value: &Value| value.as_bool().ok_or(format!("{key}: expected true or false"));
        self.take(key).map_or(Ok(false), flag)
    }

    fn count(&mut self, key: &'static str) -> Result<Option<usize>, String> {
        let count = |value: &Value| {
            let number = value.as_integer().and_then(|number| usize::try_from(number).ok());
            number.ok_or(format!("{key}: expected a whole number"))
        };
        self.take(key).map(count).transpose()
    }

    /// A duration; a number is in milliseconds.
    fn duration(&mut self, key: &'static str) -> Result<Option<Duration>, String> {
        let duration = |value: &Value| match value {
            Value::String(text) => parse_duration(text).map_err(|message| format!("{key}: {message}")),
            Value::Integer(number) if *number >= 0 => Ok(Duration::from_millis(*number as u64)),
            _ => Err(format!("{key}: expected a duration, such as \"10s\"")),
        };
        self.take(key).map(duration).transpose()
    }

    fn end(&self, elsewhere: &[&str]) -> Result<(), String> {
        let unknown =
            self.table.keys().find(|key| !self.taken.contains(&key.as_str()) && !elsewhere.contains(&key.as_str()));
        unknown.map_or(Ok(()), |key| Err(format!("unknown setting {key}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Vec<LogstreamSection>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hekad.toml");
        std::fs::write(&path, text).unwrap();
        LogstreamSection::load(&path.display().to_string()).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn a_section_is_read_as_it_stands() {
        let sections = load(
            r#"
            [accesslogs]
            type = "LogstreamerInput"
            log_directory = "/var/log/nginx"
            file_match = '(?P<Host>[^/]+)/access\.log\.?(?P<Seq>\d*)'
            priority = ["^Seq"]
            differentiator = ["nginx-", "Host"]
            oldest_duration = "48h"
            rescan_interval = 5000
            decoder = "nginx"
            splitter = "slow"
            [accesslogs.translation.Seq]
            missing = 7
            [slow]
            type = "RegexSplitter"
            delimiter = '\n(# User@Host:)'
            delimiter_eol = false
            [nginx]
            type = "SandboxDecoder"
            "#,
        )
        .unwrap();
        let [section] = &sections[..] else { panic!("{sections:?}") };
        assert_eq!((section.name.as_str(), section.decoder.as_deref()), ("accesslogs", Some("nginx")));
        assert_eq!(section.oldest_duration, Duration::from_secs(48 * 3600));
        assert_eq!(section.rescan_interval, Some(Duration::from_secs(5)));
        assert_eq!(section.selection.translation["Seq"]["missing"], 7);
        let kind = SplitterKind::Regex { delimiter: r"\n(# User@Host:)".into(), at_start: true };
        assert_eq!(section.splitter, SplitterSection { kind, keep_truncated: false, deliver_incomplete_final: false });
    }

    #[test]
    fn what_can_t_be_is_said() {
        for (text, expected) in [
            ("[LogstreamerInput]", "`file_match` setting is required"),
            ("[LogstreamerInput]\nfile_match = 'x'\ndelimiter = 'y'", "name a splitter"),
            ("[LogstreamerInput]\nfile_match = 'x'\nfile_mask = 'y'", "unknown setting file_mask"),
            ("[LogstreamerInput]\nfile_match = 'x'\nsplitter = 'y'", "none of Heka's splitters"),
            ("[LogstreamerInput]\nfile_match = 'x'\noldest_duration = '1 fortnight'", "oldest_duration: expected"),
            ("[LogstreamerInput]\nfile_match = 'x'\npriority = 'Seq'", "priority: expected a list"),
            ("[x]\ntype = 'TcpInput'", "no section of type LogstreamerInput"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
