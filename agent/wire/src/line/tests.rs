//! Decoding does not depend on chunking, does not panic on arbitrary bytes, and never returns a wrong message for a
//! damaged frame; the largest messages fit into a frame.

use std::fmt::Debug;
use std::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

mod strategies;

use strategies::{Damage, damages, noise, to_device, to_gateway};

use super::*;
use crate::{Boot, CRC32C, CentiCelsius, Reading};

/// What the stream decodes to, fed as one chunk.
fn read<M: Message>(stream: &[u8]) -> Vec<Result<M, Rejection>> {
    read_in(&[stream])
}

fn read_in<M: Message>(chunks: &[&[u8]]) -> Vec<Result<M, Rejection>> {
    let mut reader = FrameReader::new();
    let mut outcomes = Vec::new();
    for chunk in chunks {
        reader.feed(chunk, |outcome| outcomes.push(outcome));
    }
    outcomes
}

fn frame<M: Message>(message: &M) -> Vec<u8> {
    let mut buffer = [0; FRAME_MAX];
    encode(message, &mut buffer).expect("no message is longer than a frame").to_vec()
}

/// The checksum, bit by bit: reflected polynomial 0x82f63b78.
fn naive_crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

/// COBS of at most 254 bytes: each zero-free run after its length plus one.
fn naive_cobs(bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() <= 254, "one block");
    let mut out = Vec::new();
    for run in bytes.split(|&byte| byte == 0) {
        out.push(u8::try_from(run.len() + 1).expect("at most 254 bytes"));
        out.extend_from_slice(run);
    }
    out
}

/// A frame with a valid checksum around any body.
fn frame_around(body: &[u8]) -> Vec<u8> {
    let mut checked = body.to_vec();
    checked.extend_from_slice(&naive_crc(body).to_le_bytes());
    let mut out = naive_cobs(&checked);
    out.push(0);
    out
}

/// Splits `stream` at `cuts`, which need no order.
fn cut<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.sort_unstable();
    let mut chunks = Vec::new();
    let mut from = 0;
    for to in at {
        chunks.push(&stream[from..to]);
        from = to;
    }
    chunks.push(&stream[from..]);
    chunks
}

fn assert_round_trip<M: Message + PartialEq + Debug + Clone>(message: &M) -> Result<(), TestCaseError> {
    let bytes = frame(message);
    prop_assert!(bytes.len() <= FRAME_MAX);
    prop_assert_eq!(bytes.iter().position(|&byte| byte == 0), Some(bytes.len() - 1));
    let mut body = [0; FRAME_MAX];
    let body = postcard::to_slice(message, &mut body).unwrap();
    prop_assert_eq!(&bytes, &frame_around(body), "the naive encoder writes the same frame");
    prop_assert_eq!(read::<M>(&bytes), [Ok(message.clone())]);
    for room in 0..bytes.len() {
        let mut small = [0; FRAME_MAX];
        prop_assert_eq!(encode(message, &mut small[..room]), Err(EncodeError));
    }
    Ok(())
}

fn assert_no_wrong_message<M: Message + PartialEq + Debug + Clone>(
    message: &M,
    damages: &[Damage],
) -> Result<(), TestCaseError> {
    let mut bytes = frame(message);
    for damage in damages {
        damage.apply(&mut bytes);
    }
    // The next frame is valid and must be read, whatever the damage to the first.
    bytes.extend_from_slice(&[0]);
    bytes.extend_from_slice(&frame(message));
    let outcomes = read::<M>(&bytes);
    prop_assert!(outcomes.iter().flatten().all(|read| read == message), "{outcomes:?}");
    prop_assert_eq!(outcomes.last(), Some(&Ok(message.clone())));
    Ok(())
}

