//! The ledger: every slot of a boiler belongs to one UTC hour, counted or missing for a reason.
//!
//! An hour closes when a slot of a later one arrives, never by a clock. Hours are contiguous in slots: a slot is never
//! in an earlier hour than its predecessor, even if its stamp is. Three kinds of slots are not placed by their own
//! stamp:
//!
//! * slots between two boots have no number: they fill the time from the old boot's end to the new one's slot 0;
//! * slots stamped by an unsynchronised clock wait, and count in the hour of the next slot with trusted time;
//! * if a snapshot is stored, its `last` slot is the boundary, even if messages were cut differently since.
//!
//! A ledger continues from a stored snapshot: [`Ledger::recompute`] opens its hour again, so that the next hour finds
//! the same state (last draw, end of the boot, waiting slots) as in the previous run and yields the same bytes.

use alloc::collections::VecDeque;

use thermowell_wire::{BoilerId, Boot, Slot};

use crate::aggregate::Pane;
use crate::consume::slot_after;
use crate::published::{Missing, Snapshot};
use crate::time::{HOUR_NS, SECOND_NS, Utc, slots_ns};

mod hour;
#[cfg(test)]
mod tests;

use hour::HourContext;
pub use hour::{Hour, Reason, add_missing};

/// How long before its hour a replay must begin to contain the last relevant hot-water draw.
pub const WARM_UP_NS: i64 = 120 * SECOND_NS;
/// At most this many consecutive hours without a reading are published; further ones are only counted.
pub const EMPTY_HOURS_MAX: i64 = 48;

/// Consecutive slots of one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: Slot,
    pub count: u64,
    /// UTC of the first slot, nanoseconds since 1970.
    pub utc_ns: i64,
}

impl Span {
    fn advance(&mut self, slots: u64, period_ns: u32) {
        self.first.seq += slots;
        self.count -= slots;
        self.utc_ns = self.utc_ns.saturating_add(slots_ns(slots, period_ns));
    }

    fn last(&self) -> Slot {
        Slot::new(self.first.boot, self.first.seq + (self.count - 1))
    }
}

/// The facts common to all slots of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its sequence in SAMPLES.
    pub sequence: u64,
    /// Its first slot.
    pub first: Slot,
    /// UTC of that slot, nanoseconds since 1970.
    pub utc_ns: i64,
    /// UTC nanoseconds between two slots.
    pub period_ns: u32,
    /// The clock was synchronised.
    pub synced: bool,
    /// Not a real boiler.
    pub simulated: bool,
    /// It has readings, not a gap.
    pub is_batch: bool,
}

/// How far trusted time has advanced.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// The boot that reached it, or a later one that has not reached it yet.
    boot: Boot,
    /// Stamp of the newest slot: the high-water mark.
    newest_ns: i64,
    /// Stamp of the slot after it.
    end_ns: i64,
    /// The reason of the slots missing between it and the next boot.
    reason: Reason,
}

/// Slots without a trusted time yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    first: Slot,
    last: Slot,
    missing: Missing,
    /// How many of them belong to the boot of the last one.
    of_boot: u64,
}

/// The second to which readings are being added.
#[derive(Clone, Copy, Debug)]
struct Second {
    second: i64,
    pane: Pane,
    counted: bool,
}

/// The ledger of one boiler.
#[derive(Debug)]
pub struct Ledger {
    boiler: BoilerId,
    /// Slots before it only warm up the state.
    begin: Option<Slot>,
    /// The first hour of this ledger; `None` at the beginning of a history.
    floor: Option<i64>,
    /// The last slot of the open hour, if known from a stored snapshot.
    boundary: Option<Slot>,
    open: Option<Hour>,
    closed: VecDeque<Snapshot>,
    waiting: Option<Waiting>,
    mark: Option<Mark>,
    second: Option<Second>,
    last_draw: Option<i64>,
    last: Option<Slot>,
    /// The hour of the newest reading.
    read: Option<i64>,
    skipped_hours: u64,
    simulated: bool,
    /// The newest message.
    message: Option<u64>,
    /// The newest batch in trusted time: its sequence and its first stamp.
    batch: Option<(u64, i64)>,
    /// The newest such batch that begins early enough for a replay of the next hour.
    replay: Option<u64>,
}

impl Ledger {
    /// At the beginning of a history.
    #[must_use]
    pub fn new(boiler: BoilerId) -> Self {
        Self {
            boiler,
            begin: None,
            floor: None,
            boundary: None,
            open: None,
            closed: VecDeque::new(),
            waiting: None,
            mark: None,
            second: None,
            last_draw: None,
            last: None,
            read: None,
            skipped_hours: 0,
            simulated: false,
            message: None,
            batch: None,
            replay: None,
        }
    }

