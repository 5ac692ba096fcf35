//! Compares the stored snapshots and the recomputed hours of one boiler: follows SNAPSHOT, and recomputes hours from
//! SAMPLES up to each stored one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use async_nats::jetstream::Context;
use bytes::Bytes;
use thermowell_flow::published::Snapshot;
use thermowell_flow::snapshot::hour_of;
use thermowell_wire::subject::{self, stream};
use thermowell_wire::{BoilerId, batch};
use tokio::time::{sleep, timeout};

use super::chain::{Chain, Source};
use super::compare::{Difference, differences, may_have_moved};
use super::report::{Line, Verdict};
use super::stored::Stored;
use super::{Output, VerifyError};
use crate::nats::{self, InOrder, RequestError};
use crate::quantity::full_hour;

/// Recomputed hours that are kept for snapshots stored out of order: more than SAMPLES holds.
pub(super) const KEPT_MAX: usize = 128;
/// A running aggregator stores a closed hour within this time.
const JUST_CLOSED: Duration = Duration::from_secs(2);
/// Between two looks for a snapshot that is just being stored.
const POLL: Duration = Duration::from_millis(50);

/// One boiler's comparison.
pub(super) struct Walk<'a, 'o> {
    hours: Range<i64>,
    output: &'a mut Output<'o>,
    history: InOrder,
    /// The last sequence of snapshots at the start. It is read before that of the samples, so every snapshot up to it
    /// is of an hour that these samples close.
    end: u64,
    source: Source<'a>,
    /// None until there is an hour from which SAMPLES still has every slot.
    chain: Option<Chain>,
    /// The last stored hour before the chain started.
    before: Option<Stored>,
    recomputed: BTreeMap<i64, Snapshot>,
    /// The hours whose snapshot was read, with its sequence.
    met: BTreeMap<i64, u64>,
    /// No aggregator stores hours now.
    quiet: bool,
}

