//! From the bytes of the line to records: who is at the port, which slot comes next, and where a batch is cut.
//!
//! ```text
//! bytes ▸ frames ▸ link, cursor ▸ cutter ▸ records
//!                     ▲ Resume: from the first slot that is not held
//! ```
//!
//! The reader asks the delivery what is held and wanted, and changes nothing there: the records that a step has cut are
//! taken from it afterwards.

use alloc::vec::Vec;
use core::time::Duration;

use thermowell_wire::line::{FrameReader, GapNotice, GapReason, Pong, Samples, Status, ToDevice, ToGateway, encode};
use thermowell_wire::{Boot, Reading, Slot};

use super::delivery::{Delivery, Turn};
use super::effect::Out;
use super::{Log, Settings};
use crate::batch::stamp::Answered;
use crate::batch::{Cutter, Origin, Record};
use crate::decode::{self, Arrival, Cursor};
use crate::publish::Live;
use crate::serial::{Link, Session};
use crate::spool::Coverage;
use crate::time::{DeviceTime, Monotonic};

/// Smallest number of held slots to skip with a `Resume`; fewer arrive faster than the skip takes.
const SKIP_MIN: u64 = 64;
/// The longest time for which bytes may wait in the kernel: a quarter of the silence after which a device counts as
/// gone. At 115,200 baud the kernel has 2,900 of its 4,096 bytes by then. Not scaled with the speed of a simulated
/// world: the bytes are.
const REST_MAX: Duration = Duration::from_millis(250);
/// The last slots of a batch are read as they come.
const CLOSE: u64 = 2;

/// The reader of one boiler.
#[derive(Debug)]
pub(super) struct Reader {
    decode: decode::Timing,
    tail_first: Duration,
    cut_after: Duration,
    pub(super) link: Link,
    pub(super) frames: FrameReader,
    cursor: Option<Cursor>,
    cutter: Cutter,
    /// The position has to be compared with the stream's end.
    needs_resync: bool,
    /// The spool is full: the device is not read.
    is_paused: bool,
    /// When bytes arrived last; `None` after a write.
    pub(super) arrived: Option<Monotonic>,
    pub(super) newest: Option<Slot>,
    /// When the device was accepted.
    accepted: Monotonic,
    /// Until when reading waits for the stream's end.
    aim_at: Option<Monotonic>,
    /// Messages to the device.
    pub(super) to_device: Vec<ToDevice>,
    /// Records that were cut.
    pub(super) records: Vec<Record>,
}

