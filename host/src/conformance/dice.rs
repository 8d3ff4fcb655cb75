//! The numbers that a seed stands for.

use fastrand::Rng;

/// The same numbers for the same seed, on every machine.
#[derive(Clone, Debug)]
pub(super) struct Dice(Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// A number below `bound`; 0 if `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(..bound.max(1))
    }

    /// A multiple of `unit` from 0 to `most`, which is a multiple too.
    pub(super) fn multiple(&mut self, unit: u64, most: u64) -> u64 {
        self.below(most / unit + 1) * unit
    }

    /// Returns `length` bytes, none of them zero: zeroes in a reply can't be bytes that were written.
    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.0.u8(1..)).collect()
    }
}
