//! The arguments of `thermowell keys`.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Source, command, said};
use crate::keys::{self, KeysError};

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell keys                             make what is missing, as after another [[operator]]
  thermowell keys --out /etc/thermowell/keys
  thermowell keys --replace operator-anna     a key that was lost or seen

It writes one seed for each user (agent.nk, ...), readable by its owner alone, and permissions.conf:
who may do what, and no more. The configuration of nats-server includes that file. Seeds that are
there are kept, and never shown. Users of your own belong into others.conf in the same folder.

Exit codes: 0 done, 1 not done, 78 the configuration is wrong";

#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(flatten)]
    source: Source,
    /// The folder; without it `keys` in [nats], else /etc/thermowell/keys
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Make this user's key anew, such as agent or operator-anna; the old one opens nothing any more
    #[arg(long, value_name = "USER")]
    replace: Vec<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(asked: &Keys) -> Exit {
    said(command(&asked.source, async |config| {
        let configured = config.nats.keys.as_deref();
        let folder = asked.out.as_deref().or(configured).unwrap_or(keys::DEFAULT_FOLDER.as_ref());
        let report = keys::make(folder, &config.operators, &asked.replace)?;
        Ok::<_, KeysError>(if asked.json { report.json() } else { report.text(configured) })
    }))
}
