//! Draws the soak's samples.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// One round of attacks.
pub(crate) struct Sample {
    /// The end of the round, since the start.
    pub(crate) at: Duration,
    /// The resident memory of the process at that time, in bytes.
    pub(crate) resident: u64,
    /// The 99th percentile of the neighbour's read times in the round.
    pub(crate) p99: Duration,
    /// The number of the neighbour's reads in the round.
    pub(crate) reads: usize,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 160.0;

/// Writes `tests/soak.svg`.
pub(crate) fn write(samples: &[Sample]) {
    let reads: usize = samples.iter().map(|one| one.reads).sum();
    let memory: Vec<f64> = samples
        .iter()
        .map(|one| one.resident as f64 / 1048576.0)
        .collect();
    let p99: Vec<f64> = samples
        .iter()
        .map(|one| one.p99.as_secs_f64() * 1e3)
        .collect();
    let end = samples.last().map_or(1.0, |one| one.at.as_secs_f64());
    let times: Vec<f64> = samples
        .iter()
        .map(|one| one.at.as_secs_f64() / end)
        .collect();
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 440\" font-family=\"sans-serif\" \
         font-size=\"13\"><rect width=\"800\" height=\"440\" fill=\"#fff\"/>\n",
    );
    let rounds = samples.len();
    let title =
        format!("{rounds} rounds of mixed attacks in {end:.0} s, {reads} reads beside them");
    writeln!(
        svg,
        "<text x=\"40\" y=\"22\" font-weight=\"bold\">{title}</text>"
    )
    .unwrap();
    panel(
        &mut svg,
        40.0,
        "resident memory, MiB",
        "#0072b2",
        &times,
        &memory,
    );
    panel(
        &mut svg,
        240.0,
        "neighbour's p99 read, ms",
        "#d55e00",
        &times,
        &p99,
    );
    svg.push_str("</svg>\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/soak.svg");
    std::fs::write(path, svg).unwrap();
}

/// Draws one line over time, on a scale from 0 to its maximum.
fn panel(svg: &mut String, top: f64, name: &str, colour: &str, times: &[f64], values: &[f64]) {
    let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let base = top + HEIGHT;
    let points: Vec<String> = times
        .iter()
        .zip(values)
        .map(|(time, value)| {
            format!(
                "{:.1},{:.1}",
                40.0 + time * WIDTH,
                base - value / most * (HEIGHT - 20.0)
            )
        })
        .collect();
    writeln!(svg, "<path d=\"M40 {base}h{WIDTH}\" stroke=\"#888\"/>").unwrap();
    let points = points.join(" ");
    writeln!(
        svg,
        "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
    )
    .unwrap();
    let y = top + 12.0;
    writeln!(
        svg,
        "<text x=\"44\" y=\"{y}\" fill=\"{colour}\">{name}: at most {most:.2}</text>"
    )
    .unwrap();
}
