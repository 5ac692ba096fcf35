//! `thermowell status`: the state of each boiler, on one screen.
//!
//! It reads the last message of STATE, STATUS, LEASE and SNAPSHOT and judges their age by the same limits as the
//! controller. A value is shown only while it is valid: from [`Freshness::Fault`] on, current value, average and
//! coverage are unknown, and the last reading is shown with its age. A STATUS is published every second: the device's
//! state is unknown when the last one is no longer fresh. A stamp ahead of this clock has no meaningful age: a fault.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use thermowell_flow::command;
use thermowell_flow::published::freshness;
use thermowell_flow::published::{DeviceStatus, Freshness, FreshnessLimits, Lease, Link, Snapshot, State, Status};
use thermowell_wire::BoilerId;
use thermowell_wire::line::{BoilerState, Demand};
use thermowell_wire::subject::{self, stream};

use crate::boilers::last_known;
use crate::clock::Clock;
use crate::config::Config;
use crate::nats::{Connection, NatsError, RequestError, User};
use crate::output::{Report, word};
use crate::quantity::show_measured;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The server is down or unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream cannot be read.
    #[error("query the server")]
    Request(#[source] RequestError),
    /// The boiler is not configured.
    #[error(transparent)]
    Unknown(command::Refusal),
}

/// The state of each boiler.
#[derive(Debug, Serialize)]
pub struct Boilers {
    /// In the configuration's order.
    pub boilers: Vec<Boiler>,
}

/// The state of one boiler: the last messages as they were published, and their age.
#[derive(Debug, Serialize)]
pub struct Boiler {
    pub boiler: BoilerId,
    /// By the age of the newest sample; `null` without a STATE.
    pub freshness: Option<Freshness>,
    /// Age of the newest sample in seconds of real time, negative if its stamp is ahead of this clock; `null` without a
    /// STATE.
    pub age_s: Option<f64>,
    /// Age of the last STATUS in seconds of real time; `null` without one.
    pub status_age_s: Option<f64>,
    pub state: Option<State>,
    pub status: Option<Status>,
    /// The controller's set-point; `null` without a lease.
    pub lease: Option<Lease>,
    /// The last closed hour.
    pub snapshot: Option<Snapshot>,
}

/// The summary of a report: the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every boiler is fresh.
    Fresh,
    /// At least one is not.
    NotFresh,
    /// There is no STATE of any boiler.
    Unknown,
}

/// Reads the state of `boiler`, or of each boiler of the configuration.
///
/// # Errors
/// See [`StatusError`].
pub async fn status(config: &Config, boiler: Option<&BoilerId>) -> Result<Boilers, StatusError> {
    let mut ids = config.boiler_ids();
    if let Some(boiler) = boiler {
        command::admit_boiler(boiler, &ids).map_err(StatusError::Unknown)?;
        ids = vec![boiler.clone()];
    }
    let connection = Connection::reach(&config.nats, User::Inspector).await.map_err(StatusError::Server)?;
    let clock = Clock::new(&config.clock);
    let mut boilers = Vec::new();
    for id in ids {
        boilers.push(read(&connection, &clock, id).await.map_err(StatusError::Request)?);
    }
    Ok(Boilers { boilers })
}

pub(crate) async fn read(connection: &Connection, clock: &Clock, id: BoilerId) -> Result<Boiler, RequestError> {
    let context = connection.context();
    let state: Option<State> = last_known(context, stream::STATE, &subject::state(&id)).await?;
    let status: Option<Status> = last_known(context, stream::STATUS, &subject::status(&id)).await?;
    let lease = last_known(context, stream::LEASE, &subject::setpoint(&id)).await?;
    let snapshot = last_known(context, stream::SNAPSHOT, &subject::snapshot(&id)).await?;
    Ok(Boiler::of(id, |stamp| clock.age_s(stamp), state, status, lease, snapshot))
}

impl Boilers {
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.boilers.iter().all(|boiler| boiler.freshness.is_none()) {
            return Verdict::Unknown;
        }
        let is_fresh = |boiler: &Boiler| boiler.freshness == Some(Freshness::Fresh);
        if self.boilers.iter().all(is_fresh) { Verdict::Fresh } else { Verdict::NotFresh }
    }
}

impl Report for Boilers {
    /// A block per boiler.
    fn text(&self) -> String {
        self.boilers.iter().map(Boiler::text).collect::<Vec<_>>().join("\n")
    }
}

/// The freshness for an age in real seconds.
pub(crate) fn judge(age_s: f64) -> Freshness {
    let limits = FreshnessLimits::at_speed(1);
    match Duration::try_from_secs_f64(age_s.max(0.0)) {
        Ok(age) if age_s >= -limits.fresh.as_secs_f64() => freshness(Some(age), &limits),
        Ok(_) | Err(_) => Freshness::Fault,
    }
}

