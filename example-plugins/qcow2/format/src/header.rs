//! The header and its extensions, checked field by field.

use crate::fields::{u32_at, u64_at};
use crate::pages::{Pages, Source};
use crate::{Error, Result};

const MAGIC: u32 = 0x5146_49fb;

/// The most entries of an L1 table, as in QEMU (32 MiB).
pub const MAX_L1_ENTRIES: u32 = 4 << 20;

/// The first bytes of the header, which every version has.
const FIXED: usize = 112;

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Raw deflate streams.
    Deflate,
    /// Zstandard frames.
    Zstd,
}

/// A contiguous table of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its start, in bytes.
    pub offset: u64,
    /// Its number of entries.
    pub entries: u32,
}

/// The fields of the header. Names are only logged and compared, never opened.
#[derive(Debug, Clone)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// 9 to 21.
    pub cluster_bits: u32,
    /// The disk's size in bytes, below 2^63.
    pub size: u64,
    /// The active L1 table; not yet checked against the file.
    pub l1: Table,
    /// The snapshot table.
    pub snapshots: Table,
    /// How clusters are compressed.
    pub compression: Compression,
    /// Whether L2 entries describe 32 subclusters.
    pub extended_l2: bool,
    /// Whether the clusters are in an external data file.
    pub external_data: bool,
    /// The name of the backing file.
    pub backing: Option<String>,
    /// The format of the backing file: `raw`, `qcow2`, or any other text.
    pub backing_format: Option<String>,
    /// The name of the external data file.
    pub data_name: Option<String>,
}

impl Header {
    /// Reads and checks the header.
    pub fn read<S: Source>(file: &Pages<S>) -> Result<Self> {
        let fixed = file.read(0, file.size().min(FIXED as u64) as usize)?;
        if u32_at(&fixed, 0)? != MAGIC {
            return Err(Error::malformed("not a qcow2 image"));
        }
        let mut header = Self::fixed(&fixed)?;
        let start = length(&fixed, header.version)?;
        let cluster = 1 << header.cluster_bits;
        if start > cluster {
            return Err(Error::malformed(format!("invalid header length {start}")));
        }
        let first = file.read(0, file.size().min(cluster as u64) as usize)?;
        header.backing = backing(&first)?;
        let end = match u64_at(&fixed, 8)? {
            0 => first.len(),
            // Checked together with the name.
            offset => offset as usize,
        };
        header.extensions(first.get(start..end).unwrap_or_default())?;
        Ok(header)
    }

    fn fixed(bytes: &[u8]) -> Result<Self> {
        let version = u32_at(bytes, 4)?;
        if !matches!(version, 2 | 3) {
            return Err(Error::unsupported(format!("qcow2 version {version}")));
        }
        let incompatible = if version == 3 { u64_at(bytes, 72)? } else { 0 };
        let header = Self {
            version,
            cluster_bits: u32_at(bytes, 20)?,
            size: u64_at(bytes, 24)?,
            l1: table(bytes, 40, 36)?,
            snapshots: table(bytes, 64, 60)?,
            compression: compression(bytes, incompatible)?,
            extended_l2: incompatible & 1 << 4 != 0,
            external_data: incompatible & 1 << 2 != 0,
            backing: None,
            backing_format: None,
            data_name: None,
        };
        header.check(incompatible, u32_at(bytes, 32)?)?;
        Ok(header)
    }

    fn check(&self, incompatible: u64, encryption: u32) -> Result<()> {
        let unknown = incompatible & !0x1f;
        if unknown != 0 {
            let bits: Vec<u32> = (0..64).filter(|bit| unknown >> bit & 1 == 1).collect();
            return Err(Error::unsupported(format!(
                "unknown incompatible features, bits {bits:?}"
            )));
        }
        if encryption != 0 {
            return Err(Error::unsupported("it is encrypted"));
        }
        let least = if self.extended_l2 { 14 } else { 9 };
        if !(least..=21).contains(&self.cluster_bits) {
            let bits = self.cluster_bits;
            return Err(Error::malformed(format!(
                "cluster_bits {bits} isn't in {least}..=21"
            )));
        }
        if self.size > i64::MAX as u64 {
            return Err(Error::malformed(format!("invalid disk size {}", self.size)));
        }
        Ok(())
    }

    /// Reads the extensions that this crate uses, and ignores the others.
    fn extensions(&mut self, mut bytes: &[u8]) -> Result<()> {
        while bytes.len() >= 8 {
            let (kind, length) = (u32_at(bytes, 0)?, u32_at(bytes, 4)? as usize);
            if kind == 0 {
                break;
            }
            let Some(data) = bytes[8..].get(..length) else {
                return Err(Error::malformed(
                    "a header extension is longer than the header",
                ));
            };
            match kind {
                0xe279_2aca => self.backing_format = Some(text(data)),
                0x4441_5441 => self.data_name = Some(text(data)),
                _ => {}
            }
            bytes = bytes[8..]
                .get(length.next_multiple_of(8)..)
                .unwrap_or_default();
        }
        Ok(())
    }
}

/// The length of the header.
fn length(bytes: &[u8], version: u32) -> Result<usize> {
    if version == 2 {
        return Ok(72);
    }
    let length = u32_at(bytes, 100)?;
    if length < 104 || length % 8 != 0 {
        return Err(Error::malformed(format!("invalid header length {length}")));
    }
    Ok(length as usize)
}

fn table(bytes: &[u8], offset: usize, entries: usize) -> Result<Table> {
    Ok(Table {
        offset: u64_at(bytes, offset)?,
        entries: u32_at(bytes, entries)?,
    })
}

fn compression(bytes: &[u8], incompatible: u64) -> Result<Compression> {
    if incompatible & 1 << 3 == 0 {
        return Ok(Compression::Deflate);
    }
    match bytes.get(104) {
        Some(1) if u32_at(bytes, 100)? > 104 => Ok(Compression::Zstd),
        other => Err(Error::unsupported(format!("compression type {other:?}"))),
    }
}

/// The name of the backing file, which is in the first cluster.
fn backing(first: &[u8]) -> Result<Option<String>> {
    let (offset, length) = (u64_at(first, 8)?, u32_at(first, 16)?);
    if offset == 0 {
        return Ok(None);
    }
    if length > 1023 {
        return Err(Error::malformed(format!(
            "the name of the backing file has {length} bytes, which is too long"
        )));
    }
    let start = usize::try_from(offset).ok();
    let name = start.and_then(|start| first.get(start..)?.get(..length as usize));
    match name {
        Some(name) => Ok(Some(text(name))),
        None => Err(Error::malformed(
            "the name of the backing file isn't in the first cluster",
        )),
    }
}

fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('\0').to_owned()
}
