//! A RAM disk in the sandbox's own memory. It allocates pages as clients write, and frees them as clients trim.
//!
//! The mode is `single`, because the instance's memory *is* the disk. `--limit memory=` decides how much it can hold. A
//! write that doesn't fit fails with ENOSPC and changes nothing.

use std::collections::BTreeMap;

use nbdbox_plugin::{
    Device, Errno, Error, ExtentKind, Extents, Manifest, Plugin, Progress, ReadReply, Result,
    Sparse, ValueKind, Writable, WriteFlags, WritePayload, Zeroable, config,
};

/// Size of a page in bytes: the unit of allocation and of extents.
const PAGE: u64 = 32 * 1024;

/// Bytes of memory that the disk leaves to the plugin's own needs.
const SPARE: usize = 64 * 1024;

struct Memory {
    size: u64,
    /// Page number → contents; a missing page is a hole.
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Plugin for Memory {
    fn manifest() -> Manifest {
        Manifest::new(
            "memory",
            env!("CARGO_PKG_VERSION"),
            "a RAM disk that allocates memory as clients write",
        )
        .default("size", ValueKind::Size, "32M", "size of the disk")
    }

    fn open(_name: &str) -> Result<Self> {
        Ok(Self {
            size: config::required_size("size")?,
            pages: BTreeMap::new(),
        })
    }

    fn describe(&self) -> Device {
        Device::new(self.size)
    }

    fn read(&mut self, reply: &ReadReply, offset: u64, length: u32) -> Result<()> {
        for piece in pieces(offset, u64::from(length)) {
            match self.pages.get(&piece.page) {
                Some(bytes) => reply.data(&bytes[piece.inside()]),
                None => reply.zeroes(piece.length),
            }
        }
        Ok(())
    }
}

impl Writable for Memory {
    fn write(&mut self, payload: &WritePayload, offset: u64, _flags: WriteFlags) -> Result<()> {
        let length = payload.length();
        self.allocate(offset, u64::from(length))?;
        let mut start = 0;
        for piece in pieces(offset, u64::from(length)) {
            let bytes = payload.read(start, piece.length as u32);
            self.page(piece.page)?[piece.inside()].copy_from_slice(&bytes);
            start += piece.length as u32;
        }
        Ok(())
    }
}

impl Zeroable for Memory {
    fn trim(&mut self, offset: u64, length: u64, _flags: WriteFlags) -> Result<()> {
        self.clear(offset, length);
        Ok(())
    }

    fn zero(&mut self, offset: u64, length: u64, flags: WriteFlags) -> Result<()> {
        if flags.contains(WriteFlags::NO_HOLE) {
            if flags.contains(WriteFlags::FAST_ZERO) {
                return Err(Errno::Enotsup.into());
            }
            self.allocate(offset, length)?;
            for piece in pieces(offset, length) {
                self.page(piece.page)?[piece.inside()].fill(0);
            }
        } else {
            self.clear(offset, length);
        }
        Ok(())
    }
}

impl Sparse for Memory {
    fn extents(&mut self, extents: &Extents, offset: u64, length: u64, _one: bool) -> Result<()> {
        let end = offset + length;
        let mut at = offset;
        for &page in self
            .pages
            .range(offset / PAGE..=(end - 1) / PAGE)
            .map(|(page, _)| page)
        {
            let start = (page * PAGE).max(at);
            if start > at && extents.add(at, start - at, ExtentKind::Hole)? == Progress::Full {
                return Ok(());
            }
            at = (start + PAGE - start % PAGE).min(end);
            if extents.add(start, at - start, ExtentKind::Data)? == Progress::Full {
                return Ok(());
            }
        }
        extents.add(at, end - at, ExtentKind::Hole)?;
        Ok(())
    }
}

impl Memory {
    /// Allocates every page of the range, or changes nothing.
    fn allocate(&mut self, offset: u64, length: u64) -> Result<()> {
        let mut made = Vec::new();
        for piece in pieces(offset, length) {
            if self.pages.contains_key(&piece.page) {
                continue;
            }
            let mut bytes = Vec::new();
            if bytes.try_reserve_exact(PAGE as usize).is_err() || made.try_reserve(1).is_err() {
                return Err(full());
            }
            bytes.resize(PAGE as usize, 0);
            made.push((piece.page, bytes.into_boxed_slice()));
        }
        // A later allocation of this call would abort on failure, so check now that there is memory for it: the page
        // that receives the payload, and the nodes of the map.
        if Vec::<u8>::new()
            .try_reserve_exact(PAGE as usize + SPARE)
            .is_err()
        {
            return Err(full());
        }
        self.pages.extend(made);
        Ok(())
    }

    fn page(&mut self, page: u64) -> Result<&mut Box<[u8]>> {
        self.pages.get_mut(&page).ok_or_else(full)
    }

    /// Frees whole pages, and zeroes parts of pages.
    fn clear(&mut self, offset: u64, length: u64) {
        let end = offset + length;
        let (first, last) = (offset / PAGE, end.div_ceil(PAGE));
        let touched: Vec<u64> = self
            .pages
            .range(first..last)
            .map(|(page, _)| *page)
            .collect();
        for page in touched {
            let (from, to) = (offset.max(page * PAGE), end.min((page + 1) * PAGE));
            if to - from == PAGE {
                self.pages.remove(&page);
            } else if let Some(bytes) = self.pages.get_mut(&page) {
                bytes[(from % PAGE) as usize..][..(to - from) as usize].fill(0);
            }
        }
    }
}

fn full() -> Error {
    Error::new(
        Errno::Enospc,
        "the plugin's memory limit is reached: raise --limit memory=",
    )
}

/// The part of a request that lies in one page.
struct Piece {
    page: u64,
    start: u64,
    length: u64,
}

impl Piece {
    fn inside(&self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.length) as usize
    }
}

/// Cuts a range at the borders of pages.
fn pieces(offset: u64, length: u64) -> impl Iterator<Item = Piece> {
    let end = offset + length;
    let mut at = offset;
    std::iter::from_fn(move || {
        let start = at % PAGE;
        let length = (PAGE - start).min(end - at);
        let piece = (length > 0).then_some(Piece {
            page: at / PAGE,
            start,
            length,
        });
        at += length;
        piece
    })
}

nbdbox_plugin::export!(Memory: Writable + Zeroable + Sparse);
