//! From text to expression. Every refusal names a column and what was expected there.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{digit1, multispace0};
use nom::combinator::{opt, recognize};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use super::pattern::Pattern;
use super::{Expr, MatchError, Number, Relation, Test, Variable};
use crate::message::TextHeader;

/// Longer expressions are a mistake, or an attack.
const MAX_LENGTH: usize = 64 * 1024;
/// Parentheses within parentheses; each costs a level of native recursion here and in evaluation.
const MAX_DEPTH: usize = 200;

pub(super) fn parse(text: &str) -> Result<Expr, MatchError> {
    if text.len() > MAX_LENGTH {
        let message = format!("the expression has {} bytes; the limit is {MAX_LENGTH}", text.len());
        return Err(MatchError { column: 1, message });
    }
    let (rest, expr) = or(text, 0).map_err(|error| error.locate(text))?;
    let rest = skip(rest);
    if rest.is_empty() {
        return Ok(expr);
    }
    let hint = match word(rest) {
        "AND" | "And" | "and" => " (did you mean &&?)",
        "OR" | "Or" | "or" => " (did you mean ||?)",
        flags if !flags.is_empty() && text[..text.len() - rest.len()].ends_with('/') => {
            " (what other languages write behind a regex stands in it: /(?i)…/)"
        }
        _ if rest.starts_with('&') => " (did you mean &&?)",
        _ if rest.starts_with('|') => " (did you mean ||?)",
        _ => "",
    };
    Err(expected(rest, format!("&& or || or the end{hint}")).locate(text))
}

/// What was expected, and the text that was there instead.
struct Refusal<'a> {
    rest: &'a str,
    message: String,
}

impl<'a> Refusal<'a> {
    fn locate(self, text: &'a str) -> MatchError {
        let at = text.len() - self.rest.len();
        MatchError { column: text[..at].chars().count() + 1, message: self.message }
    }
}

type Parsed<'a, T> = Result<(&'a str, T), Refusal<'a>>;

fn refuse(rest: &str, message: impl Into<String>) -> Refusal<'_> {
    Refusal { rest, message: message.into() }
}

fn expected<'a>(rest: &'a str, what: impl std::fmt::Display) -> Refusal<'a> {
    let found = match rest.chars().next() {
        None => "the end".to_string(),
        Some(c) if c.is_ascii_alphanumeric() => format!("\"{}\"", word(rest)),
        Some(c) if c.is_control() => format!("\"{}\"", c.escape_debug()),
        Some(c) => format!("\"{c}\""),
    };
    refuse(rest, format!("expected {what}, found {found}"))
}

/// Tokens are nom parsers; what they don't match is described by the rule that asked for them.
fn token<'a, T>(input: &'a str, mut parser: impl Parser<&'a str, Output = T, Error = ()>) -> Option<(&'a str, T)> {
    parser.parse(input).ok()
}

fn skip(input: &str) -> &str {
    token(input, multispace0).map_or(input, |(rest, _)| rest)
}

fn word(input: &str) -> &str {
    let end = input.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(input.len());
    &input[..end]
}

fn or(input: &str, depth: usize) -> Parsed<'_, Expr> {
    let (rest, parts) = chain(input, "||", |input| and(input, depth))?;
    Ok((rest, join(parts, Expr::Or)))
}

fn and(input: &str, depth: usize) -> Parsed<'_, Expr> {
    let (rest, parts) = chain(input, "&&", |input| primary(input, depth))?;
    Ok((rest, join(parts, Expr::And)))
}

fn chain<'a>(input: &'a str, operator: &str, part: impl Fn(&'a str) -> Parsed<'a, Expr>) -> Parsed<'a, Vec<Expr>> {
    let (mut rest, first) = part(input)?;
    let mut parts = vec![first];
    while let Some(after) = skip(rest).strip_prefix(operator) {
        let (tail, next) = part(after)?;
        parts.push(next);
        rest = tail;
    }
    Ok((rest, parts))
}

fn join(mut parts: Vec<Expr>, wrap: fn(Vec<Expr>) -> Expr) -> Expr {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            wrap(parts)
        }
        None => Expr::Constant(false),
    }
}

fn primary(input: &str, depth: usize) -> Parsed<'_, Expr> {
    let input = skip(input);
    if let Some(inner) = input.strip_prefix('(') {
        if depth == MAX_DEPTH {
            return Err(refuse(input, format!("more than {MAX_DEPTH} parentheses within each other")));
        }
        let (rest, expr) = or(inner, depth + 1)?;
        let rest = skip(rest);
        let after = rest.strip_prefix(')').ok_or_else(|| expected(rest, "&& or || or )"))?;
        return Ok((after, expr));
    }
    let name = word(input);
    let rest = &input[name.len()..];
    let variable = match name {
        "TRUE" => return Ok((rest, Expr::Constant(true))),
        "FALSE" => return Ok((rest, Expr::Constant(false))),
        "Uuid" => Variable::Uuid,
        "Type" => Variable::Text(TextHeader::Type),
        "Logger" => Variable::Text(TextHeader::Logger),
        "Payload" => Variable::Text(TextHeader::Payload),
        "EnvVersion" => Variable::Text(TextHeader::EnvVersion),
        "Hostname" => Variable::Text(TextHeader::Hostname),
        "Timestamp" => Variable::Timestamp,
        "Severity" => Variable::Severity,
        "Pid" => Variable::Pid,
        "Fields" => {
            let (rest, variable) = field(rest)?;
            return test(rest, variable);
        }
        _ => return Err(unknown_word(input, name)),
    };
    test(rest, variable)
}

