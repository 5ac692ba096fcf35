//! The delivering half of an agent: records to the stream, and from the stream's end back to where to read.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use thermowell_wire::batch::{ClockQuality, Packed, decode};
use thermowell_wire::line::GapReason;
use thermowell_wire::subject::EventKind;
use thermowell_wire::{Boot, Slot, device_id};

use super::{Agent, Effect, Log, SKIP_MIN};
use crate::batch::stamp::Stamper;
use crate::batch::{Record, Stamp};
use crate::decode::Cursor;
use crate::publish::{Conflict, Live, Next, Refused, TailOutcome};
use crate::published::EventBody;
use crate::time::Now;

impl Agent {
    /// Publishes the next message, or reads the stream's end.
    pub(super) fn deliver(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let live = self.live();
        match self.publisher.next(now.monotonic, live, &mut self.spool) {
            Next::Wait => {}
            Next::ReadTail => effects.push(Effect::ReadTail),
            Next::Publish { expected, payload, moved } => {
                self.counters.publishes += 1;
                if let Some((slot, utc_ns)) = moved {
                    self.raise(now, slot, utc_ns);
                }
                effects.push(Effect::Publish { expected, payload });
            }
            Next::Hole(at) => {
                let beyond = |cursor: &Cursor| cursor.expected().boot != at.boot || cursor.expected() > at;
                self.needs_resync |= self.cursor.as_ref().is_none_or(beyond);
            }
            Next::Conflict(conflict) => self.conflict(now, conflict, effects),
        }
    }

    pub(super) fn tail(&mut self, now: Now, tail: Option<(u64, &[u8])>, effects: &mut Vec<Effect>) {
        let live = self.live();
        let device = live.map(|live| live.device).or_else(|| self.link.bound().map(device_id));
        let accepted = self.accepted_board.filter(|(_, board)| live.is_some_and(|live| live.device == *board));
        let replaced = accepted.map(|(before, _)| before);
        let outcome = self.publisher.tail(now.monotonic, tail, device, live, replaced, &mut self.spool);
        match outcome {
            TailOutcome::Stale => return,
            TailOutcome::Known => {}
            TailOutcome::WentBack { expected, found, slots } => {
                self.counters.rollbacks += 1;
                self.log(now, Log::StreamWentBack { expected, found, slots }, effects);
                let body = EventBody::StreamWentBack { expected, found };
                effects.push(Effect::Event(EventKind::Delivery, Box::new(body)));
            }
            TailOutcome::Conflict(conflict) => return self.conflict(now, conflict, effects),
        }
        self.log(now, Log::TailRead { end: self.publisher.end() }, effects);
        self.stored_period = tail.and_then(|(_, bytes)| Some(stored_period(&decode(bytes).ok()?)));
        self.needs_resync = true;
        self.anchor(now);
    }

    /// Anchors the stamper at the stream's end, which was stamped while this boot's clock was known.
    pub(super) fn anchor(&mut self, now: Now) {
        let Some((end, utc_ns)) = self.publisher.end_utc() else { return };
        let place = on_monotonic(now, utc_ns);
        let stored = self.stored_period.filter(|(boot, _)| *boot == end.boot);
        if let Some(stamper) = self.stamper.as_mut().filter(|stamper| stamper.boot() == end.boot) {
            stamper.anchor(end.seq, place, stored.map_or(stamper.period_ns(), |(_, period_ns)| period_ns));
        }
    }

    fn conflict(&mut self, now: Now, Conflict { found, stop }: Conflict, effects: &mut Vec<Effect>) {
        self.counters.conflicts += 1;
        // The session may be outdated: identify the device again.
        self.link.foreign(now.monotonic, &mut self.out);
        self.log(now, Log::Conflict { found: found.clone() }, effects);
        if stop {
            let reason = alloc::format!("the stream's end is not ours: {found}");
            effects.push(Effect::Event(EventKind::Delivery, Box::new(EventBody::Conflict { found })));
            effects.push(Effect::Stop { reason });
        }
    }

    pub(super) fn acknowledged(&mut self, now: Now, sequence: u64, effects: &mut Vec<Effect>) {
        self.counters.acknowledged += 1;
        let Some(gap) = self.publisher.acknowledge(now.monotonic, sequence, &mut self.spool) else { return };
        let reason = match gap.reason {
            GapReason::Ring => "ring",
            GapReason::Missed => "missed",
            GapReason::Discarded => "discarded",
            GapReason::Clock => "clock",
        };
        let Slot { boot, seq: from } = gap.first;
        let body = EventBody::GapNamed { boot, from, to: gap.end, reason: reason.to_string() };
        effects.push(Effect::Event(EventKind::Gap, Box::new(body)));
    }

    pub(super) fn refused(&mut self, now: Now, refused: Refused, effects: &mut Vec<Effect>) {
        self.counters.wrong_sequences += u64::from(refused == Refused::WrongSequence);
        self.counters.unknown += u64::from(refused == Refused::Unknown);
        if let Some(slots) = self.publisher.refuse(now.monotonic, refused) {
            self.counters.too_large += 1;
            self.log(now, Log::TooLarge { slots }, effects);
        }
    }

