//! Split-brain protection: of two live aggregators for the same boilers, one is active.
//!
//! Each STATE names its publisher, and each is published under the condition that the boiler's last STATE is still the
//! one that this aggregator knows. So two active aggregators detect each other at their next publish, whatever made
//! both active: a server that came back with an empty STATE, a process that hung while the other took over, a network
//! partition.
//!
//! | when | other live aggregator | what happens |
//! |---|---|---|
//! | a session begins | any | it is active already: we stand by |
//! | a publish is refused | its name sorts before ours | we stop, and stand by |
//! | | its name sorts after ours | we publish after it; its own next publish is refused, and it stops |
//!
//! The aggregator whose name sorts first never stops for the other, so one of them stays active; the other stops at its
//! second publish. It takes over when STATE is [`ALIVE`] old. One that lags publishes no STATE and so does not count as
//! alive: both may catch up, and detect each other at their first STATE. Snapshots are published under a condition too.
//! Two aggregators with the same name are not told apart, and both stay active: a name belongs to one gateway, and a
//! gateway runs one aggregator.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use thermowell_flow::published::State;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::logs::Throttle;
use crate::nats::{self, RETRY, RequestError, Stored};

/// The publisher of a state younger than this counts as alive.
const ALIVE: Duration = Duration::from_secs(5);

/// The outcome of a publish of STATE.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// Stored under this sequence.
    Stored(u64),
    /// Refused: the last STATE has this sequence, and the next publish may follow it.
    Retry(u64),
    /// Refused: this live aggregator takes precedence.
    Yield(String),
    /// No acknowledgement. The next publish reads the last STATE first.
    Unknown,
}

/// Publishes a boiler's STATE if its last one has the sequence `expected`; without `expected`, only reads the last one.
pub(super) async fn put(context: &Context, boiler: &BoilerId, expected: Option<u64>, state: &State) -> Put {
    let subject = subject::state(boiler).to_string();
    if let Some(expected) = expected {
        match nats::compare_and_set(context, &subject, expected, state).await {
            Stored::Yes(sequence) => return Put::Stored(sequence),
            Stored::Unknown => return Put::Unknown,
            Stored::Conflict => {}
        }
    }
    match nats::last(context, stream::STATE, &subject).await {
        Ok(None) => Put::Retry(0),
        Ok(Some(last)) => match alive(&last, &state.instance) {
            Some(rival) if takes_precedence(&rival, &state.instance) => Put::Yield(rival),
            Some(_) | None => Put::Retry(last.sequence),
        },
        Err(error) => {
            tracing::debug!(%boiler, error = crate::logs::chain(&error), "the last state could not be read");
            Put::Unknown
        }
    }
}

/// Waits while another instance keeps the STATE of any boiler fresh. Returns the sequences of the last STATES.
/// `rivals` are the names of all sessions.
pub(super) async fn stand_by(
    context: &Context,
    boilers: &[BoilerId],
    own: &str,
    rivals: &mut Throttle<String>,
) -> Result<BTreeMap<BoilerId, u64>, RequestError> {
    let mut is_counted = false;
    loop {
        let last = nats::last_of_each(context, stream::STATE, boilers, subject::state).await?;
        let Some(rival) = last.values().find_map(|last| alive(last, own)) else {
            return Ok(last.into_iter().map(|(boiler, last)| (boiler, last.sequence)).collect());
        };
        if !is_counted && let Some(times) = rivals.admits_each(rival.clone()) {
            tracing::warn!(rival, times, "another aggregator is active, standing by");
        }
        is_counted = true;
        tokio::time::sleep(RETRY).await;
    }
}

/// The publisher of this STATE, if it is another instance and alive.
fn alive(last: &StreamMessage, own: &str) -> Option<String> {
    live_publisher(&last.payload, nats::age_ns(last), own)
}

fn live_publisher(payload: &[u8], age_ns: i64, own: &str) -> Option<String> {
    let is_fresh = age_ns < i64::try_from(ALIVE.as_nanos()).unwrap_or(i64::MAX);
    let state = serde_json::from_slice::<State>(payload).ok()?;
    (is_fresh && state.instance != own).then_some(state.instance)
}

/// Whether `rival` stays active when both are.
fn takes_precedence(rival: &str, own: &str) -> bool {
    rival < own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_of_two_instances_takes_precedence() {
        for (a, b) in [("attic", "cellar"), ("g1", "g10"), ("", "g")] {
            assert!(takes_precedence(a, b) && !takes_precedence(b, a), "{a:?} and {b:?}");
        }
        assert!(!takes_precedence("g1", "g1"), "an instance does not yield to itself");
    }
}
