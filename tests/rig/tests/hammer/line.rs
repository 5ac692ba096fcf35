//! The serial line, both directions: any bytes in any chunks.

use std::fmt::Debug;

use thermowell_wire::line::{
    ActiveSetpoint, Answer, BoilerState, Demand, FRAME_MAX, Fault, FaultKind, FrameReader, GapNotice, GapReason, Hello,
    Message, Outcome, PROTOCOL, Pong, READINGS_MAX, Refusal, Rejection, Samples, Setpoint, Status, ToDevice, ToGateway,
    encode,
};
use thermowell_wire::{Boot, CRC32C, CentiCelsius, Reading};

use super::inputs::{Grammar, Part};
use super::run::Target;

pub(crate) const TO_GATEWAY: Target = Target {
    grammar: || grammar(&from_device()),
    judge: |input| judge(input, &ToGateway::Pong(Pong { nonce: 1, device_us: 2 })),
    cases: &[],
};

pub(crate) const TO_DEVICE: Target =
    Target { grammar: || grammar(&from_gateway()), judge: |input| judge(input, &ToDevice::Identify), cases: &[] };

/// Parts are messages without frame and checksum: each message alone, and all of them in a row.
fn grammar<M: Message>(messages: &[M]) -> Grammar {
    let bodies: Vec<Part> = messages.iter().map(body).collect();
    Grammar::new(bodies.iter().map(|body| vec![body.clone()]).chain([bodies.clone()]).collect(), close)
}

/// A message without its frame and checksum.
pub(crate) fn body<M: Message>(message: &M) -> Part {
    let mut out = [0; FRAME_MAX];
    open(encode(message, &mut out).expect("no message is longer than a frame")).remove(0)
}

/// The bodies of the valid frames.
pub(crate) fn open(input: &[u8]) -> Vec<Part> {
    let frames = input.split(|&byte| byte == 0).filter_map(unstuff);
    frames.filter_map(|bytes| bytes.split_last_chunk::<4>().map(|(body, _)| body.to_vec())).collect()
}

/// Each body with its checksum, as a frame.
pub(crate) fn close(bodies: &[Part]) -> Vec<u8> {
    let frame = |body: &Part| {
        let sealed = [body.as_slice(), &CRC32C.checksum(body).to_le_bytes()].concat();
        let mut frame = vec![0; cobs::max_encoding_length(sealed.len()) + 1];
        let len = cobs::encode(&sealed, &mut frame);
        frame.truncate(len + 1);
        frame
    };
    bodies.iter().flat_map(frame).collect()
}

type Decoded<M> = Result<M, Rejection>;

/// `good` is a message that must be decoded after any input.
fn judge<M: Message + Clone + Debug + PartialEq>(input: &[u8], good: &M) -> bool {
    let whole: Vec<Decoded<M>> = decode([input]);
    assert_eq!(whole, decode(input.chunks(1)), "the chunking changes nothing");
    assert_eq!(whole, decode(input.split_inclusive(|byte| byte % 5 == 0)), "the chunking changes nothing");

    let expected: Vec<Frame> = input.split(|&byte| byte == 0).map(reference).collect();
    // There is no frame yet after the last zero, and no frame at all between two zeros.
    let ended = &expected[..expected.len() - 1];
    let frames: Vec<&Frame> = ended.iter().filter(|frame| **frame != Frame::Idle).collect();
    assert_eq!(frames.len(), whole.len(), "each frame that ends has one outcome");
    frames.into_iter().zip(&whole).for_each(|(frame, outcome)| judge_outcome(frame, outcome));

    let mut frame = [0; FRAME_MAX];
    let frame = encode(good, &mut frame).expect("a good message can be encoded");
    let outcomes = decode::<M>([input, &[0], frame]);
    assert_eq!(outcomes.last(), Some(&Ok(good.clone())), "after a zero the next good frame is read");
    whole.iter().any(Result::is_ok)
}

fn judge_outcome<M: Message + Debug + PartialEq>(frame: &Frame, outcome: &Decoded<M>) {
    match (frame, outcome) {
        (Frame::Rejected(expected), Err(rejection)) => assert_eq!(expected, rejection, "the cause is the reference's"),
        (Frame::Body, Err(Rejection::Malformed | Rejection::Trailing)) => {}
        (Frame::Body, Ok(message)) => {
            assert!(message.is_well_formed(), "{message:?}");
            let body = body(message);
            let decoded = |body: &[u8]| decode::<M>([close(&[body.to_vec()]).as_slice()]);
            let [Ok(again)] = &decoded(&body)[..] else { panic!("{message:?} is not one message again") };
            assert_eq!(again, message, "decode(encode(x)) is x");
            // Otherwise a message that is cut off, or has something after it, would be another good one.
            for other in [&body[..body.len() - 1], &[body.as_slice(), &[1]].concat()] {
                assert!(
                    decoded(other).iter().all(Result::is_err),
                    "accepted, although cut off or followed by something"
                );
            }
        }
        (frame, outcome) => panic!("{frame:?} became {outcome:?}"),
    }
}

