//! What programs learn from files and from the machine.

use std::path::Path;

use super::output::describe;
use super::{Failure, dialect};
use crate::stream::Keys;

/// This machine's name.
pub fn hostname() -> Vec<u8> {
    rustix::system::uname().nodename().to_bytes().to_vec()
}

/// Followed files and connections are open files: as many as the system allows. Answers how many that is.
pub fn raise_file_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Reads a text file; errors name it.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::usage(format!("{}: {}", path.display(), describe(&error))))?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{}: not UTF-8 text", path.display())))
}

/// Reads a TOML file, in hekad's dialect too, with `%ENV[NAME]` as in hekad; errors name it and the line.
pub fn read_toml(path: &Path) -> Result<toml::Table, Failure> {
    let text = read_text(path)?;
    let table = dialect::expand(&text).and_then(|text| parse_toml(&text));
    table.map_err(|error| Failure::usage(format!("{}:{error}", path.display())))
}

/// Reads TOML, in hekad's dialect too.
///
/// # Errors
/// `LINE: what is wrong there`.
pub fn parse_toml(text: &str) -> Result<toml::Table, String> {
    let text = dialect::flat_fields(text);
    text.parse().or_else(|_: toml::de::Error| {
        let text = dialect::quoted(&text);
        text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            format!("{}: {}", before.matches('\n').count() + 1, error.message())
        })
    })
}

/// Reads the file of `FILE` or `FILE:SECTION`; answers its path too.
///
/// # Errors
/// Errors name the file and the line.
pub fn read_config(argument: &str) -> Result<(String, toml::Table), Failure> {
    let path = match argument.split_once(':') {
        Some((path, _)) if !Path::new(argument).exists() => path,
        _ => argument,
    };
    Ok((path.to_string(), read_toml(Path::new(path))?))
}

/// The section that the argument names; without a name the only one of that type.
///
/// # Errors
/// When it is not there, is of another type, or when there are several.
pub fn find_section<'t>(
    path: &str,
    table: &'t toml::Table,
    argument: &str,
    section_type: &str,
) -> Result<(String, &'t toml::Value), Failure> {
    let mut sections = find_sections(path, table, argument, section_type)?;
    if sections.len() > 1 {
        let message = format!("{path}: several sections of type {section_type}; name one: {path}:NAME");
        return Err(Failure::usage(message));
    }
    Ok(sections.swap_remove(0))
}

/// The section that the argument names; without a name all of that type, at least one.
///
/// # Errors
/// When there is none, or it is of another type.
pub fn find_sections<'t>(
    path: &str,
    table: &'t toml::Table,
    argument: &str,
    section_type: &str,
) -> Result<Vec<(String, &'t toml::Value)>, Failure> {
    let is_type = |section: &toml::Value| section.get("type").and_then(toml::Value::as_str) == Some(section_type);
    if let Some(name) = argument.strip_prefix(path).and_then(|rest| rest.strip_prefix(':')) {
        let section = table.get(name).ok_or_else(|| Failure::usage(format!("{path}: no section [{name}]")))?;
        if section.get("type").is_some() && !is_type(section) && name != section_type {
            return Err(Failure::usage(format!("{path}: [{name}] is no {section_type}")));
        }
        return Ok(vec![(name.to_string(), section)]);
    }
    let of_type = |(name, section): &(&'t String, &'t toml::Value)| {
        is_type(section) || *name == section_type && section.get("type").is_none()
    };
    let sections: Vec<_> = table.iter().filter(of_type).map(|(name, section)| (name.clone(), section)).collect();
    if sections.is_empty() {
        return Err(Failure::usage(format!("{path}: no section of type {section_type}")));
    }
    Ok(sections)
}

/// Keys of signers: `NAME_VERSION = "key"`, or Heka's `[signer.NAME_VERSION] hmac_key = "key"`, which may stand in a
/// section of its own: `[TcpInput.signer.NAME_VERSION]`.
pub fn load_keys(path: &Path) -> Result<Keys, Failure> {
    let table = read_toml(path)?;
    let of = |value: &toml::Value| value.get("signer").and_then(toml::Value::as_table).cloned();
    let mut signers: Vec<toml::Table> =
        table.get("signer").and_then(toml::Value::as_table).cloned().into_iter().collect();
    signers.extend(table.values().filter_map(of));
    let all = if signers.is_empty() { vec![table] } else { signers };
    let mut keys = Keys::default();
    for signers in &all {
        add_signers(&mut keys, signers).map_err(|message| Failure::usage(format!("{}: {message}", path.display())))?;
    }
    Ok(keys)
}

/// Adds what a table of signers has; the error names the signer.
pub fn add_signers(keys: &mut Keys, signers: &toml::Table) -> Result<(), String> {
    for (name, value) in signers {
        let key = value.as_str().or_else(|| value.get("hmac_key").and_then(toml::Value::as_str));
        keys.insert(name, key.ok_or_else(|| format!("{name} has no key"))?.as_bytes());
    }
    Ok(())
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
