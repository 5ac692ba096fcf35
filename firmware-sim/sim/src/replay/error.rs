//! Why a series cannot be played.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The file is not text.
    #[error("{name} is {what}: a series is text with tabs, semicolons or commas")]
    Text {
        /// The file.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// No column has this name or number, or several contain the name.
    #[error("{name}: {found} columns fit `{column}`; the columns are {header} (--skip leaves out lines ahead of them)")]
    Column {
        /// The file.
        name: String,
        /// What was asked for.
        column: String,
        /// How many fit.
        found: usize,
        /// What there is, with numbers.
        header: String,
    },
    /// The heading names something that is not a unit of temperature.
    #[error("{name}: column {column} names the unit `{text}`, not °C, °F or K: --unit decides")]
    Unit {
        /// The file.
        name: String,
        /// The column.
        column: String,
        /// What stands for the unit.
        text: String,
    },
    /// The column of units names more than one.
    #[error(
        "{name}:{line}: the unit in column {column} changes from `{before}` to `{text}`: \
         --where chooses rows of one unit, or --unit decides"
    )]
    Units {
        /// The file.
        name: String,
        /// The line, from 1.
        line: u64,
        /// The column of units.
        column: String,
        /// What stands ahead.
        before: String,
        /// What stands there.
        text: String,
    },
    /// A comma is of decimals or of thousands.
    #[error("{name}:{line}: the comma in `{text}` is of decimals or of thousands: --decimal comma or point decides")]
    Decimal {
        /// The file.
        name: String,
        /// The line, from 1.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// No column holds times, and they are needed.
    #[error("{name}: no column holds dates with times or Unix times: --time-column and --time-format name them{}",
        if *needs_row { ", or --row the length of a row" } else { "" })]
    NoTime {
        /// The file.
        name: String,
        /// A length of the rows would do without.
        needs_row: bool,
    },
    /// Several columns hold times.
    #[error("{name}: several columns hold times, {found}: --time-column decides")]
    TimeColumns {
        /// The file.
        name: String,
        /// Which.
        found: String,
    },
    /// A date can be read in two ways, or each way is contradicted by another row.
    #[error(
        "{name}:{line}: the order of day, month and year is open in `{text}`: --time-format dmy, mdy or ymd decides"
    )]
    Order {
        /// The file.
        name: String,
        /// The line, from 1.
        line: u64,
        /// What stands there.
        text: String,
    },
    /// Local times repeat or miss an hour, as where a clock is put back or forward.
    #[error("{name}:{line}: the time {what} at night, in `{text}`: --time-zone decides, UTC if clocks never change")]
    ClockChange {
        /// The file.
        name: String,
        /// The line, from 1.
        line: u64,
        /// What the time does.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// Too many rows have the time of another row.
    #[error(
        "{name}:{line}: {count} of {all} rows have the time of another one and another temperature: \
         --where COLUMN=VALUE chooses one sensor, or --row gives each row the same length"
    )]
    SameTime {
        /// The file.
        name: String,
        /// The first line, from 1.
        line: u64,
        /// How many.
        count: usize,
        /// Of how many.
        all: usize,
    },
    /// More than a year lies between two rows.
    #[error(
        "{name}:{line}: {days} days without a row end here (a clock that was not set?): \
         --from {from} begins here, --until {from} ends ahead of it, --gap-rows shortens it"
    )]
    Era {
        /// The file.
        name: String,
        /// The line, from 1.
        line: u64,
        /// How long.
        days: i64,
        /// The time of the row.
        from: String,
    },
    /// The length of a row does not follow from the times.
    #[error("{name}: {rows} rows in all, {what}: --row says how long a row lasts")]
    Step {
        /// The file.
        name: String,
        /// How many.
        rows: usize,
        /// What their times are like.
        what: &'static str,
    },
    /// Too few rows are understood.
    #[error("{name}: {unread} of {rows} rows are not understood; the first is {first}")]
    Unread {
        /// The file.
        name: String,
        /// How many.
        unread: u64,
        /// Of how many.
        rows: u64,
        /// The first one, with its place.
        first: String,
    },
    /// No row has this value.
    #[error("{name}: no row has `{value}` in column {column}; there are {found}")]
    Where {
        /// The file.
        name: String,
        /// The column.
        column: String,
        /// What was asked for.
        value: String,
        /// What there is.
        found: String,
    },
    /// An instant was asked for, and the file has only local times.
    #[error("{name}: `{mark}` is an instant, and the times of the file are local: --time-zone decides")]
    Instant {
        /// The file.
        name: String,
        /// What was asked for.
        mark: String,
    },
    /// The end lies ahead of the beginning.
    #[error("{name}: --until {until} is not after --from {from}")]
    Until {
        /// The file.
        name: String,
        /// The beginning.
        from: String,
        /// The end.
        until: String,
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
