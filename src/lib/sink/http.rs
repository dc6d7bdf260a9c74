//! Any HTTP endpoint: a request for each message, or for several, with a body that an encoder made.
//!
//! Requests are made one after the other, in order. What the server doesn't take now is sent again until it does, or
//! until the attempts are used up; what it refuses for good goes to the backup.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::agent::{self, AgentOptions, gzip, is_certificate_error, retry_after};
use super::dead_letter::DeadLetters;
use super::retry::{Backoff, sleep};
use crate::matcher::Matcher;
use crate::pipeline::{Checkpoint, Exit, Failure, Flow, Output, Stage, Stats, report, report_once};
use crate::sandbox::{Encoded, Encoder, Terminated};
use crate::stream::{Frame, Frames};

/// How requests are made.
pub struct HttpOptions {
    pub url: String,
    pub method: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    pub gzip: bool,
    /// Statuses that mean that the server has the body.
    pub success: Vec<u16>,
    pub matcher: Option<Matcher>,
    /// Messages in a request.
    pub batch: usize,
    pub batch_age: Duration,
    /// Attempts for a request; 0 is for ever. `None`: for ever if the source can read again, else five.
    pub max_attempts: Option<u32>,
    pub backup: Option<PathBuf>,
    pub checkpoint: Option<Checkpoint>,
    pub agent: AgentOptions,
}

/// Bytes of bodies that are collected for one request.
const MAX_BODY: usize = 1 << 20;
/// Of a reply only the beginning is shown.
const MAX_REPLY: u64 = 64 * 1024;
const SHOWN_REPLY: usize = 200;
/// How often the checkpoint is written while messages keep coming.
const SAVE_EVERY: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 5;

/// What a reply means.
#[derive(Debug, PartialEq)]
enum Reply {
    Taken,
    /// Not now.
    Retry {
        reason: String,
        after: Option<Duration>,
    },
    /// This body, never.
    Refused(String),
    /// Nothing, ever: wrong address, or not for us.
    Fatal(String),
}

#[derive(Default)]
struct Counts {
    encoded: u64,
    delivered: u64,
    /// Refused by the encoder.
    rejected: u64,
    /// Refused by the server, or given up.
    lost: u64,
    requests: u64,
    retries: u64,
}

/// Sends messages.
pub struct HttpSink {
    agent: ureq::Agent,
    encoder: Encoder,
    options: HttpOptions,
    dead_letters: DeadLetters,
    body: Vec<u8>,
    /// The messages whose bodies are collected, and cursors of what needs no request.
    frames: Vec<u8>,
    collected: usize,
    since: Option<Instant>,
    saved: Instant,
    counts: Counts,
}

impl HttpSink {
    /// # Errors
    /// When the address, a PEM file or the backup can't be used.
    pub fn new(encoder: Encoder, options: HttpOptions) -> Result<HttpSink, Failure> {
        if !options.url.starts_with("http://") && !options.url.starts_with("https://") {
            return Err(Failure::usage("expected an address such as https://HOST/PATH"));
        }
        if ureq::http::Method::from_bytes(options.method.as_bytes()).is_err() {
            return Err(Failure::usage(format!("{}: no HTTP method", options.method)));
        }
        for (name, value) in &options.headers {
            let valid = ureq::http::HeaderName::from_bytes(name.as_bytes()).is_ok()
                && ureq::http::HeaderValue::from_str(value).is_ok();
            if !valid {
                return Err(Failure::usage(format!("{name}: no HTTP header, or one that can't be sent")));
            }
        }
        let agent = agent::new(&options.agent).map_err(Failure::usage)?;
        let dead_letters = DeadLetters::open(options.backup.as_deref(), "http")?;
        Ok(HttpSink {
            agent,
            encoder,
            options,
            dead_letters,
            body: Vec::new(),
            frames: Vec::new(),
            collected: 0,
            since: None,
            saved: Instant::now(),
            counts: Counts::default(),
        })
    }

    /// 1 when a message was not delivered.
    pub fn exit(&self) -> Exit {
        if self.counts.lost + self.counts.rejected > 0 { Exit::Negative } else { Exit::Success }
    }

