//! A VHD image as a disk, read-only: tables are read here, in the sandbox; all data goes by reference.

use std::rc::Rc;

use image_blob::{File, bad, tell_of_lacking_bytes};
use nbdbox_plugin::{
    Access, Blob, Device, ExtentKind, Extents, Manifest, Mappable, Mapping, Plugin, Progress,
    ReadReply, Result, Sparse,
};
use vhd_format::{Image, Stretch, pages};

/// Ranges that a read may fall into, half the pieces of a reply.
const PIECES: u64 = 2048;

struct Vhd {
    image: Image<File>,
    blob: Rc<Blob>,
}

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
        let file = File::open("image")?;
        let blob = Rc::clone(&file.blob);
        let image = Image::open(file, pages::LIMIT).map_err(bad)?;
        Ok(Self { image, blob })
    }

    fn describe(&self) -> Device {
        let most = (self.image.grain() * PIECES).min(32 << 20) as u32;
        let device = Device::new(self.image.size())
            .parallel()
            .block_sizes(1, 4096, most);
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
                Stretch::Data(offset) | Stretch::Flat(offset) => {
                    reply.blob(&self.blob, offset, length);
                }
                Stretch::Lacking => {
                    tell_of_lacking_bytes();
                    reply.zeroes(length);
                }
            }
            at += length;
        }
        if self.image.lacks() {
            tell_of_lacking_bytes();
        }
        Ok(())
    }
}

impl Sparse for Vhd {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        let whole = offset + length;
        let end = whole.min(self.image.reach(offset).end);
        let mut at = offset;
        while at < end {
            let (stretch, length) = self.image.stretch(at, end - at).map_err(bad)?;
            let progress = match stretch {
                Stretch::Hole => extents.add(at, length, ExtentKind::Hole)?,
                Stretch::Data(_) | Stretch::Lacking => extents.add(at, length, ExtentKind::Data)?,
                Stretch::Flat(offset) => extents.blob(&self.blob, offset, length, at)?,
            };
            if progress == Progress::Full {
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

impl Mappable for Vhd {
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
                Stretch::Data(offset) | Stretch::Flat(offset) => {
                    mapping.blob(at, length, &self.blob, offset)
                }
                Stretch::Lacking => {
                    tell_of_lacking_bytes();
                    mapping.zeroes(at, length)
                }
            };
            if progress == Progress::Full {
                break;
            }
            at += length;
        }
        if self.image.lacks() {
            tell_of_lacking_bytes();
        }
        Ok(())
    }
}

nbdbox_plugin::export!(Vhd: Sparse + Mappable);
