use alloc::string::ToString;
use alloc::vec;

use thermowell_wire::Boot;
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::BoilerState;

use super::*;
use crate::control::{Curve, CurvePoint, Schedule};
use crate::published::{AcceptedSetpoint, DeviceStatus, Link, Provisional};
use crate::time::{SECOND_NS, Utc};

mod boiler;
mod orders;
mod restart;

const START_S: i64 = 1_767_754_800;

/// A controller, a boiler that obeys it, the world's time and what it has said.
struct Bench {
    controller: Controller,
    /// Somebody keeps the boiler from obeying.
    deaf: bool,
    /// When what it obeys ends.
    obeys_until_s: i64,
    at_s: i64,
    effects: Vec<Effect>,
    state: State,
    status: Status,
}

impl Bench {
    fn new() -> Self {
        let boiler: BoilerId = "b1".parse().unwrap();
        let curve =
            Curve { cold: CurvePoint { outdoor: -12.0, flow: 60.0 }, warm: CurvePoint { outdoor: 18.0, flow: 25.0 } };
        let law = Law {
            curve,
            schedule: Schedule { offset_s: 0, periods: vec![] },
            kp: 8.0,
            k: 0.5,
            flow_min: 25.0,
            flow_max: 65.0,
            lease_s: 60,
            renew: Duration::from_secs(15),
        };
        let settings =
            Settings { boiler: boiler.clone(), instance: "c1".to_string(), law, freshness: Freshness::at_speed(1) };
        Self {
            controller: Controller::new(settings),
            deaf: false,
            obeys_until_s: 0,
            at_s: 0,
            effects: vec![],
            state: state(&boiler),
            status: status(boiler),
        }
    }

    fn now(&self) -> Now {
        let utc = Utc((START_S + self.at_s) * SECOND_NS);
        let monotonic = Monotonic(u64::try_from(self.at_s * SECOND_NS).unwrap() + 5);
        Now { monotonic, utc, clock: ClockQuality::Synced }
    }

    fn wake(&mut self) -> Vec<Effect> {
        self.controller.step(self.now(), Input::Wake, &mut self.effects);
        core::mem::take(&mut self.effects)
    }

    /// One second with a fresh state and status; what was said comes out.
    fn second(&mut self) -> Vec<Effect> {
        self.at_s += 1;
        self.state.stamp = (Utc((START_S + self.at_s) * SECOND_NS)).unix_seconds();
        self.state.slot.seq += 100;
        self.obey();
        self.tell(Input::Status(&self.status.clone()));
        self.tell(Input::State(&self.state.clone()));
        core::mem::take(&mut self.effects)
    }

    fn tell(&mut self, input: Input<'_>) {
        self.controller.step(self.now(), input, &mut self.effects);
        for lease in leases(&self.effects) {
            self.obeys_until_s = self.at_s + i64::from(lease.lease_s);
            let Some(device) = &mut self.status.device else { continue };
            let lease_left_s = f64::from(lease.lease_s);
            device.setpoint = Some(AcceptedSetpoint { n: 1, demand: lease.demand, flow: lease.flow, lease_left_s });
        }
        self.obey();
    }

    fn obey(&mut self) {
        let Some(device) = &mut self.status.device else { return };
        if self.deaf || self.at_s >= self.obeys_until_s {
            device.setpoint = None;
        }
    }

    fn device(&mut self) -> &mut DeviceStatus {
        self.status.device.as_mut().unwrap()
    }

    fn seconds(&mut self, seconds: u32) -> Vec<Effect> {
        (0..seconds).flat_map(|_| self.second()).collect()
    }

    /// Time passes and nothing arrives; it is woken when it wants to be.
    fn silence(&mut self, seconds: i64) -> Vec<Effect> {
        let mut said = vec![];
        for _ in 0..seconds {
            self.at_s += 1;
            if self.controller.wake_at().is_some_and(|at| at <= self.now().monotonic) {
                said.extend(self.wake());
            }
        }
        said
    }
}

fn state(boiler: &BoilerId) -> State {
    State {
        boiler: boiler.clone(),
        instance: "a1".to_string(),
        stamp: 0.0,
        slot: Slot::new(Boot::new(1, 1), 0),
        current: Some(40.0),
        quality: SlotQuality::Ok,
        heating: true,
        average: Some(40.0),
        average_points: 100,
        average_heating: Some(40.0),
        heating_share: 0.0,
        coverage: 0.1,
        minimum: Some(39.0),
        maximum: Some(41.0),
        provisional: Provisional { hour: "2026-01-07T03:00:00Z".to_string(), temperature: None, points: 0 },
        last_hour: None,
        clock: ClockQuality::Synced,
        simulated: true,
        version: 1,
    }
}

