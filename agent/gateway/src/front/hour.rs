//! The last hour of one boiler as SAMPLES has it: a pane for each second, and every hole with its reason
//! ([`crate::samples`]).

use std::collections::VecDeque;

use thermowell_flow::aggregate::{Pane, WINDOW_S, Window};
use thermowell_flow::snapshot;
use thermowell_flow::time::{SECOND_NS, Utc};
use thermowell_wire::batch::Batch;

use crate::output::word;
use crate::samples::Unpack;

/// The most holes that are kept. A device that misses slots every few seconds has more; then the oldest are drawn
/// without a reason.
const HOLES_MAX: usize = 512;
/// Holes that are less than this apart are one: two slots.
const APART_NS: i64 = 20_000_000;

/// The last hour of one boiler.
#[derive(Debug, Default)]
pub(super) struct LastHour {
    unpack: Unpack,
    window: Window,
    holes: VecDeque<Hole>,
    /// The stamp of the slot after the newest one.
    end: Option<Utc>,
}

/// Slots that are missing for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// Its beginning and end, UTC nanoseconds.
    pub(super) from_ns: i64,
    pub(super) to_ns: i64,
    /// As in a snapshot's `missing`.
    pub(super) reason: Reason,
}

/// Why slots are missing, as in a snapshot's `missing`: also those of an invalid reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    Ring,
    Reboot,
    Missed,
    Clock,
    Discarded,
    Unexplained,
    /// Read, but not valid.
    Invalid,
}

impl LastHour {
    /// Takes the next message of SAMPLES. One that is malformed, or has been seen, changes nothing.
    pub(super) fn observe(&mut self, sequence: u64, bytes: &[u8]) {
        let Some(message) = self.unpack.observe(sequence, bytes) else { return };
        if message.is_other_axis {
            self.window.clear();
            self.holes.clear();
        }
        for hole in &message.holes {
            self.miss(hole.from_ns, hole.to_ns, hole.reason.into());
        }
        if let Some((batch, seen)) = &message.batch {
            self.add(batch, *seen);
        }
        self.end = Some(Utc(message.end_ns));
        self.forget();
    }

    /// Sets the first sequence of SAMPLES, so that what was removed from it is not called unexplained.
    pub(super) fn stream_begins_at(&mut self, first_sequence: u64) {
        self.unpack.stream_begins_at(first_sequence);
    }

    /// The stamp of the slot after the newest one.
    pub(super) fn end(&self) -> Option<Utc> {
        self.end
    }

    /// The readings of a second; none if it has no valid one.
    pub(super) fn pane(&self, second: i64) -> Option<&Pane> {
        self.window.pane(second).filter(|pane| pane.points > 0)
    }

    /// Every hole that is known, in time: those of the messages, and the seconds whose readings are all invalid.
    pub(super) fn holes(&self) -> Vec<Hole> {
        let mut holes: Vec<Hole> = self.holes.iter().copied().collect();
        let newest = self.window.newest().unwrap_or(0);
        for second in newest - WINDOW_S + 1..=newest {
            if !self.window.pane(second).is_some_and(|pane| pane.points == 0 && pane.invalid > 0) {
                continue;
            }
            let (from_ns, to_ns) = (second * SECOND_NS, (second + 1) * SECOND_NS);
            match holes.last_mut() {
                Some(last) if last.reason == Reason::Invalid && last.to_ns == from_ns => last.to_ns = to_ns,
                Some(_) | None => holes.push(Hole { from_ns, to_ns, reason: Reason::Invalid }),
            }
        }
        holes.sort_by_key(|hole| hole.from_ns);
        holes
    }

    fn add(&mut self, batch: &Batch<'_>, seen: usize) {
        let mut newest = self.window.newest().unwrap_or(i64::MIN);
        let mut pane = Pane::EMPTY;
        for (at, reading) in (0..batch.header.count).zip(batch.readings()).skip(seen) {
            let second = Utc(batch.header.utc_ns(at)).second();
            // A stamp that went back is not averaged, so it is not drawn.
            if second < newest {
                continue;
            }
            if second > newest && pane != Pane::EMPTY {
                self.window.add(newest, &pane);
                pane = Pane::EMPTY;
            }
            newest = second;
            pane.add(reading);
        }
        if pane != Pane::EMPTY {
            self.window.add(newest, &pane);
        }
    }

    fn miss(&mut self, from_ns: i64, to_ns: i64, reason: Reason) {
        if to_ns <= from_ns {
            return;
        }
        match self.holes.back_mut() {
            Some(last) if last.reason == reason && (from_ns - last.to_ns).abs() < APART_NS => last.to_ns = to_ns,
            Some(_) | None => self.holes.push_back(Hole { from_ns, to_ns, reason }),
        }
    }

    /// Drops what has left the hour.
    fn forget(&mut self) {
        let begin_ns = self.end.map_or(i64::MIN, |end| end.0.saturating_sub((WINDOW_S + 60) * SECOND_NS));
        while self.holes.len() > HOLES_MAX || self.holes.front().is_some_and(|hole| hole.to_ns < begin_ns) {
            self.holes.pop_front();
        }
    }
}

