//! Plugins in other languages than Rust, built from source and met by real clients.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

mod c_bindings;
mod c_disk;
mod concat;
mod fat;
mod js_types;
mod partition;
mod regions;
mod zstd;
