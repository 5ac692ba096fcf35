//! Commands into COMMAND: read, decide, publish under a condition, and decide anew where somebody was faster.
//!
//! A publish carries one condition on sequences, and two things must hold: nothing was decided about this boiler since
//! it was looked at, and this id was never used. Both rest on the one condition that the boiler's commands still end
//! where they ended *before* anything else was read: whoever stored the same id since has moved that end. So the order
//! of the reads is the proof, and it is in one place, `Desk::attempt`.
//!
//! | what may go wrong | what holds |
//! |---|---|
//! | two decide at the same time | one is refused by the server, looks again, and decides on what the other did |
//! | the acknowledgement is lost | the command's own subject is read back: it is there, or it is tried again |
//! | the same id again, even a year later | the command's own subject is not empty: the same answer, or a refusal |
//! | an impatient clicker | the same wish of the same person within 5 s is the same command |
//! | a click that arrives behind a release | the server knows its message id: it begins nothing |
//! | a release | carries no message id, so that nothing swallows it, and nothing is read for it that could be missing |
//! | a last command that cannot be read: junk, a newer version's, or a copy | counts as none; its sequence is the end |

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use serde::de::DeserializeOwned;
use thermowell_flow::command::{self as flow, Ask, Known, Limits, Refusal};
use thermowell_flow::published::{Action, Command, Event, EventBody, FreshnessLimits, State, Status};
use thermowell_wire::CentiCelsius;
use thermowell_wire::subject::{self, EventKind, stream};

use crate::clock::{self, Clock};
use crate::config::Config;
use crate::nats::{self, Connection, Doubt, Kept, NatsError, RequestError, User};
use crate::streams::CLICKS;

/// Times that somebody else may be faster. Each time something was accepted for this boiler, which ends most of what
/// could be asked: this many is a loop.
const CONFLICTS_MAX: u32 = 64;
/// Times that the server may not answer: six seconds of an impatient person.
const SILENT_MAX: u32 = 3;
/// Rooms are not wanted colder than this: pipes freeze.
const ROOM_MIN: CentiCelsius = CentiCelsius(5_00);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The server is away, or not one that we can use.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream is not there or does not answer.
    #[error("ask the server")]
    Request(#[source] RequestError),
    /// The server took nothing and did not say why.
    #[error("publish command {id}; ask again with --id {id}, and it counts once")]
    Unanswered {
        /// The command.
        id: String,
        /// What the client said last.
        #[source]
        source: PublishError,
    },
    /// Others are always faster.
    #[error("publish command {id}: others were faster {CONFLICTS_MAX} times; ask again")]
    Crowded {
        /// The command.
        id: String,
    },
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It stands in COMMAND.
    Accepted(Accepted),
    /// It breaks a rule.
    Refused(Refusal),
}

/// A command that stands in COMMAND.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// It.
    pub command: Command,
    /// Its sequence there.
    pub sequence: u64,
    /// It stood there before: the same id, or the same click.
    pub again: bool,
}

/// Asks for something; `clicked` where the id was made up for this call, so that the same wish is the same command.
///
/// # Errors
/// See [`CommandError`]: there is no answer, and asking again with the same id is safe.
pub async fn ask(config: &Config, ask: &Ask, clicked: bool) -> Result<Answer, CommandError> {
    if let Err(refusal) = flow::admit(&ask.boiler, &ask.by, &config.boiler_ids(), &config.operators) {
        return Ok(Answer::Refused(refusal));
    }
    let user = User::Operator(ask.by.to_string());
    let connection = Connection::reach(&config.nats, user).await.map_err(CommandError::Server)?;
    let clock = Clock::new(&config.clock);
    let desk = Desk { context: connection.context(), ask, clicked, clock, limits: limits(config) };
    let answer = desk.settle().await?;
    desk.announce(&answer).await;
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

struct Desk<'a> {
    context: &'a Context,
    ask: &'a Ask,
    clicked: bool,
    clock: Clock,
    limits: Limits,
}

