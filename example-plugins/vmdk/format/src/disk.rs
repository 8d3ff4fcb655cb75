//! A disk: one sparse file, or the extents that a descriptor lists.

use image_format::Pages;

use crate::descriptor::{self, Descriptor, Extent, ExtentKind};
use crate::header::Header;
use crate::sparse::{Place, Sparse};
use crate::{Error, Result, Source};

/// The place of a range of the disk. Files have numbers: 0 is the image itself, then follow those of the descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// Not stored: it reads as zeroes.
    Hole,
    /// At `offset` of a sparse file.
    Data {
        /// Which.
        file: usize,
        /// In bytes.
        offset: u64,
    },
    /// At `offset` of a plain file, which may have holes there.
    Flat {
        /// Which.
        file: usize,
        /// In bytes.
        offset: u64,
    },
    /// Past the end of its file: QEMU returns zeroes there.
    Lacking,
    /// In a compressed grain.
    Compressed {
        /// The number of its part of the disk.
        part: usize,
        /// The offset of the grain in its file, in bytes.
        offset: u64,
        /// The first byte of it.
        skip: u64,
    },
}

/// The most bytes of a compressed grain. Restrains the image's author: a guest has 64 MiB.
const MAX_COMPRESSED: u64 = 4 << 20;

/// A part of the disk, up to `end`.
#[derive(Debug)]
struct Part<S> {
    start: u64,
    end: u64,
    content: Content<S>,
}

#[derive(Debug)]
enum Content<S> {
    Zero,
    Flat {
        file: usize,
        offset: u64,
        /// The bytes of it that are inside the file.
        has: u64,
    },
    Sparse {
        file: usize,
        sparse: Box<Sparse<S>>,
    },
}

/// The parts, one after the other, without a gap.
#[derive(Debug)]
pub struct Disk<S> {
    parts: Vec<Part<S>>,
}

/// The kind of an image.
#[derive(Debug)]
pub enum Image<S> {
    /// A sparse file, which is the whole disk.
    Whole(Disk<S>),
    /// A descriptor: [`Disk::of`] needs its files.
    Parts(Descriptor),
}

impl<S: Source> Image<S> {
    /// Reads the image. Caches at most `memory` bytes of tables.
    pub fn open(source: S, memory: usize) -> Result<Self> {
        let file = Pages::new(source, memory);
        let first = file.read_padded(0, 512)?;
        if Header::is_at(&first) {
            return Disk::whole(file).map(Self::Whole);
        }
        if first.starts_with(b"COWD") {
            return Err(Error::unsupported("it is an extent of VMFS, not a disk"));
        }
        let text = file.read_padded(0, file.size().min(descriptor::MAX_FILE) as usize)?;
        let descriptor = Descriptor::parse(&text)?;
        let descriptor = descriptor.ok_or_else(|| Error::malformed("not a VMDK image"))?;
        if file.size() > descriptor::MAX_FILE {
            let size = file.size();
            return Err(Error::malformed(format!(
                "a descriptor of {size} bytes is too long"
            )));
        }
        refuse_parent(descriptor.parent.as_deref())?;
        if descriptor.extents.is_empty() {
            return Err(Error::malformed("the descriptor has no extents"));
        }
        Ok(Self::Parts(descriptor))
    }
}

impl<S: Source> Disk<S> {
    /// A disk that is one sparse file.
    fn whole(file: Pages<S>) -> Result<Self> {
        let sparse = checked(Sparse::open(file)?)?;
        refuse_parent(Descriptor::parent(&sparse.descriptor()?)?.as_deref())?;
        if sparse.header().capacity == 0 {
            return Err(Error::malformed("the disk has no sectors"));
        }
        let part = Part {
            start: 0,
            end: sparse.header().capacity,
            content: Content::Sparse {
                file: 0,
                sparse: Box::new(sparse),
            },
        };
        Ok(Self { parts: vec![part] })
    }

    /// The disk that a descriptor lists. `files` are the files of its extents, in their order.
    pub fn of(descriptor: &Descriptor, files: Vec<S>, memory: usize) -> Result<Self> {
        let wanted = descriptor
            .extents
            .iter()
            .filter(|one| one.kind != ExtentKind::Zero);
        let (wanted, given) = (wanted.count(), files.len());
        if wanted != given {
            return Err(Error::unsupported(format!(
                "its data is in {wanted} other files, but {given} are given"
            )));
        }
        let mut files = (1..).zip(files);
        let (mut parts, mut start) = (Vec::new(), 0_u64);
        for extent in &descriptor.extents {
            let end = start
                .checked_add(extent.length)
                .filter(|end| *end <= i64::MAX as u64);
            let end = end.ok_or_else(|| Error::malformed("the disk has 2^63 bytes or more"))?;
            let content = content(extent, &mut files, memory / given.max(1))?;
            parts.push(Part {
                start,
                end,
                content,
            });
            start = end;
        }
        Ok(Self { parts })
    }

