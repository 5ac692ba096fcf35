//! The arguments of `thermowell keys`.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Outcome, Source, command, show};
use crate::keys::{self, KeySet, KeysError};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell keys                          make missing keys, as for an operator
  thermowell keys --out /etc/thermowell/keys
  thermowell keys --replace operator-anna  replace a lost or disclosed key

It writes one seed for each user (agent.nk, ...), readable only by its owner,
and permissions.conf with the least rights that each user needs. The
configuration of nats-server includes that file. Existing seeds are kept and
never printed. Put users of your own into others.conf in the same folder.

Exit codes: 0 done, 1 not done, 78 the configuration is wrong";

#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(flatten)]
    source: Source,
    /// The folder of the keys [default: `keys` in [nats], else /etc/thermowell/keys]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace this user's key, such as agent or operator-anna; the old one becomes invalid
    #[arg(long, value_name = "USER")]
    replace: Vec<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Keys) -> Outcome {
    let keys = command(&args.source, async |config| {
        let configured = config.nats.keys.clone();
        let folder = args.out.as_deref().or(configured.as_deref()).unwrap_or(keys::DEFAULT_FOLDER.as_ref());
        let made = keys::make(folder, &config.users(), &args.replace)?;
        Ok::<_, KeysError>(KeySet { configured, ..made })
    })?;
    Ok(show(&keys, args.json, Exit::Success))
}
