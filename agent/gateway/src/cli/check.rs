//! `thermowell check`.

use super::{Exit, Outcome, Source, print_error, runtime, show};
use crate::check::{self, List, Root, Selection, Verdict};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell check                    what is not fine, and what to do
  thermowell check -v                 every check, with its figures
  thermowell check --only port        one group; --only port.free is one check
  thermowell check --list             what is checked
  thermowell check --json | jq '.checks[] | select(.status == \"error\")'

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
    let checks = runtime()?.block_on(check::check(&args.source.path(), &selection, &Root::machine()));
    let checks = if args.strict { checks.strict() } else { checks };
    let exit = match checks.verdict() {
        Verdict::Fine => Exit::Success,
        Verdict::Failed => Exit::Failure,
        Verdict::Configuration => Exit::Configuration,
    };
    Ok(show(&checks.verbose(args.verbose), args.json, exit))
}
