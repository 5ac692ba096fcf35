//! The connection to NATS: opened once per role, kept alive by the client, watched by the role.
//!
//! A role starts without waiting for the server: the client connects in the background and publishes, through
//! [`Connection::phase`], whether the server is connected, and the number of the connection.

pub(crate) mod certificate;
mod file;
mod follow;
mod forbidden;
mod in_order;
mod last_of_each;
mod login;
pub(crate) mod monitor;
mod outage;
pub(crate) mod probe;
mod request;
pub mod rights;
mod stored;
mod user;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, Event, ServerError};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config;

pub use async_nats::jetstream::message::StreamMessage;

pub use file::{FileError, user_pair};
pub use follow::{MESSAGES_MAX, Messages, follow, in_each_session, read_stored, remaining, sequence};
pub use forbidden::{DENIED, Forbidden, Mark, forbidden_since, mark};
pub use in_order::{InOrder, end, first_since, one_before};
pub use last_of_each::last_of_each;
pub(crate) use request::info_of;
pub use request::{Doubt, RequestError, Stored};
pub use request::{announce, at, compare_and_set, first_from, json, last, publish_if, stream_state};
pub use stored::{Kept, Malformed, age_ns, command_in, last_kept, last_kept_of_each, parse};
pub use user::User;

use forbidden::Record;
use outage::Outage;

/// The oldest server version against which the delivery rule was tested.
pub const SERVER_MIN: (i64, i64, i64) = (2, 15, 1);

/// A dead peer is detected after two of these; the client's default would need minutes.
const PING: Duration = Duration::from_secs(5);
/// Time-out of an acknowledgement. After it the outcome is *unknown*.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// Time-out of the login of a command. Roles wait forever.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest pause between two attempts to connect: a server that comes back is used within this time.
const RECONNECT_MAX: Duration = Duration::from_millis(500);
/// The pause before a failed request is retried. Short compared with everything that depends on it: a device's ring of
/// 120 s, a lease of 60 s, a rival that counts as alive for 5 s. Long compared with a round trip: otherwise a server
/// that refuses at once would be queried in a busy loop.
pub const RETRY: Duration = Duration::from_millis(500);
/// The most publishes in flight over one connection: one per boiler and stream, for 500 boilers.
const IN_FLIGHT_MAX: usize = 4_096;

/// Whether the server is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not connected.
    Down,
    /// Connected; the number increases with each connection.
    Up(u64),
}

/// Why the server is unusable.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// A file for the login is missing, not readable or damaged.
    #[error(transparent)]
    File(FileError),
    /// The address is invalid.
    #[error("connect to NATS at {url}")]
    Connect {
        url: String,
        #[source]
        source: async_nats::ConnectError,
    },
    /// No answer, or no login.
    #[error(
        "no NATS server accepts the login at {url} within {}; start it (systemctl start thermowell-nats), \
         set another url in [nats], or run `thermowell check`",
        config::show_duration(PATIENCE)
    )]
    Away { url: String },
    /// The server is older than the delivery rule needs.
    #[error(
        "the NATS server at {url} is version {found}, Thermowell needs {}.{}.{} or later",
        SERVER_MIN.0, SERVER_MIN.1, SERVER_MIN.2
    )]
    TooOld { url: String, found: String },
    /// The server runs without JetStream.
    #[error("the NATS server at {url} has no JetStream; add a `jetstream` block to its configuration")]
    NoJetStream { url: String },
}

impl NatsError {
    /// Whether only a change of the configuration or of its files helps, not a restart.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::File(error) => error.is_configuration(),
            Self::Connect { .. } => true,
            Self::Away { .. } | Self::TooOld { .. } | Self::NoJetStream { .. } => false,
        }
    }
}

/// A connection to NATS.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    context: Context,
    phase: watch::Receiver<Phase>,
    forbidden: watch::Receiver<Option<Forbidden>>,
    user: User,
    url: String,
}

