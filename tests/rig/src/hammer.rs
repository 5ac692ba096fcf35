//! `cargo hammer`: throws bytes at every decoder, and keeps what breaks one.
//!
//! Each target is a decoder with seeds from our own encoders, cases of earlier findings and a judge. A worker process
//! mutates them, also behind the checksums, and keeps what leads somewhere new. The judge says more than "no panic":
//! what is accepted survives encoding and decoding, places lie where they say, the next good frame is read; and one
//! input takes at most 64 MiB and a second of a processor.
//!
//! ```text
//! seeds, cases ──▶ kept ──▶ mutate ──▶ note ──▶ judge ──▶ another trace? keep
//!                   ▲                    │         └────▶ died? the noted input, made small, is a finding
//!                   └────────────────────┼───────────────────┘
//!                                 file of the moment
//! ```
//!
//! The same seed and number of inputs give the same run, on any machine. The command's name is not `fuzz`, because
//! that is the name of another tool, which needs a nightly compiler.

mod finding;
mod judge;
mod mutate;
mod record;
mod targets;
mod worker;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use clap::Parser;
use thermowell::logs::chain;

use self::finding::{Finding, Parent};
use self::judge::Target;
use self::record::Moment;
use self::targets::TARGETS;
use self::worker::{Limits, Tally};
use crate::cli::{self, say};

/// The first argument that asks for the hammer.
pub const WORD: &str = "hammer";

const EXAMPLES: &str = "\
Examples:
  cargo hammer --inputs 60000              the run of the continuous integration
  cargo hammer --for 10m --seed 7          explore: ten minutes each, with inputs of your own
  cargo hammer --target batch --for 1m

Exit codes: 0 nothing breaks, 1 something does, 2 wrong arguments";

/// Throws bytes at every decoder: line, batch, spill file, configuration, JSON. Exits 0 when none of them breaks.
#[derive(Clone, Debug, Parser)]
///
/// A gate takes a number of inputs, and is the same run each time; to explore, take a time and another seed.
#[command(name = "cargo hammer", bin_name = "cargo hammer", after_help = EXAMPLES)]
pub struct Options {
    /// Only this decoder; may be repeated
    #[arg(long, value_parser = target)]
    target: Vec<&'static str>,
    /// How long each decoder is hammered: 30s, 5min; 10s where --inputs is not given either
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// So many inputs for each decoder: with the same seed the same ones, however fast the machine is
    #[arg(long, value_name = "N")]
    inputs: Option<u64>,
    /// Which inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where findings go
    #[arg(long, value_name = "FOLDER", default_value = "target/hammer")]
    out: PathBuf,
    /// How long one input may take before it counts as endless
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    patience: Duration,
    /// Names the decoders
    #[arg(long)]
    list: bool,
    /// Judges this file only, in this process; wants one --target
    #[arg(long, value_name = "FILE", requires = "target")]
    judge: Option<PathBuf>,
    /// A worker, which notes the input of the moment here
    #[arg(long, value_name = "FILE", requires = "target", hide = true)]
    moment: Option<PathBuf>,
}

