//! The dashboard: reads what is stored, and shows it to those who look. It writes nothing.
//!
//! ```text
//!  streams ─▶ read ─▶ model ─▶ hub: each view once per tick ─▶ viewers
//!             1 Hz    no clock, no I/O     cards, chart, bars, rows
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

use axum::Router;

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Board;
use crate::nats::{Connection, NatsError, User};
use crate::run::Role;
use crate::shutdown::Shutdown;

use hub::Hub;
use model::Model;
use read::Reader;

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
        let model = Arc::new(Mutex::new(Model::new(config.boiler_ids())));
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
    pub async fn run(&self, config: &Config, board: &Board, mut shutdown: Shutdown) -> Result<(), FrontError> {
        let connection = Connection::open(&config.nats, User::Front).await.map_err(FrontError::Connect)?;
        board.join_to_read(Role::Front.name(), &connection);
        let (clock, model, hub) = (self.clock.clone(), self.model.clone(), self.hub.clone());
        let reader = Reader { connection, clock, model, hub };
        let ended = tokio::select! {
            () = reader.run() => Err(FrontError::Refused),
            () = self.hub.run() => Ok(()),
            () = shutdown.requested() => Ok(()),
        };
        self.hub.close();
        ended
    }
}
