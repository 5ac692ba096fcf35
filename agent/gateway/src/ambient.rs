//! The streams' side of temperatures from sources outside of the boilers: the controller follows AMBIENT, and the front
//! publishes there what it reads from MQTT, in the name of a source.
//!
//! Neither holds up its role: the controller decides without a temperature that does not arrive, and a reading that
//! cannot be published is replaced by the next one.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{Context, Message};
use bytes::Bytes;
use thermowell_flow::published::AmbientReading;
use thermowell_wire::subject::{self, Ambient, stream};
use thermowell_wire::{BoilerId, SourceName};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;

use crate::config::{self, Config};
use crate::logs::{self, Throttle};
use crate::nats::{self, Connection, Doubt, RequestError, User};
use crate::streams::AMBIENT_KEPT;

/// Readings between a task and its role.
const QUEUE: usize = 16;
/// How long an acknowledgement may take: then the next reading is due.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);

/// What [`follow`] passes on.
#[derive(Debug)]
pub enum Arrived {
    /// A message of AMBIENT.
    Reading { subject: String, payload: Bytes },
    /// Everything that was stored at the begin has been passed on.
    CaughtUp,
}

/// The subjects of the configured sources.
#[must_use]
pub fn subjects(config: &Config) -> Vec<String> {
    config.ambient().map(|(id, what, ambient)| subject::ambient(id, what, &ambient.source).to_string()).collect()
}

/// A queue for [`follow`].
#[must_use]
pub fn queue() -> (Sender<Arrived>, Receiver<Arrived>) {
    mpsc::channel(QUEUE)
}

/// Follows `subjects` of AMBIENT, from the stored messages on.
///
/// # Errors
/// The server does not answer, or the stream cannot be read.
pub async fn follow(context: &Context, subjects: &[String], to: &Sender<Arrived>) -> Result<Infallible, RequestError> {
    let mut messages = nats::follow(context, stream::AMBIENT, subjects.to_vec(), DeliverPolicy::All).await?;
    // An error is the end of the role, and of this task with it.
    for _ in 0..messages.pending() {
        drop(to.send(reading(&messages.next().await?)).await);
    }
    drop(to.send(Arrived::CaughtUp).await);
    loop {
        drop(to.send(reading(&messages.next().await?)).await);
    }
}

fn reading(message: &Message) -> Arrived {
    Arrived::Reading { subject: message.subject.to_string(), payload: message.payload.clone() }
}

/// The last readings of a boiler: what AMBIENT has of them, for a controller that begins.
#[derive(Debug, Default)]
pub struct Recent(VecDeque<(Ambient, AmbientReading)>);

impl Recent {
    pub fn keep(&mut self, what: Ambient, reading: AmbientReading) {
        let is_same = |(other, _): &&(Ambient, AmbientReading)| *other == what;
        if self.0.iter().filter(is_same).count() >= AMBIENT_KEPT
            && let Some(oldest) = self.0.iter().position(|(other, _)| *other == what)
        {
            self.0.remove(oldest);
        }
        self.0.push_back((what, reading));
    }

    /// The oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (Ambient, &AmbientReading)> {
        self.0.iter().map(|(what, reading)| (*what, reading))
    }
}

/// A reading for AMBIENT.
#[derive(Debug)]
pub struct Outgoing {
    pub boiler: BoilerId,
    pub what: Ambient,
    pub reading: AmbientReading,
}

/// Publishes readings, each in the name of its source. Its tasks end when it is dropped.
#[derive(Debug)]
pub struct Publisher(BTreeMap<SourceName, Sender<Outgoing>>);

impl Publisher {
    /// For the sources that are read from MQTT.
    #[must_use]
    pub fn start(config: &Config) -> Self {
        let read = config.ambient().filter(|(_, _, ambient)| ambient.mqtt.is_some());
        let mut sources = BTreeMap::new();
        for (_, _, ambient) in read {
            sources.entry(ambient.source.clone()).or_insert_with(|| {
                let (sender, readings) = mpsc::channel(QUEUE);
                tokio::spawn(publish(
                    config.nats.clone(),
                    config.source(&ambient.source),
                    ambient.source.clone(),
                    readings,
                ));
                sender
            });
        }
        Self(sources)
    }

    /// Queues a reading. Returns false if there is no room: then the server is away, and it is dropped.
    #[must_use]
    pub fn send(&self, outgoing: Outgoing) -> bool {
        self.0.get(&outgoing.reading.source).is_some_and(|sender| sender.try_send(outgoing).is_ok())
    }
}

async fn publish(nats: config::Nats, user: User, source: SourceName, mut readings: Receiver<Outgoing>) {
    let mut failures = Throttle::default();
    let mut connection = None;
    while let Some(Outgoing { boiler, what, reading }) = readings.recv().await {
        if connection.is_none() {
            // A key that is made later is found with a later reading.
            connection = match Connection::open(&nats, user.clone()).await {
                Ok(open) => Some(open),
                Err(error) => {
                    failed(&mut failures, &source, logs::chain(&error));
                    None
                }
            };
        }
        let Some(open) = &connection else { continue };
        let subject = subject::ambient(&boiler, what, &source);
        let stored = nats::publish_if(open.context(), &subject, PublishMessage::build(), &reading);
        match timeout(ACKNOWLEDGED, stored).await {
            Ok(Ok(_)) => drop(failures.end()),
            Ok(Err(Doubt::Unknown(error))) => failed(&mut failures, &source, logs::chain(&error)),
            Ok(Err(Doubt::Conflict)) => {
                failed(&mut failures, &source, "the server expects another sequence".to_owned())
            }
            Err(_) => failed(&mut failures, &source, "the server does not answer".to_owned()),
        }
    }
}

fn failed(failures: &mut Throttle<String>, source: &SourceName, error: String) {
    if let Some(times) = failures.admits(error.clone()) {
        let advice = "thermowell check";
        tracing::warn!(%source, times, error, advice, "a temperature of MQTT was not published");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_readings_are_bounded_for_each_temperature() {
        let reading = |value: f64| AmbientReading { value, stamp: value, source: "hall".parse().unwrap(), version: 1 };
        let mut recent = Recent::default();
        recent.keep(Ambient::Outdoor, reading(-1.0));
        (0..100_u8).for_each(|n| recent.keep(Ambient::Room, reading(f64::from(n))));
        let kept: Vec<_> = recent.iter().map(|(what, reading)| (what, reading.value)).collect();
        let rooms = [95.0, 96.0, 97.0, 98.0, 99.0].map(|value| (Ambient::Room, value));
        assert_eq!((kept[0], &kept[1..]), ((Ambient::Outdoor, -1.0), &rooms[..]));
    }
}
