//! How errors look in a log line.

use std::error::Error;
use std::fmt::Write as _;

/// An error and its causes on one line, each level once.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let level = error.to_string();
        if !text.ends_with(&level) {
            write!(text, ": {level}").expect("writing to a string does not fail");
        }
        cause = error.source();
    }
    text
}
