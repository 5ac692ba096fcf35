//! The login of a connection: address, key, encryption.
//!
//! The client gives up for good when the server rejects its login once, for example while keys are being replaced. An
//! agent must not give up: it holds samples. So with an nkey, each attempt first checks with a separate connection
//! whether the server accepts the key; while it does not, the attempt ends by its own time-out and is repeated.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Auth, AuthError, ConnectErrorKind, ConnectOptions, ReconnectToServer, Server};
use nkeys::KeyPair;

use super::file::{self, Holds, read_key};
use super::{ACK_TIMEOUT, NatsError, PING, RECONNECT_MAX, User};
use crate::config;
use crate::logs::Throttle;

/// Time-out of one attempt, including the check of the key.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The options of a connection that reconnects without limit.
pub(super) async fn options(config: &config::Nats, user: &User) -> Result<ConnectOptions, NatsError> {
    if let Some(tls) = &config.tls {
        file::check_tls(tls).await.map_err(NatsError::File)?;
    }
    let options = match seed_file(config, user) {
        Some((path, holds)) => {
            let (config, user) = (config.clone(), user.clone());
            by_key(Arc::new(KeyLogin { config, user, path, holds, failures: Mutex::default() })).await?
        }
        None => with_secrets(ConnectOptions::new(), config).await?,
    };
    Ok(transport(options, config, user).retry_on_initial_connect().reconnect_delay_callback(|attempt| {
        let exponent = u32::try_from(attempt.min(6)).unwrap_or(6);
        Duration::from_millis(10 << exponent).min(RECONNECT_MAX)
    }))
}

/// The file with the seed, if the login uses a key.
fn seed_file(config: &config::Nats, user: &User) -> Option<(PathBuf, Holds)> {
    let of_role = config.keys.as_ref().map(|folder| (user.seed_file(folder), Holds::RoleKey(user.clone())));
    of_role.or_else(|| config.nkey_file.clone().map(|path| (path, Holds::Nkey)))
}

/// An attempt without the pause that the client makes ahead of each: one of length zero still lasts a millisecond.
pub(super) fn at_once(servers: &[Server]) -> Option<ReconnectToServer> {
    let server = servers.first()?;
    Some(ReconnectToServer { addr: server.addr.clone(), delay: Some(Duration::ZERO) })
}

struct KeyLogin {
    config: config::Nats,
    user: User,
    path: PathBuf,
    holds: Holds,
    /// Throttles the log of attempts without an accepted key.
    failures: Mutex<Throttle<&'static str>>,
}

/// The seed is read at each attempt, so that keys replaced while the process runs are used.
async fn by_key(login: Arc<KeyLogin>) -> Result<ConnectOptions, NatsError> {
    // Fail at once if the key is unusable at the start.
    read_key(&login.path, login.holds.clone()).await.map_err(NatsError::File)?;
    Ok(ConnectOptions::with_auth_callback(move |nonce| {
        let login = login.clone();
        // A separate task, because the client needs a future that is `Sync`.
        let accepted = tokio::spawn(async move { login.accepted_key().await });
        async move {
            let Some(pair) = accepted.await.map_err(AuthError::new)? else {
                // Wait for the attempt's time-out: after an error here the client would give up.
                return std::future::pending().await;
            };
            let signature = pair.sign(&nonce).map_err(AuthError::new)?;
            let mut auth = Auth::new();
            (auth.nkey, auth.signature) = (Some(pair.public_key()), Some(signature));
            Ok(auth)
        }
    }))
}

impl KeyLogin {
    /// Our key, if the server accepts it now.
    async fn accepted_key(&self) -> Option<KeyPair> {
        let pair = match read_key(&self.path, self.holds.clone()).await {
            Ok(pair) => pair,
            Err(error) => {
                if let Some(tries) = self.failures().admits("no key") {
                    tracing::error!(tries, %error, "no key for the login to NATS, retrying");
                }
                return None;
            }
        };
        let options = transport(ConnectOptions::new(), &self.config, &self.user)
            .reconnect_to_server_callback(|servers, _| std::future::ready(at_once(&servers)));
        match options.nkey(pair.seed().ok()?).connect(&self.config.url).await {
            Err(error) if error.kind() == ConnectErrorKind::AuthorizationViolation => {
                if let Some(tries) = self.failures().admits("unknown key") {
                    let (user, file) = (self.user.to_string(), self.path.display());
                    let line = "the server rejects our key (permissions.conf?), retrying";
                    tracing::error!(user, %file, tries, "{line}");
                }
                None
            }
            // Accepted, or another error, which the attempt itself will report.
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
        options = options.credentials(&text).expect("`read` accepts only valid credentials");
    }
    if let (Some(user), Some(path)) = (&config.user, &config.password_file) {
        let password = file::read(path, Holds::Password).await.map_err(NatsError::File)?;
        options = options.user_and_password(user.clone(), password);
    }
    Ok(options)
}
