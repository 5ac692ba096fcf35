//! Command-line arguments of a recorded series, shared by all programs that play one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::{
    Column, DecimalSign, Filter, Gaps, Mark, Options, Replay, ReplayError, Rows, TimeFormat, TimeOptions, Unit, Zone,
    is_row_length,
};
use crate::quantity::duration;

/// An argument as written, with its parsed value.
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

/// The series to play instead of the plant.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ReplayArgs {
    /// Play a recorded series instead of the plant: text with tabs, semicolons or commas
    #[arg(help_heading = "Replay", long, value_name = "FILE", requires = "column")]
    pub replay: Option<PathBuf>,
    /// Column to play, by name or by number from 1
    #[arg(help_heading = "Replay", long, value_name = "NAME|N", requires = "replay")]
    pub column: Option<Argument<Column>>,
    /// Unit of the column: C, F or K [default: the header's, or C]
    #[arg(help_heading = "Replay", long, value_name = "UNIT", requires = "replay")]
    pub unit: Option<Argument<Unit>>,
    /// Decimal sign of the column, comma or point, if its cells are ambiguous; the other sign separates thousands
    #[arg(help_heading = "Replay", long, value_name = "SIGN", requires = "replay")]
    pub decimal: Option<Argument<DecimalSign>>,
    /// Play only rows with this value in this column, for files with several sensors; may be repeated
    #[arg(help_heading = "Replay", long = "where", value_name = "COLUMN=VALUE", requires = "replay")]
    pub filters: Vec<Argument<Filter>>,
    /// Number of lines before the header, such as comments
    #[arg(help_heading = "Replay", long, value_name = "N", requires = "replay")]
    pub skip: Option<Argument<u32>>,
    /// Column of the times, if several are possible; give it twice if date and time are separate
    #[arg(help_heading = "Replay", long = "time-column", value_name = "NAME|N", requires = "replay")]
    pub time_columns: Vec<Argument<Column>>,
    /// Format of the times: dmy, mdy or ymd; s, ms, us or ns since 1970; or a pattern such as "%d %b %Y %H:%M"
    #[arg(help_heading = "Replay", long, value_name = "FORMAT", requires = "replay")]
    pub time_format: Option<Argument<TimeFormat>>,
    /// Time zone of local times, such as Europe/Berlin, UTC or +01:00; required if clocks change
    #[arg(help_heading = "Replay", long, value_name = "ZONE", requires = "replay", allow_hyphen_values = true)]
    pub time_zone: Option<Argument<Zone>>,
    /// Start at the first row at or after this time of day or date
    #[arg(help_heading = "Replay", long, value_name = "TIME", requires = "replay")]
    pub from: Option<Argument<Mark>>,
    /// Stop before the first row at or after this time of day or date
    #[arg(help_heading = "Replay", long, value_name = "TIME", requires = "replay")]
    pub until: Option<Argument<Mark>>,
    /// Simulated time that each row lasts, instead of until the next row's time
    #[arg(help_heading = "Replay", long, value_name = "TIME", value_parser = row_length, requires = "replay")]
    pub row: Option<Argument<Duration>>,
    /// Jump in the times that is a gap, in usual steps, or `never` [default: 3; never for last_changed]
    #[arg(help_heading = "Replay", long, value_name = "STEPS", value_parser = silent_from, requires = "replay")]
    pub silent_from: Option<Argument<u32>>,
    /// Longest gap, in usual steps; longer ones are shortened
    #[arg(help_heading = "Replay", long, value_name = "ROWS", requires = "replay")]
    pub gap_rows: Option<Argument<u32>>,
}

impl ReplayArgs {
    /// Opens the series; None without `--replay`.
    ///
    /// # Errors
    /// If it cannot be played.
    pub fn open(&self) -> Result<Option<Replay>, ReplayError> {
        let (Some(path), Some(column)) = (&self.replay, &self.column) else { return Ok(None) };
        let gaps = Gaps {
            silent_from: value(&self.silent_from),
            most_rows: value(&self.gap_rows).unwrap_or(Gaps::default().most_rows),
        };
        let options = Options {
            column: column.value.clone(),
            unit: value(&self.unit),
            decimal: value(&self.decimal),
            time: TimeOptions {
                columns: self.time_columns.iter().map(|column| column.value.clone()).collect(),
                format: value(&self.time_format),
                zone: value(&self.time_zone),
            },
            skip: value(&self.skip).unwrap_or(0),
            filters: self.filters.iter().map(|filter| filter.value.clone()).collect(),
            rows: Rows { from: value(&self.from), until: value(&self.until) },
            row: value(&self.row),
            gaps,
        };
        Replay::open(path, &options).map(Some)
    }

