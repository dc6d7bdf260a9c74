//! Heka as a shell pipe: the library behind the programs.
//!
//! - [`message`]: what flows. The schema, the view that reads a message in place, the builder, text and JSON forms.
//! - [`stream`]: how it flows. Framing, resynchronisation, signing, cursors.
//! - [`matcher`]: the language that selects messages.
//! - [`cef`]: ArcSight's Common Event Format.
//! - [`net`]: connections to servers. Addresses, certificates, TLS, proxies.
//! - [`control`]: control messages of a sandbox manager.
//! - [`grammar`]: formats of log lines, native.
//! - [`lpeg`]: parsing expression grammars.
//! - [`sandbox`]: the Lua host. States and limits, host functions, the scripts that ship.
//! - [`sink`]: where messages go. Batches, retries, cursors; Splunk HEC.
//! - [`source`]: where messages come from. Log streams, followed and resumed; sockets.
//! - [`pipeline`]: what every program shares. Run loop, flush rule, signals, exit codes, checkpoints, statistics.

pub mod cef;
mod compression;
pub mod control;
pub mod grammar;
pub mod lpeg;
pub mod matcher;
pub mod message;
pub mod net;
pub mod pipeline;
pub mod sandbox;
pub mod sink;
pub mod source;
pub mod stream;
