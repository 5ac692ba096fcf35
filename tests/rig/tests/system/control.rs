//! Operators' commands, refusals and faults of a boiler, old leases, and two controllers.

use firmware_sim::account::{Account, Event};
use futures_util::StreamExt as _;
use rig::house::{self, House, SOON, assert_whole};
use rig::process::{Child, Launch};
use rustix::process::Signal;
use thermowell_flow::published::{
    self, Action, BasedOn, Command, Decision, DeviceStatus, EventBody, FaultReport, Lease, Outcome, Status,
};
use thermowell_wire::line::{BoilerState, Demand, Fault, FaultKind, Refusal};
use thermowell_wire::subject::{self, EventKind, stream};
use thermowell_wire::{BoilerId, Slot};

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

fn leased(house: &House, boiler: &BoilerId) -> Option<bool> {
    let status: Status = house.last_json(stream::STATUS, &subject::status(boiler))?;
    Some(status.device?.setpoint.is_some())
}

/// The controller's newest decision.
pub(super) fn decision(house: &House, boiler: &BoilerId) -> Option<Decision> {
    let event: published::Event = house.last_json(stream::EVENT, &subject::event(boiler, EventKind::Decision))?;
    let EventBody::Decided(decision) = event.body else { panic!("no decision: {event:?}") };
    Some(*decision)
}

/// Its rule, and the flow temperature that it asks for.
fn decided(house: &House, boiler: &BoilerId) -> Option<(String, Option<f64>)> {
    decision(house, boiler).map(|decision| (decision.rule, decision.flow))
}

fn until_decided(house: &mut House, boiler: &BoilerId, rule: &str) {
    house.until(rule, SOON, |house| (decided(house, boiler)?.0 == rule).then_some(()));
}

fn device(house: &House, boiler: &BoilerId) -> Option<DeviceStatus> {
    house.last_json::<Status>(stream::STATUS, &subject::status(boiler))?.device
}

/// Every event of this kind, in the order of the stream.
fn events(house: &House, boiler: &BoilerId, kind: EventKind) -> Vec<EventBody> {
    let subject = subject::event(boiler, kind);
    house.wait_for(async {
        let context = async_nats::jetstream::new(house.connect().await.expect("the server runs"));
        let stream = context.get_stream(stream::EVENT).await.expect("EVENT is there");
        let mut events = Vec::new();
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.expect("nothing goes from EVENT within a test");
            if message.subject.as_str() == subject.as_str() {
                let event: published::Event = serde_json::from_slice(&message.payload).expect("an event");
                events.push(event.body);
            }
        }
        events
    })
}

/// The fault events, in order: whether it is a begin, and the report.
fn faults(house: &House, boiler: &BoilerId) -> Vec<(bool, FaultReport)> {
    let reports = events(house, boiler, EventKind::Fault).into_iter().map(|body| {
        if let EventBody::FaultBegan(report) = body {
            return (true, report);
        }
        let EventBody::FaultEnded(report) = body else { panic!("a lockout is a fault of its own here: {body:?}") };
        (false, report)
    });
    reports.collect()
}

/// An operator's command, as `thermowell command` publishes it.
fn order(house: &House, boiler: &BoilerId, id: &str, action: Action, seconds: f64) {
    order_as(house, boiler, "anna", id, action, seconds);
}

/// A command of anna, published by `publisher`.
fn order_as(house: &House, boiler: &BoilerId, publisher: &str, id: &str, action: Action, seconds: f64) {
    let now = house.last_json::<published::State>(stream::STATE, &subject::state(boiler)).expect("a state");
    let slot = now.slot;
    let based_on = BasedOn { state: 1, status: 1, command: 0, slot, current: 40.0, average: 40.0, coverage: 1.0 };
    let is_release = action == Action::Release;
    let command = Command {
        id: id.parse().unwrap(),
        boiler: boiler.clone(),
        by: "anna".parse().unwrap(),
        action,
        created_at: now.stamp,
        valid_until: (!is_release).then_some(now.stamp + seconds),
        based_on: (!is_release).then_some(based_on),
        version: 1,
    };
    let subject = subject::command(boiler, &command.id, &publisher.parse().unwrap());
    house.publish(subject, thermowell::nats::json(&command));
}

