//! The rows of a file in the order of time, with their instants. Rows that cannot be parsed are reported.

use jiff::civil::Weekday;
use thermowell_wire::units;

use super::decimal::Decimal;
use super::notes::Notes;
use super::schedule::usual_step;
use super::stamp::{Moment, Order, Stamp, TimeFormat, Zone, wall};
use super::table::{Record, Table, quoted};
use super::times::{self, TimeColumns};
use super::unit::{self, Heading, Unit};
use super::{DecimalSign, Options, Reading, ReplayError, cut, is_missing, reading, thousands, unit_column};

const HOUR_US: i64 = units::HOUR_US.cast_signed();
/// Clocks are put back in these hours of the night.
const NIGHT_HOURS: i64 = 4;
/// One in so many rows may share its time with another row; with more the file is refused.
const SAME_TIME_SHARE: usize = 10;
/// Home Assistant's names for the time at which a value changed.
const ON_CHANGE: [&str; 2] = ["last_changed", "last_updated"];

/// A parsed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) at_us: i64,
    pub(super) wall_us: i64,
    /// None if the cell cannot be parsed: nothing is played.
    pub(super) reading: Option<Reading>,
    /// Number of unparsed rows directly before this one in the file.
    pub(super) lost: u32,
}

/// The content of a file.
#[derive(Debug)]
pub(super) struct Series {
    /// In the order of time.
    pub(super) rows: Vec<Row>,
    /// Whether the rows have times.
    pub(super) timed: bool,
    /// Whether these are instants, not local times.
    pub(super) has_instants: bool,
    /// Whether a row is written when its value changes, so that it holds until the next one.
    pub(super) on_change: bool,
    /// Column, unit and times, in words.
    pub(super) about: String,
}

/// A record with a parsed time that is not resolved to an instant yet.
#[derive(Clone, Copy, Debug)]
struct Raw {
    line: u64,
    stamp: Option<Stamp>,
    reading: Option<Reading>,
    lost: u32,
}

pub(super) fn read(name: &str, table: &Table<'_>, options: &Options, notes: &mut Notes) -> Result<Series, ReplayError> {
    let column = table.find(&options.column)?;
    let filters = options.filters.iter().map(|filter| Ok((table.find(&filter.column)?, filter.value.as_str())));
    let filters = filters.collect::<Result<Vec<_>, _>>()?;
    let selected = |record: &Record| filters.iter().all(|(place, value)| record.cell(*place) == *value);
    let records = || table.records().skip(usize::from(table.headed)).filter(|it| !it.fits || selected(it));
    if !filters.is_empty() && !records().any(|record| record.fits) {
        return Err(no_such_value(name, table, &filters));
    }
    refuse_misfits(name, table, records())?;
    let times = times::find(name, table, records(), column, &options.time)?;
    if times.is_none() && (options.row.is_none() || options.rows.are_by_time()) {
        return Err(ReplayError::NoTime { name: name.to_owned(), needs_row: !options.rows.are_by_time() });
    }
    let places = times.as_ref().map_or(&[][..], |times| &times.places);
    let cut = if table.may_be_cut() { cut::may_be_cut(records, column, places) } else { None };
    if let Some((line, text)) = &cut {
        let what = || format!("`{text}` may be cut off: the file ends without a line end");
        notes.row();
        notes.unread(*line, what);
    }
    let whole = |record: &Record| cut.as_ref().is_none_or(|(line, _)| *line != record.line);
    let mut kept = records().filter(whole).peekable();
    let (mut unit, mut assumed) = unit_of(name, table, column, options, kept.peek())?;
    let beside = if assumed { unit_column::read(name, table, column, records().filter(whole))? } else { None };
    if let Some(beside) = beside {
        (unit, assumed) = (beside, false);
    }
    let is_unit = |record: &Record| {
        let cell = record.cell(column);
        record.fits && split_unit(&cell).is_none() && matches!(unit_of_cell(&cell), Heading::Unit(_))
    };
    if kept.peek().is_some_and(is_unit) {
        kept.next();
    }
    let sign = match options.decimal {
        Some(sign) => Some(sign),
        None => {
            let fitting = records().filter(whole).filter(|record| record.fits);
            let numbers = fitting.map(|record| {
                let cell = record.cell(column);
                (record.line, split_unit(&cell).map_or(&*cell, |(number, _)| number).to_owned())
            });
            thousands::decide(name, numbers)?
        }
    };
    let raws = cells(table, kept, column, (unit, sign), times.as_ref(), notes);
    let rows = match &times {
        Some(times) => {
            let rows = instants(name, table, &raws, times, options, notes)?;
            in_order(name, rows, options, notes)?
        }
        None => raws.iter().map(|raw| raw.row(Moment { at_us: 0, wall_us: 0, again_us: None }, raw.lost)).collect(),
    };
    let assumed = if assumed { " (the header names no unit)" } else { "" };
    let time = times
        .as_ref()
        .map_or("no times".to_owned(), |times| times_in_words(table, times, &raws, options.time.zone.as_ref()));
    let on_change = |times: &TimeColumns| times.places.iter().any(|place| ON_CHANGE.contains(&table.heading(*place)));
    Ok(Series {
        rows,
        timed: times.is_some(),
        has_instants: options.time.zone.is_some() || raws.iter().any(|raw| raw.stamp.is_some_and(Stamp::has_offset)),
        on_change: times.as_ref().is_some_and(on_change),
        about: format!("column {} in {unit}{assumed}, {time}", table.label(column)),
    })
}

