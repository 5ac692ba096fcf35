//! What an operator decides about a boiler as a whole: which ones there are, another board, another name, the end.
//!
//! A boiler's id is its subject, and its subject is its history: neither is ever changed. Subjects are only ever added
//! to SAMPLES by roles; `retire` is the one place that takes one away.

mod accept;
mod list;
mod rename;
mod retire;

use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::Config as StreamConfig;
use serde::de::DeserializeOwned;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::config::Config;
use crate::nats::{self, NatsError, RequestError};

pub use accept::accept;
pub use list::list;
pub use rename::rename;
pub use retire::retire;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum BoilerError {
    /// The server is away, or not one that we can use.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream is not there or does not answer.
    #[error("ask the server")]
    Request(#[source] RequestError),
    /// No such boiler.
    #[error("SAMPLES has no boiler {id}; it has {known}")]
    Unknown {
        /// What was asked for.
        id: BoilerId,
        /// The ids in SAMPLES.
        known: String,
    },
    /// It is still at work here.
    #[error(
        "boiler {id} is still in this configuration: take its [[boiler]] out, restart the services, and retire it then"
    )]
    Configured {
        /// The boiler.
        id: BoilerId,
    },
    /// It is still at work somewhere.
    #[error("boiler {id} was written {age_s} s ago: an agent still runs with it, stop that first")]
    Alive {
        /// The boiler.
        id: BoilerId,
        /// The age of its last message.
        age_s: u64,
    },
    /// A stream without subjects is no stream.
    #[error("boiler {id} is the only one in {stream}: delete the stream instead, if its history is to go as well")]
    Last {
        /// The boiler.
        id: BoilerId,
        /// The stream.
        stream: &'static str,
    },
    /// Nobody confirmed it.
    #[error(
        "nothing was done: this takes {id} out of SAMPLES, and its samples and snapshots stay until their age ends \
         them; add --yes to do it"
    )]
    Unconfirmed {
        /// The boiler.
        id: BoilerId,
    },
    /// The configuration knows better.
    #[error(
        "the configuration binds boiler {id} to the board {bound}: write serial_number = \"{serial_number}\" there, \
         restart the agent, and accept it then"
    )]
    Bound {
        /// The boiler.
        id: BoilerId,
        /// The serial number in the configuration.
        bound: String,
        /// The one that was asked for.
        serial_number: String,
    },
    /// Nothing to go on with.
    #[error("boiler {id} has no samples: the first board that answers is taken as it is")]
    NoHistory {
        /// The boiler.
        id: BoilerId,
    },
    /// The stream's end was not written by an agent.
    #[error("message {sequence} of boiler {id} in SAMPLES is no batch: somebody else wrote it")]
    Unreadable {
        /// The boiler.
        id: BoilerId,
        /// Its last message.
        sequence: u64,
    },
    /// There is nothing to accept.
    #[error("the history of boiler {id} is of the board {serial_number} already")]
    Own {
        /// The boiler.
        id: BoilerId,
        /// The board.
        serial_number: String,
    },
    /// Nobody confirmed another board.
    #[error(
        "nothing was done: this lets the board {serial_number} go on with the history of {id}, behind the last slot of \
         the board before, which is refused from its first message on; add --yes to do it"
    )]
    UnconfirmedBoard {
        /// The boiler.
        id: BoilerId,
        /// The board.
        serial_number: String,
    },
    /// A name that has a history of its own.
    #[error("there is a boiler {id} already, and two histories never become one: choose a name that has none")]
    Taken {
        /// The new name.
        id: BoilerId,
    },
}

/// The configuration of a stream of ours; none where there is no such stream.
async fn settings(context: &Context, name: &str) -> Result<Option<StreamConfig>, RequestError> {
    match context.get_stream(name).await {
        Ok(found) => Ok(Some(found.cached_info().config.clone())),
        Err(error) if crate::streams::is_absent(&error) => Ok(None),
        Err(error) => Err(RequestError::new(format!("read stream {name}"), error)),
    }
}

/// The last message of `subject`. A stream that is not there has none: those in memory are gone after a restart of the
/// server, until a role makes them again.
async fn last(context: &Context, stream: &str, subject: &str) -> Result<Option<StreamMessage>, RequestError> {
    match settings(context, stream).await? {
        Some(_) => nats::last(context, stream, subject).await,
        None => Ok(None),
    }
}

/// The same, understood; a message that this version does not understand counts as absent.
pub(crate) async fn last_known<T: DeserializeOwned>(
    context: &Context,
    stream: &str,
    subject: &str,
) -> Result<Option<T>, RequestError> {
    let last = last(context, stream, subject).await?;
    Ok(last.and_then(|message| serde_json::from_slice(&message.payload).ok()))
}

/// The boilers that SAMPLES has, in order.
async fn in_samples(context: &Context) -> Result<Vec<BoilerId>, RequestError> {
    let found = settings(context, stream::SAMPLES).await?;
    let subjects = found.map(|found| found.subjects).unwrap_or_default();
    let mut ids: Vec<BoilerId> = subjects.iter().filter_map(|subject| subject::boiler_of(subject)).collect();
    ids.sort();
    Ok(ids)
}

/// Refuses a boiler that SAMPLES does not have.
async fn must_be_known(context: &Context, id: &BoilerId) -> Result<(), BoilerError> {
    let known = in_samples(context).await.map_err(BoilerError::Request)?;
    if known.contains(id) {
        return Ok(());
    }
    let known = if known.is_empty() { "none".to_owned() } else { names(&known) };
    Err(BoilerError::Unknown { id: id.clone(), known })
}

fn names(ids: &[BoilerId]) -> String {
    ids.iter().map(BoilerId::as_str).collect::<Vec<_>>().join(", ")
}

fn is_configured(config: &Config, id: &BoilerId) -> bool {
    config.boilers.iter().any(|boiler| boiler.id == *id)
}

/// The last message of a boiler in SAMPLES: its sequence and its age in seconds of the server's calendar.
async fn last_written(context: &Context, id: &BoilerId) -> Result<Option<(u64, u64)>, RequestError> {
    let last = nats::last(context, stream::SAMPLES, &subject::samples(id)).await?;
    Ok(last.map(|last| (last.sequence, u64::try_from(nats::age_ns(&last) / 1_000_000_000).unwrap_or(0))))
}
