//! Detects a last line that was cut off: it has no line end, though the other lines have one.
//!
//! Many exporters end a whole file this way, but `4` may also be the rest of `49.0`. Only the other lines can tell: the
//! cell counts as whole if it has the usual number of decimals; without decimals, if it is as long as the one before.

use super::decimal::Decimal;
use super::is_missing;
use super::table::{Record, quoted};

/// Most decimals that are distinguished.
const DECIMALS_MAX: usize = 16;

/// The last line if it may be cut, and its last cell. `records` are those to play, `column` is the one to play, `times`
/// are the columns of their times.
pub(super) fn may_be_cut<I: Iterator<Item = Record>>(
    records: impl Fn() -> I,
    column: usize,
    times: &[usize],
) -> Option<(u64, String)> {
    let last = records().last().filter(|record| record.cut && record.fits)?;
    let place = last.width().checked_sub(1)?;
    let (mut usual, mut ahead) = ([0_u64; DECIMALS_MAX], None);
    for record in records().filter(|record| record.fits && !record.cut) {
        let cell = record.cell(place);
        if Decimal::parse(&cell).is_some() {
            usual[decimals(&cell)] += 1;
        }
        ahead = Some((record.width(), cell.chars().count()));
    }
    let (width, length) = ahead?;
    let cell = last.cell(place);
    let is_short = cell.chars().count() < length;
    let cut = if place == column {
        let most = usual.iter().max().copied().unwrap_or(0);
        let usual = usual.iter().rposition(|count| *count == most && most > 0).unwrap_or(0);
        match usual {
            _ if cell.is_empty() => true,
            _ if is_missing(&cell) => false,
            0 => is_short,
            _ => decimals(&cell) < usual,
        }
    } else {
        times.contains(&place) && is_short
    };
    // If other lines end in a separator, a whole one would too.
    (cut || last.width() < width).then(|| (last.line, quoted(&cell)))
}

fn decimals(cell: &str) -> usize {
    let behind = cell.rfind(['.', ',']).map_or("", |place| &cell[place + 1..]);
    behind.chars().take_while(char::is_ascii_digit).count().min(DECIMALS_MAX - 1)
}
