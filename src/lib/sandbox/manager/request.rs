//! Control messages: who may send them, and what they ask for.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::message::{MessageView, Value, now_ns};
use crate::pipeline::{Failure, describe, write_whole};
use crate::stream::{Frame, Keys, verify};

/// What a manager is asked for.
#[derive(Debug, PartialEq)]
pub enum Request<'m> {
    Load {
        config: &'m str,
        script: &'m [u8],
    },
    /// The name of a section.
    Unload {
        name: &'m str,
    },
}

/// Whom a manager obeys.
pub struct Authority {
    /// None: anybody.
    pub signer: Option<String>,
    /// With them signatures are checked; without, the stream is believed.
    pub keys: Option<Keys>,
    /// Messages whose Timestamp is so far from now, or farther, are refused; zero: none are.
    pub max_age: Duration,
    recent: Recent,
}

impl Authority {
    /// `memory`: the file that remembers messages that were obeyed, so that no copy of one is.
    ///
    /// # Errors
    /// When the file can't be used.
    pub fn new(
        signer: Option<String>,
        keys: Option<Keys>,
        max_age: Duration,
        memory: &Path,
    ) -> Result<Authority, Failure> {
        let recent = Recent::open(memory, max_age)?;
        Ok(Authority { signer, keys, max_age, recent })
    }

    /// Whether a frame is from whom it says it is. Without keys it is believed.
    pub fn check(&self, frame: &Frame<'_>) -> Result<(), String> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let header = frame.header();
        verify(&header, frame.message(), keys).map(|_| ()).map_err(|refused| {
            let name = String::from_utf8_lossy(header.signer.unwrap_or_default()).into_owned();
            format!("it is signed by {name:?}, key version {}: {refused}", header.key_version)
        })
    }

    /// What a control message, one that [`Authority::check`] has found good, asks for. One that was obeyed is refused from
    /// then on.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn admit<'m>(&mut self, frame: &Frame<'m>) -> Result<Request<'m>, String> {
        let signer = frame.header().signer;
        if let Some(wanted) = &self.signer
            && signer != Some(wanted.as_bytes())
        {
            return Err(match signer {
                Some(other) => format!("it is signed by {:?}, not by {wanted:?}", String::from_utf8_lossy(other)),
                None => format!("it is not signed; {wanted:?} has to sign it"),
            });
        }
        let (view, now) = (frame.view(), now_ns());
        let skew = now.abs_diff(view.timestamp());
        if !self.max_age.is_zero() && u128::from(skew) >= self.max_age.as_nanos() {
            return Err(format!("Discarded control message: {} seconds skew", skew / 1_000_000_000));
        }
        let request = Request::read(&view)?;
        if !self.max_age.is_zero() && !self.recent.add(view.uuid(), view.timestamp(), now)? {
            return Err("it has been obeyed already: somebody sends it again".into());
        }
        Ok(request)
    }
}

impl<'m> Request<'m> {
    fn read(view: &MessageView<'m>) -> Result<Request<'m>, String> {
        let text = |name: &str| match view.value(name.as_bytes()) {
            Some(Value::String(text)) => {
                std::str::from_utf8(text).map_err(|_| format!("its Fields[{name}] is no UTF-8 text"))
            }
            Some(_) => Err(format!("its Fields[{name}] is no string")),
            None => Err(format!("it has no Fields[{name}]")),
        };
        match text("action")? {
            "load" => Ok(Request::Load { config: text("config")?, script: view.payload() }),
            "unload" => Ok(Request::Unload { name: text("name")? }),
            other => Err(format!("its action {other:?} is neither load nor unload")),
        }
    }
}

/// The messages that were obeyed and are young enough to be taken once more. A restart remembers them.
struct Recent {
    /// Of each uuid until when.
    until: HashMap<Vec<u8>, i64>,
    keep: i64,
    /// How many there were when old ones were last forgotten.
    forgotten_at: usize,
    file: std::fs::File,
}

impl Recent {
    fn open(path: &Path, max_age: Duration) -> Result<Recent, Failure> {
        let wrong = |error: std::io::Error| Failure::failed(format!("{}: {}", path.display(), describe(&error)));
        let keep = i64::try_from(max_age.as_nanos()).unwrap_or(i64::MAX);
        let now = now_ns();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(wrong(error)),
        };
        let known = text.lines().filter_map(|line| {
            let (uuid, until) = line.split_once(' ')?;
            Some((uuid.as_bytes().to_vec(), until.parse().ok()?))
        });
        let until: HashMap<Vec<u8>, i64> = known.filter(|(_, until)| *until >= now).collect();
        let mut kept = String::new();
        for (uuid, until) in &until {
            kept.push_str(&line(uuid, *until));
        }
        write_whole(path, kept.as_bytes()).map_err(wrong)?;
        let file = std::fs::OpenOptions::new().append(true).open(path).map_err(wrong)?;
        Ok(Recent { forgotten_at: until.len(), until, keep, file })
    }

    /// False when the message is known.
    fn add(&mut self, uuid: &[u8], timestamp: i64, now: i64) -> Result<bool, String> {
        let uuid: Vec<u8> = uuid.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
        if self.until.contains_key(&uuid) {
            return Ok(false);
        }
        if self.until.len() >= 2 * self.forgotten_at.max(1000) {
            self.until.retain(|_, until| *until >= now);
            self.forgotten_at = self.until.len();
        }
        let until = timestamp.saturating_add(self.keep);
        self.file
            .write_all(line(&uuid, until).as_bytes())
            .map_err(|error| format!("it can't be remembered: {}", describe(&error)))?;
        self.until.insert(uuid, until);
        Ok(true)
    }
}

fn line(uuid: &[u8], until: i64) -> String {
    format!("{} {until}\n", String::from_utf8_lossy(uuid))
}
