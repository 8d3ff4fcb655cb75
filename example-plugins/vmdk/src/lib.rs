//! A VMDK image as a disk, read-only. The plugin parses the tables and decodes compressed grains in the sandbox; all
//! other data goes by reference.

use std::rc::Rc;

use image_blob::{File, bad, tell_of_lacking_bytes};
use nbdbox_plugin::{
    Access, Blob, Device, Error, ExtentKind, Extents, Level, Manifest, Mappable, Mapping, Plugin,
    Progress, ReadReply, Result, Sparse, ValueKind, config, log,
};
use vmdk_format::{Descriptor, Disk, ExtentKind as Kind, Image, Stretch, pages};

/// The ranges that one read may have: half the pieces of a reply, because borders of extents
/// divide them.
const PIECES: u64 = 2048;

/// Grain tables that one lookup covers.
const TABLES: u64 = 16;

struct Vmdk {
    disk: Disk<File>,
    /// The files by their numbers in the format: first the image itself.
    files: Vec<Rc<Blob>>,
}

impl Plugin for Vmdk {
    fn manifest() -> Manifest {
        let version = env!("CARGO_PKG_VERSION");
        Manifest::new("vmdk", version, "a VMDK image, read-only")
            .blob("image", Access::ReadOnly, "the image, or its descriptor")
            .optional(
                "extents",
                ValueKind::Text,
                "blobs of the files that a descriptor lists, in its order: NAME,NAME…",
            )
    }

    fn open(_name: &str) -> Result<Self> {
        let image = File::open("image")?;
        let mut files = vec![Rc::clone(&image.blob)];
        let names = config::text("extents").unwrap_or_default();
        let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
        let disk = match Image::open(image, pages::LIMIT).map_err(bad)? {
            Image::Whole(disk) if names.is_empty() => disk,
            Image::Whole(_) => {
                return Err(Error::invalid(
                    "extents=: the image consists of one file; remove the setting",
                ));
            }
            Image::Parts(descriptor) => {
                let extents = grants(&descriptor, &names)?;
                files.extend(extents.iter().map(|file| Rc::clone(&file.blob)));
                Disk::of(&descriptor, extents, pages::LIMIT).map_err(bad)?
            }
        };
        Ok(Self { disk, files })
    }

    fn describe(&self) -> Device {
        let most = (self.disk.grain() * PIECES).min(32 << 20) as u32;
        let device = Device::new(self.disk.size())
            .parallel()
            .block_sizes(1, 4096, most);
        if self
            .files
            .iter()
            .any(|blob| blob.access() == Access::ReadWrite)
        {
            device
        } else {
            device.immutable()
        }
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        let end = offset + u64::from(length);
        let mut at = offset;
        while at < end {
            let (stretch, length) = self.disk.stretch(at, end - at).map_err(bad)?;
            match stretch {
                Stretch::Hole => reply.zeroes(length),
                Stretch::Lacking => {
                    tell_of_lacking_bytes();
                    reply.zeroes(length);
                }
                Stretch::Data { file, offset } | Stretch::Flat { file, offset } => {
                    reply.blob(self.file(file)?, offset, length);
                }
                Stretch::Compressed { part, offset, skip } => {
                    let bytes = self.disk.decode(part, offset, skip).map_err(bad)?;
                    let short = || Error::io("malformed image: a compressed grain is too short");
                    reply.data(bytes.get(..length as usize).ok_or_else(short)?);
                }
            }
            at += length;
        }
        if self.disk.lacks() {
            tell_of_lacking_bytes();
        }
        Ok(())
    }
}

impl Sparse for Vmdk {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        let whole = offset + length;
        let (mut at, mut tables) = (offset, 0);
        while at < whole && tables < TABLES {
            let end = whole.min(self.disk.reach(at).end);
            while at < end {
                let (stretch, length) = self.disk.stretch(at, end - at).map_err(bad)?;
                let progress = match stretch {
                    Stretch::Hole => extents.add(at, length, ExtentKind::Hole)?,
                    Stretch::Flat { file, offset } => {
                        extents.blob(self.file(file)?, offset, length, at)?
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
            tables += 1;
        }
        if at < whole {
            extents.end_at(at);
        }
        Ok(())
    }
}

impl Mappable for Vmdk {
    fn locate(&mut self, mapping: &Mapping, offset: u64, _length: u64) -> Result<()> {
        let mut at = self.disk.reach(offset).start;
        'tables: for _ in 0..TABLES {
            let end = self.disk.reach(at).end;
            while at < end {
                // A damaged entry fails when a client reads it.
                let Ok((stretch, length)) = self.disk.stretch(at, end - at) else {
                    let grain = self.disk.grain();
                    let length = (grain - at % grain).min(end - at);
                    mapping.computed(at, length);
                    at += length;
                    continue;
                };
                let progress = match stretch {
                    Stretch::Hole => mapping.zeroes(at, length),
                    Stretch::Lacking => {
                        tell_of_lacking_bytes();
                        mapping.zeroes(at, length)
                    }
                    Stretch::Data { file, offset } | Stretch::Flat { file, offset } => {
                        mapping.blob(at, length, self.file(file)?, offset)
                    }
                    Stretch::Compressed { .. } => mapping.computed(at, length),
                };
                if progress == Progress::Full {
                    break 'tables;
                }
                at += length;
            }
        }
        if self.disk.lacks() {
            tell_of_lacking_bytes();
        }
        Ok(())
    }
}

impl Vmdk {
    fn file(&self, number: usize) -> Result<&Blob> {
        let blob = self.files.get(number).map(AsRef::as_ref);
        blob.ok_or_else(|| Error::io("the image has no file of this number"))
    }
}

/// Opens the files of a descriptor's extents by the operator's blob names. The names in the image are only logged.
fn grants(descriptor: &Descriptor, names: &[&str]) -> Result<Vec<File>> {
    let inside = descriptor
        .extents
        .iter()
        .filter_map(|extent| match &extent.kind {
            Kind::Flat { name, .. } | Kind::Sparse { name } => Some(name),
            Kind::Zero => None,
        });
    let inside: Vec<&String> = inside.collect();
    if inside.len() != names.len() {
        return Err(Error::invalid(format!(
            "its data is in {inside:?}: grant these files, and list their blobs in extents="
        )));
    }
    let open = |(&name, inside): (&&str, &&String)| {
        let text = format!("extent {inside:?} of the image: serving the blob {name:?}");
        log(Level::Info, &text);
        File::open(name)
    };
    names.iter().zip(&inside).map(open).collect()
}

nbdbox_plugin::export!(Vmdk: Sparse + Mappable);
