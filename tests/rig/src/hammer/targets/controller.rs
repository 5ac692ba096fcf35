//! The controller, told states and statuses by anybody: what it asks for stays within its limits.

use std::time::Duration;

use thermowell_flow::control::{Curve, CurvePoint, Law, Schedule};
use thermowell_flow::controller::{Controller, Effect, Freshness, Input, Settings};
use thermowell_flow::published::{Lease, State, Status};
use thermowell_flow::time::{Monotonic, Now, Utc};
use thermowell_wire::batch::ClockQuality;

use super::json;
use super::script::{self, lines, story};
use crate::hammer::judge::{Complaint, Target, Trace, done, must, same};

pub(super) const TARGET: Target = Target {
    name: "controller",
    what: "states and statuses, and what the controller makes of them",
    longest: 16_384,
    seeds,
    words: json::WORDS,
    parts: Some(script::PARTS),
    judge,
    cases: include_str!("../../../fuzz-corpus/controller.txt"),
};

const STATE: u8 = 0;
const STATUS: u8 = 1;
const PASS: u8 = 2;

const FLOW_MIN: f64 = 25.0;
const FLOW_MAX: f64 = 65.0;
const LEASE_S: u16 = 60;
/// The longest that passes at once: a day.
const PASS_MAX_NS: u64 = 86_400_000_000_000;

fn settings() -> Settings {
    let curve =
        Curve { cold: CurvePoint { outdoor: -12.0, flow: 60.0 }, warm: CurvePoint { outdoor: 18.0, flow: 25.0 } };
    let law = Law {
        curve,
        schedule: Schedule { offset_s: 3_600, periods: Vec::new() },
        kp: 8.0,
        k: 0.5,
        flow_min: FLOW_MIN,
        flow_max: FLOW_MAX,
        lease_s: LEASE_S,
        renew: Duration::from_secs(15),
    };
    let boiler = json::boiler();
    Settings { boiler, instance: "cellar".to_owned(), law, freshness: Freshness::at_speed(1) }
}

fn judge(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let mut controller = Controller::new(settings());
    let mut passed_ns = 0_u64;
    for line in lines(input) {
        let effects = match line.kind {
            STATE => match serde_json::from_slice::<State>(line.bytes) {
                Ok(state) => step(&mut controller, passed_ns, Input::State(&state)),
                Err(_) => continue,
            },
            STATUS => match serde_json::from_slice::<Status>(line.bytes) {
                Ok(status) => step(&mut controller, passed_ns, Input::Status(&status)),
                Err(_) => continue,
            },
            PASS => {
                passed_ns = passed_ns.saturating_add(line.number() % PASS_MAX_NS);
                step(&mut controller, passed_ns, Input::Wake)
            }
            _ => continue,
        };
        trace.accept();
        for effect in &effects {
            judge_effect(effect, &mut trace)?;
        }
        let again = step(&mut controller, passed_ns, Input::Wake);
        same("waking it at once changes nothing", &again, &Vec::new())?;
        let wake_at = controller.wake_at();
        must(wake_at.is_none_or(|at| at.0 > passed_ns), "it does not want to be woken at once for ever")?;
    }
    Ok(trace)
}

fn step(controller: &mut Controller, passed_ns: u64, input: Input<'_>) -> Vec<Effect> {
    let mut effects = Vec::new();
    let utc = json::UTC_NS.saturating_add_unsigned(passed_ns);
    let now = Now { monotonic: Monotonic(passed_ns), utc: Utc(utc), clock: ClockQuality::Synced };
    controller.step(now, input, &mut effects);
    effects
}

fn judge_effect(effect: &Effect, trace: &mut Trace) -> Result<(), Complaint> {
    match effect {
        Effect::Lease(lease) => {
            trace.note((lease.demand, lease.lease_s));
            must((FLOW_MIN..=FLOW_MAX).contains(&lease.flow), &format!("S7 a set-point keeps its limits: {lease:?}"))?;
            must([0, LEASE_S].contains(&lease.lease_s), "a lease is as long as configured, or a release")?;
            let text = done("a lease can be printed", serde_json::to_vec(lease))?;
            let read: Lease = done("a lease can be read", serde_json::from_slice(&text))?;
            same("a lease reads back", &read, lease)
        }
        Effect::Decision(decision) => {
            trace.note((&decision.rule, decision.demand));
            let numbers = [decision.correction, decision.share, decision.target];
            let known = [decision.flow, decision.wish, decision.current, decision.asked, decision.outdoor];
            let finite = numbers.into_iter().chain(known.into_iter().flatten()).all(f64::is_finite);
            must(finite, &format!("a decision is made of numbers: {decision:?}"))
        }
        Effect::Event(body) => {
            trace.note_shape(body);
            Ok(())
        }
        Effect::Log(log) => {
            trace.note_shape(log);
            Ok(())
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let second = |seconds: u32| {
        let mut state = json::state();
        state.stamp = json::UTC + f64::from(seconds);
        state.slot.seq += u64::from(seconds) * 100;
        (STATE, json::json(&state))
    };
    let pass = |seconds: u64| (PASS, (seconds * 1_000_000_000).to_le_bytes().to_vec());
    let mut status = json::status(true);
    let cold = status.device.as_mut().expect("it is up");
    cold.outdoor = Some(-5.0);
    let (status, away) = ((STATUS, json::json(&status)), (STATUS, json::json(&json::status(false))));
    vec![
        story(&[status.clone(), second(0), pass(1), second(1), pass(1), second(2), pass(15), second(17)]),
        story(&[second(0), status.clone(), second(1), pass(6), pass(60), second(70), status.clone(), away]),
        story(&[status, second(0), pass(3_600), second(3_600)]),
    ]
}
