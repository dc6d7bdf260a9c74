//! Reading log streams to their ends, or following them.
//!
//! A [`Follower`] reads its streams block by block and writes a frame for each record. Every frame carries a cursor,
//! unless its content can't be read again (a pipe).

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::content::Identity;
use super::cutter::Counted;
use super::journal::Journal;
use super::position::Position;
use super::selection::unrotated;
use super::series::{Look, Moving, Read, SOON, STDIN, Series, Shape, Truncated};
use super::splitter::Tail;
use super::tree::{Entry, Tree};
use crate::message::now_ns;
use crate::pipeline::{
    COMMIT_EVERY, Checkpoint, Failure, Output, Progress, Signals, Stats, describe, raise_file_limit, report,
    report_once,
};
use crate::source::watch::{Changed, LOOK, Watch};

/// How often events are asked for while there is always something to read.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

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
    ///
    /// # Errors
    /// When that mark's position is none of ours: to begin anew in silence would repeat the whole stream at each run.
    fn resume(&self, stream: &str) -> Result<Option<Position>, Failure> {
        let checkpoints = match self {
            Commit::None => return Ok(None),
            Commit::Source(checkpoint) => std::slice::from_ref(checkpoint),
            Commit::Sinks(checkpoints) => checkpoints,
        };
        let marks: Option<Vec<_>> =
            checkpoints.iter().map(|checkpoint| Some((checkpoint, checkpoint.mark(stream)?))).collect();
        let oldest = marks.and_then(|marks| marks.into_iter().min_by_key(|(_, mark)| mark.sequence));
        let Some((checkpoint, mark)) = oldest else { return Ok(None) };
        Position::decode(&mark.position).map(Some).ok_or_else(|| {
            Failure::failed(format!(
                "{}: where {stream} resumes can't be read: the file is damaged, or a later version wrote it; take the \
                 stream out of it to read that one from its beginning",
                checkpoint.path().display()
            ))
        })
    }
}

impl Commit {
    /// Where the streams left files, by the files' inodes.
    fn by_inode(&self) -> HashMap<u64, Vec<(String, Position)>> {
        let first = match self {
            Commit::None => None,
            Commit::Source(checkpoint) => Some(checkpoint),
            Commit::Sinks(checkpoints) => checkpoints.first(),
        };
        let mut positions: HashMap<u64, Vec<_>> = HashMap::new();
        for stream in first.into_iter().flat_map(Checkpoint::streams) {
            // A sink's file may have streams of other sources.
            if let Ok(Some(position)) = self.resume(stream) {
                positions.entry(position.inode).or_default().push((stream.to_string(), position));
            }
        }
        positions
    }
}

/// What is read.
pub enum Origin {
    /// Paths, patterns (where no file has that very name), or `-`.
    Files(Vec<PathBuf>),
    /// The log streams of a directory tree.
    Tree(Box<Tree>),
}

/// Something to read, and how.
pub struct Input {
    pub shape: Shape,
    pub origin: Origin,
}

/// What a follower does.
pub struct FollowOptions {
    /// Go on at the end.
    pub follow: bool,
    pub commit: Commit,
    /// Where Heka kept its journals.
    pub journal: Option<PathBuf>,
}

/// A tree, and which of its streams are known.
struct Grove {
    tree: Rc<RefCell<Tree>>,
    shape: Rc<Shape>,
    known: HashSet<String>,
}

/// Reads and follows streams.
pub struct Follower {
    options: FollowOptions,
    series: Vec<Series>,
    trees: Vec<Grove>,
    /// Operands with wildcards, which may match more files later.
    globs: Vec<(String, Rc<Shape>)>,
    /// Operands, and what patterns have matched.
    paths: HashSet<PathBuf>,
    /// Where reading left files, by the numbers of groups: one file may have several names.
    left: HashMap<(usize, Identity), Position>,
    /// Where the streams of the last run left files, by the files' inodes.
    marks: HashMap<u64, Vec<(String, Position)>>,
    /// Files that may be opened before it must be seen whether others are to be closed.
    room: usize,
    watch: Watch,
    progress: Progress,
    /// What all streams read into.
    block: Vec<u8>,
    /// Without following: the first stream that is not at its end.
    first: usize,
    committed_at: Instant,
    listened_at: Instant,
    looked_at: Instant,
    failed: bool,
    counted: Counted,
    bytes: u64,
}

