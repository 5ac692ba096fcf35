//! Every line of `agent`, `aggregator`, `controller`, `event` and `samples_flow`, as the journal gets it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use thermowell_flow::actuate::Declined;
use thermowell_flow::batch::stamp::Rate;
use thermowell_flow::controller::Unfit;
use thermowell_flow::plausible::{Cause, Implausible, Quantity};
use thermowell_flow::published::{Deficit, Unusable};
use thermowell_wire::batch::Malformed;
use thermowell_wire::line::{Fault, FaultKind, Rejection};
use thermowell_wire::subject::Ambient;
use thermowell_wire::{Boot, Occurrence, Slot};
use tracing_subscriber::layer::SubscriberExt as _;

use super::journal::Journal;
use super::*;

const BOOT: Boot = Boot(0x0000_0007_0000_00ab);
const SLOT: Slot = Slot { boot: BOOT, seq: 360_000 };
const FAULT: Occurrence = Occurrence { boot: BOOT, counter: 3 };
/// The hour of 2026-01-07T02:00:00Z.
const HOUR: i64 = 491_042;

fn agent_lines() -> Vec<agent::Log> {
    use agent::Log;
    let declined = [
        Declined::ControlOff,
        Declined::NoDevice,
        Declined::OtherBoot { based_on: SLOT },
        Declined::Stale { based_on: SLOT, newest: 361_000 },
        Declined::Late,
        Declined::NoSuchFault { fault: FAULT },
        Declined::Overtaken { based_on: SLOT, sent: 360_100 },
    ];
    let causes = [Cause::Window, Cause::Step { from: 20_10, allowed: 2_00 }, Cause::Unset];
    let implausible = causes.map(|cause| Implausible { quantity: Quantity::Room, value: 85_00, cause });
    let mut lines = vec![
        Log::Device { serial_number: "TW-0042".into(), boot: BOOT },
        Log::DeviceRefused { reason: "its serial number is TW-0043".into() },
        Log::Resumed { from: SLOT },
        Log::TailRead { end: Some(SLOT) },
        Log::TailRead { end: None },
        Log::StreamWentBack { expected: 90, found: 80, slots: 1_000 },
        Log::Conflict { found: "message 91 is of another board".into() },
        Log::TooLarge { slots: 100 },
        Log::TooLarge { slots: 1 },
        Log::SpoolFull { backlog: 12_000 },
        Log::SpoolHasRoom,
        Log::Spilling { backlog: 3_000 },
        Log::SpillDone,
        Log::ClockJumped { by_ns: -40_000_000 },
        Log::ClockRate(Rate { ppm: 20_000, followed: true }),
        Log::ClockRate(Rate { ppm: 90_000, followed: false }),
        Log::SensorSound { quantity: Quantity::Room },
    ];
    lines.extend(Rejection::ALL.map(|cause| Log::Rejected { cause, total: 4 }));
    lines.extend(declined.iter().cloned().map(Log::LeaseDeclined));
    lines.extend(declined.map(Log::ResetDeclined));
    lines.extend(implausible.map(Log::SensorImplausible));
    lines
}

fn aggregator_lines() -> Vec<aggregator::Log> {
    use aggregator::Log;
    vec![
        Log::Malformed { sequence: 17, cause: Malformed::Body },
        Log::Seen { sequence: 17, slots: 100 },
        Log::Discarded { first: SLOT, slots: 9 },
        Log::Unexplained { first: SLOT, slots: 9 },
        Log::SteppedBack { first: SLOT, slots: 9 },
        Log::SnapshotDiffers { hour: HOUR },
        Log::AnotherIsAhead { hour: HOUR },
        Log::BacklogFull { hour: HOUR },
    ]
}

const DEFICIT: Deficit = Deficit { kelvin: 4.25, share: 0.8, hours: 1.0 };

fn controller_lines() -> Vec<controller::Log> {
    use controller::Log;
    let fault = Fault { boot: BOOT, counter: 3, kind: FaultKind::FlameLoss, lockout: true };
    let id = || "party".parse().unwrap();
    let source = || "hall".parse().unwrap();
    let implausible = Implausible { quantity: Quantity::Room, value: 85_00, cause: Cause::Window };
    vec![
        Log::Rule { rule: "law" },
        Log::RoomMissing,
        Log::RoomFrozen,
        Log::RoomBack,
        Log::OutdoorMissing { mean: -3.25 },
        Log::AmbientUnusable {
            what: Ambient::Room,
            source: source(),
            why: Unusable::Ahead(Duration::from_secs(3_600)),
        },
        Log::AmbientUnusable {
            what: Ambient::Outdoor,
            source: source(),
            why: Unusable::Old(Duration::from_secs(11_000)),
        },
        Log::AmbientImplausible { source: source(), it: implausible },
        Log::AmbientSound { source: source(), quantity: Quantity::Room },
        Log::Lockout { fault: Some(fault) },
        Log::Lockout { fault: None },
        Log::Refused,
        Log::Cycling,
        Log::DeliversLess(DEFICIT),
        Log::DeliversAgain(DEFICIT),
        Log::Ordered { id: id() },
        Log::Unfit { id: id(), why: Unfit::Expired },
        Log::Unfit { id: id(), why: Unfit::TooLong { longest: Duration::from_secs(3_600) } },
        Log::Unfit { id: id(), why: Unfit::Boot { checked: BOOT, boot: BOOT } },
        Log::OrderEnded { id: id() },
    ]
}

