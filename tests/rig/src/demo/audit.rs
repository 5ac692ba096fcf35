//! The audit of a run: what its streams hold, compared with the simulator's account if there is one.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use firmware_sim::account::{Account, Boiler};
use thermowell::nats::{read_stored, sequence};
use thermowell_flow::published::{FeedEvent, Snapshot, State};
use thermowell_wire::batch;
use thermowell_wire::subject::{self, stream};
use thermowell_wire::{BoilerId, Slot};

use super::ledger::{self, AverageReport, BoilerReport, Ledger};
use super::samples::{SamplesBook, SamplesReader};
use super::setup::Plan;
use crate::clock::Stopwatch;

/// The streams on disk: what was synced survives a power cut.
pub(crate) const FILED: [&str; 4] = [stream::SAMPLES, stream::SNAPSHOT, stream::EVENT, stream::FEED];
/// Seconds of the rolling window.
const WINDOW_S: i64 = 3_600;
/// The context of an error when the simulator's account cannot be read.
const ACCOUNT: &str = "the simulator's account";
/// Interval between two reads of what has arrived.
const LOOK: Duration = Duration::from_millis(50);

/// Reads the streams of a run.
pub(crate) struct Books {
    context: jetstream::Context,
    boilers: Vec<BoilerId>,
    feed: bool,
}

/// The ends of the streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// The slot after the last one of each boiler in SAMPLES; a boiler without samples has no entry.
    pub(crate) ends: BTreeMap<BoilerId, Slot>,
    /// The last sequence of each stream of [`FILED`] that exists.
    pub(crate) streams: BTreeMap<&'static str, u64>,
}

impl Books {
    /// Of these boilers; `feed` is whether FEED is published.
    pub(crate) fn new(client: Client, boilers: Vec<BoilerId>, feed: bool) -> Self {
        Self { context: jetstream::new(client), boilers, feed }
    }

    /// Reads the end of every stream and of every boiler.
    ///
    /// # Errors
    /// The server does not answer.
    pub(crate) async fn look(&self) -> Result<Look> {
        let mut look = Look::default();
        for name in FILED {
            // It does not exist: never created, or its creation was lost.
            if let Ok(stream) = self.context.get_stream(name).await {
                look.streams.insert(name, stream.cached_info().state.last_sequence);
            }
        }
        if !look.streams.contains_key(stream::SAMPLES) {
            return Ok(look);
        }
        for id in &self.boilers {
            if let Some(tail) = self.last(stream::SAMPLES, &subject::samples(id)).await? {
                look.ends.insert(id.clone(), batch::decode(&tail)?.end());
            }
        }
        Ok(look)
    }

