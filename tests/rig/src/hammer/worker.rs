//! The process that judges inputs, one after the other. It dies of the first bad one, and the input of the moment
//! tells of which.
//!
//! A process of its own, because not every defect unwinds: a stack that runs over, an allocation that cannot be had
//! and a loop without an end take the program with them, and the shipped profiles abort on panics.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write as _};
use std::panic;
use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};
use thermowell_wire::CRC32C;

use super::judge::{Complaint, Target, Trace};
use super::mutate::Mutator;
use super::record::{self, Moment};
use crate::clock::{Stopwatch, thread_cpu};

/// What an input may cost of a processor. The longest inputs take some milliseconds without optimisation.
const SLOW: Duration = Duration::from_secs(1);
/// What inputs, the kept ones included, may take of memory beyond what the program has at its start.
const MEMORY: u64 = 64 << 20;
/// What the kept inputs may take of that.
const KEPT_BYTES: usize = 8 << 20;
/// The newest inputs are tried as often as all others together: they just led somewhere new.
const NEWEST: usize = 32;
/// Between two looks at the clock.
const LOOK: u64 = 64;

/// When to stop: what comes first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) time: Duration,
    pub(super) inputs: u64,
}

/// What a worker did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Inputs judged.
    pub(super) inputs: u64,
    /// Of those, decoded.
    pub(super) accepted: u64,
    /// Of those, unlike all before.
    pub(super) kept: u64,
    /// The most that one cost of a processor.
    pub(super) slowest: Duration,
}

impl Tally {
    /// What another worker did.
    pub(super) fn add(&mut self, other: &Self) {
        self.inputs += other.inputs;
        self.accepted += other.accepted;
        self.kept += other.kept;
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// Why a worker stopped early.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    /// The process cannot be confined.
    #[error("{operation}")]
    Confine {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file with the input of the moment.
    #[error("note the input of the moment")]
    Note(#[source] io::Error),
    /// The corpus cannot be read.
    #[error("fuzz-corpus/{target}.txt has a line that is no case: {line}")]
    Corpus {
        /// Of which target.
        target: &'static str,
        /// The line.
        line: String,
    },
    /// A finding.
    #[error(transparent)]
    Finding(Complaint),
}

/// Dies with the thread that started it, and dumps no core. From here on, memory is short: too short for a backtrace,
/// which would wait for itself when an allocation fails in its midst.
fn confine() -> Result<(), WorkError> {
    // Nobody is left to tell that standard error is closed.
    panic::set_hook(Box::new(|what| writeln!(io::stderr().lock(), "{what}").unwrap_or_default()));
    let confine = |operation| move |source: io::Error| WorkError::Confine { operation, source };
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| confine("ask for the parent's death signal")(error.into()))?;
    let limit = |bytes| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Core, limit(0)).map_err(|error| confine("forbid core dumps")(error.into()))?;
    let status = fs::read_to_string("/proc/self/status").map_err(confine("read the size of this process"))?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    let size: u64 = size.and_then(|size| size.parse().ok()).unwrap_or(0);
    setrlimit(Resource::As, limit((size << 10) + MEMORY)).map_err(|error| confine("limit the memory")(error.into()))
}

/// Judges one input.
pub(super) fn judge_one(target: &'static Target, input: &[u8]) -> Result<(), WorkError> {
    confine()?;
    judge(target, input).map(|_| ()).map_err(WorkError::Finding)
}

fn judge(target: &'static Target, input: &[u8]) -> Result<(Trace, Duration), Complaint> {
    let before = thread_cpu();
    let trace = (target.judge)(input)?;
    let cost = thread_cpu().saturating_sub(before);
    if cost > SLOW { Err(Complaint(format!("slow: {} ms", cost.as_millis()))) } else { Ok((trace, cost)) }
}

/// Judges seeds, cases and what can be made of them, until a limit is reached or one is bad.
pub(super) fn work(target: &'static Target, seed: u64, limits: Limits, moment: &Moment) -> Result<Tally, WorkError> {
    confine()?;
    // Each target has numbers of its own: with the same ones all of them would be mutated alike.
    let seed = seed ^ u64::from(CRC32C.checksum(target.name.as_bytes())) << 32;
    let mut bench = Bench {
        target,
        moment,
        scratch: Vec::new(),
        seen: HashSet::new(),
        kept: Vec::new(),
        kept_bytes: 0,
        tally: Tally::default(),
    };
    let cases = record::cases(target.cases).map_err(|line| WorkError::Corpus { target: target.name, line })?;
    for input in (target.seeds)().into_iter().chain(cases) {
        bench.judge(input)?;
    }
    let mut mutator = Mutator::new(ChaCha8Rng::seed_from_u64(seed), target);
    let started = Stopwatch::start();
    while bench.tally.inputs < limits.inputs {
        if bench.tally.inputs.is_multiple_of(LOOK) && started.elapsed() >= limits.time {
            break;
        }
        let (at, other) = (bench.choose(&mut mutator), bench.choose(&mut mutator));
        let mutant = mutator.mutate(&bench.kept[at], &bench.kept[other]);
        bench.judge(mutant)?;
    }
    Ok(bench.tally)
}

struct Bench<'a> {
    target: &'static Target,
    moment: &'a Moment,
    scratch: Vec<u8>,
    seen: HashSet<u64>,
    kept: Vec<Vec<u8>>,
    kept_bytes: usize,
    tally: Tally,
}

impl Bench<'_> {
    fn judge(&mut self, input: Vec<u8>) -> Result<(), WorkError> {
        self.tally.inputs += 1;
        self.moment.note(self.tally.inputs, &input, &mut self.scratch).map_err(WorkError::Note)?;
        let (trace, cost) = judge(self.target, &input).map_err(WorkError::Finding)?;
        self.tally.slowest = self.tally.slowest.max(cost);
        self.tally.accepted += u64::from(trace.is_accepted());
        let is_first = self.kept.is_empty();
        let fits = self.kept_bytes + input.len() <= KEPT_BYTES;
        let new = trace.steps().iter().filter(|step| self.seen.insert(**step)).count();
        if is_first || (fits && new > 0) {
            self.tally.kept += 1;
            self.kept_bytes += input.len();
            self.kept.push(input);
        }
        Ok(())
    }

    fn choose(&self, mutator: &mut Mutator) -> usize {
        let newest = self.kept.len().saturating_sub(NEWEST);
        if mutator.below(2) == 0 {
            mutator.below(self.kept.len())
        } else {
            newest + mutator.below(self.kept.len() - newest)
        }
    }
}

/// Tells the parent, in one line.
pub(super) fn report(tally: &Tally) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", serde_json::to_string(tally)?)
}
