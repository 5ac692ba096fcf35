//! `/metrics`, `/healthz` and `/readyz` of the three roles, on a real line and a real server.

use std::io::Write as _;
use std::process::{Command, Stdio};

use rig::house::{House, SOON, assert_whole};
use rig::nats::{free_port, http_get};
use serde_json::Value;
use thermowell_flow::published::State;
use thermowell_wire::subject::{self, stream};

/// Real seconds count twice on the calendar: a stamp's age is in real ones.
const SPEED: &str = "2";

/// The ports of agent, aggregator and controller.
#[derive(Clone, Copy)]
struct Roles([u16; 3]);

impl Roles {
    fn ask(self, path: &str) -> [(u16, String); 3] {
        self.0.map(|port| http_get(port, path).unwrap_or_default())
    }

    fn agent(self) -> String {
        self.ask("/metrics")[0].1.clone()
    }

    fn aggregator(self) -> String {
        self.ask("/metrics")[1].1.clone()
    }

    /// The codes of `/readyz`, and the status in each answer.
    fn ready(self) -> [(u16, String); 3] {
        self.ask("/readyz").map(|(code, body)| {
            let json: Value = serde_json::from_str(&body).unwrap_or_default();
            (code, json["status"].as_str().unwrap_or_default().to_owned())
        })
    }

    fn are(self, code: u16, status: &str) -> Option<()> {
        (self.ready() == [0; 3].map(|_| (code, status.to_owned()))).then_some(())
    }
}

/// The value of a row, given without its prefix; none if it is absent.
fn value(text: &str, row: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(&format!("thermowell_{row} "))?.parse().ok())
}

fn count(value: f64) -> String {
    format!("{value:.0}")
}

#[test]
fn metrics_agree_with_the_streams_and_outages() {
    let roles = Roles([(); 3].map(|()| free_port().unwrap()));
    let ports = roles.0.map(|port| port.to_string()).join(",");
    let mut house = House::start(super::DEMO, &["--speed", SPEED, "--boilers", "1", "--http", &ports]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("all roles are ready", SOON, |_| roles.are(200, "ready"));
    house.until("a set-point is asked and accepted", SOON, |_| {
        value(&roles.ask("/metrics")[2].1, "setpoint_asked_celsius{boiler=\"b1\"}")?;
        value(&roles.agent(), "lease_expires_timestamp_seconds{boiler=\"b1\"}")
    });
    let flow = house
        .until("the flow is known", SOON, |_| value(&roles.aggregator(), "flow_temperature_celsius{boiler=\"b1\"}"));
    let state: State = house.last_json(stream::STATE, subject::state(&boiler).as_ref()).unwrap();
    assert!((state.current.unwrap() - flow).abs() < 5.0, "{flow} is not near {state:?}");
    roles.ask("/metrics").iter().for_each(|(_, text)| check(text));

    assert_eq!(house.order("unplug b1"), "unplugged");
    house.until("what is unknown is absent", SOON, |_| {
        let (agent, aggregator) = (roles.agent(), roles.aggregator());
        let is_gone = value(&agent, "link_up{boiler=\"b1\"}")? == 0.0
            && !agent.contains("thermowell_device_on{")
            && !aggregator.contains("thermowell_flow_temperature_celsius{")
            && value(&agent, "backlog_slots{boiler=\"b1\"}")? == 0.0;
        (is_gone && roles.ready()[0] == (200, "degraded".to_owned())).then_some(())
    });
    // The device began with slot 0 after the agent: every slot so far is in SAMPLES.
    let (_, next) = house.stored(&boiler).unwrap();
    assert_eq!(count(value(&roles.agent(), "slots_read_total{boiler=\"b1\"}").unwrap()), next.to_string());
    house.until("the aggregator counts every slot", SOON, |_| {
        (count(value(&roles.aggregator(), "slots_total{boiler=\"b1\"}")?) == next.to_string()).then_some(())
    });
    let stored = house.wait_for(async {
        let context = async_nats::jetstream::new(house.connect().await.unwrap());
        context.get_stream(stream::SAMPLES).await.unwrap().cached_info().state.messages
    });
    let outcome = |outcome: &str| {
        let row = format!("publish_total{{boiler=\"b1\",outcome=\"{outcome}\"}}");
        count(value(&roles.agent(), &row).unwrap()).parse::<u64>().unwrap()
    };
    // On a busy machine the acknowledgement of a stored message may be late: its outcome is unknown then.
    let acknowledged = outcome("acknowledged");
    assert!((acknowledged..=acknowledged + outcome("unknown")).contains(&stored), "{acknowledged} of {stored}");

    assert_eq!(house.order("plug b1"), "plugged");
    house.until("all is known again", SOON, |_| {
        value(&roles.aggregator(), "flow_temperature_celsius{boiler=\"b1\"}")?;
        roles.are(200, "ready")
    });
    house.processes.broker.kill().unwrap();
    house.until("no role is ready without a server", SOON, |_| roles.are(503, "unready"));
    assert_eq!(roles.ask("/healthz").map(|(code, _)| code), [200; 3], "they work all the same");
    let connected = "nats_connected{role=\"agent\"}";
    house.until("the metric shows it", SOON, |_| (value(&roles.agent(), connected)? == 0.0).then_some(()));
    house.processes.broker.restart().unwrap();
    house.until("all roles are ready again", SOON, |_| roles.are(200, "ready"));
    let reconnects = "nats_reconnects_total{role=\"agent\"}";
    house.until("the metric shows it", SOON, |_| (value(&roles.agent(), reconnects)? >= 1.0).then_some(()));
    assert_whole(&house.close());
}

/// What a role serves is clean for promtool, where there is one.
fn check(text: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = promtool.spawn() else {
        super::skipped("there is no promtool; apt-get install prometheus");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let found = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && found.is_empty(), "{found}");
}
