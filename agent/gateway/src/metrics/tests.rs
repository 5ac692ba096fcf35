use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use thermowell_flow::published::{AcceptedSetpoint, DeviceStatus, Lease, Link, Missing, Status};
use thermowell_flow::time::Monotonic;
use thermowell_flow::{agent as flow_agent, aggregator as flow_aggregator};
use thermowell_wire::line::{BoilerState, Demand, Fault, FaultKind};
use thermowell_wire::{Boot, Slot};

use super::catalogue::{CATALOGUE, Metric};
use super::ready::{Readiness, Status as Verdict};
use super::*;
use crate::clock::realtime_ns;
use crate::nats::User;
use crate::nats::certificate::tests::NEAR;

const RULES: &str = include_str!("../../../../deploy/prometheus/thermowell.rules.yml");
const OPERATING: &str = include_str!("../../../../deploy/OPERATING.md");

fn config() -> Config {
    let text = "nats.url = \"nats://127.0.0.1:9\"\ncontrol = { enabled = true, emitter = \"radiators\" }\n\
                [[boiler]]\nid = \"b1\"\nport = \"/dev/b1\"\n";
    Config::parse(text, "t.toml").unwrap()
}

fn b1() -> BoilerId {
    "b1".parse().unwrap()
}

/// Seconds ago, as Unix seconds.
fn ago(seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a test needs no nanoseconds")]
    let now = realtime_ns() as f64 / 1e9;
    now - seconds
}

fn device() -> DeviceStatus {
    DeviceStatus {
        boot: Boot(7),
        serial_number: "TW-1".to_owned(),
        firmware: "device 0.1.0".to_owned(),
        state: BoilerState::Firing,
        flame: true,
        pump: true,
        hot_water: false,
        modulation: 40,
        return_temperature: Some(41.5),
        room: Some(19.5),
        outdoor: Some(-4.25),
        pressure_mbar: Some(1_500),
        own_flow: 45.0,
        setpoint: Some(AcceptedSetpoint { n: 3, demand: Demand::Heat, flow: 52.5, lease_left_s: 40.0 }),
        fault: Some(Fault { boot: Boot(7), counter: 1, kind: FaultKind::LowPressure, lockout: false }),
        burner_starts: 12,
    }
}

fn agent_report(link: Link) -> agent::Report {
    let status = Status {
        boiler: b1(),
        created_at: 1_000.0,
        link,
        device: Some(device()),
        newest: Some(Slot::new(Boot(7), 41)),
        backlog: 73,
        simulated: true,
        version: 1,
    };
    let counters =
        flow_agent::Counters { frames: 1_001, rejected: [0, 0, 0, 5, 0, 0], ..flow_agent::Counters::default() };
    let task = agent::TaskCounters { opens: 2, losses: 1, ..agent::TaskCounters::default() };
    agent::Report { at_ns: boottime_ns(), status, counters, task, spool_bytes: 700, spill_bytes: 0 }
}

fn aggregator_report(age_s: f64) -> aggregator::Report {
    let values = aggregator::Values {
        stamp: ago(age_s),
        current: Some(61.25),
        average: Some(58.5),
        average_heating: Some(59.5),
        minimum: Some(40.0),
        maximum: Some(70.0),
        coverage: 0.998,
        heating_share: 0.5,
    };
    let counters = flow_aggregator::Counters { batches: 9, ..flow_aggregator::Counters::default() };
    let missing = Missing { ring: 3, ..Missing::default() };
    aggregator::Report { values: Some(values), counters, slots: (997, missing), last_hour: Some(490_000) }
}

fn lease(demand: Demand) -> Lease {
    Lease {
        demand,
        flow: 52.5,
        lease_s: 60,
        based_on: Slot::new(Boot(7), 41),
        instance: "g".to_owned(),
        created_at: 0.0,
        version: 1,
    }
}

const IN_TIME: Monotonic = Monotonic(u64::MAX);

fn board() -> Arc<Board> {
    Board::new(&config(), &["agent", "aggregator", "controller"])
}

/// A board with a report of everything, of roles that do not reach their server.
async fn full() -> Arc<Board> {
    let board = board();
    for role in ["agent", "aggregator", "controller"] {
        let connection = Connection::open(&config().nats, User::Agent).await.unwrap();
        let session = Session::new(connection, Vec::new());
        let reporter = Reporter::start(session.connection().context().clone(), session.ready());
        board.join(role, &session, &reporter);
    }
    board.agent(&b1(), agent_report(Link::Up));
    board.aggregator(&b1(), aggregator_report(0.5));
    board.lag(Some(4));
    board.mqtt(mqtt::Counters { is_connected: true, sent: 5, ..mqtt::Counters::default() });
    board.controller(&b1(), |report| {
        report.decided("law");
        report.published(&lease(Demand::Heat), IN_TIME);
    });
    board
}