fn unknown_word<'a>(input: &'a str, name: &str) -> Refusal<'a> {
    const WORDS: [&str; 12] = [
        "Uuid",
        "Type",
        "Logger",
        "Payload",
        "EnvVersion",
        "Hostname",
        "Timestamp",
        "Severity",
        "Pid",
        "Fields",
        "TRUE",
        "FALSE",
    ];
    if name.is_empty() {
        let what =
            if input.starts_with('!') { "a variable or ( (there is no NOT)" } else { "a variable, TRUE, FALSE or (" };
        return expected(input, what);
    }
    let nearest = WORDS.iter().map(|word| (distance(word, name), word)).min();
    match nearest {
        Some((distance, word)) if distance <= 2 => {
            refuse(input, format!("unknown variable \"{name}\": did you mean {word}?"))
        }
        _ => refuse(input, format!("unknown variable \"{name}\": a field is written Fields[{name}]")),
    }
}

/// Levenshtein's, without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + !x.eq_ignore_ascii_case(&y) as usize;
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn field(input: &str) -> Parsed<'_, Variable> {
    let Some((rest, name)) = token(input, delimited(tag("["), take_while(|c| c != ']'), tag("]"))) else {
        return Err(expected(input, "[name] right after Fields"));
    };
    if name.is_empty() {
        return Err(expected(input, "a field's name in the brackets"));
    }
    let (rest, instance) = index(rest)?;
    let (rest, element) = if instance.is_some() { index(rest)? } else { (rest, None) };
    if rest.starts_with('[') {
        return Err(refuse(rest, "a field takes two indexes at most: Fields[name][instance][element]"));
    }
    let variable = Variable::Field {
        name: name.as_bytes().to_vec(),
        instance: instance.unwrap_or(0),
        element: element.unwrap_or(0),
    };
    Ok((rest, variable))
}

fn index(input: &str) -> Parsed<'_, Option<usize>> {
    let Some(inner) = input.strip_prefix('[') else { return Ok((input, None)) };
    let digits = token(inner, digit1).ok_or_else(|| expected(inner, "an index, counted from 0"))?;
    let after = digits.0.strip_prefix(']').ok_or_else(|| expected(digits.0, "]"))?;
    match digits.1.parse::<u32>() {
        Ok(number) => Ok((after, Some(number as usize))),
        Err(_) => Err(refuse(inner, format!("the index {} is too large", digits.1))),
    }
}

enum Operator {
    Relation(Relation),
    Matches { negated: bool },
}

fn operator(input: &str) -> Parsed<'_, Operator> {
    let table: [(&str, Operator); 8] = [
        ("==", Operator::Relation(Relation::Equal)),
        ("!=", Operator::Relation(Relation::NotEqual)),
        (">=", Operator::Relation(Relation::GreaterOrEqual)),
        ("<=", Operator::Relation(Relation::LessOrEqual)),
        (">", Operator::Relation(Relation::Greater)),
        ("<", Operator::Relation(Relation::Less)),
        ("=~", Operator::Matches { negated: false }),
        ("!~", Operator::Matches { negated: true }),
    ];
    for (text, operator) in table {
        if let Some(rest) = input.strip_prefix(text) {
            return Ok((rest, operator));
        }
    }
    let hint = if input.starts_with('=') { " (did you mean ==?)" } else { "" };
    Err(expected(input, format!("== != < <= > >= =~ or !~{hint}")))
}

fn test(input: &str, variable: Variable) -> Parsed<'_, Expr> {
    let (rest, operator) = operator(skip(input))?;
    let value = skip(rest);
    let (rest, test) = match operator {
        Operator::Matches { negated } => {
            if matches!(variable, Variable::Timestamp | Variable::Severity | Variable::Pid) {
                return Err(refuse(value, "a number can't be matched against a pattern"));
            }
            let (rest, pattern) = pattern(value)?;
            (rest, Test::Pattern { pattern, negated })
        }
        Operator::Relation(relation) => literal(value, relation, &variable)?,
    };
    Ok((rest, Expr::Test(variable, test)))
}

