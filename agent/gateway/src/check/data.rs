//! Whether what is published about a boiler is fresh, complete and plausible.

use thermowell_flow::published::{EventBody, Freshness, Link, Snapshot, State};
use thermowell_wire::subject::stream;

use super::Finding;
use super::Status::{Error, Ok as Fine, Skipped, Unknown, Warning};
use super::evidence::{Evidence, Moment};
use super::finding::of;
use crate::output::word;
use crate::quantity::unix;
use crate::status::{age, judge, unread};

const HOUR_S: f64 = 3_600.0;
/// The least known part of the last hour.
const COVERAGE_MIN: f64 = 0.95;
/// Real seconds of slots that the aggregator may be behind.
const LAG_MAX_S: f64 = 5.0;
/// The most noise of a flow sensor, K.
const NOISE_MAX: f64 = 0.5;
/// Hours without any change of the flow, while rooms were heated.
const FROZEN_HOURS: usize = 12;

pub(super) fn check(it: &Evidence, now: &Moment, gateway: &str) -> Vec<Finding> {
    vec![fresh(it, now), coverage(it, now), sensor(it), lag(it, now, gateway)]
}

/// Nothing was ever published about it.
fn is_new(it: &Evidence) -> bool {
    it.tail.is_none() && it.last.state.is_none() && it.last.snapshot.is_none()
}

/// STATE, while its values are valid; else why not.
fn valid(it: &Evidence) -> Result<&State, String> {
    it.last.valid_state().ok_or_else(|| "the newest STATE is too old".to_owned())
}

fn fresh(it: &Evidence, now: &Moment) -> Finding {
    let find = of("data.fresh");
    if is_new(it) {
        return find(Unknown, "nothing was published about it yet".to_owned());
    }
    let age_s = it.last.age_s;
    let by_age = age_s.map(judge);
    if by_age == Some(Freshness::Fresh) {
        return find(Fine, format!("the newest slot is {} old", age(age_s.unwrap_or_default())));
    }
    let old = match age_s {
        Some(age_s) if age_s < 0.0 => format!("the newest slot is stamped {} ahead of this clock", age(age_s)),
        Some(age_s) => format!("the newest slot is {} old", age(age_s)),
        None => "there is no STATE".to_owned(),
    };
    let status = if by_age == Some(Freshness::Coasting) { Warning } else { Error };
    let (silent, advice, unit) = first_silent(it, now);
    find(status, format!("{old}: {silent}")).advise(advice).fix(&["journalctl", "-u", unit, "-n", "50", "--no-pager"])
}

/// Who is the first on the way that is silent, what to do, and whose log to read.
fn first_silent(it: &Evidence, now: &Moment) -> (String, &'static str, &'static str) {
    let is_current = |age_s: Option<f64>| age_s.is_some_and(|age_s| judge(age_s) == Freshness::Fresh);
    let stored = it.tail.map(|tail| now.age_s(tail.end_s));
    let status = it.last.status.as_ref().filter(|_| is_current(it.last.status_age_s));
    match (status, is_current(stored)) {
        (Some(status), false) if status.link != Link::Up => {
            let silent = format!("the link is the first that is silent, it is {}", word(&status.link));
            (silent, "see device.answers", "thermowell-agent")
        }
        (Some(status), false) => {
            let silent = format!("the server is the first that is silent: the agent holds {} slots", status.backlog);
            (silent, "see nats.health: most often its disk is full", "thermowell-nats")
        }
        (None, false) => {
            let silent = "the agent is the first that is silent".to_owned();
            (silent, "start it, or see its log", "thermowell-agent")
        }
        (_, true) => {
            let silent = format!("the aggregator is the first that is silent, {} is fresh", stream::SAMPLES);
            (silent, "start it, or see its log", "thermowell-aggregator")
        }
    }
}

