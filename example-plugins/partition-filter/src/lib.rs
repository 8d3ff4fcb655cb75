//! A filter that serves one partition of the layer below. The table may lie: the filter checks it, and the host checks
//! each request to the layer below once more.

use nbdbox_plugin::{
    Device, Error, Extents, Filter, Manifest, Plugin, Prefetch, ReadReply, Result, Sparse,
    ValueKind, Window, Writable, WriteFlags, WritePayload, Zeroable, config, next,
};

use crate::disk::Disk;

mod disk;
mod gpt;
mod mbr;

struct Partition(Window);

impl Plugin for Partition {
    fn manifest() -> Manifest {
        Manifest::new(
            "partition-filter",
            env!("CARGO_PKG_VERSION"),
            "one partition of the layer below, MBR or GPT",
        )
        .required(
            "partition",
            ValueKind::Number,
            "number of the partition, from 1; logical partitions of an MBR from 5",
        )
        .optional(
            "sectorsize",
            ValueKind::Size,
            "sector size of the disk, 512 or 4096 (default: detected for a GPT, 512 for an MBR)",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let number = config::number("partition")?.unwrap_or_default();
        if number == 0 {
            return Err(Error::invalid("partition=0: the first partition is 1"));
        }
        let said = config::size("sectorsize")?;
        let disk = Disk::new(next::describe().size, said.unwrap_or(Disk::SECTORS[0]))?;
        let (start, size) = match mbr::find(&disk, number)? {
            mbr::Found::Partition(range) => disk.bytes(range)?,
            mbr::Found::Protective => match said {
                Some(_) => gpt::find(&[disk], number)?,
                None => gpt::find(&Disk::SECTORS.map(|size| disk.with_sector(size)), number)?,
            },
        };
        Window::new(start, size).map(Self)
    }

    fn describe(&self) -> Device {
        self.0.device()
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        self.0.read(reply, offset, length);
        Ok(())
    }
}

impl Filter for Partition {}

impl Writable for Partition {
    fn write(&mut self, payload: &WritePayload, offset: u64, _flags: WriteFlags) -> Result<()> {
        self.0.write(payload, offset);
        Ok(())
    }
}

impl Zeroable for Partition {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        self.0.trim(offset, length, flags)
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        self.0.zero(offset, length, flags)
    }
}

impl Sparse for Partition {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        self.0.extents(extents, offset, length)
    }
}

impl Prefetch for Partition {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        self.0.cache(offset, length)
    }
}

nbdbox_plugin::export!(Partition: Filter + Writable + Zeroable + Sparse + Prefetch);
