//! `thermowell boiler`.

use clap::Subcommand;
use thermowell_wire::BoilerId;

use super::{Exit, Outcome, Source, command, print, show};
use crate::boilers;
use crate::config::SERIAL_NUMBER_MAX;

#[derive(Debug, Subcommand)]
pub(super) enum BoilerCommand {
    /// List ids, serial numbers, last slots and snapshots, and states
    List {
        #[command(flatten)]
        source: Source,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Let a replacement board continue a boiler's history
    Accept {
        /// The boiler
        id: BoilerId,
        /// Serial number of the new board, as the agent logs it when it refuses the board
        #[arg(value_parser = serial_number)]
        serial_number: String,
        #[command(flatten)]
        source: Source,
        /// Do it; without this it is only checked
        #[arg(long)]
        yes: bool,
    },
    /// Remove a boiler from SAMPLES; its history stays until it expires
    Retire {
        /// The boiler
        id: BoilerId,
        #[command(flatten)]
        source: Source,
        /// Do it; without this it is only checked
        #[arg(long)]
        yes: bool,
    },
}

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell boiler list
  thermowell boiler accept b1 TW-0042 --yes
  thermowell boiler retire b1 --yes

Exit codes: 0 done, 1 not done, 78 the configuration is wrong";

pub(super) fn run(action: &BoilerCommand) -> Outcome {
    let done = match action {
        BoilerCommand::List { source, json } => {
            let list = command(source, async |config| boilers::list(config).await)?;
            return Ok(show(&list, *json, Exit::Success));
        }
        BoilerCommand::Accept { id, serial_number, source, yes } => {
            command(source, async |config| boilers::accept(config, id, serial_number, *yes).await)
        }
        BoilerCommand::Retire { id, source, yes } => {
            command(source, async |config| boilers::retire(config, id, *yes).await)
        }
    };
    Ok(print(&done?, Exit::Success))
}

/// What fits a `Hello`: no board can have another number. It may have control characters.
fn serial_number(text: &str) -> Result<String, String> {
    let fits = (1..=SERIAL_NUMBER_MAX).contains(&text.len());
    fits.then(|| text.to_owned()).ok_or_else(|| format!("expected 1 to {SERIAL_NUMBER_MAX} bytes, such as TW-0042"))
}
