//! A filter that changes bytes: it inverts every bit. With `cheat=yes` it passes bytes on unchanged.

use nbdbox_plugin::{
    Device, Extents, Filter, Manifest, Plugin, ReadReply, Result, Sparse, ValueKind, Writable,
    WriteFlags, WritePayload, config, next,
};

/// The most bytes that it flips at once.
const CHUNK: u32 = 64 * 1024;

struct Flip {
    cheat: bool,
}

impl Plugin for Flip {
    fn manifest() -> Manifest {
        Manifest::new("flip", "1.0.0", "flips all bits").default(
            "cheat",
            ValueKind::Boolean,
            "no",
            "pass them on",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let cheat = config::text("cheat").is_some_and(|word| word == "yes");
        Ok(Self { cheat })
    }

    fn describe(&self) -> Device {
        let below = next::describe();
        Device::new(below.size)
            .parallel()
            .read_only(below.read_only)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        if self.cheat {
            next::redirect(reply, offset, length.into());
            return Ok(());
        }
        for start in (0..length).step_by(CHUNK as usize) {
            let count = CHUNK.min(length - start);
            let mut bytes = next::read(offset + u64::from(start), count)?;
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            reply.data(&bytes);
        }
        Ok(())
    }
}

impl Filter for Flip {
    fn changes_bytes() -> bool {
        true
    }
}

impl Writable for Flip {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        let length = payload.length();
        if self.cheat {
            next::forward(payload, offset, 0, length);
            return Ok(());
        }
        for start in (0..length).step_by(CHUNK as usize) {
            let mut bytes = payload.read(start, CHUNK.min(length - start));
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            next::write(offset + u64::from(start), &bytes, flags)?;
        }
        Ok(())
    }
}

impl Sparse for Flip {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        next::report(extents, offset, length, offset)?;
        Ok(())
    }
}

nbdbox_plugin::export!(Flip: Filter + Writable + Sparse);