impl Follower {
    /// # Errors
    /// When the files of a tree can't be placed in streams, or a journal can't be read.
    pub fn new(inputs: Vec<Input>, options: FollowOptions) -> Result<Follower, Failure> {
        let now = Instant::now();
        let mut follower = Follower {
            options,
            series: Vec::new(),
            trees: Vec::new(),
            globs: Vec::new(),
            paths: HashSet::new(),
            left: HashMap::new(),
            marks: HashMap::new(),
            room: 0,
            watch: Watch::empty(),
            progress: Progress::new(None),
            block: Vec::new(),
            first: 0,
            committed_at: now,
            listened_at: now,
            looked_at: now,
            failed: false,
            counted: Counted::default(),
            bytes: 0,
        };
        follower.marks = follower.options.commit.by_inode();
        for input in inputs {
            let shape = Rc::new(input.shape);
            match input.origin {
                Origin::Files(files) => follower.add_files(&files, &shape),
                Origin::Tree(tree) => follower.add_tree(*tree, &shape)?,
            }
        }
        if !follower.options.follow {
            follower.progress = Progress::new(Some(follower.total()));
        }
        Ok(follower)
    }

    fn add_files(&mut self, files: &[PathBuf], shape: &Rc<Shape>) {
        let mut names = Vec::new();
        for file in files {
            let text = file.to_string_lossy();
            if text.contains(['*', '?', '[']) && !file.exists() {
                let matched = self.expand(&text);
                if matched.is_empty() {
                    self.complain(&format!("{text}: no file matches"));
                }
                names.extend(matched);
                self.globs.push((text.into_owned(), shape.clone()));
            } else {
                names.push(file.clone());
            }
        }
        let mut series: Vec<Series> = Vec::with_capacity(names.len());
        let mut known = HashSet::new();
        for path in names {
            let new = Series::named(&path, shape);
            match known.insert(new.cursor_name().to_string()) {
                true => series.push(new),
                false => report(&format!("{}: named twice; it is read once", path.display())),
            }
            self.paths.insert(path);
        }
        self.series.extend(join_rotated(series));
    }

    fn add_tree(&mut self, mut tree: Tree, shape: &Rc<Shape>) -> Result<(), Failure> {
        if let Err(error) = fs::read_dir(tree.root()) {
            self.complain(&format!("{}: {}", tree.root().display(), describe(&error)));
            if !self.options.follow {
                return Ok(());
            }
        }
        tree.refresh().map_err(|messages| Failure::usage(messages.join("; ")))?;
        if tree.left_out() > 0 {
            let root = tree.root().display();
            report(&format!("{root}: {} files are left out for their age (see --oldest)", tree.left_out()));
        }
        let tree = Rc::new(RefCell::new(tree));
        self.trees.push(Grove { tree, shape: shape.clone(), known: HashSet::new() });
        self.discover();
        Ok(())
    }

    /// Takes up streams that have appeared.
    fn discover(&mut self) {
        for (number, Grove { tree, shape, known }) in self.trees.iter_mut().enumerate() {
            if let Err(messages) = tree.borrow_mut().refresh() {
                for message in messages {
                    report_once("files that are left out", || message);
                }
            }
            let now = tree.borrow();
            for (name, _) in now.streams() {
                if !known.contains(name) {
                    known.insert(name.to_string());
                    self.series.push(Series::of_tree(tree, name, number + 1, shape));
                }
            }
            if self.options.follow {
                self.watch.add_directories(now.directories());
            }
        }
    }

