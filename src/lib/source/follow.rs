//! Reading files to their end, or following them by name: through rename, truncation, and absence.
//!
//! A [`Follower`] reads its streams block by block, cuts them into records and writes a frame for each.
//! Every frame carries a cursor, unless its content can't be read again (a pipe).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::content::Content;
use super::position::{HEAD, Position, fingerprint};
use super::splitter::{Cut, Records, Splitter, Tail};
use super::template::{Encoded, Template};
use super::watch::{Changed, Watch};
use crate::message::now_ns;
use crate::message::wire::put_varint;
use crate::pipeline::{
    Checkpoint, Failure, Output, Progress, Signals, Stats, describe, report, report_gap, report_once,
};
use crate::stream::{CursorRef, Deframer, MAX_CURSOR_SIZE, MAX_HEADER_SIZE, Step};

/// After a rename the writer may go on with the old file until it is told; only when that has been quiet for so
/// long does the new one's turn come.
const GRACE: Duration = Duration::from_secs(1);
/// How often a source's own checkpoint is written.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// How content becomes records.
#[derive(Clone)]
pub enum Cutting {
    Records {
        splitter: Splitter,
        max: usize,
        keep_truncated: bool,
    },
    /// Framed Heka messages, which go out as they are, with our cursor in their header.
    Frames {
        max_message: usize,
    },
}

/// Who writes the checkpoint.
pub enum Commit {
    /// Nothing is kept.
    None,
    /// The source itself, for what it has handed to the pipe.
    Source(Checkpoint),
    /// The sinks, each its own file; reading resumes at the oldest.
    Sinks(Vec<Checkpoint>),
}

impl Commit {
    /// Where a stream resumes: at the oldest mark; at the beginning if any file lacks one.
    fn resume(&self, stream: &str) -> Option<Position> {
        let checkpoints = match self {
            Commit::None => return None,
            Commit::Source(checkpoint) => std::slice::from_ref(checkpoint),
            Commit::Sinks(checkpoints) => checkpoints,
        };
        let marks: Option<Vec<_>> = checkpoints.iter().map(|checkpoint| checkpoint.mark(stream)).collect();
        let oldest = marks?.into_iter().min_by_key(|mark| mark.sequence)?;
        Position::decode(&oldest.position)
    }
}

/// What a follower does.
pub struct FollowOptions {
    pub cutting: Cutting,
    /// Go on at the end.
    pub follow: bool,
    /// Begin at the end of files that have no checkpoint.
    pub from_end: bool,
    pub template: Template,
    pub commit: Commit,
}

/// Reads and follows a set of files.
pub struct Follower {
    options: FollowOptions,
    streams: Vec<Stream>,
    /// Operands with wildcards, which may match more files later.
    globs: Vec<String>,
    watch: Watch,
    progress: Progress,
    committed_at: Instant,
    failed: bool,
    records: u64,
    bytes: u64,
    dropped: u64,
}

/// The name of standard input among the operands.
const STDIN: &str = "-";

impl Follower {
    /// Operands are paths, patterns (where no file has that very name), or `-`.
    pub fn new(operands: &[PathBuf], options: FollowOptions) -> Follower {
        let mut follower = Follower {
            options,
            streams: Vec::new(),
            globs: Vec::new(),
            watch: Watch::empty(),
            progress: Progress::new(None),
            committed_at: Instant::now(),
            failed: false,
            records: 0,
            bytes: 0,
            dropped: 0,
        };
        let mut total = 0;
        for operand in operands {
            let text = operand.to_string_lossy();
            if text.contains(['*', '?', '[']) && !operand.exists() {
                let before = follower.streams.len();
                follower.expand(&text, false);
                if follower.streams.len() == before {
                    follower.complain(&format!("{text}: no file matches"));
                }
                follower.globs.push(text.into_owned());
            } else {
                follower.add(operand, false);
            }
        }
        for stream in &follower.streams {
            total += fs::metadata(&stream.path).map_or(0, |metadata| metadata.len());
        }
        follower.progress = Progress::new((!follower.options.follow).then_some(total));
        follower
    }

    /// Whether something could not be read.
    pub fn failed(&self) -> bool {
        self.failed
    }

