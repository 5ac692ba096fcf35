//! The firmware's own safety, from the board and the line: whatever is seen, done and asked.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use thermowell_wire::line::{
    BoilerState, Demand, FaultKind, FrameReader, Outcome, Refusal, Setpoint, Status, ToDevice, ToGateway, encode,
};
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

use crate::{Actuators, Board, Config, Device, Event, Inputs, Measured, NonVolatile, Panel};

const STEP_US: u64 = 100_000;
const SECOND: u64 = 10;
const MINUTE: u64 = 600;

/// What the flame does when the gas opens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flame {
    Follows,
    Never,
    Always,
}

/// A boiler on which everything can be set.
#[derive(Clone, Debug)]
struct Injected {
    flow: i16,
    quality: Quality,
    hot_water: bool,
    silent: bool,
    flame: Flame,
    inputs: Inputs,
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

/// A device that samples once a control step, with a minimum off time of two seconds.
struct Rig {
    device: Device<Vec<Reading>>,
    board: Injected,
    now_us: u64,
    n: u32,
}

fn config() -> Config {
    let (minimum_off_us, overrun_us) = (2_000_000, 10_000_000);
    let period_us = 100_000;
    Config { second_sensor: true, minimum_off_us, overrun_us, period_us, catch_up_slots: u64::MAX, ..Config::default() }
}

impl Rig {
    fn new() -> Self {
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

    /// A rig that burns.
    fn burning() -> Self {
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
        rig.say(&ToDevice::Resume { boot, from: 0 });
        rig
    }

    fn power_cycle(&mut self) {
        *self = Self::start(*self.device.memory(), self.board.clone());
    }

    fn steps(&mut self, steps: u64) {
        self.now_us += steps * STEP_US;
        self.device.poll(self.now_us, &mut self.board);
    }

    /// Both sensors.
    fn flow(&mut self, centi: i16) {
        self.board.flow = centi;
        self.board.inputs.second_flow = Some(CentiCelsius(centi));
    }

    fn press(&mut self) {
        self.board.inputs.reset_pressed = true;
        self.steps(1);
        self.board.inputs.reset_pressed = false;
        self.steps(1);
    }

    fn burns(&self) -> bool {
        self.device.actuators().burner_permille > 0
    }

    fn pumps(&self) -> bool {
        self.device.actuators().pump
    }

    fn status(&self) -> Status {
        self.device.status(self.now_us)
    }

    fn locked_by(&self) -> Option<FaultKind> {
        self.device.memory().lockout.map(|fault| fault.kind)
    }

    fn say(&mut self, message: &ToDevice) {
        let mut buffer = [0; 256];
        let frame = encode(message, &mut buffer).unwrap();
        self.device.receive(frame, self.now_us);
    }

    fn request(&mut self, message: &ToDevice) -> Outcome {
        self.say(message);
        let (mut out, mut answer, mut at_us) = ([0; 512], None, self.now_us);
        while answer.is_none() {
            let written = self.device.transmit(at_us, &mut out);
            FrameReader::new().feed(&out[..written], |heard| {
                if let Ok(ToGateway::Answer(it)) = heard {
                    answer = Some(it.outcome);
                }
            });
            at_us += 10_000;
        }
        answer.unwrap()
    }

    fn setpoint(&mut self, flow: i16) -> Setpoint {
        self.n += 1;
        let (boot, flow) = (self.device.boot(), CentiCelsius(flow));
        Setpoint { boot, n: self.n, demand: Demand::Heat, flow, lease_s: 60 }
    }

    fn ask(&mut self, flow: i16) -> Outcome {
        let setpoint = self.setpoint(flow);
        self.request(&ToDevice::Setpoint(setpoint))
    }

    fn reset(&mut self, fault: u32) -> Outcome {
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
fn without_a_flame_there_are_three_tries_then_a_lockout_until_a_reset() {
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
    assert_eq!((status.state, status.setpoint), (BoilerState::Lockout, None), "the lease has ended with it");
    let events: Vec<Event> = core::iter::from_fn(|| rig.device.take_event()).collect();
    assert!(matches!(events.as_slice(), [Event::LeaseAccepted { n: 1, .. }, Event::OwnControl { n: 1, .. }]));
    assert_eq!(rig.ask(5_000), Outcome::Refused(Refusal::Lockout));

    rig.board.flame = Flame::Follows;
    rig.steps(60 * MINUTE);
    assert!(!rig.burns(), "time does not end a lockout");
    assert_eq!(rig.reset(fault.counter + 1), Outcome::Refused(Refusal::NoSuchFault));
    let copy = ToDevice::Reset { boot, n: rig.n, fault: fault.counter };
    assert_eq!(rig.request(&copy), Outcome::Refused(Refusal::Order), "a number that was used resets nothing");
    assert!(matches!(rig.reset(fault.counter), Outcome::Accepted { lease_s: 0, .. }));
    assert_eq!(rig.reset(fault.counter), Outcome::Refused(Refusal::NoSuchFault), "once");
    rig.steps(10 * SECOND);
    assert!(rig.burns());
    assert_eq!(rig.status().fault, None);
}

#[test]
fn pulling_the_plug_is_no_reset_and_three_times_is_a_lockout() {
    let mut rig = Rig::new();
    let counter = rig.lock_by_ignition();
    let named = rig.device.memory().lockout;
    rig.power_cycle();
    rig.steps(MINUTE);
    assert!(!rig.burns());
    assert_eq!(rig.status().fault, named, "the same occurrence, with the boot in which it was");
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
fn overheat_is_reset_at_the_boiler_alone() {
    let mut rig = Rig::burning();
    rig.flow(11_000);
    rig.steps(2);
    assert!(!rig.burns() && rig.pumps());
    assert_eq!(rig.locked_by(), Some(FaultKind::Overheat));
    let counter = rig.device.memory().lockout.unwrap().counter;
    rig.press();
    assert_eq!(rig.locked_by(), Some(FaultKind::Overheat), "too hot still: it is locked out again at once");
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
fn a_button_that_is_held_or_jammed_resets_once() {
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
fn the_sixth_reset_in_a_quarter_of_an_hour_is_refused() {
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
    assert_eq!(rig.reset(counter), Outcome::Refused(Refusal::TooMany), "a power cut does not forget them");
    rig.steps(17 * MINUTE);
    assert!(matches!(rig.reset(counter), Outcome::Accepted { .. }));
}

#[test]
fn what_is_set_at_the_panel_refuses_leases_and_is_seen() {
    let mut rig = Rig::burning();
    assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }));
    rig.board.inputs.panel = Panel::Flow(CentiCelsius(9_000));
    rig.steps(1);
    assert_eq!(rig.status().setpoint, None, "the lease has ended");
    let refused = rig.setpoint(5_000);
    assert_eq!(rig.request(&ToDevice::Setpoint(refused)), Outcome::Refused(Refusal::Panel));
    assert_eq!(rig.device.own_flow(), CentiCelsius(7_500), "by hand, but within the installer's limits");
    rig.board.inputs.panel = Panel::Off;
    rig.steps(SECOND);
    assert!(!rig.burns());
    rig.steps(11 * SECOND);
    assert_eq!(rig.status().state, BoilerState::Standby);
    rig.flow(400);
    rig.steps(10 * SECOND);
    assert!(rig.burns(), "frost protection goes on");
    rig.flow(3_000);
    rig.board.inputs.panel = Panel::Automatic;
    rig.steps(1);
    assert_eq!(rig.request(&ToDevice::Setpoint(refused)), Outcome::Refused(Refusal::Order), "what was refused is over");
    assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }));
}

#[test]
fn what_passes_by_itself_blocks_and_comes_back() {
    type Spoil = fn(&mut Injected);
    let spoils: [(Spoil, u64, FaultKind, bool); 6] = [
        (|it| it.inputs.pressure_mbar = 499, 2, FaultKind::LowPressure, false),
        (|it| it.inputs.water_moves = Some(false), 32, FaultKind::Pump, true),
        (|it| it.quality = Quality::Open, 2, FaultKind::Sensor, true),
        (|it| it.flow = 12_501, 2, FaultKind::Sensor, true),
        (|it| it.inputs.second_flow = None, 2, FaultKind::Sensor, true),
        (|it| it.silent = true, 12, FaultKind::Sensor, true),
    ];
    for (index, (spoil, steps, kind, pumps)) in spoils.into_iter().enumerate() {
        let mut rig = Rig::burning();
        let sound = rig.board.clone();
        spoil(&mut rig.board);
        rig.steps(steps);
        assert!(!rig.burns(), "spoilt {index}");
        let status = rig.status();
        assert_eq!(
            (status.state, status.fault.map(|it| (it.kind, it.lockout))),
            (BoilerState::Blocked, Some((kind, false)))
        );
        assert!(matches!(rig.ask(5_000), Outcome::Accepted { .. }), "what passes is no reason to refuse");
        rig.steps(MINUTE);
        assert!(!rig.burns());
        assert_eq!(rig.pumps(), pumps, "spoilt {index}");
        rig.board = sound;
        rig.steps(10 * SECOND);
        assert!(rig.burns(), "spoilt {index}");
        assert_eq!(rig.status().fault, None);
    }
}

#[test]
fn a_sensor_far_off_the_other_one_is_a_lockout() {
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
fn an_outdoor_temperature_that_no_sensor_reads_is_none() {
    let mut rig = Rig::new();
    for (outdoor, kept) in [(-5_001, false), (-5_000, true), (6_000, true), (6_001, false)] {
        rig.board.inputs.outdoor = Some(CentiCelsius(outdoor));
        rig.steps(1);
        assert_eq!(rig.status().outdoor.is_some(), kept);
        assert_eq!(rig.device.own_flow() == CentiCelsius(5_000), !kept, "the curve's fixed value");
    }
}

#[test]
fn a_stall_of_the_firmware_closes_the_gas_and_begins_with_a_purge() {
    let mut rig = Rig::burning();
    let config = Config { catch_up_slots: 3, ..config() };
    let mut device = Device::new(config, Boot(1), vec![Reading::default(); 8]);
    for step in 0..=100 {
        device.poll(step * STEP_US, &mut rig.board);
    }
    assert!(device.actuators().burner_permille > 0);
    device.poll(100 * STEP_US + 1_500_000, &mut rig.board);
    assert_eq!(device.actuators().burner_permille, 0, "the watchdog was there before us");
}

/// What happens to a boiler in a test.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Flow(i16),
    Second(Option<i16>),
    Ramp { per_step: i16, steps: u64 },
    Quality(bool),
    Silent(bool),
    Flame(Flame),
    Pressure(u16),
    Water(Option<bool>),
    Draw(bool),
    Panel(Panel),
    Press,
    Ask(i16),
    Reset,
    PowerCycle,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..400_u64).prop_map(Step::Wait),
        4 => (1_000..7_000_i16).prop_map(Step::Flow),
        1 => (-3_000..13_000_i16).prop_map(Step::Flow),
        1 => prop::option::of(0..12_000_i16).prop_map(Step::Second),
        2 => (1..40_i16, 20..120_u64).prop_map(|(per_step, steps)| Step::Ramp { per_step, steps }),
        2 => prop::bool::weighted(0.7).prop_map(Step::Quality),
        2 => prop::bool::weighted(0.3).prop_map(Step::Silent),
        3 => prop_oneof![3 => Just(Flame::Follows), 1 => Just(Flame::Never), 1 => Just(Flame::Always)].prop_map(Step::Flame),
        2 => prop_oneof![Just(1_500), 0..1_000_u16].prop_map(Step::Pressure),
        2 => prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)].prop_map(Step::Water),
        1 => any::<bool>().prop_map(Step::Draw),
        1 => prop_oneof![
            2 => Just(Panel::Automatic),
            1 => (0..12_000_i16).prop_map(|flow| Panel::Flow(CentiCelsius(flow))),
            1 => Just(Panel::Off),
        ].prop_map(Step::Panel),
        2 => Just(Step::Press),
        2 => (0..12_000_i16).prop_map(Step::Ask),
        2 => Just(Step::Reset),
        1 => Just(Step::PowerCycle),
    ]
}

