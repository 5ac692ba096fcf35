//! The reset of a lockout: approvals of different operators, one order based on them, and the device that executes it.
//!
//! ```text
//!   lockout appears ──▶ read ──▶ enough approvals? ──no──▶ wait for the next one
//!                        ▲             │ yes
//!         another was    │             ▼
//!         faster, or no ─┴────────── order ──stored──▶ hand over ──▶ answered: done
//!         answer                                        │     ▲
//!                                                       └ 5 s ┘ until its end: dropped
//! ```
//!
//! | promise | by |
//! |---|---|
//! | different people | an approval's subject contains the operator, and only that user may publish there |
//! | fresh | each is at most [`APPROVAL_AGE_MAX`] old, by the server's stamp |
//! | at most once | `boiler.{id}.reset.{fault}` must hold no order; the next occurrence has another subject |
//! | after its approvals | COMMAND still ends where it ended before they were read: the order's second condition |
//! | not forged | a stored order is valid only with its approvals before it in COMMAND: [`Found::order`] |
//! | not late | the order expires; the device resets only the named fault, and limits the number of resets |
//!
//! After any failure, the streams and the device are read again: after a crash between order and device the order is
//! found and sent once more, and a device that has already executed it no longer has the fault. Overheat, a mismatch of
//! sensors and a boiler without water are never reset remotely.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::Fault;
use thermowell_wire::{BoilerId, Occurrence, OperatorName};

use crate::published::{Approved, EventBody, Outcome, Reset};
use crate::time::{Monotonic, Now};

mod approve;
#[cfg(test)]
mod tests;

pub use approve::{Approving, Refusal, approve};

/// Maximum age of an approval: an older one says nothing about the boiler's present state.
pub const APPROVAL_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// An order may be stored this much later than its approvals were read, to allow for clocks that differ a little.
const STORED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub boiler: BoilerId,
    /// The ordering gateway.
    pub instance: String,
    /// Required number of approvals by different operators.
    pub approvals: u8,
    /// How long an order may be sent to the device.
    pub valid: Duration,
    /// Pause between two attempts, to the device or to the server.
    pub again: Duration,
}

/// One operator's newest approval of the fault, and how old it is by the server's stamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    pub approved: Approved,
    pub age: Duration,
}

/// The messages of COMMAND about one fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The fault for which it was read.
    pub fault: Occurrence,
    /// The stream's last sequence, read before the rest.
    pub last: u64,
    /// Each operator's newest approval.
    pub votes: Vec<Vote>,
    /// The last sequence on the reset's subject, whatever the message; 0 without one.
    pub end: u64,
    /// The reset stored there, by any gateway.
    pub reset: Option<Ordered>,
}

/// A reset stored in COMMAND, and its approvals.
#[derive(Clone, Debug, PartialEq)]
pub struct Ordered {
    /// Its sequence in COMMAND.
    pub sequence: u64,
    pub reset: Reset,
    /// Those of its approvals that are stored in COMMAND at the given sequence, by configured operators, with their age
    /// when the order was stored.
    pub votes: Vec<Vote>,
}

