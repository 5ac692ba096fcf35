//! `thermowell status`.

use thermowell_wire::BoilerId;

use super::{Exit, Outcome, Source, command, show};
use crate::status::{self, Verdict};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell status
  thermowell status --boiler b1
  thermowell status --json | jq '.boilers[] | {boiler, freshness, age_s}'

The JSON has one entry per boiler: boiler, freshness (fresh, coasting, fault
or null), age_s, and the last messages as they were published: state, status,
lease, snapshot, each null where it is absent.

Exit codes: 0 every boiler is fresh, 1 one is not or the server does not
answer, 3 no state of any boiler, 78 the configuration is wrong";

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    source: Source,
    /// The boiler; by default every boiler of the configuration
    #[arg(long, value_name = "ID")]
    boiler: Option<BoilerId>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &StatusArgs) -> Outcome {
    let report = command(&args.source, async |config| status::status(config, args.boiler.as_ref()).await)?;
    let exit = match report.verdict() {
        Verdict::Fresh => Exit::Success,
        Verdict::Unknown => Exit::Unknown,
        Verdict::NotFresh => Exit::Failure,
    };
    Ok(show(&report, args.json, exit))
}
