//! Accuracy of stamps: every published slot against the true time of its sampling.
//!
//! The real firmware and the real agent, with a crystal that is off, a serial line, an adapter that collects bytes
//! until its timer fires, and a host that stalls. There are no other faults here: lost and repeated data are covered by
//! the worlds.

mod bench;

use std::fmt;

use crate::plan::{MS, SECOND};
use bench::Bench;
pub use bench::{Case, Crystal};

/// Running time after which an agent's stamps must be accurate.
pub const SETTLED_NS: u64 = 10 * SECOND;

/// A crystal that is 60 ppm off, and 10 ppm more or less with the temperature of the boiler's cellar.
const WANDERING: Crystal = Crystal { drift_ppm: 60.0, wander_ppm: 10.0, wander_s: 600.0 };
const FAST: Crystal = Crystal { drift_ppm: 60.0, wander_ppm: 0.0, wander_s: 600.0 };
const SLOW: Crystal = Crystal { drift_ppm: -60.0, wander_ppm: 0.0, wander_s: 600.0 };

/// An adapter with a latency timer of 1 ms, on a host that does not stall.
const GOOD: Case = Case { name: "", crystal: FAST, timer_ns: MS, stalls: false, down: None };

/// The rows of the table.
pub const CASES: [Case; 8] = [
    Case { name: "good adapter (1 ms), device 60 ppm fast", ..GOOD },
    Case { name: "good adapter, 60 ppm slow", crystal: SLOW, ..GOOD },
    Case { name: "good adapter, 60 ppm and wander", crystal: WANDERING, ..GOOD },
    Case { name: "a UART without an adapter, 60 ppm and wander", crystal: WANDERING, timer_ns: 0, ..GOOD },
    Case { name: "good adapter, host stalls of 300 ms", crystal: WANDERING, stalls: true, ..GOOD },
    Case { name: "good adapter, agent down for 100 s", crystal: WANDERING, down: DOWN, ..GOOD },
    Case { name: "adapter timer left at 16 ms", crystal: WANDERING, timer_ns: 16 * MS, ..GOOD },
    Case { name: "all of it", crystal: WANDERING, timer_ns: 16 * MS, stalls: true, down: DOWN },
];

/// Boards without a crystal: RC oscillators, 2 % off. They are not in the table: their stamps jump once, after 11 s.
pub const RC: [Case; 4] = [
    Case { name: "2 % fast", crystal: RC_FAST, ..GOOD },
    Case { name: "2 % slow", crystal: RC_SLOW, ..GOOD },
    Case { name: "2 % fast, agent down for 100 s", crystal: RC_FAST, down: DOWN, ..GOOD },
    Case { name: "2 % slow, agent down for 100 s", crystal: RC_SLOW, down: DOWN, ..GOOD },
];
const RC_FAST: Crystal = Crystal { drift_ppm: 20_000.0, ..WANDERING };
const RC_SLOW: Crystal = Crystal { drift_ppm: -20_000.0, ..WANDERING };

/// Running time after which an agent has measured the rate and slewed the rest.
const FOLLOWED_NS: u64 = 15 * SECOND;

/// From the second minute on, for 100 s: within the ring.
const DOWN: Option<(u64, u64)> = Some((60 * SECOND, 160 * SECOND));

/// The errors of one case.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    pub name: &'static str,
    /// Number of slots compared.
    pub slots: u64,
    /// Worst error of slots sampled before their agent started: those that a restart finds in the ring.
    pub backlog_ns: i64,
    /// Worst error of an agent's first 10 s.
    pub first_ns: i64,
    /// Worst error after the first 10 s.
    pub worst_ns: i64,
    /// Worst error after the first 15 s.
    pub followed_ns: i64,
    /// Worst error of restarted agents.
    pub again_ns: i64,
    /// Median error after the first 10 s.
    pub median_ns: i64,
    /// Slots whose stamp is not later than that of the slot before.
    pub backwards: u64,
    pub jumps: u64,
    /// Slots not stamped later than all earlier ones: aggregators count them as lost, `clock`.
    pub lost: u64,
}

/// Plays `case` for `length_ns` with the random numbers of `seed`.
#[must_use]
pub fn measure(case: &Case, seed: u64, length_ns: u64) -> Errors {
    let mut bench = Bench::new(*case, seed);
    bench.live(length_ns);
    let (mut errors, mut settled) = (Errors { name: case.name, jumps: bench.jumps, ..Errors::default() }, Vec::new());
    let (mut before, mut latest) = (i64::MIN, i64::MIN);
    for stamped in &bench.stamped {
        errors.slots += 1;
        errors.backwards += u64::from(stamped.stamp_ns <= before);
        errors.lost += u64::from(stamped.stamp_ns <= latest);
        (before, latest) = (stamped.stamp_ns, latest.max(stamped.stamp_ns));
        let off = (stamped.stamp_ns - stamped.truth_ns).abs();
        let worst = match stamped.truth_ns - stamped.since_ns {
            early if early < 0 => &mut errors.backlog_ns,
            into if into < whole(SETTLED_NS) => &mut errors.first_ns,
            _ => {
                settled.push(off);
                &mut errors.worst_ns
            }
        };
        *worst = off.max(*worst);
        if stamped.since_ns != bench.stamped[0].since_ns {
            errors.again_ns = off.max(errors.again_ns);
        }
        if stamped.truth_ns - stamped.since_ns >= whole(FOLLOWED_NS) {
            errors.followed_ns = off.max(errors.followed_ns);
        }
    }
    settled.sort_unstable();
    errors.median_ns = settled.get(settled.len() / 2).copied().unwrap_or(0);
    errors
}

/// The table of all cases, as in agent/README.md.
#[derive(Clone, Debug)]
pub struct Table(pub Vec<Errors>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| what | slots | half within | worst after 10 s | worst in the first 10 s ")?;
        writeln!(f, "| worst of a backlog | backwards |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for Errors { name, slots, backlog_ns, first_ns, worst_ns, median_ns, backwards, .. } in &self.0 {
            let backlog = if *backlog_ns == 0 { "–".to_owned() } else { ms(*backlog_ns) };
            let (median, worst, first) = (ms(*median_ns), ms(*worst_ns), ms(*first_ns));
            writeln!(f, "| {name} | {slots} | {median} | {worst} | {first} | {backlog} | {backwards} |")?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a displayed figure")]
fn ms(ns: i64) -> String {
    format!("{:.2} ms", ns as f64 / 1e6)
}

fn whole(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
