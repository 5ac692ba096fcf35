//! Every check: its id, its section, how severe its findings are, and what they are. This is the only list:
//! `thermowell check --list` prints it, `--only` selects from it, and a test compares the handbook's table with it.
//!
//! Ids are stable.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;

use crate::output::Report;

/// What a check is about, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    Configuration,
    Ports,
    Device,
    Server,
    Disk,
    Clock,
    Data,
    Control,
    Units,
    Host,
    Http,
    Mqtt,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::Ports => "ports",
            Self::Device => "line and device",
            Self::Server => "server",
            Self::Disk => "disk",
            Self::Clock => "clock",
            Self::Data => "data",
            Self::Control => "control",
            Self::Units => "units",
            Self::Host => "host",
            Self::Http => "http",
            Self::Mqtt => "mqtt",
        })
    }
}

/// One row of the list.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Check {
    pub id: &'static str,
    pub section: Section,
    /// `error`, `warning`, or both: the severities of its findings.
    pub severity: &'static str,
    /// `--repair` repairs what it finds.
    pub repairs: bool,
    /// What it finds.
    pub finds: &'static str,
}

const E: &str = "error";
const W: &str = "warning";
const WE: &str = "warning, error";

const fn check(section: Section, id: &'static str, severity: &'static str, finds: &'static str) -> Check {
    Check { id, section, severity, repairs: false, finds }
}

const fn repaired(section: Section, id: &'static str, severity: &'static str, finds: &'static str) -> Check {
    Check { repairs: true, ..check(section, id, severity, finds) }
}

use Section::{Clock, Configuration, Control, Data, Device, Disk, Host, Http, Mqtt, Ports, Server, Units};

/// In the order of the report.
pub(super) const CATALOGUE: &[Check] = &[
    check(Configuration, "config.parse", E, "an unknown key, a wrong value"),
    check(Configuration, "config.relations", E, "values that do not go together"),
    repaired(Configuration, "config.secrets", E, "a password or a key that every user can read"),
    check(Ports, "port.present", E, "the port is not there"),
    check(Ports, "port.distinct", E, "two boilers with one port"),
    check(Ports, "port.access", E, "this user may not open it"),
    check(Ports, "port.free", E, "another program than our agent uses it"),
    check(Ports, "port.name", W, "a name that changes with the socket, such as ttyUSB0"),
    repaired(Ports, "port.latency", W, "an FTDI adapter delays bytes by more than 1 ms"),
    check(Device, "line.budget", E, "the samples need more than 80 % of the line"),
    check(Device, "device.answers", E, "the link is down or silent"),
    check(Device, "device.identity", E, "another board answers, and is refused"),
    check(Device, "device.protocol", E, "the device is newer than this program"),
    check(Device, "device.line", W, "more than one frame in 10,000 is rejected"),
    check(Device, "device.clock", W, "the device's clock is more than 200 ppm off, or stamps jumped within a day"),
    check(Device, "device.fault", WE, "the boiler reports a fault; an error if it is locked out"),
    check(Server, "nats.reachable", E, "no server at its address"),
    check(Server, "nats.version", E, "a server that is too old"),
    check(Server, "nats.jetstream", E, "a server without JetStream"),
    check(Server, "nats.login", E, "the server does not accept the login"),
    check(Server, "nats.max-payload", WE, "the server does not accept our largest messages"),
    check(Server, "nats.storage", E, "the streams do not fit into the server's limits"),
    check(Server, "nats.permissions", WE, "others than the controller may publish set-points"),
    check(Server, "nats.keys", WE, "permissions.conf is not what `thermowell keys` writes now"),
    check(Server, "nats.health", E, "the server's health probe fails, as with a full disk"),
    check(Server, "nats.sync-interval", WE, "the server syncs more or less often than configured here"),
    repaired(Server, "nats.streams", WE, "a stream is missing, foreign, or has other subjects or limits"),
    check(Server, "nats.room", W, "the disk cannot hold what the streams may still take; a stream over 90 % full"),
    check(Server, "nats.certificate", WE, "a certificate ends within 30 days; an error within 7"),
    check(Disk, "streams.samples", WE, "the size of SAMPLES is less than three days of these boilers"),
    check(Disk, "spool.folder", E, "the agent cannot write its spill files"),
    repaired(Disk, "disk.spill", WE, "a spill file is foreign or damaged, or was put aside"),
    check(Disk, "disk.space", WE, "less than 10 % of a partition is free; an error below 2 %"),
    check(Disk, "disk.wear", WE, "the flash lasts less than 5 years at this rate; an error below 1"),
    check(Clock, "clock.synced", WE, "the clock is not synchronised, or implausible"),
    check(Clock, "clock.leap", W, "no clock that runs on a battery; the calendar stepped within a day"),
    check(
        Data,
        "data.fresh",
        WE,
        "the newest slot is over 5 s old, and who is the first that is silent; an error over 60 s",
    ),
    check(Data, "data.coverage", W, "less than 95 % of the last hour is known, and why"),
    check(Data, "data.books", E, "an hour of the last day that does not add up, differs, or has no snapshot"),
    check(
        Data,
        "data.sensor",
        W,
        "no reading of the hour is valid, or the flow is constant for 12 h while heating, or has noise above 0.5 K",
    ),
    check(Data, "aggregate.lag", W, "the aggregator is over 5 s behind, or is another gateway's"),
    check(Control, "control.lease", W, "asked and accepted differ, no controller asks, or two do"),
    check(Control, "control.cycles", W, "the burner starts more than three times an hour"),
    check(Control, "control.delivery", W, "the boiler delivers less than it is asked for"),
    check(Control, "control.sources", W, "a source of the room or outdoor temperature is silent, or not plausible"),
    check(Units, "unit.state", WE, "a unit failed, restarted, or runs a program that has been replaced"),
    check(Units, "unit.hardening", W, "a unit runs as root, or has an exposure above 2.0"),
    check(Host, "host.power", W, "under-voltage, throttling, or less than 32 MiB of free memory"),
    check(Http, "http.listen", W, "HTTP is open to other machines"),
    check(Mqtt, "mqtt.broker", E, "the MQTT broker does not let us in, or does not speak MQTT 5"),
    check(
        Mqtt,
        "mqtt.discovery",
        WE,
        "Home Assistant does not listen for new devices; an error if we may not announce them",
    ),
];

