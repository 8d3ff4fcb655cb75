//! Lanes: work that blocks a thread, or computes without a point at which others could go on, is done on a few threads
//! of the tenant for whom it's done.
//!
//! No lane lends a thread to another, so a tenant whose disk hangs, or whose files take long to look through, holds up
//! nobody but itself. What the threads compute is charged to the export that asked ([`CpuShare`](fair_cores::CpuShare)),
//! and an export that has had more than its share waits for its turn before its next job. The host has a lane of its
//! own, which nobody is charged for.

mod clock;
mod lane;
mod queue;

pub use clock::thread_time;
pub use lane::{Lane, LaneError, Work};