fn coverage(it: &Evidence, now: &Moment) -> Finding {
    let find = of("data.coverage");
    let state = match valid(it) {
        Ok(state) => state,
        Err(why) => return find(Unknown, why),
    };
    // A history that begins within the hour can cover no more than its length.
    let length_s = it.begins_s.map_or(HOUR_S, |begins_s| now.since(begins_s)).min(HOUR_S);
    let possible = (length_s / HOUR_S).max(f64::MIN_POSITIVE);
    let known = (state.coverage / possible).min(1.0);
    let message = match length_s < HOUR_S {
        true => format!("{:.1} % of {:.0} minutes since it began are known", known * 100.0, length_s / 60.0),
        false => format!("{:.1} % of the last hour are known", known * 100.0),
    };
    // The last slots are on their way: at a demo's speed they are minutes.
    let on_the_way = LAG_MAX_S * f64::from(now.speed) / length_s.max(1.0);
    if known + on_the_way >= COVERAGE_MIN {
        return find(Fine, message);
    }
    let (reason, advice) = reason(it, now);
    find(Warning, format!("{message}; {reason}")).advise(advice).fix(&[
        "thermowell",
        "verify",
        "--boiler",
        it.last.boiler.as_str(),
    ])
}

/// The main reason for what is missing in the last hour, and what to do about it.
fn reason(it: &Evidence, now: &Moment) -> (String, &'static str) {
    let gap = it.gap.as_ref().filter(|gap| now.since(gap.created_at) < HOUR_S);
    let by_gap = gap.and_then(|gap| {
        let EventBody::GapNamed { from, to, reason, .. } = &gap.body else { return None };
        Some((reason.as_str(), to.saturating_sub(*from)))
    });
    let by_hour = || {
        let snapshot = it.snapshots.last().filter(|last| now.since(unix(last.created_at)) < HOUR_S)?;
        snapshot.missing.by_reason().into_iter().max_by_key(|(_, slots)| *slots).filter(|(_, slots)| *slots > 0)
    };
    let Some((reason, slots)) = by_gap.or_else(by_hour) else {
        return ("no gap is named for it".to_owned(), "see data.fresh: what is late is not yet named");
    };
    let advice = match reason {
        "ring" => "the gateway was away for longer than the 2 min that the device remembers: power, restarts",
        "reboot" => "the firmware restarted: the event `boot` has when, look at its power and its watchdog",
        "invalid" => "the sensor does not read: STATE `quality` has why; see data.sensor",
        "clock" => "the clock was not synchronised, or jumped: see clock.synced and device.clock",
        "missed" => "the firmware missed the time of sampling: it is overloaded",
        "discarded" => "SAMPLES dropped them before they were read: see streams.samples and aggregate.lag",
        _ => "a cause that the program does not know is a mistake in it: report it, with `thermowell check --bundle`",
    };
    (format!("the main reason is `{reason}` with {slots} slots"), advice)
}

fn sensor(it: &Evidence) -> Finding {
    let find = of("data.sensor");
    let advice = "look at the sensor in its pocket, and at its plug";
    if it.last.freshness == Some(Freshness::NoValidReading)
        && let Some(state) = &it.last.state
    {
        let message = format!("no reading within the hour is valid: {}", unread(state.quality));
        return find(Warning, message).advise(advice);
    }
    let noise = it.tail.and_then(|tail| tail.noise);
    if let Some(noise) = noise.filter(|noise| *noise > NOISE_MAX) {
        return find(Warning, format!("the flow has a noise of {noise:.2} K from sample to sample")).advise(advice);
    }
    let hours: Vec<&Snapshot> = it.snapshots.iter().rev().take(FROZEN_HOURS).collect();
    if let Some(value) = frozen(&hours) {
        let message =
            format!("the flow was {value:.2} °C for {FROZEN_HOURS} h, without any change while rooms were heated");
        return find(Warning, message).advise(advice);
    }
    match noise {
        Some(noise) => find(Fine, format!("the flow moves, with a noise of {noise:.2} K")),
        None if is_new(it) => find(Unknown, "nothing was published about it yet".to_owned()),
        None => find(Skipped, "the newest samples are not valid readings, or too few".to_owned()),
    }
}

