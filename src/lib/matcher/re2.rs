//! Regexes as Heka reads them: RE2's syntax, in Go's reading of it (<https://golang.org/s/re2syntax>), in the words of the
//! regex crate. What only the crate has stays allowed.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{Regex, RegexBuilder};

/// Bytes that a compiled regex may take.
const SIZE: usize = 1 << 20;

/// Characters of `5,10}`; there are no repetitions of more than 1,000 in RE2.
const MAX_REPETITION: usize = 16;

/// Compiles a regex, within bounds of size and depth.
///
/// # Errors
/// A sentence for the user.
pub fn compile(regex: &str) -> Result<Regex, String> {
    build(&translate(regex)?)
}

/// The same for a text that has to be matched whole.
///
/// # Errors
/// As [`compile`].
pub fn compile_whole(regex: &str) -> Result<Regex, String> {
    build(&format!("^(?:{})$", translate(regex)?))
}

fn build(regex: &str) -> Result<Regex, String> {
    RegexBuilder::new(regex).size_limit(SIZE).nest_limit(100).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!("bad regex: it needs more than {limit} bytes"),
        error => {
            // The crate's message spans lines; its last one says what is wrong.
            let text = error.to_string();
            let last = text.lines().next_back().unwrap_or_default().trim();
            format!("bad regex: {}", last.strip_prefix("error: ").unwrap_or(last))
        }
    })
}

/// # Errors
/// What RE2 refuses and the crate reads as something else: ranges that go backwards, classes that it doesn't know.
fn translate(regex: &str) -> Result<String, String> {
    let mut made = String::with_capacity(regex.len() + 16);
    let mut chars = regex.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => escape(&mut chars, &mut made, false),
            '[' => class(&mut chars, &mut made)?,
            '{' if !is_repetition(chars.clone()) => made.push_str("\\{"),
            c => made.push(c),
        }
    }
    Ok(made)
}

/// Whether `{` begins `{2}`, `{2,}` or `{2,5}`; it stands for itself otherwise.
fn is_repetition(rest: Peekable<Chars<'_>>) -> bool {
    let text: String = rest.take(MAX_REPETITION).collect();
    let Some((inner, _)) = text.split_once('}') else { return false };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    // Nor is a number with a zero ahead of it one.
    let number = |text: &str| {
        text == "0" || !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    number(least) && (most.is_empty() || number(most))
}

fn literal(c: char, made: &mut String) {
    if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
        made.push('\\');
    }
    made.push(c);
}

/// What follows a backslash.
fn escape(chars: &mut Peekable<Chars<'_>>, made: &mut String, in_class: bool) {
    let Some(c) = chars.next() else { return made.push('\\') };
    // These mean ASCII in RE2, Unicode in the crate.
    let ascii = match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'b' if !in_class => "(?-u:\\b)",
        'B' if !in_class => "(?-u:\\B)",
        'Q' if !in_class => return quoted(chars, made),
        '0'..='7' if c == '0' || chars.peek().is_some_and(|next| next.is_digit(8)) => return octal(c, chars, made),
        // In the crate they are the ends of words.
        '<' | '>' => return made.push(c),
        c => {
            made.extend(['\\', c]);
            if matches!(c, 'p' | 'P' | 'x') {
                if chars.peek() == Some(&'{') {
                    made.extend(std::iter::from_fn(|| chars.next_if(|c| *c != '}')));
                }
                made.extend(chars.next());
            }
            return;
        }
    };
    made.push_str(ascii);
}

/// `\Q…\E`, or to the end.
fn quoted(chars: &mut Peekable<Chars<'_>>, made: &mut String) {
    // A repetition would take the last character alone, as in RE2.
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            return;
        }
        literal(c, made);
    }
}

/// Up to three digits.
fn octal(first: char, chars: &mut Peekable<Chars<'_>>, made: &mut String) {
    let mut code = first.to_digit(8).unwrap_or_default();
    for _ in 0..2 {
        let Some(digit) = chars.next_if(|c| c.is_digit(8)) else { break };
        code = code * 8 + digit.to_digit(8).unwrap_or_default();
    }
    let _ = write!(made, "\\x{{{code:x}}}");
}

