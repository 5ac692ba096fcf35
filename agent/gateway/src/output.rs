//! Results of commands: text for people, JSON for programs.

use serde::Serialize;

/// A result that has both forms.
pub trait Report: Serialize {
    /// The result as text, with its last line feed.
    fn text(&self) -> String;

    /// The result as one JSON value on a line.
    ///
    /// # Panics
    /// Never: reports have neither maps without text keys nor foreign types.
    fn json(&self) -> String {
        serde_json::to_string(self).expect("text, numbers and lists encode") + "\n"
    }
}

/// The name of a value in the published JSON.
///
/// # Panics
/// The value is not a name.
#[must_use]
pub fn word(name: &impl Serialize) -> String {
    match serde_json::to_value(name) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => panic!("it is an enum without data"),
    }
}
