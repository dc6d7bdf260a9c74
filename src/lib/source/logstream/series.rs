//! One log stream: its files, read one after the other as if they were one.
//!
//! The file at hand stays open until it is certain that nothing more comes into it and another one follows, so it
//! doesn't matter what becomes of its name. Where it stands among the others is found by its inode, or, when it was
//! compressed or copied, by its content.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::content::{Content, Identity, is_made_up, modified, read_at};
use super::cutter::{Counted, Cutter, Cutting, Stamp};
use super::journal::Journal;
use super::position::{HEAD, Position, TAIL, fingerprint, hash_tail};
use super::selection::{rotated, unrotated};
use super::splitter::Tail;
use super::tree::{Entry, Listing, TICK, Tree};
use crate::message::{now_ns, wire::put_varint};
use crate::pipeline::{Failure, Output, describe, report, report_once};
use crate::source::template::{Encoded, Origin, Template};
use crate::stream::{CursorRef, MAX_CURSOR_SIZE};

/// What the streams of one input have in common.
pub struct Shape {
    pub cutting: Cutting,
    pub template: Template,
    /// Begin at the end of streams that have no checkpoint.
    pub from_end: bool,
    /// Go on at the end.
    pub follow: bool,
    /// Without following: a last record that has no end, in a file that may grow, is left for the next run.
    pub final_line_waits: bool,
    /// How long a file must have been quiet before the next one's turn comes.
    pub rotate_wait: Duration,
    /// After so long without more, a record that waits for the next one's beginning goes out.
    pub flush_timeout: Duration,
}

/// After a switch, how long the file before is looked after: whoever still writes to it is heard.
const LEFT_FOR: Duration = Duration::from_secs(60);
/// How long a compressed file that ends in the middle may be on its way.
const UNFINISHED_FOR: Duration = Duration::from_secs(60);
/// How soon to look again when files were being renamed.
pub const SOON: Duration = Duration::from_millis(10);

/// What reading gave.
pub enum Read {
    Bytes(usize),
    /// It would block.
    Blocked,
    /// The file was truncated, or written anew.
    Truncated,
}

/// What is to be done at the end of the file at hand.
pub enum Look {
    /// Nothing follows (yet); look again at that time at the latest.
    Stay(Option<Instant>),
    Truncated,
    /// A copy took its place: reading goes on there, at the same offset.
    Replaced(Content, PathBuf),
    Next(Next),
    /// The next file can't be opened.
    Unreadable(Entry, io::Error),
}

/// The file that follows, at its beginning.
pub struct Next {
    pub content: Content,
    pub path: PathBuf,
    pub identity: Identity,
    /// What it begins with; nothing when it is compressed.
    pub head: Vec<u8>,
}

/// What became of a file that was truncated.
pub enum Truncated {
    /// A copy has what was in it; reading goes on there.
    Copied,
    /// The rest of it is nowhere. This comes next: the file itself, or a later copy.
    Next(Next),
    /// The same, and nothing comes next yet. `after_copy`: it was copied, without the last of what was read.
    Empty { after_copy: bool },
}

/// Files were renamed or removed while they were looked at: in a moment it will be clear.
pub struct Moving;

/// Where the files after the one at hand begin, when that one isn't among them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing has been read.
    Nothing,
    /// Nothing has been read; files made after this time, ns, are the stream's.
    Made(i64),
    /// A file that was last changed at this time, ns.
    Changed(i64),
}

/// A file that was left for the next.
struct Left {
    content: Content,
    cutter: Cutter,
    since: Instant,
}

/// One log stream.
pub struct Series {
    pub shape: Rc<Shape>,
    /// Streams with the same number read a file once, whichever of them has it.
    pub group: usize,
    /// Nothing for standard input and FIFOs.
    tree: Option<Rc<RefCell<Tree>>>,
    /// Its name in the tree.
    key: String,
    /// A file given by its name, which is followed whatever file has it.
    named: Option<PathBuf>,
    /// Files before it, given by their names too, that rotation made of it.
    pub rotated: Vec<PathBuf>,
    /// The file at hand.
    pub path: PathBuf,
    place: String,
    /// In cursors.
    name: String,
    content: Option<Content>,
    /// The file at hand was closed at its end, to be opened again when there is more.
    parked: bool,
    identity: Identity,
    before: Before,
    /// Bytes of the stream in earlier files.
    base: u64,
    /// What the content begins with.
    head: Vec<u8>,
    head_hash: u64,
    /// The last bytes that were read, and an offset with the hash of what is before it.
    tail: Vec<u8>,
    anchor: (u64, u64),
    /// Others before it, here and there: what a copy that was cut short is known by.
    anchors: Vec<(u64, u64)>,
    cutter: Cutter,
    template: Encoded,
    logger: String,
    /// Offset after the last record that went out.
    sent: Option<u64>,
    /// An encoded position without its offset.
    rest: Vec<u8>,
    /// A copy of a file that was truncated: nobody writes to it.
    is_copy: bool,
    /// The rest of it can't be read.
    damaged: bool,
    /// A compressed file ended in the middle when it had so many bytes.
    unfinished: Option<u64>,
    /// A checkpoint whose file may be one that can't be opened yet.
    unresolved: Option<Position>,
    known_elsewhere: bool,
    elsewhere: Option<Position>,
    /// Files that can't be read, and are left out.
    skipped: HashSet<Identity>,
    said: Option<PathBuf>,
    /// The last list of files, by its version, and where the file at hand was in it by its content.
    placed: Option<(u64, Option<usize>)>,
    left: Option<Left>,
    next_since: Option<Instant>,
    pub read_at: Option<Instant>,
    pub started: bool,
    pub ended: bool,
    /// There may be something to read.
    pub hot: bool,
    pub wake_at: Option<Instant>,
    scratch: Vec<u8>,
}

/// The name of standard input among the operands.
pub const STDIN: &str = "-";

