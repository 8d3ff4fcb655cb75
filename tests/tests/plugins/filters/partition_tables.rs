//! Partition tables, byte by byte, that no tool would write.

/// The default bytes of a sector.
pub(super) const SECTOR: u64 = 512;

/// An entry of an MBR: kind, first sector and count.
pub(super) type Entry = (u8, u32, u32);

/// A disk of `sectors` sectors, each of which begins with its own number.
pub(super) fn disk(sectors: u64) -> Vec<u8> {
    let sector = |number: u64| {
        let mut bytes = vec![0x5a; 512];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[510..].fill(0);
        bytes
    };
    (0..sectors).flat_map(sector).collect()
}

fn put(disk: &mut [u8], at: u64, bytes: &[u8]) {
    let at = usize::try_from(at).unwrap();
    disk[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes an MBR's table into a sector.
pub(super) fn mbr(disk: &mut [u8], sector: u64, entries: &[Entry]) {
    let at = sector * SECTOR;
    put(disk, at + 446, &[0; 64]);
    for (number, (kind, first, count)) in (0..).zip(entries) {
        let entry = at + 446 + 16 * number;
        put(disk, entry + 4, &[*kind]);
        put(disk, entry + 8, &first.to_le_bytes());
        put(disk, entry + 12, &count.to_le_bytes());
    }
    put(disk, at + 510, &[0x55, 0xaa]);
}

/// Writes a link of a chain at sector `at` of the extended partition. It has a partition of its own and, if `next` is
/// given, the place of the next link.
pub(super) fn link(disk: &mut [u8], extended: u64, at: u32, own: (u32, u32), next: Option<u32>) {
    let next = next.map_or((0, 0, 0), |next| (5, next, 8));
    mbr(
        disk,
        extended + u64::from(at),
        &[(0x83, own.0, own.1), next],
    );
}

/// A GPT with partitions 1 and 3.
#[derive(Clone, Copy)]
pub(super) struct Gpt {
    /// The bytes of a sector.
    pub(super) sector: u64,
    /// The bytes of an entry, and the number of entries.
    pub(super) entry: u32,
    pub(super) count: u32,
    /// The bytes of the header.
    pub(super) header: u32,
    /// The index of the MBR's protective entry, and whether the other entries have partitions.
    pub(super) protective: usize,
    pub(super) hybrid: bool,
    /// The first usable sector in the header; 0 stands for the one behind the table.
    pub(super) usable_from: u64,
}

impl Default for Gpt {
    fn default() -> Self {
        Self {
            sector: SECTOR,
            entry: 128,
            count: 128,
            header: 92,
            protective: 0,
            hybrid: false,
            usable_from: 0,
        }
    }
}

impl Gpt {
    /// The sectors of the disk.
    const SECTORS: u64 = 16_384;

    /// The first and the last sector of each partition.
    const PARTITIONS: [(u64, u64); 3] = [(2048, 4095), (0, 0), (8192, 9000)];

    /// The bytes of the whole disk.
    pub(super) fn disk(&self) -> Vec<u8> {
        let last = Self::SECTORS - 1;
        let mut bytes = disk(Self::SECTORS * self.sector / SECTOR);
        let mut entries = [(0, 0, 0); 4];
        if self.hybrid {
            entries[0] = (0x07, 2048, 2048);
        }
        entries[self.protective] = (0xee, 1, u32::try_from(last).unwrap());
        mbr(&mut bytes, 0, &entries);
        let table = self.entries();
        put(&mut bytes, 2 * self.sector, &table);
        put(&mut bytes, self.copy_of_entries(), &table);
        put(&mut bytes, self.sector, &self.header(1, last, 2));
        let copy = self.copy_of_entries() / self.sector;
        put(&mut bytes, last * self.sector, &self.header(last, 1, copy));
        bytes
    }

    /// The offset of the copy of the entries, in bytes.
    pub(super) fn copy_of_entries(&self) -> u64 {
        (Self::SECTORS - 1 - self.sectors_of_entries()) * self.sector
    }

    fn sectors_of_entries(&self) -> u64 {
        (u64::from(self.entry) * u64::from(self.count)).div_ceil(self.sector)
    }

    fn entries(&self) -> Vec<u8> {
        let entry = usize::try_from(self.entry).unwrap();
        let mut table = vec![0; entry * usize::try_from(self.count).unwrap()];
        for (number, (first, last)) in Self::PARTITIONS.into_iter().enumerate() {
            if first > 0 {
                let at = (number * entry) as u64;
                put(&mut table, at, &[0x11; 32]);
                put(&mut table, at + 32, &first.to_le_bytes());
                put(&mut table, at + 40, &last.to_le_bytes());
            }
        }
        table
    }

    fn header(&self, own: u64, other: u64, entries: u64) -> Vec<u8> {
        let behind = 2 + self.sectors_of_entries();
        let first = if self.usable_from == 0 {
            behind
        } else {
            self.usable_from
        };
        let mut header = vec![0; usize::try_from(self.header).unwrap()];
        put(&mut header, 0, b"EFI PART\0\0\x01\0");
        put(&mut header, 12, &self.header.to_le_bytes());
        put(&mut header, 24, &own.to_le_bytes());
        put(&mut header, 32, &other.to_le_bytes());
        put(&mut header, 40, &first.to_le_bytes());
        put(
            &mut header,
            48,
            &(Self::SECTORS - 1 - behind + 1).to_le_bytes(),
        );
        put(&mut header, 56, &[7; 16]);
        put(&mut header, 72, &entries.to_le_bytes());
        put(&mut header, 80, &self.count.to_le_bytes());
        put(&mut header, 84, &self.entry.to_le_bytes());
        put(&mut header, 88, &checksum(&self.entries()).to_le_bytes());
        let sum = checksum(&header);
        put(&mut header, 16, &sum.to_le_bytes());
        header
    }
}

/// CRC-32 of ISO 3309, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0xedb8_8320
        } else {
            crc >> 1
        }
    };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(!0, byte)
}
