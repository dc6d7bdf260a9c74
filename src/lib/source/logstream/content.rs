//! The content of a file, decompressed where it is compressed.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt, FileTypeExt as _, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::compression;
use crate::pipeline::{await_readable, open_to_read};

use super::position::{HEAD, Position, TAIL, hash_tail};

/// What a file is, whatever its name is or becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

impl Identity {
    pub fn of(metadata: &Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Time of the last change of content, ns.
pub fn modified(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// Time of a file's making, ns; of the last change of content where the file system doesn't tell.
pub fn made(metadata: &Metadata) -> i64 {
    let since = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_else(|| modified(metadata))
}

/// An open file. Compression is recognised by the first bytes, not by the name.
pub struct Content {
    file: Arc<File>,
    decoder: Option<Box<dyn Read + Send>>,
    /// A FIFO, whose writer may come later.
    piped: bool,
}

impl Content {
    /// Opens a file at its beginning.
    pub fn open(path: &Path) -> io::Result<Content> {
        let file = Arc::new(open_to_read(path)?);
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::other("it is a directory"));
        }
        // A FIFO's first bytes can't be looked at and given back.
        if !metadata.is_file() {
            return Ok(Content { piped: metadata.file_type().is_fifo(), file, decoder: None });
        }
        let mut head = [0; compression::HEAD];
        let count = read_at(&file, &mut head, 0)?;
        let decoder = compression::decoder(&head[..count], || BufReader::with_capacity(64 * 1024, file.clone()));
        Ok(Content { file, decoder, piped: false })
    }

    /// What can't be looked at beforehand: standard input.
    pub fn stream(file: File) -> Content {
        Content { file: Arc::new(file), decoder: None, piped: false }
    }

    /// Opens a file where a position says, if it is the file that the position speaks of: it begins so, and it has
    /// the same bytes before the position's anchor.
    ///
    /// Answers the content and the bytes that it begins with, as many as the position covers.
    pub fn open_at(path: &Path, position: &Position) -> io::Result<Option<(Content, Vec<u8>)>> {
        let mut content = Content::open(path)?;
        let metadata = content.file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let mut head = vec![0; position.head as usize];
        let mut tail = [0; TAIL];
        let tail = &mut tail[..TAIL.min(position.anchor as usize)];
        let before_anchor = position.anchor - tail.len() as u64;
        if content.decoder.is_none() {
            let long_enough = metadata.len() >= position.offset.max(position.anchor);
            if !long_enough
                || read_at(&content.file, &mut head, 0)? < head.len()
                || !position.fits(&head)
                || read_at(&content.file, tail, before_anchor)? < tail.len()
                || hash_tail(tail) != position.anchor_hash
            {
                return Ok(None);
            }
            (&*content.file).seek(SeekFrom::Start(position.offset))?;
            return Ok(Some((content, head)));
        }
        if content.fill(&mut head)? < head.len() || !position.fits(&head) {
            return Ok(None);
        }
        let mut at = head.len() as u64;
        if position.anchor > 0 {
            // The anchor may lie within the head, or overlap it.
            let overlap = at.saturating_sub(before_anchor).min(tail.len() as u64);
            if overlap > 0 {
                let from = before_anchor as usize;
                tail[..overlap as usize].copy_from_slice(&head[from..from + overlap as usize]);
            } else if !content.skip(before_anchor - at)? {
                return Ok(None);
            }
            let rest = &mut tail[overlap as usize..];
            if content.fill(rest)? < rest.len() || hash_tail(tail) != position.anchor_hash {
                return Ok(None);
            }
            at = at.max(position.anchor);
        }
        if at > position.offset {
            content = Content::open(path)?;
            at = 0;
        }
        Ok(content.skip(position.offset - at)?.then_some((content, head)))
    }

    /// Whether a file has what a position speaks of but for the last of it: a copy that was made while that was written.
    /// Files may begin alike, so it has to have one of the anchors (offsets, and the hashes of the bytes before them).
    pub fn is_cut_short(path: &Path, position: &Position, anchors: &[(u64, u64)]) -> io::Result<bool> {
        let beginning = Position { offset: 0, anchor: 0, anchor_hash: hash_tail(b""), ..*position };
        let Some((content, _)) = Content::open_at(path, &beginning)? else { return Ok(false) };
        let len = io::copy(&mut content.take(position.offset), &mut io::sink())?;
        let known = anchors.iter().rev().find(|(at, _)| *at <= len && *at > position.head);
        let Some(&(at, hash)) = known.filter(|_| len < position.offset) else { return Ok(false) };
        Ok(Content::open_at(path, &Position { offset: at, anchor: at, anchor_hash: hash, ..*position })?.is_some())
    }

    /// The same open file.
    pub fn share(&self) -> Content {
        Content { file: self.file.clone(), decoder: None, piped: self.piped }
    }

    /// What uncompressed content begins with, at most [`HEAD`] bytes; nothing of compressed content.
    pub fn head(&self) -> io::Result<Vec<u8>> {
        if self.is_compressed() {
            return Ok(Vec::new());
        }
        let mut head = vec![0; HEAD];
        let count = read_at(&self.file, &mut head, 0)?;
        head.truncate(count);
        Ok(head)
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn is_compressed(&self) -> bool {
        self.decoder.is_some()
    }

    /// Bytes of the file that have been read: compressed ones where it is compressed.
    pub fn bytes_read(&self) -> u64 {
        (&*self.file).stream_position().unwrap_or(0)
    }

    /// Whether uncompressed content still begins so, and still has these bytes before an offset: a file that was
    /// truncated and written anew hasn't. What can't be read is left for reading to say.
    pub fn is_still(&self, head: &[u8], offset: u64, tail: &[u8], scratch: &mut Vec<u8>) -> bool {
        let mut has = |bytes: &[u8], at: u64| {
            scratch.resize(bytes.len(), 0);
            read_at(&self.file, scratch, at).map_or(true, |count| count == bytes.len() && scratch == bytes)
        };
        has(head, 0) && offset.checked_sub(tail.len() as u64).is_none_or(|at| has(tail, at))
    }

    /// Leaves out so many bytes; false when there are fewer.
    pub fn skip(&mut self, bytes: u64) -> io::Result<bool> {
        Ok(io::copy(&mut self.take(bytes), &mut io::sink())? == bytes)
    }

    /// Reads until the buffer is full or the content ends.
    pub fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buf.len() {
            match self.read(&mut buf[count..]) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Goes to the end of a hole at the beginning of uncompressed content, and answers its length, if there is one.
    pub fn skip_hole(&mut self) -> Option<u64> {
        let is_plain = self.decoder.is_none() && !self.piped;
        let data = is_plain.then(|| rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(0)).ok())?;
        data.filter(|len| *len > 0)
    }

    /// Goes to an offset of uncompressed content.
    pub fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        (&*self.file).seek(SeekFrom::Start(offset)).map(drop)
    }
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.decoder {
            None if self.piped && !await_readable(self.file.as_fd()) => Ok(0),
            None => (&*self.file).read(buf),
            Some(decoder) => decoder.read(buf),
        }
    }
}

