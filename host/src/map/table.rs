//! A map as lines of text, as `nbdinfo --map` prints it.

use std::io::{self, Write};

use extent_map::Extent;

use super::{Rendering, Totals, description};

/// A line for each extent: offset, length, type, description.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Table;

/// A line for each kind: bytes, percent, type, description. As `nbdinfo --map --totals` prints it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TotalsTable(Totals);

impl Rendering for Table {
    fn extent(&mut self, extent: &Extent, out: &mut dyn Write) -> io::Result<()> {
        let Extent {
            offset,
            length,
            kind,
        } = *extent;
        let (number, text) = (kind.flags(), description(kind));
        writeln!(out, "{offset:>10}  {length:>10}  {number:>3}  {text}")
    }

    fn finish(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

impl Rendering for TotalsTable {
    fn extent(&mut self, extent: &Extent, _: &mut dyn Write) -> io::Result<()> {
        self.0.add(extent);
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for total in self.0.by_type() {
            let (number, text) = (total.kind.flags(), description(total.kind));
            let (bytes, percent) = (total.bytes, total.percent);
            writeln!(out, "{bytes:>10} {percent:>5.1}% {number:>3} {text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use extent_map::Kind;

    use super::*;
    use crate::map::tests::rendered;

    const MAP: [(u64, Kind); 4] = [
        (102_400, Kind::Undefined),
        (307_200, Kind::Zero),
        (638_976, Kind::Data),
        (10_737_418_240, Kind::Hole),
    ];

    /// What nbdinfo 1.14 prints.
    #[test]
    fn a_table_has_the_columns_of_nbdinfo() {
        let expected = "         0      102400    1  hole\n    102400      307200    2  zero\n    \
                        409600      638976    0  data\n   1048576  10737418240    3  hole,zero\n";
        assert_eq!(rendered(Table, &MAP), expected);
        assert_eq!(rendered(Table, &[]), "");
    }

    #[test]
    fn totals_come_by_type() {
        let expected = "    638976  60.9%   0 data\n    102400   9.8%   1 hole\n    307200  29.3%   \
                        2 zero\n";
        assert_eq!(rendered(TotalsTable::default(), &MAP[..3]), expected);
        assert_eq!(rendered(TotalsTable::default(), &[]), "");
    }
}
