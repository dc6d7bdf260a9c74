//! One endpoint: requests, and what its replies mean.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use crate::net::Url;
use crate::net::http::{Agents, HttpOptions};
use crate::net::tls::TlsOptions;
use crate::sink::answer::{BULK, HTTP, Known, Meaning, judge, retry_after};
use crate::sink::delivery::{Item, Part, Reply, Server};
use crate::sink::exchange::no_answer;
use crate::sink::gzip;

/// Of a reply no more is read: of a bulk request of a thousand documents it has some hundred KB.
const MAX_REPLY: u64 = 16 << 20;
const SHOWN_REPLY: usize = 200;

/// How requests are made.
#[derive(Clone)]
pub struct TargetOptions {
    pub url: String,
    pub method: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    pub gzip: bool,
    /// Statuses that mean that the server has the body.
    pub success: Vec<u16>,
    /// What the reply has to say, too.
    pub success_if: Option<Condition>,
    pub timeout: Duration,
    pub tls: TlsOptions,
}

/// What a reply has to say besides its status.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Somewhere in it.
    Text(String),
    /// A value of its JSON, by RFC 6901's pointer.
    Value { pointer: String, value: Json },
}

impl Condition {
    /// Reads `/POINTER=VALUE`, or a text that the reply has to contain.
    ///
    /// # Errors
    /// When there is no text.
    pub fn parse(text: &str) -> Result<Condition, String> {
        match text.split_once('=') {
            _ if text.is_empty() => Err("expected a text, or /POINTER=VALUE".into()),
            Some((pointer, value)) if pointer.starts_with('/') => {
                let value = serde_json::from_str(value).unwrap_or_else(|_| Json::String(value.into()));
                Ok(Condition::Value { pointer: pointer.into(), value })
            }
            _ => Ok(Condition::Text(text.into())),
        }
    }

    fn holds(&self, reply: &[u8]) -> bool {
        match self {
            Condition::Text(text) => memchr::memmem::find(reply, text.as_bytes()).is_some(),
            Condition::Value { pointer, value } => {
                serde_json::from_slice::<Json>(reply).is_ok_and(|json| json.pointer(pointer) == Some(value))
            }
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Condition::Text(text) => write!(f, "{text:?}"),
            Condition::Value { pointer, value } => write!(f, "{pointer}={value}"),
        }
    }
}

/// A connection pool to one endpoint.
#[derive(Clone)]
pub struct Target {
    agents: Agents,
    agent: ureq::Agent,
    url: Url,
    options: TargetOptions,
    /// Where no header says it: the first body does.
    content_type: Option<Arc<OnceLock<&'static str>>>,
    /// Its replies have an item for each message (Elasticsearch's bulk API).
    bulk: bool,
}

impl Target {
    /// # Errors
    /// A sentence for the user when the address, the method, a header, a PEM file or the proxy can't be used.
    pub fn new(mut options: TargetOptions) -> Result<Target, String> {
        let url = Url::parse(&options.url)?;
        if ureq::http::Method::from_bytes(options.method.as_bytes()).is_err() {
            return Err(format!("{}: no HTTP method", options.method));
        }
        for (name, value) in &options.headers {
            let valid = ureq::http::HeaderName::from_bytes(name.as_bytes()).is_ok()
                && ureq::http::HeaderValue::from_str(value).is_ok();
            if !valid {
                return Err(format!("{name}: no HTTP header, or one that can't be sent"));
            }
        }
        let has_authorization = options.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if let Some(userinfo) = url.userinfo().filter(|_| !has_authorization) {
            let both = STANDARD.encode(percent_decoded(userinfo));
            options.headers.push(("Authorization".into(), format!("Basic {both}")));
        }
        let agents = Agents::new(
            &url,
            &HttpOptions {
                timeout: options.timeout,
                tls: options.tls.clone(),
                user_agent: concat!("heka-http/", env!("CARGO_PKG_VERSION")),
            },
        )?;
        let bulk = url.path().ends_with("/_bulk");
        let is_given = options.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let content_type = (!is_given).then(Arc::default);
        Ok(Target { agent: agents.agent(), agents, url, options, content_type, bulk })
    }

    /// The media type of bodies, where no header of the user's says it. That of the first one counts.
    pub fn set_content_type(&self, content_type: &'static str) {
        if let Some(known) = &self.content_type {
            // Lines of JSON are what a bulk API takes, whatever made them.
            known.get_or_init(|| if self.bulk { "application/x-ndjson" } else { content_type });
        }
    }

    fn judge(&self, status: u16, after: Option<Duration>, text: &[u8], events: usize) -> Reply {
        let words = String::from_utf8_lossy(text);
        let words: String = words.trim().chars().take(SHOWN_REPLY).collect();
        let colon = if words.is_empty() { "" } else { ": " };
        let reason = format!("{} answers HTTP {status}{colon}{words}", self.url.origin());
        if self.options.success.contains(&status) {
            return match &self.options.success_if {
                Some(condition) if !condition.holds(text) => {
                    Reply::Split { reason: format!("{reason}: not as --success-if wants it, {condition}") }
                }
                _ if self.bulk => judge_items(text),
                _ => Reply::Accepted { ack_id: None },
            };
        }
        match judge(HTTP, status, Known { empty: text.is_empty(), ..Known::default() }) {
            Meaning::Taken => Reply::Accepted { ack_id: None },
            Meaning::Wait | Meaning::Expired => Reply::Retry { reason, after, perhaps: 0, cut: false },
            Meaning::Unclear => Reply::Retry { reason, after, perhaps: events, cut: false },
            Meaning::Refused | Meaning::TooLarge => Reply::Split { reason },
            Meaning::Closed if matches!(status, 301..=303 | 307 | 308) => {
                Reply::Closed { reason: format!("{reason}: it redirects, and is not followed; name the new address") }
            }
            Meaning::Closed => Reply::Closed { reason },
        }
    }
}

