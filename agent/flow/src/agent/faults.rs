//! Faults of the device, published in EVENT: a fault began, became a lockout, ended.
//!
//! ```text
//! Status ─▶ waiting ─┬─▶ differs from the last published fault ─▶ EVENT
//!                    │                                            │ once, on the first connection
//!                    └── until that is known ◀── LastFault ◀──────┘
//! ```
//! EVENT itself is the memory, as the stream's end is for samples: an agent that starts during a fault does not publish
//! it again, and publishes the end of one that ended while the agent was down.
//!
//! A fault at a threshold may come and go ten times a second. EVENT keeps 400 days, so the rate is limited: a few
//! changes are published at once, then one every five seconds. Omitted changes are counted, and the final state is
//! always published.
//!
//! A device reports one fault at a time, so a change to another fault is the end of the first and the begin of the
//! second. A fault without lockout may continue while a lockout hides it: it is published again when it reappears.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::{BoilerState, Fault};
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Occurrence, Slot};

use super::{Agent, Effect};
use crate::published::{EventBody, FaultReport};
use crate::time::Monotonic;

/// Reports that wait until the last published fault is known. More than a boiler makes during a start; if a server is
/// away for long, the oldest are dropped, and the current fault is published all the same.
const WAITING_MAX: usize = 16;
/// Changes that are published at once: more than a single incident in a plant causes.
const CHANGES_MAX: u32 = 16;
/// Then one change per interval: at worst 17,000 a day of 500 bytes, 3 % of the default limit of EVENT.
const CHANGE_EVERY: Duration = Duration::from_secs(5);

/// The last published fault of this boiler, as read from EVENT.
#[derive(Clone, Copy, Debug, Default)]
enum Published {
    /// Not read.
    #[default]
    Unread,
    /// The request is under way.
    Asked,
    /// The active fault, if any.
    Known(Option<Fault>),
}

/// One report of a device about its fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) fault: Option<Fault>,
    pub(super) state: BoilerState,
    pub(super) slot: Slot,
}

/// The faults of one boiler to be published in EVENT.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    published: Published,
    /// Earliest time at which EVENT is read again.
    retry_at: Monotonic,
    /// Reports to be published; each differs from the previous one.
    waiting: VecDeque<Report>,
    /// Recently published changes, decremented every [`CHANGE_EVERY`]; `since` is the start of that interval.
    recent: u32,
    since: Monotonic,
    /// Reports that were omitted.
    omitted: u64,
}

impl Faults {
    fn observe(&mut self, report: Report) {
        let last = match (self.waiting.back(), self.published) {
            (Some(waiting), _) => Some(waiting.fault),
            (None, Published::Known(published)) => Some(published),
            (None, Published::Unread | Published::Asked) => None,
        };
        if last == Some(report.fault) {
            return;
        }
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
            self.omitted += 1;
        }
        self.waiting.push_back(report);
    }

    /// Takes the waiting reports as events; none until the last published fault is known.
    fn events(&mut self) -> Vec<EventBody> {
        let mut events = Vec::new();
        let Published::Known(published) = &mut self.published else { return events };
        while let Some(report) = self.waiting.front() {
            let changes = changes(*published, report);
            if !changes.is_empty() {
                if self.recent == CHANGES_MAX {
                    let over = self.waiting.drain(..self.waiting.len() - 1).count();
                    self.omitted += u64::try_from(over).unwrap_or(u64::MAX);
                    break;
                }
                self.recent += 1;
                *published = report.fault;
            }
            events.extend(changes);
            self.waiting.pop_front();
        }
        events
    }

    fn refill(&mut self, now: Monotonic) {
        while self.recent > 0 && self.since.after(CHANGE_EVERY) <= now {
            self.recent -= 1;
            self.since = self.since.after(CHANGE_EVERY);
        }
        if self.recent == 0 {
            self.since = now;
        }
    }

    /// When the rate limit allows the next event.
    pub(super) fn report_at(&self) -> Option<Monotonic> {
        let holds =
            matches!(self.published, Published::Known(_)) && self.recent == CHANGES_MAX && !self.waiting.is_empty();
        holds.then(|| self.since.after(CHANGE_EVERY))
    }

    /// A request under way will not be answered.
    pub(super) fn disconnect(&mut self) {
        if matches!(self.published, Published::Asked) {
            self.published = Published::Unread;
        }
    }

    /// EVENT was read: its last event about a fault.
    pub(super) fn read(&mut self, last: Option<&EventBody>) {
        if matches!(self.published, Published::Asked) {
            self.published = Published::Known(match last {
                Some(EventBody::FaultBegan(report) | EventBody::FaultLockedOut(report)) => Some(report.as_fault()),
                // Any other event means that no fault is active.
                Some(_) | None => None,
            });
        }
    }

    /// EVENT could not be read: retry at `retry_at`.
    pub(super) fn unread(&mut self, retry_at: Monotonic) {
        self.disconnect();
        self.retry_at = retry_at;
    }

    /// When EVENT is to be read, if connected.
    pub(super) fn read_at(&self) -> Option<Monotonic> {
        matches!(self.published, Published::Unread).then_some(self.retry_at)
    }
}

/// The events for `report` after `published`, the last published fault.
fn changes(published: Option<Fault>, report: &Report) -> Vec<EventBody> {
    let body = |fault: Fault| FaultReport {
        fault: Occurrence::from(fault),
        kind: fault.kind,
        lockout: fault.lockout,
        state: report.state,
        slot: report.slot,
    };
    match (published, report.fault) {
        (Some(old), Some(new)) if Occurrence::from(old) == Occurrence::from(new) => {
            // A published lockout is not published again, even if the device wavers.
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
    /// Takes the device's report of its fault, and publishes changes.
    pub(super) fn observe_fault(&mut self, report: Report) {
        self.faults.observe(report);
        self.report_faults();
    }

    /// Requests the last published fault, if unknown.
    pub(super) fn read_fault(&mut self) {
        let due = self.faults.read_at().is_some_and(|at| at <= self.out.now.monotonic);
        if due && self.delivery.is_connected() {
            self.faults.published = Published::Asked;
            self.out.effects.push(Effect::ReadFault);
        }
    }

    /// Publishes the waiting reports, after the event of the boot that reports them.
    pub(super) fn report_faults(&mut self) {
        self.faults.refill(self.out.now.monotonic);
        if self.reader.link.session().is_none_or(|session| self.announced != Some(session.boot())) {
            return;
        }
        let events = self.faults.events();
        self.out.counters.faults_unreported = self.faults.omitted;
        for body in events {
            self.out.event(EventKind::Fault, body);
        }
    }
}
