//! A cable that is pulled and put back: within the ring nothing is missing, beyond it exactly what the ring lost. And a
//! port that the agent cannot have: the other boilers go on.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use firmware_sim::account::Account;
use rig::house::{self, House, SOON, assert_whole};
use rustix::fs::{FlockOperation, flock};
use thermowell::config::Config;
use thermowell::nats::{Connection, User};
use thermowell_flow::published::{Lease, Link, Status};
use thermowell_wire::line::Demand;
use thermowell_wire::subject::{self, stream};
use thermowell_wire::{BoilerId, Slot};

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

/// Real time that a boiler's samples take after the plug: 2 s, on a machine that is four times as slow.
const REPLUGGED: Duration = Duration::from_secs(8);

/// Leases come with each look at a level, many times a second: far more often than a port is tried.
#[test]
fn a_port_is_opened_in_time_while_leases_and_statuses_come() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("samples arrive", SOON, |house| house.stored(&boiler));
    let traffic = Traffic::of(&house, &boiler);
    assert_eq!(house.order(&format!("unplug {boiler}")), "unplugged");
    // By then the pause between two tries is its longest.
    house.until("the port was tried eight times", SOON, |house| {
        traffic.lease(house);
        tries(house).filter(|tries| *tries >= 8)
    });
    assert_eq!(house.order(&format!("plug {boiler}")), "plugged");
    let place = house.place(&boiler).expect("the boiler runs");
    house.until("the samples since the plug", REPLUGGED, |house| {
        traffic.lease(house);
        house.stored(&boiler).filter(|(boot, next)| *boot == place.boot && *next > place.next)
    });
    assert_whole(&house.close());
}

/// Leases by the controller's user, which the agent hands on while the device is there.
struct Traffic {
    connection: Connection,
    subject: String,
    json: Vec<u8>,
}

impl Traffic {
    fn of(house: &House, boiler: &BoilerId) -> Self {
        let config = Config::load(&house.config()).expect("the run's configuration");
        let connection = house.wait_for(Connection::reach(&config.nats, User::Controller));
        let (boot, seq) = house.stored(boiler).expect("SAMPLES has something");
        let (based_on, instance) = (Slot { boot, seq }, "traffic".to_owned());
        let (demand, flow, lease_s) = (Demand::Heat, 50.0, 60);
        let lease = Lease { demand, flow, lease_s, based_on, instance, created_at: 0.0, version: 1 };
        let (subject, json) = (subject::setpoint(boiler).to_string(), thermowell::nats::json(&lease));
        Self { connection: connection.expect("the server runs"), subject, json }
    }

    fn lease(&self, house: &House) {
        house.wait_for(async {
            let sent = self.connection.context().publish(self.subject.clone(), self.json.clone().into()).await;
            sent.expect("LEASE is there").await.expect("LEASE takes it");
        });
    }
}

/// The most tries that the agent's log has of a port.
fn tries(house: &House) -> Option<u32> {
    let log = house::log(house.processes.agent.log());
    let lines = log.lines().filter(|line| line.contains("serial port not open"));
    lines.filter_map(|line| line.split("tries=").nth(1)?.split(' ').next()?.parse().ok()).max()
}

fn link(house: &House, id: &BoilerId) -> Option<Link> {
    house.last_json(stream::STATUS, &subject::status(id)).map(|status: Status| status.link)
}

/// The lines of the agent's log with these words.
fn said(house: &House, words: &[&str]) -> Vec<String> {
    let log = house::log(house.processes.agent.log());
    log.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
}

#[test]
fn a_port_in_use_is_waited_for_while_the_other_boiler_goes_on() {
    let (mut house, free) = start(&[]);
    let [_, taken] = house.boilers().try_into().expect("two boilers");
    house.processes.agent.keep_down().unwrap();
    let holder = File::open(house.folder().join("ports").join(taken.as_str())).unwrap();
    flock(&holder, FlockOperation::NonBlockingLockExclusive).unwrap();
    house.processes.agent.bring_up().unwrap();
    let before = house.stored(&free).expect("its history");
    house
        .until("the free one's samples", SOON, |house| house.stored(&free).filter(|end| end.1 > before.1 + 10 * SLOTS));
    house.until("its link is down", SOON, |house| (link(house, &taken)? == Link::Down).then_some(()));
    let name = format!("is in use by process {} (", std::process::id());
    house.until("the holder is named", SOON, |house| said(house, &["WARN", "b2", &name]).first().cloned());
    let lines = said(&house, &[&name]).len();
    assert!(lines <= tries(&house).expect("a line").ilog2() as usize + 1, "throttled: {lines} lines");
    assert!(said(&house, &["serial port open", "boiler=b2"]).len() < 2, "it is not open yet");
    drop(holder);
    house.until("the port is open at last", SOON, |house| {
        said(house, &["serial port open", "boiler=b2"]).get(1).cloned()
    });
    house.until("its link is up", SOON, |house| (link(house, &taken)? == Link::Up).then_some(()));
    assert_eq!(house.processes.agent.deaths(), 0, "the agent lives on");
    assert_whole(&house.close());
}

#[test]
fn two_boilers_on_one_device_are_named_and_the_first_goes_on() {
    let (mut house, first) = start(&[]);
    house.processes.agent.keep_down().unwrap();
    let link = house.folder().join("ports/by-id");
    symlink(fs::canonicalize(house.folder().join("ports/b1")).unwrap(), &link).unwrap();
    let config = house.config();
    let text = fs::read_to_string(&config).unwrap();
    let shared = text.replace("ports/b2\"", "ports/by-id\"");
    assert_ne!(shared, text);
    fs::write(&config, shared).unwrap();
    let before = house.stored(&first).expect("its history");
    house.processes.agent.bring_up().unwrap();
    let by_id = link.display().to_string();
    let line = house.until("both are named", SOON, |house| {
        said(house, &["serial port not open", "boilers b2 and b1 have the same serial port", &by_id]).first().cloned()
    });
    assert!(line.contains("WARN") && line.contains("ports/b1"), "{line}");
    house.until("the first one's samples", SOON, |house| {
        house.stored(&first).filter(|end| end.1 > before.1 + 10 * SLOTS)
    });
    assert_eq!(house.processes.agent.deaths(), 0, "the agent lives on");

    let output = Command::new(super::DEMO).args(["thermowell", "check", "--config"]).arg(&config).output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    for (one, other) in [("b1", "b2"), ("b2", "b1")] {
        let words = ["error", "port.distinct", one, &format!("is also the port of boiler {other}")];
        assert!(report.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?} in:\n{report}");
    }
    house.processes.agent.keep_down().unwrap();
    fs::write(&config, text).unwrap();
    house.processes.agent.bring_up().unwrap();
    assert_whole(&house.close());
}