/// What a bulk reply says of each document. One that is no such reply was judged by its status.
fn judge_items(text: &[u8]) -> Reply {
    let json: Json = serde_json::from_slice(text).unwrap_or(Json::Null);
    let items = match (json.get("errors"), json.get("items").and_then(Json::as_array)) {
        (Some(Json::Bool(true)), Some(items)) => items,
        _ => return Reply::Accepted { ack_id: None },
    };
    let judged = items.iter().map(|item| {
        // {"index":{"status":400,"error":{…}}}: the operation's name is the only key.
        let item = item.as_object().and_then(|item| item.values().next()).unwrap_or(&Json::Null);
        let status = item.get("status").and_then(Json::as_u64).and_then(|status| u16::try_from(status).ok());
        let status = status.unwrap_or(500);
        let words = item.get("error").map_or_else(String::new, Json::to_string);
        let reason = format!("the item has status {status}: {}", words.chars().take(SHOWN_REPLY).collect::<String>());
        match judge(BULK, status, Known::default()) {
            Meaning::Taken => Item::Taken,
            Meaning::Refused | Meaning::TooLarge => Item::Refused(reason),
            _ => Item::Wait(reason),
        }
    });
    Reply::Items(judged.collect())
}

impl Server for Target {
    fn anew(&self) -> Target {
        Target { agent: self.agents.agent(), ..self.clone() }
    }

    fn name(&self) -> &str {
        self.url.origin()
    }

    fn pack(&self, body: &[u8]) -> Option<Vec<u8>> {
        self.options.gzip.then(|| gzip(body))
    }

    fn send(&self, part: &Part, _channel: &str) -> Reply {
        let method = self.options.method.as_str();
        let mut request = ureq::http::Request::builder().method(method).uri(self.url.as_str());
        for (name, value) in &self.options.headers {
            request = request.header(name, value);
        }
        if let Some(content_type) = self.content_type.as_ref().and_then(|known| known.get()) {
            request = request.header("Content-Type", *content_type);
        }
        if part.packed.is_some() {
            request = request.header("Content-Encoding", "gzip");
        }
        let request = match request.body(part.sent()) {
            Ok(request) => request,
            Err(error) => return Reply::Closed { reason: format!("{}: {error}", self.name()) },
        };
        let unclear = |reason| Reply::Retry { reason, after: None, perhaps: part.events, cut: true };
        match self.agent.run(request) {
            Ok(mut response) => {
                let status = response.status().as_u16();
                let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
                let after = after.and_then(retry_after);
                // Read even where nobody looks at it: the connection is used again then.
                let mut text = Vec::new();
                let read = response.body_mut().as_reader().take(MAX_REPLY).read_to_end(&mut text);
                match read {
                    Err(error) if self.bulk || self.options.success_if.is_some() => {
                        unclear(format!("{}: its reply was cut: {error}", self.name()))
                    }
                    _ => self.judge(status, after, &text, part.events),
                }
            }
            Err(error) => no_answer(self.name(), &error, part.events),
        }
    }
}

/// `%40` is `@`.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| byte == b'%') {
            Some(value) => {
                out.push(value);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn conditions_on_replies() {
        for (condition, reply, holds) in [
            ("ok", "all ok", true),
            ("ok", "OK", false),
            ("/errors=false", r#"{"errors":false}"#, true),
            ("/errors=false", r#"{"errors":true}"#, false),
            ("/errors=false", "errors=false", false),
            ("/a/0/b=x", r#"{"a":[{"b":"x"}]}"#, true),
            ("a=b", "?a=b&c", true),
        ] {
            assert_eq!(Condition::parse(condition).unwrap().holds(reply.as_bytes()), holds, "{condition} {reply}");
        }
        assert!(Condition::parse("").is_err());
    }

    proptest! {
        #[test]
        fn any_bulk_reply_is_judged(text in "\\PC{0,40}", status in any::<i64>(), inner in "\\PC{0,9}") {
            judge_items(text.as_bytes());
            let items = serde_json::json!({"errors": true, "items": [null, inner, {"index": {"status": status}}, {}]});
            prop_assert!(matches!(judge_items(items.to_string().as_bytes()), Reply::Items(items) if items.len() == 4));
            percent_decoded(&text);
            let _ = Condition::parse(&text).map(|condition| condition.holds(inner.as_bytes()));
        }
    }

    #[test]
    fn bulk_replies_have_items() {
        let reply = br#"{"took":1,"errors":true,"items":[{"index":{"status":201}},{"create":{"status":409}},
            {"index":{"status":429,"error":"busy"}},{"index":{"status":400,"error":{"type":"mapper_parsing_exception"}}}]}"#;
        let Reply::Items(items) = judge_items(reply) else { panic!() };
        assert!(matches!(&items[..], [Item::Taken, Item::Taken, Item::Wait(_), Item::Refused(reason)]
            if reason.contains("mapper_parsing_exception")));
        for good in [&br#"{"errors":false,"items":[]}"#[..], b"", b"<html>"] {
            assert_eq!(judge_items(good), Reply::Accepted { ack_id: None });
        }
        assert_eq!(percent_decoded("a%40b%zz%4"), b"a@b%zz%4");
    }
}
