//! The ledger: what was published, compared with the simulator's own account.
//!
//! Two checks per boiler. *Hours*: each snapshot is compared with a brute-force sum over exactly the slots from its
//! `first` to its `last`, taken from what the simulator sampled and not from what arrived. *Samples*: SAMPLES is
//! compared message by message with every reading of the account: each slot once, in order, with its value, or named as
//! missing. The aggregator's code is not used, only the types that it publishes.

use std::collections::BTreeMap;
use std::ops::Range;

use firmware_sim::account::{AccountError, Boiler, BootRecord, Summary};
use serde::Serialize;
use thermowell_flow::published::{Missing, Snapshot};
use thermowell_wire::units::HOUR_NS;
use thermowell_wire::{Boot, Slot};

use super::samples::SamplesBook;

/// Tolerance of hour borders in real nanoseconds, to be multiplied by the speed: what transport may add to a stamp. On
/// a busy machine stamps may be off by this much; above it the agent corrects them. `cargo sim --times` measures how
/// exact they are otherwise.
pub const TRANSPORT_NS: i64 = 20_000_000;

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Ledger {
    /// Every sum closes and equals its reference.
    pub ok: bool,
    pub boilers: Vec<BoilerReport>,
}

/// The ledger of one boiler.
#[derive(Clone, Debug, Serialize)]
pub struct BoilerReport {
    pub boiler: String,
    pub hours: Vec<HourReport>,
    /// The samples in the stream.
    pub samples: SamplesBook,
    /// The rolling average at the end.
    pub average: Option<AverageReport>,
    /// What does not add up.
    pub problems: Vec<String>,
}

/// One closed hour.
#[derive(Clone, Debug, Serialize)]
pub struct HourReport {
    /// Its beginning, RFC 3339.
    pub hour: String,
    /// Slots of the device in it.
    pub slots: u64,
    /// Slots in the mean.
    pub counted: u64,
    /// The other slots, by reason.
    pub missing: Missing,
    /// The mean as published.
    pub snapshot: Option<f64>,
    /// The mean of what the simulator sampled.
    pub reference: Option<f64>,
    /// The first hour of the boiler's history.
    pub partial: bool,
}

/// The rolling average at the end of the run.
#[derive(Clone, Debug, Serialize)]
pub struct AverageReport {
    /// As published in STATE.
    pub published: Option<f64>,
    /// Of what the simulator sampled, over the same seconds.
    pub reference: Option<f64>,
    /// Readings in it.
    pub points: u64,
    /// As published.
    pub coverage: f64,
}

/// Checks one boiler's snapshots. `speed` sets the tolerances, `book` has the end of each boot in the stream.
///
/// # Errors
/// The account cannot be read.
pub fn hours(
    account: &Boiler,
    book: &SamplesBook,
    snapshots: &[Snapshot],
    speed: u32,
    problems: &mut Vec<String>,
) -> Result<Vec<HourReport>, AccountError> {
    series(snapshots, problems);
    let mut reports = Vec::new();
    let mut previous: Option<&Snapshot> = None;
    for snapshot in snapshots {
        let mut hour = Hour { account, book, snapshot, speed, problems };
        reports.push(hour.check(previous)?);
        previous = Some(snapshot);
    }
    Ok(reports)
}

/// Checks a boiler's hours without the account: each follows the previous one, and its sum closes.
pub(crate) fn series(snapshots: &[Snapshot], problems: &mut Vec<String>) {
    let mut before = None;
    for Snapshot { hour, created_at, slots, temperature_points, missing, .. } in snapshots {
        if before.is_some_and(|before: i64| before + 3_600 != *created_at) {
            problems.push(format!("hour {hour}: does not follow the previous hour"));
        }
        let sum = temperature_points + missing.total();
        if *slots != sum {
            problems.push(format!("hour {hour}: slots is {slots}, but counted + missing is {sum}"));
        }
        before = Some(*created_at);
    }
}

struct Hour<'a> {
    account: &'a Boiler,
    book: &'a SamplesBook,
    snapshot: &'a Snapshot,
    speed: u32,
    problems: &'a mut Vec<String>,
}

/// The account's numbers for one hour.
#[derive(Default)]
struct Expected {
    valid: Summary,
    ring: u64,
    reboot: u64,
    transitions: u64,
}

