//! What the parser complains about, in words for the person who wrote the file.
//!
//! The parser names the place well and the cause in its own terms. The mistakes that people make are few: a value
//! without quotes, a decimal comma, `yes`, a colon for `=`, a table that stands twice. Each gets its cure here; what is
//! left is shown as the parser puts it.

use toml::de::{DeTable, DeValue};

/// The cure for a complaint at `at`, a byte of `text`; none where the parser's words must do.
pub(super) fn cure(text: &str, at: usize, complaint: &str) -> Option<String> {
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
    // A word that begins like true, false, nan or inf is taken for one of them.
    let takes_for = ["string values must be quoted", "invalid boolean", "invalid float"];
    let is_value = takes_for.iter().any(|start| complaint.starts_with(start));
    if is_value && starts_with_any(&["yes", "no", "on", "off", "true", "false"]) {
        return Some(format!("{word} is no truth value; write true or false, in lower case and without quotes"));
    }
    if is_value && word.is_empty() {
        return Some("no value behind `=`; give it one, or put a # in front of the line".to_owned());
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
    // An address may hold a password, which has no place in a log.
    if word.contains('@') {
        return "...".to_owned();
    }
    if word.chars().count() <= 40 { word.to_owned() } else { word.chars().take(40).chain("…".chars()).collect() }
}

/// What stands twice. The parser keeps the first place to itself, so it is looked for in the text and in what was read.
pub(super) struct Twice {
    /// As people write it.
    pub(super) path: String,
    /// The byte at which the first one begins.
    pub(super) first: Option<usize>,
    /// What to do.
    pub(super) cure: String,
}

/// What the key at `at` sets for the second time.
pub(super) fn twice(text: &str, root: &DeTable<'_>, at: usize, key: &str) -> Twice {
    let begin = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let (above, line) = (text.get(..begin).unwrap_or(""), text.get(begin..).unwrap_or(""));
    let line = line.lines().next().unwrap_or("");
    if let Some(header) = Header::of(line) {
        let (first, is_list) = first_of(above, &header.path).unzip();
        let path = &header.path;
        let cure = match header.is_list || is_list == Some(true) {
            true => format!("; write [[{path}]], in two brackets, at both places"),
            false => "; put all of its keys below the first one".to_owned(),
        };
        return Twice { path: header.shown(), first, cure };
    }
    let key = key.trim_matches(['"', '\'']);
    let table = above.lines().rev().find_map(Header::of).unwrap_or_default().path;
    let path = match line.split_once('=') {
        Some((name, _)) if at < begin + name.len() => joined(&table, &segments(name)),
        // Within { braces }.
        Some(_) | None => key.to_owned(),
    };
    let mut first = None;
    last_before(root, key, at, &mut first);
    Twice { path, first, cure: String::new() }
}

/// Where the table `path` is begun, and whether as one of several: at its own header, else at the first key in it.
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

/// The last key of that name in front of `before`: a table cannot be opened again.
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
