//! Round trips at every width, bit packing against a naive encoder, upper bounds, arbitrary bytes.

use std::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::CentiCelsius;

fn reading(temperature: i16, marks: u8) -> Reading {
    Reading { temperature: CentiCelsius(temperature), marks }
}

fn header(count: usize) -> BatchHeader {
    BatchHeader {
        device: 0x1234_5678,
        boot: Boot::new(3, 0xdead_beef),
        seq: 4_200,
        count: u16::try_from(count).unwrap(),
        first_utc_ns: 1_767_754_800_000_000_000,
        period_ns: 10_000_000,
        clock: ClockQuality::Synced,
        simulated: true,
    }
}

fn pack(header: &BatchHeader, readings: &[Reading]) -> Vec<u8> {
    let mut out = std::vec![0; encoded_max(readings.len())];
    encode_batch(header, readings, &mut out).expect("encoded_max is always enough").to_vec()
}

fn unpack(bytes: &[u8]) -> (BatchHeader, Vec<Reading>) {
    match decode(bytes) {
        Ok(Packed::Batch(batch)) => {
            assert_eq!(batch.readings().len(), usize::from(batch.header.count));
            (batch.header, batch.readings().collect())
        }
        other => panic!("{other:?}"),
    }
}

/// The same layout by a naive encoder that sets each bit by its index.
fn naive(header: &BatchHeader, readings: &[Reading]) -> Vec<u8> {
    let mut out = std::vec![BATCH_V1];
    out.extend_from_slice(postcard::to_slice(header, &mut [0; 64]).unwrap());
    let base = readings.iter().map(|r| i32::from(r.temperature.0)).min().unwrap();
    let span = readings.iter().map(|r| i32::from(r.temperature.0) - base).max().unwrap();
    let width = (0..=16usize).find(|width| span < 1 << width).unwrap();
    out.extend_from_slice(postcard::to_slice(&i16::try_from(base).unwrap(), &mut [0; 4]).unwrap());
    out.push(u8::try_from(width).unwrap());
    let mut bits = std::vec![0u8; (readings.len() * width).div_ceil(8)];
    for (index, reading) in readings.iter().enumerate() {
        let difference = i32::from(reading.temperature.0) - base;
        for bit in 0..width {
            let at = index * width + bit;
            if difference >> bit & 1 == 1 {
                bits[at / 8] |= 1 << (at % 8);
            }
        }
    }
    out.extend_from_slice(&bits);
    let mut runs: Vec<(u8, u16)> = Vec::new();
    for reading in readings {
        match runs.last_mut() {
            Some((mark, length)) if *mark == reading.marks => *length += 1,
            _ => runs.push((reading.marks, 1)),
        }
    }
    for run in runs {
        out.extend_from_slice(postcard::to_slice(&run, &mut [0; 8]).unwrap());
    }
    out
}

fn clocks() -> impl Strategy<Value = ClockQuality> {
    prop_oneof![Just(ClockQuality::Synced), Just(ClockQuality::Unsynced)]
}

/// Headers of all kinds, most of them in range.
fn headers() -> impl Strategy<Value = BatchHeader> {
    let seq = prop_oneof![4 => any::<u64>(), 1 => u64::MAX - 1_000..=u64::MAX];
    let utc = prop_oneof![4 => any::<i64>(), 1 => i64::MAX - 1_000_000..=i64::MAX];
    let period = prop_oneof![8 => 1..=u32::MAX, 1 => Just(0)];
    (any::<u32>(), any::<u64>(), seq, utc, period, clocks(), any::<bool>()).prop_map(
        |(device, boot, seq, first_utc_ns, period_ns, clock, simulated)| BatchHeader {
            device,
            boot: Boot(boot),
            seq,
            count: 0,
            first_utc_ns,
            period_ns,
            clock,
            simulated,
        },
    )
}

