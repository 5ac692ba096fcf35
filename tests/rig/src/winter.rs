//! `cargo winter`: seven simulated days in three climates, with a plain heating curve and with Thermowell's law.
//!
//! Plant and firmware are those of the simulator; window, controller and law are those of the product: see
//! [`heating`].

pub mod heating;
pub mod plan;
mod report;
mod trial;
pub mod week;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::cli;
use crate::page::Origin;

#[cfg(test)]
mod tests;

/// The first argument that asks for the winter.
pub const WORD: &str = "winter";

/// Heats a simulated house for a week in three climates: with a plain heating curve, and with Thermowell's law. Exits 0
/// if the law is as much better as required.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo winter", bin_name = "cargo winter")]
pub struct Options {
    /// Number of days that count
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=60))]
    days: u64,
    /// Seeds of weather and hot-water draws; the curve was tuned with 101 to 106
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Only these: table, lazy, sensitivity, step; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Put the results into this page, after the text that is written by hand
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// The simulations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Three climates, both laws.
    Table,
    /// A boiler with 40 % of the power that starts 10 K below the set-point, with k and without.
    Lazy,
    /// Other k and Kp.
    Sensitivity,
    /// The target of the room rises by 2 K.
    Step,
}

/// Runs with the command-line arguments after [`WORD`].
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(WORD, args, |options: &Options| {
        let origin = Origin::now(WORD);
        let report = play(options)?;
        if let Some(page) = &options.report {
            origin.write(page, &format!("```\n{}\n```", report.text()))?;
        }
        let text = if options.json { report.json() } else { report.text() };
        Ok(writeln!(io::stdout().lock(), "{text}").is_ok() && report.is_as_wanted())
    })
}

fn play(options: &Options) -> Result<report::Report> {
    let parameters = plan::Parameters::committed().context("read config/winter.toml")?;
    let wants = |part| options.only.is_empty() || options.only.contains(&part);
    let stage = trial::Stage { parameters, days: options.days, seeds: options.seeds.clone() };
    Ok(report::Report {
        days: options.days,
        seeds: options.seeds.clone(),
        climates: if wants(Part::Table) { stage.climates()? } else { Vec::new() },
        lazy: if wants(Part::Lazy) { stage.lazy()? } else { Vec::new() },
        sensitivity: if wants(Part::Sensitivity) { stage.sensitivity()? } else { Vec::new() },
        step: if wants(Part::Step) { Some(stage.step()?) } else { None },
    })
}
