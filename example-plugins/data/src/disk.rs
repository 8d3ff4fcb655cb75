//! The disk: the contents of the text, below the changes of clients.

use std::rc::Rc;

use data_format::{Files as _, Leaf, Picture};
use nbdbox_plugin::{Error, ExtentKind, Extents, Progress, ReadReply, Result, WritePayload};

use crate::blobs::Blobs;
use crate::changes::{self, Change, Changes, PAGE};

/// Size of a piece of a reply, in bytes.
const CHUNK: usize = 64 * 1024;

/// A file's bytes go by reference from this length on. Shorter runs are copied, because a reply has at most 4096
/// pieces.
const BY_REFERENCE: u64 = 32 * 1024;

/// The most runs that a report examines. Then it ends early.
const LOOKS: u32 = 50_000;

pub(crate) struct Disk {
    size: u64,
    picture: Rc<Picture>,
    blobs: Blobs,
    changes: Changes,
    /// Bytes of a reply that are ready and not appended yet.
    chunk: Vec<u8>,
}

impl Disk {
    /// Serves `picture`, cut off or extended with zeroes to `size`.
    pub(crate) fn new(picture: Rc<Picture>, size: u64, blobs: Blobs) -> Self {
        Self {
            size,
            picture,
            blobs,
            changes: Changes::default(),
            chunk: Vec::with_capacity(CHUNK),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn read(&mut self, reply: &ReadReply, offset: u64, length: u64) -> Result<()> {
        let (mut at, end) = (offset, offset + length);
        while at < end {
            let (change, stop) = self.changes.at(at / PAGE);
            let stop = stop.saturating_mul(PAGE).min(end);
            match change {
                Some(Change::Bytes(bytes)) => {
                    let part = &bytes[(at % PAGE) as usize..][..(stop - at) as usize];
                    self.chunk.extend(part);
                    self.hand_over(reply, CHUNK);
                }
                Some(Change::Zero { .. }) => self.add_zeroes(reply, stop - at),
                None => self.read_picture(reply, at, stop)?,
            }
            at = stop;
        }
        self.hand_over(reply, 1);
        Ok(())
    }

    fn read_picture(&mut self, reply: &ReadReply, offset: u64, end: u64) -> Result<()> {
        let picture = Rc::clone(&self.picture);
        let mut at = offset;
        while at < end {
            let (leaf, length) = picture.leaf(at);
            let mut length = length.min(end - at);
            match leaf {
                Leaf::Zero => self.add_zeroes(reply, length),
                Leaf::File { index, offset, .. } if length >= BY_REFERENCE => {
                    self.hand_over(reply, 1);
                    reply.blob(self.blobs.get(index), offset, length);
                }
                leaf => {
                    length = length.min((CHUNK - self.chunk.len()) as u64);
                    let start = self.chunk.len();
                    self.chunk.resize(start + length as usize, 0);
                    fill(&mut self.blobs, leaf, &mut self.chunk[start..])?;
                    self.hand_over(reply, CHUNK);
                }
            }
            at += length;
        }
        Ok(())
    }

    fn add_zeroes(&mut self, reply: &ReadReply, length: u64) {
        if self.chunk.len() as u64 + length < CHUNK as u64 {
            self.chunk.resize(self.chunk.len() + length as usize, 0);
        } else {
            self.hand_over(reply, 1);
            reply.zeroes(length);
        }
    }

    /// Appends the bytes that are ready, if there are at least this many.
    fn hand_over(&mut self, reply: &ReadReply, least: usize) {
        if self.chunk.len() >= least {
            reply.data(&self.chunk);
            self.chunk.clear();
        }
    }

    pub(crate) fn write(&mut self, payload: &WritePayload, offset: u64) -> Result<()> {
        let end = offset + u64::from(payload.length());
        // First the steps that may fail.
        for page in offset / PAGE..end.div_ceil(PAGE) {
            self.bring(page)?;
        }
        for page in offset / PAGE..end.div_ceil(PAGE) {
            let (from, to) = (offset.max(page * PAGE), end.min((page + 1) * PAGE));
            let bytes = payload.read((from - offset) as u32, (to - from) as u32);
            if let Some(kept) = self.changes.bytes(page) {
                kept[(from % PAGE) as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
        }
        Ok(())
    }

    /// Makes a range read as zeroes, and frees whole pages.
    pub(crate) fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let end = offset + length;
        let (first, last) = (offset.div_ceil(PAGE), end / PAGE);
        // The last page of the disk is complete at the end of the disk.
        let last = if end == self.size {
            end.div_ceil(PAGE)
        } else {
            last
        };
        if first >= last {
            return self.zero_part(offset, end);
        }
        self.zero_part(offset, first * PAGE)?;
        self.zero_part(last * PAGE, end)?;
        self.changes.zero(first, last)
    }

    /// Zeroes the parts of pages in a range.
    fn zero_part(&mut self, offset: u64, end: u64) -> Result<()> {
        let mut at = offset;
        while at < end {
            let page = at / PAGE;
            let stop = end.min((page + 1) * PAGE);
            if !self.is_zero(page) {
                self.bring(page)?;
            }
            if let Some(bytes) = self.changes.bytes(page) {
                bytes[(at % PAGE) as usize..][..(stop - at) as usize].fill(0);
            }
            at = stop;
        }
        Ok(())
    }

    /// Makes a range read as allocated zeroes, as far as memory is left.
    pub(crate) fn zero_allocated(&mut self, offset: u64, length: u64) -> Result<()> {
        let end = offset + length;
        for page in offset / PAGE..end.div_ceil(PAGE) {
            self.bring(page)?;
            let (from, to) = (offset.max(page * PAGE), end.min((page + 1) * PAGE));
            if let Some(bytes) = self.changes.bytes(page) {
                bytes[(from % PAGE) as usize..][..(to - from) as usize].fill(0);
            }
        }
        Ok(())
    }

    /// Whether a page holds only zeroes.
    fn is_zero(&self, page: u64) -> bool {
        match self.changes.at(page) {
            (Some(Change::Zero { .. }), _) => true,
            (Some(Change::Bytes(_)), _) => false,
            (None, _) => !self.picture.page(page * PAGE, PAGE, &mut 1000).0,
        }
    }

    /// Brings a page into memory.
    fn bring(&mut self, page: u64) -> Result<()> {
        let (change, _) = self.changes.at(page);
        let from_picture = match change {
            Some(Change::Bytes(_)) => return Ok(()),
            Some(Change::Zero { .. }) => false,
            None => true,
        };
        let mut bytes = changes::page()?;
        let (start, mut at) = (page * PAGE, 0);
        while from_picture && at < bytes.len() {
            let (leaf, length) = self.picture.leaf(start + at as u64);
            let count = length.min((bytes.len() - at) as u64) as usize;
            fill(&mut self.blobs, leaf, &mut bytes[at..at + count])?;
            at += count;
        }
        self.changes.keep(page, bytes)
    }

    pub(crate) fn report(&self, extents: &Extents, offset: u64, length: u64) -> Result<()> {
        let end = offset + length;
        let mut at = offset - offset % PAGE;
        let mut looks = LOOKS;
        while at < end {
            if looks == 0 {
                extents.end_at(at.max(offset + 1));
                return Ok(());
            }
            let (change, stop) = self.changes.at(at / PAGE);
            let stop = stop.saturating_mul(PAGE).min(end.next_multiple_of(PAGE));
            let (kind, length) = match change {
                Some(Change::Bytes(bytes)) if bytes.iter().any(|byte| *byte != 0) => {
                    (ExtentKind::Data, PAGE)
                }
                Some(Change::Bytes(_)) => (ExtentKind::Zero, PAGE),
                Some(Change::Zero { .. }) => (ExtentKind::Hole, stop - at),
                None => match self.picture.page(at, PAGE, &mut looks) {
                    (true, length) => (ExtentKind::Data, length.min(stop - at)),
                    (false, length) => (ExtentKind::Hole, length.min(stop - at)),
                },
            };
            looks = looks.saturating_sub(1);
            if extents.add(at, length, kind)? == Progress::Full {
                return Ok(());
            }
            at += length;
        }
        Ok(())
    }
}

/// The bytes of a leaf, or the first of them.
fn fill(blobs: &mut Blobs, leaf: Leaf<'_>, into: &mut [u8]) -> Result<()> {
    match leaf {
        Leaf::Zero => into.fill(0),
        Leaf::Bytes(bytes) => into.copy_from_slice(&bytes[..into.len()]),
        Leaf::Fill(byte) => into.fill(byte),
        Leaf::File {
            readable: false, ..
        } => {
            return Err(Error::io(
                "the plugin must read this part of a file: grant the blob as ro, not as map-only",
            ));
        }
        Leaf::File { index, offset, .. } => {
            blobs.read(index, offset, into).map_err(Error::io)?;
        }
    }
    Ok(())
}
