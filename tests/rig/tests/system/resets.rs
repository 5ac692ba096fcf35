//! Maintain order: two different people, then exactly one reset, third, with any number of gateways.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rig::house::{House, SOON};
use rustix::process::Signal;
use thermowell::command;
use thermowell::config::Config;
use thermowell::nats::{Connection, Phase, User, json, last_kept};
use thermowell::report::Reporter;
use thermowell::reset::{self, Answer, Seen, Station};
use thermowell::streams;
use thermowell_flow::command::{Ask, Refusal};
use thermowell_flow::published::{Action, Approved, Event, EventBody, Outcome, Reset, Status};
use thermowell_wire::line::{Fault, FaultKind};
use thermowell_wire::subject::{self, EventKind, stream};
use thermowell_wire::{Boot, Occurrence};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use super::bench::{Bench, Trouble, b1, bench, patiently};

const IGNITION: Fault =
    Fault { boot: Boot(0x0000_0003_0000_0007), counter: 7, kind: FaultKind::Ignition, lockout: true };

/// The resets of a gateway whose device has this fault, without the rest of its agent.
struct Gateway {
    orders: mpsc::Receiver<Reset>,
    _seen: watch::Sender<Seen>,
    _ready: watch::Sender<Phase>,
}

impl Gateway {
    async fn start(config: &Config) -> Self {
        let connection = patiently(async || Connection::reach(&config.nats, User::Agent).await).await;
        let context = connection.context().clone();
        let (sender, ready) = watch::channel(Phase::Up(1));
        let (seen, device) = watch::channel(Seen::default());
        let (orders, ordered) = mpsc::channel(1);
        let changed = Arc::new(Notify::new());
        let news = HashMap::from([(b1(), changed.clone())]);
        tokio::spawn(reset::follow(context.clone(), ready.clone(), news));
        let station = Station { seen: device, changed, orders };
        let reporter = Reporter::start(context.clone(), ready);
        tokio::spawn(reset::keep(Arc::new(config.clone()), b1(), context, reporter, station));
        seen.send_replace(Seen { fault: Some(IGNITION), answered: None });
        Self { orders: ordered, _seen: seen, _ready: sender }
    }

    async fn order(&mut self) -> Reset {
        timeout(SOON, self.orders.recv()).await.expect("an order in time").expect("the gateway works")
    }
}

async fn approve(config: &Config, by: &str) -> Answer {
    let by = by.parse().unwrap();
    patiently(async || reset::approve(config, &b1(), IGNITION.into(), &by).await).await
}

async fn must_approve(config: &Config, by: &str) {
    let answer = approve(config, by).await;
    assert!(matches!(answer, Answer::Approved { .. }), "{by}: {answer:?}");
}

/// The reset in COMMAND, its sequence, and the number of messages.
fn stored(bench: &Bench) -> (u64, Reset, usize) {
    let subject = subject::reset(&b1(), IGNITION.into());
    let kept = bench.runtime.block_on(last_kept::<Reset>(&bench.context, stream::COMMAND, &subject)).unwrap();
    let kept = kept.expect("a reset");
    (kept.sequence, kept.value, bench.count(stream::COMMAND, &subject))
}

#[test]
fn of_eight_gateways_one_orders_third_after_two_people() {
    let bench = bench();
    bench.report(IGNITION);
    let orders: Vec<Reset> = bench.runtime.block_on(async {
        let mut gateways = join_all((0..8).map(|_| Gateway::start(&bench.config))).await;
        // One person from four clients at the same time: one approval, which is not enough.
        let anna = join_all((0..4).map(|_| approve(&bench.config, "anna"))).await;
        let approved = anna.iter().filter(|answer| matches!(answer, Answer::Approved { stand: 1, .. })).count();
        assert_eq!(approved, 1, "{anna:?}");
        must_approve(&bench.config, "ben").await;
        join_all(gateways.iter_mut().map(Gateway::order)).await
    });
    let (sequence, reset, count) = stored(&bench);
    let approved: Vec<_> = reset.approvals.iter().map(|vote| (vote.by.as_str(), vote.sequence)).collect();
    assert_eq!((sequence, count, approved), (3, 1, vec![("anna", 1), ("ben", 2)]));
    assert!(orders.iter().all(|order| *order == reset), "all of them hand over the stored order");
    let late = bench.runtime.block_on(approve(&bench.config, "carla"));
    assert!(matches!(&late, Answer::Refused(refusal) if refusal.to_string().contains("ordered already")), "{late:?}");
}