    /// The size of the disk, in bytes.
    pub fn size(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// The unit of the tables, in bytes.
    pub fn grain(&self) -> u64 {
        let grain = |part: &Part<S>| match &part.content {
            Content::Sparse { sparse, .. } => Some(sparse.header().grain),
            _ => None,
        };
        self.parts
            .iter()
            .filter_map(grain)
            .min()
            .unwrap_or(64 << 10)
    }

    /// The range of the grain table that covers the byte at `offset`; for a part without tables, the whole part.
    pub fn reach(&self, offset: u64) -> std::ops::Range<u64> {
        let Some(part) = self.parts.get(self.find(offset)) else {
            return offset..offset;
        };
        match &part.content {
            Content::Sparse { sparse, .. } => {
                let reach = sparse.header().reach();
                let start = offset - (offset - part.start) % reach;
                start..part.end.min(start + reach)
            }
            _ => part.start..part.end,
        }
    }

    /// The place of the byte at `offset`, and the number of bytes that continue there: at least 1, at most `length`.
    /// `offset` is on the disk and `length` isn't 0.
    pub fn stretch(&mut self, offset: u64, length: u64) -> Result<(Stretch, u64)> {
        let index = self.find(offset);
        let Some(part) = self.parts.get_mut(index) else {
            return Ok((Stretch::Hole, length));
        };
        let (within, length) = (offset - part.start, length.min(part.end - offset));
        match &mut part.content {
            Content::Zero => Ok((Stretch::Hole, length)),
            Content::Flat { file, offset, has } => match has.saturating_sub(within) {
                0 => Ok((Stretch::Lacking, length)),
                left => {
                    let (file, offset) = (*file, *offset + within);
                    Ok((Stretch::Flat { file, offset }, length.min(left)))
                }
            },
            Content::Sparse { file, sparse } => {
                let file = *file;
                let (place, length) = sparse.place(within, length)?;
                let stretch = match place {
                    Place::Hole => Stretch::Hole,
                    Place::Data(offset) => Stretch::Data { file, offset },
                    Place::Lacking => Stretch::Lacking,
                    Place::Compressed { offset, skip } => Stretch::Compressed {
                        part: index,
                        offset,
                        skip,
                    },
                };
                Ok((stretch, length))
            }
        }
    }

    /// The bytes of a compressed grain from `skip` to its end.
    pub fn decode(&mut self, part: usize, offset: u64, skip: u64) -> Result<&[u8]> {
        match self.parts.get_mut(part).map(|part| &mut part.content) {
            Some(Content::Sparse { sparse, .. }) => sparse.decode(offset, skip),
            _ => Ok(&[]),
        }
    }

    /// Whether a read touched bytes of tables or streams past the end of a file. They count as zeroes.
    pub fn lacks(&self) -> bool {
        self.parts.iter().any(|part| match &part.content {
            Content::Sparse { sparse, .. } => sparse.lacks(),
            _ => false,
        })
    }

    /// The part that holds the byte at `offset`.
    fn find(&self, offset: u64) -> usize {
        self.parts.partition_point(|part| part.end <= offset)
    }
}

/// The contents of an extent; its file is the next one.
fn content<S: Source>(
    extent: &Extent,
    files: &mut impl Iterator<Item = (usize, S)>,
    memory: usize,
) -> Result<Content<S>> {
    let mut next = || {
        files
            .next()
            .ok_or_else(|| Error::malformed("an extent has no file"))
    };
    match &extent.kind {
        ExtentKind::Zero => Ok(Content::Zero),
        ExtentKind::Flat { offset, .. } => {
            let (file, source) = next()?;
            let has = source.size().saturating_sub(*offset).min(extent.length);
            let offset = *offset;
            Ok(Content::Flat { file, offset, has })
        }
        ExtentKind::Sparse { name } => {
            let (file, source) = next()?;
            let sparse = checked(Sparse::open(Pages::new(source, memory))?)?;
            let Header {
                capacity, grain, ..
            } = *sparse.header();
            // Writers round the capacity up to whole grains.
            if !(extent.length..extent.length.saturating_add(grain)).contains(&capacity) {
                return Err(Error::malformed(format!(
                    "the size of {name:?} doesn't match its extent"
                )));
            }
            let sparse = Box::new(sparse);
            Ok(Content::Sparse { file, sparse })
        }
    }
}

fn checked<S: Source>(sparse: Sparse<S>) -> Result<Sparse<S>> {
    let header = sparse.header();
    if header.compressed && header.grain > MAX_COMPRESSED {
        let grain = header.grain;
        return Err(Error::unsupported(format!(
            "compressed grains of {grain} bytes are too large"
        )));
    }
    Ok(sparse)
}

fn refuse_parent(parent: Option<&str>) -> Result<()> {
    match parent {
        Some(name) => Err(Error::unsupported(format!(
            "it has a parent image, {name:?}"
        ))),
        None => Ok(()),
    }
}