fn status(boiler: BoilerId) -> Status {
    Status {
        boiler,
        created_at: 0.0,
        link: Link::Up,
        device: Some(DeviceStatus {
            boot: Boot::new(1, 1),
            serial_number: "s".to_string(),
            firmware: "f".to_string(),
            state: BoilerState::Firing,
            flame: true,
            pump: true,
            hot_water: false,
            modulation: 50,
            return_temperature: None,
            room: Some(20.0),
            outdoor: Some(3.0),
            pressure_mbar: Some(1_500),
            own_flow: 55.0,
            setpoint: None,
            fault: None,
            burner_starts: 1,
        }),
        newest: None,
        backlog: 0,
        simulated: true,
        version: 1,
    }
}

fn leases(said: &[Effect]) -> Vec<&Lease> {
    let mut leases = vec![];
    for effect in said {
        if let Effect::Lease(lease) = effect {
            leases.push(&**lease);
        }
    }
    leases
}

fn rules(said: &[Effect]) -> Vec<&str> {
    let mut rules = vec![];
    for effect in said {
        if let Effect::Decision(decision) = effect {
            rules.push(decision.rule.as_str());
        }
    }
    rules
}

#[test]
fn it_asks_at_once_and_renews_every_15_seconds() {
    let mut bench = Bench::new();
    let said = bench.second();
    assert_eq!(rules(&said), ["waiting", "law"]);
    let lease = leases(&said)[0];
    assert_eq!((lease.demand, lease.lease_s, lease.based_on.seq), (Demand::Heat, 60, 100));
    assert!((lease.flow - 42.5).abs() < 1e-9);
    let said = bench.seconds(60);
    assert_eq!(leases(&said).len(), 4);
    assert!(rules(&said).is_empty(), "a renewal is no decision");
}

#[test]
fn it_wakes_itself_to_renew() {
    let mut bench = Bench::new();
    bench.second();
    let wake_at = bench.controller.wake_at().unwrap();
    assert!(wake_at > bench.now().monotonic && wake_at <= bench.now().monotonic.after(Duration::from_secs(15)));
}

#[test]
fn coasting_lets_the_lease_run_out_and_a_fault_releases_once() {
    let mut bench = Bench::new();
    bench.seconds(31);
    let said = bench.silence(58);
    assert_eq!(leases(&said).len(), 0);
    assert_eq!(rules(&said), ["coasting"]);
    let mut bench = Bench::new();
    bench.controller.settings.law.lease_s = 120;
    bench.seconds(31);
    let said = bench.silence(200);
    assert_eq!(leases(&said).iter().map(|lease| lease.lease_s).collect::<Vec<_>>(), [0]);
    assert_eq!(rules(&said), ["coasting", "fault"]);
    assert_eq!(rules(&bench.second()), ["law"], "it comes back on fresh data");
}

#[test]
fn a_state_whose_stamp_stands_still_grows_old() {
    let mut bench = Bench::new();
    bench.seconds(10);
    // A clock that went back: the stamp lies ahead of now, and does not move.
    bench.state.stamp += 10_000.0;
    bench.controller.step(bench.now(), Input::State(&bench.state), &mut bench.effects);
    let said: Vec<Effect> = (0..70)
        .flat_map(|_| {
            bench.at_s += 1;
            bench.controller.step(bench.now(), Input::State(&bench.state), &mut bench.effects);
            core::mem::take(&mut bench.effects)
        })
        .collect();
    assert_eq!(rules(&said), ["coasting", "fault"]);
}

#[test]
fn without_an_average_the_correction_is_nothing() {
    let mut bench = Bench::new();
    (bench.state.average, bench.state.average_heating) = (None, None);
    let said = bench.second();
    assert_eq!(rules(&said), ["waiting", "warming"]);
    assert!((leases(&said)[0].flow - 42.5).abs() < 1e-9);
}

#[test]
fn what_the_boiler_fails_to_deliver_is_added_once_it_is_known() {
    let mut bench = Bench::new();
    bench.state.heating_share = 0.0;
    bench.seconds(1_000);
    // 40 were delivered where 42.5 were asked, in 1,000 of 3,600 seconds: u = 0.2778 · 0.5 · 2.5 = 0.35 K.
    bench.state.heating_share = 1_000.0 / 3_600.0;
    bench.seconds(30);
    let known = bench.controller.known.unwrap();
    let hour = bench.controller.last_hour(&known).unwrap();
    assert!((hour.asked - 42.5).abs() < 1e-9 && (hour.current - 40.0).abs() < 1e-9);
    assert!((bench.controller.settings.law.correction(Some(&hour)) - 0.347).abs() < 0.001);
    // A controller that has just started does not know what was asked.
    let mut young = Bench::new();
    young.state.heating_share = 0.5;
    young.seconds(30);
    assert!(young.controller.last_hour(&young.controller.known.unwrap()).is_none());
}

