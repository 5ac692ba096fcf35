//! Some days of heating: the product's controller or a rival, and the real firmware with the plant, without line and
//! broker.
//!
//! ```text
//!   plant ▶ firmware ──reading──▶ window ──State──▶ controller ──lease──▶ firmware
//!                    ──status───────────Status────▶
//! ```
//! Window, controller and law are those of the gateway; only the transport between them is a call. A
//! state is passed on every `STATE_S` simulated seconds instead of every second, because computing the window's
//! extremes takes most of the time here, and the controller bridges up to 10 s by itself.

use std::time::Duration;

use firmware_sim::bench::Bench;
use firmware_sim::scenario::BoilerScenario;
use thermowell_device::Config;
use thermowell_flow::aggregate::{Pane, View, WINDOW_S, Window};
use thermowell_flow::control::{Law, Plan};
use thermowell_flow::controller::{Controller, Effect, Freshness, Input, Settings};
use thermowell_flow::published::{self, AcceptedSetpoint, DeviceStatus, Link, Provisional, SlotQuality, State, Status};
use thermowell_flow::time::{Monotonic, Now, SECOND_NS, Utc};
use thermowell_wire::batch::ClockQuality;
use thermowell_wire::line::{Demand, Outcome};
use thermowell_wire::{BoilerId, Boot, CentiCelsius, Reading, Slot};

use super::rivals::Rival;

/// Simulated seconds between two states.
const STATE_S: i64 = 5;
/// A rival's lease, and how often it is renewed, s: as ours.
pub(super) const RIVAL_LEASE_S: u16 = 60;
pub(super) const RIVAL_RENEW_S: u16 = 15;
/// 2026-01-05 00:00 UTC, a Monday at a full hour: when a simulation begins.
pub const EPOCH_S: i64 = 1_767_571_200;

/// Who sets the flow temperature.
#[derive(Clone, Debug)]
pub enum Author {
    /// The boiler's own curve.
    Curve,
    /// What makers ship.
    Rival(Box<Rival>),
    /// The product's controller with this law.
    Ours(Box<Law>),
    /// The same without a room sensor.
    Roomless(Box<Law>),
}

/// A heated house.
#[derive(Debug)]
pub struct Heating {
    bench: Bench,
    control: Control,
    second: i64,
}

/// What renews the leases.
#[derive(Debug)]
enum Control {
    None,
    Rival(RivalGateway),
    Ours(Box<Gateway>),
}

impl Heating {
    /// From midnight on, with `firmware` as the boiler's settings and its own curve.
    #[must_use]
    pub fn new(scenario: &BoilerScenario, firmware: Config, author: Author) -> Self {
        let bench = Bench::with(scenario, firmware);
        let control = match author {
            Author::Curve => Control::None,
            Author::Rival(rival) => Control::Rival(RivalGateway { rival: *rival, asked: None, refused: 0 }),
            Author::Ours(law) => Control::Ours(Box::new(Gateway::new(*law, true))),
            Author::Roomless(law) => Control::Ours(Box::new(Gateway::new(*law, false))),
        };
        Self { bench, control, second: 0 }
    }

    /// The controller's targets from now on.
    pub fn plan(&mut self, plan: &Plan) {
        if let Control::Ours(gateway) = &mut self.control {
            let now = now(self.second);
            gateway.controller.step(now, Input::Plan(plan), &mut gateway.effects);
            gateway.carry_out(&mut self.bench);
        }
    }

    /// Simulates one second.
    pub fn second(&mut self) {
        self.second += 1;
        let us = u64::try_from(self.second).expect("time goes forward") * 1_000_000;
        self.bench.run_to(us);
        match &mut self.control {
            Control::None => {}
            Control::Rival(gateway) => gateway.second(self.second, &mut self.bench),
            Control::Ours(gateway) => gateway.second(self.second, &mut self.bench),
        }
    }

    /// The firmware and its plant.
    #[must_use]
    pub fn bench(&self) -> &Bench {
        &self.bench
    }

    /// The controller's last set-point, °C; `None` while it requests no heat.
    #[must_use]
    pub fn asked(&self) -> Option<f64> {
        match &self.control {
            Control::None => None,
            Control::Rival(gateway) => gateway.asked,
            Control::Ours(gateway) => gateway.asked,
        }
    }

    /// Leases that the firmware refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        match &self.control {
            Control::None => 0,
            Control::Rival(gateway) => gateway.refused,
            Control::Ours(gateway) => gateway.refused,
        }
    }
}

/// What renews a rival's leases.
#[derive(Debug)]
struct RivalGateway {
    rival: Rival,
    asked: Option<f64>,
    refused: u64,
}

impl RivalGateway {
    fn second(&mut self, second: i64, bench: &mut Bench) {
        if second % i64::from(RIVAL_RENEW_S) != 0 {
            return;
        }
        let status = bench.status();
        // Every scenario here has both sensors; the firmware has no reading only before its first second.
        let (Some(room), Some(outdoor)) = (status.room, status.outdoor) else { return };
        let (demand, flow) = self.rival.decide(room.celsius(), outdoor.celsius(), f64::from(RIVAL_RENEW_S));
        self.asked = (demand == Demand::Heat).then_some(flow);
        if let Outcome::Refused(_) = bench.ask(demand, CentiCelsius::from_celsius(flow), RIVAL_LEASE_S) {
            self.refused += 1;
        }
    }
}

