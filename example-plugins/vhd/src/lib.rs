//! A VHD image as a disk, read-only. The plugin parses the tables in the sandbox; all data goes by reference.

use image_blob::{File, TableDisk};
use nbdbox_plugin::{
    Access, Device, Extents, Manifest, Mappable, Mapping, Plugin, ReadReply, Result, Sparse,
};
use vhd_format::{Image, pages};

struct Vhd(TableDisk<Image<File>>);

impl Plugin for Vhd {
    fn manifest() -> Manifest {
        let version = env!("CARGO_PKG_VERSION");
        Manifest::new("vhd", version, "a VHD image, read-only").blob(
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

impl Sparse for Vhd {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        self.0.extents(extents, offset, length)
    }
}

impl Mappable for Vhd {
    fn locate(&mut self, mapping: &Mapping, offset: u64, _length: u64) -> Result<()> {
        self.0.locate(mapping, offset);
        Ok(())
    }
}

nbdbox_plugin::export!(Vhd: Sparse + Mappable);
