//! The one wasmtime engine of the process, and the clock that its guests yield to.

use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, anyhow, ensure};
use wasmtime::component::Linker;
use wasmtime::{Config, OptLevel};

use super::cache::Cache;
use super::cpu::TICK;
use super::guest::Guest;
use super::imports;

/// Stack of a guest, in bytes. Restrains recursion; what a Rust or Python guest needs is less.
const STACK: usize = 512 << 10;

/// Stack of the fiber that a call runs on: the guest's, and what host functions need.
const FIBER: usize = STACK + (256 << 10);

/// What all plugins of the process share: compiler settings, host functions, compiled code.
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
    /// Makes the engine and starts its clock. Compiled code goes through `cache`.
    ///
    /// # Errors
    /// This machine can't run WebAssembly as configured.
    pub fn new(cache: Cache) -> anyhow::Result<Self> {
        let engine = new_engine()?;
        let mut linker = Linker::new(&engine);
        imports::link(&mut linker)?;
        start_clock(&engine)?;
        Ok(Self {
            engine,
            linker: Arc::new(linker),
            cache: Arc::new(cache),
        })
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(super) fn linker(&self) -> &Linker<Guest> {
        &self.linker
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }
}

/// An engine with the settings that compiled code depends on: the same in the compiler's process.
pub(super) fn new_engine() -> anyhow::Result<wasmtime::Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(STACK)
        .async_stack_size(FIBER)
        // Backtraces are for the operator's log at most; guest addresses mean nothing there.
        .wasm_backtrace_max_frames(None)
        .memory_init_cow(true);
    let engine = wasmtime::Engine::new(&config)
        .map_err(|error| anyhow!("can't set up wasmtime: {error:#}"))?;
    // A dependency that turns on a feature of wasmtime's changes its defaults for all: with
    // concurrency on, each host call costs 3 to 4 times as much.
    ensure!(
        !engine.get_concurrency_support(),
        "wasmtime was built with component-model-async: host calls would be slow"
    );
    Ok(engine)
}

/// A thread that ticks for as long as the engine lives.
fn start_clock(engine: &wasmtime::Engine) -> anyhow::Result<()> {
    let engine = engine.weak();
    thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })
        .context("can't start the epoch's thread")?;
    Ok(())
}
