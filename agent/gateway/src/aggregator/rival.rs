//! Another aggregator on the same boilers: of two that live, one works.
//!
//! Each STATE carries who published it, and each goes out under the condition that the boiler's STATE is still the
//! one that this aggregator knows. So whoever works beside another meets it at its next publish, however the two came
//! to work at the same time: a server that came back with an empty STATE, a process that hung while the other took
//! over, a network that was cut.
//!
//! | where | another one that is alive | what happens |
//! |---|---|---|
//! | a session begins | any | it works already: we stand by |
//! | a publish is refused | its name comes before ours | we stop, and stand by |
//! | | its name comes behind ours | it meets us at its next publish: we publish behind it |
//!
//! The one whose name comes first never stops for the other, so one goes on; the other stops at its second publish. It
//! takes over when STATE is [`ALIVE`] old. Two with one name take each other for themselves, and both work: a name is a
//! gateway's, and a gateway runs one aggregator.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use thermowell_flow::published::State;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::nats::{self, RETRY, RequestError, Stored};

/// Another aggregator whose state is younger than this is alive: we stand by.
const ALIVE: Duration = Duration::from_secs(5);

/// What became of a STATE.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It is there, under this sequence.
    Stored(u64),
    /// It is not: this stands there, and the next one may go behind it.
    Behind(u64),
    /// It is not: this aggregator is alive and goes on.
    Yield(String),
    /// Nobody knows. The next one reads what is there.
    Unknown,
}

/// Publishes a boiler's STATE behind `expected`; where nothing is known of it, only looks.
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
        Ok(None) => Put::Behind(0),
        Ok(Some(last)) => match alive(&last, &state.instance) {
            Some(rival) if goes_on(&rival, &state.instance) => Put::Yield(rival),
            Some(_) | None => Put::Behind(last.sequence),
        },
        Err(error) => {
            tracing::debug!(%boiler, error = crate::logs::chain(&error), "state is not known");
            Put::Unknown
        }
    }
}

/// Waits while another instance keeps the STATE of any boiler fresh.
pub(super) async fn stand_by(context: &Context, boilers: &[BoilerId], own: &str) -> Result<(), RequestError> {
    let mut said = false;
    while let Some(rival) = any_alive(context, boilers, own).await? {
        if !said {
            tracing::warn!(rival, "another aggregator is alive, standing by");
            said = true;
        }
        tokio::time::sleep(RETRY).await;
    }
    Ok(())
}

async fn any_alive(context: &Context, boilers: &[BoilerId], own: &str) -> Result<Option<String>, RequestError> {
    for boiler in boilers {
        let last = nats::last(context, stream::STATE, &subject::state(boiler)).await?;
        if let Some(rival) = last.and_then(|last| alive(&last, own)) {
            return Ok(Some(rival));
        }
    }
    Ok(None)
}

/// Who published this STATE, if that is another one and not long ago.
fn alive(last: &StreamMessage, own: &str) -> Option<String> {
    another(&last.payload, nats::age_ns(last), own)
}

fn another(payload: &[u8], age_ns: i64, own: &str) -> Option<String> {
    let is_fresh = age_ns < i64::try_from(ALIVE.as_nanos()).unwrap_or(i64::MAX);
    let state = serde_json::from_slice::<State>(payload).ok()?;
    (is_fresh && state.instance != own).then_some(state.instance)
}

/// Of two that work at the same time.
fn goes_on(rival: &str, own: &str) -> bool {
    rival < own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_different_ones_exactly_one_goes_on() {
        for (a, b) in [("attic", "cellar"), ("g1", "g10"), ("", "g")] {
            assert!(goes_on(a, b) && !goes_on(b, a), "{a:?} and {b:?}");
        }
        assert!(!goes_on("g1", "g1"), "nobody stops for himself");
    }
}
