//! IP addresses and host names, as prefixes of a text.

/// Length of the dotted quad that the text begins with. No leading zeros, each part at most 255.
pub fn v4(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    for part in 0..4 {
        if part > 0 {
            if text.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        // "256" is 25 followed by a 6, and "01" a 0 followed by a 1.
        let Some(&first @ b'0'..=b'9') = text.get(at) else { return None };
        at += 1;
        let mut value = (first - b'0') as u32;
        for _ in 0..2 {
            let Some(digit @ b'0'..=b'9') = text.get(at) else { break };
            let longer = value * 10 + (digit - b'0') as u32;
            if value == 0 || longer > 255 {
                break;
            }
            value = longer;
            at += 1;
        }
    }
    Some(at)
}

/// Length of the IPv6 address that the text begins with (RFC 3986: no zone, no brackets, optional trailing v4).
pub fn v6(text: &[u8]) -> Option<usize> {
    let longest =
        text.iter().take(45).take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')).count();
    // The longest prefix that is an address: what follows it may look like more of one.
    (2..=longest).rev().find(|&len| {
        let text = std::str::from_utf8(&text[..len]).unwrap_or_default();
        text.parse::<std::net::Ipv6Addr>().is_ok()
    })
}

/// RFC 3986's unreserved characters and sub-delims.
const IN_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$'
            | b'&'..=b',' | b';' | b'=');
        byte += 1;
    }
    table
};

/// Length of the host name that the text begins with: RFC 3986's reg-name.
pub fn hostname(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let hex = |place: usize| text.get(at + place).is_some_and(u8::is_ascii_hexdigit);
        if IN_NAMES[byte as usize] {
            at += 1;
        } else if byte == b'%' && hex(1) && hex(2) {
            at += 3;
        } else {
            break;
        }
    }
    (at > 0).then_some(at)
}

/// The longest of an IPv4 address, an IPv6 address and a host name, with its representation.
pub fn host(text: &[u8]) -> Option<(usize, &'static str)> {
    // "1.2.3.4.example.org" is a name that begins like an address.
    if let Some(len) = v4(text).filter(|&len| hostname(&text[len..]).is_none()) {
        return Some((len, "ipv4"));
    }
    let name = hostname(text).unwrap_or(0);
    if text[..text.len().min(5)].contains(&b':')
        && let Some(len) = v6(text)
    {
        return Some((len, "ipv6"));
    }
    (name > 0).then_some((name, "hostname"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_found_as_far_as_they_go() {
        for (text, len) in [
            ("10.0.0.1 x", Some(8)),
            ("255.255.255.255", Some(15)),
            ("256.1.1.1", None),
            ("01.2.3.4", None),
            ("1.2.3", None),
        ] {
            assert_eq!(v4(text.as_bytes()), len, "{text}");
        }
        for (text, len) in [
            ("::1 -", Some(3)),
            ("2001:db8::ff00:42:8329", Some(22)),
            ("::ffff:1.2.3.4", Some(14)),
            ("fe80", None),
            (":", None),
        ] {
            assert_eq!(v6(text.as_bytes()), len, "{text}");
        }
        assert_eq!(host(b"62.195.113.219 - "), Some((14, "ipv4")));
        assert_eq!(host(b"1.2.3.4.example.org"), Some((19, "hostname")));
        assert_eq!(host(b"::1"), Some((3, "ipv6")));
        assert_eq!(host(b"fe80::1"), Some((7, "ipv6")));
        assert_eq!(host(b"- -"), Some((1, "hostname")));
        assert_eq!(host(b"\"\""), None);
    }
}
