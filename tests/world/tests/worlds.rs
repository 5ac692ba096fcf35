//! The invariants of the deterministic world, and proof that planted bugs violate them.
//!
//! A failure has its seed: `cargo sim --seed N` replays it and prints its history.

use world::plan::Bug;
use world::report::{hunt_from, run_many};
use world::times::{CASES, RC, measure};

/// `.ci/run` has 1,000 of them with `CI=true`, from the same one on.
const SEEDS: u64 = 36;

#[test]
fn every_invariant_holds_in_every_world() {
    let report = run_many(0, SEEDS, None);
    let failed: Vec<_> = report.failures.iter().map(|it| (it.seed, it.failure.as_deref())).collect();
    assert!(failed.is_empty(), "{report}: {failed:?}");
    assert!(report.faults.iter().all(|count| *count > 0), "no fault of some kind was injected: {report}");
}

/// Where the search for each planted bug begins: near the first world that shows it, as printed by `cargo sim --bugs`.
/// A change of the worlds moves that, so the following worlds are searched too.
fn seed_near(bug: Bug) -> u64 {
    match bug {
        Bug::NoExpectation
        | Bug::BlindRetry
        | Bug::NoDedup
        | Bug::ResumeTooFar
        | Bug::OwnMemory
        | Bug::WindowOff
        | Bug::SamplesFeedOffset
        | Bug::SnapshotBlind
        | Bug::SpillUnread => 0,
        Bug::StepLeaks => 15,
        Bug::DedupBySeq => 8,
        Bug::GapAnywhere => 12,
        Bug::LeaseUnbound => 74,
    }
}

/// Number of worlds searched.
const SEARCHED: u64 = 8;

#[test]
fn every_planted_bug_is_found() {
    let unseen: Vec<_> = Bug::ALL
        .into_iter()
        .filter(|(_, bug)| hunt_from(*bug, seed_near(*bug), SEARCHED).is_none())
        .map(|(name, _)| name)
        .collect();
    assert!(unseen.is_empty(), "not found near their seeds: {unseen:?}; `cargo sim --bugs` prints their seeds");
}

/// The bounds of agent/README.md, *Three times*, for the hardest rows and in a third of the time; the full table is
/// `cargo sim --times`.
#[test]
fn stamps_are_as_exact_as_documented() {
    for case in CASES.iter().filter(|case| case.stalls || case.down.is_some()) {
        let errors = measure(case, 0, 180_000_000_000);
        assert!(errors.slots > 17_000, "{errors:?}");
        assert_eq!((errors.backwards, errors.jumps), (0, 0), "{errors:?}");
        let (worst_ns, backlog_ns) =
            if case.timer_ns > 1_000_000 { (3_000_000, 6_000_000) } else { (500_000, 700_000) };
        assert!(errors.worst_ns <= worst_ns && errors.backlog_ns <= backlog_ns, "{errors:?}");
    }
}

/// A board without a crystal. Of 18,000 slots, those of the first 11 s are up to 230 ms off, and no others: a restarted
/// agent continues with the rate in the stream's last message, so what it finds in the ring is not lost.
#[test]
fn clock_two_percent_off_is_followed() {
    for case in &RC {
        let errors = measure(case, 0, 180_000_000_000);
        assert!(errors.slots > 17_000, "{errors:?}");
        assert_eq!(errors.jumps, 1, "{errors:?}");
        assert!(errors.followed_ns < 2_000_000 && errors.worst_ns < 300_000_000, "{errors:?}");
        // The lead of a fast clock when it is detected is stamped twice, and lost as `clock`.
        assert!(errors.backwards <= 1 && errors.lost <= 30, "{errors:?}");
        assert!(errors.again_ns < 6_000_000, "{errors:?}");
    }
}
