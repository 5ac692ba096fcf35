//! Reads the raw tree: keys that the code requests are known, all others are problems, and so are values that their
//! parser refuses. Reading continues after a problem, so that all are reported at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use strsim::osa_distance;

use super::document::{Node, Table, Value};
use super::error::{Kind, Place, Problem};

/// Problems, and the keys that were read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    spots: RefCell<BTreeMap<String, Spot>>,
    known: RefCell<BTreeSet<String>>,
    unknown: RefCell<Vec<Unknown>>,
}

/// A key that no table requested. Its hint needs all known keys, so it is made when all tables are read.
#[derive(Debug)]
struct Unknown {
    place: Place,
    path: String,
    key: String,
    known_here: Vec<&'static str>,
}

/// The place and source text of a value.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) text: String,
}

impl Findings {
    pub(super) fn push(&self, place: &Place, kind: Kind, message: String) {
        self.problems.borrow_mut().push(Problem { place: place.clone(), kind, message });
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty() && self.unknown.borrow().is_empty()
    }

    /// Reports inconsistent values at the first of `keys` that is set. The defaults are consistent, so one is.
    pub(super) fn relation(&self, keys: &[&str], message: &str) {
        let spots = self.spots.borrow();
        let (key, spot) = keys
            .iter()
            .find_map(|key| spots.get(*key).map(|spot| (*key, spot.clone())))
            .expect("defaults keep every relation, so a broken one involves a key that is set");
        // A table is shown by its header.
        let shown = if spot.text.starts_with("[[") { spot.text } else { format!("{key} = {}", spot.text) };
        self.push(&spot.place, Kind::Relation, format!("{shown}: {message}"));
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let known = self.known.into_inner();
        problems.extend(self.unknown.into_inner().into_iter().map(|unknown| unknown.problem(&known)));
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        problems
    }

    /// The paths of all requested keys.
    #[cfg(test)]
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }
}

impl Unknown {
    /// The hint is the most similar key of this table, else a table with a key of the same name.
    fn problem(self, known: &BTreeSet<String>) -> Problem {
        let Self { place, path, key, known_here } = self;
        let is_table =
            |path: &str| known.iter().any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')));
        let has_name = |known: &&String| known.rsplit('.').next() == Some(key.as_str()) && **known != path;
        let elsewhere = known.iter().find(|known| has_name(known) && !is_table(known));
        let hint = match (nearest(&key, &known_here), elsewhere.and_then(|known| known.rsplit_once('.'))) {
            (Some(near), _) => format!("did you mean \"{near}\"?"),
            (None, Some((table, _))) => format!("did you mean {key} in [{table}]?"),
            (None, None) if elsewhere.is_some() => "it belongs above the first [table]".to_owned(),
            (None, None) => format!("known here are {}", known_here.join(", ")),
        };
        Problem { place, kind: Kind::Key, message: format!("{path}: unknown key; {hint}") }
    }
}

