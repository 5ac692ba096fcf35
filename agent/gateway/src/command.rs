//! Publishes commands to COMMAND: read, decide, publish under a condition, and decide again after a conflict.
//!
//! A publish can carry one condition on sequences, and two things must hold: no command was stored for this boiler
//! since the decision was made, and this id was never used. Read the last sequence of the boiler's commands first. The
//! publish is conditional on it, so anything read afterwards still holds when the publish succeeds: a command stored
//! meanwhile, with the same id or another, changes that sequence. The order of the reads is in one place,
//! `Submission::attempt`.
//!
//! | case | result |
//! |---|---|
//! | two commands at the same time | the server refuses one, which reads again and decides with the other in place |
//! | the acknowledgement is lost | the id is read back: the command is there, or it is retried |
//! | the same id again, even a year later | a command with this id is stored: the same answer, or a refusal |
//! | repeated clicks | the same command of the same person within 5 s is one command |
//! | a click delivered after a release | the server knows its message id: it starts nothing |
//! | a release | has no message id, so it is never deduplicated, and needs no reads that could fail |
//! | an invalid last command: junk, newer, in another's name | counts as none; its sequence is still the last |

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use serde::de::DeserializeOwned;
use thermowell_flow::command::{self as flow, Ask, Known, Limits, Refusal};
use thermowell_flow::published::{Action, Command, Event, EventBody, FreshnessLimits, State, Status};
use thermowell_wire::subject::{self, EventKind, stream};
use thermowell_wire::{CentiCelsius, CommandId};

use crate::clock::{self, Clock};
use crate::config::Config;
use crate::nats::{self, Connection, Doubt, Kept, NatsError, RequestError, User};
use crate::streams::CLICKS;

/// The most conflicts with other commands. Each of them was accepted for this boiler, which rules out most further
/// commands: this many is a loop.
const CONFLICTS_MAX: u32 = 64;
/// The most attempts without an answer: a person waits six seconds.
const SILENT_MAX: u32 = 3;
/// The lowest room temperature: pipes freeze.
const ROOM_MIN: CentiCelsius = CentiCelsius(5_00);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The server is down or unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream is missing or the server does not answer.
    #[error("query the server")]
    Request(#[source] RequestError),
    /// The server acknowledged nothing and gave no reason.
    #[error("publish command {id}; repeat it with --id {id}, and it counts once")]
    Unanswered {
        id: String,
        #[source]
        source: PublishError,
    },
    /// Each attempt conflicted with another command.
    #[error("publish command {id}: {CONFLICTS_MAX} conflicts with other commands; repeat it")]
    Crowded { id: String },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Stored in COMMAND.
    Accepted(Accepted),
    /// It breaks a rule.
    Refused(Refusal),
}

/// A command that is stored in COMMAND.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub command: Command,
    /// Its sequence there.
    pub sequence: u64,
    /// It was stored before: the same id, or the same click.
    pub again: bool,
}

/// A unique id for a command, from the time and the process id.
///
/// # Panics
/// Never: both are short.
#[must_use]
pub fn new_id() -> CommandId {
    let text = format!("{:x}-{:x}", clock::realtime_ns(), std::process::id());
    text.parse().expect("at most 25 hexadecimal digits and a dash")
}

/// Publishes a command. `clicked` if the id was generated for this call: then the same command of the same person
/// within 5 s counts once.
///
/// # Errors
/// See [`CommandError`]: there is no answer, and a retry with the same id is safe.
pub async fn ask(config: &Config, ask: &Ask, clicked: bool) -> Result<Answer, CommandError> {
    if let Err(refusal) = flow::admit(&ask.boiler, &ask.by, &config.boiler_ids(), &config.operators) {
        return Ok(Answer::Refused(refusal));
    }
    let user = User::Operator(ask.by.to_string());
    let connection = Connection::reach(&config.nats, user).await.map_err(CommandError::Server)?;
    let clock = Clock::new(&config.clock);
    let submission = Submission { context: connection.context(), ask, clicked, clock, limits: limits(config) };
    let answer = submission.run().await?;
    submission.announce(&answer).await;
    Ok(answer)
}