proptest! {
    #[test]
    fn every_message_to_the_gateway_round_trips(message in to_gateway()) {
        assert_round_trip(&message)?;
    }

    #[test]
    fn every_message_to_the_device_round_trips(message in to_device()) {
        assert_round_trip(&message)?;
    }

    #[test]
    fn frames_decode_in_order_under_any_chunking(
        messages in vec((to_gateway(), 0..3usize), 0..12),
        cuts in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut stream = Vec::new();
        for (message, idle) in &messages {
            stream.resize(stream.len() + idle, 0);
            stream.extend_from_slice(&frame(message));
        }
        let expected: Vec<_> = messages.into_iter().map(|(message, _)| Ok(message)).collect();
        prop_assert_eq!(&read_in::<ToGateway>(&cut(&stream, &cuts)), &expected);
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&read_in::<ToGateway>(&single), &expected);
    }

    #[test]
    fn noise_is_rejected_equally_under_any_chunking(
        pieces in vec(
            prop_oneof![noise(600), to_gateway().prop_map(|m| frame(&m)), to_device().prop_map(|m| frame(&m))],
            0..8,
        ),
        cuts in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let stream = pieces.concat();
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        let whole = read::<ToGateway>(&stream);
        prop_assert_eq!(&read_in(&cut(&stream, &cuts)), &whole);
        prop_assert_eq!(&read_in(&single), &whole);
        let whole = read::<ToDevice>(&stream);
        prop_assert_eq!(&read_in(&cut(&stream, &cuts)), &whole);
        prop_assert_eq!(&read_in(&single), &whole);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(stream in noise(2_000)) {
        read::<ToGateway>(&stream);
        read::<ToDevice>(&stream);
    }

    /// Arbitrary bytes with a valid checksum: tests the parser itself, which the checksum shields from noise.
    #[test]
    fn arbitrary_body_with_valid_checksum_does_not_panic(kind in 0..8u8, rest in noise(249)) {
        let mut body = std::vec![kind];
        body.extend_from_slice(&rest);
        let bytes = frame_around(&body);
        for outcome in read::<ToGateway>(&bytes).into_iter().flatten() {
            prop_assert_eq!(read::<ToGateway>(&frame(&outcome)), [Ok(outcome)]);
        }
        for outcome in read::<ToDevice>(&bytes).into_iter().flatten() {
            prop_assert_eq!(read::<ToDevice>(&frame(&outcome)), [Ok(outcome)]);
        }
    }

    #[test]
    fn damaged_frames_never_decode_to_a_wrong_message(up in to_gateway(), down in to_device(), damages in damages()) {
        assert_no_wrong_message(&up, &damages)?;
        assert_no_wrong_message(&down, &damages)?;
    }

    #[test]
    fn message_with_trailing_bytes_is_rejected(message in to_gateway(), rest in vec(any::<u8>(), 1..8)) {
        let mut body = postcard::to_slice(&message, &mut [0; FRAME_MAX]).unwrap().to_vec();
        body.extend_from_slice(&rest);
        prop_assert_eq!(read::<ToGateway>(&frame_around(&body)), [Err(Rejection::Trailing)]);
    }

    #[test]
    fn truncated_message_is_rejected(message in to_gateway()) {
        let body = postcard::to_slice(&message, &mut [0; FRAME_MAX]).unwrap().to_vec();
        prop_assert_eq!(read::<ToGateway>(&frame_around(&body[..body.len() - 1])), [Err(Rejection::Malformed)]);
    }
}

const FULL_TEXT: &str = "ABCDEFGHIJKLMNOPQRSTUVWX";
const COLD: CentiCelsius = CentiCelsius(i16::MIN);