/// One table while it is read. A missing table counts as empty.
pub(super) struct Section<'a> {
    path: String,
    place: Place,
    table: Option<&'a Table>,
    findings: &'a Findings,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// Reads the root table.
    pub(super) fn root<T>(table: &'a Table, findings: &'a Findings, read: impl FnOnce(&Self) -> T) -> T {
        Self::read(String::new(), table.place.clone(), Some(table), findings, read)
    }

    /// Reads the table `key`.
    pub(super) fn section<T>(&self, key: &'static str, read: impl FnOnce(&Self) -> T) -> T {
        let path = self.path_of(key);
        let node = self.node(key);
        let table = node.and_then(|node| self.as_table(node, &path));
        let place = node.map_or(&self.place, |node| &node.place).clone();
        Self::read(path, place, table, self.findings, read)
    }

    /// Reads the tables of the list `key`; none if it is missing. An item that is not a table, or a value that is not a
    /// list, is reported and counts as an unreadable item.
    pub(super) fn list<T>(&self, key: &'static str, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<Option<T>>> {
        let node = self.node(key)?;
        let path = self.path_of(key);
        let Value::List(items) = &node.value else {
            if !matches!(node.value, Value::Table(_)) {
                self.refuse(node, &path, "not a list of tables");
            } else if node.is_header() {
                let message = format!("[{path}]: there may be several; write [[{path}]], in two brackets");
                self.findings.push(&node.place, Kind::Value, message);
            } else {
                self.refuse(node, &path, "a table, expected a list of tables; write [{ ... }]");
            }
            return Some(vec![None]);
        };
        let read_item = |item: &'a Node| {
            let table = Some(self.as_table(item, &path)?);
            Self::read(path.clone(), item.place.clone(), table, self.findings, &read)
        };
        Some(items.iter().map(read_item).collect())
    }

    /// The value of `key`, if it is set and its parser accepts it.
    pub(super) fn optional<T>(&self, key: &'static str, parse: impl Fn(&Node) -> Result<T, String>) -> Option<T> {
        let node = self.node(key)?;
        let path = self.path_of(key);
        match parse(node) {
            Ok(value) => Some(value),
            Err(complaint) => {
                self.refuse(node, &path, &complaint);
                None
            }
        }
    }

    /// The value of `key`, or its default.
    pub(super) fn value<T>(&self, key: &'static str, default: T, parse: impl Fn(&Node) -> Result<T, String>) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// The value of `key`, which has no default.
    pub(super) fn required<T>(&self, key: &'static str, parse: impl Fn(&Node) -> Result<T, String>) -> Option<T> {
        if self.node(key).is_none() {
            self.missing(key, "");
        }
        self.optional(key, parse)
    }

    /// Reports that `key` is missing here.
    pub(super) fn missing(&self, key: &'static str, example: &str) {
        let message = format!("{}: missing{example}", self.path_of(key));
        self.findings.push(&self.place, Kind::Key, message);
    }

    /// Reports a problem with a key that is set here.
    pub(super) fn refuse_spot(&self, spot: &Spot, key: &str, kind: Kind, complaint: &str) {
        self.findings.push(&spot.place, kind, format!("{} = {}: {complaint}", self.path_of(key), spot.text));
    }

    /// The place of `key`, if it is set here.
    pub(super) fn spot(&self, key: &str) -> Option<Spot> {
        let node = &self.table?.find(key)?.node;
        Some(Spot { place: node.place.clone(), text: node.text.clone() })
    }

    fn read<T>(
        path: String,
        place: Place,
        table: Option<&'a Table>,
        findings: &'a Findings,
        read: impl FnOnce(&Self) -> T,
    ) -> T {
        let section = Self { path, place, table, findings, asked: RefCell::default() };
        let value = read(&section);
        section.report_unknown();
        value
    }

    fn node(&self, key: &'static str) -> Option<&'a Node> {
        if !self.asked.borrow().contains(&key) {
            self.asked.borrow_mut().push(key);
        }
        let path = self.path_of(key);
        self.findings.known.borrow_mut().insert(path.clone());
        self.findings.spots.borrow_mut().insert(path, self.spot(key)?);
        Some(&self.table?.find(key)?.node)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn as_table(&self, node: &'a Node, path: &str) -> Option<&'a Table> {
        if let Value::Table(table) = &node.value {
            return Some(table);
        }
        if node.is_header() {
            let message = format!("[[{path}]]: there is only one; write [{path}], in one bracket");
            self.findings.push(&node.place, Kind::Value, message);
        } else {
            self.refuse(node, path, "not a table; write { key = value }, or its keys below a header of their own");
        }
        None
    }

    fn refuse(&self, node: &Node, path: &str, complaint: &str) {
        self.findings.push(&node.place, Kind::Value, format!("{path} = {}: {complaint}", node.text));
    }

    fn report_unknown(&self) {
        let asked = self.asked.borrow();
        for entry in self.table.into_iter().flat_map(|table| &table.entries) {
            if asked.contains(&entry.key.as_str()) {
                continue;
            }
            let (path, key, known_here) = (self.path_of(&entry.key), entry.key.clone(), asked.clone());
            let unknown = Unknown { place: entry.place.clone(), path, key, known_here };
            self.findings.unknown.borrow_mut().push(unknown);
        }
    }
}

/// The known word most similar to `word`, if at most a third of its letters must be added, removed, changed or swapped
/// with their neighbour.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if let Some(longer) = known.iter().find(|known| known.strip_prefix(word).is_some_and(|rest| rest.starts_with('_')))
    {
        return Some(longer);
    }
    let (distance, near) = known.iter().map(|known| (osa_distance(word, known), *known)).min()?;
    let longest = word.chars().count().max(near.chars().count());
    (distance * 3 <= longest).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key_is_similar() {
        let known = ["sync_interval", "url", "user", "tls"];
        assert_eq!(nearest("sync_intervall", &known), Some("sync_interval"));
        assert_eq!(nearest("snyc_interval", &known), Some("sync_interval"));
        assert_eq!(nearest("uesr", &known), Some("user"));
        assert_eq!(nearest("sync", &known), Some("sync_interval"));
        assert_eq!(nearest("password", &known), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