    /// What a pattern matches and is not known yet.
    fn expand(&mut self, pattern: &str) -> Vec<PathBuf> {
        let Ok(paths) = glob::glob(pattern) else {
            if !self.globs.iter().any(|(known, _)| known == pattern) {
                self.complain(&format!("{pattern}: not a file, nor a pattern"));
            }
            return Vec::new();
        };
        let is_new =
            |path: &PathBuf| !self.paths.contains(path) && fs::metadata(path).is_ok_and(|found| found.is_file());
        paths.flatten().filter(is_new).collect()
    }

    /// Takes up files that patterns match by now. What rotation makes of a file belongs to that one's stream.
    fn expand_all(&mut self) {
        for (pattern, shape) in self.globs.clone() {
            for path in self.expand(&pattern) {
                if !self.series.iter().any(|series| series.makes(&path)) {
                    self.series.push(Series::named(&path, &shape));
                }
                self.paths.insert(path);
            }
        }
    }

    fn total(&self) -> u64 {
        let len = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let paths = self.series.iter().flat_map(|series| series.rotated.iter().chain([&series.path]));
        let files: u64 = paths.map(|path| len(path)).sum();
        let trees = self.trees.iter().map(|grove| {
            let tree = grove.tree.borrow();
            let lens = tree.streams().flat_map(|(_, listing)| listing.files.iter()).map(|file| file.len);
            lens.sum::<u64>()
        });
        files + trees.sum::<u64>()
    }

    /// Whether something could not be read.
    pub fn failed(&self) -> bool {
        self.failed
    }

    pub fn stats(&self, out: &Output) -> Stats {
        let mut stats = Stats::default();
        stats.set("messages_out", self.counted.records).set("bytes_in", self.bytes);
        stats.set("bytes_out", out.bytes_written()).set("records_dropped", self.counted.dropped);
        stats.set("streams", self.series.len() as u64);
        stats
    }

    /// The streams, their files, and where reading would resume; nothing is read. Answers how many streams there are.
    pub fn list(&mut self) -> Result<(String, usize), Failure> {
        use std::fmt::Write as _;
        let mut text = String::new();
        for place in 0..self.series.len() {
            self.start(place, false)?;
            let series = &mut self.series[place];
            // Files that are being renamed just now.
            for _ in 0..100 {
                if !series.is_resolved() {
                    series.look();
                    std::thread::sleep(SOON);
                }
            }
            let listing = series.listing();
            let _ = writeln!(text, "Logstream name: [{}]", series.logger());
            let _ = writeln!(text, "Resume: {}", series.whereabouts());
            let _ = writeln!(text, "Files: {} (printing oldest to newest)", listing.files.len());
            for file in listing.files.iter() {
                let _ = writeln!(text, "\t{}", file.path.display());
            }
            let _ = writeln!(text);
            series.end();
        }
        Ok((text, self.series.len()))
    }

    /// Reads until the end, or, when following, until a stop is asked for.
    pub fn run(&mut self, out: &mut Output) -> Result<(), Failure> {
        raise_file_limit();
        let signals = Signals::get();
        let mut late = false;
        loop {
            if signals.is_some_and(Signals::take_statistics_request) {
                self.stats(out).print();
            }
            if signals.is_some_and(Signals::stop_requested) {
                break;
            }
            let read = match self.options.follow {
                true => self.advance_all(late, out)?,
                false => self.advance_first(out)?,
            };
            late = true;
            if self.committed_at.elapsed() >= COMMIT_EVERY {
                out.flush()?;
                self.commit()?;
            }
            if read {
                if self.options.follow && self.listened_at.elapsed() >= LISTEN_EVERY {
                    self.wait(out, Some(Instant::now()))?;
                }
                continue;
            }
            out.flush()?;
            if self.first == self.series.len() && !self.options.follow {
                break;
            }
            if !self.wait(out, None)? {
                break;
            }
        }
        out.flush()?;
        self.commit()
    }

