//! Heka's SandboxManagerFilter: filters that come and go while the stream flows, by signed control messages.
//!
//! [`stage`] reads the stream, [`request`] says which control messages are obeyed, [`plan`] makes a filter of one,
//! [`directory`] keeps it, a [`crew`] runs it, in a [`pool`] of threads if there are several.

mod crew;
mod directory;
mod plan;
mod pool;
mod request;
mod stage;
mod status;

pub use plan::Allowed;
pub use stage::{ManagerOptions, ManagerStage};
pub use status::{Listed, list, to_json_lines, to_table};
