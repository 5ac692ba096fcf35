//! The raw configuration: what the files say, merged, where each value knows its place.
//!
//! The tree is our own and not a derived `Deserialize`, because a derived one forgets the places that the checks of
//! ranges and relations need, stops at the first error, and cannot merge files.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Kind, Place, Problem};

/// The lists whose entries may come from several files.
const APPENDED: [&str; 2] = ["boiler", "operator"];
/// Values longer than this are shown shortened.
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

/// A value, where it stands and how it is written.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) text: String,
    pub(super) value: Value,
}

/// What TOML knows. A date and time is taken as the text that it is written in.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
}

impl Table {
    pub(super) fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// Reads one file's text. Problems go to the list; what could be read is returned all the same.
pub(super) fn parse(text: &str, file: &str, problems: &mut Vec<Problem>) -> Table {
    let source = Source { text, file: Arc::from(file) };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = source.place(error.span().unwrap_or(0..0));
        let message = match (error.message(), error.span()) {
            ("duplicate key", Some(span)) => source.duplicate(root.get_ref(), &span),
            (message, _) => format!("not TOML: {message}"),
        };
        problems.push(Problem { place, kind: Kind::Syntax, message });
    }
    source.table(root.get_ref(), 0..0, problems)
}

/// Adds another file's table to the first: new keys join, tables merge, boilers and operators line up; all else is a
/// problem.
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
        match (&mut there.node.value, entry.node.value) {
            (Value::Table(there), Value::Table(more)) => merge_below(there, more, &path, problems),
            (Value::List(there), Value::List(more)) if APPENDED.contains(&path.as_str()) => there.extend(more),
            (_, _) => {
                let message = format!("{path}: set twice, first at {}", there.place);
                problems.push(Problem { place: entry.place, kind: Kind::Syntax, message });
            }
        }
    }
}

struct Source<'a> {
    text: &'a str,
    file: Arc<str>,
}

impl Source<'_> {
    fn table(&self, table: &DeTable<'_>, span: Range<usize>, problems: &mut Vec<Problem>) -> Table {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let place = self.place(key.span());
            entries.push(Entry { key: key.get_ref().to_string(), place, node: self.node(value, problems) });
        }
        // The map is sorted by key; people read from the top.
        entries.sort_by(|a, b| a.place.cmp(&b.place));
        Table { place: self.place(span), entries }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Node {
        let place = self.place(value.span());
        let text = self.shown(value.span());
        let mut number = |what: &str| {
            let message = format!("{text}: {what} does not fit into 64 bits");
            problems.push(Problem { place: place.clone(), kind: Kind::Value, message });
        };
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Datetime(moment) => Value::Text(moment.to_string()),
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Integer(integer) => {
                Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or_else(|_| {
                    number("a whole number that");
                    0
                }))
            }
            DeValue::Float(float) => Value::Float(float.as_str().parse().unwrap_or_else(|_| {
                number("a number that");
                0.0
            })),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item, problems)).collect()),
            DeValue::Table(table) => Value::Table(self.table(table, value.span(), problems)),
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
        // An address may hold a password, which has no place in a log.
        if let Some((scheme, _)) = line.split_once("://").filter(|(_, rest)| rest.contains('@')) {
            return format!("{scheme}://…\"");
        }
        if line.chars().count() <= SHOWN && line.len() == text.len() {
            return line.to_owned();
        }
        line.chars().take(SHOWN).chain("…".chars()).collect()
    }

    /// The parser keeps a duplicate's first place to itself: it is the last key of that name in front of it, since a
    /// table cannot be opened again.
    fn duplicate(&self, root: &DeTable<'_>, span: &Range<usize>) -> String {
        let key = self.shown(span.clone());
        let mut first = None;
        last_before(root, key.trim_matches(['"', '\'']), span.start, &mut first);
        match first {
            Some(first) => format!("{key}: set twice, first at {}", self.place(first)),
            None => format!("{key}: set twice"),
        }
    }
}

fn last_before(table: &DeTable<'_>, key: &str, before: usize, found: &mut Option<Range<usize>>) {
    for (name, value) in table {
        let span = name.span();
        let later = found.as_ref().is_none_or(|found| found.start < span.start);
        if name.get_ref() == key && span.start < before && later {
            *found = Some(span);
        }
        let values = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            DeValue::Table(_) => vec![value],
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => vec![],
        };
        for table in values.into_iter().filter_map(|value| value.get_ref().as_table()) {
            last_before(table, key, before, found);
        }
    }
}
