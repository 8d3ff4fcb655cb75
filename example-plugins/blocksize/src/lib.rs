//! A filter over a layer that takes only whole blocks. Clients may read and write any bytes, in requests of any size.
//! The filter reads, changes and writes blocks that a request covers in part.
//!
//! If the layer below is writable, the mode is `single`: two instances that change one block at the same time would
//! lose one of the changes.

use nbdbox_plugin::{
    Device, Errno, Error, Extents, Filter, Manifest, Plugin, Prefetch, ReadReply, Result, Sparse,
    ValueKind, Writable, WriteFlags, WritePayload, Zeroable, config, next,
};

use crate::cut::Cut;

mod cut;
mod joined;

/// The largest request in NBD.
const LARGEST: u32 = 32 << 20;

struct BlockSize {
    below: next::LayerInfo,
    /// The layer below gets whole blocks of this size.
    block: u64,
    /// The layer below gets at most this much in one request.
    most: u64,
}

impl Plugin for BlockSize {
    fn manifest() -> Manifest {
        Manifest::new(
            "blocksize",
            env!("CARGO_PKG_VERSION"),
            "any bytes of a layer that takes only whole blocks",
        )
        .optional(
            "minblock",
            ValueKind::Size,
            "block size towards the layer below (default: its own minimum)",
        )
        .optional(
            "maxdata",
            ValueKind::Size,
            "largest request to the layer below (default: its own maximum)",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let below = next::describe();
        let block = config::size("minblock")?.unwrap_or(below.minimum.into());
        let most = config::size("maxdata")?.unwrap_or(below.maximum.into());
        let fits = block.is_power_of_two() && block <= 65_536 && block >= below.minimum.into();
        if !fits {
            return Err(Error::invalid(
                "minblock= isn't a power of two from the layer's own minimum up to 64K",
            ));
        }
        if most < block || most > below.maximum.into() || most % block != 0 {
            return Err(Error::invalid(
                "maxdata= isn't a multiple of the block size up to the largest request of the layer below",
            ));
        }
        Ok(Self { below, block, most })
    }

    fn describe(&self) -> Device {
        // If the disk ends inside a block, clients can't reach the rest.
        let size = self.below.size - self.below.size % self.block;
        let preferred = self.below.preferred.max(self.block as u32).min(LARGEST);
        self.below
            .remembering(size)
            .block_sizes(1, preferred, LARGEST)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let cut = Cut::new(offset, length.into(), self.block);
        self.read_part(reply, cut.head())?;
        for (at, length) in cut.whole(self.most) {
            next::redirect(reply, at, length);
        }
        self.read_part(reply, cut.tail())
    }
}

impl Filter for BlockSize {}

impl Writable for BlockSize {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        let cut = Cut::new(offset, payload.length().into(), self.block);
        let start = |at: u64| (at - offset) as u32;
        for (at, length) in [cut.head(), cut.tail()] {
            if length > 0 {
                let bytes = payload.read(start(at), length as u32);
                self.change(at, length, flags, |part| part.copy_from_slice(&bytes))?;
            }
        }
        // `store`, not `forward`: the next call may change a part of one of these blocks.
        for (at, length) in cut.whole(self.most) {
            next::store(payload, at, start(at), length as u32, flags)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        next::flush()
    }
}

impl Zeroable for BlockSize {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        match Cut::new(offset, length, self.block).middle() {
            (_, 0) => Ok(()),
            (at, length) => next::trim(at, length, flags),
        }
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let cut = Cut::new(offset, length, self.block);
        let parts = [cut.head(), cut.tail()];
        if flags.contains(WriteFlags::FAST_ZERO) && parts.iter().any(|(_, length)| *length > 0) {
            return Err(Errno::Enotsup.into());
        }
        let (at, length) = cut.middle();
        if length > 0 {
            next::zero(at, length, flags)?;
        }
        for (at, length) in parts {
            if length > 0 {
                self.change(at, length, flags, |part| part.fill(0))?;
            }
        }
        Ok(())
    }
}

impl Sparse for BlockSize {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        joined::report(extents, offset, length, self.block)
    }
}

impl Prefetch for BlockSize {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        let start = offset - offset % self.block;
        let end = (offset + length).next_multiple_of(self.block);
        next::cache(start, end - start)
    }
}

impl BlockSize {
    /// Reads a part of one block, through memory.
    fn read_part(&self, reply: &ReadReply, (at, length): (u64, u64)) -> Result<()> {
        if length > 0 {
            let (block, inside) = self.around(at, length);
            let bytes = next::read(block, self.block as u32)?;
            reply.data(&bytes[inside]);
        }
        Ok(())
    }

    /// Changes a part of one block: reads, changes and writes it.
    fn change(
        &self,
        at: u64,
        length: u64,
        flags: WriteFlags,
        change: impl FnOnce(&mut [u8]),
    ) -> Result<()> {
        let (block, inside) = self.around(at, length);
        let mut bytes = next::read(block, self.block as u32)?;
        change(&mut bytes[inside]);
        next::write(block, &bytes, flags & WriteFlags::FUA)
    }

    /// The block that holds the bytes, and their place in it.
    fn around(&self, at: u64, length: u64) -> (u64, std::ops::Range<usize>) {
        let start = (at % self.block) as usize;
        (at - at % self.block, start..start + length as usize)
    }
}

nbdbox_plugin::export!(BlockSize: Filter + Writable + Zeroable + Sparse + Prefetch);
