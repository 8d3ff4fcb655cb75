//! A map as a standalone SVG: the cells of the picture, finer, with title, offsets and legend.
//!
//! The SVG refers to nothing outside, and uses only paths, classes and text, so that simple viewers can draw it. The
//! colours are Okabe and Ito's, lightened or darkened so that a grey print works too. They differ for light and dark
//! surroundings if the viewer can tell; elsewhere the light ones are on a panel of their own.

use std::fmt;
use std::io::{self, Write};

use extent_map::{Extent, Kind};
use nbdbox_config::size::Bytes;

use super::totals::Total;
use super::{Cells, KINDS, Rendering, Shares, description, meaning};

/// Cells in a line.
const COLUMNS: usize = 64;
/// The most lines; a large enough export fills at least half of them.
const LINES: usize = 32;

/// A cell's width, and the height of one eighth of it, in pixels.
const CELL: usize = 10;
const EIGHTH: usize = 2;
/// The distance from line to line, in eighths of a cell.
const PITCH: usize = 10;

const MARGIN: usize = 24;
/// The left edge of the cells, in pixels.
const LEFT: usize = 112;
const TOP: usize = 84;
const GRID: usize = COLUMNS * CELL;
const WIDTH: usize = LEFT + GRID + MARGIN;
/// The distance from entry to entry of the legend, in pixels.
const ENTRY: usize = 24;

