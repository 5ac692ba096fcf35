//! Bad input: what the process logs, and whether it continues or ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream;
use rig::house::{self, House, SOON, assert_whole};
use rig::nats::{Broker, BrokerOptions};
use rig::process::{Child, HTTP_OFF, Launch, Programs};
use thermowell_flow::published::{Link, Status};
use thermowell_wire::subject::{self, stream};

/// An agent with a test's own configuration.
fn agent(folder: &Path, config: &str) -> Child {
    let path = folder.join("thermowell.toml");
    fs::write(&path, config).unwrap();
    let log = folder.join("agent.log");
    Child::spawn(&Launch::run(&Programs::at(super::DEMO), "agent", &path, log)).unwrap()
}

/// Waits for the end of an agent: its exit code, and its log.
fn end(mut agent: Child, folder: &Path) -> (Option<i32>, String) {
    let status = agent.wait(SOON).unwrap();
    let log = house::log(&folder.join("agent.log"));
    let status = status.unwrap_or_else(|| panic!("it still runs; its log:\n{log}"));
    (status.code(), log)
}

fn config(url: &str, port: &Path, id: &str) -> String {
    let spool = port.parent().expect("ports lie in a folder").join("spool");
    let (port, spool) = (port.display(), spool.display());
    let spool = format!("[spool]\ndirectory = \"{spool}\"\n");
    format!(
        "gateway = \"test\"\n\n[nats]\nurl = \"{url}\"\n\n{spool}\n[[boiler]]\nid = \"{id}\"\nport = \"{port}\"\n\
         {HTTP_OFF}"
    )
}

#[test]
fn garbage_on_the_line_costs_nothing() {
    let mut house = House::start(super::DEMO, &["--speed", "2"]);
    let [first, second] = house.boilers().try_into().expect("two boilers");
    house.until("samples arrive", SOON, |house| house.stored(&first));
    for count in [1, 255, 256, 4_000, 16_384] {
        assert_eq!(house.order(&format!("garbage {first} {count}")), format!("{count} bytes"));
        assert_eq!(house.order(&format!("garbage {second} {count}")), format!("{count} bytes"));
        house.catch_up(SOON);
    }
    assert_whole(&house.close());
}

#[test]
fn a_wrong_boiler_id_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("nats://127.0.0.1:4222", &folder.path().join("port"), "Boiler 1");
    let (code, log) = end(agent(folder.path(), &config), folder.path());
    assert_eq!(code, Some(78), "{log}");
    let line = 1 + config.lines().position(|line| line.starts_with("id = ")).unwrap();
    for word in [&format!("thermowell.toml:{line}"), "id", "Boiler 1"] {
        assert!(log.contains(word), "no {word:?} in:\n{log}");
    }
}

#[test]
fn a_port_that_is_not_there_is_waited_for() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "1"]);
    house.processes.simulator.keep_down().unwrap();
    house.processes.agent.keep_down().unwrap();
    let port = house.folder().join("ports/b1");
    fs::remove_file(&port).unwrap_or_default();
    let log = house.processes.agent.log().to_owned();
    fs::write(&log, "").unwrap();
    house.processes.agent.bring_up().unwrap();
    let pid = house.processes.agent.pid();
    house.until("the agent logs that the port does not exist", SOON, |_| {
        let log = house::log(&log);
        let line = log.lines().find(|line| line.contains("serial port not open"))?;
        (line.contains("WARN") && line.contains(port.to_str()?)).then_some(())
    });
    house.processes.simulator.bring_up().unwrap();
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("samples arrive", SOON, |house| house.stored(&boiler));
    assert_eq!(house.processes.agent.pid(), pid, "the agent is not restarted");
    assert_whole(&house.close());
}

#[test]
fn a_stream_that_is_full_is_logged_with_its_cause_throttled() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("samples arrive", SOON, |house| house.stored(&boiler));
    let limits = |house: &House, discard, max_messages| {
        house.wait_for(async {
            let context = jetstream::new(house.connect().await.unwrap());
            let config = context.get_stream(stream::SAMPLES).await.unwrap().cached_info().config.clone();
            let before = (config.discard, config.max_messages);
            context.update_stream(jetstream::stream::Config { discard, max_messages, ..config }).await.unwrap();
            before
        })
    };
    // The stream has more than one message, keeps them, and refuses the next.
    let (discard, max_messages) = limits(&house, jetstream::stream::DiscardPolicy::New, 1);
    let log = house.processes.agent.log().to_owned();
    let logged = |words: &str| -> Vec<String> {
        house::log(&log).lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    };
    let fourth = "times=4 ";
    house.until("four refusals", SOON, |_| logged("the server refused a batch").last()?.contains(fourth).then_some(()));
    house.go_on(Duration::from_secs(3));
    let lines = logged("the server refused a batch");
    assert!(lines.len() <= 4, "{} lines:\n{}", lines.len(), lines.join("\n"));
    assert!(lines.iter().all(|line| line.contains("maximum messages exceeded") && line.contains("b1")), "{lines:?}");
    limits(&house, discard, max_messages);
    house.until("it takes batches again", SOON, |_| logged("the server stores batches again").pop());
    assert_whole(&house.close());
}

