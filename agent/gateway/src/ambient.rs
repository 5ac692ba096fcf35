//! The streams' side of temperatures from sources outside of the boilers: the controller follows AMBIENT, and the front
//! publishes there what it reads from MQTT, in the name of a source.
//!
//! Neither holds up its role: the controller decides without a temperature that does not arrive, and a reading that
//! cannot be published is replaced by the next one.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{Context, Message};
use bytes::Bytes;
use thermowell_flow::published::AmbientReading;
use thermowell_wire::subject::{self, Ambient, stream};
use thermowell_wire::{BoilerId, SourceName};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::config::{self, Config};
use crate::logs::{self, Throttle};
use crate::nats::{self, Connection, Doubt, RequestError, User};
use crate::streams::AMBIENT_KEPT;

/// Readings between a task and its role.
const QUEUE: usize = 16;

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
pub struct Publisher {
    sources: BTreeMap<SourceName, Sender<Outgoing>>,
    counts: Arc<Counts>,
}

/// What became of the readings.
#[derive(Debug, Default)]
struct Counts {
    stored: AtomicU64,
    /// Without room in the queue, without a key, or not acknowledged.
    dropped: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Publisher {
    /// For the sources that are read from MQTT.
    #[must_use]
    pub fn start(config: &Config) -> Self {
        let read = config.ambient().filter(|(_, _, ambient)| ambient.mqtt.is_some());
        let (mut sources, counts) = (BTreeMap::new(), Arc::new(Counts::default()));
        for (_, _, ambient) in read {
            sources.entry(ambient.source.clone()).or_insert_with(|| {
                let (sender, readings) = mpsc::channel(QUEUE);
                let user = config.source(&ambient.source);
                tokio::spawn(publish(config.nats.clone(), user, ambient.source.clone(), readings, counts.clone()));
                sender
            });
        }
        Self { sources, counts }
    }

    /// Queues a reading. If there is no room, the server is away, and it is dropped.
    pub fn send(&self, outgoing: Outgoing) {
        let queue = self.sources.get(&outgoing.reading.source);
        if queue.is_none_or(|queue| queue.try_send(outgoing).is_err()) {
            count(&self.counts.dropped);
        }
    }

    /// How many readings were stored, and how many dropped.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.stored.load(Ordering::Relaxed), self.counts.dropped.load(Ordering::Relaxed))
    }
}

async fn publish(
    nats: config::Nats,
    user: User,
    source: SourceName,
    mut readings: Receiver<Outgoing>,
    counts: Arc<Counts>,
) {
    let mut failures = Throttle::default();
    let mut connection = None;
    while let Some(Outgoing { boiler, what, reading }) = readings.recv().await {
        if connection.is_none() {
            // Tried again with each reading. A unit's key is a copy that systemd makes when it starts.
            connection = match Connection::open(&nats, user.clone()).await {
                Ok(open) => Some(open),
                Err(error) => {
                    failed(&mut failures, &source, logs::chain(&error));
                    None
                }
            };
        }
        let Some(open) = &connection else {
            count(&counts.dropped);
            continue;
        };
        let subject = subject::ambient(&boiler, what, &source);
        let stored = nats::publish_if(open.context(), &subject, PublishMessage::build(), &reading).await;
        count(if stored.is_ok() { &counts.stored } else { &counts.dropped });
        match stored {
            Ok(_) => drop(failures.end()),
            Err(Doubt::Unknown(error)) => failed(&mut failures, &source, logs::chain(&error)),
            Err(Doubt::Conflict) => failed(&mut failures, &source, "the server expects another sequence".to_owned()),
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

    /// Nothing listens at the address.
    #[tokio::test]
    async fn reading_that_cannot_be_published_is_a_drop() {
        let text = "[nats]\nurl = \"nats://127.0.0.1:9\"\nkeys = \"/nonexistent\"\n[mqtt]\nurl = \"mqtt://h\"\n\
                    [[boiler]]\nid = \"b1\"\nport = \"/dev/a\"\n[boiler.room]\ntopic = \"hall\"";
        let publisher = Publisher::start(&Config::parse(text, "t.toml").unwrap());
        let source: SourceName = "mqtt".parse().unwrap();
        let reading = AmbientReading { value: 20.0, stamp: 7.0, source, version: 1 };
        publisher.send(Outgoing { boiler: "b1".parse().unwrap(), what: Ambient::Room, reading });
        let dropped = async {
            while publisher.counts() != (0, 1) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), dropped).await.expect("it is counted");
    }

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
