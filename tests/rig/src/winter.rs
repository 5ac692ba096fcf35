//! `cargo winter`: seven simulated days in five houses and three climates, with Thermowell's law and with what makers
//! ship.
//!
//! Plant and firmware are those of the simulator; window, controller and law are those of the product: see
//! [`heating`]. The rivals are in [`rivals`], the requirements in `bars`.

mod bars;
mod bestest;
pub mod heating;
mod night;
pub mod plan;
mod report;
pub mod rivals;
mod summer;
mod trial;
mod tune;
pub mod week;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::{Parser, ValueEnum};

use crate::cli;
use crate::page::Origin;

#[cfg(test)]
mod tests;

/// The first argument that asks for the winter.
pub const WORD: &str = "winter";

/// Heats simulated houses for a week in three climates: with a plain heating curve, with what makers ship, and with
/// Thermowell's law. Exits 0 if the law is as much better as required.
#[derive(Clone, Debug, Parser)]
#[command(name = "cargo winter", bin_name = "cargo winter")]
pub struct Options {
    /// Number of days that count
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=60))]
    days: u64,
    /// Seeds of weather and hot-water draws; the curves were tuned with 101 to 106
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Only these houses of config/winter.toml
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    house: Vec<String>,
    /// Only these climates
    #[arg(long, value_delimiter = ',', value_enum)]
    climate: Vec<ClimateName>,
    /// Sun and wander of the weather
    #[arg(long, value_enum, default_value_t = WeatherName::Both)]
    weather: WeatherName,
    /// Only these parts
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Find the curves, and print them for config/winter.toml
    #[arg(long, conflicts_with_all = ["seeds", "climate", "weather", "only", "report", "json"])]
    tune: bool,
    /// Put the results into this page, after the text that is written by hand
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// The simulations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Every control in all houses and climates.
    Table,
    /// A boiler of one stage that starts 10 K below the set-point, with integral and hour and without.
    Lazy,
    /// Other Kp, Ki and k.
    Sensitivity,
    /// The target of the room rises by 2 K.
    Step,
    /// The rooms are set back by 4 K in each night, and are to be warm at six.
    Night,
    /// No heat in summer, under the law and without it.
    Summer,
    /// The public test case bestest_hydronic of BOPTEST, and its own control.
    Bestest,
}

/// A climate as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ClimateName {
    /// -5 °C.
    Cold,
    /// +5 °C.
    Mild,
    /// +12 °C.
    Warm,
}

/// A weather as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WeatherName {
    /// 1.5 kW of sun at a clear noon, a wander of 1 K.
    Now,
    /// 3 kW, 2.5 K.
    First,
    /// Each of them.
    Both,
}

/// Runs with the command-line arguments after [`WORD`].
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(WORD, args, |options: &Options| {
        let stage = stage(options)?;
        if options.tune {
            let curves = tune::tune(&stage.parameters, &stage.houses, options.days, cli::say)?;
            return Ok(write!(io::stdout().lock(), "{curves}").is_ok());
        }
        let origin = Origin::now(WORD);
        let report = play(options, &stage)?;
        if let Some(page) = &options.report {
            origin.write(page, &format!("```\n{}\n```", report.text()))?;
        }
        let text = if options.json { report.json() } else { report.text() };
        Ok(writeln!(io::stdout().lock(), "{text}").is_ok() && report.is_as_wanted())
    })
}

fn stage(options: &Options) -> Result<trial::Stage> {
    let parameters = plan::Parameters::committed().context("read config/winter.toml")?;
    let known = parameters.house.keys().cloned().collect::<Vec<_>>();
    if let Some(unknown) = options.house.iter().find(|name| !known.contains(name)) {
        let error = anyhow!("there is no house {unknown}, only {}", known.join(", "));
        return Err(cli::with_code(cli::WRONG_ARGUMENTS, error));
    }
    let climate = |name: &ClimateName| match name {
        ClimateName::Cold => plan::COLD,
        ClimateName::Mild => plan::MILD,
        ClimateName::Warm => plan::WARM,
    };
    let climates = options.climate.iter().map(climate).collect::<Vec<_>>();
    Ok(trial::Stage {
        houses: if options.house.is_empty() { known } else { options.house.clone() },
        weathers: match options.weather {
            WeatherName::Now => vec![plan::Weather::Now],
            WeatherName::First => vec![plan::Weather::First],
            WeatherName::Both => plan::Weather::ALL.to_vec(),
        },
        climates: if climates.is_empty() { plan::CLIMATES.to_vec() } else { climates },
        days: options.days,
        seeds: options.seeds.clone(),
        parameters,
    })
}

fn play(options: &Options, stage: &trial::Stage) -> Result<report::Report> {
    let wants = |part| options.only.is_empty() || options.only.contains(&part);
    Ok(report::Report {
        days: stage.days,
        seeds: stage.seeds.clone(),
        houses: stage.described()?,
        table: if wants(Part::Table) { stage.table()? } else { Vec::new() },
        lazy: if wants(Part::Lazy) { stage.lazy()? } else { Vec::new() },
        sensitivity: if wants(Part::Sensitivity) { stage.sensitivity()? } else { Vec::new() },
        nights: if wants(Part::Night) { stage.nights()? } else { Vec::new() },
        summers: if wants(Part::Summer) { stage.summers()? } else { Vec::new() },
        steps: if wants(Part::Step) { stage.steps()? } else { Vec::new() },
        bestest: if wants(Part::Bestest) { stage.bestest()? } else { Vec::new() },
    })
}
