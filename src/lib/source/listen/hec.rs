//! A HEC server: what Splunk's HTTP Event Collector takes, as messages.
//!
//! Endpoints, codes and the protocol of acknowledgement are Splunk's. A request that names a channel gets an ack id,
//! which turns true when its messages have been written; one without a channel is answered when they have been.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use super::admission::Connection;
use super::counters::{add, count};
use super::service::Service;
use super::tls::Tls;
use super::told;
use super::writer::Writer;
use crate::grammar::date_time::unix_seconds;
use crate::message::{MessageBuilder, TextHeader, now_ns, uuid};
use crate::stream::put_frame;

/// Channels that nobody has used for so long are forgotten, with their ids.
const CHANNEL_IDLE: Duration = Duration::from_secs(600);
/// Channels, and ids of one channel, that are kept at most; the oldest are dropped.
const MAX_CHANNELS: usize = 10_000;
const MAX_IDS: usize = 1_000_000;
/// How long a request waits until its messages are written before it is told that the server is busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// A handshake, and a body behind its first `--complete-within` seconds, has to be so quick.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const LEAST_BYTES_A_SECOND: u64 = 1024;
/// When a stop is asked for, requests under way get so long.
const DRAIN: Duration = Duration::from_secs(10);
/// A question for acks: so many bytes, and so many ids.
const MAX_QUESTION: usize = 256 * 1024;
const MAX_ASKED: usize = 10_000;

/// Settings of a server.
pub struct HecOptions {
    pub tokens: Vec<String>,
    /// Longest body, after decompression.
    pub max_content: usize,
    pub tls: Option<Tls>,
}

/// A server's state, shared by its connections.
pub struct Hec {
    options: HecOptions,
    service: Arc<Service>,
    writer: Writer,
    channels: Arc<Mutex<HashMap<[u8; 16], Channel>>>,
}

/// Ack ids of one channel: handed out, and written but not yet asked for.
struct Channel {
    next: u64,
    written: BTreeSet<u64>,
    used: Instant,
}

