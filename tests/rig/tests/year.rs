//! A year of control in a deterministic house: both changes of the clock, absences, sensors that fail, a boiler that
//! does not obey, and a controller that restarts every few days. Every decision is explained by what it publishes.
//!
//! Calendar and controller are the product's. Time passes in minutes, which the limits of freshness at speed 12 allow.

#![expect(clippy::unwrap_used, reason = "a panic fails the test with its place")]

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use thermowell::calendar;
use thermowell::config::{Config, Law};
use thermowell_flow::controller::{Controller, Effect, Freshness, Input, PastDecision, Settings};
use thermowell_flow::published::{AcceptedSetpoint, Decision, Lease, State, Status};
use thermowell_flow::time::{Monotonic, Now, SECOND_NS, Utc};
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::{BoilerState, Demand};

/// 2026-01-01 00:00 UTC, a Thursday.
const START_S: i64 = 1_767_225_600;
const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;
const DAYS: i64 = 365;
/// The changes of Berlin's clock: 29 March and 25 October, 01:00 UTC.
const SUMMER_TIME: Range<i64> = 87 * DAY_S + HOUR_S..297 * DAY_S + HOUR_S;
const LEASE_S: u16 = 600;

const CONTROL: &str = r#"
[control]
enabled = true
emitter = "radiators"
timezone = "Europe/Berlin"
target = [
    { on = "mon-fri", from = "06:00", room = "21 °C" },
    { on = "sat, sun", from = "08:00", room = "20 °C" },
    { from = "22:00", room = "17 °C" },
]
holidays = ["2026-12-25"]
absence = [
    { from = "2026-02-13T10:00", until = "2026-02-20T18:00", room = "15 °C" },
    { from = "2026-10-24T10:00", until = "2026-10-26T06:00", room = "16 °C" },
]
[[boiler]]
id = "b1"
port = "/dev/b1"
"#;

/// From one day of the year on, for some hours.
const fn hours(day: i64, hour: i64, hours: i64) -> Range<i64> {
    let from = day * DAY_S + hour * HOUR_S;
    from..from + hours * HOUR_S
}

/// What goes wrong, in seconds of the year.
const ROOM_HANGS: Range<i64> = hours(19, 12, 60);
const ROOM_SILENT: Range<i64> = hours(32, 0, 24);
const ROOM_IMPOSSIBLE: Range<i64> = hours(68, 0, 12);
const OUTDOOR_SILENT: [Range<i64>; 2] = [hours(35, 0, 48), hours(190, 0, 24 * 40)];
const FLOW_OPEN: Range<i64> = hours(92, 9, 2);
const DISOBEYS: Range<i64> = hours(105, 8, 6);
const LOCKED_OUT: Range<i64> = hours(314, 0, 12);
const NO_MESSAGES: Range<i64> = hours(338, 7, 2);
/// The gateway's clock is two hours slow.
const CLOCK_SLOW: Range<i64> = hours(323, 5, 1);
/// No heat is wanted in these days, and the boiler gets none.
const HIGH_SUMMER: Range<i64> = hours(175, 0, 24 * 55);

/// A house of one node with radiators, and its boiler.
struct House {
    room: f64,
    flow: f64,
    /// The flow of each of the last 60 minutes, while it heated.
    hour: VecDeque<Option<f64>>,
}

impl House {
    /// A day of 8 K swing in a year of 20 K, with weather of its own on each day, °C.
    fn outdoor(second: i64) -> f64 {
        let day = second as f64 / DAY_S as f64;
        let weather = 4.0 * (day.floor() * 2.39).sin() + 2.0 * (day.floor() * 0.71).sin();
        let turn = |period: f64, peak: f64| ((day - peak) / period * std::f64::consts::TAU).cos();
        9.0 + 10.0 * turn(365.0, 201.0) + 4.0 * turn(1.0, 0.6) + weather
    }

    /// Heats for a minute with a flow set-point, or not.
    fn minute(&mut self, second: i64, setpoint: Option<f64>) {
        const CAPACITY_J: f64 = 18e6;
        const LOSS_W: f64 = 150.0;
        const RADIATORS_W: f64 = 190.0;
        const GAINS_W: f64 = 350.0;
        self.flow += (setpoint.unwrap_or(self.room) - self.flow) * 0.2;
        let heat = RADIATORS_W * (self.flow - self.room).max(0.0);
        self.room += (heat + GAINS_W - LOSS_W * (self.room - Self::outdoor(second))) * 60.0 / CAPACITY_J;
        self.hour.push_back(setpoint.map(|_| self.flow));
        if self.hour.len() > 60 {
            self.hour.pop_front();
        }
    }