impl Desk<'_> {
    async fn settle(&self) -> Result<Answer, CommandError> {
        let (mut conflicts, mut silent) = (0, 0);
        loop {
            let id = self.ask.id.to_string();
            // What we may have stored ourselves, without hearing of it, is no repetition.
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

    /// Reads, decides, publishes, once. The boiler's last command is read before all else: the condition of the publish
    /// makes everything that was read later still true.
    async fn attempt(&self, tried: bool) -> Result<Result<Answer, Doubt>, CommandError> {
        let (boiler, ask) = (&self.ask.boiler, self.ask);
        let (end, last) = self.last_command(&subject::commands(boiler)).await?;
        let own = subject::command(boiler, &ask.id);
        if let (_, Some(stored)) = self.last_command(&own).await? {
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
        // A release rests on nothing that is known.
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
        let message = self.condition(end);
        match nats::publish_if(self.context, &own, message, &command).await {
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

    /// By what the server knows the same click again. A release is never swallowed, and an id of the caller's own says
    /// better what is the same.
    fn click(&self) -> Option<String> {
        let Ask { boiler, by, action, length, .. } = self.ask;
        if !self.clicked || *action == Action::Release {
            return None;
        }
        let degrees = action.temperature().map(|celsius| format!("{celsius}/")).unwrap_or_default();
        Some(format!("{boiler}:{by}:{}:{degrees}{}s", action.word(), length.as_secs_f64()))
    }

    /// What stands under the id that was asked for.
    fn known_id(&self, stored: &Kept<Command>, again: bool) -> Answer {
        if self.ask.is(&stored.value) {
            return accepted(stored, again);
        }
        let other = flow::describe(&stored.value);
        Answer::Refused(Refusal::IdTaken { id: self.ask.id.clone(), other })
    }

    /// The command that the server took the click for.
    async fn same_click(&self, sequence: u64) -> Result<Answer, CommandError> {
        let message = nats::at(self.context, stream::COMMAND, sequence).await.map_err(CommandError::Request)?;
        let gone = || RequestError::new(format!("read message {sequence} of COMMAND"), "there is none");
        let kept = message.ok_or_else(gone).and_then(|message| Kept::read(&message)).map_err(CommandError::Request)?;
        Ok(accepted(&kept, true))
    }

    /// Where these subjects end, and the command that stands there. What nobody can read, and what the server copied,
    /// is no command: it must not keep anybody from a release.
    async fn last_command(&self, subjects: &str) -> Result<(u64, Option<Kept<Command>>), CommandError> {
        let found = nats::last(self.context, stream::COMMAND, subjects).await.map_err(CommandError::Request)?;
        let Some(message) = found else { return Ok((0, None)) };
        let (sequence, boiler) = (message.sequence, &self.ask.boiler);
        if nats::is_stored_copy(&message) {
            tracing::warn!(%boiler, sequence, "a command that nobody gave counts as none");
            return Ok((sequence, None));
        }
        match Kept::read(&message) {
            Ok(kept) => Ok((sequence, Some(kept))),
            Err(error) => {
                tracing::warn!(%boiler, sequence, error = crate::logs::chain(&error), "a command that counts as none");
                Ok((sequence, None))
            }
        }
    }

    async fn last<T: DeserializeOwned>(&self, stream: &str, subject: &str) -> Result<Option<Kept<T>>, CommandError> {
        nats::last_kept(self.context, stream, subject).await.map_err(CommandError::Request)
    }

    /// Says what was decided. What stands is in COMMAND, so an event that is not taken costs a line in the log.
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
            tracing::warn!(%boiler, %id, error = crate::logs::chain(&error), "the event was not taken");
        }
    }
}

/// With it, a sequence is expected of the last message of these subjects instead of the message's own.
const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

fn accepted(kept: &Kept<Command>, again: bool) -> Answer {
    Answer::Accepted(Accepted { command: kept.value.clone(), sequence: kept.sequence, again })
}
