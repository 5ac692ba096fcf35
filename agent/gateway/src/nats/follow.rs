//! Reading a stream as it grows, session after session.
//!
//! The consumer is ephemeral, in memory, asked by pulls, and made anew for each session. A plain subscription would
//! also deliver what JetStream refused. Never a file-backed durable: after 3 of 465 power cuts its name was unusable
//! for ever. Never an ordered one: it was blind for 17 s after a server crash. Where to begin is the reader's
//! knowledge, not the server's.

use std::convert::Infallible;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::{Context, Message};
use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::{Phase, RETRY, RequestError};
use crate::logs::{self, Throttle};

/// The most messages asked for at once: 434,000 a second at a peak of 4.9 MB were measured with it.
pub const MESSAGES_MAX: usize = 500;
/// A server that says nothing for two of these is gone.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long the server keeps a request for messages that do not come: what a dead reader asked for is soon forgotten.
/// Two heartbeats are the least that the server takes.
const EXPIRES: Duration = Duration::from_secs(4);
/// The server removes a consumer that nobody asks for so long. Many times [`EXPIRES`], because a reader that lives must
/// not lose its own; not longer, because each session leaves one behind.
const INACTIVE: Duration = Duration::from_secs(30);

/// Messages of a stream, in its order: those that are stored, then those that come.
pub struct Messages {
    stream: Stream,
    pending: u64,
    operation: String,
}

/// Reads what `stream` has of `subjects`, beginning with `from`.
///
/// # Errors
/// The consumer cannot be made.
pub async fn follow(
    context: &Context,
    stream: &str,
    subjects: Vec<String>,
    from: DeliverPolicy,
) -> Result<Messages, RequestError> {
    messages(context, stream, subjects, from, 1).await
}

/// The same for a reader of what is stored, which waits for nothing new and can give a busy server ten times as long.
///
/// # Errors
/// The consumer cannot be made.
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
        inactive_threshold: INACTIVE,
        filter_subjects: subjects,
        ..Config::default()
    };
    let consumer = context.create_consumer_on_stream(config, stream).await;
    let consumer = consumer.map_err(|error| RequestError::new(format!("make a consumer of {stream}"), error))?;
    let pending = consumer.cached_info().num_pending;
    let operation = format!("read {stream}");
    let pulls = consumer.stream().max_messages_per_batch(MESSAGES_MAX);
    let pulls = pulls.heartbeat(HEARTBEAT * patience).expires(EXPIRES * patience);
    match pulls.messages().await {
        Ok(stream) => Ok(Messages { stream, pending, operation }),
        Err(error) => Err(RequestError::new(operation, error)),
    }
}

impl Messages {
    /// How many were stored when the consumer was made.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// The next one. Waiting can be given up: nothing is lost by that.
    ///
    /// # Errors
    /// The server ended the consumer, or is gone.
    pub async fn next(&mut self) -> Result<Message, RequestError> {
        match self.stream.next().await {
            Some(message) => message.map_err(|error| RequestError::new(self.operation.as_str(), error)),
            None => Err(self.ended()),
        }
    }

    /// Those that are there, one at least and `most` at most. Waiting can be given up: nothing is lost by that.
    ///
    /// # Errors
    /// The server ended the consumer, or is gone.
    pub async fn chunk(&mut self, most: usize) -> Result<Vec<Message>, RequestError> {
        let chunk = (&mut self.stream).ready_chunks(most).next().await;
        let chunk = chunk.ok_or_else(|| self.ended())?;
        let understood = chunk.into_iter().collect::<Result<Vec<_>, _>>();
        understood.map_err(|error| RequestError::new(self.operation.as_str(), error))
    }

    fn ended(&self) -> RequestError {
        RequestError::new(self.operation.as_str(), "the server ended the consumer")
    }
}

/// The sequence of a message in the stream that it was read from.
///
/// # Errors
/// It does not say.
pub fn sequence(message: &Message) -> Result<u64, RequestError> {
    let info = message.info().map_err(|error| RequestError::new("read the sequence of a message", error))?;
    Ok(info.stream_sequence)
}

/// How many messages the server still has for the reader of this one.
///
/// # Errors
/// It does not say.
pub fn remaining(message: &Message) -> Result<u64, RequestError> {
    let info = message.info().map_err(|error| RequestError::new("read how many messages remain", error))?;
    Ok(info.pending)
}

/// Does `work` in each session, and again in the same one where it fails; the log calls it `what`. Ends with the
/// process.
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
                    tracing::warn!(tries, error, "{what}, trying again");
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

    /// Says that the work ended, whatever ended it.
    struct Alive(mpsc::UnboundedSender<&'static str>);

    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.send("ends").unwrap_or_default();
        }
    }

    async fn hear(heard: &mut mpsc::UnboundedReceiver<&'static str>) -> &'static str {
        timeout(LIMIT, heard.recv()).await.unwrap_or(Some("nothing happens")).unwrap_or("it is over")
    }

    #[tokio::test]
    async fn work_is_done_in_each_session_and_again_where_it_fails() {
        let (phase, ready) = watch::channel(Phase::Down);
        let (said, mut heard) = mpsc::unbounded_channel();
        let (fail, fails) = watch::channel(false);
        let worker = tokio::spawn(async move {
            let work = || async {
                said.send("begins").unwrap();
                let _alive = Alive(said.clone());
                fails.clone().wait_for(|fail| *fail).await.unwrap();
                Err(RequestError::new("work", "it fails"))
            };
            in_each_session(ready, "working", work).await;
        });
        // The worker's turn.
        tokio::task::yield_now().await;
        assert!(heard.try_recv().is_err(), "there is no session");
        phase.send_replace(Phase::Up(1));
        assert_eq!(hear(&mut heard).await, "begins");
        phase.send_replace(Phase::Down);
        assert_eq!(hear(&mut heard).await, "ends");
        phase.send_replace(Phase::Up(2));
        assert_eq!(hear(&mut heard).await, "begins");
        phase.send_replace(Phase::Up(3));
        assert_eq!(hear(&mut heard).await, "ends", "another session: what was read in the last one may be gone");
        assert_eq!(hear(&mut heard).await, "begins");
        fail.send_replace(true);
        assert_eq!(hear(&mut heard).await, "ends");
        fail.send_replace(false);
        assert_eq!(hear(&mut heard).await, "begins", "the session is the same");
        drop(phase);
        timeout(LIMIT, worker).await.expect("it ends with the process").unwrap();
        assert_eq!(hear(&mut heard).await, "ends");
        assert_eq!(hear(&mut heard).await, "it is over");
    }
}
