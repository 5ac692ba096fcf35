//! SAMPLES against the account: each slot once, in order, with the value that was sampled, or named as missing.

use std::collections::BTreeMap;
use std::ops::Range;

use firmware_sim::account::{AccountError, Boiler, BootRecord, Readings};
use serde::Serialize;
use thermowell::output::word;
use thermowell_wire::batch::{self, Batch, Gap, Packed};
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, Reading, Slot};

use super::ledger::Seconds;

/// What SAMPLES holds of one boiler.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SamplesBook {
    /// Slots with a reading.
    pub slots: u64,
    /// Slots that were stored more than once.
    pub twice: u64,
    /// Messages that begin before the end of the previous one.
    pub back: u64,
    /// Slots that are missing and not named.
    pub lost: u64,
    /// Slots named as missing.
    pub named: u64,
    /// Readings that differ from what was sampled.
    pub wrong: u64,
    /// Slots whose stamps are not after the previous ones: in no average, and named `clock` in their hour.
    pub stamped_back: u64,
    /// Messages that cannot be read.
    pub malformed: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// The largest error of a stamp, in real milliseconds.
    pub worst_stamp_ms: f64,
    /// The slot after the last one that was stored, by boot.
    #[serde(skip)]
    pub ends: BTreeMap<Boot, u64>,
    /// What SAMPLES names as lost by the ring, by boot, in order.
    #[serde(skip)]
    pub ring: BTreeMap<Boot, Vec<Range<u64>>>,
    /// Sums of valid readings by stamped second.
    #[serde(skip)]
    pub seconds: Seconds,
}

impl SamplesBook {
    /// Nothing is missing, not even named; nothing is stored twice; all is in order and as sampled.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Self { slots, twice, back, lost, named, wrong, malformed, .. } = *self;
        slots > 0 && [twice, back, lost, named, wrong, malformed] == [0; 6]
    }

    /// The main counts as text.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { slots, twice, back, lost, named, wrong, malformed, messages, .. } = *self;
        format!(
            "{slots} samples in {messages} messages: {lost} lost, {twice} twice, {wrong} wrong, {back} out of order, \
             {named} named missing, {malformed} malformed"
        )
    }
}

/// Reads one boiler's messages in order.
pub struct SamplesReader<'a> {
    account: Option<&'a Boiler>,
    speed: u32,
    book: SamplesBook,
    next: Option<Slot>,
    /// The latest stamp so far.
    newest_ns: Option<i64>,
    cursor: Option<Cursor<'a>>,
    problems: Vec<String>,
}

/// A position in the account's slots of one boot.
struct Cursor<'a> {
    record: &'a BootRecord,
    at: u64,
    readings: Readings,
}

impl<'a> SamplesReader<'a> {
    /// A reader before the first message. Without an account only slots are checked.
    #[must_use]
    pub fn new(account: Option<&'a Boiler>, speed: u32) -> Self {
        let book = SamplesBook::default();
        Self { account, speed, book, next: None, newest_ns: None, cursor: None, problems: Vec::new() }
    }

    /// Takes the next message of the boiler's subject.
    ///
    /// # Errors
    /// The account cannot be read.
    pub fn take(&mut self, sequence: u64, payload: &[u8]) -> Result<(), AccountError> {
        self.book.messages += 1;
        self.book.bytes += u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let packed = match batch::decode(payload) {
            Ok(packed) => packed,
            Err(error) => {
                self.book.malformed += 1;
                self.problem(format!("message {sequence} is malformed: {error}"));
                return Ok(());
            }
        };
        self.order(sequence, packed.first(), packed.end());
        let last_ns = match packed {
            Packed::Batch(batch) => {
                self.batch(sequence, &batch)?;
                batch.header.utc_ns(batch.header.count - 1)
            }
            Packed::Gap(gap) => {
                self.gap(sequence, &gap);
                packed.end_utc_ns() - i64::from(gap.period_ns)
            }
        };
        self.newest_ns = self.newest_ns.max(Some(last_ns));
        let end = packed.end();
        let reached = self.book.ends.entry(end.boot).or_default();
        *reached = end.seq.max(*reached);
        // A repeated message must not hide that the next one repeats, nor make it look like a repeat.
        self.next = self.next.max(Some(end));
        Ok(())
    }

