//! May somebody publish to a subject? The server is asked, not its configuration: what counts is what it does.
//!
//! The question is a publish that no stream stores, because it expects a stream that there is not, on a subject that no
//! boiler can have. Where it is forbidden, nobody hears anything of it.

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

/// For the login, and for the answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the server says to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Who asks is not let in.
    Shut,
    /// It is forbidden.
    Forbidden,
    /// It is allowed.
    Allowed,
    /// Nobody knows: no server, or no answer.
    Unknown,
}

/// Asks as `user`, whose key is in the folder of the keys; as nobody, with neither key nor name, where there is none.
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
    let told = forbidden.clone();
    let options = options.event_callback(move |event| {
        if matches!(&event, Event::ServerError(ServerError::Other(text)) if text.contains("Permissions Violation")) {
            told.notify_one();
        }
        std::future::ready(())
    });
    let client = match timeout(PATIENCE, options.connect(&config.url)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) if error.kind() == ConnectErrorKind::AuthorizationViolation => return Ok(Answer::Shut),
        Ok(Err(_)) | Err(_) => return Ok(Answer::Unknown),
    };
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_STREAM, "none");
    let question = client.request_with_headers(subject, headers, "".into());
    Ok(tokio::select! {
        biased;
        () = forbidden.notified() => Answer::Forbidden,
        answer = timeout(PATIENCE, question) => match answer {
            // A stream refuses it, or there is no stream: it was let through to where that is decided.
            Ok(Ok(_)) => Answer::Allowed,
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => Answer::Allowed,
            Ok(Err(_)) | Err(_) => Answer::Unknown,
        },
    })
}
