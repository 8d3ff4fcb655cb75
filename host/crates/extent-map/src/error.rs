//! Errors of the map, and whose fault they are.

use thiserror::Error;

/// Why the map refused an add. The plugin is always at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddError {
    /// `offset + length` is above 2^64 (E3). The plugin gets `einval`. The map is unchanged and still usable; the call
    /// was charged.
    #[error("the extent's offset plus its length is past 2^64")]
    Overflow,
    /// The plugin has made all calls that the map allows (E7). The map is unchanged; the caller must stop the guest.
    #[error("too many extents were added for one request")]
    BudgetExhausted,
}

/// A map can't be made for a range without a byte (E1): its end isn't above its start.
///
/// NBD leaves zero-length block-status requests undefined; the caller must answer them without a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the range {start}..{end} is empty")]
pub struct EmptyRange {
    /// The first byte of the range.
    pub start: u64,
    /// The end of the range, exclusive.
    pub end: u64,
}