/// A reply of the protocol: HTTP status, code, text.
type Answer = (u16, u64, &'static str);

const SUCCESS: Answer = (200, 0, "Success");
const TOKEN_REQUIRED: Answer = (401, 2, "Token is required");
const INVALID_AUTHORIZATION: Answer = (401, 3, "Invalid authorization");
const INVALID_TOKEN: Answer = (403, 4, "Invalid token");
const NO_DATA: Answer = (400, 5, "No data");
const INVALID_FORMAT: Answer = (400, 6, "Invalid data format");
const BUSY: Answer = (503, 9, "Server is busy");
const NO_CHANNEL: Answer = (400, 10, "Data channel is missing");
const INVALID_CHANNEL: Answer = (400, 11, "Invalid data channel");
const EVENT_REQUIRED: Answer = (400, 12, "Event field is required");
const EVENT_BLANK: Answer = (400, 13, "Event field cannot be blank");
const INVALID_FIELDS: Answer = (400, 15, "Error in handling indexed fields");
const HEALTHY: Answer = (200, 17, "HEC is healthy");

impl Hec {
    pub fn new(options: HecOptions, service: &Arc<Service>, writer: Writer) -> Arc<Hec> {
        Arc::new(Hec { options, service: service.clone(), writer, channels: Arc::default() })
    }

    /// Takes connections until `stop` is told; then those that are open finish their requests.
    pub async fn serve(self: Arc<Hec>, listener: TcpListener, stop: tokio::sync::watch::Receiver<bool>) {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let mut stopped = stop.clone();
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told(&mut stopped) => break,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    connections.spawn(self.clone().connection(stream, peer, stop.clone()));
                }
                // Out of descriptors, for one: pause instead of spinning.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        // A request that never ends keeps nobody from the end.
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN, all).await;
    }

    async fn connection(
        self: Arc<Hec>,
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
        stop: tokio::sync::watch::Receiver<bool>,
    ) {
        let connection = Arc::new(self.service.admit(Some(peer.ip().to_canonical())));
        let place = connection.clone();
        let serving = async {
            match &self.options.tls {
                None => self.clone().http(TokioIo::new(stream), peer, connection, stop).await,
                Some(tls) => {
                    let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, tls.acceptor().accept(stream));
                    if let Ok(Ok(stream)) = handshake.await {
                        self.clone().http(TokioIo::new(stream), peer, connection, stop).await;
                    }
                }
            }
        };
        tokio::select! {
            () = serving => {}
            () = place.evicted() => {}
        }
    }

    async fn http<S>(
        self: Arc<Hec>,
        stream: S,
        peer: SocketAddr,
        place: Arc<Connection>,
        mut stop: tokio::sync::watch::Receiver<bool>,
    ) where
        S: hyper::rt::Read + hyper::rt::Write + Unpin,
    {
        let header_within = self.service.limits.whole_within;
        let service = service_fn(move |request| {
            let (server, place) = (self.clone(), place.clone());
            async move {
                place.touch();
                Ok::<_, Infallible>(server.respond(request, peer, &place).await)
            }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(header_within);
        let connection = builder.serve_connection(stream, service);
        tokio::pin!(connection);
        tokio::select! {
            // A peer's broken connection is its own affair: what it did not get an answer for it sends again.
            _ = &mut connection => {}
            () = told(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    async fn respond(&self, request: Request<Incoming>, peer: SocketAddr, place: &Connection) -> Response<Full<Bytes>> {
        let path = request.uri().path().trim_end_matches('/').to_string();
        let post = request.method() == Method::POST;
        match path.strip_prefix("/services/collector").map(|rest| rest.trim_end_matches("/1.0")) {
            Some("/health") if request.method() == Method::GET => answer(HEALTHY),
            Some("" | "/event") if post => self.receive(request, peer, place, Endpoint::Event).await,
            Some("/raw") if post => self.receive(request, peer, place, Endpoint::Raw).await,
            Some("/ack") if post => self.acks(request, place).await,
            Some("" | "/event" | "/raw" | "/ack" | "/health") => {
                if request.method() == Method::OPTIONS {
                    reply(200, &json!({}))
                } else {
                    not_found(405)
                }
            }
            _ => not_found(404),
        }
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let header = headers.get(AUTHORIZATION).ok_or(TOKEN_REQUIRED)?;
        let text = header.to_str().map_err(|_| INVALID_AUTHORIZATION)?;
        let token = match text.split_once(' ') {
            Some(("Splunk", token)) => token.trim().to_string(),
            Some(("Basic", encoded)) => {
                use base64::Engine as _;
                let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim());
                let decoded =
                    decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(INVALID_AUTHORIZATION)?;
                decoded.split_once(':').map(|(_, password)| password.to_string()).ok_or(INVALID_AUTHORIZATION)?
            }
            _ => return Err(INVALID_AUTHORIZATION),
        };
        // Every byte is looked at, so that the time taken tells nothing of the token.
        let same = |known: &String| {
            let differs = known.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
            known.len() == token.len() && differs == 0
        };
        let known = self.options.tokens.iter().fold(false, |found, known| found | same(known));
        if known { Ok(()) } else { Err(INVALID_TOKEN) }
    }

    /// The channel that a request names; none is no error here.
    fn channel(request: &Request<Incoming>) -> Result<Option<[u8; 16]>, Answer> {
        let header = request.headers().get("x-splunk-request-channel").and_then(|value| value.to_str().ok());
        let query = query_parameter(request.uri().query(), "channel");
        match header.map(str::to_string).or(query) {
            None => Ok(None),
            Some(text) => uuid::parse(text.as_bytes()).map(Some).ok_or(INVALID_CHANNEL),
        }
    }

    async fn receive(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        place: &Connection,
        endpoint: Endpoint,
    ) -> Response<Full<Bytes>> {
        let channel = match self.authorize(request.headers()).and_then(|()| Self::channel(&request)) {
            Ok(channel) => channel,
            Err(refused) => return answer(refused),
        };
        let query = request.uri().query().map(str::to_string);
        let body = match self.body(request, place, self.options.max_content).await {
            Ok(body) => body,
            Err(response) => return *response,
        };
        let parsed = match endpoint {
            Endpoint::Event => parse_events(&body, peer),
            Endpoint::Raw => parse_raw(&body, query.as_deref(), peer),
        };
        let mut fields = serde_json::Map::new();
        if parsed.messages > 0 {
            match self.write(parsed.frames, parsed.messages, channel).await {
                Ok(Some(id)) => {
                    fields.insert("ackId".into(), id.into());
                }
                Ok(None) => {}
                Err(busy) => return answer(busy),
            }
        }
        // As Splunk: the events before a bad one have been taken.
        let (status, code, text) = parsed.refused.map_or(SUCCESS, |(refused, _)| refused);
        fields.insert("text".into(), text.into());
        fields.insert("code".into(), code.into());
        if let Some((_, Some(number))) = parsed.refused {
            fields.insert("invalid-event-number".into(), number.into());
        }
        reply(status, &Json::Object(fields))
    }

    /// Hands messages to the writer: with a channel the answer is an ack id, without one it comes when they are written.
    async fn write(&self, frames: Vec<u8>, messages: u64, channel: Option<[u8; 16]>) -> Result<Option<u64>, Answer> {
        if let Some(channel) = channel {
            let id = self.new_ack_id(channel);
            let channels = self.channels.clone();
            let submit = self.writer.submit(frames, messages, move || mark_written(&channels, &channel, id));
            return match tokio::time::timeout(PATIENCE, submit).await {
                Ok(true) => Ok(Some(id)),
                _ => Err(BUSY),
            };
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let written = async {
            let submitted = self
                .writer
                .submit(frames, messages, move || {
                    let _ = tell.send(());
                })
                .await;
            submitted && told.await.is_ok()
        };
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(true) => Ok(None),
            _ => Err(BUSY),
        }
    }

    fn new_ack_id(&self, name: [u8; 16]) -> u64 {
        let now = Instant::now();
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if channels.len() >= MAX_CHANNELS && !channels.contains_key(&name) {
            channels.retain(|_, channel| now.duration_since(channel.used) < CHANNEL_IDLE);
            let oldest = channels.iter().min_by_key(|(_, channel)| channel.used).map(|(name, _)| *name);
            if let Some(oldest) = oldest.filter(|_| channels.len() >= MAX_CHANNELS) {
                channels.remove(&oldest);
            }
        }
        let channel = channels.entry(name).or_insert(Channel { next: 0, written: BTreeSet::new(), used: now });
        channel.used = now;
        channel.next += 1;
        channel.next - 1
    }

    async fn acks(&self, request: Request<Incoming>, place: &Connection) -> Response<Full<Bytes>> {
        let channel = self.authorize(request.headers()).and_then(|()| Self::channel(&request));
        let name = match channel {
            Ok(Some(name)) => name,
            Ok(None) => return answer(NO_CHANNEL),
            Err(refused) => return answer(refused),
        };
        let body = match self.body(request, place, MAX_QUESTION).await {
            Ok(body) => body,
            Err(response) => return *response,
        };
        let asked: Option<Vec<u64>> = serde_json::from_slice::<Json>(&body)
            .ok()
            .and_then(|json| json.get("acks")?.as_array()?.iter().map(Json::as_u64).collect());
        let Some(asked) = asked else { return answer(INVALID_FORMAT) };
        if asked.len() > MAX_ASKED {
            return reply(413, &too_large());
        }
        let mut told = serde_json::Map::new();
        if let Ok(mut channels) = self.channels.lock() {
            let mut channel = channels.get_mut(&name);
            if let Some(channel) = &mut channel {
                channel.used = Instant::now();
            }
            for id in asked {
                // True once: then it is forgotten.
                let done = channel.as_mut().is_some_and(|channel| channel.written.remove(&id));
                told.insert(id.to_string(), done.into());
            }
        }
        reply(200, &json!({ "acks": told }))
    }

    /// The body, decompressed, of at most so many bytes before and after.
    async fn body(
        &self,
        request: Request<Incoming>,
        place: &Connection,
        limit: usize,
    ) -> Result<Vec<u8>, Box<Response<Full<Bytes>>>> {
        let encoding = request.headers().get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
        let mut body = request.into_body();
        let began = tokio::time::Instant::now() + self.service.limits.whole_within;
        let mut bytes = Vec::new();
        let mut kept = place.part();
        loop {
            let within = began + Duration::from_secs(bytes.len() as u64 / LEAST_BYTES_A_SECOND);
            let Ok(frame) = tokio::time::timeout_at(within, body.frame()).await else {
                count(&self.service.counters.connections_timed_out);
                return Err(Box::new(reply(408, &json!({"text": "Request timeout", "code": 408}))));
            };
            let Some(frame) = frame else { break };
            let Ok(frame) = frame else { return Err(Box::new(answer(INVALID_FORMAT))) };
            let Some(data) = frame.data_ref() else { continue };
            place.touch();
            add(&self.service.counters.bytes_in, data.len() as u64);
            if bytes.len() + data.len() > limit {
                return Err(Box::new(reply(413, &too_large())));
            }
            bytes.extend_from_slice(data);
            if !kept.keep(bytes.len()) {
                count(&self.service.counters.connections_closed_for_memory);
                return Err(Box::new(answer(BUSY)));
            }
        }
        match encoding.as_deref() {
            None | Some(b"identity") => Ok(bytes),
            Some(b"gzip") => {
                let mut text = Vec::new();
                let read = flate2::read::MultiGzDecoder::new(&bytes[..]).take(limit as u64 + 1).read_to_end(&mut text);
                if text.len() > limit {
                    return Err(Box::new(reply(413, &too_large())));
                }
                read.map(|_| text).map_err(|_| Box::new(answer(INVALID_FORMAT)))
            }
            Some(_) => Err(Box::new(reply(415, &json!({"text": "Unsupported content encoding", "code": 415})))),
        }
    }
}

#[derive(Clone, Copy)]
enum Endpoint {
    Event,
    Raw,
}

/// Runs in the writer's thread.
fn mark_written(channels: &Mutex<HashMap<[u8; 16], Channel>>, name: &[u8; 16], id: u64) {
    let Ok(mut channels) = channels.lock() else { return };
    if let Some(channel) = channels.get_mut(name) {
        channel.written.insert(id);
        if channel.written.len() > MAX_IDS {
            channel.written.pop_first();
        }
    }
}

fn answer((status, code, text): Answer) -> Response<Full<Bytes>> {
    reply(status, &json!({"text": text, "code": code}))
}

fn too_large() -> Json {
    json!({"text": "Content too large", "code": 413})
}

fn not_found(status: u16) -> Response<Full<Bytes>> {
    reply(status, &json!({"text": "The requested URL was not found on this server.", "code": status}))
}

fn reply(status: u16, json: &Json) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(json.to_string())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// The decoded value of a query's parameter.
fn query_parameter(query: Option<&str>, name: &str) -> Option<String> {
    let value = query?.split('&').find_map(|part| part.split_once('=').filter(|(key, _)| *key == name))?.1;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || (rest.next()? as char).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// What a body holds: the messages before the first bad event, and what is wrong with that one.
struct Parsed {
    frames: Vec<u8>,
    messages: u64,
    refused: Option<(Answer, Option<usize>)>,
}

/// Metadata and content of one event.
#[derive(Default)]
struct Event<'a> {
    time: Option<i64>,
    host: Option<String>,
    source: Option<String>,
    sourcetype: Option<String>,
    index: Option<String>,
    payload: &'a [u8],
    fields: serde_json::Map<String, Json>,
}

impl Event<'_> {
    fn put(&self, peer: SocketAddr, message: &mut Vec<u8>, frames: &mut Vec<u8>) {
        message.clear();
        let mut builder = MessageBuilder::new(message, &uuid::new_v4(), self.time.unwrap_or_else(now_ns));
        builder.text(TextHeader::Type, self.sourcetype.as_deref().unwrap_or("httpevent").as_bytes());
        builder.text(TextHeader::Logger, self.source.as_deref().unwrap_or_default().as_bytes());
        builder.text(TextHeader::Payload, self.payload);
        let peer = peer.ip().to_string();
        builder.text(TextHeader::Hostname, self.host.as_deref().unwrap_or(&peer).as_bytes());
        if let Some(index) = &self.index {
            builder.string_field(b"index", index.as_bytes(), b"");
        }
        for (name, value) in &self.fields {
            let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            if list.iter().all(Json::is_number) {
                builder.field(name.as_bytes(), crate::message::ValueType::Double, b"", |values| {
                    values.doubles(list.iter().filter_map(Json::as_f64));
                });
            } else {
                builder.field(name.as_bytes(), crate::message::ValueType::String, b"", |values| {
                    for value in list {
                        match value {
                            Json::String(text) => values.string(text.as_bytes()),
                            other => values.string(other.to_string().as_bytes()),
                        }
                    }
                });
            }
        }
        put_frame(frames, None, message);
    }
}

/// JSON objects one after the other, or in one list.
fn parse_events(body: &[u8], peer: SocketAddr) -> Parsed {
    let mut parsed = Parsed { frames: Vec::with_capacity(body.len()), messages: 0, refused: None };
    let text = body.trim_ascii();
    if text.is_empty() {
        parsed.refused = Some((NO_DATA, None));
        return parsed;
    }
    let mut message = Vec::new();
    let mut take = |parsed: &mut Parsed, object: &RawValue| {
        let number = parsed.messages as usize;
        match parse_event(object, peer, &mut message, &mut parsed.frames) {
            Ok(()) => parsed.messages += 1,
            Err(refused) => parsed.refused = Some((refused, Some(number))),
        }
        parsed.refused.is_none()
    };
    if text.first() == Some(&b'[') {
        match serde_json::from_slice::<Vec<&RawValue>>(text) {
            Ok(list) => {
                let _ = list.into_iter().all(|object| take(&mut parsed, object));
            }
            Err(_) => parsed.refused = Some((INVALID_FORMAT, Some(0))),
        }
        return parsed;
    }
    for object in serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>() {
        match object {
            Ok(object) => {
                if !take(&mut parsed, object) {
                    break;
                }
            }
            Err(_) => {
                parsed.refused = Some((INVALID_FORMAT, Some(parsed.messages as usize)));
                break;
            }
        }
    }
    parsed
}

fn parse_event(object: &RawValue, peer: SocketAddr, message: &mut Vec<u8>, frames: &mut Vec<u8>) -> Result<(), Answer> {
    let members: HashMap<String, &RawValue> = serde_json::from_str(object.get()).map_err(|_| INVALID_FORMAT)?;
    let text = |key: &str| -> Option<String> { serde_json::from_str(members.get(key)?.get()).ok() };
    let content = members.get("event").ok_or(EVENT_REQUIRED)?.get();
    let string: Option<String> = serde_json::from_str(content).ok();
    let payload = match &string {
        Some(text) => text.as_bytes(),
        None if content == "null" => return Err(EVENT_REQUIRED),
        None => content.as_bytes(),
    };
    if payload.is_empty() {
        return Err(EVENT_BLANK);
    }
    let time = match members.get("time") {
        None => None,
        Some(time) => {
            // A number, or a string that holds one; read as text, since a double has not enough digits.
            let time = time.get().trim_matches('"');
            if time == "null" { None } else { Some(unix_seconds(time).ok_or(INVALID_FORMAT)?) }
        }
    };
    let fields = match members.get("fields") {
        None => serde_json::Map::new(),
        Some(fields) => {
            let fields: serde_json::Map<String, Json> =
                serde_json::from_str(fields.get()).map_err(|_| INVALID_FIELDS)?;
            let flat = |value: &Json| !value.is_object() && !value.is_array();
            let fits = |value: &Json| flat(value) || value.as_array().is_some_and(|list| list.iter().all(flat));
            if !fields.values().all(fits) {
                return Err(INVALID_FIELDS);
            }
            fields
        }
    };
    let event = Event {
        time,
        host: text("host"),
        source: text("source"),
        sourcetype: text("sourcetype"),
        index: text("index"),
        payload,
        fields,
    };
    event.put(peer, message, frames);
    Ok(())
}

/// Lines; metadata of the query hold for all.
fn parse_raw(body: &[u8], query: Option<&str>, peer: SocketAddr) -> Parsed {
    let mut parsed = Parsed { frames: Vec::with_capacity(body.len() * 2), messages: 0, refused: None };
    let mut event = Event {
        time: query_parameter(query, "time").as_deref().and_then(unix_seconds),
        host: query_parameter(query, "host"),
        source: query_parameter(query, "source"),
        sourcetype: query_parameter(query, "sourcetype"),
        index: query_parameter(query, "index"),
        ..Event::default()
    };
    let mut message = Vec::new();
    for line in body.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            event.payload = line;
            event.put(peer, &mut message, &mut parsed.frames);
            parsed.messages += 1;
        }
    }
    if parsed.messages == 0 {
        parsed.refused = Some((NO_DATA, None));
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Frame, Frames};
    use proptest::prelude::*;

    fn peer() -> SocketAddr {
        "127.0.0.1:1".parse().unwrap()
    }

    fn payloads(parsed: &Parsed) -> Vec<String> {
        Frames(&parsed.frames).map(|frame| String::from_utf8_lossy(frame.view().payload()).into_owned()).collect()
    }

    #[test]
    fn events_before_a_bad_one_are_taken() {
        let good = r#"{"event":"a"} {"event":{"b":1}}"#;
        let cases = [
            (good.to_string(), None),
            (format!("[{}]", good.replace("} {", "},{")), None),
            (format!("{good} {{}}"), Some((EVENT_REQUIRED, Some(2)))),
            (format!("{good} {{\"event\":\"\"}}"), Some((EVENT_BLANK, Some(2)))),
            (format!("{good} {{\"event\":\"x\",\"fields\":{{\"a\":{{}}}}}}"), Some((INVALID_FIELDS, Some(2)))),
            (format!("{good} {{\"event\":\"x\",\"time\":\"noon\"}}"), Some((INVALID_FORMAT, Some(2)))),
            (format!("{good} nonsense"), Some((INVALID_FORMAT, Some(2)))),
        ];
        for (body, refused) in cases {
            let parsed = parse_events(body.as_bytes(), peer());
            assert_eq!(payloads(&parsed), ["a", r#"{"b":1}"#], "{body}");
            assert_eq!(parsed.refused, refused, "{body}");
        }
        assert_eq!(parse_events(b" \n", peer()).refused, Some((NO_DATA, None)));
    }

    #[test]
    fn metadata_become_headers() {
        let body = br#"{"time":"1433188255.253000001","host":"h","source":"s","sourcetype":"t","event":"e","fields":{"n":[1,2],"k":"v"}}"#;
        let parsed = parse_events(body, peer());
        let frame = Frame::parse(&parsed.frames).unwrap();
        let view = frame.view();
        assert_eq!(view.timestamp(), 1_433_188_255_253_000_001);
        assert_eq!(view.text(TextHeader::Hostname), Some(&b"h"[..]));
        assert_eq!(view.text(TextHeader::Logger), Some(&b"s"[..]));
        assert_eq!(view.text(TextHeader::Type), Some(&b"t"[..]));
        assert_eq!(view.field(b"n", 0).unwrap().values().count(), 2);
    }

    #[test]
    fn raw_bodies_are_lines() {
        let parsed = parse_raw(b"one\r\n\ntwo\nthree", Some("host=a%20b&source=s"), peer());
        assert_eq!(payloads(&parsed), ["one", "two", "three"]);
        assert_eq!(parse_raw(b"\n", None, peer()).refused, Some((NO_DATA, None)));
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in "([{}\\[\\]:,\" ]|event|time|fields|[0-9.e-]{1,3}|null|\\\\u00|\\PC){0,40}") {
            parse_events(body.as_bytes(), peer());
            parse_raw(body.as_bytes(), Some(&body), peer());
            unix_seconds(&body);
        }
    }
}