    fn advance_all(&mut self, late: bool, out: &mut Output) -> Result<bool, Failure> {
        let mut read = false;
        let now = Instant::now();
        for place in 0..self.series.len() {
            if !self.series[place].started {
                self.start(place, late)?;
            }
            self.series[place].wake(now);
            if self.series[place].hot && !self.series[place].ended {
                let more = self.advance(place, out)?;
                self.series[place].hot = more;
                read |= more;
            }
        }
        Ok(read)
    }

    /// Without following, streams come out one after the other.
    fn advance_first(&mut self, out: &mut Output) -> Result<bool, Failure> {
        while let Some(series) = self.series.get(self.first) {
            if !series.started {
                self.start(self.first, false)?;
            }
            if !self.series[self.first].ended {
                return self.advance(self.first, out);
            }
            self.note_left(self.first);
            self.series[self.first].end();
            self.first += 1;
        }
        Ok(false)
    }

    fn complain(&mut self, message: &str) {
        self.failed |= !self.options.follow;
        report(message);
    }

    /// Another stream that reads a file just now.
    fn reader(&self, place: usize, identity: Identity) -> Option<&Series> {
        let group = self.series[place].group;
        let others = self.series.iter().enumerate().filter(|(other, series)| *other != place && series.group == group);
        others.map(|(_, series)| series).find(|series| series.at_hand() == Some(identity))
    }

    /// Where another stream of the last run left the file that has the name now.
    fn marked_elsewhere(&self, series: &Series, newest: Identity) -> Option<Position> {
        let others = self.marks.get(&newest.inode)?.iter().filter(|(stream, _)| stream != series.cursor_name());
        let same_group = |stream: &str| {
            let is_of_group = |other: &Series| other.group == series.group && other.cursor_name() == stream;
            series.is_named() && !stream.contains('#') || self.series.iter().any(is_of_group)
        };
        others
            .filter(|(stream, position)| same_group(stream) && series.has(position))
            .map(|(_, position)| *position)
            .max_by_key(|position| position.offset)
    }

    /// A stream that resumes in a file that another one reads, or has read, leaves it to that one.
    fn read_once(&mut self, place: usize) {
        let Some(identity) = self.series[place].at_hand() else { return };
        if self.reader(place, identity).is_some() {
            self.series[place].release();
        } else if let Some(left) = self.left.get(&(self.series[place].group, identity)) {
            self.series[place].advance_to(left);
        }
    }

    /// Remembers where reading leaves the file at hand.
    fn note_left(&mut self, place: usize) {
        const MOST: usize = 65_536;
        let series = &self.series[place];
        if let Some(identity) = series.at_hand() {
            if self.left.len() >= MOST {
                let day_ago = now_ns().saturating_sub(86_400_000_000_000);
                self.left.retain(|_, position| position.modified >= day_ago as u64);
            }
            self.left.insert((series.group, identity), series.position());
        }
    }

    /// Closes idle files when many are open, and keeps some descriptors for directories, the checkpoint, and the like.
    fn make_room(&mut self) {
        const RESERVE: usize = 64;
        if self.room > 0 {
            self.room -= 1;
            return;
        }
        let most = raise_file_limit().saturating_sub(RESERVE).max(1);
        let mut open: usize = self.series.iter().map(Series::open_files).sum();
        if open >= most {
            let mut idle: Vec<usize> = (0..self.series.len()).filter(|&at| self.series[at].open_files() > 0).collect();
            idle.sort_by_key(|&at| self.series[at].read_at);
            // Those that are read to their ends first: of others, what is renamed out of sight would be lost.
            for (at_end, at) in [true, false].into_iter().flat_map(|at_end| idle.iter().map(move |at| (at_end, *at))) {
                if open <= most / 2 {
                    break;
                }
                open -= self.series[at].open_files();
                self.series[at].park(at_end);
                open += self.series[at].open_files();
            }
        }
        self.room = most.saturating_sub(open);
    }