    /// The result.
    #[must_use]
    pub fn finish(self, problems: &mut Vec<String>) -> SamplesBook {
        problems.extend(self.problems);
        self.book
    }

    /// The message must begin at the end of the previous one, or at the beginning of a later boot.
    fn order(&mut self, sequence: u64, first: Slot, end: Slot) {
        let expected = match self.next {
            Some(next) if next.boot == first.boot => next,
            Some(_) | None => Slot::new(first.boot, 0),
        };
        if self.next.is_some_and(|next| first.boot < next.boot) {
            self.problem(format!("message {sequence} goes back to boot {}", first.boot));
        }
        if first > expected {
            self.book.lost += first.seq - expected.seq;
            self.problem(format!("message {sequence} begins at {first}, expected {expected}"));
        }
        if first < expected || self.next.is_some_and(|next| first.boot < next.boot) {
            self.book.back += 1;
        }
        if first < expected {
            self.book.twice += expected.seq.min(end.seq) - first.seq;
            self.problem(format!("message {sequence} repeats {first}, expected {expected}"));
        }
    }

    fn batch(&mut self, sequence: u64, batch: &Batch<'_>) -> Result<(), AccountError> {
        let header = batch.header;
        let Some(account) = self.account else {
            self.book.slots += u64::from(header.count);
            return Ok(());
        };
        let Some(record) = account.boot(header.boot) else {
            self.problem(format!("message {sequence} is of boot {}, which the simulator never started", header.boot));
            return Ok(());
        };
        self.stamp(record, header.seq, header.first_utc_ns);
        self.seek(record, header.seq)?;
        for (index, found) in (0..header.count).zip(batch.readings()) {
            let sampled = self.cursor.as_mut().and_then(|cursor| {
                cursor.at += 1;
                cursor.readings.next()
            });
            self.book.slots += 1;
            let sampled = sampled.transpose()?.flatten();
            if sampled != Some(found) {
                self.book.wrong += 1;
                if self.book.wrong == 1 {
                    let slot = header.seq + u64::from(index);
                    let (found, sampled) = (shown(Some(found)), shown(sampled));
                    self.problem(format!("slot {slot} of message {sequence} is {found}, sampled was {sampled}"));
                }
            }
            let stamp_ns = header.utc_ns(index);
            if self.newest_ns.is_some_and(|newest_ns| stamp_ns <= newest_ns) {
                self.book.stamped_back += 1;
            } else if let Some(reading) = sampled.filter(|reading| reading.is_valid()) {
                let second = stamp_ns.div_euclid(1_000_000_000);
                let (sum, count) = self.book.seconds.entry(second).or_default();
                *sum += i64::from(reading.temperature.0);
                *count += 1;
            }
        }
        Ok(())
    }

    fn gap(&mut self, sequence: u64, gap: &Gap) {
        self.book.named += gap.count();
        if gap.reason == GapReason::Ring {
            self.book.ring.entry(gap.boot).or_default().push(gap.from..gap.to);
        }
        let Some(account) = self.account else { return };
        let known = account.boot(gap.boot).is_some_and(|record| {
            let destroyed = match gap.reason {
                GapReason::Ring => &record.ring_gaps,
                GapReason::Missed => &record.missed,
                GapReason::Discarded | GapReason::Clock => return false,
            };
            destroyed.iter().any(|range| range.start <= gap.from && gap.to <= range.end)
        });
        if !known {
            let Gap { from, to, reason, .. } = gap;
            self.problem(format!(
                "message {sequence} names slots {from} to {to} {reason}; the simulator has no such gap"
            ));
        }
    }

