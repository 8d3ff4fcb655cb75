//! A filter that writes changes to an overlay and leaves the layer below as it is. The overlay is a granted blob, which
//! survives restarts, or memory.
//!
//! The mode is `single`, because the instance holds the map of the blocks. Blocks in the overlay are read and written
//! by reference. The first write to a block copies the block through the filter's memory, so that the bytes are in the
//! overlay before the map names them.

use nbdbox_plugin::{
    Device, Errno, Error, ExtentKind, Extents, Filter, Manifest, Plugin, Prefetch, Progress,
    ReadReply, Result, Sparse, ValueKind, Writable, WriteFlags, WritePayload, Zeroable, config,
    next,
};

use crate::blocks::{Blocks, Run, State};
use crate::overlay::Overlay;

mod blocks;
mod file;
mod header;
mod memory;
mod overlay;

/// Runs that one read may have: half the pieces of a reply.
const PIECES: u64 = 2048;

/// The largest request in NBD.
const LARGEST: u64 = 32 << 20;

struct Cow {
    blocks: Blocks,
    overlay: Overlay,
    below: next::LayerInfo,
}

impl Plugin for Cow {
    fn manifest() -> Manifest {
        Manifest::new(
            "cow",
            env!("CARGO_PKG_VERSION"),
            "writes changes to an overlay: the blob `overlay`, or memory",
        )
        .default(
            "memory",
            ValueKind::Boolean,
            "no",
            "keep changes in memory: they are lost when the server ends",
        )
        .default(
            "block",
            ValueKind::Size,
            "64K",
            "unit of copying to the overlay, a power of two from 4K to 1M",
        )
    }

    fn open(name: &str) -> Result<Self> {
        let below = next::describe();
        let block = config::required_size("block")?;
        if !block.is_power_of_two() || !(4096..=1 << 20).contains(&block) {
            return Err(Error::invalid("block= isn't a power of two from 4K to 1M"));
        }
        if block < u64::from(below.minimum) {
            return Err(Error::invalid(
                "block= is less than the minimum block of the layer below: set a larger one",
            ));
        }
        let mut blocks = Blocks::new(below.size, block)?;
        let overlay = Overlay::open(name, &mut blocks)?;
        Ok(Self {
            blocks,
            overlay,
            below,
        })
    }

    fn describe(&self) -> Device {
        let below = &self.below;
        let most = (self.blocks.block() * PIECES)
            .min(LARGEST)
            .min(below.maximum.into());
        let device =
            Device::new(below.size).block_sizes(below.minimum, below.preferred, most as u32);
        if self.overlay.is_writable() {
            device
        } else {
            device.read_only(true).parallel()
        }
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        for run in self.blocks.runs(offset, length.into()) {
            match run.state {
                State::Below => next::redirect(reply, run.offset, run.length),
                State::Overlay => self.overlay.read(reply, run.offset, run.length),
                State::Zero => reply.zeroes(run.length),
            }
        }
        Ok(())
    }
}

impl Filter for Cow {}

impl Writable for Cow {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        let mut start = 0;
        for run in self.blocks.runs(offset, payload.length().into()) {
            let length = run.length as u32;
            if run.state == State::Overlay {
                self.overlay.store(payload, run.offset, start, length)?;
            } else {
                self.bring(&run, |at, bytes| {
                    let from = start + (at - run.offset) as u32;
                    bytes.copy_from_slice(&payload.read(from, bytes.len() as u32));
                })?;
            }
            start += length;
        }
        self.after_change(flags)
    }

    fn flush(&mut self) -> Result<()> {
        self.overlay.flush(&mut self.blocks)
    }
}

impl Zeroable for Cow {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let (start, end) = self.blocks.whole(offset, length);
        if start < end {
            self.make_zero(start, end - start)?;
        }
        self.after_change(flags)
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let end = offset + length;
        let (mut from, mut to) = self.blocks.whole(offset, length);
        if from >= to {
            (from, to) = (end, end);
        }
        if flags.contains(WriteFlags::FAST_ZERO) && (offset < from || to < end) {
            return Err(Errno::Enotsup.into());
        }
        if from < to {
            let allocated = flags.contains(WriteFlags::NO_HOLE)
                && self.overlay.allocate(from, to - from, flags)?;
            if allocated {
                self.blocks.set_all(from, to - from, State::Overlay);
            } else {
                self.make_zero(from, to - from)?;
            }
        }
        self.write_zeroes(offset, from - offset)?;
        self.write_zeroes(to, end - to)?;
        self.after_change(flags)
    }
}

impl Sparse for Cow {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        for run in self.blocks.runs(offset, length) {
            let (at, length) = (run.offset, run.length);
            let progress = match run.state {
                State::Below => next::report(extents, at, length, at)?,
                State::Overlay => extents.add(at, length, ExtentKind::Data)?,
                State::Zero => extents.add(at, length, ExtentKind::Hole)?,
            };
            if progress == Progress::Full {
                break;
            }
        }
        Ok(())
    }
}

impl Prefetch for Cow {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        for run in self.blocks.runs(offset, length) {
            match run.state {
                State::Below => next::cache(run.offset, run.length)?,
                State::Overlay => self.overlay.prefetch(run.offset, run.length)?,
                State::Zero => {}
            }
        }
        Ok(())
    }
}

impl Cow {
    /// Copies the blocks of a run to the overlay, one at a time. `change` makes the part of each block that lies in the
    /// run.
    fn bring(&mut self, run: &Run, mut change: impl FnMut(u64, &mut [u8])) -> Result<()> {
        for piece in self.blocks.pieces(run.offset, run.length) {
            let block = self.blocks.range_of(piece.block);
            let mut bytes = if piece.length == block.length || run.state == State::Zero {
                zeroes(block.length)?
            } else {
                next::read(block.offset, block.length as u32)?
            };
            let at = (piece.offset - block.offset) as usize;
            change(piece.offset, &mut bytes[at..at + piece.length as usize]);
            self.overlay.put(block.offset, bytes)?;
            self.blocks.set(piece.block, State::Overlay);
        }
        Ok(())
    }

    /// Makes whole blocks read as zeroes, and frees their space.
    fn make_zero(&mut self, offset: u64, length: u64) -> Result<()> {
        for run in self.blocks.runs(offset, length) {
            if run.state == State::Overlay {
                self.overlay.drop(run.offset, run.length)?;
            }
            self.blocks.set_all(run.offset, run.length, State::Zero);
        }
        Ok(())
    }

    /// Zeroes a part of a block; the other bytes stay.
    fn write_zeroes(&mut self, offset: u64, length: u64) -> Result<()> {
        for run in self.blocks.runs(offset, length) {
            if run.state == State::Overlay {
                self.overlay.zero(run.offset, run.length)?;
            } else {
                self.bring(&run, |_, bytes| bytes.fill(0))?;
            }
        }
        Ok(())
    }

    fn after_change(&mut self, flags: WriteFlags) -> Result<()> {
        if flags.contains(WriteFlags::FUA) {
            self.overlay.flush(&mut self.blocks)?;
        }
        Ok(())
    }
}

/// A block of zeroes; an error if there is no memory for it.
fn zeroes(length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(length as usize).is_err() {
        return Err(memory::full());
    }
    bytes.resize(length as usize, 0);
    Ok(bytes)
}

nbdbox_plugin::export!(Cow: Filter + Writable + Zeroable + Sparse + Prefetch);