    /// The slot with which the recomputation of a stored hour begins.
    #[must_use]
    pub fn begin_of(stored: &Snapshot) -> Slot {
        stored.first.unwrap_or(slot_after(stored.last))
    }

    /// Opens the hour of `stored` again; slots before its first one only warm up the state.
    #[must_use]
    pub fn recompute(boiler: BoilerId, stored: &Snapshot) -> Self {
        let hour = hour_of(stored);
        Self {
            begin: Some(Self::begin_of(stored)),
            floor: Some(hour),
            boundary: Some(stored.last),
            open: Some(Hour::new(hour, stored.partial, stored.samples.replay)),
            last: Some(stored.last),
            skipped_hours: stored.skipped_hours,
            ..Self::new(boiler)
        }
    }

    /// Continues after `stored`, whose messages are gone: slots in between are `discarded`.
    #[must_use]
    pub fn after(boiler: BoilerId, stored: &Snapshot) -> Self {
        let hour = hour_of(stored);
        let end_ns = start_ns(hour + 1);
        Self {
            begin: Some(slot_after(stored.last)),
            floor: Some(hour + 1),
            mark: Some(Mark {
                boot: stored.last.boot,
                newest_ns: end_ns.saturating_sub(1),
                end_ns,
                reason: Reason::Discarded,
            }),
            last: Some(stored.last),
            read: Some(hour),
            ..Self::new(boiler)
        }
    }

    /// The open hour.
    #[must_use]
    pub fn open(&self) -> Option<&Hour> {
        self.open.as_ref()
    }

    /// Takes the oldest closed hour.
    pub fn take_closed(&mut self) -> Option<Snapshot> {
        self.closed.pop_front()
    }

    /// The high-water mark: readings stamped at or below it are counted as missing for `clock`.
    #[must_use]
    pub fn newest_ns(&self) -> Option<i64> {
        self.mark.map(|mark| mark.newest_ns)
    }

    /// Begins a message: accounts for the time between two boots. [`Ledger::leave`] ends it.
    pub fn enter(&mut self, head: &Head) {
        let Some(mark) = self.mark.filter(|mark| head.synced && mark.boot != head.first.boot) else { return };
        let zero_ns = head.utc_ns.saturating_sub(slots_ns(head.first.seq, head.period_ns));
        let period = i64::from(head.period_ns);
        let between = zero_ns.saturating_sub(mark.end_ns).saturating_add(period / 2).div_euclid(period);
        let waiting_slots = self.waiting.map_or(0, |waiting| waiting.before(head.first));
        let slots = u64::try_from(between).unwrap_or(0).saturating_sub(waiting_slots);
        let from_ns = mark.end_ns.saturating_add(slots_ns(waiting_slots, head.period_ns));
        self.fill(Span { first: Slot::new(head.first.boot, 0), count: slots, utc_ns: from_ns }, head, mark.reason);
    }

    /// Records the slots of `span` as missing for `reason`.
    pub fn record_missing(&mut self, mut span: Span, reason: Reason, head: &Head) {
        if !self.cut_begin(&mut span, head.period_ns) {
            return;
        }
        if !head.synced {
            Waiting::add(&mut self.waiting, &span, reason);
            return;
        }
        self.settle(&span, head);
        while span.count > 0 {
            let (hour, slots) = self.reach(&span, head.period_ns);
            let part = Span { count: slots, ..span };
            let open = self.place(hour, head);
            add_missing(&mut open.missing, reason, slots);
            open.untrusted |= reason == Reason::Clock;
            open.extend(part.first, part.last(), head);
            self.last = Some(part.last());
            span.advance(slots, head.period_ns);
        }
    }

    /// How many slots from `slot` on may be counted in one piece.
    #[must_use]
    pub fn uncut(&self, slot: Slot) -> u64 {
        let cuts = [self.begin, self.boundary.map(slot_after)];
        let ahead = cuts.into_iter().flatten().filter(|cut| cut.boot == slot.boot && cut.seq > slot.seq);
        ahead.map(|cut| cut.seq - slot.seq).min().unwrap_or(u64::MAX)
    }

