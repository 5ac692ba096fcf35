//! SAMPLES against the account: each slot once, in order, with the value that was sampled, or named as missing.

use std::collections::BTreeMap;
use std::ops::Range;

use firmware_sim::account::{AccountError, Boiler, BootRecord, Readings};
use serde::Serialize;
use thermowell_wire::batch::{self, Batch, Gap, Packed};
use thermowell_wire::line::GapReason;
use thermowell_wire::{Boot, Slot};

use super::ledger::Seconds;

/// What SAMPLES holds of one boiler.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SamplesBook {
    /// Slots with a reading.
    pub slots: u64,
    /// Slots that were stored more than once.
    pub twice: u64,
    /// Messages that begin before the end of the one before them.
    pub back: u64,
    /// Slots that are not there and that nobody named.
    pub lost: u64,
    /// Slots named as missing.
    pub named: u64,
    /// Readings that differ from what was sampled.
    pub wrong: u64,
    /// Slots that are stamped at or below a slot before them: in no average, and named `clock` in their hour.
    pub stamped_back: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// The stamp that was furthest off, in real milliseconds.
    pub worst_stamp_ms: f64,
    /// The slot behind the last one that was stored, by boot.
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
    /// Nothing is missing, not even named, nothing is there twice, all is in order and as it was sampled.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.slots > 0 && [self.lost, self.twice, self.back, self.wrong, self.named] == [0; 5]
    }
}

/// Reads one boiler's messages in order.
pub struct SamplesReader<'a> {
    account: &'a Boiler,
    speed: u32,
    book: SamplesBook,
    next: Option<Slot>,
    /// The latest stamp so far.
    newest_ns: Option<i64>,
    cursor: Option<Cursor<'a>>,
    problems: Vec<String>,
}

/// A place in the account's slots of one boot.
struct Cursor<'a> {
    record: &'a BootRecord,
    at: u64,
    readings: Readings,
}

impl<'a> SamplesReader<'a> {
    /// A reader before the first message.
    #[must_use]
    pub fn new(account: &'a Boiler, speed: u32) -> Self {
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
        // A message that repeats must not make the next one look like another repeat, or like none.
        self.next = self.next.max(Some(end));
        Ok(())
    }

    /// Closes the book.
    #[must_use]
    pub fn finish(self, problems: &mut Vec<String>) -> SamplesBook {
        problems.extend(self.problems);
        self.book
    }

    /// The message must begin where the one before it ended, or at the beginning of a later boot.
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
        let Some(record) = self.account.boot(header.boot) else {
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
                    self.problem(format!("slot {slot} of message {sequence} is {found:?}, sampled was {sampled:?}"));
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
        let known = self.account.boot(gap.boot).is_some_and(|record| {
            let destroyed = match gap.reason {
                GapReason::Ring => &record.ring_gaps,
                GapReason::Missed => &record.missed,
                GapReason::Discarded | GapReason::Clock => return false,
            };
            destroyed.iter().any(|range| range.start <= gap.from && gap.to <= range.end)
        });
        if !known {
            self.problem(format!(
                "message {sequence} names {:?} for {}..{}, of which the simulator knows nothing",
                gap.reason, gap.from, gap.to
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

    /// The first problems tell the story; the counts tell the rest.
    fn problem(&mut self, problem: String) {
        if self.problems.len() < 10 {
            self.problems.push(problem);
        }
    }
}
