//! The raw configuration: the merged files, as a tree of values with their places.
//!
//! The tree is hand-written and not a derived `Deserialize`, because a derived one loses the places that the checks of
//! ranges and relations report, stops at the first error, and cannot merge files.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Kind, Place, Problem};
use super::syntax::{self, Twice};

/// The lists whose entries may come from several files.
const APPENDED: [&str; 2] = ["boiler", "operator"];
/// Longer values are shortened in messages, in characters.
const SHOWN: usize = 60;

/// A table: a file's root, `[section]` or `{ inline }`.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) place: Place,
    pub(super) entries: Vec<Entry>,
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

/// A value, its place and its source text.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) text: String,
    pub(super) value: Value,
}

/// The types of TOML. A date and time is kept as text.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    /// The type's name for messages.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// Whether it is written as a header, `[table]` or `[[table]]`, and not inline.
    pub(super) fn is_header(&self) -> bool {
        let first = self.text.trim_start_matches('[').chars().next();
        match self.value {
            Value::Table(_) => self.text.starts_with('['),
            Value::List(_) => self.text.starts_with("[[") && first.is_some_and(|c| c.is_alphanumeric() || c == ' '),
            Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => false,
        }
    }
}

impl Table {
    pub(super) fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// A file's bytes as text. An error names the first place that is not UTF-8, and the likely encoding.
pub(super) fn text(bytes: Vec<u8>, file: &str) -> Result<String, ConfigError> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let (bytes, at) = (error.as_bytes(), error.utf8_error().valid_up_to());
    let good = std::str::from_utf8(&bytes[..at]).unwrap_or_default();
    let place = Source { text: good, file: Arc::from(file) }.place(at..at);
    let byte = bytes.get(at).copied().unwrap_or_default();
    let is_wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let message = match is_wide {
        true => "the file is UTF-16; save it as UTF-8".to_owned(),
        false => format!("the byte 0x{byte:02x} is not UTF-8, perhaps Latin-1; save the file as UTF-8"),
    };
    Err(ConfigError::Refused(vec![Problem { place, kind: Kind::Syntax, message }]))
}

/// Parses one file's text. Problems go to the list; the parts that could be parsed are returned in any case.
pub(super) fn parse(text: &str, file: &str, problems: &mut Vec<Problem>) -> Table {
    let source = Source { text, file: Arc::from(file) };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let place = source.place(span.clone());
        let message = match (error.message(), syntax::hint(text, span.start, error.message())) {
            ("duplicate key", _) => source.duplicate(root.get_ref(), &span),
            (_, Some(hint)) => format!("not TOML: {hint}"),
            (message, None) => format!("not TOML: {message}"),
        };
        // The parser may report one mistake, such as a colon or a missing quote, twice.
        if problems.last().is_none_or(|last| last.place.line != place.line || last.message != message) {
            problems.push(Problem { place, kind: Kind::Syntax, message });
        }
    }
    source.table(root.get_ref(), 0..0)
}

/// Merges another file's table into the first: new keys are added, tables merged, boilers and operators appended;
/// anything else is a problem.
pub(super) fn merge(into: &mut Table, from: Table, problems: &mut Vec<Problem>) {
    merge_below(into, from, "", problems);
}

fn merge_below(into: &mut Table, from: Table, path: &str, problems: &mut Vec<Problem>) {
    for entry in from.entries {
        let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        let Some(there) = into.entries.iter_mut().find(|there| there.key == entry.key) else {
            into.entries.push(entry);
            continue;
        };
        let part = [&there.node.value, &entry.node.value].into_iter().find_map(part);
        match (&mut there.node.value, entry.node.value) {
            (Value::Table(there), Value::Table(more)) => merge_below(there, more, &path, problems),
            (Value::List(there), Value::List(more)) if APPENDED.contains(&path.as_str()) => there.extend(more),
            (first, second) => {
                let (one, other) = (second.what(), first.what());
                let message = match one == other {
                    true => format!("{path}: set twice, first at {}", there.place),
                    false if APPENDED.contains(&path.as_str()) => {
                        let hint = match part {
                            Some(part) => {
                                format!("move [{path}.{part}] below the [[{path}]] that it belongs to, in its file")
                            }
                            None => format!("write [[{path}]] in both places"),
                        };
                        format!("{path}: {one} here, and {other} at {}; {hint}", there.place)
                    }
                    false => format!("{path}: {one} here, and {other} at {}", there.place),
                };
                problems.push(Problem { place: entry.place, kind: Kind::Syntax, message });
            }
        }
    }
}

/// The first table in a table that has nothing else: `room` of `[boiler.room]`.
fn part(value: &Value) -> Option<String> {
    let Value::Table(table) = value else { return None };
    let is_table = |entry: &Entry| matches!(entry.node.value, Value::Table(_));
    table.entries.first().filter(|_| table.entries.iter().all(is_table)).map(|entry| entry.key.clone())
}

struct Source<'a> {
    text: &'a str,
    file: Arc<str>,
}

impl Source<'_> {
    fn table(&self, table: &DeTable<'_>, span: Range<usize>) -> Table {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let place = self.place(key.span());
            entries.push(Entry { key: key.get_ref().to_string(), place, node: self.node(value) });
        }
        // The map is sorted by key; report problems in the order of the file.
        entries.sort_by(|a, b| a.place.cmp(&b.place));
        Table { place: self.place(span), entries }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let place = self.place(value.span());
        let text = self.shown(value.span());
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Datetime(moment) => Value::Text(moment.to_string()),
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Integer(integer) => {
                // A number beyond 64 bits is out of every range here, and so is i64::MAX.
                Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i64::MAX))
            }
            DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or(f64::INFINITY)),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table, value.span())),
        };
        Node { place, text, value }
    }

    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place { file: self.file.clone(), line, column }
    }

    fn shown(&self, span: Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or("");
        let line = text.lines().next().unwrap_or("");
        // An address may contain a password, which must not be logged.
        if let Some((scheme, _)) = line.split_once("://").filter(|(_, rest)| rest.contains('@')) {
            return format!("{scheme}://…\"");
        }
        if line.chars().count() <= SHOWN && line.len() == text.len() {
            return line.to_owned();
        }
        line.chars().take(SHOWN).chain("…".chars()).collect()
    }

    /// The message for a key or table that is set twice.
    fn duplicate(&self, root: &DeTable<'_>, span: &Range<usize>) -> String {
        let Twice { path, first, hint } = syntax::twice(self.text, root, span.start, &self.shown(span.clone()));
        let first = first.map(|first| format!(", first at {}", self.place(first..first))).unwrap_or_default();
        format!("{path}: set twice{first}{hint}")
    }
}
