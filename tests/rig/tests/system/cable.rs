//! A cable that is pulled and put back: within the ring nothing is missing, beyond it exactly what the ring lost.

use std::time::Duration;

use firmware_sim::account::Account;
use rig::house::{House, SOON, assert_whole};
use thermowell_wire::BoilerId;

/// Simulated seconds in a real one.
const SPEED: u32 = 5;
/// Slots in a simulated second.
const SLOTS: u64 = 100;
/// What may be under way, or late, on a busy machine: real seconds times the speed.
const SLACK: u64 = 4 * SPEED as u64 * SLOTS;

fn start(arguments: &[&str]) -> (House, BoilerId) {
    let house_arguments: Vec<&str> = ["--speed", "5"].iter().chain(arguments).copied().collect();
    let mut house = House::start(super::DEMO, &house_arguments);
    let [pulled, other] = house.boilers().try_into().expect("two boilers");
    for boiler in [&pulled, &other] {
        house.until("samples arrive", SOON, |house| house.stored(boiler));
    }
    (house, pulled)
}

#[test]
fn thirty_seconds_without_a_cable_lose_nothing() {
    let (mut house, boiler) = start(&[]);
    assert_eq!(house.order(&format!("unplug {boiler}")), "unplugged");
    house.go_on(Duration::from_secs(30) / SPEED);
    let place = house.place(&boiler).expect("the boiler runs");
    let (_, stored) = house.stored(&boiler).expect("something is stored");
    assert!(stored + 25 * SLOTS < place.next, "{stored} of {} came without a cable", place.next);
    assert_eq!(house.order(&format!("plug {boiler}")), "plugged");
    assert_whole(&house.close());
}

#[test]
fn beyond_the_ring_exactly_what_it_lost_is_missing() {
    // 3 s × speed, so that the pull takes seconds.
    beyond_the_ring(300, Duration::from_secs(60));
}

#[test]
#[ignore = "three minutes"]
fn fifteen_minutes_without_a_cable_lose_what_the_whole_ring_does_not_hold() {
    beyond_the_ring(12_000, Duration::from_mins(15));
}

/// `ring` is that of a device at speed 1, `pull` is simulated time.
fn beyond_the_ring(ring: u64, pull: Duration) {
    let (mut house, boiler) = start(&["--sim-arg=--ring", &format!("--sim-arg={ring}")]);
    let ring = ring * u64::from(SPEED);
    let before = house.place(&boiler).expect("the boiler runs");
    assert_eq!(house.order(&format!("unplug {boiler}")), "unplugged");
    house.go_on(pull / SPEED);
    let behind = house.place(&boiler).expect("the boiler runs");
    assert_eq!(behind.oldest, behind.next - ring);
    assert_eq!(house.order(&format!("plug {boiler}")), "plugged");
    let ledger = house.close();

    let account = Account::open(&house.plan.account()).unwrap();
    let record = account.boiler(&boiler).and_then(|account| account.boot(before.boot)).expect("its boot");
    let [gap] = record.ring_gaps.as_slice() else { panic!("one gap, not {:?}", record.ring_gaps) };
    assert!((before.next.saturating_sub(SLACK)..=before.next + SLACK).contains(&gap.start), "{gap:?}, {before:?}");
    assert!((behind.oldest..=behind.oldest + SLACK).contains(&gap.end), "{gap:?}, {behind:?}");
    for report in &ledger.boilers {
        let book = &report.samples;
        let lost = if report.boiler == boiler.as_str() { gap.end - gap.start } else { 0 };
        assert_eq!((book.lost, book.twice, book.wrong, book.named), (0, 0, 0, lost), "{}: {book:?}", report.boiler);
        assert!(report.boiler != boiler.as_str() || book.slots + lost == book.ends[&before.boot]);
    }
}
