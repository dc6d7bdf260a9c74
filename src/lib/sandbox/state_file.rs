//! The state file of a filter: the script's data, and the cursors of what is in it, saved together.
//!
//! After the statements that lua_sandbox's files have too come lines of ours, which are comments for Lua:
//!
//! ```text
//! -- heka cursors {"STREAM":{"sequence":N,"position":"…base64…"}}
//! -- heka clock {"newest":N,"next":N}
//! -- heka sent {"cursors":{"STREAM":N},"frames":"…base64…"}
//! ```
//!
//! `sent`: messages that were injected before the save. Whoever reads our output may have been killed before it had
//! delivered them; then the source sends older messages again, and these go out again too.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::Sandbox;
use super::clock::TickerState;
use crate::pipeline::{Failure, Mark, describe, report, report_once, write_whole};
use crate::stream::{CursorRef, Frame, put_frame, put_frame_like};

/// The cursors of several streams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cursors(BTreeMap<Vec<u8>, Mark>);

impl Cursors {
    /// Takes a cursor in; an older one changes nothing.
    #[inline]
    pub fn advance(&mut self, cursor: &CursorRef<'_>) {
        match self.0.get_mut(cursor.stream) {
            Some(mark) if mark.sequence >= cursor.sequence => {}
            Some(mark) => {
                mark.sequence = cursor.sequence;
                mark.position.clear();
                mark.position.extend_from_slice(cursor.position);
            }
            None => {
                let mark = Mark { sequence: cursor.sequence, position: cursor.position.to_vec() };
                self.0.insert(cursor.stream.to_vec(), mark);
            }
        }
    }

    pub fn sequence(&self, stream: &[u8]) -> Option<u64> {
        self.0.get(stream).map(|mark| mark.sequence)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a frame that takes one of the cursors along, while there are any.
    pub fn put_frame(&mut self, buf: &mut Vec<u8>, message: &[u8]) {
        let cursor = self.0.pop_first();
        put_frame(buf, cursor.as_ref().map(|(stream, mark)| mark.cursor(stream)), message);
    }

    /// Appends a frame that came from elsewhere, with one of the cursors instead of its own, while there are any.
    pub fn put_frame_like(&mut self, buf: &mut Vec<u8>, frame: &Frame<'_>) {
        let cursor = self.0.pop_first();
        put_frame_like(buf, frame, cursor.as_ref().map(|(stream, mark)| mark.cursor(stream)));
    }

    pub fn streams(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.0.iter().map(|(stream, mark)| (&stream[..], mark.sequence))
    }
}

/// Injected messages that were behind the state when it was saved.
struct Sent {
    cursors: Vec<(Vec<u8>, u64)>,
    /// Framed, without cursors.
    frames: Vec<u8>,
}

/// Bytes of messages that are kept for sending them again.
const MAX_SENT: usize = 1 << 20;

/// A state file.
pub struct StateFile {
    path: PathBuf,
    sent: VecDeque<Sent>,
    /// Frames injected since the last save, without cursors.
    unsaved: Vec<u8>,
    /// What the restored state has in it.
    restored: Cursors,
    /// Streams of which a message has come since then.
    resumed: Vec<Vec<u8>>,
}

const PREFIX: &str = "-- heka ";

impl StateFile {
    /// Reads the file into the sandbox; one that isn't there is no state.
    ///
    /// # Errors
    /// When it can't be read, or its statements fail.
    pub fn open(path: &Path, sandbox: &mut Sandbox) -> Result<(StateFile, TickerState), Failure> {
        let mut file = StateFile {
            path: path.to_path_buf(),
            sent: VecDeque::new(),
            unsaved: Vec::new(),
            restored: Cursors::default(),
            resumed: Vec::new(),
        };
        let mut clock = TickerState::default();
        let shown = path.display();
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((file, clock)),
            Err(error) => return Err(Failure::failed(format!("{shown}: {}", describe(&error)))),
        };
        // A state that was written has at least its cursors.
        if text.is_empty() {
            report(&format!("{shown}: it is empty, the state begins anew"));
            return Ok((file, clock));
        }
        sandbox.restore_state(&shown.to_string(), &text).map_err(|error| {
            // Lua's words mostly begin with file and line.
            let place = if error.contains(&shown.to_string()) { String::new() } else { format!("{shown}: ") };
            Failure::usage(format!("{place}{error}; move the file away to start anew"))
        })?;
        for line in text
            .split(|byte| *byte == b'\n')
            .rev()
            .map_while(|line| line.strip_prefix(PREFIX.as_bytes()).or(line.is_empty().then_some(b"")))
        {
            let Some((kind, json)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else {
                continue;
            };
            let read = serde_json::from_str(json).ok().and_then(|json| file.read(kind, &json, &mut clock));
            read.ok_or_else(|| {
                Failure::failed(format!("{shown}: its {kind} can't be read; move the file away to start anew"))
            })?;
        }
        Ok((file, clock))
    }

