//! What is counted, and where it can be seen.
//!
//! [`Metrics`] are an export's, [`CompileMetrics`] those of the compiler; those of who comes and goes are the
//! server's own. What a request touches are plain atomics: counting takes no lock and allocates nothing. What
//! goes wrong is counted by whose fault it was. Who looks at them goes through [`Observed`].

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
