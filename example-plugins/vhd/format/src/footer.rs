//! The footer: the kind and the size of the disk.

use image_format::{Pages, field};

use crate::fields::{checksum, u32_at, u64_at};
use crate::{Error, Result, SECTOR, Source};

const COOKIE: &[u8] = b"conectix";

/// The offset of the checksum.
const CHECKSUM: usize = 64;

/// Sectors of the largest disk, as in QEMU (2040 GiB).
const MAX_SECTORS: u64 = 0xff00_0000;

/// Sectors of the largest geometry, which means that the size isn't in the geometry.
const MAX_GEOMETRY: u64 = 65_535 * 16 * 255;

/// The layout of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fixed: the data begins at the start of the file.
    Fixed,
    /// Dynamic: the data is in blocks.
    Dynamic {
        /// The offset of the dynamic header, in bytes.
        header: u64,
    },
}

/// The fields of the footer, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Size of the disk, in bytes.
    pub size: u64,
    /// The layout of the data.
    pub kind: Kind,
}

impl Footer {
    /// Reads the footer in the last sector of the file, or else its copy in the first one. (QEMU begins with the copy.
    /// But the first sector of a fixed disk belongs to its user, who must not decide the kind of the file.)
    pub fn read<S: Source>(file: &Pages<S>) -> Result<Self> {
        // The last sector may be short: old writers omitted its last byte.
        let last = file.size().div_ceil(SECTOR).saturating_sub(1) * SECTOR;
        let (end, start) = (checked(file, last)?, checked(file, 0)?);
        match (end, start) {
            (Found::Right(footer), _) | (_, Found::Right(footer)) => Self::parse(&footer),
            (Found::Damaged, _) | (_, Found::Damaged) => {
                Err(Error::malformed("the footer has a wrong checksum"))
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
            4 => return Err(Error::unsupported("it has a parent image")),
            kind => return Err(Error::unsupported(format!("disk type {kind}"))),
        };
        let sectors = sectors(bytes)?;
        if sectors == 0 || sectors > MAX_SECTORS {
            return Err(Error::malformed(format!(
                "invalid disk size: {sectors} sectors"
            )));
        }
        let size = sectors * SECTOR;
        Ok(Self { size, kind })
    }
}

/// The contents of a sector.
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

/// The size of the disk. In images of Virtual PC, and of QEMU if it wrote its own name, the geometry gives the size; in
/// all others the footer's size field does.
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
