//! The line and the device, by what the agent publishes about them: while it holds the port, no other process may.

use std::collections::BTreeMap;
use std::time::Duration;

use thermowell_flow::published::{DeviceStatus, Event, EventBody, Freshness, Link, Status as Published};
use thermowell_flow::serial::OTHER_PROTOCOL;

use super::Finding;
use super::Status::{Error, Ok as Fine, Skipped, Unknown, Warning};
use super::evidence::{Evidence, Moment};
use super::finding::of;
use crate::config::{Address, Http};
use crate::logs;
use crate::nats::monitor;
use crate::quantity::{grouped, moment, show_measured};
use crate::status::{age, judge};

/// The ids here that need a STATUS.
const IDS: [&str; 5] = ["device.answers", "device.identity", "device.protocol", "device.clock", "device.fault"];
/// A crystal is within 100 ppm.
const PPM_MAX: i64 = 200;
/// Of ten thousand frames one may be rejected.
const FRAMES_PER_REJECTED: u64 = 10_000;
/// Rejected frames that mean nothing: a port is opened in the middle of a frame, a board starts in one.
const REJECTED_MIN: u64 = 10;
const DAY_S: f64 = 86_400.0;

pub(super) fn check(it: &Evidence, now: &Moment) -> Vec<Finding> {
    let unknown = |why: &str| IDS.map(|id| Finding::new(id, Unknown, why)).into();
    let Some(status) = &it.last.status else { return unknown("no agent has published a STATUS yet") };
    let age_s = it.last.status_age_s.unwrap_or(f64::INFINITY);
    if judge(age_s) != Freshness::Fresh {
        return unknown(&format!("no agent reports: the last STATUS is {} old", age(age_s)));
    }
    let refusal = (status.link == Link::Refused).then(|| refused(it.boot.as_ref())).flatten();
    let is_protocol = refusal.is_some_and(|(_, reason)| reason.starts_with(OTHER_PROTOCOL));
    vec![
        answers(it, status),
        identity(it, status, refusal.filter(|_| !is_protocol), is_protocol),
        protocol(refusal.filter(|_| is_protocol), status),
        clock(it, now),
        fault(it, status),
    ]
}

/// The board that was refused last, and why.
fn refused(boot: Option<&Event>) -> Option<(&str, &str)> {
    let EventBody::DeviceRefused { serial_number, reason } = &boot?.body else { return None };
    Some((serial_number, reason))
}

fn answers(it: &Evidence, status: &Published) -> Finding {
    let find = of("device.answers");
    let since = it.tail.map_or("never read".to_owned(), |tail| format!("no samples since {}", moment(tail.end_s)));
    match status.link {
        Link::Up => find(Fine, "samples flow".to_owned()),
        Link::Refused => find(Fine, "a board answers, and is refused".to_owned()),
        Link::Silent => find(Error, format!("the port is open, but the device is silent; {since}")).advise(
            "its power, the cable, crossed wires (TX to RX), and the same `baud` on both sides; the agent's log counts \
             what it rejects",
        ),
        Link::Down => find(Error, format!("the agent cannot open the port; {since}"))
            .advise("its log has the cause; see the findings of this port above")
            .fix(&["journalctl", "-u", "thermowell-agent", "-n", "20", "--no-pager"]),
    }
}

fn identity(it: &Evidence, status: &Published, refusal: Option<(&str, &str)>, is_protocol: bool) -> Finding {
    let find = of("device.identity");
    let id = it.last.boiler.as_str();
    match (status.link, refusal, &status.device) {
        (Link::Refused, Some((serial, reason)), _) => {
            let found = find(Error, format!("a board is refused: {reason}"));
            // Other reasons are not a matter of which board it is.
            match reason.contains("serial number") {
                true => found.advise("if the board was replaced; a mixed-up cable is only plugged in right").fix(&[
                    "thermowell",
                    "boiler",
                    "accept",
                    id,
                    serial,
                    "--yes",
                ]),
                false => found.advise("see the agent's log, and the firmware of this board"),
            }
        }
        (Link::Refused, None, _) if is_protocol => find(Unknown, "its protocol is newer than ours".to_owned()),
        (Link::Refused, None, _) => find(Error, "a board is refused".to_owned())
            .advise("the agent's log has its serial number and the reason")
            .fix(&["journalctl", "-u", "thermowell-agent", "-g", "refused", "-n", "5", "--no-pager"]),
        (Link::Up, _, Some(DeviceStatus { serial_number, firmware, .. })) => {
            find(Fine, format!("the board {serial_number}, {firmware}"))
        }
        (Link::Up | Link::Silent | Link::Down, _, _) => find(Unknown, "no board answers".to_owned()),
    }
}