impl Series {
    /// A file by its name, `-` for standard input.
    pub fn named(path: &Path, shape: &Rc<Shape>) -> Series {
        let stdin = path.as_os_str() == STDIN;
        let tree = (!stdin).then(|| Rc::new(RefCell::new(Tree::named(path))));
        let logger = if stdin { "stdin".into() } else { path.to_string_lossy().into_owned() };
        let mut series = Series::new(tree, String::new(), cursor_name(path), &logger, shape);
        series.named = Some(path.to_path_buf());
        series.path = path.to_path_buf();
        series.place = path.display().to_string();
        series
    }

    /// A stream of a tree.
    pub fn of_tree(tree: &Rc<RefCell<Tree>>, key: &str, group: usize, shape: &Rc<Shape>) -> Series {
        let root = tree.borrow().root().to_path_buf();
        let root = fs::canonicalize(&root).unwrap_or(root);
        let name = shortened(format!("{}#{key}", root.display()));
        let logger = if key.is_empty() { root.display().to_string() } else { key.to_string() };
        let mut series = Series::new(Some(tree.clone()), key.to_string(), name, &logger, shape);
        series.group = group;
        series
    }

    fn new(tree: Option<Rc<RefCell<Tree>>>, key: String, name: String, logger: &str, shape: &Rc<Shape>) -> Series {
        let mut template = shape.template.clone();
        if template.logger.is_empty() {
            template.logger = logger.as_bytes().to_vec();
        }
        Series {
            shape: shape.clone(),
            group: 0,
            tree,
            key,
            named: None,
            rotated: Vec::new(),
            path: PathBuf::new(),
            place: String::new(),
            name,
            content: None,
            parked: false,
            identity: Identity::default(),
            before: Before::Nothing,
            base: 0,
            head: Vec::new(),
            head_hash: fingerprint(b""),
            tail: Vec::new(),
            anchor: (0, hash_tail(b"")),
            anchors: Vec::new(),
            cutter: Cutter::new(&shape.cutting),
            template: template.encode(),
            logger: String::from_utf8_lossy(&template.logger).into_owned(),
            sent: None,
            rest: Vec::new(),
            is_copy: false,
            damaged: false,
            unfinished: None,
            unresolved: None,
            known_elsewhere: false,
            elsewhere: None,
            skipped: HashSet::new(),
            said: None,
            placed: None,
            left: None,
            next_since: None,
            read_at: None,
            started: false,
            ended: false,
            hot: true,
            wake_at: None,
            scratch: Vec::new(),
        }
    }

    /// The name in cursors.
    pub fn cursor_name(&self) -> &str {
        &self.name
    }

    /// Header Logger.
    pub fn logger(&self) -> &str {
        &self.logger
    }

    /// Standard input or a FIFO: waited for, not looked at; it can't be read again.
    pub fn is_pollable(&self) -> bool {
        self.tree.is_none()
    }

    pub fn file(&self) -> Option<&File> {
        self.content.as_ref().map(Content::file)
    }

    /// Whether it is known where reading resumes.
    pub fn is_resolved(&self) -> bool {
        self.unresolved.is_none()
    }

    /// The files of the stream as they are now, oldest first.
    pub fn listing(&self) -> Listing {
        let Some(tree) = &self.tree else { return Listing { files: Rc::new([]), settled: true, version: 0 } };
        let mut tree = tree.borrow_mut();
        if let Err(messages) = tree.refresh() {
            for message in messages {
                report_once("files that are left out", || message);
            }
        }
        tree.listing(&self.key).unwrap_or(Listing { files: Rc::new([]), settled: true, version: 0 })
    }

    fn look_anew(&self) {
        if let Some(tree) = &self.tree {
            tree.borrow_mut().invalidate();
        }
    }

