//! The rig's multi-call binary: its own name or the first argument selects the program. Without one of these words it
//! is the demo.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use rig::demo::PRODUCT;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let own = args.next();
    let own_name = own.as_ref().and_then(|path| Path::new(path).file_name());
    if own_name.is_some_and(|name| name == PRODUCT) {
        return thermowell::cli::main(own.into_iter().chain(args));
    }
    let first = args.next();
    let whole = |word: Option<OsString>, rest| -> Vec<OsString> { word.into_iter().chain(rest).collect() };
    match first.as_ref().and_then(|word| word.to_str()) {
        Some(rig::guard::WORD) => rig::guard::main(args),
        Some(rig::cuts::WORD) => rig::cuts::main(args),
        Some(rig::faults::WORD) => rig::faults::main(args),
        Some(rig::figures::WORD) => rig::figures::main(args),
        Some(rig::winter::WORD) => rig::winter::main(args),
        Some(PRODUCT) => thermowell::cli::main(whole(first, args)),
        Some("firmware-sim") => firmware_sim::cli::main(whole(first, args)),
        Some(_) | None => rig::demo::main(whole(first, args)),
    }
}
