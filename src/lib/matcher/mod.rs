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

use crate::message::{MessageView, TextHeader};

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
