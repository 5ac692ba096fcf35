//! Whether a controller asks, and the boiler accepts.

use thermowell_flow::controller::SHARE_MIN;
use thermowell_flow::published::{AcceptedSetpoint, Decision, Event, EventBody, Lease};
use thermowell_wire::line::Demand;

use super::Finding;
use super::Status::{Ok as Fine, Skipped, Unknown, Warning};
use super::evidence::{Evidence, Moment};
use super::finding::of;
use crate::logs;
use crate::quantity::moment;
use crate::status::{Outside, age, heat};

/// A difference counts after this time, in real seconds: four renewals.
const DIFFERS_S: f64 = 60.0;
/// The least difference of two set-points that counts, K: the device may round.
const APART: f64 = 0.5;
const HOUR_S: f64 = 3_600.0;

pub(super) fn check(it: &Evidence, now: &Moment, gateway: &str, is_enabled: bool) -> Vec<Finding> {
    if !is_enabled {
        let off = |id| Finding::new(id, Skipped, "the controller is off: [control] enabled");
        return ["control.lease", "control.cycles", "control.delivery", "control.sources"].map(off).into();
    }
    vec![lease(it, now, gateway), cycles(it, now), delivery(it), sources(it)]
}

fn lease(it: &Evidence, now: &Moment, gateway: &str) -> Finding {
    let find = of("control.lease");
    let decided = it.decisions.iter().rev().find_map(decision);
    let Some(lease) = &it.last.lease else { return unasked(decided, it, now) };
    if !is_of(lease, gateway) {
        return find(Warning, format!("the controller {} asks, which is not this gateway's", lease.instance))
            .advise("stop one of them; the other takes over when it has missed two renewals")
            .fix(&["systemctl", "stop", "thermowell-controller"]);
    }
    let device = match it.last.device() {
        Ok(device) => device,
        Err(why) => return find(Unknown, why),
    };
    let asked = celsius(lease.demand, lease.flow);
    let accepted = device.setpoint.map_or("nothing".to_owned(), |it| celsius(it.demand, it.flow));
    if device.setpoint.is_some_and(|accepted| is_same(lease, &accepted)) {
        return find(Fine, format!("asked {asked}, accepted {accepted}"));
    }
    // What it asks for is as old as its decision.
    let since = decided.filter(|(_, decision)| asks(decision, lease)).map(|(at, _)| at);
    if since.is_none_or(|at| now.age_s(at) < DIFFERS_S) {
        return find(Fine, format!("asked {asked} a moment ago, accepted {accepted}"));
    }
    let since = since.map(moment).unwrap_or_default();
    find(Warning, format!("asked {asked} since {since}, accepted {accepted}")).advise(
        "the firmware has limits of its own: compare flow_min and flow_max in [control]; the event `answer` has its \
         reason. Without any answer, restart the agent: it hands on set-points only if control was on when it began",
    )
}

/// Nothing is asked though control is on.
fn unasked(decided: Option<(f64, &Decision)>, it: &Evidence, now: &Moment) -> Finding {
    let find = of("control.lease");
    match decided {
        Some((at, decision)) if decision.demand.is_none() && it.last.valid_state().is_some() => {
            find(Fine, format!("nothing is asked, by the rule `{}` since {}", decision.rule, moment(at)))
        }
        Some((at, decision)) if now.age_s(at) < DIFFERS_S => {
            find(Fine, format!("the rule `{}` decided a moment ago", decision.rule))
        }
        Some(_) => find(Warning, "control is on, but no controller asks".to_owned())
            .advise("start it; its log has why it waits, and the event `decision` its last rule")
            .fix(&["systemctl", "start", "thermowell-controller"]),
        None if it.tail.is_none() => find(Unknown, "nothing was published about it yet".to_owned()),
        None => find(Warning, "control is on, but no controller has ever decided".to_owned())
            .advise("start it")
            .fix(&["systemctl", "enable", "--now", "thermowell-controller"]),
    }
}

fn decision(event: &Event) -> Option<(f64, &Decision)> {
    if let EventBody::Decided(decision) = &event.body { Some((event.created_at, decision)) } else { None }
}

/// Its instance is the gateway's name, the process and its start (`crate::controller`).
fn is_of(lease: &Lease, gateway: &str) -> bool {
    lease.instance.strip_prefix(gateway).is_some_and(|rest| rest.starts_with('-') && rest.matches('-').count() == 2)
}

