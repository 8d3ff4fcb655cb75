//! Limits for a hostile text, or one that a faulty program made.

/// Bytes on a disk: the range of NBD's offsets.
pub const SIZE: u64 = i64::MAX as u64;

/// Nesting depth of expressions, names and variables. Each level is a call on the stack.
pub const DEPTH: usize = 64;

/// Steps of an evaluation. Variables that use variables twice double the steps at each level.
pub const STEPS: u32 = 200_000;

/// Expressions in a text, counting those of a variable at each use.
pub const ITEMS: u32 = 200_000;

/// Bytes of a variable's text that count as one expression at each use.
pub const BYTES_PER_ITEM: usize = 16;

/// A picture of up to this many bytes is stored as bytes and not as a structure, so that a read is one copy.
pub const FLAT: u64 = 32 * 1024;

/// Total bytes that are stored that way.
pub const FLAT_TOTAL: u64 = 8 * 1024 * 1024;

/// The least bytes that a repeated pattern is stored as, so that a read takes few copies.
pub const PERIOD: u64 = 4096;
