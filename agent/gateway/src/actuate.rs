//! Reads the controller's leases in the order in which the stream took them.
//!
//! A plain subscription would also deliver what JetStream refused; only a consumer of the stream sees what was
//! accepted. It begins with what is new: after a reconnect the next renewal counts, not an old wish. What the server
//! copied there for somebody is nobody's wish.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use futures_util::StreamExt as _;
use thermowell_flow::published::Lease;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};
use tokio::sync::{mpsc, watch};

use crate::nats::{self, Phase};

/// The pause before a consumer is made anew.
const RETRY: Duration = Duration::from_millis(500);

/// Hands each boiler's new leases to its channel, session after session. Ends with the process.
pub async fn follow(
    context: Context,
    mut ready: watch::Receiver<Phase>,
    boilers: HashMap<BoilerId, mpsc::Sender<Lease>>,
) {
    loop {
        if ready.wait_for(|phase| *phase != Phase::Down).await.is_err() {
            return;
        }
        tokio::select! {
            error = read(&context, &boilers) => {
                tracing::warn!(error = crate::logs::chain(error.as_ref()), "reading leases, trying again");
                tokio::time::sleep(RETRY).await;
            }
            _ = ready.changed() => {}
        }
    }
}

async fn read(context: &Context, boilers: &HashMap<BoilerId, mpsc::Sender<Lease>>) -> async_nats::Error {
    match follow_one(context, boilers).await {
        Ok(()) => "the server ended the consumer".into(),
        Err(error) => error,
    }
}

async fn follow_one(
    context: &Context,
    boilers: &HashMap<BoilerId, mpsc::Sender<Lease>>,
) -> Result<(), async_nats::Error> {
    let config = Config {
        deliver_policy: DeliverPolicy::New,
        ack_policy: AckPolicy::None,
        memory_storage: true,
        inactive_threshold: Duration::from_secs(30),
        filter_subjects: boilers.keys().map(|boiler| subject::setpoint(boiler).to_string()).collect(),
        ..Config::default()
    };
    let consumer = context.create_consumer_on_stream(config, stream::LEASE).await?;
    let mut messages =
        consumer.stream().heartbeat(Duration::from_secs(1)).expires(Duration::from_secs(10)).messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let Some(channel) = subject::boiler_of(&message.subject).and_then(|boiler| boilers.get(&boiler)) else {
            continue;
        };
        if nats::is_copy(message.headers.as_ref()) {
            tracing::warn!(subject = %message.subject, "a lease that no controller published was ignored");
            continue;
        }
        match serde_json::from_slice::<Lease>(&message.payload) {
            // A full channel means that the boiler is busy; the next renewal comes in seconds.
            Ok(lease) => drop(channel.try_send(lease)),
            Err(error) => tracing::warn!(subject = %message.subject, %error, "a lease that is none was ignored"),
        }
    }
    Ok(())
}
