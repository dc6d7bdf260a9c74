//! Evaluation on a borrowed view.

use std::sync::atomic::AtomicU64;

use super::{Expr, Test, Variable};
use crate::message::{MessageView, Value, uuid};

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
pub(super) fn eval<'m, V>(expr: &Expr<V>, find: &impl Fn(&V) -> Found<'m>, overruns: &AtomicU64) -> bool {
    match expr {
        Expr::Constant(value) => *value,
        Expr::And(parts) => parts.iter().all(|part| eval(part, find, overruns)),
        Expr::Or(parts) => parts.iter().any(|part| eval(part, find, overruns)),
        Expr::Test(variable, test) => holds(test, find(variable), overruns),
    }
}

#[inline]
fn holds(test: &Test, found: Found<'_>, overruns: &AtomicU64) -> bool {
    match (found, test) {
        (Found::Text(value), Test::Present(wanted)) => value.is_some() == *wanted,
        // An absent header counts as the empty string.
        (Found::Text(value), _) => text(test, value.unwrap_or_default(), overruns),
        (Found::Uuid(raw), _) => match (test, uuid::format(raw)) {
            // 16 bytes can't be the text form: they mean the uuid itself, as in lua_sandbox.
            (Test::Text(relation, wanted), _) if wanted.len() == 16 => relation.holds(Some(raw.cmp(&wanted[..]))),
            (_, Some(form)) => text(test, &form, overruns),
            (_, None) => text(test, b"", overruns),
        },
        (Found::Integer(value), _) => integer(test, value),
        (Found::Pid(value), Test::Present(wanted)) => value.is_some() == *wanted,
        (Found::Pid(value), _) => integer(test, value.unwrap_or(0) as i64),
        (Found::Field(value), _) => field(test, value, overruns),
    }
}

/// A missing field, instance or element fails every test but `== NIL`; so does a value of another kind than the test's.
fn field(test: &Test, value: Option<Value<'_>>, overruns: &AtomicU64) -> bool {
    match (value, test) {
        (value, Test::Present(wanted)) => value.is_some() == *wanted,
        (Some(Value::String(bytes) | Value::Bytes(bytes)), _) => text(test, bytes, overruns),
        (Some(Value::Integer(number)), _) => integer(test, number),
        (Some(Value::Double(number)), Test::Number(relation, wanted)) => relation.holds(wanted.order_of_double(number)),
        (Some(Value::Bool(flag)), Test::Bool(wanted)) => flag == *wanted,
        _ => false,
    }
}

#[inline]
fn text(test: &Test, value: &[u8], overruns: &AtomicU64) -> bool {
    match test {
        Test::Text(relation, wanted) => relation.holds(Some(value.cmp(&wanted[..]))),
        Test::Pattern { pattern, negated } => pattern.is_match(value, overruns) != *negated,
        _ => false,
    }
}

fn integer(test: &Test, value: i64) -> bool {
    match test {
        Test::Number(relation, wanted) => relation.holds(wanted.order_of_integer(value)),
        _ => false,
    }
}
