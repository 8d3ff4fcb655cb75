//! A VHDX image as a disk, read-only: tables are read here, in the sandbox; all data goes by reference.

use std::rc::Rc;

use image_blob::{File, bad};
use nbdbox_plugin::{
    Access, Blob, Device, ExtentKind, Extents, Manifest, Mappable, Mapping, Plugin, Progress,
    ReadReply, Result, Sparse,
};
use vhdx_format::{Image, Stretch, pages};

struct Vhdx {
    image: Image<File>,
    blob: Rc<Blob>,
}

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
        let file = File::open("image")?;
        let blob = Rc::clone(&file.blob);
        let image = Image::open(file, pages::LIMIT).map_err(bad)?;
        Ok(Self { image, blob })
    }

    fn describe(&self) -> Device {
        let device = Device::new(self.image.size()).parallel();
        if self.blob.access() == Access::ReadWrite {
            device
        } else {
            device.immutable()
        }
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let end = offset + u64::from(length);
        let mut at = offset;
        while at < end {
            let (stretch, length) = self.image.stretch(at, end - at).map_err(bad)?;
            match stretch {
                Stretch::Hole => reply.zeroes(length),
                Stretch::Data(offset) => reply.blob(&self.blob, offset, length),
            }
            at += length;
        }
        Ok(())
    }
}

impl Sparse for Vhdx {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        let whole = offset + length;
        let end = whole.min(self.image.reach(offset).end);
        let mut at = offset;
        while at < end {
            let (stretch, length) = self.image.stretch(at, end - at).map_err(bad)?;
            let kind = match stretch {
                Stretch::Hole => ExtentKind::Hole,
                Stretch::Data(_) => ExtentKind::Data,
            };
            if extents.add(at, length, kind)? == Progress::Full {
                return Ok(());
            }
            at += length;
        }
        if end < whole {
            extents.end_at(end);
        }
        Ok(())
    }
}

impl Mappable for Vhdx {
    fn locate(&mut self, mapping: &Mapping, offset: u64, _length: u64) -> Result<()> {
        let range = self.image.reach(offset);
        let mut at = range.start;
        while at < range.end {
            // What is bad shows when it's read.
            let Ok((stretch, length)) = self.image.stretch(at, range.end - at) else {
                let grain = self.image.grain();
                let length = (grain - at % grain).min(range.end - at);
                mapping.computed(at, length);
                at += length;
                continue;
            };
            let progress = match stretch {
                Stretch::Hole => mapping.zeroes(at, length),
                Stretch::Data(offset) => mapping.blob(at, length, &self.blob, offset),
            };
            if progress == Progress::Full {
                break;
            }
            at += length;
        }
        Ok(())
    }
}

nbdbox_plugin::export!(Vhdx: Sparse + Mappable);
