//! Messages for the tests of the dashboard.

use serde_json::{Value, json};
use thermowell_flow::published::{Decision, Event, EventBody, Lease, Missing, Snapshot, State, Status};
use thermowell_flow::time::{SECOND_NS, Utc, hour_text};
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

use super::hour::LastHour;
pub(super) use crate::samples::testing::{BOOT, NOON_NS};
use crate::samples::testing::{batch, gap};

/// Unix seconds of noon.
pub(crate) fn noon_s() -> f64 {
    Utc(NOON_NS).unix_seconds()
}

/// Messages of SAMPLES, one a second from noon on.
pub(super) struct Stream {
    pub(super) hour: LastHour,
    pub(super) boot: Boot,
    pub(super) sequence: u64,
    pub(super) utc_ns: i64,
    pub(super) last: Vec<u8>,
    seq: u64,
}

impl Default for Stream {
    fn default() -> Self {
        let hour = LastHour::default();
        Self { hour, boot: BOOT, sequence: 1, utc_ns: NOON_NS, last: Vec::new(), seq: 0 }
    }
}

impl Stream {
    /// Full seconds with this reading, the burner on.
    pub(super) fn seconds(&mut self, seconds: u64, centi: i16) {
        let reading = Reading::new(CentiCelsius(centi), Quality::Ok, true, false, true);
        (0..seconds).for_each(|_| self.second(reading));
    }

    /// Full seconds without a valid reading.
    pub(super) fn invalid(&mut self, seconds: u64) {
        let reading = Reading::new(CentiCelsius(0), Quality::Open, true, false, false);
        (0..seconds).for_each(|_| self.second(reading));
    }

    /// One second of `reading`.
    pub(super) fn second(&mut self, reading: Reading) {
        self.last = batch(self.boot, self.seq, self.utc_ns, ClockQuality::Synced, &[reading; 100]);
        self.pass(1);
    }

    pub(super) fn gap(&mut self, seconds: u64, reason: GapReason) {
        self.last = gap(self.boot, self.seq..self.seq + 100 * seconds, reason, self.utc_ns);
        self.pass(seconds);
    }

    /// The firmware starts again after this time.
    pub(super) fn reboot(&mut self, seconds: u64) {
        self.boot = Boot::new(self.boot.counter() + 1, 7);
        self.skip(seconds);
        self.seq = 0;
    }

    /// Slots of which there is no message.
    pub(super) fn skip(&mut self, seconds: u64) {
        self.seq += 100 * seconds;
        self.utc_ns += i64::try_from(seconds).unwrap() * SECOND_NS;
    }

    fn pass(&mut self, seconds: u64) {
        self.hour.observe(self.sequence, &self.last);
        self.sequence += 1;
        self.skip(seconds);
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A state whose newest slot was sampled then.
pub(crate) fn state(stamp: f64) -> State {
    parse(json!({
        "boiler": "b1", "instance": "test", "stamp": stamp,
        "slot": {"boot": BOOT, "seq": 359_999}, "current": 61.37, "quality": "ok", "heating": true,
        "average": 58.93, "average_points": 357_008, "average_heating": 59.4, "heating_share": 0.8,
        "coverage": 0.991, "minimum": 40.11, "maximum": 64.2,
        "provisional": {"hour": "2026-01-07T12:00:00Z", "temperature": 58.9, "points": 1},
        "last_hour": null, "clock": "synced", "simulated": true, "version": 1
    }))
}

/// A status of that time, with a device that obeys a set-point and burns.
pub(crate) fn status(created_at: f64) -> Status {
    parse(json!({
        "boiler": "b1", "created_at": created_at, "link": "up", "newest": null, "backlog": 49,
        "simulated": true, "version": 1,
        "device": {
            "boot": BOOT, "serial_number": "SIM-b1", "firmware": "device 0.1.0", "state": "firing",
            "flame": true, "pump": true, "hot_water": false, "modulation": 60, "return_temperature": 45.0,
            "room": 20.5, "outdoor": -3.0, "pressure_mbar": 1500, "own_flow": 50.0,
            "setpoint": {"n": 3, "demand": "heat", "flow": 55.0, "lease_left_s": 43.0}, "fault": null,
            "burner_starts": 2
        }
    }))
}

/// The same with the port closed: the agent reports no device then.
pub(crate) fn cable_out(created_at: f64) -> Status {
    Status { link: thermowell_flow::published::Link::Down, device: None, ..status(created_at) }
}

pub(crate) fn lease(created_at: f64) -> Lease {
    parse(json!({
        "demand": "heat", "flow": 55.5, "lease_s": 60, "based_on": {"boot": BOOT, "seq": 1}, "instance": "test",
        "created_at": created_at, "version": 1
    }))
}

/// The snapshot of an hour with these slots counted and missing for a reboot.
pub(crate) fn snapshot(hour: i64, counted: u64, missing: u64) -> Snapshot {
    let slot = json!({"boot": BOOT, "seq": 1});
    let missing_percent = f64::from(u8::try_from(missing / 3_600).unwrap());
    let coverage = if counted > 0 { 1.0 - missing_percent / 100.0 } else { 0.0 };
    let missing_by_reason = Missing { reboot: missing, ..Missing::default() };
    parse(json!({
        "temperature": if counted > 0 { Some(48.5) } else { None }, "created_at": (hour + 1) * 3_600,
        "temperature_points": counted, "boiler": "b1", "hour": hour_text(hour), "minimum": 40.0, "maximum": 60.0,
        "coverage": coverage, "partial": false, "heating": {"temperature": null, "points": 0},
        "slots": counted + missing, "missing": missing_by_reason, "skipped_hours": 0, "sum_centi": 0,
        "first": slot, "last": slot,
        "samples": {"replay": 1, "first": 1, "last": 2}, "simulated": true, "clock": "synced", "version": 1
    }))
}

/// A decision of that time.
pub(crate) fn decided(created_at: f64, rule: &str, flow: Option<f64>) -> Event {
    let decision: Decision = parse(json!({
        "rule": rule, "demand": flow.map(|_| "heat"), "flow": flow, "wish": null, "correction": 0.4, "current": null,
        "average": null, "asked": null, "share": 0.5, "room": 18.5, "outdoor": -5.9, "target": 21.0, "based_on": null
    }));
    Event { boiler: "b1".parse().unwrap(), created_at, body: EventBody::Decided(Box::new(decision)) }
}
