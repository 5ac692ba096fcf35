//! `cargo figures`: measures on this machine what the system costs and how fast it is.
//!
//! The figures are measured on real processes from outside: the roles, nats-server and the simulator, each as its own
//! process. The budgets are those of the design.

mod backlog;
mod fleet;
mod load;
mod recovery;
mod replay;
mod shape;
mod stand;
mod steady;
mod usage;
mod viewers;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use self::shape::Figure;
use self::stand::Bench;
use crate::cli::{self, say};
use crate::nats::locate;
use crate::page::Origin;
use crate::process::Programs;

/// The first argument that asks for the measurements.
pub const WORD: &str = "figures";

/// The target of the shipped program.
const MUSL: &str = "x86_64-unknown-linux-musl";

/// Measures what Thermowell costs and how fast it is, on this machine, in about six minutes.
///
/// It measures the shipped program, built by `cargo build --locked --profile dist --target x86_64-unknown-linux-musl -p
/// thermowell`. THERMOWELL_BIN names another one.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cargo figures",
    bin_name = "cargo figures",
    after_help = "Exit codes: 0 each budget is kept, 1 one is MISSED or it could not run,\n2 wrong arguments."
)]
pub struct Options {
    /// How long each steady state is measured, in seconds; half a minute is three syncs of nats-server
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=600))]
    window: u64,
    /// Only these: steady, batch-of-1, viewers, recovery, backlog, replay, load, codec, size; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// The shipped program: static, stripped
    #[arg(long, value_name = "FILE", default_value_os_t = shipped())]
    binary: PathBuf,
    /// Put the results into this page, after the text that is written by hand
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// The measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// One boiler at 100 Hz, a second in a batch: processor, memory, bytes, latency.
    Steady,
    /// The same with each sample in its own batch: latency.
    #[value(name = "batch-of-1")]
    BatchOf1,
    /// The dashboard with eight pages open, and a front that is flooded or hangs.
    Viewers,
    /// Restarts after a SIGKILL, and catching up after an outage of the server.
    Recovery,
    /// The backlog of ten minutes without the server, of one boiler and of sixteen.
    Backlog,
    /// An aggregator reads a long stream.
    Replay,
    /// How many boilers one agent and one aggregator carry.
    Load,
    /// Packing and unpacking.
    Codec,
    /// The binary's size.
    Size,
}

/// Measures with the command-line arguments after [`WORD`].
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(WORD, args, |options: &Options| {
        let origin = Origin::now(WORD);
        let figures = measure(options)?;
        if let Some(page) = &options.report {
            origin.write(page, &shape::table(&figures))?;
        }
        Ok(print(options, &figures).is_ok() && figures.iter().all(|figure| figure.ok != Some(false)))
    })
}

fn measure(options: &Options) -> Result<Vec<Figure>> {
    let programs = Programs::of_this_process()?.with_product(&options.binary);
    let binary = programs.product().unwrap_or(&options.binary).to_owned();
    let place = binary.display();
    ensure!(binary.is_file(), "there is no {place}; build it: rustup target add {MUSL} && {}", build());
    let bench = Bench {
        server: locate(&mut |progress| say(progress)).context("find nats-server")?,
        programs,
        window: Duration::from_secs(options.window),
    };
    let wanted = |part: Part| {
        let wanted = options.only.is_empty() || options.only.contains(&part);
        if wanted {
            say(&format!("measuring: {part:?}"));
        }
        wanted
    };
    let mut figures = Vec::new();
    if wanted(Part::Steady) {
        figures.extend(steady::batch_of_100(&bench)?);
    }
    if wanted(Part::BatchOf1) {
        figures.extend(steady::batch_of_1(&bench)?);
    }
    if wanted(Part::Viewers) {
        figures.extend(viewers::measure(&bench)?);
    }
    if wanted(Part::Recovery) {
        figures.extend(recovery::measure(&bench)?);
    }
    if wanted(Part::Backlog) {
        figures.extend(backlog::measure(&bench)?);
    }
    if wanted(Part::Replay) {
        figures.push(replay::aggregator(&bench, 1, 50_000)?);
        figures.push(replay::aggregator(&bench, 100, 1_000)?);
    }
    if wanted(Part::Load) {
        figures.extend(load::measure(&bench)?);
    }
    if wanted(Part::Codec) {
        figures.extend(replay::codec());
    }
    if wanted(Part::Size) {
        figures.push(shape::size(&binary)?);
    }
    Ok(figures)
}

/// The path of the shipped program.
fn shipped() -> PathBuf {
    PathBuf::from(format!("target/{MUSL}/dist/thermowell"))
}

/// The command that builds the shipped program.
fn build() -> String {
    format!("cargo build --profile dist --target {MUSL} -p thermowell")
}

fn print(options: &Options, figures: &[Figure]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if options.json {
        return writeln!(out, "{}", serde_json::to_string_pretty(figures)?);
    }
    write!(out, "{}", shape::table(figures))
}
