//! Follows a stream: stored messages, then new ones, in every session.
//!
//! The consumer is an ephemeral pull consumer in memory, created again for each session. A plain subscription would
//! also deliver messages that JetStream refused. Not a file-backed durable consumer: after 3 of 465 power cuts its name
//! stayed unusable. Not an ordered consumer: it delivered nothing for 17 s after a server crash. The reader keeps its
//! position itself, not the server.

use std::convert::Infallible;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::{Context, Message};
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::{Phase, RETRY, RequestError};
use crate::logs::{self, Throttle};

/// The most messages of a chunk: 434,000 messages a second at a peak of 4.9 MB were measured with it.
pub const MESSAGES_MAX: usize = 500;
/// Messages per pull request. The client requests more when half of them are taken, so that the server sends one chunk
/// while the one before it is processed.
const PULL: usize = 2 * MESSAGES_MAX;
/// A server that is silent for two of these counts as gone.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Expiry of a pull request, so that the server soon drops those of a dead reader. The server requires at least two
/// heartbeats.
const EXPIRES: Duration = Duration::from_secs(4);
/// The server removes a consumer without pull requests after this time. Many times [`EXPIRES`], so that a live reader
/// keeps its consumer; not longer, because each session leaves one.
const INACTIVE: Duration = Duration::from_secs(30);

/// Messages of a stream in its order: stored ones, then new ones.
pub struct Messages {
    stream: Stream,
    pending: u64,
    operation: String,
}

/// Reads the messages of `subjects` in `stream`, starting with `from`.
///
/// # Errors
/// The consumer cannot be created.
pub async fn follow(
    context: &Context,
    stream: &str,
    subjects: Vec<String>,
    from: DeliverPolicy,
) -> Result<Messages, RequestError> {
    messages(context, stream, subjects, from, 1).await
}

/// Like [`follow`], with ten times the time-outs: for readers of stored messages, which can wait for a busy server.
///
/// # Errors
/// The consumer cannot be created.
pub async fn read_stored(
    context: &Context,
    stream: &str,
    subjects: Vec<String>,
    from: DeliverPolicy,
) -> Result<Messages, RequestError> {
    messages(context, stream, subjects, from, 10).await
}

async fn messages(
    context: &Context,
    stream: &str,
    subjects: Vec<String>,
    from: DeliverPolicy,
    patience: u32,
) -> Result<Messages, RequestError> {
    let config = Config {
        deliver_policy: from,
        ack_policy: AckPolicy::None,
        memory_storage: true,
        inactive_threshold: INACTIVE * patience,
        filter_subjects: subjects,
        ..Config::default()
    };
    let consumer = context.create_consumer_on_stream(config, stream).await;
    let consumer = consumer.map_err(|error| RequestError::new(format!("create a consumer of {stream}"), error))?;
    let pending = consumer.cached_info().num_pending;
    let operation = format!("read {stream}");
    let pulls = consumer.stream().max_messages_per_batch(PULL);
    let pulls = pulls.heartbeat(HEARTBEAT * patience).expires(EXPIRES * patience);
    match pulls.messages().await {
        Ok(stream) => Ok(Messages { stream, pending, operation }),
        Err(error) => Err(RequestError::new(operation, error)),
    }
}

impl Messages {
    /// How many messages were stored when the consumer was created.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// The next message. Cancel safe.
    ///
    /// # Errors
    /// The server ended the consumer, or is gone.
    pub async fn next(&mut self) -> Result<Message, RequestError> {
        match self.stream.next().await {
            Some(message) => message.map_err(|error| RequestError::new(self.operation.as_str(), error)),
            None => Err(self.ended()),
        }
    }

