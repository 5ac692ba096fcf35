//! The binary. All code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    thermowell::cli::main(std::env::args_os())
}