    pub fn stats(&self, out: &Output) -> Stats {
        let mut stats = Stats::default();
        stats.set("messages_out", self.records).set("bytes_in", self.bytes).set("bytes_out", out.bytes_written());
        stats.set("records_dropped", self.dropped);
        stats
    }

    /// Reads until the end, or, when following, until a stop is asked for.
    pub fn run(&mut self, out: &mut Output) -> Result<(), Failure> {
        let signals = Signals::get();
        loop {
            if signals.is_some_and(Signals::take_statistics_request) {
                self.stats(out).print();
            }
            if signals.is_some_and(Signals::stop_requested) {
                break;
            }
            let mut read = false;
            for place in 0..self.streams.len() {
                read |= self.advance(place, out)?;
                // Without following, operands come out one after the other.
                if read && !self.options.follow {
                    break;
                }
            }
            if read {
                if self.committed_at.elapsed() >= COMMIT_EVERY {
                    out.flush()?;
                    self.commit()?;
                }
                continue;
            }
            out.flush()?;
            if self.committed_at.elapsed() >= COMMIT_EVERY {
                self.commit()?;
            }
            if self.streams.iter().all(|stream| stream.ended) && !self.options.follow {
                break;
            }
            if !self.wait(out)? {
                break;
            }
        }
        out.flush()?;
        self.commit()
    }

    fn complain(&mut self, message: &str) {
        self.failed |= !self.options.follow;
        report(message);
    }

    fn expand(&mut self, pattern: &str, late: bool) {
        let Ok(paths) = glob::glob(pattern) else {
            if !late {
                self.complain(&format!("{pattern}: not a file, nor a pattern"));
            }
            return;
        };
        for path in paths.flatten().filter(|path| path.is_file()) {
            if !self.streams.iter().any(|stream| stream.path == path) {
                self.add(&path, late);
            }
        }
    }

    /// `late`: found while following, so all of it is new.
    fn add(&mut self, path: &Path, late: bool) {
        let mut stream = Stream::new(path, &self.options);
        let result = stream.start(self.options.from_end && !late, &self.options.commit);
        match result {
            Ok(()) => {}
            Err(error) if self.options.follow && error.kind() != io::ErrorKind::InvalidData => {
                report(&format!("{}: {}; waiting for it", path.display(), describe(&error)));
            }
            Err(error) => {
                self.complain(&format!("{}: {}", path.display(), describe(&error)));
                return;
            }
        }
        if self.options.follow && !stream.pollable {
            self.watch.add(path);
        }
        self.streams.push(stream);
    }

    /// One block of one stream; false when it has nothing right now.
    fn advance(&mut self, place: usize, out: &mut Output) -> Result<bool, Failure> {
        let stream = &mut self.streams[place];
        if stream.ended {
            return Ok(false);
        }
        let count = match stream.read() {
            Ok(Some(count)) => count,
            Ok(None) => return Ok(false),
            Err(error) => {
                // What could be read of a damaged file is kept; the rest of it can't be.
                let message = format!("{}: {}", stream.path.display(), describe(&error));
                let cut = stream.cut(Tail::End, out)?;
                stream.ended = true;
                self.count(cut);
                self.failed = true;
                report(&message);
                return Ok(true);
            }
        };
        self.bytes += count as u64;
        self.progress.advance(count as u64);
        let stream = &mut self.streams[place];
        if count > 0 {
            stream.quiet_since = None;
            let cut = stream.cut(Tail::More, out)?;
            self.count(cut);
            return Ok(true);
        }
        // The end, of what there is or of all there will be.
        let finished = !self.options.follow || stream.pollable;
        let cut = stream.cut(if finished { Tail::End } else { Tail::Idle }, out)?;
        stream.ended = finished;
        let mut read = cut.0 > 0;
        if !finished {
            read |= self.look_for_another(place, out)?;
        } else if stream.change() == Change::Replaced {
            // The rest of a file that was renamed since the last run; now the one that has its name.
            let next = stream.next_file();
            stream.ended = !stream.reopen(&next);
            read = true;
        }
        self.count(cut);
        Ok(read)
    }

    fn count(&mut self, (records, dropped): (u64, u64)) {
        self.records += records;
        self.dropped += dropped;
    }

