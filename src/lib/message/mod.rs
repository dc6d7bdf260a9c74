//! What flows: Heka messages. Facts of the format: message.proto of mozilla-services/heka and
//! the encoders and decoders of mozilla-services/lua_sandbox.

pub mod builder;
mod field_argument;
pub mod json;
pub mod number;
pub mod schema;
pub mod text;
pub mod uuid;
mod variable;
mod view;
pub mod wire;

pub use builder::{MessageBuilder, encode_canonical};
pub use field_argument::{FieldArgument, put_field_arguments};
pub use variable::{Interpolation, Variable, put_value_text};
pub use view::{FieldView, Fields, Headers, MessageView, Shape, TextHeader, Value, ValueType, Values};

/// Nanoseconds since 1970-01-01 UTC, now.
pub fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
