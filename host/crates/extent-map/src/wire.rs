//! Descriptors of a block-status reply, made from a map (E10).
//!
//! Owns the wire's rules of alignment, number and width. The protocol crate encodes the descriptors.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::align::{Block, align};
use crate::{ExtentMap, Kind, Wanted};

/// Clients count in sectors, whatever the block size is, so the pieces of a split extent are whole sectors.
const SECTOR: u64 = 512;

/// The width of a descriptor's length on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// 32 bits (`NBD_REPLY_TYPE_BLOCK_STATUS`): longer extents are split.
    Compact32,
    /// 64 bits (`NBD_REPLY_TYPE_BLOCK_STATUS_EXT`), with extended headers.
    Wide64,
}

/// One entry of a block-status reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// The length in bytes, at least 1; at most 2^32 - 1 if the width is [`Width::Compact32`].
    pub length: u64,
    /// The flags of `base:allocation`: `NBD_STATE_HOLE` 1, `NBD_STATE_ZERO` 2.
    pub flags: u32,
}

/// The form of a block-status reply for one client and export (E10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wire {
    /// The export's minimum block size in bytes: a power of two. 0 counts as 1, any other number as the next power of
    /// two, at most 2^31.
    pub min_block: u32,
    /// The most descriptors in the reply; 0 counts as 1.
    pub max_descriptors: usize,
    /// The width of their lengths.
    pub width: Width,
}

impl Wire {
    /// Fills `out` with the reply to `map`'s request. Clears `out` first, and keeps its memory.
    ///
    /// - There is always at least one descriptor, and none is empty. They never exceed the range: all but the last
    ///   together are shorter than the request.
    /// - Borders are multiples of the minimum block, except the range's own start and end. A block that holds several
    ///   kinds gets the flags that all of them share. A block that isn't wholly known is data.
    /// - Neighbours differ, unless they are the pieces of an extent that is too long for the width. The length of each
    ///   piece except the last is a multiple of the minimum block and of 512, counted from the start of the extent.
    /// - If nothing is known, the answer is data for the whole request (E5, E11), or for as much of it as fits.
    /// - For [`Wanted::One`] there is exactly one descriptor (E8).
    ///
    /// Takes time linear in the number of extents of the map.
    pub fn describe(&self, map: &ExtentMap, out: &mut Vec<Descriptor>) {
        let block = Block::new(self.min_block);
        let range = map.range();
        out.clear();
        let mut reply = Reply {
            room: match map.wanted() {
                Wanted::All => self.max_descriptors.max(1),
                Wanted::One => 1,
            },
            longest: match self.width {
                Width::Compact32 => longest_compact(block),
                Width::Wide64 => u64::MAX,
            },
            start: range.start,
            end: range.start,
            kind: Kind::Data,
            out,
        };
        let mut flow = align(map.iter(), block, range.end, |end, kind| {
            reply.extend(end, kind)
        });
        if map.end() <= range.start {
            flow = reply.extend(range.end, Kind::Data);
        }
        if flow.is_continue() {
            reply.flush();
        }
    }
}

/// The longest piece that 32 bits can express and that ends at the border of a block and a sector.
fn longest_compact(block: Block) -> u64 {
    let longest = u64::from(u32::MAX);
    block.round_down(longest).min(longest & !(SECTOR - 1))
}

/// Descriptors under construction: `start..end` is the extent that may still grow.
struct Reply<'a> {
    room: usize,
    longest: u64,
    start: u64,
    end: u64,
    kind: Kind,
    out: &'a mut Vec<Descriptor>,
}

impl Reply<'_> {
    /// Continues up to `end` with `kind`; breaks if there is no room for more.
    fn extend(&mut self, end: u64, kind: Kind) -> ControlFlow<()> {
        if kind != self.kind {
            self.flush();
            if self.out.len() >= self.room {
                return ControlFlow::Break(());
            }
            self.kind = kind;
        }
        self.end = end;
        ControlFlow::Continue(())
    }

    fn flush(&mut self) {
        while self.start < self.end && self.out.len() < self.room {
            let length = self.end.saturating_sub(self.start).min(self.longest);
            self.out.push(Descriptor {
                length,
                flags: self.kind.flags(),
            });
            self.start = self.start.saturating_add(length);
        }
    }
}