impl Found {
    /// The reset and its sequence, if it is based on `approvals` different operators. Any other is ignored, as if it
    /// were not stored.
    #[must_use]
    pub fn order(&self, approvals: u8) -> Option<(u64, &Reset)> {
        let Ordered { sequence, reset, votes } = self.reset.as_ref()?;
        let preceding = votes.iter().filter(|vote| vote.approved.sequence < *sequence).cloned();
        let people = people(preceding, APPROVAL_AGE_MAX + STORED_WITHIN).count();
        (reset.fault == self.fault && people >= usize::from(approvals.max(1))).then_some((*sequence, reset))
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The device's report: its active fault, and its last answer to a reset.
    Device {
        /// The active fault.
        fault: Option<Fault>,
        /// The last answer, and the fault to which it applies.
        answered: Option<(Occurrence, Outcome)>,
    },
    /// COMMAND has changed, or the server is connected again.
    Changed,
    /// The answer to [`Effect::Read`].
    Found(Box<Found>),
    /// The server did not answer a read or an order.
    Unanswered,
    /// The answer to [`Effect::Order`]: stored with this sequence.
    Stored(u64),
    /// The order was refused: something else was stored in the meantime.
    Overtaken,
    /// The time of [`Resets::wake_at`] is reached.
    Wake,
}

/// Requests to the shell.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Read the messages of COMMAND about this fault. At most one read or order is under way.
    Read(Occurrence),
    /// Publish the reset, if its subject still ends at `end` and the stream at `last`.
    Order {
        reset: Box<Reset>,
        /// The expected last sequence on its subject; 0 for none.
        end: u64,
        /// The stream's last sequence.
        last: u64,
    },
    /// Send it to the device.
    Hand(Box<Reset>),
    /// Publish an event.
    Event(Box<EventBody>),
}

/// The resets of one boiler.
#[derive(Debug)]
pub struct Resets {
    settings: Settings,
    /// The active lockout; `None` if it may not be reset remotely.
    lockout: Option<Fault>,
    /// A read or an order is under way.
    busy: bool,
    /// When COMMAND has to be read.
    read_at: Option<Monotonic>,
    /// The order sent to the server and not acknowledged yet.
    sent: Option<Reset>,
    order: Option<Order>,
    /// The faults of the last answer and of the last dropped order: an order for one of these is finished, even if the
    /// line went down in between.
    answered: Option<Occurrence>,
    dropped: Option<Occurrence>,
}

/// A reset stored in COMMAND.
#[derive(Debug)]
struct Order {
    reset: Reset,
    /// When it is sent next; `None` after the answer or its expiry.
    hand_at: Option<Monotonic>,
}

