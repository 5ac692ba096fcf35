//! What the device reports as wrong, told in EVENT: that a fault began, that it became a lockout, that it ended.
//!
//! ```text
//! Status ─▶ waiting ─┬─▶ what differs from what was told last ─▶ EVENT
//!                    │                                            │ once, when the server is there first
//!                    └── until that is known ◀── LastFault ◀──────┘
//! ```
//! EVENT itself is the memory, as the stream's end is for samples: an agent that starts while a fault stands does not
//! tell it again, and tells the end of one that passed while it was away.
//!
//! A boiler at a threshold may come and go ten times a second. EVENT is a diary of 400 days, and is told of a few
//! changes at once, then of one every five seconds: what was left out is counted, and what stands in the end is told.
//!
//! A device reports one fault at a time, so another in its place is the end of the one and the begin of the other. A
//! fault that passes by itself may stand behind a lockout all the while: it is told anew when it shows again.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::{BoilerState, Fault};
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Occurrence, Slot};

use super::{Agent, Effect};
use crate::published::{EventBody, FaultReport};
use crate::time::{Monotonic, Now};

/// Reports that wait until it is known what was told. More than a boiler makes within the moments of a start; where a
/// server is away for long, the oldest are forgotten, and what stands is told all the same.
const WAITING_MAX: usize = 16;
/// Changes that are told as they come: more than any one event in a plant makes.
const CHANGES_MAX: u32 = 16;
/// Behind them, one in so long: at worst 17,000 a day of 500 bytes, 3 % of what EVENT may take where nobody says more.
const CHANGE_EVERY: Duration = Duration::from_secs(5);

/// What EVENT says of this boiler's faults.
#[derive(Clone, Copy, Debug, Default)]
enum Told {
    /// Not read.
    #[default]
    Unread,
    /// On its way.
    Asked,
    /// This one stands, or none.
    Known(Option<Fault>),
}

/// What a device said of its faults at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) fault: Option<Fault>,
    pub(super) state: BoilerState,
    pub(super) slot: Slot,
}

/// The faults of one boiler, on their way to EVENT.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    told: Told,
    /// EVENT is not read before.
    retry_at: Monotonic,
    /// Each says something else than the one before.
    waiting: VecDeque<Report>,
    /// Changes that were told of late; one less with every [`CHANGE_EVERY`], which began then.
    recent: u32,
    since: Monotonic,
    /// Reports that came and went untold.
    untold: u64,
}

impl Faults {
    fn observe(&mut self, report: Report) {
        let last = match (self.waiting.back(), self.told) {
            (Some(waiting), _) => Some(waiting.fault),
            (None, Told::Known(told)) => Some(told),
            (None, Told::Unread | Told::Asked) => None,
        };
        if last == Some(report.fault) {
            return;
        }
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
            self.untold += 1;
        }
        self.waiting.push_back(report);
    }

    /// Takes what waits, as events; nothing while it is not known what was told before.
    fn tell(&mut self) -> Vec<EventBody> {
        let mut events = Vec::new();
        let Told::Known(told) = &mut self.told else { return events };
        while let Some(report) = self.waiting.front() {
            let news = news(*told, report);
            if !news.is_empty() {
                if self.recent == CHANGES_MAX {
                    let over = self.waiting.drain(..self.waiting.len() - 1).count();
                    self.untold += u64::try_from(over).unwrap_or(u64::MAX);
                    break;
                }
                self.recent += 1;
                *told = report.fault;
            }
            events.extend(news);
            self.waiting.pop_front();
        }
        events
    }

    fn ease(&mut self, now: Monotonic) {
        while self.recent > 0 && self.since.after(CHANGE_EVERY) <= now {
            self.recent -= 1;
            self.since = self.since.after(CHANGE_EVERY);
        }
        if self.recent == 0 {
            self.since = now;
        }
    }

    /// When what waits may be told although much was.
    pub(super) fn tell_at(&self) -> Option<Monotonic> {
        let holds = matches!(self.told, Told::Known(_)) && self.recent == CHANGES_MAX && !self.waiting.is_empty();
        holds.then(|| self.since.after(CHANGE_EVERY))
    }

    /// Nobody will answer what was asked.
    pub(super) fn disconnect(&mut self) {
        if matches!(self.told, Told::Asked) {
            self.told = Told::Unread;
        }
    }

    /// EVENT was read: its last word on a fault.
    pub(super) fn read(&mut self, last: Option<&EventBody>) {
        if matches!(self.told, Told::Asked) {
            self.told = Told::Known(match last {
                Some(EventBody::FaultBegan(report) | EventBody::FaultLockedOut(report)) => Some(report.as_fault()),
                // Whatever else may be there, it says of no fault that it stands.
                Some(_) | None => None,
            });
        }
    }

    /// EVENT could not be read: again, but not before.
    pub(super) fn unread(&mut self, retry_at: Monotonic) {
        self.disconnect();
        self.retry_at = retry_at;
    }

    /// When EVENT is to be read, with the server there.
    pub(super) fn read_at(&self) -> Option<Monotonic> {
        matches!(self.told, Told::Unread).then_some(self.retry_at)
    }
}

/// What is new in `report` where `told` is what was told last.
fn news(told: Option<Fault>, report: &Report) -> Vec<EventBody> {
    let body = |fault: Fault| FaultReport {
        fault: Occurrence::from(fault),
        kind: fault.kind,
        lockout: fault.lockout,
        state: report.state,
        slot: report.slot,
    };
    match (told, report.fault) {
        (Some(old), Some(new)) if Occurrence::from(old) == Occurrence::from(new) => {
            // A lockout that was told stays told: a device that wavers is not repeated.
            let locked_out = new.lockout && !old.lockout;
            locked_out.then(|| EventBody::FaultLockedOut(body(new))).into_iter().collect()
        }
        (old, new) => {
            let ended = old.map(|old| EventBody::FaultEnded(body(old)));
            ended.into_iter().chain(new.map(|new| EventBody::FaultBegan(body(new)))).collect()
        }
    }
}

impl Agent {
    /// Takes what the device says of its faults, and tells what is new of it.
    pub(super) fn observe_fault(&mut self, now: Now, report: Report, effects: &mut Vec<Effect>) {
        self.faults.observe(report);
        self.tell_faults(now, effects);
    }

    /// Asks what was told of faults, where that is not known.
    pub(super) fn read_fault(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let due = self.faults.read_at().is_some_and(|at| at <= now.monotonic);
        if due && self.publisher.is_connected() {
            self.faults.told = Told::Asked;
            effects.push(Effect::ReadFault);
        }
    }

    /// Tells what waits: behind the start of the boot that says it.
    pub(super) fn tell_faults(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.faults.ease(now.monotonic);
        if self.link.session().is_none_or(|session| self.announced != Some(session.boot())) {
            return;
        }
        let events = self.faults.tell().into_iter();
        self.counters.faults_untold = self.faults.untold;
        effects.extend(events.map(|body| Effect::Event(EventKind::Fault, Box::new(body))));
    }
}