impl Raw {
    fn row(&self, Moment { at_us, wall_us, .. }: Moment, lost: u32) -> Row {
        Row { line: self.line, at_us, wall_us, reading: self.reading, lost }
    }
}

/// The unit, and whether it is only assumed.
fn unit_of(
    name: &str,
    table: &Table<'_>,
    column: usize,
    options: &Options,
    first: Option<&Record>,
) -> Result<(Unit, bool), ReplayError> {
    if let Some(unit) = options.unit {
        return Ok((unit, false));
    }
    let others = table.headings().enumerate().filter(|(place, _)| *place != column).map(|(_, heading)| heading);
    match unit::of_heading(table.heading(column), others) {
        Heading::Unit(unit) => Ok((unit, false)),
        Heading::Unknown(text) => Err(ReplayError::Unit { name: name.to_owned(), column: table.label(column), text }),
        // Some recorders write the unit into a second line, some into each cell.
        Heading::Silent => match first.filter(|record| record.fits).map(|record| unit_of_cell(&record.cell(column))) {
            Some(Heading::Unit(unit)) => Ok((unit, false)),
            Some(Heading::Unknown(text)) => {
                Err(ReplayError::Unit { name: name.to_owned(), column: table.label(column), text })
            }
            Some(Heading::Silent) | None => Ok((Unit::Celsius, true)),
        },
    }
}

/// The unit in a cell, after the number or instead of it.
fn unit_of_cell(cell: &str) -> Heading {
    match split_unit(cell) {
        Some((_, unit)) => Heading::Unit(unit),
        None if is_missing(cell) || Decimal::parse(cell).is_some() => Heading::Silent,
        None => unit::of_heading(cell, std::iter::empty()),
    }
}

/// Splits `40.5 °C` into number and unit.
fn split_unit(cell: &str) -> Option<(&str, Unit)> {
    let end = cell.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (number, unit) = cell.split_at(end);
    Some((number, unit.parse().ok()?))
}

/// Refuses a file in which most rows do not fit the header: its format is another one than it seems.
fn refuse_misfits(name: &str, table: &Table<'_>, records: impl Iterator<Item = Record>) -> Result<(), ReplayError> {
    let (mut rows, mut unread, mut first) = (0, 0, None);
    for record in records {
        rows += 1;
        if !record.fits {
            unread += 1;
            first.get_or_insert_with(|| format!("line {}, {}", record.line, misfit(table, &record)));
        }
    }
    if rows == 0 {
        return Err(ReplayError::Empty { name: name.to_owned() });
    }
    match first {
        Some(first) if unread * 2 > rows => Err(ReplayError::Unread { name: name.to_owned(), unread, rows, first }),
        Some(_) | None => Ok(()),
    }
}

/// Describes a record that does not fit.
fn misfit(table: &Table<'_>, record: &Record) -> String {
    let text = table.quote(record.line);
    if record.open {
        return format!("`{text}` has an unclosed quote");
    }
    format!("`{text}` has {} fields, the first line has {}", record.filled(), table.named())
}

fn no_such_value(name: &str, table: &Table<'_>, filters: &[(usize, &str)]) -> ReplayError {
    const LISTED: usize = 10;
    let (place, value) = filters[0];
    let mut found = Vec::new();
    for record in table.records().skip(usize::from(table.headed)).filter(|record| record.fits) {
        let cell = quoted(&record.cell(place));
        if found.len() < LISTED && !found.contains(&cell) {
            found.push(cell);
        }
    }
    let (column, value) = (table.label(place), value.to_owned());
    ReplayError::Where { name: name.to_owned(), column, value, found: found.join(", ") }
}