fn protocol(refusal: Option<(&str, &str)>, status: &Published) -> Finding {
    let find = of("device.protocol");
    match (refusal, status.link) {
        (Some((_, reason)), _) => find(Error, format!("the device is refused: {reason}"))
            .advise("install a newer thermowell on this gateway, as in *Upgrade* of deploy/README.md"),
        (None, Link::Up) => find(Fine, "the device speaks a protocol that this program knows".to_owned()),
        (None, Link::Refused) => find(Unknown, "another board answers".to_owned()),
        (None, Link::Silent | Link::Down) => find(Unknown, "no board answers".to_owned()),
    }
}

fn clock(it: &Evidence, now: &Moment) -> Finding {
    let find = of("device.clock");
    let fine = || find(Fine, "no step or rate of its clock was reported within a day".to_owned());
    let Some(event) = it.clock.as_ref().filter(|event| now.since(event.created_at) < DAY_S) else { return fine() };
    let at = moment(event.created_at);
    if let EventBody::ClockRate { ppm, followed } = &event.body
        && ppm.abs() > PPM_MAX
    {
        let effect = if *followed { "stamps follow it" } else { "stamps jump, and slots are lost as `clock`" };
        let word = if *ppm > 0 { "fast" } else { "slow" };
        return find(Warning, format!("its clock is {} ppm {word} since {at}; {effect}", ppm.abs()))
            .advise("a board with a crystal is within 100 ppm: look at the crystal, its load capacitors, its heat");
    }
    if let EventBody::ClockJumped { by_ns } = &event.body {
        let by = show_measured(Duration::from_nanos(by_ns.unsigned_abs()));
        let way = if *by_ns < 0 { "back" } else { "ahead" };
        return find(Warning, format!("stamps jumped {way} by {by} at {at}")).advise(
            "this machine's clock was set, or the board was stopped; chrony with `makestep 1 3` steps only at a start",
        );
    }
    fine()
}

fn fault(it: &Evidence, status: &Published) -> Finding {
    let find = of("device.fault");
    let device = match (&status.device, status.link) {
        (Some(device), Link::Up) => device,
        (_, _) => return find(Unknown, "the device does not report".to_owned()),
    };
    let reset = ["thermowell", "reset", "status", "--boiler", it.last.boiler.as_str()];
    match device.fault {
        None => find(Fine, "no fault".to_owned()),
        Some(fault) if fault.lockout => find(Error, format!("locked out by the fault {}", fault.kind))
            .advise("mend the cause at the boiler, then approve a reset, where that is allowed from here")
            .fix(&reset),
        Some(fault) => find(Warning, format!("the fault {}; it ends with its cause", fault.kind))
            .advise("look at the boiler; the event `fault` has its begin")
            .fix(&reset),
    }
}

/// The agent's counters of the line, from its metrics: a finding for each boiler.
pub(super) async fn line(http: &Http, boilers: &[String]) -> Vec<Finding> {
    let find = of("device.line");
    // Alone, or with all roles in one process.
    let listeners: Vec<_> = [http.agent, http.front].into_iter().flatten().collect();
    let mut why = String::new();
    for listener in listeners {
        let address = Address { host: listener.ip().to_string(), port: listener.port() };
        match monitor::get(&address, "/metrics").await {
            Ok(body) if is_agents(&body) => {
                let text = String::from_utf8_lossy(&body);
                return boilers.iter().map(|id| of_metrics(&text, id).about(id)).collect();
            }
            Ok(_) => {}
            Err(error) if why.is_empty() => why = format!("{address}: {}", logs::chain(&error)),
            Err(_) => {}
        }
    }
    match http.agent {
        Some(_) => vec![find(Unknown, format!("the agent's metrics are not readable: {why}"))],
        None => vec![find(Skipped, "the agent's metrics are off: [http] agent".to_owned())],
    }
}