/// Looks at every step of a rig, and knows nothing of how the firmware decides.
struct Witness {
    rig: Rig,
    /// Steps since the board was changed: the firmware sees a reading a step after it was taken.
    settled: u64,
    /// Steps in which the sensor was silent.
    silence: u64,
    dark: u64,
    /// Steps of a steady rise, and how much.
    rising: (u64, i16),
    resets: Vec<u64>,
    clock: u64,
}

impl Witness {
    fn change(&mut self, change: impl FnOnce(&mut Rig)) {
        change(&mut self.rig);
        self.settled = 0;
    }

    fn step(&mut self) {
        let before = self.rig.device.memory().lockout;
        self.rig.steps(1);
        self.clock += 1;
        self.settled += 1;
        self.silence = if self.rig.board.silent { self.silence + 1 } else { 0 };
        let lit = self.rig.board.flame != Flame::Never;
        self.dark = if self.rig.burns() && !lit { self.dark + 1 } else { 0 };
        assert!(before.is_none() || self.rig.device.memory().lockout == before, "a lockout holds until its reset");
        self.look();
    }

    /// Nothing burns beyond a limit.
    fn look(&self) {
        let Rig { board, device, .. } = &self.rig;
        let burner = device.actuators().burner_permille;
        if burner == 0 {
            return;
        }
        assert!(device.memory().lockout.is_none(), "locked out");
        assert!(self.silence <= 12, "blind");
        assert!(self.dark <= 51, "gas without a flame for {} steps", self.dark);
        assert!(device.actuators().pump, "nothing carries the heat away");
        if self.settled < 2 {
            return;
        }
        assert!(board.inputs.pressure_mbar >= 500, "low pressure");
        let second = board.inputs.second_flow.expect("the second sensor is away").0;
        if !board.silent {
            assert!(board.quality == Quality::Ok && (-2_500..=12_500).contains(&board.flow), "a broken sensor");
            assert!(board.flow.max(second) < 8_800, "too hot");
            assert!((i32::from(board.flow) - i32::from(second)).abs() <= 1_000, "the sensors disagree");
        }
        assert!(board.inputs.water_moves != Some(false) || self.settled < 33, "the water stands still");
        let (steps, per_step) = self.rising;
        // A little beyond the limits, so that how a rise is measured is the firmware's business.
        assert!(steps < 25 || per_step < 28, "dry");
        assert!(steps < 25 || per_step < 11 || burner <= config().burner_permille_min, "a fast rise at {burner}");
        assert!(steps < 80 || per_step < 11, "a rise that does not end");
    }

