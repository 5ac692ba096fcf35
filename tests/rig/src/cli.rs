//! The rig's command lines: parsed, run and concluded alike.
//!
//! Exit codes: 0 what was asked for is as it should be, 1 it is not or could not be done, 2 the arguments are wrong.
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

/// An error with an exit code of its own.
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

/// The same error, for which the command ends with `code`.
pub(crate) fn with_code(code: u8, error: anyhow::Error) -> anyhow::Error {
    WithCode { code, error }.into()
}

/// Runs the command `name` with its arguments. `run` returns whether all is as it should be.
pub(crate) fn main<O: Parser>(
    name: &str,
    args: impl IntoIterator<Item = OsString>,
    run: impl FnOnce(&O) -> anyhow::Result<bool>,
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
        Err(error) => {
            say(&format!("{name}: {}", chain(error.as_ref())));
            ExitCode::from(error.downcast_ref::<WithCode>().map_or(1, |error| error.code))
        }
    }
}

/// A line for people, on standard error.
pub(crate) fn say(line: &str) {
    // Where standard error is closed, the exit code is left.
    writeln!(io::stderr().lock(), "{line}").unwrap_or_default();
}
