//! `thermowell tap`: what is stored about one boiler, as it arrives, line by line.
//!
//! Stored messages are read, none is received live: another user of PEOPLE can direct a response to a subscription of
//! this account, where it looks like a message (`nats::rights`). So it looks for new ones ten times a second. Every
//! message of SAMPLES and EVENT is seen; STATE and STATUS hold only the last one, so of several within a tenth of a
//! second the last is shown.
//!
//! It begins with the newest stored message. While the server is away it waits, and continues with the next message:
//! or, where a stream begins again (STATE and STATUS after a restart of the server), with its newest.

mod lines;

use std::io;
use std::time::Duration;

use thermowell_flow::command;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::logs::{self, Throttle};
use crate::nats::{self, Connection, InOrder, NatsError, RETRY, RequestError, User};
use crate::samples::{CSV_HEADER, Form};

use lines::Lines;

/// Between two looks for new messages.
const LOOK: Duration = Duration::from_millis(100);

/// What is tapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// Each reading, 100 a second
    Samples,
    /// The averages, after each batch
    State,
    /// The boiler's other signals, once a second
    Status,
    /// Boots, gaps, faults, decisions, commands
    Events,
}

/// What is written, and when it ends.
#[derive(Clone, Debug)]
pub struct Wish {
    pub boiler: BoilerId,
    pub what: What,
    pub form: Form,
    /// It ends after so many lines; gaps do not count.
    pub count: Option<u64>,
    /// It ends after this time.
    pub length: Option<Duration>,
    /// It ends after the newest line.
    pub once: bool,
    /// At most one line in this time, by the time stamps of the lines.
    pub every: Option<Duration>,
}

/// How many lines were written, and how many left out for [`Wish::every`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub shown: u64,
    pub left_out: u64,
}

/// Why it ended early.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The server is down or unusable.
    #[error("use the NATS server")]
    Server(#[source] NatsError),
    /// A stream cannot be read.
    #[error("query the server")]
    Request(#[source] RequestError),
    /// The boiler is not configured.
    #[error(transparent)]
    Unknown(command::Refusal),
    #[error("write the lines")]
    Write(#[source] io::Error),
}

/// Writes what arrives until the wish is fulfilled, or the reader of the lines closes. `say` is for words about it.
///
/// # Errors
/// See [`TapError`].
pub async fn tap(
    config: &Config,
    wish: &Wish,
    sum: &mut Sum,
    write: impl FnMut(&str) -> io::Result<()>,
    say: impl Fn(&str),
) -> Result<(), TapError> {
    command::admit_boiler(&wish.boiler, &config.boiler_ids()).map_err(TapError::Unknown)?;
    let connection = Connection::reach(&config.nats, User::Inspector).await.map_err(TapError::Server)?;
    let tap = Tap { connection, wish, say, sum, write, lines: Lines::new(wish) };
    let ended = match wish.length {
        Some(length) => timeout(length, tap.run()).await.unwrap_or(Ok(())),
        None => tap.run().await,
    };
    match ended {
        // The reader has seen enough.
        Err(TapError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        ended => ended,
    }
}

struct Tap<'a, W, S> {
    connection: Connection,
    wish: &'a Wish,
    say: S,
    sum: &'a mut Sum,
    write: W,
    lines: Lines<'a>,
}

impl<W: FnMut(&str) -> io::Result<()>, S: Fn(&str)> Tap<'_, W, S> {
    async fn run(mut self) -> Result<(), TapError> {
        let header = self.lines.header();
        (self.write)(header).map_err(TapError::Write)?;
        let mut messages = self.newest_on().await.map_err(TapError::Request)?;
        let mut failures = Throttle::default();
        let mut is_waiting = false;
        loop {
            match self.round(&mut messages).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    failures.end();
                }
                Err(TapError::Request(error)) => {
                    let error = logs::chain(&error);
                    if failures.admits(error.clone()).is_some() {
                        (self.say)(&format!("{error}: waiting for the server"));
                    }
                    sleep(RETRY).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            // A message that was replaced between two requests is there: its successor is seen at the next look.
            if messages.end() == 0 && !std::mem::replace(&mut is_waiting, true) {
                let (_, subject) = self.source();
                (self.say)(&format!("{subject} has no message yet: waiting"));
            }
            sleep(LOOK).await;
        }
    }

    /// Writes what is new. Returns whether that was all.
    async fn round(&mut self, messages: &mut InOrder) -> Result<bool, TapError> {
        let newest = messages.newest().await.map_err(TapError::Request)?;
        if newest < messages.end() {
            *messages = self.newest_on().await.map_err(TapError::Request)?;
        }
        messages.extend(newest);
        while let Some(message) = messages.next().await.map_err(TapError::Request)? {
            let taken = self.lines.take(message.sequence, &message.subject, &message.payload, self.sum);
            let ends = taken.map_err(|why| (self.say)(&why)).unwrap_or(false);
            (self.write)(self.lines.text()).map_err(TapError::Write)?;
            if ends {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn newest_on(&self) -> Result<InOrder, RequestError> {
        let (stream, subject) = self.source();
        let context = self.connection.context();
        let newest = nats::end(context, stream, &subject).await?;
        Ok(InOrder::new(context, stream, subject, newest, newest))
    }

    fn source(&self) -> (&'static str, String) {
        let boiler = &self.wish.boiler;
        let (stream, subject) = match self.wish.what {
            What::Samples => (stream::SAMPLES, subject::samples(boiler)),
            What::State => (stream::STATE, subject::state(boiler)),
            What::Status => (stream::STATUS, subject::status(boiler)),
            What::Events => (stream::EVENT, subject::all_events(boiler)),
        };
        (stream, subject.to_string())
    }
}
