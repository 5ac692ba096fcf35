//! The deterministic world, and that it is not blind.
//!
//! A failure names its seed: `cargo sim --seed N` replays it and prints what happened in it.

use world::plan::Bug;
use world::report::{run_many, shows};

/// About half a minute of two cores in a debug build.
const SEEDS: u64 = 60;
/// With `CI=true`: about ten.
const SEEDS_CI: u64 = 1_500;

#[test]
fn every_invariant_holds_in_every_world() {
    let long = std::env::var("CI").is_ok_and(|value| value == "true");
    let report = run_many(0, if long { SEEDS_CI } else { SEEDS }, None);
    let failed: Vec<_> = report.failures.iter().map(|it| (it.seed, it.failure.as_deref())).collect();
    assert!(failed.is_empty(), "{report}: {failed:?}");
    assert!(report.faults.iter().all(|count| *count > 0), "no fault of some kind was injected: {report}");
}

/// Where each planted bug is seen first. A change of the worlds moves them: `cargo sim --bugs` says where to.
fn seed_of(bug: Bug) -> u64 {
    match bug {
        Bug::NoExpectation => 17,
        Bug::BlindRetry => 1,
        Bug::DedupBySeq => 9,
        Bug::ResumeTooFar | Bug::OwnMemory => 0,
        Bug::WindowOff => 1,
        Bug::SnapshotBlind => 11,
        Bug::SamplesFeedOffset => 84,
        Bug::StepLeaks => 64,
        Bug::LeaseUnbound => 83,
        Bug::GapAnywhere => 79,
        Bug::SpillUnread => 7,
    }
}

#[test]
fn every_planted_bug_is_seen() {
    let unseen: Vec<_> =
        Bug::ALL.into_iter().filter(|(_, bug)| shows(*bug, seed_of(*bug)).is_none()).map(|(name, _)| name).collect();
    assert!(unseen.is_empty(), "not seen at their seeds: {unseen:?}; `cargo sim --bugs` says where they are");
}
