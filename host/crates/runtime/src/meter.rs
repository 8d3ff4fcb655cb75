//! What a call of a guest may use: CPU time, wall time, memory, and turns on the cores.
//!
//! The engine's clock drives CPU time ([`clock`]), and [`host_trap`] has each reason for which the host stops a guest.

pub(crate) mod call;
pub(crate) mod clock;
mod core_queue;
mod cpu;
pub(crate) mod host_trap;
pub(crate) mod memory;
mod waits;