/// The longest title, in characters: about what fits the width. The tool tip has the rest.
const TITLE: usize = 60;

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:12px;\
fill:#24292f;font-variant-numeric:tabular-nums}\
.title{font-size:18px;font-weight:600}.mute{fill:#59636e}.end{text-anchor:end}\
.panel{fill:#fff;stroke:#d8dee4}.gap{stroke:#fff;stroke-width:1;fill:none;pointer-events:none}\
.data{fill:#0068a8}.hole{fill:#e69f00}.zero{fill:#5fc3a0}.hole-zero{fill:#e9edf1}\
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.mute{fill:#9198a1}\
.panel{fill:#0f141a;stroke:#2f3742}.gap{stroke:#0f141a}\
.data{fill:#56b4e9}.hole{fill:#f0b429}.zero{fill:#1f8a68}.hole-zero{fill:#222a33}}";

/// An SVG document.
#[derive(Clone, Debug)]
pub(crate) struct Svg {
    title: String,
    cells: Cells,
}

impl Svg {
    /// A picture of an export of `size` bytes.
    #[must_use]
    pub(crate) fn new(title: &str, size: u64) -> Self {
        Self {
            title: title.to_owned(),
            cells: Cells::new(size, COLUMNS, LINES),
        }
    }
}

impl Rendering for Svg {
    fn extent(&mut self, extent: &Extent, _: &mut dyn Write) -> io::Result<()> {
        self.cells.add(extent);
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let totals: Vec<Total> = self.cells.totals().by_rank().collect();
        let bottom = TOP + self.cells.lines().len() * PITCH * EIGHTH;
        let height = bottom + 28 + totals.len() * ENTRY + MARGIN - 8;
        head(&self.title, &self.cells, &totals, height, out)?;
        labels(&self.cells, out)?;
        grid(&self.cells, bottom, out)?;
        proportions(&totals, bottom + 8, out)?;
        legend(&totals, bottom + 28, out)?;
        out.write_all(b"</svg>\n")
    }
}

fn head(
    title: &str,
    cells: &Cells,
    totals: &[Total],
    height: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (panel_width, panel_height) = (WIDTH - 1, height - 1);
    let sums: Vec<String> = totals
        .iter()
        .map(|total| format!("{}: {} bytes", description(total.kind), total.bytes))
        .collect();
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-labelledby="title sums">
<title id="title">Map of {full}</title>
<desc id="sums">{sums}</desc>
<style>{STYLE}</style>
<rect class="panel" x=".5" y=".5" width="{panel_width}" height="{panel_height}" rx="10"/>
<text class="title" x="{MARGIN}" y="38">{short}</text>
<text class="mute" x="{MARGIN}" y="60">{caption}</text>"#,
        full = Escaped(title),
        sums = Escaped(&sums.join("; ")),
        short = Escaped(&shortened(title)),
        caption = Escaped(&cells.caption()),
    )
}

fn labels(cells: &Cells, out: &mut dyn Write) -> io::Result<()> {
    for (index, label) in cells.labels().enumerate() {
        let (x, y) = (LEFT - 10, TOP + index * PITCH * EIGHTH + 12);
        writeln!(
            out,
            r#"<text class="mute end" x="{x}" y="{y}">{label}</text>"#
        )?;
    }
    Ok(())
}

/// The lines, in units of a cell's width and an eighth of its height.
fn grid(cells: &Cells, bottom: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        r#"<g transform="translate({LEFT} {TOP}) scale({CELL} {EIGHTH})" shape-rendering="crispEdges">"#
    )?;
    for (index, line) in cells.lines().enumerate() {
        let (y, tip) = (index * PITCH, tip(cells, index, line));
        write!(
            out,
            r#"<g transform="translate(0 {y})"><title>{tip}</title>"#,
            tip = Escaped(&tip)
        )?;
        for kind in KINDS {
            let path = bars(kind, line);
            if !path.is_empty() {
                write!(out, r#"<path class="{}" d="{path}"/>"#, class(kind))?;
            }
        }
        writeln!(out, "</g>")?;
    }
    writeln!(out, "</g>")?;
    // Thin lines in the panel's colour between the cells.
    let gaps: String = (1..COLUMNS)
        .map(|column| format!("M{}.5 {TOP}V{bottom}", LEFT + column * CELL - 1))
        .collect();
    writeln!(
        out,
        r#"<path class="gap" shape-rendering="crispEdges" d="{gaps}"/>"#
    )
}

/// The bars of one kind in a line, as path data. Draws equal neighbours as one.
fn bars(kind: Kind, line: &[Shares]) -> String {
    let bars: Vec<(u8, u8)> = line.iter().map(|cell| bar(kind, cell)).collect();
    let mut path = String::new();
    let mut x = 0;
    for run in bars.chunk_by(|left, right| left == right) {
        let width = run.len();
        if let Some((top, height @ 1..)) = run.first() {
            path.push_str(&format!("M{x} {top}h{width}v{height}h-{width}z"));
        }
        x += width;
    }
    path
}

/// Where one kind's bar begins, in eighths from the top, and its height.
fn bar(kind: Kind, cell: &Shares) -> (u8, u8) {
    let steps = cell.eighths();
    let below: u8 = KINDS
        .iter()
        .zip(steps)
        .take_while(|(other, _)| **other != kind)
        .map(|(_, steps)| steps)
        .sum();
    let height = KINDS
        .iter()
        .zip(steps)
        .find(|(other, _)| **other == kind)
        .map_or(0, |(_, steps)| steps);
    (8 - below.saturating_add(height).min(8), height)
}

/// The tool tip of a line: its range, and the bytes of each kind.
fn tip(cells: &Cells, index: usize, line: &[Shares]) -> String {
    let start = (index as u64).saturating_mul(cells.line());
    let end = start.saturating_add(cells.line()).min(cells.size());
    let mut tip = format!("{start} to {end}");
    for kind in KINDS {
        let bytes: u64 = line.iter().map(|cell| cell.bytes(kind)).sum();
        if bytes > 0 {
            tip.push_str(&format!("\n{}: {}", description(kind), Bytes(bytes)));
        }
    }
    tip
}

/// One bar across, with the shares of the whole export.
fn proportions(totals: &[Total], y: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut x = LEFT as f64;
    for total in totals {
        let width = total.percent / 100.0 * GRID as f64;
        let class = class(total.kind);
        writeln!(
            out,
            r#"<rect class="{class}" x="{x:.2}" y="{y}" width="{width:.2}" height="6"/>"#
        )?;
        x += width;
    }
    Ok(())
}

fn legend(totals: &[Total], y: usize, out: &mut dyn Write) -> io::Result<()> {
    for (index, total) in totals.iter().enumerate() {
        let y = y + index * ENTRY;
        let text = y + 12;
        let class = class(total.kind);
        let (name, meaning) = (description(total.kind), meaning(total.kind));
        let (bytes, percent) = (Bytes(total.bytes).to_string(), total.rounded());
        writeln!(
            out,
            r#"<rect class="{class}" x="{LEFT}" y="{y}" width="16" height="16" rx="3"/><text x="{x1}" y="{text}">{name}</text><text class="mute" x="{x2}" y="{text}">{meaning}</text><text class="end" x="{x3}" y="{text}">{bytes}</text><text class="end" x="{x4}" y="{text}">{percent}</text>"#,
            x1 = LEFT + 26,
            x2 = LEFT + 110,
            x3 = LEFT + GRID - 80,
            x4 = LEFT + GRID,
            percent = Escaped(&percent),
        )?;
    }
    Ok(())
}

const fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Data => "data",
        Kind::Undefined => "hole",
        Kind::Zero => "zero",
        Kind::Hole => "hole-zero",
    }
}

/// Both ends of a title that is too long.
fn shortened(title: &str) -> String {
    let count = title.chars().count();
    if count <= TITLE {
        return title.to_owned();
    }
    let half = TITLE / 2;
    let head = title.chars().take(half - 1);
    head.chain(['…'])
        .chain(title.chars().skip(count - half))
        .collect()
}

/// Text escaped for XML. Replaces characters that XML can't have.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\n' => f.write_str("\n")?,
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                    f.write_str("\u{fffd}")?;
                }
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::tests::rendered;

    const KIB: u64 = 1024;

    #[test]
    fn the_sums_are_exact() {
        let map = [
            (5 * KIB + 1, Kind::Data),
            (KIB, Kind::Hole),
            (7, Kind::Data),
        ];
        let svg = rendered(Svg::new("x", 6 * KIB + 8), &map);
        assert!(
            svg.contains(r#"<desc id="sums">data: 5128 bytes; hole,zero: 1024 bytes</desc>"#),
            "{svg}"
        );
    }

    #[test]
    fn texts_are_quoted() {
        let svg = rendered(Svg::new("a<b>&\"c\"\x1b[1m\u{fffe}", 1), &[(1, Kind::Data)]);
        assert!(svg.contains(
            "<title id=\"title\">Map of a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}[1m\u{fffd}</title>"
        ));
        assert!(!svg.contains('\x1b'));
        let rare = rendered(
            Svg::new("x", 1 << 40),
            &[(1, Kind::Data), ((1 << 40) - 1, Kind::Hole)],
        );
        assert!(rare.contains(">&lt;0.1%<") && rare.contains(">&gt;99.9%<"));
    }

    #[test]
    fn a_long_title_is_cut_in_the_middle() {
        let title = format!("nbd://{}/end", "é".repeat(100));
        let short = shortened(&title);
        assert_eq!(short.chars().count(), TITLE);
        assert!(short.starts_with("nbd://é") && short.ends_with("é/end"));
        assert_eq!(shortened("short"), "short");
    }

    /// The bars paint every eighth of every cell exactly once.
    #[test]
    fn bars_cover_their_cells() {
        let mut cells = Cells::new(64, 8, 8);
        let map = [
            (5, Kind::Hole),
            (9, Kind::Data),
            (2, Kind::Zero),
            (20, Kind::Undefined),
            (28, Kind::Data),
        ];
        crate::map::tests::extents(&map).for_each(|extent| cells.add(&extent));
        for cell in cells.lines().flatten() {
            let mut painted = [0; 8];
            for kind in KINDS {
                let (top, height) = bar(kind, cell);
                for step in top..top + height {
                    painted[usize::from(step)] += 1;
                }
            }
            assert_eq!(painted, [1; 8], "{cell:?}");
        }
    }

    #[test]
    fn cells_that_look_the_same_are_one_path() {
        let line = [Kind::Data, Kind::Data, Kind::Hole, Kind::Data].map(Shares::only);
        assert_eq!(bars(Kind::Data, &line), "M0 0h2v8h-2zM3 0h1v8h-1z");
        assert_eq!(bars(Kind::Hole, &line), "M2 0h1v8h-1z");
        assert_eq!(bars(Kind::Zero, &line), "");
    }
}
