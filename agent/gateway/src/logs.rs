//! The log lines of errors, decisions and events: `lines.txt` has each of them as the journal gets it.

mod journal;
pub mod level;
mod sentence;
mod throttle;

use std::error::Error;
use std::fmt::Write as _;
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use thermowell_flow::published::{EventBody, Link, Status};
use thermowell_flow::{agent, aggregator, controller};
use thermowell_wire::subject::EventKind;
use thermowell_wire::{BoilerId, Slot};

use crate::clock::boottime_ns;
use crate::quantity::show_measured;

pub use journal::start;
pub(crate) use sentence::delivers_less;
pub use throttle::Throttle;

/// An error and its causes on one line, each level once.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let level = error.to_string();
        if !text.ends_with(&level) {
            write!(text, ": {level}").expect("writing to a string does not fail");
        }
        cause = error.source();
    }
    text
}

/// The time since `since_ns` of CLOCK_BOOTTIME as text.
#[must_use]
pub fn elapsed(since_ns: u64) -> String {
    show_measured(Duration::from_nanos(boottime_ns().saturating_sub(since_ns)))
}

/// Logs a decision of the agent.
pub fn agent(boiler: &BoilerId, log: &agent::Log) {
    match log.level() {
        agent::Level::Info => tracing::info!(%boiler, "{log}"),
        agent::Level::Warn => tracing::warn!(%boiler, "{log}"),
    }
}

/// Logs a decision of the aggregator, throttled by its kind: there may be one for each message.
pub fn aggregator(boiler: &BoilerId, log: &aggregator::Log, throttle: &mut Throttle<Discriminant<aggregator::Log>>) {
    let Some(times) = throttle.admits_each(discriminant(log)) else { return };
    let line = sentence::aggregator(log);
    if matches!(log, aggregator::Log::Unexplained { .. }) {
        tracing::error!(%boiler, times, "{line}");
    } else if matches!(log, aggregator::Log::Seen { .. }) {
        tracing::info!(%boiler, times, "{line}");
    } else {
        tracing::warn!(%boiler, times, "{line}");
    }
}

/// Logs a decision of the controller.
pub fn controller(boiler: &BoilerId, log: &controller::Log) {
    use controller::Log;
    let line = sentence::controller(log);
    if matches!(
        log,
        Log::Rule { .. }
            | Log::RoomBack
            | Log::AmbientSound { .. }
            | Log::DeliversAgain(_)
            | Log::Ordered { .. }
            | Log::OrderEnded { .. }
    ) {
        tracing::info!(%boiler, "{line}");
    } else {
        tracing::warn!(%boiler, "{line}");
    }
}

/// Logs an event that is published to EVENT. A lockout needs attention: the boiler does not heat.
pub fn event(boiler: &BoilerId, kind: EventKind, body: &EventBody) {
    let (event, line) = (kind.token(), sentence::event(body));
    if matches!(body, EventBody::FaultBegan(report) | EventBody::FaultLockedOut(report) if report.lockout) {
        tracing::warn!(%boiler, event, "{line}");
    } else {
        tracing::info!(%boiler, event, "{line}");
    }
}

/// The sentence of an event.
pub(crate) fn sentence(body: &EventBody) -> String {
    sentence::event(body)
}

/// Logs that samples begin to flow.
pub fn samples_flow(boiler: &BoilerId, newest: Slot) {
    tracing::info!(%boiler, "samples flow, the newest is {newest}");
}

/// Whether samples of one boiler flow, by its statuses.
#[derive(Debug, Default)]
pub(crate) struct Flowing {
    newest: Option<Slot>,
    flows: bool,
}

impl Flowing {
    /// The newest slot, if it is the first new one since the link came up.
    pub(crate) fn begins(&mut self, status: &Status) -> Option<Slot> {
        let newest = status.newest.filter(|_| status.link == Link::Up);
        let begins = !self.flows && newest.is_some() && newest != self.newest;
        self.flows = status.link == Link::Up && (self.flows || begins);
        self.newest = status.newest;
        newest.filter(|_| begins)
    }
}

#[cfg(test)]
mod tests;
