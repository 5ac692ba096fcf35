//! `thermowell status`.

use std::io::{self, Write as _};
use std::time::Duration;

use thermowell_wire::BoilerId;

use super::screen::Screen;
use super::{Exit, Outcome, Source, command, print, print_error, show};
use crate::logs::chain;
use crate::output::Report as _;
use crate::quantity::duration;
use crate::schema::REPORT;
use crate::status::{Looker, StatusError, Verdict};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell status
  thermowell status --boiler b1 --watch 2s
  thermowell status --json | jq '.boilers[] | {boiler, freshness, age_s}'
  thermowell status --schema | jq .title

A block for each boiler: the flow temperature and how old it is; the mean of
the last hour and how much of it is known; what the controller asks for and
what the boiler takes, while its lease lasts; the active command; the burner;
room and outdoor temperature, where they come from a source outside of the
boiler; and the last closed hour with the sum of its slots. What is not known
is \"unknown\" with the reason, never the last value.

The JSON has one entry per boiler: boiler, freshness (fresh, warming,
no_valid_reading, coasting, fault or null), age_s, and the last messages as
they were published: state, status, lease, command, snapshot, each null where
it is absent; and in outside the temperatures of sources.

Exit codes: 0 every boiler is fresh, 1 one is not or the server does not
answer, 3 no state of any boiler, 78 the configuration is wrong, 130 Ctrl-C";

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
    /// Repeat after this time until Ctrl-C, in place if it is a terminal
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    watch: Option<Duration>,
    /// Print the JSON schema of --json
    #[arg(long, conflicts_with_all = ["json", "watch", "boiler"])]
    schema: bool,
}

/// Each look is five requests for each boiler.
fn interval(text: &str) -> Result<Duration, String> {
    let is_allowed = |length: &Duration| *length >= Duration::from_millis(500);
    duration(text).and_then(|length| {
        Some(length).filter(is_allowed).ok_or_else(|| "expected at least 500ms, such as 2s".to_owned())
    })
}

pub(super) fn run(args: &StatusArgs) -> Outcome {
    if args.schema {
        return Ok(print(&format!("{:#}\n", REPORT.schema()), Exit::Success));
    }
    let boiler = args.boiler.as_ref();
    let Some(every) = args.watch else {
        let report = command(&args.source, async |config| Looker::new(config, boiler).await?.look().await)?;
        let exit = match report.verdict() {
            Verdict::Fresh => Exit::Success,
            Verdict::Unknown => Exit::Unknown,
            Verdict::NotFresh => Exit::Failure,
        };
        return Ok(show(&report, args.json, exit));
    };
    command(&args.source, async |config| watch(&Looker::new(config, boiler).await?, every, args.json).await)?;
    Ok(Exit::Success)
}

/// Looks and shows until Ctrl-C, or until the reader of the output closes.
async fn watch(looker: &Looker, every: Duration, json: bool) -> Result<(), StatusError> {
    let screen = if json { None } else { Screen::enter().map_err(StatusError::Write)? };
    loop {
        let text = match looker.look().await {
            Ok(report) if json => report.json(),
            Ok(report) if screen.is_some() => report.text(),
            Ok(report) => report.text() + "\n",
            Err(error) if screen.is_some() => format!("{}\n", chain(&error)),
            Err(error) => {
                print_error(&chain(&error));
                String::new()
            }
        };
        let written = match &screen {
            Some(screen) => screen.draw(&text),
            None => io::stdout().lock().write_all(text.as_bytes()),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(StatusError::Write)?,
        }
        tokio::time::sleep(every).await;
    }
}
