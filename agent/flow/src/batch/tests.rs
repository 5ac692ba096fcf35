//! Cutting, trimming and stamping.

use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;
use thermowell_wire::batch::{ClockQuality, Packed, decode};
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, CentiCelsius, Reading, Slot};

use super::stamp::{Answered, Stamper, Timing, byte_at};
use super::{Cutter, Origin, Record};
use crate::time::{DeviceTime, Monotonic};

const BOOT: Boot = Boot(0x0000_0002_0000_0001);
const ORIGIN: Origin = Origin { device: 9, period_ns: 10_000_000, simulated: true };
const TIMING: Timing =
    Timing { off: Duration::from_millis(20), off_for: Duration::from_secs(10), byte: Duration::ZERO };
const SECOND: u64 = 1_000_000_000;

fn reading(seq: u64) -> Reading {
    let low = i16::from((seq.wrapping_mul(37)).to_le_bytes()[0]);
    Reading { temperature: CentiCelsius(5_000 + low), marks: 0 }
}

fn unpack(record: &Record, from: u64) -> (Slot, Vec<Reading>) {
    let message = record.message(from..record.end, 5, ClockQuality::Synced);
    let Packed::Batch(batch) = decode(&message).unwrap() else { panic!("no batch") };
    assert_eq!((batch.header.first_utc_ns, batch.header.clock), (5, ClockQuality::Synced));
    (batch.header.first(), batch.readings().collect())
}

proptest! {
    #[test]
    fn any_chunking_cuts_the_same_batches(
        size in 1u16..=1_000,
        start in 0u64..5_000,
        chunks in prop::collection::vec(1usize..70, 1..60),
    ) {
        let mut cutter = Cutter::new(size);
        let mut records = Vec::new();
        let mut at = start;
        for chunk in chunks {
            let readings: Vec<_> = (at..).take(chunk).map(reading).collect();
            cutter.feed(Monotonic(0), Slot::new(BOOT, at), &readings, ORIGIN, |record| records.push(record));
            at += u64::try_from(chunk).unwrap();
        }
        records.extend(cutter.cut());
        let mut expected = start;
        for (index, record) in records.iter().enumerate() {
            prop_assert_eq!(record.first, Slot::new(BOOT, expected));
            prop_assert!(record.slots() <= u64::from(size));
            let (first, readings) = unpack(record, record.first.seq);
            prop_assert_eq!(first, record.first);
            prop_assert!(readings.iter().zip(expected..).all(|(got, seq)| *got == reading(seq)));
            prop_assert_eq!(u64::try_from(readings.len()).unwrap(), record.slots());
            expected = record.end;
            let last = index + 1 == records.len();
            prop_assert!(last || expected.is_multiple_of(u64::from(size)), "cut at {}", expected);
        }
        prop_assert_eq!(expected, at);
    }

    #[test]
    fn trimmed_record_keeps_the_rest(count in 1u64..=1_000, from in 0u64..1_000) {
        let readings: Vec<_> = (70..70 + count).map(reading).collect();
        let record = Record::samples(Slot::new(BOOT, 70), &readings, ORIGIN, &mut Vec::new());
        let from = 70 + from % count;
        let (first, rest) = unpack(&record, from);
        prop_assert_eq!(first.seq, from);
        prop_assert!(rest.iter().zip(from..).all(|(got, seq)| *got == reading(seq)));
        prop_assert_eq!(u64::try_from(rest.len()).unwrap(), record.end - from);
    }

    /// Within 30 minutes of an oscillator that differs by up to 60 ppm, with frames that are up to 280 ms late, the
    /// stamps are exact within a few milliseconds and never go back.
    #[test]
    fn stamps_are_exact_with_late_frames(drift in -60i64..=60, seed in any::<u64>()) {
        let mut stamper = Stamper::new(TIMING, BOOT, 10_000_000, Monotonic(0));
        let mut noise = seed | 1;
        let mut draw = |limit: u64| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 33) % limit
        };
        let booted = 50 * SECOND;
        let device_us = |now: u64| {
            let age = i64::try_from((now - booted) / 1_000).unwrap();
            DeviceTime(u64::try_from(age + age * drift / 1_000_000).unwrap())
        };
        let mut before = i64::MIN;
        for second in 1..1_800 {
            let sent = booted + second * SECOND;
            // One in two is quick.
            let late = if draw(2) == 0 || second < 4 { draw(300_000) } else { draw(280_000_000) };
            let jump = stamper.pong(answered(sent, sent + late, device_us(sent)));
            prop_assert_eq!(jump, None);
            if !stamper.is_ready() {
                continue;
            }
            let seq = device_us(sent).0 / 10_000;
            let place = stamper.place(seq).unwrap();
            let exact = i64::try_from(booted + seq * 10_000_000).unwrap();
            let truth = exact - exact.saturating_sub(i64::try_from(booted).unwrap()) / 1_000_000 * drift;
            prop_assert!((place - truth).abs() < 4_000_000, "{} ns off after {} s", place - truth, second);
            prop_assert!(place > before, "slot {seq}");
            before = place;
        }
    }
}

