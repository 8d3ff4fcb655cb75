//! An export cut into cells of equal size, each with its bytes of each kind: the base of pictures.

use extent_map::{Extent, Kind};
use nbdbox_config::size::Bytes;

use super::{KINDS, Totals, rank};

/// The bytes of each kind in one cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares([u64; KINDS.len()]);

/// The cells of a map, in lines. The size of a cell is a power of two, so that every line begins at a round offset.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    size: u64,
    cell: u64,
    columns: usize,
    cells: Vec<Shares>,
    totals: Totals,
}

impl Cells {
    /// Cuts `size` bytes into at most `lines` lines of `columns` cells. If there are enough bytes, uses more than half
    /// of the lines.
    #[must_use]
    pub(crate) fn new(size: u64, columns: usize, lines: usize) -> Self {
        let room = (columns as u64).saturating_mul(lines as u64).max(1);
        let smallest = size.div_ceil(room).max(1);
        // With two cells or more, a cell has at most half of the largest export, which is 1 << 63.
        let cell = smallest.checked_next_power_of_two().unwrap_or(1 << 63);
        let count = usize::try_from(size.div_ceil(cell)).unwrap_or(usize::MAX);
        Self {
            size,
            cell,
            columns: columns.max(1),
            cells: vec![Shares::default(); count],
            totals: Totals::default(),
        }
    }

    /// Adds an extent, without what is past the end.
    pub(crate) fn add(&mut self, extent: &Extent) {
        let end = extent.offset.saturating_add(extent.length).min(self.size);
        let mut at = extent.offset;
        self.totals.add(&Extent {
            length: end.saturating_sub(at),
            ..*extent
        });
        while at < end {
            let index = at / self.cell;
            let stop = (index + 1).saturating_mul(self.cell).min(end);
            let cell = usize::try_from(index)
                .ok()
                .and_then(|index| self.cells.get_mut(index));
            if let Some(cell) = cell {
                cell.0[rank(extent.kind)] += stop - at;
            }
            at = stop;
        }
    }

    /// Bytes in the whole map.
    #[must_use]
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes in a line; the last line may have fewer.
    #[must_use]
    pub(crate) fn line(&self) -> u64 {
        self.cell.saturating_mul(self.columns as u64)
    }

    /// The lines from the top, each from the left.
    pub(crate) fn lines(&self) -> std::slice::Chunks<'_, Shares> {
        self.cells.chunks(self.columns)
    }

    /// The sums over all cells.
    #[must_use]
    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The offset at which each line begins, as text: all in the same unit.
    pub(super) fn labels(&self) -> impl Iterator<Item = String> {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let line = self.line();
        let power = (line.ilog2() / 10) as usize;
        let unit = UNITS.get(power).copied().unwrap_or("EiB");
        // A line is a multiple of its unit if the columns are a power of two, as they are.
        let step = line >> (10 * power);
        (0..self.lines().len() as u64).map(move |index| format!("{} {unit}", index * step))
    }

    /// The size of the map and the scale of the picture, as text.
    pub(super) fn caption(&self) -> String {
        let extents = match self.totals.extents() {
            1 => "1 extent".to_owned(),
            count => format!("{count} extents"),
        };
        let (size, cell, line) = (Bytes(self.size), Bytes(self.cell), Bytes(self.line()));
        format!("{size} in {extents}; a cell is {cell}, a line {line}")
    }
}

impl Shares {
    /// A cell of one kind.
    pub(super) fn only(kind: Kind) -> Self {
        let mut shares = Self::default();
        shares.0[rank(kind)] = 1;
        shares
    }

    /// Bytes of a kind.
    #[must_use]
    pub(crate) fn bytes(&self, kind: Kind) -> u64 {
        self.0[rank(kind)]
    }

