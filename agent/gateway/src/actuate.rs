//! Reads the controller's leases in stream order.
//!
//! It starts with new messages: after a reconnect the next renewal counts, not an old lease.

use std::collections::HashMap;
use std::convert::Infallible;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use thermowell_flow::published::Lease;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};
use tokio::sync::{mpsc, watch};

use crate::nats::{self, Phase, RequestError};

/// Sends each boiler's new leases to its channel, in every session. Runs until the process ends.
pub async fn follow(context: Context, ready: watch::Receiver<Phase>, boilers: HashMap<BoilerId, mpsc::Sender<Lease>>) {
    nats::in_each_session(ready, "reading leases", || read(&context, &boilers)).await;
}

async fn read(context: &Context, boilers: &HashMap<BoilerId, mpsc::Sender<Lease>>) -> Result<Infallible, RequestError> {
    let subjects = boilers.keys().map(|boiler| subject::setpoint(boiler).to_string()).collect();
    let mut messages = nats::follow(context, stream::LEASE, subjects, DeliverPolicy::New).await?;
    loop {
        let message = messages.next().await?;
        let Some(channel) = subject::boiler_of(&message.subject).and_then(|boiler| boilers.get(&boiler)) else {
            continue;
        };
        match serde_json::from_slice::<Lease>(&message.payload) {
            // A full channel means that the boiler's task is busy; the next renewal follows in seconds.
            Ok(lease) => drop(channel.try_send(lease)),
            Err(error) => tracing::warn!(subject = %message.subject, %error, "ignoring malformed lease"),
        }
    }
}
