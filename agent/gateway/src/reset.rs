//! Resets of lockouts: approvals by operators, the order by the agent, and its delivery to the device.
//!
//! The agent keeps no state across a restart: it reads the messages of COMMAND about the device's present fault again
//! whenever one is stored, the server is back, or the device reports another fault. The consumer is only a
//! notification that something was stored; the messages are then read one by one.

mod people;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use serde::de::DeserializeOwned;
use thermowell_flow::published::{Approval, Approved, Outcome, Reset};
use thermowell_flow::reset::{Effect, Found, Input, Ordered, Resets, Settings, Vote};
use thermowell_wire::line::Fault;
use thermowell_wire::subject::{self, EventKind, stream};
use thermowell_wire::{BoilerId, Occurrence, OperatorName};
use tokio::sync::{Notify, mpsc, watch};

use crate::clock::Clock;
use crate::config::Config;
use crate::logs::Throttle;
use crate::nats::{self, Doubt, Kept, Phase, RequestError};
use crate::report::Reporter;

pub use people::{Answer, ResetError, Standing, approve, status};

/// How long an order may be sent to the device: as long as a lease.
const VALID: Duration = Duration::from_secs(60);
/// Between two attempts to send it, or to query the server.
const AGAIN: Duration = Duration::from_secs(5);

/// The device's reports about faults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// The newest present fault.
    pub fault: Option<Fault>,
    /// Its last answer to a reset, with the fault that was reset.
    pub answered: Option<(Occurrence, Outcome)>,
}

/// The channels of a boiler's reset task.
#[derive(Debug)]
pub struct Station {
    pub seen: watch::Receiver<Seen>,
    /// Wakes when an approval or a reset of this boiler was stored.
    pub changed: Arc<Notify>,
    /// Orders for the device.
    pub orders: mpsc::Sender<Reset>,
}

/// Notifies each boiler's reset task when an approval or a reset was stored, in every session. Runs until the process
/// ends.
pub async fn follow(context: Context, ready: watch::Receiver<Phase>, boilers: HashMap<BoilerId, Arc<Notify>>) {
    nats::in_each_session(ready, "reading approvals", || notify(&context, &boilers)).await;
}

async fn notify(context: &Context, boilers: &HashMap<BoilerId, Arc<Notify>>) -> Result<Infallible, RequestError> {
    let subjects = |boiler| [subject::all_approvals(boiler).to_string(), subject::resets(boiler).to_string()];
    let subjects = boilers.keys().flat_map(subjects).collect();
    let mut messages = nats::follow(context, stream::COMMAND, subjects, DeliverPolicy::New).await?;
    // The consumer does not deliver earlier messages.
    boilers.values().for_each(|changed| changed.notify_one());
    loop {
        let message = messages.next().await?;
        if let Some(changed) = subject::boiler_of(&message.subject).and_then(|boiler| boilers.get(&boiler)) {
            changed.notify_one();
        }
    }
}

/// Orders one boiler's resets and sends them to the device. Runs until the process ends.
pub async fn keep(config: Arc<Config>, boiler: BoilerId, context: Context, reporter: Reporter, mut station: Station) {
    let clock = Clock::new(&config.clock);
    let mut resets = Resets::new(Settings {
        boiler: boiler.clone(),
        instance: config.gateway.clone(),
        approvals: config.reset.approvals,
        valid: clock.transport(VALID),
        again: clock.transport(AGAIN),
    });
    let (operators, approvals) = (config.operators.clone(), config.reset.approvals);
    let (orders, ignored) = (station.orders, Throttle::default());
    let mut executor = Executor { boiler, operators, approvals, context, reporter, orders, ignored };
    loop {
        let mut inputs = Vec::from([tokio::select! {
            changed = station.seen.changed() => {
                if changed.is_err() {
                    return;
                }
                let Seen { fault, answered } = *station.seen.borrow_and_update();
                Input::Device { fault, answered }
            }
            () = station.changed.notified() => Input::Changed,
            () = clock.sleep_until(resets.wake_at()) => Input::Wake,
        }]);
        while let Some(input) = inputs.pop() {
            let mut effects = Vec::new();
            resets.step(clock.now(), input, &mut effects);
            for effect in effects {
                inputs.extend(executor.carry_out(effect, &clock).await);
            }
        }
    }
}

struct Executor {
    boiler: BoilerId,
    operators: Vec<OperatorName>,
    approvals: u8,
    context: Context,
    reporter: Reporter,
    orders: mpsc::Sender<Reset>,
    /// Messages that were ignored, by subject. They are read again with each attempt.
    ignored: Throttle<String>,
}

impl Executor {
    /// Carries out an effect; its outcome is the next input.
    async fn carry_out(&mut self, effect: Effect, clock: &Clock) -> Option<Input> {
        match effect {
            Effect::Read(fault) => Some(self.read(fault).await),
            Effect::Order { reset, end, last } => Some(self.order(&reset, end, last).await),
            Effect::Hand(reset) => {
                // A full channel means that the boiler's task is busy; the order is sent again after AGAIN.
                drop(self.orders.try_send(*reset));
                None
            }
            Effect::Event(body) => {
                self.reporter.event(&self.boiler, EventKind::Reset, clock.now().utc, *body);
                None
            }
        }
    }

