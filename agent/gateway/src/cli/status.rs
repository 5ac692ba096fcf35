//! `thermowell status`.

use super::{Exit, Source, command, print};
use crate::status::{self, Verdict};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell status
  thermowell status --json | jq '.boilers[] | {boiler, freshness, age_s}'

The JSON has one entry per boiler: boiler, freshness (fresh, coasting, fault or null), age_s, and the last messages as
they were published: state, status, lease, snapshot, each null where it is absent.

Exit codes: 0 every boiler is fresh, 1 one is not or the server does not answer, 3 no state of any boiler, 78 the
configuration is wrong";

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    source: Source,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatusArgs) -> Exit {
    let report = match command(&args.source, async |config| status::status(config).await) {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    let text = if args.json { report.json() } else { report.text() };
    match (print(&text), report.verdict()) {
        (Exit::Success, Verdict::Fresh) => Exit::Success,
        (Exit::Success, Verdict::Unknown) => Exit::Unknown,
        (Exit::Success, Verdict::NotFresh) => Exit::Failure,
        (failed, _) => failed,
    }
}