/// Between the approvals and the order the server loses its stream: the approvals are gone, so the order is not stored.
#[test]
fn an_order_is_stored_after_its_approvals_or_not_at_all() {
    let bench = bench();
    bench.report(IGNITION);
    let trouble = Trouble { hold: Some(("HPUB boiler.b1.reset.", 1)), ..Trouble::default() };
    let order = bench.runtime.block_on(async {
        let mut gateway = Gateway::start(&bench.through(&trouble).await).await;
        must_approve(&bench.config, "anna").await;
        must_approve(&bench.config, "ben").await;
        timeout(SOON, trouble.held.notified()).await.expect("an order on its way");
        bench.context.delete_stream(stream::COMMAND).await.unwrap();
        streams::ensure(&bench.context, &streams::table(&bench.config), &User::Installer).await.unwrap();
        trouble.go_on.notify_one();
        // Its consumer was deleted with the stream; the next session makes another. Here a new gateway does.
        must_approve(&bench.config, "ben").await;
        must_approve(&bench.config, "carla").await;
        let mut other = Gateway::start(&bench.config).await;
        tokio::select! { order = gateway.order() => order, order = other.order() => order }
    });
    let (sequence, reset, count) = stored(&bench);
    let approved: Vec<_> = reset.approvals.iter().map(|vote| (vote.by.as_str(), vote.sequence)).collect();
    assert_eq!((sequence, count, approved), (3, 1, vec![("ben", 1), ("carla", 2)]));
    assert_eq!(order, reset);
}

/// Junk, and an order that claims anna's approval for ben: each is stored on the order's subject, and is ignored.
#[test]
fn an_order_without_its_approvals_is_ignored() {
    let place = subject::reset(&b1(), IGNITION.into()).to_string();
    for what in ["junk", "another's"] {
        let bench = bench();
        bench.report(IGNITION);
        let approved = |by: &str, sequence| Approved { by: by.parse().unwrap(), sequence, at: 0.0 };
        let forged = Reset {
            boiler: b1(),
            fault: IGNITION.into(),
            kind: IGNITION.kind,
            approvals: vec![approved("anna", 1), approved("ben", 1)],
            instance: "forged".to_owned(),
            created_at: 0.0,
            valid_until: 1e12,
            version: 1,
        };
        let payload = if what == "junk" { b"{}".to_vec() } else { json(&forged) };
        let order = bench.runtime.block_on(async {
            must_approve(&bench.config, "anna").await;
            bench.context.publish(place.clone(), payload.into()).await.unwrap().await.unwrap();
            let mut gateway = Gateway::start(&bench.config).await;
            must_approve(&bench.config, "ben").await;
            gateway.order().await
        });
        let (sequence, reset, count) = stored(&bench);
        let people: Vec<_> = reset.approvals.iter().map(|vote| vote.by.as_str()).collect();
        assert_eq!((sequence, count, people), (4, 2, vec!["anna", "ben"]), "{what}");
        assert_eq!((order.instance.as_str(), &order), ("g1", &reset), "{what}");
    }
}

#[test]
fn a_refusal_of_an_approval_names_what_is_allowed() {
    let bench = bench();
    let approve = |boiler: &str, fault: &str, by: &str| {
        bench.thermowell(&format!("reset approve --boiler {boiler} --fault {fault} --by {by}"))
    };
    let fault = "0000000300000007-7";
    let refused = |(code, out, error): (Option<i32>, String, String), expected: &str| {
        assert!(code == Some(1) && out.is_empty() && error.contains(expected), "{code:?} {out} {error}");
    };
    refused(approve("b1", fault, "anna"), "refused: boiler b1 has no fault 0000000300000007-7; it has no fault");
    bench.report(Fault { kind: FaultKind::Overheat, ..IGNITION });
    refused(approve("b1", fault, "anna"), "can only be reset at the boiler, after an inspection");
    bench.report(Fault { lockout: false, ..IGNITION });
    refused(approve("b1", fault, "anna"), "passes by itself; only a lockout is reset");
    bench.report(IGNITION);
    let other = "refused: boiler b1 has no fault 0000000300000007-8; its fault is 0000000300000007-7 (ignition)";
    refused(approve("b1", "0000000300000007-8", "anna"), other);
    refused(approve("b2", fault, "anna"), "refused: there is no boiler b2 here; boilers are b1");
    refused(approve("b1", fault, "eve"), "refused: eve is not an operator; operators are anna, ben, carla");
    let (code, _, error) = approve("b1", "7", "anna");
    assert!(code == Some(2) && error.contains("`thermowell reset status` shows it"), "{error}");
    assert_eq!(bench.count(stream::COMMAND, "boiler.>"), 0);
    // An unknown operator or boiler makes no event.
    assert_eq!(bench.count(stream::EVENT, "boiler.>"), 4);
    let subject = subject::event(&b1(), EventKind::Approval);
    let kept = bench.runtime.block_on(last_kept::<Event>(&bench.context, stream::EVENT, &subject)).unwrap();
    let event = kept.expect("an event").value;
    let EventBody::ResetRefused { by, reason, .. } = event.body else { panic!("{event:?}") };
    assert!(by.as_str() == "anna" && reason.contains("its fault is 0000000300000007-7 (ignition)"), "{by} {reason}");

    let (code, out, _) = approve("b1", fault, "anna");
    assert_eq!(code, Some(0));
    assert_eq!(out, "approved: fault 0000000300000007-7 (ignition) of boiler b1, by anna; 1 of 2\n");
    refused(approve("b1", fault, "anna"), "it counts for 15 min, and another operator must approve too: ben, carla");
    let (code, out, _) = bench.thermowell("reset status --boiler b1 --json");
    let status: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &status["occurrence"], &status["missing"]),
        (Some(0), &fault.into(), &["ben", "carla"][..].into())
    );
}

