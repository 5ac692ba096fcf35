//! Home Assistant's side of MQTT, on Debian's Mosquitto: a client of the other version of MQTT, which knows our topics
//! only from what it reads there.

pub(super) mod authority;
mod doctor;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rig::house::{House, SOON};
use rig::nats::{free_port, http_get};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use rustix::process::Signal;
use serde_json::Value;
use thermowell_wire::subject::{self, stream};

/// Debian's place for it is not in the PATH of all users.
const USUAL: &str = "/usr/sbin/mosquitto";

/// Mosquitto on a free port of this machine, without a store.
struct Broker {
    program: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    /// A port that lets only users in, of which there are none.
    locked: u16,
    /// A port without the right to announce devices.
    narrow: u16,
    /// A port with TLS, where there is `openssl`.
    tls: Option<u16>,
    child: Child,
}

impl Broker {
    /// None where there is no mosquitto.
    fn start() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join("mosquitto")).chain([USUAL.into()]);
        let Some(program) = found.into_iter().find(|program| program.is_file()) else {
            super::skipped("there is no mosquitto; apt-get install mosquitto");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let [port, locked, narrow, encrypted] = [(); 4].map(|()| free_port().unwrap());
        let tls = authority::make(folder.path()).then_some(encrypted);
        // Started by root it would become another user, who may not read this folder.
        let mut text = format!(
            "per_listener_settings true\nuser root\nlistener {port} 127.0.0.1\nallow_anonymous true\n\
             listener {locked} 127.0.0.1\nallow_anonymous false\n\
             listener {narrow} 127.0.0.1\nallow_anonymous true\nacl_file {}\n",
            path("rights")
        );
        if let Some(tls) = tls {
            let (certificate, key) = (path("broker.pem"), path("broker.key"));
            text += &format!("listener {tls} 127.0.0.1\nallow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n");
        }
        fs::write(folder.path().join("rights"), "topic readwrite thermowell/#\ntopic read homeassistant/status\n")
            .unwrap();
        fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        let child = Self::spawn(&program, folder.path());
        Some(Self { program, folder, port, locked, narrow, tls, child })
    }

    fn spawn(program: &Path, folder: &Path) -> Child {
        let mut command = Command::new(program);
        command.arg("-c").arg(folder.join("mosquitto.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(&self.program, self.folder.path());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[derive(Clone, Debug)]
struct Heard {
    topic: String,
    payload: String,
    is_retained: bool,
}

/// A client that subscribes to everything, connects again by itself, and keeps what it hears.
struct Listener {
    client: Client,
    heard: Arc<Mutex<Vec<Heard>>>,
    ends: Arc<AtomicBool>,
}

impl Listener {
    fn new(name: &str, port: u16) -> Self {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(5)).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut connection) = Client::new(options, 16);
        let (heard, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (keeps, asks, is_over) = (heard.clone(), client.clone(), ends.clone());
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => asks.subscribe("#", QoS::AtLeastOnce).unwrap(),
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let payload = String::from_utf8(message.payload.to_vec()).unwrap();
                        let heard = Heard { topic: message.topic, payload, is_retained: message.retain };
                        keeps.lock().unwrap().push(heard);
                    }
                    Ok(_) => {}
                    // The broker is away: the next turn of the loop connects again.
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        Self { client, heard, ends }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }

    /// The newest payload of a topic.
    fn last(&self, topic: &str) -> Option<String> {
        self.heard.lock().unwrap().iter().rev().find(|heard| heard.topic == topic).map(|heard| heard.payload.clone())
    }

    fn json(&self, topic: &str) -> Value {
        self.last(topic).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Whether an answer of this kind has arrived.
    fn answer(&self, kind: &str) -> Option<Value> {
        let heard = self.heard();
        let answers = heard.iter().filter(|heard| heard.topic == "thermowell/b1/answer");
        answers
            .filter_map(|heard| serde_json::from_str(&heard.payload).ok())
            .find(|it: &Value| it["event_type"] == kind)
    }

    fn send(&self, topic: &str, payload: &str, retain: bool) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload).unwrap();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

const DATA: &str = "thermowell/b1/data";
const DEVICE: &str = "thermowell/b1/device";
const COMMAND: &str = "thermowell/b1/command";
const GATEWAY: &str = "thermowell/gateway/demo";
const CONFIG: &str = "homeassistant/device/thermowell_b1/config";

/// Whether the front is connected.
const CONNECTED: &str = "mqtt_connected{role=\"front\"}";

/// The part of the last hour that is known, in percent: a boost needs ten.
fn coverage(listener: &Listener) -> f64 {
    listener.json(DATA)["coverage"].as_f64().unwrap_or(0.0)
}

/// The value of a metric of the dashboard's process.
fn metric(house: &House, row: &str) -> f64 {
    let (_, text) = http_get(house.dashboard().port(), "/metrics").unwrap_or_default();
    let row = format!("thermowell_{row} ");
    text.lines().find_map(|line| line.strip_prefix(&row)?.parse().ok()).unwrap_or(-1.0)
}

/// Each topic that the description names is one on which something was heard, or is an event's.
fn check_description(listener: &Listener) {
    let described = listener.json(CONFIG);
    assert_eq!(described["device"]["identifiers"], serde_json::json!(["thermowell_b1"]));
    let heard = listener.heard();
    for (name, component) in described["components"].as_object().unwrap() {
        assert!(component["unique_id"].as_str().unwrap().starts_with("thermowell_b1_"), "{name}");
        let Some(topic) = component["state_topic"].as_str().filter(|_| component["platform"] != "event") else {
            continue;
        };
        assert!(heard.iter().any(|heard| heard.topic == topic), "{name}: nothing on {topic}");
    }
}

#[test]
fn home_assistant_reads_and_presses() {
    let Some(mut broker) = Broker::start() else { return };
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let ambient = "[boiler.room]\ntopic = \"zigbee2mqtt/hall\"\npointer = \"/temperature\"\n";
    let mut house = House::start(super::DEMO, &["--boilers", "1", "--mqtt", &url, "--ambient", ambient]);
    house.until("the front is connected", SOON, |house| (metric(house, CONNECTED) == 1.0).then_some(()));
    doctor::check(&house, &broker);

    let listener = Listener::new("listener", broker.port);
    let hears = |house: &mut House, what: &str, is_there: &dyn Fn() -> bool| {
        house.until(what, SOON, |_| is_there().then_some(()));
    };
    hears(&mut house, "fresh values", &|| {
        listener.json(DATA)["flow"].is_f64() && listener.json(DEVICE)["link"] == "up" && listener.last(CONFIG).is_some()
    });
    doctor::finds(&house, &format!("url = \"{url}\""), ["ok", "ok"], "a client listens for devices");
    assert_eq!(
        (listener.last(GATEWAY).as_deref(), listener.json(DATA)["freshness"].as_str()),
        (Some("online"), Some("fresh"))
    );
    let first = listener.json(DATA)["flow"].clone();
    hears(&mut house, "values move", &|| listener.json(DATA)["flow"] != first);
    hears(&mut house, "everything that is described", &|| !listener.json("thermowell/b1/last-hour").is_null());
    check_description(&listener);

    // Of states, the broker keeps nothing; what it keeps makes a device that is unavailable without us.
    let late = Listener::new("late", broker.port);
    hears(&mut house, "what is retained", &|| late.last(CONFIG).is_some() && late.last(GATEWAY).is_some());
    let retained: Vec<_> =
        late.heard().into_iter().filter(|heard| heard.is_retained).map(|heard| heard.topic).collect();
    let may_be = [CONFIG, GATEWAY, "thermowell/b1/availability"];
    assert!(retained.iter().all(|topic| may_be.contains(&topic.as_str())), "{retained:?}");

    // Home Assistant starts.
    listener.forget();
    listener.send("homeassistant/status", "online", false);
    hears(&mut house, "all is repeated", &|| {
        [CONFIG, DATA, DEVICE, COMMAND, GATEWAY].iter().all(|topic| listener.last(topic).is_some())
    });

    press_buttons(&mut house, &listener);
    measure_a_room(&mut house, &listener);

    listener.forget();
    assert_eq!(house.order("unplug b1"), "unplugged");
    hears(&mut house, "the link is down, and values are unknown", &|| {
        let (data, device) = (listener.json(DATA), listener.json(DEVICE));
        let is_unknown = |value: &Value, key: &str| value.get(key).is_some_and(Value::is_null);
        is_unknown(&data, "flow")
            && is_unknown(&device, "burner")
            && device["link"] == "down"
            && device["problem"] == "on"
    });
    assert_eq!(house.order("plug b1"), "plugged");
    hears(&mut house, "values are back", &|| {
        listener.json(DATA)["flow"].is_f64() && listener.json(DEVICE)["burner"].is_string()
    });

    house.role("front").signal(Signal::KILL).unwrap();
    hears(&mut house, "the last will, and the gateway again", &|| {
        let heard = listener.heard();
        let mut words = heard.iter().filter(|heard| heard.topic == GATEWAY).map(|heard| heard.payload.as_str());
        // A listener that had to connect again hears the retained word once more.
        words.any(|word| word == "offline") && words.next_back() == Some("online")
    });

    broker.stop();
    house.until("the broker is missed", SOON, |house| (metric(house, CONNECTED) == 0.0).then_some(()));
    listener.forget();
    broker.start_again();
    hears(&mut house, "all again", &|| listener.last(CONFIG).is_some() && listener.json(DATA)["flow"].is_f64());

    let (code, text, error) = super::thermowell(&house.config(), &["mqtt", "remove", "--boiler", "b1"]);
    assert!(code == Some(0) && text.contains("removed from the broker at 127.0.0.1:"), "{text}{error}");
    hears(&mut house, "the empty description", &|| listener.last(CONFIG).as_deref() == Some(""));
}

/// A temperature of another device, which comes back to Home Assistant as the boiler's.
fn measure_a_room(house: &mut House, listener: &Listener) {
    let [boiler] = house.boilers().try_into().expect("one boiler");
    let count = |house: &House, outcome: &str| {
        metric(house, &format!("mqtt_temperatures_total{{role=\"front\",outcome=\"{outcome}\"}}"))
    };
    house.until("the source is silent, and the device's own room does not count", SOON, |_| {
        let device = listener.json(DEVICE);
        (device["outdoor"].is_f64() && device["room"].is_null()).then_some(())
    });
    listener.send("zigbee2mqtt/hall", r#"{"temperature": null, "battery": 97}"#, false);
    house.until("a message without a number is refused", SOON, |house| (count(house, "refused") > 0.0).then_some(()));
    house.until("the room is known", SOON, |house| {
        listener.send("zigbee2mqtt/hall", r#"{"temperature": 19.25, "battery": 97}"#, false);
        house.go_on(Duration::from_millis(500));
        (listener.json(DEVICE)["room"] == 19.3 && count(house, "taken") > 0.0).then_some(())
    });
    let subject = subject::ambient(&boiler, subject::Ambient::Room, &"mqtt".parse().unwrap());
    let stored: Value = house.last_json(stream::AMBIENT, &subject).expect("the reading");
    assert_eq!((&stored["value"], &stored["source"]), (&19.25.into(), &"mqtt".into()), "{stored}");
}

/// A boost by the rules of `thermowell command`, a retained press, and a release.
fn press_buttons(house: &mut House, listener: &Listener) {
    house.until("enough of the hour is known for a command", SOON, |_| (coverage(listener) > 11.0).then_some(()));
    listener.forget();
    listener.send("thermowell/b1/set/boost-minutes", "45", false);
    listener.send("thermowell/b1/set/boost-flow", "74", false);
    listener.send("thermowell/b1/set/boost", "press", false);
    let answer = house.until("an answer", SOON, |_| listener.answer("accepted").or_else(|| listener.answer("refused")));
    assert_eq!((answer["event_type"].as_str(), answer["flow"].as_f64()), (Some("accepted"), Some(74.0)), "{answer}");
    let last = |house: &House| -> Value {
        let [boiler] = house.boilers().try_into().expect("one boiler");
        house.last_json(stream::COMMAND, subject::commands(&boiler).as_ref()).unwrap_or_default()
    };
    let stored = last(house);
    assert_eq!((stored["by"].as_str(), stored["action"].as_str()), (Some("home-assistant"), Some("boost")), "{stored}");
    house.until("the boost is shown", SOON, |_| (listener.json(COMMAND)["action"] == "boost").then_some(()));

    let refused = "mqtt_commands_total{role=\"front\",outcome=\"refused\"}";
    let before = metric(house, refused);
    listener.send("thermowell/b1/set/release", "press", true);
    house.until("the retained press is refused", SOON, |house| (metric(house, refused) > before).then_some(()));
    assert_eq!(last(house)["action"], "boost");
    listener.send("thermowell/b1/set/release", "", true);

    listener.forget();
    listener.send("thermowell/b1/set/release", "press", false);
    let ended = house.until("the boost has ended", SOON, |_| listener.answer("ended"));
    assert_eq!(ended["reason"], "released by home-assistant", "{ended}");
    assert_eq!(last(house)["action"], "release");
}
