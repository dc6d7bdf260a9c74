//! The scripts that ship, compiled in, and where others are found.

use std::path::{Path, PathBuf};

use crate::pipeline::{Failure, read_text};

const DECODERS: [(&str, &str); 3] = [
    ("apache_access", include_str!("../../../lua/decoders/apache_access.lua")),
    ("nginx_access", include_str!("../../../lua/decoders/nginx_access.lua")),
    ("rsyslog", include_str!("../../../lua/decoders/rsyslog.lua")),
];

const MODULES: [(&str, &str); 5] = [
    ("common_log_format", include_str!("../../../lua/modules/common_log_format.lua")),
    ("date_time", include_str!("../../../lua/modules/date_time.lua")),
    ("ip_address", include_str!("../../../lua/modules/ip_address.lua")),
    ("syslog", include_str!("../../../lua/modules/syslog.lua")),
    ("web_access", include_str!("../../../lua/modules/web_access.lua")),
];

/// A script's text and the name that its errors show.
#[derive(Clone, Debug)]
pub struct Script {
    pub name: String,
    pub code: String,
}

impl Script {
    /// A path, or the name of a decoder that ships, with or without `.lua` and Heka's `lua_decoders/`.
    /// Directories of `path` come first.
    ///
    /// # Errors
    /// When it can't be read; when there is neither such a file nor such a name.
    pub fn find(name: &Path, path: &ModulePath) -> Result<Script, Failure> {
        let in_path = path.directories.iter().map(|directory| directory.join(name)).find(|file| file.is_file());
        let file = in_path.unwrap_or_else(|| name.to_path_buf());
        if file.exists() {
            let shown = file.file_name().map_or(file.to_string_lossy(), |name| name.to_string_lossy()).into_owned();
            return Ok(Script { name: shown, code: read_text(&file)? });
        }
        let text = name.to_string_lossy();
        let short = text.strip_prefix("lua_decoders/").unwrap_or(&text);
        let short = short.strip_suffix(".lua").unwrap_or(short);
        match DECODERS.iter().find(|(known, _)| *known == short) {
            Some((known, code)) => Ok(Script { name: format!("{known}.lua"), code: code.to_string() }),
            None => {
                let names: Vec<&str> = DECODERS.iter().map(|(known, _)| *known).collect();
                Err(Failure::usage(format!(
                    "{text}: no such file, and no script of that name ships (those that do: {})",
                    names.join(", ")
                )))
            }
        }
    }
}

/// Directories where `require` looks before it takes a module that ships.
#[derive(Clone, Debug, Default)]
pub struct ModulePath {
    pub directories: Vec<PathBuf>,
}

impl ModulePath {
    /// Each item may hold several directories, separated by `;` as in Heka's `module_directory`.
    pub fn new(items: &[String]) -> ModulePath {
        let directories = items.iter().flat_map(|item| item.split(';')).filter(|directory| !directory.is_empty());
        ModulePath { directories: directories.map(PathBuf::from).collect() }
    }

    /// The text of a module and its file; or the names that were tried. A dot in a name is a directory.
    pub fn find(&self, module: &str) -> Result<(Vec<u8>, String), String> {
        let relative = format!("{}.lua", module.replace('.', "/"));
        let mut tried = String::new();
        for directory in &self.directories {
            let file = directory.join(&relative);
            match std::fs::read(&file) {
                Ok(code) => return Ok((code, file.display().to_string())),
                Err(_) => tried.push_str(&format!("\n\tno file '{}'", file.display())),
            }
        }
        if let Some((name, code)) = MODULES.iter().find(|(name, _)| *name == module) {
            return Ok((code.as_bytes().to_vec(), format!("{name}.lua")));
        }
        if tried.is_empty() {
            tried = format!("\n\tno file '{relative}'");
        }
        Err(tried)
    }
}
