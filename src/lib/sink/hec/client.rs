//! One HEC server: requests, and what its replies mean.

use std::time::Duration;

use super::event::Endpoint;
use crate::net::Url;
use crate::net::http::{Agents, HttpOptions};
use crate::net::tls::TlsOptions;
use crate::sink::answer::{HEC, Known, Meaning, judge, retry_after};
use crate::sink::delivery::{Part, Reply, Server};
use crate::sink::exchange::no_answer;
use crate::sink::gzip;
use serde_json::Value as Json;

/// Replies are short; a proxy's error page may be long.
const MAX_REPLY: u64 = 1 << 20;
/// Of a page that is no reply, what is shown.
const SHOWN: usize = 80;

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `https://host:8088`, with or without `/services/collector` and what follows it.
    pub url: String,
    pub token: String,
    pub endpoint: Endpoint,
    pub gzip: bool,
    pub timeout: Duration,
    pub tls: TlsOptions,
}

/// A connection pool to one server, with the cookies that it sets.
#[derive(Clone)]
pub struct Client {
    agents: Agents,
    agent: ureq::Agent,
    /// Without a path: what may be shown.
    name: String,
    /// What stands before `/services/collector`.
    base: String,
    options: ClientOptions,
}

impl Client {
    /// # Errors
    /// When the address, a PEM file or the environment's proxy can't be used.
    pub fn new(options: ClientOptions) -> Result<Client, String> {
        let url = Url::parse(&options.url)?;
        if url.userinfo().is_some() {
            return Err(format!(
                "{}: a user name and a password in the address are not sent: the token says who we are",
                url.origin()
            ));
        }
        let path = url.path().split("/services/collector").next().unwrap_or_default().trim_end_matches('/');
        let base = format!("{}{path}", url.origin());
        let agents = Agents::new(
            &url,
            &HttpOptions {
                timeout: options.timeout,
                tls: options.tls.clone(),
                user_agent: concat!("heka-hec/", env!("CARGO_PKG_VERSION")),
            },
        )?;
        Ok(Client { agent: agents.agent(), agents, name: url.origin().to_string(), base, options })
    }

    /// Whether the server takes events: `Accepted`, `Retry` or `Closed`. Servers that can't be asked are taken for healthy.
    pub fn health(&self) -> Reply {
        let request = self
            .agent
            .get(&format!("{}/services/collector/health/1.0", self.base))
            .header("Authorization", format!("Splunk {}", self.options.token));
        let received = match request
            .call()
            .map_err(|error| no_answer(&self.name, &error, 0))
            .and_then(|response| self.read(response, 0))
        {
            Ok(received) => received,
            Err(reply) => return reply,
        };
        match received.reply(0) {
            _ if matches!(received.status, 404 | 405) => Reply::Accepted { ack_id: None },
            // Servers have codes of their own for it: 17, 200.
            _ if received.status == 200 && !received.json.is_null() => Reply::Accepted { ack_id: None },
            Reply::Split { reason } | Reply::BadEvent { reason, .. } | Reply::BadGroup { reason, .. } => {
                Reply::Closed { reason }
            }
            reply => reply,
        }
    }

    /// Reads an answer to a request with so many events; one that is cut is none.
    fn read(&self, mut response: ureq::http::Response<ureq::Body>, events: usize) -> Result<Received, Reply> {
        let header =
            |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_string);
        let retry_after = header("retry-after").and_then(|text| retry_after(&text));
        let location = header("location");
        let status = response.status().as_u16();
        let text = match response.body_mut().with_config().limit(MAX_REPLY).read_to_vec() {
            Ok(text) => text,
            // Nobody's reply is so long: what it says is not read.
            Err(ureq::Error::BodyExceedsLimit(_)) => b"(a page)".to_vec(),
            Err(error) => return Err(no_answer(&self.name, &error, events)),
        };
        let json = serde_json::from_slice(&text).ok().filter(Json::is_object).unwrap_or(Json::Null);
        Ok(Received { status, text: String::from_utf8_lossy(&text).into_owned(), json, retry_after, location })
    }
}

