//! Signed frames: HMAC (RFC 2104) with MD5 or SHA1 over the message bytes, nothing of the header.
//!
//! Stricter than Heka in two points: a signer is believed only after its digest has been verified,
//! and a frame that names a signer without a digest is refused (Heka believes it).

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use prost::Message as _;

use super::frame::Header;
use crate::message::schema;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Md5,
    Sha1,
}

impl Hash {
    /// As Heka's tools read their `hmac_hash` setting: anything but `sha1` means MD5.
    pub fn from_name(name: &str) -> Hash {
        if name == "sha1" { Hash::Sha1 } else { Hash::Md5 }
    }

    fn digest(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        fn run<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
            // HMAC takes keys of any length; `new_from_slice` fails for none of them.
            match <M as KeyInit>::new_from_slice(key) {
                Ok(mac) => mac.chain_update(message).finalize().into_bytes().to_vec(),
                Err(_) => Vec::new(),
            }
        }
        match self {
            Hash::Md5 => run::<Hmac<md5::Md5>>(key, message),
            Hash::Sha1 => run::<Hmac<sha1::Sha1>>(key, message),
        }
    }
}

/// Who signs, and with what.
#[derive(Clone)]
pub struct Signer {
    pub name: String,
    pub key_version: u32,
    pub hash: Hash,
    /// Used as it is: no base64, no hex.
    pub key: Vec<u8>,
}

impl Signer {
    /// Appends a signed frame.
    pub fn put_frame(&self, buf: &mut Vec<u8>, message: &[u8]) {
        let header = schema::Header {
            message_length: message.len() as u32,
            hmac_hash_function: (self.hash == Hash::Sha1).then_some(1),
            hmac_signer: Some(self.name.clone()),
            hmac_key_version: Some(self.key_version),
            hmac: Some(self.hash.digest(&self.key, message)),
            cursor: None,
        };
        let header = header.encode_to_vec();
        buf.extend_from_slice(&[0x1e, header.len() as u8]);
        buf.extend_from_slice(&header);
        buf.push(0x1f);
        buf.extend_from_slice(message);
    }
}

/// The keys that a reader knows, by `NAME_VERSION`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys(HashMap<Vec<u8>, Vec<u8>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Keys(secret)")
    }
}

impl Keys {
    pub fn insert(&mut self, name_version: &str, key: &[u8]) {
        self.0.insert(name_version.as_bytes().to_vec(), key.to_vec());
    }
}

/// Why a frame is not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    UnknownKey,
    UnknownHash,
    NoDigest,
    WrongDigest,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Refused::UnknownKey => "this signer or its key version is not known",
            Refused::UnknownHash => "its hash function is not known",
            Refused::NoDigest => "it names a signer and has no signature",
            Refused::WrongDigest => "the signature is wrong",
        })
    }
}

/// The verified signer of a frame; `None` when it is unsigned.
pub fn verify<'a>(header: &Header<'a>, message: &[u8], keys: &Keys) -> Result<Option<&'a [u8]>, Refused> {
    let (signer, hmac) = match (header.signer, header.hmac) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(Refused::NoDigest),
        (signer, Some(hmac)) => (signer.unwrap_or_default(), hmac),
    };
    let hash = match header.hash_function {
        0 => Hash::Md5,
        1 => Hash::Sha1,
        _ => return Err(Refused::UnknownHash),
    };
    let name = [signer, b"_", header.key_version.to_string().as_bytes()].concat();
    let key = keys.0.get(&name).ok_or(Refused::UnknownKey)?;
    let expected = hash.digest(key, message);
    // Constant time: every byte is looked at, whatever the first difference.
    let differs = expected.iter().zip(hmac).fold(expected.len() ^ hmac.len(), |sum, (a, b)| sum | (a ^ b) as usize);
    if differs == 0 { Ok(Some(signer)) } else { Err(Refused::WrongDigest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Frame;

    const MESSAGE: [u8; 33] = [
        0x0a, 0x10, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0x4b, 0xa7, 0x88, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf,
        0x10, 0x80, 0x80, 0xa8, 0xb1, 0xe3, 0x9f, 0xe7, 0xcb, 0x17, 0x1a, 0x03, 0x63, 0x74, 0x6c,
    ];

    fn signer(hash: Hash, key_version: u32) -> Signer {
        Signer { name: "ops".into(), key_version, hash, key: b"sekrit".to_vec() }
    }

    fn keys() -> Keys {
        let mut keys = Keys::default();
        keys.insert("ops_1", b"sekrit");
        keys.insert("ops_12", b"sekrit");
        keys
    }

    /// Digests made by Heka.
    #[test]
    fn frames_are_signed_as_heka_signs_them() {
        let md5 = [0x71, 0x07, 0x0a, 0x18, 0xcf, 0x9a, 0x63, 0xb3, 0x56, 0xa4, 0x4f, 0xb1, 0x79, 0x1e, 0x62, 0x72];
        let mut frame = Vec::new();
        signer(Hash::Md5, 1).put_frame(&mut frame, &MESSAGE);
        let head = [&[0x1e, 0x1b, 8, 0x21, 0x22, 3, b'o', b'p', b's', 0x28, 1, 0x32, 0x10][..], &md5, &[0x1f]].concat();
        assert_eq!(frame, [&head[..], &MESSAGE].concat());

        let sha1 = [
            0xb6, 0x09, 0x5c, 0xec, 0x7a, 0xe4, 0x7f, 0x8a, 0x9a, 0xf6, 0x0e, 0x24, 0x8f, 0xfd, 0xec, 0xe5, 0xa1, 0x6d,
            0x53, 0xbc,
        ];
        let mut frame = Vec::new();
        signer(Hash::Sha1, 12).put_frame(&mut frame, &MESSAGE);
        let parsed = Frame::parse(&frame).unwrap();
        assert_eq!(parsed.header().hmac, Some(&sha1[..]));
        assert_eq!(verify(&parsed.header(), parsed.message(), &keys()), Ok(Some(&b"ops"[..])));
    }

    #[test]
    fn what_cannot_be_verified_is_refused() {
        let mut frame = Vec::new();
        signer(Hash::Md5, 1).put_frame(&mut frame, &MESSAGE);
        let parsed = Frame::parse(&frame).unwrap();
        let header = parsed.header();
        let mut other = MESSAGE;
        other[32] ^= 1;
        assert_eq!(verify(&header, &other, &keys()), Err(Refused::WrongDigest));
        assert_eq!(verify(&Header { hmac: Some(b""), ..header }, &MESSAGE, &keys()), Err(Refused::WrongDigest));
        assert_eq!(verify(&Header { hmac: None, ..header }, &MESSAGE, &keys()), Err(Refused::NoDigest));
        assert_eq!(verify(&Header { key_version: 2, ..header }, &MESSAGE, &keys()), Err(Refused::UnknownKey));
        assert_eq!(verify(&Header { hash_function: 7, ..header }, &MESSAGE, &keys()), Err(Refused::UnknownHash));
        assert_eq!(verify(&Header::default(), &MESSAGE, &keys()), Ok(None));
    }
}
