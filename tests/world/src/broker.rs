//! A minimal server: two streams with expected sequences and crashes, and the last message of STATUS and STATE.

use thermowell_flow::published::{EventBody, State, Status};

/// One stored message.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) at: u64,
    pub(crate) payload: Vec<u8>,
}

/// One subject of one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub(crate) messages: Vec<Stored>,
    last: u64,
}

impl Stream {
    pub(crate) fn tail(&self) -> Option<&Stored> {
        self.messages.last()
    }

    fn tail_sequence(&self) -> u64 {
        self.tail().map_or(0, |stored| stored.sequence)
    }

    pub(crate) fn at(&self, sequence: u64) -> Option<&Stored> {
        let index = self.messages.binary_search_by_key(&sequence, |stored| stored.sequence).ok()?;
        self.messages.get(index)
    }

    /// The messages from `sequence` on.
    pub(crate) fn from(&self, sequence: u64) -> &[Stored] {
        let begin = self.messages.partition_point(|stored| stored.sequence < sequence);
        self.messages.get(begin..).unwrap_or_default()
    }

    pub(crate) fn first_sequence(&self) -> u64 {
        self.messages.first().map_or(self.last + 1, |stored| stored.sequence)
    }

    /// Stores a message if the subject ends with `expected`, or unconditionally without it. `others` is the number of
    /// messages of other boilers in between.
    pub(crate) fn publish(&mut self, at: u64, expected: Option<u64>, payload: Vec<u8>, others: u64) -> Option<u64> {
        if expected.is_some_and(|expected| expected != self.tail_sequence()) {
            return None;
        }
        self.last += 1 + others;
        self.messages.push(Stored { sequence: self.last, at, payload });
        Some(self.last)
    }

    /// Loses what was stored since `since`. Its sequences are reused.
    pub(crate) fn roll_back(&mut self, since: u64) {
        self.messages.retain(|stored| stored.at < since);
        self.last = self.tail_sequence();
    }

    pub(crate) fn wipe(&mut self) {
        *self = Self::default();
    }
}

/// A subject with only its last message kept.
#[derive(Clone, Debug)]
pub(crate) struct Last<T> {
    pub(crate) last: Option<T>,
    /// Number of messages published.
    pub(crate) messages: u64,
}

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self { last: None, messages: 0 }
    }
}

impl<T> Last<T> {
    pub(crate) fn publish(&mut self, message: T) {
        self.messages += 1;
        self.last = Some(message);
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Broker {
    pub(crate) samples: Stream,
    pub(crate) snapshots: Stream,
    /// STATUS, STATE and EVENT, kept if the world has a subscriber.
    pub(crate) status: Last<Status>,
    pub(crate) state: Last<State>,
    pub(crate) events: Vec<EventBody>,
    /// Events about faults as stored in EVENT.
    pub(crate) faults: Vec<EventBody>,
    pub(crate) up: bool,
    /// Disk full: publishes are not answered until a restart.
    pub(crate) frozen: bool,
}