impl Server for Client {
    fn anew(&self) -> Client {
        Client { agent: self.agents.agent(), ..self.clone() }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn pack(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.options.gzip.then(|| gzip(body))
    }

    fn send(&self, part: &Part, channel: &str) -> Reply {
        let (path, content_type) = match self.options.endpoint {
            Endpoint::Event => ("event", "application/json"),
            Endpoint::Raw => ("raw", "text/plain; charset=utf-8"),
        };
        let url = format!("{}/services/collector/{path}{}", self.base, part.query);
        let mut request = self
            .agent
            .post(&url)
            .header("Authorization", format!("Splunk {}", self.options.token))
            .header("X-Splunk-Request-Channel", channel)
            .header("Content-Type", content_type);
        if part.packed.is_some() {
            request = request.header("Content-Encoding", "gzip");
        }
        let received = request.send(part.sent()).map_err(|error| no_answer(&self.name, &error, part.events));
        match received.and_then(|response| self.read(response, part.events)) {
            Ok(received) => received.reply(part.events),
            Err(reply) => reply,
        }
    }

    fn ask(&self, channel: &str, ids: &[u64]) -> Result<Result<Vec<u64>, String>, String> {
        let body = serde_json::json!({ "acks": ids }).to_string();
        let sent = self
            .agent
            .post(&format!("{}/services/collector/ack?channel={channel}", self.base))
            .header("Authorization", format!("Splunk {}", self.options.token))
            .header("X-Splunk-Request-Channel", channel)
            .header("Content-Type", "application/json")
            .send(body.as_bytes());
        let received =
            sent.map_err(|error| no_answer(&self.name, &error, 0)).and_then(|response| self.read(response, 0));
        let received = match received {
            Ok(received) => received,
            Err(Reply::Closed { reason }) => return Err(reason),
            Err(Reply::Retry { reason, .. }) => return Ok(Err(reason)),
            Err(_) => return Ok(Err("no answer".into())),
        };
        if received.status == 200
            && let Some(acks) = received.json.get("acks").and_then(Json::as_object)
        {
            let told = acks.iter().filter(|(_, told)| **told == Json::Bool(true));
            return Ok(Ok(told.filter_map(|(id, _)| id.parse().ok()).collect()));
        }
        let words = received.words();
        match (received.code(), received.meaning()) {
            (Some(14), _) => Err(format!("{words}: drop --ack, or turn acknowledgement on for the token")),
            // JSON of another shape is no verdict on us.
            (_, Meaning::Closed) if received.status != 200 || received.json.is_null() => Err(words),
            _ => Ok(Err(words)),
        }
    }
}

/// A reply, taken apart. Nothing in it is trusted: a proxy may answer with anything.
struct Received {
    status: u16,
    text: String,
    /// An object, or null.
    json: Json,
    retry_after: Option<Duration>,
    location: Option<String>,
}

impl Received {
    /// HEC's code. An HTTP status as `code` (unknown paths) is none.
    fn code(&self) -> Option<u64> {
        self.json.get("code").and_then(Json::as_u64).filter(|&code| code < 100)
    }

    fn ack_id(&self) -> Option<u64> {
        self.json.get("ackId").and_then(Json::as_u64)
    }

    fn bad_event(&self) -> Option<usize> {
        let number = self.json.get("invalid-event-number")?;
        let number = number.as_array().and_then(|list| list.first()).unwrap_or(number);
        usize::try_from(number.as_u64()?).ok()
    }

    fn meaning(&self) -> Meaning {
        let says = self.json.get("text").and_then(Json::as_str);
        let has_code = self.json.get("code").is_some();
        let known = Known {
            empty: self.text.trim().is_empty(),
            code: self.code(),
            success: !has_code && says.is_some_and(|text| text.eq_ignore_ascii_case("success")),
            error: "",
        };
        judge(HEC, self.status, known)
    }

    /// The server's own words.
    fn words(&self) -> String {
        let text = self.json.get("text").and_then(Json::as_str);
        if let (Some(text), Some(code)) = (text, self.code()) {
            return format!("the server says: {text} (code {code}, HTTP {})", self.status);
        }
        let page: String = self.text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        let page = if page.is_empty() { page } else { format!(", and no reply of an Event Collector: {page}") };
        format!("the server answers HTTP {}{page}", self.status)
    }