/// The value that did not change.
fn frozen(hours: &[&Snapshot]) -> Option<f64> {
    let value = hours.first()?.minimum?;
    let is_same = |hour: &&Snapshot| hour.minimum == Some(value) && hour.maximum == Some(value);
    let was_heated = hours.iter().any(|hour| hour.heating.points > 0);
    (hours.len() == FROZEN_HOURS && was_heated && hours.iter().all(is_same)).then_some(value)
}

fn lag(it: &Evidence, now: &Moment, gateway: &str) -> Finding {
    let find = of("aggregate.lag");
    let (Some(state), Some(tail)) = (&it.last.state, it.tail) else {
        return find(Unknown, "there is no STATE, or no sample".to_owned());
    };
    if state.instance != gateway {
        return find(
            Warning,
            format!("the aggregator of gateway {} averages it, not that of {gateway}", state.instance),
        )
        .advise("stop one of them; if `gateway` was renamed, restart the aggregator")
        .fix(&["systemctl", "restart", "thermowell-aggregator"]);
    }
    // A stamp is that of the slot itself.
    let behind_s = (tail.end_s - state.stamp).max(0.0) / f64::from(now.speed.max(1));
    let message = format!("STATE is {} behind SAMPLES", age(behind_s));
    if behind_s <= LAG_MAX_S {
        return find(Fine, message);
    }
    find(Warning, message)
        .advise("a new session reads again from the hour of the last snapshot, for minutes at most; else see its log")
        .fix(&["journalctl", "-u", "thermowell-aggregator", "-n", "50", "--no-pager"])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Status;
    use super::super::evidence::Tail;
    use super::super::evidence::testing::{NOW, NOW_S, event, evidence, snapshot};
    use super::*;

    fn found(it: &Evidence, id: &str) -> (Status, String, String) {
        let found = check(it, &NOW, "cellar").into_iter().find(|finding| finding.id == id).unwrap();
        let what = [found.advice.unwrap_or_default(), found.fix.unwrap_or_default().join(" ")].join(" $ ");
        (found.status, found.message, what)
    }

    fn old(state_s: f64, status_s: f64, samples_s: f64, link: &str) -> Evidence {
        let it = evidence(&[
            ("state.stamp", json!(NOW_S - state_s)),
            ("status.created_at", json!(NOW_S - status_s)),
            ("status.link", json!(link)),
        ]);
        Evidence { tail: Some(Tail { end_s: NOW_S - samples_s, noise: None }), ..it }
    }

    #[test]
    fn data_in_good_order_has_no_finding() {
        assert!(check(&evidence(&[]), &NOW, "cellar").iter().all(|finding| finding.status == Fine));
    }

    #[test]
    fn old_data_names_the_first_that_is_silent() {
        for (it, status, first) in [
            (old(17.0, 0.4, 17.0, "down"), Warning, "the link is the first that is silent, it is down"),
            (old(70.0, 0.4, 70.0, "silent"), Error, "the link is the first that is silent, it is silent"),
            (old(70.0, 0.4, 70.0, "up"), Error, "the server is the first that is silent: the agent holds 73 slots"),
            (old(70.0, 70.0, 70.0, "up"), Error, "the agent is the first that is silent"),
            (old(70.0, 0.4, 0.4, "up"), Error, "the aggregator is the first that is silent, SAMPLES is fresh"),
        ] {
            let (found, message, advice) = found(&it, "data.fresh");
            assert!(found == status && message.ends_with(first), "{found:?} {message}");
            assert!(
                message.starts_with("the newest slot is ") && advice.contains("journalctl -u thermowell-"),
                "{message}"
            );
        }
        let gone = found(&evidence(&[("state", Value::Null)]), "data.fresh");
        assert!(gone.0 == Error && gone.1.starts_with("there is no STATE: the aggregator is"), "{gone:?}");
        let new = Evidence { tail: None, ..evidence(&[("state", Value::Null), ("status", Value::Null)]) };
        assert_eq!(found(&new, "data.fresh").0, Unknown);
    }

    #[test]
    fn low_coverage_is_a_warning_with_its_main_reason() {
        let low = || evidence(&[("state.coverage", json!(0.9))]);
        let gap = |reason: &str| {
            let boot = "0000000100000002";
            json!({"name": "GapNamed", "boot": boot, "from": 10, "to": 36_010, "reason": reason})
        };
        let (status, message, advice) =
            found(&Evidence { gap: Some(event(600.0, gap("reboot"))), ..low() }, "data.coverage");
        assert_eq!(
            (status, message.as_str()),
            (Warning, "90.0 % of the last hour are known; the main reason is `reboot` with 36000 slots")
        );
        assert!(
            advice.contains("the firmware restarted") && advice.ends_with("thermowell verify --boiler b1"),
            "{advice}"
        );
        let mut by_hour = Evidence { gap: Some(event(7_200.0, gap("reboot"))), ..low() };
        by_hour.snapshots.push(snapshot(491_051, &[("missing.ring", json!(12))]));
        assert!(found(&by_hour, "data.coverage").1.ends_with("the main reason is `ring` with 12 slots"));
        assert!(found(&low(), "data.coverage").1.ends_with("no gap is named for it"));
        let young = Evidence { begins_s: Some(NOW_S - 360.0), ..evidence(&[("state.coverage", json!(0.098))]) };
        let (status, message, _) = found(&young, "data.coverage");
        assert_eq!((status, message.as_str()), (Fine, "98.0 % of 6 minutes since it began are known"));
    }

    /// Its slots are fresh, so no program is to blame.
    #[test]
    fn broken_sensor_is_a_warning_about_the_sensor_alone() {
        let (average, current) = (("state.average", Value::Null), ("state.current", Value::Null));
        let it = evidence(&[average, current, ("state.quality", json!("open"))]);
        let (status, message, _) = found(&it, "data.sensor");
        assert_eq!((status, message.as_str()), (Warning, "no reading within the hour is valid: the sensor reads open"));
        assert_eq!(found(&it, "data.fresh").0, Fine);
    }

    #[test]
    fn noisy_and_frozen_sensors_are_warnings() {
        let noisy = Evidence { tail: Some(Tail { end_s: NOW_S, noise: Some(0.8) }), ..evidence(&[]) };
        let (status, message, advice) = found(&noisy, "data.sensor");
        assert!(status == Warning && message.starts_with("the flow has a noise of 0.80 K"), "{message}");
        assert!(advice.contains("pocket"));
        let hours = |heated: u64| -> Vec<Snapshot> {
            let same = [("minimum", json!(52.0)), ("maximum", json!(52.0)), ("heating.points", json!(heated))];
            (0..12).map(|hour| snapshot(491_040 + hour, &same)).collect()
        };
        let frozen = Evidence { snapshots: hours(9), ..evidence(&[]) };
        assert!(found(&frozen, "data.sensor").1.starts_with("the flow was 52.00 °C for 12 h"));
        assert_eq!(found(&Evidence { snapshots: hours(0), ..evidence(&[]) }, "data.sensor").0, Fine);
        assert_eq!(found(&Evidence { snapshots: hours(9).split_off(1), ..evidence(&[]) }, "data.sensor").0, Fine);
    }

    #[test]
    fn aggregator_that_is_late_or_of_another_gateway_is_a_warning() {
        let late = evidence(&[("state.stamp", json!(NOW_S - 12.0))]);
        let (status, message, advice) = found(&late, "aggregate.lag");
        assert_eq!((status, message.as_str()), (Warning, "STATE is 11.6 s behind SAMPLES"));
        assert!(advice.contains("journalctl -u thermowell-aggregator"));
        let other = evidence(&[("state.instance", json!("attic"))]);
        assert!(found(&other, "aggregate.lag").1.starts_with("the aggregator of gateway attic averages it"));
    }
}
