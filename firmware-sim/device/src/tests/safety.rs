//! The safety functions of the whole device, exercised through the board and the line.

use std::vec;
use std::vec::Vec;

use thermowell_wire::line::{
    BoilerState, Demand, FaultKind, FrameReader, Outcome, Refusal, Setpoint, Status, ToDevice, ToGateway, encode,
};
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

use crate::{Actuators, Board, Config, Device, Event, Inputs, Measured, NonVolatile, Panel};

const STEP_US: u64 = 100_000;
const SECOND: u64 = 10;
pub(super) const MINUTE: u64 = 600;

/// Flame signal of the board.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Flame {
    Follows,
    Never,
    Always,
}

/// A board whose every input can be set.
#[derive(Clone, Debug)]
pub(super) struct Injected {
    pub(super) flow: i16,
    pub(super) quality: Quality,
    pub(super) hot_water: bool,
    pub(super) silent: bool,
    pub(super) flame: Flame,
    pub(super) inputs: Inputs,
}

impl Board for Injected {
    fn sample(&mut self, _: u64, _: u64, actuators: &Actuators) -> Option<Measured> {
        let flame = match self.flame {
            Flame::Follows => actuators.burner_permille > 0,
            Flame::Never => false,
            Flame::Always => true,
        };
        let Self { flow, quality, hot_water, .. } = *self;
        (!self.silent).then_some(Measured { flow: CentiCelsius(flow), quality, hot_water, flame })
    }

    fn inputs(&mut self, _: u64, _: &Actuators) -> Inputs {
        self.inputs
    }
}

/// A device that samples once per control step, with a minimum off time of two seconds.
pub(super) struct Rig {
    pub(super) device: Device<Vec<Reading>>,
    pub(super) board: Injected,
    pub(super) now_us: u64,
    n: u32,
}

pub(super) fn config() -> Config {
    let (minimum_off_us, overrun_us) = (2_000_000, 10_000_000);
    let period_us = 100_000;
    Config { second_sensor: true, minimum_off_us, overrun_us, period_us, catch_up_slots: u64::MAX, ..Config::default() }
}

impl Rig {
    pub(super) fn new() -> Self {
        let inputs = Inputs {
            return_temperature: Some(CentiCelsius(2_500)),
            outdoor: Some(CentiCelsius(0)),
            pressure_mbar: 1_500,
            second_flow: Some(CentiCelsius(3_000)),
            water_moves: Some(true),
            ..Inputs::default()
        };
        let (flame, quality) = (Flame::Follows, Quality::Ok);
        let board = Injected { flow: 3_000, quality, hot_water: false, silent: false, flame, inputs };
        Self::start(NonVolatile::default(), board)
    }

    /// A rig whose burner fires.
    pub(super) fn burning() -> Self {
        let mut rig = Self::new();
        rig.steps(10 * SECOND);
        assert!(rig.burns());
        rig
    }

    fn start(mut memory: NonVolatile, mut board: Injected) -> Self {
        let boot = memory.start(9);
        let mut device = Device::remembering(memory, config(), boot, vec![Reading::default(); 8]);
        device.poll(0, &mut board);
        let mut rig = Self { device, board, now_us: 0, n: 0 };
        rig.send(&ToDevice::Resume { boot, from: 0 });
        rig
    }

    pub(super) fn power_cycle(&mut self) {
        *self = Self::start(*self.device.memory(), self.board.clone());
    }

    pub(super) fn steps(&mut self, steps: u64) {
        self.now_us += steps * STEP_US;
        self.device.poll(self.now_us, &mut self.board);
    }

    /// Sets both sensors.
    pub(super) fn flow(&mut self, centi: i16) {
        self.board.flow = centi;
        self.board.inputs.second_flow = Some(CentiCelsius(centi));
    }

    pub(super) fn press(&mut self) {
        self.board.inputs.reset_pressed = true;
        self.steps(1);
        self.board.inputs.reset_pressed = false;
        self.steps(1);
    }

    pub(super) fn burns(&self) -> bool {
        self.device.actuators().burner_permille > 0
    }

