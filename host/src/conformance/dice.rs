//! The numbers that a seed stands for.

/// SplitMix64: the same numbers for the same seed, on every machine.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// A multiple of `unit` from 0 to `most`, which is a multiple too.
    pub(super) fn multiple(&mut self, unit: u64, most: u64) -> u64 {
        self.below(most / unit + 1) * unit
    }

    /// Returns `length` bytes, none of them zero: zeroes in a reply can't be bytes that were written.
    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| 1 + self.below(255).to_le_bytes()[0])
            .collect()
    }
}
