//! The dashboard without a browser: its pages, its events, and what they show when a cable, the server or the dashboard
//! itself is gone.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rig::house::{House, SOON, assert_whole};
use rustix::process::Signal;
use serde_json::Value;

/// At most this long between the cable and the page: 5 s of freshness, a read and a frame of a second each, and a
/// machine that is busy with other tests.
const SHOWN: Duration = Duration::from_secs(20);

/// The answer to a request whose answer ends: status and headers, and body.
fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = ask(address, path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer}"));
    (head.to_owned(), body.to_owned())
}

/// Version 1.0 of HTTP: the answer is not in chunks.
fn ask(address: SocketAddr, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    Ok(stream)
}

/// A viewer: connects again when the dashboard ends, as a browser does.
struct Viewer {
    address: SocketAddr,
    path: String,
    stream: Option<TcpStream>,
    unread: String,
    /// The newest frames.
    values: Value,
    charts: Value,
}

impl Viewer {
    fn new(house: &House, path: &str) -> Self {
        let (address, path) = (house.dashboard(), path.to_owned());
        Self { address, path, stream: None, unread: String::new(), values: Value::Null, charts: Value::Null }
    }

    /// Reads what has arrived.
    fn read(&mut self) {
        if self.stream.is_none() {
            self.unread.clear();
            self.stream = ask(self.address, &self.path).and_then(|s| s.set_nonblocking(true).map(|()| s)).ok();
        }
        let mut buffer = [0; 65_536];
        while let Some(stream) = &mut self.stream {
            match stream.read(&mut buffer) {
                Ok(0) => self.stream = None,
                Ok(count) => self.unread += &String::from_utf8_lossy(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.stream = None,
            }
        }
        while let Some((event, rest)) = self.unread.split_once("\n\n") {
            if let Some((name, data)) = event.split_once("event: ").and_then(|(_, event)| event.split_once("\ndata: "))
            {
                let frame = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
                match name {
                    "values" => self.values = frame,
                    "charts" => self.charts = frame,
                    other => panic!("an event of an unknown name: {other}"),
                }
            }
            self.unread = rest.to_owned();
        }
    }

    fn text(&self, id: &str) -> &str {
        self.values["t"][id].as_str().unwrap_or_default()
    }

    fn state(&self, id: &str) -> &str {
        self.values["s"][id].as_str().unwrap_or_default()
    }

    fn chart(&self) -> &str {
        self.charts["svg"]["hour"].as_str().unwrap_or_default()
    }
}

/// Waits until the viewer sees it.
fn until_seen(house: &mut House, viewer: &mut Viewer, what: &str, sees: impl Fn(&Viewer) -> bool) {
    house.until(what, SHOWN, |_| {
        viewer.read();
        sees(viewer).then_some(())
    });
}

fn start(arguments: &[&str]) -> (House, Viewer) {
    let mut house = House::start(super::DEMO, arguments);
    let mut viewer = Viewer::new(&house, "/events?w=720&boiler=b1");
    let is_fresh = |viewer: &Viewer| viewer.state("pill") == "fresh" && viewer.chart().contains("class=\"now\"");
    until_seen(&mut house, &mut viewer, "fresh data on the page", is_fresh);
    (house, viewer)
}

#[test]
fn pages_are_served_with_their_headers_and_values_move() {
    let (mut house, mut viewer) = start(&["--boilers", "2"]);
    let address = house.dashboard();
    for (path, kind) in [
        ("/", "text/html"),
        ("/b/b2", "text/html"),
        ("/style.css", "text/css"),
        ("/live.js", "text/javascript"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let (head, body) = get(address, path);
        assert!(head.contains(" 200 OK") && head.contains(&format!("content-type: {kind}")), "{path}: {head}");
        assert!(head.contains("content-security-policy: default-src 'none'; style-src 'self';"), "{path}: {head}");
        assert!(head.contains("cache-control: no-cache") && !body.is_empty(), "{path}: {head}");
    }
    for (path, status, text) in [
        ("/b/b3", "404", "no such boiler"),
        ("/events?w=720&boiler=b3", "404", "no such boiler"),
        ("/events?w=1", "400", "w must be one of 358, 720, 1120"),
        ("/events", "400", "w must be one of 358, 720, 1120"),
    ] {
        let (head, body) = get(address, path);
        assert!(head.contains(status) && body.contains(text), "{path}: {head}\n{body}");
    }
    let (head, body) = get(address, "/readyz");
    assert!(head.contains(" 200 OK") && body.contains("\"ready\""), "{head}\n{body}");
    let (_, metrics) = get(address, "/metrics");
    assert!(metrics.contains("thermowell_nats_connected{role=\"front\"} 1"), "{metrics}");
    let now = viewer.values["now"].as_i64().unwrap();
    let first = viewer.values.clone();
    until_seen(&mut house, &mut viewer, "values move", |viewer| {
        viewer.values["now"].as_i64().unwrap() > now && viewer.values["t"]["flow"] != first["t"]["flow"]
    });
    assert_eq!(viewer.state("simulated"), "yes");
    let mut overview = Viewer::new(&house, "/events?w=358");
    until_seen(&mut house, &mut overview, "both boilers", |overview| {
        let rows = overview.charts["rows"]["boilers"].as_array();
        rows.is_some_and(|rows| rows.len() == 2 && rows.iter().all(|row| row["svg"].is_string()))
    });
    assert_whole(&house.close());
}

#[test]
fn seventeenth_viewer_is_told_why_it_has_no_place() {
    let (mut house, mut viewer) = start(&["--boilers", "1"]);
    let mut others: Vec<Viewer> = (1..16).map(|_| Viewer::new(&house, "/events?w=1120")).collect();
    for other in &mut others {
        until_seen(&mut house, other, "a place", |other| other.values["now"].is_i64());
    }
    let (head, body) = get(house.dashboard(), "/events?w=358");
    assert!(head.contains(" 503 ") && head.contains("retry-after: 5"), "{head}");
    assert_eq!(body, "16 pages are open, which is the most: close one of them\n");
    let (head, _) = get(house.dashboard(), "/");
    assert!(head.contains(" 200 OK"), "the page itself has no such limit: {head}");
    others.pop();
    let mut late = Viewer::new(&house, "/events?w=358");
    until_seen(&mut house, &mut late, "the place of one that left", |late| late.values["now"].is_i64());
    until_seen(&mut house, &mut viewer, "fresh data in the first page", |first| first.state("pill") == "fresh");
    assert_whole(&house.close());
}

/// In real time, as a freshness is.
#[test]
fn cable_out_is_shown_as_waiting_with_a_hole_and_back_as_fresh() {
    let (mut house, mut viewer) = start(&["--boilers", "1", "--speed", "1"]);
    assert_eq!(house.order("unplug b1"), "unplugged");
    until_seen(&mut house, &mut viewer, "the link is down, and its device unknown", |viewer| {
        viewer.text("setpoint-note").starts_with("link is down: ")
            && viewer.text("burner") == "–"
            && viewer.text("fault") == "–"
    });
    until_seen(&mut house, &mut viewer, "the data waits", |viewer| {
        viewer.state("pill") == "waiting" && viewer.chart().contains("no data since ")
    });
    assert!(!viewer.chart().contains("class=\"now\""), "{}", viewer.chart());
    assert_eq!(house.order("plug b1"), "plugged");
    until_seen(&mut house, &mut viewer, "fresh again, without a hole", |viewer| {
        viewer.state("pill") == "fresh" && viewer.chart().contains("class=\"now\"") && viewer.text("fault") == "none"
    });
    // The device remembers: the hole has been filled.
    assert!(!viewer.chart().contains("missing"), "{}", viewer.chart());
    assert_whole(&house.close());
}

#[test]
fn reboot_is_a_hole_with_length_and_reason() {
    let (mut house, mut viewer) = start(&["--boilers", "1"]);
    assert_eq!(house.order("reboot b1 240s"), "off");
    until_seen(&mut house, &mut viewer, "a hole of four minutes, and what was not yet read", |viewer| {
        let note = viewer.chart().split(" min missing · reboot").next().unwrap_or_default();
        let minutes = note.rsplit('>').next().and_then(|length| length.split(':').next());
        viewer.chart().contains(" min missing · reboot") && ["4", "5"].map(Some).contains(&minutes)
    });
    let happened = viewer.charts["rows"]["happened"].to_string();
    assert!(happened.contains("new boot "), "{happened}");
    drop(house);
}

#[test]
fn server_that_is_away_is_named_and_its_return_too() {
    let (mut house, mut viewer) = start(&["--boilers", "1"]);
    house.processes.broker.kill().unwrap();
    until_seen(&mut house, &mut viewer, "the server is away", |viewer| {
        viewer.state("server") == "away" && viewer.text("server").contains("is away since ")
    });
    let (head, body) = get(house.dashboard(), "/readyz");
    assert!(head.contains(" 503 ") && body.contains("front: no session with the NATS server"), "{head}\n{body}");
    until_seen(&mut house, &mut viewer, "its data grows old", |viewer| viewer.state("pill") == "waiting");
    house.processes.broker.restart().unwrap();
    until_seen(&mut house, &mut viewer, "the server is back", |viewer| {
        viewer.state("server") == "up" && viewer.text("server").is_empty() && viewer.state("pill") == "fresh"
    });
    assert_whole(&house.close());
}

#[test]
fn killed_dashboard_comes_back_and_the_other_roles_go_on() {
    let (mut house, mut viewer) = start(&["--boilers", "1"]);
    let pids = |house: &mut House| ["agent", "aggregator", "controller"].map(|name| house.role(name).pid());
    let before = pids(&mut house);
    house.role("front").signal(Signal::KILL).unwrap();
    until_seen(&mut house, &mut viewer, "the connection ends", |viewer| viewer.stream.is_none());
    viewer.values = Value::Null;
    until_seen(&mut house, &mut viewer, "it shows fresh data again", |viewer| viewer.state("pill") == "fresh");
    house.role("front").signal(Signal::STOP).unwrap();
    house.catch_up(SOON);
    house.role("front").signal(Signal::CONT).unwrap();
    assert_eq!(pids(&mut house), before);
    assert_whole(&house.close());
}