    /// At the end of a followed file: has its name been given to another, or has it been truncated?
    fn look_for_another(&mut self, place: usize, out: &mut Output) -> Result<bool, Failure> {
        let stream = &mut self.streams[place];
        let change = stream.change();
        match change {
            Change::None => {
                stream.quiet_since = None;
                stream.release();
                Ok(false)
            }
            Change::Truncated => {
                report_once("truncated files", || {
                    format!("{}: file truncated; reading it from its beginning", stream.path.display())
                });
                let cut = stream.cut(Tail::End, out)?;
                let path = stream.path.clone();
                let reopened = stream.reopen(&path);
                self.count(cut);
                Ok(reopened)
            }
            Change::Replaced => {
                let since = *stream.quiet_since.get_or_insert_with(Instant::now);
                // A file that is gone for good (or was never there) has nobody who still writes to it.
                if stream.content.is_some() && since.elapsed() < GRACE {
                    return Ok(false);
                }
                let cut = stream.cut(Tail::End, out)?;
                let next = stream.next_file();
                let reopened = stream.reopen(&next);
                if reopened {
                    let path = stream.path.clone();
                    self.watch.add(&path);
                }
                self.count(cut);
                Ok(reopened)
            }
        }
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.committed_at = Instant::now();
        if let Commit::Source(checkpoint) = &mut self.options.commit {
            for stream in &self.streams {
                if let Some(sent) = stream.sent {
                    let mut position = Vec::new();
                    checkpoint.advance(&cursor_at(sent, &stream.name, stream.base, &stream.rest, &mut position));
                }
            }
            checkpoint.save()?;
        }
        Ok(())
    }

    /// False when a stop was asked for.
    fn wait(&mut self, out: &Output) -> Result<bool, Failure> {
        let extra: Vec<BorrowedFd<'_>> = self
            .streams
            .iter()
            .filter(|stream| stream.pollable && !stream.ended)
            .filter_map(|stream| stream.content.as_ref())
            .map(|content| content.file().as_fd())
            .collect();
        let soonest = self.streams.iter().filter_map(|stream| stream.quiet_since).min().map(|since| since + GRACE);
        let changed = self.watch.wait_also(&extra, out.fd(), soonest)?;
        for pattern in self.globs.clone() {
            self.expand(&pattern, true);
        }
        Ok(changed != Changed::Stop)
    }
}

enum Cutter {
    Records(Box<Records>),
    Frames { deframer: Box<Deframer>, offset: u64 },
}

#[derive(PartialEq, Eq)]
enum Change {
    None,
    Truncated,
    /// The name belongs to another file, which has something in it.
    Replaced,
}

/// One file, or one series of files that had the same name one after the other.
struct Stream {
    path: PathBuf,
    /// In cursors.
    name: String,
    content: Option<Content>,
    device: u64,
    inode: u64,
    /// Bytes of the stream in earlier files.
    base: u64,
    /// What the content begins with.
    head: Vec<u8>,
    cutter: Cutter,
    template: Encoded,
    /// Standard input or a FIFO: waited for, not looked at; can't be read again.
    pollable: bool,
    ended: bool,
    quiet_since: Option<Instant>,
    /// Offset after the last record that went out.
    sent: Option<u64>,
    /// An encoded position without its offset.
    rest: Vec<u8>,
}

impl Stream {
    fn new(path: &Path, options: &FollowOptions) -> Stream {
        let stdin = path.as_os_str() == STDIN;
        let mut template = options.template.clone();
        if template.logger.is_empty() {
            template.logger = if stdin { b"stdin".to_vec() } else { path.to_string_lossy().into_owned().into_bytes() };
        }
        let cutter = match &options.cutting {
            Cutting::Records { splitter, max, keep_truncated } => {
                Cutter::Records(Box::new(Records::new(splitter.clone(), *max, *keep_truncated)))
            }
            Cutting::Frames { max_message } => {
                Cutter::Frames { deframer: Box::new(Deframer::new(*max_message)), offset: 0 }
            }
        };
        Stream {
            path: path.to_path_buf(),
            name: stream_name(path),
            content: None,
            device: 0,
            inode: 0,
            base: 0,
            head: Vec::new(),
            cutter,
            template: template.encode(),
            pollable: stdin,
            ended: false,
            quiet_since: None,
            sent: None,
            rest: Vec::new(),
        }
    }