    /// Sends what is collected.
    fn send(&mut self) -> Result<(), Failure> {
        self.since = None;
        if self.collected > 0 {
            let body = std::mem::take(&mut self.body);
            let frames = std::mem::take(&mut self.frames);
            let delivered = self.deliver(&body, &frames, self.collected);
            (self.body, self.frames) = (body, frames);
            if let Err(failure) = delivered {
                // What came before is not sent again.
                self.save()?;
                return Err(failure);
            }
        }
        self.commit()?;
        self.body.clear();
        self.frames.clear();
        self.collected = 0;
        Ok(())
    }

    /// Until the server has a body, or refuses it. One message that is bad doesn't take others with it.
    fn deliver(&mut self, body: &[u8], frames: &[u8], count: usize) -> Result<(), Failure> {
        let mut backoff = Backoff::default();
        let most = self.options.max_attempts.unwrap_or(if self.options.checkpoint.is_some() { 0 } else { ATTEMPTS });
        for attempt in 1.. {
            self.counts.requests += 1;
            match self.request(body) {
                Reply::Taken => {
                    self.counts.delivered += count as u64;
                    return Ok(());
                }
                Reply::Fatal(reason) => return Err(Failure::failed(reason)),
                Reply::Refused(_) if count > 1 => return self.deliver_each(frames),
                Reply::Refused(reason) => return self.bury(frames, attempt, &reason),
                Reply::Retry { reason, .. } if attempt == most => return self.bury(frames, attempt, &reason),
                Reply::Retry { reason, after } => {
                    report_once("requests that have to be made again", || reason.clone());
                    self.counts.retries += 1;
                    if !sleep(backoff.next(after)) {
                        // Asked to stop. A source that can read again will.
                        if self.options.checkpoint.is_some() {
                            return Err(Failure::failed(format!("stopped before everything was delivered: {reason}")));
                        }
                        return self.bury(frames, attempt, &reason);
                    }
                }
            }
        }
        Ok(())
    }

    fn deliver_each(&mut self, frames: &[u8]) -> Result<(), Failure> {
        for frame in Frames(frames) {
            let mut body = Vec::new();
            if self.encode(&frame, &mut body)? {
                self.deliver(&body, frame.raw(), 1)?;
            }
        }
        Ok(())
    }