    fn start(&mut self, place: usize, late: bool) -> Result<(), Failure> {
        self.make_room();
        self.series[place].started = true;
        let series = &self.series[place];
        let mut position = self.options.commit.resume(series.cursor_name())?;
        if let Some(newest) = series.newest_file() {
            let named = series.is_named();
            let reader = self.reader(place, newest).map(Series::label);
            let known = reader.is_some() || self.left.contains_key(&(series.group, newest));
            let elsewhere = self.marked_elsewhere(series, newest).filter(|_| !known);
            let series = &mut self.series[place];
            if let Some(reader) = reader.filter(|_| position.is_none() && named) {
                report(&format!("{}: the same file as {reader}; it is read once", series.label()));
            }
            if known && position.is_none() && named {
                self.watch(place);
                return Ok(());
            }
            series.expect_elsewhere(known, elsewhere);
            position = position.or(elsewhere.filter(|_| named).map(|position| Position { base: 0, ..position }));
        }
        let series = &mut self.series[place];
        let journal = match &self.options.journal {
            Some(path) if position.is_none() => Journal::load(path, series.logger()).map_err(Failure::failed)?,
            _ => None,
        };
        let result = series.start(position, journal.as_ref(), late);
        self.read_once(place);
        let series = &mut self.series[place];
        if let Err(error) = result {
            let path = series.path.clone();
            series.say_once(&path);
            let message = format!("{}: {}", series.label(), describe(&error));
            if error.kind() == io::ErrorKind::Unsupported {
                return Err(Failure::usage(message));
            }
            if self.options.follow && error.kind() != io::ErrorKind::InvalidData {
                report(&format!("{message}; waiting for it"));
            } else {
                series.end();
                self.complain(&message);
                return Ok(());
            }
        }
        self.watch(place);
        Ok(())
    }

    fn watch(&mut self, place: usize) {
        let series = &self.series[place];
        if self.options.follow && !series.is_pollable() && !series.path.as_os_str().is_empty() {
            self.watch.add(&series.path, place);
            if series.is_linked() {
                self.watch.add_directories(series.directories().iter().map(PathBuf::as_path));
            }
        }
    }

    /// One block of one stream; false when it has nothing right now.
    fn advance(&mut self, place: usize, out: &mut Output) -> Result<bool, Failure> {
        let series = &mut self.series[place];
        let before = self.progress.is_shown().then(|| series.bytes_read());
        let read = series.read(&mut self.block);
        if let Some(before) = before {
            self.progress.advance(series.bytes_read().saturating_sub(before));
        }
        let more = match read {
            Ok(Read::Blocked) => Ok(false),
            Ok(Read::Bytes(count)) if count > 0 => {
                self.bytes += count as u64;
                let counted = series.cut(Tail::More, out)?;
                self.counted += counted;
                Ok(true)
            }
            Ok(Read::Bytes(_)) => self.at_end(place, out),
            Ok(Read::Truncated) => self.truncated(place, out),
            Err(error) => self.unreadable(place, &error, out),
        };
        self.series[place].give_back(&mut self.block);
        more
    }

    /// A block could not be read.
    fn unreadable(&mut self, place: usize, error: &io::Error, out: &mut Output) -> Result<bool, Failure> {
        let series = &mut self.series[place];
        let path = series.path.clone();
        let message = series.explain(&path, error);
        if series.may_recover(error) {
            if series.say_once(&path) {
                report(&format!("{message}; waiting for the rest of it"));
            }
            return Ok(false);
        }
        // The next run reads the rest of it, and what follows.
        if series.is_arriving(error) {
            self.counted += series.cut(Tail::Idle, out)?;
            series.ended = true;
            self.failed = true;
            report(&format!("{message}; the next run goes on there"));
            return Ok(true);
        }
        // What could be read of a damaged file is kept; the rest of it can't be.
        let counted = series.cut(Tail::End, out)?;
        series.give_up_file();
        self.counted += counted;
        self.failed = true;
        report(&message);
        Ok(true)
    }