/// From their published JSON.
fn events() -> Vec<EventBody> {
    let (boot, fault) = (BOOT.to_string(), FAULT.to_string());
    let slot = json!({"boot": boot, "seq": 360_000});
    let report = |name: &str, lockout: bool| {
        json!({"name": name, "fault": fault, "kind": "flame_loss", "lockout": lockout, "state": "lockout",
            "slot": slot})
    };
    let decided = |demand: serde_json::Value, flow: serde_json::Value| {
        json!({"name": "Decided", "rule": "law", "demand": demand, "flow": flow, "wish": 50.0, "correction": 0.0,
            "current": 48.2, "average": null, "asked": null, "share": 0.0, "room": 20.5, "outdoor": null,
            "target": 21.0, "based_on": slot})
    };
    let accepted = json!({"accepted": {"flow": 55.0, "lease_s": 60}});
    let snapshot = json!({
        "temperature": 52.13, "created_at": 1, "temperature_points": 10, "boiler": "b1",
        "hour": "2026-01-07T02:00:00Z", "minimum": 50.0, "maximum": 55.0, "coverage": 0.5, "partial": true,
        "heating": {"temperature": null, "points": 0}, "slots": 10,
        "missing": {"ring": 0, "reboot": 0, "missed": 0, "invalid": 0, "clock": 0, "discarded": 0, "unexplained": 0},
        "skipped_hours": 0, "sum_centi": 52_130, "first": null, "last": slot,
        "samples": {"replay": 1, "first": 1, "last": 2}, "simulated": true, "clock": "synced", "version": 1
    });
    let approval = json!({"by": "ben", "sequence": 4, "at": 1.5});
    let refusals = ["boot", "order", "lockout", "panel", "no_such_fault", "local_only", "too_many", "lease"]
        .map(|refusal| json!({"name": "Answered", "n": 4, "outcome": {"refused": refusal}}));
    let events = [
        json!({"name": "BootSeen", "boot": boot, "serial_number": "TW-0042", "firmware": "device 0.1.0"}),
        json!({"name": "GapNamed", "boot": boot, "from": 100, "to": 150, "reason": "ring"}),
        json!({"name": "DeviceRefused", "serial_number": "TW-0043", "reason": "it is bound to TW-0042"}),
        json!({"name": "StreamWentBack", "expected": 90, "found": 80}),
        json!({"name": "Conflict", "found": "message 91 is of another board"}),
        json!({"name": "SpillFilePutAside", "file": "b1.spill.1", "reason": "torn"}),
        json!({"name": "ClockJumped", "by_ns": 40_000_000}),
        json!({"name": "ClockRate", "ppm": 20_000, "followed": true}),
        json!({"name": "ClockRate", "ppm": 90_000, "followed": false}),
        json!({"name": "Answered", "n": 4, "outcome": accepted}),
        json!({"name": "SnapshotDiffers", "recomputed": snapshot}),
        decided("heat".into(), 55.04.into()),
        decided("none".into(), json!(null)),
        decided(json!(null), json!(null)),
        json!({"name": "Retired", "last": 90, "gateway": "cellar"}),
        json!({"name": "BoardAccepted", "serial_number": "TW-0043", "instead_of": 0x2a, "last": 90,
            "gateway": "cellar"}),
        json!({"name": "CommandAccepted", "id": "party", "by": "anna", "action": "boost", "flow": 65.0,
            "valid_until": 1.5, "sequence": 4}),
        json!({"name": "CommandRefused", "id": "party", "by": "anna", "action": "hold", "reason": "no lease"}),
        json!({"name": "ResetApproved", "fault": fault, "kind": "flame_loss", "by": "anna", "sequence": 3}),
        json!({"name": "ResetRefused", "fault": fault, "by": "anna", "reason": "no such fault"}),
        json!({"name": "ResetOrdered", "fault": fault, "kind": "flame_loss", "approvals": [approval], "sequence": 5}),
        json!({"name": "ResetAnswered", "fault": fault, "n": 5, "outcome": accepted}),
        json!({"name": "ResetDropped", "fault": fault, "reason": "the link is down"}),
        json!({"name": "BurnerCycles", "starts": 4}),
        json!({"name": "DeliversLess", "kelvin": 4.25, "share": 0.8, "hours": 1.0}),
        json!({"name": "DeliversAgain", "kelvin": 1.2, "share": 0.8, "hours": 26.5}),
        report("FaultBegan", false),
        report("FaultBegan", true),
        report("FaultLockedOut", true),
        report("FaultEnded", true),
        json!({"name": "SensorImplausible", "quantity": "room", "value": 85.0, "reason": "85.00 °C"}),
        json!({"name": "SensorSound", "quantity": "room"}),
        json!({"name": "SensorImplausible", "quantity": "outdoor", "value": 85.0, "reason": "85 °C", "source": "hall"}),
        json!({"name": "SensorSound", "quantity": "outdoor", "source": "hall"}),
    ];
    events.into_iter().chain(refusals).map(|json| serde_json::from_value(json).unwrap()).collect()
}

