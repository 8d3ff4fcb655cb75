//! Throughput and p99 over time, as a picture.

use nbdbox_tests::plot::{COLOURS, Line, Panel, Plot, Scale};

use super::world::promised;
use super::{HONEST, Outcome, Window};

pub(super) fn svg(outcomes: &[Outcome]) -> String {
    let longest = outcomes.iter().map(|one| one.windows.len()).max();
    let longest = longest.unwrap_or(1).max(1) as f64;
    let mut plot = Plot::new(2);
    if let Some(outcome) = outcomes.first() {
        let first = outcome.windows.iter().take_while(|one| !one.attacked);
        let first = first.count() as f64;
        let count = outcome.windows.iter().filter(|one| one.attacked).count() as f64;
        let (from, to) = (first / longest, (first + count) / longest);
        plot.shade(2, from, to, "four others loop, allocate, flood and dawdle");
    }
    let colours = || outcomes.iter().zip(COLOURS.into_iter().cycle());
    for (column, (outcome, colour)) in colours().enumerate() {
        plot.title(column, colour, &outcome.label);
    }
    let lines = |value: &dyn Fn(&Outcome, &Window) -> f64| -> Vec<Line<'static>> {
        let line = |(outcome, colour): (&Outcome, &'static str)| {
            let windows = outcome.windows.iter().enumerate();
            let point = |(at, window)| ((at as f64 + 0.5) / longest, value(outcome, window));
            Line {
                colour,
                points: windows.map(point).collect(),
            }
        };
        colours().map(line).collect()
    };
    let share = promised(HONEST);
    let rates = Panel {
        title: "reads a second, in parts of what it gets alone",
        scale: Scale::Logarithmic(0.01, 2.0),
        marks: &[
            (0.01, "1 %"),
            (0.1, "10 %"),
            (share, "its share"),
            (1.0, "100 %"),
        ],
    };
    let rate = |outcome: &Outcome, one: &Window| one.rate / outcome.middle(false, |one| one.rate);
    plot.panel(&rates, &lines(&rate));
    let late = Panel {
        title: "p99 in ms",
        scale: Scale::Logarithmic(0.1, 10_000.0),
        marks: &[
            (0.1, "0.1"),
            (1.0, "1"),
            (10.0, "10"),
            (100.0, "100"),
            (1000.0, "1000"),
            (10_000.0, "10000"),
        ],
    };
    plot.panel(&late, &lines(&|_, one| one.p99.as_secs_f64() * 1e3));
    plot.finish()
}
