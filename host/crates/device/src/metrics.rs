//! What the server counts, and how it can be read.
//!
//! [`Metrics`] belong to an export, [`CompileMetrics`] to the compiler; the server counts connections itself. The
//! counters on a request's path are plain atomics, so counting takes no lock and allocates nothing. Failures are
//! counted by whose fault they are. Readers go through [`Observed`].

mod compile;
mod counter;
mod export;
mod histogram;
mod observed;
mod operations;
mod storage;

pub use compile::{CompileMetrics, Compiling};
pub use counter::{Counter, Level};
pub use export::{Budget, Connected, Metrics};
pub use histogram::{Histogram, Snapshot};
pub use observed::{Observed, SeenExport, SeenLayer, SeenOpen, SeenTenant, stem};
pub use operations::{Operation, Operations, Outcome};
pub use storage::{SeenWait, StorageWait, StorageWaits};