#[test]
fn a_server_that_is_too_old_is_named_with_both_versions() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // This thread ends with the process of the tests.
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = BufReader::new(client.unwrap());
            let info = format!(
                "INFO {{\"server_id\":\"OLD\",\"server_name\":\"old\",\"version\":\"2.9.0\",\"proto\":1,\
                 \"host\":\"127.0.0.1\",\"port\":{port},\"headers\":true,\"jetstream\":true,\"max_payload\":1048576,\
                 \"client_id\":1}}\r\n"
            );
            let mut goes_on = client.get_mut().write_all(info.as_bytes()).is_ok();
            let mut line = String::new();
            while goes_on && client.read_line(&mut line).is_ok_and(|length| length > 0) {
                goes_on = line != "PING\r\n" || client.get_mut().write_all(b"PONG\r\n").is_ok();
                line.clear();
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let config = config(&format!("nats://127.0.0.1:{port}"), &folder.path().join("port"), "b1");
    let (code, log) = end(agent(folder.path(), &config), folder.path());
    assert_eq!(code, Some(1), "{log}");
    for word in ["2.9.0", "2.15.1", &format!("127.0.0.1:{port}")] {
        assert!(log.contains(word), "no {word:?} in:\n{log}");
    }
}

#[test]
fn a_foreign_stream_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = BrokerOptions::in_folder(folder.path().join("nats"));
    let broker = Broker::start(&house::server(), &Programs::at(super::DEMO), options).unwrap();
    let runtime = house::runtime();
    let client = runtime.block_on(async_nats::connect(broker.url())).unwrap();
    let context = runtime.block_on(async { jetstream::new(client) });
    let theirs = jetstream::stream::Config {
        name: stream::SAMPLES.to_owned(),
        subjects: vec!["laboratory.>".to_owned()],
        ..Default::default()
    };
    let mut stream = runtime.block_on(context.create_stream(theirs)).unwrap();
    runtime.block_on(async { context.publish("laboratory.blood", "0+".into()).await.unwrap().await }).unwrap();
    let before = runtime.block_on(stream.info()).unwrap().clone();

    let config = config(&broker.url(), &folder.path().join("port"), "b1");
    let (code, log) = end(agent(folder.path(), &config), folder.path());
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("stream SAMPLES exists and is not Thermowell's"), "{log}");
    let after = runtime.block_on(stream.info()).unwrap();
    assert_eq!((&after.config, after.state.messages), (&before.config, 1));
}

#[test]
fn a_scaled_clock_refuses_a_real_device() {
    a_real_device_is_refused(&["--speed", "5"]);
}

#[test]
fn a_clock_that_can_step_refuses_a_real_device() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("step");
    a_real_device_is_refused(&["--speed", "1", "--clock-step", file.to_str().expect("a plain name")]);
}

fn a_real_device_is_refused(arguments: &[&str]) {
    let words: Vec<&str> = ["--boilers", "1", "--sim-arg=--real"].iter().chain(arguments).copied().collect();
    let mut house = House::start(super::DEMO, &words);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("the device is refused", SOON, |house| {
        let status: Status = house.last_json(stream::STATUS, &subject::status(&boiler))?;
        (status.link == Link::Refused).then_some(())
    });
    house.until("it could have sent much", SOON, |house| house.place(&boiler).filter(|place| place.next > 400));
    assert_eq!(house.stored(&boiler), None);
    let log = house::log(house.processes.agent.log());
    let reason = "it is not simulated, but the clock is not real: take speed and step_file out of [clock]";
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains(reason)), "{log}");
    assert_eq!(house.processes.agent.stop(Duration::from_secs(10)).unwrap().and_then(|end| end.code()), Some(0));
}

#[test]
fn two_boilers_on_one_device_are_named_and_the_first_goes_on() {
    let mut house = House::start(super::DEMO, &["--speed", "5"]);
    let [first, _] = house.boilers().try_into().expect("two boilers");
    house.catch_up(SOON);
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
    let words = ["serial port not open", "boilers b2 and b1 have the same serial port", &by_id];
    let line = house.until("both are named", SOON, |house| {
        let log = house::log(house.processes.agent.log());
        log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
    });
    assert!(line.contains("WARN") && line.contains("ports/b1"), "{line}");
    house.until("the first one's samples", SOON, |house| house.stored(&first).filter(|end| end.1 > before.1 + 1_000));
    assert_eq!(house.processes.agent.deaths(), 0, "the agent is not restarted");

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