#[test]
fn an_operators_command_acts_outlives_a_restart_and_ends() {
    let mut house = House::start(super::DEMO, &["--speed", "10", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("a lease is obeyed", SOON, |house| leased(house, &boiler)?.then_some(()));
    let (rule, _) = decided(&house, &boiler).expect("a decision");
    assert!(["warming", "law"].contains(&rule.as_str()), "{rule}");

    order_as(&house, &boiler, "ben", "x-0", Action::Boost { flow: 63.0 }, 1_800.0);
    house.until("a command in another's name is ignored", SOON, |house| {
        let log = house::log(house.processes.controller.log());
        log.contains("ignoring command in another operator's name").then_some(())
    });
    order(&house, &boiler, "x-1", Action::Boost { flow: 64.0 }, 1_800.0);
    until_decided(&mut house, &boiler, "boost");
    let asked = |house: &House| decided(house, &boiler)?.1;
    let before = asked(&house).expect("a boost asks");
    house.processes.controller.signal(Signal::KILL).unwrap();
    house.until("another controller goes on", SOON, |house| (asked(house)? > before).then_some(()));
    let (rule, flow) = decided(&house, &boiler).expect("a decision");
    assert!(rule == "boost" && flow.is_some_and(|flow| flow < before + 3.0), "by the ramp: {before} to {flow:?}");

    order(&house, &boiler, "x-2", Action::Release, 0.0);
    house.until("the law is back", SOON, |house| (decided(house, &boiler)?.0 != "boost").then_some(()));
    order(&house, &boiler, "x-3", Action::Boost { flow: 60.0 }, 60.0);
    until_decided(&mut house, &boiler, "boost");
    house.until("it ends by itself", SOON, |house| (decided(house, &boiler)?.0 != "boost").then_some(()));
    assert_whole(&house.close());
}

#[test]
fn refusals_and_faults_are_reported_and_respected() {
    let mut house = House::start(super::DEMO, &["--speed", "30", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("a lease is obeyed", SOON, |house| leased(house, &boiler)?.then_some(()));

    assert_eq!(house.order("panel b1 40"), "set");
    until_decided(&mut house, &boiler, "refused");
    house.until("EVENT has the refusal", SOON, |house| {
        let subject = subject::event(&boiler, EventKind::Answer);
        let answer: published::Event = house.last_json(stream::EVENT, &subject)?;
        let refused = Outcome::Refused(Refusal::Panel);
        matches!(answer.body, EventBody::Answered { outcome, .. } if outcome == refused).then_some(())
    });
    house.until("the lease is gone", SOON, |house| (!leased(house, &boiler)?).then_some(()));
    assert_eq!(house.order("panel b1 auto"), "set");
    house.until("a lease is obeyed again", SOON, |house| leased(house, &boiler)?.then_some(()));
    house.until("the law is back", SOON, |house| (decided(house, &boiler)?.0 != "refused").then_some(()));

    // A pump fault ends by itself; the controller continues to request heat.
    assert_eq!(house.order("fail b1 pump 1m"), "failing");
    house.until("a fault that passes", SOON, |house| {
        let device = device(house, &boiler)?;
        let fault = device.fault.filter(|fault| fault.kind == FaultKind::Pump && !fault.lockout)?;
        (device.state == BoilerState::Blocked).then_some(fault)
    });
    house.until("it passes", SOON, |house| device(house, &boiler)?.fault.is_none().then_some(()));
    let reports = house.until("EVENT has both ends of it", SOON, |house| {
        Some(faults(house, &boiler)).filter(|reports| reports.last().is_some_and(|(begins, _)| !begins))
    });
    let [(true, began), (false, ended)] = reports[..] else { panic!("{reports:?}") };
    assert_eq!((began.kind, began.lockout, began.state), (FaultKind::Pump, false, BoilerState::Blocked));
    assert!(ended.fault == began.fault && ended.slot > began.slot, "{reports:?}");
    // A flame that is lost again and again becomes a lockout.
    assert_eq!(house.order("fail b1 flame 60m"), "failing");
    until_decided(&mut house, &boiler, "lockout");
    let locked = device(&house, &boiler).expect("a status");
    let fault = locked.fault.expect("a fault");
    assert!(fault.lockout && locked.setpoint.is_none() && !locked.flame, "{locked:?}");
    assert!([FaultKind::Ignition, FaultKind::FlameLoss].contains(&fault.kind), "{fault:?}");
    // A restarted agent does not report an active lockout again; the button at the boiler ends it.
    let restarted = restart_agent(&mut house, &boiler);
    house.until("the lockout is seen again", SOON, |house| {
        let status: Status = house.last_json(stream::STATUS, &subject::status(&boiler))?;
        (status.created_at > restarted && status.device?.fault == Some(fault)).then_some(())
    });
    assert_eq!(house.order("press b1"), "pressed");
    let stands = |fault: Fault, reports: &[(bool, FaultReport)]| {
        reports.last().is_none_or(|(begins, report)| *begins || report.as_fault() != fault)
    };
    let reports = house.until("EVENT has the end of the lockout", SOON, |house| {
        Some(faults(house, &boiler)).filter(|reports| !stands(fault, reports))
    });
    let [_, _, (true, began), (false, ended)] = reports[..] else { panic!("{reports:?}") };
    assert_eq!((began.as_fault(), began.state, ended.as_fault()), (fault, BoilerState::Lockout, fault));
    assert_whole(&house.close());
}

/// Kills the agent and restarts it. Returns the time of its last status.
fn restart_agent(house: &mut House, boiler: &BoilerId) -> f64 {
    house.processes.agent.keep_down().unwrap();
    let last: Status = house.last_json(stream::STATUS, &subject::status(boiler)).expect("a status");
    house.processes.agent.bring_up().unwrap();
    last.created_at
}

/// Publishes a lease that is based on the newest slot in SAMPLES.
fn lease(house: &House, boiler: &BoilerId, flow: f64) {
    let (boot, seq) = house.stored(boiler).expect("SAMPLES has something");
    let (demand, based_on, instance) = (Demand::Heat, Slot { boot, seq }, "by hand".to_owned());
    let lease = Lease { demand, flow, lease_s: 60, based_on, instance, created_at: 0.0, version: 1 };
    house.publish(subject::setpoint(boiler), thermowell::nats::json(&lease));
}

/// The flow temperatures that the device accepted, from its answers.
fn accepted(house: &House, boiler: &BoilerId) -> Vec<f64> {
    let answers = events(house, boiler, EventKind::Answer).into_iter().map(|body| {
        let EventBody::Answered { outcome: Outcome::Accepted { flow, .. }, .. } = body else { panic!("{body:?}") };
        flow
    });
    answers.collect()
}

/// An agent passes on the next renewal, not the lease that is stored in LEASE at its start.
#[test]
fn an_agent_that_starts_does_not_hand_over_an_old_lease() {
    let mut house = House::start(super::DEMO, &["--speed", "1", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.processes.controller.keep_down().unwrap();
    house.until("the device's clock is known", SOON, |house| house.stored(&boiler));
    // The agent may have just begun to read LEASE, so the lease is repeated. A repeated lease is answered once.
    house.until("the first lease is answered", SOON, |house| {
        lease(house, &boiler, 41.0);
        accepted(house, &boiler).contains(&41.0).then_some(())
    });
    lease(&house, &boiler, 41.0);

    // The agent reads the device before the server answers, so that a lease from LEASE could be passed on at once, and
    // all of it takes less time than a lease's data may be old.
    let log = house.processes.agent.log().to_owned();
    house.processes.agent.keep_down().unwrap();
    let start = house::log(&log).len();
    let place = house.place(&boiler).expect("it runs");
    house.processes.broker.process().signal(Signal::STOP).unwrap();
    house.processes.agent.bring_up().unwrap();
    house.until("the new agent reads the device", SOON, |_| {
        house::log(&log)[start..].contains("reading from ").then_some(())
    });
    house.processes.broker.process().signal(Signal::CONT).unwrap();
    house.until("it stores what it reads", SOON, |house| {
        house.stored(&boiler).filter(|end| *end > (place.boot, place.next))
    });
    let since = house::log(&log)[start..].to_owned();
    house.until("the second lease is answered", SOON, |house| {
        lease(house, &boiler, 42.0);
        accepted(house, &boiler).contains(&42.0).then_some(())
    });
    assert_eq!(accepted(&house, &boiler), [41.0, 42.0]);
    // An agent that did not know the device's clock yet would have declined it.
    assert!(!since.contains("lease not passed on"), "it read an old lease: {since}");
    assert_whole(&house.close());
}

/// The controller's last lease for `boiler`.
fn asked(house: &House, boiler: &BoilerId) -> Option<Lease> {
    house.last_json(stream::LEASE, &subject::setpoint(boiler))
}

/// The authors of the next `count` leases.
fn authors(house: &House, boiler: &BoilerId, count: usize) -> Vec<String> {
    let leases = house.wait_for(async {
        let client = house.connect().await.expect("the server runs");
        let leases = client.subscribe(subject::setpoint(boiler).to_string()).await.expect("the server lets us");
        tokio::time::timeout(SOON * 3, leases.take(count).collect::<Vec<_>>()).await.expect("a controller asks")
    });
    let author = |payload: &[u8]| serde_json::from_slice::<Lease>(payload).expect("a lease").instance;
    leases.iter().map(|message| author(&message.payload)).collect()
}

/// Two of one configuration: one asks, the other stands by until the first one is gone, and no lease ends meanwhile.
#[test]
fn a_second_controller_takes_over_within_the_lease() {
    // A lease of half a minute: a busy server may keep the agent from reading leases for seconds.
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    let first = house.until("a lease stands", SOON, |house| Some(asked(house, &boiler)?.instance));
    let launch = |number: u32| house.another("controller", &house.config(), &format!("controller-{number}"));
    let (second_launch, third_launch) = (launch(2), launch(3));
    let logged = |launch: &Launch| house::log(&launch.log).matches("another controller asks for set-points").count();
    let mut second = Child::spawn(&second_launch).expect("the guard starts it");
    house.until("the second one says that it stands by", SOON, |_| (logged(&second_launch) > 0).then_some(()));
    assert!(house::log(&second_launch.log).contains(&first), "it names the first one");
    // Five renewals are more than twice as long as the wait for a lease that is not renewed.
    assert_eq!(authors(&house, &boiler, 5), vec![first.clone(); 5]);
    assert_eq!(logged(&second_launch), 1, "once");
    assert_eq!(second.ended().expect("waitpid succeeds"), None, "it stands by, and does not end");

    house.processes.controller.keep_down().unwrap();
    let [next] = authors(&house, &boiler, 1).try_into().expect("one lease");
    assert_ne!(next, first);
    // A controller that comes back is another one, also with the same name.
    let mut third = Child::spawn(&third_launch).expect("the guard starts it");
    house.until("the third one stands by", SOON, |_| (logged(&third_launch) > 0).then_some(()));
    assert!(house::log(&third_launch.log).contains(&next), "it names the second one");

    // The one that works gives way to another author, and does not fight it.
    lease(&house, &boiler, 41.0);
    house.until("the second one gives way", SOON, |_| (logged(&second_launch) > 1).then_some(()));
    house.until("one of the two asks again", SOON * 2, |house| {
        asked(house, &boiler).filter(|lease| lease.instance != "by hand")
    });
    assert!(second.ended().unwrap().is_none() && third.ended().unwrap().is_none(), "neither ends");
    second.kill().unwrap();
    third.kill().unwrap();
    assert_whole(&house.close());

    let account = Account::open(&house.plan.account()).unwrap();
    let events = &account.boiler(&boiler).expect("its account").events;
    let leases: Vec<u64> = events.iter().filter_map(lease_at).collect();
    let longest = leases.windows(2).map(|pair| pair[1] - pair[0]).max().expect("more than one lease");
    let close = leases.last().expect("more than one lease");
    let lost = events.iter().find(|event| matches!(event, Event::OwnControl { t_ns, .. } if t_ns < close));
    let logs = [second_launch, third_launch].map(|launch| house::log(&launch.log));
    assert_eq!(lost, None, "the boiler was on its own control; leases at {leases:?} ns; logs: {}", logs.join("\n"));
    assert!(longest < 50 * SECOND, "{} ms between two leases", longest / 1_000_000);
}

fn lease_at(event: &Event) -> Option<u64> {
    if let Event::Lease { t_ns, .. } = event { Some(*t_ns) } else { None }
}
