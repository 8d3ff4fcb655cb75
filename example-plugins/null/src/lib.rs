//! A disk that reads as zeroes and drops all writes, like nbdkit's null plugin.

use nbdbox_plugin::{
    Device, ExtentKind, Extents, Manifest, Plugin, Prefetch, ReadReply, Result, Sparse, ValueKind,
    Writable, WriteFlags, WritePayload, Zeroable, config,
};

struct Null {
    size: u64,
}

impl Plugin for Null {
    fn manifest() -> Manifest {
        Manifest::new(
            "null",
            env!("CARGO_PKG_VERSION"),
            "reads as zeroes, drops all writes",
        )
        .default("size", ValueKind::Size, "0", "size of the disk")
    }

    fn open(_name: &str) -> Result<Self> {
        Ok(Self {
            size: config::required_size("size")?,
        })
    }

    fn describe(&self) -> Device {
        Device::new(self.size).parallel()
    }

    fn read(&mut self, reply: &ReadReply, _offset: u64, length: u32) -> Result<()> {
        reply.zeroes(length.into());
        Ok(())
    }
}

impl Writable for Null {
    fn write(&mut self, _payload: &WritePayload, _offset: u64, _flags: WriteFlags) -> Result<()> {
        Ok(())
    }
}

impl Zeroable for Null {
    fn zero(&mut self, _offset: u64, _length: u64, _flags: WriteFlags) -> Result<()> {
        Ok(())
    }
}

impl Sparse for Null {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        extents.add(offset, length, ExtentKind::Hole)?;
        Ok(())
    }
}

impl Prefetch for Null {
    fn cache(&mut self, _offset: u64, _length: u64) -> Result<()> {
        Ok(())
    }
}

nbdbox_plugin::export!(Null: Writable + Zeroable + Sparse + Prefetch);
