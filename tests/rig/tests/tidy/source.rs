//! The tree as tidy sees it: paths, text, and Rust code without comments and strings.

use std::fmt;
use std::path::{Path, PathBuf};

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// From 1; 0 stands for the whole file.
    pub(crate) line: usize,
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule, what } = self;
        match line {
            0 => write!(f, "{path}: {rule}: {what}"),
            line => write!(f, "{path}:{line}: {rule}: {what}"),
        }
    }
}

/// A text file of the tree.
#[derive(Debug)]
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn finding(&self, line: usize, rule: &'static str, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, rule, what: what.into() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The text of a Rust file with comments, strings and characters blanked out; lines stay where they are.
    pub(crate) fn code(&self) -> String {
        blank(&self.text)
    }

    /// How many lines stand before the tests at the end. All of them when there are none.
    pub(crate) fn lines_before_tests(&self) -> usize {
        let code = self.code();
        let lines: Vec<_> = code.lines().map(str::trim).collect();
        let opens_tests = |at: usize| {
            let following = lines[at + 1..].iter().find(|line| !line.is_empty() && !line.starts_with("#["));
            lines[at] == "#[cfg(test)]" && following.is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
        };
        (0..lines.len()).find(|at| opens_tests(*at)).unwrap_or(lines.len())
    }

    /// A test module in a file of its own, below `src`.
    pub(crate) fn is_test_module(&self) -> bool {
        self.path.rsplit_once("/src/").is_some_and(|(_, inner)| {
            let inner = format!("/{inner}");
            inner.ends_with("/tests.rs") || inner.contains("/tests/")
        })
    }
}

/// Every text file of the project.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) top_level: Vec<String>,
    pub(crate) sources: Vec<Source>,
}

impl Tree {
    /// Reads the tree that this test belongs to.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut tree = Self { top_level: names_in(&root), root, sources: Vec::new() };
        for name in tree.top_level.clone() {
            // Build products and the history are not the project's text.
            if name != "target" && name != ".git" {
                tree.add(&name);
            }
        }
        assert!(tree.sources.len() > 20, "tidy looks at the wrong folder: {}", tree.root.display());
        tree
    }

    fn add(&mut self, path: &str) {
        let full = self.root.join(path);
        if full.is_dir() {
            for name in names_in(&full) {
                if name != "proptest-regressions" {
                    self.add(&format!("{path}/{name}"));
                }
            }
        } else if let Ok(text) = std::fs::read_to_string(&full) {
            self.sources.push(Source { path: path.to_owned(), text });
        }
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.is_rust())
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the tree can be read");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("the tree can be read").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Blanks comments, strings and characters out of Rust code.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let before = out.chars().next_back();
        let taken = opaque_length(rest, before);
        if taken == 0 {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        } else {
            let (opaque, behind) = rest.split_at(taken);
            out.extend(opaque.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = behind;
        }
    }
    out
}

/// The length of the comment or literal at the start of `rest`; 0 when there is none.
fn opaque_length(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let up_to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_length(rest);
    }
    let prefix = if in_word { "" } else { ["br", "cr", "r"].into_iter().find(|p| rest.starts_with(p)).unwrap_or("") };
    if !prefix.is_empty() {
        let hashes = rest[prefix.len()..].chars().take_while(|c| *c == '#').count();
        let open = prefix.len() + hashes;
        if rest[open..].starts_with('"') {
            return up_to(&format!("\"{}", "#".repeat(hashes)), open + 1);
        }
    }
    if rest.starts_with('"') {
        return quoted_length(rest, '"');
    }
    // A character, not a lifetime: closed behind one character, or behind an escape.
    let mut inside = rest.chars().skip(1);
    let closed = inside.next().is_some_and(|c| c == '\\' || inside.next() == Some('\''));
    if rest.starts_with('\'') && closed { quoted_length(rest, '\'') } else { 0 }
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

#[test]
fn comments_strings_and_characters_are_blanked() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("x(\"y \\\" // z\") w", "x(           ) w"),
        ("x(r#\"y \" z\"#) w", "x(          ) w"),
        ("f('\\'', '\"', b'/') // g", "f(    ,    , b   )     "),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("for (a, b) in car {}", "for (a, b) in car {}"),
    ];
    for (text, expected) in cases {
        assert_eq!(blank(text), expected);
    }
}

#[test]
fn the_tests_at_the_end_are_found_and_nothing_else() {
    let at_end = "a\nb\n#[cfg(test)]\nmod tests {\n}\n";
    assert_eq!(Source::new("a.rs", at_end).lines_before_tests(), 2);
    let with_attribute = "a\n#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n}\n";
    assert_eq!(Source::new("a.rs", with_attribute).lines_before_tests(), 1);
    let in_front = "#[cfg(test)]\nmod tests;\nb\nc\n";
    assert_eq!(Source::new("a.rs", in_front).lines_before_tests(), 4);
}

#[test]
fn test_modules_are_told_from_code() {
    for (path, expected) in [
        ("agent/wire/src/batch/tests.rs", true),
        ("agent/wire/src/batch/tests/golden.rs", true),
        ("tests/world/src/broker.rs", false),
        ("agent/wire/src/batch.rs", false),
    ] {
        assert_eq!(Source::new(path, "").is_test_module(), expected, "{path}");
    }
}
