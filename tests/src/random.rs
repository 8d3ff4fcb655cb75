//! Random numbers that a test can repeat.

use std::env;
use std::ops::Range;

/// A generator of numbers from a seed: splitmix64 (Steele, Lea, Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from `NBDBOX_TEST_SEED`, or else from `seed`. Prints the seed, so that a failed test shows it.
    ///
    /// # Panics
    /// `NBDBOX_TEST_SEED` isn't a number.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let seed = env::var("NBDBOX_TEST_SEED").map_or(seed, |text| text.parse().unwrap());
        println!("again with NBDBOX_TEST_SEED={seed}");
        Self(seed)
    }

    /// The next number.
    #[must_use]
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = self.0;
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number in `range`.
    #[must_use]
    pub fn of(&mut self, range: Range<u64>) -> u64 {
        range.start + self.number() % (range.end - range.start)
    }

    /// Returns `count` bytes, none of them 0.
    #[must_use]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count)
            .map(|_| self.number().to_be_bytes()[0] | 1)
            .collect()
    }

    /// An offset and a length of `1..=longest` bytes, within `size`.
    #[must_use]
    pub fn range(&mut self, size: u64, longest: u64) -> (u64, u64) {
        let offset = self.of(0..size);
        let length = 1 + self.of(0..longest.min(size - offset));
        (offset, length)
    }
}
