//! The alert rules on a real Prometheus, with real faults: each fires for its fault, and no other boiler's does.
//!
//! The rules' waits (`for`) are left out here, and tested by `promtool test rules`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use async_nats::jetstream;
use rig::clock::realtime_ns;
use rig::house::{House, SOON, log};
use rig::nats::{free_port, http_get};
use rig::process::{Child, Launch, Programs, Role};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use thermowell::keys::PERMISSIONS;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use super::mqtt::authority;

const RULES: &str = include_str!("../../../../deploy/prometheus/thermowell.rules.yml");

/// A Prometheus that asks all roles of a run each second.
struct Prometheus {
    port: u16,
    _process: Child,
    _folder: TempDir,
}

/// The names of alerts, with their boiler if they have one.
type Firing = BTreeSet<(String, Option<String>)>;

impl Prometheus {
    /// None where there is no Prometheus.
    fn start(targets: &[u16]) -> Option<Self> {
        if Command::new("prometheus").arg("--version").stdout(Stdio::null()).status().is_err() {
            super::skipped("there is no prometheus; apt-get install prometheus");
            return None;
        }
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let rules = RULES.lines().filter(|line| !line.trim_start().starts_with("for: "));
        fs::write(path("rules.yml"), rules.collect::<Vec<_>>().join("\n")).unwrap();
        let targets: Vec<String> = targets.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{ job_name: thermowell, static_configs: [{{ targets: [{}] }}] }}]\n",
            targets.join(", ")
        );
        fs::write(path("prometheus.yml"), text).unwrap();
        let port = free_port().unwrap();
        let argument = |name: &str, value: &Path| format!("--{name}={}", value.display()).into();
        let launch = Launch {
            name: "prometheus".to_owned(),
            programs: Programs::at(super::DEMO),
            role: Role::Program("prometheus".into()),
            args: vec![
                argument("config.file", &path("prometheus.yml")),
                argument("storage.tsdb.path", &path("data")),
                format!("--web.listen-address=127.0.0.1:{port}").into(),
            ],
            log: path("prometheus.log"),
        };
        let process = Child::spawn(&launch).unwrap();
        Some(Self { port, _process: process, _folder: folder })
    }

    /// Without the coverage of an hour that ends meanwhile: the run is younger.
    fn firing_in_real_time(&self) -> Option<Firing> {
        Some(self.firing()?.into_iter().filter(|(name, _)| name != "ThermowellCoverageLow").collect())
    }

    fn firing(&self) -> Option<Firing> {
        let (200, body) = http_get(self.port, "/api/v1/alerts").ok()? else { return None };
        let json: Value = serde_json::from_str(&body).unwrap();
        let alerts = json["data"]["alerts"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Some(
            alerts
                .map(|alert| (text(&alert["labels"]["alertname"]).unwrap(), text(&alert["labels"]["boiler"])))
                .collect(),
        )
    }

    fn until_firing(&self, house: &mut House, name: &str, boiler: Option<&str>) {
        let expected = (format!("Thermowell{name}"), boiler.map(str::to_owned));
        let mut seen = Firing::new();
        let found = house.try_until(name, SOON * 4, |_| {
            seen = self.firing()?;
            seen.contains(&expected).then_some(())
        });
        found.unwrap_or_else(|error| panic!("{seen:?}: {error}"));
    }

    /// Waits until all targets are asked and nothing fires.
    fn until_quiet(&self, house: &mut House) {
        let mut seen = Firing::new();
        let found = house.try_until("no alert", SOON * 2, |_| {
            let (200, body) = http_get(self.port, "/api/v1/query?query=min(up)").ok()? else { return None };
            let up: Value = serde_json::from_str(&body).unwrap();
            seen = self.firing_in_real_time()?;
            (up["data"]["result"][0]["value"][1] == "1" && seen.is_empty()).then_some(())
        });
        found.unwrap_or_else(|error| panic!("{seen:?}: {error}"));
    }
}

/// Asks each question of Grafana's dashboard. Those for what is rare may have no answer.
fn ask_as_grafana_does(prometheus: &Prometheus) {
    let dashboard = include_str!("../../../../deploy/grafana/thermowell.json");
    let texts = dashboard.split("\"expr\": ").skip(1).map(|rest| rest.lines().next().unwrap_or_default());
    let questions: Vec<String> = texts.map(|text| serde_json::from_str(text.trim_end_matches(',')).unwrap()).collect();
    assert!(questions.len() > 15, "{questions:?}");
    for question in questions {
        let encoded = question.replace("$boiler", ".*").bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let (code, body) = http_get(prometheus.port, &format!("/api/v1/query?query={encoded}")).unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{question}: {body}"));
        let answers = answer["data"]["result"].as_array().map_or(0, Vec::len);
        assert!(code == 200 && (answers > 0 || question.ends_with(" > 0")), "{question}: {body}");
    }
}

