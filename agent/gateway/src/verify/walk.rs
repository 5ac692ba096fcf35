//! Compares the stored snapshots and the recomputed hours of one boiler.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::time::Duration;

use async_nats::jetstream::Context;
use thermowell_flow::published::Snapshot;
use thermowell_flow::snapshot::hour_of;
use thermowell_flow::time::hour_text;
use thermowell_wire::BoilerId;
use thermowell_wire::batch;
use thermowell_wire::subject;
use tokio::time::timeout;

use super::chain::{Chain, Closed};
use super::compare::{Difference, differences, may_have_moved};
use super::history::{Entry, History, Stored};
use super::report::{Line, Sum, Verdict, Writer};
use super::{VerifyError, ends};
use crate::consume;
use crate::nats::RequestError;

/// Recomputed hours that are kept for snapshots stored out of order: more than SAMPLES holds.
pub(super) const KEPT_MAX: usize = 128;
/// A running aggregator stores a closed hour within this time.
const JUST_CLOSED: Duration = Duration::from_secs(2);

const NO_SUCH_HOUR: &str = "SAMPLES closes no such hour";

/// One boiler's comparison.
pub(super) struct Walk<'a, W> {
    context: &'a Context,
    boiler: &'a BoilerId,
    hours: Range<i64>,
    report: &'a mut Writer<W>,
    sum: &'a mut Sum,
    history: History,
    /// The last sequences of snapshots and samples at the start.
    ends: (u64, u64),
    recomputed: BTreeMap<i64, Snapshot>,
    /// The hours whose snapshot was read, with its sequence.
    met: BTreeMap<i64, u64>,
    /// No aggregator stores hours now.
    quiet: bool,
}

impl<'a, W: io::Write> Walk<'a, W> {
    pub(super) fn new(
        context: &'a Context,
        boiler: &'a BoilerId,
        hours: Range<i64>,
        report: &'a mut Writer<W>,
        sum: &'a mut Sum,
    ) -> Self {
        let history = History::new(context, boiler);
        let (recomputed, met) = (BTreeMap::new(), BTreeMap::new());
        Self { context, boiler, hours, report, sum, history, ends: (0, 0), recomputed, met, quiet: false }
    }

    pub(super) async fn run(&mut self) -> Result<(), VerifyError> {
        self.ends = ends(self.context, self.boiler).await.map_err(VerifyError::Request)?;
        let Some((mut chain, mut reopened)) = self.start().await? else {
            return self.rest(None).await;
        };
        while let Some(closed) = chain.next().await.map_err(VerifyError::Request)? {
            match (closed, reopened.take()) {
                // The hour before the first selected one.
                (Closed::Reopened(_), None) => {}
                (Closed::Reopened(differing), Some(stored)) => self.within_boundaries(&stored, differing)?,
                (Closed::Fresh(fresh), _) => {
                    if let Some(other) = self.fresh(*fresh).await? {
                        chain = other;
                    }
                }
            }
            if self.past_the_end() {
                break;
            }
        }
        let open = chain.open();
        if let Some(open) = open.as_ref().filter(|open| self.is_selected_text(&open.hour)) {
            let line = Line { counted: Some(open.points), ..self.line(Some(open.hour.clone()), Verdict::Open) };
            self.report(line)?;
        }
        self.rest(open.map(|open| open.hour)).await
    }

    /// The chain that recomputes the first hour still in SAMPLES, and that hour if the chain can only reopen it.
    async fn start(&mut self) -> Result<Option<(Chain, Option<Stored>)>, VerifyError> {
        let mut before: Option<Stored> = None;
        loop {
            let stored = match self.history.peek().await.map_err(VerifyError::Request)? {
                Some(Entry::Snapshot(stored)) => stored.as_ref().clone(),
                Some(Entry::Unreadable { .. }) => {
                    self.unreadable().await?;
                    continue;
                }
                None => return self.start_behind(before).await,
            };
            if stored.hour >= self.hours.end {
                return self.start_behind(before).await;
            }
            if stored.hour >= self.hours.start {
                let found = self.start_at(before.as_ref(), &stored).await.map_err(VerifyError::Request)?;
                if let Some((chain, is_reopened)) = found {
                    if is_reopened {
                        self.history.next().await.map_err(VerifyError::Request)?;
                    }
                    return Ok(Some((chain, is_reopened.then_some(stored))));
                }
                self.report(self.account(&stored.snapshot, stored.sequence, Verdict::NoSamples))?;
                self.met.insert(stored.hour, stored.sequence);
            }
            self.history.next().await.map_err(VerifyError::Request)?;
            before = Some(stored);
        }
    }

