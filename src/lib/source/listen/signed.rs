//! Framed Heka messages from the network: who may send them.

use super::framing::Piece;
use crate::pipeline::report_once;
use crate::stream::{Frame, Keys, put_frame_like, verify};

/// Checks the signatures of frames; those that pass stay as they are, but for their cursors.
pub struct Signed {
    keys: Option<Keys>,
    required: Option<String>,
}

impl Signed {
    /// Without keys, nothing is checked. `required`: only messages of this signer pass.
    pub fn new(keys: Option<Keys>, required: Option<String>) -> Signed {
        Signed { keys, required }
    }

    /// Other keys, from now on.
    pub fn set_keys(&mut self, keys: Keys) {
        self.keys = Some(keys);
    }

    /// Appends the frame if it passes.
    pub fn put(&self, piece: Piece<'_>, frames: &mut Vec<u8>) -> bool {
        let Some(frame) = Frame::parse(piece.bytes) else { return false };
        let header = frame.header();
        let signer = match &self.keys {
            Some(keys) => match verify(&header, frame.message(), keys) {
                Ok(signer) => signer,
                Err(refused) => {
                    let name = String::from_utf8_lossy(header.signer.unwrap_or_default()).into_owned();
                    report_once("messages that are refused for their signatures", || {
                        format!("a message signed by {name:?}, key version {}: {refused}", header.key_version)
                    });
                    return false;
                }
            },
            None => None,
        };
        if self.required.as_ref().is_some_and(|required| signer != Some(required.as_bytes())) {
            report_once("messages without the signer that is asked for", || {
                format!("a message is not signed by {:?}", self.required.as_deref().unwrap_or_default())
            });
            return false;
        }
        // A cursor speaks for a source on this machine. One from the network could move the checkpoint of a file here, or
        // count as read what another host has read of a file of that name. A signature doesn't cover it.
        match header.has_cursor() {
            true => put_frame_like(frames, &frame, None),
            false => frames.extend_from_slice(piece.bytes),
        }
        true
    }
}
