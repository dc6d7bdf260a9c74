//! Text on its way to being records: byte order marks, line ends of Windows, other encodings, holes.

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// What is done to the bytes of a file before they are payloads. Nothing by default: payloads are what the file has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Text {
    /// A `\r` before the `\n` that ends a record belongs to the end; a byte order mark and NULs at the beginning of a file
    /// are no text. UTF-16 is known by its mark.
    pub tidy: bool,
    /// What files are written in that don't say it.
    pub encoding: Option<&'static Encoding>,
}

impl Text {
    /// By a label such as `utf-16le` or `windows-1252` (<https://encoding.spec.whatwg.org/#names-and-labels>).
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn labelled(label: &str) -> Result<&'static Encoding, String> {
        Encoding::for_label(label.as_bytes()).ok_or_else(|| {
            format!("{label:?} is no encoding that is known; some are utf-16le, utf-16be, windows-1252, iso-8859-15, shift_jis, gb18030, koi8-r")
        })
    }

    /// What a file is written in that begins with these bytes.
    pub fn encoding_of(&self, beginning: &[u8]) -> Option<&'static Encoding> {
        match Encoding::for_bom(beginning) {
            Some((marked, _)) if self.tidy && marked != UTF_8 => Some(marked),
            _ => self.encoding.filter(|encoding| *encoding != UTF_8),
        }
    }
}

/// Whether an encoding has line ends that a search for bytes wouldn't find: all else has them where ASCII has.
pub fn is_wide(encoding: &'static Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// UTF-16 becomes UTF-8 as it is read. What is no character becomes U+FFFD.
pub struct Wide {
    decoder: Decoder,
    /// Bytes that were read and are half a character yet.
    odd: u64,
}

impl Wide {
    pub fn new(encoding: &'static Encoding) -> Wide {
        Wide { decoder: encoding.new_decoder_without_bom_handling(), odd: 0 }
    }

    /// Appends the characters of some bytes.
    pub fn decode(&mut self, bytes: &[u8], text: &mut Vec<u8>) {
        let before = text.len();
        let mut from = 0;
        loop {
            // Each two bytes become three at most, and one character may be left from before.
            let needed = self.decoder.max_utf8_buffer_length(bytes.len() - from).unwrap_or(bytes.len() * 3 + 16);
            let at = text.len();
            text.resize(at + needed, 0);
            let (result, read, written, _) = self.decoder.decode_to_utf8(&bytes[from..], &mut text[at..], false);
            text.truncate(at + written);
            from += read;
            if result == encoding_rs::CoderResult::InputEmpty {
                break;
            }
        }
        self.odd += bytes.len() as u64;
        self.odd -= (units(&text[before..]) * 2).min(self.odd);
    }

    /// Bytes of the file that are no whole character yet.
    pub fn odd(&self) -> u64 {
        self.odd
    }
}

/// How many units of two bytes some UTF-8 was in UTF-16.
pub fn units(text: &[u8]) -> u64 {
    text.iter().map(|&byte| (byte & 0xc0 != 0x80) as u64 + (byte >= 0xf0) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However it is read, each piece of text knows how many bytes of the file it was.
        #[test]
        fn bytes_of_utf_16_are_counted(units_read in proptest::collection::vec(prop_oneof![0u16..0x80, any::<u16>(), 0xd800u16..0xe000], 0..60), cuts in proptest::collection::vec(1usize..9, 0..40)) {
            let bytes: Vec<u8> = units_read.iter().flat_map(|unit| unit.to_le_bytes()).collect();
            let (mut wide, mut text, mut from) = (Wide::new(UTF_16LE), Vec::new(), 0usize);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let to = from.saturating_add(cut).min(bytes.len());
                wide.decode(&bytes[from..to], &mut text);
                from = to;
                prop_assert_eq!(units(&text) * 2 + wide.odd(), from as u64);
            }
            let whole = String::from_utf16_lossy(&units_read);
            // Half a pair at the end may be a whole one later.
            prop_assert!(whole.as_bytes().starts_with(&text) && wide.odd() <= 3, "{:?} {:?}", whole, text);
        }
    }

    #[test]
    fn marks_say_what_a_file_is_written_in() {
        let text = Text { tidy: true, encoding: Some(encoding_rs::WINDOWS_1252) };
        assert_eq!(text.encoding_of(b"\xff\xfea\0"), Some(UTF_16LE));
        assert_eq!(text.encoding_of(b"\xfe\xff\0a"), Some(UTF_16BE));
        assert_eq!(text.encoding_of(b"ab"), Some(encoding_rs::WINDOWS_1252));
        assert_eq!(Text::default().encoding_of(b"\xff\xfea\0"), None);
        assert!(Text::labelled("utf-17").unwrap_err().contains("no encoding that is known"));
    }
}
