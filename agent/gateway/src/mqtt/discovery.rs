//! The description of a boiler for Home Assistant's discovery of devices: one retained message with all entities.
//!
//! The ids contain neither gateway nor board, so that the history of an entity survives both being replaced. Nearly
//! every entity is unavailable while the gateway is not connected or the boiler's values are old. Those that explain
//! why (coverage, freshness, link, problem) depend on the gateway alone: they stay readable then.
//!
//! Home Assistant drops a whole component that breaks one of its rules: `rules` is the list of those rules for the
//! tests.

use serde_json::{Map, Value, json};
use thermowell_wire::BoilerId;
use thermowell_wire::line::BoilerState;

use super::outlet::Pace;
use super::topics::{Set, Topics};
use super::values::{FAULTS, FRESHNESS, Hardware};
use crate::config::{Config, Mqtt};
use crate::output::word;

/// Where users find help.
const SUPPORT: &str = env!("CARGO_PKG_REPOSITORY");
/// Temperatures of a boost, °C, and minutes: the limits of the entities. The rules of `command` decide.
pub(super) const BOOST_MINUTES: std::ops::RangeInclusive<u16> = 1..=60;
/// After this time the last full hour is unknown: an hour, the time until its snapshot, and the same again.
const LAST_HOUR_EXPIRES_S: u64 = 7_500;

/// The payload that presses a button.
pub(super) const PRESS: &str = "press";
/// The payloads of availability.
pub(super) const ONLINE: &str = "online";
pub(super) const OFFLINE: &str = "offline";

/// What the descriptions of all boilers have in common.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    topics: Topics,
    expires_s: u64,
    /// Flow temperatures of a boost, °C; none without buttons.
    boost: Option<(f64, f64)>,
    /// The address of the dashboard, if other machines can reach it.
    dashboard: Option<String>,
}

/// Which messages tell that an entity's value is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Gateway and boiler.
    Both,
    /// The gateway alone.
    Gateway,
}

/// The entities of one boiler.
struct Entities<'a> {
    plan: &'a Plan,
    boiler: &'a BoilerId,
    components: Map<String, Value>,
}

impl Plan {
    pub(super) fn new(config: &Config, mqtt: &Mqtt, pace: &Pace) -> Self {
        let law = &config.control.law;
        let boost = mqtt.operator.is_some().then(|| (law.flow_min.celsius(), law.flow_max.celsius()));
        let topics = Topics::new(config, mqtt);
        Self { topics, expires_s: pace.expires().as_secs(), boost, dashboard: dashboard(config) }
    }

    /// The payload for one boiler.
    pub(super) fn describe(&self, boiler: &BoilerId, hardware: &Hardware) -> Value {
        let id = device_id(boiler);
        let mut device = json!({
            "identifiers": [id],
            "name": format!("Boiler {boiler}"),
            "manufacturer": "Thermowell",
            "model": "boiler",
            "sw_version": env!("CARGO_PKG_VERSION"),
        });
        let optional = [
            ("serial_number", hardware.serial_number.clone()),
            ("hw_version", hardware.firmware.clone()),
            ("configuration_url", self.dashboard.as_ref().map(|address| format!("{address}/b/{boiler}"))),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                device[key] = value.into();
            }
        }
        let mut origin = json!({"name": "Thermowell", "sw_version": env!("CARGO_PKG_VERSION")});
        if !SUPPORT.is_empty() {
            origin["support_url"] = SUPPORT.into();
        }
        let gateway = json!({"topic": self.topics.gateway()});
        json!({
            "device": device,
            "origin": origin,
            "availability": [gateway, {"topic": self.topics.availability(boiler)}],
            "availability_mode": "all",
            "qos": 0,
            "components": Entities { plan: self, boiler, components: Map::new() }.all(),
        })
    }
}

/// The id of a boiler's device, and the beginning of its entities' ids.
fn device_id(boiler: &BoilerId) -> String {
    format!("thermowell_{boiler}")
}