fn text(board: &Board) -> String {
    board.sheet(boottime_ns()).text()
}

/// The value of `name{labels}`, without the prefix; none if it is absent.
fn value(text: &str, row: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("thermowell_{row} ")))?;
    Some(line.parse().unwrap())
}

fn has(text: &str, name: &str) -> bool {
    text.lines().any(|line| line.starts_with(&format!("thermowell_{name}{{")))
}

#[tokio::test]
async fn every_metric_of_the_catalogue_is_written() {
    let text = text(&*full().await);
    let written: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    // Here no certificate is configured.
    let listed = CATALOGUE.iter().filter(|metric| metric.label != "certificate");
    let listed: Vec<String> = listed.map(Metric::full_name).collect();
    let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    assert_eq!(written, listed);
    for (row, expected) in [
        ("serial_frames_total{boiler=\"b1\"}", 1_001.0),
        ("serial_rejected_total{boiler=\"b1\",cause=\"checksum\"}", 5.0),
        ("serial_port_opens_total{boiler=\"b1\"}", 2.0),
        ("lease_expires_timestamp_seconds{boiler=\"b1\"}", 1_040.0),
        ("fault{boiler=\"b1\",kind=\"low_pressure\"}", 1.0),
        ("fault{boiler=\"b1\",kind=\"pump\"}", 0.0),
        ("water_pressure_pascals{boiler=\"b1\"}", 150_000.0),
        ("slots_total{boiler=\"b1\"}", 1_000.0),
        ("slots_missing_total{boiler=\"b1\",reason=\"ring\"}", 3.0),
        ("snapshot_hour_timestamp_seconds{boiler=\"b1\"}", 1_764_000_000.0),
        ("flow_temperature_celsius{boiler=\"b1\"}", 61.25),
        ("decisions_total{boiler=\"b1\",rule=\"law\"}", 1.0),
        ("nats_connected{role=\"agent\"}", 0.0),
        ("aggregator_lag_messages", 4.0),
    ] {
        assert_eq!(value(&text, row), Some(expected), "{row}\n{text}");
    }
}

/// A file is read at each scrape; what is absent or not configured has no row.
#[test]
fn end_of_each_configured_certificate_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (client, broker) = (folder.path().join("client.pem"), folder.path().join("broker-ca.pem"));
    std::fs::write(&broker, NEAR).unwrap();
    let (cert, ca) = (client.display(), broker.display());
    let tls = format!("tls = {{ cert = \"{cert}\", key = \"/absent\" }}");
    let text_of = |roles: &[&'static str]| {
        let config = format!(
            "[nats]\nurl = \"tls://h\"\n{tls}\n[mqtt]\nurl = \"mqtts://h\"\nca = \"{ca}\"\n\
             [[boiler]]\nid = \"b1\"\nport = \"/dev/b1\"\n"
        );
        text(&Board::new(&Config::parse(&config, "t.toml").unwrap(), roles))
    };
    let end = |text: &str, word: &str| {
        value(text, &format!("certificate_expires_timestamp_seconds{{certificate=\"{word}\"}}"))
    };
    let found = text_of(&["front"]);
    assert_eq!((end(&found, "mqtt_ca"), end(&found, "nats_client")), (Some(1_899_752_043.0), None), "{found}");
    std::fs::write(&client, NEAR).unwrap();
    let found = text_of(&["agent"]);
    assert_eq!((end(&found, "mqtt_ca"), end(&found, "nats_client")), (None, Some(1_899_752_043.0)), "{found}");
    assert!(!has(&text(&board()), "certificate_expires_timestamp_seconds"));
}

/// What promtool prints and whether it succeeds; none without it. Debian's `prometheus` has it.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus"));
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut promtool) = spawned else {
        writeln!(std::io::stderr().lock(), "SKIPPED: there is no promtool; apt-get install prometheus").unwrap();
        return None;
    };
    promtool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let found = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some((output.status.success(), found))
}

#[tokio::test]
async fn text_is_clean_for_promtool() {
    let found = promtool(&["check", "metrics"], &text(&*full().await));
    assert!(found.as_ref().is_none_or(|(fine, found)| *fine && found.is_empty()), "{found:?}");
}

/// `thermowell.test.yml` has each alert firing and not.
#[test]
fn alerts_fire_when_they_should() {
    for arguments in [["check", "config", "prometheus.yml"], ["test", "rules", "thermowell.test.yml"]] {
        let found = promtool(&arguments, "");
        assert!(found.as_ref().is_none_or(|(fine, _)| *fine), "{arguments:?}: {found:?}");
    }
    let (rules, tests) = (RULES, include_str!("../../../../deploy/prometheus/thermowell.test.yml"));
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let expected = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels");
        assert!(tests.contains(&expected), "{alert} fires in no test");
    }
}

