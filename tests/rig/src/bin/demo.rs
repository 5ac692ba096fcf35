//! The rig's multi-call binary: the first argument says which program it is. Without one of these words it is the demo.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_else(|| OsString::from("demo"));
    let first = args.next();
    match first.as_ref().and_then(|word| word.to_str()) {
        Some(rig::guard::WORD) => rig::guard::main(args),
        // The arms of `thermowell` and `firmware-sim` stand here as soon as their libraries have an entry.
        Some(_) | None => demo(program, first.into_iter().chain(args)),
    }
}

/// The demo itself. Its entry moves into the library with its first part.
fn demo(program: OsString, args: impl Iterator<Item = OsString>) -> ExitCode {
    let call: Vec<_> = std::iter::once(program).chain(args).collect();
    writeln!(std::io::stderr().lock(), "the demo is not built yet: {call:?}").ok();
    ExitCode::FAILURE
}
