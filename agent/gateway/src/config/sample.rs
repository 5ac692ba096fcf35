//! The documented sample, `config/thermowell.toml`: its keys with their texts, and a JSON schema made of them.
//!
//! The schema has no list of keys of its own: the sample names every key that the code reads, with its default and its
//! range in words (tests compare them), so a schema made of it cannot be out of date.
//!
//! | in the sample | |
//! |---|---|
//! | `# key = value` | a default |
//! | `#key = value`, `#[table]` | an example; there is no default |
//! | `key = value` | what every gateway sets |

use serde_json::{Map, Value as Json, json};

use super::document::{self, Table, Value};

/// The text of the sample.
pub const SAMPLE: &str = include_str!("../../../../config/thermowell.toml");

/// A key of the sample.
#[derive(Clone, Debug)]
pub(super) struct Documented {
    /// The table, empty for the root: `nats.tls`.
    pub(super) table: String,
    /// Its table is a list: `[[boiler]]`.
    pub(super) is_listed: bool,
    pub(super) key: String,
    /// The value as TOML.
    pub(super) value: String,
    /// It is the default.
    pub(super) is_default: bool,
    /// The lines above it.
    description: String,
}

/// Every key of the sample, in its order.
pub(super) fn documented() -> Vec<Documented> {
    let (mut table, mut is_listed, mut keys, mut comment) = (String::new(), false, Vec::new(), String::new());
    for line in SAMPLE.lines() {
        let bare = line.trim_start_matches(['#', ' ']);
        if let Some(header) = bare.strip_prefix('[').filter(|_| bare.ends_with(']') && !line.starts_with("# ")) {
            is_listed = header.starts_with('[');
            table = header.trim_matches(['[', ']']).to_owned();
            comment.clear();
        } else if let Some((key, value)) = bare.split_once(" = ").filter(|(key, _)| is_key(key)) {
            keys.push(Documented {
                table: table.clone(),
                is_listed,
                key: key.to_owned(),
                value: value.to_owned(),
                is_default: line.starts_with("# "),
                description: std::mem::take(&mut comment),
            });
        } else if line.is_empty() {
            comment.clear();
        } else {
            comment = [comment.as_str(), bare].join(if comment.is_empty() { "" } else { " " });
        }
    }
    keys
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// The JSON schema of a configuration file, for editors.
#[must_use]
pub fn schema() -> Json {
    let mut root = object(Map::new());
    for documented in documented() {
        let mut at = &mut root;
        for table in documented.table.split('.').filter(|table| !table.is_empty()) {
            let properties = at["properties"].as_object_mut().expect("every table is an object");
            let is_listed = documented.is_listed;
            let inner = properties.entry(table).or_insert_with(|| match is_listed {
                true => json!({"type": "array", "items": object(Map::new())}),
                false => object(Map::new()),
            });
            // A table below a list, as [boiler.room], belongs to each of its items.
            at = if inner["type"] == "array" { &mut inner["items"] } else { inner };
        }
        if documented.is_listed && !documented.is_default && !documented.description.contains("Default:") {
            let required = at.as_object_mut().expect("every table is an object").entry("required");
            required.or_insert_with(|| json!([])).as_array_mut().expect("it is a list").push(json!(documented.key));
        }
        at["properties"][&documented.key] = documented.schema();
    }
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("thermowell.toml");
    root
}

impl Documented {
    fn schema(&self) -> Json {
        let mut problems = Vec::new();
        let line = format!("{} = {}", self.key, self.value);
        let table = document::parse(&line, "sample", &mut problems);
        let value = table.find(&self.key).map(|entry| &entry.node.value);
        let mut schema = value.map_or(json!({}), of_type);
        let value = value.map_or(Json::Null, as_json);
        if self.is_default {
            schema["default"] = value;
        } else {
            schema["examples"] = json!([value]);
        }
        if !self.description.is_empty() {
            schema["description"] = json!(self.description);
        }
        schema
    }
}

fn object(properties: Map<String, Json>) -> Json {
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// The type of a value. A text with a unit is a quantity.
fn of_type(value: &Value) -> Json {
    match value {
        Value::Text(text) => match unit(text) {
            Some(pattern) => json!({"type": "string", "pattern": pattern}),
            None => json!({"type": "string"}),
        },
        Value::Integer(_) | Value::Float(_) => json!({"type": "number"}),
        Value::Boolean(_) => json!({"type": "boolean"}),
        Value::List(items) => match items.first() {
            Some(item) => json!({"type": "array", "items": of_type(&item.value)}),
            None => json!({"type": "array"}),
        },
        Value::Table(Table { entries, .. }) => {
            object(entries.iter().map(|entry| (entry.key.clone(), of_type(&entry.node.value))).collect())
        }
    }
}

fn unit(text: &str) -> Option<&'static str> {
    let (number, unit) = text.split_once(' ')?;
    number.parse::<f64>().ok()?;
    match unit {
        "ms" | "s" | "min" | "h" => Some("^[0-9.]+ *(ms|s|m|min|h|d)( *[0-9.]+ *(ms|s|m|min|h))*$"),
        "KiB" | "MiB" | "GiB" => Some("^[0-9.]+ *(B|KiB|MiB|GiB|TiB)$"),
        "°C" => Some("^[-+]?[0-9.]+ *(°C|C)$"),
        _ => None,
    }
}

fn as_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Boolean(flag) => json!(flag),
        Value::List(items) => items.iter().map(|item| as_json(&item.value)).collect(),
        Value::Table(table) => {
            table.entries.iter().map(|entry| (entry.key.clone(), as_json(&entry.node.value))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_has_types_defaults_and_texts() {
        let schema = schema();
        let batch = &schema["properties"]["batch"]["properties"]["samples"];
        assert_eq!((&batch["type"], &batch["default"]), (&json!("number"), &json!(100)));
        assert!(batch["description"].as_str().unwrap().contains("1 to 1000"), "{batch}");
        let boiler = &schema["properties"]["boiler"]["items"];
        assert_eq!(boiler["required"], json!(["id", "port"]));
        assert_eq!(schema["properties"]["operator"]["items"]["required"], json!(["name"]));
        let lease = &schema["properties"]["control"]["properties"]["lease"];
        assert!(lease["pattern"].as_str().unwrap().contains("min"), "{lease}");
    }
}
