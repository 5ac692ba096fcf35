//! The aggregator's shell: starts at the last snapshot, reads SAMPLES with redeliveries, publishes closed hours.

use thermowell_flow::aggregator::{Aggregator, Effect, Settings};
use thermowell_flow::published::{EventBody, Snapshot};
use thermowell_wire::batch::{
    BatchHeader, GAP_ENCODED_MAX, Gap, Packed, decode, encode_batch, encode_gap, encoded_max,
};
use thermowell_wire::{Reading, Slot};

use crate::broker::{Broker, Stored};
use crate::plan::{Bug, Kind, SECOND};
use crate::world::World;

/// Delivery is at least once: after this many messages, the last few are redelivered.
const AGAIN_EVERY: u64 = 16;
const AGAIN: usize = 3;

#[derive(Debug, Default)]
pub(crate) struct AggregatorShell {
    aggregator: Option<Aggregator>,
    /// Next sequence to read.
    next: u64,
    at: Option<u64>,
    effects: Vec<Effect>,
    /// Number of messages read.
    read: u64,
    /// For [`Bug::DedupBySeq`].
    highest: u64,
    /// End of what was counted, in slots and in time, for [`Bug::NoDedup`].
    counted: Option<(Slot, i64)>,
}

impl AggregatorShell {
    pub(crate) fn next(&self) -> Option<u64> {
        self.aggregator.as_ref().and(self.at)
    }