/// Readings whose temperatures span at most `width` bits, with marks in runs of the given mean length.
fn readings() -> impl Strategy<Value = Vec<Reading>> {
    (0..=16u32, any::<i16>(), 2..=64u32, 1..=COUNT_MAX).prop_flat_map(|(width, base, run, count)| {
        let top = i32::from(base).saturating_add((1 << width) - 1).min(i32::from(i16::MAX));
        let temperatures = i32::from(base)..=top;
        let marks = proptest::option::weighted(1.0 / f64::from(run), any::<u8>());
        vec((temperatures, marks), 1..=count).prop_map(|samples| {
            let mut mark = 0;
            let mut readings = Vec::new();
            for (temperature, change) in samples {
                mark = change.unwrap_or(mark);
                readings.push(reading(i16::try_from(temperature).unwrap(), mark));
            }
            readings
        })
    })
}

fn gaps() -> impl Strategy<Value = Gap> {
    let reasons = [GapReason::Ring, GapReason::Missed, GapReason::Discarded, GapReason::Clock];
    let slots = (any::<u64>(), prop_oneof![4 => 0..1_000_000u64, 1 => any::<u64>()]);
    let reason = prop::sample::select(reasons.to_vec());
    let period = prop_oneof![8 => 1..=u32::MAX, 1 => Just(0)];
    (any::<u32>(), any::<u64>(), slots, reason, any::<i64>(), period, clocks(), any::<bool>()).prop_map(
        |(device, boot, (from, count), reason, from_utc_ns, period_ns, clock, simulated)| Gap {
            device,
            boot: Boot(boot),
            from,
            to: from.wrapping_add(count),
            reason,
            from_utc_ns,
            period_ns,
            clock,
            simulated,
        },
    )
}

/// Decodes a message and reads all of it.
fn exhaust(bytes: &[u8]) {
    match decode(bytes) {
        Ok(packed @ Packed::Batch(batch)) => {
            assert!(packed.first() < packed.end());
            assert!(packed.end_utc_ns() > batch.header.first_utc_ns);
            let readings: Vec<Reading> = batch.readings().collect();
            assert_eq!(readings.len(), usize::from(batch.header.count), "a checked batch is read to its end");
            assert_eq!(unpack(&pack(&batch.header, &readings)), (batch.header, readings));
        }
        Ok(packed @ Packed::Gap(gap)) => {
            assert!(packed.first() < packed.end());
            assert!(packed.end_utc_ns() > gap.from_utc_ns);
            assert_eq!(packed.end().seq - packed.first().seq, gap.count());
        }
        Err(_) => {}
    }
}

