//! JSON that other programs read and write: a subject may carry messages of any client.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thermowell_flow::plausible::Quantity;
use thermowell_flow::published::{
    AcceptedSetpoint, Action, AmbientReading, Approval, Approved, BasedOn, Command, Decision, Deficit, DeviceStatus,
    Event, EventBody, FaultReport, FeedData, FeedEvent, Forecast, HeatingPart, Lease, Link, Missing, Outcome,
    Provisional, Reset, SamplesRange, SlotQuality, Snapshot, State, Status,
};
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::{BoilerState, Demand, Fault, FaultKind, Refusal};
use thermowell_wire::{BoilerId, Boot, Occurrence, Quality, Slot};

use super::inputs::{Grammar, Part};
use super::run::Target;

const fn target<T: Serialize + DeserializeOwned + Debug>(grammar: fn() -> Grammar) -> Target {
    Target { grammar, judge: judge::<T>, cases: &[] }
}

pub(crate) const LEASE: Target =
    target::<Lease>(|| grammar(&[lease(Demand::Heat, 47.25, 60), lease(Demand::None, 25.0, 0)]));
pub(crate) const STATUS: Target = target::<Status>(|| grammar(&[status(true), status(false)]));
pub(crate) const STATE: Target = target::<State>(|| grammar(&[state()]));
pub(crate) const SNAPSHOT: Target = target::<Snapshot>(|| grammar(&[snapshot()]));
pub(crate) const EVENT: Target =
    target::<Event>(|| grammar(&bodies().map(|body| Event { boiler: boiler(), created_at: UTC, body })));
pub(crate) const FEED: Target =
    target::<FeedEvent>(|| grammar(&[feed(Some(47.25), None), feed(None, Some(Quality::Open))]));
pub(crate) const COMMAND: Target = target::<Command>(|| grammar(&ACTIONS.map(command)));
pub(crate) const APPROVAL: Target = target::<Approval>(|| grammar(&[approval()]));
pub(crate) const AMBIENT: Target = target::<AmbientReading>(|| grammar(&[ambient(20.5), ambient(-3.25)]));
pub(crate) const RESET: Target = target::<Reset>(|| grammar(&[reset()]));

fn judge<T: Serialize + DeserializeOwned + Debug>(input: &[u8]) -> bool {
    let Ok(parsed) = serde_json::from_slice::<T>(input) else { return false };
    let text = json(&parsed);
    let again: T = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {parsed:?}"));
    assert_eq!(tree(&parsed), tree(&again), "parse(print(x)) is x");
    true
}

/// For types without `PartialEq`. Numbers are compared to the last digit.
fn tree(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("what is published can be printed")
}

pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what is published can be printed")
}

/// Parts are the members of the outermost object.
fn grammar(seeds: &[impl Serialize]) -> Grammar {
    let members = |seed| {
        let tree = tree(seed);
        let members = tree.as_object().expect("what is published is an object");
        members.iter().map(|(key, value)| format!("\"{key}\":{value}").into_bytes()).collect()
    };
    let close = |members: &[Part]| [b"{", members.join(&b',').as_slice(), b"}"].concat();
    Grammar::new(seeds.iter().map(members).collect(), close).with_text(WORDS)
}

pub(crate) const WORDS: &str = "null|true|[]|{}|[|{\"a\":|\"\\u0030\"|\"\\ud800\"|\"00000007deadbe42\"|\"b1\"|\"ok\"|\
    \"open\"|\"heat\"|\"none\"|\"synced\"|\"up\"|\"firing\"|\"version\":1|\"recomputed\":|\
    \"name\":\"GapNamed\"|\"name\":\"FaultEnded\"|\"name\":\"Conflict\",\"found\":\"\"";

const BOOT: Boot = Boot(0x0000_0007_dead_be42);
const SLOT: Slot = Slot { boot: BOOT, seq: 360_000 };
pub(crate) const UTC: f64 = 1_767_754_800.25;
pub(crate) const UTC_NS: i64 = 1_767_754_800_250_000_000;
const HOUR: &str = "2026-01-07T02:00:00Z";

pub(crate) fn boiler() -> BoilerId {
    "b1".parse().expect("an id")
}

pub(crate) fn lease(demand: Demand, flow: f64, lease_s: u16) -> Lease {
    Lease { demand, flow, lease_s, based_on: SLOT, instance: "cellar".to_owned(), created_at: UTC, version: 1 }
}