fn is_same(lease: &Lease, accepted: &AcceptedSetpoint) -> bool {
    match (lease.demand, accepted.demand) {
        (Demand::Heat, Demand::Heat) => (lease.flow - accepted.flow).abs() < APART,
        (Demand::None, Demand::None) => true,
        (Demand::Heat, Demand::None) | (Demand::None, Demand::Heat) => false,
    }
}

fn asks(decision: &Decision, lease: &Lease) -> bool {
    let flow = decision.flow.unwrap_or(lease.flow);
    decision.demand == Some(lease.demand) && (lease.demand == Demand::None || (flow - lease.flow).abs() < APART)
}

fn cycles(it: &Evidence, now: &Moment) -> Finding {
    let find = of("control.cycles");
    let recent = it.decisions.iter().rev().filter(|event| now.since(event.created_at) < HOUR_S);
    let mut starts = recent.filter_map(|event| {
        let EventBody::BurnerCycles { starts } = &event.body else { return None };
        Some((*starts, event.created_at))
    });
    match starts.next() {
        Some((starts, at)) => {
            find(Warning, format!("the burner started {starts} times in the hour before {}", moment(at))).advise(
                "a lower heating curve makes it run longer: `curve` in [control]; a lower least power at the boiler",
            )
        }
        None if it.decisions.is_empty() => find(Unknown, "no controller has decided yet".to_owned()),
        None => find(Fine, "no more than three starts an hour were reported".to_owned()),
    }
}

/// Whether the boiler delivers what it is asked for, by the controller's last decision.
fn delivery(it: &Evidence) -> Finding {
    let find = of("control.delivery");
    match it.decisions.iter().rev().find_map(decision) {
        None => find(Unknown, "no controller has decided yet".to_owned()),
        Some((_, Decision { deficit: None, asked: Some(_), average: Some(_), share, .. })) if *share >= SHARE_MIN => {
            find(Fine, "what is asked is delivered".to_owned())
        }
        Some((_, Decision { deficit: None, .. })) => find(
            Unknown,
            "the boiler has hardly heated by set-points of the gateway in the hour before its last decision".to_owned(),
        ),
        Some((at, Decision { deficit: Some(deficit), .. })) => {
            let less = logs::delivers_less(deficit);
            find(Warning, format!("the boiler {less}, at {}", moment(at))).advise(
                "look at the boiler's own limit of the flow temperature and at its power, for closed valves and air in \
                 the pipes; the curve may ask for more than it can give: `curve` and `flow_max` in [control]",
            )
        }
    }
}

/// Whether the sources of room and outdoor temperature are heard, if they are not the device.
fn sources(it: &Evidence) -> Finding {
    let find = of("control.sources");
    let known = |outside: &Outside| {
        let (value, age_s) = (outside.value?, outside.age_s?);
        Some(format!("{} {value:.1} °C of {}, {} old", outside.what, outside.source, age(age_s)))
    };
    let outside = &it.last.outside;
    if outside.is_empty() {
        return find(Skipped, "the device's own sensors count".to_owned());
    }
    let silent: Vec<&Outside> = outside.iter().filter(|outside| outside.value.is_none()).collect();
    if silent.is_empty() {
        return find(Fine, outside.iter().filter_map(known).collect::<Vec<_>>().join("; "));
    }
    let unknown = |outside: &&Outside| {
        format!("the {} temperature is unknown: {}", outside.what, outside.why.as_deref().unwrap_or_default())
    };

    let Outside { what, source, .. } = silent[0];
    find(Warning, silent.iter().map(unknown).collect::<Vec<_>>().join("; ")).advise(format!(
        "it is published to boiler.{}.{what}.{source} with source-{source}.nk; if it is read from MQTT, look at \
         its topic and at the front's log. Without a room temperature the law has no room term; without an outdoor \
         one it uses the mean of the day before, then the boiler is on its own control",
        it.last.boiler
    ))
}

