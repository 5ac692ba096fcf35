//! The rig's commands: parsing, running and exit codes.
//!
//! Exit codes: 0 the result is as expected, 1 it is not or the command failed, 2 the arguments are wrong.
//! A command may add codes of its own; its help names them.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use thermowell::logs::chain;

/// Exit code for wrong arguments, clap's too; also for arguments that name something that does not exist.
pub(crate) const WRONG_ARGUMENTS: u8 = 2;

/// An error with its own exit code.
#[derive(Debug)]
struct WithCode {
    code: u8,
    error: anyhow::Error,
}

impl fmt::Display for WithCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for WithCode {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The same error with the exit code `code`.
pub(crate) fn with_code(code: u8, error: anyhow::Error) -> anyhow::Error {
    WithCode { code, error }.into()
}

/// Runs the command `name` with its arguments. `run` returns whether the result is as expected.
pub(crate) fn main<O: Parser>(
    name: &str,
    args: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(&O) -> anyhow::Result<bool>,
) -> ExitCode {
    let options = match O::try_parse_from([OsString::from(name)].into_iter().chain(args)) {
        Ok(options) => options,
        // Help is printed to standard output.
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(WRONG_ARGUMENTS);
            return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::from(code));
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("{name}: {}", chain(error.as_ref())));
            ExitCode::from(error.downcast_ref::<WithCode>().map_or(1, |error| error.code))
        }
    }
}

/// Prints a line to standard error.
pub(crate) fn say(line: &str) {
    // If standard error is closed, the exit code has to do.
    writeln!(io::stderr().lock(), "{line}").unwrap_or_default();
}
