//! Evaluation on a borrowed view.

use std::cell::Cell;

use super::{Expr, Test, Variable};
use crate::message::{MessageView, Value, uuid};

/// Steps of patterns for one expression and one message: single-byte comparisons, and what takes as long. `.-.-.-x` is
/// polynomial in its subject, and an expression may have a thousand patterns. A message of 4 MiB takes a dozen regexes.
const STEPS: u32 = 10_000_000;

/// What the patterns of one expression may still take.
pub(super) struct Effort(Cell<u32>);

impl Effort {
    pub fn new() -> Effort {
        Effort(Cell::new(STEPS))
    }

    pub fn left(&self) -> u32 {
        self.0.get()
    }

    pub fn set_left(&self, steps: u32) {
        self.0.set(steps);
    }

    /// Takes so many steps; false when they are more than there are.
    pub fn take(&self, steps: usize) -> bool {
        self.0.set(self.0.get().saturating_sub(steps.try_into().unwrap_or(u32::MAX)));
        self.0.get() > 0
    }
}

/// Whether an expression holds; nothing when it was given up for its cost.
#[inline]
pub(super) fn evaluate<'m, V>(expr: &Expr<V>, find: &impl Fn(&V) -> Found<'m>) -> Option<bool> {
    let effort = Effort::new();
    let holds = eval(expr, find, &effort);
    (effort.left() > 0).then_some(holds)
}

/// What a message has for a variable.
#[derive(Clone, Copy)]
pub(super) enum Found<'m> {
    Text(Option<&'m [u8]>),
    Uuid(&'m [u8]),
    Integer(i64),
    Pid(Option<i32>),
    Field(Option<Value<'m>>),
}

#[inline]
pub(super) fn find<'m>(variable: &Variable, message: &MessageView<'m>) -> Found<'m> {
    match variable {
        Variable::Text(header) => Found::Text(message.text(*header)),
        Variable::Uuid => Found::Uuid(message.uuid()),
        Variable::Timestamp => Found::Integer(message.timestamp()),
        Variable::Severity => Found::Integer(message.severity().unwrap_or(7) as i64),
        Variable::Pid => Found::Pid(message.pid()),
        Variable::Field { name, instance, element } => {
            Found::Field(message.field(name, *instance).and_then(|field| field.value(*element)))
        }
    }
}

#[inline]
fn eval<'m, V>(expr: &Expr<V>, find: &impl Fn(&V) -> Found<'m>, effort: &Effort) -> bool {
    match expr {
        Expr::Constant(value) => *value,
        Expr::And(parts) => parts.iter().all(|part| eval(part, find, effort)),
        Expr::Or(parts) => parts.iter().any(|part| eval(part, find, effort)),
        Expr::Test(variable, test) => holds(test, find(variable), effort),
    }
}

#[inline]
fn holds(test: &Test, found: Found<'_>, effort: &Effort) -> bool {
    match (found, test) {
        (Found::Text(value), Test::Present(wanted)) => value.is_some() == *wanted,
        // An absent header counts as the empty string.
        (Found::Text(value), _) => text(test, value.unwrap_or_default(), effort),
        (Found::Uuid(raw), _) => match (test, uuid::format(raw)) {
            // 16 bytes can't be the text form: they mean the uuid itself, as in lua_sandbox.
            (Test::Text(relation, wanted), _) if wanted.len() == 16 => relation.holds(Some(raw.cmp(&wanted[..]))),
            (_, Some(form)) => text(test, &form, effort),
            (_, None) => text(test, b"", effort),
        },
        (Found::Integer(value), _) => integer(test, value),
        (Found::Pid(value), Test::Present(wanted)) => value.is_some() == *wanted,
        (Found::Pid(value), _) => integer(test, value.unwrap_or(0) as i64),
        (Found::Field(value), _) => field(test, value, effort),
    }
}

/// A missing field, instance or element fails every test but `== NIL`; so does a value of another kind than the test's.
fn field(test: &Test, value: Option<Value<'_>>, effort: &Effort) -> bool {
    match (value, test) {
        (value, Test::Present(wanted)) => value.is_some() == *wanted,
        (Some(Value::String(bytes) | Value::Bytes(bytes)), _) => text(test, bytes, effort),
        (Some(Value::Integer(number)), _) => integer(test, number),
        (Some(Value::Double(number)), Test::Number(relation, wanted)) => relation.holds(wanted.order_of_double(number)),
        (Some(Value::Bool(flag)), Test::Bool(wanted)) => flag == *wanted,
        _ => false,
    }
}

#[inline]
fn text(test: &Test, value: &[u8], effort: &Effort) -> bool {
    match test {
        Test::Text(relation, wanted) => relation.holds(Some(value.cmp(&wanted[..]))),
        Test::Pattern { pattern, negated } => pattern.is_match(value, effort) != *negated,
        _ => false,
    }
}

fn integer(test: &Test, value: i64) -> bool {
    match test {
        Test::Number(relation, wanted) => relation.holds(wanted.order_of_integer(value)),
        _ => false,
    }
}