impl Boiler {
    /// `age_s` is the age of a stamp in real seconds.
    pub(crate) fn of(
        boiler: BoilerId,
        age_s: impl Fn(f64) -> f64,
        state: Option<State>,
        status: Option<Status>,
        lease: Option<Lease>,
        snapshot: Option<Snapshot>,
    ) -> Self {
        let state_age_s = state.as_ref().map(|state| age_s(state.stamp));
        Self {
            boiler,
            freshness: state_age_s.map(judge),
            age_s: state_age_s,
            status_age_s: status.as_ref().map(|status| age_s(status.created_at)),
            state,
            status,
            lease: lease.filter(|lease| lease.lease_s > 0),
            snapshot,
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}{}\n", self.boiler, if self.is_simulated() { "  (simulated)" } else { "" });
        let lines = [
            ("flow", self.flow()),
            ("hour", self.hour()),
            ("set-point", self.setpoint()),
            ("burner", self.burner()),
            ("last hour", self.last_hour()),
        ];
        for (name, value) in lines {
            let _always_fits = writeln!(text, "  {name:<10} {value}");
        }
        text
    }

    pub(crate) fn is_simulated(&self) -> bool {
        self.state.as_ref().map(|state| state.simulated).or(self.status.as_ref().map(|status| status.simulated))
            == Some(true)
    }

    /// STATE, while its values are valid.
    pub(crate) fn valid_state(&self) -> Option<&State> {
        self.state.as_ref().filter(|_| self.freshness != Some(Freshness::Fault))
    }

    fn flow(&self) -> String {
        let Some(state) = &self.state else { return "unknown: no STATE yet".to_owned() };
        let age = self.age_s.map_or("unknown".to_owned(), age);
        match (self.valid_state(), state.current) {
            (None, _) if self.age_s < Some(0.0) => format!("unknown: the newest sample is stamped {age} ahead of now"),
            (None, _) => format!("unknown: the newest sample is {age} old; last {}", celsius(state.current)),
            (Some(_), Some(_)) => {
                let word = if self.freshness == Some(Freshness::Fresh) { "fresh" } else { "waiting" };
                format!("{}, {word}, {age} old", celsius(state.current))
            }
            (Some(_), None) => format!("unknown: the sensor reads {}, {age} old", word(&state.quality)),
        }
    }

    fn hour(&self) -> String {
        let Some(state) = self.valid_state() else { return "unknown".to_owned() };
        let extremes = match (state.minimum, state.maximum) {
            (Some(minimum), Some(maximum)) => format!(", {minimum:.2} to {maximum:.2} °C"),
            (_, _) => String::new(),
        };
        format!("{}, {:.1} % known{extremes}", celsius(state.average), state.coverage * 100.0)
    }

    fn setpoint(&self) -> String {
        let asked = self.lease.as_ref().map_or("no lease".to_owned(), |l| format!("asks {}", heat(l.demand, l.flow)));
        let obeyed = match self.device() {
            Err(why) => why,
            Ok(DeviceStatus { setpoint: None, own_flow, .. }) => format!("own control at {own_flow:.1} °C"),
            Ok(DeviceStatus { setpoint: Some(s), .. }) => {
                format!("obeys {}, lease {:.0} s", heat(s.demand, s.flow), s.lease_left_s)
            }
        };
        format!("{asked}; {obeyed}")
    }

