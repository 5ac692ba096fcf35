//! NATS subjects and stream names. They are built only here.

use core::fmt::Write as _;

use crate::{BoilerId, CommandId, Occurrence, OperatorName, SourceName};

/// A subject. The longest is a command: 17 fixed bytes, and 32 each of the boiler, the id and the operator.
pub type Subject = heapless::String<128>;

/// Names of the JetStream streams.
pub mod stream {
    /// Packed batches and gaps; one writer per boiler.
    pub const SAMPLES: &str = "SAMPLES";
    /// One JSON event per sample, for programs that expect one message each. Optional.
    pub const FEED: &str = "FEED";
    /// The device's last status and the link's state.
    pub const STATUS: &str = "STATUS";
    /// The aggregator's rolling state after each batch.
    pub const STATE: &str = "STATE";
    /// One event per closed hour.
    pub const SNAPSHOT: &str = "SNAPSHOT";
    /// The controller's current request.
    pub const LEASE: &str = "LEASE";
    /// Commands, approvals and resets of operators.
    pub const COMMAND: &str = "COMMAND";
    /// Boots, gaps, faults, decisions, answers.
    pub const EVENT: &str = "EVENT";
    /// The last room and outdoor temperatures of sources outside of the boilers. Only with such sources.
    pub const AMBIENT: &str = "AMBIENT";
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

/// `boiler.{id}.command.{command}.{operator}`: one operator's command, which only this operator may write.
#[must_use]
pub fn command(boiler: &BoilerId, command: &CommandId, operator: &OperatorName) -> Subject {
    joined(boiler, format_args!(".command.{command}.{operator}"))
}

/// `boiler.{id}.command.{command}.*`: the command with this id, whose operator is unknown. The stream has at most one.
#[must_use]
pub fn command_named(boiler: &BoilerId, command: &CommandId) -> Subject {
    joined(boiler, format_args!(".command.{command}.*"))
}

/// `boiler.{id}.command.>`: every command of one boiler, also those from before the operator was in the subject.
#[must_use]
pub fn commands(boiler: &BoilerId) -> Subject {
    below(boiler, ".command.>")
}

/// `boiler.*.command.*.{operator}`: every command that one operator may write.
#[must_use]
pub fn commands_of(operator: &OperatorName) -> Subject {
    wild(format_args!("command.*.{operator}"))
}

/// `boiler.{id}.approval.{fault}.{operator}`: one operator's approval of a reset, which only this operator may write.
#[must_use]
pub fn approval(boiler: &BoilerId, fault: Occurrence, operator: &OperatorName) -> Subject {
    joined(boiler, format_args!(".approval.{fault}.{operator}"))
}

/// `boiler.*.approval.*.{operator}`: every approval that one operator may write.
#[must_use]
pub fn approvals_of(operator: &OperatorName) -> Subject {
    wild(format_args!("approval.*.{operator}"))
}

/// `boiler.{id}.approval.>`: every approval of every reset of one boiler.
#[must_use]
pub fn all_approvals(boiler: &BoilerId) -> Subject {
    below(boiler, ".approval.>")
}

/// `boiler.{id}.reset.*`: every reset of one boiler.
#[must_use]
pub fn resets(boiler: &BoilerId) -> Subject {
    below(boiler, ".reset.*")
}

/// `boiler.{id}.reset.{fault}`: the reset of one occurrence of a fault.
#[must_use]
pub fn reset(boiler: &BoilerId, fault: Occurrence) -> Subject {
    joined(boiler, format_args!(".reset.{fault}"))
}

/// A temperature around a boiler, which a source outside of it can publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ambient {
    Room,
    Outdoor,
}

impl Ambient {
    pub const ALL: [Self; 2] = [Self::Room, Self::Outdoor];

    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::Outdoor => "outdoor",
        }
    }
}

/// `boiler.{id}.room.{source}` and `boiler.{id}.outdoor.{source}`: one source's readings, which only this source may
/// write.
#[must_use]
pub fn ambient(boiler: &BoilerId, what: Ambient, source: &SourceName) -> Subject {
    joined(boiler, format_args!(".{}.{source}", what.token()))
}

/// What a subject of [`ambient`] is about; `None` for any other subject.
#[must_use]
pub fn ambient_in(subject: &str) -> Option<Ambient> {
    let mut tokens = subject.split('.').skip(2);
    let token = tokens.next()?;
    tokens.next()?;
    Ambient::ALL.into_iter().find(|what| what.token() == token)
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
    /// The stream's end went back or was written by another agent.
    Delivery,
    /// The clock stepped.
    Clock,
    /// A snapshot differs from its recomputation.
    Snapshot,
    /// An operator accepted or replaced the boiler.
    Boiler,
    /// An operator's command was accepted or refused.
    Command,
    /// An operator approved a reset.
    Approval,
    /// A reset was ordered, done, or refused.
    Reset,
    /// A sensor became implausible, or is plausible again.
    Sensor,
}