proptest! {
    #[test]
    fn batches_round_trip_or_are_refused_in_both_directions(header in headers(), readings in readings()) {
        let header = BatchHeader { count: u16::try_from(readings.len()).unwrap(), ..header };
        let mut out = [0; encoded_max(COUNT_MAX)];
        let out = &mut out[..encoded_max(readings.len())];
        match encode_batch(&header, &readings, out) {
            Ok(bytes) => {
                prop_assert_eq!(&*bytes, &naive(&header, &readings)[..], "the naive encoder packs the same bytes");
                prop_assert_eq!(unpack(bytes), (header, readings));
            }
            Err(error) => {
                prop_assert_eq!(error, PackError::Range);
                prop_assert_eq!(decode(&naive(&header, &readings)).unwrap_err(), Malformed::Range);
            }
        }
    }

    #[test]
    fn gaps_round_trip_or_are_refused_in_both_directions(gap in gaps()) {
        let mut out = [0; GAP_ENCODED_MAX];
        let mut raw = std::vec![GAP_V1];
        raw.extend_from_slice(postcard::to_slice(&gap, &mut [0; 128]).unwrap());
        match encode_gap(&gap, &mut out) {
            Ok(bytes) => {
                prop_assert_eq!(&*bytes, &raw[..]);
                prop_assert!(matches!(decode(bytes), Ok(Packed::Gap(read)) if read == gap));
                for room in 0..raw.len() {
                    let mut small = [0; GAP_ENCODED_MAX];
                    prop_assert_eq!(encode_gap(&gap, &mut small[..room]), Err(PackError::Space));
                }
            }
            Err(error) => {
                prop_assert_eq!(error, PackError::Range);
                prop_assert_eq!(decode(&raw).unwrap_err(), Malformed::Range);
            }
        }
    }

    #[test]
    fn too_small_a_buffer_is_refused(readings in readings(), room in any::<prop::sample::Index>()) {
        let header = header(readings.len());
        let mut bytes = pack(&header, &readings);
        let needed = bytes.len();
        prop_assert!(encode_batch(&header, &readings, &mut bytes).is_ok(), "its own length is enough");
        let room = room.index(needed);
        prop_assert_eq!(encode_batch(&header, &readings, &mut bytes[..room]), Err(PackError::Space));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(
        layout in prop_oneof![Just(BATCH_V1), Just(GAP_V1), any::<u8>()],
        rest in vec(any::<u8>(), 0..400),
    ) {
        let mut bytes = std::vec![layout];
        bytes.extend_from_slice(&rest);
        exhaust(&bytes);
        exhaust(&rest);
    }

    /// Arbitrary bytes after a valid header: bases, widths and runs that our encoder does not write.
    #[test]
    fn arbitrary_body_after_a_valid_header_does_not_panic(
        count in 1..40usize,
        width in 0..20u8,
        bits in vec(any::<u8>(), 0..90),
        runs in vec((any::<u8>(), 0..20u8), 0..8),
    ) {
        let mut bytes = std::vec![BATCH_V1];
        bytes.extend_from_slice(postcard::to_slice(&header(count), &mut [0; 64]).unwrap());
        bytes.extend_from_slice(&[6, width]);
        let packed = (count * usize::from(width)).div_ceil(8);
        bytes.extend(bits.iter().chain(std::iter::repeat(&0x5a)).take(packed));
        let mut left = count;
        for (mark, length) in runs {
            let length = usize::from(length).min(left);
            bytes.extend_from_slice(&[mark, u8::try_from(length).unwrap()]);
            left -= length;
        }
        if left > 0 {
            bytes.extend_from_slice(&[0, u8::try_from(left).unwrap()]);
        }
        exhaust(&bytes);
    }

    #[test]
    fn damaged_messages_do_not_panic(
        readings in readings(),
        flips in vec((any::<prop::sample::Index>(), 0..8u8), 1..6),
        gap in gaps(),
    ) {
        let mut batch = pack(&header(readings.len()), &readings);
        let mut out = [0; GAP_ENCODED_MAX];
        let mut gap = encode_gap(&gap, &mut out).map(|bytes| bytes.to_vec()).unwrap_or(std::vec![GAP_V1]);
        for (at, bit) in flips {
            let index = at.index(batch.len());
            batch[index] ^= 1 << bit;
            let index = at.index(gap.len());
            gap[index] ^= 1 << bit;
        }
        exhaust(&batch);
        exhaust(&gap);
    }

    #[test]
    fn truncated_or_trailing_bytes_of_a_batch_are_refused(
        readings in readings(),
        lost in any::<prop::sample::Index>(),
        rest in vec(any::<u8>(), 1..5),
    ) {
        let mut bytes = pack(&header(readings.len()), &readings);
        prop_assert!(decode(&bytes[..lost.index(bytes.len())]).is_err());
        bytes.extend_from_slice(&rest);
        prop_assert_eq!(decode(&bytes).unwrap_err(), Malformed::Body);
    }

    #[test]
    fn truncated_or_trailing_bytes_of_a_gap_are_refused(gap in gaps(), rest in vec(any::<u8>(), 1..5)) {
        let mut bytes = std::vec![GAP_V1];
        bytes.extend_from_slice(postcard::to_slice(&gap, &mut [0; 128]).unwrap());
        for end in 1..bytes.len() {
            prop_assert_eq!(decode(&bytes[..end]).unwrap_err(), Malformed::Header);
        }
        bytes.extend_from_slice(&rest);
        prop_assert_eq!(decode(&bytes).unwrap_err(), Malformed::Body);
    }
}

/// The width field, after layout, header and base.
fn width_of(bytes: &[u8]) -> u8 {
    let (_, rest) = postcard::take_from_bytes::<BatchHeader>(&bytes[1..]).unwrap();
    let (_, rest) = postcard::take_from_bytes::<i16>(rest).unwrap();
    rest[0]
}

#[test]
fn width_is_the_smallest_that_holds_the_span() {
    for width in 0..=16u8 {
        let low = (1i32 << width >> 1).min(i32::from(u16::MAX));
        let high = (1i32 << width) - 1;
        for span in [low, high] {
            let top = i16::try_from(i32::from(i16::MIN) + span).unwrap();
            let readings = [reading(i16::MIN, 0), reading(top, 0), reading(i16::MIN, 0)];
            let bytes = pack(&header(3), &readings);
            assert_eq!(width_of(&bytes), if span == 0 { 0 } else { width }, "span {span}");
            assert_eq!(unpack(&bytes).1, readings);
        }
    }
}

#[test]
fn largest_batch_and_gap_stay_within_their_bounds() {
    let largest = BatchHeader {
        device: u32::MAX,
        boot: Boot(u64::MAX),
        seq: u64::MAX - 1_000,
        count: 0,
        first_utc_ns: i64::MIN,
        period_ns: u32::MAX,
        clock: ClockQuality::Unsynced,
        simulated: true,
    };
    for count in [1, 2, 3, 99, 100, 127, 128, 129, 999, COUNT_MAX] {
        let header = BatchHeader { count: u16::try_from(count).unwrap(), ..largest };
        for run in [1, 2, 127, 128, COUNT_MAX] {
            let readings: Vec<Reading> = (0..count)
                .map(|i| {
                    reading(if i % 2 == 0 { i16::MIN } else { i16::MAX }, if i / run % 2 == 0 { 0xff } else { 0x80 })
                })
                .collect();
            let bytes = pack(&header, &readings);
            assert!(bytes.len() <= encoded_max(count), "{count} samples take {} bytes", bytes.len());
            assert_eq!(unpack(&bytes), (header, readings));
        }
    }
    let gap = Gap {
        device: u32::MAX,
        boot: Boot(u64::MAX),
        from: u64::MAX - 1,
        to: u64::MAX,
        reason: GapReason::Clock,
        from_utc_ns: i64::MIN,
        period_ns: u32::MAX,
        clock: ClockQuality::Unsynced,
        simulated: true,
    };
    let mut out = [0; GAP_ENCODED_MAX];
    assert_eq!(encode_gap(&gap, &mut out).unwrap().len(), 54);
}

#[test]
fn counts_that_do_not_fit_are_refused() {
    let one = [reading(0, 0); 1];
    let many = [reading(0, 0); COUNT_MAX + 1];
    let mut out = [0; encoded_max(COUNT_MAX + 1)];
    assert_eq!(encode_batch(&header(0), &[], &mut out), Err(PackError::Count));
    assert_eq!(encode_batch(&header(2), &one, &mut out), Err(PackError::Count));
    assert_eq!(encode_batch(&header(COUNT_MAX + 1), &many, &mut out), Err(PackError::Count));
    assert!(encode_batch(&header(COUNT_MAX), &many[1..], &mut out).is_ok());
    assert_eq!(decode(&naive(&header(COUNT_MAX + 1), &many)).unwrap_err(), Malformed::Range);
}

#[test]
fn headers_are_refused_just_beyond_their_limits() {
    let two = [reading(5, 0); 2];
    let valid = header(2);
    let last = BatchHeader { seq: u64::MAX - 2, first_utc_ns: i64::MAX - 20_000_000, ..valid };
    assert_eq!(unpack(&pack(&last, &two)), (last, two.to_vec()));
    let beyond = [
        BatchHeader { period_ns: 0, ..valid },
        BatchHeader { seq: u64::MAX - 1, ..valid },
        BatchHeader { first_utc_ns: i64::MAX - 19_999_999, ..valid },
    ];
    for header in beyond {
        assert_eq!(encode_batch(&header, &two, &mut [0; 128]), Err(PackError::Range), "{header:?}");
        assert_eq!(decode(&naive(&header, &two)).unwrap_err(), Malformed::Range, "{header:?}");
    }
    let mut no_samples = std::vec![BATCH_V1];
    no_samples.extend_from_slice(postcard::to_slice(&header(0), &mut [0; 64]).unwrap());
    no_samples.extend_from_slice(&[0, 0]);
    assert_eq!(decode(&no_samples).unwrap_err(), Malformed::Range);
}

#[test]
fn gaps_are_refused_just_beyond_their_limits() {
    let valid = Gap {
        device: 1,
        boot: Boot(2),
        from: 3,
        to: 5,
        reason: GapReason::Ring,
        from_utc_ns: i64::MAX - 20_000_000,
        period_ns: 10_000_000,
        clock: ClockQuality::Synced,
        simulated: false,
    };
    let bytes = encode_gap(&valid, &mut [0; GAP_ENCODED_MAX]).unwrap().to_vec();
    assert!(matches!(decode(&bytes), Ok(Packed::Gap(gap)) if gap == valid));
    let beyond = [
        Gap { to: 3, ..valid },
        Gap { to: 2, ..valid },
        Gap { period_ns: 0, ..valid },
        Gap { from_utc_ns: i64::MAX - 19_999_999, ..valid },
        Gap { to: u64::MAX, from_utc_ns: 0, ..valid },
    ];
    for gap in beyond {
        assert_eq!(encode_gap(&gap, &mut [0; GAP_ENCODED_MAX]), Err(PackError::Range), "{gap:?}");
        let mut raw = std::vec![GAP_V1];
        raw.extend_from_slice(postcard::to_slice(&gap, &mut [0; 128]).unwrap());
        assert_eq!(decode(&raw).unwrap_err(), Malformed::Range, "{gap:?}");
    }
}

#[test]
fn unknown_layouts_are_reported() {
    assert_eq!(decode(&[]).unwrap_err(), Malformed::Empty);
    assert_eq!(decode(&[0x02, 1, 2, 3]).unwrap_err(), Malformed::Layout(0x02));
    assert_eq!(decode(&[BATCH_V1]).unwrap_err(), Malformed::Header);
}

#[test]
fn a_width_above_sixteen_and_an_empty_run_are_refused() {
    let bytes = pack(&header(1), &[reading(100, 4)]);
    let end = bytes.len();
    let mut wide = bytes.clone();
    wide[end - 3] = 17;
    assert_eq!(decode(&wide).unwrap_err(), Malformed::Range);
    let mut empty_run = bytes[..end - 2].to_vec();
    empty_run.extend_from_slice(&[4, 0, 4, 1]);
    assert_eq!(decode(&empty_run).unwrap_err(), Malformed::Body);
}

#[test]
fn stamps_of_a_batch_are_spaced_by_its_period() {
    let bytes = pack(&header(3), &[reading(1, 0); 3]);
    let Ok(packed @ Packed::Batch(batch)) = decode(&bytes) else { panic!("a batch") };
    assert_eq!(batch.header.utc_ns(2) - batch.header.first_utc_ns, 20_000_000);
    assert_eq!(packed.end_utc_ns() - batch.header.first_utc_ns, 30_000_000);
    assert_eq!(packed.end(), Slot::new(Boot::new(3, 0xdead_beef), 4_203));
    assert_eq!(packed.device(), 0x1234_5678);
}

/// Sensor noise of some hundredths on a slowly moving temperature, as in a real boiler.
#[test]
fn realistic_batch_takes_about_a_byte_per_sample() {
    let readings: Vec<Reading> = (0..100i16).map(|i| reading(6_100 + i / 10 + (i * 37) % 11, 0b1_0100)).collect();
    let bytes = pack(&header(100), &readings);
    assert!(bytes.len() <= 105, "{} bytes", bytes.len());
}
