//! The layer below, as a disk of sectors.

use nbdbox_plugin::{Error, Result, next};

/// Sectors `first..first + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sectors {
    pub(crate) first: u64,
    pub(crate) count: u64,
}

/// A disk, with the size of its sectors in bytes.
pub(crate) struct Disk {
    size: u64,
    sector: u64,
}

impl Disk {
    /// The sector sizes of disks, in bytes. The default comes first.
    pub(crate) const SECTORS: [u64; 2] = [512, 4096];

    pub(crate) fn new(size: u64, sector: u64) -> Result<Self> {
        if !Self::SECTORS.contains(&sector) {
            return Err(Error::invalid("sectorsize= must be 512 or 4096"));
        }
        if size < sector {
            return Err(Error::invalid(
                "the disk is smaller than a sector, so it has no partition table",
            ));
        }
        Ok(Self { size, sector })
    }

    /// The same disk, in sectors of another size.
    pub(crate) fn with_sector(&self, sector: u64) -> Self {
        Self {
            size: self.size,
            sector,
        }
    }

    /// Size of a sector, in bytes.
    pub(crate) fn sector(&self) -> usize {
        self.sector as usize
    }

    /// Number of whole sectors.
    pub(crate) fn sectors(&self) -> u64 {
        self.size / self.sector
    }

    /// Reads one sector.
    pub(crate) fn read(&self, sector: u64) -> Result<Vec<u8>> {
        self.read_many(sector, 1)
    }

    /// Reads sectors, at most 1 MiB.
    pub(crate) fn read_many(&self, first: u64, count: u64) -> Result<Vec<u8>> {
        if count > self.sectors() || first > self.sectors() - count {
            return Err(Error::io(
                "the partition table points past the end of the disk",
            ));
        }
        next::read(first * self.sector, (count * self.sector) as u32)
    }

    /// A range in bytes; an error if it is empty, or isn't on the disk after its first sector.
    pub(crate) fn bytes(&self, range: Sectors) -> Result<(u64, u64)> {
        let Sectors { first, count } = range;
        let inside = first > 0 && count > 0;
        if !inside || count > self.sectors() || first > self.sectors() - count {
            return Err(Error::io("the partition isn't inside the disk"));
        }
        Ok((first * self.sector, count * self.sector))
    }
}

/// A little-endian number of 4 bytes.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

/// A little-endian number of 8 bytes.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
    word.map_or(0, u64::from_le_bytes)
}

/// The error when there is no partition of this number.
pub(crate) fn no_such(number: u64) -> Error {
    Error::invalid(format!("partition={number}: there is no such partition"))
}

/// The same error, with a reason.
pub(crate) fn no_such_since(number: u64, why: &str) -> Error {
    Error::invalid(format!(
        "partition={number}: there is no such partition: {why}"
    ))
}
