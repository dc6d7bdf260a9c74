//! From a record to the fields of a message.

use std::collections::HashMap;
use std::ops::Range;

use super::HEADER_NAMES;
use super::parse::{Pair, Parsed, unescape_header, unescape_value};
use crate::message::{MessageBuilder, ValueType};

/// With so many pairs, looking for the same key among all of them would take too long.
const FEW: usize = 32;

/// Adds the fields of a record: those of its header, then each key, its values in order when it comes again.
/// `labels`: what `cs1Label` and its like name goes under that name, and the label itself is left out.
pub fn put_fields(builder: &mut MessageBuilder<'_>, text: &[u8], parsed: &Parsed, labels: bool) {
    if parsed.mark > 0 {
        builder.string_field(b"cef.prefix", &text[..parsed.mark], b"");
    }
    for (name, range) in HEADER_NAMES.iter().zip(&parsed.header) {
        let value = unescape_header(&text[range.clone()]);
        let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
        match number.filter(|_| *name == HEADER_NAMES[0]) {
            Some(number) => builder.integer_field(name.as_bytes(), number, b""),
            None => builder.string_field(name.as_bytes(), &value, b""),
        };
    }
    if !parsed.extra.is_empty() {
        builder.string_field(b"cef.extra", &unescape_value(&text[parsed.extra.clone()]), b"");
    }
    let keys = Keys::new(text, &parsed.pairs);
    for (place, pair) in parsed.pairs.iter().enumerate() {
        let key = &text[pair.key.clone()];
        if keys.first(key) != Some(place) {
            continue;
        }
        let (mut name, mut label) = (key, None);
        if labels {
            if key.strip_suffix(b"Label").is_some_and(|key| keys.label_of(key).is_some()) {
                continue;
            }
            label = keys.label_of(key).map(|range| unescape_value(&text[range]));
        }
        if let Some(label) = &label {
            name = label;
        }
        builder.field(name, ValueType::String, b"", |values| {
            keys.each_value(key, place, |range| values.string(&unescape_value(&text[range])));
        });
    }
}

/// Where each key is.
struct Keys<'t> {
    text: &'t [u8],
    pairs: &'t [Pair],
    /// For many.
    places: Option<HashMap<&'t [u8], Vec<usize>>>,
}

impl<'t> Keys<'t> {
    fn new(text: &'t [u8], pairs: &'t [Pair]) -> Keys<'t> {
        let places = (pairs.len() > FEW).then(|| {
            let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
            for (place, pair) in pairs.iter().enumerate() {
                places.entry(&text[pair.key.clone()]).or_default().push(place);
            }
            places
        });
        Keys { text, pairs, places }
    }

    fn first(&self, key: &[u8]) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(key)?.first().copied(),
            None => self.pairs.iter().position(|pair| &self.text[pair.key.clone()] == key),
        }
    }

    /// Calls with each value of a key whose first place is known.
    fn each_value(&self, key: &[u8], first: usize, mut value: impl FnMut(Range<usize>)) {
        match self.places.as_ref().and_then(|places| places.get(key)) {
            Some(places) => places.iter().for_each(|&place| value(self.pairs[place].value.clone())),
            None => self.pairs[first..]
                .iter()
                .filter(|pair| &self.text[pair.key.clone()] == key)
                .for_each(|pair| value(pair.value.clone())),
        }
    }

    /// The text that names a custom key, if it does so alone.
    fn label_of(&self, key: &[u8]) -> Option<Range<usize>> {
        if !is_custom(key) || self.first(key).is_none() {
            return None;
        }
        let place = self.first(&[key, b"Label"].concat())?;
        let label = self.pairs[place].value.clone();
        let text = &self.text[label.clone()];
        // Two of them that have the same name, or that of a key, would become one.
        let others = self.pairs.iter().enumerate().filter(|(other, pair)| {
            let name = &self.text[pair.key.clone()];
            let labels = name.strip_suffix(b"Label").is_some_and(is_custom);
            *other != place && labels && self.text[pair.value.clone()] == *text
        });
        let unique = self.pairs.len() <= 4 * FEW && others.count() == 0;
        (unique && !text.is_empty() && self.first(text).is_none()).then_some(label)
    }
}

/// Keys that have a label beside them: `cs1` to `cs6` and their like.
fn is_custom(key: &[u8]) -> bool {
    let [family @ .., number] = key else { return false };
    let last = match family {
        b"cs" => b'6',
        b"cfp" | b"c6a" => b'4',
        b"cn" => b'3',
        b"deviceCustomDate" | b"flexNumber" | b"flexString" => b'2',
        b"flexDate" => b'1',
        _ => return false,
    };
    (b'1'..=last).contains(number)
}
