//! What Home Assistant refuses in a description of a device: the rules of its schemas that a payload like ours can
//! break. Each of them was seen to be refused by releases 2025.4.4 and 2026.2.3.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Device classes, each with its units, of the platforms that we use.
const CLASSES: [(&str, &str, &[&str]); 9] = [
    ("sensor", "temperature", &["°C", "°F", "K"]),
    ("sensor", "pressure", &["bar", "mbar", "Pa", "hPa", "kPa", "psi"]),
    ("sensor", "enum", &[]),
    ("sensor", "timestamp", &[]),
    ("number", "temperature", &["°C", "°F", "K"]),
    ("number", "duration", &["s", "min", "h", "d"]),
    ("binary_sensor", "running", &[]),
    ("binary_sensor", "problem", &[]),
    ("button", "restart", &[]),
];
const PLATFORMS: [&str; 5] = ["sensor", "binary_sensor", "number", "button", "event"];
const STATE_CLASSES: [&str; 3] = ["measurement", "total", "total_increasing"];

/// Every rule that the payload breaks.
pub(super) fn violations(payload: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |holds: bool, rule: &str| {
        if !holds {
            found.push(rule.to_owned());
        }
    };
    let has_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    check(payload["device"]["identifiers"].as_array().is_some_and(|ids| ids.iter().any(has_text)), "no identifiers");
    check(has_text(&payload["origin"]["name"]), "no origin.name");
    check(are_available(payload), "availability is wrong");
    check(payload["availability"].is_null() || payload["availability_topic"].is_null(), "two kinds of availability");
    let components = payload["components"].as_object().cloned().unwrap_or_default();
    check(!components.is_empty(), "no components");
    let ids: BTreeSet<_> = components.values().map(|component| component["unique_id"].to_string()).collect();
    check(ids.len() == components.len(), "a unique_id twice");
    for (name, component) in &components {
        found.extend(broken(component).into_iter().map(|rule| format!("{name}: {rule}")));
    }
    found
}

fn are_available(value: &Value) -> bool {
    let Some(list) = value["availability"].as_array() else { return value["availability"].is_null() };
    !list.is_empty() && list.iter().all(|entry| is_topic(&entry["topic"]))
}

/// A topic to publish to, or to subscribe to without wildcards.
fn is_topic(topic: &Value) -> bool {
    topic.as_str().is_some_and(|topic| !topic.is_empty() && !topic.contains(['#', '+', '\0']))
}

fn broken(component: &Value) -> Vec<&'static str> {
    let text = |key: &str| component[key].as_str().unwrap_or_default();
    let (platform, class, unit) = (text("platform"), text("device_class"), text("unit_of_measurement"));
    let needs = |key: &str| is_topic(&component[key]);
    let is_unset = |key: &str| component[key].is_null();
    let known = CLASSES.iter().find(|(of, name, _)| (*of, *name) == (platform, class));
    let (least, most) = (component["min"].as_f64().unwrap_or(1.0), component["max"].as_f64().unwrap_or(100.0));
    let topics = ["state_topic", "command_topic"];
    let rules = [
        (PLATFORMS.contains(&platform), "unknown platform"),
        (!text("unique_id").is_empty(), "no unique_id"),
        (class.is_empty() || known.is_some(), "unknown device class"),
        (known.is_none_or(|(_, _, units)| unit.is_empty() || units.contains(&unit)), "a unit of another class"),
        (
            is_unset("options") || (is_unset("unit_of_measurement") && is_unset("state_class") && class == "enum"),
            "options with a unit or a state class",
        ),
        (class != "enum" || component["options"].as_array().is_some_and(|it| !it.is_empty()), "enum without options"),
        (is_unset("state_class") || STATE_CLASSES.contains(&text("state_class")), "unknown state class"),
        (is_unset("expire_after") || component["expire_after"].is_u64(), "expire_after is not a whole number"),
        (topics.iter().all(|key| is_unset(key) || needs(key)), "a topic with wildcards"),
        (!["sensor", "binary_sensor", "event"].contains(&platform) || needs("state_topic"), "no state topic"),
        (!["button", "number"].contains(&platform) || needs("command_topic"), "no command topic"),
        (
            platform != "event" || component["event_types"].as_array().is_some_and(|types| !types.is_empty()),
            "an event without types",
        ),
        (least < most, "min is not below max"),
        (are_available(component), "availability is wrong"),
        (is_unset("availability") || is_unset("availability_topic"), "two kinds of availability"),
        (
            is_unset("entity_category") || ["config", "diagnostic"].contains(&text("entity_category")),
            "unknown category",
        ),
        (platform != "sensor" || text("entity_category") != "config", "a sensor for configuration"),
        (is_unset("json_attributes_topic"), "attributes: each change would be a row"),
    ];
    rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| rule).collect()
}

