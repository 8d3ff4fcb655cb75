//! Filters of the host's own, with the names and settings of nbdkit's: `delay`, `error`, `log`, `exitwhen`,
//! `exitlast`, `noextents`, `nozero`, `notrim`, `nocache`, `fua`, `blocksize-policy`.
//!
//! A filter that reads, compares or changes bytes is a component, in a sandbox. These hold no bytes and get no blobs:
//! each says what clients get to see (`promise`) and what becomes of a call
//! (`plan`), without I/O, and [`NativeFilter`] does it. So a filter is a table, and handing calls
//! on to the layer below exists once.

mod call;
mod exit;
mod filter;
mod filters;
mod hook;
mod log;
mod native;
mod plan;
mod settings;

pub use exit::Exit;
pub use filter::NativeFilter;
pub use log::finish_logs;
pub use native::{Native, NativeError};