/// JSON may hold any number: what no sensor says and no share is, nobody reckons with.
#[test]
fn numbers_that_cannot_be_are_a_sensor_that_fails() {
    let spoil: [fn(&mut State); 4] = [
        |state| state.heating_share = -1e308,
        |state| state.current = Some(1e308),
        |state| state.average_heating = Some(-400.0),
        |state| state.average = Some(f64::MAX),
    ];
    for spoil in spoil {
        let mut bench = Bench::new();
        bench.seconds(10);
        let sound = bench.state.clone();
        spoil(&mut bench.state);
        (bench.device().room, bench.device().outdoor) = (Some(1e308), Some(-1e308));
        assert_eq!(rules(&bench.seconds(10)), ["sensor"]);
        bench.state = State { stamp: bench.state.stamp, slot: bench.state.slot, ..sound };
        (bench.device().room, bench.device().outdoor) = (Some(20.0), Some(0.0));
        let said = bench.seconds(10);
        assert_eq!(rules(&said), ["law"]);
        assert!(leases(&said).iter().all(|lease| (30.0..50.0).contains(&lease.flow)), "{said:?}");
    }
}

#[test]
fn a_draw_holds_the_set_point() {
    let mut bench = Bench::new();
    bench.seconds(10);
    (bench.device().hot_water, bench.device().room) = (true, Some(18.0));
    bench.state.heating = false;
    bench.state.current = Some(70.0);
    let said = bench.seconds(20);
    assert_eq!(rules(&said), ["hot_water"]);
    assert!(leases(&said).iter().all(|lease| (lease.flow - 42.5).abs() < 1e-9));
    assert!(bench.controller.current.value().unwrap() < 40.01, "the low-pass pauses");
    bench.device().hot_water = false;
    assert!(rules(&bench.seconds(118)).is_empty(), "and for 120 s after");
    assert!(rules(&bench.seconds(20)).contains(&"law"));
}

#[test]
fn no_heat_wanted_is_a_lease_too() {
    let mut bench = Bench::new();
    bench.second();
    bench.status.device.as_mut().unwrap().room = Some(20.9);
    let said = bench.seconds(40);
    assert_eq!(rules(&said), ["no_heat_wanted"]);
    assert!(leases(&said).len() >= 2 && leases(&said).iter().all(|lease| lease.demand == Demand::None));
}

#[test]
fn an_old_room_temperature_is_none_and_an_old_outdoor_temperature_ends_it() {
    let mut bench = Bench::new();
    bench.second();
    bench.status.device.as_mut().unwrap().room = None;
    let said = bench.seconds(31 * 60);
    assert_eq!(said.iter().filter(|effect| **effect == Effect::Log(Log::RoomMissing)).count(), 1);
    bench.status.device.as_mut().unwrap().outdoor = None;
    let said = bench.seconds(3 * 3_600 + 1);
    assert_eq!(leases(&said).last().unwrap().lease_s, 0);
    assert_eq!(rules(&said), ["no_outdoor"]);
}

#[test]
fn it_never_asks_on_a_bad_sensor_or_for_a_mixture_of_real_and_simulated() {
    let mut bench = Bench::new();
    (bench.state.quality, bench.state.current) = (SlotQuality::Open, None);
    assert!(leases(&bench.seconds(30)).is_empty());
    let mut bench = Bench::new();
    bench.status.simulated = false;
    let said = bench.seconds(30);
    assert!(leases(&said).is_empty());
    assert_eq!(rules(&said), ["waiting", "mixed"]);
}

/// A state may come from anybody; one controller serves all boilers.
#[test]
fn a_stamp_from_the_ends_of_time_stops_nobody() {
    for stamp in [f64::MIN, -1e19, 1e19, f64::MAX] {
        let mut bench = Bench::new();
        bench.second();
        bench.state.stamp = stamp;
        bench.controller.step(bench.now(), Input::State(&bench.state), &mut bench.effects);
        bench.controller.step(bench.now(), Input::State(&bench.state), &mut bench.effects);
        bench.effects.clear();
        bench.seconds(30);
    }
}
