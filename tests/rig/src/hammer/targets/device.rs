//! The firmware, with anybody at the other end of the line.

use std::ops::RangeInclusive;

use thermowell_device::{Actuators, Board, Config, Device, Inputs, Measured};
use thermowell_wire::line::{Answer, Demand, FRAME_MAX, FrameReader, Outcome, Setpoint, ToDevice, ToGateway, encode};
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading};

use super::line as frames;
use super::script::{self, lines, story};
use crate::hammer::judge::{Complaint, Target, Trace, must, same};

pub(super) const TARGET: Target = Target {
    name: "device",
    what: "frames from the gateway, and what the firmware makes of them",
    longest: 2_048,
    seeds,
    words: &[&[0xff; 9], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff\xff\x03", b"\x78", b"\x79"],
    parts: Some(script::PARTS),
    judge,
    cases: include_str!("../../../fuzz-corpus/device.txt"),
};

/// A message of the gateway without its checksum and frame, which are put on: mutations get through.
const MESSAGE: u8 = 0;
const BYTES: u8 = 1;
const PASS: u8 = 2;

const BOOT: Boot = frames::BOOT;
const RING: usize = 300;
const SLOT_US: u64 = 10_000;
/// The most slots that pass at once, and in all.
const SLOTS_MAX: u64 = 2_000;
const SLOTS_IN_ALL: u64 = 20_000;
/// No lease is longer, whatever was asked for.
const LEASE_MAX_S: u16 = 120;
const LEASE_MAX_US: u64 = 120_000_000;
/// The installer's limits.
const FLOW: RangeInclusive<CentiCelsius> = CentiCelsius(2_500)..=CentiCelsius(7_500);

/// A board on which nothing ever changes.
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

fn judge(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let mut device = Device::new(Config::default(), BOOT, [Reading::default(); RING]);
    let (mut now_us, mut told_us, mut slots) = (0, 0, 0);
    let mut reader = FrameReader::new();
    for line in lines(input) {
        let mut passing = 1;
        match line.kind {
            MESSAGE => device.receive(&(frames::PARTS.close)(&[line.bytes.to_vec()]), now_us),
            BYTES => device.receive(line.bytes, now_us),
            PASS => passing = line.number() % SLOTS_MAX,
            _ => continue,
        }
        if line.kind != PASS {
            told_us = now_us;
        }
        slots += passing;
        if slots > SLOTS_IN_ALL {
            break;
        }
        trace.accept();
        for _ in 0..passing {
            now_us += SLOT_US;
            device.poll(now_us, &mut Still);
            judge_said(&mut device, now_us, &mut reader, &mut trace)?;
        }
        while let Some(event) = device.take_event() {
            trace.note_shape(&event);
        }
        trace.note((device.is_leased(), device.actuators().burner_permille > 0));
        must(device.actuators().burner_permille <= 1_000, "S7 the burner has no more than its power")?;
        let too_long = device.is_leased() && now_us > told_us + LEASE_MAX_US + SLOT_US;
        must(!too_long, "S7 a lease is over 120 s behind the last message")?;
        must(device.next() >= device.oldest() && device.next() - device.oldest() <= 300, "the ring is a ring")?;
        let held = slots_at(now_us);
        same("every slot is sampled or missed, whatever is said", &device.next(), &held)?;
    }
    Ok(trace)
}

/// The slot that is sampled next: slot 0 is at 0.
fn slots_at(now_us: u64) -> u64 {
    if now_us == 0 { 0 } else { now_us / SLOT_US + 1 }
}

fn judge_said(
    device: &mut Device<[Reading; RING]>,
    now_us: u64,
    reader: &mut FrameReader,
    trace: &mut Trace,
) -> Result<(), Complaint> {
    let mut out = [0; 2 * FRAME_MAX];
    let len = device.transmit(now_us, &mut out);
    let (mut bad, mut within) = (None, true);
    reader.feed::<ToGateway>(&out[..len], |outcome| match outcome {
        Ok(ToGateway::Samples(_) | ToGateway::Status(_)) => {}
        Ok(ToGateway::Answer(Answer { outcome: Outcome::Accepted { flow, lease_s }, .. })) => {
            trace.note("accepted");
            within &= lease_s <= LEASE_MAX_S && FLOW.contains(&flow);
        }
        Ok(message) => trace.note_shape(&std::mem::discriminant(&message)),
        Err(rejection) => bad = Some(rejection),
    });
    must(within, "S7 what is accepted keeps the device's limits")?;
    same("what the device says can be read", &bad, &None)
}

/// A message of the gateway without its frame and checksum.
fn body(message: &ToDevice) -> Vec<u8> {
    let mut out = [0; FRAME_MAX];
    let frame = encode(message, &mut out).expect("no message is longer than a frame");
    (frames::PARTS.open)(frame).pop().expect("one frame")
}

fn seeds() -> Vec<Vec<u8>> {
    let message = |message: ToDevice| (MESSAGE, body(&message));
    let pass = |slots: u64| (PASS, slots.to_le_bytes().to_vec());
    let resume = |from| message(ToDevice::Resume { boot: BOOT, from });
    let heat = |n, lease_s| {
        let flow = CentiCelsius(5_000);
        message(ToDevice::Setpoint(Setpoint { boot: BOOT, n, demand: Demand::Heat, flow, lease_s }))
    };
    let up = [message(ToDevice::Identify), pass(10), resume(0), pass(20)];
    let release = message(ToDevice::Release { boot: BOOT, n: 4 });
    let reset = message(ToDevice::Reset { boot: BOOT, n: 5, fault: 1 });
    vec![
        story(&[up.as_slice(), &[heat(1, 60), pass(100), heat(2, 120), pass(1_500), release, pass(1)]].concat()),
        story(
            &[up.as_slice(), &[message(ToDevice::Ping { nonce: 7 }), pass(1), pass(1_000), resume(3), reset]].concat(),
        ),
        story(&[heat(1, 60), pass(5), resume(u64::MAX), pass(5), (BYTES, vec![1, 2, 0, 3])]),
    ]
}
