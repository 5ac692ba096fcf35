//! A target, and its run with proptest.

use std::fs;
use std::sync::Once;
use std::time::Duration;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner, contextualize_config};
use rig::clock::thread_cpu;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::inputs::{Grammar, Input};

/// CPU time of one input. The longest take some milliseconds without optimisation.
const SLOW: Duration = Duration::from_secs(1);
/// Memory that judging may take beyond what the process has at its first input.
const MEMORY: u64 = 64 << 20;

/// A decoder or a role under test.
pub(crate) struct Target {
    pub(crate) grammar: fn() -> Grammar,
    /// Runs the code and asserts what must hold; returns whether something was decoded.
    pub(crate) judge: fn(&[u8]) -> bool,
    /// Inputs that failed in the past.
    pub(crate) cases: &'static [&'static [u8]],
}

/// The configuration of the test of that name. The environment overrides it.
pub(crate) fn config(test: &'static str) -> Config {
    contextualize_config(Config {
        cases: 1_000,
        rng_seed: RngSeed::Fixed(1),
        test_name: Some(test),
        // Milliseconds, after which a loop is endless. Forks, too.
        timeout: 30_000,
        max_shrink_iters: 1_000,
        // A saved seed would select another input after any change of a grammar; `cases` keep the bytes.
        failure_persistence: None,
        ..Config::default()
    })
}

/// Judges seeds, earlier failures and mutated inputs.
pub(crate) fn survives(test: &'static str, target: &Target) {
    let grammar = (target.grammar)();
    for seed in grammar.seeds.iter().map(|parts| (grammar.close)(parts)) {
        assert!((target.judge)(&seed), "this good input is rejected: {}", seed.escape_ascii());
    }
    for case in target.cases {
        (target.judge)(case);
    }
    if let Err(error) = run(config(test), target) {
        panic!("{error}");
    }
}

/// The judge runs in a child process only.
pub(crate) fn run(config: Config, target: &Target) -> Result<(), TestError<Input>> {
    TestRunner::new(config).run(&(target.grammar)().inputs(), |Input(input)| {
        confine();
        let before = thread_cpu();
        (target.judge)(&input);
        let cost = thread_cpu().saturating_sub(before);
        if cost > SLOW { Err(TestCaseError::fail(format!("slow: {} ms", cost.as_millis()))) } else { Ok(()) }
    })
}

/// Limits the memory of this process, once, and forbids core dumps.
fn confine() {
    static CONFINED: Once = Once::new();
    CONFINED.call_once(|| {
        let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
        let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
        let data = status.lines().find_map(|line| line.strip_prefix("VmData:")?.trim().strip_suffix(" kB"));
        let data: u64 = data.and_then(|data| data.parse().ok()).expect("a number of kB");
        setrlimit(Resource::Core, limit(0)).expect("a limit can be lowered");
        setrlimit(Resource::Data, limit((data << 10) + MEMORY)).expect("a limit can be lowered");
    });
}
