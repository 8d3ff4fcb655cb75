//! A plugin around the callbacks that the manual shows: a blob of which every other mebibyte is a hole.

use nbdbox_plugin::{
    Access, Blob, Device, Errno, Extents, Manifest, Plugin, ReadReply, Result, Sparse, Writable,
    WriteFlags, WritePayload,
};

mod stripes;
mod written;

/// The size of a stripe in bytes.
const RUN: u64 = 1 << 20;

struct Striped {
    disk: Blob,
    size: u64,
}

impl Plugin for Striped {
    fn manifest() -> Manifest {
        let summary = "every other mebibyte of a blob is a hole";
        Manifest::new("striped", "1.0.0", summary).blob("disk", Access::ReadWrite, "the stripes")
    }

    fn open(_name: &str) -> Result<Self> {
        let disk = Blob::open("disk")?;
        let size = disk.size()?;
        Ok(Self { disk, size })
    }

    fn describe(&self) -> Device {
        Device::new(self.size).parallel()
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let (mut at, end) = (offset, offset + u64::from(length));
        while at < end {
            let stop = end.min((at / RUN + 1) * RUN);
            match at / RUN % 2 {
                0 => reply.blob(&self.disk, at, stop - at),
                _ => reply.zeroes(stop - at),
            }
            at = stop;
        }
        Ok(())
    }
}

impl Writable for Striped {
    fn write(&mut self, payload: &WritePayload, offset: u64, flags: WriteFlags) -> Result<()> {
        let last = offset + u64::from(payload.length()) - 1;
        if offset / RUN % 2 == 1 || last / RUN != offset / RUN {
            return Err(Errno::Enospc.into());
        }
        written::write(&self.disk, payload, offset, flags)
    }
}

impl Sparse for Striped {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        stripes::report(extents, offset, length)
    }
}

nbdbox_plugin::export!(Striped: Writable + Sparse);
