//! A disk of zero bytes, like nbdkit's zero plugin: for the corner cases of clients.

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

    /// The host never calls it, because it rejects every range outside the disk.
    fn read(&mut self, _reply: &ReadReply, _offset: u64, _length: u32) -> Result<()> {
        Err(Errno::Einval.into())
    }
}

nbdbox_plugin::export!(Zero);
