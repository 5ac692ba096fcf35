//! Finds the columns of times, and their format.
//!
//! Without [`TimeOptions`] the cells decide, never the headings alone: the one column of dates with times that changes
//! from row to row; else the one of plausible Unix times; else one of dates with one of times of day; else one of dates
//! that all differ. If two columns fit, the file is refused, and `--time-column` resolves it.

use super::decimal::Decimal;
use super::stamp::{self, Order, Stamp, TimeFormat, Written, Zone};
use super::table::{Record, Table};
use super::{Column, ReplayError};

/// Columns and format of the times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeOptions {
    /// One column, or those of date and time.
    pub columns: Vec<Column>,
    pub format: Option<TimeFormat>,
    /// Zone of times without an offset.
    pub zone: Option<Zone>,
}

/// The columns of times in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TimeColumns {
    /// One index, or those of date and time.
    pub(super) places: Vec<usize>,
    pub(super) format: Option<TimeFormat>,
    /// Dates only, each of which means its midnight.
    pub(super) midnight: bool,
}

impl TimeColumns {
    /// The text of a record's time.
    pub(super) fn text(&self, record: &Record) -> String {
        let texts: Vec<_> = self.places.iter().map(|place| record.cell(*place)).collect();
        texts.join(" ")
    }

    pub(super) fn stamp(&self, text: &str) -> Option<Stamp> {
        if self.midnight {
            return stamp::date(text).map(|date| Stamp::Clock { date, time_us: 0, offset_s: None });
        }
        Stamp::parse_as(text, self.format.as_ref())
    }
}

/// Years in which a number counts as a Unix time without an argument: 2000 to 2100.
const PLAUSIBLE_S: std::ops::Range<i64> = 946_684_800..4_102_444_800;
/// Most rows that are examined.
const ROWS_MAX: usize = 20_000;
const UNIX: [i64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// Counts of the kinds of cells in a column.
#[derive(Clone, Debug, Default)]
struct ColumnStats {
    first: Option<String>,
    changes: bool,
    repeats: bool,
    last: String,
    whole: u64,
    date: u64,
    clock: u64,
    unix: [u64; 4],
}

impl ColumnStats {
    fn count(&mut self, cell: &str, format: Option<&TimeFormat>) {
        match &self.first {
            None => self.first = Some(cell.to_owned()),
            Some(first) => {
                self.changes |= first != cell;
                self.repeats |= self.last == cell;
            }
        }
        cell.clone_into(&mut self.last);
        self.whole += u64::from(Stamp::parse_as(cell, format).is_some());
        if matches!(format, Some(TimeFormat::Unix(_) | TimeFormat::Pattern(_))) {
            return;
        }
        self.date += u64::from(stamp::date(cell).is_some());
        self.clock += u64::from(stamp::clock(cell).is_some());
        if let Some(number) = Decimal::parse(cell) {
            for (count, per_second) in self.unix.iter_mut().zip(UNIX) {
                let second = number.microseconds(per_second).map(|us| us.div_euclid(1_000_000));
                *count += u64::from(second.is_some_and(|second| PLAUSIBLE_S.contains(&second)));
            }
        }
    }

    /// The unit of its Unix times, if most of `rows` have one.
    fn unix(&self, rows: u64) -> Option<i64> {
        UNIX.into_iter().zip(self.unix).find(|(_, count)| most(*count, rows)).map(|(per_second, _)| per_second)
    }
}

fn most(count: u64, rows: u64) -> bool {
    count > 0 && count * 2 >= rows
}

/// Finds the columns of times in the rows of `table`; None if there are none. `played` is the column of temperatures.
pub(super) fn find(
    name: &str,
    table: &Table<'_>,
    rows: impl Iterator<Item = Record>,
    played: usize,
    options: &TimeOptions,
) -> Result<Option<TimeColumns>, ReplayError> {
    let asked = options.columns.iter().map(|column| table.find(column)).collect::<Result<Vec<_>, _>>()?;
    let mut stats = vec![ColumnStats::default(); table.width()];
    let mut count = 0;
    for record in rows.filter(|record| record.fits).take(ROWS_MAX) {
        count += 1;
        for (place, column) in stats.iter_mut().enumerate() {
            if place != played || asked.contains(&place) {
                column.count(&record.cell(place), options.format.as_ref());
            }
        }
    }
    let format = |places: &[usize]| {
        let unix = |place: usize| stats[place].unix(count).filter(|_| places.len() == 1);
        options.format.clone().or_else(|| unix(places[0]).map(TimeFormat::Unix))
    };
    if !asked.is_empty() {
        let only_dates = |place: usize| most(stats[place].date, count) && options.format.is_none();
        let midnight = matches!(asked[..], [place] if only_dates(place));
        return Ok(Some(TimeColumns { format: format(&asked), places: asked, midnight }));
    }
    let fitting = |fits: &dyn Fn(&ColumnStats) -> bool| -> Vec<usize> {
        (0..stats.len()).filter(|place| *place != played && fits(&stats[*place])).collect()
    };
    let moves = |column: &ColumnStats| column.changes || count == 1;
    let whole = fitting(&|column| most(column.whole, count) && moves(column));
    let unix = fitting(&|column| column.unix(count).is_some() && moves(column));
    let dates = fitting(&|column| most(column.date, count));
    let clocks = fitting(&|column| most(column.clock, count) && moves(column));
    let days = fitting(&|column| most(column.date, count) && moves(column) && !column.repeats);
    let columns = |places: Vec<usize>, midnight| Ok(Some(TimeColumns { format: format(&places), places, midnight }));
    let several = |places: &[usize]| {
        let found = places.iter().map(|place| table.label(*place)).collect::<Vec<_>>().join(", ");
        Err(ReplayError::TimeColumns { name: name.to_owned(), found })
    };
    match (&whole[..], &unix[..], &dates[..], &clocks[..], &days[..]) {
        ([_], ..) => columns(whole, false),
        ([_, ..], ..) => several(&whole),
        (_, [_], ..) => columns(unix, false),
        (_, [_, ..], ..) => several(&unix),
        (_, _, [date], [clock], _) => columns(vec![*date, *clock], false),
        (_, _, [_, ..], [_, ..], _) => several(&[dates, clocks].concat()),
        (_, _, _, [], [_]) => columns(days, true),
        (_, _, _, [], [_, ..]) => several(&days),
        _ => Ok(None),
    }
}

/// The order of day and month: by `format`, else by a row with only one reading, else that of dates with points. The
/// error is the line of an ambiguous date.
pub(super) fn order(stamps: impl Iterator<Item = (u64, Stamp)>, format: Option<&TimeFormat>) -> Result<Order, u64> {
    if let Some(TimeFormat::Date(order)) = format {
        return Ok(*order);
    }
    let (mut open, mut day_first, mut month_first) = (None, None, None);
    for (line, stamp) in stamps {
        let Stamp::Clock { date: Written::Open { parts: [first, second, _], dotted, short }, .. } = stamp else {
            continue;
        };
        if !dotted || short {
            open.get_or_insert(line);
        }
        // With a short year, the year may come first.
        if first > 12 && second <= 12 && !short {
            day_first.get_or_insert(line);
        } else if first <= 12 && second > 12 && !short {
            month_first.get_or_insert(line);
        }
    }
    match (day_first, month_first, open) {
        (Some(_), Some(line), _) | (None, None, Some(line)) => Err(line),
        (Some(_), None, _) | (None, None, None) => Ok(Order::Dmy),
        (None, Some(_), _) => Ok(Order::Mdy),
    }
}
