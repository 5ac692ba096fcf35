//! The device's side of the line: what is sent, in which order, and when.
//!
//! Order: pongs first, because each one feeds the gateway's estimate of our clock; then answers, the greeting, the
//! status, and samples in the remaining time. A frame starts only when the line is idle, so that nothing queues up in a
//! driver's buffer. A cursor more than one frame of samples behind is catching up: then samples take at most
//! [`CATCH_UP_PERCENT`] of the line and leave the rest to the other messages.
//!
//! The cursor is the next slot to send. Only `Resume` moves it back: go-back-N needs no record of what was sent.

use thermowell_wire::line::{Answer, FRAME_MAX, GapNotice, GapReason, READINGS_MAX, Samples, ToGateway};
use thermowell_wire::{Boot, Reading};

use crate::{LineConfig, Ring, Stretch};

/// Share of the line that catching up may use.
const CATCH_UP_PERCENT: u64 = 80;
/// Missed slots at the ring's end are held back until sampling resumes, or until they cover this time: a stall is one
/// gap then, and the gateway still gets a report every second.
const HOLD_US: u64 = 1_000_000;
/// Pings in the queue. A gateway sends one every few seconds; the oldest is dropped, as its answer is the least useful.
const PONGS_MAX: usize = 4;
/// Answers in the queue. A gateway has one request in flight; the oldest is dropped.
const ANSWERS_MAX: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Link {
    tag: u8,
    resumed: bool,
    cursor: u64,
    pongs: heapless::Deque<u32, PONGS_MAX>,
    answers: heapless::Deque<Answer, ANSWERS_MAX>,
    pub(crate) hello_due: bool,
    pub(crate) status_due: bool,
    dropped: u64,
    pace: Pace,
}

/// The next message, with what is filled in at the moment of sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A pong with the current device time.
    Pong(u32),
    /// A complete message.
    Message(ToGateway),
    /// The greeting with the current bounds of the ring.
    Hello,
    /// The current status.
    Status,
}

impl Link {
    pub(crate) fn new(boot: Boot, line: LineConfig) -> Self {
        Self {
            tag: boot.tag(),
            resumed: false,
            cursor: 0,
            pongs: heapless::Deque::new(),
            answers: heapless::Deque::new(),
            hello_due: false,
            status_due: false,
            dropped: 0,
            pace: Pace::new(line),
        }
    }

    /// Whether a gateway has named this boot. Until then only `Identify` and `Resume` are handled.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Pongs and answers dropped for newer ones.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn resume(&mut self, from: u64) {
        self.resumed = true;
        self.cursor = from;
        self.status_due = true;
    }

    pub(crate) fn pong(&mut self, nonce: u32) {
        self.dropped += u64::from(enqueue(&mut self.pongs, nonce));
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        self.dropped += u64::from(enqueue(&mut self.answers, answer));
    }

    /// Whether a frame may start at `now_us`.
    pub(crate) fn is_idle(&self, now_us: u64) -> bool {
        self.pace.line_free_ns <= now_us.saturating_mul(1_000)
    }

    /// Takes the next message. Samples and gaps move the cursor.
    pub(crate) fn take<S>(&mut self, now_us: u64, ring: &Ring<S>, period_us: u32) -> Option<Next>
    where
        S: AsRef<[Reading]> + AsMut<[Reading]>,
    {
        if let Some(nonce) = self.pongs.pop_front() {
            return Some(Next::Pong(nonce));
        }
        if let Some(answer) = self.answers.pop_front() {
            return Some(Next::Message(ToGateway::Answer(answer)));
        }
        if core::mem::take(&mut self.hello_due) {
            return Some(Next::Hello);
        }
        if !self.resumed {
            return None;
        }
        if core::mem::take(&mut self.status_due) {
            return Some(Next::Status);
        }
        let behind = ring.next().saturating_sub(self.cursor);
        let catching_up = behind > READINGS_MAX as u64;
        if catching_up && self.pace.catch_up_free_ns > now_us.saturating_mul(1_000) {
            return None;
        }
        let message = self.take_slots(ring, period_us)?;
        self.pace.catching_up = catching_up;
        Some(Next::Message(message))
    }

    fn take_slots<S>(&mut self, ring: &Ring<S>, period_us: u32) -> Option<ToGateway>
    where
        S: AsRef<[Reading]> + AsMut<[Reading]>,
    {
        let (tag, from) = (self.tag, self.cursor);
        let oldest = ring.oldest();
        if from < oldest {
            self.cursor = oldest;
            return Some(ToGateway::Gap(GapNotice { tag, from, to: oldest, reason: GapReason::Ring }));
        }
        match ring.stretch(from)? {
            Stretch::Readings(readings) => {
                self.cursor = from + readings.len() as u64;
                Some(ToGateway::Samples(Samples { tag, seq: from, readings }))
            }
            Stretch::Missed { to } => {
                let held = to == ring.next() && (to - from).saturating_mul(u64::from(period_us)) < HOLD_US;
                if held {
                    return None;
                }
                self.cursor = to;
                Some(ToGateway::Gap(GapNotice { tag, from, to, reason: GapReason::Missed }))
            }
        }
    }

    /// Notes a frame of `bytes` sent at `now_us`.
    pub(crate) fn sent(&mut self, now_us: u64, bytes: usize) {
        self.pace.sent(now_us, bytes as u64);
    }

    /// Notes that everything that could be sent at `now_us` was sent.
    pub(crate) fn rest(&mut self, now_us: u64) {
        self.pace.rested_us = now_us;
    }
}

/// Appends, dropping the oldest item of a full queue; returns whether one was dropped.
fn enqueue<T, const N: usize>(queue: &mut heapless::Deque<T, N>, item: T) -> bool {
    let full = queue.is_full();
    if full {
        queue.pop_front();
    }
    queue.push_back(item).is_err() || full
}

/// When the line is free again, in nanoseconds of the device clock: at 600 × 115,200 baud one byte takes a seventh of a
/// microsecond.
#[derive(Clone, Debug)]
struct Pace {
    line: LineConfig,
    line_free_ns: u64,
    catch_up_free_ns: u64,
    rested_us: u64,
    catching_up: bool,
}

impl Pace {
    fn new(line: LineConfig) -> Self {
        Self { line, line_free_ns: 0, catch_up_free_ns: 0, rested_us: 0, catching_up: false }
    }

    /// A transmit buffer would have kept the line busy since the last call of `transmit`. So the frame counts as
    /// started then, but no longer ago than the buffer is deep.
    fn sent(&mut self, now_us: u64, bytes: u64) {
        let late_us = now_us.saturating_sub(self.rested_us).min(self.line.burst_us);
        let earliest_ns = now_us.saturating_sub(late_us).saturating_mul(1_000);
        let length_ns = bytes.saturating_mul(1_000_000_000) / u64::from(self.line.bytes_per_second.max(1));
        self.line_free_ns = self.line_free_ns.max(earliest_ns) + length_ns;
        if core::mem::take(&mut self.catching_up) {
            let stretched_ns = length_ns * 100 / CATCH_UP_PERCENT;
            self.catch_up_free_ns = self.catch_up_free_ns.max(earliest_ns) + stretched_ns;
        }
    }
}

/// Free space that `transmit` needs to start a frame: no frame is ever cut.
pub(crate) const ROOM: usize = FRAME_MAX;
