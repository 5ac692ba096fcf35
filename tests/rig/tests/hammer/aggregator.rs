//! The aggregator, started from any snapshot and with any messages of SAMPLES.

use proptest::prelude::*;
use thermowell_flow::aggregator::{Aggregator, Effect, Settings};
use thermowell_flow::published::{Snapshot, State};
use thermowell_flow::snapshot::EMPTY_HOURS_MAX;
use thermowell_wire::batch::{BatchHeader, ClockQuality};
use thermowell_wire::line::GapReason;

use super::inputs::Grammar;
use super::json;
use super::packed::{self, later};
use super::run::Target;
use super::script::{self, line, lines};

pub(crate) const TARGET: Target = Target {
    grammar,
    judge,
    cases: &[
        // The year 2262, stamped by a clock that reports to be synchronised: it stayed the open hour.
        b"\x01\x1d\x00\x01\x07\x81\x80\x80\x80p\x00\n\x80\x80\xef\xff\xfc\xe7\xa9\x881\x80\xad\xe2\x04\x00\x01\x90N\
          \x00\x04\n\
          \x01\x1e\x00\x01\x07\x81\x80\x80\x80p\n\n\x80\xf0\xa0\xbf\xb5\xff\xff\xff\xff\x01\x80\xad\xe2\x04\x00\x01\
          \x90N\x00\x04\n\
          \x01\x1d\x00\x01\x07\x81\x80\x80\x80p\x14\n\x80\x88\xcd\xbe\xfe\xe7\xa9\x881\x80\xad\xe2\x04\x00\x01\x90N\
          \x00\x04\n",
        // A stamp whose last digit was wrong after fast decimal parsing.
        b"\x01\x1e\x00\x01\x07\x81\x80\x80\x80p\n\n\x80\xf0\xa0\xbf\xb5\xff\xff\xff\xff\x01\x80\xac\xe2\x04\x00\x01\
          \x90N\x00\x04\n",
        // The last second that a stamp can name, with the next one after it: a multiplication overflowed.
        b"\x01\x1e\x00\x01\x07\x81\x80\x80\x80p\n\n\xfe\xfb\xd0\xa0\xff\xff\xff\xff\xff\x01\x80\xac\xe2\x04\x00\x01\
          \x90N\x00\x04\n",
    ],
};

/// The boiler's last snapshot: only as the first line.
const LAST: u8 = 0;
const MESSAGE: u8 = 1;
/// Another snapshot has the sequence of ours.
const CONFLICT: u8 = 2;
const STORED: u8 = 3;
const BEGINS_AT: u8 = 4;

/// Hours that one message may close: the empty ones, and those of a batch with the longest period.
const CLOSED_MAX: u64 = EMPTY_HOURS_MAX.unsigned_abs() + 4;

fn judge(input: &[u8]) -> bool {
    let mut script = lines(input).peekable();
    let last = script.next_if(|line| line.kind == LAST).and_then(|line| serde_json::from_slice(line.bytes).ok());
    let settings = Settings { boiler: json::boiler(), instance: "cellar".to_owned() };
    let mut aggregator = Aggregator::new(settings, last.map(|last: Snapshot| (7, last)));
    let mut effects = Vec::new();
    let mut sequence = aggregator.replay_from().unwrap_or(1).min(1 << 53);
    let mut accepted = false;
    for line in script {
        let hours = aggregator.counters().hours;
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
        accepted = true;
        for effect in effects.drain(..) {
            if let Effect::Event(_, body) = effect {
                json::json(&body);
            }
        }
        let closed = aggregator.counters().hours - hours;
        assert!(closed <= CLOSED_MAX, "one message closed {closed} hours");
        aggregator.state().iter().for_each(judge_state);
        aggregator.next_snapshot().iter().for_each(|(_, snapshot)| judge_snapshot(snapshot));
    }
    accepted
}

fn judge_state(state: &State) {
    let share = 0.0..=1.0;
    assert!(share.contains(&state.coverage) && share.contains(&state.heating_share), "shares are shares: {state:?}");
    let within = |mean: Option<f64>| match (state.minimum, mean, state.maximum) {
        (Some(minimum), Some(mean), Some(maximum)) => (minimum..=maximum).contains(&mean),
        (_, None, _) => true,
        (None, Some(_), _) | (_, Some(_), None) => false,
    };
    assert!(within(state.average) && within(state.average_heating), "S3 a mean lies within: {state:?}");
    assert_eq!(&serde_json::from_slice::<State>(&json::json(state)).expect("a state reads back"), state);
}

fn judge_snapshot(snapshot: &Snapshot) {
    let accounted = snapshot.temperature_points.checked_add(snapshot.missing.total());
    assert_eq!(Some(snapshot.slots), accounted, "S4 the ledger closes");
    assert_eq!(&serde_json::from_slice::<Snapshot>(&json::json(snapshot)).expect("a snapshot reads back"), snapshot);
}

fn grammar() -> Grammar {
    let readings = packed::readings(100);
    let message = |header: BatchHeader| line(MESSAGE, packed::batch(&header, &readings).expect("it is in range"));
    let unsynced = BatchHeader { clock: ClockQuality::Unsynced, ..later(100, 0) };
    let gap = line(MESSAGE, packed::gap(&later(100, 0), 372_400, GapReason::Ring).expect("it is in range"));
    let snapshot = json::snapshot();
    let warmed_up = Snapshot { first: Some(later(200, 0).first()), ..snapshot.clone() };
    let last = line(LAST, json::json(&snapshot));
    let conflict = line(CONFLICT, json::json(&snapshot));
    let seeds = vec![
        vec![message(later(0, 0)), message(later(100, 0)), gap, message(later(360_200, 2))],
        vec![message(later(0, 0)), message(unsynced), message(later(200, 1)), script::number(STORED, 8)],
        vec![last.clone(), message(later(347_700, 0)), message(later(348_000, 2)), conflict],
        vec![
            line(LAST, json::json(&warmed_up)),
            message(later(0, 0)),
            message(later(200, 2)),
            message(later(360_000, 70)),
        ],
        vec![
            script::number(BEGINS_AT, 9),
            message(later(0, 0)),
            message(later(900, 0)),
            message(later(100_000, 60)),
            line(CONFLICT, []),
        ],
        vec![last, message(later(9_000_000, 30))],
    ];
    Grammar::new(seeds, script::close)
        .with_parts(packed::message().prop_map(|message| line(MESSAGE, message)))
        .with_words("null|-1|0")
}
