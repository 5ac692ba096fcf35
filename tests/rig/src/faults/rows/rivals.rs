//! Two processes with the same role: a second agent on the port, a second aggregator on the stream.

use std::fs;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use rustix::process::Signal;
use thermowell::nats::{RequestError, follow};
use thermowell_flow::published::{Link, Snapshot, State, Status};
use thermowell_wire::subject::{self, stream, wildcard};

use super::Row;
use crate::clock::Stopwatch;
use crate::demo::boiler;
use crate::faults::stage::{Setting, Skipped, Stage};
use crate::house::{House, SOON};
use crate::process::{Child, describe};

/// The second aggregator's name.
const SECOND: &str = "attic";
/// The name of the second agent's log.
const SECOND_AGENT: &str = "another-agent";
/// Within this time one of two is left; twice what the product promises, for a busy machine.
const SETTLED: Duration = Duration::from_secs(10);
/// States in a row of one instance: two active aggregators alternate within fewer.
const IN_A_ROW: usize = 60;
/// Capacity of the ring in rows with a longer outage, in real time.
const RING: Duration = Duration::from_secs(16);
/// Maximum age of unsynced records of a spill file: less than the ring.
const SYNC: Duration = Duration::from_secs(10);
/// An hour takes 30 s at speed 120.
const HOUR: Duration = Duration::from_secs(60);

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("second-agent", "a second agent on the port", second_agent).taking(15).quick(),
        Row::new("second-agent-outage", "the same in an outage beyond the ring (16 s); then a kill", second_in_outage)
            .taking(40),
        Row::new("second-aggregator", "two aggregators at the same time; then the first one killed", second_aggregator)
            .taking(90),
    ]
}

/// It stands by, logs the process that holds the port, and changes nothing; when the first one ends it takes over, and
/// the first one stands by when it is restarted.
fn second_agent(setting: &Setting) -> Result<Stage, Skipped> {
    let mut stage = Stage::start(setting, &["--speed", "2"]);
    let second_log = stage.house.another("agent", &stage.house.config(), SECOND_AGENT).log;
    for number in 1..=setting.times(3) {
        stage.go_on_for_some(100..=1_000);
        let second = start_second(&mut stage);
        for _ in 0..20 {
            stage.house.go_on(Duration::from_millis(100));
            for boiler in stage.house.boilers() {
                let status: Option<Status> = stage.house.last_json(stream::STATUS, &subject::status(&boiler));
                // It has not opened the port. The first agent's link is up, or silent for a moment.
                if status.is_some_and(|status| status.link == Link::Down) {
                    stage.finding(format!("the second agent reports about {boiler}, which the first one reads"));
                }
            }
        }
        stage.recover();
        stage.house.processes.agent.keep_down().expect("the signal is delivered");
        let took = || crate::house::log(&second_log).matches("taking over").count();
        // Each boiler's port is taken over separately.
        let all = stage.house.boilers().len() * usize::try_from(number).unwrap_or(usize::MAX);
        stage.house.until("the second agent takes over", SOON, |_| (took() >= all).then_some(()));
        stage.recover();
        let before = stage.lines("agent", "standing by").len();
        stage.house.processes.agent.bring_up().expect("it starts again");
        stage.until_logged("agent", "standing by", before);
        stop_second(second, &mut stage);
        stage.recover();
    }
    Ok(stage)
}

fn start_second(stage: &mut Stage) -> Child {
    let launch = stage.house.another("agent", &stage.house.config(), SECOND_AGENT);
    let holder = format!("is in use by process {} (", stage.house.role("agent").pid().expect("it runs"));
    let logged = || crate::house::log(&launch.log).matches(&holder).count();
    let before = logged();
    let second = Child::spawn(&launch).expect("the guard starts it");
    stage.injected(1);
    stage.house.until("the second agent logs the first", SOON, |_| (logged() > before).then_some(()));
    second
}

fn stop_second(mut second: Child, stage: &mut Stage) {
    let status = second.stop(SOON).expect("waitpid succeeds");
    if !status.success() {
        stage.finding(format!("the second agent: {}, not exit code 0", describe(status)));
    }
}

/// It leaves the first one's spill file as it is: slots that the devices have overwritten are nowhere else when the
/// first one dies. Then one of the two has port and file, and the other stands by.
fn second_in_outage(setting: &Setting) -> Result<Stage, Skipped> {
    let slots = format!("--sim-arg={}", RING.as_secs() * 100);
    let mut stage = Stage::start(setting, &["--speed", "2", "--sim-arg=--ring", &slots, "--spill-after", "2"]);
    stage.house.processes.broker.kill().expect("it runs");
    stage.house.go_on(RING + SYNC);
    let second = start_second(&mut stage);
    stage.kill("agent");
    stage.house.processes.broker.restart().expect("its store is there");
    stage.recover();
    stop_second(second, &mut stage);
    stage.recover();
    Ok(stage)
}

