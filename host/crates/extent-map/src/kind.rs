//! The four kinds of extent that `base:allocation` distinguishes.

/// `NBD_STATE_HOLE`: the range isn't allocated.
const STATE_HOLE: u32 = 1;
/// `NBD_STATE_ZERO`: the range reads as zeroes.
const STATE_ZERO: u32 = 2;

/// The kind of the bytes of an extent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Allocated, content unknown (no flag): the safe answer, which is always correct.
    #[default]
    Data,
    /// Not allocated, reads as zeroes (`NBD_STATE_HOLE | NBD_STATE_ZERO`).
    Hole,
    /// Allocated, reads as zeroes (`NBD_STATE_ZERO`).
    Zero,
    /// Not allocated, and reads as anything (`NBD_STATE_HOLE`).
    Undefined,
}

impl Kind {
    /// The status flags of NBD's `base:allocation` context.
    #[must_use]
    pub const fn flags(self) -> u32 {
        match self {
            Self::Data => 0,
            Self::Hole => STATE_HOLE | STATE_ZERO,
            Self::Zero => STATE_ZERO,
            Self::Undefined => STATE_HOLE,
        }
    }

    /// The kind that has these `base:allocation` flags; other bits are ignored.
    #[must_use]
    pub const fn from_flags(flags: u32) -> Self {
        match (flags & STATE_HOLE != 0, flags & STATE_ZERO != 0) {
            (false, false) => Self::Data,
            (true, true) => Self::Hole,
            (false, true) => Self::Zero,
            (true, false) => Self::Undefined,
        }
    }

    /// The kind with the flags that both kinds have (E10).
    ///
    /// A block that is partly a hole and partly allocated zeroes reads as zeroes; one that is partly data is data.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::from_flags(self.flags() & other.flags())
    }
}

#[cfg(test)]
mod tests {
    use super::Kind::{self, Data, Hole, Undefined, Zero};

    #[test]
    fn flags_are_those_of_base_allocation() {
        assert_eq!([Data, Undefined, Zero, Hole].map(Kind::flags), [0, 1, 2, 3]);
    }

    #[test]
    fn every_kind_survives_conversion_to_its_flags_and_back() {
        for kind in [Data, Hole, Zero, Undefined] {
            assert_eq!(Kind::from_flags(kind.flags()), kind);
            assert_eq!(Kind::from_flags(kind.flags() | !3), kind);
        }
    }

    #[test]
    fn merged_kinds_claim_only_what_both_claim() {
        assert_eq!(Hole.and(Zero), Zero);
        assert_eq!(Hole.and(Undefined), Undefined);
        assert_eq!(Zero.and(Undefined), Data);
        for kind in [Data, Hole, Zero, Undefined] {
            assert_eq!(kind.and(Data), Data);
            assert_eq!(kind.and(kind), kind);
        }
    }
}
