//! The table of the results, as text and Markdown, and the chart.

use std::fmt::Write as _;

use crate::figures::{Figures, Spread, ratio};
use crate::measure::Measured;
use crate::rows::Goal;

/// A row in one line, to show progress.
pub(crate) fn one(row: &Measured) -> String {
    let (ours, peers) = ours_and_peers(row);
    let mut line = format!("{:<16}", row.name);
    for figures in &row.figures {
        write_to(
            &mut line,
            format_args!("  {} {}", figures.label, rate(figures)),
        );
    }
    for goal in row.goals {
        write_to(&mut line, format_args!("  {}", verdict(*goal, ours, peers)));
    }
    line
}

/// The whole table in Markdown.
pub(crate) fn table(rows: &[&Measured]) -> String {
    let mut text = String::from(
        "| work | server | rate /s | MiB/s | p50 µs | p99 µs | CPU µs/op | peak MiB | goal |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for row in rows {
        let (ours, peers) = ours_and_peers(row);
        let goals: Vec<String> = row
            .goals
            .iter()
            .map(|goal| verdict(*goal, ours, peers))
            .collect();
        for (index, figures) in row.figures.iter().enumerate() {
            let (what, goal) = match index {
                0 => (row.what, goals.join("; ")),
                _ => ("", String::new()),
            };
            write_to(
                &mut text,
                format_args!(
                    "| {what} | {} | {} | {goal} |\n",
                    figures.label,
                    cells(figures)
                ),
            );
        }
        if let Some(floor) = &row.floor {
            let reached = row.goals.iter().map(|goal| reach(*goal, floor, peers));
            let reached: Vec<String> = reached.collect();
            write_to(
                &mut text,
                format_args!(
                    "|  | *{}* | {} | {} |\n",
                    floor.label,
                    cells(floor),
                    reached.join("; ")
                ),
            );
        }
    }
    text
}

/// The text of RESULTS.md.
pub(crate) fn document(machine: &str, rows: &[Measured]) -> String {
    let (met, missed) = count(rows);
    let part = |pinned: bool| {
        let part: Vec<&Measured> = rows.iter().filter(|row| row.pinned == pinned).collect();
        table(&part)
    };
    format!(
        "# Results\n\nMade by `make bench`; [README.md](README.md) has the method. {machine}\n\n\
         {met} goals met, {missed} missed. A ratio compares nbdbox with the best of its peers in the same \
         round: the median over the rounds, with the lowest and the highest in brackets. *no work* is a \
         server that sends the same bytes for every request: it shows the bound that the client, the \
         kernel and the sockets set.\n\n\
         ![ratios](results.svg)\n\n## A core for the server, a core for the client\n\n{}\n\
         ## Server and client on any core\n\n{}",
        part(true),
        part(false)
    )
}

fn count(rows: &[Measured]) -> (usize, usize) {
    let outcomes = rows.iter().flat_map(|row| {
        let (ours, peers) = ours_and_peers(row);
        row.goals
            .iter()
            .filter_map(move |goal| is_met(*goal, ours, peers))
    });
    let outcomes: Vec<bool> = outcomes.collect();
    let met = outcomes.iter().filter(|met| **met).count();
    (met, outcomes.len() - met)
}

