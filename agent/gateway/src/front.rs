//! The dashboard: reads what is stored, and shows it to those who look, and to Home Assistant (`crate::mqtt`). It
//! writes nothing; a button of Home Assistant gives a command with the key of an operator.
//!
//! ```text
//!  streams ─▶ read ─▶ model ─▶ hub: each view once per tick ─▶ viewers
//!             1 Hz    no clock, no I/O     cards, chart, bars, rows
//!                           └─▶ mqtt: Home Assistant
//! ```
//!
//! A role of its own: the others keep their promises in processes that no browser reaches. Reading never waits for a
//! viewer, and drawing never waits for the server: a page shows by its own clock how old the data is.

mod bars;
mod cards;
mod chart;
mod hour;
mod hub;
mod model;
mod pages;
mod read;
mod rows;
mod svg;
#[cfg(test)]
pub(crate) mod testing;
pub mod top;
mod width;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Board;
use crate::mqtt::{Bridge, Seen, View};
use crate::nats::{Connection, NatsError, User};
use crate::run::Role;
use crate::shutdown::Shutdown;

use hub::{Hub, lock};
use model::Model;
use read::Reader;

/// How long the farewell to the MQTT broker may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why the dashboard stopped working.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The connection cannot be configured.
    #[error("connect")]
    Connect(#[source] NatsError),
    /// The client has stopped for good; a restart creates a new one.
    #[error("the NATS client gave up, because the server refused us; check [nats] and the server's users")]
    Refused,
}

/// The pages, and what they show. Clones are the same site.
#[derive(Clone, Debug)]
pub struct Site {
    model: Arc<Mutex<Model>>,
    hub: Arc<Hub>,
    clock: Clock,
}

impl Site {
    /// The site of this configuration's boilers; [`Site::run`] fills it.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let clock = Clock::new(&config.clock);
        let model = Arc::new(Mutex::new(Model::of(config, None)));
        let hub = Arc::new(Hub::new(model.clone(), clock.clone()));
        Self { model, hub, clock }
    }

    /// Its pages.
    pub fn router(&self) -> Router {
        pages::router(self.hub.clone())
    }

    /// Reads and draws until `shutdown` is requested.
    ///
    /// # Errors
    /// See [`FrontError`].
    pub async fn run(&self, config: &Config, board: &Arc<Board>, mut shutdown: Shutdown) -> Result<(), FrontError> {
        let connection = Connection::open(&config.nats, User::Front).await.map_err(FrontError::Connect)?;
        board.join_to_read(Role::Front.name(), &connection);
        let (clock, model, hub) = (self.clock.clone(), self.model.clone(), self.hub.clone());
        let bridge = Bridge::new(config, board);
        let reader =
            Reader { connection, clock, model, hub, reads_commands: bridge.is_some(), board: Some(board.clone()) };
        // A task of its own: nothing here waits for the broker, and it is told of the end.
        let (leave, stays) = Shutdown::manual();
        let bridge = bridge.map(|bridge| tokio::spawn(bridge.run(self.clone(), self.hub.follow(), stays)));
        let ended = tokio::select! {
            () = reader.run() => Err(FrontError::Refused),
            () = self.hub.run() => Ok(()),
            () = shutdown.requested() => Ok(()),
        };
        leave.request();
        if let Some(mut bridge) = bridge
            && timeout(FAREWELL, &mut bridge).await.is_err()
        {
            bridge.abort();
        }
        self.hub.close();
        ended
    }
}

impl View for Site {
    fn seen(&self) -> Vec<Seen> {
        let at = self.hub.moment();
        lock(&self.model).boilers.iter().map(|boiler| boiler.seen(&at)).collect()
    }
}
