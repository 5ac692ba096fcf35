//! The firmware with any input on the line.

use std::ops::RangeInclusive;

use proptest::prelude::*;
use thermowell_device::{Actuators, Board, Config, Device, Inputs, Measured};
use thermowell_wire::line::{Answer, Demand, FRAME_MAX, FrameReader, Outcome, Setpoint, ToDevice, ToGateway};
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

use super::inputs::{Grammar, number};
use super::line as frames;
use super::run::Target;
use super::script::{self, line, lines};

pub(crate) const TARGET: Target = Target { grammar, judge, cases: &[] };

/// A message of the gateway without checksum and frame, which are added, so that mutations reach the decoder.
const MESSAGE: u8 = 0;
const BYTES: u8 = 1;
const PASS: u8 = 2;

const BOOT: Boot = frames::BOOT;
const RING: usize = 300;
const SLOT_US: u64 = 10_000;
/// The maximum number of slots that pass at once, and in total.
const SLOTS_MAX: u64 = 2_000;
const SLOTS_IN_ALL: u64 = 20_000;
/// The longest accepted lease.
const LEASE_MAX_S: u16 = 120;
const LEASE_MAX_US: u64 = 120_000_000;
/// The installer's limits.
const FLOW: RangeInclusive<CentiCelsius> = CentiCelsius(2_500)..=CentiCelsius(7_500);

/// A board with constant readings.
struct Still;

impl Board for Still {
    fn sample(&mut self, seq: u64, _: u64, actuators: &Actuators) -> Option<Measured> {
        let flame = actuators.burner_permille > 0;
        let measured = Measured { flow: CentiCelsius(4_000), quality: Quality::Ok, hot_water: false, flame };
        (!seq.is_multiple_of(97)).then_some(measured)
    }

    fn inputs(&mut self, _: u64, _: &Actuators) -> Inputs {
        Inputs { outdoor: Some(CentiCelsius(500)), pressure_mbar: 1_500, ..Inputs::default() }
    }
}

fn judge(input: &[u8]) -> bool {
    let mut device = Device::new(Config::default(), BOOT, [Reading::default(); RING]);
    let (mut now_us, mut heard_us, mut slots) = (0, 0, 0);
    let mut reader = FrameReader::new();
    for line in lines(input) {
        let mut passing = 1;
        match line.kind {
            MESSAGE => device.receive(&frames::close(&[line.bytes.to_vec()]), now_us),
            BYTES => device.receive(line.bytes, now_us),
            PASS => passing = line.number() % SLOTS_MAX,
            _ => continue,
        }
        if line.kind != PASS {
            heard_us = now_us;
        }
        slots += passing;
        if slots > SLOTS_IN_ALL {
            break;
        }
        for _ in 0..passing {
            now_us += SLOT_US;
            device.poll(now_us, &mut Still);
            judge_sent(&mut device, now_us, &mut reader);
        }
        while device.take_event().is_some() {}
        assert!(device.actuators().burner_permille <= 1_000, "S7 the burner has no more than its power");
        let too_long = device.is_leased() && now_us > heard_us + LEASE_MAX_US + SLOT_US;
        assert!(!too_long, "S7 a lease lasts longer than 120 s after the last message");
        assert!(
            device.next() >= device.oldest() && device.next() - device.oldest() <= 300,
            "at most 300 slots are held"
        );
        assert_eq!(device.next(), slots_at(now_us), "every slot is sampled or missed, whatever is received");
    }
    slots > 0
}

/// The slot that is sampled next. Slot 0 is at 0.
fn slots_at(now_us: u64) -> u64 {
    if now_us == 0 { 0 } else { now_us / SLOT_US + 1 }
}

fn judge_sent(device: &mut Device<[Reading; RING]>, now_us: u64, reader: &mut FrameReader) {
    let mut out = [0; 2 * FRAME_MAX];
    let len = device.transmit(now_us, &mut out);
    reader.feed::<ToGateway>(&out[..len], |outcome| {
        let message = outcome.expect("what the device sends can be read");
        if let ToGateway::Answer(Answer { outcome: Outcome::Accepted { flow, lease_s }, .. }) = message {
            assert!(lease_s <= LEASE_MAX_S && FLOW.contains(&flow), "S7 {flow} for {lease_s} s was accepted");
        }
    });
}

fn grammar() -> Grammar {
    let message = |message: ToDevice| line(MESSAGE, frames::body(&message));
    let pass = |slots| script::number(PASS, slots);
    let resume = |from| message(ToDevice::Resume { boot: BOOT, from });
    let heat = |n, lease_s| {
        let flow = CentiCelsius(5_000);
        message(ToDevice::Setpoint(Setpoint { boot: BOOT, n, demand: Demand::Heat, flow, lease_s }))
    };
    let up = [message(ToDevice::Identify), pass(10), resume(0), pass(20)];
    let release = message(ToDevice::Release { boot: BOOT, n: 4 });
    let reset = message(ToDevice::Reset { boot: BOOT, n: 5, fault: 1 });
    let ping = message(ToDevice::Ping { nonce: 7 });
    let seeds = vec![
        [up.as_slice(), &[heat(1, 60), pass(100), heat(2, 120), pass(1_500), release, pass(1)]].concat(),
        [up.as_slice(), &[ping, pass(1), pass(1_000), resume(3), reset]].concat(),
        vec![heat(1, 60), pass(5), resume(u64::MAX), pass(5), line(BYTES, [1, 2, 0, 3])],
    ];
    Grammar::new(seeds, script::close).with_parts(number().prop_map(|slots| script::number(PASS, slots)))
}
