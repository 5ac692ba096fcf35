//! The serial line, both directions: any bytes in any chunks.

use std::fmt::Debug;
use std::hash::Hash;

use thermowell_wire::line::{
    ActiveSetpoint, Answer, BoilerState, Demand, FRAME_MAX, Fault, FaultKind, FrameReader, GapNotice, GapReason, Hello,
    Message, Outcome, PROTOCOL, Pong, READINGS_MAX, Refusal, Rejection, Samples, Setpoint, Status, ToDevice, ToGateway,
    encode,
};
use thermowell_wire::{Boot, CRC32C, CentiCelsius, Reading};

use crate::hammer::judge::{Complaint, Parts, Target, Trace, done, must, same};

/// A few frames, so that the end of one is the beginning of another.
const LONGEST: usize = 6 * FRAME_MAX;

pub(super) const TO_GATEWAY: Target = Target {
    name: "line-to-gateway",
    what: "frames from the firmware",
    longest: LONGEST,
    seeds: from_firmware,
    words: &[&[0], &[0xff; 16], b"\x01\x01\x01\x01", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"],
    parts: Some(PARTS),
    judge: |input| judge(input, &ToGateway::Pong(Pong { nonce: 1, device_us: 2 })),
    cases: include_str!("../../../fuzz-corpus/line-to-gateway.txt"),
};

pub(super) const TO_DEVICE: Target = Target {
    name: "line-to-device",
    what: "frames from the gateway",
    longest: LONGEST,
    seeds: from_gateway,
    words: TO_GATEWAY.words,
    parts: Some(PARTS),
    judge: |input| judge(input, &ToDevice::Identify),
    cases: include_str!("../../../fuzz-corpus/line-to-device.txt"),
};

pub(super) const PARTS: Parts = Parts { open, close };

type Decoded<M> = Result<M, Rejection>;

/// `good` is what must be understood behind any input.
fn judge<M: Message + Clone + Debug + PartialEq>(input: &[u8], good: &M) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let whole: Vec<Decoded<M>> = decode([input]);
    same("the chunking changes nothing", &whole, &decode(input.chunks(1)))?;
    let uneven = input.split_inclusive(|byte| byte % 5 == 0);
    same("the chunking changes nothing", &whole, &decode(uneven))?;

    let expected: Vec<Frame> = input.split(|&byte| byte == 0).map(reference).collect();
    // Behind the last zero is no frame yet, and between two zeros is none at all.
    let ended = &expected[..expected.len() - 1];
    let frames: Vec<&Frame> = ended.iter().filter(|frame| **frame != Frame::Idle).collect();
    same("each frame that ends is answered once", &frames.len(), &whole.len())?;
    for (frame, outcome) in frames.into_iter().zip(&whole) {
        judge_outcome(frame, outcome, &mut trace)?;
    }
    let mut frame = [0; FRAME_MAX];
    let frame = done("a good message can be encoded", encode(good, &mut frame))?;
    let outcomes = decode::<M>([input, &[0], frame]);
    same("behind a zero the next good frame is read", &outcomes.last(), &Some(&Ok(good.clone())))?;
    Ok(trace)
}

fn judge_outcome<M>(frame: &Frame, outcome: &Decoded<M>, trace: &mut Trace) -> Result<(), Complaint>
where
    M: Message + Debug + PartialEq,
{
    match outcome {
        Err(rejection) => {
            trace.note(rejection);
            match (frame, rejection) {
                (Frame::Rejected(expected), rejection) => same("the cause is the reference's", expected, rejection),
                (Frame::Body, Rejection::Malformed | Rejection::Trailing) => Ok(()),
                (Frame::Body | Frame::Idle, _) => Err(Complaint(format!("{frame:?} is refused as {rejection}"))),
            }
        }
        Ok(message) => {
            trace.accept();
            trace.note_shape(message);
            same("what is accepted has a good checksum", frame, &Frame::Body)?;
            must(message.is_well_formed(), "what is accepted is well formed")?;
            let mut out = [0; FRAME_MAX];
            let again = done("what is accepted can be encoded", encode(message, &mut out))?;
            let decoded = decode::<M>([&*again]);
            must(decoded.len() == 1 && decoded[0].as_ref() == Ok(message), "decode(encode(x)) is x")?;
            // Otherwise a message that is cut off, or has something behind it, would be another good one.
            let body = open(again).pop().unwrap_or_default();
            let others = [body[..body.len() - 1].to_vec(), [body.as_slice(), &[1]].concat()];
            let others = decode::<M>([close(&others).as_slice()]);
            must(others.iter().all(Result::is_err), "nothing is accepted that is cut off, or with something behind it")
        }
    }
}

