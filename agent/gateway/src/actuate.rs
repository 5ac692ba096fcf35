//! Reads the controller's leases in stream order.
//!
//! It starts with new messages: after a reconnect the next renewal counts, not an old lease.
//!
//! The channel of a boiler whose task is busy drops its oldest leases, because a newer one replaces what an older one
//! asked for: a lost release is followed by newer leases.

use std::collections::HashMap;
use std::convert::Infallible;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use thermowell_flow::published::Lease;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::logs::Throttle;
use crate::nats::{self, Phase, RequestError};

/// Capacity of a boiler's channel. The controller renews every few seconds: one would do.
const LEASES: usize = 4;

/// The leases for one boiler's task.
#[derive(Debug)]
pub struct Leases {
    boiler: BoilerId,
    leases: broadcast::Receiver<Lease>,
    dropped: Throttle<()>,
    replaced: u64,
}

impl Leases {
    /// A boiler's channel, and the end that [`follow`] sends to.
    #[must_use]
    pub fn channel(boiler: BoilerId) -> (broadcast::Sender<Lease>, Self) {
        let (sender, leases) = broadcast::channel(LEASES);
        (sender, Self { boiler, leases, dropped: Throttle::default(), replaced: 0 })
    }

    /// The next lease. Waits forever if there will be none.
    pub async fn next(&mut self) -> Lease {
        loop {
            match self.leases.recv().await {
                Ok(lease) => return lease,
                Err(RecvError::Lagged(leases)) => {
                    self.replaced += leases;
                    if let Some(times) = self.dropped.admits(()) {
                        tracing::warn!(boiler = %self.boiler, times, leases, "newer leases have replaced waiting ones");
                    }
                }
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Leases that newer ones replaced since the start.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Drops the leases that wait.
    pub fn clear(&mut self) {
        self.leases = self.leases.resubscribe();
    }
}

/// Sends each boiler's new leases to its channel, in every session. Runs until the process ends.
pub async fn follow(
    context: Context,
    ready: watch::Receiver<Phase>,
    boilers: HashMap<BoilerId, broadcast::Sender<Lease>>,
) {
    nats::in_each_session(ready, "reading leases", || read(&context, &boilers)).await;
}

async fn read(
    context: &Context,
    boilers: &HashMap<BoilerId, broadcast::Sender<Lease>>,
) -> Result<Infallible, RequestError> {
    let subjects = boilers.keys().map(|boiler| subject::setpoint(boiler).to_string()).collect();
    let mut messages = nats::follow(context, stream::LEASE, subjects, DeliverPolicy::New).await?;
    let mut malformed = Throttle::default();
    loop {
        let message = messages.next().await?;
        let Some((boiler, channel)) = subject::boiler_of(&message.subject).and_then(|id| boilers.get_key_value(&id))
        else {
            continue;
        };
        match nats::parse::<Lease>(&message.payload) {
            // Without a receiver, this boiler has stopped.
            Ok(lease) => drop(channel.send(lease)),
            Err(error) => {
                if let Some(times) = malformed.admits(boiler) {
                    tracing::warn!(subject = %message.subject, times, %error, "ignoring malformed lease");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use thermowell_wire::line::Demand;
    use thermowell_wire::{Boot, Slot};

    use super::*;

    fn lease(seq: u64) -> Lease {
        Lease {
            demand: Demand::Heat,
            flow: 55.0,
            lease_s: 60,
            based_on: Slot::new(Boot(7), seq),
            instance: "g".to_owned(),
            created_at: 0.0,
            version: 1,
        }
    }

    #[tokio::test]
    async fn full_channel_keeps_the_newest_leases() {
        let (sender, mut leases) = Leases::channel("b1".parse().unwrap());
        for n in 0..10 {
            sender.send(lease(n)).unwrap();
        }
        for n in 6..10 {
            assert_eq!(leases.next().await, lease(n));
        }
        assert_eq!(leases.replaced(), 6);
        sender.send(lease(10)).unwrap();
        leases.clear();
        sender.send(lease(11)).unwrap();
        assert_eq!(leases.next().await, lease(11), "what came before is gone");
    }
}
