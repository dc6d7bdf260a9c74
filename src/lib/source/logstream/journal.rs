//! Heka's own journal files, read once, so that a user can move over without reading logs again.
//!
//! One file a stream, named as the stream: `{"seek":14,"file_name":"/var/log/x.log","last_hash":"dd8f…"}`. The hash is
//! the SHA-1 of the 500 bytes before `seek`, with zero bytes in front where there are fewer.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use sha1::{Digest, Sha1};

use super::content::Content;
use super::position::HEAD;
use super::tree::Entry;

const HASHED: usize = 500;

/// Where Heka stopped reading a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    pub seek: u64,
    pub file_name: PathBuf,
    last_hash: String,
}

impl Journal {
    /// Reads the journal of a stream: the path is the file, or the directory that has one of the stream's name.
    /// `None` when there is no such file, or nothing in it.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn load(path: &Path, stream: &str) -> Result<Option<Journal>, String> {
        let path = if path.is_dir() { path.join(stream) } else { path.to_path_buf() };
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => match Journal::parse(&text) {
                Some(journal) => Ok(Some(journal)),
                None => Err(format!("{}: not a journal of Heka's", path.display())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {}", path.display(), crate::pipeline::describe(&error))),
        }
    }

    fn parse(text: &str) -> Option<Journal> {
        let json: Json = serde_json::from_str(text).ok()?;
        Some(Journal {
            seek: json.get("seek")?.as_u64()?,
            file_name: PathBuf::from(json.get("file_name")?.as_str()?),
            last_hash: json.get("last_hash")?.as_str()?.to_ascii_lowercase(),
        })
    }

    /// The file that the journal speaks of, open where reading resumes, and the bytes that it begins with: the one of
    /// that name if its bytes are the same, else the newest that has them.
    pub fn find(&self, files: &[Entry]) -> Option<(PathBuf, Content, Vec<u8>)> {
        let named = files.iter().filter(|file| file.path == self.file_name);
        // Nothing was read: any file would do, and only the one of that name is right.
        let others = files.iter().rev().filter(|file| self.seek > 0 && file.path != self.file_name);
        named.chain(others).find_map(|file| {
            let (content, head) = self.open(&file.path).ok()??;
            Some((file.path.clone(), content, head))
        })
    }

    fn open(&self, path: &Path) -> io::Result<Option<(Content, Vec<u8>)>> {
        let mut head = vec![0; HEAD.min(self.seek as usize)];
        if Content::open(path)?.fill(&mut head)? < head.len() {
            return Ok(None);
        }
        let mut content = Content::open(path)?;
        let mut hashed = [0; HASHED];
        let count = HASHED.min(self.seek as usize);
        let before = self.seek - count as u64;
        match content.is_compressed() {
            true if !content.skip(before)? => return Ok(None),
            true => {}
            false => content.seek_to(before)?,
        }
        if content.fill(&mut hashed[HASHED - count..])? < count {
            return Ok(None);
        }
        let digest = Sha1::digest(hashed).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        // Where nothing was read, Heka doesn't look at the hash either.
        Ok((self.seek == 0 || digest == self.last_hash).then_some((content, head)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_of_500_bytes_padded_in_front() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        std::fs::write(&path, "line 1\nline 2\nline 3\n").unwrap();
        let text = format!(
            r#"{{"seek":14,"file_name":"{}","last_hash":"dd8fc88e1d331424844537eb6fa8e24f970cc2c6"}}"#,
            path.display()
        );
        let journal = Journal::parse(&text).unwrap();
        let (mut content, head) = journal.open(&path).unwrap().unwrap();
        let mut rest = String::new();
        io::Read::read_to_string(&mut content, &mut rest).unwrap();
        assert_eq!((rest.as_str(), head.as_slice()), ("line 3\n", &b"line 1\nline 2\n"[..]));
        std::fs::write(&path, "line 1\nLine 2\nline 3\n").unwrap();
        assert!(journal.open(&path).unwrap().is_none());
        std::fs::write(&path, "line 1\n").unwrap();
        assert!(journal.open(&path).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn other_texts_are_none(text in r#"[\{\}":a-z0-9,_ -]{0,60}"#) {
            let _ = Journal::parse(&text);
        }
    }
}
