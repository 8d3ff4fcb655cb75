//! A map as a picture for the terminal, 80 columns by 24 lines at most.
//!
//! Each cell is a bar: allocated bytes are at the bottom, as high as their share. So a disk that fills up looks like
//! one, and even the smallest bit of data is visible.

use std::fmt;
use std::io::{self, Write};

use extent_map::{Extent, Kind};
use nbdbox_config::size::Bytes;

use super::{Cells, KINDS, Rendering, Shares, description, meaning};

/// Cells in a line: with the offset before them they fit 80 columns.
const COLUMNS: usize = 64;

/// Lines: with title and legend they fit a terminal of 24.
const LINES: usize = 16;

/// Bars of one to seven eighths.
const BARS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];

/// How the picture is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Blocks in 256 colours.
    Colour,
    /// ASCII characters, one for each kind.
    Plain,
}

/// Cells, and a legend with the sums.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    title: String,
    ink: Ink,
    cells: Cells,
}

impl Picture {
    /// A picture of an export of `size` bytes. The caller has escaped the title for a terminal.
    #[must_use]
    pub(crate) fn new(title: &str, size: u64, ink: Ink) -> Self {
        Self {
            title: title.to_owned(),
            ink,
            cells: Cells::new(size, COLUMNS, LINES),
        }
    }

    fn lines(&self) -> String {
        let labels: Vec<String> = self.cells.labels().collect();
        let width = labels.iter().map(String::len).max().unwrap_or(0);
        let mut lines = String::new();
        for (label, cells) in labels.iter().zip(self.cells.lines()) {
            lines.extend([format!("{label:>width$}  "), self.line(cells)]);
            lines.push('\n');
        }
        lines
    }

    fn line(&self, cells: &[Shares]) -> String {
        match self.ink {
            Ink::Plain => cells.iter().map(letter).collect(),
            Ink::Colour => bars(cells),
        }
    }

    fn legend(&self) -> String {
        let mut legend = String::new();
        for total in self.cells.totals().by_rank() {
            let sign = match self.ink {
                Ink::Plain => sign(total.kind).to_string(),
                Ink::Colour => swatch(total.kind),
            };
            let (name, meaning) = (description(total.kind), meaning(total.kind));
            let (bytes, percent) = (Bytes(total.bytes).to_string(), total.rounded());
            let digits = match (self.ink, total.kind) {
                (Ink::Plain, Kind::Data) => "; 1-9: tenths of a cell",
                _ => "",
            };
            legend.push_str(&format!(
                "  {sign}  {name:<9} {bytes:>12} {percent:>7}  {meaning}{digits}\n"
            ));
        }
        legend
    }
}

impl Rendering for Picture {
    fn extent(&mut self, extent: &Extent, _: &mut dyn Write) -> io::Result<()> {
        self.cells.add(extent);
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let (title, caption) = (&self.title, self.cells.caption());
        write!(
            out,
            "{title}\n{caption}\n{}\n{}",
            self.lines(),
            self.legend()
        )
    }
}

fn is_mixed_data(cell: &Shares) -> bool {
    (1..cell.size()).contains(&cell.bytes(Kind::Data))
}

/// The character of a cell of one kind.
const fn sign(kind: Kind) -> char {
    match kind {
        Kind::Data => '#',
        Kind::Undefined => '?',
        Kind::Zero => 'o',
        Kind::Hole => '.',
    }
}

/// A cell as a character: tenths if some of it is data, else the sign of its most common kind.
fn letter(cell: &Shares) -> char {
    if is_mixed_data(cell) {
        let tenths = u128::from(cell.bytes(Kind::Data)) * 10 / u128::from(cell.size());
        let digit = u32::try_from(tenths.clamp(1, 9)).unwrap_or(9);
        return char::from_digit(digit, 10).unwrap_or('9');
    }
    // `max_by_key` returns the last of equals, and the first of the stack should win.
    let most = KINDS.into_iter().rev().max_by_key(|kind| cell.bytes(*kind));
    sign(most.unwrap_or_default())
}

/// Colour numbers that tell the kinds apart on dark and on light, and for the colour-blind: blue, orange, bluish green.
/// Holes have no colour.
const fn colour(kind: Kind) -> Option<u8> {
    match kind {
        Kind::Data => Some(32),
        Kind::Undefined => Some(172),
        Kind::Zero => Some(36),
        Kind::Hole => None,
    }
}

fn swatch(kind: Kind) -> String {
    bars(&[Shares::only(kind)])
}

/// The colour of a character, and that of its background.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    front: Option<u8>,
    back: Option<u8>,
}

/// Cells as bars. A character has two colours: one is for the lowest kind of the stack, the other for the largest of
/// the other kinds.
fn bars(cells: &[Shares]) -> String {
    let mut line = String::new();
    let mut last = None;
    for cell in cells {
        let (look, character) = bar(cell);
        if last != Some(look) {
            line.push_str(&look.to_string());
            last = Some(look);
        }
        line.push(character);
    }
    line.push_str("\x1b[0m");
    line
}

