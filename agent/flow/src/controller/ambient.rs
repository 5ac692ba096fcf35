//! Room and outdoor temperatures of a source outside of the boiler, by the rules of a device's own sensors.
//!
//! | a reading | |
//! |---|---|
//! | not later than the last one by [`INTERVAL`] | is not used: it is the same one again, or the source is too fast |
//! | too old, or ahead of our clock ([`AmbientReading::age`]) | is not used, and that is reported once |
//! | implausible ([`crate::plausible`]) | is not used; an event when that begins, and when it has ended |
//! | any other | counts from the time of its stamp (`controller/senses.rs`) |
//!
//! One source counts, by the configuration: the device's own reading does not replace one that is missing, because two
//! sensors in two places differ by more than a room changes.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::SourceName;
use thermowell_wire::subject::{Ambient, EventKind};

use super::{Effect, Log};
use crate::control::centi;
use crate::plausible::{Change, Quantity, Sensor};
use crate::published::{AmbientReading, EventBody};
use crate::time::{Monotonic, Now};

/// The least interval between two readings, as that of a device's statuses.
const INTERVAL: f64 = 1.0;

/// One temperature and its source.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    what: Ambient,
    source: SourceName,
    sensor: Sensor,
    /// The stamp of the last reading that was used or implausible, and that time on our axis.
    last: Option<(f64, Monotonic)>,
    /// A stamp that cannot be used has been reported.
    is_reported: bool,
}

impl Outside {
    pub(super) fn new(what: Ambient, source: SourceName) -> Self {
        Self { what, source, sensor: Sensor::new(Quantity::from(what)), last: None, is_reported: false }
    }

    pub(super) fn what(&self) -> Ambient {
        self.what
    }

    pub(super) fn source(&self) -> &SourceName {
        &self.source
    }

    /// Takes a reading; returns it in °C and when it was measured, if it is used.
    pub(super) fn take(
        &mut self,
        reading: &AmbientReading,
        now: &Now,
        effects: &mut Vec<Effect>,
    ) -> Option<(f64, Monotonic)> {
        let is_later = self.last.is_none_or(|(last, _)| reading.stamp - last >= INTERVAL);
        if reading.source != self.source || !is_later {
            return None;
        }
        let (what, source) = (self.what, self.source.clone());
        let age = match reading.age(what, now.utc.unix_seconds()) {
            Ok(age) => age,
            Err(why) => {
                if !core::mem::replace(&mut self.is_reported, true) {
                    effects.push(Effect::Log(Log::AmbientUnusable { what, source, why }));
                }
                return None;
            }
        };
        self.is_reported = false;
        // A step of our clock must not make this reading older than the one before it.
        let at = now.monotonic.before(age).max(self.last.map_or(Monotonic(0), |(_, at)| at));
        self.last = Some((reading.stamp, at));
        let value = i32::try_from(centi(reading.value)).unwrap_or(i32::MAX);
        match self.sensor.take(Some(value), at) {
            Some(Change::Began(it)) => {
                let (quantity, value, reason) = (it.quantity, it.reads(), it.to_string());
                let body = EventBody::SensorImplausible { quantity, value, reason, source: Some(source.clone()) };
                effects.push(Effect::Log(Log::AmbientImplausible { source, it }));
                effects.push(Effect::Event(EventKind::Sensor, Box::new(body)));
            }
            Some(Change::Ended(quantity)) => {
                let body = EventBody::SensorSound { quantity, source: Some(source.clone()) };
                effects.push(Effect::Log(Log::AmbientSound { source, quantity }));
                effects.push(Effect::Event(EventKind::Sensor, Box::new(body)));
            }
            None => {}
        }
        let accepted = self.sensor.reading(at, Duration::ZERO)?;
        Some((f64::from(accepted) / 100.0, at))
    }
}