/// A metric that is renamed must not leave an alert or a panel that stays empty.
#[test]
fn alerts_and_dashboard_name_metrics_that_exist() {
    let dashboard = include_str!("../../../../deploy/grafana/thermowell.json");
    let parsed: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    assert_eq!(parsed["uid"], "thermowell");
    let names: Vec<String> = CATALOGUE.iter().map(Metric::full_name).collect();
    for text in [RULES, dashboard] {
        let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let named: Vec<&&str> =
            words.iter().filter(|word| word.starts_with("thermowell_") || word.starts_with("process_")).collect();
        assert!(named.len() > 8, "{named:?}");
        for name in named {
            assert!(names.iter().any(|known| known == name), "{name} is no metric");
        }
    }
}

#[test]
fn boiler_without_reports_has_no_rows() {
    let text = text(&board());
    assert!(!text.contains("boiler=") && !has(&text, "aggregator_lag_messages"), "{text}");
}

#[test]
fn device_is_absent_unless_its_link_is_up() {
    let board = board();
    for link in [Link::Down, Link::Silent, Link::Refused] {
        board.agent(&b1(), agent_report(link));
        let text = text(&board);
        assert_eq!(value(&text, "link_up{boiler=\"b1\"}"), Some(0.0), "{link:?}");
        assert_eq!(value(&text, "backlog_slots{boiler=\"b1\"}"), Some(73.0));
        for name in
            ["device_on", "room_temperature_celsius", "fault", "lockout", "setpoint_accepted_celsius", "simulated"]
        {
            assert!(!has(&text, name), "{name} with {link:?}");
        }
    }
}

#[test]
fn unknown_readings_are_absent() {
    let board = board();
    let mut report = agent_report(Link::Up);
    let unknown = DeviceStatus { room: None, pressure_mbar: None, setpoint: None, fault: None, ..device() };
    report.status.device = Some(unknown);
    board.agent(&b1(), report);
    let text = text(&board);
    for name in [
        "room_temperature_celsius",
        "water_pressure_pascals",
        "setpoint_accepted_celsius",
        "lease_expires_timestamp_seconds",
    ] {
        assert!(!has(&text, name), "{name}");
    }
    assert!(has(&text, "outdoor_temperature_celsius"));
    assert_eq!(value(&text, "fault{boiler=\"b1\",kind=\"low_pressure\"}"), Some(0.0), "no fault is known");
}

#[test]
fn gauges_of_a_task_that_hangs_are_absent() {
    let board = board();
    board.agent(&b1(), agent_report(Link::Up));
    let late = boottime_ns() + 2 * u64::try_from(CURRENT.as_nanos()).unwrap();
    let text = board.sheet(late).text();
    assert!(!has(&text, "link_up") && !has(&text, "backlog_slots") && !has(&text, "device_on"));
    assert_eq!(value(&text, "serial_frames_total{boiler=\"b1\"}"), Some(1_001.0), "a counter stays");
}

#[test]
fn slot_that_is_old_or_ahead_has_a_time_but_no_temperature() {
    let (flow, mean, stamp) =
        ("flow_temperature_celsius", "flow_temperature_hour_mean_celsius", "last_slot_timestamp_seconds");
    for (age_s, expected) in [
        (1.0, [true, true, true]),
        (20.0, [false, true, true]),
        (90.0, [false, false, true]),
        (-2.0, [true, true, true]),
        (-20.0, [false, false, true]),
    ] {
        let board = board();
        board.aggregator(&b1(), aggregator_report(age_s));
        let text = text(&board);
        assert_eq!([flow, mean, stamp].map(|name| has(&text, name)), expected, "{age_s} s old");
        assert_eq!(has(&text, "hour_coverage_ratio"), expected[1], "coverage goes with the mean");
    }
    let board = board();
    board.aggregator(&b1(), aggregator::Report { values: None, ..aggregator_report(1.0) });
    assert!(!has(&text(&board), stamp) && has(&text(&board), "slots_total"), "while it catches up");
}

#[test]
fn set_point_is_absent_after_its_lease_and_without_heat() {
    let name = "setpoint_asked_celsius";
    let asks = |change: &dyn Fn(&mut controller::Report)| {
        let board = board();
        board.controller(&b1(), |report| change(report));
        has(&text(&board), name)
    };
    assert!(asks(&|report| report.published(&lease(Demand::Heat), IN_TIME)));
    assert!(!asks(&|report| report.published(&lease(Demand::None), IN_TIME)));
    assert!(!asks(&|report| report.published(&lease(Demand::Heat), Monotonic(0))));
    assert!(!asks(&|report| {
        report.published(&lease(Demand::Heat), IN_TIME);
        report.stands_by = true;
    }));
}

