//! `cargo sim`: runs deterministic worlds, and shows that planted bugs are found.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use world::plan::Bug;
use world::report::{Report, hunt, run_many};
use world::times::{CASES, Table, measure};
use world::{Outcome, run};

/// The simulated length of `--times`.
const TIMES_NS: u64 = 600_000_000_000;
/// Within so many seeds a planted bug must be found.
const HUNT: u64 = 200;

/// Runs deterministic worlds: the real firmware and the real decisions between a model line, server, disk and clocks.
///
/// One seed is one world: its faults come first, then calm; then what is in the streams is compared with what the
/// firmware sampled, invariant by invariant. Exit code 0: every world is as it must be.
#[derive(Debug, Parser)]
#[command(
    name = "sim",
    after_help = "Examples:\n  cargo sim --seeds 1000\n  cargo sim --seed 42\n  cargo sim --bugs\n  cargo sim --times"
)]
struct Options {
    /// Replays one world and prints the last things that happened in it.
    #[arg(long, conflicts_with_all = ["seeds", "bugs"])]
    seed: Option<u64>,
    /// Runs so many worlds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plants a bug in the shells.
    #[arg(long, value_parser = parse_bug)]
    bug: Option<Bug>,
    /// Plants every bug, one after the other, and says at which seed each is found.
    #[arg(long)]
    bugs: bool,
    /// Measures how exact stamps are, and prints the table: what is published against the true time, ten simulated
    /// minutes for each row; `--from` is the seed.
    #[arg(long)]
    times: bool,
    /// Prints the sum of `--seeds` as JSON.
    #[arg(long)]
    json: bool,
}

fn parse_bug(name: &str) -> Result<Bug, String> {
    let found = Bug::ALL.into_iter().find(|(known, _)| *known == name);
    let names = || Bug::ALL.map(|(name, _)| name).join(", ");
    found.map(|(_, bug)| bug).ok_or_else(|| format!("no bug of this name; there are {}", names()))
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
        // Nobody reads on: there is nobody to tell.
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
        tell(&outcome, out)?;
        return Ok(outcome.failure.is_none());
    }
    let report = run_many(options.from, options.seeds, options.bug);
    for outcome in report.failures.iter().take(3).filter(|_| !options.json) {
        tell(outcome, out)?;
    }
    if options.json {
        write_json(&report, out)?
    } else {
        writeln!(out, "{report}")?
    }
    Ok(report.failures.is_empty())
}

fn tell(outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    for line in &outcome.history {
        writeln!(out, "{line}")?;
    }
    match &outcome.failure {
        Some(failure) => writeln!(out, "seed {}: FAILED {failure}\n", outcome.seed),
        None => writeln!(out, "seed {}: as it must be", outcome.seed),
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
