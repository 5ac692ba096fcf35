//! What a run has in its streams, and what a test publishes to them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::{Client, Subscriber, jetstream};
use serde::de::DeserializeOwned;
use thermowell_wire::subject::{self, stream};
use thermowell_wire::{BoilerId, Boot, batch};

use super::{House, Place};
use crate::nats::subscribed;

impl House {
    /// A new connection to the server of the run.
    ///
    /// # Errors
    /// The server does not run.
    pub async fn connect(&self) -> Result<Client, async_nats::ConnectError> {
        self.processes.broker.connect().await
    }

    /// Subscribes to a subject.
    ///
    /// # Errors
    /// The server does not run.
    pub(crate) fn listen(&self, subject: &str) -> Result<Subscriber> {
        self.wait_for(async {
            let client = self.connect().await.context("connect")?;
            subscribed(&client, subject).await
        })
    }

    /// The last message of a subject; `None` without server, stream or message.
    #[must_use]
    pub fn last(&self, stream: &str, subject: &str) -> Option<Vec<u8>> {
        self.wait_for(async {
            let context = jetstream::new(self.connect().await.ok()?);
            let message = thermowell::nats::last(&context, stream, subject).await.ok()??;
            Some(message.payload.to_vec())
        })
    }

    /// The last message of a subject with JSON.
    #[must_use]
    pub fn last_json<T: DeserializeOwned>(&self, stream: &str, subject: &str) -> Option<T> {
        serde_json::from_slice(&self.last(stream, subject)?).ok()
    }

    /// The end of SAMPLES for `boiler`: the slot after its last one; `None` without samples.
    ///
    /// # Panics
    /// The message has another layout.
    #[must_use]
    pub fn stored(&self, boiler: &BoilerId) -> Option<(Boot, u64)> {
        let tail = self.last(stream::SAMPLES, &subject::samples(boiler))?;
        let end = batch::decode(&tail).expect("SAMPLES holds our layout").end();
        Some((end.boot, end.seq))
    }

    /// Waits until SAMPLES has every slot that `boiler` has sampled by now. Returns the device's state at the call.
    ///
    /// # Panics
    /// SAMPLES does not have them within `limit`.
    pub fn until_stored(&mut self, boiler: &BoilerId, limit: Duration) -> Place {
        let place = self.until(&format!("{boiler} runs"), limit, |house| house.place(boiler));
        self.until(&format!("SAMPLES has {boiler} up to slot {}", place.next), limit, |house| {
            house.stored(boiler).filter(|(boot, next)| *boot == place.boot && *next >= place.next)
        });
        place
    }

    /// Waits until SAMPLES has every slot that each boiler has sampled by now.
    ///
    /// # Panics
    /// SAMPLES does not have them within `limit`.
    pub fn catch_up(&mut self, limit: Duration) {
        for boiler in self.boilers() {
            self.until_stored(&boiler, limit);
        }
    }

    /// Publishes to a stream, as the rig's own user, and waits for the acknowledgement.
    ///
    /// # Panics
    /// The server does not run, or no stream takes it.
    pub fn publish(&self, subject: impl ToString, payload: Vec<u8>) {
        self.wait_for(async {
            let context = jetstream::new(self.connect().await.expect("the server runs"));
            let sent = context.publish(subject.to_string(), payload.into()).await.expect("the server runs");
            sent.await.expect("a stream takes it");
        });
    }
}
