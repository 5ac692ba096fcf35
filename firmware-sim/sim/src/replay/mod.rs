//! A recorded temperature series instead of the plant: one row a minute, held within the minute.
//!
//! The file is text with tabs, semicolons or commas, in UTF-8 or ISO-8859-1, with decimal points or commas, usually
//! with a header. Row k of what is played is what the sensor reads from k × 60 s on. So:
//!
//! * **A cell with no measurement** (an input that is not connected reads 888.8, −88.8 or −999.9; or the cell is empty)
//!   is a reading of quality `open`: the slot was sampled, and the sensor was not there.
//! * **A gap in the timestamps** is silence: the slots are not sampled at all. A jump of n usual steps is n − 1 silent
//!   rows, if n is at least [`Gaps::silent_from`]. A single lost row (n = 2) is taken as a hiccup of the recorder by
//!   default: the series just goes on, and row k stays the k-th line of the file.
//! * **Beyond the limits of a flow sensor** the quality is what the firmware would say: see [`judge`].

mod args;
mod decimal;
mod table;

use std::{fs, io, path::Path, path::PathBuf, str::FromStr, time::Duration};

use jiff::civil::{DateTime, Time};
use thermowell_wire::{CentiCelsius, Quality};

pub use self::args::{Argument, ReplayArgs};
use self::decimal::Decimal;
use crate::{scenario::quantity::micros, sensor::judge};

/// Why a series cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read the series {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No column has this name or number, or several contain the name.
    #[error("{name}: {found} columns fit `{column}`; the columns are {header}")]
    Column {
        /// The file.
        name: String,
        /// What was asked for.
        column: String,
        /// How many fit.
        found: usize,
        /// What there is.
        header: String,
    },
    /// A cell is neither a number nor empty.
    #[error("{name}:{line}: `{text}` is not a temperature")]
    Cell {
        /// The file.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A window of times was asked for, and a row has no timestamp.
    #[error("{name}:{line}: the first column is not a time, and the rows were to be chosen by time")]
    Timestamp {
        /// The file.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// Nothing is left to play.
    #[error("{name}: no row is left to play")]
    Empty {
        /// The file.
        name: String,
    },
    /// A row would last no time, or longer than a day.
    #[error("a row lasts from 1 ms to 24 h, not {0:?}")]
    RowLength(Duration),
    /// A text is not a time of a recorded series.
    #[error("`{0}` is neither a time of day nor a date with a time")]
    Mark(String),
    /// A text is not a unit.
    #[error("`{0}` is not C or F")]
    Unit(String),
}

/// Which column to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// By its place, from 1.
    Number(usize),
    /// By its name in the header: the whole name, or a part that no other column has.
    Name(String),
}

impl FromStr for Column {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number))
    }
}

/// The unit of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// °C.
    Celsius,
    /// °F.
    Fahrenheit,
}

impl FromStr for Unit {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        match text.trim_start_matches('°') {
            "C" | "c" => Ok(Self::Celsius),
            "F" | "f" => Ok(Self::Fahrenheit),
            _ => Err(ReplayError::Unit(text.to_owned())),
        }
    }
}

/// A moment in a recorded series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// At this time of the first day that has it.
    TimeOfDay(Time),
    /// At this date and time.
    DateTime(DateTime),
}

impl Mark {
    fn reached(self, stamp: DateTime) -> bool {
        match self {
            Self::TimeOfDay(time) => stamp.time() >= time,
            Self::DateTime(moment) => stamp >= moment,
        }
    }
}

impl FromStr for Mark {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        let time = table::time_of_day(text).map(Self::TimeOfDay);
        let mark = time.or_else(|| table::timestamp(text).map(Self::DateTime));
        mark.ok_or_else(|| ReplayError::Mark(text.to_owned()))
    }
}

/// Which rows to play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Every row.
    #[default]
    All,
    /// Rows by number, from 0 behind the header, the end excluded.
    Numbers {
        /// The first.
        first: usize,
        /// The one behind the last.
        end: usize,
    },
    /// From the first row at or after `from` up to the first one after it that has reached `until`, which is excluded.
    /// `until` as a time of day is one of the same day.
    Between {
        /// The first moment.
        from: Mark,
        /// The moment behind the last.
        until: Mark,
    },
}

/// What a gap in the timestamps means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gaps {
    /// From how many usual steps on a jump is silence; 2 is every lost row, `u32::MAX` none.
    pub silent_from: u32,
    /// The most rows that one gap may last.
    pub most_rows: u32,
}

