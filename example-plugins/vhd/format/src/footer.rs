//! The footer: what kind of disk the file holds, and how large it is.

use image_format::{Pages, field};

use crate::fields::{checksum, u32_at, u64_at};
use crate::{Error, Result, SECTOR, Source};

const COOKIE: &[u8] = b"conectix";

/// Where the checksum is.
const CHECKSUM: usize = 64;

/// Sectors of a disk, as many as QEMU takes (2040 GiB).
const MAX_SECTORS: u64 = 0xff00_0000;

/// Sectors of the largest geometry, which stands for: the geometry doesn't tell.
const MAX_GEOMETRY: u64 = 65_535 * 16 * 255;

/// How the data is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the file's first byte on.
    Fixed,
    /// In blocks.
    Dynamic {
        /// Where the header is that says more, in bytes.
        header: u64,
    },
}

/// What the footer says, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Of the disk, in bytes.
    pub size: u64,
    /// How it's kept.
    pub kind: Kind,
}

impl Footer {
    /// Reads it in the file's last sector, or else its copy in the first one. (QEMU begins with the copy. But
    /// on a fixed disk the first sector is its user's, who must not decide what the file is.)
    pub fn read<S: Source>(file: &Pages<S>) -> Result<Self> {
        // The last sector may be short: old writers have left its last byte out.
        let last = file.size().div_ceil(SECTOR).saturating_sub(1) * SECTOR;
        let (end, start) = (checked(file, last)?, checked(file, 0)?);
        match (end, start) {
            (Found::Right(footer), _) | (_, Found::Right(footer)) => Self::parse(&footer),
            (Found::Damaged, _) | (_, Found::Damaged) => {
                Err(Error::malformed("a footer with a wrong checksum"))
            }
            _ => Err(Error::malformed("not a VHD image")),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let kind = match u32_at(bytes, 60)? {
            2 => Kind::Fixed,
            3 => Kind::Dynamic {
                header: u64_at(bytes, 16)?,
            },
            4 => return Err(Error::unsupported("it stands on a parent")),
            kind => return Err(Error::unsupported(format!("a disk of type {kind}"))),
        };
        let sectors = sectors(bytes)?;
        if sectors == 0 || sectors > MAX_SECTORS {
            return Err(Error::malformed(format!("a disk of {sectors} sectors")));
        }
        let size = sectors * SECTOR;
        Ok(Self { size, kind })
    }
}

/// What is in a sector.
enum Found {
    Right(Vec<u8>),
    Damaged,
    Nothing,
}

fn checked<S: Source>(file: &Pages<S>, at: u64) -> Result<Found> {
    let bytes = file.read_padded(at, SECTOR as usize)?;
    Ok(if !bytes.starts_with(COOKIE) {
        Found::Nothing
    } else if u32_at(&bytes, CHECKSUM)? == checksum(&bytes, CHECKSUM) {
        Found::Right(bytes)
    } else {
        Found::Damaged
    })
}

/// How large the disk is. To Virtual PC, and to QEMU as long as it wrote its own name, that was what the
/// geometry makes; to all others it's the size that the footer has.
fn sectors(bytes: &[u8]) -> Result<u64> {
    let [high, low, heads, sectors] = field(bytes, 56)?;
    let cylinders = u16::from_be_bytes([high, low]);
    let geometry = u64::from(cylinders) * u64::from(heads) * u64::from(sectors);
    let by_geometry = matches!(&field::<4>(bytes, 28)?, b"vpc " | b"qemu");
    if by_geometry && geometry != MAX_GEOMETRY {
        return Ok(geometry);
    }
    Ok(u64_at(bytes, 48)? / SECTOR)
}
