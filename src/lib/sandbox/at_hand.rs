//! The message that a script has at hand: as it came, which is not copied, or as the script has changed it.

use prost::Message as _;

use super::write::{self, Write};
use crate::message::{MessageView, Shape, encode_canonical, schema};

/// The message at hand.
#[derive(Default)]
pub struct AtHand {
    /// As it came; there between [`AtHand::begin`] and [`AtHand::end`] only, while its bytes are.
    given: Option<MessageView<'static>>,
    /// With the script's changes, and its shape then.
    changed: Vec<u8>,
    shape: Option<Shape>,
    scratch: Vec<u8>,
}

impl AtHand {
    /// # Safety
    /// [`AtHand::end`] must be called before the message's bytes go.
    #[inline]
    pub unsafe fn begin(&mut self, message: MessageView<'_>) {
        // SAFETY: only the lifetime changes, and the view is given up in time.
        self.given = Some(unsafe { std::mem::transmute::<MessageView<'_>, MessageView<'static>>(message) });
        self.shape = None;
    }

    /// The message is gone; what was made of it stays.
    pub fn end(&mut self) {
        self.given = None;
    }

    /// As it came.
    pub fn original(&self) -> Option<MessageView<'_>> {
        self.given
    }

    /// As it is now.
    #[inline]
    pub fn view(&self) -> Option<MessageView<'_>> {
        let given = self.given?;
        Some(self.shape.map_or(given, |shape| MessageView::with_shape(&self.changed, shape)))
    }

    /// What the script has changed, if it has.
    pub fn edited(&self) -> Option<&[u8]> {
        self.shape.is_some().then_some(&self.changed)
    }

    /// Changes one header or field. False when the message can't take it; then it stays what it was.
    pub fn write(&mut self, what: &Write<'_>) -> bool {
        let Some(given) = self.given else { return false };
        let mut shape = match self.shape {
            Some(shape) => shape,
            // The first change is made to a copy, in which each thing has its place.
            None => {
                self.changed.clear();
                if write::is_orderly(&given) {
                    self.changed.extend_from_slice(given.bytes());
                    given.shape()
                } else {
                    if schema::Message::decode(given.bytes()).is_err() {
                        return false;
                    }
                    encode_canonical(&given, &mut self.changed);
                    let Some(shape) = Shape::of(&self.changed) else { return false };
                    shape
                }
            }
        };
        if !write::write(&mut self.changed, shape.fields(), what, &mut self.scratch) {
            return false;
        }
        // Fields stand behind all headers: to change them leaves these where they are.
        if !what.name.starts_with(b"Fields[") {
            let Some(moved) = Shape::of(&self.changed) else { return false };
            shape = moved;
        }
        self.shape = Some(shape);
        true
    }
}
