//! Random numbers that a test can repeat.

use std::env;
use std::ops::Range;

use fastrand::Rng;

/// A generator of numbers from a seed.
#[derive(Clone, Debug)]
pub struct Random(Rng);

impl Random {
    /// Starts from `NBDBOX_TEST_SEED`, or else from `seed`. Prints the seed, so that a failed test shows it.
    ///
    /// # Panics
    /// `NBDBOX_TEST_SEED` isn't a number.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let seed = env::var("NBDBOX_TEST_SEED").map_or(seed, |text| text.parse().unwrap());
        println!("again with NBDBOX_TEST_SEED={seed}");
        Self(Rng::with_seed(seed))
    }

    /// A number in `range`.
    #[must_use]
    pub fn of(&mut self, range: Range<u64>) -> u64 {
        self.0.u64(range)
    }

    /// Returns `count` bytes, none of them 0.
    #[must_use]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.0.u8(1..)).collect()
    }

    /// An offset and a length of `1..=longest` bytes, within `size`.
    #[must_use]
    pub fn range(&mut self, size: u64, longest: u64) -> (u64, u64) {
        let offset = self.of(0..size);
        let length = 1 + self.of(0..longest.min(size - offset));
        (offset, length)
    }
}
