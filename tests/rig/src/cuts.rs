//! `cargo cuts`: cuts the power of the gateway at random moments. Nothing may be lost, stored twice or out of order.
//!
//! The boilers are simulated and keep running. nats-server, agent, aggregator and controller are the real processes, on
//! a disk of their own (`disk`). A run consists of lives (`moment::lives`): each starts on an empty disk, has many
//! cuts (`life`) and ends with the ledger. `control` proves that a cut loses what was not synced.
//!
//! Rows this machine cannot run are SKIPPED and do not fail the run.

mod close;
mod control;
mod disk;
mod life;
mod moment;
mod report;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;

use self::disk::{Disk, Outer};
use self::report::Report;
use crate::cli::{self, say};
use crate::demo::setup::kept;
use crate::nats::{NatsServer, locate};
use crate::page::Origin;
use crate::process::Programs;
use crate::wait::Wait;

/// The first argument that asks for power cuts.
pub const WORD: &str = "cuts";

/// Cuts the power of the gateway at random moments and checks that nothing is lost, twice or out of order.
///
/// It mounts file systems and needs root; without root it prints SKIPPED and the reason. 200 cuts take half an hour.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cargo cuts",
    bin_name = "cargo cuts",
    after_help = "Exit codes: 0 as predicted, or SKIPPED; 1 not as predicted, or it could not\nrun; 2 wrong arguments."
)]
pub struct Options {
    /// Number of power cuts
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cuts: u32,
    /// Seed of all random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of boilers, b1 to bN
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=16))]
    boilers: u16,
    /// Also publish one JSON event per sample, and check the events at the end of each life
    #[arg(long)]
    feed: bool,
    /// Run only this life, counted from 1
    #[arg(long, value_name = "N")]
    life: Option<u32>,
    /// Put the results into this page, after the text that is written by hand
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep configurations, accounts and logs in this folder, which must not exist or be empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// The process is already in a private mount namespace
    #[arg(long, hide = true)]
    inside: bool,
}

/// What every life needs.
#[derive(Debug)]
pub struct Bench {
    server: NatsServer,
    programs: Programs,
    folder: PathBuf,
    boilers: u16,
    seed: u64,
    feed: bool,
    wait: Wait,
}

/// Runs with the command-line arguments after [`WORD`].
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    cli::main(WORD, args.clone(), |options: &Options| {
        let ran = match disk::missing() {
            Some(reason) => Ran::Skipped(reason),
            None if options.inside => run(options)?,
            None => Ran::Skipped(go_inside(&args)),
        };
        match ran {
            Ran::Through(report) => Ok(print(options, &report).is_ok() && report.ok),
            Ran::Skipped(reason) => {
                say(&format!("SKIPPED: power cuts: {reason}"));
                Ok(true)
            }
        }
    })
}

/// Runs this program again in a private mount namespace. Returns only if that fails, with the reason.
fn go_inside(args: &[OsString]) -> String {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return format!("the path of this program is unknown: {error}"),
    };
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(program).arg(WORD).args(args).arg("--inside");
    let error = command.exec();
    format!("unshare does not start: {error}")
}

/// How a run ended.
enum Ran {
    Through(Report),
    Skipped(String),
}

fn run(options: &Options) -> Result<Ran> {
    let origin = Origin::now(WORD);
    let server = locate(&mut |progress| say(progress)).context("find nats-server")?;
    let programs = Programs::of_this_process()?;
    let wait = Wait::interruptible()?;
    let temporary = tempfile::Builder::new().prefix("thermowell-cuts-").tempdir().context("make a folder")?;
    let disks = temporary.path().join("disks");
    fs::create_dir(&disks).with_context(|| format!("make {}", disks.display()))?;
    let outer = match try_disk(&disks) {
        Ok(outer) => outer,
        Err(error) => return Ok(Ran::Skipped(thermowell::logs::chain(error.as_ref()))),
    };
    let lives = temporary.path().join("lives");
    let folder = kept(options.keep.as_deref().unwrap_or(&lives))?;
    let Options { cuts, seed, boilers, feed, .. } = *options;
    let nats_server = server.version().to_string();
    let bench = Bench { server, programs, folder, boilers, seed, feed, wait };
    let mut lives = Vec::new();
    let wanted = |number| options.life.is_none_or(|only| only == number);
    for plan in moment::lives(cuts).into_iter().filter(|plan| wanted(plan.number)) {
        let mut each = |cut: &report::Cut| say(&cut.line());
        let life = life::live(&bench, &outer, plan, &mut each)?;
        life.problems.iter().for_each(|problem| say(&format!("life {:>2} ledger  FOUND: {problem}", plan.number)));
        lives.push(life);
    }
    let mut report = Report { origin, nats_server, boilers, seed, lives, ok: false };
    report.ok = report.judge();
    if let Some(page) = &options.report {
        report.origin.write(page, &report.markdown())?;
    }
    Ok(Ran::Through(report))
}

/// Makes, cuts and starts one disk, so that a machine that does not allow it fails here.
fn try_disk(folder: &Path) -> Result<Outer> {
    let outer = Outer::make(folder)?;
    let mut disk = Disk::make(&outer, "trial", &folder.join("trial"))?;
    disk.sync()?;
    disk.cut()?;
    disk.power_up()?;
    drop(disk);
    Ok(outer)
}

fn print(options: &Options, report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut out, report)?;
        return writeln!(out);
    }
    writeln!(out, "{}", report.verdict())
}
