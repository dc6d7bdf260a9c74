//! Syslog: its names, how lines get to a server, and the stage that sends messages there.

mod names;
mod sender;
mod stage;

pub use names::{FACILITIES, PRIORITIES, facility_number, priority_number};
pub use sender::Address;
pub use stage::{SyslogOptions, SyslogStage};
