//! JSON from outside, for GELF and HEC: strict about its structure, lenient about its text.
//!
//! Devices and libraries cut texts in the middle of characters and write bytes that are not UTF-8. What can't be a
//! character becomes U+FFFD, and the rest of the message is read as always.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text without a byte order mark, and with U+FFFD for what is not UTF-8.
pub fn readable(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes))
}

/// The text of a JSON string; nothing when it is none. Half of a surrogate pair is U+FFFD.
pub fn string(json: &str) -> Option<Cow<'_, str>> {
    /// Bytes, borrowed where nothing is escaped.
    struct Text<'a>(Cow<'a, [u8]>);

    impl<'de> Deserialize<'de> for Text<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Take;
            impl<'de> Visitor<'de> for Take {
                type Value = Text<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a string")
                }

                fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
                    Ok(Text(bytes.into()))
                }

                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
                    Ok(Text(bytes.to_vec().into()))
                }
            }
            // As a string, half a surrogate pair would be an error (serde_json: `deserialize_bytes`).
            deserializer.deserialize_bytes(Take)
        }
    }

    if !json.starts_with('"') {
        return None;
    }
    let Text(bytes) = serde_json::from_str(json).ok()?;
    Some(match bytes {
        Cow::Borrowed(bytes) => halves(bytes),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => halves(error.as_bytes()).into_owned().into(),
        },
    })
}

/// Half a surrogate pair comes as three bytes that no UTF-8 has (WTF-8): one character that can't be.
fn halves(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // Of the three, the first is an invalid piece of its own, and so are the others.
        if chunk.invalid().first().is_some_and(|byte| !(0x80..0xc0).contains(byte)) {
            text.push('\u{fffd}');
        }
    }
    text.into()
}

/// What a JSON value that is no list and no object means in a field.
#[derive(Debug, PartialEq)]
pub enum Scalar<'a> {
    Null,
    Text(Cow<'a, str>),
    Integer(i64),
    Double(f64),
}

/// Numbers without fraction and exponent are integers where 64 bits hold them, and their text where no double does; true
/// and false are texts. Nothing for lists and objects.
pub fn scalar(json: &str) -> Option<Scalar<'_>> {
    Some(match json.as_bytes().first()? {
        b'"' => Scalar::Text(string(json)?),
        b'[' | b'{' => return None,
        b'n' => Scalar::Null,
        b't' | b'f' => Scalar::Text(json.into()),
        _ => match (json.parse::<i64>(), json.contains(['.', 'e', 'E'])) {
            (Ok(integer), _) => Scalar::Integer(integer),
            (_, true) => Scalar::Double(json.parse().ok()?),
            (_, false) => Scalar::Text(json.into()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_can_t_be_a_character_is_one_replacement() {
        let cases = [
            (r#""plain""#, Some("plain")),
            (r#""a\ud83d\ude00b""#, Some("a\u{1f600}b")),
            (r#""a\ud83d b""#, Some("a\u{fffd} b")),
            (r#""\ude00\ude00x""#, Some("\u{fffd}\u{fffd}x")),
            (r#""\ud83d\ud83d\ude00""#, Some("\u{fffd}\u{1f600}")),
            (r#""é\ud83d""#, Some("é\u{fffd}")),
            (r#""a\x""#, None),
            ("7", None),
        ];
        for (json, wanted) in cases {
            assert_eq!(string(json).as_deref(), wanted, "{json}");
        }
        assert_eq!(readable(b"\xef\xbb\xbf{\"a\":\"\xe9\"}"), "{\"a\":\"\u{fffd}\"}");
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = |text: &'static str| Some(Scalar::Text(text.into()));
        let cases = [
            ("1234567890123456789", Some(Scalar::Integer(1_234_567_890_123_456_789))),
            ("-7", Some(Scalar::Integer(-7))),
            ("18446744073709551615", text("18446744073709551615")),
            ("1.0", Some(Scalar::Double(1.0))),
            ("1e3", Some(Scalar::Double(1000.0))),
            ("true", text("true")),
            ("null", Some(Scalar::Null)),
            (r#""1""#, text("1")),
            ("[1]", None),
            ("{}", None),
        ];
        for (json, wanted) in cases {
            assert_eq!(scalar(json), wanted, "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_string_comes_back(text in "\\PC{0,20}") {
            let json = serde_json::to_string(&text).unwrap();
            let read = string(&json);
            prop_assert_eq!(read.as_deref(), Some(text.as_str()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = readable(&bytes);
            string(&text);
            scalar(&text);
        }
    }
}
