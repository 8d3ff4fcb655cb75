//! A granted file as a disk, completely by reference: this plugin returns only where the bytes are. The host moves
//! them, and none of them enters the sandbox.

use nbdbox_plugin::{
    Access, Blob, Device, Extents, Manifest, Mappable, Mapping, Plugin, Prefetch, ReadReply,
    Result, Sparse, Writable, WriteFlags, WritePayload, Zeroable,
};

struct File {
    disk: Blob,
    size: u64,
}

impl Plugin for File {
    fn manifest() -> Manifest {
        Manifest::new(
            "file",
            env!("CARGO_PKG_VERSION"),
            "a granted file, served by reference",
        )
        .blob(
            "disk",
            Access::MapOnly,
            "the file; with `rw`, clients can write to it",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let disk = Blob::open("disk")?;
        let size = disk.size()?;
        Ok(Self { disk, size })
    }

    fn describe(&self) -> Device {
        Device::new(self.size)
            .parallel()
            .read_only(self.disk.access() != Access::ReadWrite)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        reply.blob(&self.disk, offset, u64::from(length));
        Ok(())
    }
}

impl Writable for File {
    fn write(&mut self, payload: &WritePayload, offset: u64, _flags: WriteFlags) -> Result<()> {
        // With FUA the host makes the stored bytes durable.
        payload.store(&self.disk, offset, 0, payload.length());
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.disk.flush()?)
    }
}

impl Zeroable for File {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        Ok(self.disk.trim(offset, length, flags)?)
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        Ok(self.disk.zero(offset, length, flags)?)
    }
}

impl Sparse for File {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        extents.blob(&self.disk, offset, length, offset)?;
        Ok(())
    }
}

impl Mappable for File {
    fn locate(&mut self, mapping: &Mapping, _offset: u64, _length: u64) -> Result<()> {
        mapping.blob(0, self.size, &self.disk, 0);
        Ok(())
    }
}

impl Prefetch for File {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        Ok(self.disk.prefetch(offset, length)?)
    }
}

nbdbox_plugin::export!(File: Writable + Zeroable + Sparse + Mappable + Prefetch);