impl<'a, 'o> Walk<'a, 'o> {
    pub(super) async fn new(
        context: &'a Context,
        boiler: &'a BoilerId,
        hours: Range<i64>,
        output: &'a mut Output<'o>,
    ) -> Result<Self, RequestError> {
        let snapshots = subject::snapshot(boiler).to_string();
        let end = nats::end(context, stream::SNAPSHOT, &snapshots).await?;
        let samples_end = nats::end(context, stream::SAMPLES, &subject::samples(boiler)).await?;
        let (source, history) =
            (Source { context, boiler, end: samples_end }, InOrder::new(context, stream::SNAPSHOT, snapshots, 1, end));
        let (recomputed, met) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { hours, output, history, end, source, chain: None, before: None, recomputed, met, quiet: false })
    }

    pub(super) async fn run(&mut self) -> Result<(), VerifyError> {
        self.read_history().await?;
        if self.chain.is_none() {
            self.start(None).await?;
        }
        while let Some(fresh) = self.next_before(self.hours.end).await? {
            let hour = hour_of(&fresh);
            let is_wanted = self.hours.contains(&hour) && !self.met.contains_key(&hour);
            // Its snapshot may just be being stored.
            if is_wanted && !self.quiet && self.arrives().await? {
                self.read_history().await?;
            }
            let later = self.met.last_key_value().is_some_and(|(last, _)| *last > hour);
            self.without_snapshot(&fresh, later)?;
        }
        let open = self.chain.as_ref().and_then(Chain::open);
        if let Some(open) = open.filter(|open| full_hour(&open.hour).is_some_and(|hour| self.hours.contains(&hour))) {
            let line = self.line(Some(open.hour), Verdict::Open);
            self.output.line(&Line { counted: Some(open.points), ..line })?;
        }
        Ok(())
    }

    async fn read_history(&mut self) -> Result<(), VerifyError> {
        while let Some(message) = self.history.next().await? {
            self.message(message.sequence, message.payload).await?;
        }
        Ok(())
    }

    /// Processes a message of SNAPSHOT.
    async fn message(&mut self, sequence: u64, bytes: Bytes) -> Result<(), VerifyError> {
        let stored = match Stored::read(sequence, bytes) {
            Ok(stored) => stored,
            Err(why) => return self.unreadable(sequence, &why),
        };
        let (hour, is_selected) = (stored.hour, self.hours.contains(&stored.hour));
        if hour < self.hours.start {
            self.before = Some(stored);
            return Ok(());
        }
        if self.met.contains_key(&hour) {
            let found = self.recomputed.get(&hour).map(|ours| differences(&stored.bytes, ours));
            return self.judge(&stored, found.unwrap_or_default(), Verdict::Different);
        }
        if self.chain.is_none() && !self.start(is_selected.then_some(&stored)).await? {
            if is_selected {
                self.output.line(&self.account(&stored.snapshot, sequence, Verdict::NoSamples))?;
                self.met.insert(hour, sequence);
                self.before = Some(stored);
            }
            return Ok(());
        }
        while let Some(fresh) = self.next_before(hour.min(self.hours.end)).await? {
            self.without_snapshot(&fresh, true)?;
        }
        if is_selected {
            self.next_before(hour + 1).await?;
            self.compare(&stored).await?;
        }
        Ok(())
    }

    /// Starts the chain that recomputes the hour of `stored`, or without one the first that SAMPLES still has. False
    /// if SAMPLES no longer has the beginning of that hour.
    async fn start(&mut self, stored: Option<&Stored>) -> Result<bool, RequestError> {
        let source = self.source;
        if let Some(before) = &self.before
            && stored.is_none_or(|stored| before.hour < stored.hour)
        {
            self.chain = Chain::reopen(source, before).await?;
        }
        if let (None, None, true) = (&self.before, stored, source.end > 0) {
            self.chain = Some(Chain::begin(source, 1).await?);
        }
        if let (None, Some(stored)) = (&self.chain, stored) {
            self.chain = match self.is_first_ever(stored).await? {
                true => Some(Chain::begin(source, stored.snapshot.samples.replay).await?),
                false => Chain::reopen(source, stored).await?,
            };
        }
        Ok(self.chain.is_some())
    }

    /// Whether the history begins with this hour, and SAMPLES with its first slot.
    async fn is_first_ever(&self, stored: &Stored) -> Result<bool, RequestError> {
        let replay = stored.snapshot.samples.replay;
        if self.before.is_some() || !stored.snapshot.partial || replay > self.source.end {
            return Ok(false);
        }
        let first = self
            .source
            .message(replay)
            .await?
            .and_then(|bytes| batch::decode(&bytes).ok().map(|packed| packed.first()));
        Ok(first.is_some() && first == stored.snapshot.first)
    }

    /// The next recomputed hour before `until`, as it would be published.
    async fn next_before(&mut self, until: i64) -> Result<Option<Snapshot>, RequestError> {
        let is_done = self.recomputed.last_key_value().is_some_and(|(hour, _)| hour + 1 >= until);
        let Some(chain) = self.chain.as_mut().filter(|_| !is_done) else { return Ok(None) };
        let fresh = chain.next_before(until).await?;
        if let Some(fresh) = &fresh {
            self.recomputed.insert(hour_of(fresh), fresh.clone());
        }
        while self.recomputed.len() > KEPT_MAX {
            self.recomputed.pop_first();
        }
        Ok(fresh)
    }

    /// Compares a stored hour with the recomputed one.
    async fn compare(&mut self, stored: &Stored) -> Result<(), VerifyError> {
        let Some(fresh) = self.recomputed.get(&stored.hour) else { return self.without_samples(stored) };
        let found = differences(&stored.bytes, fresh);
        let mut verdict = if found.is_empty() { Verdict::Equal } else { Verdict::Different };
        // The same hour in other messages closes to the same bytes within its own boundaries, and only a chain that
        // starts from it can continue.
        if !found.is_empty()
            && may_have_moved(&found)
            && let Some(mut again) = Chain::reopen(self.source, stored).await?
            && let Some(ours) = again.next_before(stored.hour + 1).await?
            && differences(&stored.bytes, &ours).is_empty()
        {
            verdict = Verdict::Moved;
            self.chain = Some(again);
        }
        self.judge(stored, found, verdict)
    }

    /// Whether a snapshot is stored within the time that a running aggregator needs.
    async fn arrives(&mut self) -> Result<bool, RequestError> {
        let history = &mut self.history;
        let arrival = timeout(JUST_CLOSED, async {
            while !history.extend(history.newest().await?) {
                sleep(POLL).await;
            }
            Ok(())
        });
        let arrived = arrival.await;
        self.quiet = arrived.is_err();
        arrived.map_or(Ok(false), |read| read.map(|()| true))
    }

    /// Reports an hour without a snapshot; `later` is whether a later one is stored.
    fn without_snapshot(&mut self, fresh: &Snapshot, later: bool) -> Result<(), VerifyError> {
        if self.met.contains_key(&hour_of(fresh)) || !self.hours.contains(&hour_of(fresh)) {
            return Ok(());
        }
        let note = later.then(|| "a later hour has one".to_owned());
        let line = self.account(fresh, 0, Verdict::NoSnapshot);
        self.output.line(&Line { sequence: None, note, ..line })
    }

    /// Reports a snapshot whose hour SAMPLES does not close.
    fn without_samples(&mut self, stored: &Stored) -> Result<(), VerifyError> {
        if stored.sequence > self.end {
            return Ok(());
        }
        let open = self.chain.as_ref().and_then(Chain::open);
        let is_open = open.is_some_and(|open| open.hour == stored.snapshot.hour);
        let why = if is_open { "in SAMPLES this hour is still open" } else { "SAMPLES closes no such hour" };
        let line = self.account(&stored.snapshot, stored.sequence, Verdict::Different);
        self.output.line(&Line { note: Some(why.to_owned()), ..line })
    }

    /// Reports a message that is no snapshot. Its hour is unknown, so only if all hours are selected.
    fn unreadable(&mut self, sequence: u64, why: &str) -> Result<(), VerifyError> {
        if self.hours != (i64::MIN..i64::MAX) {
            return Ok(());
        }
        let line = self.line(None, Verdict::Different);
        self.output.line(&Line { sequence: Some(sequence), note: Some(format!("no snapshot: {why}")), ..line })
    }

    /// Reports a comparison. A second snapshot of an hour is always an error.
    fn judge(&mut self, stored: &Stored, differences: Vec<Difference>, verdict: Verdict) -> Result<(), VerifyError> {
        let again = self.met.get(&stored.hour).copied();
        self.met.entry(stored.hour).or_insert(stored.sequence);
        let note = again.map(|first| format!("stored twice, first at sequence {first}"));
        let ours = self.recomputed.get(&stored.hour).unwrap_or(&stored.snapshot);
        let line = self.account(ours, stored.sequence, verdict);
        self.output.line(&Line { differences, note, repeats: again.is_some(), ..line })
    }

    fn line(&self, hour: Option<String>, verdict: Verdict) -> Line {
        Line::new(self.source.boiler.clone(), hour, verdict)
    }

    fn account(&self, snapshot: &Snapshot, sequence: u64, verdict: Verdict) -> Line {
        Line {
            sequence: Some(sequence),
            slots: Some(snapshot.slots),
            counted: Some(snapshot.temperature_points),
            missing: Some(snapshot.missing),
            ..self.line(Some(snapshot.hour.clone()), verdict)
        }
    }
}