impl Connection {
    /// Starts connecting in the background as `user`.
    ///
    /// # Errors
    /// Only errors for which retrying does not help: unreadable credentials, an invalid address.
    pub async fn open(config: &config::Nats, user: User) -> Result<Self, NatsError> {
        let (sender, phase) = watch::channel(Phase::Down);
        let (record, forbidden) = Record::new(user.to_string());
        let record = Arc::new(Mutex::new(record));
        let outage = Arc::new(Outage::new(&config.url));
        let tries = outage.clone();
        let options = login::options(config, &user).await?;
        // The client's events have only the kind of an error; its cause is in the list of servers passed here.
        let is_first = AtomicBool::new(true);
        let options = options.reconnect_to_server_callback(move |servers, _| {
            tries.tried(&servers);
            let is_first = is_first.swap(false, Ordering::Relaxed);
            std::future::ready(if is_first { login::at_once(&servers) } else { None })
        });
        let options = options.event_callback(move |event| {
            note(&sender, &record, &outage, &event);
            std::future::ready(())
        });
        let client = options
            .connect(&config.url)
            .await
            .map_err(|source| NatsError::Connect { url: config.url.clone(), source })?;
        // Without our keys there are no accounts.
        let api = config.keys.as_ref().map_or(rights::PLANT_API, |_| rights::api(&user));
        let context = jetstream::context::ContextBuilder::new()
            .api_prefix(api)
            .timeout(ACK_TIMEOUT)
            .ack_timeout(ACK_TIMEOUT)
            .max_ack_inflight(IN_FLIGHT_MAX)
            .build(client.clone());
        Ok(Self { client, context, phase, forbidden, user, url: config.url.clone() })
    }

    /// A connection for a command: connected, logged in, and the server is usable.
    ///
    /// # Errors
    /// See [`NatsError`].
    pub async fn reach(config: &config::Nats, user: User) -> Result<Self, NatsError> {
        let connection = Self::open(config, user).await?;
        let mut phase = connection.phase();
        let up = timeout(PATIENCE, phase.wait_for(|phase| matches!(phase, Phase::Up(_)))).await;
        if !up.is_ok_and(|up| up.is_ok()) {
            return Err(NatsError::Away { url: config.url.clone() });
        }
        connection.verify_server()?;
        Ok(connection)
    }

    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Whether the server is connected; changes wake the receiver.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// The last permission violation on this connection; changes wake the receiver.
    #[must_use]
    pub fn forbidden(&self) -> watch::Receiver<Option<Forbidden>> {
        self.forbidden.clone()
    }

    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Checks the server of the present connection.
    ///
    /// # Errors
    /// [`NatsError::TooOld`] and [`NatsError::NoJetStream`], which only an operator can correct.
    pub fn verify_server(&self) -> Result<(), NatsError> {
        let server = self.client.server_info();
        let (major, minor, patch) = SERVER_MIN;
        if !self.client.is_server_compatible(major, minor, patch) {
            return Err(NatsError::TooOld { url: self.url.clone(), found: server.version });
        }
        if !server.jetstream {
            return Err(NatsError::NoJetStream { url: self.url.clone() });
        }
        Ok(())
    }
}

fn note(sender: &watch::Sender<Phase>, record: &Mutex<Record>, outage: &Outage, event: &Event) {
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        Event::Connected => {
            record.begin();
            let mut generation = 0;
            sender.send_modify(|phase| {
                generation = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
                *phase = Phase::Up(generation);
            });
            outage.end(generation);
        }
        Event::Disconnected => {
            sender.send_replace(Phase::Down);
            outage.begin();
        }
        Event::Closed | Event::Draining | Event::LameDuckMode => tracing::info!(%event, "NATS connection"),
        Event::ServerError(ServerError::Other(text)) if record.take(text) => {}
        Event::SlowConsumer(_) | Event::ServerError(_) | Event::ClientError(_) => outage.report(event.to_string()),
    }
}

/// Numbers the connections of this process.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