fn decode<'a, M: Message>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Decoded<M>> {
    let mut reader = FrameReader::new();
    let mut outcomes = Vec::new();
    chunks.into_iter().for_each(|chunk| reader.feed(chunk, |outcome| outcomes.push(outcome)));
    outcomes
}

/// What is between two zeros, by a model that is simpler than the code.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    /// Nothing.
    Idle,
    /// Not a message, for this cause.
    Rejected(Rejection),
    /// A good checksum.
    Body,
}

fn reference(frame: &[u8]) -> Frame {
    if frame.is_empty() {
        return Frame::Idle;
    }
    if frame.len() >= FRAME_MAX {
        return Frame::Rejected(Rejection::Oversized);
    }
    let Some(decoded) = unstuff(frame) else { return Frame::Rejected(Rejection::Cobs) };
    match decoded.split_last_chunk::<4>() {
        None | Some(([], _)) => Frame::Rejected(Rejection::Short),
        Some((body, checksum)) if CRC32C.checksum(body) == u32::from_le_bytes(*checksum) => Frame::Body,
        Some(_) => Frame::Rejected(Rejection::Checksum),
    }
}

/// COBS, from its definition: a code, then that many bytes less one, then a zero unless the code was 255.
fn unstuff(mut frame: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some((&code, rest)) = frame.split_first() {
        let (block, rest) = rest.split_at_checked(usize::from(code).checked_sub(1)?)?;
        bytes.extend_from_slice(block);
        if code < u8::MAX && !rest.is_empty() {
            bytes.push(0);
        }
        frame = rest;
    }
    Some(bytes)
}

pub(crate) const BOOT: Boot = Boot(0x0000_0007_dead_be42);

/// `count` readings from `seq` on.
pub(crate) fn samples(seq: u64, count: i16) -> ToGateway {
    let reading = |centi| Reading { temperature: CentiCelsius(centi), marks: 0b1_0100 };
    ToGateway::Samples(Samples { tag: BOOT.tag(), seq, readings: (0..count).map(|n| reading(4_000 + n)).collect() })
}

/// What a device sends, each kind once or twice.
pub(crate) fn from_device() -> Vec<ToGateway> {
    let full = i16::try_from(READINGS_MAX).expect("32");
    let hello = Hello {
        protocol: PROTOCOL,
        boot: BOOT,
        serial_number: "TW-0001".try_into().expect("7 bytes"),
        firmware: "thermowell-device 0.1.0".try_into().expect("23 bytes"),
        period_us: 10_000,
        ring: 12_000,
        oldest: 0,
        next: 12_345,
        device_us: 123_450_000,
        simulated: true,
        own_flow: CentiCelsius(4_500),
    };
    vec![
        samples(12_345, 1),
        ToGateway::Hello(hello),
        samples(u64::MAX - 32, full),
        ToGateway::Gap(GapNotice { tag: BOOT.tag(), from: 7, to: 9_000, reason: GapReason::Ring }),
        ToGateway::Status(Status {
            tag: BOOT.tag(),
            next: 12_346,
            device_us: 123_460_000,
            marks: 0b1_0100,
            modulation: 40,
            return_temperature: Some(CentiCelsius(3_500)),
            room: None,
            outdoor: Some(CentiCelsius(-1_050)),
            pressure_mbar: 1_500,
            setpoint: Some(ActiveSetpoint {
                n: 9,
                demand: Demand::Heat,
                flow: CentiCelsius(5_000),
                lease_left_ms: 59_000,
            }),
            state: BoilerState::Firing,
            fault: Some(Fault { boot: BOOT, counter: 3, kind: FaultKind::LowPressure, lockout: false }),
            burner_starts: 17,
        }),
        ToGateway::Answer(Answer {
            boot: BOOT,
            n: 9,
            outcome: Outcome::Accepted { flow: CentiCelsius(5_000), lease_s: 60 },
        }),
        ToGateway::Answer(Answer { boot: BOOT, n: 8, outcome: Outcome::Refused(Refusal::Order) }),
        ToGateway::Pong(Pong { nonce: 0xfeed_f00d, device_us: 123_470_000 }),
    ]
}

fn from_gateway() -> [ToDevice; 6] {
    [
        ToDevice::Identify,
        ToDevice::Resume { boot: BOOT, from: 12_345 },
        ToDevice::Ping { nonce: 0xfeed_f00d },
        ToDevice::Setpoint(Setpoint { boot: BOOT, n: 9, demand: Demand::Heat, flow: CentiCelsius(5_000), lease_s: 60 }),
        ToDevice::Release { boot: BOOT, n: 10 },
        ToDevice::Reset { boot: BOOT, n: 11, fault: 3 },
    ]
}
