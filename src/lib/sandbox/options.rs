//! What scripts that ship can be told: their heads say it, in one place for people and for this.
//!
//! `- name, name (type, …): …` lines behind a line `Configuration` describe options; `- The options of the encoder NAME.`
//! stands for those of another script.

use super::host::{ConfigValue, Kind};
use super::scripts::{self, Script};

/// An option and the type of its value, as the head calls it.
struct Described<'s> {
    name: &'s str,
    kind: &'s str,
}

/// Options that the host reads, or that every script may have.
const COMMON: [Described<'static>; 3] = [
    Described { name: "tz", kind: "string" },
    Described { name: "output_limit", kind: "uint" },
    Described { name: "preservation_version", kind: "uint" },
];

/// The comment that a script begins with.
pub fn head(code: &str) -> Option<&str> {
    let (head, _) = code.trim_start().strip_prefix("--[[")?.split_once("--]]")?;
    Some(head.trim())
}

fn described(code: &'static str) -> Vec<Described<'static>> {
    let mut all = Vec::from(COMMON);
    let lines = head(code).unwrap_or_default().lines().skip_while(|line| *line != "Configuration").skip(1);
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some(line) = line.strip_prefix("- ") else {
            // A list of options may go on: `…, id (string, default none): …`.
            continue_line(line, &mut all);
            continue;
        };
        if let Some(other) = line.strip_prefix("The options of the encoder ") {
            let name = other.trim_end_matches('.');
            all.extend(scripts::shipped(Kind::Encoder, name).into_iter().flat_map(described));
            continue;
        }
        continue_line(line, &mut all);
    }
    all
}

/// Adds the options of `name, name (type, …), name (type): …`.
fn continue_line(line: &'static str, all: &mut Vec<Described<'static>>) {
    let mut rest = line;
    while let Some((names, after)) = rest.split_once(" (") {
        let names: Vec<&str> = names.trim_start_matches(", ").split(", ").collect();
        let is_name =
            |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let Some((kind, after)) = after.split_once(')').filter(|_| names.iter().all(is_name)) else { return };
        let kind = kind.split([',', ' ']).next().unwrap_or_default();
        all.extend(names.into_iter().map(|name| Described { name, kind }));
        rest = after;
    }
}

/// Why a value can't be an option of a script that ships, if it can't.
pub fn check(script: &Script, kind: Kind, key: &str, value: &ConfigValue) -> Result<(), String> {
    let name = script.name.strip_suffix(".lua").unwrap_or(&script.name);
    let Some(code) = scripts::shipped(kind, name).filter(|code| *code == script.code) else { return Ok(()) };
    let known = described(code);
    let Some(option) = known.iter().find(|option| option.name == key) else {
        return Err(format!("{name} has no option {key}{}, see --help-script {name}", nearest(key, &known)));
    };
    let fits = match (option.kind, value) {
        ("string", ConfigValue::Text(_)) | ("bool", ConfigValue::Bool(_)) => true,
        ("int", ConfigValue::Number(number)) => number.fract() == 0.0,
        ("uint", ConfigValue::Number(number)) => number.fract() == 0.0 && *number >= 0.0,
        ("number" | "double", ConfigValue::Number(_)) => true,
        // What a head doesn't say is not looked at.
        (kind, _) => !["string", "bool", "int", "uint", "number", "double"].contains(&kind),
    };
    let wanted = match option.kind {
        "string" => "a text",
        "bool" => "true or false",
        "int" => "a whole number",
        "uint" => "a whole number of 0 or more",
        _ => "a number",
    };
    if fits { Ok(()) } else { Err(format!("{name} wants {wanted} for {key}, see --help-script {name}")) }
}

/// The option that was probably meant.
fn nearest(key: &str, known: &[Described<'_>]) -> String {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    let likeness = |name: &str| strsim::jaro_winkler(&plain(key), &plain(name));
    let best = known.iter().map(|option| (likeness(option.name), option.name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.75).map_or(String::new(), |(_, name)| format!(" (did you mean {name}?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every option that a script, or a module that it requires, reads by a name that stands there is described.
    #[test]
    fn heads_describe_what_is_read() {
        fn names(code: &str, seen: &mut Vec<String>, found: &mut Vec<String>) {
            let words = |call: &str| -> Vec<String> {
                let parts = code.split_once("--]]").map_or(code, |(_, after)| after).split(call).skip(1);
                parts.filter_map(|rest| Some(rest.strip_prefix('"')?.split('"').next()?.to_string())).collect()
            };
            found.extend(words("read_config("));
            for module in words("require ") {
                if let Some(code) = scripts::module(&module).filter(|_| !seen.contains(&module)) {
                    seen.push(module);
                    names(code, seen, found);
                }
            }
        }
        let mut count = 0;
        for kind in [Kind::Decoder, Kind::Filter, Kind::Encoder] {
            for (name, code) in scripts::all(kind) {
                let mut read = Vec::new();
                names(code, &mut Vec::new(), &mut read);
                let known = described(code);
                for option in &read {
                    assert!(known.iter().any(|described| described.name == option), "{name}: {option}");
                }
                count += read.len();
                assert!(head(code).is_some_and(|head| head.contains("Example")), "{name}");
            }
        }
        assert!(count > 100, "{count}");
    }

    #[test]
    fn wrong_options_are_named() {
        let script = |name: &str, kind| Script::new(format!("{name}.lua"), scripts::shipped(kind, name).unwrap());
        let text = |text: &str| ConfigValue::Text(text.into());
        let nginx = script("nginx_access", Kind::Decoder);
        let say = |key: &str, value| check(&nginx, Kind::Decoder, key, &value).err().unwrap_or_default();
        assert_eq!(say("log_format", text("$x")), "");
        assert_eq!(say("tz", text("UTC")), "");
        assert!(say("logformat", text("$x")).contains("no option logformat (did you mean log_format?)"));
        assert!(say("zzz", text("$x")).ends_with("no option zzz, see --help-script nginx_access"));
        assert!(say("payload_keep", text("yes")).contains("wants true or false"));
        let filter = script("influx_batch", Kind::Filter);
        let say = |key: &str, value| check(&filter, Kind::Filter, key, &value).err().unwrap_or_default();
        assert_eq!(say("timestamp_precision", text("s")), "");
        assert!(say("flush_count", ConfigValue::Number(-1.0)).contains("0 or more"));
        // A script of one's own may read anything.
        assert!(check(&Script::new("nginx_access.lua", "x = 1"), Kind::Decoder, "y", &text("")).is_ok());
    }
}
