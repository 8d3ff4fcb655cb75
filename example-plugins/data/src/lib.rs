//! A disk that is written down in a few words, in the small language of nbdkit's data plugin.
//!
//! The mode is `single`, because the instance's memory holds the changes of clients. The text takes little memory,
//! however large its disk is.

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
            "the disk, in the language of nbdkit's data plugin",
        )
        .optional("raw", ValueKind::Text, "the plain bytes of the disk")
        .optional("base64", ValueKind::Text, "the bytes of the disk in base64")
        .optional(
            "size",
            ValueKind::Size,
            "size of the disk: cuts it off or extends it with zeroes",
        )
        .optional("*", ValueKind::Text, "a variable of the language")
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
                    "exactly one of data=, raw= and base64= is required",
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
