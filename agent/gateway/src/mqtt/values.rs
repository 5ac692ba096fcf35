//! What is known of a boiler, as the JSON of its topics. An unknown value is `null`, by the rules of `thermowell
//! status`.
//!
//! A flow temperature is shown only while it is fresh: unlike a page, an entity cannot show how old it is. The mean and
//! the coverage of the last hour are known for as long as the page shows them.

use serde_json::{Value, json};
use thermowell_flow::published::{Action, Command, Freshness, Snapshot};
use thermowell_wire::line::{BoilerState, Demand, FaultKind};
use thermowell_wire::{BoilerId, CommandId};

use crate::output::word;
use crate::quantity::moment;
use crate::status;

/// A snapshot whose hour ended longer ago is not the last full hour.
const LAST_HOUR_MAX_S: f64 = 2.0 * 3_600.0;

/// One boiler as the front sees it.
#[derive(Debug)]
pub struct Seen {
    /// The last messages and their age.
    pub boiler: status::Boiler,
    /// The last command; none if COMMAND has not been read yet.
    pub command: Option<Option<Command>>,
    /// Whether everything that is stored has been read.
    pub is_read: bool,
    /// UTC in Unix seconds, on the calendar of the published times.
    pub now_s: f64,
}

/// A command that is active.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Active {
    pub(super) id: CommandId,
    pub(super) word: &'static str,
    pub(super) by: String,
}

/// What is sent of a boiler.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    pub(super) data: Value,
    pub(super) device: Value,
    /// Without what is set from Home Assistant.
    pub(super) command: Value,
    pub(super) last_hour: Value,
    /// The newest sample is at most 60 s old.
    pub(super) is_available: bool,
}

/// The parts of the device's description that are learned from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hardware {
    pub(super) serial_number: Option<String>,
    pub(super) firmware: Option<String>,
}

impl Seen {
    pub(super) fn id(&self) -> &BoilerId {
        &self.boiler.boiler
    }

    pub(super) fn values(&self) -> Values {
        let is_available = self.boiler.valid_state().is_some();
        let (data, device) = (self.data(), self.device());
        Values { data, device, command: self.command(), last_hour: self.last_hour(), is_available }
    }

    /// Which board answers; none while it is unknown.
    pub(super) fn hardware(&self) -> Option<Hardware> {
        let device = self.boiler.device().ok()?;
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Some(Hardware { serial_number: filled(&device.serial_number), firmware: filled(&device.firmware) })
    }

    /// The command that is active now; none if none is, or if it is unknown.
    pub(super) fn active(&self) -> Option<Active> {
        let command = self.command.as_ref()?.as_ref()?;
        command.is_active(self.now_s).then(|| Active {
            id: command.id.clone(),
            word: command.action.word(),
            by: command.by.to_string(),
        })
    }

    /// Why `ended` is no longer active.
    pub(super) fn why_ended(&self, ended: &Active) -> String {
        match self.command.as_ref().and_then(Option::as_ref) {
            Some(last) if last.id == ended.id => "its time is over".to_owned(),
            Some(Command { action: Action::Release, by, .. }) => format!("released by {by}"),
            Some(_) | None => "another command replaced it".to_owned(),
        }
    }

    fn data(&self) -> Value {
        let fresh = self.boiler.state.as_ref().filter(|_| self.boiler.freshness == Some(Freshness::Fresh));
        let valid = self.boiler.valid_state();
        json!({
            "flow": rounded(fresh.and_then(|state| state.current), 1),
            "mean": rounded(valid.and_then(|state| state.average), 1),
            "coverage": rounded(valid.map(|state| 100.0 * state.coverage), 1),
            "freshness": self.boiler.freshness.as_ref().map(word),
        })
    }

    fn device(&self) -> Value {
        let device = self.boiler.device().ok();
        let status = self.boiler.fresh_status();
        let lease = self.boiler.lease.as_ref().filter(|lease| lease.demand == Demand::Heat);
        let accepted = device.and_then(|device| device.setpoint).filter(|setpoint| setpoint.demand == Demand::Heat);
        json!({
            "burner": device.map(|device| switch(device.flame)),
            "pump": device.map(|device| switch(device.pump)),
            "hot_water": device.map(|device| switch(device.hot_water)),
            "modulation": device.map(|device| device.modulation),
            "return": rounded(device.and_then(|device| device.return_temperature), 1),
            "room": rounded(self.boiler.room().0, 1),
            "outdoor": rounded(self.boiler.outdoor().0, 1),
            "pressure": rounded(device.and_then(|device| device.pressure_mbar).map(|mbar| f64::from(mbar) / 1e3), 2),
            "state": device.map(|device| word(&device.state)),
            "link": status.map(|status| word(&status.link)),
            "fault": self.fault(),
            "problem": self.problem().map(switch),
            "starts": device.map(|device| device.burner_starts),
            "accepted": rounded(accepted.map(|setpoint| setpoint.flow), 1),
            "asked": rounded(lease.map(|lease| lease.flow), 1),
            "master": device.map(|device| if device.setpoint.is_some() { "gateway" } else { "boiler" }),
        })
    }

