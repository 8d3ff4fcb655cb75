//! What bounds a text that means harm, or was made by a program that went wrong.

/// Bytes on a disk: what NBD's offsets can tell.
pub const SIZE: u64 = i64::MAX as u64;

/// How deep expressions may be nested, and names and variables stand in one another. Each level is a call on the
/// stack.
pub const DEPTH: usize = 64;

/// Steps that working out an expression may take. Variables that use variables twice would double them
/// at each level.
pub const STEPS: u32 = 200_000;

/// Expressions that a text may have, with those of its variables as often as they are used.
pub const ITEMS: u32 = 200_000;

/// So many bytes of a variable's text count as one expression each time that it's used.
pub const BYTES_PER_ITEM: usize = 16;

/// What is as small as this is kept as bytes and not as a structure, so that reading it is one copy.
pub const FLAT: u64 = 32 * 1024;

/// Bytes that are kept that way in all.
pub const FLAT_TOTAL: u64 = 8 * 1024 * 1024;

/// A repeated pattern is kept as so many bytes at least, so that reading it takes few copies.
pub const PERIOD: u64 = 4096;
