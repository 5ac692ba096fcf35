//! A device on the bench: a scripted board, and a line whose frames are decoded at once.

mod leases;
mod line;
mod own;
mod plant;
mod safety;
mod sequence;
mod witness;

use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use thermowell_wire::line::{FrameReader, Hello, Pong, Samples, ToDevice, ToGateway, encode};
use thermowell_wire::units::SECOND_US;
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

use crate::{Actuators, Board, Config, Device, Inputs, Measured};

const BOOT: Boot = Boot(0x0000_0007_1234_5678);

/// A device with distinct readings per slot, and slots that can be missed.
struct Bench {
    device: Device<Vec<Reading>>,
    board: Script,
    now_us: u64,
}

#[derive(Default)]
struct Script {
    /// A fixed flow temperature; None gives each slot its own.
    flow: Option<(CentiCelsius, Quality)>,
    hot_water: bool,
    outdoor: Option<CentiCelsius>,
    missed: BTreeSet<u64>,
    miss_all: bool,
}

impl Script {
    fn reading(seq: u64) -> CentiCelsius {
        CentiCelsius(i16::try_from(seq * 7 % 6_000).unwrap())
    }
}

impl Board for Script {
    fn sample(&mut self, seq: u64, slot_us: u64, actuators: &Actuators) -> Option<Measured> {
        assert_eq!(slot_us, seq * 10_000, "slot times do not depend on when they are sampled");
        if self.miss_all {
            self.missed.insert(seq);
        }
        let (flow, quality) = self.flow.unwrap_or((Self::reading(seq), Quality::Ok));
        let flame = actuators.burner_permille > 0;
        (!self.missed.contains(&seq)).then_some(Measured { flow, quality, hot_water: self.hot_water, flame })
    }

    fn inputs(&mut self, _: u64, _: &Actuators) -> Inputs {
        Inputs { outdoor: self.outdoor, pressure_mbar: 1_500, ..Inputs::default() }
    }
}

impl Bench {
    fn new(ring: usize) -> Self {
        Self::with(ring, Config { catch_up_slots: u64::MAX, ..Config::default() })
    }

    fn with(ring: usize, config: Config) -> Self {
        let device = Device::new(config, BOOT, vec![Reading::default(); ring]);
        let mut bench = Self { device, board: Script::default(), now_us: 0 };
        bench.device.poll(0, &mut bench.board);
        bench
    }

    fn resumed(ring: usize) -> Self {
        let mut bench = Self::new(ring);
        bench.send(&ToDevice::Resume { boot: BOOT, from: 0 });
        bench
    }

    fn send(&mut self, message: &ToDevice) {
        let mut buffer = [0; 256];
        let frame = encode(message, &mut buffer).unwrap();
        self.device.receive(frame, self.now_us);
    }

    fn receive(&mut self) -> Vec<ToGateway> {
        let mut bytes = [0; 4_096];
        let written = self.device.transmit(self.now_us, &mut bytes);
        let mut received = Vec::new();
        FrameReader::new().feed(&bytes[..written], |message| received.push(message.unwrap()));
        received
    }

    fn advance(&mut self, us: u64) {
        self.now_us += us;
        self.device.poll(self.now_us, &mut self.board);
    }

    /// Runs in ticks of a millisecond, as the simulator does, and returns all messages.
    fn run(&mut self, us: u64) -> Vec<ToGateway> {
        let mut received = Vec::new();
        let end = self.now_us + us;
        while self.now_us < end {
            self.advance((end - self.now_us).min(1_000));
            received.extend(self.receive());
        }
        received
    }

    fn hello(&mut self) -> Hello {
        self.send(&ToDevice::Identify);
        let received = self.run(50_000);
        received.into_iter().find_map(|it| if let ToGateway::Hello(hello) = it { Some(hello) } else { None }).unwrap()
    }

    fn status(&mut self) -> thermowell_wire::line::Status {
        let received = self.run(SECOND_US + 100_000);
        received.into_iter().rev().find_map(|it| if let ToGateway::Status(it) = it { Some(it) } else { None }).unwrap()
    }
}

fn samples(received: &[ToGateway]) -> Vec<&Samples> {
    received.iter().filter_map(|it| if let ToGateway::Samples(samples) = it { Some(samples) } else { None }).collect()
}

fn pongs(received: &[ToGateway]) -> Vec<&Pong> {
    received.iter().filter_map(|it| if let ToGateway::Pong(pong) = it { Some(pong) } else { None }).collect()
}
