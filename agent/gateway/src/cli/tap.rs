//! `thermowell tap`.

use std::io::{self, Write as _};
use std::time::Duration;

use thermowell_wire::BoilerId;

use super::{Exit, Outcome, Source, command, print_error};
use crate::quantity::duration;
use crate::samples::Form;
use crate::tap::{self, Sum, What, Wish};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell tap b1 --for 2s
  thermowell tap b1 --every 10s --count 1 --csv
  thermowell tap b1 --what events --for 1s
  thermowell tap b1 --what state --once --json | jq .average

It begins with the newest stored message and goes on until Ctrl-C, --count,
--for or --once. Lines go to standard output, words about them to standard
error; gaps among the samples are lines, as in `# gap 41999 reboot`. An
unknown value is empty in CSV and null in JSON. As JSON, state, status and
events are the messages as they were published. It reads with inspector.nk.

Exit codes: 0 done, also when the reader of the lines closes; 1 the server
does not answer, 2 wrong command line, 78 the configuration is wrong, 130
Ctrl-C";

#[derive(Debug, clap::Args)]
pub(super) struct TapArgs {
    /// The boiler
    boiler: BoilerId,
    /// What to show
    #[arg(long, value_enum, default_value_t = What::Samples)]
    what: What,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV, with the names of the columns first
    #[arg(long)]
    csv: bool,
    /// End after so many lines; gaps do not count
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time, such as 10s
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    length: Option<Duration>,
    /// Print the newest line and end
    #[arg(long, conflicts_with_all = ["count", "every"])]
    once: bool,
    /// Print at most one line in this time, by the lines' own times
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    every: Option<Duration>,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &TapArgs) -> Outcome {
    let form = match (args.json, args.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        (false, false) => Form::Text,
    };
    let TapArgs { boiler, what, count, length, once, every, .. } = args;
    let wish =
        Wish { boiler: boiler.clone(), what: *what, form, count: *count, length: *length, once: *once, every: *every };
    let mut sum = Sum::default();
    let write = |text: &str| {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    let tap = async |config: &crate::config::Config| tap::tap(config, &wish, &mut sum, write, print_error).await;
    let ended = command(&args.source, tap);
    if sum.left_out > 0 {
        print_error(&format!("{} lines shown, {} left out by --every", sum.shown, sum.left_out));
    }
    ended.map(|()| Exit::Success)
}
