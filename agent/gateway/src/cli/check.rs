//! `thermowell check`.

use std::path::{Path, PathBuf};

use super::{Exit, Outcome, Source, load, print_error, runtime, show};
use crate::check::{self, BundleError, Checks, List, Root, Selection, Verdict};
use crate::logs;

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell check                    what is not fine, and what to do
  thermowell check -v                 every check, with its figures
  thermowell check --only port        one group; --only port.free is one check
  thermowell check --list             what is checked
  thermowell check --repair           what could be repaired from here
  thermowell check --repair --yes     repair it, and check again
  thermowell check --bundle diagnosis.tar
  thermowell check --json | jq '.checks[] | select(.status == \"error\")'

--repair takes rights from secret files, sets the timer of FTDI adapters,
creates streams and adds subjects, puts unusable spill files aside. Nothing is
deleted. --bundle blanks keys and passwords; read it before you pass it on.

Exit codes: 0 no error (but check warnings and unknowns), 1 an error, or with
--strict a warning, 78 the configuration is wrong";

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    source: Source,
    /// Only these checks: an id such as port.free, or the beginning of several such as port; repeatable
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Print the list of checks, and check nothing
    #[arg(long)]
    list: bool,
    /// Show every check, not only what is not fine
    #[arg(short, long)]
    verbose: bool,
    /// A warning counts as a failure
    #[arg(long)]
    strict: bool,
    /// Print what can be repaired from here; with --yes, repair it and check again
    #[arg(long, conflicts_with = "bundle")]
    repair: bool,
    /// Do it
    #[arg(long, requires = "repair")]
    yes: bool,
    /// Write findings, configuration, states and logs to a new archive, without secrets
    #[arg(long, value_name = "FILE.tar")]
    bundle: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CheckArgs) -> Outcome {
    let selection = Selection::of(&args.only).map_err(|error| {
        print_error(&error);
        Exit::Usage
    })?;
    if args.list {
        let list = List { checks: selection.checks().to_vec() };
        return Ok(show(&list, args.json, Exit::Success));
    }
    if let Some(path) = &args.bundle {
        check::admit(path).map_err(|error| {
            print_error(&logs::chain(&error));
            if matches!(error, BundleError::Name { .. }) { Exit::Usage } else { Exit::Failure }
        })?;
    }
    let (path, root) = (args.source.path(), Root::machine());
    let runtime = runtime()?;
    let make = || {
        let checks = runtime.block_on(check::check(&path, &selection, &root));
        if args.strict { checks.strict() } else { checks }
    };
    let checks = make();
    if args.repair && checks.verdict() != Verdict::Configuration {
        let repairs = runtime.block_on(check::repair(&load(&args.source)?, &checks, args.yes));
        let exit = if repairs.ok || !args.yes { Exit::Success } else { Exit::Failure };
        let exit = show(&repairs, args.json, exit);
        // Programs get one JSON value.
        return Ok(if args.yes && !args.json && exit == Exit::Success { report(args, make()) } else { exit });
    }
    let exit = match &args.bundle {
        Some(file) => bundle(&runtime, file, &path, &checks, &root)?,
        None => Exit::Success,
    };
    Ok(if exit == Exit::Success { report(args, checks) } else { exit })
}

fn report(args: &CheckArgs, checks: Checks) -> Exit {
    let exit = match checks.verdict() {
        Verdict::Fine => Exit::Success,
        Verdict::Failed => Exit::Failure,
        Verdict::Configuration => Exit::Configuration,
    };
    show(&checks.verbose(args.verbose), args.json, exit)
}

fn bundle(runtime: &tokio::runtime::Runtime, file: &Path, path: &Path, checks: &Checks, root: &Root) -> Outcome {
    match runtime.block_on(check::bundle(file, path, checks, root)) {
        Ok(names) => {
            print_error(&format!("{} has {}; read it before you pass it on", file.display(), names.join(", ")));
            Ok(Exit::Success)
        }
        Err(error) => {
            print_error(&logs::chain(&error));
            Err(Exit::Failure)
        }
    }
}
