//! Where messages come from: files that are read, followed and resumed, and sockets.

pub mod listen;
pub mod logstream;
mod signed;
mod template;
mod watch;

pub use signed::Signed;
pub use template::{Origin, Template};
pub use watch::{Changed, Watch};
