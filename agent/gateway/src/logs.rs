//! How errors look in a log line.

use std::error::Error;
use std::fmt::Write as _;

use thermowell_flow::{agent, aggregator, controller};
use thermowell_wire::BoilerId;

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

/// A line that the agent's decisions ask for.
pub fn agent(boiler: &BoilerId, log: &agent::Log) {
    match log.level() {
        agent::Level::Info => tracing::info!(%boiler, ?log, "agent"),
        agent::Level::Warn => tracing::warn!(%boiler, ?log, "agent"),
    }
}

/// A line that the aggregator's decisions ask for.
pub fn aggregator(boiler: &BoilerId, log: &aggregator::Log) {
    match log {
        aggregator::Log::Unexplained { .. } => tracing::error!(%boiler, ?log, "aggregator"),
        aggregator::Log::Malformed { .. }
        | aggregator::Log::Discarded { .. }
        | aggregator::Log::SteppedBack { .. }
        | aggregator::Log::SnapshotDiffers { .. }
        | aggregator::Log::AnotherIsAhead { .. }
        | aggregator::Log::BacklogFull { .. } => tracing::warn!(%boiler, ?log, "aggregator"),
        aggregator::Log::Seen { .. } => tracing::info!(%boiler, ?log, "aggregator"),
    }
}

/// A line that the controller's decisions ask for.
pub fn controller(boiler: &BoilerId, log: &controller::Log) {
    match log {
        controller::Log::RoomMissing
        | controller::Log::RoomFrozen
        | controller::Log::OutdoorMissing { .. }
        | controller::Log::Lockout { .. }
        | controller::Log::Refused
        | controller::Log::Cycling
        | controller::Log::Unfit { .. } => tracing::warn!(%boiler, ?log, "controller"),
        controller::Log::Rule { .. }
        | controller::Log::RoomBack
        | controller::Log::Ordered { .. }
        | controller::Log::OrderEnded { .. } => tracing::info!(%boiler, ?log, "controller"),
    }
}
