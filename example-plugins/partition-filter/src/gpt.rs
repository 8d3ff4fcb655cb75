//! The GUID partition table (UEFI specification, chapter 5), with its checks. If the table is damaged, the filter reads
//! the copy at the end of the disk, and refuses the disk if that is damaged too.

use crc::{CRC_32_ISO_HDLC, Crc};
use nbdbox_plugin::{Error, Level, Result, log};

use crate::disk::{Disk, Sectors, no_such, u32_at, u64_at};

/// The most bytes of a table of entries: those of one read. The specification requires 16 KiB or more.
const LARGEST: u64 = 1 << 20;

/// The least bytes of a header that its checksum covers.
const HEADER: usize = 92;

/// Size of an entry in bytes: 128, or more in a later version.
const ENTRY: std::ops::RangeInclusive<u32> = 128..=4096;

/// The checksum of header and entries.
const SUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A valid header, and its entries.
struct Table {
    entry: usize,
    entries: Vec<u8>,
}

/// Finds a partition, and returns its place in bytes. The sector size is the first of `disks` that has a valid table.
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
    // Ignore which sectors the header calls usable: boot loaders keep partitions outside of them.
    disk.bytes(Sectors {
        first,
        count: last - first + 1,
    })
}

/// Why a table is invalid.
struct Damage {
    /// The signature is missing.
    missing: bool,
    text: String,
}

/// Reads the table, or else its copy.
fn read(disks: &[Disk]) -> Result<(&Disk, Table)> {
    in_any(disks, |_| 1).or_else(|first| {
        let copy = in_any(disks, |disk| disk.sectors() - 1)
            .map_err(|second| Error::io(format!("{}; {}", first.text, second.text)))?;
        log(
            Level::Warn,
            &format!("{}; reading the copy at the end of the disk", first.text),
        );
        Ok(copy)
    })
}

/// Reads the table in that sector, with the first sector size that gives a valid one.
fn in_any(
    disks: &[Disk],
    sector: impl Fn(&Disk) -> u64,
) -> std::result::Result<(&Disk, Table), Damage> {
    let mut damage: Option<Damage> = None;
    for disk in disks {
        match table_at(disk, sector(disk)) {
            Ok(table) => return Ok((disk, table)),
            // Prefer the reason of a table that has a signature.
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
        return Err(damage(true, "wrong signature"));
    }
    if length < HEADER || length > disk.sector() {
        return Err(damaged("wrong header length"));
    }
    let sum = u32_at(&header, 16);
    header[16..20].fill(0);
    if SUM.checksum(&header[..length]) != sum {
        return Err(damaged("wrong header checksum"));
    }
    if u64_at(&header, 24) != sector {
        return Err(damaged("wrong address of the header"));
    }
    if u64_at(&header, 48) >= disk.sectors() {
        return Err(damaged("it belongs to a larger disk"));
    }
    let (count, entry) = (u32_at(&header, 80), u32_at(&header, 84));
    let bytes = u64::from(count) * u64::from(entry);
    if !ENTRY.contains(&entry) || entry % 8 != 0 || bytes > LARGEST {
        return Err(damaged("wrong size of the entries"));
    }
    let sectors = bytes.div_ceil(disk.sector() as u64);
    let entries = disk.read_many(u64_at(&header, 72), sectors);
    let mut entries = entries.map_err(unreadable)?;
    entries.truncate(bytes as usize);
    if SUM.checksum(&entries) != u32_at(&header, 88) {
        return Err(damaged("wrong checksum of the entries"));
    }
    Ok(Table {
        entry: entry as usize,
        entries,
    })
}