    fn fault(&self) -> Option<String> {
        let device = self.boiler.device().ok()?;
        Some(match device.fault {
            Some(fault) if FAULTS.contains(&fault.kind) => word(&fault.kind),
            Some(_) => "other".to_owned(),
            None if device.state == BoilerState::Lockout => "other".to_owned(),
            None => "none".to_owned(),
        })
    }

    /// Whether a person should look; none before anything is known.
    fn problem(&self) -> Option<bool> {
        if self.boiler.state.is_none() && self.boiler.status.is_none() {
            return None;
        }
        let is_faulty = self.fault().is_none_or(|fault| fault != "none");
        let is_unread = self.boiler.freshness == Some(Freshness::NoValidReading);
        Some(is_faulty || is_unread || self.boiler.valid_state().is_none())
    }

    fn command(&self) -> Value {
        let Some(last) = &self.command else { return json!({"action": null, "until": null}) };
        let active = last.as_ref().filter(|_| self.active().is_some());
        let until = active.and_then(|command| command.valid_until).map(moment).filter(|until| !until.is_empty());
        json!({"action": active.map_or("automatic", |command| command.action.word()), "until": until})
    }

    /// The last full hour; unknown if its snapshot is missing.
    fn last_hour(&self) -> Value {
        let snapshot = self.boiler.snapshot.as_ref();
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
        let last = snapshot.filter(|snapshot| self.now_s - (snapshot.created_at as f64) < LAST_HOUR_MAX_S);
        json!({
            "temperature": last.and_then(|snapshot| snapshot.temperature),
            "missing": last.map(|snapshot| snapshot.missing.total()),
            // Two hours with the same numbers are two messages: the second keeps the entities from expiring.
            "hour": last.map(|snapshot| &snapshot.hour),
        })
    }
}

/// Every freshness, as options of its entity. Append only.
pub(super) const FRESHNESS: [Freshness; 5] =
    [Freshness::Warming, Freshness::NoValidReading, Freshness::Fresh, Freshness::Coasting, Freshness::Fault];

/// The kinds that the entity has as options. Append only, with those of the firmware.
pub(super) const FAULTS: [FaultKind; 8] = [
    FaultKind::Overheat,
    FaultKind::Sensor,
    FaultKind::Ignition,
    FaultKind::FlameLoss,
    FaultKind::LowPressure,
    FaultKind::Pump,
    FaultKind::SensorMismatch,
    FaultKind::BootLoop,
];

/// The event of an hour that has closed.
pub(super) fn hour(snapshot: &Snapshot) -> Value {
    json!({
        "event_type": "snapshot",
        "hour": snapshot.hour,
        "temperature": snapshot.temperature,
        "minimum": snapshot.minimum,
        "maximum": snapshot.maximum,
        "coverage": rounded(Some(100.0 * snapshot.coverage), 1),
        "points": snapshot.temperature_points,
        "slots": snapshot.slots,
        "missing": snapshot.missing.total(),
        "partial": snapshot.partial,
    })
}

