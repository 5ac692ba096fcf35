//! The options of `cargo demo`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use firmware_sim::quantity::whole;
use firmware_sim::replay::ReplayArgs;
use firmware_sim::scenario::Scenario;
use thermowell::quantity::duration;
use thermowell_wire::BoilerId;

/// Runs the whole of Thermowell on this machine: a real nats-server, simulated boilers on serial lines, the agent, the
/// aggregator, the controller and the dashboard, each as its own process. Shows a live table and ends with a ledger.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cargo demo",
    bin_name = "cargo demo",
    after_help = "Examples:
  cargo demo                              an hour in a minute, until Ctrl-C
  cargo demo --open                       the same, with its dashboard in a browser
  cargo demo --speed 60 --for 3h          three hours, then the ledger
  cargo demo --speed 1 --for 2m           in real time
  cargo demo --scenario config/scenarios/unplug.toml --speed 20 --for 30m
  cargo demo --replay day.csv --column flow --from 10:00 --until 14:00
  cargo demo --for 1h --json > report.json

Exit codes: 0 the ledger closes, 1 it does not or something could not run,
2 wrong arguments, 78 a file that cannot be used, 130 interrupted three times."
)]
pub struct Options {
    /// Number of boilers, b1 to bN.
    #[arg(long, default_value_t = 2, value_parser = |text: &str| whole::<u16>(text, 1..=64))]
    pub boilers: u16,
    /// Simulated seconds per real second; 60: an hour passes in a minute, 1: real time.
    #[arg(long, default_value_t = 60, value_parser = |text: &str| whole::<u32>(text, 1..=1_000))]
    pub speed: u32,
    /// Duration in simulated time ("3h", "2m", "90s"); the run continues until the current hour closes (not
    /// at speed 1).
    /// Without it: until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Seed of all random choices in the simulated world.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What happens in the simulated world; see config/scenarios.
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// A recorded series instead of the simulated plant.
    #[command(flatten)]
    pub replay: ReplayArgs,
    /// Publish one JSON event per sample on `boiler.{id}` too.
    #[arg(long)]
    pub feed: bool,
    /// The port of nats-server; without it a free port.
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    pub nats_port: Option<u16>,
    /// The port of the dashboard; without it 8080, or a free one.
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..))]
    pub http_port: Option<u16>,
    /// Open the dashboard in a browser (xdg-open).
    #[arg(long)]
    pub open: bool,
    /// Keep store, configurations and logs in this folder, which must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Print the report as JSON on stdout, and nothing else.
    #[arg(long)]
    pub json: bool,
    /// More arguments for the simulator.
    #[arg(long, hide = true, value_name = "ARG", allow_hyphen_values = true)]
    pub sim_arg: Vec<String>,
    /// The server's absence after which memory is spilled, in seconds.
    #[arg(long, hide = true, default_value_t = 30, value_name = "SECONDS")]
    pub spill_after: u32,
    /// The file with the offset of the gateway's calendar: a fault input of `clock.rs`.
    #[arg(long, hide = true, value_name = "FILE")]
    pub clock_step: Option<PathBuf>,
    /// The ports at which agent, aggregator and controller serve HTTP; without them they serve none.
    #[arg(long, hide = true, value_delimiter = ',', value_name = "PORTS")]
    pub http: Vec<u16>,
    /// The MQTT broker; without one there is no `[mqtt]`.
    #[arg(long, hide = true, value_name = "URL")]
    pub mqtt: Option<String>,
    /// `[boiler.room]` and `[boiler.outdoor]` of each boiler.
    #[arg(long, hide = true, default_value = "", value_name = "TOML")]
    pub ambient: String,
    /// Samples per batch.
    #[arg(long, hide = true, default_value_t = 100)]
    pub batch: u16,
}

impl Options {
    /// Reads and checks the input files before anything is started. Returns a description of a recorded series: its
    /// rows, its times, and what is not played.
    ///
    /// # Errors
    /// A file cannot be read or understood, or the scenario is for other boilers.
    pub(super) fn check_inputs(&self) -> Result<Vec<String>> {
        if let Some(path) = &self.scenario {
            let scenario = Scenario::read(path).context("--scenario")?;
            let known = |id: &BoilerId| (1..=self.boilers).any(|n| super::boiler(n) == *id);
            if let Some(other) = scenario.named().find(|id| !known(id)) {
                let boilers = self.boilers;
                bail!("--scenario names boiler {other}; this run has b1 to b{boilers} (see --boilers)");
            }
        }
        let Some(replay) = self.replay.open().context("--replay")? else { return Ok(Vec::new()) };
        Ok(replay.notes().iter().cloned().chain([replay.summary().to_owned()]).collect())
    }
}
