//! Faults of the boiler while agent and server crash: EVENT has each of them once.

use thermowell_flow::published::EventBody;
use thermowell_wire::line::FaultKind;
use world::fault_events::{history, report_through_outages};

#[test]
fn faults_are_reported_once_despite_crashes() {
    let (events, outcome) = report_through_outages();
    assert_eq!(outcome.failure, None, "{:#?}", outcome.history);
    let (active, begun) = history(&events).unwrap_or_else(|wrong| panic!("{wrong}: {events:#?}"));
    let kinds: Vec<FaultKind> = begun.iter().map(|fault| fault.kind).collect();
    assert_eq!((kinds.as_slice(), active), ([FaultKind::Sensor, FaultKind::Sensor].as_slice(), None), "{events:#?}");
    let [EventBody::FaultBegan(begin), EventBody::FaultEnded(end), ..] = events.as_slice() else {
        panic!("{events:#?}");
    };
    // It ended while the server was down, and was reported by an agent started later.
    assert!(begin.slot.seq.abs_diff(6_000) < 200 && end.slot.seq > 18_000, "{events:#?}");
    let [.., EventBody::FaultBegan(begin), EventBody::FaultEnded(end)] = events.as_slice() else {
        panic!("{events:#?}");
    };
    // The events of the second fault were queued until the server was back.
    assert!(begin.slot.seq.abs_diff(30_000) < 400 && end.slot.seq.abs_diff(31_000) < 400, "{events:#?}");
}
