//! A foreign program reads what is published: plain NATS over a socket, without code of ours.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rig::house::{House, SOON, assert_whole};
use rig::nats::{RIG_LOGIN, python_client};
use serde_json::Value;
use thermowell_wire::subject::{self, stream};

/// A client of the text protocol.
struct Plain {
    stream: BufReader<TcpStream>,
}

impl Plain {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut client = Self { stream: BufReader::new(stream) };
        assert!(client.line().starts_with("INFO {"));
        let (user, password) = RIG_LOGIN;
        let login = serde_json::json!({"verbose": false, "pedantic": false, "user": user, "pass": password});
        client.send(&format!("CONNECT {login}\r\nPING\r\n"));
        assert_eq!(client.line(), "PONG");
        client
    }

    fn send(&mut self, words: &str) {
        self.stream.get_mut().write_all(words.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next message: its subject and its payload.
    fn next(&mut self) -> (String, Value) {
        loop {
            let line = self.line();
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["PING"] => self.send("PONG\r\n"),
                ["MSG", subject, .., length] => {
                    let mut payload = vec![0; length.parse::<usize>().unwrap() + 2];
                    self.stream.read_exact(&mut payload).unwrap();
                    return ((*subject).to_owned(), serde_json::from_slice(&payload).unwrap());
                }
                _ => panic!("unexpected line {line:?}"),
            }
        }
    }
}

#[test]
fn a_plain_subscription_reads_the_hourly_snapshot() {
    let mut house = House::start(super::DEMO, &["--speed", "300", "--boilers", "1"]);
    let mut client = Plain::connect(house.processes.broker.port());
    client.send("SUB boiler.b1.hourly-snapshot 1\r\n");
    let (subject, event) = client.next();
    assert_eq!(subject, "boiler.b1.hourly-snapshot");
    let temperature = event["temperature"].as_f64().expect("a temperature");
    assert!((10.0..90.0).contains(&temperature), "{temperature}");
    let hour = house.plan.epoch_utc_ns / 1_000_000_000;
    assert_eq!(event["created_at"].as_i64(), Some(hour + 3_600));
    let points = event["temperature_points"].as_u64().expect("a count");

    let ledger = house.close();
    assert_whole(&ledger);
    let report = &ledger.boilers[0].hours[0];
    assert_eq!((report.reference, report.counted), (Some(temperature), points));
}

#[test]
fn a_plain_consumer_reads_each_sample_once() {
    let mut house = House::start(super::DEMO, &["--speed", "2", "--boilers", "1", "--feed"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("a second of samples", SOON, |house| (house.stored(&boiler)?.1 >= 300).then_some(()));
    let mut client = Plain::connect(house.processes.broker.port());
    let request =
        r#"{"stream_name":"FEED","config":{"deliver_subject":"mine","deliver_policy":"all","ack_policy":"none"}}"#;
    // The feed is derived: its stream exists, but its events may still be on their way.
    client.send(&format!(
        "SUB mine 1\r\nSUB answer 2\r\nPUB $JS.API.CONSUMER.CREATE.FEED answer {}\r\n{request}\r\n",
        request.len()
    ));
    let (mut expected, mut newest) = (0, 0.0);
    while expected < 2_000 {
        let (subject, event) = client.next();
        if subject == "answer" {
            assert_eq!(event["error"], Value::Null);
            continue;
        }
        assert_eq!(subject, "boiler.b1");
        assert_eq!(event["seq"].as_u64(), Some(expected), "{event}");
        let temperature = event["data"]["temperature"].as_f64().expect("a temperature");
        assert!((0.0..100.0).contains(&temperature), "{event}");
        let created_at = event["data"]["created_at"].as_f64().expect("a time");
        assert!(created_at > newest, "{event} is not later than {newest}");
        (expected, newest) = (expected + 1, created_at);
    }
    assert_whole(&house.close());
}

/// A process that is killed at the end of its test, also if the test fails.
pub(super) struct KilledAtEnd(pub(super) Child);

impl Drop for KilledAtEnd {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).map(drop).unwrap_or_default();
    }
}

/// The folder of the public client, for `PYTHONPATH`.
pub(super) fn client() -> PathBuf {
    let mut progress = String::new();
    python_client(&mut |line| progress += line).unwrap_or_else(|error| panic!("{progress}{error}"))
}

/// A program of the documents with the public client, the address of the house, and this key.
pub(super) fn python(house: &House, client: &Path, program: &str, arguments: &[&str], key: &str) -> KilledAtEnd {
    let mut python = Command::new("python3");
    python.args(["-u", "-c", program]).args(arguments);
    python.env("PYTHONPATH", client).env("NATS_URL", house.processes.broker.url());
    python.env("NATS_NKEY", house.plan.keys().join(format!("{key}.nk")));
    KilledAtEnd(python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
}

/// The program of the README, verbatim, with the public client and the reader's key.
#[test]
fn the_reader_of_the_readme_reads_state_and_hours() {
    let readme = include_str!("../../../../README.md");
    let (_, program) = readme.split_once("```python\n").expect("a program in the README");
    let (program, _) = program.split_once("```").expect("its end");
    let client = client();
    let mut house = House::start(super::DEMO, &["--speed", "300", "--boilers", "1"]);
    let [boiler] = house.boilers().try_into().expect("one boiler");
    house.until("a closed hour", SOON * 2, |house| house.last(stream::SNAPSHOT, &subject::snapshot(&boiler)).map(drop));
    let mut python = python(&house, &client, program, &[], "reader");
    let (sender, lines) = channel();
    let out = BufReader::new(python.0.stdout.take().expect("it is piped"));
    thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let line = || lines.recv_timeout(SOON * 2).expect("a line in time");
    let (now, hour, next) = (line(), line(), line());
    assert!(now.starts_with("now: ") && now.contains('.'), "{now}");
    assert!(hour.starts_with("last hour: ") && hour.contains('.'), "{hour}");
    let words: Vec<f64> = next.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(words.len() == 3 && words[0] > 1.7e9 && words[2] > 1e5, "{next}");
}
