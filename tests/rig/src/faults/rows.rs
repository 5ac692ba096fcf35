//! The rows of the table: each fault with its prediction.

mod calendar;
mod disk;
mod limits;
mod line;
mod ports;
mod rivals;
mod server;
mod signals;

use super::report::Predicted;
use super::stage::{Setting, Skipped, Stage};

/// A ring of 5 s, so that a row loses something within seconds.
const SHORT_RING: [&str; 2] = ["--sim-arg=--ring", "--sim-arg=500"];

/// Starts a system, injects the faults, and returns the system for the audit.
type Play = Box<dyn Fn(&Setting) -> Result<Stage, Skipped>>;

/// One row.
pub(super) struct Row {
    /// Its name for `--only`.
    pub(super) name: String,
    /// A description of the fault.
    pub(super) fault: String,
    /// The prediction.
    pub(super) predicted: Predicted,
    /// It is part of the short run.
    pub(super) quick: bool,
    /// Approximate duration: long rows start first.
    pub(super) seconds: u32,
    /// It mounts file systems: it needs root, and its own mount namespace.
    pub(super) mounts: bool,
    play: Play,
}

impl Row {
    fn new(name: &str, fault: &str, play: impl Fn(&Setting) -> Result<Stage, Skipped> + 'static) -> Self {
        let predicted = Predicted::nothing(15);
        let (name, fault) = (name.to_owned(), fault.to_owned());
        Self { name, fault, predicted, quick: false, seconds: 30, mounts: false, play: Box::new(play) }
    }

    fn predicting(self, predicted: Predicted) -> Self {
        Self { predicted, ..self }
    }

    fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    fn taking(self, seconds: u32) -> Self {
        Self { seconds, ..self }
    }

    fn mounting(self) -> Self {
        Self { mounts: true, ..self }
    }

    /// Runs it.
    ///
    /// # Errors
    /// This machine does not allow it.
    ///
    /// # Panics
    /// An awaited state is not reached, or a process ends by itself.
    pub(super) fn play(&self, setting: &Setting) -> Result<Stage, Skipped> {
        (self.play)(setting)
    }
}

/// All rows in the order of the table.
pub(super) fn all() -> Vec<Row> {
    let rows = [
        signals::rows(),
        server::rows(),
        disk::rows(),
        limits::rows(),
        rivals::rows(),
        line::rows(),
        ports::rows(),
        calendar::rows(),
    ];
    rows.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::faults::report::Lost;

    #[test]
    fn rows_have_their_own_names_and_enough_kills() {
        let rows = all();
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names.len(), rows.len());
        assert!(rows.iter().all(|row| row.predicted.within_s > 0 && row.seconds > 0));
        let signalled = names.iter().filter(|name| name.starts_with("kill-") || name.starts_with("stop-")).count();
        assert!(signalled * usize::try_from(signals::TIMES).unwrap() >= 50);
        assert!(rows.iter().any(|row| row.predicted.lost == Lost::Overwritten), "a row with a loss");
    }
}
