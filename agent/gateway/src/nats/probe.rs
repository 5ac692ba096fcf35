//! Probes whether a user may publish to a subject. This tests the running server, not its configuration.
//!
//! The probe is a publish that no stream stores, because it expects a stream that does not exist, on a subject that no
//! boiler can have. If it is forbidden, no subscriber receives it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::NATS_EXPECTED_STREAM;
use async_nats::{ConnectErrorKind, ConnectOptions, Event, HeaderMap, RequestErrorKind, ServerError};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::file::{self, Holds};
use super::login::transport;
use super::{NatsError, User};
use crate::config;

/// Time-out for each of login and answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The server's answer to the probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The login is rejected.
    Rejected,
    Forbidden,
    Allowed,
    /// No server, or no answer.
    Unknown,
}

/// Probes as `user`, with the key in the folder of the keys; without a user, with neither key nor name.
///
/// # Errors
/// The key cannot be read.
pub(crate) async fn may_publish(
    config: &config::Nats,
    user: Option<&User>,
    subject: &'static str,
) -> Result<Answer, NatsError> {
    let options = match (user, &config.keys) {
        (Some(user), Some(folder)) => {
            let path = user.seed_file(folder);
            let seed = file::read(&path, Holds::RoleKey(user.clone())).await.map_err(NatsError::File)?;
            transport(ConnectOptions::with_nkey(seed), config, user)
        }
        (Some(_) | None, _) => transport(ConnectOptions::new(), config, &User::Inspector),
    };
    let forbidden = Arc::new(Notify::new());
    let violation = forbidden.clone();
    let options = options.event_callback(move |event| {
        if matches!(&event, Event::ServerError(ServerError::Other(text)) if text.contains("Permissions Violation")) {
            violation.notify_one();
        }
        std::future::ready(())
    });
    let client = match timeout(PATIENCE, options.connect(&config.url)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) if error.kind() == ConnectErrorKind::AuthorizationViolation => return Ok(Answer::Rejected),
        Ok(Err(_)) | Err(_) => return Ok(Answer::Unknown),
    };
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_STREAM, "none");
    let question = client.request_with_headers(subject, headers, "".into());
    Ok(tokio::select! {
        biased;
        () = forbidden.notified() => Answer::Forbidden,
        answer = timeout(PATIENCE, question) => match answer {
            // Refused by a stream, or there is no stream: so it passed the permissions.
            Ok(Ok(_)) => Answer::Allowed,
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => Answer::Allowed,
            Ok(Err(_)) | Err(_) => Answer::Unknown,
        },
    })
}
