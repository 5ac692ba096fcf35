//! The reset of a lockout: approvals of different people, one order behind them, and the device that carries it out.
//!
//! ```text
//!   lockout appears ──▶ read ──▶ enough approvals? ──no──▶ wait for the next one
//!                        ▲             │ yes
//!         somebody was   │             ▼
//!         faster, or no ─┴────────── order ──stored──▶ hand over ──▶ answered: done
//!         answer                                        │     ▲
//!                                                       └ 5 s ┘ until its end: dropped
//! ```
//!
//! | promise | by |
//! |---|---|
//! | different people | an approval's subject names who gave it, and only that user may write there |
//! | fresh | each is at most [`APPROVAL_AGE_MAX`] old, by the server's stamp |
//! | once for ever | `boiler.{id}.reset.{fault}` must hold no order; the next occurrence has another subject |
//! | behind its approvals | nothing was stored in COMMAND since they were read: the order's second condition |
//! | not forged | an order that is found is one only with its approvals below it in COMMAND: [`Found::order`] |
//! | not late | the order has an end; the device resets only the fault that is named, and counts |
//!
//! Whatever happens in between, the streams and the device are looked at again: after a crash between order and device
//! the order is found and handed over once more, and a device that had carried it out has no such fault any more.
//! Overheat, a mismatch of sensors and a boiler without water are never reset from afar.

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

/// An older approval was given for a boiler that somebody has looked at too long ago.
pub const APPROVAL_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// An order may be stored this much later than its approvals were read, by calendars that differ by a little.
const STORED_WITHIN: Duration = Duration::from_secs(60);

/// Whose resets, and by which rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The boiler.
    pub boiler: BoilerId,
    /// The gateway that orders.
    pub instance: String,
    /// How many different people must approve.
    pub approvals: u8,
    /// For how long an order may be handed over.
    pub valid: Duration,
    /// Between two tries, of handing over and of asking the server.
    pub again: Duration,
}

/// One operator's newest approval of the fault, and how old it is by the server's stamp.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// Whose, where, when.
    pub approved: Approved,
    /// Its age.
    pub age: Duration,
}

/// What stands in COMMAND about one fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The fault that it was read for.
    pub fault: Occurrence,
    /// The stream's last sequence, read before the rest.
    pub last: u64,
    /// Each operator's newest approval.
    pub votes: Vec<Vote>,
    /// The sequence of what stands last on the reset's subject, whatever it is; 0 is nothing.
    pub end: u64,
    /// The reset that stands there, whoever ordered it.
    pub reset: Option<Ordered>,
}

/// A reset that stands in COMMAND, and what is behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ordered {
    /// Its sequence.
    pub sequence: u64,
    /// It.
    pub reset: Reset,
    /// Of the approvals that it names, those that stand in COMMAND where it says, given by people who are operators,
    /// and how old each was when the order was stored.
    pub behind: Vec<Vote>,
}

impl Found {
    /// The reset and its sequence, where `approvals` different people are behind it. Any other is nobody's, as if it
    /// did not stand there.
    #[must_use]
    pub fn order(&self, approvals: u8) -> Option<(u64, &Reset)> {
        let Ordered { sequence, reset, behind } = self.reset.as_ref()?;
        let below = behind.iter().filter(|vote| vote.approved.sequence < *sequence).cloned();
        let people = people(below, APPROVAL_AGE_MAX + STORED_WITHIN).count();
        (reset.fault == self.fault && people >= usize::from(approvals.max(1))).then_some((*sequence, reset))
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// What the device reports now: the fault that stands, and what it answered last to a reset of which fault.
    Device {
        /// The newest fault.
        fault: Option<Fault>,
        /// The last answer.
        answered: Option<(Occurrence, Outcome)>,
    },
    /// Something was approved or ordered, or the server is back.
    Changed,
    /// The answer to [`Effect::Read`].
    Found(Box<Found>),
    /// The server did not say, to a read or to an order.
    Unanswered,
    /// The answer to [`Effect::Order`]: stored under this sequence.
    Stored(u64),
    /// It was not: something else was stored since.
    Overtaken,
    /// It is time.
    Wake,
}

/// What the shell carries out.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Read what stands in COMMAND about this fault. At most one read or order is under way.
    Read(Occurrence),
    /// Publish the reset, if its subject still ends at `end` and the stream at `last`.
    Order {
        /// It.
        reset: Box<Reset>,
        /// The sequence of what stands last on its subject and is no order; 0 is nothing.
        end: u64,
        /// The stream's last sequence.
        last: u64,
    },
    /// Ask the device.
    Hand(Box<Reset>),
    /// Publish an event.
    Event(Box<EventBody>),
}

/// One boiler's resets.
#[derive(Debug)]
pub struct Desk {
    settings: Settings,
    /// The lockout that stands; none where it is never reset from afar.
    lockout: Option<Fault>,
    /// A read or an order is under way.
    busy: bool,
    /// COMMAND has to be read, not before this.
    read_at: Option<Monotonic>,
    /// What was sent to the server and is not acknowledged.
    sent: Option<Reset>,
    order: Option<Order>,
    /// What the device answered last, and what was dropped last: an order for one of these is history, also where the
    /// line went down in between.
    answered: Option<Occurrence>,
    dropped: Option<Occurrence>,
}

/// A reset that stands in COMMAND.
#[derive(Debug)]
struct Order {
    reset: Reset,
    /// When it is handed over next; none behind the answer, or behind its end.
    hand_at: Option<Monotonic>,
}

impl Desk {
    /// A desk that knows nothing.
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

    /// Moves the desk forward: the only way its state changes.
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
            // Each time, somebody else got something done: this ends.
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
        self.hand_over(now, effects);
        self.read(now, effects);
    }

    /// The latest time at which `step` wants [`Input::Wake`]. Early is harmless, late is not.
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

    /// An order stands: from now on it is handed over until the device answers, or its end. It is announced when it is
    /// taken up, so that a crash behind the order costs no event; the sequence tells whoever hears of it twice.
    ///
    /// One that is found beyond its end has used up its fault, so that is said too. Whether an agent before this one
    /// said it already, nobody here knows: the occurrence tells whoever hears of it twice.
    fn take(&mut self, now: Now, sequence: u64, reset: Reset, effects: &mut Vec<Effect>) {
        let is_meant = self.lockout.is_some_and(|lockout| Occurrence::from(lockout) == reset.fault);
        if !is_meant || self.order.is_some() {
            return;
        }
        let is_valid = now.utc.unix_seconds() < reset.valid_until;
        if is_valid {
            let Reset { fault, kind, approvals, .. } = reset.clone();
            effects.push(Effect::Event(Box::new(EventBody::ResetOrdered { fault, kind, approvals, sequence })));
        } else if ![self.answered, self.dropped].contains(&Some(reset.fault)) {
            self.drop_order(reset.fault, "the order was found beyond its end, and the fault stands", effects);
        }
        self.order = Some(Order { reset, hand_at: is_valid.then_some(now.monotonic) });
    }

    fn hand_over(&mut self, now: Now, effects: &mut Vec<Effect>) {
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
        self.drop_order(fault, "the device did not answer before the order ended", effects);
    }

    fn drop_order(&mut self, fault: Occurrence, why: &str, effects: &mut Vec<Effect>) {
        self.dropped = Some(fault);
        let reason = format!("{why}; it must be reset at the boiler");
        effects.push(Effect::Event(Box::new(EventBody::ResetDropped { fault, reason })));
    }
}

/// The approvals that count: not older than `oldest`, each person once.
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
