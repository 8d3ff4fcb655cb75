//! What can go wrong, and whose fault it is.

use thiserror::Error;

/// Why an add was refused: always the plugin's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddError {
    /// `offset + length` is past 2^64 (E3). The plugin gets `einval`; the map is unchanged and
    /// still usable; the call was charged.
    #[error("the extent's offset plus its length is past 2^64")]
    Overflow,
    /// All the calls that the map allows have been made (E7). The map is unchanged; the guest must
    /// be stopped.
    #[error("too many extents were added for one request")]
    BudgetExhausted,
}

/// A map can't be made for a range that holds no byte (E1): its end isn't above its start.
///
/// NBD leaves zero-length block-status requests undefined: answer them before there is a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the range {start}..{end} is empty")]
pub struct EmptyRange {
    /// Where the range was to start, in bytes.
    pub start: u64,
    /// Where it was to end, in bytes, exclusive.
    pub end: u64,
}
