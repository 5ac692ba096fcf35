//! The operators' side of a reset: show its status, approve it.

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use serde::Serialize;
use thermowell_flow::command;
use thermowell_flow::published::{Approval, Approved, Event, EventBody, FreshnessLimits, Reset, Status};
use thermowell_flow::reset::{self as flow, APPROVAL_AGE_MAX, Approving, Found, Refusal};
use thermowell_wire::line::Fault;
use thermowell_wire::subject::{self, EventKind, stream};
use thermowell_wire::{BoilerId, Occurrence, OperatorName};

use super::read;
use crate::clock::{self, Clock};
use crate::config::Config;
use crate::logs::Throttle;
use crate::nats::{self, Connection, Doubt, NatsError, RequestError, User};

/// Attempts after a conflict with another approval of the same person, or without an answer.
const TRIES: u32 = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The server is down or unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream is missing or the server does not answer.
    #[error("query the server")]
    Request(#[source] RequestError),
    #[error(transparent)]
    Unknown(command::Refusal),
    /// The server acknowledged nothing and gave no reason.
    #[error("publish the approval; approve again, it counts once")]
    Unanswered {
        /// None if all attempts ended in conflicts.
        #[source]
        source: Option<PublishError>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The approval is stored in COMMAND.
    Approved {
        approval: Approval,
        /// Its sequence there.
        sequence: u64,
        /// Valid approvals by different people, this one included.
        stand: usize,
        needed: u8,
    },
    /// It breaks a rule.
    Refused(Refusal),
}

/// The status of a boiler's reset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    pub boiler: BoilerId,
    /// Age of the boiler's last STATUS in seconds of real time, and so of the fault; `null` without one.
    pub status_age_s: Option<f64>,
    pub fault: Option<Fault>,
    /// The fault's name, as `approve` takes it.
    pub occurrence: Option<Occurrence>,
    /// It is a lockout that can be reset remotely.
    pub remote: bool,
    /// The valid approvals.
    pub approvals: Vec<Approved>,
    pub needed: u8,
    /// Operators who have not approved.
    pub missing: Vec<OperatorName>,
    /// The reset, if it was ordered.
    pub reset: Option<Reset>,
}

/// The status of the reset of `boiler`.
///
/// # Errors
/// See [`ResetError`].
pub async fn status(config: &Config, boiler: &BoilerId) -> Result<Standing, ResetError> {
    command::admit_boiler(boiler, &config.boiler_ids()).map_err(ResetError::Unknown)?;
    let connection = Connection::reach(&config.nats, User::Inspector).await.map_err(ResetError::Server)?;
    let context = connection.context();
    let status = last_status(context, boiler).await?;
    let status_age_s = status.as_ref().map(|status| Clock::new(&config.clock).age_s(status.created_at));
    let fault = status.and_then(|status| status.device).and_then(|device| device.fault);
    let occurrence = fault.map(Occurrence::from);
    let found = match occurrence {
        Some(fault) => Some(found(config, context, boiler, fault).await?),
        None => None,
    };
    let reset = found.as_ref().and_then(|found| found.order(config.reset.approvals)).map(|(_, reset)| reset.clone());
    let votes = found.map(|found| found.votes).unwrap_or_default();
    let fresh = votes.into_iter().filter(|vote| vote.age <= APPROVAL_AGE_MAX);
    let approvals: Vec<Approved> = fresh.map(|vote| vote.approved).collect();
    let has_approved = |name: &OperatorName| approvals.iter().any(|approved| approved.by == *name);
    let missing = config.operators.iter().filter(|name| !has_approved(name)).cloned().collect();
    Ok(Standing {
        boiler: boiler.clone(),
        status_age_s,
        fault,
        occurrence,
        remote: fault.is_some_and(|fault| fault.lockout && !fault.kind.is_local_only()),
        approvals,
        needed: config.reset.approvals,
        missing,
        reset,
    })
}

