//! Delivery: exactly once into the stream, in order.
//!
//! The stream's end is the single source of truth. The publisher reads it on every connect, after a refusal and after
//! an unknown outcome, and continues after it. One message is in flight, and each states the expected sequence of the
//! stream's end. A retry, a delayed message from before a crash (a zombie) or a second writer is refused instead of
//! stored.
//!
//! ```text
//!            Connected               Tail
//!   away ───────────────▶ unknown ─────────▶ known ──┐ Publish, Acknowledged
//!    ▲                      ▲ ▲                │ ▲   │
//!    │ Disconnected         │ └── Refused ─────┘ └───┘
//!    └── from anywhere      └──── 5 s ──── conflict ───▶ stop, after 3 in a minute
//! ```
//!
//! The next publish is sent only after the answer to the previous one: otherwise a late answer could be taken for that
//! of another message. A disconnect cancels the publish under way and its answer; if the message is stored all the
//! same, it is found at the stream's end, or its expected sequence no longer matches.
//!
//! A batch that is too large for the server is halved, repeatedly if necessary, and the size that passes is doubled
//! again after a while (`size.rs`). No sample is dropped because of its size: a single slot that is too large waits
//! until the limit is raised.

mod absence;
mod join;
mod outcome;
mod size;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use thermowell_wire::batch::decode;
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, Slot};

pub use outcome::{Conflict, Gap, Live, Next, Refused, TailOutcome, Timing};

use absence::{gap_before, origin};
use join::join;
use size::Size;

use crate::batch::{Body, Origin, Record, Stamp, pack};
use crate::spool::Spool;
use crate::time::{Monotonic, slots_ns};

/// Conflicts within the window that stop a boiler.
const CONFLICTS_MAX: usize = 3;
/// Refusals in a row after which the tail is read at once; after more, it is read after a pause.
const EAGER_MAX: u32 = 2;

/// Where the stream ends for this boiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Not read yet.
    Unknown,
    /// There is no message, and the first slot of the history is not known.
    Nothing,
    /// There is no message; the history begins here.
    Origin(Slot),
    /// The next slot.
    At(Slot),
}

#[derive(Clone, Debug)]
struct InFlight {
    /// The first slot of the first record from which it was made.
    record: Slot,
    slots: u64,
    end: Slot,
    end_utc_ns: i64,
    deadline: Monotonic,
    gap: Option<Gap>,
}

/// The publisher of one boiler.
#[derive(Clone, Debug)]
pub struct Publisher {
    timing: Timing,
    connected: bool,
    connected_since: Monotonic,
    connected_before: Duration,
    /// When the server was first connected.
    first_connected: Option<Monotonic>,
    /// Until when a hole waits for a device that has not connected yet.
    hole_until: Option<Monotonic>,
    asked: Option<Monotonic>,
    retry_at: Monotonic,
    refusals: u32,
    position: Position,
    sequence: u64,
    /// The device of the history, from the tail.
    device: Option<u32>,
    end_utc_ns: Option<i64>,
    in_flight: Option<InFlight>,
    /// Most slots in a message that joins waiting records.
    catch_up: u64,
    size: Size,
    /// The high-water mark of acknowledgements, to detect a rollback.
    reached: Option<(u64, Slot)>,
    conflicts: VecDeque<Monotonic>,
    /// When the end was last read again because of a board that is not accepted.
    reread_at: Option<Monotonic>,
    stopped: bool,
}

impl Publisher {
    /// A disconnected publisher. Waiting records are joined to messages of at most `catch_up` samples.
    #[must_use]
    pub fn new(timing: Timing, catch_up: u16) -> Self {
        Self {
            timing,
            connected: false,
            connected_since: Monotonic::default(),
            connected_before: Duration::ZERO,
            first_connected: None,
            hole_until: None,
            asked: None,
            retry_at: Monotonic::default(),
            refusals: 0,
            position: Position::Unknown,
            sequence: 0,
            device: None,
            end_utc_ns: None,
            in_flight: None,
            catch_up: u64::from(catch_up),
            size: Size::new(),
            reached: None,
            conflicts: VecDeque::new(),
            reread_at: None,
            stopped: false,
        }
    }

