//! NATS subjects and stream names: the only place where they are built.

use core::fmt::Write as _;

use crate::BoilerId;

/// A subject. The longest fixed part is 24 bytes, the longest id 32, the longest last token 32.
pub type Subject = heapless::String<96>;

/// Names of the JetStream streams.
pub mod stream {
    /// Packed batches and gaps; one writer per boiler.
    pub const SAMPLES: &str = "SAMPLES";
    /// One JSON event per sample, for programs that expect it. Optional.
    pub const FEED: &str = "FEED";
    /// The device's last status and the link's state.
    pub const STATUS: &str = "STATUS";
    /// The aggregator's rolling state after each batch.
    pub const STATE: &str = "STATE";
    /// One event per closed hour.
    pub const SNAPSHOT: &str = "SNAPSHOT";
    /// What the controller asks for now.
    pub const LEASE: &str = "LEASE";
    /// What people ask for.
    pub const COMMAND: &str = "COMMAND";
    /// Boots, gaps, faults, decisions, answers.
    pub const EVENT: &str = "EVENT";
}

/// `boiler.{id}.samples.v1`
#[must_use]
pub fn samples(boiler: &BoilerId) -> Subject {
    below(boiler, ".samples.v1")
}

/// `boiler.{id}`: one JSON event per sample.
#[must_use]
pub fn feed(boiler: &BoilerId) -> Subject {
    below(boiler, "")
}

/// `boiler.{id}.status`
#[must_use]
pub fn status(boiler: &BoilerId) -> Subject {
    below(boiler, ".status")
}

/// `boiler.{id}.state`
#[must_use]
pub fn state(boiler: &BoilerId) -> Subject {
    below(boiler, ".state")
}

/// `boiler.{id}.hourly-snapshot`
#[must_use]
pub fn snapshot(boiler: &BoilerId) -> Subject {
    below(boiler, ".hourly-snapshot")
}

/// `boiler.{id}.setpoint`
#[must_use]
pub fn setpoint(boiler: &BoilerId) -> Subject {
    below(boiler, ".setpoint")
}

/// What an event is about: the last token of its subject. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The firmware started.
    Boot,
    /// Slots that will never arrive.
    Gap,
    /// The device reports a fault, or a fault ended.
    Fault,
    /// A decision of the controller.
    Decision,
    /// The device answered a set-point.
    Answer,
    /// The stream's end went back or belongs to someone else.
    Delivery,
    /// Time stepped.
    Clock,
    /// A snapshot differs from its recomputation.
    Snapshot,
    /// An operator decided about the boiler.
    Boiler,
}

impl EventKind {
    /// The token in the subject.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Gap => "gap",
            Self::Fault => "fault",
            Self::Decision => "decision",
            Self::Answer => "answer",
            Self::Delivery => "delivery",
            Self::Clock => "clock",
            Self::Snapshot => "snapshot",
            Self::Boiler => "boiler",
        }
    }
}

/// `boiler.{id}.event.{kind}`
#[must_use]
pub fn event(boiler: &BoilerId, kind: EventKind) -> Subject {
    let mut subject = below(boiler, ".event.");
    subject.push_str(kind.token()).expect("the longest event subject has 54 bytes");
    subject
}

/// The boiler that a subject of ours is about; none where it is not of the form `boiler.{id}[.…]`.
#[must_use]
pub fn boiler_of(subject: &str) -> Option<BoilerId> {
    subject.strip_prefix("boiler.")?.split('.').next()?.parse().ok()
}

/// Wildcards that the streams with foreseeable writers are bound to.
pub mod wildcard {
    /// Every boiler's status.
    pub const STATUS: &str = "boiler.*.status";
    /// Every boiler's state.
    pub const STATE: &str = "boiler.*.state";
    /// Every boiler's hourly snapshot.
    pub const SNAPSHOT: &str = "boiler.*.hourly-snapshot";
    /// Every boiler's set-point lease.
    pub const LEASE: &str = "boiler.*.setpoint";
    /// Every boiler's commands.
    pub const COMMAND: &str = "boiler.*.command.*";
    /// Every boiler's resets.
    pub const RESET: &str = "boiler.*.reset.*";
    /// Every boiler's events.
    pub const EVENT: &str = "boiler.*.event.*";
}

fn below(boiler: &BoilerId, rest: &str) -> Subject {
    let mut subject = Subject::new();
    write!(subject, "boiler.{boiler}{rest}").expect("7 + 32 + 16 bytes fit into 96");
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_as_published() {
        let b1: BoilerId = "b1".parse().unwrap();
        assert_eq!(samples(&b1), "boiler.b1.samples.v1");
        assert_eq!(feed(&b1), "boiler.b1");
        assert_eq!(snapshot(&b1), "boiler.b1.hourly-snapshot");
        assert_eq!(event(&b1, EventKind::Decision), "boiler.b1.event.decision");
    }

    #[test]
    fn the_longest_id_fits_every_subject() {
        let longest: BoilerId = "a234567890123456789012345678901z".parse().unwrap();
        for subject in [snapshot(&longest), event(&longest, EventKind::Decision), samples(&longest)] {
            assert_eq!(boiler_of(&subject), Some(longest.clone()));
        }
    }

    #[test]
    fn foreign_subjects_have_no_boiler() {
        for subject in ["", "boiler", "boiler.", "boiler.B1.state", "boilers.b1", "x.boiler.b1"] {
            assert_eq!(boiler_of(subject), None, "{subject}");
        }
    }
}
