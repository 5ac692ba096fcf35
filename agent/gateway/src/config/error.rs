//! What is wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A place in a configuration file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's name, as it was given.
    pub file: Arc<str>,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What sort of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The text is no TOML, or a key is set twice.
    Syntax,
    /// A key is unknown or missing.
    Key,
    /// A value has the wrong type or unit, or is out of range.
    Value,
    /// Each value is fine, together they are not.
    Relation,
}

/// One thing that is wrong. `Display` gives the line that a person sees: place, key, value, what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What sort.
    pub kind: Kind,
    /// Key, value and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Why there is no [`Config`](super::Config).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or the folder `conf.d` cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Everything that is wrong with it, by file and place: never empty.
    #[error("{}", lines(.0))]
    Refused(Vec<Problem>),
}

impl ConfigError {
    /// What to do about a file that cannot be read; none where the problems themselves say what is allowed.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let Self::Unreadable { path, source } = self else { return None };
        let path = path.display();
        let kind = source.kind();
        if kind == io::ErrorKind::NotFound {
            return Some("name the configuration with --config, and remove links that lead nowhere".into());
        }
        if kind == io::ErrorKind::PermissionDenied {
            return Some(format!("let this user read it, as in: chgrp thermowell {path} && chmod g+rX {path}"));
        }
        if kind == io::ErrorKind::NotADirectory {
            return Some(format!("{path} is a file, or stands below one: move what is in its way"));
        }
        if kind == io::ErrorKind::IsADirectory {
            return Some(format!("{path} is a folder: name a file with --config, or move it away"));
        }
        Some("look at the disk, and at what the path leads to".into())
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