fn limits(config: &Config) -> Limits {
    let law = &config.control.law;
    let warmest = law.target.iter().map(|step| step.room).max().unwrap_or(ROOM_MIN);
    Limits {
        control: config.control.enabled,
        flow: law.flow_min.celsius()..=law.flow_max.celsius(),
        room: ROOM_MIN.celsius()..=warmest.celsius(),
        coverage: config.command.coverage,
        freshness: FreshnessLimits::at_speed(config.clock.speed),
    }
}

struct Submission<'a> {
    context: &'a Context,
    ask: &'a Ask,
    clicked: bool,
    clock: Clock,
    limits: Limits,
}

impl Submission<'_> {
    async fn run(&self) -> Result<Answer, CommandError> {
        let (mut conflicts, mut silent) = (0, 0);
        loop {
            let id = self.ask.id.to_string();
            // After a lost acknowledgement, our own stored command is no repetition.
            match self.attempt(silent > 0).await? {
                Ok(answer) => return Ok(answer),
                Err(Doubt::Conflict) if conflicts == CONFLICTS_MAX => return Err(CommandError::Crowded { id }),
                Err(Doubt::Conflict) => conflicts += 1,
                Err(Doubt::Unknown(source)) if silent + 1 == SILENT_MAX => {
                    return Err(CommandError::Unanswered { id, source });
                }
                Err(Doubt::Unknown(_)) => silent += 1,
            }
        }
    }

    /// Reads, decides, publishes, once. The boiler's last command is read first: the publish is conditional on its
    /// sequence, so anything read afterwards still holds when the publish succeeds.
    async fn attempt(&self, tried: bool) -> Result<Result<Answer, Doubt>, CommandError> {
        let (boiler, ask) = (&self.ask.boiler, self.ask);
        let (end, last) = self.last_command(&subject::commands(boiler)).await?;
        if let (_, Some(stored)) = self.last_command(&subject::command_named(boiler, &ask.id)).await? {
            return Ok(Ok(self.known_id(&stored, !tried)));
        }
        if let Some(stored) = &last
            && self.clicked
            && ask.action != Action::Release
            && ask.is(&stored.value)
            && stored.age() < CLICKS
        {
            return Ok(Ok(accepted(stored, true)));
        }
        // A release does not depend on the state.
        let (state, status) = if ask.action == Action::Release {
            (None, None)
        } else {
            let state = self.last::<State>(stream::STATE, &subject::state(boiler)).await?;
            (state, self.last::<Status>(stream::STATUS, &subject::status(boiler)).await?)
        };
        let known = Known {
            state: state.as_ref().map(Kept::numbered),
            status: status.as_ref().map(Kept::numbered),
            last: last.as_ref().map(Kept::numbered),
        };
        let command = match flow::decide(self.clock.now().utc, ask, &known, &self.limits) {
            Ok(command) => command,
            Err(refusal) => return Ok(Ok(Answer::Refused(refusal))),
        };
        let own = subject::command(boiler, &ask.id, &ask.by);
        match nats::publish_if(self.context, &own, self.condition(end), &command).await {
            Ok(stored) if stored.duplicate => self.same_click(stored.sequence).await.map(Ok),
            Ok(stored) => Ok(Ok(Answer::Accepted(Accepted { command, sequence: stored.sequence, again: false }))),
            Err(doubt) => Ok(Err(doubt)),
        }
    }

    fn condition(&self, last: u64) -> PublishMessage {
        let message = PublishMessage::build()
            .expected_last_subject_sequence(last)
            .header(EXPECTED_SUBJECT, subject::commands(&self.ask.boiler).as_str());
        match self.click() {
            Some(click) => message.message_id(click),
            None => message,
        }
    }

    /// The message id by which the server deduplicates clicks. None for a release, which must never be dropped, and for
    /// a caller's own id, which identifies the command better.
    fn click(&self) -> Option<String> {
        let Ask { boiler, by, action, length, until, .. } = self.ask;
        if !self.clicked || *action == Action::Release {
            return None;
        }
        let degrees = action.temperature().map(|celsius| format!("{celsius}/")).unwrap_or_default();
        let end = until.map_or(format!("{}s", length.as_secs_f64()), |until| format!("until {}", until.second()));
        Some(format!("{boiler}:{by}:{}:{degrees}{end}", action.word()))
    }

    /// The answer for an id that is already stored.
    fn known_id(&self, stored: &Kept<Command>, again: bool) -> Answer {
        if self.ask.is(&stored.value) {
            return accepted(stored, again);
        }
        let other = flow::describe(&stored.value);
        Answer::Refused(Refusal::IdTaken { id: self.ask.id.clone(), other })
    }

    /// The stored command of which the server took this one for a duplicate.
    async fn same_click(&self, sequence: u64) -> Result<Answer, CommandError> {
        let message = nats::at(self.context, stream::COMMAND, sequence).await.map_err(CommandError::Request)?;
        let gone = || RequestError::new(format!("read message {sequence} of COMMAND"), "there is none");
        let kept = message.ok_or_else(gone).and_then(|message| Kept::read(&message)).map_err(CommandError::Request)?;
        Ok(accepted(&kept, true))
    }

    /// The last sequence of these subjects and the command there. A malformed message, or one in the name of another
    /// operator, counts as no command: it must not block a release.
    async fn last_command(&self, subjects: &str) -> Result<(u64, Option<Kept<Command>>), CommandError> {
        let found = nats::last(self.context, stream::COMMAND, subjects).await.map_err(CommandError::Request)?;
        let Some(message) = found else { return Ok((0, None)) };
        let (sequence, boiler) = (message.sequence, &self.ask.boiler);
        match Kept::<Command>::read(&message) {
            Ok(kept) if kept.value.is_at(&message.subject) => Ok((sequence, Some(kept))),
            Ok(_) => {
                tracing::warn!(%boiler, sequence, "ignoring command in another operator's name");
                Ok((sequence, None))
            }
            Err(error) => {
                tracing::warn!(%boiler, sequence, error = crate::logs::chain(&error), "ignoring malformed command");
                Ok((sequence, None))
            }
        }
    }

    async fn last<T: DeserializeOwned>(&self, stream: &str, subject: &str) -> Result<Option<Kept<T>>, CommandError> {
        nats::last_kept(self.context, stream, subject).await.map_err(CommandError::Request)
    }

    /// Publishes the decision as an event. The command itself is in COMMAND, so a lost event is only logged.
    async fn announce(&self, answer: &Answer) {
        let Ask { id, boiler, by, action, .. } = self.ask;
        let (body, mark) = match answer {
            Answer::Accepted(Accepted { again: true, .. }) => return,
            Answer::Accepted(Accepted { command, sequence, .. }) => {
                let valid_until = command.valid_until;
                let (id, by, action, sequence) = (id.clone(), by.clone(), *action, *sequence);
                (EventBody::CommandAccepted { id, by, action, valid_until, sequence }, format!("at-{sequence}"))
            }
            Answer::Refused(refusal) => {
                let (id, by, action, reason) = (id.clone(), by.clone(), *action, refusal.to_string());
                let mark = format!("refused-{:x}", clock::boottime_ns());
                (EventBody::CommandRefused { id, by, action, reason }, mark)
            }
        };
        let event = Event { boiler: boiler.clone(), created_at: self.clock.now().utc.unix_seconds(), body };
        let mark = format!("{boiler}-{id}-{mark}");
        if let Err(error) = nats::announce(self.context, EventKind::Command, &mark, &event).await {
            tracing::warn!(%boiler, %id, error = crate::logs::chain(&error), "the event was not stored");
        }
    }
}

/// With this header, the expected last sequence is that of these subjects instead of the message's own subject.
const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

fn accepted(kept: &Kept<Command>, again: bool) -> Answer {
    Answer::Accepted(Accepted { command: kept.value.clone(), sequence: kept.sequence, again })
}
