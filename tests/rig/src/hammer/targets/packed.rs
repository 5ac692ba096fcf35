//! A message of SAMPLES: a packed batch or a gap, and what the roles do with one at once.

use thermowell_flow::batch::{Record, Stamp};
use thermowell_flow::consume::Consume;
use thermowell_wire::batch::{
    Batch, BatchHeader, COUNT_MAX, ClockQuality, GAP_ENCODED_MAX, Gap, Packed, decode, encode_batch, encode_gap,
    encoded_max,
};
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, CentiCelsius, Reading};

use crate::hammer::judge::{Complaint, Parts, Target, Trace, done, must, same};

pub(super) const TARGET: Target = Target {
    name: "batch",
    what: "packed batches and gaps of SAMPLES",
    longest: 8_192,
    seeds,
    words: &[&[0x01], &[0x81], &[0xff; 10], b"\xe8\x07", b"\xe9\x07", b"\xff\xff\x03", b"\x10"],
    parts: Some(Parts { open, close }),
    judge,
    cases: include_str!("../../../fuzz-corpus/batch.txt"),
};

fn judge(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let packed = match decode(input) {
        Ok(packed) => packed,
        Err(malformed) => {
            trace.note_shape(&malformed);
            must(Consume::new().accept(1, input).is_err(), "what is malformed is consumed by nobody")?;
            return Ok(trace);
        }
    };
    trace.accept();
    must(packed.first() < packed.end(), "a message accounts for slots")?;
    match &packed {
        Packed::Batch(batch) => judge_batch(batch, &mut trace)?,
        Packed::Gap(gap) => judge_gap(gap, &mut trace)?,
    }
    judge_record(&packed)?;
    // Otherwise a message that is cut off, or has something behind it, would be another good one.
    must(decode(&input[..input.len() - 1]).is_err(), "nothing is accepted that is cut off")?;
    must(decode(&[input, &[1]].concat()).is_err(), "nothing is accepted with something behind it")?;
    let arrival = done("what is decoded is consumed", Consume::new().accept(1, input))?;
    same("the first message of a history is all new", &(arrival.seen, arrival.lost), &(0, None))?;
    Ok(trace)
}

fn judge_batch(batch: &Batch<'_>, trace: &mut Trace) -> Result<(), Complaint> {
    let header = &batch.header;
    let readings: Vec<Reading> = batch.readings().collect();
    trace.note_shape(header);
    trace.note_size(u64::from(header.count));
    same("as many readings as the header says", &readings.len(), &usize::from(header.count))?;
    must(header.utc_ns(header.count) > header.first_utc_ns, "time goes on")?;
    let mut out = vec![0; encoded_max(readings.len())];
    let again = done("what is decoded can be packed, in the space that is promised", {
        encode_batch(header, &readings, &mut out).map(|bytes| bytes.to_vec())
    })?;
    trace.note_size(u64::try_from(again.len()).expect("lengths fit into 64 bits"));
    match done("what is packed is decoded", decode(&again))? {
        Packed::Batch(batch) => {
            same("decode(encode(x)) is x", &batch.header, header)?;
            same("decode(encode(x)) is x", &batch.readings().collect(), &readings)
        }
        Packed::Gap(gap) => Err(Complaint(format!("a batch became {gap:?}"))),
    }
}

fn judge_gap(gap: &Gap, trace: &mut Trace) -> Result<(), Complaint> {
    trace.note_shape(gap);
    trace.note_size(gap.count());
    let mut out = [0; GAP_ENCODED_MAX];
    let again = done("what is decoded can be packed, in the space that is promised", encode_gap(gap, &mut out))?;
    match done("what is packed is decoded", decode(again))? {
        Packed::Gap(decoded) => same("decode(encode(x)) is x", &decoded, gap),
        Packed::Batch(batch) => Err(Complaint(format!("a gap became {batch:?}"))),
    }
}

