//! The header of a sparse file, checked field by field.

use image_format::{Pages, field};

use crate::{Error, Result, SECTOR, Source};

const MAGIC: [u8; 4] = *b"KDMV";

/// The value that means: the offset of the grain directory is in the footer, because the file was written as a stream.
const AT_END: u64 = u64::MAX;

const ZEROED_GRAINS: u32 = 1 << 2;
const MARKERS: u32 = 1 << 17;

/// The bytes of the embedded descriptor that are read, as in QEMU.
const MAX_DESCRIPTOR: u64 = 20 << 10;

/// The most sectors of a grain, as in QEMU (1 GiB).
const MAX_GRAIN: u64 = 0x20_0000;

/// The most entries of a grain directory, as in QEMU.
const MAX_DIRECTORY: u64 = 32 << 20;

/// The fields of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Size of the disk, in bytes.
    pub capacity: u64,
    /// Size of a grain, in bytes: a power of two.
    pub grain: u64,
    /// Grains that a table describes.
    pub entries: u64,
    /// The offset of the grain directory, in bytes.
    pub directory: u64,
    /// Grains are zlib streams, with or without markers.
    pub compressed: bool,
    /// A marker with the length precedes each compressed grain.
    pub markers: bool,
    /// An entry of 1 means zeroes.
    pub zeroed_grains: bool,
    /// The place of the embedded descriptor, in bytes. Empty if there is none.
    pub descriptor: (u64, u64),
}

impl Header {
    /// Whether the file begins like a sparse file.
    pub fn is_at(first: &[u8]) -> bool {
        first.starts_with(&MAGIC)
    }

    /// Reads and checks the header, or the footer if the header refers to it.
    pub fn read<S: Source>(file: &Pages<S>) -> Result<Self> {
        let first = file.read_padded(0, SECTOR as usize)?;
        // The last sector may be short: a marker is 16 bytes and zeroes.
        let sectors = file.size().div_ceil(SECTOR);
        if u64_at(&first, 56)? != AT_END {
            return Self::parse(&first, sectors);
        }
        let start = (sectors * SECTOR).checked_sub(3 * SECTOR);
        let start = start.ok_or_else(|| Error::malformed("the file is too short for a footer"))?;
        let footer = file.read_padded(start, 3 * SECTOR as usize)?;
        let (marker, rest) = footer.split_at(SECTOR as usize);
        let (copy, end) = rest.split_at(SECTOR as usize);
        // A marker: sectors, bytes, a type. Type 3 precedes a footer, 0 is the end of the stream.
        let kinds = (
            u32_at(marker, 8)?,
            u32_at(marker, 12)?,
            u32_at(end, 8)?,
            u32_at(end, 12)?,
        );
        if kinds != (0, 3, 0, 0) || !Self::is_at(copy) || u64_at(copy, 56)? == AT_END {
            return Err(Error::malformed(
                "the header refers to a footer, but there is none",
            ));
        }
        Self::parse(copy, sectors)
    }

    fn parse(bytes: &[u8], file_sectors: u64) -> Result<Self> {
        if !Self::is_at(bytes) {
            return Err(Error::malformed("not a sparse VMDK file"));
        }
        let version = u32_at(bytes, 4)?;
        if !(1..=3).contains(&version) {
            return Err(Error::unsupported(format!("VMDK version {version}")));
        }
        let flags = u32_at(bytes, 8)?;
        let sectors = |at, what: &str| {
            let sectors = u64_at(bytes, at)?;
            let length = sectors
                .checked_mul(SECTOR)
                .filter(|length| *length <= i64::MAX as u64);
            length.ok_or_else(|| Error::malformed(format!("invalid {what}: {sectors} sectors")))
        };
        let compression = u16::from_le_bytes(field(bytes, 77)?);
        let overhead = u64_at(bytes, 64)?;
        if overhead > file_sectors {
            return Err(Error::malformed(format!(
                "the file is cut short: it has {file_sectors} sectors, and its data begins at {overhead}"
            )));
        }
        let descriptor = sectors(28, "place of the descriptor")?;
        // Any length: only the first bytes of the descriptor are read.
        let size = u64_at(bytes, 36)?.saturating_mul(SECTOR);
        let header = Self {
            capacity: sectors(12, "disk size")?,
            grain: sectors(20, "grain size")?,
            entries: u32_at(bytes, 44)?.into(),
            directory: sectors(56, "offset of the grain directory")?,
            // QEMU and VirtualBox use this field and ignore the flag.
            compressed: compression != 0,
            markers: flags & MARKERS != 0,
            zeroed_grains: flags & ZEROED_GRAINS != 0,
            descriptor: (descriptor, size.min(MAX_DESCRIPTOR)),
        };
        header.check(compression)?;
        Ok(header)
    }

    fn check(&self, compression: u16) -> Result<()> {
        let grain = self.grain / SECTOR;
        if !grain.is_power_of_two() || grain > MAX_GRAIN {
            return Err(Error::malformed(format!(
                "invalid grain size: {grain} sectors"
            )));
        }
        if !(1..=512).contains(&self.entries) {
            let entries = self.entries;
            return Err(Error::malformed(format!(
                "invalid size of a grain table: {entries} entries"
            )));
        }
        if self.capacity.div_ceil(self.reach()) > MAX_DIRECTORY {
            return Err(Error::malformed("the grain directory is too long"));
        }
        if compression > 1 {
            return Err(Error::unsupported(format!(
                "compression algorithm {compression}"
            )));
        }
        Ok(())
    }

    /// The bytes of the disk that a grain table describes.
    pub fn reach(&self) -> u64 {
        self.entries * self.grain
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(field(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(field(bytes, at)?))
}