    /// A chain that closes the hour of `stored`; true if it starts with that hour.
    async fn start_at(&self, before: Option<&Stored>, stored: &Stored) -> Result<Option<(Chain, bool)>, RequestError> {
        let (context, end) = (self.context, self.ends.1);
        if let Some(before) = before.filter(|before| before.hour < stored.hour)
            && let Some(chain) = Chain::reopen(context, self.boiler, before, end).await?
        {
            return Ok(Some((chain, false)));
        }
        let replay = stored.snapshot.samples.replay;
        if before.is_none() && stored.snapshot.partial && replay <= end {
            let found = consume::message(context, replay, &subject::samples(self.boiler)).await?;
            let first = found.and_then(|bytes| batch::decode(&bytes).ok().map(|packed| packed.first()));
            if first.is_some_and(|first| Some(first) == stored.snapshot.first) {
                let chain = Chain::begin(context, self.boiler, replay, end).await?;
                return Ok(Some((chain, false)));
            }
        }
        let chain = Chain::reopen(context, self.boiler, stored, end).await?;
        Ok(chain.map(|chain| (chain, true)))
    }

    /// The chain if no snapshot of the selected hours is stored.
    async fn start_behind(&self, before: Option<Stored>) -> Result<Option<(Chain, Option<Stored>)>, VerifyError> {
        let end = self.ends.1;
        let chain = match before {
            Some(before) => Chain::reopen(self.context, self.boiler, &before, end).await,
            None if end > 0 => Chain::begin(self.context, self.boiler, 1, end).await.map(Some),
            None => Ok(None),
        };
        Ok(chain.map_err(VerifyError::Request)?.map(|chain| (chain, None)))
    }

    /// Compares the stored hour from which the chain started.
    fn within_boundaries(&mut self, stored: &Stored, differing: Option<Box<Snapshot>>) -> Result<(), VerifyError> {
        let ours = differing.map_or_else(|| stored.snapshot.clone(), |differing| *differing);
        let found = differences(&stored.bytes, &ours);
        self.recomputed.insert(stored.hour, ours);
        self.judge(stored, found, None)
    }

    /// Compares an hour as it would be published. Returns another chain, which starts from the stored hour, if only
    /// that one can continue.
    async fn fresh(&mut self, fresh: Snapshot) -> Result<Option<Chain>, VerifyError> {
        let hour = hour_of(&fresh);
        self.recomputed.insert(hour, fresh.clone());
        while self.recomputed.len() > KEPT_MAX {
            self.recomputed.pop_first();
        }
        self.catch_up(hour).await?;
        if !self.hours.contains(&hour) {
            return Ok(None);
        }
        let Some(stored) = self.stored(hour).await? else {
            if !self.met.contains_key(&hour) {
                let gap = matches!(self.history.peek().await.map_err(VerifyError::Request)?, Some(Entry::Snapshot(_)));
                let note = gap.then(|| "a later hour has one".to_owned());
                let line = self.account(&fresh, 0, Verdict::NoSnapshot);
                self.report(Line { sequence: None, fails: gap, note, ..line })?;
            }
            return Ok(None);
        };
        let found = differences(&stored.bytes, &fresh);
        if !found.is_empty() && may_have_moved(&found) {
            let again = Chain::reopen(self.context, self.boiler, &stored, self.ends.1).await;
            if let Some(mut again) = again.map_err(VerifyError::Request)?
                && let Some(Closed::Reopened(None)) = again.next().await.map_err(VerifyError::Request)?
            {
                self.judge(&stored, found, Some(Verdict::Moved))?;
                return Ok(Some(again));
            }
        }
        self.judge(&stored, found, None)?;
        Ok(None)
    }

    /// The snapshot of `hour`, if it is the next one. Waits for one that is just being stored.
    async fn stored(&mut self, hour: i64) -> Result<Option<Stored>, VerifyError> {
        let is_done = self.quiet || self.met.contains_key(&hour);
        if self.history.peek().await.map_err(VerifyError::Request)?.is_none() && !is_done {
            let arrived = timeout(JUST_CLOSED, self.history.arrival()).await;
            self.quiet = arrived.is_err();
            arrived.unwrap_or(Ok(())).map_err(VerifyError::Request)?;
        }
        let is_it = |entry: &&Entry| matches!(entry, Entry::Snapshot(stored) if stored.hour == hour);
        if self.history.peek().await.map_err(VerifyError::Request)?.filter(is_it).is_none() {
            return Ok(None);
        }
        match self.history.next().await.map_err(VerifyError::Request)? {
            Some(Entry::Snapshot(stored)) => Ok(Some(*stored)),
            Some(Entry::Unreadable { .. }) | None => Ok(None),
        }
    }

