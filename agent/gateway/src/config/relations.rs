//! The relations between values that are each valid.

use thermowell_flow::control::Emitter;
use thermowell_wire::CentiCelsius;

use super::section::Findings;
use super::{Config, Law, RING};
use crate::calendar;
use crate::quantity::show_duration;

/// Reports every relation that does not hold.
pub(super) fn check(config: &Config, findings: &Findings) {
    nats(config, findings);
    clock(config, findings);
    ring(config, findings);
    control(config, findings);
    reset(config, findings);
    http(config, findings);
    if let Some(mqtt) = &config.mqtt {
        super::mqtt::relations(mqtt, &config.operators, findings);
    } else {
        let message = "needs a broker; set url in [mqtt], such as \"mqtt://homeassistant.local\"";
        if config.ambient().any(|(_, _, ambient)| ambient.mqtt.is_some()) {
            findings.relation(&["boiler.room.topic", "boiler.outdoor.topic"], message);
        }
    }
}

/// Roles run at the same time; the second at one address would wait for the first to end.
fn http(config: &Config, findings: &Findings) {
    let http = &config.http;
    let listeners = [
        ("http.front", http.front),
        ("http.agent", http.agent),
        ("http.aggregator", http.aggregator),
        ("http.controller", http.controller),
    ];
    for (index, (key, address)) in listeners.iter().enumerate() {
        let same = listeners[..index].iter().find(|(_, other)| address.is_some() && other == address);
        if let Some((other, _)) = same {
            findings.relation(&[key, other], &format!("{other} and {key} need different addresses"));
        }
    }
}

fn nats(config: &Config, findings: &Findings) {
    let nats = &config.nats;
    let ways = [
        ("nats.keys", nats.keys.is_some()),
        ("nats.credentials", nats.credentials.is_some()),
        ("nats.nkey_file", nats.nkey_file.is_some()),
        ("nats.user", nats.user.is_some()),
    ];
    let used: Vec<&str> = ways.iter().filter(|(_, used)| *used).map(|(key, _)| *key).collect();
    if let [first, second, ..] = used[..] {
        findings.relation(&[second], &format!("only one login is allowed, and {first} is set too"));
    }
    if nats.user.is_some() != nats.password_file.is_some() {
        findings.relation(&["nats.user", "nats.password_file"], "user and password_file must be set together");
    }
    if let Some(tls) = &nats.tls
        && tls.cert.is_some() != tls.key.is_some()
    {
        findings.relation(&["nats.tls.cert", "nats.tls.key"], "cert and key must be set together");
    }
}

fn clock(config: &Config, findings: &Findings) {
    let clock = &config.clock;
    if clock.speed != 1 && clock.epoch.is_none() {
        let message = "a clock that is not real needs an epoch: \
                       epoch = { monotonic_ns = 0, utc = \"2026-01-07T00:00:00Z\" }";
        findings.relation(&["clock.speed"], message);
    }
    if clock.speed == 1 && clock.epoch.is_some() {
        findings.relation(&["clock.epoch"], "at speed 1 the calendar is the machine's, and an epoch has no meaning");
    }
}

/// Samples that the server acknowledged and then lost must still be in the device's ring when the loss is detected.
fn ring(config: &Config, findings: &Findings) {
    let reach = config.spool.spill_after + 3 * config.nats.sync_interval;
    if reach >= RING {
        let message = format!(
            "spool.spill_after + 3 × nats.sync_interval must be less than the {} of the device's ring, but is {}",
            show_duration(RING),
            show_duration(reach)
        );
        findings.relation(&["spool.spill_after", "nats.sync_interval"], &message);
    }
}

fn control(config: &Config, findings: &Findings) {
    let law = &config.control.law;
    if law.lease <= 2 * law.renew {
        let message = format!(
            "a lease must be longer than two renewals, so that one may be lost: {} is not more than 2 × {}",
            show_duration(law.lease),
            show_duration(law.renew)
        );
        findings.relation(&["control.lease", "control.renew"], &message);
    }
    if law.flow_min >= law.flow_max {
        let message =
            format!("flow_min must be below flow_max, but {} °C is not below {} °C", law.flow_min, law.flow_max);
        findings.relation(&["control.flow_min", "control.flow_max"], &message);
    }
    if law.emitter == Some(Emitter::Floor) {
        floor(law, findings);
    }
    let [cold, warm] = law.curve;
    if cold.outdoor >= warm.outdoor || cold.flow < warm.flow {
        let message = "the first point must have the lower outdoor temperature, and no lower flow temperature";
        findings.relation(&["control.curve"], message);
    }
    if let Some(day) = calendar::unordered(law) {
        let message = format!("steps of a day must be in ascending order, each time once; those of {day} are not");
        findings.relation(&["control.target"], &message);
    }
    if law.absence.iter().any(|absence| absence.from >= absence.until) {
        findings.relation(&["control.absence"], "from must be before until");
    }
}

/// What a heated floor takes: a screed may get no warmer than 55 °C, and its surface no warmer than 29 °C (EN 1264-2),
/// which floors reach at about 45 °C of flow; it answers so late that a high gain overshoots.
fn floor(law: &Law, findings: &Findings) {
    const FLOW_MAX: CentiCelsius = CentiCelsius(45_00);
    const KP_MAX: f64 = 10.0;
    let too_hot = format!("a heated floor takes at most {FLOW_MAX} °C");
    if law.flow_max > FLOW_MAX {
        findings.relation(&["control.flow_max", "control.emitter"], &too_hot);
    }
    if law.curve.iter().any(|point| point.flow > FLOW_MAX) {
        findings.relation(&["control.curve", "control.emitter"], &too_hot);
    }
    if law.kp > KP_MAX {
        findings.relation(&["control.kp", "control.emitter"], &format!("a heated floor takes at most {KP_MAX}"));
    }
}

/// Without any operator, approvals are refused with that reason; this is not an error of the configuration.
fn reset(config: &Config, findings: &Findings) {
    let (wanted, named) = (usize::from(config.reset.approvals), config.operators.len());
    if named > 0 && named < wanted {
        let message = format!(
            "a reset needs the approval of {wanted} different operators, but there are only {named}: add another, \
             or set approvals = 1 for a single owner"
        );
        findings.relation(&["reset.approvals", "operator"], &message);
    }
}