/// File systems of the kernel whose files have no content but what is made when they are read, and a size that says nothing:
/// proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs (statfs(2)).
const MADE_UP: [u32; 7] = [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x6462_6720, 0x7472_6163, 0x7363_6673];

/// Whether a file is made up when it is read: it has an end, but it is another one each time, and doesn't grow.
pub fn is_made_up(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|system| MADE_UP.contains(&(system.f_type as u32)))
}

/// Reads at an offset until the buffer is full or the file ends.
pub fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < buf.len() {
        match file.read_at(&mut buf[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::logstream::position::fingerprint;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn compress(kind: usize, content: &[u8]) -> Vec<u8> {
        match kind {
            0 => content.to_vec(),
            1 => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            3 => {
                use lzma_rust2::{XzOptions, XzWriter};
                let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            _ => {
                let mut bytes = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'x', b'y', b'z'];
                let (first, second) = content.split_at(content.len() / 2);
                for part in [first, second] {
                    bytes.extend(ruzstd::encoding::compress_to_vec(part, ruzstd::encoding::CompressionLevel::Fastest));
                }
                bytes
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_position_is_found_again_in_every_compression(
            len in 1usize..5000, head in 0usize..1024, anchor in 0usize..5000, offset in 0usize..5000, kind in 0usize..5,
        ) {
            let content: Vec<u8> = (0..len).map(|place| (place * place % 251) as u8).collect();
            let (head, anchor, offset) = (head.min(len), anchor.min(len), offset.min(len));
            let position = Position {
                offset: offset as u64,
                head: head as u64,
                fingerprint: fingerprint(&content[..head]),
                anchor: anchor as u64,
                anchor_hash: hash_tail(&content[anchor - anchor.min(TAIL)..anchor]),
                ..Position::default()
            };
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, compress(kind, &content)).unwrap();
            let (mut found, begins) = Content::open_at(&path, &position).unwrap().unwrap();
            prop_assert_eq!(&begins[..], &content[..head]);
            let mut rest = Vec::new();
            found.read_to_end(&mut rest).unwrap();
            prop_assert_eq!(&rest[..], &content[offset..]);
            // A copy without its last bytes; the whole isn't one.
            let anchors = [(position.anchor, position.anchor_hash)];
            prop_assert!(!Content::is_cut_short(&path, &position, &anchors).unwrap());
            let cut = head.max(len / 2);
            let short = dir.path().join("short");
            std::fs::write(&short, compress(kind, &content[..cut])).unwrap();
            let known = anchor <= cut && anchor > head && cut < offset;
            prop_assert_eq!(Content::is_cut_short(&short, &position, &anchors).unwrap(), known);
            // Another byte before the anchor, or in what it begins with: another file.
            let mut other = content.clone();
            if let Some(byte) = [anchor, head].into_iter().max().filter(|&end| end > 0).and_then(|end| {
                let at = if anchor >= head { anchor - 1 } else { end - 1 };
                other.get_mut(at)
            }) {
                *byte ^= 0x55;
                std::fs::write(&path, compress(kind, &other)).unwrap();
                prop_assert!(Content::open_at(&path, &position).unwrap().is_none());
            }
        }

        #[test]
        fn damaged_files_are_errors(kind in 1usize..5, at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
            let content: Vec<u8> = (0..2000u32).flat_map(|n| (n * n).to_le_bytes()).collect();
            let mut bytes = compress(kind, &content);
            let len = bytes.len();
            bytes[at % len] ^= byte;
            bytes.truncate(len - cut % len);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, bytes).unwrap();
            // Whatever it is: no panic, and an end.
            let _ = Content::open(&path).and_then(|mut content| content.read_to_end(&mut Vec::new()));
        }
    }
}
