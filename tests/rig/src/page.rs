//! The pages in `reports/`: text that is written by hand, and after a mark the results of a command.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::clock::{Stopwatch, realtime_ns};
use crate::demo::rfc3339;

/// The text after it is replaced.
const MARK: &str = "<!-- results -->";

/// The run and the machine of some results.
#[derive(Debug, Serialize)]
pub(crate) struct Origin {
    /// The command line without `--report`.
    command: String,
    date: String,
    kernel: String,
    cores: usize,
    /// The load average of the machine at the start of the run.
    load: String,
    #[serde(skip)]
    watch: Stopwatch,
}

impl Origin {
    /// Of a run of `cargo WORD` that starts now.
    pub(crate) fn now(word: &str) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            command: command(word, std::env::args().skip(2)),
            date: rfc3339(realtime_ns()),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            watch: Stopwatch::start(),
        }
    }

    fn line(&self) -> String {
        let Self { command, date, kernel, cores, load, watch } = self;
        let minutes = watch.elapsed().as_secs_f64() / 60.0;
        let machine = format!("Linux {kernel}, {cores} cores, load {load} at the start");
        format!("Written by `{command}` on {date}, in {minutes:.1} minutes; {machine}.")
    }

    /// Writes `results` into the page at `path`, after the text that is written by hand.
    pub(crate) fn write(&self, path: &Path, results: &str) -> Result<()> {
        let words = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            words => words.with_context(|| format!("read {}", path.display()))?,
        };
        let words = words.split(MARK).next().unwrap_or_default().trim_end();
        let page = format!("{words}\n\n{MARK}\n{}\n\n{}\n", self.line(), results.trim_end());
        fs::write(path, page).with_context(|| format!("write {}", path.display()))
    }
}

fn command(word: &str, mut args: impl Iterator<Item = String>) -> String {
    let mut command = format!("cargo {word}");
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--report" => drop(args.next()),
            "--inside" => {}
            _ if arg.starts_with("--report=") => {}
            _ => command += &format!(" {arg}"),
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.md");
        fs::write(&path, "# Faults\n\nWhat it is.\n").unwrap();
        let origin = Origin::now("faults");
        for results in ["| 1 |\n", "| 2 |\n"] {
            origin.write(&path, results).unwrap();
            let page = fs::read_to_string(&path).unwrap();
            let [words, found] = page.split(MARK).collect::<Vec<_>>().try_into().unwrap();
            assert_eq!(words, "# Faults\n\nWhat it is.\n\n");
            assert!(found.starts_with("\nWritten by `cargo faults"), "{page}");
            assert!(found.ends_with(&format!(".\n\n{results}")), "{page}");
        }
        let args = ["--seed", "2", "--report", "a.md", "--quick", "--report=b.md"].map(str::to_owned);
        assert_eq!(command("faults", args.into_iter()), "cargo faults --seed 2 --quick");
    }
}
