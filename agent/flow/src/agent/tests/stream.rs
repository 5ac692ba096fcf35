//! A naive stream: one subject's messages, expectations, and a tail that can be lost.

use alloc::vec::Vec;

pub(super) struct Message {
    pub(super) sequence: u64,
    pub(super) stored: u64,
    pub(super) payload: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Stream {
    pub(super) messages: Vec<Message>,
    /// The stream's last sequence: other boilers publish too.
    last: u64,
    /// How often the stream was emptied.
    pub(super) wiped: u32,
}

impl Stream {
    pub(super) fn tail(&self) -> Option<(u64, &[u8])> {
        self.messages.last().map(|message| (message.sequence, message.payload.as_slice()))
    }

    /// Stores the message if the subject ends with `expected`.
    pub(super) fn publish(&mut self, now: u64, expected: u64, payload: Vec<u8>, others: u64) -> Option<u64> {
        if expected != self.tail().map_or(0, |(sequence, _)| sequence) {
            return None;
        }
        self.last += 1 + others;
        self.messages.push(Message { sequence: self.last, stored: now, payload });
        Some(self.last)
    }

    /// Loses what was stored since `since`; its sequences are used again.
    pub(super) fn roll_back(&mut self, since: u64) {
        self.messages.retain(|message| message.stored < since);
        self.last = self.messages.last().map_or(0, |message| message.sequence);
    }

    pub(super) fn wipe(&mut self) {
        self.messages.clear();
        self.last = 0;
        self.wiped += 1;
    }
}