/// The chart: a bar for each ratio, on a logarithmic scale, with the goal as a line across it.
pub(crate) fn chart(rows: &[Measured]) -> String {
    const ROW: f64 = 22.0;
    const LEFT: f64 = 330.0;
    // From a quarter to 32 times.
    let x = |ratio: f64| LEFT + (ratio.clamp(0.25, 32.0).log2() + 2.0) * 60.0;
    let mut bars = String::new();
    let mut y = 40.0;
    for row in rows {
        let (ours, peers) = ours_and_peers(row);
        for goal in row.goals {
            let Some(spread) = ratio(*goal, ours, peers) else {
                continue;
            };
            let (wanted, unit) = match goal {
                Goal::Rate(wanted) => (*wanted, ""),
                Goal::Cpu(wanted) => (*wanted, " (CPU)"),
                Goal::Kib(_) => continue,
            };
            let colour = if spread.middle >= wanted {
                "#2a7"
            } else {
                "#c63"
            };
            let (from, to) = (x(1.0).min(x(spread.middle)), x(1.0).max(x(spread.middle)));
            write_to(
                &mut bars,
                format_args!(
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}{unit}</text>\
                     <rect x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"14\" fill=\"{colour}\"/>\
                     <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{m}\" y2=\"{m}\" stroke=\"#333\"/>\
                     <line x1=\"{g:.1}\" x2=\"{g:.1}\" y1=\"{}\" y2=\"{}\" stroke=\"#000\" stroke-width=\"3\"/>\
                     <text x=\"{:.1}\" y=\"{}\">{:.1}×</text>\n",
                    LEFT - 8.0,
                    y + 11.0,
                    row.name,
                    y,
                    to - from,
                    x(spread.least),
                    x(spread.most),
                    y - 2.0,
                    y + 16.0,
                    x(spread.most).max(x(wanted)) + 8.0,
                    y + 11.0,
                    spread.middle,
                    m = y + 7.0,
                    g = x(wanted),
                ),
            );
            y += ROW;
        }
    }
    let mut axis = String::new();
    for ratio in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0] {
        write_to(
            &mut axis,
            format_args!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"30\" y2=\"{y}\" stroke=\"#ccc\"/>\
                 <text x=\"{x:.1}\" y=\"24\" text-anchor=\"middle\">{ratio}×</text>\n",
                x = x(ratio),
            ),
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"840\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{axis}{bars}\
         <text x=\"{LEFT}\" y=\"{}\">times the best peer of the same round; thick line: the goal; \
         thin line: lowest to highest</text>\n</svg>\n",
        y + 20.0,
        height = y + 36.0,
    )
}

fn ours_and_peers(row: &Measured) -> (&Figures, &[Figures]) {
    let (ours, peers) = row.figures.split_first().expect("a row has nbdbox in it");
    (ours, peers)
}

fn is_met(goal: Goal, ours: &Figures, peers: &[Figures]) -> Option<bool> {
    match goal {
        Goal::Rate(wanted) | Goal::Cpu(wanted) => {
            ratio(goal, ours, peers).map(|spread| spread.middle >= wanted)
        }
        Goal::Kib(most) => ours.kib.map(|kib| kib <= most),
    }
}

/// A goal, the ratio, and whether the goal is met.
fn verdict(goal: Goal, ours: &Figures, peers: &[Figures]) -> String {
    let word = match is_met(goal, ours, peers) {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "not measured",
    };
    let spread = |spread: Option<Spread>| {
        spread.map_or("–".to_owned(), |spread| {
            format!(
                "{:.2} [{:.2}–{:.2}]",
                spread.middle, spread.least, spread.most
            )
        })
    };
    match goal {
        Goal::Rate(wanted) => {
            format!(
                "rate × {}, ≥ {wanted}: {word}",
                spread(ratio(goal, ours, peers))
            )
        }
        Goal::Cpu(wanted) => {
            format!(
                "CPU ÷ {}, ≥ {wanted}: {word}",
                spread(ratio(goal, ours, peers))
            )
        }
        Goal::Kib(most) => format!("≤ {most} KiB: {word}"),
    }
}

/// The ratio that a server without work would have.
fn reach(goal: Goal, floor: &Figures, peers: &[Figures]) -> String {
    let word = match goal {
        Goal::Rate(_) => "rate ×",
        Goal::Cpu(_) => "CPU ÷",
        Goal::Kib(_) => return String::new(),
    };
    let spread = ratio(goal, floor, peers);
    spread.map_or(String::new(), |spread| {
        format!("*{word} {:.2}*", spread.middle)
    })
}

fn rate(figures: &Figures) -> String {
    match (figures.spread(|sample| Some(sample.rate)), figures.kib) {
        (Some(spread), _) => number(spread.middle),
        (None, Some(kib)) => format!("{kib:.0} KiB"),
        (None, None) => "–".to_owned(),
    }
}

/// The median of each figure.
fn cells(figures: &Figures) -> String {
    let middle = |of: &dyn Fn(&crate::figures::Sample) -> Option<f64>| {
        figures
            .spread(of)
            .map_or("–".to_owned(), |spread| number(spread.middle))
    };
    let micros = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64() * 1e6);
    [
        rate(figures),
        middle(&|sample| sample.bytes.map(|bytes| bytes / f64::from(1 << 20))),
        middle(&|sample| micros(sample.middle)),
        middle(&|sample| micros(sample.late)),
        middle(&|sample| sample.cpu.map(|cpu| cpu * 1e6)),
        figures
            .peak
            .map_or("–".to_owned(), |kib| number(kib as f64 / 1024.0)),
    ]
    .join(" | ")
}

/// A number with three significant digits.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn write_to(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = text.write_fmt(arguments);
}
