//! What the tests of this room have in common.

use serde_json::json;
use thermowell_flow::published::{Action, Command, Missing};

use super::topics::Topics;
use super::values::Seen;
use crate::config::Config;
use crate::status;

/// 2026-01-07T12:00:00Z.
pub(super) const NOW_S: f64 = 1_767_787_200.0;

/// A configuration with two boilers and a broker; `more` is added to `[mqtt]`.
pub(super) fn config(more: &str) -> Config {
    let boilers = ["b1", "b2"].map(|id| format!("[[boiler]]\nid = \"{id}\"\nport = \"/dev/{id}\"\n")).concat();
    let text = format!(
        "gateway = \"cellar\"\n{boilers}[[operator]]\nname = \"home-assistant\"\n[reset]\napprovals = 1\n\
         [control]\nenabled = true\nemitter = \"radiators\"\n\
         [http]\nfront = \"0.0.0.0:8080\"\nhosts = [\"cellar.local\"]\n\
         [mqtt]\nurl = \"mqtt://127.0.0.1\"\n{more}\n"
    );
    Config::parse(&text, "t.toml").unwrap()
}

/// A configuration with buttons.
pub(super) fn with_buttons() -> Config {
    config("operator = \"home-assistant\"")
}

pub(super) fn topics() -> Topics {
    let config = config("");
    Topics::new(&config, config.mqtt.as_ref().unwrap())
}

/// The age of a stamp.
pub(super) fn age_s(stamp: f64) -> f64 {
    NOW_S - stamp
}

/// A boiler whose values are all fresh.
pub(super) fn seen() -> Seen {
    let state = serde_json::from_value(json!({
        "boiler": "b1", "instance": "test", "stamp": NOW_S - 0.4,
        "slot": {"boot": "0000000100000002", "seq": 359_999}, "current": 61.37, "quality": "ok", "heating": true,
        "average": 58.93, "average_points": 357_008, "average_heating": 59.4, "heating_share": 0.8,
        "coverage": 0.991, "minimum": 40.11, "maximum": 64.2,
        "provisional": {"hour": "2026-01-07T12:00:00Z", "temperature": 58.9, "points": 1},
        "last_hour": null, "clock": "synced", "simulated": true, "version": 1
    }));
    let status = serde_json::from_value(json!({
        "boiler": "b1", "created_at": NOW_S - 0.2, "link": "up", "newest": null, "backlog": 0,
        "simulated": true, "version": 1,
        "device": {
            "boot": "0000000100000002", "serial_number": "TW-0042", "firmware": "device 0.1.0", "state": "firing",
            "flame": true, "pump": true, "hot_water": false, "modulation": 60, "return_temperature": 45.0,
            "room": 20.5, "outdoor": -3.0, "pressure_mbar": 1500, "own_flow": 50.0,
            "setpoint": {"n": 3, "demand": "heat", "flow": 55.0, "lease_left_s": 43.0}, "fault": null,
            "burner_starts": 2
        }
    }));
    let lease = serde_json::from_value(json!({
        "demand": "heat", "flow": 55.5, "lease_s": 60, "based_on": {"boot": "0000000100000002", "seq": 1},
        "instance": "test", "created_at": NOW_S, "version": 1
    }));
    let id = "b1".parse().unwrap();
    let (status, lease) = (Some(status.unwrap()), Some(lease.unwrap()));
    let boiler = status::Boiler::of(id, age_s, Some(state.unwrap()), status, lease, Some(snapshot(491_051)));
    Seen { boiler, command: Some(None), is_read: true, now_s: NOW_S }
}

/// The snapshot of this hour since 1970; that of 11:00 is 491,051.
pub(super) fn snapshot(hour: i64) -> thermowell_flow::published::Snapshot {
    let slot = json!({"boot": "0000000100000002", "seq": 1});
    let missing = Missing { ring: 12, ..Missing::default() };
    serde_json::from_value(json!({
        "temperature": 57.71, "created_at": (hour + 1) * 3_600, "temperature_points": 359_988, "boiler": "b1",
        "hour": thermowell_flow::time::hour_text(hour), "minimum": 40.0, "maximum": 60.0, "coverage": 0.999_97,
        "partial": false, "heating": {"temperature": null, "points": 0}, "slots": 360_000, "missing": missing,
        "skipped_hours": 0, "sum_centi": 0, "first": slot, "last": slot,
        "samples": {"replay": 1, "first": 1, "last": 2}, "simulated": true, "clock": "synced", "version": 1
    }))
    .unwrap()
}

/// The same boiler before anything of it has been read.
pub(super) fn unseen() -> Seen {
    let boiler = status::Boiler::of("b1".parse().unwrap(), |_| 0.0, None, None, None, None);
    Seen { boiler, command: None, is_read: false, now_s: NOW_S }
}

/// A boost by anna to 65 °C that ends then.
pub(super) fn boost(id: &str, until: f64) -> Command {
    Command {
        id: id.parse().unwrap(),
        boiler: "b1".parse().unwrap(),
        by: "anna".parse().unwrap(),
        action: Action::Boost { flow: 65.0 },
        created_at: NOW_S,
        valid_until: Some(until),
        based_on: None,
        version: 1,
    }
}

/// A release by ben.
pub(super) fn release(id: &str) -> Command {
    Command { action: Action::Release, by: "ben".parse().unwrap(), valid_until: None, ..boost(id, NOW_S) }
}
