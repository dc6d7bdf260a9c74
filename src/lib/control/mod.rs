//! Control messages of Heka's SandboxManagerFilter: made, signed and sent.

mod message;
mod send;
mod settings;

pub use message::{Action, COUNTER_SCRIPT, counter_config, counter_name, put_load, put_unload};
pub use settings::{ControlArgs, Settings, TlsClient};
