//! A message of SAMPLES: a packed batch or a gap, and how the roles process it.

use proptest::prelude::*;
use proptest::sample::select;
use thermowell_flow::batch::{Record, Stamp};
use thermowell_flow::consume::Consume;
use thermowell_flow::time::BOOT_NS_MAX;
use thermowell_wire::batch::{
    Batch, BatchHeader, COUNT_MAX, ClockQuality, GAP_ENCODED_MAX, Gap, PackError, Packed, decode, encode_batch,
    encode_gap, encoded_max,
};
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, CentiCelsius, Reading};

use super::inputs::{Grammar, Part, number};
use super::run::Target;

pub(crate) const TARGET: Target = Target { grammar, judge, cases: &[] };

fn judge(input: &[u8]) -> bool {
    let Ok(packed) = decode(input) else {
        assert!(Consume::new().accept(1, input).is_err(), "a malformed message is not consumed");
        return false;
    };
    assert!(packed.first() < packed.end(), "a message accounts for slots");
    match &packed {
        Packed::Batch(batch) => judge_batch(batch),
        Packed::Gap(gap) => judge_gap(gap),
    }
    judge_record(&packed);
    // Otherwise a message that is cut off, or has something after it, would be another good one.
    assert!(decode(&input[..input.len() - 1]).is_err(), "accepted, although cut off");
    assert!(decode(&[input, &[1]].concat()).is_err(), "accepted with something after it");
    let mut consume = Consume::new();
    let arrival = consume.accept(1, input);
    if packed.end().seq > BOOT_NS_MAX / u64::from(packed.period_ns()) {
        assert!(arrival.is_err(), "slots beyond the longest boot are consumed");
        return true;
    }
    let arrival = arrival.expect("what is decoded is consumed");
    assert_eq!((arrival.seen, arrival.lost), (0, None), "the first message of a history is all new");
    true
}

fn judge_batch(batch: &Batch<'_>) {
    let header = &batch.header;
    let readings: Vec<Reading> = batch.readings().collect();
    assert_eq!(readings.len(), usize::from(header.count), "as many readings as the header has");
    assert!(header.utc_ns(header.count) > header.first_utc_ns, "time goes on");
    let mut out = vec![0; encoded_max(readings.len())];
    let again = encode_batch(header, &readings, &mut out).expect("it fits into the space that is promised");
    let Ok(Packed::Batch(batch)) = decode(again) else { panic!("not a batch again") };
    assert_eq!((&batch.header, batch.readings().collect()), (header, readings), "decode(encode(x)) is x");
}

fn judge_gap(gap: &Gap) {
    let mut out = [0; GAP_ENCODED_MAX];
    let again = encode_gap(gap, &mut out).expect("it fits into the space that is promised");
    let Ok(Packed::Gap(again)) = decode(again) else { panic!("not a gap again") };
    assert_eq!(&again, gap, "decode(encode(x)) is x");
}

/// The agent continues with what it finds in a spill file or at the end of the stream, whole or in part.
fn judge_record(packed: &Packed<'_>) {
    let record = Record::from_message(packed);
    let Stamp::Stamped { utc_ns, clock } = record.stamp else { panic!("what was published has a stamp") };
    let again = record.message(record.first.seq..record.end, utc_ns, clock);
    let again = decode(&again).expect("a record's message is decoded");
    assert_eq!((again.first(), again.end()), (packed.first(), packed.end()), "a record accounts for the same slots");
    assert_eq!(again.end_utc_ns(), packed.end_utc_ns(), "a record ends at the same time");
    let middle = record.first.seq + record.slots() / 2;
    if middle > record.first.seq {
        let (front, back) = (record.part(record.first.seq, middle), record.part(middle, record.end));
        assert_eq!(front.slots() + back.slots(), record.slots(), "two parts are the whole");
        assert_eq!(back.utc_ns(middle), record.utc_ns(middle), "the second part begins at its time");
    }
}

const BOOT: Boot = Boot(0x0000_0007_dead_be42);
const HOUR_NS: i64 = 3_600_000_000_000;

/// The first of the messages from which inputs are made.
pub(crate) const HEADER: BatchHeader = BatchHeader {
    device: 0xcafe_babe,
    boot: BOOT,
    seq: 12_300,
    count: 1,
    first_utc_ns: 1_767_751_200_000_000_000,
    period_ns: 10_000_000,
    clock: ClockQuality::Synced,
    simulated: true,
};

