//! From the configuration that a control message carries to a filter that can be run.

use std::path::PathBuf;
use std::time::Duration;

use crate::matcher::Matcher;
use crate::pipeline::{hostname, parse_toml, report};
use crate::sandbox::host::{Identity, Kind};
use crate::sandbox::scripts::{ModulePath, Script};
use crate::sandbox::{Limits, Section, Settings};

/// Type of section that a manager loads.
const FILTER: &str = "SandboxFilter";
/// Longest name of a filter with its manager's: a file's name takes 255 bytes.
const MAX_NAME: usize = 200;
/// What a section may have. Those about buffers and retries are hekad's, and mean nothing in a pipe.
const KNOWN: [&str; 18] = [
    "type",
    "script_type",
    "filename",
    "message_matcher",
    "message_signer",
    "ticker_interval",
    "preserve_data",
    "timer_event_on_shutdown",
    "profile",
    "can_exit",
    "memory_limit",
    "instruction_limit",
    "output_limit",
    "module_directory",
    "config",
    "use_buffering",
    "buffering",
    "retries",
];

/// What every filter of a manager gets, whatever it asks for.
#[derive(Clone)]
pub struct Allowed {
    pub limits: Limits,
    pub modules: ModulePath,
    pub strict_nil: bool,
}

/// A filter, ready to be loaded.
pub struct Plan {
    /// "Manager-Filter".
    pub name: String,
    pub settings: Settings,
    pub expression: String,
    pub matcher: Matcher,
    /// It sees only what this signer has signed.
    pub signer: Option<String>,
    /// Zero: none.
    pub ticker: Duration,
    pub timer_on_shutdown: bool,
    pub profile: bool,
    /// Where its data is kept.
    pub state: Option<PathBuf>,
}

/// A filter's name, the stem of its files: characters that are not of a word become `_`.
pub fn full_name(manager: &str, filter: &str) -> String {
    format!("{}-{}", word(manager), word(filter))
}

/// A name as a word.
pub fn word(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// The name and the section of a filter's configuration.
///
/// # Errors
/// What is wrong in it.
pub fn parse_config(config: &str) -> Result<(String, toml::Value), String> {
    let table = parse_toml(config).map_err(|error| format!("its configuration, line {error}"))?;
    let name = first_section(config, &table).ok_or("its configuration has no section")?;
    match table.get(&name) {
        Some(section) => Ok((name.clone(), section.clone())),
        None => Err("its configuration has no section".into()),
    }
}

/// Of several sections the one that is written first.
fn first_section(text: &str, table: &toml::Table) -> Option<String> {
    let sections = || table.iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name.clone());
    if sections().count() < 2 {
        return sections().next();
    }
    // A table doesn't remember the order. (A name that TOML wants in quotes stays where the table has it.)
    let first = toml::de::DeTable::parse(text).ok().and_then(|table| {
        let keys = table.get_ref().iter().filter(|(_, value)| value.get_ref().is_table());
        let first = keys.map(|(key, _)| key).min_by_key(|key| key.span().start)?;
        Some(first.get_ref().to_string())
    });
    first.or_else(|| sections().next())
}