    /// Whether the server is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether an answer is awaited, or the tail has to be read first.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.in_flight.is_some() || (self.connected && !self.stopped && self.position == Position::Unknown)
    }

    /// The stream's end, if it is known and not empty.
    #[must_use]
    pub fn end(&self) -> Option<Slot> {
        match self.position {
            Position::At(slot) => Some(slot),
            Position::Unknown | Position::Nothing | Position::Origin(_) => None,
        }
    }

    /// The stream's end, and the UTC of that slot in nanoseconds.
    #[must_use]
    pub fn end_utc(&self) -> Option<(Slot, i64)> {
        self.end().zip(self.end_utc_ns)
    }

    /// The device whose history the stream holds, if its end was read.
    #[must_use]
    pub fn device(&self) -> Option<u32> {
        self.device.filter(|_| self.position != Position::Unknown)
    }

    /// Reads the stream's end again, at most every `conflict_pause`: an operator may have accepted the board.
    pub fn look_again(&mut self, now: Monotonic) {
        if self.reread_at.is_none_or(|at| now.since(at) >= self.timing.conflict_pause) {
            self.reread_at = Some(now);
            self.reread(now);
        }
    }

    /// Reads the stream's end again, unless a read is already due.
    pub fn reread(&mut self, now: Monotonic) {
        if self.in_flight.is_none() && self.position != Position::Unknown {
            (self.position, self.retry_at) = (Position::Unknown, now);
        }
    }

    /// Whether the stream's end was read.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.position != Position::Unknown
    }

    /// The first slot of `boot` that the stream needs; `None` while unknown.
    #[must_use]
    pub fn wanted(&self, boot: Boot) -> Option<u64> {
        match self.position {
            Position::At(slot) | Position::Origin(slot) => Some(if slot.boot == boot { slot.seq } else { 0 }),
            Position::Unknown | Position::Nothing => None,
        }
    }

    /// The total connected time.
    #[must_use]
    pub fn connected_time(&self, now: Monotonic) -> Duration {
        let running = if self.connected { now.since(self.connected_since) } else { Duration::ZERO };
        self.connected_before + running
    }

    /// The server connected.
    pub fn connect(&mut self, now: Monotonic) {
        if !self.connected {
            self.connected_since = now;
        }
        self.connected = true;
        self.first_connected.get_or_insert(now);
        self.invalidate();
        self.retry_at = now;
        self.refusals = 0;
        self.size = Size::new();
    }

    /// The server disconnected.
    pub fn disconnect(&mut self, now: Monotonic) {
        self.connected_before = self.connected_time(now);
        self.connected = false;
        self.invalidate();
    }

    /// The stream's end may have changed, and pending requests will not be answered.
    fn invalidate(&mut self) {
        self.position = Position::Unknown;
        self.asked = None;
        self.in_flight = None;
    }

    /// The tail could not be read.
    pub fn tail_unknown(&mut self, now: Monotonic) {
        self.asked = None;
        self.retry_at = now.after(self.timing.again);
    }

    /// Takes the subject's last message, if any. `replaced` is the device that the live one has replaced, as an
    /// operator accepted.
    pub fn tail(
        &mut self,
        now: Monotonic,
        tail: Option<(u64, &[u8])>,
        device: Option<u32>,
        live: Option<Live>,
        replaced: Option<u32>,
        spool: &mut Spool,
    ) -> TailOutcome {
        if self.asked.take().is_none() || self.position != Position::Unknown {
            return TailOutcome::Stale;
        }
        let Some((sequence, bytes)) = tail else {
            (self.sequence, self.end_utc_ns, self.position) = (0, None, Position::Nothing);
            self.device = None;
            let slots = spool.settle(None, self.connected_time(now));
            return self.compare(0, None, slots);
        };
        let packed = match decode(bytes) {
            Ok(packed) => packed,
            Err(cause) => return TailOutcome::Conflict(self.conflict(now, format!("message {sequence}: {cause}"))),
        };
        let end = packed.end();
        if let Some(live) = live.filter(|live| live.device != packed.device() && replaced == Some(packed.device())) {
            return self.begin_after(now, sequence, live, spool);
        }
        if let Some(device) = device.filter(|&device| device != packed.device()) {
            let found = format!("message {sequence} of device {:08x}, ours is {device:08x}", packed.device());
            return TailOutcome::Conflict(self.conflict(now, found));
        }
        if let Some(found) = beyond(end, live) {
            return TailOutcome::Conflict(self.conflict(now, format!("message {sequence} up to {found}")));
        }
        (self.sequence, self.end_utc_ns, self.position) = (sequence, Some(packed.end_utc_ns()), Position::At(end));
        self.device = Some(packed.device());
        let slots = spool.settle(Some(end), self.connected_time(now));
        self.compare(sequence, Some(end), slots)
    }

    /// The history continues with another board, from its first slot: boots sort by age only within one device.
    fn begin_after(&mut self, now: Monotonic, sequence: u64, live: Live, spool: &mut Spool) -> TailOutcome {
        let held = spool.front().filter(|record| record.origin.device == live.device);
        let first = Slot::new(held.map_or(live.boot, |record| record.first.boot), 0);
        (self.sequence, self.end_utc_ns, self.position) = (sequence, None, Position::At(first));
        (self.device, self.reached) = (Some(live.device), None);
        spool.settle(Some(first), self.connected_time(now));
        TailOutcome::Known
    }

    fn compare(&mut self, found: u64, end: Option<Slot>, slots: u64) -> TailOutcome {
        let before = core::mem::replace(&mut self.reached, end.map(|end| (found, end)));
        match before {
            Some((expected, slot)) if end.is_none_or(|end| end < slot) => {
                TailOutcome::WentBack { expected, found, slots }
            }
            Some(_) | None => TailOutcome::Known,
        }
    }

    fn conflict(&mut self, now: Monotonic, found: String) -> Conflict {
        let window = self.timing.conflict_window;
        self.conflicts.retain(|&at| now.since(at) < window);
        self.conflicts.push_back(now);
        self.position = Position::Unknown;
        self.retry_at = now.after(self.timing.conflict_pause);
        self.stopped |= self.conflicts.len() >= CONFLICTS_MAX;
        Conflict { found, stop: self.stopped }
    }

    /// The message in flight was stored. Returns the gap, if it was one.
    pub fn acknowledge(&mut self, now: Monotonic, sequence: u64, spool: &mut Spool) -> Option<Gap> {
        let sent = self.in_flight.take()?;
        if sequence <= self.sequence {
            // Not the answer to this message: read the stream's end.
            self.position = Position::Unknown;
            return None;
        }
        if sent.gap.is_none() {
            self.size.acknowledge(sent.slots);
        }
        spool.acknowledge(sent.record, sent.end, self.connected_time(now));
        self.refusals = 0;
        if self.position != Position::Unknown {
            (self.sequence, self.end_utc_ns, self.position) = (sequence, Some(sent.end_utc_ns), Position::At(sent.end));
            self.reached = Some((sequence, sent.end));
        }
        sent.gap
    }

    /// The message in flight was refused, or its outcome is unknown. Returns the number of its slots if it was too
    /// large.
    pub fn refuse(&mut self, now: Monotonic, refused: Refused) -> Option<u64> {
        let sent = self.in_flight.take()?;
        self.position = Position::Unknown;
        let is_too_large = refused == Refused::TooLarge;
        if is_too_large && sent.gap.is_none() && sent.slots > 1 {
            // The next one is smaller, so this terminates and needs no pause.
            self.size.refuse(sent.slots);
            self.retry_at = now;
        } else {
            self.refusals = self.refusals.saturating_add(1);
            let eager = self.refusals <= EAGER_MAX && !is_too_large;
            self.retry_at = if eager { now } else { now.after(self.timing.again) };
        }
        is_too_large.then_some(sent.slots)
    }

    /// Decides what to do next.
    pub fn next(&mut self, now: Monotonic, live: Option<Live>, spool: &mut Spool) -> Next {
        self.hole_until = None;
        if let Some(deadline) = self.in_flight.as_ref().map(|sent| sent.deadline) {
            if now < deadline {
                return Next::Wait;
            }
            self.refuse(now, Refused::Unknown);
        }
        if self.stopped || !self.connected {
            return Next::Wait;
        }
        if self.position == Position::Unknown {
            return self.read_tail(now);
        }
        if let Position::At(end) = self.position
            && let Some(found) = beyond(end, live)
        {
            return Next::Conflict(self.conflict(now, format!("slots up to {found}")));
        }
        if self.position == Position::Nothing {
            let Some(origin) = origin(live, spool) else { return Next::Wait };
            self.position = Position::Origin(origin);
        }
        self.advance(now, live, spool)
    }

    fn read_tail(&mut self, now: Monotonic) -> Next {
        let waiting = self.asked.is_some_and(|at| now.since(at) < self.timing.answer);
        if waiting || now < self.retry_at {
            return Next::Wait;
        }
        self.asked = Some(now);
        Next::ReadTail
    }

    /// The next message after a known position.
    fn advance(&mut self, now: Monotonic, live: Option<Live>, spool: &mut Spool) -> Next {
        loop {
            let (at, at_origin) = match self.position {
                Position::At(slot) => (slot, false),
                Position::Origin(slot) => (slot, true),
                Position::Unknown | Position::Nothing => return Next::Wait,
            };
            let Some(record) = spool.at_or_after(at) else { return Next::Wait };
            let first = record.first;
            let want = if first.boot > at.boot { Slot::new(first.boot, 0) } else { at };
            if first > want {
                if live.is_some_and(|live| live.boot == want.boot) {
                    return Next::Hole(want);
                }
                let until = self.first_connected.unwrap_or(now).after(self.timing.device);
                if at_origin {
                    self.position = Position::Origin(first);
                } else if live.is_none() && now < until {
                    self.hole_until = Some(until);
                    return Next::Wait;
                } else {
                    let gap = gap_before(record, want.seq);
                    spool.insert(now, gap);
                }
                continue;
            }
            if at_origin && record.body == Body::Gap(GapReason::Ring) {
                // No history before it, so nothing is missing.
                self.position = Position::Origin(record.end());
                spool.remove(first);
                continue;
            }
            return self.publish(now, want, record, spool);
        }
    }

    /// Publishes the slots from `from` on: those of `record`, and while several records wait, of those that follow it.
    fn publish(&mut self, now: Monotonic, from: Slot, record: &Record, spool: &Spool) -> Next {
        let (Some(utc_ns), Stamp::Stamped { clock, .. }) = (record.utc_ns(from.seq), record.stamp) else {
            return Next::Wait;
        };
        let gap = match record.body {
            Body::Gap(reason) => Some(Gap { first: from, end: record.end, reason }),
            Body::Samples(_) => None,
        };
        let end = if gap.is_some() { record.end } else { record.end.min(from.seq.saturating_add(self.size.max())) };
        let period_ns = record.origin.period_ns;
        let lasts_ns = slots_ns(end - from.seq, period_ns);
        let moved_ns = self.end_utc_ns.filter(|end| self.is_overlap(end.saturating_sub(utc_ns), period_ns));
        // Restored records may have any stamp: do not move if the end would overflow.
        let moved_ns = moved_ns.filter(|moved| moved.checked_add(lasts_ns).is_some());
        let first_utc_ns = moved_ns.unwrap_or(utc_ns);
        let slots_max = self.size.max().min(self.catch_up);
        let joined = if end == record.end { join(spool, record, from, first_utc_ns, slots_max) } else { None };
        let (end, period_ns, payload) = match joined {
            Some(joined) => {
                let origin = Origin { period_ns: joined.period_ns, ..record.origin };
                let payload = pack(from, &joined.readings, first_utc_ns, clock, origin);
                (joined.end, joined.period_ns, payload)
            }
            None => (end, period_ns, record.message(from.seq..end, first_utc_ns, clock)),
        };
        let end_utc_ns = first_utc_ns.saturating_add(slots_ns(end - from.seq, period_ns));
        self.in_flight = Some(InFlight {
            record: record.first,
            slots: end - from.seq,
            end: Slot::new(from.boot, end),
            end_utc_ns,
            deadline: now.after(self.timing.answer),
            gap,
        });
        Next::Publish { expected: self.sequence, payload, moved: moved_ns.map(|utc_ns| (from, utc_ns)) }
    }

    /// Whether a message that begins `ns` before the stored end is moved up to it. Less than half a period is
    /// tolerated: it comes from following the device's clock, and no stamp goes back.
    fn is_overlap(&self, ns: i64, period_ns: u32) -> bool {
        let limit = i64::try_from(self.timing.overlap.as_nanos()).unwrap_or(i64::MAX);
        ns > i64::from(period_ns / 2) && ns <= limit
    }

    /// The latest time at which [`Publisher::next`] must be called.
    #[must_use]
    pub fn wake_at(&self) -> Option<Monotonic> {
        if let Some(sent) = &self.in_flight {
            return Some(sent.deadline);
        }
        if !self.connected || self.stopped || self.position != Position::Unknown {
            return self.hole_until;
        }
        Some(self.asked.map_or(self.retry_at, |at| at.after(self.timing.answer).max(self.retry_at)))
    }
}

/// A description of the stream's end, if it is later than the device can have sampled.
fn beyond(end: Slot, live: Option<Live>) -> Option<String> {
    let live = live?;
    if end.boot > live.boot {
        return Some(format!("{end}, but the device is in boot {}", live.boot));
    }
    (end.boot == live.boot && end.seq > live.next).then(|| format!("{end}, but the device is at {}", live.next))
}
