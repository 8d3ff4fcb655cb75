//! The one engine of the process.

use std::sync::Arc;

use device::metrics::CompileMetrics;
use wasmtime::component::Linker;

use crate::component::cache::Cache;
use crate::component::tunables::new_engine;
use crate::instance::guest::Guest;
use crate::instance::imports;
use crate::meter::clock;

/// What all plugins of the process share: compiler settings, host functions and compiled code. Clones are of the same
/// engine.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Arc<Linker<Guest>>,
    cache: Arc<Cache>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes the engine, starts its clock, and tidies `cache`, in which it keeps compiled code. Blocks for the time
    /// that the disk takes.
    ///
    /// # Errors
    /// This machine can't run WebAssembly with the engine's settings; the system gives no thread for the clock.
    pub fn new(cache: Cache) -> anyhow::Result<Self> {
        let engine = new_engine()?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker)?;
        clock::tick_for(&engine)?;
        cache.tidy();
        Ok(Self {
            engine,
            linker: Arc::new(linker),
            cache: Arc::new(cache),
        })
    }

    /// The counters of the compiler and the cache.
    #[must_use]
    pub fn metrics(&self) -> &Arc<CompileMetrics> {
        self.cache.metrics()
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<Guest> {
        &self.linker
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }
}
