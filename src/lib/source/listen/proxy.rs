//! The PROXY protocol, versions 1 and 2: a load balancer says whose connection it hands on.
//!
//! Format: "The PROXY protocol, versions 1 & 2" of HAProxy's documentation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const SIGNATURE: [u8; 12] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
/// The longest header of version 1, with its line's end.
const LONGEST_LINE: usize = 107;
/// The TLV of a checksum.
const CRC32C: u8 = 0x03;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// A header of that length.
    Header {
        len: usize,
        /// Nothing where the balancer speaks for itself, or doesn't tell.
        sender: Option<IpAddr>,
    },
    /// The beginning of one: this many bytes in all are needed at least.
    Incomplete(usize),
    Invalid,
}

/// Looks at the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Proxy {
    if bytes.starts_with(&SIGNATURE) {
        return version_2(bytes);
    }
    if bytes.starts_with(b"PROXY ") {
        return version_1(bytes);
    }
    let begins = |header: &[u8]| bytes.len() < header.len() && header.starts_with(bytes);
    if begins(&SIGNATURE) || begins(b"PROXY ") { Proxy::Incomplete(bytes.len() + 1) } else { Proxy::Invalid }
}

fn version_1(bytes: &[u8]) -> Proxy {
    let head = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_LINE { Proxy::Incomplete(bytes.len() + 1) } else { Proxy::Invalid };
    };
    let sender = match std::str::from_utf8(&head[..end]).map(|line| line.split(' ').collect::<Vec<_>>()).as_deref() {
        Ok(["PROXY", "UNKNOWN", ..]) => Some(None),
        Ok(["PROXY", "TCP4", source, destination, from, to]) => {
            let both = source.parse::<Ipv4Addr>().ok().zip(destination.parse::<Ipv4Addr>().ok());
            both.filter(|_| is_port(from) && is_port(to)).map(|(source, _)| Some(IpAddr::V4(source)))
        }
        Ok(["PROXY", "TCP6", source, destination, from, to]) => {
            let both = source.parse::<Ipv6Addr>().ok().zip(destination.parse::<Ipv6Addr>().ok());
            both.filter(|_| is_port(from) && is_port(to)).map(|(source, _)| Some(IpAddr::V6(source)))
        }
        _ => None,
    };
    sender.map_or(Proxy::Invalid, |sender| Proxy::Header { len: end + 2, sender })
}

fn is_port(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain && text.parse::<u16>().is_ok()
}

fn version_2(bytes: &[u8]) -> Proxy {
    let Some((head, rest)) = bytes.split_first_chunk::<16>() else { return Proxy::Incomplete(16) };
    let [.., command, family, high, low] = *head;
    let len = u16::from_be_bytes([high, low]) as usize;
    if command >> 4 != 2 || command & 15 > 1 {
        return Proxy::Invalid;
    }
    let Some(body) = rest.get(..len) else { return Proxy::Incomplete(16 + len) };
    let len = 16 + len;
    let is_local = command & 15 == 0;
    let (addresses, sender) = match (family >> 4, body) {
        _ if is_local || family >> 4 == 0 => return Proxy::Header { len, sender: None },
        (1, [a, b, c, d, ..]) => (12, Some(IpAddr::from([*a, *b, *c, *d]))),
        (2, body) => (36, body.first_chunk::<16>().map(|address| IpAddr::from(*address))),
        (3, _) => (216, None),
        _ => return Proxy::Invalid,
    };
    match body.get(addresses..) {
        Some(tlvs) if checksum_fits(&bytes[..len], tlvs) => Proxy::Header { len, sender },
        _ => Proxy::Invalid,
    }
}

/// Whether a checksum among the TLVs is that of the header, in which it counts as four zero bytes.
fn checksum_fits(header: &[u8], tlvs: &[u8]) -> bool {
    let mut rest = tlvs;
    while let [kind, high, low, after @ ..] = rest {
        let len = u16::from_be_bytes([*high, *low]) as usize;
        let Some(value) = after.get(..len) else { return false };
        if *kind == CRC32C {
            let at = header.len() - after.len();
            let mut plain = header.to_vec();
            let Some(place) = plain.get_mut(at..at + 4).filter(|_| len == 4) else { return false };
            place.fill(0);
            return value == crc32c(&plain).to_be_bytes();
        }
        rest = &after[len..];
    }
    true
}