    /// Bytes of all kinds.
    #[must_use]
    pub(crate) fn size(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The height of each of [`KINDS`] in a bar of eight steps: as near to its share as possible, and at least 1 if the
    /// cell has any of it. The sum is 8, or 0 in an empty cell.
    #[must_use]
    pub(crate) fn eighths(&self) -> [u8; KINDS.len()] {
        let size = u128::from(self.size());
        if size == 0 {
            return [0; KINDS.len()];
        }
        let mut steps = self.0.map(|bytes| match u128::from(bytes) {
            0 => 0u8,
            bytes => u8::try_from(bytes * 8 / size).unwrap_or(8).max(1),
        });
        loop {
            let sum: u8 = steps.iter().sum();
            // How much more a kind should have, in units of 1/size of a step; less if it's negative.
            let lacks = |index: usize| {
                i128::from(self.0[index]) * 8 - i128::from(steps[index]) * size.cast_signed()
            };
            let candidates = (0..KINDS.len()).filter(|index| steps[*index] > 0);
            match sum {
                8 => return steps,
                0..8 => match candidates.max_by_key(|index| lacks(*index)) {
                    Some(index) => steps[index] += 1,
                    None => return steps,
                },
                _ => match candidates
                    .filter(|index| steps[*index] > 1)
                    .min_by_key(|index| lacks(*index))
                {
                    Some(index) => steps[index] -= 1,
                    None => return steps,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::extents;

    fn cells(size: u64, columns: usize, lines: usize, map: &[(u64, Kind)]) -> Cells {
        let mut cells = Cells::new(size, columns, lines);
        extents(map).for_each(|extent| cells.add(&extent));
        cells
    }

    #[test]
    fn a_cell_is_a_power_of_two_and_all_fits() {
        for size in [
            1,
            2,
            511,
            512,
            513,
            1023,
            1024,
            1025,
            1_000_000_007,
            1 << 40,
            u64::MAX / 2,
            u64::MAX,
        ] {
            let cells = Cells::new(size, 64, 16);
            assert!(cells.cell.is_power_of_two(), "{size}");
            let used: usize = cells.lines().map(<[Shares]>::len).sum();
            assert!(used <= 1024 && (used > 512 || cells.cell == 1), "{size}");
            assert_eq!(used as u64, size.div_ceil(cells.cell), "{size}");
        }
        assert_eq!(Cells::new(0, 64, 16).lines().len(), 0);
    }

    /// Compares with a sum byte by byte.
    #[test]
    fn shares_are_what_an_oracle_counts() {
        let map = [
            (3, Kind::Data),
            (70, Kind::Hole),
            (1, Kind::Zero),
            (126, Kind::Undefined),
        ];
        let cells = cells(200, 4, 4, &map);
        assert_eq!(cells.cell, 16);
        let kind_of: Vec<Kind> = map
            .iter()
            .flat_map(|(length, kind)| (0..*length).map(|_| *kind))
            .collect();
        let all: Vec<Shares> = cells.lines().flatten().copied().collect();
        for (cell, bytes) in all.iter().zip(kind_of.chunks(16)) {
            for kind in KINDS {
                let count = bytes.iter().filter(|byte| **byte == kind).count() as u64;
                assert_eq!(cell.bytes(kind), count);
            }
        }
        assert_eq!(all.len(), 13);
        assert_eq!(cells.totals().size(), 200);
    }

    #[test]
    fn an_extent_past_the_end_is_cut() {
        let mut cells = Cells::new(100, 4, 4);
        cells.add(&Extent {
            offset: 90,
            length: u64::MAX - 90,
            kind: Kind::Data,
        });
        let bytes: u64 = cells.lines().flatten().map(Shares::size).sum();
        assert_eq!(bytes, 10);
    }

    #[test]
    fn lines_begin_at_round_offsets() {
        let labels: Vec<String> = Cells::new(5 << 29, 64, 16).labels().collect();
        assert_eq!(labels.len(), 10);
        assert_eq!(labels[..3], ["0 MiB", "256 MiB", "512 MiB"]);
        assert_eq!(labels[9], "2304 MiB");
        let largest: Vec<String> = Cells::new(u64::MAX, 64, 16).labels().collect();
        assert_eq!(largest[15], "15 EiB");
    }

    #[test]
    fn a_bar_has_eight_steps_and_shows_all_there_is() {
        for (shares, steps) in [
            ([0, 0, 0, 0], [0, 0, 0, 0]),
            ([5, 0, 0, 0], [8, 0, 0, 0]),
            ([1, 0, 0, 1], [4, 0, 0, 4]),
            ([1, 0, 0, 1_000_000], [1, 0, 0, 7]),
            ([1_000_000, 1, 1, 1], [5, 1, 1, 1]),
            ([3, 0, 5, 0], [3, 0, 5, 0]),
            ([1, 1, 1, 0], [3, 3, 2, 0]),
            ([u64::MAX / 2, 0, 0, u64::MAX / 2], [4, 0, 0, 4]),
        ] {
            let got = Shares(shares).eighths();
            assert_eq!(
                got.iter().sum::<u8>(),
                steps.iter().sum::<u8>(),
                "{shares:?}"
            );
            let mut sorted = (got, steps);
            sorted.0.sort_unstable();
            sorted.1.sort_unstable();
            assert_eq!(sorted.0, sorted.1, "{shares:?}");
        }
        assert_eq!(Shares([1, 0, 0, 1_000_000]).eighths(), [1, 0, 0, 7]);
    }
}