    /// Counts the readings of `span`, which are in one second and on one side of every cut; `pane` is their sum.
    pub fn count(&mut self, span: &Span, pane: &Pane, head: &Head) {
        let second = Utc(span.utc_ns).second();
        if self.begin.is_some_and(|begin| span.first < begin) {
            // Whatever its stamp, it was read before the hour that follows.
            let hour = Utc(span.utc_ns).hour();
            self.read = self.read.max(Some(self.floor.map_or(hour, |floor| hour.min(floor))));
            self.add(second, pane, false);
            return;
        }
        self.begin = None;
        self.settle(span, head);
        let (hour, _) = self.reach(span, head.period_ns);
        let open = self.place(hour, head);
        open.count(pane, head.period_ns);
        open.extend(span.first, span.last(), head);
        self.last = Some(span.last());
        self.read = Some(hour);
        self.add(second, pane, true);
    }

    /// Ends a message; `end_ns` is the stamp of the slot after it.
    pub fn leave(&mut self, head: &Head, end_ns: i64) {
        self.message = Some(head.sequence);
        self.simulated = head.simulated;
        self.replay.get_or_insert(head.sequence);
        if !head.synced {
            return;
        }
        let newest_ns = end_ns.saturating_sub(i64::from(head.period_ns));
        let before = self.mark;
        self.mark = Some(Mark {
            boot: head.first.boot,
            newest_ns: before.map_or(newest_ns, |mark| mark.newest_ns.max(newest_ns)),
            end_ns: before.map_or(end_ns, |mark| mark.end_ns.max(end_ns)),
            reason: Reason::Reboot,
        });
        if head.is_batch && before.is_none_or(|mark| head.utc_ns > mark.newest_ns) {
            self.batch = Some((head.sequence, head.utc_ns));
            self.choose_replay();
        }
    }

    /// Replays of the next hour start at the newest batch that begins early enough.
    fn choose_replay(&mut self) {
        if let (Some(open), Some((sequence, utc_ns))) = (&self.open, self.batch)
            && utc_ns <= start_ns(open.hour + 1).saturating_sub(WARM_UP_NS)
        {
            self.replay = Some(sequence);
        }
    }

    /// Drops the part of `span` before the beginning; returns false if nothing is left.
    fn cut_begin(&mut self, span: &mut Span, period_ns: u32) -> bool {
        if let Some(begin) = self.begin.filter(|begin| span.first < *begin) {
            let before = if span.first.boot < begin.boot { span.count } else { begin.seq - span.first.seq };
            span.advance(before.min(span.count), period_ns);
        }
        if span.count > 0 {
            self.begin = None;
        }
        span.count > 0
    }

    /// The hour of the first slot of `span`, and how many of the slots are in it.
    fn reach(&self, span: &Span, period_ns: u32) -> (i64, u64) {
        let stamped = Utc(span.utc_ns).hour();
        let least = match (&self.open, self.boundary) {
            (Some(open), Some(boundary)) if span.first <= boundary => {
                let same_boot = boundary.boot == span.first.boot;
                let slots = if same_boot { boundary.seq - span.first.seq + 1 } else { span.count };
                return (open.hour, slots.min(span.count));
            }
            (Some(open), Some(_)) => open.hour + 1,
            (Some(open), None) => open.hour,
            (None, _) => self.floor.unwrap_or(stamped),
        };
        let hour = stamped.max(least);
        (hour, slots_until(start_ns(hour + 1), span.utc_ns, period_ns).min(span.count))
    }

    /// Accounts for the slots between two boots, which have a time but no number; `span.first` is slot 0 of the later
    /// boot.
    fn fill(&mut self, mut span: Span, head: &Head, reason: Reason) {
        let next = span.first;
        if self.begin.is_some_and(|begin| next.boot < begin.boot || (next.boot == begin.boot && begin.seq > 0)) {
            return;
        }
        let within = self.boundary.is_some_and(|boundary| next <= boundary);
        while span.count > 0 {
            let stamped = Utc(span.utc_ns).hour();
            let open = self.open.as_ref().map(|open| open.hour);
            let (hour, until) = match (open, self.floor) {
                // Belongs to another hour, which was closed before `begin`.
                (_, Some(floor)) if stamped < floor => (None, floor),
                (Some(open), _) if within => (Some(open), stamped + 1),
                (open, _) => (Some(stamped.max(open.unwrap_or(stamped))), stamped.max(open.unwrap_or(stamped)) + 1),
            };
            let slots = slots_until(start_ns(until), span.utc_ns, head.period_ns).min(span.count);
            if let Some(hour) = hour {
                add_missing(&mut self.place(hour, head).missing, reason, slots);
            }
            span.utc_ns = span.utc_ns.saturating_add(slots_ns(slots, head.period_ns));
            span.count -= slots;
        }
    }

