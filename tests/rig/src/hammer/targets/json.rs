//! The JSON that others read and write: what comes off a subject may be anybody's.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thermowell_flow::plausible::Quantity;
use thermowell_flow::published::{
    AcceptedSetpoint, Decision, DeviceStatus, Event, EventBody, FaultReport, FeedData, FeedEvent, HeatingPart, Lease,
    Link, Missing, Outcome, Provisional, SamplesRange, SlotQuality, Snapshot, State, Status,
};
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::{BoilerState, Demand, Fault, FaultKind, Refusal};
use thermowell_wire::{BoilerId, Boot, Occurrence, Quality, Slot};

use crate::hammer::judge::{Complaint, Parts, Target, Trace, done, must};

pub(super) const WORDS: &[&[u8]] = &[
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"[[[[[[[[",
    b"{\"a\":",
    b"\"\\u0030\"",
    b"\"\\ud800\"",
    b"\"00000007deadbe42\"",
    b"\"b1\"",
    b"1e308",
    b"1e999",
    b"-1e-999",
    b"0.30000000000000004",
    b"123456789012345678901234567890",
    b",\"version\":1",
    b"\"ok\"",
    b"\"open\"",
    b"\"heat\"",
    b"\"none\"",
    b"\"synced\"",
    b"\"up\"",
    b"\"firing\"",
    b"\"name\":\"GapNamed\"",
    b"\"name\":\"FaultEnded\"",
    b"\"name\":\"Conflict\",\"found\":\"\"",
    b"\"recomputed\":",
];

pub(super) const JSON: Target = Target {
    name: "json",
    what: "JSON",
    longest: 4_096,
    seeds: Vec::new,
    words: WORDS,
    parts: Some(Parts { open, close }),
    judge: |_| Err(Complaint("no type".to_owned())),
    cases: "",
};

pub(super) const LEASE: Target = Target {
    name: "lease",
    what: "what a controller asks for, as JSON",
    seeds: || vec![json(&lease(Demand::Heat, 47.25, 60)), json(&lease(Demand::None, 25.0, 0))],
    judge: judge::<Lease>,
    cases: include_str!("../../../fuzz-corpus/lease.txt"),
    ..JSON
};

pub(super) const STATUS: Target = Target {
    name: "status",
    what: "the device's last status, as JSON",
    seeds: || vec![json(&status(true)), json(&status(false))],
    judge: judge::<Status>,
    cases: include_str!("../../../fuzz-corpus/status.txt"),
    ..JSON
};

pub(super) const STATE: Target = Target {
    name: "state",
    what: "the aggregator's rolling state, as JSON",
    seeds: || vec![json(&state())],
    judge: judge::<State>,
    cases: include_str!("../../../fuzz-corpus/state.txt"),
    ..JSON
};

pub(super) const SNAPSHOT: Target = Target {
    name: "snapshot",
    what: "a closed hour, as JSON",
    seeds: || vec![json(&snapshot())],
    judge: judge::<Snapshot>,
    cases: include_str!("../../../fuzz-corpus/snapshot.txt"),
    ..JSON
};

pub(super) const EVENT: Target = Target {
    name: "event",
    what: "what happened, as JSON",
    seeds: || bodies().map(|body| json(&Event { boiler: boiler(), created_at: UTC, body })).to_vec(),
    judge: judge::<Event>,
    cases: include_str!("../../../fuzz-corpus/event.txt"),
    ..JSON
};

pub(super) const FEED: Target = Target {
    name: "feed",
    what: "one sample, as JSON",
    seeds: || vec![json(&feed(Some(47.25), None)), json(&feed(None, Some(Quality::Open)))],
    judge: judge::<FeedEvent>,
    cases: include_str!("../../../fuzz-corpus/feed.txt"),
    ..JSON
};

