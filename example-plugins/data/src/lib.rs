//! A disk that is written down in a few words: nbdkit's data plugin and its little language.
//!
//! Mode `single`: what is written is kept in the instance's memory. The text itself takes next to none,
//! however large the disk is that it describes.

use std::rc::Rc;

use data_format::{Picture, decode_base64, picture};
use nbdbox_plugin::{
    Device, Errno, Error, Extents, Manifest, Plugin, ReadReply, Result, Sparse, ValueKind,
    Writable, WriteFlags, WritePayload, Zeroable, config,
};

use crate::blobs::Blobs;
use crate::disk::Disk;

mod blobs;
mod changes;
mod disk;

struct Data(Disk);

impl Plugin for Data {
    fn manifest() -> Manifest {
        Manifest::new(
            "data",
            env!("CARGO_PKG_VERSION"),
            "a disk that is written down in a few words",
        )
        .optional(
            "data",
            ValueKind::Text,
            "the disk, in the plugin's language",
        )
        .optional("raw", ValueKind::Text, "the disk's bytes as they are")
        .optional("base64", ValueKind::Text, "the disk's bytes in base64")
        .optional("size", ValueKind::Size, "what it's cut off or continued to")
        .optional(
            "*",
            ValueKind::Text,
            "the text of the variable of that name",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let mut blobs = Blobs::default();
        let texts = ["data", "raw", "base64"].map(config::text);
        let picture = match texts {
            [Some(text), None, None] => picture(&text, &config::text, &mut blobs)
                .map_err(|error| Error::invalid(format!("data=: {error}")))?,
            [None, Some(bytes), None] => Rc::new(Picture::of_bytes(bytes.as_bytes())),
            [None, None, Some(text)] => {
                let bytes = decode_base64(&text);
                let bytes = bytes.map_err(|error| Error::invalid(error.to_string()))?;
                Rc::new(Picture::of_bytes(&bytes))
            }
            _ => {
                return Err(Error::invalid(
                    "a disk is told by one of data=, raw= and base64=: give one of them",
                ));
            }
        };
        let size = config::size("size")?.unwrap_or(picture.size());
        Ok(Self(Disk::new(picture, size, blobs)))
    }

    fn describe(&self) -> Device {
        Device::new(self.0.size())
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        self.0.read(reply, offset, length.into())
    }
}

impl Writable for Data {
    fn write(&mut self, payload: &WritePayload, offset: u64, _flags: WriteFlags) -> Result<()> {
        self.0.write(payload, offset)
    }
}

impl Zeroable for Data {
    fn trim(&mut self, offset: u64, length: u64, _flags: WriteFlags) -> Result<()> {
        self.0.zero(offset, length)
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        if !flags.contains(WriteFlags::NO_HOLE) {
            return self.0.zero(offset, length);
        }
        if flags.contains(WriteFlags::FAST_ZERO) {
            return Err(Errno::Enotsup.into());
        }
        self.0.zero_allocated(offset, length)
    }
}

impl Sparse for Data {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        self.0.report(extents, offset, length)
    }
}

nbdbox_plugin::export!(Data: Writable + Zeroable + Sparse);
