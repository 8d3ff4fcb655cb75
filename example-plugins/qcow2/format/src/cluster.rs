//! The L2 entry of a cluster or, with extended entries, of its subclusters.

use crate::header::Header;
use crate::{Error, Result};

/// Bits 9 to 55 of an entry: an offset in the file.
pub const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// The place of a range of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the next file of the chain, or not stored.
    Below,
    /// It reads as zeroes.
    Zero,
    /// At this offset of the file that holds the data.
    Data(u64),
    /// Past the end of that file.
    Lacking,
    /// Inside a compressed cluster.
    Compressed(Compressed),
}

/// The place of the bytes of a compressed cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compressed {
    /// In the image file.
    pub offset: u64,
    /// The most bytes; the file may end earlier.
    pub length: u64,
    /// The start of the range in the decoded cluster.
    pub skip: u64,
}

/// An L2 entry, and the bitmap that follows an extended one.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The first 64 bits.
    pub descriptor: u64,
    /// The states of the subclusters; 0 if there are none.
    pub bitmap: u64,
}

impl Entry {
    /// The place of the byte at `offset` of the disk.
    pub fn place(self, header: &Header, offset: u64) -> Result<Place> {
        let cluster = 1_u64 << header.cluster_bits;
        let within = offset % cluster;
        if self.descriptor & COMPRESSED != 0 {
            return self.compressed(header, within);
        }
        let host = self.descriptor & OFFSET;
        if !host.is_multiple_of(cluster) {
            return Err(Error::malformed(format!(
                "the cluster at {host} isn't aligned"
            )));
        }
        let anywhere = host != 0 || header.external_data && self.descriptor & COPIED != 0;
        if header.extended_l2 {
            let (allocated, zero) = (self.bitmap as u32, (self.bitmap >> 32) as u32);
            if allocated & zero != 0 {
                return Err(Error::malformed("a subcluster is both allocated and zero"));
            }
            if allocated != 0 && !anywhere {
                return Err(Error::malformed("an allocated subcluster has no cluster"));
            }
            let bit = 1 << (within / (cluster / 32));
            if zero & bit != 0 {
                return Ok(Place::Zero);
            }
            if allocated & bit == 0 {
                return Ok(Place::Below);
            }
        } else if self.descriptor & ZERO != 0 {
            if header.version < 3 {
                return Err(Error::malformed("version 2 has no zero clusters"));
            }
            return Ok(Place::Zero);
        } else if !anywhere {
            return Ok(Place::Below);
        }
        if header.external_data && host != offset - within {
            return Err(Error::malformed(
                "the offset in the external data file isn't the offset on the disk",
            ));
        }
        Ok(Place::Data(host + within))
    }

    fn compressed(self, header: &Header, skip: u64) -> Result<Place> {
        if header.external_data {
            return Err(Error::malformed(
                "an image with an external data file can't have compressed clusters",
            ));
        }
        let shift = 62 - (header.cluster_bits - 8);
        let offset = self.descriptor & ((1 << shift) - 1);
        let sectors = (self.descriptor >> shift & ((1 << (header.cluster_bits - 8)) - 1)) + 1;
        Ok(Place::Compressed(Compressed {
            offset,
            length: sectors * 512 - offset % 512,
            skip,
        }))
    }
}

impl Place {
    /// Whether `next`, `distance` bytes further on, continues the run that begins here.
    pub fn goes_on(self, next: Self, distance: u64) -> bool {
        match (self, next) {
            (Self::Below, Self::Below) | (Self::Zero, Self::Zero) => true,
            (Self::Data(here), Self::Data(there)) => here + distance == there,
            _ => false,
        }
    }
}
