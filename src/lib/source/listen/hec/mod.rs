//! A HEC server: what Splunk's HTTP Event Collector takes, as messages.
//!
//! Endpoints, codes and the protocol of acknowledgement are Splunk's. A request that names a channel gets an ack id,
//! which turns true when its messages have been written; one without a channel is answered when they have been.

mod answers;
mod body;
mod channels;
mod events;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use self::answers::*;
use self::body::Pieces;
use self::channels::{Channels, Name};
use self::events::Events;
use super::admission::Connection;
use super::counters::add;
use super::service::{Service, lock};
use super::tls::Tls;
use super::writer::Writer;
use super::{told, told_for};
use crate::message::uuid;

/// How long a request waits until its messages are written before it is told that the server is busy.
const PATIENCE: Duration = Duration::from_secs(30);
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Frames of one body that are handed over at once.
const BLOCK: usize = 256 * 1024;
/// When a stop is asked for, requests under way get so long, and what is no request yet so long.
const DRAIN: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(500);
/// A question for acks: so many bytes, and so many ids.
const MAX_QUESTION: usize = 256 * 1024;
const MAX_ASKED: usize = 10_000;

/// Settings of a server.
pub struct HecOptions {
    pub tokens: Vec<String>,
    /// Longest body, after decompression.
    pub max_content: usize,
    /// Longest payload of an event; what is longer is cut.
    pub max_event: usize,
    pub tls: Option<Tls>,
}

/// A server's state, shared by its connections.
pub struct Hec {
    options: HecOptions,
    service: Arc<Service>,
    writer: Writer,
    channels: Arc<Mutex<Channels>>,
}

