//! Connects to the broker once, for `thermowell check`.

use std::time::Duration;

use tokio::time::timeout;

use super::Message;
use super::link::{Arrival, Link, LinkError};
use super::topics::Topics;
use crate::config::{Config, Mqtt};

/// How long the broker may take to acknowledge a message.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a broker that accepts our login does with a message of discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// We may publish it.
    pub is_allowed: bool,
    /// Another client receives it: Home Assistant listens.
    pub has_listener: bool,
}

/// Connects with the login of `[mqtt]`, under a name of its own so that the front stays connected, and publishes an
/// empty description, which changes nothing.
///
/// # Errors
/// See [`LinkError`]: the broker is away, rejects the login, or speaks an older version.
pub async fn probe(config: &Config, mqtt: &Mqtt) -> Result<Found, LinkError> {
    let identity = format!("thermowell-check-{}", std::process::id());
    let mut link = Link::open(mqtt, &identity, None).await?;
    let topic = Topics::new(config, mqtt).probe();
    let message = Message { topic, payload: String::new(), retain: false, is_acknowledged: true };
    link.send(message).await?;
    let acknowledged = async {
        loop {
            if let Arrival::Acknowledged { is_allowed, has_subscriber } = link.next().await? {
                return Ok(Found { is_allowed, has_listener: has_subscriber });
            }
        }
    };
    let found = timeout(PATIENCE, acknowledged).await.map_err(|_| LinkError::Silent(PATIENCE))?;
    // What it found holds without an orderly end, too.
    drop(timeout(PATIENCE, link.close()).await);
    found
}
