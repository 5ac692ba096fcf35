//! Control that is lost: the boiler falls back to its own when the lease has ended, whoever is dead.

use std::time::Duration;

use firmware_sim::account::{Account, Event};
use rig::house::{House, SOON, assert_whole};
use thermowell_flow::published::Status;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

fn leased(house: &House, boiler: &BoilerId) -> Option<bool> {
    let status: Status = house.last_json(stream::STATUS, &subject::status(boiler))?;
    Some(status.device?.setpoint.is_some())
}

/// The control column of the demo's table.
fn control(house: &House, boiler: &BoilerId) -> String {
    let table = house.table();
    let row = table.lines().find(|line| line.starts_with(boiler.as_str())).expect("a row").to_owned();
    let word = row.split_whitespace().find(|word| ["lease", "own", "link"].contains(word));
    word.unwrap_or_else(|| panic!("no control in {row}")).to_owned()
}

#[test]
fn without_its_controller_a_boiler_is_on_its_own_control_when_the_lease_ends() {
    let speed = 10;
    let mut house = House::start(super::DEMO, &["--speed", "10", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("a lease is obeyed", SOON, |house| leased(house, &boiler)?.then_some(()));
    assert_eq!(control(&house, &boiler), "lease");
    house.processes.controller.keep_down().unwrap();

    let lease = Duration::from_secs(60) / speed;
    house.until("the boiler is on its own control", lease + Duration::from_secs(5), |house| {
        (!leased(house, &boiler)?).then_some(())
    });
    assert!(!house.place(&boiler).expect("the boiler runs").leased);
    assert_eq!(control(&house, &boiler), "own");

    house.processes.controller.bring_up().unwrap();
    house.until("control comes back", SOON, |house| leased(house, &boiler)?.then_some(()));
    assert_whole(&house.close());

    let account = Account::open(&house.plan.account()).unwrap();
    let events = &account.boiler(&boiler).expect("its account").events;
    let end = events.iter().position(|event| matches!(event, Event::OwnControl { .. })).expect("an end of control");
    let [.., Event::Lease { t_ns: from, lease_s, .. }, Event::OwnControl { t_ns: to, .. }] = events[..=end] else {
        panic!("control did not end behind a lease: {events:?}");
    };
    let late = (to - from).checked_sub(u64::from(lease_s) * SECOND).expect("a lease does not end early");
    assert!(late < 2 * SECOND, "control ended {late} ns behind its lease");
}
