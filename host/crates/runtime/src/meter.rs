//! What a call of a guest may use: CPU time by the engine's clock, time on the wall, memory, and its turns on the
//! cores. `stop` names each reason for which a guest is stopped.

pub(crate) mod call;
pub(crate) mod clock;
mod core_queue;
mod cpu;
pub(crate) mod host_trap;
pub(crate) mod memory;
mod waits;
