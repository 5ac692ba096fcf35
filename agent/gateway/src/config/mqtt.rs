//! `[mqtt]`: its keys, and what must hold between them. Without `url` it is off, whatever else is set.

use thermowell_wire::{CentiCelsius, OperatorName};

use super::document::Node;
use super::error::Kind;
use super::section::{Findings, Section};
use super::tables::{host_and_port, secs};
use super::value::{difference, duration, named, path, text};
use super::{Address, Mqtt, MqttTls};

/// The longest beginning of topics: with a boiler's id and a last level they stay far below the 65,535 bytes of MQTT.
const PREFIX_MAX: usize = 64;
/// Keys that mean something only with a broker, and have no default.
const NEED_A_BROKER: [&str; 4] = ["user", "password_file", "ca", "operator"];

/// Reads the table; none without a broker.
pub(super) fn table(mqtt: &Section<'_>) -> Option<Mqtt> {
    let url = mqtt.optional("url", broker);
    let ca = mqtt.optional("ca", path("/etc/thermowell/broker-ca.pem"));
    let user = mqtt.optional("user", text);
    let password_file = mqtt.optional("password_file", path("/etc/thermowell/mqtt.password"));
    let prefix = mqtt.value("prefix", "thermowell".to_owned(), levels);
    let discovery = mqtt.value("discovery", "homeassistant".to_owned(), levels);
    let every = mqtt.value("every", secs(10), duration(secs(1)..=secs(60)));
    let change = mqtt.value("change", CentiCelsius(20), difference(1..=500));
    let operator = mqtt.optional("operator", named);
    if mqtt.spot("url").is_none() {
        let without = NEED_A_BROKER.iter().find_map(|key| Some((key, mqtt.spot(key)?)));
        if let Some((key, spot)) = without {
            let message = "has no effect without a broker; set url, such as \"mqtt://homeassistant.local\"";
            mqtt.refuse_spot(&spot, key, Kind::Relation, message);
        }
    }
    let (broker, is_encrypted) = url?;
    if let Some(spot) = mqtt.spot("ca").filter(|_| !is_encrypted) {
        mqtt.refuse_spot(&spot, "ca", Kind::Relation, "has no effect without encryption; write mqtts:// in url");
    }
    let tls = is_encrypted.then_some(MqttTls { ca });
    Some(Mqtt { broker, tls, user, password_file, prefix, discovery, every, change, operator })
}

/// What must hold between valid values.
pub(super) fn relations(mqtt: &Mqtt, operators: &[OperatorName], findings: &Findings) {
    if mqtt.user.is_some() != mqtt.password_file.is_some() {
        findings.relation(&["mqtt.user", "mqtt.password_file"], "user and password_file must be set together");
    }
    if mqtt.prefix == mqtt.discovery {
        findings.relation(&["mqtt.prefix", "mqtt.discovery"], "prefix and discovery must differ");
    }
    if let Some(operator) = &mqtt.operator
        && !operators.contains(operator)
    {
        let message = format!(
            "it needs a name among the operators; add\n    [[operator]]\n    name = \"{operator}\"\n  and make its \
             key: thermowell keys"
        );
        findings.relation(&["mqtt.operator"], &message);
    }
}

/// The broker's host and port, and whether the connection is encrypted.
fn broker(node: &Node) -> Result<(Address, bool), String> {
    let url = text(node)?;
    let (rest, is_encrypted) = match (url.strip_prefix("mqtt://"), url.strip_prefix("mqtts://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => {
            return Err("not a broker's address, such as \"mqtt://homeassistant.local\" or \
                        \"mqtts://broker.example:8883\""
                .into());
        }
    };
    if rest.contains('@') {
        return Err("contains a user or a password; set user and password_file instead".into());
    }
    let address = host_and_port(rest, if is_encrypted { 8883 } else { 1883 })?;
    if is_encrypted && address.host.contains(':') {
        return Err("an IPv6 address with mqtts://; write the name that is in the broker's certificate".into());
    }
    Ok((address, is_encrypted))
}

/// The first levels of topics: no wildcards, no empty level.
fn levels(node: &Node) -> Result<String, String> {
    let levels = text(node)?;
    let is_level =
        |level: &str| !level.is_empty() && level.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if levels.len() <= PREFIX_MAX && levels.split('/').all(is_level) {
        return Ok(levels);
    }
    let allowed = format!("1 to {PREFIX_MAX} characters of a-z, A-Z, 0-9, '-', '_' and '.'");
    Err(format!("not the beginning of a topic; allowed are {allowed}, in levels with '/' between them"))
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn parse(text: &str) -> Result<Config, String> {
        let before = "[[boiler]]\nid = \"b1\"\nport = \"/dev/b1\"\n[[operator]]\nname = \"anna\"\n";
        Config::parse(&format!("{before}[reset]\napprovals = 1\n[mqtt]\n{text}\n"), "t.toml")
            .map_err(|error| error.to_string())
    }

    #[test]
    fn broker_has_usual_ports_and_is_off_without_url() {
        assert_eq!(parse("").unwrap().mqtt, None);
        assert_eq!(parse("prefix = \"cellar\"").unwrap().mqtt, None);
        for (url, address, is_encrypted) in [
            ("mqtt://homeassistant.local", "homeassistant.local:1883", false),
            ("mqtt://[::1]:7", "[::1]:7", false),
            ("mqtts://broker.example/", "broker.example:8883", true),
        ] {
            let mqtt = parse(&format!("url = \"{url}\"")).unwrap().mqtt.unwrap();
            assert_eq!((mqtt.broker.to_string().as_str(), mqtt.tls.is_some()), (address, is_encrypted));
        }
        let mqtt = parse("url = \"mqtt://h\"\nchange = \"0.5 K\"\nevery = \"1 s\"\noperator = \"anna\"").unwrap();
        assert_eq!(mqtt.mqtt.unwrap().change.0, 50);
    }

    #[test]
    fn mistakes_name_the_key_and_what_is_allowed() {
        for (text, expected) in [
            (
                "url = \"tcp://h\"",
                "mqtt.url = \"tcp://h\": not a broker's address, such as \"mqtt://homeassistant.local",
            ),
            ("url = \"mqtt://a:b@h\"", "contains a user or a password; set user and password_file instead"),
            ("url = \"mqtts://[::1]\"", "write the name that is in the broker's certificate"),
            ("url = \"mqtt://h\"\nca = \"/ca\"", "mqtt.ca = \"/ca\": has no effect without encryption; write mqtts://"),
            ("operator = \"anna\"", "mqtt.operator = \"anna\": has no effect without a broker; set url"),
            ("url = \"mqtt://h\"\noperator = \"dora\"", "it needs a name among the operators; add"),
            ("url = \"mqtt://h\"\nuser = \"u\"", "user and password_file must be set together"),
            ("url = \"mqtt://h\"\nprefix = \"homeassistant\"", "prefix and discovery must differ"),
            ("prefix = \"a/#\"", "mqtt.prefix = \"a/#\": not the beginning of a topic; allowed are 1 to 64"),
            ("prefix = \"/a\"", "not the beginning of a topic"),
            ("every = \"90 s\"", "mqtt.every = \"90 s\": out of range, allowed are 1 s to 1 min"),
            ("change = \"0.2 °C\"", "unknown unit \"°C\"; units of a difference of temperatures are K"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