/// A run, and a Prometheus that asks its roles, and others at these ports.
fn start(arguments: &[&str], others: &[u16]) -> Option<(House, Prometheus)> {
    let ports = [(); 3].map(|()| free_port().unwrap());
    let prometheus = Prometheus::start(&[&ports, others].concat())?;
    let ports = ports.map(|port| port.to_string()).join(",");
    let house = House::start(super::DEMO, &[arguments, &["--boilers", "2", "--http", &ports]].concat());
    Some((house, prometheus))
}

fn until_sampled(house: &mut House) {
    house.until("samples of both", SOON, |house| {
        house.boilers().iter().all(|id| house.stored(id).is_some_and(|(_, next)| next > 1_000)).then_some(())
    });
}

/// In real time, as the rules' limits are.
#[test]
#[ignore = "two minutes in real time"]
fn alerts_fire_for_faults_of_cable_role_and_server() {
    let Some((mut house, prometheus)) = start(&["--speed", "1"], &[]) else { return };
    until_sampled(&mut house);
    prometheus.until_quiet(&mut house);
    assert_eq!(house.order("miss b2 3s"), "silent");
    prometheus.until_firing(&mut house, "Loss", Some("b2"));
    assert_eq!(house.order("unplug b1"), "unplugged");
    prometheus.until_firing(&mut house, "LinkDown", Some("b1"));
    prometheus.until_firing(&mut house, "Stale", Some("b1"));
    // A scrape that a busy machine delays leaves a second without the agent's series, and the rules have no `for` here.
    let expected = Firing::from([("ThermowellLoss".to_owned(), Some("b2".to_owned()))]);
    house.until("b2 has its own alert, and no other", SOON, |_| {
        let firing = prometheus.firing_in_real_time()?;
        let b2: Firing = firing.into_iter().filter(|(_, id)| id.as_deref() == Some("b2")).collect();
        (b2 == expected).then_some(())
    });
    assert_eq!(house.order("plug b1"), "plugged");
    house.until("b1 is well again", SOON * 2, |_| {
        let firing = prometheus.firing_in_real_time()?;
        firing.iter().all(|(_, id)| id.as_deref() != Some("b1")).then_some(())
    });
    house.role("agent").signal(Signal::STOP).unwrap();
    prometheus.until_firing(&mut house, "Down", None);
    house.role("agent").signal(Signal::CONT).unwrap();
    house.processes.broker.kill().unwrap();
    prometheus.until_firing(&mut house, "ServerAway", None);
    house.processes.broker.restart().unwrap();
    drop(house);
}

#[test]
#[ignore = "a minute"]
fn alerts_fire_for_gaps_lockouts_and_a_second_controller() {
    let port = free_port().unwrap();
    let Some((mut house, prometheus)) = start(&["--speed", "300"], &[port]) else { return };
    house.until("two hours", SOON * 2, |house| (house.stored(&"b1".parse().ok()?)?.1 > 720_000).then_some(()));
    ask_as_grafana_does(&prometheus);
    assert_eq!(house.order("reboot b1 600s"), "off");
    prometheus.until_firing(&mut house, "CoverageLow", Some("b1"));
    assert_eq!(house.order("fail b2 flame 3h"), "failing");
    prometheus.until_firing(&mut house, "Lockout", Some("b2"));
    let firing = prometheus.firing().unwrap();
    assert!(!firing.contains(&("ThermowellLockout".to_owned(), Some("b1".to_owned()))), "{firing:?}");

    let _second = second(&house, "controller", port, "");
    prometheus.until_firing(&mut house, "TwoControllers", Some("b1"));
    drop(house);
}

