use alloc::string::ToString;
use alloc::vec;

use thermowell_wire::Boot;
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::BoilerState;

use super::*;
use crate::published::{AcceptedSetpoint, DeviceStatus};
use crate::testing;
use crate::time::{SECOND_NS, Utc};

mod ambient;
mod boiler;
mod orders;
mod restart;
mod warm_up;

const START_S: i64 = 1_767_754_800;

/// A controller, a boiler that obeys it, a clock and the controller's effects.
struct Bench {
    controller: Controller,
    /// The boiler does not obey.
    disobeys: bool,
    /// Its installer's limit.
    obeys_at_most: f64,
    /// When the active lease ends.
    obeys_until_s: i64,
    at_s: i64,
    /// A step of UTC.
    utc_step_s: i64,
    effects: Vec<Effect>,
    state: State,
    status: Status,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings {
            boiler: "b1".parse().unwrap(),
            instance: "c1".to_string(),
            law: testing::law(),
            freshness: Freshness::at_speed(1),
            sources: vec![],
        };
        Self {
            controller: Controller::new(settings),
            disobeys: false,
            obeys_at_most: 90.0,
            obeys_until_s: 0,
            at_s: 0,
            utc_step_s: 0,
            effects: vec![],
            state: testing::state(Slot::new(Boot::new(1, 1), 0), 0.0),
            status: testing::status(Boot::new(1, 1), 0.0),
        }
    }

    fn now(&self) -> Now {
        let utc = Utc((START_S + self.utc_step_s + self.at_s) * SECOND_NS);
        let monotonic = Monotonic(u64::try_from(self.at_s * SECOND_NS).unwrap() + 5);
        Now { monotonic, utc, clock: ClockQuality::Synced }
    }

    fn wake(&mut self) -> Vec<Effect> {
        self.controller.step(self.now(), Input::Wake, &mut self.effects);
        core::mem::take(&mut self.effects)
    }

    /// One second with a fresh state and status; returns the effects.
    fn second(&mut self) -> Vec<Effect> {
        self.at_s += 1;
        self.state.stamp = self.now().utc.unix_seconds();
        self.state.slot.seq += 100;
        self.obey();
        self.input(Input::Status(&self.status.clone()));
        self.input(Input::State(&self.state.clone()));
        core::mem::take(&mut self.effects)
    }

    fn input(&mut self, input: Input<'_>) {
        self.controller.step(self.now(), input, &mut self.effects);
        for lease in leases(&self.effects) {
            self.obeys_until_s = self.at_s + i64::from(lease.lease_s);
            let Some(device) = &mut self.status.device else { continue };
            let lease_left_s = f64::from(lease.lease_s);
            let flow = lease.flow.min(self.obeys_at_most);
            device.setpoint = Some(AcceptedSetpoint { n: 1, demand: lease.demand, flow, lease_left_s });
        }
        self.obey();
    }

    fn obey(&mut self) {
        let Some(device) = &mut self.status.device else { return };
        if self.disobeys || self.at_s >= self.obeys_until_s {
            device.setpoint = None;
        }
    }

    fn device(&mut self) -> &mut DeviceStatus {
        self.status.device.as_mut().unwrap()
    }

    fn seconds(&mut self, seconds: u32) -> Vec<Effect> {
        (0..seconds).flat_map(|_| self.second()).collect()
    }

    /// Time passes without messages; the controller is woken at `wake_at`.
    fn silence(&mut self, seconds: i64) -> Vec<Effect> {
        let mut output = vec![];
        for _ in 0..seconds {
            self.at_s += 1;
            if self.controller.wake_at().is_some_and(|at| at <= self.now().monotonic) {
                output.extend(self.wake());
            }
        }
        output
    }
}

fn leases(output: &[Effect]) -> Vec<&Lease> {
    let mut leases = vec![];
    for effect in output {
        if let Effect::Lease(lease) = effect {
            leases.push(&**lease);
        }
    }
    leases
}

fn rules(output: &[Effect]) -> Vec<&str> {
    let mut rules = vec![];
    for effect in output {
        if let Effect::Decision(decision) = effect {
            rules.push(decision.rule.as_str());
        }
    }
    rules
}

#[test]
fn asks_at_once_and_renews_every_15_seconds() {
    let mut bench = Bench::new();
    let output = bench.second();
    assert_eq!(rules(&output), ["waiting", "law"]);
    let lease = leases(&output)[0];
    assert_eq!((lease.demand, lease.lease_s, lease.based_on.seq), (Demand::Heat, 60, 100));
    assert!((lease.flow - 42.5).abs() < 1e-9);
    let output = bench.seconds(60);
    assert_eq!(leases(&output).len(), 4);
    assert!(rules(&output).is_empty(), "a renewal is not a decision");
}

#[test]
fn wake_at_is_set_for_the_renewal() {
    let mut bench = Bench::new();
    bench.second();
    let wake_at = bench.controller.wake_at().unwrap();
    assert!(wake_at > bench.now().monotonic && wake_at <= bench.now().monotonic.after(Duration::from_secs(15)));
}

#[test]
fn coasting_lets_the_lease_expire_and_a_fault_releases_once() {
    let mut bench = Bench::new();
    bench.seconds(31);
    let output = bench.silence(58);
    assert_eq!(leases(&output).len(), 0);
    assert_eq!(rules(&output), ["coasting"]);
    let mut bench = Bench::new();
    bench.controller.settings.law.lease_s = 120;
    bench.seconds(31);
    let output = bench.silence(200);
    assert_eq!(leases(&output).iter().map(|lease| lease.lease_s).collect::<Vec<_>>(), [0]);
    assert_eq!(rules(&output), ["coasting", "fault"]);
    assert_eq!(rules(&bench.second()), ["law"], "it asks again on fresh data");
}

