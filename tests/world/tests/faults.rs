//! Faults of the boiler while agents die and servers are away: EVENT tells each of them once.

use thermowell_flow::published::EventBody;
use thermowell_wire::line::FaultKind;
use world::told::{history, tell_through_outages};

#[test]
fn a_fault_is_told_once_whoever_dies_meanwhile() {
    let (events, outcome) = tell_through_outages();
    assert_eq!(outcome.failure, None, "{:#?}", outcome.history);
    let (stands, begun) = history(&events).unwrap_or_else(|wrong| panic!("{wrong}: {events:#?}"));
    let kinds: Vec<FaultKind> = begun.iter().map(|fault| fault.kind).collect();
    assert_eq!((kinds.as_slice(), stands), ([FaultKind::Sensor, FaultKind::Sensor].as_slice(), None), "{events:#?}");
    let [EventBody::FaultBegan(begin), EventBody::FaultEnded(end), ..] = events.as_slice() else {
        panic!("{events:#?}");
    };
    // It ended while the server was away, and was told by an agent that was not there then.
    assert!(begin.slot.seq.abs_diff(6_000) < 200 && end.slot.seq > 18_000, "{events:#?}");
    let [.., EventBody::FaultBegan(begin), EventBody::FaultEnded(end)] = events.as_slice() else {
        panic!("{events:#?}");
    };
    // This one held the places until the server was back.
    assert!(begin.slot.seq.abs_diff(30_000) < 400 && end.slot.seq.abs_diff(31_000) < 400, "{events:#?}");
}