fn switch(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// A number with so many decimals; a value that is no number is unknown.
fn rounded(value: Option<f64>, decimals: i32) -> Option<f64> {
    let scale = 10_f64.powi(decimals);
    value.filter(|value| value.is_finite()).map(|value| (value * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use thermowell_flow::published::{SlotQuality, State};

    use super::super::testing::{self, NOW_S};
    use super::*;

    #[test]
    fn fresh_boiler_has_its_values() {
        let values = testing::seen().values();
        assert_eq!(values.data, json!({"flow": 61.4, "mean": 58.9, "coverage": 99.1, "freshness": "fresh"}));
        let expected = json!({
            "burner": "on", "pump": "on", "hot_water": "off", "modulation": 60, "return": 45.0, "room": 20.5,
            "outdoor": -3.0, "pressure": 1.5, "state": "firing", "link": "up", "fault": "none", "problem": "off",
            "starts": 2, "accepted": 55.0, "asked": 55.5, "master": "gateway",
        });
        assert_eq!(values.device, expected);
        assert_eq!(values.command, json!({"action": "automatic", "until": null}));
        assert_eq!(values.last_hour, json!({"temperature": 57.71, "missing": 12, "hour": "2026-01-07T11:00:00Z"}));
        assert!(values.is_available);
    }

    /// Each key stays, with null: a missing one would keep the value that Home Assistant has.
    #[test]
    fn old_values_are_null_and_never_absent() {
        let known = testing::seen().values();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let mut seen = testing::seen();
        seen.boiler.freshness = Some(Freshness::Coasting);
        seen.boiler.status_age_s = Some(9.0);
        let waiting = seen.values();
        assert_eq!(waiting.data, json!({"flow": null, "mean": 58.9, "coverage": 99.1, "freshness": "coasting"}));
        assert!(waiting.is_available);
        let device = waiting.device.as_object().unwrap();
        let unknown = device.iter().filter(|(key, _)| !["problem", "asked"].contains(&key.as_str()));
        assert!(unknown.into_iter().all(|(_, value)| value.is_null()), "{device:?}");
        assert_eq!(device["problem"], "on");
        assert_eq!(keys(&waiting.device), keys(&known.device));
        seen.boiler.freshness = Some(Freshness::Fault);
        let stale = seen.values();
        assert_eq!(stale.data, json!({"flow": null, "mean": null, "coverage": null, "freshness": "fault"}));
        assert!(!stale.is_available);
        let nothing = testing::unseen().values();
        assert_eq!(nothing.data, json!({"flow": null, "mean": null, "coverage": null, "freshness": null}));
        assert!(nothing.device.as_object().unwrap().values().all(Value::is_null), "{}", nothing.device);
        assert_eq!(nothing.command, json!({"action": null, "until": null}));
        assert_eq!(nothing.last_hour, json!({"temperature": null, "missing": null, "hour": null}));
    }

    #[test]
    fn cable_out_leaves_the_link_and_a_problem() {
        let mut seen = testing::seen();
        let status = seen.boiler.status.as_mut().unwrap();
        (status.link, status.device) = (thermowell_flow::published::Link::Down, None);
        let device = seen.values().device;
        assert_eq!((&device["link"], &device["problem"]), (&json!("down"), &json!("on")));
        assert!(device["fault"].is_null() && device["burner"].is_null());
    }

    #[test]
    fn hour_without_a_valid_reading_names_its_reason() {
        for (quality, word, problem) in
            [(SlotQuality::Missing, "warming", "off"), (SlotQuality::Short, "no_valid_reading", "on")]
        {
            let seen = testing::seen();
            let state = seen.boiler.state.map(|state| State { average: None, current: None, quality, ..state });
            let (id, status) = (seen.boiler.boiler, seen.boiler.status);
            let boiler = status::Boiler::of(id, testing::age_s, state, status, None, None);
            let values = Seen { boiler, ..testing::seen() }.values();
            let expected = json!({"flow": null, "mean": null, "coverage": 99.1, "freshness": word});
            assert_eq!((&values.data, &values.device["problem"]), (&expected, &json!(problem)));
        }
    }

    #[test]
    fn command_is_active_until_its_end() {
        let mut seen = testing::seen();
        seen.command = Some(Some(testing::boost("x1", NOW_S + 60.0)));
        assert_eq!(seen.values().command, json!({"action": "boost", "until": "2026-01-07T12:01:00Z"}));
        let active = seen.active().unwrap();
        assert_eq!((active.word, active.by.as_str()), ("boost", "anna"));
        seen.now_s += 60.0;
        assert_eq!(seen.values().command, json!({"action": "automatic", "until": null}));
        assert_eq!((seen.active(), seen.why_ended(&active).as_str()), (None, "its time is over"));
        seen.command = Some(Some(testing::release("x2")));
        assert_eq!(seen.why_ended(&active), "released by ben");
        seen.command = Some(Some(testing::boost("x3", NOW_S + 600.0)));
        assert_eq!(seen.why_ended(&active), "another command replaced it");
    }

    #[test]
    fn last_hour_is_unknown_without_its_snapshot() {
        let mut seen = testing::seen();
        seen.now_s += 2.0 * 3_600.0;
        assert!(seen.values().last_hour["temperature"].is_null());
    }

    #[test]
    fn lockout_without_a_fault_is_another_fault() {
        let mut seen = testing::seen();
        let device = seen.boiler.status.as_mut().unwrap().device.as_mut().unwrap();
        (device.state, device.fault) = (BoilerState::Lockout, None);
        let device = seen.values().device;
        assert_eq!((&device["fault"], &device["problem"]), (&json!("other"), &json!("on")));
    }
}
