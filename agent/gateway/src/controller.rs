//! The controller: reads STATE and STATUS, compares the current temperature with the last hour's average, and asks each
//! boiler for a set-point, as a lease.
//!
//! It is the only author of set-points. A second controller stands by, logs that, and takes over when the first has
//! stopped renewing its leases, while the boiler still obeys them. Without any controller the leases expire. A
//! controller that stops does not release its leases, so that an upgrade does not send the boiler to its own control
//! and back.
//!
//! Each process is an instance of its own, even if two run with the same configuration. A takeover starts a new session
//! with an empty controller, like a process that has just started.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::Context;
use futures_util::StreamExt as _;
use jiff::civil::Date;
use thermowell_flow::controller::{self as flow, Author, Effect, Input, PastDecision};
use thermowell_flow::published::{AmbientReading, Command, Event, EventBody, Lease, Outcome, State, Status};
use thermowell_flow::time::Monotonic;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, Ambient, EventKind, stream, wildcard};
use tokio::sync::mpsc::Receiver;

use crate::ambient::{self, Arrived, Recent};
use crate::calendar;
use crate::clock::{self, Clock};
use crate::config::{self, Config};
use crate::control::{self, Published};
use crate::logs::{self, Throttle};
use crate::metrics::Board;
use crate::nats::{self, Connection, Messages, NatsError, Phase, RETRY, RequestError, User};
use crate::report::Reporter;
use crate::session::{Session, SessionError};
use crate::shutdown::Shutdown;
use crate::streams;

/// How long reading the last hour's events may take; then control starts without them.
const LOOK_BACK: Duration = Duration::from_secs(2);

/// Polls of another controller's lease per renewal period: a takeover is late by a tenth of that period at most.
const POLLS: u32 = 10;