    fn average(&self) -> Option<f64> {
        let heated: Vec<f64> = self.hour.iter().flatten().copied().collect();
        (!heated.is_empty()).then(|| heated.iter().sum::<f64>() / heated.len() as f64)
    }
}

/// The target of a local time, by rules of its own.
fn target(second: i64) -> f64 {
    let local = second + if SUMMER_TIME.contains(&second) { 2 * HOUR_S } else { HOUR_S };
    let (day, of_day) = (local.div_euclid(DAY_S), local.rem_euclid(DAY_S));
    // The first day is a Thursday; 25 December is a holiday.
    let is_weekend = matches!((day + 3) % 7, 5 | 6) || day == 358;
    let (from, room) = if is_weekend { (8, 20.0) } else { (6, 21.0) };
    let planned = if (from * HOUR_S..22 * HOUR_S).contains(&of_day) { room } else { 17.0 };
    let away = [
        (43 * DAY_S + 10 * HOUR_S..50 * DAY_S + 18 * HOUR_S, 15.0),
        (296 * DAY_S + 10 * HOUR_S..298 * DAY_S + 6 * HOUR_S, 16.0),
    ];
    away.iter().filter(|(away, _)| away.contains(&local)).fold(planned, |target, (_, room)| target.min(*room))
}

struct Year {
    law: Law,
    settings: Settings,
    controller: Controller,
    planned: Option<jiff::civil::Date>,
    house: House,
    state: State,
    status: Status,
    lease: Option<(Lease, i64)>,
    past: Vec<PastDecision>,
    effects: Vec<Effect>,
    /// Decisions by rule.
    rules: std::collections::BTreeMap<String, u32>,
    restarted: i64,
}

impl Year {
    fn new() -> Self {
        let law = Config::parse(CONTROL, "year").unwrap().control.law;
        let settings = Settings {
            boiler: "b1".parse().unwrap(),
            instance: "year".to_owned(),
            law: thermowell_flow::control::Law { lease_s: LEASE_S, renew: Duration::from_secs(150), ..law.to_flow() },
            freshness: Freshness::at_speed(12),
            sources: Vec::new(),
        };
        let slot = json!({"boot": "0000000100000001", "seq": 0});
        let state = json!({
            "boiler": "b1", "instance": "year", "stamp": 0.0, "slot": slot, "current": null, "quality": "ok",
            "heating": false, "average": null, "average_points": 0, "average_heating": null, "heating_share": 0.0,
            "coverage": 1.0, "minimum": null, "maximum": null, "provisional": {"hour": "2026-01-01T00:00:00Z",
            "temperature": null, "points": 0, "coverage": 0.0}, "last_hour": null, "clock": "synced",
            "simulated": true, "version": 1
        });
        let status = json!({
            "boiler": "b1", "created_at": 0.0, "link": "up", "device": {
                "boot": "0000000100000001", "serial_number": "year", "firmware": "year", "state": "standby",
                "flame": false, "pump": false, "hot_water": false, "modulation": 0, "return_temperature": null,
                "room": null, "outdoor": null, "pressure_mbar": 1500, "own_flow": 40.0, "setpoint": null, "fault": null,
                "burner_starts": 0
            }, "newest": null, "backlog": 0, "simulated": true, "version": 1
        });
        Self {
            controller: Controller::new(settings.clone()),
            law,
            settings,
            planned: None,
            house: House { room: 18.37, flow: 30.0, hour: VecDeque::new() },
            state: serde_json::from_value(state).unwrap(),
            status: serde_json::from_value(status).unwrap(),
            lease: None,
            past: Vec::new(),
            effects: Vec::new(),
            rules: std::collections::BTreeMap::new(),
            restarted: 0,
        }
    }

    fn now(second: i64) -> Now {
        let wrong = if CLOCK_SLOW.contains(&second) { 2 * HOUR_S } else { 0 };
        let utc = Utc((START_S + second - wrong) * SECOND_NS);
        Now { monotonic: Monotonic(u64::try_from(second * SECOND_NS).unwrap()), utc, clock: ClockQuality::Synced }
    }

