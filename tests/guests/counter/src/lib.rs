use nbdbox_plugin::{Device, Manifest, Plugin, ReadReply, Result, ValueKind, config};

struct Counter {
    size: u64,
}

impl Plugin for Counter {
    fn manifest() -> Manifest {
        Manifest::new("counter", "1.0.0", "every byte is its offset modulo 251").default(
            "size",
            ValueKind::Size,
            "1M",
            "size of the disk",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        Ok(Self {
            size: config::required_size("size")?,
        })
    }

    fn describe(&self) -> Device {
        Device::new(self.size).parallel().immutable()
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let bytes: Vec<u8> = (offset..)
            .take(length as usize)
            .map(|at| (at % 251) as u8)
            .collect();
        reply.data(&bytes);
        Ok(())
    }
}

nbdbox_plugin::export!(Counter);
