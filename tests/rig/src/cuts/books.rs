//! What the streams hold: before a cut, behind it, and when everything has caught up.

use std::collections::BTreeMap;

use anyhow::Result;
use async_nats::Client;
use async_nats::jetstream;
use serde::Serialize;
use thermowell_flow::published::Snapshot;
use thermowell_wire::batch::{self, Packed};
use thermowell_wire::subject::{self, stream};
use thermowell_wire::{BoilerId, Slot};

use crate::demo::audit::each;
use crate::nats::Broker;

/// The streams that outlive a power cut, as far as they were synced.
pub(super) const FILED: [&str; 4] = [stream::SAMPLES, stream::SNAPSHOT, stream::EVENT, stream::FEED];

/// Where the streams end.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// The slot behind the last one of each boiler in SAMPLES; a boiler without one is not in it.
    pub(super) ends: BTreeMap<BoilerId, Slot>,
    /// The last sequence of each stream that is there.
    pub(super) streams: BTreeMap<&'static str, u64>,
}

/// Looks at every stream and every boiler's end.
///
/// # Errors
/// The server does not answer.
pub(super) async fn look(broker: &Broker, boilers: &[BoilerId]) -> Result<Look> {
    let context = jetstream::new(broker.connect().await?);
    let mut look = Look::default();
    for name in FILED {
        // Not there: never made, or its creation was lost.
        if let Ok(stream) = context.get_stream(name).await {
            look.streams.insert(name, stream.cached_info().state.last_sequence);
        }
    }
    if !look.streams.contains_key(stream::SAMPLES) {
        return Ok(look);
    }
    for id in boilers {
        let last = thermowell::nats::last(&context, stream::SAMPLES, &subject::samples(id)).await?;
        if let Some(message) = last {
            let end = batch::decode(&message.payload)?.end();
            look.ends.insert(id.clone(), end);
        }
    }
    Ok(look)
}

/// The messages of one boiler in SAMPLES, in the order of the stream. Values are for the ledger; this is about slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Walk {
    /// Messages.
    pub(super) messages: u64,
    /// Slots with a reading.
    pub(super) slots: u64,
    /// Slots that are not there and not named.
    pub(super) lost: u64,
    /// Slots that are there again.
    pub(super) twice: u64,
    /// Messages that begin before the one before them.
    pub(super) back: u64,
    /// Slots named as missing.
    pub(super) named: u64,
    /// Messages that cannot be read.
    pub(super) malformed: u64,
}

impl Walk {
    /// Nothing is missing, nothing is there twice, all is in order.
    #[must_use]
    pub(super) fn is_whole(&self) -> bool {
        let Self { messages: _, slots, lost, twice, back, named, malformed } = *self;
        slots > 0 && [lost, twice, back, named, malformed] == [0; 5]
    }

    /// Adds another one.
    pub(super) fn add(&mut self, more: &Self) {
        self.messages += more.messages;
        self.slots += more.slots;
        self.lost += more.lost;
        self.twice += more.twice;
        self.back += more.back;
        self.named += more.named;
        self.malformed += more.malformed;
    }

    /// Takes the next message; `next` is where the one before it ended. The device boots once in a life: a history
    /// begins with its slot 0.
    fn take(&mut self, next: &mut Option<Slot>, payload: &[u8]) {
        self.messages += 1;
        let Ok(packed) = batch::decode(payload) else {
            self.malformed += 1;
            return;
        };
        let (first, end) = (packed.first(), packed.end());
        let expected = next.unwrap_or(Slot::new(first.boot, 0));
        match &packed {
            Packed::Batch(batch) => self.slots += u64::from(batch.header.count),
            Packed::Gap(gap) => self.named += gap.count(),
        }
        if first.boot != expected.boot || first < expected {
            self.back += 1;
            self.twice += expected.seq.min(end.seq).saturating_sub(first.seq);
        } else {
            self.lost += first.seq - expected.seq;
        }
        *next = (*next).max(Some(end));
    }
}

/// Reads all that SAMPLES holds of `boiler`.
///
/// # Errors
/// It cannot be read.
pub(super) async fn walk(client: &Client, boiler: &BoilerId) -> Result<Walk> {
    let (mut walk, mut next) = (Walk::default(), None);
    each(client, stream::SAMPLES, &subject::samples(boiler), |_, payload| walk.take(&mut next, payload)).await?;
    Ok(walk)
}

/// What is wrong with the hours of `boiler`: each once, one after the other, its sum closed. And how many there are.
///
/// # Errors
/// They cannot be read.
pub(super) async fn hours(client: &Client, boiler: &BoilerId) -> Result<(usize, Vec<String>)> {
    let mut snapshots = Vec::new();
    each(client, stream::SNAPSHOT, &subject::snapshot(boiler), |sequence, payload| {
        snapshots.push((sequence, serde_json::from_slice::<Snapshot>(payload)));
    })
    .await?;
    let (mut problems, mut before) = (Vec::new(), None);
    let count = snapshots.len();
    for (sequence, snapshot) in snapshots {
        let Ok(snapshot) = snapshot else {
            problems.push(format!("{boiler}: snapshot {sequence} is malformed"));
            continue;
        };
        if let Some(before) = before
            && snapshot.created_at != before + 3_600
        {
            problems.push(format!("{boiler}: {} does not follow the hour before it", snapshot.hour));
        }
        if snapshot.slots != snapshot.temperature_points + snapshot.missing.total() || snapshot.missing.total() != 0 {
            problems.push(format!("{boiler}: {} has slots missing: {:?}", snapshot.hour, snapshot.missing));
        }
        before = Some(snapshot.created_at);
    }
    Ok((count, problems))
}

#[cfg(test)]
mod tests {
    use thermowell_flow::batch::{Origin, Record};
    use thermowell_wire::batch::ClockQuality;
    use thermowell_wire::{Boot, Reading};

    use super::*;

    fn message(boot: u64, first: u64) -> Vec<u8> {
        let origin = Origin { device: 7, period_ns: 10_000_000, simulated: true };
        let slot = Slot::new(Boot(boot), first);
        let record = Record::samples(slot, &[Reading::default(); 100], origin, &mut Vec::new());
        record.message(first..record.end, 1_000, ClockQuality::Synced)
    }

    fn walked(firsts: &[u64]) -> Walk {
        let (mut walk, mut next) = (Walk::default(), None);
        firsts.iter().for_each(|&first| walk.take(&mut next, &message(1, first)));
        walk
    }

    #[test]
    fn a_walk_counts_what_is_lost_twice_and_back() {
        let whole = walked(&[0, 100, 200]);
        assert!(whole.is_whole() && whole.slots == 300 && whole.messages == 3, "{whole:?}");
        let found = |firsts: &[u64]| {
            let walk = walked(firsts);
            assert!(!walk.is_whole());
            (walk.lost, walk.twice, walk.back)
        };
        assert_eq!(found(&[100, 200]), (100, 0, 0), "a history begins with slot 0");
        assert_eq!(found(&[0, 200]), (100, 0, 0));
        assert_eq!(found(&[0, 100, 100]), (0, 100, 1));
        assert_eq!(found(&[0, 50, 150]), (0, 50, 1));
        assert_eq!(found(&[0, 100, 200, 0, 300]), (0, 100, 1), "what follows a repeat is measured as before");
        assert_eq!(found(&[]), (0, 0, 0));
        let mut torn = walked(&[0]);
        torn.take(&mut None, &[1, 2, 3]);
        assert!(torn.malformed == 1 && !torn.is_whole());
    }
}