impl Default for Gaps {
    fn default() -> Self {
        Self { silent_from: 3, most_rows: u32::MAX }
    }
}

/// How to play a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which column.
    pub column: Column,
    /// Its unit; without one what the header says (`°F`, `[F]`), else °C.
    pub unit: Option<Unit>,
    /// Which rows.
    pub rows: Rows,
    /// How long a row lasts.
    pub row: Duration,
    /// What gaps mean.
    pub gaps: Gaps,
}

impl Options {
    /// All rows of `column`, a minute each.
    #[must_use]
    pub fn new(column: Column) -> Self {
        Self { column, unit: None, rows: Rows::All, row: Duration::from_secs(60), gaps: Gaps::default() }
    }
}

/// What is played in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    /// A reading.
    Reading(CentiCelsius, Quality),
    /// The slot is not sampled.
    Silent,
    /// The series is over.
    End,
}

/// A series that can be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// None is silence.
    rows: Vec<Option<(CentiCelsius, Quality)>>,
    row_us: u64,
}

impl Replay {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or what was asked for is not in it.
    pub fn open(path: &Path, options: &Options) -> Result<Self, ReplayError> {
        let bytes = fs::read(path).map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &bytes, options)
    }

    /// Reads the bytes of a file; `name` stands for it in errors.
    ///
    /// # Errors
    /// When what was asked for is not in it.
    pub fn parse(name: &str, bytes: &[u8], options: &Options) -> Result<Self, ReplayError> {
        let row_us = micros(options.row);
        if !(1_000..=86_400_000_000).contains(&row_us) {
            return Err(ReplayError::RowLength(options.row));
        }
        let recorded = read(name, &table::decode(bytes), options)?;
        let chosen = choose(name, &recorded, options.rows)?;
        if chosen.is_empty() {
            return Err(ReplayError::Empty { name: name.to_owned() });
        }
        Ok(Self { rows: with_silence(chosen, usual_step_s(&recorded), options.gaps), row_us })
    }

    /// What is played in `slot`, one of `period_us` each, the series beginning with slot 0.
    #[must_use]
    pub fn value_at(&self, slot: u64, period_us: u64) -> Played {
        self.at(slot.saturating_mul(period_us))
    }

    /// What is played at `t_us` after the beginning of the series.
    #[must_use]
    pub fn at(&self, t_us: u64) -> Played {
        let row = usize::try_from(t_us / self.row_us).unwrap_or(usize::MAX);
        match self.rows.get(row) {
            Some(Some((temperature, quality))) => Played::Reading(*temperature, *quality),
            Some(None) => Played::Silent,
            None => Played::End,
        }
    }

    /// The rows as they are played; None is silence.
    #[must_use]
    pub fn rows(&self) -> &[Option<(CentiCelsius, Quality)>] {
        &self.rows
    }
}

/// What an input without a sensor shows, in hundredths of the column's unit.
const UNCONNECTED: [i128; 3] = [88_880, -8_880, -99_990];
/// How a recorder writes that there is nothing to write.
const NOTHING: [&str; 7] = ["", "-", "--", "---", "nan", "null", "n/a"];
/// What stands for a temperature where there is none: as far below the limit as an open circuit reads.
const OPEN: (CentiCelsius, Quality) = (CentiCelsius(-6_000), Quality::Open);

/// One line of the file.
#[derive(Clone, Copy, Debug)]
struct Row {
    line: usize,
    stamp: Option<DateTime>,
    reading: (CentiCelsius, Quality),
}

fn read(name: &str, text: &str, options: &Options) -> Result<Vec<Row>, ReplayError> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
    let Some((_, first_line)) = lines.peek() else {
        return Err(ReplayError::Empty { name: name.to_owned() });
    };
    let separator = table::separator(first_line);
    let first = table::fields(first_line, separator);
    let column = find(name, &options.column, &first)?;
    let heading = &first[column];
    // By number, a file may do without a header.
    let headed = matches!(options.column, Column::Name(_)) || Decimal::parse(heading).is_none();
    let unit = options.unit.unwrap_or_else(|| if headed { unit_of(heading) } else { Unit::Celsius });
    let skipped = usize::from(headed);
    let rows = lines.skip(skipped).map(|(number, line)| {
        let fields = table::fields(line, separator);
        let cell = fields.get(column).map_or("", String::as_str);
        let reading = reading(cell, unit).ok_or_else(|| ReplayError::Cell {
            name: name.to_owned(),
            line: number + 1,
            text: cell.to_owned(),
        })?;
        Ok(Row { line: number + 1, stamp: table::timestamp(&fields[0]), reading })
    });
    rows.collect()
}