    async fn read(&mut self, fault: Occurrence) -> Input {
        match read(&self.context, &self.boiler, fault, &self.operators, &mut self.ignored).await {
            Ok(found) => {
                if found.reset.is_some()
                    && found.order(self.approvals).is_none()
                    && let Some(times) = self.ignored.admits_each(format!("approvals of {fault}"))
                {
                    tracing::warn!(boiler = %self.boiler, %fault, times, "ignoring reset with too few approvals");
                }
                Input::Found(Box::new(found))
            }
            Err(error) => {
                tracing::debug!(boiler = %self.boiler, error = crate::logs::chain(&error), "approvals not readable");
                Input::Unanswered
            }
        }
    }

    /// Two conditions, each checked by the server: the reset's subject has no order yet, so that it happens once; and
    /// nothing was stored since its approvals were read, so that it is stored after them, even if the server has lost
    /// its last seconds meanwhile.
    async fn order(&self, reset: &Reset, end: u64, last: u64) -> Input {
        let subject = subject::reset(&self.boiler, reset.fault);
        let message = PublishMessage::build().expected_last_subject_sequence(end).expected_last_sequence(last);
        match nats::publish_if(&self.context, &subject, message, reset).await {
            Ok(stored) => Input::Stored(stored.sequence),
            Err(Doubt::Conflict) => Input::Overtaken,
            Err(Doubt::Unknown(error)) => {
                tracing::debug!(boiler = %self.boiler, error = crate::logs::chain(&error), "order not acknowledged");
                Input::Unanswered
            }
        }
    }
}

/// Reads the messages of COMMAND about one fault. Only configured operators count.
///
/// # Errors
/// The server does not answer.
async fn read(
    context: &Context,
    boiler: &BoilerId,
    fault: Occurrence,
    operators: &[OperatorName],
    ignored: &mut Throttle<String>,
) -> Result<Found, RequestError> {
    // Read the stream's last sequence first. The order is conditional on it, so the server refuses the order if
    // anything was stored since.
    let last = nats::stream_state(context, stream::COMMAND).await?.last_sequence;
    let stored = nats::last(context, stream::COMMAND, &subject::reset(boiler, fault)).await?;
    let mut votes = Vec::new();
    for operator in operators {
        let subject = subject::approval(boiler, fault, operator);
        let Some(message) = nats::last(context, stream::COMMAND, &subject).await? else { continue };
        let Some(kept) = parsed::<Approval>(boiler, &message, ignored) else { continue };
        votes.push(Vote { approved: approved(operator, &kept), age: kept.age() });
    }
    let end = stored.as_ref().map_or(0, |message| message.sequence);
    let reset = match stored.as_ref().and_then(|message| parsed::<Reset>(boiler, message, ignored)) {
        Some(kept) => Some(ordered(context, boiler, kept, operators, ignored).await?),
        None => None,
    };
    Ok(Found { fault, last, votes, end, reset })
}

/// The parsed message; none for a malformed one.
fn parsed<T: DeserializeOwned>(
    boiler: &BoilerId,
    message: &StreamMessage,
    ignored: &mut Throttle<String>,
) -> Option<Kept<T>> {
    let subject = message.subject.as_str();
    let kept = Kept::read(message);
    if let Err(error) = &kept
        && let Some(times) = ignored.admits_each(subject.to_owned())
    {
        tracing::warn!(%boiler, subject, times, error = crate::logs::chain(error), "ignoring malformed message");
    }
    kept.ok()
}

fn approved(by: &OperatorName, kept: &Kept<Approval>) -> Approved {
    Approved { by: by.clone(), sequence: kept.sequence, at: kept.at.unix_seconds() }
}

/// The order with its approvals, each read at the sequence that the order names.
async fn ordered(
    context: &Context,
    boiler: &BoilerId,
    order: Kept<Reset>,
    operators: &[OperatorName],
    ignored: &mut Throttle<String>,
) -> Result<Ordered, RequestError> {
    let mut votes = Vec::new();
    for operator in operators {
        let Some(named) = order.value.approvals.iter().find(|named| named.by == *operator) else { continue };
        let Some(message) = nats::at(context, stream::COMMAND, named.sequence).await? else { continue };
        if message.subject.as_str() != subject::approval(boiler, order.value.fault, operator).as_str() {
            continue;
        }
        let Some(kept) = parsed::<Approval>(boiler, &message, ignored) else { continue };
        // If the calendar was set back, the age is 0.
        let age = Duration::from_nanos(u64::try_from(order.at.0 - kept.at.0).unwrap_or(0));
        votes.push(Vote { approved: approved(operator, &kept), age });
    }
    Ok(Ordered { sequence: order.sequence, reset: order.value, votes })
}
