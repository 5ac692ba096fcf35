//! The program that starts each child of the rig: it ties the child's life to the rig's, then becomes the child.
//!
//! `demo guard PARENT PROGRAM [ARGUMENT]...` asks the kernel for SIGKILL when its parent ends, checks that the parent
//! is still the one that started it, and replaces itself by PROGRAM. The request survives the replacement, so that
//! no server or simulator is left over even after a SIGKILL of the rig. (`Command::pre_exec` would do the same and
//! needs `unsafe`.)
//!
//! The kernel counts the *thread* that started the child as its parent: see [`crate::process`].

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The first argument that selects the guard.
pub const WORD: &str = "guard";

/// Exit code for wrong arguments of the guard.
const USAGE: u8 = 2;
/// Exit code if the program cannot be started, as shells have it.
const NOT_STARTED: u8 = 127;

/// Runs the guard with the arguments after [`WORD`]. It returns only if it could not become the program.
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match become_program(args.into_iter()) {
        Ok(never) => match never {},
        Err((code, message)) => {
            // Standard error is the child's log; if it is closed, the exit code has to do.
            writeln!(std::io::stderr().lock(), "guard: {message}").ok();
            ExitCode::from(code)
        }
    }
}

fn become_program(mut args: impl Iterator<Item = OsString>) -> Result<std::convert::Infallible, (u8, String)> {
    let usage = || (USAGE, "usage: guard PARENT PROGRAM [ARGUMENT]...".to_owned());
    let parent = args.next().and_then(|word| word.to_str()?.parse().ok());
    let parent = parent.and_then(Pid::from_raw).ok_or_else(usage)?;
    let program = args.next().ok_or_else(usage)?;

    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| (NOT_STARTED, format!("cannot ask for the parent's death signal: {error}")))?;
    // Between fork and the request above the parent may have ended; the request would then wait for another process.
    if getppid() != Some(parent) {
        return Err((NOT_STARTED, format!("parent {parent} has already ended")));
    }
    let error = Command::new(&program).args(args).exec();
    Err((NOT_STARTED, format!("cannot start {}: {error}", program.display())))
}