/// The dashboard's address for other machines: a listener that they reach, under the first name that it accepts.
fn dashboard(config: &Config) -> Option<String> {
    let address = config.http.front.filter(|address| !address.ip().is_loopback())?;
    let host = config.http.hosts.first()?;
    Some(format!("http://{host}:{}", address.port()))
}

impl Entities<'_> {
    fn all(mut self) -> Value {
        self.data();
        self.device();
        self.hour();
        self.commands();
        self.components.into()
    }

    fn data(&mut self) {
        use Needs::{Both, Gateway};
        self.temperature("flow", "data", "Flow temperature", true);
        self.temperature("mean", "data", "Flow temperature, mean of an hour", true);
        let coverage = json!({"unit_of_measurement": "%", "state_class": "measurement",
            "suggested_display_precision": 1, "entity_category": "diagnostic"});
        self.state("coverage", "sensor", "data", "Known part of the last hour", Gateway, coverage);
        let freshness = json!({"device_class": "enum", "options": FRESHNESS.map(|it| word(&it)),
            "entity_category": "diagnostic"});
        self.state("freshness", "sensor", "data", "Freshness", Gateway, freshness);
        let running = || json!({"device_class": "running", "payload_on": "on", "payload_off": "off"});
        self.state("burner", "binary_sensor", "device", "Burner", Both, running());
        let mut pump = running();
        pump["enabled_by_default"] = false.into();
        self.state("pump", "binary_sensor", "device", "Heating pump", Both, pump);
        let hot_water = json!({"payload_on": "on", "payload_off": "off", "icon": "mdi:faucet"});
        self.state("hot_water", "binary_sensor", "device", "Hot water drawn", Both, hot_water);
        let modulation = json!({"unit_of_measurement": "%", "state_class": "measurement",
            "suggested_display_precision": 0, "icon": "mdi:fire"});
        self.state("modulation", "sensor", "device", "Burner power", Both, modulation);
    }

    fn device(&mut self) {
        use Needs::{Both, Gateway};
        self.temperature("return", "device", "Return temperature", true);
        self.temperature("room", "device", "Room temperature", true);
        self.temperature("outdoor", "device", "Outdoor temperature", true);
        let pressure = json!({"device_class": "pressure", "unit_of_measurement": "bar", "state_class": "measurement",
            "suggested_display_precision": 2});
        self.state("pressure", "sensor", "device", "Water pressure", Both, pressure);
        let states = [
            BoilerState::Standby,
            BoilerState::Waiting,
            BoilerState::Firing,
            BoilerState::Overrun,
            BoilerState::Blocked,
            BoilerState::Lockout,
        ];
        self.words("state", "device", "State", Both, states.iter().map(word));
        self.words("link", "device", "Serial link", Gateway, ["down", "silent", "refused", "up"].map(str::to_owned));
        let faults = ["none".to_owned()].into_iter().chain(FAULTS.iter().map(word)).chain(["other".to_owned()]);
        self.words("fault", "device", "Fault", Both, faults);
        let problem = json!({"device_class": "problem", "payload_on": "on", "payload_off": "off"});
        self.state("problem", "binary_sensor", "device", "Problem", Gateway, problem);
        let starts = json!({"state_class": "total_increasing", "entity_category": "diagnostic",
            "enabled_by_default": false});
        self.state("starts", "sensor", "device", "Burner starts", Both, starts);
        self.temperature("accepted", "device", "Set-point accepted", false);
        self.temperature("asked", "device", "Set-point asked", false);
        self.words("master", "device", "In control", Both, ["boiler", "gateway"].map(str::to_owned));
    }

    fn hour(&mut self) {
        let mean = json!({"device_class": "temperature", "unit_of_measurement": "°C",
            "suggested_display_precision": 2, "value_template": template("temperature"),
            "expire_after": LAST_HOUR_EXPIRES_S});
        self.state("hour_mean", "sensor", "last-hour", "Last full hour, mean", Needs::Gateway, mean);
        let missing = json!({"value_template": template("missing"), "entity_category": "diagnostic",
            "expire_after": LAST_HOUR_EXPIRES_S});
        self.state("hour_missing", "sensor", "last-hour", "Last full hour, missing readings", Needs::Gateway, missing);
        self.event("hour", "hour", "Hourly snapshot", json!(["snapshot"]));
    }

    fn commands(&mut self) {
        let actions = ["automatic", "boost", "set-back", "hot-water", "hold"].map(str::to_owned);
        self.words("command", "command", "Command", Needs::Gateway, actions);
        self.components["command"]["value_template"] = template("action").into();
        let until = json!({"device_class": "timestamp", "value_template": template("until")});
        self.state("command_until", "sensor", "command", "Command ends", Needs::Gateway, until);
        let Some((least, most)) = self.plan.boost else { return };
        let flow = json!({"device_class": "temperature", "unit_of_measurement": "°C", "min": least, "max": most});
        self.number("boost_flow", Set::BoostFlow, "Boost to", flow);
        let minutes = json!({"device_class": "duration", "unit_of_measurement": "min",
            "min": BOOST_MINUTES.start(), "max": BOOST_MINUTES.end()});
        self.number("boost_minutes", Set::BoostMinutes, "Boost for", minutes);
        self.button("boost", Set::Boost, "Boost", "mdi:fire-alert");
        self.button("release", Set::Release, "Release", "mdi:stop-circle-outline");
        self.event("answer", "answer", "Answer to a command", json!(["accepted", "refused", "ended"]));
    }

    /// A temperature, °C; `is_measured` puts it into Home Assistant's statistics.
    fn temperature(&mut self, key: &str, level: &str, name: &str, is_measured: bool) {
        let mut more = json!({"device_class": "temperature", "unit_of_measurement": "°C",
            "suggested_display_precision": 1});
        if is_measured {
            more["state_class"] = "measurement".into();
        }
        self.state(key, "sensor", level, name, Needs::Both, more);
    }

    /// One of some words.
    fn words(&mut self, key: &str, level: &str, name: &str, needs: Needs, words: impl IntoIterator<Item = String>) {
        let options: Vec<String> = words.into_iter().collect();
        let mut more = json!({"device_class": "enum", "options": options});
        if needs == Needs::Gateway && level == "device" {
            more["entity_category"] = "diagnostic".into();
        }
        self.state(key, "sensor", level, name, needs, more);
    }

    /// A state that expires: the value under `key` of a topic.
    fn state(&mut self, key: &str, platform: &str, level: &str, name: &str, needs: Needs, more: Value) {
        let state = json!({
            "state_topic": self.plan.topics.of(self.boiler, level),
            "value_template": template(key),
            "expire_after": self.plan.expires_s,
        });
        self.add(key, platform, name, needs, [state, more]);
    }

    fn event(&mut self, key: &str, level: &str, name: &str, types: Value) {
        let event = json!({"state_topic": self.plan.topics.of(self.boiler, level), "event_types": types});
        self.add(key, "event", name, Needs::Gateway, [event]);
    }

    fn number(&mut self, key: &str, set: Set, name: &str, more: Value) {
        let number = json!({
            "state_topic": self.plan.topics.of(self.boiler, "command"),
            "value_template": template(key),
            "command_topic": self.plan.topics.set(self.boiler, set),
            "step": 1,
            "mode": "box",
            "entity_category": "config",
        });
        self.add(key, "number", name, Needs::Both, [number, more]);
    }

    fn button(&mut self, key: &str, set: Set, name: &str, icon: &str) {
        let button = json!({
            "command_topic": self.plan.topics.set(self.boiler, set),
            "payload_press": PRESS,
            "icon": icon,
            "retain": false,
            "qos": 1,
        });
        self.add(key, "button", name, Needs::Both, [button]);
    }

    fn add<const N: usize>(&mut self, key: &str, platform: &str, name: &str, needs: Needs, parts: [Value; N]) {
        let boiler = self.boiler;
        let mut component = json!({
            "platform": platform,
            "unique_id": format!("{}_{key}", device_id(boiler)),
            "default_entity_id": format!("{platform}.{boiler}_{key}"),
            "name": name,
        });
        if needs == Needs::Gateway {
            component["availability"] = json!([{"topic": self.plan.topics.gateway()}]);
        }
        for (key, value) in parts.into_iter().filter_map(|part| part.as_object().cloned()).flatten() {
            component[key] = value;
        }
        self.components.insert(key.to_owned(), component);
    }
}