    /// Opens the file where reading begins: at its checkpoint, its end, or its beginning.
    fn start(&mut self, from_end: bool, commit: &Commit) -> io::Result<()> {
        if self.pollable {
            let stdin = io::stdin().as_fd().try_clone_to_owned()?;
            self.content = Some(Content::Plain(File::from(stdin)));
            return Ok(());
        }
        match commit.resume(&self.name) {
            Some(position) => self.resume(position),
            None => {
                self.adopt(Content::open(&self.path)?, 0)?;
                if from_end && !self.pollable {
                    let end =
                        self.content.as_ref().map_or(0, |content| content.file().metadata().map_or(0, |m| m.len()));
                    self.seek(end)?;
                }
                Ok(())
            }
        }
    }

    /// Makes `content` the stream's, at its beginning.
    fn adopt(&mut self, content: Content, base: u64) -> io::Result<()> {
        let metadata = content.file().metadata()?;
        self.pollable = !metadata.is_file();
        (self.device, self.inode) = (metadata.dev(), metadata.ino());
        self.base = base;
        self.head.clear();
        self.content = Some(content);
        self.restart(0);
        self.sent = None;
        self.quiet_since = None;
        Ok(())
    }

    fn restart(&mut self, at: u64) {
        match &mut self.cutter {
            Cutter::Records(records) => records.restart(at),
            Cutter::Frames { deframer, offset } => {
                deframer.restart();
                *offset = at;
            }
        }
        self.encode_rest();
    }

    /// Goes on at an offset; the beginning of the content is read for its fingerprint.
    fn seek(&mut self, offset: u64) -> io::Result<bool> {
        let Some(content) = &mut self.content else { return Ok(false) };
        let mut head = vec![0; HEAD.min(offset as usize)];
        if content.is_compressed() {
            // One pass: the head is part of what is skipped.
            if content.read_exact(&mut head).is_err() || !content.skip_to(offset - head.len() as u64)? {
                return Ok(false);
            }
        } else {
            if !content.skip_to(offset)? {
                return Ok(false);
            }
            content.file().read_exact_at(&mut head, 0)?;
        }
        self.head = head;
        self.restart(offset);
        self.sent = Some(offset);
        Ok(true)
    }

    /// Finds the file of a position: under its name, or renamed beside it.
    fn resume(&mut self, position: Position) -> io::Result<()> {
        let mut candidates = vec![self.path.clone()];
        candidates.extend(siblings(&self.path));
        // By inode and beginning first; a copy (restored, copied before truncation) by beginning alone.
        for same_inode in [true, false] {
            for candidate in &candidates {
                let Ok(content) = Content::open(candidate) else { continue };
                let inode = content.file().metadata()?.ino();
                if (inode == position.inode) != same_inode || !content.file().metadata()?.is_file() {
                    continue;
                }
                // What identifies the file may reach further than what is done of it.
                let mut head = vec![0; position.head as usize];
                let read = Content::open(candidate).and_then(|mut content| content.read_exact(&mut head));
                if read.is_err() || !position.fits(&head) {
                    continue;
                }
                self.adopt(content, position.base)?;
                if self.seek(position.offset).unwrap_or(false) {
                    return Ok(());
                }
            }
        }
        report(&format!(
            "{}: the file of its checkpoint is gone or was overwritten; reading this one from its beginning",
            self.path.display()
        ));
        self.content = None;
        self.adopt(Content::open(&self.path)?, position.base + position.offset)
    }

    fn encode_rest(&mut self) {
        let position = Position {
            offset: 0,
            inode: self.inode,
            head: self.head.len() as u64,
            fingerprint: fingerprint(&self.head),
            base: self.base,
        };
        self.rest.clear();
        position.encode_rest(&mut self.rest);
    }

