//! Runs many worlds and sums up their results.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::{Bug, Kind};
use crate::world::{Outcome, run};

/// Sums over many worlds.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Number of worlds.
    pub seeds: u64,
    pub simulated_ns: u64,
    /// Slots that the firmware sampled or missed.
    pub samples: u64,
    /// Number of faults per kind, in the order of [`Kind::ALL`].
    pub faults: [u64; Kind::ALL.len()],
    /// Failed worlds, by seed.
    pub failures: Vec<Outcome>,
}

impl Report {
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a displayed figure")]
    pub fn hours(&self) -> f64 {
        self.simulated_ns as f64 / 3.6e12
    }

    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.simulated_ns += outcome.simulated_ns;
        self.samples += outcome.samples;
        for (sum, count) in self.faults.iter_mut().zip(outcome.faults) {
            *sum += count;
        }
        if outcome.failure.is_some() {
            self.failures.push(outcome);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, samples, failures, .. } = self;
        write!(f, "{seeds} seeds, {:.1} simulated hours, {samples} samples; faults:", self.hours())?;
        for (kind, count) in Kind::ALL.iter().zip(self.faults) {
            write!(f, " {kind:?} {count},")?;
        }
        write!(f, " failures {}", failures.len())
    }
}

/// Runs `count` worlds from seed `from` on, with one thread per core.
///
/// # Panics
/// If a world panics; the seed is in the thread's message.
#[must_use]
pub fn run_many(from: u64, count: u64, bug: Option<Bug>) -> Report {
    let next = AtomicU64::new(from);
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let work = || {
            let mut outcomes = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= from + count {
                    return outcomes;
                }
                outcomes.push(run(seed, bug));
            }
        };
        let workers: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().expect("a world does not panic").into_iter().for_each(|outcome| report.add(outcome));
        }
    });
    report.failures.sort_by_key(|outcome| outcome.seed);
    report
}

/// The first seed below `limit` that shows `bug`, with the failure. A seed that fails without the bug does not count.
///
/// # Panics
/// If a world panics; the seed is in the thread's message.
#[must_use]
pub fn hunt(bug: Bug, limit: u64) -> Option<(u64, String)> {
    hunt_from(bug, 0, limit)
}

/// Like [`hunt`], among `count` seeds from `from` on.
///
/// # Panics
/// If a world panics; the seed is in the thread's message.
#[must_use]
pub fn hunt_from(bug: Bug, from: u64, count: u64) -> Option<(u64, String)> {
    let next = AtomicU64::new(from);
    let first = AtomicU64::new(from + count);
    let work = || {
        let mut found = None;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first.load(Ordering::Relaxed) {
                return found;
            }
            if let Some(failure) = shows(bug, seed) {
                first.fetch_min(seed, Ordering::Relaxed);
                found = Some((seed, failure));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
        let found = workers.into_iter().filter_map(|worker| worker.join().expect("a world does not panic"));
        found.min_by_key(|(seed, _)| *seed)
    })
}

/// The failure of `seed` with `bug`, if the world passes without it.
fn shows(bug: Bug, seed: u64) -> Option<String> {
    let failure = run(seed, Some(bug)).failure?;
    run(seed, None).failure.is_none().then_some(failure)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
