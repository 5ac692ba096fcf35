//! The errors of a configuration and their places.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A place in a configuration file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file's path, as given.
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The kind of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The text is not TOML, or a key is set twice.
    Syntax,
    /// A key is unknown or missing.
    Key,
    /// A value has the wrong type or unit, or is out of range.
    Value,
    /// Each value is valid, but they are inconsistent.
    Relation,
}

/// One problem. `Display` gives the line for the user: place, key, value, allowed values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    pub kind: Kind,
    /// Key, value and allowed values.
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
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// All problems, by file and place: never empty.
    #[error("{}", lines(.0))]
    Refused(Vec<Problem>),
}

impl ConfigError {
    /// Advice for a file that cannot be read. Problems include their own advice.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let Self::Unreadable { path, source } = self else { return None };
        let path = path.display();
        let kind = source.kind();
        if kind == io::ErrorKind::NotFound {
            return Some(
                "set the path of the configuration with --config; a link to a file that does not exist must go".into(),
            );
        }
        if kind == io::ErrorKind::PermissionDenied {
            return Some(format!("let this user read it, as in: chgrp thermowell {path} && chmod g+rX {path}"));
        }
        if kind == io::ErrorKind::NotADirectory {
            return Some(format!("{path} is a file, or below one: move that file away"));
        }
        if kind == io::ErrorKind::IsADirectory {
            return Some(format!("{path} is a folder: set a file with --config, or move the folder away"));
        }
        if kind == io::ErrorKind::InvalidInput {
            return Some(format!("{path} is a pipe or a device, which may have no end: write the text into a file"));
        }
        Some("check the disk and the path".into())
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
