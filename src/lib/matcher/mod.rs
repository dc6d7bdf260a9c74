//! The message matcher language: which messages an expression selects.
//!
//! [`Matcher::parse`] makes an expression once; [`Matcher::matches`] evaluates it on a borrowed view, left to right
//! with short circuit. The grammar is Heka's, with the later additions of lua_sandbox (quoted Lua patterns, RFC 3339
//! timestamps, NIL on headers). Where those two differ or fail, the comments at the spot say what is done here.

mod bounded;
mod eval;
mod lua_pattern;
mod parse;
mod pattern;
pub mod re2;
mod set;

pub use set::MatcherSet;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::{MessageView, TextHeader, Value};

/// A compiled expression.
pub struct Matcher {
    expr: Expr,
    overruns: AtomicU64,
}

impl Matcher {
    /// # Errors
    /// What was expected, and at which column.
    pub fn parse(text: &str) -> Result<Matcher, MatchError> {
        Ok(Matcher { expr: parse::parse(text)?, overruns: AtomicU64::new(0) })
    }

    /// The same, with an error that quotes the expression, or of a long one the place.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn parse_quoting(text: &str) -> Result<Matcher, String> {
        const AROUND: usize = 40;
        Matcher::parse(text).map_err(|error| {
            let count = text.chars().count();
            if count <= 3 * AROUND {
                return format!("{text}: {error}");
            }
            let from = (error.column - 1).min(count).saturating_sub(AROUND);
            let part: String = text.chars().skip(from).take(2 * AROUND).collect();
            let (before, after) = (if from > 0 { "…" } else { "" }, if from + 2 * AROUND < count { "…" } else { "" });
            format!("{before}{part}{after}: {error}")
        })
    }

    /// What a message shows to be wrong: a field that is a number there, compared with a text that looks like one.
    pub fn mistaken_type(&self, message: &MessageView<'_>) -> Option<String> {
        fn look(expr: &Expr, message: &MessageView<'_>) -> Option<String> {
            match expr {
                Expr::Constant(_) => None,
                Expr::And(parts) | Expr::Or(parts) => parts.iter().find_map(|part| look(part, message)),
                Expr::Test(Variable::Field { name, instance, element }, Test::Text(_, text)) => {
                    let text = std::str::from_utf8(text).ok().filter(|text| text.parse::<f64>().is_ok())?;
                    let value = message.field(name, *instance)?.value(*element)?;
                    let is_number = matches!(value, Value::Integer(_) | Value::Double(_));
                    let name = String::from_utf8_lossy(name);
                    is_number.then(|| format!("Fields[{name}] is a number: compare it with {text}, without quotes"))
                }
                Expr::Test(..) => None,
            }
        }
        look(&self.expr, message)
    }

    #[inline]
    pub fn matches(&self, message: &MessageView<'_>) -> bool {
        eval::evaluate(&self.expr, &|variable| eval::find(variable, message)).unwrap_or_else(|| {
            self.overruns.fetch_add(1, Ordering::Relaxed);
            false
        })
    }

    /// For how many messages the expression was given up for its cost, and so did not match.
    pub fn overruns(&self) -> u64 {
        self.overruns.load(Ordering::Relaxed)
    }
}

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchError {
    /// Counted in characters, from 1.
    pub column: usize,
    pub message: String,
}

impl std::fmt::Display for MatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl std::error::Error for MatchError {}

/// `V`: how a variable is named; in a [`MatcherSet`] by its place in a table.
#[derive(Debug)]
enum Expr<V = Variable> {
    Constant(bool),
    And(Vec<Expr<V>>),
    Or(Vec<Expr<V>>),
    Test(V, Test),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Variable {
    Uuid,
    Text(TextHeader),
    Timestamp,
    Severity,
    Pid,
    Field { name: Vec<u8>, instance: usize, element: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    /// `None` is the order of a NaN: everything is false but `!=`.
    fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        let Some(order) = order else { return self == Relation::NotEqual };
        match self {
            Relation::Equal => order.is_eq(),
            Relation::NotEqual => order.is_ne(),
            Relation::Less => order.is_lt(),
            Relation::LessOrEqual => order.is_le(),
            Relation::Greater => order.is_gt(),
            Relation::GreaterOrEqual => order.is_ge(),
        }
    }
}

#[derive(Debug)]
enum Test {
    Text(Relation, Vec<u8>),
    Number(Relation, Number),
    Bool(bool),
    /// Whether the variable has to be there.
    Present(bool),
    Pattern {
        pattern: pattern::Pattern,
        negated: bool,
    },
}

/// A number of an expression. Whole ones compare exactly with integers, of which 19 digits matter in a timestamp.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Integer(i64),
    Double(f64),
}

impl Number {
    fn order_of_integer(self, value: i64) -> Option<std::cmp::Ordering> {
        match self {
            Number::Integer(number) => Some(value.cmp(&number)),
            Number::Double(number) => (value as f64).partial_cmp(&number),
        }
    }

    fn order_of_double(self, value: f64) -> Option<std::cmp::Ordering> {
        match self {
            Number::Integer(number) => value.partial_cmp(&(number as f64)),
            Number::Double(number) => value.partial_cmp(&number),
        }
    }
}
