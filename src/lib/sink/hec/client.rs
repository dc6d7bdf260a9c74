//! One HEC server: requests, and what its replies mean.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;
use ureq::Timeout;

use super::super::agent::{self, AgentOptions, gzip, is_certificate_error, retry_after};
use super::event::Endpoint;
use crate::message::uuid;

/// Replies are short; a proxy's error page may be long.
const MAX_REPLY: u64 = 1 << 20;

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `https://host:8088`, with or without `/services/collector` and what follows it.
    pub url: String,
    pub token: String,
    pub endpoint: Endpoint,
    pub gzip: bool,
    pub timeout: Duration,
    /// Don't verify the server's certificate.
    pub insecure: bool,
    /// PEM file of the authorities that the server's certificate may come from.
    pub ca: Option<PathBuf>,
}

/// What a reply to a batch means.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Taken; to be acknowledged under that id where there is one.
    Accepted { ack_id: Option<u64> },
    /// Not now. `unclear`: the server may have taken it, the answer was lost.
    Retry { reason: String, after: Option<Duration>, unclear: bool },
    /// The index of that event is refused, and with it all events for it.
    BadIndex { number: usize, reason: String },
    /// That event is bad. The ones before it were taken if there is an id to ask for.
    BadEvent { number: usize, reason: String, ack_id: Option<u64> },
    /// Too large, or something in it is bad: try with halves.
    Split { reason: String },
    /// It will never take anything from us: wrong token, wrong address.
    Fatal { reason: String },
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reply::Accepted { ack_id: Some(id) } => write!(f, "taken, ack id {id}"),
            Reply::Accepted { ack_id: None } => write!(f, "taken"),
            Reply::Retry { reason, after: Some(after), .. } => {
                write!(f, "not now, again in {} s: {reason}", after.as_secs())
            }
            Reply::Retry { reason, .. } => write!(f, "not now: {reason}"),
            Reply::BadIndex { number, reason } | Reply::BadEvent { number, reason, .. } => {
                write!(f, "event {number} is bad: {reason}")
            }
            Reply::Split { reason } => write!(f, "not as it is: {reason}"),
            Reply::Fatal { reason } => write!(f, "never: {reason}"),
        }
    }
}

/// A connection pool to one server, with the cookies that it sets.
#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    options: ClientOptions,
}

impl Client {
    /// # Errors
    /// When the address or the authorities' file can't be used.
    pub fn new(options: ClientOptions) -> Result<Client, String> {
        if !options.url.starts_with("http://") && !options.url.starts_with("https://") {
            return Err(format!("{}: expected http://HOST:PORT or https://HOST:PORT", options.url));
        }
        let base =
            options.url.split("/services/collector").next().unwrap_or_default().trim_end_matches('/').to_string();
        let agent = agent::new(&AgentOptions {
            timeout: options.timeout,
            insecure: options.insecure,
            ca: options.ca.clone(),
            identity: None,
            name: concat!("heka-hec/", env!("CARGO_PKG_VERSION")),
        })?;
        Ok(Client { agent, base, options })
    }

    /// The same server by connections and cookies of their own.
    pub fn anew(&self) -> Client {
        Client { agent: self.agent.config().new_agent(), ..self.clone() }
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a body of events.
    pub fn send(&self, body: &[u8], query: &str, channel: &str) -> Reply {
        let path = match self.options.endpoint {
            Endpoint::Event => "event",
            Endpoint::Raw => "raw",
        };
        let content_type = match self.options.endpoint {
            Endpoint::Event => "application/json",
            Endpoint::Raw => "text/plain; charset=utf-8",
        };
        let url = format!("{}/services/collector/{path}{query}", self.base);
        let mut request = self
            .agent
            .post(&url)
            .header("Authorization", format!("Splunk {}", self.options.token))
            .header("X-Splunk-Request-Channel", channel)
            .header("Content-Type", content_type);
        let sent = if self.options.gzip {
            request = request.header("Content-Encoding", "gzip");
            request.send(&gzip(body)[..])
        } else {
            request.send(body)
        };
        match sent {
            Ok(response) => judge(&mut Received::read(response)),
            Err(error) => self.unreachable(&error),
        }
    }

    /// Whether the server takes events: `Accepted`, `Retry` or `Fatal`. Servers that can't be asked are taken for healthy.
    pub fn health(&self) -> Reply {
        let request = self
            .agent
            .get(&format!("{}/services/collector/health/1.0", self.base))
            .header("Authorization", format!("Splunk {}", self.options.token));
        match request.call().map(Received::read) {
            Err(error) => self.unreachable(&error),
            Ok(mut received) => match judge(&mut received) {
                Reply::Fatal { .. } if matches!(received.status, 404 | 405) => Reply::Accepted { ack_id: None },
                Reply::Split { reason } | Reply::BadEvent { reason, .. } | Reply::BadIndex { reason, .. } => {
                    Reply::Fatal { reason }
                }
                reply => reply,
            },
        }
    }

    /// Which of these batches the indexers have. The outer error is fatal, the inner one passes.
    pub fn ask(&self, channel: &str, ids: &[u64]) -> Result<Result<Vec<u64>, String>, String> {
        let body = serde_json::json!({ "acks": ids }).to_string();
        let sent = self
            .agent
            .post(&format!("{}/services/collector/ack?channel={channel}", self.base))
            .header("Authorization", format!("Splunk {}", self.options.token))
            .header("X-Splunk-Request-Channel", channel)
            .header("Content-Type", "application/json")
            .send(body.as_bytes());
        let received = match sent {
            Ok(response) => Received::read(response),
            Err(error) => {
                return match self.unreachable(&error) {
                    Reply::Fatal { reason } => Err(reason),
                    _ => Ok(Err(error.to_string())),
                };
            }
        };
        match (received.status, received.code()) {
            (200, _) => {
                let acks = received.json.get("acks").and_then(Json::as_object);
                let mut done = Vec::new();
                for (id, told) in acks.into_iter().flatten() {
                    if told == &Json::Bool(true)
                        && let Ok(id) = id.parse()
                    {
                        done.push(id);
                    }
                }
                Ok(Ok(done))
            }
            (_, Some(14)) => Err(format!("{}: drop --ack, or turn acknowledgement on for the token", received.words())),
            (_, Some(1..=4 | 10 | 11 | 28)) | (401 | 403 | 404, _) => Err(received.words()),
            _ => Ok(Err(received.words())),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Reply {
        let text = error.to_string();
        if is_certificate_error(&text) {
            let reason =
                format!("{}: {text} (--ca FILE names the authority; --insecure goes on without verifying)", self.base);
            return Reply::Fatal { reason };
        }
        if matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_)) {
            return Reply::Fatal { reason: format!("{}: {text}", self.base) };
        }
        let not_reached = match error {
            ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => true,
            ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
            ureq::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            _ => false,
        };
        Reply::Retry { reason: format!("{}: {text}", self.base), after: None, unclear: !not_reached }
    }
}

/// A new channel's name.
pub fn new_channel() -> String {
    uuid::format(&uuid::new_v4()).map_or_else(String::new, |text| String::from_utf8_lossy(&text).into_owned())
}

/// A reply, taken apart. Nothing in it is trusted: a proxy may answer with anything.
struct Received {
    status: u16,
    json: Json,
    retry_after: Option<Duration>,
    location: Option<String>,
}

impl Received {
    fn read(mut response: ureq::http::Response<ureq::Body>) -> Received {
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_string);
        let retry_after = header("retry-after").and_then(|text| retry_after(&text));
        let location = header("location");
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(MAX_REPLY).read_to_vec().unwrap_or_default();
        Received { status, json: serde_json::from_slice(&text).unwrap_or(Json::Null), retry_after, location }
    }

