//! The TOML of hekad's days, in words that today's parser takes. Lines stay where they are.

use std::borrow::Cow;

use super::report_once;

/// Puts the values of `%ENV[NAME]` in, wherever they stand, as hekad did before it parsed; one that isn't set is empty.
///
/// # Errors
/// What is wrong with one, and in which line: `LINE: …`.
pub fn expand(text: &str) -> Result<Cow<'_, str>, String> {
    const MARK: &str = "%ENV[";
    if !text.contains(MARK) {
        return Ok(text.into());
    }
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(MARK) {
        made.push_str(before);
        let wrong = |what: &str| format!("{}: %ENV[: {what}", made.matches('\n').count() + 1);
        let (name, following) = after.split_once(']').ok_or_else(|| wrong("its ] is missing"))?;
        if name.is_empty() || name.contains(['\n', '=', '\0', ' ', '\t', '"']) {
            return Err(wrong("expected the name of a variable of the environment"));
        }
        match std::env::var(name) {
            Ok(value) => made.push_str(&value),
            Err(_) => report_once("variables of the environment that are not set", || {
                format!("%ENV[{name}] is not set in the environment, and taken as empty")
            }),
        }
        rest = following;
    }
    made.push_str(rest);
    Ok(made.into())
}

/// Names of sections and keys that hekad took without quotes, `[TCP:5565.signer.ops_0]`, `Size|B = 1`, and its escape `\/`.
pub fn quoted(text: &str) -> String {
    rewrite(text, |line, _| quoted_line(line))
}

/// Keys of message_fields: a dot in one stands for itself.
pub fn flat_fields(text: &str) -> Cow<'_, str> {
    if !text.contains("message_fields]") {
        return text.into();
    }
    let flat = |line: &str, section: &str| {
        let fields =
            section.rsplit('.').next().is_some_and(|last| last.trim_matches(['"', '\'', ' ']) == "message_fields");
        match key_of(line).filter(|key| fields && key.contains('.') && is_bare(&key.replace('.', ""))) {
            Some(key) => line.replacen(key, &format!("\"{key}\""), 1),
            None => line.to_string(),
        }
    };
    rewrite(text, flat).into()
}

/// Gives each line that is not in the middle of a text, and the section that it is in.
fn rewrite(text: &str, mut line_of: impl FnMut(&str, &str) -> String) -> String {
    let mut made = String::with_capacity(text.len() + 64);
    // What ends a text of several lines.
    let mut open: Option<&str> = None;
    let mut section = String::new();
    for line in text.split_inclusive('\n') {
        if let Some(end) = open {
            made.push_str(line);
            if line.contains(end) {
                open = None;
            }
            continue;
        }
        if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            section = name.to_string();
        }
        made.push_str(&line_of(line, &section));
        open = ["\"\"\"", "'''"].into_iter().find(|mark| line.matches(mark).count() % 2 == 1);
    }
    made
}

fn quoted_line(line: &str) -> String {
    let end = if line.ends_with('\n') { "\n" } else { "" };
    if let Some(rest) = line.trim().strip_prefix('[') {
        let name = rest.split_once(']').filter(|(_, after)| after.trim().is_empty() || after.trim().starts_with('#'));
        return match name.filter(|(name, _)| !name.contains(['[', '"', '\''])) {
            Some((name, _)) => format!("[\"{}\"]{end}", name.trim().replace('.', "\".\"")),
            None => line.to_string(),
        };
    }
    let Some(key) = key_of(line) else { return line.to_string() };
    let line = match is_bare(key) || key.contains(['"', '\'']) {
        true => line.to_string(),
        false => line.replacen(key, &format!("\"{key}\""), 1),
    };
    without_slash_escapes(&line)
}

/// What stands before the `=` of `key = value`.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    (!key.is_empty() && !key.starts_with('#')).then_some(key)
}

fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// `\/` in double quotes is `/`.
fn without_slash_escapes(line: &str) -> String {
    let mut made = String::with_capacity(line.len());
    let (mut quote, mut chars) = (None, line.chars().peekable());
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', Some('"')) => match chars.next() {
                Some('/') => made.push('/'),
                next => made.extend(Some(c).into_iter().chain(next)),
            },
            ('"' | '\'', None) => {
                quote = Some(c);
                made.push(c);
            }
            _ => {
                if quote == Some(c) {
                    quote = None;
                }
                made.push(c);
            }
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::super::config::parse_toml;
    use proptest::prelude::*;

    #[test]
    fn what_hekad_took() {
        let text = r#"
[TCP:5565.signer.ops_0] # a comment
hmac_key = "a\/b"
[Fx.message_fields]
Size|B = "%Size%"
details.m = "%M%"
"quo ted" = 'C:\/x'
[Fx]
type = "PayloadRegexDecoder"
match_regex = '''
a = b
'''
"#;
        let table = parse_toml(text).unwrap();
        assert_eq!(table["TCP:5565"]["signer"]["ops_0"]["hmac_key"].as_str(), Some("a/b"));
        let fields = table["Fx"]["message_fields"].as_table().unwrap();
        let fields: Vec<_> = fields.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap())).collect();
        assert_eq!(fields, [("Size|B", "%Size%"), ("details.m", "%M%"), ("quo ted", r"C:\/x")]);
        assert_eq!(table["Fx"]["match_regex"].as_str(), Some("a = b\n"));
        // A dot in a key is flat there also where all else is as today.
        let table = parse_toml("[a.message_fields]\nx.y = 1\n[b]\nx.y = 1\n").unwrap();
        assert!(table["a"]["message_fields"].get("x.y").is_some() && table["b"]["x"].get("y").is_some());
        assert_eq!(parse_toml("[a]\nb = \n").unwrap_err().split(':').next(), Some("2"));
    }

    #[test]
    fn variables_of_the_environment() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(super::expand("a = \"%ENV[PATH]/x\" 100%").unwrap(), format!("a = \"{path}/x\" 100%"));
        assert_eq!(super::expand("a = 'x%ENV[HEKA_NO_SUCH_NAME]y'").unwrap(), "a = 'xy'");
        assert!(super::expand("\na = %ENV[X").unwrap_err().starts_with("2: "));
        assert!(super::expand("%ENV[A B]").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_lines_stay(text in "([\\[\\]=.\"'a/\\\\ \n|#%]|ENV\\[|message_fields\\]|'''){0,40}") {
            let lines = |text: &str| text.matches('\n').count();
            prop_assert_eq!(lines(&super::quoted(&text)), lines(&text));
            prop_assert_eq!(lines(&super::flat_fields(&text)), lines(&text));
            let _ = super::expand(&text);
        }
    }
}
