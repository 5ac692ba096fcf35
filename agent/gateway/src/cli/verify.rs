//! `thermowell verify`.

use std::io::{self, IsTerminal as _, Write as _};
use std::mem;

use clap::Args;
use thermowell_wire::BoilerId;

use super::progress::Progress;
use super::{Exit, Outcome, Source, command, print_error, show};
use crate::output::Report as _;
use crate::quantity;
use crate::verify;

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell verify                 every hour that SAMPLES still holds
  thermowell verify --boiler b1 --hour 2026-01-07T02:00:00Z
  thermowell verify --from 2026-01-07T00:00:00Z --to 2026-01-08T00:00:00Z
  thermowell verify --json | jq 'select(.differences)'

It publishes nothing. SAMPLES holds three days; older hours are reported as
having no samples.

Exit codes: 0 everything that can be compared agrees, 1 a difference or a read
error, 78 the configuration is wrong";

#[derive(Debug, Args)]
pub(super) struct Verification {
    #[command(flatten)]
    source: Source,
    /// The boiler; by default every boiler of the configuration
    #[arg(long, value_name = "ID")]
    boiler: Option<BoilerId>,
    /// The beginning of one hour, UTC
    #[arg(long, value_name = "TIME", value_parser = full_hour, conflicts_with_all = ["from", "to"])]
    hour: Option<i64>,
    /// The beginning of the first hour, UTC
    #[arg(long, value_name = "TIME", value_parser = full_hour)]
    from: Option<i64>,
    /// The end of the last hour, UTC
    #[arg(long, value_name = "TIME", value_parser = full_hour)]
    to: Option<i64>,
    /// Print one JSON object per hour, then one with the totals
    #[arg(long)]
    json: bool,
}

/// A full hour in hours since 1970.
fn full_hour(text: &str) -> Result<i64, String> {
    quantity::full_hour(text).ok_or_else(|| "expected a full hour in UTC, as 2026-01-07T02:00:00Z".to_owned())
}

pub(super) fn run(args: &Verification) -> Outcome {
    let hours = match (args.hour, args.from, args.to) {
        (Some(hour), ..) => Some(hour..hour + 1),
        (None, None, None) => None,
        (None, from, to) => Some(from.unwrap_or(i64::MIN)..to.unwrap_or(i64::MAX)),
    };
    if hours.as_ref().is_some_and(std::ops::Range::is_empty) {
        print_error("--to: expected a later hour than --from");
        return Err(Exit::Usage);
    }
    let mut header = verify::HEADER;
    // Lines on a terminal are progress enough.
    let mut progress = (!io::stdout().is_terminal()).then(Progress::begin);
    let mut hours_read = 0_u32;
    let write = |line: &verify::Line| {
        hours_read += 1;
        if let Some(progress) = &mut progress {
            progress.reached(|| format!("{hours_read} hours read, boiler {}", line.boiler));
        }
        let text = if args.json { line.json() } else { mem::take(&mut header).to_owned() + &line.text() };
        io::stdout().lock().write_all(text.as_bytes())
    };
    let sum = command(&args.source, async |config| verify::verify(config, args.boiler.as_ref(), hours, write).await)?;
    Ok(show(&sum, args.json, if sum.agrees { Exit::Success } else { Exit::Failure }))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::dispatch;
    use super::*;

    fn exit(args: &[&str]) -> Exit {
        dispatch(["thermowell"].iter().chain(args).map(OsString::from))
    }

    #[test]
    fn verify_takes_full_hours_in_order() {
        assert_eq!(full_hour("1970-01-02T01:00:00Z"), Ok(25));
        for wrong in ["2026-01-07T02:30:00Z", "2026-01-07", "2026-01-07T02:00:00.5Z", "yesterday"] {
            assert!(full_hour(wrong).unwrap_err().contains("2026-01-07T02:00:00Z"), "{wrong}");
            assert_eq!(exit(&["verify", "--hour", wrong]), Exit::Usage);
        }
        let (early, late) = ("2026-01-07T02:00:00Z", "2026-01-07T03:00:00Z");
        assert_eq!(exit(&["verify", "--from", late, "--to", early]), Exit::Usage);
        assert_eq!(exit(&["verify", "--hour", early, "--to", late]), Exit::Usage);
        assert_eq!(exit(&["verify", "--boiler", "B 1"]), Exit::Usage);
    }
}