    /// The same arguments for another process; parsed again, they give the same values.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        // With `=`, a value may begin with a dash.
        let argument = |name: &str, value: &OsString| {
            let mut argument = OsString::from(format!("--{name}="));
            argument.push(value);
            argument
        };
        let once = [
            ("column", text(&self.column)),
            ("unit", text(&self.unit)),
            ("decimal", text(&self.decimal)),
            ("skip", text(&self.skip)),
            ("time-format", text(&self.time_format)),
            ("time-zone", text(&self.time_zone)),
            ("from", text(&self.from)),
            ("until", text(&self.until)),
            ("row", text(&self.row)),
            ("silent-from", text(&self.silent_from)),
            ("gap-rows", text(&self.gap_rows)),
        ];
        let path = self.replay.iter().map(|path| argument("replay", &path.clone().into_os_string()));
        let once = once.iter().filter_map(|(name, text)| text.map(|text| argument(name, &text.into())));
        let filters = self.filters.iter().map(|filter| argument("where", &(&filter.text).into()));
        let times = self.time_columns.iter().map(|column| argument("time-column", &(&column.text).into()));
        path.chain(once).chain(filters).chain(times).collect()
    }
}

fn value<T: Clone>(argument: &Option<Argument<T>>) -> Option<T> {
    argument.as_ref().map(|argument| argument.value.clone())
}

fn text<T>(argument: &Option<Argument<T>>) -> Option<&String> {
    argument.as_ref().map(|argument| &argument.text)
}

fn row_length(text: &str) -> Result<Argument<Duration>, String> {
    let value = duration(text)?;
    if is_row_length(value) {
        Ok(Argument { text: text.to_owned(), value })
    } else {
        Err(ReplayError::RowLength(value).to_string())
    }
}

fn silent_from(text: &str) -> Result<Argument<u32>, String> {
    let value = match text {
        "never" => u32::MAX,
        _ => text.parse().ok().filter(|steps| *steps >= 2).ok_or("expected a number from 2 on, or `never`")?,
    };
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
    fn arguments_survive_the_way_to_a_child_process() {
        let written = [
            "program",
            "--replay=/tmp/a b.csv",
            "--column=-flow",
            "--unit=F",
            "--decimal=point",
            "--skip=2",
            "--time-format=%d %b %Y %H:%M",
            "--time-zone=-05:00",
            "--from=10:00",
            "--until=2024-01-01 12:00",
            "--row=1m 30s",
            "--silent-from=4",
            "--gap-rows=7",
            "--where=sensor=a=b",
            "--where=2=x",
            "--time-column=Date",
            "--time-column=2",
        ];
        let once = Program::try_parse_from(written).unwrap().replay;
        let arguments = once.to_arguments();
        assert_eq!(arguments, written[1..].iter().map(OsString::from).collect::<Vec<_>>());
        let name = OsString::from("program");
        assert_eq!(Program::try_parse_from(std::iter::once(name).chain(arguments)).unwrap().replay, once);
        assert_eq!(ReplayArgs::default().to_arguments(), [""; 0]);
    }

    #[test]
    fn wrong_values_are_usage_errors() {
        let play = ["program", "--replay=a", "--column=1"];
        let wrong = [
            "--row=0s",
            "--row=25h",
            "--unit=R",
            "--decimal=dot",
            "--from=noon",
            "--silent-from=1",
            "--where=a",
            "--skip=-1",
            "--time-format=iso",
            "--time-zone=Mars",
            "--until=1/2/2024",
        ];
        for argument in wrong {
            let error = Program::try_parse_from(play.iter().chain([&argument])).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{argument}: {error}");
        }
        assert!(Program::try_parse_from(["program", "--replay=a"]).is_err(), "the column is missing");
        assert!(Program::try_parse_from(["program", "--row=1m"]).is_err(), "the file is missing");
    }
}
