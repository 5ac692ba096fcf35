//! `[boiler.room]` and `[boiler.outdoor]`: temperatures that do not come from the boiler.

use thermowell_wire::SourceName;
use thermowell_wire::subject::Ambient;

use super::Boiler;
use super::document::{Node, Value};
use super::error::Kind;
use super::section::Section;
use super::value::{named, text};

/// The source of temperatures that are read from MQTT, unless they have a name.
const MQTT_SOURCE: &str = "mqtt";
/// The longest topic and the longest pointer in bytes.
const TOPIC_MAX: usize = 256;

/// `[boiler.room]` or `[boiler.outdoor]`: a source outside of the boiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmbientSource {
    /// The name in its subject.
    pub source: SourceName,
    /// Where the front reads it; otherwise the source publishes it itself.
    pub mqtt: Option<AmbientTopic>,
}

/// Where a temperature is in MQTT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmbientTopic {
    pub topic: String,
    /// A JSON pointer into the message; empty for a message that is the number itself.
    pub pointer: String,
}

impl Boiler {
    /// Where a temperature comes from, if not from the device.
    #[must_use]
    pub fn ambient(&self, what: Ambient) -> Option<&AmbientSource> {
        match what {
            Ambient::Room => self.room.as_ref(),
            Ambient::Outdoor => self.outdoor.as_ref(),
        }
    }
}

/// Reads `[boiler.room]` or `[boiler.outdoor]`; none without the table.
pub(super) fn read(boiler: &Section<'_>, key: &'static str) -> Option<AmbientSource> {
    let is_set = boiler.spot(key).is_some();
    boiler.section(key, |ambient| {
        let source = ambient.optional("source", named);
        let topic = ambient.optional("topic", topic);
        let pointer = ambient.value("pointer", String::new(), pointer);
        if topic.is_none()
            && ambient.spot("topic").is_none()
            && let Some(spot) = ambient.spot("pointer")
        {
            ambient.refuse_spot(&spot, "pointer", Kind::Relation, "has no effect without a topic of MQTT");
        }
        if is_set && ["source", "topic"].iter().all(|key| ambient.spot(key).is_none()) {
            ambient.missing("source", "; name the source, as in source = \"hall\", or a topic of MQTT");
        }
        let mqtt = topic.map(|topic| AmbientTopic { topic, pointer });
        let source = source.or_else(|| mqtt.is_some().then(|| MQTT_SOURCE.parse().expect("it is a name")));
        source.map(|source| AmbientSource { source, mqtt })
    })
}

/// A topic without wildcards.
fn topic(node: &Node) -> Result<String, String> {
    let topic = text(node)?;
    let is_plain = !topic.chars().any(|c| c.is_control() || matches!(c, '#' | '+'));
    if is_plain && !topic.starts_with('$') && topic.len() <= TOPIC_MAX {
        return Ok(topic);
    }
    Err(format!("not a topic, such as \"zigbee2mqtt/hall\"; allowed are 1 to {TOPIC_MAX} bytes without '#' and '+'"))
}

/// A JSON pointer (RFC 6901).
fn pointer(node: &Node) -> Result<String, String> {
    let pointer = match &node.value {
        Value::Text(pointer) => pointer.clone(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) | Value::Table(_) => text(node)?,
    };
    let is_escape = |rest: &str| rest.starts_with('0') || rest.starts_with('1');
    let has_escapes = pointer.split('~').skip(1).all(is_escape);
    if (pointer.is_empty() || pointer.starts_with('/')) && has_escapes && pointer.len() <= TOPIC_MAX {
        return Ok(pointer);
    }
    Err("not a JSON pointer, such as \"/temperature\" or \"/AM2301/Temperature\"; \"\" is the whole message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn table_above_its_boiler_or_in_another_file_is_named() {
        let boiler = "[[boiler]]\nid = \"b1\"\nport = \"/dev/b1\"\n";
        let room = "[boiler.room]\nsource = \"hall\"\n";
        let error = Config::parse(&format!("{room}{boiler}"), "t.toml").unwrap_err().to_string();
        assert!(error.contains("; move [boiler.room] below the [[boiler]] that it belongs to"), "{error}");
        let error = Config::checked([(boiler, "a.toml"), (room, "b.toml")]).unwrap_err().to_string();
        let expected = "boiler: a table here, and a list at a.toml:1:3; move [boiler.room] below the [[boiler]] that \
                        it belongs to, in its file";
        assert!(error.contains(expected), "{error}");
        let twice = Config::parse(&format!("[boiler]\nid = \"b0\"\n{boiler}"), "t.toml").unwrap_err().to_string();
        assert!(twice.contains("write [[boiler]], in two brackets, at both places"), "{twice}");
    }

    #[test]
    fn temperatures_come_from_a_source_or_a_topic() {
        let parse = |room: &str, mqtt: &str| {
            let text = format!("[[boiler]]\nid = \"b1\"\nport = \"/dev/b1\"\n[boiler.room]\n{room}\n[mqtt]\n{mqtt}");
            Config::parse(&text, "t.toml").map_err(|error| error.to_string())
        };
        let room = |text: &str| parse(text, "url = \"mqtt://h\"").unwrap().boilers[0].room.clone().unwrap();
        assert_eq!((room("source = \"hall\"").source.as_str(), room("source = \"hall\"").mqtt), ("hall", None));
        let both = room("topic = \"zigbee2mqtt/hall\"\npointer = \"/a~1b/0\"\nsource = \"hall\"");
        let topic = both.mqtt.unwrap();
        assert_eq!((topic.topic.as_str(), topic.pointer.as_str()), ("zigbee2mqtt/hall", "/a~1b/0"));
        assert_eq!(room("topic = \"t\"").source.as_str(), "mqtt");
        for (text, expected) in [
            ("", "boiler.room.source: missing; name the source, as in source = \"hall\", or a topic of MQTT"),
            ("source = \"Hall\"", "boiler.room.source = \"Hall\": a source's name has 1 to 32 characters of a-z"),
            ("pointer = \"/t\"\nsource = \"hall\"", "boiler.room.pointer = \"/t\": has no effect without a topic"),
            ("topic = \"a/#\"", "boiler.room.topic = \"a/#\": not a topic, such as \"zigbee2mqtt/hall\""),
            ("topic = \"a\"\npointer = \"t\"", "boiler.room.pointer = \"t\": not a JSON pointer, such as"),
            ("topic = \"a\"\npointer = \"/a~2\"", "not a JSON pointer"),
            ("topics = \"a\"\nsource = \"hall\"", "boiler.room.topics: unknown key; did you mean \"topic\"?"),
        ] {
            let error = parse(text, "url = \"mqtt://h\"").unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let error = parse("topic = \"a\"", "").unwrap_err();
        assert!(error.contains("t.toml:5:9: boiler.room.topic = \"a\": needs a broker; set url in [mqtt]"), "{error}");
    }
}
