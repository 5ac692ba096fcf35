//! What people see of a reset, and how they approve of it.

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
use crate::nats::{self, Connection, Doubt, NatsError, RequestError, User};

/// Times that the same person may be approving elsewhere, or the server may not answer.
const TRIES: u32 = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// The server is away, or not one that we can use.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream is not there or does not answer.
    #[error("ask the server")]
    Request(#[source] RequestError),
    /// No such boiler.
    #[error(transparent)]
    Unknown(command::Refusal),
    /// The server took nothing and did not say why.
    #[error("publish the approval; approve again, it counts once")]
    Unanswered {
        /// What the client said last; none where others were faster.
        #[source]
        source: Option<PublishError>,
    },
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The approval stands in COMMAND.
    Approved {
        /// It.
        approval: Approval,
        /// Its sequence there.
        sequence: u64,
        /// How many of different people stand now, this one included.
        stand: usize,
        /// How many are needed.
        needed: u8,
    },
    /// It breaks a rule.
    Refused(Refusal),
}

/// How the reset of a boiler stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The boiler.
    pub boiler: BoilerId,
    /// Seconds of real time since the boiler's last STATUS was made; `null` without one. The fault is as old.
    pub status_age_s: Option<f64>,
    /// The fault that it reports.
    pub fault: Option<Fault>,
    /// Its name, as `approve` takes it.
    pub occurrence: Option<Occurrence>,
    /// It is a lockout that can be reset from afar.
    pub remote: bool,
    /// The approvals that count now.
    pub approvals: Vec<Approved>,
    /// How many are needed.
    pub needed: u8,
    /// Who else could approve.
    pub missing: Vec<OperatorName>,
    /// The reset, where it was ordered.
    pub reset: Option<Reset>,
}

/// How the reset of `boiler` stands.
///
/// # Errors
/// See [`ResetError`].
pub async fn status(config: &Config, boiler: &BoilerId) -> Result<Report, ResetError> {
    command::admit_boiler(boiler, &config.boiler_ids()).map_err(ResetError::Unknown)?;
    let connection = Connection::reach(&config.nats, User::Inspector).await.map_err(ResetError::Server)?;
    let context = connection.context();
    let status = last_status(context, boiler).await?;
    let status_age_s = status.as_ref().map(|status| Clock::new(&config.clock).age_s(status.created_at));
    let fault = status.and_then(|status| status.device).and_then(|device| device.fault);
    let occurrence = fault.map(Occurrence::from);
    let found = match occurrence {
        Some(fault) => Some(read(context, boiler, fault, &config.operators).await.map_err(ResetError::Request)?),
        None => None,
    };
    let reset = found.as_ref().and_then(|found| found.order(config.reset.approvals)).map(|(_, reset)| reset.clone());
    let votes = found.map(|found| found.votes).unwrap_or_default();
    let fresh = votes.into_iter().filter(|vote| vote.age <= APPROVAL_AGE_MAX);
    let approvals: Vec<Approved> = fresh.map(|vote| vote.approved).collect();
    let has_approved = |name: &OperatorName| approvals.iter().any(|approved| approved.by == *name);
    let missing = config.operators.iter().filter(|name| !has_approved(name)).cloned().collect();
    Ok(Report {
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

/// Approves of the reset of `fault`, as `by`.
///
/// # Errors
/// See [`ResetError`]: there is no answer, and approving again is safe.
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
        let found = read(context, boiler, fault, &config.operators).await.map_err(ResetError::Request)?;
        // What we stored ourselves without hearing of it is no second approval.
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
        // The same person at two places at the same time is one person.
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

/// Says that somebody was not let approve.
async fn refused(context: &Context, clock: &Clock, approving: &Approving<'_>, refusal: Refusal) -> Answer {
    let Approving { boiler, fault, by, .. } = *approving;
    let body = EventBody::ResetRefused { fault, by: by.clone(), reason: refusal.to_string() };
    let mark = format!("{boiler}-{fault}-refused-{:x}", clock::boottime_ns());
    let event = Event { boiler: boiler.clone(), created_at: clock.now().utc.unix_seconds(), body };
    announce(context, &mark, &event).await;
    Answer::Refused(refusal)
}

/// Says that an approval stands.
async fn announced(context: &Context, config: &Config, approval: &Approval, sequence: u64, found: &Found) -> Answer {
    let Approval { boiler, fault, kind, by, created_at, .. } = approval.clone();
    let body = EventBody::ResetApproved { fault, kind, by: by.clone(), sequence };
    let mark = format!("{boiler}-{fault}-approved-at-{sequence}");
    announce(context, &mark, &Event { boiler, created_at, body }).await;
    let others = found.votes.iter().filter(|vote| vote.approved.by != by && vote.age <= APPROVAL_AGE_MAX).count();
    Answer::Approved { approval: approval.clone(), sequence, stand: others + 1, needed: config.reset.approvals }
}

/// The answer is the caller's and an approval is in COMMAND: an event that is not taken costs a line in the log.
async fn announce(context: &Context, mark: &str, event: &Event) {
    if let Err(error) = nats::announce(context, EventKind::Approval, mark, event).await {
        tracing::warn!(boiler = %event.boiler, error = crate::logs::chain(&error), "the event was not taken");
    }
}

async fn last_status(context: &Context, boiler: &BoilerId) -> Result<Option<Status>, ResetError> {
    let status = nats::last_kept(context, stream::STATUS, &subject::status(boiler)).await;
    Ok(status.map_err(ResetError::Request)?.map(|kept| kept.value))
}
