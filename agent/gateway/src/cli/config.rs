//! `thermowell config`: the default, the schema, a check of a file, and what is in effect.

use std::env;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{Exit, LOG_VARIABLE, Outcome, Source, load, print, read};
use crate::config;

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell config --default > my.toml       every key, explained
  thermowell config --schema > schema.json    for editors, as JSON schema
  thermowell config --check my.toml           before it is installed
  thermowell config --show                    what is in effect, and from where

An editor with support for TOML completes and checks the keys when the file's
first line is `#:schema ./schema.json`.

Exit codes: 0 done, 2 wrong command line, 78 the configuration is wrong";

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true))]
pub(super) struct ConfigArgs {
    /// Print the documented default
    #[arg(long, group = "what")]
    default: bool,
    /// Print a JSON schema
    #[arg(long, group = "what")]
    schema: bool,
    /// Check this file, with the conf.d next to it, and nothing else
    #[arg(long, value_name = "FILE", group = "what", conflicts_with = "config")]
    check: Option<PathBuf>,
    /// Print the effective configuration as TOML, each key with its origin; secrets are blanked
    #[arg(long, group = "what")]
    show: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(args: &ConfigArgs) -> Outcome {
    if args.default {
        return Ok(print(config::SAMPLE, Exit::Success));
    }
    if args.schema {
        return Ok(print(&format!("{:#}\n", config::schema()), Exit::Success));
    }
    if let Some(file) = &args.check {
        let checked = load(&Source { config: Some(file.clone()) })?;
        let ids: Vec<String> = checked.boilers.iter().map(|boiler| boiler.id.to_string()).collect();
        return Ok(print(
            &format!("{}: nothing is wrong; boilers: {}\n", file.display(), ids.join(", ")),
            Exit::Success,
        ));
    }
    let mut text = read(&args.source, config::show)?;
    if let Some(filter) = env::var_os(LOG_VARIABLE).filter(|filter| !filter.is_empty()) {
        text += &format!("# {LOG_VARIABLE}={} overrides log.filter\n", filter.to_string_lossy());
    }
    Ok(print(&text, Exit::Success))
}