/// Every message to the gateway with every field at its longest, and the frame's length in `LAYOUTS.md`.
fn largest_to_gateway() -> [(ToGateway, usize); 6] {
    let boot = Boot(u64::MAX);
    let fault = Fault { boot, counter: u32::MAX, kind: FaultKind::BootLoop, lockout: true };
    let setpoint = ActiveSetpoint { n: u32::MAX, demand: Demand::None, flow: COLD, lease_left_ms: u32::MAX };
    let hello = Hello {
        protocol: u8::MAX,
        boot,
        serial_number: FULL_TEXT.try_into().unwrap(),
        firmware: FULL_TEXT.try_into().unwrap(),
        period_us: u32::MAX,
        ring: u32::MAX,
        oldest: u64::MAX,
        next: u64::MAX,
        device_us: u64::MAX,
        simulated: true,
        own_flow: COLD,
    };
    let readings = [Reading { temperature: COLD, marks: u8::MAX }; READINGS_MAX];
    let samples = Samples { tag: u8::MAX, seq: u64::MAX - 32, readings: heapless::Vec::from_slice(&readings).unwrap() };
    let status = Status {
        tag: u8::MAX,
        next: u64::MAX,
        device_us: u64::MAX,
        marks: u8::MAX,
        modulation: u8::MAX,
        return_temperature: Some(COLD),
        room: Some(COLD),
        outdoor: Some(COLD),
        pressure_mbar: u16::MAX,
        setpoint: Some(setpoint),
        state: BoilerState::Lockout,
        fault: Some(fault),
        burner_starts: u32::MAX,
    };
    let accepted = Outcome::Accepted { flow: COLD, lease_s: u16::MAX };
    let gap = GapNotice { tag: u8::MAX, from: u64::MAX - 1, to: u64::MAX, reason: GapReason::Clock };
    [
        (ToGateway::Hello(hello), 112),
        (ToGateway::Samples(samples), 147),
        (ToGateway::Gap(gap), 29),
        (ToGateway::Status(status), 84),
        (ToGateway::Answer(Answer { boot, n: u32::MAX, outcome: accepted }), 29),
        (ToGateway::Pong(Pong { nonce: u32::MAX, device_us: u64::MAX }), 22),
    ]
}

fn largest_to_device() -> [(ToDevice, usize); 6] {
    let (boot, n) = (Boot(u64::MAX), u32::MAX);
    [
        (ToDevice::Identify, 7),
        (ToDevice::Resume { boot, from: u64::MAX }, 27),
        (ToDevice::Ping { nonce: u32::MAX }, 12),
        (ToDevice::Setpoint(Setpoint { boot, n, demand: Demand::None, flow: COLD, lease_s: u16::MAX }), 29),
        (ToDevice::Release { boot, n }, 22),
        (ToDevice::Reset { boot, n, fault: u32::MAX }, 27),
    ]
}

#[test]
fn largest_messages_fit_into_a_frame() {
    for (message, length) in largest_to_gateway() {
        assert_eq!(frame(&message).len(), length, "{message:?}");
        assert_eq!(read(&frame(&message)), [Ok(message)]);
    }
    for (message, length) in largest_to_device() {
        assert_eq!(frame(&message).len(), length, "{message:?}");
        assert_eq!(read(&frame(&message)), [Ok(message)]);
    }
}

proptest! {
    #[test]
    fn no_frame_exceeds_the_largest_of_its_kind(up in to_gateway(), down in to_device()) {
        let kind = usize::from(postcard::to_slice(&up, &mut [0; FRAME_MAX]).unwrap()[0]);
        prop_assert!(frame(&up).len() <= largest_to_gateway()[kind].1);
        let kind = usize::from(postcard::to_slice(&down, &mut [0; FRAME_MAX]).unwrap()[0]);
        prop_assert!(frame(&down).len() <= largest_to_device()[kind].1);
    }
}

#[test]
fn the_checksum_is_crc_32c() {
    assert_eq!(CRC32C.checksum(b"123456789"), 0xe306_9283);
    assert_eq!(naive_crc(b"123456789"), 0xe306_9283);
}

#[test]
fn rejection_reports_its_cause_and_the_next_frame_is_read() {
    let ping = frame(&ToDevice::Ping { nonce: 7 });
    let cases: [(Vec<u8>, Rejection); 9] = [
        (std::vec![1; FRAME_MAX], Rejection::Oversized),
        (std::vec![1; 5 * FRAME_MAX], Rejection::Oversized),
        (std::vec![9, 1, 1], Rejection::Cobs),
        (naive_cobs(&[1, 2, 3, 4]), Rejection::Short),
        (naive_cobs(&[2, 7, 1, 2, 3, 4]), Rejection::Checksum),
        (frame_around(&[6]), Rejection::Malformed),
        (frame_around(&[2]), Rejection::Malformed),
        (frame_around(&[3, 1, 1, 2, 0, 60]), Rejection::Malformed),
        (frame_around(&[2, 7, 7]), Rejection::Trailing),
    ];
    for (mut stream, cause) in cases {
        if stream.last() != Some(&0) {
            stream.push(0);
        }
        stream.extend_from_slice(&ping);
        assert_eq!(read(&stream), [Err(cause), Ok(ToDevice::Ping { nonce: 7 })]);
    }
}