    /// Schedules a read at `at`.
    pub(crate) fn look_at(&mut self, at: u64) {
        self.at = Some(self.at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether everything up to `last` was read and every closed hour is stored.
    pub(crate) fn is_done(&self, last: u64) -> bool {
        self.aggregator.as_ref().is_some_and(|it| it.next_snapshot().is_none()) && self.next > last
    }

    pub(crate) fn aggregator(&self) -> Option<&Aggregator> {
        self.aggregator.as_ref()
    }
}

/// A newly started aggregator, and the sequence at which it reads.
pub(crate) fn begin(settings: Settings, broker: &Broker) -> (Aggregator, u64) {
    let last = broker.snapshots.tail().map(|stored| (stored.sequence, snapshot(stored)));
    let mut aggregator = Aggregator::new(settings, last);
    aggregator.stream_begins_at(broker.samples.first_sequence());
    if let Some(from) = aggregator.replay_from() {
        aggregator.found_at_replay(broker.samples.at(from).map(|stored| stored.payload.as_slice()));
    }
    let from = aggregator.replay_from().unwrap_or(0);
    (aggregator, from)
}

pub(crate) fn snapshot(stored: &Stored) -> Snapshot {
    serde_json::from_slice(&stored.payload).expect("only our own are stored")
}

pub(crate) fn json(snapshot: &Snapshot) -> Vec<u8> {
    serde_json::to_vec(snapshot).expect("a snapshot is JSON")
}

impl World {
    pub(crate) fn aggregator_settings(&self) -> Settings {
        Settings { boiler: self.id.clone(), instance: "world".to_owned() }
    }

    /// Starts, or resumes after a reconnect: both read from the position in the last snapshot.
    pub(crate) fn start_aggregator(&mut self) {
        if !self.broker.up {
            // It waits for the server, and starts after it.
            self.aggregator.aggregator = None;
            self.recoveries.aggregator = self.recoveries.server.map(|at| at + 1);
            return;
        }
        let (aggregator, from) = begin(self.aggregator_settings(), &self.broker);
        self.note(&format!("the aggregator begins at {from}"));
        self.aggregator.aggregator = Some(aggregator);
        self.aggregator.next = from;
        self.aggregator.highest = 0;
        self.aggregator.counted = None;
        self.aggregator.look_at(self.now);
    }

    pub(crate) fn crash_aggregator(&mut self, back: u64) {
        if self.aggregator.aggregator.take().is_none() {
            return;
        }
        self.note("the aggregator crashes");
        self.count(Kind::AggregatorCrash);
        self.recoveries.aggregator = Some(back);
    }

    pub(crate) fn serve_aggregator(&mut self) {
        if !self.broker.up || self.aggregator.at.is_none_or(|at| at > self.now) {
            return;
        }
        self.aggregator.at = None;
        let unread = self.broker.samples.from(self.aggregator.next).to_vec();
        for stored in unread {
            self.aggregator.next = stored.sequence + 1;
            self.observe(&stored);
            self.deliver_again();
            if !self.publish_snapshots() {
                break;
            }
        }
        self.publish_snapshots();
    }

    fn observe(&mut self, stored: &Stored) {
        self.deliver(stored);
        if self.stage.watched
            && let Some(state) = self.aggregator.aggregator().and_then(Aggregator::state)
        {
            self.broker.state.publish(state);
        }
        self.execute_effects();
    }

    fn deliver(&mut self, stored: &Stored) {
        let distorted = self.distort_message(&stored.payload);
        let Some(payload) = distorted else { return };
        let Some(aggregator) = &mut self.aggregator.aggregator else { return };
        aggregator.observe(stored.sequence, &payload, &mut self.aggregator.effects);
    }

    /// Draws no random numbers, so that the faults of a world do not change.
    fn deliver_again(&mut self) {
        self.aggregator.read += 1;
        if !self.aggregator.read.is_multiple_of(AGAIN_EVERY) {
            return;
        }
        let samples = &self.broker.samples;
        let read = samples.messages.len() - samples.from(self.aggregator.next).len();
        let again = samples.messages[read.saturating_sub(AGAIN)..read].to_vec();
        for stored in &again {
            self.deliver(stored);
        }
        self.execute_effects();
    }

    fn execute_effects(&mut self) {
        let mut restart = false;
        for effect in std::mem::take(&mut self.aggregator.effects) {
            match effect {
                Effect::Restart => restart = true,
                Effect::Log(log) => self.note(&format!("aggregator: {log:?}")),
                Effect::Event(_, body) => {
                    let differs = matches!(*body, EventBody::SnapshotDiffers { .. });
                    self.note(&format!("aggregator event {body:?}"));
                    // After a rollback or a wipe the same slots may be stamped or batched differently.
                    let excused = self.plan.has_any(&[Kind::Rollback, Kind::Wipe, Kind::ClockStep]);
                    self.check(!differs || excused, || format!("S6 a replay differs: {body:?}"));
                }
            }
        }
        if restart {
            self.start_aggregator();
        }
    }

    /// Publishes closed hours. Returns false to stop reading for now.
    fn publish_snapshots(&mut self) -> bool {
        while let Some((expected, closed)) = self.aggregator.aggregator.as_ref().and_then(Aggregator::next_snapshot) {
            let payload = json(closed);
            let hour = closed.hour.clone();
            if self.broker.frozen {
                self.aggregator.look_at(self.now + 2 * SECOND);
                return false;
            }
            let expectation = (self.bug != Some(Bug::SnapshotBlind)).then_some(expected);
            let stored = self.broker.snapshots.publish(self.now, expectation, payload.clone(), 0);
            let lost = self.strikes(Kind::LostAck, 200);
            if lost && self.bug == Some(Bug::SnapshotBlind) {
                self.broker.snapshots.publish(self.now, None, payload, 0);
            }
            self.note(&format!("snapshot {hour} as {stored:?}"));
            let Some(aggregator) = &mut self.aggregator.aggregator else { return false };
            match stored {
                Some(sequence) if !lost => aggregator.snapshot_stored(sequence),
                Some(_) | None => {
                    let found = self.broker.snapshots.tail().map(|stored| (stored.sequence, snapshot(stored)));
                    aggregator.snapshot_conflict(found, &mut self.aggregator.effects);
                    self.execute_effects();
                }
            }
        }
        true
    }

    // Planted bugs of the aggregator.

    fn distort_message(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        match (self.bug, decode(payload)) {
            (Some(Bug::DedupBySeq), Ok(packed)) => {
                // Drops a known sequence number, whatever its boot.
                let (first, end) = (packed.first().seq, packed.end().seq);
                let seen = first < self.aggregator.highest;
                self.aggregator.highest = self.aggregator.highest.max(end);
                (!seen).then(|| payload.to_vec())
            }
            (Some(Bug::NoDedup), Ok(packed)) => {
                // Treats every message as new, continuing where the last one ended.
                let counted = self.aggregator.counted.filter(|(end, _)| packed.first() < *end);
                let (first, utc_ns) = counted.unwrap_or((packed.first(), first_utc_ns(&packed)));
                let payload = moved(&packed, first, utc_ns);
                let end = decode(&payload).expect("it was one");
                self.aggregator.counted = Some((end.end(), end.end_utc_ns()));
                Some(payload)
            }
            (Some(Bug::WindowOff), Ok(packed)) => {
                Some(moved(&packed, packed.first(), first_utc_ns(&packed) + 1_000_000_000))
            }
            (_, _) => Some(payload.to_vec()),
        }
    }
}

/// Stamp of the first slot of a message.
pub(crate) fn first_utc_ns(packed: &Packed<'_>) -> i64 {
    match packed {
        Packed::Batch(batch) => batch.header.first_utc_ns,
        Packed::Gap(gap) => gap.from_utc_ns,
    }
}

/// The same message with another first slot and another stamp.
fn moved(packed: &Packed<'_>, first: Slot, utc_ns: i64) -> Vec<u8> {
    match packed {
        Packed::Batch(batch) => {
            let readings: Vec<Reading> = batch.readings().collect();
            let header = BatchHeader { boot: first.boot, seq: first.seq, first_utc_ns: utc_ns, ..batch.header };
            let mut out = vec![0; encoded_max(readings.len())];
            encode_batch(&header, &readings, &mut out).expect("it was one").to_vec()
        }
        Packed::Gap(gap) => {
            let to = first.seq + (gap.to - gap.from);
            let gap = Gap { boot: first.boot, from: first.seq, to, from_utc_ns: utc_ns, ..*gap };
            let mut out = [0; GAP_ENCODED_MAX];
            encode_gap(&gap, &mut out).expect("it was one").to_vec()
        }
    }
}
