//! Zstandard (RFC 8878): frames one after the other, those to be skipped among them.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::StreamingDecoder;

/// Decompresses frame after frame.
pub struct Zstd<R: BufRead> {
    frame: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
    source: Option<R>,
}

impl<R: BufRead> Zstd<R> {
    pub fn new(source: R) -> Zstd<R> {
        Zstd { frame: None, source: Some(source) }
    }

    /// Begins the next frame; false at the end.
    fn begin(&mut self) -> io::Result<bool> {
        let finished = self.frame.take().map(StreamingDecoder::into_inner);
        let Some(mut source) = finished.or_else(|| self.source.take()) else { return Ok(false) };
        loop {
            let magic = source.fill_buf()?;
            if magic.is_empty() {
                self.source = Some(source);
                return Ok(false);
            }
            // A frame to be skipped: its magic number, its length in four bytes, and so many bytes.
            if !matches!(magic.first(), Some(0x50..=0x5f)) {
                break;
            }
            let mut header = [0; 8];
            source.read_exact(&mut header)?;
            let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as u64;
            if header[1..4] != [0x2a, 0x4d, 0x18] || io::copy(&mut (&mut source).take(len), &mut io::sink())? < len {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "damaged zstd data"));
            }
        }
        let frame = StreamingDecoder::new(source)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("damaged zstd data: {error}")))?;
        self.frame = Some(frame);
        Ok(true)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(buf)?;
                if count > 0 || buf.is_empty() {
                    return Ok(count);
                }
            }
            if !self.begin()? {
                return Ok(0);
            }
        }
    }
}
