//! Compressed content, told by its first bytes and read as what it was.

mod gzip;
mod zstd;

use std::io::{BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use lzma_rust2::XzReader;

pub use gzip::Gzip;
use zstd::Zstd;

/// Bytes that tell.
pub const HEAD: usize = 10;

/// KiB that xz may take: enough for what `xz -9` makes (65 MiB by xz(1)), and no more than a header can ask for.
const XZ_MEMORY: u32 = 128 * 1024;

/// How content is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Format {
    /// What content that begins so is compressed with, if it is.
    pub fn of(head: &[u8]) -> Option<Format> {
        Some(match head {
            [0x1f, 0x8b, ..] => Format::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Format::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', b'S', b'Y']
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90] => Format::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
            _ => return None,
        })
    }
}

/// Decompresses content that begins with `head`, from its beginning; nothing where it is not compressed.
pub fn decoder<R: BufRead + Send + 'static>(head: &[u8], source: impl FnOnce() -> R) -> Option<Box<dyn Read + Send>> {
    Some(match Format::of(head.get(..HEAD).unwrap_or(head))? {
        Format::Gzip => Box::new(Gzip::new(source())),
        Format::Zstd => Box::new(Zstd::new(source())),
        Format::Bzip2 => Box::new(MultiBzDecoder::new(source())),
        Format::Xz => Box::new(XzReader::new_mem_limit(source(), true, XZ_MEMORY)),
    })
}
