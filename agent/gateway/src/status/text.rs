//! A boiler on the screen: one block, one line for each thing, at most 80 columns.

use std::fmt::Write as _;

use thermowell_flow::published::{AcceptedSetpoint, DeviceStatus, Freshness, Missing, SlotQuality, Snapshot};
use thermowell_wire::line::BoilerState;
use thermowell_wire::subject::Ambient;

use super::{Boiler, age, heat};
use crate::output::word;
use crate::quantity::{grouped, moment};

impl Boiler {
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}{}\n", self.boiler, if self.is_simulated() { "  (simulated)" } else { "" });
        let lines = [
            ("flow", Some(self.flow())),
            ("hour", Some(self.hour())),
            ("asks", Some(self.asks())),
            ("command", self.command()),
            ("burner", Some(self.burner())),
            ("room", self.of_source(Ambient::Room)),
            ("outdoors", self.of_source(Ambient::Outdoor)),
            ("last hour", Some(self.last_hour())),
        ];
        for (name, value) in lines.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            let _always_fits = writeln!(text, "  {name:<10} {value}");
        }
        text
    }

    fn flow(&self) -> String {
        let Some(state) = &self.state else { return "unknown: no STATE yet".to_owned() };
        let age = self.age_s.map_or("unknown".to_owned(), age);
        let reading = state.current.map(celsius);
        let known = match self.freshness {
            Some(Freshness::Fault) | None => {
                let last = reading.map(|reading| format!(", last {reading}")).unwrap_or_default();
                let age =
                    if self.age_s < Some(0.0) { format!("stamped {age} ahead of now") } else { format!("{age} old") };
                return format!("unknown: the newest sample is {age}{last}");
            }
            Some(Freshness::Fresh) => "fresh",
            Some(Freshness::Warming) => "warming",
            Some(Freshness::NoValidReading) => "no valid reading",
            Some(Freshness::Coasting) => "waiting",
        };
        match reading {
            Some(reading) => format!("{reading} {known} {age}"),
            None => format!("unknown: {}, {known} {age}", unread(state.quality)),
        }
    }

    fn hour(&self) -> String {
        let Some(state) = self.valid_state() else { return "unknown".to_owned() };
        let Some(average) = state.average else { return "unknown: no valid reading within the hour".to_owned() };
        let extremes = match (state.minimum, state.maximum) {
            (Some(minimum), Some(maximum)) => format!(", {minimum:.1} to {maximum:.1} °C"),
            (_, _) => String::new(),
        };
        format!("{}, {:.1} % known{extremes}", celsius(average), state.coverage * 100.0)
    }

    /// What the controller asks for, and what the boiler takes.
    fn asks(&self) -> String {
        let asked = self.lease.as_ref().map_or("nothing".to_owned(), |lease| heat(lease.demand, lease.flow));
        match self.device() {
            Err(why) => format!("{asked} → {why}"),
            Ok(DeviceStatus { setpoint: None, .. }) => format!("{asked} → own control"),
            Ok(DeviceStatus { setpoint: Some(AcceptedSetpoint { demand, flow, lease_left_s, .. }), .. }) => {
                format!("{asked} → {}, lease {lease_left_s:.0} s", heat(*demand, *flow))
            }
        }
    }

    fn command(&self) -> Option<String> {
        let command = self.command.as_ref()?;
        let celsius = command.action.temperature().map(|celsius| format!(" {celsius} °C")).unwrap_or_default();
        let until = command.valid_until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
        Some(format!("{}{celsius}{until}, by {}", command.action.word(), command.by))
    }

    fn burner(&self) -> String {
        match self.device() {
            Err(why) => why,
            Ok(device) => {
                let state = match device.state {
                    BoilerState::Firing => format!("{} {} %", doing(device.state), device.modulation),
                    BoilerState::Standby
                    | BoilerState::Waiting
                    | BoilerState::Overrun
                    | BoilerState::Blocked
                    | BoilerState::Lockout => doing(device.state).to_owned(),
                };
                let hot_water = if device.hot_water { ", hot water" } else { "" };
                let fault = device.fault.map_or(String::new(), |fault| format!(", fault {}", fault.kind));
                format!("{state}{hot_water}{fault}")
            }
        }
    }

    /// A temperature whose source is not the device.
    fn of_source(&self, what: Ambient) -> Option<String> {
        let outside = self.sourced(what)?;
        Some(match (outside.value, &outside.why) {
            (Some(value), _) => {
                let age = age(outside.age_s.unwrap_or_default());
                format!("{} of {}, {age} old", celsius(value), outside.source)
            }
            (None, why) => format!("unknown: {}", why.as_deref().unwrap_or_default()),
        })
    }

    /// The last closed hour, with the sum of its slots.
    fn last_hour(&self) -> String {
        let Some(snapshot) = &self.snapshot else { return "none has closed yet".to_owned() };
        let Snapshot { hour, temperature, slots, temperature_points: counted, missing, partial, .. } = snapshot;
        // 2026-01-07T03:00:00Z
        let hour = hour.get(..16).map_or(hour.clone(), |hour| hour.replace('T', " "));
        let mean = temperature.map_or("unknown".to_owned(), celsius);
        let verdict = if *slots == counted + missing.total() { "✓" } else { "✗ the sum does NOT close" };
        let partial = if *partial { ", partial" } else { "" };
        let [slots, counted] = [*slots, *counted].map(number);
        format!("{hour} {mean}, {slots} = {counted}{} {verdict}{partial}", named(missing))
    }
}

/// ` + 2,996 reboot`; several reasons are counted together.
fn named(missing: &Missing) -> String {
    let mut reasons = missing.by_reason().into_iter().filter(|(_, slots)| *slots > 0);
    match (reasons.next(), reasons.next()) {
        (None, _) => String::new(),
        (Some((reason, slots)), None) => format!(" + {} {reason}", number(slots)),
        (Some(_), Some(_)) => format!(" + {} missing ({missing})", number(missing.total())),
    }
}

/// Why the newest slot has no reading, in words.
pub(crate) fn unread(quality: SlotQuality) -> String {
    match quality {
        SlotQuality::Missing => "the newest slot is missing".to_owned(),
        SlotQuality::Ok | SlotQuality::Open | SlotQuality::Short | SlotQuality::OutOfRange => {
            format!("the sensor reads {}", word(&quality).replace('_', " "))
        }
    }
}

/// What the boiler is doing, in words.
pub(crate) fn doing(state: BoilerState) -> &'static str {
    match state {
        BoilerState::Firing => "firing",
        BoilerState::Standby => "standby",
        BoilerState::Waiting => "waiting to start",
        BoilerState::Overrun => "off, pump overrun",
        BoilerState::Blocked => "blocked",
        BoilerState::Lockout => "locked out",
    }
}

fn number(value: u64) -> String {
    grouped(&value.to_string(), ',')
}

fn celsius(value: f64) -> String {
    format!("{value:.1} °C")
}
