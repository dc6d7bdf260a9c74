//! Where messages come from: files that are read, followed and resumed.
//!
//! Rotated series of files (Heka's LogstreamerInput) will live in a folder of their own beside these modules.

mod content;
mod follow;
pub mod listen;
mod position;
mod splitter;
mod template;
mod watch;

pub use content::Content;
pub use follow::{Commit, Cutting, FollowOptions, Follower};
pub use position::Position;
pub use splitter::{Cut, Records, Splitter, Tail, unescape};
pub use template::Template;
pub use watch::{Changed, Watch};
