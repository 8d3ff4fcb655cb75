//! A qcow2 image as a disk, read-only. The plugin parses the tables and decodes compressed clusters in the sandbox; all
//! other data goes by reference.

use image_blob::{File, bad, tell_of_lacking_bytes};
use nbdbox_plugin::{
    Access, Device, ExtentKind, Extents, Manifest, Mappable, Mapping, Plugin, Progress, ReadReply,
    Result, Sparse, ValueKind,
};
use qcow2_format::{Chain, Stretch};

use crate::files::Files;

mod files;

/// Clusters that one report covers, in whole L2 tables; with large clusters one table.
const STATUS_CLUSTERS: u64 = 8192;

/// The ranges that one read may have: half the pieces of a reply, because a border of one layer may
/// divide the ranges of another.
const PIECES: u64 = 2048;

/// Ranges of one mapping: an L2 table of 64 KiB clusters.
const LOCATED: u64 = 8192;

struct Qcow2 {
    chain: Chain<File>,
    files: Files,
}

impl Plugin for Qcow2 {
    fn manifest() -> Manifest {
        let version = env!("CARGO_PKG_VERSION");
        Manifest::new(
            "qcow2",
            version,
            "a qcow2 image, read-only, with its backing files",
        )
        .blob(
            "image",
            Access::MapOnly,
            "the image; with a map-only grant, set metadata",
        )
        .optional(
            "backing",
            ValueKind::Text,
            "blobs of the backing files, nearest first: NAME,NAME…",
        )
        .optional(
            "backing-format",
            ValueKind::Text,
            "format of a backing file, raw or qcow2, if the image doesn't name it",
        )
        .optional(
            "data",
            ValueKind::Text,
            "blobs of external data files, the top image's first: NAME,NAME…",
        )
        .optional(
            "metadata",
            ValueKind::Text,
            "a blob with a copy of the image's tables, to read them from",
        )
        .optional(
            "snapshot",
            ValueKind::Text,
            "the internal snapshot to serve, by name or ID",
        )
    }

    fn open(_name: &str) -> Result<Self> {
        let (chain, files) = files::open()?;
        Ok(Self { chain, files })
    }

    fn describe(&self) -> Device {
        let most = (self.chain.grain() * PIECES).min(32 << 20) as u32;
        let device = Device::new(self.chain.size())
            .parallel()
            .block_sizes(1, 4096, most);
        if self.files.may_change() {
            device
        } else {
            device.immutable()
        }
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let end = offset + u64::from(length);
        let mut at = offset;
        while at < end {
            let (stretch, length) = self.chain.stretch(at, end - at).map_err(bad)?;
            match stretch {
                Stretch::Zero => reply.zeroes(length),
                Stretch::Lacking => {
                    tell_of_lacking_bytes();
                    reply.zeroes(length);
                }
                Stretch::Data { layer, offset } | Stretch::Raw { layer, offset } => {
                    reply.blob(self.files.data(layer)?, offset, length);
                }
                Stretch::Compressed { layer, at } => {
                    let bytes = self.chain.decode(layer, at).map_err(bad)?;
                    reply.data(bytes.get(..length as usize).unwrap_or_default());
                }
            }
            at += length;
        }
        if self.chain.lacks() {
            tell_of_lacking_bytes();
        }
        Ok(())
    }
}

impl Sparse for Qcow2 {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        let reach = self.chain.l2_reach();
        let reach = reach * (STATUS_CLUSTERS * self.chain.cluster()).div_ceil(reach);
        let whole = offset + length;
        let end = whole.min(offset - offset % reach + reach);
        let mut at = offset;
        while at < end {
            let (stretch, length) = self.chain.stretch(at, end - at).map_err(bad)?;
            let progress = match stretch {
                Stretch::Zero => extents.add(at, length, ExtentKind::Hole)?,
                Stretch::Raw { layer, offset } => {
                    extents.blob(self.files.data(layer)?, offset, length, at)?
                }
                Stretch::Data { .. } | Stretch::Lacking | Stretch::Compressed { .. } => {
                    extents.add(at, length, ExtentKind::Data)?
                }
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

impl Mappable for Qcow2 {
    fn locate(&mut self, mapping: &Mapping, offset: u64, _length: u64) -> Result<()> {
        let reach = (self.chain.grain() * LOCATED).min(self.chain.l2_reach());
        let start = offset - offset % reach;
        let end = self.chain.size().min(start + reach);
        let mut at = start;
        while at < end {
            // A damaged entry fails when a client reads it.
            let Ok((stretch, length)) = self.chain.stretch(at, end - at) else {
                let grain = self.chain.grain();
                let length = (grain - at % grain).min(end - at);
                mapping.computed(at, length);
                at += length;
                continue;
            };
            let progress = match stretch {
                Stretch::Zero => mapping.zeroes(at, length),
                Stretch::Lacking => {
                    tell_of_lacking_bytes();
                    mapping.zeroes(at, length)
                }
                Stretch::Data { layer, offset } | Stretch::Raw { layer, offset } => {
                    mapping.blob(at, length, self.files.data(layer)?, offset)
                }
                Stretch::Compressed { .. } => mapping.computed(at, length),
            };
            if progress == Progress::Full {
                break;
            }
            at += length;
        }
        if self.chain.lacks() {
            tell_of_lacking_bytes();
        }
        Ok(())
    }
}

nbdbox_plugin::export!(Qcow2: Sparse + Mappable);