/// What follows `[`: in RE2 there are no operators inside, and only `[:name:]` is a class in a class.
fn class(chars: &mut Peekable<Chars<'_>>, made: &mut String) -> Result<(), String> {
    made.push('[');
    if chars.next_if_eq(&'^').is_some() {
        made.push('^');
    }
    let mut first = true;
    loop {
        let Some(&c) = chars.peek() else { return Ok(()) };
        if c == ']' && !first {
            made.push(']');
            chars.next();
            return Ok(());
        }
        first = false;
        if c == '[' && named_class(chars, made)? {
            continue;
        }
        let begin = made.len();
        member(chars, made);
        let from = made[begin..].to_string();
        // A minus is one by itself at the end, and after what is no single character.
        let is_class = ["[", "\\p", "\\P"].iter().any(|begin| from.starts_with(begin));
        let mut ahead = chars.clone();
        if ahead.next() != Some('-') || matches!(ahead.peek(), None | Some(']')) || is_class {
            continue;
        }
        chars.next();
        made.push('-');
        let begin = made.len();
        member(chars, made);
        let to = &made[begin..];
        match (single(&from), single(to)) {
            (Some(low), Some(high)) if low > high => {
                return Err(format!("bad regex: the range {low}-{high} goes backwards"));
            }
            _ if to.starts_with('[') => return Err(format!("bad regex: the range {from}-{to} has no end")),
            _ => {}
        }
    }
}

/// A character of a class, as the crate reads it.
fn member(chars: &mut Peekable<Chars<'_>>, made: &mut String) {
    match chars.next() {
        Some('\\') => escape(chars, made, true),
        Some(c) => literal(c, made),
        None => {}
    }
}

/// The character that a member stands for, where it says so itself.
fn single(member: &str) -> Option<char> {
    let mut chars = member.trim_start_matches('\\').chars();
    let c = chars.next()?;
    (chars.next().is_none() && !(member.starts_with('\\') && c.is_ascii_alphanumeric())).then_some(c)
}