fn template(key: &str) -> String {
    format!("{{{{ value_json.{key} }}}}")
}

#[cfg(test)]
mod tests {
    use super::super::rules::violations;
    use super::super::testing;
    use super::super::values::Seen;
    use super::*;

    /// The payload that was valid by the schemas of Home Assistant 2025.4.4 and 2026.2.3, in our words.
    const GOLDEN: &str = include_str!("discovery.golden.json");

    fn plan(config: &Config) -> Plan {
        let mqtt = config.mqtt.as_ref().unwrap();
        Plan::new(config, mqtt, &Pace { every: mqtt.every, change: mqtt.change.celsius() })
    }

    fn described(config: &Config) -> Value {
        let hardware = testing::seen().hardware().unwrap();
        plan(config).describe(&"b1".parse().unwrap(), &hardware)
    }

    /// If this fails, Home Assistant sees other entities: is that intended?
    #[test]
    fn description_is_the_golden_one() {
        let found = described(&testing::with_buttons());
        let golden: Value = serde_json::from_str(GOLDEN).unwrap_or_default();
        assert_eq!(found, golden, "discovery.golden.json:\n{found:#}");
    }

    #[test]
    fn description_follows_the_rules_of_home_assistant() {
        for config in [testing::with_buttons(), testing::config("prefix = \"a/b\"\nevery = \"1 min\"")] {
            assert_eq!(violations(&described(&config)), Vec::<String>::new());
            let bare = plan(&config).describe(&"b1".parse().unwrap(), &Hardware::default());
            assert_eq!(violations(&bare), Vec::<String>::new());
        }
    }

