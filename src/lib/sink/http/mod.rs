//! Any HTTP endpoint: a request for each message, or for several, with a body that an encoder made.
//!
//! [`HttpSink`] has the encoder make bodies and collects batches, [`super::delivery`] sees them delivered, each request
//! through a `client`, which reads the replies.

mod client;
mod stage;

pub use client::{Condition, Target, TargetOptions};
pub use stage::{HttpSink, HttpSinkOptions};
