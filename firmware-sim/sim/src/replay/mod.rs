//! Plays a recorded temperature series instead of the plant.
//!
//! ```text
//! bytes ─▶ text ─▶ table ─▶ times, unit ─▶ series ─▶ schedule ─▶ what is played
//!                                            └─▶ notes: what cannot be parsed, by line
//! ```
//! The file is text with tabs, semicolons, commas or bars, in UTF-8, UTF-16 or ISO-8859-1, with decimal points or
//! commas, usually with a header. A row, a time or a unit that cannot be parsed is reported and not played; what is
//! ambiguous is refused with the argument that resolves it. Memory is proportional to rows, never to gaps.
//!
//! * **A row lasts until the next one**, by the times of the rows, or as long as [`Options::row`].
//! * **A cell without a measurement** (an unconnected input reads 888.8, −88.8 or −999.9; or the cell is empty,
//!   `unavailable`, `NaN`) is a reading of quality `open`: the slot was sampled, but there was no sensor.
//! * **A gap in the times** is silence: its slots are not sampled. It is a jump of at least [`Gaps::silent_from`] usual
//!   steps. A shorter one is taken as a hiccup of the recorder: see `schedule.rs`.
//! * **Outside the range of a flow sensor** a reading gets the quality that the firmware would give it: see [`judge`].

mod args;
mod cut;
mod decimal;
mod error;
mod foreign;
mod notes;
mod schedule;
mod series;
mod stamp;
mod table;
mod text;
mod thousands;
mod times;
mod unit;
mod unit_column;

use std::borrow::Cow;
use std::sync::Arc;
use std::{fmt, path::Path, str::FromStr, time::Duration};

use thermowell_wire::{CentiCelsius, Quality};

pub use self::args::{Argument, ReplayArgs};
pub use self::error::ReplayError;
pub use self::schedule::Span;
pub use self::stamp::{Order, TimeFormat, Zone};
pub use self::table::Filter;
pub use self::thousands::DecimalSign;
pub use self::times::TimeOptions;
pub use self::unit::Unit;

use self::decimal::Decimal;
use self::notes::Notes;
use self::schedule::{SHORTEST_US, Schedule};
use self::series::{Row, Series};
use self::stamp::{DAY_US, Stamp};
use crate::{quantity::micros, sensor::judge};

/// A temperature and its quality.
pub type Reading = (CentiCelsius, Quality);

/// The column to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// By position, from 1.
    Number(usize),
    /// By its name in the header: the whole name, or a part that is unique.
    Name(String),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Column {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number))
    }
}

/// A moment in a recorded series, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Since midnight, on the first day with such a row.
    TimeOfDay(i64),
    /// A date and time as written in the file, counted as if it were UTC.
    Wall(i64),
    /// Since 1970.
    Instant(i64),
}

impl FromStr for Mark {
    type Err = ReplayError;

    fn from_str(text: &str) -> Result<Self, ReplayError> {
        let refused = || ReplayError::Mark(text.to_owned());
        if let Some((us, None)) = stamp::clock(text) {
            return Ok(Self::TimeOfDay(us));
        }
        let midnight = || stamp::date(text).map(|date| Stamp::Clock { date, time_us: 0, offset_s: None });
        let stamp = Stamp::parse(text).or_else(midnight).ok_or_else(refused)?;
        // Only points imply the order of day and month.
        if stamp.is_open() && !text.contains('.') {
            return Err(refused());
        }
        let moment = stamp.moment(Order::Dmy, None).ok_or_else(refused)?;
        Ok(if stamp.has_offset() { Self::Instant(moment.at_us) } else { Self::Wall(moment.wall_us) })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (us, end) = match *self {
            Self::TimeOfDay(us) | Self::Wall(us) => (us, ""),
            Self::Instant(us) => (us, "Z"),
        };
        stamp::wall(us).map_or(Ok(()), |time| write!(f, "{time}{end}"))
    }
}

/// The rows to play: from the first row at or after `from` to the first one after it at or past `until`, which is
/// excluded. `until` as a time of day is the next one after the first row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    pub from: Option<Mark>,
    pub until: Option<Mark>,
}

impl Rows {
    fn are_by_time(self) -> bool {
        self != Self::default()
    }
}

/// How to treat gaps in the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gaps {
    /// Least jump, in usual steps, that is silence; 2 is every lost row, `u32::MAX` none. None means 3, or none if the
    /// file records changes.
    pub silent_from: Option<u32>,
    /// Longest gap in rows; longer ones are shortened.
    pub most_rows: u32,
}