/// Why the controller stopped working.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// The connection cannot be configured.
    #[error("connect")]
    Connect(#[source] NatsError),
    /// The server or a stream is unusable.
    #[error("keep a session")]
    Session(#[source] SessionError),
    /// The configuration does not enable it.
    #[error("the controller is off: set `enabled = true` in [control] to let it ask the boilers for set-points")]
    Off,
}

/// Runs the controller until `shutdown` is requested. The leases that it leaves expire.
///
/// # Errors
/// See [`ControllerError`]: all of them need an operator.
pub async fn run(config: &Config, board: &Arc<Board>, mut shutdown: Shutdown) -> Result<(), ControllerError> {
    if !config.control.enabled {
        return Err(ControllerError::Off);
    }
    let connection = Connection::open(&config.nats, User::Controller).await.map_err(ControllerError::Connect)?;
    let session = Session::new(connection, streams::needed(config, &User::Controller));
    let context = session.connection().context().clone();
    let reporter = Reporter::start(context.clone(), session.ready());
    board.join("controller", &session, &reporter);
    let clock = Clock::new(&config.clock);
    let instance = instance(&config.gateway);
    let law = config.control.law.to_flow();
    let boilers = config.boilers.iter().map(|boiler| {
        let freshness = flow::Freshness::at_speed(clock.speed());
        let source = |what| boiler.ambient(what).map(|ambient| (what, ambient.source.clone()));
        let sources = Ambient::ALL.into_iter().filter_map(source).collect();
        let (boiler, instance, law) = (boiler.id.clone(), instance.clone(), law.clone());
        (boiler.clone(), Boiler::new(flow::Settings { boiler, instance, law, freshness, sources }))
    });
    let boilers = boilers.collect();
    let poll = law.renew / POLLS;
    let (board, ignored) = (board.clone(), Throttle::default());
    let ((to, ambient), subjects) = (ambient::queue(), ambient::subjects(config));
    let follow = async {
        if subjects.is_empty() {
            std::future::pending::<()>().await;
        }
        let what = "reading the temperatures of sources";
        nats::in_each_session(session.ready(), what, || ambient::follow(&context, &subjects, &to)).await;
    };
    let context = context.clone();
    let has_readings = subjects.is_empty();
    let law = config.control.law.clone();
    let mut controller =
        Controller { law, context, reporter, clock, boilers, poll, ignored, board, ambient, has_readings };
    tokio::select! {
        never = controller.sessions(&session) => match never {},
        () = follow => Ok(()),
        error = session.keep() => Err(ControllerError::Session(error)),
        () = shutdown.requested() => Ok(()),
    }
}

struct Controller {
    /// The calendar of the targets.
    law: config::Law,
    context: Context,
    reporter: Reporter,
    clock: Clock,
    boilers: BTreeMap<BoilerId, Boiler>,
    /// Between two polls of another controller's leases.
    poll: Duration,
    /// Messages that were ignored, by boiler and cause.
    ignored: Throttle<(BoilerId, &'static str)>,
    board: Arc<Board>,
    /// Readings of sources outside of the boilers.
    ambient: Receiver<Arrived>,
    /// The stored ones have been taken.
    has_readings: bool,
}

struct Boiler {
    settings: flow::Settings,
    /// The day of its plan.
    planned: Option<Date>,
    controller: flow::Controller,
    author: Author,
    expected: Option<u64>,
    /// Set-points in a row that were not published.
    unpublished: Throttle<String>,
    /// The last readings of its sources.
    recent: Recent,
}

impl Boiler {
    fn new(settings: flow::Settings) -> Self {
        let controller = flow::Controller::new(settings.clone());
        let author = Author::new(settings.instance.clone(), &settings.law);
        let recent = Recent::default();
        Self { settings, planned: None, controller, author, expected: None, unpublished: Throttle::default(), recent }
    }

    /// Stops publishing set-points. A later takeover starts from the streams.
    fn stand_by(&mut self) {
        self.controller = flow::Controller::new(self.settings.clone());
        self.expected = None;
    }

    fn is_author(&self) -> bool {
        self.author.other().is_none()
    }
}

impl Controller {
    /// Runs one session after another.
    async fn sessions(&mut self, session: &Session) -> Infallible {
        let mut ready = session.ready();
        let mut failures = Throttle::default();
        loop {
            if ready.wait_for(|phase| *phase != Phase::Down).await.is_err() {
                std::future::pending::<()>().await;
            }
            ready.mark_unchanged();
            let client = session.connection().client().clone();
            tokio::select! {
                end = self.work(&client) => match end {
                    Ok(()) => {}
                    Err(error) => {
                        let error = logs::chain(&error);
                        if let Some(tries) = failures.admits(error.clone()) {
                            tracing::warn!(tries, error, "session failed, restarting it");
                        }
                        tokio::time::sleep(RETRY).await;
                    }
                },
                _ = ready.changed() => {
                    failures.end();
                    tracing::debug!("session ended");
                }
            }
        }
    }

    async fn work(&mut self, client: &async_nats::Client) -> Result<(), RequestError> {
        let ids: Vec<BoilerId> = self.boilers.keys().cloned().collect();
        let mut states = subscribe(client, wildcard::STATE).await?;
        let mut statuses = subscribe(client, wildcard::STATUS).await?;
        let mut commands = control::commands(&self.context, &ids).await?;
        let mut events = control::events(&self.context, &ids).await?;
        self.poll_authors(&ids).await?;
        self.read_past(&mut events).await?;
        self.read_ambient().await;
        self.read_last(&ids).await?;
        let mut poll_at = self.clock.now().monotonic.after(self.poll);
        loop {
            let wake = self.boilers.values().filter_map(|boiler| boiler.controller.wake_at()).min();
            tokio::select! {
                message = states.next() => match message {
                    Some(message) => self.take(&message.subject, &message.payload).await?,
                    None => return Ok(()),
                },
                message = statuses.next() => match message {
                    Some(message) => self.take(&message.subject, &message.payload).await?,
                    None => return Ok(()),
                },
                message = commands.next() => {
                    let message = message?;
                    self.take_command(&message.subject, nats::sequence(&message)?, &message.payload).await?;
                }
                message = events.next() => {
                    let message = message?;
                    self.take_answer(&message.subject, &message.payload).await?;
                }
                Some(arrived) = self.ambient.recv() => self.take_ambient(&arrived).await?,
                () = self.clock.sleep_until(wake) => self.wake(wake).await?,
                () = self.clock.sleep_until(Some(poll_at)), if self.stands_by() => {
                    if self.poll_authors(&ids).await? {
                        return Ok(());
                    }
                    poll_at = self.clock.now().monotonic.after(self.poll);
                }
            }
        }
    }

    fn stands_by(&self) -> bool {
        self.boilers.values().any(|boiler| !boiler.is_author())
    }

    /// Reads the author of each boiler's lease. Returns whether this instance takes over a boiler for which it stood
    /// by.
    async fn poll_authors(&mut self, ids: &[BoilerId]) -> Result<bool, RequestError> {
        let mut takes_over = false;
        for id in ids {
            let standing = control::standing(&self.context, id, &self.clock).await?;
            let Some(boiler) = self.boilers.get_mut(id) else { continue };
            let before = boiler.author.other().map(str::to_owned);
            boiler.author.look(self.clock.now().monotonic, standing.as_ref());
            self.board.controller(id, |report| report.stands_by = !boiler.is_author());
            match (before, boiler.author.other()) {
                (Some(before), None) => {
                    tracing::info!(boiler = %id, another = before, "another controller no longer renews, taking over");
                    takes_over = true;
                }
                (before, Some(another)) if before.as_deref() != Some(another) => {
                    tracing::warn!(boiler = %id, another, "another controller asks for set-points, standing by");
                    boiler.stand_by();
                }
                (None | Some(_), None | Some(_)) => {}
            }
        }
        Ok(takes_over)
    }

    /// Reads the decisions and answers from before this session. Control starts without them if the server takes longer
    /// than [`LOOK_BACK`].
    async fn read_past(&mut self, events: &mut Messages) -> Result<(), RequestError> {
        let pending = events.pending();
        let mut past: BTreeMap<BoilerId, Vec<PastDecision>> = BTreeMap::new();
        let mut answers: Vec<(BoilerId, Outcome)> = Vec::new();
        let read = async {
            for _ in 0..pending {
                let message = events.next().await?;
                let Some((id, event)) = event_of(&message.subject, &message.payload) else { continue };
                if let EventBody::Decided(decision) = event.body {
                    past.entry(id).or_default().push(PastDecision { at: event.created_at, decision: *decision });
                } else if let EventBody::Answered { outcome, .. } = event.body {
                    answers.push((id, outcome));
                }
            }
            Ok::<(), RequestError>(())
        };
        let Ok(read) = tokio::time::timeout(LOOK_BACK, read).await else {
            // The newest ones are missing, and an older one must not count as the last.
            tracing::warn!(pending, "reading the last events timed out, starting without them");
            return Ok(());
        };
        read?;
        for (id, told) in past {
            self.step(&id, Input::Past(&told)).await?;
        }
        for (id, outcome) in answers {
            self.step(&id, Input::Answer(&outcome)).await?;
        }
        Ok(())
    }

    /// Reads the last command, status and state.
    async fn read_last(&mut self, ids: &[BoilerId]) -> Result<(), RequestError> {
        for id in ids {
            let last = control::last_command(&self.context, id).await?;
            let last = last.as_ref().map(|(sequence, command)| (*sequence, command));
            self.step(id, Input::LastCommand(last)).await?;
            let recent = self.boilers.get(id).into_iter().flat_map(|boiler| boiler.recent.iter());
            let recent: Vec<_> = recent.map(|(what, reading)| (what, reading.clone())).collect();
            for (what, reading) in recent {
                self.step(id, Input::Ambient { what, reading: &reading, is_new: false }).await?;
            }
            for (stream, subject) in [(stream::STATUS, subject::status(id)), (stream::STATE, subject::state(id))] {
                if let Some(message) = nats::last(&self.context, stream, &subject).await? {
                    self.take(&subject, &message.payload).await?;
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, subject: &str, payload: &[u8]) -> Result<(), RequestError> {
        let Some(id) = self.own(subject) else { return Ok(()) };
        let parsed = if subject.ends_with(".state") {
            nats::parse::<State>(payload).map(Parsed::State)
        } else {
            nats::parse::<Status>(payload).map(Parsed::Status)
        };
        match parsed {
            Ok(Parsed::State(state)) => self.step(&id, Input::State(&state)).await,
            Ok(Parsed::Status(status)) => self.step(&id, Input::Status(&status)).await,
            Err(error) => {
                self.ignore(id, subject, "malformed message", Some(error.to_string()));
                Ok(())
            }
        }
    }

    async fn take_command(&mut self, subject: &str, sequence: u64, payload: &[u8]) -> Result<(), RequestError> {
        let Some(id) = self.own(subject) else { return Ok(()) };
        match nats::parse::<Command>(payload) {
            Ok(command) if command.is_at(subject) => self.step(&id, Input::Command(sequence, &command)).await,
            Ok(_) => {
                self.ignore(id, subject, "command in another operator's name", None);
                Ok(())
            }
            Err(error) => {
                self.ignore(id, subject, "malformed command", Some(error.to_string()));
                Ok(())
            }
        }
    }

    /// Keeps the stored readings of sources, so that the first decision has them. It does not wait long: a source may
    /// be added while the server has no right for it yet.
    async fn read_ambient(&mut self) {
        let read = async {
            while !self.has_readings
                && let Some(arrived) = self.ambient.recv().await
            {
                drop(self.keep(&arrived));
            }
        };
        if tokio::time::timeout(LOOK_BACK, read).await.is_err() {
            tracing::warn!("temperatures of sources cannot be read yet, starting without them");
        }
    }

    /// Keeps a reading for a controller that begins. Returns it if it is one.
    fn keep(&mut self, arrived: &Arrived) -> Option<(BoilerId, Ambient, AmbientReading)> {
        let Arrived::Reading { subject, payload } = arrived else {
            self.has_readings = true;
            return None;
        };
        let (id, what) = (self.own(subject)?, subject::ambient_in(subject)?);
        match nats::parse::<AmbientReading>(payload) {
            Ok(reading) if reading.is_at(&id, what, subject) => {
                self.boilers.get_mut(&id)?.recent.keep(what, reading.clone());
                return Some((id, what, reading));
            }
            Ok(_) => self.ignore(id, subject, "temperature in another source's name", None),
            Err(error) => self.ignore(id, subject, "malformed temperature", Some(error.to_string())),
        }
        None
    }

    async fn take_ambient(&mut self, arrived: &Arrived) -> Result<(), RequestError> {
        let Some((id, what, reading)) = self.keep(arrived) else { return Ok(()) };
        let is_new = self.has_readings;
        self.step(&id, Input::Ambient { what, reading: &reading, is_new }).await
    }

    fn ignore(&mut self, id: BoilerId, subject: &str, what: &'static str, error: Option<String>) {
        self.board.ignored("controller");
        if let Some(times) = self.ignored.admits_each((id, what)) {
            tracing::warn!(subject, times, error, "ignoring {what}");
        }
    }

    async fn take_answer(&mut self, subject: &str, payload: &[u8]) -> Result<(), RequestError> {
        match event_of(subject, payload) {
            Some((id, Event { body: EventBody::Answered { outcome, .. }, .. })) => {
                self.step(&id, Input::Answer(&outcome)).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The configured boiler of a subject.
    fn own(&self, subject: &str) -> Option<BoilerId> {
        subject::boiler_of(subject).filter(|id| self.boilers.contains_key(id))
    }

    async fn wake(&mut self, due: Option<Monotonic>) -> Result<(), RequestError> {
        let ids: Vec<BoilerId> = self
            .boilers
            .iter()
            .filter(|(_, boiler)| boiler.controller.wake_at() <= due && boiler.controller.wake_at().is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.step(&id, Input::Wake).await?;
        }
        Ok(())
    }

    async fn step(&mut self, id: &BoilerId, input: Input<'_>) -> Result<(), RequestError> {
        let now = self.clock.now();
        let mut effects = Vec::new();
        if let Some(boiler) = self.boilers.get_mut(id).filter(|boiler| boiler.is_author()) {
            if let Some(plan) = calendar::renew(&self.law, &mut boiler.planned, now.utc) {
                boiler.settings.law.plan.clone_from(&plan);
                boiler.controller.step(now, Input::Plan(&plan), &mut effects);
            }
            boiler.controller.step(now, input, &mut effects);
        }
        for effect in effects {
            match effect {
                Effect::Lease(lease) => self.publish(id, &lease).await?,
                Effect::Decision(decision) => {
                    self.board.controller(id, |report| report.decided(&decision.rule));
                    self.reporter.event(id, EventKind::Decision, now.utc, EventBody::Decided(decision));
                }
                Effect::Event(kind, body) => self.reporter.event(id, kind, now.utc, *body),
                Effect::Log(log) => logs::controller(id, &log),
            }
        }
        Ok(())
    }

    async fn publish(&mut self, id: &BoilerId, lease: &Lease) -> Result<(), RequestError> {
        let Some(boiler) = self.boilers.get_mut(id) else { return Ok(()) };
        match control::publish(&self.context, &self.clock, &boiler.author, id, boiler.expected, lease).await {
            Ok(Published::Stored(sequence)) => {
                boiler.expected = Some(sequence);
                boiler.unpublished.end();
                let ends = self.clock.now().monotonic.after(Duration::from_secs(lease.lease_s.into()));
                self.board.controller(id, |report| report.published(lease, ends));
            }
            Ok(Published::Another(standing)) => {
                let another = standing.instance.as_str();
                tracing::warn!(boiler = %id, another, "another controller asks for set-points, standing by");
                boiler.author.met(self.clock.now().monotonic, &standing);
                boiler.stand_by();
                self.board.controller(id, |report| report.stands_by = true);
            }
            Err(error) => {
                boiler.expected = None;
                self.board.controller(id, |report| report.unpublished += 1);
                let error = logs::chain(&error);
                if let Some(times) = boiler.unpublished.admits(error.clone()) {
                    tracing::warn!(boiler = %id, times, error, "set-point not published");
                }
            }
        }
        Ok(())
    }
}

/// A name for this process, unique among all that ever ran with this configuration.
fn instance(gateway: &str) -> String {
    format!("{gateway}-{}-{:x}", std::process::id(), clock::boottime_ns())
}

/// An event and the boiler of its subject; none for one that cannot be parsed (of a later version).
fn event_of(subject: &str, payload: &[u8]) -> Option<(BoilerId, Event)> {
    Some((subject::boiler_of(subject)?, serde_json::from_slice(payload).ok()?))
}

enum Parsed {
    State(State),
    Status(Status),
}

async fn subscribe(client: &async_nats::Client, subject: &'static str) -> Result<Subscriber, RequestError> {
    client.subscribe(subject).await.map_err(|error| RequestError::new(format!("subscribe to {subject}"), error))
}