    fn step(&mut self, second: i64, input: Input<'_>) {
        let now = Self::now(second);
        if let Some(plan) = calendar::renew(&self.law, &mut self.planned, now.utc) {
            self.settings.law.plan.clone_from(&plan);
            self.controller.step(now, Input::Plan(&plan), &mut self.effects);
        }
        self.controller.step(now, input, &mut self.effects);
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Lease(lease) => {
                    assert!((25.0..=75.0).contains(&lease.flow) && lease.lease_s <= LEASE_S, "{lease:?}");
                    self.lease = Some((*lease.clone(), second + i64::from(lease.lease_s)));
                }
                Effect::Decision(decision) => {
                    self.explain(second, &decision);
                    *self.rules.entry(decision.rule.clone()).or_default() += 1;
                    self.past.push(PastDecision { at: now.utc.unix_seconds(), decision: *decision });
                }
                Effect::Event(..) | Effect::Log(_) => {}
            }
        }
    }

    fn minute(&mut self, second: i64) {
        if second % (9 * DAY_S + 7 * HOUR_S) == 0 && second > 0 {
            self.controller = Controller::new(self.settings.clone());
            self.restarted = second;
            let past: Vec<_> = self.past.split_off(self.past.len().saturating_sub(40));
            self.step(second, Input::Past(&past));
        }
        let held = self.lease.take_if(|(_, end)| *end > second && !DISOBEYS.contains(&second));
        self.lease.clone_from(&held);
        let heats = held.as_ref().filter(|(lease, _)| lease.demand == Demand::Heat && !LOCKED_OUT.contains(&second));
        let setpoint = heats.map(|(lease, _)| lease.flow);
        assert!(!HIGH_SUMMER.contains(&second) || setpoint.is_none(), "heat in July");
        self.house.minute(second, setpoint);
        if NO_MESSAGES.contains(&second) {
            return;
        }
        let device = self.status.device.as_mut().unwrap();
        let room = (self.house.room * 100.0).round() / 100.0;
        device.room = match second {
            _ if ROOM_HANGS.contains(&second) => device.room,
            _ if ROOM_SILENT.contains(&second) => None,
            _ if ROOM_IMPOSSIBLE.contains(&second) => Some(85.0),
            _ => Some(room),
        };
        let is_silent = OUTDOOR_SILENT.iter().any(|silent| silent.contains(&second));
        device.outdoor = (!is_silent).then(|| House::outdoor(second));
        device.state = if LOCKED_OUT.contains(&second) { BoilerState::Lockout } else { BoilerState::Firing };
        device.setpoint = held.map(|(lease, end)| AcceptedSetpoint {
            n: 1,
            demand: lease.demand,
            flow: lease.flow,
            lease_left_s: (end - second) as f64,
        });
        self.status.created_at = Self::now(second).utc.unix_seconds();
        let status = self.status.clone();
        self.step(second, Input::Status(&status));
        let open = FLOW_OPEN.contains(&second);
        let state = &mut self.state;
        state.stamp = Self::now(second).utc.unix_seconds();
        state.slot.seq += 6_000;
        state.current = (!open).then_some(self.house.flow);
        state.quality = serde_json::from_value(json!(if open { "open" } else { "ok" })).unwrap();
        state.heating = setpoint.is_some();
        state.average_heating = self.house.average();
        state.average = state.average_heating;
        state.heating_share = self.house.hour.iter().flatten().count() as f64 / 60.0;
        let state = state.clone();
        self.step(second, Input::State(&state));
    }

    /// What is published must be enough to follow a decision.
    fn explain(&self, second: i64, it: &Decision) {
        let what = format!("day {} {:02}:{:02}: {it:?}", second / DAY_S, second / HOUR_S % 24, second / MINUTE_S % 60);
        let is_near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        let planned = target((Self::now(second).utc.0 / SECOND_NS) - START_S);
        match it.forecast.filter(|_| it.rule == "preheat") {
            Some(forecast) => {
                assert!(is_near(it.target, forecast.target) && it.target > planned, "{what}");
                assert!(forecast.heats_from <= Self::now(second).utc.unix_seconds(), "{what}");
                // A night of 4 K takes 5 h, an absence longer. After a fault, which leaves this house cold, it may too.
                let most_h = if forecast.target - planned > 4.5 { 10.0 } else { 5.5 };
                let is_cold = OUTDOOR_SILENT.iter().any(|fault| (fault.start..fault.end + DAY_S).contains(&second));
                let lead_h = (forecast.at - forecast.heats_from) / 3_600.0;
                assert!(lead_h <= most_h || is_cold, "too early: {what}");
            }
            // A forecast that has begun is the target of every other rule, too.
            None => {
                let early = it.forecast.is_some_and(|forecast| is_near(it.target, forecast.target));
                assert!(is_near(it.target, planned) || early, "planned are {planned} °C; {what}");
            }
        }
        match it.rule.as_str() {
            "law" | "warming" | "preheat" => Self::explain_law(it, second - self.restarted, &what),
            "heating_limit" => {
                assert_eq!((it.demand, it.flow, it.heating_season), (Some(Demand::None), None, Some(false)), "{what}");
                assert!(it.outdoor_day.map_or(it.outdoor.is_none(), |day| day >= 13.0), "{what}");
            }
            "no_heat_wanted" => {
                assert_eq!((it.demand, it.flow), (Some(Demand::None), None), "{what}");
                let room = it.room.unwrap();
                assert!(room >= it.target + 0.4 || it.wish.unwrap() <= (room + 6.0).max(25.0), "{what}");
            }
            "no_outdoor" => {
                assert!(it.outdoor.is_none() && it.demand.is_none(), "{what}");
                let is_cold = it.room.is_some_and(|room| room <= it.target - 1.0);
                assert!(!HIGH_SUMMER.contains(&second) || is_cold, "own control would heat: {what}");
            }
            "sensor" => assert!(FLOW_OPEN.contains(&second), "{what}"),
            "lockout" => assert!(LOCKED_OUT.contains(&second), "{what}"),
            "refused" => assert!((DISOBEYS.start..DISOBEYS.end + HOUR_S).contains(&second), "{what}"),
            "waiting" => assert!(second - self.restarted <= MINUTE_S, "{what}"),
            "coasting" | "fault" => {
                let wide = |range: &Range<i64>| (range.start..range.end + 3 * HOUR_S).contains(&second);
                assert!(wide(&NO_MESSAGES) || wide(&CLOCK_SLOW), "{what}");
            }
            _ => panic!("a rule without an explanation: {what}"),
        }
    }

    /// T* and set-point from what is published, with the numbers of the handbook.
    fn explain_law(it: &Decision, since_restart: i64, what: &str) {
        let outdoor = it.outdoor.unwrap();
        let curve = 55.0 + ((outdoor + 10.0) / 25.0).clamp(0.0, 1.0) * (30.0 - 55.0);
        // Before the first change of its reading, a sensor may have steps of 0.5 K: half of the gain.
        let gains: &[f64] = if since_restart < HOUR_S { &[20.0, 10.0] } else { &[20.0] };
        let wishes = gains.iter().map(|kp| {
            let room = it.room.map_or(0.0, |room| (kp * (it.target - room)).clamp(-10.0, 15.0) + it.integral);
            (curve + room).clamp(25.0, 75.0)
        });
        let wish = it.wish.unwrap();
        assert!(wishes.into_iter().any(|expected| (wish - expected).abs() < 0.05), "T* {what}");
        let late = it.asked.zip(it.average).map_or(0.0, |(asked, average)| asked - average);
        let most = it.share * (0.5 * (late - 2.0)).clamp(0.0, 5.0);
        assert!(it.correction.abs() < 1e-9 || (it.correction - most).abs() < 1e-6, "u {what}");
        assert!(it.flow.is_some_and(|flow| (25.0..=75.0).contains(&flow)), "S {what}");
    }
}