    /// The available messages, at least one and at most `most`. Cancel safe.
    ///
    /// # Errors
    /// The server ended the consumer, or is gone.
    pub async fn chunk(&mut self, most: usize) -> Result<Vec<Message>, RequestError> {
        let chunk = (&mut self.stream).ready_chunks(most).next().await;
        let chunk = chunk.ok_or_else(|| self.ended())?;
        let messages = chunk.into_iter().collect::<Result<Vec<_>, _>>();
        messages.map_err(|error| RequestError::new(self.operation.as_str(), error))
    }

    fn ended(&self) -> RequestError {
        RequestError::new(self.operation.as_str(), "the server ended the consumer")
    }
}

/// The sequence of a message in the stream that it was read from.
///
/// # Errors
/// The message has no JetStream metadata.
pub fn sequence(message: &Message) -> Result<u64, RequestError> {
    let info = message.info().map_err(|error| RequestError::new("read the sequence of a message", error))?;
    Ok(info.stream_sequence)
}

/// The number of messages after this one that the consumer has yet to deliver.
///
/// # Errors
/// The message has no JetStream metadata.
pub fn remaining(message: &Message) -> Result<u64, RequestError> {
    let info = message.info().map_err(|error| RequestError::new("read how many messages remain", error))?;
    Ok(info.pending)
}

/// Runs `work` in each session, and retries it in the same session when it fails; the log calls it `what`. Runs until
/// the process ends.
pub async fn in_each_session<W>(mut ready: watch::Receiver<Phase>, what: &str, work: impl Fn() -> W)
where
    W: Future<Output = Result<Infallible, RequestError>>,
{
    let mut failures = Throttle::default();
    while ready.wait_for(|phase| *phase != Phase::Down).await.is_ok() {
        tokio::select! {
            Err(error) = work() => {
                let error = logs::chain(&error);
                if let Some(tries) = failures.admits(error.clone()) {
                    tracing::warn!(tries, error, "{what} failed, retrying");
                }
                tokio::time::sleep(RETRY).await;
            }
            changed = ready.changed() => {
                failures.end();
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Reports the end of the work when dropped.
    struct Alive(mpsc::UnboundedSender<&'static str>);

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.send("ends").unwrap_or_default();
        }
    }

    async fn next(events: &mut mpsc::UnboundedReceiver<&'static str>) -> &'static str {
        timeout(LIMIT, events.recv()).await.unwrap_or(Some("timed out")).unwrap_or("closed")
    }

    #[tokio::test]
    async fn work_runs_in_each_session_and_is_retried_on_failure() {
        let (phase, ready) = watch::channel(Phase::Down);
        let (sender, mut events) = mpsc::unbounded_channel();
        let (fail, fails) = watch::channel(false);
        let worker = tokio::spawn(async move {
            let work = || async {
                sender.send("begins").unwrap();
                let _alive = Alive(sender.clone());
                fails.clone().wait_for(|fail| *fail).await.unwrap();
                Err(RequestError::new("work", "it fails"))
            };
            in_each_session(ready, "working", work).await;
        });
        // Let the worker run.
        tokio::task::yield_now().await;
        assert!(events.try_recv().is_err(), "there is no session");
        phase.send_replace(Phase::Up(1));
        assert_eq!(next(&mut events).await, "begins");
        phase.send_replace(Phase::Down);
        assert_eq!(next(&mut events).await, "ends");
        phase.send_replace(Phase::Up(2));
        assert_eq!(next(&mut events).await, "begins");
        phase.send_replace(Phase::Up(3));
        assert_eq!(next(&mut events).await, "ends", "a new session: messages read in the last one may be gone");
        assert_eq!(next(&mut events).await, "begins");
        fail.send_replace(true);
        assert_eq!(next(&mut events).await, "ends");
        fail.send_replace(false);
        assert_eq!(next(&mut events).await, "begins", "the session is the same");
        drop(phase);
        timeout(LIMIT, worker).await.expect("it ends with the process").unwrap();
        assert_eq!(next(&mut events).await, "ends");
        assert_eq!(next(&mut events).await, "closed");
    }
}