/// A payload that breaks no rule.
fn fine() -> Value {
    json!({
        "device": {"identifiers": ["x"]},
        "origin": {"name": "x"},
        "availability": [{"topic": "a/b"}],
        "components": {
            "s": {"platform": "sensor", "unique_id": "x_s", "state_topic": "a/s", "device_class": "temperature",
                  "unit_of_measurement": "°C", "state_class": "measurement", "expire_after": 90},
            "w": {"platform": "sensor", "unique_id": "x_w", "state_topic": "a/w", "device_class": "enum",
                  "options": ["on"]},
            "n": {"platform": "number", "unique_id": "x_n", "command_topic": "a/n", "min": 1, "max": 60},
            "e": {"platform": "event", "unique_id": "x_e", "state_topic": "a/e", "event_types": ["x"]},
            "b": {"platform": "button", "unique_id": "x_b", "command_topic": "a/b"},
        },
    })
}

#[test]
fn payload_without_mistakes_breaks_no_rule() {
    assert_eq!(violations(&fine()), Vec::<String>::new());
}

/// Each rule is seen to find its mistake, and only this one.
#[test]
fn each_mistake_is_found() {
    let mistakes: &[(&str, Value, &str)] = &[
        ("/components/s/unit_of_measurement", json!("C"), "s: a unit of another class"),
        ("/components/s/unique_id", json!(""), "s: no unique_id"),
        ("/components/s/unique_id", json!("x_w"), "a unique_id twice"),
        ("/components/w/unit_of_measurement", json!("°C"), "w: options with a unit or a state class"),
        ("/components/w/state_class", json!("measurement"), "w: options with a unit or a state class"),
        ("/components/w/options", json!([]), "w: enum without options"),
        ("/components/s/state_class", json!("mean"), "s: unknown state class"),
        ("/origin/name", Value::Null, "no origin.name"),
        ("/device/identifiers", json!([]), "no identifiers"),
        ("/components/s/expire_after", json!("90 s"), "s: expire_after is not a whole number"),
        ("/components/s/state_topic", json!("a/#"), "s: a topic with wildcards"),
        ("/components/s/state_topic", Value::Null, "s: no state topic"),
        ("/components/b/command_topic", Value::Null, "b: no command topic"),
        ("/components/e/event_types", json!([]), "e: an event without types"),
        ("/components/n/min", json!(61), "n: min is not below max"),
        ("/components/s/device_class", json!("warmth"), "s: unknown device class"),
        ("/components/s/platform", json!("climate"), "s: unknown platform"),
        ("/components/s/availability_topic", json!("a/b"), "s: two kinds of availability"),
        ("/availability_topic", json!("a/b"), "two kinds of availability"),
        ("/availability", json!([{"topic": "a/+"}]), "availability is wrong"),
        ("/components/s/entity_category", json!("config"), "s: a sensor for configuration"),
        ("/components/s/entity_category", json!("other"), "s: unknown category"),
        ("/components/s/json_attributes_topic", json!("a/j"), "s: attributes: each change would be a row"),
        ("/components", json!({}), "no components"),
    ];
    for (pointer, value, rule) in mistakes {
        let mut payload = fine();
        let (table, key) = pointer.rsplit_once('/').unwrap();
        let table = if table.is_empty() { Some(&mut payload) } else { payload.pointer_mut(table) };
        table.unwrap()[key] = value.clone();
        if *rule == "s: two kinds of availability" {
            payload["components"]["s"]["availability"] = json!([{"topic": "a/b"}]);
        }
        let found = violations(&payload);
        assert!(found.iter().any(|found| found == rule), "{pointer}: {found:?}");
    }
}