impl Resets {
    /// Without a fault or an order.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            lockout: None,
            busy: false,
            read_at: None,
            sent: None,
            order: None,
            answered: None,
            dropped: None,
        }
    }

    /// Processes one input. Nothing else changes the state.
    pub fn step(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Device { fault, answered } => self.look(now, fault, answered),
            Input::Changed => self.read_at = Some(now.monotonic),
            Input::Found(found) => {
                self.busy = false;
                self.found(now, *found, effects);
            }
            Input::Unanswered => {
                self.busy = false;
                self.read_at = Some(now.monotonic.after(self.settings.again));
            }
            // Each time another writer has made progress, so this terminates.
            Input::Overtaken => {
                self.busy = false;
                self.read_at = Some(now.monotonic);
            }
            Input::Stored(sequence) => {
                self.busy = false;
                if let Some(reset) = self.sent.take() {
                    self.take(now, sequence, reset, effects);
                }
            }
            Input::Wake => {}
        }
        self.send(now, effects);
        self.read(now, effects);
    }

    /// The latest time at which `step` needs [`Input::Wake`]. Early is harmless, late is not.
    #[must_use]
    pub fn wake_at(&self) -> Option<Monotonic> {
        let read_at = self.read_at.filter(|_| !self.busy && self.lockout.is_some());
        [read_at, self.order.as_ref().and_then(|order| order.hand_at)].into_iter().flatten().min()
    }

    fn look(&mut self, now: Now, fault: Option<Fault>, answered: Option<(Occurrence, Outcome)>) {
        let lockout = fault.filter(|fault| fault.lockout && !fault.kind.is_local_only());
        if lockout != self.lockout {
            self.lockout = lockout;
            self.order = None;
            self.read_at = Some(now.monotonic);
        }
        self.answered = answered.map(|(fault, _)| fault).or(self.answered);
        if let (Some(order), Some((fault, _))) = (&mut self.order, answered)
            && order.reset.fault == fault
        {
            order.hand_at = None;
        }
    }

    fn read(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Some(lockout) = self.lockout else { return };
        if self.busy || self.read_at.is_none_or(|at| at > now.monotonic) {
            return;
        }
        self.read_at = None;
        self.busy = true;
        effects.push(Effect::Read(lockout.into()));
    }

    fn found(&mut self, now: Now, found: Found, effects: &mut Vec<Effect>) {
        let Some(lockout) = self.lockout.filter(|lockout| Occurrence::from(*lockout) == found.fault) else { return };
        if let Some((sequence, reset)) = found.order(self.settings.approvals) {
            return self.take(now, sequence, reset.clone(), effects);
        }
        // An approval above `last` was stored after it was read, so the order's condition would not cover it.
        if found.votes.iter().any(|vote| vote.approved.sequence > found.last) {
            self.read_at = Some(now.monotonic);
            return;
        }
        let mut votes: Vec<Approved> = people(found.votes.into_iter(), APPROVAL_AGE_MAX).collect();
        if votes.len() < usize::from(self.settings.approvals.max(1)) {
            return;
        }
        votes.sort_by_key(|vote| vote.sequence);
        let reset = Reset {
            boiler: self.settings.boiler.clone(),
            fault: found.fault,
            kind: lockout.kind,
            approvals: votes,
            instance: self.settings.instance.clone(),
            created_at: now.utc.unix_seconds(),
            valid_until: now.utc.unix_seconds() + self.settings.valid.as_secs_f64(),
            version: 1,
        };
        self.busy = true;
        self.sent = Some(reset.clone());
        effects.push(Effect::Order { reset: Box::new(reset), end: found.end, last: found.last });
    }

    /// Takes a stored order: it is sent until the device answers or it expires. The event is published here, so that a
    /// crash after storing the order loses no event; duplicates have the same sequence.
    ///
    /// An expired order is published as dropped, because its fault cannot be ordered again. A previous agent may have
    /// published that already; duplicates have the same occurrence.
    fn take(&mut self, now: Now, sequence: u64, reset: Reset, effects: &mut Vec<Effect>) {
        let is_current = self.lockout.is_some_and(|lockout| Occurrence::from(lockout) == reset.fault);
        if !is_current || self.order.is_some() {
            return;
        }
        let is_valid = now.utc.unix_seconds() < reset.valid_until;
        if is_valid {
            let Reset { fault, kind, approvals, .. } = reset.clone();
            effects.push(Effect::Event(Box::new(EventBody::ResetOrdered { fault, kind, approvals, sequence })));
        } else if ![self.answered, self.dropped].contains(&Some(reset.fault)) {
            self.drop_order(
                reset.fault,
                "the order was found after it had expired, and the fault is still active",
                effects,
            );
        }
        self.order = Some(Order { reset, hand_at: is_valid.then_some(now.monotonic) });
    }

    fn send(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let Some(order) = &mut self.order else { return };
        if order.hand_at.is_none_or(|at| at > now.monotonic) {
            return;
        }
        if now.utc.unix_seconds() < order.reset.valid_until {
            order.hand_at = Some(now.monotonic.after(self.settings.again));
            effects.push(Effect::Hand(Box::new(order.reset.clone())));
            return;
        }
        order.hand_at = None;
        let fault = order.reset.fault;
        self.drop_order(fault, "the device did not answer before the order expired", effects);
    }

    fn drop_order(&mut self, fault: Occurrence, cause: &str, effects: &mut Vec<Effect>) {
        self.dropped = Some(fault);
        let reason = format!("{cause}; it must be reset at the boiler");
        effects.push(Effect::Event(Box::new(EventBody::ResetDropped { fault, reason })));
    }
}

/// The approvals that count: not older than `oldest`, one per operator.
fn people(votes: impl Iterator<Item = Vote>, oldest: Duration) -> impl Iterator<Item = Approved> {
    let mut people: Vec<OperatorName> = Vec::new();
    votes.filter(move |vote| vote.age <= oldest).map(|vote| vote.approved).filter(move |vote| {
        let is_new = !people.contains(&vote.by);
        if is_new {
            people.push(vote.by.clone());
        }
        is_new
    })
}