/// Parses the cells; reports what does not fit or is no temperature or time.
fn cells(
    table: &Table<'_>,
    records: impl Iterator<Item = Record>,
    column: usize,
    (unit, sign): (Unit, Option<DecimalSign>),
    times: Option<&TimeColumns>,
    notes: &mut Notes,
) -> Vec<Raw> {
    let (mut raws, mut lost) = (Vec::new(), 0_u32);
    for record in records {
        notes.row();
        let line = record.line;
        if !record.fits {
            notes.unread(line, || misfit(table, &record));
            lost = lost.saturating_add(1);
            continue;
        }
        let text = times.map(|times| times.text(&record));
        let stamp = times.zip(text.as_deref()).and_then(|(times, text)| times.stamp(text));
        if let (None, Some(text)) = (stamp, text) {
            notes.unread(line, || format!("`{}` is not a time", quoted(&text)));
            lost = lost.saturating_add(1);
            continue;
        }
        let cell = record.cell(column);
        let number = split_unit(&cell).filter(|(_, own)| *own == unit).map_or(&*cell, |(number, _)| number);
        let reading = reading(number, unit, sign);
        if let Err(why) = reading {
            notes.unread(line, || format!("`{}` {why}", quoted(&cell)));
        }
        raws.push(Raw { line, stamp, reading: reading.ok(), lost });
        lost = 0;
    }
    raws
}

/// Resolves the instant of each row, in the order of the file.
fn instants(
    name: &str,
    table: &Table<'_>,
    raws: &[Raw],
    times: &TimeColumns,
    options: &Options,
    notes: &mut Notes,
) -> Result<Vec<Row>, ReplayError> {
    let stamps = || raws.iter().filter_map(|raw| Some((raw.line, raw.stamp?)));
    let order = times::order(stamps(), times.format.as_ref()).map_err(|line| ReplayError::Order {
        name: name.to_owned(),
        line,
        text: table.quote(line),
    })?;
    let zone = options.time.zone.as_ref();
    let offsets = stamps().any(|(_, stamp)| stamp.has_offset());
    let (mut rows, mut lost) = (Vec::<Row>::with_capacity(raws.len()), 0_u32);
    let (mut twice, mut again) = (None, false);
    for raw in raws {
        let understood = raw.stamp.filter(|stamp| zone.is_some() || !offsets || stamp.has_offset());
        let moment = understood.and_then(|stamp| stamp.moment(order, zone));
        let Some(mut moment) = moment else {
            let why = if understood.is_none() {
                "has no UTC offset, unlike other rows"
            } else {
                "does not exist in this time zone"
            };
            notes.unread(raw.line, || format!("`{}` {why}", table.quote(raw.line)));
            lost = lost.saturating_add(raw.lost).saturating_add(1);
            continue;
        };
        if let Some(again_us) = moment.again_us {
            twice.get_or_insert(raw.line);
            if rows.last().is_some_and(|last| last.at_us >= moment.at_us) {
                moment.at_us = again_us;
                again = true;
            }
        }
        rows.push(raw.row(moment, raw.lost.saturating_add(lost)));
        lost = 0;
    }
    if let (Some(line), false) = (twice, again) {
        notes.remark(line, "this hour occurs twice in the time zone and once in the file: taken as the first");
    }
    if zone.is_none() && !offsets {
        let change = put_back(&rows).map(|line| (line, "goes back"));
        let change = change.or_else(|| put_forward(&rows).map(|line| (line, "leaps an hour")));
        if let Some((line, what)) = change {
            return Err(ReplayError::ClockChange { name: name.to_owned(), line, what, text: table.quote(line) });
        }
    }
    Ok(rows)
}

/// The line at which a clock without an offset was put back: at night, by up to an hour, and for more than one row.
/// With hourly rows, one repeats the time of the previous row.
fn put_back(rows: &[Row]) -> Option<u64> {
    let same = |pair: &&[Row]| pair[0].at_us == pair[1].at_us;
    let hourly = usual_step(rows) == Some(HOUR_US.unsigned_abs());
    if hourly && rows.windows(2).filter(same).all(|pair| at_night(&pair[0])) {
        return rows.windows(2).find(same).map(|pair| pair[1].line);
    }
    let back = |rows: &&[Row]| {
        let [before, row, next] = rows else { return false };
        let by_us = before.at_us - row.at_us;
        at_night(row) && (1..=HOUR_US).contains(&by_us) && (row.at_us..=before.at_us).contains(&next.at_us)
    };
    rows.windows(3).find(back).map(|rows| rows[1].line)
}

