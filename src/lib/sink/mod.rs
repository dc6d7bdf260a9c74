//! Where messages go: batches on their way to a server, and what is told back to the source.

pub mod answer;
pub mod args;
mod backoff;
mod dead_letter;
pub mod delivery;
mod exchange;
pub mod firehose;
pub mod hec;
pub mod http;
mod spool;
pub mod syslog;
mod watermark;

pub use backoff::Backoff;
pub use dead_letter::DeadLetters;
pub use delivery::Limits;
pub use spool::Spool;

/// Compresses a body.
fn gzip(body: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    // Writing into memory can't fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}
