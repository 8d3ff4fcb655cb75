use nbdbox_plugin::{Access, Blob, Device, Extents, Manifest, Plugin, ReadReply, Result, Sparse};

/// The second half of a blob.
struct Half {
    disk: Blob,
    size: u64,
}

impl Plugin for Half {
    fn manifest() -> Manifest {
        Manifest::new("half", "1.0.0", "the second half of a blob").blob(
            "disk",
            Access::MapOnly,
            "the whole disk",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let disk = Blob::open("disk")?;
        let size = disk.size()? / 2;
        Ok(Self { disk, size })
    }

    fn describe(&self) -> Device {
        Device::new(self.size).parallel()
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        reply.blob(&self.disk, self.size + offset, length.into());
        Ok(())
    }
}

impl Sparse for Half {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        extents.blob(&self.disk, self.size + offset, length, offset)?;
        Ok(())
    }
}

nbdbox_plugin::export!(Half: Sparse);