impl Hour<'_> {
    fn check(&mut self, previous: Option<&Snapshot>) -> Result<HourReport, AccountError> {
        let snapshot = self.snapshot;
        let expected = match snapshot.first {
            Some(first) => self.expected(first, snapshot.last)?,
            None => Expected::default(),
        };
        let missing = snapshot.missing;
        self.equal("counted", snapshot.temperature_points, expected.valid.count);
        if snapshot.sum_centi != expected.valid.sum_centi {
            self.problem(&format!("sum_centi is {}, reference {}", snapshot.sum_centi, expected.valid.sum_centi));
        }
        self.equal("missing.ring", missing.ring, expected.ring);
        self.equal("missing.missed", missing.missed, expected.valid.missed);
        self.equal("missing.invalid", missing.invalid, expected.valid.invalid);
        self.equal("missing.clock", missing.clock, 0);
        self.equal("missing.discarded", missing.discarded, 0);
        self.equal("missing.unexplained", missing.unexplained, 0);
        let slack = expected.transitions * (1 + self.tolerance_slots());
        if missing.reboot.abs_diff(expected.reboot) > slack {
            self.problem(&format!("missing.reboot is {}, expected {} ± {slack}", missing.reboot, expected.reboot));
        }
        self.extremes(&expected.valid);
        self.borders(previous);
        Ok(HourReport {
            hour: snapshot.hour.clone(),
            slots: snapshot.slots,
            counted: snapshot.temperature_points,
            missing,
            snapshot: snapshot.temperature,
            reference: mean(&expected.valid),
            partial: snapshot.partial,
        })
    }

    /// Walks the account from `first` to `last`, boot by boot.
    fn expected(&mut self, first: Slot, last: Slot) -> Result<Expected, AccountError> {
        let mut expected = Expected::default();
        let mut before: Option<(&BootRecord, u64)> = None;
        for boot in self.account.boots.iter().filter(|boot| (first.boot..=last.boot).contains(&boot.boot)) {
            let from = if boot.boot == first.boot { first.seq } else { 0 };
            let to = if boot.boot == last.boot { last.seq + 1 } else { self.end_of(boot.boot) };
            let (summary, ring) = valid(boot, from, to, self.book.ring.get(&boot.boot).map_or(&[], Vec::as_slice))?;
            add(&mut expected.valid, &summary);
            expected.ring += ring;
            if let Some((old, end)) = before {
                expected.reboot += self.reboot_slots(old, end, boot);
                expected.transitions += 1;
            }
            before = Some((boot, to));
        }
        self.reboots_at_the_borders(first, before, &mut expected);
        Ok(expected)
    }

    /// Adds reboots at the beginning or end of the hour.
    fn reboots_at_the_borders(&self, first: Slot, last: Option<(&BootRecord, u64)>, expected: &mut Expected) {
        let boots = &self.account.boots;
        let at = |boot: Boot| boots.iter().position(|record| record.boot == boot);
        if first.seq == 0
            && let Some(index) = at(first.boot).filter(|&index| index > 0)
        {
            let old = &boots[index - 1];
            expected.reboot += self.reboot_slots(old, self.end_of(old.boot), &boots[index]);
            expected.transitions += 1;
        }
        if let Some((old, end)) = last
            && end == self.end_of(old.boot)
            && let Some(new) = at(old.boot).and_then(|index| boots.get(index + 1))
        {
            expected.reboot += self.reboot_slots(old, end, new);
            expected.transitions += 1;
        }
    }

    /// The slots of this hour between the last stored slot of `old` and slot 0 of `new`.
    fn reboot_slots(&self, old: &BootRecord, end: u64, new: &BootRecord) -> u64 {
        let Some(last) = end.checked_sub(1) else { return 0 };
        let period = i64::from(new.period_us) * 1_000;
        let from = old.utc_ns(last);
        let total = (new.utc0_ns - from + period / 2) / period - 1;
        let inside = (1..=total).filter(|k| self.holds(from + k * period)).count();
        u64::try_from(inside).unwrap_or(u64::MAX)
    }

    fn holds(&self, utc_ns: i64) -> bool {
        let end = self.snapshot.created_at * 1_000_000_000;
        (end - HOUR_NS..end).contains(&utc_ns)
    }

    /// The slot after the last one of `boot` in the stream; the later slots of a boot that has ended are lost.
    fn end_of(&self, boot: Boot) -> u64 {
        self.book.ends.get(&boot).copied().unwrap_or(0)
    }

    fn extremes(&mut self, valid: &Summary) {
        let centi = |celsius: Option<f64>| celsius.map(|c| (c * 100.0).round());
        let same = centi(self.snapshot.minimum) == valid.minimum_centi.map(f64::from)
            && centi(self.snapshot.maximum) == valid.maximum_centi.map(f64::from);
        if !same {
            self.problem("minimum or maximum differ from the reference");
        }
    }

    fn borders(&mut self, previous: Option<&Snapshot>) {
        let Some(first) = self.snapshot.first else { return };
        let last = self.snapshot.last;
        let end = self.snapshot.created_at * 1_000_000_000;
        self.border("begins", first, end - HOUR_NS, first.seq == 0);
        let next = Slot::new(last.boot, last.seq + 1);
        let boot_ended = next.seq == self.end_of(last.boot);
        self.border("ends", next, end, boot_ended);
        if let Some(before) = previous {
            let expected = Slot::new(before.last.boot, before.last.seq + 1);
            let follows = expected == first || first.seq == 0;
            if !follows {
                self.problem(&format!("begins at {first}, which does not follow the previous hour"));
            }
        }
        if self.snapshot.partial != previous.is_none() {
            self.problem(&format!("partial is {}", self.snapshot.partial));
        }
    }

    /// The true time of `slot` must be at `border`, unless a boot begins or ends there.
    fn border(&mut self, what: &str, slot: Slot, border: i64, excused: bool) {
        let Some(boot) = self.account.boot(slot.boot) else {
            return self.problem(&format!("{what} in boot {}, which the simulator never started", slot.boot));
        };
        let off = boot.utc_ns(slot.seq) - border;
        let tolerance = TRANSPORT_NS * i64::from(self.speed) + i64::from(boot.period_us) * 1_000;
        if off.abs() > tolerance && !excused {
            self.problem(&format!(
                "{what} {} ms off the border, allowed {} ms",
                off / 1_000_000,
                tolerance / 1_000_000
            ));
        }
    }

    fn tolerance_slots(&self) -> u64 {
        u64::from(self.speed).div_ceil(2)
    }

    fn equal(&mut self, what: &str, found: u64, reference: u64) {
        if found != reference {
            self.problem(&format!("{what} is {found}, reference {reference}"));
        }
    }

    fn problem(&mut self, what: &str) {
        self.problems.push(format!("hour {}: {what}", self.snapshot.hour));
    }
}

