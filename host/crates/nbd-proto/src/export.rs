//! An export as a server advertises it to clients.

use alloc::string::String;

use thiserror::Error;

use crate::{ExportFlags, limits};

/// An export: the server's replies to INFO, GO and EXPORT_NAME describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Canonical name (`NBD_INFO_NAME`), at most [`limits::MAX_STRING`] bytes without NUL. The server
    /// doesn't send any other.
    pub name: String,
    /// Description for people (`NBD_INFO_DESCRIPTION`). The server sends it without NULs and cut to
    /// [`limits::MAX_STRING`] bytes.
    pub description: Option<String>,
    /// Size in bytes. "SHOULD be an integer multiple of" the minimum block size: the shell rounds it
    /// down, because no request could reach the rest.
    pub size: u64,
    /// What the export supports. [`Session::new`](crate::Session::new) adds and removes the flags that
    /// follow from the negotiation.
    pub flags: ExportFlags,
    /// Size constraints that the server advertises.
    pub block: BlockSizes,
    /// Size constraints that the server enforces, if they aren't those of `block`.
    pub enforced: Option<BlockSizes>,
    /// Whether the server offers the metadata context `base:allocation` for the export.
    pub allocation: bool,
}

impl Export {
    /// The size constraints that the server enforces.
    #[must_use]
    pub const fn enforced(&self) -> BlockSizes {
        match self.enforced {
            Some(enforced) => enforced,
            None => self.block,
        }
    }
}

/// Size constraints of an export, in bytes (section "Size constraints"). Every value is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    minimum: u32,
    preferred: u32,
    maximum: u32,
}

/// Which size constraint is invalid, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BlockSizesError {
    /// The minimum isn't a power of two from 1 to 65 536.
    #[error("minimum block size {0} isn't a power of two from 1 to 65536")]
    Minimum(u32),
    /// The preferred size isn't a power of two, or is below 512 or the minimum.
    #[error("preferred block size {0} isn't a power of two, or is below 512 or the minimum")]
    Preferred(u32),
    /// The maximum isn't a multiple of the minimum, or is below the preferred size.
    #[error(
        "maximum block size {0} isn't a multiple of the minimum, or is below the preferred size"
    )]
    Maximum(u32),
}

impl BlockSizes {
    /// Checks the three sizes, in bytes, against section "Size constraints".
    ///
    /// # Errors
    /// The first of the three that breaks the section.
    pub fn new(minimum: u32, preferred: u32, maximum: u32) -> Result<Self, BlockSizesError> {
        // "this value MUST be a power of 2, MUST NOT be larger than 2^16 (65,536)"
        //= proto.md#size-constraints
        //# this value MUST be a power of 2, MUST NOT be larger than 2^16 (65,536)
        if !minimum.is_power_of_two() || minimum > limits::MAX_MINIMUM_BLOCK {
            return Err(BlockSizesError::Minimum(minimum));
        }
        // "this MUST be a power of 2 at least as large as the maximum of the minimum block size and
        // 2^9 (512)"
        let least = minimum.max(limits::MIN_PREFERRED_BLOCK);
        //= proto.md#size-constraints
        //# If advertised, this MUST be a power of 2 at least as large as the maximum of the minimum block size
        //# and 2^9 (512)
        if !preferred.is_power_of_two() || preferred < least {
            return Err(BlockSizesError::Preferred(preferred));
        }
        // "MUST be either an integer multiple of the minimum block size or the value 0xffffffff for
        // no inherent limit, MUST be at least as large as the smaller of the preferred block size or
        // export size". This check ignores the export size: that is stricter, and never wrong.
        let whole = maximum == u32::MAX || maximum.is_multiple_of(minimum);
        //= proto.md#size-constraints
        //# MUST be at least as large as the preferred block size
        if !whole || maximum < preferred {
            return Err(BlockSizesError::Maximum(maximum));
        }
        Ok(Self {
            minimum,
            preferred,
            maximum,
        })
    }

    /// Alignment of every offset and length, in bytes: a power of two from 1 to 65 536.
    #[must_use]
    pub const fn minimum(self) -> u32 {
        self.minimum
    }

    /// Alignment and length of efficient requests, in bytes: a power of two of at least 512.
    #[must_use]
    pub const fn preferred(self) -> u32 {
        self.preferred
    }

    /// Longest payload in one request, in bytes; `u32::MAX` means "no inherent limit".
    #[must_use]
    pub const fn maximum(self) -> u32 {
        self.maximum
    }

    /// The same constraints with at most `limit` bytes in one request. `limit` is a power of two of at
    /// least 65 536, so the result is valid too.
    pub(crate) fn cut_to(self, limit: u32) -> Self {
        debug_assert!(limit.is_power_of_two() && limit >= limits::MAX_MINIMUM_BLOCK);
        Self {
            minimum: self.minimum,
            preferred: self.preferred.min(limit),
            maximum: self.maximum.min(limit),
        }
    }
}

/// The constraints of a plugin that declares none: any alignment, 4096 bytes preferred, and payloads of
/// up to [`limits::MAX_PAYLOAD`] bytes.
impl Default for BlockSizes {
    fn default() -> Self {
        Self {
            //= proto.md#size-constraints
            //# a server SHOULD support a default minimum block size of 1, a preferred block size of 2^12
            //# (4,096), and a maximum payload size that is at least 2^25 (33,554,432)
            minimum: 1,
            preferred: 4096,
            maximum: limits::MAX_PAYLOAD,
        }
    }
}
