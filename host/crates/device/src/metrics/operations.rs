//! Requests, counted by operation and outcome.

use std::time::Duration;

use super::{Counter, Histogram};
use crate::fault::{Failure, Fault};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Returns bytes.
    Read,
    /// Stores bytes.
    Write,
    /// Makes changes durable.
    Flush,
    /// Gives up a range.
    Trim,
    /// Makes a range read as zeroes.
    Zero,
    /// Reads ahead.
    Cache,
    /// Describes extents.
    BlockStatus,
}

/// What became of a request that reached the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request succeeded.
    Ok,
    /// The plugin answered an error, which it may.
    Answered,
    /// The plugin was at fault.
    Plugin,
    /// The layer below a filter failed, and has counted the fault.
    Below,
    /// The host was at fault.
    Host,
    /// The request would have waited for its tenant's or export's share longer than it may take.
    Share,
    /// The client hung up, and the host gave the request up.
    HungUp,
    /// The request reported that earlier changes are lost.
    Lost,
    /// The server was going down.
    Shutdown,
}

impl Operation {
    /// All, in the order of their counters.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Write,
        Self::Flush,
        Self::Trim,
        Self::Zero,
        Self::Cache,
        Self::BlockStatus,
    ];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Trim => "trim",
            Self::Zero => "zero",
            Self::Cache => "cache",
            Self::BlockStatus => "block-status",
        }
    }
}

impl Outcome {
    /// All, in the order of their counters.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Answered,
        Self::Plugin,
        Self::Below,
        Self::Host,
        Self::Share,
        Self::HungUp,
        Self::Lost,
        Self::Shutdown,
    ];

    /// The name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Answered => "answered",
            Self::Plugin => "plugin",
            Self::Below => "below",
            Self::Host => "host",
            Self::Share => "share",
            Self::HungUp => "hung-up",
            Self::Lost => "lost",
            Self::Shutdown => "shutdown",
        }
    }
}

impl From<&Failure> for Outcome {
    fn from(failure: &Failure) -> Self {
        match failure.fault {
            Fault::Answer => Self::Answered,
            Fault::Plugin(_) => Self::Plugin,
            Fault::Below => Self::Below,
            Fault::Host => Self::Host,
            Fault::Share => Self::Share,
            Fault::HungUp => Self::HungUp,
            Fault::Lost => Self::Lost,
            Fault::Shutdown => Self::Shutdown,
        }
    }
}

/// A counter for each pair of operation and outcome, and the time that each operation took.
#[derive(Debug, Default)]
pub struct Operations {
    counts: [[Counter; Outcome::ALL.len()]; Operation::ALL.len()],
    took: [Histogram; Operation::ALL.len()],
}

impl Operations {
    /// Counts a request that has ended.
    pub fn note(&self, operation: Operation, outcome: Outcome, took: Duration) {
        // Both are plain enums whose declaration order is that of `ALL`.
        self.counts[operation as usize][outcome as usize].one();
        self.took[operation as usize].note(took);
    }

    /// The number of requests of this operation and outcome.
    #[must_use]
    pub fn count(&self, operation: Operation, outcome: Outcome) -> u64 {
        self.counts[operation as usize][outcome as usize].get()
    }

    /// The number of requests of this outcome.
    #[must_use]
    pub fn with(&self, outcome: Outcome) -> u64 {
        Operation::ALL
            .iter()
            .map(|operation| self.count(*operation, outcome))
            .sum()
    }

    /// The number of requests that have ended.
    #[must_use]
    pub fn total(&self) -> u64 {
        Outcome::ALL.iter().map(|outcome| self.with(*outcome)).sum()
    }

    /// The time that requests of this operation took, from their start, waits for a rate included, until the device
    /// returned.
    #[must_use]
    pub fn took(&self, operation: Operation) -> &Histogram {
        &self.took[operation as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_and_outcome_has_a_counter_of_its_own() {
        let operations = Operations::default();
        for operation in Operation::ALL {
            for outcome in Outcome::ALL {
                assert_eq!(operations.count(operation, outcome), 0);
                operations.note(operation, outcome, Duration::ZERO);
                assert_eq!(operations.count(operation, outcome), 1);
            }
        }
        let all = Operation::ALL.len() * Outcome::ALL.len();
        assert_eq!(operations.total(), all as u64);
    }
}
