//! {{name}}: a disk on which every byte is its offset modulo 251. Replace it with your own.

use nbdbox_plugin::{
    Device, Extents, Manifest, Plugin, ReadReply, Result, Sparse, ValueKind, config,
};

/// A reply is made in pieces of this many bytes, so a large read needs no more memory than a small one.
const PIECE: u64 = 64 * 1024;

/// One instance of the disk.
struct Disk {
    size: u64,
}

impl Plugin for Disk {
    fn manifest() -> Manifest {
        // The settings that operators can give and, with `.blob(…)`, the files that they must grant.
        Manifest::new(
            "{{name}}",
            env!("CARGO_PKG_VERSION"),
            "every byte is its offset modulo 251",
        )
        .default("size", ValueKind::Size, "1M", "size of the disk")
    }

    fn open(_name: &str) -> Result<Self> {
        // Read settings, open blobs (`Blob::open`), read tables.
        Ok(Self {
            size: config::required_size("size")?,
        })
    }

    fn describe(&self) -> Device {
        // `parallel`: any instance can serve any call. `immutable`: the contents never change.
        Device::new(self.size).parallel().immutable()
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        // YOUR WORK GOES HERE: fill the reply with exactly `length` bytes from `offset` on, with
        // `reply.data`, `reply.zeroes`, or (by reference, from a granted file) `reply.blob`.
        let end = offset + u64::from(length);
        let mut at = offset;
        while at < end {
            let stop = end.min(at + PIECE);
            let bytes: Vec<u8> = (at..stop).map(|at| (at % 251) as u8).collect();
            reply.data(&bytes);
            at = stop;
        }
        Ok(())
    }
}

impl Sparse for Disk {
    fn extents(
        &mut self,
        _extents: &Extents,
        _offset: u64,
        _length: u64,
        _one: bool,
    ) -> Result<()> {
        // AND HERE: report holes and zeroes with `extents.add`. The host takes the rest for data.
        Ok(())
    }
}

// To let clients write, implement `Writable` (and `Zeroable`) and name the traits here.
nbdbox_plugin::export!(Disk: Sparse);
