//! `thermowell schema`: the JSON schemas of what is published.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use super::{Exit, Outcome, print};
use crate::schema::PUBLISHED;

pub(super) const EXAMPLES: &str = "\
Examples:
  thermowell schema                  one object with the schema of each message
  thermowell schema state > state.json

They are of JSON Schema draft 2020-12, and those of config/schema in the source.
Fields that a schema does not name are allowed: later versions add some.
The report of `thermowell status --json` has these messages in it, and a schema
of its own: thermowell status --schema.";

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// The message
    #[arg(value_name = "MESSAGE", value_parser = PossibleValuesParser::new(PUBLISHED.map(|message| message.name)))]
    message: Option<String>,
}

pub(super) fn run(args: &SchemaArgs) -> Outcome {
    let mut schemas = PUBLISHED.iter();
    let json = match &args.message {
        Some(name) => schemas.find(|message| message.name == name).map_or(Value::Null, |message| message.schema()),
        None => schemas.map(|message| (message.name.to_owned(), message.schema())).collect(),
    };
    Ok(print(&format!("{json:#}\n"), Exit::Success))
}
