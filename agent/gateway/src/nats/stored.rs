//! A stored message, parsed.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use serde::de::DeserializeOwned;
use thermowell_flow::published::Command;
use thermowell_flow::time::Utc;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::Subject;

use super::{RequestError, last, last_of_each};
use crate::clock;

/// The longest beginning and end of an error that are kept.
const SHOWN: [usize; 2] = [160, 40];

/// Why a message is malformed, on one line of bounded length: serde's words repeat the value, which may be as long as
/// the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// Parses a message.
///
/// # Errors
/// This version cannot parse it.
pub fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(payload).map_err(|error| Malformed(shortened(error.to_string())))
}

/// The command in a message of COMMAND. A malformed one, or one in the name of another operator than that of its
/// subject, counts as none: only the subject proves who published it.
#[must_use]
pub fn command_in(message: &StreamMessage) -> Option<Command> {
    parse::<Command>(&message.payload).ok().filter(|command| command.is_at(&message.subject))
}

fn shortened(text: String) -> String {
    let [begin, end] = SHOWN;
    let letters = text.chars().count();
    if letters <= begin + end {
        return text;
    }
    let ends = text.chars().skip(letters - end);
    text.chars().take(begin).chain(" … ".chars()).chain(ends).collect()
}

/// A stored message, parsed.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    pub sequence: u64,
    /// When the server stored it, by its calendar: real time, whatever the speed.
    pub at: Utc,
    pub value: T,
}

impl<T: DeserializeOwned> Kept<T> {
    /// Parses a message.
    ///
    /// # Errors
    /// This version cannot parse it.
    pub fn read(message: &StreamMessage) -> Result<Self, RequestError> {
        let sequence = message.sequence;
        let value = parse(&message.payload)
            .map_err(|error| RequestError::new(format!("parse message {sequence} of {}", message.subject), error))?;
        Ok(Self { sequence, at: stored_at(message), value })
    }
}

impl<T> Kept<T> {
    /// Its age. A time stamp ahead of our calendar counts as equally old, so that a step back makes no message young.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_nanos(clock::realtime_ns().saturating_sub(self.at.0).unsigned_abs())
    }

    #[must_use]
    pub fn into_numbered(self) -> (u64, T) {
        (self.sequence, self.value)
    }

    #[must_use]
    pub fn numbered(&self) -> (u64, &T) {
        (self.sequence, &self.value)
    }
}

/// The age of a message in nanoseconds; negative if the server's calendar is ahead of ours.
#[must_use]
pub fn age_ns(message: &StreamMessage) -> i64 {
    clock::realtime_ns().saturating_sub(stored_at(message).0)
}

/// When the server stored a message, by its calendar.
fn stored_at(message: &StreamMessage) -> Utc {
    Utc(i64::try_from(message.time.unix_timestamp_nanos()).unwrap_or(i64::MAX))
}

/// The last message of `subject` in `stream`, parsed, if there is one.
///
/// # Errors
/// The server does not answer, or this version cannot parse the message.
pub async fn last_kept<T: DeserializeOwned>(
    context: &Context,
    stream: &str,
    subject: &str,
) -> Result<Option<Kept<T>>, RequestError> {
    last(context, stream, subject).await?.as_ref().map(Kept::read).transpose()
}

/// The last message of the `subject` of each of `boilers` in `stream`: its sequence and, parsed, its value. An error is
/// a message that this version cannot parse: the trouble of its boiler alone. Boilers without one are left out.
///
/// # Errors
/// The server does not answer.
pub async fn last_kept_of_each<T: DeserializeOwned>(
    context: &Context,
    stream: &str,
    boilers: &[BoilerId],
    subject: fn(&BoilerId) -> Subject,
) -> Result<BTreeMap<BoilerId, Result<(u64, T), RequestError>>, RequestError> {
    let last = last_of_each(context, stream, boilers, subject).await?;
    Ok(last.into_iter().map(|(boiler, last)| (boiler, Kept::read(&last).map(Kept::into_numbered))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_about_a_long_value_is_short() {
        let payload = serde_json::to_vec(&"ä".repeat(1_000_000)).unwrap();
        let error = parse::<f64>(&payload).unwrap_err().to_string();
        assert!(error.starts_with("invalid type: string \"ää") && error.contains(" at line 1 column "), "{error}");
        assert!(error.chars().count() <= SHOWN.iter().sum::<usize>() + 3, "{error}");
        assert_eq!(parse::<f64>(b"{").unwrap_err().to_string(), "invalid type: map, expected f64 at line 1 column 0");
    }
}
