//! The effective configuration as TOML, each key with the place where it is set. Secrets are blanked.

use std::fmt::Write as _;
use std::path::Path;

use super::document::{Node, Table, Value};
use super::sample::{self, Documented};
use super::{Config, ConfigError};

/// Parts of the names of keys whose values are secrets, unless they name a file.
const SECRET: [&str; 4] = ["password", "secret", "token", "seed"];
const BLANK: &str = "…";

/// The configuration that `path` and its `conf.d` make: every key that is set or has a default.
///
/// # Errors
/// It cannot be read, or is wrong.
pub fn show(path: &Path) -> Result<String, ConfigError> {
    let texts = Config::texts(path)?;
    let config = Config::checked(texts.iter().map(|(text, file)| (text.as_str(), file.as_str())))?;
    let root = Config::merged(texts.iter().map(|(text, file)| (text.as_str(), file.as_str())), &mut Vec::new());
    let mut text = String::new();
    let documented = sample::documented();
    let mut tables: Vec<&str> = Vec::new();
    // A table below a list, as [boiler.room], is shown inline in the item that it belongs to.
    let listed: Vec<&str> = documented.iter().filter(|key| key.is_listed).map(|key| key.table.as_str()).collect();
    let is_inline = |table: &str| table.split_once('.').is_some_and(|(list, _)| listed.contains(&list));
    for Documented { table, .. } in &documented {
        if !is_inline(table) && !tables.contains(&table.as_str()) {
            tables.push(table);
        }
    }
    for table in tables {
        let keys: Vec<&Documented> = documented.iter().filter(|key| key.table == *table).collect();
        for (number, set) in set(&root, table).into_iter().enumerate() {
            let lines = lines(&config, &keys, set) + &inline(set.filter(|_| listed.contains(&table)));
            let header = match (table, keys[0].is_listed) {
                ("", _) => String::new(),
                (name, true) => format!("[[{name}]]\n"),
                (name, false) => format!("[{name}]\n"),
            };
            if !lines.is_empty() {
                let gap = if text.is_empty() && number == 0 { "" } else { "\n" };
                let _always_fits = write!(text, "{gap}{header}{lines}");
            }
        }
    }
    Ok(text)
}

/// The tables of this name: several of a list, none for one that is not set.
fn set<'a>(root: &'a Table, name: &str) -> Vec<Option<&'a Table>> {
    let mut at = root;
    for key in name.split('.').filter(|key| !key.is_empty()) {
        match at.find(key).map(|entry| &entry.node.value) {
            Some(Value::Table(table)) => at = table,
            Some(Value::List(items)) => {
                let tables = items.iter().map(|item| match &item.value {
                    Value::Table(table) => Some(table),
                    Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) => None,
                });
                return tables.collect();
            }
            Some(Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) | None => return vec![None],
        }
    }
    vec![Some(at)]
}

fn lines(config: &Config, keys: &[&Documented], table: Option<&Table>) -> String {
    let mut text = String::new();
    for Documented { key, value, is_default, is_listed, table: name, .. } in keys {
        let set = table.and_then(|table| table.find(key));
        let (value, origin) = match set {
            Some(entry) => (shown(key, &entry.node), entry.place.to_string()),
            None if key == "gateway" => (quoted(&config.gateway), "the host's name".to_owned()),
            // A list without an entry has no defaults to show, and [serial] gives the rate.
            None if *is_default && !(*is_listed && (table.is_none() || key == "baud" && name == "boiler")) => {
                (value.clone(), "default".to_owned())
            }
            None => continue,
        };
        text += &line(key, &value, &origin);
    }
    text
}

/// The tables in an item of a list, each on one line.
fn inline(item: Option<&Table>) -> String {
    let entries = item.into_iter().flat_map(|item| &item.entries);
    let tables = entries.filter(|entry| matches!(entry.node.value, Value::Table(_)));
    tables.map(|entry| line(&entry.key, &shown(&entry.key, &entry.node), &entry.place.to_string())).collect()
}

fn line(key: &str, value: &str, origin: &str) -> String {
    format!("{:<44} # {origin}\n", format!("{key} = {value}"))
}

fn shown(key: &str, node: &Node) -> String {
    let is_secret = SECRET.iter().any(|secret| key.contains(secret)) && !key.ends_with("_file");
    match &node.value {
        Value::Text(_) if is_secret => quoted(BLANK),
        Value::Text(text) => match text.split_once("://").filter(|(_, rest)| rest.contains('@')) {
            Some((scheme, rest)) => {
                let host = rest.rsplit('@').next().unwrap_or_default();
                quoted(&format!("{scheme}://{BLANK}@{host}"))
            }
            None => quoted(text),
        },
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(flag) => flag.to_string(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(key, item)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) => {
            let pairs = table.entries.iter();
            let pairs: Vec<String> =
                pairs.map(|entry| format!("{} = {}", entry.key, shown(&entry.key, &entry.node))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

/// A TOML basic string: its escapes are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_configuration_is_the_effective_one_with_its_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thermowell.toml");
        std::fs::create_dir(folder.path().join("conf.d")).unwrap();
        let more = folder.path().join("conf.d/10-more.toml");
        std::fs::write(
            &path,
            "gateway = \"cellar\"\n[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\n[spool]\nmemory = \"16 MiB\"\n",
        )
        .unwrap();
        let boiler = "[[boiler]]\nid = \"b2\"\nport = \"/dev/b\"\nbaud = 57600\n[boiler.room]\nsource = \"hall\"\n";
        let rest = "[nats]\nuser = \"a\"\npassword_file = \"/p\"\n[control]\nkp = 2.5\n";
        std::fs::write(&more, format!("{boiler}{rest}")).unwrap();
        let text = show(&path).unwrap();
        assert_eq!(Config::parse(&text, "shown").unwrap(), Config::load(&path).unwrap(), "{text}");
        for (key, origin) in [
            ("memory = \"16 MiB\"", format!("{}:6:1", path.display())),
            ("room = { source = \"hall\" }", format!("{}:5:9", more.display())),
            ("kp = 2.5", format!("{}:11:1", more.display())),
            ("spill_after = \"30 s\"", "default".to_owned()),
            ("password_file = \"/p\"", format!("{}:9:1", more.display())),
        ] {
            let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {text}"));
            assert!(line.ends_with(&format!("# {origin}")), "{line}");
        }
        assert_eq!(text.matches("[[boiler]]").count(), 2);
    }

    #[test]
    fn secrets_are_blanked() {
        let mut problems = Vec::new();
        let line = "password = \"hunter2\"\ntoken = [\"hunter2\"]\nurl = \"mqtt://a:hunter2@home\"";
        let table = super::super::document::parse(line, "t", &mut problems);
        let all: Vec<String> = table.entries.iter().map(|entry| shown(&entry.key, &entry.node)).collect();
        assert_eq!(all, ["\"…\"", "[\"…\"]", "\"mqtt://…@home\""]);
    }
}