impl Default for Gaps {
    fn default() -> Self {
        Self { silent_from: None, most_rows: u32::MAX }
    }
}

/// How to play a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub column: Column,
    /// Its unit; None takes the header's, or °C.
    pub unit: Option<Unit>,
    /// Its decimal sign; None takes that of the cells.
    pub decimal: Option<DecimalSign>,
    /// Columns and format of the times.
    pub time: TimeOptions,
    /// Lines before the header.
    pub skip: u32,
    /// Conditions that all rows must meet.
    pub filters: Vec<Filter>,
    pub rows: Rows,
    /// Length of a row; None lasts until the next one.
    pub row: Option<Duration>,
    pub gaps: Gaps,
}

impl Options {
    /// All rows of `column`, each until the next one.
    #[must_use]
    pub fn new(column: Column) -> Self {
        Self {
            column,
            unit: None,
            decimal: None,
            time: TimeOptions::default(),
            skip: 0,
            filters: Vec::new(),
            rows: Rows::default(),
            row: None,
            gaps: Gaps::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Played {
    Reading(CentiCelsius, Quality),
    /// The slot is not sampled.
    Silent,
    /// The series is over.
    End,
}

/// A series ready to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    spans: Arc<[Span]>,
    end_us: u64,
    summary: String,
    notes: Vec<String>,
}

impl Replay {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or has no such series.
    pub fn open(path: &Path, options: &Options) -> Result<Self, ReplayError> {
        let bytes = text::load(path).map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &bytes, options)
    }

    /// Parses the bytes of a file; `name` identifies it in messages.
    ///
    /// # Errors
    /// If it has no such series.
    pub fn parse(name: &str, bytes: &[u8], options: &Options) -> Result<Self, ReplayError> {
        if let Some(row) = options.row.filter(|row| !is_row_length(*row)) {
            return Err(ReplayError::RowLength(row));
        }
        let text = text::decode(bytes).map_err(|what| ReplayError::Text { name: name.to_owned(), what })?;
        let mut notes = Notes::new(name);
        if let Some((count, line)) = text.nuls {
            notes.remark(line, &format!("{count} NUL bytes removed, the first in this line (power cut?)"));
        }
        let table = table::Table::new(name, &text.bytes, options.skip, &options.column)?;
        let series = series::read(name, &table, options, &mut notes)?;
        let (rows, unread, first) = notes.unread_of();
        if unread * 2 > rows {
            let first = first.to_owned();
            return Err(ReplayError::Unread { name: name.to_owned(), unread, rows, first });
        }
        let chosen = choose(name, &series, options, &mut notes)?;
        if chosen.range.is_empty() {
            return Err(ReplayError::Empty { name: name.to_owned() });
        }
        let count = series.rows[chosen.range.clone()].iter().filter(|row| row.reading.is_some()).count();
        let unread = if unread > 0 { format!(", {unread} in the file not parsed") } else { String::new() };
        let schedule = Schedule::new(name, &series, chosen.range, chosen.stop_wall_us, options)?;
        let summary = format!("{name}: {count} rows{unread}, of {}; {}", series.about, schedule.about(options));
        Ok(Self { spans: schedule.spans.into(), end_us: schedule.end_us, summary, notes: notes.into_lines() })
    }

    /// The content at `t_us` after the beginning of the series.
    #[must_use]
    pub fn at(&self, t_us: u64) -> Played {
        if t_us >= self.end_us {
            return Played::End;
        }
        let behind = self.spans.partition_point(|span| span.from_us <= t_us);
        match behind.checked_sub(1).and_then(|place| self.spans[place].reading) {
            Some((temperature, quality)) => Played::Reading(temperature, quality),
            None => Played::Silent,
        }
    }

    /// The series as spans in the order of time.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Length of the series.
    #[must_use]
    pub fn end_us(&self) -> u64 {
        self.end_us
    }

    /// Rows, column, unit, times, usual step and gaps, in one line.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// A bounded number of lines about what cannot be parsed or is unexpected.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

fn is_row_length(row: Duration) -> bool {
    (SHORTEST_US..=DAY_US.unsigned_abs()).contains(&micros(row))
}

/// Readings of an input without a sensor, in hundredths of the column's unit.
const UNCONNECTED: [i128; 3] = [88_880, -8_880, -99_990];
/// Notations for a missing value.
const MISSING: [&str; 15] =
    ["", "-", "--", "---", "nan", "null", "nil", "none", "na", "n/a", "#n/a", "<na>", "nat", "unavailable", "unknown"];
/// Reading of a missing value: as far below the limit as an open circuit reads.
const OPEN: Reading = (CentiCelsius(-6_000), Quality::Open);

fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell.to_lowercase().as_str())
}