/// `[:alpha:]`, if it is one.
fn named_class(chars: &mut Peekable<Chars<'_>>, made: &mut String) -> Result<bool, String> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
        "word", "xdigit",
    ];
    let mut ahead = chars.clone();
    let mut name = String::new();
    if (ahead.next(), ahead.next()) != (Some('['), Some(':')) {
        return Ok(false);
    }
    loop {
        match ahead.next() {
            Some(':') if ahead.next_if_eq(&']').is_some() => break,
            // Longer than any name.
            Some(c) if name.len() < 16 => name.push(c),
            _ => return Ok(false),
        }
    }
    if !NAMES.contains(&name.trim_start_matches('^')) {
        return Err(format!("bad regex: there is no class [:{name}:]"));
    }
    let _ = write!(made, "[:{name}:]");
    *chars = ahead;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(regex: &str, text: &'t str) -> Vec<&'t str> {
        let regex = compile(regex).unwrap_or_else(|error| panic!("{regex}: {error}"));
        regex.find_iter(text.as_bytes()).map(|found| std::str::from_utf8(found.as_bytes()).unwrap()).collect()
    }

    /// What RE2 finds.
    #[test]
    fn means_what_it_means_in_re2() {
        let pairs: &[(&str, &str, &[&str])] = &[
            // Classes are of ASCII.
            (r"\s", "a\u{a0}b\u{2003}c d\n", &[" ", "\n"]),
            (r"\d", "x\u{663}y5z", &["5"]),
            (r"\w+", "xé\u{663}y_5", &["x", "y_5"]),
            (r"\W", "x\u{663}y", &["\u{663}"]),
            (r"\S+", "a\u{a0}b c", &["a\u{a0}b", "c"]),
            (r"é\bx|\bé", "éx é", &["éx"]),
            (r"[\d.]+", "1.\u{663}2", &["1.", "2"]),
            (r"[^\W_]+", "ab_c\u{663}", &["ab", "c"]),
            (r"[\D]", "1a", &["a"]),
            (r"\d", "\u{669}", &[]),
            (r"[\w-]+", "éΩ中", &[]),
            (r"^[[:digit:]]+$", "12345667890", &["12345667890"]),
            // In brackets there are no operators.
            (r"[a&&b]+", "xa&b", &["a&b"]),
            (r"[&&]", "&", &["&"]),
            (r"[~~]", "~", &["~"]),
            (r"[[x]]", "x] [] x", &["x]", "[]"]),
            (r"[[x]", "[x]", &["[", "x"]),
            (r"[]a]+", "a]b", &["a]"]),
            (r"[^]a]", "a]b", &["b"]),
            (r"[a-]", "-a", &["-", "a"]),
            (r"[-a]", "-a", &["-", "a"]),
            (r"[+--]+", "a+,-.", &["+,-"]),
            (r"[\w-]+", "a-b", &["a-b"]),
            (r"[\w-z]+", "a-b", &["a-b"]),
            (r"[\pL--]+", "a-b1", &["a-b"]),
            (r"[\p{Greek}-]+", "αβ-b", &["αβ-"]),
            (r"\p{Greek}+", "aαβ", &["αβ"]),
            (r"[a-c-e]+", "b-d", &["b-"]),
            (r"[\]-a]+", "]^_`ab", &["]^_`a"]),
            (r"[[:digit:]x]+", "1x", &["1x"]),
            (r"[[:^digit:]]+", "1x2", &["x"]),
            (r"[[:x]+", "[:x", &["[:x"]),
            (r"[\<\>]+", "a<>", &["<>"]),
            (r"[\.\-\/]+", "a.-/", &[".-/"]),
            // Literal braces, quotation, octal numbers.
            (r"{", "a{", &["{"]),
            (r"x{,4}", "xx x{,4}", &["x{,4}"]),
            (r"x{a}", "x{a}", &["x{a}"]),
            (r"x{01}", "x{01}", &["x{01}"]),
            (r"x{2}", "xxx", &["xx"]),
            (r"x{2,}", "xxx", &["xxx"]),
            (r"x{1,2}", "xxx", &["xx", "x"]),
            (r"{{", "{{", &["{{"]),
            (r"\Qa.b*\E+", "a.b** axb", &["a.b**"]),
            (r"\Q[", "[", &["["]),
            (r"\Q\d\E", r"\d", &[r"\d"]),
            (r"\101\x42\x{43}", "ABC", &["ABC"]),
            (r"\0", "a\0", &["\0"]),
            (r"[\101-\103]+", "xABCD", &["ABC"]),
            // Escaped punctuation stands for itself.
            (r"\<a\>", "<a> a", &["<a>"]),
            (r"\_\-\/\ \@\%", "_-/ @%", &["_-/ @%"]),
            (r"(?i)ab", "aB", &["aB"]),
            (r"(?P<Seq>\d+)", "a12", &["12"]),
            (r"^a$", "a\nb", &[]),
            (r"(?m)^b$", "a\nb", &["b"]),
            (r".", "\n", &[]),
        ];
        for (regex, text, expected) in pairs {
            assert_eq!(&found(regex, text), expected, "{regex} on {text:?} is {:?}", translate(regex));
        }
        for bad in [r"[a--b]", r"[b-a]", "(", "a{2", "[a", r"\1", r"a\", r"\C", "*", "x{3,2}", r"[[:foo:]]"] {
            match bad {
                // A brace that is not closed is one.
                "a{2" => assert_eq!(found(bad, "a{2"), ["a{2"]),
                bad => assert!(compile(bad).is_err(), "{bad}"),
            }
        }
        assert_eq!(compile("[a--b]").unwrap_err(), "bad regex: the range a-- goes backwards");
        assert!(compile_whole(r"a|b").unwrap().is_match(b"b") && !compile_whole(r"a|b").unwrap().is_match(b"ab"));
    }
}