/// If two are active at the same time, one stands by, and takes over when the other dies.
///
/// STATE is read message by message: its last message does not show that two publish at once.
fn second_aggregator(setting: &Setting) -> Result<Stage, Skipped> {
    // An hour takes 30 s; the short run does not wait for one.
    let speed = if setting.quick { "30" } else { "120" };
    let mut stage = Stage::start(setting, &["--speed", speed, "--batch", "100"]);
    let config = stage.house.folder().join("second.toml");
    let text = fs::read_to_string(stage.house.config()).expect("the demo has written it");
    let renamed = text.replace("gateway = \"demo\"", &format!("gateway = \"{SECOND}\""));
    assert_ne!(renamed, text, "the demo's gateway has a name");
    fs::write(&config, renamed).expect("the folder is writable");
    let launch = stage.house.another("aggregator", &config, "another-aggregator");
    let mut second = Child::spawn(&launch).expect("the guard starts it");

    // STATE is empty after a restart of the server: both may become active.
    for _ in 0..setting.times(3) {
        stage.house.processes.broker.kill().expect("it runs");
        stage.house.processes.broker.restart().expect("its store is there");
        stage.injected(1);
        one_is_left(&mut stage.house);
    }
    // One is suspended while active, and continues after the other has taken over: both are active for sure.
    let worker = one_is_left(&mut stage.house);
    let mut signal_worker = |stage: &mut Stage, signal| {
        let sent = if worker == SECOND { second.signal(signal) } else { stage.house.role("aggregator").signal(signal) };
        sent.expect("the signal is delivered");
    };
    signal_worker(&mut stage, Signal::STOP);
    stage.injected(1);
    stage.house.until("the other one takes over", SOON, |house| active(house).filter(|other| *other != worker));
    signal_worker(&mut stage, Signal::CONT);
    stage.house.go_on(Duration::from_secs(1));
    one_is_left(&mut stage.house);

    stage.house.role("aggregator").keep_down().expect("the signal is delivered");
    stage.injected(1);
    stage.house.until("the second one works", SOON, |house| active(house).filter(|instance| instance == SECOND));
    stage.recover();
    stage.house.role("aggregator").bring_up().expect("it starts again");
    if !setting.quick {
        let hour = subject::snapshot(&boiler(1));
        stage.house.until("an hour is published", HOUR, |house| house.last_json::<Snapshot>(stream::SNAPSHOT, &hour));
    }
    second.kill().expect("the signal is delivered");
    stage.house.until("the first one works again", SOON, |house| active(house).filter(|it| it != SECOND));
    stage.recover();
    Ok(stage)
}

fn active(house: &House) -> Option<String> {
    Some(house.last_json::<State>(stream::STATE, &subject::state(&boiler(1)))?.instance)
}

/// The instance that publishes every state from some moment on, with none of the other's in between.
fn one_is_left(house: &mut House) -> String {
    house.until("one of the two works", SOON, |house| active(house));
    let (watch, mut latest) = (Stopwatch::start(), (String::new(), 0));
    house.wait_for(async {
        while latest.1 < IN_A_ROW {
            assert!(watch.left_of(SETTLED + SOON).is_some(), "one of the two works: {latest:?}");
            // A consumer that was created right after a restart of the server may end.
            let _ended = listen(house, &watch, &mut latest).await;
        }
    });
    latest.0
}

/// Counts how many states in a row are of the same instance.
async fn listen(house: &House, watch: &Stopwatch, latest: &mut (String, usize)) -> Result<(), RequestError> {
    let context = jetstream::new(house.connect().await.expect("the server runs"));
    let mut states = follow(&context, stream::STATE, vec![wildcard::STATE.to_owned()], DeliverPolicy::New).await?;
    while latest.1 < IN_A_ROW {
        let message = states.next().await?;
        let instance = serde_json::from_slice::<State>(&message.payload).expect("a state").instance;
        if instance == latest.0 {
            latest.1 += 1;
            continue;
        }
        let so_far = watch.elapsed();
        assert!(latest.1 == 0 || so_far < SETTLED, "{latest:?}, then {instance} after {so_far:?}");
        *latest = (instance, 1);
    }
    Ok(())
}
