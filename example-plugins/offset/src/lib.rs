//! A filter that serves a part of the layer below: `range` bytes from `offset` on, or all the rest.

use nbdbox_plugin::{
    Device, Extents, Filter, Manifest, Plugin, Prefetch, ReadReply, Result, Sparse, ValueKind,
    Window, Writable, WriteFlags, WritePayload, Zeroable, config, next,
};

struct Offset(Window);

impl Plugin for Offset {
    fn manifest() -> Manifest {
        Manifest::new(
            "offset",
            env!("CARGO_PKG_VERSION"),
            "a part of the layer below",
        )
        .default("offset", ValueKind::Size, "0", "start of the part")
        .optional(
            "range",
            ValueKind::Size,
            "size of the part (default: all the rest)",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let start = config::required_size("offset")?;
        let left = next::describe().size.saturating_sub(start);
        let size = config::size("range")?.unwrap_or(left);
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

impl Filter for Offset {}

impl Writable for Offset {
    fn write(&mut self, payload: &WritePayload, offset: u64, _flags: WriteFlags) -> Result<()> {
        self.0.write(payload, offset);
        Ok(())
    }
}

impl Zeroable for Offset {
    fn trim(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        self.0.trim(offset, length, flags)
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        self.0.zero(offset, length, flags)
    }
}

impl Sparse for Offset {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        self.0.extents(extents, offset, length)
    }
}

impl Prefetch for Offset {
    fn cache(&mut self, offset: u64, length: u64) -> Result<()> {
        self.0.cache(offset, length)
    }
}

nbdbox_plugin::export!(Offset: Filter + Writable + Zeroable + Sparse + Prefetch);
