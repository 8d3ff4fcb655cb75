//! The program `nbdbox`: its command line, its processes, its catalogs of exports, and its pages for the operator.
//! ARCHITECTURE.md lists the crates in `host/crates`, which have the rest.

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