#[test]
fn gap_message_names_the_missing_slots() {
    let record = Record::gap(Slot::new(BOOT, 40), 90, GapReason::Ring, ORIGIN);
    let message = record.message(50..record.end, -7, ClockQuality::Unsynced);
    let Packed::Gap(gap) = decode(&message).unwrap() else { panic!("no gap") };
    assert_eq!((gap.boot, gap.from, gap.to, gap.reason, gap.from_utc_ns), (BOOT, 50, 90, GapReason::Ring, -7));
    assert_eq!((gap.device, gap.period_ns, gap.simulated), (9, 10_000_000, true));
}

#[test]
#[should_panic(expected = "continue the open batch")]
fn feeding_non_consecutive_readings_panics() {
    let mut cutter = Cutter::new(100);
    cutter.feed(Monotonic(0), Slot::new(BOOT, 0), &[reading(0)], ORIGIN, drop);
    cutter.feed(Monotonic(0), Slot::new(BOOT, 2), &[reading(2)], ORIGIN, drop);
}

#[test]
fn batch_of_a_second_takes_less_than_100_bytes() {
    let readings: Vec<_> =
        (0..100).map(|seq| Reading { temperature: CentiCelsius(5_000 + seq % 7), marks: 4 }).collect();
    let record = Record::samples(Slot::new(BOOT, 360_000), &readings, ORIGIN, &mut Vec::new());
    assert!(record.body_len() < 100, "{}", record.body_len());
}

fn answered(asked: u64, received: u64, device: DeviceTime) -> Answered {
    Answered { asked: Monotonic(asked), received: Monotonic(received), device, lengths: (8, 14) }
}

/// A stamper with three pongs, offset 0.
fn ready() -> (Stamper, u64) {
    let mut stamper = Stamper::new(TIMING, BOOT, 10_000_000, Monotonic(0));
    for second in 1..=3 {
        assert!(!stamper.is_ready());
        stamper.pong(answered(second * SECOND, second * SECOND, DeviceTime(second * 1_000_000)));
    }
    assert!(stamper.is_ready());
    (stamper, 3)
}

#[test]
fn late_frame_does_not_move_stamps() {
    let (mut stamper, second) = ready();
    stamper.observe(Monotonic((second + 9) * SECOND), DeviceTime(second * 1_000_000));
    let moved = stamper.place(0).unwrap();
    assert!((0..=900_000).contains(&moved), "100 ppm of 9 s at most: {moved}");
}

/// A host that is busy for a minute reads everything a second late. The lower bound shows that the clock is not the
/// cause.
#[test]
fn late_answers_cause_no_jump() {
    let (mut stamper, start) = ready();
    for second in start + 1..start + 61 {
        let (asked, device) = (second * SECOND, DeviceTime(second * 1_000_000));
        assert_eq!(stamper.pong(answered(asked, asked + SECOND, device)), None);
        assert_eq!(stamper.observe(Monotonic(asked + SECOND), device), None);
    }
    let moved = stamper.place(0).unwrap();
    assert!((0..=6_200_000).contains(&moved), "100 ppm of a minute at most: {moved}");
}

