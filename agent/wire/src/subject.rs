//! NATS subjects and stream names: the only place where they are built.

use core::fmt::Write as _;

use crate::{BoilerId, CommandId, Occurrence, OperatorName};

/// A subject. The longest is an approval: 18 fixed bytes, a boiler of 32, a fault of 27, an operator of 32.
pub type Subject = heapless::String<128>;

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

/// `boiler.{id}.command.{command}`: one subject for each command, so that its id can be stored once only.
#[must_use]
pub fn command(boiler: &BoilerId, command: &CommandId) -> Subject {
    joined(boiler, format_args!(".command.{command}"))
}

/// `boiler.{id}.command.*`: every command of one boiler.
#[must_use]
pub fn commands(boiler: &BoilerId) -> Subject {
    below(boiler, ".command.*")
}

/// `boiler.{id}.approval.{fault}.{operator}`: one operator's approval of a reset, which only this operator may write.
#[must_use]
pub fn approval(boiler: &BoilerId, fault: Occurrence, operator: &OperatorName) -> Subject {
    joined(boiler, format_args!(".approval.{fault}.{operator}"))
}

/// `boiler.{id}.approval.{fault}.*`: everybody's approvals of one reset.
#[must_use]
pub fn approvals(boiler: &BoilerId, fault: Occurrence) -> Subject {
    joined(boiler, format_args!(".approval.{fault}.*"))
}

/// `boiler.*.approval.*.{operator}`: every approval that one operator may write.
#[must_use]
pub fn approvals_of(operator: &OperatorName) -> Subject {
    wild(format_args!("approval.*.{operator}"))
}

/// `boiler.{id}.approval.>`: everybody's approvals of every reset of one boiler.
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
    /// An operator's command was accepted or refused.
    Command,
    /// An operator approved of a reset.
    Approval,
    /// A reset was ordered, carried out, or not.
    Reset,
    /// A sensor reads what cannot be, or is sound again.
    Sensor,
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

/// The boiler that a subject of ours is about; none where it is not of the form `boiler.{id}[.…]`.
#[must_use]
pub fn boiler_of(subject: &str) -> Option<BoilerId> {
    subject.strip_prefix("boiler.")?.split('.').next()?.parse().ok()
}

/// Which fault an approval's subject is about, and whose it is; none where it is not of that form.
///
/// The name in the subject is the one that the server has checked: what the message says about itself proves nothing.
#[must_use]
pub fn approver_of(subject: &str) -> Option<(BoilerId, Occurrence, OperatorName)> {
    let mut tokens = subject.strip_prefix("boiler.")?.split('.');
    let boiler = tokens.next()?.parse().ok()?;
    tokens.next().filter(|token| *token == "approval")?;
    let approver = (boiler, tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?);
    tokens.next().is_none().then_some(approver)
}

/// Every boiler at once: what streams with foreseeable writers are bound to, and what users may write and hear.
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
    pub const COMMAND: &str = "boiler.*.command.*";
    /// Every boiler's approvals of resets.
    pub const APPROVAL: &str = "boiler.*.approval.*.*";
    /// Every boiler's resets.
    pub const RESET: &str = "boiler.*.reset.*";
    /// Every boiler's events.
    pub const EVENT: &str = "boiler.*.event.*";
}

fn below(boiler: &BoilerId, rest: &str) -> Subject {
    joined(boiler, format_args!("{rest}"))
}

fn wild(rest: core::fmt::Arguments<'_>) -> Subject {
    let mut subject = Subject::new();
    write!(subject, "boiler.*.{rest}").expect("a star is no longer than a boiler's id");
    subject
}

fn joined(boiler: &BoilerId, rest: core::fmt::Arguments<'_>) -> Subject {
    let mut subject = Subject::new();
    write!(subject, "boiler.{boiler}{rest}").expect("the longest subject has 109 bytes");
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
        assert_eq!(command(&b1, &"X-9".parse().unwrap()), "boiler.b1.command.X-9");
        assert_eq!(approval(&b1, fault, &anna), "boiler.b1.approval.00000003deadbeef-7.anna");
        assert_eq!(reset(&b1, fault), "boiler.b1.reset.00000003deadbeef-7");
        assert_eq!(events(EventKind::Decision), "boiler.*.event.decision");
        assert_eq!(approvals_of(&anna), "boiler.*.approval.*.anna");
        assert_eq!(approver_of(&approval(&b1, fault, &anna)), Some((b1, fault, anna)));
    }

    #[test]
    fn only_an_approval_has_an_approver() {
        for subject in [
            "boiler.b1.reset.00000003deadbeef-7",
            "boiler.b1.approval.00000003deadbeef-7",
            "boiler.b1.approval.00000003deadbeef-7.anna.x",
            "boiler.b1.approval.00000003deadbeef-7.Anna",
            "boiler.b1.approval.3-7.anna",
            "boiler.b1.refusal.00000003deadbeef-7.anna",
        ] {
            assert_eq!(approver_of(subject), None, "{subject}");
        }
    }

    #[test]
    fn the_longest_id_fits_every_subject() {
        let longest: BoilerId = "a234567890123456789012345678901z".parse().unwrap();
        let last = Occurrence { boot: crate::Boot(u64::MAX), counter: u32::MAX };
        let approval = approval(&longest, last, &longest.as_str().parse().unwrap());
        assert_eq!(approval.len(), 109);
        for subject in [snapshot(&longest), event(&longest, EventKind::Decision), samples(&longest), approval] {
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
