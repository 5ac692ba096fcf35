//! Reads the streams, once a second: the last messages, and what has been added to SAMPLES, SNAPSHOT and EVENT.
//!
//! Everything on the pages is a stored message. Nothing is received live: another user of PEOPLE can direct a response
//! to a subscription of this account, where it looks like a message (`crate::nats::rights`). Nor are there consumers,
//! which no user of PEOPLE may create. So each message is requested, one after another: the last hour of a boiler takes
//! a second, and then each second of samples is one request.
//!
//! Without viewers and without MQTT it reads every ten seconds, and at once when one joins. COMMAND is read for MQTT
//! alone.
//!
//! Each session starts from what is stored, and finds the hour by bisection over the sequences: 25 requests for a full
//! stream.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use serde::de::DeserializeOwned;
use thermowell_flow::published::{Event, Snapshot};
use thermowell_flow::time::{HOUR_NS, SECOND_NS};
use thermowell_wire::BoilerId;
use thermowell_wire::batch::{self, Packed};
use thermowell_wire::subject::{self, stream};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::hub::{Hub, lock};
use super::model::{Boiler, Model, Server, Stored};
use crate::clock::{Clock, boottime_ns};
use crate::logs::{self, Throttle};
use crate::metrics::Board;
use crate::nats::{self, Connection, Kept, Phase, RETRY, RequestError};
use crate::quantity::nanos;

/// Interval of the reads, as of the values on the pages.
const CYCLE: Duration = Duration::from_secs(1);
/// Without viewers: the hour is then ready when one joins.
const IDLE: Duration = Duration::from_secs(10);
/// The most messages of a boiler and a stream in one cycle: less than a tenth of a second, so that the values of all
/// boilers stay fresh while an hour is read.
const MESSAGES_MAX: u32 = 100;
/// The pause after a stream could not be read to which keys of an older version have no right. It doubles: without the
/// right each attempt takes the time-out of a request, and a busy server is soon asked again.
const OPTIONAL_RETRY: Duration = Duration::from_secs(2);
const OPTIONAL_RETRY_MAX: Duration = Duration::from_secs(60);
/// Cycles after which the streams are read from the beginning again if STATE advances without SAMPLES: it has been
/// recreated, or went back.
const PATIENCE: u32 = 10;

/// Reads for all pages.
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) clock: Clock,
    pub(super) model: Arc<Mutex<Model>>,
    pub(super) hub: Arc<Hub>,
    /// COMMAND is read too.
    pub(super) reads_commands: bool,
    /// Where it reports whether it can read; none in a command.
    pub(super) board: Option<Arc<Board>>,
}

/// How far the streams have been read for a boiler: the next sequence of each, unknown at the beginning of a session.
#[derive(Clone, Debug, Default)]
struct Place {
    /// What was read in the last session has been forgotten: not before the server answers again.
    has_begun: bool,
    samples: Option<u64>,
    snapshots: Option<u64>,
    events: Option<u64>,
    /// Cycles in which STATE was ahead of SAMPLES.
    ahead: u32,
}

/// What became of the reads in this session to which keys of an older version have no right. Their failure must not
/// touch the pages: what they would give is unknown, and tried again later.
#[derive(Debug, Default)]
struct Optional {
    failures: Throttle<String>,
    /// CLOCK_BOOTTIME of the last failure, and the pause after it.
    failed: Option<(u64, Duration)>,
}

impl Optional {
    /// Whether they failed a short time ago.
    fn fail(&self) -> bool {
        let since = |at: u64| Duration::from_nanos(boottime_ns().saturating_sub(at));
        self.failed.is_some_and(|(at, pause)| since(at) < pause)
    }

    /// The result, if there is one.
    fn take<T>(&mut self, result: Result<T, RequestError>, what: &str) -> Option<T> {
        match result {
            Ok(found) => {
                (self.failed, _) = (None, self.failures.end());
                Some(found)
            }
            Err(error) => {
                let pause = self.failed.map_or(OPTIONAL_RETRY, |(_, pause)| (2 * pause).min(OPTIONAL_RETRY_MAX));
                self.failed = Some((boottime_ns(), pause));
                let advice = "make the keys again (thermowell keys) and reload the server";
                let advice = error.is_forbidden().then_some(advice);
                let error = logs::chain(&error);
                if let Some(tries) = self.failures.admits(error.clone()) {
                    tracing::warn!(tries, error, advice, "{what} cannot be read and are unknown");
                }
                None
            }
        }
    }
}

