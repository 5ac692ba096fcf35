//! A long server outage, after which three accounts must agree: the hours, the agent and the simulator.
//!
//! ```text
//!  0:00    1:00        about 1:23             1:00 + outage          the end
//!    ├───────┼────────────┼──────────────────────┼──────────────────────┤
//!      read    spool fills  full: not read, the    spooled samples, then
//!                           ring is overwritten    what the ring still holds
//! ```
//! The spool is so small that it is full after some twenty minutes, and the ring two minutes later. The world's judge
//! checks the same hours one by one; here they are summed up.

use firmware_sim::scenario::Scenario;
use thermowell_flow::agent::Agent;
use thermowell_flow::published::{EventBody, Missing};
use thermowell_wire::batch::{Packed, decode};
use thermowell_wire::{BoilerId, Slot};

use crate::aggregator::snapshot;
use crate::leases::Author;
use crate::plan::{MS, Plan, SECOND};
use crate::random::Random;
use crate::truth::BootRecord;
use crate::world::{Outcome, Stage, World};

const PERIOD: u64 = 100 * MS;
const BATCH: u16 = 50;
/// Two minutes of slots.
const RING: usize = 1_200;
/// About 20 minutes of batches of five seconds; room is kept for the largest possible batch.
const SPOOL: usize = 64 << 10;
/// The outage begins an hour after the world, half an hour after the first full hour.
const BEGIN: u64 = 3_600 * SECOND;
/// Time after the outage, so that its last hour is closed.
const AFTER: u64 = 2 * 3_600 * SECOND;

/// Slots of the closed hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Slots in an average.
    pub counted: u64,
    /// Slots not in an average, by reason.
    pub missing: Missing,
}

impl Book {
    /// All slots.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.counted + self.missing.total()
    }
}

/// The three accounts.
#[derive(Clone, Debug)]
pub struct Books {
    /// Sum of the snapshots.
    pub hours: Book,
    /// Number of closed hours, and the sum of their slots.
    pub closed: (usize, u64),
    /// What the simulator sampled and lost.
    pub account: Book,
    /// Slots that the agent reported as lost, on EVENT.
    pub named: Missing,
    /// Samples that the agent read, and those of them in hours that are not closed yet.
    pub read: (u64, u64),
    /// Samples left in the ring because the spool was full.
    pub full: u64,
    pub outcome: Outcome,
}

/// The accounts of `scenario` after an outage of `hours`.
///
/// # Panics
/// If the scenario cannot be parsed.
#[must_use]
pub fn keep_books(scenario: &str, hours: u64) -> Books {
    let id: BoilerId = "b1".parse().expect("an id");
    let scenario = Scenario::parse("outage", scenario).expect("a scenario");
    let (seed, cast) = (scenario.seed(), scenario.boiler(&id));
    let (period, batch, spool) = (PERIOD, Some(BATCH), SPOOL);
    let stage = Stage { period, tick: SECOND, batch, spool, watched: true, ..Stage::new(cast) };
    let plan = Plan { ring: RING, lossless: false, ..Plan::quiet(BEGIN) };
    let mut world = World::on(stage, plan, Random::new(seed), id, Author::new(seed), None);
    world.play(|_| {});
    let outage = hours * 3_600 * SECOND;
    world.disconnect(world.now + outage);
    world.plan.length += outage + AFTER;
    world.play(|_| {});
    world.end();
    let mut books = world.books();
    books.outcome = world.outcome(seed);
    books
}

impl World {
    fn books(&self) -> Books {
        let (mut hours, mut slots, mut last) = (Book::default(), 0, None);
        for stored in &self.broker.snapshots.messages {
            let snapshot = snapshot(stored);
            hours.counted += snapshot.temperature_points;
            hours.missing += snapshot.missing;
            slots += snapshot.slots;
            last = Some(snapshot.last);
        }
        let counters = self.agent.agent().map(|agent| *agent.counters()).unwrap_or_default();
        let waiting = self.agent.agent().map_or(0, Agent::backlog);
        Books {
            hours,
            closed: (self.broker.snapshots.messages.len(), slots),
            account: last.map(|last| self.account(last)).unwrap_or_default(),
            named: named(&self.broker.events),
            read: (counters.samples, waiting + last.map_or(0, |last| self.samples_after(last))),
            full: counters.full,
            outcome: Outcome::default(),
        }
    }

    /// The simulator's account of each slot up to `last`. How much of an ended boot was read is only known from the
    /// stream: what was sampled after that is lost with the boot.
    fn account(&self, last: Slot) -> Book {
        let mut book = Book::default();
        let upto = self.truth.boots.iter().take_while(|record| record.boot <= last.boot);
        let mut before: Option<&BootRecord> = None;
        for record in upto {
            if let Some(before) = before {
                book.missing.reboot += off_slots(before, record);
            }
            let sampled = record.slots.len() as u64;
            let end = if record.boot == last.boot { last.seq + 1 } else { sampled };
            let arrived = if record.boot == last.boot { end } else { self.arrived(record) };
            book.missing.reboot += end - arrived;
            for seq in 0..arrived {
                let place = match record.reading(seq).flatten() {
                    _ if self.is_overwritten(record, seq) => &mut book.missing.ring,
                    None => &mut book.missing.missed,
                    Some(reading) if reading.is_valid() => &mut book.counted,
                    Some(_) => &mut book.missing.invalid,
                };
                *place += 1;
            }
            before = Some(record);
        }
        book
    }

    fn is_overwritten(&self, record: &BootRecord, seq: u64) -> bool {
        self.truth.overwritten.iter().any(|(boot, from, to)| *boot == record.boot && (*from..*to).contains(&seq))
    }

    /// End of a boot in SAMPLES.
    fn arrived(&self, record: &BootRecord) -> u64 {
        let ends = self.broker.samples.messages.iter().filter_map(|stored| decode(&stored.payload).ok());
        ends.map(|packed| packed.end()).filter(|end| end.boot == record.boot).map(|end| end.seq).max().unwrap_or(0)
    }

    /// Number of samples in SAMPLES after `last`.
    fn samples_after(&self, last: Slot) -> u64 {
        let counts = self.broker.samples.messages.iter().map(|stored| match decode(&stored.payload) {
            Ok(Packed::Batch(batch)) => {
                let first = Slot::new(batch.header.boot, batch.header.seq);
                let behind = |index: &u16| Slot::new(first.boot, first.seq + u64::from(*index)) > last;
                (0..batch.header.count).filter(behind).count() as u64
            }
            Ok(Packed::Gap(_)) | Err(_) => 0,
        });
        counts.sum()
    }
}

/// Slots that would have been sampled while the boiler was off.
fn off_slots(before: &BootRecord, after: &BootRecord) -> u64 {
    let period_ns = i64::from(before.period_us) * 1_000;
    let off_ns = after.utc_ns - before.utc_of(before.slots.len() as u64);
    u64::try_from((off_ns + period_ns / 2).div_euclid(period_ns)).unwrap_or(0)
}

/// The gaps reported on EVENT, by reason.
fn named(events: &[EventBody]) -> Missing {
    let mut named = Missing::default();
    for event in events {
        let EventBody::GapNamed { from, to, reason, .. } = event else { continue };
        let place = match reason.as_str() {
            "ring" => &mut named.ring,
            "missed" => &mut named.missed,
            "discarded" => &mut named.discarded,
            "clock" => &mut named.clock,
            _ => &mut named.unexplained,
        };
        *place += to - from;
    }
    named
}
