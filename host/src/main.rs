//! The program `nbdbox`: its command line, its catalogs of exports, and its pages for the operator. The crates in
//! `host/crates`, which ARCHITECTURE.md lists by layer, have the rest.

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
