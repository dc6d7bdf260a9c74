//! From a record to the fields of a message.

use std::collections::HashMap;
use std::ops::Range;

use super::HEADER_NAMES;
use super::dictionary::{self, Kind};
use super::parse::{Pair, Parsed, unescape_header, unescape_value};
use crate::message::{MessageBuilder, ValueType};

/// With so many pairs, looking for the same key among all of them would take too long.
const FEW: usize = 32;

/// How records become fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct FieldOptions {
    /// What `cs1Label` and its like name goes under that name, and the label itself is left out.
    pub labels: bool,
    /// Numbers and times (in ms) of keys that have them by CEF's dictionary are numbers.
    pub typed: bool,
}

/// Adds the fields of a record: those of its header, then each key, its values in order when it comes again.
pub fn put_fields(builder: &mut MessageBuilder<'_>, text: &[u8], parsed: &Parsed, options: FieldOptions) {
    let FieldOptions { labels, typed } = options;
    let keys = Keys::new(text, &parsed.pairs);
    // Also when there is nothing, if a key of the extension would be taken for it.
    if parsed.mark > 0 || keys.first(b"cef.prefix").is_some() {
        builder.string_field(b"cef.prefix", &text[..parsed.mark], b"");
    }
    for (name, range) in HEADER_NAMES.iter().zip(&parsed.header) {
        let value = unescape_header(&text[range.clone()]);
        // Some senders write `CEF: 0`.
        let number = || std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok();
        match (*name == HEADER_NAMES[0]).then(number).flatten() {
            Some(number) => builder.integer_field(name.as_bytes(), number, b""),
            None => builder.string_field(name.as_bytes(), &value, b""),
        };
    }
    // Some senders write a blank before the first key.
    if !text[parsed.extra.clone()].trim_ascii().is_empty() || keys.first(b"cef.extra").is_some() {
        // As it stands: the white space that ends it is what the first key is known by.
        builder.string_field(b"cef.extra", &text[parsed.extra.clone()], b"");
    }
    if keys.once && !labels && !typed {
        for pair in &parsed.pairs {
            builder.string_field(&text[pair.key.clone()], &unescape_value(&text[pair.value.clone()]), b"");
        }
        return;
    }
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
        if typed && put_numbers(builder, name, key, &keys, place) {
            continue;
        }
        builder.field(name, ValueType::String, b"", |values| {
            keys.each_value(key, place, |range| values.string(&unescape_value(&text[range])));
        });
    }
}

/// Adds the values of a key as numbers; false when that isn't what it has.
fn put_numbers(builder: &mut MessageBuilder<'_>, name: &[u8], key: &[u8], keys: &Keys<'_>, place: usize) -> bool {
    let Some(kind) = std::str::from_utf8(key).ok().and_then(dictionary::kind) else { return false };
    let mut texts = Vec::new();
    match kind {
        Kind::Integer(..) | Kind::Float | Kind::Time => keys.each_value(key, place, |range| {
            texts.push(String::from_utf8_lossy(&unescape_value(&keys.text[range])).trim().to_string());
        }),
        _ => return false,
    }
    if kind == Kind::Float {
        let Ok(numbers) = texts.iter().map(|text| text.parse::<f64>()).collect::<Result<Vec<_>, _>>() else {
            return false;
        };
        builder.field(name, ValueType::Double, b"", |values| values.doubles(numbers.into_iter()));
        return true;
    }
    let number = |text: &String| if kind == Kind::Time { dictionary::milliseconds(text) } else { text.parse().ok() };
    let Some(numbers) = texts.iter().map(number).collect::<Option<Vec<i64>>>() else { return false };
    builder.field(name, ValueType::Integer, b"", |values| values.integers(numbers.into_iter()));
    true
}

/// Where each key is.
struct Keys<'t> {
    text: &'t [u8],
    pairs: &'t [Pair],
    /// For many.
    places: Option<HashMap<&'t [u8], Vec<usize>>>,
    /// None comes twice.
    once: bool,
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
        let once = places.as_ref().map_or_else(|| are_unequal(text, pairs), |places| places.len() == pairs.len());
        Keys { text, pairs, places, once }
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

/// Whether all keys of a few pairs are different. Their lengths and last letters mostly show it, without comparing each
/// with each.
fn are_unequal(text: &[u8], pairs: &[Pair]) -> bool {
    let mut seen = [0u64; 16];
    pairs.iter().enumerate().all(|(place, pair)| {
        let key = &text[pair.key.clone()];
        let word = &mut seen[key.len() % 16];
        let bit = 1 << (key.last().copied().unwrap_or_default() % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new || pairs[..place].iter().all(|other| &text[other.key.clone()] != key)
    })
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
