//! A disk of no bytes at all, as nbdkit's zero plugin is: for the corner cases of clients.

use nbdbox_plugin::{Device, Errno, Manifest, Plugin, ReadReply, Result};

struct Zero;

impl Plugin for Zero {
    fn manifest() -> Manifest {
        Manifest::new("zero", env!("CARGO_PKG_VERSION"), "a disk of zero bytes")
    }

    fn open(_name: &str) -> Result<Self> {
        Ok(Self)
    }

    fn describe(&self) -> Device {
        Device::new(0).parallel().immutable()
    }

    /// Isn't called: the host lets nothing through that isn't inside the disk.
    fn read(&mut self, _reply: &ReadReply, _offset: u64, _length: u32) -> Result<()> {
        Err(Errno::Einval.into())
    }
}

nbdbox_plugin::export!(Zero);
