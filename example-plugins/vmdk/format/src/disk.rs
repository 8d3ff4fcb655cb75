//! A disk: one sparse file, or the extents that a descriptor lists.

use image_format::Pages;

use crate::descriptor::{self, Descriptor, Extent, ExtentKind};
use crate::header::Header;
use crate::sparse::{Place, Sparse};
use crate::{Error, Result, Source};

/// Where a range of the disk is. Files are counted: 0 is the image itself, then come those that its
/// descriptor lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// Nowhere: it reads as zeroes.
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
    /// Past the end of its file: QEMU reads zeroes there.
    Lacking,
    /// In a compressed grain.
    Compressed {
        /// Of which part of the disk.
        part: usize,
        /// Where the grain is in its file, in bytes.
        offset: u64,
        /// From which of its bytes on.
        skip: u64,
    },
}

/// Bytes of a grain that are decoded at once. Restrains the image's author: a guest has 64 MiB.
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
        /// Bytes of it that the file has.
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

/// What an image turned out to be.
#[derive(Debug)]
pub enum Image<S> {
    /// A sparse file, which is all of the disk.
    Whole(Disk<S>),
    /// A descriptor: its files are to be had for [`Disk::of`].
    Parts(Descriptor),
}

impl<S: Source> Image<S> {
    /// Looks at the image. Remembers at most `memory` bytes of tables.
    pub fn open(source: S, memory: usize) -> Result<Self> {
        let file = Pages::new(source, memory);
        let first = file.read_padded(0, 512)?;
        if Header::is_at(&first) {
            return Disk::whole(file).map(Self::Whole);
        }
        if first.starts_with(b"COWD") {
            return Err(Error::unsupported("an extent of VMFS, not a disk"));
        }
        let text = file.read_padded(0, file.size().min(descriptor::MAX_FILE) as usize)?;
        let descriptor = Descriptor::parse(&text)?;
        let descriptor = descriptor.ok_or_else(|| Error::malformed("not a VMDK image"))?;
        if file.size() > descriptor::MAX_FILE {
            let size = file.size();
            return Err(Error::malformed(format!("a descriptor of {size} bytes")));
        }
        refuse_parent(descriptor.parent.as_deref())?;
        if descriptor.extents.is_empty() {
            return Err(Error::malformed("a descriptor without extents"));
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
            return Err(Error::malformed("a disk of no sectors"));
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

    /// The disk that a descriptor lists, with a file for each of its extents that has one, in its order.
    pub fn of(descriptor: &Descriptor, files: Vec<S>, memory: usize) -> Result<Self> {
        let wanted = descriptor
            .extents
            .iter()
            .filter(|one| one.kind != ExtentKind::Zero);
        let (wanted, given) = (wanted.count(), files.len());
        if wanted != given {
            return Err(Error::unsupported(format!(
                "its data is in {wanted} other files, and {given} were given"
            )));
        }
        let mut files = (1..).zip(files);
        let (mut parts, mut start) = (Vec::new(), 0_u64);
        for extent in &descriptor.extents {
            let end = start
                .checked_add(extent.length)
                .filter(|end| *end <= i64::MAX as u64);
            let end = end.ok_or_else(|| Error::malformed("a disk of 2^63 bytes or more"))?;
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

    /// The disk's size in bytes.
    pub fn size(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// The least that has a place of its own, in bytes.
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

    /// What one grain table describes around the byte at `offset`; of a part without tables all of it.
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

    /// Where the byte at `offset` is, and how many bytes from there on carry on in the same way: at
    /// least 1, at most `length`. `offset` is on the disk and `length` isn't 0.
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

    /// Whether tables or streams were read of which a file lacks bytes: they were taken for zeroes.
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

/// What an extent is made of; its file is the next one.
fn content<S: Source>(
    extent: &Extent,
    files: &mut impl Iterator<Item = (usize, S)>,
    memory: usize,
) -> Result<Content<S>> {
    let mut next = || {
        files
            .next()
            .ok_or_else(|| Error::malformed("an extent without a file"))
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
                    "{name:?} isn't as long as its extent"
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
            "compressed grains of {grain} bytes"
        )));
    }
    Ok(sparse)
}

fn refuse_parent(parent: Option<&str>) -> Result<()> {
    match parent {
        Some(name) => Err(Error::unsupported(format!(
            "it stands on a parent, {name:?}"
        ))),
        None => Ok(()),
    }
}
