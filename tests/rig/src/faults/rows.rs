//! The rows of the table: what each does, and what it predicts.

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

/// A ring for a row that must lose something in seconds: 5 s.
const SHORT_RING: [&str; 2] = ["--sim-arg=--ring", "--sim-arg=500"];

/// Plays a row: starts a system, does what it does, and hands it over to be judged.
type Play = Box<dyn Fn(&Setting) -> Result<Stage, Skipped>>;

/// One row.
pub(super) struct Row {
    /// What `--only` calls it.
    pub(super) name: String,
    /// What it does, in words.
    pub(super) fault: String,
    /// What must come of it.
    pub(super) predicted: Predicted,
    /// Also in the short run.
    pub(super) quick: bool,
    /// About how long it takes: the long ones begin first.
    pub(super) seconds: u32,
    /// It mounts file systems: in a mount namespace of its own, and not without root.
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

    /// Plays it.
    ///
    /// # Errors
    /// This machine does not allow it.
    ///
    /// # Panics
    /// What the row waits for does not come, or a process ends by itself.
    pub(super) fn play(&self, setting: &Setting) -> Result<Stage, Skipped> {
        (self.play)(setting)
    }
}

/// Every row, in the order of the table.
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
        assert!(rows.iter().any(|row| row.predicted.lost == Lost::Overwritten), "one in which something is lost");
    }
}