    /// Reads a block; `None` when it would block, or when there is no file.
    fn read(&mut self) -> io::Result<Option<usize>> {
        let Some(content) = &mut self.content else { return Ok(Some(0)) };
        if self.pollable && !readable(content.file()) {
            return Ok(None);
        }
        // Room in the head: only while the file's first bytes are read, which is decided by where reading stands.
        let missing = if self.pollable { 0 } else { HEAD - self.head.len() };
        let (count, grown) = match &mut self.cutter {
            Cutter::Records(records) => {
                let wanted = missing > 0 && records.read_offset() == self.head.len() as u64;
                let bytes = records.fill(content)?;
                let grown = if wanted { &bytes[..bytes.len().min(missing)] } else { &[] };
                self.head.extend_from_slice(grown);
                (bytes.len(), !grown.is_empty())
            }
            Cutter::Frames { deframer, offset } => {
                let space = deframer.space();
                let count = content.read(space)?;
                let wanted = missing > 0 && *offset == self.head.len() as u64;
                let grown = if wanted { &space[..count.min(missing)] } else { &[] };
                self.head.extend_from_slice(grown);
                let grown = !grown.is_empty();
                *offset += count as u64;
                deframer.filled(count);
                (count, grown)
            }
        };
        if grown {
            self.encode_rest();
        }
        Ok(Some(count))
    }

    /// Writes a frame for each record of the block; (records, dropped ones).
    fn cut(&mut self, tail: Tail, out: &mut Output) -> Result<(u64, u64), Failure> {
        let (mut count, mut dropped) = (0, 0);
        let timestamp = now_ns();
        let mut position = Vec::with_capacity(48);
        match &mut self.cutter {
            Cutter::Records(records) => loop {
                match records.next(tail) {
                    Cut::Record { payload, end } => {
                        if self.pollable {
                            self.template.put_frame(out.buf(), timestamp, payload, None);
                        } else {
                            let cursor = cursor_at(end, &self.name, self.base, &self.rest, &mut position);
                            self.template.put_frame(out.buf(), timestamp, payload, Some(&cursor));
                        }
                        out.filled()?;
                        self.sent = Some(end);
                        count += 1;
                    }
                    Cut::Dropped { bytes, end } => {
                        let path = &self.path;
                        report_once("records over --max-record", || {
                            format!("{}: a record of {bytes} bytes, over --max-record, was dropped", path.display())
                        });
                        self.sent = Some(end);
                        dropped += 1;
                    }
                    Cut::Incomplete => return Ok((count, dropped)),
                }
            },
            Cutter::Frames { deframer, .. } => {
                if tail == Tail::End {
                    deframer.finish();
                }
                loop {
                    match deframer.step() {
                        Step::Frame(frame) => {
                            let end = frame_end(frame.raw().len(), &mut self.sent);
                            let cursor = cursor_at(end, &self.name, self.base, &self.rest, &mut position);
                            let cursor = (!self.pollable).then_some(cursor);
                            put_passed_frame(out.buf(), frame.header_bytes(), frame.message(), cursor);
                            out.filled()?;
                            count += 1;
                        }
                        Step::Gap(gap) => {
                            frame_end(gap.bytes as usize, &mut self.sent);
                            report_gap(&self.path.display().to_string(), &gap);
                        }
                        Step::Incomplete => return Ok((count, dropped)),
                    }
                }
            }
        }
    }

    fn release(&mut self) {
        if let Cutter::Records(records) = &mut self.cutter {
            records.release();
        }
    }

    fn read_offset(&self) -> u64 {
        match &self.cutter {
            Cutter::Records(records) => records.read_offset(),
            Cutter::Frames { offset, .. } => *offset,
        }
    }

    /// What has become of the file's name.
    fn change(&self) -> Change {
        if self.pollable {
            return Change::None;
        }
        let Ok(there) = fs::metadata(&self.path) else { return Change::None };
        let Some(content) = &self.content else { return Change::Replaced };
        if (there.dev(), there.ino()) != (self.device, self.inode) {
            // An empty new file can wait: the writer may still have the old one open.
            return if there.len() > 0 { Change::Replaced } else { Change::None };
        }
        if content.is_compressed() {
            return Change::None;
        }
        let mut head = vec![0; self.head.len()];
        let same = content.file().read_exact_at(&mut head, 0).is_ok() && head == self.head;
        if there.len() < self.read_offset() || !same { Change::Truncated } else { Change::None }
    }

