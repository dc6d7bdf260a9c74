//! What programs learn from files and from the machine.

use std::path::Path;

use super::Failure;
use super::output::describe;
use crate::stream::Keys;

/// This machine's name.
pub fn hostname() -> Vec<u8> {
    rustix::system::uname().nodename().to_bytes().to_vec()
}

/// Reads a text file; errors name it.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::usage(format!("{}: {}", path.display(), describe(&error))))?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{}: not UTF-8 text", path.display())))
}

/// Reads a TOML file; errors name it and the line.
pub fn read_toml(path: &Path) -> Result<toml::Table, Failure> {
    let text = read_text(path)?;
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Failure::usage(format!("{}:{line}: {}", path.display(), error.message()))
    })
}

/// Keys of signers: `NAME_VERSION = "key"`, or Heka's `[signer.NAME_VERSION] hmac_key = "key"`.
pub fn load_keys(path: &Path) -> Result<Keys, Failure> {
    let table = read_toml(path)?;
    let signers = table.get("signer").and_then(toml::Value::as_table).unwrap_or(&table);
    let mut keys = Keys::default();
    for (name, value) in signers {
        let key = value.as_str().or_else(|| value.get("hmac_key").and_then(toml::Value::as_str));
        let key = key.ok_or_else(|| Failure::usage(format!("{}: {name} has no key", path.display())))?;
        keys.insert(name, key.as_bytes());
    }
    Ok(keys)
}

/// A secret from a file, or from the environment; never from the command line, where every user sees it.
pub fn read_secret(file: Option<&Path>, variable: &str, option: &str) -> Result<String, Failure> {
    Ok(read_secrets(file, variable, option)?.swap_remove(0))
}

/// The same, one a line; there is at least one.
pub fn read_secrets(file: Option<&Path>, variable: &str, option: &str) -> Result<Vec<String>, Failure> {
    let text = match file {
        Some(path) => read_text(path)?,
        None => std::env::var(variable)
            .map_err(|_| Failure::usage(format!("no token: name its file with {option}, or set {variable}")))?,
    };
    let secrets: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect();
    let printable = |secret: &String| secret.bytes().all(|byte| byte.is_ascii_graphic());
    if secrets.is_empty() || !secrets.iter().all(printable) {
        let place = file.map_or(variable.to_string(), |path| path.display().to_string());
        return Err(Failure::usage(format!("{place}: no token in it, or one with blanks")));
    }
    Ok(secrets)
}