/// With its unit.
fn celsius(demand: Demand, flow: f64) -> String {
    let unit = if demand == Demand::Heat { " °C" } else { "" };
    format!("{}{unit}", heat(demand, flow))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use thermowell_flow::published::Deficit;

    use super::super::Status;
    use super::super::evidence::testing::{NOW, event, evidence};
    use super::*;

    fn found(it: &Evidence) -> [(Status, String, String); 4] {
        let found = check(it, &NOW, "cellar", true);
        [0, 1, 2, 3].map(|at| {
            let finding = found[at].clone();
            let what = [finding.advice.unwrap_or_default(), finding.fix.unwrap_or_default().join(" ")].join(" $ ");
            (finding.status, finding.message, what)
        })
    }

    #[test]
    fn control_in_good_order_has_no_finding() {
        let [lease, cycles, delivery, sources] = found(&evidence(&[]));
        assert_eq!(sources.0, Skipped, "the device's own sensors");
        assert_eq!((lease.0, lease.1.as_str(), cycles.0), (Fine, "asked 52.5 °C, accepted 52.5 °C", Fine));
        assert_eq!(delivery.0, Fine);
        assert!(check(&evidence(&[]), &NOW, "cellar", false).iter().all(|finding| finding.status == Skipped));
    }

    #[test]
    fn set_point_that_is_not_accepted_is_a_warning_after_a_minute() {
        for (path, value, accepted) in [
            ("status.device.setpoint", Value::Null, "nothing"),
            ("status.device.setpoint.flow", json!(48.0), "48.0 °C"),
            ("status.device.setpoint.demand", json!("none"), "no heat"),
        ] {
            let mut it = evidence(&[(path, value)]);
            let [(status, message, advice), ..] = found(&it);
            assert_eq!(status, Warning);
            assert_eq!(message, format!("asked 52.5 °C since 2026-01-07T11:50:00Z, accepted {accepted}"));
            assert!(advice.contains("flow_max"));
            it.decisions[0].created_at = NOW.now_s - 20.0;
            assert_eq!(found(&it)[0].0, Fine, "it was asked a moment ago");
        }
    }

    #[test]
    fn second_controller_and_none_are_warnings() {
        let [(status, message, advice), ..] = found(&evidence(&[("lease.instance", json!("attic-9-2a"))]));
        assert!(status == Warning && message.starts_with("the controller attic-9-2a asks"), "{message}");
        assert!(advice.contains("systemctl stop thermowell-controller"));
        assert_eq!(found(&evidence(&[("lease.instance", json!("cellar-2-9-2a"))]))[0].0, Warning);

        let [(status, message, advice), ..] = found(&evidence(&[("lease", Value::Null)]));
        assert_eq!((status, message.as_str()), (Warning, "control is on, but no controller asks"));
        assert!(advice.contains("systemctl start thermowell-controller"));
        let mut waits = evidence(&[("lease", Value::Null)]);
        let EventBody::Decided(decision) = &mut waits.decisions[0].body else { panic!() };
        (decision.demand, decision.rule) = (None, "warming".to_owned());
        assert!(found(&waits)[0].1.starts_with("nothing is asked, by the rule `warming` since"));
        let never = Evidence { decisions: Vec::new(), ..evidence(&[("lease", Value::Null)]) };
        assert!(found(&never)[0].1.ends_with("no controller has ever decided"));
    }

    #[test]
    fn silent_source_is_a_warning_that_names_it() {
        let room = |value: Option<f64>, why: Option<&str>| Outside {
            what: "room",
            source: "hall".parse().unwrap(),
            value,
            age_s: value.map(|_| 90.0),
            why: why.map(str::to_owned),
        };
        let mut it = evidence(&[]);
        it.last.outside = vec![room(Some(20.5), None)];
        assert_eq!(found(&it)[3].1, "room 20.5 °C of hall, 1 min 30 s old");
        it.last.outside = vec![room(None, Some("no reading of hall"))];
        let [.., (status, message, advice)] = found(&it);
        assert_eq!((status, message.as_str()), (Warning, "the room temperature is unknown: no reading of hall"));
        assert!(advice.contains("boiler.b1.room.hall") && advice.contains("source-hall.nk"), "{advice}");
    }

    #[test]
    fn boiler_that_delivers_less_is_a_warning() {
        let mut it = evidence(&[]);
        assert_eq!(found(&it)[2].0, Fine);
        let EventBody::Decided(decision) = &mut it.decisions[0].body else { panic!() };
        decision.deficit = Some(Deficit { kelvin: 6.04, share: 0.9, hours: 3.0 });
        let [_, _, (status, message, advice), _] = found(&it);
        assert_eq!(status, Warning);
        assert!(
            message.starts_with("the boiler delivers 6.0 K less than asked for 3.0 h, heating for 90 %"),
            "{message}"
        );
        assert!(advice.contains("flow_max"));
    }

    #[test]
    fn burner_that_cycles_is_a_warning_for_an_hour() {
        let mut it = evidence(&[]);
        it.decisions.push(event(1_200.0, json!({"name": "BurnerCycles", "starts": 5})));
        let [_, (status, message, advice), ..] = found(&it);
        assert_eq!(
            (status, message.as_str()),
            (Warning, "the burner started 5 times in the hour before 2026-01-07T11:40:00Z")
        );
        assert!(advice.contains("curve"));
        it.decisions[1].created_at -= 3_600.0;
        assert_eq!(found(&it)[1].0, Fine);
    }
}
