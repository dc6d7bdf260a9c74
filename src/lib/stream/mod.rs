//! How messages flow: frames one after the other, each a record separator, a header and a message.
//!
//! ```text
//! 0x1e  header_length:u8  header  0x1f  message
//! ```
//!
//! This room knows bytes, headers and digests; it never opens a file and knows nothing of sources or sinks.

mod cursor;
mod frame;
mod sign;
mod write;

pub use cursor::{CursorRef, MAX_CURSOR_SIZE};
pub use frame::{Deframer, Effort, Frame, Frames, Gap, GapReason, Header, Scanned, Step, begins_record, scan};
pub use sign::{Hash, Keys, Refused, Signer, verify};
pub use write::{put_frame, put_frame_from, put_frame_like};

/// Longest header that the one length byte can announce.
pub const MAX_HEADER_SIZE: usize = 255;
/// Longest message that sources and filters make unless told otherwise: Heka's own default.
pub const DEFAULT_MADE_MESSAGE: usize = 64 * 1024;
/// Longest message that is read unless told otherwise: what Heka's cat tool takes.
pub const DEFAULT_READ_MESSAGE: usize = 4 * 1024 * 1024;