/// The agent takes up what it finds in a spill file or at the end of the stream, whole or in part.
fn judge_record(packed: &Packed<'_>) -> Result<(), Complaint> {
    let record = Record::from_message(packed);
    let Stamp::Stamped { utc_ns, clock } = record.stamp else {
        return Err(Complaint("what was published has a stamp".to_owned()));
    };
    let again = record.message(record.first.seq..record.end, utc_ns, clock);
    let decoded = done("a record's message is decoded", decode(&again))?;
    same("a record accounts for the same slots", &(decoded.first(), decoded.end()), &(packed.first(), packed.end()))?;
    same("a record ends at the same time", &decoded.end_utc_ns(), &packed.end_utc_ns())?;
    let middle = record.first.seq + record.slots() / 2;
    if middle > record.first.seq {
        let (front, back) = (record.part(record.first.seq, middle), record.part(middle, record.end));
        same("two parts are the whole", &(front.slots() + back.slots()), &record.slots())?;
        same("the second part begins at its time", &back.utc_ns(middle), &record.utc_ns(middle))?;
    }
    Ok(())
}

const BOOT: Boot = Boot(0x0000_0007_dead_be42);
const UTC_NS: i64 = 1_767_751_200_000_000_000;

fn header(count: usize) -> BatchHeader {
    BatchHeader {
        device: 0xcafe_babe,
        boot: BOOT,
        seq: 12_300,
        count: u16::try_from(count).expect("at most COUNT_MAX"),
        first_utc_ns: UTC_NS,
        period_ns: 10_000_000,
        clock: ClockQuality::Synced,
        simulated: true,
    }
}

/// The layout's byte, each number of the header, the base, the width, and the rest: as a batch has them.
fn open(input: &[u8]) -> Vec<Vec<u8>> {
    const NUMBERS: usize = 9;
    let number = |bytes: &[u8]| bytes.iter().position(|byte| *byte < 0x80).map_or(bytes.len(), |last| last + 1);
    let mut rest = input;
    let mut cut = |len: usize| {
        let (part, behind) = rest.split_at(len.min(rest.len()));
        rest = behind;
        part.to_vec()
    };
    let mut parts = vec![cut(1)];
    let mut at = 1;
    for _ in 0..NUMBERS {
        let part = cut(number(input.get(at..).unwrap_or_default()));
        at += part.len();
        parts.push(part);
    }
    parts.extend([cut(1), cut(usize::MAX)]);
    parts
}

fn close(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

pub(super) fn batch(readings: &[Reading]) -> Vec<u8> {
    let mut out = vec![0; encoded_max(readings.len())];
    encode_batch(&header(readings.len()), readings, &mut out).expect("they are in range").to_vec()
}

pub(super) fn gap(reason: GapReason, from: u64, to: u64) -> Vec<u8> {
    let BatchHeader { device, boot, first_utc_ns: from_utc_ns, period_ns, clock, simulated, .. } = header(1);
    let gap = Gap { device, boot, from, to, reason, from_utc_ns, period_ns, clock, simulated };
    encode_gap(&gap, &mut [0; GAP_ENCODED_MAX]).expect("it is in range").to_vec()
}

/// A burner cycle, with a draw in it.
pub(super) fn readings(count: i16) -> Vec<Reading> {
    let marks = |n: i16| if n % 50 < 40 { Reading::FLAME | Reading::PUMP } else { Reading::HOT_WATER };
    let centi = |n: i16| 4_000 + 7 * n % 640 - n % 3;
    (0..count).map(|n| Reading { temperature: CentiCelsius(centi(n)), marks: marks(n) }).collect()
}

fn seeds() -> Vec<Vec<u8>> {
    let most = i16::try_from(COUNT_MAX).expect("1,000");
    let wild = |n: i16| Reading { temperature: CentiCelsius(n.wrapping_mul(27_011)), marks: n.to_le_bytes()[0] };
    vec![
        batch(&readings(100)),
        batch(&readings(1)),
        batch(&readings(most)),
        batch(&[Reading::default(); COUNT_MAX]),
        batch(&(0..most).map(wild).collect::<Vec<_>>()),
        gap(GapReason::Ring, 0, 12_300),
        gap(GapReason::Missed, 12_300, 12_301),
        gap(GapReason::Discarded, 7, 8_000_000_007),
        gap(GapReason::Clock, 1, 2),
    ]
}