    fn code(&self) -> Option<u64> {
        self.json.get("code").and_then(Json::as_u64)
    }

    fn ack_id(&self) -> Option<u64> {
        self.json.get("ackId").and_then(Json::as_u64)
    }

    fn bad_event(&self) -> Option<usize> {
        let number = self.json.get("invalid-event-number")?;
        let number = number.as_array().and_then(|list| list.first()).unwrap_or(number);
        usize::try_from(number.as_u64()?).ok()
    }

    /// The server's own words.
    fn words(&self) -> String {
        let text = self.json.get("text").and_then(Json::as_str);
        match (text, self.code()) {
            (Some(text), Some(code)) => format!("the server says: {text} (code {code}, HTTP {})", self.status),
            _ => format!("the server answers HTTP {}", self.status),
        }
    }
}

fn judge(received: &mut Received) -> Reply {
    let reason = received.words();
    let ack_id = received.ack_id();
    let retry = |reason| Reply::Retry { reason, after: received.retry_after, unclear: false };
    // An HTTP status as `code` (unknown paths) is no code of HEC's.
    match (received.status, received.code().filter(|&code| code < 100)) {
        (200..=299, _) => Reply::Accepted { ack_id },
        (_, Some(1..=4 | 10 | 11 | 14 | 16 | 21 | 22 | 28)) => Reply::Fatal { reason },
        (_, Some(6 | 7 | 12 | 13 | 15)) => match received.bad_event() {
            // Splunk names the event after the one whose index it refused.
            Some(number) if received.code() == Some(7) => Reply::BadIndex { number: number.saturating_sub(1), reason },
            Some(number) => Reply::BadEvent { number, reason, ack_id },
            None => Reply::Split { reason },
        },
        (_, Some(8 | 9 | 23 | 26 | 27)) => retry(reason),
        (408 | 425 | 429 | 500..=599, _) => retry(reason),
        (400 | 413, _) => Reply::Split { reason },
        (300..=399, _) => {
            let to = received.location.take().unwrap_or_default();
            Reply::Fatal {
                reason: format!("{reason}: it redirects to {to}, where the token is not sent; name that --url"),
            }
        }
        _ => Reply::Fatal { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_judged_by_status_and_code() {
        let judged = |status, json: &str| {
            judge(&mut Received {
                status,
                json: serde_json::from_str(json).unwrap_or(Json::Null),
                retry_after: None,
                location: None,
            })
        };
        assert_eq!(judged(200, r#"{"text":"Success","code":0,"ackId":7}"#), Reply::Accepted { ack_id: Some(7) });
        assert_eq!(judged(200, r#"{"text":"full","code":24}"#), Reply::Accepted { ack_id: None });
        assert_eq!(judged(200, ""), Reply::Accepted { ack_id: None });
        assert!(matches!(judged(403, r#"{"text":"Invalid token","code":4}"#), Reply::Fatal { .. }));
        assert!(matches!(judged(503, r#"{"text":"Server is busy","code":9}"#), Reply::Retry { .. }));
        assert!(matches!(judged(502, "<html>"), Reply::Retry { .. }));
        assert!(matches!(judged(404, r#"{"text":"not found","code":404}"#), Reply::Fatal { .. }));
        let bad = r#"{"text":"Invalid data format","code":6,"invalid-event-number":3}"#;
        assert!(matches!(judged(400, bad), Reply::BadEvent { number: 3, .. }));
        let bad = r#"{"text":"Incorrect index","code":7,"invalid-event-number":[1]}"#;
        assert!(matches!(judged(400, bad), Reply::BadIndex { number: 0, .. }));
        assert!(matches!(judged(413, ""), Reply::Split { .. }));
        assert!(matches!(judged(301, ""), Reply::Fatal { .. }));
    }
}
