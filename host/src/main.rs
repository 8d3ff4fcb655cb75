//! The program `nbdbox`: what its command line, its exports and its operator's pages need beyond the crates of
//! `host/crates`, which ARCHITECTURE.md lists by layer.

mod cli;
mod keeper;
mod log;
mod machine;
mod service;
mod walls;

mod admin;
mod hosting;

mod conformance;

mod map;
mod plugins;

use std::process::ExitCode;

fn main() -> ExitCode {
    let status = cli::main(std::env::args_os());
    native_filters::finish_logs();
    log::finish();
    status
}
