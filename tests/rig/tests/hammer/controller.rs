//! The controller with any states and statuses: its set-points stay within their limits.

use std::time::Duration;

use proptest::prelude::*;
use thermowell_flow::control::{Curve, CurvePoint, Emitter, Law, Plan};
use thermowell_flow::controller::{Controller, Effect, Freshness, Input, Settings};
use thermowell_flow::published::{AmbientReading, Lease, State, Status};
use thermowell_flow::time::{Monotonic, Now, Utc};
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::subject::Ambient;

use super::inputs::{Grammar, number};
use super::json;
use super::run::Target;
use super::script::{self, line, lines};

pub(crate) const TARGET: Target = Target { grammar, judge, cases: &[] };

const STATE: u8 = 0;
const STATUS: u8 = 1;
const PASS: u8 = 2;
const ROOM: u8 = 3;

const FLOW_MIN: f64 = 25.0;
const FLOW_MAX: f64 = 65.0;
const LEASE_S: u16 = 60;
/// The longest time that passes at once: a day.
const PASS_MAX_NS: u64 = 86_400_000_000_000;

fn settings() -> Settings {
    let curve =
        Curve { cold: CurvePoint { outdoor: -12.0, flow: 60.0 }, warm: CurvePoint { outdoor: 18.0, flow: 25.0 } };
    let law = Law {
        emitter: Emitter::Radiators,
        curve,
        plan: Plan::constant(20.0),
        kp: 8.0,
        ki: 1.0,
        k: 0.5,
        heating_limit: 15.0,
        flow_min: FLOW_MIN,
        flow_max: FLOW_MAX,
        lease_s: LEASE_S,
        renew: Duration::from_secs(15),
    };
    let boiler = json::boiler();
    let sources = vec![(Ambient::Room, "hall".parse().expect("a name"))];
    Settings { boiler, instance: "cellar".to_owned(), law, freshness: Freshness::at_speed(1), sources }
}

fn judge(input: &[u8]) -> bool {
    let mut controller = Controller::new(settings());
    let (mut passed_ns, mut accepted) = (0_u64, false);
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
            ROOM => match serde_json::from_slice::<AmbientReading>(line.bytes) {
                Ok(reading) => {
                    let input = Input::Ambient { what: Ambient::Room, reading: &reading, is_new: true };
                    step(&mut controller, passed_ns, input)
                }
                Err(_) => continue,
            },
            PASS => {
                passed_ns = passed_ns.saturating_add(line.number() % PASS_MAX_NS);
                step(&mut controller, passed_ns, Input::Wake)
            }
            _ => continue,
        };
        accepted = true;
        effects.iter().for_each(judge_effect);
        assert_eq!(step(&mut controller, passed_ns, Input::Wake), [], "another wake-up changes nothing");
        assert!(controller.wake_at().is_none_or(|at| at.0 > passed_ns), "it wants to be woken at once");
    }
    accepted
}

fn step(controller: &mut Controller, passed_ns: u64, input: Input<'_>) -> Vec<Effect> {
    let mut effects = Vec::new();
    let utc = json::UTC_NS.saturating_add_unsigned(passed_ns);
    let now = Now { monotonic: Monotonic(passed_ns), utc: Utc(utc), clock: ClockQuality::Synced };
    controller.step(now, input, &mut effects);
    effects
}

fn judge_effect(effect: &Effect) {
    match effect {
        Effect::Lease(lease) => {
            assert!((FLOW_MIN..=FLOW_MAX).contains(&lease.flow), "S7 a set-point keeps its limits: {lease:?}");
            assert!([0, LEASE_S].contains(&lease.lease_s), "a lease is as long as configured, or a release");
            assert_eq!(&serde_json::from_slice::<Lease>(&json::json(lease)).expect("it reads back"), &**lease);
        }
        Effect::Decision(decision) => {
            let numbers = [decision.correction, decision.share, decision.target];
            let known =
                [decision.flow, decision.wish, decision.current, decision.asked, decision.room, decision.outdoor];
            let finite = numbers.into_iter().chain(known.into_iter().flatten()).all(f64::is_finite);
            assert!(finite, "a decision has finite numbers: {decision:?}");
            assert!((0.0..=1.0).contains(&decision.share), "share is within 0..=1: {decision:?}");
            assert!((-5.0..=5.0).contains(&decision.correction), "the correction keeps its limit: {decision:?}");
        }
        Effect::Event(..) | Effect::Log(_) => {}
    }
}

fn grammar() -> Grammar {
    let second = |seconds: u32| {
        let mut state = json::state();
        state.stamp = json::UTC + f64::from(seconds);
        state.slot.seq += u64::from(seconds) * 100;
        line(STATE, json::json(&state))
    };
    let room = |seconds: u32| {
        let mut reading = json::ambient(19.0);
        reading.stamp = json::UTC + f64::from(seconds);
        line(ROOM, json::json(&reading))
    };
    let pass = |seconds: u64| script::number(PASS, seconds * 1_000_000_000);
    let mut status = json::status(true);
    let device = status.device.as_mut().expect("it is up");
    // Cold enough that heat is requested, and the law's correction differs from 0.
    (device.outdoor, device.room) = (Some(-5.0), Some(19.0));
    let (status, away) = (line(STATUS, json::json(&status)), line(STATUS, json::json(&json::status(false))));
    let seeds = vec![
        vec![status.clone(), second(0), pass(1), second(1), pass(1), second(2), pass(15), second(17)],
        vec![second(0), status.clone(), second(1), pass(6), pass(60), second(70), status.clone(), away],
        vec![room(0), room(60), room(120), room(180), room(240), status.clone(), second(0), room(300), pass(60)],
        vec![status, second(0), pass(3_600), second(3_600)],
    ];
    Grammar::new(seeds, script::close)
        .with_parts(number().prop_map(|ns| script::number(PASS, ns)))
        .with_words(json::WORDS)
}
