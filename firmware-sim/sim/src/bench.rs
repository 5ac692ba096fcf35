//! The firmware and its plant on a test bench: no line, no port, no clock, as fast as the machine allows.
//!
//! A week of heating takes seconds, because the firmware samples once per control step (100 ms) instead of every 10 ms.
//! Everything else is as on a serial line: the same control, safety, requests and answers, and the same plant with the
//! same seed.
//!
//! | what | number | why |
//! |---|---|---|
//! | sampling | 100 ms | the step of the firmware's control and of the plant: no decision is more frequent |
//! | speed | above 100,000 × real time on one core | 7 days × 3 climates × 3 seeds × 2 laws within a few minutes |
//!
//! ```ignore
//! # use firmware_sim::{bench::Bench, scenario::Scenario};
//! # use thermowell_wire::{CentiCelsius, line::Demand};
//! let scenario = Scenario::default().boiler(&"b1".parse().unwrap());
//! let mut bench = Bench::new(&scenario);
//! for minute in 1..=7 * 24 * 60 {
//!     bench.ask(Demand::Heat, CentiCelsius(4_500), 120);
//!     bench.run_to(minute * 60_000_000);
//!     println!("{:?} {:?}", bench.status().state, bench.signals().room_c);
//! }
//! ```

use thermowell_device::{Actuators, Board, Config, Device, Inputs, Measured, NonVolatile, Panel};
use thermowell_wire::line::{Demand, FRAME_MAX, FrameReader, Outcome, Setpoint, Status, ToDevice, ToGateway, encode};
use thermowell_wire::{CentiCelsius, Reading};

use crate::plant::{Account, STEP_US, Signals};
use crate::scenario::BoilerScenario;
use crate::source::PlantSource;

/// Old samples are never requested; the ring only has to exist.
const RING: usize = 16;

#[derive(Debug)]
pub struct Bench {
    device: Device<[Reading; RING]>,
    board: BenchBoard,
    now_us: u64,
    /// Number of the last request.
    n: u32,
}

impl Bench {
    /// The boiler of `scenario`, switched on at 0, with the firmware's default configuration. The scenario's line
    /// faults and reboots do not apply here.
    #[must_use]
    pub fn new(scenario: &BoilerScenario) -> Self {
        Self::with(scenario, Config::default())
    }

    /// Like [`Bench::new`], with another configuration. Its sampling period is replaced.
    #[must_use]
    pub fn with(scenario: &BoilerScenario, config: Config) -> Self {
        let period_us = u32::try_from(STEP_US).expect("100 ms are a u32 of microseconds");
        let config = Config { period_us, catch_up_slots: u64::MAX, simulated: true, ..scenario.firmware(config) };
        let boot = NonVolatile::default().start(0);
        let device = Device::new(config, boot, [Reading::default(); RING]);
        let mut bench = Self { device, board: BenchBoard(PlantSource::new(scenario)), now_us: 0, n: 0 };
        bench.device.poll(0, &mut bench.board);
        bench.send(&ToDevice::Resume { boot, from: 0 });
        bench
    }

    /// Simulated time since the start in µs.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Advances to `t_us` after the start; an earlier time has no effect.
    pub fn run_to(&mut self, t_us: u64) {
        if t_us > self.now_us {
            self.now_us = t_us;
            self.device.poll(t_us, &mut self.board);
        }
    }

    /// Requests a set-point as a gateway would, and returns the firmware's answer.
    pub fn ask(&mut self, demand: Demand, flow: CentiCelsius, lease_s: u16) -> Outcome {
        let (boot, n) = (self.device.boot(), self.next_n());
        self.request(&ToDevice::Setpoint(Setpoint { boot, n, demand, flow, lease_s }))
    }

    /// Ends the lease: the boiler returns to its own control.
    pub fn release(&mut self) -> Outcome {
        let (boot, n) = (self.device.boot(), self.next_n());
        self.request(&ToDevice::Release { boot, n })
    }

    /// Requests the reset of a lockout, by the counter of its fault.
    pub fn reset(&mut self, fault: u32) -> Outcome {
        let (boot, n) = (self.device.boot(), self.next_n());
        self.request(&ToDevice::Reset { boot, n, fault })
    }

    /// Turns the knob at the panel.
    pub fn set_panel(&mut self, panel: Panel) {
        self.board.0.set_panel(panel);
    }

    /// Presses the reset button briefly.
    pub fn press_reset(&mut self) {
        self.board.0.press_reset();
    }

