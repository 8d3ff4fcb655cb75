//! The GUID partition table (UEFI specification, chapter 5), with its checks: a table that is damaged is
//! read from its copy at the disk's end, and refused if that is damaged too.

use crc::{CRC_32_ISO_HDLC, Crc};
use nbdbox_plugin::{Error, Level, Result, log};

use crate::disk::{Disk, Sectors, no_such, u32_at, u64_at};

/// Bytes of a table of entries: as many as are read at once. The specification wants 16 KiB at least.
const LARGEST: u64 = 1 << 20;

/// Bytes of a header that its checksum covers at least.
const HEADER: usize = 92;

/// The checksum of header and entries.
const SUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// A header whose checks hold, and its entries.
struct Table {
    usable: std::ops::RangeInclusive<u64>,
    entry: usize,
    entries: Vec<u8>,
}

/// Finds a partition.
pub(crate) fn find(disk: &Disk, number: u64) -> Result<Sectors> {
    let table = match table_at(disk, 1) {
        Ok(table) => table,
        Err(error) => {
            log(
                Level::Warn,
                &format!("{error}; the copy at the end is read"),
            );
            table_at(disk, disk.sectors() - 1)?
        }
    };
    let at = usize::try_from(number - 1).ok();
    let at = at.and_then(|index| index.checked_mul(table.entry));
    let entry = at.and_then(|at| table.entries.get(at..)?.get(..table.entry));
    let entry = entry.ok_or_else(|| no_such(number))?;
    if entry[..16].iter().all(|byte| *byte == 0) {
        return Err(no_such(number));
    }
    let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
    if first > last || !table.usable.contains(&first) || !table.usable.contains(&last) {
        return Err(Error::io(
            "the partition isn't inside what the GPT says can be used",
        ));
    }
    Ok(Sectors {
        first,
        count: last - first + 1,
    })
}

/// Reads a header and its entries.
fn table_at(disk: &Disk, sector: u64) -> Result<Table> {
    let damaged = |what: &str| Error::io(format!("the GPT in sector {sector} is damaged: {what}"));
    let mut header = disk.read(sector)?;
    let length = u32_at(&header, 12) as usize;
    if header[..8] != *b"EFI PART" {
        return Err(damaged("its signature"));
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
    let (first, last) = (u64_at(&header, 40), u64_at(&header, 48));
    if last >= disk.sectors() {
        return Err(damaged("it's for a larger disk"));
    }
    let (count, entry) = (u32_at(&header, 80), u32_at(&header, 84));
    let bytes = u64::from(count) * u64::from(entry);
    if !(128..=4096).contains(&entry) || !entry.is_power_of_two() || bytes > LARGEST {
        return Err(damaged("its entries' size"));
    }
    let sectors = bytes.div_ceil(disk.sector() as u64);
    let mut entries = disk.read_many(u64_at(&header, 72), sectors)?;
    entries.truncate(bytes as usize);
    if SUM.checksum(&entries) != u32_at(&header, 88) {
        return Err(damaged("its entries' checksum"));
    }
    Ok(Table {
        usable: first..=last,
        entry: entry as usize,
        entries,
    })
}