    pub(super) fn pumps(&self) -> bool {
        self.device.actuators().pump
    }

    pub(super) fn status(&self) -> Status {
        self.device.status(self.now_us)
    }

    fn locked_by(&self) -> Option<FaultKind> {
        self.device.memory().lockout.map(|fault| fault.kind)
    }

    fn send(&mut self, message: &ToDevice) {
        let mut buffer = [0; 256];
        let frame = encode(message, &mut buffer).unwrap();
        self.device.receive(frame, self.now_us);
    }

    pub(super) fn request(&mut self, message: &ToDevice) -> Outcome {
        self.send(message);
        let (mut out, mut answer, mut at_us) = ([0; 512], None, self.now_us);
        while answer.is_none() {
            let written = self.device.transmit(at_us, &mut out);
            FrameReader::new().feed(&out[..written], |received| {
                if let Ok(ToGateway::Answer(it)) = received {
                    answer = Some(it.outcome);
                }
            });
            at_us += 10_000;
        }
        answer.unwrap()
    }

    pub(super) fn setpoint(&mut self, flow: i16) -> Setpoint {
        self.n += 1;
        let (boot, flow) = (self.device.boot(), CentiCelsius(flow));
        Setpoint { boot, n: self.n, demand: Demand::Heat, flow, lease_s: 60 }
    }

    pub(super) fn ask(&mut self, flow: i16) -> Outcome {
        let setpoint = self.setpoint(flow);
        self.request(&ToDevice::Setpoint(setpoint))
    }

    pub(super) fn reset(&mut self, fault: u32) -> Outcome {
        self.n += 1;
        let boot = self.device.boot();
        self.request(&ToDevice::Reset { boot, n: self.n, fault })
    }

    fn lock_by_ignition(&mut self) -> u32 {
        self.board.flame = Flame::Never;
        self.steps(2 * MINUTE);
        assert_eq!(self.locked_by(), Some(FaultKind::Ignition));
        self.board.flame = Flame::Follows;
        self.device.memory().lockout.unwrap().counter
    }
}

#[test]
fn three_failed_ignitions_lock_out_until_reset() {
    let mut rig = Rig::new();
    assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }));
    rig.board.flame = Flame::Never;
    let (mut opened, mut before, mut sparks) = (0, false, true);
    for _ in 0..MINUTE {
        rig.steps(1);
        opened += u32::from(rig.burns() && !before);
        before = rig.burns();
        sparks &= rig.device.actuators().spark == rig.burns();
    }
    assert_eq!((opened, sparks), (3, true), "three tries, each with a spark");
    let (status, boot) = (rig.status(), rig.device.boot());
    let fault = status.fault.unwrap();
    assert_eq!((fault.kind, fault.boot, fault.lockout), (FaultKind::Ignition, boot, true));
    assert_eq!((status.state, status.setpoint), (BoilerState::Lockout, None), "the lockout ends the lease");
    let events: Vec<Event> = core::iter::from_fn(|| rig.device.take_event()).collect();
    assert!(matches!(events.as_slice(), [Event::LeaseAccepted { n: 1, .. }, Event::OwnControl { n: 1, .. }]));
    assert_eq!(rig.ask(5_000), Outcome::Refused(Refusal::Lockout));

    rig.board.flame = Flame::Follows;
    rig.steps(60 * MINUTE);
    assert!(!rig.burns(), "time does not end a lockout");
    assert_eq!(rig.reset(fault.counter + 1), Outcome::Refused(Refusal::NoSuchFault));
    let copy = ToDevice::Reset { boot, n: rig.n, fault: fault.counter };
    assert_eq!(rig.request(&copy), Outcome::Refused(Refusal::Order), "a used number is refused");
    assert!(matches!(rig.reset(fault.counter), Outcome::Accepted { lease_s: 0, .. }));
    assert_eq!(rig.reset(fault.counter), Outcome::Refused(Refusal::NoSuchFault), "already reset");
    rig.steps(10 * SECOND);
    assert!(rig.burns());
    assert_eq!(rig.status().fault, None);
}