    fn note_reset(&mut self, was_locked: bool) {
        if was_locked && self.rig.device.memory().lockout.is_none() {
            self.resets.push(self.clock);
            let recent = self.resets.iter().filter(|&&at| self.clock - at <= 15 * MINUTE).count();
            assert!(recent <= 5, "{recent} resets in 15 minutes");
        }
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Wait(steps) => (0..steps).for_each(|_| self.step()),
            Step::Flow(flow) => self.change(|rig| rig.flow(flow)),
            Step::Second(flow) => self.change(|rig| rig.board.inputs.second_flow = flow.map(CentiCelsius)),
            Step::Ramp { per_step, steps } => self.ramp(per_step, steps),
            Step::Quality(sound) => {
                self.change(|rig| rig.board.quality = if sound { Quality::Ok } else { Quality::Short });
            }
            Step::Silent(silent) => self.change(|rig| rig.board.silent = silent),
            Step::Flame(flame) => self.change(|rig| rig.board.flame = flame),
            Step::Pressure(mbar) => self.change(|rig| rig.board.inputs.pressure_mbar = mbar),
            Step::Water(moves) => self.change(|rig| rig.board.inputs.water_moves = moves),
            Step::Draw(draw) => self.change(|rig| rig.board.hot_water = draw),
            Step::Panel(panel) => self.change(|rig| rig.board.inputs.panel = panel),
            Step::Press => {
                let locked = self.rig.device.memory().lockout.is_some();
                self.rig.board.inputs.reset_pressed = true;
                self.change(|rig| rig.steps(1));
                self.clock += 1;
                self.rig.board.inputs.reset_pressed = false;
                self.note_reset(locked);
                self.step();
            }
            Step::Ask(flow) => {
                let locked = self.rig.device.memory().lockout.is_some();
                let accepted = matches!(self.rig.ask(flow), Outcome::Accepted { .. });
                assert!(!(accepted && locked), "a set-point behind a lockout");
            }
            Step::Reset => {
                let locked = self.rig.device.memory().lockout;
                let outcome = self.rig.reset(locked.map_or(1, |fault| fault.counter));
                let local = [FaultKind::Overheat, FaultKind::SensorMismatch, FaultKind::Pump];
                let may = locked.is_some_and(|fault| !local.contains(&fault.kind));
                assert!(may || matches!(outcome, Outcome::Refused(_)), "{outcome:?} of {locked:?}");
                self.note_reset(locked.is_some());
            }
            Step::PowerCycle => {
                let before = *self.rig.device.memory();
                self.rig.power_cycle();
                let after = self.rig.device.memory();
                assert!(before.lockout.is_none() || after.lockout == before.lockout, "it is kept");
                assert!(after.fault_counter >= before.fault_counter && after.boot_counter == before.boot_counter + 1);
                assert_eq!(after.resets, before.resets);
                assert_eq!(self.rig.status().burner_starts, 0, "what is volatile is gone");
                (self.silence, self.dark, self.settled) = (0, 0, 0);
            }
        }
    }

    fn ramp(&mut self, per_step: i16, steps: u64) {
        if self.rig.board.silent || self.rig.board.quality != Quality::Ok {
            return;
        }
        for step in 0..steps {
            let flow = self.rig.board.flow.saturating_add(per_step).min(8_700);
            self.rig.flow(flow);
            self.rising = if flow < 8_700 && self.rig.burns() { (self.rising.0 + 1, per_step) } else { (0, 0) };
            self.step();
            assert!(step < steps);
        }
        self.rising = (0, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_ever_burns_beyond_a_limit(steps in prop::collection::vec(any_step(), 1..60)) {
        let rig = Rig::burning();
        let mut witness =
            Witness { rig, settled: 9, silence: 0, dark: 0, rising: (0, 0), resets: Vec::new(), clock: 0 };
        for step in &steps {
            witness.act(step);
        }
    }

    /// Frames that were held, doubled and shuffled on their way, with any time between them.
    #[test]
    fn no_set_point_is_executed_twice_late_behind_a_newer_one_or_beyond_its_end(
        order in prop::collection::vec((0..12_usize, 0..400_u64), 1..60)
    ) {
        let mut rig = Rig::new();
        let sent: Vec<Setpoint> = (0..12).map(|_| {
            let setpoint = rig.setpoint(4_000);
            let flow = CentiCelsius(3_000 + 100 * i16::try_from(setpoint.n).unwrap());
            Setpoint { flow, lease_s: 20, ..setpoint }
        }).collect();
        let (mut newest, mut end_us) = (0, 0);
        for (index, wait) in order {
            let frame = sent[index];
            let accepted = matches!(rig.request(&ToDevice::Setpoint(frame)), Outcome::Accepted { .. });
            prop_assert_eq!(accepted, frame.n > newest);
            if accepted {
                (newest, end_us) = (frame.n, rig.now_us + 20_000_000);
            }
            for _ in 0..wait {
                rig.steps(1);
                let held = rig.status().setpoint;
                prop_assert_eq!(held.is_some(), rig.now_us < end_us);
                prop_assert!(held.is_none_or(|it| it.n == newest && it.flow == sent[newest as usize - 1].flow));
            }
        }
    }
}
