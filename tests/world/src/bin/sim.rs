//! `cargo sim`: runs deterministic worlds, and checks that planted bugs are found.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use world::plan::Bug;
use world::report::{Report, hunt, run_many};
use world::times::{CASES, Table, measure};
use world::{Outcome, run};

/// Simulated length of `--times`.
const TIMES_NS: u64 = 600_000_000_000;
/// Number of seeds searched for a planted bug.
const HUNT: u64 = 200;

/// Run deterministic worlds: the real firmware and the real decisions with models of line, server, disk and clocks.
///
/// One seed is one world: first a phase with faults, then a calm one; then the streams are compared with what the
/// firmware sampled, invariant by invariant. Exit code 0: all invariants hold in all worlds.
#[derive(Debug, Parser)]
#[command(
    name = "cargo sim",
    bin_name = "cargo sim",
    after_help = "Examples:\n  cargo sim --seeds 1000\n  cargo sim --seed 42\n  cargo sim --bugs\n  cargo sim --times"
)]
struct Options {
    /// Replay one world and print the end of its history
    #[arg(long, conflicts_with_all = ["seeds", "bugs"])]
    seed: Option<u64>,
    /// Number of worlds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// First seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plant a bug in the shells
    #[arg(long, value_parser = parse_bug)]
    bug: Option<Bug>,
    /// Plant every bug, one after the other, and print the seed at which each is found
    #[arg(long)]
    bugs: bool,
    /// Measure the accuracy of stamps and print the table: published stamps against the true time, ten simulated
    /// minutes per row; `--from` is the seed
    #[arg(long)]
    times: bool,
    /// Print the sum of `--seeds` as JSON
    #[arg(long)]
    json: bool,
}

fn parse_bug(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.into_iter().find(|(known, _)| *known == name);
    let names = || Bug::ALL.map(|(name, _)| name).join(", ");
    found.map(|(_, bug)| bug).ok_or_else(|| format!("unknown bug; known are {}", names()))
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let help = !error.use_stderr();
            return if error.print().is_ok() && help { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    match work(&options, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        // Standard output is closed: no message can be printed.
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

fn work(options: &Options, out: &mut impl Write) -> io::Result<bool> {
    if options.bugs {
        return hunt_all(out);
    }
    if options.times {
        let table = Table(CASES.iter().map(|case| measure(case, options.from, TIMES_NS)).collect());
        write!(out, "{table}")?;
        return Ok(table.0.iter().all(|errors| errors.backwards == 0));
    }
    if let Some(seed) = options.seed {
        let outcome = run(seed, options.bug);
        show(&outcome, out)?;
        return Ok(outcome.failure.is_none());
    }
    let report = run_many(options.from, options.seeds, options.bug);
    for outcome in report.failures.iter().take(3).filter(|_| !options.json) {
        show(outcome, out)?;
    }
    if options.json {
        write_json(&report, out)?
    } else {
        writeln!(out, "{report}")?
    }
    Ok(report.failures.is_empty())
}

fn show(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    for line in &outcome.history {
        writeln!(out, "{line}")?;
    }
    match &outcome.failure {
        Some(failure) => writeln!(out, "seed {}: FAILED {failure}\n", outcome.seed),
        None => writeln!(out, "seed {}: passed", outcome.seed),
    }
}

fn write_json(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let faults: serde_json::Map<String, serde_json::Value> = world::plan::Kind::ALL
        .iter()
        .zip(report.faults)
        .map(|(kind, count)| (format!("{kind:?}"), count.into()))
        .collect();
    let failures: Vec<_> =
        report.failures.iter().map(|it| serde_json::json!({"seed": it.seed, "failure": it.failure})).collect();
    let json = serde_json::json!({
        "seeds": report.seeds, "hours": report.hours(), "samples": report.samples,
        "faults": faults, "failures": failures,
    });
    writeln!(out, "{json}")
}

fn hunt_all(out: &mut impl Write) -> io::Result<bool> {
    let mut all = true;
    for (name, bug) in Bug::ALL {
        match hunt(bug, HUNT) {
            Some((seed, failure)) => {
                let failure: String = failure.chars().take(90).collect();
                writeln!(out, "{name:<20} seed {seed:>3}  {failure}")?;
            }
            None => {
                all = false;
                writeln!(out, "{name:<20} NOT FOUND within {HUNT} seeds")?;
            }
        }
    }
    Ok(all)
}
