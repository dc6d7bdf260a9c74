//! Framed Heka messages from outside: whose are taken.

use crate::pipeline::report_once;
use crate::stream::{Frame, Keys, verify};

/// Checks the signatures of frames.
#[derive(Clone)]
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

    /// Whether a message is to be used; if not, it has been said.
    pub fn passes(&self, frame: &Frame<'_>) -> bool {
        if self.keys.is_none() && self.required.is_none() {
            return true;
        }
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
        true
    }
}
