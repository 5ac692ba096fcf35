//! `thermowell boiler`.

use clap::Subcommand;
use thermowell_wire::BoilerId;

use super::{Exit, Source, command, said};
use crate::boilers;

#[derive(Debug, Subcommand)]
pub(super) enum Asked {
    /// Ids, serial numbers, last slots and snapshots, and how they stand
    List {
        #[command(flatten)]
        source: Source,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Say what to do until a boiler goes on under another id, and check it
    Rename {
        /// Its id
        old: BoilerId,
        /// The new one
        new: BoilerId,
        #[command(flatten)]
        source: Source,
    },
    /// Let another board go on with a boiler's history, where its board was replaced
    Accept {
        /// The boiler
        id: BoilerId,
        /// Serial number of the new board, as the agent says when it refuses it
        serial_number: String,
        #[command(flatten)]
        source: Source,
        /// Do it; without this it is only checked
        #[arg(long)]
        yes: bool,
    },
    /// Take a boiler out of SAMPLES; its history stays until its age ends it
    Retire {
        /// Its id
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
  thermowell boiler rename b1 cellar        what to do, and what of it is done
  thermowell boiler accept b1 TW-0042 --yes
  thermowell boiler retire b1 --yes

Exit codes: 0 done, 1 not done, 78 the configuration is wrong";

pub(super) fn run(asked: &Asked) -> Exit {
    let done = match asked {
        Asked::List { source, json } => command(source, async |config| boilers::list(config, *json).await),
        Asked::Rename { old, new, source } => command(source, async |config| boilers::rename(config, old, new).await),
        Asked::Accept { id, serial_number, source, yes } => {
            command(source, async |config| boilers::accept(config, id, serial_number, *yes).await)
        }
        Asked::Retire { id, source, yes } => command(source, async |config| boilers::retire(config, id, *yes).await),
    };
    said(done)
}
