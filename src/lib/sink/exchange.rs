//! What it means that a request got no answer.

use ureq::Timeout;

use super::delivery::Reply;
use crate::net::tls::lasting_fault;

/// The reply that stands for an error of a request with so many events to a server of that name.
pub fn no_answer(server: &str, error: &ureq::Error, events: usize) -> Reply {
    if let Some(fault) = lasting_fault(error) {
        return Reply::Closed { reason: format!("{server}: {fault}") };
    }
    let reason = match error {
        ureq::Error::Io(error) => format!("{server}: {}", crate::pipeline::describe(error)),
        error => format!("{server}: {error}"),
    };
    if matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_)) {
        return Reply::Closed { reason };
    }
    let not_reached = match error {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound | ureq::Error::ConnectProxyFailed(_) => true,
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    };
    // A request that was sent may have been taken, and its answer lost.
    Reply::Retry { reason, after: None, perhaps: if not_reached { 0 } else { events }, cut: !not_reached }
}
