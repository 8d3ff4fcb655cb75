//! A VHDX image as a disk, read-only. The plugin parses the tables in the sandbox; all data goes by reference.

use image_blob::{File, TableDisk};
use nbdbox_plugin::{
    Access, Device, Extents, Manifest, Mappable, Mapping, Plugin, ReadReply, Result, Sparse,
};
use vhdx_format::{Image, pages};

struct Vhdx(TableDisk<Image<File>>);

impl Plugin for Vhdx {
    fn manifest() -> Manifest {
        let version = env!("CARGO_PKG_VERSION");
        Manifest::new("vhdx", version, "a VHDX image, read-only").blob(
            "image",
            Access::ReadOnly,
            "the image",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        TableDisk::open(|file| Image::open(file, pages::LIMIT)).map(Self)
    }

    fn describe(&self) -> Device {
        self.0.describe()
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        self.0.read(reply, offset, length)
    }
}

impl Sparse for Vhdx {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        self.0.extents(extents, offset, length)
    }
}

impl Mappable for Vhdx {
    fn locate(&mut self, mapping: &Mapping, offset: u64, _length: u64) -> Result<()> {
        self.0.locate(mapping, offset);
        Ok(())
    }
}

nbdbox_plugin::export!(Vhdx: Sparse + Mappable);