/// In real time, as the rules' limits are.
#[test]
#[ignore = "a minute in real time, openssl"]
fn alerts_fire_for_rights_a_hole_and_a_certificate() {
    let port = free_port().unwrap();
    let Some((mut house, prometheus)) = start(&["--speed", "1"], &[port]) else { return };
    let [b1, b2] = house.boilers().try_into().unwrap();
    until_sampled(&mut house);
    let absent = Firing::from([("ThermowellDown".to_owned(), None)]);
    house.until("nothing but the target that is not there yet", SOON * 2, |_| {
        (prometheus.firing_in_real_time()? == absent).then_some(())
    });

    house.role("aggregator").keep_down().unwrap();
    let newest = async |house: &House| {
        let context = jetstream::new(house.connect().await.unwrap());
        let samples = context.get_stream(stream::SAMPLES).await.unwrap();
        let newest = samples.get_last_raw_message_by_subject(subject::samples(&b2).as_ref()).await.unwrap();
        (samples, newest.sequence)
    };
    let (samples, read) = house.wait_for(newest(&house));
    let next = |house: &mut House, before: u64| {
        house
            .until("a batch", SOON, |house| Some(house.wait_for(newest(house)).1).filter(|sequence| *sequence > before))
    };
    // Not the newest one: the agent notices that, and stores it again.
    let deleted = next(&mut house, read);
    next(&mut house, deleted);
    assert!(house.wait_for(samples.delete_message(deleted)).unwrap());
    house.role("aggregator").bring_up().unwrap();
    prometheus.until_firing(&mut house, "Unexplained", Some("b2"));

    deny(
        &mut house,
        "agent",
        &["boiler.*.event.gap", "$JS.API.CONSUMER.CREATE.LEASE", "$JS.API.CONSUMER.CREATE.LEASE.>"],
    );
    let flows = |house: &House| log(house.processes.agent.log()).matches("samples flow").count();
    let before = flows(&house);
    house.role("agent").signal(Signal::KILL).unwrap();
    house.until("samples of both by the new agent", SOON, |house| (flows(house) >= before + 2).then_some(()));
    assert_eq!(house.order("miss b1 1s"), "silent");
    prometheus.until_firing(&mut house, "EventsDropped", None);
    // The agent is asked again, so what it does not report is not there: the lease that the boiler had has ended.
    house.until("no lease", SOON * 4, |house| (!house.place(&b1)?.leased).then_some(()));
    prometheus.until_firing(&mut house, "NotObeyed", Some("b1"));
    let firing = prometheus.firing_in_real_time().unwrap();
    assert!(!firing.contains(&("ThermowellUnexplained".to_owned(), Some("b1".to_owned()))), "{firing:?}");

    let folder = TempDir::new().unwrap();
    if !authority::make(folder.path()) {
        super::skipped("there is no openssl; apt-get install openssl");
        return;
    }
    let mqtt = format!("\n[mqtt]\nurl = \"mqtts://localhost:9\"\nca = \"{}/ca.pem\"\n", folder.path().display());
    let _front = second(&house, "front", port, &mqtt);
    prometheus.until_firing(&mut house, "Certificate", None);
}

/// The gateway's clock is hours behind until an hour has closed, and is then set right. After such a step it is not
/// trusted for ten minutes, and no hour closes.
#[test]
#[ignore = "two minutes in real time"]
fn alert_fires_for_hours_that_do_not_close() {
    let folder = TempDir::new().unwrap();
    let step = folder.path().join("step");
    // An hour ends 90 s after now, by a clock that is at least two hours behind.
    let behind_s = 2 * 3_600 + (realtime_ns() / 1_000_000_000 + 90).rem_euclid(3_600);
    fs::write(&step, format!("-{behind_s}000000000")).unwrap();
    let Some((mut house, prometheus)) = start(&["--speed", "1", "--clock-step", step.to_str().unwrap()], &[]) else {
        return;
    };
    house.until("a closed hour of both", SOON * 6, |house| {
        let hour = |id: &BoilerId| house.last(stream::SNAPSHOT, &subject::snapshot(id));
        house.boilers().iter().all(|id| hour(id).is_some()).then_some(())
    });
    fs::write(&step, "0").unwrap();
    for boiler in ["b1", "b2"] {
        prometheus.until_firing(&mut house, "SnapshotLate", Some(boiler));
    }
}

/// Takes rights to publish from a role, while the server runs.
fn deny(house: &mut House, role: &str, subjects: &[&str]) {
    let path = house.plan.keys().join(PERMISSIONS);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(&format!("# {role}: ")).unwrap();
    let (rights, after) = rest.split_once("subscribe: ").unwrap();
    let lines = rights.split_inclusive('\n').filter(|line| !subjects.contains(&line.trim().trim_matches('"')));
    let left: String = lines.collect();
    assert_eq!(rights.lines().count() - left.lines().count(), subjects.len(), "{rights}");
    fs::write(&path, format!("{before}# {role}: {left}subscribe: {after}")).unwrap();
    let reloads = |house: &House| log(house.processes.broker.log()).matches("Reloaded server configuration").count();
    let before = reloads(house);
    house.processes.broker.reload(|text| text).unwrap();
    house.until("the server has read it", SOON, |house| (reloads(house) > before).then_some(()));
}

/// Another process of a role, with metrics at this port and more configuration.
fn second(house: &House, role: &str, port: u16, more: &str) -> Child {
    let config = house.folder().join("second.toml");
    let text = fs::read_to_string(house.config()).unwrap();
    let lines = text.lines().map(|line| match line.split_once(" = ") {
        Some((key, _)) if key == role => format!("{key} = \"127.0.0.1:{port}\""),
        _ => line.to_owned(),
    });
    fs::write(&config, lines.collect::<Vec<_>>().join("\n") + more).unwrap();
    Child::spawn(&house.another(role, &config, "second")).unwrap()
}
