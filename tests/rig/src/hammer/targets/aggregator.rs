//! The aggregator, begun at anybody's snapshot and told any messages of SAMPLES.

use thermowell_flow::aggregator::{Aggregator, Effect, Settings};
use thermowell_flow::published::{Snapshot, State};
use thermowell_wire::batch::{ClockQuality, Packed, decode};
use thermowell_wire::line::GapReason;

use super::script::{self, lines, story};
use super::{json, packed};
use crate::hammer::judge::{Complaint, Target, Trace, done, must, same};

pub(super) const TARGET: Target = Target {
    name: "aggregator",
    what: "a snapshot and messages of SAMPLES, and what the aggregator makes of them",
    longest: 16_384,
    seeds,
    words: &[&[0xff; 9], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"null", b"18446744073709551615", b"-1", b"0"],
    parts: Some(script::PARTS),
    judge,
    cases: include_str!("../../../fuzz-corpus/aggregator.txt"),
};

/// The boiler's last snapshot: only as the first line.
const LAST: u8 = 0;
const MESSAGE: u8 = 1;
/// Another snapshot stands where ours should go.
const CONFLICT: u8 = 2;
const STORED: u8 = 3;
const BEGINS_AT: u8 = 4;

fn judge(input: &[u8]) -> Result<Trace, Complaint> {
    let mut trace = Trace::of(input.len());
    let mut story = lines(input).peekable();
    let last = story.next_if(|line| line.kind == LAST).and_then(|line| serde_json::from_slice(line.bytes).ok());
    let settings = Settings { boiler: json::boiler(), instance: "cellar".to_owned() };
    let mut aggregator = Aggregator::new(settings, last.map(|last: Snapshot| (7, last)));
    let mut effects = Vec::new();
    let mut sequence = aggregator.replay_from().unwrap_or(1).min(1 << 53);
    for line in story {
        match line.kind {
            MESSAGE => {
                if sequence == aggregator.replay_from().unwrap_or(1) {
                    aggregator.found_at_replay(Some(line.bytes));
                }
                aggregator.observe(sequence, line.bytes, &mut effects);
                sequence += 1;
            }
            CONFLICT => {
                let found = serde_json::from_slice(line.bytes).ok().map(|found: Snapshot| (sequence, found));
                aggregator.snapshot_conflict(found, &mut effects);
            }
            STORED => aggregator.snapshot_stored(line.number()),
            BEGINS_AT => aggregator.stream_begins_at(line.number()),
            _ => continue,
        }
        trace.accept();
        for effect in effects.drain(..) {
            match effect {
                Effect::Event(kind, _) => trace.note(kind.token()),
                Effect::Log(log) => trace.note_shape(&log),
                Effect::Restart => trace.note("begin anew"),
            }
        }
        if let Some(state) = aggregator.state() {
            judge_state(&state, &mut trace)?;
        }
        if let Some((_, snapshot)) = aggregator.next_snapshot() {
            judge_snapshot(snapshot, &mut trace)?;
        }
    }
    Ok(trace)
}

fn judge_state(state: &State, trace: &mut Trace) -> Result<(), Complaint> {
    trace.note_shape(&(state.average, state.average_heating, state.quality, state.clock, &state.last_hour));
    let share = 0.0..=1.0;
    must(share.contains(&state.coverage) && share.contains(&state.heating_share), "shares are shares")?;
    let within = |mean: Option<f64>| match (state.minimum, mean, state.maximum) {
        (Some(minimum), Some(mean), Some(maximum)) => (minimum..=maximum).contains(&mean),
        (_, None, _) => true,
        (None, Some(_), _) | (_, Some(_), None) => false,
    };
    must(within(state.average) && within(state.average_heating), &format!("S3 a mean lies within: {state:?}"))?;
    let text = done("a state can be printed", serde_json::to_vec(state))?;
    let read: State = done("a state can be read", serde_json::from_slice(&text))?;
    same("a state reads back", &read, state)
}

fn judge_snapshot(snapshot: &Snapshot, trace: &mut Trace) -> Result<(), Complaint> {
    trace.note_shape(snapshot);
    let accounted = snapshot.temperature_points.checked_add(snapshot.missing.total());
    same("S4 the ledger closes", &Some(snapshot.slots), &accounted)?;
    let text = done("a snapshot can be printed", serde_json::to_vec(snapshot))?;
    let read: Snapshot = done("a snapshot can be read", serde_json::from_slice(&text))?;
    same("a snapshot reads back", &read, snapshot)
}

/// A message `hours` later, `slots` further on.
fn later(message: &[u8], slots: u64, hours: i64, clock: ClockQuality) -> Vec<u8> {
    use thermowell_wire::batch::{encode_batch, encode_gap, encoded_max};
    let mut out = vec![0; encoded_max(1_000)];
    let ns = hours * 3_600_000_000_000;
    let bytes = match decode(message).expect("it was encoded") {
        Packed::Batch(batch) => {
            let mut header = batch.header;
            (header.seq, header.first_utc_ns, header.clock) = (header.seq + slots, header.first_utc_ns + ns, clock);
            encode_batch(&header, &batch.readings().collect::<Vec<_>>(), &mut out).expect("it is in range")
        }
        Packed::Gap(mut gap) => {
            (gap.from, gap.to, gap.from_utc_ns) = (gap.from + slots, gap.to + slots, gap.from_utc_ns + ns);
            gap.clock = clock;
            encode_gap(&gap, &mut out).expect("it is in range")
        }
    };
    bytes.to_vec()
}

fn seeds() -> Vec<Vec<u8>> {
    let batch = packed::batch(&packed::readings(100));
    let message = |slots, hours, clock| (MESSAGE, later(&batch, slots, hours, clock));
    let synced = |slots, hours| message(slots, hours, ClockQuality::Synced);
    let gap = packed::gap(GapReason::Ring, 12_400, 372_400);
    let last = (LAST, json::json(&json::snapshot()));
    vec![
        story(&[(MESSAGE, batch.clone()), synced(100, 0), (MESSAGE, gap), synced(360_200, 2)]),
        story(&[synced(0, 0), message(100, 0, ClockQuality::Unsynced), synced(200, 1), (STORED, vec![8; 8])]),
        story(&[last.clone(), synced(347_700, 0), synced(348_000, 2), (CONFLICT, json::json(&json::snapshot()))]),
        story(&[(BEGINS_AT, vec![9]), synced(0, 0), synced(900, 0), synced(100_000, 60), (CONFLICT, Vec::new())]),
        story(&[last, (MESSAGE, later(&batch, 9_000_000, 30, ClockQuality::Synced))]),
    ]
}
