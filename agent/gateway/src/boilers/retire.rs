//! Retires a boiler: removes its subject from SAMPLES and FEED; its history expires.

use async_nats::jetstream::Context;
use thermowell_flow::published::{Event, EventBody};
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, EventKind, stream};

use super::{BoilerError, is_configured, last_written, must_be_known, settings};
use crate::clock::Clock;
use crate::config::Config;
use crate::nats::{self, Connection, RequestError, User};

/// A boiler whose last message is younger than this counts as alive: more than three times the longest interval between
/// two batches.
const ALIVE_S: u64 = 10;

/// Removes `id` from SAMPLES and FEED, if `confirmed`. Returns a text for the user.
///
/// # Errors
/// See [`BoilerError`]; then nothing was done, except with [`BoilerError::Request`], after which it can be repeated.
pub async fn retire(config: &Config, id: &BoilerId, confirmed: bool) -> Result<String, BoilerError> {
    let connection = Connection::reach(&config.nats, User::Installer).await.map_err(BoilerError::Server)?;
    let context = connection.context();
    must_be_known(context, id).await?;
    if is_configured(config, id) {
        return Err(BoilerError::Configured { id: id.clone() });
    }
    let last = last_written(context, id).await.map_err(BoilerError::Request)?;
    if let Some((_, age_s)) = last.filter(|(_, age_s)| *age_s < ALIVE_S) {
        return Err(BoilerError::Alive { id: id.clone(), age_s });
    }
    let (samples, feed) = (subject::samples(id).to_string(), subject::feed(id).to_string());
    must_not_be_last(context, id, stream::SAMPLES, &samples).await?;
    must_not_be_last(context, id, stream::FEED, &feed).await?;
    if !confirmed {
        return Err(BoilerError::Unconfirmed { id: id.clone() });
    }
    // The event first, so that an unfinished run leaves a trace. It can be repeated.
    let last = last.map_or(0, |(sequence, _)| sequence);
    let body = EventBody::Retired { last, gateway: config.gateway.clone() };
    let created_at = Clock::new(&config.clock).now().utc.unix_seconds();
    let event = Event { boiler: id.clone(), created_at, body };
    let mark = format!("retired-{id}-{last}");
    nats::announce(context, EventKind::Boiler, &mark, &event).await.map_err(BoilerError::Request)?;
    remove_subject(context, stream::FEED, &feed).await.map_err(BoilerError::Request)?;
    remove_subject(context, stream::SAMPLES, &samples).await.map_err(BoilerError::Request)?;
    Ok(format!(
        "boiler {id} is retired: SAMPLES no longer accepts its samples.\n\
         Stored data stays: samples for 3 days, snapshots and events until their streams drop them.\n"
    ))
}

async fn must_not_be_last(
    context: &Context,
    id: &BoilerId,
    stream: &'static str,
    subject: &str,
) -> Result<(), BoilerError> {
    let found = settings(context, stream).await.map_err(BoilerError::Request)?;
    match found {
        Some(found) if found.subjects == [subject] => Err(BoilerError::Last { id: id.clone(), stream }),
        Some(_) | None => Ok(()),
    }
}

async fn remove_subject(context: &Context, name: &str, subject: &str) -> Result<(), RequestError> {
    let Some(mut found) = settings(context, name).await? else { return Ok(()) };
    if !found.subjects.iter().any(|other| other == subject) {
        return Ok(());
    }
    found.subjects.retain(|other| other != subject);
    let operation = || format!("remove {subject} from stream {name}");
    context.update_stream(found).await.map_err(|error| RequestError::new(operation(), error))?;
    // A role that updated the stream from an older read would restore the subject.
    let exists = settings(context, name).await?.is_some_and(|now| now.subjects.iter().any(|other| other == subject));
    if exists {
        return Err(RequestError::new(operation(), "another gateway changed the stream at the same time"));
    }
    Ok(())
}