/// A batch of these readings; `header.count` is not used.
pub(crate) fn batch(header: &BatchHeader, readings: &[Reading]) -> Result<Part, PackError> {
    let header = BatchHeader { count: u16::try_from(readings.len()).unwrap_or(u16::MAX), ..*header };
    encode_batch(&header, readings, &mut vec![0; encoded_max(readings.len())]).map(|bytes| bytes.to_vec())
}

/// The gap from the first slot of `header` to `to`.
pub(crate) fn gap(header: &BatchHeader, to: u64, reason: GapReason) -> Result<Part, PackError> {
    let BatchHeader { device, boot, seq: from, first_utc_ns: from_utc_ns, period_ns, clock, simulated, .. } = *header;
    let gap = Gap { device, boot, from, to, reason, from_utc_ns, period_ns, clock, simulated };
    encode_gap(&gap, &mut [0; GAP_ENCODED_MAX]).map(|bytes| bytes.to_vec())
}

/// `slots` and `hours` after the first message.
pub(crate) fn later(slots: u64, hours: i64) -> BatchHeader {
    let (seq, first_utc_ns) = (HEADER.seq + slots, HEADER.first_utc_ns + hours * HOUR_NS);
    BatchHeader { seq, first_utc_ns, ..HEADER }
}

/// A burner cycle, with a draw in it.
pub(crate) fn readings(count: i16) -> Vec<Reading> {
    let marks = |n: i16| if n % 50 < 40 { Reading::FLAME | Reading::PUMP } else { Reading::HOT_WATER };
    let centi = |n: i16| 4_000 + 7 * n % 640 - n % 3;
    (0..count).map(|n| Reading { temperature: CentiCelsius(centi(n)), marks: marks(n) }).collect()
}

/// Any message in range: of the slots and hours of one history, or where their numbers end.
pub(crate) fn message() -> impl Strategy<Value = Part> {
    // Below 2^60, 365 million years: sums over the boots of a script fit into 64 bits.
    let seq = prop_oneof![2 => 0..20_000_u64, 1 => number().prop_map(|seq| seq >> 4)];
    let utc = prop_oneof![
        2 => (0..60 * HOUR_NS).prop_map(|later| HEADER.first_utc_ns + later),
        2 => number().prop_map(|later| HEADER.first_utc_ns.saturating_add_unsigned(later)),
        1 => number().prop_map(|before| i64::MAX.saturating_sub_unsigned(before)),
        1 => number().prop_map(|after| i64::MIN.saturating_add_unsigned(after)),
    ];
    let boot = prop_oneof![6 => Just(BOOT), 1 => number().prop_map(Boot)];
    let period = prop_oneof![3 => Just(10_000_000), 1 => any::<u32>()];
    let clock = select(&[ClockQuality::Synced, ClockQuality::Unsynced][..]);
    let header = (boot, seq, utc, period, clock).prop_map(|(boot, seq, first_utc_ns, period_ns, clock)| BatchHeader {
        boot,
        seq,
        first_utc_ns,
        period_ns,
        clock,
        ..HEADER
    });
    let reason = select(&[GapReason::Ring, GapReason::Missed, GapReason::Discarded, GapReason::Clock][..]);
    prop_oneof![
        3 => (header.clone(), 1..=20_i16).prop_map(|(header, count)| batch(&header, &readings(count))),
        1 => (header, number(), reason)
            .prop_map(|(header, slots, reason)| gap(&header, header.seq.saturating_add(slots), reason)),
    ]
    .prop_filter_map("out of range", Result::ok)
}

fn grammar() -> Grammar {
    let most = i16::try_from(COUNT_MAX).expect("1,000");
    let wild = |n: i16| Reading { temperature: CentiCelsius(n.wrapping_mul(27_011)), marks: n.to_le_bytes()[0] };
    let (still, wild) = (vec![Reading::default(); COUNT_MAX], (0..most).map(wild).collect());
    let batches = [readings(1), readings(100), readings(most), still, wild].map(|readings| batch(&HEADER, &readings));
    let gaps = [gap(&HEADER, 12_301, GapReason::Missed), gap(&later(0, 1), 8_000_000_007, GapReason::Clock)];
    let seeds = batches.into_iter().chain(gaps).map(|seed| vec![seed.expect("it is in range")]);
    Grammar::new(seeds.collect(), <[_]>::concat).with_parts(message())
}
