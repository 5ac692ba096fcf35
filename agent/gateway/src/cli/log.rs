//! `thermowell log`: another log filter for a while.

use std::time::Duration;

use clap::Args;

use super::{Exit, Outcome, print, print_error};
use crate::config;
use crate::logs::level;
use crate::quantity::{duration, show_duration};
use crate::run::Role;

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell log debug --for 10m
  thermowell log info,thermowell::serial=trace --role agent
  thermowell log configured                  back to the configured filter

It asks each `thermowell run` on this machine that belongs to this user; root
asks all of them. Nothing is written to the configuration, and each returns to
its configured filter by itself.

Exit codes: 0 changed, 1 refused, or no process was found, 2 wrong command line";

#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Levels as in [log] filter, such as debug, or `configured`
    #[arg(value_parser = filter)]
    filter: String,
    /// When the configured filter returns, at most a day
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = length)]
    length: Duration,
    /// Only processes of this role
    #[arg(long)]
    role: Option<Role>,
}

const CONFIGURED: &str = "configured";

fn filter(text: &str) -> Result<String, String> {
    let is_known = text == CONFIGURED || config::filter(text).is_some();
    is_known.then(|| text.to_owned()).ok_or_else(|| config::FILTER_EXPECTED.to_owned())
}

fn length(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    let is_allowed = length.subsec_nanos() == 0 && length <= level::LONGEST;
    is_allowed.then_some(length).ok_or_else(|| "expected whole seconds, 1s to 1d, such as 10m".to_owned())
}

pub(super) fn run(args: &LogArgs) -> Outcome {
    let filter = Some(args.filter.as_str()).filter(|filter| *filter != CONFIGURED);
    let role = args.role.map(Role::name);
    let answers = level::ask(role, filter, args.length);
    if answers.is_empty() {
        print_error("no running process was found: it must run on this machine, as this user or for root");
        return Err(Exit::Failure);
    }
    let mut exit = Exit::Success;
    let mut text = String::new();
    for answer in answers {
        let name = answer.name.replace('-', " ");
        match (&answer.refused, filter) {
            (Some(why), _) => {
                print_error(&format!("{name}: {why}"));
                exit = Exit::Failure;
            }
            (None, Some(filter)) => text += &format!("{name}: {filter} for {}\n", show_duration(args.length)),
            (None, None) => text += &format!("{name}: the configured filter\n"),
        }
    }
    Ok(print(&text, exit))
}
