//! A filter: changes go to an overlay, and the layer below stays as it is. The overlay is a granted
//! blob, which survives restarts, or memory.
//!
//! Mode `single`: which blocks are where is known in the instance. Blocks that are in the overlay are
//! read and written by reference; a block that comes to it for the first time passes through here, so
//! that it's there before it counts as there.

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

/// Runs that a read may fall into, half the pieces of a reply.
const PIECES: u64 = 2048;

/// The largest request that NBD has.
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
            "changes in an overlay: the blob `overlay`, or memory",
        )
        .default(
            "memory",
            ValueKind::Boolean,
            "no",
            "keep changes in memory only: they are lost in the end",
        )
        .default(
            "block",
            ValueKind::Size,
            "64K",
            "bytes that come to the overlay together, 4K to 1M",
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
                "block= is less than a block of the layer below",
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
    /// Brings the blocks of a run to the overlay: what they hold, with the part that lies in the run
    /// made by `change`, a block at a time.
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

    /// Makes whole blocks read as zeroes, and gives their room back.
    fn make_zero(&mut self, offset: u64, length: u64) -> Result<()> {
        for run in self.blocks.runs(offset, length) {
            if run.state == State::Overlay {
                self.overlay.drop(run.offset, run.length)?;
            }
            self.blocks.set_all(run.offset, run.length, State::Zero);
        }
        Ok(())
    }

    /// Zeroes beside which some byte stays in its block.
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

/// A block of zeroes, if there is memory for it.
fn zeroes(length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(length as usize).is_err() {
        return Err(memory::full());
    }
    bytes.resize(length as usize, 0);
    Ok(bytes)
}

nbdbox_plugin::export!(Cow: Filter + Writable + Zeroable + Sparse + Prefetch);