fn is_agents(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("thermowell_serial_frames_total{")
}

/// Rejected frames since the agent began.
fn of_metrics(text: &str, boiler: &str) -> Finding {
    let find = of("device.line");
    let label = format!("boiler=\"{boiler}\"");
    let rows = text.lines().filter_map(|line| {
        let (row, value) = line.rsplit_once(' ')?;
        let (name, labels) = row.split_once('{')?;
        let causes = labels.trim_end_matches('}').split(',');
        if !causes.clone().any(|part| part == label) {
            return None;
        }
        let cause = causes.filter_map(|part| part.strip_prefix("cause=\"")?.strip_suffix('"')).next();
        Some((name, cause.unwrap_or_default(), whole(value)?))
    });
    let (mut frames, mut rejected) = (None, BTreeMap::new());
    for (name, cause, count) in rows {
        match name {
            "thermowell_serial_frames_total" => frames = Some(count),
            "thermowell_serial_rejected_total" if count > 0 => {
                rejected.insert(cause.to_owned(), count);
            }
            _ => {}
        }
    }
    let Some(frames) = frames else { return find(Unknown, "the agent does not count this boiler".to_owned()) };
    let sum: u64 = rejected.values().sum();
    let show = |count: u64| grouped(&count.to_string(), ',');
    let message = format!("{} of {} frames were rejected since the agent began", show(sum), show(frames + sum));
    if sum < REJECTED_MIN || sum.saturating_mul(FRAMES_PER_REJECTED) <= frames {
        return find(Fine, message);
    }
    let causes = rejected.iter().map(|(cause, count)| format!("{cause} {}", show(*count))).collect::<Vec<_>>();
    find(Warning, format!("{message}: {}", causes.join(", ")))
        .advise("shield and ground of the cable, its length (15 m for RS-232), a lower `baud` on both sides")
}