impl EventKind {
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
            Self::Command => "command",
            Self::Approval => "approval",
            Self::Reset => "reset",
            Self::Sensor => "sensor",
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

/// `boiler.*.event.{kind}`: one kind of event of every boiler.
#[must_use]
pub fn events(kind: EventKind) -> Subject {
    wild(format_args!("event.{}", kind.token()))
}

/// `boiler.{id}.event.*`: every event of one boiler.
#[must_use]
pub fn all_events(boiler: &BoilerId) -> Subject {
    below(boiler, ".event.*")
}

/// The boiler of a subject; `None` unless it has the form `boiler.{id}[.…]`.
#[must_use]
pub fn boiler_of(subject: &str) -> Option<BoilerId> {
    subject.strip_prefix("boiler.")?.split('.').next()?.parse().ok()
}

/// Subjects of all boilers: stream bindings, and what users may publish and subscribe to.
pub mod wildcard {
    /// Everything that is published.
    pub const ALL: &str = "boiler.>";
    /// Every boiler's packed samples.
    pub const SAMPLES: &str = "boiler.*.samples.v1";
    /// Every boiler's sample events.
    pub const FEED: &str = "boiler.*";
    /// Every boiler's status.
    pub const STATUS: &str = "boiler.*.status";
    /// Every boiler's state.
    pub const STATE: &str = "boiler.*.state";
    /// Every boiler's hourly snapshot.
    pub const SNAPSHOT: &str = "boiler.*.hourly-snapshot";
    /// Every boiler's set-point lease.
    pub const LEASE: &str = "boiler.*.setpoint";
    /// Every boiler's commands.
    pub const COMMAND: &str = "boiler.*.command.*.*";
    /// Every boiler's approvals of resets.
    pub const APPROVAL: &str = "boiler.*.approval.*.*";
    /// Every boiler's resets.
    pub const RESET: &str = "boiler.*.reset.*";
    /// Every boiler's events.
    pub const EVENT: &str = "boiler.*.event.*";
    /// Every boiler's room and outdoor temperatures from outside.
    pub const AMBIENT: [&str; 2] = ["boiler.*.room.*", "boiler.*.outdoor.*"];
}

fn below(boiler: &BoilerId, rest: &str) -> Subject {
    joined(boiler, format_args!("{rest}"))
}

fn wild(rest: core::fmt::Arguments<'_>) -> Subject {
    let mut subject = Subject::new();
    write!(subject, "boiler.*.{rest}").expect("`*` is not longer than a boiler id");
    subject
}

fn joined(boiler: &BoilerId, rest: core::fmt::Arguments<'_>) -> Subject {
    let mut subject = Subject::new();
    write!(subject, "boiler.{boiler}{rest}").expect("the longest subject has 113 bytes");
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
        let fault = "00000003deadbeef-7".parse().unwrap();
        let anna = "anna".parse().unwrap();
        assert_eq!(command(&b1, &"X-9".parse().unwrap(), &anna), "boiler.b1.command.X-9.anna");
        assert_eq!(approval(&b1, fault, &anna), "boiler.b1.approval.00000003deadbeef-7.anna");
        assert_eq!(reset(&b1, fault), "boiler.b1.reset.00000003deadbeef-7");
        assert_eq!(events(EventKind::Decision), "boiler.*.event.decision");
        assert_eq!(approvals_of(&anna), "boiler.*.approval.*.anna");
        assert_eq!(commands_of(&anna), "boiler.*.command.*.anna");
        let hall = "hall".parse().unwrap();
        for what in Ambient::ALL {
            assert_eq!(ambient_in(&ambient(&b1, what, &hall)), Some(what));
        }
        for other in ["boiler.b1.room", "boiler.b1.state", "boiler.b1.command.room.anna", ""] {
            assert_eq!(ambient_in(other), None, "{other}");
        }
        assert_eq!(
            Ambient::ALL.map(|what| ambient(&b1, what, &hall)),
            ["boiler.b1.room.hall", "boiler.b1.outdoor.hall"]
        );
    }

    #[test]
    fn longest_ids_fit_every_subject() {
        let longest: BoilerId = "a234567890123456789012345678901z".parse().unwrap();
        let last = Occurrence { boot: crate::Boot(u64::MAX), counter: u32::MAX };
        let operator = longest.as_str().parse().unwrap();
        let approval = approval(&longest, last, &operator);
        let command = command(&longest, &longest.as_str().parse().unwrap(), &operator);
        assert_eq!((approval.len(), command.len()), (109, 113));
        for subject in [snapshot(&longest), event(&longest, EventKind::Decision), samples(&longest), approval, command]
        {
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
