//! What is counted of compiling.

use super::{Counter, Histogram};

/// The counters of a compile cache.
#[derive(Debug, Default)]
pub struct CompileMetrics {
    /// Plugins whose code was there.
    pub hits: Counter,
    /// Plugins that could not be compiled.
    pub failures: Counter,
    /// How long the others took to compile.
    pub took: Histogram,
}
