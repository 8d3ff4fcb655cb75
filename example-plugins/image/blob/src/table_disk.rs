//! A disk that the tables of an image describe, where the image is one file. All data goes by reference.

use std::rc::Rc;

use image_format::{Stretch, Tables};
use nbdbox_plugin::{
    Access, Blob, Device, ExtentKind, Extents, Mapping, Progress, ReadReply, Result,
};

use crate::{File, bad, tell_of_lacking_bytes};

/// The ranges that one read may have: half the pieces of a reply.
const PIECES: u64 = 2048;

/// An image, and the blob that holds it.
pub struct TableDisk<I> {
    image: I,
    blob: Rc<Blob>,
}

impl<I: Tables> TableDisk<I> {
    /// Opens the image in the blob `image`; `read` parses it.
    pub fn open(read: impl FnOnce(File) -> image_format::Result<I>) -> Result<Self> {
        let file = File::open("image")?;
        let blob = Rc::clone(&file.blob);
        let image = read(file).map_err(bad)?;
        Ok(Self { image, blob })
    }

    /// The device: immutable, unless the operator granted the image `rw`.
    pub fn describe(&self) -> Device {
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

    /// Reads by reference.
    pub fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
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
        self.tell_of_lacking_tables();
        Ok(())
    }

    /// Reports extents up to the end of the table that covers `offset`.
    pub fn extents(&mut self, extents: &Extents, offset: u64, length: u64) -> Result<()> {
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

    /// Reports where bytes are, for the host to remember.
    pub fn locate(&mut self, mapping: &Mapping, offset: u64) {
        let range = self.image.reach(offset);
        let mut at = range.start;
        while at < range.end {
            // A damaged entry fails when a client reads it.
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
        self.tell_of_lacking_tables();
    }

    fn tell_of_lacking_tables(&self) {
        if self.image.lacks() {
            tell_of_lacking_bytes();
        }
    }
}
