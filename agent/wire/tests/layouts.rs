//! Compares every vector, enum number and size in `LAYOUTS.md` with the encoder.
//!
//! A fenced block's language states its content. A vector of a message is its `Debug` text, then its bytes, so that the
//! page alone defines both: the bytes must decode to that text, and the decoded message must encode to those bytes.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Serialize;
use thermowell_wire::batch::{self, ClockQuality, Packed};
use thermowell_wire::line::{
    BoilerState, Demand, FRAME_MAX, FaultKind, FrameReader, GapReason, Message, Refusal, ToDevice, ToGateway, encode,
};
use thermowell_wire::{CRC32C, Reading, spill};

const PAGE: &str = include_str!("../LAYOUTS.md");

/// The contents of every fenced block of `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let open = format!("\n```{language}\n");
    PAGE.split(open.as_str()).skip(1).map(|rest| rest.split("\n```").next().expect("a closed block")).collect()
}

/// The lines `left = right` of every block of `language`.
fn equations(language: &str) -> Vec<(&'static str, &'static str)> {
    let lines: Vec<_> = blocks(language).into_iter().flat_map(str::lines).collect();
    assert!(!lines.is_empty(), "no block {language}");
    lines.into_iter().map(|line| line.split_once(" = ").expect("left = right")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn postcard(value: &impl Serialize) -> Vec<u8> {
    postcard::to_slice(value, &mut [0; FRAME_MAX]).expect("a short value").to_vec()
}

/// Texts are compared without white space, so that the page may wrap them.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect()
}

/// A vector block: its text, then the bytes after each of `labels`, which begin a line.
fn vector<const N: usize>(block: &str, labels: [&str; N]) -> (String, [Vec<u8>; N]) {
    let mut parts: Vec<String> = vec![String::new()];
    for line in block.lines() {
        let label = labels.get(parts.len() - 1).copied();
        match label.and_then(|label| line.strip_prefix(label)) {
            Some(rest) => parts.push(rest.to_owned()),
            None => {
                let part = parts.last_mut().expect("never empty");
                part.push(' ');
                part.push_str(line);
            }
        }
    }
    assert_eq!(parts.len(), N + 1, "a text, then {labels:?}: {block}");
    let text = parts.remove(0);
    (text, std::array::from_fn(|i| bytes(&parts[i])))
}

/// Checks every vector of one direction; returns the longest frame and the number of vectors per message name.
fn check_messages<M: Message + Debug + PartialEq>(language: &str) -> BTreeMap<String, (usize, usize)> {
    let mut seen = BTreeMap::new();
    for block in blocks(language) {
        let (text, [body, frame]) = vector(block, ["body ", "frame "]);
        let mut outcomes = Vec::new();
        FrameReader::new().feed(&frame, |outcome: Result<M, _>| outcomes.push(outcome));
        let [Ok(message)] = &outcomes[..] else { panic!("{outcomes:?} in {block}") };
        assert_eq!(squeeze(&inner(message)), squeeze(&text));
        assert_eq!(hex(&postcard(message)), hex(&body), "body of {text}");
        let mut buffer = [0; FRAME_MAX];
        assert_eq!(hex(encode(message, &mut buffer).expect("fits")), hex(&frame), "frame of {text}");
        let name = text.split_whitespace().next().expect("a name").trim_end_matches(';').to_owned();
        let (longest, count) = seen.entry(name).or_insert((0, 0));
        *longest = frame.len().max(*longest);
        *count += 1;
    }
    seen
}

/// `Hello(Hello { .. })` reads `Hello { .. }`, and `Gap(GapNotice { .. })` reads `Gap { .. }`.
fn inner(message: &impl Debug) -> String {
    let text = format!("{message:?}");
    let variant_end = text.find(['(', ' ']).unwrap_or(text.len());
    match text[variant_end..].strip_prefix('(') {
        Some(inner) => {
            let fields = inner.find('{').expect("every payload is a struct");
            format!("{} {}", &text[..variant_end], inner[fields..].trim_end_matches(')'))
        }
        None => text,
    }
}

#[test]
fn every_message_has_three_vectors_and_its_longest_frame() {
    let mut seen = check_messages::<ToGateway>("to-gateway");
    seen.extend(check_messages::<ToDevice>("to-device"));
    let mut sizes = BTreeMap::new();
    for line in blocks("sizes").into_iter().flat_map(str::lines) {
        let (name, size) = line.split_once(' ').expect("a name and a size");
        sizes.insert(name.to_owned(), size.parse::<usize>().expect("a number"));
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
    for (name, (longest, count)) in &seen {
        assert_eq!(sizes.get(name), Some(longest), "the longest vector of {name} is its longest frame");
        assert_eq!(*count, if name == "Identify" { 1 } else { 3 }, "vectors of {name}");
    }
    assert_eq!(sizes.len(), seen.len());
}

#[test]
fn batches_and_gaps_have_three_vectors_each() {
    let (mut batches, mut gaps) = (0, 0);
    for block in blocks("packed") {
        let (text, [packed]) = vector(block, ["bytes "]);
        let mut out = vec![0; batch::encoded_max(batch::COUNT_MAX)];
        let (read, again) = match batch::decode(&packed).expect("a valid message") {
            Packed::Batch(batch) => {
                batches += 1;
                let readings: Vec<Reading> = batch.readings().collect();
                let pairs: Vec<_> = readings.iter().map(|r| (r.temperature.0, r.marks)).collect();
                let again = batch::encode_batch(&batch.header, &readings, &mut out).expect("fits");
                (format!("{:?} {pairs:?}", batch.header), again)
            }
            Packed::Gap(gap) => {
                gaps += 1;
                (format!("{gap:?}"), batch::encode_gap(&gap, &mut out).expect("fits"))
            }
        };
        assert_eq!(squeeze(&read), squeeze(&text));
        assert_eq!(hex(again), hex(&packed), "bytes of {text}");
    }
    assert_eq!((batches, gaps), (3, 3));
}

#[test]
fn varints_and_zigzags_are_as_written() {
    for (number, encoded) in equations("varint") {
        assert_eq!(hex(&postcard(&number.parse::<u64>().expect("a number"))), encoded, "{number}");
    }
    for (number, encoded) in equations("zigzag") {
        assert_eq!(hex(&postcard(&number.parse::<i16>().expect("a number"))), encoded, "{number} as i16");
        assert_eq!(hex(&postcard(&number.parse::<i64>().expect("a number"))), encoded, "{number} as i64");
    }
}

#[test]
fn checksums_and_cobs_are_as_written() {
    for (input, checksum) in equations("crc") {
        assert_eq!(hex(&CRC32C.checksum(&bytes(input)).to_le_bytes()), checksum);
    }
    for (input, encoded) in equations("cobs") {
        let mut out = [0; FRAME_MAX];
        let length = cobs::encode(&bytes(input), &mut out);
        assert_eq!(hex(&out[..length]), encoded, "{input}");
    }
}

/// `Name: 0 First, 1 Second` as the encoder numbers them.
fn numbered<T: Serialize + Debug>(name: &str, values: &[T]) -> String {
    let numbers: Vec<_> = values
        .iter()
        .map(|value| {
            let number = postcard(value);
            assert_eq!(number.len(), 1, "{value:?}");
            format!("{} {value:?}", number[0])
        })
        .collect();
    format!("{name}: {}", numbers.join(", "))
}

#[test]
fn enum_numbers_are_as_written() {
    use FaultKind::{BootLoop, FlameLoss, Ignition, LowPressure, Overheat, Pump, Sensor, SensorMismatch};
    let states = [
        BoilerState::Standby,
        BoilerState::Waiting,
        BoilerState::Firing,
        BoilerState::Overrun,
        BoilerState::Blocked,
        BoilerState::Lockout,
    ];
    let refusals = [
        Refusal::Boot,
        Refusal::Order,
        Refusal::Lockout,
        Refusal::Panel,
        Refusal::NoSuchFault,
        Refusal::LocalOnly,
        Refusal::TooMany,
        Refusal::Lease,
    ];
    let faults = [Overheat, Sensor, Ignition, FlameLoss, LowPressure, Pump, SensorMismatch, BootLoop];
    let expected = [
        numbered("GapReason", &[GapReason::Ring, GapReason::Missed, GapReason::Discarded, GapReason::Clock]),
        numbered("BoilerState", &states),
        numbered("FaultKind", &faults),
        numbered("Demand", &[Demand::Heat, Demand::None]),
        numbered("Refusal", &refusals),
        numbered("ClockQuality", &[ClockQuality::Synced, ClockQuality::Unsynced]),
    ];
    assert_eq!(blocks("enums").into_iter().flat_map(str::lines).collect::<Vec<_>>(), expected);
}

#[test]
fn spill_vectors_are_as_written() {
    let vectors = blocks("spill");
    assert_eq!(vectors.len(), 3);
    for block in vectors {
        let (text, [expected]) = vector(block, ["bytes"]);
        let mut out = [0; spill::HEADER_MAX];
        let words: Vec<&str> = block.lines().next().expect("its name").split(' ').collect();
        let len = match words[..] {
            ["header", gateway, boiler, stream] => {
                spill::encode_header(&spill::Header { gateway, boiler, stream }, &mut out)
            }
            ["record", ref message @ ..] => spill::encode_record(&bytes(&message.join(" ")), &mut out),
            _ => panic!("{text}"),
        };
        assert_eq!(hex(&out[..len]), hex(&expected), "{text}");
    }
}

#[test]
fn no_block_is_left_unchecked() {
    let known =
        ["varint", "zigzag", "crc", "cobs", "enums", "sizes", "to-gateway", "to-device", "packed", "spill", "text"];
    let fences: Vec<&str> = PAGE.lines().filter_map(|line| line.strip_prefix("```")).collect();
    assert!(fences.len().is_multiple_of(2), "every block is closed");
    for fence in fences.iter().step_by(2) {
        assert!(known.contains(fence), "{fence}");
    }
    for fence in fences.iter().skip(1).step_by(2) {
        assert!(fence.is_empty(), "{fence}");
    }
}
