//! The program. Everything is in the library, so that it can be tested.

use std::process::ExitCode;

fn main() -> ExitCode {
    nbdbox::cli::main(std::env::args_os())
}