pub(super) fn judge<T: Serialize + DeserializeOwned + Debug>(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let parsed: T = match serde_json::from_slice(input) {
        Ok(parsed) => parsed,
        Err(error) => {
            trace.note_shape(&error.classify());
            trace.note_shape(&error.to_string());
            return Ok(trace);
        }
    };
    trace.accept();
    trace.note_shape(&parsed);
    let tree = done("what is parsed can be printed", serde_json::to_value(&parsed))?;
    let text = done("what is parsed can be printed", serde_json::to_vec(&parsed))?;
    let again: T = done("what is printed can be parsed", serde_json::from_slice(&text))?;
    let tree_again = done("what is parsed can be printed", serde_json::to_value(&again))?;
    must(alike(&tree, &tree_again), &format!("parse(print(x)) is x\n   x: {parsed:?}\n  is: {again:?}"))?;
    Ok(trace)
}

/// Equal but for the last bits of numbers: 17 digits are read to within one unit in the last place. Ours have fewer.
fn alike(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(1.0));
            (a - b).abs() <= f64::MIN_POSITIVE + 1e-14 * a.abs()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        (left, right) => left == right,
    }
}

/// The members of the outermost object; what is none is one part.
fn open(input: &[u8]) -> Vec<Vec<u8>> {
    let Some(members) = input.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")) else {
        return vec![input.to_vec()];
    };
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let is_between = |byte: &u8| {
        let skipped = escaped;
        escaped = quoted && !skipped && *byte == b'\\';
        match byte {
            b'"' if !skipped => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            b',' => return depth == 0 && !quoted,
            _ => {}
        }
        false
    };
    members.split(is_between).map(<[u8]>::to_vec).collect()
}

fn close(members: &[Vec<u8>]) -> Vec<u8> {
    [b"{", members.join(&b',').as_slice(), b"}"].concat()
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what is published can be printed")
}

const BOOT: Boot = Boot(0x0000_0007_dead_be42);
const SLOT: Slot = Slot { boot: BOOT, seq: 360_000 };
pub(super) const UTC: f64 = 1_767_754_800.25;
pub(super) const UTC_NS: i64 = 1_767_754_800_250_000_000;
const HOUR: &str = "2026-01-07T02:00:00Z";

pub(super) fn boiler() -> BoilerId {
    "b1".parse().expect("an id")
}

pub(super) fn lease(demand: Demand, flow: f64, lease_s: u16) -> Lease {
    Lease { demand, flow, lease_s, based_on: SLOT, instance: "cellar".to_owned(), created_at: UTC, version: 1 }
}

pub(super) fn status(is_up: bool) -> Status {
    let device = DeviceStatus {
        boot: BOOT,
        serial_number: "TW-0001".to_owned(),
        firmware: "0.1.0".to_owned(),
        state: BoilerState::Firing,
        flame: true,
        pump: true,
        hot_water: false,
        modulation: 40,
        return_temperature: Some(35.5),
        room: Some(20.75),
        outdoor: None,
        pressure_mbar: Some(1_500),
        own_flow: 45.0,
        setpoint: Some(AcceptedSetpoint { n: 9, demand: Demand::Heat, flow: 47.25, lease_left_s: 59.5 }),
        fault: Some(Fault { boot: BOOT, counter: 3, kind: FaultKind::Ignition, lockout: true }),
        burner_starts: 17,
    };
    Status {
        boiler: boiler(),
        created_at: UTC,
        link: if is_up { Link::Up } else { Link::Down },
        device: is_up.then_some(device),
        newest: is_up.then_some(SLOT),
        backlog: 100,
        simulated: true,
        version: 1,
    }
}

pub(super) fn state() -> State {
    State {
        boiler: boiler(),
        instance: "cellar".to_owned(),
        stamp: UTC,
        slot: SLOT,
        current: Some(47.25),
        quality: SlotQuality::Ok,
        heating: true,
        average: Some(46.13),
        average_points: 359_000,
        average_heating: Some(47.0),
        heating_share: 0.7525,
        coverage: 0.99722,
        minimum: Some(31.0),
        maximum: Some(61.37),
        provisional: Provisional { hour: HOUR.to_owned(), temperature: Some(46.2), points: 1_000 },
        last_hour: Some(HOUR.to_owned()),
        clock: ClockQuality::Synced,
        simulated: true,
        version: 1,
    }
}

