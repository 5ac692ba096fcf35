//! Room and outdoor temperatures that other devices publish over MQTT. No clock, no I/O.
//!
//! | a message | |
//! |---|---|
//! | retained | is refused: its age is unknown. The next one that is published counts |
//! | without a number at its pointer | is refused |
//! | within a second after another one | is not used |
//! | any other | is a reading of this moment: whether it is plausible is judged where it is used |

use std::str;
use std::time::Duration;

use serde_json::Value;
use thermowell_flow::published::AmbientReading;
use thermowell_wire::subject::Ambient;
use thermowell_wire::{BoilerId, SourceName};

use crate::ambient::Outgoing;
use crate::config::{AmbientTopic, Config};

/// The least interval between two readings.
const INTERVAL: Duration = Duration::from_secs(1);
/// What is shown of a text that is not a number.
const SHOWN: usize = 40;

/// The temperatures that are read from the broker.
#[derive(Debug)]
pub(super) struct Readings(Vec<Wanted>);

/// One temperature of a boiler.
#[derive(Debug)]
struct Wanted {
    boiler: BoilerId,
    what: Ambient,
    source: SourceName,
    from: AmbientTopic,
    last: Option<Duration>,
}

impl Readings {
    pub(super) fn new(config: &Config) -> Self {
        let read = config.ambient().filter_map(|(boiler, what, ambient)| {
            let (boiler, source, from) = (boiler.clone(), ambient.source.clone(), ambient.mqtt.clone()?);
            Some(Wanted { boiler, what, source, from, last: None })
        });
        Self(read.collect())
    }

    /// The topics to subscribe to.
    pub(super) fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self.0.iter().map(|wanted| wanted.from.topic.clone()).collect();
        topics.sort();
        topics.dedup();
        topics
    }

    /// What a message of `topic` gives, at `now` and with this stamp; none if the topic is not read here.
    ///
    /// # Errors
    /// Why it is not a reading.
    pub(super) fn receive(
        &mut self,
        topic: &str,
        payload: &[u8],
        is_retained: bool,
        now: Duration,
        stamp: f64,
    ) -> Option<Result<Vec<Outgoing>, String>> {
        let mut wanted = self.0.iter_mut().filter(|wanted| wanted.from.topic == topic).peekable();
        wanted.peek()?;
        if is_retained {
            let why = "it is retained, so that its age is unknown; the next one that is published counts";
            return Some(Err(why.to_owned()));
        }
        let take = |wanted: &mut Wanted| {
            let value = match number(payload, &wanted.from.pointer) {
                Ok(value) => value,
                Err(why) => return Some(Err(why)),
            };
            if wanted.last.is_some_and(|last| now.saturating_sub(last) < INTERVAL) {
                return None;
            }
            wanted.last = Some(now);
            let reading = AmbientReading { value, stamp, source: wanted.source.clone(), version: 1 };
            Some(Ok(Outgoing { boiler: wanted.boiler.clone(), what: wanted.what, reading }))
        };
        Some(wanted.filter_map(take).collect())
    }
}

/// The number at `pointer`, °C. Some programs publish numbers as texts.
fn number(payload: &[u8], pointer: &str) -> Result<f64, String> {
    let parse = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if pointer.is_empty() {
        let text = str::from_utf8(payload).map_err(|_| "it is not a text".to_owned())?;
        return parse(text).ok_or_else(|| format!("\"{}\" is not a number; set pointer for JSON", shown(text)));
    }
    let message: Value = serde_json::from_slice(payload).map_err(|error| format!("it is not JSON: {error}"))?;
    let value = message.pointer(pointer).ok_or_else(|| format!("it has nothing at {pointer}"))?;
    let found = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => parse(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    found.ok_or_else(|| format!("{} at {pointer} is not a number", shown(&value.to_string())))
}

fn shown(text: &str) -> String {
    let short: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings() -> Readings {
        let config = "[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\n[boiler.room]\ntopic = \"zigbee2mqtt/hall\"\n\
                      pointer = \"/temperature\"\n[boiler.outdoor]\ntopic = \"weather\"\nsource = \"roof\"\n\
                      [[boiler]]\nid = \"b2\"\nport = \"/dev/b\"\n[boiler.outdoor]\ntopic = \"weather\"\n\
                      [mqtt]\nurl = \"mqtt://h\"";
        Readings::new(&Config::parse(config, "t.toml").unwrap())
    }

    /// What a message at this second gives, as text.
    fn take(readings: &mut Readings, topic: &str, payload: &str, second: u64) -> String {
        match readings.receive(topic, payload.as_bytes(), false, Duration::from_secs(second), 7.0) {
            None => "not read".to_owned(),
            Some(Err(why)) => why,
            Some(Ok(taken)) => {
                let shown = taken.iter().map(|Outgoing { boiler, what, reading }| {
                    assert_eq!((reading.stamp, reading.version), (7.0, 1));
                    format!("{boiler} {} {} {}", what.token(), reading.source, reading.value)
                });
                shown.collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn numbers_are_read_where_the_pointer_says() {
        let mut readings = readings();
        assert_eq!(readings.topics(), ["weather", "zigbee2mqtt/hall"]);
        for (second, (topic, payload, expected)) in [
            ("zigbee2mqtt/hall", r#"{"temperature": 20.5, "battery": 97}"#, "b1 room mqtt 20.5"),
            ("zigbee2mqtt/hall", r#"{"temperature": "20.5"}"#, "b1 room mqtt 20.5"),
            ("zigbee2mqtt/hall", r#"{"temperature": -3}"#, "b1 room mqtt -3"),
            ("weather", " -4.25\n", "b1 outdoor roof -4.25, b2 outdoor mqtt -4.25"),
            ("weather/2", "1", "not read"),
            ("zigbee2mqtt/hall", r#"{"temperature": null}"#, "null at /temperature is not a number"),
            ("zigbee2mqtt/hall", r#"{"temp": 20}"#, "it has nothing at /temperature"),
            ("zigbee2mqtt/hall", "20.5", "it has nothing at /temperature"),
            ("zigbee2mqtt/hall", "", "it is not JSON: EOF while parsing a value at line 1 column 0"),
            ("weather", "unavailable", "\"unavailable\" is not a number; set pointer for JSON"),
            ("weather", "NaN", "\"NaN\" is not a number; set pointer for JSON"),
            ("weather", "1e999", "\"1e999\" is not a number; set pointer for JSON"),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(take(&mut readings, topic, payload, second as u64 * 2), expected, "{payload}");
        }
        let long = "x".repeat(60_000);
        assert!(take(&mut readings, "weather", &long, 100).len() < 100);
    }

    #[test]
    fn retained_and_fast_messages_are_not_used() {
        let mut readings = readings();
        let retained = readings.receive("weather", b"3", true, Duration::ZERO, 7.0);
        assert!(retained.unwrap().unwrap_err().contains("its age is unknown"));
        assert_eq!(take(&mut readings, "weather", "3", 10), "b1 outdoor roof 3, b2 outdoor mqtt 3");
        assert_eq!(take(&mut readings, "weather", "4", 10), "");
        assert_eq!(take(&mut readings, "weather", "5", 11), "b1 outdoor roof 5, b2 outdoor mqtt 5");
    }
}
