//! `cargo faults`: injects one fault after the other into real processes, and prints a table of what was predicted and
//! what happened.
//!
//! ```text
//! faults ─▶ rows (a process, a folder and a system each; some at a time) ─▶ lines ─▶ table, exit code
//! ```
//!
//! `rows` has each fault next to its prediction. A row runs in its own process, so that a failure that prevents
//! measuring ends only that row. Rows this machine cannot run are SKIPPED and do not fail the run.

mod report;
mod rows;
mod run;
mod stage;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;

use self::report::{Line, Measured, Verdict, judge};
use self::rows::Row;
use self::stage::Setting;
use crate::cli::{self, say};
use crate::nats::locate;
use crate::page::Origin;
use crate::process::own_program;

/// The first argument that asks for faults.
pub const WORD: &str = "faults";
/// A recovery may take this many times longer in a test, which shares its machine with others: the test checks that it
/// recovers.
const BUSY: u64 = 10;

/// Injects faults into real processes and prints, fault by fault, what was lost, twice or out of order, next to what
/// was predicted.
///
/// A full run takes about eight minutes, three of them in an outage that lasts as long.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cargo faults",
    bin_name = "cargo faults",
    after_help = "Examples:
  cargo faults                            every row
  cargo faults --quick                    half a minute's worth of them
  cargo faults --list                     what there is, and what each row predicts
  cargo faults --only wipe --only reboot
  cargo faults --seed 7 --json > faults.json

Exit codes: 0 each row is as predicted or SKIPPED, 1 one is not or could not
run, 2 wrong arguments."
)]
pub struct Options {
    /// Only this row; can be repeated
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,
    /// Fewer rows and fewer repetitions: about half a minute
    #[arg(long)]
    quick: bool,
    /// List the rows and their predictions without running them
    #[arg(long)]
    list: bool,
    /// Seed of all random choices
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of rows that run at a time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
    /// Put the results into this page, after the text that is written by hand
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
    /// Keep logs and stores of the rows in this folder, which must not exist or be empty
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Replace the predicted loss, to show that a wrong prediction is detected
    #[arg(long, hide = true, value_name = "SLOTS")]
    predict_lost: Option<u64>,
    /// Run the row of `--only` in this process and folder
    #[arg(long, hide = true, value_name = "DIR")]
    inside: Option<PathBuf>,
}

/// Runs with the command-line arguments after [`WORD`].
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::main(WORD, args, |options: &Options| match &options.inside {
        Some(folder) => inside(options, folder),
        None => outside(options),
    })
}

/// Runs all rows. Returns whether all is as predicted.
fn outside(options: &Options) -> Result<bool> {
    let rows = wanted(options)?;
    if options.list {
        return print(&listed(&rows)).map(|()| true);
    }
    let origin = Origin::now(WORD);
    locate(&mut |progress| say(progress)).context("find nats-server")?;
    let lines = run::run(options, rows)?;
    let text = format!("{}{}", report::table(&lines), report::complaints(&lines));
    if let Some(page) = &options.report {
        origin.write(page, &text)?;
    }
    if options.json {
        let table = serde_json::json!({ "ok": report::ok(&lines), "seed": options.seed, "rows": lines });
        print(&format!("{table}\n"))?;
    } else {
        print(&text)?;
    }
    Ok(report::ok(&lines))
}

/// Runs one row in this process. The result goes into a file for the process that started it.
fn inside(options: &Options, folder: &Path) -> Result<bool> {
    let program = own_program()?;
    let rows = rows::all();
    let Some(index) = rows.iter().position(|row| options.only.contains(&row.name)) else {
        return Err(no_row(&rows, &options.only.join(" ")));
    };
    // Each row draws other numbers.
    let seed = options.seed.wrapping_mul(1_000).wrapping_add(u64::try_from(index).unwrap_or(0));
    let setting = Setting { folder: folder.to_owned(), program, seed, quick: options.quick };
    let line = line(&rows[index], &setting, |measured| {
        if let Some(slots) = options.predict_lost {
            measured.expected = (slots, slots);
        }
    });
    let path = folder.join(run::RESULT);
    let json = serde_json::to_vec(&line).expect("a line is JSON");
    fs::write(&path, json).with_context(|| format!("write {}", path.display()))?;
    Ok(true)
}

/// Runs a row and judges the result.
fn line(row: &Row, setting: &Setting, change: impl FnOnce(&mut Measured)) -> Line {
    let (verdict, measured) = match row.play(setting) {
        Err(skipped) => (Verdict::Skipped(skipped.0), None),
        Ok(stage) => {
            let mut measured = stage.close(&row.predicted);
            change(&mut measured);
            (judge(&row.predicted, &measured), Some(measured))
        }
    };
    Line { row: row.name.clone(), fault: row.fault.clone(), verdict, measured }
}

/// Runs the short form of row `name` as a test. `program` is `env!("CARGO_BIN_EXE_demo")`.
///
/// # Panics
/// The result is not as predicted. Only a recovery may take longer, because tests share their machine.
pub fn play(program: &str, name: &str) {
    let rows = rows::all();
    let row = rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{}", no_row(&rows, name)));
    let folder = tempfile::Builder::new().prefix("thermowell-row-").tempdir().expect("a temporary folder");
    let setting = Setting { folder: folder.path().to_owned(), program: program.into(), seed: 1, quick: true };
    let line = line(row, &setting, |measured| {
        measured.recovery_ms = measured.recovery_ms.map(|ms| ms / BUSY);
    });
    assert!(report::ok(std::slice::from_ref(&line)), "{}", report::complaints(&[line]));
}

fn wanted(options: &Options) -> Result<Vec<Row>> {
    let rows = rows::all();
    if let Some(stranger) = options.only.iter().find(|name| rows.iter().all(|row| row.name != **name)) {
        return Err(no_row(&rows, stranger));
    }
    let named = |row: &Row| options.only.contains(&row.name);
    let usual = |row: &Row| options.only.is_empty() && (row.quick || !options.quick);
    Ok(rows.into_iter().filter(|row| named(row) || usual(row)).collect())
}

fn no_row(rows: &[Row], wanted: &str) -> anyhow::Error {
    let known: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    cli::with_code(cli::WRONG_ARGUMENTS, anyhow!("there is no row {wanted}; there are {}", known.join(", ")))
}

fn listed(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let lost = row.predicted.lost.words();
        let within = row.predicted.within_s;
        text += &format!("{:<20} {:<62} lost: {lost}; recovered within {within} s\n", row.name, row.fault);
    }
    text
}

fn print(text: &str) -> Result<()> {
    io::stdout().lock().write_all(text.as_bytes()).context("print the table")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(words: &[&str]) -> Result<Vec<String>> {
        let options = Options::try_parse_from([WORD].iter().chain(words)).unwrap();
        Ok(wanted(&options)?.into_iter().map(|row| row.name).collect())
    }

    #[test]
    fn a_wrong_row_name_is_answered_with_the_right_ones() {
        assert_eq!(chosen(&["--only", "wipe", "--only", "reboot"]).unwrap(), ["wipe", "reboot"]);
        assert_eq!(chosen(&["--only", "rollback", "--quick"]).unwrap(), ["rollback"], "--only overrides --quick");
        let (all, quick) = (chosen(&[]).unwrap(), chosen(&["--quick"]).unwrap());
        assert!(!quick.is_empty() && quick.len() < all.len());
        let error = chosen(&["--only", "earthquake"]).unwrap_err().to_string();
        assert!(error.starts_with("there is no row earthquake; there are kill-agent, "), "{error}");
    }
}