#[test]
fn text_is_made_at_most_twice_a_second() {
    let board = board();
    let first = board.text();
    board.agent(&b1(), agent_report(Link::Up));
    assert_eq!(board.text(), first);
    board.text.lock().unwrap().as_mut().unwrap().0 -= u64::try_from(AGAIN.as_nanos()).unwrap();
    assert!(has(&board.text(), "link_up"));
}

#[tokio::test]
async fn readiness_names_what_is_wanting() {
    let unready =
        |why: &[&str]| Readiness { status: Verdict::Unready, why: why.iter().map(|&why| why.to_owned()).collect() };
    let begins = ["agent: has not begun", "aggregator: has not begun", "controller: has not begun"];
    assert_eq!(board().readiness(), unready(&begins));
    let board = full().await;
    let away = ["agent", "aggregator", "controller"].map(|role| format!("{role}: no session with the NATS server"));
    assert_eq!(board.readiness(), unready(&away.each_ref().map(String::as_str)));

    let (sender, ready) = watch::channel(Phase::Up(1));
    board.held().members.values_mut().for_each(|member| member.ready = ready.clone());
    assert_eq!(board.readiness(), Readiness { status: Verdict::Ready, why: Vec::new() });
    board.agent(&b1(), agent_report(Link::Silent));
    board.aggregator(&b1(), aggregator_report(17.0));
    board.controller(&b1(), |report| report.stands_by = true);
    let why = ["the link is silent", "the newest slot is 17 s old", "another controller asks for set-points"];
    let why = why.map(|why| format!("b1: {why}")).to_vec();
    assert_eq!(board.readiness(), Readiness { status: Verdict::Degraded, why });
    let mut broken = aggregator_report(0.5);
    broken.values.as_mut().unwrap().average = None;
    board.aggregator(&b1(), broken);
    assert_eq!(board.readiness().why[1], "b1: no valid reading within the hour");
    let json = serde_json::to_string(&Readiness { status: Verdict::Ready, why: Vec::new() }).unwrap();
    assert_eq!(json, r#"{"status":"ready","why":[]}"#);
    drop(sender);
}

/// One that has ended has no session, like one that has not begun.
#[tokio::test]
async fn missing_front_makes_the_other_roles_degraded_only() {
    let begins = vec!["front: has not begun".to_owned()];
    let alone = Board::new(&config(), &["front"]);
    assert_eq!(alone.readiness(), Readiness { status: Verdict::Unready, why: begins.clone() });
    let board = Board::new(&config(), &["controller", "front"]);
    assert_eq!(board.readiness().status, Verdict::Unready);
    let members = std::mem::take(&mut full().await.held().members);
    board.held().members = members;
    let (_sender, ready) = watch::channel(Phase::Up(1));
    board.held().members.values_mut().for_each(|member| member.ready = ready.clone());
    assert_eq!(board.readiness(), Readiness { status: Verdict::Degraded, why: begins });
}

/// The server is connected, and does not let it read, or does not answer.
#[tokio::test]
async fn front_that_cannot_read_is_not_ready() {
    let why = vec!["front: the streams cannot be read: timed out".to_owned()];
    for (roles, status) in [(&["front"][..], Verdict::Unready), (&["controller", "front"], Verdict::Degraded)] {
        let board = Board::new(&config(), roles);
        let mut members = std::mem::take(&mut full().await.held().members);
        let member = members.remove("agent").unwrap();
        members.insert("front", member);
        let (_sender, ready) = watch::channel(Phase::Up(1));
        members.values_mut().for_each(|member| member.ready = ready.clone());
        board.held().members = members;
        assert_eq!(board.readiness().status, Verdict::Ready);
        board.read(Err("timed out".to_owned()));
        assert_eq!(board.readiness(), Readiness { status, why: why.clone() });
        board.read(Ok(()));
        assert_eq!(board.readiness().status, Verdict::Ready);
    }
}

/// The table of the handbook is the catalogue. A test that fails prints it.
#[test]
fn handbook_lists_every_metric() {
    let mut table = String::from("| metric | labels | what |\n|---|---|---|\n");
    for metric in CATALOGUE {
        let labels = metric.labels().collect::<Vec<_>>().join(", ");
        let of = if matches!(metric.of, "process" | "role") { String::new() } else { format!("{}: ", metric.of) };
        table += &format!("| `{}` | {labels} | {of}{} |\n", metric.full_name(), metric.help);
    }
    assert!(OPERATING.contains(&table), "deploy/OPERATING.md needs this table:\n{table}");
}
