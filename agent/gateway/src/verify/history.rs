//! Reads the stored snapshots of one boiler in order.

use std::time::Duration;

use async_nats::jetstream::Context;
use bytes::Bytes;
use thermowell_flow::published::Snapshot;
use thermowell_flow::snapshot::hour_of;
use thermowell_flow::time::hour_text;
use thermowell_wire::BoilerId;
use thermowell_wire::subject::{self, stream};

use crate::nats::{self, RequestError};

/// Between two polls for an expected entry.
const POLL: Duration = Duration::from_millis(50);

/// A message of SNAPSHOT.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) sequence: u64,
    pub(super) bytes: Bytes,
    pub(super) hour: i64,
    pub(super) snapshot: Snapshot,
}

/// A message of SNAPSHOT.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Snapshot(Box<Stored>),
    /// This version cannot parse it.
    Unreadable {
        sequence: u64,
        why: String,
    },
}

impl Entry {
    pub(super) fn sequence(&self) -> u64 {
        match self {
            Self::Snapshot(stored) => stored.sequence,
            Self::Unreadable { sequence, .. } => *sequence,
        }
    }

    fn read(sequence: u64, bytes: Bytes) -> Self {
        let snapshot: Snapshot = match serde_json::from_slice(&bytes) {
            Ok(snapshot) => snapshot,
            Err(error) => return Self::Unreadable { sequence, why: error.to_string() },
        };
        let hour = hour_of(&snapshot);
        if snapshot.hour != hour_text(hour) {
            let why = format!("its hour is {} and its created_at {}", snapshot.hour, snapshot.created_at);
            return Self::Unreadable { sequence, why };
        }
        Self::Snapshot(Box::new(Stored { sequence, bytes, hour, snapshot }))
    }
}

/// Reads the entries in stream order. At the end, it can be polled for new ones.
pub(super) struct History {
    context: Context,
    subject: String,
    next: u64,
    ahead: Option<Entry>,
}

impl History {
    pub(super) fn new(context: &Context, boiler: &BoilerId) -> Self {
        Self { context: context.clone(), subject: subject::snapshot(boiler).to_string(), next: 1, ahead: None }
    }

    /// The next entry, without consuming it.
    pub(super) async fn peek(&mut self) -> Result<Option<&Entry>, RequestError> {
        if self.ahead.is_none() {
            self.ahead = self.read().await?;
        }
        Ok(self.ahead.as_ref())
    }

    /// Waits for a next entry.
    pub(super) async fn arrival(&mut self) -> Result<(), RequestError> {
        while self.peek().await?.is_none() {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) async fn next(&mut self) -> Result<Option<Entry>, RequestError> {
        match self.ahead.take() {
            Some(entry) => Ok(Some(entry)),
            None => self.read().await,
        }
    }

    async fn read(&mut self) -> Result<Option<Entry>, RequestError> {
        let found = nats::first_from(&self.context, stream::SNAPSHOT, &self.subject, self.next).await?;
        Ok(found.map(|message| {
            self.next = message.sequence + 1;
            Entry::read(message.sequence, message.payload)
        }))
    }
}