/// The device's counter stopped for 50 ms: the lower bounds show it, too.
#[test]
fn clock_that_lost_time_is_followed_after_ten_seconds() {
    let (mut stamper, start) = ready();
    let mut jumps = Vec::new();
    for second in start + 1..start + 20 {
        let (asked, device) = (second * SECOND, DeviceTime(second * 1_000_000 - 50_000));
        jumps.extend(stamper.pong(answered(asked, asked + 2_000_000, device)).map(|by| (second - start, by)));
        assert_eq!(stamper.observe(Monotonic(asked + SECOND / 2), DeviceTime(device.0 + 500_000)), None);
    }
    let [(after, by)] = jumps[..] else { panic!("{jumps:?}") };
    assert_eq!(after, 11);
    // The rest that was not slewed at 500 ppm meanwhile.
    assert!((44_000_000..47_100_000).contains(&by), "{by}");
    let place = stamper.place(0).unwrap();
    assert!((49_900_000..52_100_000).contains(&place), "{place}");
}

#[test]
fn stamping_begins_after_a_quick_pong_of_three_or_ten_pongs() {
    for (quick, pongs) in [(Some(0), 3), (Some(1), 3), (Some(5), 6), (None, 10)] {
        let mut stamper = Stamper::new(TIMING, BOOT, 10_000_000, Monotonic(0));
        let mut received = 0;
        while !stamper.is_ready() {
            let round = if quick == Some(received) { 5_000_000 } else { 5_000_001 };
            let asked = SECOND + received * 20_000_000;
            stamper.pong(answered(asked, asked + round, DeviceTime(asked / 1_000)));
            received += 1;
        }
        assert_eq!(received, pongs, "{quick:?}");
    }
}

/// At 115,200 baud 8 bytes take 0.7 ms and 14 take 1.2. If half the round trip is shorter, the line is faster than
/// assumed.
#[test]
fn transmission_time_does_not_count_as_offset() {
    let on_line = Timing { byte: byte_at(115_200), ..TIMING };
    for (there, back) in [(694_440, 1_215_270), (1_215_270, 1_215_270), (150_000, 150_000), (700_000, 1_700_000)] {
        let mut stamper = Stamper::new(on_line, BOOT, 10_000_000, Monotonic(0));
        for second in 1..4 {
            let read = second * SECOND;
            stamper.pong(answered(read - there, read + back, DeviceTime(second * 1_000_000)));
        }
        let half = (there + back) / 2;
        let (question, answer) = (half.min(694_440), half.min(1_215_270));
        let [there, back, question, answer] = [there, back, question, answer].map(|ns| i64::try_from(ns).unwrap());
        let middle = ((question - there) + (back - answer)) / 2;
        let off = stamper.place(0).unwrap() - middle;
        assert!((-10..=10).contains(&off), "{there} ns there, {back} back: {off} ns from {middle}");
    }
}

/// The device's clock is read while an adapter's timer delays the answer: the error is at most half of that delay.
#[test]
fn delayed_answer_shifts_stamps_by_half_the_delay() {
    let mut stamper = Stamper::new(TIMING, BOOT, 10_000_000, Monotonic(0));
    for second in 1..60 {
        let read = second * SECOND;
        stamper.pong(answered(read - 100_000, read + 4_000_000, DeviceTime(second * 1_000_000)));
    }
    assert_eq!(stamper.place(0), Some(1_950_000));
}

#[test]
fn slots_between_anchor_and_readiness_are_interpolated() {
    let place = |apart: i64| {
        let mut stamper = Stamper::new(TIMING, BOOT, 10_000_000, Monotonic(0));
        stamper.anchor(100, 1_000_000_000 + apart, 10_000_000);
        for second in 101..104 {
            stamper.pong(answered(second * SECOND, second * SECOND, DeviceTime(second * 1_000_000)));
        }
        stamper.anchor(100, 0, 10_000_000);
        [0, 100, 5_200, 10_300, 20_000]
            .map(|seq: u64| stamper.place(seq).unwrap() - i64::try_from(seq).unwrap() * 10_000_000)
    };
    assert_eq!(place(6_000_000), [6_000_000, 6_000_000, 3_000_000, 0, 0]);
    assert_eq!(place(-6_000_000), [-6_000_000, -6_000_000, -3_000_000, 0, 0]);
    assert_eq!(place(-21_000_000), [0; 5], "two oscillators do not differ by that much");
}

