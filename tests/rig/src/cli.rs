//! The rig's command lines: parsed, run and concluded alike.
//!
//! Exit codes: 0 what was asked for is as it should be, 1 it is not or could not be done, 2 the arguments are wrong.
//! A command may add codes of its own; its help names them.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use thermowell::logs::chain;

/// Exit code for wrong arguments, clap's too.
const WRONG_ARGUMENTS: u8 = 2;

/// Why a command did not come to its end.
pub(crate) struct Failure {
    said: String,
    code: u8,
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { said: chain(&error), code: 1 }
    }
}

impl Failure {
    /// With an exit code of its own.
    pub(crate) fn with_code(error: &dyn Error, code: u8) -> Self {
        Self { said: chain(error), code }
    }

    /// The arguments were understood, and ask for something that there is not.
    pub(crate) fn wrong_arguments(error: &dyn Error) -> Self {
        Self::with_code(error, WRONG_ARGUMENTS)
    }
}

/// Runs the command `name` with the arguments behind it. `run` tells whether all is as it should be.
pub(crate) fn main<O: Parser>(
    name: &str,
    args: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(&O) -> Result<bool, Failure>,
) -> ExitCode {
    let options = match O::try_parse_from([OsString::from(name)].into_iter().chain(args)) {
        Ok(options) => options,
        // Help is an answer too, on standard output.
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(WRONG_ARGUMENTS);
            return error.print().map_or(ExitCode::FAILURE, |()| ExitCode::from(code));
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure { said, code }) => {
            say(&format!("{name}: {said}"));
            ExitCode::from(code)
        }
    }
}

/// A line for people, beside what is asked for.
pub(crate) fn say(line: &str) {
    // Nobody is left to tell that standard error is closed.
    writeln!(io::stderr().lock(), "{line}").unwrap_or_default();
}
