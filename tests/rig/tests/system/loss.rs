//! If any process is killed or hangs, the boiler is on its own control after the end of the lease, and gets leases
//! again after the process is restarted.
//!
//! A killed controller, a hung agent and a pulled cable are tested in `control`.

use std::time::Duration;

use firmware_sim::account::{Account, Event};
use rig::house::{House, SOON, assert_whole};
use rig::process::Supervised;
use rustix::process::Signal;
use thermowell_wire::BoilerId;

/// Simulated seconds per real second.
const SPEED: u32 = 20;
/// The length of a lease, and the maximum age of the data for a renewal, in simulated time.
const LEASE: Duration = Duration::from_secs(60 + 5);
/// For a busy machine, in real time: the account is exact.
const BUSY: Duration = Duration::from_secs(5);
/// Maximum delay of the end of control.
const LATE_NS: u64 = 2_000_000_000;

#[derive(Clone, Copy)]
enum Loss {
    Killed,
    Hung,
}

impl Loss {
    fn strike(self, victim: &mut Supervised) {
        match self {
            Self::Killed => victim.keep_down().unwrap(),
            Self::Hung => victim.signal(Signal::STOP).unwrap(),
        }
    }

    fn mend(self, victim: &mut Supervised) {
        match self {
            Self::Killed => victim.bring_up().unwrap(),
            Self::Hung => victim.signal(Signal::CONT).unwrap(),
        }
    }
}

#[test]
fn with_a_process_killed_the_boiler_is_on_its_own_control() {
    loses(Loss::Killed, &["nats-server", "aggregator", "agent"]);
}

#[test]
fn with_a_process_hung_the_boiler_is_on_its_own_control() {
    loses(Loss::Hung, &["nats-server", "aggregator", "controller"]);
}

/// One victim after the other. Only the boiler itself is observed, no server.
fn loses(loss: Loss, victims: &[&str]) {
    let mut house = House::start(super::DEMO, &["--speed", &SPEED.to_string(), "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    until_leased(&mut house, &boiler, "a lease is obeyed");
    for victim in victims {
        loss.strike(house.role(victim));
        house.until(&format!("own control without {victim}"), LEASE / SPEED + BUSY, |house| {
            (!house.place(&boiler)?.leased).then_some(())
        });
        loss.mend(house.role(victim));
        until_leased(&mut house, &boiler, &format!("control comes back with {victim}"));
    }
    assert_whole(&house.close());

    let late = ends(&house, &boiler);
    assert!(late.len() >= victims.len(), "{} ends of control without {victims:?}", late.len());
    assert!(late.iter().all(|late_ns| *late_ns < LATE_NS), "control ended so many ns after its lease: {late:?}");
}

fn until_leased(house: &mut House, boiler: &BoilerId, what: &str) {
    house.until(what, SOON, |house| house.place(boiler)?.leased.then_some(()));
}

/// How long after its lease each control ended, as recorded by the simulator. It may end earlier: a controller without
/// fresh data releases the boiler.
fn ends(house: &House, boiler: &BoilerId) -> Vec<u64> {
    let account = Account::open(&house.plan.account()).unwrap();
    let mut lease_ends_ns = None;
    let mut late = Vec::new();
    for event in &account.boiler(boiler).expect("its account").events {
        if let Event::Lease { t_ns, lease_s, .. } = event {
            lease_ends_ns = Some(t_ns + u64::from(*lease_s) * 1_000_000_000);
        }
        if let Event::OwnControl { t_ns, .. } = event {
            late.push(t_ns.saturating_sub(lease_ends_ns.take().expect("a lease before its end")));
        }
    }
    late
}
