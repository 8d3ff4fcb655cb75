//! Lanes: a few threads for each tenant, for its work that blocks a thread or computes for long without a yield. They
//! make instances of plugins, and read, write and flush files. The host has a lane of its own, for work on behalf of
//! the operator.
//!
//! No lane lends a thread to another, so slow work of a tenant delays only that tenant. The export that submitted the
//! work pays for its CPU time ([`CpuShare`](fair_cores::CpuShare)). An export that has had more than its share waits
//! for its turn before its next job.

mod clock;
mod lane;
mod queue;

pub use clock::{Computed, process_time, thread_time};
pub use lane::{Lane, LaneError, Work};