/// What the journal gets while `run` runs.
fn journal_of(run: impl FnOnce()) -> String {
    let written = tempfile::NamedTempFile::new().unwrap();
    let file = Arc::new(written.reopen().unwrap());
    let lines = tracing_subscriber::fmt::layer().with_writer(file).with_ansi(false);
    let journal = tracing_subscriber::registry().with(lines.event_format(Journal::new()));
    tracing::subscriber::with_default(journal, run);
    std::fs::read_to_string(written.path()).unwrap()
}

#[test]
fn line_of_each_message_is_throttled_and_counted() {
    let (boiler, mut throttle) = ("b1".parse().unwrap(), Throttle::default());
    let text = journal_of(|| {
        for slots in 1..=100 {
            aggregator(&boiler, &aggregator::Log::SteppedBack { first: SLOT, slots }, &mut throttle);
            aggregator(&boiler, &aggregator::Log::Seen { sequence: 1, slots }, &mut throttle);
        }
    });
    let times = |kind: &str| {
        let of_kind = text.lines().filter(|line| line.contains(kind));
        of_kind.map(|line| line.rsplit_once("times=").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    for kind in ["stamps went back", "duplicate slots"] {
        assert_eq!(times(kind), ["1", "2", "4", "8", "16", "32", "64"], "{text}");
    }
}

/// `lines.txt` is what operators read: change it on purpose, and look for what quotes it in deploy/.
#[test]
fn every_line_reads_as_in_lines_txt() {
    let boiler = "b1".parse().unwrap();
    let text = journal_of(|| {
        samples_flow(&boiler, SLOT);
        agent_lines().iter().for_each(|log| agent(&boiler, log));
        aggregator_lines().iter().for_each(|log| aggregator(&boiler, log, &mut Throttle::default()));
        controller_lines().iter().for_each(|log| controller(&boiler, log));
        events().iter().for_each(|body| event(&boiler, EventKind::Gap, body));
    });
    let text = text.replace("thermowell::logs: ", "").replace(" event=\"gap\"", "");
    assert_eq!(text, include_str!("lines.txt"), "the lines are now:\n{text}");
}

#[test]
fn samples_flow_once_per_connection() {
    let status = |link: Link, seq: Option<u64>| Status {
        boiler: "b1".parse().unwrap(),
        created_at: 0.0,
        link,
        device: None,
        newest: seq.map(|seq| Slot::new(BOOT, seq)),
        backlog: 0,
        simulated: true,
        version: 1,
    };
    let mut flowing = Flowing::default();
    let mut begins = |link, seq| flowing.begins(&status(link, seq)).is_some();
    assert!(!begins(Link::Down, None) && !begins(Link::Up, None));
    assert!(begins(Link::Up, Some(5)) && !begins(Link::Up, Some(9)) && !begins(Link::Up, Some(9)));
    assert!(!begins(Link::Silent, Some(9)) && !begins(Link::Up, Some(9)), "nothing new after the interruption");
    assert!(begins(Link::Up, Some(10)));
}

#[test]
fn documents_quote_log_lines_verbatim() {
    for (page, quoted) in [
        ("deploy/OPERATING.md", "the device's clock is 20000 ppm fast"),
        ("deploy/README.md", "too large for the server"),
    ] {
        let text = std::fs::read_to_string(format!("{}/../../{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(text.contains(&format!("*{quoted}*")), "{page}: {quoted}");
        assert!(include_str!("lines.txt").contains(quoted), "{quoted}");
    }
}