/// Absolute zero, in hundredths of a degree Celsius.
const COLDEST: i128 = -27_315;
/// No flow sensor measures beyond 1,000 °C.
const HOTTEST: i128 = 100_000;

/// Parses a cell; the error completes a sentence about it.
fn reading(cell: &str, unit: Unit, sign: Option<DecimalSign>) -> Result<Reading, &'static str> {
    if is_missing(cell) {
        return Ok(OPEN);
    }
    let plain = sign.map_or(Some(Cow::Borrowed(cell)), |sign| sign.plain(cell).map(Cow::Owned));
    let decimal = plain.and_then(|plain| Decimal::parse(&plain)).ok_or("is not a temperature")?;
    if UNCONNECTED.contains(&decimal.hundredths()) {
        return Ok(OPEN);
    }
    let centi = match decimal.centi_celsius(unit) {
        centi if centi < COLDEST => return Err("is below absolute zero"),
        centi if centi > HOTTEST => return Err("is above 1,000 °C"),
        centi => centi.clamp(i128::from(i16::MIN), i128::from(i16::MAX)),
    };
    let temperature = CentiCelsius(i16::try_from(centi).expect("clamped to the range just above"));
    Ok((temperature, judge(temperature)))
}

/// The rows to play, and the latest end of the last one, on its own clock.
#[derive(Debug)]
struct Chosen {
    range: std::ops::Range<usize>,
    stop_wall_us: Option<i64>,
}

fn choose(name: &str, series: &Series, options: &Options, notes: &mut Notes) -> Result<Chosen, ReplayError> {
    let Rows { from, until } = options.rows;
    for mark in [from, until].into_iter().flatten() {
        if matches!(mark, Mark::Instant(_)) && !series.has_instants {
            return Err(ReplayError::Instant { name: name.to_owned(), mark: mark.to_string() });
        }
    }
    if let (Some(Mark::Wall(start)), Some(Mark::Wall(end))) | (Some(Mark::Instant(start)), Some(Mark::Instant(end))) =
        (from, until)
        && end <= start
    {
        let words = |mark: Option<Mark>| mark.map_or(String::new(), |mark| mark.to_string());
        return Err(ReplayError::Until { name: name.to_owned(), from: words(from), until: words(until) });
    }
    let rows = &series.rows;
    let reached = |row: &Row, mark: Mark| match mark {
        Mark::TimeOfDay(us) => row.wall_us.rem_euclid(DAY_US) >= us,
        Mark::Wall(us) => row.wall_us >= us,
        Mark::Instant(us) => row.at_us >= us,
    };
    let first = rows.iter().position(|row| from.is_none_or(|mark| reached(row, mark))).unwrap_or(rows.len());
    let Some((row, mark)) = rows.get(first).zip(until) else {
        return Ok(Chosen { range: first..rows.len(), stop_wall_us: None });
    };
    let mark = match mark {
        Mark::TimeOfDay(us) => {
            let today = row.wall_us - row.wall_us.rem_euclid(DAY_US) + us;
            Mark::Wall(if today > row.wall_us { today } else { today + DAY_US })
        }
        Mark::Wall(_) | Mark::Instant(_) => mark,
    };
    let length = rows[first..].iter().position(|row| reached(row, mark)).unwrap_or(rows.len() - first);
    let step_us = schedule::usual_step(rows).and_then(|step_us| i64::try_from(step_us).ok()).unwrap_or(0);
    let ended = |row: &Row| Row {
        at_us: row.at_us.saturating_add(step_us),
        wall_us: row.wall_us.saturating_add(step_us),
        ..*row
    };
    if let Some(last) = rows.last().filter(|last| first + length == rows.len() && !reached(&ended(last), mark)) {
        notes.remark(last.line, &format!("the file ends here, before --until {mark}; played to its end"));
    }
    let stop_wall_us = match (mark, rows[..first + length].last()) {
        (Mark::Instant(us), Some(last)) => Some(us - last.at_us + last.wall_us),
        (Mark::Wall(us), _) => Some(us),
        (Mark::Instant(_) | Mark::TimeOfDay(_), _) => None,
    };
    Ok(Chosen { range: first..first + length, stop_wall_us })
}

#[cfg(test)]
mod tests;
