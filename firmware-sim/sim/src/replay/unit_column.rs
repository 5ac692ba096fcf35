//! A separate column that holds the unit of the temperatures.

use super::table::{Record, Table, quoted};
use super::{ReplayError, Unit};

const HEADINGS: [&str; 6] = ["unit", "units", "uom", "einheit", "unit of measurement", "unit_of_measurement"];

/// The unit of `column` from the next column of units, preferably after it; None without one.
pub(super) fn read(
    name: &str,
    table: &Table<'_>,
    column: usize,
    records: impl Iterator<Item = Record>,
) -> Result<Option<Unit>, ReplayError> {
    let is_unit = |heading: &str| HEADINGS.contains(&heading.trim().to_lowercase().as_str());
    let places = || table.headings().enumerate().filter(|(_, heading)| is_unit(heading)).map(|(place, _)| place);
    let Some(place) = places().find(|place| *place > column).or_else(|| places().find(|place| *place < column)) else {
        return Ok(None);
    };
    let mut first: Option<(String, Option<Unit>)> = None;
    for record in records.filter(|record| record.fits) {
        let cell = record.cell(place);
        if cell.is_empty() {
            continue;
        }
        let unit = cell.parse().ok();
        match &first {
            None => first = Some((cell.into_owned(), unit)),
            Some((before, known)) if *before != cell && (*known != unit || unit.is_none()) => {
                return Err(ReplayError::Units {
                    name: name.to_owned(),
                    line: record.line,
                    column: table.label(place),
                    before: quoted(before),
                    text: quoted(&cell),
                });
            }
            Some(_) => {}
        }
    }
    match first {
        Some((text, None)) => {
            let text = quoted(&text);
            Err(ReplayError::Unit { name: name.to_owned(), column: table.label(place), text })
        }
        Some((_, Some(unit))) => Ok(Some(unit)),
        None => Ok(None),
    }
}
