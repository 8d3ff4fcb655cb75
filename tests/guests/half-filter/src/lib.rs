use nbdbox_plugin::{
    Device, Extents, Filter, Manifest, Plugin, ReadReply, Result, Sparse, Window, next,
};

/// The second half of the layer below.
struct Half(Window);

impl Plugin for Half {
    fn manifest() -> Manifest {
        Manifest::new("half", "1.0.0", "the second half of the layer below")
    }

    fn open(_name: &str) -> Result<Self> {
        let below = next::describe();
        let half = below.size / 2 / 65_536 * 65_536;
        Window::new(half, below.size - half).map(Self)
    }

    fn describe(&self) -> Device {
        self.0.device()
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        self.0.read(reply, offset, length);
        Ok(())
    }
}

impl Filter for Half {}

impl Sparse for Half {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        self.0.extents(extents, offset, length)
    }
}

nbdbox_plugin::export!(Half: Filter + Sparse);
