//! The packed batches and gaps of the stream.

use thermowell_wire::Reading;
use thermowell_wire::batch::{
    BatchHeader, ClockQuality, GAP_ENCODED_MAX, Gap, Packed, decode, encode_batch, encode_gap, encoded_max,
};
use thermowell_wire::line::GapReason;

use super::{BOOT, DEVICE, Fields, assert_fields, bytes, reading};

const HEADER: BatchHeader = BatchHeader {
    device: DEVICE,
    boot: BOOT,
    seq: 360_000,
    count: 5,
    first_utc_ns: 1_767_754_800_010_000_000,
    period_ns: 10_000_000,
    clock: ClockQuality::Synced,
    simulated: true,
};

fn assert_golden_batch(header: &BatchHeader, readings: &[Reading], fields: Fields<'_>) {
    let mut out = vec![0; encoded_max(readings.len())];
    let packed = encode_batch(header, readings, &mut out).expect("encoded_max is enough");
    assert_fields(packed, fields);
    let golden: Vec<u8> = fields.iter().flat_map(|(_, hex)| bytes(hex)).collect();
    let Ok(Packed::Batch(batch)) = decode(&golden) else { panic!("a batch") };
    assert_eq!(batch.header, *header);
    assert_eq!(batch.readings().collect::<Vec<_>>(), readings);
}

#[test]
fn batch() {
    // Differences 1, 3, 0, 5, 4 of three bits, the first lowest: 0b01_000_011_001 and 0b100_101 from bit 9.
    let temperatures = [6_137, 6_139, 6_136, 6_141, 6_140];
    let marks = [0x14, 0x14, 0x14, 4, 4];
    let readings: Vec<Reading> = temperatures.into_iter().zip(marks).map(|(t, m)| reading(t, m)).collect();
    let fields = [
        ("layout", "01"),
        ("device", "db a3 a5 dc 09"),
        ("boot", "ef fd b6 f5 3d"),
        ("seq", "c0 fc 15"),
        ("count", "05"),
        ("first_utc_ns", "80 da b3 89 fd e7 a9 88 31"),
        ("period_ns", "80 ad e2 04"),
        ("clock", "00"),
        ("simulated", "01"),
        ("base", "f0 5f"),
        ("width", "03"),
        ("bits", "19 4a"),
        ("run 0: marks", "14"),
        ("run 0: length", "03"),
        ("run 1: marks", "04"),
        ("run 1: length", "02"),
    ];
    assert_golden_batch(&HEADER, &readings, &fields);
}

#[test]
fn batch_of_one_temperature() {
    let header = BatchHeader { count: 300, clock: ClockQuality::Unsynced, simulated: false, ..HEADER };
    let fields = [
        ("layout", "01"),
        ("device", "db a3 a5 dc 09"),
        ("boot", "ef fd b6 f5 3d"),
        ("seq", "c0 fc 15"),
        ("count", "ac 02"),
        ("first_utc_ns", "80 da b3 89 fd e7 a9 88 31"),
        ("period_ns", "80 ad e2 04"),
        ("clock", "01"),
        ("simulated", "00"),
        ("base", "c7 01"),
        ("width", "00"),
        ("bits", ""),
        ("run 0: marks", "00"),
        ("run 0: length", "ac 02"),
    ];
    assert_golden_batch(&header, &[reading(-100, 0); 300], &fields);
}

#[test]
fn batch_of_the_widest_span() {
    let header = BatchHeader { count: 3, ..HEADER };
    let fields = [
        ("layout", "01"),
        ("device", "db a3 a5 dc 09"),
        ("boot", "ef fd b6 f5 3d"),
        ("seq", "c0 fc 15"),
        ("count", "03"),
        ("first_utc_ns", "80 da b3 89 fd e7 a9 88 31"),
        ("period_ns", "80 ad e2 04"),
        ("clock", "00"),
        ("simulated", "01"),
        ("base", "ff ff 03"),
        ("width", "10"),
        ("bits", "00 00 ff ff ff 7f"),
        ("run 0: marks", "00"),
        ("run 0: length", "03"),
    ];
    assert_golden_batch(&header, &[reading(i16::MIN, 0), reading(i16::MAX, 0), reading(-1, 0)], &fields);
}

#[test]
fn gap() {
    let mut gap = Gap {
        device: DEVICE,
        boot: BOOT,
        from: 360_100,
        to: 360_200,
        reason: GapReason::Ring,
        from_utc_ns: 1_767_754_800_010_000_000,
        period_ns: 10_000_000,
        clock: ClockQuality::Synced,
        simulated: true,
    };
    let reasons =
        [(GapReason::Ring, "00"), (GapReason::Missed, "01"), (GapReason::Discarded, "02"), (GapReason::Clock, "03")];
    for (reason, number) in reasons {
        gap.reason = reason;
        let fields = [
            ("layout", "81"),
            ("device", "db a3 a5 dc 09"),
            ("boot", "ef fd b6 f5 3d"),
            ("from", "a4 fd 15"),
            ("to", "88 fe 15"),
            ("reason", number),
            ("from_utc_ns", "80 da b3 89 fd e7 a9 88 31"),
            ("period_ns", "80 ad e2 04"),
            ("clock", "00"),
            ("simulated", "01"),
        ];
        assert_fields(encode_gap(&gap, &mut [0; GAP_ENCODED_MAX]).expect("fits"), &fields);
        let golden: Vec<u8> = fields.iter().flat_map(|(_, hex)| bytes(hex)).collect();
        assert!(matches!(decode(&golden), Ok(Packed::Gap(read)) if read == gap));
    }
}
