//! Lanes: work that blocks a thread, or computes without a point at which others could go on, is done on a few threads
//! of the tenant for whom it's done: instances of plugins are made there, and files read, written and flushed. The host
//! has a lane of its own, for what it does for the operator.
//!
//! No lane lends a thread to another, so a tenant whose work takes long holds up nobody but itself. What the threads
//! compute is charged to the export that asked ([`CpuShare`](fair_cores::CpuShare)), and an export that has had more
//! than its share waits for its turn before its next job.

mod clock;
mod lane;
mod queue;

pub use clock::{Computed, process_time, thread_time};
pub use lane::{Lane, LaneError, Work};
