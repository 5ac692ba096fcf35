//! How a connection gets in: address, key, encryption.
//!
//! The client gives up for ever when the server refuses it once, for example while keys are being exchanged. An agent
//! must not: it holds samples. So where an nkey is the way in, each attempt begins with a look whether the server knows
//! the key, and while it does not, the attempt ends by its own time-out and is made again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Auth, AuthError, ConnectErrorKind, ConnectOptions};
use nkeys::KeyPair;

use super::file::{self, Holds, read_key};
use super::{ACK_TIMEOUT, NatsError, PING, RECONNECT_MAX, User};
use crate::config;
use crate::logs::Throttle;

/// For one attempt, the look whether we are known included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The options of a connection that is kept for ever.
pub(super) async fn options(config: &config::Nats, user: &User) -> Result<ConnectOptions, NatsError> {
    if let Some(tls) = &config.tls {
        file::check_tls(tls).await.map_err(NatsError::File)?;
    }
    let options = match seed_file(config, user) {
        Some((path, holds)) => {
            let (config, user) = (config.clone(), user.clone());
            by_key(Arc::new(Way { config, user, path, holds, failures: Mutex::default() })).await?
        }
        None => with_secrets(ConnectOptions::new(), config).await?,
    };
    Ok(transport(options, config, user).retry_on_initial_connect().reconnect_delay_callback(|attempt| {
        let exponent = u32::try_from(attempt.min(6)).unwrap_or(6);
        Duration::from_millis(10 << exponent).min(RECONNECT_MAX)
    }))
}

/// The file with the seed of the key that lets us in, where a key is the way.
fn seed_file(config: &config::Nats, user: &User) -> Option<(PathBuf, Holds)> {
    let of_role = config.keys.as_ref().map(|folder| (user.seed_file(folder), Holds::RoleKey(user.clone())));
    of_role.or_else(|| config.nkey_file.clone().map(|path| (path, Holds::Nkey)))
}

struct Way {
    config: config::Nats,
    user: User,
    path: PathBuf,
    holds: Holds,
    /// Attempts in a row without a key that the server knows: what limits the log.
    failures: Mutex<Throttle<&'static str>>,
}

/// The seed is read at each attempt: keys that were exchanged under a running process are used.
async fn by_key(way: Arc<Way>) -> Result<ConnectOptions, NatsError> {
    // What is wrong from the beginning is said at once.
    read_key(&way.path, way.holds.clone()).await.map_err(NatsError::File)?;
    Ok(ConnectOptions::with_auth_callback(move |nonce| {
        let way = way.clone();
        // A task of its own, because the client wants a future that is `Sync`.
        let known = tokio::spawn(async move { way.known().await });
        async move {
            let Some(pair) = known.await.map_err(AuthError::new)? else {
                // Until the attempt times out: an error here would be the end of the client.
                return std::future::pending().await;
            };
            let signature = pair.sign(&nonce).map_err(AuthError::new)?;
            let mut auth = Auth::new();
            (auth.nkey, auth.signature) = (Some(pair.public_key()), Some(signature));
            Ok(auth)
        }
    }))
}

impl Way {
    /// Our key, if the server lets it in now.
    async fn known(&self) -> Option<KeyPair> {
        let pair = match read_key(&self.path, self.holds.clone()).await {
            Ok(pair) => pair,
            Err(error) => {
                if let Some(tries) = self.failures().admits("no key") {
                    tracing::error!(tries, %error, "no key to get into NATS with, trying again");
                }
                return None;
            }
        };
        let options = transport(ConnectOptions::new(), &self.config, &self.user);
        match options.nkey(pair.seed().ok()?).connect(&self.config.url).await {
            Err(error) if error.kind() == ConnectErrorKind::AuthorizationViolation => {
                if let Some(tries) = self.failures().admits("unknown key") {
                    let (user, file) = (self.user.to_string(), self.path.display());
                    let line = "the server does not know our key (permissions.conf?), trying again";
                    tracing::error!(user, %file, tries, "{line}");
                }
                None
            }
            // Let in; or something else is wrong, which the attempt itself will meet and name.
            Ok(_) | Err(_) => {
                self.failures().end();
                Some(pair)
            }
        }
    }

    fn failures(&self) -> MutexGuard<'_, Throttle<&'static str>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn transport(options: ConnectOptions, config: &config::Nats, user: &User) -> ConnectOptions {
    let mut options = options
        .name(format!("thermowell {user}"))
        .ping_interval(PING)
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(ACK_TIMEOUT));
    if config.keys.is_some() {
        options = options.custom_inbox_prefix(user.inbox());
    }
    if let Some(tls) = &config.tls {
        options = options.require_tls(true);
        if let Some(ca) = &tls.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        if tls.first {
            options = options.tls_first();
        }
    }
    options
}

async fn with_secrets(mut options: ConnectOptions, config: &config::Nats) -> Result<ConnectOptions, NatsError> {
    if let Some(path) = &config.credentials {
        let text = file::read(path, Holds::Credentials).await.map_err(NatsError::File)?;
        options = options.credentials(&text).expect("only credentials are read");
    }
    if let (Some(user), Some(path)) = (&config.user, &config.password_file) {
        let password = file::read(path, Holds::Password).await.map_err(NatsError::File)?;
        options = options.user_and_password(user.clone(), password);
    }
    Ok(options)
}
