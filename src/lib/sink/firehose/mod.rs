//! AWS Kinesis Data Firehose: messages become records, records lie in a spool until Firehose has given them an id.
//!
//! ```text
//! messages → buffers by group and stream → (a thread) records → spool → (a thread) PutRecordBatch
//! ```

mod client;
mod record;
mod sender;
mod stage;

pub use client::ClientOptions;
pub use record::{Events, Format, MAX_RECORD, RecordMaker, RecordOptions};
pub use stage::{Firehose, FirehoseOptions};