    /// The end of the file at hand, of what there is or of all there will be.
    fn at_end(&mut self, place: usize, out: &mut Output) -> Result<bool, Failure> {
        let parked = self.series[place].is_parked();
        if parked {
            self.make_room();
        }
        let series = &mut self.series[place];
        if series.is_pollable() {
            let counted = series.cut(Tail::End, out)?;
            series.end();
            self.counted += counted;
            return Ok(true);
        }
        match series.look() {
            Look::Stay(None) if !self.options.follow => {
                let waiting = series.unfinished_record();
                let tail = if waiting > 0 { Tail::Idle } else { Tail::End };
                let counted = series.cut(tail, out)?;
                series.ended = true;
                self.counted += counted;
                if waiting > 0 {
                    report_once("last lines that wait for their ends", || {
                        let place = series.path.display();
                        format!(
                            "{place}: the last line has no end yet: its {waiting} bytes wait for the next run (see --final-line)"
                        )
                    });
                }
                Ok(true)
            }
            // Open again: what is new in it is read before others are opened.
            Look::Stay(_) if parked && !series.is_parked() && series.at_hand().is_some() => self.advance(place, out),
            Look::Stay(wake_at) => {
                let due = series.flush_at().filter(|_| self.options.follow);
                let now = Instant::now();
                let tail = if due.is_some_and(|due| due <= now) { Tail::End } else { Tail::Idle };
                series.wake_at = [wake_at, due.filter(|due| *due > now)].into_iter().flatten().min();
                let counted = series.cut(tail, out)?;
                let late = series.hear_the_last(&mut self.block, out)?;
                self.counted += counted;
                self.counted += late;
                Ok(false)
            }
            Look::Truncated => self.truncated(place, out),
            Look::Replaced(content, path) => {
                self.note_left(place);
                if let Err(error) = self.series[place].replace(content, &path) {
                    report(&self.series[place].explain(&path, &error));
                }
                self.watch(place);
                Ok(true)
            }
            // It has another name, under which it is being read.
            Look::Next(next) if self.reader(place, next.identity).is_some() => {
                let series = &mut self.series[place];
                series.wake_at = Some(Instant::now() + LOOK);
                self.counted += series.cut(Tail::Idle, out)?;
                Ok(false)
            }
            Look::Next(next) => {
                let series = &mut self.series[place];
                // Once more: whoever had it open may have written until just now.
                match series.read(&mut self.block) {
                    Ok(Read::Bytes(0)) | Err(_) => {}
                    Ok(Read::Bytes(count)) => {
                        self.bytes += count as u64;
                        let counted = series.cut(Tail::More, out)?;
                        self.counted += counted;
                        return Ok(true);
                    }
                    Ok(Read::Truncated | Read::Blocked) => return self.truncated(place, out),
                }
                self.counted += series.cut(Tail::End, out)?;
                self.note_left(place);
                let read = self.left.get(&(self.series[place].group, next.identity)).copied();
                let series = &mut self.series[place];
                let path = next.path.clone();
                if let Err(error) = series.go_on(next, read) {
                    report(&series.explain(&path, &error));
                }
                self.watch(place);
                Ok(true)
            }
            Look::Unreadable(file, error) => {
                let series = &mut self.series[place];
                let message = series.explain(&file.path, &error);
                let new = series.say_once(&file.path);
                if self.options.follow {
                    if new {
                        report(&format!("{message}; waiting for it"));
                    }
                    return Ok(false);
                }
                // What comes after it must not be committed as if it had been read.
                match self.options.commit {
                    Commit::None => series.skip(&file),
                    _ => series.ended = true,
                }
                let counted = series.cut(Tail::End, out)?;
                self.counted += counted;
                self.complain(&message);
                Ok(true)
            }
        }
    }