    /// Waits until the aggregator has published a state for each boiler's last message in SAMPLES (with a feed, its
    /// last sample too). What does not arrive in time is returned as a problem. Calls `tend` meanwhile, to restart
    /// roles and a server that died just before.
    ///
    /// # Errors
    /// Errors of `tend`.
    pub(crate) async fn settle(&self, limit: Duration, mut tend: impl FnMut() -> Result<()>) -> Result<Vec<String>> {
        let failed = async {
            loop {
                if let Err(error) = tend() {
                    return error;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            problems = self.problems_after(limit) => Ok(problems),
            error = failed => Err(error),
        }
    }

    async fn problems_after(&self, limit: Duration) -> Vec<String> {
        let watch = Stopwatch::start();
        let mut problems = Vec::new();
        for id in &self.boilers {
            loop {
                let lag = match self.what_lags(id).await {
                    Ok(None) => break,
                    Ok(Some(lag)) => lag,
                    Err(error) => thermowell::logs::chain(error.as_ref()),
                };
                if watch.left_of(limit).is_none() {
                    problems.push(format!("boiler {id}: {lag} ({} s)", limit.as_secs()));
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        problems
    }

    async fn what_lags(&self, id: &BoilerId) -> Result<Option<String>> {
        let Some(tail) = self.last(stream::SAMPLES, &subject::samples(id)).await? else {
            return Ok(Some("no sample arrived".to_owned()));
        };
        let Ok(end) = batch::decode(&tail).map(|packed| packed.end()) else { return Ok(None) };
        let state = self.last(stream::STATE, &subject::state(id)).await?;
        let state = state.and_then(|json| serde_json::from_slice::<State>(&json).ok());
        if state.is_none_or(|state| (state.slot.boot, state.slot.seq + 1) != (end.boot, end.seq)) {
            return Ok(Some("the aggregator did not reach the end of SAMPLES".to_owned()));
        }
        if self.feed {
            let event = self.last(stream::FEED, &subject::feed(id)).await?;
            let event = event.and_then(|json| serde_json::from_slice::<FeedEvent>(&json).ok());
            if event.is_none_or(|event| (event.boot, event.seq + 1) != (end.boot, end.seq)) {
                return Ok(Some("the feed did not reach the end of SAMPLES".to_owned()));
            }
        }
        Ok(None)
    }

    /// Checks everything that was published.
    ///
    /// # Errors
    /// A stream or the account cannot be read.
    pub(crate) async fn audit(&self, plan: &Plan, mut general: Vec<String>) -> Result<Ledger> {
        let account = Account::open(&plan.account()).context(ACCOUNT)?;
        let mut reports = Vec::new();
        for id in &self.boilers {
            let mut problems = std::mem::take(&mut general);
            let Some(record) = account.boiler(id) else {
                problems.push("the simulator has no account of this boiler".to_owned());
                let (samples, average) = (SamplesBook::default(), None);
                reports.push(BoilerReport { boiler: id.to_string(), hours: Vec::new(), samples, average, problems });
                continue;
            };
            let samples = self.samples(id, Some(record), plan.speed, &mut problems).await?;
            let snapshots = self.snapshots(id, &mut problems).await?;
            let hours = ledger::hours(record, &samples, &snapshots, plan.speed, &mut problems).context(ACCOUNT)?;
            let average = self.average(id, &samples, &mut problems).await?;
            if self.feed {
                self.check_feed(record, &samples, &mut problems).await?;
            }
            reports.push(BoilerReport { boiler: id.to_string(), hours, samples, average, problems });
        }
        let ok = reports.iter().all(|report| report.problems.is_empty());
        Ok(Ledger { ok, boilers: reports })
    }

    /// Reads all that SAMPLES holds of a boiler and compares it with the `account`.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn samples(
        &self,
        id: &BoilerId,
        account: Option<&Boiler>,
        speed: u32,
        problems: &mut Vec<String>,
    ) -> Result<SamplesBook> {
        let mut reader = SamplesReader::new(account, speed);
        let mut failure = None;
        self.each(stream::SAMPLES, &subject::samples(id), |sequence, payload| {
            if failure.is_none() {
                failure = reader.take(sequence, payload).err();
            }
        })
        .await?;
        match failure {
            Some(error) => Err(error).context(ACCOUNT),
            None => Ok(reader.finish(problems)),
        }
    }

    /// Reads the snapshots of a boiler.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) async fn snapshots(&self, id: &BoilerId, problems: &mut Vec<String>) -> Result<Vec<Snapshot>> {
        let mut snapshots = Vec::new();
        self.each(stream::SNAPSHOT, &subject::snapshot(id), |sequence, payload| {
            match serde_json::from_slice::<Snapshot>(payload) {
                Ok(snapshot) => snapshots.push(snapshot),
                Err(error) => problems.push(format!("snapshot {sequence} does not parse: {error}")),
            }
        })
        .await?;
        Ok(snapshots)
    }

    /// Compares the last STATE with the account's readings in the same seconds.
    async fn average(
        &self,
        id: &BoilerId,
        book: &SamplesBook,
        problems: &mut Vec<String>,
    ) -> Result<Option<AverageReport>> {
        let Some(json) = self.last(stream::STATE, &subject::state(id)).await? else { return Ok(None) };
        let state: State = match serde_json::from_slice(&json) {
            Ok(state) => state,
            Err(error) => {
                problems.push(format!("STATE does not parse: {error}"));
                return Ok(None);
            }
        };
        #[expect(clippy::cast_possible_truncation, reason = "Unix seconds fit until the year 292 billion")]
        let newest = state.stamp.floor() as i64;
        let window = book.seconds.range(newest - WINDOW_S + 1..=newest);
        let (sum, count) = window.fold((0, 0), |(sum, count), (_, (s, n))| (sum + s, count + n));
        let reference = ledger::decimal(sum, count);
        if count != state.average_points || reference != state.average {
            let celsius = |value: Option<f64>| value.map_or("unknown".to_owned(), |celsius| format!("{celsius:.2} °C"));
            let (average, points) = (celsius(state.average), state.average_points);
            let reference = celsius(reference);
            problems
                .push(format!("the average is {average} over {points} readings, reference {reference} over {count}"));
        }
        Ok(Some(AverageReport { published: state.average, reference, points: count, coverage: state.coverage }))
    }

    /// Checks that FEED has each sample once, in order, with its value.
    async fn check_feed(&self, account: &Boiler, book: &SamplesBook, problems: &mut Vec<String>) -> Result<()> {
        let (mut events, mut wrong, mut newest) = (0u64, 0u64, None);
        let mut sampled = None;
        self.each(stream::FEED, &subject::feed(&account.id), |_, payload| {
            let Ok(event) = serde_json::from_slice::<FeedEvent>(payload) else {
                wrong += 1;
                return;
            };
            let slot = (event.boot, event.seq);
            if newest.is_some_and(|newest| slot <= newest) {
                wrong += 1;
            }
            let follows = newest.is_some_and(|(boot, seq)| boot == event.boot && seq + 1 == event.seq);
            if !follows {
                sampled = account.boot(event.boot).and_then(|record| record.readings(event.seq..record.slots).ok());
            }
            let reading = sampled.as_mut().and_then(Iterator::next).and_then(Result::ok).flatten();
            let celsius = reading.filter(|reading| reading.is_valid()).map(|reading| reading.temperature.celsius());
            if reading.is_none() || celsius != event.data.temperature {
                wrong += 1;
            }
            newest = Some(slot);
            events += 1;
        })
        .await?;
        if wrong > 0 || events != book.slots {
            problems
                .push(format!("the feed has {events} events, {wrong} of them wrong; SAMPLES has {} slots", book.slots));
        }
        Ok(())
    }

    /// Calls `take` with every message that `subject` has now, in order.
    async fn each(&self, stream: &str, subject: &str, mut take: impl FnMut(u64, &[u8])) -> Result<()> {
        let read = || format!("read {subject}");
        let messages = read_stored(&self.context, stream, vec![subject.to_owned()], DeliverPolicy::All).await;
        let mut messages = messages.with_context(read)?;
        for _ in 0..messages.pending() {
            let message = messages.next().await.with_context(read)?;
            take(sequence(&message).with_context(read)?, &message.payload);
        }
        Ok(())
    }

    async fn last(&self, stream: &str, subject: &str) -> Result<Option<Vec<u8>>> {
        let message = thermowell::nats::last(&self.context, stream, subject).await;
        let message = message.with_context(|| format!("read {subject}"))?;
        Ok(message.map(|message| message.payload.to_vec()))
    }
}

/// Prints the ledger as JSON.
///
/// # Errors
/// Standard output is closed.
pub fn print_json(ledger: &Ledger) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, ledger)?;
    writeln!(out)
}

/// Prints the ledger as text.
///
/// # Errors
/// Standard output is closed.
pub fn print(ledger: &Ledger) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let celsius = |value: Option<f64>| value.map_or("–".to_owned(), |celsius| format!("{celsius:.2}°"));
    writeln!(out, "\nLedger: what was published, against what the simulator sampled\n")?;
    let hours = || ledger.boilers.iter().flat_map(|boiler| boiler.hours.iter().map(|hour| (&boiler.boiler, hour)));
    if hours().next().is_some() {
        writeln!(out, "boiler hour                    slots  counted  missing     mean reference")?;
    }
    for (boiler, hour) in hours() {
        let missing = hour.missing;
        writeln!(
            out,
            "{boiler:<6} {:<20} {:>8} {:>8} {:>8} {:>8}  {:>8}{}",
            hour.hour,
            hour.slots,
            hour.counted,
            missing.total(),
            celsius(hour.snapshot),
            celsius(hour.reference),
            if hour.partial { " first" } else { "" },
        )?;
        if missing.total() > 0 {
            writeln!(out, "       missing: {missing}")?;
        }
    }
    for boiler in &ledger.boilers {
        let book = &boiler.samples;
        writeln!(
            out,
            "\n{:<6} {} samples in {} messages: {} lost, {} twice, {} wrong",
            boiler.boiler, book.slots, book.messages, book.lost, book.twice, book.wrong,
        )?;
        writeln!(out, "       {} named missing; worst stamp {:+.2} ms", book.named, book.worst_stamp_ms)?;
        if book.stamped_back > 0 {
            writeln!(out, "       {} stamped back in time: in no average, named clock", book.stamped_back)?;
        }
        if let Some(average) = &boiler.average {
            writeln!(
                out,
                "       mean of the last hour {} ({:.2} % known), reference {}",
                celsius(average.published),
                average.coverage * 100.0,
                celsius(average.reference)
            )?;
        }
        for problem in &boiler.problems {
            writeln!(out, "       PROBLEM: {problem}")?;
        }
    }
    writeln!(out, "\n{}", if ledger.ok { "Every sum closes." } else { "The ledger does NOT close." })
}