#[test]
fn power_cycle_keeps_lockout_and_boot_loop_locks_out() {
    let mut rig = Rig::new();
    let counter = rig.lock_by_ignition();
    let named = rig.device.memory().lockout;
    rig.power_cycle();
    rig.steps(MINUTE);
    assert!(!rig.burns());
    assert_eq!(rig.status().fault, named, "the same occurrence, with its original boot");
    assert!(matches!(rig.reset(counter), Outcome::Accepted { .. }));
    rig.steps(MINUTE);
    assert!(rig.burns());
    for _ in 0..3 {
        assert_eq!(rig.locked_by(), None);
        rig.power_cycle();
        rig.steps(MINUTE);
    }
    assert_eq!(rig.locked_by(), Some(FaultKind::BootLoop));
    assert!(!rig.burns());
    let counter = rig.device.memory().lockout.unwrap().counter;
    assert!(matches!(rig.reset(counter), Outcome::Accepted { .. }));
}

#[test]
fn overheat_is_reset_only_at_the_boiler() {
    let mut rig = Rig::burning();
    rig.flow(11_000);
    rig.steps(2);
    assert!(!rig.burns() && rig.pumps());
    assert_eq!(rig.locked_by(), Some(FaultKind::Overheat));
    let counter = rig.device.memory().lockout.unwrap().counter;
    rig.press();
    assert_eq!(rig.locked_by(), Some(FaultKind::Overheat), "still too hot: locked out again at once");
    let again = rig.device.memory().lockout.unwrap().counter;
    assert!(again > counter, "a new occurrence");
    rig.flow(3_000);
    rig.steps(MINUTE);
    assert_eq!(rig.reset(again), Outcome::Refused(Refusal::LocalOnly));
    rig.press();
    rig.steps(10 * SECOND);
    assert!(rig.burns());
}

#[test]
fn held_or_jammed_reset_button_resets_once() {
    let mut rig = Rig::new();
    rig.lock_by_ignition();
    rig.board.inputs.reset_pressed = true;
    rig.steps(2);
    assert_eq!(rig.locked_by(), None);
    rig.board.flame = Flame::Never;
    rig.steps(2 * MINUTE);
    assert_eq!(rig.locked_by(), Some(FaultKind::Ignition), "the button is still pressed");
}

#[test]
fn sixth_reset_in_fifteen_minutes_is_refused() {
    let mut rig = Rig::new();
    for _ in 0..5 {
        let counter = rig.lock_by_ignition();
        assert!(matches!(rig.reset(counter), Outcome::Accepted { .. }));
    }
    let counter = rig.lock_by_ignition();
    assert_eq!(rig.reset(counter), Outcome::Refused(Refusal::TooMany));
    rig.press();
    assert_eq!(rig.locked_by(), Some(FaultKind::Ignition));
    rig.power_cycle();
    assert_eq!(rig.reset(counter), Outcome::Refused(Refusal::TooMany), "resets are counted across power cuts");
    rig.steps(17 * MINUTE);
    assert!(matches!(rig.reset(counter), Outcome::Accepted { .. }));
}

#[test]
fn panel_override_ends_and_refuses_leases() {
    let mut rig = Rig::burning();
    assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }));
    rig.board.inputs.panel = Panel::Flow(CentiCelsius(9_000));
    rig.steps(1);
    assert_eq!(rig.status().setpoint, None, "the lease has ended");
    let refused = rig.setpoint(5_000);
    assert_eq!(rig.request(&ToDevice::Setpoint(refused)), Outcome::Refused(Refusal::Panel));
    assert_eq!(rig.device.own_flow(), CentiCelsius(7_500), "clamped to the installer's limits");
    rig.board.inputs.panel = Panel::Off;
    rig.steps(SECOND);
    assert!(!rig.burns());
    rig.steps(11 * SECOND);
    assert_eq!(rig.status().state, BoilerState::Standby);
    rig.flow(400);
    rig.steps(10 * SECOND);
    assert!(rig.burns(), "frost protection stays on");
    rig.flow(3_000);
    rig.board.inputs.panel = Panel::Automatic;
    rig.steps(1);
    assert_eq!(rig.request(&ToDevice::Setpoint(refused)), Outcome::Refused(Refusal::Order), "its number is used up");
    assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }));
}