    fn burner(&self) -> String {
        match self.device() {
            Err(why) => why,
            Ok(device) => {
                let state = match device.state {
                    BoilerState::Firing => format!("{} at {} %", doing(device.state), device.modulation),
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

    /// The device's last status, or why it is unknown.
    pub(crate) fn device(&self) -> Result<&DeviceStatus, String> {
        let Some(status) = &self.status else { return Err("unknown: no STATUS yet".to_owned()) };
        let age_s = self.status_age_s.unwrap_or(f64::INFINITY);
        if judge(age_s) != Freshness::Fresh {
            return Err(format!("unknown: the last STATUS is {} old", age(age_s)));
        }
        match (&status.device, status.link) {
            (_, Link::Down) => Err("unknown: the serial port is not open".to_owned()),
            (_, Link::Silent) => Err("unknown: the device is silent".to_owned()),
            (_, Link::Refused) => Err("unknown: another board answers".to_owned()),
            (None, Link::Up) => Err("unknown: the device has sent no status yet".to_owned()),
            (Some(device), Link::Up) => Ok(device),
        }
    }

    fn last_hour(&self) -> String {
        let Some(snapshot) = &self.snapshot else { return "no hour has closed yet".to_owned() };
        let Snapshot { hour, temperature, slots, temperature_points: counted, missing, partial, .. } = snapshot;
        let closes = if *slots == counted + missing.total() { "" } else { ": the sum does NOT close" };
        let partial = if *partial { ", partial" } else { "" };
        let missing = missing.total();
        format!(
            "{hour}: {}, {slots} slots = {counted} counted + {missing} missing{partial}{closes}",
            celsius(*temperature)
        )
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

fn celsius(value: Option<f64>) -> String {
    value.map_or("unknown".to_owned(), |value| format!("{value:.2} °C"))
}

pub(crate) fn heat(demand: Demand, flow: f64) -> String {
    match demand {
        Demand::Heat => format!("{flow:.1} °C"),
        Demand::None => "no heat".to_owned(),
    }
}

/// An age in seconds, whatever its sign.
pub(crate) fn age(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds.abs()).map_or_else(|_| "unknown".to_owned(), show_measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: f64 = 1_767_744_000.0;

    fn boiler(state_age_s: f64, status_age_s: f64) -> Boiler {
        let state = serde_json::json!({
            "boiler": "b1", "instance": "test", "stamp": NOW_S - state_age_s,
            "slot": {"boot": "0000000100000002", "seq": 359_999}, "current": 61.37, "quality": "ok", "heating": true,
            "average": 58.93, "average_points": 357_008, "average_heating": 59.4, "heating_share": 0.8,
            "coverage": 0.991, "minimum": 40.11, "maximum": 64.2,
            "provisional": {"hour": "2026-01-07T00:00:00Z", "temperature": 58.9, "points": 1},
            "last_hour": null, "clock": "synced", "simulated": true, "version": 1
        });
        let status = serde_json::json!({
            "boiler": "b1", "created_at": NOW_S - status_age_s, "link": "up", "newest": null, "backlog": 0,
            "simulated": true, "version": 1,
            "device": {
                "boot": "0000000100000002", "serial_number": "SIM-b1", "firmware": "device 0.1.0", "state": "firing",
                "flame": true, "pump": true, "hot_water": false, "modulation": 60, "return_temperature": 45.0,
                "room": 20.5, "outdoor": -3.0, "pressure_mbar": 1500, "own_flow": 50.0,
                "setpoint": {"n": 3, "demand": "heat", "flow": 55.0, "lease_left_s": 43.0}, "fault": null,
                "burner_starts": 2
            }
        });
        let state = serde_json::from_value(state).unwrap();
        let status = serde_json::from_value(status).unwrap();
        Boiler::of("b1".parse().unwrap(), |stamp| NOW_S - stamp, Some(state), Some(status), None, None)
    }

    #[test]
    fn fresh_values_are_shown() {
        let fresh = boiler(0.4, 0.2);
        let text = fresh.text();
        for word in
            ["61.37 °C, fresh, 0.4 s old", "58.93 °C, 99.1 % known", "obeys 55.0 °C, lease 43 s", "firing at 60 %"]
        {
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(Boilers { boilers: vec![fresh] }.verdict(), Verdict::Fresh);
    }

    #[test]
    fn old_values_are_unknown() {
        for (state, status, word) in [(0.4, 5.1, "the last STATUS is 5.1 s old"), (0.4, 7_300.0, "is 2 h 1 min old")] {
            let text = boiler(state, status).text();
            assert!(text.contains(word) && !text.contains("firing") && !text.contains("obeys"), "{text}");
        }
        let old = boiler(61.0, 0.2);
        let text = old.text();
        assert!(text.contains("the newest sample is 1 min 1 s old; last 61.37 °C"), "{text}");
        assert!(!text.contains("58.93") && !text.contains("% known"), "{text}");
        assert_eq!(Boilers { boilers: vec![old] }.verdict(), Verdict::NotFresh);
    }

    #[test]
    fn stamp_ahead_of_the_clock_is_a_fault() {
        assert_eq!(boiler(-4.0, 0.2).freshness, Some(Freshness::Fresh));
        let ahead = boiler(-3_600.0, 0.2);
        assert_eq!(ahead.freshness, Some(Freshness::Fault));
        assert!(ahead.text().contains("stamped 1 h 0 min ahead of now"), "{}", ahead.text());
    }

    #[test]
    fn boiler_without_messages_is_unknown() {
        let nothing = Boiler::of("b1".parse().unwrap(), |_| 0.0, None, None, None, None);
        assert!(nothing.text().contains("unknown: no STATE yet"), "{}", nothing.text());
        assert_eq!(Boilers { boilers: vec![nothing] }.verdict(), Verdict::Unknown);
    }
}
