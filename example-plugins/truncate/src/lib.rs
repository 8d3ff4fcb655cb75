//! A filter that changes the size of the layer below. Clients can't reach the part that it cuts off. The part that it
//! adds reads as zeroes, and accepts only zeroes.

use nbdbox_plugin::{
    Device, Errno, Error, ExtentKind, Extents, Filter, Manifest, Plugin, Prefetch, Progress,
    ReadReply, Result, Sparse, ValueKind, Writable, WriteFlags, WritePayload, Zeroable, config,
    next,
};

/// Bytes of a payload that are checked in one piece.
const CHUNK: u32 = 64 * 1024;

struct Truncate {
    size: u64,
    /// Size of the layer below.
    real: u64,
}

impl Plugin for Truncate {
    fn manifest() -> Manifest {
        Manifest::new(
            "truncate",
            env!("CARGO_PKG_VERSION"),
            "changes the size of the layer below",
        )
        .optional("truncate", ValueKind::Size, "the new size")
        .optional(
            "round-up",
            ValueKind::Size,
            "round the size up to a multiple of this",
        )
        .optional(
            "round-down",
            ValueKind::Size,
            "round the size down to a multiple of this",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let real = next::describe().size;
        let mut size = config::size("truncate")?.unwrap_or(real);
        if let Some(unit) = unit("round-up")? {
            let rounded = size.checked_next_multiple_of(unit);
            size = rounded.ok_or_else(|| Error::invalid("round-up= is too large"))?;
        }
        if let Some(unit) = unit("round-down")? {
            size -= size % unit;
        }
        Ok(Self { size, real })
    }

    fn describe(&self) -> Device {
        next::describe().stateless(self.size)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let (real, added) = self.split(offset, length.into());
        if real > 0 {
            next::redirect(reply, offset, real);
        }
        reply.zeroes(added);
        Ok(())
    }
}

impl Filter for Truncate {}

impl Writable for Truncate {
    fn write(&mut self, payload: &WritePayload, offset: u64, _flags: WriteFlags) -> Result<()> {
        let length = payload.length();
        let (real, _) = self.split(offset, length.into());
        let real = real as u32;
        for start in (real..length).step_by(CHUNK as usize) {
            let bytes = payload.read(start, CHUNK.min(length - start));
            if bytes.iter().any(|byte| *byte != 0) {
                let text = "past the end of the layer below only zeroes can be written";
                return Err(Error::new(Errno::Enospc, text));
            }
        }
        next::forward(payload, offset, 0, real);
        Ok(())
    }
}

impl Zeroable for Truncate {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        match self.split(offset, length) {
            (0, _) => Ok(()),
            (real, _) => next::trim(offset, real, flags),
        }
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        match self.split(offset, length) {
            (0, _) => Ok(()),
            (real, _) => next::zero(offset, real, flags),
        }
    }
}

impl Sparse for Truncate {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        let (real, added) = self.split(offset, length);
        if real > 0 && next::report(extents, offset, real, offset)? == Progress::Full {
            return Ok(());
        }
        if added > 0 {
            extents.add(offset + real, added, ExtentKind::Hole)?;
        }
        Ok(())
    }
}

impl Prefetch for Truncate {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        match self.split(offset, length) {
            (0, _) => Ok(()),
            (real, _) => next::cache(offset, real),
        }
    }
}

impl Truncate {
    /// How many bytes of a range are in the layer below, and how many in the added part.
    fn split(&self, offset: u64, length: u64) -> (u64, u64) {
        let real = self.real.saturating_sub(offset).min(length);
        (real, length - real)
    }
}

/// Reads a setting that must not be zero.
fn unit(key: &str) -> Result<Option<u64>> {
    match config::size(key)? {
        Some(0) => Err(Error::invalid(format!("{key}=0: must be at least 1"))),
        unit => Ok(unit),
    }
}

nbdbox_plugin::export!(Truncate: Filter + Writable + Zeroable + Sparse + Prefetch);
