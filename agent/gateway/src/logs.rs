//! The log lines of errors, decisions and events, and the throttling of repeated lines.

mod sentence;

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use thermowell_flow::published::EventBody;
use thermowell_flow::{agent, aggregator, controller};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::EventKind;

use crate::clock::boottime_ns;
use crate::quantity::show_measured;

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

/// Throttles repeated lines: the 1st, 2nd, 4th, 8th … of each cause is logged. The count restarts after
/// [`Throttle::end`], and for a cause that did not occur for a minute: a weekly failure is logged each time.
#[derive(Clone, Debug)]
pub struct Throttle<C> {
    counts: Vec<Count<C>>,
    /// Of all causes.
    total: u32,
    last_ns: u64,
}

#[derive(Clone, Debug)]
struct Count<C> {
    cause: C,
    count: u32,
    last_ns: u64,
}

/// The most causes that are counted separately. Further ones count as the last of them.
const CAUSES_MAX: usize = 8;
/// Without a failure for this long, the next one starts a new count: failures are retried every few seconds at least.
const CALM_NS: u64 = 60_000_000_000;

impl<C> Default for Throttle<C> {
    fn default() -> Self {
        Self { counts: Vec::new(), total: 0, last_ns: 0 }
    }
}

impl<C: PartialEq> Throttle<C> {
    /// Counts a failure. Returns the count over all causes if its line is to be logged.
    pub fn admits(&mut self, cause: C) -> Option<u32> {
        self.admits_at(cause, boottime_ns())
    }

    fn admits_at(&mut self, cause: C, now_ns: u64) -> Option<u32> {
        let began = |last_ns: u64| now_ns.saturating_sub(last_ns) > CALM_NS;
        self.total = if began(self.last_ns) { 1 } else { self.total.saturating_add(1) };
        self.last_ns = now_ns;
        let known = self.counts.iter().position(|known| known.cause == cause);
        let index = known.unwrap_or(self.counts.len()).min(CAUSES_MAX - 1);
        if index == self.counts.len() {
            self.counts.push(Count { cause, count: 0, last_ns: now_ns });
        }
        let known = &mut self.counts[index];
        known.count = if began(known.last_ns) { 1 } else { known.count.saturating_add(1) };
        known.last_ns = now_ns;
        known.count.is_power_of_two().then_some(self.total)
    }

    /// Resets the count. Returns how many failures there were.
    pub fn end(&mut self) -> u32 {
        self.counts.clear();
        std::mem::take(&mut self.total)
    }
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

/// Logs a decision of the aggregator.
pub fn aggregator(boiler: &BoilerId, log: &aggregator::Log) {
    let line = sentence::aggregator(log);
    match log {
        aggregator::Log::Unexplained { .. } => tracing::error!(%boiler, "{line}"),
        aggregator::Log::Malformed { .. }
        | aggregator::Log::Discarded { .. }
        | aggregator::Log::SteppedBack { .. }
        | aggregator::Log::SnapshotDiffers { .. }
        | aggregator::Log::AnotherIsAhead { .. }
        | aggregator::Log::BacklogFull { .. } => tracing::warn!(%boiler, "{line}"),
        aggregator::Log::Seen { .. } => tracing::info!(%boiler, "{line}"),
    }
}

/// Logs a decision of the controller.
pub fn controller(boiler: &BoilerId, log: &controller::Log) {
    let line = sentence::controller(log);
    match log {
        controller::Log::RoomMissing
        | controller::Log::RoomFrozen
        | controller::Log::OutdoorMissing { .. }
        | controller::Log::Lockout { .. }
        | controller::Log::Refused
        | controller::Log::Cycling
        | controller::Log::Unfit { .. } => tracing::warn!(%boiler, "{line}"),
        controller::Log::Rule { .. }
        | controller::Log::RoomBack
        | controller::Log::Ordered { .. }
        | controller::Log::OrderEnded { .. } => tracing::info!(%boiler, "{line}"),
    }
}

/// Logs an event that is published to EVENT.
pub fn event(boiler: &BoilerId, kind: EventKind, body: &EventBody) {
    tracing::info!(%boiler, event = kind.token(), "{}", sentence::event(body));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_admits_powers_of_two_per_cause() {
        let mut throttle = Throttle::default();
        let admitted =
            |throttle: &mut Throttle<u32>, cause, times| (0..times).filter_map(|_| throttle.admits(cause)).count();
        assert_eq!(admitted(&mut throttle, 1, 100), 7);
        assert_eq!(admitted(&mut throttle, 2, 1), 1, "a new cause is logged");
        assert_eq!(admitted(&mut throttle, 1, 28), 1, "the count of the first cause continues");
        assert_eq!(throttle.end(), 129);
        assert_eq!(admitted(&mut throttle, 1, 1), 1);
        let many: usize = (10..1_000).map(|cause| admitted(&mut throttle, cause, 1)).sum();
        assert!(many < 20, "causes that never repeat are throttled too: {many}");
    }

    #[test]
    fn weekly_failure_is_logged_each_time() {
        let (mut throttle, second) = (Throttle::default(), 1_000_000_000);
        let week = 7 * 86_400 * second;
        for n in 1..10 {
            assert_eq!(throttle.admits_at("consumer", n * week), Some(1), "{n}");
            assert_eq!(throttle.admits_at("consumer", n * week + second), Some(2), "{n}");
            assert_eq!(throttle.admits_at("consumer", n * week + 2 * second), None, "{n}");
        }
        let often = (0..100).filter_map(|n| throttle.admits_at("often", 20 * week + n * second)).count();
        assert_eq!(often, 7);
        assert_eq!(
            throttle.admits_at("consumer", 20 * week + 100 * second),
            Some(101),
            "it did not occur for a minute"
        );
    }
}