    /// The file after the one at hand: the one that has the name now, unless it was rotated several times since.
    /// Then the oldest of those that are newer than ours comes first.
    fn next_file(&self) -> PathBuf {
        let modified = |metadata: &fs::Metadata| (metadata.mtime(), metadata.mtime_nsec());
        let ours = self.content.as_ref().and_then(|content| content.file().metadata().ok());
        let Some(ours) = ours else { return self.path.clone() };
        let name = self.path.file_name().unwrap_or_default().as_encoded_bytes();
        siblings(&self.path)
            .into_iter()
            .filter(|file| is_rotated(file.file_name().unwrap_or_default().as_encoded_bytes(), name))
            .filter_map(|file| Some((fs::metadata(&file).ok()?, file)))
            .filter(|(metadata, _)| metadata.ino() != ours.ino() && modified(metadata) > modified(&ours))
            .min_by_key(|(metadata, _)| modified(metadata))
            .map_or_else(|| self.path.clone(), |(_, file)| file)
    }

    /// Begins another file; false when it can't be opened (yet).
    fn reopen(&mut self, file: &Path) -> bool {
        let base = self.base + self.read_offset();
        let opened = Content::open(file).and_then(|content| self.adopt(content, base));
        match opened {
            Ok(()) => true,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    let path = &self.path;
                    report_once("files that can't be opened", || {
                        format!("{}: {}; waiting for it", path.display(), describe(&error))
                    });
                }
                false
            }
        }
    }
}

/// The cursor of a record that ends at an offset of the file at hand.
#[inline]
fn cursor_at<'a>(end: u64, stream: &'a str, base: u64, rest: &[u8], position: &'a mut Vec<u8>) -> CursorRef<'a> {
    position.clear();
    put_varint(position, end);
    position.extend_from_slice(rest);
    CursorRef { stream: stream.as_bytes(), sequence: base + end, position }
}

/// Frames follow each other without a gap of their own: the end of one is the end of the last plus its length.
fn frame_end(len: usize, sent: &mut Option<u64>) -> u64 {
    let end = sent.unwrap_or(0) + len as u64;
    *sent = Some(end);
    end
}

/// A frame with its header kept (signatures stay valid) and our cursor after it, where there is room.
fn put_passed_frame(buf: &mut Vec<u8>, header: &[u8], message: &[u8], cursor: Option<CursorRef<'_>>) {
    let at = buf.len();
    buf.extend_from_slice(&[0x1e, 0]);
    buf.extend_from_slice(header);
    if let Some(cursor) = cursor.filter(|cursor| header.len() + cursor.encoded_len() + 3 <= MAX_HEADER_SIZE) {
        buf.push(0x7a);
        put_varint(buf, cursor.encoded_len() as u64);
        cursor.encode(buf);
    }
    buf[at + 1] = (buf.len() - at - 2) as u8;
    buf.push(0x1f);
    buf.extend_from_slice(message);
}

fn readable(file: &File) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut fds = [PollFd::new(file, PollFlags::IN)];
    !matches!(poll(&mut fds, Some(&now)), Ok(0))
}

/// Files of the same directory whose names begin with this one's: where rotation puts old content.
fn siblings(path: &Path) -> Vec<PathBuf> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name() else { return Vec::new() };
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut siblings: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let other = entry.file_name();
            other != name && other.as_encoded_bytes().starts_with(name.as_encoded_bytes())
        })
        .map(|entry| entry.path())
        .collect();
    siblings.sort();
    siblings
}

/// Whether a name is what rotation makes of another: `.1`, `.2.gz`, `-20140210`, `-20140210.gz` behind it.
fn is_rotated(file: &[u8], name: &[u8]) -> bool {
    let Some(suffix) = file.strip_prefix(name) else { return false };
    let suffix = suffix.strip_suffix(b".gz").unwrap_or(suffix);
    let digits = suffix.strip_prefix(b".").or(suffix.strip_prefix(b"-")).unwrap_or_default();
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// The absolute path, or its hash where that would not fit into a cursor beside the position.
fn stream_name(path: &Path) -> String {
    const LONGEST: usize = MAX_CURSOR_SIZE - 64;
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
        Some(name) if name.len() <= LONGEST => name.to_string(),
        _ => {
            use sha1::{Digest, Sha1};
            let digest = Sha1::digest(absolute.as_os_str().as_encoded_bytes());
            digest.iter().fold("sha1:".to_string(), |name, byte| format!("{name}{byte:02x}"))
        }
    }
}