impl Allowed {
    /// `name`: the filter's, with its manager's; `state`: where its data is to be kept if it wants that.
    ///
    /// # Errors
    /// What is wrong in the configuration.
    pub fn plan(
        &self,
        name: String,
        section_name: &str,
        section: &toml::Value,
        script: &[u8],
        state: PathBuf,
    ) -> Result<Plan, String> {
        if name.len() > MAX_NAME {
            return Err(format!("the name of a filter with its manager's has {} bytes at most", MAX_NAME));
        }
        let kind = section.get("type").map_or(Some(section_name), toml::Value::as_str).unwrap_or_default();
        if kind != FILTER {
            return Err(format!("Plugin must be a SandboxFilter, received {kind}"));
        }
        let unknown = section.as_table().and_then(|table| table.keys().find(|key| !KNOWN.contains(&key.as_str())));
        if let Some(unknown) = unknown {
            return Err(format!("unknown config setting for '{name}': {unknown}"));
        }
        let section = Section::from_toml(section_name, section).map_err(|error| format!("'{name}' {error}"))?;
        let expression = section.message_matcher.ok_or_else(|| format!("'{name}' missing message matcher"))?;
        let matcher = Matcher::parse(&expression).map_err(|error| format!("'{name}' message_matcher: {error}"))?;
        let code = String::from_utf8(script.to_vec()).map_err(|_| format!("'{name}' its script is no UTF-8 text"))?;
        let cap = |what: &str, asked: Option<u64>, allowed: u64| match asked {
            Some(asked) if asked > 0 && (asked <= allowed || allowed == 0) => asked,
            Some(asked) => {
                let asked = if asked == 0 { "none".to_string() } else { asked.to_string() };
                report(&format!("{name}: {what} {asked}: the manager allows {allowed}, which holds"));
                allowed
            }
            None => allowed,
        };
        let allowed = &self.limits;
        let limits = Limits {
            memory: cap("memory_limit", section.memory.map(|n| n as u64), allowed.memory as u64) as usize,
            instructions: cap("instruction_limit", section.instructions, allowed.instructions),
            output: cap("output_limit", section.output.map(|n| n as u64), allowed.output as u64) as usize,
        };
        let identity = Identity {
            kind: Kind::Filter,
            name: name.clone().into_bytes(),
            hostname: hostname(),
            pid: std::process::id() as i32,
        };
        Ok(Plan {
            settings: Settings {
                script: Script::new(format!("{name}.lua"), code),
                limits,
                config: section.config,
                modules: self.modules.clone(),
                strict_nil: self.strict_nil,
                identity,
                max_failures: 0,
                clock: None,
            },
            name,
            expression,
            matcher,
            signer: section.message_signer,
            ticker: Duration::from_secs(section.ticker_interval.unwrap_or(0)),
            timer_on_shutdown: section.timer_event_on_shutdown,
            profile: section.profile,
            state: section.preserve_data.then_some(state),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words() {
        assert_eq!(full_name("Plat Devs", "My.Example"), "Plat_Devs-My_Example");
        assert_eq!(full_name("A", "../../etc/passwd\0\u{e9}"), "A-______etc_passwd__");
    }

    proptest::proptest! {
        /// Whatever a configuration says, it is planned or refused in words; its name leads nowhere.
        #[test]
        fn any_configuration_is_planned_or_refused(
            name in "[^\n\\]\"]{0,20}",
            lines in proptest::collection::vec("(type|message_matcher|ticker_interval|memory_limit|[a-z_.]{0,9}) *= *(['\"]?.{0,20}['\"]?|-?[0-9]{0,20}|true|[\\[{].{0,5})", 0..6),
            script in proptest::prelude::any::<Vec<u8>>(),
        ) {
            let text = format!("[\"{name}\"]\ntype = 'SandboxFilter'\nmessage_matcher = 'TRUE'\n{}", lines.join("\n"));
            let allowed = Allowed { limits: Limits::default(), modules: ModulePath::default(), strict_nil: false };
            for text in [text.as_str(), &text[text.len().min(name.len() + 5)..], &lines.join("\n")] {
                let Ok((name, section)) = parse_config(text) else { continue };
                let full = full_name("M", &name);
                proptest::prop_assert!(full.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
                if let Ok(plan) = allowed.plan(full.clone(), &name, &section, &script, PathBuf::new()) {
                    proptest::prop_assert_eq!(&plan.name, &full);
                    proptest::prop_assert!(plan.settings.limits.memory <= allowed.limits.memory);
                }
            }
        }
    }

    #[test]
    fn the_first_section_counts() {
        let name = |text| parse_config(text).map(|(name, _)| name);
        assert_eq!(name("[b]\nx=1\n[a]\nx=2\n").unwrap(), "b");
        assert_eq!(name("x = 1\n[TCP:5565]\n").unwrap(), "TCP:5565");
        assert!(name("x = 1").unwrap_err().contains("no section"));
        assert!(name("[a]\nx=\n").unwrap_err().contains("line 2"));
    }
}