#[test]
fn anchor_restores_the_followed_rate() {
    // 2 % fast; a period outside the range of followed clocks is ignored.
    for (stored, follows) in [(9_803_922, true), (10_000_900, false), (9_000_000, false), (u32::MAX, false)] {
        for anchors_first in [true, false] {
            let mut stamper = Stamper::new(TIMING, BOOT, 10_000_000, Monotonic(0));
            for second in 101..104 {
                if (second == 101) == anchors_first && second < 103 {
                    stamper.anchor(100, 1_000_000_000, stored);
                }
                let device = DeviceTime(second * 1_020_000);
                stamper.pong(answered(second * SECOND, second * SECOND, device));
            }
            assert_eq!(stamper.rate().is_some(), follows, "{stored}");
            let place = stamper.place(102 * 103).unwrap();
            assert!(!follows || place.abs_diff(i64::try_from(103 * SECOND).unwrap()) < 100_000, "{stored}: {place}");
        }
    }
}

/// Suspended for an hour, with a device that is 60 ppm fast: 216 ms. The bytes waiting in the port are an hour late.
#[test]
fn silence_discards_the_estimate() {
    let (mut stamper, start) = ready();
    let device = |second: u64| DeviceTime(second * 1_000_000 + (second - start) * 60);
    let awake = start + 3_600;
    for second in start + 1..start + 3 {
        stamper.observe(Monotonic(awake * SECOND), device(second));
        assert!(!stamper.is_ready() && stamper.since() == Monotonic(awake * SECOND));
    }
    for second in awake + 1..awake + 4 {
        assert!(!stamper.is_ready());
        let asked = second * SECOND;
        assert_eq!(stamper.pong(answered(asked, asked + 1_000_000, device(second))), None);
    }
    assert!(stamper.is_ready());
    let off = stamper.place(0).unwrap() + 216_000_000;
    assert!((0..=1_200_000).contains(&off), "{off}");
}

#[test]
fn clock_that_jumped_is_followed_after_ten_seconds() {
    let (mut stamper, start) = ready();
    let mut jumps = Vec::new();
    for second in start + 1..start + 20 {
        // The device's clock is 50 ms ahead from now on.
        let device = DeviceTime(second * 1_000_000 + 50_000);
        jumps.extend(stamper.observe(Monotonic(second * SECOND), device).map(|by| (second - start, by)));
    }
    let [(after, by)] = jumps[..] else { panic!("{jumps:?}") };
    assert_eq!(after, 11);
    assert!((-50_000_000..-40_000_000).contains(&by), "{by}");
    assert_eq!(stamper.place(0), Some(-50_000_000));
}

#[test]
fn offset_below_20_ms_is_slewed() {
    let (mut stamper, start) = ready();
    for second in start + 1..start + 31 {
        let before = stamper.place(100).unwrap();
        assert_eq!(stamper.observe(Monotonic(second * SECOND), DeviceTime(second * 1_000_000 + 15_000)), None);
        let step = stamper.place(100).unwrap() - before;
        assert!((-500_000..=0).contains(&step), "{step}");
    }
    assert_eq!(stamper.place(0), Some(-15_000_000), "30 s at 500 ppm are enough");
}

#[test]
fn later_slots_follow_a_raised_slot_unless_it_is_too_far() {
    let (mut stamper, _) = ready();
    stamper.raise(300, 3_000_000_000 + 15_000_000);
    assert_eq!(stamper.place(400), Some(4_015_000_000));
    stamper.raise(300, 3_000_000_000 + 10_000_000);
    assert_eq!(stamper.place(400), Some(4_015_000_000), "it never lowers");
    stamper.raise(300, 3_000_000_000 + 40_000_000);
    assert_eq!(stamper.place(400), Some(4_015_000_000), "too far");
}
