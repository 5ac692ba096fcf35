//! The JSON schemas of everything that is published, one for each kind of message: `thermowell schema`, and the files
//! in `config/schema/`, which a test compares with it. And the schema of the report of `thermowell status --json`, in
//! which these messages are.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;
use thermowell_flow::published::{
    AmbientReading, Approval, Command, Event, FeedEvent, Lease, Reset, Snapshot, State, Status,
};

use crate::status::Boilers;

/// A kind of message.
#[derive(Clone, Copy)]
pub struct Published {
    /// The name of its file, without the ending.
    pub name: &'static str,
    /// Its subject. What is in braces is a token that varies.
    pub subject: &'static str,
    generate: fn(SchemaGenerator) -> schemars::Schema,
    /// Whether others write it: then fields with a default are optional.
    is_theirs: bool,
}

/// Every kind, in the order of the table in OPERATING.md.
pub const PUBLISHED: [Published; 10] = [
    published::<Snapshot>("hourly-snapshot", "boiler.{id}.hourly-snapshot"),
    published::<State>("state", "boiler.{id}.state"),
    published::<Status>("status", "boiler.{id}.status"),
    published::<Lease>("setpoint", "boiler.{id}.setpoint"),
    published::<Command>("command", "boiler.{id}.command.{command}.{operator}"),
    published::<Approval>("approval", "boiler.{id}.approval.{fault}.{operator}"),
    published::<Reset>("reset", "boiler.{id}.reset.{fault}"),
    published::<Event>("event", "boiler.{id}.event.{kind}"),
    published::<FeedEvent>("sample", "boiler.{id}"),
    Published { is_theirs: true, ..published::<AmbientReading>("ambient", "boiler.{id}.{room|outdoor}.{source}") },
];

/// The report of `thermowell status --json`, which is no message.
pub const REPORT: Published = published::<Boilers>("report", "thermowell status --json");

const fn published<T: JsonSchema>(name: &'static str, subject: &'static str) -> Published {
    Published { name, subject, generate: SchemaGenerator::into_root_schema_for::<T>, is_theirs: false }
}

impl Published {
    /// What it is, by the first sentence of its schema, without its subject.
    #[must_use]
    pub fn about(&self) -> String {
        let schema = self.schema();
        let text = schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.split_once(": ").map_or(&*text, |(_subject, rest)| rest);
        let text = text.strip_prefix(self.subject).map_or(text, |rest| rest.trim_start_matches(['.', ' ']));
        text.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned()
    }

    /// Its schema, of draft 2020-12. Fields that it does not name are allowed: later versions add some.
    #[must_use]
    pub fn schema(&self) -> Value {
        let settings = SchemaSettings::draft2020_12();
        let settings = if self.is_theirs { settings.for_deserialize() } else { settings.for_serialize() };
        let mut schema = (self.generate)(settings.into_generator());
        schema.insert("title".to_owned(), self.subject.into());
        let mut schema = schema.to_value();
        plain(&mut schema);
        schema
    }
}

/// Makes the descriptions plain text: in the source they have links to other types.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("description", Value::String(text)) => *text = text.replace(['[', ']', '`'], ""),
                    (_, value) => plain(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// To update the files after a change: `UPDATE_SCHEMAS=1 cargo test -p thermowell schema`.
    #[test]
    fn files_are_the_schemas_of_what_is_published() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/schema");
        let update = std::env::var_os("UPDATE_SCHEMAS").is_some();
        for message in PUBLISHED {
            let path = folder.join(message.name).with_extension("json");
            let text = format!("{:#}\n", message.schema());
            if update {
                fs::write(&path, &text).unwrap();
            }
            let stored = fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == text, "{} differs: UPDATE_SCHEMAS=1 cargo test -p thermowell schema", path.display());
        }
        let files = fs::read_dir(folder).unwrap().count();
        assert_eq!(files, PUBLISHED.len(), "a file without a message");
    }
}
