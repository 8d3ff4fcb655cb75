//! The table of internal snapshots.

use crate::fields::{u16_at, u32_at, u64_at};
use crate::header::{Header, Table};
use crate::pages::{Pages, Source};
use crate::{Error, Result};

/// The most snapshots, as in QEMU.
const MAX_SNAPSHOTS: u32 = 65_536;

/// Size of the fixed part of an entry, in bytes.
const FIXED: usize = 40;

/// An internal snapshot.
#[derive(Debug)]
pub struct Snapshot {
    /// Its L1 table.
    pub l1: Table,
    /// The size of its disk, in bytes.
    pub size: u64,
}

/// Finds the snapshot with that name, or else with that ID.
pub fn find<S: Source>(file: &Pages<S>, header: &Header, wanted: &str) -> Result<Snapshot> {
    let table = header.snapshots;
    if table.entries > MAX_SNAPSHOTS {
        return Err(Error::malformed(format!(
            "too many snapshots: {}",
            table.entries
        )));
    }
    let (mut at, mut by_id) = (table.offset, None);
    for _ in 0..table.entries {
        let entry = Entry::read(file, header, at)?;
        if entry.name == wanted {
            return Ok(entry.snapshot);
        }
        if entry.id == wanted {
            by_id = Some(entry.snapshot);
        }
        at = entry.end;
    }
    by_id.ok_or_else(|| Error::unsupported(format!("it has no snapshot {wanted:?}")))
}

struct Entry {
    snapshot: Snapshot,
    id: String,
    name: String,
    end: u64,
}

impl Entry {
    fn read<S: Source>(file: &Pages<S>, header: &Header, at: u64) -> Result<Self> {
        let fixed = file.read(at, FIXED)?;
        let extra = u32_at(&fixed, 36)? as usize;
        if extra > 1024 {
            return Err(Error::malformed(format!(
                "a snapshot has {extra} extra bytes, which is too many"
            )));
        }
        let (id, name) = (
            usize::from(u16_at(&fixed, 12)?),
            usize::from(u16_at(&fixed, 14)?),
        );
        let length = FIXED + extra + id + name;
        let bytes = file.read(at, length)?;
        let text =
            |from: usize, length| String::from_utf8_lossy(&bytes[from..from + length]).into();
        let size = if extra >= 16 {
            u64_at(&bytes, 48)?
        } else {
            header.size
        };
        if size > i64::MAX as u64 {
            return Err(Error::malformed(format!(
                "invalid disk size {size} of a snapshot"
            )));
        }
        let l1 = Table {
            offset: u64_at(&bytes, 0)?,
            entries: u32_at(&bytes, 8)?,
        };
        Ok(Self {
            snapshot: Snapshot { l1, size },
            id: text(FIXED + extra, id),
            name: text(FIXED + extra + id, name),
            end: at + length.next_multiple_of(8) as u64,
        })
    }
}
