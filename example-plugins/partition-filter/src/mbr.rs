//! The table in the first sector: four entries, and a chain of more tables in an extended partition.
//!
//! Logical partitions have the same numbers as in Linux: each partition among the four entries of a link counts, a link
//! without one doesn't, and links may lead anywhere and in any order.

use nbdbox_plugin::{Error, Result};

use crate::disk::{Disk, Sectors, no_such, no_such_since, u32_at};

/// The contents of the table.
pub(crate) enum Found {
    Partition(Sectors),
    /// The disk has a GPT.
    Protective,
}

/// An entry of a table.
#[derive(Clone, Copy)]
struct Entry {
    kind: u8,
    range: Sectors,
}

impl Entry {
    /// Reads the four entries of a table, if the sector holds one.
    fn all(table: &[u8]) -> Option<[Self; 4]> {
        let entry = |index: usize| {
            let entry = &table[446 + 16 * index..][..16];
            Self {
                kind: entry[4],
                range: Sectors {
                    first: u32_at(entry, 8).into(),
                    count: u32_at(entry, 12).into(),
                },
            }
        };
        (table[510..512] == [0x55, 0xaa]).then(|| [0, 1, 2, 3].map(entry))
    }

    /// As in Linux and sfdisk, the size decides, not the kind.
    fn is_used(&self) -> bool {
        self.range.count > 0
    }

    fn is_extended(&self) -> bool {
        self.is_used() && matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// Finds a partition: 1 to 4 in the table, logical ones from 5 on.
pub(crate) fn find(disk: &Disk, number: u64) -> Result<Found> {
    let entries = Entry::all(&disk.read(0)?);
    let entries = entries.ok_or_else(|| Error::invalid("the disk has no partition table"))?;
    // In a hybrid table any of the four entries may be the protective one.
    if entries.iter().any(|entry| entry.kind == 0xee) {
        return Ok(Found::Protective);
    }
    if number > 4 {
        return logical(disk, &entries, number).map(Found::Partition);
    }
    let entry = &entries[(number - 1) as usize];
    if !entry.is_used() {
        return Err(no_such(number));
    }
    Ok(Found::Partition(entry.range))
}

fn logical(disk: &Disk, entries: &[Entry; 4], number: u64) -> Result<Sectors> {
    // A chain in sector 0 would begin with the table itself.
    let extended = entries
        .iter()
        .filter(|entry| entry.is_extended() && entry.range.first > 0);
    let (mut before, mut chains) = (number - 5, 0);
    for entry in extended {
        chains += 1;
        let mut chain = Chain::of(entry.range);
        while let Some(link) = chain.next(disk, number)? {
            let Some(range) = link.partitions(entry.range).nth(before as usize) else {
                before -= link.partitions(entry.range).count() as u64;
                continue;
            };
            if Chain::of(entry.range).steps_to(disk, link.place.first, number)? < chain.steps {
                return Err(circle(number));
            }
            return inside(entry.range, range);
        }
    }
    Err(match chains {
        0 => no_such_since(
            number,
            "an MBR without an extended partition has partitions 1 to 4",
        ),
        _ => no_such(number),
    })
}

/// The links of an extended partition, from the first on. Each has a table with partitions and the place of the next
/// link, relative to the start of the extended partition.
struct Chain {
    extended: Sectors,
    next: Option<Sectors>,
    /// Number of links that were read.
    steps: u64,
    /// A link that was read, and its number. If it comes again, the chain is a circle (Brent's algorithm, which needs
    /// no memory and no limit).
    mark: (u64, u64),
}

/// A sector of the chain, with its table.
struct Link {
    /// Its sectors: the table, and the sectors after it that belong to it.
    place: Sectors,
    entries: [Entry; 4],
}

impl Chain {
    fn of(extended: Sectors) -> Self {
        Self {
            extended,
            next: Some(extended),
            steps: 0,
            mark: (0, 0),
        }
    }

    /// Reads the next link.
    fn next(&mut self, disk: &Disk, number: u64) -> Result<Option<Link>> {
        let Some(place) = self.next.take() else {
            return Ok(None);
        };
        let (mark, since) = self.mark;
        if place.first == mark {
            return Err(circle(number));
        }
        if self.steps >= 2 * since {
            self.mark = (place.first, self.steps.max(1));
        }
        self.steps += 1;
        let entries = Entry::all(&disk.read(place.first)?);
        let entries = entries
            .ok_or_else(|| no_such_since(number, "the chain of logical partitions is broken"))?;
        let link = entries.iter().find(|entry| entry.is_extended());
        self.next = link.map(|entry| Sectors {
            first: self.extended.first + entry.range.first,
            count: entry.range.count,
        });
        Ok(Some(Link { place, entries }))
    }

    /// The number of links before the first one in this sector, which exists.
    fn steps_to(&mut self, disk: &Disk, sector: u64, number: u64) -> Result<u64> {
        while let Some(link) = self.next(disk, number)? {
            if link.place.first == sector {
                break;
            }
        }
        Ok(self.steps)
    }
}

impl Link {
    /// The partitions of a link; their places are relative to the link. The third and fourth entry may be garbage: they
    /// count only if they are inside the link.
    fn partitions(&self, extended: Sectors) -> impl Iterator<Item = Sectors> {
        let place = self.place;
        let entries = self.entries.into_iter().enumerate();
        entries.filter_map(move |(index, entry)| {
            let Sectors { first, count } = entry.range;
            let range = Sectors {
                first: place.first + first,
                count,
            };
            let sound =
                index < 2 || first + count <= place.count && inside(extended, range).is_ok();
            (entry.is_used() && !entry.is_extended() && sound).then_some(range)
        })
    }
}

/// Checks that a logical partition is inside the extended one.
fn inside(extended: Sectors, range: Sectors) -> Result<Sectors> {
    let end = extended.first + extended.count;
    if range.first < extended.first || range.first + range.count > end {
        return Err(Error::io(
            "a logical partition isn't inside the extended partition",
        ));
    }
    Ok(range)
}

fn circle(number: u64) -> Error {
    no_such_since(number, "the chain of logical partitions is a circle")
}