#[test]
fn every_bit_of_the_checksum_counts() {
    let body = [2, 7];
    for bit in 0..32 {
        let mut checked = body.to_vec();
        checked.extend_from_slice(&(naive_crc(&body) ^ (1 << bit)).to_le_bytes());
        let mut stream = naive_cobs(&checked);
        stream.push(0);
        assert_eq!(read::<ToDevice>(&stream), [Err(Rejection::Checksum)], "bit {bit}");
    }
}

#[test]
fn two_flipped_bits_are_always_detected() {
    let boot = Boot::new(3, 0xdead_beef);
    let message =
        ToDevice::Setpoint(Setpoint { boot, n: 4, demand: Demand::Heat, flow: CentiCelsius(5_500), lease_s: 60 });
    let valid = frame(&message);
    let bits = (valid.len() - 1) * 8;
    for first in 0..bits {
        for second in first..bits {
            let mut bytes = valid.clone();
            bytes[first / 8] ^= 1 << (first % 8);
            if second != first {
                bytes[second / 8] ^= 1 << (second % 8);
            }
            assert!(read::<ToDevice>(&bytes).iter().all(Result::is_err), "bits {first} and {second}");
        }
    }
}

#[test]
fn frame_of_maximum_length_is_not_oversized() {
    let mut stream = std::vec![1; FRAME_MAX - 1];
    stream.push(0);
    assert_eq!(stream.len(), FRAME_MAX);
    assert_eq!(read::<ToDevice>(&stream), [Err(Rejection::Checksum)]);
}

#[test]
fn values_outside_their_constraints_are_rejected() {
    let empty = [1, 7, 0, 0];
    let beyond_the_last_slot = [1, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 0, 0];
    let mut too_many = std::vec![1, 7, 0, 33];
    too_many.resize(4 + 33 * 2, 0);
    let no_slots = [2, 7, 5, 5, 0];
    let backwards = [2, 7, 6, 5, 0];
    let unknown_reason = [2, 7, 5, 6, 4];
    let hello_without_period = [0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    let hello_ahead_of_itself = [0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0];
    let bodies: [&[u8]; 8] = [
        &empty,
        &beyond_the_last_slot,
        &too_many,
        &no_slots,
        &backwards,
        &unknown_reason,
        &hello_without_period,
        &hello_ahead_of_itself,
    ];
    for body in bodies {
        assert_eq!(read::<ToGateway>(&frame_around(body)), [Err(Rejection::Malformed)], "{body:?}");
    }
    let valid = [0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0];
    assert!(matches!(read::<ToGateway>(&frame_around(&valid))[..], [Ok(ToGateway::Hello(_))]));
}

#[test]
fn reset_drops_a_partial_frame() {
    let bytes = frame(&ToDevice::Identify);
    for (partial, last) in [(&bytes[..3], Ok(ToDevice::Identify)), (&[1; 300][..], Ok(ToDevice::Identify))] {
        let mut reader = FrameReader::new();
        let mut outcomes = Vec::new();
        reader.feed(partial, |outcome: Result<ToDevice, _>| outcomes.push(outcome));
        reader.reset();
        reader.feed(&bytes, |outcome| outcomes.push(outcome));
        assert_eq!(outcomes, [last]);
    }
}

#[test]
fn rejection_index_matches_its_position_in_all() {
    for (index, rejection) in Rejection::ALL.iter().enumerate() {
        assert_eq!(rejection.index(), index);
    }
}

#[test]
fn live_samples_take_at_most_a_fifth_of_the_line() {
    let reading = Reading { temperature: CentiCelsius(6_137), marks: Reading::PUMP | Reading::FLAME };
    let samples = |seq| Samples { tag: 7, seq, readings: core::iter::once(reading).collect() };
    let after_a_year = 365 * 86_400 * 100;
    let bits = frame(&ToGateway::Samples(samples(after_a_year))).len() * 10 * 100;
    assert!(bits * 5 <= 115_200, "{bits} bits a second");
}

#[test]
fn messages_fit_the_stack_of_a_small_board() {
    assert!(size_of::<ToGateway>() <= 192, "{}", size_of::<ToGateway>());
}