#[test]
fn year_of_decisions_is_explained() {
    let mut year = Year::new();
    let mut mornings = Vec::new();
    for minute in 1..DAYS * DAY_S / MINUTE_S {
        let second = minute * MINUTE_S;
        year.minute(second);
        let (before, now) = (target(second - MINUTE_S), target(second));
        if now > before {
            mornings.push((second, now - year.house.room));
        }
    }
    let rules: Vec<&str> = year.rules.keys().map(String::as_str).collect();
    let all = [
        "coasting",
        "fault",
        "heating_limit",
        "law",
        "lockout",
        "no_heat_wanted",
        "no_outdoor",
        "preheat",
        "refused",
        "sensor",
        "waiting",
        "warming",
    ];
    assert_eq!(rules, all, "every rule without an operator occurs: {:?}", year.rules);
    // The rooms are warm in the mornings of the heating season. The warm-up is not known in the first days, nor does
    // this house have a control of its own for a boiler without a lease.
    let faults = [ROOM_HANGS, ROOM_SILENT, FLOW_OPEN, DISOBEYS, LOCKED_OUT, NO_MESSAGES, CLOCK_SLOW];
    let is_spoilt = |second: i64| {
        faults.iter().chain(&OUTDOOR_SILENT).any(|fault| (fault.start..fault.end + 12 * HOUR_S).contains(&second))
    };
    mornings.retain(|(second, _)| {
        !is_spoilt(*second) && [4..120, 285..365].iter().any(|it| it.contains(&(second / DAY_S)))
    });
    let cold: Vec<_> =
        mornings.iter().filter(|(_, short)| *short > 0.6).map(|(at, short)| (at / DAY_S, short)).collect();
    assert!(mornings.len() > 150, "{}", mornings.len());
    assert!(cold.is_empty(), "day and K: {cold:?}");
}
