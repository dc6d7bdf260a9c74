//! Sets of bytes.

/// 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    pub const EMPTY: ByteSet = ByteSet([0; 4]);
    pub const FULL: ByteSet = ByteSet([u64::MAX; 4]);

    pub fn of(bytes: &[u8]) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        bytes.iter().for_each(|&byte| set.insert(byte));
        set
    }

    /// Every byte from `first` to `last`; none when they are the wrong way round.
    pub fn range(first: u8, last: u8) -> ByteSet {
        let mut set = ByteSet::EMPTY;
        (first..=last).for_each(|byte| set.insert(byte));
        set
    }

    pub fn insert(&mut self, byte: u8) {
        self.0[byte as usize >> 6] |= 1 << (byte & 63);
    }

    #[inline(always)]
    pub fn contains(&self, byte: u8) -> bool {
        self.0[byte as usize >> 6] >> (byte & 63) & 1 != 0
    }

    pub fn union(self, other: ByteSet) -> ByteSet {
        self.zip(other, |a, b| a | b)
    }

    pub fn intersection(self, other: ByteSet) -> ByteSet {
        self.zip(other, |a, b| a & b)
    }

    /// What is in this set and not in the other.
    pub fn minus(self, other: ByteSet) -> ByteSet {
        self.zip(other, |a, b| a & !b)
    }

    pub fn complement(self) -> ByteSet {
        ByteSet::FULL.minus(self)
    }

    pub fn is_empty(self) -> bool {
        self == ByteSet::EMPTY
    }

    pub fn is_disjoint(self, other: ByteSet) -> bool {
        self.intersection(other).is_empty()
    }

    pub fn len(self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=255).filter(move |&byte| self.contains(byte))
    }

    fn zip(self, other: ByteSet, join: fn(u64, u64) -> u64) -> ByteSet {
        ByteSet(std::array::from_fn(|word| join(self.0[word], other.0[word])))
    }
}
