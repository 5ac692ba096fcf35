//! The simulator's own executable.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    firmware_sim::cli::main(std::env::args_os().collect())
}