pub(super) fn snapshot() -> Snapshot {
    Snapshot {
        temperature: Some(46.13),
        created_at: 1_767_754_800,
        temperature_points: 359_000,
        boiler: boiler(),
        hour: HOUR.to_owned(),
        minimum: Some(31.0),
        maximum: Some(61.37),
        coverage: 0.99722,
        partial: false,
        heating: HeatingPart { temperature: Some(47.0), points: 270_000 },
        slots: 360_000,
        missing: Missing { ring: 900, invalid: 100, ..Missing::default() },
        skipped_hours: 0,
        sum_centi: 1_656_067_000,
        first: Some(Slot { boot: BOOT, seq: 1 }),
        last: SLOT,
        samples: SamplesRange { replay: 3_480, first: 3_601, last: 7_201 },
        simulated: true,
        clock: ClockQuality::Synced,
        version: 1,
    }
}

fn feed(temperature: Option<f64>, quality: Option<Quality>) -> FeedEvent {
    let data = FeedData { temperature, created_at: UTC, quality };
    FeedEvent { name: "TemperatureSampled".to_owned(), boot: BOOT, seq: 7, data, samples: 3_601 }
}

fn bodies() -> [EventBody; 17] {
    let (reason, found) = ("a reason".to_owned(), "a batch of \"attic\"".to_owned());
    let (serial_number, firmware) = ("TW-0001".to_owned(), "0.1.0".to_owned());
    let file = "/var/lib/thermowell/b1.spill.aside-1".to_owned();
    let decision = Decision {
        rule: "law".to_owned(),
        demand: Some(Demand::Heat),
        flow: Some(47.25),
        wish: Some(46.0),
        correction: 1.25,
        current: Some(45.1),
        average: None,
        asked: None,
        share: 0.75,
        room: Some(20.5),
        outdoor: Some(-3.25),
        target: 21.0,
        based_on: Some(SLOT),
        command: Some("x-9".parse().expect("a command's id")),
    };
    [
        EventBody::BootSeen { boot: BOOT, serial_number: serial_number.clone(), firmware },
        EventBody::GapNamed { boot: BOOT, from: 7, to: 9_000, reason: "ring".to_owned() },
        EventBody::DeviceRefused { serial_number, reason: reason.clone() },
        EventBody::StreamWentBack { expected: 9, found: 0 },
        EventBody::Conflict { found },
        EventBody::SpillFilePutAside { file, reason },
        EventBody::ClockJumped { by_ns: -3_600_000_000_000 },
        EventBody::Answered { n: 9, outcome: Outcome::Refused(Refusal::Lockout) },
        EventBody::Answered { n: 10, outcome: Outcome::Accepted { flow: 46.0, lease_s: 60 } },
        EventBody::SensorImplausible { quantity: Quantity::Outdoor, value: 85.0, reason: "-50 to 50 °C".to_owned() },
        EventBody::SensorSound { quantity: Quantity::Outdoor },
        EventBody::SnapshotDiffers { recomputed: Box::new(snapshot()) },
        EventBody::Decided(decision),
        EventBody::BurnerCycles { starts: 4 },
        EventBody::FaultBegan(fault(false)),
        EventBody::FaultLockedOut(fault(true)),
        EventBody::FaultEnded(fault(true)),
    ]
}

pub(super) fn fault(lockout: bool) -> FaultReport {
    let state = if lockout { BoilerState::Lockout } else { BoilerState::Blocked };
    FaultReport { fault: Occurrence { boot: BOOT, counter: 3 }, kind: FaultKind::Pump, lockout, state, slot: SLOT }
}
