//! Aligning extents of any size to whole blocks (E10).

use core::ops::ControlFlow;

use crate::{Extent, Kind};

/// A block size: a power of two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block(u64);

impl Block {
    /// The block size for a request of `bytes`: the next power of two, from 1 to 2^31.
    pub(crate) fn new(bytes: u32) -> Self {
        Self(u64::from(
            bytes.checked_next_power_of_two().unwrap_or(1 << 31),
        ))
    }

    /// The highest multiple that isn't above `offset`.
    pub(crate) const fn round_down(self, offset: u64) -> u64 {
        offset & !self.mask()
    }

    /// The lowest multiple that isn't below `offset`; `None` if that is above 2^64 - 1.
    const fn round_up(self, offset: u64) -> Option<u64> {
        match offset.checked_add(self.mask()) {
            Some(above) => Some(self.round_down(above)),
            None => None,
        }
    }

    const fn mask(self) -> u64 {
        self.0.saturating_sub(1)
    }
}

/// Moves the borders between `extents` (sorted, without gaps) to multiples of `block`, or to `limit`, the end of the
/// request. Calls `piece` with the end and kind of each piece, in order, until it breaks. Neighbours may have the same
/// kind.
///
/// A block that holds several kinds gets the flags that all of them share. If the extents end inside a block, the rest
/// of it is unknown, so the whole block is data.
pub(crate) fn align(
    extents: impl Iterator<Item = Extent>,
    block: Block,
    limit: u64,
    mut piece: impl FnMut(u64, Kind) -> ControlFlow<()>,
) -> ControlFlow<()> {
    // The end of an incomplete block, and its kind so far.
    let mut open: Option<(u64, Kind)> = None;
    for extent in extents {
        let mut from = extent.offset;
        let end = from.saturating_add(extent.length);
        if let Some((border, kind)) = open.take() {
            let kind = kind.and(extent.kind);
            if end < border {
                open = Some((border, kind));
                continue;
            }
            piece(border, kind)?;
            from = border;
        }
        let whole = if end >= limit {
            end
        } else {
            block.round_down(end)
        };
        if from < whole {
            piece(whole, extent.kind)?;
        }
        if whole < end {
            let border = block.round_up(end).unwrap_or(limit).min(limit);
            open = Some((border, extent.kind));
        }
    }
    match open {
        Some((border, _)) => piece(border, Kind::Data),
        None => ControlFlow::Continue(()),
    }
}