    fn request(&self, body: &[u8]) -> Reply {
        let mut request = ureq::http::Request::builder().method(self.options.method.as_str()).uri(&self.options.url);
        for (name, value) in &self.options.headers {
            request = request.header(name, value);
        }
        let compressed;
        let mut sent = body;
        if self.options.gzip {
            request = request.header("Content-Encoding", "gzip");
            compressed = gzip(body);
            sent = &compressed;
        }
        let request = match request.body(sent) {
            Ok(request) => request,
            Err(error) => return Reply::Fatal(format!("{}: {error}", self.place())),
        };
        match self.agent.run(request) {
            Ok(mut response) => {
                let status = response.status().as_u16();
                let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
                let after = after.and_then(retry_after);
                // Read even where nobody looks at it: the connection is used again then.
                let text = response.body_mut().with_config().limit(MAX_REPLY).read_to_vec().unwrap_or_default();
                self.judge(status, after, &text)
            }
            Err(error) => {
                let reason = format!("{}: {error}", self.place());
                if is_certificate_error(&reason) {
                    Reply::Fatal(format!(
                        "{reason} (--ca FILE names the authority; --insecure goes on without verifying)"
                    ))
                } else if matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_)) {
                    Reply::Fatal(reason)
                } else {
                    Reply::Retry { reason, after: None }
                }
            }
        }
    }

    fn judge(&self, status: u16, after: Option<Duration>, text: &[u8]) -> Reply {
        let words = String::from_utf8_lossy(text);
        let words: String = words.trim().chars().take(SHOWN_REPLY).collect();
        let colon = if words.is_empty() { "" } else { ": " };
        let reason = format!("{} answers HTTP {status}{colon}{words}", self.place());
        match status {
            _ if self.options.success.contains(&status) => Reply::Taken,
            408 | 425 | 429 | 500..=599 => Reply::Retry { reason, after },
            300..=399 => Reply::Fatal(format!("{reason}: it redirects, and is not followed; name the new address")),
            401 | 403 | 404 | 405 | 407 | 410 => Reply::Fatal(reason),
            _ => Reply::Refused(reason),
        }
    }

    /// The server, without the path, in which there may be a secret.
    fn place(&self) -> &str {
        let url = self.options.url.as_str();
        let host = url.find("://").map_or(0, |at| at + 3);
        let end = url[host..].find('/').map_or(url.len(), |at| host + at);
        let start = url[host..end].rfind('@').map_or(0, |at| host + at + 1);
        &url[start..end]
    }

    /// Messages that are given up: into the backup, or lost.
    fn bury(&mut self, frames: &[u8], attempts: u32, reason: &str) -> Result<(), Failure> {
        self.counts.lost += self.dead_letters.bury(frames, attempts, reason)?;
        Ok(())
    }

    /// Appends a message's bytes; false when there are none to send.
    fn encode(&mut self, frame: &Frame<'_>, body: &mut Vec<u8>) -> Result<bool, Failure> {
        match self.encoder.encode(frame.view()) {
            Ok(Ok(Encoded::Bytes(bytes))) => {
                body.extend_from_slice(bytes);
                Ok(true)
            }
            Ok(Ok(Encoded::Nothing)) => Ok(false),
            Ok(Err(reason)) => {
                self.counts.rejected += 1;
                report_once("messages that the encoder rejected", || reason);
                Ok(false)
            }
            Err(Terminated(reason)) => Err(Failure::failed(reason)),
        }
    }

    /// Everything that was collected is delivered.
    fn commit(&mut self) -> Result<(), Failure> {
        let Some(checkpoint) = &mut self.options.checkpoint else { return Ok(()) };
        for frame in Frames(&self.frames) {
            if let Some(cursor) = frame.header().cursor() {
                checkpoint.advance(&cursor);
            }
        }
        if self.saved.elapsed() >= SAVE_EVERY {
            self.saved = Instant::now();
            checkpoint.save()?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), Failure> {
        self.options.checkpoint.as_mut().map_or(Ok(()), Checkpoint::save)
    }
}

impl Stage for HttpSink {
    fn message(&mut self, frame: &Frame<'_>, _out: &mut Output) -> Result<Flow, Failure> {
        let wanted = self.options.matcher.as_ref().is_none_or(|matcher| matcher.matches(&frame.view()));
        let mut body = std::mem::take(&mut self.body);
        let encoded = wanted && self.encode(frame, &mut body)?;
        self.body = body;
        if encoded {
            self.counts.encoded += 1;
            self.collected += 1;
            self.frames.extend_from_slice(frame.raw());
            self.since.get_or_insert_with(Instant::now);
        } else if self.collected == 0 {
            // Nothing of it waits: its cursor counts at once.
            self.frames.clear();
            self.frames.extend_from_slice(frame.raw());
            self.commit()?;
            self.frames.clear();
        }
        if self.collected >= self.options.batch || self.body.len() >= MAX_BODY {
            self.send()?;
        }
        Ok(Flow::Continue)
    }

    fn idle(&mut self, _out: &mut Output) -> Result<(), Failure> {
        if self.since.is_some_and(|since| since.elapsed() >= self.options.batch_age) {
            self.send()?;
        }
        self.save()
    }

    fn wake_at(&self) -> Option<Instant> {
        Some(self.since? + self.options.batch_age)
    }

    fn finish(&mut self, _out: &mut Output) -> Result<(), Failure> {
        self.send()?;
        self.save()?;
        let Counts { delivered, rejected, lost, .. } = self.counts;
        if rejected + lost > 0 {
            report(&format!(
                "{delivered} messages delivered, {lost} not delivered, {rejected} rejected by the encoder"
            ));
        }
        Ok(())
    }

    fn stats(&self, stats: &mut Stats) {
        let Counts { encoded, delivered, rejected, lost, requests, retries } = self.counts;
        stats.set("messages_encoded", encoded).set("messages_delivered", delivered);
        stats.set("messages_rejected", rejected).set("messages_lost", lost);
        stats.set("requests", requests).set("retries", retries);
        stats.set("max_memory", self.encoder.usage().max_memory as u64);
    }
}