/// The whole process with a boiler that finds no gas for five minutes, and an agent that is killed in between.
#[test]
fn a_lockout_is_reset_by_two_people_and_the_boiler_burns_again() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("no-gas.toml");
    let text = "weather.mean_c = -5\nhot_water.draws_per_day = 0\n[[trouble.flame]]\nat = \"0 s\"\nfor = \"5 min\"\n";
    std::fs::write(&scenario, text).unwrap();
    let scenario = scenario.to_str().unwrap();
    let mut house = House::start(super::DEMO, &["--speed", "60", "--boilers", "1", "--scenario", scenario]);
    let config = Config::load(&house.config()).unwrap();
    let status = |house: &House| -> Option<Status> { house.last_json(stream::STATUS, &subject::status(&b1())) };
    let fault = house.until("a lockout", SOON, |house| status(house)?.device?.fault.filter(|fault| fault.lockout));
    let occurrence = Occurrence::from(fault);
    let ask = |house: &House, by: &str| {
        let by = by.parse().unwrap();
        house.wait_for(reset::approve(&config, &b1(), occurrence, &by)).unwrap()
    };
    // During the lockout a command is refused, and after the reset it is accepted: the rules use what the roles
    // publish.
    let boost = |house: &House, id: &str| {
        let (action, length) = (Action::Boost { flow: 70.0 }, Duration::from_secs(1_800));
        let ask =
            Ask { id: id.parse().unwrap(), boiler: b1(), by: "ben".parse().unwrap(), action, length, until: None };
        house.wait_for(patiently(async || command::ask(&config, &ask, false).await))
    };
    let refused = boost(&house, "too-early");
    let lockout = command::Answer::Refused(Refusal::Lockout { by: format!(" by fault {occurrence}") });
    assert_eq!(refused, lockout);
    house.until("the gas is back", SOON, |house| (house.plan.elapsed() > Duration::from_secs(300)).then_some(()));
    assert!(matches!(ask(&house, "anna"), Answer::Approved { stand: 1, needed: 2, .. }));
    // The first approval must survive a restart of the agent.
    house.processes.agent.signal(Signal::KILL).unwrap();
    house.until("the agent is back", SOON, |house| {
        matches!(ask(house, "ben"), Answer::Approved { stand: 2, .. }).then_some(())
    });
    house.until("no lockout", SOON, |house| status(house)?.device?.fault.is_none().then_some(()));
    house.until("it burns", 2 * SOON, |house| status(house)?.device?.flame.then_some(()));
    let boosted = house.until("a boost", SOON, |house| match boost(house, "again") {
        command::Answer::Accepted(accepted) => Some(accepted.command),
        // Six minutes of the hour must be known.
        command::Answer::Refused(_) => None,
    });
    let based_on = boosted.based_on.expect("what it was checked with");
    assert!(based_on.coverage >= 0.1 && based_on.slot.boot == house.place(&b1()).expect("it runs").boot);

    let subject = subject::event(&b1(), EventKind::Reset).to_string();
    let answered = house.until("the device's answer", SOON, |house| {
        let event: Event = house.last_json(stream::EVENT, &subject)?;
        if let EventBody::ResetAnswered { fault, outcome, .. } = event.body { Some((fault, outcome)) } else { None }
    });
    assert!(matches!(answered, (fault, Outcome::Accepted { .. }) if fault == occurrence), "{answered:?}");
    let approved = house.last_json::<Event>(stream::EVENT, &subject::event(&b1(), EventKind::Approval)).unwrap();
    assert!(matches!(approved.body, EventBody::ResetApproved { by, sequence: 2, .. } if by.as_str() == "ben"));
    let reset: Reset = house.last_json(stream::COMMAND, &subject::reset(&b1(), occurrence)).unwrap();
    assert_eq!(reset.approvals.iter().map(|vote| vote.sequence).collect::<Vec<_>>(), [1, 2]);
    let _ledger = house.close();
}