    fn stamp(&mut self, record: &BootRecord, seq: u64, stamped_ns: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a stamp that is off by more than 2^53 ns is off anyway")]
        let off = (stamped_ns - record.utc_ns(seq)) as f64 / 1e6 / f64::from(self.speed);
        if off.abs() > self.book.worst_stamp_ms.abs() {
            self.book.worst_stamp_ms = off;
        }
    }

    fn seek(&mut self, record: &'a BootRecord, seq: u64) -> Result<(), AccountError> {
        let there = self.cursor.as_ref().is_some_and(|c| c.record.boot == record.boot && c.at == seq);
        if !there {
            let readings = record.readings(seq..record.slots)?;
            self.cursor = Some(Cursor { record, at: seq, readings });
        }
        Ok(())
    }

    /// Keeps the first problems; the counts are complete.
    fn problem(&mut self, problem: String) {
        if self.problems.len() < 10 {
            self.problems.push(problem);
        }
    }
}

/// A reading for people: `61.37 °C (ok, pump, flame)`.
fn shown(reading: Option<Reading>) -> String {
    let Some(reading) = reading else { return "nothing".to_owned() };
    let quality = word(&reading.quality());
    let flags = [(reading.pump(), ", pump"), (reading.hot_water(), ", hot water"), (reading.flame(), ", flame")];
    let flags: String = flags.iter().filter(|(is_on, _)| *is_on).map(|(_, flag)| *flag).collect();
    format!("{} °C ({quality}{flags})", reading.temperature)
}

#[cfg(test)]
mod tests {
    use thermowell_flow::batch::{Origin, Record};
    use thermowell_wire::batch::ClockQuality;
    use thermowell_wire::{CentiCelsius, Quality};

    use super::*;

    fn message(first: u64) -> Vec<u8> {
        let origin = Origin { device: 7, period_ns: 10_000_000, simulated: true };
        let record = Record::samples(Slot::new(Boot(1), first), &[Reading::default(); 100], origin, &mut Vec::new());
        record.message(first..record.end, 1_000, ClockQuality::Synced)
    }

    fn book(messages: &[Vec<u8>]) -> SamplesBook {
        let mut reader = SamplesReader::new(None, 1);
        (1..).zip(messages).for_each(|(sequence, message)| reader.take(sequence, message).unwrap());
        let mut problems = Vec::new();
        let book = reader.finish(&mut problems);
        assert!(book.is_whole() == problems.is_empty() || messages.is_empty(), "{problems:?}");
        book
    }

    #[test]
    fn a_book_counts_what_is_lost_twice_and_back() {
        let whole = book(&[0, 100, 200].map(message));
        assert!(whole.is_whole() && whole.slots == 300 && whole.messages == 3, "{whole:?}");
        let found = |firsts: &[u64]| {
            let book = book(&firsts.iter().map(|first| message(*first)).collect::<Vec<_>>());
            assert!(!book.is_whole());
            (book.lost, book.twice, book.back)
        };
        assert_eq!(found(&[100, 200]), (100, 0, 0), "a history begins with slot 0");
        assert_eq!(found(&[0, 200]), (100, 0, 0));
        assert_eq!(found(&[0, 100, 100]), (0, 100, 1));
        assert_eq!(found(&[0, 50, 150]), (0, 50, 1));
        assert_eq!(found(&[0, 100, 200, 0, 300]), (0, 100, 1), "what follows a repeat is measured as before");
        assert_eq!(found(&[]), (0, 0, 0));
        let torn = book(&[message(0), vec![1, 2, 3]]);
        assert!(torn.malformed == 1 && !torn.is_whole());
    }

    #[test]
    fn readings_are_shown_with_units() {
        let reading = Reading::new(CentiCelsius(61_37), Quality::Ok, true, false, true);
        assert_eq!(shown(Some(reading)), "61.37 °C (ok, pump, flame)");
        let reading = Reading::new(CentiCelsius(15_100), Quality::OutOfRange, false, true, false);
        assert_eq!(shown(Some(reading)), "151.00 °C (out_of_range, hot water)");
        assert_eq!(shown(None), "nothing");
    }
}
