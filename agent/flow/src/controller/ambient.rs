//! Room and outdoor temperatures of a source outside of the boiler, by the rules of a device's own sensors.
//!
//! | a reading | |
//! |---|---|
//! | not later than the last one by [`INTERVAL`] | is not used: it is the same one again, or the source is too fast |
//! | from before our monotonic clock began | is not used: its age cannot be counted on |
//! | too old, or ahead of our clock ([`AmbientReading::age`]) | is not used, and that is reported once |
//! | implausible ([`crate::plausible`]) | is not used; an event when that begins, and when it has ended |
//! | any other | counts from the time of its stamp (`controller/senses.rs`) |
//!
//! Stored readings, which a new controller is given, are judged alike but not reported: they were, when they were new.
//!
//! One source counts, by the configuration: the device's own reading does not replace one that is missing, because two
//! sensors in two places differ by more than a room changes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::SourceName;
use thermowell_wire::subject::{Ambient, EventKind};

use super::{Effect, Log};
use crate::control::centi;
use crate::plausible::{Change, Quantity, Sensor};
use crate::published::{AHEAD_MAX, AmbientReading, EventBody};
use crate::time::{Monotonic, Now};

/// The least interval between two readings, as that of a device's statuses.
const INTERVAL: f64 = 1.0;

/// One temperature and its source.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    what: Ambient,
    source: SourceName,
    sensor: Sensor,
    /// The stamp of the last reading that was used or implausible.
    last: Option<f64>,
    /// That time on our axis.
    at: Monotonic,
    /// A stamp that cannot be used has been reported.
    is_reported: bool,
}

impl Outside {
    pub(super) fn new(what: Ambient, source: SourceName) -> Self {
        Self {
            what,
            source,
            sensor: Sensor::new(Quantity::from(what)),
            last: None,
            at: Monotonic(0),
            is_reported: false,
        }
    }

    pub(super) fn what(&self) -> Ambient {
        self.what
    }

    pub(super) fn source(&self) -> &SourceName {
        &self.source
    }

    /// Takes a reading; returns it in °C and when it was measured, if it is used. `is_new`: it was not stored before
    /// this controller began.
    pub(super) fn take(
        &mut self,
        reading: &AmbientReading,
        is_new: bool,
        now: &Now,
        effects: &mut Vec<Effect>,
    ) -> Option<(f64, Monotonic)> {
        let now_s = now.utc.unix_seconds();
        // Our clock was ahead, and has gone back: what was stamped with it must not outlast it.
        self.last.take_if(|last| *last - now_s > AHEAD_MAX.as_secs_f64());
        let is_later = self.last.is_none_or(|last| reading.stamp - last >= INTERVAL);
        if reading.source != self.source || !is_later {
            return None;
        }
        let (what, source) = (self.what, self.source.clone());
        let age = match reading.age(what, now_s) {
            Ok(age) => age,
            Err(why) => {
                if is_new && !core::mem::replace(&mut self.is_reported, true) {
                    effects.push(Effect::Log(Log::AmbientUnusable { what, source, why }));
                }
                return None;
            }
        };
        self.is_reported = false;
        let measured = now.monotonic.checked_before(age)?;
        // A step of our clock must not make this reading older than the one before it.
        let at = measured.max(self.at);
        (self.last, self.at) = (Some(reading.stamp), at);
        let most = i64::from(i32::MAX);
        let value = i32::try_from(centi(reading.value).clamp(-most, most)).expect("it is within its limits");
        if let Some(change) = self.sensor.take(Some(value), at).filter(|_| is_new) {
            let body = EventBody::sensor(change, Some(source.clone()));
            effects.push(Effect::Log(match change {
                Change::Began(it) => Log::AmbientImplausible { source, it },
                Change::Ended(quantity) => Log::AmbientSound { source, quantity },
            }));
            effects.push(Effect::Event(EventKind::Sensor, Box::new(body)));
        }
        let accepted = self.sensor.reading(at, Duration::ZERO)?;
        Some((f64::from(accepted) / 100.0, at))
    }
}