/// The place of an id in the list.
pub(super) fn place(id: &str) -> Option<usize> {
    CATALOGUE.iter().position(|check| check.id == id)
}

/// The part of an id before its point.
pub(super) fn prefix(id: &str) -> &str {
    id.split_once('.').map_or(id, |(prefix, _)| prefix)
}

/// `--list`: some checks, by default all.
#[derive(Debug, Serialize)]
pub struct List {
    pub checks: Vec<Check>,
}

impl Report for List {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut section = None;
        for check in &self.checks {
            if section.replace(check.section) != Some(check.section) {
                let _always_fits = writeln!(text, "{}", check.section);
            }
            let repairs = if check.repairs { " (--repair)" } else { "" };
            let _always_fits = writeln!(text, "  {:<18} {:<14} {}{repairs}", check.id, check.severity, check.finds);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATING: &str = include_str!("../../../../deploy/OPERATING.md");

    #[test]
    fn ids_are_unique_and_in_the_order_of_their_sections() {
        let sections: Vec<Section> = CATALOGUE.iter().map(|check| check.section).collect();
        assert!(sections.is_sorted());
        for (at, check) in CATALOGUE.iter().enumerate() {
            assert_eq!(place(check.id), Some(at), "{}", check.id);
        }
    }

    /// The table of the handbook is the catalogue. A test that fails prints it.
    #[test]
    fn handbook_lists_every_check() {
        let mut table = String::from("| check | finds | |\n|---|---|---|\n");
        for check in CATALOGUE {
            let repairs = if check.repairs { ", `--repair`" } else { "" };
            table += &format!("| `{}` | {} | {}{repairs} |\n", check.id, check.finds, check.severity);
        }
        assert!(OPERATING.contains(&table), "deploy/OPERATING.md needs this table:\n{table}");
    }
}
