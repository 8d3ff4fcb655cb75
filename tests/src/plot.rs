//! Lines over time as a picture, for `make soak` and `make shares`.

use std::fmt::{Arguments, Write as _};

/// The width of a picture.
const PICTURE: f64 = 800.0;

/// The left edge of all panels, and their width and height.
const LEFT: f64 = 70.0;
const WIDTH: f64 = 700.0;
const HEIGHT: f64 = 170.0;

/// The top of the first panel, and the distance to the top of the next.
const TOP: f64 = 50.0;
const PITCH: f64 = 225.0;

/// The colours of lines, by number; a reader who can't tell colours apart can tell these.
pub const COLOURS: [&str; 2] = ["#0072b2", "#d55e00"];

/// A picture of panels, one below the other, over the same time.
#[derive(Debug)]
pub struct Plot {
    svg: String,
    panels: usize,
}

/// What a panel's heights mean.
#[derive(Clone, Copy, Debug)]
pub enum Scale {
    /// From 0 at the bottom to this value at the top.
    Linear(f64),
    /// From one value, above 0, to another.
    Logarithmic(f64, f64),
}

/// A panel of a plot: its title, its scale, and the values that have a horizontal line with a label.
#[derive(Clone, Copy, Debug)]
pub struct Panel<'a> {
    /// The title, without characters that XML escapes.
    pub title: &'a str,
    /// The scale.
    pub scale: Scale,
    /// The values and labels.
    pub marks: &'a [(f64, &'a str)],
}

/// A line of a panel.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// Its colour, one of [`COLOURS`].
    pub colour: &'a str,
    /// Times from 0, the left edge, to 1, the right edge; and values.
    pub points: Vec<(f64, f64)>,
}

impl Plot {
    /// An empty picture with room for `panels`.
    #[must_use]
    pub fn new(panels: usize) -> Self {
        let height = TOP + PITCH * panels as f64;
        let mut plot = Self {
            svg: String::new(),
            panels: 0,
        };
        plot.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {PICTURE} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{PICTURE}\" height=\"{height}\" fill=\"#fff\"/>\n"
        ));
        plot
    }

    /// Adds a title to the first line of the picture, `column` columns of 220 from the left.
    pub fn title(&mut self, column: usize, colour: &str, text: &str) {
        let x = LEFT + 220.0 * column as f64;
        self.add(format_args!(
            "<text x=\"{x}\" y=\"22\" fill=\"{colour}\" font-weight=\"bold\">{text}</text>\n"
        ));
    }

    /// Makes a range of times grey, behind all of `panels` panels that come after, with a text below them.
    pub fn shade(&mut self, panels: usize, from: f64, to: f64, text: &str) {
        let (x, width) = (LEFT + from * WIDTH, (to - from) * WIDTH);
        let height = PITCH * panels.saturating_sub(1) as f64 + HEIGHT;
        let below = TOP + height + 17.0;
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\" fill=\"#eee\"/>\n\
             <text x=\"{:.1}\" y=\"{below}\" fill=\"#666\">{text}</text>\n",
            x + 4.0
        ));
    }

    /// Adds a panel below the ones that there are.
    pub fn panel(&mut self, panel: &Panel<'_>, lines: &[Line<'_>]) {
        let top = TOP + PITCH * self.panels as f64;
        self.panels += 1;
        self.add(format_args!(
            "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\n",
            top - 6.0,
            panel.title
        ));
        let y = |value| top + HEIGHT - panel.scale.part(value) * HEIGHT;
        for (value, label) in panel.marks {
            let y = y(*value);
            self.add(format_args!(
                "<path d=\"M{LEFT} {y:.1}h{WIDTH}\" stroke=\"#bbb\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
                LEFT - 6.0,
                y + 4.0
            ));
        }
        for line in lines {
            let point =
                |(time, value): &(f64, f64)| format!("{:.1},{:.1}", LEFT + time * WIDTH, y(*value));
            let points: Vec<String> = line.points.iter().map(point).collect();
            self.add(format_args!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                points.join(" "),
                line.colour
            ));
        }
    }

    /// The picture as an SVG document.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }

    fn add(&mut self, arguments: Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = self.svg.write_fmt(arguments);
    }
}

impl Scale {
    /// The height of a value, from 0 at the bottom to 1 at the top. A value outside has that of the nearest inside.
    fn part(self, value: f64) -> f64 {
        match self {
            Self::Linear(most) => (value / most).clamp(0.0, 1.0),
            Self::Logarithmic(least, most) => {
                (value.clamp(least, most) / least).ln() / (most / least).ln()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_a_scale_lie_on_its_border() {
        let linear = |value| Scale::Linear(4.0).part(value);
        assert_eq!([-1.0, 0.0, 1.0, 9.0].map(linear), [0.0, 0.0, 0.25, 1.0]);
        let logarithmic = |value| Scale::Logarithmic(0.1, 1000.0).part(value);
        assert_eq!([0.0, 0.1, 9e9].map(logarithmic), [0.0, 0.0, 1.0]);
        assert!((logarithmic(10.0) - 0.5).abs() < 1e-9);
    }
}
