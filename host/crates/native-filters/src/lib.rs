//! The host's own filters, with the names and settings of nbdkit's: `delay`, `error`, `log`, `exitwhen`, `exitlast`,
//! `noextents`, `nozero`, `notrim`, `nocache`, `fua`, `blocksize-policy`.
//!
//! A filter that reads, compares or changes bytes is a component in a sandbox. The filters here hold no bytes and get
//! no blobs. Each one decides two things, without I/O: what it advertises to clients (`Hook::promise`), and what
//! happens to a call (`Hook::plan`). [`NativeFilter`] carries that out. So a filter is a table, and the code that
//! passes calls on to the layer below exists once.

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
