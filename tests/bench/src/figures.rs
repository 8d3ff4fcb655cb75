//! The figures of a server, round by round, and how those of two servers compare.

use std::time::Duration;

use crate::rows::Goal;

/// The figures of one turn.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Operations per second.
    pub(crate) rate: f64,
    /// Bytes per second.
    pub(crate) bytes: Option<f64>,
    /// The median time of an operation.
    pub(crate) middle: Option<Duration>,
    /// The 99th percentile of that time.
    pub(crate) late: Option<Duration>,
    /// All operations of the turn.
    pub(crate) operations: f64,
    /// The server's CPU time per operation, in seconds.
    pub(crate) cpu: Option<f64>,
}

/// The figures of one server in all rounds.
pub(crate) struct Figures {
    pub(crate) label: String,
    pub(crate) samples: Vec<Sample>,
    /// The most resident memory, in KiB.
    pub(crate) peak: Option<u64>,
    /// The memory that a row about memory measures, in KiB.
    pub(crate) kib: Option<f64>,
}

/// The lowest, the median and the highest of some numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) middle: f64,
    pub(crate) most: f64,
}

impl Figures {
    pub(crate) fn of(label: String) -> Self {
        Self {
            label,
            samples: Vec::new(),
            peak: None,
            kib: None,
        }
    }

    /// The spread of the figure `of` over all turns.
    pub(crate) fn spread(&self, of: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(of).collect())
    }
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self {
            least: *values.first()?,
            middle: values[values.len() / 2],
            most: *values.last()?,
        })
    }
}

/// The figure that a goal compares: a larger one is better.
fn merit(goal: Goal, sample: &Sample) -> Option<f64> {
    match goal {
        Goal::Rate(_) => Some(sample.rate),
        Goal::Cpu(_) => sample.cpu.filter(|cpu| *cpu > 0.0).map(|cpu| 1.0 / cpu),
        Goal::Kib(_) => None,
    }
}

/// How many times better `ours` was than the best of `peers` in the same round.
pub(crate) fn ratio(goal: Goal, ours: &Figures, peers: &[Figures]) -> Option<Spread> {
    let rounds = ours.samples.iter().enumerate();
    let ratios = rounds.filter_map(|(round, sample)| {
        let theirs = peers
            .iter()
            .filter_map(|peer| merit(goal, peer.samples.get(round)?))
            .reduce(f64::max)?;
        Some(merit(goal, sample)? / theirs)
    });
    Spread::of(ratios.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rates: &[f64]) -> Figures {
        let sample = |rate: &f64| Sample {
            rate: *rate,
            bytes: None,
            middle: None,
            late: None,
            operations: 1.0,
            cpu: Some(1.0 / rate),
        };
        Figures {
            samples: rates.iter().map(sample).collect(),
            ..Figures::of(String::new())
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round_against_the_best() {
        let ours = figures(&[10.0, 30.0, 12.0]);
        let peers = [figures(&[2.0, 5.0, 3.0]), figures(&[5.0, 3.0, 6.0])];
        let spread = ratio(Goal::Rate(1.0), &ours, &peers).expect("there are rounds");
        assert_eq!((spread.least, spread.middle, spread.most), (2.0, 2.0, 6.0));
        let cpu = ratio(Goal::Cpu(1.0), &ours, &peers).expect("there are rounds");
        assert!((cpu.most - 6.0).abs() < 1e-9, "{cpu:?}");
    }
}
