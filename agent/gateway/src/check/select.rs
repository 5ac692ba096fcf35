//! `--only`: which checks are made.

use super::catalogue::{CATALOGUE, Check, prefix};

/// The checks that are made.
#[derive(Clone, Debug)]
pub struct Selection {
    checks: Vec<Check>,
}

impl Selection {
    /// Every check.
    #[must_use]
    pub fn all() -> Self {
        Self { checks: CATALOGUE.to_vec() }
    }

    /// The checks with these ids, or whose ids begin with one of these and a point; all without any.
    ///
    /// # Errors
    /// A word is neither an id nor the beginning of one.
    pub fn of(words: &[String]) -> Result<Self, String> {
        if words.is_empty() {
            return Ok(Self::all());
        }
        let is_meant = |check: &Check, word: &str| check.id == word || prefix(check.id) == word;
        if let Some(unknown) = words.iter().find(|word| !CATALOGUE.iter().any(|check| is_meant(check, word))) {
            let mut prefixes: Vec<&str> = CATALOGUE.iter().map(|check| prefix(check.id)).collect();
            prefixes.dedup();
            let groups = prefixes.join(", ");
            return Err(format!(
                "--only {unknown}: no such check; `--list` has all ids, and their beginnings are {groups}"
            ));
        }
        let is_chosen = |check: &&Check| words.iter().any(|word| is_meant(check, word));
        Ok(Self { checks: CATALOGUE.iter().filter(is_chosen).copied().collect() })
    }

    /// The rows, for `--list`.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    pub(super) fn wants(&self, id: &str) -> bool {
        self.checks.iter().any(|check| check.id == id)
    }

    /// Whether a check whose id has one of these beginnings is wanted.
    pub(super) fn wants_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.checks.iter().any(|check| check.id == *word || prefix(check.id) == *word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(words: &[&str]) -> Result<Vec<&'static str>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(Selection::of(&words)?.checks.iter().map(|check| check.id).collect())
    }

    #[test]
    fn checks_are_selected_by_id_or_its_beginning() {
        assert_eq!(ids(&[]).unwrap().len(), CATALOGUE.len());
        assert_eq!(ids(&["port.free"]).unwrap(), ["port.free"]);
        assert_eq!(
            ids(&["control", "port.free"]).unwrap(),
            ["port.free", "control.lease", "control.cycles", "control.delivery", "control.sources"]
        );
        let error = ids(&["port.fre"]).unwrap_err();
        assert!(error.starts_with("--only port.fre: no such check") && error.contains("config, port, line"), "{error}");
        assert!(ids(&[""]).is_err());
    }
}
