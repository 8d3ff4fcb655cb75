//! The table in the first sector: four entries, and a chain of more in an extended partition.

use nbdbox_plugin::{Error, Result};

use crate::disk::{Disk, Sectors, no_such, u32_at};

/// Links of the chain that are followed: it may be a circle.
const LINKS: u64 = 128;

/// What the table says.
pub(crate) enum Found {
    Partition(Sectors),
    /// The disk has a GPT.
    Protective,
}

/// An entry of a table.
struct Entry {
    kind: u8,
    range: Sectors,
}

impl Entry {
    /// Entry 0 to 3 of a table.
    fn of(table: &[u8], index: usize) -> Self {
        let entry = &table[446 + 16 * index..][..16];
        Self {
            kind: entry[4],
            range: Sectors {
                first: u32_at(entry, 8).into(),
                count: u32_at(entry, 12).into(),
            },
        }
    }

    fn is_used(&self) -> bool {
        self.kind != 0 && self.range.count > 0
    }

    fn is_extended(&self) -> bool {
        self.is_used() && matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// Finds a partition: 1 to 4 in the table, logical ones from 5 on.
pub(crate) fn find(disk: &Disk, number: u64) -> Result<Found> {
    let table = table_at(disk, 0)?;
    let entries = [0, 1, 2, 3].map(|index| Entry::of(&table, index));
    if entries.iter().any(|entry| entry.kind == 0xee) {
        return Ok(Found::Protective);
    }
    if number > 4 {
        let extended = entries.iter().find(|entry| entry.is_extended());
        let extended = extended.ok_or_else(|| no_such(number))?;
        return logical(disk, extended.range, number).map(Found::Partition);
    }
    let entry = &entries[(number - 1) as usize];
    if !entry.is_used() {
        return Err(no_such(number));
    }
    Ok(Found::Partition(entry.range))
}

/// Follows the chain: each link has a table with a partition, from that link on, and where the next
/// link is, from the start of the extended partition on.
fn logical(disk: &Disk, extended: Sectors, number: u64) -> Result<Sectors> {
    if number - 5 >= LINKS {
        return Err(no_such(number));
    }
    let mut link = extended.first;
    for at in 5..=number {
        let table = table_at(disk, link)?;
        let (own, next) = (Entry::of(&table, 0), Entry::of(&table, 1));
        if at == number {
            if !own.is_used() {
                return Err(no_such(number));
            }
            let first = link + own.range.first;
            return inside(extended, first, own.range.count);
        }
        if !next.is_used() {
            return Err(no_such(number));
        }
        link = inside(extended, extended.first + next.range.first, 1)?.first;
    }
    Err(no_such(number))
}

/// A logical partition is a part of the extended one.
fn inside(extended: Sectors, first: u64, count: u64) -> Result<Sectors> {
    let end = extended.first + extended.count;
    if first < extended.first || first >= end || count > end - first {
        return Err(Error::io(
            "a logical partition isn't inside the extended one",
        ));
    }
    Ok(Sectors { first, count })
}

fn table_at(disk: &Disk, sector: u64) -> Result<Vec<u8>> {
    let table = disk.read(sector)?;
    if table[510..512] != [0x55, 0xaa] {
        let what = if sector == 0 {
            "the disk has no partition table"
        } else {
            "the chain of logical partitions is broken"
        };
        return Err(Error::invalid(what));
    }
    Ok(table)
}