impl Hole {
    /// `5:00 min missing · reboot`.
    pub(super) fn text(&self) -> String {
        let seconds = (self.to_ns - self.from_ns + SECOND_NS / 2) / SECOND_NS;
        let length = match seconds {
            0..60 => format!("{seconds} s"),
            60.. | i64::MIN..0 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        };
        format!("{length} missing · {}", word(&self.reason))
    }
}

impl From<snapshot::Reason> for Reason {
    fn from(reason: snapshot::Reason) -> Self {
        match reason {
            snapshot::Reason::Ring => Self::Ring,
            snapshot::Reason::Reboot => Self::Reboot,
            snapshot::Reason::Missed => Self::Missed,
            snapshot::Reason::Clock => Self::Clock,
            snapshot::Reason::Discarded => Self::Discarded,
            snapshot::Reason::Unexplained => Self::Unexplained,
        }
    }
}

#[cfg(test)]
mod tests {
    use thermowell_wire::line::GapReason;

    use super::super::testing::{BOOT, NOON_NS, Stream};
    use super::*;

    fn reasons(hour: &LastHour) -> Vec<(i64, i64, Reason)> {
        let second = |ns: i64| (ns - NOON_NS) / SECOND_NS;
        hour.holes().iter().map(|hole| (second(hole.from_ns), second(hole.to_ns), hole.reason)).collect()
    }

    #[test]
    fn each_second_has_its_pane() {
        let mut stream = Stream::default();
        stream.seconds(10, 4_700);
        let hour = stream.hour;
        let noon = Utc(NOON_NS).second();
        for second in noon..noon + 10 {
            let pane = hour.pane(second).unwrap();
            assert_eq!((pane.points, pane.sum), (100, 470_000), "{second}");
        }
        assert!(hour.pane(noon + 10).is_none() && hour.pane(noon - 1).is_none());
        assert_eq!(hour.end(), Some(Utc(NOON_NS + 10 * SECOND_NS)));
    }

    /// Rule 5: a gap is named from slots; a reboot's has no message.
    #[test]
    fn holes_have_length_and_reason_also_between_boots() {
        let mut stream = Stream::default();
        stream.seconds(5, 4_700);
        stream.gap(20, GapReason::Ring);
        stream.seconds(5, 4_700);
        stream.reboot(300);
        stream.seconds(5, 4_700);
        assert_eq!(reasons(&stream.hour), [(5, 25, Reason::Ring), (30, 330, Reason::Reboot)]);
        let texts: Vec<String> = stream.hour.holes().iter().map(Hole::text).collect();
        assert_eq!(texts, ["20 s missing · ring", "5:00 min missing · reboot"]);
    }

    #[test]
    fn skipped_slots_are_unexplained_or_discarded() {
        let mut stream = Stream::default();
        stream.seconds(5, 4_700);
        stream.skip(10);
        stream.seconds(5, 4_700);
        assert_eq!(reasons(&stream.hour), [(5, 15, Reason::Unexplained)]);
        let mut stream = Stream::default();
        stream.seconds(5, 4_700);
        stream.skip(10);
        stream.hour.stream_begins_at(9);
        stream.sequence = 9;
        stream.seconds(5, 4_700);
        assert_eq!(reasons(&stream.hour), [(5, 15, Reason::Discarded)]);
    }

    #[test]
    fn unreadable_sensor_is_a_hole() {
        let mut stream = Stream::default();
        stream.seconds(5, 4_700);
        stream.invalid(7);
        stream.seconds(5, 4_700);
        assert_eq!(reasons(&stream.hour), [(5, 12, Reason::Invalid)]);
    }

    #[test]
    fn repeated_and_malformed_messages_change_nothing() {
        let mut stream = Stream::default();
        stream.seconds(5, 4_700);
        let last = stream.last.clone();
        stream.hour.observe(9, &last);
        stream.hour.observe(10, b"garbage");
        let noon = Utc(NOON_NS).second();
        assert_eq!(stream.hour.pane(noon + 4).map(|pane| pane.points), Some(100));
        assert_eq!(reasons(&stream.hour), []);
        assert_eq!(stream.boot, BOOT);
    }

    #[test]
    fn what_left_the_hour_is_forgotten() {
        let mut stream = Stream::default();
        stream.seconds(5, 4_700);
        stream.gap(20, GapReason::Ring);
        stream.gap(4_000, GapReason::Ring);
        stream.seconds(1, 4_700);
        assert_eq!(reasons(&stream.hour).len(), 1, "it reaches into the hour");
        stream.reboot(4_000);
        stream.seconds(1, 4_700);
        assert_eq!(reasons(&stream.hour), [(4_026, 8_026, Reason::Reboot)]);
        for _ in 0..HOLES_MAX {
            stream.gap(1, GapReason::Ring);
            stream.seconds(1, 4_700);
        }
        assert!(stream.hour.holes().len() <= HOLES_MAX);
    }
}