    /// Opens the file where reading begins. `late`: found while following, so all of it is new.
    ///
    /// # Errors
    /// Why a file given by name can't be opened. Other streams are tried again at each look.
    pub fn start(&mut self, position: Option<Position>, journal: Option<&Journal>, late: bool) -> io::Result<()> {
        if self.tree.is_none() {
            let stdin = io::stdin().as_fd().try_clone_to_owned()?;
            self.content = Some(Content::stream(File::from(stdin)));
            return Ok(());
        }
        if let Some(path) = self.named.as_ref().filter(|path| is_made_up(path)) {
            if self.shape.follow {
                let why = "made by the kernel when it is read: it can't be followed, only read again";
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            self.content = Some(Content::stream(File::open(path)?));
            self.tree = None;
            return Ok(());
        }
        if let Some(position) = position {
            match self.resume(position) {
                // The first look tries again, and says it.
                Err(_) if self.shape.follow => {}
                Err(found) => return Err(io::Error::new(found.1.kind(), self.explain(&found.0.path, &found.1))),
                Ok(()) => {}
            }
            // A file that was asked for by its name and is nowhere.
            return match (&self.named, &self.content) {
                (Some(path), None) if self.unresolved.is_none() => fs::metadata(path).map(drop),
                _ => Ok(()),
            };
        }
        if let Some(journal) = journal {
            let listing = self.listing();
            match journal.find(&listing.files) {
                Some((path, content, head)) => return self.begin(content, &path, head, journal.seek, 0),
                None => report(&format!(
                    "{}: the file of Heka's journal, {}, is not among the stream's; reading them from the oldest",
                    self.logger,
                    journal.file_name.display()
                )),
            }
        }
        let from_end = self.shape.from_end && !late;
        if let Some(path) = self.named.clone().filter(|_| self.rotated.is_empty() || from_end) {
            let content = Content::open(&path).inspect_err(|_| self.expect_first())?;
            let metadata = content.file().metadata()?;
            if !metadata.is_file() {
                self.tree = None;
                self.content = Some(content);
                return Ok(());
            }
            if self.shape.follow && metadata.len() == 0 {
                self.content = Some(content);
                self.expect_first();
                return Ok(());
            }
            return if from_end { self.begin_at_end(content, &path) } else { self.adopt(content, &path, 0) };
        }
        if from_end {
            let newest = self.listing().files.last().cloned();
            if let Some(newest) = newest {
                return self.begin_at_end(Content::open(&newest.path)?, &newest.path);
            }
        }
        Ok(())
    }

    /// There is nothing yet in the file at hand, or it isn't there. When there is, the writer may have rotated it
    /// meanwhile, even several times: then reading begins with the oldest file that was made since.
    pub fn expect_first(&mut self) {
        let metadata = self.content.take().and_then(|content| content.file().metadata().ok());
        self.identity = metadata.as_ref().map_or_else(Identity::default, Identity::of);
        self.before = Before::Made(metadata.as_ref().map_or_else(|| now_ns() - TICK.as_nanos() as i64, modified));
    }

    fn begin_at_end(&mut self, mut content: Content, path: &Path) -> io::Result<()> {
        let mut head = vec![0; HEAD];
        let (len, count) = if content.is_compressed() {
            let count = content.fill(&mut head)?;
            (count as u64 + io::copy(&mut content, &mut io::sink())?, count)
        } else {
            let len = content.file().metadata()?.len();
            content.seek_to(len)?;
            (len, read_at(content.file(), &mut head, 0)?.min(len as usize))
        };
        head.truncate(count);
        self.begin(content, path, head, len, 0)
    }

    /// Goes on in content that stands at an offset.
    fn begin(&mut self, content: Content, path: &Path, head: Vec<u8>, offset: u64, base: u64) -> io::Result<()> {
        self.adopt(content, path, base)?;
        self.head_hash = fingerprint(&head);
        self.head = head;
        self.cutter.restart(offset, &self.head);
        self.sent = Some(offset);
        self.encode_rest();
        Ok(())
    }

    /// Makes content the stream's, at its beginning.
    pub fn adopt(&mut self, content: Content, path: &Path, base: u64) -> io::Result<()> {
        let metadata = content.file().metadata()?;
        self.set_file(content, path, &metadata);
        self.base = base;
        self.head.clear();
        self.head_hash = fingerprint(b"");
        self.tail.clear();
        self.anchor = (0, hash_tail(b""));
        self.anchors.clear();
        self.cutter.restart(0, b"");
        self.sent = None;
        self.encode_rest();
        Ok(())
    }

    fn set_file(&mut self, content: Content, path: &Path, metadata: &fs::Metadata) {
        self.identity = Identity::of(metadata);
        self.before = Before::Changed(modified(metadata));
        self.content = Some(content);
        self.path = path.to_path_buf();
        self.place = path.display().to_string();
        (self.is_copy, self.damaged, self.unfinished, self.parked) = (false, false, None, false);
        (self.placed, self.next_since, self.unresolved) = (None, None, None);
    }

    /// A copy of the file at hand takes its place.
    pub fn replace(&mut self, content: Content, path: &Path) -> io::Result<()> {
        let metadata = content.file().metadata()?;
        self.leave();
        self.set_file(content, path, &metadata);
        self.encode_rest();
        Ok(())
    }

    /// The file that follows takes the place of the one at hand. `read`: how far it was read under another name.
    pub fn go_on(&mut self, next: Next, read: Option<Position>) -> io::Result<()> {
        let base = self.base + self.cutter.read_offset();
        self.leave();
        if read.is_some_and(|read| self.resume_in(&next.path, &read, base)) {
            return Ok(());
        }
        self.begin(next.content, &next.path, next.head, 0, base)
    }

    /// Looks after the file at hand for a while: whoever still has it open may write to it.
    fn leave(&mut self) {
        let left = self.content.take().filter(|content| self.shape.follow && !content.is_compressed());
        let left = left.filter(|_| !self.is_copy && !self.damaged);
        self.left = left.map(|content| {
            let mut cutter = Cutter::new(&self.shape.cutting);
            cutter.restart(self.cutter.read_offset(), &self.head);
            Left { content, cutter, since: Instant::now() }
        });
    }

    /// Finds the file of a checkpoint: by its inode and content, or by its content alone.
    ///
    /// # Errors
    /// When it isn't found, and one that can't be opened may be it.
    fn resume(&mut self, position: Position) -> Result<(), Box<(Entry, io::Error)>> {
        // Its name still is the file's: then there is no need to look for it.
        if let Some(path) = self.named.clone()
            && fs::metadata(&path).is_ok_and(|metadata| metadata.ino() == position.inode)
            && self.resume_in(&path, &position, position.base)
        {
            return Ok(());
        }
        let listing = self.listing();
        let (mut unreadable, mut moving) = (None, !listing.settled);
        for same_inode in [true, false] {
            if !same_inode && position.is_blank() {
                continue;
            }
            for file in listing.files.iter().rev().filter(|f| (f.identity.inode == position.inode) == same_inode) {
                match open_at(file, &position) {
                    Ok(Some((content, head))) => {
                        if self.begin_in(content, &file.path, head, &position, position.base).is_ok() {
                            return Ok(());
                        }
                    }
                    Ok(None) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => moving = true,
                    Err(error) if unreadable.is_none() && !is_damage(&error) => {
                        unreadable = Some((file.clone(), error))
                    }
                    Err(_) => {}
                }
            }
        }
        self.unresolved = Some(position);
        if moving {
            return Ok(());
        }
        if let Some(unreadable) = unreadable {
            return Err(Box::new(unreadable));
        }
        // It may be what a link led to before.
        if self.tree.as_ref().is_some_and(|tree| tree.borrow_mut().widen(&self.key)) {
            return self.resume(position);
        }
        self.unresolved = None;
        self.base = position.base + position.offset;
        if let (Some(path), Some(elsewhere)) = (self.newest_path(), self.elsewhere.take())
            && self.resume_in(&path, &elsewhere, self.base)
        {
            return Ok(());
        }
        self.before = match position.modified {
            0 => Before::Nothing,
            time => Before::Changed(i64::try_from(time).unwrap_or(i64::MAX)),
        };
        let anchors = [(position.anchor, position.anchor_hash)];
        let copy = self.short_copy_among(&listing, &position, &anchors);
        if let Some(copy) = copy.and_then(|at| listing.files.get(at)) {
            self.before = Before::Changed(copy.modified + 1);
            return Ok(());
        }
        let next = self.first_after(&listing.files).and_then(|at| listing.files.get(at));
        if self.known_elsewhere {
            return Ok(());
        }
        let then = match next {
            Some(next) if self.named.as_deref() == Some(&next.path) => "reading it from its beginning".into(),
            Some(next) => format!("going on with the first file changed after it, {}", next.path.display()),
            // That it isn't there is said by whoever asked for it.
            None if self.named.is_some() => return Ok(()),
            None => "waiting for the next".into(),
        };
        report(&format!("{}: the file of its checkpoint is gone or was overwritten; {then}", self.label()));
        Ok(())
    }

    /// Goes on where a position says, if the file is the one that it speaks of. `base`: the position may be another
    /// stream's.
    pub fn resume_in(&mut self, path: &Path, position: &Position, base: u64) -> bool {
        match Content::open_at(path, position) {
            Ok(Some((content, head))) => self.begin_in(content, path, head, position, base).is_ok(),
            _ => false,
        }
    }

    fn begin_in(
        &mut self,
        content: Content,
        path: &Path,
        head: Vec<u8>,
        position: &Position,
        base: u64,
    ) -> io::Result<()> {
        self.begin(content, path, head, position.offset, base)?;
        self.anchor = (position.anchor, position.anchor_hash);
        self.anchors.push(self.anchor);
        self.encode_rest();
        Ok(())
    }

    /// For errors: the name that was given, or the stream's.
    pub fn label(&self) -> String {
        match &self.named {
            Some(path) => path.display().to_string(),
            None => self.logger.clone(),
        }
    }

    /// Where reading stands.
    pub fn position(&self) -> Position {
        let (anchor, anchor_hash) = self.anchor_now();
        Position {
            offset: self.cutter.read_offset(),
            inode: self.identity.inode,
            head: self.head.len() as u64,
            fingerprint: self.head_hash,
            base: self.base,
            modified: match self.before {
                Before::Nothing | Before::Made(_) => 0,
                Before::Changed(time) => time.max(0) as u64,
            },
            anchor,
            anchor_hash,
        }
    }

    /// The same with the anchor before the block that was read last.
    fn position_at_block(&self) -> Position {
        Position { anchor: self.anchor.0, anchor_hash: self.anchor.1, ..self.position() }
    }

    /// The anchor at the offset up to which content has been read, if the bytes before that are known.
    fn anchor_now(&self) -> (u64, u64) {
        let offset = self.cutter.read_offset();
        let known = self.tail.len() as u64 >= offset.min(TAIL as u64);
        if known { (offset, hash_tail(&self.tail)) } else { self.anchor }
    }

    fn encode_rest(&mut self) {
        let position = self.position_at_block();
        self.rest.clear();
        position.encode_rest(&mut self.rest);
    }

    /// The cursor of the last record that went out.
    pub fn sent_cursor<'a>(&'a self, position: &'a mut Vec<u8>) -> Option<CursorRef<'a>> {
        let sent = self.sent.filter(|_| self.tree.is_some())?;
        position.clear();
        put_varint(position, sent);
        position.extend_from_slice(&self.rest);
        Some(CursorRef { stream: self.name.as_bytes(), sequence: self.base + sent, position })
    }

    /// Reads a block.
    pub fn read(&mut self, block: &mut Vec<u8>) -> io::Result<Read> {
        let Some(content) = &mut self.content else { return Ok(Read::Bytes(0)) };
        if self.damaged {
            return Ok(Read::Bytes(0));
        }
        if self.tree.is_none() {
            if !readable(content.file()) {
                return Ok(Read::Blocked);
            }
            let count = self.cutter.read(content, block, |_, _| true)?;
            return Ok(Read::Bytes(count.unwrap_or(0)));
        }
        if self.cutter.read_offset() == 0
            && self.cutter.skips_holes()
            && let Some(len) = content.skip_hole()
        {
            self.cutter.begin_after_hole(len);
        }
        let at = self.cutter.read_offset();
        let (head, tail, scratch, anchors) = (&mut self.head, &mut self.tail, &mut self.scratch, &mut self.anchors);
        let anchor = if tail.len() as u64 >= at.min(TAIL as u64) { (at, hash_tail(tail)) } else { self.anchor };
        let mut grown = false;
        let count = self.cutter.read(content, block, |content, bytes| {
            // If it still begins as it did after the bytes were read, then they were what followed the ones before.
            let same = bytes.is_empty() || content.is_compressed() || content.is_still(head, at, tail, scratch);
            if same {
                let known = (head.len() as u64).checked_sub(at).map(|known| known as usize);
                if let Some(new) = known.and_then(|known| bytes.get(known..)).filter(|_| head.len() < HEAD) {
                    grown = !new.is_empty();
                    head.extend_from_slice(&new[..new.len().min(HEAD - head.len())]);
                }
                keep_tail(tail, bytes);
                keep_anchors(anchors, anchor, at, bytes);
            }
            same
        })?;
        let Some(count) = count else { return Ok(Read::Truncated) };
        if count > 0 {
            if grown {
                self.head_hash = fingerprint(&self.head);
            }
            self.anchor = anchor;
            if let Ok(metadata) = content.file().metadata() {
                self.before = Before::Changed(modified(&metadata));
            }
            self.encode_rest();
            (self.next_since, self.wake_at) = (None, None);
            self.read_at = Some(Instant::now());
        }
        Ok(Read::Bytes(count))
    }

    /// Bytes of files that have been read, for the progress bar.
    pub fn bytes_read(&self) -> u64 {
        self.content.as_ref().map_or(0, Content::bytes_read)
    }

    /// There may be something to read if the time has come to look again.
    pub fn wake(&mut self, now: Instant) {
        if self.wake_at.is_some_and(|at| at <= now) {
            (self.hot, self.wake_at) = (true, None);
        }
    }

    pub fn give_back(&mut self, block: &mut Vec<u8>) {
        self.cutter.give_back(block);
    }

    /// Writes a frame for each record.
    pub fn cut(&mut self, tail: Tail, out: &mut Output) -> Result<Counted, Failure> {
        let stamp = Stamp {
            place: &self.place,
            template: &self.template,
            stream: &self.name,
            origin: self.template.origin(&self.name, self.identity.inode),
            base: self.base,
            rest: self.tree.is_some().then_some(&self.rest),
        };
        self.cutter.cut(tail, &stamp, &mut self.sent, out)
    }

    /// When a record that waits for the next one's beginning goes out without it; only whole lines do.
    pub fn flush_at(&self) -> Option<Instant> {
        let Cutting::Records { splitter, .. } = &self.shape.cutting else { return None };
        let waits = splitter.waits_for_the_next() && self.cutter.pending().ends_with(b"\n");
        self.read_at.filter(|_| waits).map(|at| at + self.shape.flush_timeout)
    }

    /// Bytes at the end of the stream that are no whole record, and that more may be written behind.
    pub fn unfinished_record(&self) -> usize {
        let unfinished = match (&self.shape.cutting, self.cutter.pending_len()) {
            (_, 0) => return 0,
            (Cutting::Frames { .. }, len) => len,
            // Whole lines that wait for the next record's beginning are a record without it.
            (Cutting::Records { splitter, .. }, _)
                if splitter.waits_for_the_next() && self.cutter.pending().ends_with(b"\n") =>
            {
                return 0;
            }
            (Cutting::Records { .. }, len) => len,
        };
        let is_plain = self.content.as_ref().is_some_and(|content| !content.is_compressed());
        let may_grow = is_plain && !self.is_copy && !self.damaged && !is_rotated(&self.path);
        if self.shape.final_line_waits && may_grow { unfinished } else { 0 }
    }

    /// Whether a compressed file ends in the middle because it is being written, or copied, just now.
    pub fn is_arriving(&self, error: &io::Error) -> bool {
        let metadata = self.content.as_ref().and_then(|content| content.file().metadata().ok());
        let age = metadata.and_then(|metadata| metadata.modified().ok()).and_then(|time| time.elapsed().ok());
        self.shape.final_line_waits
            && error.kind() == io::ErrorKind::UnexpectedEof
            && age.is_some_and(|age| age < UNFINISHED_FOR)
    }

    /// At the end of the file at hand: what comes after it?
    pub fn look(&mut self) -> Look {
        if let Some(position) = self.unresolved {
            self.look_anew();
            if let Err(found) = self.resume(position) {
                let (file, error) = *found;
                return Look::Unreadable(file, error);
            }
            let soon = if self.unresolved.is_some() { SOON } else { Duration::ZERO };
            return Look::Stay(Some(Instant::now() + soon));
        }
        if self.parked
            && let Some(look) = self.unpark()
        {
            return look;
        }
        if let Some(content) = self.content.as_ref().filter(|content| !content.is_compressed() && !self.damaged) {
            let Ok(metadata) = content.file().metadata() else { return Look::Stay(None) };
            self.before = Before::Changed(modified(&metadata));
            let at = self.cutter.read_offset();
            if metadata.len() < at || !content.is_still(&self.head, at, &self.tail, &mut self.scratch) {
                return Look::Truncated;
            }
            // The name still is this file's: then it is the newest.
            let name = self.named.as_ref().and_then(|path| fs::metadata(path).ok());
            if name.is_some_and(|metadata| Identity::of(&metadata) == self.identity) {
                self.next_since = None;
                return Look::Stay(None);
            }
        }
        if let Some(look) = self.look_for_the_rest() {
            return look;
        }
        let listing = self.listing();
        let from = match self.place_among(&listing) {
            // The newest is a copy of what was read, perhaps with more behind it: who renames a file onto another one
            // replaces it (rsync, `sed -i`).
            Ok(Some(at)) if at + 1 == listing.files.len() && listing.files[at].identity != self.identity => {
                let file = &listing.files[at];
                if let Ok(Some((content, _))) = open_at(file, &self.position())
                    && !content.is_compressed()
                {
                    return Look::Replaced(content, file.path.clone());
                }
                at + 1
            }
            Ok(Some(at)) => at + 1,
            Ok(None) => self.first_after(&listing.files).unwrap_or(listing.files.len()),
            Err(Moving) => {
                self.look_anew();
                return Look::Stay(Some(Instant::now() + SOON));
            }
        };
        let (next, another) = {
            let mut following = self.following(&listing, from);
            (following.next().cloned(), following.next().is_some())
        };
        let Some(next) = next else {
            self.next_since = None;
            return Look::Stay(None);
        };
        // When yet another one follows, the writer has left this one long ago.
        let finished = !self.shape.follow
            || self.is_copy
            || self.damaged
            || self.content.as_ref().is_none_or(Content::is_compressed)
            || another;
        if !finished {
            let since = *self.next_since.get_or_insert_with(Instant::now);
            if since.elapsed() < self.shape.rotate_wait {
                return Look::Stay(Some(since + self.shape.rotate_wait));
            }
        }
        // A file may be copied and truncated at any moment. What it begins with now is known to follow what was read
        // if no copy has come between them by the time that this is known.
        match Content::open(&next.path).and_then(|content| Ok((content.file().metadata()?, content.head()?, content))) {
            Ok((metadata, head, content)) if Identity::of(&metadata) == next.identity => {
                if self.is_unchanged(&listing) && (!head.is_empty() || content.is_compressed()) {
                    return Look::Next(Next { content, path: next.path, identity: next.identity, head });
                }
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Look::Unreadable(next, error),
            // Renamed or removed meanwhile.
            _ => self.look_anew(),
        }
        Look::Stay(Some(Instant::now() + SOON))
    }

    /// Files of a list that have something to read, from a place on.
    fn following<'a>(&'a self, listing: &'a Listing, from: usize) -> impl Iterator<Item = &'a Entry> {
        listing.files.iter().skip(from).filter(|file| {
            let is_empty = || fs::metadata(&file.path).is_ok_and(|metadata| metadata.len() == 0);
            !self.skipped.contains(&file.identity) && !is_empty()
        })
    }

    /// Where the file at hand is in a list; an error when that list is out of date.
    fn place_among(&mut self, listing: &Listing) -> Result<Option<usize>, Moving> {
        if !matches!(self.before, Before::Changed(_)) {
            return Ok(None);
        }
        if let Some(at) = listing.files.iter().position(|file| file.identity == self.identity) {
            return Ok(Some(at));
        }
        if let Some((_, at)) = self.placed.filter(|(version, _)| *version == listing.version) {
            return Ok(at);
        }
        let at = self.copy_among(listing)?.map(|(at, _)| at);
        if listing.settled {
            self.placed = Some((listing.version, at));
        }
        Ok(at)
    }

    /// The newest other file that has what was read, open where reading stands.
    fn copy_among(&self, listing: &Listing) -> Result<Option<(usize, Content)>, Moving> {
        let position = self.position();
        if position.is_blank() {
            return Ok(None);
        }
        let mut gone = false;
        for (at, file) in listing.files.iter().enumerate().rev() {
            if file.identity == self.identity {
                continue;
            }
            match open_at(file, &position) {
                Ok(Some((content, _))) => return Ok(Some((at, content))),
                Ok(None) => {}
                Err(error) => gone |= error.kind() == io::ErrorKind::NotFound,
            }
        }
        // The one that is gone may be it, and have another name now.
        if gone { Err(Moving) } else { Ok(None) }
    }

    /// Where to begin when the file at hand is not among the others: after what was changed before it.
    fn first_after(&self, files: &[Entry]) -> Option<usize> {
        let of_that_name = || {
            let name = self.named.as_ref()?.file_name();
            files.iter().position(|file| file.path.file_name() == name)
        };
        match self.before {
            Before::Nothing if self.named.is_none() => (!files.is_empty()).then_some(0),
            Before::Nothing => files.iter().position(|file| self.rotated.contains(&file.path)).or_else(of_that_name),
            Before::Made(time) => files
                .iter()
                .position(|file| file.made > time)
                .or_else(|| files.iter().position(|file| file.identity == self.identity))
                .or_else(of_that_name),
            Before::Changed(time) => files.iter().position(|file| file.modified >= time).or_else(of_that_name),
        }
    }

    /// The copy of a file that was made, and the file truncated, while the last of what a position has was written.
    /// That is in no file any more; the stream goes on after the copy.
    fn short_copy_among(&self, listing: &Listing, position: &Position, anchors: &[(u64, u64)]) -> Option<usize> {
        if position.is_blank() {
            return None;
        }
        // Files may begin alike; older ones are not it. The copy was finished some moments before the last was written.
        let since = i64::try_from(position.modified).unwrap_or(i64::MAX).saturating_sub(1_000_000_000);
        listing.files.iter().position(|file| {
            let other = file.identity != self.identity && file.modified >= since;
            other && Content::is_cut_short(&file.path, position, anchors).unwrap_or(false)
        })
    }

    /// The file was truncated. What was in it and had not been read is in a copy, if one was made: reading goes on
    /// there.
    ///
    /// # Errors
    /// When files are being renamed or copied just now, so that it can't be told yet.
    pub fn find_copy(&mut self) -> Result<Truncated, Moving> {
        self.look_anew();
        let listing = self.listing();
        if let Some((at, content)) = self.copy_among(&listing)? {
            let metadata = content.file().metadata().map_err(|_| Moving)?;
            let path = listing.files.get(at).map(|file| file.path.clone()).unwrap_or_default();
            self.set_file(content, &path, &metadata);
            self.is_copy = true;
            self.encode_rest();
            return Ok(Truncated::Copied);
        }
        let short = self.short_copy_among(&listing, &self.position_at_block(), &self.anchors);
        let later = short.and_then(|at| self.following(&listing, at + 1).next());
        let (content, path) = match (later, &self.content) {
            (Some(file), _) if file.identity != self.identity => {
                (Content::open(&file.path).map_err(|_| Moving)?, &file.path)
            }
            (_, Some(content)) => (content.share(), &self.path),
            (_, None) => return Err(Moving),
        };
        let identity = content.file().metadata().map(|metadata| Identity::of(&metadata)).map_err(|_| Moving)?;
        let next = Next { head: content.head().unwrap_or_default(), content, path: path.clone(), identity };
        // Another list, or a list whose names are other files' by now: all this may have been wrong.
        if !self.is_unchanged(&listing) {
            return Err(Moving);
        }
        // An empty file may be filled, copied and truncated again before the next look.
        Ok(match self.shape.follow && next.head.is_empty() && !next.content.is_compressed() {
            true => Truncated::Empty { after_copy: short.is_some() },
            false => Truncated::Next(next),
        })
    }

    /// Whether the files are those of a list at this moment, too.
    fn is_unchanged(&self, listing: &Listing) -> bool {
        self.look_anew();
        let now = self.listing();
        now.settled && now.version == listing.version
    }

    /// Goes on where the file at hand was truncated, and no copy has what follows.
    pub fn begin_again(&mut self, mut next: Next) -> io::Result<()> {
        let base = self.base + self.cutter.read_offset();
        let is_copy = next.path != self.path;
        if !is_copy {
            next.content.seek_to(0)?;
        }
        self.begin(next.content, &next.path, next.head, 0, base)?;
        self.is_copy = is_copy;
        Ok(())
    }

    /// What became of a compressed file that ended in the middle.
    fn look_for_the_rest(&mut self) -> Option<Look> {
        let len = self.unfinished?;
        let metadata = self.content.as_ref()?.file().metadata().ok()?;
        if metadata.len() != len {
            self.unfinished = None;
            match Content::open_at(&self.path, &self.position()) {
                Ok(Some((content, _))) => self.content = Some(content),
                _ => self.damaged = true,
            }
            return Some(Look::Stay(Some(Instant::now())));
        }
        let age = metadata.modified().ok().and_then(|time| time.elapsed().ok()).unwrap_or(UNFINISHED_FOR);
        if age < UNFINISHED_FOR {
            return Some(Look::Stay(None));
        }
        report(&format!("{}: ends in the middle of compressed data; the rest of it is not there", self.place));
        self.damaged = true;
        None
    }

    /// After an error while following: true when reading may succeed later.
    pub fn may_recover(&mut self, error: &io::Error) -> bool {
        let Some(content) = self.content.as_ref().filter(|_| self.shape.follow) else { return false };
        if !content.is_compressed() {
            // A file system that was away may have forgotten the open file.
            if let Ok(Some((content, _))) = Content::open_at(&self.path, &self.position()) {
                self.content = Some(content);
            }
            return true;
        }
        let grows = error.kind() == io::ErrorKind::UnexpectedEof;
        self.unfinished = content.file().metadata().ok().map(|metadata| metadata.len()).filter(|_| grows);
        self.unfinished.is_some()
    }

    /// The rest of the file at hand can't be read: what follows comes next.
    pub fn give_up_file(&mut self) {
        self.damaged = true;
    }

    pub fn skip(&mut self, file: &Entry) {
        self.skipped.insert(file.identity);
    }

    /// Whether this has not been said of that file yet.
    pub fn say_once(&mut self, path: &Path) -> bool {
        let new = self.said.as_deref() != Some(path);
        self.said = Some(path.to_path_buf());
        new
    }

    /// What has been written to the file before since it was left. It goes out late, without a cursor.
    pub fn hear_the_last(&mut self, block: &mut Vec<u8>, out: &mut Output) -> Result<Counted, Failure> {
        let Some(left) = &mut self.left else { return Ok(Counted::default()) };
        let mut counted = Counted::default();
        let stamp = Stamp {
            place: &self.place,
            template: &self.template,
            stream: "",
            origin: Origin::default(),
            base: 0,
            rest: None,
        };
        let len = left.content.file().metadata().map_or(0, |metadata| metadata.len());
        while len > left.cutter.read_offset() {
            report_once("lines written to a file after the next one was begun", || {
                format!("{}: lines came into the file before it; they are out of order (see --rotate-wait)", self.place)
            });
            if !left.cutter.read(&mut left.content, block, |_, _| true).is_ok_and(|count| count > Some(0)) {
                break;
            }
            counted += left.cutter.cut(Tail::More, &stamp, &mut None, out)?;
        }
        if left.since.elapsed() > LEFT_FOR {
            counted += left.cutter.cut(Tail::End, &stamp, &mut None, out)?;
            left.cutter.give_back(block);
            self.left = None;
        } else {
            left.cutter.give_back(block);
        }
        Ok(counted)
    }

    /// The file at hand.
    pub fn at_hand(&self) -> Option<Identity> {
        (self.tree.is_some() && (self.content.is_some() || self.parked)).then_some(self.identity)
    }

    /// A file given by its name.
    pub fn is_named(&self) -> bool {
        self.named.is_some()
    }

    fn newest_path(&self) -> Option<PathBuf> {
        self.named.clone().or_else(|| self.listing().files.last().map(|file| file.path.clone()))
    }

    /// The file that has the name that was given, or the stream's newest.
    pub fn newest_file(&self) -> Option<Identity> {
        let metadata = fs::metadata(self.newest_path()?).ok()?;
        metadata.is_file().then(|| Identity::of(&metadata))
    }

    /// Whether that is the file that a position speaks of.
    pub fn has(&self, position: &Position) -> bool {
        self.newest_path().is_some_and(|path| Content::open_at(&path, position).is_ok_and(|found| found.is_some()))
    }

    /// Leaves the file at hand to another stream, which reads it.
    pub fn release(&mut self) {
        self.base += self.cutter.read_offset();
        self.cutter.restart(0, b"");
        (self.content, self.parked) = (None, false);
    }

    /// Leaves out what another stream has read of the file at hand.
    pub fn advance_to(&mut self, left: &Position) {
        if left.offset > self.cutter.read_offset() {
            self.resume_in(&self.path.clone(), left, self.base);
        }
    }

    /// Whether the name that was given is a link.
    pub fn is_linked(&self) -> bool {
        let link = self.named.as_ref().and_then(|path| fs::symlink_metadata(path).ok());
        link.is_some_and(|metadata| metadata.is_symlink())
    }

    /// The file that has the name now was read under another one: by another stream of this run (`known`), or of the last,
    /// up to a position.
    pub fn expect_elsewhere(&mut self, known: bool, position: Option<Position>) {
        (self.known_elsewhere, self.elsewhere) = (known, position);
    }

    /// Whether a file is one that rotation made, or makes, of the one that was given by its name.
    pub fn makes(&self, path: &Path) -> bool {
        let Some(named) = &self.named else { return false };
        let (Some(file), Some(name)) = (path.file_name(), named.file_name()) else { return false };
        path.parent() == named.parent() && rotated(file.as_bytes(), name.as_bytes()).is_some()
    }

    /// The directories in which its files may appear. Where links lead is remembered, for when they lead elsewhere.
    pub fn directories(&self) -> Vec<PathBuf> {
        self.listing();
        let Some(tree) = &self.tree else { return Vec::new() };
        tree.borrow().directories().map(Path::to_path_buf).collect()
    }

    /// The end of it all: nothing is kept open.
    pub fn end(&mut self) {
        self.ended = true;
        (self.content, self.left, self.parked) = (None, None, false);
    }

    /// How many files it has open.
    pub fn open_files(&self) -> usize {
        self.content.is_some() as usize + self.left.is_some() as usize
    }

    pub fn is_parked(&self) -> bool {
        self.parked
    }

    /// Closes what is open: the file at hand is opened again when there is more in it. `at_end`: only if there is
    /// nothing to read now.
    pub fn park(&mut self, at_end: bool) {
        let at = self.cutter.read_offset();
        let at_end = |content: &Content| !at_end || content.file().metadata().is_ok_and(|found| found.len() == at);
        if self.tree.is_some()
            && !self.damaged
            && self.content.as_ref().is_some_and(|content| !content.is_compressed() && at_end(content))
        {
            (self.content, self.parked) = (None, true);
        }
        self.left = None;
    }

    /// Opens the file at hand again, if anything has happened to it.
    fn unpark(&mut self) -> Option<Look> {
        let position = self.position();
        let same = fs::metadata(&self.path).ok().filter(|metadata| Identity::of(metadata) == self.identity);
        let is_newest = match &self.named {
            Some(path) => *path == self.path,
            None => self.listing().files.last().is_some_and(|file| file.identity == self.identity),
        };
        if let Some(metadata) = &same
            && is_newest
            && metadata.len() == position.offset
            && self.before == Before::Changed(modified(metadata))
        {
            return Some(Look::Stay(None));
        }
        let path = match same {
            Some(_) => Some(self.path.clone()),
            None => {
                self.listing().files.iter().find(|file| file.identity == self.identity).map(|file| file.path.clone())
            }
        };
        let opened = path.map(|path| Content::open_at(&path, &position).map(|found| (found, path)));
        match opened {
            Some(Ok((Some((content, _)), path))) => {
                (self.content, self.path) = (Some(content), path);
                self.parked = false;
                Some(Look::Stay(Some(Instant::now())))
            }
            Some(Ok((None, path))) => {
                self.content = Content::open(&path).ok();
                self.parked = self.content.is_none();
                Some(if self.parked { Look::Stay(None) } else { Look::Truncated })
            }
            Some(Err(_)) => Some(Look::Stay(None)),
            // What was read of it is all that can be had.
            None => {
                self.parked = false;
                None
            }
        }
    }

    /// Where reading would resume, for a person.
    pub fn whereabouts(&self) -> String {
        if self.content.is_some() {
            return format!("{} at byte {}", self.path.display(), self.cutter.read_offset());
        }
        let files = self.listing().files;
        match self.first_after(&files).and_then(|at| files.get(at)) {
            Some(file) => format!("{} at its beginning", file.path.display()),
            None => "no file yet".into(),
        }
    }

    /// The file can't be opened: a line for the user.
    pub fn explain(&self, path: &Path, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("{}: ends in the middle of compressed data", path.display()),
            _ => format!("{}: {}", path.display(), describe(error)),
        }
    }
}

/// Opens a file of a list where a position says; [`io::ErrorKind::NotFound`] when its name is another file's by now.
fn open_at(file: &Entry, position: &Position) -> io::Result<Option<(Content, Vec<u8>)>> {
    let opened = Content::open_at(&file.path, position)?;
    let metadata = match &opened {
        Some((content, _)) => content.file().metadata(),
        None => fs::metadata(&file.path),
    };
    if Identity::of(&metadata?) != file.identity {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(opened)
}

/// The last bytes that were read.
fn keep_tail(tail: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() >= TAIL {
        tail.clear();
        tail.extend_from_slice(&bytes[bytes.len() - TAIL..]);
        return;
    }
    let surplus = (tail.len() + bytes.len()).saturating_sub(TAIL);
    tail.drain(..surplus);
    tail.extend_from_slice(bytes);
}

/// Anchors before a block and in it, all over the file: each second one goes when there are many.
fn keep_anchors(anchors: &mut Vec<(u64, u64)>, before: (u64, u64), at: u64, bytes: &[u8]) {
    const EVERY: usize = 32 * 1024;
    if anchors.len() >= 64 {
        let mut odd = false;
        anchors.retain(|_| {
            odd = !odd;
            odd
        });
    }
    if !bytes.is_empty() {
        anchors.push(before);
    }
    for end in (EVERY..bytes.len()).step_by(EVERY) {
        anchors.push((at + end as u64, hash_tail(&bytes[end - TAIL..end])));
    }
}

/// Whether rotation made a file of another one that is there, too.
fn is_rotated(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let names = unrotated(name.as_bytes()).into_iter().filter(|of| *of != name.as_bytes());
    names.map(|of| path.with_file_name(OsStr::from_bytes(of))).any(|path| path.exists())
}

/// Whether the content is the trouble, not the way to it.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof)
        || error.raw_os_error().is_none()
}

fn readable(file: &File) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::new(file, PollFlags::IN)];
    !matches!(poll(&mut fds, Some(&now)), Ok(0))
}

/// The absolute path.
fn cursor_name(path: &Path) -> String {
    if path.as_os_str() == STDIN {
        return "stdin".into();
    }
    // The directory without its links, but not the name itself: a link that is moved on stays the same stream.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let absolute = match (absolute.parent().map(fs::canonicalize), absolute.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => absolute,
    };
    match absolute.to_str() {
        Some(name) => shortened(name.to_string()),
        None => hashed(absolute.as_os_str().as_encoded_bytes()),
    }
}

/// A name, or its hash where it would not fit into a cursor beside the position.
fn shortened(name: String) -> String {
    const LONGEST: usize = MAX_CURSOR_SIZE - 72;
    if name.len() <= LONGEST { name } else { hashed(name.as_bytes()) }
}

fn hashed(name: &[u8]) -> String {
    use sha1::{Digest, Sha1};
    Sha1::digest(name).iter().fold("sha1:".to_string(), |name, byte| format!("{name}{byte:02x}"))
}
