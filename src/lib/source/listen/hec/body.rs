//! A request's body, as it comes.

use std::io::Write as _;
use std::time::Duration;

use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::CONTENT_ENCODING;

use super::answers::{Answer, BUSY, INVALID_FORMAT, TIMEOUT, TOO_LARGE, UNSUPPORTED_ENCODING};
use crate::source::listen::admission::Connection;
use crate::source::listen::counters::{add, count};
use crate::source::listen::service::Service;

/// A body, behind its first `--complete-within` seconds, has to be so quick.
const LEAST_BYTES_A_SECOND: u64 = 1024;
/// So much text at a time, and so much compressed data for it, which may become a thousand times as much.
const PIECE: usize = 64 << 10;
const COMPRESSED: usize = 512;

/// The pieces of a body, decompressed.
pub struct Pieces<'a> {
    service: &'a Service,
    place: &'a Connection,
    body: Incoming,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    /// What has been received and not been handed out.
    data: hyper::body::Bytes,
    began: tokio::time::Instant,
    /// Bytes that were received, and that they became.
    received: u64,
    size: usize,
    limit: usize,
}

impl<'a> Pieces<'a> {
    /// `limit`: bytes of the whole body, before and after decompression.
    pub fn new(
        request: Request<Incoming>,
        service: &'a Service,
        place: &'a Connection,
        limit: usize,
    ) -> Result<Pieces<'a>, Answer> {
        let encoding = request.headers().get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
        let gzip = match encoding.as_deref() {
            None | Some(b"identity") => None,
            Some(b"gzip" | b"x-gzip") => Some(MultiGzDecoder::new(Vec::new())),
            Some(_) => return Err(UNSUPPORTED_ENCODING),
        };
        let body = request.into_body();
        if hyper::body::Body::size_hint(&body).lower() > limit as u64 {
            return Err(TOO_LARGE);
        }
        let began = tokio::time::Instant::now();
        Ok(Pieces { service, place, body, gzip, data: Default::default(), began, received: 0, size: 0, limit })
    }

    /// What is kept of it.
    pub fn kept(&self) -> usize {
        self.data.len() + self.gzip.as_ref().map_or(0, |gzip| gzip.get_ref().capacity())
    }

    /// The next piece; nothing behind the last.
    pub async fn next(&mut self, piece: &mut Vec<u8>) -> Result<bool, Answer> {
        piece.clear();
        while piece.is_empty() {
            if self.data.is_empty() && !self.receive().await? {
                return self.finish(piece);
            }
            match &mut self.gzip {
                None => {
                    let part = self.data.split_to(self.data.len().min(PIECE));
                    piece.extend_from_slice(&part);
                }
                Some(gzip) => {
                    while !self.data.is_empty() && gzip.get_ref().len() < PIECE {
                        let part = self.data.split_to(self.data.len().min(COMPRESSED));
                        gzip.write_all(&part).map_err(|_| INVALID_FORMAT)?;
                    }
                    std::mem::swap(gzip.get_mut(), piece);
                }
            }
            self.count(piece.len())?;
        }
        Ok(true)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Answer> {
        self.size = self.size.saturating_add(bytes);
        if self.size > self.limit { Err(TOO_LARGE) } else { Ok(()) }
    }

    /// Waits for data; false at the body's end.
    async fn receive(&mut self) -> Result<bool, Answer> {
        let slack = Duration::from_secs(self.received / LEAST_BYTES_A_SECOND);
        let within = self.began + self.service.limits.whole_within + slack;
        let Ok(frame) = tokio::time::timeout_at(within, self.body.frame()).await else {
            count(&self.service.counters.connections_timed_out);
            return Err(TIMEOUT);
        };
        let Some(frame) = frame else { return Ok(false) };
        if let Ok(data) = frame.map_err(|_| INVALID_FORMAT)?.into_data() {
            self.place.touch();
            self.received += data.len() as u64;
            add(&self.service.counters.bytes_in, data.len() as u64);
            if self.received > self.limit as u64 {
                return Err(TOO_LARGE);
            }
            self.data = data;
        }
        Ok(true)
    }

    /// What decompression has kept back, once.
    fn finish(&mut self, piece: &mut Vec<u8>) -> Result<bool, Answer> {
        if let Some(mut gzip) = self.gzip.take().filter(|_| self.received > 0) {
            gzip.try_finish().map_err(|_| INVALID_FORMAT)?;
            std::mem::swap(gzip.get_mut(), piece);
            self.count(piece.len())?;
        }
        Ok(!piece.is_empty())
    }

    /// Receives what is left of it, so that its sender hears the answer.
    pub async fn pass_over(&mut self) {
        self.data.clear();
        while let Ok(true) = self.receive().await {
            self.data.clear();
        }
    }

    /// All of it.
    pub async fn whole(mut self) -> Result<Vec<u8>, Answer> {
        let (mut all, mut piece, mut kept) = (Vec::new(), Vec::new(), self.place.part());
        while self.next(&mut piece).await? {
            all.extend_from_slice(&piece);
            if !kept.keep(all.capacity() + self.kept() + piece.capacity()) {
                return Err(BUSY);
            }
        }
        Ok(all)
    }
}