    fn read(&mut self, kind: &str, json: &Json, clock: &mut TickerState) -> Option<()> {
        match kind {
            "cursors" => {
                for (stream, mark) in json.as_object()? {
                    let position = STANDARD.decode(mark.get("position")?.as_str()?).ok()?;
                    let mark = Mark { sequence: mark.get("sequence")?.as_u64()?, position };
                    self.restored.0.insert(stream.as_bytes().to_vec(), mark);
                }
            }
            "clock" => {
                let time = |name: &str| json.get(name).and_then(Json::as_i64);
                *clock = TickerState { newest: time("newest"), next: time("next") };
            }
            "sent" => {
                let cursors = json.get("cursors")?.as_object()?;
                let cursors: Option<_> =
                    cursors.iter().map(|(stream, n)| Some((stream.as_bytes().to_vec(), n.as_u64()?))).collect();
                let frames = STANDARD.decode(json.get("frames")?.as_str()?).ok()?;
                // The file is read from its end.
                self.sent.push_front(Sent { cursors: cursors?, frames });
            }
            _ => {}
        }
        Some(())
    }

    /// The cursors of what the restored state has in it.
    pub fn restored(&self) -> &Cursors {
        &self.restored
    }

    /// Whether there was a state.
    pub fn is_restored(&self) -> bool {
        !self.restored.is_empty()
    }

    /// Takes note of an injected message.
    pub fn add(&mut self, message: &[u8]) {
        put_frame(&mut self.unsaved, None, message);
    }

    /// Whether a message is in the restored state already. The first one of a stream tells how far delivery had come:
    /// what was injected before the restart, but not delivered, is appended to `again`, framed.
    pub fn is_counted(&mut self, cursor: &CursorRef<'_>, again: &mut Vec<u8>) -> bool {
        let Some(sequence) = self.restored.sequence(cursor.stream) else { return false };
        if !self.resumed.iter().any(|stream| stream == cursor.stream) {
            self.resumed.push(cursor.stream.to_vec());
            self.send_again(cursor.stream, cursor.sequence, again);
            if !again.is_empty() {
                let text = "messages that were injected before the restart, but not delivered, are sent again";
                report_once(text, || text.into());
            }
        }
        cursor.sequence <= sequence
    }

    /// Replaces the file: state, cursors and what was injected since the last time, with the frames that are `held` until
    /// then. A crash leaves the old one or the new one.
    ///
    /// # Errors
    /// The outer one: a value can't be kept. The inner one: the file can't be written.
    pub fn save(
        &mut self,
        sandbox: &mut Sandbox,
        cursors: &Cursors,
        clock: TickerState,
        held: &[u8],
    ) -> Result<Result<(), Failure>, String> {
        let mut text = sandbox.save_state()?;
        let mut frames = std::mem::take(&mut self.unsaved);
        frames.extend_from_slice(held);
        let mut line = |kind: &str, json: Json| text.extend_from_slice(format!("{PREFIX}{kind} {json}\n").as_bytes());
        let name = |stream: &[u8]| String::from_utf8_lossy(stream).into_owned();
        if !frames.is_empty() && !cursors.is_empty() {
            let cursors = cursors.streams().map(|(stream, sequence)| (stream.to_vec(), sequence)).collect();
            self.sent.push_back(Sent { cursors, frames });
            let mut total: usize = self.sent.iter().map(|sent| sent.frames.len()).sum();
            while total > MAX_SENT && self.sent.len() > 1 {
                total -= self.sent.pop_front().map_or(0, |sent| sent.frames.len());
            }
        }
        for sent in &self.sent {
            let cursors: serde_json::Map<_, _> =
                sent.cursors.iter().map(|(stream, sequence)| (name(stream), json!(sequence))).collect();
            line("sent", json!({"cursors": cursors, "frames": STANDARD.encode(&sent.frames)}));
        }
        line("clock", json!({"newest": clock.newest, "next": clock.next}));
        let marks: serde_json::Map<_, _> = cursors
            .0
            .iter()
            .map(|(stream, mark)| {
                (name(stream), json!({"sequence": mark.sequence, "position": STANDARD.encode(&mark.position)}))
            })
            .collect();
        line("cursors", Json::Object(marks));
        let written = write_whole(&self.path, &text);
        Ok(written.map_err(|error| Failure::failed(format!("{}: {}", self.path.display(), describe(&error)))))
    }

    /// A terminated script's state would make it fail again: it is kept beside.
    pub fn move_aside(&self) {
        let mut name = self.path.clone().into_os_string();
        name.push(".terminated");
        // There may be none yet.
        let _ = std::fs::rename(&self.path, name);
    }

    /// The source sends that message of a stream first: so what was sent with it, or after it, was not delivered.
    /// Appends it to `frames`.
    fn send_again(&mut self, stream: &[u8], first: u64, frames: &mut Vec<u8>) {
        for sent in &self.sent {
            if sent.cursors.iter().any(|(known, sequence)| known == stream && *sequence >= first) {
                frames.extend_from_slice(&sent.frames);
            }
        }
    }
}
