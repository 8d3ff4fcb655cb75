//! An export as a client gets to see it.

use alloc::string::String;

use thiserror::Error;

use crate::{ExportFlags, limits};

/// An export: what INFO, GO and EXPORT_NAME answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Canonical name (`NBD_INFO_NAME`). At most [`limits::MAX_STRING`] bytes without NUL; left out
    /// of the answer otherwise.
    pub name: String,
    /// Description for people (`NBD_INFO_DESCRIPTION`); the same bounds.
    pub description: Option<String>,
    /// Size in bytes. "SHOULD be an integer multiple of" the minimum block size: the shell cuts it,
    /// since nobody could reach the rest.
    pub size: u64,
    /// What it can do. The flags that follow from the negotiation are this crate's affair.
    pub flags: ExportFlags,
    /// Size constraints, as clients are told.
    pub block: BlockSizes,
    /// Those that requests have to meet, where they're others than clients are told.
    pub enforced: Option<BlockSizes>,
    /// Whether the metadata context `base:allocation` is offered.
    pub allocation: bool,
}

impl Export {
    /// The size constraints that requests have to meet.
    #[must_use]
    pub const fn enforced(&self) -> BlockSizes {
        match self.enforced {
            Some(enforced) => enforced,
            None => self.block,
        }
    }
}

/// Size constraints of an export, in bytes (section "Size constraints"). Always valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    minimum: u32,
    preferred: u32,
    maximum: u32,
}

/// What is wrong with size constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BlockSizesError {
    /// The minimum isn't a power of two up to 65 536.
    #[error("minimum block size {0} isn't a power of two from 1 to 65536")]
    Minimum(u32),
    /// The preferred size isn't a power of two, or is below 512 or the minimum.
    #[error("preferred block size {0} isn't a power of two of at least 512 and the minimum")]
    Preferred(u32),
    /// The maximum is below the preferred size, or no multiple of the minimum.
    #[error(
        "maximum block size {0} isn't a multiple of the minimum of at least the preferred size"
    )]
    Maximum(u32),
}

impl BlockSizes {
    /// Checks the constraints on the constraints.
    ///
    /// # Errors
    /// Says which of the three breaks section "Size constraints".
    pub fn new(minimum: u32, preferred: u32, maximum: u32) -> Result<Self, BlockSizesError> {
        // "this value MUST be a power of 2, MUST NOT be larger than 2^16 (65,536)"
        if !minimum.is_power_of_two() || minimum > limits::MAX_MINIMUM_BLOCK {
            return Err(BlockSizesError::Minimum(minimum));
        }
        // "this MUST be a power of 2 at least as large as the maximum of the minimum block size and
        // 2^9 (512)"
        let least = minimum.max(limits::MIN_PREFERRED_BLOCK);
        if !preferred.is_power_of_two() || preferred < least {
            return Err(BlockSizesError::Preferred(preferred));
        }
        // "MUST be either an integer multiple of the minimum block size or the value 0xffffffff for
        // no inherent limit, MUST be at least as large as the smaller of the preferred block size or
        // export size" (of which the export size isn't looked at: stricter, and never wrong)
        let whole = maximum == u32::MAX || maximum.is_multiple_of(minimum);
        if !whole || maximum < preferred {
            return Err(BlockSizesError::Maximum(maximum));
        }
        Ok(Self {
            minimum,
            preferred,
            maximum,
        })
    }

    /// Alignment of every offset and length, a power of two from 1 to 65 536.
    #[must_use]
    pub const fn minimum(self) -> u32 {
        self.minimum
    }

    /// Alignment that is efficient, a power of two of at least 512.
    #[must_use]
    pub const fn preferred(self) -> u32 {
        self.preferred
    }

    /// Longest payload in one request; `u32::MAX` is "no inherent limit".
    #[must_use]
    pub const fn maximum(self) -> u32 {
        self.maximum
    }

    /// The same with no more than `limit` bytes in one request. `limit` is a power of two of at
    /// least 65 536, so that the result is valid again.
    pub(crate) fn cut_to(self, limit: u32) -> Self {
        debug_assert!(limit.is_power_of_two() && limit >= limits::MAX_MINIMUM_BLOCK);
        Self {
            minimum: self.minimum,
            preferred: self.preferred.min(limit),
            maximum: self.maximum.min(limit),
        }
    }
}

/// For a plugin that says nothing: any alignment, 4096 preferred, up to [`limits::MAX_PAYLOAD`].
impl Default for BlockSizes {
    fn default() -> Self {
        Self {
            minimum: 1,
            preferred: 4096,
            maximum: limits::MAX_PAYLOAD,
        }
    }
}
