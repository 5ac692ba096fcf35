//! `thermowell mqtt remove`: deletes what the broker keeps of boilers, so that Home Assistant forgets them.
//!
//! It never happens by itself: at an end of the front, or for a boiler that has left the configuration, the entities
//! become unavailable and keep their history.

use std::time::Duration;

use serde::Serialize;
use thermowell_wire::BoilerId;
use tokio::time::timeout;

use super::Message;
use super::link::{Link, LinkError};
use super::topics::Topics;
use crate::config::{Config, Mqtt};
use crate::output::Report;

/// How long the broker may take for all messages.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was deleted.
#[derive(Debug, Serialize)]
pub struct Removed {
    broker: String,
    boilers: Vec<BoilerId>,
    /// Topics whose retained message was deleted.
    topics: Vec<String>,
    /// Topics to which the broker lets us publish nothing.
    denied: usize,
}

impl Removed {
    /// Whether the broker took everything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.denied == 0
    }
}

/// Deletes the description and the availability of `boilers`; without any, those of every configured boiler and of the
/// gateway itself.
///
/// # Errors
/// See [`LinkError`].
pub async fn remove(config: &Config, mqtt: &Mqtt, boilers: &[BoilerId]) -> Result<Removed, LinkError> {
    let topics = Topics::new(config, mqtt);
    let is_all = boilers.is_empty();
    let boilers = if is_all { config.boiler_ids() } else { boilers.to_vec() };
    let mut names: Vec<String> =
        boilers.iter().flat_map(|boiler| [topics.config(boiler), topics.availability(boiler)]).collect();
    if is_all {
        names.push(topics.gateway());
    }
    let identity = format!("thermowell-remove-{}", std::process::id());
    let mut link = Link::open(mqtt, &identity, None).await?;
    let mut denied = 0;
    let all = async {
        for name in &names {
            let (is_allowed, _) = link.deliver(Message::retained(name.clone(), "")).await?;
            denied += usize::from(!is_allowed);
        }
        Ok(())
    };
    timeout(PATIENCE, all).await.map_err(|_| LinkError::Silent(PATIENCE))??;
    drop(timeout(PATIENCE, link.close()).await);
    Ok(Removed { broker: mqtt.broker.to_string(), boilers, topics: names, denied })
}

impl Report for Removed {
    fn text(&self) -> String {
        let boilers: Vec<&str> = self.boilers.iter().map(BoilerId::as_str).collect();
        let mut text = format!("removed from the broker at {}: {}\n", self.broker, boilers.join(", "));
        if !self.is_complete() {
            text += &format!(
                "refused by the broker: {} of {} topics; correct its list of rights (ACL)\n",
                self.denied,
                self.topics.len()
            );
        }
        text + "A front that still has them in its configuration announces them again at its next connection.\n"
    }
}
