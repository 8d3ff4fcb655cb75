//! Filters: the same bytes and maps as nbdkit's of the same purpose, and what the host lets through.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is the verdict"
)]

mod compare;
mod cow;
mod hop;
mod hosting;
mod image;
mod offset;
mod partition;
mod slow;
mod truncate;