/// The value right of a relation; which kinds are allowed depends on the variable.
fn literal<'a>(input: &'a str, relation: Relation, variable: &Variable) -> Parsed<'a, Test> {
    let equality = matches!(relation, Relation::Equal | Relation::NotEqual);
    let takes_nil = matches!(variable, Variable::Text(_) | Variable::Pid | Variable::Field { .. });
    match word(input) {
        "NIL" if takes_nil && equality => return Ok((&input[3..], Test::Present(relation == Relation::NotEqual))),
        "NIL" if takes_nil => return Err(refuse(input, "NIL takes == or != only")),
        "NIL" => return Err(refuse(input, "NIL: this variable is always there")),
        name @ ("TRUE" | "FALSE") if matches!(variable, Variable::Field { .. }) => {
            if !equality {
                return Err(refuse(input, "TRUE and FALSE take == or != only"));
            }
            let wanted = (name == "TRUE") == (relation == Relation::Equal);
            return Ok((&input[name.len()..], Test::Bool(wanted)));
        }
        _ => {}
    }
    let quoted = input.starts_with(['"', '\'']);
    match variable {
        Variable::Uuid | Variable::Text(_) => {
            if !quoted {
                return Err(expected(input, "a string in quotes"));
            }
            let (rest, text) = string(input)?;
            Ok((rest, Test::Text(relation, text)))
        }
        Variable::Timestamp if quoted => {
            let (rest, text) = string(input)?;
            let ns = rfc3339(&text).ok_or_else(|| {
                refuse(input, "expected nanoseconds or a time of RFC 3339, such as \"2016-05-24T21:51:00Z\"")
            })?;
            Ok((rest, Test::Number(relation, Number::Integer(ns))))
        }
        Variable::Timestamp | Variable::Severity | Variable::Pid => {
            let (rest, number) = number(input)?;
            Ok((rest, Test::Number(relation, number)))
        }
        Variable::Field { .. } if quoted => {
            let (rest, text) = string(input)?;
            Ok((rest, Test::Text(relation, text)))
        }
        Variable::Field { .. } => match number(input) {
            Ok((rest, number)) => Ok((rest, Test::Number(relation, number))),
            Err(refusal) if starts_number(input) => Err(refusal),
            Err(_) => Err(expected(input, "a number, a string in quotes, TRUE, FALSE or NIL")),
        },
    }
}

fn starts_number(input: &str) -> bool {
    input.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))
}

fn number(input: &str) -> Parsed<'_, Number> {
    // One character of `0-9 .` after an optional sign, then any of `0-9 . e E + -`, as Heka reads it.
    let text: IResult<&str, &str, ()> = recognize((
        opt(alt((tag("+"), tag("-")))),
        take_while1(|c: char| c.is_ascii_digit() || c == '.'),
        take_while(|c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-')),
    ))
    .parse(input);
    let Ok((rest, text)) = text else { return Err(expected(input, "a number")) };
    if let Ok(integer) = text.parse::<i64>() {
        return Ok((rest, Number::Integer(integer)));
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    let number = number.ok_or_else(|| refuse(input, format!("\"{text}\" is not a number")))?;
    // Beyond 2^63 no integer compares equal anyway.
    if number.fract() == 0.0 && number.abs() < 9.2e18 {
        return Ok((rest, Number::Integer(number as i64)));
    }
    Ok((rest, Number::Double(number)))
}

/// A backslash escapes the string's own quote; any other stays, with what follows it.
fn string(input: &str) -> Parsed<'_, Vec<u8>> {
    let quote = input.as_bytes()[0];
    let mut text = Vec::new();
    let mut bytes = input.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        if byte == quote {
            return Ok((&input[at + 1..], text));
        }
        if byte == 0 {
            return Err(refuse(&input[at..], "a string can't hold a NUL"));
        }
        if byte == b'\\' {
            match bytes.next() {
                Some((_, escaped)) if escaped == quote => text.push(quote),
                Some((_, other)) => text.extend([byte, other]),
                None => break,
            }
        } else {
            text.push(byte);
        }
    }
    Err(refuse(input, "this string has no closing quote"))
}

fn pattern(input: &str) -> Parsed<'_, Pattern> {
    if let Some(body) = input.strip_prefix('/') {
        let (rest, text) = regex_text(input, body)?;
        let compiled = Pattern::regex(&text).map_err(|message| refuse(input, message))?;
        return Ok((rest, compiled));
    }
    if !input.starts_with(['"', '\'']) {
        return Err(expected(input, "a /regex/ or a Lua pattern in quotes"));
    }
    let (rest, text) = string(input)?;
    if let Ok((rest, _)) = preceded(tag::<_, _, ()>("%"), nom::combinator::success(())).parse(rest) {
        return Ok((rest, Pattern::contains(&text)));
    }
    let compiled = Pattern::lua(&text).map_err(|message| refuse(input, message))?;
    Ok((rest, compiled))
}

/// Up to the next `/`; `\/` is a slash, any other backslash pair goes to the regex compiler.
fn regex_text<'a>(input: &'a str, body: &'a str) -> Parsed<'a, String> {
    let mut text = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '/' => return Ok((&body[at + 1..], text)),
            '\\' => match chars.next() {
                Some((_, '/')) => text.push('/'),
                Some((_, other)) => text.extend(['\\', other]),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err(refuse(input, "this regex has no closing /"))
}

/// Real RFC 3339, and offsets without a colon, as lua_sandbox writes them (with the sign the right way round).
fn rfc3339(text: &[u8]) -> Option<i64> {
    if !matches!(text.get(10), Some(b'T' | b't')) {
        return None;
    }
    let time: jiff::Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}
