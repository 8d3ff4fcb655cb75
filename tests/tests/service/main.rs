//! The service that an operator runs: the command line, limits, tenants, figures and logs, and the documents.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod cli;
mod map;

mod limit_edges;
mod log;
mod nbdkit;
mod tenants;

mod admin;

mod docs;
mod processes;
mod walls;
