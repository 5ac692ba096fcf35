//! If any process is killed or hangs, or the cable is pulled, the boiler is on its own control after the end of the
//! lease, and gets leases again after that is mended.

use firmware_sim::account::{Account, Event};
use rig::house::{House, SOON, assert_whole};
use rustix::process::Signal;
use thermowell_wire::BoilerId;
use thermowell_wire::units::SECOND_NS;

/// Simulated seconds per real second.
const SPEED: u32 = 20;
/// Maximum delay of the end of control, by the simulator's account.
const LATE_NS: i64 = 2 * SECOND_NS;

#[derive(Clone, Copy)]
enum Loss {
    Killed(&'static str),
    Hung(&'static str),
    Unplugged,
}

use Loss::{Hung, Killed, Unplugged};

impl Loss {
    fn strike(self, house: &mut House) {
        match self {
            Killed(victim) => house.role(victim).keep_down().unwrap(),
            Hung(victim) => house.role(victim).signal(Signal::STOP).unwrap(),
            Unplugged => assert_eq!(house.order("unplug b1"), "unplugged"),
        }
    }

    fn mend(self, house: &mut House) {
        match self {
            Killed(victim) => house.role(victim).bring_up().unwrap(),
            Hung(victim) => house.role(victim).signal(Signal::CONT).unwrap(),
            Unplugged => assert_eq!(house.order("plug b1"), "plugged"),
        }
    }

    /// A controller without fresh data releases the boiler, if there is a way to it.
    fn may_release(self) -> bool {
        matches!(self, Killed("nats-server" | "aggregator") | Hung("nats-server" | "aggregator"))
    }
}

#[test]
fn with_a_process_killed_the_boiler_is_on_its_own_control() {
    loses(&["nats-server", "aggregator", "agent"].map(Killed));
}

#[test]
fn with_a_process_hung_the_boiler_is_on_its_own_control() {
    loses(&["nats-server", "aggregator", "controller"].map(Hung));
}

#[test]
fn if_it_cannot_be_released_its_control_ends_with_the_lease() {
    loses(&[Killed("controller"), Hung("agent"), Unplugged]);
}

/// One loss after the other. Only the boiler itself is observed, no server.
fn loses(losses: &[Loss]) {
    let mut house = House::start(super::DEMO, &["--speed", &SPEED.to_string(), "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    until_leased(&mut house, &boiler);
    for loss in losses {
        loss.strike(&mut house);
        house.until("own control", SOON, |house| (!house.place(&boiler)?.leased).then_some(()));
        if let Killed("controller") = loss {
            house.until("the table shows it", SOON, |house| (obeyed(house, &boiler) == "own").then_some(()));
        }
        loss.mend(&mut house);
        until_leased(&mut house, &boiler);
    }
    house.until("the table shows a lease", SOON, |house| {
        let word = obeyed(house, &boiler);
        (word == "no heat" || word.ends_with('°')).then_some(())
    });
    assert_whole(&house.close());

    let late = ends(&house, &boiler);
    assert!(late.len() >= losses.len(), "{} ends of control in {} losses", late.len(), losses.len());
    assert!(late.iter().all(|late_ns| *late_ns < LATE_NS), "control ended so many ns after its lease: {late:?}");
    let may_release = losses.iter().any(|loss| loss.may_release());
    assert!(may_release || late.iter().all(|late_ns| *late_ns >= 0), "control ended ahead of its lease: {late:?}");
}

fn until_leased(house: &mut House, boiler: &BoilerId) {
    house.until("a lease is obeyed", SOON, |house| house.place(boiler)?.leased.then_some(()));
}

/// The column `obeyed` of the demo's table.
fn obeyed(house: &House, boiler: &BoilerId) -> String {
    let table = house.table();
    let line = |sign: &dyn Fn(&&str) -> bool| table.lines().find(sign).expect("a line of the table");
    let (header, row) = (line(&|line| line.contains("obeyed")), line(&|line| line.starts_with(boiler.as_str())));
    let end = header.find("obeyed").expect("a column") + "obeyed".len();
    let word: String = row.chars().take(end).skip(end - 8).collect();
    word.trim().to_owned()
}

/// How long after its lease each control ended, as recorded by the simulator; below 0 if it was released.
fn ends(house: &House, boiler: &BoilerId) -> Vec<i64> {
    let account = Account::open(&house.plan.account()).unwrap();
    let ns = |t_ns: &u64| i64::try_from(*t_ns).unwrap();
    let mut lease_ends_ns = None;
    let mut late = Vec::new();
    for event in &account.boiler(boiler).expect("its account").events {
        if let Event::Lease { t_ns, lease_s, .. } = event {
            lease_ends_ns = Some(ns(t_ns) + i64::from(*lease_s) * SECOND_NS);
        }
        if let Event::OwnControl { t_ns, .. } = event {
            late.push(ns(t_ns) - lease_ends_ns.take().expect("a lease before its end"));
        }
    }
    late
}
