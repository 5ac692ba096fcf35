//! Golden bytes of version 1: the serial line, and the packed batches and gaps in JetStream.
//!
//! **If such a test fails, do not change the test.** Firmware in the field and years of stored samples use these bytes.
//! For another layout, add a message or an enum value at the end, raise `PROTOCOL` or take a new first byte, and give
//! the new version its own folder next to this one.
//!
//! The bytes are listed per field, so that a failure names the field that changed; frames are listed as a whole,
//! including checksum and COBS.

mod line;
mod packed;
mod spill;

use thermowell_wire::batch::{BATCH_V1, COUNT_MAX, GAP_ENCODED_MAX, GAP_V1, encoded_max};
use thermowell_wire::line::{FRAME_MAX, PROTOCOL, READINGS_MAX};
use thermowell_wire::{Boot, CentiCelsius, Quality, Reading, device_id};

/// Counter 3, random bits 0xdeadbeef: tag 0xef, varint `ef fd b6 f5 3d`.
const BOOT: Boot = Boot(0x0000_0003_dead_beef);
const TAG: u8 = 0xef;
/// CRC-32C of `TW-0001`.
const DEVICE: u32 = 0x9b89_51db;

/// A field's name and its bytes.
type Fields<'a> = &'a [(&'a str, &'a str)];

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Compares field by field, so that the message names the first difference.
fn assert_fields(actual: &[u8], fields: Fields<'_>) {
    let mut at = 0;
    for (name, expected) in fields {
        let expected = bytes(expected);
        let end = (at + expected.len()).min(actual.len());
        assert_eq!(hex(&actual[at..end]), hex(&expected), "{name}, at byte {at} of {}", hex(actual));
        at = end;
    }
    assert_eq!(at, actual.len(), "bytes after the last field: {}", hex(actual));
}

fn reading(temperature: i16, marks: u8) -> Reading {
    Reading { temperature: CentiCelsius(temperature), marks }
}

#[test]
fn constants_of_version_1() {
    assert_eq!(PROTOCOL, 1);
    assert_eq!(FRAME_MAX, 256);
    assert_eq!(READINGS_MAX, 32);
    assert_eq!((BATCH_V1, GAP_V1), (0x01, 0x81));
    assert_eq!((COUNT_MAX, encoded_max(100), GAP_ENCODED_MAX), (1_000, 564, 72));
    assert_eq!(device_id("TW-0001"), DEVICE);
}

#[test]
fn marks() {
    let marks = |quality, pump, hot_water, flame| Reading::new(CentiCelsius(0), quality, pump, hot_water, flame).marks;
    assert_eq!(marks(Quality::Ok, false, false, false), 0b0_0000);
    assert_eq!(marks(Quality::Open, false, false, false), 0b0_0001);
    assert_eq!(marks(Quality::Short, false, false, false), 0b0_0010);
    assert_eq!(marks(Quality::OutOfRange, false, false, false), 0b0_0011);
    assert_eq!(marks(Quality::Ok, true, false, false), 0b0_0100);
    assert_eq!(marks(Quality::Ok, false, true, false), 0b0_1000);
    assert_eq!(marks(Quality::Ok, false, false, true), 0b1_0000);
}