#[test]
fn state_with_a_constant_stamp_becomes_stale() {
    let mut bench = Bench::new();
    bench.seconds(10);
    // After a step back of the clock: the stamp is in the future, and does not change.
    bench.state.stamp += 10_000.0;
    bench.controller.step(bench.now(), Input::State(&bench.state), &mut bench.effects);
    let output: Vec<Effect> = (0..70)
        .flat_map(|_| {
            bench.at_s += 1;
            bench.controller.step(bench.now(), Input::State(&bench.state), &mut bench.effects);
            core::mem::take(&mut bench.effects)
        })
        .collect();
    assert_eq!(rules(&output), ["coasting", "fault"]);
}

#[test]
fn correction_is_zero_without_an_average() {
    let mut bench = Bench::new();
    (bench.state.average, bench.state.average_heating) = (None, None);
    let output = bench.second();
    assert_eq!(rules(&output), ["waiting", "warming"]);
    assert!((leases(&output)[0].flow - 42.5).abs() < 1e-9);
}

#[test]
fn deficit_is_corrected_once_the_history_is_known() {
    let mut bench = Bench::new();
    bench.state.heating_share = 0.0;
    bench.seconds(1_000);
    // 40 °C delivered, 42.5 °C requested, in 1,000 of 3,600 seconds: u = 0.2778 · 0.5 · (2.5 − 2) = 0.07 K.
    bench.state.heating_share = 1_000.0 / 3_600.0;
    bench.seconds(30);
    let known = bench.controller.known.unwrap();
    let hour = bench.controller.last_hour(&known).unwrap();
    assert!((hour.asked - 42.5).abs() < 1e-9);
    assert!((bench.controller.settings.law.correction(Some(&hour)) - 0.069).abs() < 0.001);
    // A new controller does not know the earlier set-points.
    let mut young = Bench::new();
    young.state.heating_share = 0.5;
    young.seconds(30);
    assert!(young.controller.last_hour(&young.controller.known.unwrap()).is_none());
}

/// JSON may contain any number: values outside the physical range count as a failed sensor.
#[test]
fn impossible_numbers_count_as_a_failed_sensor() {
    let spoil: [fn(&mut State); 4] = [
        |state| state.heating_share = -1e308,
        |state| state.current = Some(1e308),
        |state| state.average_heating = Some(-400.0),
        |state| state.average = Some(f64::MAX),
    ];
    for spoil in spoil {
        let mut bench = Bench::new();
        bench.seconds(10);
        let valid = bench.state.clone();
        spoil(&mut bench.state);
        (bench.device().room, bench.device().outdoor) = (Some(1e308), Some(-1e308));
        assert_eq!(rules(&bench.seconds(10)), ["sensor"]);
        bench.state = State { stamp: bench.state.stamp, slot: bench.state.slot, ..valid };
        (bench.device().room, bench.device().outdoor) = (Some(20.0), Some(0.0));
        let output = bench.seconds(10);
        assert_eq!(rules(&output), ["law"]);
        assert!(leases(&output).iter().all(|lease| (30.0..50.0).contains(&lease.flow)), "{output:?}");
    }
}

#[test]
fn draw_keeps_the_set_point() {
    let mut bench = Bench::new();
    bench.seconds(10);
    (bench.device().hot_water, bench.device().room) = (true, Some(18.0));
    bench.state.heating = false;
    bench.state.current = Some(70.0);
    let output = bench.seconds(20);
    assert_eq!(rules(&output), ["hot_water"]);
    assert!(leases(&output).iter().all(|lease| (lease.flow - 42.5).abs() < 1e-9));
    assert!(bench.controller.current.value().unwrap() < 40.01, "the low-pass pauses");
    bench.device().hot_water = false;
    assert!(rules(&bench.seconds(118)).is_empty(), "and for 120 s after");
    assert!(rules(&bench.seconds(20)).contains(&"law"));
}

#[test]
fn no_heat_wanted_publishes_a_lease() {
    let mut bench = Bench::new();
    bench.second();
    bench.status.device.as_mut().unwrap().room = Some(20.9);
    let output = bench.seconds(40);
    assert_eq!(rules(&output), ["no_heat_wanted"]);
    assert!(leases(&output).len() >= 2 && leases(&output).iter().all(|lease| lease.demand == Demand::None));
}

#[test]
fn old_room_is_ignored_and_old_outdoor_releases() {
    let mut bench = Bench::new();
    bench.second();
    bench.status.device.as_mut().unwrap().room = None;
    let output = bench.seconds(31 * 60);
    assert_eq!(output.iter().filter(|effect| **effect == Effect::Log(Log::RoomMissing)).count(), 1);
    bench.status.device.as_mut().unwrap().outdoor = None;
    let output = bench.seconds(3 * 3_600 + 1);
    assert_eq!(leases(&output).last().unwrap().lease_s, 0);
    assert_eq!(rules(&output), ["law", "no_outdoor"], "the same decision again after three hours");
}

#[test]
fn failed_sensor_or_mixed_sources_ask_nothing() {
    let mut bench = Bench::new();
    (bench.state.quality, bench.state.current) = (SlotQuality::Open, None);
    assert!(leases(&bench.seconds(30)).is_empty());
    let mut bench = Bench::new();
    bench.status.simulated = false;
    let output = bench.seconds(30);
    assert!(leases(&output).is_empty());
    assert_eq!(rules(&output), ["waiting", "mixed"]);
}

/// A state may come from any publisher, and one controller serves all boilers.
#[test]
fn extreme_stamp_does_not_panic() {
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
