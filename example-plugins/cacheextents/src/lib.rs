//! A filter over a layer that is slow to report extents. It requests them once for each region, and again after a
//! change.
//!
//! If the layer below is writable, the mode is `single`, so that no instance keeps extents that another one changed.

use nbdbox_plugin::{
    Device, Error, Extents, Filter, Manifest, Plugin, Prefetch, Progress, ReadReply, Result,
    Sparse, ValueKind, Writable, WriteFlags, WritePayload, Zeroable, config, next,
};

use crate::regions::Regions;

mod regions;

struct CacheExtents {
    below: next::LayerInfo,
    regions: Regions,
}

impl Plugin for CacheExtents {
    fn manifest() -> Manifest {
        Manifest::new(
            "cacheextents",
            env!("CARGO_PKG_VERSION"),
            "caches the extents of the layer below",
        )
        .default(
            "region",
            ValueKind::Size,
            "1G",
            "bytes in one request for extents, a power of two",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let below = next::describe();
        let region = config::required_size("region")?;
        if !region.is_power_of_two() || region < 65_536 {
            return Err(Error::invalid("region= isn't a power of two, 64K or more"));
        }
        Ok(Self {
            regions: Regions::new(below.size, region),
            below,
        })
    }

    fn describe(&self) -> Device {
        self.below.remembering(self.below.size)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        next::redirect(reply, offset, length.into());
        Ok(())
    }
}

impl Filter for CacheExtents {}

impl Writable for CacheExtents {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        // `store`, not `forward`: no request for extents may come before the write is done.
        let done = next::store(payload, offset, 0, payload.length(), flags);
        self.regions.forget(offset, payload.length().into());
        done
    }

    fn flush(&mut self) -> Result<()> {
        next::flush()
    }
}

impl Zeroable for CacheExtents {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let done = next::trim(offset, length, flags);
        self.regions.forget(offset, length);
        done
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        let done = next::zero(offset, length, flags);
        self.regions.forget(offset, length);
        done
    }
}

impl Sparse for CacheExtents {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        let (mut at, end) = (offset, offset + length);
        while at < end {
            let known = self.regions.at(at)?;
            if extents.add_all(known)? == Progress::Full {
                return Ok(());
            }
            match known.last() {
                Some(last) => at = last.offset + last.length,
                None => break,
            }
        }
        if at < end {
            extents.end_at(at);
        }
        Ok(())
    }
}

impl Prefetch for CacheExtents {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        next::cache(offset, length)
    }
}

nbdbox_plugin::export!(CacheExtents: Filter + Writable + Zeroable + Sparse + Prefetch);