    /// Places the waiting slots at the time of the first slot of `span`.
    fn settle(&mut self, span: &Span, head: &Head) {
        let Some(waiting) = self.waiting.take() else { return };
        let inside = self.boundary.is_some_and(|boundary| waiting.last <= boundary);
        let hour = match &self.open {
            Some(open) if inside => open.hour,
            Some(_) | None => self.reach(span, head.period_ns).0,
        };
        let open = self.place(hour, head);
        open.missing += waiting.missing;
        open.untrusted = true;
        open.extend(waiting.first, waiting.last, head);
        self.last = Some(waiting.last);
    }

    /// Makes `hour` the open one and closes those before it.
    fn place(&mut self, hour: i64, head: &Head) -> &mut Hour {
        if self.open.is_none() {
            let (first, partial) = (self.floor.unwrap_or(hour), self.floor.is_none());
            self.open = Some(Hour::new(first.min(hour), partial, self.replay.unwrap_or(head.sequence)));
        }
        while let Some(open) = self.open.take_if(|open| open.hour < hour) {
            self.close(&open, head);
            self.open = Some(Hour::new(open.hour + 1, false, self.replay.unwrap_or(head.sequence)));
            self.choose_replay();
        }
        self.open.as_mut().expect("opened above")
    }

    fn close(&mut self, open: &Hour, head: &Head) {
        let mut open = open.clone();
        self.end_second(Some(&mut open));
        self.boundary = None;
        self.last = open.last().or(self.last);
        if open.hour - *self.read.get_or_insert(open.hour) > EMPTY_HOURS_MAX {
            self.skipped_hours += 1;
            return;
        }
        let context = HourContext {
            boiler: &self.boiler,
            skipped_hours: core::mem::take(&mut self.skipped_hours),
            simulated: self.simulated,
            last: self.last,
            message: self.message.unwrap_or(head.sequence),
        };
        self.closed.push_back(open.snapshot(&context));
    }

    /// Adds readings to their second. Whether it is a heating second is decided when it ends.
    fn add(&mut self, second: i64, pane: &Pane, counted: bool) {
        match &mut self.second {
            Some(current) if current.second == second && current.counted == counted => current.pane.merge(pane),
            Some(_) | None => {
                let mut open = self.open.take();
                self.end_second(open.as_mut());
                self.open = open;
                self.second = Some(Second { second, pane: *pane, counted });
            }
        }
    }

    /// Ends the second and decides whether it is a heating second.
    fn end_second(&mut self, open: Option<&mut Hour>) {
        let Some(Second { second, pane, counted }) = self.second.take() else { return };
        if let Some(open) = open.filter(|_| counted && pane.is_heating(second, self.last_draw)) {
            open.heating.add(&pane);
        }
        if pane.has_draw() {
            self.last_draw = Some(second);
        }
    }
}

impl Waiting {
    fn add(waiting: &mut Option<Self>, span: &Span, reason: Reason) {
        let last = span.last();
        let fresh = Self { first: span.first, last, missing: Missing::default(), of_boot: 0 };
        let waiting = waiting.get_or_insert(fresh);
        if waiting.last.boot != last.boot {
            waiting.of_boot = 0;
        }
        waiting.of_boot = waiting.of_boot.saturating_add(span.count);
        waiting.last = last;
        add_missing(&mut waiting.missing, reason, span.count);
    }

    /// How many of them belong to other boots than that of `slot`.
    fn before(&self, slot: Slot) -> u64 {
        let same = if self.last.boot == slot.boot { self.of_boot } else { 0 };
        self.missing.total() - same
    }
}

/// The hour of a snapshot, in hours since 1970.
#[must_use]
pub fn hour_of(snapshot: &Snapshot) -> i64 {
    snapshot.created_at.div_euclid(3_600) - 1
}

fn start_ns(hour: i64) -> i64 {
    hour.saturating_mul(HOUR_NS)
}

/// How many slots from `from_ns` on begin before `end_ns`; at least one, and all of them where `end_ns` is saturated.
fn slots_until(end_ns: i64, from_ns: i64, period_ns: u32) -> u64 {
    if end_ns == i64::MAX {
        return u64::MAX;
    }
    let left = u64::try_from(end_ns.saturating_sub(from_ns)).unwrap_or(0);
    left.div_ceil(u64::from(period_ns)).max(1)
}