    /// Compares the read position with the slot that the stream needs.
    ///
    /// If the stream's end is known, the first slot after it that is not held is read next. Until then the device is
    /// read from the end of the held slots, or else from its oldest slot, and the samples are kept in memory.
    pub(super) fn aim(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.aim_at = None;
        let Some(session) = self.link.live() else { return };
        if !self.needs_resync && self.cursor.is_some() {
            return;
        }
        let boot = session.boot();
        let (next, oldest) = (session.next, session.oldest());
        let from = match (self.publisher.wanted(boot), &self.cursor) {
            (Some(wanted), _) if wanted > next => return,
            (Some(wanted), _) => self.first_missing(Slot::new(boot, wanted)),
            (None, Some(_)) => return,
            (None, None) => {
                let wait_until = self.accepted.after(self.settings.timing.tail_first);
                if self.publisher.is_connected() && now.monotonic < wait_until {
                    self.aim_at = Some(wait_until);
                    return;
                }
                self.spool.last_end(boot).unwrap_or(oldest)
            }
        };
        self.needs_resync = false;
        let expected = self.cursor.as_ref().map(|cursor| cursor.expected().seq);
        if expected == Some(from) {
            return;
        }
        self.cut(now);
        let slot = Slot::new(boot, from);
        let timing = self.settings.timing.decode;
        match &mut self.cursor {
            Some(cursor) => cursor.aim(from, now.monotonic),
            None => self.cursor = Some(Cursor::new(timing, slot, now.monotonic)),
        }
        if expected.is_none_or(|expected| from < expected || from - expected >= SKIP_MIN) && !self.full {
            self.resume(now);
            self.log(now, Log::Resumed { from: slot }, effects);
        }
    }

    /// The first slot from `slot` on that is neither in memory nor in the open batch.
    fn first_missing(&self, slot: Slot) -> u64 {
        let end = self.spool.contiguous_end(slot);
        match self.cutter.open() {
            Some((first, open)) if first.boot == slot.boot && (first.seq..open).contains(&end) => {
                self.spool.contiguous_end(Slot::new(slot.boot, open))
            }
            Some(_) | None => end,
        }
    }

    /// The last accepted device, for the publisher.
    fn live(&self) -> Option<Live> {
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

    /// The stamp of `record`, as far as the clocks are known now.
    pub(super) fn stamp(&self, now: Now, record: &Record) -> Stamp {
        let place = match record.stamp {
            Stamp::Stamped { .. } => return record.stamp,
            Stamp::Placed(place) => place,
            Stamp::Waiting => match self.place(now, record.first.boot, record.first.seq) {
                Some(place) => place,
                None => return Stamp::Waiting,
            },
        };
        let clock = self.clock(now);
        let waited = now.monotonic.since(self.calendar.since(now)) >= self.settings.timing.clock_wait;
        if clock == ClockQuality::Unsynced && !waited {
            return Stamp::Placed(place);
        }
        let ago = i64::try_from(now.monotonic.0).unwrap_or(i64::MAX).saturating_sub(place);
        Stamp::Stamped { utc_ns: now.utc.earlier_by(ago).0, clock }
    }

    /// The place of a slot on the monotonic clock, once the stamper is ready or the wait for it is over.
    fn place(&self, now: Now, boot: Boot, seq: u64) -> Option<i64> {
        let stamper = self.stamper.as_ref().filter(|stamper| stamper.boot() == boot)?;
        let waited = now.monotonic.since(stamper.since()) >= self.settings.timing.clock_wait;
        stamper.place(seq).filter(|_| stamper.is_ready() || waited)
    }

    pub(super) fn stamp_waiting(&mut self, now: Now) {
        self.stamp_at = None;
        if !self.spool.has_unstamped() {
            return;
        }
        let listening = self.stamper.as_ref().map(Stamper::since);
        let begun = [listening, Some(self.calendar.since(now))].into_iter().flatten();
        let ends = begun.map(|since| since.after(self.settings.timing.clock_wait));
        self.stamp_at = ends.filter(|&at| at > now.monotonic).min();
        let mut spool = core::mem::replace(&mut self.spool, crate::spool::Spool::new(0));
        spool.stamp(|record| self.stamp(now, record));
        self.spool = spool;
    }

    /// Places the waiting records of a boot that ends, with the current estimate of its clock.
    pub(super) fn place_the_rest(&mut self, now: Now) {
        if let Some(stamper) = &self.stamper {
            self.spool.stamp(|record| match (record.stamp, stamper.place(record.first.seq)) {
                (Stamp::Waiting, Some(place)) if record.first.boot == stamper.boot() => Stamp::Placed(place),
                (stamp, _) => stamp,
            });
        }
        self.stamp_waiting(now);
    }

    /// A message was moved up to the stored end: later stamps of the boot move with it.
    fn raise(&mut self, now: Now, slot: Slot, utc_ns: i64) {
        let place = on_monotonic(now, utc_ns);
        if let Some(stamper) = self.stamper.as_mut().filter(|stamper| stamper.boot() == slot.boot) {
            stamper.raise(slot.seq, place);
        }
    }
}

/// Boot and period of a message, in nanoseconds.
fn stored_period(packed: &Packed<'_>) -> (Boot, u32) {
    match packed {
        Packed::Batch(batch) => (batch.header.boot, batch.header.period_ns),
        Packed::Gap(gap) => (gap.boot, gap.period_ns),
    }
}

/// Converts a calendar time to the monotonic clock, by the current offset.
fn on_monotonic(now: Now, utc_ns: i64) -> i64 {
    let ago = now.utc.0.saturating_sub(utc_ns);
    i64::try_from(now.monotonic.0).unwrap_or(i64::MAX).saturating_sub(ago)
}