/// What is between the firmware and the law in the product.
#[derive(Debug)]
struct Gateway {
    window: Window,
    controller: Controller,
    state: State,
    status: Status,
    effects: Vec<Effect>,
    has_room_sensor: bool,
    asked: Option<f64>,
    refused: u64,
}

impl Gateway {
    fn new(law: Law, has_room_sensor: bool) -> Self {
        let boiler: BoilerId = "b1".parse().expect("b1 is a name for a boiler");
        let settings = Settings {
            boiler: boiler.clone(),
            instance: String::from("winter"),
            law,
            freshness: Freshness { fresh: Duration::from_secs(5), coasting: Duration::from_secs(60) },
            sources: Vec::new(),
        };
        Self {
            window: Window::new(),
            controller: Controller::new(settings),
            state: blank_state(boiler.clone()),
            status: Status {
                boiler,
                created_at: 0.0,
                link: Link::Up,
                device: None,
                newest: None,
                backlog: 0,
                simulated: true,
                version: 1,
            },
            effects: Vec::new(),
            has_room_sensor,
            asked: None,
            refused: 0,
        }
    }

    fn second(&mut self, second: i64, bench: &mut Bench) {
        let reading = bench.reading();
        let mut pane = Pane::EMPTY;
        pane.add(reading);
        self.window.add(second, &pane);
        let now = now(second);
        self.pass_status(&now, bench);
        if second % STATE_S == 0 {
            self.pass_state(&now, reading, second);
        } else if self.controller.wake_at().is_some_and(|at| at <= now.monotonic) {
            self.controller.step(now, Input::Wake, &mut self.effects);
        }
        self.carry_out(bench);
    }

    fn pass_status(&mut self, now: &Now, bench: &Bench) {
        let status = bench.status();
        let marks = Reading { temperature: CentiCelsius(0), marks: status.marks };
        let device = self.status.device.get_or_insert_with(|| blank_device(bench));
        device.hot_water = marks.hot_water();
        device.room = status.room.filter(|_| self.has_room_sensor).map(CentiCelsius::celsius);
        device.outdoor = status.outdoor.map(CentiCelsius::celsius);
        device.state = status.state;
        device.burner_starts = status.burner_starts;
        device.setpoint = status.setpoint.map(AcceptedSetpoint::from);
        self.controller.step(*now, Input::Status(&self.status), &mut self.effects);
    }

    fn pass_state(&mut self, now: &Now, reading: Reading, second: i64) {
        let View { valid, heating, heating_seconds, is_heating, .. } = self.window.view();
        let mean = |centi: i64, points: u64| published::centi_mean(centi, points).map(published::celsius);
        let state = &mut self.state;
        state.stamp = now.utc.unix_seconds();
        state.slot.seq = u64::try_from(second).expect("time goes forward");
        state.current = reading.is_valid().then(|| reading.temperature.celsius());
        state.quality = reading.quality().into();
        state.heating = is_heating;
        state.average = mean(valid.centi, valid.points);
        state.average_points = valid.points;
        state.average_heating = mean(heating.centi, heating.points);
        state.heating_share = heating_seconds as f64 / WINDOW_S as f64;
        self.controller.step(*now, Input::State(&self.state), &mut self.effects);
    }

    fn carry_out(&mut self, bench: &mut Bench) {
        for effect in self.effects.drain(..) {
            let lease = match effect {
                Effect::Lease(lease) => lease,
                Effect::Decision(_) | Effect::Event(..) | Effect::Log(_) => continue,
            };
            let outcome = if lease.lease_s == 0 {
                bench.release()
            } else {
                bench.ask(lease.demand, CentiCelsius::from_celsius(lease.flow), lease.lease_s)
            };
            self.asked = match lease.demand {
                Demand::Heat if lease.lease_s > 0 => Some(lease.flow),
                Demand::Heat | Demand::None => None,
            };
            if let Outcome::Refused(_) = outcome {
                self.refused += 1;
            }
        }
    }
}

fn now(second: i64) -> Now {
    Now {
        monotonic: Monotonic(u64::try_from(second * SECOND_NS).expect("time goes forward")),
        utc: Utc((EPOCH_S + second) * SECOND_NS),
        clock: ClockQuality::Synced,
    }
}

fn blank_device(bench: &Bench) -> DeviceStatus {
    let status = bench.status();
    DeviceStatus {
        boot: bench.device().boot(),
        serial_number: String::from("winter"),
        firmware: String::from("winter"),
        state: status.state,
        flame: false,
        pump: false,
        hot_water: false,
        modulation: 0,
        return_temperature: None,
        room: None,
        outdoor: None,
        pressure_mbar: Some(status.pressure_mbar),
        own_flow: 0.0,
        setpoint: None,
        fault: None,
        burner_starts: 0,
    }
}

fn blank_state(boiler: BoilerId) -> State {
    State {
        boiler,
        instance: String::from("winter"),
        stamp: 0.0,
        slot: Slot::new(Boot::new(1, 1), 0),
        current: None,
        quality: SlotQuality::Ok,
        heating: false,
        average: None,
        average_points: 0,
        average_heating: None,
        heating_share: 0.0,
        coverage: 1.0,
        minimum: None,
        maximum: None,
        provisional: Provisional { hour: String::new(), temperature: None, points: 0 },
        last_hour: None,
        clock: ClockQuality::Synced,
        simulated: true,
        version: 1,
    }
}