fn at_night(row: &Row) -> bool {
    row.wall_us.rem_euclid(24 * HOUR_US) < NIGHT_HOURS * HOUR_US
}

/// The line after an hour that is missing in the night to a Sunday, for clocks without an offset.
fn put_forward(rows: &[Row]) -> Option<u64> {
    let usual_us = i64::try_from(usual_step(rows)?).ok().filter(|usual_us| *usual_us <= HOUR_US / 2)?;
    let sunday = |row: &Row| wall(row.wall_us).is_some_and(|wall| wall.weekday() == Weekday::Sunday);
    let missing = |pair: &&[Row]| {
        let beyond_us = pair[1].at_us - pair[0].at_us - HOUR_US;
        at_night(&pair[0]) && sunday(&pair[1]) && (beyond_us - usual_us).abs() <= usual_us / 2
    };
    rows.windows(2).find(missing).map(|pair| pair[1].line)
}

/// Sorts the rows by time, and drops repeated times.
fn in_order(name: &str, mut rows: Vec<Row>, options: &Options, notes: &mut Notes) -> Result<Vec<Row>, ReplayError> {
    let (mut latest_us, mut late, mut first_late) = (i64::MIN, 0_u64, None);
    for row in &rows {
        if row.at_us < latest_us {
            late += 1;
            first_late.get_or_insert(row.line);
        }
        latest_us = latest_us.max(row.at_us);
    }
    if let Some(line) = first_late {
        notes.remark(line, &format!("{late} rows out of order, the first in this line; played at their own time"));
        rows.sort_by_key(|row| row.at_us);
    }
    if options.row.is_some() {
        // Each row has its fixed length, so its time does not matter.
        return Ok(rows);
    }
    let same = |pair: &&[Row]| pair[0].at_us == pair[1].at_us && pair[0].reading != pair[1].reading;
    let (count, all) = (rows.windows(2).filter(same).count(), rows.len());
    if count * SAME_TIME_SHARE > all {
        let line = rows.windows(2).find(same).map_or(0, |pair| pair[1].line);
        return Err(ReplayError::SameTime { name: name.to_owned(), line, count, all });
    }
    let (mut repeated, mut first_repeated) = (0_u64, None);
    rows.dedup_by(|row, before| {
        if row.at_us != before.at_us {
            return false;
        }
        if row.reading == before.reading {
            repeated += 1;
            first_repeated.get_or_insert(row.line);
        } else {
            notes.unread(row.line, || format!("another temperature at the time of line {}", before.line));
        }
        true
    });
    if let Some(line) = first_repeated {
        notes.remark(line, &format!("{repeated} repeated rows, the first in this line; played once"));
    }
    Ok(rows)
}

fn times_in_words(table: &Table<'_>, times: &TimeColumns, raws: &[Raw], zone: Option<&Zone>) -> String {
    let labels = times.places.iter().map(|place| table.label(*place)).collect::<Vec<_>>().join(" and ");
    let stamps = || raws.iter().filter_map(|raw| raw.stamp);
    let format = match &times.format {
        Some(TimeFormat::Unix(per_second)) => match per_second {
            1 => "Unix seconds".to_owned(),
            1_000 => "Unix milliseconds".to_owned(),
            1_000_000 => "Unix microseconds".to_owned(),
            _ => "Unix nanoseconds".to_owned(),
        },
        Some(TimeFormat::Pattern(pattern)) => format!("`{pattern}`"),
        Some(TimeFormat::Date(_)) | None => {
            let order = times::order(stamps().map(|stamp| (0, stamp)), times.format.as_ref());
            let open = stamps().any(|stamp| stamp.is_open());
            let offset = stamps().any(|stamp| matches!(stamp, Stamp::Clock { offset_s: Some(_), .. }));
            let date = order.ok().filter(|_| open).map_or("year-month-day", Order::words);
            match zone {
                _ if offset => format!("{date} with an offset"),
                Some(zone) => format!("{date} in {zone}"),
                None => format!("{date} without an offset"),
            }
        }
    };
    format!("time in column {labels}, {format}")
}
