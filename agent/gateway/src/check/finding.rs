//! The result of one check.

use std::path::PathBuf;

use serde::Serialize;
use thermowell_wire::BoilerId;

use super::catalogue::{self, CATALOGUE, Section};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Does not apply here, for the reason in the message. Not a verdict.
    Skipped,
    Ok,
    /// Could not be checked.
    Unknown,
    /// Works, but needs attention.
    Warning,
    /// Does not work.
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's stable id.
    pub id: &'static str,
    pub section: Section,
    /// The boiler, for checks that are made per boiler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub status: Status,
    /// What was found, with its figures.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// A command that does it, as a program and its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Vec<String>>,
    /// How long the check took, with the others that share its reads.
    pub took_ms: u64,
    /// What `--repair` does.
    #[serde(skip)]
    pub(super) repair: Option<Repair>,
}

/// What `--repair` can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// Takes all rights of other users from a file.
    Close(PathBuf),
    /// Writes 1 into an adapter's latency timer.
    Latency(PathBuf),
    /// Creates missing streams, and adds subjects and limits.
    Streams,
    /// Puts a spill file aside that the agent cannot use, as the agent does at its start.
    Spill(BoilerId),
}

impl Finding {
    /// # Panics
    /// The id is not in the catalogue.
    pub(super) fn new(id: &'static str, status: Status, message: impl Into<String>) -> Self {
        let section = CATALOGUE[catalogue::place(id).expect("each check is in the catalogue")].section;
        let (message, took_ms) = (message.into(), 0);
        Self { id, section, subject: None, status, message, advice: None, fix: None, took_ms, repair: None }
    }

    pub(super) fn about(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }

    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// The command that corrects it.
    pub(super) fn fix<A: AsRef<str>>(self, command: &[A]) -> Self {
        Self { fix: Some(command.iter().map(|word| word.as_ref().to_owned()).collect()), ..self }
    }

    pub(super) fn repair(self, repair: Repair) -> Self {
        Self { repair: Some(repair), ..self }
    }
}

/// The findings of one check: `Finding::new` with its id.
pub(super) fn of(id: &'static str) -> impl Fn(Status, String) -> Finding {
    move |status, message| Finding::new(id, status, message)
}
