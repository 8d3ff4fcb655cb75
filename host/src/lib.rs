//! The program `nbdbox`: what its command line, its exports and its operator's pages need beyond the crates of
//! `host/crates`, which ARCHITECTURE.md lists by layer.
//!
//! Everything is in this library, so that it can be tested; `main.rs` only calls it.

pub mod cli;
mod service;

pub mod admin;
pub mod hosting;

pub mod conformance;

pub mod map;
