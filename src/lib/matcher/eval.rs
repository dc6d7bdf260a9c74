//! Evaluation on a borrowed view.

use std::sync::atomic::AtomicU64;

use super::{Expr, Test, Variable};
use crate::message::{MessageView, Value, uuid};

#[inline]
pub(super) fn eval(expr: &Expr, message: &MessageView<'_>, overruns: &AtomicU64) -> bool {
    match expr {
        Expr::Constant(value) => *value,
        Expr::And(parts) => parts.iter().all(|part| eval(part, message, overruns)),
        Expr::Or(parts) => parts.iter().any(|part| eval(part, message, overruns)),
        Expr::Test(variable, test) => match variable {
            Variable::Text(header) => match test {
                Test::Present(wanted) => message.text(*header).is_some() == *wanted,
                // An absent header counts as the empty string.
                _ => text(test, message.text(*header).unwrap_or_default(), overruns),
            },
            Variable::Uuid => {
                let raw = message.uuid();
                match (test, uuid::format(raw)) {
                    // 16 bytes can't be the text form: they mean the uuid itself, as in lua_sandbox.
                    (Test::Text(relation, wanted), _) if wanted.len() == 16 => {
                        relation.holds(Some(raw.cmp(&wanted[..])))
                    }
                    (_, Some(form)) => text(test, &form, overruns),
                    (_, None) => text(test, b"", overruns),
                }
            }
            Variable::Timestamp => integer(test, message.timestamp()),
            Variable::Severity => integer(test, message.severity().unwrap_or(7) as i64),
            Variable::Pid => match test {
                Test::Present(wanted) => message.pid().is_some() == *wanted,
                _ => integer(test, message.pid().unwrap_or(0) as i64),
            },
            Variable::Field { name, instance, element } => {
                let value = message.field(name, *instance).and_then(|field| field.values().nth(*element));
                field(test, value, overruns)
            }
        },
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
