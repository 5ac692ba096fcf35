//! `thermowell mqtt`: what the broker of Home Assistant keeps.

use clap::Subcommand;
use thermowell_wire::BoilerId;

use super::{Exit, Outcome, Source, load, logs, print_error, runtime, show};
use crate::mqtt;

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell mqtt remove                   every boiler, and the gateway
  thermowell mqtt remove --boiler b9       one that has left the configuration
  thermowell mqtt remove --json

Home Assistant then forgets the boilers, and their history after its own time.
Stop the front or take the boiler out of the configuration first: it announces
its boilers at each connection.

Exit codes: 0 done, 1 the broker does not answer or refuses, 2 wrong command
line, 78 the configuration is wrong or has no broker";

#[derive(Debug, Subcommand)]
pub(super) enum MqttCommand {
    /// Delete boilers from Home Assistant: their description and availability at the broker
    Remove {
        /// A boiler, configured or not; may be repeated; by default every boiler, and the gateway
        #[arg(long = "boiler", value_name = "ID")]
        boilers: Vec<BoilerId>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: Source,
    },
}

pub(super) fn run(command: &MqttCommand) -> Outcome {
    let MqttCommand::Remove { boilers, json, source } = command;
    let config = load(source)?;
    let Some(broker) = &config.mqtt else {
        print_error("no broker: set url in [mqtt]");
        return Err(Exit::Configuration);
    };
    let removed = runtime()?.block_on(mqtt::remove(&config, broker, boilers)).map_err(|error| {
        print_error(&logs::chain(&error));
        if error.is_configuration() { Exit::Configuration } else { Exit::Failure }
    })?;
    Ok(show(&removed, *json, if removed.is_complete() { Exit::Success } else { Exit::Failure }))
}
