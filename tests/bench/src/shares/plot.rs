//! Throughput and p99 over time, as a picture.

use std::fmt::Write as _;

use super::world::promised;
use super::{HONEST, Outcome, Window};

const LEFT: f64 = 70.0;
const WIDTH: f64 = 700.0;
const HEIGHT: f64 = 170.0;

/// The line colour of each kind of server.
const COLOURS: [&str; 2] = ["#0072b2", "#d55e00"];

/// A panel of the plot: its scale, and the values that get a line.
struct Panel<'a> {
    top: f64,
    title: &'a str,
    /// The values at the bottom and at the top.
    range: (f64, f64),
    lines: &'a [(f64, &'a str)],
}

pub(super) fn svg(outcomes: &[Outcome]) -> String {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 500\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"800\" height=\"500\" fill=\"#fff\"/>\n",
    );
    let longest = outcomes.iter().map(|one| one.windows.len()).max();
    let step = WIDTH / longest.unwrap_or(1).max(1) as f64;
    let share = promised(HONEST);
    let panels = [
        Panel {
            top: 50.0,
            title: "reads a second, in parts of what it gets alone",
            range: (0.01, 2.0),
            lines: &[
                (0.01, "1 %"),
                (0.1, "10 %"),
                (share, "its share"),
                (1.0, "100 %"),
            ],
        },
        Panel {
            top: 275.0,
            title: "p99 in ms",
            range: (0.1, 10_000.0),
            lines: &[
                (0.1, "0.1"),
                (1.0, "1"),
                (10.0, "10"),
                (100.0, "100"),
                (1000.0, "1000"),
                (10_000.0, "10000"),
            ],
        },
    ];
    if let Some(outcome) = outcomes.first() {
        attacks(&mut svg, &outcome.windows, step);
    }
    for panel in &panels {
        panel.frame(&mut svg);
    }
    for (index, outcome) in outcomes.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let alone = outcome.middle(false, |one| one.rate);
        let rates = outcome.windows.iter().map(|one| one.rate / alone);
        panels[0].plot(&mut svg, colour, step, rates);
        let late = outcome
            .windows
            .iter()
            .map(|one| one.p99.as_secs_f64() * 1e3);
        panels[1].plot(&mut svg, colour, step, late);
        let x = LEFT + 220.0 * index as f64;
        add(
            &mut svg,
            format_args!(
                "<text x=\"{x}\" y=\"22\" fill=\"{colour}\" font-weight=\"bold\">{}</text>\n",
                outcome.label
            ),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The time of the attacks, as a grey area.
fn attacks(svg: &mut String, windows: &[Window], step: f64) {
    let first = windows.iter().take_while(|one| !one.attacked).count();
    let count = windows.iter().filter(|one| one.attacked).count();
    let (x, width) = (LEFT + first as f64 * step, count as f64 * step);
    add(
        svg,
        format_args!(
            "<rect x=\"{x:.1}\" y=\"50\" width=\"{width:.1}\" height=\"395\" fill=\"#eee\"/>\n\
             <text x=\"{:.1}\" y=\"462\" fill=\"#666\">four others loop, allocate, flood and dawdle</text>\n",
            x + 4.0
        ),
    );
}

impl Panel<'_> {
    /// The height of a value on the logarithmic scale.
    fn y(&self, value: f64) -> f64 {
        let (least, most) = self.range;
        let part = (value.clamp(least, most) / least).ln() / (most / least).ln();
        self.top + HEIGHT - part * HEIGHT
    }

    fn frame(&self, svg: &mut String) {
        add(
            svg,
            format_args!(
                "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\n",
                self.top - 6.0,
                self.title
            ),
        );
        for (value, label) in self.lines {
            let y = self.y(*value);
            add(
                svg,
                format_args!(
                    "<path d=\"M{LEFT} {y:.1}h{WIDTH}\" stroke=\"#bbb\"/>\
                     <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
                    LEFT - 6.0,
                    y + 4.0
                ),
            );
        }
    }

    fn plot(&self, svg: &mut String, colour: &str, step: f64, values: impl Iterator<Item = f64>) {
        let points: Vec<String> = values
            .enumerate()
            .map(|(at, value)| {
                format!(
                    "{:.1},{:.1}",
                    LEFT + (at as f64 + 0.5) * step,
                    self.y(value)
                )
            })
            .collect();
        add(
            svg,
            format_args!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
                points.join(" ")
            ),
        );
    }
}

fn add(svg: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = svg.write_fmt(arguments);
}