/// Approves the reset of `fault`, as `by`.
///
/// # Errors
/// See [`ResetError`]: there is no answer, and a retry is safe.
pub async fn approve(
    config: &Config,
    boiler: &BoilerId,
    fault: Occurrence,
    by: &OperatorName,
) -> Result<Answer, ResetError> {
    if let Err(refusal) = command::admit(boiler, by, &config.boiler_ids(), &config.operators) {
        return Ok(Answer::Refused(Refusal::Rule(refusal)));
    }
    let user = User::Operator(by.to_string());
    let connection = Connection::reach(&config.nats, user).await.map_err(ResetError::Server)?;
    let (context, own) = (connection.context(), subject::approval(boiler, fault, by));
    let clock = Clock::new(&config.clock);
    let (mut sent, mut silent) = (None, None);
    for _ in 0..TRIES {
        let last = nats::last(context, stream::COMMAND, &own).await.map_err(ResetError::Request)?;
        let found = found(config, context, boiler, fault).await?;
        // After a lost acknowledgement, our own stored approval is no second one.
        if let (Some(sent), Some(last)) = (&sent, &last)
            && last.payload == nats::json(sent)
        {
            return Ok(announced(context, config, sent, last.sequence, &found).await);
        }
        let status = last_status(context, boiler).await?;
        let approving = Approving {
            boiler,
            fault,
            by,
            operators: &config.operators,
            control: config.control.enabled,
            status: status.as_ref(),
            freshness: FreshnessLimits::at_speed(config.clock.speed),
            votes: &found.votes,
            reset: found.order(config.reset.approvals).map(|(_, reset)| reset),
        };
        let approval = match flow::approve(clock.now().utc, &approving) {
            Ok(approval) => approval,
            Err(refusal) => return Ok(refused(context, &clock, &approving, refusal).await),
        };
        // The condition makes two approvals of the same person at the same time count once.
        let expected = last.map_or(0, |last| last.sequence);
        let message = PublishMessage::build().expected_last_subject_sequence(expected);
        match nats::publish_if(context, &own, message, &approval).await {
            Ok(stored) => return Ok(announced(context, config, &approval, stored.sequence, &found).await),
            Err(Doubt::Conflict) => {}
            Err(Doubt::Unknown(error)) => silent = Some(error),
        }
        sent = Some(approval);
    }
    Err(ResetError::Unanswered { source: silent })
}

/// Publishes the refusal of an approval as an event.
async fn refused(context: &Context, clock: &Clock, approving: &Approving<'_>, refusal: Refusal) -> Answer {
    let Approving { boiler, fault, by, .. } = *approving;
    let body = EventBody::ResetRefused { fault, by: by.clone(), reason: refusal.to_string() };
    let mark = format!("{boiler}-{fault}-refused-{:x}", clock::boottime_ns());
    let event = Event { boiler: boiler.clone(), created_at: clock.now().utc.unix_seconds(), body };
    announce(context, &mark, &event).await;
    Answer::Refused(refusal)
}

/// Publishes an approval as an event.
async fn announced(context: &Context, config: &Config, approval: &Approval, sequence: u64, found: &Found) -> Answer {
    let Approval { boiler, fault, kind, by, created_at, .. } = approval.clone();
    let body = EventBody::ResetApproved { fault, kind, by: by.clone(), sequence };
    let mark = format!("{boiler}-{fault}-approved-at-{sequence}");
    announce(context, &mark, &Event { boiler, created_at, body }).await;
    let others = found.votes.iter().filter(|vote| vote.approved.by != by && vote.age <= APPROVAL_AGE_MAX).count();
    Answer::Approved { approval: approval.clone(), sequence, stand: others + 1, needed: config.reset.approvals }
}

/// The caller gets the answer and the approval is in COMMAND, so a lost event is only logged.
async fn announce(context: &Context, mark: &str, event: &Event) {
    if let Err(error) = nats::announce(context, EventKind::Approval, mark, event).await {
        tracing::warn!(boiler = %event.boiler, error = crate::logs::chain(&error), "the event was not stored");
    }
}

/// The messages of COMMAND about `fault`.
async fn found(config: &Config, context: &Context, boiler: &BoilerId, fault: Occurrence) -> Result<Found, ResetError> {
    let found = read(context, boiler, fault, &config.operators, &mut Throttle::default()).await;
    found.map_err(ResetError::Request)
}

async fn last_status(context: &Context, boiler: &BoilerId) -> Result<Option<Status>, ResetError> {
    let status = nats::last_kept(context, stream::STATUS, &subject::status(boiler)).await;
    Ok(status.map_err(ResetError::Request)?.map(|kept| kept.value))
}