/// The sum of the account's slots in `from..to` without those that the ring lost, and the number of those. `gaps` are
/// the gaps in SAMPLES; the account also lists slots that the ring had lost when an agent asked for them, but that had
/// been stored long ago.
fn valid(boot: &BootRecord, from: u64, to: u64, gaps: &[Range<u64>]) -> Result<(Summary, u64), AccountError> {
    let mut sum = Summary::default();
    let mut ring = 0;
    let mut at = from;
    for gap in gaps.iter().filter(|gap| gap.start < to && gap.end > from) {
        let (start, end) = (gap.start.max(at), gap.end.min(to));
        add(&mut sum, &boot.summary(at..start)?);
        ring += end - start;
        at = end;
    }
    add(&mut sum, &boot.summary(at..to.max(at))?);
    Ok((sum, ring))
}

fn add(sum: &mut Summary, more: &Summary) {
    sum.sum_centi += more.sum_centi;
    sum.count += more.count;
    sum.invalid += more.invalid;
    sum.missed += more.missed;
    sum.minimum_centi = [sum.minimum_centi, more.minimum_centi].into_iter().flatten().min();
    sum.maximum_centi = [sum.maximum_centi, more.maximum_centi].into_iter().flatten().max();
}

/// The mean in °C, rounded half away from zero to two decimals, independent of the aggregator's code.
fn mean(summary: &Summary) -> Option<f64> {
    decimal(summary.sum_centi, summary.count)
}

/// `sum ÷ count` hundredths as °C with two decimals, half away from zero.
#[must_use]
pub fn decimal(sum_centi: i64, count: u64) -> Option<f64> {
    let count = i128::from(count);
    (count > 0).then(|| {
        let doubled = 2 * i128::from(sum_centi).abs() + count;
        let magnitude = i64::try_from(doubled / (2 * count)).unwrap_or(i64::MAX);
        let hundredths = if sum_centi < 0 { -magnitude } else { magnitude };
        format!("{hundredths}e-2").parse().unwrap_or(f64::NAN)
    })
}

/// Seconds of stamped UTC with sum and count of the account's readings: the reference of the rolling average.
pub type Seconds = BTreeMap<i64, (i64, u64)>;
