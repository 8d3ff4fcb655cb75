//! The settings that compiled code depends on. The process that compiles and the process that runs the code both use
//! them.

use anyhow::{anyhow, ensure};
use wasmtime::{Config, OptLevel};

/// Stack of a guest, in bytes. Restrains recursion in a plugin; guests in Rust or Python need less.
const STACK: usize = 512 << 10;

/// Stack of the fiber that a call runs on, in bytes: the guest's, and what host functions need.
pub(crate) const FIBER: usize = STACK + (256 << 10);

/// Makes an engine with the settings that compiled code depends on.
///
/// # Errors
/// This machine can't run WebAssembly with these settings, or a dependency turned on wasmtime's concurrency support.
pub(crate) fn new_engine() -> anyhow::Result<wasmtime::Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(STACK)
        .async_stack_size(FIBER)
        // Backtraces would only reach the operator's log, where guest addresses mean nothing.
        .wasm_backtrace_max_frames(None)
        .memory_init_cow(true);
    let engine = wasmtime::Engine::new(&config)
        .map_err(|error| anyhow!("can't set up wasmtime: {error:#}"))?;
    // A dependency that turns on a feature of wasmtime changes its defaults for the whole program. With concurrency
    // support, a host call costs 3 to 4 times as much.
    ensure!(
        !engine.get_concurrency_support(),
        "wasmtime was built with component-model-async, which makes host calls slow: turn that feature off"
    );
    Ok(engine)
}