impl Reader {
    pub(super) fn new(settings: &Settings) -> Self {
        let timing = &settings.timing;
        Self {
            decode: timing.decode,
            tail_first: timing.tail_first,
            cut_after: timing.cut_after,
            link: Link::new(timing.serial, settings.serial_number.clone(), settings.simulated_only),
            frames: FrameReader::new(),
            cursor: None,
            cutter: Cutter::new(settings.batch),
            needs_resync: false,
            is_paused: false,
            arrived: None,
            newest: None,
            accepted: Monotonic::default(),
            aim_at: None,
            to_device: Vec::new(),
            records: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, now: Monotonic) {
        self.frames.reset();
        self.link.open(now, &mut self.to_device);
    }

    /// Until when the bytes of the port may wait in the kernel; `None`: read them as they come.
    ///
    /// A reading carries its own time, so it is not needed before its batch is full. A pong is, because its time of
    /// arrival counts, and a backlog is read as fast as it comes.
    pub(super) fn read_at(&self) -> Option<Monotonic> {
        let (arrived, session, cursor) = (self.arrived?, self.link.live()?, self.cursor.as_ref()?);
        let next = cursor.expected().seq;
        let is_current = session.next.saturating_sub(next) < SKIP_MIN;
        let slots = self.cutter.room(next).saturating_sub(CLOSE);
        if !is_current || slots == 0 || self.link.awaits_pong() || self.is_paused {
            return None;
        }
        let wait = Duration::from_nanos(u64::from(session.period_ns()).saturating_mul(slots));
        Some(arrived.after(wait.min(REST_MAX)))
    }

    /// A device was accepted whose boot is new: the open batch of the old one ends here.
    pub(super) fn begin_boot(&mut self, now: Monotonic) {
        self.cut();
        self.accepted = now;
        self.cursor = None;
    }

    /// Another board may be accepted in place of the one that was read.
    pub(super) fn release(&mut self) {
        self.link.release();
        (self.cursor, self.newest) = (None, None);
    }

    /// The slot after the last one of `boot` in the open batch.
    pub(super) fn open_end(&self, boot: Boot) -> Option<u64> {
        self.cutter.open().filter(|(first, _)| first.boot == boot).map(|(_, end)| end)
    }

    /// Takes a status. Returns the one before and the slot of this one; `None` if it is not of this session.
    pub(super) fn status(&mut self, out: &mut Out, status: &Status) -> Option<(Option<Status>, Slot)> {
        let expected = self.cursor.as_ref().map_or(0, |cursor| cursor.expected().seq);
        // A smaller slot with the same tag is of another boot: one reboot in 256.
        let is_ours = |session: &&mut Session| session.boot().tag() == status.tag && status.next >= expected;
        let Some(session) = self.link.session_mut().filter(is_ours) else {
            self.foreign(out);
            return None;
        };
        if status.next > session.seq_max() || !session.agrees(status) {
            out.counters.implausible += 1;
            return None;
        }
        session.saw_next(status.next);
        let slot = Slot::new(session.boot(), status.next);
        Some((session.status.replace(status.clone()), slot))
    }

    /// Takes the answer to a ping.
    pub(super) fn pong(&mut self, out: &mut Out, pong: &Pong) -> Option<Answered> {
        let asked = self.link.answered(pong.nonce)?;
        if !self.link.live().is_some_and(|session| session.can_show(pong.device_us)) {
            out.counters.implausible += 1;
            return None;
        }
        let lengths = (ping_len(pong.nonce), pong_len(pong));
        Some(Answered { asked, received: out.now.monotonic, device: DeviceTime(pong.device_us), lengths })
    }

    pub(super) fn samples(&mut self, out: &mut Out, samples: &Samples, held: &Delivery) {
        let Some((origin, seq_max)) = self.reading() else { return };
        let Some(cursor) = &self.cursor else { return };
        if samples.seq > seq_max {
            out.counters.implausible += 1;
            return;
        }
        let count = u64::try_from(samples.readings.len()).unwrap_or(u64::MAX);
        match cursor.samples(samples) {
            Arrival::Foreign => self.foreign(out),
            Arrival::Duplicate => out.counters.duplicates += count,
            Arrival::Hole => self.hole(out),
            Arrival::InOrder(_) if self.is_paused => out.counters.full += count,
            Arrival::InOrder(readings) => {
                let from = cursor.expected();
                let new = u64::try_from(readings.len()).unwrap_or(u64::MAX);
                out.counters.duplicates += count - new;
                self.take(out, from, readings, origin, held);
                self.advance(out, Slot::new(from.boot, from.seq + new), held);
            }
        }
    }

    /// Takes those of `readings` that are not held yet.
    fn take(&mut self, out: &mut Out, from: Slot, mut readings: &[Reading], origin: Origin, held: &Delivery) {
        let mut at = from;
        while !readings.is_empty() {
            let len = u64::try_from(readings.len()).unwrap_or(u64::MAX);
            let (is_held, end) = match held.coverage(at) {
                Coverage::Held(end) => (true, end),
                Coverage::Free(next) => (false, next.unwrap_or(u64::MAX)),
            };
            let count = len.min(end - at.seq);
            let (these, rest) = readings.split_at(usize::try_from(count).unwrap_or(readings.len()));
            if is_held {
                self.cut();
                out.counters.duplicates += count;
            } else {
                out.counters.samples += count;
                let records = &mut self.records;
                self.cutter.feed(out.now.monotonic, at, these, origin, |record| records.push(record));
            }
            readings = rest;
            at.seq += count;
            if !is_held && at.seq == end {
                self.cut();
            }
        }
    }

    pub(super) fn gap(&mut self, out: &mut Out, gap: &GapNotice, held: &Delivery) {
        let Some((origin, _)) = self.reading() else { return };
        let Some(cursor) = &self.cursor else { return };
        if !self.link.session().is_some_and(|session| session.can_reach(gap.to)) {
            out.counters.implausible += 1;
            return;
        }
        match cursor.gap(gap) {
            Arrival::Foreign => self.foreign(out),
            Arrival::Duplicate => {}
            Arrival::Hole => self.hole(out),
            Arrival::InOrder(_) if self.is_paused => out.counters.full += 1,
            Arrival::InOrder(range) => {
                // The line has two reasons; any other one counts as not sampled.
                let reason = if gap.reason == GapReason::Ring { GapReason::Ring } else { GapReason::Missed };
                let mut at = cursor.expected();
                self.cut();
                while at.seq < range.end {
                    match held.coverage(at) {
                        Coverage::Held(end) => at.seq = end,
                        Coverage::Free(next) => {
                            let end = next.unwrap_or(u64::MAX).min(range.end);
                            out.counters.gaps += 1;
                            self.records.push(Record::gap(at, end, reason, origin));
                            at.seq = end;
                        }
                    }
                }
                self.advance(out, at, held);
            }
        }
    }

    /// Slots below `to` are taken; held slots after it are skipped.
    fn advance(&mut self, out: &Out, to: Slot, held: &Delivery) {
        let expected = held.contiguous_end(to);
        if let Some(cursor) = &mut self.cursor {
            cursor.advance(expected, out.now.monotonic);
        }
        if let Some(session) = self.link.session_mut() {
            session.saw_next(expected);
        }
        let newest = Slot::new(to.boot, expected.saturating_sub(1));
        self.newest = self.newest.max(Some(newest));
        if expected - to.seq >= SKIP_MIN {
            self.cut();
            self.resume(out.now.monotonic);
        }
    }

    fn hole(&mut self, out: &mut Out) {
        out.counters.holes += 1;
        if self.is_paused {
            return;
        }
        if let Some(cursor) = &mut self.cursor
            && cursor.may_resume(out.now.monotonic)
        {
            let Slot { boot, seq } = cursor.expected();
            self.to_device.push(ToDevice::Resume { boot, from: seq });
        }
    }

    fn foreign(&mut self, out: &mut Out) {
        out.counters.foreign += 1;
        self.link.foreign(out.now.monotonic, &mut self.to_device);
    }

    /// The properties needed to read samples; `None` until the device is accepted.
    fn reading(&self) -> Option<(Origin, u64)> {
        let session = self.link.live()?;
        let origin =
            Origin { device: session.device(), period_ns: session.period_ns(), simulated: session.hello.simulated };
        Some((origin, session.seq_max()))
    }

    /// Does what a step of the delivery asks for.
    pub(super) fn turn(&mut self, now: Monotonic, turn: Turn) {
        match turn {
            Turn::Resync => self.needs_resync = true,
            Turn::Hole(at) => {
                let beyond = |cursor: &Cursor| cursor.expected().boot != at.boot || cursor.expected() > at;
                self.needs_resync |= self.cursor.as_ref().is_none_or(beyond);
            }
            Turn::Identify => self.link.foreign(now, &mut self.to_device),
        }
    }

    /// Compares the position with the slot that the stream needs.
    ///
    /// If the stream's end is known, the first slot after it that is not held is read next. Until then the device is
    /// read from the end of the held slots, or else from its oldest slot, and the samples are kept in memory.
    pub(super) fn aim(&mut self, out: &mut Out, held: &Delivery) {
        self.aim_at = None;
        let now = out.now.monotonic;
        let Some(session) = self.link.live() else { return };
        if !self.needs_resync && self.cursor.is_some() {
            return;
        }
        let boot = session.boot();
        let (next, oldest) = (session.next, session.oldest());
        let from = match (held.wanted(boot), &self.cursor) {
            (Some(wanted), _) if wanted > next => return,
            (Some(wanted), _) => self.first_missing(Slot::new(boot, wanted), held),
            (None, Some(_)) => return,
            (None, None) => {
                let wait_until = self.accepted.after(self.tail_first);
                if held.is_connected() && now < wait_until {
                    self.aim_at = Some(wait_until);
                    return;
                }
                held.last_end(boot).unwrap_or(oldest)
            }
        };
        self.needs_resync = false;
        let expected = self.cursor.as_ref().map(|cursor| cursor.expected().seq);
        if expected == Some(from) {
            return;
        }
        self.cut();
        let slot = Slot::new(boot, from);
        match &mut self.cursor {
            Some(cursor) => cursor.aim(from, now),
            None => self.cursor = Some(Cursor::new(self.decode, slot, now)),
        }
        if expected.is_none_or(|expected| from < expected || from - expected >= SKIP_MIN) && !self.is_paused {
            self.resume(now);
            out.log(Log::Resumed { from: slot });
        }
    }

    /// The first slot from `slot` on that is neither in memory nor in the open batch.
    fn first_missing(&self, slot: Slot, held: &Delivery) -> u64 {
        let end = held.contiguous_end(slot);
        match self.cutter.open() {
            Some((first, open)) if first.boot == slot.boot && (first.seq..open).contains(&end) => {
                held.contiguous_end(Slot::new(slot.boot, open))
            }
            Some(_) | None => end,
        }
    }

    /// Pauses while the spool is full, and resumes.
    pub(super) fn pause(&mut self, now: Monotonic, is_full: bool) {
        let was_paused = core::mem::replace(&mut self.is_paused, is_full);
        if was_paused && !is_full {
            self.resume(now);
        }
    }

    /// Repeats a `Resume` that seems to be lost.
    pub(super) fn keep_reading(&mut self, now: Monotonic) {
        if self.stalled_at().is_some_and(|at| at <= now) {
            self.resume(now);
        }
    }

    fn stalled_at(&self) -> Option<Monotonic> {
        let is_read = self.link.live().is_some() && !self.is_paused;
        self.cursor.as_ref().filter(|_| is_read).map(Cursor::stalled_at)
    }

    /// Greets again a device that is already read.
    pub(super) fn read_on(&mut self, now: Monotonic) {
        if !self.is_paused {
            self.resume(now);
        }
    }

    /// Requests samples from the expected slot on.
    fn resume(&mut self, now: Monotonic) {
        if self.link.live().is_none() {
            return;
        }
        if let Some(cursor) = &mut self.cursor {
            let Slot { boot, seq } = cursor.expected();
            cursor.aim(seq, now);
            self.to_device.push(ToDevice::Resume { boot, from: seq });
        }
    }

    /// Ends an open batch whose next slot is late.
    pub(super) fn cut_silent(&mut self, now: Monotonic) {
        if self.cutter.silent_at(self.cut_after).is_some_and(|at| at <= now) {
            self.cut();
        }
    }

    /// Ends the open batch.
    pub(super) fn cut(&mut self) {
        self.records.extend(self.cutter.cut());
    }

    /// Slots in the open batch.
    pub(super) fn open_slots(&self) -> u64 {
        self.cutter.len()
    }

    /// The device that is read, once its position is known.
    pub(super) fn positioned(&self) -> Option<&Session> {
        self.link.live().filter(|_| self.cursor.is_some())
    }

    /// The last accepted device, for the delivery.
    pub(super) fn live(&self) -> Option<Live> {
        let session = self.link.session()?;
        let open = self.link.live().is_some();
        Some(Live {
            device: session.device(),
            boot: session.boot(),
            oldest: session.oldest(),
            next: session.next,
            open,
        })
    }

    /// The latest time at which the next step must be taken.
    pub(super) fn wake_at(&self) -> Option<Monotonic> {
        let due = [self.link.wake_at(), self.stalled_at(), self.aim_at, self.cutter.silent_at(self.cut_after)];
        due.into_iter().flatten().min()
    }
}

/// Bytes of a pong on the line.
fn pong_len(pong: &Pong) -> usize {
    let mut frame = [0; 32];
    encode(&ToGateway::Pong(*pong), &mut frame).expect("a pong takes at most 23 bytes").len()
}

/// Bytes of a ping on the line.
fn ping_len(nonce: u32) -> usize {
    let mut frame = [0; 32];
    encode(&ToDevice::Ping { nonce }, &mut frame).expect("a ping takes at most 12 bytes").len()
}
