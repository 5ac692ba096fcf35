//! Connects to the broker once, for `thermowell check`.

use std::time::Duration;

use tokio::time::timeout;

use super::Message;
use super::link::{Arrival, Link, LinkError};
use super::readings::Readings;
use super::session::Session;
use super::topics::Topics;
use crate::config::{Config, Mqtt};

/// How long the broker may take to answer everything.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a broker that accepts our login lets us do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where descriptions are published.
    pub discovery: String,
    /// We may publish them.
    pub is_allowed: bool,
    /// Another client receives them: Home Assistant listens.
    pub has_listener: bool,
    /// Topics of values to which we may not publish.
    pub unwritable: Vec<String>,
    /// Topics to which we may not subscribe, as far as the broker reports it: Mosquitto's list of rights accepts each
    /// subscription, and leaves out its messages.
    pub unreadable: Vec<String>,
}

/// Connects with the login of `[mqtt]`, under a name of its own so that the front stays connected. Publishes an empty
/// description and an empty value of each boiler at topics that no client uses, and subscribes as the front does.
///
/// # Errors
/// See [`LinkError`]: the broker is away, rejects the login, or speaks an older version.
pub async fn probe(config: &Config, mqtt: &Mqtt) -> Result<Found, LinkError> {
    let identity = format!("thermowell-check-{}", std::process::id());
    let mut link = Link::open(mqtt, &identity, None).await?;
    let found = timeout(PATIENCE, find(&mut link, config, mqtt)).await.map_err(|_| LinkError::Silent(PATIENCE))?;
    // What it found holds without an orderly end, too.
    drop(timeout(PATIENCE, link.close()).await);
    found
}

async fn find(link: &mut Link, config: &Config, mqtt: &Mqtt) -> Result<Found, LinkError> {
    let (topics, session) = (Topics::new(config, mqtt), Session::new(config, mqtt));
    let message =
        |topic: &str| Message { topic: topic.to_owned(), payload: String::new(), retain: false, is_acknowledged: true };
    let discovery = topics.probe();
    let (is_allowed, has_listener) = link.deliver(message(&discovery)).await?;
    let (mut unwritable, mut unreadable) = (Vec::new(), Vec::new());
    for boiler in config.boiler_ids() {
        let topic = topics.of(&boiler, "check");
        if !link.deliver(message(&topic)).await?.0 {
            unwritable.push(topic);
        }
    }
    for filter in [session.births(), Readings::new(config).topics(), session.sets()].concat() {
        link.subscribe(vec![filter.clone()], true).await?;
        let refused = loop {
            if let Arrival::Subscribed { refused } = link.next().await? {
                break refused;
            }
        };
        unreadable.extend((refused > 0).then_some(filter));
    }
    Ok(Found { discovery, is_allowed, has_listener, unwritable, unreadable })
}