#[test]
fn passing_faults_block_and_clear_by_themselves() {
    type Inject = fn(&mut Injected);
    let faults: [(Inject, u64, FaultKind, bool); 6] = [
        (|it| it.inputs.pressure_mbar = 499, 2, FaultKind::LowPressure, false),
        (|it| it.inputs.water_moves = Some(false), 32, FaultKind::Pump, true),
        (|it| it.quality = Quality::Open, 2, FaultKind::Sensor, true),
        (|it| it.flow = 12_501, 2, FaultKind::Sensor, true),
        (|it| it.inputs.second_flow = None, 2, FaultKind::Sensor, true),
        (|it| it.silent = true, 12, FaultKind::Sensor, true),
    ];
    for (index, (inject, steps, kind, pumps)) in faults.into_iter().enumerate() {
        let mut rig = Rig::burning();
        let sound = rig.board.clone();
        inject(&mut rig.board);
        rig.steps(steps);
        assert!(!rig.burns(), "fault {index}");
        let status = rig.status();
        assert_eq!(
            (status.state, status.fault.map(|it| (it.kind, it.lockout))),
            (BoilerState::Blocked, Some((kind, false)))
        );
        assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }), "a passing fault does not refuse leases");
        rig.steps(MINUTE);
        assert!(!rig.burns());
        assert_eq!(rig.pumps(), pumps, "fault {index}");
        rig.board = sound;
        rig.steps(10 * SECOND);
        assert!(rig.burns(), "fault {index}");
        assert_eq!(rig.status().fault, None);
    }
}

#[test]
fn pump_overrun_after_overheat_or_sensor_loss() {
    type Inject = fn(&mut Injected);
    let faults: [(Inject, bool); 3] = [
        (|it| it.inputs.panel = Panel::Off, false),
        (|it| (it.quality, it.inputs.second_flow) = (Quality::Open, None), true),
        (|it| (it.flow, it.inputs.second_flow) = (8_001, Some(CentiCelsius(8_001))), true),
    ];
    for (index, (inject, pumps)) in faults.into_iter().enumerate() {
        let mut rig = Rig::burning();
        rig.board.inputs.panel = Panel::Off;
        inject(&mut rig.board);
        rig.steps(10 * MINUTE);
        assert_eq!((rig.burns(), rig.pumps()), (false, pumps), "fault {index}");
    }
}

#[test]
fn sensor_mismatch_locks_out() {
    let mut rig = Rig::burning();
    rig.board.flow = 4_001;
    rig.steps(2);
    assert!(!rig.burns());
    rig.steps(SECOND);
    assert_eq!(rig.locked_by(), Some(FaultKind::SensorMismatch));
    let counter = rig.device.memory().lockout.unwrap().counter;
    assert_eq!(rig.reset(counter), Outcome::Refused(Refusal::LocalOnly));
}

#[test]
fn implausible_outdoor_temperature_is_dropped() {
    let mut rig = Rig::new();
    for (outdoor, kept) in [(-5_001, false), (-5_000, true), (6_000, true), (6_001, false)] {
        rig.board.inputs.outdoor = Some(CentiCelsius(outdoor));
        rig.steps(1);
        assert_eq!(rig.status().outdoor.is_some(), kept);
        assert_eq!(rig.device.own_flow() == CentiCelsius(5_000), !kept, "the curve's fallback");
    }
}

#[test]
fn firmware_stall_closes_the_gas() {
    let mut rig = Rig::burning();
    let config = Config { catch_up_slots: 3, ..config() };
    let mut device = Device::new(config, Boot(1), vec![Reading::default(); 8]);
    for step in 0..=100 {
        device.poll(step * STEP_US, &mut rig.board);
    }
    assert!(device.actuators().burner_permille > 0);
    device.poll(100 * STEP_US + 1_500_000, &mut rig.board);
    assert_eq!(device.actuators().burner_permille, 0, "stale readings are not used");
}
