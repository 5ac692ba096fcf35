//! Fuzz targets: mutated bytes for every decoder, and for the roles that act on what was decoded.
//!
//! A target is a grammar (good inputs from our own encoders, in parts, and how checksums are put on them) and a judge.
//! The judge asserts more than the absence of panics: what is accepted survives encoding and decoding, reported
//! positions are correct, the next good frame is read, invariants of the roles hold. An input may take 64 MiB of memory
//! and 1 s of CPU time.
//!
//! proptest makes the inputs, runs them in a child process (an exhausted stack, an allocation that fails and an endless
//! loop are failures like any other) and reduces the one that fails. The seed and the number of cases are fixed in
//! [`run::config`]; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` override them to explore.
//!
//! A failing input is printed as a byte string. As a line in `cases` of its target it is judged in every run.

mod agent;
mod aggregator;
mod config;
mod controller;
mod device;
mod inputs;
mod json;
mod line;
mod names;
mod packed;
mod planted;
mod run;
mod script;
mod spill;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use run::{Target, survives};

/// One test for each target, of the same name: that is how the child process finds it.
macro_rules! targets {
    ($($name:ident: $target:expr;)+) => {
        $(#[test] fn $name() { survives(concat!("hammer::", stringify!($name)), &$target); })+
        const TARGETS: &[(&str, &Target)] = &[$((stringify!($name), &$target)),+];
    };
}

targets! {
    line_to_gateway: line::TO_GATEWAY;
    line_to_device: line::TO_DEVICE;
    batch: packed::TARGET;
    spill_file: spill::FILE;
    spill_on_disk: spill::DISK;
    configuration: config::TARGET;
    names_and_numbers: names::TARGET;
    json_lease: json::LEASE;
    json_status: json::STATUS;
    json_state: json::STATE;
    json_snapshot: json::SNAPSHOT;
    json_event: json::EVENT;
    json_feed: json::FEED;
    json_command: json::COMMAND;
    json_approval: json::APPROVAL;
    json_reset: json::RESET;
    json_ambient: json::AMBIENT;
    role_device: device::TARGET;
    role_agent: agent::TARGET;
    role_controller: controller::TARGET;
    role_aggregator: aggregator::TARGET;
}

/// If mutations were rejected at the checksum, nothing after it would be tested.
#[test]
fn many_mutated_inputs_are_accepted() {
    for (name, target) in TARGETS {
        let (mut runner, inputs) = (TestRunner::deterministic(), (target.grammar)().inputs());
        let mut input = || inputs.new_tree(&mut runner).expect("no input is filtered out").current();
        let accepted = (0..200).filter(|_| (target.judge)(&input().0)).count();
        assert!(accepted > 20, "{name}: {accepted} of 200");
    }
}