/// The place of the column, from 0.
fn find(name: &str, column: &Column, header: &[String]) -> Result<usize, ReplayError> {
    let fits: Vec<usize> = match column {
        Column::Number(number) => (1..=header.len()).filter(|n| n == number).map(|n| n - 1).collect(),
        Column::Name(wanted) => {
            let whole = header.iter().position(|heading| heading == wanted.trim());
            let part = |heading: &String| heading.to_lowercase().contains(&wanted.trim().to_lowercase());
            whole.map_or_else(|| (0..header.len()).filter(|n| part(&header[*n])).collect(), |place| vec![place])
        }
    };
    match fits[..] {
        [place] => Ok(place),
        _ => Err(ReplayError::Column {
            name: name.to_owned(),
            column: match column {
                Column::Number(number) => number.to_string(),
                Column::Name(wanted) => wanted.clone(),
            },
            found: fits.len(),
            header: header.join(" | "),
        }),
    }
}

fn unit_of(heading: &str) -> Unit {
    let fahrenheit = ["°F", "[F]", "(F)"].iter().any(|unit| heading.contains(unit));
    if fahrenheit { Unit::Fahrenheit } else { Unit::Celsius }
}

/// None where the cell says something that is no temperature.
fn reading(cell: &str, unit: Unit) -> Option<(CentiCelsius, Quality)> {
    if NOTHING.contains(&cell.to_lowercase().as_str()) {
        return Some(OPEN);
    }
    let decimal = Decimal::parse(cell)?;
    if UNCONNECTED.contains(&decimal.hundredths()) {
        return Some(OPEN);
    }
    let centi = decimal.centi_celsius(unit).clamp(i128::from(i16::MIN), i128::from(i16::MAX));
    let temperature = CentiCelsius(i16::try_from(centi).expect("clamped to the range just above"));
    Some((temperature, judge(temperature)))
}

fn choose<'a>(name: &str, rows: &'a [Row], which: Rows) -> Result<&'a [Row], ReplayError> {
    match which {
        Rows::All => Ok(rows),
        Rows::Numbers { first, end } => Ok(rows.get(first..end.min(rows.len())).unwrap_or(&[])),
        Rows::Between { from, until } => {
            if let Some(row) = rows.iter().find(|row| row.stamp.is_none()) {
                return Err(ReplayError::Timestamp { name: name.to_owned(), line: row.line });
            }
            let begins = |row: &Row| row.stamp.is_some_and(|stamp| from.reached(stamp));
            let Some(first) = rows.iter().position(begins) else {
                return Ok(&[]);
            };
            let day = rows[first].stamp.map(DateTime::date);
            let ends = |row: &Row| {
                row.stamp.is_some_and(|stamp| {
                    until.reached(stamp) || matches!(until, Mark::TimeOfDay(_)) && Some(stamp.date()) != day
                })
            };
            let length = rows[first..].iter().position(ends).unwrap_or(rows.len() - first);
            Ok(&rows[first..first + length])
        }
    }
}

/// The step between two rows that is neither short nor long: the median.
fn usual_step_s(rows: &[Row]) -> Option<i64> {
    let mut steps: Vec<i64> = rows.windows(2).filter_map(step_s).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied()
}

fn step_s(pair: &[Row]) -> Option<i64> {
    Some(pair[1].stamp?.duration_since(pair[0].stamp?).as_secs())
}

fn with_silence(rows: &[Row], usual_s: Option<i64>, gaps: Gaps) -> Vec<Option<(CentiCelsius, Quality)>> {
    let mut played = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let jump_s = place.checked_sub(1).and_then(|before| step_s(&rows[before..=place]));
        if let (Some(jump_s), Some(usual_s)) = (jump_s, usual_s) {
            // To the nearest step: recorders start a row a few seconds early or late.
            let steps = (jump_s + usual_s / 2) / usual_s;
            if steps >= i64::from(gaps.silent_from) {
                let silent = usize::try_from((steps - 1).min(i64::from(gaps.most_rows))).unwrap_or(0);
                played.resize(played.len() + silent, None);
            }
        }
        played.push(Some(row.reading));
    }
    played
}

#[cfg(test)]
mod tests;