fn decode<'a, M: Message>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Decoded<M>> {
    let mut reader = FrameReader::new();
    let mut outcomes = Vec::new();
    chunks.into_iter().for_each(|chunk| reader.feed(chunk, |outcome| outcomes.push(outcome)));
    outcomes
}

/// What stands between two zeros, by a model that is simpler than the code.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Frame {
    /// Nothing.
    Idle,
    /// No message, for this cause.
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

/// COBS of bytes that fit into one frame or do not: whatever a mutation made.
fn stuff(bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut blocks = bytes.split(|&byte| byte == 0).peekable();
    while let Some(block) = blocks.next() {
        let (full, rest) = block.as_chunks::<254>();
        for block in full {
            frame.push(u8::MAX);
            frame.extend_from_slice(block);
        }
        // A full block says nothing about a zero behind it, so one without bytes has to; at the end it need not.
        if !rest.is_empty() || full.is_empty() || blocks.peek().is_some() {
            frame.push(u8::try_from(rest.len() + 1).expect("at most 254"));
            frame.extend_from_slice(rest);
        }
    }
    frame
}

fn open(input: &[u8]) -> Vec<Vec<u8>> {
    let frames = input.split(|&byte| byte == 0).filter_map(unstuff);
    frames.filter_map(|bytes| bytes.split_last_chunk::<4>().map(|(body, _)| body.to_vec())).collect()
}

fn close(bodies: &[Vec<u8>]) -> Vec<u8> {
    let frame = |body: &Vec<u8>| {
        let mut frame = stuff(&[body.as_slice(), &CRC32C.checksum(body).to_le_bytes()].concat());
        frame.push(0);
        frame
    };
    bodies.iter().flat_map(frame).collect()
}

fn frames<M: Message>(messages: &[M]) -> Vec<Vec<u8>> {
    let frame = |message: &M| {
        let mut out = [0; FRAME_MAX];
        encode(message, &mut out).expect("no message is longer than a frame").to_vec()
    };
    let mut seeds: Vec<Vec<u8>> = messages.iter().map(frame).collect();
    seeds.push(seeds.concat().into_iter().take(LONGEST).collect());
    seeds
}

pub(super) const BOOT: Boot = Boot(0x0000_0007_dead_be42);

fn from_firmware() -> Vec<Vec<u8>> {
    frames(&said())
}

/// `count` readings from `seq` on.
pub(super) fn samples(seq: u64, count: i16) -> ToGateway {
    let reading = |centi| Reading { temperature: CentiCelsius(centi), marks: 0b1_0100 };
    ToGateway::Samples(Samples { tag: BOOT.tag(), seq, readings: (0..count).map(|n| reading(4_000 + n)).collect() })
}

/// What a device may say, each kind once or twice.
pub(super) fn said() -> Vec<ToGateway> {
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

fn from_gateway() -> Vec<Vec<u8>> {
    frames(&[
        ToDevice::Identify,
        ToDevice::Resume { boot: BOOT, from: 12_345 },
        ToDevice::Ping { nonce: 0xfeed_f00d },
        ToDevice::Setpoint(Setpoint { boot: BOOT, n: 9, demand: Demand::Heat, flow: CentiCelsius(5_000), lease_s: 60 }),
        ToDevice::Release { boot: BOOT, n: 10 },
        ToDevice::Reset { boot: BOOT, n: 11, fault: 3 },
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_stuffed_is_unstuffed(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 1..600),
        ) {
            let frame = stuff(&bytes);
            prop_assert!(!frame.contains(&0));
            prop_assert_eq!(unstuff(&frame), Some(bytes));
        }
    }

    #[test]
    fn a_full_block_needs_nothing_behind_it() {
        for len in [253, 254, 255, 508] {
            let bytes = vec![7; len];
            assert_eq!(unstuff(&stuff(&bytes)), Some(bytes), "{len}");
        }
    }
}
