//! The soak's samples as a picture.

use std::path::Path;
use std::time::Duration;

use nbdbox_tests::plot::{COLOURS, Line, Panel, Plot, Scale};

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

/// Writes `tests/soak.svg`.
pub(crate) fn write(samples: &[Sample]) {
    let reads: usize = samples.iter().map(|one| one.reads).sum();
    let end = samples.last().map_or(1.0, |one| one.at.as_secs_f64());
    let rounds = samples.len();
    let title =
        format!("{rounds} rounds of mixed attacks in {end:.0} s, {reads} reads beside them");
    let mut plot = Plot::new(2);
    plot.title(0, "#000", &title);
    let mut panel = |name: &str, colour, value: &dyn Fn(&Sample) -> f64| {
        let point = |one: &Sample| (one.at.as_secs_f64() / end, value(one));
        let points: Vec<(f64, f64)> = samples.iter().map(point).collect();
        let values = points.iter().map(|(_, value)| *value);
        let most = values.fold(f64::MIN_POSITIVE, f64::max);
        let panel = Panel {
            title: &format!("{name}: at most {most:.2}"),
            scale: Scale::Linear(most),
            marks: &[(0.0, "0"), (most, &format!("{most:.0}"))],
        };
        plot.panel(&panel, &[Line { colour, points }]);
    };
    panel("resident memory, MiB", COLOURS[0], &|one| {
        one.resident as f64 / 1048576.0
    });
    panel("neighbour's p99 read, ms", COLOURS[1], &|one| {
        one.p99.as_secs_f64() * 1e3
    });
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/soak.svg");
    std::fs::write(path, plot.finish()).unwrap();
}
