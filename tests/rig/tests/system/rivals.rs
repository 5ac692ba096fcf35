//! Two aggregators of different names on one stream: one works, however they came to work at the same time.
//!
//! STATE is read as it is stored, message by message: who published last says nothing where two publish at once.

use std::fs;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use rig::clock::Stopwatch;
use rig::house::{House, SOON, assert_whole};
use rig::process::Child;
use rustix::process::Signal;
use thermowell::nats::{RequestError, follow};
use thermowell_flow::published::State;
use thermowell_wire::subject::{self, stream, wildcard};

/// The names of the two: the demo's, and one that goes before it.
const FIRST: &str = "demo";
const SECOND: &str = "attic";
/// Within this one of two is left; twice what the product promises, on a machine that does other things as well.
const SETTLED: Duration = Duration::from_secs(10);
/// States in a row of one instance: two that work take turns, within a few.
const IN_A_ROW: usize = 60;

fn second(house: &House) -> Child {
    let text = fs::read_to_string(house.config()).unwrap();
    let renamed = text.replace(&format!("gateway = \"{FIRST}\""), &format!("gateway = \"{SECOND}\""));
    assert_ne!(renamed, text, "the demo's gateway has a name");
    let config = house.folder().join("second.toml");
    fs::write(&config, renamed).unwrap();
    Child::spawn(&house.another("aggregator", &config, "second-aggregator")).unwrap()
}

fn speaker(house: &House) -> Option<String> {
    let boiler = &house.boilers()[0];
    Some(house.last_json::<State>(stream::STATE, &subject::state(boiler))?.instance)
}

/// Who is left: the one that publishes every state from some moment on, none of the other's between them.
fn one_is_left(house: &House) -> String {
    let watch = Stopwatch::start();
    let mut said = Said::default();
    house.wait_for(async {
        while said.in_a_row < IN_A_ROW {
            assert!(watch.left_of(SETTLED + SOON).is_some(), "somebody publishes: {said:?}");
            // A consumer that was made right behind a restart of the server may end.
            let _ended = listen(house, &watch, &mut said).await;
        }
    });
    said.last
}

/// Whose state came last, and how many of his came in a row.
#[derive(Debug, Default)]
struct Said {
    last: String,
    in_a_row: usize,
}

async fn listen(house: &House, watch: &Stopwatch, said: &mut Said) -> Result<(), RequestError> {
    let context = jetstream::new(house.connect().await.unwrap());
    let mut states = follow(&context, stream::STATE, vec![wildcard::STATE.to_owned()], DeliverPolicy::New).await?;
    while said.in_a_row < IN_A_ROW {
        let message = states.next().await?;
        let instance = serde_json::from_slice::<State>(&message.payload).unwrap().instance;
        if instance == said.last {
            said.in_a_row += 1;
            continue;
        }
        let so_far = watch.elapsed();
        assert!(said.last.is_empty() || so_far < SETTLED, "{said:?}, then {instance} after {so_far:?}");
        *said = Said { last: instance, in_a_row: 1 };
    }
    Ok(())
}

#[test]
fn of_two_aggregators_one_goes_on() {
    let mut house = House::start(super::DEMO, &["--speed", "60", "--batch", "100"]);
    house.until("the first one speaks", SOON, |house| speaker(house));
    let mut second = second(&house);

    // STATE is empty behind a restart of the server: both may begin.
    for _ in 0..3 {
        house.processes.broker.kill().unwrap();
        house.processes.broker.restart().unwrap();
        house.until("somebody speaks", SOON, |house| speaker(house));
        one_is_left(&house);
    }

    // One hangs while it works, and goes on when the other has taken over: both are at it, for certain.
    let (hung, other) = match one_is_left(&house).as_str() {
        FIRST => (house.processes.aggregator.pid().unwrap(), SECOND),
        _ => (second.pid(), FIRST),
    };
    let tell = |signal| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(hung).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    tell(Signal::STOP);
    house.until("the other one takes over", SOON, |house| speaker(house).filter(|instance| instance == other));
    tell(Signal::CONT);
    house.go_on(Duration::from_secs(1));
    one_is_left(&house);

    second.kill().unwrap();
    house.until("the first one speaks", SOON, |house| speaker(house).filter(|instance| instance == FIRST));
    assert_whole(&house.close());
}
