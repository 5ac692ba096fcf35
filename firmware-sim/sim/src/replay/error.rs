//! Errors of a recorded series. Each message names the argument that resolves it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a series cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read the series {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The file is not text.
    #[error("{name} is {what}: a series is text with tabs, semicolons or commas")]
    Text { name: String, what: &'static str },
    /// No column matches the name or number, or several match the name.
    #[error(
        "{name}: {found} columns match `{column}`; the columns are {header} (use --skip for lines before the header)"
    )]
    Column {
        name: String,
        /// The column requested.
        column: String,
        /// Number of matches.
        found: usize,
        /// All columns, with their numbers.
        header: String,
    },
    /// The heading has a unit that is not one of temperature.
    #[error("{name}: column {column} names the unit `{text}`, not °C, °F or K: set --unit")]
    Unit { name: String, column: String, text: String },
    /// The column of units has more than one unit.
    #[error(
        "{name}:{line}: the unit in column {column} changes from `{before}` to `{text}`: \
         use --where for rows of one unit, or set --unit"
    )]
    Units { name: String, line: u64, column: String, before: String, text: String },
    /// A comma may separate decimals or thousands.
    #[error("{name}:{line}: the comma in `{text}` may separate decimals or thousands: set --decimal to comma or point")]
    Decimal { name: String, line: u64, text: String },
    /// Times are needed, and no column holds any.
    #[error("{name}: no column holds dates with times or Unix times: set --time-column and --time-format{}",
        if *needs_row { ", or --row" } else { "" })]
    NoTime {
        name: String,
        /// A row length would do instead.
        needs_row: bool,
    },
    /// Several columns hold times.
    #[error("{name}: several columns hold times, {found}: set --time-column")]
    TimeColumns { name: String, found: String },
    /// The order of a date is ambiguous, or contradicted by another row.
    #[error(
        "{name}:{line}: the order of day, month and year is ambiguous in `{text}`: set --time-format to dmy, mdy or ymd"
    )]
    Order { name: String, line: u64, text: String },
    /// Local times repeat or skip an hour, as at a clock change.
    #[error("{name}:{line}: the time {what} at night, in `{text}`: set --time-zone (UTC if clocks never change)")]
    ClockChange {
        name: String,
        line: u64,
        /// How the time changes.
        what: &'static str,
        text: String,
    },
    /// Too many rows have the time of another row.
    #[error(
        "{name}:{line}: {count} of {all} rows repeat the time of another row with another temperature: \
         use --where COLUMN=VALUE for one sensor, or --row for rows of equal length"
    )]
    SameTime { name: String, line: u64, count: usize, all: usize },
    /// More than a year lies between two rows.
    #[error(
        "{name}:{line}: {days} days without a row end here (a clock that was not set?): \
         use --from {from} to begin here, --until {from} to end before it, or --gap-rows to shorten it"
    )]
    Era { name: String, line: u64, days: i64, from: String },
    /// The times do not determine the length of a row.
    #[error("{name}: {rows} rows in all, {what}: set --row to the length of a row")]
    Step {
        name: String,
        rows: usize,
        /// What is wrong with their times.
        what: &'static str,
    },
    /// Too few rows can be parsed.
    #[error("{name}: {unread} of {rows} rows cannot be parsed; the first is {first}")]
    Unread {
        name: String,
        unread: u64,
        rows: u64,
        /// The first of them, with its line.
        first: String,
    },
    /// No row passes a filter.
    #[error("{name}: no row has `{value}` in column {column}; it has {found}")]
    Where {
        name: String,
        column: String,
        value: String,
        /// Values in that column.
        found: String,
    },
    /// `--from` or `--until` is an instant, but the file has only local times.
    #[error("{name}: `{mark}` is an instant, but the file has local times: set --time-zone")]
    Instant { name: String, mark: String },
    /// `--until` is not after `--from`.
    #[error("{name}: --until {until} is not after --from {from}")]
    Until { name: String, from: String, until: String },
    /// No row is chosen.
    #[error("{name}: no row is left to play")]
    Empty { name: String },
    /// A row length out of range.
    #[error("a row lasts from 1 ms to 24 h, not {0:?}")]
    RowLength(Duration),
    /// A text is not a time of a recorded series.
    #[error("`{0}` is neither a time of day nor a date as 2024-01-31, with or without a time")]
    Mark(String),
    /// A text is not a unit.
    #[error("`{0}` is not C, F or K")]
    UnitText(String),
    /// A text is not a decimal sign.
    #[error("`{0}` is not comma or point")]
    DecimalText(String),
    /// A text is not a format of times.
    #[error("`{0}` is not dmy, mdy, ymd, s, ms, us, ns or a pattern as %d.%m.%Y")]
    TimeFormat(String),
    /// A text is not a time zone.
    #[error("`{0}` is not a time zone such as Europe/Berlin, UTC or +01:00")]
    Zone(String),
    /// A text is not a choice of rows.
    #[error("`{0}` is not COLUMN=VALUE")]
    Filter(String),
}
