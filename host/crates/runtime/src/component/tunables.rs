//! The settings that compiled code depends on: the same where it's compiled and where it's run.

use anyhow::{anyhow, ensure};
use wasmtime::{Config, OptLevel};

/// Stack of a guest, in bytes. Restrains recursion; what a Rust or Python guest needs is less.
const STACK: usize = 512 << 10;

/// Stack of the fiber that a call runs on: the guest's, and what host functions need.
pub(crate) const FIBER: usize = STACK + (256 << 10);

/// An engine with the settings that compiled code depends on: whoever makes it.
pub(crate) fn new_engine() -> anyhow::Result<wasmtime::Engine> {
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
