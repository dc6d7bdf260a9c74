//! gzip with all its members (RFC 1952), and with the zeros that devices and tapes leave behind the last one.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Decompresses member after member.
pub struct Gzip<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gzip<R> {
    pub fn new(source: R) -> Gzip<R> {
        Gzip { member: Some(GzDecoder::new(source)) }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buf)?;
            if count > 0 || buf.is_empty() {
                return Ok(count);
            }
            let Some(mut source) = self.member.take().map(GzDecoder::into_inner) else { break };
            if skip_zeros(&mut source)? {
                self.member = Some(GzDecoder::new(source));
            }
        }
        Ok(0)
    }
}

/// Whether anything else follows.
fn skip_zeros(source: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let rest = source.fill_buf()?;
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        let (more, end) = (zeros < rest.len(), rest.is_empty());
        source.consume(zeros);
        if more || end {
            return Ok(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Write as _};

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn zeros_behind_a_member_are_nothing() {
        let zeros = [0; 700];
        let cases = [
            ([gzip("a"), gzip(""), gzip("b")].concat(), Some("ab")),
            ([&gzip("a")[..], &zeros].concat(), Some("a")),
            ([&gzip("a")[..], &zeros[..3], &gzip("b"), &zeros[..1]].concat(), Some("ab")),
            ([&gzip("a")[..], b"\0x"].concat(), None),
            (gzip("abc")[..12].to_vec(), None),
            (b"\0".to_vec(), None),
        ];
        for (bytes, expected) in cases {
            for size in [1, 7, 10_000] {
                let mut text = String::new();
                let result = Gzip::new(BufReader::with_capacity(size, &bytes[..])).read_to_string(&mut text);
                assert_eq!(result.ok().map(|_| text.as_str()), expected, "{bytes:?}");
            }
        }
    }
}