pub(crate) fn status(is_up: bool) -> Status {
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

pub(crate) fn state() -> State {
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

pub(crate) fn snapshot() -> Snapshot {
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

const DEFICIT: Deficit = Deficit { kelvin: 4.25, share: 0.8, hours: 1.5 };

fn bodies() -> [EventBody; 19] {
    let (reason, found) = ("a reason".to_owned(), "a batch of \"attic\"".to_owned());
    let (serial_number, firmware) = ("TW-0001".to_owned(), "0.1.0".to_owned());
    let file = "/var/lib/thermowell/b1.spill.aside-1".to_owned();
    let decision = Decision {
        rule: "law".to_owned(),
        demand: Some(Demand::Heat),
        flow: Some(47.25),
        wish: Some(46.0),
        correction: 1.25,
        integral: -0.5,
        current: Some(45.1),
        average: None,
        asked: None,
        share: 0.75,
        room: Some(20.5),
        room_source: None,
        outdoor: Some(-3.25),
        outdoor_day: Some(3.5),
        outdoor_day_hours: 24.0,
        heating_season: Some(true),
        outdoor_source: Some("roof".parse().expect("a name")),
        target: 21.0,
        forecast: Some(Forecast { target: 21.0, at: UTC, heats_from: UTC }),
        warm_up: Some(0.75),
        based_on: Some(SLOT),
        command: Some("x-9".parse().expect("a command's id")),
        deficit: Some(DEFICIT),
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
        EventBody::SensorImplausible {
            quantity: Quantity::Outdoor,
            value: 85.0,
            reason: "-50 to 50 °C".to_owned(),
            source: None,
        },
        EventBody::SensorSound { quantity: Quantity::Outdoor, source: Some("roof".parse().expect("a name")) },
        EventBody::SnapshotDiffers { recomputed: Box::new(snapshot()) },
        EventBody::Decided(Box::new(decision)),
        EventBody::BurnerCycles { starts: 4 },
        EventBody::DeliversLess(DEFICIT),
        EventBody::DeliversAgain(DEFICIT),
        EventBody::FaultBegan(fault(false)),
        EventBody::FaultLockedOut(fault(true)),
        EventBody::FaultEnded(fault(true)),
    ]
}

pub(crate) fn fault(lockout: bool) -> FaultReport {
    let state = if lockout { BoilerState::Lockout } else { BoilerState::Blocked };
    FaultReport { fault: FAULT, kind: FaultKind::Pump, lockout, state, slot: SLOT }
}

const FAULT: Occurrence = Occurrence { boot: BOOT, counter: 3 };

const ACTIONS: [Action; 5] = [
    Action::Boost { flow: 65.0 },
    Action::SetBack { room: 16.5 },
    Action::HotWater { flow: 60.0 },
    Action::Hold,
    Action::Release,
];

fn command(action: Action) -> Command {
    let based_on = BasedOn {
        state: 31,
        status: 32,
        command: 7,
        slot: Slot { boot: BOOT, seq: 360_000 },
        current: 47.25,
        average: 46.13,
        coverage: 0.99722,
    };
    let ends = action != Action::Release;
    Command {
        id: "2026-01-07-party".parse().expect("an id"),
        boiler: boiler(),
        by: "anna".parse().expect("a name"),
        action,
        created_at: UTC,
        valid_until: ends.then_some(UTC + 1_800.0),
        based_on: ends.then_some(based_on),
        version: 1,
    }
}

pub(crate) fn ambient(value: f64) -> AmbientReading {
    AmbientReading { value, stamp: UTC, source: "hall".parse().expect("a name"), version: 1 }
}

fn approval() -> Approval {
    Approval {
        boiler: boiler(),
        fault: FAULT,
        kind: FaultKind::Ignition,
        by: "anna".parse().expect("a name"),
        created_at: UTC,
        version: 1,
    }
}

fn reset() -> Reset {
    let approved = |by: &str, sequence| Approved { by: by.parse().expect("a name"), sequence, at: UTC };
    Reset {
        boiler: boiler(),
        fault: FAULT,
        kind: FaultKind::Ignition,
        approvals: vec![approved("anna", 8), approved("ben", 9)],
        instance: "cellar".to_owned(),
        created_at: UTC,
        valid_until: UTC + 60.0,
        version: 1,
    }
}
