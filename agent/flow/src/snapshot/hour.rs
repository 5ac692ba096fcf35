//! The account of one hour.

use serde::Serialize;
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::GapReason;
use thermowell_wire::{BoilerId, Slot};

use super::Head;
use crate::aggregate::{Pane, Sum, coverage};
use crate::published::{HeatingPart, Missing, SamplesRange, Snapshot, celsius, centi_mean};
use crate::time::hour_text;

/// Why slots are missing in the average.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The device's ring no longer held them.
    Ring,
    /// Between two starts of the firmware.
    Reboot,
    /// The firmware missed the time of sampling.
    Missed,
    /// Without a trusted time.
    Clock,
    /// Removed from the stream before they were read.
    Discarded,
    /// Unknown cause: a bug.
    Unexplained,
}

impl From<GapReason> for Reason {
    fn from(reason: GapReason) -> Self {
        match reason {
            GapReason::Ring => Self::Ring,
            GapReason::Missed => Self::Missed,
            GapReason::Discarded => Self::Discarded,
            GapReason::Clock => Self::Clock,
        }
    }
}

/// Adds `slots` to the slots that are missing for `reason`.
pub fn add_missing(missing: &mut Missing, reason: Reason, slots: u64) {
    let sum = match reason {
        Reason::Ring => &mut missing.ring,
        Reason::Reboot => &mut missing.reboot,
        Reason::Missed => &mut missing.missed,
        Reason::Clock => &mut missing.clock,
        Reason::Discarded => &mut missing.discarded,
        Reason::Unexplained => &mut missing.unexplained,
    };
    *sum = sum.saturating_add(slots);
}

/// The account of one hour while it is open.
#[derive(Clone, Debug)]
pub struct Hour {
    /// In hours since 1970.
    pub hour: i64,
    /// The valid readings.
    pub valid: Sum,
    pub(super) partial: bool,
    pub(super) heating: Sum,
    /// The slots that are not valid readings.
    pub missing: Missing,
    pub(super) untrusted: bool,
    minimum: i16,
    maximum: i16,
    period_ns: u32,
    first: Option<Slot>,
    last: Option<Slot>,
    replay: u64,
    messages: Option<(u64, u64)>,
    simulated: bool,
}

/// The context of an hour that its snapshot needs.
pub(super) struct HourContext<'a> {
    pub(super) boiler: &'a BoilerId,
    pub(super) skipped_hours: u64,
    /// Whether the last message before it was simulated.
    pub(super) simulated: bool,
    /// The last slot before it.
    pub(super) last: Option<Slot>,
    /// The last message before it.
    pub(super) message: u64,
}

impl Hour {
    pub(super) fn new(hour: i64, partial: bool, replay: u64) -> Self {
        Self {
            hour,
            partial,
            replay,
            valid: Sum::default(),
            heating: Sum::default(),
            missing: Missing::default(),
            untrusted: false,
            minimum: i16::MAX,
            maximum: i16::MIN,
            period_ns: 0,
            first: None,
            last: None,
            messages: None,
            simulated: false,
        }
    }

    pub(super) fn last(&self) -> Option<Slot> {
        self.last
    }

    pub(super) fn count(&mut self, pane: &Pane, period_ns: u32) {
        self.valid.add(pane);
        self.missing.invalid += u64::from(pane.invalid);
        self.minimum = self.minimum.min(pane.minimum);
        self.maximum = self.maximum.max(pane.maximum);
        self.period_ns = period_ns;
    }

    /// Slots `first..=last` of the message of `head` are in this hour.
    pub(super) fn extend(&mut self, first: Slot, last: Slot, head: &Head) {
        self.first.get_or_insert(first);
        self.last = Some(last);
        self.messages.get_or_insert((head.sequence, head.sequence)).1 = head.sequence;
        self.simulated |= head.simulated;
    }

    pub(super) fn snapshot(&self, context: &HourContext<'_>) -> Snapshot {
        let any = self.valid.points > 0;
        let mean = |sum: Sum| centi_mean(sum.centi, sum.points).map(celsius);
        let (first, last) = self.messages.unwrap_or((context.message, context.message));
        Snapshot {
            temperature: mean(self.valid),
            created_at: (self.hour + 1) * 3_600,
            temperature_points: self.valid.points,
            boiler: context.boiler.clone(),
            hour: hour_text(self.hour),
            minimum: any.then(|| celsius(i64::from(self.minimum))),
            maximum: any.then(|| celsius(i64::from(self.maximum))),
            coverage: coverage(self.valid.points, self.period_ns),
            partial: self.partial,
            heating: HeatingPart { temperature: mean(self.heating), points: self.heating.points },
            slots: self.valid.points.saturating_add(self.missing.total()),
            missing: self.missing,
            skipped_hours: context.skipped_hours,
            sum_centi: self.valid.centi,
            first: self.first,
            last: self.last.or(context.last).expect("the first hour of a history begins with a slot"),
            samples: SamplesRange { replay: self.replay, first, last },
            simulated: if self.messages.is_some() { self.simulated } else { context.simulated },
            clock: if self.untrusted { ClockQuality::Unsynced } else { ClockQuality::Synced },
            version: 1,
        }
    }
}