fn bar(cell: &Shares) -> (Look, char) {
    let steps = cell.eighths();
    let mut present = KINDS.into_iter().zip(steps).filter(|(_, steps)| *steps > 0);
    let Some((lowest, height)) = present.next() else {
        return (Look::of(Kind::Hole), ' ');
    };
    let above = present.rev().max_by_key(|(_, steps)| *steps);
    match (above, BARS.get(usize::from(height).wrapping_sub(1))) {
        (Some((above, _)), Some(bar)) => {
            let look = Look {
                front: colour(lowest),
                back: colour(above),
            };
            (look, *bar)
        }
        _ if lowest == Kind::Hole => (Look::of(lowest), '·'),
        _ => (Look::of(lowest), '█'),
    }
}

impl Look {
    const fn of(kind: Kind) -> Self {
        Self {
            front: colour(kind),
            back: None,
        }
    }
}

/// The escape sequence that sets the look.
impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.front {
            Some(colour) => write!(f, "\x1b[0;38;5;{colour}")?,
            // Faint.
            None => f.write_str("\x1b[0;2")?,
        }
        if let Some(colour) = self.back {
            write!(f, ";48;5;{colour}")?;
        }
        f.write_str("m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::rendered;

    const KIB: u64 = 1024;

    fn picture(ink: Ink, map: &[(u64, Kind)]) -> String {
        let size = map.iter().map(|(length, _)| length).sum();
        rendered(Picture::new("disk", size, ink), map)
    }

    #[test]
    fn plain_characters_tell_the_kinds_apart() {
        let map = [
            (2 * KIB, Kind::Data),
            (2 * KIB, Kind::Hole),
            (2 * KIB, Kind::Zero),
            (2 * KIB, Kind::Undefined),
            (KIB / 2, Kind::Data),
            (KIB / 2, Kind::Hole),
            (1, Kind::Data),
            (KIB - 1, Kind::Hole),
            (KIB - 1, Kind::Data),
            (1, Kind::Zero),
            (KIB / 4, Kind::Zero),
            (KIB * 3 / 4, Kind::Hole),
            (1012 * KIB, Kind::Hole),
        ];
        let text = picture(Ink::Plain, &map);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("disk"));
        assert_eq!(
            lines.next(),
            Some("1 MiB in 13 extents; a cell is 1 KiB, a line 64 KiB")
        );
        let first = lines.next().unwrap();
        assert!(first.starts_with("  0 KiB  ##..oo??519......."), "{first}");
        assert_eq!(
            lines.nth(14).unwrap(),
            format!("960 KiB  {}", ".".repeat(64))
        );
        assert!(text.is_ascii());
    }

    #[test]
    fn a_picture_and_a_prompt_fit_80_columns_and_24_lines() {
        let map = [
            (1, Kind::Data),
            (1 << 62, Kind::Hole),
            (1 << 62, Kind::Zero),
            (1 << 62, Kind::Undefined),
            ((1 << 62) - 2, Kind::Data),
        ];
        let text = picture(Ink::Plain, &map);
        assert!(text.lines().count() <= 23, "{text}");
        assert!(text.lines().all(|line| line.len() <= 79), "{text}");
    }

    #[test]
    fn colours_are_set_once_and_reset_at_the_end_of_a_line() {
        let map = [
            (128, Kind::Data),
            (4, Kind::Data),
            (4, Kind::Hole),
            (4, Kind::Data),
            (4, Kind::Zero),
            (1024 * 8 - 144, Kind::Hole),
        ];
        let text = picture(Ink::Colour, &map);
        let first = text.lines().nth(2).unwrap();
        let full = "█".repeat(16);
        let rest = "·".repeat(46);
        let expected =
            format!("   0 B  \x1b[0;38;5;32m{full}▄\x1b[0;38;5;32;48;5;36m▄\x1b[0;2m{rest}\x1b[0m");
        assert_eq!(first, expected);
    }

    #[test]
    fn the_legend_has_the_sizes() {
        let text = picture(Ink::Plain, &[(3 * KIB, Kind::Data), (5 * KIB, Kind::Zero)]);
        let legend: Vec<&str> = text.lines().rev().take(2).collect();
        assert_eq!(
            legend,
            [
                "  o  zero             5 KiB   62.5%  allocated, reads as zeroes",
                "  #  data             3 KiB   37.5%  allocated; 1-9: tenths of a cell",
            ]
        );
    }

    #[test]
    fn an_empty_export_has_no_cells() {
        let text = picture(Ink::Colour, &[]);
        assert_eq!(
            text,
            "disk\n0 B in 0 extents; a cell is 1 B, a line 64 B\n\n"
        );
    }
}
