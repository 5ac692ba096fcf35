//! The arguments that choose a recorded series, for every program that plays one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{Column, Gaps, Mark, Options, Replay, ReplayError, Rows, Unit};

/// An argument as it was written, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument<T> {
    text: String,
    value: T,
}

impl<T: FromStr> FromStr for Argument<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        Ok(Self { text: text.to_owned(), value: text.parse()? })
    }
}

/// A recorded series instead of the plant.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Replay")]
pub struct ReplayArgs {
    /// Play a recorded series instead of the plant: text with tabs, semicolons or commas
    #[arg(long, value_name = "FILE", requires = "column")]
    pub replay: Option<PathBuf>,
    /// Its column, by name or by number from 1
    #[arg(long, value_name = "NAME|N", requires = "replay")]
    pub column: Option<Argument<Column>>,
    /// Its unit, C or F, instead of what the header says
    #[arg(long, value_name = "UNIT", requires = "replay")]
    pub unit: Option<Argument<Unit>>,
    /// From the first row at or after this time of day or date
    #[arg(long, value_name = "TIME", requires_all = ["replay", "until"])]
    pub from: Option<Argument<Mark>>,
    /// Up to the first row that has reached this time of day or date
    #[arg(long, value_name = "TIME", requires_all = ["replay", "from"])]
    pub until: Option<Argument<Mark>>,
    /// Simulated time that a row lasts [default: 1m]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "replay")]
    pub row: Option<Argument<Duration>>,
    /// A jump of so many usual steps in the timestamps is silence [default: 3]
    #[arg(long, value_name = "STEPS", requires = "replay")]
    pub silent_from: Option<Argument<u32>>,
    /// The most rows that one gap may last
    #[arg(long, value_name = "ROWS", requires = "replay")]
    pub gap_rows: Option<Argument<u32>>,
}

impl ReplayArgs {
    /// The series that these arguments choose; None without `--replay`.
    ///
    /// # Errors
    /// When it cannot be played.
    pub fn open(&self) -> Result<Option<Replay>, ReplayError> {
        let (Some(path), Some(column)) = (&self.replay, &self.column) else { return Ok(None) };
        let rows = match (&self.from, &self.until) {
            (Some(from), Some(until)) => Rows::Between { from: from.value, until: until.value },
            (None | Some(_), None | Some(_)) => Rows::All,
        };
        let (usual, plain) = (Gaps::default(), Options::new(column.value.clone()));
        let gaps = Gaps {
            silent_from: self.silent_from.as_ref().map_or(usual.silent_from, |steps| steps.value),
            most_rows: self.gap_rows.as_ref().map_or(usual.most_rows, |rows| rows.value),
        };
        let options = Options {
            unit: self.unit.as_ref().map(|unit| unit.value),
            row: self.row.as_ref().map_or(plain.row, |row| row.value),
            rows,
            gaps,
            ..plain
        };
        Replay::open(path, &options).map(Some)
    }

    /// The same arguments for another process: parsed again, they give the same value.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        // With `=`, a value may begin with a dash.
        let argument = |name: &str, value: &OsString| {
            let mut argument = OsString::from(format!("--{name}="));
            argument.push(value);
            argument
        };
        let texts = [
            ("column", self.column.as_ref().map(|it| &it.text)),
            ("unit", self.unit.as_ref().map(|it| &it.text)),
            ("from", self.from.as_ref().map(|it| &it.text)),
            ("until", self.until.as_ref().map(|it| &it.text)),
            ("row", self.row.as_ref().map(|it| &it.text)),
            ("silent-from", self.silent_from.as_ref().map(|it| &it.text)),
            ("gap-rows", self.gap_rows.as_ref().map(|it| &it.text)),
        ];
        let path = self.replay.iter().map(|path| argument("replay", &path.clone().into_os_string()));
        let texts = texts.iter().filter_map(|(name, text)| text.map(|text| argument(name, &text.into())));
        path.chain(texts).collect()
    }
}

fn duration(text: &str) -> Result<Argument<Duration>, String> {
    let length: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let value = Duration::try_from(length).map_err(|error| error.to_string())?;
    Ok(Argument { text: text.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        replay: ReplayArgs,
    }

    #[test]
    fn arguments_reach_a_child_process_as_they_were() {
        let written = [
            "program",
            "--replay=/tmp/a b.csv",
            "--column=-flow",
            "--unit=F",
            "--from=10:00",
            "--until=2024-01-01 12:00",
            "--row=1m 30s",
            "--silent-from=4",
            "--gap-rows=7",
        ];
        let once = Program::try_parse_from(written).unwrap().replay;
        let arguments = once.to_arguments();
        assert_eq!(arguments, written[1..].iter().map(OsString::from).collect::<Vec<_>>());
        let name = OsString::from("program");
        assert_eq!(Program::try_parse_from(std::iter::once(name).chain(arguments)).unwrap().replay, once);
        assert_eq!(ReplayArgs::default().to_arguments(), [""; 0]);
    }
}
