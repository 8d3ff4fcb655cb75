//! A filter that keeps blocks of the layer below in memory, like nbdkit's cache filter with memory for a file.
//!
//! If the layer below is writable, the mode is `single`, because changes are in this instance before they are in the
//! layer below.

use std::ops::Range;

use nbdbox_plugin::{
    Device, Errno, Error, ExtentKind, Extents, Filter, Manifest, Plugin, Prefetch, Progress,
    ReadReply, Result, Sparse, Writable, WriteFlags, WritePayload, Zeroable, next,
};

use crate::blocks::Blocks;
use crate::settings::{Mode, Settings, declare};

mod blocks;
mod settings;

/// Bytes of memory that the cache leaves to the filter's own needs.
const SPARE: usize = 256 * 1024;

struct Cache {
    below: next::LayerInfo,
    settings: Settings,
    blocks: Blocks,
}

impl Plugin for Cache {
    fn manifest() -> Manifest {
        declare(Manifest::new(
            "cache",
            env!("CARGO_PKG_VERSION"),
            "keeps blocks of the layer below in memory",
        ))
    }

    fn open(_name: &str) -> Result<Self> {
        let below = next::describe();
        let settings = Settings::read(&below)?;
        Ok(Self {
            below,
            settings,
            blocks: Blocks::default(),
        })
    }

    fn describe(&self) -> Device {
        self.below.remembering(self.below.size)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let (mut at, end) = (offset, offset + u64::from(length));
        while at < end {
            let number = at / self.settings.block;
            if self.settings.on_read && !self.blocks.has(number) {
                self.bring(number)?;
            }
            let (start, stop) = (at, end.min((number + 1) * self.settings.block));
            match self.blocks.get(number) {
                Some(block) => {
                    let from = (start % self.settings.block) as usize;
                    reply.data(&block.bytes[from..from + (stop - start) as usize]);
                    at = stop;
                }
                None => {
                    at = self.missing_end(number, end);
                    next::redirect(reply, start, at - start);
                }
            }
        }
        Ok(())
    }
}

impl Filter for Cache {}

impl Writable for Cache {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        let end = offset + u64::from(payload.length());
        if self.settings.mode == Mode::Writethrough {
            // The layer below first: if it fails, the cache must stay as it is.
            next::store(payload, offset, 0, payload.length(), flags)?;
        }
        for (number, part) in self.pieces(offset, end) {
            let start = (part.start - offset) as u32;
            let bytes = payload.read(start, (part.end - part.start) as u32);
            self.change(number, &part, |block| block.copy_from_slice(&bytes))?;
        }
        self.after_change(offset..end, flags)
    }

    fn flush(&mut self) -> Result<()> {
        if self.settings.mode == Mode::Unsafe {
            return Ok(());
        }
        self.write_back(0..u64::MAX, WriteFlags::empty())?;
        next::flush()
    }
}

impl Zeroable for Cache {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let end = offset + length;
        let whole = self.whole(offset, end);
        if whole.is_empty() {
            return Ok(());
        }
        // If the trim fails below, the cached changes are lost; after a trim the bytes are undefined anyway.
        self.blocks.forget_all(whole.clone());
        let (start, stop) = (
            whole.start * self.settings.block,
            self.end_of(whole.end - 1),
        );
        next::trim(start, stop - start, flags)
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let end = offset + length;
        let whole = self.whole(offset, end);
        let (start, stop) = match whole.is_empty() {
            true => (end, end),
            false => (
                whole.start * self.settings.block,
                self.end_of(whole.end - 1),
            ),
        };
        if flags.contains(WriteFlags::FAST_ZERO) && (offset < start || stop < end) {
            return Err(Errno::Enotsup.into());
        }
        if start < stop {
            next::zero(start, stop - start, flags)?;
            self.blocks.forget_all(whole);
        }
        let edges = [offset..start, stop..end];
        for edge in edges.into_iter().filter(|edge| !edge.is_empty()) {
            if self.settings.mode == Mode::Writethrough {
                next::zero(edge.start, edge.end - edge.start, flags)?;
            }
            for (number, part) in self.pieces(edge.start, edge.end) {
                self.change(number, &part, |block| block.fill(0))?;
            }
            self.after_change(edge, flags)?;
        }
        Ok(())
    }
}

impl Sparse for Cache {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        let (mut at, end) = (offset, offset + length);
        while at < end {
            let first = at / self.settings.block;
            let last = end.div_ceil(self.settings.block);
            let dirty = self.blocks.first_dirty(first..last);
            let stop = dirty.map_or(end, |number| (number * self.settings.block).max(at));
            if stop > at && next::report(extents, at, stop - at, at)? == Progress::Full {
                return Ok(());
            }
            at = stop;
            if let Some(number) = dirty {
                let stop = end.min((number + 1) * self.settings.block);
                if extents.add(at, stop - at, ExtentKind::Data)? == Progress::Full {
                    return Ok(());
                }
                at = stop;
            }
        }
        Ok(())
    }
}