    fn truncated(&mut self, place: usize, out: &mut Output) -> Result<bool, Failure> {
        let series = &mut self.series[place];
        let next = match series.find_copy() {
            Ok(Truncated::Copied) => return Ok(true),
            Ok(Truncated::Next(next)) => next,
            Ok(Truncated::Empty { after_copy: true }) => return Ok(false),
            Ok(Truncated::Empty { after_copy: false }) => {
                self.counted += series.cut(Tail::End, out)?;
                series.expect_first();
                return Ok(false);
            }
            Err(Moving) => {
                series.wake_at = Some(Instant::now() + SOON);
                return Ok(false);
            }
        };
        let place_name = series.path.display().to_string();
        if next.path == series.path {
            report_once("truncated files", || format!("{place_name}: file truncated; reading it from its beginning"));
        }
        let counted = series.cut(Tail::End, out)?;
        let begun = series.begin_again(next);
        self.counted += counted;
        if let Err(error) = begun {
            report(&format!("{place_name}: {}", describe(&error)));
            return Ok(false);
        }
        Ok(true)
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.committed_at = Instant::now();
        if let Commit::Source(checkpoint) = &mut self.options.commit {
            let mut position = Vec::new();
            for series in &self.series {
                if let Some(cursor) = series.sent_cursor(&mut position) {
                    checkpoint.advance(&cursor);
                }
            }
            checkpoint.save()?;
        }
        Ok(())
    }

    /// Sleeps until there may be something to do, at most until `at`; false when a stop was asked for.
    fn wait(&mut self, out: &Output, at: Option<Instant>) -> Result<bool, Failure> {
        self.listened_at = Instant::now();
        let (places, extra): (Vec<usize>, Vec<BorrowedFd<'_>>) = self
            .series
            .iter()
            .enumerate()
            .filter(|(_, series)| series.is_pollable() && !series.ended)
            .filter_map(|(place, series)| Some((place, series.file()?.as_fd())))
            .unzip();
        let soonest = self.series.iter().filter_map(|series| series.wake_at).chain(at).min();
        let changed = self.watch.wait_also(&extra, out.fd(), soonest)?;
        let now = Instant::now();
        let all = self.watch.take_all_changed() || now - self.looked_at >= LOOK;
        if let Changed::Extra(place) = changed {
            self.series[places[place]].hot = true;
        }
        for place in self.watch.take_changed() {
            if let Some(series) = self.series.get_mut(place) {
                series.hot = true;
            }
        }
        for series in &mut self.series {
            series.wake(now);
            series.hot |= all;
        }
        if all {
            self.looked_at = now;
            if self.options.follow {
                self.expand_all();
                self.discover();
                for series in self.series.iter().filter(|series| series.is_linked()) {
                    self.watch.add_directories(series.directories().iter().map(PathBuf::as_path));
                }
            }
        }
        Ok(changed != Changed::Stop)
    }
}

/// Files of one rotation are one stream, the oldest first, if they are all of it from some file on.
fn join_rotated(mut series: Vec<Series>) -> Vec<Series> {
    let places: HashMap<PathBuf, usize> =
        series.iter().enumerate().map(|(place, series)| (series.path.clone(), place)).collect();
    let mut made: HashMap<usize, Vec<usize>> = HashMap::new();
    for (place, file) in series.iter().enumerate() {
        let Some(name) = file.path.file_name() else { continue };
        let of = unrotated(name.as_bytes()).into_iter().find_map(|name| {
            let path = file.path.with_file_name(OsStr::from_bytes(name));
            places.get(&path).copied().filter(|of| *of != place && series[*of].makes(&file.path))
        });
        if let Some(of) = of {
            made.entry(of).or_default().push(place);
        }
    }
    let mut joined = HashSet::new();
    for (of, made) in made {
        let paths: Vec<PathBuf> = made.iter().map(|&place| series[place].path.clone()).collect();
        let files = series[of].listing().files;
        let asked = |file: &Entry| file.path == series[of].path || paths.contains(&file.path);
        let oldest = files.iter().position(asked).unwrap_or(files.len());
        if files[oldest..].iter().all(asked) {
            series[of].rotated = paths;
            joined.extend(made);
        }
    }
    let mut place = 0;
    series.retain(|_| {
        place += 1;
        !joined.contains(&(place - 1))
    });
    series
}

/// Whether the operand is standard input.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}