impl Hec {
    pub fn new(options: HecOptions, service: &Arc<Service>, writer: Writer) -> Arc<Hec> {
        let channels = Arc::new(Mutex::new(Channels::new(service.limits.memory.acks)));
        Arc::new(Hec { options, service: service.clone(), writer, channels })
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
        let connection = Arc::new(self.service.admit(Some(peer.ip().to_canonical()), self.options.tls.is_some()));
        let place = connection.clone();
        let serving = async {
            match &self.options.tls {
                None => self.clone().http(TokioIo::new(stream), peer, connection, stop).await,
                Some(tls) => {
                    let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, tls.acceptor().accept(stream));
                    let mut stopped = stop.clone();
                    let accepted = tokio::select! {
                        accepted = handshake => accepted,
                        () = told_for(&mut stopped, MOMENT) => return,
                    };
                    if let Ok(Ok(stream)) = accepted {
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
        let answering = Arc::new(AtomicBool::new(false));
        let busy = answering.clone();
        let service = service_fn(move |request| {
            let (server, place, answering) = (self.clone(), place.clone(), answering.clone());
            async move {
                place.touch();
                answering.store(true, Ordering::Relaxed);
                let response = server.respond(request, peer, &place).await;
                answering.store(false, Ordering::Relaxed);
                Ok::<_, Infallible>(response)
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
                // A header that isn't whole is no request yet.
                let idle = async {
                    loop {
                        tokio::time::sleep(MOMENT).await;
                        if !busy.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                };
                tokio::select! {
                    _ = connection => {}
                    () = idle => {}
                }
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
                    answer(NO_SUCH_METHOD)
                }
            }
            _ => answer(NOT_FOUND),
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
    fn channel(request: &Request<Incoming>) -> Result<Option<Name>, Answer> {
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
        let mut events = match endpoint {
            Endpoint::Event => Events::json(self.options.max_event, peer),
            Endpoint::Raw => Events::raw(self.options.max_event, request.uri().query(), peer),
        };
        let mut body = match Pieces::new(request, &self.service, place, self.options.max_content) {
            Ok(body) => body,
            Err(refused) => return answer(refused),
        };
        if let Err(refused) = self.read(&mut body, &mut events, place).await {
            return answer(refused);
        }
        let made = events.made();
        let mut fields = serde_json::Map::new();
        if made.has_any() {
            match self.write(std::mem::take(&mut made.frames), made.messages, channel, peer.ip()).await {
                Ok(Some(id)) => {
                    fields.insert("ackId".into(), id.into());
                }
                Ok(None) => {}
                Err(busy) => return answer(busy),
            }
        }
        // As Splunk: the events before a bad one have been taken.
        let (status, code, text) = made.refused.map_or(SUCCESS, |(refused, _)| refused);
        fields.insert("text".into(), text.into());
        fields.insert("code".into(), code.into());
        if let Some((_, Some(number))) = made.refused {
            fields.insert("invalid-event-number".into(), number.into());
        }
        reply(status, &Json::Object(fields))
    }

    /// Reads a body. What is made of its beginning is handed to the writer where it is much, so that it takes no more
    /// memory for its length; the last part of it stays in `events`.
    async fn read(&self, body: &mut Pieces<'_>, events: &mut Events, place: &Connection) -> Result<(), Answer> {
        let (mut piece, mut kept) = (Vec::new(), place.part());
        while body.next(&mut piece).await? {
            events.feed(&piece);
            add(&self.service.counters.truncated, std::mem::take(&mut events.made().truncated));
            if events.made().refused.is_some() {
                body.pass_over().await;
                return Ok(());
            }
            if !kept.keep(events.kept() + body.kept() + piece.capacity()) {
                return Err(BUSY);
            }
            let made = events.made();
            if made.frames.len() >= BLOCK {
                let (frames, messages) = (std::mem::take(&mut made.frames), std::mem::take(&mut made.messages));
                let submit = self.writer.submit(frames, messages, || {});
                if !tokio::time::timeout(PATIENCE, submit).await.unwrap_or(false) {
                    return Err(BUSY);
                }
            }
            // One piece a turn, as connections have.
            tokio::task::yield_now().await;
        }
        events.finish();
        add(&self.service.counters.truncated, std::mem::take(&mut events.made().truncated));
        Ok(())
    }

    /// Hands messages to the writer: with a channel the answer is an ack id, without one it comes when they are written.
    async fn write(
        &self,
        frames: Vec<u8>,
        messages: u64,
        channel: Option<Name>,
        sender: IpAddr,
    ) -> Result<Option<u64>, Answer> {
        if let Some(channel) = channel {
            let id = lock(&self.channels).new_id(channel, sender.to_canonical(), Instant::now());
            let channels = self.channels.clone();
            let submit = self.writer.submit(frames, messages, move || lock(&channels).written(&channel, id));
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

    async fn acks(&self, request: Request<Incoming>, place: &Connection) -> Response<Full<Bytes>> {
        let channel = self.authorize(request.headers()).and_then(|()| Self::channel(&request));
        let name = match channel {
            Ok(Some(name)) => name,
            Ok(None) => return answer(NO_CHANNEL),
            Err(refused) => return answer(refused),
        };
        let body = match Pieces::new(request, &self.service, place, MAX_QUESTION) {
            Ok(body) => body.whole().await,
            Err(refused) => Err(refused),
        };
        let body = match body {
            Ok(body) => body,
            Err(refused) => return answer(refused),
        };
        let asked: Option<Vec<u64>> = serde_json::from_slice::<Json>(&body)
            .ok()
            .and_then(|json| json.get("acks")?.as_array()?.iter().map(Json::as_u64).collect());
        let Some(asked) = asked else { return answer(INVALID_FORMAT) };
        if asked.len() > MAX_ASKED {
            return answer(TOO_LARGE);
        }
        let done = lock(&self.channels).take(&name, &asked, Instant::now());
        let told: serde_json::Map<_, _> =
            asked.iter().zip(done).map(|(id, done)| (id.to_string(), done.into())).collect();
        reply(200, &json!({ "acks": told }))
    }
}

#[derive(Clone, Copy)]
enum Endpoint {
    Event,
    Raw,
}

fn answer((status, code, text): Answer) -> Response<Full<Bytes>> {
    reply(status, &json!({"text": text, "code": code}))
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
