//! Whether the broker of Home Assistant lets us in, and whether a client listens for the descriptions of boilers.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::iter::successors;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::Finding;
use super::Status::{Error, Ok as Fine, Skipped, Unknown, Warning};
use super::finding::of;
use crate::config::{Address, Config, Mqtt};
use crate::logs;
use crate::mqtt::{Found, LinkError, probe};

/// What the broker may take in all.
const BROKER: Duration = Duration::from_secs(5);
const BOTH: [&str; 2] = ["mqtt.broker", "mqtt.discovery"];

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let Some(mqtt) = &config.mqtt else {
        return BOTH.map(|id| Finding::new(id, Skipped, "[mqtt] has no url")).into();
    };
    let found = timeout(BROKER, probe(config, mqtt)).await.unwrap_or(Err(LinkError::Silent(BROKER)));
    vec![broker(mqtt, &found), discovery(mqtt, &found)]
}

fn broker(mqtt: &Mqtt, found: &Result<Found, LinkError>) -> Finding {
    let find = of("mqtt.broker");
    let (list, prefix) = (rights(mqtt), &mqtt.prefix);
    match found {
        Err(error) => Finding { advice: advice(mqtt, error), ..find(Error, logs::chain(error)) },
        Ok(Found { unwritable, .. }) if !unwritable.is_empty() => {
            find(Error, format!("{} does not let us publish {}", mqtt.broker, unwritable.join(", ")))
                .advise(format!("{list}: topic write {prefix}/#"))
        }
        Ok(Found { unreadable, .. }) if !unreadable.is_empty() => {
            find(Error, format!("{} does not let us subscribe to {}", mqtt.broker, unreadable.join(", ")))
                .advise(format!("{list}: topic read {}", unreadable.join(", topic read ")))
        }
        Ok(_) => find(Fine, format!("{} accepts the login, with MQTT 5", mqtt.broker)),
    }
}

fn discovery(mqtt: &Mqtt, found: &Result<Found, LinkError>) -> Finding {
    let find = of("mqtt.discovery");
    let prefix = &mqtt.discovery;
    match found {
        Err(_) => find(Unknown, "not checked: no connection to the broker".to_owned()),
        Ok(Found { is_allowed: false, discovery, .. }) => {
            find(Error, format!("{} does not let us publish {discovery}", mqtt.broker))
                .advise(format!("{}: topic write {prefix}/device/+/config", rights(mqtt)))
        }
        Ok(Found { has_listener: false, .. }) => find(
            Warning,
            format!("no client at {} listens for devices on {prefix}/device/+/config", mqtt.broker),
        )
        .advise(format!(
            "in Home Assistant: Settings, Devices & services, MQTT, Configure: the broker is this one, discovery is \
             on,\nand its prefix is {prefix}; else set discovery in [mqtt] to its prefix"
        )),
        Ok(_) => find(Fine, format!("a client listens for devices on {prefix}/device/+/config")),
    }
}

/// The place of a right in Mosquitto's list.
fn rights(mqtt: &Mqtt) -> String {
    let user = mqtt.user.as_ref().map_or_else(String::new, |user| format!(" below `user {user}`"));
    format!("add it to the broker's rights; in Mosquitto's acl_file{user}")
}

/// What to do about a failed connection, beyond what its message has.
fn advice(mqtt: &Mqtt, error: &LinkError) -> Option<String> {
    let Address { host, port } = &mqtt.broker;
    let advice = match error {
        LinkError::File { key, path, source } => file(key, path, source.kind()),
        LinkError::Damaged { key, path, .. } => {
            format!("put the right file there, or set another path as {key}: {}", path.display())
        }
        LinkError::NoAnswer if mqtt.tls.is_none() => {
            "`mosquitto -h` prints the version of a broker; if this port is for TLS, as 8883 is, write mqtts:// in url"
                .to_owned()
        }
        LinkError::Login => match &mqtt.user {
            Some(user) => format!(
                "try it: mosquitto_pub -V 5 -h {host} -p {port} -u {user} -t {}/check -n\n\
                 with the line `-P PASSWORD` in ~/.config/mosquitto_pub (mode 600): `ps` shows arguments\n\
                 a new password on Mosquitto: mosquitto_passwd /etc/mosquitto/passwd {user}",
                mqtt.prefix
            ),
            None => "set user and password_file in [mqtt]: this broker requires them".to_owned(),
        },
        LinkError::Untrusted(_) => format!(
            "what it shows: openssl s_client -connect {host}:{port} </dev/null | openssl x509 -noout -issuer -dates \
             -ext subjectAltName"
        ),
        LinkError::Ended { .. } => away(error, &mqtt.broker),
        LinkError::Silent(_) => format!("is it on, and does a firewall let us through? nc -vz {host} {port}"),
        LinkError::NoAnswer
        | LinkError::Version
        | LinkError::NoAuthorities
        | LinkError::Tls(_)
        | LinkError::Refused { .. }
        | LinkError::TakenOver
        | LinkError::Stopped => return None,
    };
    Some(advice)
}