/// A counter's value; Prometheus' format has it as a float.
fn whole(value: &str) -> Option<u64> {
    value.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Status;
    use super::super::evidence::testing::{NOW, NOW_S, event, evidence};
    use super::*;
    use crate::config::Config;

    fn found(it: &Evidence, id: &str) -> (Status, String, String) {
        let found = check(it, &NOW).into_iter().find(|finding| finding.id == id).unwrap();
        let what = [found.advice.unwrap_or_default(), found.fix.unwrap_or_default().join(" ")].join(" $ ");
        (found.status, found.message, what)
    }

    fn with(path: &str, value: Value) -> Evidence {
        evidence(&[(path, value)])
    }

    #[test]
    fn device_in_good_order_has_no_finding() {
        assert!(check(&evidence(&[]), &NOW).iter().all(|finding| finding.status == Fine));
    }

    #[test]
    fn silent_and_closed_links_are_errors_with_their_time() {
        let (status, message, advice) = found(&with("status.link", json!("silent")), "device.answers");
        assert_eq!(status, Error);
        assert!(message.ends_with("the device is silent; no samples since 2026-01-07T12:00:00Z"), "{message}");
        assert!(advice.contains("crossed wires"), "{advice}");
        let (status, message, advice) = found(&with("status.link", json!("down")), "device.answers");
        assert!(status == Error && message.starts_with("the agent cannot open the port"), "{message}");
        assert!(advice.contains("journalctl -u thermowell-agent"), "{advice}");
    }

    #[test]
    fn refused_board_is_an_error_with_the_command_that_accepts_it() {
        let refused = |reason: &str| {
            let body = json!({"name": "DeviceRefused", "serial_number": "TW-0043", "reason": reason});
            Evidence { boot: Some(event(30.0, body)), ..with("status.link", json!("refused")) }
        };
        let board = refused("its serial number is TW-0043, this boiler is bound to TW-0042: check the port");
        let (status, message, advice) = found(&board, "device.identity");
        assert!(status == Error && message.contains("TW-0043"), "{message}");
        assert!(advice.ends_with("$ thermowell boiler accept b1 TW-0043 --yes"), "{advice}");
        assert_eq!(found(&board, "device.protocol").0, Unknown);

        let newer = refused(&format!("{OTHER_PROTOCOL} 2, this gateway up to 1: update it"));
        let (status, message, advice) = found(&newer, "device.protocol");
        assert!(status == Error && message.contains("protocol 2") && advice.contains("newer thermowell"), "{message}");
        assert_eq!(found(&newer, "device.identity").0, Unknown);
        let odd = refused("its sampling period of 0 µs is out of range");
        assert!(found(&odd, "device.identity").2.starts_with("see the agent's log"));
    }

    #[test]
    fn drift_and_jumps_of_a_day_are_warnings() {
        let at = |ago_s, body| found(&Evidence { clock: Some(event(ago_s, body)), ..evidence(&[]) }, "device.clock");
        let rate = |ppm| json!({"name": "ClockRate", "ppm": ppm, "followed": true});
        let (status, message, advice) = at(60.0, rate(-20_000));
        assert!(status == Warning && message.starts_with("its clock is 20000 ppm slow"), "{message}");
        assert!(advice.contains("crystal"));
        assert_eq!(at(60.0, rate(150)).0, Fine);
        assert_eq!(at(DAY_S + 1.0, rate(20_000)).0, Fine);
        let (status, message, _) = at(60.0, json!({"name": "ClockJumped", "by_ns": -2_500_000_000_i64}));
        assert!(status == Warning && message.starts_with("stamps jumped back by 2.5 s at"), "{message}");
    }

    #[test]
    fn fault_is_a_warning_and_a_lockout_an_error() {
        let fault = |lockout| json!({"boot": "0000000100000002", "counter": 7, "kind": "ignition", "lockout": lockout});
        let (status, message, advice) = found(&with("status.device.fault", fault(false)), "device.fault");
        assert!(status == Warning && message.starts_with("the fault ignition"), "{message}");
        assert!(advice.ends_with("thermowell reset status --boiler b1"));
        assert_eq!(found(&with("status.device.fault", fault(true)), "device.fault").0, Error);
    }

    #[test]
    fn device_without_a_current_status_is_unknown() {
        for it in [with("status", Value::Null), with("status.created_at", json!(NOW_S - 20.0))] {
            assert!(check(&it, &NOW).iter().all(|finding| finding.status == Unknown));
        }
    }

    #[test]
    fn rejected_frames_above_one_in_ten_thousand_are_a_warning() {
        let text = |rejected: u64| {
            format!(
                "# HELP thermowell_serial_frames valid frames\n\
                 thermowell_serial_frames_total{{boiler=\"b1\"}} 360000\n\
                 thermowell_serial_frames_total{{boiler=\"b2\"}} 9\n\
                 thermowell_serial_rejected_total{{boiler=\"b1\",cause=\"checksum\"}} {rejected}.0\n\
                 thermowell_serial_rejected_total{{boiler=\"b1\",cause=\"cobs\"}} 0\n\
                 thermowell_serial_rejected_total{{boiler=\"b2\",cause=\"cobs\"}} 9\n"
            )
        };
        let noisy = of_metrics(&text(1_500), "b1");
        assert_eq!(
            (noisy.status, noisy.message.as_str()),
            (Warning, "1,500 of 361,500 frames were rejected since the agent began: checksum 1,500")
        );
        assert!(noisy.advice.unwrap().contains("shield"));
        assert_eq!(of_metrics(&text(36), "b1").status, Fine);
        assert_eq!(of_metrics(&text(36), "b2").status, Fine, "a port that opens in the middle of a frame");
        assert_eq!(of_metrics(&text(36), "b3").status, Unknown);
    }

    #[tokio::test]
    async fn line_without_metrics_is_unknown_or_left_out() {
        let http = |text: &str| {
            let text = format!("[http]\nfront = \"off\"\n{text}\n[[boiler]]\nid = \"b1\"\nport = \"/dev/a\"");
            Config::parse(&text, "t.toml").unwrap().http
        };
        assert_eq!(line(&http("agent = \"off\""), &["b1".to_owned()]).await[0].status, Skipped);
        // Port 9 of this machine (discard) is closed.
        let closed = line(&http("agent = \"127.0.0.1:9\""), &["b1".to_owned()]).await;
        assert!(closed[0].status == Unknown && closed[0].message.contains("127.0.0.1:9: no connection"), "{closed:?}");
    }
}
