//! The content of a file, decompressed where it is compressed.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// An open file. Compression is recognised by the first two bytes, not by the name.
pub enum Content {
    Plain(File),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Content {
    /// Opens a file at its beginning.
    pub fn open(path: &Path) -> io::Result<Content> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::other("it is a directory"));
        }
        // A FIFO's first bytes can't be looked at and given back.
        if !metadata.is_file() {
            return Ok(Content::Plain(file));
        }
        let mut magic = Vec::with_capacity(2);
        Read::by_ref(&mut file).take(2).read_to_end(&mut magic)?;
        file.seek(SeekFrom::Start(0))?;
        if magic == [0x1f, 0x8b] {
            let reader = BufReader::with_capacity(64 * 1024, file);
            return Ok(Content::Gzip(Box::new(MultiGzDecoder::new(reader))));
        }
        Ok(Content::Plain(file))
    }

    pub fn file(&self) -> &File {
        match self {
            Content::Plain(file) => file,
            Content::Gzip(decoder) => decoder.get_ref().get_ref(),
        }
    }

    pub fn is_compressed(&self) -> bool {
        matches!(self, Content::Gzip(_))
    }

    /// Goes to an offset of the content; false when it has fewer bytes. Compressed content is read up to there.
    pub fn skip_to(&mut self, offset: u64) -> io::Result<bool> {
        match self {
            Content::Plain(file) => {
                if file.metadata()?.len() < offset {
                    return Ok(false);
                }
                file.seek(SeekFrom::Start(offset))?;
                Ok(true)
            }
            Content::Gzip(decoder) => Ok(io::copy(&mut decoder.take(offset), &mut io::sink())? == offset),
        }
    }
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(file) => file.read(buf),
            Content::Gzip(decoder) => decoder.read(buf),
        }
    }
}