fn file(key: &str, path: &Path, kind: ErrorKind) -> String {
    let path = path.display();
    if kind == ErrorKind::PermissionDenied {
        return format!(
            "the front must read it: chown root:thermowell {path}; chmod 640 {path}\n\
             this check as the front: sudo -u thermowell thermowell check --only mqtt"
        );
    }
    match key {
        "mqtt.password_file" => format!(
            "make it: sudo install -m 640 -o root -g thermowell /dev/stdin {path}\n\
             then type the password, Enter, Ctrl-D"
        ),
        _ => format!("put the certificate of the broker's CA there, in PEM, or set another path as {key}"),
    }
}

fn away(error: &LinkError, Address { host, port }: &Address) -> String {
    let mut causes = successors(error.source(), |&cause| cause.source());
    let kind = causes.find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    if kind == Some(ErrorKind::ConnectionRefused) {
        return format!(
            "no program listens there: start the broker (systemctl start mosquitto), or correct url in [mqtt];\n\
             without `listener {port}` in its configuration, Mosquitto 2 listens to its own machine only"
        );
    }
    format!("is it on, and is url in [mqtt] right? getent hosts {host}; nc -vz {host} {port}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::mqtt::fake::{self, Answers, NO_MATCHING_SUBSCRIBERS, NOT_AUTHORIZED};

    const GOOD: Answers = Answers { connect: 0, publish: |_| 0, subscribe: 0 };

    async fn at(port: u16, more: &str) -> [Finding; 2] {
        let text = format!(
            "[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\n[[operator]]\nname = \"ha\"\n[reset]\napprovals = 1\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n{more}"
        );
        check(&Config::parse(&text, "t.toml").unwrap()).await.try_into().unwrap()
    }

    async fn found(answers: Answers) -> [Finding; 2] {
        at(fake::broker(answers).await, "operator = \"ha\"").await
    }

    fn statuses(found: &[Finding; 2]) -> [super::super::Status; 2] {
        found.each_ref().map(|it| it.status)
    }

    fn reports(it: &Finding, message: &str, advice: &str) {
        assert!(it.message.contains(message), "{it:?}");
        assert!(it.advice.as_ref().is_some_and(|found| found.contains(advice)), "{it:?}");
    }

    #[tokio::test]
    async fn broker_with_a_listener_is_fine() {
        assert_eq!(statuses(&found(GOOD).await), [Fine, Fine]);
        let without = Config::parse("[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"", "t.toml").unwrap();
        let skipped = check(&without).await;
        assert!(skipped.len() == 2 && skipped.iter().all(|it| it.status == Skipped), "{skipped:?}");
    }

    #[tokio::test]
    async fn absent_listener_is_a_warning() {
        let found = found(Answers { publish: |_| NO_MATCHING_SUBSCRIBERS, ..GOOD }).await;
        assert_eq!(statuses(&found), [Fine, Warning]);
        reports(
            &found[1],
            "listens for devices on homeassistant/device/+/config",
            "set discovery in [mqtt] to its prefix",
        );
    }

    #[tokio::test]
    async fn each_missing_right_is_named() {
        let announces = |topic: &str| if topic.starts_with("homeassistant/") { NOT_AUTHORIZED } else { 0 };
        let found_announcing = found(Answers { publish: announces, ..GOOD }).await;
        assert_eq!(statuses(&found_announcing), [Fine, Error]);
        reports(
            &found_announcing[1],
            "publish homeassistant/device/",
            "acl_file: topic write homeassistant/device/+/config",
        );
        let values = |topic: &str| if topic.starts_with("thermowell/b1/") { NOT_AUTHORIZED } else { 0 };
        let found_values = found(Answers { publish: values, ..GOOD }).await;
        assert_eq!(statuses(&found_values), [Error, Fine]);
        reports(&found_values[0], "publish thermowell/b1/", "topic write thermowell/#");
        let found_reading = found(Answers { subscribe: NOT_AUTHORIZED, ..GOOD }).await;
        assert_eq!(statuses(&found_reading), [Error, Fine]);
        reports(&found_reading[0], "homeassistant/status, thermowell/b1/set/+", "topic read thermowell/b1/set/+");
    }

    #[tokio::test]
    async fn refused_login_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let login = format!("user = \"tw\"\npassword_file = \"{}\"", file.display());
        let refused = || fake::broker(Answers { connect: NOT_AUTHORIZED, ..GOOD });
        let anonymous = at(refused().await, "").await;
        assert_eq!(statuses(&anonymous), [Error, Unknown]);
        reports(&anonymous[0], "rejects our login", "set user and password_file");
        let missing = at(9, &login).await;
        reports(&missing[0], "mqtt.password_file: ", "sudo install -m 640 -o root -g thermowell /dev/stdin");
        std::fs::write(&file, "secret").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let rejected = at(refused().await, &login).await;
        reports(&rejected[0], "rejects our login", " -u tw -t ");
        assert!(!rejected.iter().any(|it| format!("{it:?}").contains("secret")));
    }

    #[tokio::test]
    async fn absent_and_old_brokers_are_errors() {
        let absent = at(9, "").await;
        assert_eq!(statuses(&absent), [Error, Unknown]);
        reports(&absent[0], "Connection refused", "systemctl start mosquitto");
        let old = at(fake::broker(Answers { connect: 0x84, ..GOOD }).await, "").await;
        assert!(old[0].status == Error && old[0].message.contains("Home Assistant from 2027.1 on"), "{old:?}");
    }
}
