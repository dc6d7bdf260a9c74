//! The options of every program that runs scripts.

use std::path::{Path, PathBuf};

use clap::Args;

use super::host::{ConfigValue, Identity, Kind};
use super::scripts::{ModulePath, Script};
use super::settings::{Limits, Section, Settings};
use crate::pipeline::{Failure, hostname, parse_size};

/// Configuration, limits, modules.
#[derive(Args, Clone, Debug, Default)]
pub struct ScriptArgs {
    /// A configuration variable of the script, with a TOML value (other text is taken as it stands)
    #[arg(long, value_name = "KEY=VALUE", value_parser = ConfigValue::from_argument)]
    pub config: Vec<(String, ConfigValue)>,

    #[command(flatten)]
    pub host: HostArgs,
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
        let script = Script::find(script, &self.host.modules(section), kind)?;
        Ok(self.settings_of(script, section, kind))
    }

    /// The same for a script that has been read.
    pub fn settings_of(&self, script: Script, section: &Section, kind: Kind) -> Settings {
        let mut config = section.config.clone();
        config.extend(self.config.iter().cloned());
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
