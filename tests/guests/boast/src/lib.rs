//! Declares a hundred thousand settings. Its manifest alone would take more memory of the host than the whole plugin
//! may have.

use nbdbox_plugin::{Device, Manifest, Plugin, ReadReply, Result, ValueKind};

struct Boast;

impl Plugin for Boast {
    fn manifest() -> Manifest {
        (0..100_000).fold(
            Manifest::new("boast", "1.0.0", "all that it knows"),
            |manifest, number| {
                manifest.optional(&number.to_string(), ValueKind::Text, "one of many")
            },
        )
    }

    fn open(_name: &str) -> Result<Self> {
        Ok(Self)
    }

    fn describe(&self) -> Device {
        Device::new(1 << 20)
    }

    fn read(&mut self, reply: &ReadReply, _offset: u64, length: u32) -> Result<()> {
        reply.zeroes(length.into());
        Ok(())
    }
}

nbdbox_plugin::export!(Boast);
