//! What must be true of the stream when a world ends.

use alloc::format;
use core::mem::take;

use thermowell_wire::Slot;
use thermowell_wire::batch::{Packed, decode};
use thermowell_wire::line::GapReason;

use super::super::device::{PERIOD_NS, reading};
use super::super::stream::Message;
use super::{START, UTC_NS, World};

impl World {
    pub(super) fn judge(&mut self) {
        if let Some(found) = self.unjustified.take() {
            self.fail(&format!("a gap that nobody needed: {found}"));
        }
        let messages = take(&mut self.stream.messages);
        let mut before: Option<(Slot, i64)> = None;
        for message in &messages {
            let packed = decode(&message.payload).unwrap();
            self.judge_order(&packed, before);
            match &packed {
                Packed::Gap(gap) if gap.reason == GapReason::Missed => {
                    let named = (gap.from..gap.to).all(|seq| reading(gap.boot, seq).is_none());
                    self.check(named, &format!("missed slots: {gap:?}"));
                }
                Packed::Gap(_) => {}
                Packed::Batch(batch) => {
                    for (seq, got) in (batch.header.seq..).zip(batch.readings()) {
                        let taken = reading(batch.header.boot, seq);
                        self.check(taken == Some(got), &format!("slot {seq}: {got:?} instead of {taken:?}"));
                    }
                }
            }
            self.judge_stamp(&packed);
            before = Some((packed.end(), packed.end_utc_ns()));
        }
        self.judge_ended_boots(&messages);
    }

    fn judge_order(&self, packed: &Packed<'_>, before: Option<(Slot, i64)>) {
        let first = packed.first();
        let Some((end, end_utc_ns)) = before else {
            let ring = matches!(packed, Packed::Gap(gap) if gap.reason == GapReason::Ring);
            return self.check(!ring, "a history begins with a gap of the ring");
        };
        let goes_on =
            if first.boot == end.boot { first.seq == end.seq } else { first.boot > end.boot && first.seq == 0 };
        self.check(goes_on, &format!("{first} follows {end}"));
        if self.faults.lossless && first.boot == end.boot {
            let back = end_utc_ns - utc_ns(packed);
            let half = i64::try_from(PERIOD_NS / 2).unwrap();
            self.check(back <= half || back > 20_000_000, &format!("{first} goes back by {back} ns"));
        }
    }

    /// Stamps are true within what three pongs can know.
    fn judge_stamp(&self, packed: &Packed<'_>) {
        let first = packed.first();
        let zero = self.past.iter().find(|past| past.boot == first.boot).map(|past| past.slot_zero);
        let zero = zero.unwrap_or(self.device.booted);
        let into = i64::try_from(first.seq * PERIOD_NS).unwrap();
        // Oscillators differ by at most 60 ppm, over two minutes at most.
        let truth = UTC_NS + i64::try_from(zero).unwrap() - i64::try_from(START).unwrap() + into;
        let off = utc_ns(packed) - truth;
        self.check(off.abs() < 400_000_000, &format!("{first} is stamped {off} ns beside the truth"));
    }

    /// On a clean line everything that an ended boot sent to a living agent arrives.
    fn judge_ended_boots(&self, messages: &[Message]) {
        for past in &self.past {
            let of_boot = messages.iter().map(|message| decode(&message.payload).unwrap().end());
            let end = of_boot.filter(|end| end.boot == past.boot).map(|end| end.seq).max().unwrap_or(0);
            self.check(end <= past.slots, &format!("{} ended at {}, the stream has {end}", past.boot, past.slots));
            let arrived = !self.only_reboots || end >= past.sent;
            self.check(arrived, &format!("{} sent up to {}, the stream has {end}", past.boot, past.sent));
        }
    }
}

fn utc_ns(packed: &Packed<'_>) -> i64 {
    match packed {
        Packed::Batch(batch) => batch.header.first_utc_ns,
        Packed::Gap(gap) => gap.from_utc_ns,
    }
}
