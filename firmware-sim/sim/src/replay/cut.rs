//! A last line without an end, in a file whose other lines have one: whole, as many exporters write it, or cut off.
//!
//! `4` may be what is left of `49.0`, and nothing shows it but the lines ahead. It counts as whole where it has as many
//! decimals as they usually have; without decimals, where it is as long as the one ahead of it.

use super::decimal::Decimal;
use super::is_nothing;
use super::table::{Record, quoted};

/// The most decimals that are told apart.
const DECIMALS_MAX: usize = 16;

/// The line at the end of the file that may be cut, and what stands in its last cell. `records` are those to play,
/// `column` is theirs, `times` are the places of their times.
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
            _ if is_nothing(&cell) => false,
            0 => is_short,
            _ => decimals(&cell) < usual,
        }
    } else {
        times.contains(&place) && is_short
    };
    // Where other lines end in a separator, this one would too.
    (cut || last.width() < width).then(|| (last.line, quoted(&cell)))
}

fn decimals(cell: &str) -> usize {
    let behind = cell.rfind(['.', ',']).map_or("", |place| &cell[place + 1..]);
    behind.chars().take_while(char::is_ascii_digit).count().min(DECIMALS_MAX - 1)
}