    /// Processes the entries before `hour`: hours that SAMPLES does not close, duplicates, and malformed messages.
    async fn catch_up(&mut self, hour: i64) -> Result<(), VerifyError> {
        loop {
            match self.history.peek().await.map_err(VerifyError::Request)? {
                Some(Entry::Snapshot(stored)) if stored.hour >= hour => return Ok(()),
                Some(Entry::Snapshot(stored)) => {
                    let stored = stored.as_ref().clone();
                    self.history.next().await.map_err(VerifyError::Request)?;
                    self.out_of_order(&stored, NO_SUCH_HOUR)?;
                }
                Some(Entry::Unreadable { .. }) => self.unreadable().await?,
                None => return Ok(()),
            }
        }
    }

    /// Processes the entries after the last hour that SAMPLES closes.
    async fn rest(&mut self, open: Option<String>) -> Result<(), VerifyError> {
        while let Some(entry) = self.history.peek().await.map_err(VerifyError::Request)? {
            if entry.sequence() > self.ends.0 {
                return Ok(());
            }
            let Entry::Snapshot(stored) = entry else {
                self.unreadable().await?;
                continue;
            };
            let stored = stored.as_ref().clone();
            self.history.next().await.map_err(VerifyError::Request)?;
            let why = if open.as_ref() == Some(&stored.snapshot.hour) {
                "in SAMPLES this hour is still open"
            } else {
                NO_SUCH_HOUR
            };
            self.out_of_order(&stored, why)?;
        }
        Ok(())
    }

    fn out_of_order(&mut self, stored: &Stored, why: &str) -> Result<(), VerifyError> {
        if !self.hours.contains(&stored.hour) {
            return Ok(());
        }
        if self.met.contains_key(&stored.hour) {
            let found = self.recomputed.get(&stored.hour).map(|ours| differences(&stored.bytes, ours));
            return self.judge(stored, found.unwrap_or_default(), None);
        }
        let line = self.account(&stored.snapshot, stored.sequence, Verdict::Different);
        self.report(Line { note: Some(why.to_owned()), ..line })
    }

    async fn unreadable(&mut self) -> Result<(), VerifyError> {
        let entry = self.history.next().await.map_err(VerifyError::Request)?;
        // Its hour is unknown: it is reported only if all hours are selected.
        if self.hours != (i64::MIN..i64::MAX) {
            return Ok(());
        }
        if let Some(Entry::Unreadable { sequence, why }) = entry {
            let line = self.line(None, Verdict::Different);
            self.report(Line { sequence: Some(sequence), note: Some(format!("no snapshot: {why}")), ..line })?;
        }
        Ok(())
    }

    /// Reports a comparison. A second snapshot of an hour is always an error.
    fn judge(
        &mut self,
        stored: &Stored,
        differences: Vec<Difference>,
        verdict: Option<Verdict>,
    ) -> Result<(), VerifyError> {
        let again = self.met.get(&stored.hour).copied();
        self.met.entry(stored.hour).or_insert(stored.sequence);
        let plain = if differences.is_empty() { Verdict::Equal } else { Verdict::Different };
        let verdict = if again.is_some() { Verdict::Different } else { verdict.unwrap_or(plain) };
        let note = again.map(|first| format!("stored twice, first at sequence {first}"));
        let ours = self.recomputed.get(&stored.hour).unwrap_or(&stored.snapshot);
        let line = self.account(ours, stored.sequence, verdict);
        self.report(Line { differences, note, repeats: again.is_some(), ..line })
    }

    fn line(&self, hour: Option<String>, verdict: Verdict) -> Line {
        Line::new(self.boiler.clone(), hour, verdict)
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

    fn report(&mut self, line: Line) -> Result<(), VerifyError> {
        self.sum.add(&line);
        self.report.line(&line).map_err(VerifyError::Write)
    }

    fn is_selected_text(&self, hour: &str) -> bool {
        // RFC 3339 in one time zone compares like time.
        let from = (self.hours.start > i64::MIN).then(|| hour_text(self.hours.start));
        let to = (self.hours.end < i64::MAX).then(|| hour_text(self.hours.end));
        from.is_none_or(|from| *hour >= *from) && to.is_none_or(|to| *hour < *to)
    }

    /// Whether all selected hours are done.
    fn past_the_end(&self) -> bool {
        self.recomputed.last_key_value().is_some_and(|(hour, _)| hour + 1 >= self.hours.end)
    }
}
