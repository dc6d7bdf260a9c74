//! The options of every program that runs scripts.

use std::path::{Path, PathBuf};

use clap::Args;

use super::host::{ConfigValue, Identity, Kind};
use super::options;
use super::scripts::{self, ModulePath, Script};
use super::settings::{Limits, Section, Settings};
use crate::pipeline::{Failure, Output, hostname, parse_size, report};

/// Configuration, limits, modules.
#[derive(Args, Clone, Debug, Default)]
pub struct ScriptArgs {
    /// A configuration variable of the script, with a TOML value (other text is taken as it stands)
    #[arg(long, value_name = "KEY=VALUE", value_parser = ConfigArgument::parse)]
    pub config: Vec<ConfigArgument>,

    /// Show what a script that ships, or a module, is for and can be told by --config, and end
    #[arg(long, value_name = "NAME")]
    help_script: Option<String>,

    #[command(flatten)]
    pub host: HostArgs,
}

/// A variable of a script's configuration, with its text as it was given.
#[derive(Clone, Debug)]
pub struct ConfigArgument {
    key: String,
    value: ConfigValue,
    text: String,
}

impl ConfigArgument {
    /// Reads `KEY=VALUE`: a TOML value, or, where it is none, the text as it stands.
    fn parse(argument: &str) -> Result<ConfigArgument, String> {
        let (key, text) = argument.split_once('=').ok_or("expected KEY=VALUE".to_string())?;
        if key.is_empty() {
            return Err("expected KEY=VALUE".into());
        }
        let parsed = format!("v = {text}").parse::<toml::Table>().ok();
        let value = parsed.and_then(|table| ConfigValue::from_toml(table.get("v")?));
        let value = value.unwrap_or_else(|| ConfigValue::Text(text.to_string()));
        Ok(ConfigArgument { key: key.to_string(), value, text: text.to_string() })
    }
}

/// Limits and modules, which don't depend on the script.
#[derive(Args, Clone, Debug, Default)]
pub struct HostArgs {
    /// Where scripts and modules are looked for before those that ship; `;` separates several
    #[arg(long, value_name = "DIR", visible_alias = "lua-path")]
    pub module_directory: Vec<String>,

    /// Memory that a script may use; 0 is no limit [default: 8M]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub memory_limit: Option<usize>,

    /// Lua instructions that a script may run in one call; 0 is no limit [default: 1000000]
    #[arg(long, value_name = "N")]
    pub instruction_limit: Option<u64>,

    /// Longest payload or message that a script may make; 0 is no limit [default: 63K, 4M for decoders and encoders]
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    pub output_limit: Option<usize>,

    /// Headers that a message doesn't have read as nil instead of as an empty string
    #[arg(long)]
    pub strict_nil: bool,
}

/// The same for scripts that go on with the next message when they fail on one: decoders and encoders.
#[derive(Args, Clone, Debug, Default)]
pub struct LastingScriptArgs {
    #[command(flatten)]
    script: ScriptArgs,

    /// End when a script has failed on so many messages in a row (an error or a limit of its own, not its rejection); 0 is
    /// never
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_failures: u64,
}

impl LastingScriptArgs {
    /// As [`ScriptArgs::help`].
    ///
    /// # Errors
    /// As there.
    pub fn help(&self, kind: Kind) -> Result<bool, Failure> {
        self.script.help(kind)
    }

    /// As [`ScriptArgs::settings_of_chain`].
    ///
    /// # Errors
    /// As there.
    pub fn settings_of_chain(
        &self,
        scripts: &[PathBuf],
        section: &Section,
        kind: Kind,
    ) -> Result<Vec<Settings>, Failure> {
        let mut chain = self.script.settings_of_chain(scripts, section, kind)?;
        chain.iter_mut().for_each(|settings| settings.max_failures = self.max_failures);
        Ok(chain)
    }

    /// As [`ScriptArgs::settings`].
    ///
    /// # Errors
    /// As there.
    pub fn settings(&self, script: &Path, section: &Section, kind: Kind) -> Result<Settings, Failure> {
        Ok(Settings { max_failures: self.max_failures, ..self.script.settings(script, section, kind)? })
    }
}

impl ScriptArgs {
    /// What a script is run with: the command line wins over the section.
    ///
    /// # Errors
    /// When the script is not found.
    pub fn settings(&self, script: &Path, section: &Section, kind: Kind) -> Result<Settings, Failure> {
        Ok(self.settings_of_chain(&[script.to_path_buf()], section, kind)?.swap_remove(0))
    }