    #[test]
    fn without_an_operator_nothing_can_be_pressed_or_set() {
        let read_only = described(&testing::config(""));
        let text = read_only.to_string();
        assert!(!text.contains("command_topic") && !text.contains("/set/") && !text.contains("button"), "{text}");
        let count = |described: &Value| described["components"].as_object().unwrap().len();
        assert_eq!(count(&read_only) + 5, count(&described(&testing::with_buttons())));
    }

    /// A key that no topic has would render as an empty text, which keeps the old value.
    #[test]
    fn every_template_has_its_key_in_the_payload() {
        let values = Seen::values(&testing::seen());
        let mut command = values.command.clone();
        (command["boost_flow"], command["boost_minutes"]) = (json!(60), json!(30));
        let described = described(&testing::with_buttons());
        for (name, component) in described["components"].as_object().unwrap() {
            let Some(template) = component["value_template"].as_str() else { continue };
            let key = template.trim_start_matches("{{ value_json.").trim_end_matches(" }}");
            let topic = component["state_topic"].as_str().unwrap();
            let payload = match topic.rsplit('/').next().unwrap() {
                "data" => &values.data,
                "device" => &values.device,
                "command" => &command,
                "last-hour" => &values.last_hour,
                other => panic!("{name}: no payload for {other}"),
            };
            assert!(payload.get(key).is_some(), "{name}: {topic} has no {key}");
        }
    }

    #[test]
    fn dashboard_is_linked_only_where_others_reach_it() {
        let link = |config: &Config| described(config)["device"]["configuration_url"].clone();
        let mut config = testing::config("");
        assert_eq!(link(&config), "http://cellar.local:8080/b/b1");
        config.http.hosts.clear();
        assert_eq!(link(&config), Value::Null);
        config = testing::config("");
        config.http.front = Some("127.0.0.1:8080".parse().unwrap());
        assert_eq!(link(&config), Value::Null);
    }
}