impl Prefetch for Cache {
    /// Caches as many of the blocks as fit without evicting one of them again.
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        let block = self.settings.block;
        let numbers = offset / block..(offset + length).div_ceil(block);
        let most = (self.settings.low / block).max(1);
        for number in numbers.take(usize::try_from(most).unwrap_or(usize::MAX)) {
            if !self.blocks.has(number) {
                self.bring(number)?;
            }
        }
        Ok(())
    }
}

impl Cache {
    /// Changes a part of a block in the cache.
    fn change(
        &mut self,
        number: u64,
        part: &Range<u64>,
        change: impl FnOnce(&mut [u8]),
    ) -> Result<()> {
        let through = self.settings.mode == Mode::Writethrough;
        let start = number * self.settings.block;
        if !self.blocks.has(number) {
            let length = self.end_of(number) - start;
            if part.end - part.start == length {
                let bytes = self.room(length)?;
                self.blocks.put(number, bytes, false);
            } else {
                self.bring(number)?;
            }
        }
        if let Some(block) = self.blocks.get(number) {
            let from = (part.start - start) as usize;
            change(&mut block.bytes[from..from + (part.end - part.start) as usize]);
            block.dirty |= !through;
        }
        Ok(())
    }

    /// Brings a block into the cache.
    fn bring(&mut self, number: u64) -> Result<()> {
        let start = number * self.settings.block;
        let length = self.end_of(number) - start;
        // Make room for the block before the host allocates it.
        drop(self.room(length)?);
        let bytes = next::read(start, length as u32)?;
        self.blocks.put(number, bytes, false);
        Ok(())
    }

    /// Allocates memory for one more block, and evicts others if necessary.
    fn room(&mut self, length: u64) -> Result<Vec<u8>> {
        if self.blocks.bytes() + length > self.settings.high {
            self.drop_down_to(self.settings.low.saturating_sub(length))?;
        }
        loop {
            let mut bytes = Vec::new();
            let spare = length as usize + SPARE;
            if Vec::<u8>::new().try_reserve_exact(spare).is_ok()
                && bytes.try_reserve_exact(length as usize).is_ok()
            {
                bytes.resize(length as usize, 0);
                return Ok(bytes);
            }
            // There is less memory than cache-max-size= requires.
            if self.blocks.bytes() == 0 {
                return Err(Error::new(
                    Errno::Enospc,
                    "the filter's memory limit is reached: set a smaller cache-max-size=, or a larger --limit memory=",
                ));
            }
            self.drop_down_to(self.blocks.bytes() / 2)?;
        }
    }

    /// Evicts the least recently used blocks. Changed blocks go to the layer below first.
    fn drop_down_to(&mut self, bytes: u64) -> Result<()> {
        while self.blocks.bytes() > bytes {
            let Some(number) = self.blocks.oldest() else {
                break;
            };
            self.write_back(number..number + 1, WriteFlags::empty())?;
            self.blocks.forget(number);
        }
        Ok(())
    }

    /// Writes the changed blocks of this range to the layer below.
    fn write_back(&mut self, numbers: Range<u64>, flags: WriteFlags) -> Result<()> {
        let mut from = numbers.start;
        while let Some(number) = self.blocks.first_dirty(from..numbers.end) {
            if let Some(block) = self.blocks.peek(number) {
                next::write(number * self.settings.block, &block.bytes, flags)?;
            }
            self.blocks.clean(number);
            from = number + 1;
        }
        Ok(())
    }

    /// Writes a range through to the layer below, for FUA.
    fn after_change(&mut self, range: Range<u64>, flags: WriteFlags) -> Result<()> {
        if self.settings.mode == Mode::Writeback && flags.contains(WriteFlags::FUA) {
            let block = self.settings.block;
            let numbers = range.start / block..range.end.div_ceil(block);
            // The filter may have evicted a changed block of the range, which wrote it without FUA.
            self.write_back(numbers, WriteFlags::empty())?;
            next::flush()?;
        }
        Ok(())
    }

    /// Cuts a range at the borders of blocks.
    fn pieces(&self, offset: u64, end: u64) -> impl Iterator<Item = (u64, Range<u64>)> + use<> {
        let block = self.settings.block;
        (offset / block..end.div_ceil(block)).map(move |number| {
            let part = offset.max(number * block)..end.min((number + 1) * block);
            (number, part)
        })
    }

    /// The blocks that lie completely in a range. The last block of the disk is complete at the end of the disk.
    fn whole(&self, offset: u64, end: u64) -> Range<u64> {
        let last = match end == self.below.size {
            true => end.div_ceil(self.settings.block),
            false => end / self.settings.block,
        };
        offset.div_ceil(self.settings.block)..last
    }

    /// The end of a block.
    fn end_of(&self, number: u64) -> u64 {
        ((number + 1) * self.settings.block).min(self.below.size)
    }

    /// The end of the run of blocks from `number` on that aren't in the cache.
    fn missing_end(&self, number: u64, end: u64) -> u64 {
        let mut number = number + 1;
        while number * self.settings.block < end && !self.blocks.has(number) {
            number += 1;
        }
        end.min(number * self.settings.block)
    }
}

nbdbox_plugin::export!(Cache: Filter + Writable + Zeroable + Sparse + Prefetch);