    /// What it means for so many events.
    fn reply(&self, events: usize) -> Reply {
        let reason = self.words();
        let ack_id = self.ack_id();
        let retry = |reason, perhaps| Reply::Retry { reason, after: self.retry_after, perhaps, cut: false };
        match self.meaning() {
            Meaning::Taken => Reply::Accepted { ack_id },
            Meaning::Wait | Meaning::Expired => retry(reason, self.bad_event().unwrap_or_default()),
            Meaning::Unclear => retry(reason, events),
            Meaning::TooLarge => Reply::Split { reason },
            Meaning::Refused => match self.bad_event() {
                // Splunk names the event after the one whose index it refused.
                Some(number) if self.code() == Some(7) => Reply::BadGroup { number: number.saturating_sub(1), reason },
                Some(number) => Reply::BadEvent { number, reason, ack_id },
                None => Reply::Split { reason },
            },
            Meaning::Closed if matches!(self.status, 301..=303 | 307 | 308) => {
                let to = self.location.as_deref().map_or(String::new(), |to| {
                    // Only where to: what follows may be a secret of the server's.
                    Url::parse(to)
                        .map_or_else(|_| " elsewhere".into(), |url| format!(" to {}{}", url.origin(), url.path()))
                });
                Reply::Closed {
                    reason: format!("{reason}: it redirects{to}, where the token is not sent; name that --url"),
                }
            }
            Meaning::Closed => Reply::Closed { reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(status: u16, text: &str) -> Reply {
        let json = serde_json::from_str(text).ok().filter(Json::is_object).unwrap_or(Json::Null);
        Received { status, text: text.into(), json, retry_after: None, location: Some(text.into()) }.reply(3)
    }

    proptest! {
        /// A server may answer with anything.
        #[test]
        fn every_reply_is_judged(status in 100u16..600, text in "(\\PC{0,40}|\\{\"(text|code|ackId|invalid-event-number)\":(\\PC{0,9}|-?[0-9]{1,25}|\\[[0-9]{0,3}\\]|null)\\})") {
            let reply = judged(status, &text);
            // Success is said by 2xx alone.
            if !(200..300).contains(&status) {
                prop_assert!(!matches!(reply, Reply::Accepted { .. }), "{reply}");
            }
            let _ = crate::sink::answer::retry_after(&text);
        }
    }

    #[test]
    fn replies_are_judged_by_code_and_status() {
        assert_eq!(judged(200, r#"{"text":"Success","code":0,"ackId":7}"#), Reply::Accepted { ack_id: Some(7) });
        assert_eq!(judged(200, r#"{"text":"full","code":24}"#), Reply::Accepted { ack_id: None });
        assert_eq!(judged(200, r#"{"text":"Success"}"#), Reply::Accepted { ack_id: None });
        assert_eq!(judged(204, ""), Reply::Accepted { ack_id: None });
        for (status, text) in [
            (403, r#"{"text":"Invalid token","code":4}"#),
            (200, "<html>Please log in</html>"),
            (200, "[]"),
            (200, r#"{"text":"?","code":99}"#),
            (400, "<html>The plain HTTP request was sent to HTTPS port</html>"),
            (404, r#"{"text":"not found","code":404}"#),
            (301, ""),
            (304, ""),
        ] {
            assert!(matches!(judged(status, text), Reply::Closed { .. }), "{status} {text}");
        }
        for (status, text, may_have) in [
            (503, r#"{"text":"Server is busy","code":9}"#, 0),
            (200, r#"{"text":"Server is busy","code":9}"#, 0),
            (503, r#"{"text":"Server is busy","code":9,"invalid-event-number":2}"#, 2),
            (500, r#"{"text":"Internal server error","code":8}"#, 3),
            (502, "<html>", 3),
            (429, "", 0),
        ] {
            assert!(
                matches!(judged(status, text), Reply::Retry { perhaps, cut: false, .. } if perhaps == may_have),
                "{status} {text}"
            );
        }
        let bad = r#"{"text":"Invalid data format","code":6,"invalid-event-number":3}"#;
        assert!(matches!(judged(400, bad), Reply::BadEvent { number: 3, .. }));
        let bad = r#"{"text":"Incorrect index","code":7,"invalid-event-number":[1]}"#;
        assert!(matches!(judged(400, bad), Reply::BadGroup { number: 0, .. }));
        assert!(matches!(judged(400, r#"{"text":"No data","code":5}"#), Reply::Split { .. }));
        assert!(matches!(judged(413, ""), Reply::Split { .. }));
    }
}