/// RFC 3720, appendix B.4. A header is short and comes once in a connection: bit by bit will do.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ *byte as u32, |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[command, family], &(body.len() as u16).to_be_bytes(), body].concat()
    }

    fn header(len: usize, sender: Option<&str>) -> Proxy {
        Proxy::Header { len, sender: sender.map(|sender| sender.parse().unwrap()) }
    }

    #[test]
    fn headers_name_the_sender() {
        let v4 = [198, 51, 100, 7, 203, 0, 113, 1, 0x8b, 0x3e, 2, 2];
        let v6: Vec<u8> = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0, 1, 0, 2]].concat();
        let mut summed = v2(0x21, 0x11, &[&v4[..], &[4, 0, 1, 9, 3, 0, 4, 0, 0, 0, 0]].concat());
        let sum = crc32c(&summed).to_be_bytes();
        let at = summed.len() - 4;
        summed[at..].copy_from_slice(&sum);
        let mut wrong = summed.clone();
        wrong[at] ^= 1;
        let line = |text: &str| text.as_bytes().to_vec();
        let cases = [
            (line("PROXY TCP4 198.51.100.7 203.0.113.1 35646 514\r\n"), header(47, Some("198.51.100.7"))),
            (line("PROXY TCP6 2001:db8::7 ::1 0 65535\r\n"), header(36, Some("2001:db8::7"))),
            (line("PROXY UNKNOWN\r\n"), header(15, None)),
            (line("PROXY UNKNOWN what ever\r\n"), header(25, None)),
            (line("PROXY TCP4 198.51.100.7 203.0.113.1 035646 514\r\n"), Proxy::Invalid),
            (line("PROXY TCP4 198.51.100.7 203.0.113.1 65536 514\r\n"), Proxy::Invalid),
            (line("PROXY TCP4 2001:db8::7 203.0.113.1 1 514\r\n"), Proxy::Invalid),
            (line("PROXY  TCP4 198.51.100.7 203.0.113.1 1 514\r\n"), Proxy::Invalid),
            (line(&format!("PROXY UNKNOWN {}", "x".repeat(93))), Proxy::Invalid),
            (line("<13>a"), Proxy::Invalid),
            (line("PROX"), Proxy::Incomplete(5)),
            (SIGNATURE[..3].to_vec(), Proxy::Incomplete(4)),
            (v2(0x21, 0x11, &v4), header(28, Some("198.51.100.7"))),
            (v2(0x21, 0x21, &v6), header(52, Some("2001:db8::7"))),
            (v2(0x21, 0x31, &[b'x'; 216]), header(232, None)),
            (v2(0x20, 0x00, b""), header(16, None)),
            (v2(0x20, 0x11, &v4), header(28, None)),
            (v2(0x21, 0x00, b"what ever"), header(25, None)),
            (v2(0x21, 0x11, &v4[..11]), Proxy::Invalid),
            (v2(0x31, 0x11, &v4), Proxy::Invalid),
            (v2(0x22, 0x11, &v4), Proxy::Invalid),
            (v2(0x21, 0x41, &v4), Proxy::Invalid),
            (summed.clone(), header(summed.len(), Some("198.51.100.7"))),
            (wrong, Proxy::Invalid),
        ];
        for (bytes, wanted) in cases {
            assert_eq!(parse(&bytes), wanted, "{:?}", String::from_utf8_lossy(&bytes));
            if let Proxy::Header { len, .. } = wanted {
                assert_eq!(parse(&[&bytes[..], b"<13>a\r\n"].concat()), wanted);
                for part in 1..len {
                    assert!(matches!(parse(&bytes[..part]), Proxy::Incomplete(more) if part < more && more <= len));
                }
            }
        }
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..60), command in 0x1eu8..0x24, family in any::<u8>()) {
            parse(&v2(command, family, &body));
            parse(&[&SIGNATURE[..], &body].concat());
            parse(&[b"PROXY TCP4 ", &body[..]].concat());
        }
    }
}
