//! `thermowell boiler`: list and retire boilers, and accept a replacement board.
//!
//! A boiler's id is its subject, and its subject is its history: neither is ever changed. Roles only add subjects to
//! SAMPLES; `retire` alone removes one.

mod accept;
mod list;
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
pub use list::{List, list};
pub use retire::retire;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum BoilerError {
    /// The server is down or unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream is missing or the server does not answer.
    #[error("query the server")]
    Request(#[source] RequestError),
    #[error("SAMPLES has no boiler {id}; it has {known}")]
    Unknown { id: BoilerId, known: String },
    /// It is still in use here.
    #[error("boiler {id} is still in this configuration: remove its [[boiler]], restart the services, then retire it")]
    Configured { id: BoilerId },
    /// It is still in use elsewhere.
    #[error("the last message of boiler {id} is {age_s} s old: an agent still runs with it, stop that first")]
    Alive { id: BoilerId, age_s: u64 },
    /// A stream needs at least one subject.
    #[error("boiler {id} is the only one in {stream}: delete the stream instead, if its history may be deleted too")]
    Last { id: BoilerId, stream: &'static str },
    #[error(
        "nothing was done: this removes {id} from SAMPLES; its samples and snapshots stay until they expire; add --yes \
         to do it"
    )]
    Unconfirmed { id: BoilerId },
    /// The configuration names another board.
    #[error(
        "the configuration binds boiler {id} to the board {bound}: set serial_number = \"{serial_number}\" there, \
         restart the agent, then accept the board"
    )]
    Bound { id: BoilerId, bound: String, serial_number: String },
    /// It would be accepted, and stay refused.
    #[error(
        "the board that answers as boiler {id} now is {board}, not {serial_number}: correct the number, or connect \
         that board first"
    )]
    Other { id: BoilerId, board: String, serial_number: String },
    #[error("boiler {id} has no samples: the first board that answers is accepted without this command")]
    NoHistory { id: BoilerId },
    /// The last message is not from an agent.
    #[error("message {sequence} of boiler {id} in SAMPLES is no batch: it has a foreign writer")]
    Unreadable { id: BoilerId, sequence: u64 },
    /// There is nothing to accept.
    #[error("the history of boiler {id} is already from the board {serial_number}")]
    Own { id: BoilerId, serial_number: String },
    #[error(
        "nothing was done: this lets the board {serial_number} continue the history of {id} after the last slot of the \
         previous board, which is refused from then on; add --yes to do it"
    )]
    UnconfirmedBoard { id: BoilerId, serial_number: String },
}

/// The configuration of one of our streams; none if it does not exist.
async fn settings(context: &Context, name: &str) -> Result<Option<StreamConfig>, RequestError> {
    let mark = nats::mark();
    match context.get_stream(name).await {
        Ok(found) => Ok(Some(found.cached_info().config.clone())),
        Err(error) if crate::streams::is_absent(&error) => Ok(None),
        Err(error) => Err(RequestError::of_api(format!("read stream {name}"), mark, &nats::info_of(name), error)),
    }
}

/// The last message of `subject`. A missing stream has none: memory streams are gone after a restart of the server,
/// until a role creates them again.
pub(crate) async fn last(
    context: &Context,
    stream: &str,
    subject: &str,
) -> Result<Option<StreamMessage>, RequestError> {
    match settings(context, stream).await? {
        Some(_) => nats::last(context, stream, subject).await,
        None => Ok(None),
    }
}

/// The same, parsed; a message that this version cannot parse counts as absent.
pub(crate) async fn last_known<T: DeserializeOwned>(
    context: &Context,
    stream: &str,
    subject: &str,
) -> Result<Option<T>, RequestError> {
    let last = last(context, stream, subject).await?;
    Ok(last.and_then(|message| serde_json::from_slice(&message.payload).ok()))
}

/// The boilers in SAMPLES, sorted.
async fn in_samples(context: &Context) -> Result<Vec<BoilerId>, RequestError> {
    let found = settings(context, stream::SAMPLES).await?;
    let subjects = found.map(|found| found.subjects).unwrap_or_default();
    let mut ids: Vec<BoilerId> = subjects.iter().filter_map(|subject| subject::boiler_of(subject)).collect();
    ids.sort();
    Ok(ids)
}

/// Refuses a boiler that is not in SAMPLES.
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
