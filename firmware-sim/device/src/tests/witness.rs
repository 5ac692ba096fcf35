//! Random operation of a boiler, checked by a witness that only observes inputs and actuators.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use thermowell_wire::line::{FaultKind, Outcome, Setpoint, ToDevice};
use thermowell_wire::{CentiCelsius, Quality};

use super::safety::{Flame, MINUTE, Rig, config};
use crate::Panel;

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
    Air(Option<bool>),
    Contact(Option<bool>),
    Outdoor(Option<i16>),
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
        3 => prop_oneof![3 => Just(Flame::Follows), 1 => Just(Flame::Never), 1 => Just(Flame::Always)]
            .prop_map(Step::Flame),
        2 => prop_oneof![Just(1_500), 0..1_000_u16].prop_map(Step::Pressure),
        2 => prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)].prop_map(Step::Water),
        1 => any::<bool>().prop_map(Step::Draw),
        2 => prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)].prop_map(Step::Air),
        1 => any::<Option<bool>>().prop_map(Step::Contact),
        2 => prop::option::of(-6_000..7_000_i16).prop_map(Step::Outdoor),
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

/// Checks every step of a rig, independently of how the firmware decides.
struct Witness {
    rig: Rig,
    /// Steps since the board last changed: the firmware uses a reading one step after it was taken.
    settled: u64,
    /// Steps without a reading.
    silence: u64,
    /// Steps with the gas open and no flame.
    dark: u64,
    /// Steps with the gas open and no air.
    airless: u64,
    /// Steps of a steady rise, and the rise per step.
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
        let airless = self.rig.burns() && self.rig.board.inputs.air_proof == Some(false);
        self.airless = if airless { self.airless + 1 } else { 0 };
        assert!(before.is_none() || self.rig.device.memory().lockout == before, "a lockout lasts until its reset");
        self.look();
    }

    /// Asserts that the burner does not fire beyond a limit.
    fn look(&self) {
        let Rig { board, device, .. } = &self.rig;
        let burner = device.actuators().burner_permille;
        if burner == 0 {
            return;
        }
        assert!(device.memory().lockout.is_none(), "locked out");
        assert!(self.silence <= 12, "no reading");
        assert!(self.dark <= 51, "gas without a flame for {} steps", self.dark);
        assert!(self.airless <= 6, "gas without air for {} steps", self.airless);
        assert!(device.actuators().fan, "gas without the fan");
        assert!(device.actuators().pump, "firing without the pump");
        if self.settled < 2 {
            return;
        }
        assert!(board.inputs.pressure_mbar >= 500, "low pressure");
        let second = board.inputs.second_flow.expect("firing without the second sensor").0;
        if !board.silent {
            assert!(board.quality == Quality::Ok && (-2_500..=12_500).contains(&board.flow), "a broken sensor");
            assert!(board.flow.max(second) < 8_800, "too hot");
            assert!((i32::from(board.flow) - i32::from(second)).abs() <= 1_000, "the sensors disagree");
        }
        assert!(board.inputs.water_moves != Some(false) || self.settled < 33, "no water flow");
        let asked = device.is_leased() || board.inputs.panel != Panel::Automatic || board.hot_water || board.silent;
        let withheld = board.inputs.room_contact == Some(false) || device.own_heat().is_err();
        // Frost protection goes up to 15 °C, and a ramp is at most 0.8 K ahead of what it has seen.
        assert!(asked || !withheld || board.flow <= 1_580, "own control heats although {:?}", device.own_heat());
        let (steps, per_step) = self.rising;
        // A little beyond the limits: how exactly a rise is measured is the firmware's business.
        assert!(steps < 25 || per_step < 28, "no water in the boiler");
        assert!(steps < 25 || per_step < 11 || burner <= config().burner_permille_min, "a fast rise at {burner}");
        assert!(steps < 80 || per_step < 11, "an unlimited rise");
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
            Step::Air(air) => self.change(|rig| rig.board.inputs.air_proof = air),
            Step::Contact(contact) => self.change(|rig| rig.board.inputs.room_contact = contact),
            Step::Outdoor(outdoor) => self.change(|rig| rig.board.inputs.outdoor = outdoor.map(CentiCelsius)),
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
                assert!(!(accepted && locked), "a set-point accepted during a lockout");
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
                assert!(before.lockout.is_none() || after.lockout == before.lockout, "the lockout is kept");
                assert!(after.fault_counter >= before.fault_counter && after.boot_counter == before.boot_counter + 1);
                assert_eq!(after.resets, before.resets);
                assert_eq!(self.rig.status().burner_starts, 0, "volatile state is cleared");
                (self.silence, self.dark, self.airless, self.settled) = (0, 0, 0, 0);
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
    fn burner_never_fires_beyond_a_limit(steps in prop::collection::vec(any_step(), 1..60)) {
        let rig = Rig::burning();
        let (resets, rising) = (Vec::new(), (0, 0));
        let mut witness = Witness { rig, settled: 9, silence: 0, dark: 0, airless: 0, rising, resets, clock: 0 };
        for step in &steps {
            witness.act(step);
        }
    }

    /// Set-points that were delayed, duplicated and reordered, with any time between them.
    #[test]
    fn stale_set_points_are_refused_and_leases_expire(
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
