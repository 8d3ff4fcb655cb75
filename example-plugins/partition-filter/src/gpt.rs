//! The GUID partition table (UEFI specification, chapter 5), with its checks: a table that is damaged is
//! read from its copy at the disk's end, and refused if that is damaged too.

use crc::{CRC_32_ISO_HDLC, Crc};
use nbdbox_plugin::{Error, Level, Result, log};

use crate::disk::{Disk, Sectors, no_such, u32_at, u64_at};

/// Bytes of a table of entries: as many as are read at once. The specification wants 16 KiB at least.
const LARGEST: u64 = 1 << 20;

/// Bytes of a header that its checksum covers at least.
const HEADER: usize = 92;

/// Bytes of an entry: 128, or more of a later version.
const ENTRY: std::ops::RangeInclusive<u32> = 128..=4096;

/// The checksum of header and entries.
const SUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A header whose checks hold, and its entries.
struct Table {
    entry: usize,
    entries: Vec<u8>,
}

/// Finds a partition: its place in bytes. The disk's sectors are of that size of `disks` in which there is
/// a table.
pub(crate) fn find(disks: &[Disk], number: u64) -> Result<(u64, u64)> {
    let (disk, table) = read(disks)?;
    let at = usize::try_from(number - 1).ok();
    let at = at.and_then(|index| index.checked_mul(table.entry));
    let entry = at.and_then(|at| table.entries.get(at..)?.get(..table.entry));
    let entry = entry.ok_or_else(|| no_such(number))?;
    if entry[..16].iter().all(|byte| *byte == 0) {
        return Err(no_such(number));
    }
    let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
    if first > last || last == u64::MAX {
        return Err(Error::io("the partition ends before it begins"));
    }
    // Whether the header calls these sectors usable doesn't matter: boot loaders have theirs elsewhere.
    disk.bytes(Sectors {
        first,
        count: last - first + 1,
    })
}

/// What is wrong with a table.
struct Damage {
    /// There isn't even a signature.
    missing: bool,
    text: String,
}

/// The table, or its copy, in the sectors in which it is.
fn read(disks: &[Disk]) -> Result<(&Disk, Table)> {
    in_any(disks, |_| 1).or_else(|first| {
        let copy = in_any(disks, |disk| disk.sectors() - 1)
            .map_err(|second| Error::io(format!("{}; {}", first.text, second.text)))?;
        log(
            Level::Warn,
            &format!("{}; its copy at the disk's end is read", first.text),
        );
        Ok(copy)
    })
}

/// The table in that sector, which has the first size in which there is a right one.
fn in_any(
    disks: &[Disk],
    sector: impl Fn(&Disk) -> u64,
) -> std::result::Result<(&Disk, Table), Damage> {
    let mut damage: Option<Damage> = None;
    for disk in disks {
        match table_at(disk, sector(disk)) {
            Ok(table) => return Ok((disk, table)),
            // One that has a signature tells more.
            Err(other) if damage.is_none() || !other.missing => damage = Some(other),
            Err(_) => {}
        }
    }
    Err(damage.unwrap_or(Damage {
        missing: true,
        text: "there is no GPT".to_owned(),
    }))
}

/// Reads a header and its entries.
fn table_at(disk: &Disk, sector: u64) -> std::result::Result<Table, Damage> {
    let damage = |missing, what: &str| Damage {
        missing,
        text: format!("the GPT in sector {sector} is damaged: {what}"),
    };
    let damaged = |what: &str| damage(false, what);
    let unreadable = |error: Error| damage(false, &error.to_string());
    let mut header = disk.read(sector).map_err(unreadable)?;
    let length = u32_at(&header, 12) as usize;
    if header[..8] != *b"EFI PART" {
        return Err(damage(true, "its signature"));
    }
    if length < HEADER || length > disk.sector() {
        return Err(damaged("its length"));
    }
    let sum = u32_at(&header, 16);
    header[16..20].fill(0);
    if SUM.checksum(&header[..length]) != sum {
        return Err(damaged("its checksum"));
    }
    if u64_at(&header, 24) != sector {
        return Err(damaged("it says that it's elsewhere"));
    }
    if u64_at(&header, 48) >= disk.sectors() {
        return Err(damaged("it's for a larger disk"));
    }
    let (count, entry) = (u32_at(&header, 80), u32_at(&header, 84));
    let bytes = u64::from(count) * u64::from(entry);
    if !ENTRY.contains(&entry) || entry % 8 != 0 || bytes > LARGEST {
        return Err(damaged("its entries' size"));
    }
    let sectors = bytes.div_ceil(disk.sector() as u64);
    let entries = disk.read_many(u64_at(&header, 72), sectors);
    let mut entries = entries.map_err(unreadable)?;
    entries.truncate(bytes as usize);
    if SUM.checksum(&entries) != u32_at(&header, 88) {
        return Err(damaged("its entries' checksum"));
    }
    Ok(Table {
        entry: entry as usize,
        entries,
    })
}
