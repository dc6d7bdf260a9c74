//! What a table becomes, in the order of its keys: the order in which Lua walks it says nothing, and may be another one
//! in a program that was built elsewhere.

/// What one key of a table became, behind the last separator.
#[derive(Clone, Copy)]
pub struct Piece {
    pub start: usize,
    /// Where the key is in it.
    pub key: (usize, usize),
    pub end: usize,
}

/// The pieces of tables within tables, innermost last, and room to work in.
#[derive(Default)]
pub struct Pieces {
    all: Vec<Piece>,
    room: Vec<u8>,
}

impl Pieces {
    /// A table begins; answers what [`end`](Self::end) wants. What an error has left of others goes with `depth` 0.
    pub fn begin(&mut self, depth: usize) -> usize {
        if depth == 0 {
            self.all.clear();
        }
        self.all.len()
    }

    pub fn push(&mut self, piece: Piece) {
        self.all.push(piece);
    }

    /// Puts the pieces of the table that began so in the order of their keys; they are at the end of `out`, with the separator
    /// between them. Answers how many bytes were moved.
    pub fn end(&mut self, begun: usize, out: &mut Vec<u8>, separator: &[u8]) -> usize {
        let Pieces { all, room } = self;
        let pieces = all.get_mut(begun..).unwrap_or_default();
        let key = |piece: &Piece| out.get(piece.key.0..piece.key.1).unwrap_or_default();
        let mut moved = 0;
        if !pieces.is_sorted_by(|a, b| key(a) <= key(b)) {
            let start = pieces.first().map_or(out.len(), |piece| piece.start);
            pieces.sort_by(|a, b| key(a).cmp(key(b)));
            room.clear();
            for (place, piece) in pieces.iter().enumerate() {
                if place > 0 {
                    room.extend_from_slice(separator);
                }
                room.extend_from_slice(out.get(piece.start..piece.end).unwrap_or_default());
            }
            out.truncate(start);
            out.extend_from_slice(room);
            moved = room.len();
        }
        all.truncate(begun);
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_come_in_the_order_of_their_keys(keys in proptest::collection::vec("[a-d]{1,3}", 0..8)) {
            let (mut pieces, mut out) = (Pieces::default(), b"{".to_vec());
            let begun = pieces.begin(0);
            for (place, key) in keys.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                let start = out.len();
                out.extend_from_slice(format!("{key}:{place}").as_bytes());
                pieces.push(Piece { start, key: (start, start + key.len()), end: out.len() });
            }
            pieces.end(begun, &mut out, b",");
            let mut expected: Vec<(&String, usize)> = keys.iter().zip(0..).collect();
            expected.sort();
            let expected: Vec<String> = expected.iter().map(|(key, place)| format!("{key}:{place}")).collect();
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{{{}", expected.join(",")));
        }
    }
}
