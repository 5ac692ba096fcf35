//! Hints for syntax errors.
//!
//! The parser reports the exact place, but the cause in its own terms. A few mistakes are common: a value without
//! quotes, a decimal comma, `yes`, a colon for `=`, a table that is set twice. Each of them gets a hint here; other
//! errors are shown in the parser's words.

use toml::de::{DeTable, DeValue};

/// The hint for an error at byte `at` of `text`; none for an uncommon one.
pub(super) fn hint(text: &str, at: usize, complaint: &str) -> Option<String> {
    let (before, rest) = text.split_at_checked(at)?;
    let rest = rest.lines().next().unwrap_or("");
    let line = before.rsplit('\n').next().unwrap_or("");
    let word: &str = rest.split([',', ']', '}', '#']).next().unwrap_or("").trim();
    let starts_with_any = |words: &[&str]| words.iter().any(|found| word.eq_ignore_ascii_case(found));
    let is_decimal_comma = || {
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        rest.starts_with(',') && digit(line.chars().last()) && digit(rest.chars().nth(1)) && !line.contains(['[', '{'])
    };
    if complaint.starts_with("carriage return must be followed") {
        return Some("the line ends with a carriage return alone; save the file with Unix line ends".to_owned());
    }
    if rest.starts_with(['“', '”', '„', '‘', '’', '«', '»']) {
        return Some("a typographic quote; write \"...\" with plain quotes".to_owned());
    }
    if complaint.starts_with("missing escaped value") {
        return Some("a backslash begins an escape; write \\\\, or '...' in single quotes".to_owned());
    }
    if complaint.starts_with("unexpected key or value") && is_decimal_comma() {
        return Some("a decimal comma; write a decimal point, as in 0.5".to_owned());
    }
    // The parser takes a word that begins like true, false, nan or inf for one of them.
    let takes_for = ["string values must be quoted", "invalid boolean", "invalid float"];
    let is_value = takes_for.iter().any(|start| complaint.starts_with(start));
    if is_value && starts_with_any(&["yes", "no", "on", "off", "true", "false"]) {
        return Some(format!("{word} is not a boolean; write true or false, in lower case and without quotes"));
    }
    if is_value && word.is_empty() {
        return Some("no value after `=`; add one, or comment the line out with #".to_owned());
    }
    if is_value && word.starts_with(|c: char| c.is_alphabetic() || matches!(c, '/' | '.' | '_' | '~')) {
        return Some(format!("a text without quotes; write \"{}\"", shortened(word)));
    }
    if rest.starts_with(':') || (complaint.starts_with("key with no value") && line.trim_end().ends_with(':')) {
        return Some("a colon; write `key = value`".to_owned());
    }
    if complaint.starts_with("invalid basic string") || complaint.starts_with("invalid literal string") {
        return Some("a text without its closing quote on the same line".to_owned());
    }
    None
}

fn shortened(word: &str) -> String {
    // An address may contain a password, which must not be logged.
    if word.contains('@') {
        return "...".to_owned();
    }
    if word.chars().count() <= 40 { word.to_owned() } else { word.chars().take(40).chain("…".chars()).collect() }
}

/// A key or table that is set twice. The parser does not report the first place, so it is searched in the text and in
/// the parsed tree.
pub(super) struct Twice {
    pub(super) path: String,
    /// The first byte of its first occurrence.
    pub(super) first: Option<usize>,
    pub(super) hint: String,
}

/// The key or table that is set a second time at `at`.
pub(super) fn twice(text: &str, root: &DeTable<'_>, at: usize, key: &str) -> Twice {
    let begin = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let (above, line) = (text.get(..begin).unwrap_or(""), text.get(begin..).unwrap_or(""));
    let line = line.lines().next().unwrap_or("");
    if let Some(header) = Header::of(line) {
        let (first, is_list) = first_of(above, &header.path).unzip();
        let path = &header.path;
        let below = above.lines().filter_map(Header::of).find(|other| other.path.starts_with(&format!("{path}.")));
        if let Some(below) = below.filter(|_| header.is_list && is_list == Some(false)) {
            let hint = format!("; move [{}] below the [[{path}]] that it belongs to", below.path);
            return Twice { path: header.shown(), first, hint };
        }
        let hint = match header.is_list || is_list == Some(true) {
            true => format!("; write [[{path}]], in two brackets, at both places"),
            false => "; put all of its keys below the first one".to_owned(),
        };
        return Twice { path: header.shown(), first, hint };
    }
    let key = key.trim_matches(['"', '\'']);
    let table = above.lines().rev().find_map(Header::of).unwrap_or_default().path;
    let path = match line.split_once('=') {
        Some((name, _)) if at < begin + name.len() => joined(&table, &segments(name)),
        // In an inline table.
        Some(_) | None => key.to_owned(),
    };
    let mut first = None;
    last_before(root, key, at, &mut first);
    Twice { path, first, hint: String::new() }
}

/// Where the table `path` begins, at its own header or else at its first key, and whether it is an item of a list.
fn first_of(text: &str, path: &str) -> Option<(usize, bool)> {
    let (mut table, mut offset, mut first_key) = (String::new(), 0, None);
    for line in text.split_inclusive('\n') {
        let begin = offset + line.len() - line.trim_start().len();
        if let Some(header) = Header::of(line) {
            if header.path == path {
                return Some((begin + header.brackets(), header.is_list));
            }
            table = header.path;
        }
        let name = line.split_once('=').map(|(name, _)| joined(&table, &segments(name)));
        if first_key.is_none() && name.is_some_and(|name| name == path || name.starts_with(&format!("{path}."))) {
            first_key = Some((begin, false));
        }
        offset += line.len();
    }
    first_key
}

/// `[path]` or `[[path]]`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    path: String,
    is_list: bool,
}

impl Header {
    fn of(line: &str) -> Option<Self> {
        let line = line.trim_start();
        let inner = line.strip_prefix('[')?;
        let is_list = inner.starts_with('[');
        let inner = inner.trim_start_matches('[');
        let path = segments(inner.split(']').next()?);
        Some(Self { path: path.join("."), is_list })
    }

    fn brackets(&self) -> usize {
        1 + usize::from(self.is_list)
    }

    fn shown(&self) -> String {
        if self.is_list { format!("[[{}]]", self.path) } else { format!("[{}]", self.path) }
    }
}

fn segments(path: &str) -> Vec<&str> {
    path.split('.').map(|segment| segment.trim().trim_matches(['"', '\''])).collect()
}

fn joined(path: &str, segments: &[&str]) -> String {
    let key = segments.join(".");
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// The last key of that name before byte `before`.
fn last_before(table: &DeTable<'_>, key: &str, before: usize, found: &mut Option<usize>) {
    for (name, value) in table {
        let start = name.span().start;
        if name.get_ref() == key && start < before && found.is_none_or(|found| found < start) {
            *found = Some(start);
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
