//! Where commands stand.

use std::fs;
use std::path::{Path, PathBuf};

/// What a reader would paste into a shell.
pub struct Example {
    pub command: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn programs() -> Vec<String> {
    let names = fs::read_dir(root().join("src/bin")).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().into()).collect();
    names.sort();
    names
}

/// The scripts that ship, with their names; modules show Lua.
pub fn scripts() -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    for kind in ["decoders", "encoders", "filters"] {
        let folder = root().join("lua").join(kind);
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        scripts.extend(paths.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())));
    }
    scripts
}

/// Commands of a text, each of whose lines begins with so many blanks: a line that ends with `\` or `|` goes on, and so does
/// one before a line that is indented further.
fn commands<'t>(lines: impl Iterator<Item = &'t str>, indent: usize) -> Vec<Example> {
    let begins = |line: &str| ["heka-", "curl ", "env |", "export "].iter().any(|start| line.starts_with(start));
    let mut found: Vec<String> = Vec::new();
    // Whether what was found last may go on, and is to be joined to what comes next.
    let (mut open, mut join) = (false, false);
    for line in lines {
        let blanks = line.len() - line.trim_start().len();
        let text = line.trim();
        if text.is_empty() || blanks < indent {
            open = false;
        } else if let Some(last) = found.last_mut().filter(|_| open && (blanks > indent || join)) {
            last.push('\n');
            last.push_str(text);
            join = false;
        } else if blanks == indent && begins(text) {
            found.push(text.to_string());
            (open, join) = (true, text.starts_with("export "));
        } else {
            open = false;
        }
    }
    found.into_iter().map(|command| Example { command }).collect()
}

/// In blocks of `sh`, and in those that are indented.
pub fn in_markdown(text: &str) -> Vec<Example> {
    let mut language: Option<String> = None;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("```"), &language) {
            (Some(name), None) => language = Some(name.to_string()),
            (Some(_), Some(_)) => language = None,
            (None, Some(name)) if name == "sh" => lines.push(format!("    {line}")),
            (None, None) => lines.push(line.to_string()),
            (None, Some(_)) => {}
        }
    }
    commands(lines.iter().map(String::as_str), 4)
}

/// In what `--help` says at its end.
pub fn in_help(text: &str) -> Vec<Example> {
    let lines = text.lines().skip_while(|line| *line != "Examples:").skip(1);
    commands(lines.take_while(|line| line.is_empty() || line.starts_with(' ')), 4)
}

/// At the head of a script.
pub fn in_head(text: &str) -> Vec<Example> {
    let lines = text.lines().skip_while(|line| *line != "Example").skip(1);
    commands(lines.take_while(|line| line.starts_with(' ')), 4)
}
