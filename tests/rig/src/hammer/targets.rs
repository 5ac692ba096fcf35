//! Every decoder of ours, as a target.

mod agent;
mod aggregator;
mod asked;
mod config;
mod controller;
mod device;
mod json;
mod line;
mod names;
mod packed;
mod planted;
mod script;
mod spill;
mod spool;

use super::judge::Target;

/// Every decoder that takes bytes which somebody else may have written.
pub(super) const TARGETS: &[Target] = &[
    line::TO_GATEWAY,
    line::TO_DEVICE,
    packed::TARGET,
    spill::TARGET,
    config::TARGET,
    names::TARGET,
    json::LEASE,
    json::STATUS,
    json::STATE,
    json::SNAPSHOT,
    json::EVENT,
    json::FEED,
    asked::COMMAND,
    asked::APPROVAL,
    asked::RESET,
    spool::TARGET,
    device::TARGET,
    agent::TARGET,
    controller::TARGET,
    aggregator::TARGET,
];

/// Decoders with a known defect each: what the hammer must find, or it finds nothing.
pub(super) const PLANTED: &[Target] = planted::TARGETS;

/// The target of that name, planted ones included.
pub(super) fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().chain(PLANTED).find(|target| target.name == name)
}

#[cfg(test)]
mod tests {
    use super::super::judge::Parts;
    use super::super::record::cases;
    use super::*;

    #[test]
    fn every_seed_is_accepted() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}", target.name);
            for seed in seeds {
                assert!(seed.len() <= target.longest, "{}: {} bytes", target.name, seed.len());
                let trace = (target.judge)(&seed).unwrap_or_else(|error| panic!("{}: {error}", target.name));
                assert!(trace.is_accepted(), "{}: {}", target.name, seed.escape_ascii());
            }
        }
    }

    /// What was found once stays mended.
    #[test]
    fn every_case_is_judged_well() {
        for target in TARGETS {
            for case in cases(target.cases).unwrap_or_else(|line| panic!("{}: {line}", target.name)) {
                if let Err(complaint) = (target.judge)(&case) {
                    panic!("{}: {complaint}\n{}", target.name, case.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn closing_what_was_opened_changes_nothing() {
        for target in TARGETS {
            let Some(Parts { open, close }) = &target.parts else { continue };
            for seed in (target.seeds)() {
                assert_eq!(close(&open(&seed)), seed, "{}", target.name);
            }
        }
    }
}