    /// The same for several, which have one configuration.
    ///
    /// # Errors
    /// When a script is not found, or scripts that ship can't be told what the command line tells them.
    pub fn settings_of_chain(
        &self,
        scripts: &[PathBuf],
        section: &Section,
        kind: Kind,
    ) -> Result<Vec<Settings>, Failure> {
        let modules = self.host.modules(section);
        let scripts =
            scripts.iter().map(|script| Script::find(script, &modules, kind)).collect::<Result<Vec<_>, _>>()?;
        // What one of several doesn't know is another's.
        let check = |key: &str, value: &ConfigValue| {
            let wrong = scripts.iter().map(|script| options::check(script, kind, key, value).err());
            wrong.collect::<Option<Vec<String>>>().and_then(|words| words.into_iter().next())
        };
        for ConfigArgument { key, value, text } in &self.config {
            let as_text = || check(key, &ConfigValue::Text(text.clone()));
            if let Some(words) = check(key, value).filter(|_| as_text().is_some()) {
                return Err(Failure::usage(format!("--config: {words}")));
            }
        }
        for (key, value) in &section.config {
            if let Some(words) = check(key, value) {
                let name = section.name.as_deref().unwrap_or_default();
                report(&format!("[{name}.config] {words}"));
            }
        }
        Ok(scripts.into_iter().map(|script| self.settings_of(script, section, kind)).collect())
    }

    /// Prints what `--help-script` asks for; true if it asks for something.
    ///
    /// # Errors
    /// When there is no such script.
    pub fn help(&self, kind: Kind) -> Result<bool, Failure> {
        let Some(name) = &self.help_script else { return Ok(false) };
        let short = name.strip_suffix(".lua").unwrap_or(name);
        let kinds = [kind, Kind::Decoder, Kind::Filter, Kind::Encoder];
        let code = kinds.iter().find_map(|kind| scripts::shipped(*kind, short)).or_else(|| scripts::module(short));
        let code = code.ok_or_else(|| Failure::usage(format!("--help-script: no script or module {name} ships")))?;
        let mut out = Output::text();
        out.push(format!("{}\n", options::head(code).unwrap_or_default()).as_bytes())?;
        out.flush()?;
        Ok(true)
    }

    /// What a script that has been read is run with.
    pub fn settings_of(&self, script: Script, section: &Section, kind: Kind) -> Settings {
        let mut config = section.config.clone();
        for ConfigArgument { key, value, text } in &self.config {
            // `--config type=404` is a text where the script wants one.
            let value = match options::check(&script, kind, key, value) {
                Ok(()) => value.clone(),
                Err(_) => ConfigValue::Text(text.clone()),
            };
            config.insert(key.clone(), value);
        }
        let stem = script.name.strip_suffix(".lua").unwrap_or(&script.name);
        let name = section.name.as_deref().unwrap_or(stem).as_bytes().to_vec();
        let identity = Identity { kind, name, hostname: hostname(), pid: std::process::id() as i32 };
        let (limits, modules) = (self.host.limits(section, kind), self.host.modules(section));
        Settings {
            script,
            limits,
            config,
            modules,
            strict_nil: self.host.strict_nil,
            identity,
            max_failures: 0,
            clock: None,
        }
    }
}

impl HostArgs {
    /// The command line wins over the section.
    pub fn limits(&self, section: &Section, kind: Kind) -> Limits {
        let default = Limits::of(kind);
        Limits {
            memory: self.memory_limit.or(section.memory).unwrap_or(default.memory),
            instructions: self.instruction_limit.or(section.instructions).unwrap_or(default.instructions),
            output: self.output_limit.or(section.output).unwrap_or(default.output),
        }
    }

    /// Those of the command line come first.
    pub fn modules(&self, section: &Section) -> ModulePath {
        let items: Vec<String> = self.module_directory.iter().chain(&section.module_directory).cloned().collect();
        let mut path = ModulePath::new(&items);
        if let Some(share) = &section.share_dir {
            path.scripts.push(share.clone());
            if section.module_directory.is_none() {
                path.directories.push(share.join("lua_modules"));
            }
        }
        path
    }
}

/// The script of a program that runs one, or a chain.
pub fn named_script(option: &[PathBuf], section: &Section, example: &str) -> Result<Vec<PathBuf>, Failure> {
    match (option, &section.filename) {
        ([], None) => {
            Err(Failure::usage(format!("which script? Name it: {example}, --lua ./mine.lua, or --config-file")))
        }
        ([], Some(filename)) => Ok(vec![filename.clone()]),
        (scripts, _) => Ok(scripts.to_vec()),
    }
}