impl Reader {
    /// Reads in each session; runs until the process ends.
    pub(super) async fn run(&self) {
        let mut phase = self.connection.phase();
        let mut failures = Throttle::default();
        let mut was_up = false;
        loop {
            let since = was_up.then(|| self.clock.now().utc);
            if *phase.borrow_and_update() == Phase::Down {
                self.serves(Server::Away { since });
                if phase.wait_for(|phase| *phase != Phase::Down).await.is_err() {
                    return;
                }
                phase.mark_unchanged();
            }
            was_up = true;
            tokio::select! {
                () = self.session(&mut failures) => {}
                changed = phase.changed() => {
                    failures.end();
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Reads until the connection ends.
    async fn session(&self, failures: &mut Throttle<String>) {
        if let Err(error) = self.connection.verify_server() {
            let error = logs::chain(&error);
            tracing::error!(error, "the server is not usable");
            self.report(Err(error.clone()));
            self.serves(Server::Fails { why: error });
            // Another server is another connection.
            return std::future::pending().await;
        }
        let mut places = vec![Place::default(); lock(&self.model).boilers.len()];
        let (mut commands, mut ambient) = (Optional::default(), Optional::default());
        let mut cycle = interval(CYCLE);
        cycle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.cycle(&mut places, &mut commands, &mut ambient).await {
                Ok(is_read) => {
                    failures.end();
                    self.report(Ok(()));
                    self.hub.refreshed();
                    if is_read {
                        self.pause(&mut cycle).await;
                    }
                }
                Err(error) => {
                    let error = logs::chain(&error);
                    if let Some(tries) = failures.admits(error.clone()) {
                        tracing::warn!(tries, error, "reading the streams failed, retrying");
                    }
                    self.report(Err(error.clone()));
                    self.serves(Server::Fails { why: error });
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Until the next read.
    async fn pause(&self, cycle: &mut Interval) {
        let pause = async {
            if self.hub.is_followed() {
                cycle.tick().await;
            } else {
                sleep(IDLE).await;
            }
        };
        tokio::select! {
            () = pause => {}
            () = self.hub.joined() => {}
        }
    }

    fn report(&self, outcome: Result<(), String>) {
        if let Some(board) = &self.board {
            board.read(outcome);
        }
    }

    fn serves(&self, server: Server) {
        lock(&self.model).server = server;
    }

    /// Reads once for each boiler. Returns whether everything stored has been read.
    async fn cycle(
        &self,
        places: &mut [Place],
        commands: &mut Optional,
        ambient: &mut Optional,
    ) -> Result<bool, RequestError> {
        let mut is_read = true;
        for (at, place) in places.iter_mut().enumerate() {
            let id = lock(&self.model).boilers[at].id.clone();
            self.last(at, &id).await?;
            if self.reads_commands && !commands.fail() {
                self.command(at, &id, commands).await;
            }
            self.ambient(at, ambient).await;
            self.serves(Server::Answers);
            if !std::mem::replace(&mut place.has_begun, true) {
                self.with(at, Boiler::begin_again);
            }
            is_read &= self.snapshots(at, &id, place).await?;
            is_read &= self.events(at, &id, place).await?;
            is_read &= self.samples(at, &id, place).await?;
        }
        Ok(is_read)
    }

    fn with<T>(&self, at: usize, change: impl FnOnce(&mut Boiler) -> T) -> T {
        change(&mut lock(&self.model).boilers[at])
    }

    /// STATE, STATUS and LEASE.
    async fn last(&self, at: usize, id: &BoilerId) -> Result<(), RequestError> {
        let state = nats::last(self.connection.context(), stream::STATE, &subject::state(id)).await?;
        let status = nats::last(self.connection.context(), stream::STATUS, &subject::status(id)).await?;
        let lease = nats::last(self.connection.context(), stream::LEASE, &subject::setpoint(id)).await?;
        let lease = lease.and_then(|message| Kept::read(&message).ok());
        self.with(at, |boiler| {
            boiler.state = state.as_ref().and_then(parsed);
            boiler.take_status(status.as_ref().and_then(parsed));
            boiler.lease = lease.map(|kept| Stored { at_real_ns: kept.at.0, lease: kept.value });
        });
        Ok(())
    }

    /// The last command.
    async fn command(&self, at: usize, id: &BoilerId, commands: &mut Optional) {
        let message = nats::last(self.connection.context(), stream::COMMAND, &subject::commands(id)).await;
        let command = commands.take(message, "commands");
        let command = command.map(|message| message.as_ref().and_then(nats::command_in));
        self.with(at, |boiler| boiler.command = command);
    }

    /// The last readings of sources outside of the boiler.
    async fn ambient(&self, at: usize, ambient: &mut Optional) {
        let sources = self.with(at, |boiler| boiler.sources.clone());
        for (index, (sourced, _)) in sources.into_iter().enumerate() {
            let reading = match ambient.fail() {
                true => None,
                false => ambient.take(sourced.read(&self.connection).await, "temperatures of sources"),
            };
            self.with(at, |boiler| boiler.sources[index].1 = reading.flatten());
        }
    }

    async fn snapshots(&self, at: usize, id: &BoilerId, place: &mut Place) -> Result<bool, RequestError> {
        let subject = subject::snapshot(id);
        let two_days = 49 * HOUR_NS;
        let created = |message: &StreamMessage| Some(parsed::<Snapshot>(message)?.created_at * SECOND_NS);
        let from = self.begin(stream::SNAPSHOT, &subject, place.snapshots, two_days, created).await?;
        let take = |boiler: &mut Boiler, message: &StreamMessage| {
            parsed(message).into_iter().for_each(|snapshot| boiler.take_snapshot(snapshot));
        };
        self.follow(at, stream::SNAPSHOT, &subject, &mut place.snapshots, from, take).await
    }

    async fn events(&self, at: usize, id: &BoilerId, place: &mut Place) -> Result<bool, RequestError> {
        let subject = subject::all_events(id);
        let created = |message: &StreamMessage| Some(nanos(parsed::<Event>(message)?.created_at));
        let from = self.begin(stream::EVENT, &subject, place.events, 24 * HOUR_NS, created).await?;
        let take = |boiler: &mut Boiler, message: &StreamMessage| {
            parsed(message).into_iter().for_each(|event| boiler.take_event(event));
        };
        self.follow(at, stream::EVENT, &subject, &mut place.events, from, take).await
    }

    async fn samples(&self, at: usize, id: &BoilerId, place: &mut Place) -> Result<bool, RequestError> {
        let subject = subject::samples(id);
        if place.samples.is_none() {
            let first = nats::stream_state(self.connection.context(), stream::SAMPLES).await?.first_sequence;
            self.with(at, |boiler| boiler.hour.stream_begins_at(first));
        }
        let stamp = |message: &StreamMessage| match batch::decode(&message.payload).ok()? {
            Packed::Batch(batch) => Some(batch.header.first_utc_ns),
            Packed::Gap(gap) => Some(gap.from_utc_ns),
        };
        let from = self.begin(stream::SAMPLES, &subject, place.samples, HOUR_NS + 60 * SECOND_NS, stamp).await?;
        let take = |boiler: &mut Boiler, message: &StreamMessage| {
            boiler.hour.observe(message.sequence, &message.payload);
        };
        let is_read = self.follow(at, stream::SAMPLES, &subject, &mut place.samples, from, take).await?;
        let is_ahead = self.with(at, |boiler| {
            boiler.is_read = is_read;
            let (state, end) = (boiler.state.as_ref().map(|state| state.stamp), boiler.hour.end());
            let lag_s = f64::from(PATIENCE) * f64::from(self.clock.speed());
            is_read && state.is_some_and(|stamp| end.is_none_or(|end| stamp - end.unix_seconds() > lag_s))
        });
        place.ahead = if is_ahead { place.ahead + 1 } else { 0 };
        if place.ahead >= PATIENCE {
            tracing::warn!(boiler = %id, "STATE advances without SAMPLES: reading the streams again");
            *place = Place::default();
        }
        Ok(is_read)
    }

    /// The sequence from which to read a subject: `next` if it is known, else that of the first message at most
    /// `age_ns` old.
    async fn begin(
        &self,
        stream: &str,
        subject: &str,
        next: Option<u64>,
        age_ns: i64,
        stamp: impl Fn(&StreamMessage) -> Option<i64>,
    ) -> Result<u64, RequestError> {
        if let Some(next) = next {
            return Ok(next);
        }
        let since = self.clock.now().utc.0.saturating_sub(age_ns);
        nats::first_since(self.connection.context(), stream, subject, since, stamp).await
    }

    /// Takes the messages from `from` on, at most [`MESSAGES_MAX`]. Returns whether the end has been reached.
    async fn follow(
        &self,
        at: usize,
        stream: &str,
        subject: &str,
        next: &mut Option<u64>,
        from: u64,
        take: impl Fn(&mut Boiler, &StreamMessage),
    ) -> Result<bool, RequestError> {
        *next = Some(from);
        for _ in 0..MESSAGES_MAX {
            let from = next.unwrap_or(from);
            let Some(message) = nats::first_from(self.connection.context(), stream, subject, from).await? else {
                return Ok(true);
            };
            self.with(at, |boiler| take(boiler, &message));
            *next = Some(message.sequence + 1);
        }
        Ok(false)
    }
}

/// A message that this version cannot parse counts as absent.
fn parsed<T: DeserializeOwned>(message: &StreamMessage) -> Option<T> {
    serde_json::from_slice(&message.payload).ok()
}