    /// The firmware's current status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.device.status(self.now_us)
    }

    /// The newest reading of the flow sensor, with its quality and the pump, hot-water and flame bits.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.device.newest().expect("a bench never misses a slot")
    }

    /// The plant's true state, without sensor errors.
    #[must_use]
    pub fn signals(&self) -> Signals {
        self.board.0.truth().signals()
    }

    /// The energy balance since the start: gas, radiators, tap.
    #[must_use]
    pub fn account(&self) -> Account {
        self.board.0.truth().account()
    }

    #[must_use]
    pub fn device(&self) -> &Device<[Reading; RING]> {
        &self.device
    }

    fn next_n(&mut self) -> u32 {
        self.n += 1;
        self.n
    }

    fn send(&mut self, message: &ToDevice) {
        let mut buffer = [0; FRAME_MAX];
        let frame = encode(message, &mut buffer).expect("no message is longer than a frame");
        self.device.receive(frame, self.now_us);
    }

    fn request(&mut self, message: &ToDevice) -> Outcome {
        self.send(message);
        // Answers have priority, and one frame always fits, however busy the line was.
        let mut out = [0; FRAME_MAX];
        let mut wait_us = 0;
        loop {
            let written = self.device.transmit(self.now_us + wait_us, &mut out);
            let mut answer = None;
            FrameReader::new().feed::<ToGateway>(&out[..written], |message| {
                if let Ok(ToGateway::Answer(it)) = message {
                    answer = Some(it.outcome);
                }
            });
            if let Some(outcome) = answer {
                return outcome;
            }
            wait_us += STEP_US;
            assert!(wait_us < 1_000_000, "the firmware answers every request");
        }
    }
}

#[derive(Debug)]
struct BenchBoard(PlantSource);

impl Board for BenchBoard {
    fn sample(&mut self, _: u64, slot_us: u64, actuators: &Actuators) -> Option<Measured> {
        Some(self.0.measure(slot_us, actuators))
    }

    fn inputs(&mut self, device_us: u64, actuators: &Actuators) -> Inputs {
        self.0.inputs(device_us, actuators)
    }
}

#[cfg(test)]
mod tests {
    use thermowell_wire::line::Refusal;
    use thermowell_wire::units::HOUR_US;

    use super::*;
    use crate::scenario::Scenario;

    fn bench(text: &str) -> Bench {
        Bench::new(&Scenario::parse("test", text).unwrap().boiler(&"b1".parse().unwrap()))
    }

    #[test]
    fn a_simulated_day_is_independent_of_the_stride() {
        let (mut coarse, mut fine) = (bench("seed = 5"), bench("seed = 5"));
        for minute in 1..=24 * 60 {
            fine.run_to(minute * 60_000_000);
        }
        coarse.run_to(24 * HOUR_US);
        assert_eq!(coarse.status(), fine.status());
        assert_eq!(coarse.signals(), fine.signals());
        let (starts, room_c) = (fine.status().burner_starts, fine.signals().room_c);
        assert!((5..200).contains(&starts) && (17.0..25.0).contains(&room_c), "{starts} starts, {room_c} °C");
        assert!(fine.account().gas_j > 1e8);
    }

    #[test]
    fn requests_are_answered_and_leases_expire() {
        let mut bench = bench("");
        bench.run_to(HOUR_US);
        let given = bench.ask(Demand::Heat, CentiCelsius(9_000), 300);
        assert_eq!(given, Outcome::Accepted { flow: CentiCelsius(7_500), lease_s: 120 });
        assert!(bench.device().is_leased());
        bench.run_to(HOUR_US + 119_000_000);
        assert!(bench.device().is_leased());
        bench.run_to(HOUR_US + 121_000_000);
        assert!(!bench.device().is_leased());
        assert!(matches!(bench.release(), Outcome::Accepted { lease_s: 0, .. }));
        assert!(matches!(bench.reset(1), Outcome::Refused(_)));
    }

    #[test]
    fn lockout_is_reset_remotely_or_at_the_boiler() {
        let no_gas = "[[trouble.flame]]\nat = \"0 s\"\nfor = \"1h\"\n";
        for at_the_boiler in [false, true] {
            let mut bench = bench(no_gas);
            bench.run_to(HOUR_US);
            let fault = bench.status().fault.unwrap();
            assert!(fault.lockout);
            if at_the_boiler {
                bench.press_reset();
            } else {
                assert!(matches!(bench.reset(fault.counter), Outcome::Accepted { .. }));
            }
            bench.run_to(HOUR_US + 60_000_000);
            assert_eq!((bench.status().fault, bench.status().burner_starts), (None, 1));
        }
    }

    #[test]
    fn panel_override_refuses_leases_until_automatic() {
        let mut bench = bench("");
        bench.run_to(HOUR_US);
        bench.set_panel(Panel::Off);
        bench.run_to(HOUR_US + 1_000_000);
        let refused = Outcome::Refused(Refusal::Panel);
        assert_eq!(bench.ask(Demand::Heat, CentiCelsius(5_000), 60), refused);
        bench.set_panel(Panel::Automatic);
        bench.run_to(HOUR_US + 2_000_000);
        assert!(matches!(bench.ask(Demand::Heat, CentiCelsius(5_000), 60), Outcome::Accepted { .. }));
    }
}