/// How long a decoder is hammered where nothing is asked for.
const USUAL: Duration = Duration::from_secs(10);
/// Longer than any number of inputs that is worth waiting for.
const NO_RUN: Duration = Duration::from_secs(6 * 3_600);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum HammerError {
    /// A file.
    #[error("{operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A worker cannot be started or listened to.
    #[error("{operation} a worker")]
    Worker {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// In the worker itself.
    #[error(transparent)]
    Work(worker::WorkError),
    /// The table has no reader.
    #[error("print")]
    Print(#[source] io::Error),
}

/// What became of a target.
#[derive(Debug)]
struct Outcome {
    target: &'static Target,
    tally: Tally,
    findings: Vec<Finding>,
}

/// Hammers with the arguments of the command line behind [`WORD`].
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(WORD, args, |options: &Options| match run(options) {
        // What breaks in a worker is a finding, word by word.
        Err(HammerError::Work(error)) => {
            say(&chain(&error));
            Ok(false)
        }
        Err(error) => Err(error.into()),
        Ok(well) => Ok(well),
    })
}

/// Whether all is well.
fn run(options: &Options) -> Result<bool, HammerError> {
    let named = || options.target.iter().filter_map(|name| targets::find(name));
    if options.list {
        return list().map(|()| true).map_err(HammerError::Print);
    }
    if let (Some(path), Some(target)) = (&options.judge, named().next()) {
        let input = std::fs::read(path).map_err(file("read", path))?;
        return worker::judge_one(target, &input).map(|()| true).map_err(HammerError::Work);
    }
    let limits = limits(options);
    if let (Some(path), Some(target)) = (&options.moment, named().next()) {
        let moment = Moment::new(File::create(path).map_err(file("make", path))?);
        let tally = worker::work(target, options.seed, limits, &moment).map_err(HammerError::Work)?;
        return worker::report(&tally).map(|()| true).map_err(HammerError::Print);
    }
    let chosen: Vec<_> = if options.target.is_empty() { TARGETS.iter().collect() } else { named().collect() };
    let outcomes = hammer(options, limits, &chosen)?;
    let mut out = io::stdout().lock();
    out.write_all(table(&outcomes).as_bytes()).map_err(HammerError::Print)?;
    Ok(outcomes.iter().all(|outcome| outcome.findings.is_empty()))
}

/// A number of inputs is a limit of its own: the time is then only what no run takes.
fn limits(options: &Options) -> Limits {
    let usual = if options.inputs.is_some() { NO_RUN } else { USUAL };
    Limits { time: options.time.unwrap_or(usual), inputs: options.inputs.unwrap_or(u64::MAX) }
}

/// As many targets at a time as there are processors; in the order in which they were named.
fn hammer(options: &Options, limits: Limits, targets: &[&'static Target]) -> Result<Vec<Outcome>, HammerError> {
    let parent = Parent::new(options.out.clone(), options.patience)?;
    let queue = Mutex::new(targets.iter().enumerate());
    let next = || queue.lock().expect("nobody panics while taking").next();
    let one_after_the_other = || {
        let mut outcomes = Vec::new();
        while let Some((at, target)) = next() {
            let (tally, findings) = parent.hammer(target, options.seed, limits)?;
            outcomes.push((at, Outcome { target, tally, findings }));
        }
        Ok(outcomes)
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let outcomes = thread::scope(|scope| {
        let threads: Vec<_> = (0..processors).map(|_| scope.spawn(one_after_the_other)).collect();
        let results = threads.into_iter().map(|thread| thread.join().expect("it returns its errors"));
        results.collect::<Result<Vec<_>, HammerError>>()
    })?;
    let mut outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
    outcomes.sort_by_key(|(at, _)| *at);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

fn table(outcomes: &[Outcome]) -> String {
    let mut out = format!(
        "{:<18} {:>11} {:>11} {:>8} {:>12} {:>9}\n",
        "decoder", "inputs", "accepted", "kept", "slowest", "findings"
    );
    for Outcome { target, tally, findings } in outcomes {
        let slowest = format!("{:.1} ms", tally.slowest.as_secs_f64() * 1e3);
        let (name, found) = (target.name, findings.len());
        let Tally { inputs, accepted, kept, .. } = tally;
        writeln!(out, "{name:<18} {inputs:>11} {accepted:>11} {kept:>8} {slowest:>12} {found:>9}")
            .expect("a text takes everything");
    }
    for (target, finding) in
        outcomes.iter().flat_map(|outcome| outcome.findings.iter().map(|one| (outcome.target, one)))
    {
        write!(out, "\n{}: {finding}", target.name).expect("a text takes everything");
    }
    out
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    TARGETS.iter().try_for_each(|target| writeln!(out, "{:<18} {}", target.name, target.what))
}

fn file(operation: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> HammerError {
    let path = path.to_owned();
    move |source| HammerError::File { operation, path, source }
}

fn target(name: &str) -> Result<&'static str, String> {
    let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    targets::find(name).map(|target| target.name).ok_or_else(|| format!("known are {}", known()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().map_err(|_| "not a time, such as 30s".to_owned())?;
    match text[end..].trim() {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" | "min" => Ok(Duration::from_secs(60 * number)),
        _ => Err("units are ms, s, min".to_owned()),
    }
}
